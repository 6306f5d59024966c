#!/usr/bin/python3
"""The recovery table of RECOVERY.md, line by line, with real deaths."""
import contextlib
import datetime
import os
import re
import shutil
import signal
import socket
import sqlite3
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import spawnerdrv as drv  # noqa: E402
from ctxtest import *  # noqa: E402,F403
from ctxtest import proc_stat  # noqa: E402

CONF = "[limits]\nrunning = 20\n[deadline]\ngrace = 500ms\n"
d = Daemon(conf=CONF)


def kill(pid, sig=signal.SIGKILL):
    need(pid > 0, "a process")
    os.kill(pid, sig)


def leave(pid):
    """Ask a spawner to go, which may have gone by itself, for it has nothing to do."""
    if pid:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        gone(pid)


def gone(pid):
    wait_until(lambda: exited(pid), f"process {pid} to end")


def gate(name):
    """A fifo that a job waits on: it ends when we let it."""
    path = os.path.join(d.dir, name)
    os.mkfifo(path, 0o666)
    return path


def release(path):
    with open(path, "w", encoding="ascii") as f:
        f.write("go\n")


def waiter(path, code):
    return ["sh", "-c", f"read x <{path}; echo done; exit {code}"]


@case("ctxd killed in mid-job: the job goes on, the true end comes from its monitor")
def _():
    g = gate("g1")
    i = d.submit(*waiter(g, 7))
    pid = d.wait_state(i, "running") and wait_until(lambda: d.job(i)["pid"], "a pid")
    d.kill9()
    ok(not exited(pid), "the job lives while no ctxd does")
    d.start()
    wait_until(lambda: d.job(i)["pid"] == pid, "the job to be adopted")
    release(g)
    j = d.wait_end(i)
    is_((j["state"], j["exit_code"], j["known_by"], j["attempt"]), ("failed", 7, "monitor", 1))
    is_(d.logs(i), "done\n")


@case("the job ends while ctxd is down: its result file is taken")
def _():
    g = gate("g2")
    i = d.submit(*waiter(g, 5))
    d.wait_state(i, "running")
    mon = wait_until(lambda: d.job(i)["pid"], "a pid") and d.monitor_pid(i)
    d.kill9()
    release(g)
    gone(mon)
    d.start()
    j = d.wait_end(i)
    is_((j["state"], j["exit_code"], j["known_by"]), ("failed", 5, "result_file"))
    wait_until(lambda: not d.job_dirs(), "its directory to go")


@case("graceful stop leaves jobs running and says how many")
def _():
    g = gate("g3")
    i = d.submit(*waiter(g, 0))
    pid = wait_until(lambda: d.job(i)["pid"], "a pid")
    d.stop()
    like(d.log_text(), r"1 jobs? go(es)? on")
    ok(not exited(pid))
    d.start()
    release(g)
    is_(d.wait_end(i)["state"], "succeeded")


@case("a deadline is kept while ctxd is down")
def _():
    def build(seconds):
        """A tree, its monitor, and no ctxd, before the deadline."""
        i = d.submit("-t", f"{seconds}s", "--", "sh", "-c", "trap '' TERM; (setsid sh -c 'trap \"\" TERM; sleep 1000' &) ; sleep 1000")
        wait_until(lambda: len(d.job_pids(i)) >= 3 or d.job(i)["state"] not in ("queued", "running"), "its tree")
        j = d.wait_started(i)
        mon = proc_stat(j["pid"])
        d.kill9()
        at = datetime.datetime.fromisoformat(j["deadline_at"].replace("Z", "+00:00"))
        if mon and datetime.datetime.now(datetime.timezone.utc) < at:
            return i, mon[1]
        d.start()
        d.wait_end(i)
        return None

    i, mon = in_time(build, (1, 10, 60))
    gone(mon)
    is_(d.job_pids(i), [], "processes of the job after its deadline")
    d.start()
    j = d.wait_end(i)
    is_((j["state"], j["err"], j["cause_code"]), ("deadline_exceeded", "context deadline exceeded", "deadline"))


@case("the monitor is killed: its job is killed with it, nothing is made up")
def _():
    i = d.submit("sh", "-c", "sleep 1000 & sleep 1000")
    wait_until(lambda: len(d.job_pids(i)) >= 3, "its tree")
    kill(d.monitor_pid(i))
    j = d.wait_end(i)
    is_((j["state"], j["cause_code"], j["known_by"], j["exit_code"], j["half_processed"]),
        ("interrupted", "monitor_lost", "recovery", None, True))
    is_(j["survivors_possible"], False)
    wait_until(lambda: not d.job_pids(i), "everything of it to be dead")
    r = d.ctl("doctor")
    is_(r.code, 1)
    like(r.out, rf"\b{i}\b")


@case("the spawner is killed: jobs go on, new ones are started by a new one")
def _():
    g = gate("g4")
    i = d.submit(*waiter(g, 3))
    pid = wait_until(lambda: d.job(i)["pid"], "a pid")
    sp = d.spawner_pid()
    kill(sp)
    gone(sp)
    k = d.submit("true")
    is_(d.wait_end(k)["state"], "succeeded")
    ok(not exited(pid), "the first job lives")
    release(g)
    j = d.wait_end(i)
    is_((j["state"], j["exit_code"], j["known_by"]), ("failed", 3, "monitor"))


@case("monitor and spawner both killed: it is said that something may have survived")
def _():
    i = d.submit("sh", "-c", "sleep 1000 & sleep 1000")
    wait_until(lambda: len(d.job_pids(i)) >= 3, "its tree")
    mon, sp = d.monitor_pid(i), d.spawner_pid()
    d.kill9()
    kill(sp)
    gone(sp)
    kill(mon)
    d.start()
    j = d.wait_end(i)
    is_((j["state"], j["survivors_possible"]), ("interrupted", True))
    for p in d.job_pids(i):
        with contextlib.suppress(ProcessLookupError):
            kill(p)


@case("ctxd and spawner killed together: the monitor is adopted by the new ones")
def _():
    g = gate("g5")
    i = d.submit(*waiter(g, 4))
    wait_until(lambda: d.job(i)["pid"], "a pid")
    sp = d.spawner_pid()
    d.kill9()
    kill(sp)
    gone(sp)
    d.start()
    wait_until(lambda: d.job(i)["pid"], "the job to be adopted")
    release(g)
    is_(d.wait_end(i)["exit_code"], 4)


@case("a cancel that was committed, but not told, is told after the restart")
def _():
    i = d.submit("sleep", "1000")
    wait_until(lambda: d.job(i)["pid"], "a pid")
    mon = d.monitor_pid(i)
    kill(mon, signal.SIGSTOP)
    is_(d.ctl("cancel", "--cause", "enough", i).code, 0)
    is_(d.job(i)["state"], "stopping")
    d.kill9()
    # What was in the socket is lost with the connection only if the monitor had not read it: so both ways are right.
    kill(mon, signal.SIGCONT)
    d.start()
    j = d.wait_end(i)
    is_((j["state"], j["cause"], j["cause_code"], j["err"]), ("canceled", "enough", "requested", "context canceled"))


@case("another boot: what ran is interrupted, what was queued runs")
def _():
    i = d.submit("sleep", "1000")
    pid = wait_until(lambda: d.job(i)["pid"], "a pid")
    mon = d.monitor_pid(i)
    d.stop()
    kill(mon)
    gone(mon)
    gone(pid)
    db = sqlite3.connect(d.db)
    db.execute("UPDATE job SET boot = zeroblob(16) WHERE id = ?", (i,))
    db.commit()
    db.close()
    d.start()
    j = d.wait_end(i)
    is_((j["state"], j["cause_code"], j["half_processed"]), ("interrupted", "reboot", True))
    is_(d.wait_end(d.submit("true"))["state"], "succeeded")


def stopped_with_dead_monitor():
    """A row that says running, nobody alive, and the run directory in our hands."""
    marker = os.path.join(d.dir, "ran")
    i = d.submit("sh", "-c", f"echo x >>{marker}; [ -e {marker}.go ] || exec sleep 1000")
    wait_until(lambda: os.path.exists(marker), "the job to run")
    sp = d.spawner_pid()
    mon = d.monitor_pid(i)
    d.kill9()
    kill(sp)
    gone(sp)
    kill(mon)
    gone(mon)
    wait_until(lambda: not d.job_pids(i), "the job to die")
    with open(marker + ".go", "w", encoding="ascii"):
        pass
    return i, marker


def count(marker):
    with open(marker, encoding="ascii") as f:
        n = len(f.readlines())
    os.unlink(marker)
    os.unlink(marker + ".go")
    return n


@case("`fresh` is there: it never ran, and runs now (same attempt)")
def _():
    i, marker = stopped_with_dead_monitor()
    job = os.path.join(d.run, "jobs", f"{i}.1")
    os.rename(os.path.join(job, "started"), os.path.join(job, "fresh"))
    d.start()
    j = d.wait_end(i)
    is_((j["state"], j["attempt"]), ("succeeded", 1))
    is_(count(marker), 2, "runs seen by the witness (one of them before we rewrote the evidence)")


@case_if(os.geteuid() == 0, "`fresh` is there and cannot be taken away: it may still start, so nothing is concluded until it can")
def _():
    i, marker = stopped_with_dead_monitor()
    job = os.path.join(d.run, "jobs", f"{i}.1")
    os.rename(os.path.join(job, "started"), os.path.join(job, "fresh"))
    is_(run(["mount", "--bind", job, job]).code, 0)
    is_(run(["mount", "-o", "remount,bind,ro", job]).code, 0)
    try:
        d.start()
        wait_until(lambda: len(re.findall(rf"job {i}\.1 cannot be kept from starting: Read-only", d.log_text())) >= 2, "another try")
        is_((d.job(i)["state"], d.job(i)["attempt"]), ("running", 1))
    finally:
        wait_until(lambda: run(["umount", job]).code == 0, "nobody to look into the directory")
    j = d.wait_end(i)
    is_((j["state"], j["attempt"]), ("succeeded", 1))
    is_(count(marker), 2, "runs seen by the witness (one of them before we rewrote the evidence)")


@case("no directory and `seen` below the sequence: it never ran, and runs now")
def _():
    i, marker = stopped_with_dead_monitor()
    jobs = os.path.join(d.run, "jobs")
    shutil.rmtree(os.path.join(jobs, f"{i}.1"))
    with open(os.path.join(jobs, "seen"), encoding="ascii") as f:
        seen = int(f.read())
    with open(os.path.join(jobs, "seen"), "w", encoding="ascii") as f:
        f.write(f"{seen - 1}\n")
    d.start()
    is_(d.wait_end(i)["state"], "succeeded")
    count(marker)


@case("no directory though `seen` says it was made: interrupted, evidence_lost")
def _():
    i, marker = stopped_with_dead_monitor()
    shutil.rmtree(os.path.join(d.run, "jobs", f"{i}.1"))
    d.start()
    j = d.wait_end(i)
    is_((j["state"], j["cause_code"]), ("interrupted", "evidence_lost"))
    is_(count(marker), 1, "runs")


@case("the whole run directory is gone: nothing is claimed")
def _():
    i, marker = stopped_with_dead_monitor()
    shutil.rmtree(d.run)
    d.start()
    j = d.wait_end(i)
    is_((j["state"], j["cause_code"]), ("interrupted", "evidence_lost"))
    is_(count(marker), 1, "runs")
    is_(d.wait_end(d.submit("true"))["state"], "succeeded")


@case("a malformed result proves nothing")
def _():
    i, marker = stopped_with_dead_monitor()
    with open(os.path.join(d.run, "jobs", f"{i}.1", "result"), "wb") as f:
        f.write(b"not a result")
    d.start()
    j = d.wait_end(i)
    is_((j["state"], j["cause_code"], j["exit_code"]), ("interrupted", "monitor_lost", None))
    count(marker)


def result_of_version_1(i, code):
    """160 bytes, as test_recorded.c knows them: of a main process that exited with CODE."""
    now = int(time.time() * 1e6)
    return struct.pack("=IHHQIIiiIIIIqqqqqQQQQQQQqQ", 0x52585443, 1, 160, i, 1, 1, code << 8, 0, 0, 0, os.getpid(), 0,
                       now, now, now, 0, 0, 0, 0, 0, 0, 0, 0, 0, time.clock_gettime_ns(time.CLOCK_BOOTTIME), 0)


@case("a monitor of version 1, forked before the upgrade, is adopted; its shorter END is taken")
def _():
    i, marker = stopped_with_dead_monitor()
    ctl = os.path.join(d.run, "jobs", f"{i}.1", "ctl")
    os.unlink(ctl)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
        s.bind(ctl)
        s.listen(4)
        s.settimeout(60)
        d.start()
        conn, _ = s.accept()
        with conn:
            us, ns = int(time.time() * 1e6), time.clock_gettime_ns(time.CLOCK_BOOTTIME)
            conn.send(drv.frame(drv.HELLO, struct.pack("=IIIIqqqII", os.getpid(), os.getpid(), drv.RUNNING, 0, us, ns,
                                                       ns + 3600 * 10**9, 0, 0), i, 1))
            wait_until(lambda: d.job(i)["pid"] == os.getpid(), "the job to be adopted")
            is_(d.job(i)["state"], "running")
            conn.send(drv.frame(drv.END, result_of_version_1(i, 7), i, 1))
            j = d.wait_end(i)
    is_((j["state"], j["exit_code"], j["known_by"], j["attempt"], j["usage"]["memory_peak_bytes"]), ("failed", 7, "monitor", 1, None))
    is_(count(marker), 1, "runs")


@case("the result of a monitor of version 1 that has ended is taken")
def _():
    i, marker = stopped_with_dead_monitor()
    with open(os.path.join(d.run, "jobs", f"{i}.1", "result"), "wb") as f:
        f.write(result_of_version_1(i, 9))
    d.start()
    j = d.wait_end(i)
    is_((j["state"], j["exit_code"], j["known_by"], j["usage"]["memory_peak_bytes"]), ("failed", 9, "result_file", None))
    is_(count(marker), 1, "runs")


@case("a stopping job that never ran ends canceled")
def _():
    i, marker = stopped_with_dead_monitor()
    job = os.path.join(d.run, "jobs", f"{i}.1")
    os.rename(os.path.join(job, "started"), os.path.join(job, "fresh"))
    db = sqlite3.connect(d.db)
    db.execute("UPDATE job SET state = 3, cause_code = 5, cause = 'stop it', cancel_attempt = 1 WHERE id = ?", (i,))
    db.commit()
    db.close()
    d.start()
    j = d.wait_end(i)
    is_((j["state"], j["cause"], j["known_by"]), ("canceled", "stop it", "recovery"))
    is_(count(marker), 1, "runs")


@case("the run directory of another database is refused, and left alone")
def _():
    d.stop()
    with open(os.path.join(d.run, "jobs", "uuid"), "r+b") as f:
        b = bytearray(f.read())
        b[0] = ord("0") if b[0] != ord("0") else ord("1")
        f.seek(0)
        f.write(b)
    leave(d.spawner_pid())
    d.start(spawner=False)
    d.wait_log(r"belongs to another database")
    i = d.submit("true")
    is_(d.job(i)["state"], "queued")
    d.stop()
    shutil.rmtree(d.run)
    leave(d.spawner_pid())
    d.start()
    is_(d.wait_end(i)["state"], "succeeded")


d.check = False
main()
