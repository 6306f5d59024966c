#!/usr/bin/python3
"""Empty output files serve the next job: nobody ever sees the next one's output under the old name."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from ctxtest import *  # noqa: E402,F403

d = Daemon()


def inode(i):
    return os.stat(os.path.join(d.state, "output", "0", f"{i}.1.log")).st_ino


@case("the file of a job that wrote nothing becomes the next job's")
def _():
    gate = os.path.join(d.dir, "gate0")
    os.mkfifo(gate)
    a = d.submit("sh", "-c", f"read x <{gate}")
    d.wait_state(a, "running")
    old = inode(a)
    with open(gate, "w", encoding="ascii") as f:
        f.write("go\n")
    d.wait_end(a)
    b = d.submit("echo", "mine")
    d.wait_end(b)
    is_(inode(b), old, "the same file")
    is_(d.logs(a), "")
    is_(d.logs(b), "mine\n")


@case("the file of a job that wrote something stays its own")
def _():
    a = d.submit("echo", "one")
    d.wait_end(a)
    b = d.submit("echo", "two")
    d.wait_end(b)
    is_((d.logs(a), d.logs(b)), ("one\n", "two\n"))
    ok(inode(a) != inode(b))


@case("who follows a job that ends without a word sees nothing of the next")
def _():
    for n in range(10):
        gate = os.path.join(d.dir, f"gate{n + 1}")
        os.mkfifo(gate)
        a = d.submit("sh", "-c", f"read x <{gate}")
        d.wait_state(a, "running")
        p = d.ctl_bg("logs", "-f", a)
        b = d.submit("sh", "-c", f"echo go >{gate}; while ! echo secret; do :; done")
        out, _ = p.communicate(timeout=60)
        is_(out, b"", "followed")
        d.wait_end(b)
        c = d.submit("echo", "secret")
        d.wait_end(c)
        is_(d.logs(a), "")
        is_(d.logs(c), "secret\n")


@case("a hard link to the empty file keeps it from being used again")
def _():
    gate = os.path.join(d.dir, "gate-link")
    os.mkfifo(gate)
    a = d.submit("sh", "-c", f"read x <{gate}")
    d.wait_state(a, "running")
    link = os.path.join(d.dir, "link")
    os.link(os.path.join(d.state, "output", "0", f"{a}.1.log"), link)
    with open(gate, "w", encoding="ascii") as f:
        f.write("go\n")
    d.wait_end(a)
    b = d.submit("echo", "private")
    d.wait_end(b)
    is_(d.logs(b), "private\n")
    is_(os.path.getsize(link), 0)


main()
