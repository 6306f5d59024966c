#!/usr/bin/python3
"""Spans as they arrive at a collector, decoded with the official protobuf definitions (python3-opentelemetry-proto, in a tree of
Debian 13): a request's way from an HTTP handler through a job and its child."""
# test-timeout: 300
import http.server
import json
import os
import subprocess
import sys
import threading
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "scenario", "lib"))
from collector import Collector  # noqa: E402
from ctxtest import *  # noqa: E402,F403

d = Daemon(conf="[traces]\noutbox = 100\n")
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def decode(bodies):
    """In the tree; what it prints."""
    where = os.path.join(d.dir, "requests")
    os.mkdir(where)
    for i, body in enumerate(bodies):
        with open(os.path.join(where, f"{i}.json"), "wb") as f:
            f.write(body)
    script = (f'. "{HERE}/tree.sh" && base=$(tree_with trixie otlp python3-opentelemetry-proto) && tree_open "$base" && '
              f'cp "{HERE}/otlp-decode.py" "{where}"/*.json "$TREE/opt/" && tree_run sh -c "exec python3 /opt/otlp-decode.py /opt/*.json"')
    r = subprocess.run(["bash", "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=280)
    is_(r.returncode, 0, r.stdout + r.stderr)
    return [json.loads(line) for line in r.stdout.splitlines()]


class Handler(http.server.BaseHTTPRequestHandler):
    """A web application whose handler starts a job and answers at once."""

    def do_GET(self):
        env = {"TRACEPARENT": self.headers["traceparent"]}
        job = d.ctl_ok("submit", "-n", "transcode", "-v", "request=" + self.headers["X-Request-Id"], "--shell",
                       f"{CTXCTL} submit --wait -n thumbnail --attach false; exit 0", env=env)
        self.send_response(202)
        self.end_headers()
        self.wfile.write(job.encode())

    def log_message(self, *args):
        pass


@case("from an HTTP handler to the collector: one trace, decoded by the official definitions")
def _():
    c = Collector()
    env = {k: v for k, v in os.environ.items() if k not in ("JOURNAL_STREAM", "CTXD_SOCKET")}
    e = subprocess.Popen([os.path.join(BUILD, "ctx-exporter"), "--socket", d.sock],
                         env={**env, "OTEL_EXPORTER_OTLP_ENDPOINT": c.url, "OTEL_SERVICE_NAME": "shop"}, stderr=subprocess.PIPE)
    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    t = threading.Thread(target=web.serve_forever, args=(0.05,))
    t.start()
    request = urllib.request.Request(f"http://127.0.0.1:{web.server_address[1]}/upload",
                                     headers={"traceparent": f"00-{TRACE}-{SPAN}-01", "X-Request-Id": "r-17"})
    with urllib.request.urlopen(request, timeout=60) as r:
        job = int(r.read())
    d.wait_end(job)
    is_(d.ctl("submit", "--wait", "-t", "3s", "sleep", "1000").code, 124)
    is_(d.ctl("submit", "--wait", "-p", job, "--background", "true").code, 0)
    # Who had no answer in time may send one twice.
    wait_until(lambda: len({s.id for s in c.spans}) == 4, "four spans")
    spans = {s["name"]: s for s in decode([body for _, _, body in c.requests])}
    is_(set(spans), {"transcode", "thumbnail", "sleep", "true"})
    top, below, late, apart = (spans[n] for n in ("transcode", "thumbnail", "sleep", "true"))
    is_((top["trace"], top["parent"], top["service"]), (TRACE, SPAN, "shop"))
    is_((below["trace"], below["parent"]), (TRACE, top["id"]))
    is_((top["status"], below["status"], late["status"]), ("STATUS_CODE_OK", "STATUS_CODE_ERROR", "STATUS_CODE_ERROR"))
    is_({s["kind"] for s in spans.values()}, {"SPAN_KIND_INTERNAL"})
    is_((top["attributes"]["ctx.value.request"], below["attributes"]["ctx.value.request"]), ("r-17", "r-17"))
    is_(below["attributes"]["process.exit.code"], 1)
    ok("stop signal sent" in late["events"], str(late["events"]))
    is_((apart["parent"], apart["links"]), ("", [top["id"]]))
    # The same request id and trace in the record and in the log.
    is_([j["id"] for j in d.json("list", "--all", "--value", "request=r-17")], sorted(j["id"] for j in d.json("list", "--all", "--trace", TRACE)))
    like(d.log_text(), f'job={job} succeeded .*trace={TRACE} value.request="r-17"')
    e.terminate()
    is_(e.wait(60), 0)
    e.stderr.close()
    web.shutdown()
    t.join()
    web.server_close()
    c.stop()


@case("nothing is left")
def _():
    d.cleanup()


main()
