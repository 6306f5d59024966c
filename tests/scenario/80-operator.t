#!/usr/bin/python3
"""What an operator does with a job that did not end well: retry it, resolve it; who may, and what is refused."""
import contextlib
import json
import os
import signal
import socket
import sys
import threading

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
    is_((r.code, r.out), (1, f"{runs}\n"), "the others are retried all the same")
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
    is_(r.code, 1)
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
    r = d.ctl("resolve", id, "--as", "succeeded", "--note", "two\nlines")
    is_((r.code, r.err), (2, "ctxctl: --note: has control characters\n"))
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
    is_(r.code, 1)
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


@case("doctor and status say how far a half-processed job came, who saw it last, and what it left")
def _():
    for j in d.jobs(half_processed=True):
        d.call("Resolve", id=j["id"], **{"as": "failed"})
    is_(d.ctl("doctor").code, 0)
    id = d.submit(sh="echo so far; exec sleep 1000", name="half")["id"]
    wait_until(lambda: d.output(id) == b"so far\n", "its output")
    d.call("Progress", id=id, percent=40, text="row 4000")
    before = d.job(id)
    interrupt(id)
    job = d.job(id)
    is_((job["phase"], job["pid"], job["output"]["bytes"]), ("started", before["pid"], 7))
    boot = open("/proc/sys/kernel/random/boot_id", encoding="ascii").read().strip()
    is_(job["boot"], boot)
    ok(0 <= seconds_between(job["seen_at"], job["ended_at"]) < 20, (job["seen_at"], job["ended_at"]))
    r = d.ctl("doctor")
    is_(r.code, 1)
    for pattern in (f"job {id} \\(half\\)", "attempt: 1", f"boot: {boot}", "phase: started", "evidence: monitor_lost",
                    "last progress: 40% row 4000 at 2", "last seen: 2.*, by its monitor", "output so far: 7", f"ctxctl retry {id}"):
        like(r.out, pattern)
    r = d.ctl_ok("status", id)
    for pattern in ("phase: +started", f"boot: +{boot}", "last seen: "):
        like(r, pattern)
    is_(d.sql("SELECT phase, boot, out_bytes FROM half_processed"), [("started", boot.replace("-", ""), 7)])
    d.call("Resolve", id=id, **{"as": "failed"})
    # Nobody who lives has seen it: what it told is the last sign of it.
    id = d.submit("sleep", "1000")["id"]
    d.wait_started(id)
    d.call("Progress", id=id, text="begun")
    d.stop()
    for pid in [*d.shims(), *d.job_pids(id)]:
        with contextlib.suppress(ProcessLookupError):  # the job goes with its monitor
            os.kill(pid, signal.SIGKILL)
    d.start()
    job = d.wait_end(id)
    is_((job["state"], job["phase"], job["seen_at"]), ("interrupted", "started", None))
    like(d.ctl("doctor").out, "last seen: .*, by its own progress")
    d.call("Resolve", id=id, **{"as": "failed"})


def doctor(**change):
    """What `doctor` makes of a daemon that says this of itself."""
    stats = d.call("Stats")
    stats.update(change)
    path = os.path.join(d.dir, "other.sock")
    s = socket.socket(socket.AF_UNIX)
    s.bind(path)
    s.listen(1)

    def serve():
        c = s.accept()[0]
        data = b""
        answers = [{"parameters": stats}, {"parameters": {"jobs": [], "next": None}}]
        while answers:
            data += c.recv(65536)
            for _ in range(data.count(b"\0")):
                c.sendall(json.dumps(answers.pop(0)).encode() + b"\0")
            data = data[data.rindex(b"\0") + 1:] if b"\0" in data else data
        c.close()

    t = threading.Thread(target=serve, daemon=True)
    t.start()
    r = run([CTXCTL, "--socket", path, "doctor"], env=ctl_env())
    t.join(10)
    s.close()
    os.unlink(path)
    return r


@case("doctor: room, log of the database, clock, spawner, cgroup, storage")
def _():
    G = 1 << 30
    ok(d.call("Stats")["wal_bytes"] > 0)
    ok(abs(d.call("Stats")["clock_step_usec"]) < 5 * S)
    plenty = {"free": 50 * G, "size": 100 * G}
    room = {"state": plenty, "output": plenty, "runtime": plenty}
    r = doctor(space=room)
    is_((r.code, r.out), (0, "nothing half-processed\n"))
    for change, says in (({"space": {**room, "state": {"free": 40 << 20, "size": 2 * G}}}, "disk: .* left for the state directory"),
                         ({"space": {**room, "output": {"free": 1 << 19, "size": 1 << 22}}}, "left for the output directory"),
                         ({"space": {**room, "runtime": {"free": 0, "size": 1 << 24}}}, "left for the runtime directory"),
                         ({"wal_bytes": 40 << 20}, "WAL.* has grown to 40"),
                         ({"clock_step_usec": -7200 * S}, "clock: it was set back by 2h"),
                         ({"clock_step_usec": 60 * S}, "clock: it was set forward by 1m"),
                         ({"spawner_up": False, "spawner_missing": True}, "spawner: not connected"),
                         ({"mode": "system", "spawner_up": True, "cgroup": False}, "cgroup: there is none"),
                         ({"storage_ok": False}, "storage: ")):
        r = doctor(**{"space": room, **change})
        is_(r.code, 1, says)
        like(r.out, says)
    for fine in ({"wal_bytes": 8 << 20}, {"space": {**room, "state": {"free": 2 << 20, "size": 3 << 20}, "output": None}},
                 {"clock_step_usec": 2 * S}):
        is_(doctor(**{"space": room, **fine}).code, 0, str(fine))


@case("the same key asks for the same: --if-exists retry and retry agree")
def _():
    id = d.submit(sh="[ $CTX_ATTEMPT = 3 ]", key="thrice")["id"]
    d.wait_end(id)
    is_(d.submit(sh="[ $CTX_ATTEMPT = 3 ]", key="thrice", if_exists="retry")["attempt"], 2)
    d.wait_end(id)
    is_(d.call("Retry", id=id)["job"]["attempt"], 3)
    is_(d.wait_end(id)["state"], "succeeded")


main()
