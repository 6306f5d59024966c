#!/usr/bin/python3
"""Waiting, and the exit status that comes of it."""
import os
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from ctxtest import *

d = Daemon()


@case("the job's own exit status")
def _():
    for code in (0, 1, 2, 77, 255):
        id = d.submit("sh", "-c", f"exit {code}")
        is_(d.ctl("wait", id).code, code)
        job = d.job(id)
        is_(job["state"], "failed" if code else "succeeded")
        is_(job["exit_code"], code)
        is_(job["signal"], None)
        is_(job["cause_code"], "exit")
        is_(job["known_by"], "monitor")


@case("128 + N after signal N")
def _():
    for sig in (signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV):
        id = d.submit("sh", "-c", f"kill -{int(sig)} $$")
        is_(d.ctl("wait", id).code, 128 + sig)
        job = d.job(id)
        is_((job["state"], job["exit_code"], job["signal"], job["cause_code"]), ("failed", None, int(sig), "signal"))


@case("wait before the end, and after it")
def _():
    fifo = os.path.join(d.dir, "go")
    os.mkfifo(fifo)
    id = d.submit("sh", "-c", f"read x <{fifo}; exit 6")
    waiting = [d.ctl_bg("wait", id) for _ in range(5)]
    d.wait_state(id, "running")
    with open(fifo, "w", encoding="ascii") as f:
        f.write("\n")
    for w in waiting:
        w.communicate()
        is_(w.returncode, 6)
    is_(d.ctl("wait", id).code, 6)


@case("of many ids the first that is not 0, in the order of the arguments")
def _():
    a, b, c = (d.submit("sh", "-c", f"exit {n}") for n in (0, 4, 9))
    is_(d.ctl("wait", a, b, c).code, 4)
    is_(d.ctl("wait", c, b, a).code, 9)
    is_(d.ctl("wait", a).code, 0)


@case("--any: one of them is enough")
def _():
    long = d.submit("sleep", "1000")
    short = d.submit("sh", "-c", "exit 3")
    is_(d.ctl("wait", "--any", long, short).code, 3)
    d.ctl_ok("cancel", "--wait", long)


@case("--timeout: 125, and the job goes on")
def _():
    id = d.submit("sleep", "1000")
    d.wait_state(id, "running")
    r = d.ctl("wait", "--timeout", "200ms", id)
    is_(r.code, 125)
    ok(r.err, "says so")
    is_(d.job(id)["state"], "running")
    d.ctl_ok("cancel", "--wait", id)
    is_(d.ctl("wait", id).code, 122)


@case("a deadline: 124")
def _():
    is_(d.ctl("run", "--timeout", "300ms", "sleep", "1000").code, 124)


@case("no such job")
def _():
    is_(d.ctl("wait", 4711).code, 125)
    is_(d.ctl("status", 4711).code, 3)
    is_(d.ctl("cancel", 4711).code, 3)
    is_(d.ctl("logs", 4711).code, 3)
    is_(d.ctl("status", "x1").code, 2)


@case("Ctrl-C on submit --wait only detaches")
def _():
    p = d.ctl_bg("submit", "--wait", "sleep", "1000")
    id = int(p.stdout.readline())
    d.wait_state(id, "running")
    p.send_signal(signal.SIGINT)
    p.communicate()
    is_(d.job(id)["state"], "running")
    d.ctl_ok("cancel", "--wait", id)


@case("Ctrl-C on run cancels")
def _():
    p = d.ctl_bg("run", "--name", "interactive", "sh", "-c", "echo up; exec sleep 1000")
    line = p.stdout.readline()  # now it follows its job, and takes signals for it
    ok(line in ("up\n", b"up\n"), repr(line))
    id, = [j["id"] for j in d.json("list", "--name", "interactive", "--state", "running")]
    p.send_signal(signal.SIGINT)
    p.communicate()
    is_(p.returncode, 122)
    is_(d.wait_end(id)["state"], "canceled")


@case("a client of run that is killed takes the job with it, but not with --detach")
def _():
    for args, end in ((("run",), "canceled"), (("run", "--detach"), None)):
        p = d.ctl_bg(*args, "--name", "watched" + str(len(args)), "sleep", "1000")
        id = wait_until(lambda: [j["id"] for j in d.json("list", "--name", "watched" + str(len(args)), "--state", "running")],
                        "the job")[0]
        p.kill()
        p.communicate()
        if end:
            job = d.wait_end(id)
            is_((job["state"], job["cause_code"]), (end, "client_gone"))
        else:
            is_(d.ctl("wait", "--timeout", "300ms", id).code, 125)
            is_(d.job(id)["state"], "running")
            d.ctl_ok("cancel", "--wait", id)


main()
