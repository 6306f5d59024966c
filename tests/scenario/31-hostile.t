#!/usr/bin/python3
"""Peers that send junk, too much, or nothing, or never read: they lose their own connection, everybody else is served, memory
stays bounded, and the log does not grow with them."""
# test-timeout: 300
import contextlib
import json
import os
import random
import resource
import select
import socket
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from ctxtest import *
from varlink import Varlink, VarlinkClosed, VarlinkError, VarlinkTimeout, encode

resource.setrlimit(resource.RLIMIT_NOFILE, (8192, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
SANITIZED = "asan" in os.environ.get("CTX_BUILD", "")

d = Daemon(conf="[daemon]\nmax_message = 256K\n[limits]\nrunning = 4\n")


def rss():
    """Resident KiB of ctxd."""
    with open(f"/proc/{d.proc.pid}/status", encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS:"))


def fds():
    return len(os.listdir(f"/proc/{d.proc.pid}/fd"))


def connections():
    """As the daemon counts them, without ours; -1: it has no room for ours."""
    with Varlink(d.sock) as v:
        try:
            return v.call("Stats")["connections"] - 1
        except VarlinkError as e:
            return -1 if e.short == "NotReady" else need(False, f"{e}")


def served():
    """Somebody else is served."""
    with Varlink(d.sock) as v:
        is_(v.call("Submit", argv=["true"])["created"], True)


def raw(data):
    """Send DATA; all that comes until the daemon closes, None if it does not."""
    with Varlink(d.sock) as v:
        try:
            v.send_raw(data)
        except VarlinkClosed:
            pass
        out = b""
        try:
            while True:
                out += v.receive_raw() + b"\0"
        except VarlinkClosed as e:
            return out + e.rest
        except VarlinkTimeout:
            return None


@case("junk closes the connection")
def _():
    for junk in (b"hello\0", b"GET / HTTP/1.1\r\n\r\n\0", b"\0", b"\0" * 100000, b"[]\0", b"{}\0", b"null\0", b'"x"\0', b"{\0",
                 b'{"method":null}\0', b'{"method":["io.ctxd.Get"]}\0', b'{"method":"Get"}\0', b'{"method":"io.ctxd."}\0',
                 b'{"method":"io.ctxd.Get","parameters":[]}\0', b'{"method":"io.ctxd.Get","parameters":"x"}\0',
                 b'{"method":"io.ctxd.Stats","more":1}\0', b'{"method":"io.ctxd.Stats","oneway":"yes"}\0',
                 b'{"method":"io.ctxd.Stats","more":true,"oneway":true}\0',
                 b'{"method":"io.ctxd.Stats","method":"io.ctxd.Reload"}\0', b'{"method":"io.ctxd.Stats"} x\0',
                 b'{"method":"io.ctxd.Get","id":99999999999999999999}\0',
                 b'{"method":"io.ctxd.Stats\\u0000","parameters":{}}\0',
                 b'{"method":"io.ctxd.Submit","parameters":{"argv":["\xff\xfe"]}}\0',
                 b'{"method":"io.ctxd.Submit","parameters":{"argv":["\\ud800"]}}\0', bytes(range(1, 256)) + b"\0"):
        is_(raw(junk), b"", f"{junk[:40]}")
    served()


@case("nesting: ten thousand deep, and wide")
def _():
    for text in (b"[" * 10000, b'{"a":' * 10000, b'{"method":"io.ctxd.Get","parameters":{"id":' + b"[" * 20000 + b"]" * 20000 + b"}}",
                 b'{"method":"io.ctxd.Submit","parameters":{"argv":[' + b"[]," * 60000 + b"[]]}}"):
        is_(raw(text + b"\0"), b"", f"{text[:30]}")
    served()


@case("a half message, and then nothing or the end")
def _():
    v = Varlink(d.sock)
    v.send_raw(b'{"method":"io.ctxd.Sta')
    served()
    v.send_raw(b'ts"}\0')
    ok("pid" in v.receive()[0])
    v.send_raw(b'{"method":"io.ctxd.Submit","parameters":{"argv":["touch","' + d.dir.encode() + b'/half"]}}')
    v.half_close()
    ok(v.closed())
    v.close()
    ok(not os.path.exists(os.path.join(d.dir, "half")))


@case("messages of 10 MiB: told the limit, closed")
def _():
    before = rss()
    for data in (b"x" * (10 << 20), encode("Submit", {"argv": ["true", "y" * (10 << 20)]}), b'{"method":"' + b" " * (10 << 20)):
        answer = need(raw(data), "an answer")
        e = json.loads(answer[:-1])
        is_((e["error"], e["parameters"]["field"]), ("io.ctxd.InvalidArgument", "message"))
        like(e["parameters"]["reason"], "262144")
    with Varlink(d.sock) as v:  # just below is fine
        job = v.call("Submit", argv=["true", "z" * (120 << 10), "z" * (120 << 10)])["job"]
        is_(len(job["argv"][1]), 120 << 10)
    if not SANITIZED:
        ok(rss() - before < 8192, f"{before} -> {rss()} KiB")


@case("a message byte by byte, by a hundred connections at once")
def _():
    text = encode("Get", {"id": 1})
    slow = [Varlink(d.sock) for _ in range(100)]
    for i in range(len(text)):
        for v in slow:
            v.send_raw(text[i:i + 1])
    for v in slow:
        is_(v.receive()[0]["job"]["id"], 1)
        v.close()


@case("one that never reads is served no further, cut off in the end, and harms nobody")
def _():
    before = rss()
    deaf = []
    for method, params, more in (("GetInterfaceDescription", {"interface": "io.ctxd"}, False), ("List", {}, True),
                                 ("Get", {"id": 1}, False)):
        v = Varlink(d.sock)
        v.sock.setblocking(False)
        name = f"org.varlink.service.{method}" if method.startswith("GetI") else method
        calls = encode(name, params, more=more) * 2000
        end = time.monotonic() + 2
        while time.monotonic() < end:
            if not select.select([], [v.sock], [], 0.2)[1]:
                break
            try:
                v.sock.send(calls)
            except BlockingIOError:
                pass
        deaf.append(v)
    served()
    if not SANITIZED:
        ok(rss() - before < 12 * 1024, f"{before} -> {rss()} KiB")
    for v in deaf:
        v.close()
    wait_until(lambda: connections() == 0, "the deaf ones to be gone")


@case("a list of everything to one who reads a little at a time costs no memory")
def _():
    with Varlink(d.sock) as v:
        ids = [r["job"]["id"] for r in v.pipeline([("Submit", {"argv": ["true", "x" * 500]})] * 3000)]
        for k in range(0, len(ids), 1000):
            is_(sum(1 for _ in v.call_more("Wait", ids=ids[k:k + 1000])), 1000)
        e = None
        try:
            v.call("Wait", ids=ids[:1000])
        except VarlinkError as error:
            e = error
        like(need(e, "so large an answer in one piece").params["reason"], "use more")
    before = rss()
    slow = [Varlink(d.sock) for _ in range(20)]
    for v in slow:
        v.send("List", {}, more=True)
    served()
    seen = [0] * len(slow)
    last = [False] * len(slow)
    most = 0
    while not all(last):
        for i, v in enumerate(slow):
            if not last[i]:
                reply, continues = v.receive()
                seen[i] += len(reply["jobs"])
                last[i] = not continues
        most = max(most, rss())
    ok(all(n >= 3000 for n in seen), f"{seen}")
    if not SANITIZED:
        ok(most - before < 20 * 1024, f"{before} -> {most} KiB for twenty lists of 3 MiB")
    for v in slow:
        v.close()


@case("buffers of one user are bounded all together")
def _():
    before = rss()
    held = []
    for _ in range(200):  # 200 * 256 KiB that never become a message; a user may hold 64 messages' worth
        v = Varlink(d.sock)
        try:
            v.send_raw(b"x" * (255 << 10))
        except VarlinkClosed:
            pass
        v.sock.setblocking(False)
        held.append(v)
    refused = set()

    def told():
        for v in held:
            with contextlib.suppress(BlockingIOError, ConnectionResetError):
                if v not in refused and b"NotReady" in v.sock.recv(4096):
                    refused.add(v)
        return len(refused)

    wait_until(lambda: told() > 50, "many of 200 to be refused")
    if not SANITIZED:
        ok(rss() - before < 40 * 1024, f"{before} -> {rss()} KiB")
    for v in held:
        v.close()
    wait_until(lambda: connections() == 0, "them to be gone")
    served()


@case("more connections than a user may have: told so, and the others live")
def _():
    held = [Varlink(d.sock) for _ in range(256)]
    for v in held:
        v.send("Stats")
    for v in held:
        ok("pid" in v.receive()[0])
    for _ in range(50):
        with Varlink(d.sock) as v:
            try:
                v.receive()
                ok(False, "more than 256 were admitted")
            except VarlinkError as e:
                is_(e.short, "NotReady")
                like(e.params["reason"], r"max_connections_per_user is 256")
            ok(v.closed())
    ok("pid" in held[7].call("Stats"))
    for v in held:
        v.close()
    wait_until(lambda: connections() == 0, "them to be gone")
    served()


@case("random bytes and broken calls")
def _():
    seed = int(os.environ.get("CTX_TEST_SEED", random.randrange(1 << 32)))
    diag(f"CTX_TEST_SEED={seed}")
    rng = random.Random(seed)
    good = [encode("Submit", {"argv": ["true"], "env": {"A": "b"}, "umask": 18}), encode("List", {"states": ["failed"]}, more=True),
            encode("Wait", {"ids": [1, 2], "any": True, "timeout_usec": 1000}), encode("Logs", {"id": 1, "tail": 3}, more=True),
            encode("Extend", {"id": 1, "by_usec": 5}), encode("Cancel", {"id": 1, "cause": "x"}), encode("Config"),
            encode("org.varlink.service.GetInfo")]
    for _ in range(400):
        data = bytearray(b"".join(rng.choice(good) for _ in range(rng.randint(1, 5))))
        for _ in range(rng.randint(0, 6)):
            at = rng.randrange(len(data))
            how = rng.randrange(4)
            if how == 0:
                data[at] = rng.randrange(256)
            elif how == 1:
                del data[at:at + rng.randint(1, 10)]
            elif how == 2:
                data[at:at] = rng.randbytes(rng.randint(1, 10))
            else:
                data[at:at] = data[rng.randrange(len(data)):][:20]
            if not data:
                break
        with Varlink(d.sock) as v:
            try:
                v.send_raw(bytes(data))
                v.half_close()
                while True:
                    v.receive()
            except (VarlinkClosed, VarlinkError, OSError):
                pass
    ok(d.running(), "ctxd lives")
    served()


@case("a thousand clients that vanish in the middle")
def _():
    calls = [encode("Submit", {"argv": ["true"]}), encode("Wait", {"ids": [1]}), encode("List", {}, more=True),
             encode("Submit", {"argv": ["true"], "inherit": ["cancel"]}, more=True), encode("Logs", {"id": 1}, more=True)]
    before = fds()
    for i in range(1000):
        with Varlink(d.sock) as v, contextlib.suppress(VarlinkClosed):  # refused, where those before it have not been noticed
            v.send_raw(calls[i % len(calls)][: None if i % 3 else 20])
    wait_until(lambda: connections() == 0, "them to be gone")
    with Varlink(d.sock) as v:
        wait_until(lambda: not v.call("List", states=["queued", "running", "stopping"])["jobs"], "their jobs to end")
    wait_until(lambda: fds() <= before + 1, f"descriptors to be given back: {before} -> {fds()}")


@case("the log says each kind of thing, and little of it")
def _():
    before = len(d.log_text())
    with Varlink(d.sock) as v:
        for r in v.pipeline([("Nothing", {})] * 20000):
            need(isinstance(r, VarlinkError), f"{r!r}")
    for _ in range(500):
        raw(b"junk\0")
    new = d.log_text()[before:]
    ok(len(new) < 20000, f"{len(new)} bytes of log")
    with Varlink(d.sock) as v:
        v.send_raw(b'{"method":"io.ctxd.Get","parameters":{"\\u001b[31m\\n":1}}\0')
        ok(b"InvalidParameter" in v.receive_raw())
    unlike(d.log_text(), "\x1b")


@case("out of descriptors: told so, and well again afterwards")
def _():
    d.stop()
    d.start(prefix=("prlimit", "--nofile=60:60"))
    held = []
    told = 0
    for _ in range(120):
        held.append(Varlink(d.sock))

    def one_told():
        for v in held:
            if select.select([v.sock], [], [], 0)[0]:
                return v
        return None

    v = wait_until(one_told, "somebody to be told")
    try:
        v.receive()
    except VarlinkError as e:
        told += e.short == "NotReady"
    is_(told, 1)
    d.wait_log("cannot accept")
    for v in held:
        v.close()
    wait_until(lambda: connections() == 0, "all to be gone")
    with Varlink(d.sock) as v:
        ok("pid" in v.call("Stats"))
    d.restart()


@case("what was running went on")
def _():
    with Varlink(d.sock) as v:
        id = v.call("Submit", argv=["sh", "-c", "exit 9"])["job"]["id"]
        is_(v.call("Wait", ids=[id])["jobs"][0]["exit_code"], 9)


main()
