#!/usr/bin/python3
"""bench.py - what users feel, measured on a private ctxd, as ratios to floors taken in the same run.

Usage: bench.py [-q] [NAME …]     names: submit rate durable memory term wait tree key export list ready leak peers (default: all but peers)
-q: a tenth of the work. Prints one line a figure: name, figure, target. Exit status 0 whatever the figures are: a machine that is
busy is no defect. `make bench` builds and runs it.
"""
import datetime
import glob
import json
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "scenario", "lib"))
from ctxtest import BUILD, CTXCTL, Daemon, ctl_env, wait_until  # noqa: E402
from varlink import Varlink  # noqa: E402

BIN = os.path.join(BUILD, "tests", "bench")
FLOOR, LOAD, STAMP = (os.path.join(BIN, x) for x in ("floor", "load", "stamp"))
QUICK = "-q" in sys.argv
SCALE = 0.1 if QUICK else 1.0
ROUNDS = 2 if QUICK else 5


def js(*argv, env=None):
    p = subprocess.run([str(a) for a in argv], capture_output=True, env=env, check=True)
    return json.loads(p.stdout.splitlines()[-1])


def n(x, least=10):
    return max(least, int(x * SCALE))


def say(name, figure, target):
    print(f"{name:52} {figure:>22}   target {target}", flush=True)


_all = []


def daemon(conf=""):
    """As in system mode: state on disk, run directory on tmpfs where there is one to be had. Directories are kept to the end: ext4 makes
    new files many times dearer for minutes after many were deleted."""
    base = "[limits]\nrunning = 8\nqueued = 10000000\n"
    d = Daemon(conf=conf or base, env={"CTXD_CHECK": None, "CTXD_LOG": "warn"}, start=False)
    d.check = False
    if os.access("/dev/shm", os.W_OK):
        d.run = tempfile.mkdtemp(prefix="ctx-bench.", dir="/dev/shm")
    _all.append(d)
    return begin(d)


def begin(d):
    d.start(spawner=False)  # which its log, at this level, does not name
    wait_until(lambda: d.json("status")["spawner_up"], "ctxd to have a spawner")
    return d


def halt(d):
    d.stop()
    for p in d.shims():
        os.kill(p, 9)


def clean():
    for d in _all:
        d.cleanup()
        shutil.rmtree(d.run, ignore_errors=True)


def smaps(pid):
    d = {}
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
        for line in f.readlines()[1:]:
            k, v = line.split()[:2]
            d[k[:-1]] = int(v)
    return d


def rss(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return next(int(x.split()[1]) for x in f if x.startswith("VmRSS"))


def request(d, argv, **params):
    path = os.path.join(d.dir, "request")
    with open(path, "w", encoding="utf-8") as f:
        json.dump({"method": "io.ctxd.Submit", "parameters": {"argv": argv, "cwd": "/", **params}}, f)
    return path


def counts(d):
    with Varlink(d.sock) as v:
        return v.call("Stats")["jobs"]


def drained(d, total, state="succeeded", timeout=600):
    with Varlink(d.sock) as v:
        wait_until(lambda: v.call("Stats")["jobs"].get(state, 0) >= total, f"{total} jobs {state}", timeout, 0.005)


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
        return [int(x) for x in f.read().split()]


def spawner(d):
    for p in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            with open(p, "rb") as f:
                a = f.read().split(b"\0")
        except OSError:
            continue
        if a[0].endswith(b"ctx-spawner") and d.run.encode() in a:
            return int(p.split("/")[2])
    return None


def bench_submit():
    """What a user waits for: 20 calls one after another, then the jobs run dry; two slots, as many as there are processors."""
    d = daemon("[limits]\nrunning = 2\nqueued = 10000000\n")
    ratio, ours = [], []
    for _ in range(n(30, 5)):
        floor = js(FLOOR, "time", 20, "/bin/true")["med_us"]
        sub = js(FLOOR, "time", 20, CTXCTL, "submit", "/bin/true", env=ctl_env(d.sock))
        ratio.append(sub["med_us"] / floor)
        ours.append(sub["med_us"])
        wait_until(lambda: not set(counts(d)[x] for x in ("queued", "running")) - {0}, "the jobs to end", 120)
    say("submit, of /bin/true", f"{statistics.median(ratio):.2f} ({statistics.median(ours):.0f} us)", "<= 1.60")
    halt(d)


def bench_rate():
    ratio, ours = [], []
    for _ in range(ROUNDS):
        d = daemon()
        total = n(2000)
        floor = js(FLOOR, "rate", n(1000), 8, "/bin/true")["per_s"]
        t = time.monotonic()
        js(LOAD, d.sock, request(d, ["/bin/true"]), 1, total, total)
        drained(d, total)
        per_s = total / (time.monotonic() - t)
        ratio.append(per_s / floor)
        ours.append(per_s)
        halt(d)
    say("jobs per second, 8 slots, pipelined, of spawn floor",
        f"{statistics.median(ratio):.2f} ({statistics.median(ours):.0f}/s)", ">= 0.65")


def bench_durable():
    one, many = [], []
    for _ in range(ROUNDS):
        d = daemon("[limits]\nrunning = 1\nqueued = 10000000\n")
        d.submit("sleep", "1000")
        req = request(d, ["/bin/true"])
        one.append(js(LOAD, d.sock, req, 1, 1, n(5000))["per_s"])
        many.append(js(LOAD, d.sock, req, 32, 1, n(40000))["per_s"])
        halt(d)
    a, b = statistics.median(one), statistics.median(many)
    say("durable submissions, 32 connections, of 1", f"{b / a:.1f} ({b:.0f}/s, {a:.0f}/s)", ">= 4")


def bench_memory():
    d = daemon("[limits]\nrunning = 100\nqueued = 10000000\n")
    d.ctl_ok("status")
    idle = rss(d.proc.pid)
    ids = [d.submit("sleep", "1000") for _ in range(100)]
    for i in ids:
        d.wait_state(i, "running")
    sp = spawner(d)
    wait_until(lambda: len(children(sp)) == 100, "100 monitors")
    pss = [smaps(p)["Pss"] for p in children(sp)]
    say("monitor, PSS of 100", f"{statistics.mean(pss):.0f} KiB", "<= 100 KiB")
    say("ctxd, RSS idle", f"{idle} KiB", "<= 6144 KiB")
    running = rss(d.proc.pid)
    total = n(100000)
    js(LOAD, d.sock, request(d, ["/bin/true"]), 32, 4, total)
    say(f"ctxd, RSS more with {total} queued", f"{rss(d.proc.pid) - running} KiB", "<= 4096 KiB")
    say("ctx-spawner, PSS", f"{smaps(sp)['Pss']} KiB", "-")
    halt(d)


def wall_ns(text):
    t = datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=datetime.timezone.utc)
    whole = int(t.timestamp())
    return whole * 10**9 + t.microsecond * 1000


def bench_term():
    d = daemon()
    late = []
    with Varlink(d.sock) as v:
        for _ in range(n(300)):
            job = v.call("Submit", argv=[STAMP, "term"], timeout_usec=30000)["job"]
            end = v.call("Wait", ids=[job["id"]])["jobs"][0]
            got = int(d.ctl_ok("logs", end["id"]))
            late.append((got - wall_ns(end["deadline_at"])) / 1000)
    late.sort()
    say("TERM after the deadline, p50 / p99", f"{late[len(late) // 2]:.0f} / {late[len(late) * 99 // 100]:.0f} us",
        "p99 <= 2000 us")
    halt(d)


def bench_wait():
    d = daemon()
    took = []
    with Varlink(d.sock) as v:
        for _ in range(n(300)):
            job = v.call("Submit", argv=[STAMP, "after", "10"])["job"]
            v.call("Wait", ids=[job["id"]])
            now = time.time_ns()
            took.append((now - int(d.ctl_ok("logs", job["id"]))) / 1000)
    took.sort()
    say("end of the job -> wait returns, p50 / p99", f"{took[len(took) // 2]:.0f} / {took[len(took) * 99 // 100]:.0f} us",
        "p50 <= 2000 us")
    halt(d)


def bench_tree():
    """A scope with a thousand running jobs is cancelled: the request, the first and the last TERM, the last end."""
    total = n(1000, 100)
    d = daemon(f"[limits]\nrunning = {total + 10}\nqueued = 10000000\n[deadline]\ngrace = 5s\n")
    with Varlink(d.sock) as v:
        v.timeout = 120
        scope = v.call("Scope", name="bench")["job"]["id"]
        jobs = []
        for _ in range(total):
            jobs.append(v.call("Submit", argv=[STAMP, "term"], parent=scope,
                               inherit=["values", "trace", "deadline", "cancel"])["job"]["id"])
        wait_until(lambda: counts(d)["running"] == total, "the jobs to run", 60)
        wait_until(lambda: all(len(d.job_pids(i)) for i in jobs[-3:]), "the last ones to be there", 60)
        time.sleep(1)  # allow-sleep: programs that were just started settle
        t = time.time_ns()
        v.call("Cancel", id=scope, cause="bench")
        answered = time.time_ns()
        v.call("Wait", ids=jobs)
        ended = time.time_ns()
        terms = sorted(int(d.logs(i)) for i in jobs)
    say(f"scope of {total} jobs cancelled: answer / first TERM",
        f"{(answered - t) / 1e6:.1f} / {(terms[0] - t) / 1e6:.1f} ms", "first TERM <= 50 ms")
    say("... last TERM / all ended", f"{(terms[-1] - t) / 1e6:.0f} / {(ended - t) / 1e6:.0f} ms", "<= grace + 1 s (6000 ms)")
    halt(d)


def bench_key():
    """One key, many times over one connection, pipelined."""
    d = daemon()
    total = n(10000)
    t = time.monotonic()
    with Varlink(d.sock) as v:
        v.timeout = 120
        ids, created = set(), 0
        for _ in range(total // 100):
            for _ in range(100):
                v.send("Submit", {"argv": ["/bin/true"], "key": "one"})
            for _ in range(100):
                r = v.receive()[0]
                ids.add(r["job"]["id"])
                created += r["created"]
    took = time.monotonic() - t
    say(f"{total} submissions of one key", f"{len(ids)} job, {created} created, {total / took:.0f}/s", "1 job")
    halt(d)


def cpu(pid):
    """Seconds of CPU that a process has used."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def bench_export():
    """What spans cost ctxd: the CPU of a job with an exporter that sends them, of that without."""
    from collector import Collector
    total = n(4000, 500)
    used = {True: [], False: []}
    for _ in range(3):
        for spans in (False, True):
            d = daemon("[limits]\nrunning = 8\nqueued = 10000000\n" + ("[traces]\noutbox = 100000\n" if spans else ""))
            c = Collector() if spans else None
            x = subprocess.Popen([os.path.join(BUILD, "ctx-exporter"), "--socket", d.sock], stderr=subprocess.DEVNULL,
                                 env={**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": c.url}) if spans else None
            before = cpu(d.proc.pid)
            js(LOAD, d.sock, request(d, ["/bin/true"]), 1, total, total)
            drained(d, total)
            if spans:
                wait_until(lambda: len(c.spans) == total, "the spans to arrive", 120)
                x.terminate()
                x.wait()
                c.stop()
            used[spans].append((cpu(d.proc.pid) - before) / total)
            halt(d)
    say("ctxd's CPU of a job with spans exported, of without", f"{min(used[True]) / min(used[False]):.2f}", "(no target)")


def multiply(db, total):
    """Make TOTAL ended rows out of the first one, behind ctxd's back (it is stopped)."""
    c = sqlite3.connect(db)
    cols = [r[1] for r in c.execute("PRAGMA table_info(job)") if r[1] not in ("id", "key")]
    names = ",".join(f'"{x}"' for x in cols)
    c.execute(f"""WITH RECURSIVE k(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM k WHERE i < {total})
                  INSERT INTO job ({names}) SELECT {names} FROM job, k WHERE id = 1""")
    c.commit()
    c.close()


def bench_list():
    d = daemon()
    d.submit("-w", "true")
    d.stop()
    multiply(d.db, 10000)
    begin(d)
    floor = js(FLOOR, "time", n(50), "/bin/true")["med_us"]
    t = js(FLOOR, "time", n(30), CTXCTL, "list", "--all", env=ctl_env(d.sock))
    short = js(FLOOR, "time", n(50), CTXCTL, "list", env=ctl_env(d.sock))["med_us"]
    say("list of 10,000", f"{t['med_us'] / 1000:.1f} ms", "<= 60 ms")
    say("list, the default, of /bin/true", f"{short / floor:.2f}", "-")
    halt(d)


def bench_ready():
    d = daemon("[limits]\nrunning = 300\n")
    d.submit("-w", "true")
    ids = [d.submit("sleep", "1000") for _ in range(200)]
    for i in ids:
        d.wait_state(i, "running")
    d.stop()
    multiply(d.db, n(100000))
    t = time.monotonic()
    begin(d)
    ready = time.monotonic() - t
    with Varlink(d.sock) as v:
        wait_until(lambda: v.call("Stats")["jobs"].get("running") == 200, "200 adopted", 30)
        wait_until(lambda: all(v.call("Get", id=i)["job"]["pid"] for i in ids), "200 linked", 30)
    adopted = time.monotonic() - t
    say(f"ready with {n(100000)} ended and 200 live jobs", f"{ready * 1000:.0f} ms", "<= 1000 ms")
    say("... all 200 adopted", f"{adopted * 1000:.0f} ms", "-")
    halt(d)


def files(path):
    return sum(len(f) for _, _, f in os.walk(path)) + sum(len(x) for _, x, _ in os.walk(path))


def snapshot(d):
    sp = spawner(d)
    return {"ctxd fds": len(os.listdir(f"/proc/{d.proc.pid}/fd")), "spawner fds": len(os.listdir(f"/proc/{sp}/fd")),
            "ctxd KiB": rss(d.proc.pid), "spawner KiB": rss(sp), "files in run": files(d.run)}


def settle(d, total):
    drained(d, total)
    wait_until(lambda: len([x for x in os.listdir(os.path.join(d.run, "jobs")) if x[0].isdigit()]) == 0, "no directory", 30)
    wait_until(lambda: not children(spawner(d)), "no monitor", 30)


def bench_leak():
    d = daemon()
    warm, total = n(2000), n(10000)
    req = request(d, ["/bin/true"])
    js(LOAD, d.sock, req, 1, 64, warm)
    settle(d, warm)
    a = snapshot(d)
    js(LOAD, d.sock, req, 1, 64, total)
    settle(d, warm + total)
    b = snapshot(d)
    for k in a:
        say(f"after {total} jobs more: {k}", f"{a[k]} -> {b[k]}", "+0 (memory: +-1024 KiB)")
    halt(d)


def bench_peers():
    """One client process a job, 8 slots: ctx against task-spooler, which writes nothing to disk."""
    tsp = shutil.which("tsp")
    if not tsp:
        print("peers: task-spooler is not installed", flush=True)
        return
    ratio = []
    for _ in range(ROUNDS):
        total = n(1000)
        d = daemon()
        t = time.monotonic()
        js(FLOOR, "time", total, CTXCTL, "submit", "/bin/true", env=ctl_env(d.sock))
        drained(d, total)
        ours = total / (time.monotonic() - t)
        env = ctl_env(None, {"TS_SOCKET": os.path.join(d.dir, "tsp"), "TS_SLOTS": "8", "TMPDIR": d.dir,
                             "TS_MAXFINISHED": "20000"})
        t = time.monotonic()
        js(FLOOR, "time", total, tsp, "-n", "/bin/true", env=env)
        wait_until(lambda: subprocess.run([tsp], env=env, capture_output=True, check=True).stdout.count(b"finished")
                   >= total, "tsp", 300, 0.02)
        ratio.append(ours / (total / (time.monotonic() - t)))
        subprocess.run([tsp, "-K"], env=env, check=False)
        halt(d)
    say("jobs per second, a client each, of tsp", f"{statistics.median(ratio):.2f}", ">= 0.80")


def main():
    names = [a for a in sys.argv[1:] if not a.startswith("-")]
    every = ["submit", "rate", "durable", "memory", "term", "wait", "tree", "key", "export", "list", "ready", "leak"]
    print(f"# {os.cpu_count()} cores, Linux {os.uname().release}, load {os.getloadavg()[0]:.1f}", flush=True)
    try:
        for name in names or every:
            globals()["bench_" + name]()
    finally:
        clean()


main()
