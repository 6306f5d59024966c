#!/usr/bin/python3
"""ctx-spawner, spoken to in its own frames: claiming, spawning, forgetting, sweeping, dying, and peers that misbehave."""
# test-timeout: 300
import ctypes
import errno
import fcntl
import os
import re
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from ctxtest import *
from ctxtest import TIMEOUT
from spawnerdrv import *

subreaper()
ROOT = os.geteuid() == 0
NOBODY = 65534
spawners = []


def new(*args, **kw):
    s = Spawner(*args, **kw)
    spawners.append(s)
    return s


def done(s):
    spawners.remove(s)
    s.close()


def start_raw(args=(), fd3=None, env=None):
    """ctx-spawner with descriptor 3 as given: (exit status, stderr)."""
    r, w = os.pipe()
    actions = [(os.POSIX_SPAWN_DUP2, w, 2)]
    high = None
    if fd3 is not None:
        high = fcntl.fcntl(fd3, fcntl.F_DUPFD_CLOEXEC, 20)
        actions.append((os.POSIX_SPAWN_DUP2, high, 3))
    pid = os.posix_spawn(SPAWNER, [SPAWNER, *args], env or {}, file_actions=actions)
    os.close(w)
    if high is not None:
        os.close(high)
    with os.fdopen(r, "r") as f:
        err = f.read()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), err


s = new()


@case("--version, --help; a wrong start exits 2 and says why")
def _():
    r = run([SPAWNER, "--version"])
    is_(r.code, 0)
    like(r.out, r"^ctx-spawner \d+\.\d+")
    r = run([SPAWNER, "--help"])
    is_(r.code, 0)
    for option in ("--system", "--allow-root", "--runtime-dir", "--cgroup", "--idle-exit", "--owner"):
        ok(option in r.out, option)
    plain = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    stream.bind(os.path.join(s.dir, "stream"))
    stream.listen(1)
    for args, fd, env, text in (
        ((), None, {}, "LISTEN_FDS"),
        ((), s.listener.fileno(), {}, "LISTEN_FDS"),
        ((), s.listener.fileno(), {"LISTEN_FDS": "2"}, "LISTEN_FDS"),
        ((), s.listener.fileno(), {"LISTEN_FDS": "1", "LISTEN_PID": "1"}, "LISTEN_PID"),
        ((), None, {"LISTEN_FDS": "1"}, "descriptor 3"),
        ((), plain.fileno(), {"LISTEN_FDS": "1"}, "listening"),
        ((), stream.fileno(), {"LISTEN_FDS": "1"}, "SEQPACKET"),
        (("--nonsense",), None, {}, "nonsense"),
        (("x",), None, {}, "unexpected"),
        (("--owner", "ctxd"), None, {}, "--owner"),
        (("--owner", "4294967295"), None, {}, "--owner"),
        (("--idle-exit", "-1"), None, {}, "--idle-exit"),
        (("--allow-root",), None, {}, "--system"),
        (("--cgroup", "x"), None, {}, "absolute"),
    ):
        code, err = start_raw(args, fd, env)
        is_(code, 2, f"{args} {env}")
        ok(text in err, f"{args} {env}: {err!r} names {text}")
    code, err = start_raw(("--runtime-dir", "/nonexistent"), s.listener.fileno(), {"LISTEN_FDS": "1"})
    is_(code, 1)
    ok("/nonexistent" in err, err)
    plain.close()
    stream.close()


@case("claiming makes jobs/, uuid and seen; WELCOME says what it is")
def _():
    is_(s.welcome.pid, s.pid)
    is_(s.welcome.flags, 3 << 24, "no more than the version of specs that it reads")
    is_(s.dirs(), [])
    with open(os.path.join(s.jobs, "uuid"), "rb") as f:
        is_(f.read(), UUID.hex().encode())
    is_(s.seen(), 0)
    is_(stat.S_IMODE(os.stat(s.jobs).st_mode), 0o700)


@case("a job runs: frames, evidence in its order, output, the end, FORGET")
def _():
    gate = os.path.join(s.dir, "gate")
    os.mkfifo(gate)
    before = boottime_ns()
    j = s.sh(f"echo out; echo err >&2; cat {gate}; exit 3")
    h = j.hello
    is_((h.phase, h.stop_cause, h.flags), (RUNNING, CAUSE_NONE, 0))
    is_(os.getppid() and proc_stat(h.pid)[1], h.monitor_pid, "parent of the job")
    is_(proc_stat(h.monitor_pid)[1], s.pid, "parent of the monitor")
    with open(f"/proc/{h.monitor_pid}/comm", encoding="ascii") as f:
        is_(f.read().strip(), "ctx-monitor")
    ok(before <= h.started_ns <= boottime_ns() and h.deadline_ns > h.started_ns, "times")
    is_(j.files(), ["ctl", "notify", "result.tmp", "started"])
    is_(s.seen(), 1)
    with open(gate, "w", encoding="ascii"):
        pass
    r = j.end()
    is_((r.exit_code, r.flags, r.exec_error, r.stop_cause, r.leftovers), (3, HAS_STATUS, 0, CAUSE_NONE, 0))
    is_(r.pid, h.pid)
    ok(r.started_us == h.started_us and r.started_us <= r.main_ended_us <= r.ended_us, "times of the end")
    is_((r.term_us, r.kill_us), (0, 0))
    is_(j.output(), b"out\nerr\n")
    is_((r.out_bytes, r.out_dropped), (8, 0))
    ok(r.max_rss_bytes > 100000, "usage")
    is_(j.files(), ["ctl", "notify", "result", "started"])
    ok(j.result() == r, "END and the file say the same")
    wait_until(j.refused, "ctl to be refused, once the monitor is gone")
    s.forget(j.id, 1)
    is_(s.dirs(), [])
    s.forget(j.id, 1)  # of what is not there: nothing happens
    s.sync()


@case("what a job finds: descriptors, signals, session, umask, cwd, nice, environment, PATH, stdin")
def _():
    t = new(claim=False)
    os.kill(t.pid, signal.SIGKILL)
    t.wait()
    # A starter that ignores and blocks signals, and leaves descriptors open.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    real = os.posix_spawn
    leak = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(leak, True)
    try:
        os.posix_spawn = lambda *a, **k: real(*a, **{**k, "setsigmask": [signal.SIGUSR1], "setsigdef": []})
        t.start()
    finally:
        os.posix_spawn = real
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        os.close(leak)
    t.claim()
    path = os.path.join(t.dir, "stdin")
    with open(path, "w", encoding="ascii") as f:
        f.write("spooled\n")
    j = t.spawn(["sh", "-c", "cat; ls -m /proc/$$/fd; grep -E '^Sig(Blk|Ign|Cgt)' /proc/self/status; umask; pwd; "
                 "cat /proc/$$/oom_score_adj; nice; echo \"$A|$B|$0|$#|$1\"; env | sort | tr '\\n' ' '; echo; "
                 "cut -d' ' -f5,6,7 /proc/$$/stat; echo $$", "name", "a b"],
                umask=0o027, cwd="/usr/bin", nice=3, env=["PATH=/usr/bin:/bin", "A=x=y", "B="], in_path=path)
    r = j.end()
    is_(r.exit_code, 0)
    lines = j.output().decode().splitlines()
    is_(lines[0], "spooled")
    is_(lines[1], "0, 1, 2")
    is_(lines[2].split()[1].strip("0"), "", "blocked signals")
    is_(lines[3].split()[1].strip("0"), "", "ignored signals")
    is_(lines[5], "0027")
    is_(lines[6], "/usr/bin")
    is_(lines[7], "0")
    is_(int(lines[8]), os.getpriority(os.PRIO_PROCESS, 0) + 3)
    is_(lines[9], "x=y||name|1|a b")
    is_({v for v in lines[10].split() if not v.startswith(("PWD=", "_=", "OLDPWD=", "SHLVL="))},
        {"PATH=/usr/bin:/bin", "A=x=y", "B="})
    pid = lines[12]
    is_(lines[11], f"{pid} {pid} 0", "process group, session, terminal")
    done(t)


@case("WELCOME waits until every frame of older connections has been acted on")
def _():
    os.kill(s.pid, signal.SIGSTOP)
    jobs = [s.send_spawn(["true"]) for _ in range(20)]
    old = s.link
    old.close()
    s.link = s.connect()
    os.kill(s.pid, signal.SIGCONT)
    s.link.expect(WELCOME)
    for j in jobs:
        ok(j.files() is not None, f"{j.name} was launched before WELCOME")
    is_(s.seen(), s.seq)
    s.link.send(frame(CLAIM, UUID + struct.pack("=Q", 0)))
    f = s.link.expect(DIRS)
    is_(sorted(f.dirs), sorted((j.id, 1) for j in jobs))
    s.link.expect(CLAIMED, seen=s.seq)
    for j in jobs:
        j.wait_hello()
        is_(j.end().exit_code, 0)
        s.forget(j.id, 1, wait=False)
    s.sync()
    is_(s.dirs(), [])


@case("CLAIM ends older connections, after their frames; a connection without CLAIM disturbs nobody")
def _():
    idle = s.connect()
    idle.expect(WELCOME)
    j = s.sh("exit 0")
    j.end()
    os.kill(s.pid, signal.SIGSTOP)
    late = s.send_spawn(["true"])
    old, s.link = s.link, s.connect()
    os.kill(s.pid, signal.SIGCONT)
    s.link.expect(WELCOME)
    s.link.send(frame(CLAIM, UUID + struct.pack("=Q", 0)))
    is_(sorted(s.link.expect(DIRS).dirs), [(j.id, 1), (late.id, 1)])
    s.link.expect(CLAIMED)
    old.expect(SPAWNED)
    ok(old.closed(), "the older connection is closed")
    ok(idle.closed(), "so is one that never claimed")
    late.wait_hello().end()
    for x in (j, late):
        s.forget(x.id, 1)


@case("frames out of turn and malformed ones cost the connection, newer ones are skipped")
def _():
    claim = frame(CLAIM, UUID + bytes(8))
    good = struct.pack("=Q", 1)
    for data in (frame(SPAWN, good, 1, 1), frame(SWEEP, b"", 1, 1), frame(FORGET, b"", 1, 1), frame(WELCOME, bytes(8)),
                 frame(STOP, bytes(8), 1, 1), frame(DIRS, struct.pack("=II", 1, 0) + bytes(16))):
        c = s.connect()
        c.expect(WELCOME)
        c.send(data)
        ok(c.closed(), f"{data!r} before CLAIM")
    for data in (b"x", b"\0" * 24, claim[:-1], claim + b"\0", frame(CLAIM, b"", magic=1), frame(SWEEP, b"", 1, 1, version=0),
                 frame(SWEEP, b"", 1, 1, size=25), os.urandom(16384), b"\0" * 40000):
        c = s.connect()
        c.expect(WELCOME)
        c.send(data)
        ok(c.closed(), f"{data[:40]!r}")
    for data in (frame(SWEEP, b"", 0, 1), frame(FORGET, b"", 1, 0), frame(SPAWN, good, 0, 0), claim):
        s.claim()
        s.link.send(data)
        ok(s.link.closed(), f"{data!r} after CLAIM")
    # A descriptor where none belongs; too many; all are closed again.
    for n, data in ((1, frame(SWEEP, b"", 1, 1)), (1, claim), (20, frame(SPAWN, good, 1, 1))):
        s.claim()
        s.link.send(data, [0] * n)
        ok(s.link.closed(), f"{n} descriptors")
    s.claim()
    for data in (frame(SWEEP, b"", 1, 1, version=2), frame(1000, bytes(100), 1, 1), frame(5, b"", 0, 0)):
        s.link.send(data)
    s.sync()
    like(s.log_text(), "malformed frame")


@case("a storm of malformed frames leaves a short log")
def _():
    before = len(s.log_text())
    for _ in range(200):
        c = s.connect()
        c.expect(WELCOME)
        c.send(b"junk")
        ok(c.closed(), "closed")
        c.close()
    ok(len(s.log_text()) - before < 4000, "the log is rate-limited")
    s.claim()


@case("more connections than it keeps: the newest is served")
def _():
    links = [s.connect() for _ in range(30)]
    s.claim()
    s.sync()
    for c in links:
        c.close()


@case("the run directory of another database: REFUSED, with its owner, and nothing is touched")
def _():
    c = s.connect()
    c.expect(WELCOME)
    c.send(frame(CLAIM, b"\xee" * 16 + struct.pack("=Q", 99)))
    f = c.expect(REFUSED)
    is_(f.body, UUID)
    ok(c.closed(), "closed")
    s.claim()
    ok(s.seen() < 99, "seen is untouched")


@case("seen starts at the last sequence committed, is raised by SPAWN, and never lowered")
def _():
    t = new(last_seq=7)
    is_(t.seen(), 7)
    t.spawn(["true"], seq=9).end()
    is_(t.seen(), 9)
    t.spawn(["true"], seq=8).end()
    is_(t.seen(), 9)
    is_(t.claim(last_seq=100).seen, 9)
    for text in (None, "", "rubbish\n", "9"):
        os.unlink(os.path.join(t.jobs, "seen"))
        if text is not None:
            with open(os.path.join(t.jobs, "seen"), "w", encoding="ascii") as f:
                f.write(text)
        is_(t.claim(last_seq=20).seen, 20, f"seen was {text!r}")
        is_(t.seen(), 20)
        os.unlink(os.path.join(t.jobs, "seen"))
        t.spawn(["true"], seq=21).end()  # wiped while it runs
        is_(t.seen(), 21)
        t.spawn(["true"], seq=22).end()
        is_(t.seen(), 22)
    for text in (None, "", "00"):
        os.unlink(os.path.join(t.jobs, "uuid"))
        if text is not None:
            with open(os.path.join(t.jobs, "uuid"), "w", encoding="ascii") as f:
                f.write(text)
        t.claim()
        with open(os.path.join(t.jobs, "uuid"), "rb") as f:
            is_(f.read(), UUID.hex().encode())
    done(t)


@case("14,000 directories are told, in as many frames as it takes, to a reader that comes late")
def _():
    t = new()
    for i in range(14000):
        os.mkdir(os.path.join(t.jobs, f"{i + 1}.2"))
    for name in ("0.1", "1.01", "x", ".new.77.1"):
        os.mkdir(os.path.join(t.jobs, name))
    c = t.connect()
    c.expect(WELCOME)
    c.send(frame(CLAIM, UUID + bytes(8)))
    # It stands at a full buffer now, and serves others meanwhile.
    wait_until(lambda: not os.path.exists(os.path.join(t.jobs, ".new.77.1")), "a stale directory to be cleared away", step=0.001)
    other = t.connect()
    other.expect(WELCOME)
    other.close()
    dirs = []
    while True:
        f = c.recv()
        if f.kind == CLAIMED:
            break
        dirs += f.dirs
    is_(sorted(dirs), [(i + 1, 2) for i in range(14000)])
    c.close()
    done(t)


@case("SPAWN that cannot be: the step, the errno, and what is left")
def _():
    def failed(step, error, **kw):
        before = s.dirs()
        j = s.send_spawn(kw.pop("argv", ["true"]), **kw)
        f = s.link.expect(SPAWN_FAILED, id=j.id)
        is_((f.step, f.error), (step, error), f"{kw}")
        is_(s.dirs(), before)
        ok(j.link.closed(), "the monitor's end is closed")

    def bytes_for(id, **kw):
        return spec_bytes(id, 1, ["true"], **kw)

    failed(STEP_FRAME, errno.EPROTO, id=1000, spec=memfd(bytes_for(1000), seals=0))
    failed(STEP_FRAME, errno.EPROTO, id=1000, spec=memfd(bytes_for(1000), seals=SEALS & ~8))
    failed(STEP_FRAME, errno.EPROTO, id=1000, spec=memfd(bytes_for(1000)[:-1]))
    failed(STEP_FRAME, errno.EPROTO, id=1000, spec=memfd(os.urandom(4096)))
    failed(STEP_FRAME, errno.EPROTO, id=1000, spec=memfd(bytes_for(1001)))
    failed(STEP_FRAME, errno.EPROTO, id=1000, spec=os.open("/etc/passwd", os.O_RDONLY))
    failed(STEP_FRAME, errno.EPROTO, id=1000, seq=0)
    failed(STEP_FRAME, errno.EPERM, id=1000, uid=os.getuid() + 1)
    failed(STEP_FRAME, errno.EBADF, id=1000, fds=lambda f: f[:4])
    failed(STEP_FRAME, errno.EBADF, id=1000, fds=lambda f: [])
    failed(STEP_FRAME, errno.EBADF, id=1000, fds=lambda f: f + [0])
    failed(STEP_FRAME, errno.ENOTSOCK, id=1000, fds=lambda f: [f[0], f[2], *f[2:]])
    seen = s.seen()
    os.mkdir(os.path.join(s.jobs, "1000.1"))
    failed(STEP_EXISTS, errno.EEXIST, id=1000)
    is_(os.listdir(os.path.join(s.jobs, "1000.1")), [], "an existing directory is not touched")
    is_(s.seen(), seen)
    s.forget(1000, 1)
    os.mkdir(os.path.join(s.jobs, ".new.1000.1"))
    with open(os.path.join(s.jobs, ".new.1000.1", "fresh"), "w", encoding="ascii"):
        pass
    j = s.spawn(["true"], id=1000)  # a half-built one of an earlier spawner is replaced
    is_(j.end().exit_code, 0)
    s.forget(1000, 1)
    is_(s.dirs(), [])


@case("the run directory wiped under it: SPAWN fails, the connection ends, the next CLAIM makes it again")
def _():
    t = new()
    t.spawn(["true"]).end()
    shutil.rmtree(t.jobs)
    j = t.send_spawn(["true"])
    t.link.expect(SPAWN_FAILED, id=j.id, step=STEP_DIR, error=errno.ENOENT)
    ok(t.link.closed(), "closed")
    is_(t.claim().seen, t.seq)
    is_(t.spawn(["true"]).end().exit_code, 0)
    done(t)


@case("a full file system: SPAWN fails without a directory, and goes on when there is space")
def _():
    if not ROOT:
        skip("needs root to mount a small tmpfs")
    t = new(claim=False)
    os.mkdir(t.jobs, 0o700)
    need(run(["mount", "-t", "tmpfs", "-o", "nr_inodes=24,mode=700", "tmpfs", t.jobs]).code == 0, "mount")
    try:
        t.claim()
        ballast = []

        def fill(leave):
            """Use up all inodes but LEAVE."""
            try:
                while True:
                    os.mkdir(os.path.join(t.jobs, f"ballast{len(ballast)}"))
                    ballast.append(f"ballast{len(ballast)}")
            except OSError as e:
                is_(e.errno, errno.ENOSPC)
            for _ in range(leave):
                os.rmdir(os.path.join(t.jobs, ballast.pop()))

        fill(0)
        for leave in range(4):
            j = t.send_spawn(["true"])
            t.link.expect(SPAWN_FAILED, id=j.id, step=STEP_DIR, error=errno.ENOSPC)
            is_(j.files(), None, f"with {leave} inodes")
            is_(len(t.dirs()), len(ballast), "nothing half-built stays")
            os.rmdir(os.path.join(t.jobs, ballast.pop()))
        # Directory, fresh and sockets fit, the result does not: no exec without a place for its end.
        j = t.send_spawn(["true"])
        t.link.expect(SPAWNED, id=j.id)
        j.link.expect(SPAWN_FAILED, id=j.id, step=STEP_MONITOR, error=errno.ENOSPC)
        ok(j.link.closed(), "the monitor gives up without a HELLO")
        wait_until(j.refused, "ctl to be refused")
        is_(j.files(), ["ctl", "fresh", "notify"], "it provably never ran")
        is_(t.sweep(j.id, 1).flags, CERTAIN)
        is_(j.files(), ["ctl", "notify", "swept"], "and never will")
        t.forget(j.id, 1)
        # A running job can record its end on a full file system.
        os.rmdir(os.path.join(t.jobs, ballast.pop()))
        go = os.path.join(t.dir, "go")
        j = t.talk(f"while not os.path.exists({go!r}): time.sleep(0.01)\ntell('STATUS=full')\nsignal.pause()", python=True)
        fill(0)
        with open(go, "w", encoding="ascii"):
            pass
        is_(j.said(text="full").percent, None, "what it says is told")
        is_(j.progress(), None, "and has no place here")
        j.stop()
        is_(j.end().exit_code, -signal.SIGTERM)
        is_(j.result().exit_code, -signal.SIGTERM)
        # What it has open takes room as long as it lives, whether it has a name or not.
        wait_until(lambda: exited(j.monitor), "the monitor to be gone")
        t.forget(j.id, 1)
        is_(t.spawn(["true"]).end().exit_code, 0)
    finally:
        run(["umount", "-l", t.jobs])
        done(t)


@case("SWEEP: what is certain and what is not")
def _():
    t = new()
    is_(t.sweep(5, 1).flags, 0, "never heard of, no directory: somebody may have removed it")
    j = t.sh("exit 0")
    j.end()
    is_((t.sweep(j.id, 1).flags), CERTAIN, "ended by itself")
    j = t.sh("trap '' TERM; setsid sh -c 'trap \"\" TERM; sleep 1000 & wait' & sleep 1000 & wait")
    pids = wait_until(lambda: (p := descendants([j.hello.pid])) and len(p) >= 4 and p, "its tree")
    f = t.sweep(j.id, 1)
    is_(f.flags, CERTAIN)
    ok(f.killed >= 2, f"killed {f.killed}")
    for pid in pids | {j.monitor}:
        ok(exited(pid), f"{pid} is gone when SWEPT comes")
    is_(j.files(), ["ctl", "notify", "result.tmp", "started"], "evidence stays")
    ok(j.refused(), "ctl")
    t.forget(j.id, 1)
    is_(t.sweep(j.id, 1).flags, 0, "forgotten")
    live = t.sh("sleep 1000")
    t.kill9()
    t.again()
    os.mkdir(os.path.join(t.jobs, "77.1"))
    with open(os.path.join(t.jobs, "77.1", "fresh"), "w", encoding="ascii"):
        pass
    is_(t.sweep(77, 1).flags, CERTAIN, "fresh: never ran")
    is_(os.listdir(os.path.join(t.jobs, "77.1")), ["swept"], "and never will")
    is_(t.sweep(77, 1).flags, CERTAIN, "asked again")
    os.rename(os.path.join(t.jobs, "77.1", "swept"), os.path.join(t.jobs, "77.1", "started"))
    is_(t.sweep(77, 1).flags, 0, "started by an earlier spawner: who knows")
    os.unlink(os.path.join(t.jobs, "77.1", "started"))
    is_(t.sweep(77, 1).flags, 0, "neither mark: who knows")
    is_(t.sweep(live.id, 1).flags, 0, "monitor of an earlier spawner")
    ok(not exited(live.hello.pid), "which is out of reach, so it lives")
    live.stop(STOP_NOW)
    is_(live.end().exit_code, -signal.SIGKILL)
    done(t)


class Unborn:
    """A monitor held between its fork and its first instruction, by ptrace; its spawner was killed there, and its `ctl` removed."""

    SEIZE, GETEVENTMSG, LISTEN, CONT, DETACH, O_TRACEFORK, WALL = 0x4206, 0x4201, 0x4208, 7, 17, 2, 0x40000000
    EVENT_FORK, EVENT_STOP = 1, 128

    def __init__(self, t):
        self.ptrace = ctypes.CDLL(None, use_errno=True).ptrace
        self.ptrace.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
        self.ptrace.restype = ctypes.c_long
        self.do(self.SEIZE, t.pid, self.O_TRACEFORK)
        self.job = t.send_spawn(["echo", "ran"])
        self.stopped(t.pid, self.EVENT_FORK)
        pid = ctypes.c_ulong()
        self.do(self.GETEVENTMSG, t.pid, ctypes.addressof(pid))
        self.pid = pid.value
        self.stopped(self.pid, self.EVENT_STOP)
        t.kill9()
        os.unlink(os.path.join(self.job.dir, "ctl"))
        is_(self.job.files(), ["fresh", "notify"], "what it finds when it goes on")
        t.again()

    def do(self, request, pid, data=None):
        need(self.ptrace(request, pid, None, data) == 0, f"ptrace {request:#x}: {os.strerror(ctypes.get_errno())}")

    def stopped(self, pid, event):
        """Wait until PID stops of EVENT; what else it stops for, signals, takes its course."""
        while True:
            got = wait_until(lambda: (r := os.waitpid(pid, os.WNOHANG | self.WALL))[0] and r, f"{pid} to stop")
            need(os.WIFSTOPPED(got[1]), f"{pid}: status {got[1]:#x}")
            if got[1] >> 16 == event:
                return
            self.do(self.LISTEN if got[1] >> 16 == self.EVENT_STOP else self.CONT, pid,
                    None if got[1] >> 16 else os.WSTOPSIG(got[1]))

    def go(self):
        self.do(self.DETACH, self.pid)


@case("SWEEP and a monitor that is about to start, and that nobody can find: one of them comes first")
def _():
    t = new()
    m = Unborn(t)
    is_(t.sweep(m.job.id, 1).flags, CERTAIN, "it never ran, and never will")
    is_(m.job.files(), ["notify", "swept"])
    m.go()
    m.job.link.expect(SPAWN_FAILED, id=m.job.id, step=STEP_MONITOR, error=errno.ENOENT)
    ok(m.job.link.closed(), "the monitor gives up without a HELLO")
    wait_until(lambda: exited(m.pid), "it to end")
    is_((m.job.output(), "started" in m.job.files()), (b"", False), "nothing was executed")
    m = Unborn(t)
    m.go()
    is_(m.job.wait_hello().end().exit_code, 0)
    is_((t.sweep(m.job.id, 1).flags, m.job.output()), (0, b"ran\n"), "it ran: nothing is claimed")
    ok("swept" not in m.job.files())
    done(t)


@case("SIGKILL of a monitor: the job dies with it, and what escaped the parent-death signal is killed")
def _():
    # setpriv cannot clear it from outside, a grandchild never had it: a double fork, its own session, deaf to TERM and HUP.
    j = s.sh("trap '' TERM HUP; (setsid sh -c 'trap \"\" TERM HUP; echo up; while :; do sleep 1; done' &) ; sleep 1000 & "
             "while :; do sleep 1; done")
    wait_until(lambda: j.output() == b"up\n", "the daemon of the job")
    tree = wait_until(lambda: (t := descendants([j.hello.pid, *children(j.monitor)])) and len(t) >= 4 and t, "all of its tree")
    os.kill(j.monitor, signal.SIGKILL)
    wait_until(lambda: all(exited(p) for p in tree), "the whole tree to die")
    wait_until(j.refused, "ctl to be refused")
    ok(j.link.closed(), "no END")
    is_(j.files(), ["ctl", "notify", "result.tmp", "started"])
    is_(s.sweep(j.id, 1).flags, CERTAIN)
    wait_until(lambda: not children(s.pid), "no child to be left")
    like(s.log_text(), rf"job {j.name}: its monitor .*lost")
    s.forget(j.id, 1)
    j = s.sh("exit 4")
    is_(j.end().exit_code, 4, "the spawner goes on")
    s.forget(j.id, 1)


@case("a fork bomb whose monitor was killed is caught")
def _():
    bomb = ("import os,signal\n"
            "for g in (15,1,2): signal.signal(g, signal.SIG_IGN)\n"
            "os.setsid() if os.getpgrp()!=os.getpid() else 0\n"
            "for _ in range(8):\n"
            " if os.fork()==0: break\n"
            "else:\n"
            " os.write(1,b'x'); signal.pause()\n"
            "for i in range(100000):\n"
            " if os.fork(): os._exit(0)\n"
            " os.setsid()\n")
    wait_until(lambda: not children(s.pid), "earlier monitors to be gone")
    j = s.spawn([sys.executable, "-c", bomb])
    wait_until(lambda: j.output(), "the bomb to start")
    other = s.spawn(["sleep", "1000"])
    os.kill(j.monitor, signal.SIGKILL)
    # An answer is not put off for ever; on a machine that does little else a bomb may last longer than that.
    wait_until(lambda: s.sweep(j.id, 1).flags == CERTAIN, "the bomb to be dead, for certain")
    is_(descendants([s.pid]), {s.pid, other.monitor, other.hello.pid}, "only the other job is there")
    other.stop(STOP_NOW)
    other.end()
    for x in (j, other):
        s.forget(x.id, 1)


@case("SIGKILL of the spawner: jobs, deadlines and results go on, a new one takes over")
def _():
    t = new()
    gate = os.path.join(t.dir, "gate")
    os.mkfifo(gate)
    a = t.sh(f"cat {gate}; exit 5")
    b = t.sh("sleep 1000", timeout=1.0, grace=0.2)
    t.kill9()
    c = a.connect()
    h = c.expect(HELLO)
    is_((h.pid, h.monitor_pid, h.deadline_ns), (a.hello.pid, a.monitor, a.hello.deadline_ns), "the same monitor answers")
    r = b.end()
    is_((r.exit_code, r.stop_cause), (-signal.SIGTERM, CAUSE_DEADLINE))
    is_(t.again().dirs, [(1, 1), (2, 1)])
    with open(gate, "w", encoding="ascii"):
        pass
    f = c.expect(END)
    is_(f.result.exit_code, 5)
    is_(a.end().exit_code, 5)
    ok(a.result() == f.result, "result")
    is_(t.sh("exit 6").end().exit_code, 6)
    for i in (1, 2, 3):
        t.forget(i, 1)
    is_(t.dirs(), [])
    done(t)


@case("SIGTERM ends the spawner with 0 and leaves its jobs; SIGHUP and SIGPIPE do nothing")
def _():
    t = new()
    j = t.sh("sleep 1000")
    for sig in (signal.SIGHUP, signal.SIGPIPE, signal.SIGUSR1, signal.SIGALRM):
        os.kill(t.pid, sig)
        os.kill(j.monitor, sig)
    os.kill(j.monitor, signal.SIGTERM)
    os.kill(j.monitor, signal.SIGINT)
    t.sync()
    os.kill(t.pid, signal.SIGTERM)
    is_(t.wait(), 0)
    j.stop()
    is_(j.end().exit_code, -signal.SIGTERM)
    done(t)


@case("--idle-exit: not with a connection, not with a monitor, then at once")
def _():
    t = new("--idle-exit", "1")
    j = t.sh("sleep 1000")
    t.link.close()
    c = j.connect()
    c.expect(HELLO)
    with os.fdopen(os.pidfd_open(t.pid), "rb") as p:
        ok(not select.select([p], [], [], 1.5)[0], "it stays while a monitor lives")
        t.claim()
        j.stop()
        j.end()
        ok(not select.select([p], [], [], 1.5)[0], "it stays while a connection is there")
        t.link.close()
        ok(select.select([p], [], [], TIMEOUT)[0], "it leaves")
    is_(t.wait(), 0)
    done(t)


@case("200 jobs at once, all forgotten: no descriptor, file, process or memory stays")
def _():
    def rss():
        with open(f"/proc/{s.pid}/statm", encoding="ascii") as f:
            return int(f.read().split()[1])

    for _ in range(20):
        j = s.sh("true")
        j.end()
        s.forget(j.id, 1, wait=False)
    s.sync()
    fds, mem = s.fds(), rss()
    for _ in range(2):
        jobs = [s.send_spawn(["sh", "-c", f"echo {i}; exit {i % 100}"]) for i in range(200)]
        for i, j in enumerate(jobs):
            s.link.expect(SPAWNED, id=j.id)
        for i, j in enumerate(jobs):
            j.wait_hello()
            is_(j.end().exit_code, i % 100)
            is_(j.output(), b"%d\n" % i)
            s.forget(j.id, 1, wait=False)
    s.sync()
    is_(s.dirs(), [])
    wait_until(lambda: s.fds() <= fds, f"{fds} descriptors, as before")
    wait_until(lambda: not children(s.pid), "monitors to go")
    if not os.environ.get("SANITIZE"):
        ok(rss() - mem <= 64, f"{rss() - mem} pages more")


@case("uids that are neither the owner nor root are turned away")
def _():
    if not ROOT:
        skip("needs root to become someone else")
    os.chmod(s.path, 0o666)
    script = (f"import socket; s=socket.socket(socket.AF_UNIX,socket.SOCK_SEQPACKET); s.connect({s.path!r}); "
              "print(len(s.recv(100)))")
    is_(run([sys.executable, "-c", script], uid=NOBODY).out, "0\n")
    is_(run([sys.executable, "-c", script], uid=0).out, "32\n")
    os.chmod(s.path, 0o600)
    t = new("--owner", str(NOBODY), claim=False)
    os.chmod(t.path, 0o666)
    script = script.replace(s.path, t.path)
    is_(run([sys.executable, "-c", script], uid=NOBODY).out, "32\n")
    is_(run([sys.executable, "-c", script], uid=NOBODY - 1).out, "0\n")
    done(t)
    s.claim()


@case("system mode: the job is another user, its files belong to whom they should")
def _():
    if not ROOT:
        skip("needs root")
    owner, group = NOBODY - 10, NOBODY - 11
    t = new("--system", owner=(owner, group))
    is_(t.welcome.flags & 0xffffff, W_SYSTEM)

    def mode_owner(path):
        st = os.stat(path)
        return stat.S_IMODE(st.st_mode), st.st_uid, st.st_gid

    is_(mode_owner(t.jobs), (0o711, 0, 0))
    j = t.spawn(["sh", "-c", "id -u; id -g; id -G; grep ^Cap /proc/$$/status; echo named >>/dev/stderr; exec sleep 1000"],
                uid=NOBODY, gid=NOBODY, groups=(NOBODY, 7, 8), out_gid=group, out_owner=owner)
    wait_until(lambda: b"named" in j.output(), "its output")
    lines = j.output().decode().splitlines()
    is_(lines[:3], [str(NOBODY), str(NOBODY), f"{NOBODY} 7 8"])
    for line in lines[3:8]:
        ok(line.startswith("CapBnd") or line.split()[1].strip("0") == "", line)
    is_(mode_owner(j.dir), (0o751, 0, group))
    is_(mode_owner(os.path.join(j.dir, "ctl")), (0o660, 0, group))
    is_(mode_owner(os.path.join(j.dir, "notify")), (0o600, NOBODY, group))
    is_(mode_owner(os.path.join(j.dir, "started")), (0o640, 0, group))
    is_(mode_owner(j.out_path), (0o640, NOBODY, group))
    # Who may talk to the monitor: root, ctxd; not the job's user, even if the file let it.
    os.chmod(os.path.join(j.dir, "ctl"), 0o666)
    script = (f"import socket; s=socket.socket(socket.AF_UNIX,socket.SOCK_SEQPACKET); s.connect('{j.dir}/ctl'); "
              "print(len(s.recv(100)))")
    for uid, got in ((0, "72\n"), (owner, "72\n"), (NOBODY, "0\n"), (NOBODY - 1, "0\n")):
        is_(run([sys.executable, "-c", script], uid=uid).out, got, f"uid {uid} on ctl")
    is_(run(["cat", os.path.join(t.jobs, "seen")], uid=owner, gid=group).out, f"{t.seq}\n", "ctxd reads seen")
    j.stop()
    r = j.end()
    is_(r.exit_code, -signal.SIGTERM)
    is_(mode_owner(os.path.join(j.dir, "result")), (0o640, 0, group))
    is_(run(["cat", os.path.join(j.dir, "result")], uid=owner, gid=group).code, 0, "ctxd reads the result")
    # Its end is known also when the monitor is killed: PDEATHSIG is set after the change of uid.
    j = t.spawn(["sleep", "1000"], uid=NOBODY, gid=NOBODY, out_owner=owner)
    os.kill(j.monitor, signal.SIGKILL)
    wait_until(lambda: exited(j.hello.pid), "the job to die with its monitor")
    # A directory that the user may not enter; groups it may not have been given are gone.
    r = t.spawn(["true"], uid=NOBODY, gid=NOBODY, cwd="/root", out_owner=owner).end()
    is_((r.exec_error, r.exec_step, r.exit_code), (errno.EACCES, X_CHDIR, None))
    done(t)


@case("system mode: root's jobs and files that are not ctxd's to give are refused")
def _():
    if not ROOT:
        skip("needs root")
    owner, group = NOBODY - 10, NOBODY - 11
    t = new("--system", owner=(owner, group))

    def failed(error, **kw):
        j = t.send_spawn(["true"], **kw)
        f = t.link.expect(SPAWN_FAILED, id=j.id)
        is_((f.step, f.error), (STEP_FRAME, error), f"{kw}")
        is_(j.files(), None)

    passwd = os.open("/etc/passwd", os.O_RDONLY)
    failed(errno.EPERM, uid=0, gid=0, out_owner=owner)
    failed(errno.EPERM, uid=NOBODY, gid=NOBODY)  # an output file of root
    failed(errno.EPERM, uid=NOBODY, gid=NOBODY, out_owner=owner - 1)
    failed(errno.EBADF, uid=NOBODY, gid=NOBODY, fds=lambda f: f[:3] + [passwd, passwd])
    failed(errno.EBADF, uid=NOBODY, gid=NOBODY, out_owner=owner, err=passwd)
    failed(errno.EBADF, uid=NOBODY, gid=NOBODY, out_owner=owner, fds=lambda f: f[:3] + [f[2], f[2]])
    is_(os.stat("/etc/passwd").st_uid, 0)
    os.close(passwd)
    done(t)
    t = new("--system", "--allow-root", owner=(owner, group))
    is_(t.welcome.flags & 0xffffff, W_SYSTEM | W_ALLOW_ROOT)
    j = t.spawn(["id", "-u"], uid=0, gid=0, out_owner=owner)
    is_(j.end().exit_code, 0)
    is_(j.output(), b"0\n")
    done(t)


@case("--cgroup: each job has one; leftovers, deadlines, SWEEP and FORGET go through it")
def _():
    parent = cgroup_parent()
    if not parent:
        skip("no writable cgroup v2 here")
    t = new("--cgroup", parent)
    is_(t.welcome.flags & 0xffffff, W_CGROUP)
    j = t.sh("cat /proc/self/cgroup; exit 2")
    is_(j.end().exit_code, 2)
    like(j.output().decode(), rf"0::.*/{re.escape(os.path.basename(parent))}/{re.escape(j.name)}$")
    ok(os.path.isdir(os.path.join(parent, j.name)), "its cgroup")
    t.forget(j.id, 1)
    t.sync()
    is_([n for n in os.listdir(parent) if n[0].isdigit()], [], "cgroups")
    # Leftovers: counted, TERM, KILL.
    j = t.sh("setsid sh -c 'trap \"\" TERM; echo up; while :; do sleep 1; done' & while ! test -s /proc/self/fd/1; do sleep 0.01; done; exit 0",
             grace=0.1)
    r = j.end()
    is_((r.exit_code, r.flags), (0, HAS_STATUS | TERM_SENT | KILL_SENT))
    ok(r.leftovers >= 1, f"{r.leftovers} leftovers")
    # A job that makes cgroups of its own below.
    j2 = t.sh(f"mkdir {parent}/2x 2>&-; d={parent}/$(cut -d/ -f3 /proc/self/cgroup | tail -n1); mkdir $d/a $d/a/b; echo $$ >$d/a/b/cgroup.procs; echo up; "
              "trap '' TERM; sleep 1000 & wait", timeout=30)
    wait_until(lambda: b"up" in j2.output(), "the job")
    f = t.sweep(j2.id, 1)
    is_(f.flags, CERTAIN)
    ok(exited(j2.hello.pid), "dead")
    t.forget(j2.id, 1)
    t.sync()
    ok(not os.path.exists(os.path.join(parent, j2.name)), "nested cgroups are removed")
    if os.path.isdir(f"{parent}/2x"):
        os.rmdir(f"{parent}/2x")
    # The monitor of an earlier spawner was killed too: the cgroup still proves it.
    j3 = t.sh("trap '' TERM; (setsid sh -c 'trap \"\" TERM; echo up; while :; do sleep 1; done' &) ; while :; do sleep 1; done")
    wait_until(lambda: j3.output() == b"up\n", "the job")
    pids = {int(p) for p in open(os.path.join(parent, j3.name, "cgroup.procs"), encoding="ascii").read().split()}
    t.kill9()
    os.kill(j3.monitor, signal.SIGKILL)
    wait_until(j3.refused, "ctl to be refused")
    t.again()
    is_(t.sweep(j3.id, 1).flags, CERTAIN)
    for pid in pids:
        ok(exited(pid), f"{pid}")
    is_(t.sweep(j3.id, 1).flags, CERTAIN, "asked again")
    # An old empty cgroup of that name is in nobody's way.
    os.mkdir(os.path.join(parent, "500.1"))
    is_(t.spawn(["true"], id=500).end().exit_code, 0)
    for id in (j.id, j3.id, 500):
        t.forget(id, 1)
    t.sync()
    done(t)
    is_([n for n in os.listdir(parent) if n[0].isdigit()], [], "cgroups")
    os.rmdir(parent)


@case("a parent of cgroups that comes, goes, and comes again")
def _():
    parent = cgroup_parent()
    if not parent:
        skip("no writable cgroup v2 here")
    os.rmdir(parent)
    t = new("--cgroup", parent)
    is_(t.welcome.flags & 0xffffff, 0)
    like(t.log_text(), "is not there")

    def in_cgroup():
        j = t.sh("cat /proc/self/cgroup")
        is_(j.end().exit_code, 0)
        t.forget(j.id, 1)
        return f"/{os.path.basename(parent)}/{j.name}\n" in j.output().decode()

    is_(in_cgroup(), False)
    for _ in range(2):
        os.mkdir(parent)
        is_(in_cgroup(), True)
        t.claim()
        is_(t.welcome.flags & 0xffffff, W_CGROUP)
        os.rmdir(parent)
        is_(in_cgroup(), False)
    done(t)


@case("a directory that is no cgroup v2 is refused at the start")
def _():
    code, err = start_raw(("--runtime-dir", s.run, "--cgroup", "/tmp"), s.listener.fileno(), {"LISTEN_FDS": "1"})
    is_(code, 1)
    ok("cgroup v2" in err, err)


@case("everything is gone at the end")
def _():
    wait_until(lambda: not children(s.pid), "the last monitor to be gone")
    s.sync()
    for t in list(spawners):
        done(t)


main()
