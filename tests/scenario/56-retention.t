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


@case("files that a crash left behind, between a commit and their removal, go after the next start; others stay")
def _():
    there = d.submit("echo", "said")
    d.wait_end(there)
    failed = d.submit("--stdin", "/etc/passwd", "sh", "-c", "echo said; exit 3")
    d.wait_end(failed)
    gone = d.submit("--stdin", "/etc/passwd", "--split-output", "sh", "-c", "echo said; exit 3")
    d.wait_end(gone)
    expired = d.submit("echo", "said")
    d.wait_end(expired)
    late = d.submit("sleep", "1000")
    wait_until(lambda: d.job(late)["pid"], "it to run")
    d.ctl_ok("prune", gone)
    d.kill9()
    db = sqlite3.connect(d.db)
    db.execute("UPDATE job SET output_gone = 1 WHERE id = ?", (expired,))
    db.commit()
    db.close()

    out, inp = (os.path.join(d.state, n, "0") for n in ("output", "stdin"))
    os.makedirs(os.path.join(d.state, "output", "999"))
    # As they were before; of no number; and of an id that this database never gave: somebody restored an older one.
    left = [os.path.join(out, f"{gone}.1.log"), os.path.join(out, f"{gone}.1.err"), os.path.join(inp, f"{gone}")]
    others = [os.path.join(out, n) for n in ("notes.txt", f"{gone}.1.log.bak", f"{gone}.log", f"0{gone}.1.log")]
    others += [os.path.join(d.state, "output", "999", "999000.1.log"), os.path.join(d.state, "output", f"{gone}.1.log")]
    stay = [output(there), output(failed), output(late), os.path.join(inp, f"{failed}")]
    for path in left + others:
        with open(path, "w", encoding="ascii") as f:
            f.write("x")
    wait_until(lambda: all(os.path.exists(p) for p in stay + left + others + [output(expired)]), "all of them to be there")

    # As long as a database lies there of which not all rows could be saved, output may be all there is of a job.
    damaged = os.path.join(d.state, "ctxd.db.damaged-20260101T000000Z")
    with open(damaged, "w", encoding="ascii"):
        pass
    d.start()
    d.wait_log("output of jobs that are not on record stays")
    wait_until(lambda: not os.path.exists(left[2]), "the input of no job to go")
    d.ctl_ok("cancel", "--now", "--wait", d.submit("sleep", "1000"))
    ok(os.path.exists(left[0]) and os.path.exists(output(expired)), "output stays")
    os.unlink(damaged)
    d.restart()
    wait_until(lambda: not any(os.path.exists(p) for p in left + [output(expired)]), f"them to go: {left}")
    is_([p for p in stay + others if not os.path.exists(p)], [], "gone, though needed or not ours")
    for path in others:
        os.unlink(path)
    os.rmdir(os.path.join(d.state, "output", "999"))
    d.ctl_ok("cancel", "--now", "--wait", late)


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
