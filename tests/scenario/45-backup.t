#!/usr/bin/python3
"""ctxctl backup: a whole copy of a database that is in use, for those who may have it, without holding up anybody."""
import os
import shutil
import sqlite3
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from ctxtest import *  # noqa: E402,F403
from sysdaemon import ALICE, SystemDaemon, identity  # noqa: E402
from varlink import Varlink, VarlinkError  # noqa: E402

d = Daemon()
BIG = "x" * 100000


def error(fn, *args, **kw):
    try:
        got = fn(*args, **kw)
    except VarlinkError as e:
        return e
    return need(False, f"an error was to come, not {got!r}")


def fill(n):
    """Some jobs with large environments, which stay because the jobs fail."""
    with Varlink(d.sock) as v:
        ids = [r["job"]["id"] for r in v.pipeline([("Submit", {"argv": ["false"], "env": {"BIG": BIG}}) for _ in range(n)])]
        v.call("Wait", ids=ids)
    return ids


def look(path):
    db = sqlite3.connect(f"file:{path}?immutable=1", uri=True)
    is_(db.execute("PRAGMA integrity_check").fetchall(), [("ok",)])
    is_(db.execute("SELECT count(*) FROM state_count AS c WHERE state > 0 AND n <> (SELECT count(*) FROM job WHERE state = c.state)")
        .fetchone()[0], 0)
    ids = {i for (i,) in db.execute("SELECT id FROM job")}
    db.close()
    return ids


@case("a copy under load has all that was acknowledged before, and is whole")
def _():
    before = set(fill(60))
    over = threading.Event()
    after = []

    def load():
        with Varlink(d.sock) as v:
            while not over.is_set() and len(after) < 5000:  # the next cases wait until they have run
                after.append(v.call("Submit", argv=["true"])["job"]["id"])

    t = threading.Thread(target=load)
    t.start()
    wait_until(lambda: len(after) > 20, "load")
    path = os.path.join(d.dir, "copy.db")
    acknowledged = before | set(after)
    try:
        for n in range(3):
            path = os.path.join(d.dir, f"copy{n}.db")
            r = d.ctl("backup", path)
            is_((r.code, r.out, r.err), (0, "", ""))
            got = look(path)
            ok(acknowledged <= got, f"missing: {acknowledged - got}")
            is_(os.stat(path).st_mode & 0o7777, 0o600)
            acknowledged = got | set(after)
    finally:
        over.set()
        t.join()
    is_([n for n in os.listdir(d.dir) + os.listdir(d.state) if "backup" in n or n.endswith(".tmp")], [], "nothing is left beside it")


@case("a ctxd that is started on it works")
def _():
    e = Daemon(start=False)
    os.makedirs(e.state, mode=0o700)
    shutil.copy(os.path.join(d.dir, "copy2.db"), e.db)
    e.start()
    ok(len(e.json("list", "--all")) >= 80)
    i = e.submit("true")
    is_(e.wait_end(i)["state"], "succeeded")
    # What the copy holds as running ran under another daemon: its directory is not here.
    wait_until(lambda: not e.json("list", "--state", "running,stopping,queued"), "every row to be judged")
    e.cleanup()


@case("what is there is not replaced unless --force says so")
def _():
    path = os.path.join(d.dir, "there")
    with open(path, "w", encoding="ascii") as f:
        f.write("precious")
    r = d.ctl("backup", path)
    is_(r.code, 1)
    like(r.err, "exists")
    is_(open(path, encoding="ascii").read(), "precious")
    is_(d.ctl("backup", "--force", path).code, 0)
    look(path)
    is_(d.ctl("backup").code, 2)
    is_(d.ctl("backup", os.path.join(d.dir, "no", "such", "place")).code, 1)
    is_(d.ctl("backup", path + ".json", "--json").out, '{"file_bytes":%d}\n' % os.path.getsize(path + ".json"))


@case("no device, link or directory is replaced, nor the database itself, --force or not")
def _():
    node = os.path.join(d.dir, "odd")
    for make in (os.mkfifo, os.mkdir, lambda p: os.symlink("there", p)):
        make(node)
        r = d.ctl("backup", "--force", node)
        is_(r.code, 1)
        like(r.err, "not a regular file")
        need(not os.path.isfile(node) or os.path.islink(node), "it is what it was")
        (os.rmdir if os.path.isdir(node) else os.unlink)(node)
    before = os.stat(d.db).st_ino
    r = d.ctl("backup", "--force", d.db)
    is_(r.code, 1)
    like(r.err, "in use")
    is_(os.stat(d.db).st_ino, before)


@case("one who does not read what he asked for holds up nobody; one backup at a time")
def _():
    with Varlink(d.sock) as slow, Varlink(d.sock) as other:
        slow.send("Backup", more=True)
        slow.receive()
        is_(error(lambda: list(other.call_more("Backup"))).short, "NotReady")
        i = d.submit("true")
        is_(d.wait_end(i)["state"], "succeeded")
        r = d.ctl("backup", os.path.join(d.dir, "second.db"))
        is_(r.code, 7)
        ok(not os.path.exists(os.path.join(d.dir, "second.db.tmp")), "nothing is left of a refused one")
    wait_until(lambda: d.ctl("backup", "--force", os.path.join(d.dir, "second.db")).code == 0, "the next one")
    look(os.path.join(d.dir, "second.db"))


@case("the WAL starts over again after a backup")
def _():
    with Varlink(d.sock) as v:
        v.send("Backup", more=True)
        v.receive()  # the copy is complete: its snapshot is let go
        fill(150)
        ok(os.path.getsize(d.db + "-wal") < 12 << 20, f"{os.path.getsize(d.db + '-wal')} bytes of WAL")


@case("needs `more`; ctxd that stops meanwhile leaves no half file")
def _():
    with Varlink(d.sock) as v:
        is_(error(v.call, "Backup").short, "ExpectedMore")
        v.send("Backup", more=True)
        v.receive()
        d.stop()
    d.start()
    is_([n for n in os.listdir(d.state) if "backup" in n], [])


@case("root and administrators only: it holds the environments of all")
def _():
    if os.geteuid() != 0:
        skip("needs root")
    s = SystemDaemon()
    with identity(ALICE):
        alice = Varlink(s.sock)
    is_(error(lambda: list(alice.call_more("Backup"))).short, "NotPermitted")
    r = s.ctl("backup", os.path.join(d.dir, "alices.db"), uid=ALICE, gid=ALICE)
    ok(r.code in (1, 4), r)
    is_(s.ctl("backup", os.path.join(d.dir, "system.db")).code, 0)
    look(os.path.join(d.dir, "system.db"))
    alice.close()
    s.cleanup()


main()
