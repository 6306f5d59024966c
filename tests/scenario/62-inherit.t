#!/usr/bin/python3
"""What a context takes from its parent: values, trace and deadline, as the record, the refusals and the log show them."""
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from apitest import *  # noqa: E402,F403

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"
CONF = """[deadline]
timeout = 10m
max_timeout = 2h
grace = 400ms
[class one]
running = 1
"""
d = ApiDaemon(CONF)


def made(*argv, **params):
    """(record, notices) of a new job."""
    r = d.call("Submit", argv=list(argv) or ["sleep", "1000"], **params)
    return r["job"], r["notices"]


def scope(**params):
    return d.call("Scope", **params)["job"]


def end(*jobs):
    for j in jobs:
        d.cancel(j["id"], now=True)
    for j in jobs:
        d.wait_end(j["id"])


def trace_of(job):
    return re.fullmatch(r"00-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}", job["traceparent"])[1]


# ---- values

@case("values: inherited, overridden by the child's own, still there when all is over")
def _():
    p, _ = made("true", values={"app": "web", "req": "r1"})
    d.wait_end(p["id"])
    c, notices = made("true", parent=p["id"], values={"req": "r2", "Tenant.id": "ü \"x\"\n"})
    is_(notices, [])
    g, _ = made("true", parent=c["id"])
    n, _ = made("true", parent=c["id"], inherit=["trace"], values={"own": ""})
    d.wait_end(g["id"])
    is_(d.job(p["id"])["values"], {"app": "web", "req": "r1"})
    is_(d.job(c["id"])["values"], {"Tenant.id": "ü \"x\"\n", "app": "web", "req": "r2"})
    is_(d.job(g["id"])["values"], {"Tenant.id": "ü \"x\"\n", "app": "web", "req": "r2"})
    is_(d.job(n["id"])["values"], {"own": ""})
    is_((g["parent"], g["inherit"]), (c["id"], ["values", "trace"]))


@case("values that are refused, and why")
def _():
    def why(**params):
        before = d.jobs(limit=1000)
        e = refused(d.call, "InvalidArgument", "Submit", argv=["true"], **params)
        is_(e["field"], "values")
        is_(len(d.jobs(limit=1000)), len(before))
        return e["reason"]

    full, _ = made("true", values={f"v{i:02}": "x" for i in range(64)})
    big, _ = made("true", values={"big": "x" * (16384 - 3)})
    is_(len(full["values"]), 64)
    made("true", parent=full["id"], values={"v07": "another"})
    like(why(parent=full["id"], values={"one": "more"}), "^more than 64 values, inherited ones included$")
    like(why(values={f"v{i}": "" for i in range(65)}), "^more than 64 values")
    like(why(parent=big["id"], values={"n": ""}), "^the values have 16385 bytes, inherited ones and names included; 16384 is the most$")
    like(why(values={"9lives": "x"}), '^"9lives" is no name of a value')
    like(why(values={"a" * 65: "x"}), "is no name of a value")
    like(why(values={"req-id": "1", "REQ_ID": "2"}), "would both be the variable CTX_VALUE_REQ_ID$")
    p, _ = made("true", values={"req.id": "1"})
    like(why(parent=p["id"], values={"req_id": "2"}), "^the values req.id and req_id would both be")


# ---- trace

@case("trace: the requester's goes on, the parent's below it, a span of its own for each")
def _():
    p, notices = made("true", traceparent=PARENT, tracestate="rojo=1 , ,congo=2", baggage="user = alice")
    is_(notices, [])
    is_((trace_of(p), p["tracestate"], p["baggage"], p["parent_span_id"]), (TRACE, "rojo=1,congo=2", "user=alice", SPAN))
    like(p["traceparent"], "-01$")
    ok(p["span_id"] != SPAN and p["span_id"] in p["traceparent"])
    c, _ = made("true", parent=p["id"])
    is_((trace_of(c), c["tracestate"], c["baggage"], c["parent_span_id"]), (TRACE, "rojo=1,congo=2", "user=alice", p["span_id"]))
    b, _ = made("true", parent=p["id"], inherit=[])
    ok(trace_of(b) != TRACE)
    is_((b["tracestate"], b["baggage"], b["parent_span_id"]), (None, None, None))
    other = "0af7651916cd43dd8448eb211c80319c"
    o, _ = made("true", parent=p["id"], traceparent=f"00-{other}-b7ad6b7169203331-00")
    is_((trace_of(o), o["tracestate"], o["parent_span_id"]), (other, None, "b7ad6b7169203331"))


@case("trace: what is not valid starts a new one, or is left out, and the submitter is told")
def _():
    j, notices = made("true", traceparent=PARENT.upper(), tracestate="a=1", baggage="k=v")
    ok(trace_of(j) != TRACE)
    like(j["traceparent"], "-03$")
    is_((j["tracestate"], j["baggage"], j["parent_span_id"]), (None, "k=v", None))
    is_(len(notices), 1)
    like(notices[0], "^traceparent: .*; a new trace is started$")
    j, notices = made("true", traceparent=PARENT, tracestate="a=1,a=2", baggage="k=ü")
    is_((trace_of(j), j["tracestate"], j["baggage"]), (TRACE, None, None))
    is_(notices, ["tracestate: left out, a key comes twice", "baggage: left out, a value is not allowed"])
    j, notices = made("true", traceparent=f"cc-{TRACE}-{SPAN}-ff-later")
    is_((trace_of(j), notices), (TRACE, []))
    like(j["traceparent"], f"^00-.*-03$")


# ---- deadline

@case("deadline: never later than an inherited one; the record says which rule won")
def _():
    p, _ = made(timeout_usec=1000 * S)
    rows = [(dict(inherit=["deadline"]), "default", 600), (dict(inherit=["deadline"], timeout_usec=5000 * S), "inherited", 1000),
            (dict(inherit=["deadline"], timeout_usec=50 * S), "requested", 50), (dict(inherit=[], timeout_usec=5000 * S), "requested", 5000),
            (dict(inherit=["values", "trace", "deadline", "cancel"], timeout_usec=5000 * S), "inherited", 1000)]
    for params, rule, seconds in rows:
        j, _ = made(parent=p["id"], **params)
        is_(j["deadline_rule"], rule)
        if rule == "inherited":
            ok(abs(seconds_between(p["deadline_at"], j["deadline_at"])) < 5, f"{p['deadline_at']} {j['deadline_at']}")
        else:
            is_(j["timeout_usec"], seconds * S)
        end(j)
    end(p)
    j, _ = made(parent=p["id"], inherit=["deadline"])
    is_(j["deadline_rule"], "default")  # what has ended has none to give
    end(j)


@case("deadline: an extension does not go past an inherited one, and the parent's own does not carry the child")
def _():
    p, _ = made(timeout_usec=1000 * S)
    c, _ = made(parent=p["id"], inherit=["deadline"])
    d.wait_started(c["id"])
    is_(d.extend(c["id"], by_usec=10 * S)["deadline_rule"], "extended")
    was = d.job(p["id"])["deadline_at"]
    d.extend(p["id"], by_usec=500 * S)
    j = d.extend(c["id"], by_usec=3600 * S)
    ok(abs(seconds_between(was, j["deadline_at"])) < 5, f"{was} {j['deadline_at']}")
    is_(j["deadline_rule"], "inherited")
    e = refused(d.extend, "InvalidArgument", c["id"], by_usec=1 * S)
    like(e["reason"], "at its maximum")
    end(p, c)


@case("deadline: at the inherited one the child is stopped, and names whose it was")
def _():
    def below(seconds):
        s = scope(timeout_usec=seconds * S)
        c, _ = made(parent=s["id"], inherit=["values", "trace", "deadline"])
        g, _ = made(parent=c["id"], inherit=["deadline"])
        return (s, c, g) if d.job(s["id"])["state"] == "open" else end(c, g)

    s, c, g = in_time(below)
    is_((c["deadline_rule"], g["deadline_rule"]), ("inherited", "inherited"))
    for j in c, g:
        j = d.wait_end(j["id"])
        is_((j["state"], j["cause_code"], j["err"]), ("deadline_exceeded", "parent_deadline", "context deadline exceeded"))
        is_(j["cause"], f"parent {s['id']} deadline exceeded")


@case("deadline: who waits in the queue does not outlive it, nor by a restart")
def _():
    blocker, _ = made(**{"class": "one"})

    def queued_below(seconds):
        s = scope(timeout_usec=seconds * S)
        own, _ = made(parent=s["id"], inherit=["deadline"], **{"class": "one"})
        deep, _ = made(parent=own["id"], inherit=["deadline"], **{"class": "one"})
        free, _ = made(parent=s["id"], **{"class": "one"})
        states = [d.job(j["id"])["state"] for j in (own, deep, free)]
        if d.job(s["id"])["state"] != "open" or "deadline_exceeded" in states:
            return end(own, deep, free)
        is_(states, ["queued"] * 3)
        return s, own, deep, free

    s, own, deep, free = in_time(queued_below, (5, 20, 60))
    d.kill9()
    d.start()
    for j in own, deep:
        j = d.wait_end(j["id"])
        is_((j["state"], j["cause_code"], j["deadline_rule"]), ("deadline_exceeded", "parent_deadline", "inherited"))
        is_((j["cause"], j["started_at"]), (f"parent {s['id']} deadline exceeded", None))
    is_(d.job(free["id"])["state"], "queued")
    end(free, blocker)


# ---- the log

@case("log: each line of a job has its trace and its values, on one line, and no more than fits")
def _():
    values = {"app": "web", "note": "say \"hi\"\nthere \x1b[31m"}
    j, _ = made("true", traceparent=PARENT, values=values)
    d.wait_end(j["id"])
    for what in "running", "succeeded":
        d.wait_log(rf'job={j["id"]} {what} .* trace={TRACE} value\.app="web" value\.note="say \\"hi\\"\\nthere \\x1b\[31m"\n')
    j, _ = made("true", values={"a": "x" * 300, "b": "y" * 300, "c": "z"})
    d.wait_end(j["id"])
    d.wait_log(rf'job={j["id"]} succeeded .* value\.a="x{{300}}" \.\.\.\n')
    j, _ = made("true", values={"a": "\x01" * 200, "c": "z"})  # as long as it is written
    d.wait_end(j["id"])
    d.wait_log(rf'job={j["id"]} succeeded .* trace=[0-9a-f]{{32}} \.\.\.\n')


main()
