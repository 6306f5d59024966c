#!/usr/bin/python3
"""What an operator does with a job that did not end well: retry it, resolve it; who may, and what is refused."""
import os
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from apitest import *  # noqa: E402,F403

d = ApiDaemon(conf="[limits]\nrunning = 8\n[class one]\nrunning = 1\n[environment]\nkeep = 1h\n")


def edges(id):
    return [(e["attempt"], e["from"], e["to"]) for e in d.call("Events", id=id)["events"]]


def interrupt(id):
    """Kill the monitor of a running job: its end will never be known."""
    d.wait_started(id)
    os.kill(d.monitor_pid(id), signal.SIGKILL)
    job = d.wait_end(id)
    is_((job["state"], job["half_processed"]), ("interrupted", True))
    return job


def survivors(id):
    """As if the spawner could not have proved that nothing of it is alive."""
    import sqlite3

    d.stop()
    db = sqlite3.connect(d.db)
    db.execute("UPDATE job SET survivors_possible = 1 WHERE id = ?", (id,))
    db.commit()
    db.close()
    d.start()


@case("a new attempt of the same id, told what the last one said")
def _():
    id = d.submit(sh="env | grep ^CTX_LAST_ | sort; echo $CTX_ATTEMPT; [ $CTX_ATTEMPT -gt 1 ] && exit 0; exec sleep 1000")["id"]
    d.wait_started(id)
    d.call("Progress", id=id, percent=37.5, text="page 12 of 32")
    interrupt(id)
    is_(d.ctl_ok("retry", id), f"{id}\n")
    job = d.wait_end(id)
    is_((job["state"], job["attempt"], job["id"]), ("succeeded", 2, id))
    is_(job["last_progress"], {"percent": 37.5, "text": "page 12 of 32"})
    is_(job["progress"], None, "it is not its own")
    is_(d.output(id), b"CTX_LAST_PERCENT=37.5\nCTX_LAST_STATUS=page 12 of 32\n2\n")
    is_(edges(id)[-4:], [(1, "running", "interrupted"), (2, "interrupted", "queued"), (2, "queued", "running"),
                         (2, "running", "succeeded")])
    is_(job["half_processed"], False)


@case("the last word stays when an attempt says nothing; a variable of the submitter is not it")
def _():
    id = d.submit(sh="echo ${CTX_LAST_STATUS-none} ${CTX_LAST_PERCENT-none}; exit 3",
                  env={"CTX_LAST_STATUS": "false", "CTX_LAST_PERCENT": "1", "PATH": os.environ["PATH"]})["id"]
    d.wait_end(id)
    is_(d.output(id), b"none none\n")
    two = d.submit(sh="[ $CTX_ATTEMPT = 1 ] && exec sleep 1000; echo ${CTX_LAST_STATUS-none} ${CTX_LAST_PERCENT-none}; exit 3")["id"]
    d.wait_started(two)
    d.call("Progress", id=two, text="begun")
    d.cancel(two, now=True)
    d.wait_end(two)
    for attempt in (2, 3):
        d.call("Retry", id=two)
        is_(d.wait_end(two)["attempt"], attempt)
        is_(d.output(two), b"begun none\n")


@case("what cannot be retried, and why")
def _():
    good = d.submit("true")["id"]
    d.wait_end(good)
    like(refused(d.call, "InvalidArgument", "Retry", id=good)["reason"], "it succeeded")
    runs = d.submit("sleep", "1000")["id"]
    d.wait_started(runs)
    like(refused(d.call, "InvalidArgument", "Retry", id=runs)["reason"], "it has not ended, it is running")
    d.cancel(runs, now=True)
    d.wait_end(runs)
    scope = d.call("Scope")["job"]["id"]
    like(refused(d.call, "InvalidArgument", "Retry", id=scope)["reason"], "a scope")
    d.call("Close", id=scope)
    like(refused(d.call, "InvalidArgument", "Retry", id=scope)["reason"], "a scope")
    is_(refused(d.call, "NoSuchJob", "Retry", id=10 ** 6)["id"], 10 ** 6)
    r = d.ctl("retry", good, 10 ** 6, runs)
    is_((r.code, r.out), (2, f"{runs}\n"), "the others are retried all the same")
    d.wait_started(runs)
    d.cancel(runs, now=True)
    d.wait_end(runs)


@case("while processes of it may be alive: not before somebody has resolved it")
def _():
    id = d.submit("sleep", "1000")["id"]
    interrupt(id)
    survivors(id)
    is_(d.job(id)["survivors_possible"], True)
    r = d.ctl("retry", id)
    is_(r.code, 2)
    like(r.err, "may be alive; resolve it first")
    is_(d.job(id)["attempt"], 1)
    d.ctl_ok("resolve", id, "--as", "failed", "--note", "killed it by hand")
    d.ctl_ok("retry", id)
    job = d.wait_started(id)
    is_((job["attempt"], job["resolution"], job["survivors_possible"]), (2, None, False))
    d.cancel(id, now=True)
    d.wait_end(id)


@case("resolved: the state stays, who decided what is recorded, and it is not half-processed any more")
def _():
    id = d.submit("sleep", "1000")["id"]
    interrupt(id)
    is_([j["id"] for j in d.jobs(half_processed=True)], [id])
    r = d.ctl("resolve", id, "--as", "succeeded", "--note", "all rows are there")
    is_((r.code, r.out), (0, f"job {id} resolved as succeeded\n"))
    job = d.job(id)
    is_((job["state"], job["half_processed"]), ("interrupted", False))
    got = job["resolution"]
    is_((got["as"], got["note"], got["by"]), ("succeeded", "all rows are there", os.getuid()))
    ok(seconds_between(job["ended_at"], got["at"]) >= 0)
    is_(d.jobs(half_processed=True), [])
    is_(d.call("Stats")["half_processed"], 0)
    is_(d.sql("SELECT count(*) FROM half_processed")[0][0], 0)
    last = d.call("Events", id=id)["events"][-1]
    is_((last["from"], last["to"], last["cause"], last["by"]),
        ("interrupted", "interrupted", "resolved as succeeded: all rows are there", os.getuid()))
    r = d.ctl("resolve", id, "--as", "failed")
    is_(r.code, 2)
    like(r.err, "was resolved already, as succeeded")
    is_(d.job(id)["resolution"], got)
    like(refused(d.call, "InvalidArgument", "Retry", id=id)["reason"], "resolved as succeeded")
    d.restart()
    is_(d.job(id)["resolution"], got, "after a restart")


@case("what cannot be resolved")
def _():
    id = d.submit("false")["id"]
    d.wait_end(id)
    like(refused(d.call, "InvalidArgument", "Resolve", id=id, **{"as": "failed"})["reason"], "only an interrupted job")
    half = d.submit("sleep", "1000")["id"]
    interrupt(half)
    is_(refused(d.call, "InvalidArgument", "Resolve", id=half, **{"as": "canceled"})["field"], "as")
    is_(refused(d.call, "InvalidArgument", "Resolve", id=half, note="x" * 1025, **{"as": "failed"})["field"], "note")
    is_(refused(d.call, "InvalidArgument", "Resolve", id=half, note="a\nb", **{"as": "failed"})["field"], "note")
    refused(d.call, "NoSuchJob", "Resolve", id=10 ** 6, **{"as": "failed"})
    is_(d.ctl("resolve", half).code, 2)
    is_(d.ctl("resolve", half, "--as", "maybe").code, 2)
    is_(d.job(half)["half_processed"], True)
    d.ctl_ok("--json", "resolve", half, "--as", "failed")
    is_(d.job(half)["resolution"]["note"], None)


@case("the same key asks for the same: --if-exists retry and retry agree")
def _():
    id = d.submit(sh="[ $CTX_ATTEMPT = 3 ]", key="thrice")["id"]
    d.wait_end(id)
    is_(d.submit(sh="[ $CTX_ATTEMPT = 3 ]", key="thrice", if_exists="retry")["attempt"], 2)
    d.wait_end(id)
    is_(d.call("Retry", id=id)["job"]["attempt"], 3)
    is_(d.wait_end(id)["state"], "succeeded")


main()
