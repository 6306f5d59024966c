#!/usr/bin/python3
"""mutants.py - does the suite notice when a promise is broken? TAP, one line a wrong program. `make mutants`.

Each entry is one small mistake that breaks one promise of the project, and the test that must fail because of it. The sources are
copied, a test is run on the copy as it is (it must pass), then with the mistake built in (it must fail). A mistake that cannot be
made any more, since the code has changed, is a failure as well: it is to be written anew.

  mutants.py [-j N] [PATTERN...]   only those whose promise, name or test holds one of these texts
"""
import os
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
LIMIT = 900  # seconds for one test
COMMIT = "\tr = store_commit(t->store);\n"
EARLY = "\tstruct list early = LIST_INIT(early);\n\n\tlist_splice(&early, &t->%s);\n\trun_all(&early, 0);\n" + COMMIT
ENDED = "\tif (ev->has_result && (swept || !judge_unborn(&ev->result))) {\n"

# promise, what is wrong, file, the code, the wrong code, the test
MUTANTS = [
    ("P1", "a request is answered before the commit", "daemon/engine/txn.c", COMMIT, EARLY % "replies", "tests/scenario/41-storage.t"),
    ("P1", "a request is answered before the commit, and the power goes", "daemon/engine/txn.c", COMMIT, EARLY % "replies",
     "tests/host/powercut.t"),
    ("P1", "the disk is not asked to keep what is committed", "daemon/store/store_open.c", '"PRAGMA synchronous = FULL;"',
     '"PRAGMA synchronous = OFF;"', "tests/host/powercut.t"),
    ("P2", "a job is started before the commit, and the power goes", "daemon/engine/txn.c", COMMIT, EARLY % "effects",
     "tests/host/powercut.t"),
    ("P2", "what was started is taken for not run", "daemon/engine/recovery.c", "\tif (ev->swept)\n", "\tif (ev->swept || ev->started)\n",
     "tests/scenario/40-recovery.t"),
    ("P2", "SWEEP leaves what has not started as it is", "spawner/children.c", "\tr = jobs_bar(s, id, attempt);\n", "\tr = 0;\n",
     "tests/scenario/20-spawner.t"),
    ("P2", "a result after which the same attempt is made again counts before SWEPT", "daemon/engine/recovery.c", ENDED,
     ENDED.replace("(swept", "(true || swept"), "tests/scenario/40-stale.t"),
    ("P2", "what had no monitor before WELCOME is swept after it, without another look", "daemon/engine/recovery.c",
     "\t\tl->phase = LIVE_UNKNOWN;\n\t\tl->unseen = ", "\t\tl->phase = LIVE_SILENT;\n\t\tl->unseen = ", "tests/scenario/40-stale.t"),
    ("P2", "a job is started while another one that the spawner has not seen waits for its verdict", "daemon/engine/sched.c",
     " && g->unseen == 0 && ", " && ", "tests/scenario/40-stale.t"),
    ("P3", "nobody looks for the result of a job that ended while ctxd was away", "daemon/engine/recovery.c", ENDED,
     ENDED.replace("(swept", "false && (swept"), "tests/scenario/40-recovery.t"),
    ("P3", "the monitor writes its result after it has said it", "spawner/action.c",
     "\tr = write_result(m);\n\tlink_end(m);\n", "\tlink_end(m);\n\tr = 0;\n", "tests/scenario/40-recovery.t"),
    ("P4", "only the main process is killed after the grace", "spawner/action.c", "\t(void)tree_kill(NULL, NULL);\n",
     "\tif (m->main)\n\t\t(void)kill(m->main, SIGKILL);\n", "tests/scenario/21-monitor.t"),
    ("P4", "a monitor without descriptors does not find what it is to kill", "spawner/monitor.c", "\treturn tree_open();\n", "\treturn 0;\n",
     "tests/scenario/46-starved.t"),
    ("P9", "an end that cannot be committed is dropped", "daemon/engine/finish.c",
     "\t\tif (l) /* kept here and in the run directory, until it can be written */\n\t\t\tlive_again(l);\n",
     "\t\tif (l)\n\t\t\tlive_free(l);\n", "tests/scenario/42-faults.t"),
    ("P9", "a commit that failed is taken for one that did not", "daemon/engine/txn.c", "\trun_effects(t, r);\n", "\trun_effects(t, 0);\n",
     "tests/scenario/41-storage.t"),
    ("P9", "what lies in the journal's socket counts as read, and the journal goes", "daemon/engine/forward_place.c",
     "\tif (list_empty(&f->unsure) || !journal_link_taken(f->link))\n", "\tif (list_empty(&f->unsure))\n", "tests/scenario/57-journal.t"),
    ("P10", "the run directory of an ended job is kept", "daemon/engine/finish.c",
     "\t\t\t(void)exec_forget(g->exec, f->job->id, f->attempt);\n", "", "tests/scenario/40-recovery.t"),
]


def run(argv, cwd, env=None):
    """(exit status, what it said); as a failure when it takes too long."""
    p = subprocess.Popen(argv, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                         start_new_session=True)
    try:
        out, _ = p.communicate(timeout=LIMIT)
    except subprocess.TimeoutExpired:
        p.terminate()
        out, _ = p.communicate()
        return 124, out.decode(errors="replace")
    return p.returncode, out.decode(errors="replace")


class Copy:
    def __init__(self, jobs):
        self.dir, self.jobs, self.passed = tempfile.mkdtemp(prefix="ctx-mutants."), jobs, {}
        os.chmod(self.dir, 0o755)  # tests run programs as other users, too
        files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout.decode().split("\0")
        for f in files:
            if f and os.path.lexists(os.path.join(ROOT, f)):
                os.makedirs(os.path.dirname(os.path.join(self.dir, f)), exist_ok=True)
                shutil.copy2(os.path.join(ROOT, f), os.path.join(self.dir, f), follow_symlinks=False)

    def path(self, name):
        return os.path.join(self.dir, name)

    def build(self):
        code, out = run(["make", "-s", f"-j{self.jobs}", "B=build", "programs"], self.dir)
        return None if code == 0 else "it cannot be built:\n" + out[-2000:]

    def test(self, name):
        """The failed lines of a test; None: it passed."""
        env = dict(os.environ, CTX_BUILD=self.path("build"))
        code, out = run(["/usr/bin/python3", "tools/testrun.py", name], self.dir, env)
        return None if code == 0 else [x for x in out.splitlines() if x.startswith("not ok")] or [f"exit status {code}"]

    def try_one(self, file, old, new, test):
        """(caught, why)"""
        if test not in self.passed:
            self.passed[test] = self.build() or self.test(test)
        if self.passed[test]:
            return False, f"{test} fails without it: {self.passed[test]}"
        with open(self.path(file), encoding="utf-8") as f:
            text = f.read()
        if text.count(old) != 1:
            return False, f"the code to change is in {file} {text.count(old)} times"
        stat = os.stat(self.path(file))
        try:
            with open(self.path(file), "w", encoding="utf-8") as f:
                f.write(text.replace(old, new))
            wrong = self.build()
            failed = wrong or self.test(test)
        finally:
            with open(self.path(file), "w", encoding="utf-8") as f:
                f.write(text)
            os.utime(self.path(file), ns=(stat.st_atime_ns, stat.st_mtime_ns))
            for obj in (file[:-2] + ".o", "ctxd", "ctx-spawner"):
                if os.path.exists(self.path("build/" + obj)):
                    os.unlink(self.path("build/" + obj))
        if wrong:
            return False, wrong
        return bool(failed), failed[0] if failed else "the test passes"


def main():
    args, jobs = sys.argv[1:], os.cpu_count() or 1
    if args[:1] == ["-j"]:
        jobs, args = int(args[1]), args[2:]
    chosen = [m for m in MUTANTS if not args or any(a in " ".join((m[0], m[1], m[5])) for a in args)]
    print(f"1..{len(chosen)}", flush=True)
    copy, bad = Copy(jobs), 0
    try:
        for n, (promise, what, file, old, new, test) in enumerate(chosen, 1):
            caught, why = copy.try_one(file, old, new, test)
            bad += not caught
            print(f"{'ok' if caught else 'not ok'} {n} - {promise}: {what}", flush=True)
            for line in f"{os.path.basename(test)}: {why}".splitlines():
                print("#   " + line, flush=True)
    finally:
        shutil.rmtree(copy.dir, ignore_errors=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
