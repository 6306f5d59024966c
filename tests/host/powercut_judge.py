"""powercut_judge.py - what was told outside of the machines of powercut.t, and whether the database agrees with it.

A Ledger takes the lines of each boot. All of it is fact: what was acknowledged, or began, or was seen to end, before the cut. The
name of a job says what it is (powercut-load.sh), so what its row must hold is known from the name alone.
"""
import re
import sqlite3
import zlib

ACTIVE, OVER = {"running", "stopping"}, {"succeeded", "failed", "canceled", "deadline_exceeded", "interrupted", "closed"}
SECONDS = {"s": "0", "k": "0.6", "l": "1000", "a": None}  # a: by its number


class Name:
    def __init__(self, text):
        m = re.fullmatch(r"([slkca])\.(\d+)\.(\d+)\.(\d+)(?:-(\d))?\.(\d+)\.(\d+)", text)
        if not m:
            raise ValueError(f"no such name: {text}")
        self.text, self.kind, self.code, self.bytes = text, m.group(1), int(m.group(6)), int(m.group(7))
        self.seconds = ("1000" if m.group(5) == "1" else "0") if self.kind == "a" else SECONDS.get(self.kind)

    def crc(self):
        """Of the standard input that it was given."""
        return "%08x" % zlib.crc32((self.text * (self.bytes // len(self.text) + 1))[:self.bytes].encode())


class Ledger:
    def __init__(self):
        self.tried = set()
        self.acked = {}  # id -> Name
        self.begun = {}  # id -> [boot]
        self.finished = {}  # id -> code, told by the job itself
        self.ended = {}  # id -> code, told by ctxctl wait
        self.canceled = {}  # id -> boot
        self.closed = set()  # ids of scopes
        self.bad = []

    def take(self, boot, lines, rows):
        """The lines of one boot, which began with the database of ROWS."""
        by_key = {r["key"]: i for i, r in rows.items() if r["key"]}
        for line in lines:
            word, *args = line.split()
            try:
                getattr(self, "_on_" + word, self._on_other)(boot, by_key, *args)
            except (TypeError, ValueError) as e:
                self.bad.append(f"boot {boot} told {line!r}: {e}")

    def _on_other(self, boot, by_key, *args):
        pass

    def _on_try(self, boot, by_key, name):
        self.tried.add(name)

    def _on_acked(self, boot, by_key, name, i):
        if self.acked.setdefault(int(i), Name(name)).text != name:
            self.bad.append(f"P1: id {i} was given to {self.acked[int(i)].text} and to {name}")

    def _on_keyed(self, boot, by_key, name, i):
        before = [k for k, v in self.acked.items() if v.text == name] or [by_key[name]] if name in by_key else []
        if before and int(i) != before[0]:
            self.bad.append(f"P1: key {name} was job {before[0]}, and is {i} in boot {boot}")
        self._on_acked(boot, by_key, name, i)

    def _on_conflict(self, boot, by_key, name, code):
        if code != "6":
            self.bad.append(f"another command under the key {name}: exit status {code}, not 6")

    def _on_begin(self, boot, by_key, i, attempt, name, crc):
        self.begun.setdefault(int(i), []).append(boot)
        if len(self.begun[int(i)]) > 1:
            self.bad.append(f"P2: job {i} ({name}) began in the boots {self.begun[int(i)]}")
        if attempt != "1":
            self.bad.append(f"P2: job {i} began as attempt {attempt}")
        if crc != Name(name).crc():
            self.bad.append(f"job {i} ({name}) read another standard input than it was given")
        if int(i) in self.acked and self.acked[int(i)].text != name:
            self.bad.append(f"P1: {name} ran as job {i}, which is {self.acked[int(i)].text}")
        if self.canceled.get(int(i), boot) < boot:
            self.bad.append(f"P2: job {i} began, and had been cancelled in boot {self.canceled[int(i)]}")

    def _on_end(self, boot, by_key, i, attempt, code):
        self.finished[int(i)] = int(code)

    def _on_ended(self, boot, by_key, i, code):
        self.ended[int(i)] = int(code)
        if int(i) in self.acked and self.acked[int(i)].code != int(code):
            self.bad.append(f"P3: wait for job {i} ({self.acked[int(i)].text}) exited {code}")

    def _on_canceled(self, boot, by_key, i):
        self.canceled[int(i)] = boot

    def _on_closed(self, boot, by_key, i):
        self.closed.add(int(i))


def rows_of(path):
    """(rows by id, what is wrong with the database itself)"""
    db = sqlite3.connect(path)
    db.row_factory = sqlite3.Row
    try:
        bad = [f"integrity_check: {r[0]}" for r in db.execute("PRAGMA integrity_check") if r[0] != "ok"]
        rows = {r["id"]: dict(r) for r in db.execute(
            "SELECT j.*, s.name AS state_name, c.name AS cause_name FROM job AS j JOIN state_count AS s ON s.state = j.state "
            "LEFT JOIN cause_name AS c ON c.cause_code = j.cause_code")}
        for r in rows.values():
            r["state"] = r["state_name"]
            if (r["key"] or "").startswith("~"):
                r["key"] = None  # of a single call, for ctxctl to ask again
        bad += [f"job {i}: its history ends in another state than its own" for (i,) in db.execute(
            "SELECT id FROM job AS j WHERE state IS NOT (SELECT to_state FROM history WHERE job = j.id ORDER BY edge DESC LIMIT 1)")]
        bad += [f"state_count: {n} {name}, counted {real}" for name, n, real in db.execute(
            "SELECT name, n, (SELECT count(*) FROM job AS j WHERE j.state = s.state AND (kind = 1 OR s.state IN (4, 10))) AS real "
            "FROM state_count AS s WHERE state > 0 AND n <> real")]
        bad += [f"key {k} of {n} jobs" for k, n in db.execute("SELECT key, count(*) FROM job WHERE key IS NOT NULL GROUP BY key HAVING count(*) > 1")]
        half = sum(r["state"] == "interrupted" for r in rows.values())
        if half != db.execute("SELECT n FROM state_count WHERE state = 0").fetchone()[0]:
            bad.append("state_count: the half-processed ones are not those interrupted")
        return rows, bad
    finally:
        db.close()


def against(ledger, rows):
    """The database as the cut left it, before any ctxd saw it, against all that was ever told. What is wrong."""
    bad = []
    for i, name in ledger.acked.items():
        if i not in rows:
            bad.append(f"P1: job {i} ({name.text}) was acknowledged and is lost")
    for i, r in rows.items():
        if r["name"] not in ledger.tried:
            bad.append(f"P1: job {i} ({r['name']}) was submitted by nobody")
        else:
            bad += [f"job {i} ({r['name']}): {b}" for b in row_is(Name(r["name"]), r)]
        if i in ledger.acked and ledger.acked[i].text != r["name"]:
            bad.append(f"P1: job {i} is {r['name']}, and was acknowledged as {ledger.acked[i].text}")
    for i in ledger.begun:
        if i not in rows:
            bad.append(f"P1: job {i} began and is lost")
        elif rows[i]["state"] == "queued":
            bad.append(f"P2: job {i} began and is queued: it would run twice")
    for i, code in ledger.ended.items():
        if i in rows and (rows[i]["state"] not in ("succeeded", "failed") or rows[i]["exit_code"] != code):
            bad.append(f"P3: job {i} was seen to end with {code}, and is {rows[i]['state']} with {rows[i]['exit_code']}")
    for i, r in rows.items():
        if r["state"] in ("succeeded", "failed") and ledger.finished.get(i) != r["exit_code"]:
            bad.append(f"P3: job {i} is {r['state']} with {r['exit_code']}, and told {ledger.finished.get(i)}")
    for i in ledger.canceled:
        if i in rows and rows[i]["state"] in ("queued", "running"):
            bad.append(f"job {i} was cancelled, and is {rows[i]['state']}")
    for i in ledger.closed:
        if i in rows and rows[i]["state"] != "closed":
            bad.append(f"scope {i} was closed, and is {rows[i]['state']}")
    for i, r in rows.items():
        parent = rows.get(r["parent"])
        if parent and parent["state"] in OVER and r["state"] in ("queued", "running"):
            bad.append(f"job {i} is {r['state']}, attached to {r['parent']}, which is {parent['state']}")
    return bad


def row_is(name, r):
    """What is not as NAME says."""
    if name.kind == "c":
        return [] if r["kind"] == 2 else ["it is no scope"]
    want = {"kind": 1, "attempt": 1, "argv": b"".join(x.encode() + b"\0" for x in ("/bin/job", name.text, name.seconds, str(name.code))),
            "class": {"s": "default", "k": "slow"}.get(name.kind, "sleep"), "key": name.text if name.kind == "k" else None,
            "stdin_bytes": name.bytes if name.kind == "k" else None, "timeout_requested": 36000 * 1000000}
    bad = [f"{k} is {r[k]!r}, not {v!r}" for k, v in want.items() if r[k] != v and not (k == "attempt" and r["state"] in ("queued", "canceled"))]
    if name.kind == "k" and (r["ctx_values"] or b"") != b"tag=" + name.text.encode() + b"\0":
        bad.append(f"its values are {r['ctx_values']!r}")
    if (name.kind == "a") != (r["parent"] > 0):
        bad.append(f"its parent is {r['parent']}")
    return bad


def after_start(before, after):
    """BEFORE: the database as the cut left it; AFTER: as ctxd has it, just started. What is wrong."""
    bad = [f"P1: job {i} is gone since the start" for i in before if i not in after]
    bad += [f"P1: job {i} came out of nothing" for i in after if i not in before]
    for i, b in before.items():
        a = after.get(i)
        if not a:
            continue
        if b["state"] in ACTIVE:
            got = (a["state"], a["cause_name"], a["exit_code"], a["signal"], a["known_by"], a["survivors_possible"])
            if got != ("interrupted", "reboot", None, 0, 3, 0):
                bad.append(f"P3: job {i} was {b['state']} when the power went, and is {got}")
        elif b["state"] in OVER:
            if a != b:
                bad.append(f"P3: job {i} was over, and changed: {[(k, b[k], a[k]) for k in b if a[k] != b[k]]}")
        elif b["state"] == "open":
            if a["state"] != "open":
                bad.append(f"scope {i} was open, and is {a['state']}")
        elif a["state"] not in ("queued", "running", "stopping", "succeeded", "failed"):
            bad.append(f"P1: job {i} was queued, and is {a['state']} ({a['cause_name']}: {a['cause']})")
    return bad


def at_the_end(ledger, rows):
    """Everything has come to its end, and what was to be run has run. What is wrong."""
    bad = []
    for i, r in rows.items():
        name = Name(r["name"])
        if r["state"] not in OVER:
            bad.append(f"job {i} is {r['state']}")
        if name.kind in "sk" and r["state"] not in ("succeeded", "failed", "interrupted"):
            bad.append(f"P1: job {i} ({r['name']}) did not run: it is {r['state']} ({r['cause']})")
        if name.kind in "sk" and r["state"] != "interrupted" and len(ledger.begun.get(i, [])) != 1:
            bad.append(f"P2: job {i} ({r['name']}) began {len(ledger.begun.get(i, []))} times")
    return bad
