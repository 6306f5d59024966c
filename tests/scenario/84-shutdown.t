#!/usr/bin/python3
"""The machine goes down: what runs gets its signal and its grace and is recorded as interrupted, cause shutdown; what is queued stays
queued; nothing new is accepted; the next start goes on by class. And ctxd killed in the middle of it."""
import os
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from apitest import *  # noqa: E402,F403

CONF = """[limits]
running = 8
[deadline]
grace = 300s
[class again]
on_interrupt = retry
[class one]
running = 1
"""
d = ApiDaemon(conf=CONF)
TRAP = "trap 'echo term; exit %d' TERM; echo ready; while :; do sleep 0.05; done"


def submit(*args):
    return int(d.ctl_ok("submit", *args))


def edges(id):
    return [(e["from"], e["to"], e["cause_code"]) for e in d.call("Events", id=id)["events"]]


def ready(*args, code):
    """A job that ends on TERM with CODE, and is ready to."""
    id = submit(*args, "--", "sh", "-c", TRAP % code)
    wait_until(lambda: "ready" in d.logs(id), f"job {id} to be ready")
    return id


def anew():
    d.restart()
    is_(d.call("Stats")["draining"], False, "a new ctxd takes jobs again")


@case("running jobs get their signal and their grace; nothing is accepted or started meanwhile; the next start goes on")
def _():
    kept = ready(code=7, *["--class", "one", "--key", "k-1"])
    again = ready(code=0, *["--class", "again"])
    stubborn = submit("--grace", "1s", "--", "sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done")
    wait_until(lambda: "ready" in d.logs(stubborn), "the stubborn one to be ready")
    queued = submit("--class", "one", "--", "true")
    is_(d.job(queued)["state"], "queued")
    is_(d.json("shutdown"), {"stopped": 3})
    for id, code, sig in ((kept, 7, None), (stubborn, None, signal.SIGKILL)):
        job = d.job(id)
        is_((job["state"], job["cause_code"], job["cause"], job["exit_code"], job["signal"], job["known_by"], job["half_processed"]),
            ("interrupted", "shutdown", "the machine was shut down", code, sig, "monitor", True))
        is_(edges(id)[-2:], [("running", "stopping", "shutdown"), ("stopping", "interrupted", "shutdown")])
    like(d.logs(kept), r"^ready\n(.*\n)*term\n$", "it had its TERM")
    job = d.job(again)
    is_((job["state"], job["attempt"]), ("queued", 2), "its class has it retried")
    is_(d.job(queued)["state"], "queued")
    is_(d.call("Stats")["draining"], True)
    r = d.ctl("submit", "true")
    is_((r.code, r.out), (7, ""))
    like(r.err, "takes no new jobs")
    is_(d.ctl("scope", "create").code, 7, "nor scopes")
    is_(d.ctl("retry", kept).code, 7, "nor retries")
    is_(submit("--class", "one", "--key", "k-1", "--", "sh", "-c", TRAP % 7), kept, "a key gets the job that is there")
    like(d.ctl("doctor").out, "shutdown: nothing is accepted")
    is_(d.json("shutdown"), {"stopped": 0}, "a second one finds nothing to do")
    anew()
    is_(d.wait_end(queued)["state"], "succeeded")
    wait_until(lambda: d.job(again)["attempt"] == 2 and d.job(again)["state"] == "running", "the second attempt to run")
    wait_until(lambda: "ready" in d.logs(again), "the second attempt to be ready")
    d.ctl_ok("cancel", "--wait", again)
    is_(d.job(kept)["state"], "interrupted")
    for id in (kept, stubborn):
        d.ctl_ok("resolve", "--as", "failed", id)


@case("--within is the end of every grace, a longer one or that of a cancel")
def _():
    stubborn = [submit("--", "sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done") for _ in range(2)]
    for id in stubborn:
        wait_until(lambda id=id: "ready" in d.logs(id), "the job to be ready")
    d.ctl_ok("cancel", stubborn[0])
    is_(d.json("shutdown", "--within", "500ms"), {"stopped": 1})
    is_([(j["state"], j["cause_code"], j["signal"]) for j in map(d.job, stubborn)],
        [("canceled", "requested", 9), ("interrupted", "shutdown", 9)], "a cancel came first, and stays the cause")
    is_(d.ctl("shutdown", "--within", "0").code, 2)
    anew()


@case("of a tree what runs has this cause; what waits below is cancelled with it; an open scope stays open")
def _():
    scope = int(d.ctl_ok("scope", "create"))
    top = ready(code=0, *["--parent", scope, "--attach"])
    below = ready(code=0, *["--parent", top, "--attach"])
    waits = ready(code=0, *["--class", "one"])
    queued = submit("--parent", top, "--attach", "--class", "one", "true")
    is_(d.json("shutdown"), {"stopped": 3})
    is_([(j["state"], j["cause_code"]) for j in map(d.job, (top, below, waits))], [("interrupted", "shutdown")] * 3)
    job = d.job(queued)
    is_((job["state"], job["cause_code"], job["cause"]),
        ("canceled", "parent", f"parent {top} interrupted: the machine was shut down"))
    is_(d.job(scope)["state"], "open")
    anew()
    is_(d.job(scope)["state"], "open")
    d.ctl_ok("scope", "close", scope)


@case("what ends by itself before it is told has its own end")
def _():
    for code, state in ((0, "succeeded"), (3, "failed")):
        id = submit("--", "sh", "-c", f"echo ready; read x <{d.dir}/go; exit {code}")
        wait_until(lambda: "ready" in d.logs(id), "the job to be ready")
        monitor = d.monitor_pid(id)
        with d.connect() as v:
            v.call("Stats")
            os.kill(d.proc.pid, signal.SIGSTOP)
            with open(os.path.join(d.dir, "go"), "w") as f:
                f.write("\n")
            wait_until(lambda: exited(monitor), "its monitor to be gone")
            v.send("Shutdown")  # both are there now: what is read first is ctxd's to choose
            os.kill(d.proc.pid, signal.SIGCONT)
            v.receive()
        job = d.job(id)
        is_((job["state"], job["cause_code"], job["exit_code"]), (state, "exit", code))
        anew()


@case("ctxd killed in the middle: the jobs were told, and a new one on the same boot finds their ends")
def _():
    held = submit("--", "sh", "-c", f"trap 'echo term; read x <{d.dir}/go; exit 5' TERM; echo ready; while :; do sleep 0.05; done")
    again = submit("--class", "again", "--", "sh", "-c",
                     f"trap 'echo term; read x <{d.dir}/go2; exit 0' TERM; echo ready; while :; do sleep 0.05; done")
    for id in (held, again):
        wait_until(lambda id=id: "ready" in d.logs(id), "the job to be ready")
    monitor = d.monitor_pid(held)
    p = d.ctl_bg("shutdown")
    for id in (held, again):
        wait_until(lambda id=id: "term" in d.logs(id), "the job to be told")
    d.kill9()
    is_(p.wait(60), 5, "the connection is lost")
    p.communicate()
    with open(os.path.join(d.dir, "go"), "w") as f:  # it ends while nobody is there
        f.write("\n")
    wait_until(lambda: exited(monitor), "its monitor to end")
    d.start()
    job = d.wait_end(held)
    is_((job["state"], job["cause_code"], job["exit_code"], job["known_by"]), ("interrupted", "shutdown", 5, "result_file"))
    is_(d.job(again)["state"], "stopping")
    is_(d.call("Stats")["draining"], False, "whoever wants to shut down asks again")
    with open(os.path.join(d.dir, "go2"), "w") as f:
        f.write("\n")
    wait_until(lambda: d.job(again)["attempt"] == 2, "it to be retried")
    d.ctl_ok("cancel", "--now", "--wait", again)
    d.ctl_ok("resolve", "--as", "failed", held)


for name in ("go", "go2"):
    os.mkfifo(os.path.join(d.dir, name))
main()
