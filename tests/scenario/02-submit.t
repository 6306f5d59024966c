#!/usr/bin/python3
"""Submitting: what is printed, what the job gets, what is refused."""
import json
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from ctxtest import *

d = Daemon(conf="[class slow]\ntimeout=1h\n[class batch]\nnice=5\npriority=-3\n")


def output(*args, **kw):
    """Output of a job, which has to succeed."""
    id = d.submit(*args, **kw)
    d.wait_state(id, "succeeded")
    return d.logs(id)


@case("submit prints the id alone on stdout")
def _():
    r = d.ctl("submit", "true")
    is_(r.code, 0)
    like(r.out, r"\A\d+\n\Z")


@case("submit --json prints the job")
def _():
    job = d.json("submit", "--name", "nightly", "--", "echo", "a b", "c")
    job = job.get("job", job)
    is_(job["argv"], ["echo", "a b", "c"])
    is_(job["name"], "nightly")
    need(job["state"] in ("queued", "running"), job["state"])
    is_(job["class"], "default")
    is_(job["uid"], os.getuid())
    like(job["submitted_at"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$")


@case("ids grow")
def _():
    a, b = d.submit("true"), d.submit("true")
    ok(b > a, f"{a} {b}")


@case("the command's own options are its own")
def _():
    is_(output("echo", "--name", "-t"), "--name -t\n")


@case("no shell, but with --shell one")
def _():
    is_(output("echo", "$HOME;", "`x`"), "$HOME; `x`\n")
    is_(output("--shell", "echo one && echo two"), "one\ntwo\n")


@case("working directory: the submitter's, or --chdir")
def _():
    is_(output("pwd", cwd="/usr"), "/usr\n")
    is_(output("-C", "/usr/bin", "pwd"), "/usr/bin\n")
    is_(output("-C", "bin", "pwd", cwd="/usr"), "/usr/bin\n")


@case("umask: the submitter's")
def _():
    old = os.umask(0o027)
    try:
        like(output("sh", "-c", "umask"), r"^0*27$")
    finally:
        os.umask(old)


@case("environment: the submitter's, and what ctx adds")
def _():
    text = output("-n", "the name", "env", env={"MINE": "of mine", "PATH": os.environ["PATH"]})
    like(text, r"^MINE=of mine$")
    like(text, r"^CTX_ID=\d+$")
    like(text, r"^CTX_ATTEMPT=1$")
    like(text, r"^CTX_NAME=the name$")
    like(text, r"^CTX_CLASS=default$")
    like(text, r"^CTX_DEADLINE=\d{4}-.*Z$")
    like(text, r"^CTX_DEADLINE_EPOCH=\d+")
    like(text, r"^CTXD_SOCKET=" + d.sock + "$")
    like(text, r"^NOTIFY_SOCKET=" + d.run)
    unlike(text, r"^CTXD_CHECK=")


@case("--env and --env-mode")
def _():
    like(output("-E", "A=1", "-E", "B", "env", env={"B": "two"}), r"^A=1$(.|\n)*^B=two$|^B=two$(.|\n)*^A=1$")
    text = output("--env-mode", "none", "-E", "A=1", "env", env={"MINE": "x"})
    unlike(text, "^MINE=")
    like(text, "^A=1$")
    text = output("--env-mode", "MINE,OTHER", "env", env={"MINE": "x", "THIRD": "y"})
    like(text, "^MINE=x$")
    unlike(text, "^THIRD=")


@case("a job's descriptors, session and signals are clean")
def _():
    text = output("sh", "-c", "ls -l /proc/self/fd; ps -o sid= -o pid= -p $$ 2>/dev/null || cut -d' ' -f1,6 /proc/$$/stat;"
                  " grep -E 'Sig(Blk|Ign)' /proc/self/status")
    like(text, r" 0 -> /dev/null")
    fds = [line.split(" -> ")[0].split()[-1] for line in text.splitlines() if " -> " in line and "/proc/" not in line]
    is_(sorted(fds), ["0", "1", "2"])
    a, b = text.splitlines()[-3].split()[:2]
    is_(a, b, "session leader")
    like(text, r"SigBlk:\s*0+$")
    # Two bits are libc's own signals, which nobody can set or reset.
    is_(int(re.search(r"SigIgn:\s*([0-9a-f]+)", text).group(1), 16) & ~(3 << 31), 0, "ignored signals")


@case("stdout and stderr are one output, in order, and can be opened by name")
def _():
    is_(output("sh", "-c", "echo 1; echo 2 >&2; echo 3 >>/dev/stdout; echo 4 >>/dev/stderr"), "1\n2\n3\n4\n")


@case("class: its settings count, an unknown one is refused")
def _():
    id = d.submit("-c", "slow", "true")
    job = d.wait_state(id, "succeeded")
    is_(job["timeout_usec"], 3600 * 10**6)
    is_(job["deadline_rule"], "class_default")
    id = d.submit("-c", "batch", "nice")
    job = d.wait_state(id, "succeeded")
    is_(job["priority"], -3)
    is_(d.logs(id), "5\n")
    r = d.ctl("submit", "-c", "nonesuch", "true")
    is_(r.code, 2)
    like(r.err, "class")
    is_(r.out, "")


@case("--wait exits as the job")
def _():
    is_(d.ctl("submit", "--wait", "sh", "-c", "exit 9").code, 9)
    is_(d.ctl("submit", "-w", "true").code, 0)


@case("run streams the output and exits as the job")
def _():
    r = d.ctl("run", "sh", "-c", "echo out; echo err >&2; exit 5")
    is_(r.code, 5)
    like(r.out, "^out$")


@case("wrong spans of time are refused and named")
def _():
    for bad in ("0", "-1", "1x", "", "inf", "nan", "1e3", "99999999999999999999", "1.5h", "4000d", " 5s", "5s x"):
        r = d.ctl("submit", f"--timeout={bad}", "true")
        is_(r.code, 2, f"--timeout {bad!r}")
        is_(r.out, "")
    for bad in ("yesterday", "2001-01-01T00:00:00Z", "now", "now-5s", "2030-13-01T00:00:00Z"):
        r = d.ctl("submit", "--deadline", bad, "true")
        ok(r.code in (2, 7), f"--deadline {bad!r}: {r}")


@case("other wrong usage: exit status 2, and nothing is submitted")
def _():
    before = len(d.json("list", "--all"))
    for args in (["submit"], ["submit", "--nonesuch", "true"], ["submit", "--priority", "high", "true"],
                 ["submit", "--signal", "NOSUCH", "true"], ["submit", "-n", "", "true"], ["submit", "-c", "UPPER", "true"],
                 ["submit", "-E", "=x", "true"], ["nonesuch"], ["submit", "--key", "", "true"],
                 ["submit", "--retries", "many", "true"]):
        r = d.ctl(*args)
        is_(r.code, 2, " ".join(args))
        ok(r.err, "says why")
    is_(len(d.json("list", "--all")), before)


@case("arguments that are not UTF-8 are refused with their position; such variables are left out")
def _():
    r = run([CTXCTL.encode(), b"submit", b"echo", b"a\xff"], env=ctl_env(d.sock))
    is_(r.code, 2)
    like(r.err, "2|second|argument")
    env = {k.encode(): v.encode() for k, v in ctl_env(d.sock).items()}
    env[b"BROKEN"] = b"x\xfey"
    r = run([CTXCTL, "submit", "-w", "true"], env=env)
    is_(r.code, 0)
    like(r.err, "BROKEN")


@case("large arguments and environments: taken whole, or refused with the limit")
def _():
    is_(len(output("echo", "x" * 100000)), 100001)
    r = d.ctl("submit", "echo", *["y" * 100000] * 12)
    ok(r.code in (2, 7, 1), f"{r.code}")
    ok(r.err, "says why")
    is_(d.ctl("status").code, 0, "the daemon is there")


@case("a command that cannot be run")
def _():
    r = d.ctl("run", "/nonexistent/command")
    is_(r.code, 127)
    like(r.err, "nonexistent|No such file")
    r = d.ctl("run", "/etc/passwd")
    is_(r.code, 126)
    id = d.submit("/nonexistent/command")
    job = d.wait_state(id, "failed")
    is_(job["cause_code"], "exec")
    is_(d.ctl("wait", id).code, 127)
    gone = os.path.join(d.dir, "gone")
    os.mkdir(gone)
    id = d.submit("-C", gone, "--", "sleep", "0")
    d.wait_end(id)
    os.rmdir(gone)
    r = d.ctl("submit", "-w", "-C", gone, "true")
    ok(r.code not in (0,), f"working directory gone: {r}")


@case("every command has --help")
def _():
    for cmd in ("submit", "run", "status", "list", "ls", "cancel", "wait", "logs", "extend", "reload", "config", "doctor", "scope",
                "tree", "signal", "progress", "events"):
        r = d.ctl(cmd, "--help")
        is_(r.code, 0, cmd)
        like(r.out, "(?i)usage", cmd)
        is_(r.err, "", cmd)


@case("what is not there is refused, with what was meant")
def _():
    for cmd in ("teleport", "submitt"):
        r = d.ctl(cmd, "1")
        is_(r.code, 2, cmd)


@case("--json of a list is an array")
def _():
    got = json.loads(d.ctl_ok("--json", "list", "--all"))
    ok(isinstance(got, list) and len(got) > 10, "an array of jobs")


main()
