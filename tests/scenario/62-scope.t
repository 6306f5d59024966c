#!/usr/bin/python3
"""Scopes: contexts without a command, opened, closed, cancelled, past their deadline; across restarts and reboots."""
import os
import sqlite3
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from apitest import *  # noqa: E402,F403

ALL = ["values", "trace", "deadline", "cancel"]
OVER = ("succeeded", "failed", "canceled", "deadline_exceeded", "interrupted", "closed")
CONF = """[limits]
running = 50
queued = {queued}
[deadline]
max_timeout = {most}
grace = 500ms
[class short]
max_timeout = 50s
"""
d = ApiDaemon(conf=CONF.format(queued=1000, most="1h"))


def scope(**kw):
    return d.call("Scope", **kw)["job"]


def close(id, **kw):
    return d.call("Close", id=id, **kw)


def below(parent, **kw):
    return d.submit("sleep", "1000", parent=parent, inherit=ALL, **kw)["id"]


def wait_over(id):
    return wait_until(lambda: (lambda j: j if j["state"] in OVER else None)(d.job(id)), f"context {id} to be over")


def end_of(job):
    return job["state"], job["err"], job["cause_code"], job["cause"]


@case("a scope is open, has no command, values and a deadline; as long as is allowed")
def _():
    r = d.call("Scope", name="nightly", values={"k": "v"})
    s = r["job"]
    is_(r["notices"], [])
    is_((s["kind"], s["state"], s["name"], s["class"], s["argv"], s["pid"]), ("scope", "open", "nightly", "default", [], None))
    is_((s["values"], s["err"], s["cause"], s["ended_at"], s["attempt"]), ({"k": "v"}, None, None, None, 1))
    is_((s["timeout_usec"], s["timeout_requested_usec"], s["deadline_rule"]), (3600 * S, None, "global_max"))
    is_(round(seconds_between(s["started_at"], s["deadline_at"])), 3600)
    like(s["traceparent"], "^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$")
    is_(d.job(s["id"]), s)
    is_(d.call("Stats")["jobs"]["open"], 1)
    is_(d.call("Stats")["jobs"]["queued"] + d.call("Stats")["jobs"]["running"], 0, "it is neither queued nor running")
    close(s["id"])
    is_(d.call("Stats")["jobs"]["open"], 0)


@case("its deadline: asked, clamped, absolute, by class, inherited")
def _():
    is_([scope(timeout_usec=9 * S)[k] for k in ("timeout_usec", "deadline_rule")], [9 * S, "requested"])
    r = d.call("Scope", timeout_usec=7200 * S)
    is_((r["job"]["timeout_usec"], r["job"]["deadline_rule"]), (3600 * S, "global_max"))
    like(r["notices"][0], "asked 2h, granted 1h")
    r = d.call("Scope", timeout_usec=(1 << 63) - 1)
    is_((r["job"]["timeout_usec"], r["notices"]), (3600 * S, []))
    s = scope(**{"class": "short"})
    is_((s["timeout_usec"], s["deadline_rule"]), (50 * S, "class_max"))
    inner = scope(parent=s["id"], inherit=ALL)
    is_(inner["deadline_rule"], "inherited")
    ok(abs(seconds_between(s["deadline_at"], inner["deadline_at"])) < 0.1)
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 100))
    s = scope(deadline_at=at)
    is_((s["deadline_rule"], s["deadline_at"]), ("absolute", at.replace("Z", ".000000Z")))


@case("what is wrong is refused, as for jobs")
def _():
    is_(refused(scope, "InvalidArgument", name="a\nb")["field"], "name")
    is_(refused(scope, "InvalidArgument", **{"class": "none"})["field"], "class")
    is_(refused(scope, "InvalidArgument", timeout_usec=0)["field"], "timeout_usec")
    is_(refused(scope, "InvalidArgument", deadline_at="2001-01-01T00:00:00Z")["field"], "deadline_at")
    is_(refused(scope, "InvalidArgument", values={"1": "x"})["field"], "values")
    is_(refused(scope, "NoSuchJob", parent=99999999)["id"], 99999999)
    is_(refused(close, "NoSuchJob", 99999999)["id"], 99999999)
    is_(refused(close, "InvalidArgument", scope()["id"], cause="x" * 1025)["field"], "cause")
    j = d.submit("sleep", "1000")["id"]
    is_(refused(close, "InvalidArgument", j)["field"], "id")
    is_(d.job(j)["state"], "running", "a job is not closed")
    d.cancel(j, now=True)


@case("close: what is attached ends, what is detached goes on; who was reached is told")
def _():
    s = scope()["id"]
    inner = scope(parent=s, inherit=ALL)["id"]
    a, b = below(s), below(inner)
    loose = d.submit("sleep", "1000", parent=s)["id"]
    r = close(s, cause="that is all")
    is_(end_of(r["job"]), ("closed", "context canceled", "requested", "that is all"))
    is_(sorted(r["reached"]), sorted([inner, a, b]))
    for id in (inner, a, b):
        is_(end_of(wait_over(id)), ("canceled", "context canceled", "scope_closed", f"scope {s} closed: that is all"))
    is_(d.job(loose)["state"], "running")
    r = close(s, cause="again")
    is_((r["job"]["cause"], r["reached"]), ("that is all", []), "closing twice is harmless")
    is_(d.cancel(s, cause="and cancel")["state"], "closed")
    is_(close(inner)["job"]["state"], "canceled", "over is over")
    d.cancel(loose, now=True)


@case("close with now: what is deaf is killed; also when it was closed before")
def _():
    for first in (False, True):
        ready = os.path.join(d.dir, f"deaf{first}")
        s = scope()["id"]
        j = d.submit(sh=f"trap '' TERM; : >{ready}; while :; do sleep 0.05; done", parent=s, inherit=ALL, grace_usec=3600 * S)["id"]
        wait_until(lambda: os.path.exists(ready), "it to be deaf")
        if first:
            is_(close(s)["reached"], [j])
            is_(d.job(j)["state"], "stopping")
        is_(close(s, now=True)["reached"], [j])
        j = wait_over(j)
        is_((j["state"], j["signal"], j["cause"]), ("canceled", 9, f"scope {s} closed"))


@case("cancel: a scope is canceled, and so is what is attached")
def _():
    s = scope()["id"]
    j = below(s)
    is_(end_of(d.cancel(s, cause="no more")), ("canceled", "context canceled", "requested", "no more"))
    is_(end_of(wait_over(j)), ("canceled", "context canceled", "parent", f"parent {s} canceled: no more"))


@case("its deadline ends it and all below; those that waited for it are told")
def _():
    late = ("deadline_exceeded", "context deadline exceeded")
    with d.connect() as v:
        def waited_for(seconds):
            s = scope(timeout_usec=seconds * S)["id"]
            v.send("Wait", {"ids": [s]})
            try:
                inner = scope(parent=s, inherit=["cancel"])["id"]
                return s, inner, below(inner, values={"x": "y"})
            finally:
                got = v.receive()[0]["jobs"][0]
                is_((got["id"], *end_of(got)[:3]), (s, *late, "deadline"))
                like(got["cause"], r"^the deadline passed after (3s|15s|1m) \(rule requested\)$")

        s, inner, j = in_time(waited_for)
    for id in (inner, j):
        is_(end_of(wait_over(id)), (*late, "parent_deadline", f"parent {s} deadline exceeded"))
    is_(d.job(j)["values"], {"x": "y"})


@case("Wait for a scope ends when it is closed; one that is over is told at once")
def _():
    s = scope()["id"]
    with d.connect() as v:
        v.send("Wait", {"ids": [s]})
        close(s)
        is_(v.receive()[0]["jobs"][0]["state"], "closed")
        is_(v.call("Wait", ids=[s])["jobs"][0]["state"], "closed")


@case("a deadline that nobody asks about any more: many at once, in turn")
def _():
    ids = [scope(timeout_usec=1 * S + n * 1000)["id"] for n in range(150)]
    for id in ids:
        is_(wait_over(id)["state"], "deadline_exceeded")
    is_(set(ids) & {j["id"] for j in d.jobs(states=["open"])}, set())


@case("extend: within its maximum, and what it inherits; the timer follows")
def _():
    def extended(seconds):
        s = scope(timeout_usec=seconds * S)
        e = d.extend(s["id"], by_usec=1000 * S)
        is_((e["timeout_usec"], e["deadline_rule"]), ((seconds + 1000) * S, "extended"))
        return s, scope(timeout_usec=seconds * S + 500000)["id"]  # due after the first deadline of the other

    s, probe = in_time(extended, (2, 15, 60))
    is_(wait_over(probe)["state"], "deadline_exceeded")
    is_(d.job(s["id"])["state"], "open")
    e = d.extend(s["id"], by_usec=9000 * S)
    is_(round(e["timeout_usec"] / S), 3600)
    is_(refused(d.extend, "InvalidArgument", s["id"], by_usec=S)["field"], "by_usec")
    inner = scope(parent=s["id"], inherit=ALL, timeout_usec=50 * S)["id"]
    e = d.extend(inner, by_usec=36000 * S)
    is_(e["deadline_rule"], "inherited")
    ok(abs(seconds_between(e["deadline_at"], d.job(s["id"])["deadline_at"])) < 0.2)
    close(s["id"])
    is_(refused(d.extend, "AlreadyEnded", s["id"], by_usec=S), {"id": s["id"], "state": "closed"})


@case("not more of them than the queue holds jobs")
def _():
    for j in d.jobs(states=["open"]):
        close(j["id"])
    d.configure(CONF.format(queued=3, most="1h"))
    d.call("Reload")
    ids = [scope()["id"] for _ in range(3)]
    is_(refused(scope, "QueueFull"), {"limit": 3})
    close(ids[0])
    scope()
    d.configure(CONF.format(queued="1000\nqueued_per_user = 4", most="1h"))
    d.call("Reload")
    fourth = scope()["id"]
    r = d.ctl("scope", "create")
    is_((r.code, r.err), (7, "ctxctl: the queue is full (limit 4)\nctxctl: as many scopes may be open as jobs may wait; which are: ctxctl list --state open\n"))
    is_(refused(scope, "QueueFull"), {"limit": 4}, "nor more of one user than that may have waiting")
    close(fourth)
    scope()
    d.configure(CONF.format(queued=1000, most="1h"))
    d.call("Reload")
    for j in d.jobs(states=["open"]):
        close(j["id"])


@case("a restart keeps them open, with the same deadline; one that passed meanwhile is noticed")
def _():
    s = scope(timeout_usec=1000 * S)
    k = below(s["id"])

    def killed(seconds):
        """A scope, and what is below it, whose deadline passes after ctxd was killed."""
        soon = scope(timeout_usec=seconds * S)
        j = d.submit("sleep", "1000", parent=soon["id"], inherit=["cancel"])["id"]
        d.kill9()
        return (soon, j) if time.time() < epoch(soon["deadline_at"]) else d.start() and None

    soon, j = in_time(killed)
    wait_until(lambda: time.time() > epoch(soon["deadline_at"]), "the deadline of one")
    d.start()
    is_(wait_over(soon["id"])["state"], "deadline_exceeded")
    is_(end_of(wait_over(j))[0::2], ("deadline_exceeded", "parent_deadline"))
    is_((d.job(s["id"])["state"], d.job(s["id"])["deadline_at"]), ("open", s["deadline_at"]))
    is_(d.job(k)["state"], "running")
    d.restart()
    is_(close(s["id"])["reached"], [k])
    wait_over(k)


@case("another boot: the wall clock says what is left")
def _():
    s, passed = scope(timeout_usec=500 * S)["id"], scope(timeout_usec=90 * S)["id"]
    d.stop()
    db = sqlite3.connect(d.db)
    db.execute("UPDATE job SET boot = zeroblob(16), deadline_boot_ns = 1000 WHERE id = ?", (s,))
    db.execute("UPDATE job SET boot = zeroblob(16), deadline_boot_ns = 1 << 62, deadline = 1000000 WHERE id = ?", (passed,))
    db.commit()
    db.close()
    d.start()
    is_(wait_over(passed)["state"], "deadline_exceeded")
    is_(d.job(s)["state"], "open")
    j = below(s)
    is_(d.job(j)["deadline_rule"], "inherited")
    ok(400 < seconds_between(d.job(j)["started_at"], d.job(j)["deadline_at"]) <= 500)
    close(s)
    wait_over(j)


@case("root may derive from, and close, what is another user's")
def _():
    if os.geteuid() != 0:
        skip("another user needs root")
    e = ApiDaemon(uid=4711)
    s = e.call("Scope")["job"]["id"]
    with Varlink(e.sock) as v:  # root: an administrator
        is_(v.call("Scope", parent=s, inherit=["values"])["job"]["parent"], s)
        is_(v.call("Close", id=s)["job"]["state"], "closed")
    e.cleanup()


main()
