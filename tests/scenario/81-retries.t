#!/usr/bin/python3
"""Attempts that ctxd makes by itself: after failures as often as was asked, after interruptions where the class says so; how
long each waits; what is never retried; and that nobody is told of an end that is none."""
# test-timeout: 240
import contextlib
import os
import signal
import sqlite3
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from apitest import *  # noqa: E402,F403

CONF = """[limits]
running = 8
queued = 20
[class hold]
[class again]
on_interrupt = retry
max_attempts = 2
[class few]
max_attempts = 3
[class one]
running = 1
"""
d = ApiDaemon(conf=CONF)
HOUR = 3600 * S


def edges(id):
    return [(e["attempt"], e["from"], e["to"]) for e in d.call("Events", id=id)["events"]]


def kill_monitor(id, attempt=1):
    wait_until(lambda: (lambda j: j["attempt"] == attempt and j["state"] == "running" and j["pid"])(d.job(id)),
               f"attempt {attempt} of {id} to run")
    os.kill(d.monitor_pid(id), signal.SIGKILL)


def waiting(id):
    """The job while it waits for its next attempt."""
    return wait_until(lambda: (lambda j: j if j["waiting_for"] else None)(d.job(id)), f"job {id} to wait for its backoff")


def seconds(text):
    import datetime

    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def until(job):
    like(job["waiting_for"], r"^backoff until 2\d\d\d-")
    return seconds(job["waiting_for"].split()[-1])


@case("as often as asked and no more; the end of each is in the history; waited for is the last one")
def _():
    with d.connect() as v:
        replies = list(v.call_more("Submit", argv=["sh", "-c", "echo $CTX_ATTEMPT; exit 3"], retries=2, backoff_usec=1000))
    is_([r["job"]["attempt"] for r in replies], [1, 3], "two replies, the second with the last attempt")
    job = replies[-1]["job"]
    is_((job["state"], job["exit_code"], job["retries"], job["retried"], job["backoff_usec"], job["waiting_for"]),
        ("failed", 3, 2, 2, 1000, None))
    is_(edges(job["id"]), [(1, None, "running"), (1, "running", "failed"), (2, "failed", "queued"), (2, "queued", "running"),
                           (2, "running", "failed"), (3, "failed", "queued"), (3, "queued", "running"), (3, "running", "failed")])
    like(d.call("Events", id=job["id"])["events"][5]["cause"], "to be retried by itself after 2ms")
    is_(d.output(job["id"]), b"3\n")
    is_(d.call("Stats")["jobs"]["failed"], 1)


@case("one that succeeds is not retried; ctxctl waits, and run shows all attempts and exits as the last")
def _():
    r = d.ctl("submit", "--retries", 5, "--backoff", "1ms", "--wait", "--", "sh", "-c", "[ $CTX_ATTEMPT = 3 ]")
    is_(r.code, 0)
    job = d.job(int(r.out))
    is_((job["attempt"], job["state"], job["retried"]), (3, "succeeded", 2))
    # The first attempt lasts until its output was seen: output is shown from where one comes in, and that is the newest attempt.
    seen = os.path.join(d.dir, "seen")
    p = d.ctl_bg("run", "--retries", 1, "--backoff", "1ms", "--", "sh", "-c",
                 f"echo attempt $CTX_ATTEMPT; until [ -e {seen} ]; do sleep 0.02; done; exit 4$CTX_ATTEMPT")
    is_(p.stdout.readline(), b"attempt 1\n")
    open(seen, "w", encoding="ascii").close()
    rest = p.communicate(timeout=60)[0]
    is_((p.returncode, rest), (42, b"attempt 2\n"))
    r = d.ctl("submit", "--retries", 1, "--backoff", "1ms", "--follow", "--", "sh", "-c", "echo attempt $CTX_ATTEMPT")
    is_(r.code, 0)
    like(r.out + r.err, "attempt 1")
    unlike(r.out, "attempt 2")


@case("it waits queued, in nobody's way, and starts when its time has come; or at once when asked")
def _():
    id = d.submit("false", retries=1, backoff_usec=HOUR, **{"class": "one"})["id"]
    job = waiting(id)
    is_((job["state"], job["attempt"], job["retried"], job["exit_code"]), ("queued", 2, 1, None))
    left = until(job) - seconds(d.call("Events", id=id)["events"][-1]["at"])
    ok(3590 < left < 3610, f"an hour: {left}")
    other = d.submit("true", **{"class": "one"})["id"]
    is_(d.wait_end(other)["state"], "succeeded", "another of its class goes ahead")
    like(d.ctl_ok("status", id), "backoff until")
    is_(d.job(id)["attempt"], 2)
    d.restart()
    is_(d.job(id)["waiting_for"], job["waiting_for"], "after a restart it still waits")
    is_(d.call("Retry", id=id)["job"]["waiting_for"], None)
    end = d.wait_end(id)
    is_((end["state"], end["attempt"]), ("failed", 2))
    is_([(e["cause"], e["by"]) for e in d.call("Events", id=id)["events"] if e["from"] == e["to"]],
        [("retried now", os.getuid())])


@case("the wait doubles each time, up to an hour")
def _():
    id = d.submit("false", retries=1000, backoff_usec=1000 * S)["id"]
    waits = []
    for n in range(4):
        job = wait_until(lambda: (lambda j: j if j["retried"] == n + 1 and j["waiting_for"] else None)(d.job(id)), "the next wait")
        last = [e for e in d.call("Events", id=id)["events"] if e["to"] == "queued" and e["from"] == "failed"][-1]
        waits.append(round((until(job) - seconds(last["at"])) / 100))
        d.call("Retry", id=id)
    is_(waits, [10, 20, 36, 36], "hundreds of seconds")
    wait_until(lambda: d.job(id)["retried"] == 5, "the fifth")
    d.cancel(id)
    is_(d.wait_end(id)["state"], "canceled", "cancelled while it waits: that is the end")


@case("a wait that the clock has left behind, or was set back from, is over")
def _():
    past, far = (d.submit("false", retries=1, backoff_usec=HOUR)["id"] for _ in range(2))
    for id in (past, far):
        waiting(id)
    d.stop()
    db = sqlite3.connect(d.db)
    db.execute("UPDATE job SET not_before = not_before - 7200000000 WHERE id = ?", (past,))
    db.execute("UPDATE job SET not_before = not_before + 7200000000 WHERE id = ?", (far,))
    db.commit()
    db.close()
    d.start()
    for id in (past, far):
        is_(d.wait_end(id)["attempt"], 2)


@case("cancelled while it runs, past its deadline, or stopped for want of a sign of life: never retried")
def _():
    ids = [d.submit("sleep", "1000", retries=9, backoff_usec=1000)["id"] for _ in range(2)]
    for id in ids:
        d.wait_started(id)
    d.cancel(ids[0])
    d.cancel(ids[1], now=True)
    ids.append(d.submit("sleep", "1000", retries=9, backoff_usec=1000, timeout_usec=100000)["id"])
    ids.append(d.submit("sleep", "1000", retries=9, backoff_usec=1000, watchdog_usec=100000)["id"])
    # It fails of its own accord, when it is being stopped.
    trap = d.submit(sh="trap 'exit 7' TERM; echo on; while :; do sleep 0.1; done", retries=9, backoff_usec=1000)["id"]
    wait_until(lambda: d.output(trap) == b"on\n", "its trap")
    d.cancel(trap)
    ends = [d.wait_end(id) for id in (*ids, trap)]
    is_([(j["state"], j["attempt"]) for j in ends], [("canceled", 1), ("canceled", 1), ("deadline_exceeded", 1),
                                                     ("canceled", 1), ("canceled", 1)])


@case("a cancel that is committed counts, also when ctxd dies before it is sent")
def _():
    id = d.submit(sh="trap 'exit 7' TERM; echo on; while :; do sleep 0.1; done", retries=9, backoff_usec=1000)["id"]
    wait_until(lambda: d.output(id) == b"on\n", "its trap")
    monitor = d.monitor_pid(id)
    os.kill(monitor, signal.SIGSTOP)
    d.cancel(id)
    d.kill9()
    os.kill(monitor, signal.SIGCONT)
    d.start()
    job = d.wait_end(id)
    is_((job["state"], job["attempt"]), ("canceled", 1))


@case("never past an absolute or an inherited deadline; a timeout counts for each attempt")
def _():
    import datetime

    soon = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=30)).isoformat()
    id = d.submit("false", retries=3, backoff_usec=HOUR, deadline_at=soon)["id"]
    job = d.wait_end(id)
    is_((job["state"], job["attempt"]), ("failed", 1))
    d.wait_log(f"job={id} is not retried: it cannot be retried: the deadline that was asked for it has passed")
    parent = d.call("Scope", timeout_usec=1800 * S)["job"]["id"]
    id = d.submit("false", retries=3, backoff_usec=HOUR, parent=parent, inherit=["deadline"])["id"]
    is_(d.wait_end(id)["attempt"], 1)
    # Its deadline comes while it waits.
    id = d.submit("false", retries=20, backoff_usec=S, deadline_at="now+3s")["id"]
    job = d.wait_end(id)
    ok(job["attempt"] <= 3, job["attempt"])
    id = d.submit("false", retries=1, backoff_usec=1000, timeout_usec=60 * S)["id"]
    job = d.wait_end(id)
    is_((job["attempt"], job["deadline_rule"]), (2, "requested"))
    began = [e for e in d.call("Events", id=id)["events"] if (e["attempt"], e["to"]) == (2, "running")][0]["at"]
    ok(59 < seconds_between(began, job["deadline_at"]) < 61, "from when it was to start; it does so later")


@case("for what is attached to it, each attempt is the end")
def _():
    gate = fifo(d, "gate")
    id = d.submit(sh=f"[ $CTX_ATTEMPT = 1 ] || exit 0; read x <{gate}; exit 1", retries=1, backoff_usec=1000)["id"]
    d.wait_started(id)
    child = d.submit("sleep", "1000", parent=id, inherit=["cancel"])["id"]
    loose = d.submit("sleep", "1000", parent=id)["id"]
    d.wait_started(child)
    go(gate)
    job = d.wait_end(child)
    is_((job["state"], job["cause_code"], job["cause"]), ("canceled", "parent", f"parent {id} ended: failed"))
    is_(d.wait_end(id)["state"], "succeeded")
    is_(d.job(loose)["state"], "running")
    d.cancel(loose, now=True)
    # Attached itself: when its parent ends it is not retried any more.
    scope = d.call("Scope")["job"]["id"]
    id = d.submit("false", retries=5, backoff_usec=HOUR, parent=scope, inherit=["cancel"])["id"]
    waiting(id)
    d.call("Close", id=scope)
    is_((d.wait_end(id)["state"], d.job(id)["attempt"]), ("canceled", 2))


@case("interrupted: held for a person, unless the class says otherwise")
def _():
    id = d.submit("sleep", "1000", retries=5, backoff_usec=1000, **{"class": "hold"})["id"]
    kill_monitor(id)
    job = d.wait_end(id)
    is_((job["state"], job["attempt"], job["half_processed"]), ("interrupted", 1, True), "retries are for failures")
    id = d.submit("sleep", "1000", retries=1, backoff_usec=HOUR, **{"class": "again"})["id"]
    kill_monitor(id)
    like(waiting(id)["waiting_for"], "backoff")
    d.call("Retry", id=id)
    kill_monitor(id, 2)
    job = d.wait_end(id)
    is_((job["state"], job["attempt"], job["half_processed"]), ("interrupted", 2, True), "max_attempts = 2")
    is_(d.call("Stats")["half_processed"], 2)
    is_(d.call("Retry", id=id)["job"]["retried"], 0, "a person begins anew")
    d.wait_started(id)
    d.cancel(id, now=True)
    d.wait_end(id)


@case("interrupted while it was being stopped, or by the end of the machine")
def _():
    id = d.submit(sh="trap '' TERM; echo on; while :; do sleep 0.1; done", grace_usec=600 * S, **{"class": "again"})["id"]
    wait_until(lambda: d.output(id) == b"on\n", "its trap")
    monitor = d.monitor_pid(id)
    d.cancel(id)
    wait_until(lambda: d.job(id)["state"] == "stopping", "stopping")
    os.kill(monitor, signal.SIGKILL)
    job = d.wait_end(id)
    is_((job["state"], job["attempt"]), ("interrupted", 1))
    id = d.submit(sh="[ $CTX_ATTEMPT = 2 ] || exec sleep 1000", **{"class": "again"})["id"]
    d.wait_started(id)
    d.stop()
    db = sqlite3.connect(d.db)
    db.execute("UPDATE job SET boot = x'00112233445566778899aabbccddeeff' WHERE id = ?", (id,))
    db.commit()
    db.close()
    for pid in [*d.shims(), *d.job_pids(id)]:
        with contextlib.suppress(ProcessLookupError):  # the job goes with its monitor
            os.kill(pid, signal.SIGKILL)
    d.start()
    is_(d.wait_end(id)["attempt"], 2)
    is_([(e["to"], e["cause_code"]) for e in d.call("Events", id=id)["events"]][1], ("interrupted", "reboot"))


@case("what the class allows is said; what makes no sense is refused; who waits counts in the queue")
def _():
    got = d.call("Submit", argv=["false"], retries=9, backoff_usec=1000, **{"class": "few"})
    is_(got["notices"], ["retries: asked 9, granted 2 (max_attempts of the class)"])
    is_(d.wait_end(got["job"]["id"])["attempt"], 3)
    for kw, field in (({"retries": -1}, "retries"), ({"retries": 1001}, "retries"), ({"backoff_usec": S}, "backoff_usec"),
                      ({"retries": 1, "backoff_usec": 0}, "backoff_usec"), ({"retries": 1, "backoff_usec": HOUR + 1}, "backoff_usec"),
                      ({"retries": 1, "backoff_usec": 1}, "backoff_usec")):
        is_(refused(d.call, "InvalidArgument", "Submit", argv=["true"], **kw)["field"], field, str(kw))
    is_(d.ctl("submit", "--backoff", "1s", "--", "true").code, 2)
    ids = [d.submit("false", retries=1, backoff_usec=HOUR)["id"] for _ in range(20)]
    for id in ids:
        waiting(id)
    d.submit("true")  # starts at once
    hogs = [d.submit("sleep", "1000", **{"class": "one"})["id"]]
    is_(refused(d.call, "QueueFull", "Submit", argv=["true"], **{"class": "one"})["limit"], 20)
    for id in (*ids, *hogs):
        d.cancel(id, now=True)


@case("bound to its client it ends with that, also while it waits")
def _():
    v = d.connect()
    it = v.call_more("Submit", argv=["false"], retries=1, backoff_usec=HOUR, inherit=["cancel"])
    id = next(it)["job"]["id"]
    waiting(id)
    v.close()
    job = d.wait_end(id)
    is_((job["state"], job["cause_code"], job["attempt"]), ("canceled", "client_gone", 2))


main()
