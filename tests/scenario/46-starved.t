#!/usr/bin/python3
"""P9, what is about processes, cgroups, descriptors and the kernel's other quotas: new work waits or runs with less, and that is
said; what runs goes on; ends are kept; when there is enough again, all is as before."""
# test-timeout: 300
import base64
import contextlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from apitest import *  # noqa: E402,F403
from failing import failing  # noqa: E402
from sysdaemon import ALICE, SystemDaemon, identity  # noqa: E402

# Of no other test, nor of this one where it runs at the same time: their processes are counted.
OWN_UID, CROWDED, OTHER = (61100 + os.getpid() % 1000 * 3 + n for n in range(3))


@contextlib.contextmanager
def limited(pid, what, most):
    was = resource.prlimit(pid, what)
    resource.prlimit(pid, what, (most, was[1]))
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(pid, what, was)


@contextlib.contextmanager
def few_processes(pid, uid, most):
    """As limited(), of a process of UID: root may not do that everywhere."""
    def limit(n):
        need(run(["prlimit", f"--pid={pid}", f"--nproc={n}:"], uid=uid).code == 0, "a limit to be set")

    was = run(["prlimit", f"--pid={pid}", "--nproc", "--raw", "--noheadings", "--output=SOFT"], uid=uid).out.strip()
    limit(most)
    try:
        yield
    finally:
        limit(was)


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


class Runs:
    """A job that runs until it is let go, and ends with 9 then."""

    def __init__(self, d, v=None, **params):
        self.d, self.path = d, os.path.join(tempfile.mkdtemp(dir=d.dir), "gate")
        os.chmod(os.path.dirname(self.path), 0o755)
        os.mkfifo(self.path)
        os.chmod(self.path, 0o644)
        argv = ["sh", "-c", f"read x <{self.path}; exit 9"]
        self.v = v or Varlink(d.sock)
        self.id = self.v.call("Submit", argv=argv, **params)["job"]["id"]
        self.pid = wait_until(lambda: self.v.call("Get", id=self.id)["job"]["pid"], "it to run")

    def end(self):
        with open(self.path, "w", encoding="ascii") as f:
            f.write("go\n")
        wait_until(lambda: exited(self.pid), "it to end")

    def check(self):
        j = end_of(self.v, self.id)
        is_((j["state"], j["exit_code"]), ("failed", 9))


def end_of(v, id):
    return v.call("Wait", ids=[id])["jobs"][0]


def waits(v, id):
    """A job that could not be started is not lost, and has not failed."""
    j = v.call("Get", id=id)["job"]
    need(j["state"] in ("queued", "running"), f"held, and not {j['state']} ({j['cause']})")


def content(d):
    said = []
    wait_until(lambda: said.append(d.ctl("doctor")) or said[-1].code == 0, "doctor to be content")


@case_if(os.geteuid() == 0, "the user may have no more processes: the fork of a monitor, then that of a job; both jobs wait")
def _():
    d = ApiDaemon(uid=OWN_UID)
    g = Runs(d, d)
    spawner = d.spawner_pid()
    with few_processes(spawner, OWN_UID, 1):
        held = d.call("Submit", argv=["true"])["job"]["id"]
        d.wait_log(f"{held}.1: the spawner could not start it: Resource temporarily unavailable")
        waits(d, held)
        g.end()
        g.check()
    is_(end_of(d, held)["state"], "succeeded")
    # ctxd, the spawner, and one more: the monitor, which inherits the limit.
    wait_until(lambda: len(of_user(OWN_UID)) == 2, "the others to be gone")
    with few_processes(spawner, OWN_UID, 3):
        held = d.call("Submit", argv=["sh", "-c", "echo ran; exit 3"])["job"]["id"]
        d.wait_log(f"job={held} could not be started: cannot make a process: Resource temporarily unavailable; it waits")
        waits(d, held)
    j = end_of(d, held)
    is_((j["state"], j["exit_code"], j["attempt"]), ("failed", 3, 1))
    is_(d.output(held), b"ran\n", "it ran once")
    content(d)
    d.cleanup()


def of_user(uid):
    found = []
    for p in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            if p.isdigit() and os.stat(f"/proc/{p}").st_uid == uid and not exited(int(p)):
                found.append(int(p))
    return found


@case_if(os.geteuid() == 0, "one user may have no more processes: that user's job waits, the others' run")
def _():
    d = SystemDaemon()
    with identity(CROWDED):
        crowded = Varlink(d.sock)
    with identity(OTHER):
        other = Varlink(d.sock)
    wait_until(lambda: crowded.call("Stats")["spawner_up"], "the spawner")
    with limited(d.spawner.pid, resource.RLIMIT_NPROC, 1):
        # The limit is the spawner's, and counts for each user alone: who has more when a process becomes theirs may not execute.
        run_ids = [crowded.call("Submit", argv=["sleep", "1000"])["job"]["id"] for _ in range(2)]
        pids = [wait_until(lambda: crowded.call("Get", id=i)["job"]["pid"], "the first ones to run") for i in run_ids]
        held = crowded.call("Submit", argv=["true"])["job"]["id"]
        d.wait_log(f"job={held} could not be started: cannot execute true: Resource temporarily unavailable")
        waits(crowded, held)
        is_(end_of(other, other.call("Submit", argv=["true"])["job"]["id"])["state"], "succeeded")
    is_(end_of(crowded, held)["state"], "succeeded")
    ok(not any(exited(p) for p in pids), "what ran goes on")
    for i in run_ids:
        crowded.call("Cancel", id=i, now=True)
        end_of(crowded, i)
    crowded.close()
    other.close()
    d.cleanup()


@case("the spawner has no descriptor left: new jobs wait, running ones end, and all is taken up again")
def _():
    d = Daemon()
    with Varlink(d.sock) as v:
        spawner = d.spawner_pid()
        n = descriptors(spawner)  # before the first job, of which some may be open for a while
        g = Runs(d, v)
        # None of those that come with a job; some, but not all it needs to start one.
        for more in (0, 2, 6):
            with limited(spawner, resource.RLIMIT_NOFILE, n + more):
                held = v.call("Submit", argv=["true"])["job"]["id"]
                d.wait_log(f"{held}.1: the spawner could not start it: Too many open files")
                waits(v, held)
                if more == 2:
                    g.end()
                    g.check()
            is_(end_of(v, held)["state"], "succeeded")
    content(d)
    d.cleanup()


def monitors_without_descriptors(d, connect):
    stubborn = ["sh", "-c", "trap '' TERM; (trap '' TERM; sleep 1000) & sleep 1000; wait"]
    with contextlib.ExitStack() as stack, connect() as v:
        wait_until(lambda: v.call("Stats")["spawner_up"], "the spawner")
        stops = [v.call("Submit", argv=stubborn, grace_usec=100000)["job"]["id"] for _ in range(2)]
        ends = [Runs(d, v) for _ in range(2)]
        wait_until(lambda: all(len(d.job_pids(id)) == 3 for id in stops), "their processes")
        for id in (*stops, *(g.id for g in ends)):
            stack.enter_context(limited(d.monitor_pid(id), resource.RLIMIT_NOFILE, 1))
        # ctxd is told over the connections that there are.
        v.call("Cancel", id=stops[0])
        is_(end_of(v, stops[0])["state"], "canceled")
        is_(d.job_pids(stops[0]), [], "what is left of it")
        ends[0].end()
        ends[0].check()
        # There is no ctxd: what a monitor cannot say it writes.
        v.call("Cancel", id=stops[1])
        v.call("Get", id=stops[1])  # so the monitor has been told, too
        ends[1].end()
        d.kill9()
        d.start()
        with connect() as again:
            ends[1].v = again
            ends[1].check()
            is_(end_of(again, stops[1])["state"], "canceled")
            is_(d.job_pids(stops[1]), [], "what is left of it")
    content(d)
    d.cleanup()


WITHOUT = "a monitor has no descriptor left: ends are told all the same, a job is stopped in time with all that belongs to it, and both" \
          " are found by the next ctxd"


@case(WITHOUT)
def _():
    d = Daemon()
    monitors_without_descriptors(d, lambda: Varlink(d.sock))


def unlimited_inotify():
    """Can a user namespace be had, in which inotify is limited?"""
    r = subprocess.run(["unshare", "-Ur", "sh", "-c", "echo 0 >/proc/sys/user/max_inotify_instances"], stderr=subprocess.DEVNULL, check=False)
    return r.returncode == 0


@case_if(unlimited_inotify(), "no inotify instance, no inotify watch to be had: output is followed all the same")
def _():
    for what in ("instances", "watches"):
        d = Daemon(start=False)
        d.start(prefix=["unshare", "-Ur", "sh", "-c", f'echo 0 >/proc/sys/user/max_inotify_{what}; exec "$@"', "sh"])
        gate = os.path.join(d.dir, "gate")
        os.mkfifo(gate)
        script = f"echo one; read x <{gate}; echo two; exit 5"
        for start in (lambda: ["run", "sh", "-c", script], lambda: ["submit", "-f", "sh", "-c", script],
                      lambda: ["logs", "-f", d.submit("sh", "-c", script)]):
            argv = start()
            p = d.ctl_bg(*argv)
            is_(p.stdout.readline(), b"one\n", f"{what}: {argv[0]}")
            with open(gate, "w", encoding="ascii") as f:
                f.write("go\n")
            out, err = p.communicate(timeout=60)
            is_(out, b"two\n", f"{what}: {argv[0]}: {err}")
        d.cleanup()


PARENT = cgroup_parent("cgroup.max.descendants")


@case_if(PARENT, "no more cgroups can be made: jobs run without, which is said by the log, by Stats and by doctor; then with again")
def _():
    def most(text):
        with open(os.path.join(PARENT, "cgroup.max.descendants"), "w", encoding="ascii") as f:
            f.write(text)

    def has_cgroup(id):
        return f"/{id}.1" in open(f"/proc/{v.call('Get', id=id)['job']['pid']}/cgroup", encoding="ascii").read()

    d = SystemDaemon(spawner_args=["--cgroup", PARENT])
    with identity(ALICE):
        v = Varlink(d.sock)
    wait_until(lambda: v.call("Stats")["cgroup"], "a spawner with cgroups")
    g = Runs(d, v)
    ok(has_cgroup(g.id), "with one")
    is_(d.ctl("doctor").code, 0)
    most("0")
    without = [Runs(d, v), Runs(d, v)]
    for w in without:
        ok(not has_cgroup(w.id), "without one")
    d.wait_log("jobs run without")
    is_(d.log_text().count("jobs run without"), 1, "said once")
    is_(v.call("Stats")["cgroup"], False)
    r = d.ctl("doctor")
    is_(r.code, 1)
    like(r.out, "^cgroup: ")
    g.end()
    g.check()
    # A spawner that is started anew learns it by the next job.
    d.spawner.kill()
    d.spawner.wait()
    d.start_spawner()
    wait_until(lambda: v.call("Stats")["spawner_up"], "the spawner")
    one = v.call("Submit", argv=["true"])["job"]["id"]
    is_(end_of(v, one)["state"], "succeeded")
    is_(v.call("Stats")["cgroup"], False)
    most("max")
    g = Runs(d, v)
    ok(has_cgroup(g.id), "with one again")
    is_(v.call("Stats")["cgroup"], True)
    for w in (*without, g):
        w.end()
        w.check()
    content(d)
    v.close()
    d.cleanup()


@case_if(PARENT, WITHOUT + "; with cgroups")
def _():
    d = SystemDaemon(spawner_args=["--cgroup", PARENT])

    def connect():
        with identity(ALICE):
            return Varlink(d.sock)

    monitors_without_descriptors(d, connect)


@case("the directory of cgroups goes away")
def _():
    def removed():
        with contextlib.suppress(OSError):  # somebody is in it, or it is removed by whoever made it
            for path, _, _ in os.walk(PARENT, topdown=False):
                os.rmdir(path)
        return not os.path.exists(PARENT)

    if PARENT:
        wait_until(removed, "nobody to be in them")


@case_if(shutil.which("strace"), "the end of a job cannot be given its name in the run directory: it is told all the same, and kept")
def _():
    d = Daemon()
    with Varlink(d.sock) as v:
        g, h = Runs(d, v), Runs(d, v)
        # ctxd is told over the connection.
        with failing(d.monitor_pid(g.id), "renameat,renameat2,rename", "ENOSPC"):
            g.end()
            g.check()
    # There is no ctxd: the monitor keeps the answer until one comes and takes it.
    with failing(d.monitor_pid(h.id), "renameat,renameat2,rename", "ENOSPC"):
        d.kill9()
        h.end()
        d.start()
        with Varlink(d.sock) as v:
            h.v = v
            h.check()
    content(d)
    d.cleanup()


@case_if(shutil.which("strace"), "a disk that breaks while input is spooled: said at once, and again at the submission; the next one is taken")
def _():
    d = Daemon()
    data = base64.b64encode(bytes(700000)).decode()
    with Varlink(d.sock) as v:
        with failing(d.proc.pid, "sync_file_range", "EIO"):
            spool = v.call("Spool", data=data)["spool"]
            for _ in range(2):
                try:
                    v.call("Spool", data=data, spool=spool)
                    need(False, "a refusal was to come")
                except VarlinkError as e:
                    is_(e.short, "StorageUnavailable")
        try:
            v.call("Submit", argv=["true"], stdin=spool)
            need(False, "the bytes are lost")
        except VarlinkError as e:
            is_(e.short, "StorageUnavailable")
        spool = v.call("Spool", data=data)["spool"]
        v.call("Spool", data=data, spool=spool)
        id = v.call("Submit", argv=["wc", "-c"], stdin=spool)["job"]["id"]
        is_(end_of(v, id)["state"], "succeeded")
        is_(d.logs(id), "1400000\n")
    d.cleanup()


@case_if(shutil.which("strace"), "the database cannot be written: the service manager and doctor are told, and told when it can be, unasked;"
         " the log does not tell what is not committed")
def _():
    d = Daemon()
    with Varlink(d.sock) as v:
        failed = v.call("Submit", argv=["false"])["job"]["id"]
        end_of(v, failed)
        again = Runs(d, v, retries=1, backoff_usec=1000)

        def log_of(id):
            return [line for line in d.log_text().splitlines() if f"job={id} " in line and "ctx-spawner" not in line]

        def asked(method):
            """The reply; what is asked in the moment of a commit that fails is refused with it."""
            with contextlib.suppress(VarlinkError):
                return v.call(method)

        # A line may come a moment after the reply.
        wait_until(lambda: [len(log_of(failed)), len(log_of(again.id))] == [2, 1], "their edges to be told")
        with failing(d.proc.pid, "pwrite64,fdatasync,fsync", "EROFS"):
            for method, params in (("Submit", {"argv": ["true"]}), ("Retry", {"id": failed})):
                try:
                    v.call(method, **params)
                    need(False, f"{method} was to be refused")
                except VarlinkError as e:
                    is_(e.short, "StorageUnavailable")
            again.end()
            n = d.log_text().count("could not be written")
            wait_until(lambda: d.log_text().count("could not be written") > n, "its end to be tried")
            is_([len(log_of(failed)), len(log_of(again.id))], [2, 1], "nothing of this has happened")
            d.wait_note("STATUS=The database cannot be written")
            is_(wait_until(lambda: asked("Stats"), "an answer")["storage_ok"], False)
            wait_until(lambda: d.ctl("doctor").out.startswith("storage: "), "doctor to say so")
            n = len(d.notes())
        wait_until(lambda: any("STATUS=Serving" in note for note in d.notes()[n - 1:]), "that to be told")
        is_(v.call("Stats")["storage_ok"], True)
        wait_until(lambda: v.call("Get", id=again.id)["job"]["attempt"] == 2, "the next attempt")
        wait_until(lambda: any("queued again" in line for line in log_of(again.id)), "its edges")
        like("\n".join(log_of(again.id)), "running attempt=1.*\n.*failed attempt=1.*\n.*queued again attempt=2")
        v.call("Cancel", id=again.id, now=True)
        end_of(v, again.id)
    content(d)
    d.cleanup()


CC = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
JOBS = 300


@case_if(CC and "asan" not in BUILD, "one allocation of ctxd in so many fails: what was told is kept, nothing runs twice, nothing is mixed up")
def _():
    d = ApiDaemon(start=False)
    shim, rate, ran = (os.path.join(d.dir, n) for n in ("starve.so", "rate", "ran"))
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib", "starve.c")
    need(run([CC, "-shared", "-fPIC", "-O1", "-o", shim, source]).code == 0, "the shim to be compiled")

    def fail_one_in(n):
        with open(rate, "r+b" if os.path.exists(rate) else "wb") as f:
            f.write(n.to_bytes(4, sys.byteorder))

    def submit(v, n):
        return v.call("Submit", argv=["sh", "-c", 'echo "$1" >>"$2"', "sh", said(n), ran], key=f"k{n}", name=f"n{n}",
                      values={"number": str(n)})["job"]["id"]

    def said(n):
        return f"job number {n} and more text than fits into a few bytes"

    def revived():
        """Where nothing else is honest ctxd ends, by abort(), and is started again."""
        if d.proc.poll() is None:
            return 0
        fail_one_in(0)
        is_(d.wait_exit(), -signal.SIGABRT, "how ctxd ended")
        d.start()
        return 1

    fail_one_in(0)
    d.env = {"LD_PRELOAD": shim, "CTX_STARVE": rate}
    d.start()
    deaths = refused = lost = 0
    told = {}
    for n in range(JOBS):
        fail_one_in((20, 100, 400)[n % 3])
        try:
            with d.connect() as v:
                told[n] = submit(v, n)
                v.call("List", limit=10)
                v.call("Get", id=told[n])
                if n % 7 == 0:
                    v.call("Wait", ids=[told[n]], timeout_usec=1000)
        except VarlinkError as e:
            refused += 1
            need(e.short in ("StorageUnavailable", "NotReady"), f"{n}: {e}")
        except (VarlinkClosed, OSError):
            lost += 1
        deaths += revived()
    fail_one_in(0)
    for n in range(JOBS):  # who was not told asks again
        try:
            id = submit(d, n)
        except (VarlinkClosed, OSError):  # it died of the last failure only now
            deaths += revived()
            id = submit(d, n)
        is_(told.get(n, id), id, "the job of a key")
    d.wait_all_ended(120)
    diag(f"{refused} requests refused, {lost} connections lost, ctxd ended {deaths} times")
    ok(refused + lost > 10, "failures were met")
    is_({j["state"] for j in d.jobs()}, {"succeeded"})
    with open(ran, encoding="ascii") as f:
        is_(sorted(f.read().splitlines()), sorted(map(said, range(JOBS))), "each ran once, as it was submitted")
    d.cleanup()


main()
