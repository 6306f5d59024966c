#!/usr/bin/python3
"""Monitors: deadlines, stopping, trees that do not want to end, output caps, failures to execute, coming back to ctl."""
# test-timeout: 300
import errno
import os
import signal
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from ctxtest import *
from spawnerdrv import *

subreaper()
ROOT = os.geteuid() == 0
NOBODY = 65534
s = Spawner()
TERMED = HAS_STATUS | TERM_SENT
KILLED = TERMED | KILL_SENT


def py(script, **kw):
    # Python 3.12 and later warn of a fork beside threads, into the output.
    return s.spawn([sys.executable, "-W", "ignore", "-c", script], **kw)


def says(j, text):
    wait_until(lambda: text.encode() in j.output(), f"{text!r} in the output of {j.name}")


def all_dead(pids):
    alive = [p for p in pids if not exited(p)]
    ok(not alive, f"alive after END: {alive}")


@case("the deadline: TERM at once, to every process, across sessions; cause and times in the result")
def _():
    def build(n):
        j = s.sh("trap 'echo main; exit 9' TERM; setsid sh -c 'trap \"echo other; exit\" TERM; echo up; while :; do sleep 0.02; done' & "
                 "while :; do sleep 0.02; done", timeout=n)
        f = j.stopping(phase=S_STOPPING, stop_cause=CAUSE_DEADLINE)
        r = j.end()
        return b"up" in j.output() and (j, f, r)

    j, f, r = in_time(build, (1, 5, 30))
    is_((r.exit_code, r.flags, r.stop_cause, r.leftovers, r.kill_us), (9, TERMED, CAUSE_DEADLINE, 0, 0))
    is_(f.at_us, r.term_us)
    is_(sorted(set(j.output().split()) - {b"Terminated"}), [b"main", b"other", b"up"])
    after = (j.hello.deadline_ns - j.hello.started_ns) // 1000
    ok(r.term_us - r.started_us >= after - 50000, f"TERM after {r.term_us - r.started_us} us, not {after}")


@case("how late TERM is: the best of many within 2 ms")
def _():
    late = []
    while len(late) < 10 or min(late) >= 2e6 and len(late) < 100:
        j = s.spawn(["sleep", "1000"], timeout=0.1)
        f = j.stopping()
        # Both clocks now: at_us is wall time, the deadline is boot time.
        late.append(f.at_us * 1000 - (time.time_ns() - boottime_ns()) - j.hello.deadline_ns)
        j.end()
    diag("late by us: " + " ".join(str(n // 1000) for n in sorted(late)))
    ok(min(late) < 2e6, f"{min(late)} ns")
    ok(min(late) > -1e6, "not early")


@case("a deadline that has passed already")
def _():
    r = s.spawn(["sleep", "1000"], deadline_ns=1).end()
    is_((r.exit_code, r.stop_cause), (-signal.SIGTERM, CAUSE_DEADLINE))


@case("a job that ignores TERM is killed after its grace, with all that it started")
def _():
    j = s.sh("trap '' TERM HUP INT; setsid sh -c 'while :; do sleep 1; done' & (sh -c 'while :; do sleep 1; done' &); echo up; "
             "while :; do sleep 1; done", grace=0.3)
    says(j, "up")
    tree = descendants([j.hello.pid, *children(j.monitor)])
    j.stop()
    j.stopping(phase=S_STOPPING, stop_cause=CAUSE_REQUEST)
    j.stopping(phase=KILLING, stop_cause=CAUSE_REQUEST)
    r = j.end()
    is_((r.exit_code, r.flags, r.stop_cause), (-signal.SIGKILL, KILLED, CAUSE_REQUEST))
    ok(r.kill_us - r.term_us > 250000, f"grace was {r.kill_us - r.term_us} us")
    ok(r.ended_us >= r.kill_us, "ended")
    all_dead(tree)


@case("STOP is idempotent, the first cause wins, STOP_NOW overtakes the grace")
def _():
    j = s.sh("trap '' TERM; echo up; while :; do sleep 1; done", grace=1000)
    says(j, "up")
    j.stop(cause=CAUSE_REQUEST)
    j.stop(cause=CAUSE_DEADLINE)
    j.stop()
    j.stopping(phase=S_STOPPING)
    j.stop(STOP_NOW, CAUSE_DEADLINE)
    j.stop(STOP_NOW)
    j.stopping(phase=KILLING, stop_cause=CAUSE_REQUEST)
    r = j.end()
    is_((r.exit_code, r.flags, r.stop_cause), (-signal.SIGKILL, KILLED, CAUSE_REQUEST))
    j = s.sh("trap '' TERM; echo up; while :; do sleep 1; done", grace=1000)
    j.stop(STOP_NOW)
    r = j.end()
    is_((r.exit_code, r.flags, r.stop_cause, r.term_us), (-signal.SIGKILL, HAS_STATUS | KILL_SENT, CAUSE_REQUEST, 0))


@case("another stop signal; no grace; a stopped job hears it too")
def _():
    j = s.sh("trap 'echo usr1; exit 0' USR1; echo up; while :; do sleep 0.02; done", stop_signal=signal.SIGUSR1)
    says(j, "up")
    j.stop()
    is_(j.end().exit_code, 0)
    ok(b"usr1" in j.output(), "heard")
    j = s.sh("trap '' TERM; echo up; while :; do sleep 1; done", grace=0)
    says(j, "up")
    j.stop()
    is_(j.end().exit_code, -signal.SIGKILL)
    j = s.sh("trap 'echo term; exit 7' TERM; echo up; kill -STOP $$; while :; do sleep 0.02; done")
    wait_until(lambda: proc_state(j.hello.pid) == "T", "the job to stop itself")
    j.stop()
    is_(j.end().exit_code, 7)


@case("EXTEND moves the deadline, forth and back, and does nothing once stopping")
def _():
    far = boottime_ns() + int(1e12)

    def build(n):
        j = s.spawn(["sleep", "1000"], timeout=n)
        try:
            j.extend(far)
            h = j.connect().recv()
        except OSError:  # it has ended
            return None
        return h and h.phase == RUNNING and (j, h)

    j, h = in_time(build, (0.5, 5, 30))
    is_((h.kind, h.deadline_ns), (HELLO, far))
    near = boottime_ns() + int(0.7e9)
    j.extend(near)
    r = j.end()
    is_(r.stop_cause, CAUSE_DEADLINE)
    after = (near - j.hello.started_ns) // 1000
    ok(r.term_us - r.started_us >= after - 50000, f"at the new deadline: after {r.term_us - r.started_us} us, not {after}")
    j = s.sh("trap '' TERM; echo up; while :; do sleep 1; done", grace=0.3)
    says(j, "up")
    j.stop()
    j.stopping()
    j.extend(far)
    is_(j.end().exit_code, -signal.SIGKILL)


@case("leftovers of a main process that ended by itself: counted, TERM, grace, KILL; its status stays")
def _():
    j = s.sh("sleep 1000 & setsid sleep 1000 & (sleep 1000 &) ; exit 6", grace=30)
    f = j.stopping(phase=EMPTYING, stop_cause=CAUSE_NONE)
    r = j.end()
    is_((r.exit_code, r.flags, r.stop_cause), (6, TERMED, CAUSE_NONE))
    is_(r.leftovers, 3)
    ok(r.started_us <= r.main_ended_us <= r.term_us == f.at_us <= r.ended_us, "times")
    j = s.sh("setsid sh -c 'trap \"\" TERM; echo up; while :; do sleep 1; done' & while ! test -s /dev/fd/1; do sleep 0.02; done; exit 0",
             grace=0.2)
    r = j.end()
    is_((r.exit_code, r.flags, r.stop_cause), (0, KILLED, CAUSE_NONE))
    ok(r.leftovers >= 1, f"{r.leftovers}")
    # STOP_NOW shortens that, and is no cause: the main process had ended.
    j = s.sh("setsid sh -c 'trap \"\" TERM; echo up; while :; do sleep 1; done' & while ! test -s /dev/fd/1; do sleep 0.02; done; exit 5",
             grace=1000)
    j.stopping(phase=EMPTYING)
    j.stop()
    j.stop(STOP_NOW)
    r = j.end()
    is_((r.exit_code, r.flags, r.stop_cause), (5, KILLED, CAUSE_NONE))
    # Children that end with their parent are no leftovers.
    for _ in range(20):
        is_(s.sh("true | true | true; true & wait").end().leftovers, 0)


@case("a job that changes its name, to anything")
def _():
    for name in (") R 1 1 1", "((((", "a b c", ")", "", "\n1 (x) Z"):
        j = py(f"""
import ctypes, os, signal
libc = ctypes.CDLL(None)
signal.signal(15, signal.SIG_IGN)
os.fork()
libc.prctl(15, {name!r}.encode(), 0, 0, 0)
os.setsid() if os.getpid() != os.getsid(0) else 0
os.write(1, b"up.")
while True: signal.pause()
""", grace=0.1)
        wait_until(lambda: j.output() == b"up.up.", "both")
        tree = descendants([j.hello.pid])
        j.stop()
        is_(j.end().exit_code, -signal.SIGKILL, repr(name))
        all_dead(tree)


@case("a job that closes all descriptors, and one that double-forks into the dark")
def _():
    j = py("""
import os, signal, time
signal.signal(15, signal.SIG_IGN)
os.closerange(0, 1024)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.chdir("/")
        while True: signal.pause()
    os._exit(0)
os.wait()
os._exit(3)
""", grace=0.1)
    r = j.end()
    is_((r.exit_code, r.leftovers, r.flags & KILL_SENT), (3, 1, KILL_SENT))


@case("children of threads")
def _():
    j = py("""
import os, signal, threading, time
signal.signal(15, signal.SIG_IGN)
def child():
    pid = os.fork()
    if pid == 0:
        os.setsid()
        while True: signal.pause()
    os.write(1, b"%d " % pid)
    threading.Event().wait()
for _ in range(5):
    threading.Thread(target=child, daemon=True).start()
while True: signal.pause()
""", grace=0.1)
    wait_until(lambda: len(j.output().split()) == 5, "five children of five threads")
    pids = [int(p) for p in j.output().split()]
    j.stop()
    is_(j.end().exit_code, -signal.SIGKILL)
    all_dead(pids)


BOMB = """
import mmap, os, signal, struct
for g in range(1, 32):
    if g not in (9, 19): signal.signal(g, signal.SIG_IGN) if g != 17 else None
m = mmap.mmap(-1, 8)
def count():
    n = struct.unpack("q", m)[0] + 1
    m[:] = struct.pack("q", n)
    return n
"""


@case("a chain that forks and dies faster than it is looked at")
def _():
    j = py(BOMB + """
for _ in range(8):
    if os.fork() == 0: break
else:
    os.write(1, b"up")
    while True: signal.pause()
for i in range(200000):
    if os.fork(): os._exit(0)
    if i % 3 == 0: os.setsid()
""", grace=0.2)
    says(j, "up")
    j.stop()
    r = j.end()
    is_((r.exit_code, r.flags), (-signal.SIGKILL, KILLED))
    wait_until(lambda: descendants([s.pid]) == {s.pid}, "nothing to be below the spawner")


@case("a bomb that doubles: 1,500 processes, deaf to everything, killed with the monitor's own means")
def _():
    j = py(BOMB + """
os.write(1, b"up")
while count() < 1500:
    os.fork()
while True: signal.pause()
""", grace=0.2)
    says(j, "up")
    wait_until(lambda: len(descendants([j.hello.pid])) > 300, "some hundred")
    j.stop()
    r = j.end()
    is_((r.exit_code, r.flags), (-signal.SIGKILL, KILLED))
    wait_until(lambda: descendants([s.pid]) == {s.pid}, "nothing to be below the spawner")
    diag(f"{(r.ended_us - r.kill_us) / 1000:.0f} ms from KILL to empty")


@case("processes that start each other again when one is killed")
def _():
    j = py("""
import os, signal
signal.signal(15, signal.SIG_IGN)
def keep(depth):
    while True:
        pid = os.fork()
        if pid == 0:
            if depth: keep(depth - 1)
            os.write(1, b".")
            while True: signal.pause()
        os.waitpid(pid, 0)
keep(6)
""", grace=0.1)
    says(j, ".")
    j.stop()
    is_(j.end().exit_code, -signal.SIGKILL)
    wait_until(lambda: descendants([s.pid]) == {s.pid}, "nothing to be below the spawner")


@case("a job that fills its own pipe ends at its deadline")
def _():
    j = s.sh("yes | sleep 1000", timeout=0.3, grace=5)
    r = j.end()
    is_(r.stop_cause, CAUSE_DEADLINE)


@case("output: the head and the newest bytes are kept, the rest is punched, the result says how much")
def _():
    out_max = 1 << 20
    go = os.path.join(s.dir, "go")
    with open(go, "w", encoding="ascii"):
        pass
    j = py("""
import os, sys
line = b"%015d\\n"
n = 0
for i in range(40):
    os.write(1, b"".join(line % (n + k) for k in range(65536)))
    n += 65536
os.write(1, b"last\\n")
sys.stdin.read()
import signal
signal.pause()
""", out_max=out_max)
    wait_until(lambda: os.stat(j.out_path).st_size == 40 * 65536 * 16 + 5, "40 MiB of output")
    slack = 1 << 20
    wait_until(lambda: os.stat(j.out_path).st_blocks * 512 <= 65536 + out_max + slack + 65536, "the middle to be punched")
    j.stop()
    r = j.end()
    size = 40 * 65536 * 16 + 5
    is_(r.out_bytes, size)
    ok(size - out_max - 65536 - slack - 4096 <= r.out_dropped <= size - out_max - 65536, f"dropped {r.out_dropped}")
    is_(r.flags & (CAP_UNENFORCED | OUTPUT_FAILED), 0)
    with open(j.out_path, "rb") as f:
        head = f.read(65536)
        f.seek(65536 + r.out_dropped)
        tail = f.read()
    is_(head, b"".join(b"%015d\n" % k for k in range(4096)), "the head is whole")
    ok(len(tail) >= out_max, "the tail is at least the cap")
    first = (65536 + r.out_dropped) // 16
    is_(tail, b"".join(b"%015d\n" % k for k in range(first, 40 * 65536)) + b"last\n", "the tail is whole")
    # A job that truncates the file (`>/dev/stderr` does) and fills it again.
    j = s.sh("head -c 30000000 /dev/zero; until test -s /dev/fd/0; do sleep 0.02; done; : >/dev/stdout; head -c 31000000 /dev/zero; sleep 1000",
             out_max=out_max, in_path=go)

    def capped(size):
        st = os.stat(j.out_path)
        return st.st_size == size and st.st_blocks * 512 < 4000000

    wait_until(lambda: capped(30000000), "the first fill to be punched")
    with open(go, "w", encoding="ascii") as f:
        f.write("go")
    wait_until(lambda: capped(31000000), "the second fill to be punched")
    j.stop(STOP_NOW)
    is_(j.end().out_bytes, 31000000)
    # A job that ends before anyone looked is capped at its end.
    j = s.sh("head -c 8000000 /dev/zero", out_max=out_max)
    r = j.end()
    is_(r.out_bytes, 8000000)
    ok(r.out_dropped > 4000000, f"{r.out_dropped}")
    # Below the cap nothing is touched.
    r = s.sh("head -c 2000000 /dev/zero", out_max=out_max).end()
    is_((r.out_bytes, r.out_dropped), (2000000, 0))
    # No file at all: nothing to cap.
    r = s.spawn(["sh", "-c", "echo x"], fds=lambda f: f[:3] + [null, null]).end()
    is_((r.exit_code, r.out_bytes), (0, 0))


@case("stderr in a file of its own: capped and measured like the other")
def _():
    path = os.path.join(s.out, "err")
    err = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
    out_max = 1 << 20
    j = s.sh("echo out; head -c 12000000 /dev/zero >&2; sleep 1000", out_max=out_max, err=err)
    wait_until(lambda: os.stat(path).st_size == 12000000 and os.stat(path).st_blocks * 512 < 4000000, "the middle to be punched")
    is_(j.output(), b"out\n")
    j.stop()
    r = j.end()
    is_((r.out_bytes, r.out_dropped, r.err_bytes), (4, 0, 12000000))
    ok(12000000 - out_max - 65536 - (1 << 20) - 4096 <= r.err_dropped <= 12000000 - out_max - 65536, f"dropped {r.err_dropped}")
    is_(r.flags & (CAP_UNENFORCED | OUTPUT_FAILED), 0)
    # The other way round, and both in one file.
    os.truncate(path, 0)
    r = s.sh("head -c 5000000 /dev/zero; echo e >&2", out_max=out_max, err=err).end()
    is_((r.out_bytes, r.err_bytes, r.err_dropped), (5000000, 2, 0))
    ok(r.out_dropped > 2000000, f"{r.out_dropped}")
    r = s.sh("echo o; echo e >&2", out_max=out_max).end()
    is_((r.out_bytes, r.err_bytes, r.err_dropped), (4, 0, 0))
    os.close(err)


null = os.open("/dev/null", os.O_RDWR)


@case("a file system that cannot punch: said in HELLO and in the result")
def _():
    if not ROOT:
        skip("needs root to mount one")
    # ramfs keeps pages, but knows no holes.
    path = os.path.join(s.dir, "ramfs")
    os.mkdir(path)
    if run(["mount", "-t", "ramfs", "ramfs", path]).code != 0:
        skip("no ramfs here")
    try:
        fd = os.open(os.path.join(path, "out"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        j = s.sh("head -c 4000000 /dev/zero; sleep 1000", out_max=65536, fds=lambda f: f[:3] + [fd, fd])
        c = [None]

        def told():
            if c[0]:
                c[0].close()
            c[0] = j.connect()
            return c[0].expect(HELLO).flags & 1

        wait_until(told, "HELLO to say that the cap is not enforced")
        j.stop(STOP_NOW)
        r = j.end()
        is_((r.flags & CAP_UNENFORCED, r.out_bytes, r.out_dropped), (CAP_UNENFORCED, 4000000, 0))
        os.close(fd)
    finally:
        run(["umount", "-l", path])


@case("what cannot be executed: errno and step, no status, no pid")
def _():
    def fails(error, step, argv=("true",), **kw):
        j = s.spawn(list(argv), **kw)
        is_(j.hello.pid, 0)
        r = j.end()
        is_((r.exec_error, r.exec_step, r.exit_code, r.pid, r.flags), (error, step, None, 0, 0), f"{argv} {kw}")
        ok(r.started_us and r.ended_us and not r.main_ended_us, "times")
        ok(j.result() == r, "the file")

    d = os.path.join(s.dir, "x")
    os.mkdir(d)

    def script(name, text, mode):
        path = os.path.join(d, name)
        with open(path, "w", encoding="ascii") as f:
            f.write(text)
        os.chmod(path, mode)
        return path

    plain = script("plain", "echo hi\n", 0o644)
    loose = script("loose", "echo run by sh with $#: \"$1\"\n", 0o755)
    bad = script("bad", "#!/nonexistent/interpreter\n", 0o755)
    fails(errno.ENOENT, X_EXEC, ["no-such-command-anywhere"])
    fails(errno.ENOENT, X_EXEC, ["/no/such/command"])
    fails(errno.ENOENT, X_EXEC, [""])
    fails(errno.ENOENT, X_EXEC, [bad])
    fails(errno.ENOENT, X_EXEC, ["true"], env=["PATH=/nonexistent"])
    fails(errno.ENOENT, X_EXEC, ["sh"], env=["PATH="])  # an empty PATH is the current directory
    fails(errno.EACCES, X_EXEC, [plain])
    fails(errno.EACCES, X_EXEC, [d])
    fails(errno.EACCES, X_EXEC, ["plain"], env=[f"PATH={d}:/nonexistent"])  # found, not executable: remembered
    fails(errno.ENOTDIR, X_EXEC, [plain + "/x"])
    fails(errno.ENOENT, X_CHDIR, cwd="/no/such/directory")
    fails(errno.ENOTDIR, X_CHDIR, cwd=plain)
    fails(errno.E2BIG, X_EXEC, ["true", "x" * 200000])
    fails(errno.E2BIG, X_EXEC, env=[f"V{i}=" + "x" * 100000 for i in range(60)])
    gone = os.path.join(s.dir, "gone")
    os.mkdir(gone)
    os.rmdir(gone)
    fails(errno.ENOENT, X_CHDIR, cwd=gone)
    # And what can.
    j = s.spawn([loose, "a"])
    is_((j.end().exit_code, j.output()), (0, b"run by sh with 1: a\n"))
    j = s.spawn(["loose", "b"], env=[f"PATH=/nonexistent:{d}"])
    is_((j.end().exit_code, j.output()), (0, b"run by sh with 1: b\n"))
    j = s.spawn(["true"], env=[])  # no PATH at all: the standard one
    is_(j.end().exit_code, 0)
    j = s.spawn(["./loose"], cwd=d)
    is_(j.end().exit_code, 0)


@case("large arguments and environments arrive whole")
def _():
    argv = ["sh", "-c", "printf '%s\\n' $# ${#1} ${#BIG}; env | wc -l", "sh", "y" * 100000] + [str(i) for i in range(5000)]
    j = s.spawn(argv, env=[STANDARD_PATH, "BIG=" + "x" * 100000] + [f"V{i}={i}" for i in range(2000)])
    is_(j.end().exit_code, 0)
    lines = j.output().split()
    is_(lines[:3], [b"5001", b"100000", b"100000"])
    ok(2002 <= int(lines[3]) <= 2006, f"{lines[3]} variables")


@case("ctl: HELLO first on every connection, the same news on all, bad frames cost their own")
def _():
    j = s.sh("trap 'exit 4' TERM; echo up; while :; do sleep 0.02; done")
    says(j, "up")
    links = [j.connect() for _ in range(5)]
    for c in links:
        h = c.expect(HELLO, pid=j.hello.pid, monitor_pid=j.monitor, phase=RUNNING)
        is_((h.started_us, h.started_ns, h.deadline_ns), (j.hello.started_us, j.hello.started_ns, j.hello.deadline_ns))
    bad = [b"x", frame(STOP, bytes(8), j.id + 1, 1), frame(STOP, bytes(8), j.id, 2), frame(STOP, bytes(8), j.id, 1),
           frame(STOP, struct.pack("=II", 2, 1), j.id, 1), frame(STOP, struct.pack("=II", 0, 3), j.id, 1),
           frame(STOP, bytes(4), j.id, 1), frame(EXTEND, bytes(8), j.id, 1), frame(EXTEND, struct.pack("=q", -1), j.id, 1),
           frame(HELLO, bytes(48), j.id, 1), frame(SWEEP, b"", j.id, 1), frame(END, bytes(160), j.id, 1), bytes(30000)]
    for data in bad:
        c = j.connect()
        c.expect(HELLO)
        c.send(data)
        ok(c.closed(), f"{data[:40]!r}")
    c = j.connect()
    c.expect(HELLO)
    c.send(frame(STOP, struct.pack("=II", 0, CAUSE_REQUEST), j.id, 1), [0])
    ok(c.closed(), "a descriptor where none belongs")
    for data in (frame(STOP, bytes(8), j.id, 1, version=2), frame(900, bytes(9), j.id, 1)):
        links[0].send(data)  # newer: skipped
    ok(not exited(j.hello.pid), "alive")
    links[0].send(frame(STOP, struct.pack("=II", 0, CAUSE_REQUEST), j.id, 1))
    for c in links:
        c.expect(STOPPING, phase=S_STOPPING)
        is_(c.expect(END).result.exit_code, 4)
        ok(c.closed(), "closed after END")
    is_(j.end().exit_code, 4)


@case("more connections than it keeps: the newest are served")
def _():
    j = s.spawn(["sleep", "1000"])
    links = []
    for _ in range(40):
        links.append(j.connect())
        links[-1].expect(HELLO)
    links[-1].send(frame(STOP, struct.pack("=II", 0, CAUSE_REQUEST), j.id, 1))
    links[-1].expect(STOPPING)
    is_(links[-1].expect(END).result.exit_code, -signal.SIGTERM)


@case("peers that do not read: END still arrives, and nobody else waits for long")
def _():
    j = s.sh("trap 'exit 4' TERM; echo up; while :; do sleep 0.02; done")
    says(j, "up")
    deaf = j.connect()
    good = j.connect()
    good.expect(HELLO)
    j.stop()
    is_(good.expect(STOPPING).phase, S_STOPPING)
    is_(good.expect(END).result.exit_code, 4)
    is_([f.kind for f in (deaf.recv(), deaf.recv(), deaf.recv())], [HELLO, STOPPING, END], "all in the buffer")
    is_(j.end().exit_code, 4)


@case("nobody is connected at the end: the result lies there, and no monitor stays")
def _():
    j = s.sh("exit 8")
    j.link.close()
    wait_until(j.refused, "the monitor to go")
    is_(j.result().exit_code, 8)
    j = s.sh("sleep 0.2; exit 8")
    j.link.close()
    wait_until(lambda: j.result(), "the result")
    is_(j.result().exit_code, 8)


@case("a result that cannot be written: ctl stays open, the answer is kept, and written when it can be")
def _():
    j = s.sh("trap 'exit 5' TERM; echo up; while :; do sleep 0.02; done")
    says(j, "up")
    blocker = os.path.join(j.dir, "result")
    os.mkdir(blocker)
    os.mkdir(os.path.join(blocker, "x"))
    j.stop()
    j.stopping()
    f = j.link.expect(END)
    is_(f.result.exit_code, 5)
    c = j.connect()
    h = c.expect(HELLO)
    is_(h.phase, S_STOPPING)
    ok(c.expect(END).result == f.result, "the same answer to whoever asks")
    ok(not exited(j.monitor), "the monitor stays")
    os.rmdir(os.path.join(blocker, "x"))
    os.rmdir(blocker)
    ok(j.link.closed(), "then it goes")
    ok(j.result() == f.result, "and the result is there")
    # Forgotten meanwhile: whoever sent FORGET has committed it, so the monitor goes too.
    j = s.spawn(["sleep", "1000"])
    os.mkdir(os.path.join(j.dir, "result"))
    j.stop()
    j.stopping()
    j.link.expect(END)
    os.kill(j.monitor, signal.SIGSTOP)
    wait_until(lambda: proc_state(j.monitor) == "T", "the monitor to stand still")
    os.rmdir(os.path.join(j.dir, "result"))
    s.forget(j.id, 1)
    os.kill(j.monitor, signal.SIGCONT)
    ok(j.link.closed(), "gone")
    wait_until(lambda: exited(j.monitor), "the monitor to go")


@case("SIGKILL of the main process is its status; of a child nobody's business")
def _():
    j = s.sh("sh -c 'kill -9 $$'; sleep 1000 & kill -9 $!; wait $!; kill -9 $$")
    r = j.end()
    is_((r.exit_code, r.flags, r.stop_cause), (-signal.SIGKILL, HAS_STATUS, CAUSE_NONE))
    r = s.sh("ulimit -c 0; kill -SEGV $$").end()
    is_(r.exit_code, -signal.SIGSEGV)


@case("usage is that of the whole tree")
def _():
    j = py("import os\nif os.fork() == 0:\n x = bytearray(80 << 20)\n t = os.times\n while t().user < 0.3: pass\n os._exit(0)\nos.wait()")
    r = j.end()
    ok(r.user_us > 250000, f"user {r.user_us} us")
    ok(r.max_rss_bytes > 80 << 20, f"{r.max_rss_bytes} bytes")


@case("a job's end comes while its monitor is stopped by someone: nothing is lost")
def _():
    j = s.sh("exit 3")
    j.end()

    def build(n):
        """A job that ends, and whose deadline passes, before its monitor looks again."""
        j = s.spawn(["sleep", "1000"], timeout=n)
        os.kill(j.monitor, signal.SIGSTOP)
        wait_until(lambda: proc_state(j.monitor) in ("T", "Z", ""), "the monitor to stand still")
        live = not exited(j.hello.pid)
        if live:
            os.kill(j.hello.pid, signal.SIGUSR2)
            wait_until(lambda: proc_state(j.hello.pid) == "Z" and boottime_ns() > j.hello.deadline_ns, "both")
        if not exited(j.monitor):
            os.kill(j.monitor, signal.SIGCONT)
        r = j.end()
        return live and r.stop_cause == CAUSE_NONE and r

    is_(in_time(build, (0.3, 3, 15)).exit_code, -signal.SIGUSR2)


@case("a waiting monitor is small")
def _():
    env = [STANDARD_PATH] + [f"VAR{i}=" + "x" * 60 for i in range(40)]
    jobs = [s.spawn(["sleep", "1000"], env=env) for _ in range(20)]
    sizes = sorted(pss_kib(j.monitor) for j in jobs)
    diag(f"PSS of monitors, KiB: {sizes}")
    if not os.environ.get("SANITIZE"):
        ok(sizes[-1] <= 100, f"{sizes[-1]} KiB")
    fds = [len(os.listdir(f"/proc/{j.monitor}/fd")) for j in jobs]
    is_(set(fds), {fds[0]}, "a later monitor holds nothing of an earlier one")
    ok(fds[0] <= 12, f"{fds[0]} descriptors")
    for j in jobs:
        j.stop()
    for j in jobs:
        j.end()


@case("everything is gone at the end")
def _():
    for i in range(1, s.ids + 1):
        s.forget(i, 1, wait=False)
    s.sync()
    is_(s.dirs(), [])
    wait_until(lambda: not children(s.pid), "the last monitor to be gone")
    s.close()


main()
