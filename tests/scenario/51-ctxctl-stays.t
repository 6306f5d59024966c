#!/usr/bin/python3
"""ctxctl that stays with a job: signals, a ctxd that dies and comes back or does not, large output, readers that go away."""
import hashlib
import os
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from ctxtest import *
from ctxtest import CTXCTL, ctl_env, run

d = Daemon(conf="[deadline]\ngrace=60s\n[daemon]\nreattach=10m\n")


def gate(name):
    """A fifo at which a job waits until open_gate."""
    path = os.path.join(d.dir, name)
    os.mkfifo(path)
    return path


def open_gate(path):
    with open(path, "w", encoding="ascii") as f:
        f.write("\n")


def last():
    return max(j["id"] for j in d.json("list", "--all"))


def started(p, line=b"started\n"):
    """The job of P has said LINE: its id."""
    is_(p.stdout.readline(), line)
    return last()


def connections():
    return d.json("status")["connections"]


def finish(p):
    out, err = p.communicate(timeout=120)
    return p.returncode, out, err.decode()


@case("run: one signal cancels, and the end is waited for")
def _():
    for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        p = d.ctl_bg("run", "sh", "-c", "echo started; exec sleep 1000")
        id = started(p)
        p.send_signal(sig)
        code, out, err = finish(p)
        is_((code, out), (122, b""))
        like(err, f"canceling job {id}")
        job = d.job(id)
        is_((job["state"], job["cause"]), ("canceled", "interrupted by user"))


@case("run: what the job says while it stops still comes")
def _():
    p = d.ctl_bg("run", "sh", "-c", "trap 'echo bye; exit 9' TERM; echo started; while :; do sleep 0.05; done")
    started(p)
    p.send_signal(signal.SIGINT)
    code, out, _ = finish(p)
    is_((code, out[-4:]), (122, b"bye\n"))  # the shell may have said that its child was terminated


@case("run: the second signal kills, the third goes")
def _():
    stubborn = ["sh", "-c", "trap '' TERM; echo started; while :; do sleep 0.05; done"]
    p = d.ctl_bg("run", *stubborn)
    id = started(p)
    p.send_signal(signal.SIGINT)
    d.wait_state(id, "stopping")
    p.send_signal(signal.SIGINT)
    code, _, err = finish(p)
    is_(code, 122)
    like(err, f"killing job {id}")
    is_(d.job(id)["signal"], 9)
    p = d.ctl_bg("run", *stubborn)
    id = started(p)
    os.kill(d.proc.pid, signal.SIGSTOP)  # nobody answers, so that the third comes before the end
    try:
        for line in (b"canceling", b"killing"):
            p.send_signal(signal.SIGINT)
            ok(line in p.stderr.readline())
        p.send_signal(signal.SIGTERM)
        is_(finish(p)[0], 125)
    finally:
        os.kill(d.proc.pid, signal.SIGCONT)
    is_(d.wait_end(id)["state"], "canceled")


@case("run: a signal that is ignored stays so")
def _():
    go = gate("ignored")
    p = subprocess.Popen(["/bin/sh", "-c", f"trap '' INT HUP; exec {CTXCTL} run sh -c 'echo started; read x <{go}'"],
                         env=ctl_env(d.sock), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    started(p)
    p.send_signal(signal.SIGINT)
    p.send_signal(signal.SIGHUP)
    open_gate(go)
    is_(finish(p), (0, b"", ""))


@case("run --detach and submit --wait: a signal leaves the job, and says how to find it")
def _():
    for args, first in ((["run", "--detach"], b"started\n"), (["submit", "--wait"], None)):
        go = gate(f"detach-{args[0]}")
        p = d.ctl_bg(*args, "sh", "-c", f"echo started; read x <{go}; exit 7")
        line = p.stdout.readline()
        id = last()
        if first:
            is_(line, first)
        else:
            is_(int(line), id)
        d.wait_state(id, "running")
        wait_until(lambda: b"SigBlk:\t0000000000004003" in open(f"/proc/{p.pid}/status", "rb").read(), "signals are taken")
        p.send_signal(signal.SIGINT)
        code, _, err = finish(p)
        is_(code, 125)
        like(err, f"job {id} goes on: ctxctl wait {id}")
        open_gate(go)
        is_(d.ctl("wait", id).code, 7)


@case("a ctxd that dies and comes back: run, wait, submit --wait and logs -f go on where they were")
def _():
    go = gate("restart")
    p = d.ctl_bg("run", "sh", "-c", f"echo started; read x <{go}; echo more; exit 5")
    id = started(p)
    wait_until(lambda: connections() == 3, "two of run, and the one that asks")
    others = [d.ctl_bg("wait", id)]
    wait_until(lambda: connections() == 4, "the waiting one to be connected")
    others.append(d.ctl_bg("logs", "-f", id))
    is_(others[1].stdout.readline(), b"started\n")
    gate("restart.2")
    w = d.ctl_bg("submit", "-w", "sh", "-c", f"read x <{go}.2; exit 6")
    second = int(w.stdout.readline())
    d.wait_state(second, "running")
    d.kill9()
    for q in (p, *others):
        like(q.stderr.readline().decode(), f"lost; job {id} goes on")
    d.start()
    open_gate(go)
    open_gate(go + ".2")
    is_(finish(p)[:2], (5, b"more\n"))
    is_(finish(others[0])[:2], (5, b""))
    is_(finish(others[1])[:2], (0, b"more\n"))
    is_(finish(w)[0], 6)
    is_(d.job(id)["state"], "failed")


@case("a cancel that finds no ctxd is made when it is back")
def _():
    p = d.ctl_bg("run", "sh", "-c", "echo started; exec sleep 1000")
    id = started(p)
    d.kill9()
    like(p.stderr.readline().decode(), "lost")
    p.send_signal(signal.SIGINT)
    like(p.stderr.readline().decode(), "canceling")
    d.start()
    is_(finish(p)[0], 122)
    is_(d.job(id)["cause"], "interrupted by user")


@case("a ctxd that does not come back: 125, and the job goes on")
def _():
    go = gate("gone")
    p = d.ctl_bg("run", "sh", "-c", f"echo started; read x <{go}; exit 4")
    id = started(p)
    d.kill9()
    code, _, err = finish(p)
    is_(code, 125)
    like(err, f"ctxctl wait {id}")
    like(err, "cannot reach ctxd")
    d.start()
    open_gate(go)
    is_(d.ctl("wait", id).code, 4)


@case("wait --timeout holds also while ctxd is gone")
def _():
    go = gate("timeout")
    id = d.submit("sh", "-c", f"read x <{go}")
    w = d.ctl_bg("wait", "--timeout", "2s", id)
    wait_until(lambda: connections() > 1 or w.poll() is not None, "the waiting one is connected, or has waited for so long")
    d.kill9()
    code, _, err = finish(w)
    is_(code, 125)
    like(err, f"after 2s 1 of 1 job has not ended: {id}")
    d.start()
    open_gate(go)
    is_(d.ctl("wait", id).code, 0)


@case("all of a large output, through a pipe")
def _():
    r = run(["/bin/bash", "-c", f"{CTXCTL} run seq 2000000 | sha256sum; echo ${{PIPESTATUS[0]}}"], env=ctl_env(d.sock))
    want = hashlib.sha256("".join(f"{n}\n" for n in range(1, 2000001)).encode()).hexdigest()
    is_(r.out.split(), [want, "-", "0"])


@case("a reader that goes away: as a client that goes away")
def _():
    p = d.ctl_bg("run", "sh", "-c", "echo started; trap '' PIPE; while echo x; do sleep 0.01; done")
    id = started(p)
    p.stdout.close()
    is_(p.wait(60), -signal.SIGPIPE)
    is_(p.stderr.read(), b"")
    p.stderr.close()
    job = d.wait_end(id)
    is_((job["state"], job["cause_code"]), ("canceled", "client_gone"))


main()
