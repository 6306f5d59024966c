#!/usr/bin/python3
"""P9: a full disk, a damaged, foreign or newer database. New work is refused, running work goes on, ends are kept."""
import contextlib
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
    fill_up(path)
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
    wait_until(lambda: d.ctl("doctor").code == 0, "doctor to be content")


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
            with contextlib.suppress(ProcessLookupError):
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


@case("a directory, a link, a pipe and an empty file are refused, by --recover-db too, which is not advised for these")
def _():
    def link(path):
        os.symlink(good(), path)

    for n, (make, text) in enumerate(((os.mkdir, "regular file"), (link, "regular file"), (os.mkfifo, "regular file"),
                                      (lambda p: open(p, "x", encoding="ascii").close(), "is empty"))):
        path = os.path.join(d.dir, f"odd{n}", "ctxd.db")
        os.mkdir(os.path.dirname(path), 0o700)
        make(path)
        for more in ([], ["--recover-db"]):
            r = run([CTXD, "--user", "--state-dir", os.path.dirname(path), "--runtime-dir", d.run + "2", "--socket", d.sock + "2", *more],
                    env=d.environment())
            is_(r.code, 79, f"{text} {more}: {r.err}")
            like(r.err, text)
            unlike(r.err, "recover-db")
        is_(os.listdir(os.path.dirname(path)), ["ctxd.db"])


@case("a database cut in half is refused, untouched")
def _():
    path = good()
    os.truncate(path, os.path.getsize(path) // 2 // 4096 * 4096)
    refused(path, "damaged|truncated|cut")


@case("malformed rows: one that runs, one that waits, one whose time has passed, a scope. They are left as they are; the others go on")
def _():
    e = Daemon(conf="[class one]\nrunning = 1\n")
    gates = []

    def gated(*opts):
        gates.append(os.path.join(e.dir, f"gate{len(gates)}"))
        os.mkfifo(gates[-1])
        i = e.submit(*opts, "sh", "-c", f"read x <{gates[-1]}; exit 9")
        wait_until(lambda: e.job(i)["pid"], "it to run")
        return i

    def release(gate):
        with open(gate, "w", encoding="ascii") as f:
            f.write("go\n")

    def edit(sql, *args):
        db = sqlite3.connect(e.db, timeout=60)
        got = db.execute(sql, args).fetchall()
        db.commit()
        db.close()
        return got

    def break_it(i, column="trace_id"):
        kept[i] = (column, edit(f"SELECT {column} FROM job WHERE id = {i}")[0][0])
        edit(f"UPDATE job SET {column} = x'000102' WHERE id = {i}")
        as_broken[i] = edit(f"SELECT * FROM job WHERE id = {i}")[0]

    kept, as_broken = {}, {}
    runs, other = gated(), gated()
    first = gated("-c", "one")
    queued = e.submit("-c", "one", "--priority", "9", "touch", os.path.join(e.dir, "ran"))
    late = e.submit("-c", "one", "--deadline", "now+1h", "true")
    late2 = e.submit("-c", "one", "--deadline", "now+1h", "true")
    after = e.submit("-c", "one", "true")
    scope = int(e.ctl_ok("scope", "create", "-t", "1h"))
    e.kill9()
    break_it(runs)
    break_it(scope)
    for i in (late, late2):
        edit(f"UPDATE job SET deadline = 1000000, deadline_requested = 1000000 WHERE id = {i}")
    break_it(late, "argv")
    e.start()
    e.wait_log(rf"job {runs}: its row in the database is malformed .the trace.")
    ids = [j["id"] for j in e.json("list", "--all")]
    ok(other in ids and runs not in ids, f"listed: {ids}")
    r = e.ctl("status", runs)
    ok(r.code != 0 and "damaged" in r.err, r)
    r = e.ctl("doctor")
    is_(r.code, 1)
    like(r.out, "^database: the rows of [1-9] jobs are malformed")
    # Another one, while ctxd runs; it would be next.
    break_it(queued, "gids")
    release(gates[2])
    is_(e.wait_end(first)["exit_code"], 9)
    is_(e.wait_end(after)["state"], "succeeded", "what comes behind it in the queue")
    is_(e.wait_end(late2)["state"], "deadline_exceeded", "what comes behind it in the list of what is overdue")
    release(gates[1])
    is_(e.wait_end(other)["exit_code"], 9, "what ran")
    is_(e.wait_end(e.submit("true"))["state"], "succeeded", "what is new")
    is_(e.wait_end(e.submit("-c", "one", "true"))["state"], "succeeded", "no slot is lost")
    is_(e.json("status")["broken_rows"], 4)
    ok(not os.path.exists(os.path.join(e.dir, "ran")))
    ok(e.running())
    ok(f"{runs}.1" in e.job_dirs(), "what may prove its end stays")
    is_(e.log_text().count(f"job {runs}: its row"), 1, "said once")
    for i, row in as_broken.items():
        is_(edit(f"SELECT * FROM job WHERE id = {i}")[0], row, "the row")

    # Mended by hand: the one that runs is found again, and the others take their turn.
    e.stop()
    for i, (column, value) in kept.items():
        edit(f"UPDATE job SET {column} = ? WHERE id = {i}", value)
    e.start()
    wait_until(lambda: e.job(runs)["pid"], "it to be found")
    release(gates[0])
    is_(e.wait_end(runs)["exit_code"], 9)
    is_(e.wait_end(queued)["state"], "succeeded")
    is_(e.wait_end(late)["state"], "deadline_exceeded")
    is_(e.job(scope)["state"], "open")
    e.ctl_ok("scope", "close", "--wait", scope)
    is_(e.ctl("doctor").code, 0)
    e.cleanup()


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
