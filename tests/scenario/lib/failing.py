"""failing.py - a running process whose system calls fail. Needs strace, and the right to trace.

    from failing import failing

    with failing(d.proc.pid, "pwrite64,fdatasync,fsync", "EIO"):    # from the first line on, until the last
        …

A process has its tracer a moment before that one looks at system calls, and those of this moment would succeed. So it is stopped,
which strace reports, and goes on as strace wants.
"""
import contextlib
import os
import shutil
import signal
import subprocess
import tempfile

from ctxtest import skip, wait_until

__all__ = ["failing"]


def _traced(pid):
    with contextlib.suppress(OSError), open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as f:
        return not any(line == "TracerPid:\t0\n" for line in f)
    return False


@contextlib.contextmanager
def failing(pid, calls, error):
    """Each of the system CALLS of PID fails with ERROR."""
    if not shutil.which("strace"):
        skip("no strace")
    with tempfile.NamedTemporaryFile(prefix="ctx-t.") as seen:
        p = subprocess.Popen(["strace", "-qq", "-o", seen.name, "-p", str(pid), "-e", f"trace={calls}", "-e", "signal=stop",
                              "-e", f"inject={calls}:error={error}"], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)

        def ended():
            return p.poll() is not None

        try:
            wait_until(lambda: _traced(pid) or ended(), "strace to attach")
            if not ended():
                os.kill(pid, signal.SIGSTOP)
                try:
                    wait_until(lambda: os.path.getsize(seen.name) > 0 or ended(), "strace to see what it does")
                finally:
                    os.kill(pid, signal.SIGCONT)
            if ended():
                skip(f"no process can be traced: {p.stderr.read().decode()}")
            yield
        finally:
            p.terminate()
            p.wait()
            p.stderr.close()
            wait_until(lambda: not _traced(pid), "strace to let go")
