#!/usr/bin/python3
"""A ctxd that has been upgraded, and its spawner has not: what that could not read is not sent, jobs wait, and that is said."""
import os
import signal
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from between import Between  # noqa: E402
from ctxtest import *  # noqa: E402,F403
from spawnerdrv import WELCOME, Frame  # noqa: E402

RECORDED = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "unit", "data", "frames-1", "welcome.bin")
PID, FLAGS = 24, 28  # where they are in WELCOME


class Old(Between):
    """The spawner says WELCOME as one of the first version did, which was recorded; with PID, if that is not None. Once it is
    gone, nobody listens."""

    def __init__(self, daemon, pid=None):
        self.says_pid = pid
        super().__init__(daemon)

    def _welcome(self, data):
        with open(RECORDED, "rb") as f:
            frame = f.read()
        need(len(frame) == len(data))
        pid, flags = struct.unpack("=II", data[PID:])
        need(flags >> 24, "the real one says which specs it reads")
        said = struct.unpack("=I", frame[FLAGS:])[0] >> 24
        return frame[:PID] + struct.pack("=II", pid if self.says_pid is None else self.says_pid, flags & 0xffffff | said << 24)

    def _from_spawner(self, p):
        data, fds = self._receive(p.up)
        if data:
            self._send(p.down, self._welcome(data) if Frame(data).kind == WELCOME else data, fds)
            return
        self.lets_in = False
        self.listener.close()
        self._drop(p)


@case("an old spawner: new jobs wait, ctxd says why, and they run once it is replaced")
def _():
    d = Daemon(start=False)
    b = Old(d, pid=0)  # one that ctxd cannot ask to leave
    d.start(spawner=False)
    d.wait_log(r"the spawner is of an older version .* new ones wait until it is replaced, continuing")
    d.wait_log("spawner connected, but it can start nothing")
    unlike(d.log_text(), "spawner ready")
    ids = [d.submit("sh", "-c", "exit 0") for _ in range(3)]
    r = d.ctl("doctor")
    is_(r.code, 1)
    like(r.out, "spawner: of an older version than ctxd")
    like(d.ctl_ok("status"), "spawner: +OLDER THAN CTXD")
    is_([d.job(i)["state"] for i in ids], ["queued"] * 3)
    like(d.ctl_ok("metrics"), r"(?m)^ctx_spawner_missing 1$")
    is_([j["attempt"] for j in map(d.job, ids)], [1] * 3)
    os.kill(b.pid, signal.SIGKILL)
    for i in ids:
        j = d.wait_end(i)
        is_((j["state"], j["attempt"]), ("succeeded", 1))
    like(d.log_text(), "spawner ready")
    is_(d.ctl("doctor").code, 0)
    like(d.ctl_ok("metrics"), r"(?m)^ctx_spawner_missing 0$")
    unlike(d.ctl_ok("status"), "OLDER")
    d.cleanup()
    b.close()


@case("an old spawner that an older ctxd has left is replaced by this one; its jobs go on")
def _():
    d = Daemon(start=False)
    gate = os.path.join(d.dir, "gate")
    os.mkfifo(gate)
    d.start()
    running = d.submit("sh", "-c", f"read x <{gate}; exit 5")
    d.wait_started(running)
    d.kill9()
    first = d.spawner_pid()
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: exited(first), "the first spawner to end")
    os.unlink(os.path.join(d.run, "spawner.sock"))
    b = Old(d)
    d.start(spawner=False)
    queued = d.submit("sh", "-c", "exit 6")
    wait_until(lambda: exited(b.pid), "the old one to leave")
    is_(d.wait_end(queued)["exit_code"], 6)
    is_(d.job(running)["state"], "running")
    with open(gate, "w", encoding="ascii") as f:
        f.write("go\n")
    j = d.wait_end(running)
    is_((j["state"], j["exit_code"], j["attempt"]), ("failed", 5, 1))
    like(d.log_text(), "new ones wait until it is replaced, which is done now")
    d.cleanup()
    b.close()


main()
