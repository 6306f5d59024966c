#!/usr/bin/python3
"""torture.py - kill ctxd, spawner, monitors and clients at random under load, then hold every acknowledged job to P1-P4.

Usage: torture.py [SECONDS [SEED]]        `make torture SECONDS=600`

The witness is independent of ctx: each job appends `ID begin` and `ID end CODE` to a file of its own making before it
exits with a code that was chosen at submission. At the end:
  P1  every id that a client printed is in the database
  P2  no job began twice; a job that never began is queued, or ended without having run and says so
  P3  an exit status on record is the one chosen, and such a job wrote its end; without a result it is `interrupted`
  P4  nothing of an ended job is alive
Prints the seed; exits 0 when all promises were kept.
"""
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

JOB = ('echo "$CTX_ID begin" >>{w}; sleep {s}; echo "$CTX_ID end {c}" >>{w}; exit {c}')


class Torture:
    def __init__(self, seconds, seed):
        self.random = random.Random(seed)
        self.seconds = seconds
        self.d = Daemon(conf="[limits]\nrunning = 16\n[deadline]\ntimeout = 30s\ngrace = 300ms\n", env={"CTXD_CHECK": "1"})
        self.d.check = False
        self.witness = os.path.join(self.d.dir, "witness")
        open(self.witness, "w", encoding="ascii").close()
        self.acked = {}  # id -> (code, kind)
        self.lock = threading.Lock()
        self.stop = threading.Event()
        self.clients = []
        self.kills = {"ctxd": 0, "spawner": 0, "monitor": 0, "client": 0}

    def submit_one(self, rng):
        code = rng.choice([0, 0, 1, 7, 42])
        kind = rng.choice(["plain", "plain", "plain", "deadline", "cancel"])
        secs = rng.choice(["0", "0.02", "0.2", "1"]) if kind == "plain" else "1000"
        args = [CTXCTL, "submit"] + (["-t", "300ms"] if kind == "deadline" else [])
        args += ["--", "sh", "-c", JOB.format(w=self.witness, s=secs, c=code)]
        p = subprocess.Popen(args, env=ctl_env(self.d.sock), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                             stdin=subprocess.DEVNULL)
        with self.lock:
            self.clients.append(p)
        out, _ = p.communicate()
        with self.lock:
            self.clients.remove(p)
        if out.strip().isdigit() and out.endswith(b"\n"):
            with self.lock:
                self.acked[int(out)] = (code, kind)
            if kind == "cancel":
                self.d.ctl("cancel", int(out))

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
            pids = [p for p in self.d.shims() if p != sp]
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
        wait_until(lambda: not json.loads(self.d.ctl_ok("--json", "list", "--state", "queued,running,stopping")),
                   "all jobs to end", 120, 0.2)

    def judge(self):
        bad = []
        begins, ends = {}, {}
        with open(self.witness, encoding="ascii") as f:
            for line in f:
                w = line.split()
                if w[1] == "begin":
                    begins[int(w[0])] = begins.get(int(w[0]), 0) + 1
                else:
                    ends[int(w[0])] = int(w[2])
        jobs = {j["id"]: j for j in json.loads(self.d.ctl_ok("--json", "list", "--all"))}
        for i, n in begins.items():
            if n > 1:
                bad.append(f"P2: job {i} began {n} times")
            if i not in jobs:
                bad.append(f"P1: job {i} ran and is not in the database")
        for i, (code, kind) in self.acked.items():
            j = jobs.get(i)
            if not j:
                bad.append(f"P1: job {i} was acknowledged and is not in the database")
                continue
            bad += self.judge_one(i, j, code, kind, begins, ends)
        alive = {i: self.d.job_pids(i) for i in jobs if not jobs[i]["survivors_possible"]}
        bad += [f"P4: job {i} has ended, alive: {p}" for i, p in alive.items() if p]
        return jobs, bad

    @staticmethod
    def judge_one(i, j, code, kind, begins, ends):
        bad, st = [], j["state"]
        if st in ("succeeded", "failed") and j["cause_code"] == "exit":
            if j["exit_code"] != code or ends.get(i) != code:
                bad.append(f"P3: job {i} is {st} with {j['exit_code']}, chosen {code}, witness {ends.get(i)}")
        elif st in ("succeeded", "failed"):
            bad.append(f"P3: job {i} is {st} by {j['cause_code']} ({j['cause']})")
        elif st == "interrupted":
            if j["exit_code"] is not None or j["signal"] is not None:
                bad.append(f"P3: job {i} is interrupted, yet has an exit status")
        elif st == "canceled" and kind != "cancel":
            bad.append(f"P5: job {i} is canceled and nobody asked for it")
        elif st == "deadline_exceeded" and kind == "plain":
            bad.append(f"P4: job {i} is deadline_exceeded, which is not plausible")
        if i in ends and st == "interrupted" and j["known_by"] != "recovery":
            bad.append(f"P3: job {i}: {j['known_by']}")
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
    t.d.cleanup()
    print("1..1\n" + ("not ok" if bad else "ok") + " 1 - every acknowledged job is accounted for", flush=True)
    return 1 if bad else 0


sys.exit(main())
