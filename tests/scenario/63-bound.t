#!/usr/bin/python3
"""Jobs that end with the connection of their client; and clients that come back after ctxd was away."""
import os
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from apitest import *  # noqa: E402,F403

CONF = "[daemon]\nreattach = {}\n[limits]\nrunning = {}\n[deadline]\ngrace = 500ms\n"
GONE = "canceled", "context canceled", "client_gone", "the client it was bound to went away"
d = ApiDaemon(conf=CONF.format("1h", 50))


class Client:
    """A connection with a job bound to it."""

    def __init__(self, *argv, **params):
        self.params = {"argv": list(argv or ("sleep", "1000")), "bound": True, **params}
        self.link = d.connect()
        self.submit()
        self.id = self.reply["job"]["id"]

    def submit(self):
        self.link.send("Submit", self.params, more=True)
        self.reply = self.link.receive()[0]

    def back(self):
        self.link.close()
        self.link = d.connect()
        self.submit()
        is_((self.reply["job"]["id"], self.reply["created"]), (self.id, False))

    def gone(self):
        self.link.close()


def end_of(job):
    return job["state"], job["err"], job["cause_code"], job["cause"]


@case("the job ends with the connection, running or queued, and all that is attached to it")
def _():
    c = Client()
    ok(d.job(c.id)["bound"])
    child = d.submit("sleep", "1000", parent=c.id, inherit=["cancel"])["id"]
    d.configure(CONF.format("1h", 1))
    d.call("Reload")
    q = Client()
    is_(d.job(q.id)["state"], "queued")
    q.gone()
    is_(end_of(d.wait_end(q.id)), GONE)
    is_(d.job(c.id)["state"], "running")
    c.gone()
    is_(end_of(d.wait_end(c.id)), GONE)
    is_(end_of(d.wait_end(child)), ("canceled", "context canceled", "parent", f"parent {c.id} canceled: {GONE[3]}"))
    d.configure(CONF.format("1h", 50))
    d.call("Reload")


def one_comes_back(end):
    """Two clients when ctxd ends, as END does it, of which one comes back in the time it has."""

    def tried(seconds):
        d.configure(CONF.format(f"{seconds}s", 50))
        back, lost = (Client(key=f"{who} {end.__name__} {seconds}") for who in ("back", "lost"))
        for c in (back, lost):
            d.wait_started(c.id)
        end()
        d.start()
        back.back()
        if back.reply["job"]["state"] == "running":
            return back, lost
        return d.wait_end(back.id) and d.wait_end(lost.id) and None  # too late

    return in_time(tried, (3, 15, 60))


@case("ctxd dies: who comes back keeps the job, who does not loses it")
def _():
    free = d.submit("sleep", "1000")["id"]
    back, lost = one_comes_back(d.kill9)
    like(d.log_text(), r"2 jobs are bound to clients")
    is_(end_of(d.wait_end(lost.id)), GONE)
    is_([d.job(i)["state"] for i in (back.id, free)], ["running"] * 2)
    back.gone()  # bound again: it ends with the new connection
    is_(end_of(d.wait_end(back.id)), GONE)
    d.cancel(free, now=True)
    d.wait_end(free)


@case("ctxd is stopped in good order: the same")
def _():
    def stop():
        wait_until(lambda: len(d.job_dirs()) == 2, "the directories of others to go")
        d.stop()
        is_(len(d.job_dirs()), 2, "a connection that ends then cancels nothing")

    back, lost = one_comes_back(stop)
    is_(end_of(d.wait_end(lost.id)), GONE)
    is_(d.job(back.id)["state"], "running")
    d.cancel(back.id, now=True)
    is_(back.link.receive()[0]["job"]["state"], "canceled", "the client is told the end")
    d.configure(CONF.format("1h", 50))


@case("the job ended while ctxd was away: the client that comes back is told")
def _():
    gate = fifo(d, "gate")
    c = Client("sh", "-c", f"read x <{gate}; exit 5", key="ended")
    pid = d.wait_started(c.id)["pid"]
    monitor = d.monitor_pid(c.id)
    d.kill9()
    go(gate)
    wait_gone([pid, monitor])
    d.start()
    c.link.close()
    c.link = d.connect()
    c.link.send("Submit", c.params, more=True)
    got, continues = c.link.receive()
    while continues:
        got, continues = c.link.receive()
    is_((got["job"]["id"], got["created"], got["job"]["state"], got["job"]["exit_code"]), (c.id, False, "failed", 5))


@case("many clients that do not come back: all of their jobs end, the queued ones too")
def _():
    d.configure(CONF.format("1s", 20))
    d.call("Reload")
    clients = [Client() for _ in range(120)]
    is_(d.call("Stats")["jobs"]["queued"], 100)
    d.kill9()
    d.start()
    for c in clients:
        is_(end_of(d.wait_end(c.id)), GONE)
        c.gone()


@case("another death before the time is over: the time begins anew")
def _():
    def twice(seconds):
        """A client that came back within SECONDS after the second death, and later than that after the first."""
        d.configure(CONF.format(f"{seconds}s", 50))
        c = Client(key=f"patient {seconds}")
        d.wait_started(c.id)
        begun = time.monotonic()
        d.kill9()
        d.start()
        wait_until(lambda: time.monotonic() > begun + 0.7 * seconds, "most of the time to pass")
        again = time.monotonic()
        d.kill9()
        killed = time.monotonic()
        d.start()
        wait_until(lambda: time.monotonic() > begun + 1.3 * seconds, "more than the time to pass")
        state = d.job(c.id)["state"]
        c.back()
        if killed > begun + seconds or time.monotonic() > again + seconds:
            return d.wait_end(c.id) and None
        is_(state, "running")
        return c

    c = in_time(twice, (2, 15, 60))
    is_(d.job(c.id)["state"], "running")
    c.gone()
    is_(end_of(d.wait_end(c.id)), GONE)


@case("ctxd stands still when the time is over: who came back meanwhile was in time")
def _():
    def stalled(seconds):
        d.configure(CONF.format(f"{seconds}s", 50))
        c = Client(key=f"stalled {seconds}")
        d.wait_started(c.id)
        d.kill9()
        begun = time.monotonic()
        d.start()
        os.kill(d.proc.pid, signal.SIGSTOP)
        stopped = time.monotonic()
        c.link.close()
        c.link = d.connect()
        c.link.send("Submit", c.params, more=True)
        wait_until(lambda: time.monotonic() > stopped + seconds + 0.2, "the time to pass")
        os.kill(d.proc.pid, signal.SIGCONT)
        if stopped > begun + seconds:
            return d.wait_end(c.id) and None
        return c, c.link.receive()[0]["job"]

    c, job = in_time(stalled, (2, 15, 60))
    is_((job["id"], job["state"]), (c.id, "running"))
    lost = Client(key="lost at last")
    c.gone()
    lost.gone()
    for x in (c, lost):
        is_(end_of(d.wait_end(x.id)), GONE)


main()
