#!/usr/bin/python3
"""Deadlines: which rule wins, and that nothing outlives them."""
import datetime
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from ctxtest import *
from ctxtest import proc_stat

d = Daemon(conf="[deadline]\ntimeout=10m\nmax_timeout=2h\ngrace=300ms\n[limits]\nrunning=16\n"
           "[class short]\ntimeout=5m\nmax_timeout=20m\n[class one]\nrunning=1\n")
S = 10**6


def when(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


def seconds(a, b):
    return (when(b) - when(a)).total_seconds()


def granted(*args):
    """(asked, granted, rule) of a job that is canceled again."""
    id = d.submit(*args, "sleep", "1000")
    job = d.wait_state(id, "running")
    d.ctl_ok("cancel", "--now", id)
    started, deadline = when(job["started_at"]), when(job["deadline_at"])
    return job["timeout_requested_usec"], round((deadline - started).total_seconds()), job["deadline_rule"]


@case("the rule that wins, what was asked and what is granted")
def _():
    is_(granted(), (None, 600, "default"))
    is_(granted("-t", "1m"), (60 * S, 60, "requested"))
    is_(granted("-t", "2h"), (7200 * S, 7200, "requested"))
    is_(granted("-t", "3h"), (3 * 3600 * S, 7200, "global_max"))
    is_(granted("-c", "short"), (None, 300, "class_default"))
    is_(granted("-c", "short", "-t", "1h"), (3600 * S, 1200, "class_max"))
    is_(granted("-t", "max")[1:], (7200, "global_max"))
    is_(granted("-c", "short", "-t", "max")[1:], (1200, "class_max"))


@case("an absolute deadline, if it is the earliest")
def _():
    asked, got, rule = granted("--deadline", "now+5m")
    ok(200 <= got <= 300, str(got))  # from the start; it was said before that
    is_(rule, "absolute")
    is_(granted("-t", "1m", "--deadline", "now+5m")[1:], (60, "requested"))
    is_(granted("--deadline", "now+5h")[1:], (600, "default"))


@case("at the deadline: TERM first, and 124")
def _():
    def build(n):
        id = d.submit("-t", f"{n * 1000:.0f}ms", "--grace", "1m", "sh", "-c",
                      "trap 'echo term; exit 0' TERM; echo ready; while :; do sleep 0.05; done")
        code = d.ctl("wait", id).code
        return d.logs(id).startswith("ready") and (n, code, d.job(id), d.logs(id))

    n, code, job, text = in_time(build, (0.5, 3, 15, 60))
    is_(code, 124)
    is_((job["state"], job["err"], job["cause_code"]), ("deadline_exceeded", "context deadline exceeded", "deadline"))
    is_(job["exit_code"], 0, "its own status is kept")
    like(text, r"^term$", "it saw TERM")
    ok(seconds(job["submitted_at"], job["deadline_at"]) >= n, f"{job['submitted_at']}, {job['deadline_at']}")
    ok(seconds(job["deadline_at"], job["stop"]["term_at"]) >= -0.05, f"not before: {job['deadline_at']}, {job['stop']}")


@case("another signal, another grace")
def _():
    def build(n):
        """A job that was ready when its deadline came, and had the time to say what it heard."""
        id = d.submit("-t", f"{n * 1000:.0f}ms", "--signal", "USR1", "--grace", f"{n * 500:.0f}ms", "sh", "-c",
                      "trap 'echo usr1' USR1; trap 'echo term' TERM; echo ready; while :; do sleep 0.02; done")
        job, text = d.wait_end(id), d.logs(id)
        return text.startswith("ready\n") and "1\n" in text and (n, job, text)

    n, job, text = in_time(build, (0.3, 3, 15, 60))
    is_((job["state"], job["signal"], job["stop_signal"], job["grace_usec"]),
        ("deadline_exceeded", 9, "USR1", round(n * 500) * 1000))
    unlike(text, "term")
    like(text, r"\Aready\n(usr1\n)+|User defined signal")
    ok(seconds(job["stop"]["term_at"], job["stop"]["kill_at"]) >= n / 2 - 0.05, f"the grace: {job['stop']}")


# Ways to hide. Each prints `ready` when it is done hiding.
HIDING = {
    "ignores TERM": 'trap "" TERM; echo ready; while :; do sleep 1000; done',
    "forks and exits": 'sleep 1000 & echo ready; exit 0',
    "double-forks with setsid": '(setsid sh -c "trap \\"\\" TERM; setsid sleep 1000 & sleep 1000" &); echo ready; sleep 1000',
    "spawns faster than it is killed": 'f() { trap "" TERM; while :; do (sleep 1000 &) ; sleep 0.005; done; }; f & f & echo ready; wait',
    "closes its descriptors": 'echo ready; exec 0<&- 1>&- 2>&-; trap "" TERM; while :; do sleep 1000; done',
    "floods its output": 'echo ready; trap "" TERM; while :; do echo yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy; done',
    "blocks on its own pipe": 'echo ready; yes | sleep 1000',
    "stops itself": 'trap "" TERM; echo ready; kill -STOP $$',
    "changes its name": 'echo ready; exec -a innocent sleep 1000',
    "changes its process group": 'set -m; sleep 1000 & sleep 1000 & echo ready; wait',
}


@case("after the deadline nothing is alive, however it hides")
def _():
    left = dict(HIDING)

    def build(n):
        jobs = {how: d.submit("-t", f"{n}s", "--", "bash", "-c", script) for how, script in left.items()}
        for how, id in jobs.items():
            job = d.wait_end(id)
            is_(d.job_pids(id), [], how)
            is_(job["survivors_possible"], False, how)
            ends = how == "forks and exits"
            if not d.logs(id).startswith("ready") or ends and job["state"] != "succeeded":
                is_(job["state"], "deadline_exceeded", how)
                continue  # not hidden yet: once more, with more time
            del left[how]
            if ends:
                is_((job["state"], job["exit_code"], job["leftovers"]), ("succeeded", 0, 1), how)
            else:
                is_(job["state"], "deadline_exceeded", how)
        return not left

    in_time(build, (1, 5, 30))


@case("what the main process leaves behind is stopped with the grace, and counted")
def _():
    id = d.submit("--grace", "200ms", "bash", "-c", 'for i in 1 2 3; do sleep 1000 & done; trap "" TERM; sleep 1000 & exit 8')
    job = d.wait_end(id)
    is_((job["state"], job["exit_code"], job["leftovers"]), ("failed", 8, 4))
    is_(d.job_pids(id), [])


@case("a deadline that passes in the queue: it never runs")
def _():
    first = d.submit("-c", "one", "sleep", "1000")
    d.wait_state(first, "running")

    def build(n):
        r = d.ctl("submit", "-c", "one", "--deadline", f"now+{n}s", "true")
        return int(r.out) if r.code == 0 else need("not in the future" in r.err, str(r)) and None  # it was over before it was told

    id = in_time(build, (1, 5, 30))
    job = d.wait_end(id)
    is_((job["state"], job["started_at"], job["deadline_rule"]), ("deadline_exceeded", None, "absolute"))
    r = d.ctl("wait", id)
    is_((r.code, r.err), (124, f"ctxctl: job {id}: deadline exceeded (rule absolute); it was never started\n"), "no time was granted")
    d.ctl_ok("cancel", "--now", "--wait", first)


@case("a timeout counts from the start, not from the submission")
def _():
    def build(n):
        first = d.submit("-c", "one", "-t", f"{n * 1500}ms", "sleep", "1000")
        second = d.submit("-c", "one", "-t", f"{n}s", "sh", "-c", "sleep 0.2; echo done")
        is_(d.wait_end(first)["state"], "deadline_exceeded")
        job = d.wait_end(second)
        ok(seconds(job["submitted_at"], job["started_at"]) > n, "it waited longer than it may run")
        return job["state"] == "succeeded"

    in_time(build, (1, 5, 30))


@case("extend: by, to, never past the maximum, only what runs")
def _():
    id = d.submit("-t", "1m", "sleep", "1000")
    before = when(d.wait_state(id, "running")["deadline_at"])
    r = d.ctl("extend", id, "--by", "1m")
    is_(r.code, 0)
    after = d.job(id)
    is_(round((when(after["deadline_at"]) - before).total_seconds()), 60)
    is_(after["deadline_rule"], "extended")
    like(r.out, after["deadline_at"][:16])
    d.ctl("extend", id, "--by", "100h")
    at_most = when(after["started_at"]) + datetime.timedelta(hours=2)
    ok(when(d.job(id)["deadline_at"]) <= at_most, "never past the maximum")
    is_(d.ctl("extend", id).code, 2, "neither --by nor --to")
    is_(d.ctl("extend", id, "--by", "-5s").code, 2)
    d.ctl_ok("cancel", "--now", "--wait", id)
    r = d.ctl("extend", id, "--by", "1m")
    ok(r.code != 0, "it has ended")
    like(r.err, "canceled|ended")


@case("an extension holds")
def _():
    def build(n):
        id = d.submit("-t", f"{n}s", "sh", "-c", f"sleep {n * 1.5}; echo made it")
        d.wait_state(id, "running")
        return d.ctl("extend", id, "--by", "10m").code == 0 and id

    is_(d.wait_end(in_time(build, (1, 5, 30)))["state"], "succeeded")


@case("the deadline is met while ctxd is down")
def _():
    def build(n):
        id = d.submit("-t", f"{n * 1000:.0f}ms", "--grace", "100ms", "bash", "-c", HIDING["ignores TERM"])
        pid = d.wait_started(id)["pid"]
        st = proc_stat(pid)
        d.kill9()
        if st and st[1] != 1:  # its parent is the monitor; else it has ended by now
            wait_until(lambda: exited(st[1]), "the job to be stopped without ctxd")
        is_(d.job_pids(id), [])
        d.start()
        job = d.wait_end(id)
        is_(job["state"], "deadline_exceeded")
        return job["known_by"] == "result_file"

    in_time(build, (0.7, 5, 30))


main()
