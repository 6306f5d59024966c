#!/usr/bin/python3
"""Configuration: what ctxd says of a wrong one and does not do, what it prints, what a reload changes and when."""
import os
import re
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from ctxtest import *
from varlink import Varlink, VarlinkError

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
GOOD = "[limits]\nrunning=2\n[deadline]\ntimeout=1m\n[class web]\ntimeout=5s\n"
# Each line that is wrong, by number.
WRONG = """running=1
[deadline]
timeout=25h
grace:5s
signal=NOPE
[limts]
[limits]
running=0
queued=5 ; five
runnning=5
running=7
   5
[access]
admins=no-such-user-here
[class Upper]
[class a]
[class a]
[output]
max_bytes
"""
WRONG_LINES = [1, 3, 4, 5, 6, 8, 9, 10, 11, 12, 14, 15, 17, 19]

d = Daemon(conf=GOOD, start=False)


def ctxd(*args, env=None):
    """ctxd with ARGS alone, in the environment of the test's daemon."""
    return run([CTXD, *args], env=d.environment(env))


def error_lines(text, path):
    return [int(m.group(1)) for m in re.finditer(rf"^{re.escape(path)}:(\d+): ", text, re.M)]


def settings():
    with Varlink(d.sock) as v:
        return {(s["section"], s["key"]): s["value"] for s in v.call("Config")["settings"]}


def reload():
    with Varlink(d.sock) as v:
        return {(c["section"], c["key"]): (c.get("old"), c.get("new")) for c in v.call("Reload")["changes"]}


@case("a good configuration: --check-config exits 0 and makes nothing")
def _():
    r = run(d.command(["--check-config"]), env=d.environment())
    is_(r.code, 0)
    is_(r.err, "")
    ok(not os.path.exists(d.state), "no state directory")


@case("wrong in fourteen ways at once: each is told with its line, 78")
def _():
    d.configure(WRONG)
    for args in (["--check-config"], ["--print-config"], []):
        r = run(d.command(args), env=d.environment())
        is_(r.code, 78, f"exit code with {args}")
        is_(error_lines(r.err, d.conf), WRONG_LINES, f"lines with {args}")
        is_(r.out, "")
    ok(not os.path.exists(d.state), "nothing was started")
    d.configure(GOOD)


@case("very many errors: a hundred, and how many more")
def _():
    d.configure("x=1\n" * 250)
    r = run(d.command(["--check-config"]), env=d.environment())
    is_(r.code, 78)
    is_(len(error_lines(r.err, d.conf)), 100)
    like(r.err, r"^and 150 more$")
    d.configure(GOOD)


@case("a file that is missing, a directory, or a pipe")
def _():
    fifo = os.path.join(d.dir, "fifo")
    os.mkfifo(fifo)
    for path, why in ((d.dir + "/none", "No such file"), (d.dir, "not a regular file"), (fifo, "not a regular file")):
        r = ctxd("--config", path, "--check-config")
        is_(r.code, 78, path)
        is_(error_lines(r.err, path), [0], path)
        like(r.err, why)
    os.unlink(fifo)


@case("bytes that are no text are not sent to the terminal")
def _():
    with open(d.conf, "wb") as f:
        f.write(b"[limits]\nrunning=\x1b[31m5\nqueued=\xff\nqueued=5\0\n[\xc2\x9b31m]\nrunning_per_user=\xe2\x80\xae5\n")
    r = run(d.command(["--check-config"]), env=d.environment())
    is_(r.code, 78)
    is_(error_lines(r.err, d.conf), [2, 3, 4, 5])
    unlike(r.err, "[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\ufffd]")
    d.configure(GOOD)


@case("the usual place of a user, and its directory of further files")
def _():
    place = os.path.join(d.dir, "home", "ctxd")
    os.makedirs(os.path.join(place, "ctxd.conf.d"))
    env = {"XDG_CONFIG_HOME": os.path.join(d.dir, "home")}
    is_(ctxd("--print-config", env=env).code, 0, "no file at all")
    for name, text in (("ctxd.conf", "[limits]\nrunning=3\nqueued=3\n"), ("ctxd.conf.d/20.conf", "[limits]\nrunning=5\n"),
                       ("ctxd.conf.d/10.conf", "[limits]\nrunning=4\n"), ("ctxd.conf.d/30.conf.bak", "nonsense")):
        with open(os.path.join(place, name), "w", encoding="utf-8") as f:
            f.write(text)
    r = ctxd("--user", "--print-config", env=env)
    is_(r.code, 0)
    like(r.out, r"^running=5$")
    like(r.out, r"^queued=3$")
    with open(os.path.join(place, "ctxd.conf.d/20.conf"), "a", encoding="utf-8") as f:
        f.write("running=6\n")
    r = ctxd("--check-config", env=env)
    is_(r.code, 78)
    is_(error_lines(r.err, os.path.join(place, "ctxd.conf.d/20.conf")), [3])


@case("--print-config prints a file that says the same")
def _():
    d.configure(GOOD + "[class b]\npriority=-5\nnice=0\n[environment]\nmode=PATH,LANG\n")
    first = run(d.command(["--print-config"]), env=d.environment())
    is_(first.code, 0)
    d.configure(first.out)
    again = run(d.command(["--print-config"]), env=d.environment())
    is_(again.out, first.out)
    is_(again.code, 0)
    like(first.out, r"^\[class b\]\npriority=-5\nnice=0$")
    d.configure(GOOD)


@case("the installed file and the example are right")
def _():
    defaults = ctxd("--print-config").out
    for name in ("conf/ctxd.conf", "examples/ctxd.conf"):
        r = ctxd("--config", os.path.join(ROOT, name), "--print-config")
        is_(r.code, 0, name + r.err)
        if name.startswith("conf/"):
            is_(r.out, defaults, "the installed file changes nothing")


@case("options: wrong usage is 2, --help and --version are 0")
def _():
    for args in (["--no-such"], ["--config"], ["--user", "--system"], ["word"], ["--print-config", "word"]):
        r = ctxd(*args)
        is_(r.code, 2, str(args))
        ok(r.err, "says why")
    is_(ctxd("--help").code, 0)
    like(ctxd("--help").out, r"--check-config")
    like(ctxd("--version").out, r"\A\S+ \d+\.\d+\.\d+\n\Z")


@case("Config tells what is in force")
def _():
    d.start()
    s = settings()
    is_(s["limits", "running"], "2")
    is_(s["deadline", "timeout"], "1m")
    is_(s["deadline", "signal"], "TERM")
    is_(s["limits", "running_per_user"], "")
    is_(s["class web", "timeout"], "5s")
    ok(("class web", "nice") not in s, "what a class does not say is not told")
    like(d.ctl_ok("config"), r"running")


@case("reload: the changes are told, and act")
def _():
    before = d.submit("--", "sleep", "1000")
    d.wait_state(before, "running")
    ok(d.ctl("submit", "-c", "batch", "true").code != 0, "the class is unknown")
    d.configure("[limits]\nrunning=3\n[deadline]\ntimeout=2m\nmax_timeout=10m\n[class batch]\nnice=5\n")
    is_(reload(), {
        ("limits", "running"): ("2", "3"),
        ("deadline", "timeout"): ("1m", "2m"),
        ("deadline", "max_timeout"): ("1d", "10m"),
        ("class web", "timeout"): ("5s", None),
        ("class batch", "nice"): (None, "5"),
    })
    is_(settings()["limits", "running"], "3")
    is_(reload(), {}, "nothing to change")
    after = d.submit("-c", "batch", "--", "sleep", "1000")
    is_(d.wait_state(after, "running")["timeout_usec"], 120 * 10**6)
    is_(d.wait_state(before, "running")["timeout_usec"], 60 * 10**6, "a running job is not touched")
    for id in (before, after):
        d.ctl_ok("cancel", "--now", id)
        d.wait_end(id)


@case("the log has the changes as ctxctl prints them, a class without keys and an empty value, too")
def _():
    at = len(d.log_text())
    d.configure("[traces]\noutbox=5\n[class empty]\n")
    like(d.ctl_ok("reload"), "(?m)^class empty: added$")
    d.configure("")
    like(d.ctl_ok("reload"), r"(?m)^traces.outbox: 5 -> \(empty\) \(acts now\)$")
    said = d.log_text()[at:]
    for line in ("class empty: added", "class empty: removed", "traces.outbox: (empty) -> 5", "traces.outbox: 5 -> (empty)"):
        like(said, f"(?m)^ctxd: configuration: {re.escape(line)}$")


@case("reload: a limit that is raised lets waiting jobs start at once")
def _():
    d.configure("[limits]\nrunning=1\n")
    reload()
    first, second = d.submit("--", "sleep", "1000"), d.submit("--", "sleep", "1000")
    d.wait_state(first, "running")
    is_(d.job(second)["state"], "queued")
    d.configure("[limits]\nrunning=2\n")
    is_(reload(), {("limits", "running"): ("1", "2")})
    d.wait_state(second, "running")
    for id in (first, second):
        d.ctl_ok("cancel", "--now", id)
        d.wait_end(id)


@case("reload: the plan says what each change acts on; --dry-run changes nothing")
def _():
    d.configure("[limits]\nrunning=3\n[deadline]\ntimeout=7m\n[class web]\nnice=5\n")
    before = settings()
    r = d.ctl_ok("reload", "--dry-run")
    like(r, r"(?m)^limits.running: 2 -> 3 \(acts now\)$")
    like(r, r"(?m)^deadline.timeout: \S+ -> 7m \(for jobs that start later\)$")
    like(r, r"(?m)^class web.nice: \(unset\) -> 5 \(for jobs that start later\)$")
    is_(settings(), before)
    is_(d.ctl_ok("reload"), r)
    is_(settings()[("limits", "running")], "3")
    is_(d.ctl_ok("reload", "--dry-run"), "nothing would change\n")
    with Varlink(d.sock) as v:
        is_(v.call("Reload", dry_run=True)["changes"], [])
    d.configure("[limits]\nrunning=x\n")
    is_(d.ctl("reload", "--dry-run").code, 1)
    is_(settings()[("limits", "running")], "3")
    d.configure("[limits]\nrunning=2\n")
    d.ctl_ok("reload")


@case("reload: a wrong configuration changes nothing and is told")
def _():
    before = settings()
    d.configure("[limits]\nrunning=7\nqueued=x\nfoo=1\n")
    with Varlink(d.sock) as v:
        try:
            v.call("Reload")
            ok(False, "refused")
        except VarlinkError as e:
            like(str(e), re.escape(d.conf) + ":3: limits.queued")
    r = d.ctl("reload")
    is_(r.code, 1)
    like(r.err, ":3: ")
    is_(settings(), before)
    d.wait_log(re.escape(d.conf) + ":4: ")


@case("SIGHUP reloads too")
def _():
    refused = d.log_text().count("the old one stays in force")
    ok(refused, "the reload before was")
    d.proc.send_signal(signal.SIGHUP)
    wait_until(lambda: d.log_text().count("the old one stays in force") > refused, "SIGHUP to be followed, too")
    is_(settings()["limits", "running"], "2")
    d.configure("[limits]\nrunning=9\n")
    d.proc.send_signal(signal.SIGHUP)
    wait_until(lambda: settings()["limits", "running"] == "9", "SIGHUP to be followed")


@case("reload by ctxctl prints what changed")
def _():
    d.configure("[limits]\nrunning=11\n")
    r = d.ctl("reload")
    is_(r.code, 0)
    like(r.out + r.err, r"running.*9.*11")
    d.configure("[limits]\nrunning=12\n")
    like(d.ctl_ok("--json", "reload"), r'"running"')


main()
