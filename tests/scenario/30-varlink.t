#!/usr/bin/python3
"""The socket as any Varlink client sees it: framing, pipelining, every method, and varlinkctl."""
import base64
import json
import os
import re
import shutil
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from ctxtest import *
from varlink import Varlink, VarlinkClosed, VarlinkError

HERE = os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(HERE, "..", "..", "daemon", "api", "io.ctxd.varlink"), encoding="utf-8") as f:
    IDL = f.read()

d = Daemon(conf="[output]\nmax_bytes = 64K\n[class slow]\ntimeout = 1h\npriority = 7\n[deadline]\nmax_timeout = 2h\n")


def error(fn, *args, **kw):
    """The error a call must end in."""
    try:
        got = fn(*args, **kw)
    except VarlinkError as e:
        return e
    need(False, f"an error was to come, not {got!r}")


def members(kind, name):
    """Names of the members of a type, or of a method's reply."""
    text = IDL[need(IDL.find(f"\n{kind} {name}"), f"{kind} {name} is in the IDL"):]
    if kind == "method":
        text = text[text.index("-> "):]
    depth, found = 0, set()
    for m in re.finditer(r"[()]|(\w+):", text):
        depth += {"(": 1, ")": -1}.get(m.group(), 0)
        if m.group(1) and depth == 1:
            found.add(m.group(1))
        if depth == 0:
            return found
    return found


def submit(v, *argv, **kw):
    return v.call("Submit", argv=list(argv), **kw)["job"]


def run_it(v, *argv, **kw):
    """Id of a job that runs."""
    id = submit(v, *argv, **kw)["id"]
    wait_until(lambda: v.call("Get", id=id)["job"]["state"] == "running", f"job {id} to run")
    return id


def read_logs(v, id, **kw):
    out, dropped = b"", 0
    for r in v.call_more("Logs", id=id, **kw):
        out += base64.b64decode(r["data"])
        dropped += r["dropped"]
    return out, dropped


@case("who is there, and the description that is installed")
def _():
    with Varlink(d.sock) as v:
        info = v.call("org.varlink.service.GetInfo")
        is_(info["product"], "ctxd")
        is_(sorted(info["interfaces"]), ["io.ctxd", "org.varlink.service"])
        is_(v.call("org.varlink.service.GetInterfaceDescription", interface="io.ctxd")["description"], IDL)
        like(v.call("org.varlink.service.GetInterfaceDescription", interface="org.varlink.service")["description"],
             r"^interface org\.varlink\.service$")
        e = error(v.call, "org.varlink.service.GetInterfaceDescription", interface="a.b")
        is_((e.name, e.params), ("org.varlink.service.InterfaceNotFound", {"interface": "a.b"}))


@case("a job from Submit to its end, every member as the description says")
def _():
    with Varlink(d.sock) as v:
        r = v.call("Submit", argv=["sh", "-c", "echo $A; umask; pwd; exit 3"], name="first", cwd="/tmp",
                   env={"A": "x y", "PATH": "/usr/bin:/bin"}, umask=0o27, timeout_usec=5_000_000,
                   grace_usec=1_000_000, stop_signal="INT", priority=4)
        is_((r["created"], r["notices"]), (True, []))
        job = r["job"]
        is_(set(job), members("type", "Job"))
        is_((job["name"], job["cwd"], job["umask"], job["stop_signal"], job["priority"], job["grace_usec"]),
            ("first", "/tmp", 0o27, "INT", 4, 1_000_000))
        is_((job["timeout_usec"], job["timeout_requested_usec"], job["deadline_rule"]), (5000000, 5000000, "requested"))
        is_((job["values"], job["inherit"], job["parent"], job["kind"]), ({}, ["values", "trace"], None, "job"))
        end = v.call("Wait", ids=[job["id"]])["jobs"][0]
        is_((end["state"], end["exit_code"], end["cause_code"], end["known_by"]), ("failed", 3, "exit", "monitor"))
        like(end["ended_at"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$")
        is_(v.call("Get", id=job["id"])["job"], end)
        is_(read_logs(v, job["id"])[0], b"x y\n0027\n/tmp\n")
        is_(end["output"], {"bytes": 14, "dropped": 0})
        is_(set(v.call("Stats")), members("method", "Stats"))
        one = v.call("ListSummaries", name="first")["jobs"][0]
        is_(set(one), members("type", "Summary"))
        like(one["command"], r"^sh -c 'echo")


@case("without cwd in /, without env a PATH only, class and its defaults")
def _():
    with Varlink(d.sock) as v:
        job = submit(v, "sh", "-c", "pwd; env | grep -v ^CTX | sort", **{"class": "slow"})
        is_((job["class"], job["priority"], job["deadline_rule"]), ("slow", 7, "class_default"))
        v.call("Wait", ids=[job["id"]])
        out = read_logs(v, job["id"])[0].decode().splitlines()
        is_(out[0], "/")
        ok(any(line.startswith("PATH=") for line in out), out)
        ok(not any(line.startswith(("HOME", "XDG")) for line in out), out)
        ok(all(d.run in line for line in out if line.startswith("NOTIFY")), "only its own notify socket")


@case("calls are answered in order, also behind one that waits")
def _():
    fifo = os.path.join(d.dir, "order")
    os.mkfifo(fifo)
    with Varlink(d.sock) as v, Varlink(d.sock) as w:
        id = run_it(v, "sh", "-c", f"read x <{fifo}")
        for method, params in (("Wait", {"ids": [id]}), ("Get", {"id": id}), ("Stats", {})):
            w.send(method, params)
        is_(v.call("Get", id=id)["job"]["state"], "running")
        with open(fifo, "w", encoding="ascii") as f:
            f.write("\n")
        is_(w.receive()[0]["jobs"][0]["state"], "succeeded")
        is_(w.receive()[0]["job"]["id"], id)
        ok("version" in w.receive()[0])
        got = v.pipeline([("Submit", {"argv": ["true"]})] * 200 + [("Get", {"id": 10**9})])
        ids = [r["job"]["id"] for r in got[:-1]]
        is_(ids, sorted(set(ids)))
        is_((got[-1].short, got[-1].params), ("NoSuchJob", {"id": 10**9}))


@case("a message in pieces, several in one, and a half-closed connection")
def _():
    with Varlink(d.sock) as v:
        for byte in b'{"method":"io.ctxd.Stats"}\0':
            v.send_raw(bytes([byte]))
        ok("pid" in v.receive()[0])
        v.send_raw(b'{"method":"io.ctxd.Stats","parameters":null}\0 {"method" : "io.ctxd.Stats" } \0')
        v.half_close()
        for _ in range(2):
            ok("pid" in v.receive()[0])
        ok(v.closed())


@case("oneway is executed and not answered")
def _():
    with Varlink(d.sock) as v:
        v.oneway("Submit", argv=["true"], name="oneway")
        v.oneway("Nothing")
        v.oneway("Wait", ids=[1])
        ok("pid" in v.call("Stats"))
        is_(len(v.call("List", name="oneway")["jobs"]), 1)
    with Varlink(d.sock) as v:
        v.oneway("Submit", argv=["true"], name="oneway-gone")
    with Varlink(d.sock) as v:
        wait_until(lambda: len(v.call("List", name="oneway-gone")["jobs"]) == 1, "the job of one who had gone")


@case("the standard errors")
def _():
    with Varlink(d.sock) as v:
        for method, params, name, want in (
            ("Teleport", {"id": 1}, "MethodNotFound", {"method": "io.ctxd.Teleport"}),
            ("io.other.Get", {}, "InterfaceNotFound", {"interface": "io.other"}),
            ("Get", {}, "InvalidParameter", {"parameter": "id"}),
            ("Get", {"id": "1"}, "InvalidParameter", {"parameter": "id"}),
            ("Get", {"id": 1.0}, "InvalidParameter", {"parameter": "id"}),
            ("Get", {"id": 1, "extra": True}, "InvalidParameter", {"parameter": "extra"}),
            ("Get", {"id": 1, "extra": 2**70}, "InvalidParameter", {"parameter": "extra"}),
            ("Submit", {"argv": "true"}, "InvalidParameter", {"parameter": "argv"}),
            ("Submit", {"argv": ["true", 1]}, "InvalidParameter", {"parameter": "argv"}),
            ("Submit", {"argv": ["true"], "env": {"A": 1}}, "InvalidParameter", {"parameter": "env"}),
            ("submit", {"argv": ["true"]}, "MethodNotFound", {"method": "io.ctxd.submit"}),
            # what later versions bring is refused, never accepted and ignored
            ("Submit", {"argv": ["true"], "executor": "slurm"}, "InvalidParameter", {"parameter": "executor"}),
            ("Submit", {"argv": ["true"], "inherit": ["cancel"]}, "ExpectedMore", {}),
            ("Logs", {"id": 1, "follow": True}, "ExpectedMore", {}),
        ):
            e = error(v.call, method, **params)
            is_((e.name, e.params), ("org.varlink.service." + name, want))
        v.send("Get", {"id": 1}, upgrade=True)
        is_(error(v.receive).short, "MethodNotImplemented")


@case("bad values name their field and leave nothing behind")
def _():
    with Varlink(d.sock) as v:
        before = v.call("List", last=True, limit=1)["jobs"][0]["id"]
        for field, params in (
            ("argv", {"argv": []}),
            ("argv", {"argv": [""]}),
            ("argv", {"argv": ["true", "a\0b"]}),
            ("env", {"env": {"A=B": "1"}}),
            ("env", {"env": {"": "1"}}),
            ("env", {"env": {"A": "1\0"}}),
            ("timeout_usec", {"timeout_usec": 2**63}),
            ("timeout_usec", {"timeout_usec": -(10**30)}),
            ("parent", {"parent": 10**20, "timeout_usec": 1000000}),
            ("cwd", {"cwd": "tmp"}),
            ("cwd", {"cwd": "/" + "x" * 5000}),
            ("name", {"name": "a\tb"}),
            ("name", {"name": "x" * 129}),
            ("class", {"class": "nosuch"}),
            ("class", {"class": "../x"}),
            ("umask", {"umask": 0o1000}),
            ("umask", {"umask": -1}),
            ("timeout_usec", {"timeout_usec": 0}),
            ("timeout_usec", {"timeout_usec": -1}),
            ("timeout_usec", {"timeout_usec": 2**62}),
            ("grace_usec", {"grace_usec": 0}),
            ("grace_usec", {"grace_usec": 2**63 - 1}),
            ("stop_signal", {"stop_signal": "KILLALL"}),
            ("stop_signal", {"stop_signal": "0"}),
            ("priority", {"priority": 2**31}),
            ("priority", {"priority": -1000001}),
            ("deadline_at", {"deadline_at": "tomorrow"}),
            ("deadline_at", {"deadline_at": "2001-01-01T00:00:00Z"}),
            ("deadline_at", {"deadline_at": "2099-01-01T00:00:00"}),
            ("inherit", {"inherit": ["everything"]}),
        ):
            e = error(v.call, "Submit", **{"argv": ["true"], **params})
            is_((e.name, e.params.get("field")), ("io.ctxd.InvalidArgument", field), str(params)[:80])
            ok(e.params.get("reason"), params)
        is_(v.call("List", last=True, limit=1)["jobs"][0]["id"], before)
        for method, params, field in (
            ("Wait", {"ids": []}, "ids"),
            ("Wait", {"ids": [before] * 1001}, "ids"),
            ("Wait", {"ids": [before], "timeout_usec": 0}, "timeout_usec"),
            ("List", {"states": ["sleeping"]}, "states"),
            ("List", {"limit": 0}, "limit"),
            ("List", {"after": -1}, "after"),
            ("List", {"uid": -1}, "uid"),
            ("List", {"since": "yesterday"}, "since"),
            ("Logs", {"id": before, "stream": "both"}, "stream"),
            ("Logs", {"id": before, "stream": "stderr"}, "stream"),
            ("Logs", {"id": before, "tail": -1}, "tail"),
            ("Logs", {"id": before, "offset": -1}, "offset"),
            ("Logs", {"id": before, "offset": 1, "tail": 1}, "tail"),
            ("Extend", {"id": before}, "by_usec"),
            ("Extend", {"id": before, "by_usec": 0}, "by_usec"),
            ("Extend", {"id": before, "by_usec": 1, "to": "now+1h"}, "by_usec"),
            ("Extend", {"id": before, "to": "never"}, "to"),
            ("Cancel", {"id": before, "cause": "a\nb"}, "cause"),
            ("Cancel", {"id": before, "cause": "x" * 2000}, "cause"),
        ):
            e = error(v.call, method, **params)
            is_((e.name, e.params.get("field")), ("io.ctxd.InvalidArgument", field), f"{method} {params}"[:80])


@case("Wait: all, any, a time limit, more, in every order")
def _():
    with Varlink(d.sock) as v:
        quick = [submit(v, "true")["id"] for _ in range(3)]
        long = run_it(v, "sleep", "1000")
        is_([j["id"] for j in v.call("Wait", ids=[quick[1], quick[0], quick[1]])["jobs"]], [quick[1], quick[0]])
        got = v.call("Wait", ids=[long, *quick], any=True)["jobs"]
        ok(got and all(j["id"] in quick for j in got))
        got = {j["id"]: j["state"] for j in v.call("Wait", ids=[long, quick[0]], timeout_usec=1000)["jobs"]}
        is_(got, {long: "running", quick[0]: "succeeded"})
        got = list(v.call_more("Wait", ids=[long, *quick], timeout_usec=300_000))
        is_([len(r["jobs"]) for r in got], [1, 1, 1, 1])
        is_((got[-1]["jobs"][0]["id"], got[-1]["jobs"][0]["state"]), (long, "running"))
        more = v.call_more("Wait", ids=[long, quick[2]])
        is_(next(more)["jobs"][0]["id"], quick[2])
        with Varlink(d.sock) as w:
            w.call("Cancel", id=long, cause="enough", now=True)
        job = next(more)["jobs"][0]
        is_((job["state"], job["cause"], job["cause_code"], job["err"]),
            ("canceled", "enough", "requested", "context canceled"))
        is_(list(more), [])
        is_(error(v.call, "Wait", ids=[quick[0], 10**9]).short, "NoSuchJob")
        is_(v.call("Cancel", id=long, cause="again")["job"]["cause"], "enough")


@case("Extend, up to the maximum and not after the end")
def _():
    with Varlink(d.sock) as v:
        job = submit(v, "sleep", "1000", timeout_usec=60_000_000)
        more = v.call("Extend", id=job["id"], by_usec=60_000_000)["job"]
        is_((more["timeout_usec"], more["deadline_rule"]), (120_000_000, "extended"))
        ok(more["deadline_at"] > job["deadline_at"])
        most = v.call("Extend", id=job["id"], by_usec=10**12)["job"]
        ok(most["timeout_usec"] <= 7200_000_000, most["timeout_usec"])
        is_(error(v.call, "Extend", id=job["id"], by_usec=10**9).params.get("field"), "by_usec")
        v.call("Cancel", id=job["id"], now=True)
        v.call("Wait", ids=[job["id"]])
        e = error(v.call, "Extend", id=job["id"], by_usec=10**6)
        is_((e.short, e.params), ("AlreadyEnded", {"id": job["id"], "state": "canceled"}))


@case("a bound job ends with its connection, a half-closed one does not, and stopping ctxd does not cancel it")
def _():
    with Varlink(d.sock) as v:
        def bound(w, *argv):
            w.send("Submit", {"argv": list(argv), "inherit": ["cancel"]}, more=True)
            reply, continues = w.receive()
            ok(continues)
            return reply["job"]

        with Varlink(d.sock) as w:
            job = bound(w, "sh", "-c", "exit 4")
            is_(job["inherit"], ["cancel"])
            reply, continues = w.receive()
            is_((continues, reply["job"]["exit_code"]), (False, 4))
            ok("pid" in w.call("Stats"))
        with Varlink(d.sock) as w:
            id = bound(w, "sleep", "1000")["id"]
        job = v.call("Wait", ids=[id])["jobs"][0]
        is_((job["state"], job["cause_code"]), ("canceled", "client_gone"))
        w = Varlink(d.sock)
        id = bound(w, "sleep", "1000")["id"]
        w.half_close()
        is_(v.call("Wait", ids=[id], timeout_usec=300_000)["jobs"][0]["state"], "running")
        w.close()
        is_(v.call("Wait", ids=[id])["jobs"][0]["cause_code"], "client_gone")
        # queued ones too, and those whose client sent much more behind
        w = Varlink(d.sock)
        id = bound(w, "sleep", "1000")["id"]
        w.sock.setblocking(False)
        try:
            while True:
                w.sock.send(b" " * 65536)
        except BlockingIOError:
            pass
        w.close()
        is_(v.call("Wait", ids=[id])["jobs"][0]["cause_code"], "client_gone")
        w = Varlink(d.sock)
        id = bound(w, "sleep", "1000")["id"]
    d.restart()
    w.close()
    with Varlink(d.sock) as v:
        is_(v.call("Get", id=id)["job"]["state"], "running")
        v.call("Cancel", id=id, now=True)
        v.call("Wait", ids=[id])


@case("Submit with more and without cancel tells the end and binds nothing")
def _():
    with Varlink(d.sock) as v:
        replies = v.call_more("Submit", argv=["sh", "-c", "exit 5"])
        is_(next(replies)["created"], True)
        is_(next(replies)["job"]["exit_code"], 5)
        is_(list(replies), [])
        w = Varlink(d.sock)
        id = next(w.call_more("Submit", argv=["sleep", "1000"]))["job"]["id"]
        w.close()
        is_(v.call("Wait", ids=[id], timeout_usec=200_000)["jobs"][0]["state"], "running")
        v.call("Cancel", id=id, now=True)
        v.call("Wait", ids=[id])


@case("Logs: a piece, all of it, from an offset, the last lines")
def _():
    with Varlink(d.sock) as v:
        id = submit(v, "sh", "-c", "seq 1 20; printf end")["id"]
        v.call("Wait", ids=[id])
        whole = ("\n".join(map(str, range(1, 21))) + "\nend").encode()
        r = v.call("Logs", id=id)
        is_((base64.b64decode(r["data"]), r["offset"], r["dropped"]), (whole, len(whole), 0))
        r = v.call("Logs", id=id, offset=len(whole))
        is_((r["data"], r["offset"]), ("", len(whole)))
        is_(read_logs(v, id)[0], whole)
        is_(read_logs(v, id, stream="stdout", offset=48)[0], whole[48:])
        for n, want in ((0, b""), (1, b"end"), (2, b"20\nend"), (100, whole)):
            is_(read_logs(v, id, tail=n)[0], want, f"tail {n}")
        is_(read_logs(v, id, offset=10**9)[0], b"")
        is_(error(v.call, "Logs", id=10**9).short, "NoSuchJob")


@case("Logs: followed from before the start to the end, by several")
def _():
    fifo = os.path.join(d.dir, "follow")
    os.mkfifo(fifo)
    with Varlink(d.sock) as v:
        id = submit(v, "sh", "-c", f"echo one; read x <{fifo}; echo two; echo three >&2")["id"]
        followers = [Varlink(d.sock) for _ in range(3)]
        streams = [w.call_more("Logs", id=id, follow=True) for w in followers]
        for s in streams:
            is_(base64.b64decode(next(s)["data"]), b"one\n")
        with open(fifo, "w", encoding="ascii") as f:
            f.write("\n")
        for s in streams:
            is_(b"".join(base64.b64decode(r["data"]) for r in s), b"two\nthree\n")
        for w in followers:
            w.close()


@case("Logs: what the limit removed is counted")
def _():
    with Varlink(d.sock) as v:
        id = submit(v, "sh", "-c", "yes 0123456789abcde | head -c 4000000")["id"]
        job = v.call("Wait", ids=[id])["jobs"][0]
        is_(job["output"]["bytes"], 4000000)
        out, dropped = read_logs(v, id)
        is_(len(out) + dropped, 4000000)
        is_(dropped, job["output"]["dropped"])
        ok(0 < len(out) < 400000, len(out))
        is_(out[:16], b"0123456789abcde\n")
        is_(out[-16:], b"0123456789abcde\n")


@case("List: every job once, by pages and by more, both ways, by every filter")
def _():
    with Varlink(d.sock) as v:
        got = v.pipeline([("Submit", {"argv": ["true"], "name": f"page{n % 3}"}) for n in range(1300)])
        ids = [r["job"]["id"] for r in got]
        for k in range(0, len(ids), 650):
            v.call("Wait", ids=ids[k:k + 650])
        every = [j["id"] for r in v.call_more("List") for j in r["jobs"]]
        is_(every, sorted(set(every)))
        is_(every[-1300:], ids)
        paged, after = [], None
        while True:
            r = v.call("ListSummaries", limit=301, **({"after": after} if after else {}))
            paged += [j["id"] for j in r["jobs"]]
            after = r["next"]
            if not after:
                break
        is_(paged, every)
        is_(len(v.call("List")["jobs"]), 1000)
        back = [j["id"] for r in v.call_more("ListSummaries", last=True) for j in r["jobs"]]
        is_(back, every[::-1])
        is_([j["id"] for j in v.call("List", last=True, limit=2)["jobs"]], every[:-3:-1])
        is_([j["id"] for j in v.call("List", last=True, limit=2, after=every[-2])["jobs"]], every[-3:-5:-1])
        is_([j["id"] for r in v.call_more("List", name="page1") for j in r["jobs"]], ids[1::3])
        is_([j["id"] for r in v.call_more("List", limit=7) for j in r["jobs"]], every[:7])
        ok(all(j["state"] == "failed" for j in v.call("List", states=["failed"])["jobs"]))
        ok(all(j["class"] == "slow" for j in v.call("List", **{"class": "slow"})["jobs"]))
        is_(v.call("List", uid=4000000)["jobs"], [])
        is_(v.call("List", half_processed=True)["jobs"], [])
        is_(v.call("List", since="2099-01-01T00:00:00Z")["jobs"], [])
        is_(len(v.call("List", since=v.call("Get", id=ids[-1])["job"]["submitted_at"])["jobs"]) >= 1, True)


@case("Config and Reload")
def _():
    with Varlink(d.sock) as v:
        settings = {(s["section"], s["key"]): s["value"] for s in v.call("Config")["settings"]}
        is_((settings[("daemon", "max_message")], settings[("class slow", "priority")]), ("1M", "7"))
        is_(v.call("Reload"), {"changes": []})
        with open(d.conf, encoding="utf-8") as f:
            old = f.read()
        d.configure(old.replace("priority = 7", "priority = 8"))
        is_(v.call("Reload")["changes"], [{"section": "class slow", "key": "priority", "old": "7", "new": "8", "acts": "new_jobs"}])
        d.configure(old + "nonsense = 1\n")
        e = error(v.call, "Reload")
        is_(e.name, "io.ctxd.InvalidArgument")
        like(e.params["reason"], "nonsense")
        d.configure(old)
        v.call("Reload")


def varlinkctl(*args):
    return run(["varlinkctl", *args], env={**os.environ, "SYSTEMD_PAGER": "cat", "NO_COLOR": "1"})


def varlinkctl_agrees():
    r = varlinkctl("info", d.sock)
    need(r.code == 0, f"{r}")
    like(r.out, r"ctxd")
    like(r.out, r"io\.ctxd")
    r = varlinkctl("introspect", d.sock, "io.ctxd")
    is_(r.code, 0, f"{r}")
    like(r.out, r"method .*Submit")
    is_(varlinkctl("introspect", d.sock, "org.varlink.service").code, 0)
    r = varlinkctl("validate-idl", os.path.join(HERE, "..", "..", "daemon", "api", "io.ctxd.varlink"))
    is_(r.code, 0, f"{r}")
    r = varlinkctl("call", "-j", d.sock, "io.ctxd.Submit", json.dumps({"argv": ["sh", "-c", "echo out; exit 3"]}))
    need(r.code == 0, f"{r}")
    id = json.loads(r.out)["job"]["id"]
    r = varlinkctl("call", "-j", "-E", d.sock, "io.ctxd.Wait", json.dumps({"ids": [id]}))
    need(r.code == 0, f"{r}")
    r = varlinkctl("call", "-j", "--more", d.sock, "io.ctxd.Logs", json.dumps({"id": id}))
    need(r.code == 0, f"{r}")
    like(r.out, base64.b64encode(b"out\n").decode())
    r = varlinkctl("call", "-j", "--more", d.sock, "io.ctxd.Submit",
                   json.dumps({"argv": ["true"], "inherit": ["cancel"]}))
    need(r.code == 0, f"{r}")
    like(r.out, "succeeded")
    r = varlinkctl("call", "-j", d.sock, "io.ctxd.Get", '{"id":999999999}')
    ok(r.code != 0)
    like(r.out + r.err, "NoSuchJob")


# Debian 12 has none; tests/host/varlinkctl.t brings it along.
if shutil.which("varlinkctl"):
    case("varlinkctl: info, introspect, validate-idl, call, --more")(varlinkctl_agrees)

main()
