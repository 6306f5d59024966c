#!/usr/bin/python3
"""Random trees of contexts against a model of a few lines: thousands of operations, ctxd killed in the middle of some; in
the end each context is in the state, and has the cause, that the model says. CTX_TREE_SEED repeats a run, CTX_TREE_OPS makes
it longer."""
import os
import random
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from apitest import *  # noqa: E402,F403

SEED = int(os.environ.get("CTX_TREE_SEED") or random.SystemRandom().randrange(1 << 32))
OPS = int(os.environ.get("CTX_TREE_OPS", "2500"))
OVER = ("succeeded", "failed", "canceled", "deadline_exceeded", "interrupted", "closed")
SETS = ([], None, ["values", "trace", "deadline"], ["values", "trace", "deadline", "cancel"], ["cancel"], ["deadline"],
        ["deadline", "cancel"])
DOOM = 1  # seconds that a context gets which is to outlast them

d = ApiDaemon(conf="[limits]\nrunning = 8\nqueued = 100000\n[deadline]\ntimeout = 20h\ngrace = 2s\n")


# The model ----------------------------------------------------------------------------------------------------------


class Node:
    def __init__(self, id, kind, parent, takes):
        self.id, self.kind, self.parent, self.takes = id, kind, parent, takes
        self.below = []
        self.end = None  # (state, cause_code, cause); None: not over
        if parent:
            parent.below.append(self)

    def over(self, state, code, text, for_those_below):
        """The context ends, and all that is attached below it."""
        if self.end:
            return
        self.end = state, code, text
        for c in self.below:
            if "cancel" in c.takes:
                c.over(*for_those_below, for_those_below)

    def cancel(self, text):
        self.over("canceled", "requested", text, ("canceled", "parent", f"parent {self.id} canceled: {text}"))

    def close(self, text):
        self.over("closed", "requested", text, ("canceled", "scope_closed", f"scope {self.id} closed: {text}"))

    def fail(self):
        self.over("failed", "signal", "killed by signal 9 (KILL)", ("canceled", "parent", f"parent {self.id} ended: failed"))

    def expire(self, text):
        """Its own deadline passes: that of all to whom it was handed down, too."""
        late = "deadline_exceeded", "parent_deadline", f"parent {self.id} deadline exceeded"
        heirs = [self]
        for n in heirs:
            heirs += [c for c in n.below if "deadline" in c.takes and not c.end and not n.end]
        self.over("deadline_exceeded", "deadline", text, late)
        for n in heirs:
            n.over(*late, late)


nodes = {}
ignored = set()  # made, and no part of it


def alive(kind=None):
    return [n for n in nodes.values() if not n.end and (not kind or n.kind == kind)]


# The operations -----------------------------------------------------------------------------------------------------

rnd = random.Random(SEED)
texts = 0


def text():
    global texts
    texts += 1
    return f"no. {texts}"


def derive(parent, takes):
    params = {"parent": parent} if parent else {}
    if takes is not None:
        params["inherit"] = takes if parent else []
    return params


def request(kind, params):
    return ("Scope", params) if kind == "scope" else ("Submit", {"argv": ["sleep", "1000"], **params})


def taken(takes, parent):
    return set() if not parent else {"values", "trace"} if takes is None else set(takes)


def add(job, parent, takes):
    nodes[job["id"]] = Node(job["id"], job["kind"], parent, taken(takes, parent))


def make(kind):
    parent = rnd.choice(list(nodes.values())[-60:]) if nodes and rnd.random() < 0.85 else None
    takes = rnd.choice(SETS)
    method, params = request(kind, derive(parent.id if parent else None, takes))
    if parent and parent.end and "cancel" in taken(takes, parent):
        is_(refused(d.call, "AlreadyEnded", method, **params)["id"], parent.id)
    else:
        add(d.call(method, **params)["job"], parent, takes)


def cancel():
    n, t = rnd.choice(list(nodes.values())), text()
    d.cancel(n.id, cause=t, now=rnd.random() < 0.3)
    n.cancel(t)


def close():
    scopes = [n for n in nodes.values() if n.kind == "scope"]
    if scopes:
        n, t = rnd.choice(scopes), text()
        want = {c.id for c in alive()}
        reached = d.call("Close", id=n.id, cause=t)["reached"]
        n.close(t)
        want -= {c.id for c in alive()} | {n.id}
        ok(want <= set(reached), f"reached by closing {n.id}: {want} of {reached}")


def fail():
    """A job ends by itself."""
    running = [j["id"] for j in d.jobs(states=["running"]) if j["id"] not in ignored]
    if running:
        n = nodes[rnd.choice(running)]
        os.kill(d.wait_started(n.id)["pid"], signal.SIGKILL)
        wait_until(lambda: d.job(n.id)["state"] in OVER, f"{n.id} to end")
        n.fail()


def doom(seconds):
    """Scopes with little time, and small trees below them, all sent at once: the ids follow each other. None if some of the time
    was over before all were there."""
    next = d.call("Scope")["job"]["id"] + 1
    nodes[next - 1] = Node(next - 1, "scope", None, set())
    plan = []
    for _ in range(4):
        first = len(plan)
        plan.append(("scope", None, None, {"timeout_usec": seconds * S}))
        for k in range(rnd.randrange(1, 9)):
            plan.append((rnd.choice(["job", "job", "scope"]), rnd.randrange(first, len(plan)), rnd.choice(SETS), {}))
    with d.connect() as v:
        got = v.pipeline([request(kind, {**more, **derive(next + up if up is not None else None, takes)})
                          for kind, up, takes, more in plan])
    made = [r["job"]["id"] for r in got if not isinstance(r, VarlinkError)]
    if len(made) == len(plan):
        return plan, got, next
    ok({r.short for r in got if isinstance(r, VarlinkError)} <= {"AlreadyEnded", "NoSuchJob"}, got)
    ignored.update(made)
    for id in made:
        d.cancel(id, now=True)
    return None


def expire():
    plan, got, next = in_time(doom, (DOOM, 10, 60))
    doomed = []
    for (kind, up, takes, more), r in zip(plan, got):
        add(r["job"], nodes[next + up] if up is not None else None, takes)
        if more:
            doomed.append((nodes[r["job"]["id"]], more["timeout_usec"] // S))
    before = set(alive())
    for n, seconds in doomed:
        n.expire("the deadline passed after " + ("1m" if seconds == 60 else f"{seconds}s") + " (rule requested)")
    for n in before - set(alive()):
        wait_until(lambda: d.job(n.id)["state"] in OVER, f"{n.id} to be over")


def die():
    d.kill9()
    d.start()


def die_in_flight():
    """Some cancels are on their way when ctxd dies: each has happened, all of it, or not at all."""
    todo = [(n, text()) for n in rnd.sample(alive(), min(12, len(alive())))]
    v = d.connect()
    for n, t in todo:
        v.send("Cancel", {"id": n.id, "cause": t})
    for _ in range(rnd.randrange(3)):
        v.receive()
    d.kill9()
    v.close()
    d.start()
    for n, t in todo:
        if d.job(n.id)["cause"] == t:
            n.cancel(t)


def compare():
    wait_until(lambda: not d.jobs(states=["stopping"]), "what is being stopped to end", step=0.05)
    made = [j for j in d.jobs() if j["id"] not in ignored]
    for j in made:
        n = nodes[j["id"]]
        if n.end:
            is_((j["state"], j["cause_code"], j["cause"]), n.end, f"{n.kind} {n.id}")
        else:
            ok(j["state"] in ("queued", "running", "open"), f"{n.kind} {n.id} goes on, yet is {j['state']}: {j['cause']}")
    is_(len(made), len(nodes))


def steps():
    rare = {OPS // 4: die, OPS // 3: die_in_flight, OPS // 2: die_in_flight, OPS * 3 // 4: die_in_flight}
    kinds = [lambda: make("job")] * 50 + [lambda: make("scope")] * 16 + [cancel] * 12 + [close] * 8 + [fail] * 3
    make("scope")
    for i in range(OPS):
        if i in rare:
            rare[i]()
            compare()
        elif i % (OPS // 5) == OPS // 10:
            expire()
        else:
            rnd.choice(kinds)()


@case(f"{OPS} random operations on trees end as the model says (CTX_TREE_SEED={SEED})")
def _():
    steps()
    compare()
    states = {}
    for n in nodes.values():
        key = n.end[:2] if n.end else ("goes on", n.kind)
        states[key] = states.get(key, 0) + 1
    diag(", ".join(f"{' '.join(k)}: {v}" for k, v in sorted(states.items())))


@case("all that is left is cancelled, from the roots down")
def _():
    for n in sorted(alive(), key=lambda n: n.id):
        if not n.end:
            d.cancel(n.id, cause="done", now=True)
            n.cancel("done")
    compare()
    ok(not alive())


main()
