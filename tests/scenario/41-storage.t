#!/usr/bin/python3
"""P9: a full disk, a damaged, foreign or newer database. New work is refused, running work goes on, ends are kept."""
import hashlib
import os
import shutil
import sqlite3
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from ctxtest import *  # noqa: E402,F403
from varlink import Varlink, VarlinkError  # noqa: E402

d = Daemon(start=False)
mounted = False


def mount():
    """A small file system of its own as state directory."""
    global mounted
    if os.geteuid() != 0:
        skip("mounting needs root")
    os.makedirs(d.state, mode=0o700)
    r = run(["mount", "-t", "tmpfs", "-o", "size=3M,mode=0700", "tmpfs", d.state])
    if r.code != 0:
        skip(f"no tmpfs can be mounted: {r.err}")
    mounted = True


def fill():
    path = os.path.join(d.state, "ballast")
    with open(path, "ab", buffering=0) as f:
        for size in (65536, 4096, 1):
            try:
                while True:
                    f.write(b"x" * size)
            except OSError:
                pass
    return path


@case("the disk is full in the middle of an iteration: all of its requests are refused, none is durable")
def _():
    mount()
    d.start()
    first = d.submit("true")
    d.wait_end(first)
    gate = os.path.join(d.dir, "gate")
    os.mkfifo(gate)
    runs = d.submit("sh", "-c", f"read x <{gate}; exit 9")
    d.wait_state(runs, "running")
    ballast = fill()
    big = "x" * 20000
    marker = os.path.join(d.dir, "ran")
    with Varlink(d.sock) as v:
        for got in v.pipeline([("Submit", {"argv": ["sh", "-c", f"echo {n} >>{marker}"], "env": {"BIG": big}})
                               for n in range(4)]):
            need(isinstance(got, VarlinkError), f"refused: {got}")
            is_(got.short, "StorageUnavailable")
            like(got.params["reason"], "disk is full")
    ok(not os.path.exists(marker), "none of them ran")
    is_(len(d.json("list", "--all")), 2, "jobs on record")

    # The job that ran goes on; its end is kept until it can be committed.
    with open(gate, "w", encoding="ascii") as f:
        f.write("go\n")
    wait_until(lambda: not d.job_pids(runs), "the job to end")
    r = d.ctl("doctor")
    is_(r.code, 1)
    os.unlink(ballast)
    j = d.wait_end(runs)
    is_((j["state"], j["exit_code"]), ("failed", 9))
    i = d.submit("true")
    is_(d.wait_end(i)["state"], "succeeded")
    is_(d.ctl("doctor").code, 0)


@case("the disk is full and ctxd is killed: the end is found in the run directory")
def _():
    if not mounted:
        skip("no small file system")
    gate = os.path.join(d.dir, "gate2")
    os.mkfifo(gate)
    i = d.submit("sh", "-c", f"read x <{gate}; exit 8")
    d.wait_state(i, "running")
    ballast = fill()
    with open(gate, "w", encoding="ascii") as f:
        f.write("go\n")
    wait_until(lambda: not d.job_pids(i), "the job to end")
    d.kill9()
    os.unlink(ballast)
    d.start()
    is_(d.wait_end(i)["exit_code"], 8)


@case("the small file system is given back")
def _():
    if d.running():
        d.stop()
    if mounted:
        for pid in d.pids():
            os.kill(pid, 9)
        is_(run(["umount", "--lazy", d.state]).code, 0)


def refused(path, pattern):
    """ctxd does not start on the database at PATH, says why, and changes nothing."""
    state = os.path.dirname(path)
    before = {n: hashlib.sha256(open(os.path.join(state, n), "rb").read()).hexdigest()
              for n in os.listdir(state) if os.path.isfile(os.path.join(state, n))}
    r = run([CTXD, "--user", "--state-dir", state, "--runtime-dir", d.run + "2", "--socket", d.sock + "2"],
            env=d.environment())
    is_(r.code, 79)
    like(r.err, pattern)
    after = {n: hashlib.sha256(open(os.path.join(state, n), "rb").read()).hexdigest()
             for n in os.listdir(state) if os.path.isfile(os.path.join(state, n))}
    is_(after, before, "files of the state directory")


def good():
    """A database with some jobs in it, in a directory of its own."""
    e = Daemon()
    for _ in range(30):
        e.submit("true")
    wait_until(lambda: not e.json("list", "--state", "queued,running"), "the jobs to end")
    e.stop()
    state = os.path.join(d.dir, f"state{len(os.listdir(d.dir))}")
    shutil.copytree(e.state, state)
    e.cleanup()
    return os.path.join(state, "ctxd.db")


@case("a database of a newer version is refused, untouched")
def _():
    path = good()
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 9999")
    db.close()
    refused(path, "newer")


@case("a database that is not ours is refused, untouched")
def _():
    path = os.path.join(d.dir, "foreign", "ctxd.db")
    os.mkdir(os.path.dirname(path), 0o700)
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE recipe (cake TEXT)")
    db.execute("PRAGMA application_id = 77")
    db.commit()
    db.close()
    refused(path, "not a database of ctxd|not ours|another program")


@case("a file that is no database is refused, untouched")
def _():
    path = os.path.join(d.dir, "text", "ctxd.db")
    os.mkdir(os.path.dirname(path), 0o700)
    with open(path, "w", encoding="ascii") as f:
        f.write("Dear diary,\n" * 500)
    refused(path, "not a")


@case("a database cut in half is refused, untouched")
def _():
    path = good()
    os.truncate(path, os.path.getsize(path) // 2 // 4096 * 4096)
    refused(path, "damaged|truncated|cut")


@case("a second ctxd is told the pid of the first")
def _():
    e = Daemon()
    r = run(e.command(), env=e.environment())
    is_(r.code, 1)
    like(r.err, rf"another ctxd \(pid {e.proc.pid}\)")
    ok(e.running(), "the first goes on")
    e.cleanup()


@case("an outside reader sees the views while ctxd runs")
def _():
    e = Daemon()
    e.wait_end(e.submit("sh", "-c", "exit 3"))
    r = run(["sqlite3", "-readonly", e.db, "SELECT count(*) FROM job_history; SELECT count(*) FROM half_processed;"])
    is_(r.code, 0)
    like(r.out, r"^[1-9]\d*\n0\n$")
    is_(os.stat(e.db).st_mode & 0o777, 0o600)
    e.cleanup()


main()
