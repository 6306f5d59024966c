#!/usr/bin/python3
"""The methods of contexts, as any client may call them: each good case, each refusal, wrong types, limits, hostile input, clients
that go or do not read. What contexts mean is tested in 60 and after."""
import base64
import contextlib
import glob
import json
import os
import re
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from apitest import *  # noqa: E402,F403
from sysdaemon import ALICE, BOB, SystemDaemon, identity  # noqa: E402
from varlink import encode  # noqa: E402

IDL = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../daemon/api/io.ctxd.varlink")
STDIN_MAX = 64 << 10
CONF = f"""[deadline]
timeout = 10m
max_timeout = 2h
grace = 400ms
[limits]
stdin_max = {STDIN_MAX >> 10}K
[class one]
running = 1
"""
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE}-00f067aa0ba902b7-01"
d = ApiDaemon(CONF)
SANITIZED = any(b"libasan" in read_file(f"/proc/{d.proc.pid}/maps") for _ in [0])


def members(kind, name):
    """Names of the members of a type of the interface."""
    body = re.search(rf"^{kind} {name} \((.*?)^\)", open(IDL, encoding="utf-8").read(), re.M | re.S)[1]
    return set(re.findall(r"^  (\w+):", body, re.M))


def invalid(method, field, **params):
    is_(refused(d.call, "InvalidArgument", method, **params)["field"], field, f"{method} {params}"[:120])


def submitted(**params):
    return d.call("Submit", **{"argv": ["sleep", "1000"], **params})


def last_id():
    return d.call("List", last=True, limit=1)["jobs"][0]["id"]


def end(*ids):
    for i in ids:
        d.cancel(i, now=True)
    for i in ids:
        d.wait_end(i)


def b64(data):
    return base64.b64encode(data).decode()


def rss():
    return int(proc_status(d.proc.pid, "VmRSS").split()[0])


def spool_files():
    """Spools that ctxd has open: files of its state directory that have no name."""
    n = 0
    for fd in glob.glob(f"/proc/{d.proc.pid}/fd/*"):
        with contextlib.suppress(OSError):
            target = os.readlink(fd)
            n += target.startswith(os.path.join(d.state, "stdin") + "/")
    return n


def next_events(v):
    return v.receive()[0]["events"]


# ---- Submit

@case("all that a submission may bring is in the record, and every member of the interface is there")
def _():
    parent = submitted(name="above", values={"zone": "a", "tier": "1"}, traceparent=TRACEPARENT, tracestate="x=1", baggage="u=7")["job"]
    r = submitted(parent=parent["id"], inherit=["values", "trace", "deadline", "cancel", "trace"], values={"tier": "2", "B.c-d": "é"},
                  key="all of it", warn_usec=5 * S, warn_signal="SIGHUP", watchdog_usec=900 * S, split_output=True, timeout_usec=30 * S)
    j = r["job"]
    is_((r["created"], r["notices"]), (True, []))
    is_(set(j), members("type", "Job"))
    is_((j["kind"], j["parent"], j["key"]), ("job", parent["id"], "all of it"))
    is_(j["inherit"], ["values", "trace", "deadline", "cancel"])
    is_(j["values"], {"B.c-d": "é", "tier": "2", "zone": "a"})
    is_((j["traceparent"].split("-")[1], j["parent_span_id"]), (TRACE, parent["span_id"]))
    is_(j["traceparent"].split("-")[2], j["span_id"])
    is_((j["tracestate"], j["baggage"]), ("x=1", "u=7"))
    is_((j["warn_usec"], j["warn_signal"], j["watchdog_usec"]), (5 * S, "HUP", 900 * S))
    is_((j["stderr"], j["stdin_bytes"], j["progress"], j["ready_at"], j["bound"]),
        ({"bytes": 0, "dropped": 0}, None, None, None, False))
    is_((parent["parent"], parent["parent_span_id"]), (None, "00f067aa0ba902b7"))
    g = d.job(j["id"])
    for k in ("key", "values", "inherit", "traceparent", "tracestate", "baggage", "span_id", "parent_span_id", "warn_signal"):
        is_(g[k], j[k], k)
    one = d.call("ListSummaries", parent=parent["id"])["jobs"]
    is_([(s["id"], s["kind"], s["parent"]) for s in one], [(j["id"], "job", parent["id"])])
    is_(set(one[0]), members("type", "Summary"))
    d.cancel(parent["id"], now=True)
    is_(d.wait_end(j["id"])["cause_code"], "parent")


@case("bad values of Submit name their field and leave nothing behind")
def _():
    before = last_id()
    for field, params in (
        ("key", {"key": ""}),
        ("key", {"key": "a\x00b".replace("\x00", "\x01")}),
        ("key", {"key": "k" * 129}),
        ("if_exists", {"key": "k", "if_exists": "replace"}),
        ("if_exists", {"if_exists": "return"}),
        ("inherit", {"inherit": ["values", "everything"]}),
        ("inherit", {"inherit": [""]}),
        ("values", {"values": {f"v{i}": "" for i in range(65)}}),
        ("values", {"values": {"a": "x" * (16 << 10)}}),
        ("values", {"values": {"1a": "x"}}),
        ("values", {"values": {"-a": "x"}}),
        ("values", {"values": {".a": "x"}}),
        ("values", {"values": {"a b": "x"}}),
        ("values", {"values": {"ä": "x"}}),
        ("values", {"values": {"a=b": "x"}}),
        ("values", {"values": {"": "x"}}),
        ("values", {"values": {"a": "\0"}}),
        ("baggage", {"baggage": "a=b\0"}),
        ("values", {"values": {"a" * 65: "x"}}),
        ("values", {"values": {"a.b": "1", "a_b": "2"}}),
        ("values", {"values": {"ab": "1", "AB": "2"}}),
        ("stdin", {"stdin": 1}),
        ("stdin", {"stdin": -1}),
        ("warn_usec", {"warn_usec": 0}),
        ("warn_usec", {"warn_usec": 2**62}),
        ("warn_signal", {"warn_usec": S, "warn_signal": "NOSUCH"}),
        ("warn_signal", {"warn_signal": "USR1"}),
        ("watchdog_usec", {"watchdog_usec": -1}),
        ("watchdog_usec", {"watchdog_usec": 2**63 - 1}),
    ):
        invalid("Submit", field, argv=["true"], **params)
    for parent in (0, -1, 10**9, 2**63 - 1):
        is_(refused(d.call, "NoSuchJob", "Submit", argv=["true"], parent=parent), {"id": parent})
    is_(last_id(), before)
    # just within
    values = {f"v{i}": "" for i in range(64)}
    is_(d.submit("true", values=values)["values"], values)
    values = {"a": "x" * ((16 << 10) - 64)}
    is_(d.submit("true", values=values)["values"], values)
    is_(d.submit("true", values={"_" + "a" * 63: "1"}, key="k" * 128)["key"], "k" * 128)


@case("wrong types and unknown names are wrong parameters; what needs more says so")
def _():
    before = last_id()
    for method, params, parameter in (
        ("Submit", {"argv": ["true"], "key": 1}, "key"),
        ("Submit", {"argv": ["true"], "parent": "1"}, "parent"),
        ("Submit", {"argv": ["true"], "parent": 1.5}, "parent"),
        ("Submit", {"argv": ["true"], "inherit": "values"}, "inherit"),
        ("Submit", {"argv": ["true"], "inherit": {"values": True}}, "inherit"),
        ("Submit", {"argv": ["true"], "values": ["a=b"]}, "values"),
        ("Submit", {"argv": ["true"], "values": {"a": 1}}, "values"),
        ("Submit", {"argv": ["true"], "traceparent": ["x"]}, "traceparent"),
        ("Submit", {"argv": ["true"], "bound": "yes"}, "bound"),
        ("Submit", {"argv": ["true"], "stdin": "text"}, "stdin"),
        ("Submit", {"argv": ["true"], "split_output": 1}, "split_output"),
        ("Submit", {"argv": ["true"], "warn_usec": "1s"}, "warn_usec"),
        ("Scope", {"argv": ["true"]}, "argv"),
        ("Scope", {"key": "k"}, "key"),
        ("Close", {}, "id"),
        ("Spool", {}, "data"),
        ("Spool", {"data": None}, "data"),
        ("Spool", {"data": "", "spool": "1"}, "spool"),
        ("Progress", {"id": 1, "percent": "50"}, "percent"),
        ("Progress", {"id": 1, "percent": True}, "percent"),
        ("Signal", {"id": 1}, "signal"),
        ("Signal", {"id": 1, "signal": 15}, "signal"),
        ("Events", {"after": "1"}, "after"),
        ("Events", {"states": []}, "states"),
        ("List", {"trace": 7}, "trace"),
        ("ListSummaries", {"values": "a"}, "values"),
    ):
        is_(refused(d.call, "InvalidParameter", method, **params), {"parameter": parameter}, f"{method} {params}")
    parent = submitted()["job"]["id"]
    for method, params in (
        ("Submit", {"argv": ["true"], "bound": True}),
        ("Submit", {"argv": ["true"], "inherit": ["cancel"]}),
        ("Submit", {"argv": ["true"], "parent": parent, "bound": True}),
        ("Events", {"follow": True}),
    ):
        is_(refused(d.call, "ExpectedMore", method, **params), {}, f"{method} {params}")
    is_(last_id(), parent)
    ok(parent == before + 1)
    end(parent)


@case("hostile values: NUL, broken UTF-8, endless trace headers, a message at its largest")
def _():
    before = last_id()
    for text in (b'"values":{"a\\u0000b":"x"}', b'"values":{"a":"\xff"}', b'"key":"\xff"', b'"values":{"a":"1","a":"2"}',
                 b'"traceparent":"\xc0\xaf"', b'"baggage":"\\ud800"'):
        with Varlink(d.sock) as v:
            v.send_raw(b'{"method":"io.ctxd.Submit","parameters":{"argv":["true"],' + text + b"}}\0")
            ok(v.closed(), text)
    invalid("Submit", "values", argv=["true"], values={"a": "x\0y"})
    invalid("Submit", "key", argv=["true"], key="\0")
    is_(last_id(), before)
    for params in ({"traceparent": "0" * 500000}, {"traceparent": TRACEPARENT, "tracestate": "a=" + "x" * 500000},
                   {"traceparent": TRACEPARENT, "tracestate": ",".join(f"k{i}=v" for i in range(50000))},
                   {"baggage": ",".join(f"k{i}=v" for i in range(50000))}, {"baggage": "k=" + "%" * 500000},
                   {"traceparent": TRACEPARENT + "\n\r\t\x1b[31m"}):
        r = submitted(argv=["true"], **params)
        is_(len(r["notices"]), 1, str(params)[:60])
        ok(len(r["notices"][0]) < 300 and "\x1b" not in r["notices"][0], r["notices"])
        ok(r["job"]["tracestate"] is None and r["job"]["baggage"] is None)
        d.wait_end(r["job"]["id"])
    invalid("Submit", "values", argv=["true"], values={f"v{i}": "x" * 4 for i in range(20000)})
    invalid("Submit", "values", argv=["true"], values={"a": "x" * 700000})
    invalid("Submit", "inherit", argv=["true"], inherit=["values"] * 50000 + ["x"])
    is_(submitted(argv=["true"], inherit=["values"] * 50000)["created"], True)


# ---- keys and connections

@case("the same key is the same job: created says whose")
def _():
    first = submitted(key="build")
    again = submitted(key="build")
    is_((first["created"], again["created"], again["job"]["id"]), (True, False, first["job"]["id"]))
    want = {"key": "build", "id": first["job"]["id"]}
    is_(refused(d.call, "KeyConflict", "Submit", argv=["sleep", "1001"], key="build"), want)
    is_(refused(d.call, "KeyConflict", "Submit", argv=["sleep", "1000"], key="build", if_exists="fail"), want)
    long = "l" * 128
    id = submitted(key=long)["job"]["id"]
    is_(refused(d.call, "KeyConflict", "Submit", argv=["true"], key=long), {"key": long, "id": id})
    is_([j["id"] for j in d.jobs(key="build")], [first["job"]["id"]])
    end(first["job"]["id"], id)
    with d.connect() as v:  # with more, over already: both replies at once
        replies = list(v.call_more("Submit", argv=["sleep", "1000"], key="build", bound=True))
        is_([(r["created"], r["job"]["state"]) for r in replies], [(False, "canceled")] * 2)
    r = submitted(key="build", if_exists="retry")
    is_((r["created"], r["job"]["id"]), (False, first["job"]["id"]))
    end(first["job"]["id"])


@case("a key for one call's own use is shown nowhere")
def _():
    j = submitted(key="~run 7", argv=["sh", "-c", "echo key=$CTX_KEY."])["job"]
    is_((j["key"], submitted(key="~run 7", argv=["sh", "-c", "echo key=$CTX_KEY."])["created"]), (None, False))
    d.wait_end(j["id"])
    is_(d.output(j["id"]), b"key=.\n")
    is_((d.job(j["id"])["key"], d.jobs(key="~run 7")), (None, []))
    is_([x["key"] for x in d.jobs(after=j["id"] - 1, limit=1)], [None])


@case("bound ends with its connection; with two, when the last of them goes; not bound is not bound by asking again")
def _():
    def bound(v, **params):
        v.send("Submit", {"argv": ["sleep", "1000"], **params}, more=True)
        return v.receive()[0]["job"]

    with d.connect() as a:
        j = bound(a, bound=True)
        is_((j["bound"], j["parent"]), (True, None))
    is_(d.wait_end(j["id"])["cause_code"], "client_gone")
    parent = submitted()["job"]["id"]
    with d.connect() as a, d.connect() as b:
        j = bound(a, parent=parent, inherit=["cancel"])  # its parent's affair, not the connection's
        k = bound(b, parent=parent, bound=True)
        is_((j["bound"], k["bound"]), (False, True))
    is_(d.wait_end(k["id"])["cause_code"], "client_gone")
    is_(d.job(j["id"])["state"], "running")
    end(parent)
    is_(d.wait_end(j["id"])["cause_code"], "parent")

    a, b = d.connect(), d.connect()
    id = bound(a, key="two", bound=True)["id"]
    is_(bound(b, key="two", bound=True)["id"], id)
    a.close()
    n = d.call("Stats")["connections"]
    wait_until(lambda: d.call("Stats")["connections"] <= 2, f"the first to be gone, {n}")
    is_(d.job(id)["state"], "running")
    b.close()
    is_(d.wait_end(id)["cause_code"], "client_gone")

    id = submitted(key="free")["job"]["id"]
    with d.connect() as a:
        j = bound(a, key="free", bound=True)
        is_((j["id"], j["bound"]), (id, False))
    wait_until(lambda: d.call("Stats")["connections"] == 1, "it to be gone")
    is_(d.job(id)["state"], "running")
    end(id)


# ---- Scope and Close

@case("a scope: made, closed, reached")
def _():
    r = d.call("Scope", name="s", timeout_usec=60 * S, values={"a": "1"}, traceparent=TRACEPARENT)
    s = r["job"]
    is_(set(s), members("type", "Job"))
    is_((s["kind"], s["state"], s["argv"], s["cwd"], s["name"], s["values"]), ("scope", "open", [], "/", "s", {"a": "1"}))
    is_((s["pid"], s["exit_code"], r["notices"]), (None, None, []))
    below = d.call("Scope", parent=s["id"], inherit=["cancel", "values"])["job"]
    job = submitted(parent=below["id"], inherit=["cancel", "values"])["job"]
    free = submitted(parent=s["id"])["job"]
    is_((job["values"], free["values"]), ({"a": "1"}, {"a": "1"}))
    r = d.call("Close", id=s["id"], cause="that's it")
    is_((r["job"]["state"], r["job"]["cause"], r["job"]["err"]), ("closed", "that's it", "context canceled"))
    is_(sorted(r["reached"]), [below["id"], job["id"]])
    ended = d.wait_end(job["id"])
    is_((ended["state"], ended["cause_code"], ended["cause"]), ("canceled", "scope_closed", f"scope {s['id']} closed: that's it"))
    is_(d.job(free["id"])["state"], "running")
    again = d.call("Close", id=s["id"], cause="twice")
    is_((again["job"]["cause"], again["reached"]), ("that's it", []))
    is_(refused(d.call, "AlreadyEnded", "Submit", argv=["true"], parent=s["id"], inherit=["cancel"]), {"id": s["id"], "state": "closed"})
    end(free["id"])


@case("what is wrong with a scope")
def _():
    before = last_id()
    for field, params in (
        ("name", {"name": ""}), ("name", {"name": "a\nb"}), ("class", {"class": "nosuch"}), ("class", {"class": "../x"}),
        ("timeout_usec", {"timeout_usec": 0}), ("timeout_usec", {"timeout_usec": 2**62}),
        ("deadline_at", {"deadline_at": "2001-01-01T00:00:00Z"}), ("deadline_at", {"deadline_at": "soon"}),
        ("inherit", {"inherit": ["all"]}), ("values", {"values": {"a b": "1"}}),
    ):
        invalid("Scope", field, **params)
    is_(refused(d.call, "NoSuchJob", "Scope", parent=10**9), {"id": 10**9})
    is_(last_id(), before)
    s, job = d.call("Scope")["job"]["id"], submitted()["job"]["id"]
    invalid("Close", "id", id=job)
    invalid("Close", "cause", id=s, cause="\x1b[2J")
    invalid("Close", "cause", id=s, cause="x" * 1025)
    refused(d.call, "NoSuchJob", "Close", id=10**9)
    refused(d.call, "NoSuchJob", "Close", id=0)
    invalid("Logs", "id", id=s)
    invalid("Signal", "id", id=s, signal="HUP")
    is_(d.job(s)["state"], "open")
    is_(len(d.call("Close", id=s, cause="x" * 1024)["job"]["cause"]), 1024)
    end(job)


# ---- Spool

@case("standard input comes in pieces, any bytes, and only once")
def _():
    data = bytes(range(256)) * 100 + b"\0\n\xff"
    with d.connect() as v:
        r = v.call("Spool", data=b64(data[:1000]))
        n = r["spool"]
        is_(r, {"spool": n, "bytes": 1000})
        other = v.call("Spool", data="")
        is_((other["bytes"], other["spool"] != n), (0, True))
        for at in range(1000, len(data), 7001):
            r = v.call("Spool", data=b64(data[at:at + 7001]), spool=n)
        is_(r["bytes"], len(data))
        e = refused(v.call, "InvalidArgument", "Submit", argv=["cat"], stdin=n, cwd="nowhere")
        is_(e["field"], "cwd")
        j = v.call("Submit", argv=["cat"], stdin=n)["job"]
        is_(j["stdin_bytes"], len(data))
        for method, field, params in (("Submit", "stdin", {"argv": ["cat"], "stdin": n}), ("Spool", "spool", {"data": "", "spool": n})):
            is_(refused(v.call, "InvalidArgument", method, **params)["field"], field)
        empty = v.call("Submit", argv=["cat"], stdin=other["spool"])["job"]
        is_(empty["stdin_bytes"], 0)
    d.wait_end(j["id"])
    is_(d.output(j["id"]), data)
    is_((d.wait_end(empty["id"])["state"], d.output(empty["id"])), ("succeeded", b""))
    is_(d.submit("cat")["stdin_bytes"], None)


@case("a spool is of one connection, four at most, and goes with it")
def _():
    wait_until(lambda: spool_files() == 0, "older spools to be gone")
    with d.connect() as v, d.connect() as w:
        spools = [v.call("Spool", data=b64(b"secret"))["spool"] for _ in range(4)]
        is_(len(set(spools)), 4)
        is_(refused(v.call, "InvalidArgument", "Spool", data="")["field"], "spool")
        for n in (*spools, 0, -1, 5, 2**63 - 1):
            is_(refused(w.call, "InvalidArgument", "Spool", data="", spool=n)["field"], "spool")
            is_(refused(w.call, "InvalidArgument", "Submit", argv=["cat"], stdin=n)["field"], "stdin")
        is_(spool_files(), 4)
        is_(v.call("Spool", data=b64(b"x"), spool=spools[3])["bytes"], 7)
        v.send("Spool", {"data": "", "spool": spools[0]})
        v.receive()
    wait_until(lambda: spool_files() == 0, "the spools to go with their connection")
    with d.connect() as v:
        is_(v.call("Spool", data="")["spool"], 1)
        v.half_close()
        ok(v.closed())
    wait_until(lambda: spool_files() == 0, "half closed, too")


@case("what may not be spooled")
def _():
    with d.connect() as v:
        for bad in ("x", "eA", "eA=", "=", "====", "eA==\n", " eA==", "eB==", "eA==eA==", "e-_=", "eHl6=", "é", "A" * 1001):
            is_(refused(v.call, "InvalidArgument", "Spool", data=bad)["field"], "data", bad[:20])
        n = v.call("Spool", data=b64(b"x" * (STDIN_MAX - 1)))["spool"]
        e = refused(v.call, "InvalidArgument", "Spool", data=b64(b"yz"), spool=n)
        is_(e, {"field": "data", "reason": f"more than the {STDIN_MAX} bytes of [limits] stdin_max"})
        is_(v.call("Spool", data=b64(b"y"), spool=n)["bytes"], STDIN_MAX)  # what was refused is not in it
        is_(v.call("Spool", data="", spool=n)["bytes"], STDIN_MAX)
        refused(v.call, "InvalidArgument", "Spool", data=b64(b"z"), spool=n)
        id = v.call("Submit", argv=["tail", "-c", "3"], stdin=n)["job"]["id"]
        is_(refused(v.call, "InvalidArgument", "Spool", data=b64(os.urandom(700000)))["field"], "data")
        is_(refused(v.call, "InvalidArgument", "Spool", data="A" * 1000000)["field"], "data")
        is_([v.call("Spool", data="")["spool"] for _ in range(4)].__len__(), 4)  # refused ones hold no place
    d.wait_end(id)
    is_(d.output(id), b"xxy")
    with d.connect() as v:
        with contextlib.suppress(VarlinkClosed):  # it does not take all of it
            v.send_raw(encode("Spool", {"data": "A" * (2 << 20)}))
        is_(refused(v.receive, "InvalidArgument")["field"], "message")


# ---- Progress and Signal

@case("what runs, and what waits, is the same in Get, in List and in the answer of what is done to it")
def _():
    id = submitted(argv=["sh", "-c", "echo hello; exec sleep 1000"])["job"]["id"]
    waits = submitted(after=[f"{id}:any"])["job"]["id"]
    wait_until(lambda: d.output(id) == b"hello\n", "its output")

    def steady():  # what is in no row, or moved
        return {k: d.job(id)[k] for k in ("pid", "output", "progress", "deadline_at")}

    for method, params in (("Progress", {"percent": 40}), ("Signal", {"signal": "CONT"}), ("Extend", {"by_usec": S})):
        job = d.call(method, id=id, **params)["job"]
        is_({k: job[k] for k in steady()}, steady(), method)
    ok(steady()["pid"] and steady()["output"]["bytes"] == 6, steady())
    for page in (d.call("List"), d.call("List", states=["running", "queued"], last=True)):
        listed = {j["id"]: j for j in page["jobs"]}
        is_(listed[id], d.job(id))
        is_((listed[waits], listed[waits]["waiting_for"]), (d.job(waits), f"job {id}"))
    is_({j["id"]: j["waiting_for"] for j in d.call("ListSummaries")["jobs"]}[waits], f"job {id}")
    before = steady()
    is_({k: v for k, v in d.cancel(id).items() if k in before}, before)
    end(waits, id)


@case("progress over the socket: numbers of both kinds, text, limits")
def _():
    id = submitted()["job"]["id"]
    d.wait_started(id)
    p = d.call("Progress", id=id, percent=40)["job"]["progress"]
    is_((p["percent"], p["text"]), (40.0, None))
    p = d.call("Progress", id=id, text="läuft")["job"]["progress"]
    is_((p["percent"], p["text"]), (40.0, "läuft"))
    is_(d.call("Progress", id=id, percent=12.125)["job"]["progress"]["percent"], 12.125)
    for n in (0, 100, 0.0, 100.0):
        is_(d.call("Progress", id=id, percent=n)["job"]["progress"]["percent"], n)
    is_(d.job(id)["progress"]["text"], "läuft")
    is_(len(d.call("Progress", id=id, text="x" * 255)["job"]["progress"]["text"]), 255)
    for field, params in (
        ("percent", {}), ("percent", {"percent": -1}), ("percent", {"percent": 101}), ("percent", {"percent": 100.0001}),
        ("percent", {"percent": -1e-9}), ("percent", {"percent": 1e308}), ("percent", {"percent": 2**63 - 1}),
        ("text", {"text": "x" * 256}), ("text", {"text": "ä" * 128}), ("text", {"text": "a\nb"}), ("text", {"text": "\x7f"}),
    ):
        invalid("Progress", field, id=id, **params)
    with d.connect() as v:
        v.send_raw(b'{"method":"io.ctxd.Progress","parameters":{"id":%d,"percent":1e999}}\0' % id)
        ok(v.closed())
    refused(d.call, "NoSuchJob", "Progress", id=10**9, percent=1)
    refused(d.call, "NoSuchJob", "Progress", id=-5, percent=1)
    end(id)
    is_(refused(d.call, "AlreadyEnded", "Progress", id=id, percent=1), {"id": id, "state": "canceled"})
    is_(len(d.job(id)["progress"]["text"]), 255)


@case("signals: to the main process, to the tree, and to none")
def _():
    ready = fifo(d, "signal-ready")
    script = f"trap 'echo got' USR1; sh -c 'trap \"echo child\" USR1; echo >{ready}; while :; do sleep 0.02; done' & while :; do sleep 0.02; done"
    id = d.submit(sh=script)["id"]
    with open(ready, "rb") as f:
        f.read(1)
    d.wait_started(id)
    is_(d.call("Signal", id=id, signal="USR1")["job"]["id"], id)
    wait_until(lambda: d.output(id) == b"got\n", "the signal to arrive")
    d.call("Signal", id=id, signal="10" if 10 == __import__("signal").SIGUSR1 else "SIGUSR1", tree=True)
    wait_until(lambda: (lambda out: (out.count(b"got"), out.count(b"child")) == (2, 1))(d.output(id)), "it to arrive at both")
    for bad in ("", "0", "65", "-1", "NOSUCH", "SIG", "USR1 ", "9223372036854775808"):
        invalid("Signal", "signal", id=id, signal=bad)
    refused(d.call, "NoSuchJob", "Signal", id=10**9, signal="HUP")
    end(id)
    is_(refused(d.call, "AlreadyEnded", "Signal", id=id, signal="HUP"), {"id": id, "state": "canceled"})
    a, b = (submitted(**{"class": "one"})["job"]["id"] for _ in range(2))
    invalid("Signal", "id", id=b, signal="HUP")
    end(a, b)


# ---- Events

def position():
    """The newest edge."""
    last = 0
    with d.connect() as v:
        for r in v.call_more("Events"):
            last = max([last, *(e["edge"] for e in r["events"])])
    return last


@case("events are there in order, by pages or at once, of one job or of all")
def _():
    after = position()
    ids = [d.submit("true")["id"] for _ in range(5)]
    for i in ids:
        d.wait_end(i)
    with d.connect() as v:
        every = [e for r in v.call_more("Events", after=after) for e in r["events"]]
    is_(set(every[0]), members("type", "Event"))
    is_([e["edge"] for e in every], sorted({e["edge"] for e in every}))
    ok(all(e["edge"] > after and e["progress"] is None and e["kind"] == "job" for e in every))
    for i in ids:
        mine = [e for e in every if e["id"] == i]
        is_((mine[0]["from"], mine[-1]["to"], mine[0]["by"], mine[-1]["by"]), (None, "succeeded", os.geteuid(), None))
        is_([e["to"] for e in mine[:-1]], [e["from"] for e in mine[1:]])
        is_(d.call("Events", id=i)["events"], mine)
    paged, at = [], after
    while at is not None:
        r = d.call("Events", after=at, limit=3)
        ok(len(r["events"]) <= 3)
        paged += r["events"]
        at = r["next"]
    is_(paged, every)
    is_(d.call("Events", after=every[-1]["edge"]), {"events": [], "next": None})
    is_(d.call("Events", after=2**63 - 1)["events"], [])
    is_([e["edge"] for e in d.call("Events", since=every[-1]["at"], after=after)["events"]][-1], every[-1]["edge"])
    id = d.submit("sleep", "1000")["id"]
    d.cancel(id, cause="no more", now=True)
    d.wait_end(id)
    e = [x for x in d.call("Events", id=id)["events"] if x["cause"]][0]
    is_((e["to"], e["cause"], e["cause_code"], e["by"]), ("stopping", "no more", "requested", os.geteuid()))
    s = d.call("Scope")["job"]["id"]
    is_([(x["kind"], x["from"], x["to"]) for x in d.call("Events", id=s)["events"]], [("scope", None, "open")])
    d.call("Close", id=s)


@case("what is wrong with a request for events")
def _():
    for field, params in (("after", {"after": -1}), ("limit", {"limit": 0}), ("limit", {"limit": -3}), ("limit", {"limit": 100001}),
                          ("since", {"since": "a while ago"}), ("progress", {"progress": True})):
        invalid("Events", field, **params)
    for i in (0, -1, 10**9):
        refused(d.call, "NoSuchJob", "Events", id=i)


@case("following: all that comes, one job until its end")
def _():
    after = position()
    with d.connect() as v, d.connect() as w:
        v.send("Events", {"after": after, "follow": True}, more=True)
        gate = fifo(d, "follow")
        id = d.submit(sh=f"read x <{gate}; exit 3")["id"]
        w.send("Events", {"id": id, "follow": True}, more=True)
        seen = []
        while [e["to"] for e in seen if e["id"] == id][-1:] != ["running"]:
            seen += next_events(v)
        go(gate)
        d.wait_end(id)
        while seen[-1]["to"] != "failed":
            seen += next_events(v)
        mine = [e for r in w.replies() for e in r["events"]]  # comes to its end by itself
        is_(mine, [e for e in seen if e["id"] == id])
        is_(mine[-1]["to"], "failed")
        is_([e["edge"] for e in seen], sorted(e["edge"] for e in seen))
        w.send("Events", {"id": id, "follow": True}, more=True)
        is_([e for r in w.replies() for e in r["events"]], mine)  # over already
        w.send("Events", {"id": id, "follow": True, "after": mine[-1]["edge"]}, more=True)
        is_([e for r in w.replies() for e in r["events"]], [])
        w.send("Events", {"after": after, "follow": True, "limit": 1}, more=True)
        is_([len(r["events"]) for r in w.replies()], [1])
        ok("pid" in w.call("Stats"))
    s = d.call("Scope")["job"]["id"]
    with d.connect() as v:
        v.send("Events", {"id": s, "follow": True}, more=True)
        is_([e["to"] for e in next_events(v)], ["open"])
        d.call("Close", id=s)
        is_([e["to"] for r in v.replies() for e in r["events"]], ["closed"])


@case("following progress: of one job, and of all that run")
def _():
    id = submitted()["job"]["id"]
    d.wait_started(id)
    after = position()
    with d.connect() as v, d.connect() as w:
        v.send("Events", {"id": id, "after": after, "follow": True, "progress": True}, more=True)
        w.send("Events", {"after": after, "follow": True, "progress": True}, more=True)

        def told(link):
            e = next_events(link)[-1]
            is_((set(e), e["edge"], e["from"], e["to"], e["id"], e["kind"]), (members("type", "Event"), None, None, None, id, "job"))
            return e["progress"]["percent"], e["progress"]["text"]

        d.call("Progress", id=id, percent=10)
        is_((told(v), told(w)), ((10, None), (10, None)))
        for i in range(20):
            d.call("Progress", id=id, percent=i, text=f"step {i}")
        for link in (v, w):  # what came in between may have been left out, the last is not
            n = 0
            while told(link) != (19, "step 19"):
                n += 1
            ok(n < 20)
        d.cancel(id, now=True)
        is_([e["to"] for r in v.replies() for e in r["events"] if e["edge"]][-1], "canceled")


@case("followers that do not read cost little, harm nobody, and lose nothing")
def _():
    after = position()
    before = rss()
    deaf = []
    for _ in range(10):
        v = d.connect()
        v.send("Events", {"follow": True}, more=True)
        deaf.append(v)
    with d.connect() as v:
        for k in range(4):
            ids = [r["job"]["id"] for r in v.pipeline([("Submit", {"argv": ["true"], "name": "n" * 100})] * 250)]
            is_(sum(1 for _ in v.call_more("Wait", ids=ids)), 250)
    if not SANITIZED:
        ok(rss() - before < 16 * 1024, f"{before} -> {rss()} KiB")
    last = position()
    ok(last - after >= 2000)
    for v in deaf[1:]:
        v.close()
    got = []
    while not got or got[-1]["edge"] < last:
        got += next_events(deaf[0])
    edges = [e["edge"] for e in got]
    is_(edges, sorted(set(edges)))
    is_(sum(1 for e in edges if e > after), last - after)
    deaf[0].close()
    wait_until(lambda: d.call("Stats")["connections"] == 1, "the deaf ones to be gone")


# ---- List and Logs

@case("lists by value, trace, parent and key")
def _():
    top = submitted(values={"env": "prod", "n": "1"}, traceparent=TRACEPARENT.replace("4bf9", "5bf9"))["job"]
    a = submitted(parent=top["id"], values={"n": "2"})["job"]
    b = submitted(parent=top["id"], inherit=[], key="list me")["job"]
    trace = top["traceparent"].split("-")[1]

    def ids(**params):
        got = [j["id"] for j in d.jobs(**params)]
        is_([j["id"] for j in d.call("ListSummaries", **params)["jobs"]], got)
        return got

    is_(ids(values={"env": "prod"}), [top["id"], a["id"]])
    is_(ids(values={"env": "prod", "n": "2"}), [a["id"]])
    is_(ids(values={"env": "pro"}), [])
    is_(ids(values={}, parent=top["id"]), [a["id"], b["id"]])
    is_(ids(trace=trace), [top["id"], a["id"]])
    is_(ids(trace=trace, parent=top["id"], values={"n": "2"}), [a["id"]])
    is_(ids(key="list me"), [b["id"]])
    for field, params in (("parent", {"parent": 0}), ("parent", {"parent": -1}), ("trace", {"trace": ""}), ("trace", {"trace": "0" * 32}),
                          ("trace", {"trace": trace.upper()}), ("trace", {"trace": trace + "0"}), ("trace", {"trace": top["traceparent"]}),
                          ("values", {"values": {f"v{i}": "" for i in range(65)}})):
        invalid("List", field, **params)
        invalid("ListSummaries", field, **params)
    is_(ids(values={"no such name": "' OR 1=1 --"}), [])
    is_(ids(values={f"v{i}": "" for i in range(64)}, parent=top["id"]), [])
    end(top["id"], a["id"], b["id"])


@case("standard error apart, or not")
def _():
    gate = fifo(d, "apart")
    apart = d.submit(sh=f"echo out; echo err >&2; read x <{gate}; echo more >&2", split_output=True)["id"]
    both = d.submit(sh="echo out; echo err >&2")["id"]
    d.wait_end(both)
    is_(sorted(d.output(both).split()), [b"err", b"out"])
    e = refused(d.call, "InvalidArgument", "Logs", id=both, stream="stderr")
    is_(e, {"field": "stream", "reason": "the standard error of this job is in the same stream"})
    with d.connect() as v:
        v.send("Logs", {"id": apart, "stream": "stderr", "follow": True}, more=True)
        is_(base64.b64decode(v.receive()[0]["data"]), b"err\n")
        go(gate)
        is_(b"".join(base64.b64decode(r["data"]) for r in v.replies()), b"more\n")
    j = d.wait_end(apart)
    is_((d.output(apart), d.output(apart, stream="stdout"), d.output(apart, stream="stderr", tail=1)), (b"out\n", b"out\n", b"more\n"))
    is_((j["output"], j["stderr"]), ({"bytes": 4, "dropped": 0}, {"bytes": 9, "dropped": 0}))
    invalid("Logs", "stream", id=apart, stream="both")
    quiet = d.submit("true", split_output=True)["id"]
    d.wait_end(quiet)
    is_(d.output(quiet, stream="stderr"), b"")


# ---- who may

@case("others' contexts: nothing of them is shown, nothing may be done")
def _():
    if os.geteuid() != 0:
        skip("needs root")
    s = SystemDaemon("[deadline]\ngrace = 400ms\n", spawner_args=["--allow-root"])
    with identity(ALICE):
        alice = Varlink(s.sock)
    with identity(BOB):
        bob = Varlink(s.sock)
    root = Varlink(s.sock)
    wait_until(lambda: alice.call("Stats")["spawner_up"], "the spawner")
    j = alice.call("Submit", argv=["sleep", "1000"], key="mine", values={"secret": "x"})["job"]
    scope = alice.call("Scope")["job"]
    for method, params in (
        ("Close", {"id": scope["id"]}),
        ("Progress", {"id": j["id"], "percent": 1}),
        ("Signal", {"id": j["id"], "signal": "TERM"}),
        ("Events", {"id": j["id"]}),
        ("Submit", {"argv": ["true"], "parent": j["id"]}),
        ("Submit", {"argv": ["true"], "parent": scope["id"], "inherit": ["cancel"]}),
        ("Scope", {"parent": j["id"]}),
    ):
        refused(bob.call, "NotPermitted", method, **params)
    s.wait_log(rf"audit action=refused uid={BOB} .*method=io.ctxd.Signal error=NotPermitted")
    is_(bob.call("List", values={"secret": "x"})["jobs"], [])
    is_(bob.call("List", trace=j["traceparent"].split("-")[1])["jobs"], [])
    is_(bob.call("List", parent=j["id"])["jobs"], [])
    is_(bob.call("Events")["events"], [])
    mine = bob.call("Submit", argv=["sleep", "1000"], key="mine")  # a key is each user's own
    ok(mine["created"] and mine["job"]["id"] != j["id"])
    is_({e["id"] for e in bob.call("Events")["events"]}, {mine["job"]["id"]})
    bob.send("Events", {"follow": True, "progress": True, "after": bob.call("Events")["events"][-1]["edge"]}, more=True)
    for v, who in ((alice, j["id"]), (root, mine["job"]["id"])):
        wait_until(lambda: v.call("Get", id=who)["job"]["pid"], "it to run")
        is_(v.call("Progress", id=who, percent=5)["job"]["progress"]["percent"], 5)
    got = []
    while not any(e["progress"] for e in got):
        got += next_events(bob)
    is_({e["id"] for e in got}, {mine["job"]["id"]})
    is_(root.call("Signal", id=j["id"], signal="TERM")["job"]["id"], j["id"])
    is_(root.call("Close", id=scope["id"])["job"]["state"], "closed")
    is_({e["id"] for e in root.call("Events")["events"]}, {j["id"], scope["id"], mine["job"]["id"]})
    root.call("Cancel", id=mine["job"]["id"], now=True)
    root.call("Wait", ids=[j["id"], mine["job"]["id"]])


main()
