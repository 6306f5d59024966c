#!/usr/bin/python3
"""A job's output file becomes its user's while ctxd may be asked for what is in it: at no moment is it ctxd's no longer to read. A
system ctxd without privileges and with the umask of its unit, a spawner with them, which strace holds up. Needs root."""
import contextlib
import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from ctxtest import *
from sysdaemon import ALICE, CTXD_UID, SystemDaemon

if os.geteuid() != 0:
    @case("an output file is given away")
    def _():
        skip("needs root")
    main()


@contextlib.contextmanager
def slowly(pid, calls, usec):
    """PID and what it forks take USEC for the way back from each of these system calls."""
    tracer = subprocess.Popen(["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=" + calls, "-e", "signal=none", "-e",
                               f"inject={calls}:delay_exit={usec}", "-p", str(pid)], stdin=subprocess.DEVNULL)

    def traced():
        need(tracer.poll() is None, "strace is there")
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as f:
            return not re.search(r"^TracerPid:\t0$", f.read(), re.M)

    try:
        wait_until(traced, "strace to be there")
        yield
    finally:
        tracer.terminate()
        tracer.wait()


@case_if(shutil.which("strace"), "the output can be asked for, however long the file takes to become the user's")
def _():
    d = SystemDaemon()
    wait_until(lambda: "spawner ready" in d.log_text(), "the spawner to be connected")
    with slowly(d.spawner.pid, "fchown,fchmod", 500000):
        id = d.submit("--split-output", "-C", "/", "--", "sh", "-c", "echo out; echo err >&2", uid=ALICE)
        paths = [os.path.join(d.state, "output", "0", f"{id}.1.{kind}") for kind in ("log", "err")]
        asked = 0
        for path, options in zip(paths, ((), ("--stderr",))):
            wait_until(lambda path=path: os.path.exists(path) and os.stat(path).st_uid == ALICE, f"{path} to be the user's")
            while os.stat(path).st_mode & 0o7777 != 0o640 or not asked:
                r = d.ctl("logs", *options, id, uid=ALICE)
                need(r.code == 0 and not r.err, f"output is there to be read: {r}")
                asked += 1
        r = d.ctl("run", "-C", "/", "--", "echo", "out", uid=ALICE)
        is_((r.code, r.out, r.err), (0, "out\n", ""))
    d.wait_state(id, "succeeded")
    is_((d.logs(id), d.ctl_ok("logs", "--stderr", id)), ("out\n", "err\n"))
    for path in paths:
        st = os.stat(path)
        is_((st.st_uid, st.st_gid, st.st_mode & 0o7777), (ALICE, CTXD_UID, 0o640), path)
    d.cleanup()


main()
