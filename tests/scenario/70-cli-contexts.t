#!/usr/bin/python3
"""Contexts through ctxctl: every option and command of theirs, inside jobs and outside, what is refused and how, and one call
that makes one job whatever happens to the connection or to ctxd."""
import datetime
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from ctxtest import *
from ctxtest import CTXCTL, ctl_env

d = Daemon(conf="[deadline]\ngrace=30s\n[limits]\nstdin_max=256K\nrunning=200\n[class short]\nmax_timeout=1m\n")
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"
NO_TRACE = {"TRACEPARENT": None, "TRACESTATE": None, "BAGGAGE": None}


def scope(*args, **kw):
    return int(d.ctl_ok("scope", "create", *args, **kw))


def refused(args, code, *texts, **kw):
    """ARGS are refused with CODE, and stderr has all of TEXTS."""
    before = len(d.json("list", "--all"))
    r = d.ctl(*args, **kw)
    is_((r.code, r.out), (code, ""), " ".join(map(str, args)))
    for text in texts:
        like(r.err, text, " ".join(map(str, args)))
    is_(len(d.json("list", "--all")), before, "nothing was made")


def seconds(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def witness(name):
    return os.path.join(d.dir, name)


def lines(path):
    try:
        with open(path, encoding="utf-8") as f:
            return f.read().splitlines()
    except FileNotFoundError:
        return []


def inside(command, *args, **kw):
    """Output of a job that runs COMMAND with a shell; `$ctl` is ctxctl."""
    id = d.submit(*args, "--env", f"ctl={CTXCTL}", "--shell", command, **kw)
    d.wait_end(id)
    return id, d.logs(id)


# What is derived ------------------------------------------------------------------------------------------------------


@case("each derivation takes what it says")
def _():
    s = scope("-n", "top", "-t", "1h", "-v", "a=1", "-v", "b=2", env={"TRACEPARENT": PARENT, "BAGGAGE": "k=v"})
    top = d.job(s)
    is_((top["kind"], top["state"], top["name"], top["values"]), ("scope", "open", "top", {"a": "1", "b": "2"}))
    for args, want in (([], "values trace"), (["--detach"], "values trace"), (["--attach"], "values trace deadline cancel"),
                       (["--keep-deadline"], "values trace deadline"), (["--detach", "--keep-deadline"], "values trace deadline"),
                       (["--attach", "--keep-deadline"], "values trace deadline cancel"), (["--background"], ""),
                       (["--inherit", "values"], "values"), (["--inherit", "trace,cancel"], "trace cancel"),
                       (["--inherit", "cancel,deadline,trace,values"], "values trace deadline cancel")):
        for command in ("submit", "scope"):
            words = ["submit", "true"] if command == "submit" else ["scope", "create"]
            at = 1 if command == "submit" else 2
            id = int(d.ctl_ok(*words[:at], "-p", s, "-v", "b=own", "-t", "max", *args, *words[at:]))
            job, what = d.job(id), f"{command} {args}"
            is_(job["parent"], s, what)
            is_(job["inherit"], want.split(), what)
            is_(job["values"], {"a": "1", "b": "own"} if "values" in want else {"b": "own"}, what)
            is_(job["traceparent"].split("-")[1] == TRACE, "trace" in want, what)
            is_(job["baggage"], "k=v" if "trace" in want else None, what)
            is_(job["deadline_rule"] == "inherited", "deadline" in want, what)
            if "deadline" in want:
                # Within what turning a time of one clock into that of another costs.
                ok(seconds(job["deadline_at"]) <= seconds(top["deadline_at"]), f"{what}: {job['deadline_at']}")
    d.ctl_ok("scope", "close", s, "--wait")


@case("inside a job the parent is that job: values, trace, and it is outlived")
def _():
    go = witness("inside-go")
    os.mkfifo(go)
    id, out = inside(f"$ctl submit -v own=x --shell 'read x <{go}; echo $CTX_VALUE_OWN$CTX_VALUE_REQ $TRACEPARENT'; echo $TRACEPARENT",
                     "-v", "req=8f31")
    child = int(out.split()[0])
    job = d.job(child)
    is_((job["parent"], job["inherit"], job["values"]), (id, ["values", "trace"], {"own": "x", "req": "8f31"}))
    is_(job["traceparent"].split("-")[1], d.job(id)["traceparent"].split("-")[1])
    is_(job["parent_span_id"], d.job(id)["span_id"])
    is_(out.split()[1], d.job(id)["traceparent"])
    is_(job["state"], "running")
    with open(go, "w", encoding="ascii") as f:
        f.write("\n")
    d.wait_state(child, "succeeded")
    is_(d.logs(child), f"x8f31 {job['traceparent']}\n")


@case("inside a job: run and --attach end with it, --parent none and --background have none")
def _():
    id, out = inside("$ctl run sleep 1000 & $ctl submit --attach sleep 1000; $ctl submit --parent none true; "
                     "$ctl submit --background true; $ctl scope create --attach; $ctl tree --json >&2; "
                     "until [ $($ctl list --parent $CTX_ID --state running | grep -c 'sleep 1000$') = 2 ]; do :; done")
    ids = [int(x) for x in out.splitlines()[:2] if x.isdigit()]
    children = d.json("list", "--all", "--parent", id)
    is_(len(children), 3)
    for job in children:
        d.wait_state(job["id"], "canceled")
        job = d.job(job["id"])
        if not job["bound"]:  # the client of the other is stopped with its job, and may be the first to say so
            is_((job["cause_code"], job["cause"], job["err"]), ("parent", f"parent {id} ended: succeeded", "context canceled"))
        is_(job["inherit"], ["values", "trace", "deadline", "cancel"])
    is_(sorted(j["bound"] for j in children), [False, False, True])
    others = [d.job(i) for i in (int(x) for x in re.findall(r"^\d+$", out, re.M)) if i not in [c["id"] for c in children]]
    is_([j["parent"] for j in others], [None, None])
    ok(others[0]["traceparent"].split("-")[1] == d.job(id)["traceparent"].split("-")[1], "the trace of the environment")
    ok(others[1]["traceparent"].split("-")[1] != d.job(id)["traceparent"].split("-")[1], "--background: a new trace")
    ok(ids)


@case("a parent that nobody asked for and that is not there: a warning; one that is needed: refused")
def _():
    env = {"CTX_ID": "987654"}
    for words in (["submit", "true"], ["run", "true"], ["scope", "create"], ["submit", "--detach", "true"]):
        r = d.ctl(*words, env=env)
        is_(r.code, 0, " ".join(words))
        like(r.err, "warning: .*987654", " ".join(words))
        is_(max(d.json("list", "--all"), key=lambda j: j["id"])["parent"], None)
    for args in (["--attach"], ["--keep-deadline"], ["--inherit", "values"], ["--inherit", "deadline"], ["-p", "987654"]):
        refused(["submit", *args, "true"], 3, "no such job: 987654", env=env)
        refused(["scope", "create", *args], 3, "no such job: 987654", env=env)
    r = d.ctl("submit", "true", env={"CTX_ID": "x1"})
    is_(r.code, 0)
    like(r.err, "warning: CTX_ID is 'x1'")
    # The id of another ctxd is no id of this one; by another name it is this one.
    s = scope()
    link = witness("link.sock")
    os.symlink(d.sock, link)
    for env, want in (({"CTXD_SOCKET": "/nowhere"}, None), ({"CTXD_SOCKET": link}, s), ({"CTXD_SOCKET": d.sock}, s)):
        r = d.ctl("--socket", d.sock, "--json", "submit", "true", env={"CTX_ID": str(s), **env})
        is_((r.code, r.err), (0, ""))
        is_(json.loads(r.out)["parent"], want, str(env))
    d.ctl_ok("scope", "close", s)


@case("attaching to what is over is refused; deriving values and trace from it is not")
def _():
    s = scope("-v", "a=1")
    d.ctl_ok("scope", "close", s)
    for args in (["--attach"], ["--inherit", "cancel"]):
        refused(["submit", "-p", s, *args, "true"], 1, f"{s} has already ended: closed", "--detach")
        refused(["scope", "create", "-p", s, *args], 1, f"{s} has already ended: closed")
    refused(["run", "-p", s, "true"], 125, f"{s} has already ended")
    id = d.submit("-p", s, "--keep-deadline", "true")
    is_((d.job(id)["values"], d.job(id)["deadline_rule"]), ({"a": "1"}, "default"))


@case("what contradicts itself, or cannot be had, is wrong usage and names both")
def _():
    modes = {"--attach": [], "--detach": [], "--background": [], "--inherit": ["values"]}
    for a in modes:
        for b in modes:
            if a < b:
                for words in (["submit", a, *modes[a], b, *modes[b], "true"], ["scope", "create", a, *modes[a], b, *modes[b]]):
                    refused(words, 2, a, b)
                refused(["run", a, *modes[a], b, *modes[b], "true"], 125, a, b)
    for b in ("--background", "--inherit"):
        refused(["submit", "--keep-deadline", b, *modes[b], "true"], 2, "--keep-deadline", b)
    refused(["submit", "--attach", "true"], 2, "ctxctl run", "--parent")
    refused(["submit", "--attach", "--parent", "none", "true"], 2, "--attach", "none")
    refused(["submit", "--keep-deadline", "true"], 2, "--keep-deadline needs a parent")
    refused(["submit", "--inherit", "cancel", "true"], 2, "--inherit needs a parent")
    is_(d.ctl("submit", "--inherit", "values,trace", "true").code, 0)
    for words, text in ((["--inherit", "value"], "none of values"), (["--inherit", "values,"], "none of"), (["-p", "x"], "'x'"),
                        (["-p", "0"], "'0'"), (["-v", "novalue"], "not NAME=VALUE"), (["-v", "=x"], "not NAME=VALUE"),
                        (["-v", "1a=x"], "--value"), (["-v", "a b=x"], "--value"), (["-v", f"a={'x' * 17000}"], "--value"),
                        ([x for i in range(65) for x in ("-v", f"v{i}=x")], "--value"), (["-v", "a.b=1", "-v", "a-b=2"], "--value")):
        refused(["submit", *words, "true"], 2, text)
        refused(["scope", "create", *words], 2, text)
    for words, text in ((["--if-exists", "retry"], "needs --key"), (["-k", "x", "--if-exists", "odd"], "return, retry, fail"),
                        (["-k", "~x"], "--key"), (["-k", ""], "--key"), (["--warn", "x"], "--warn"), (["--warn", "5s:"], "--warn"),
                        (["--warn", "5s:NOSUCH"], "--warn"), (["--warn", ":USR1"], "--warn"), (["--watchdog", "0"], "--watchdog"),
                        (["--stdin", ""], "--stdin")):
        refused(["submit", *words, "true"], 2, text)
    refused(["submit", "--stdin", "/no/such/file", "true"], 1, "--stdin: /no/such/file: No such file")


# Traces ---------------------------------------------------------------------------------------------------------------


@case("the trace of the environment is sent, unless --background; what is malformed is said")
def _():
    env = {"TRACEPARENT": PARENT, "TRACESTATE": "a=1", "BAGGAGE": "user=7"}
    job = d.json("submit", "env", env=env)
    is_((job["tracestate"], job["baggage"], job["parent_span_id"]), ("a=1", "user=7", "00f067aa0ba902b7"))
    like(job["traceparent"], f"^00-{TRACE}-{job['span_id']}-01$")
    for args in (["--background"], ["--inherit", "values"]):
        job = d.json("submit", *args, "true", env=env)
        ok(TRACE not in job["traceparent"], str(args))
        is_((job["tracestate"], job["baggage"], job["parent_span_id"]), (None, None, None), str(args))
    for bad in ({"TRACEPARENT": "00-xyz"}, {"TRACEPARENT": PARENT, "TRACESTATE": "A=1"}, {"BAGGAGE": "=x"}):
        r = d.ctl("submit", "true", env={**NO_TRACE, **bad})
        is_(r.code, 0)
        like(r.err, "note: .*" + list(bad)[-1].lower(), str(bad))
    is_(d.ctl("submit", "true", env={"TRACEPARENT": ""}).err, "")


@case("list --trace, --value and --parent; cancel by them")
def _():
    trace = os.urandom(16).hex()
    env = {"TRACEPARENT": f"00-{trace}-00f067aa0ba902b7-00"}
    s = scope("-v", "tenant=blue", env=env)
    a, b = (d.submit("-p", s, "-v", f"n={n}", "sleep", "1000") for n in (1, 2))
    c = d.submit("-p", a, "-v", "tenant=red", "sleep", "1000")

    def ids(*args):
        return [j["id"] for j in d.json("list", "--all", *args)]

    is_(ids("--trace", trace), [s, a, b, c])
    is_(ids("--trace", env["TRACEPARENT"]), [s, a, b, c])
    is_(ids("--value", "tenant=blue"), [s, a, b])
    is_(ids("--value", "tenant=blue", "--value", "n=2"), [b])
    is_(ids("-v", "tenant=green"), [])
    is_(ids("--parent", s), [a, b])
    like(d.ctl_ok("list", "--parent", a), rf"(?m)^ *{c}  running ")
    like(d.ctl_ok("list", "--trace", trace), rf"(?m)^ *{s}  open .*\(scope\)$")
    for args in (["--trace", "xyz"], ["--trace", trace[:-1]], ["--trace", trace + "0"], ["--value", "x"], ["--parent", "0"]):
        refused(["list", *args], 2, args[0])
    is_(d.ctl("cancel", "--value", "n=2").code, 2)
    d.ctl_ok("cancel", "--all-matching", "--value", "n=2", "--wait")
    is_([d.job(i)["state"] for i in (a, b, c)], ["running", "canceled", "running"])
    d.ctl_ok("cancel", "--all-matching", "--trace", trace, "--wait")
    is_([d.job(i)["state"] for i in (s, a, b, c)], ["canceled"] * 4)


# Keys -----------------------------------------------------------------------------------------------------------------


@case("--key: the same job, a conflict, and --if-exists")
def _():
    id = d.submit("-k", "one", "-v", "x=1", "false")
    job = d.wait_state(id, "failed")
    is_(job["key"], "one")
    like(d.ctl_ok("status", id), r"^  key: +one$")
    is_([j["id"] for j in d.json("list", "--key", "one")], [id])
    is_(d.submit("-k", "one", "-v", "x=2", "--grace", "5s", "false"), id)
    is_(d.job(id)["values"], {"x": "1"})
    is_(d.ctl("submit", "-w", "-k", "one", "false").code, 1)
    is_(d.ctl("run", "-k", "one", "false").code, 1)
    refused(["submit", "-k", "one", "true"], 6, f'key "one" is that of job {id}', "differs in")
    refused(["submit", "-k", "one", "--if-exists", "fail", "false"], 6, f"job {id}")
    refused(["run", "-k", "one", "true"], 125, f"job {id}")
    is_(d.submit("-k", "one", "--if-exists", "return", "false"), id)
    is_(d.job(id)["attempt"], 1)
    is_(d.submit("-k", "one", "--if-exists", "retry", "false"), id)
    is_(d.wait_end(id)["attempt"], 2)


@case("without --key there is none to be seen")
def _():
    id, out = inside("env | grep CTX_KEY; true")
    is_((d.job(id)["key"], out), (None, ""))
    unlike(d.ctl_ok("status", id), "key:")
    unlike(d.log_text(), "~[0-9a-f]{20}")


@case("100 at once with one key: one job")
def _():
    path = witness("hundred")
    clients = [d.ctl_bg("submit", "-k", "hundred", "--shell", f"echo x >>{path}") for _ in range(100)]
    ends = [(p.communicate(timeout=60), p.returncode) for p in clients]
    is_({code for _, code in ends}, {0})
    ids = {out for (out, _), _ in ends}
    is_(len(ids), 1, str(ids))
    d.wait_state(int(ids.pop()), "succeeded")
    is_(lines(path), ["x"])


class Loser:
    """A socket in front of ctxd that loses connections: of each of the first of them, what PLAN says: `answer`: the call goes
    through and its answer is lost; `call`: neither does; then everything goes through."""

    def __init__(self, name, *plan):
        self.path = os.path.join(d.dir, name)
        self.plan = list(plan)
        self.n = 0
        self.calls = []
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.bind(self.path)
        self.sock.listen(16)
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while True:
            try:
                c = self.sock.accept()[0]
            except OSError:
                return
            fate = self.plan[self.n] if self.n < len(self.plan) else "all"
            self.n += 1
            threading.Thread(target=self.carry, args=(c, fate), daemon=True).start()

    def carry(self, client, fate):
        with client, socket.socket(socket.AF_UNIX) as server:
            server.connect(d.sock)
            while True:
                call = self.message(client)
                if not call:
                    return
                self.calls.append(json.loads(call[:-1]))
                if fate == "call" and b"Submit" in call:
                    return
                server.sendall(call)
                answer = self.message(server)
                if fate == "answer" and b"Submit" in call:
                    return
                client.sendall(answer)

    @staticmethod
    def message(sock):
        data = b""
        while not data.endswith(b"\0"):
            got = sock.recv(65536)
            if not got:
                return b""
            data += got
        return data

    def done(self):
        self.sock.shutdown(socket.SHUT_RDWR)  # so that nobody accepts from what has this number next
        self.thread.join()
        self.sock.close()
        os.unlink(self.path)


@case("an answer that is lost, or a call: asked again under the same hidden key, one job")
def _():
    path = witness("lost")
    for n, plan in enumerate((["answer"], ["call"], ["answer", "answer", "call", "answer"])):
        loser = Loser(f"loser{n}", *plan)
        r = d.ctl("--socket", loser.path, "submit", "--stdin", "-", "--shell", f"cat >>{path}", input=f"line {n}\n")
        is_((r.code, r.err), (0, ""))
        d.wait_state(int(r.out), "succeeded")
        is_(lines(path), [f"line {k}" for k in range(n + 1)])
        keys = {c["parameters"]["key"] for c in loser.calls if c["method"].endswith("Submit")}
        is_(len(keys), 1)
        like(keys.pop(), "^~[0-9a-f]{32}$")
        is_(loser.n, len(plan) + 1)
        loser.done()
    loser = Loser("loser-f", "answer")
    r = d.ctl("--socket", loser.path, "submit", "-k", "lost", "--if-exists", "fail", "true")
    is_(r.code, 6)
    like(r.err, "may be this very call")
    loser.done()


@case("a ctxd that does not come back: exit 5, and how to find out")
def _():
    other = Daemon()
    loser = Loser("loser-gone", *["call"] * 100000)
    for args, text in (([], "list --since "), (["-k", "gone"], "list --all --key gone")):
        p = d.ctl_bg("--socket", loser.path, "submit", *args, "true")
        err = p.communicate(timeout=60)[1].decode()
        is_(p.returncode, 5)
        like(err, "may or may not have been accepted; see `ctxctl " + text)
    loser.done()
    other.stop()


@case("kill -9 of ctxd between request and answer, again and again: each call makes one job")
def _():
    rng = random.Random(7)
    path, every, dead = witness("killed"), {}, 0
    for n in range(25):
        clients = {f"{n}.{k}": d.ctl_bg("submit", "--shell", f"echo {n}.{k} >>{path}") for k in range(4)}
        waits = rng.randrange(4)
        for p in list(clients.values())[:waits]:
            p.stdout.readline()  # it may have its id; then the others are anywhere
        d.kill9()
        d.start()
        for name, p in clients.items():
            err = p.communicate(timeout=60)[1].decode()
            if p.returncode == 0:
                every[name] = err
            else:  # it never had a connection
                is_(p.returncode, 5, name)
                like(err, "cannot reach ctxd", name)
                unlike(err, "may or may not", name)
                dead += 1
    for job in d.json("list", "--state", "queued,running,stopping"):
        d.wait_end(job["id"])
    made = [j for j in d.json("list", "--all") if j["argv"] and j["argv"][-1].endswith("/killed")]
    jobs = {j["argv"][-1].split()[1]: j for j in made}
    is_(len(made), len(jobs), "no call made two")
    got, lost = lines(path), [n for n, j in jobs.items() if j["state"] == "interrupted"]
    is_(sorted(jobs), sorted(every), "a record for each call that was accepted, and for no other")
    is_(len(set(got)), len(got), "none ran twice")
    is_(lost, [], "nothing was killed that could leave a doubt")
    is_(sorted(got), sorted(every), "each ran once")
    diag(f"{len(every)} accepted, {len(lost)} of them interrupted, {dead} found no ctxd")


# Input and output -----------------------------------------------------------------------------------------------------


@case("--stdin: a file, a pipe, nothing, much, too much")
def _():
    path = witness("input")
    with open(path, "w", encoding="ascii") as f:
        f.write("of a file\n")
    for args, data, want in ((["--stdin", path], None, "of a file\n"), (["--stdin", "-"], "of a pipe\n", "of a pipe\n"),
                             (["--stdin", "-"], "", ""), (["--stdin", "-"], "x" * 250000, "x" * 250000), ([], "unseen", "")):
        id = d.submit(*args, "cat", input=data)
        job = d.wait_state(id, "succeeded")
        is_(d.logs(id) == want, True, f"{args}: {len(want)} bytes")
        is_(job["stdin_bytes"], len(want) if args else None)
    like(d.ctl_ok("status", d.submit("--stdin", path, "cat")), r"^  stdin: +10 bytes$")
    with subprocess.Popen(["yes"], stdout=subprocess.PIPE) as yes:  # it has no end, so it must be ctxd that ends it
        p = d.ctl_bg("submit", "--stdin", "-", "cat", stdin=yes.stdout)
        err = p.communicate(timeout=60)[1].decode()
        yes.kill()
    is_(p.returncode, 2)
    is_(err, "ctxctl: --stdin: more than the 262144 bytes of [limits] stdin_max\n")
    is_(d.ctl("run", "--stdin", path, "--", "cat").out, "of a file\n")


@case("--split-output: apart in run, submit -f and logs; else one stream")
def _():
    both = ["--shell", "echo out; echo err >&2; exit 4"]
    for words in (["run"], ["submit", "-f"], ["submit", "-w", "-f"]):
        r = d.ctl(*words, "--split-output", *both)
        is_((r.code, r.out), (4, "out\n"))
        like(r.err, r"(?m)^err$")
        r = d.ctl(*words, *both)
        is_((r.code, r.out), (4, "out\nerr\n"))
    id = d.submit("--split-output", *both)
    d.wait_end(id)
    is_((d.ctl_ok("logs", id), d.ctl_ok("logs", "--stderr", id)), ("out\n", "err\n"))
    is_((d.ctl_ok("logs", "-f", id), d.ctl_ok("logs", "-f", "--stderr", "--tail", 1, id)), ("out\n", "err\n"))
    like(d.ctl_ok("status", id), r"(?s)output: +4 bytes.*stderr: +4 bytes")
    one = d.submit(*both)
    d.wait_end(one)
    r = d.ctl("logs", "--stderr", one)
    is_((r.code, r.out), (2, ""))
    like(r.err, "--stderr")
    got = [json.loads(x) for x in d.ctl("run", "--json", "--split-output", *both).out.splitlines()]
    is_(sorted(x.get("stream", "-") for x in got if x.get("data")), ["-", "stderr"])
    is_(got[-1]["job"]["exit_code"], 4)


@case("submit --follow: the output, the id on stderr, the exit code")
def _():
    r = d.ctl("submit", "-f", "--shell", "echo one; exit 3")
    is_((r.code, r.out), (3, "one\n"))
    like(r.err, r"\Ajob \d+\n")
    r = d.ctl("submit", "-f", "--json", "--shell", "echo one; exit 3")
    is_((r.code, json.loads(r.out.splitlines()[-1])["job"]["exit_code"]), (3, 3))
    is_(d.ctl("submit", "-f", "--no-such").code, 125)
    p = d.ctl_bg("submit", "-f", "--shell", "echo begun; exec sleep 1000")
    id = int(p.stderr.readline().split()[1])
    is_(p.stdout.readline(), b"begun\n")
    p.send_signal(signal.SIGINT)
    _, err = p.communicate(timeout=60)
    is_(p.returncode, 125)
    like(err.decode(), f"job {id} goes on")
    is_(d.job(id)["state"], "running")
    d.ctl_ok("cancel", "--wait", id)


@case("--warn, --watchdog and signal")
def _():
    id = d.submit("-t", "1h", "--warn", "2900ms:USR2", "sleep", "1000")
    like(d.ctl_ok("status", id), r"^  warn: +USR2, 2s900ms before the deadline$")
    d.ctl_ok("cancel", "--wait", id)

    def warned(seconds):
        """A job that is warned after SECONDS, and has as much time once more to say so; None if it was not yet ready for that."""
        id = d.submit("-t", f"{int(2000 * seconds)}ms", "--warn", f"{int(1000 * seconds)}ms:USR2", "--shell",
                      "trap 'echo warned; exit 0' USR2; while :; do sleep 0.02; done")
        job = d.wait_end(id)
        if job["state"] == "succeeded":
            is_(d.logs(id), "warned\n")
            return id
        ok(job["state"] == "deadline_exceeded" or job["signal"] == signal.SIGUSR2, f"{job}")
        return None

    in_time(warned, (0.5, 5, 30))
    is_(d.json("submit", "-t", "1m", "--warn", "10s", "true")["warn_signal"], "USR1")
    id = d.submit("--watchdog", "300ms", "sleep", "1000")
    job = d.wait_state(id, "canceled")
    is_(job["cause_code"], "watchdog")
    like(d.ctl_ok("status", id), r"^  watchdog: +300ms without a sign of life$")
    id = d.submit("--shell", "trap 'echo got HUP' HUP; trap 'exit 0' USR1; echo ready; while :; do sleep 0.02; done")
    wait_until(lambda: d.logs(id) and d.job(id)["pid"], "the job to be ready, and its monitor heard")
    is_(d.ctl_ok("signal", "-s", "HUP", id), "")
    wait_until(lambda: "got HUP" in d.logs(id), "the signal")
    is_([j["id"] for j in json.loads(d.ctl_ok("signal", "--signal", "10", "--json", id))], [id])
    d.wait_state(id, "succeeded")
    tree = d.submit("--shell", "sleep 1000 & sleep 1000 & wait; exec sleep 1000")
    wait_until(lambda: len(d.job_pids(tree)) == 3 and d.job(tree)["pid"], "its children, and its monitor heard")
    d.ctl_ok("signal", "-s", "KILL", "--tree", tree)
    is_(d.wait_end(tree)["signal"], 9)
    for words, code in ((["-s", "HUP", id], 1), (["-s", "HUP", "999999"], 3), (["-s", "NOSUCH", id], 2), ([id], 2), (["-s", "HUP"], 2)):
        refused(["signal", *words], code)
    r = d.ctl("signal", "-s", "HUP", "999999", d.submit("sleep", "1000"))
    is_(r.code, 3)


# Scopes, the tree -----------------------------------------------------------------------------------------------------


@case("scope close: what is attached ends with the cause, what is detached goes on")
def _():
    s = scope("-n", "release", "-c", "short")
    is_(d.job(s)["class"], "short")
    inner = scope("-p", s, "--attach")
    a = d.submit("-p", inner, "--attach", "sleep", "1000")
    free = d.submit("-p", inner, "sleep", "1000")
    got = d.json("scope", "close", s, "--cause", "off", "--wait")
    is_(got["job"]["state"], "closed")
    is_(sorted(got["reached"]), [inner, a])
    job = d.job(a)
    is_((job["state"], job["cause_code"], job["cause"]), ("canceled", "scope_closed", f"scope {s} closed: off"))
    is_(d.job(free)["state"], "running")
    r = d.ctl("scope", "close", s)
    is_((r.code, r.out, r.err), (0, "", ""))
    is_(d.ctl("wait", s).code, 0)
    like(d.ctl_ok("status", s), rf"\Ascope {s}: closed\n  name: +release\n")
    unlike(d.ctl_ok("status", s), "command:|umask:|directory:|attempt:|output:|stop:")
    c = scope()
    r = d.ctl("cancel", c, "--cause", "no more", "--wait")
    is_((r.code, r.err), (0, ""))
    is_((d.job(c)["state"], d.job(c)["cause"]), ("canceled", "no more"))
    r = d.ctl("scope", "close", c)
    is_(r.code, 0)
    like(r.err, f"scope {c} was over already: canceled")
    r = d.ctl("wait", c)
    is_(r.code, 122)
    like(r.err, f"scope {c}: canceled: no more")
    r = d.ctl("cancel", c)
    like(r.err, f"scope {c} had already ended: canceled")
    stubborn = scope()
    t = d.submit("-p", stubborn, "--attach", "--shell", "trap '' TERM; echo on; while :; do sleep 0.02; done")
    wait_until(lambda: d.logs(t), "the trap")
    d.ctl_ok("scope", "close", "--now", "--wait", stubborn)
    is_((d.job(t)["state"], d.job(t)["signal"]), ("canceled", 9))
    for again in (False, True):  # it takes its time after the scope
        s = scope()
        t = d.submit("-p", scope("-p", s, "--attach"), "--attach", "--grace", "1s", "--shell", "trap '' TERM; echo on; while :; do sleep 0.02; done")
        wait_until(lambda: d.logs(t), "the trap")
        if again:
            d.ctl_ok("cancel", s)
            is_(d.job(t)["state"], "stopping")
        r = d.ctl("cancel", "--wait", s, *([t] if again else []))
        is_((r.code, r.out, r.err), (0, "", f"ctxctl: scope {s} had already ended: canceled\n" if again else ""))
        is_((d.job(t)["state"], d.job(t)["signal"]), ("canceled", 9))
    refused(["scope", "close", free], 1)
    refused(["scope", "close", 999999], 3)
    for words in (["scope"], ["scope", "clsoe", s], ["scope", "close"], ["scope", "close", s, a], ["scope", "create", "true"],
                  ["scope", "close", "x"]):
        refused(words, 2)
    like(d.ctl("scope", "clsoe", s).err, "did you mean close")
    d.ctl_ok("cancel", "--wait", free)


@case("tree: ancestors of what is unfinished, all below an id, and nested JSON")
def _():
    d.ctl_ok("cancel", "--all-matching", "--all", "--wait")
    top = scope("-n", "top", "-t", "1h")
    done = d.submit("-p", top, "true")
    d.wait_end(done)
    below = d.submit("-p", done, "-n", "below", "sleep", "1000")
    attached = d.submit("-p", top, "--attach", "sleep", "1000")
    alone = d.submit("sleep", "1000")
    text = d.ctl_ok("tree")
    like(text, rf"\A{top} open \(59m\d+s left\)  top \(scope\)\n"
               rf"\|- {done} succeeded  true\n"
               rf"\|  `- {below} running \(9m\d\ds left\)  below\n"
               rf"`- {attached}\+ running \(9m\d\ds left\)  sleep 1000\n"
               rf"{alone} running \(9m\d\ds left\)  sleep 1000\n\Z")
    got = d.json("tree")
    is_([j["id"] for j in got], [top, alone])
    is_([j["id"] for j in got[0]["children"]], [done, attached])
    is_([j["id"] for j in got[0]["children"][0]["children"]], [below])
    is_((got[0]["children"][1]["children"], got[1]["children"], got[0]["kind"]), ([], [], "scope"))
    is_(d.ctl_ok("tree", done).split("\n")[0], f"{done} succeeded  true")
    is_([[c["id"] for c in j["children"]] for j in d.json("tree", done)], [[below]])
    is_(len(d.ctl_ok("tree", top).splitlines()), 4)
    d.ctl_ok("cancel", below, attached, alone, "--wait")
    is_(len(d.ctl_ok("tree").splitlines()), 1)
    d.ctl_ok("scope", "close", top)
    is_((d.ctl_ok("tree"), d.json("tree")), ("", []))
    is_(len(d.ctl_ok("tree", top).splitlines()), 4)
    refused(["tree", "999999"], 3)
    refused(["tree", top, done], 2)


@case("tree: a chain of a hundred, and a hundred children")
def _():
    ids = [scope()]
    for _ in range(100):
        ids.append(scope("-p", ids[-1]))
    got = d.json("tree", ids[0])
    for id in ids:
        is_(got[0]["id"], id)
        got = got[0]["children"]
    is_(got, [])
    wide = [scope("-p", ids[0]) for _ in range(100)]
    is_([j["id"] for j in d.json("tree", ids[0])[0]["children"]], [ids[1], *wide])
    is_(len(d.ctl_ok("tree").splitlines()), 201)
    d.ctl_ok("cancel", "--all-matching", "--state", "open")


# Progress, events -----------------------------------------------------------------------------------------------------


@case("progress: through the monitor, or through ctxd, and what cannot be")
def _():
    for name, prefix in (("monitor", ""), ("ctxd", "env -u NOTIFY_SOCKET ")):
        id, out = inside(f"{prefix}$ctl progress 40 'page 4'; echo $?; {prefix}$ctl progress 41.5; echo $?; "
                         f"{prefix}$ctl progress 'page 5'; echo $?")
        is_(out, "0\n0\n0\n", name)
        p = d.job(id)["progress"]
        is_((p["percent"], p["text"]), (41.5, "page 5"), name)
        like(d.ctl_ok("status", id), r"^  progress: +41.5%, page 5 \(\d{4}-")
    id, out = inside("$ctl progress 100%; $ctl progress --ready; $ctl progress --ready 3 done; echo $?")
    is_(out, "0\n")
    ok(d.job(id)["ready_at"])
    is_(d.job(id)["progress"]["percent"], 3)
    _, out = inside("for a in 101 -- 'x y' '50 x y' 'x 5' --bogus; do $ctl progress $a; echo $?; done; "
                    "$ctl progress; echo $?; $ctl progress \"$(printf 'a\\nb')\"; echo $?; "
                    "env -u NOTIFY_SOCKET $ctl progress --ready; echo $?; NOTIFY_SOCKET=/nowhere/x $ctl progress 5; echo $?; "
                    "env -u CTX_ID $ctl progress 5; echo $?; env -u NOTIFY_SOCKET CTX_ID=999999 $ctl progress 5; echo $?")
    is_(re.findall(r"(?m)^\d$", out), ["2", "2", "2", "2", "2", "2", "2", "2", "2", "1", "1", "3"])
    like(out, "more than 100 percent(.|\n)*too many words(.|\n)*no percentage(.|\n)*one line(.|\n)*NOTIFY_SOCKET is not set")
    like(out, "/nowhere/x(.|\n)*not run inside a job")
    refused(["progress", "5"], 1, "not run inside a job")


@case("events: history, of one, since, as JSON, and to the end of one and no further")
def _():
    s = scope()
    id = d.submit("-p", s, "--attach", "sleep", "1000")
    d.ctl_ok("scope", "close", "--wait", "--cause", "x\u202ey", s)
    text = d.ctl_ok("events", id)
    like(text, rf"\A\d{{4}}-\S+Z  job {id}  running\n\S+  job {id}  running -> stopping  scope_closed: scope {s} closed: x\\u202ey; "
               rf"by uid {os.geteuid()}; following {s}\n"
               rf"\S+  job {id}  stopping -> canceled\b.*\n\Z")
    like(d.ctl_ok("events", s), rf"scope {s}  open\n.*scope {s}  open -> closed")
    got = [json.loads(x) for x in d.ctl_ok("events", "--json", id).splitlines()]
    is_([(e["from"], e["to"]) for e in got], [(None, "running"), ("running", "stopping"), ("stopping", "canceled")])
    every = [json.loads(x) for x in d.ctl_ok("--json", "events").splitlines()]
    edges = [e["edge"] for e in every]
    is_(edges, sorted(set(edges)))
    ok(len(every) > 500, "more than a page")
    is_(d.ctl_ok("events", "--since", "now+1h"), "")
    is_(len(d.ctl_ok("events", "--since", "1h").splitlines()), len(every))
    is_(d.ctl_ok("events", "-f", id), text)
    gates = [witness(f"progress-go{n}") for n in range(2)]
    for gate in gates:
        os.mkfifo(gate)
    p = d.ctl_bg("events", "-f", "--progress", "--json",
                 d.submit("--env", f"ctl={CTXCTL}", "--shell", f"read x <{gates[0]}; $ctl progress 7 x; read x <{gates[1]}"))
    got = []
    for gate in gates:  # it follows by now; it was told the progress
        got.append(json.loads(p.stdout.readline()))
        with open(gate, "w", encoding="ascii") as f:
            f.write("\n")
    got += [json.loads(x) for x in p.communicate(timeout=60)[0].splitlines()]
    is_(got[-1]["to"], "succeeded")
    is_([e["progress"]["percent"] for e in got if e["progress"]], [7])
    for words, code in ((["x"], 2), (["1", "2"], 2), (["--progress"], 2), (["999999"], 3)):
        refused(["events", *words], code)


@case("status shows the context of a job")
def _():
    s = scope("-v", "a=1", "-v", "z=\x1b[2J", env={"TRACEPARENT": PARENT, "TRACESTATE": "t=1", "BAGGAGE": "b=1"})
    id = d.submit("-p", s, "--keep-deadline", "-t", "max", "true", env=NO_TRACE)
    d.wait_end(id)
    text = d.ctl_ok("status", id)
    like(text, rf"^  parent: +{s} \(inherits values, trace, deadline\)$")
    like(text, r"^  value: +a=1\n  value: +z=\\x1b\[2J$")
    like(text, rf"^  trace: +00-{TRACE}-[0-9a-f]{{16}}-01, from span {d.job(s)['span_id']}$")
    like(text, r"^  tracestate: +t=1\n  baggage: +b=1$")
    like(text, r"\(rule inherited")
    d.ctl_ok("scope", "close", s)


main()
