#!/usr/bin/python3
"""What a ctxd finds while frames of the one before it are still under way to the spawner: in the order that the model of the
recovery protocol (tests/model) found, brought about frame by frame between a real ctxd and a real ctx-spawner."""
import ctypes
import errno
import os
import select
import socket
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import spawnerdrv as drv  # noqa: E402
from between import Between  # noqa: E402
from ctxtest import *  # noqa: E402,F403
from ctxtest import TIMEOUT  # noqa: E402

IN_CLOSE_NOWRITE = 16
libc = ctypes.CDLL(None, use_errno=True)


class Reads:
    """Tells when somebody has read a file."""

    def __init__(self, path):
        self.fd = libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        need(self.fd >= 0 and libc.inotify_add_watch(self.fd, path.encode(), IN_CLOSE_NOWRITE) >= 0,
             f"watch {path}: {os.strerror(ctypes.get_errno())}")

    def wait(self):
        need(select.select([self.fd], [], [], TIMEOUT)[0], "waited in vain for somebody to read it")

    def close(self):
        os.close(self.fd)


def not_executed(id, attempt, error, step):
    """The result of a monitor whose job could not be made for want of something."""
    now = int(time.time() * 1e6)
    values = dict.fromkeys(drv.Result.NAMES, 0)
    values.update(magic=0x52585443, version=2, size=224, id=id, attempt=attempt, exec_error=error, exec_step=step,
                  started_us=now, ended_us=now, main_ended_us=now, deadline_ns=drv.boottime_ns() + 3600 * 10**9)
    return struct.pack(drv.Result.FORM, *(values[n] for n in drv.Result.NAMES))


def start(conf=""):
    """A ctxd, and a hand between it and its spawner."""
    d = Daemon(conf, start=False)
    b = Between(d)
    d.start()
    return d, b


class Witnessed:
    """A job that says so when it begins, and ends with 7 when it is let go."""

    def __init__(self, d):
        self.d, self.path, self.gate = d, os.path.join(d.dir, "witness"), os.path.join(d.dir, "gate")
        os.mkfifo(self.gate)
        self.id = d.submit("sh", "-c", f"echo begun >>{self.path}; read x <{self.gate}; exit 7")

    def begun(self):
        if not os.path.exists(self.path):
            return 0
        with open(self.path, encoding="ascii") as f:
            return f.read().count("begun")

    def check(self):
        wait_until(lambda: self.d.job(self.id)["pid"], "the job to be adopted")
        with open(self.gate, "w", encoding="ascii") as f:
            f.write("go\n")
        j = self.d.wait_end(self.id)
        is_((j["state"], j["exit_code"], j["attempt"]), ("failed", 7, 1))
        is_(self.begun(), 1, "executions of an attempt")


@case("the first start is under way from the last ctxd: the next one finds nothing, waits until it is linked, and adopts the job")
def _():
    d, b = start()
    b.hold()
    w = Witnessed(d)
    b.wait_held((drv.SPAWN, w.id))
    d.kill9()
    d.start(spawner=False)
    is_(d.job(w.id)["state"], "running", "that nothing is there yet proves nothing")
    b.let_through()
    wait_until(w.begun, "the command to be executed")
    b.let_in()
    w.check()
    d.cleanup()
    b.close()


@case("two starts were lost with the spawner, and the next ctxd dies between the two verdicts: the second one is still known not to have run")
def _():
    d, b = start("[limits]\nrunning = 2\n")
    b.hold()
    ids = [d.submit("true") for _ in range(2)]
    b.wait_held(*((drv.SPAWN, i) for i in ids))
    d.kill9()
    b.wait_ended()
    b.respawn()
    b.hold(drv.SWEEP)
    b.let_in()
    d.start()
    wait_until(lambda: sorted(b.held()) == [(drv.SWEEP, i) for i in ids], "both to be asked for")
    b.pass_on(drv.SWEEP, ids[0])
    d.wait_log(rf"job={ids[0]} queued again")
    is_(d.job(ids[0])["state"], "queued", "nothing is started before the verdict on the other: that would raise what was seen past it")
    d.kill9()
    b.wait_ended()
    ok((drv.SPAWN, ids[0]) not in b.held(), "nor is it about to be")
    b.let_through()
    d.start()
    for i in ids:
        j = d.wait_end(i)
        is_((j["state"], j["attempt"]), ("succeeded", 1))
    d.cleanup()
    b.close()


@case("a result after which the same attempt is made again, found by a ctxd while that start is under way from the last one: it runs once")
def _():
    d, b = start()
    b.hold()
    w = Witnessed(d)
    i = w.id
    # Its first start, as the spawner and a monitor leave it that could make no process.
    _, fds = b.take(drv.SPAWN, i)
    job = os.path.join(d.run, "jobs", f"{i}.1")
    os.mkdir(job, 0o700)
    result = not_executed(i, 1, errno.EAGAIN, drv.X_FORK)
    for name, data in (("started", b""), ("result", result)):
        with open(os.path.join(job, name), "wb") as f:
            f.write(data)
    with socket.socket(fileno=fds[1]) as monitor:
        monitor.send(drv.frame(drv.END, result, i, 1))
        for fd in fds[:1] + fds[2:]:
            os.close(fd)
        # The end is committed, and then the next start: both are told to a spawner that does not come to reading it.
        b.wait_held((drv.FORGET, i), (drv.SPAWN, i))
    d.kill9()

    reads = Reads(os.path.join(job, "result"))
    d.start(spawner=False)
    reads.wait()
    reads.close()
    is_(d.job(i)["state"], "running", "what is found before the spawner has come to what was sent proves nothing")
    b.let_through()
    wait_until(w.begun, "the command to be executed")
    b.let_in()
    w.check()
    d.cleanup()
    b.close()


main()
