#!/usr/bin/python3
"""The examples, run as their readers would: HTTP handlers in Python, Node and Go, a C program with libctxd."""
# test-timeout: 400
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from ctxtest import *

EXAMPLES = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "examples")
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE}-00f067aa0ba902b7-01"

d = Daemon()
GO = os.path.join(d.dir, "go")


def with_key(key):
    return d.json("list", "--all", "--key", key)


class Server:
    """An example server on a port of its own; jobs tell what they got."""

    def __init__(self, *command, cwd=None, env=()):
        environment = dict(os.environ, CTXD_SOCKET=d.sock,
                           TRANSCODE="echo $CTX_VALUE_REQUEST_ID $TRACEPARENT $BAGGAGE; while [ ! -e %s ]; do sleep 0.05; done" % GO)
        environment.update(env)
        self.proc = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=cwd, env=environment)
        line = self.proc.stdout.readline().decode()
        if not need(line.startswith("http://127.0.0.1:"), f"{command[0]} does not start: {line!r}"):
            return
        self.port = int(line.rstrip("/\n").rpartition(":")[2])

    def request(self, method, path, headers=None):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            c.request(method, path, headers=headers or {})
            r = c.getresponse()
            return r.status, json.loads(r.read()), r.headers
        finally:
            c.close()

    def close(self):
        self.proc.kill()
        self.proc.wait()
        self.proc.stdout.close()
        self.proc.stderr.close()


def handler(server, word):
    """What the handler of every language promises."""
    try:
        if os.path.exists(GO):
            os.unlink(GO)
        headers = {"X-Request-Id": f"req-{word}", "Idempotency-Key": f"key-{word}", "traceparent": TRACEPARENT, "baggage": "tenant=blue"}
        # A client that sends its request and vanishes without reading the answer.
        with socket.create_connection(("127.0.0.1", server.port), timeout=60) as s:
            s.sendall(("POST /transcodes HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n" +
                       "".join(f"{k}: {v}\r\n" for k, v in headers.items()) + "\r\n").encode())
            wait_until(lambda: with_key(f"key-{word}"), "the request's job")
        job = d.job(with_key(f"key-{word}")[0]["id"])
        is_(job["values"], {"request_id": f"req-{word}"})
        # The same request again: the same job.
        status, body, answered = server.request("POST", "/transcodes", headers)
        is_((status, body["id"], answered["Location"]), (202, job["id"], f"/transcodes/{job['id']}"))
        status, body, _ = server.request("GET", f"/transcodes/{job['id']}")
        is_((status, body["state"]), (200, "running"))
        # Another one: another job. The handler dies; both jobs go on.
        status, body, _ = server.request("POST", "/transcodes", dict(headers, **{"Idempotency-Key": f"other-{word}"}))
        is_(status, 202)
        ok(body["id"] != job["id"])
        is_(server.request("GET", "/transcodes/999999")[0], 404)
    finally:
        server.close()
    open(GO, "w").close()
    for i in (job["id"], body["id"]):
        is_(d.wait_end(i)["state"], "succeeded")
    got = d.logs(job["id"]).split()
    is_(got[0], f"req-{word}")
    is_(got[1].split("-")[1], TRACE, "the request's trace")
    is_(got[1].split("-")[2], job["span_id"], "the job's own span")
    is_(job["parent_span_id"], "00f067aa0ba902b7", "below the request's")
    is_(got[2], "tenant=blue")


@case("HTTP handler in Python")
def _():
    handler(Server("/usr/bin/python3", os.path.join(EXAMPLES, "http-python", "server.py"), "0"), "python")


if shutil.which("node"):
    @case("HTTP handler in Node")
    def _():
        handler(Server("node", os.path.join(EXAMPLES, "http-node", "server.mjs"), "0"), "node")

if shutil.which("go"):
    @case("HTTP handler in Go")
    def _():
        program = os.path.join(d.dir, "go-server")
        built = subprocess.run(["go", "build", "-o", program, "."], cwd=os.path.join(EXAMPLES, "http-go"), capture_output=True,
                               env=dict(os.environ, GOCACHE=os.path.join(d.dir, "go-cache"), GOFLAGS="-mod=mod", HOME=d.dir), timeout=200)
        need(built.returncode == 0, built.stderr.decode())
        handler(Server(program, "0"), "go")


@case("libctxd installed: its example is built with pkg-config, submits once for a key, waits in an event loop")
def _():
    root = os.path.dirname(EXAMPLES)
    prefix = os.path.join(d.dir, "usr")
    made = subprocess.run(["make", "-s", f"B={BUILD}", f"PREFIX={prefix}", f"SYSCONFDIR={d.dir}/etc", f"UNITDIR={d.dir}/units",
                           "install-lib"], cwd=root, capture_output=True, timeout=200)
    need(made.returncode == 0, made.stderr.decode())
    env = dict(os.environ, PKG_CONFIG_PATH=os.path.join(prefix, "lib", "pkgconfig"), LD_LIBRARY_PATH=os.path.join(prefix, "lib"),
               CTXD_SOCKET=d.sock)
    flags = subprocess.run(["pkg-config", "--cflags", "--libs", "libctxd"], capture_output=True, env=env, timeout=60)
    need(flags.returncode == 0, flags.stderr.decode())
    program = os.path.join(d.dir, "detach")
    with open(os.path.join(BUILD, "libctxd.so.0"), "rb") as f:
        sanitize = ["-fsanitize=address,undefined"] if b"__asan_init" in f.read() else []
    built = subprocess.run(["cc", "-Wall", "-Wextra", "-Werror", *sanitize, os.path.join(EXAMPLES, "c", "detach.c"), "-o", program,
                            *flags.stdout.decode().split()], capture_output=True, env=env, timeout=60)
    need(built.returncode == 0, built.stderr.decode())

    def detach(*args):
        return subprocess.run([program, *args], capture_output=True, env=env, timeout=60)

    first = detach("k1", "sh", "-c", "exit 3")
    is_((first.returncode, first.stderr), (0, b""))
    again = detach("k1", "sh", "-c", "exit 3")
    is_(again.stdout, first.stdout.rstrip() + b" (was there already)\n")
    like(detach("k1", "sh", "-c", "exit 4").stderr.decode(), "k1")
    second = detach("k2", "true")
    ids = [first.stdout.decode().strip(), second.stdout.decode().strip()]
    waited = detach("--wait", *ids)
    is_((waited.returncode, sorted(waited.stdout.decode().splitlines())), (0, sorted([f"{ids[0]} failed", f"{ids[1]} succeeded"])))
    is_(detach("--wait", "999999").returncode, 1)


main()
