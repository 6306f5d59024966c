"""apitest.py - the daemon of ctxtest.py, asked through its socket instead of ctxctl: no process per question, so a test can
ask hundreds, and can send what ctxctl would never send.

    from apitest import *               # brings all of ctxtest and varlink

    d = ApiDaemon(conf="…")
    job = d.submit("sleep", "1000", timeout_usec=S)     # the record; a first argument `sh=` is short for sh -c
    d.wait_end(job["id"]); d.job(id); d.cancel(id, now=True); d.extend(id, by_usec=S); d.output(id)
    refused(d.call, "InvalidArgument", "Get", id=-1)    # the parameters of the error

wait_state() and wait_end() are as in ctxtest; wait_started() waits until the main process has a pid.
"""
import base64
import datetime
import os

from ctxtest import *  # noqa: F401,F403
from ctxtest import ACTIVE, Daemon, __all__ as _ctxtest, all_pids, in_time as _in_time, need, ok, run, wait_until, _read
from varlink import Varlink, VarlinkClosed, VarlinkError, VarlinkTimeout

__all__ = _ctxtest + ["ApiDaemon", "S", "Varlink", "VarlinkClosed", "VarlinkError", "VarlinkTimeout", "epoch", "fifo",
                      "go", "holding_env", "proc_status", "read_file", "refused", "seconds_between", "wait_gone", "write_file"]

S = 1000000  # microseconds of a second


class ApiDaemon(Daemon):
    """Daemon whose questions go over one connection, made anew after a restart. UID (needs root): it is that user's, its
    directories lie in .base, and so are the questions."""

    _link = None

    def __init__(self, conf="", start=True, uid=None, **kw):
        super().__init__(conf, start=False, **kw)
        self.uid = uid
        self.base = self.dir
        if uid is not None:
            self.base = os.path.join(self.dir, "own")
            os.mkdir(self.base, 0o755)
            os.chown(self.base, uid, uid)
            os.chmod(self.conf, 0o644)
            self.state, self.run, self.sock = (os.path.join(self.base, n) for n in ("state", "run", "ctxd.sock"))
            self.db = os.path.join(self.state, "ctxd.db")
        if start:
            self.start()

    def _drop(self):
        if self._link:
            self._link.close()
        self._link = None

    def start(self, args=(), env=None, wait=True, prefix=(), spawner=True):
        self._drop()
        if self.uid is not None:
            prefix = [*prefix, "setpriv", f"--reuid={self.uid}", f"--regid={self.uid}", "--clear-groups", "--"]
        super().start(args, env, wait, prefix, spawner=False)
        if wait and spawner:  # not by the log, which a test may have closed
            wait_until(lambda: self.call("Stats")["spawner_up"], "the spawner to be up")
        return self

    def wait_exit(self, code=None):
        self._drop()
        return super().wait_exit(code)

    def kill9(self):
        self._drop()
        super().kill9()

    def connect(self):
        """A new connection, of the daemon's own user: the kernel notes who connects."""
        if self.uid is None:
            return Varlink(self.sock)
        os.setegid(self.uid)
        os.seteuid(self.uid)
        try:
            return Varlink(self.sock)
        finally:
            os.seteuid(0)
            os.setegid(0)

    def link(self):
        if not self._link:
            self._link = self.connect()
        return self._link

    def call(self, method, **params):
        try:
            return self.link().call(method, **params)
        except (VarlinkClosed, VarlinkTimeout, OSError):
            self._drop()
            raise

    def submit(self, *argv, sh=None, **params):
        """The record of a new job."""
        if sh is not None:
            argv = ("sh", "-c", sh, *argv)
        return self.call("Submit", argv=list(map(str, argv)), **params)["job"]

    def job(self, id):
        return self.call("Get", id=id)["job"]

    def jobs(self, **params):
        got = []
        with self.connect() as v:
            for page in v.call_more("List", **params):
                got += page["jobs"]
        return got

    def cancel(self, id, **params):
        return self.call("Cancel", id=id, **params)["job"]

    def extend(self, id, **params):
        return self.call("Extend", id=id, **params)["job"]

    def wait_started(self, id):
        """The record of the job once its main process is known, also if it has ended since."""
        return wait_until(lambda: (lambda j: j if j["pid"] else None)(self.job(id)), f"job {id} to have a process")

    def output(self, id, **params):
        """All there is of a job's output, bytes."""
        return self.output_dropped(id, **params)[0]

    def output_dropped(self, id, **params):
        """(bytes, how many were dropped on the way)."""
        data, dropped = [], 0
        with self.connect() as v:
            for piece in v.call_more("Logs", id=id, **params):
                data.append(base64.b64decode(piece["data"]))
                dropped += piece["dropped"]
        return b"".join(data), dropped

    def output_path(self, id, attempt=1):
        return os.path.join(self.state, "output", str(id // 1000), f"{id}.{attempt}.log")

    def wait_all_ended(self, timeout=None):
        wait_until(lambda: not self.jobs(states=list(ACTIVE)), "all jobs to end", timeout, step=0.02)

    def check_released(self):
        try:
            self._check_released()
        except (VarlinkClosed, VarlinkTimeout, OSError) as e:  # the clean-up goes on
            ok(False, f"ctxd does not answer at the end: {e!r}")

    def _check_released(self):
        active = {j["id"] for j in self.jobs(states=list(ACTIVE))}
        mine = b"CTXD_SOCKET=" + self.sock.encode()
        for pid in all_pids():
            env = _read(f"/proc/{pid}/environ").split(b"\0")
            if mine not in env:
                continue
            ids = [int(e[7:]) for e in env if e.startswith(b"CTX_ID=")]
            ok(not ids or ids[0] in active or exited(pid), f"job {ids} has ended, yet {pid} is alive")
        wait_until(lambda: all(int(n.split(".")[0]) in active for n in self.job_dirs()),
                   f"run directories of ended jobs to go: {self.job_dirs()}")


def refused(fn, error, *args, **kw):
    """Call FN, which has to be refused with ERROR (without its interface); the parameters of the error."""
    try:
        got = fn(*args, **kw)
    except VarlinkError as e:
        need(e.short == error, f"{args} {kw}: refused with {e}, want {error}")
        return e.params
    need(False, f"{args} {kw}: not refused with {error}; got {got}")


def fifo(d, name):
    """A fifo that one job can wait on, once: `read x <PATH`; go() lets it."""
    path = os.path.join(d.dir, name)
    os.mkfifo(path, 0o666)
    os.chmod(path, 0o666)
    return path


def go(path):
    """Let a job that reads PATH (or will) go on. Bounded: with no reader the case fails."""

    def opened():
        try:
            return os.open(path, os.O_WRONLY | os.O_NONBLOCK) + 1
        except OSError:
            return 0

    fd = wait_until(opened, f"a reader of {path}") - 1
    os.write(fd, b"go\n")
    os.close(fd)


def read_file(path):
    with open(path, "rb") as f:
        return f.read()


def write_file(path, data="", mode=None):
    with open(path, "wb") as f:
        f.write(data.encode() if isinstance(data, str) else data)
    if mode is not None:
        os.chmod(path, mode)
    return path


def proc_status(pid, key):
    """The value of KEY in /proc/PID/status, '' when it is gone."""
    for line in _read(f"/proc/{pid}/status").decode(errors="replace").splitlines():
        if line.startswith(key + ":"):
            return line.partition(":")[2].strip()
    return ""


def holding_env(entry):
    """Living processes with exactly this entry in their initial environment."""
    want = entry.encode()
    return [p for p in all_pids() if want in _read(f"/proc/{p}/environ").split(b"\0") and not exited(p)]


def wait_gone(pids, what="processes"):
    wait_until(lambda: all(exited(p) for p in pids), f"{what} to end: {pids}")


def in_time(build, *seconds):
    """As ctxtest's. That there is nothing to attach to any more means that BUILD was late."""

    def tried(n):
        try:
            return build(n)
        except VarlinkError as e:
            need(e.short == "AlreadyEnded", f"with a deadline of {n} s: {e}")
            return None

    return _in_time(tried, *seconds)


def epoch(text):
    """Seconds since 1970 of an RFC 3339 text: what time.time() says then."""
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def seconds_between(a, b):
    """From one RFC 3339 text to another."""
    return epoch(b) - epoch(a)
