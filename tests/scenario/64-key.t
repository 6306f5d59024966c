#!/usr/bin/python3
"""Same key, same job: in each state, after each death of ctxd, under concurrency; conflicts; and starting one anew."""
# test-timeout: 300
import contextlib
import os
import select
import signal
import sqlite3
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from apitest import *  # noqa: E402,F403
from ctxtest import TIMEOUT  # noqa: E402
from varlink import encode  # noqa: E402

CONF = "[limits]\nrunning = 8\nqueued = 500\n[class one]\nrunning = 1\n[class spare]\n"
d = ApiDaemon(conf=CONF)


def again(key, *argv, v=None, **kw):
    """(job, created) of a submission under a key."""
    got = (v or d.link()).call("Submit", argv=list(argv), key=key, **kw)
    return got["job"], got["created"]


def same(key, id, *argv, **kw):
    job, created = again(key, *argv, **kw)
    is_((job["id"], created), (id, False), f"{key} again")
    return job


def new(key, *argv, **kw):
    job, created = again(key, *argv, **kw)
    need(created, f"{key} makes a new job, not {job['id']}")
    return job


def named(name, **kw):
    return [j["id"] for j in d.jobs(name=name, **kw)]


def edges(id):
    return [(e["attempt"], e["from"], e["to"]) for e in d.call("Events", id=id)["events"]]


@contextlib.contextmanager
def database():
    """The database, while ctxd is down."""
    d.stop()
    db = sqlite3.connect(d.db)
    yield db
    db.commit()
    db.close()
    d.start()


def interrupt(id):
    """Kill the monitor of a running job: its end will never be known."""
    d.wait_started(id)
    os.kill(d.monitor_pid(id), signal.SIGKILL)
    is_(d.wait_end(id)["state"], "interrupted")


@case("the same job in each state, with what is known of it now")
def _():
    gate = fifo(d, "gate")
    blocker = d.submit("sleep", "1000", **{"class": "one"})["id"]
    q = new("queued", "sh", "-c", f"read x <{gate}", **{"class": "one"})
    is_(same("queued", q["id"], "sh", "-c", f"read x <{gate}", **{"class": "one"})["state"], "queued")
    d.cancel(blocker, now=True)
    d.wait_started(q["id"])
    job = same("queued", q["id"], "sh", "-c", f"read x <{gate}", **{"class": "one"})
    is_((job["state"], job["pid"], job["key"]), ("running", d.job(q["id"])["pid"], "queued"))
    go(gate)
    d.wait_end(q["id"])
    is_(same("queued", q["id"], "sh", "-c", f"read x <{gate}", **{"class": "one"})["state"], "succeeded")

    stays = new("stops", "sh", "-c", "trap '' TERM; echo on; while :; do sleep 1000; done", grace_usec=600 * S)
    wait_until(lambda: d.output(stays["id"]) == b"on\n", "its trap to be set")
    d.cancel(stays["id"])
    is_(same("stops", stays["id"], "sh", "-c", "trap '' TERM; echo on; while :; do sleep 1000; done",
             grace_usec=600 * S)["state"], "stopping")
    d.cancel(stays["id"], now=True)
    d.wait_end(stays["id"])
    for key, argv, kw in (("failed", ["false"], {}), ("late", ["sleep", "1000"], {"timeout_usec": 100000})):
        id = new(key, *argv, **kw)["id"]
        end = d.wait_end(id)["state"]
        is_(same(key, id, *argv, **kw)["state"], end)
        is_(d.job(id)["attempt"], 1)
    id = new("gone", "sleep", "1000")["id"]
    interrupt(id)
    is_(same("gone", id, "sleep", "1000")["state"], "interrupted")


@case("something else under the same key: KeyConflict names the job, each part counts; environment and context do not")
def _():
    argv = ["sh", "-c", "exit 0"]
    base = {"name": "conflict", "cwd": "/tmp", "class": "spare", "timeout_usec": 60 * S, "split_output": True}
    id = new("k", *argv, **base)["id"]
    for change in ({"name": "other"}, {"name": None}, {"cwd": "/"}, {"cwd": None}, {"class": "one"}, {"class": None},
                   {"timeout_usec": 61 * S}, {"timeout_usec": None}, {"split_output": False}):
        is_(refused(d.call, "KeyConflict", "Submit", argv=argv, key="k", **{**base, **change}), {"key": "k", "id": id}, str(change))
    for other in (["sh", "-c", "exit 1"], ["sh", "-c"], ["sh", "-c", "exit 0", ""], ["sh", "-c exit 0"]):
        is_(refused(d.call, "KeyConflict", "Submit", argv=other, key="k", **base), {"key": "k", "id": id}, str(other))
    same("k", id, *argv, **base, env={"A": "B"}, values={"v": "w"}, priority=7, umask=0, grace_usec=S, warn_usec=S,
         watchdog_usec=60 * S, inherit=[])
    is_(named("conflict"), [id])
    # Whichever way the default is told.
    id = new("defaults", "true")["id"]
    same("defaults", id, "true", **{"class": "default"}, cwd="/", split_output=False)
    # A whole key is in the answer, however long.
    long = "ä" * 64
    id = new(long, "true")["id"]
    is_(refused(d.call, "KeyConflict", "Submit", argv=["false"], key=long), {"key": long, "id": id})


@case("if_exists: fail refuses also the same; return and retry leave alone what runs or succeeded")
def _():
    gate = fifo(d, "gate-if")
    argv = ["sh", "-c", f"read x <{gate}"]
    is_(again("if", *argv, if_exists="fail")[1], True)
    id = d.jobs(key="if")[0]["id"]
    is_(refused(d.call, "KeyConflict", "Submit", argv=argv, key="if", if_exists="fail"), {"key": "if", "id": id})
    d.wait_started(id)
    for how in ("return", "retry"):
        is_(same("if", id, *argv, if_exists=how)["state"], "running")
    go(gate)
    d.wait_end(id)
    for how in ("return", "retry"):
        is_(same("if", id, *argv, if_exists=how)["state"], "succeeded")
    is_(d.job(id)["attempt"], 1)


@case("keys that are none, and if_exists without one")
def _():
    for key in ("", "x" * 129, "a\nb", "\x7f", "ä" * 65):
        is_(refused(d.call, "InvalidArgument", "Submit", argv=["true"], key=key)["field"], "key", repr(key))
    is_(refused(d.call, "InvalidArgument", "Submit", argv=["true"], if_exists="retry")["field"], "if_exists")
    is_(refused(d.call, "InvalidArgument", "Submit", argv=["true"], key="k", if_exists="maybe")["field"], "if_exists")
    for key in ("x" * 128, "a key with blanks / and: signs", "☃"):
        same(key, new(key, "true")["id"], "true")


@case("numbers that are none")
def _():
    for field, value in (("warn_usec", 0), ("warn_usec", -1), ("warn_usec", 999), ("warn_usec", 3650 * 86400 * S),
                         ("watchdog_usec", 0), ("watchdog_usec", 999), ("watchdog_usec", 3650 * 86400 * S)):
        is_(refused(d.call, "InvalidArgument", "Submit", argv=["true"], **{field: value})["field"], field, f"{field} {value}")
    is_(refused(d.call, "InvalidArgument", "Submit", argv=["true"], warn_signal="USR1")["field"], "warn_signal")
    job = d.submit("true", warn_usec=S)
    is_((job["warn_usec"], job["warn_signal"]), (S, "USR1"))
    job = d.submit("true", warn_usec=2 * S, warn_signal="HUP", watchdog_usec=3 * S)
    is_((job["warn_usec"], job["warn_signal"], job["watchdog_usec"]), (2 * S, "HUP", 3 * S))


@case("after a stop, after kill -9 of ctxd, after the class and the time are gone")
def _():
    soon = d.call("Submit", argv=["true"], key="soon", deadline_at="now+3s", **{"class": "spare"})["job"]
    runs = new("runs", "sleep", "1000")["id"]
    d.wait_started(runs)
    d.restart()
    same("runs", runs, "sleep", "1000")
    d.kill9()
    d.start()
    same("runs", runs, "sleep", "1000")
    d.wait_end(soon["id"])
    wait_until(lambda: wall_us() > when_us(soon["deadline_at"]), "its deadline to pass")
    d.configure(CONF.replace("[class spare]\n", ""))
    d.restart()
    got = d.call("Submit", argv=["true"], key="soon", deadline_at=soon["deadline_at"], **{"class": "spare"})
    is_((got["job"]["id"], got["created"]), (soon["id"], False))
    is_(refused(d.call, "InvalidArgument", "Submit", argv=["true"], key="sooner", deadline_at=soon["deadline_at"])["field"],
        "deadline_at")
    d.configure(CONF)
    d.restart()
    d.cancel(runs, now=True)
    d.wait_end(runs)


def when_us(text):
    import datetime
    t = datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=datetime.timezone.utc)
    return int(t.timestamp() * S)


def wall_us():
    import time
    return int(time.time() * S)


@case("asked again and again while ctxd is killed: one job, and it ran once")
def _():
    marker = os.path.join(d.dir, "marker")
    argv = ["sh", "-c", f"echo ran >>{marker}"]
    for round in range(6):
        key = f"kill {round}"
        with d.connect() as v:
            v.send("Submit", {"argv": argv, "key": key, "name": "killed"})
            if round % 2:  # it may or may not have been taken in
                select.select([v], [], [], TIMEOUT)
            d.kill9()
        d.start()
        id = again(key, *argv, name="killed")[0]["id"]
        same(key, id, *argv, name="killed")
        is_(d.wait_end(id)["state"], "succeeded")
    is_(len(named("killed")), 6)
    is_(read_file(marker), b"ran\n" * 6)


@case("100 identical submissions over 100 connections at once: one job, created once")
def _():
    links = [d.connect() for _ in range(100)]
    call = encode("Submit", {"argv": ["true"], "key": "hundred", "name": "hundred"})
    for v in links:
        v.send_raw(call)
    got = [v.receive()[0] for v in links]
    is_(len({r["job"]["id"] for r in got}), 1)
    is_(sum(r["created"] for r in got), 1)
    is_(len(named("hundred")), 1)
    for v in links:
        v.close()


@case("10,000 submissions of one key in one go: one job")
def _():
    with d.connect() as v:
        v.timeout = 120
        got = v.pipeline([("Submit", {"argv": ["true"], "key": "10000", "name": "many"})] * 10000)
    need(not any(isinstance(r, VarlinkError) for r in got), next((r for r in got if isinstance(r, VarlinkError)), ""))
    is_(len({r["job"]["id"] for r in got}), 1)
    is_([r["created"] for r in got], [True] + [False] * 9999)
    is_(len(named("many")), 1)


@case("hidden keys: the same, and shown nowhere")
def _():
    job, created = again("~mine", "sh", "-c", "env", name="hidden")
    is_((created, job["key"]), (True, None))
    is_(same("~mine", job["id"], "sh", "-c", "env", name="hidden")["key"], None)
    is_(refused(d.call, "KeyConflict", "Submit", argv=["true"], key="~mine")["id"], job["id"])
    d.wait_end(job["id"])
    unlike(d.output(job["id"]).decode(), "^CTX_KEY=")
    is_(d.jobs(key="~mine"), [])
    for j in d.jobs(name="hidden") + [d.job(job["id"])]:
        is_(j["key"], None)
    unlike(d.log_text(), "~mine")
    is_(refused(d.call, "KeyConflict", "Submit", argv=["sh", "-c", "env"], name="hidden", key="~mine", if_exists="fail")["id"],
        job["id"])
    job = new("shown", "sh", "-c", "env")
    d.wait_end(job["id"])
    like(d.output(job["id"]).decode(), "^CTX_KEY=shown$")
    is_([j["id"] for j in d.jobs(key="shown")], [job["id"]])


@case("a full queue still answers")
def _():
    e = ApiDaemon(conf="[limits]\nrunning = 1\nqueued = 2\n")
    e.submit("sleep", "1000")
    first = e.submit("sleep", "999", key="first")
    e.submit("sleep", "998")
    is_(refused(e.call, "QueueFull", "Submit", argv=["true"])["limit"], 2)
    got = e.call("Submit", argv=["sleep", "999"], key="first")
    is_((got["job"]["id"], got["created"]), (first["id"], False))
    is_(refused(e.call, "KeyConflict", "Submit", argv=["true"], key="first")["id"], first["id"])
    # To start one anew takes a place.
    e.cancel(first["id"])
    e.submit("true")
    is_(refused(e.call, "QueueFull", "Submit", argv=["sleep", "999"], key="first", if_exists="retry")["limit"], 2)
    is_(e.job(first["id"])["state"], "canceled")
    e.cleanup()


# ---- once more


def retry(key, id, *argv, **kw):
    """A retry, which has to be granted."""
    before = d.job(id)
    job = same(key, id, *argv, if_exists="retry", **kw)
    is_(job["attempt"], before["attempt"] + 1)
    is_((job["state"], job["ended_at"], job["exit_code"], job["signal"], job["cause"], job["cause_code"], job["err"],
         job["known_by"], job["leftovers"], job["progress"], job["resolution"], job["half_processed"],
         job["survivors_possible"], job["usage"]),
        ("queued", None, None, None, None, None, None, None, None, None, None, False, False, None), "nothing of the last attempt")
    return job


def retried(state, argv, flag, seconds=None):
    """A job that ends in STATE, and again, when it succeeds. SECONDS: its timeout. None if that was too short for what it does."""
    key, kw = f"end {state} {seconds}", {"timeout_usec": seconds * S} if seconds else {}
    with contextlib.suppress(FileNotFoundError):
        os.unlink(flag)
    id = new(key, *argv, env={"SECRET": "s3", "PATH": os.environ["PATH"]}, **kw)["id"]
    wait_until(lambda: d.output(id) == b"s3 1\n" or d.job(id)["state"] == "deadline_exceeded", "its first line")
    if seconds and d.output(id) != b"s3 1\n":
        return None
    if state == "canceled":
        d.cancel(id, cause="for now")
    elif state == "interrupted":
        interrupt(id)
    is_(d.wait_end(id)["state"], state)
    is_(d.output(id), b"s3 1\n")
    write_file(flag)
    # The environment that counts is the first one's.
    job = retry(key, id, *argv, env={"SECRET": "other"}, **kw)
    is_(job["timeout_usec"], (seconds or 600) * S)
    end = d.wait_end(id)
    if seconds and end["state"] == "deadline_exceeded":
        return None
    is_((end["state"], end["attempt"], end["exit_code"]), ("succeeded", 2, 0))
    ok(when_us(end["started_at"]) >= when_us(d.job(id)["submitted_at"]))
    is_(d.output(id), b"s3 2\n")
    is_(read_file(d.output_path(id, 1)), b"s3 1\n", "output of the first attempt")
    got = edges(id)
    need((2, state, "queued") in got, got)
    is_(got[-3:], [(2, state, "queued"), (2, "queued", "running"), (2, "running", "succeeded")])
    edge = next(e for e in d.call("Events", id=id)["events"] if e["attempt"] == 2)
    is_((edge["by"], edge["cause"]), (os.geteuid(), "retried"))
    same(key, id, *argv, if_exists="retry", **kw)  # it succeeded: nothing more
    is_(d.job(id)["attempt"], 2)
    return id


@case("retry of each end: a new attempt each, with the environment it had; history and both outputs stay")
def _():
    flag = os.path.join(d.dir, "flag")
    argv = "sh", "-c", f"echo $SECRET $CTX_ATTEMPT; test -e {flag}"
    retried("failed", argv, flag)
    argv = "sh", "-c", f"echo $SECRET $CTX_ATTEMPT; test -e {flag} || exec sleep 1000"
    for state in ("canceled", "interrupted"):
        retried(state, argv, flag)
    in_time(lambda seconds: retried("deadline_exceeded", argv, flag, seconds), (4, 15, 60))
    is_(d.call("Stats")["half_processed"], d.sql("SELECT count(*) FROM half_processed")[0][0])


@case("again and again, also while the job that ends is asked for; attempts count on")
def _():
    id = new("often", "false")["id"]
    for attempt in range(2, 12):
        is_(d.wait_end(id)["exit_code"], 1)
        is_(again("often", "false", if_exists="retry")[0]["attempt"], attempt)
    # Pipelined: whatever the moment, attempts only grow, one at a time, and nothing is lost.
    with d.connect() as v:
        got = [r["job"]["attempt"] for r in v.pipeline([("Submit", {"argv": ["false"], "key": "often", "if_exists": "retry"})] * 500)]
    ok(all(b - a in (0, 1) for a, b in zip(got, got[1:])), got)
    end = d.wait_end(id)
    is_(len([e for e in edges(id) if e[2] == "failed"]), end["attempt"])
    is_(len([e for e in edges(id) if e[2] == "queued" and e[1]]), end["attempt"] - 1)


@case("a retry survives kill -9, and is followed by who waits")
def _():
    gate = fifo(d, "gate-retry")
    argv = ["sh", "-c", f"test $CTX_ATTEMPT = 2 || exit 5; read x <{gate}; exit 6"]
    id = new("survives", *argv)["id"]
    is_(d.wait_end(id)["exit_code"], 5)
    retry("survives", id, *argv)
    d.wait_started(id)
    d.kill9()
    d.start()
    is_(same("survives", id, *argv, if_exists="retry")["state"], "running")
    with d.connect() as v:
        v.send("Wait", {"ids": [id]})
        go(gate)
        end = v.receive()[0]["jobs"][0]
    is_((end["attempt"], end["exit_code"]), (2, 6))


@case("refused: what may have survivors, until somebody has resolved it")
def _():
    id = new("survivors", "sleep", "1000")["id"]
    interrupt(id)
    with database() as db:
        db.execute("UPDATE job SET survivors_possible = 1 WHERE id = ?", (id,))
    e = refused(d.call, "InvalidArgument", "Submit", argv=["sleep", "1000"], key="survivors", if_exists="retry")
    like(e["reason"], "may be alive")
    is_(d.job(id)["state"], "interrupted")
    for how in ("succeeded", "failed"):
        with database() as db:
            db.execute("UPDATE job SET resolution_as = ?, resolution_by = 0, resolution_at = 1 WHERE id = ?", (how, id))
        job = same("survivors", id, "sleep", "1000", if_exists="retry")
        is_(job["attempt"], 1 if how == "succeeded" else 2, how)
    d.cancel(id, now=True)
    d.wait_end(id)


@case("refused: without its environment, past its deadline")
def _():
    id = new("no env", "false")["id"]
    late = d.call("Submit", argv=["false"], key="too late", deadline_at="now+3s")["job"]
    d.wait_end(id)
    d.wait_end(late["id"])
    with database() as db:
        db.execute("DELETE FROM job_env WHERE job = ?", (id,))
    e = refused(d.call, "InvalidArgument", "Submit", argv=["false"], key="no env", if_exists="retry")
    like(e["reason"], "environment is not kept")
    wait_until(lambda: wall_us() > when_us(late["deadline_at"]), "its deadline to pass")
    e = refused(d.call, "InvalidArgument", "Submit", argv=["false"], key="too late", if_exists="retry")
    like(e["reason"], "deadline .*passed")
    is_((d.job(id)["attempt"], d.job(late["id"])["attempt"]), (1, 1))
    same("no env", id, "false")


@case("refused: attached to a parent that is over; one that is not attached goes on")
def _():
    parent = d.submit("sleep", "1000")["id"]
    attached = new("attached", "false", parent=parent, inherit=["values", "trace", "deadline", "cancel"])["id"]
    loose = new("loose", "false", parent=parent)["id"]
    d.wait_end(attached)
    d.wait_end(loose)
    retry("attached", attached, "false")
    d.wait_end(attached)
    d.cancel(parent, now=True)
    d.wait_end(parent)
    is_(refused(d.call, "AlreadyEnded", "Submit", argv=["false"], key="attached", if_exists="retry"),
        {"id": parent, "state": "canceled"})
    retry("loose", loose, "false")
    d.wait_end(loose)


@case("the output of every attempt goes when it is old; that of a later one is not forgotten")
def _():
    argv = ["sh", "-c", "echo out; echo err >&2; exit 1"]
    id = new("old", *argv, split_output=True)["id"]
    d.wait_end(id)
    with database() as db:
        db.execute("UPDATE job SET ended = ended - 8 * 86400000000 WHERE id = ?", (id,))
        db.execute("UPDATE job_env SET ended = 0 WHERE job = ?", (id,))
    wait_until(lambda: not os.path.exists(d.output_path(id)), "the first output to go")
    retry("old", id, *argv, split_output=True)
    d.wait_end(id)
    ok(os.path.exists(d.output_path(id, 2)), "the second output")
    with database() as db:
        db.execute("UPDATE job SET ended = ended - 8 * 86400000000 WHERE id = ?", (id,))
    folder = os.path.dirname(d.output_path(id))
    wait_until(lambda: not [n for n in os.listdir(folder) if n.startswith(f"{id}.")], "all of it to go")


@case("each user has keys of their own")
def _():
    if os.geteuid() != 0:
        skip("needs root")
    with database() as db:  # another user's job with the same key, as a system daemon would have it
        columns = [r[1] for r in db.execute("PRAGMA table_info(job)") if r[1] != "id"]
        db.execute(f"INSERT INTO job({','.join(columns)}) SELECT "
                   f"{','.join('4711' if c == 'uid' else c for c in columns)} FROM job WHERE key = 'shown'")
    is_(len(d.sql("SELECT 1 FROM job WHERE key = 'shown'")), 2)
    mine = [j["id"] for j in d.jobs(key="shown", uid=0)]
    same("shown", mine[0], "sh", "-c", "env")


main()
