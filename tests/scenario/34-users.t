#!/usr/bin/python3
"""Many users of one ctxd: turns between them, their limits, submissions for others, and what one of them may try against
another, the daemons and the machine. A system ctxd without privileges, a spawner with them, real uids. Needs root."""
# test-timeout: 400
import array
import base64
import contextlib
import ctypes
import errno
import os
import pwd
import re
import resource
import signal
import socket
import stat
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import sysdaemon
from apitest import *  # noqa: E402,F403
from sysdaemon import ALICE, BOB, SystemDaemon, identity

resource.setrlimit(resource.RLIMIT_NOFILE, (8192, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))

ADMIN = pwd.getpwnam("daemon")
NOBODY = pwd.getpwnam("nobody")
OWN = pwd.getpwnam("games")  # whom ctxd runs as: an account, so that somebody can ask for a job of it
CAROL = 61003
LIBC = ctypes.CDLL(None, use_errno=True)
CONF = """[access]
admins = {admin}
[limits]
running = {running}
running_per_user = {running_per_user}
queued_per_user = {queued_per_user}
stdin_max = 1M
stdin_per_user = {stdin_per_user}
[deadline]
grace = 500ms
[daemon]
max_connections_per_user = 40
[retention]
output_per_user = {output_per_user}
[class one]
running = 1
[class urgent]
priority = 100
[class slow]
priority = -100
"""

if os.geteuid() != 0:
    @case("several users")
    def _():
        skip("needs root")
    main()


def conf(running=8, running_per_user="", queued_per_user="", output_per_user="", stdin_per_user=""):
    return CONF.format(admin=ADMIN.pw_name, running=running, running_per_user=running_per_user, queued_per_user=queued_per_user,
                       output_per_user=output_per_user, stdin_per_user=stdin_per_user)


sysdaemon.CTXD_UID = OWN.pw_uid
d = SystemDaemon(conf())
DIR = os.path.join(d.dir, "place")  # of all users, as /tmp is
os.mkdir(DIR)
os.chmod(DIR, 0o1777)


def connect(uid, gid=None):
    with identity(uid, gid):
        return Varlink(d.sock)


alice, bob, root, admin = connect(ALICE), connect(BOB), connect(0), connect(ADMIN.pw_uid, ADMIN.pw_gid)


def reconnect():
    global alice, bob, root, admin
    for v in (alice, bob, root, admin):
        v.close()
    alice, bob, root, admin = connect(ALICE), connect(BOB), connect(0), connect(ADMIN.pw_uid, ADMIN.pw_gid)


def users_case(name):
    """A case that finds nothing of the one before it."""

    def register(fn):
        def inner():
            reconnect()
            wait_until(lambda: root.call("Stats")["spawner_up"], "the spawner")
            configure()
            end(*[j["id"] for r in root.call_more("List", states=["queued", "running", "stopping", "open"]) for j in r["jobs"]])
            fn()
        return case(name)(inner)

    return register


def configure(**kw):
    d.configure(conf(**kw))
    return root.call("Reload")["changes"]


def named(v, **params):
    """Submit, once the name service has an answer: ctxd waits two seconds for one, and the machine may stall for longer."""
    def asked():
        try:
            return [v.call("Submit", **params)]
        except VarlinkError as e:
            if e.short == "NotReady" and "name service" in e.params["reason"]:
                return None
            raise

    return wait_until(asked, "the name service to answer")[0]


def submit(v, *argv, **kw):
    return named(v, argv=list(argv), **kw)["job"]


def refused_for(v, error, **kw):
    """A submission of V for another user that has to be refused."""
    return refused(lambda argv, **params: named(v, argv=argv, **params), error, ["true"], **kw)


def job(id):
    return root.call("Get", id=id)["job"]


def end(*ids):
    for i in ids:
        root.call("Cancel", id=i, now=True)
    for i in ids:
        root.call("Wait", ids=[i])


def wait_end(id):
    return root.call("Wait", ids=[id])["jobs"][0]


def output(v, id):
    v.call("Wait", ids=[id])
    return b"".join(base64.b64decode(r["data"]) for r in v.call_more("Logs", id=id))


def pid_of(id):
    return wait_until(lambda: job(id)["pid"], "a pid")


def started(ids):
    """Whose jobs these are, in the order in which they were started."""
    rows = d.sql(f"SELECT id, uid FROM job WHERE id IN ({','.join(map(str, ids))}) AND seq > 0 ORDER BY seq")
    return "".join({ALICE: "a", BOB: "b", CAROL: "c"}[uid] for _, uid in rows), [i for i, _ in rows]


def all_ended(ids):
    for i in ids:
        wait_end(i)


@contextlib.contextmanager
def others_go_on():
    """Whatever happens inside, the other user's jobs are served before and after it."""
    is_(wait_end(submit(alice, "true")["id"])["state"], "succeeded")
    yield
    is_(wait_end(submit(alice, "true")["id"])["state"], "succeeded")


# ---- turns

@users_case("users of a class take turns; each one's own jobs keep their order")
def _():
    first = submit(alice, "sleep", "1000", **{"class": "one"})["id"]
    a = [submit(alice, "true", **{"class": "one"})["id"] for _ in range(5)]
    b = [submit(bob, "true", **{"class": "one"})["id"] for _ in range(3)]
    end(first)
    all_ended(a + b)
    order, ids = started(a + b)
    is_(order, "bababaaa")
    is_([i for i in ids if i in a], a)
    is_([i for i in ids if i in b], b)


@users_case("hundreds that wait hold up nobody else's first job")
def _():
    configure(running=1)
    first = submit(alice, "sleep", "1000")["id"]
    a = [g["job"]["id"] for g in alice.pipeline([("Submit", {"argv": ["true"], "priority": 1000000})] * 300)]
    b = submit(bob, "true", priority=-1000)["id"]
    carol = connect(CAROL)
    c = submit(carol, "true")["id"]
    end(first)
    all_ended([b, c])
    order, _ = started(a + [b, c])
    is_(order[:2], "cb", "who never had a turn, then who had one before")
    all_ended(a)
    carol.close()


@users_case("those who submit one after another do not keep out one who waits with many")
def _():
    configure(running=1)
    carol = connect(CAROL)
    first = submit(alice, "sleep", "1000")["id"]
    a = [submit(alice, "true")["id"] for _ in range(6)]
    now = {bob: submit(bob, "sleep", "1000")["id"], carol: submit(carol, "sleep", "1000")["id"]}
    ids = a + list(now.values())
    end(first)
    for _ in range(8):  # one of theirs always waits, while one runs
        who = wait_until(lambda: next((v for v, i in now.items() if job(i)["state"] == "running"), None), "a turn of theirs")
        before, now[who] = now[who], submit(who, "sleep", "1000")["id"]
        ids.append(now[who])
        end(before)
    order, _ = started(ids)
    is_(sorted(order[:3]), ["a", "b", "c"])
    is_(order[:9], order[:3] * 3)
    end(*now.values())
    all_ended(a)
    carol.close()


@users_case("a free slot goes to whoever has the fewest running, also if they had the last turn")
def _():
    configure(running=4)
    blocks = [submit(alice, "sleep", "1000")["id"] for _ in range(3)]
    last = submit(bob, "sleep", "1000")["id"]
    a = [submit(alice, "sleep", "1000")["id"] for _ in range(3)]
    b = [submit(bob, "sleep", "1000")["id"] for _ in range(3)]
    for n, i in enumerate(blocks, 1):
        end(i)
        wait_until(lambda n=n: len(started(a + b)[1]) == n, "the next one")
    is_(started(a + b)[0], "baa")
    end(last, *a, *b)


@users_case("a priority orders one's own jobs alone; between classes it is the configuration's that counts")
def _():
    configure(running=1)
    first = submit(alice, "sleep", "1000")["id"]
    a = [submit(alice, "true", priority=p)["id"] for p in (5, 1000000, 7)]
    b = [submit(bob, "true")["id"] for _ in range(2)]
    slow = submit(alice, "true", **{"class": "slow"})["id"]
    urgent = [submit(bob, "true", **{"class": "urgent"})["id"] for _ in range(2)]
    end(first)
    all_ended([*a, *b, slow, *urgent])
    order, ids = started([*a, *b, slow, *urgent])
    is_(ids[:2], urgent, "the class of the larger priority first")
    is_(order[2:7], "ababa", "then turns")
    is_([i for i in ids if i in a], [a[1], a[2], a[0]])
    is_(ids[-1], slow)


@users_case("limits of one user are that user's alone, and told in the log")
def _():
    configure(running_per_user=2, queued_per_user=3)
    a = [submit(alice, "sleep", "1000")["id"] for _ in range(5)]
    wait_until(lambda: [job(i)["state"] for i in a] == ["running"] * 2 + ["queued"] * 3, "two of them to run")
    is_(refused(alice.call, "QueueFull", "Submit", argv=["true"]), {"limit": 3})
    d.wait_log(rf"audit action=refused uid={ALICE} pid=\d+ method=io.ctxd.Submit error=QueueFull reason=\"limit 3\"")
    is_(wait_end(submit(bob, "true")["id"])["state"], "succeeded")
    end(*a)


# ---- output that is kept

def kept():
    return dict(d.sql("SELECT uid, output FROM user_kept"))


def truly_kept():
    """The same, by what lies there."""
    sums = {}
    for path, _, names in os.walk(os.path.join(d.state, "output")):
        for name in names:
            with contextlib.suppress(VarlinkError, FileNotFoundError):  # it goes after its record
                j = job(int(name.split(".")[0]))
                if j["ended_at"]:
                    sums[j["uid"]] = sums.get(j["uid"], 0) + os.stat(os.path.join(path, name)).st_size
    return {k: v for k, v in sums.items() if v}


def has_output(id):
    return os.path.exists(os.path.join(d.state, "output", "0", f"{id}.1.log"))


@users_case("of a user who holds too much output the oldest goes; records stay, others keep theirs")
def _():
    configure(output_per_user="1M")
    big = ["head", "-c", "400000", "/dev/zero"]
    theirs, mine = [], []
    for _ in range(2):  # one after the other: the first to end is the first to go
        theirs.append(submit(bob, *big)["id"])
        wait_end(theirs[-1])
    for _ in range(5):
        mine.append(submit(alice, *big)["id"])
        wait_end(mine[-1])
    wait_until(lambda: kept()[ALICE] <= 1 << 20, "the oldest to go")
    wait_until(lambda: [has_output(i) for i in mine] == [False] * 3 + [True] * 2, "their files to go")
    is_([has_output(i) for i in theirs], [True] * 2)
    is_(output(alice, mine[0]), b"")
    is_(len(output(alice, mine[-1])), 400000)
    is_([job(i)["state"] for i in mine], ["succeeded"] * 5)
    # Of a job that is started anew both attempts count.
    again = submit(bob, "sh", "-c", "head -c 300000 /dev/zero; exit 1")["id"]
    wait_end(again)
    bob.call("Retry", id=again)
    wait_end(again)
    wait_until(lambda: not has_output(theirs[0]), "room for it to be made")
    ok(has_output(again))
    wait_until(lambda: kept() == truly_kept(), "the sums to be those of the files")
    bob.call("Prune", ids=[again])
    wait_until(lambda: kept() == truly_kept(), "and after pruning")
    is_(kept()[BOB], 400000)
    d.stop()
    d.start()
    reconnect()
    # A smaller limit acts on what there is; none leaves everything.
    configure(output_per_user="1100000")
    more = [submit(alice, *big)["id"] for _ in range(3)]
    all_ended(more)
    wait_until(lambda: kept()[ALICE] <= 1100000, "room for the newest")
    configure()
    all_ended([submit(alice, *big)["id"] for _ in range(3)])
    ok(kept()[ALICE] > 1100000)
    wait_until(lambda: kept() == truly_kept(), "the sums at the end")


# ---- for others

@users_case("an administrator submits for another: it is that user's job, and nothing of the administrator's goes with it")
def _():
    for name in (NOBODY.pw_name, str(NOBODY.pw_uid)):
        j = submit(admin, "sh", "-c", "id -u; id -g; id -G; umask; pwd; env", user=name)
        is_((j["uid"], j["gid"], j["user"], j["submitted_by"]), (NOBODY.pw_uid, NOBODY.pw_gid, NOBODY.pw_name, ADMIN.pw_uid))
        out = output(admin, j["id"]).decode().splitlines()
        groups = os.getgrouplist(NOBODY.pw_name, NOBODY.pw_gid)
        is_(out[:2], [str(NOBODY.pw_uid), str(NOBODY.pw_gid)])
        is_(sorted(map(int, out[2].split())), sorted(groups))
        is_(out[3:5], ["0022", "/"])
        env = dict(line.split("=", 1) for line in out[5:])
        is_((env["HOME"], env["USER"], env["LOGNAME"], env["SHELL"]),
            (NOBODY.pw_dir, NOBODY.pw_name, NOBODY.pw_name, NOBODY.pw_shell))
        ours = ("HOME", "USER", "LOGNAME", "SHELL", "PATH", "PWD", "OLDPWD", "_", "SHLVL", "TRACEPARENT", "NOTIFY_SOCKET", "CTXD_SOCKET")
        is_([k for k in env if k not in ours and not k.startswith("CTX_")], [])
        is_(d.sql(f"SELECT by_uid FROM job_history WHERE job = {j['id']} AND from_state IS NULL"), [(ADMIN.pw_uid,)])
        d.wait_log(rf"audit action=submit job={j['id']} attempt=1 uid={NOBODY.pw_uid} by_uid={ADMIN.pw_uid} by_pid=\d+")
    many = [p for p in pwd.getpwall() if len(os.getgrouplist(p.pw_name, p.pw_gid)) > 1 and p.pw_uid]
    for p in many[:1]:
        j = submit(root, "id", "-G", user=p.pw_name)
        is_(sorted(map(int, output(root, j["id"]).split())), sorted(set(os.getgrouplist(p.pw_name, p.pw_gid))))
    # It is theirs: they see and stop it; so do administrators; nobody else does.
    with connect(NOBODY.pw_uid, NOBODY.pw_gid) as nobody:
        j = submit(admin, "sleep", "1000", user="nobody")
        is_(nobody.call("Get", id=j["id"])["job"]["submitted_by"], ADMIN.pw_uid)
        refused(alice.call, "NotPermitted", "Cancel", id=j["id"])
        is_(nobody.call("Cancel", id=j["id"])["job"]["state"], "stopping")
        unlike(d.log_text(), rf"action=(cancel|kill) job={j['id']}")
        # Keys, parents and limits are the user's, not the administrator's.
        k = submit(admin, "sleep", "1000", user="nobody", key="k")["id"]
        is_(submit(nobody, "sleep", "1000", key="k")["id"], k)
        is_(submit(admin, "sleep", "1000", user="nobody", key="k")["id"], k)
        ok(submit(admin, "true", key="k")["id"] != k)
        mine = submit(admin, "sleep", "1000")["id"]
        refused_for(admin, "NotPermitted", user="nobody", parent=mine)
        ok(submit(admin, "true", user="nobody", parent=k)["id"])
        configure(running_per_user=1, queued_per_user=1)
        submit(admin, "sleep", "1000", user="nobody")
        is_(refused_for(admin, "QueueFull", user="nobody"), {"limit": 1})
        configure()
        end(mine, *[j["id"] for j in nobody.call("List", states=["queued", "running"])["jobs"]])


@users_case("for others: not for anybody, not root's, not the daemon's own, and nobody whom there is not")
def _():
    for v in (alice, bob):
        for user in ("nobody", "root", "0", "no such user at all", str(ALICE if v is bob else BOB)):
            e = refused_for(v, "NotPermitted", user=user)
            like(e["reason"], "administrators")
    d.wait_log(rf"audit action=refused uid={ALICE} pid=\d+ method=io.ctxd.Submit error=NotPermitted reason=\"submitting for other")
    is_(submit(alice, "true", user=str(ALICE))["submitted_by"], ALICE)
    for user in ("root", "0", OWN.pw_name, str(OWN.pw_uid)):
        like(refused_for(admin, "NotPermitted", user=user)["reason"], "by root alone")
    like(refused_for(root, "NotPermitted", user="root")["reason"], "--allow-root")
    is_(wait_end(submit(root, "true", user=OWN.pw_name)["id"])["state"], "succeeded")
    for v in (admin, root):
        for user in ("no-such-user-here", "4000000000", "-1", "4294967295"):
            is_(refused_for(v, "InvalidArgument", user=user)["field"], "user")
        for user in ("", "x" * 257, "a\nb"):
            is_(refused_for(v, "InvalidArgument", user=user)["field"], "user")


@users_case("what an administrator does to others' jobs is in the log, what one does to one's own is not")
def _():
    ids = {}
    for what in ("Extend", "Signal", "Progress", "Cancel"):
        i = ids[what] = submit(alice, "sleep", "1000")["id"]
        pid_of(i)
    admin.call("Extend", id=ids["Extend"], by_usec=S)
    admin.call("Signal", id=ids["Signal"], signal="CONT")
    admin.call("Progress", id=ids["Progress"], text="x")
    admin.call("Cancel", id=ids["Cancel"])
    wait_end(ids["Cancel"])
    admin.call("Retry", id=ids["Cancel"])
    for what, action in (("Extend", "extend"), ("Signal", "signal"), ("Progress", "progress"), ("Cancel", "cancel"), ("Cancel", "retry")):
        d.wait_log(rf"audit action={action} job={ids[what]} attempt=\d+ uid={ALICE} by_uid={ADMIN.pw_uid} by_pid=\d+")
    for i in ids.values():
        alice.call("Extend", id=i, by_usec=S)
        alice.call("Cancel", id=i)
        wait_end(i)
    admin.call("Prune", ids=[ids["Signal"]])
    d.wait_log(rf"audit action=prune job={ids['Signal']} ")
    admin.call("Cancel", id=ids["Extend"])
    admin.call("Prune", older_usec=1)
    d.wait_log(rf"audit action=prune jobs=\d+ of=everybody by_uid={ADMIN.pw_uid}")
    unlike(d.log_text(), rf"audit action=\w+ job=\d+ attempt=\d+ uid=(\d+) by_uid=\1 ")
    unlike(d.log_text(), rf"audit action=cancel job={ids['Extend']} .*by_uid={ADMIN.pw_uid}")


# ---- what one user may try

def as_bob(*argv):
    return run(list(argv), uid=BOB, gid=BOB)


def denied(uid, fn, *args):
    """FN(*ARGS), done by UID, fails for want of permission. In a child: credentials of threads are no toys."""
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)
            fn(*args)
            code = 0
        except OSError as e:
            code = e.errno
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return ok(code in (errno.EACCES, errno.EPERM), f"{fn.__name__}{args}: exit {code} ({os.strerror(code) if code > 0 else ''})")


def unix_connect(path, kind):
    s = socket.socket(socket.AF_UNIX, kind)
    s.connect(path)


def ptrace(pid):
    if LIBC.ptrace(0x4206, pid, 0, 0) < 0:  # PTRACE_SEIZE: stops nobody
        raise OSError(ctypes.get_errno(), "ptrace")


def victim(**kw):
    """A job of Alice's with a secret in its environment and in its output."""
    i = submit(alice, "sh", "-c", "echo said-in-secret; exec sleep 1000", env={"TOKEN": "known-to-alice"}, name="alice-only", **kw)["id"]
    pid_of(i)
    wait_until(lambda: alice.call("Get", id=i)["job"]["output"]["bytes"], "its output")
    return i


@users_case("another's output, database, run directory, environment and sockets are out of reach")
def _():
    i = victim()
    pid = pid_of(i)
    rundir = os.path.join(d.run, "jobs", f"{i}.1")
    with others_go_on():
        for path in (d.state, os.path.join(d.state, "output"), os.path.join(d.run, "jobs"), rundir):
            denied(BOB, os.listdir, path)
            denied(BOB, os.open, os.path.join(path, "new"), os.O_CREAT | os.O_WRONLY)
        for path in (d.db, d.db + "-wal", os.path.join(d.state, "output", "0", f"{i}.1.log")):
            denied(BOB, os.open, path, os.O_RDONLY)
            denied(BOB, os.stat, path)
        names = os.listdir(rundir)
        need("ctl" in names and "notify" in names, f"{names}")
        for name in names:
            path = os.path.join(rundir, name)
            for flags in (os.O_RDONLY, os.O_WRONLY):
                if name not in ("ctl", "notify"):
                    denied(BOB, os.open, path, flags)
            denied(BOB, os.unlink, path)
            denied(BOB, os.rename, path, path + "x")
            denied(BOB, os.link, path, os.path.join(DIR, "link"))
        denied(BOB, unix_connect, os.path.join(rundir, "ctl"), socket.SOCK_SEQPACKET)
        denied(BOB, unix_connect, os.path.join(rundir, "notify"), socket.SOCK_DGRAM)
        denied(ALICE, unix_connect, os.path.join(rundir, "ctl"), socket.SOCK_SEQPACKET)
        for uid in (ALICE, BOB):
            denied(uid, unix_connect, os.path.join(d.run, "spawner.sock"), socket.SOCK_SEQPACKET)
            denied(uid, os.unlink, d.sock)
            denied(uid, os.mkdir, os.path.join(d.run, "jobs", "9999.1"))
        for name in ("environ", "mem", "maps", "cwd", "root", "fd/0"):
            denied(BOB, os.open, f"/proc/{pid}/{name}", os.O_RDONLY)
        denied(BOB, os.listdir, f"/proc/{pid}/fd")
        # Nor does ctxd tell: not them, and the environment nobody.
        said = str([list(bob.call_more("List", last=True)), list(bob.call_more("ListSummaries", last=True)),
                    list(bob.call_more("Events")), bob.call("Stats"), bob.call("Config")])
        unlike(said, "known-to-alice|said-in-secret|alice-only")
        unlike(str([job(i), list(root.call_more("Events", id=i))]), "known-to-alice")
        unlike(d.log_text(), "known-to-alice|said-in-secret")
    # A job of theirs can no more than they can.
    tries = f"cat {d.db} {rundir}/* /proc/{pid}/environ {d.state}/output/0/{i}.1.log; ls {d.state} {rundir}; kill -9 {pid}"
    mine = submit(bob, "sh", "-c", tries)
    unlike(output(bob, mine["id"]).decode(errors="replace"), "known-to-alice|said-in-secret|SQLite")
    is_(job(i)["state"], "running")
    end(i)


@users_case("monitors, spawner and ctxd cannot be signalled, stopped or traced, not even by the job's own user")
def _():
    i = victim()
    monitor = d.monitor_pid(i)
    with others_go_on():
        for pid in (monitor, d.spawner.pid, d.proc.pid):
            for uid in (ALICE, BOB):
                for sig in (signal.SIGTERM, signal.SIGKILL, signal.SIGSTOP):  # CONT is free within a session
                    denied(uid, os.kill, pid, sig)
                denied(uid, ptrace, pid)
                denied(uid, os.open, f"/proc/{pid}/mem", os.O_RDWR)
                denied(uid, os.open, f"/proc/{pid}/environ", os.O_RDONLY)
        denied(BOB, os.kill, pid_of(i), signal.SIGKILL)
        denied(BOB, ptrace, pid_of(i))
    mine = submit(bob, "sh", "-c", f"kill -9 {monitor} {d.spawner.pid} {d.proc.pid} $PPID; kill -STOP $PPID; echo said")["id"]
    like(output(bob, mine).decode(), "said")
    is_(job(mine)["state"], "succeeded")
    is_(job(i)["state"], "running")
    end(i)


@users_case("the working directory is entered with the job's rights, whatever became of it meanwhile")
def _():
    configure(running=1)
    secret = os.path.join(d.dir, "secret")
    os.mkdir(secret, 0o700)
    with open(os.path.join(secret, "file"), "w", encoding="ascii") as f:
        f.write("of root alone")
    place = os.path.join(DIR, "cwd")
    want = {"link to root's": ("failed", 126), "link to another's": ("failed", 126), "gone": ("failed", 126), "a file": ("failed", 126),
            "link around": ("failed", 126), "link to a public one": ("succeeded", 0)}
    theirs = os.path.join(DIR, "alices")
    os.mkdir(theirs, 0o700)
    os.chown(theirs, ALICE, ALICE)
    for what, (state, code) in want.items():
        as_bob("mkdir", place)
        first = submit(alice, "sleep", "1000")["id"]
        i = submit(bob, "sh", "-c", "pwd -P; ls; cat file; : >made", cwd=place)["id"]
        is_(job(i)["state"], "queued")
        as_bob("rmdir", place)
        if what == "link around":
            as_bob("ln", "-s", place, place)
        elif what == "a file":
            as_bob("touch", place)
        elif what != "gone":
            as_bob("ln", "-s", {"link to root's": secret, "link to another's": theirs, "link to a public one": DIR}[what], place)
        end(first)
        j = wait_end(i)
        is_((j["state"], j["exit_code"]), (state, code), what)
        if state == "failed":
            like(j["cause"], "cannot change to the directory", what)
        else:
            like(output(bob, i).decode(), f"^{DIR}$", what)
            is_(os.stat(os.path.join(DIR, "made")).st_uid, BOB)
        run(["rm", "-rf", place])
    is_(os.listdir(secret), ["file"])
    is_(os.listdir(theirs), [])
    for cwd in ("relative", "", "/" + "x" * 4096):
        refused(bob.call, "InvalidArgument", "Submit", argv=["true"], cwd=cwd)


@users_case("output files: no link, no other path to them leads anywhere else")
def _():
    i = victim()
    path = os.path.join(d.state, "output", "0", f"{i}.1.log")
    st = os.stat(path)
    is_((st.st_uid, st.st_gid, st.st_mode & 0o777), (ALICE, OWN.pw_uid, 0o640))
    for name in (f"{i + 1}.1.log", f"{i + 2}.1.log"):
        denied(BOB, os.symlink, "/etc/passwd", os.path.join(d.state, "output", "0", name))
    denied(BOB, os.link, path, os.path.join(DIR, "hard"))
    denied(BOB, os.truncate, path, 0)
    # Through their own job's descriptor they come to their own file, and to nothing beside it.
    mine = submit(bob, "sh", "-c", f"ls -l /proc/self/fd/1/../ 2>&1; cat /proc/self/fd/1/../{i}.1.log; echo over")["id"]
    text = output(bob, mine).decode()
    like(text, "^over$")
    unlike(text, "said-in-secret")
    # A file that lies where the next job's is to be (an operator's slip) is no way in: it is not followed.
    nxt = submit(bob, "true")["id"] + 1
    target = os.path.join(d.dir, "target")
    with open(target, "w", encoding="ascii") as f:
        f.write("untouched")
    os.symlink(target, os.path.join(d.state, "output", "0", f"{nxt}.1.log"))
    j = submit(bob, "echo", "over it")
    is_(j["id"], nxt)
    wait_until(lambda: job(nxt)["state"] not in ("running",), "what becomes of it")
    with open(target, encoding="ascii") as f:
        is_(f.read(), "untouched")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(d.state, "output", "0", f"{nxt}.1.log"))
    end(i, nxt)


@users_case("keys, parents and everything that names a job: another's is refused and logged")
def _():
    i = victim(key="alices-key", values={"secret": "known-to-alice"})
    scope = alice.call("Scope")["job"]["id"]
    over = submit(alice, "false")["id"]
    wait_end(over)
    tries = [("Get", {"id": i}), ("Cancel", {"id": i}), ("Cancel", {"id": i, "now": True}), ("Wait", {"ids": [i]}),
             ("Logs", {"id": i}), ("Extend", {"id": i, "by_usec": S}), ("Retry", {"id": over}), ("Resolve", {"id": over, "as": "failed"}),
             ("Prune", {"ids": [over]}), ("Signal", {"id": i, "signal": "KILL"}), ("Signal", {"id": i, "signal": "KILL", "tree": True}),
             ("Progress", {"id": i, "text": "x"}), ("Close", {"id": scope}), ("Events", {"id": i}), ("Scope", {"parent": scope}),
             ("Submit", {"argv": ["true"], "parent": i}), ("Submit", {"argv": ["true"], "parent": scope, "inherit": ["cancel"]})]
    with others_go_on(), connect(CAROL) as carol:
        for method, params in tries:
            e = refused(carol.call, "NotPermitted", method, **params)
            unlike(str(e), "known-to-alice|alice-only|alices-key")
            what = params.get("id") or params.get("parent") or [*params.get("ids", []), 0][0]
            d.wait_log(rf"audit action=refused uid={CAROL} pid={os.getpid()} method=io.ctxd.{method} error=NotPermitted job={what} ")
        for params in ({"key": "alices-key"}, {"parent": scope}, {"values": {"secret": "known-to-alice"}}, {"uid": ALICE},
                       {"trace": job(i)["traceparent"].split("-")[1]}):
            is_(bob.call("List", **params)["jobs"], [], str(params))
        mine = submit(bob, "sleep", "1000", key="alices-key")
        ok(mine["id"] != i and mine["uid"] == BOB, "a key is its user's own name")
        with connect(ALICE) as held:
            spool = held.call("Spool", data=base64.b64encode(b"known-to-alice").decode())["spool"]
            for n in {spool, 1, 2, 3, 0, -1}:
                is_(refused(bob.call, "InvalidArgument", "Submit", argv=["cat"], stdin=n)["field"], "stdin")
                is_(refused(bob.call, "InvalidArgument", "Spool", data="", spool=n)["field"], "spool")
        is_(job(i)["state"], "running")
        is_(job(i)["progress"], None)
    end(i, scope, mine["id"])


def run_bg(uid, argv):
    return subprocess.Popen(argv, user=uid, group=uid, extra_groups=[], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)


@users_case("a lock on the run directory, which everybody may open, keeps no ctxd from starting")
def _():
    holder = run_bg(BOB, [sys.executable, "-c", f"""
import fcntl, os, signal
fcntl.flock(os.open({d.run!r}, os.O_RDONLY), fcntl.LOCK_EX)  # as soon as this ctxd ends
print("held", flush=True)
signal.pause()"""])
    try:
        d.stop()
        is_(holder.stdout.readline(), b"held\n")
        d.start()
        reconnect()
        like(d.log_text(), rf"the run directory {d.run} is locked by process {holder.pid}, which is no ctxd")
        is_(wait_end(submit(alice, "true")["id"])["state"], "succeeded")
    finally:
        holder.kill()
        holder.communicate()
    d.stop()
    d.start()


@users_case("who makes a noise: what is left out of the log is counted, and hides nobody else")
def _():
    i = victim()
    with connect(61004) as noisy, connect(61005) as quiet, others_go_on():
        got = noisy.pipeline([("Cancel", {"id": i})] * 500)
        is_({str(g.short) for g in got}, {"NotPermitted"})
        refused(quiet.call, "NotPermitted", "Logs", id=i)
        d.wait_log(r"audit action=refused uid=61005 .*method=io.ctxd.Logs")

        def lines():
            return len(re.findall(r"action=refused uid=61004 pid=", d.log_text()))

        wait_until(lambda: lines() + sum(map(int, re.findall(r"action=refused uid=61004 left_out=(\d+)$", d.log_text(), re.M))) == 500,
                   "all to be counted")
        ok(lines() < 250, f"{lines()} lines")
    end(i)


@users_case("descriptors: connections are limited, and those sent to ctxd are closed")
def _():
    def fds():
        return len(os.listdir(f"/proc/{d.proc.pid}/fd"))

    before = fds()
    with others_go_on():
        held = [connect(61006) for _ in range(200)]
        d.wait_log(r"audit action=refused uid=61006 pid=\d+ method=connection error=NotReady reason=\"too many connections of uid 61006")
        wait_until(lambda: fds() < before + 60, "no more than the limit")
        for v in held:
            v.close()
        wait_until(lambda: fds() <= before, "them to be closed")
        with open("/dev/null", "rb") as null, connect(BOB) as v:
            many = array.array("i", [null.fileno()] * 200)
            message = b'{"method":"io.ctxd.Stats"}\0'
            for _ in range(40):
                v.sock.sendmsg([message], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, many)])
                ok("pid" in v.receive()[0])
                v.sock.sendmsg([message[:9]], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, many)])
                v.sock.sendall(message[9:])
                ok("pid" in v.receive()[0])
            wait_until(lambda: fds() <= before + 1, f"no more descriptors than {before}, and that of this connection")
    is_(wait_end(submit(bob, "true")["id"])["state"], "succeeded")


@users_case("standard input that no job takes fills nothing: so much for a user, and gone with the connection")
def _():
    def used():
        total = 0
        for n in os.listdir(f"/proc/{d.proc.pid}/fd"):
            with contextlib.suppress(FileNotFoundError):
                path, st = os.readlink(f"/proc/{d.proc.pid}/fd/{n}"), os.stat(f"/proc/{d.proc.pid}/fd/{n}")
                if path.startswith(os.path.join(d.state, "stdin") + "/") and stat.S_ISREG(st.st_mode):
                    total += st.st_blocks * 512
        return total

    piece = base64.b64encode(b"\1" * 500000).decode()
    with others_go_on():
        held, full = [connect(61007) for _ in range(30)], 0
        for v in held:
            for _ in range(4):
                try:
                    n = v.call("Spool", data=piece)["spool"]
                    v.call("Spool", data=piece, spool=n)
                    is_(refused(v.call, "InvalidArgument", "Spool", data=piece, spool=n)["field"], "data")
                except VarlinkError as e:
                    is_(e.short, "NotReady")
                    full += 1
        ok(full > 50, f"{full} times")
        ok(used() <= 9 << 20, f"{used()} bytes")
        d.wait_log(r"audit action=refused uid=61007 pid=\d+ method=io.ctxd.Spool error=NotReady reason=\"uid 61007 has too much spooled")
        with connect(ALICE) as v:
            n = v.call("Spool", data=piece)["spool"]
            is_(len(output(alice, submit(v, "cat", stdin=n)["id"])), 500000)
        for v in held:
            v.close()
    wait_until(lambda: used() == 0, "it to be given back")


@users_case("nor does what jobs have taken: so much for a user, until they have succeeded")
def _():
    configure(running=1, stdin_per_user="1M")
    piece = base64.b64encode(b"\1" * 400000).decode()

    def brings(v, *argv):
        return submit(v, *argv, stdin=v.call("Spool", data=piece)["spool"])["id"]

    def sums():
        return {uid: n for uid, n in d.sql("SELECT uid, input FROM user_kept") if n}

    first = submit(alice, "sleep", "1000")["id"]
    with connect(61008) as v, connect(61009) as other:
        ids = [brings(v, "cat"), brings(v, "sh", "-c", "cat; exit 3")]
        like(refused(v.call, "NotReady", "Submit", argv=["cat"], stdin=v.call("Spool", data=piece)["spool"])["reason"], "stdin_per_user")
        d.wait_log(r"audit action=refused uid=61008 pid=\d+ method=io.ctxd.Submit error=NotReady reason=\"too much standard input")
        theirs = brings(other, "cat")
        is_(sums(), {61008: 800000, 61009: 400000})
        end(first)
        all_ended([*ids, theirs])
        wait_until(lambda: sums() == {61008: 400000}, "what succeeded to be counted no more")
        is_(wait_end(brings(v, "cat"))["state"], "succeeded")
        v.call("Prune", ids=[ids[1]])
        wait_until(lambda: sums() == {}, "nothing to be counted")


main()
