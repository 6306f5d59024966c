# shellcheck shell=bash
# ctx-exporter: metrics through its socket unit; spans with the right that it needs, and without.
plan 10

exits 0 "the socket starts" systemctl start ctx-exporter.socket
fetch() { python3 -c 'import sys,urllib.request; sys.stdout.write(urllib.request.urlopen("http://127.0.0.1:9469" + sys.argv[1], timeout=60).read().decode())' "$1"; }
out=$(fetch /metrics)
like "$out" 'ctx_up 1' "the first who asks starts it, and it answers"
like "$out" 'ctx_build_info\{version="[0-9.]+",mode="system"\} 1' "about the system's ctxd"
like "$(fetch /health)" '"status":"ok"' "it is well"
is "$(ps -o user= -p "$(prop ctx-exporter.service MainPID)")" ctx-exporter "it runs as a user of its own"
systemctl stop ctx-exporter.socket ctx-exporter.service

# A collector, and ctxd told to keep spans: at first ctx-exporter has no right to them.
cat >/run/collector.py <<'PY'
import http.server, json
class H(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with open("/run/collected", "a") as f:
            for s in body["resourceSpans"][0]["scopeSpans"][0]["spans"]:
                f.write(s["name"] + "\n")
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")
http.server.HTTPServer(("127.0.0.1", 4318), H).serve_forever()
PY
python3 /run/collector.py 2>/dev/null &
collector=$!
printf '[traces]\noutbox = 100\n' >/etc/ctxd/ctxd.conf.d/traces.conf
echo 'OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318' >/etc/ctxd/exporter.env
reload
as alice ctxctl submit --wait -n brew true >/dev/null
systemctl start ctx-exporter.service
wait_until sh -c 'journalctl --no-pager -q -u ctx-exporter.service | grep -q "administrators"'
ok $? "without [access] exporters it is refused, and says so"
printf '[traces]\noutbox = 100\n[access]\nexporters = ctx-exporter\n' >/etc/ctxd/ctxd.conf.d/traces.conf
reload
: >/run/collected
wait_until grep -qx brew /run/collected
ok $? "with it the span arrives"
as alice ctxctl submit --wait -n second true >/dev/null
wait_until grep -qx second /run/collected
ok $? "and the next one"
is "$(ctxctl metrics | sed -n 's/^ctx_outbox_dropped_total //p')" 0 "none is dropped"
kill "$collector"
systemctl stop ctx-exporter.service
is "$(prop ctx-exporter.service Result)" success "it stops"
rm /etc/ctxd/ctxd.conf.d/traces.conf /etc/ctxd/exporter.env
reload
