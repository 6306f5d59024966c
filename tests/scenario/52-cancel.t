#!/usr/bin/python3
"""Cancel, in every state and at every moment: the first cause wins, nothing is done twice, everything is on record."""
import os
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from apitest import *  # noqa: E402,F403

CONF = "[limits]\nrunning = {}\n[deadline]\ngrace = 400ms\n[environment]\nkeep = {}\n[class one]\nrunning = 1\n"
d = ApiDaemon(conf=CONF.format(300, "1h"))
ME = os.getuid()
STUBBORN = "trap '' TERM; echo; while :; do sleep 1; done"


def stubborn(**params):
    """A running job that ignores TERM."""
    j = d.submit(sh=STUBBORN, **{"grace_usec": 3600 * S, **params})
    wait_until(lambda: d.output(j["id"]), "it to ignore TERM")
    return j["id"]


def history(id):
    return d.sql(f"SELECT from_state, to_state, cause_code, cause, by_uid FROM job_history WHERE job = {id} ORDER BY edge")


def canceled(j, cause=None, code="requested"):
    is_((j["state"], j["err"], j["cause_code"], j["cause"]), ("canceled", "context canceled", code, cause))
    return j


def times_grow(id):
    at = [r[0] for r in d.sql(f"SELECT at FROM job_history WHERE job = {id} ORDER BY edge")]
    is_(at, sorted(at))


@case("queued: ended at once, it never runs, the next takes its place")
def _():
    mark = os.path.join(d.dir, "mark")
    first = d.submit("sleep", "1000", **{"class": "one"})
    a = d.submit("touch", mark, **{"class": "one"})
    b = d.submit("sleep", "1000", **{"class": "one"})
    is_((a["state"], b["state"]), ("queued", "queued"))
    j = canceled(d.cancel(a["id"], cause="not needed"), "not needed")
    is_((j["started_at"], j["pid"], j["exit_code"], j["signal"], j["leftovers"], j["deadline_at"]), (None,) * 6)
    ok(j["ended_at"] >= j["submitted_at"])
    is_(history(a["id"]), [(None, "queued", None, None, ME), ("queued", "canceled", "requested", "not needed", ME)])
    is_(d.call("Wait", ids=[a["id"]])["jobs"][0], j, "there is nothing to wait for")
    d.cancel(first["id"], now=True)
    wait_until(lambda: d.job(b["id"])["state"] == "running", "the next one")
    d.cancel(b["id"])
    canceled(d.wait_end(b["id"]))
    ok(not os.path.exists(mark), "it never ran")


@case("running: stopping first, then canceled; every edge is on record, with who and why")
def _():
    j = d.submit("sleep", "1000")
    d.wait_started(j["id"])
    now = d.cancel(j["id"], cause="no longer wanted: \u00fcber 'quoted' \"text\"")
    is_((now["state"], now["cause"], now["cause_code"], now["ended_at"]),
        ("stopping", "no longer wanted: \u00fcber 'quoted' \"text\"", "requested", None))
    end = canceled(d.wait_end(j["id"]), now["cause"])
    is_((end["signal"], end["exit_code"], end["known_by"], end["half_processed"]), (15, None, "monitor", False))
    rows = history(j["id"])
    is_(rows[:2], [(None, "running", None, None, ME), ("running", "stopping", "requested", now["cause"], ME)])
    is_((len(rows), rows[2][:2], rows[2][4]), (3, ("stopping", "canceled"), None), "the daemon itself saw the end")
    times_grow(j["id"])
    wait_gone([end["pid"]])
    is_(d.job_pids(j["id"]), [])


@case("without a cause, with an empty one, with the longest one")
def _():
    for cause in (None, "", "x" * 1024, "\u00e9" * 512):
        j = d.submit("sleep", "1000")
        d.cancel(j["id"], **({} if cause is None else {"cause": cause}))
        j = d.wait_end(j["id"])
        is_((j["state"], j["cause_code"]), ("canceled", "requested"))
        ok(j["cause"] == cause or not j["cause"] and not cause, f"{j['cause']!r:.40}")


@case("stopping: the first cause stays, whoever comes later is told it")
def _():
    id = stubborn()
    is_(d.cancel(id, cause="first")["state"], "stopping")
    for cause in ("second", None, "third"):
        j = d.cancel(id, **({"cause": cause} if cause else {}))
        is_((j["state"], j["cause"]), ("stopping", "first"))
    is_(d.job(id)["state"], "stopping")
    j = d.cancel(id, cause="in a hurry", now=True)
    is_((j["state"], j["cause"]), ("stopping", "first"))
    j = canceled(d.wait_end(id), "first")
    is_(j["signal"], 9)
    rows = history(id)
    is_([r[:2] for r in rows], [(None, "running"), ("running", "stopping"), ("stopping", "canceled")], "one edge each")
    is_([r[3] for r in rows if r[3]], ["first"] * len([r for r in rows if r[3]]))


@case("--now, then without: it stays killed; --now at once is one edge, too")
def _():
    id = stubborn()
    d.cancel(id, cause="a", now=True)
    try:
        d.cancel(id, cause="b")
    except VarlinkError as e:
        ok(False, str(e))
    j = canceled(d.wait_end(id), "a")
    is_(j["signal"], 9)
    is_(len(history(id)), 3)


@case("ended, however: success, and the same record")
def _():
    ids = [d.submit(*a, **k)["id"] for a, k in ((("true",), {}), (("false",), {}), (("/nonexistent",), {}),
                                                (("sleep", "1000"), {"timeout_usec": 1000}))]
    c = d.submit("sleep", "1000")["id"]
    d.cancel(c, cause="once")
    for i in [*ids, c]:
        j = d.wait_end(i)
        n = len(history(i))
        for now in (False, True):
            is_(d.cancel(i, cause="again", now=now), j)
        is_(len(history(i)), n, "no edge was added")
    is_([d.job(i)["state"] for i in ids], ["succeeded", "failed", "failed", "deadline_exceeded"])
    r = d.ctl("cancel", "--cause", "again", ids[0])
    is_((r.code, r.out), (0, ""))
    like(r.err, "succeeded")


@case("a job that ends by itself while it is being canceled: canceled, with its own status")
def _():
    j = d.submit(sh="trap 'echo bye; exit 3' TERM; echo; while :; do sleep 0.05; done", grace_usec=20 * S)
    wait_until(lambda: d.output(j["id"]), "it to be ready")
    d.cancel(j["id"], cause="please")
    j = canceled(d.wait_end(j["id"]), "please")
    is_((j["exit_code"], j["signal"]), (3, None))
    like(d.output(j["id"]).decode(), r"^bye\n\Z")


@case("two at the same time: one cause, and both are told the same")
def _():
    for _ in range(20):
        id = d.submit("sleep", "1000")["id"]
        with d.connect() as a, d.connect() as b:
            a.send("Cancel", {"id": id, "cause": "a"})
            b.send("Cancel", {"id": id, "cause": "b"})
            got = [v.receive()[0]["job"]["cause"] for v in (a, b)]
        is_(len(set(got)), 1)
        canceled(d.wait_end(id), got[0])
        is_([r[:2] for r in history(id)].count(("running", "stopping")), 1)


@case("submitted and canceled in one write, 200 times: canceled it is, before or after its start")
def _():
    base = d.submit("true")["id"]
    ran = os.path.join(d.dir, "ran")
    os.mkdir(ran)
    with d.connect() as v:
        calls = []
        for n in range(1, 201):
            argv = ["sh", "-c", f"touch {ran}/{base + n}"] if n % 3 else ["sleep", "1000"]
            calls += [("Submit", {"argv": argv}), ("Cancel", {"id": base + n, "cause": f"c{n}", "now": n % 2 == 0})]
        got = v.pipeline(calls)
    for n in range(1, 201):
        s, c = got[2 * n - 2], got[2 * n - 1]
        need(isinstance(s, dict) and isinstance(c, dict), f"{s} {c}")
        is_(s["job"]["id"], base + n)
        ok(c["job"]["state"] in ("stopping", "canceled"), c["job"]["state"])
    for n in range(1, 201):
        canceled(d.wait_end(base + n), f"c{n}")
        is_(history(base + n)[-1][1], "canceled")
    d.wait_all_ended()
    diag(f"{len(os.listdir(ran))} of 134 had begun")


@case("one at a time: canceled as soon as the answer to the submission is there")
def _():
    for n in range(60):
        j = d.submit("sleep", "1000")
        d.cancel(j["id"], cause=str(n), now=n % 2 == 1)
        j = canceled(d.wait_end(j["id"]), str(n))
        ok(j["signal"] in (15, 9, None), str(j["signal"]))


@case("a thousand at once, queued and running")
def _():
    d.configure(CONF.format(20, "1h"))
    d.call("Reload")
    with d.connect() as v:
        ids = [g["job"]["id"] for g in v.pipeline([("Submit", {"argv": ["sleep", "1000"]})] * 1000)]
        got = v.pipeline([("Cancel", {"id": i, "cause": "all", "now": True}) for i in reversed(ids)])
    is_([g for g in got if isinstance(g, VarlinkError)], [])
    d.wait_all_ended()
    ends = {j["id"]: (j["state"], j["cause"]) for j in d.jobs(after=ids[0] - 1)}
    is_(set(ends[i] for i in ids), {("canceled", "all")})
    d.configure(CONF.format(300, "1h"))
    d.call("Reload")


@case("committed, then ctxd is killed at once: canceled after the restart")
def _():
    for n in range(5):
        id = stubborn(grace_usec=300000) if n % 2 else d.submit("sleep", "1000")["id"]
        d.cancel(id, cause=f"before the end {n}")
        d.kill9()
        d.start()
        j = canceled(d.wait_end(id), f"before the end {n}")
        is_(j["attempt"], 1)


@case("a monitor that does not answer: the cancel is committed, and done when it does")
def _():
    j = d.submit("sleep", "1000")
    d.wait_started(j["id"])
    mon = d.monitor_pid(j["id"])
    os.kill(mon, signal.SIGSTOP)
    is_(d.cancel(j["id"], cause="asleep")["state"], "stopping")
    is_(d.submit("true")["state"], "running", "others are served")
    is_(d.job(j["id"])["state"], "stopping")
    os.kill(mon, signal.SIGCONT)
    canceled(d.wait_end(j["id"]), "asleep")


@case("the cause is shown by status and list, and nothing in it can harm a terminal")
def _():
    j = d.submit("sleep", "1000", name="shown")
    is_(d.ctl("cancel", "--wait", "--cause", "lunch \u2014 back at two", j["id"]).code, 0)
    like(d.ctl_ok("status", j["id"]), "lunch \u2014 back at two")
    is_(Daemon.job(d, j["id"])["cause"], "lunch \u2014 back at two", "status --json")
    r = d.ctl("cancel", "--cause", "a\x1b[2Jb", d.submit("sleep", "1000")["id"])
    is_(r.code, 2)
    unlike(r.err, "\x1b")
    for x in d.jobs(states=["running"]):
        d.cancel(x["id"], now=True)
    d.wait_all_ended()


@case("the environment is gone when a job has succeeded, and later when it has not")
def _():
    def kept(id):
        return d.sql(f"SELECT count(*) FROM job_env WHERE job = {id}")[0][0]

    env = {"PATH": os.defpath, "SECRET": "s3cr3t"}
    good, bad, stop = (d.submit(*a, env=env)["id"] for a in (("true",), ("false",), ("sleep", "1000")))
    is_(kept(stop), 1, "a running job has one, for a start after a crash")
    d.cancel(stop)
    for i in (good, bad, stop):
        d.wait_end(i)
    is_((kept(good), kept(bad), kept(stop)), (0, 1, 1))
    d.configure(CONF.format(300, "1s"))
    d.restart()
    wait_until(lambda: kept(bad) + kept(stop) == 0, "[environment] keep to have passed")


main()
