#!/usr/bin/python3
"""Retention: old outputs go first, then records; what was interrupted and not resolved stays; ids are never used again."""
import os
import signal
import sqlite3
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from ctxtest import *  # noqa: E402,F403

DAY = 86400 * 10**6
d = Daemon(conf="[retention]\njobs = 30d\noutput = 7d\n")
N = 40


def output(i):
    return os.path.join(d.state, "output", "0", f"{i}.1.log")


def age(days, ids):
    """Make the jobs so much older, while ctxd is down."""
    d.stop()
    db = sqlite3.connect(d.db)
    db.executemany("UPDATE job SET ended = ended - ? WHERE id = ?", [(days * DAY, i) for i in ids])
    db.commit()
    db.close()
    d.start()


def run_some():
    ids = [d.submit("echo", "said") for _ in range(N)]
    for i in ids:
        d.wait_end(i)
    return ids


@case("after a week the output is gone and the record stays; before that both stay")
def _():
    old, young = run_some(), run_some()
    age(8, old)
    wait_until(lambda: not any(os.path.exists(output(i)) for i in old), "the old outputs to go")
    ok(all(os.path.exists(output(i)) for i in young), "the young ones are there")
    is_(d.logs(old[0]), "")
    is_(d.job(old[0])["state"], "succeeded")
    is_(d.logs(young[0]), "said\n")


@case("no more records than may be: the newest stay, and what is half-processed besides")
def _():
    half = d.submit("sleep", "1000")
    pid = wait_until(lambda: d.job(half)["pid"], "a pid")
    os.kill(d.monitor_pid(half), signal.SIGKILL)
    is_(d.wait_end(half)["state"], "interrupted")
    wait_until(lambda: exited(pid), "the job to die")
    new = sorted(run_some(), key=lambda i: d.job(i)["ended_at"])
    runs = d.submit("sleep", "1000")
    keep = N // 2
    d.configure(f"[retention]\njobs = 30d\noutput = 7d\nmax_jobs = {keep}\n")
    d.restart()
    last = sorted([*new[-keep:], half, runs])
    wait_until(lambda: sorted(j["id"] for j in d.json("list", "--all")) == last, f"all but {keep} to go")
    ok(all(os.path.exists(output(i)) for i in new[-keep:]))
    wait_until(lambda: not any(os.path.exists(output(i)) for i in new[:-keep]), "their outputs")
    d.ctl_ok("cancel", "--now", "--wait", runs)
    d.ctl_ok("resolve", half, "--as", "failed")
    d.configure("[retention]\njobs = 30d\noutput = 7d\n")
    d.restart()


@case("after a month the record goes; an interrupted one does not; ids go on")
def _():
    i = d.submit("sleep", "1000")
    pid = wait_until(lambda: d.job(i)["pid"], "a pid")
    os.kill(d.monitor_pid(i), signal.SIGKILL)
    is_(d.wait_end(i)["state"], "interrupted")
    wait_until(lambda: exited(pid), "the job to die")
    ids = [j["id"] for j in d.json("list", "--all")]
    age(31, ids)
    wait_until(lambda: [j["id"] for j in d.json("list", "--all")] == [i], "all records but one to go")
    is_([r[0] for r in d.sql("SELECT DISTINCT job FROM job_history")], [i], "history")
    is_([r[0] for r in d.sql("SELECT id FROM half_processed")], [i])
    ok(d.submit("true") > max(ids), "a new id")


@case("the environment of a job that did not succeed goes after its hour")
def _():
    i = d.submit("false")
    d.wait_end(i)
    k = d.submit("true")
    d.wait_end(k)

    def kept():
        return [r[0] for r in d.sql(f"SELECT job FROM job_env WHERE job IN ({i}, {k})")]

    is_(kept(), [i], "kept for the one that failed alone")
    d.stop()
    db = sqlite3.connect(d.db)
    db.execute("UPDATE job_env SET ended = ended - ?", (2 * 3600 * 10**6,))
    db.commit()
    db.close()
    d.start()
    wait_until(lambda: not kept(), "the environment to go")


main()
