#!/usr/bin/python3
"""What a job gets, and what nobody else gets to see of it."""
import base64
import contextlib
import json
import os
import stat
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from apitest import *  # noqa: E402,F403

d = ApiDaemon(conf="[class known]\n[class nicer]\nnice = 7\n")
PATH = "/usr/local/bin:/usr/bin:/bin"
SECRET = "correct-horse-battery-staple"


def show(*argv, **params):
    """(record, output) of a job that has to succeed."""
    j = d.submit(*argv, **params)
    j = d.wait_end(j["id"])
    out = d.output(j["id"])
    need(j["state"] == "succeeded", f"{argv}: {j['state']} {j['cause']} {out!r}")
    return j, out


def environment(**params):
    """(record, environment) as the job's first process was given it."""
    j, out = show("cat", "/proc/self/environ", **params)
    pairs = [e.partition("=")[::2] for e in out.decode().split("\0")[:-1]]
    is_(len(dict(pairs)), len(pairs), "no variable twice")
    return j, dict(pairs)


def own(j):
    """The variables that every job has."""
    e = {"CTX_ID": str(j["id"]), "CTX_ATTEMPT": "1", "CTX_CLASS": j["class"], "CTX_DEADLINE": j["deadline_at"],
         "CTXD_SOCKET": d.sock, "CTX_VALUES": "{}", "TRACEPARENT": j["traceparent"],
         "NOTIFY_SOCKET": os.path.join(d.run, "jobs", f"{j['id']}.1", "notify")}
    if j["name"]:
        e["CTX_NAME"] = j["name"]
    return e


def check(env, j, **more):
    epoch = env.pop("CTX_DEADLINE_EPOCH")
    like(epoch, r"\A\d{10}\Z")
    is_(env, {**own(j), **more})


def reconfigure(text):
    d.configure(text)
    d.call("Reload")


# Variables --------------------------------------------------------------------------------------------------------------


@case("without an environment: the variables of the context, and a standard PATH")
def _():
    j, env = environment()
    check(env, j, PATH=PATH)
    j, env = environment(env={})
    check(env, j, PATH=PATH)


@case("the submitter's, every byte of it; name and class are told")
def _():
    mine = {"PATH": "/bin:/usr/bin", "A": "", "B": "x=y=z", "C": "two\nlines", "D": "\u00fc\U0001f600", "_": "odd", "lower": "1",
            "E": " spaces ", "LONG": "v" * 50000, "F%s": "name with a percent sign", "ctx_id": "not ours"}
    j, env = environment(env=mine, name="a name", **{"class": "known"})
    check(env, j, **mine)


@case("what belongs to another process, or is ours to set, does not come through")
def _():
    foreign = {k: "wrong" for k in ("CTX_ID", "CTX_ATTEMPT", "CTX_NAME", "CTX_CLASS", "CTX_KEY", "CTX_DEADLINE",
                                    "CTX_DEADLINE_EPOCH", "CTXD_SOCKET", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES",
                                    "NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "CTX_PARENT", "CTX_VALUES", "CTX_VALUE_X",
                                    "CTX_VALUE_", "TRACEPARENT", "TRACESTATE", "BAGGAGE")}
    mine = {"CTX_OTHER": "mine", "CTXD_SOCKET2": "mine", "CTX_VALUE": "mine", "TRACEPARENT_": "mine", "traceparent": "mine"}
    j, env = environment(env={**foreign, **mine, "PATH": PATH})
    check(env, j, PATH=PATH, **mine)


@case("values: together as JSON, and each by itself under a name that a shell can say")
def _():
    values = {"tenant": "acme", "_": "", "a.b-C": "x=y", "odd": "\"\\\t\n\x01\u00fc\U0001f600 $HOME", "LAST": "z" * 4000}
    j, env = environment(values=values, env={"PATH": PATH, "CTX_VALUE_TENANT": "wrong", "CTX_VALUE_OTHER": "wrong"})
    is_(j["values"], values)
    is_(json.loads(env.pop("CTX_VALUES")), values)
    check({**env, "CTX_VALUES": "{}"}, j, PATH=PATH, CTX_VALUE_TENANT="acme", CTX_VALUE__="", CTX_VALUE_A_B_C="x=y",
          CTX_VALUE_ODD=values["odd"], CTX_VALUE_LAST=values["LAST"])
    _, out = show(sh="echo $CTX_VALUE_TENANT", values={"tenant": "acme"})
    is_(out, b"acme\n")


@case("the trace: the requester's, with a span of the job's own below it; what comes with it")
def _():
    theirs = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    wrong = {"PATH": PATH, "TRACEPARENT": theirs.replace("4bf9", "ffff"), "TRACESTATE": "wrong=1", "BAGGAGE": "wrong=1"}
    j, env = environment(env=wrong, traceparent=theirs, tracestate="vendor=1,other=2", baggage="user=42")
    own_span = env["TRACEPARENT"].split("-")[2]
    is_(env["TRACEPARENT"], f"00-4bf92f3577b34da6a3ce929d0e0e4736-{own_span}-01")
    is_((j["span_id"], j["parent_span_id"]), (own_span, "00f067aa0ba902b7"))
    ok(own_span != "00f067aa0ba902b7", "a span of its own")
    check(env, j, PATH=PATH, TRACESTATE="vendor=1,other=2", BAGGAGE="user=42")
    j, env = environment(env=wrong)
    like(env["TRACEPARENT"], r"\A00-[0-9a-f]{32}-[0-9a-f]{16}-03\Z", "a new one")
    unlike(env["TRACEPARENT"], "92f3577b34da6a3ce929d0e0e4736")
    check(env, j, PATH=PATH)
    child, env = environment(parent=j["id"], env=wrong)
    is_(env["TRACEPARENT"].split("-")[1], j["traceparent"].split("-")[1], "inherited")
    ok(env["TRACEPARENT"] != j["traceparent"], "a span of its own")


@case("the key is told, unless it was made for one call")
def _():
    j, env = environment(key="nightly 7")
    check(env, j, PATH=PATH, CTX_KEY="nightly 7")
    j, env = environment(key="~0123456789abcdef")
    is_(j["key"], None)
    check(env, j, PATH=PATH)


@case("WATCHDOG_USEC with a watchdog, and nobody else's")
def _():
    j, env = environment(watchdog_usec=3600 * S, env={"PATH": PATH, "WATCHDOG_USEC": "1", "WATCHDOG_PID": "1"})
    check(env, j, PATH=PATH, WATCHDOG_USEC=str(3600 * S))


@case("standard input that was spooled is the job's; without it the job does not run")
def _():
    data = os.urandom(70000)
    with d.connect() as v:
        spool = v.call("Spool", data=base64.b64encode(data).decode())["spool"]
        j = d.wait_end(v.call("Submit", argv=["cat"], stdin=spool)["job"]["id"])
    is_((j["state"], j["stdin_bytes"]), ("succeeded", len(data)))
    ok(d.output(j["id"]) == data, "what came out is what went in")
    e = ApiDaemon(conf="[limits]\nrunning = 1\n")
    first = e.submit("sleep", "1000")["id"]
    with e.connect() as v:
        spool = v.call("Spool", data="bGlu")["spool"]
        j = v.call("Submit", argv=["cat"], stdin=spool)["job"]
    is_(j["state"], "queued")
    os.unlink(os.path.join(e.state, "stdin", str(j["id"] // 1000), str(j["id"])))
    e.cancel(first)
    j = e.wait_end(j["id"])
    is_((j["state"], j["cause_code"]), ("failed", "exec"))
    like(j["cause"], "standard input cannot be opened: No such file")
    is_(e.output(j["id"]), b"")
    e.cleanup()


@case("nothing of ctxd's own environment")
def _():
    e = ApiDaemon(env={"LEAK": "from ctxd", "LD_LIBRARY_PATH": "/leak", "PATH": "/leak:" + os.environ["PATH"]})
    j = e.submit("cat", "/proc/self/environ")
    e.wait_end(j["id"])
    unlike(e.output(j["id"]).decode(), "leak|LEAK|XDG_|HOME|CTXD_CHECK")
    e.cleanup()


@case("[environment] mode and deny: what is left out is said")
def _():
    mine = {"PATH": PATH, "KEEP": "1", "AWS_TOKEN": SECRET, "OTHER": "2"}
    reconfigure("[environment]\ndeny = AWS_TOKEN, NONESUCH\n")
    got = d.call("Submit", argv=["cat", "/proc/self/environ"], env=mine)
    is_(len(got["notices"]), 1)
    like(got["notices"][0], "AWS_TOKEN")
    unlike(got["notices"][0], SECRET)
    j, env = environment(env=mine)
    check(env, j, PATH=PATH, KEEP="1", OTHER="2")
    reconfigure("[environment]\nmode = KEEP, PATH\n")
    got = d.call("Submit", argv=["true"], env=mine)
    like(got["notices"][0], "2 variables")
    j, env = environment(env=mine)
    check(env, j, PATH=PATH, KEEP="1")
    j, env = environment(env={"KEEPER": "1", "KEE": "2"})
    check(env, j, PATH=PATH)
    reconfigure("[environment]\nmode = none\n")
    j, env = environment(env={**mine, "PATH": "/elsewhere"})
    check(env, j, PATH=PATH)
    reconfigure("[environment]\nmode = KEEP, OTHER\ndeny = OTHER\n")
    j, env = environment(env=mine)
    check(env, j, PATH=PATH, KEEP="1")
    is_(d.call("Submit", argv=["true"])["notices"], [])
    reconfigure("[class known]\n[class nicer]\nnice = 7\n")


@case("ctxctl: all of its own, none, a list, and more by -E")
def _():
    base = {"PATH": os.environ["PATH"], "CTXD_SOCKET": d.sock, "ONE": "1", "TWO": "2", "EMPTY": ""}

    def submit(*args, env=base):
        r = run([CTXCTL, "submit", *args, "cat", "/proc/self/environ"], env=env)
        need(r.code == 0, f"{r}")
        j = d.wait_end(int(r.out))
        got = dict(e.partition("=")[::2] for e in d.output(j["id"]).decode().split("\0")[:-1])
        for k in list(got):
            if k.startswith("CTX") or k in ("TRACEPARENT", "NOTIFY_SOCKET"):
                del got[k]
        return got, r.err

    rest = {k: v for k, v in base.items() if k != "CTXD_SOCKET"}
    is_(submit()[0], rest)
    is_(submit("--env-mode", "all")[0], rest)
    is_(submit("--env-mode", "none")[0], {"PATH": PATH})
    is_(submit("--env-mode", "ONE,NONESUCH,EMPTY")[0], {"PATH": PATH, "ONE": "1", "EMPTY": ""})
    is_(submit("--env-mode", "none", "-E", "X=a=b", "-E", "TWO", "-E", "Y=")[0], {"PATH": PATH, "X": "a=b", "TWO": "2", "Y": ""})
    is_(submit("-E", "ONE=other", "-E", "ONE=last")[0], {**rest, "ONE": "last"})


# The process --------------------------------------------------------------------------------------------------------------


@case("umask: the one given, else 022")
def _():
    for given, want in (({}, 0o22), ({"umask": 0}, 0), ({"umask": 0o77}, 0o77), ({"umask": 0o777}, 0o777), ({"umask": 0o027}, 0o27)):
        j, out = show(sh="umask", **given)
        is_((int(out, 8), j["umask"]), (want, want))
    old = os.umask(0o057)
    try:
        id = int(d.ctl_ok("submit", "sh", "-c", "umask"))
    finally:
        os.umask(old)
    d.wait_end(id)
    is_(int(d.output(id), 8), 0o57, "ctxctl sends its own")


@case("the directory: the one given, else /; through links, with spaces, deep")
def _():
    is_(show("pwd")[1], b"/\n")
    odd = os.path.join(d.dir, "a b\n\u00fc")
    os.mkdir(odd)
    is_(show("pwd", cwd=odd)[1].decode(), odd + "\n")
    link = os.path.join(d.dir, "link")
    os.symlink(odd, link)
    j, out = show("/bin/pwd", "-P", cwd=link)
    is_((out.decode(), j["cwd"]), (odd + "\n", link))
    is_(show("/bin/pwd", "-P", cwd=link + "/../././")[1].decode().rstrip("\n"), d.dir)
    deep = odd
    while len(deep) < 3900:
        deep = os.path.join(deep, "d" * 200)
    os.makedirs(deep)
    is_(show("/bin/pwd", "-P", cwd=deep)[1].decode(), deep + "\n")
    r = d.ctl("submit", "/bin/pwd", "-P", cwd=odd)
    d.wait_end(int(r.out))
    is_(d.output(int(r.out)).decode(), odd + "\n", "ctxctl sends its own")
    r = d.ctl("submit", "-C", "..", "/bin/pwd", "-P", cwd=odd)
    d.wait_end(int(r.out))
    is_(d.output(int(r.out)).decode(), d.dir + "\n", "-C is relative to that")


@case("stdin is /dev/null, stdout and stderr are one file, there is no terminal")
def _():
    is_(show(sh="wc -c; readlink /proc/self/fd/0")[1], b"0\n/dev/null\n")
    is_(show(sh="test -t 0 || test -t 1 || test -t 2 || (: </dev/tty) 2>/dev/null || echo none")[1], b"none\n")
    j, out = show("stat", "-L", "-c", "%d:%i %a %F", "/proc/self/fd/1", "/proc/self/fd/2")
    a, b = out.decode().splitlines()
    is_(a, b)
    like(a, r" 640 regular")


@case("its own session and process group, no terminal, not ours")
def _():
    _, out = show(sh="cat /proc/$$/stat; echo $$")
    lines = out.decode().splitlines()
    fields = lines[0].rsplit(")", 1)[1].split()
    pid = int(lines[1])
    is_((int(fields[2]), int(fields[3]), int(fields[4])), (pid, pid, 0), "process group, session, terminal")


@case("every signal at its default, none blocked, whatever ctxd was started with")
def _():
    e = ApiDaemon(start=False)
    e.start(prefix=["env", "--ignore-signal", "--block-signal"])
    j = e.submit("cat", "/proc/self/status")
    e.wait_end(j["id"])
    status = dict(x.split(":\t", 1) for x in e.output(j["id"]).decode().splitlines() if ":\t" in x)
    # 32 and 33 are the C library's own, and never anybody's to set.
    libc = (1 << 31) | (1 << 32)
    for what in ("SigBlk", "SigIgn", "SigCgt", "SigPnd", "ShdPnd"):
        is_(int(status[what], 16) & ~libc, 0, what)
    j = e.submit(sh="kill -PIPE $$")
    is_(e.wait_end(j["id"])["signal"], 13, "PIPE kills, as in any shell")
    j = e.submit(sh="yes | head -n 1")
    is_(e.wait_end(j["id"])["state"], "succeeded")
    e.cleanup()


@case("oom_score_adj 0, also of a ctxd that is protected; nice from the class")
def _():
    is_(show("cat", "/proc/self/oom_score_adj")[1], b"0\n")
    e = ApiDaemon(start=False)
    e.start(prefix=["sh", "-c", 'echo 321 >/proc/self/oom_score_adj; exec "$@"', "-"])
    is_(read_file(f"/proc/{e.proc.pid}/oom_score_adj"), b"321\n")
    j = e.submit("cat", "/proc/self/oom_score_adj")
    e.wait_end(j["id"])
    if os.geteuid() == 0:
        is_(e.output(j["id"]), b"0\n")
    e.cleanup()
    before = os.getpriority(os.PRIO_PROCESS, 0)
    is_(int(show("nice")[1]), before)
    is_(int(show("nice", **{"class": "nicer"})[1]), before + 7)


@case("its user and groups, nothing taken away from it, nobody tracing it")
def _():
    _, out = show("cat", "/proc/self/status")
    status = dict(x.split(":\t", 1) for x in out.decode().splitlines() if ":\t" in x)
    is_((status["NoNewPrivs"], status["Seccomp"], status["TracerPid"]), ("0", "0", "0"))
    is_(status["Uid"].split(), [str(os.getuid())] * 4)
    is_(status["Gid"].split(), [str(os.getgid())] * 4)
    is_(sorted(map(int, status["Groups"].split())), sorted(os.getgroups()))


@case("arguments arrive as they were sent")
def _():
    argv = ["printf", "%s\\0", "", " ", "a b", "$HOME", "*", "'\"\\", "-n", "--", "\n", "\u00fc\U0001f600", "\x01\x7f", "x" * 100000]
    j, out = show(*argv)
    is_(out.decode().split("\0")[:-1], argv[2:])
    is_(j["argv"], argv)
    r = d.ctl("submit", "--", *argv[:4], "--wait", "-h")
    d.wait_end(int(r.out))
    is_(d.output(int(r.out)).decode().split("\0")[:-1], [*argv[2:4], "--wait", "-h"], "ctxctl leaves what follows the command alone")
    r = d.ctl("submit", "--shell", 'echo "$1" | tr a-z A-Z && exit 3', "arg one")
    is_(d.wait_end(int(r.out))["exit_code"], 3)
    is_(d.output(int(r.out)), b"ARG ONE\n")


# Secrets ------------------------------------------------------------------------------------------------------------------


@case("the environment is in no reply, no log, no view, no event, no file that others read")
def _():
    env = {"PATH": PATH, "TOKEN": SECRET, SECRET + "-name": "x"}
    ids = []
    for argv, state in ((["true"], "succeeded"), (["false"], "failed"), (["/nonexistent"], "failed"), (["sleep", "1000"], "canceled")):
        with d.connect() as v:
            v.send("Submit", {"argv": argv, "env": env})
            raw = v.receive_raw().decode()
            unlike(raw, SECRET, "the answer")
            id = json.loads(raw)["parameters"]["job"]["id"]
        if state == "canceled":
            d.wait_started(id)
            d.cancel(id)
        is_(d.wait_end(id)["state"], state)
        ids.append(id)
    for method, params in (("Get", {"id": ids[0]}), ("List", {}), ("ListSummaries", {}), ("Wait", {"ids": ids}), ("Stats", {}),
                           ("Config", {}), ("Logs", {"id": ids[0]})):
        with d.connect() as v:
            v.send(method, params)
            unlike(v.receive_raw().decode(), SECRET, method)
    for args in (["status", ids[1]], ["list", "--all"], ["--json", "status", ids[1]], ["--json", "list", "--all"], ["doctor"],
                 ["config"]):
        r = d.ctl(*args)
        unlike(r.out + r.err, SECRET, str(args))
    unlike(d.log_text(), SECRET, "the log")
    for view in [r[0] for r in d.sql("SELECT name FROM sqlite_master WHERE type = 'view'")]:
        unlike(repr(d.sql(f"SELECT * FROM {view}")), SECRET, view)
    for table in [r[0] for r in d.sql("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'")]:
        found = SECRET in repr(d.sql(f"SELECT * FROM {table}"))
        is_(found, table == "job_env", f"table {table}")
    is_(d.sql(f"SELECT count(*) FROM job_env WHERE job = {ids[0]}"), [(0,)], "the one that succeeded")
    for root, _, files in os.walk(d.run):
        for name in files:
            path = os.path.join(root, name)
            with contextlib.suppress(FileNotFoundError):  # the directory of a job that has ended goes a moment later
                if stat.S_ISREG(os.lstat(path).st_mode):
                    unlike(read_file(path).decode(errors="replace"), SECRET, path)
    is_(stat.S_IMODE(os.stat(d.db).st_mode), 0o600)
    for name in os.listdir(d.state):
        if name.startswith("ctxd.db"):
            is_(stat.S_IMODE(os.stat(os.path.join(d.state, name)).st_mode), 0o600, name)


@case("the same for what is refused, and for commands that ctxd cannot make sense of")
def _():
    n = len(d.log_text())
    for params in ({"argv": ["true"], "env": {"A": SECRET}, "umask": -1}, {"argv": [], "env": {"A": SECRET}},
                   {"argv": ["true"], "env": {SECRET: 5}}, {"argv": ["true"], "env": {"A": SECRET}, "nonesuch": 1}):
        try:
            d.call("Submit", **params)
            ok(False, f"not refused: {params}")
        except VarlinkError as e:
            unlike(str(e), SECRET)
    with d.connect() as v:
        v.send_raw(b'{"method":"io.ctxd.Submit","parameters":{"argv":["true"],"env":{"A":"' + SECRET.encode() + b'"}\0')
        try:
            unlike(v.receive_raw().decode(), SECRET)
        except VarlinkClosed as e:
            unlike(e.rest.decode(), SECRET)
    unlike(d.log_text()[n:], SECRET)


@case("a job's environment survives kill -9 of ctxd while it queues")
def _():
    reconfigure("[limits]\nrunning = 1\n")
    first = d.submit("sleep", "1000")
    d.wait_started(first["id"])
    j = d.submit("cat", "/proc/self/environ", env={"PATH": PATH, "KEPT": "yes"}, cwd="/tmp", umask=0o31)
    is_(j["state"], "queued")
    d.kill9()
    d.start()
    wait_until(lambda: d.job(first["id"])["state"] == "running", "the first one to be adopted")
    d.cancel(first["id"], now=True)
    j = d.wait_end(j["id"])
    env = dict(e.partition("=")[::2] for e in d.output(j["id"]).decode().split("\0")[:-1])
    check(env, j, PATH=PATH, KEPT="yes")


main()
