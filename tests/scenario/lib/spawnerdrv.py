"""spawnerdrv.py - plays ctxd to a real ctx-spawner: binds its socket, speaks the frames, reads the run directory.

    s = Spawner()                       # started, claimed
    j = s.spawn(["sh", "-c", "exit 3"]) # j.hello, j.end() -> Result
    is_(j.end().exit_code, 3)
    s.close()                           # everything of it is stopped, its directory removed

The layouts are written down a second time here, independent of frame.h, spec.h and result.h: a field that moves fails.
"""
import ctypes
import fcntl
import os
import select
import shutil
import signal
import socket
import struct
import sys
import tempfile
import time

from ctxtest import BUILD, TIMEOUT, descendants, diag, need, pids_with, proc_stat, wait_until

SPAWNER = os.path.join(BUILD, "ctx-spawner")
MAGIC = 0x46585443
CLAIM, SPAWN, SWEEP, FORGET = 1, 2, 3, 4
WELCOME, DIRS, CLAIMED, REFUSED, SPAWNED, SPAWN_FAILED, SWEPT = 16, 17, 18, 19, 20, 21, 22
HELLO, STOPPING, END, PROGRESS, EXTENDED = 32, 33, 34, 35, 36
STOP, EXTEND, SIGNAL = 48, 49, 50
STEP_FRAME, STEP_DIR, STEP_EXISTS, STEP_SEEN, STEP_CGROUP, STEP_FORK, STEP_MONITOR = 1, 2, 3, 4, 5, 6, 7
W_SYSTEM, W_ALLOW_ROOT, W_CGROUP = 1, 2, 4
CERTAIN = 1
RUNNING, S_STOPPING, KILLING, EMPTYING = 1, 2, 3, 4
CAUSE_NONE, CAUSE_DEADLINE, CAUSE_REQUEST, CAUSE_WATCHDOG = 0, 1, 2, 3
STOP_NOW = 1
SIGNAL_TREE = 1
H_CAP_UNENFORCED, H_SELF_EXTENDED = 1, 2
X_SETUP, X_USER, X_CHDIR, X_EXEC, X_FORK = 1, 2, 3, 4, 5
HAS_STATUS, TERM_SENT, KILL_SENT, CAP_UNENFORCED, OUTPUT_FAILED, SELF_EXTENDED = 1, 2, 4, 8, 16, 32
HAS_PERCENT, READY = 1, 2
UUID = bytes(range(16))
SEALS = 1 | 2 | 4 | 8  # SEAL SHRINK GROW WRITE
F_ADD_SEALS = 1033
NO_GID = 0xFFFFFFFF
STANDARD_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def boottime_ns():
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def frame(kind, body=b"", id=0, attempt=0, magic=MAGIC, version=1, size=None):
    size = 24 + len(body) if size is None else size
    return struct.pack("=IHHIIQ", magic, version, kind, size, attempt, id) + body


class Frame:
    """A received frame: kind, id, attempt, and the fields of its kind."""

    BODIES = {
        WELCOME: ("II", "pid flags"),
        CLAIMED: ("Q", "seen"),
        SPAWNED: ("II", "pid flags"),
        SPAWN_FAILED: ("iI", "error step"),
        SWEPT: ("II", "flags killed"),
        HELLO: ("IIIIqqqII", "pid monitor_pid phase stop_cause started_us started_ns deadline_ns flags unenforced"),
        STOPPING: ("IIq", "phase stop_cause at_us"),
        EXTENDED: ("qq", "deadline_ns at_us"),
    }

    def __init__(self, data):
        magic, version, self.kind, size, self.attempt, self.id = struct.unpack_from("=IHHIIQ", data)
        need(magic == MAGIC and version == 1 and size == len(data), f"a malformed frame: {data!r}")
        self.body = data[24:]
        if self.kind in self.BODIES:
            form, names = self.BODIES[self.kind]
            need(struct.calcsize("=" + form) == len(self.body), f"frame {self.kind}: {len(self.body)} bytes of body")
            for name, value in zip(names.split(), struct.unpack("=" + form, self.body)):
                setattr(self, name, value)
        elif self.kind == DIRS:
            n, pad = struct.unpack_from("=II", self.body)
            need(pad == 0 and len(self.body) == 8 + 16 * n, "DIRS")
            self.dirs = [struct.unpack_from("=QI", self.body, 8 + 16 * i) for i in range(n)]
        elif self.kind == END:
            self.result = Result(self.body)
        elif self.kind == PROGRESS:
            self.progress = Progress(self.body)
            need((self.progress.id, self.progress.attempt) == (self.id, self.attempt), "progress of another job")

    def __repr__(self):
        return f"<frame {self.kind} of {self.id}.{self.attempt}>"


class Result:
    FORM = "=IHHQIIiiIIIIqqqqqQQQQQQQqQQQQQIIIIQQ"
    NAMES = ("magic version size id attempt flags wait_status exec_error exec_step stop_cause pid leftovers started_us "
             "ended_us main_ended_us term_us kill_us out_bytes out_dropped user_us system_us max_rss_bytes "
             "err_bytes err_dropped deadline_ns reserved memory_peak_bytes io_read_bytes io_write_bytes memory_max_bytes "
             "oom_kills unenforced term_processes kill_processes reserved_1 reserved_2").split()

    def __init__(self, data):
        need(len(data) == 224 == struct.calcsize(self.FORM), f"a result of {len(data)} bytes")
        self.data = data
        for name, value in zip(self.NAMES, struct.unpack(self.FORM, data)):
            setattr(self, name, value)
        need((self.magic, self.version, self.size, self.reserved, self.reserved_1, self.reserved_2)
             == (0x52585443, 2, 224, 0, 0, 0), "head and end of a result")

    @property
    def exit_code(self):
        """Of the main process; negative: signal; None: there is no status."""
        if not self.flags & HAS_STATUS:
            return None
        return -os.WTERMSIG(self.wait_status) if os.WIFSIGNALED(self.wait_status) else os.WEXITSTATUS(self.wait_status)

    def __eq__(self, other):
        return self.data == other.data

    def __repr__(self):
        return "<result " + " ".join(f"{n}={getattr(self, n)}" for n in self.NAMES[3:]) + ">"


class Progress:
    """What a job said: .percent (None: not said), .text, .ready, .at_us, .ready_us."""
    FORM = "=IHHQIIqqiI256sQ"

    def __init__(self, data):
        need(len(data) == 312 == struct.calcsize(self.FORM), f"a progress of {len(data)} bytes")
        self.data = data
        (magic, version, size, self.id, self.attempt, self.flags, self.at_us, self.ready_us, milli, text_size, text,
         check) = struct.unpack(self.FORM, data)
        need((magic, version, size) == (0x50585443, 1, 312), "head of a progress")
        need(text == text[:text_size].ljust(256, b"\0") and text_size < 256, f"text of a progress: {text_size} {text!r}")
        h = 0xcbf29ce484222325
        for b in data[:304]:
            h = (h ^ b) * 0x100000001b3 & 0xFFFFFFFFFFFFFFFF
        need(h == check, "the sum of a progress")
        self.percent = milli / 1000 if self.flags & HAS_PERCENT else None
        need(self.percent is not None or milli == 0, "percent without its flag")
        self.text = text[:text_size].decode()
        self.ready = bool(self.flags & READY)

    def __eq__(self, other):
        return self.data == other.data

    def __repr__(self):
        return f"<progress of {self.id}.{self.attempt}: {self.percent} {self.text!r} ready={self.ready}>"


def strings(v):
    return b"".join((s if isinstance(s, bytes) else s.encode()) + b"\0" for s in v)


def spec_bytes(id, attempt, argv, env=(STANDARD_PATH,), cwd="/", uid=None, gid=None, groups=(), umask=0o22,
               stop_signal=signal.SIGTERM, nice=0, timeout=60.0, deadline_ns=None, grace=10.0, out_max=64 << 20,
               out_gid=NO_GID, limit=None, warn=0.0, warn_signal=signal.SIGUSR1, watchdog=0.0, memory_max=0, pids_max=0,
               cpu_percent=0, io_weight=0, rlimits=None):
    """LIMIT: seconds after the deadline; none: the job may not move it. RLIMITS: value by number (nofile 0, nproc 1...)."""
    rlimits = rlimits or {}
    a, e, c = strings(argv), strings(env), strings([cwd])
    deadline_ns = boottime_ns() + int(timeout * 1e9) if deadline_ns is None else deadline_ns
    return struct.pack("=IHHQIIIIIiiIqqqqqQIIIIIi", 0x53585443, 3, 280, id, attempt, os.getuid() if uid is None else uid,
                       os.getgid() if gid is None else gid, len(groups), umask, stop_signal, nice, out_gid, deadline_ns,
                       int(grace * 1e9), deadline_ns + int((limit or 0) * 1e9), int(warn * 1e9), int(watchdog * 1e9),
                       out_max, len(c), len(a), len(argv), len(e), len(env), warn_signal) \
        + struct.pack("=QQIIII16Q", memory_max, pids_max, cpu_percent, io_weight, sum(256 << i for i in rlimits), 0,
                      *(rlimits.get(i, 0) for i in range(16))) \
        + struct.pack(f"={len(groups)}I", *groups) + c + a + e


def memfd(data, seals=SEALS):
    fd = os.memfd_create("spec", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(fd, data)
    if seals:
        fcntl.fcntl(fd, F_ADD_SEALS, seals)
    return fd


# What a job written in Python starts with. barrier() returns when the monitor has taken in all that was said before.
TALK = """
import os, signal, socket, sys, time
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.connect(os.environ["NOTIFY_SOCKET"])
def tell(text, fds=()):
    text = text if isinstance(text, bytes) else text.encode()
    socket.send_fds(notify, [text], list(fds))
def barrier(text="BARRIER=1"):
    r, w = os.pipe()
    tell(text, [w])
    os.close(w)
    os.read(r, 1)
    os.close(r)
"""


class Link:
    """A connection to a spawner or a monitor."""

    def __init__(self, sock):
        self.sock = sock
        sock.setblocking(False)

    @classmethod
    def connect(cls, path):
        """OSError as connect gives it: ConnectionRefusedError, FileNotFoundError, BlockingIOError."""
        s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        s.setblocking(False)
        handle = os.open(path, os.O_PATH)
        try:
            s.connect(f"/proc/self/fd/{handle}")
        except OSError:
            s.close()
            raise
        finally:
            os.close(handle)
        return cls(s)

    def send(self, data, fds=()):
        need(select.select([], [self.sock], [], TIMEOUT)[1], "nobody reads what we send")
        anc = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack(f"{len(fds)}i", *fds))] if fds else []
        self.sock.sendmsg([data], anc, socket.MSG_NOSIGNAL)

    def recv(self, timeout=None, what="a frame"):
        """Next frame, or None at the end of the connection."""
        end = time.monotonic() + (timeout or TIMEOUT)
        while True:
            left = end - time.monotonic()
            need(left > 0 and select.select([self.sock], [], [], left)[0], f"waited in vain for {what}")
            try:
                data = self.sock.recv(1 << 17)
            except ConnectionResetError:
                continue
            except BlockingIOError:
                continue
            return Frame(data) if data else None

    def expect(self, kind, **fields):
        f = self.recv(what=f"frame {kind}")
        need(f and f.kind == kind, f"expected frame {kind}, got {f}")
        for name, value in fields.items():
            need(getattr(f, name) == value, f"frame {kind}: {name} is {getattr(f, name)!r}, want {value!r}")
        return f

    def closed(self):
        """The other side closed, without another word."""
        return self.recv(what="the end of the connection") is None

    def close(self):
        self.sock.close()


class Job:
    def __init__(self, spawner, id, attempt, link, out):
        self.spawner, self.id, self.attempt, self.link, self.out_path = spawner, id, attempt, link, out
        self.name = f"{id}.{attempt}"
        self.dir = os.path.join(spawner.jobs, self.name)
        self.hello = None
        self.monitor = None

    def wait_hello(self):
        self.hello = self.link.expect(HELLO, id=self.id, attempt=self.attempt)
        self.monitor = self.hello.monitor_pid
        return self

    def order(self, kind, payload):
        """As ctxd does: whether the monitor is still there to hear it, END says."""
        try:
            self.link.send(frame(kind, payload, self.id, self.attempt))
        except (BrokenPipeError, ConnectionResetError):
            pass

    def stop(self, flags=0, cause=CAUSE_REQUEST):
        self.order(STOP, struct.pack("=II", flags, cause))

    def extend(self, deadline_ns):
        self.order(EXTEND, struct.pack("=q", deadline_ns))

    def signal(self, signo, flags=0):
        self.order(SIGNAL, struct.pack("=iI", signo, flags))

    def said(self, what="the job to say it", link=None, **fields):
        """PROGRESS frames are read until one has FIELDS; that one."""
        while True:
            f = (link or self.link).recv(what=what)
            need(f and f.kind in (PROGRESS, EXTENDED), f"waited for {what}, got {f}")
            if f.kind == PROGRESS and all(getattr(f.progress, n) == v for n, v in fields.items()):
                return f.progress

    @property
    def notify(self):
        return os.path.join(self.dir, "notify")

    def tell(self, text, fds=()):
        """Send to the job's notify socket as this very process, which is not of the job."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as s:
            s.connect(self.notify)
            socket.send_fds(s, [text if isinstance(text, bytes) else text.encode()], list(fds))

    def progress(self):
        """The file, or None."""
        try:
            with open(os.path.join(self.dir, "progress"), "rb") as f:
                return Progress(f.read())
        except FileNotFoundError:
            return None

    def stopping(self, **fields):
        return self.link.expect(STOPPING, id=self.id, attempt=self.attempt, **fields)

    def end(self, timeout=None):
        """Result, from END; frames before it are skipped. Afterwards the connection is at its end."""
        while True:
            f = self.link.recv(timeout, f"END of {self.name}")
            need(f, f"the monitor of {self.name} went without END")
            if f.kind == END:
                break
        need((f.result.id, f.result.attempt) == (self.id, self.attempt), "END of another job")
        need(self.link.recv(what=f"the monitor of {self.name} to close") is None, "something after END")
        return f.result

    def connect(self):
        """A new connection to the monitor, as a ctxd that comes back would."""
        return Link.connect(os.path.join(self.dir, "ctl"))

    def refused(self):
        try:
            self.connect().close()
        except (ConnectionRefusedError, FileNotFoundError):
            return True
        except BlockingIOError:
            pass
        return False

    def files(self):
        try:
            return sorted(os.listdir(self.dir))
        except FileNotFoundError:
            return None

    def result(self):
        """The file, or None."""
        try:
            with open(os.path.join(self.dir, "result"), "rb") as f:
                return Result(f.read())
        except FileNotFoundError:
            return None

    def output(self):
        with open(self.out_path, "rb") as f:
            return f.read()


def start_spawner(listener, run, log, *args, env=None):
    """ctx-spawner with the socket LISTENER and the run directory RUN: its pid. It is our child."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("LISTEN_", "CTX_"))}
    environ.update({"LISTEN_FDS": "1", **(env or {})})
    log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    high = fcntl.fcntl(listener, fcntl.F_DUPFD_CLOEXEC, 20)
    pid = os.posix_spawn(SPAWNER, [SPAWNER, "--runtime-dir", run, *args], environ, file_actions=[
        (os.POSIX_SPAWN_DUP2, log, 2), (os.POSIX_SPAWN_DUP2, high, 3)], setsigmask=[],
        setsigdef=[signal.SIGPIPE, signal.SIGINT, signal.SIGTERM])
    os.close(high)
    os.close(log)
    return pid


class Spawner:
    """A private ctx-spawner. Paths: .dir, .run, .jobs, .log; .pid; .link, the current connection."""

    def __init__(self, *args, claim=True, uuid=UUID, last_seq=0, owner=None, env=None):
        self.args, self.env = list(args), dict(env or {})
        self.dir = tempfile.mkdtemp(prefix="ctx-s.")
        os.chmod(self.dir, 0o755)
        self.run = os.path.join(self.dir, "run")
        self.jobs = os.path.join(self.run, "jobs")
        self.out = os.path.join(self.dir, "out")
        self.log = os.path.join(self.dir, "log")
        self.path = os.path.join(self.run, "spawner.sock")
        self.owner = owner  # (uid, gid) of the socket
        os.mkdir(self.run, 0o755)
        os.mkdir(self.out, 0o755)
        self.pid = 0
        self.link = None
        self.seq = last_seq
        self.ids = 0
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        self.listener.bind(self.path)
        self.listener.listen(16)
        os.chmod(self.path, 0o600)
        if owner:
            os.chown(self.path, *owner)
        first = self.connect() if claim else None  # before it starts: it may leave when it is idle
        self.start()
        if claim:
            self.claim(uuid, last_seq, first)

    # Life

    def start(self):
        self.pid = start_spawner(self.listener, self.run, self.log, *self.args, env={"CTX_SPAWNERDRV": self.dir, **self.env})
        return self

    def connect(self):
        s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        s.connect(self.path)
        return Link(s)

    def claim(self, uuid=UUID, last_seq=None, link=None):
        """Connect (or take LINK) and claim: the CLAIMED frame, with the directories found in its .dirs."""
        self.link = link or self.connect()
        self.welcome = self.link.expect(WELCOME)
        self.link.send(frame(CLAIM, uuid + struct.pack("=Q", self.seq if last_seq is None else last_seq)))
        dirs = []
        while True:
            f = self.link.recv()
            need(f and f.kind in (DIRS, CLAIMED), f"expected DIRS or CLAIMED, got {f}")
            if f.kind == CLAIMED:
                f.dirs = sorted(dirs)
                return f
            dirs += f.dirs

    def kill9(self):
        os.kill(self.pid, signal.SIGKILL)
        return self.wait()

    def wait(self):
        """Exit status of the spawner."""
        got = wait_until(lambda: os.waitpid(self.pid, os.WNOHANG), "the spawner to end")
        self.pid = 0
        return os.waitstatus_to_exitcode(got[1])

    def again(self):
        """A new spawner after the death of the last one."""
        self.start()
        return self.claim()

    # Frames

    def send_spawn(self, argv, id=None, attempt=1, seq=None, spec=None, fds=None, out_owner=None, err=None, stdin=None,
                   in_path=None, **kw):
        """SPAWN without waiting for anything: the Job."""
        if id is None:
            self.ids += 1
            id = self.ids
        if seq is None:
            self.seq += 1
            seq = self.seq
        if spec is None:
            spec = memfd(spec_bytes(id, attempt, argv, **kw))
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        path = os.path.join(self.out, f"{id}.{attempt}")
        out = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        if out_owner is not None:
            os.fchown(out, out_owner, -1)
        inp = os.open(in_path or "/dev/null", os.O_RDONLY | os.O_CLOEXEC)
        sent = [spec, theirs.fileno(), inp, out, out if err is None else err]
        if fds:
            sent = fds(sent)
        self.link.send(frame(SPAWN, struct.pack("=Q", seq), id, attempt), sent)
        for fd in (spec, inp, out):
            os.close(fd)
        theirs.close()
        return Job(self, id, attempt, Link(ours), path)

    def spawn(self, argv, **kw):
        """SPAWN, SPAWNED, HELLO."""
        j = self.send_spawn(argv, **kw)
        spawned = self.link.expect(SPAWNED, id=j.id, attempt=j.attempt)
        j.wait_hello()
        need(spawned.pid == j.monitor, "SPAWNED and HELLO name two monitors")
        return j

    def talk(self, script, python=False, **kw):
        """A job that knows its notify socket: a shell script, or Python with tell(TEXT, fds=()) and barrier()."""
        kw.setdefault("id", self.ids + 1)
        self.ids = max(self.ids, kw["id"])
        path = os.path.join(self.jobs, f"{kw['id']}.{kw.get('attempt', 1)}", "notify")
        env = [STANDARD_PATH, f"NOTIFY_SOCKET={path}", *kw.pop("env", ())]
        argv = [sys.executable, "-W", "ignore", "-c", TALK + script] if python else ["/bin/sh", "-c", script]
        return self.spawn(argv, env=env, **kw)

    def sh(self, script, **kw):
        return self.spawn(["/bin/sh", "-c", script], **kw)

    def sweep(self, id, attempt):
        self.link.send(frame(SWEEP, b"", id, attempt))
        return self.link.expect(SWEPT, id=id, attempt=attempt)

    def forget(self, id, attempt, wait=True):
        self.link.send(frame(FORGET, b"", id, attempt))
        if wait:
            wait_until(lambda: not os.path.exists(os.path.join(self.jobs, f"{id}.{attempt}")), f"{id}.{attempt} to go")

    def sync(self):
        """Everything sent before has been acted on: SWEEP of what never was is answered at once, in its turn."""
        self.sweep(1 << 40, 1)

    def seen(self):
        with open(os.path.join(self.jobs, "seen"), encoding="ascii") as f:
            return int(f.read())

    def dirs(self):
        """What is in jobs/ beside its two files. Directories that wait for reuse are given the second they have."""
        known = ("uuid", "seen", ".new.seen")
        wait_until(lambda: all(not n.startswith(".new.") or n in known for n in os.listdir(self.jobs)), "spare directories to go")
        return sorted(n for n in os.listdir(self.jobs) if n not in known)

    def fds(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def log_text(self):
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return f.read()

    def pids(self):
        """Spawner, monitors, and all below them; a monitor that lost its spawner is told by its environment."""
        return descendants([p for p in pids_with(self.dir, ("environ",))]) - {os.getpid()}

    def close(self):
        if self.link:
            self.link.close()

        def gone():
            pids = self.pids()
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGKILL)
                except OSError:
                    pass
            try:
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            except ChildProcessError:
                pass
            return not pids

        wait_until(gone, "everything of this spawner to be dead")
        self.listener.close()
        shutil.rmtree(self.dir, ignore_errors=True)


def children(pid):
    """Living children of a process."""
    found = []
    for name in os.listdir("/proc"):
        st = proc_stat(int(name)) if name.isdigit() else None
        if st and st[1] == pid and st[0] not in "ZX":
            found.append(int(name))
    return found


def subreaper():
    """What a killed spawner leaves comes to the test, not to whoever runs it."""
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)


def pss_kib(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
        for line in f:
            if line.startswith("Pss:"):
                return int(line.split()[1])
    return 0
