#!/usr/bin/python3
"""A real Prometheus scrapes ctx-exporter; its tools judge the text, the alert rules and what the dashboard asks for."""
# test-timeout: 400
import contextlib
import json
import os
import random
import re
import socket
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scenario", "lib"))
from ctxtest import *  # noqa: E402,F403

EXAMPLES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "examples", "monitoring")
d = Daemon(conf="[class slow]\nrunning = 1\n")


def free_port():
    """Below those that the kernel gives to whoever asks for any: nobody else gets it before it is used."""
    while True:
        port = random.randrange(20000, 32000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def tool(*args, input=None):
    r = run(["promtool", *args], input=input)
    is_(r.code, 0, r.out + r.err)
    return r.out + r.err


@case("promtool has nothing to say against the text, the rules, the configuration")
def _():
    d.ctl("submit", "--wait", "false")
    is_(tool("check", "metrics", input=d.ctl_ok("metrics", "--prometheus")), "")
    tool("check", "rules", os.path.join(EXAMPLES, "alerts.yml"))
    tool("test", "rules", os.path.join(EXAMPLES, "alerts-test.yml"))
    tool("check", "config", os.path.join(EXAMPLES, "prometheus.yml"))


def start_exporter(port):
    p = subprocess.Popen([os.path.join(BUILD, "ctx-exporter"), "--socket", d.sock, "--listen", f"127.0.0.1:{port}"],
                         stderr=subprocess.PIPE, text=True)
    like(p.stderr.readline(), "ready")
    return p


class Prometheus:
    def __init__(self, target):
        self.port = free_port()
        conf = os.path.join(d.dir, "prometheus.yml")
        with open(os.path.join(EXAMPLES, "prometheus.yml")) as f:
            text = f.read().replace("127.0.0.1:9469", f"127.0.0.1:{target}").replace("15s", "1s")
        with open(conf, "w") as f:
            f.write(text.replace("alerts.yml", os.path.join(EXAMPLES, "alerts.yml")))
        with open(os.path.join(d.dir, "prometheus.log"), "w") as log:
            self.proc = subprocess.Popen(["prometheus", f"--config.file={conf}", f"--web.listen-address=127.0.0.1:{self.port}",
                                          f"--storage.tsdb.path={d.dir}/tsdb"], stdout=log, stderr=log)

    def get(self, path, **args):
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(args)}"
        try:
            with urllib.request.urlopen(url, timeout=60) as r:
                answer = json.load(r)
        except urllib.error.HTTPError as e:
            need(e.code == 503, f"{url}: {e.code} {e.read()!r}")  # 503: it is still starting
            return None
        except OSError:
            return None
        is_(answer["status"], "success", str(answer))
        return answer["data"]

    def query(self, q):
        data = self.get("query", query=q)
        return None if data is None else [float(r["value"][1]) for r in data["result"]]


def dashboard_queries():
    with open(os.path.join(EXAMPLES, "dashboard.json")) as f:
        board = json.load(f)
    return [(p["title"], t["expr"].replace("$instance", ".*").replace("$__rate_interval", "1m").replace("$__range", "1h"))
            for p in board["panels"] for t in p["targets"]]


@case("scraped by a real Prometheus: the numbers arrive, what the dashboard and the alerts ask for is there")
def _():
    port = free_port()
    e = start_exporter(port)
    p = Prometheus(port)
    try:
        wait_until(lambda: p.query("ctx_up") == [1.0], "the first scrape", 90, 0.2)
        for _ in range(5):
            is_(d.ctl("submit", "--wait", "-c", "slow", "true").code, 0)
        wait_until(lambda: p.query('ctx_jobs_ended_total{class="slow",state="succeeded"}') == [5.0], "five ends to arrive", 90, 0.2)
        wait_until(lambda: p.query('rate(ctx_run_seconds_count{class="slow"}[1m])') not in ([], None), "two scrapes", 90, 0.2)
        for title, q in dashboard_queries():
            wait_until(lambda q=q: p.query(q), f"{title}: {q}", 90, 0.2)
        with open(os.path.join(EXAMPLES, "alerts.yml")) as f:
            names = set(re.findall(r"\bctx_[a-z_]+", f.read()))
        for name in sorted(names):
            wait_until(lambda name=name: p.query(name), f"{name}, for which the alerts ask", 90, 0.2)
        d.kill9()
        wait_until(lambda: p.query("ctx_up") == [0.0], "that ctxd is away to arrive", 90, 0.2)
        d.start()
        wait_until(lambda: p.query("ctx_up") == [1.0], "that it is back to arrive", 90, 0.2)
        wait_until(lambda: [t["lastError"] for t in (p.get("targets") or {"activeTargets": []})["activeTargets"]] == [""],
                   "a scrape without an error", 90, 0.2)
    finally:
        for q in (p.proc, e):
            q.terminate()
            q.wait(60)
        e.stderr.close()


@case("nothing is left")
def _():
    d.cleanup()


main()
