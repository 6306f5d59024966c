#!/usr/bin/python3
"""What jobs say of themselves: progress, readiness, more time, a sign of life; and signals to them. With what survives of it."""
# test-timeout: 300
import os
import shutil
import signal
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from apitest import *  # noqa: E402,F403
from ctxtest import proc_stat  # noqa: E402

CONF = "[limits]\nrunning = {}\n[deadline]\ntimeout = 600s\nmax_timeout = 3600s\ngrace = 500ms\n"
d = ApiDaemon(conf=CONF.format(20))

# A job that does what it is told, a line each: `TIMES MESSAGE` sends the message so often (with @ for the number, and \n for
# the end of a line), `exit N` ends it.
TALKER = """
import os, socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.connect(os.environ["NOTIFY_SOCKET"])
for line in open(sys.argv[1], encoding="utf-8"):
    n, text = line.rstrip("\\n").split(" ", 1)
    if n == "exit":
        os._exit(int(text))
    for i in range(int(n)):
        s.send(text.replace("@", str(i)).replace("\\\\n", "\\n").encode())
    print("sent", text, flush=True)
"""


class Talker:
    """A running job that says what say() is given."""

    def __init__(self, e=None, **params):
        self.d = e or d
        path = os.path.join(self.d.dir, f"say{time.monotonic_ns()}")
        self.pipe = fifo(self.d, os.path.basename(path))
        self.id = self.d.submit(sys.executable, "-c", TALKER, path, **params)["id"]
        self.fd = wait_until(self._open, "the job to listen") - 1

    def _open(self):
        try:
            return os.open(self.pipe, os.O_WRONLY | os.O_NONBLOCK) + 1
        except OSError:
            return 0

    def say(self, text, times=1):
        os.write(self.fd, f"{times} {text}\n".encode())
        return self

    def exit(self, code=0):
        os.write(self.fd, f"exit {code}\n".encode())
        return self

    def job(self):
        return self.d.job(self.id)

    def shown(self, text):
        """The record once TEXT is its progress."""
        return wait_until(lambda: (lambda j: j if text_of(j) == text else None)(self.job()), f"{text!r} to be shown")

    def row(self, column):
        return self.d.sql(f"SELECT {column} FROM job WHERE id = {self.id}")[0][0]

    def saved(self, text):
        """Wait until the monitor has written TEXT down."""
        path = os.path.join(self.d.run, "jobs", f"{self.id}.1", "progress")
        wait_until(lambda: os.path.exists(path) and text.encode() in read_file(path), f"{text!r} in {path}")


def text_of(j):
    return j["progress"] and j["progress"]["text"]


def said(j):
    return j["progress"] and (j["progress"]["percent"], j["progress"]["text"])


def end(t):
    """Let it go, and its record."""
    t.exit()
    return d.wait_end(t.id)


def killed(pid):
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: exited(pid), "the monitor to be gone")


# Progress ----------------------------------------------------------------------------------------------------------------


@case("shown while it runs, percent and text, each as last said; and after the end")
def _():
    t = Talker()
    is_(t.job()["progress"], None)
    t.say("STATUS=unpacking")
    j = t.shown("unpacking")
    is_(said(j), (None, "unpacking"))
    like(j["progress"]["at"], r"\A\d{4}-.*Z\Z")
    t.say("X_CTX_PERCENT=12.5\\nSTATUS=half of a quarter")
    is_(said(t.shown("half of a quarter")), (12.5, "half of a quarter"))
    wait_until(lambda: t.row("progress_text") == "half of a quarter", "the row to follow")
    is_(t.row("progress_percent"), 12.5)
    t.say("X_CTX_PERCENT=101").say("X_CTX_PERCENT=99.25").say("STATUS=")
    is_(said(t.shown(None)), (99.25, None))
    t.say("X_CTX_PERCENT=100\\nSTATUS=last words")
    j = end(t)
    is_((j["state"], said(j), j["ready_at"]), ("succeeded", (100, "last words"), None))
    is_(said(d.job(t.id)), (100, "last words"))


@case("the very last word counts, however short before the end")
def _():
    for n in range(10):
        t = Talker()
        t.say(f"STATUS=first {n}").say(f"STATUS=last {n}")
        is_(text_of(end(t)), f"last {n}")


@case_if(shutil.which("systemd-notify"), "systemd-notify from a shell")
def _():
    j = d.submit(sh="systemd-notify --ready --status='all is well' X_CTX_PERCENT=7")
    j = d.wait_end(j["id"])
    is_((j["state"], said(j)), ("succeeded", (7, "all is well")))
    ok(j["ready_at"], "ready")


@case("READY=1 is written at once, once")
def _():
    t = Talker()
    t.say("READY=1")
    j = wait_until(lambda: (lambda j: j if j["ready_at"] else None)(t.job()), "it to be ready")
    wait_until(lambda: t.row("ready_at"), "the row")
    t.say("READY=1\\nSTATUS=again")
    is_(t.shown("again")["ready_at"], j["ready_at"])
    is_(end(t)["ready_at"], j["ready_at"])


@case("ten thousand notifications: few commits, and the last one is there")
def _():
    t = Talker()
    t.say("STATUS=begin").shown("begin")
    begun, before = time.monotonic(), commits(d)
    t.say("STATUS=step @", 10000)
    t.shown("step 9999")
    n, seconds = commits(d) - before, time.monotonic() - begun
    diag(f"{n} commits in {seconds:.1f} s")
    ok(n <= 2 * seconds + 5, f"{n} commits in {seconds:.1f} s")
    begun, before = time.monotonic(), commits(d)
    t.say(f"EXTEND_TIMEOUT_USEC={900 * S}", 2000).say("STATUS=extended").shown("extended")
    n, seconds = commits(d) - before, time.monotonic() - begun
    ok(n <= 2 * seconds + 5, f"extensions: {n} commits in {seconds:.1f} s")
    is_(end(t)["state"], "succeeded")


def commits(e):
    """Commits that are in the write-ahead log now."""
    wal = read_file(e.db + "-wal")
    page, = struct.unpack(">I", wal[8:12])
    salt, n = wal[16:24], 0
    for at in range(32, len(wal) - 23, 24 + page):
        _, size = struct.unpack(">II", wal[at:at + 8])
        if wal[at + 8:at + 16] != salt:
            break
        n += size != 0
    return n


@case("told over the socket: what is not given stays, and the two ways do not undo each other")
def _():
    t = Talker()
    is_(said(d.call("Progress", id=t.id, percent=10)["job"]), (10, None))
    is_(said(d.call("Progress", id=t.id, text="by socket")["job"]), (10, "by socket"))
    t.say("STATUS=by notify")
    is_(said(t.shown("by notify")), (10, "by notify"))
    is_(said(d.call("Progress", id=t.id, percent=20.5)["job"]), (20.5, "by notify"))
    t.say("X_CTX_PERCENT=30")
    wait_until(lambda: said(t.job()) == (30, "by notify"), "the percent")
    d.call("Progress", id=t.id, text="newer")
    t.say("X_CTX_PERCENT=31")
    wait_until(lambda: said(t.job()) == (31, "newer"), "the percent")
    is_(said(d.call("Progress", id=t.id, text="")["job"]), (31, None))
    for bad, field in (({}, "percent"), ({"percent": -1}, "percent"), ({"percent": 100.5}, "percent"), ({"text": "x" * 256}, "text")):
        is_(refused(d.call, "InvalidArgument", "Progress", id=t.id, **bad)["field"], field)
    is_(said(d.call("Progress", id=t.id, percent=100, text="x" * 255)["job"]), (100, "x" * 255))
    j = end(t)
    is_(said(j), (100, "x" * 255))
    is_(refused(d.call, "AlreadyEnded", "Progress", id=t.id, percent=1), {"id": t.id, "state": "succeeded"})
    refused(d.call, "NoSuchJob", "Progress", id=999999, percent=1)


@case_if(shutil.which("systemd-notify"), "a new attempt begins with none")
def _():
    params = {"key": "again", "sh": "systemd-notify --status=failing || exit 0; exit 3"}
    j = d.wait_end(d.submit(**params)["id"])
    is_((j["state"], text_of(j)), ("failed", "failing"))
    gate = fifo(d, "again")
    d.configure(CONF.format(1))
    d.call("Reload")
    blocker = d.submit("sleep", "1000")["id"]
    j = d.submit(if_exists="retry", **params)
    is_((j["state"], j["attempt"], j["progress"]), ("queued", 2, None))
    d.cancel(blocker)
    is_(text_of(d.wait_end(j["id"])), "failing")
    os.unlink(gate)
    d.configure(CONF.format(20))
    d.call("Reload")


# What survives -----------------------------------------------------------------------------------------------------------


@case("the monitor is killed: interrupted, with the last word")
def _():
    t = Talker()
    t.say("STATUS=one").shown("one")
    t.say("STATUS=two\\nX_CTX_PERCENT=66").say("STATUS=three").shown("three")
    killed(d.monitor_pid(t.id))
    j = d.wait_end(t.id)
    is_((j["state"], j["half_processed"], said(j)), ("interrupted", True, (66, "three")))


@case("ctxd is killed: what is said meanwhile is shown by the next one")
def _():
    t, u = Talker(), Talker()
    t.say("STATUS=before\\nX_CTX_PERCENT=1").shown("before")
    u.say("STATUS=silent\\nREADY=1").shown("silent")
    d.kill9()
    t.say("STATUS=meanwhile\\nX_CTX_PERCENT=2").saved("meanwhile")
    d.start()
    is_(said(t.shown("meanwhile")), (2, "meanwhile"))
    t.say("STATUS=after")
    is_(said(t.shown("after")), (2, "after"))
    u.shown("silent")
    is_((text_of(end(t)), text_of(end(u))), ("after", "silent"))


@case("ctxd is killed, then the job ends: its last word comes with its result")
def _():
    t = Talker()
    t.say("STATUS=before").shown("before")
    monitor = d.monitor_pid(t.id)
    d.kill9()
    t.say("STATUS=at the end\\nX_CTX_PERCENT=100").exit(4)
    wait_until(lambda: exited(monitor), "the monitor to end")
    d.start()
    j = d.wait_end(t.id)
    is_((j["state"], j["exit_code"], j["known_by"], said(j)), ("failed", 4, "result_file", (100, "at the end")))


@case("ctxd and the monitor are killed: the last word is what the monitor had written down")
def _():
    t = Talker()
    t.say("STATUS=before").shown("before")
    monitor = d.monitor_pid(t.id)
    d.kill9()
    t.say("STATUS=nobody heard this\\nX_CTX_PERCENT=77").saved("nobody heard this")
    killed(monitor)
    d.start()
    j = d.wait_end(t.id)
    is_((j["state"], said(j)), ("interrupted", (77, "nobody heard this")))


@case("progress that is damaged is no evidence: what was written before stays")
def _():
    t = Talker()
    t.say("STATUS=good")
    wait_until(lambda: t.row("progress_text") == "good", "the row")
    monitor = d.monitor_pid(t.id)
    d.kill9()
    t.say("STATUS=torn").saved("torn")
    killed(monitor)
    path = os.path.join(d.run, "jobs", f"{t.id}.1", "progress")
    data = read_file(path)
    write_file(path, data.replace(b"torn", b"TORN"))
    d.start()
    is_(text_of(d.wait_end(t.id)), "good")


# More time ---------------------------------------------------------------------------------------------------------------


def given(t):
    """Seconds from the start to the deadline, and the rule."""
    j = t.job()
    return seconds_between(j["started_at"], j["deadline_at"]), j["deadline_rule"]


def extended(t, least, rule="extended"):
    """Wait until the record says that the deadline is later than LEAST seconds after the start."""
    seconds = wait_until(lambda: (lambda g: g[0] if g[0] > least else 0)(given(t)), f"more than {least} seconds")
    is_(t.job()["deadline_rule"], rule)
    return seconds


@case("EXTEND_TIMEOUT_USEC: the record follows; only later, never past the maximum")
def _():
    t = Talker(timeout_usec=100 * S)
    t.say("EXTEND_TIMEOUT_USEC=1").say("EXTEND_TIMEOUT_USEC=nonsense").say("STATUS=no").shown("no")
    is_(given(t), (100, "requested"))
    t.say(f"EXTEND_TIMEOUT_USEC={1000 * S}")
    ok(extended(t, 900) < 1060)
    j = d.extend(t.id, by_usec=1000 * S)
    ok(seconds_between(j["started_at"], j["deadline_at"]) > 1900, "a request goes on from there")
    wait_until(lambda: t.row("deadline_rule") == 8, "the row")
    t.say(f"EXTEND_TIMEOUT_USEC={50000 * S}")
    ok(abs(extended(t, 2500) - 3600) < 0.01, f"the maximum: {given(t)}")
    last = t.job()["deadline_at"]
    j = end(t)
    is_((j["state"], j["deadline_rule"], j["deadline_at"]), ("succeeded", "extended", last), "kept")


@case("never past an inherited deadline")
def _():
    scope = d.call("Scope", timeout_usec=700 * S)["job"]
    t = Talker(timeout_usec=100 * S, parent=scope["id"], inherit=["deadline"])
    is_(given(t)[1], "requested")
    t.say(f"EXTEND_TIMEOUT_USEC={50000 * S}")
    extended(t, 150, "inherited")
    ok(abs(seconds_between(scope["deadline_at"], t.job()["deadline_at"])) < 0.5, "the scope's deadline")
    is_(end(t)["state"], "succeeded")
    d.call("Close", id=scope["id"])


@case("ctxd is down: the next one finds the deadline moved, of a job that runs and of one that has ended")
def _():
    t, u = Talker(timeout_usec=100 * S), Talker(timeout_usec=100 * S)
    monitor = d.monitor_pid(u.id)
    d.kill9()
    for x in (t, u):
        x.say(f"EXTEND_TIMEOUT_USEC={1000 * S}\\nSTATUS=longer").saved("longer")
    u.exit()
    wait_until(lambda: exited(monitor), "the monitor to end")
    d.start()
    extended(t, 900)
    j = d.wait_end(u.id)
    is_((j["known_by"], j["deadline_rule"]), ("result_file", "extended"))
    ok(seconds_between(j["started_at"], j["deadline_at"]) > 900, "kept")
    j = d.extend(t.id, by_usec=1000 * S)
    ok(seconds_between(j["started_at"], j["deadline_at"]) > 1900)
    is_(end(t)["state"], "succeeded")


LATER = """
import os, signal, socket, sys
socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(f"EXTEND_TIMEOUT_USEC={sys.argv[1]}".encode(), os.environ["NOTIFY_SOCKET"])
signal.pause()
"""


@case("the moved deadline is the one that stops it, and the record says which it was")
def _():
    def moved(seconds):
        """The record of a job that asked for more time than it had, if it did so before the deadline."""
        j = d.wait_end(d.submit(sys.executable, "-c", LATER, (seconds + 2) * S, timeout_usec=seconds * S)["id"])
        if j["deadline_rule"] == "requested":
            return None
        ran = seconds_between(j["started_at"], j["ended_at"])
        ok(ran > seconds + 1.9, f"it was given {seconds} s and then 2 more, and ran for {ran} s")
        return j

    j = in_time(moved, (2, 10, 60))
    is_((j["state"], j["cause_code"], j["deadline_rule"]), ("deadline_exceeded", "deadline", "extended"))
    like(j["cause"], "rule extended")


# A sign of life ----------------------------------------------------------------------------------------------------------


@case("watchdog: silence ends it, while ctxd watches or not")
def _():
    j = d.wait_end(d.submit("sleep", "1000", watchdog_usec=S)["id"])
    is_((j["state"], j["cause_code"], j["err"], j["known_by"]), ("canceled", "watchdog", "context canceled", "monitor"))
    like(j["cause"], "1s")

    def unwatched(seconds):
        """A job and its monitor; ctxd was killed before the watchdog's time."""
        begun = time.monotonic()
        id = d.submit("sleep", "1000", watchdog_usec=seconds * S)["id"]
        monitor = proc_stat(d.wait_started(id)["pid"])
        d.kill9()
        if time.monotonic() - begun < seconds:
            return id, monitor[1]
        return d.start() and None

    id, monitor = in_time(unwatched, (2, 15, 60))
    wait_until(lambda: exited(monitor), "the monitor to end")
    d.start()
    j = d.wait_end(id)
    is_((j["state"], j["cause_code"], j["known_by"]), ("canceled", "watchdog", "result_file"))


# Signals -----------------------------------------------------------------------------------------------------------------

HEARS = ("trap 'echo main $n; n=x$n' USR1; sh -c 'trap \"echo child\" USR1; echo up; while :; do sleep 0.02; done' & "
         "while :; do wait; done")


@case("a signal to the main process, and to all of them; who sent it is in the log")
def _():
    id = d.submit(sh=HEARS)["id"]
    wait_until(lambda: b"up" in d.output(id) and d.job(id)["pid"], "it to be up, and its monitor heard")
    is_(d.call("Signal", id=id, signal="USR1")["job"]["id"], id)
    wait_until(lambda: d.output(id).count(b"main") == 1, "the main process to hear it")
    d.wait_log(rf"job={id} signal=USR1 to=main by uid={os.getuid()}$")
    ok(b"child" not in d.output(id), "the other does not")
    d.call("Signal", id=id, signal="SIGUSR1", tree=True)
    wait_until(lambda: d.output(id).count(b"main") == 2 and b"child" in d.output(id), "both to hear it")
    d.wait_log(rf"job={id} signal=USR1 to=tree by uid={os.getuid()}$")
    is_(d.job(id)["state"], "running")
    d.call("Signal", id=id, signal="9")
    j = d.wait_end(id)
    is_((j["state"], j["signal"], j["cause_code"]), ("failed", 9, "signal"))
    is_(refused(d.call, "AlreadyEnded", "Signal", id=id, signal="USR1"), {"id": id, "state": "failed"})


@case("no signal to what has no process, or no such signal")
def _():
    scope = d.call("Scope")["job"]["id"]
    is_(refused(d.call, "InvalidArgument", "Signal", id=scope, signal="TERM")["field"], "id")
    d.call("Close", id=scope)
    is_(refused(d.call, "AlreadyEnded", "Signal", id=scope, signal="TERM")["state"], "closed")
    d.configure(CONF.format(1))
    d.call("Reload")
    first = d.submit("sleep", "1000")["id"]
    d.wait_started(first)
    second = d.submit("true")["id"]
    is_(refused(d.call, "InvalidArgument", "Signal", id=second, signal="TERM")["field"], "id")
    for bad in ("0", "65", "NONESUCH", ""):
        is_(refused(d.call, "InvalidArgument", "Signal", id=first, signal=bad)["field"], "signal")
    refused(d.call, "NoSuchJob", "Signal", id=999999, signal="TERM")
    d.cancel(first, now=True)
    d.wait_end(second)
    d.configure(CONF.format(20))
    d.call("Reload")


@case("a stopping job hears signals, too")
def _():
    id = d.submit(sh="trap 'echo usr1' USR1; trap 'echo term' TERM; echo up; while :; do sleep 0.02; done",
                  grace_usec=1000 * S)["id"]
    wait_until(lambda: b"up" in d.output(id), "it to be up")
    d.cancel(id)
    wait_until(lambda: b"term" in d.output(id), "TERM")
    is_(d.call("Signal", id=id, signal="USR1")["job"]["state"], "stopping")
    wait_until(lambda: b"usr1" in d.output(id), "USR1")
    d.cancel(id, now=True)
    is_(d.wait_end(id)["state"], "canceled")


@case("without a link to its monitor: NotReady")
def _():
    id = d.submit("sleep", "1000")["id"]
    d.wait_started(id)
    monitor = d.monitor_pid(id)
    d.kill9()
    os.kill(monitor, signal.SIGSTOP)
    try:
        d.start()
        like(refused(d.call, "NotReady", "Signal", id=id, signal="TERM")["reason"], "no link")
    finally:
        os.kill(monitor, signal.SIGCONT)

    def told():
        try:
            return d.call("Signal", id=id, signal="TERM")
        except VarlinkError as e:
            need(e.short == "NotReady", str(e))
            return None

    wait_until(told, "the link")
    is_(d.wait_end(id)["signal"], signal.SIGTERM)


# Where there can be no socket ----------------------------------------------------------------------------------------------


@case("a runtime directory too deep for a client: no NOTIFY_SOCKET, which is said, and no watchdog that nobody could feed")
def _():
    e = ApiDaemon(start=False)
    e.run = os.path.join(e.dir, "r" * 100)
    e.start()
    j = e.submit("cat", "/proc/self/environ", watchdog_usec=S)
    j = e.wait_end(j["id"])
    is_(j["state"], "succeeded")
    unlike(e.output(j["id"]).decode(), "NOTIFY_SOCKET|WATCHDOG")
    e.wait_log(rf"job={j['id']} gets no NOTIFY_SOCKET and no watchdog: its path")
    e.cleanup()


main()
