#!/usr/bin/python3
"""Standard input of jobs: spooled in pieces, fed to the byte, there after every death of ctxd, and gone when nobody needs it."""
# test-timeout: 300
import base64
import hashlib
import os
import platform
import select
import sqlite3
import stat
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from apitest import *  # noqa: E402,F403
from sysdaemon import ALICE, SystemDaemon, identity  # noqa: E402

MAX = 4 << 20
d = ApiDaemon(conf=f"[limits]\nrunning = 4\nstdin_max = {MAX}\n[class one]\nrunning = 1\n")


def spool(v, data, chunk=300000, spool=None):
    """DATA in pieces; the id of the spool."""
    done = 0
    while True:
        piece = data[done:done + chunk]
        done += len(piece)
        more = {} if spool is None else {"spool": spool}
        r = v.call("Spool", data=base64.b64encode(piece).decode(), **more)
        spool = r["spool"]
        is_(r["bytes"], done)
        if done >= len(data):
            return spool


def feed(data, *argv, v=None, **kw):
    """The record of a new job with DATA as its standard input."""
    v = v or d.link()
    got = v.call("Submit", argv=list(argv), stdin=spool(v, data), **kw)
    need(got["created"], "a new job")
    return got["job"]


def names(daemon=None):
    """All files below stdin/."""
    top = os.path.join((daemon or d).state, "stdin")
    return sorted(os.path.relpath(os.path.join(p, f), top) for p, _, files in os.walk(top) for f in files)


def held(daemon=None):
    """What ctxd holds open of spooled files."""
    found = []
    fds = f"/proc/{(daemon or d).proc.pid}/fd"
    for fd in os.listdir(fds):
        try:
            path = os.readlink(os.path.join(fds, fd))
            if "/stdin/" in path and stat.S_ISREG(os.stat(os.path.join(fds, fd)).st_mode):
                found.append(path)
        except OSError:
            pass
    return found


def wait_released():
    wait_until(lambda: not held() and not names(), f"nothing to be left of it: {held()} {names()}")


def where(id):
    return f"{id // 1000}/{id}"


@case("every byte, in pieces of any size, read as standard input and as /dev/stdin; then the end")
def _():
    data = os.urandom(3_000_001)
    copy = os.path.join(d.dir, "copy")
    for reader, chunk in ((f"cat >{copy}", 1 << 19), (f"cat /dev/stdin >{copy}", 77777), (f"cat >{copy} && ! read x", 500009)):
        job = d.call("Submit", argv=["sh", "-c", reader], stdin=spool(d.link(), data, chunk))["job"]
        is_(job["stdin_bytes"], len(data))
        is_(d.wait_end(job["id"])["state"], "succeeded", reader)
        ok(read_file(copy) == data, f"{reader}: the same bytes")
    small = bytes(range(256))
    with d.connect() as v:
        id = v.call("Submit", argv=["sh", "-c", f"cat >{copy}"], stdin=spool(v, small, 1))["job"]["id"]
    d.wait_end(id)
    is_(read_file(copy), small)
    wait_released()


@case("an empty input is one; without any it is /dev/null")
def _():
    job = feed(b"", "sh", "-c", "readlink /proc/self/fd/0; wc -c")
    is_(job["stdin_bytes"], 0)
    d.wait_end(job["id"])
    unlike(d.output(job["id"]).decode(), "/dev/null")
    like(d.output(job["id"]).decode(), "^0$")
    job = d.submit("readlink", "/proc/self/fd/0")
    is_(job["stdin_bytes"], None)
    d.wait_end(job["id"])
    is_(d.output(job["id"]), b"/dev/null\n")


@case("a spool is its connection's, for one job")
def _():
    with d.connect() as v, d.connect() as w:
        s = spool(v, b"mine")
        for method, params in (("Submit", {"argv": ["true"], "stdin": s}), ("Spool", {"data": "", "spool": s})):
            is_(refused(w.call, "InvalidArgument", method, **params)["field"], "stdin" if method == "Submit" else "spool")
        is_(refused(v.call, "InvalidArgument", "Submit", argv=["true"], stdin=s + 1)["field"], "stdin")
        is_(refused(v.call, "InvalidArgument", "Spool", data="a")["field"], "data")
        v.call("Submit", argv=["cat"], stdin=s)
        is_(refused(v.call, "InvalidArgument", "Submit", argv=["cat"], stdin=s)["field"], "stdin")
        # Two in one go: the second comes too late.
        s = spool(v, b"one")
        a, b = v.pipeline([("Submit", {"argv": ["cat"], "stdin": s})] * 2)
        ok(a["created"] and isinstance(b, VarlinkError) and b.short == "InvalidArgument", b)
        # What is refused keeps it.
        s = spool(v, b"kept")
        refused(v.call, "InvalidArgument", "Submit", argv=["cat"], stdin=s, name="")
        id = v.call("Submit", argv=["cat"], stdin=s)["job"]["id"]
        d.wait_end(id)
        is_(d.output(id), b"kept")
    wait_released()


@case("the limit: as much as it says, and no byte more")
def _():
    with d.connect() as v:
        data = os.urandom(MAX)
        s = spool(v, data)
        e = refused(v.call, "InvalidArgument", "Spool", data="YQ==", spool=s)
        is_(e["field"], "data")
        like(e["reason"], str(MAX))
        id = v.call("Submit", argv=["sha256sum"], stdin=s)["job"]["id"]
        d.wait_end(id)
        like(d.output(id).decode(), hashlib.sha256(data).hexdigest(), "all that was within the limit")
    wait_released()


@case("dropped with the connection: no file, no descriptor")
def _():
    with d.connect() as v:
        spool(v, b"x" * 100000)
        spool(v, b"y")
        need(len(held()) == 2, f"two are held: {held()}")
        is_(names(), [], "and have no name")
    wait_released()
    v = d.connect()
    s = spool(v, b"z")
    v.send("Submit", {"argv": ["sleep", "1000"], "stdin": s, "key": "drops"})
    v.receive()
    v.close()
    job = d.jobs(key="drops")[0]
    d.wait_started(job["id"])
    is_(names(), [where(job["id"])], "the job's stays")
    d.cancel(job["id"], now=True)
    d.wait_end(job["id"])
    drop_kept()
    wait_released()


def drop_kept():
    """As if [environment] keep had passed for all that ended."""
    d.wait_all_ended()
    d.stop()
    db = sqlite3.connect(d.db)
    db.execute("UPDATE job_env SET ended = 1 WHERE ended > 0")
    db.commit()
    db.close()
    d.start()
    wait_until(lambda: not d.sql("SELECT 1 FROM job_env WHERE ended > 0"), "the environments to go")


@case("a user holds only so much that is no job's yet")
def _():
    links = [d.connect() for _ in range(9)]
    data = b"x" * MAX
    for v in links[:8]:
        spool(v, data)
    like(refused(links[8].call, "NotReady", "Spool", data="YQ==")["reason"], "too much spooled")
    links[0].close()
    wait_until(lambda: len(held()) < 8, "one to be let go")
    spool(links[8], b"a")
    for v in links:
        v.close()
    wait_released()


@case("a job's file: readable for whoever the job is, in a directory that is not")
def _():
    job = feed(b"secret", "sleep", "1000")
    d.wait_started(job["id"])
    path = os.path.join(d.state, "stdin", where(job["id"]))
    is_(stat.S_IMODE(os.stat(path).st_mode), 0o444)
    for folder in (os.path.dirname(path), os.path.dirname(os.path.dirname(path))):
        is_(stat.S_IMODE(os.stat(folder).st_mode), 0o700)
    d.cancel(job["id"], now=True)
    d.wait_end(job["id"])
    drop_kept()
    wait_released()


@case("queued over a stop and over kill -9, it gets its input all the same")
def _():
    for end in (d.stop, d.kill9):
        blocker = d.submit("sleep", "1000", **{"class": "one"})["id"]
        data = os.urandom(200000)
        job = feed(data, "sha256sum", **{"class": "one"})
        is_(job["state"], "queued")
        end()
        is_(names(), [where(job["id"])])
        d.start()
        d.cancel(blocker, now=True)
        is_(d.wait_end(job["id"])["state"], "succeeded")
        like(d.output(job["id"]).decode(), hashlib.sha256(data).hexdigest())
        wait_released()


@case("kill -9 between spooling and submitting, and just after: a committed job has its input, the rest leaves nothing")
def _():
    seen = 0
    for round in range(8):
        v = d.connect()
        data = os.urandom(50000)
        s = spool(v, data)
        if round % 4:
            v.send("Submit", {"argv": ["sha256sum"], "stdin": s, "name": f"round {round}"})
            if round % 4 == 2:
                v.receive()
            elif round % 4 == 3:
                wait_until(lambda: names() or select.select([v], [], [], 0)[0], "its file to have a name", step=0.0005)
        d.kill9()
        v.close()
        d.start()
        for job in d.jobs(name=f"round {round}"):
            seen += 1
            is_(d.wait_end(job["id"])["state"], "succeeded")
            like(d.output(job["id"]).decode(), hashlib.sha256(data).hexdigest())
        wait_released()
    ok(seen >= 2, f"{seen} of the jobs were committed")


@case("gone after success; kept of what failed, for a retry, as long as its environment")
def _():
    flag = os.path.join(d.dir, "flag")
    argv = ["sh", "-c", f"cat; test -e {flag}"]
    job = feed(b"some input", *argv, key="again")
    is_(d.wait_end(job["id"])["state"], "failed")
    is_(names(), [where(job["id"])])
    d.restart()
    write_file(flag)
    with d.connect() as v:
        s = spool(v, b"some input")
        got = v.call("Submit", argv=argv, key="again", if_exists="retry", stdin=s)
        is_((got["created"], got["job"]["id"], got["job"]["attempt"]), (False, job["id"], 2))
    is_(d.wait_end(job["id"])["state"], "succeeded")
    is_(d.output(job["id"]), b"some input")
    wait_released()

    # What expires takes it along; and what lost it cannot be retried.
    ids = [feed(b"more", "false", key=f"old {n}")["id"] for n in range(3)]
    for id in ids:
        d.wait_end(id)
    os.unlink(os.path.join(d.state, "stdin", where(ids[0])))
    with d.connect() as v:
        e = refused(v.call, "InvalidArgument", "Submit", argv=["false"], key="old 0", if_exists="retry", stdin=spool(v, b"more"))
    like(e["reason"], "input is not kept")
    is_(names(), sorted(where(id) for id in ids[1:]))
    drop_kept()
    wait_until(lambda: not names(), "their inputs to go")


@case("a record that goes takes its input along")
def _():
    id = feed(b"x", "false")["id"]
    d.wait_end(id)
    d.stop()
    db = sqlite3.connect(d.db)
    db.execute("UPDATE job SET ended = 1 WHERE id = ?", (id,))
    db.commit()
    db.close()
    d.start()
    wait_until(lambda: not d.jobs(after=id - 1, limit=1), "the record to go")
    wait_until(lambda: not names(), "its input to go")


@case("the same key: the same input, or a conflict; what was spooled in vain is dropped")
def _():
    with d.connect() as v:
        id = feed(b"abc", "cat", v=v, key="input")["id"]
        for other in ({}, {"stdin": spool(v, b"abd")}, {"stdin": spool(v, b"abc ")}, {"stdin": spool(v, b"")}):
            is_(refused(v.call, "KeyConflict", "Submit", argv=["cat"], key="input", **other)["id"], id)
    with d.connect() as v:
        got = v.call("Submit", argv=["cat"], key="input", stdin=spool(v, b"abc", 1))
        is_((got["job"]["id"], got["created"]), (id, False))
        d.wait_end(id)
        is_(d.output(id), b"abc")
        id = v.call("Submit", argv=["cat"], key="none")["job"]["id"]
        is_(refused(v.call, "KeyConflict", "Submit", argv=["cat"], key="none", stdin=spool(v, b""))["id"], id)
    wait_released()


@case("found at the start: what is nobody's goes, what is somebody's stays")
def _():
    done = d.submit("true")["id"]
    d.wait_end(done)
    kept = feed(b"kept", "false", key="kept")["id"]
    d.wait_end(kept)
    d.stop()
    top = os.path.join(d.state, "stdin")
    stale = [where(done), "0/0", "7/7001", "9/9123456", ".new.1", ".new.17"]
    stale += [where(10 ** 6 + n) for n in range(300)]
    for name in stale:
        os.makedirs(os.path.dirname(os.path.join(top, name)), mode=0o700, exist_ok=True)
        write_file(os.path.join(top, name), "stale")
    write_file(os.path.join(top, "notes"), "not ours")
    d.start()
    wait_until(lambda: len(names()) <= 4, "the sweep", step=0.02)
    wait_until(lambda: names() == sorted([where(kept), "notes", "9/9123456"]), f"the sweep: {names()}")
    is_(read_file(os.path.join(top, where(kept))), b"kept")
    # A file that stands where a new job's belongs.
    blocker = [d.submit("sleep", "1000")["id"] for _ in range(4)]
    write_file(os.path.join(top, where(blocker[-1] + 1)), "in the way")
    job = feed(b"right", "cat")
    is_(job["id"], blocker[-1] + 1)
    for id in blocker:
        d.cancel(id, now=True)
    d.wait_end(job["id"])
    is_(d.output(job["id"]), b"right")
    for name in ("notes", "9/9123456"):
        os.unlink(os.path.join(top, name))
    drop_kept()
    wait_released()


# Answers EOPNOTSUPP to every openat with O_TMPFILE, and becomes the program.
WITHOUT_TMPFILE = """
import ctypes, os, struct, sys
def op(code, jt, jf, k):
    return struct.pack("=HBBI", code, jt, jf, k)
nr = int(sys.argv[1])
code = b"".join([op(0x20, 0, 0, 0), op(0x15, 0, 3, nr), op(0x20, 0, 0, 32), op(0x45, 0, 1, 0o20000000),
                 op(0x06, 0, 0, 0x00050000 | 95), op(0x06, 0, 0, 0x7fff0000)])
buf = ctypes.create_string_buffer(code)
prog = ctypes.create_string_buffer(struct.pack("@HP", len(code) // 8, ctypes.addressof(buf)))
libc = ctypes.CDLL(None, use_errno=True)
if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, prog, 0, 0):
    sys.exit("seccomp: " + os.strerror(ctypes.get_errno()))
os.execv(sys.argv[2], sys.argv[2:])
"""


@case("a file system without nameless files: the same, and nothing stays behind")
def _():
    nr = {"x86_64": 257, "aarch64": 56}.get(platform.machine())
    if not nr:
        skip("the number of openat is not known here")
    d.stop()
    prefix = [sys.executable, "-c", WITHOUT_TMPFILE, str(nr)]
    d.start(prefix=prefix)
    data = os.urandom(700000)
    with d.connect() as v:
        s = spool(v, data)
        is_(len(names()), 1, "it has a name meanwhile")
        like(names()[0], r"^\.new\.\d+$")
        spool(v, b"in vain")
        id = v.call("Submit", argv=["sha256sum"], stdin=s)["job"]["id"]
        d.wait_end(id)
    like(d.output(id).decode(), hashlib.sha256(data).hexdigest())
    wait_released()
    with d.connect() as v:
        spool(v, b"left")
        d.kill9()
        is_(len(names()), 1)
        d.start(prefix=prefix)
    wait_released()
    d.restart()


@case("a full disk: refused, nothing half accepted, and as before once there is room")
def _():
    if os.geteuid() != 0:
        skip("mounting needs root")
    e = ApiDaemon(start=False)
    os.makedirs(e.state, mode=0o700)
    r = run(["mount", "-t", "tmpfs", "-o", "size=4M,nr_inodes=40,mode=0700", "tmpfs", e.state])
    if r.code != 0:
        skip(f"no tmpfs can be mounted: {r.err}")
    try:
        e.start()
        full_disk(e)
        e.stop()
    finally:
        e._kill_all()
        is_(run(["umount", "--lazy", e.state]).code, 0)
    e.cleanup()


def ballast(e, n):
    return os.path.join(e.state, f"ballast{n}")


def fill(e):
    with open(ballast(e, 0), "wb", buffering=0) as f:
        try:
            while f.write(b"x" * 4096):
                pass
        except OSError:
            pass


def full_disk(e):
    with e.connect() as v:
        s = spool(v, b"begin ")
        fill(e)
        more = base64.b64encode(b"x" * 100000).decode()
        like(refused(v.call, "StorageUnavailable", "Spool", data=more, spool=s)["reason"], "disk is full")
        os.unlink(ballast(e, 0))
        # What failed changed nothing: the same piece again.
        is_(v.call("Spool", data=base64.b64encode(b"end").decode(), spool=s)["bytes"], 9)
        id = v.call("Submit", argv=["cat"], stdin=s)["job"]["id"]
        is_(e.wait_end(id)["state"], "succeeded")
        is_(e.output(id), b"begin end")

        # No room for the row: the file that had its name already loses it.
        s = spool(v, b"in vain")
        fill(e)
        calls = [("Submit", {"argv": ["true"], "env": {"BIG": "x" * 20000}, "stdin": s})]
        calls += [("Submit", {"argv": ["true"], "env": {"BIG": "x" * 20000}})] * 4
        for r in v.pipeline(calls):
            need(isinstance(r, VarlinkError), f"refused: {r}")
            is_(r.short, "StorageUnavailable")
        wait_until(lambda: not names(e), "its file to go")
        os.unlink(ballast(e, 0))

        # No room for its name: the job is not accepted, nor is what came with it in the same moment.
        s = spool(v, b"named")
        n = 0
        try:
            while True:
                n += 1
                write_file(ballast(e, n))
        except OSError:
            pass
        marker = os.path.join(e.dir, "marker")
        argv = ["sh", "-c", f"cat >>{marker}"]
        got = v.pipeline([("Submit", {"argv": argv, "stdin": s, "name": "lost"}), ("Submit", {"argv": argv, "name": "lost"})])
        for r in got:
            need(isinstance(r, VarlinkError), f"refused: {r}")
            is_(r.short, "StorageUnavailable")
        is_(e.jobs(name="lost"), [])
        wait_until(lambda: not names(e), "its file to go")
        ok(not os.path.exists(marker), "none of them ran")
        for i in range(1, n):
            os.unlink(ballast(e, i))
        id = v.call("Submit", argv=["cat"], stdin=spool(v, b"after"))["job"]["id"]
        e.wait_end(id)
        is_(e.output(id), b"after")


@case("a job of another user than ctxd's reads it, by both names")
def _():
    if os.geteuid() != 0:
        skip("needs root")
    s = SystemDaemon()
    with identity(ALICE):
        v = Varlink(s.sock)
    for script in ("id -u; cat", "id -u; cat /dev/stdin"):
        id = v.call("Submit", argv=["sh", "-c", script], stdin=spool(v, b"hers"))["job"]["id"]
        is_(v.call("Wait", ids=[id])["jobs"][0]["state"], "succeeded")
        out = b"".join(base64.b64decode(r["data"]) for r in v.call_more("Logs", id=id))
        is_(out, b"%d\nhers" % ALICE)
    v.close()
    s.cleanup()


main()
