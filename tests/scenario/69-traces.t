#!/usr/bin/python3
"""Spans: one for each attempt, in the requester's trace, kept in the outbox until a collector has them - whatever the collector,
ctx-exporter and ctxd do meanwhile."""
# test-timeout: 300
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from collector import Collector  # noqa: E402
from ctxtest import *  # noqa: E402,F403
from sysdaemon import ALICE, SystemDaemon, identity  # noqa: E402
from varlink import Varlink, VarlinkError  # noqa: E402

EXPORTER = os.path.join(BUILD, "ctx-exporter")
CONF = "[traces]\noutbox = 5000\n"
TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"

d = Daemon(conf=CONF)


class Exporter:
    def __init__(self, url, wait=True, sock=None, **env):
        self.log = open(os.path.join(d.dir, "exporter.log"), "ab+")
        base = {k: v for k, v in os.environ.items() if not k.startswith("OTEL_") and k not in ("JOURNAL_STREAM", "CTXD_SOCKET")}
        env.setdefault("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        self.at = self.log.seek(0, 2)
        self.proc = subprocess.Popen([EXPORTER, "--socket", sock or d.sock, "--retry", "200ms"], stderr=self.log, env={**base, "no_proxy": "*", **env})
        if wait:
            self.wait_log("ready")

    def text(self):
        self.log.seek(self.at)
        return self.log.read().decode()

    def wait_log(self, text):
        wait_until(lambda: text in self.text(), f"{text!r} in the exporter's log:\n{self.text()}")

    def stop(self, sig=signal.SIGTERM):
        self.proc.send_signal(sig)
        is_(self.proc.wait(60), 0 if sig == signal.SIGTERM else -sig)
        self.log.close()


def outbox():
    return d.sql("SELECT count(*) FROM outbox")[0][0]


def arrived(c, *jobs):
    wait_until(lambda: all(c.of(j) for j in jobs), f"the spans of {jobs}", 60)
    wait_until(lambda: outbox() == 0, "the outbox to be empty", 60)


@case("a job is a span of its requester's trace; its child hangs below it; how it ended is told")
def _():
    c = Collector()
    e = Exporter(c.url + "/")
    env = {"TRACEPARENT": f"00-{TRACE}-{PARENT}-01", "TRACESTATE": "vendor=x"}
    i = int(d.ctl_ok("submit", "-w", "-n", "brew", "-v", "request=r-17", "sh", "-c", "exit 0", env=env))
    is_(d.ctl("submit", "--wait", "-p", i, "/bin/sh", "-c", "exit 3").code, 3)
    child = i + 1

    def deaf(seconds):
        """A job that had closed its ears when its deadline passed."""
        id = d.submit("-t", f"{int(seconds * 1000)}ms", "--grace", "200ms", "--shell", "trap '' TERM; echo deaf; while :; do sleep 0.05; done")
        is_(d.ctl("wait", id).code, 124)
        return id if d.logs(id) == "deaf\n" else None

    late = in_time(deaf, (0.3, 3, 15, 60))
    arrived(c, i, child, late)
    s, = c.of(i)
    is_((s.trace, s.parent, s.state_text, s.name, s.status), (TRACE, PARENT, "vendor=x", "brew", 1))
    is_(s.id, d.job(i)["span_id"])
    is_(s.flags, 0x301)
    for key, value in {"ctx.job.id": i, "ctx.attempt": 1, "ctx.state": "succeeded", "process.exit.code": 0, "ctx.value.request": "r-17",
                       "process.command": "sh", "process.executable.name": "sh", "process.executable.path": None, "ctx.class": "default",
                       "ctx.known_by": "monitor"}.items():
        is_(s.attributes.get(key), value, key)
    ok("exit 0" not in str(s), "arguments are nobody's business")
    is_([n for n, _, _ in s.events][:1], ["started"])
    ok(all(s.start <= at <= s.end for _, at, _ in s.events))
    t, = c.of(child)
    is_((t.trace, t.parent, t.name, t.status, t.attributes["error.type"]), (TRACE, s.id, "sh", 2, "exit"))
    is_(t.attributes["process.exit.code"], 3)
    is_([t.attributes["process." + k] for k in ("command", "executable.path", "executable.name")], ["/bin/sh", "/bin/sh", "sh"])
    u, = c.of(late)
    is_((u.status, u.attributes["ctx.state"], u.attributes["error.type"], u.parent), (2, "deadline_exceeded", "deadline", None))
    names = [n for n, _, _ in u.events]
    ok("stop signal sent" in names and "SIGKILL sent" in names, str(u.events))
    path, headers, _ = c.requests[0]
    is_((path, headers["Content-Type"]), ("/v1/traces", "application/json"))
    is_(c.resources[0]["service.name"], "ctx")
    is_(c.resources[0]["host.name"], socket.gethostname())
    e.stop()
    c.stop()


@case("each attempt is a span of its own; a scope is one; who derives without the trace is linked")
def _():
    c = Collector()
    e = Exporter(c.url)
    is_(d.ctl("submit", "--wait", "-n", "again", "--retries", "1", "--backoff", "10ms", "false").code, 1)
    i = d.json("list", "--all", "--name", "again")[0]["id"]
    scope = int(d.ctl_ok("scope", "create", "-n", "request"))
    inside = int(d.ctl_ok("submit", "--wait", "-p", scope, "--attach", "true"))
    apart = int(d.ctl_ok("submit", "--wait", "-p", scope, "--background", "true"))
    d.ctl_ok("scope", "close", scope)
    never = int(d.ctl_ok("submit", "--retries", "1", "--backoff", "1h", "false"))
    wait_until(lambda: d.job(never)["attempt"] == 2, "it to wait for its second attempt")
    d.ctl_ok("cancel", "--wait", never)
    arrived(c, i, inside, apart, scope, never)
    one, two = c.of(i)
    is_((one.attributes["ctx.attempt"], two.attributes["ctx.attempt"]), (1, 2))
    ok(one.id != two.id and one.trace == two.trace and two.id == d.job(i)["span_id"])
    s, = c.of(scope)
    is_((s.name, s.status, s.attributes["ctx.kind"], s.attributes["ctx.state"]), ("request", 1, "scope", "closed"))
    t, = c.of(inside)
    is_((t.trace, t.parent, t.links), (s.trace, s.id, []))
    u, = c.of(apart)
    ok(u.trace != s.trace)
    is_((u.parent, u.links), (None, [(s.trace, s.id)]))
    v = c.of(never)
    is_([x.attributes["ctx.state"] for x in v], ["failed", "canceled"])
    is_([x.status for x in v], [2, 0])
    ok(len({x.id for x in v}) == 2)
    e.stop()
    c.stop()


@case("a requester that is not sampled gets no span; without [traces] outbox nobody does")
def _():
    is_(outbox(), 0)
    d.ctl_ok("submit", "--wait", "true", env={"TRACEPARENT": f"00-{TRACE}-{PARENT}-00"})
    is_(outbox(), 0)
    d.configure("")
    d.ctl_ok("reload")
    d.ctl_ok("submit", "--wait", "true")
    is_(outbox(), 0)
    d.configure(CONF)
    d.ctl_ok("reload")
    d.ctl_ok("submit", "--wait", "true")
    is_(outbox(), 1)


@case("1,000 end while the exporter is away and ctxd is killed: all arrive, once each, in few requests")
def _():
    with Varlink(d.sock) as v:
        ids = [r["job"]["id"] for r in v.pipeline([("Submit", {"argv": ["true"]})] * 1000)]
        v.timeout = 200
        v.call("Wait", ids=ids[:300], any=False)
        d.kill9()
    d.start()
    with Varlink(d.sock, 200) as v:
        v.call("Wait", ids=ids)
    is_(outbox(), 1001)
    c = Collector()
    e = Exporter(c.url)
    wait_until(lambda: outbox() == 0, "the outbox to be empty", 60)
    is_(sorted(s.attributes["ctx.job.id"] for s in c.spans)[1:], ids)
    is_(len({s.id for s in c.spans}), 1001)
    ok(len(c.requests) <= 4, f"{len(c.requests)} requests")
    e.stop()
    c.stop()


@case("the collector is away, busy, slow, answers garbage, takes a part: jobs go on, each span arrives")
def _():
    s = socket.socket()  # while nobody listens on it, who connects is refused; and nobody else gets the port
    s.bind(("127.0.0.1", 0))
    e = Exporter(f"http://127.0.0.1:{s.getsockname()[1]}")
    first = d.submit("true")
    d.wait_end(first)
    e.wait_log("spans wait in the outbox")
    is_(outbox(), 1)
    c = Collector(s, [(503, {"Retry-After": "1"}, b"later"), (429, {}, b""), (302, {"Location": "http://127.0.0.1:1/"}, b""),
                      (500, {}, b"\xff\0" * 40000), (401, {}, b"who are you"), (404, {}, b"")])
    arrived(c, first)
    is_(len(c.of(first)), 1)
    e.wait_log("takes spans again")
    c.answers = [(200, {}, b"<html>hello"), (200, {"Content-Type": "application/json"}, b'{"partialSuccess":{"rejectedSpans":"1","errorMessage":"no"}}')]
    for _ in range(2):
        arrived(c, d.submit("true"))
    e.wait_log("did not take 1 of 1 spans")
    e.stop()
    c.stop()


@case("a span that the collector refuses is found among the others and dropped; they arrive")
def _():
    c = Collector()
    bad = d.submit("-n", "poison", "true")
    ids = [d.submit("true") for _ in range(20)]
    for i in (bad, *ids):
        d.wait_end(i)

    def answer(handler, body):
        return (400, {}, b"poison") if b"poison" in body else None

    c.always = answer
    e = Exporter(c.url)
    arrived(c, *ids)
    is_(c.of(bad), [])
    is_(sorted(s.attributes["ctx.job.id"] for s in c.spans), sorted(ids), "once each")
    e.wait_log("refuses a span")
    e.stop()
    c.stop()


@case("killed at any moment, exporter or ctxd: each span arrives, and never as two")
def _():
    c = Collector()
    ids, over = [], threading.Event()

    def load():
        while not over.is_set():
            ids.append(d.submit("true"))

    t = threading.Thread(target=load, daemon=True)
    t.start()
    e = Exporter(c.url)
    for round in range(6):
        n = len(c.requests)
        wait_until(lambda: len(c.requests) > n, "a request")
        e.stop(signal.SIGKILL)
        if round % 2:
            # After the request and before the answer: it was taken, and nobody knows.
            gate = threading.Event()
            c.answers = [lambda h, b: gate.wait(60) and None]
            n = len(c.requests)
            e = Exporter(c.url)
            wait_until(lambda: len(c.requests) > n, "a request that gets no answer")
            e.stop(signal.SIGKILL)
            gate.set()
        e = Exporter(c.url)
    over.set()
    t.join()
    d.kill9()
    d.start()
    for i in ids:
        d.wait_end(i)
    arrived(c, *ids)
    for i in ids:
        is_(len({s.id for s in c.of(i)}), 1, f"job {i}")
    e.stop()
    c.stop()


class Relay:
    """Between an exporter and ctxd: what SEEN(up, message) is true of stays here, and who sent it or waits for it is killed."""

    def __init__(self, name, seen):
        self.seen, self.exporter, self.started = seen, None, threading.Event()
        self.path = os.path.join(d.dir, name)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(4)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        try:
            while True:
                theirs, ours = self.listener.accept()[0], socket.socket(socket.AF_UNIX)
                ours.connect(d.sock)
                for pair in ((theirs, ours, True), (ours, theirs, False)):
                    threading.Thread(target=self.pump, args=pair, daemon=True).start()
        except OSError:  # closed
            pass

    def pump(self, source, to, up):
        rest = b""
        try:
            while data := source.recv(65536):
                *messages, rest = (rest + data).split(b"\0")
                for m in messages:
                    if self.seen(up, m):
                        self.started.wait(60)
                        self.exporter.proc.kill()
                        raise OSError
                    to.sendall(m + b"\0")
        except OSError:
            pass
        for s in (source, to):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def stop(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


@case("killed at each step between ctxd and the collector: each span arrives, and never as two")
def _():
    c = Collector()
    steps = {"asked": lambda up, m: up and b'"io.ctxd.Spans"' in m,
             "answered": lambda up, m: not up and b'"span_id"' in m,
             "to be forgotten": lambda up, m: up and b'"io.ctxd.ForgetSpans"' in m,
             "forgotten": lambda up, m: not up and b'"spans"' not in m}
    ids, requests = [], []
    for name, seen in steps.items():
        ids.append(d.submit("true"))
        d.wait_end(ids[-1])
        relay = Relay("relay." + name.replace(" ", "."), seen)
        relay.exporter = e = Exporter(c.url, False, relay.path)
        relay.started.set()
        is_(e.proc.wait(60), -signal.SIGKILL, name)
        e.log.close()
        relay.stop()
        requests.append(len(c.requests))
        is_(outbox(), 0 if name == "forgotten" else len(ids), f"the outbox at {name!r}")
    is_(requests, [0, 0, 1, 2], "what the collector got until then")
    ids.append(d.submit("true"))
    e = Exporter(c.url)
    arrived(c, *ids)
    for i in ids:
        is_(len({s.id for s in c.of(i)}), 1, f"job {i}")
    is_(len(c.of(ids[-1])), 1)
    e.stop()
    c.stop()


@case("large spans, of which few fit in an answer, are taken one answer after the other, without a rest in between")
def _():
    with Varlink(d.sock, 200) as v:
        ids = [r["job"]["id"] for r in v.pipeline([("Submit", {"argv": ["true"], "values": {"big": "x" * 15000}})] * 200)]
        v.call("Wait", ids=ids)
    asks = []
    relay = Relay("relay.large", lambda up, m: up and b'"io.ctxd.Spans"' in m and asks.append(b'"wait":true' in m.replace(b" ", b"")))
    c = Collector()
    e = Exporter(c.url, True, relay.path)
    arrived(c, *ids)
    wait_until(lambda: asks and asks[-1], "it to wait for more")
    need(len(c.requests) > 4, "more than one answer")
    is_(asks.count(True), 1, "only the last one waits")
    e.stop()
    relay.stop()
    c.stop()


@case("an outbox that is full drops what comes, counts it, and goes on")
def _():
    d.configure("[traces]\noutbox = 5\n")
    d.ctl_ok("reload")
    ids = [d.submit("true") for _ in range(9)]
    for i in ids:
        d.wait_end(i)
    is_(outbox(), 5)
    d.wait_log("outbox of spans is full")
    like(d.ctl_ok("metrics"), "(?m)^ctx_outbox_spans 5\nctx_outbox_dropped_total 4$|^ctx_outbox_spans 5$")
    is_(d.json("metrics")["spans_dropped"], 4)
    d.restart()
    is_((d.json("metrics")["spans_waiting"], d.json("metrics")["spans_dropped"]), (5, 4))
    c = Collector()
    e = Exporter(c.url)
    wait_until(lambda: outbox() == 0, "the outbox to be empty", 60)
    is_(len(c.spans), 5)
    last = d.submit("true")
    arrived(c, last)
    e.stop()
    c.stop()
    d.configure(CONF)
    d.ctl_ok("reload")


@case("TLS: a certificate that nobody signed, or of another name, is refused and the spans wait; one that is named is believed")
def _():
    key, cert = os.path.join(d.dir, "key.pem"), os.path.join(d.dir, "cert.pem")
    r = run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out", cert,
             "-days", "2", "-subj", "/CN=collector", "-addext", "subjectAltName=IP:127.0.0.1"])
    need(r.code == 0, r.err)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(cert, key)
    c = Collector(tls=tls)
    i = d.submit("true")
    d.wait_end(i)
    for url, env, why in ((c.url, {}, "certificate"),
                          (c.url.replace("127.0.0.1", "localhost"), {"OTEL_EXPORTER_OTLP_CERTIFICATE": cert}, "localhost"),
                          (c.url, {"OTEL_EXPORTER_OTLP_CERTIFICATE": "/nonexistent/ca.pem"}, "/nonexistent/ca.pem"),
                          (c.url.replace("https", "http"), {}, "")):
        e = Exporter(url, **env)
        e.wait_log("spans wait in the outbox")
        like(e.text(), f"the collector: .*{why}.*spans wait")
        is_((outbox(), c.requests), (1, []), f"{url} {env}")
        e.stop()
    e = Exporter(c.url, OTEL_EXPORTER_OTLP_CERTIFICATE=cert)
    arrived(c, i)
    is_(len(c.of(i)), 1)
    e.stop()
    c.stop()


@case("headers, resource, limits of time; a name that does not resolve; TLS with one who speaks none")
def _():
    c = Collector()
    e = Exporter("http://unused", OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=c.url + "/custom?x=1", OTEL_SERVICE_NAME="night",
                 OTEL_EXPORTER_OTLP_HEADERS="authorization=Bearer%20abc, x-more=1", OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=test%2C1",
                 OTEL_EXPORTER_OTLP_TIMEOUT="500")
    gate = threading.Event()
    c.answers = [lambda h, b: gate.wait(60) and None]
    i = d.submit("true")
    wait_until(lambda: len(c.requests) >= 2, "it to be tried again after half a second", 60)
    gate.set()
    arrived(c, i)
    path, headers, _ = c.requests[0]
    is_(path, "/custom?x=1")
    is_((headers["authorization"], headers["x-more"]), ("Bearer abc", "1"))
    is_((c.resources[0]["service.name"], c.resources[0]["deployment.environment.name"]), ("night", "test,1"))
    e.stop()
    for url, why in (("http://no-such-host.invalid:4318", "resolve"), (f"https://127.0.0.1:{c.port}", "SSL|TLS")):
        e = Exporter(url)
        d.submit("true")
        e.wait_log("spans wait in the outbox")
        like(e.text(), f"(?i)the collector: .*({why}).*spans wait")
        e.stop()
    e = Exporter(c.url)
    wait_until(lambda: outbox() == 0, "the outbox to be empty", 60)
    e.stop()
    c.stop()
    for name, value, text in (("OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://x", "neither http"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "http/json"),
                              ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip", "none"), ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon", "milliseconds"),
                              ("OTEL_EXPORTER_OTLP_HEADERS", "novalue", "NAME=VALUE"), ("OTEL_EXPORTER_OTLP_HEADERS", "a=%0d%0ax", "percent"),
                              ("OTEL_RESOURCE_ATTRIBUTES", "=x", "NAME=VALUE")):
        r = run([EXPORTER, "--socket", d.sock], env={**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", name: value})
        is_(r.code, 2, name)
        like(r.err, text)


@case("who may take spans: administrators and exporters, nobody else")
def _():
    s = SystemDaemon(conf="[traces]\noutbox = 10\n")
    with identity(ALICE):
        alice = Varlink(s.sock)
    for method, args in (("Spans", {}), ("Spans", {"wait": True}), ("ForgetSpans", {"seq": 1})):
        try:
            alice.call(method, **args)
            ok(False, f"{method} was to be refused")
        except VarlinkError as e:
            is_(e.short, "NotPermitted")
    alice.close()
    with Varlink(s.sock) as v:
        is_(v.call("Spans")["spans"], [])
        for args in ({"limit": 0}, {"limit": 1001}, {"after": -1}):
            try:
                v.call("Spans", **args)
                ok(False, f"{args} was to be refused")
            except VarlinkError as e:
                is_(e.short, "InvalidArgument")
    s.cleanup()


@case("nothing is left")
def _():
    d.cleanup()


main()
