#!/usr/bin/python3
"""Metrics: what is counted, as `ctxctl metrics` prints it and as ctx-exporter serves it over HTTP."""
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from ctxtest import *  # noqa: E402,F403

TIMEOUT = 60
EXPORTER = os.path.join(os.path.dirname(CTXD), "ctx-exporter")
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CONF = "[limits]\nrunning = 2\n[class slow]\nrunning = 1\n"
SAMPLE = re.compile(r'([a-z_]+)(\{(?:[a-z_]+="(?:[^"\\\n]|\\.)*",?)*\})? (\S+)$')

d = Daemon(conf=CONF)


def parse(text, openmetrics):
    """Samples by name and labels; every line is well-formed, each family is told once, ahead of its samples."""
    samples, types, family = {}, {}, None
    lines = text.split("\n")
    is_(lines.pop(), "")
    if openmetrics:
        is_(lines.pop(), "# EOF")
    for line in lines:
        if line.startswith("# "):
            word, name, rest = line[2:].split(" ", 2)
            need(word in ("HELP", "TYPE") and rest, line)
            if word == "TYPE":
                need(name not in types, f"{name} comes twice")
                types[name], family = rest, name
            continue
        m = SAMPLE.match(line)
        need(m, f"not a sample: {line!r}")
        name, labels, value = m.groups()
        base = family
        if types[family] == "counter":
            is_(name, family + "_total" if openmetrics else family)
            like(name, "_total$")
        elif types[family] == "histogram":
            need(name in (base + "_bucket", base + "_sum", base + "_count"), line)
        else:
            is_(name, family)
        key = name + (labels or "")
        need(key not in samples, f"{key} comes twice")
        samples[key] = float(value)
    return samples


def metrics(*args):
    return parse(d.ctl_ok("metrics", *args), "--prometheus" not in args)


@case("ctxctl metrics: jobs by class and how they ended, waits, runs, commits")
def _():
    before = metrics()
    is_(before['ctx_jobs_ended_total{class="default",state="succeeded"}'], 0)
    is_(before['ctx_class_queued{class="slow"}'], 0)
    for args, code in ((["true"], 0), (["false"], 1), (["sleep", "0.1"], 0)):
        is_(d.ctl("submit", "--wait", *args).code, code)
    late = []  # how many there are until one had begun to run before its deadline

    def overdue(seconds):
        late.append(d.submit("-t", f"{int(seconds * 1000)}ms", "sleep", "1000"))
        return d.wait_state(late[-1], "deadline_exceeded")["started_at"]

    in_time(overdue, (0.1, 1, 10, 60))
    block = d.submit("-c", "slow", "sleep", "1000")
    d.wait_state(block, "running")
    waits = d.submit("-c", "slow", "true")
    d.ctl_ok("cancel", "--wait", d.submit("-c", "slow", "true"))
    m = metrics()
    for state, n in (("succeeded", 2), ("failed", 1), ("deadline_exceeded", len(late)), ("canceled", 0)):
        is_(m[f'ctx_jobs_ended_total{{class="default",state="{state}"}}'], n, state)
    is_(m['ctx_jobs_ended_total{class="slow",state="canceled"}'], 1)
    is_(m['ctx_attempts_started_total{class="default"}'], 4)
    is_((m['ctx_class_running{class="slow"}'], m['ctx_class_queued{class="slow"}']), (1, 1))
    is_((m['ctx_jobs{state="running"}'], m['ctx_jobs{state="queued"}']), (1, 1))
    ok(m["ctx_queue_oldest_seconds"] > 0, "the age of the queue")
    is_(m['ctx_class_queue_oldest_seconds{class="slow"}'], m["ctx_queue_oldest_seconds"], "which is that of the class")
    is_(m['ctx_class_queue_oldest_seconds{class="default"}'], 0, "of which nothing waits")
    is_(m['ctx_run_seconds_count{class="default"}'], 4)
    is_(m['ctx_run_seconds_bucket{class="default",le="+Inf"}'], 4)
    ok(m['ctx_run_seconds_bucket{class="default",le="0.01"}'] < 4, "one of them ran for longer than 10 ms")
    ok(m['ctx_run_seconds_sum{class="default"}'] >= 0.1, "one of them ran for 100 ms")
    is_(m['ctx_start_delay_seconds_count{class="slow"}'], 1)
    ok(m["ctx_commit_seconds_count"] > before["ctx_commit_seconds_count"])
    is_(m["ctx_commits_failed_total"], 0)
    is_((m["ctx_storage_ok"], m["ctx_spawner_up"]), (1, 1))
    d.ctl_ok("cancel", "--now", "--wait", block, waits)
    is_(metrics()["ctx_queue_oldest_seconds"], 0)


@case("the age of a queue is that of its first job: of the class, and of those that wait for a slot alone")
def _():
    block = d.submit("-c", "slow", "sleep", "1000")
    d.wait_state(block, "running")
    later = [d.submit("-c", "slow", "--in", "1h", "true"), d.submit("-c", "slow", "--after", str(block), "true"), d.submit("-c", "slow", "true")]
    d.ctl_ok("hold", later[2])
    is_(metrics()['ctx_class_queue_oldest_seconds{class="slow"}'], 0, "none waits for a slot")
    d.ctl_ok("pause", "default")
    first, second = d.submit("-c", "slow", "true"), d.submit("true")
    wait_until(lambda: metrics()['ctx_class_queue_oldest_seconds{class="default"}'] > 0.1, "the age to grow")
    classes = {c["class"]: c["oldest_queued_usec"] for c in d.json("metrics")["classes"]}
    ok(classes["slow"] > classes["default"] > 100_000, f"each class has its own: {classes}")
    d.ctl_ok("release", later[2])
    released = {c["class"]: c["oldest_queued_usec"] for c in d.json("metrics")["classes"]}
    ok(released["slow"] - released["default"] > classes["slow"] - classes["default"], "a job that is released counts from its submission")
    d.ctl_ok("cancel", "--wait", first, *later)
    is_(metrics()['ctx_class_queue_oldest_seconds{class="slow"}'], 0)
    d.ctl_ok("resume", "default")
    is_(d.wait_end(second)["state"], "succeeded")
    d.ctl_ok("cancel", "--now", "--wait", block)


@case("--prometheus: the same in its own format; --json: the answer itself")
def _():
    om, prom = metrics(), metrics("--prometheus")
    is_(set(om), set(prom))
    j = d.json("metrics")
    is_({c["class"] for c in j["classes"]}, {"default", "slow"})
    is_(len(j["commit"]["counts"]), len(j["commit"]["bounds_usec"]) + 1)


@case("a retry and a job nobody knows the end of are counted")
def _():
    is_(d.ctl("submit", "--wait", "--retries", "1", "--backoff", "10ms", "false").code, 1)
    i = d.submit("sleep", "1000")
    wait_until(lambda: d.job(i)["pid"], "a pid")
    os.kill(d.monitor_pid(i), signal.SIGKILL)
    is_(d.wait_end(i)["state"], "interrupted")
    m = metrics()
    is_(m['ctx_attempts_retried_total{class="default"}'], 1)
    is_(m['ctx_jobs_ended_total{class="default",state="interrupted"}'], 1)
    is_(m["ctx_half_processed_jobs"], 1)
    d.ctl_ok("resolve", i, "--as", "failed")
    is_(metrics()["ctx_half_processed_jobs"], 0)


# ctx-exporter ------------------------------------------------------------------------------------------------------------

class UnixHTTP(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=TIMEOUT)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)  # with a timeout it would not wait for room in the backlog
        self.sock.settimeout(TIMEOUT)


class Exporter:
    """On a Unix socket, or (INET) on a TCP socket that it is given as a service manager would."""

    def __init__(self, inet=False, env=None):
        self.path = os.path.join(d.dir, "metrics.sock")
        self.listener = None
        argv = [EXPORTER, "--socket", d.sock]
        if inet:
            self.listener = socket.create_server(("127.0.0.1", 0))
            os.set_inheritable(self.listener.fileno(), True)
            argv = ["sh", "-c", f'exec 3<&{self.listener.fileno()}; exec env LISTEN_FDS=1 LISTEN_PID=$$ "$0" "$@"', *argv]
        else:
            argv += ["--listen", "unix:" + self.path]
        env = {k: v for k, v in os.environ.items() if k not in ("JOURNAL_STREAM", "CTXD_SOCKET")} | (env or {})
        self.proc = subprocess.Popen(argv, stderr=subprocess.PIPE, env=env, text=True,
                                     pass_fds=[self.listener.fileno()] if inet else [])
        like(self.proc.stderr.readline(), "ready")

    def connect(self):
        if self.listener:
            return http.client.HTTPConnection("127.0.0.1", self.listener.getsockname()[1], timeout=TIMEOUT)
        return UnixHTTP(self.path)

    def get(self, path, method="GET", accept=None):
        c = self.connect()
        c.request(method, path, headers={"Accept": accept} if accept else {})
        r = c.getresponse()
        body = r.read().decode()
        c.close()
        return r, body

    def metrics(self):
        r, body = self.get("/metrics")
        is_(r.status, 200)
        return parse(body, False)

    def up(self):
        """The metrics, once ctxd has answered: it has 5 s for that, which may not be enough while a disk stands still."""
        return wait_until(lambda: (lambda m: m if m["ctx_up"] == 1 else None)(self.metrics()), "ctxd to answer")

    def stop(self):
        self.proc.terminate()
        is_(self.proc.wait(TIMEOUT), 0)
        self.proc.stderr.close()
        if self.listener:
            self.listener.close()


@case("ctx-exporter: both formats by what is accepted; other paths and methods")
def _():
    e = Exporter()
    e.up()
    r, body = e.get("/metrics", accept="application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.2")
    like(r.getheader("Content-Type"), "^application/openmetrics-text; version=1.0.0")
    m = parse(body, True)
    is_(m["ctx_up"], 1)
    ok('ctx_attempts_started_total{class="slow"}' in m)
    r, body = e.get("/metrics")
    like(r.getheader("Content-Type"), "^text/plain; version=0.0.4")
    parse(body, False)
    r, body = e.get("/metrics", "HEAD")
    is_((r.status, body), (200, ""))
    wait_until(lambda: [(r.status, json.loads(b)["status"]) for r, b in [e.get("/health")]] == [(200, "ok")], "it to be healthy")
    is_(e.get("/etc/passwd")[0].status, 404)
    r, body = e.get("/metrics", "POST")
    is_((r.status, r.getheader("Allow")), (405, "GET, HEAD"))
    is_(e.get("/")[0].status, 200)
    e.stop()
    wait_until(lambda: os.path.exists(e.path), "the socket's file stays for the next one")


@case("what is served is what ctx-exporter(8) tells of, and nothing else")
def _():
    with open(os.path.join(ROOT, "man", "ctx-exporter.8"), encoding="utf-8") as f:
        told = set(re.findall(r"\bctx_[a-z_]+", f.read().split("\n.Sh METRICS\n")[1].split("\n.Sh ")[0]))
    e = Exporter(env={"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"})
    e.up()
    _, body = e.get("/metrics")
    is_(set(re.findall(r"(?m)^# TYPE (\S+) ", body)), told)
    e.stop()


@case("ctx-exporter outlives ctxd, and ctxd it; a socket of the service manager")
def _():
    e = Exporter(inet=True)
    e.up()
    d.kill9()
    wait_until(lambda: e.metrics()["ctx_up"] == 0, "that ctxd is away to be seen")
    r, body = e.get("/health")
    is_((r.status, json.loads(body)["ctxd"]), (503, False))
    like(json.loads(body)["reason"], re.escape(d.sock))
    d.start()
    m = e.up()
    wait_until(lambda: e.get("/health")[0].status == 200, "it to be healthy")
    ok(m["ctx_exporter_fetches_failed_total"] >= 1)
    is_(m['ctx_jobs_ended_total{class="default",state="failed"}'], 0, "counters begin anew")
    e.stop()
    is_(d.submit("true") > 0, True)


@case("100 scrapes at once, and some that hang: ctxd is asked once a second")
def _():
    e = Exporter()
    hung = []
    for text in (b"", b"GET /metr", b"GET /metrics HTTP/1.1\r\nHost: x\r\n", b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"):
        c = e.connect()
        c.connect()
        c.sock.sendall(text)
        hung.append(c)  # and reads nothing
    got, lock = [], threading.Lock()

    def scrape():
        m = e.metrics()
        with lock:
            got.append(m)

    for _ in range(5):
        start = time.monotonic()
        before = e.metrics()["ctx_exporter_fetches_total"]
        got.clear()
        threads = [threading.Thread(target=scrape) for _ in range(100)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        took = time.monotonic() - start
        is_(len(got), 100)
        ok(max(m["ctx_exporter_fetches_total"] for m in got) - before <= took + 1, f"asked no more than once a second in {took:.1f} s")
        if {m["ctx_up"] for m in got} == {1}:  # see up()
            break
    is_({m["ctx_up"] for m in got}, {1})
    wait_until(lambda: d.json("status")["connections"] <= 3, "one connection to ctxd")
    for c in hung:
        c.close()
    e.stop()


@case("ctx-exporter: what it is told wrongly")
def _():
    for args, text in ((["--listen", "localhost:80"], "numeric"), (["--listen", "127.0.0.1"], "ADDRESS:PORT"),
                       (["--listen", "127.0.0.1:0"], "ADDRESS:PORT"), (["--listen", "127.0.0.1:65536"], "ADDRESS:PORT"),
                       (["--listen", "::1:80"], "ADDRESS:PORT"), (["--listen", "unix:relative"], "absolute"),
                       ([], "nothing to do"), (["word"], "unexpected")):
        r = run([EXPORTER, *args])
        is_(r.code, 2, " ".join(args))
        like(r.err, text)
    r = run([EXPORTER, "--listen", "unix:/nonexistent/x"])
    is_(r.code, 1)
    like(r.err, "/nonexistent/x")
    like(run([EXPORTER, "--help"]).out, "--listen")


@case("nothing is left")
def _():
    d.cleanup()


main()
