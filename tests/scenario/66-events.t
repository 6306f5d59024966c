#!/usr/bin/python3
"""History for readers: in the order of commits, page by page, from a time on, pushed as it comes; and who may read what."""
# test-timeout: 300
import os
import select
import sqlite3
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from apitest import *  # noqa: E402,F403
from sysdaemon import ALICE, BOB, SystemDaemon, identity  # noqa: E402

d = ApiDaemon(conf="[limits]\nrunning = 4\nrunning_per_user = 4\n")
PATH = {"PATH": os.environ["PATH"]}


def events(v=None, **kw):
    """All that is there, by pages."""
    got = []
    for page in (v or d.link()).call_more("Events", **kw):
        got += page["events"]
    return got


def edges(id, **kw):
    return [(e["from"], e["to"]) for e in events(id=id, **kw)]


def last():
    got = events()
    return got[-1]["edge"] if got else 0


class Follower:
    """A connection that follows."""

    def __init__(self, daemon=None, link=None, **kw):
        self.v = link or (daemon or d).connect()
        self.v.send("Events", {"follow": True, **kw}, more=True)
        self.got, self.over = [], False

    def take(self):
        page, more = self.v.receive()
        self.got += page["events"]
        self.over = not more
        return page["events"]

    def until(self, cond, what):
        while not any(cond(e) for e in self.got):
            need(not self.over, f"the stream ended before {what}: {self.got}")
            self.take()
        return next(e for e in self.got if cond(e))

    def to(self, id, state):
        return self.until(lambda e: e["id"] == id and e["to"] == state, f"job {id} {state}")

    def silent(self):
        return not select.select([self.v], [], [], 0)[0] and not self.v.buf

    def close(self):
        self.v.close()


@case("an event per edge, with all that is known of it, in the order of commits")
def _():
    ended = d.submit("sh", "-c", "exit 3")["id"]
    d.wait_end(ended)
    cancelled = d.submit("sleep", "1000")["id"]
    d.wait_started(cancelled)
    d.cancel(cancelled, cause="no more", now=True)
    d.wait_end(cancelled)
    got = events()
    is_([e["edge"] for e in got], sorted({e["edge"] for e in got}), "positions grow")
    is_([(e["from"], e["to"]) for e in got if e["id"] == ended], [(None, "running"), ("running", "failed")])
    mine = [e for e in got if e["id"] == cancelled]
    is_([(e["from"], e["to"]) for e in mine], [(None, "running"), ("running", "stopping"), ("stopping", "canceled")])
    is_((mine[1]["cause"], mine[1]["cause_code"], mine[1]["by"]), ("no more", "requested", os.geteuid()))
    is_((mine[-1]["to"], mine[-1]["cause"], mine[-1]["cause_code"]), ("canceled", "no more", "requested"))
    is_((mine[0]["by"], mine[2]["by"]), (os.geteuid(), None))
    job = d.job(ended)
    end = [e for e in got if e["id"] == ended][-1]
    is_((end["uid"], end["kind"], end["attempt"], end["cause_code"], end["progress"]), (job["uid"], "job", 1, "exit", None))
    like(end["at"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$")
    ok(end["at"] >= job["ended_at"], "no earlier than the end itself")
    is_(events(id=ended), [e for e in got if e["id"] == ended])


@case("scopes, queued jobs and retries are in it")
def _():
    scope = d.call("Scope", name="s")["job"]["id"]
    child = d.submit("sleep", "1000", parent=scope, inherit=["cancel"])["id"]
    d.call("Close", id=scope, cause="done")
    d.wait_end(child)
    is_(edges(scope), [(None, "open"), ("open", "closed")])
    is_(events(id=scope)[0]["kind"], "scope")
    is_(edges(child), [(None, "running"), ("running", "stopping"), ("stopping", "canceled")])
    order = [(e["id"], e["to"]) for e in events() if e["id"] in (scope, child)]
    ok(order.index((scope, "closed")) < order.index((child, "stopping")), f"the scope first: {order}")
    id = d.submit("false", key="r")["id"]
    d.wait_end(id)
    d.call("Submit", argv=["false"], key="r", if_exists="retry")
    d.wait_end(id)
    is_([(e["attempt"], e["to"]) for e in events(id=id)],
        [(1, "running"), (1, "failed"), (2, "queued"), (2, "running"), (2, "failed")])


@case("pages: after, limit, since; each event once")
def _():
    for job in [d.submit("true") for _ in range(40)]:
        d.wait_end(job["id"])
    everything = events()
    got, after = [], 0
    while after is not None:
        page = d.call("Events", after=after, limit=7)
        ok(len(page["events"]) <= 7)
        got += page["events"]
        after = page["next"]
    is_(got, everything)
    is_(d.call("Events", after=everything[-1]["edge"]), {"events": [], "next": None})
    is_(events(after=everything[10]["edge"]), everything[11:])
    is_(d.call("Events", limit=3)["events"], everything[:3])
    is_(events(limit=12), everything[:12])
    at = everything[20]["at"]
    is_(events(since=at), [e for e in everything if e["at"] >= at])
    is_(events(since="now+1h"), [])
    is_(events(since=at, after=everything[30]["edge"]), everything[31:])
    one = everything[-1]["id"]
    is_(events(id=one, limit=1), [e for e in everything if e["id"] == one][:1])
    for bad in ({"after": -1}, {"limit": 0}, {"limit": -1}, {"since": "yesterday?"}):
        refused(d.call, "InvalidArgument", "Events", **bad)
    is_(refused(d.call, "NoSuchJob", "Events", id=10**9), {"id": 10**9})


@case("followed: what was there, then what comes, as soon as it is committed, each once and in order")
def _():
    start = last()
    f = Follower(after=start)
    fresh = Follower(after=start)
    gate = fifo(d, "gate")
    id = d.submit("sh", "-c", f"read x <{gate}; exit 2")["id"]
    f.to(id, "running")
    is_(edges(id), [(None, "running")], "what was pushed can be read by all")
    go(gate)
    e = f.to(id, "failed")
    is_(d.job(id)["state"], "failed")
    is_(d.job(id)["exit_code"], 2)
    ok(e["edge"] > start)
    ids = [d.submit("true")["id"] for _ in range(200)]
    for id in ids:
        f.to(id, "succeeded")
    fresh.to(ids[-1], "succeeded")
    for one in (f, fresh):
        while one.got[-1]["edge"] < last():
            one.take()
    is_(f.got, events(after=start))
    is_(fresh.got, f.got)
    ok(f.silent(), "nothing more comes")
    f.close()
    fresh.close()


@case("of one job: until it has ended, with every attempt")
def _():
    gate = fifo(d, "gate-one")
    other = d.submit("sleep", "1000")["id"]
    id = d.submit("sh", "-c", f"read x <{gate}")["id"]
    f = Follower(id=id)
    f.to(id, "running")
    d.cancel(other, now=True)
    d.wait_end(other)
    go(gate)
    while not f.over:
        f.take()
    is_([(e["id"], e["to"]) for e in f.got], [(id, "running"), (id, "succeeded")])
    # The connection is free for the next call.
    is_(f.v.call("Get", id=id)["job"]["state"], "succeeded")
    f.close()
    f = Follower(id=id)
    while not f.over:
        f.take()
    is_([e["to"] for e in f.got], ["running", "succeeded"], "of one that is over: all of it, and the end")
    f.close()


@case("over a restart of ctxd positions go on")
def _():
    f = Follower(after=last())
    id = d.submit("sleep", "1000")["id"]
    f.to(id, "running")
    at = f.got[-1]["edge"]
    f.close()
    d.wait_started(id)  # what was never begun would be begun again
    d.kill9()
    d.start()
    f = Follower(after=at)
    d.cancel(id, now=True)
    f.to(id, "canceled")
    is_([e["to"] for e in f.got], ["stopping", "canceled"])
    is_([e["edge"] for e in f.got], sorted({e["edge"] for e in f.got}))
    ok(f.got[0]["edge"] > at)
    f.close()


@case("who does not read costs little, and misses nothing; who goes is forgotten")
def _():
    start = last()
    slow = Follower(after=start)
    gone = [Follower(after=start) for _ in range(20)]
    for f in gone[::2]:
        f.close()
    ids = [r["job"]["id"] for r in d.link().pipeline([("Submit", {"argv": ["true"]})] * 300)]
    for f in gone[1::2]:
        f.close()
    d.wait_all_ended()
    slow.to(ids[-1], "succeeded")
    while slow.got[-1]["edge"] < last():
        slow.take()
    is_(slow.got, events(after=start))
    slow.close()
    is_(wait_until(lambda: d.call("Stats")["connections"] <= 2, "the connections to go"), True)


@case("what a job says of itself is told, to who asks for it")
def _():
    gate, gate2 = fifo(d, "gate-p"), fifo(d, "gate-p2")
    id = d.submit("sh", "-c", f"read x <{gate}; systemd-notify 'STATUS=from inside' 'X_CTX_PERCENT=42'; read x <{gate2}",
                  env=PATH)["id"]
    d.wait_started(id)
    plain = Follower(id=id)
    one = Follower(id=id, progress=True)
    all_ = Follower(after=last() - 1, progress=True)
    for f in (one, all_):  # they follow by now; what is said before that is told to nobody
        f.to(id, "running")
    d.call("Progress", id=id, percent=12.5, text="an eighth")
    for f in (one, all_):
        e = f.until(lambda e: e["progress"], "progress")
        is_((e["id"], e["edge"], e["from"], e["to"], e["attempt"]), (id, None, None, None, 1))
        is_((e["progress"]["percent"], e["progress"]["text"]), (12.5, "an eighth"))
    go(gate)
    if subprocess.call(["sh", "-c", "command -v systemd-notify >/dev/null"]) == 0:
        for f in (one, all_):
            e = f.until(lambda e: e["progress"] and e["progress"]["text"] == "from inside", "progress from inside")
            is_(e["progress"]["percent"], 42)
        is_(d.job(id)["progress"]["text"], "from inside")
    go(gate2)
    for f in (plain, one):
        while not f.over:
            f.take()
    is_([e["to"] for e in plain.got], ["running", "succeeded"], "who did not ask gets none")
    all_.to(id, "succeeded")
    for f in (plain, one, all_):
        f.close()


@case("what was not accepted is told to nobody")
def _():
    f = Follower(after=last())
    db = sqlite3.connect(d.db, isolation_level=None)
    db.execute("BEGIN IMMEDIATE")
    refused(d.call, "StorageUnavailable", "Submit", argv=["true"])
    refused(d.call, "InvalidArgument", "Submit", argv=[""])
    db.execute("ROLLBACK")
    db.close()
    id = d.submit("true")["id"]
    f.to(id, "succeeded")
    is_([(e["id"], e["to"]) for e in f.got if e["to"] != "queued"], [(id, "running"), (id, "succeeded")])
    f.close()


@case("each reads their own; administrators everything")
def _():
    if os.geteuid() != 0:
        skip("needs root")
    s = SystemDaemon()
    links = {}
    for uid in (ALICE, BOB, 0):
        with identity(uid):
            links[uid] = Varlink(s.sock), Varlink(s.sock)
    alice, bob, root = (links[u][0] for u in (ALICE, BOB, 0))
    follow = {u: Follower(link=links[u][1]) for u in (ALICE, BOB, 0)}
    hers = alice.call("Submit", argv=["sleep", "1000"])["job"]["id"]
    his = bob.call("Submit", argv=["true"])["job"]["id"]
    follow[BOB].to(his, "succeeded")
    alice.call("Cancel", id=hers, now=True)
    follow[ALICE].to(hers, "canceled")
    for id, state in ((hers, "canceled"), (his, "succeeded")):
        follow[0].to(id, state)
    for uid, id in ((ALICE, hers), (BOB, his)):
        is_({(e["id"], e["uid"]) for e in follow[uid].got}, {(id, uid)}, "pushed")
        is_({(e["id"], e["uid"]) for e in events(links[uid][0])}, {(id, uid)}, "read")
    is_({e["id"] for e in events(root)}, {hers, his})
    for id, v in ((hers, bob), (his, alice)):
        e = refused(v.call, "NotPermitted", "Events", id=id)
        unlike(str(e), "sleep|canceled")
        refused(lambda v=v, id=id: list(v.call_more("Events", id=id, follow=True)), "NotPermitted")
    is_([e["to"] for e in events(root, id=hers)][-1], "canceled")
    for pair in links.values():
        for v in pair:
            v.close()
    s.cleanup()


main()
