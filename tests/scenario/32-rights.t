#!/usr/bin/python3
"""Who may see and stop what: a system ctxd without privileges, a spawner with them, and several users. Needs root."""
# test-timeout: 300
import base64
import contextlib
import os
import pwd
import resource
import stat
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from ctxtest import *
from sysdaemon import ALICE, BOB, CTXD_UID, SystemDaemon, identity
from varlink import Varlink, VarlinkClosed, VarlinkError

resource.setrlimit(resource.RLIMIT_NOFILE, (8192, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))

NOBODY = pwd.getpwnam("nobody")
ADMIN = pwd.getpwnam("daemon")

if os.geteuid() != 0:
    @case("several users")
    def _():
        skip("needs root")
    main()


def connect(uid, gid=None, groups=(), daemon=None):
    with identity(uid, gid, groups):
        return Varlink((daemon or d).sock)


def error(fn, *args, **kw):
    try:
        got = fn(*args, **kw)
    except VarlinkError as e:
        return e
    need(False, f"an error was to come, not {got!r}")


d = SystemDaemon(f"[access]\nadmins = {ADMIN.pw_name}\n[daemon]\nmax_connections = 400\nmax_connections_per_user = 256\n")
alice, bob, root = connect(ALICE, groups=[61010, 61011]), connect(BOB), connect(0)
admin = connect(ADMIN.pw_uid, ADMIN.pw_gid)


def submit(v, *argv, **kw):
    return v.call("Submit", argv=list(argv), **kw)["job"]


def output(v, id):
    v.call("Wait", ids=[id])
    return b"".join(base64.b64decode(r["data"]) for r in v.call_more("Logs", id=id)).decode()


@case("ctxd is not root, its job is the submitter's: uid, gid, groups as the kernel told")
def _():
    is_(os.stat(f"/proc/{d.proc.pid}").st_uid, CTXD_UID)
    wait_until(lambda: alice.call("Stats")["spawner_up"], "the spawner")
    job = submit(alice, "sh", "-c", "id -u; id -g; id -G; umask")
    is_((job["uid"], job["gid"], job["user"]), (ALICE, ALICE, None))
    out = output(alice, job["id"]).split()
    is_(out[:2], [str(ALICE)] * 2)
    is_(sorted(out[2:-1]), [str(ALICE), "61010", "61011"])
    is_(alice.call("Stats")["mode"], "system")
    v = connect(NOBODY.pw_uid, NOBODY.pw_gid)
    # ctxd waits two seconds for the name service, and goes on without; it asks again when half a minute has passed.
    job = wait_until(lambda: (lambda j: j if j["user"] else None)(submit(v, "sh", "-c", "echo $USER:$LOGNAME:$HOME")), "its name", 120, 1)
    is_(job["user"], "nobody")
    is_(output(v, job["id"]).strip(), f"nobody:nobody:{NOBODY.pw_dir}")
    v.close()


@case("what it writes is its own: /dev/stderr can be opened, the file is not the world's")
def _():
    id = submit(alice, "sh", "-c", "echo one >/dev/stderr; echo two >>/dev/stdout")["id"]
    is_(sorted(output(alice, id).split()), ["one", "two"])
    path = next(os.path.join(p, f) for p, _, files in os.walk(os.path.join(d.state, "output")) for f in files
                if f.startswith(f"{id}."))
    is_(stat.S_IMODE(os.stat(path).st_mode) & 0o007, 0)


@case("another's job: not seen, not stopped, not read, not waited for")
def _():
    id = submit(alice, "sleep", "1000", name="secret")["id"]
    for method, params in (("Get", {"id": id}), ("Cancel", {"id": id}), ("Cancel", {"id": id, "now": True}),
                           ("Extend", {"id": id, "by_usec": 10**6}), ("Logs", {"id": id}), ("Wait", {"ids": [id]}),
                           ("Retry", {"id": id}), ("Resolve", {"id": id, "as": "failed"}), ("Prune", {"ids": [id]}),
                           ("Wait", {"ids": [id], "any": True, "timeout_usec": 1})):
        e = error(bob.call, method, **params)
        is_(e.name, "io.ctxd.NotPermitted", method)
        unlike(str(e.params), "secret|sleep")
    for method in ("List", "ListSummaries"):
        for params in ({}, {"name": "secret"}, {"uid": ALICE}, {"states": ["running"]}, {"last": True}):
            ok(all(j["uid"] == BOB for r in bob.call_more(method, **params) for j in r["jobs"]), f"{method} {params}")
    is_([j["id"] for j in bob.call("List", uid=ALICE)["jobs"]], [])
    is_(error(bob.call, "Logs", id=10**9).short, "NoSuchJob")
    is_(alice.call("Get", id=id)["job"]["state"], "running")
    mine = submit(bob, "true")["id"]
    e = error(bob.call, "Wait", ids=[mine, id])
    is_(e.short, "NotPermitted")
    alice.call("Cancel", id=id, now=True)
    alice.call("Wait", ids=[id])


@case("root and administrators see and stop everybody's")
def _():
    for who in (root, admin):
        id = submit(alice, "sh", "-c", "echo hello; exec sleep 1000")["id"]
        is_(who.call("Get", id=id)["job"]["uid"], ALICE)
        ok(any(j["id"] == id for j in who.call("List", uid=ALICE, last=True)["jobs"]))
        ok(any(j["uid"] == BOB for j in who.call("List")["jobs"]))
        wait_until(lambda: base64.b64decode(who.call("Logs", id=id)["data"]) == b"hello\n", "its output")
        who.call("Extend", id=id, by_usec=10**6)
        who.call("Cancel", id=id, cause="by the administrator")
        job = who.call("Wait", ids=[id])["jobs"][0]
        is_((job["state"], job["cause"]), ("canceled", "by the administrator"))


@case("by age one prunes one's own, an administrator everybody's")
def _():
    ids = {v: submit(v, "true")["id"] for v in (alice, bob)}
    for v, id in ids.items():
        v.call("Wait", ids=[id])
    ok(bob.call("Prune", older_usec=1)["pruned"] > 0)
    is_(error(bob.call, "Get", id=ids[bob]).short, "NoSuchJob")
    is_(alice.call("Get", id=ids[alice])["job"]["state"], "succeeded")
    ok(admin.call("Prune", older_usec=1)["pruned"] > 0)
    is_(error(alice.call, "Get", id=ids[alice]).short, "NoSuchJob")


@case("Reload is theirs alone; the rest of the service is everybody's")
def _():
    for v in (alice, bob):
        is_(error(v.call, "Reload").short, "NotPermitted")
        ok("settings" in v.call("Config"))
        ok("version" in v.call("Stats"))
        is_(v.call("org.varlink.service.GetInfo")["product"], "ctxd")
    for v in (root, admin):
        is_(v.call("Reload"), {"changes": []})


@case("an administrator no more, once the configuration says so")
def _():
    d.configure("[daemon]\nmax_connections = 400\nmax_connections_per_user = 256\n")
    root.call("Reload")
    id = submit(alice, "true")["id"]
    is_(error(admin.call, "Get", id=id).short, "NotPermitted")
    is_(error(admin.call, "Reload").short, "NotPermitted")
    d.configure(f"[access]\nadmins = {ADMIN.pw_name}\n[daemon]\nmax_connections = 400\nmax_connections_per_user = 256\n")
    root.call("Reload")
    is_(admin.call("Get", id=id)["job"]["id"], id)


@case("root's own jobs: refused, and told how they may be allowed")
def _():
    e = error(root.call, "Submit", argv=["true"])
    is_(e.short, "NotPermitted")
    like(e.params["reason"], "--allow-root")


@case("a bound job is the connection's, not the user's: others cannot end it by going")
def _():
    w = connect(ALICE)
    w.send("Submit", {"argv": ["sleep", "1000"], "inherit": ["cancel"]}, more=True)
    id = w.receive()[0]["job"]["id"]
    other = connect(BOB)
    other.close()
    connect(ALICE).close()
    is_(alice.call("Wait", ids=[id], timeout_usec=200_000)["jobs"][0]["state"], "running")
    w.close()
    is_(alice.call("Wait", ids=[id])["jobs"][0]["cause_code"], "client_gone")


@case("2000 connections of one user: capped; another user, an administrator and root are served meanwhile")
def _():
    held, told = [], set()
    for i in range(2000):
        v = connect(ALICE)
        held.append(v)
        if i % 100 == 99:
            is_(submit(bob, "true")["uid"], BOB)

    for v in held:
        v.sock.setblocking(False)

    def told_by_now():
        for v in held:
            with contextlib.suppress(BlockingIOError):
                if v not in told and b"io.ctxd.NotReady" in v.sock.recv(4096):
                    told.add(v)
        return len(told)

    wait_until(lambda: told_by_now() >= 2000 - 256, "all but 256 of 2000 to be told")
    for uid, gid in ((BOB, None), (ADMIN.pw_uid, ADMIN.pw_gid), (0, 0)):
        with connect(uid, gid) as v:
            ok(v.call("Stats")["connections"] <= 400)
    e = error(connect(ALICE).receive)
    like(e.params["reason"], "max_connections_per_user is 256")
    # and the rest of the places, by others: those kept for administrators and root are still there
    more = [connect(61100 + n // 200) for n in range(400)]
    e = error(more[-1].receive)
    like(e.params["reason"], r"max_connections is 400")
    with connect(ADMIN.pw_uid, ADMIN.pw_gid) as v:
        ok("pid" in v.call("Stats"))
    admins = [connect(ADMIN.pw_uid, ADMIN.pw_gid) for _ in range(20)]
    like(error(admins[-1].receive).params["reason"], "max_connections is 400")
    with connect(0) as v:
        ok("pid" in v.call("Stats"))
    ok(len(d.log_text()) < 200_000, "the log is bounded")
    for v in held + more + admins:
        v.close()
    wait_until(lambda: root.call("Stats")["connections"] <= 5, "them to be gone")
    is_(submit(alice, "true")["uid"], ALICE)


@case("after a restart of ctxd rights are as before")
def _():
    id = submit(alice, "sleep", "1000")["id"]
    d.kill9()
    d.start()
    with connect(BOB) as b, connect(ALICE) as a:
        is_(error(b.call, "Cancel", id=id).short, "NotPermitted")
        wait_until(lambda: a.call("Get", id=id)["job"]["pid"], "the job to be found again")
        a.call("Cancel", id=id)
        is_(a.call("Wait", ids=[id])["jobs"][0]["state"], "canceled")


@case("user mode serves its user and root, and tells others so")
def _():
    own = Daemon()
    os.chmod(own.dir, 0o755)
    os.chmod(own.sock, 0o666)
    v = connect(BOB, daemon=own)
    e = error(v.call, "Stats")
    is_(e.short, "NotPermitted")
    like(e.params["reason"], "uid 0 only")
    ok(v.closed())
    v = connect(BOB, daemon=own)
    with contextlib.suppress(VarlinkError, VarlinkClosed):
        v.send("Submit", {"argv": ["touch", own.dir + "/bob"]}, oneway=True)
        v.receive()
    with connect(0, daemon=own) as v:
        is_(v.call("List")["jobs"], [])
        ok("pid" in v.call("Stats"))


main()
