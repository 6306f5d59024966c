#!/usr/bin/python3
# test-timeout: 900
"""Every point of RECOVERY.md: the process that passes it dies there, alone, with its partner, with all of ctx, or with the
machine; what is left is started again; and what comes of it is what the table promises.

The table is the list of the tests. It is compared with the points in the code, both ways; that much is tested of any build.
The rest needs the programs of `make CRASH=1` (`make check-crash`), which have the points in them.

A trial is a ctxd of its own, one operation (column `while`), one death. The witness is independent of ctx: each job appends
`ID ATTEMPT begin` and `ID ATTEMPT end CODE` to a file and exits with the code that it chose. Of every trial it is asked:
nothing ran twice (an attempt begins once), nothing ran that has no row, an exit status on record is the one that was chosen
and seen by the witness, who has no exit status does not claim one, and nothing of an ended job is alive.

  points.t [-v] [PATTERN...]   only the trials whose `point/while/column` holds one of these texts
"""
import base64
import concurrent.futures
import os
import re
import sys
import time
import traceback

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scenario", "lib"))
import ctxtest  # noqa: E402
from crashlib import BOUND, HOUR, Trial  # noqa: E402
from journal import Journal  # noqa: E402
from varlink import Varlink  # noqa: E402

ROOT = ctxtest.ROOT
COLUMNS = ["point", "while", "on disk and in the run directory then", "alone", "and its partner", "all", "the machine"]
COMMIT_STAGES = ("commit", "committed", "answered", "done")
WITH = {"alone": {}, "and its partner": {"ctxd": "+spawner", "spawner": "+ctxd", "monitor": "+spawner"}, "all": {}, "the machine": {}}
UNCHANGED = {"nothing", "goes on", "as before", "unresolved", "not again"}
AT_ONCE = int(os.environ.get("CTX_CRASH_JOBS", "8"))


def table():
    """[(point, while, {column: {outcome, ...}})] of RECOVERY.md."""
    rows, on = [], False
    with open(os.path.join(ROOT, "RECOVERY.md"), encoding="utf-8") as f:
        for line in f:
            cells = [c.strip() for c in line.strip().strip("|").split("|")] if line.startswith("|") else []
            if cells == COLUMNS:
                on = True
            elif not cells:
                on = False
            elif on and not cells[0].startswith("-"):
                assert len(cells) == len(COLUMNS), line
                promised = {c: set(re.findall(r"`([^`]+)`", cell)) for c, cell in zip(COLUMNS[3:], cells[3:])}
                rows.append((cells[0].strip("`"), cells[1], promised))
    return rows


def points_in_code():
    found = set()
    for top in ("lib", "daemon", "spawner"):
        for folder, _, files in os.walk(os.path.join(ROOT, top)):
            for name in files:
                if not name.endswith(".c"):
                    continue
                with open(os.path.join(folder, name), encoding="utf-8") as f:
                    text = f.read()
                for kind, args in re.findall(r"\bCRASH_(POINT|COMMIT)\(([^;]*)\);", text):
                    for n in re.findall(r'"([^"]+)"', args):
                        found |= {n} if kind == "POINT" else {f"{n}.{s}" for s in COMMIT_STAGES}
    return found


def has_points(program):
    with open(os.path.join(ctxtest.BUILD, program), "rb") as f:
        return b"CTX_CRASH_AT" in f.read()


# The operations: what is done to a daemon until the death, and what is asked afterwards. --------------------------------------


class Op:
    """One operation. do() runs until the death, and may be cut off by it; outcome() says what came of it, as the table does."""

    conf = ""
    armed_first = ""  # a point that kills before the one that is tested
    key = "k"

    def __init__(self, t):
        self.t = t

    def do(self):
        raise NotImplementedError

    def dead(self, machine):
        """The death is over, and nothing is started again yet."""

    def release(self):
        """What is needed for everything to come to its end."""

    def done(self):
        """The trial is over, however it went."""

    def outcome(self):
        raise NotImplementedError

    def one(self):
        rows = [j for j in self.t.rows() if j["key"] == self.key]
        assert len(rows) <= 1, rows
        return rows[0] if rows else None

    def ran(self, j, code=7):
        """once, interrupted, canceled…"""
        if not j:
            return "nothing"
        if j["state"] in ("succeeded", "failed") and j["exit_code"] == code and j["attempt"] == 1:
            return "once"
        return j["state"]


class Submit(Op):
    def do(self):
        self.t.submit(key=self.key)
        self.t.wait_idle()

    def outcome(self):
        got = self.ran(self.one())
        # Whoever was cut off asks again with the key: the same job, or now one.
        id = self.t.submit(key=self.key)
        self.t.wait_idle()
        again = self.one()
        assert again and again["id"] == id and again["attempt"] == 1, again
        if got == "nothing":
            assert self.ran(again) == "once", again
        return got


class Start(Submit):
    """Nothing is submitted before the death; a job that comes after it is served."""

    def do(self):
        pass

    def outcome(self):
        assert not self.t.rows()
        self.t.submit(key=self.key)
        self.t.wait_idle()
        return self.ran(self.one())


class Stdin(Submit):
    def do(self):
        self.t.submit(key=self.key, sh='read x; [ "$x" = hello ] || exit 9', stdin=b"hello\nworld\n")
        self.t.wait_idle()

    def outcome(self):
        got = self.ran(self.one())
        kept = [j["id"] for j in self.t.rows() if j["stdin_bytes"]]
        self.t.wait(lambda: all(i in kept for i in self.t.inputs()), f"input of no job to go: {self.t.inputs()}")
        return got


class Queue(Op):
    conf = "[limits]\nrunning = 1\n"

    def do(self):
        self.t.wait_begun(self.t.submit(gate="a"))
        self.t.submit(key=self.key)
        self.t.wait(lambda: self.t.go("a"), "the first job to wait")
        self.t.wait_idle()

    def release(self):
        self.t.go("a")

    def outcome(self):
        return self.ran(self.one())


class Gated(Op):
    """A job that waits for a gate; then what act() does to it."""

    params = {}
    before = ""

    def do(self):
        self.id = self.t.submit(key=self.key, sh=self.before, gate="g", **self.params)
        self.t.wait_begun(self.id)
        self.act()

    def act(self):
        raise NotImplementedError

    def release(self):
        self.t.go("g")


def telling(words):
    """Shell: tell the monitor, and live until it has read that: who has gone cannot be asked whose it was."""
    return ("python3 -c 'import os, socket; s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); r, w = os.pipe(); "
            f's.connect(os.environ["NOTIFY_SOCKET"]); socket.send_fds(s, [b"{words}\\nBARRIER=1"], [w]); os.close(w); os.read(r, 1)\'')


class Progress(Gated):
    before = telling("STATUS=half way\\nX_CTX_PERCENT=50")

    def act(self):
        self.t.wait_crash()

    def outcome(self):
        j = self.one()
        told = "told" if j["progress"] and j["progress"]["text"] == "half way" and j["progress"]["percent"] == 50 else "untold"
        ran = self.ran(j)
        return told if ran == "once" else f"{ran}, told" if told == "told" else ran


class Extend(Gated):
    params = {"timeout_usec": HOUR}

    def act(self):
        self.t.call("Extend", id=self.id, by_usec=10 * HOUR)
        self.t.wait_crash()

    def release(self):
        """Before it ends its monitor is asked for the deadline that it holds, until that is the one of the row."""
        j = self.one()
        if j["state"] == "running":
            row = self.t.sql("SELECT deadline_boot_ns FROM job WHERE id = ?", j["id"])[0][0]
            if self.t.monitor_deadline(j["id"]) != row:  # it is gone, or will be told
                return
            left = row - time.clock_gettime_ns(time.CLOCK_BOOTTIME)
            self.holds = "later" if left > 2 * HOUR * 1000 else "as before"
        super().release()

    def outcome(self):
        ran = self.ran(self.one())
        return self.holds if ran == "once" else ran


class SelfExtend(Extend):
    before = telling("EXTEND_TIMEOUT_USEC=36000000000")

    def act(self):
        self.t.wait_crash()


class Cancel(Gated):
    now = False

    def act(self):
        self.t.call("Cancel", id=self.id, now=self.now)
        self.t.wait_crash()

    def release(self):
        j = self.one()
        if j and j["state"] == "running" and j["cause_code"] is None:
            super().release()

    def outcome(self):
        got = self.ran(self.one())
        return "goes on" if got == "once" else got


class CancelNow(Cancel):
    now = True


class ShutDown(Cancel):
    """Told by its monitor that it ended on STOP, or found dead: both are `interrupted`."""

    def act(self):
        self.t.call("Shutdown")
        self.t.wait_crash()

    def outcome(self):
        j = self.one()
        return "shut down" if (j["state"], j["cause_code"]) == ("interrupted", "shutdown") else super().outcome()


class Deadline(Gated):
    params = {"timeout_usec": 300000}

    def act(self):
        self.t.wait_crash()

    def release(self):
        pass

    def outcome(self):
        return self.ran(self.one())


class CancelQueued(Op):
    conf = "[limits]\nrunning = 1\n"

    def do(self):
        self.t.submit(gate="a")
        id = self.t.submit(key=self.key)
        self.t.call("Cancel", id=id)
        self.t.wait_crash()

    def release(self):
        self.t.go("a")

    def outcome(self):
        got = self.ran(self.one())
        return "goes on" if got == "once" else got


class Scope(Op):
    def do(self):
        self.t.call("Scope", name="s")

    def scope(self):
        rows = [j for j in self.t.rows() if j["kind"] == "scope"]
        assert len(rows) <= 1, rows
        return rows[0] if rows else None

    def outcome(self):
        s = self.scope()
        return s["state"] if s else "nothing"


class Tree(Scope):
    """A scope, two jobs that run in it and one that queues; closed."""
    conf = "[limits]\nrunning = 2\n"

    def do(self):
        s = self.t.call("Scope", name="s")["job"]["id"]
        attached = {"parent": s, "inherit": ["values", "trace", "deadline", "cancel"]}
        for g in ("a", "b"):
            self.t.wait_begun(self.t.submit(gate=g, **attached))
        self.t.submit(key=self.key, **attached)
        self.t.told = False  # of the closing
        self.t.call("Close", id=s)
        self.t.wait_crash()

    def release(self):
        if self.scope()["state"] == "open":
            self.t.go("a")
            self.t.go("b")

    def outcome(self):
        closed, queued = self.scope()["state"] == "closed", self.one()
        assert (queued["state"] == "canceled") == closed, "half of a tree ended"
        below = {self.ran(j) for j in self.t.rows() if j["parent"] and not j["key"]}
        if "interrupted" in below:
            assert not closed or below <= {"interrupted", "canceled"}, below
            return "interrupted"
        assert below == ({"canceled"} if closed else {"once"}), (closed, below)
        return "canceled" if closed else "goes on"


class Retry(Op):
    def do(self):
        self.t.submit(key=self.key)
        self.t.wait_idle()
        self.t.submit(key=self.key, if_exists="retry")
        self.t.wait_idle()

    def outcome(self):
        j = self.one()
        first = self.t.witness().get((j["id"], 1))
        assert first == [1, 7], first
        if j["attempt"] == 1:
            return {"once": "not again"}.get(self.ran(j), j["state"])
        assert j["attempt"] == 2, j
        return "again" if j["state"] == "failed" and j["exit_code"] == 7 else j["state"]


class RetryByItself(Retry):
    def do(self):
        self.t.submit(key=self.key, retries=1, backoff_usec=100000)
        self.t.wait_idle()


class Lost(Submit):
    armed_first = "monitor.executed"

    def outcome(self):
        return self.ran(self.one())


class Unborn(Lost):
    armed_first = "monitor.born"


class Resolve(Lost):
    def do(self):
        self.id = self.t.submit(key=self.key)
        self.t.wait_idle()
        self.t.call("Resolve", id=self.id, **{"as": "succeeded"})
        self.t.wait_crash()

    def outcome(self):
        j = self.one()
        assert j["state"] == "interrupted" and j["half_processed"] == (j["resolution"] is None), j
        return "resolved" if j["resolution"] else "unresolved"


class Prune(Op):
    """Of a job that failed: its input is kept, too."""

    def do(self):
        self.id = self.t.submit(key=self.key, sh="echo said", stdin=b"hello\n")
        self.t.wait_idle()
        self.t.gone = {self.id}
        self.t.call("Prune", ids=[self.id])
        self.t.wait_crash()

    def outcome(self):
        got = self.ran(self.one())
        on_record = {j["id"] for j in self.t.rows()}
        self.t.wait(lambda: self.t.outputs() <= on_record and set(self.t.inputs()) <= on_record,
                    f"files of no job to go: {self.t.outputs()}, {self.t.inputs()}")
        if got == "once":
            assert self.id in self.t.outputs() and self.id in self.t.inputs(), "files of a job are gone"
        return got


class Journaled(Op):
    """A job that prints, and [output] to = journal. The witness is the journal: it has read what the row says that it has, each line of the
    file came to it, those behind that place after the death, and the file went when the row said that it has all."""

    conf = "[output]\nto = journal\n"
    text = b"".join(b"line %d\n" % i for i in range(40))

    def __init__(self, t):
        super().__init__(t)
        self.j = Journal(t.d.dir)
        t.d.env.update(self.j.env)

    def do(self):
        more = os.path.join(self.t.d.dir, "gate-more")
        os.mkfifo(more)
        part = "while [ $i -lt %d ]; do echo line $i; i=$((i+1)); done"
        self.id = self.t.submit(key=self.key, gate="g", sh=f"i=0; {part % 20}; read x <{more}; {part % 40}")
        self.printed()
        self.t.wait_crash()

    def until(self, fn):
        self.t.wait(lambda: self.t.check_crash() or fn(), "the lines, or the job")

    def printed(self):
        self.until(lambda: self.t.go("more"))
        self.until(lambda: self.j.count(self.id) >= 40)

    def dead(self, machine):
        """Right after the death. What lies in the journal's socket is lost with the machine."""
        if machine:
            self.j.away()
            self.j.back()
        self.j.go_on()
        self.t.wait(lambda: not self.j.pending(), "the journal to read what it was sent")
        row = self.t.sql("SELECT job, out_at, done FROM forward")
        self.id, self.place, self.over = row[0] if row else (None, 0, 0)
        self.had = self.j.of(self.id) if row else []
        try:
            with open(os.path.join(self.t.d.state, "output", "0", f"{self.id}.1.log"), "rb") as f:
                self.left = f.read()
        except FileNotFoundError:
            self.left = None

    def release(self):
        self.t.go("more")
        self.t.go("g")

    def outcome(self):
        j = self.one()
        ran = self.ran(j)
        assert self.left is not None or self.over or self.place == 0, "the file is gone, its row does not say that the journal has it"
        assert sum(len(e[b"MESSAGE"]) + 1 for e in self.had) >= self.place, f"{self.place} bytes that the journal had not read"
        self.t.wait(lambda: not self.t.call("Stats")["journal_waiting"], "the journal to have all of it")
        self.t.wait(lambda: not self.t.outputs(), "the file to go")
        data, sent = self.j.file(j["id"])[0], self.j.of(j["id"])[len(self.had):]
        assert not self.j.wrong, self.j.wrong
        assert data == (self.text if ran == "once" else self.left or b""), f"the journal has {data}, the file had {self.left}"
        if sent:
            assert int(sent[0][b"CTX_OFFSET"]) == self.place, f"it was told again from {sent[0]} on, the row says {self.place}"
        link = Varlink(self.t.d.sock, BOUND)
        read = b"".join(base64.b64decode(r["data"]) for r in link.call_more("Logs", id=j["id"]))
        link.close()
        assert read == data, f"Logs gives {read}"
        return "sent" if ran == "once" else f"{ran}, sent"

    def done(self):
        self.j.away()


class JournaledEnd(Journaled):
    def printed(self):
        super().printed()
        self.until(lambda: self.t.go("g"))


class JournalFull(Journaled):
    """It reads nothing any more before the death."""

    def printed(self):
        self.until(lambda: self.j.count(self.id) >= 20)
        self.j.hold()
        self.until(lambda: self.t.go("more"))
        self.until(self.j.pending)
        self.until(lambda: self.t.go("g"))


class Adopt(Gated):
    armed_first = "ctxd.hello.read"

    def act(self):
        self.t.wait_crash()

    def outcome(self):
        return self.ran(self.one())


OPS = {"start": Start, "submit": Submit, "stdin": Stdin, "queue": Queue, "progress": Progress, "extend": Extend, "self-extend": SelfExtend,
       "cancel": Cancel, "cancel now": CancelNow, "shutdown": ShutDown, "deadline": Deadline, "cancel queued": CancelQueued, "scope": Scope,
       "tree": Tree, "retry": Retry, "retry by itself": RetryByItself,
       "resolve": Resolve, "prune": Prune, "lost": Lost, "unborn": Unborn, "adopt": Adopt, "journal": Journaled,
       "journal end": JournaledEnd, "journal full": JournalFull}


# A trial -----------------------------------------------------------------------------------------------------------------


def trial(point, op_name, column, promised):
    """None, or what is wrong."""
    op_class = OPS[op_name]
    program = point.split(".")[0]
    also = WITH[column].get(program, "" if column == "alone" else "+all")
    first = op_class.armed_first
    t = Trial(point, (first + "," if first else "") + point + also, op_class.conf)
    op = op_class(t)
    try:
        try:
            t.up()
            op.do()
        except t.CUT_OFF:
            pass
        if not t.come_to_crash(op.do if op_class is Submit else None):
            return "it never came there"
        t.died()
        if column == "the machine":
            t.reboot()
        op.dead(column == "the machine")
        t.recover()
        t.settle(op.release)
        bad, told = t.missing(), t.told
        got = op.outcome()
        if told and got in UNCHANGED:
            bad.append(f"what was acknowledged is not so: `{got}`")
        t.wait_idle()
        bad += t.judge()
        if column == "the machine" and not first:
            bad += [f"job {j['id']} is interrupted by {j['cause_code']}, not by the reboot" for j in t.rows()
                    if j["state"] == "interrupted" and j["cause_code"] != "reboot"]
        if got not in promised:
            bad.insert(0, f"got `{got}`, promised {' or '.join(sorted(promised))}")
        return "\n".join(bad + t.tell()) if bad else None
    except Exception:
        return traceback.format_exc() + "\n".join(t.tell())
    finally:
        op.done()
        t.close()


def main():
    verbose = "-v" in sys.argv[1:]
    patterns = [a for a in sys.argv[1:] if a != "-v"]
    rows, n, failed = table(), 0, 0

    def report(good, what, why=""):
        nonlocal n, failed
        n += 1
        failed += not good
        print(f"{'ok' if good else 'not ok'} {n} - {what}", flush=True)
        for line in why.rstrip("\n").split("\n") if why else []:
            print("#   " + line, flush=True)

    listed, coded = {p for p, _, _ in rows}, points_in_code()
    report(len(rows) > 0 and len({r[:2] for r in rows}) == len(rows), "RECOVERY.md has the table of points, each once")
    report(not coded - listed, "the table has every point of the code", "\n".join(sorted(coded - listed)))
    report(not listed - coded, "the code has every point of the table", "\n".join(sorted(listed - coded)))
    built = {p: has_points(p) for p in ("ctxd", "ctx-spawner")}
    if not any(built.values()):
        report(not has_points("ctxctl"), "nothing of the points is in these programs")
        print(f"1..{n}")
        return 1 if failed else 0
    trials = [(p, w, c, promised[c]) for p, w, promised in rows for c in COLUMNS[3:]]
    if patterns:
        trials = [x for x in trials if any(q in "/".join(x[:3]) for q in patterns)]
    begun = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        for x, bad in zip(trials, pool.map(lambda x: trial(*x), trials)):
            report(not bad, f"{x[0]} ({x[1]}): {x[2]}", bad or "")
    print(f"# {len(trials)} deaths at {len({x[0] for x in trials})} points, {time.monotonic() - begun:.0f} s: {failed} not as promised")
    print(f"1..{n}")
    return 1 if failed else 0


sys.exit(main())
