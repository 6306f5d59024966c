#!/usr/bin/python3
"""Who may do what: the rights that spawner, monitors and jobs have, a monitor that somebody got hold of, and a ctxd that somebody got
hold of and that sends what it likes to a spawner which is root. Needs root."""
# test-timeout: 300
import contextlib
import errno
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import spawnerdrv
from ctxtest import *
from inject import CAN_HIJACK, Hijacked
from spawnerdrv import *

UNIT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../systemd/ctxd.service")


@case_if(shutil.which("systemd-analyze"), "the sandbox of ctxd.service: systemd-analyze security gives 1.5 or less")
def _():
    with open(UNIT, encoding="utf-8") as f, tempfile.TemporaryDirectory() as d:
        path = os.path.join(d, "ctxd.service")
        with open(path, "w", encoding="utf-8") as out:
            out.write(f.read().replace("@PREFIX@", "/usr"))
        r = run(["systemd-analyze", "security", "--no-pager", "--offline=true", "--threshold=15", path])
        is_(r.code, 0, r.out[-2000:] + r.err)
        diag(r.out.strip().splitlines()[-1])


if os.geteuid() != 0:
    @case("rights")
    def _():
        skip("needs root")
    main()

subreaper()
NOBODY = 65534
ATTACH = 16  # PTRACE_ATTACH
OWNER, GROUP = NOBODY - 10, NOBODY - 11  # ctxd's
KILL, SETGID, SETUID, CHOWN, FOWNER, DAC_READ, PTRACE, NICE, RESOURCE = (
    1 << n for n in (5, 6, 7, 0, 3, 2, 19, 23, 24))
STARTS_JOBS = KILL | SETGID | SETUID | CHOWN | FOWNER | NICE | RESOURCE
spawners = []


def new(*args, **kw):
    spawners.append(Spawner(*args, **kw))
    return spawners[-1]


def system(*args):
    return new("--system", *args, owner=(OWNER, GROUP))


def status(pid):
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


def caps(pid, *names):
    st = status(pid)
    return tuple(int(st["Cap" + n], 16) for n in names or ("Prm", "Eff", "Inh", "Amb"))


OURS = caps(os.getpid(), "Bnd")[0]
MINE = {n: os.readlink(f"/proc/self/ns/{n}") for n in os.listdir("/proc/self/ns")}


def spaces(pid):
    return {n: os.readlink(f"/proc/{pid}/ns/{n}") for n in MINE}


def as_nobody(spawner, argv, **kw):
    return spawner.spawn(argv, **{"uid": NOBODY, "gid": NOBODY, "out_gid": GROUP, "out_owner": OWNER, **kw})


@contextlib.contextmanager
def started_by(script):
    """Spawners are started by a shell script, which has to execute "$@"."""
    real = spawnerdrv.SPAWNER
    path = os.path.join(t.dir, "starter")
    with open(path, "w", encoding="ascii") as f:
        f.write(f"#!/bin/sh\nshift 0\nset -- {real} \"$@\"\n{script}\n")
    os.chmod(path, 0o755)
    spawnerdrv.SPAWNER = path
    try:
        yield
    finally:
        spawnerdrv.SPAWNER = real


t = system()
FILTERED = "no system call filter" not in t.log_text()
LANDLOCKED = "no Landlock" not in t.log_text()


@case("the spawner: the few capabilities that starting jobs takes; nothing that jobs would inherit")
def _():
    t.sync()
    keep = STARTS_JOBS & OURS
    is_(caps(t.pid), (keep, keep, 0, 0))
    is_(caps(t.pid, "Bnd"), (OURS,), "a job may run what gives it rights")
    is_((status(t.pid)["Seccomp"], status(t.pid)["NoNewPrivs"]), (status("self")["Seccomp"], status("self")["NoNewPrivs"]))
    is_(spaces(t.pid), MINE)
    r = system("--allow-root")
    r.sync()
    keep |= DAC_READ & OURS
    is_(caps(r.pid), (keep, keep, 0, 0))


@case("a monitor: CAP_KILL alone, no new privileges, filtered, and only the descriptors it uses")
def _():
    j = as_nobody(t, ["sleep", "1000"])
    is_(caps(j.monitor), (KILL & OURS, KILL & OURS, 0, 0))
    is_((status(j.monitor)["NoNewPrivs"], status(j.monitor)["Seccomp"]), ("1", "2" if FILTERED else status("self")["Seccomp"]))
    fds = sorted(os.readlink(f"/proc/{j.monitor}/fd/{n}") for n in os.listdir(f"/proc/{j.monitor}/fd"))
    # link, ctl, notify; where the result goes; what comes in and at which time; its children, where the kernel has a list of them
    own = [f for f in [f"/proc/{j.monitor}/task/{j.monitor}/children"] if os.path.exists(f)]
    is_([f for f in fds if not f.startswith("socket:")],
        sorted(["/dev/null", "/dev/null", t.log, j.dir, j.out_path, os.path.join(j.dir, "result.tmp"), "anon_inode:[signalfd]",
                "anon_inode:[timerfd]", *own]))
    is_(len([f for f in fds if f.startswith("socket:")]), 3)
    j.stop()
    is_(j.end().exit_code, -signal.SIGTERM)


@case("a job: its user's rights, no trace of the daemons' sandbox; the namespaces of the host")
def _():
    j = as_nobody(t, ["sleep", "1000"], groups=(NOBODY, 7))
    st, own = status(j.hello.pid), status("self")
    is_(caps(j.hello.pid), (0, 0, 0, 0))
    is_(caps(j.hello.pid, "Bnd"), (OURS,))
    is_((st["NoNewPrivs"], st["Seccomp"]), (own["NoNewPrivs"], own["Seccomp"]))
    is_(spaces(j.hello.pid), MINE)
    is_((st["Uid"].split(), st["Gid"].split(), sorted(st["Groups"].split())), ([str(NOBODY)] * 4, [str(NOBODY)] * 4, ["65534", "7"]))
    is_(os.stat(f"/proc/{j.hello.pid}").st_uid, NOBODY, "it is as visible as any process of its user")
    j.stop()
    j.end()


@case("a job has no leftover of how it came to be: securebits and keepcaps are 0; it dies with its monitor")
def _():
    j = as_nobody(t, [sys.executable, "-c", "import ctypes; p = ctypes.CDLL(None).prctl; n = ctypes.c_int(); p(2, ctypes.byref(n)); "
                      "print(p(27), p(7), n.value)"])
    is_(j.end().exit_code, 0)
    is_(j.output(), b"0 0 9\n")


NOSUID = bool(os.statvfs(t.dir).f_flag & os.ST_NOSUID)


@case_if(not NOSUID and status("self")["NoNewPrivs"] == "0", "a setuid program in a job works, and dies with the job")
def _():
    for program in ("grep", "sleep"):
        path = os.path.join(t.dir, program)
        shutil.copy(shutil.which(program), path)
        os.chmod(path, 0o4755)
    r = as_nobody(t, [os.path.join(t.dir, "grep"), "-E", "^(Uid|CapEff)", "/proc/self/status"])
    is_(r.end().exit_code, 0)
    uid, eff = r.output().decode().splitlines()
    is_(uid.split()[2], "0")
    is_(int(eff.split()[1], 16), OURS)
    j = as_nobody(t, ["sh", "-c", f"setsid {t.dir}/sleep 1000 & echo $!; exec sleep 1000"], grace=0)
    wait_until(lambda: j.output().endswith(b"\n"), "its pid")
    other = int(j.output())
    wait_until(lambda: status(other)["Uid"].split()[1] == "0", "it to be root's")
    j.stop()
    j.end()
    ok(exited(other), "dead")


@case("a job of root, where they are allowed: everything that root has, also before the exec")
def _():
    r = spawners[1]
    hidden = os.path.join(r.dir, "hidden")
    os.mkdir(hidden, 0o700)
    os.chown(hidden, NOBODY, NOBODY)
    j = r.spawn(["sleep", "1000"], uid=0, gid=0, cwd=hidden, out_owner=OWNER)
    is_(caps(j.hello.pid, "Prm", "Eff", "Bnd"), (OURS,) * 3)
    is_(caps(j.monitor, "Eff"), (KILL & OURS,))
    j.stop()
    is_(j.end().exit_code, -signal.SIGTERM)


BETRAY = f"""
import ctypes, os, signal, socket
libc = ctypes.CDLL(None, use_errno=True)
def tried(name, fn):
    try:
        fn()
        print(name, "done", flush=True)
    except OSError as e:
        print(name, os.strerror(e.errno), flush=True)
def trace(pid):
    if libc.ptrace({ATTACH}, pid, None, None) < 0:
        raise OSError(ctypes.get_errno(), "")
def connect(path):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.connect(path)
up, home = os.getppid(), os.path.dirname(os.environ["NOTIFY_SOCKET"])
tried("kill", lambda: os.kill(up, signal.SIGKILL))
tried("stop", lambda: os.kill(up, signal.SIGSTOP))
tried("trace", lambda: trace(up))
for name in ("mem", "environ", "maps", "fd"):
    tried(name, lambda: os.listdir(f"/proc/{{up}}/{{name}}") if name == "fd" else open(f"/proc/{{up}}/{{name}}", "rb").read(1))
tried("priority", lambda: os.setpriority(os.PRIO_PROCESS, up, 19))
tried("oom", lambda: open(f"/proc/{{up}}/oom_score_adj", "w").write("1000"))
tried("ctl", lambda: connect(home + "/ctl"))
tried("list", lambda: os.listdir(os.path.dirname(home)))
tried("own", lambda: os.listdir(home))
tried("result", lambda: open(home + "/result", "w"))
tried("reserved", lambda: open(home + "/result.tmp", "r+"))
tried("rename", lambda: os.rename(home + "/started", home + "/fresh"))
tried("unlink", lambda: os.unlink(home + "/notify"))
tried("seen", lambda: open(os.path.dirname(home) + "/seen", "r+"))
"""


@case("a job against its own monitor and its evidence: signals, tracing, memory, files; nothing of it works")
def _():
    j = t.talk(BETRAY, python=True, uid=NOBODY, gid=NOBODY, out_gid=GROUP, out_owner=OWNER)
    is_(j.end().exit_code, 0)
    got = dict(line.split(" ", 1) for line in j.output().decode().splitlines())
    is_({n for n, e in got.items() if e not in ("Permission denied", "Operation not permitted")}, set(), str(got))
    is_(len(got), 17)


@case_if(CAN_HIJACK, "a monitor that somebody got hold of: no program, no socket, no other file, no right to be had; its job ends as ever")
def _():
    j = as_nobody(t, ["sleep", "1000"])
    victim = os.path.join(t.dir, "victim")
    with open(victim, "w", encoding="ascii") as f:
        f.write("whole")
    at = -100 % 2**64
    with Hijacked(j.monitor) as h:
        is_(h.call("getpid"), j.monitor, "calls can be put into it")
        name = h.text(victim)
        if FILTERED:
            for call, *args in (("execve", h.text("/bin/sh"), 0, 0), ("socket", 1, 1, 0), ("clone", 17, 0), ("setuid", 0), ("ptrace", 16, 1),
                                ("capset", 0, 0), ("prctl", 23, 0), ("mount", name, name, 0, 4096), ("memfd_create", name, 0),
                                ("chmod", name, 0o4777), ("fchown", 1, 0, 0), ("truncate", name, 0), ("unlinkat", at, name, 0),
                                ("linkat", at, name, at, h.text(victim + "2"), 0), ("bpf", 0, 0, 0), ("init_module", 0, 0, 0),
                                ("setns", 1, 0), ("unshare", 0x10000000), ("process_vm_writev", 1, 0, 0, 0, 0),
                                ("mmap", 0, 4096, 7, 0x22, 2**64 - 1)):
                is_(h.call(call, *args), -errno.EPERM, call)
        if LANDLOCKED:
            for path, flags in (("/etc/shadow", os.O_RDONLY), ("/etc/passwd", os.O_RDONLY), (victim, os.O_RDONLY), (victim, os.O_WRONLY | os.O_TRUNC),
                                (t.dir + "/new", os.O_WRONLY | os.O_CREAT), (os.path.join(t.jobs, "seen"), os.O_WRONLY),
                                ("/proc/sys/kernel/core_pattern", os.O_WRONLY), ("/", os.O_RDONLY)):
                is_(h.call("openat", at, h.text(path), flags, 0o666), -errno.EACCES, path)
            is_(h.call("renameat", at, name, at, h.text(t.dir + "/moved")), -errno.EACCES, "renameat")
        for path, flags in (("/proc/1/stat", os.O_RDONLY), (os.path.join(j.dir, "progress"), os.O_WRONLY | os.O_CREAT)):
            fd = h.call("openat", at, h.text(path), flags, 0o640)
            ok(fd >= 0, f"{path}: {fd}")
            is_(h.call("close", fd), 0)
    with open(victim, encoding="ascii") as f:
        is_(f.read(), "whole")
    j.stop()
    r = j.end()
    is_((r.exit_code, r.flags & (TERM_SENT | KILL_SENT)), (-signal.SIGTERM, TERM_SENT))


@case("each start is noted: which attempt, for whom, by which monitor")
def _():
    j = as_nobody(t, ["true"])
    j.end()
    like(t.log_text(), rf"job={j.id}\.1 starts uid={NOBODY} gid={NOBODY} monitor={j.monitor}$")


@case("a log that is the journal costs monitors no memory")
def _():
    def private(spawner):
        """KiB that a waiting monitor has for itself: the middle one of nine."""
        jobs = [as_nobody(spawner, ["sleep", "1000"]) for _ in range(9)]
        spawner.sync()
        found = []
        for j in jobs:
            with open(f"/proc/{j.monitor}/smaps_rollup", encoding="ascii") as f:
                found.append(sum(int(line.split()[1]) for line in f if line.startswith("Private_")))
            j.stop()
            j.end()
        return sorted(found)[4]

    with started_by('JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2) exec "$@"'):
        g = system()
    g.sync()
    if not os.environ.get("SANITIZE"):
        more = private(g) - private(t)
        ok(more <= 16, f"{more} KiB more")


# A ctxd that somebody got hold of -----------------------------------------------------------------------------------

def refused(error, why, spoil=None, fds=None, s=t, **kw):
    """SPAWN is refused with ERROR, the log says WHY, nothing of the job is there. SPOIL: offset and bytes in the spec."""
    before = s.fds()
    s.ids += 1
    kw = {"uid": NOBODY, "gid": NOBODY, "out_gid": GROUP, "out_owner": OWNER, **kw}
    if spoil:
        data = bytearray(spec_bytes(s.ids, 1, ["true"], **{k: v for k, v in kw.items() if k != "out_owner"}))
        for at, piece in spoil:
            data[at:at + len(piece)] = piece
        kw = {"out_owner": OWNER, "spec": memfd(bytes(data))}
    j = s.send_spawn(["true"], id=s.ids, fds=fds, **kw)
    f = s.link.expect(SPAWN_FAILED, id=j.id)
    is_((f.step, f.error), (STEP_FRAME, error), why)
    is_(j.files(), None)
    ok(j.link.closed(), "its end is closed")
    like(s.log_text(), rf"job={j.id}\.1 is refused .*{why}")
    s.sync()
    wait_until(lambda: s.fds() <= before, f"the spawner to have {before} descriptors again")


def put(form, at, value):
    return [(at, struct.pack("=" + form, value))]


@case("forged: a job of root, output that goes to another group")
def _():
    refused(errno.EPERM, "--allow-root", uid=0, gid=0)
    refused(errno.EPERM, "group", out_gid=0)
    refused(errno.EPERM, "group", out_gid=42)


@case("forged: output and input that are not ctxd's to give")
def _():
    fifo, directory, foreign, own = (os.path.join(t.dir, n) for n in ("fifo", "directory", "foreign", "own"))
    os.mkfifo(fifo)
    os.mkdir(directory)
    # What the system's own files are: a spawner that is wrong shall not give away /etc/shadow.
    shadow = os.path.join(t.dir, "shadow")
    for path, uid in ((foreign, OWNER - 1), (own, OWNER), (shadow, 0)):
        with open(path, "w", encoding="ascii"):
            pass
        os.chown(path, uid, uid)
    a, b = socket.socketpair()
    fds = {
        "shadow": os.open(shadow, os.O_RDWR), "shadow to read": os.open(shadow, os.O_RDONLY),
        "path": os.open(own, os.O_PATH), "fifo": os.open(fifo, os.O_RDWR), "directory": os.open(directory, os.O_RDONLY),
        "foreign": os.open(foreign, os.O_RDWR), "to read": os.open(own, os.O_RDONLY), "to write": os.open(own, os.O_WRONLY),
        "null": os.open("/dev/null", os.O_RDWR), "zero": os.open("/dev/zero", os.O_RDWR), "socket": a.fileno(),
        "spec": memfd(b"x", 0),
    }
    out = {"shadow": errno.EPERM, "shadow to read": errno.EBADF, "path": errno.EBADF, "fifo": errno.EBADF, "directory": errno.EBADF,
           "foreign": errno.EPERM, "to read": errno.EBADF, "null": errno.EBADF, "socket": errno.EBADF, "spec": errno.EPERM}
    for place in (3, 4):
        for name, error in out.items():
            refused(error, "output", fds=lambda f, fd=fds[name], p=place: f[:p] + [fd] + f[p + 1:])
    into = {"shadow": errno.EPERM, "shadow to read": errno.EPERM, "path": errno.EBADF, "fifo": errno.EBADF, "directory": errno.EBADF,
            "foreign": errno.EPERM, "to write": errno.EBADF, "zero": errno.EBADF, "socket": errno.EBADF}
    for name, error in into.items():
        refused(error, "input", fds=lambda f, fd=fds[name]: f[:2] + [fd] + f[3:])
    for path, uid in ((foreign, OWNER - 1), (own, OWNER), (shadow, 0)):
        is_(os.stat(path).st_uid, uid, path)
    b.close()
    a.detach()
    for fd in fds.values():
        os.close(fd)


@case("forged: connections that are none, descriptors that are missing")
def _():
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listening.bind(os.path.join(t.dir, "listening"))
    listening.listen(1)
    pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    for s in (listening, pair[0], socket.socket(socket.AF_INET, socket.SOCK_DGRAM)):
        refused(errno.EPROTOTYPE, "connection", fds=lambda f, fd=s.fileno(): [f[0], fd, *f[2:]])
    refused(errno.ENOTSOCK, "connection", fds=lambda f: [f[0], f[2], *f[2:]])
    for n in (0, 1, 4):
        refused(errno.EBADF, "descriptors", fds=lambda f, n=n: f[:n])
    for s in (listening, *pair):
        s.close()


@case("forged: specs that are not sealed, count wrong, or count too much")
def _():
    for seals in (0, SEALS & ~1, SEALS & ~2, SEALS & ~4, SEALS & ~8):
        refused(errno.EPROTO, "spec", spec=memfd(spec_bytes(t.ids + 1, 1, ["true"], uid=NOBODY, gid=NOBODY), seals))
    big = memfd(b"", 0)
    os.ftruncate(big, (8 << 20) + 1)
    fcntl_seal(big)
    refused(errno.EPROTO, "spec", spec=big)
    for spoil in (put("I", 0, 1), put("H", 4, 0), put("H", 4, 99), put("H", 6, 0), put("H", 6, 65535), put("Q", 8, 0), put("Q", 8, 2**63),
                  put("I", 16, 0), put("I", 20, 2**32 - 1), put("I", 24, 2**32 - 1), put("I", 28, 1), put("I", 28, 65537),
                  put("I", 28, 2**32 - 1), put("I", 32, 0o1000), put("i", 36, 0), put("i", 36, 65), put("i", 40, 41), put("i", 40, -41),
                  put("q", 48, 0), put("q", 48, -1), put("q", 48, 2**63 - 1)):
        refused(errno.EPROTO, "spec", spoil=spoil)
    refused(errno.EPROTO, "another job", spoil=put("Q", 8, 12345678))
    refused(errno.EPROTO, "another job", spoil=put("I", 16, 2))
    for kw in ({"cwd": "relative"}, {"cwd": ""}, {"env": ["NOTHING"]}, {"env": ["=x"]}):
        refused(errno.EPROTO, "spec", spec=memfd(spec_bytes(t.ids + 1, 1, ["true"], uid=NOBODY, gid=NOBODY, **kw)))
    data = spec_bytes(t.ids + 1, 1, ["true"], uid=NOBODY, gid=NOBODY)
    for wrong in (b"", data[:100], data[:-1], data + b"\0", data[:-1] + b"x", bytes(len(data))):
        refused(errno.EPROTO, "spec", spec=memfd(wrong))
    refused(errno.EPROTO, "sequence", seq=0)


def fcntl_seal(fd):
    spawnerdrv.fcntl.fcntl(fd, F_ADD_SEALS, SEALS)


@case("forged: a start that is sent twice happens once")
def _():
    j = as_nobody(t, ["sh", "-c", "echo once; exec sleep 1000"])
    again = t.send_spawn(["sh", "-c", "echo twice"], id=j.id, seq=t.seq, uid=NOBODY, gid=NOBODY, out_gid=GROUP)
    f = t.link.expect(SPAWN_FAILED, id=j.id)
    is_((f.step, f.error), (STEP_EXISTS, errno.EEXIST))
    ok(again.link.closed(), "closed")
    like(t.log_text(), rf"job={j.id}\.1 cannot be started")
    wait_until(lambda: j.output() == b"once\n", "the first")
    j.stop()
    j.end()
    is_(j.output(), b"once\n")


@case("forged: frames of no job, of another version, of no type, too large: refused or skipped, told, and the spawner lives on")
def _():
    pid, before = t.pid, t.fds()
    for data in (frame(SWEEP, b"", 0, 1), frame(FORGET, b"", 1, 0), frame(SPAWN, bytes(8), 0, 0), frame(SPAWN, bytes(7), 1, 1),
                 frame(SPAWN, bytes(9), 1, 1), frame(SPAWN, bytes(8), 1, 1, size=2**32 - 1), frame(WELCOME, bytes(8)),
                 frame(CLAIM, UUID + bytes(8)), frame(SWEEP, b"", 1, 1, version=0), frame(SWEEP, b"", 1, 1, magic=0), b"", bytes(65536)):
        t.link.send(data)
        ok(t.link.closed(), f"{data[:32]!r}")
        t.link.close()
        t.claim()
    like(t.log_text(), "a peer sent .*: connection closed")
    for data in (frame(SWEEP, b"", 1, 1, version=2), frame(SPAWN, bytes(8), 1, 1, version=65535), frame(1000, bytes(100), 1, 1)):
        t.link.send(data, [0] if data[6] == SPAWN else [])
    t.sync()
    like(t.log_text(), "a frame of version 2, type 3 is not known here: skipped")
    is_(t.pid, pid)
    wait_until(lambda: t.fds() <= before, f"the spawner to have {before} descriptors again")
    is_(as_nobody(t, ["true"]).end().exit_code, 0)
    ok(not exited(pid), "the spawner lives")


# Elsewhere ----------------------------------------------------------------------------------------------------------

@case("a spawner of a user without rights: monitors are filtered, jobs are not")
def _():
    with started_by(f'chown {NOBODY} "$3"; exec setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups "$@"'):
        u = new(claim=False)
    wait_until(lambda: status(u.pid)["Uid"].split()[1] == str(NOBODY), "it to be nobody's")
    u.claim()
    os.chown(u.out, NOBODY, NOBODY)
    j = u.spawn(["sh", "-c", "trap 'exit 3' TERM; (setsid sleep 1000 &); echo up; while :; do sleep 0.02; done"], uid=NOBODY, gid=NOBODY)
    wait_until(lambda: j.output() == b"up\n", "the job")
    is_(caps(j.monitor), (0, 0, 0, 0))
    is_((status(j.monitor)["NoNewPrivs"], status(j.monitor)["Seccomp"]), ("1", "2" if FILTERED else status("self")["Seccomp"]))
    is_((status(j.hello.pid)["NoNewPrivs"], status(j.hello.pid)["Seccomp"]), (status("self")["NoNewPrivs"], status("self")["Seccomp"]))
    j.stop()
    r = j.end()
    is_((r.exit_code, r.flags & TERM_SENT), (3, TERM_SENT))


def can_mount():
    return subprocess.run(["unshare", "-m", "mount", "-t", "proc", "-o", "hidepid=2", "proc", "/proc"], check=False,
                          capture_output=True).returncode == 0


@case_if(can_mount(), "a /proc that hides the processes of others: a whole tree is still seen and stopped")
def _():
    with started_by('exec unshare -m sh -c \'mount -t proc -o hidepid=2 proc /proc && exec "$@"\' - "$@"'):
        h = system()
    h.sync()
    like(h.log_text(), "hidepid")
    j = as_nobody(h, ["sh", "-c", "sh -c 'sh -c \"trap \\\"echo heard; exit\\\" TERM; echo up; while :; do sleep 0.02; done\"; exit 0'; exit 4"])
    is_(caps(j.monitor), ((KILL | PTRACE) & OURS,) * 2 + (0, 0))
    wait_until(lambda: j.output() == b"up\n", "the job")
    j.stop()
    j.end()
    like(j.output().decode(), "heard")


@case("everything is gone at the end")
def _():
    for s in spawners:
        s.close()


main()
