#!/usr/bin/python3
"""ctxd --recover-db: a new database of what can be read of a damaged one. Nothing invented, nothing readable lost, no id given
twice, the damaged one kept."""
import glob
import os
import random
import shutil
import sqlite3
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from ctxtest import *  # noqa: E402,F403

PAGE = 4096
seed = int(os.environ.get("SEED", "0")) or random.randrange(1 << 30)
rnd = random.Random(seed)
diag(f"SEED={seed}")
d = Daemon(start=False)
kept = {}  # what the good database holds
count = 0


def rows(db, table, key):
    return {r[0]: r for r in db.execute(f"SELECT * FROM {table} ORDER BY {key}")}


def read(path):
    db = sqlite3.connect(f"file:{path}?immutable=1", uri=True)
    db.text_factory = bytes
    all_of = {t: rows(db, t, k) for t, k in (("job", "id"), ("history", "edge"), ("job_env", "job"), ("meta", "one"))}
    all_of["value"] = set(db.execute("SELECT name, value, job FROM job_value"))
    all_of["check"] = db.execute("PRAGMA integrity_check").fetchall()
    all_of["counts"] = db.execute(
        "SELECT count(*) FROM state_count AS c WHERE state > 0 AND n <> (SELECT count(*) FROM job WHERE state = c.state)").fetchone()[0]
    all_of["next"] = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'job'").fetchone()[0]
    db.close()
    return all_of


def good():
    """The directory of a database with some jobs in it, which every case copies."""
    if kept:
        return
    d.start()
    for n in range(150):
        d.submit("--key", f"key {n}", "--value", f"n={n}", "--value", "tenant=acme", "--env", "BIG=" + "x" * (n * 37 % 3000),
                 "--", "sh", "-c", f"exit {n % 3}")
    wait_until(lambda: not d.json("list", "--state", "queued,running"), "the jobs to end")
    d.stop()
    kept.update(read(d.db))
    is_(len(kept["job"]), 150)


def copy():
    """A copy of it to be damaged: path of ctxd.db."""
    global count
    good()
    count += 1
    state = os.path.join(d.dir, f"copy{count}")
    shutil.copytree(d.state, state, ignore=lambda _, names: [n for n in names if n in ("run", "output")])
    return os.path.join(state, "ctxd.db")


def recover(path, run_dir=None):
    state = os.path.dirname(path)
    return run([CTXD, "--user", "--state-dir", state, "--runtime-dir", run_dir or state + ".run", "--recover-db"],
               env=d.environment())


def patch(path, offset, data):
    with open(path, "r+b") as f:
        f.seek(offset)
        f.write(data)


def recovered(path, lost_jobs, what, uuid=True):
    """Recover PATH: what is there afterwards is true, and at most LOST_JOBS are missing. The report."""
    before = open(path, "rb").read() if os.path.exists(path) else None
    r = recover(path)
    if not is_(r.code, 0, f"{what}: {r.out}{r.err}"):
        return r.out
    if "nothing was done" in r.out:
        is_(open(path, "rb").read(), before, f"{what}: nothing was done")
        return r.out
    got = read(path)
    is_(got["check"], [(b"ok",)], f"{what}: integrity")
    is_(got["counts"], 0, f"{what}: counts")
    for table in ("job", "history", "job_env"):
        for key, row in got[table].items():
            ok(kept[table].get(key) == row, f"{what}: {table} {key} is as it was")
    missing = set(kept["job"]) - set(got["job"])
    ok(len(missing) <= lost_jobs, f"{what}: {len(missing)} jobs lost, at most {lost_jobs} expected:\n{r.out}")
    is_({v for v in kept["value"] if v[2] not in missing}, got["value"], f"{what}: values")
    if uuid:
        is_(got["meta"][1][1], kept["meta"][1][1], f"{what}: uuid")
    ok(got["next"] > max(kept["job"]), f"{what}: no id is given twice")
    saved = [n for n in glob.glob(path + ".damaged-*") if not n.endswith("-wal")]
    if before is not None:
        is_(open(saved[0], "rb").read(), before, f"{what}: the damaged one is kept")
    is_(sorted(n for n in os.listdir(os.path.dirname(path)) if n.startswith("ctxd.db") and "damaged" not in n), ["ctxd.db"], what)
    return r.out


def starts(path):
    """ctxd starts on it and works: the id of a new job."""
    e = Daemon(start=False)
    shutil.rmtree(e.state, ignore_errors=True)
    shutil.copytree(os.path.dirname(path), e.state)
    e.start()
    i = e.submit("true")
    is_(e.wait_end(i)["state"], "succeeded")
    e.cleanup()
    return i


def tree_pages(path, name):
    db = sqlite3.connect(f"file:{path}?immutable=1", uri=True)
    pages = [p for (p,) in db.execute("SELECT pageno FROM dbstat WHERE name = ? AND pagetype = 'leaf'", (name,))]
    root = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (name,)).fetchone()[0]
    db.close()
    return pages, root


@case("a database that is whole is left alone")
def _():
    path = copy()
    before = open(path, "rb").read()
    r = recover(path)
    is_(r.code, 0)
    like(r.out, "whole: nothing was done")
    is_(open(path, "rb").read(), before)
    is_(glob.glob(path + "*"), [path])


@case("one page after the other is zeros")
def _():
    path = copy()
    n = os.path.getsize(path) // PAGE
    step = int(os.environ.get("PAGES", "7"))  # of those that hold no schema and no roots; 1: all
    for page in [*range(1, 42), *range(42 + rnd.randrange(step), n + 1, step)]:
        p = copy()
        patch(p, (page - 1) * PAGE, b"\0" * PAGE)
        recovered(p, 30, f"page {page} of {n}", uuid=False)
        shutil.rmtree(os.path.dirname(p))


@case("a leaf of the jobs is gone: the others are there, and which are not is told")
def _():
    path = copy()
    pages, _ = tree_pages(path, "job")
    patch(path, (pages[len(pages) // 2] - 1) * PAGE, b"\xff" * PAGE)
    out = recovered(path, 20, "leaf")
    lost = sorted(set(kept["job"]) - set(read(path)["job"]))
    need(lost, "some are lost")
    like(out, rf"job: rows {lost[0]} to {lost[-1]} cannot be read")
    like(out, rf"lost: jobs {lost[0]}-{lost[-1]}$")
    like(out, rf"job: {150 - len(lost)} rows saved")
    ok(starts(path) > 150, "no id is given twice")


@case("the first leaf of the jobs is gone: which are not there is told")
def _():
    path = copy()
    patch(path, (tree_pages(path, "job")[0][0] - 1) * PAGE, b"\xff" * PAGE)
    out = recovered(path, 20, "first leaf")
    like(out, rf"lost: jobs 1-{min(read(path)['job']) - 1}$")


@case("the root of a table is gone, or an index lies in its place: what it leads to is not lost")
def _():
    for table in ("job", "history", "job_env"):
        for data in (b"\0" * PAGE, b"\x55" * PAGE, None):
            path = copy()
            _, root = tree_pages(path, table)
            _, index = tree_pages(path, "job_by_trace")
            with open(path, "rb") as f:
                f.seek((index - 1) * PAGE)
                patch(path, (root - 1) * PAGE, data or f.read(PAGE))
            out = recovered(path, 0, f"root of {table}")
            like(out, "1 pages that lead to others were made anew")
            is_(read(path)[table], kept[table], table)


@case("with the root of a table that has inner pages below, and one of these, nothing is lost either; nor with two inner ones")
def _():
    base = copy()
    db = sqlite3.connect(base)
    text = ",".join(f"{n + 10000000}" for n in range(40000))
    db.execute("WITH RECURSIVE n(i) AS (SELECT 10000000 UNION ALL SELECT i + 1 FROM n WHERE i < 10030000)"
               " INSERT INTO history(edge, job, attempt, at, from_state, to_state, cause_code, cause)"
               " SELECT i, 1, 1, i, 2, 5, 1, substr(?, i % 1000, 200) FROM n", (text,))
    db.commit()
    db.close()
    with_many = rows(sqlite3.connect(f"file:{base}?immutable=1", uri=True), "history", "edge")
    db = sqlite3.connect(f"file:{base}?immutable=1", uri=True)
    inner = [p for (p,) in db.execute("SELECT pageno FROM dbstat WHERE name = 'history' AND pagetype = 'internal' ORDER BY path")]
    db.close()
    need(len(inner) > 3, f"three levels: {inner}")
    for pages in (inner[:2], inner[1:3], inner):
        path = os.path.join(os.path.dirname(copy()), "ctxd.db")
        shutil.copy(base, path)
        for p in pages:
            patch(path, (p - 1) * PAGE, b"\0" * PAGE)
        r = recover(path)
        is_(r.code, 0, r.err)
        like(r.out, f"{len(pages)} pages that lead to others were made anew")
        db = sqlite3.connect(f"file:{path}?immutable=1", uri=True)
        is_(rows(db, "history", "edge") == with_many, True, f"history without {pages}: {r.out}")
        db.close()


@case("two leaves lie in each other's place: what is between them is not lost, nor what lies on them if they are of one table")
def _():
    for one, two in (("job", "job"), ("job", "job_env"), ("job_env", "history")):
        path = copy()
        a, b = tree_pages(path, one)[0][1], tree_pages(path, two)[0][-2]
        data = open(path, "rb").read()
        patch(path, (a - 1) * PAGE, data[(b - 1) * PAGE:b * PAGE])
        patch(path, (b - 1) * PAGE, data[(a - 1) * PAGE:a * PAGE])
        out = recovered(path, 0 if one == two else 20, f"{one} and {two}")
        need("rows saved" in out, out)


@case("only an index is damaged: every row is saved")
def _():
    path = copy()
    for index in ("job_by_uid", "job_by_trace", "history_job", "job_by_key"):
        _, root = tree_pages(path, index)
        patch(path, (root - 1) * PAGE, b"\x55" * PAGE)
    out = recovered(path, 0, "index")
    like(out, "job: 150 rows saved, all of it")
    ok(starts(path) > 150, "no id is given twice")


@case("the description of a table that jobs need not is damaged: its rows are saved")
def _():
    path = copy()
    db = sqlite3.connect(path)
    db.execute("INSERT INTO forward SELECT id, id, 1, 0, 1, 7, 0, 0, 0 FROM job")
    db.commit()
    db.close()
    at = open(path, "rb").read().index(b"CREATE TABLE forward(")
    patch(path, at, b"CREATE TABLE \x01orward(")
    r = recover(path)
    is_(r.code, 0, r.err)
    like(r.out, "the usual one is assumed")
    db = sqlite3.connect(f"file:{path}?immutable=1", uri=True)
    is_(db.execute("SELECT count(*), sum(out_at) FROM forward").fetchall(), [(150, 1050)], r.out)
    db.close()
    is_(read(path)["job"], kept["job"])


@case("cut at any length")
def _():
    size = os.path.getsize(copy())
    for k in range(1, 10):
        path = copy()
        os.truncate(path, size * k // 10 + k * 17)
        recovered(path, 150, f"cut at {k}/10", uuid=k > 3)
    path = copy()
    os.truncate(path, size - PAGE)
    recovered(path, 20, "one page cut")


@case("bytes are flipped anywhere: nothing crashes, and what comes out is consistent")
def _():
    for n in range(int(os.environ.get("FLIPS", "25"))):
        path = copy()
        size = os.path.getsize(path)
        for _ in range(rnd.choice((1, 5, 50))):
            patch(path, rnd.randrange(PAGE, size), bytes([rnd.randrange(256)]))
        r = recover(path)
        ok(r.code in (0, 79), f"flip {n}: {r.code} {r.out}{r.err}")
        if r.code == 0 and "nothing was done" not in r.out:
            got = read(path)
            is_((got["check"], got["counts"]), ([(b"ok",)], 0), f"flip {n}")
        shutil.rmtree(os.path.dirname(path))


@case("the WAL is lost after a crash: what was started is not run again")
def _():
    e = Daemon()
    e.wait_end(e.submit("true"))
    e.stop()
    e.start()
    held = e.submit("true")
    e.wait_end(held)
    marker = os.path.join(e.dir, "ran")
    gate = os.path.join(e.dir, "gate")
    os.mkfifo(gate)
    e.kill9()
    # Back to when the second one was queued: as if its commits had been in the WAL alone.
    db = sqlite3.connect(e.db)
    db.execute("UPDATE job SET state = 1, started = 0, ended = 0, seq = 0, boot = NULL, pid = 0, cause_code = 0, known_by = 0,"
               " exit_code = NULL, argv = ? WHERE id = ?", (b"sh\0-c\0echo >>" + marker.encode() + b"\0", held))
    db.commit()
    _, root = tree_pages(e.db, "job_by_uid")
    db.close()
    os.makedirs(os.path.join(e.state, "output", "0"), exist_ok=True)
    with open(os.path.join(e.state, "output", "0", f"{held}.1.log"), "w", encoding="ascii") as f:
        f.write("it ran\n")
    with open(os.path.join(e.state, "output", "0", "77.1.log"), "w", encoding="ascii") as f:
        f.write("a job of which nothing is known\n")
    patch(e.db, (root - 1) * PAGE, b"\x55" * PAGE)
    r = run(e.command() + ["--recover-db"], env=e.environment())
    is_(r.code, 0, r.err)
    like(r.out, "1 jobs that were queued are interrupted now")
    e.start()
    j = e.job(held)
    is_((j["state"], j["cause_code"]), ("interrupted", "evidence_lost"))
    ok(not os.path.exists(marker), "it was not run again")
    ok(e.submit("true") > 77, "the output of job 77 shows that its id was given")
    is_(e.ctl("doctor").code, 1)
    e.check = False
    e.cleanup()


@case("what was told to the queue still holds; who waited for others is held, and that is said; spans wait on")
def _():
    e = Daemon(conf="[traces]\noutbox = 100\n[class batch]\n[class web]\n")
    blocker = e.submit("sleep", "1000")
    done = e.submit("true")
    e.wait_end(done)
    e.ctl_ok("pause", "batch")
    paused = e.submit("-c", "batch", "true")
    waits = [e.submit("--after", f"{blocker}:any", "true") for _ in range(2)]
    e.ctl_ok("hold", waits[1])
    plain = e.submit("-c", "batch", "--after", done, "true")
    e.ctl_ok("drain")
    last = e.sql("SELECT max(seq) FROM outbox")[0][0]
    spans = e.sql("SELECT seq, span FROM outbox")
    need(len(spans) == 1, "a span waits")
    e.kill9()
    db = sqlite3.connect(e.db)
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    _, root = tree_pages(e.db, "job_by_uid")
    patch(e.db, (root - 1) * PAGE, b"\x55" * PAGE)
    r = run(e.command() + ["--recover-db"], env=e.environment())
    is_(r.code, 0, r.err)
    like(r.out, r"(?m)^2 jobs that waited for others are held, .*`ctxctl release`")
    like(r.out, "(?m)^outbox: 1 rows saved, all of it$")
    is_(e.sql("SELECT seq, span FROM outbox"), spans)
    ok(e.sql("SELECT seq FROM sqlite_sequence WHERE name = 'outbox'")[0][0] > last, "no number of a span is given twice")
    e.start()
    s = e.json("status")
    is_((s["draining"], s["paused"], s["paused_classes"]), (True, False, ["batch"]))
    is_({i: e.job(i)["waiting_for"] for i in (paused, plain, *waits)},
        {paused: "resume", plain: "resume", waits[0]: "release", waits[1]: "release"})
    like(e.ctl_ok("events", waits[0]), "held: the database was damaged, and for whom it waited is not known any more")
    e.ctl_ok("resume")
    for i in (paused, plain):
        is_(e.wait_end(i)["state"], "succeeded")
    e.ctl_ok("release", *waits)
    for i in waits:
        is_(e.wait_end(i)["state"], "succeeded", "an operator lets it go")
    e.ctl_ok("cancel", "--now", "--wait", blocker)
    e.cleanup()


@case("the database itself is missing, its WAL is there")
def _():
    e = Daemon()
    ids = [e.submit("true") for _ in range(20)]
    for i in ids:
        e.wait_end(i)
    e.kill9()
    os.unlink(e.db)
    r = run(e.command(), env=e.environment())
    is_(r.code, 79)
    like(r.err, "--recover-db")
    r = run(e.command() + ["--recover-db"], env=e.environment())
    is_(r.code, 0, r.out + r.err)
    e.start()
    is_([j["id"] for j in e.json("list", "--all")], ids)
    e.check = False
    e.cleanup()


@case("what a run that died between the last steps left is finished")
def _():
    path = copy()
    os.rename(path, path + ".recovered")
    with open(path + "-wal", "wb") as f:
        f.write(b"\0" * 32)
    e = run([CTXD, "--user", "--state-dir", os.path.dirname(path), "--runtime-dir", path + ".run"], env=d.environment())
    is_(e.code, 79, "in between it is refused")
    r = recover(path)
    is_(r.code, 0, r.err)
    like(r.out, "an earlier recovery is finished")
    is_(read(path)["job"], kept["job"])


@case("refused: while a ctxd runs, another program's, a newer one, one that is not there, no database")
def _():
    e = Daemon()
    r = run(e.command() + ["--recover-db"], env=e.environment())
    is_(r.code, 1)
    like(r.err, rf"another ctxd \(pid {e.proc.pid}\)")
    e.cleanup()
    for pragma, text in (("user_version = 9999", "newer"), ("application_id = 77", "another program")):
        path = copy()
        db = sqlite3.connect(path)
        db.execute(f"PRAGMA {pragma}")
        db.close()
        before = open(path, "rb").read()
        r = recover(path)
        is_(r.code, 79)
        like(r.err, text)
        is_(open(path, "rb").read(), before)
        is_(glob.glob(path + "*"), [path])
    path = copy()
    with open(path, "w", encoding="ascii") as f:
        f.write("Dear diary,\n" * 500)
    r = recover(path)
    is_(r.code, 79)
    like(r.err, "not a database")
    os.unlink(path)
    r = recover(path)
    is_(r.code, 79)
    like(r.err, "not there")


@case("nothing at all can be read: refused, and kept as it is")
def _():
    path = copy()
    n = os.path.getsize(path)
    with open(path, "wb") as f:
        f.write(b"\0" * n)
    r = recover(path)
    is_(r.code, 79, r.out)
    like(r.err, "nothing of it can be read")
    is_(glob.glob(path + "*"), [path])


main()
