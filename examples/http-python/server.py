#!/usr/bin/python3
"""An HTTP handler that starts work which must outlive its request: answers 202 at once, and the client may vanish.

    POST /transcodes    starts a job; `Idempotency-Key`, `X-Request-Id` and `traceparent` travel along
    GET  /transcodes/7  tells how far job 7 is

Python's standard library alone: a call is one JSON object ended by a zero byte, over a Unix socket. Run it with
    CTXD_SOCKET=/run/ctxd/ctxd.sock ./server.py 8080
"""
import json
import os
import socket
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SOCKET = os.environ.get("CTXD_SOCKET", "/run/ctxd/ctxd.sock")
COMMAND = ["sh", "-c", os.environ.get("TRANSCODE", "sleep 10; echo done with $CTX_VALUE_REQUEST_ID")]


class CtxdError(Exception):
    """`name` is that of the interface: KeyConflict, QueueFull, NoSuchJob..."""

    def __init__(self, name, parameters):
        super().__init__(f"{name}: {parameters}")
        self.name, self.parameters = name, parameters


def call(method, **parameters):
    """One call of io.ctxd over a connection of its own; the parameters of the reply."""
    message = {"method": "io.ctxd." + method, "parameters": parameters}
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
        s.settimeout(30)
        s.connect(SOCKET)
        s.sendall(json.dumps(message).encode() + b"\0")
        data = b""
        while not data.endswith(b"\0"):
            piece = s.recv(65536)
            if not piece:
                raise CtxdError("ConnectionLost", {})
            data += piece
    reply = json.loads(data[:-1])
    if reply.get("error"):
        raise CtxdError(reply["error"].rpartition(".")[2], reply.get("parameters", {}))
    return reply.get("parameters", {})


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, body, **headers):
        data = json.dumps(body).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path != "/transcodes":
            return self.answer(404, {"error": "no such path"})
        submission = {
            "argv": COMMAND,
            "cwd": "/",
            "env": {"PATH": "/usr/local/bin:/usr/bin:/bin"},
            "name": "transcode",
            "values": {"request_id": self.headers.get("X-Request-Id", "none")},
            "key": self.headers.get("Idempotency-Key"),
            "traceparent": self.headers.get("traceparent"),
            "tracestate": self.headers.get("tracestate"),
            "baggage": self.headers.get("baggage"),
        }
        try:
            job = call("Submit", **{k: v for k, v in submission.items() if v is not None})["job"]
        except CtxdError as e:
            status = {"KeyConflict": 409, "InvalidArgument": 400}.get(e.name, 503)
            return self.answer(status, {"error": e.name, **e.parameters})
        except OSError as e:
            return self.answer(503, {"error": f"ctxd cannot be reached: {e}"})
        return self.answer(202, {"id": job["id"], "deadline": job["deadline_at"]}, Location=f"/transcodes/{job['id']}")

    def do_GET(self):
        number = self.path.removeprefix("/transcodes/")
        if not number.isdecimal():
            return self.answer(404, {"error": "no such path"})
        try:
            job = call("Get", id=int(number))["job"]
        except CtxdError as e:
            return self.answer(404 if e.name == "NoSuchJob" else 503, {"error": e.name})
        except OSError as e:
            return self.answer(503, {"error": f"ctxd cannot be reached: {e}"})
        return self.answer(200, {key: job[key] for key in ("id", "state", "progress", "exit_code", "cause")})

    def log_message(self, *args):
        pass


server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 8080), Handler)
print(f"http://127.0.0.1:{server.server_address[1]}/", flush=True)
server.serve_forever()
