#!/usr/bin/python3
"""What jobs print: every byte, in its order, as long as it is kept, and to nobody's cost but the disk's."""
import base64
import hashlib
import os
import signal
import sqlite3
import stat
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from apitest import *  # noqa: E402,F403

CONF = "[output]\nmax_bytes = {}\n[deadline]\ngrace = 500ms\n[limits]\nrunning = {}\n"
HEAD = 65536
LINE = 16
d = ApiDaemon(conf=CONF.format("64M", 16))


def configure(cap="64M", running=16):
    d.configure(CONF.format(cap, running))
    d.call("Reload")


def done(*argv, **params):
    """Id of a job that has succeeded."""
    j = d.wait_end(d.submit(*argv, **params)["id"])
    need(j["state"] == "succeeded", f"{argv}: {j['state']} {j['cause']}")
    return j["id"]


def raw(*args, timeout=60):
    """stdout of ctxctl as bytes, exit status."""
    p = subprocess.run([CTXCTL, *map(str, args)], env=ctl_env(d.sock), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                       timeout=timeout, check=False)
    return p.stdout, p.returncode


def printed(data):
    """Id of a job that printed DATA."""
    path = os.path.join(d.dir, "data")
    write_file(path, data)
    return done("cat", path)


def numbered(first, last):
    return b"".join(b"%015d\n" % i for i in range(first, last + 1))


class Follower:
    """Logs with follow on a connection of its own, read when asked."""

    def __init__(self, id, **params):
        self.v = d.connect()
        self.v.send("Logs", {"id": id, "follow": True, **params}, more=True)
        self.data, self.dropped, self.over = b"", 0, False

    def piece(self):
        p, more = self.v.receive()
        self.data += base64.b64decode(p["data"])
        self.dropped += p["dropped"]
        self.offset = p["offset"]
        self.over = not more
        return p

    def until(self, text):
        while text not in self.data:
            need(not self.over, f"{text} to come; got {self.data[-100:]!r}")
            self.piece()
        return self

    def to_end(self):
        while not self.over:
            self.piece()
        self.v.close()
        return self


# What is written ---------------------------------------------------------------------------------------------------------


@case("stdout and stderr are in one file, in the order they were written")
def _():
    script = "for i in 1 2 3 4 5 6 7 8 9; do echo out $i; echo err $i >&2; done"
    want = "".join(f"out {i}\nerr {i}\n" for i in range(1, 10)).encode()
    id = done(sh=script)
    is_(d.output(id), want)
    is_(raw("logs", id), (want, 0))
    id = done("python3", "-uc", "import os\nfor i in range(1000): os.write(1 + i % 2, b'%d ' % i)")
    is_(d.output(id), b"".join(b"%d " % i for i in range(1000)))


@case("many writers at once: nothing is lost, no line is torn")
def _():
    id = done("bash", "-c", "for w in 1 2 3 4 5 6; do (for i in $(seq 500); do echo $w.$i; echo $w.$i.e >&2; done) & done; wait",
              env={"PATH": os.environ["PATH"]})
    lines = d.output(id).decode().split("\n")[:-1]
    is_(sorted(lines), sorted(f"{w}.{i}{e}" for w in range(1, 7) for i in range(1, 501) for e in ("", ".e")))
    for w in range(1, 7):
        mine = [x for x in lines if x.startswith(f"{w}.")]
        is_(mine, [f"{w}.{i}{e}" for i in range(1, 501) for e in ("", ".e")], "in the order of each")


@case("every byte there is: zeros, controls, broken UTF-8; no end of line at the end; nothing at all")
def _():
    for data in (bytes(range(256)) * 20, b"\0" * 5000, b"", b"\n", b"no end", b"\xff\xfe\xc3(", b"a\r\n\x1b[2J\x07", b"\0\n\0"):
        id = printed(data)
        is_(d.output(id), data)
        is_(raw("logs", id), (data, 0))
        j = d.job(id)
        is_(j["output"], {"bytes": len(data), "dropped": 0})


@case("what leftovers print until they end is there, too")
def _():
    id = done("bash", "-c", "(trap 'echo last words; exit' TERM; echo up; while :; do sleep 0.02; done) & "
              "while ! grep -q up /proc/$$/fd/1; do sleep 0.01; done; echo main", grace_usec=20 * S, env={"PATH": os.environ["PATH"]})
    is_(d.output(id).decode().replace("Terminated\n", ""), "up\nmain\nlast words\n")


@case("the file: where it is said to be, for its owner and group alone, only to be appended to")
def _():
    id = done(sh="echo x; cat /proc/$$/fdinfo/1")
    path = d.output_path(id)
    st = os.stat(path)
    is_((stat.S_IMODE(st.st_mode), st.st_uid), (0o640, os.getuid()))
    is_(stat.S_IMODE(os.stat(d.state).st_mode), 0o700)
    like(read_file(path).decode(), r"flags:\s+0?[0-7]*2[0-7]{3}\b", "O_APPEND")
    is_(d.output(id), read_file(path))


# Kept apart --------------------------------------------------------------------------------------------------------------


def err_path(id):
    return d.output_path(id)[:-3] + "err"


def both(*argv, **params):
    """(id, output, errors) of a job that keeps its streams apart and succeeds."""
    id = done(*argv, split_output=True, **params)
    return id, d.output(id), d.output(id, stream="stderr")


@case("split: each stream in a file of its own, every byte of it; sizes told while it runs and after")
def _():
    gate = fifo(d, "split")
    id = d.submit(sh=f"echo out; echo err one >&2; read x <{gate}; echo err two >&2", split_output=True)["id"]
    wait_until(lambda: d.output(id, stream="stderr") == b"err one\n", "the first line")
    j = wait_until(lambda: (lambda j: j if j["output"]["bytes"] else None)(d.job(id)), "its output")
    is_((j["output"], j["stderr"]), ({"bytes": 4, "dropped": 0}, {"bytes": 8, "dropped": 0}))
    f = Follower(id, stream="stderr")
    g = Follower(id)
    f.until(b"err one\n")
    go(gate)
    is_(f.to_end().data, b"err one\nerr two\n")
    is_(g.to_end().data, b"out\n")
    j = d.job(id)
    is_((j["state"], j["output"], j["stderr"]), ("succeeded", {"bytes": 4, "dropped": 0}, {"bytes": 16, "dropped": 0}))
    is_(d.output(id, stream="stderr", tail=1), b"err two\n")
    st = os.stat(err_path(id))
    is_((stat.S_IMODE(st.st_mode), st.st_uid), (0o640, os.getuid()))
    data = bytes(range(256)) * 300
    path = os.path.join(d.dir, "data")
    write_file(path, data)
    is_(both(sh=f"cat {path} >&2")[1:], (b"", data))
    is_(both("cat", path)[1:], (data, b""))


@case("split: nothing of one stream is found in the other, nor in another job's, empty files used again or not")
def _():
    seen = []
    for n in range(6):
        done("true")
        seen += [(both(sh=f"echo {n} >&2"), b"", b"%d\n" % n), (both(sh=f"echo {n}"), b"%d\n" % n, b""), (both("true"), b"", b"")]
        id = done(sh=f"echo {n}; echo {n} >&2")
        seen.append(((id, d.output(id), b""), b"%d\n" % n * 2, b""))
    for (id, out, err), want_out, want_err in seen:
        is_((out, err), (want_out, want_err), f"job {id}")
        is_(d.output(id), want_out, f"job {id}, later")
        if want_err:
            is_(d.output(id, stream="stderr"), want_err, f"job {id}, later")


@case("split: without it there is no such stream")
def _():
    id = done("true")
    is_(d.job(id)["stderr"], None)
    is_(refused(d.output, "InvalidArgument", id, stream="stderr")["field"], "stream")
    ok(not os.path.exists(err_path(id)))


@case("split: the cap holds for each stream by itself")
def _():
    configure(cap="64K")
    lines = 150000
    id, out, err = both("python3", "-c", f"import sys\nprint('out')\nfor i in range({lines}): sys.stderr.write('%015d\\n' % i)")
    configure()
    j = d.job(id)
    is_((out, j["output"]["dropped"]), (b"out\n", 0))
    is_(j["stderr"]["bytes"], lines * LINE)
    ok(j["stderr"]["dropped"] > 0, f"{j['stderr']}")
    is_(len(err), lines * LINE - j["stderr"]["dropped"])
    is_((err[:HEAD], err[-HEAD:]), (numbered(0, lines - 1)[:HEAD], numbered(0, lines - 1)[-HEAD:]))


# Reading -----------------------------------------------------------------------------------------------------------------


@case("the last lines: none, one, some, more than there are; long ones, empty ones, an unfinished one")
def _():
    def tails(data):
        id = printed(data)
        lines = data.splitlines(keepends=True) if b"\r" not in data else None
        for n in (0, 1, 2, 3, 10, 10**6, 2**62):
            want = b"".join(lines[-n:]) if n else b""
            is_(d.output(id, tail=n), want, f"{n} of {len(lines)} lines")
        is_(raw("logs", "--tail", 2, id), (b"".join(lines[-2:]), 0))

    tails(b"")
    tails(b"\n")
    tails(b"one")
    tails(b"one\n")
    tails(b"one\ntwo\nthree")
    tails(b"\n\n\nx\n\n\n")
    tails(b"".join(b"%d\n" % i for i in range(5000)))
    tails(b"a" * 100000 + b"\n" + b"b" * 5000 + b"\n" + b"c" * 4096)
    tails(b"x" * 4095 + b"\n" + b"y" * 4096 + b"\n" + b"z" * 4094 + b"\n")
    tails(b"\0\n\0\n\0")
    tails(b"one\n" + b"x" * (3 << 20) + b"\nlast\n")
    r = d.ctl("logs", "--tail", "-1", done("true"))
    is_((r.code, r.out), (2, ""))


@case("by offset: any part, to the end, past the end")
def _():
    data = numbered(1, 20000)
    id = printed(data)
    for at in (0, 1, 17, 65536, len(data) - 1, len(data)):
        is_(d.output(id, offset=at), data[at:], f"from {at}")
    is_(d.output(id, offset=len(data) + 5), b"")
    got, at = b"", 0
    while True:
        p = d.call("Logs", id=id, offset=at)
        if not p["data"]:
            break
        got, at = got + base64.b64decode(p["data"]), p["offset"]
    is_((got == data, at), (True, len(data)), "piece by piece, each a call of its own")


@case("without follow: what is there now, also of a job that runs or queues or never ran")
def _():
    configure(running=1)
    gate = fifo(d, "now")
    j = d.submit(sh=f"echo one; read x <{gate}; echo two")
    wait_until(lambda: d.output(j["id"]) == b"one\n", "its first line")
    k = d.submit("true")
    is_((k["state"], d.output(k["id"])), ("queued", b""))
    is_(raw("logs", j["id"]), (b"one\n", 0))
    d.cancel(k["id"])
    is_(d.output(k["id"]), b"", "it never ran")
    is_(raw("logs", k["id"]), (b"", 0))
    go(gate)
    d.wait_end(j["id"])
    is_(d.output(j["id"]), b"one\ntwo\n")
    configure()


@case("follow: at once what is written, to the end of the job, and no further")
def _():
    gate, gate2 = fifo(d, "follow"), fifo(d, "follow2")
    j = d.submit(sh=f"echo one; read x <{gate}; echo two; read x <{gate2}; printf three")
    f, g = Follower(j["id"]), Follower(j["id"], tail=0)
    c = d.ctl_bg("logs", "-f", j["id"])
    f.until(b"one\n")
    is_(f.data, b"one\n")
    is_(c.stdout.readline(), b"one\n", "ctxctl, while the job runs")
    go(gate)
    f.until(b"two\n")
    is_(c.stdout.readline(), b"two\n")
    is_(d.job(j["id"])["state"], "running")
    go(gate2)
    is_((f.to_end().data, f.dropped), (b"one\ntwo\nthree", 0))
    ok(g.to_end().data in (b"two\nthree", b"one\ntwo\nthree"), f"from its last line on: {g.data}")
    out, err = c.communicate(timeout=60)
    is_((out, err, c.returncode), (b"three", b"", 0))
    is_(d.job(j["id"])["state"], "succeeded")
    is_(Follower(j["id"]).to_end().data, b"one\ntwo\nthree", "of a job that has ended")


@case("follow: begun while it queues; canceled while it queues")
def _():
    configure(running=1)
    first = d.submit("sleep", "1000")
    a, b = (d.submit("echo", x)["id"] for x in "ab")
    fa, fb = Follower(a), Follower(b)
    d.cancel(b)
    is_(fb.to_end().data, b"")
    d.cancel(first["id"], now=True)
    is_(fa.to_end().data, b"a\n")
    configure()


@case("follow: a flood as it comes, byte for byte, by several at once")
def _():
    n = 300000
    j = d.submit("seq", "-f", "%015.0f", 1, n)
    fs = [Follower(j["id"]) for _ in range(3)]
    want = numbered(1, n)
    for f in fs:
        f.to_end()
        ok(f.data == want, f"{len(f.data)} bytes of {len(want)}")
        is_((f.dropped, f.offset), (0, len(want)))
    ok(raw("logs", "-f", j["id"])[0] == want)


@case("follow: whoever goes away in the middle leaves nothing behind")
def _():
    def fds():
        return len(os.listdir(f"/proc/{d.proc.pid}/fd"))

    gate = fifo(d, "leave")
    d.call("Stats")
    j = d.submit(sh=f"echo one; read x <{gate}; echo two")
    Follower(j["id"]).until(b"one").v.close()
    wait_until(lambda: d.call("Stats")["connections"] == 1, "it to be gone")
    before = fds()
    for _ in range(3):
        fs = [Follower(j["id"]).until(b"one") for _ in range(20)]
        for f in fs:
            f.v.close()
    wait_until(lambda: d.call("Stats")["connections"] == 1 and fds() <= before, f"{before} descriptors, as before")
    go(gate)
    d.wait_end(j["id"])
    is_(d.output(j["id"]), b"one\ntwo\n")


@case("a job that empties its own output (`>/dev/stderr` does): what was written before is gone, all that follows is told")
def _():
    a, b = fifo(d, "empty1"), fifo(d, "empty2")
    j = d.submit(sh=f"echo a long line to begin with; read x <{a}; echo x >/dev/stderr; echo y; read x <{b}; echo z")
    f = Follower(j["id"]).until(b"with\n")
    go(a)
    f.until(b"y\n")
    go(b)
    d.wait_end(j["id"])
    is_(f.to_end().data, b"a long line to begin with\nx\ny\nz\n")
    is_(d.output(j["id"]), b"x\ny\nz\n")
    is_(d.job(j["id"])["output"], {"bytes": 6, "dropped": 0})


@case("the cap holds for a file that was emptied in between")
def _():
    configure("64K")
    gate = fifo(d, "refill")
    n = 500000
    j = d.submit("bash", "-c", f"seq -f %015.0f 1 {n}; read x <{gate}; : >/dev/stdout; seq -f %015.0f 1 {n}")
    wait_until(lambda: d.job(j["id"])["pid"] and os.stat(d.output_path(j["id"])).st_size == n * LINE, "the first half")
    go(gate)
    j = d.wait_end(j["id"])
    data, dropped = d.output_dropped(j["id"])
    is_((len(data) + dropped, j["output"]["bytes"]), (n * LINE,) * 2)
    ok(len(data) <= HEAD + 65536 + (1 << 20) + 65536, f"{len(data)} kept")
    is_((data[:HEAD], data[-LINE:]), (numbered(1, HEAD // LINE), b"%015d\n" % n))
    configure()


@case("a file that its job made as long as a file may be: nobody walks through it, and ctxd answers others")
def _():
    longer = "for n in 8191P 16T 4T 1T; do truncate -s $n /proc/self/fd/1 && break; done"
    gate = fifo(d, "longer")
    j = d.submit(sh=f"echo one; echo two; {longer} 2>/dev/null; read x <{gate}")
    wait_until(lambda: d.job(j["id"])["output"]["bytes"] >= 1 << 40, "the file to be long")
    for running in (True, False):
        with d.connect() as v:
            v.send("Logs", {"id": j["id"], "tail": 1}, more=True)
            ok("pid" in d.call("Stats"))
            for _ in v.replies():
                pass
        data, dropped = d.output_dropped(j["id"])
        is_(data.rstrip(b"\0"), b"one\ntwo\n")
        ok(len(data) <= HEAD, f"{len(data)} bytes")
        is_(len(data) + dropped, d.job(j["id"])["output"]["bytes"])
        if running:
            go(gate)
            d.wait_end(j["id"])


@case("blocks reserved behind the end of the file do not stay: while it runs, and when it is over")
def _():
    configure("64K")
    gate, reserved = fifo(d, "reserved-gate"), os.path.join(d.dir, "reserved")
    reserve = "fallocate -n -l 64M /proc/self/fd/1"
    j = d.submit(sh=f"echo one; {reserve} && : >{reserved}; read x <{gate}; echo two; {reserve}")
    path = d.output_path(j["id"])

    def allocated():
        return os.stat(path).st_blocks * 512

    wait_until(lambda: os.path.exists(reserved), "it to have them")
    wait_until(lambda: allocated() < 8 << 20, "them to be given back")
    go(gate)
    is_(d.wait_end(j["id"])["state"], "succeeded")
    ok(allocated() < 8 << 20, f"{allocated()} bytes")
    is_(d.output(j["id"]), b"one\ntwo\n")
    configure()


@case("follow: one that does not read for long; what is gone meanwhile is told, and nothing is told twice")
def _():
    configure("64K")
    gate = fifo(d, "slow")
    n = 2000000
    j = d.submit("sh", "-c", f"echo {'0' * 15}; read x <{gate}; exec seq -f %015.0f 1 {n}")
    f = Follower(j["id"]).until(b"\n")
    go(gate)
    end = d.wait_end(j["id"])
    is_((end["state"], end["output"]["bytes"]), ("succeeded", (n + 1) * LINE))
    f.to_end()
    is_((len(f.data) + f.dropped, f.offset), ((n + 1) * LINE,) * 2)
    ok(f.dropped > 0, "it was too slow")
    lines = f.data.split(b"\n")
    is_((lines[0], lines[-2], lines[-1]), (b"0" * 15, b"%015d" % n, b""))
    # One gap, after which it goes on without another: what it had not got yet in one piece is still a prefix.
    numbers = [int(x) for x in lines[:-1] if len(x) == 15]
    gaps = [(a, b) for a, b in zip(numbers, numbers[1:]) if b != a + 1]
    ok(all(b > a for a, b in gaps), f"never backwards: {gaps[:5]}")
    ok(len(gaps) <= 3, f"{len(gaps)} gaps")
    out, code = raw("logs", j["id"])
    is_((out[:HEAD] == numbered(0, n)[:HEAD], out[-LINE:], code), (True, b"%015d\n" % n, 0))
    r = d.ctl("logs", "--tail", "1", j["id"])
    is_(r.out, "%015d\n" % n)
    r = d.ctl("logs", j["id"])
    like(r.err, r"\d+ bytes", "ctxctl says on stderr what is missing")
    configure()


# What it costs ---------------------------------------------------------------------------------------------------------------


@case("50 MB: streamed whole, and ctxd's memory does not grow with it")
def _():
    def memory(key):
        return int(proc_status(d.proc.pid, key).split()[0]) * 1024

    n = (50 << 20) // LINE
    gate = fifo(d, "large")
    j = d.submit("sh", "-c", f"seq -f %015.0f 1 {n}; read x <{gate}", timeout_usec=300 * S)
    wait_until(lambda: os.stat(d.output_path(j["id"])).st_size == n * LINE if os.path.exists(d.output_path(j["id"])) else False,
               "50 MB")
    write_file(f"/proc/{d.proc.pid}/clear_refs", "5")  # the peak from now on
    before = memory("VmHWM")
    h, size, slow = hashlib.sha256(), 0, d.connect()
    slow.send("Logs", {"id": j["id"]}, more=True)  # and one that takes nothing
    with d.connect() as v:
        for p in v.call_more("Logs", id=j["id"]):
            data = base64.b64decode(p["data"])
            h.update(data)
            size += len(data)
            is_(p["dropped"], 0)
    want = hashlib.sha256()
    for i in range(1, n + 1, 65536):
        want.update(numbered(i, min(i + 65535, n)))
    is_((size, h.hexdigest()), (n * LINE, want.hexdigest()))
    grown = memory("VmHWM") - before
    diag(f"peak grew by {grown >> 10} KiB")
    # A sanitizer keeps what was freed for a while.
    ok(grown < 16 << 20 or b"libasan" in read_file(f"/proc/{d.proc.pid}/maps"), f"peak memory grew by {grown} bytes")
    slow.close()
    p = subprocess.Popen([CTXCTL, "logs", str(j["id"])], env=ctl_env(d.sock), stdout=subprocess.PIPE)
    h = hashlib.sha256()
    while True:
        data = p.stdout.read(1 << 20)
        if not data:
            break
        h.update(data)
    is_((p.wait(), h.hexdigest()), (0, want.hexdigest()), "ctxctl")
    go(gate)
    d.wait_end(j["id"])
    os.truncate(d.output_path(j["id"]), 0)


@case("a reader that closes its pipe ends ctxctl quietly")
def _():
    id = printed(numbered(1, 100000))
    r = run(["bash", "-c", f'set -o pipefail; "{CTXCTL}" logs {id} | head -n 1; echo ${{PIPESTATUS[0]}}'], env=ctl_env(d.sock))
    lines = r.out.split("\n")
    is_((lines[0], r.err), ("%015d" % 1, ""))
    ok(lines[1] in ("0", "1", "141"), lines[1])


@case("ctxctl into a full disk says so and fails")
def _():
    id = printed(b"x" * 10000)
    r = run(["sh", "-c", f'"{CTXCTL}" logs {id} >/dev/full'], env=ctl_env(d.sock))
    is_(r.code, 1)
    like(r.err, "No space left")


# What is kept ------------------------------------------------------------------------------------------------------------------


@case("the output stays after it was read, after a restart, after kill -9")
def _():
    id = printed(b"kept\n")
    d.output(id)
    d.restart()
    is_(d.output(id), b"kept\n")
    d.kill9()
    d.start()
    is_(d.output(id), b"kept\n")


@case("retention: old output goes, then the record; what is not old, or not resolved, stays")
def _():
    old, older, new = printed(b"old\n"), printed(b"older\n"), printed(b"new\n")
    apart = both(sh="echo out; echo err >&2")[0]
    lost = d.submit("sh", "-c", "echo lost; sleep 1000")["id"]
    wait_until(lambda: d.output(lost), "its line")
    os.kill(d.monitor_pid(lost), signal.SIGKILL)
    is_(d.wait_end(lost)["state"], "interrupted")
    d.stop()
    db = sqlite3.connect(d.db)
    for id, days in ((old, 8), (apart, 8), (older, 31), (lost, 400)):
        db.execute(f"UPDATE job SET ended = ended - {days * 86400 * S} WHERE id = {id}")
    db.commit()
    db.close()
    d.start()
    wait_until(lambda: not os.path.exists(d.output_path(older)), "the output to go")
    for path in (d.output_path(old), d.output_path(apart), err_path(apart)):
        wait_until(lambda: not os.path.exists(path), "the output to go")
    is_(d.output(apart, stream="stderr"), b"")
    wait_until(lambda: older not in [j["id"] for j in d.jobs()], "its record to go")
    refused(d.job, "NoSuchJob", older)
    is_(d.job(old)["state"], "succeeded")
    is_(d.output(old), b"")
    is_(d.output(new), b"new\n")
    is_(d.job(lost)["half_processed"], True)
    is_(d.sql(f"SELECT count(*) FROM history WHERE job = {older}"), [(0,)])
    ok(done("true") > lost, "ids are not used again")


main()
