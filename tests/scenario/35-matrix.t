#!/usr/bin/python3
"""Every method of the interface, called by everybody who may come: the owner of what it names, an administrator by name and
one by group, root, and strangers, one of them of the owner's own group, one as the user that ctxd runs as. Whom it is refused
has changed nothing. Needs root."""
# test-timeout: 400
import base64
import grp
import os
import pwd
import re
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from apitest import *  # noqa: E402,F403
from sysdaemon import ALICE, BOB, CTXD_UID, SystemDaemon, identity

if os.geteuid() != 0:
    @case("several users")
    def _():
        skip("needs root")
    main()

NOBODY = pwd.getpwnam("nobody")
ADMIN = pwd.getpwnam("daemon")
STAFF = grp.getgrnam("games")
CAROL = 61003
d = SystemDaemon(f"[access]\nadmins = {ADMIN.pw_name}, @{STAFF.gr_name}\n[limits]\nrunning = 100\n[class held]\nrunning = 1\n"
                 "[traces]\noutbox = 1000\n", spawner_args=["--allow-root"])


def connect(uid, gid=None, groups=()):
    with identity(uid, gid, groups):
        return Varlink(d.sock)


# Who comes, and of which kind they are.
WHO = {
    "owner": ("owner", (ALICE,)),
    "root": ("admin", (0,)),
    "administrator": ("admin", (ADMIN.pw_uid, ADMIN.pw_gid)),
    "administrator by group": ("admin", (CAROL, CAROL, [STAFF.gr_gid])),
    "stranger": ("stranger", (BOB,)),
    "stranger of the owner's group": ("stranger", (BOB, ALICE, [ALICE])),
    "ctxd's user": ("stranger", (CTXD_UID,)),
}
links = {who: connect(*identity_) for who, (_, identity_) in WHO.items()}
alice, root = links["owner"], links["root"]


# ---- what there is of the owner's to be named

def submit(*argv, **kw):
    return alice.call("Submit", argv=list(argv), **kw)["job"]["id"]


def job(id):
    return root.call("Get", id=id)["job"]


def running():
    """A job, its process and its output there."""
    i = submit("sh", "-c", "echo said-in-secret; exec sleep 1000", name="of-the-owner",
               values={"v": "said-in-secret"})
    wait_until(lambda: job(i)["pid"] and job(i)["output"]["bytes"], "a job with output")
    return i


def queued():
    """One that waits."""
    return submit("true", not_before="2126-01-01T00:00:00Z", name="of-the-owner")


def held():
    i = queued()
    root.call("Hold", id=i)
    return i


def over():
    i = submit("sh", "-c", "echo said-in-secret; exit 3", name="of-the-owner")
    root.call("Wait", ids=[i])
    return i


def interrupted():
    i = running()
    os.kill(d.monitor_pid(i), signal.SIGKILL)
    wait_until(lambda: job(i)["state"] == "interrupted", "its monitor to be missed")
    return i


def scope():
    return alice.call("Scope", name="of-the-owner")["job"]["id"]


def nothing():
    return 0


# ---- who may: by kind

THEIRS = {"owner", "admin"}  # of a job: the owner, and administrators
QUEUE = {"admin"}  # of the service: administrators
ALL = {"owner", "admin", "stranger"}

# (method, what it names, parameters, who may, with `more`)
ROWS = [
    ("Get", running, lambda i: {"id": i}, THEIRS, False),
    ("Get", over, lambda i: {"id": i}, THEIRS, False),
    ("Get", scope, lambda i: {"id": i}, THEIRS, False),
    ("Wait", over, lambda i: {"ids": [i]}, THEIRS, False),
    ("Wait", over, lambda i: {"ids": [i], "any": True}, THEIRS, False),
    ("Wait", running, lambda i: {"ids": [i], "timeout_usec": 1}, THEIRS, False),
    ("Wait", over, lambda i: {"ids": [i]}, THEIRS, True),
    ("Logs", running, lambda i: {"id": i}, THEIRS, False),
    ("Logs", over, lambda i: {"id": i, "follow": True}, THEIRS, True),
    ("Logs", over, lambda i: {"id": i, "tail": 1, "stream": "stdout"}, THEIRS, True),
    ("Events", running, lambda i: {"id": i}, THEIRS, False),
    ("Events", over, lambda i: {"id": i, "follow": True, "progress": True}, THEIRS, True),
    ("Progress", running, lambda i: {"id": i, "percent": 1}, THEIRS, False),
    ("Signal", running, lambda i: {"id": i, "signal": "KILL"}, THEIRS, False),
    ("Signal", running, lambda i: {"id": i, "signal": "KILL", "tree": True}, THEIRS, False),
    ("Extend", running, lambda i: {"id": i, "by_usec": S}, THEIRS, False),
    ("Extend", running, lambda i: {"id": i, "to": "2126-01-01T00:00:00Z"}, THEIRS, False),
    ("Cancel", running, lambda i: {"id": i}, THEIRS, False),
    ("Cancel", running, lambda i: {"id": i, "now": True, "cause": "x"}, THEIRS, False),
    ("Cancel", queued, lambda i: {"id": i}, THEIRS, False),
    ("Cancel", scope, lambda i: {"id": i}, THEIRS, False),
    ("Cancel", over, lambda i: {"id": i}, THEIRS, False),
    ("Close", scope, lambda i: {"id": i}, THEIRS, False),
    ("Close", scope, lambda i: {"id": i, "now": True}, THEIRS, False),
    ("Retry", over, lambda i: {"id": i}, THEIRS, False),
    ("Retry", interrupted, lambda i: {"id": i}, THEIRS, False),
    ("Resolve", interrupted, lambda i: {"id": i, "as": "succeeded", "note": "x"}, THEIRS, False),
    ("Prune", over, lambda i: {"ids": [i]}, THEIRS, False),
    ("Submit", running, lambda i: {"argv": ["true"], "parent": i}, THEIRS, False),
    ("Submit", scope, lambda i: {"argv": ["true"], "parent": i, "inherit": ["cancel"]}, THEIRS, False),
    ("Submit", running, lambda i: {"argv": ["true"], "after": [f"{i}:any"]}, THEIRS, False),
    ("Submit", nothing, lambda _: {"argv": ["true"], "user": NOBODY.pw_name}, QUEUE, False),
    ("Scope", scope, lambda i: {"parent": i}, THEIRS, False),
    ("Scope", running, lambda i: {"parent": i, "inherit": ["values"]}, THEIRS, False),
    ("Hold", queued, lambda i: {"id": i}, QUEUE, False),
    ("Release", held, lambda i: {"id": i}, QUEUE, False),
    ("Reprioritize", queued, lambda i: {"id": i, "priority": 7}, QUEUE, False),
    ("Pause", nothing, lambda _: {"class": "held"}, QUEUE, False),
    ("Pause", nothing, lambda _: {}, QUEUE, False),
    ("Drain", nothing, lambda _: {}, QUEUE, False),
    ("Resume", nothing, lambda _: {"class": "held"}, QUEUE, False),
    ("Resume", nothing, lambda _: {}, QUEUE, False),
    ("Reload", nothing, lambda _: {}, QUEUE, False),
    ("Reload", nothing, lambda _: {"dry_run": True}, QUEUE, False),
    ("Backup", nothing, lambda _: {}, QUEUE, True),
    ("Spans", nothing, lambda _: {}, QUEUE, False),
    ("ForgetSpans", nothing, lambda _: {"seq": 1}, QUEUE, False),
    # What names nothing of anybody's, or leaves out what is not one's own.
    ("List", running, lambda _: {}, ALL, False),
    ("ListSummaries", running, lambda _: {}, ALL, False),
    ("Events", running, lambda _: {}, ALL, False),
    ("Prune", over, lambda _: {"older_usec": 10**13}, ALL, False),
    ("Spool", nothing, lambda _: {"data": "eA=="}, ALL, False),
    ("Stats", running, lambda _: {}, ALL, False),
    ("Metrics", running, lambda _: {}, ALL, False),
    ("Config", nothing, lambda _: {}, ALL, False),
    ("org.varlink.service.GetInfo", nothing, lambda _: {}, ALL, False),
    ("org.varlink.service.GetInterfaceDescription", nothing, lambda _: {"interface": "io.ctxd"}, ALL, False),
    ("Shutdown", nothing, lambda _: {"within_usec": S}, QUEUE, False),  # the last: nothing is accepted after it
]


def answers(v, method, params, more):
    """What V is told; text. The name service may not have answered in time."""
    def asked():
        try:
            return [list(v.call_more(method, **params)) if more else v.call(method, **params)]
        except VarlinkError as e:
            if e.short == "NotReady" and "name service" in e.params["reason"]:
                return None
            raise

    return str(wait_until(asked, "an answer"))


def kept():
    """All that is stored of jobs, and how the service is."""
    stats = root.call("Stats")
    return [d.sql(f"SELECT * FROM {t}") for t in ("job", "history")], stats["paused"], stats["paused_classes"], stats["draining"]


refusals = {}  # by uid


def refused_for(who, method, name, params, more):
    """The stranger's call and what it leaves: nothing."""
    id = name()
    wait_until(lambda: not root.call("List", states=["stopping"])["jobs"], "nothing to be under way")
    before = kept()
    text = str(refused(lambda m, **p: answers(links[who], m, p, more), "NotPermitted", method, **params(id)))
    unlike(text, "of-the-owner|said-in-secret")
    ok(kept() == before, f"{who}: nothing has changed")
    uid = WHO[who][1][0]
    refusals[uid] = refusals.get(uid, 0) + 1


def in_the_log(uid):
    """How many refusals of UID the log has, and how many it says it has left out."""
    text = d.log_text()
    return len(re.findall(rf"audit action=refused uid={uid} pid=\d+ .* error=NotPermitted ", text)) + \
        sum(map(int, re.findall(rf"action=refused uid={uid} left_out=(\d+)$", text, re.M)))


def after_rows():
    """Whatever the rows did to the service is taken back, and no job goes on."""
    root.call("Resume")
    left = [j["id"] for r in root.call_more("List", states=["queued", "running", "stopping", "open"]) for j in r["jobs"]]
    for i in left:
        root.call("Cancel", id=i, now=True)
    for i in left:
        root.call("Wait", ids=[i])


@case("there is a row for each method of the interface")
def _():
    text = root.call("org.varlink.service.GetInterfaceDescription", interface="io.ctxd")["description"]
    methods = set(re.findall(r"^method (\w+)", text, re.M))
    need(len(methods) > 25, f"{methods}")
    is_({m for m, *_ in ROWS if "." not in m}, methods)
    wait_until(lambda: root.call("Stats")["spawner_up"], "the spawner")


def add_case(n, method, name, params, may, more):
    @case(f"{method} ({name.__name__}, row {n}): for {', '.join(sorted(may))}")
    def _():
        for who, (kind, _) in WHO.items():
            if kind in may:
                continue
            refused_for(who, method, name, params, more)
        for who, (kind, _) in WHO.items():
            if kind not in may or method == "Shutdown" and who != "root":
                continue
            id = name()
            text = answers(links[who], method, params(id), more)
            if kind == "stranger":
                unlike(text, "of-the-owner|said-in-secret")
        if method != "Shutdown":
            after_rows()


for _n, _row in enumerate(ROWS, 1):
    add_case(_n, *_row)


@case("each refusal is in the log, or counted there")
def _():
    wait_until(lambda: {uid: in_the_log(uid) for uid in refusals} == refusals, f"{refusals}")


main()
