#!/usr/bin/python3
"""Canceling: running and queued jobs, causes, twice, many at once."""
import datetime
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from ctxtest import *

d = Daemon(conf="[limits]\nrunning=2\n[deadline]\ngrace=500ms\n[class one]\nrunning=1\n")

STUBBORN = 'trap "" TERM; (setsid sh -c "trap \\"\\" TERM; sleep 1000 & sleep 1000" &); echo ready; while :; do sleep 1000; done'


@case("a running job, with a cause")
def _():
    id = d.submit("sleep", "1000")
    pid = d.wait_started(id)["pid"]
    r = d.ctl("cancel", "--cause", "no longer needed", id)
    is_(r.code, 0)
    is_(d.ctl("wait", id).code, 122)
    job = d.job(id)
    is_(job["state"], "canceled")
    is_(job["err"], "context canceled")
    is_(job["cause"], "no longer needed")
    is_(job["cause_code"], "requested")
    is_(job["signal"], 15)
    ok(exited(pid), "the process is gone")


@case("twice is harmless, and the first cause stays")
def _():
    id = d.submit("sleep", "1000")
    d.ctl_ok("cancel", "--cause", "first", id)
    d.ctl_ok("cancel", "--cause", "second", "--wait", id)
    r = d.ctl("cancel", "--cause", "third", id)
    is_(r.code, 0)
    like(r.err, "canceled|ended")
    is_(d.job(id)["cause"], "first")


@case("a job that has ended: success, and said")
def _():
    id = d.submit("true")
    d.wait_state(id, "succeeded")
    r = d.ctl("cancel", id)
    is_(r.code, 0)
    like(r.err, "succeeded|ended")
    is_(d.job(id)["state"], "succeeded")


@case("a queued job never runs")
def _():
    marker = os.path.join(d.dir, "ran")
    first = d.submit("-c", "one", "sleep", "1000")
    d.wait_state(first, "running")
    second = d.submit("-c", "one", "touch", marker)
    is_(d.job(second)["state"], "queued")
    d.ctl_ok("cancel", second)
    job = d.job(second)
    is_((job["state"], job["started_at"], job["pid"]), ("canceled", None, None))
    is_(d.ctl("wait", second).code, 122)
    d.ctl_ok("cancel", "--wait", first)
    third = d.submit("-c", "one", "true")
    d.wait_state(third, "succeeded")
    ok(not os.path.exists(marker), "it never ran")


@case("TERM, grace, KILL, and nothing is left")
def _():
    id = d.submit("sh", "-c", STUBBORN)
    wait_until(lambda: len(d.job_pids(id)) >= 4, "the whole tree")
    d.ctl_ok("cancel", id)
    job = d.wait_end(id)
    is_((job["state"], job["signal"]), ("canceled", 9))
    term, kill = (datetime.datetime.fromisoformat(job["stop"][w].replace("Z", "+00:00")) for w in ("term_at", "kill_at"))
    ok((kill - term).total_seconds() >= 0.45, f"the grace is granted: {job['stop']}")
    is_(d.job_pids(id), [])


@case("--now: KILL at once, also while it is stopping")
def _():
    e = Daemon(conf="[deadline]\ngrace=1h\n")
    id = e.submit("sh", "-c", STUBBORN)
    wait_until(lambda: len(e.job_pids(id)) >= 4, "the whole tree")
    e.ctl_ok("cancel", "--now", "--wait", id)
    is_(e.job_pids(id), [])
    id = e.submit("sh", "-c", STUBBORN)
    wait_until(lambda: len(e.job_pids(id)) >= 4, "the whole tree")
    e.ctl_ok("cancel", id)
    e.wait_state(id, "stopping")
    e.ctl_ok("cancel", "--now", id)
    is_(e.wait_end(id)["state"], "canceled")
    is_(e.job_pids(id), [])
    e.cleanup()


@case("many: by ids, and by a filter with --all-matching")
def _():
    a, b, c = (d.submit("-n", "many", "sleep", "1000") for _ in range(3))
    other = d.submit("-n", "other", "sleep", "1000")
    r = d.ctl("cancel", "--name", "many")
    ok(r.code != 0, "a filter alone is refused")
    d.ctl_ok("cancel", "--wait", a, b)
    d.ctl_ok("cancel", "--name", "many", "--all-matching", "--wait")
    is_(d.job(c)["state"], "canceled")
    need(d.job(other)["state"] in ("running", "queued"), "the other one goes on")
    r = d.ctl("cancel", other, 4711)
    is_(r.code, 3, "one of two does not exist")
    is_(d.wait_end(other)["state"], "canceled", "the one that does is canceled")


main()
