#!/usr/bin/python3
"""What a job says of itself through its notify socket, who may say it, who is told; watchdog, warning, signals."""
# test-timeout: 300
import os
import shutil
import signal
import socket
import stat
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from ctxtest import *
from spawnerdrv import *

subreaper()
ROOT = os.geteuid() == 0
NOBODY = 65534
SYSTEMD_NOTIFY = shutil.which("systemd-notify")
s = Spawner(env={"CTXD_LOG": "debug"})
TERMED = HAS_STATUS | TERM_SENT


class Talker:
    """A job that does what it is told: do(LINE) runs a line of Python in it and returns when that is done."""

    LOOP = "for n, line in enumerate(sys.stdin, 1):\n    exec(line)\n    os.write(1, b'%d.' % n)\n"
    count = 0

    def __init__(self, start="", spawner=s, by_name=False, **kw):
        Talker.count += 1
        fifo = os.path.join(s.dir, f"do{Talker.count}")
        os.mkfifo(fifo)
        self.stdin = os.open(fifo, os.O_RDWR | os.O_CLOEXEC)
        self.n = 0
        if by_name:  # a spawner of the system's takes no FIFO
            start = f"sys.stdin = open({fifo!r})\n" + start
        self.job = spawner.talk(start + "\n" + self.LOOP, python=True, in_path=None if by_name else fifo, **kw)

    def begin(self, line):
        self.n += 1
        os.write(self.stdin, line.encode() + b"\n")
        return self.job

    def do(self, line):
        self.begin(line)
        wait_until(lambda: self.job.output().endswith(b"%d." % self.n), f"{line} to be done")
        return self.job

    def run(self, script):
        return self.do(f"exec({script!r})")

    def heard(self):
        """What the monitor has taken in, of all that was sent before: the file."""
        self.do("barrier()")
        return self.job.progress()

    def stop(self):
        self.job.stop(STOP_NOW)
        r = self.job.end()
        os.close(self.stdin)  # not before: it would end by itself
        return r


def fds_of(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def cpu_s(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        return sum(int(n) for n in f.read().rsplit(")", 1)[1].split()[11:13]) / os.sysconf("SC_CLK_TCK")


def own_kib(pid):
    """Memory that is the process's own."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("Anonymous:"))


@case("the socket: the job's own, 0600, not inherited; a job that says nothing leaves nothing")
def _():
    j = s.sh("ls -l /proc/self/fd | tail -n +2 | wc -l; exec sleep 1000")
    st = os.stat(j.notify)
    ok(stat.S_ISSOCK(st.st_mode), "a socket")
    is_((stat.S_IMODE(st.st_mode), st.st_uid), (0o600, os.getuid()))
    wait_until(j.output, "its descriptors")
    is_(j.output(), b"4\n", "0, 1, 2 and the directory that ls reads")
    c = j.connect()
    c.expect(HELLO, flags=0)
    j.stop()
    c.expect(STOPPING)
    is_(c.expect(END).result.exit_code, -signal.SIGTERM)
    r = j.end()
    is_((r.flags, r.deadline_ns), (TERMED, j.hello.deadline_ns))
    is_(j.files(), ["ctl", "notify", "result", "started"])


@case("status, percent and readiness: told to every connection, kept in the file, told again to who comes later")
def _():
    t = Talker()
    j = t.job
    c = j.connect()
    c.expect(HELLO)
    before = time.time_ns() // 1000
    t.do("tell('STATUS=reading input')")
    p = j.said(text="reading input")
    is_((p.percent, p.ready, p.ready_us), (None, False, 0))
    ok(before <= p.at_us <= time.time_ns() // 1000, f"{p.at_us}")
    ok(c.expect(PROGRESS).progress == p, "to the other connection too")
    t.do("tell('X_CTX_PERCENT=12.5')")
    is_(j.said(percent=12.5).text, "reading input", "what was said before stays")
    t.do("tell('READY=1')")
    p = j.said(ready=True)
    ok(p.ready_us >= before, f"{p.ready_us}")
    t.do("tell('READY=1')")
    t.do("tell('STATUS=working\\nX_CTX_PERCENT=50\\nMAINPID=1\\nFDSTORE=1\\nX_OTHER=2')")
    q = j.said(percent=50, text="working")
    is_(q.ready_us, p.ready_us, "ready once")
    ok(j.progress() == q, "the file")
    is_(stat.S_IMODE(os.stat(os.path.join(j.dir, "progress")).st_mode), 0o640)
    d = j.connect()
    d.expect(HELLO)
    ok(d.expect(PROGRESS).progress == q, "right behind HELLO")
    # The last words, with nobody else to hear them.
    c.close(), d.close()
    t.begin("tell('STATUS=done'); os._exit(4)")
    is_(j.said(text="done").percent, 50)
    is_(j.end().exit_code, 4)
    is_(j.progress().text, "done")
    is_(j.files(), ["ctl", "notify", "progress", "result", "started"])
    s.forget(j.id, 1)


@case("text: UTF-8, without control characters, cut between characters; the last of several counts")
def _():
    t = Talker()
    for said, text in (
            ("STATUS=Grüße, 世界 🎉", "Grüße, 世界 🎉"),
            ("STATUS=a\\tb\\x1b[31mc\\x7f\\u0085\\u009b\\u00a0d", "a b [31mc   \u00a0d"),
            ("STATUS=x\\0y", "x y"),
            ("STATUS=" + "x" * 300, "x" * 255),
            ("STATUS=" + "y" * 254 + "é", "y" * 254),
            ("STATUS=" + "y" * 253 + "éé", "y" * 253 + "é"),
            ("STATUS=" + "🎉" * 100, "🎉" * 63),
            ("STATUS=one\\nSTATUS=two", "two"),
            ("\\n\\nSTATUS=three\\n\\n", "three"),
            ("STATUS= spaces ", " spaces "),
            ("STATUS=", ""),
            ("STATUS=a=b", "a=b")):
        t.do(f"tell('{said}')")
        is_(t.job.said(text=text, what=repr(text)).text, text)
    t.do("tell(b'STATUS=bad \\xff\\xc3(\\xed\\xa0\\x80\\xf0\\x9f end')")
    is_(t.job.said().text, "bad ??(????? end")
    for nothing in ("status=x", "STATUS", "XSTATUS=x", " STATUS=x", "", "\\n", "=", "READY=0", "READY=11", "READY=", "READY"):
        t.do(f"tell('{nothing}')")
    p = t.heard()
    is_((p.text, p.ready), ("bad ??(????? end", False))
    is_(t.stop().exit_code, -signal.SIGKILL)


@case("percent: 0 to 100 with decimals; anything else changes nothing")
def _():
    t = Talker()
    for said, percent in (("0", 0), ("100", 100), ("42", 42), ("007", 7), ("0.5", 0.5), ("99.999", 99.999), ("99.9999", 99.999),
                          ("33.3333333333333333333333333", 33.333), ("100.000000", 100), ("1.05", 1.05)):
        t.do(f"tell('X_CTX_PERCENT={said}')")
        is_(t.job.said().percent, percent, said)
    for said in ("", "-1", "+1", "101", "100.1", "100.0001", "1e1", "nan", "inf", "0x10", " 5", "5 ", "5%", ".5", "5.", "5..5",
                 "5,5", "18446744073709551617", "1" * 400, "5.5x", "½"):
        t.do(f"tell('X_CTX_PERCENT={said}')")
    is_(t.heard().percent, 1.05)
    t.stop()


@case("BARRIER=1: the descriptor is closed when all before it was taken in; also with other words beside it")
def _():
    t = Talker()
    j = t.job
    for i in range(30):
        t.do(f"tell('STATUS={i}'); barrier()")
        is_(j.progress().text, str(i), "what was said is in the file by then")
    t.do("barrier('STATUS=both\\nBARRIER=1')")
    j.said(text="both")
    t.do("barrier('')")
    t.do("barrier('x' * 4097)")
    before = fds_of(j.monitor)
    # As many as a datagram can carry, and many datagrams.
    t.do("f = [os.open('/dev/null', 0) for _ in range(253)]; [(tell('STATUS=fds', f), barrier()) for _ in range(20)]")
    is_(j.said(text="fds").text, "fds")
    t.do("r, w = os.pipe(); f = [os.dup(w) for _ in range(253)]; tell('STATUS=pipe', f); [os.close(n) for n in f]; os.close(w); "
         "os.read(r, 1)")
    wait_until(lambda: fds_of(j.monitor) == before, f"the monitor to have {before} descriptors again")
    j.stop()
    j.end()


@case("a sender that is not of the job is refused, and that is told once")
def _():
    t = Talker()
    other = Talker()
    j = t.job
    for _ in range(5):
        j.tell("STATUS=from elsewhere\nWATCHDOG=1\nEXTEND_TIMEOUT_USEC=1")
    r, w = os.pipe()
    j.tell("STATUS=with a descriptor", [w])
    os.close(w)
    is_(os.read(r, 1), b"", "closed all the same")
    os.close(r)
    # Another job of the same user.
    other.do(f"x = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); x.connect({j.notify!r}); x.send(b'STATUS=from another job')")
    is_(t.heard(), None)
    is_(s.log_text().count(f"job {j.name}: refused a notification"), 1)
    # A process of the job, however deep, in a session of its own, and without its parent.
    t.do("""os.fork() == 0 and (os.setsid(), os.fork() == 0 and (os.fork() == 0 and """
         """(tell('STATUS=deep'), barrier(), signal.pause()), signal.pause()), os._exit(0))""")
    j.said(text="deep")
    t.stop()
    other.stop()


@case("a sender that is gone is refused; one that has ended and still has its pid is heard")
def _():
    t = Talker()
    j = t.job
    os.kill(j.monitor, signal.SIGSTOP)
    wait_until(lambda: proc_state(j.monitor) == "T", "the monitor to stand still")
    t.do("pid = os.fork() or (tell('STATUS=ghost'), os._exit(0)); os.waitpid(pid, 0)")
    os.kill(j.monitor, signal.SIGCONT)
    is_(t.heard(), None)
    is_(s.log_text().count(f"job {j.name}: refused a notification"), 1)
    os.kill(j.monitor, signal.SIGSTOP)
    wait_until(lambda: proc_state(j.monitor) == "T", "the monitor to stand still")
    t.do("pid = os.fork() or (tell('STATUS=zombie'), os._exit(0)); os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)")
    os.kill(j.monitor, signal.SIGCONT)
    is_(j.said().text, "zombie")
    # All that the main process said before it ended, as much as its queue takes.
    os.kill(j.monitor, signal.SIGSTOP)
    wait_until(lambda: proc_state(j.monitor) == "T", "the monitor to stand still")
    t.do("notify.setblocking(False)")
    t.run("""
k = 0
while k < 900:
    try: tell(f'STATUS=word {k}')
    except BlockingIOError: break
    k += 1
os.write(1, b'said %d ' % k)
""")
    said = int(j.output().split(b"said ")[1].split()[0])
    t.begin("os._exit(0)")
    wait_until(lambda: proc_state(j.hello.pid) == "Z", "the job to end")
    os.kill(j.monitor, signal.SIGCONT)
    diag(f"{said} datagrams in the queue")
    r = j.end()
    is_((r.exit_code, r.leftovers), (0, 0))
    is_(j.progress().text, f"word {said - 1}")
    # More than is taken in at once, and gone while the socket rests.
    for _ in range(5):
        j = s.talk("[tell(f'STATUS=word {k}') for k in range(26)]; os._exit(0)", python=True)
        is_(j.end().exit_code, 0)
        is_(j.progress().text, "word 25")


@case("a flood: few datagrams are taken in, few frames told, ctl answers, nothing grows, the last word arrives")
def _():
    t = Talker()
    j = t.job
    t.do("tell('STATUS=first'); barrier()")
    small, cpu, start = own_kib(j.monitor), cpu_s(j.monitor), time.monotonic()
    t.run(r"""
stop = []
signal.signal(signal.SIGUSR1, lambda *a: stop.append(1))
pid = os.fork()
if pid == 0:
    k = 0
    fd = [os.open('/dev/null', 0)] * 10
    while not stop or k <= 100:  # it is not shut out
        tell(f'STATUS=flood {k}\nX_CTX_PERCENT={k % 100}\nEXTEND_TIMEOUT_USEC={60000000 + k}\nWATCHDOG=1', fd)
        k += 1
    os.write(1, b'sent %d ' % k)
    os._exit(0)
""")
    frames = 0
    end = time.monotonic() + 2
    while time.monotonic() < end:
        f = j.link.recv(what="news of the flood")
        ok(f.kind in (PROGRESS, EXTENDED), f"{f}")
        frames += 1
        if frames % 5 == 0:
            c = j.connect()
            c.expect(HELLO)
            c.close()
    # One tells twice: progress and the deadline.
    t.do("os.kill(pid, signal.SIGUSR1); os.waitpid(pid, 0)")
    took, cpu = time.monotonic() - start, cpu_s(j.monitor) - cpu
    sent = int(j.output().split(b"sent ")[1].split()[0])
    diag(f"{sent} datagrams, {frames} frames in {took:.1f} s; {small} -> {own_kib(j.monitor)} KiB; {cpu:.2f} s of CPU")
    ok(cpu <= took / 2, f"{cpu:.2f} s of CPU in {took:.2f} s")
    ok(sent <= 16 * (took / 0.010 + 2) + 1024, f"{sent} datagrams in {took:.2f} s")
    ok(frames <= 2 * (took / 0.1 + 2), f"{frames} frames in {took:.2f} s")
    ok("asan" in BUILD or own_kib(j.monitor) <= small + 8, f"{small} -> {own_kib(j.monitor)} KiB")
    t.do("tell('STATUS=final')")
    j.said(text="final")
    j.stop()
    is_(j.end().stop_cause, CAUSE_REQUEST)


@case("a datagram of 4096 bytes is taken, a larger one is not")
def _():
    t = Talker()
    t.do("tell('STATUS=max\\nX=' + 'x' * (4096 - 13))")
    is_(t.job.said().text, "max")
    t.do("tell('STATUS=more\\nX=' + 'x' * (4096 - 13))")
    t.do("tell('STATUS=huge\\nX=' + 'x' * 100000); barrier()")
    is_(t.heard().text, "max")
    t.stop()


@case_if(SYSTEMD_NOTIFY, "systemd-notify, as it is: from a script, as the main process, with its barrier")
def _():
    j = s.talk("systemd-notify --ready --status='half way' X_CTX_PERCENT=50 && echo done; exec sleep 1000")
    p = j.said(text="half way")
    is_((p.percent, p.ready), (50, True))
    wait_until(lambda: j.output() == b"done\n", "systemd-notify to come back")
    j.stop()
    j.end()
    id = s.ids + 1
    j = s.spawn(["systemd-notify", "--status=alone"], id=id, env=[STANDARD_PATH, f"NOTIFY_SOCKET={s.jobs}/{id}.1/notify"])
    s.ids = id
    is_(j.end().exit_code, 0)
    is_(j.progress().text, "alone")
    j = s.talk("systemd-notify --no-block --status=quick; systemd-notify EXTEND_TIMEOUT_USEC=200000000; exec sleep 1000",
               timeout=100, limit=1000)
    x = j.link.recv()
    while x.kind != EXTENDED:
        x = j.link.recv()
    ok(x.deadline_ns > j.hello.deadline_ns, "later")
    j.stop()
    j.end()


@case("the job moves its own deadline: later only, up to the limit, told, in HELLO and in the result")
def _():
    t = Talker(timeout=500, limit=300)
    j = t.job
    d = j.hello.deadline_ns
    for said in ("1000000", "0", "", "-600000000", "600000000x", " 600000000", "infinity"):
        t.do(f"tell('EXTEND_TIMEOUT_USEC={said}')")
    t.do("barrier()")
    c = j.connect()
    is_((c.expect(HELLO).deadline_ns, j.hello.flags), (d, 0), "not moved")
    t.do("tell('EXTEND_TIMEOUT_USEC=600000000')")
    x = j.link.expect(EXTENDED)
    ok(d < x.deadline_ns <= boottime_ns() + 600_000_000_000, f"{x.deadline_ns - d}")
    ok(j.hello.started_us < x.at_us <= time.time_ns() // 1000, "when")
    is_(c.expect(EXTENDED).deadline_ns, x.deadline_ns)
    c = j.connect()
    h = c.expect(HELLO, flags=H_SELF_EXTENDED)
    is_(h.deadline_ns, x.deadline_ns)
    for said in ("18446744073709551615", "9" * 40):
        t.do(f"tell('EXTEND_TIMEOUT_USEC={said}'); barrier()")
    is_(j.link.expect(EXTENDED).deadline_ns, d + 300_000_000_000, "the limit")
    t.do("tell('EXTEND_TIMEOUT_USEC=900000000'); barrier()")
    # A ctxd that had not heard of it cannot take it back.
    j.extend(d + 200_000_000_000)
    c = j.connect()
    is_(c.expect(HELLO, flags=H_SELF_EXTENDED).deadline_ns, d + 300_000_000_000)
    # It gives more than the job may give itself, and then it is no more the job's doing.
    j.extend(d + 310_000_000_000)
    c = j.connect()
    is_(c.expect(HELLO, flags=0).deadline_ns, d + 310_000_000_000)
    t.do("tell('EXTEND_TIMEOUT_USEC=900000000'); barrier()")
    j.stop()
    r = j.end()
    is_((r.flags, r.deadline_ns), (TERMED, d + 310_000_000_000))


@case("a job that extends itself without end is stopped at the limit; once stopping it cannot")
def _():
    def build(n):
        t = Talker("signal.signal(15, lambda *a: (tell('EXTEND_TIMEOUT_USEC=600000000'), barrier(), os._exit(7)))", timeout=n,
                   limit=2 * n)
        t.begin("while True: tell('EXTEND_TIMEOUT_USEC=500000000'); barrier()")
        r = t.job.end()
        return r.flags & SELF_EXTENDED and (n, t.job, r)

    n, j, r = in_time(build, (0.3, 3, 15, 40))
    is_((r.exit_code, r.stop_cause, r.flags), (7, CAUSE_DEADLINE, TERMED | SELF_EXTENDED))
    limit = j.hello.deadline_ns + round(2 * n * 1e9)
    is_(r.deadline_ns, limit)
    after = (limit - j.hello.started_ns) // 1000
    ok(r.term_us - r.started_us >= after - 50_000, f"TERM after {r.term_us - r.started_us} us, not {after}")

    # Without a limit beyond its deadline it cannot at all.
    def build_without(n):
        t = Talker(timeout=n)
        t.begin("tell('EXTEND_TIMEOUT_USEC=500000000'); barrier(); os.write(1, b'told'); signal.pause()")
        r = t.job.end()
        is_((r.stop_cause, r.flags, r.deadline_ns), (CAUSE_DEADLINE, TERMED, t.job.hello.deadline_ns))
        return t.job.output() == b"told"

    in_time(build_without, (0.5, 3, 15, 60))


@case("watchdog: silence stops the job, with its cause; only WATCHDOG=1 is a sign of life")
def _():
    j = s.sh("exec sleep 1000", watchdog=0.3)
    j.stopping(phase=S_STOPPING, stop_cause=CAUSE_WATCHDOG)
    r = j.end()
    is_((r.exit_code, r.flags, r.stop_cause), (-signal.SIGTERM, TERMED, CAUSE_WATCHDOG))
    ok(r.term_us - r.started_us >= 290_000, f"TERM after {r.term_us - r.started_us} us")
    ok(j.result() == r, "the file")

    def build(n):
        j = s.talk("while True: tell('STATUS=x\\nREADY=1\\nX_CTX_PERCENT=1\\nEXTEND_TIMEOUT_USEC=900000000\\nWATCHDOG=0\\n"
                   "WATCHDOG=11\\nWATCHDOG=\\nBARRIER=1'); time.sleep(0.02)", python=True, watchdog=n, limit=1000)
        is_(j.end().stop_cause, CAUSE_WATCHDOG)
        return j.progress()

    in_time(build, (0.5, 5, 30))

    # Deaf to TERM: the grace, then KILL.
    def build_deaf(n):
        j = s.sh("trap '' TERM; echo up; while :; do sleep 0.1; done", watchdog=n, grace=0.3)
        r = j.end()
        is_((r.flags & TERMED, r.stop_cause), (TERMED, CAUSE_WATCHDOG))
        return j.output() == b"up\n" and r

    r = in_time(build_deaf, (0.2, 3, 15))
    is_((r.exit_code, r.flags), (-signal.SIGKILL, TERMED | KILL_SENT))


@case("watchdog: a job that shows life is left alone, then not; what is being stopped has its cause already")
def _():
    def build(n):
        """Shows life for longer than the watchdog waits, without a gap as long as that."""
        t = Talker(watchdog=n)
        t.begin(f"for _ in range(34): tell('WATCHDOG=1'); time.sleep({n / 25})")
        r = t.job.end()
        is_(r.stop_cause, CAUSE_WATCHDOG)
        return t.job.output() == b"1." and (n, r)

    n, r = in_time(build, (2, 10, 30))
    # The last sign of life comes after 33 pauses.
    ok(r.term_us - r.started_us >= (33 / 25 + 1) * n * 1e6 - 50_000, f"TERM after {r.term_us - r.started_us} us, watchdog {n} s")

    def build_stopping(n):
        """Deaf, and told to stop, before the watchdog has anything to say; which it would have within the grace."""
        j = s.sh("trap '' TERM; echo up; while :; do sleep 0.1; done", watchdog=n, grace=2 * n)
        wait_until(lambda: j.output() == b"up\n" or exited(j.hello.pid), "the job to be deaf")
        j.stop()
        r = j.end()
        return r.stop_cause == CAUSE_REQUEST and (n, r)

    n, r = in_time(build_stopping, (0.5, 5, 30))
    is_((r.stop_cause, r.flags), (CAUSE_REQUEST, TERMED | KILL_SENT))
    ok(r.kill_us - r.term_us >= 2 * n * 1e6 - 50_000, "the whole grace")


@case("a warning before the deadline: to the main process, again when the deadline moved, not while stopping")
def _():
    def near(j, span, left):
        """Move the deadline so that the warning, SPAN before it, is due in LEFT seconds."""
        j.extend(boottime_ns() + int((span + left) * 1e9))

    script = ("trap 'echo main' USR1; sh -c 'trap \"echo child\" USR1; echo up; while :; do sleep 0.02; done' & "
              "echo up; while :; do sleep 0.02; done")
    j = s.sh(script, timeout=1000, warn=100)
    wait_until(lambda: j.output().count(b"up") == 2, "both")
    near(j, 100, 0.1)
    wait_until(lambda: b"main" in j.output(), "the warning")
    j.stop()
    is_((j.end().stop_cause, j.output().count(b"main"), j.output().count(b"child")), (CAUSE_REQUEST, 1, 0))
    t = Talker("w = []; signal.signal(signal.SIGUSR2, lambda *a: w.append(time.clock_gettime_ns(time.CLOCK_BOOTTIME)))", timeout=1000,
               warn=60, warn_signal=signal.SIGUSR2, limit=100)
    j = t.job
    t.do("1")
    start, began = boottime_ns(), time.monotonic()
    near(j, 60, 0.3)
    t.do("while len(w) < 1: time.sleep(0.01)")
    # However its deadline is moved because of that, it is not warned more often than each second.
    near(j, 60, -5)
    t.do("while len(w) < 2: time.sleep(0.01)")
    t.do("[(tell(f'EXTEND_TIMEOUT_USEC={61000000 + i * 1000}'), barrier()) for i in range(100)]")
    near(j, 60, 1.5)
    t.do("while len(w) < 3: time.sleep(0.01)")
    t.do("os.write(1, b'at %s end ' % ' '.join(str(n) for n in w).encode())")
    took = time.monotonic() - began
    at = [int(n) for n in j.output().split(b"at ")[1].split(b" end")[0].split()]
    # When it was sent is not known, but it was not after it came.
    ok(all(n >= start + 300_000_000 + i * 990_000_000 for i, n in enumerate(at)), f"none before its time: {start}, {at}")
    ok(3 <= len(at) <= took + 2, f"{at} in {took} s")
    t.stop()
    # None once stopping.
    t = Talker("signal.signal(15, signal.SIG_IGN); signal.signal(10, lambda *a: os.write(1, b'warned'))", timeout=1000, warn=100,
               grace=1)
    t.do("1")
    os.kill(t.job.monitor, signal.SIGSTOP)  # so that it reads both at once
    wait_until(lambda: proc_state(t.job.monitor) == "T", "the monitor to stand still")
    near(t.job, 100, 0.5)
    t.job.stop()
    os.kill(t.job.monitor, signal.SIGCONT)
    is_(t.job.end().flags, TERMED | KILL_SENT)
    ok(b"warned" not in t.job.output(), "none while stopping")


@case("a deadline nearer than the warning: warned at once; any signal will do")
def _():
    r = s.spawn(["sleep", "1000"], timeout=30, warn=60).end()
    is_((r.exit_code, r.stop_cause), (-signal.SIGUSR1, CAUSE_NONE))
    r = s.spawn(["sleep", "1000"], timeout=30, warn=30, warn_signal=64).end()
    is_((r.exit_code, r.stop_cause), (-64, CAUSE_NONE))
    # It has passed already: there is nothing to warn of.
    r = s.spawn(["sleep", "1000"], deadline_ns=1, warn=60).end()
    is_((r.exit_code, r.stop_cause), (-signal.SIGTERM, CAUSE_DEADLINE))


@case("SIGNAL: the main process or the whole tree; a stopped tree stays stopped; nothing else changes")
def _():
    script = ("trap 'echo main' USR1; sh -c 'trap \"echo child\" USR1; echo up; while :; do sleep 0.02; done' & "
              "echo up; while :; do sleep 0.02; done")
    j = s.sh(script)
    wait_until(lambda: j.output().count(b"up") == 2, "both")
    j.signal(signal.SIGUSR1)
    wait_until(lambda: b"main" in j.output(), "the main process to hear it")
    # `sleep` dies of it, both shells go on.
    j.signal(signal.SIGUSR1, SIGNAL_TREE)
    wait_until(lambda: j.output().count(b"main") == 2 and b"child" in j.output(), "both to hear it")
    is_(j.output().count(b"child"), 1, "the child heard one of them")
    tree = descendants([j.hello.pid])
    j.signal(signal.SIGSTOP, SIGNAL_TREE)
    # D: a shell in vfork, whose child was stopped before its exec.
    wait_until(lambda: all(proc_state(p) in "TDZX" for p in descendants([j.hello.pid])), "all to stand still")
    ok(len(tree) >= 2, f"{tree}")
    j.signal(signal.SIGCONT, SIGNAL_TREE)
    wait_until(lambda: all(proc_state(p) != "T" for p in descendants([j.hello.pid])), "all to go on")
    j.signal(signal.SIGKILL)
    j.stopping(phase=EMPTYING, stop_cause=CAUSE_NONE)
    r = j.end()
    is_((r.exit_code, r.stop_cause), (-signal.SIGKILL, CAUSE_NONE))
    # While it is being stopped, too.
    j = s.sh("trap '' TERM; trap 'exit 9' USR2; echo up; while :; do sleep 0.02; done", grace=1000)
    wait_until(lambda: j.output() == b"up\n", "up")
    j.stop()
    j.stopping()
    j.signal(signal.SIGUSR2)
    is_(j.end().exit_code, 9)


@case("SIGNAL: ignored when there is no main process; a malformed one costs its connection")
def _():
    j = s.sh("sh -c 'trap \"\" TERM; trap \"echo heard\" USR1; echo up; while :; do sleep 0.02; done' & "
             "while ! test -s /dev/fd/1; do sleep 0.02; done; exit 3", grace=1000)
    j.stopping(phase=EMPTYING)
    j.signal(signal.SIGUSR1, SIGNAL_TREE)
    j.signal(signal.SIGKILL)
    j.signal(signal.SIGKILL, SIGNAL_TREE)
    c = j.connect()  # asked after these, so they have been read
    c.expect(HELLO, phase=EMPTYING, pid=j.hello.pid)
    for signo, flags in ((0, 0), (65, 0), (-1, 0), (-(1 << 31), 0), (9, 2), (9, 0x80000001)):
        c = j.connect()
        c.expect(HELLO)
        c.send(frame(SIGNAL, struct.pack("=iI", signo, flags), j.id, 1))
        ok(c.closed(), f"{signo} {flags}")
    for data in (frame(SIGNAL, bytes(4), j.id, 1), frame(SIGNAL, struct.pack("=iI", 9, 0), j.id, 2),
                 frame(PROGRESS, bytes(312), j.id, 1), frame(EXTENDED, bytes(16), j.id, 1)):
        c = j.connect()
        c.expect(HELLO)
        c.send(data)
        ok(c.closed(), f"{data[:30]!r}")
    is_(j.output(), b"up\n")
    j.stop(STOP_NOW)
    r = j.end()
    is_((r.exit_code, r.stop_cause, r.leftovers >= 1), (3, CAUSE_NONE, True))
    # It ended because it was stopped, and another one does not.
    j = s.sh("sh -c 'trap \"\" TERM; trap \"echo heard\" USR1; echo up; while :; do sleep 0.02; done' & wait", grace=1000)
    wait_until(lambda: j.output() == b"up\n", "up")
    j.stop()
    j.stopping()
    wait_until(lambda: not os.path.exists(f"/proc/{j.hello.pid}"), "the monitor to have reaped the main process")
    j.signal(signal.SIGUSR1)
    j.signal(signal.SIGUSR1, SIGNAL_TREE)
    j.signal(signal.SIGKILL)
    j.connect().expect(HELLO, phase=S_STOPPING)
    j.stop(STOP_NOW)
    is_((j.end().exit_code, j.output()), (-signal.SIGTERM, b"up\n"))


@case("SIGKILL of the monitor: what the job said last is part of what it leaves; FORGET removes it")
def _():
    t = Talker()
    j = t.job
    # Faster than it is told: the file has it all the same.
    t.do("[tell(f'STATUS=step {i}\\nX_CTX_PERCENT={i}') for i in range(50)]; barrier()")
    os.kill(j.monitor, signal.SIGKILL)
    wait_until(lambda: exited(j.hello.pid), "the job to die with it")
    p = j.progress()
    is_((p.text, p.percent), ("step 49", 49))
    is_(s.sweep(j.id, 1).flags, CERTAIN)
    is_(j.files(), ["ctl", "notify", "progress", "result.tmp", "started"])
    ok(j.refused(), "nobody listens at ctl")
    try:
        j.tell("STATUS=x")
        ok(False, "somebody took it")
    except ConnectionRefusedError:
        ok(True, "nobody reads notify")
    s.forget(j.id, 1)


@case("a directory that serves again has a socket of its own and nothing that another job said")
def _():
    served = i = 0
    while i < 6 or not served and i < 100:  # one serves only within a second
        j = s.talk(f"tell('STATUS=job {i}'); barrier(); barrier()" if i % 2 == 0 else "pass", python=True)
        served += os.path.exists(os.path.join(j.dir, "mark"))
        with open(os.path.join(j.dir, "mark"), "w", encoding="ascii"):
            pass
        is_(j.end().exit_code, 0)
        is_(j.progress() and j.progress().text, f"job {i}" if i % 2 == 0 else None)
        wait_until(lambda: not os.path.exists(f"/proc/{j.monitor}"), "the spawner to have reaped its monitor")
        s.forget(j.id, 1)
        i += 1
    ok(served, "one has served again")


@case("as another user: the socket is that user's, the file ctxd's; others are turned away")
def _():
    if not ROOT:
        skip("needs root")
    owner, group = NOBODY - 10, NOBODY - 11
    u = Spawner("--system", owner=(owner, group))
    try:
        t = Talker(spawner=u, by_name=True, uid=NOBODY, gid=NOBODY, out_gid=group, out_owner=owner)
        j = t.job
        st = os.stat(j.notify)
        is_((stat.S_IMODE(st.st_mode), st.st_uid, st.st_gid), (0o600, NOBODY, group))
        t.do("tell('STATUS=as nobody'); barrier()")
        j.said(text="as nobody")
        st = os.stat(os.path.join(j.dir, "progress"))
        is_((stat.S_IMODE(st.st_mode), st.st_uid, st.st_gid), (0o640, 0, group))
        is_(run(["cat", os.path.join(j.dir, "progress")], uid=owner, gid=group).code, 0, "ctxd reads it")
        is_(run(["cat", os.path.join(j.dir, "progress")], uid=NOBODY).code, 1, "the job's user does not")
        send = (f"import socket; s=socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM); s.connect('{j.notify}'); s.send(b'STATUS=x'); "
                "print('sent')")
        for uid, out in ((owner, ""), (NOBODY - 1, ""), (NOBODY, "sent\n")):
            is_(run([sys.executable, "-c", send], uid=uid).out, out, f"uid {uid}")
        is_(t.heard().text, "as nobody", "of that user, but not of the job")
        if SYSTEMD_NOTIFY:
            k = u.talk("systemd-notify --status=unprivileged && exit 5", uid=NOBODY, gid=NOBODY, out_gid=group, out_owner=owner)
            is_(k.end().exit_code, 5)
            is_(k.progress().text, "unprivileged")
        t.stop()
    finally:
        u.close()


@case("--cgroup: what is in the job's cgroup is of the job, wherever it came from")
def _():
    parent = cgroup_parent()
    if not parent:
        skip("no writable cgroup v2 here")
    u = Spawner("--cgroup", parent)
    try:
        t = Talker(spawner=u)
        j = t.job
        t.do("tell('STATUS=inside'); barrier()")
        j.said(text="inside")
        home = os.path.join(parent, j.name)
        os.makedirs(os.path.join(home, "sub", "deeper"))
        os.mkdir(os.path.join(parent, j.name + "0"))
        # Started by this test, so it descends from no monitor.
        for cgroup, text in ((parent + "/" + j.name + "0", None), (home, "moved in"), (home + "/sub/deeper", "deeper")):
            with open(os.path.join(cgroup, "cgroup.procs"), "w", encoding="ascii") as procs:
                send = (f"import os, socket; os.write({procs.fileno()}, b'0'); s=socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM); "
                        f"s.connect('{j.notify}'); r, w = os.pipe(); socket.send_fds(s, [b'STATUS={text}'], [w]); os.close(w); "
                        "os.read(r, 1)")
                os.set_inheritable(procs.fileno(), True)
                pid = os.posix_spawn(sys.executable, [sys.executable, "-c", send], os.environ)
                got = wait_until(lambda: os.waitpid(pid, os.WNOHANG), "the sender")
                is_(os.waitstatus_to_exitcode(got[1]), 0)
            if text:
                is_(j.said().text, text)
            else:
                is_(t.heard().text, "inside", "a cgroup beside it")
        t.stop()
        u.forget(j.id, 1)
    finally:
        u.close()
        os.rmdir(os.path.join(parent, "1.10"))
        wait_until(lambda: not [n for n in os.listdir(parent) if n[0].isdigit()], "the job's cgroups to go")
        os.rmdir(parent)


@case("everything is gone at the end")
def _():
    for i in range(1, s.ids + 1):
        s.forget(i, 1, wait=False)
    s.sync()
    is_(s.dirs(), [])
    wait_until(lambda: not children(s.pid), "the last monitor to be gone")
    s.close()


main()
