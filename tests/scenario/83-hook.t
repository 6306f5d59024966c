#!/usr/bin/python3
"""[daemon] on_half_processed: run once for each job that is newly found half-processed, whatever dies when."""
import contextlib
import os
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from apitest import *  # noqa: E402,F403
from ctxtest import proc_stat  # noqa: E402
from sysdaemon import ALICE, CTXD_UID, SystemDaemon, identity  # noqa: E402
from varlink import Varlink  # noqa: E402

d = ApiDaemon(start=False)
TOLD = os.path.join(d.dir, "told")
HOOK = f'echo "$CTX_HALF_PROCESSED_ID.$CTX_HALF_PROCESSED_ATTEMPT $CTX_HALF_PROCESSED_CAUSE_CODE" >>{TOLD}'
CONF = "[environment]\nmode = none\n[class again]\non_interrupt = retry\nmax_attempts = 2\n[daemon]\non_half_processed = "
d.configure(CONF + HOOK + "\n")
d.start()


def told():
    try:
        with open(TOLD, encoding="utf-8") as f:
            return f.read().splitlines()
    except FileNotFoundError:
        return []


def kill_monitor(id, attempt=1):
    wait_until(lambda: (lambda j: j["attempt"] == attempt and j["state"] == "running" and j["pid"])(d.job(id)),
               f"attempt {attempt} of {id} to run")
    os.kill(d.monitor_pid(id), signal.SIGKILL)


def hooks():
    return [j for j in d.jobs() if (j["name"] or "").startswith("on_half_processed ")]


@case("run once, as an ordinary job of the daemon's user, with what is known in its environment")
def _():
    id = d.submit("sleep", "1000", name="a 'b'")["id"]
    d.wait_started(id)
    d.call("Progress", id=id, percent=12.5, text="row; touch bad")
    kill_monitor(id)
    d.wait_end(id)
    wait_until(lambda: told() == [f"{id}.1 monitor_lost"], f"it to be told: {told()}")
    hook = hooks()
    is_(len(hook), 1)
    hook = d.wait_end(hook[0]["id"])
    is_((hook["state"], hook["name"], hook["uid"], hook["key"], hook["class"], hook["parent"]),
        ("succeeded", f"on_half_processed {id}", os.getuid(), None, "default", None))
    is_(hook["argv"], ["/bin/sh", "-c", HOOK])


@case("not for other ends, not for what is retried by itself, not again after a restart")
def _():
    os.unlink(TOLD)
    ids = [d.submit("false")["id"], d.submit("true")["id"], d.submit("sleep", "1000")["id"]]
    d.wait_started(ids[2])
    d.cancel(ids[2], now=True)
    for id in ids:
        d.wait_end(id)
    id = d.submit("sleep", "1000", retries=1, backoff_usec=3600 * S, **{"class": "again"})["id"]
    kill_monitor(id)
    wait_until(lambda: d.job(id)["waiting_for"], "its next attempt")
    d.call("Retry", id=id)
    kill_monitor(id, 2)
    d.wait_end(id)
    wait_until(lambda: told() == [f"{id}.2 monitor_lost"], f"only the last: {told()}")
    d.restart()
    d.kill9()
    d.start()
    is_(d.submit(sh="true") and told(), [f"{id}.2 monitor_lost"])
    is_(len(hooks()), 2)


@case("found after all of it died; and for the hook itself there is none")
def _():
    os.unlink(TOLD)
    d.configure(CONF + HOOK + "; exec sleep 1000\n")
    d.call("Reload")
    id = d.submit("sleep", "1000")["id"]
    d.wait_started(id)
    d.kill9()
    for pid in [*d.shims(), *d.job_pids(id)]:
        with contextlib.suppress(ProcessLookupError):  # the job goes with its monitor
            os.kill(pid, signal.SIGKILL)
    d.start()
    d.wait_end(id)
    wait_until(lambda: len(told()) == 1 and told()[0].startswith(f"{id}.1 "), f"told: {told()}")
    hook = hooks()[-1]["id"]
    n = len(hooks())
    kill_monitor(hook)
    is_(d.wait_end(hook)["state"], "interrupted")
    is_(len(hooks()), n)
    is_(len(told()), 1)


@case("none is configured, and what is wrong with one is said")
def _():
    d.configure("")
    d.call("Reload")
    n = len(hooks())
    id = d.submit("sleep", "1000")["id"]
    kill_monitor(id)
    is_(d.wait_end(id)["state"], "interrupted")
    is_(len(hooks()), n)
    d.configure("[limits]\nqueued = 9\nrunning = 1\n")
    d.restart()
    id = d.submit("sleep", "1000")["id"]
    d.wait_started(id)
    wait = [d.submit("sleep", "1000")["id"] for _ in range(3)]
    d.configure("[daemon]\non_half_processed = true\n[limits]\nqueued = 1\nrunning = 1\n")
    d.call("Reload")
    kill_monitor(id)
    d.wait_end(id)
    d.wait_log(f"job={id} is half-processed, and on_half_processed cannot be run .the queue is full")
    is_(len(hooks()), n)
    for q in reversed(wait):
        d.cancel(q, now=True)
    for q in wait:
        d.wait_end(q)


@case_if(os.geteuid() == 0, "in system mode it runs as the daemon's own user, with what such a job finds, and is root's and the administrators' to see")
def _():
    s = SystemDaemon()
    told = os.path.join(s.state, "told")  # where that user alone may write
    s.configure(f'[daemon]\non_half_processed = (id -u; id -g; id -G; pwd; echo "$CTX_HALF_PROCESSED_ID $CTX_HALF_PROCESSED_UID $PATH") >{told}\n')
    with Varlink(s.sock) as root:
        root.call("Reload")
    with identity(ALICE):
        alice = Varlink(s.sock)
    wait_until(lambda: alice.call("Stats")["spawner_up"], "the spawner")
    id = alice.call("Submit", argv=["sleep", "1000"], name="hers")["job"]["id"]
    pid = wait_until(lambda: alice.call("Get", id=id)["job"]["pid"], "it to run")
    os.kill(proc_stat(pid)[1], signal.SIGKILL)
    is_(alice.call("Wait", ids=[id])["jobs"][0]["state"], "interrupted")
    with Varlink(s.sock) as root:
        hook = wait_until(lambda: [j for j in root.call("List", last=True)["jobs"] if (j["name"] or "").startswith("on_half_processed ")], "it")
        is_([(j["uid"], j["gid"], j["cwd"], j["state"]) for j in [root.call("Wait", ids=[hook[0]["id"]])["jobs"][0]]],
            [(CTXD_UID, CTXD_UID, "/", "succeeded")])
    with open(told, encoding="utf-8") as f:
        lines = f.read().splitlines()
    is_(lines[:4], [str(CTXD_UID), str(CTXD_UID), str(CTXD_UID), "/"])
    like(lines[4], f"^{id} {ALICE} /.*/bin")
    is_([j["id"] for j in alice.call("List", last=True)["jobs"]], [id], "another user's job it is for her")
    alice.close()
    s.cleanup()


main()
