#!/usr/bin/python3
"""Steering the queue: pause, drain, hold, another priority; jobs that start later, or when others have ended."""
# test-timeout: 240
import json
import os
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from ctxtest import *  # noqa: E402,F403
from apitest import epoch  # noqa: E402
from failing import failing  # noqa: E402
from sysdaemon import ALICE, SystemDaemon, identity  # noqa: E402
from varlink import Varlink, VarlinkError  # noqa: E402

CONF = "[limits]\nrunning = 4\n[class batch]\nrunning = 4\n"
d = Daemon(conf=CONF)


def waits(id):
    return d.job(id)["waiting_for"]


def state(id):
    return d.job(id)["state"]


def error(method, **args):
    with Varlink(d.sock) as v:
        try:
            got = v.call(method, **args)
        except VarlinkError as e:
            return e.short, e.params
    return need(False, f"an error was to come, not {got!r}")


@case("pause of a class, of all; across a restart; resume")
def _():
    like(d.ctl_ok("pause", "batch"), "^paused: class batch; no job is running$")
    like(d.ctl_ok("status"), "(?m)^  queue: +paused: batch$")
    i = d.submit("-c", "batch", "true")
    is_((state(i), waits(i)), ("queued", "resume"))
    like(d.ctl_ok("status", i), r"waiting for: +resume \(its class, or all of the queue, is paused\)\n")
    is_(d.ctl("submit", "--wait", "true").code, 0, "other classes go on")
    d.kill9()
    d.start()
    is_((state(i), waits(i)), ("queued", "resume"))
    is_(d.ctl("submit", "--wait", "true").code, 0)
    is_(state(i), "queued")
    like(d.ctl_ok("pause"), "^paused: nothing is started")
    k = d.submit("true")
    is_((state(k), waits(k)), ("queued", "resume"))
    is_((d.json("status")["paused"], d.json("status")["paused_classes"]), (True, ["batch"]))
    d.ctl_ok("resume", "batch")
    is_([state(i), state(k)], ["queued", "queued"])
    like(d.ctl_ok("resume"), "^nothing is paused; ")
    for x in (i, k):
        is_(d.wait_end(x)["state"], "succeeded")
    is_(error("Pause", **{"class": "nosuch"})[0], "InvalidArgument")
    r = d.ctl("pause", "no\nsuch")
    is_((r.code, r.out), (2, ""))
    like(r.err, r"^ctxctl: no such class: no\\nsuch \(")
    d.ctl_ok("pause", "batch")
    d.ctl_ok("pause", "batch")
    d.ctl_ok("resume")
    is_(d.json("status")["paused_classes"], [])


@case("drain: what runs goes on, nothing new is taken or started; --wait; resume")
def _():
    go = os.path.join(d.dir, "go")
    os.mkfifo(go)
    runs = d.submit("--shell", f"read x <{go}; exit 5")
    d.wait_state(runs, "running")
    with Varlink(d.sock) as v:
        d.ctl_ok("pause", "batch")
        queued = d.submit("-c", "batch", "true")
        is_(v.call("Drain")["draining"], True)
        d.ctl_ok("resume", "batch")
        is_(state(queued), "queued")
        for method, args in (("Submit", {"argv": ["true"]}), ("Scope", {})):
            is_(error(method, **args)[0], "Draining")
        r = d.ctl("submit", "true")
        is_(r.code, 7)
        d.kill9()
        d.start()
        is_(error("Submit", argv=["true"])[0], "Draining", "it holds across a restart")
        p = d.ctl_bg("drain", "--wait", stdout=-1)
        wait_until(lambda: d.json("status")["connections"] >= 2, "it to wait")
        is_(p.poll(), None)
        with open(go, "w") as f:
            f.write("\n")
        like(p.communicate(timeout=60)[0].decode(), "^draining: nothing is accepted or started; no job is running$")
    is_((state(runs), d.job(runs)["exit_code"], state(queued)), ("failed", 5, "queued"))
    d.ctl_ok("resume")
    is_(d.wait_end(queued)["state"], "succeeded")
    is_(d.ctl("submit", "--wait", "true").code, 0)


@case("drain --wait ends when somebody resumes, and says so")
def _():
    runs = d.submit("sleep", "1000")
    d.wait_state(runs, "running")
    p = d.ctl_bg("drain", "--wait", stdout=-1, stderr=-1)
    wait_until(lambda: d.json("status")["draining"], "it to drain")
    d.ctl_ok("resume", "batch")
    with Varlink(d.sock) as v:
        is_(v.call("Resume")["running"], 1)
    out, err = p.communicate(timeout=120)
    is_((p.returncode, out, err), (1, b"nothing is paused; 1 job is running\n", b"ctxctl: the queue was resumed meanwhile\n"))
    is_(d.job(runs)["state"], "running")
    d.ctl_ok("cancel", "--now", "--wait", runs)


@case("a class that the configuration has no more can be resumed")
def _():
    d.configure(CONF + "[class old]\n")
    d.ctl_ok("reload")
    d.ctl_ok("pause", "old")
    i = d.submit("-c", "old", "true")
    d.configure(CONF)
    d.ctl_ok("reload")
    d.ctl_ok("cancel", "--wait", i)
    like(d.ctl_ok("resume", "old"), "^nothing is paused; ")
    is_(d.ctl("resume", "old").code, 2)


@case("a list tells for what each one waits, to people and as JSON")
def _():
    block = d.submit("sleep", "1000")
    d.wait_state(block, "running")
    d.ctl_ok("pause", "batch")
    paused, late, held = d.submit("-c", "batch", "true"), d.submit("--in", "2h", "true"), d.submit("--in", "2h", "true")
    d.ctl_ok("hold", held)
    after = d.submit("--after", str(late), "true")
    again = d.submit("--retries", "1", "--backoff", "1h", "false")
    wait_until(lambda: waits(again), "it to wait for its second attempt")
    table = d.ctl_ok("list", "--state", "queued,running")
    for i, text in ((paused, "resume"), (late, r"start in (2h|1h59m)"), (held, "release"), (after, f"job {late}"), (again, r"retry in \S+"), (block, " ")):
        like(table, rf"(?m)^ *{i}  \S.* {text}  +\S+( 1000)?$")
    like(table, "WAITS FOR")
    is_({j["id"]: j["waiting_for"] for j in d.json("list", "--state", "queued,running") if j["id"] in (paused, held, after, block)},
        {paused: "resume", held: "release", after: f"job {late}", block: None})
    r = d.ctl("hold", block)
    is_((r.code, r.err), (1, f"ctxctl: job {block} is not queued but running\n"))
    like(d.ctl("submit", "--after", "x", "true").err, "^ctxctl: --after: ")
    d.ctl_ok("resume")
    d.ctl_ok("cancel", "--now", "--wait", block, late, held, after, again)
    unlike(d.ctl_ok("list", "--all"), "WAITS FOR")


@case("hold and release; what is not queued; in the history")
def _():
    d.ctl_ok("pause", "batch")
    i = d.submit("-c", "batch", "true")
    d.ctl_ok("hold", i)
    d.ctl_ok("hold", i)
    is_(waits(i), "release")
    d.ctl_ok("resume")
    is_(d.ctl("submit", "--wait", "-c", "batch", "true").code, 0)
    is_(state(i), "queued")
    d.restart()
    is_((state(i), waits(i)), ("queued", "release"))
    is_(d.json("release", i)[0]["id"], i)
    is_(d.wait_end(i)["state"], "succeeded")
    is_([e["cause"] for e in map(json.loads, d.ctl_ok("--json", "events").splitlines()) if e["id"] == i and e["from"] == e["to"]], ["held", "released"])
    is_(error("Hold", id=i)[0], "AlreadyEnded")
    runs = d.submit("sleep", "1000")
    d.wait_state(runs, "running")
    is_(error("Hold", id=runs)[0], "InvalidArgument")
    # The words are right, and the job is none that they are for: failed, whatever keeps it from being one.
    for argv in (["hold"], ["release"], ["reprioritize", "--priority", "1"], ["retry"], ["resolve", "--as", "failed"]):
        for id in (runs, i):
            is_(d.ctl(*argv, id).code, 1, f"{argv[0]} of {state(id)}")
    held = d.submit("--in", "1h", "true")
    is_((d.ctl("extend", "--by", "1h", held).code, d.ctl("signal", "-s", "TERM", held).code, d.ctl("scope", "close", held).code), (1, 1, 1))
    for priority in (1 << 40, 1000001, -1000001):
        r = d.ctl("reprioritize", f"--priority={priority}", held)
        is_((r.code, d.job(held)["priority"]), (2, 0), "a value that is refused, as Submit does")
        like(r.err, "^ctxctl: --priority: must be within -1000000 and 1000000$|^ctxctl: --priority: out of range$")
    d.ctl_ok("hold", held)
    d.ctl_ok("cancel", "--wait", held, runs)
    is_((state(held), d.job(held)["waiting_for"]), ("canceled", None))


@case("reprioritize: the larger one goes first")
def _():
    d.ctl_ok("pause", "batch")
    order = os.path.join(d.dir, "order")
    ids = [d.submit("-c", "batch", "--shell", f"echo $CTX_ID >>{order}") for _ in range(3)]
    d.ctl_ok("reprioritize", "--priority", "10", ids[2])
    d.ctl_ok("reprioritize", "--priority", "5", ids[1])
    is_(d.job(ids[2])["priority"], 10)
    d.configure("[limits]\nrunning = 1\n[class batch]\n")
    d.ctl_ok("reload")
    d.ctl_ok("resume")
    for i in ids:
        is_(d.wait_end(i)["state"], "succeeded")
    with open(order) as f:
        is_([int(x) for x in f], [ids[2], ids[1], ids[0]])
    is_(error("Reprioritize", id=ids[0], priority=1)[0], "AlreadyEnded")
    is_(error("Reprioritize", id=ids[0], priority=1 << 40)[0], "InvalidArgument")
    is_(d.ctl("reprioritize", ids[0]).code, 2)
    d.configure(CONF)
    d.ctl_ok("reload")


@case("--at and --in: not before; a deadline before that is refused")
def _():
    i = d.submit("--in", "1h", "true")
    j = d.job(i)
    is_(j["state"], "queued")
    like(j["waiting_for"], r"^20\d\d-")
    d.restart()
    is_(state(i), "queued")
    before = time.time()
    k = d.wait_end(d.submit("--in", "300ms", "true"))
    is_(k["state"], "succeeded")
    ok(epoch(k["started_at"]) >= before + 0.3, "later")
    past = d.ctl("submit", "--at", "2020-01-01T00:00:00Z", "true")
    like(past.err, "not_before: that time is past")
    is_(d.wait_end(int(past.out))["state"], "succeeded", "a time that has passed is now")
    r = d.ctl("submit", "--in", "2h", "--deadline", "now+1h", "true")
    is_(r.code, 2)
    like(r.err, "not before deadline_at")
    is_(d.ctl("submit", "--in", "1h", "--at", "now+1h", "true").code, 2)
    is_(error("Retry", id=i)[0], "InvalidArgument")
    d.ctl_ok("cancel", "--wait", i)


def gate(name):
    path = os.path.join(d.dir, name)
    os.mkfifo(path)
    return path


def open_gate(path):
    with open(path, "w") as f:
        f.write("\n")


@case("--after: ok, failed and any, met and not met; the cause; across kill -9")
def _():
    good, bad = gate("good"), gate("bad")
    a = d.submit("--shell", f"read x <{good}")
    b = d.submit("--shell", f"read x <{bad}; exit 1")
    jobs = {(on, need): d.submit("--after", f"{on}:{need}", "true") for on in (a, b) for need in ("ok", "any", "failed")}
    both = d.submit("--after", a, "--after", f"{b}:failed", "true")
    is_({state(i) for i in jobs.values()}, {"queued"})
    is_(waits(jobs[a, "ok"]), f"job {a}")
    is_(waits(both), "2 jobs")
    d.kill9()
    d.start()
    is_(waits(both), "2 jobs")
    open_gate(good)
    want = {(a, "ok"): "succeeded", (a, "any"): "succeeded", (a, "failed"): "canceled",
            (b, "ok"): "canceled", (b, "any"): "succeeded", (b, "failed"): "succeeded"}
    for need in ("ok", "any", "failed"):
        is_(d.wait_end(jobs[a, need])["state"], want[a, need], need)
    is_((state(both), waits(both)), ("queued", f"job {b}"))
    j = d.job(jobs[a, "failed"])
    is_((j["cause_code"], j["cause"]), ("dependency", f"job {a} succeeded, and failed was asked"))
    # While ctxd is down the job ends: it is found at the start.
    pid = wait_until(lambda: d.job(b)["pid"], "a pid")
    d.kill9()
    open_gate(bad)
    wait_until(lambda: exited(pid), "it to end")
    d.start()
    for need in ("ok", "any", "failed"):
        is_(d.wait_end(jobs[b, need])["state"], want[b, need], need)
    is_(d.wait_end(both)["state"], "succeeded")
    is_(d.sql("SELECT count(*) FROM job_after")[0][0], 0)
    # What has ended already.
    is_(d.ctl("submit", "--wait", "--after", a, "true").code, 0)
    r = d.ctl("submit", "--after", f"{b}:ok", "true")
    is_(r.code, 2)
    like(r.err, f"job {b} has ended already \\(failed\\), and not as asked \\(ok\\)")
    for after in (["0"], ["x"], ["1:maybe"], [f"{a}:"], ["-1"], [str(1 << 70)]):
        is_(error("Submit", argv=["true"], after=after)[0], "InvalidArgument", str(after))
    is_(error("Submit", argv=["true"], after=["999999"])[0], "NoSuchJob")
    block = d.submit("--in", "1h", "true")
    is_(error("Submit", argv=["true"], after=[str(block), f"{block}:any"])[0], "InvalidArgument")
    d.ctl_ok("cancel", block)


@case("a row of 1,000, each after the one before: a cancel of the first goes through all of it")
def _():
    first = d.submit("--in", "1h", "true")
    ids = [first]
    with Varlink(d.sock) as v:
        for _ in range(999):
            ids.append(v.call("Submit", argv=["true"], after=[str(ids[-1])])["job"]["id"])
    d.ctl_ok("cancel", first)
    wait_until(lambda: state(ids[-1]) == "canceled", "the last one to be cancelled")
    is_(d.sql(f"SELECT count(*) FROM job WHERE id >= {first} AND state = 7")[0][0], 1000)
    is_(d.sql("SELECT count(*) FROM job_after")[0][0], 0)
    # And one that many wait for.
    go = gate("many")
    a = d.submit("--shell", f"read x <{go}")
    with Varlink(d.sock) as v:
        ids = [r["job"]["id"] for r in v.pipeline([("Submit", {"argv": ["true"], "after": [f"{a}:any"]})] * 1000)]
        open_gate(go)
        v.timeout = 200
        v.call("Wait", ids=ids)
    is_({state(i) for i in ids[:3] + ids[-3:]}, {"succeeded"})


@case("a retried job is waited for until its last attempt; an interrupted one until it is resolved; a scope until it is closed")
def _():
    flag = os.path.join(d.dir, "flag")
    a = d.submit("--retries", "1", "--backoff", "300ms", "--shell", f"[ -e {flag} ] || {{ touch {flag}; exit 1; }}")
    b = d.submit("--after", a, "true")
    is_(d.wait_end(b)["state"], "succeeded")
    is_(d.job(a)["attempt"], 2)
    lost = d.submit("sleep", "1000")
    c = d.submit("--after", lost, "true")
    e = d.submit("--after", f"{lost}:failed", "true")
    wait_until(lambda: d.job(lost)["pid"], "a pid")
    os.kill(d.monitor_pid(lost), signal.SIGKILL)
    is_(d.wait_end(lost)["state"], "interrupted")
    d.restart()
    is_((state(c), state(e)), ("queued", "queued"))
    d.ctl_ok("resolve", lost, "--as", "succeeded")
    is_(d.wait_end(c)["state"], "succeeded")
    is_(d.wait_end(e)["state"], "canceled")
    scope = int(d.ctl_ok("scope", "create"))
    f = d.submit("--after", scope, "true")
    is_(state(f), "queued")
    d.ctl_ok("scope", "close", scope)
    is_(d.wait_end(f)["state"], "succeeded")


@case("whose job may be waited for, who may steer")
def _():
    s = SystemDaemon()
    with identity(ALICE):
        alice = Varlink(s.sock)
    with Varlink(s.sock) as root:
        other = root.call("Scope")["job"]["id"]
    for method, args in (("Submit", {"argv": ["true"], "after": [str(other)]}), ("Pause", {}), ("Resume", {}), ("Drain", {}),
                         ("Hold", {"id": other}), ("Release", {"id": other}), ("Reprioritize", {"id": other, "priority": 1})):
        try:
            alice.call(method, **args)
            ok(False, f"{method} was to be refused")
        except VarlinkError as e:
            is_(e.short, "NotPermitted", method)
    alice.close()
    s.cleanup()


@case("what was not committed is not said to have been done")
def _():
    i = d.submit("--in", "1h", "true")
    d.ctl_ok("pause", "batch")
    wait_until(lambda: "paused by" in d.log_text().splitlines()[-1], "the line of that, which comes after the answer")
    at = len(d.log_text())
    with failing(d.proc.pid, "pwrite64,fdatasync,fsync", "EIO"):
        for argv in (["pause"], ["pause", "default"], ["resume"], ["drain"], ["hold", i], ["reprioritize", "--priority", "7", i]):
            is_(d.ctl(*argv).code, 7, argv[0])
    unlike(d.log_text()[at:], "paused by|resumed by|draining, said|held by|priority 7")
    wait_until(lambda: d.ctl("pause").code == 0, "the database to be written again")
    d.ctl_ok("hold", i)
    d.ctl_ok("resume")
    d.ctl_ok("cancel", "--wait", i)
    d.wait_log(rf"(?s)paused by uid=\d+: everything\n.*job={i} held by uid=\d+\n.*resumed by uid=\d+: everything\n")


@case("nothing is left")
def _():
    d.cleanup()


main()
