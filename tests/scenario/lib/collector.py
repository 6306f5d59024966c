"""A collector of spans (OTLP/HTTP, JSON) for tests: takes, judges to the letter, and can behave badly."""
import collections
import http.server
import json
import re
import threading

from ctxtest import is_, need, ok

HEX = {16: re.compile("[0-9a-f]{16}"), 32: re.compile("[0-9a-f]{32}")}


def is_id(text, digits):
    return isinstance(text, str) and HEX[digits].fullmatch(text) and set(text) != {"0"}


def attributes(items):
    """A list of KeyValue as a dict."""
    ret = {}
    for a in items:
        is_(set(a), {"key", "value"})
        (kind, value), = a["value"].items()
        need(kind in ("stringValue", "intValue"), str(a))
        need(isinstance(value, str) and a["key"] not in ret, str(a))
        ret[a["key"]] = int(value) if kind == "intValue" else value
    return ret


def nanoseconds(text):
    need(isinstance(text, str) and text.isdigit(), f"not a time: {text!r}")
    return int(text)


Span = collections.namedtuple("Span", "trace id parent state_text flags name start end attributes events links status message")


def judge(s):
    known = {"traceId", "spanId", "traceState", "parentSpanId", "flags", "name", "kind", "startTimeUnixNano", "endTimeUnixNano",
             "attributes", "events", "links", "status"}
    ok(not set(s) - known, f"unknown members: {set(s) - known}")
    need(is_id(s["traceId"], 32) and is_id(s["spanId"], 16), str(s))
    need(s.get("parentSpanId") is None or is_id(s["parentSpanId"], 16), str(s))
    is_(s["kind"], 1)
    start, end = nanoseconds(s["startTimeUnixNano"]), nanoseconds(s["endTimeUnixNano"])
    need(0 < start <= end, str(s))
    events = []
    for e in s["events"]:
        is_(set(e), {"timeUnixNano", "name", "attributes"})
        events.append((e["name"], nanoseconds(e["timeUnixNano"]), attributes(e["attributes"])))
    links = [(x["traceId"], x["spanId"]) for x in s.get("links", [])]
    need(all(is_id(t, 32) and is_id(i, 16) for t, i in links), str(s))
    ok(not set(s["status"]) - {"code", "message"}, str(s["status"]))
    return Span(s["traceId"], s["spanId"], s.get("parentSpanId"), s.get("traceState"), s["flags"], s["name"], start, end,
                attributes(s["attributes"]), events, links, s["status"]["code"], s["status"].get("message"))


class Collector:
    """`answers`: what the next requests get, each (status, headers, body) or a function of the request; then 200. SOCK: where it
    is to listen, bound. TLS: a server's ssl.SSLContext."""

    def __init__(self, sock=None, answers=(), tls=None):
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.take(self, body)

            def log_message(self, *args):
                pass

        self.lock = threading.Lock()
        self.requests = []  # (path, headers, parsed body)
        self.answers = list(answers)
        self.always = None  # for all that `answers` has nothing for
        self.spans = []     # taken
        self.resources = []
        self.wrong = []
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler, bind_and_activate=not sock)
        if sock:
            self.server.socket.close()
            self.server.socket = sock
            self.server.server_address = sock.getsockname()
            self.server.server_activate()
        if tls:  # the handshake is left to the thread that serves
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.server.daemon_threads = True
        self.server.handle_error = lambda request, address: None  # who is killed in the middle of a request
        self.port = self.server.server_address[1]
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def take(self, handler, body):
        with self.lock:
            self.requests.append((handler.path, dict(handler.headers), body))
            answer = self.answers.pop(0) if self.answers else self.always
        if callable(answer):
            answer = answer(handler, body)
        status, headers, text = answer or (200, {}, b'{"partialSuccess":{}}')
        if 200 <= status < 300:
            try:
                self._keep(json.loads(body))
            except Exception as e:  # said at the end, in the thread of the test
                self.wrong.append(repr(e))
        try:
            handler.send_response(status)
            for name, value in headers.items():
                handler.send_header(name, value)
            handler.send_header("Content-Length", str(len(text)))
            handler.end_headers()
            handler.wfile.write(text)
        except OSError:
            pass

    def _keep(self, request):
        is_(set(request), {"resourceSpans"})
        with self.lock:
            for r in request["resourceSpans"]:
                self.resources.append(attributes(r["resource"]["attributes"]))
                for scope in r["scopeSpans"]:
                    is_(scope["scope"]["name"], "ctx")
                    self.spans.extend(judge(s) for s in scope["spans"])

    def of(self, job):
        with self.lock:
            return sorted((s for s in self.spans if s.attributes["ctx.job.id"] == job), key=lambda s: s.attributes["ctx.attempt"])

    def stop(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()
        is_(self.wrong, [])
