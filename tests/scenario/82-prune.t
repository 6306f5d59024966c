#!/usr/bin/python3
"""Records that are over, removed because somebody asks: which, whose, with all that belongs to them, and in nobody's way."""
# test-timeout: 240
import os
import signal
import sqlite3
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from apitest import *  # noqa: E402,F403

d = ApiDaemon(conf="[limits]\nrunning = 64\nqueued = 5000\n")
HOUR = 3600 * S


def ended(*argv, **kw):
    id = d.submit(*argv, **kw)["id"]
    d.wait_end(id)
    return id


def gone(id):
    return refused(d.call, "NoSuchJob", "Get", id=id)["id"] == id


def age(*ids, by=HOUR):
    """As if they had ended so long ago."""
    d.stop()
    db = sqlite3.connect(d.db)
    for id in ids:
        db.execute("UPDATE job SET ended = ended - ?, submitted = submitted - ? WHERE id = ?", (by, by, id))
    db.commit()
    db.close()
    d.start()


def rows(id):
    return [d.sql(f"SELECT count(*) FROM {t} WHERE job = {id}")[0][0] for t in ("history", "job_env", "job_value")]


def interrupt(id):
    d.wait_started(id)
    os.kill(d.monitor_pid(id), signal.SIGKILL)
    is_(d.wait_end(id)["state"], "interrupted")


@case("by id: the record, its history, values, environment, its output of all attempts, its input")
def _():
    spool = d.call("Spool", data="aGVsbG8=")["spool"]
    id = d.submit(sh="cat; exit 1", stdin=spool, values={"a": "b"}, env={"X": "y"}, split_output=True)["id"]
    d.wait_end(id)
    d.call("Retry", id=id)
    d.wait_end(id)
    outputs = os.path.join(d.state, "output", str(id // 1000))
    files = [n for n in os.listdir(outputs) if n.startswith(f"{id}.")]
    ok(len(files) >= 2, files)
    ok(min(rows(id)) > 0, rows(id))
    kept = ended("echo", "kept")
    is_(d.ctl_ok("prune", id), "1\n")
    gone(id)
    is_(rows(id), [0, 0, 0])
    wait_until(lambda: not [n for n in os.listdir(outputs) if n.startswith(f"{id}.")], "its files to go")
    wait_until(lambda: not any(n.startswith(str(id)) for _, _, f in os.walk(os.path.join(d.state, "stdin")) for n in f),
               "its input to go")
    is_(d.output(kept), b"kept\n")
    ok(ended("true") > kept, "ids are not used again")


@case("of several ids none is removed if one cannot be")
def _():
    a, b = ended("true"), ended("false")
    runs = d.submit("sleep", "1000")["id"]
    half = d.submit("sleep", "1000")["id"]
    interrupt(half)
    for id, why in ((runs, "only what is over"), (half, "half-processed: resolve it first")):
        got = refused(d.call, "InvalidArgument", "Prune", ids=[a, b, id])
        is_(got["field"], "ids")
        like(got["reason"], why)
        is_(d.job(a)["state"], "succeeded")
    is_(refused(d.call, "NoSuchJob", "Prune", ids=[a, 10 ** 6])["id"], 10 ** 6)
    is_(d.ctl("prune", a, 10 ** 6).code, 3)
    is_(d.job(a)["state"], "succeeded")
    is_(d.call("Prune", ids=[a, b, a, a])["pruned"], 2, "named twice is there once")
    gone(a), gone(b)
    d.call("Resolve", id=half, **{"as": "failed"})
    is_(d.call("Prune", ids=[half])["pruned"], 1)
    d.cancel(runs, now=True)
    d.wait_end(runs)


@case("what makes no sense")
def _():
    for kw, field in (({}, "ids"), ({"ids": []}, "ids"), ({"ids": [1], "older_usec": S}, "ids"), ({"older_usec": 0}, "older_usec"),
                      ({"older_usec": -1}, "older_usec"), ({"ids": list(range(1, 1002))}, "ids")):
        is_(refused(d.call, "InvalidArgument", "Prune", **kw)["field"], field, str(kw))
    is_(d.ctl("prune").code, 2)
    is_(d.ctl("prune", "--older", "1h", "3").code, 2)


@case("by age: what ended before, and nothing else; never what is half-processed, until it is resolved")
def _():
    d.call("Prune", older_usec=1)
    old = [ended("true"), ended("false"), ended("true")]
    scope = d.call("Scope")["job"]["id"]
    d.call("Close", id=scope)
    half = d.submit("sleep", "1000")["id"]
    interrupt(half)
    waits = d.submit("false", retries=1, backoff_usec=HOUR)["id"]
    wait_until(lambda: d.job(waits)["waiting_for"], "its backoff")
    age(*old, scope, half)
    new = ended("true")
    r = d.ctl("--json", "prune", "--older", "30m")
    is_(r.code, 0)
    like(r.out, r'"pruned": ?4')
    for id in (*old, scope):
        gone(id)
    is_([d.job(id)["state"] for id in (half, new, waits)], ["interrupted", "succeeded", "queued"])
    d.call("Resolve", id=half, **{"as": "succeeded"})
    is_(d.call("Prune", older_usec=1800 * S)["pruned"], 1)
    d.cancel(waits)
    is_(d.call("Prune", older_usec=1)["pruned"], 2)


def prune_much(n):
    """Fill the database with N records and prune them all. How many are left, as others saw it meanwhile."""
    one = ended("true")
    d.stop()
    db = sqlite3.connect(d.db)
    columns = [c[1] for c in db.execute("PRAGMA table_info(job)") if c[1] not in ("id", "key")]
    db.execute(f"WITH RECURSIVE k(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM k WHERE i < {n}) "
               f"INSERT INTO job({','.join(columns)}) SELECT {','.join(columns)} FROM job, k WHERE id = {one}")
    db.execute("INSERT INTO job_env SELECT id, ended, zeroblob(6000) FROM job WHERE id NOT IN (SELECT job FROM job_env)")
    db.commit()
    db.close()
    d.start()
    answers, stop = [], threading.Event()

    def ask():
        with d.connect() as v:
            while not stop.is_set():
                answers.append(v.call("Stats")["jobs"]["succeeded"])

    t = threading.Thread(target=ask)
    t.start()
    got = d.call("Prune", older_usec=1)["pruned"]
    stop.set()
    t.join()
    is_(got, n + 1)
    return {a for a in answers if 0 < a < n + 1}


@case("a big one goes in steps, while others are served")
def _():
    for _ in range(6):  # who asks may be asleep all the while
        steps = prune_much(1500)
        if len(steps) > 3:
            break
    ok(len(steps) > 3, f"others saw it half done: {sorted(steps)}")
    is_(d.call("Stats")["jobs"]["succeeded"], 0)
    pages = d.sql("PRAGMA page_count")[0][0]
    wait_until(lambda: d.sql("PRAGMA freelist_count")[0][0] <= 256, "the room to be given back")
    ok(d.sql("PRAGMA page_count")[0][0] <= pages)
    d.stop()  # the file is as long as its pages, now
    n = d.sql("PRAGMA page_count")[0][0]
    ok(n < 600, f"{n} pages")
    is_(os.path.getsize(d.db), n * 4096)
    is_(d.sql("PRAGMA integrity_check")[0][0], "ok")
    d.start()


main()
