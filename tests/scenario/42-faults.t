#!/usr/bin/python3
"""P9: every resource runs out once. New work is refused with a reason, or held; what runs goes on; ends are kept, and
committed when there is room again."""
# test-timeout: 300
import contextlib
import json
import os
import re
import resource
import sqlite3
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from ctxtest import *  # noqa: E402,F403
from failing import failing  # noqa: E402
from varlink import Varlink, VarlinkClosed, VarlinkError  # noqa: E402

gates = 0


class Gate:
    """A running job that ends with CODE when it is let go."""

    def __init__(self, d, code=9):
        global gates
        gates += 1
        self.d, self.code = d, code
        self.path = os.path.join(d.dir, f"gate{gates}")
        os.mkfifo(self.path)
        self.id = d.submit("sh", "-c", f"read x <{self.path}; exit {code}")
        d.wait_state(self.id, "running")
        wait_until(lambda: d.job_pids(self.id), "its process")

    def open(self):
        with open(self.path, "w", encoding="ascii") as f:
            f.write("go\n")
        wait_until(lambda: not self.d.job_pids(self.id), "the job to end")

    def check(self):
        j = self.d.wait_end(self.id)
        is_((j["state"], j["exit_code"]), ("failed", self.code))


def refused(d, *reasons, **kw):
    with Varlink(d.sock) as v:
        try:
            got = v.call("Submit", argv=["true"], **kw)
        except VarlinkError as e:
            is_(e.short, "StorageUnavailable")
            like(e.params["reason"], "|".join(reasons))
            return
    need(False, f"a refusal was to come, not {got}")


def told(d, id):
    """What is told of a job meanwhile: what is asked in the moment of a commit that fails is refused with it."""
    r = wait_until(lambda: (r := d.ctl("--json", "status", id)).code == 0 and r, "an answer between two attempts to write")
    return json.loads(r.out)


def works(d, doctor=True):
    is_(d.wait_end(d.submit("true"))["state"], "succeeded", "new work")
    if not doctor:  # a small file system is nothing it is content with
        return
    said = []
    wait_until(lambda: said.append(d.ctl("doctor")) or said[-1].code == 0 or diag(said[-1]), "doctor to be content")


@contextlib.contextmanager
def small(path, size):
    """A file system of its own at PATH."""
    if os.geteuid() != 0:
        skip("mounting needs root")
    os.makedirs(path, mode=0o700, exist_ok=True)
    r = run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", path])
    if r.code != 0:
        skip(f"no tmpfs can be mounted: {r.err}")
    try:
        yield
    finally:
        run(["umount", "--lazy", path])


def fill(where):
    path = os.path.join(where, "ballast")
    fill_up(path)
    return path


@case("the run directory is full: ends are kept, new jobs wait, and run when there is room")
def _():
    d = Daemon(start=False)
    with small(d.run, "256k"):
        d.start()
        g = Gate(d)
        ballast = fill(d.run)
        held = [d.submit("true") for _ in range(3)]
        wait_until(lambda: len(re.findall("was not started: No space left", d.log_text())) > 16, "attempts that failed")
        for i in held:
            need(d.job(i)["state"] in ("queued", "running"), "held, not failed")
        g.open()
        g.check()
        os.unlink(ballast)
        for i in held:
            is_(d.wait_end(i)["state"], "succeeded")
        works(d, doctor=False)
        d.stop()
    d.cleanup()


@case("the file system of the output is full: what runs goes on, its end is known, new work runs when there is room")
def _():
    d = Daemon(start=False)
    with small(os.path.join(d.state, "output"), "256k"):
        d.start()
        g = Gate(d)
        writer = d.submit("sh", "-c", "echo first; while :; do [ -e %s ] && break; done; head -c 100000 /dev/zero || exit 8" % os.path.join(d.dir, "go"))
        d.wait_state(writer, "running")
        wait_until(lambda: d.logs(writer), "its first line")
        ballast = fill(os.path.join(d.state, "output"))
        with open(os.path.join(d.dir, "go"), "w", encoding="ascii"):
            pass
        g.open()
        g.check()
        is_(d.wait_end(writer)["exit_code"], 8, "the job is told by its own write")
        os.unlink(ballast)
        works(d, doctor=False)
        d.stop()
    d.cleanup()


@case("the database cannot be written (read-only, input/output error): refused, ends are kept, all goes on when it can be")
def _():
    d = Daemon()
    for error in ("EROFS", "EIO"):
        g = Gate(d, 7)
        with failing(d.proc.pid, "pwrite64,fdatasync,fsync", error):
            refused(d, ".")
            g.open()
            is_(told(d, g.id)["state"], "running", "an end that is not committed is not told")
            r = d.ctl("doctor")
            ok(r.code != 0, f"doctor sees it: {r}\n{d.log_text()}")
        g.check()
        works(d)
    d.cleanup()


@case("another program holds the write lock: refused at once, ends are kept")
def _():
    d = Daemon()
    g = Gate(d)
    db = sqlite3.connect(d.db, timeout=60, isolation_level=None)
    db.execute("BEGIN IMMEDIATE")
    refused(d, "lock|busy")
    g.open()
    is_(told(d, g.id)["state"], "running", "an end that is not committed is not told")
    db.execute("ROLLBACK")
    g.check()
    works(d)
    db.close()
    d.cleanup()


@case("VACUUM from outside, again and again, while jobs come and go: each ends, or was refused")
def _():
    d = Daemon()
    script = "import sqlite3,sys\nfor _ in range(30):\n  try: sqlite3.connect(sys.argv[1], timeout=5, isolation_level=None).execute('VACUUM')\n" \
             "  except sqlite3.OperationalError: pass\n"
    p = subprocess.Popen([sys.executable, "-c", script, d.db])
    ids, no = [], 0
    with Varlink(d.sock) as v:
        while p.poll() is None or len(ids) < 20:
            if len(ids) > 3000:  # that is enough, however slow they are
                p.wait()
            try:
                ids.append(v.call("Submit", argv=["true"])["job"]["id"])
            except VarlinkError as e:
                is_(e.short, "StorageUnavailable")
                no += 1
    p.wait()
    diag(f"{len(ids)} submitted, {no} refused")
    with Varlink(d.sock) as v:
        for i in ids:
            is_(v.call("Wait", ids=[i])["jobs"][0]["state"], "succeeded")
    works(d)
    d.cleanup()


@case("a reader that keeps a snapshot: everything goes on, the WAL grows, and starts over when it is gone")
def _():
    d = Daemon()
    wal = d.db + "-wal"
    reader = sqlite3.connect(f"file:{d.db}?mode=ro", uri=True, isolation_level=None)
    reader.execute("BEGIN")
    n = reader.execute("SELECT count(*) FROM job").fetchone()[0]
    size = os.path.getsize(wal)
    with Varlink(d.sock) as v:
        def load():
            ids = [r["job"]["id"] for r in v.pipeline([("Submit", {"argv": ["true"], "env": {"BIG": "x" * 100000}}) for _ in range(20)])]
            v.call("Wait", ids=ids)

        wait_until(lambda: load() or os.path.getsize(wal) > size + (4 << 20), "the WAL to grow")
        is_(reader.execute("SELECT count(*) FROM job").fetchone()[0], n, "its snapshot")
        diag(f"WAL: {size} bytes before, {os.path.getsize(wal)} under a snapshot")
        reader.execute("COMMIT")
        reader.close()
        wait_until(lambda: load() or os.path.getsize(wal) <= 9 << 20, "the WAL to be cut to its limit")
    works(d)
    d.cleanup()


@case("ctxd has no descriptor left: connections wait, jobs end, and all is taken up again")
def _():
    d = Daemon()
    g = Gate(d)
    pid = d.proc.pid
    was = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    with Varlink(d.sock) as v:
        v.call("Stats")
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (1, was[1]))
        job = v.call("Submit", argv=["true"])["job"]
        g.open()
        with Varlink(d.sock) as late:
            replies = late.call_more("Stats")  # sent, and not waited for
            resource.prlimit(pid, resource.RLIMIT_NOFILE, was)
            try:
                ok("jobs" in next(replies), "served, there are descriptors again")
            except VarlinkError as e:  # it was looked at before: then it is told
                is_(e.short, "NotReady")
    g.check()
    is_(d.wait_end(job["id"])["state"], "succeeded", "what was accepted runs")
    works(d)
    d.cleanup()


@case("no process can be made (EAGAIN): accepted work waits and runs later, what runs goes on")
def _():
    d = Daemon()
    g = Gate(d)
    with failing(d.spawner_pid(), "clone,clone3,fork,vfork", "EAGAIN"):
        held = d.submit("true")
        # More often than a job is started anew that never runs for a reason of its own.
        wait_until(lambda: d.log_text().count("could not start it") > 7, "attempts that failed")
        need(d.job(held)["state"] in ("queued", "running"), "held, not failed")
        g.open()
        g.check()
    is_(d.wait_end(held)["state"], "succeeded")
    works(d)
    d.cleanup()


@case_if("asan" not in BUILD, "ctxd gets no memory: the request is refused, what runs goes on")
def _():
    d = Daemon()
    g = Gate(d)
    pid = d.proc.pid
    was = resource.prlimit(pid, resource.RLIMIT_AS)
    with open(f"/proc/{pid}/statm", encoding="ascii") as f:
        size = int(f.read().split()[0]) * resource.getpagesize()
    resource.prlimit(pid, resource.RLIMIT_AS, (size, was[1]))
    refusals = 0
    for n in range(10):
        try:
            with Varlink(d.sock) as v:
                v.call("Submit", argv=["true"], env={f"BIG{n}": "x" * 100000 for n in range(8)})
        except (VarlinkError, VarlinkClosed, OSError) as e:
            diag(f"without memory: {e}")
            refusals += 1
    ok(refusals > 0, "some were refused")
    ok(d.running(), "ctxd lives")
    g.open()
    resource.prlimit(pid, resource.RLIMIT_AS, was)
    g.check()
    works(d)
    d.cleanup()


@case("no inotify: logs -f follows all the same")
def _():
    d = Daemon()
    with failing(d.proc.pid, "inotify_init1", "EMFILE"):
        go = os.path.join(d.dir, "go")
        os.mkfifo(go)
        i = d.submit("sh", "-c", f"echo one; read x <{go}; echo two")
        p = d.ctl_bg("logs", "-f", i)
        is_(p.stdout.readline().strip(), b"one")
        with open(go, "w", encoding="ascii") as f:
            f.write("go\n")
        out, _ = p.communicate(timeout=120)
        is_(out.strip(), b"two")
        is_(p.returncode, 0)
    d.cleanup()


main()
