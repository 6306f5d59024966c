"""ctxtest.py - harness of the Python scenario tests: a private ctxd in its own temporary directory, ctxctl, TAP.

    #!/usr/bin/python3
    import os, sys
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
    from ctxtest import *

    d = Daemon(conf="[deadline]\\ntimeout = 5s\\n")     # started and ready

    @case("submit prints the id alone")
    def _():
        r = d.ctl("submit", "true")
        is_(r.code, 0)
        like(r.out, r"^\\d+\\n$")
        job = d.wait_state(int(r.out), "succeeded")
        is_(job["exit_code"], 0)

    main()

One @case is one TAP line. ok/is_/like/unlike note a failure and go on; need() and every timeout end the case; skip() skips it.
Binaries come from $CTX_BUILD (default: build/ of the clone). No test waits by the clock: wait_until() polls a condition
with a bound, Daemon.start() waits for READY=1 on a NOTIFY_SOCKET of ours and for the spawner, wait_state()/wait_log() wait for
facts.

At the end main() checks each daemon that still runs (no process of an ended job is alive, its run directories are gone), stops
everything that belongs to its directory, and removes it. A ctxd that dies unasked, or does not exit 0 on TERM, is a failure.
`d.check = False` turns the first two off for a test that breaks things on purpose.
"""
import atexit
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback

__all__ = [
    "BUILD", "CTXCTL", "CTXD", "SPAWNER", "Daemon", "Result", "case", "case_if", "cgroup_parent", "ctl_env", "diag", "exited",
    "fill_up", "in_time", "is_", "like", "main", "need", "ok", "pids_with", "proc_state", "run", "skip", "unlike", "wait_until",
]

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
BUILD = os.environ.get("CTX_BUILD") or os.path.join(ROOT, "build")
CTXD = os.path.join(BUILD, "ctxd")
CTXCTL = os.path.join(BUILD, "ctxctl")
SPAWNER = os.path.join(BUILD, "ctx-spawner")
# Sanitizer builds and loaded machines are slow; a bound only has to be an end.
TIMEOUT = float(os.environ.get("CTX_TEST_WAIT", "60"))

ACTIVE = ("queued", "running", "stopping")

# Whoever started us in the background, or below nohup, ignored these, and so would all that we start.
for _sig in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
    if signal.getsignal(_sig) is signal.SIG_IGN:
        signal.signal(_sig, signal.SIG_DFL)

# TAP ----------------------------------------------------------------------------------------------------------------

_cases = []
_failed = []  # of the running case
_daemons = []


class GiveUp(Exception):
    """The case cannot go on; the reason has been noted."""


class Skip(Exception):
    pass


def diag(text):
    for line in str(text).rstrip("\n").split("\n"):
        print("# " + line, flush=True)


def _where():
    for frame in reversed(traceback.extract_stack()):
        if os.path.basename(frame.filename) != "ctxtest.py":
            return f"{os.path.basename(frame.filename)}:{frame.lineno}"
    return "?"


def ok(cond, what=""):
    if not cond:
        _failed.append(f"{_where()}: failed: {what}")
        diag(_failed[-1])
    return bool(cond)


def is_(got, want, what=""):
    return ok(got == want, f"{what + ': ' if what else ''}got {got!r}, want {want!r}")


def like(text, pattern, what=""):
    return ok(re.search(pattern, text, re.M), f"{what + ': ' if what else ''}{text!r} does not match {pattern!r}")


def unlike(text, pattern, what=""):
    return ok(not re.search(pattern, text, re.M), f"{what + ': ' if what else ''}{text!r} matches {pattern!r}")


def need(cond, what=""):
    if not ok(cond, what):
        raise GiveUp(what)
    return cond


def skip(reason):
    raise Skip(reason)


def case(name):
    """Register the decorated function as one test."""

    def register(fn):
        _cases.append((name, fn))
        return fn

    return register


def case_if(cond, name):
    """As case, where what it needs is there. What is missing by the nature of the build or of the machine is no test that was
    skipped."""
    return case(name) if cond else lambda fn: fn


def main():
    """Run the cases in order, clean up, exit. The clean-up is a test of its own, the last one."""
    print(f"1..{len(_cases) + 1}", flush=True)
    bad = 0
    for n, (name, fn) in enumerate(_cases, 1):
        _failed.clear()
        note = ""
        try:
            fn()
        except Skip as s:
            note = f" # skip {s}"
        except GiveUp:
            pass
        except Exception:
            _failed.append("exception")
            diag(traceback.format_exc())
        if _failed:
            bad += 1
            for d in _daemons:
                d.show_log()
            diag("\n".join(_failed))  # again, below the logs: where a reader looks first
        print(f"{'not ' if _failed else ''}ok {n} - {name}{note}", flush=True)
    _failed.clear()
    for d in list(_daemons):
        try:
            d.cleanup()
        except Exception:
            _failed.append("exception")
            diag(traceback.format_exc())
    print(f"{'not ' if _failed else ''}ok {len(_cases) + 1} - nothing is left over", flush=True)
    sys.exit(1 if bad or _failed else 0)


# Waiting and processes ------------------------------------------------------------------------------------------------


def wait_until(fn, what, timeout=None, step=0.01):
    """Poll FN until it returns something true, and return that. Past the bound the case fails and ends."""
    end = time.monotonic() + (timeout or TIMEOUT)
    while True:
        value = fn()
        if value:
            return value
        if time.monotonic() > end:
            need(False, f"waited in vain for: {what}")
        time.sleep(step)  # allow-sleep: the one bounded poll


def in_time(build, seconds=(3, 15, 60)):
    """For what a deadline is to hit: BUILD(n) makes it, with a deadline of N seconds, and returns something true if all of it
    was there before that passed. A machine that stalls gets more time, and the test stays the same."""
    for n in seconds:
        value = build(n)
        if value:
            return value
        diag(f"{n} s were too short, once more with more")
    need(False, f"not done within {seconds[-1]} s: what the deadline is to hit")


def proc_stat(pid):
    """(state, ppid, start time in ticks) of a process, or None when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as f:
            fields = f.read().rsplit(b")", 1)[1].split()
    except OSError:
        return None
    return fields[0].decode(), int(fields[1]), int(fields[19])


def proc_state(pid):
    """State letter of a process, '' when it is gone. A zombie (Z) is dead."""
    st = proc_stat(pid)
    return st[0] if st else ""


def exited(pid):
    return proc_state(pid) in ("", "Z", "X")


def cgroup_parent(has="cgroup.kill"):
    """A new writable cgroup v2 that has the file HAS, for the caller to remove; None where there can be none."""
    for base in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified"):
        if not os.path.exists(os.path.join(base, "cgroup.subtree_control")):
            continue
        try:
            path = tempfile.mkdtemp(prefix="ctx-t.", dir=base)
        except OSError:
            continue
        if os.path.exists(os.path.join(path, has)):
            return path
        os.rmdir(path)
    return None


def _read(path):
    try:
        with open(path, "rb") as f:
            return f.read()
    except OSError:
        return b""


def all_pids():
    return [int(p) for p in os.listdir("/proc") if p.isdigit()]


def pids_with(text, files=("cmdline", "environ")):
    """Living processes (not ourselves) whose command line or initial environment holds TEXT."""
    want = text.encode() if isinstance(text, str) else text
    return [
        pid
        for pid in all_pids()
        if pid != os.getpid() and any(want in _read(f"/proc/{pid}/{f}") for f in files) and not exited(pid)
    ]


def descendants(pids):
    """PIDS and all living processes below them."""
    below = {}
    for pid in all_pids():
        st = proc_stat(pid)
        if st and st[0] not in "ZX":
            below.setdefault(st[1], []).append(pid)
    found, todo = set(), list(pids)
    while todo:
        pid = todo.pop()
        if pid not in found:
            found.add(pid)
            todo += below.get(pid, [])
    return found


class Result:
    """Of a command: code (negative: signal), out, err (text)."""

    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    def __repr__(self):
        return f"<exit {self.code}, out {self.out!r}, err {self.err!r}>"


def ctl_env(sock=None, env=None):
    """Environment of a client: ours without what a surrounding ctx would leak into it."""
    e = {k: v for k, v in os.environ.items() if not k.startswith(("CTX_", "CTXD_")) and k != "NOTIFY_SOCKET"}
    if sock:
        e["CTXD_SOCKET"] = sock
    e.update(env or {})
    return {k: v for k, v in e.items() if v is not None}


def fill_up(path):
    """Let the file PATH take what its file system has left, to the last byte."""
    with open(path, "ab", buffering=0) as f:
        for size in (65536, 4096, 1):
            try:
                while True:
                    f.write(b"x" * size)
            except OSError:
                pass


def run(argv, input=None, env=None, cwd=None, timeout=None, uid=None, gid=None):
    """Run to the end: Result. A command that does not end within the bound fails the case."""
    who = {} if uid is None else {"user": uid, "group": uid if gid is None else gid, "extra_groups": []}
    if isinstance(input, str):
        input = input.encode()
    stdin = {"stdin": subprocess.DEVNULL} if input is None else {"input": input}
    try:
        p = subprocess.run(argv, capture_output=True, env=env, cwd=cwd, timeout=timeout or TIMEOUT * 2, check=False,
                           **stdin, **who)
    except subprocess.TimeoutExpired as e:
        need(False, f"{argv} does not end; it printed {e.stdout!r} {e.stderr!r}")
    return Result(p.returncode, p.stdout.decode(errors="replace"), p.stderr.decode(errors="replace"))


# The daemon ---------------------------------------------------------------------------------------------------------


class Daemon:
    """A private user-mode ctxd. Paths: .dir (short, mode 0711), .state, .run, .sock, .conf, .log, .db."""

    def __init__(self, conf="", args=(), env=None, start=True):
        self.dir = tempfile.mkdtemp(prefix="ctx-t.")
        os.chmod(self.dir, 0o711)
        self.state = os.path.join(self.dir, "state")
        self.run = os.path.join(self.dir, "run")
        self.sock = os.path.join(self.dir, "ctxd.sock")
        self.socket = self.sock
        self.conf = os.path.join(self.dir, "ctxd.conf")
        self.log = os.path.join(self.dir, "ctxd.log")
        self.db = os.path.join(self.state, "ctxd.db")
        self.args = list(args)
        self.env = dict(env or {})
        self.proc = None  # subprocess.Popen of ctxd while it runs
        self.check = True
        self._notes = []
        self._notes_changed = threading.Condition()
        self._notify_fd = None
        self._log_shown = 0
        os.mkdir(os.path.join(self.dir, "xdg"), 0o700)
        self.configure(conf)
        _daemons.append(self)
        atexit.register(self._last_resort)
        if start:
            self.start()

    # Life

    def configure(self, conf):
        """Replace the configuration file; takes effect at the next start or reload."""
        with open(self.conf, "w", encoding="utf-8") as f:
            f.write(conf)

    def command(self, args=()):
        return [CTXD, "--user", "--config", self.conf, "--state-dir", self.state, "--runtime-dir", self.run,
                "--socket", self.sock, *self.args, *args]

    def environment(self, env=None):
        xdg = os.path.join(self.dir, "xdg")
        e = {"CTXD_CHECK": "1", "NOTIFY_SOCKET": os.path.join(self.dir, "notify"), "XDG_RUNTIME_DIR": xdg,
             "XDG_STATE_HOME": xdg, "XDG_CONFIG_HOME": xdg, "HOME": self.dir}
        return ctl_env(None, {**e, **self.env, **(env or {})})

    def start(self, args=(), env=None, wait=True, prefix=(), spawner=True):
        """Start ctxd, wait until it says READY=1, and until it has a spawner: before that, what is submitted only queues. SPAWNER:
        False where none is to come. PREFIX: a command in front of it (strace, prlimit, …)."""
        need(not self.proc or self.proc.poll() is not None, "ctxd runs already")
        self._notify_open()
        logged = len(_read(self.log))
        with open(self.log, "ab") as log:
            self.proc = subprocess.Popen([*prefix, *self.command(args)], env=self.environment(env), stdout=log,
                                         stderr=log, stdin=subprocess.DEVNULL, cwd="/")
        if wait:
            self.wait_ready()
        if wait and spawner:
            wait_until(lambda: b"spawner ready" in _read(self.log)[logged:] or not self.running(), "ctxd to have a spawner")
        return self

    def wait_ready(self):
        def ready():
            if any("READY=1" in n for n in self._notes):
                return True
            need(self.proc.poll() is None, f"ctxd ended with {self.proc.returncode} before it was ready")
            return False

        self._wait_note(ready, "ctxd to be ready")

    def wait_note(self, text):
        """Wait for an sd_notify message with TEXT since the last start (RELOADING=1, STOPPING=1, STATUS=…)."""
        self._wait_note(lambda: any(text in n for n in self._notes), f"sd_notify {text}")

    def notes(self):
        with self._notes_changed:
            return list(self._notes)

    def stop(self, sig=signal.SIGTERM, code=0):
        """Ask ctxd to stop, check its exit status (None: any), return it."""
        self.proc.send_signal(sig)
        return self.wait_exit(code)

    def wait_exit(self, code=None):
        proc, self.proc = self.proc, None
        try:
            got = proc.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            proc.kill()
            proc.wait()
            need(False, "ctxd does not stop")
        if code is not None:
            is_(got, code, "exit status of ctxd")
        return got

    def kill9(self):
        """SIGKILL ctxd alone; spawner, monitors and jobs go on."""
        self.proc.kill()
        self.proc.wait()
        self.proc = None

    def restart(self, args=(), env=None):
        """Stop (or note that it is dead) and start again."""
        if self.proc and self.proc.poll() is None:
            self.stop()
        return self.start(args, env)

    def running(self):
        return bool(self.proc and self.proc.poll() is None)

    def _wait_note(self, cond, what):
        end = time.monotonic() + TIMEOUT
        with self._notes_changed:
            while not cond():
                need(time.monotonic() < end, f"waited in vain for: {what}")
                self._notes_changed.wait(0.05)

    def _notify_open(self):
        """A datagram socket for this start alone, drained by a thread so that ctxd can never block on it. What the ctxd before it
        said last, the READY=1 after a reload, is not heard as from this one."""
        self._notify_close()
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        path = os.path.join(self.dir, "notify")
        if os.path.exists(path):
            os.unlink(path)
        sock.bind(path)
        os.chmod(path, 0o777)
        notes = self._notes = []

        def drain():
            while True:
                try:
                    data = sock.recv(8192)
                except OSError:
                    return
                if not data:  # shut down
                    return
                with self._notes_changed:
                    notes.append(data.decode(errors="replace"))
                    self._notes_changed.notify_all()

        self._drain = threading.Thread(target=drain, daemon=True)
        self._drain.start()
        self._notify_fd = sock

    def _notify_close(self):
        """The thread has ended before the descriptor is closed: its call, begun anew after a SIGCONT, would take the messages of
        the next daemon, whose socket has the same number."""
        if self._notify_fd:
            self._notify_fd.shutdown(socket.SHUT_RDWR)
            self._drain.join()
            self._notify_fd.close()
            self._notify_fd = None

    # Client

    def ctl(self, *args, input=None, env=None, cwd=None, timeout=None, uid=None, gid=None):
        return run([CTXCTL, *map(str, args)], input, ctl_env(self.sock, env), cwd, timeout, uid, gid)

    def ctl_bg(self, *args, env=None, **kw):
        """ctxctl in the background: a Popen with pipes for stdout and stderr, unless KW says otherwise."""
        kw = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **kw}
        return subprocess.Popen([CTXCTL, *map(str, args)], env=ctl_env(self.sock, env), **kw)

    def ctl_ok(self, *args, **kw):
        """ctxctl that has to succeed: its stdout."""
        r = self.ctl(*args, **kw)
        need(r.code == 0, f"ctxctl {' '.join(map(str, args))}: {r}")
        return r.out

    def json(self, *args, **kw):
        return json.loads(self.ctl_ok("--json", *args, **kw))

    def submit(self, *args, **kw):
        """Id of a new job; ARGS as for `ctxctl submit`."""
        return int(self.ctl_ok("submit", *args, **kw))

    def job(self, id):
        """The whole record of a job."""
        got = self.json("status", id)
        return got[0] if isinstance(got, list) else got

    def wait_state(self, id, *states, timeout=None):
        """Wait until the job is in one of STATES, return its record. An end that is not among them fails at once."""
        last = {}

        def there():
            last.update(self.job(id))
            if last["state"] not in states and last["state"] not in ACTIVE:
                need(False, f"job {id} is {last['state']}, wanted {states}; cause {last.get('cause')!r}")
            return last if last["state"] in states else None

        return wait_until(there, f"job {id} to be {' or '.join(states)}", timeout)

    def wait_end(self, id, timeout=None):
        return self.wait_state(id, "succeeded", "failed", "canceled", "deadline_exceeded", "interrupted", timeout=timeout)

    def wait_started(self, id):
        """The record of the job once its main process is known, which is later than its state says `running`; also if it has
        ended since."""
        return wait_until(lambda: (lambda j: j if j["pid"] else None)(self.job(id)), f"job {id} to have a process")

    def logs(self, id):
        """Output of a job (text)."""
        return self.ctl_ok("logs", id)

    # Processes and files

    def pids(self):
        """Everything of this directory but ctxd: spawner, monitors, jobs, clients."""
        return [p for p in pids_with(self.dir) if not self.proc or p != self.proc.pid]

    def shims(self):
        """{pid: ppid} of the spawner and its monitors."""
        found = {}
        for pid in pids_with(self.run, ("cmdline",)):
            if os.path.basename(_read(f"/proc/{pid}/cmdline").split(b"\0")[0]) == b"ctx-spawner":
                st = proc_stat(pid)
                if st:
                    found[pid] = st[1]
        return found

    def spawner_pid(self):
        """Of the spawner, 0 if none runs. Monitors are forks of it; one that outlived its spawner is told by its name."""
        shims = self.shims()
        for pid, ppid in shims.items():
            if ppid not in shims and not self._is_monitor(pid):
                return pid
        return 0

    @staticmethod
    def _is_monitor(pid):
        return _read(f"/proc/{pid}/comm").strip() != b"ctx-spawner"

    def monitor_pid(self, id):
        """Of a running job: the parent of its main process."""
        pid = wait_until(lambda: self.job(id)["pid"], f"job {id} to have a pid")
        st = proc_stat(pid)
        need(st, f"job {id}: its process {pid} is gone")
        return st[1]

    def jobs_pids(self):
        """{id: living processes with this CTX_ID in their environment}, of one walk over all processes."""
        mine = b"\0CTXD_SOCKET=" + self.sock.encode() + b"\0"
        found = {}
        for pid in all_pids():
            env = b"\0" + _read(f"/proc/{pid}/environ") + b"\0"
            for id in {int(x) for x in re.findall(rb"\0CTX_ID=(\d+)(?=\0)", env)} if mine in env else ():
                if not exited(pid):
                    found.setdefault(id, []).append(pid)
        return found

    def job_pids(self, id):
        """Living processes with this job's CTX_ID in their environment."""
        return self.jobs_pids().get(id, [])

    def job_dirs(self):
        """Names in jobs/ that are run directories, e.g. 42.1."""
        try:
            return sorted(n for n in os.listdir(os.path.join(self.run, "jobs")) if re.fullmatch(r"\d+\.\d+", n))
        except FileNotFoundError:
            return []

    def log_text(self):
        return _read(self.log).decode(errors="replace")

    def wait_log(self, pattern):
        """Wait for a line in ctxd's log; the match."""
        return wait_until(lambda: re.search(pattern, self.log_text(), re.M), f"{pattern!r} in the log of ctxd")

    def show_log(self, lines=60):
        new = self.log_text()[self._log_shown:]
        self._log_shown += len(new)
        if new:
            diag(f"log of ctxd in {self.dir}:")
            diag("\n".join("  " + line for line in new.splitlines()[-lines:]))

    def sql(self, query):
        """Rows of a read-only query to the database, as the documented views allow."""
        import sqlite3

        db = sqlite3.connect(f"file:{self.db}?mode=ro", uri=True, timeout=TIMEOUT)
        try:
            return db.execute(query).fetchall()
        finally:
            db.close()

    # The end

    def check_released(self):
        """P4, P10: nothing of a job that has ended is alive or lies in the run directory."""
        active = {j["id"] for j in self.json("list", "--state", ",".join(ACTIVE))}
        seen = {int(m.group(1)) for pid in self.pids()
                for m in [re.search(rb"(?:^|\0)CTX_ID=(\d+)\0", _read(f"/proc/{pid}/environ"))] if m}
        for id in seen - active:
            pids = self.job_pids(id)
            ok(not pids, f"job {id} has ended, yet these are alive: {pids}")
        wait_until(lambda: all(int(n.split(".")[0]) in active for n in self.job_dirs()),
                   f"run directories of ended jobs to go: {self.job_dirs()}")

    def cleanup(self):
        """Checks, stops and removes all of it."""
        if self not in _daemons:
            return
        _daemons.remove(self)
        failed = len(_failed)
        try:
            if self.proc and self.proc.poll() is not None:
                ok(False, f"ctxd died unasked: {self.proc.returncode}")
                self.proc = None
            if self.running():
                if self.check:
                    self.check_released()
                self.stop()
        except GiveUp:
            pass
        finally:
            if len(_failed) > failed:
                self.show_log()
            self._kill_all()
        self._notify_close()
        shutil.rmtree(self.dir, ignore_errors=True)
        ok(not os.path.exists(self.dir), f"{self.dir} could not be removed")

    def _kill_all(self):
        if self.proc:
            self.proc.kill()
            self.proc.wait()
            self.proc = None

        def gone():
            pids = descendants(pids_with(self.dir)) - {os.getpid()}
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGKILL)
                except OSError:
                    pass
            return not pids

        wait_until(gone, f"all of {self.dir} to be dead")

    def _last_resort(self):
        """The test ended on a way of its own: still leave nothing behind."""
        if self in _daemons:
            _daemons.remove(self)
            self._kill_all()
            shutil.rmtree(self.dir, ignore_errors=True)
