#!/usr/bin/python3
"""ctxctl that follows a job across restarts of ctxd: output whole and once, the job still bound to its client, the exit code
true; clients that are killed, or do not come back; the bar on a terminal."""
import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from ctxtest import *
from ctxtest import CTXCTL, ctl_env

CONF = "[daemon]\nreattach={}\n[deadline]\ngrace=30s\n"
d = Daemon(conf=CONF.format("1h"), env={"CTXD_LOG": "debug"})
LINES = 600
# Numbers its lines and takes a breath now and then; after each quarter but the last it waits for a file, so that there is something
# to come after each restart.
COUNT = (f"for i in $(seq {LINES}); do echo line $i; echo err $i >&2; [ $((i % 4)) = 0 ] && sleep 0.02; "
         f"[ $i -lt {LINES} ] && [ $((i % {LINES // 4})) = 0 ] && until [ -e {d.dir}/quarter.$((i / {LINES // 4})) ]; do sleep 0.02; done; done; exit 7")


def gate(name):
    """A fifo at which a job waits until open_gate."""
    path = os.path.join(d.dir, name)
    os.mkfifo(path)
    return path


def open_gate(path):
    with open(path, "w", encoding="ascii") as f:
        f.write("\n")


def named(name, *states):
    """The id of the job of that name, once it is in one of STATES."""
    return wait_until(lambda: [j["id"] for j in d.json("list", "--name", name, "--state", ",".join(states or ("running",)))],
                      f"job {name}")[0]


def size(path):
    return os.path.getsize(path)


def finish(p):
    out, err = p.communicate(timeout=60)
    return p.returncode, out, (err or b"").decode()


def numbered(word):
    return "".join(f"{word} {i}\n" for i in range(1, LINES + 1)).encode()


# These stay through all restarts of this file that are followed by a start, though nothing comes for them in between.
slow = gate("slow")
slow_id = d.submit("--shell", f"echo begin; read x <{slow}; echo end; exit 9")
d.wait_state(slow_id, "running")
patient = [d.ctl_bg("wait", slow_id)]
wait_until(lambda: d.json("status")["connections"] >= 2, "it is connected")
patient += [d.ctl_bg("logs", "-f", slow_id), d.ctl_bg("events", "-f", "--json", slow_id)]
is_(patient[1].stdout.readline(), b"begin\n")
json.loads(patient[2].stdout.readline())


@case("run, submit -f and logs -f across kill -9: all of the output, once, and the exit code")
def _():
    files, clients = [], []

    def start(*args):
        path = os.path.join(d.dir, f"out.{len(files)}")
        files.append(path)
        with open(path, "wb") as f:
            clients.append(d.ctl_bg(*args, stdout=f))

    start("run", "-n", "r", "--shell", COUNT)
    start("run", "-n", "s", "--split-output", "--shell", COUNT)
    start("submit", "-n", "f", "-f", "--split-output", "--shell", COUNT)
    r = named("r")
    start("logs", "-f", r)
    before = [0] * len(files)
    for n in (1, 2, 3):
        wait_until(lambda: all(size(p) > b for p, b in zip(files, before)), "more output")
        for name in "rsf":
            need(d.json("list", "--name", name)[0]["state"] == "running", f"{name} has not ended before kill {n}")
        d.kill9()
        before = [size(p) for p in files]
        with open(f"{d.dir}/quarter.{n}", "w", encoding="ascii"):
            pass
        d.start()
    ends = [finish(p) for p in clients]
    is_([e[0] for e in ends], [7, 7, 7, 0])
    both = b"".join(f"line {i}\nerr {i}\n".encode() for i in range(1, LINES + 1))
    for path, want in zip(files, (both, numbered("line"), numbered("line"), both)):
        with open(path, "rb") as f:
            ok(f.read() == want, f"{path}: all of it, once")
    for _, _, err in ends[1:3]:
        text = "".join(line + "\n" for line in err.splitlines() if line.startswith("err "))
        ok(text.encode() == numbered("err"), "stderr: all of it, once")
    for name in "rsf":
        job = d.json("list", "--all", "--name", name)
        is_([(j["state"], j["exit_code"], j["attempt"]) for j in job], [("failed", 7, 1)], name)


@case("run is bound again after a restart: the end of its client still ends the job")
def _():
    p = d.ctl_bg("run", "-n", "again", "--shell", "echo started; exec sleep 1000")
    is_(p.stdout.readline(), b"started\n")
    id = named("again")
    d.kill9()
    like(p.stderr.readline().decode(), "lost")
    d.start()
    ok(bound_again(id), "its client is back")
    p.kill()
    p.communicate()
    job = d.wait_end(id)
    is_((job["state"], job["cause_code"]), ("canceled", "client_gone"))


def bound_again(id):
    """Its client has come back, which had time enough."""
    d.wait_log(rf"job={id} its client is back")
    return d.job(id)["state"] == "running"


def start_with_less():
    """Start ctxd, with a moment to come back for those who do not."""
    d.configure(CONF.format("1s"))
    d.start()
    d.configure(CONF.format("1h"))  # from the next start on


@case("a client that is killed while ctxd is down: client_gone, once the time to come back is over")
def _():
    p = d.ctl_bg("run", "-n", "killed", "sleep", "1000")
    q = d.ctl_bg("run", "-n", "free", "--detach", "sleep", "1000")
    id, free = named("killed"), named("free")
    d.kill9()
    for x in (p, q):
        x.kill()
        x.communicate()
    start_with_less()
    job = d.wait_end(id)
    is_((job["state"], job["cause_code"]), ("canceled", "client_gone"))
    is_(d.job(free)["state"], "running")
    d.ctl_ok("cancel", "--wait", free)


@case("a client that does not come back in time: client_gone, and it learns of it when it does")
def _():
    p = d.ctl_bg("run", "-n", "late", "sleep", "1000")
    id = named("late")
    p.send_signal(signal.SIGSTOP)
    try:
        d.kill9()
        start_with_less()
        job = d.wait_end(id)
        is_((job["state"], job["cause_code"]), ("canceled", "client_gone"))
    finally:
        p.send_signal(signal.SIGCONT)
    is_(finish(p)[0], 122)
    is_(len(d.json("list", "--all", "--name", "late")), 1)


@case("a client whose output is not taken comes back all the same")
def _():
    # Nobody reads, so that it has as much as it keeps; the connection that binds is watched nevertheless.
    p = d.ctl_bg("run", "-n", "stuck", "--shell", "head -c 3000000 /dev/zero; exec sleep 1000")
    id = named("stuck")
    wait_until(lambda: waiting(p.stdout) > 60000, "the pipe is full")
    d.kill9()
    d.start()
    ok(bound_again(id), "it is back")
    p.kill()
    p.communicate()
    d.wait_end(id)


def waiting(pipe):
    """Bytes in it."""
    return struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, b"\0\0\0\0"))[0]


@case("a job that ends while ctxd is down: its client gets the exit code")
def _():
    go = gate("down")
    p = d.ctl_bg("run", "-n", "down", "--stdin", "-", "--shell", f"cat; echo $$; read x <{go}; echo bye; exit 6", stdin=subprocess.PIPE)
    p.stdin.write(b"in\n")
    p.stdin.close()
    p.stdin = None
    is_(p.stdout.readline(), b"in\n")
    pid = int(p.stdout.readline())
    d.kill9()
    open_gate(go)
    wait_until(lambda: exited(pid), "the job has ended")
    d.start()
    is_(finish(p)[:2], (6, b"bye\n"))
    is_(len(d.json("list", "--all", "--name", "down")), 1)


@case("run: Ctrl-C across a restart: once cancels, twice kills")
def _():
    p = d.ctl_bg("run", "-n", "stubborn", "--shell", "trap '' TERM; echo started; while :; do sleep 0.02; done")
    is_(p.stdout.readline(), b"started\n")
    id = named("stubborn")
    p.send_signal(signal.SIGINT)
    d.wait_state(id, "stopping")
    d.kill9()
    d.start()
    p.send_signal(signal.SIGINT)
    code, _, err = finish(p)
    is_(code, 122)
    like(err, f"canceling job {id}(.|\n)*killing job {id}")
    job = d.job(id)
    is_((job["state"], job["cause"], job["signal"]), ("canceled", "interrupted by user", 9))


@case("events -f across restarts: each change once, in order")
def _():
    ids = [d.submit("true")]
    p = d.ctl_bg("events", "-f", "--json", "--since", "1h")
    seen = []

    def read_on():
        """To the end of the last job: so it is connected."""
        while not any(e["id"] == ids[-1] and e["to"] == "succeeded" for e in seen):
            seen.append(json.loads(p.stdout.readline()))

    for _ in range(3):
        read_on()
        ids.append(d.submit("true"))
        d.wait_end(ids[-1])  # the reader may have heard of that, or not
        d.kill9()
        d.start()
        ids.append(d.submit("true"))
    read_on()
    p.kill()
    p.communicate()
    edges = [e["edge"] for e in seen]
    is_(edges, sorted(set(edges)))
    is_([e["id"] for e in seen if e["to"] == "succeeded" and e["id"] in ids], ids)


@case("what waited through all of this still does, to the end and no further")
def _():
    for p in patient:
        is_(p.poll(), None)
    open_gate(slow)
    is_(finish(patient[0])[:2], (9, b""))
    is_(finish(patient[1])[:2], (0, b"end\n"))
    code, out, _ = finish(patient[2])
    is_((code, [json.loads(x)["to"] for x in out.splitlines()]), (0, ["failed"]))


# The bar --------------------------------------------------------------------------------------------------------------


class Terminal:
    """ctxctl with stderr, and unless OUT is given stdout, on a terminal of COLUMNS."""

    def __init__(self, *args, columns=60, out=None):
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.p = subprocess.Popen([CTXCTL, *map(str, args)], stdin=subprocess.DEVNULL, stdout=slave if out is None else out,
                                  stderr=slave, env=ctl_env(d.sock, {"TERM": "xterm"}))
        os.close(slave)
        self.text = ""

    def read(self):
        try:
            got = os.read(self.master, 65536)
        except OSError:  # EIO: the last one has closed it
            got = b""
        self.text += got.decode()
        return got

    def until(self, pattern):
        while not re.search(pattern, self.text):
            need(self.read(), f"{pattern!r} in {self.text!r}")

    def end(self):
        while self.read():
            pass
        os.close(self.master)
        return self.p.wait(60)


def stages(*steps):
    """A job that tells its progress step by step, each after its gate was opened; the last gate is that of its end."""
    gates = [gate(f"bar{len(os.listdir(d.dir))}.{i}") for i in range(len(steps) + 1)]
    text = "; ".join(f"read x <{g}; {s}" for g, s in zip(gates, (*steps, "exit 3")))
    return gates, ["--env", f"ctl={CTXCTL}", "--shell", text]


WIPE = "\r\x1b[K"


@case("the bar: in run, submit -f and wait; drawn, moved, wiped")
def _():
    for command in (["run"], ["submit", "-f"], ["wait"]):
        gates, job = stages("$ctl progress 10", "echo out", "$ctl progress 55 'page 5'", "printf part", "$ctl progress 80")
        if command == ["wait"]:
            t = Terminal("wait", d.submit(*job))
        else:
            t = Terminal(*command, *job)
        open_gate(gates[0])
        t.until(r"job \d+  10% \[#+\.+\]")
        open_gate(gates[1])
        open_gate(gates[2])
        t.until(r"job \d+  55% \[#+\.+\] page 5")
        for g in gates[3:]:
            open_gate(g)
        is_(t.end(), 3)
        for line in re.split("[\r\n]+", t.text.replace(WIPE, "\n")):
            ok(len(line) < 60 or "%" not in line, line)
        left = "".join(line.split(WIPE)[-1] + "\n" for line in t.text.replace("\r\n", "\n").split("\n")).rstrip("\n")
        unlike(left, "%")
        if command != ["wait"]:
            like(left, r"(^|\n)out\npart$")


@case("no bar where stderr is no terminal, nor for what tells no percentage; narrow ones are narrow")
def _():
    gates, job = stages("$ctl progress 10")
    with open(gates[0] + ".out", "wb") as out:
        p = d.ctl_bg("run", *job, stdout=out)
    for g in gates:
        open_gate(g)
    is_(finish(p), (3, None, ""))
    t = Terminal("run", "--env", f"ctl={CTXCTL}", "--shell", "$ctl progress working; $ctl progress more")
    is_(t.end(), 0)
    unlike(t.text, "%|working")
    gates, job = stages("$ctl progress 42 'a text that is long'")
    t = Terminal("wait", d.submit(*job), columns=15)
    open_gate(gates[0])
    t.until(r"job \d+  42%")
    open_gate(gates[1])
    is_(t.end(), 3)
    for line in re.split(r"\r\x1b\[K|\r|\n", t.text):
        ok(len(line) < 15, line)


@case("the bar across a restart, and Ctrl-C at wait")
def _():
    gates, job = stages("$ctl progress 10", "$ctl progress 20")
    id = d.submit(*job)
    t = Terminal("wait", id)
    open_gate(gates[0])
    t.until(" 10% ")
    d.kill9()
    t.until("connection to ctxd is lost")
    d.start()
    t.until("is lost(.|\n)* 10% ")
    open_gate(gates[1])
    t.until(" 20% ")
    open_gate(gates[2])
    is_(t.end(), 3)
    gates, job = stages("$ctl progress 10")
    id = d.submit(*job)
    t = Terminal("wait", id)
    open_gate(gates[0])
    t.until(" 10% ")
    t.p.send_signal(signal.SIGINT)
    is_(t.end(), -signal.SIGINT)
    ok(t.text.endswith(WIPE), repr(t.text[-20:]))
    is_(d.job(id)["state"], "running")
    open_gate(gates[1])
    d.wait_end(id)


main()
