#!/usr/bin/python3
"""The scheduler: limits, order, and the queue across reloads, restarts and deaths."""
# test-timeout: 600
import datetime
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from apitest import *  # noqa: E402,F403

CONF = """[limits]
running = {running}
queued = {queued}
[deadline]
grace = 500ms
[class one]
running = 1
[class two]
running = 2
[class eager]
priority = 50
"""
d = ApiDaemon(conf=CONF.format(running=4, queued=50))
ran = os.path.join(d.dir, "ran")


def configure(running=4, queued=50, more=""):
    d.configure(CONF.format(running=running, queued=queued) + more)
    return d.call("Reload")["changes"]


def block(n=1, **params):
    """N running jobs that go on until they are canceled."""
    ids = [d.submit("sleep", "1000", **params)["id"] for _ in range(n)]
    become(ids, ["running"] * n)
    return ids


def states(ids):
    return [d.job(i)["state"] for i in ids]


def become(ids, want):
    wait_until(lambda: states(ids) == want, f"{ids} to be {want}")


def epoch(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def cancel(ids):
    for i in ids:
        d.cancel(i, now=True)


def note(text, **params):
    """A job that writes TEXT to the common file."""
    return d.submit(sh=f"echo {text} >>{ran}", **params)["id"]


def noted():
    lines = read_file(ran).decode().split() if os.path.exists(ran) else []
    if lines:
        os.unlink(ran)
    return lines


def settle():
    d.wait_all_ended()


@case("no more than the limit run; a slot that becomes free is used at once")
def _():
    ids = [d.submit("sleep", "1000")["id"] for _ in range(7)]
    become(ids, ["running"] * 4 + ["queued"] * 3)
    is_([d.job(i)["started_at"] for i in ids[4:]], [None] * 3)
    is_([d.job(i)["deadline_at"] for i in ids[4:]], [None] * 3, "the time of what queues has not begun")
    is_(d.call("Stats")["jobs"]["queued"], 3)
    took = []
    for n, i in enumerate(ids[1:4]):
        d.cancel(i, now=True)
        ended = d.wait_end(i)["ended_at"]
        become(ids[4:], ["running"] * (n + 1) + ["queued"] * (2 - n))
        took.append(seconds_between(ended, d.job(ids[4 + n])["started_at"]))
    # The machine may have stalled, but not each time.
    ok(-0.05 < min(took) < 2, f"{took} s from the end of one to the start of the next")
    cancel(ids)
    settle()


@case("a class has its own limit, below the common one; what is over it lets others pass")
def _():
    a = [d.submit("sleep", "1000", **{"class": "one"})["id"] for _ in range(3)]
    b = [d.submit("sleep", "1000", **{"class": "two"})["id"] for _ in range(3)]
    c = [d.submit("sleep", "1000")["id"] for _ in range(3)]
    become(a, ["running", "queued", "queued"])
    become(b, ["running", "running", "queued"])
    become(c, ["running", "queued", "queued"])  # the common limit counts them all
    d.cancel(b[0], now=True)
    d.wait_end(b[0])
    wait_until(lambda: d.job(b[2])["state"] == "running", "the third of the class: it is older than the default's second")
    is_(states(a), ["running", "queued", "queued"])
    is_(states(c), ["running", "queued", "queued"])
    cancel(a + b + c)
    settle()


@case("larger priorities first, then the older; a class may give a priority")
def _():
    first = block(4)
    note("d1"), note("low", priority=-5), note("high1", priority=9), note("d2"), note("high2", priority=9)
    note("eager", **{"class": "eager"}), note("meek", **{"class": "eager"}, priority=-9), note("huge", priority=1000000)
    configure(running=1)
    cancel(first)
    settle()
    is_(noted(), ["huge", "eager", "high1", "high2", "d1", "d2", "low", "meek"])
    configure()


@case("what is submitted does not overtake what waits")
def _():
    configure(running=1)
    first = block(1)
    for i in range(3):
        note(str(i))
    with d.connect() as v:
        # In one iteration: the blocker is killed and others come. Those that wait are served first.
        v.pipeline([("Cancel", {"id": first[0], "now": True})] +
                   [("Submit", {"argv": ["sh", "-c", f"echo {i} >>{ran}"]}) for i in range(3, 8)])
    settle()
    is_(noted(), [str(i) for i in range(8)])
    configure()


@case("a limit per user")
def _():
    d.configure(CONF.format(running=4, queued=50).replace("[limits]\n", "[limits]\nrunning_per_user = 2\nqueued_per_user = 3\n"))
    is_(sorted((c["key"], c["new"]) for c in d.call("Reload")["changes"]), [("queued_per_user", "3"), ("running_per_user", "2")])
    ids = [d.submit("sleep", "1000")["id"] for _ in range(5)]
    become(ids, ["running"] * 2 + ["queued"] * 3)
    is_(refused(d.submit, "QueueFull", "true"), {"limit": 3})
    configure()
    wait_until(lambda: states(ids) == ["running"] * 4 + ["queued"], "the limit to be gone")
    cancel(ids)
    settle()


@case("a full queue refuses, names its limit, and takes again when there is room")
def _():
    configure(running=1, queued=5)
    first = block(1)
    ids = [d.submit("true")["id"] for _ in range(5)]
    is_(refused(d.submit, "QueueFull", "true"), {"limit": 5})
    is_(refused(d.submit, "QueueFull", "true", **{"class": "one"}), {"limit": 5})
    r = d.ctl("submit", "true")
    is_((r.code, r.out), (7, ""))
    like(r.err, r"\b5\b")
    is_(len(d.jobs(states=["queued"])), 5, "nothing of it is on record")
    d.cancel(ids[0])
    is_(d.submit("true")["state"], "queued")
    is_(refused(d.submit, "QueueFull", "true"), {"limit": 5})
    cancel(first)
    settle()
    is_(d.wait_end(d.submit("true")["id"])["state"], "succeeded")
    # More than fit in one write: some are accepted, the rest refused, and all of that is true.
    first = block(1)
    with d.connect() as v:
        got = v.pipeline([("Submit", {"argv": ["sh", "-c", f"echo {i} >>{ran}"]}) for i in range(20)])
    taken = [g["job"]["id"] for g in got if isinstance(g, dict)]
    is_(len(taken), 5)
    is_([str(g.short) for g in got if not isinstance(g, dict)], ["QueueFull"] * 15)
    cancel(first)
    settle()
    is_(noted(), ["0", "1", "2", "3", "4"])
    configure()


@case("a queued job whose absolute deadline passes ends without having run; the others keep their order")
def _():
    configure(running=1)
    first = block(1)
    a = note("a")
    asked = time.time()
    late = note("late", deadline_at="now+700ms")
    later = note("later", deadline_at="now+900ms", timeout_usec=S)
    b = note("b", deadline_at="now+1h")
    j = d.wait_end(late)
    is_((j["state"], j["err"], j["cause_code"], j["deadline_rule"]), ("deadline_exceeded", "context deadline exceeded", "deadline",
                                                                     "absolute"))
    is_((j["started_at"], j["pid"], j["exit_code"], j["signal"], j["leftovers"]), (None,) * 5)
    like(j["cause"], "queue")
    ok(j["ended_at"] >= j["submitted_at"])
    ok(asked + 0.699 <= epoch(j["deadline_at"]) <= epoch(j["ended_at"]), f"asked at {asked}: {j['deadline_at']}, {j['ended_at']}")
    is_(d.wait_end(later)["state"], "deadline_exceeded")
    r = d.ctl("wait", late)
    is_(r.code, 124)
    hist = d.sql(f"SELECT from_state, to_state, cause_code, by_uid FROM job_history WHERE job = {late}")
    is_(hist, [(None, "queued", None, os.getuid()), ("queued", "deadline_exceeded", "deadline", None)])
    is_(d.sql(f"SELECT count(*) FROM job_env WHERE job = {later} AND ended = 0"), [(0,)])
    cancel(first)
    settle()
    is_(noted(), ["a", "b"])
    is_(states([a, b]), ["succeeded"] * 2)
    configure()


def seconds_since_submission(id):
    return time.time() - d.sql(f"SELECT submitted FROM job WHERE id = {id}")[0][0] / 1e6


@case("the deadline of a queued job passes while ctxd is down")
def _():
    configure(running=1)
    first = block(1)
    late = d.submit("true", deadline_at="now+300ms")["id"]
    early = d.submit("true")["id"]
    d.wait_started(first[0])
    d.kill9()
    wait_until(lambda: seconds_since_submission(late) > 0.35, "the deadline")
    d.start()
    j = d.wait_end(late)
    is_((j["state"], j["started_at"]), ("deadline_exceeded", None))
    cancel(first)
    is_(d.wait_end(early)["state"], "succeeded")
    configure()


@case("thirty absolute deadlines in the queue, each met in its turn")
def _():
    configure(running=1)
    first = block(1)

    def thirty():
        """How late the most punctual of them was."""
        asked, ids = [], []
        for i in range(30):
            span = 300 + 20 * (i * 7 % 30)
            asked.append(time.time() + span / 1000)
            ids.append(d.submit("true", deadline_at=f"now+{span}ms")["id"])
        ended = [d.wait_end(i) for i in ids]
        for j, at in zip(ended, asked):
            is_((j["state"], j["started_at"]), ("deadline_exceeded", None))
            ok(at - 0.001 <= epoch(j["deadline_at"]) <= epoch(j["ended_at"]), f"asked for {at}: {j['deadline_at']}, {j['ended_at']}")
        in_turn = sorted(ended, key=lambda j: j["deadline_at"])
        is_([j["id"] for j in sorted(in_turn, key=lambda j: j["ended_at"])], [j["id"] for j in in_turn], "in the order of their deadlines")
        return min(seconds_between(j["deadline_at"], j["ended_at"]) for j in ended)

    # The machine may have stalled, but not each time.
    ok(any(thirty() < 2 for _ in range(3)), "punctual")
    cancel(first)
    settle()
    configure()


@case("a reload that raises a limit starts what waits; one that lowers it stops nothing")
def _():
    configure(running=2)
    ids = [d.submit("sleep", "1000")["id"] for _ in range(6)]
    become(ids, ["running"] * 2 + ["queued"] * 4)
    is_([(c["section"], c["key"], c["old"], c["new"]) for c in configure(running=5)], [("limits", "running", "2", "5")])
    wait_until(lambda: states(ids) == ["running"] * 5 + ["queued"], "three more to start")
    configure(running=1)
    is_(states(ids), ["running"] * 5 + ["queued"])
    cancel(ids[:4])
    for i in ids[:4]:
        d.wait_end(i)
    is_(states(ids[4:]), ["running", "queued"], "one is enough now")
    cancel(ids[4:])
    settle()
    # The same for a class.
    configure()
    ids = [d.submit("sleep", "1000", **{"class": "one"})["id"] for _ in range(3)]
    become(ids, ["running", "queued", "queued"])
    d.configure(CONF.format(running=4, queued=50).replace("[class one]\nrunning = 1", "[class one]\nrunning = 3"))
    d.call("Reload")
    wait_until(lambda: states(ids) == ["running"] * 3, "the rest of the class")
    cancel(ids)
    settle()
    configure()


def settle_ids(ids):
    for i in ids:
        d.wait_end(i)


@case("a class that goes away while jobs of it queue: they run, under the common rules; new ones are refused")
def _():
    configure(more="[class gone]\nrunning = 1\ntimeout = 77s\n")
    first = block(1, **{"class": "gone"})
    ids = [note(str(i), **{"class": "gone"}) for i in range(3)]
    is_(states(ids), ["queued"] * 3)
    is_(d.job(ids[0])["timeout_usec"], 77 * S)
    configure()
    refused(d.submit, "InvalidArgument", "true", **{"class": "gone"})
    settle_ids(ids)
    is_(sorted(noted()), ["0", "1", "2"])
    j = d.job(ids[0])
    is_((j["state"], j["class"], j["timeout_usec"], j["deadline_rule"]), ("succeeded", "gone", 600 * S, "default"))
    is_(d.job(first[0])["state"], "running")
    is_(d.jobs(**{"class": "gone"})[0]["id"], first[0], "it can still be asked for")
    cancel(first)
    settle()


@case("the queue survives kill -9 of ctxd, in its order")
def _():
    configure(running=1)
    first = block(1)
    d.wait_started(first[0])
    names = [f"{p}-{i}" for i, p in enumerate([0, 5, 0, -3, 5, 0])]
    ids = [note(n, priority=int(n.rsplit("-", 1)[0])) for n in names]
    for _ in range(3):
        d.kill9()
        d.start()
        is_(states(ids), ["queued"] * 6)
    wait_until(lambda: d.job(first[0])["state"] == "running", "the blocker to be there")
    cancel(first)
    settle()
    is_(noted(), ["5-1", "5-4", "0-0", "0-2", "0-5", "-3-3"])
    is_([d.job(i)["attempt"] for i in ids], [1] * 6)
    configure()


@case("2,000 queued jobs run in order, each once")
def _():
    configure(running=1, queued=100000)
    first = block(1)
    ids = []
    with d.connect() as v:
        for at in range(0, 2000, 200):
            got = v.pipeline([("Submit", {"argv": ["sh", "-c", f"echo {i} >>{ran}"], "env": {}}) for i in range(at, at + 200)])
            ids += [need(isinstance(g, dict) and g, f"{g}")["job"]["id"] for g in got]
    is_(ids, sorted(ids), "ids grow")
    is_(len(set(ids)), 2000)
    is_(d.call("Stats")["jobs"]["queued"], 2000)
    cancel(first)
    left = [2000]

    def goes_on():
        n = d.call("Stats")["jobs"]["queued"]
        return n < left[-1] and not left.append(n)

    while left[-1]:  # however long it takes
        wait_until(goes_on, f"fewer than {left[-1]} to wait")
    settle()
    is_(noted(), [str(i) for i in range(2000)])
    is_(d.sql("SELECT count(*) FROM job WHERE state = 5 AND attempt = 1 AND id BETWEEN %d AND %d" % (ids[0], ids[-1])), [(2000,)])
    is_(d.call("Stats")["jobs"]["queued"], 0)
    configure()


@case("a hundred users' worth of lanes: many classes, priorities between them")
def _():
    more = "".join(f"[class k{i}]\npriority = {i}\n" for i in range(40))
    configure(running=1, queued=1000, more=more)
    first = block(1)
    for i in range(40):
        note(f"k{i}", **{"class": f"k{i}"})
        note(f"K{i}", **{"class": f"k{i}"})
    cancel(first)
    settle()
    is_(noted(), [x for i in reversed(range(40)) for x in (f"k{i}", f"K{i}")])
    configure()


@case("counts agree with the table at the end")
def _():
    n = d.call("Stats")["jobs"]
    rows = dict(d.sql("SELECT state, count(*) FROM job GROUP BY state"))
    names = ("queued", "running", "stopping", "open", "succeeded", "failed", "canceled", "deadline_exceeded", "interrupted", "closed")
    is_({k: n[k] for k in names if k in n}, {name: rows.get(i, 0) for i, name in enumerate(names, 1) if name in n})
    ok(len(n) >= 8, f"{n}")
    is_(n["failed"] + n["interrupted"] + n["queued"] + n["running"] + n["stopping"], 0)


main()
