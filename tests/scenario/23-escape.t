#!/usr/bin/python3
"""Jobs that do not want to go. Whatever they do, after the deadline nothing of them is alive, and the record says how it ended."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from apitest import *  # noqa: E402,F403

HEAD = 65536
MAX = 256 * 1024
SLACK = 1 << 20  # what the monitor lets pass before it is worth a punch
ROOT = os.geteuid() == 0

d = ApiDaemon(conf="[limits]\nrunning = 100\n[deadline]\ngrace = 300ms\n[output]\nmax_bytes = 256K\n")
home = os.path.join(d.dir, "home")
os.mkdir(home)

# How to hide. The program of each job runs `pids(...)` wherever a process of it comes to rest. Nothing here lasts longer than
# a minute by itself, should it really escape.
LIB = r'''
import ctypes, os, platform, signal, sys, time
HOME, END = sys.argv[1], time.monotonic() + 60
libc = ctypes.CDLL(None, use_errno=True)
os.umask(0)

def note(what=""):
    """Pid and start time of this process, for whoever looks for it."""
    with open("/proc/self/stat") as f:
        start = f.read().rsplit(")", 1)[1].split()[19]
    fd = os.open(HOME + "/pids", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    os.write(fd, ("%d %s %s\n" % (os.getpid(), start, what)).encode())
    os.close(fd)

def ready():
    fd = os.open(HOME + "/ready", os.O_WRONLY | os.O_CREAT, 0o666)
    os.close(fd)

def rest():
    while time.monotonic() < END:
        time.sleep(1)
    os._exit(0)

def ignore():
    for s in range(1, 65):
        try:
            signal.signal(s, signal.SIG_IGN)
        except (OSError, ValueError):
            pass

def daemon(fn=None):
    """A child of nobody, in a session of its own."""
    r, w = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.setsid()
            if fn:
                fn()
            note()
            os.close(r)
            os.close(w)
            rest()
        os._exit(0)
    os.close(w)
    os.read(r, 1)  # the end of it: it has noted itself
    os.close(r)
'''

WAYS = {
    "ignores every signal": "ignore(); note(); ready(); rest()",
    "blocks every signal": "signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65)); note(); ready(); rest()",
    "starts a child for each TERM": '''
def more(*_):
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, more)
        note(); rest()
signal.signal(signal.SIGTERM, more)
note(); ready(); rest()''',
    "double-forks with setsid": "ignore(); daemon(); daemon(); note(); ready(); rest()",
    "hides: other session, no environment, no descriptors, another directory, another name": '''
def hide():
    ignore()
    os.chdir("/")
    libc.prctl(15, b"kworker/0:0", 0, 0, 0)
    os.closerange(0, 1000)
    if os.fork():
        os._exit(0)
    os.execve("/bin/sh", ["[kthreadd]", "-c",
        "trap '' TERM HUP INT; echo $$ $(sed 's/.*) //' /proc/$$/stat | cut -d' ' -f20) x >>'%s/pids'; : >'%s/ready'; "
        "i=0; while [ $i -lt 60 ]; do sleep 1; i=$((i+1)); done" % (HOME, HOME)], {})
ignore(); note()
if os.fork() == 0:
    os.setsid()
    hide()
rest()''',
    "closes all descriptors": "os.closerange(0, 1024); ignore(); note(); ready(); rest()",
    "fills its own pipe": '''
r, w = os.pipe()
note(); ready()
while True:
    os.write(w, b"x" * 65536)''',
    "calls itself like ours, and like nothing that can be parsed": '''
ignore()
libc.prctl(15, b"ctx-monitor", 0, 0, 0)
if os.fork() == 0:
    libc.prctl(15, b") R 1 1 (", 0, 0, 0)
    if os.fork() == 0:
        libc.prctl(15, b"\\n) Z 0", 0, 0, 0)
        note(); rest()
    note(); rest()
note(); ready(); rest()''',
    "stops itself and its children": '''
signal.signal(signal.SIGTERM, signal.SIG_IGN)
for _ in range(3):
    if os.fork() == 0:
        note()
        os.kill(os.getpid(), signal.SIGSTOP)
        rest()
note(); ready()
os.kill(os.getpid(), signal.SIGSTOP)
rest()''',
    "a comet: forks and exits, forever": '''
ignore()
if os.fork() == 0:
    ready()
    n = 0
    while time.monotonic() < END:
        if os.fork():
            os._exit(0)
        n += 1
        if n % 64 == 0:
            note()
    os._exit(0)
note(); rest()''',
    "two comets whose main process is gone": '''
ignore()
for _ in range(2):
    if os.fork() == 0:
        os.setsid()
        n = 0
        while time.monotonic() < END:
            if os.fork():
                os._exit(0)
            n += 1
            if n % 64 == 0:
                note(); ready()
        os._exit(0)
while not os.path.exists(HOME + "/ready") and time.monotonic() < END:
    time.sleep(0.01)
os._exit(0)''',
    "spawns faster than it is killed": '''
ignore()
n = 0
def spawn():
    global n
    while n < 150 and time.monotonic() < END:
        n += 1
        if os.fork() == 0:
            if n % 50 == 0:
                os.setsid(); spawn()
            if n % 10 == 0:
                note()
            rest()
spawn(); note(); ready()
while time.monotonic() < END:
    try:
        os.waitpid(-1, 0)
        n -= 2
    except OSError:
        time.sleep(0.1)
    spawn()''',
    "takes in its own orphans": '''
libc.prctl(36, 1, 0, 0, 0)
ignore(); daemon(); daemon(lambda: libc.prctl(36, 1, 0, 0, 0)); note(); ready(); rest()''',
    "its first thread has ended, another lives": '''
import threading
ignore()
def live():
    note(); ready(); rest()
threading.Thread(target=live).start()
while not os.path.exists(HOME + "/ready") and time.monotonic() < END:
    time.sleep(0.01)
libc.syscall({"x86_64": 60, "aarch64": 93}.get(platform.machine(), 1), 0)''',
    "a child whose first thread has ended": '''
import threading
ignore()
if os.fork() == 0:
    def live():
        note(); ready(); rest()
    threading.Thread(target=live).start()
    while not os.path.exists(HOME + "/ready") and time.monotonic() < END:
        time.sleep(0.01)
    libc.syscall({"x86_64": 60, "aarch64": 93}.get(platform.machine(), 1), 0)
note(); rest()''',
    "forks in a thread": '''
import threading
ignore()
def live():
    if os.fork() == 0:
        os.setsid(); note(); rest()
    note(); ready(); rest()
threading.Thread(target=live).start()
rest()''',
    "is traced by its own child": '''
ignore()
me = os.getpid()
if os.fork() == 0:
    libc.prctl(0x59616d61, -1, 0, 0, 0)
    libc.ptrace(16, me, 0, 0)
    note(); ready(); rest()
libc.prctl(0x59616d61, -1, 0, 0, 0)
note(); rest()''',
    "cannot be looked at": "libc.prctl(4, 0, 0, 0, 0); ignore(); daemon(lambda: libc.prctl(4, 0, 0, 0, 0)); note(); ready(); rest()",
}
if ROOT:
    WAYS["becomes another user"] = '''
ignore()
os.chmod(HOME, 0o777)
if os.fork() == 0:
    os.setgid(65534); os.setuid(65534); daemon(); note(); rest()
note()
while time.monotonic() < END:
    with open(HOME + "/pids") as f:
        if len(f.readlines()) == 3:
            ready(); rest()
    time.sleep(0.01)'''
    WAYS["lives in namespaces of its own"] = '''
ignore()
if os.fork() == 0:
    if libc.unshare(0x20000000) == 0 and os.fork() == 0:
        if os.fork() == 0:
            os.setsid(); rest()
        rest()
    note(); ready(); rest()
note(); rest()'''


class Escape:
    """One job that tries one way."""

    count = 0

    def __init__(self, how, **params):
        Escape.count += 1
        self.how = how
        self.home = os.path.join(home, str(Escape.count))
        os.mkdir(self.home)
        script = write_file(os.path.join(self.home, "escape.py"), LIB + WAYS[how] + "\n")
        self.id = d.submit(sys.executable, script, self.home, cwd=self.home, **params)["id"]

    def is_ready(self):
        return os.path.exists(os.path.join(self.home, "ready"))

    def wait_ready(self):
        wait_until(self.is_ready, f"'{self.how}' to be ready")
        return self

    def ready_in_time(self):
        """Whether it got ready before it ended."""
        wait_until(lambda: self.is_ready() or d.job(self.id)["ended_at"], f"'{self.how}' to be ready, or over", step=0.05)
        return self.is_ready()

    def noted(self):
        """{pid: start time} of those that left a note."""
        try:
            lines = read_file(os.path.join(self.home, "pids")).decode().splitlines()
        except FileNotFoundError:
            return {}
        return {int(a): int(b) for a, b in (x.split()[:2] for x in lines)}

    def alive(self):
        """Whatever of it can be found: by environment, by directory, by its arguments, by its notes."""
        found = set(d.job_pids(self.id))
        for p in os.listdir("/proc"):
            if not p.isdigit() or exited(int(p)) and not self.threads(p):
                continue
            try:
                if os.readlink(f"/proc/{p}/cwd") == self.home:
                    found.add(int(p))
            except OSError:
                pass
        noted = self.noted()
        for p, start in noted.items():
            try:
                fields = read_file(f"/proc/{p}/stat").rsplit(b")", 1)[1].split()
            except OSError:
                continue
            if int(fields[19]) == start and (fields[0] not in (b"Z", b"X") or self.threads(p)):
                found.add(p)
        return found

    @staticmethod
    def threads(pid):
        """Whether a zombie still has living threads."""
        try:
            return len(os.listdir(f"/proc/{pid}/task")) > 1
        except OSError:
            return False

    def check_end(self, state):
        j = d.wait_end(self.id)
        left = self.alive()
        is_(left, set(), f"'{self.how}': alive after the end")
        for p in left:
            try:
                os.kill(p, 9)
            except OSError:
                pass
        if self.how.endswith("main process is gone") and self.is_ready():
            is_((j["state"], j["exit_code"]), ("succeeded", 0), self.how)
            ok(j["leftovers"] >= 1, f"'{self.how}': leftovers {j['leftovers']}")
        else:
            is_(j["state"], state, self.how)
        is_(j["survivors_possible"], False, self.how)
        return j


@case("after the deadline nothing is alive, however it hides")
def _():
    left = list(WAYS)

    def build(n):
        """Those that hid before their deadline need not do it again."""
        for e in [Escape(how, timeout_usec=n * S) for how in left]:
            e.check_end("deadline_exceeded")
            if e.is_ready():
                left.remove(e.how)
        return not left

    in_time(build, (4, 8, 20, 40))


@case("canceled: the same")
def _():
    jobs = [Escape(how) for how in WAYS if not how.endswith("main process is gone")]
    for e in jobs:
        e.wait_ready()
        ok(e.alive(), f"'{e.how}': is found while it lives")
        d.cancel(e.id)
    for e in jobs:
        e.check_end("canceled")


@case("killed at once: the same")
def _():
    jobs = [Escape(how, grace_usec=3600 * S) for how in WAYS if not how.endswith("main process is gone")]
    for e in jobs:
        e.wait_ready()
        d.cancel(e.id, now=True)
    for e in jobs:
        e.check_end("canceled")


@case("while ctxd is down: the same")
def _():
    def build(n):
        jobs = [Escape(how, timeout_usec=n * S) for how in list(WAYS)[:8]]
        hidden = [e.ready_in_time() for e in jobs]
        d.kill9()
        for e in jobs:
            wait_until(lambda e=e: not e.alive(), f"'{e.how}' to end without ctxd", step=0.05)
        d.start()
        by = [e.check_end("deadline_exceeded")["known_by"] for e in jobs]
        return all(hidden) and by == ["result_file"] * len(jobs)

    in_time(build, (4, 8, 20, 40))


# What each of them is sent ---------------------------------------------------------------------------------------------

# Five processes, in sessions and process groups of their own, below each other and below nobody. Each notes what it gets.
FAMILY = r'''
import os, signal, sys, time
home, say, stubborn = sys.argv[1], sys.argv[2].split(), len(sys.argv) > 3
def got(s, _):
    fd = os.open(home + "/got", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    os.write(fd, b"%d %s\n" % (os.getpid(), signal.Signals(s).name.encode()))
    os.close(fd)
    if not stubborn:
        os._exit(0)
for s in say:
    signal.signal(getattr(signal, s), got)
def member(depth):
    fd = os.open(home + "/pids", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    os.write(fd, b"%d\n" % os.getpid())
    os.close(fd)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        if os.fork():
            os._exit(0)
        os.setsid(); member(2)
    else:
        if os.fork() == 0:
            os.setpgid(0, 0)
        member(1)
elif os.fork() == 0:
    member(1)
else:
    member(0)
end = time.monotonic() + 60
while time.monotonic() < end:
    time.sleep(1)
'''
EVERYONE = 5


class Family:
    def __init__(self, signals="SIGTERM", stubborn=False, **params):
        Escape.count += 1
        self.home = os.path.join(home, str(Escape.count))
        os.mkdir(self.home)
        script = write_file(os.path.join(self.home, "family.py"), FAMILY)
        self.id = d.submit(sys.executable, script, self.home, signals, *(["stubborn"] if stubborn else []), cwd=self.home,
                           **params)["id"]

    def lines(self, name):
        try:
            return read_file(os.path.join(self.home, name)).decode().split("\n")[:-1]
        except FileNotFoundError:
            return []

    def wait_all(self):
        """The pids of all; fewer if they were ended before."""
        wait_until(lambda: len(self.lines("pids")) == EVERYONE or d.job(self.id)["ended_at"], "the family")
        return {int(p) for p in self.lines("pids")}


@case("TERM reaches every process of the tree, once")
def _():
    f = Family(grace_usec=3600 * S)
    pids = f.wait_all()
    d.cancel(f.id)
    j = d.wait_end(f.id)
    is_((j["state"], j["exit_code"]), ("canceled", 0), "it ended by itself")
    is_(sorted(f.lines("got")), sorted(f"{p} SIGTERM" for p in pids))


@case("another signal, if the job asked for it; then KILL after its own grace")
def _():
    def build(n):
        """A family that had the time to hear the signal, all of it."""
        f = Family("SIGTERM SIGUSR2", stubborn=True, stop_signal="USR2", grace_usec=round(n * S))
        pids = f.wait_all()
        is_(d.cancel(f.id)["state"], "stopping")
        j = d.wait_end(f.id)
        wait_gone(pids)
        hist = dict(d.sql(f"SELECT to_state, at FROM job_history WHERE job = {f.id}"))
        took = seconds_between(hist["stopping"], j["ended_at"])
        ok(took >= n - 0.01, f"{took} s of grace")
        return len(f.lines("got")) == EVERYONE and (n, f, j, pids)

    n, f, j, pids = in_time(build, (0.4, 4, 30))
    is_((j["state"], j["signal"], j["exit_code"], j["stop_signal"], j["grace_usec"]), ("canceled", 9, None, "USR2", n * S))
    is_(sorted(f.lines("got")), sorted(f"{p} SIGUSR2" for p in pids))


@case("KILL after the grace of the class, counted from the deadline")
def _():
    def build(n):
        f = Family(stubborn=True, timeout_usec=n * S)
        pids = f.wait_all()
        j = d.wait_end(f.id)
        if len(pids) < EVERYONE:  # not stubborn yet
            return is_(j["state"], "deadline_exceeded") and None
        is_((j["state"], j["signal"], j["grace_usec"]), ("deadline_exceeded", 9, 300000))
        took = seconds_between(j["deadline_at"], j["ended_at"])
        ok(took >= 0.29, f"{took} s from the deadline to the end")
        wait_gone(pids)
        return len(f.lines("got")) == EVERYONE

    in_time(build, (2, 5, 5, 15, 40))


@case("--now is KILL at once, without a word before")
def _():
    f = Family(stubborn=True, grace_usec=3600 * S)
    pids = f.wait_all()
    d.cancel(f.id, now=True)
    j = d.wait_end(f.id)
    is_((j["state"], j["signal"]), ("canceled", 9))
    is_(f.lines("got"), [])
    wait_gone(pids)


@case("--now while it is being stopped: the grace is over")
def _():
    f = Family(stubborn=True, grace_usec=3600 * S)
    pids = f.wait_all()
    is_(d.cancel(f.id)["state"], "stopping")
    wait_until(lambda: len(f.lines("got")) == EVERYONE, "TERM to have reached all")
    is_(d.cancel(f.id, now=True)["state"], "stopping")
    j = d.wait_end(f.id)
    is_((j["state"], j["signal"]), ("canceled", 9))
    wait_gone(pids)


# What stays behind ------------------------------------------------------------------------------------------------------


# Four processes outlive the main one: three that hear TERM, one that does not.
LEAVES = '''
        for i in 1 2 3; do (trap "echo x >>{base}/term; exit 0" TERM; touch {base}/up$i; while :; do sleep 0.05; done) & done
        setsid bash -c 'trap "" TERM; touch {base}/up4; while :; do sleep 0.05; done' &
        while [ ! -e {base}/up1 ] || [ ! -e {base}/up2 ] || [ ! -e {base}/up3 ] || [ ! -e {base}/up4 ]; do sleep 0.01; done
        exit 7'''


@case("the main process ends: what it leaves is sent TERM, then KILL, and counted; its own status stays")
def _():
    def build(n):
        base = os.path.join(home, f"left{n}")
        os.mkdir(base)
        j = d.submit("bash", "-c", LEAVES.format(base=base), env={"PATH": os.environ["PATH"]}, grace_usec=round(n * S))
        j = d.wait_end(j["id"])
        is_((j["state"], j["exit_code"], j["cause_code"], j["err"]), ("failed", 7, "exit", None))
        ok(4 <= j["leftovers"] <= 8, f"four, and a sleep of each may be seen: {j['leftovers']}")
        is_(d.job_pids(j["id"]), [])
        heard = os.path.exists(f"{base}/term") and read_file(f"{base}/term")
        return heard == b"x\n" * 3 or ok(not heard or len(heard) < 6, f"TERM, once: {heard}") and None

    in_time(build, (0.3, 3, 30))


@case("an orphan that ends by itself at once is none to speak of")
def _():
    for _ in range(20):
        j = d.wait_end(d.submit(sh="true & exit 0")["id"])
        is_(j["state"], "succeeded")
        ok(j["leftovers"] in (0, 1), str(j["leftovers"]))


@case("a job that succeeded and left a daemon: succeeded, one left over; the next job does not wait for it")
def _():
    first = d.submit(sh="setsid sleep 1000 & exit 0", grace_usec=5 * S)
    second = d.submit("true")
    is_(d.wait_end(second["id"])["state"], "succeeded")
    j = d.wait_end(first["id"])
    is_((j["state"], j["leftovers"]), ("succeeded", 1))


@case("canceled while only leftovers run: what it did itself stays true")
def _():
    ready = os.path.join(home, "leftready")
    j = d.submit("bash", "-c", f'setsid bash -c \'trap "" TERM; touch {ready}; while :; do sleep 1; done\' & '
                 f"while [ ! -e {ready} ]; do sleep 0.01; done; exit 3", grace_usec=3600 * S, env={"PATH": os.environ["PATH"]})
    wait_until(lambda: d.job(j["id"])["pid"] and exited(d.job(j["id"])["pid"]), "the main process to end")
    ok(d.job_pids(j["id"]), "the rest lives")
    is_(d.job(j["id"])["state"], "running")
    d.cancel(j["id"], now=True, cause="no patience")
    j = d.wait_end(j["id"])
    is_((j["state"], j["exit_code"], j["cause"]), ("canceled", 3, "no patience"), "the cancel was committed first; the status is told")
    is_(d.job_pids(j["id"]), [])


# Output -----------------------------------------------------------------------------------------------------------------

LINE = 16


def check_lines(data, first, what):
    """DATA consists of numbered lines, counting on from FIRST (bytes into the whole)."""
    n = first // LINE + 1
    whole = b"".join(b"%015d\n" % i for i in range(n, n + len(data) // LINE))
    return ok(data == whole, f"{what}: the lines from {n} on, as written; got {data[:40]!r} … {data[-40:]!r}")


@case("a flood: the cap holds, the head and the newest are kept, what was dropped is told")
def _():
    j = d.submit("seq", "-f", "%015.0f", 1, 4000000)
    j = d.wait_end(j["id"])
    size = 4000000 * LINE
    is_(j["state"], "succeeded")
    is_(j["output"]["bytes"], size)
    kept = os.stat(d.output_path(j["id"])).st_blocks * 512
    ok(kept <= HEAD + MAX + SLACK + 65536, f"on disk: {kept}")
    data, dropped = d.output_dropped(j["id"])
    is_(len(data) + dropped, size)
    is_(j["output"]["dropped"], dropped, "the record agrees")
    ok(len(data) >= HEAD + MAX, f"{len(data)} bytes are kept")
    check_lines(data[:HEAD], 0, "head")
    check_lines(data[HEAD:], HEAD + dropped, "newest")
    is_(d.output(j["id"], tail=3), b"%015d\n%015d\n%015d\n" % (3999998, 3999999, 4000000))


@case("a flood without an end: bounded while it runs, and dead after the deadline")
def _():
    def build(n):
        """A monitor that gets no processor for a while punches no holes meanwhile; it does over a longer time."""
        id = d.submit("sh", "-c", "yes & yes & wait", timeout_usec=round(n * S))["id"]
        d.wait_started(id)
        path, most = d.output_path(id), 0

        def ended():
            nonlocal most
            most = max(most, os.stat(path).st_blocks * 512)
            return d.job(id)["state"] == "deadline_exceeded"

        wait_until(ended, "the deadline")
        size, kept = os.stat(path).st_size, os.stat(path).st_blocks * 512
        diag(f"{size >> 20} MiB were written, {most >> 20} MiB were on disk at most")
        ok(kept <= HEAD + MAX + SLACK + 65536, f"on disk at the end: {kept}")
        is_(d.job_pids(id), [])
        os.truncate(path, 0)
        return most < size / 2 or most < 64 << 20

    in_time(build, (1.5, 3, 6))


@case("less than the cap: nothing is dropped")
def _():
    j = d.submit("seq", "-f", "%015.0f", 1, (HEAD + MAX) // LINE)
    j = d.wait_end(j["id"])
    is_(j["output"], {"bytes": HEAD + MAX, "dropped": 0})
    check_lines(d.output(j["id"]), 0, "all")


@case("the smallest cap, and a larger one: taken at the start of the job")
def _():
    for text, cap in (("64K", 65536), ("1M", 1 << 20)):
        d.configure(f"[limits]\nrunning = 100\n[deadline]\ngrace = 300ms\n[output]\nmax_bytes = {text}\n")
        d.call("Reload")
        j = d.wait_end(d.submit("seq", "-f", "%015.0f", 1, 600000)["id"])
        data, dropped = d.output_dropped(j["id"])
        is_(len(data) + dropped, 600000 * LINE, text)
        ok(HEAD + cap <= len(data) <= HEAD + cap + SLACK + 65536, f"{text}: {len(data)} kept")
        ok(dropped > 0, text)
        is_(data[-LINE:], b"%015d\n" % 600000)


@case("a job that makes its own output a mess ends like any other")
def _():
    for sh in ("exec >&- 2>&-; true", "truncate -s 8M /dev/stdout", "truncate -s 0 /dev/stdout; echo x",
               "rm -f $(readlink /proc/$$/fd/1); echo x", "chmod 0 /proc/$$/fd/1; echo x",
               "f=$(readlink /proc/$$/fd/1); rm -f $f; mkfifo $f", "f=$(readlink /proc/$$/fd/1); ln -sf /etc/shadow $f",
               "f=$(readlink /proc/$$/fd/1); rm -f $f; mkdir $f"):
        j = d.wait_end(d.submit(sh=sh)["id"])
        is_(j["state"], "succeeded", sh)
        try:
            data = d.output(j["id"], tail=1)
            unlike(data.decode(errors="replace"), "root:", sh)
        except VarlinkError as e:
            is_(e.short, "NotReady", sh)
        if os.path.lexists(d.output_path(j["id"])) and not os.path.isfile(d.output_path(j["id"])):
            run(["rm", "-rf", d.output_path(j["id"])])


main()
