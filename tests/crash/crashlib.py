"""crashlib.py - one daemon that dies at one point: for points.t and calls.t.

    t = Trial("name", "ctxd.submit.committed+all")
    t.up(); t.submit(); …            # raises one of t.CUT_OFF when ctxd dies in the middle
    t.died()                         # it was killed, at that point
    t.recover(); t.settle(); t.judge()

Many of these run at once, in threads: so nothing here speaks TAP or shares anything.
"""
import base64
import json
import os
import shutil
import signal
import socket
import sqlite3
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scenario", "lib"))
import ctxtest  # noqa: E402
import spawnerdrv  # noqa: E402
from varlink import Varlink, VarlinkClosed  # noqa: E402

HOUR = 3600 * 1000000  # microseconds
BOUND = ctxtest.TIMEOUT * 2
CONF = "[limits]\nrunning = 8\n[deadline]\ntimeout = 10m\nmax_timeout = 100h\ngrace = 2s\n"
CHANGES = ("Cancel", "Close", "Extend", "Resolve", "Scope")
ACTIVE = ("queued", "running", "stopping")


class Vain(Exception):
    """A wait came to its bound."""


class Died(Exception):
    """The point was passed."""


def witness_of(path):
    """{(id, attempt): [begins, code or None]}; a second end is a second begin."""
    seen = {}
    try:
        with open(path, encoding="ascii") as f:
            lines = f.read().split("\n")
    except FileNotFoundError:
        return seen
    for line in lines:
        w = line.split()
        if not w:
            continue
        e = seen.setdefault((int(w[0]), int(w[1])), [0, None])
        if w[2] == "begin":
            e[0] += 1
        else:
            e[0] += e[1] is not None
            e[1] = int(w[3])
    return seen


class Trial:
    CUT_OFF = (Died, VarlinkClosed, OSError)

    def __init__(self, point, at, conf="", prefix=()):
        self.point, self.prefix = point, list(prefix)
        self.d = ctxtest.Daemon(conf=conf + CONF if not conf else conf + CONF.split("\n", 2)[2], start=False)
        self.crash = os.path.join(self.d.dir, "crash")
        self.env = {"CTX_CRASH_AT": at, "CTX_CRASH_FILE": self.crash} if at else {}
        self.path = os.path.join(self.d.dir, "witness")
        self.link = None
        self.acked = []
        self.told = False  # a change was acknowledged
        self.gone = set()  # ids whose records were removed, as asked
        self.restarts = 0

    # Waiting

    def wait(self, fn, what, bound=BOUND):
        end = time.monotonic() + bound
        while True:
            value = fn()
            if value:
                return value
            if time.monotonic() > end:
                raise Vain(what)
            time.sleep(0.005)  # allow-sleep: the one bounded poll

    def passed(self):
        return bool(self.env) and os.path.exists(f"{self.crash}.{self.point}")

    def check_crash(self):
        if self.passed():
            raise Died

    def wait_crash(self):
        """Until the point is passed: Died."""
        self.wait(lambda: self.check_crash() or not self.running(), f"{self.point} to be passed")
        raise Died

    # ctxd

    def running(self):
        return self.d.running()

    def ended(self):
        """Exit status of the ctxd that is dying."""
        self.wait(lambda: not self.running(), "ctxd to end")
        return self.d.proc.wait()

    def up(self, armed=True):
        """Start ctxd, until it serves and can start jobs; or dies."""
        self.drop()
        if self.d.proc:
            self.ended()
            self.d.proc = None
        self.d.start(env=self.env if armed else None, wait=False, prefix=self.prefix if armed else ())
        self.wait(lambda: self.serves() or not self.running(), "ctxd and its spawner to be up")
        if not self.running():
            raise Died

    def serves(self):
        """Can jobs be started? (A READY=1 may be of the ctxd before.)"""
        try:
            return self.call("Stats")["spawner_up"]
        except self.CUT_OFF:
            return False

    def drop(self):
        if self.link:
            self.link.close()
        self.link = None

    def call(self, method, **params):
        try:
            if not self.link:
                self.link = Varlink(self.d.sock, BOUND)
            reply = self.link.call(method, **params)
            self.told |= method in CHANGES or params.get("if_exists") == "retry"
            return reply
        except (VarlinkClosed, OSError):
            self.drop()
            raise

    # Operations

    def job(self, sh, gate, code):
        """argv of a job for the witness. Only builtins: one process, which dies with its monitor."""
        lines = [f'echo "$CTX_ID $CTX_ATTEMPT begin" >>{self.path}']
        if sh:
            lines.append(sh)
        if gate:
            path = os.path.join(self.d.dir, "gate-" + gate)
            if not os.path.exists(path):
                os.mkfifo(path)
            lines.append(f"read x <{path}")
        lines.append(f'echo "$CTX_ID $CTX_ATTEMPT end {code}" >>{self.path}; exit {code}')
        return ["sh", "-c", "\n".join(lines)]

    def submit(self, sh="", gate="", code=7, stdin=None, **params):
        """Id of the job, acknowledged."""
        if stdin is not None:
            params["stdin"] = self.call("Spool", data=base64.b64encode(stdin).decode())["spool"]
        if "timeout_usec" not in params and "key" in params:
            params["timeout_usec"] = HOUR
        id = self.call("Submit", argv=self.job(sh, gate, code), env={"PATH": os.environ["PATH"]}, **params)["job"]["id"]
        self.acked.append(id)
        return id

    def go(self, gate):
        """Let who waits at the gate go on. False: nobody does."""
        try:
            fd = os.open(os.path.join(self.d.dir, "gate-" + gate), os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            return False
        os.write(fd, b"go\n")
        os.close(fd)
        return True

    def wait_begun(self, id):
        def begun():
            self.check_crash()
            return any(k[0] == id for k in self.witness())

        self.wait(begun, f"job {id} to begin")

    def idle(self):
        return not [j for j in self.rows() if j["state"] in ACTIVE]

    def wait_idle(self):
        self.wait(self.idle, "all jobs to end")

    # What there is

    def rows(self):
        """All records."""
        got, after = [], None
        while True:
            page = self.call("List", **({} if after is None else {"after": after}))
            got += page["jobs"]
            after = page["next"]
            if after is None:
                return got

    def witness(self):
        return witness_of(self.path)

    def sql(self, query, *args, write=False):
        db = sqlite3.connect(self.d.db if write else f"file:{self.d.db}?mode=ro", uri=not write, timeout=10)
        try:
            got = db.execute(query, args).fetchall()
            db.commit()
            return got
        finally:
            db.close()

    def inputs(self):
        """Ids that have a file in stdin/."""
        top = os.path.join(self.d.state, "stdin")
        found = []
        for sub in os.listdir(top):
            try:
                found += [int(n) for n in os.listdir(os.path.join(top, sub))]
            except FileNotFoundError:
                pass
        return found

    def outputs(self):
        """Ids of which there is a file of output."""
        top = os.path.join(self.d.state, "output")
        return {int(n.split(".")[0]) for _, _, files in os.walk(top) for n in files}

    def monitor_deadline(self, id, attempt=1):
        """What the monitor says in HELLO; None when it does not answer."""
        s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        s.settimeout(BOUND)
        try:
            s.connect(os.path.join(self.d.run, "jobs", f"{id}.{attempt}", "ctl"))
            return spawnerdrv.Frame(s.recv(16384)).deadline_ns
        except OSError:
            return None
        finally:
            s.close()

    # Death and what follows

    def come_to_crash(self, again=None):
        """The operation is over or was cut off: until the point is passed. A ctxd that died for a point before it is started
        again, and so is the operation if it is one that can be repeated. False: it is not passed."""
        end = time.monotonic() + BOUND
        while not self.passed():
            if time.monotonic() > end:
                return False
            try:
                if not self.running():
                    if self.passed():  # since it was looked for: that is how ctxd ended
                        break
                    self.up()
                if again:
                    again()
                else:
                    self.wait_crash()
            except self.CUT_OFF + (Vain,):
                pass
            again = None if self.passed() else again
        return True

    def died(self):
        """The process that passed the point is gone, by the signal it gave itself; so are those it took along."""
        def pid():
            with open(f"{self.crash}.{self.point}", encoding="ascii") as f:
                text = f.read()
            return int(text) if text.endswith("\n") else 0

        victim = self.wait(pid, "the id of who died")
        self.wait(lambda: ctxtest.exited(victim), f"process {victim} to die at {self.point}")
        if self.point.startswith("ctxd.") and self.d.proc:
            code = self.ended()
            if code != -signal.SIGKILL:
                raise Vain(f"ctxd ended with {code} instead of SIGKILL")
            if self.d.proc.pid != victim:
                raise Vain(f"{victim} died at {self.point}, not {self.d.proc.pid}")
        if "+" in self.env["CTX_CRASH_AT"].rpartition(",")[2]:
            also = self.env["CTX_CRASH_AT"].rpartition("+")[2]
            kinds = {"all": (b"ctxd\n", b"ctx-spawner\n", b"ctx-monitor\n"), "ctxd": (b"ctxd\n",), "spawner": (b"ctx-spawner\n",)}[also]
            if b"ctxd\n" in kinds and self.d.proc:
                self.ended()

    def reboot(self):
        """As near to a power cut as one gets without one: every process is killed, the run directory is of memory, and the
        boot that the rows name is over."""
        self.drop()
        if self.d.proc:
            self.d.proc.kill()
            self.d.proc.wait()
            self.d.proc = None
        self.d._kill_all()
        shutil.rmtree(self.d.run, ignore_errors=True)
        self.sql("UPDATE job SET boot = randomblob(length(boot)) WHERE boot IS NOT NULL", write=True)

    def recover(self):
        """What a service manager does: a ctxd that is gone is started again."""
        self.drop()
        self.env_was, self.env = self.env, {}
        if self.d.proc and self.d.proc.poll() is not None:
            self.d.proc = None
        if not self.d.proc:
            self.up(armed=False)
            self.restarts += 1
        self.wait(self.serves, "the spawner to be up")

    def settle(self, release=None):
        end = time.monotonic() + BOUND
        while not self.idle():
            if release:
                release()
            if time.monotonic() > end:
                raise Vain("all jobs to end: " + json.dumps([(j["id"], j["state"], j["cause"]) for j in self.rows()]))
            time.sleep(0.005)  # allow-sleep: the one bounded poll

    # The verdict

    def missing(self):
        """Of what was acknowledged until now. To be asked before anything is submitted again, which would get a lost id anew."""
        rows = {j["id"] for j in self.rows()}
        return [f"job {i} was acknowledged and is not in the database" for i in self.acked if i not in rows | self.gone]

    def judge(self):
        """What is wrong by the witness, whatever was promised in particular."""
        bad, rows, seen = self.missing(), {j["id"]: j for j in self.rows()}, self.witness()
        for (id, attempt), (begins, code) in sorted(seen.items()):
            j = rows.get(id)
            if not j and id not in self.gone:
                bad.append(f"job {id} ran and is not in the database")
            elif j and attempt > j["attempt"]:
                bad.append(f"attempt {attempt} of job {id} ran, and the record knows of {j['attempt']}")
            if begins > 1:
                bad.append(f"attempt {attempt} of job {id} ran {begins} times")
        for id, j in rows.items():
            begins, code = seen.get((id, j["attempt"]), [0, None])
            if j["kind"] == "scope":
                continue
            if j["state"] in ("succeeded", "failed"):
                if (begins, code) != (1, j["exit_code"]) or code is None:
                    bad.append(f"job {id} is {j['state']} with {j['exit_code']} ({j['cause']}), the witness says {begins}, {code}")
            elif j["exit_code"] is not None and code != j["exit_code"]:
                bad.append(f"job {id} is {j['state']} with {j['exit_code']}, the witness says {code}")
            told = j["cause_code"] == "shutdown" and j["known_by"] in ("monitor", "result_file")  # how it ended on STOP
            if j["state"] == "interrupted" and not told and (j["exit_code"] is not None or j["signal"] is not None):
                bad.append(f"job {id} is interrupted, yet has an exit status")
            alive = self.d.job_pids(id) if j["state"] not in ACTIVE else []
            if alive and not j["survivors_possible"]:
                bad.append(f"job {id} is {j['state']}, yet these are alive: {alive}")
        if not bad:
            try:
                self.wait(lambda: not self.d.job_dirs(), "run directories to go")
            except Vain:
                bad.append(f"run directories of ended jobs are left: {self.d.job_dirs()}")
        if self.d.proc and self.d.proc.poll() is not None:
            bad.append(f"ctxd died unasked: {self.d.proc.returncode}")
        return bad

    def tell(self):
        said = ["witness: " + repr(self.witness())]
        try:
            for j in self.rows():
                said.append(f"{j['id']} {j['kind']} {j['state']} attempt {j['attempt']} exit {j['exit_code']} {j['cause_code']} "
                            f"{j['cause']!r} {j['known_by']}")
        except Exception as e:
            said.append(f"no records: {e!r}")
        return said + ["  " + x for x in self.d.log_text().splitlines()[-40:]]

    def close(self):
        self.drop()
        self.d.check = False
        if self.d in ctxtest._daemons:
            ctxtest._daemons.remove(self.d)
        try:
            self.d._kill_all()
        finally:
            self.d._notify_close()
            shutil.rmtree(self.d.dir, ignore_errors=True)
