#!/usr/bin/python3
"""torture.py - kill ctxd, spawner, monitors and clients at random under load, then hold every acknowledged job to P1-P4.

Usage: torture.py [SECONDS [SEED]]        `make torture SECONDS=600`

The load: plain jobs, some with a deadline, some cancelled; keys that two clients use at once; failures that are tried again, by
ctxd or with --if-exists retry; scopes with attached and detached jobs, closed after a while; jobs bound to their client.

The witness is independent of ctx: each job appends `ID ATTEMPT begin` and `ID ATTEMPT end CODE` to a file of its own making
before it exits with a code that was chosen at submission. At the end:
  P1  every id that a client printed is in the database; a key has one job
  P2  no attempt began twice, and none began that the record does not know; only what was to be retried has a second one
  P3  an exit status on record is the one chosen, and such a job wrote its end; without a result it is `interrupted`
  P4  nothing of an ended job is alive
  P5  what is cancelled was cancelled for a reason that there was; what is attached to a closed scope is over
Prints the seed; exits 0 when all promises were kept.
"""
import datetime
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scenario", "lib"))
from ctxtest import CTXCTL, Daemon, ctl_env, exited, wait_until  # noqa: E402

JOB = ('echo "$CTX_ID $CTX_ATTEMPT begin" >>{w}; sleep {s}; echo "$CTX_ID $CTX_ATTEMPT end {c}" >>{w}; exit {c}')
KINDS = ["plain"] * 4 + ["deadline", "cancel", "key", "retry", "retries", "scope", "bound"]
TIMEOUT = 30  # seconds; of whom nobody gives another one
LONG = ("attached", "cancel")  # longer than that, if whoever was to close or cancel them was killed or is late
# Why may a job of a kind be cancelled?
CANCELED = {"cancel": {"requested"}, "attached": {"scope_closed", "parent"}, "bound": {"client_gone"}}


def had_its_time(job):
    """Was its deadline, by the record, as far from its submission as it has time at the least, and past when it ended? (It counts
    from the commit of the start, and the monitor's start may come much later when ctxd is killed in between.)"""
    submitted, deadline, end = (datetime.datetime.fromisoformat(job[k].rstrip("Z")).timestamp()
                                for k in ("submitted_at", "deadline_at", "ended_at"))
    return deadline - submitted > TIMEOUT - 1 and end > deadline - 1


class Torture:
    def __init__(self, seconds, seed):
        self.random = random.Random(seed)
        self.seconds = seconds
        self.d = Daemon(conf=f"[limits]\nrunning = 16\n[deadline]\ntimeout = {TIMEOUT}s\ngrace = 300ms\n", env={"CTXD_CHECK": "1"})
        self.d.check = False
        self.witness = os.path.join(self.d.dir, "witness")
        open(self.witness, "w", encoding="ascii").close()
        self.acked = {}  # id -> (code, kind)
        self.keys = {}  # key -> ids that were acknowledged for it
        self.scopes = set()  # acknowledged
        self.lock = threading.Lock()
        self.stop = threading.Event()
        self.clients = []
        self.kills = {"ctxd": 0, "spawner": 0, "monitor": 0, "client": 0}

    def client(self, *args):
        """A number that ctxctl printed, or None: it was killed, or refused."""
        p = subprocess.Popen([CTXCTL, *args], env=ctl_env(self.d.sock), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                             stdin=subprocess.DEVNULL)
        with self.lock:
            self.clients.append(p)
        out, _ = p.communicate()
        with self.lock:
            self.clients.remove(p)
        return int(out) if out.strip().isdigit() and out.endswith(b"\n") else None

    def job(self, rng, kind, code, *options, secs=None):
        """Id of one that was acknowledged."""
        secs = secs or rng.choice(["0", "0.02", "0.2", "1"])
        id = self.client("submit", *options, "--", "sh", "-c", JOB.format(w=self.witness, s=secs, c=code))
        if id is not None:
            with self.lock:
                self.acked[id] = (code, kind)
        return id

    def submit_one(self, rng):
        code = rng.choice([0, 0, 1, 7, 42])
        kind = rng.choice(KINDS)
        if kind == "deadline":
            self.job(rng, kind, code, "-t", "300ms", secs="1000")
        elif kind == "cancel":
            id = self.job(rng, kind, code, secs="1000")
            if id is not None:
                self.client("cancel", str(id))
        elif kind in ("key", "retry"):
            self.keyed(rng, kind, 7)
        elif kind == "retries":
            self.job(rng, kind, 7, "--retries", "2", "--backoff", "100ms")
        elif kind == "scope":
            self.scope(rng, code)
        elif kind == "bound":
            # Its id is not printed: what is asked of it is what is asked of every job in the database.
            self.client("run", "--", "sh", "-c", JOB.format(w=self.witness, s=rng.choice(["0", "0.2", "1"]), c=code))
        else:
            self.job(rng, kind, code)

    def keyed(self, rng, kind, code):
        """The same call a few times, the key being one of a few, as of clients that do not know of each other."""
        key = f"{kind}-{rng.randrange(8 if kind == 'retry' else 30)}"
        again = ["--if-exists", "retry"] if kind == "retry" else []
        for _ in range(2):
            id = self.job(rng, kind, code, "--key", key, *again, secs="0.02")
            if id is not None:
                with self.lock:
                    self.keys.setdefault(key, set()).add(id)

    def scope(self, rng, code):
        id = self.client("scope", "create")
        if id is None:
            return
        with self.lock:
            self.scopes.add(id)
        for _ in range(rng.randrange(1, 4)):
            self.job(rng, "attached", code, "-p", str(id), "--attach", secs=rng.choice(["0", "0.2", "1000"]))
        self.job(rng, "detached", code, "-p", str(id))
        self.stop.wait(rng.random() * 0.3)
        self.client("scope", "close", str(id))

    def load(self, seed):
        rng = random.Random(seed)
        while not self.stop.is_set():
            self.submit_one(rng)
            self.stop.wait(rng.random() * 0.05)

    def victim(self):
        what = self.random.choice(["ctxd", "ctxd", "spawner", "monitor", "monitor", "client"])
        if what == "ctxd":
            self.d.kill9()
            self.d.start()
        elif what == "spawner":
            pid = self.d.spawner_pid()
            if not pid:
                return
            os.kill(pid, signal.SIGKILL)
        elif what == "monitor":
            sp = self.d.spawner_pid()
            shims = self.d.shims()
            # A child of a monitor is a job before its exec: who kills that is told so, and it is no death of a monitor.
            pids = [p for p, parent in shims.items() if p != sp and (parent == sp or parent not in shims)]
            if not pids:
                return
            try:
                os.kill(self.random.choice(pids), signal.SIGKILL)
            except ProcessLookupError:
                return
        else:
            with self.lock:
                if not self.clients:
                    return
                self.random.choice(self.clients).kill()
        self.kills[what] += 1

    def run(self):
        threads = [threading.Thread(target=self.load, args=(self.random.random(),), daemon=True) for _ in range(3)]
        for t in threads:
            t.start()
        end = time.monotonic() + self.seconds
        try:
            while time.monotonic() < end:
                self.stop.wait(self.random.random() * 0.4)
                self.victim()
        except BaseException:
            self.d.show_log(200)
            raise
        finally:
            self.stop.set()
        for t in threads:
            t.join()

    def settle(self):
        """Let everything come to its end: cancel what would run on for long."""
        for i, (_, kind) in list(self.acked.items()):
            if kind == "cancel":
                self.d.ctl("cancel", i)
        for i in json.loads(self.d.ctl_ok("--json", "list", "--state", "open")):
            self.d.ctl("scope", "close", i["id"])
        wait_until(lambda: not json.loads(self.d.ctl_ok("--json", "list", "--state", "queued,running,stopping")),
                   "all jobs to end", 120, 0.2)

    def judge(self):
        bad = []
        begins, ends = {}, {}  # of (id, attempt)
        with open(self.witness, encoding="ascii") as f:
            for line in f:
                w = line.split()
                k = (int(w[0]), int(w[1]))
                if w[2] == "begin":
                    begins[k] = begins.get(k, 0) + 1
                else:
                    ends[k] = int(w[3])
        jobs = {j["id"]: j for j in json.loads(self.d.ctl_ok("--json", "list", "--all"))}
        for (i, attempt), n in begins.items():
            if n > 1:
                bad.append(f"P2: attempt {attempt} of job {i} began {n} times")
            if i not in jobs:
                bad.append(f"P1: job {i} ran and is not in the database")
            elif attempt > jobs[i]["attempt"]:
                bad.append(f"P2: attempt {attempt} of job {i} began, which is at attempt {jobs[i]['attempt']}")
        bad += [f"P1: scope {i} was acknowledged and is not in the database" for i in self.scopes if i not in jobs]
        bad += [f"P1: key {k} has the jobs {sorted(ids)}" for k, ids in self.keys.items() if len(ids) > 1]
        bad += [f"P1: job {i} was acknowledged and is not in the database" for i in self.acked if i not in jobs]
        for i, j in jobs.items():
            if j["kind"] == "job":
                bad += self.judge_one(i, j, begins, ends)
            elif j["state"] not in ("closed", "canceled"):
                bad.append(f"P5: scope {i} is {j['state']}")
        bad += [f"P4: job {i} has ended, alive: {p}" for i, p in self.d.jobs_pids().items()
                if i not in jobs or not jobs[i]["survivors_possible"]]
        return jobs, bad

    def judge_one(self, i, j, begins, ends):
        code, kind = self.acked.get(i, (None, "bound" if j["bound"] else "unknown"))
        bad, st, end = [], j["state"], ends.get((i, j["attempt"]))
        if st in ("succeeded", "failed") and j["cause_code"] == "exit":
            if end is None or j["exit_code"] != end or (code is not None and code != end):
                bad.append(f"P3: job {i} is {st} with {j['exit_code']}, chosen {code}, witness {end}")
        elif st in ("succeeded", "failed"):
            bad.append(f"P3: job {i} is {st} by {j['cause_code']} ({j['cause']})")
        elif st == "interrupted":
            if j["exit_code"] is not None or j["signal"] is not None or j["known_by"] != "recovery":
                bad.append(f"P3: job {i} is interrupted, yet has an exit status, known by {j['known_by']}")
        elif st == "canceled" and kind != "unknown" and j["cause_code"] not in CANCELED.get(kind, ()):
            bad.append(f"P5: job {i} ({kind}) is canceled by {j['cause_code']} ({j['cause']})")
        elif st == "deadline_exceeded" and kind not in ("deadline", "unknown") and not (kind in LONG and had_its_time(j)):
            bad.append(f"P4: job {i} ({kind}) is deadline_exceeded, which is not plausible")
        if j["attempt"] > 1 and kind not in ("retry", "retries", "unknown"):
            bad.append(f"P2: job {i} ({kind}) has {j['attempt']} attempts, and nobody asked for them")
        if j["attempt"] > 3 and kind == "retries":
            bad.append(f"P2: job {i} was to have three attempts, it has {j['attempt']}")
        return bad


def main():
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else int.from_bytes(os.urandom(4), "big")
    print(f"# torture: {seconds:g} s, seed {seed}", flush=True)
    t = Torture(seconds, seed)
    t.run()
    t.settle()
    jobs, bad = t.judge()
    states = {}
    for j in jobs.values():
        states[j["state"]] = states.get(j["state"], 0) + 1
    print(f"# killed {t.kills}; {len(t.acked)} acknowledged, {len(jobs)} recorded: {states}", flush=True)
    for b in bad:
        print("# " + b, flush=True)
    if bad:
        t.d.show_log(400)
        t.d.stop()
        kept = t.d.dir + ".kept"
        os.rename(t.d.dir, kept)
        print(f"# its database, log, outputs and witness are kept in {kept}", flush=True)
    t.d.cleanup()
    print("1..1\n" + ("not ok" if bad else "ok") + " 1 - every acknowledged job is accounted for", flush=True)
    return 1 if bad else 0


sys.exit(main())
