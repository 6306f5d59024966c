#!/usr/bin/python3
"""Contexts: what a job takes from its parent, and what the end of one does to those attached below it. The decision
matrix: each derivation with each event, undisturbed and with ctxd killed before and during it."""
import itertools
import os
import random
import signal
import sqlite3
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from apitest import *  # noqa: E402,F403
from ctxtest import TIMEOUT  # noqa: E402

ALL = ["values", "trace", "deadline", "cancel"]
OVER = ("succeeded", "failed", "canceled", "deadline_exceeded", "interrupted", "closed")
CONF = "[limits]\nrunning = 400\n[deadline]\ngrace = 500ms\n"


def wait_over(d, id):
    """The record of a context once it is over, a scope's, too."""
    return wait_until(lambda: (lambda j: j if j["state"] in OVER else None)(d.job(id)), f"context {id} to be over")


def end_of(job):
    return job["state"], job["err"], job["cause_code"], job["cause"]


# The matrix ---------------------------------------------------------------------------------------------------------

# How the child is derived: what it inherits (None: not said), whether it is bound to its client's connection.
DERIVATIONS = {
    "background": ([], False),
    "detach": (None, False),
    "keep-deadline": (["values", "trace", "deadline"], False),
    "attach": (ALL, False),
    "run": (["values", "trace"], True),
    "run, attached": (ALL, True),
    "values": (["values"], False),
    "trace": (["trace"], False),
    "deadline": (["deadline"], False),
    "cancel": (["cancel"], False),
    "deadline, cancel": (["deadline", "cancel"], False),
}
# What happens: kind of the parent, and how the parent ends (None: it goes on).
EVENTS = {
    "client dies": ("job", None),
    "parent canceled": ("job", "canceled"),
    "parent's deadline": ("job", "deadline_exceeded"),
    "parent succeeds": ("job", "succeeded"),
    "parent fails": ("job", "failed"),
    "scope closed": ("scope", "closed"),
    "scope canceled": ("scope", "canceled"),
    "scope's deadline": ("scope", "deadline_exceeded"),
}
LONG = 500  # seconds, of the parents whose deadline is not to pass: less than a job gets by itself


class Row:
    """One field of the matrix."""

    def __init__(self, derivation, event):
        self.name = f"{derivation} / {event}"
        self.event = event
        self.inherit, self.bound = DERIVATIONS[derivation]
        self.takes = set(["values", "trace"] if self.inherit is None else self.inherit)
        self.kind, self.parent_end = EVENTS[event]
        self.by_deadline = self.parent_end == "deadline_exceeded"

    def make(self, d, gates, seconds):
        """Parent and child. If it is the parent's deadline that is to pass, it has SECONDS: None when that was too short for both
        to run before."""
        self.make_parent(d, gates, seconds)
        self.make_child(d, f"{self.name} {seconds}")
        if self.by_deadline:
            wait_until(lambda: self.late(d) or all(d.job(j["id"])["pid"] for j in self.jobs()), f"{self.name}: both to run")
            if self.late(d):
                d.cancel(self.child["id"], now=True)
                self.client.close()
                return None
        self.check_inherited()
        return self

    def jobs(self):
        return [j for j in (self.parent, self.child) if j["kind"] == "job"]

    def late(self, d):
        return self.by_deadline and d.job(self.parent["id"])["state"] not in ("open", "running")

    def make_parent(self, d, gates, seconds):
        context = {"values": {"a": "parent", "b": "parent"}, "timeout_usec": (seconds if self.by_deadline else LONG) * S}
        if self.kind == "scope":
            self.parent = d.call("Scope", **context)["job"]
        elif self.parent_end in ("succeeded", "failed"):
            self.gate = fifo(d, f"gate{next(gates)}")
            code = 0 if self.parent_end == "succeeded" else 3
            self.parent = d.submit(sh=f"read x <{self.gate}; exit {code}", **context)
        else:
            self.parent = d.submit("sleep", "1000", **context)

    def make_child(self, d, key):
        params = {"argv": ["sleep", "1000"], "parent": self.parent["id"], "values": {"b": "own", "c": "own"}}
        if self.inherit is not None:
            params["inherit"] = self.inherit
        if self.bound:
            params.update(bound=True, key=key)
        self.params = params
        self.client = d.connect()
        self.client.send("Submit", params, more=self.bound)
        self.child = self.client.receive()[0]["job"]

    def come_back(self, d):
        """What ctxctl does when its connection broke."""
        self.client.close()
        self.client = d.connect()
        if not self.bound or self.lost():
            return
        self.client.send("Submit", self.params, more=True)
        again = self.client.receive()[0]
        is_((again["job"]["id"], again["created"]), (self.child["id"], False), f"{self.name}: back for the same job")

    def check_inherited(self):
        child, parent = self.child, self.parent
        values = {"b": "own", "c": "own"}
        if "values" in self.takes:
            values = {"a": "parent", **values}
        is_(child["values"], values, f"{self.name}: values")
        same = child["traceparent"].split("-")[1] == parent["traceparent"].split("-")[1]
        is_(same, "trace" in self.takes, f"{self.name}: same trace")
        is_(child["parent_span_id"], parent["span_id"] if "trace" in self.takes else None, f"{self.name}: span above")
        is_(child["deadline_rule"], "inherited" if "deadline" in self.takes else "default", f"{self.name}: rule")
        if "deadline" in self.takes:  # the same moment, read from two clocks
            later = seconds_between(parent["deadline_at"], child["deadline_at"])
            ok(abs(later) < 1, f"{self.name}: deadline {later} s after the parent's")
        is_((child["parent"], set(child["inherit"]), child["bound"]), (parent["id"], self.takes, self.bound), self.name)

    def wanted(self):
        """The end of the child; None: it goes on."""
        id = self.parent["id"]
        if self.event == "client dies":
            return ("canceled", "context canceled", "client_gone", "the client it was bound to went away") if self.bound else None
        if self.by_deadline:
            late = "deadline_exceeded", "context deadline exceeded", "parent_deadline", f"parent {id} deadline exceeded"
            return late if self.takes & {"deadline", "cancel"} else None
        if "cancel" not in self.takes:
            return None
        if self.parent_end == "canceled":
            return "canceled", "context canceled", "parent", f"parent {id} canceled: enough"
        if self.parent_end == "closed":
            return "canceled", "context canceled", "scope_closed", f"scope {id} closed: enough"
        return "canceled", "context canceled", "parent", f"parent {id} ended: {self.parent_end}"

    def fire_by_request(self, d):
        id = self.parent["id"]
        if self.parent_end == "canceled":
            d.cancel(id, cause="enough")
        elif self.parent_end == "closed":
            d.call("Close", id=id, cause="enough")

    def fire_by_itself(self, d):
        """What happens without ctxd, too."""
        if self.event == "client dies":
            self.client.close()
        elif self.parent_end in ("succeeded", "failed"):
            go(self.gate)

    def lost(self):
        """Does nobody come back?"""
        return self.bound and self.event == "client dies"

    def happened_without_ctxd(self):
        """Has it, what may happen while there is no ctxd?"""
        if self.by_deadline:
            return time.time() > self.deadline and ("deadline" not in self.takes or exited(self.pid))
        return self.parent_end not in ("succeeded", "failed") or exited(self.parent_pid)

    def note_pids(self, d):
        self.pid = d.wait_started(self.child["id"])["pid"]
        self.parent_pid = d.wait_started(self.parent["id"])["pid"] if self.kind == "job" else 0
        self.deadline = epoch(self.parent["deadline_at"])

    def check_end(self, d):
        want = self.wanted()
        if self.parent_end:
            is_(wait_over(d, self.parent["id"])["state"], self.parent_end, f"{self.name}: parent")
        if want:
            is_(end_of(wait_over(d, self.child["id"])), want, self.name)
        else:
            is_(d.job(self.child["id"])["state"], "running", f"{self.name}: the child goes on")


def start_without(d, lost):
    """ctxd anew, in whose time to come back none of these does."""
    for r in lost:
        is_(d.job(r.child["id"])["state"], "running", f"{r.name}: there is an hour to come back")
    d.configure(CONF + "[daemon]\nreattach = 1s\n")
    d.restart()


def matrix(when_killed):
    """All of it at once. WHEN_KILLED: None, `before` or `during` the events."""
    d = ApiDaemon(conf=CONF + "[daemon]\nreattach = 1h\n")
    gates = itertools.count()
    rows = [Row(*names) for names in itertools.product(DERIVATIONS, EVENTS)]
    rows.sort(key=lambda r: r.by_deadline)
    for r in rows:
        in_time(lambda seconds: r.make(d, gates, seconds), (4, 15, 60))
    for r in rows:
        r.note_pids(d)
    if when_killed == "before":
        d.kill9()
        d.start()
        for r in rows:
            r.come_back(d)
    for r in rows:
        r.fire_by_request(d)
    if when_killed == "during":
        d.kill9()
    for r in rows:
        r.fire_by_itself(d)
    if when_killed == "during":
        for r in rows:
            wait_until(r.happened_without_ctxd, f"{r.name} while there is no ctxd")
        d.start()
        for r in rows:
            r.come_back(d)
    lost = [r for r in rows if r.lost() and when_killed]
    for r in sorted(rows, key=lambda r: r.wanted() is None):  # those that go on: looked at last
        if r not in lost:
            r.check_end(d)
    if lost:
        start_without(d, lost)
    for r in lost:
        r.check_end(d)
    for r in rows:
        if not r.wanted():
            d.cancel(r.child["id"], now=True)
        if not r.parent_end:
            d.cancel(r.parent["id"], now=True)
        r.client.close()
    d.wait_all_ended()
    d.cleanup()


for _when, _text in ((None, "undisturbed"), ("before", "ctxd is killed before"), ("during", "ctxd is killed in the middle")):
    case(f"the decision matrix, {_text}")(lambda when=_when: matrix(when))


# What the matrix does not show --------------------------------------------------------------------------------------

d = ApiDaemon(conf=CONF)
rnd = random.Random(60)


def attached(parent, *argv, **kw):
    return d.submit(*(argv or ("sleep", "1000")), parent=parent, inherit=ALL, **kw)["id"]


def chain(n, **kw):
    """Ids of N contexts, each attached to the one before."""
    ids = [d.submit("sleep", "1000", **kw)["id"]]
    for _ in range(n - 1):
        ids.append(attached(ids[-1]))
    return ids


@case("the cause names where it began, all the way down; the log says so after the fact")
def _():
    top, *below = chain(6)
    d.cancel(below[0], cause="in the middle")
    for id in below[1:]:
        is_(end_of(wait_over(d, id)), ("canceled", "context canceled", "parent", f"parent {below[0]} canceled: in the middle"))
    is_(end_of(wait_over(d, below[0])), ("canceled", "context canceled", "requested", "in the middle"))
    is_(d.job(top)["state"], "running")
    d.wait_log(rf'job={below[-1]} stopping .*cause="parent {below[0]} canceled: in the middle"')
    d.cancel(top)
    wait_over(d, top)


@case("without a text the cause has none; the one who cancelled is in the history of each")
def _():
    ids = chain(3)
    d.cancel(ids[0])
    is_([wait_over(d, i)["cause"] for i in ids], [None, f"parent {ids[0]} canceled", f"parent {ids[0]} canceled"])
    by = d.sql(f"SELECT by_uid FROM job_history WHERE job IN ({ids[1]}, {ids[2]}) AND to_state = 'stopping'")
    is_(by, [(os.geteuid(),)] * 2)


late = []


def over(id):
    return d.job(id)["state"] in OVER


def deaf_parent(seconds):
    """Of the next case but one: so both wait for their deadlines at the same time."""
    ready = os.path.join(d.dir, f"deaf{seconds}")
    top = d.submit(sh=f"trap '' TERM; : >{ready}; while :; do sleep 0.05; done", timeout_usec=seconds * S,
                   grace_usec=3600 * S)["id"]
    wait_until(lambda: os.path.exists(ready) or over(top), "the parent to be deaf")
    return top, d.submit("sleep", "1000", parent=top, inherit=["cancel"])["id"]


def heirs(seconds):
    """A scope, those below that inherit its deadline, at once or by another, and one that does not; if all are in time."""
    top = d.call("Scope", timeout_usec=seconds * S)["job"]["id"]
    ids = [d.submit("sleep", "1000", parent=top, inherit=["deadline"])["id"]]
    ids.append(d.submit("sleep", "1000", parent=ids[0], inherit=["cancel"])["id"])
    ids.append(d.submit("sleep", "1000", parent=ids[0], inherit=["deadline"])["id"])
    loose = d.submit("sleep", "1000", parent=ids[0])["id"]
    if any(d.job(i)["state"] not in ("running", "open") for i in (*ids, top)):
        return d.cancel(loose, now=True) and None
    return top, ids, loose


@case("a deadline that was handed down names where it began, also below those that only kept it")
def _():
    late.extend(in_time(deaf_parent))
    top, ids, loose = in_time(heirs)
    for i in ids:
        is_(end_of(wait_over(d, i)),
            ("deadline_exceeded", "context deadline exceeded", "parent_deadline", f"parent {top} deadline exceeded"))
    is_(d.job(loose)["state"], "running")
    d.cancel(loose, now=True)


@case("a parent that is past its deadline takes those below along when it begins to stop, not when it is gone")
def _():
    top, below = late
    is_(wait_over(d, below)["cause"], f"parent {top} deadline exceeded")
    is_((d.job(top)["state"], d.job(top)["cause_code"]), ("stopping", "deadline"))
    d.cancel(top, now=True)
    is_(wait_over(d, top)["state"], "deadline_exceeded")


@case("first cause wins: what is being stopped, or over, keeps its own")
def _():
    top = d.submit("sleep", "1000")["id"]
    ready = os.path.join(d.dir, "stubborn")
    slow = attached(top, "sh", "-c", f"trap '' TERM; : >{ready}; while :; do sleep 0.05; done", grace_usec=3600 * S)
    ended = attached(top, "true")
    wait_until(lambda: os.path.exists(ready), "the stubborn one to be ready")
    wait_over(d, ended)
    d.cancel(slow, cause="mine")
    d.cancel(top, cause="late")
    wait_over(d, top)
    is_((d.job(slow)["state"], d.job(slow)["cause"]), ("stopping", "mine"))
    is_(d.job(ended)["state"], "succeeded")
    d.cancel(top, cause="again")
    is_(d.job(slow)["state"], "stopping", "cancelling twice is harmless")
    is_(d.job(top)["cause"], "late")
    d.cancel(top, now=True)  # over long since; what it left behind is hurried
    is_(end_of(wait_over(d, slow)), ("canceled", "context canceled", "requested", "mine"))


@case("`now` hurries all that is below, also what another cancel was stopping")
def _():
    ready = os.path.join(d.dir, "ready")
    stubborn = ("sh", "-c", f"trap '' TERM; echo >>{ready}; while :; do sleep 0.05; done")
    top = d.submit(*stubborn, grace_usec=3600 * S)["id"]
    ids = [attached(top, *stubborn, grace_usec=3600 * S)]
    ids.append(attached(ids[0], *stubborn, grace_usec=3600 * S))
    wait_until(lambda: os.path.exists(ready) and len(read_file(ready)) == 3, "all to be deaf")
    d.cancel(top, cause="please")
    is_([d.job(i)["state"] for i in (top, *ids)], ["stopping"] * 3)
    d.cancel(top, cause="at once", now=True)
    is_(end_of(wait_over(d, top))[3], "please")
    for i in ids:
        is_(end_of(wait_over(d, i))[2:], ("parent", f"parent {top} canceled: please"))
        is_(d.job(i)["signal"], signal.SIGKILL)


@case("`now` also finds what hangs on something that is over by now")
def _():
    for over in (False, True):
        ready = os.path.join(d.dir, f"orphan{over}")
        s = d.call("Scope")["job"]["id"]
        quick = attached(s)
        deaf = attached(quick, "sh", "-c", f"trap '' TERM; : >{ready}; while :; do sleep 0.05; done", grace_usec=3600 * S)
        wait_until(lambda: os.path.exists(ready), "it to be deaf")
        if over:
            is_(d.call("Close", id=s)["reached"], [quick, deaf])
            cause = f"scope {s} closed"
        else:
            d.cancel(quick)
            cause = f"parent {quick} canceled"
        wait_over(d, quick)
        is_(d.job(deaf)["state"], "stopping")
        is_(d.call("Close", id=s, now=True)["reached"], [deaf])
        is_((wait_over(d, deaf)["signal"], d.job(deaf)["cause"]), (signal.SIGKILL, cause))


@case("a chain of 1,500: what is being stopped at its end is found again, and hurried")
def _():
    top = d.call("Scope")["job"]["id"]
    with d.connect() as v:  # the ids are known beforehand
        chain = [r["job"]["id"] for r in v.pipeline(("Scope", {"parent": top + i, "inherit": ALL}) for i in range(1500))]
    is_(chain, list(range(top + 1, top + 1501)))
    ready = os.path.join(d.dir, "deep")
    deaf = attached(chain[-1], "sh", "-c", f"trap '' TERM; : >{ready}; while :; do sleep 0.05; done", grace_usec=3600 * S)
    wait_until(lambda: os.path.exists(ready), "it to be deaf")
    is_(d.call("Close", id=top)["reached"], chain + [deaf])
    is_(d.job(deaf)["state"], "stopping")
    is_(d.call("Close", id=top, now=True)["reached"], [deaf])
    is_((wait_over(d, deaf)["signal"], d.job(deaf)["cause"]), (signal.SIGKILL, f"scope {top} closed"))


@case("nothing can be attached to what is over or being stopped; detached it still gives values and trace, no deadline")
def _():
    ready = os.path.join(d.dir, "ready2")
    p = d.submit("sh", "-c", f"trap '' TERM; : >{ready}; while :; do sleep 0.05; done", values={"k": "v"}, timeout_usec=50 * S,
                 grace_usec=3600 * S)
    wait_until(lambda: os.path.exists(ready), "the parent to be deaf")
    d.cancel(p["id"])
    e = refused(d.submit, "AlreadyEnded", "true", parent=p["id"], inherit=["cancel"])
    is_(e, {"id": p["id"], "state": "stopping"})
    like(d.ctl("submit", "-p", p["id"], "--attach", "true").err, f"^ctxctl: job {p['id']} is being stopped already\n")
    over = f"deadline: none is inherited, as {p['id']} is over already"
    for takes, notices in ((["values", "trace", "deadline"], [over]), (["values", "trace"], [])):
        is_(d.call("Submit", argv=["true"], parent=p["id"], inherit=takes)["notices"], notices)
        is_(d.call("Scope", parent=p["id"], inherit=takes)["notices"], notices)
    d.cancel(p["id"], now=True)
    wait_over(d, p["id"])
    e = refused(d.submit, "AlreadyEnded", "true", parent=p["id"], inherit=ALL)
    is_(e, {"id": p["id"], "state": "canceled"})
    c = d.submit("true", parent=p["id"], inherit=["values", "trace", "deadline"])
    is_((c["values"], c["deadline_rule"]), ({"k": "v"}, "default"))
    is_(c["traceparent"].split("-")[1], p["traceparent"].split("-")[1])
    is_(wait_over(d, c["id"])["state"], "succeeded")


@case("a parent that is lost ends what is attached, too")
def _():
    top, below = chain(2)
    os.kill(d.monitor_pid(top), signal.SIGKILL)
    is_(wait_over(d, top)["state"], "interrupted")
    is_(end_of(wait_over(d, below)), ("canceled", "context canceled", "parent", f"parent {top} ended: interrupted"))


@case("what ended by itself while ctxd was away keeps its true end, whatever became of the parent")
def _():
    gates = [fifo(d, f"away{n}") for n in range(2)]
    top = d.submit(sh=f"read x <{gates[0]}")["id"]
    ids = [attached(top, "sh", "-c", f"read x <{gates[1]}; exit 7")]
    gone = [d.wait_started(i)["pid"] for i in (top, *ids)] + [d.monitor_pid(i) for i in (top, *ids)]

    def below_scope(seconds):
        """A job that runs when ctxd is killed, before the deadline of its scope."""
        s = d.call("Scope", timeout_usec=seconds * S)["job"]
        gate = fifo(d, f"away in {seconds}")
        job = d.submit(sh=f"read x <'{gate}'; exit 7", parent=s["id"], inherit=["cancel"])
        wait_until(lambda: d.job(job["id"])["pid"] or over(job["id"]), "it to run")
        monitor = not over(job["id"]) and d.monitor_pid(job["id"])
        d.kill9()
        if time.time() < epoch(s["deadline_at"]):
            return s, job["id"], gate, monitor
        return d.start() and None

    s, last, gate, monitor = in_time(below_scope)
    ids.append(last)
    gates.append(gate)
    gone.append(monitor)  # which outlives the job itself
    for g in reversed(gates):
        go(g)
    wait_gone(gone)
    wait_until(lambda: time.time() > epoch(s["deadline_at"]), "the scope's deadline")
    d.start()
    is_([(wait_over(d, i)["state"], d.job(i)["exit_code"], d.job(i)["cause_code"]) for i in ids], [("failed", 7, "exit")] * 2)
    is_(wait_over(d, top)["state"], "succeeded")
    is_(wait_over(d, s["id"])["state"], "deadline_exceeded")


@case("a cancel that was committed and told to nobody is told after the next start, to all that it reached")
def _():
    s = d.call("Scope")["job"]["id"]
    ids = [attached(s) for _ in range(2)]
    ids.append(attached(ids[0]))
    monitors = [d.monitor_pid(i) for i in ids]
    for p in monitors:
        os.kill(p, signal.SIGSTOP)
    d.restart()  # connects to them, and gets no HELLO: so nothing can be told
    d.cancel(s, cause="silently")
    is_([d.job(i)["state"] for i in ids], ["stopping"] * 3)
    d.kill9()
    for p in monitors:
        os.kill(p, signal.SIGCONT)
    d.start()
    for i in ids:
        is_(end_of(wait_over(d, i)), ("canceled", "context canceled", "parent", f"parent {s} canceled: silently"))


@case("what queues ends at once, and all that is below it, however deep and wide")
def _():
    e = ApiDaemon(conf="[limits]\nrunning = 1\n")
    block = e.submit("sleep", "1000")["id"]
    ids = [e.submit("true")["id"]]
    for _ in range(2000):
        ids.append(e.submit("true", parent=ids[-1], inherit=["cancel"])["id"])
    with e.connect() as v:
        wide = v.pipeline([("Submit", {"argv": ["true"], "parent": ids[-1], "inherit": ["cancel"]})] * 700)
    ids += [r["job"]["id"] for r in wide]
    e.cancel(ids[0], cause="all")
    is_({end_of(j) for j in e.jobs() if j["id"] in set(ids[1:])},
        {("canceled", "context canceled", "parent", f"parent {ids[0]} canceled: all")})
    is_(e.call("Stats")["jobs"]["queued"], 0)
    is_(e.job(block)["state"], "running")
    e.cancel(block, now=True)
    e.wait_all_ended()
    e.cleanup()


@case("a deadline that passes in the queue, for all that wait below it at the same moment")
def _():
    e = ApiDaemon(conf="[limits]\nrunning = 1\n")
    block = e.submit("sleep", "1000")["id"]

    def wait_below(seconds):
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))
        ids = [e.submit("true", deadline_at=at)["id"]]
        for _ in range(100):
            ids.append(e.submit("true", parent=rnd.choice(ids), inherit=ALL)["id"])
        return ids

    ids = in_time(wait_below)
    late = "deadline_exceeded", "context deadline exceeded"
    is_(end_of(wait_over(e, ids[0])), (*late, "deadline", "the deadline passed while the job was queued"))
    for i in ids[1:]:
        is_(end_of(wait_over(e, i)), (*late, "parent_deadline", f"parent {ids[0]} deadline exceeded"))
    e.cancel(block, now=True)
    e.wait_all_ended()
    e.cleanup()


def change(d, sql):
    """Write into the database behind ctxd's back."""
    db = sqlite3.connect(d.db, timeout=TIMEOUT)
    db.execute(sql)
    db.commit()
    db.close()


def fds(pid):
    """What is open: a list of texts, as in /proc."""
    found = []
    for n in os.listdir(f"/proc/{pid}/fd"):
        try:
            found.append(os.readlink(f"/proc/{pid}/fd/{n}"))
        except FileNotFoundError:
            pass
    return found


@case("released: nothing is left of a tree of 200 that was cancelled")
def _():
    e = ApiDaemon(conf=CONF)
    e.wait_end(e.submit("true")["id"])
    wait_until(lambda: not e.job_dirs(), "the first directory to go")
    wait_until(lambda: len(e.shims()) == 1, "the first monitor to end")
    e.call("Stats")  # by now ctxd has seen that
    before = len(fds(e.proc.pid)), len(e.shims())
    top = e.call("Scope")["job"]["id"]
    ids = []
    for n in range(20):
        s = e.call("Scope", parent=top, inherit=ALL)["job"]["id"]
        ids.append(s)
        for _ in range(9):
            ids.append(e.submit("sleep", "1000", parent=ids[-1], inherit=ALL)["id"])
    jobs = [i for i in ids if e.job(i)["kind"] == "job"]
    wait_until(lambda: all(e.job(i)["pid"] for i in jobs), "all to run")
    is_(len(e.job_dirs()), 180)
    # Not compared with the descriptors before: among them may be one that is about to go.
    wait_until(lambda: sum(f.startswith("socket:") for f in fds(e.proc.pid)) >= 180, "a connection of each monitor")
    history = e.sql("SELECT max(edge) FROM job_history")[0][0]
    e.cancel(top, cause="all of it")
    e.wait_all_ended()
    is_({e.job(i)["state"] for i in ids}, {"canceled"})
    is_({e.job(i)["cause"] for i in ids}, {f"parent {top} canceled: all of it"})
    edges = e.sql(f"SELECT job, to_state FROM job_history WHERE edge > {history} ORDER BY edge LIMIT 201")
    is_({e[0] for e in edges}, {top, *ids}, "the first edges are those of the cancel, one of each context")
    is_(edges[0], (top, "canceled"))
    wait_until(lambda: not e.job_dirs(), "the directories to go")
    wait_until(lambda: len(fds(e.proc.pid)) <= before[0], "the descriptors to be closed")
    wait_until(lambda: len(e.shims()) <= before[1], "the monitors to end")
    is_(e.call("Stats")["jobs"]["open"], 0)
    e.cleanup()


@case("another boot: what ran is interrupted, children first; what queued below it is cancelled, what is detached is not")
def _():
    e = ApiDaemon(conf="[limits]\nrunning = 3\n")
    top = e.submit("sleep", "1000")["id"]
    ran = [top]
    for _ in range(2):
        ran.append(e.submit("sleep", "1000", parent=ran[-1], inherit=ALL)["id"])
    queued = e.submit("sleep", "1000", parent=ran[1], inherit=ALL)["id"]
    loose = e.submit("true", parent=ran[1])["id"]
    pids = [e.wait_started(i)["pid"] for i in ran]
    monitors = [e.monitor_pid(i) for i in ran]
    e.stop()
    for p in monitors:
        os.kill(p, signal.SIGKILL)
    wait_gone(pids + monitors)
    change(e, f"UPDATE job SET boot = zeroblob(16) WHERE id IN ({', '.join(map(str, ran))})")
    e.start()
    for i in ran:
        is_((wait_over(e, i)["state"], e.job(i)["cause_code"]), ("interrupted", "reboot"))
    is_(end_of(wait_over(e, queued)), ("canceled", "context canceled", "parent", f"parent {ran[1]} ended: interrupted"))
    is_(wait_over(e, loose)["state"], "succeeded")
    e.cleanup()


@case("a cancel that fails in the middle: nothing happened, nobody was stopped")
def _():
    e = ApiDaemon(conf="[limits]\nrunning = 3\n")
    s = e.call("Scope")["job"]["id"]
    first = e.submit("sleep", "1000", parent=s, inherit=ALL)["id"]
    ran = [first, *(e.submit("sleep", "1000", parent=first, inherit=ALL)["id"] for _ in range(2))]
    bad, last = (e.submit("sleep", "1000", parent=s, inherit=ALL) for _ in range(2))
    is_([bad["state"], last["state"]], ["queued"] * 2)
    change(e, f"CREATE TRIGGER no BEFORE UPDATE ON job WHEN old.id = {bad['id']} BEGIN SELECT RAISE(ABORT, 'no'); END")
    pids = [e.wait_started(i)["pid"] for i in ran]
    refused(e.cancel, "StorageUnavailable", s)
    refused(e.call, "StorageUnavailable", "Close", id=s, now=True)
    is_([e.job(i)["state"] for i in (s, *ran, last["id"])], ["open", *["running"] * 3, "queued"])
    ok(not any(exited(p) for p in pids))
    change(e, "DROP TRIGGER no")
    e.cancel(s)
    for i in (*ran, bad["id"], last["id"]):
        is_(wait_over(e, i)["cause"], f"parent {s} canceled")
    e.cleanup()


@case("a cancel that cannot be written: nothing happened, nobody was stopped")
def _():
    if os.geteuid() != 0:
        skip("mounting needs root")
    e = ApiDaemon(conf=CONF, start=False)
    os.makedirs(e.state, mode=0o700)
    r = run(["mount", "-t", "tmpfs", "-o", "size=8M,mode=0700", "tmpfs", e.state])
    if r.code != 0:
        e.cleanup()
        skip(f"no tmpfs can be mounted: {r.err}")
    try:
        full_disk(e)
    finally:
        is_(run(["umount", "--lazy", e.state]).code, 0)
    e.cleanup()


def rows(e):
    try:
        return {j["id"]: end_of(j) for j in e.jobs()}
    except VarlinkError:
        return None


def full_disk(e):
    e.start()
    told = os.path.join(e.dir, "told")
    s = e.call("Scope")["job"]["id"]
    listener = f"trap 'echo >>{told}; exit' TERM; echo >>{told}.ready; while :; do sleep 0.05; done"
    ids = [e.submit(sh=listener, parent=s, inherit=ALL, grace_usec=3600 * S)["id"] for _ in range(40)]
    ids += [e.call("Scope", parent=s, inherit=ALL)["job"]["id"] for _ in range(40)]
    wait_until(lambda: os.path.exists(told + ".ready") and len(read_file(told + ".ready")) == 40, "all to listen")
    e.restart()  # the log of the database is empty now: whatever is written needs room
    client = e.connect()
    client.send("Submit", {"argv": ["sleep", "1000"], "bound": True}, more=True)
    bound = client.receive()[0]["job"]["id"]
    e.wait_started(bound)
    ballast = os.path.join(e.state, "ballast")

    def full(seconds):
        """A scope, and the rows, when the disk is full before its deadline."""
        soon = e.call("Scope", timeout_usec=seconds * S)["job"]
        before = rows(e)
        fill_up(ballast)
        if time.time() < epoch(soon["deadline_at"]):
            return soon, before
        os.unlink(ballast)
        return wait_over(e, soon["id"]) and None

    soon, before = in_time(full, (2, 10, 60))
    refused(e.cancel, "StorageUnavailable", s, cause="x" * 1000)
    refused(e.call, "StorageUnavailable", "Close", id=s, cause="x" * 1000)
    client.close()  # nobody asks for what follows from this, nor from the deadline: it is tried again
    wait_until(lambda: time.time() > epoch(soon["deadline_at"]) + 0.5, "the deadline of a scope")
    is_(wait_until(lambda: rows(e), "an answer at a moment in which nothing is written"), before, "the rows")
    ok(not os.path.exists(told), "nobody was told to stop")
    os.unlink(ballast)

    def well():
        try:
            return e.cancel(s, cause="now")
        except VarlinkError:
            return None

    wait_until(well, "the storage to be well")
    e.wait_all_ended()
    is_({end_of(e.job(i)) for i in ids}, {("canceled", "context canceled", "parent", f"parent {s} canceled: now")})
    is_(len(read_file(told)), 40)
    is_(wait_over(e, bound)["cause_code"], "client_gone")
    is_(wait_over(e, soon["id"])["state"], "deadline_exceeded")


main()
