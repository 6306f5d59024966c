#!/usr/bin/python3
"""testrun.py - runs one test program for prove (`prove -e tools/testrun.py`), in its own session, with a time limit,
and sees to it that nothing of it is left.

It is a subreaper, so whatever a test forks, double-forks or detaches ends up below it. When the test has ended,
anything still alive there is killed and counted as a failure: a test cleans up after itself (the harness in
tests/scenario/lib does). Reports of the sanitizers, from any process of the test, are failures too. When a
test failed, its failed points, its comments and what it wrote to stderr are shown, else only under `prove -v`.

Environment: CTX_TEST_TIMEOUT seconds for one file (default 300; a test may ask for more with a line
`# test-timeout: N` near its top), CTX_TEST_WRAP a command put in front of unit tests (valgrind), CI_NO_SKIP=1 (a
skipped test is a failure).
Exit status: the test's own; 1 if it left something behind; 124 when the time was up.
"""
import ctypes
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time

PR_SET_CHILD_SUBREAPER = 36


def diag(text):
    for line in text.rstrip("\n").split("\n"):
        print("# " + line, file=sys.stderr, flush=True)


def stat_of(pid):
    """(ppid, state) of a process, or None if it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as f:
            fields = f.read().rsplit(b")", 1)[1].split()
        return int(fields[1]), fields[0].decode()
    except OSError:
        return None


def descendants():
    """Living processes below this one (zombies are not alive)."""
    children = {}
    states = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            st = stat_of(int(name))
            if st:
                children.setdefault(st[0], []).append(int(name))
                states[int(name)] = st[1]
    found, todo = [], [os.getpid()]
    while todo:
        for pid in children.get(todo.pop(), []):
            todo.append(pid)
            if states[pid] not in "ZX":
                found.append(pid)
    return found


def describe(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            cmd = f.read().replace(b"\0", b" ").decode(errors="replace").strip()
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as f:
            comm = f.read().strip()
    except OSError:
        return f"{pid} (gone)"
    return f"{pid} [{comm}] {cmd[:200]}"


def childless():
    """Reap what is dead. Is nothing below us? The kernel's word: an orphan becomes our child, so there is no child only
    when there is no descendant. (A walk of /proc alone can miss a process that forks and exits meanwhile.)"""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return True
    return False


class Forward(threading.Thread):
    """The test's stdout, passed on as it comes and kept for show()."""

    def __init__(self, fd):
        super().__init__(daemon=True)
        self.fd, self.text = fd, b""
        self.start()

    def run(self):
        while True:
            data = os.read(self.fd, 65536)
            if not data:
                return
            os.write(1, data)
            self.text = (self.text + data)[-200000:]


def show(out, noise, most=20000):
    """What the test said went wrong."""
    out.join(5)
    if noise:
        said = [x for x in out.text.decode(errors="replace").split("\n") if x.startswith(("#", "not ok"))]
        if len(said) > 300:
            said[150:-150] = ["# ..."]
        print("\n".join(said), file=sys.stderr, flush=True)
        size = noise.seek(0, os.SEEK_END)
        noise.seek(max(0, size - most))
        text = noise.read().decode(errors="replace")
        if text:
            diag(text)


def wait_reaping(main_pid, limit):
    """Exit status of the test (negative: signal), or None when the time is up. Orphans are buried at once: a zombie
    would look alive to those who wait for its end."""
    end = time.monotonic() + limit
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
    while True:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == main_pid:
            return os.waitstatus_to_exitcode(status)
        if pid == 0:
            rest = end - time.monotonic()
            if rest <= 0:
                return None
            signal.sigtimedwait([signal.SIGCHLD], rest)


def kill_all():
    """KILL everything below until nothing is alive; what is born meanwhile is found in the next round."""
    end = time.monotonic() + 60
    while not childless():
        if time.monotonic() > end:
            return False
        for pid in descendants():
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
        time.sleep(0.005)
    return True


def settled_descendants():
    """What is still there after the dying have had a moment to be gone."""
    end = time.monotonic() + 20
    while not childless():
        left = descendants()
        if left and time.monotonic() > end:
            return left
        time.sleep(0.005)
    return []


def time_limit(path):
    limit = float(os.environ.get("CTX_TEST_TIMEOUT", "300"))
    try:
        with open(path, "rb") as f:
            asked = re.search(rb"^# test-timeout: *(\d+)\s*$", f.read(4096), re.M)
    except OSError:
        return limit
    return max(limit, float(asked.group(1))) if asked else limit


def sanitizer_env(env, log):
    """Reports into files: the daemon's stderr is some test's log, where nobody would see them."""
    for name, own in (
        ("ASAN_OPTIONS", "abort_on_error=0:exitcode=99:detect_stack_use_after_return=1"),
        ("UBSAN_OPTIONS", "print_stacktrace=1"),
        ("LSAN_OPTIONS", "exitcode=99"),
    ):
        env[name] = ":".join(x for x in (own, env.get(name, ""), f"log_path={log}") if x)


def killed_meanwhile(report):
    """The leak check at the end of a process that was killed (as tests do) while it was checked: it found nothing yet."""
    return all(re.fullmatch(r"==\d+==Unable to get registers from thread \d+\.", line) for line in report.splitlines())


def main():
    if len(sys.argv) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    path, args = sys.argv[1], sys.argv[2:]
    limit = time_limit(path)
    wrap = os.environ.get("CTX_TEST_WRAP", "").split() if not path.endswith(".t") else []
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    with tempfile.TemporaryDirectory(prefix="ctx-san.") as tmp:
        os.chmod(tmp, 0o1777)  # jobs and daemons of other users report here too
        env = dict(os.environ, PYTHONDONTWRITEBYTECODE="1")
        sanitizer_env(env, os.path.join(tmp, "report"))
        noise = None if os.environ.get("HARNESS_VERBOSE", "0") not in ("", "0") else tempfile.TemporaryFile()
        child = subprocess.Popen(wrap + [path] + args, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                 stderr=noise, start_new_session=True)
        out = Forward(child.stdout.fileno())
        child.returncode = 0  # waited for below, not by subprocess
        status = wait_reaping(child.pid, limit)
        if status is None:
            diag(f"{path}: not done after {limit:.0f} s; alive then:")
            for pid in descendants():
                diag("  " + describe(pid))
            kill_all()
            show(out, noise)
            return 124
        if status < 0:
            diag(f"{path}: killed by signal {-status}")
            status = 128 - status
        left = settled_descendants()
        if left:
            diag(f"{path}: left running:")
            for pid in left:
                diag("  " + describe(pid))
            if not kill_all():
                diag("and some of it cannot be killed")
            status = status or 1
        for name in sorted(os.listdir(tmp)):
            with open(os.path.join(tmp, name), encoding="utf-8", errors="replace") as f:
                report = f.read()
            if not killed_meanwhile(report):
                diag(f"{path}: a sanitizer reports:\n" + report[:8000])
                status = status or 99
        out.join(5)
        skipped = re.findall(rb"^.*# *skip.*$", out.text, re.M | re.I) if os.environ.get("CI_NO_SKIP") else []
        if skipped:
            diag(f"{path}: skipped, which counts as a failure here:\n" + b"\n".join(skipped).decode(errors="replace"))
            status = status or 1
        if status or re.search(rb"^not ok", out.text, re.M):
            show(out, noise)
    return status


if __name__ == "__main__":
    sys.exit(main())
