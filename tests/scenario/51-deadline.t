#!/usr/bin/python3
"""Deadlines: every rule, what is asked and granted, extending, and that they hold across reloads and deaths."""
import datetime
import os
import signal
import sqlite3
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from apitest import *  # noqa: E402,F403
from ctxtest import proc_stat  # noqa: E402

CONF = """[limits]
running = {running}
[deadline]
timeout = {timeout}
max_timeout = {most}
grace = 400ms
[class short]
timeout = 20m
max_timeout = 30m
[class long]
max_timeout = 100h
[class defaultless]
max_timeout = 5m
[class even]
max_timeout = 2h
"""
INT_MAX = 2**63 - 1
MIN, HOUR = 60 * S, 3600 * S


def conf(running=64, timeout="10m", most="2h"):
    return CONF.format(running=running, timeout=timeout, most=most)


d = ApiDaemon(conf=conf())


def reload(**kw):
    d.configure(conf(**kw))
    return d.call("Reload")["changes"]


def running(**params):
    return d.submit("sleep", "1000", **params)


def end(*ids):
    for i in ids:
        d.cancel(i, now=True)
    for i in ids:
        d.wait_end(i)


def rules(want, asked=None, **params):
    """Submit with PARAMS: WANT is (granted, rule)."""
    got = d.call("Submit", argv=["sleep", "1000"], **params)
    j = got["job"]
    is_((j["timeout_usec"], j["deadline_rule"]), want, str(params))
    is_(j["timeout_requested_usec"], asked, str(params))
    span = seconds_between(j["started_at"], j["deadline_at"])
    ok(abs(span - want[0] / S) < 0.01, f"{params}: {span} s from its start to the deadline")
    end(j["id"])
    return j, got["notices"]


def when(seconds):
    """RFC 3339 of the time in so many SECONDS."""
    t = datetime.datetime.fromtimestamp(time.time() + seconds, datetime.timezone.utc)
    return t.isoformat(timespec="microseconds").replace("+00:00", "Z")


def usec(seconds):
    return int(seconds * S)


def epoch(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


STUBBORN = "trap '' TERM; echo; while :; do sleep 1; done"


def stubborn(**params):
    """A job that ignores TERM, or None if it came too late to that."""
    j = d.submit(sh=STUBBORN, **params)
    wait_until(lambda: d.output(j["id"]) or d.job(j["id"])["state"] != "running", "it to ignore TERM")
    if d.job(j["id"])["state"] == "running":
        return j
    end(j["id"])
    return None


# Granting -------------------------------------------------------------------------------------------------------------


@case("default, requested, class_default")
def _():
    rules((10 * MIN, "default"))
    rules((10 * MIN, "default"), **{"class": "default"})
    rules((MIN, "requested"), MIN, timeout_usec=MIN)
    rules((2 * HOUR, "requested"), 2 * HOUR, timeout_usec=2 * HOUR)
    rules((20 * MIN, "class_default"), **{"class": "short"})
    rules((25 * MIN, "requested"), 25 * MIN, timeout_usec=25 * MIN, **{"class": "short"})


@case("class_max and global_max: what was asked is kept beside what was granted, and said")
def _():
    _, notices = rules((2 * HOUR, "global_max"), 3 * HOUR, timeout_usec=3 * HOUR)
    is_(len(notices), 1)
    like(notices[0], r"timeout.*3h.*2h.*global_max")
    _, notices = rules((30 * MIN, "class_max"), 1 * HOUR, timeout_usec=1 * HOUR, **{"class": "short"})
    like(notices[0], r"timeout.*1h.*30m.*class_max")
    rules((10 * MIN, "default"), **{"class": "long"})
    rules((2 * HOUR, "global_max"), 50 * HOUR, timeout_usec=50 * HOUR, **{"class": "long"})
    rules((5 * MIN, "class_max"), **{"class": "defaultless"})  # the common default is over its maximum
    rules((2 * HOUR, "class_max"), 5 * HOUR, timeout_usec=5 * HOUR, **{"class": "even"})


@case("a warning that would come before the start: it is given at once, and that is said")
def _():
    for warn, params, said in ((HOUR, {"timeout_usec": MIN}, True), (MIN, {"timeout_usec": MIN}, True), (MIN, {"timeout_usec": MIN + 1}, False),
                               (HOUR, {"deadline_at": when(60)}, True), (9 * MIN, {}, False), (11 * MIN, {}, True)):
        got = d.call("Submit", argv=["sleep", "1000"], warn_usec=warn, **params)
        is_([n for n in got["notices"] if n.startswith("warn: ")] != [], said, f"{warn} {params}")
        j = d.wait_end(got["job"]["id"]) if said else None  # nobody handles it
        if j:
            is_((j["state"], j["cause"]), ("failed", "killed by signal 10 (USR1)"))
        else:
            end(got["job"]["id"])
    r = d.ctl("submit", "--warn", "1h", "-t", "1m", "sleep", "1000")
    like(r.err, "warn: 1h before the deadline is before the start: the warning is given as soon as the job starts")
    d.wait_end(int(r.out))


@case("`max` is the maximum, and no surprise")
def _():
    _, notices = rules((2 * HOUR, "global_max"), INT_MAX, timeout_usec=INT_MAX)
    is_(notices, [])
    rules((30 * MIN, "class_max"), INT_MAX, timeout_usec=INT_MAX, **{"class": "short"})
    r = d.ctl("submit", "-t", "max", "sleep", "1000")
    is_((r.code, r.err), (0, ""))
    j = d.job(int(r.out))
    is_((j["timeout_usec"], j["deadline_rule"]), (2 * HOUR, "global_max"))
    end(j["id"])


@case("absolute: the earlier of both, exactly as asked")
def _():
    at = when(500.123456)
    j = running(deadline_at=at)
    is_((j["deadline_at"], j["deadline_rule"]), (at, "absolute"))
    ok(400 * S < j["timeout_usec"] <= 500123456, str(j["timeout_usec"]))
    end(j["id"])
    j = running(deadline_at=when(100), timeout_usec=50 * S)
    is_((j["timeout_usec"], j["deadline_rule"]), (50 * S, "requested"))
    end(j["id"])
    j = running(deadline_at=when(50), timeout_usec=100 * S)
    is_(j["deadline_rule"], "absolute")
    is_(j["timeout_requested_usec"], 100 * S)
    end(j["id"])
    j = running(deadline_at=when(86400))
    is_((j["timeout_usec"], j["deadline_rule"]), (10 * MIN, "default"), "an absolute one that is later than the default")
    end(j["id"])
    j = running(deadline_at=when(86400), timeout_usec=INT_MAX)
    is_((j["timeout_usec"], j["deadline_rule"]), (2 * HOUR, "global_max"))
    end(j["id"])
    for text in ("now+2m", "@%d" % (time.time() + 120), "2m"):
        try:
            asked = time.time()
            j = running(deadline_at=text)
            is_(j["deadline_rule"], "absolute", text)
            if text[0] == "@":
                is_(epoch(j["deadline_at"]), float(text[1:]))
            else:
                ok(asked + 119.999 <= epoch(j["deadline_at"]) <= time.time() + 120.001, f"{text} at {asked}: {j['deadline_at']}")
            end(j["id"])
        except VarlinkError as e:
            is_((text, e.params.get("field")), ("2m", "deadline_at"), "a span is no time")


@case("CTX_DEADLINE and CTX_DEADLINE_EPOCH are the record's deadline")
def _():
    for params in ({}, {"timeout_usec": 12345678}, {"deadline_at": when(77.5)}, {"class": "short", "timeout_usec": INT_MAX}):
        j = d.submit(sh='echo "$CTX_DEADLINE $CTX_DEADLINE_EPOCH"', **params)
        j = d.wait_end(j["id"])
        text, epoch = d.output(j["id"]).decode().split()
        is_(text, j["deadline_at"], str(params))
        at = datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
        is_(int(epoch), int(at), str(params))


@case("it is granted at the start: what queues has none yet, and gets what the configuration says then")
def _():
    reload(running=1)
    first = running()
    j = running()
    is_((j["state"], j["deadline_at"], j["timeout_usec"], j["deadline_rule"]), ("queued", None, 10 * MIN, "default"))
    k = running(timeout_usec=90 * MIN, **{"class": "default"})
    is_((k["timeout_usec"], k["deadline_rule"]), (90 * MIN, "requested"))
    before = d.job(first["id"])
    is_(sorted(c["key"] for c in reload(running=64, timeout="7m", most="1h")), ["max_timeout", "running", "timeout"])
    j = d.wait_started(j["id"])
    is_((j["timeout_usec"], j["deadline_rule"]), (7 * MIN, "default"))
    k = d.wait_started(k["id"])
    is_((k["timeout_usec"], k["deadline_rule"], k["timeout_requested_usec"]), (60 * MIN, "global_max", 90 * MIN))
    after = d.job(first["id"])
    is_((after["deadline_at"], after["timeout_usec"]), (before["deadline_at"], before["timeout_usec"]), "what runs is left alone")
    end(first["id"], j["id"], k["id"])
    reload()


@case("a timeout counts from the start, an absolute deadline does not")
def _():
    reload(running=1)

    def waited(seconds):
        """One that waited for longer than it may run, and ran in time."""
        first, j = running(), d.submit("true", timeout_usec=usec(seconds))
        asked = time.time()
        wait_until(lambda: time.time() > asked + seconds + 0.1, "its timeout to have passed if it counted from here")
        end(first["id"])
        return d.wait_end(j["id"])["state"] == "succeeded"

    in_time(waited, (1, 10, 45))

    def began(seconds):
        """One with an absolute deadline that began before that."""
        first, k = running(), d.submit("sleep", "1000", deadline_at=when(seconds))
        is_(k["state"], "queued")
        end(first["id"])
        k = d.wait_end(k["id"])
        return k if k["started_at"] else None

    k = in_time(began, (2, 10, 45))
    is_((k["state"], k["deadline_rule"]), ("deadline_exceeded", "absolute"))
    ok(-0.1 < seconds_between(k["deadline_at"], k["ended_at"]), f"{k['deadline_at']} {k['ended_at']}")
    reload()


# Meeting it -----------------------------------------------------------------------------------------------------------


@case("TERM comes at the deadline: not before, and not much later")
def _():
    mark = os.path.join(d.dir, "term")

    def build(seconds):
        """One that waited for TERM, and had it when it was due: the machine may have stalled, but not each time."""
        j = d.submit("python3", "-c", "import signal, sys, time\nf = open(sys.argv[1], 'w')\ndef term(*a):\n  f.write(repr(time.time()))\n"
                     "  sys.exit(5)\nsignal.signal(15, term)\nwhile True: signal.pause()", mark, timeout_usec=seconds * S)
        j = d.wait_end(j["id"])
        is_((j["state"], j["err"], j["cause_code"]), ("deadline_exceeded", "context deadline exceeded", "deadline"))
        like(j["cause"], rf"after {seconds}s|after {seconds - 1}s999")
        if j["exit_code"] != 5:
            is_(j["signal"], 15)
            return None
        late = float(read_file(mark)) - epoch(j["deadline_at"])
        diag(f"TERM {late * 1000:.1f} ms after the deadline")
        ok(-0.05 <= late, f"{late} s late")
        return late < 1.5

    in_time(build, (2, 10, 45))


@case("a job that ends in time has no more to do with its deadline")
def _():
    def build(seconds):
        j = d.wait_end(d.submit("true", timeout_usec=usec(seconds))["id"])
        return j if j["state"] == "succeeded" else None

    j = in_time(build, (0.3, 5, 30))
    is_((j["state"], j["err"], j["cause"]), ("succeeded", None, None))
    one = d.submit("sleep", "1000", timeout_usec=j["timeout_usec"] + 600000)
    is_(d.wait_end(one["id"])["state"], "deadline_exceeded")
    is_(d.job(j["id"]), j, "past it, the record is the same")


@case("every edge on the way is on record")
def _():
    def build(seconds):
        """One that is seen between its deadline and its end."""
        j = stubborn(timeout_usec=usec(seconds), grace_usec=usec(seconds))
        if j:
            wait_until(lambda: d.job(j["id"])["state"] != "running", "its deadline")
            j = d.job(j["id"])
        return j if j and j["state"] == "stopping" else None

    j = in_time(build, (1, 5, 30))
    is_((j["cause_code"], j["err"] in (None, "context deadline exceeded"), j["ended_at"]), ("deadline", True, None))
    j = d.wait_end(j["id"])
    is_((j["state"], j["signal"]), ("deadline_exceeded", 9))
    rows = d.sql(f"SELECT from_state, to_state, cause_code, by_uid FROM job_history WHERE job = {j['id']}")
    is_(rows, [(None, "running", None, os.getuid()), ("running", "stopping", "deadline", None),
               ("stopping", "deadline_exceeded", rows[-1][2], None)])
    ok(rows[-1][2] in (None, "deadline"))


@case("canceled while its deadline stops it: deadline_exceeded; and the other way round: canceled")
def _():
    j = in_time(lambda seconds: stubborn(timeout_usec=seconds * S, grace_usec=3600 * S), (1, 10, 45))
    d.wait_state(j["id"], "stopping")
    is_(d.cancel(j["id"], cause="too late")["state"], "stopping")
    d.cancel(j["id"], cause="now", now=True)
    j = d.wait_end(j["id"])
    is_((j["state"], j["cause_code"], j["err"]), ("deadline_exceeded", "deadline", "context deadline exceeded"))
    unlike(j["cause"], "too late|now")

    def build(seconds):
        """One that was canceled before its deadline, and may go on past that."""
        j = stubborn(timeout_usec=seconds * S, grace_usec=seconds * S + 500000)
        if j:
            j = d.cancel(j["id"], cause="enough")
            j = j if j["cause_code"] == "requested" else end(j["id"])
        return j

    j = in_time(build, (2, 10, 45))
    j = d.wait_end(j["id"])
    is_((j["state"], j["cause_code"], j["err"], j["cause"]), ("canceled", "requested", "context canceled", "enough"))
    ok(j["ended_at"] > j["deadline_at"], "its deadline had passed meanwhile")


@case("at once: a thousandth of a second, and a hundred together")
def _():
    ids = [d.submit("sleep", "1000", timeout_usec=1000 + 500 * i)["id"] for i in range(100)]
    for i in ids:
        j = d.wait_end(i)
        is_(j["state"], "deadline_exceeded")
        ok(j["ended_at"] >= j["deadline_at"], "not before it")
    alive = d.jobs_pids()
    is_([i for i in ids if alive.get(i)], [])


# Extending ------------------------------------------------------------------------------------------------------------


@case("by: the deadline moves by that, the rule says so")
def _():
    j = running(timeout_usec=MIN)
    k = d.extend(j["id"], by_usec=MIN)
    is_(seconds_between(j["deadline_at"], k["deadline_at"]), 60.0)
    is_((k["deadline_rule"], k["timeout_requested_usec"]), ("extended", MIN))
    ok(abs(k["timeout_usec"] - 2 * MIN) < S, f"granted now: {k['timeout_usec']}")
    k = d.extend(j["id"], by_usec=1)
    is_(round(seconds_between(j["deadline_at"], k["deadline_at"]) * S), MIN + 1)
    is_(d.job(j["id"])["deadline_at"], k["deadline_at"])
    end(j["id"])


@case("to: a time, within what is allowed")
def _():
    j = running(timeout_usec=MIN)
    at = when(300)
    k = d.extend(j["id"], to=at)
    ok(abs(seconds_between(at, k["deadline_at"])) < 1, f"asked for {at}, got {k['deadline_at']}")
    asked = time.time()
    k = d.extend(j["id"], to="now+10m")
    ok(asked + 599 < epoch(k["deadline_at"]) < time.time() + 601, f"asked for it at {asked}, got {k['deadline_at']}")
    end(j["id"])


@case("never past the maximum: of the configuration, of the class, and then no more")
def _():
    for params, most in (({}, 2 * HOUR), ({"class": "short"}, 30 * MIN), ({"class": "long"}, 2 * HOUR)):
        j = running(timeout_usec=MIN, **params)
        for by in ({"by_usec": 50 * HOUR}, {"to": when(50 * 3600)}):
            e = refused(d.extend, "InvalidArgument", j["id"], **by) if "to" in by else d.extend(j["id"], **by)
        span = seconds_between(j["started_at"], d.job(j["id"])["deadline_at"])
        ok(most / S - 0.1 < span < most / S + 0.1, f"{params}: {span} s from the start")
        is_(e["field"], "to")
        is_(refused(d.extend, "InvalidArgument", j["id"], by_usec=1)["field"], "by_usec", "it is at its maximum")
        end(j["id"])
    # A job that was granted the maximum cannot be extended at all; one with an earlier absolute deadline can.
    j = running(timeout_usec=INT_MAX)
    like(refused(d.extend, "InvalidArgument", j["id"], by_usec=S)["reason"], "maximum")
    k = running(deadline_at=when(60))
    is_(d.extend(k["id"], by_usec=MIN)["deadline_rule"], "extended")
    end(j["id"], k["id"])


@case("not earlier, not nothing, not both, not after the end, not before the start, not while it stops")
def _():
    j = running(timeout_usec=10 * MIN)
    for params in ({}, {"by_usec": S, "to": when(1000)}, {"by_usec": 0}, {"by_usec": -S}, {"to": when(30)}, {"to": j["deadline_at"]},
                   {"to": "now+20s"}, {"to": when(-5)}, {"to": "junk"}, {"to": ""}):
        refused(d.extend, "InvalidArgument", j["id"], **params)
    is_(d.job(j["id"])["deadline_at"], j["deadline_at"])
    reload(running=1)
    k = running()
    is_(k["state"], "queued")
    like(refused(d.extend, "InvalidArgument", k["id"], by_usec=S)["reason"], "queued")
    end(k["id"])
    is_(refused(d.extend, "AlreadyEnded", k["id"], by_usec=S), {"id": k["id"], "state": "canceled"})
    end(j["id"])
    is_(refused(d.extend, "AlreadyEnded", j["id"], to=when(500)), {"id": j["id"], "state": "canceled"})
    j = need(stubborn(grace_usec=3600 * S), "one that runs")
    d.cancel(j["id"])
    like(refused(d.extend, "InvalidArgument", j["id"], by_usec=S)["reason"], "stopp")
    end(j["id"])
    is_([d.ctl("extend", "--by", "1m", i).code for i in (j["id"], 10**9)], [1, 3])
    reload()


@case("an extension is kept: the job goes on past its first deadline, and is stopped at the second")
def _():
    gate = fifo(d, "g1")

    def build(seconds):
        """Two that were extended before their deadlines."""
        j = d.submit(sh=f"read x <{gate}; echo done", timeout_usec=usec(seconds))
        k = d.submit(sh="while :; do sleep 0.1; done", timeout_usec=usec(seconds))
        try:
            d.extend(j["id"], by_usec=10 * MIN)
            return j, d.extend(k["id"], by_usec=usec(seconds))
        except VarlinkError:
            return end(j["id"], k["id"])

    j, k = in_time(build, (0.8, 5, 30))
    k = d.wait_end(k["id"])
    is_((k["state"], k["deadline_rule"]), ("deadline_exceeded", "extended"))
    like(k["cause"], "extended")
    ok(k["ended_at"] >= k["deadline_at"])
    is_(d.job(j["id"])["state"], "running", "past its first one")
    go(gate)
    is_(d.wait_end(j["id"])["state"], "succeeded")


@case("an extension survives kill -9 of ctxd, before and after the monitor has heard of it")
def _():
    gates = fifo(d, "g2"), fifo(d, "g3")

    def build(seconds):
        """Two that were extended, and heard of it before their first deadlines."""
        j = d.submit(sh=f"read x <{gates[0]}; echo done", timeout_usec=usec(seconds))
        k = d.submit(sh=f"read x <{gates[1]}; echo done", timeout_usec=usec(2 * seconds))
        other = running(timeout_usec=usec(2 * seconds) + 100000)
        d.wait_started(k["id"])
        try:
            want = d.extend(j["id"], by_usec=10 * MIN)["deadline_at"]
        except VarlinkError:
            return end(j["id"], k["id"], other["id"])
        d.kill9()
        # The second one's was committed and never told.
        db = sqlite3.connect(d.db)
        db.execute("UPDATE job SET deadline = deadline + 600000000, timeout = timeout + 600000000, deadline_rule = "
                   "(SELECT deadline_rule FROM job WHERE id = ?), deadline_boot_ns = deadline_boot_ns + 600000000000 WHERE id = ?",
                   (j["id"], k["id"]))
        db.commit()
        db.close()
        d.start()
        d.wait_started(k["id"])
        if time.time() < epoch(k["deadline_at"]) - seconds / 2:  # the monitor hears of it in that time, or sleeps
            return j, k, other, want
        return end(j["id"], k["id"], other["id"])

    j, k, other, want = in_time(build, (2, 10, 30))
    is_(d.job(j["id"])["deadline_at"], want)
    is_(d.job(k["id"])["deadline_rule"], "extended")
    is_(d.wait_end(other["id"])["state"], "deadline_exceeded", "one that was not extended")
    is_([d.job(i["id"])["state"] for i in (j, k)], ["running"] * 2)
    for gate in gates:
        go(gate)
    is_([d.wait_end(i["id"])["state"] for i in (j, k)], ["succeeded"] * 2)


@case("extending races with the deadline: in time, or refused, or the record says that it came too late")
def _():
    seen = {"in time": 0, "refused": 0, "too late": 0}
    for n in range(120):
        j = d.submit("sleep", "1000", timeout_usec=1000 + 100 * n)
        try:
            k = d.extend(j["id"], by_usec=MIN)
            is_(k["deadline_rule"], "extended")
        except VarlinkError as e:
            ok(e.short in ("AlreadyEnded", "InvalidArgument"), str(e))
            k = d.wait_end(j["id"])
            is_((k["state"], k["deadline_rule"], k["deadline_at"]), ("deadline_exceeded", "requested", j["deadline_at"]))
            seen["refused"] += 1
            continue
        d.cancel(j["id"], now=True)
        k = d.wait_end(j["id"])
        seen["in time" if k["state"] == "canceled" else "too late"] += 1
        if k["state"] != "canceled":
            is_(k["state"], "deadline_exceeded")
            like(k["cause"], "before the extension")
    diag(str(seen))


@case("a stopped monitor that wakes up late stops its job then")
def _():
    def build(seconds):
        """A job whose monitor was stopped before the deadline."""
        j = d.submit("sleep", "1000", timeout_usec=usec(seconds))
        mon = proc_stat(d.wait_started(j["id"])["pid"])
        if mon and d.job(j["id"])["state"] == "running":
            os.kill(mon[1], signal.SIGSTOP)
            wait_until(lambda: proc_state(mon[1]) != "S" and proc_state(mon[1]) != "R", "it to be stopped")
            if proc_state(mon[1]) == "T" and time.time() < epoch(j["deadline_at"]):
                return j, mon[1]
            os.kill(mon[1], signal.SIGCONT)
        return end(j["id"])

    j, mon = in_time(build, (0.6, 3, 20))
    one = d.submit("sleep", "1000", timeout_usec=j["timeout_usec"] + 300000)
    is_(d.wait_end(one["id"])["state"], "deadline_exceeded")
    is_(d.job(j["id"])["state"], "running")
    os.kill(mon, signal.SIGCONT)
    is_(d.wait_end(j["id"])["state"], "deadline_exceeded")


main()
