#!/usr/bin/python3
"""Limits of a class, and what is known of a stop: resource limits, umask and nice value of the job's processes; what is said where
there is no cgroup or no controller; who stopped a job, with which signals, and how many processes were left."""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from ctxtest import *
from sysdaemon import ALICE, SystemDaemon, identity
from varlink import Varlink

CONF = """[class plain]
[class tight]
umask=077
nice=4
limit_nofile=100
limit_nproc=3000
limit_core=0
limit_fsize=1M
limit_as=64G
limit_stack=4M
limit_memlock=64K
limit_cpu=90s
limit_data=infinity
[class wide]
limit_nofile=4000
limit_stack=1M
nice=-5
"""
CGROUP = "memory_max=64M\ncpu_max=150%\npids_max=20\nio_weight=50\n"
CGROUP_KEYS = ["memory_max", "cpu_max", "pids_max", "io_weight"]
ROWS = {"open files": ("100", "100"), "core file size": ("0", "0"), "file size": ("1048576", "1048576"),
        "address space": ("68719476736", "68719476736"), "stack size": ("4194304", "4194304"),
        "locked memory": ("65536", "65536"), "cpu time": ("90", "90"), "data size": ("unlimited", "unlimited"),
        "processes": ("3000", "3000")}
# Three that ignore the stop signal.
DEAF = "trap '' TERM; sleep 1000 & sleep 1000 & echo ready; while :; do wait; sleep 1000; done"

# Whatever rights and limits this test has: these can be lowered, and `infinity` is what it has.
d = Daemon(conf=CONF, start=False)
d.start(prefix=["prlimit", "--nproc=4000", "--nofile=900", "--"])


def limits_of(text):
    """Of /proc/PID/limits: (soft, hard) by name."""
    found = {}
    for line in text.splitlines()[1:]:
        name, rest = line[4:26].strip(), line[26:].split()
        if len(rest) > 1:
            found[name] = (rest[0], rest[1])
    return found


def ready(id, daemon=d):
    wait_until(lambda: "ready" in daemon.logs(id), f"job {id} to be ready")
    return id


def deaf(*args):
    return ready(d.submit("--grace", "200ms", *args, "--", "sh", "-c", DEAF))


@case("resource limits, soft and hard alike; those without a key stay as they are")
def _():
    tight = d.submit("-c", "tight", "cat", "/proc/self/limits")
    plain = d.submit("-c", "plain", "cat", "/proc/self/limits")
    is_(d.wait_end(tight)["limits_unenforced"], [])
    d.wait_state(plain, "succeeded")
    tight, plain = limits_of(d.logs(tight)), limits_of(d.logs(plain))
    is_({k: tight[k] for k in ROWS}, ROWS)
    other = [k for k in plain if k not in ROWS and k != "nice priority"]
    is_({k: tight[k] for k in other}, {k: plain[k] for k in other})


@case("a limit acts: more output than limit_fsize ends the job by SIGXFSZ")
def _():
    job = d.wait_end(d.submit("-c", "tight", "--", "sh", "-c", "exec head -c 4M /dev/zero"))
    is_((job["state"], job["signal"], job["cause_code"]), ("failed", 25, "signal"))


@case("umask of the class instead of the submitter's, and the job's record says so; nice value")
def _():
    id = d.submit("-c", "tight", "--", "sh", "-c", "umask; nice")
    is_(d.wait_state(id, "succeeded")["umask"], 0o77)
    lines = d.logs(id).split()
    is_(int(lines[0], 8), 0o77)
    is_(int(lines[1]), os.nice(0) + 4)


@case("what may not be raised so far is raised as far as it may be; the job runs, and its record says what it lacks")
def _():
    low = Daemon(conf=CONF, start=False)
    low.start(prefix=["setpriv", "--bounding-set=-sys_resource,-sys_nice", "prlimit", "--nofile=512:1000", "--"])
    id = low.submit("-c", "wide", "--", "sh", "-c", "cat /proc/self/limits; nice")
    job = low.wait_state(id, "succeeded")
    is_(job["limits_unenforced"], ["nice", "limit_nofile"])
    text = low.logs(id)
    is_(limits_of(text)["open files"], ("1000", "1000"))
    is_(limits_of(text)["stack size"], ("1048576", "1048576"))
    is_(int(text.split()[-1]), os.nice(0))
    like(low.ctl_ok("status", id), r"NOT enforced: +nice, limit_nofile of its class\n")


@case("a value that is none is refused, with its line")
def _():
    d.configure(CONF + "[class bad]\numask=8\nmemory_max=512\ncpu_max=1.5\npids_max=0\nio_weight=10001\nlimit_nofile=many\n"
                "limit_core=-1\nlimit_cpu=1500ms\nlimit_foo=1\n")
    r = d.ctl("reload")
    is_(r.code, 1, repr(r))
    at = CONF.count("\n") + 2
    for n, text in enumerate(("bad.umask: '8' is not an octal", "bad.memory_max: '512' is out of range", "bad.cpu_max: '1.5' is not a whole",
                              "bad.pids_max: '0' is out of range", "bad.io_weight: '10001' is out", "bad.limit_nofile: 'many' is neither",
                              "bad.limit_core: '-1' is neither", "bad.limit_cpu: '1500ms' is neither", "unknown key 'limit_foo'")):
        wait_until(lambda t=f"ctxd.conf:{at + n}: ", w=text: [x for x in d.log_text().splitlines() if t in x and w in x],
                   f"line {at + n}: {text}")
    d.configure(CONF)
    d.ctl_ok("reload")


@case("without a cgroup: log, submitter, record, Stats and doctor say what is not enforced; the job runs")
def _():
    doctor = d.ctl("doctor")
    unlike(doctor.out, r"limits:", "nothing to say")
    before = d.log_text()
    unlike(before, r"cannot be enforced")
    job = d.submit("-c", "plain", "true")
    is_(d.wait_state(job, "succeeded")["limits_unenforced"], [])
    d.configure(CONF + "[class boxed]\n" + CGROUP)
    d.ctl_ok("reload")
    r = d.ctl("submit", "-c", "boxed", "--", "sh", "-c", "echo ready; read x")
    is_(r.code, 0)
    id = ready(d.submit("-c", "boxed", "--", "sh", "-c", "echo ready; exec sleep 1000"))
    job = wait_until(lambda: (lambda j: j if j["limits_unenforced"] else None)(d.job(id)), "the running job to show it")
    is_((job["state"], job["limits_unenforced"]), ("running", CGROUP_KEYS))
    d.wait_log(r"class boxed: memory_max, cpu_max, pids_max, io_weight cannot be enforced \(.*\); continuing")
    r = d.ctl("submit", "-c", "boxed", "true")
    like(r.err, r"memory_max, cpu_max, pids_max, io_weight of class boxed cannot be enforced here")
    is_(d.json("status")["limits_unenforced"], CGROUP_KEYS)
    like(d.ctl_ok("status"), r"NOT enforced: +memory_max, cpu_max, pids_max, io_weight of its class")
    doctor = d.ctl("doctor")
    is_(doctor.code, 1)
    like(doctor.out, r"^limits: not enforced, though classes ask for them: memory_max, cpu_max, pids_max, io_weight ")
    like(d.ctl_ok("status", id), r"NOT enforced: +memory_max, cpu_max, pids_max, io_weight of its class")
    d.ctl_ok("cancel", id)
    is_(d.wait_end(id)["limits_unenforced"], CGROUP_KEYS)
    d.configure(CONF)
    d.ctl_ok("reload")


def remove(path):
    try:
        os.rmdir(path)
    except OSError:
        return False
    return True


@case_if(os.geteuid() == 0, "in a cgroup: what its controllers enforce is set, what they do not is said; usage is read from it")
def _():
    base = cgroup_parent()
    need(base, "a writable cgroup v2")
    with open(os.path.join(base, "cgroup.controllers"), encoding="ascii") as f:
        there = f.read().split()
    missing = [k for k, c in zip(CGROUP_KEYS, ("memory", "cpu", "pids", "io")) if c not in there]
    s = SystemDaemon("[class boxed]\n" + CGROUP, spawner_args=["--cgroup", base])
    s.wait_log(r"spawner ready, with cgroups")
    for key in missing:
        s.wait_log(f"{key} of classes cannot be enforced: the controller .* is not there")
    with identity(ALICE):
        v = Varlink(s.sock)
    id = v.call("Submit", **{"class": "boxed", "argv": [
        "sh", "-c", "echo ready; i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done; exec sleep 1000"]})["job"]["id"]
    v.close()
    wait_until(lambda: "ready" in s.logs(id), "the job to run")
    got = {name: open(os.path.join(base, f"{id}.1", name), encoding="ascii").read().split()
           for name in ("memory.max", "memory.oom.group", "cpu.max", "pids.max") if name.split(".")[0] in there}
    want = {"memory.max": ["67108864"], "memory.oom.group": ["1"], "cpu.max": ["150000", "100000"], "pids.max": ["20"]}
    is_(got, {k: v for k, v in want.items() if k.split(".")[0] in there})
    wait_until(lambda: s.job(id)["limits_unenforced"] == missing, "its record to say what is missing")
    s.ctl_ok("cancel", id)
    job = s.wait_end(id)
    is_(job["limits_unenforced"], missing)
    ok(job["usage"]["user_usec"] + job["usage"]["system_usec"] > 0, "CPU time")
    is_(job["usage"]["memory_peak_bytes"] is not None, "memory" in there)
    is_(job["usage"]["io_read_bytes"] is not None, "io" in there)
    wait_until(lambda: not os.path.exists(os.path.join(base, f"{id}.1")), "its cgroup to be removed")
    s.stop()
    s.cleanup()
    wait_until(lambda: remove(base), "nobody to be in the cgroup")


def events(id):
    return [json.loads(line) for line in d.ctl_ok("--json", "events", id).splitlines()]


def told(id, stop, attempt=1):
    """The history of a job says the same of its stop: its events, the view."""
    last = [e for e in events(id) if e["attempt"] == attempt and e["to"] != "queued"][-1]
    is_(last["stop"], stop)
    rows = d.sql("SELECT stop_asked_at, stop_by_uid, stop_by_pid, stop_by_parent, stop_by_rule, term_at, term_processes, kill_at, kill_processes,"
                 f" main_ended_at, empty_at FROM job_history WHERE edge = {last['edge']}")
    is_(rows, [tuple(stop.values()) if stop else (None,) * 11])


@case("a tree that ignores the stop signal: who asked, TERM and KILL and how many they found, main process, tree")
def _():
    id = deaf("-n", "deaf")
    client = d.ctl_bg("cancel", id)
    client.communicate()
    job = d.wait_state(id, "canceled")
    stop = job["stop"]
    is_((stop["by_uid"], stop["by_pid"], stop["by_parent"]), (os.getuid(), client.pid, None))
    is_((stop["term_processes"], stop["kill_processes"]), (3, 3))
    times = [stop[k] for k in ("asked_at", "term_at", "kill_at", "main_ended_at", "empty_at")]
    is_(times, sorted(times), "in this order")
    is_(stop["empty_at"], job["ended_at"])
    text = d.ctl_ok("status", id)
    like(text, rf"stop asked: +\S+ by uid {os.getuid()} \(process {client.pid}\)\n")
    like(text, r"stop signal: +\S+, with 3 alive\n")
    like(text, r"KILL: +\S+, with 3 alive\n")
    like(text, r"main ended: .*\n +tree empty: ")
    told(id, stop)
    asked = events(id)[-2]
    is_((asked["to"], asked["stop"]["by_pid"], asked["stop"]["term_at"], asked["stop"]["empty_at"]), ("stopping", client.pid, None, None))
    like(d.ctl_ok("events", id), rf"running -> stopping  requested; by uid {os.getuid()} \(process {client.pid}\)\n"
         r".*stopping -> canceled  requested; stop signal to 3( after \S+)?; KILL to 3 after \S+; nothing left after \S+\n")


@case("--now: KILL without TERM; one that heeds TERM: no KILL")
def _():
    id = deaf()
    d.ctl_ok("cancel", "--now", id)
    stop = d.wait_state(id, "canceled")["stop"]
    is_((stop["term_at"], stop["term_processes"], stop["kill_processes"]), (None, None, 3))
    told(id, stop)
    id = ready(d.submit("--grace", "60s", "--", "sh", "-c", "echo ready; exec sleep 1000"))
    d.ctl_ok("cancel", id)
    stop = d.wait_state(id, "canceled")["stop"]
    is_((stop["term_processes"], stop["kill_at"], stop["kill_processes"]), (1, None, None))


@case("a deadline: asked by nobody, when the signal went out")
def _():
    def build(seconds):
        """One that is ready by the signal."""
        id = d.submit("-t", f"{seconds}s", "--grace", "200ms", "--", "sh", "-c", DEAF)
        wait_until(lambda: "ready" in d.logs(id) or d.job(id)["state"] not in ("queued", "running"), f"job {id} to be ready")
        in_vain = d.job(id)["state"] != "running"
        job = d.wait_end(id)
        return None if in_vain else job

    job = in_time(build, (1, 10, 60))
    stop = job["stop"]
    is_(job["state"], "deadline_exceeded")
    is_((stop["by_uid"], stop["by_pid"], stop["by_parent"], stop["term_processes"]), (None, None, None, 3))
    is_(stop["asked_at"], stop["term_at"])
    is_(stop["by_rule"], "requested")
    told(job["id"], stop)
    ok(stop["asked_at"] >= job["deadline_at"], "not before it")


@case("what ends with a context above: which one, and who ended that")
def _():
    top = int(d.ctl_ok("scope", "create"))
    job = deaf("-p", top, "--attach")
    below = deaf("-p", job, "--attach")
    d.ctl_ok("scope", "close", top)
    for id in (job, below):
        stop = d.wait_state(id, "canceled")["stop"]
        is_((stop["by_uid"], stop["by_parent"]), (os.getuid(), top))
        told(id, stop)
    stop = d.job(top)["stop"]
    told(top, stop)
    is_((stop["by_uid"], stop["by_parent"], stop["term_at"]), (os.getuid(), None, None))
    like(d.ctl_ok("status", below), rf"stop asked: .* by uid {os.getuid()}, following {top}\n")


@case("what was only queued, what left others behind, what nobody stopped")
def _():
    d.configure("[limits]\nrunning=1\n")
    d.ctl_ok("reload")
    first = ready(d.submit("--", "sh", "-c", "echo ready; exec sleep 1000"))
    queued = d.submit("true")
    d.ctl_ok("cancel", queued)
    stop = d.wait_state(queued, "canceled")["stop"]
    is_((stop["by_uid"], stop["term_at"], stop["main_ended_at"]), (os.getuid(), None, None))
    told(queued, stop)
    d.ctl_ok("cancel", first)
    d.wait_end(first)
    left = d.wait_state(d.submit("--", "sh", "-c", "sleep 1000 & sleep 1000 & exit 0"), "succeeded")
    is_((left["stop"]["asked_at"], left["stop"]["by_uid"], left["stop"]["term_processes"]), (None, None, 2))
    told(left["id"], left["stop"])
    nobody = d.wait_state(d.submit("true"), "succeeded")
    is_(nobody["stop"], None)
    told(nobody["id"], None)
    d.configure(CONF)
    d.ctl_ok("reload")


@case("the next attempt begins with a clean record")
def _():
    id = deaf()
    d.ctl_ok("cancel", "--now", id)
    first = d.wait_state(id, "canceled")["stop"]
    d.ctl_ok("retry", id)
    ready(id)
    wait_until(lambda: d.job(id)["state"] == "running", "it to run again")
    is_(d.job(id)["stop"], None)
    d.ctl_ok("cancel", "--now", id)
    job = d.wait_end(id)
    is_(job["attempt"], 2)
    told(id, first, 1)
    told(id, job["stop"], 2)


main()
