#!/usr/bin/python3
"""ctxctl as people and scripts meet it: help and manual, wrong usage, lists, JSON, outputs that fail, terminals."""
import json
import os
import pty
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from ctxtest import *
from ctxtest import CTXCTL, ctl_env, run

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
COMMANDS = re.findall(r"^  (\w+) ", re.search(r"^Commands.*?^\n", run([CTXCTL, "--help"]).out, re.M | re.S).group(0), re.M)
AS_JOB = ("run", "wait")

d = Daemon(conf="[limits]\nrunning=2\n")


def on_terminal(*args, env=None):
    """What ctxctl writes with its standard output and error on a terminal of 60 columns."""
    master, slave = pty.openpty()
    import fcntl
    import struct
    import termios
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
    p = subprocess.Popen([CTXCTL, *map(str, args)], stdin=subprocess.DEVNULL, stdout=slave, stderr=slave,
                         env=ctl_env(d.sock, {"TERM": "xterm", "NO_COLOR": None, **(env or {})}))
    os.close(slave)
    text = b""
    while True:
        try:
            got = os.read(master, 65536)
        except OSError:  # EIO: the last one has closed it
            break
        if not got:
            break
        text += got
    os.close(master)
    is_(p.wait(60), 0)
    return text.decode()


@case("alone: the deadline in the first lines, exit 2")
def _():
    r = d.ctl()
    is_((r.code, r.out), (2, ""))
    like("".join(r.err.splitlines(True)[:2]), "deadline")
    r = d.ctl("--help")
    is_((r.code, r.err), (0, ""))
    like(r.out.splitlines()[0], "deadline")
    ok({"submit", "run", "list", "cancel", "bridge", "help"} <= set(COMMANDS), str(COMMANDS))


@case("each command and each of its options is in the manual")
def _():
    with open(os.path.join(ROOT, "man", "ctxctl.1"), encoding="utf-8") as f:
        page = f.read()
    for c in COMMANDS:
        r = d.ctl(c, "--help")
        is_((r.code, r.err), (0, ""))
        like(r.out, rf"\AUsage: ctxctl {c}")
        like(r.out, r"^Examples?:\n  ctxctl|^Examples?:\n  (id|s)=")
        is_(d.ctl("help", c).out, r.out)
        section = re.search(rf"^\.Ss {c}\n(.*?)^\.S[sh] ", page, re.S | re.M)
        if not ok(section, f"section {c}"):
            continue
        for option in re.findall(r"^  (?:-.,|   ) --([a-z-]+)", r.out, re.M):
            if option not in ("json", "no-color", "help"):
                # mdoc: `.Fl -a , -b` names both after one macro.
                like(section.group(1).replace("\\-", "-"), rf"-{option}\b", f"{c} --{option}")


@case("each state, cause code and rule of a deadline is in the manual")
def _():
    with open(os.path.join(ROOT, "man", "ctxctl.1"), encoding="utf-8") as f:
        page = f.read()
    section = re.search(r"^\.Ss States\n(.*?)^\.Ss Inside", page, re.S | re.M).group(1)
    for path, what in (("names.def", "CAUSE"), ("names.def", "RULE"), ("job_state.def", "JOB_STATE")):
        with open(os.path.join(ROOT, "daemon", "core", path), encoding="utf-8") as f:
            names = re.findall(rf'^{what}\(\w+, "(\w+)"', f.read(), re.M)
        need(len(names) > 5, f"{what}: {names}")
        is_([n for n in names if not re.search(rf"\b{n}\b", section)], [], what)


@case("lines of the help fit a terminal")
def _():
    for c in COMMANDS:
        for line in d.ctl(c, "--help").out.splitlines():
            ok(len(line) <= 100, line)


@case("an unknown command names the nearest one")
def _():
    for word, meant in (("sumbit", "submit"), ("lst", "list"), ("statsu", "status")):
        r = d.ctl(word)
        is_((r.code, r.out), (2, ""))
        like(r.err, f"ctxctl {meant}`")
    for word in ("frobnicate", "\x1b[31m"):
        r = d.ctl(word)
        is_(r.code, 2)
        unlike(r.err, "did you mean|\x1b")


@case("wrong usage: 2, or 125 where the exit code is that of a job")
def _():
    for c in COMMANDS:
        r = d.ctl(c, "--no-such-option")
        is_((r.code, r.out), (125 if c in AS_JOB else 2, ""))
        like(r.err, rf"unknown option '--no-such-option'\n.*ctxctl {c} --help")
    is_(d.ctl("submit", "--no-such-option", "-w", "true").code, 125)
    is_(d.ctl("submit", "--wiat", "true").code, 2)
    like(d.ctl("submit", "--wiat", "true").err, "--wait")
    for args in (["status", "0"], ["status", "-1"], ["status", "1x"], ["cancel"], ["logs"], ["logs", "1", "2"], ["extend", "1"],
                 ["extend", "1", "--by", "1h", "--to", "now+1h"], ["list", "--state", "odd"], ["list", "--limit", "0"],
                 ["list", "--user", "no-such-user-here"], ["list", "word"], ["--bogus", "list"], ["--user", "--system", "list"]):
        r = d.ctl(*args)
        is_((r.code, r.out), (2, ""), " ".join(map(str, args)))
        ok(r.err, " ".join(map(str, args)))


@case("no daemon: 5 with the socket's name, or 125")
def _():
    nowhere = os.path.join(d.dir, "nowhere.sock")
    for args in (["list"], ["status"], ["status", "1"], ["cancel", "1"], ["logs", "1"], ["extend", "1", "--by", "1h"], ["doctor"],
                 ["config"], ["reload"], ["submit", "true"], ["scope", "create"], ["scope", "close", "1"], ["tree"], ["tree", "1"],
                 ["events"], ["events", "-f"], ["signal", "-s", "HUP", "1"]):
        r = d.ctl("--socket", nowhere, *args)
        is_((r.code, r.out), (5, ""), " ".join(map(str, args)))
        like(r.err, re.escape(nowhere))
        like(r.err, "start it")
    for args in (["run", "true"], ["wait", "1"], ["submit", "-w", "true"]):
        is_(d.ctl("--socket", nowhere, *args).code, 125, " ".join(map(str, args)))


@case("options in front of the command, or behind it")
def _():
    a, b = d.json("list"), json.loads(d.ctl_ok("list", "--json"))
    is_(a, b)
    like(d.ctl_ok("--version"), r"^ctxctl \d+\.\d+")
    is_(d.ctl("--socket", d.sock, "--no-color", "status", env={"CTXD_SOCKET": "/nowhere"}).code, 0)


@case("list: unfinished ones and the last 20 ended, by id")
def _():
    go = os.path.join(d.dir, "go")
    os.mkfifo(go)
    held = [d.submit("sh", "-c", f"read x <{go}; exit 1") for _ in range(2)]
    for id in held:
        d.wait_state(id, "running")
    queued = d.submit("true")
    ended = [d.submit("--name", f"n{i}", "true") for i in range(3)]
    for id in ended:
        d.ctl_ok("cancel", id)
    got = [j["id"] for j in d.json("list")]
    is_(got, sorted(got))
    ok(set(held + [queued] + ended) <= set(got))
    is_([j["id"] for j in d.json("list", "--state", "queued")], [queued])
    is_([j["id"] for j in d.json("list", "--state", "queued,running")], held + [queued])
    is_([j["id"] for j in d.json("ls", "--name", "n1")], [ended[1]])
    like(d.ctl_ok("list"), rf"^ *{queued}  queued  +default .* true$")
    gate = os.open(go, os.O_RDWR)  # open until both have read their line, whenever they come
    os.write(gate, b"\n\n")
    for id in held:
        d.wait_end(id)
    os.close(gate)


@case("list: 30 ended ones, and pages of them")
def _():
    ids = [d.submit("true") for _ in range(30)]
    for id in ids:
        d.wait_state(id, "succeeded")
    every = [j["id"] for j in d.json("list", "--all")]
    is_([j["id"] for j in d.json("list")], every[-20:])
    is_(len(d.ctl_ok("list").splitlines()), 21)
    is_(len(d.ctl_ok("list", "--all").splitlines()), len(every) + 1)
    page, seen = [0], []
    while page:
        page = [j["id"] for j in d.json("list", "--limit", 7, "--after", page[-1])]
        ok(len(page) <= 7)
        seen += page
    is_(seen, every)
    is_(d.json("list", "--since", "now+1h"), [])
    is_([j["id"] for j in d.json("list", "--since", "1h")], every)
    uid = str(os.getuid())
    is_([j["id"] for j in d.json("list", "--all", "--user", uid)], every)
    is_(d.json("list", "--all", "--user", "12345"), [])


@case("text of users does nothing to a terminal, and columns stay straight")
def _():
    id = d.submit("--name", "\u4e2d\u6587", "printf", "\x1b[31m\u202e\x9b\n")
    d.wait_end(id)
    for args in (["list"], ["status", id]):
        out = d.ctl_ok(*args)
        unlike(out, "[\x00-\x09\x0b-\x1f\x7f\x9b\u202e]")
        like(out, r"\\x1b\[31m\\u202e\\u009b\\n")
    lines = d.ctl_ok("list", "--after", id - 2).splitlines()
    need(len(lines) == 3, lines)
    is_(lines[0].index("COMMAND"), lines[1].index("true"))
    is_(lines[0].index("COMMAND"), lines[2].index("printf") + 2)  # two characters there take two columns each


@case("on a terminal: colour unless refused, lines cut to its width")
def _():
    d.wait_end(d.submit("-t", "1ms", "sleep", "1000"))  # its deadline has passed, and no time is left to show
    d.wait_end(d.submit("false", "x" * 100))
    text = on_terminal("list")
    ok("\x1b[31m" in text)
    unlike(text, "\x1b\\[[0-9]+m\x1b", "what is empty has no colour")
    for args, env in ((["--no-color", "list"], {}), (["list", "--no-color"], {}), (["list"], {"NO_COLOR": "1"}),
                      (["list"], {"TERM": "dumb"})):
        text = on_terminal(*args, env=env)
        ok("\x1b" not in text, text)
        ok(max(map(len, text.replace("\r", "").splitlines())) <= 60, text)
    ok("x" * 100 in d.ctl_ok("list"))
    unlike(d.ctl_ok("list"), "\x1b")


@case("on a terminal: the deadline and its rule, beside the id")
def _():
    text = on_terminal("submit", "-t", "5m", "true")
    like(text.replace("\r", ""), r"\A(\d+)\njob \1: (deadline \S+Z \(5m, rule requested\)|queued; deadline 5m after .*)\n\Z")


@case("what cannot be written is said")
def _():
    with open("/dev/full", "wb") as full:
        for args, code in ((["list"], 1), (["submit", "true"], 1), (["status"], 1), (["run", "echo", "x"], 125)):
            p = d.ctl_bg(*args, stdout=full)
            err = p.communicate(timeout=60)[1].decode()
            is_(p.returncode, code, " ".join(map(str, args)))
            like(err, "No space left")
    env = ctl_env(d.sock)
    r = run(["/bin/sh", "-c", f"{CTXCTL} list >&-"], env=env)
    is_(r.code, 1)
    like(r.err, "cannot write")
    r = run(["/bin/bash", "-c", f"{CTXCTL} list --all | head -n 1; echo ${{PIPESTATUS[0]}} >&2"], env=env)
    like(r.out, r"\A *ID")
    unlike(r.err, "ctxctl")


@case("status: the end in words")
def _():
    for args, words in ((["sh", "-c", "exit 3"], "exit 3"), (["sh", "-c", "kill -9 $$"], r"killed by signal 9 \(KILL\)"),
                        (["/no/such/command"], "cannot execute /no/such/command: No such file"),
                        (["-t", "100ms", "sleep", "1000"], r"deadline exceeded: asked 100ms, granted 100ms \(rule requested\)")):
        id = d.submit(*args)
        d.wait_end(id)
        like(d.ctl_ok("status", id), rf"^  end: +{words}")
    ids = [str(id), "999999", str(id)]
    r = d.ctl("status", *ids)
    is_(r.code, 3)
    is_(len(re.findall(f"^job {id}: ", r.out, re.M)), 2)
    like(r.err, "no such job: 999999")
    got = d.json("status", id, id - 1)
    is_([j["id"] for j in got], [id, id - 1])


@case("status of the daemon, config, doctor")
def _():
    like(d.ctl_ok("status"), rf"^  socket: +{re.escape(d.sock)}$")
    is_(d.json("status")["mode"], "user")
    like(d.ctl_ok("config"), r"(?s)^\[limits\]\n.*^running=2$")
    like(d.ctl_ok("reload"), "nothing changed")
    d.configure("[limits]\nrunning=3\n[class new]\n")
    like(d.ctl_ok("reload"), r"\Alimits\.running: 2 -> 3 \(acts now\)\nclass new: added\n\Z")
    r = d.ctl("doctor")
    is_((r.code, r.out), (0, "nothing half-processed\n"))
    is_(d.json("doctor"), {"half_processed": [], "problems": []})


@case("logs: lines from the end, JSON in pieces")
def _():
    id = d.submit("sh", "-c", "seq 100; printf last")
    d.wait_end(id)
    is_(d.ctl_ok("logs", "--tail", 2, id), "100\nlast")
    is_(d.ctl_ok("logs", id), "".join(f"{n}\n" for n in range(1, 101)) + "last")
    for line in d.ctl_ok("logs", "--json", id).splitlines():
        ok({"data", "offset", "dropped"} <= set(json.loads(line)))
    is_(d.ctl("logs", 999999).code, 3)


@case("cancel needs to be told what")
def _():
    ids = [d.submit("--name", "many", "sleep", "1000") for _ in range(4)]
    for args in (["--name", "many"], ["--all"], ["--all-matching"], ["--all-matching", "--limit", 5],
                 ["--all-matching", "--all", ids[0]], ["--all-matching", "--state", "oops"]):
        is_(d.ctl("cancel", *args).code, 2, " ".join(map(str, args)))
    for id in ids:
        ok(d.job(id)["ended_at"] is None)
    r = d.ctl("cancel", "--all-matching", "--name", "many", "--cause", "over", "--wait", "--json")
    is_(r.code, 0)
    is_(sorted(j["id"] for j in json.loads(r.out)), ids)
    for id in ids:
        is_((d.job(id)["state"], d.job(id)["cause"]), ("canceled", "over"))
    r = d.ctl("cancel", "--all-matching", "--name", "many")
    is_((r.code, r.out), (0, ""))
    like(r.err, "no unfinished job matches")


main()
