#!/usr/bin/python3
# test-timeout: 900
"""A program is killed at every system call it makes for a job's life: ctxd, the spawner, and the monitor with them.

strace counts the calls of one undisturbed life (ctxd's from its own start on), then the life is repeated, each time with
`-e inject=CALL:signal=KILL:when=N`. What is gone is started again, and the witness is asked as in points.t. Where ctxd or the
spawner dies the job has run once and its true end is on record, or nobody was ever told of it; where its monitor dies, too, it
may be `interrupted`.

  calls.py [-n MOST] [PATTERN...]   at most MOST places of each program and call; the trials whose name holds one of the texts
"""
import collections
import concurrent.futures
import os
import re
import signal
import subprocess
import sys
import time
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from crashlib import Trial, Vain  # noqa: E402
import ctxtest  # noqa: E402

CALLS = {
    "ctxd": "openat pwrite64 write fdatasync fsync ftruncate linkat renameat renameat2 unlinkat mkdirat memfd_create socketpair "
            "connect sendmsg sendto recvmsg",
    "spawner": "openat mkdirat renameat renameat2 unlinkat bind listen write pwrite64 clone clone3 fork vfork sendmsg sendto "
               "recvmsg wait4 close",
    "monitor": "openat write pwrite64 renameat vfork clone waitid wait4 poll sendmsg sendto close",
}
AT_ONCE = int(os.environ.get("CTX_CRASH_JOBS", "6"))
STDIN = b"hello\nworld\n"


def strace(calls, *args):
    return ["strace", "-qq", "-e", "trace=" + calls, "-e", "signal=none", *args]


class Life:
    """One job's, from nothing to the removal of its directory, with strace in it."""

    def __init__(self, program, calls, inject=None, log="/dev/null"):
        self.program = program
        self.args = strace(calls, "-o", log) + (["-e", "inject=" + inject] if inject else [])
        self.t = Trial("", "", prefix=self.args + ["--"] if program == "ctxd" else ())
        self.tracer = None
        self.spawner = self.pid = 0

    def attach(self):
        self.spawner = self.t.d.spawner_pid()
        follow = ["-f"] if self.program == "monitor" else []
        self.tracer = subprocess.Popen([*self.args, *follow, "-p", str(self.spawner)], stdin=subprocess.DEVNULL,
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.t.wait(lambda: self.traced() or self.tracer.poll() is not None, "strace to be there")

    def traced(self):
        try:
            with open(f"/proc/{self.spawner}/status", encoding="ascii", errors="replace") as f:
                return not re.search(r"^TracerPid:\t0$", f.read(), re.M)
        except FileNotFoundError:
            return True

    def live(self):
        t = self.t
        t.up()
        self.pid = t.call("Stats")["pid"]
        if self.program != "ctxd":
            self.attach()
        t.submit(key="k", sh='read x; [ "$x" = hello ] || exit 9', stdin=STDIN)
        t.wait_idle()
        t.wait(lambda: not t.d.job_dirs(), "its directory to go")

    def killed(self):
        if self.program == "ctxd":
            return not self.t.running()
        return ctxtest.exited(self.spawner) or self.tracer.poll() is not None

    def disarm(self):
        """What was not reached is not to come later: ctxd dies now, the others are let go. Did it come?"""
        try:
            if self.program == "ctxd" and self.t.running():
                os.kill(self.pid, signal.SIGKILL)
                self.t.wait(lambda: not self.t.running(), "ctxd to be gone")
                return False
        except ProcessLookupError:
            self.t.wait(lambda: not self.t.running(), "strace to go")
        if self.tracer and self.tracer.poll() is None:
            self.tracer.send_signal(signal.SIGTERM)
            self.tracer.wait()
        return self.program == "ctxd" or ctxtest.exited(self.spawner)

    def close(self):
        if self.tracer:
            self.tracer.send_signal(signal.SIGTERM)
            self.tracer.wait()
        self.t.close()


def count(program):
    """{call: how often} in an undisturbed life."""
    life = Life(program, CALLS[program].replace(" ", ","))
    log = os.path.join(life.t.d.dir, "strace")
    life.args[life.args.index("/dev/null")] = log
    life.t.prefix = [log if a == "/dev/null" else a for a in life.t.prefix]
    try:
        life.live()
        if life.tracer:
            life.tracer.send_signal(signal.SIGTERM)
            life.tracer.wait()
            life.tracer = None
        with open(log, encoding="utf-8", errors="replace") as f:
            text = f.read()
    finally:
        life.close()
    most = collections.Counter()
    by_process = collections.Counter(re.findall(r"^(?:(\d+) +)?(\w+)\(", text, re.M))
    for (_, call), n in by_process.items():
        most[call] = max(most[call], n)
    return most


def places(n, most):
    """Which of N: all, or the last half of MOST and the others evenly."""
    if n <= most:
        return list(range(1, n + 1))
    last = most // 2
    rest = most - last
    return sorted({1 + i * (n - last) // rest for i in range(rest)} | set(range(n - last + 1, n + 1)))


def allowed(program, j):
    """Is this what may come of it?"""
    if not j:
        return program == "ctxd"
    if j["state"] == "failed" and j["exit_code"] == 7:
        return True
    if program != "monitor":
        return False
    # strace follows into the job, which may be the one that is killed: that is its true end.
    return j["state"] == "interrupted" or (j["state"] == "failed" and j["signal"] == 9)


def trial(program, call, n):
    """(it was killed, what is wrong)."""
    life = Life(program, call, f"{call}:signal=KILL:when={n}")
    t = life.t
    try:
        try:
            life.live()
        except t.CUT_OFF:
            t.wait(lambda: program != "ctxd" or not t.running(), "strace to go after ctxd")
        except Vain:
            if not life.killed():
                raise
        killed = life.killed()
        killed = life.disarm() or killed
        if program == "ctxd" and t.d.proc.wait() != -signal.SIGKILL:
            return True, f"ctxd ended with {t.d.proc.returncode}\n" + "\n".join(t.tell())
        t.prefix = []
        t.recover()
        t.settle()
        rows = [j for j in t.rows() if j["key"] == "k"]
        bad = t.missing()
        if not allowed(program, rows[0] if rows else None):
            bad.append(f"not allowed: {rows[0]['state'] if rows else 'nothing'}")
        id = t.submit(key="k", sh='read x; [ "$x" = hello ] || exit 9', stdin=STDIN)
        t.wait_idle()
        if rows and rows[0]["id"] != id:
            bad.append(f"two jobs with one key: {rows[0]['id']} and {id}")
        bad += [b for b in t.judge() if not (program == "monitor" and rows and rows[0]["signal"] == 9)]
        return killed, "\n".join(bad + t.tell()) if bad else ""
    except Exception:
        return True, traceback.format_exc() + "\n".join(t.tell())
    finally:
        life.close()


def main():
    args = sys.argv[1:]
    most = int(args.pop(args.index("-n") + 1)) if "-n" in args else int(os.environ.get("CTX_CRASH_CALLS", "1000"))
    patterns = [a for a in args if a != "-n"]
    begun = time.monotonic()
    trials = []
    for program in CALLS:
        for call, n in sorted(count(program).items()):
            trials += [(program, call, i) for i in places(n, most)]
    if patterns:
        trials = [x for x in trials if any(p in "{} {} {}".format(*x) for p in patterns)]
    failed = kills = 0
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        for i, (x, (killed, bad)) in enumerate(zip(trials, pool.map(lambda x: trial(*x), trials)), 1):
            failed += bool(bad)
            kills += killed
            print(f"{'not ok' if bad else 'ok'} {i} - {x[0]}: {x[1]} {x[2]}{'' if killed else ' (not reached)'}", flush=True)
            for line in bad.rstrip("\n").split("\n") if bad else []:
                print("#   " + line, flush=True)
    # What is not reached proves nothing: a life differs a little from the next, not much.
    good = kills * 2 > len(trials)
    print(f"{'ok' if good else 'not ok'} {len(trials) + 1} - most of {len(trials)} were reached")
    print(f"# {kills} deaths in system calls, {time.monotonic() - begun:.0f} s: {failed} not as promised")
    print(f"1..{len(trials) + 1}")
    return 1 if failed or not good else 0


sys.exit(main())
