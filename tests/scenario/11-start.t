#!/usr/bin/python3
"""Starting and stopping ctxd: places, sockets, locks, the spawner, and what of all that a job must not see."""
import os
import re
import shutil
import signal
import socket
import stat
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from apitest import *  # noqa: E402,F403

d = ApiDaemon(conf="[deadline]\ngrace = 500ms\n")
NOBODY = 65534
ROOT = os.geteuid() == 0

# A daemon that stops at once, so that its spawner has nothing to do: the last case looks whether it left.
idle = ApiDaemon()
idle.wait_end(idle.submit("true")["id"])
idle_spawner = idle.spawner_pid()
idle.stop()


def needs_root():
    if not ROOT:
        skip("needs root, to be somebody else")


def place(name, mode=0o755, uid=None):
    path = os.path.join(d.dir, name)
    os.mkdir(path)
    os.chmod(path, mode)
    if uid is not None:
        os.chown(path, uid, uid)
    return path


def ctxd(*args, env=None, uid=None, program=CTXD):
    """A ctxd that is expected to end at once."""
    return run([program, *args], env=d.environment(env), cwd="/", uid=uid)


def places(name, **kw):
    """Options for directories below one of a name of its own."""
    base = place(name, **kw)
    return ["--config", d.conf, "--state-dir", f"{base}/state", "--runtime-dir", f"{base}/run", "--socket", f"{base}/sock"]


def refuses(r, pattern, code=1):
    is_(r.code, code, "exit status")
    like(r.err, pattern)
    ok(len(r.err.strip().splitlines()) <= 3, f"short: {r.err!r}")


def works(e, argv=("true",)):
    """E takes and runs a job."""
    j = e.submit(*argv)
    return is_(e.wait_end(j["id"])["state"], "succeeded")


# Options ------------------------------------------------------------------------------------------------------------


@case("--version, --help, wrong options")
def _():
    r = ctxd("--version")
    is_((r.code, r.err), (0, ""))
    like(r.out, r"\Actxd \d+\.\d+\.\d+\n\Z")
    r = ctxd("--help")
    is_((r.code, r.err), (0, ""))
    for word in ("--system", "--config", "--check-config", "--print-config", "--state-dir", "--runtime-dir", "--socket"):
        like(r.out, word)
    for args in (["--nonesuch"], ["-x"], ["extra"], ["--user", "--system"], ["--config"], ["--socket"], ["--version=1"]):
        r = ctxd(*args)
        is_((r.code, r.out), (2, ""), " ".join(args))
        like(r.err, r"--help", " ".join(args))
    for option in ("--config", "--state-dir", "--runtime-dir", "--socket"):  # a variable that was not set
        r = ctxd(option, "", "--check-config")
        is_((r.code, r.out), (2, ""), option)
        like(r.err, rf"{option}: .*empty", option)


@case("--version and --help into a full disk are no success")
def _():
    for option in ("--version", "--help", "--print-config"):
        r = run(["sh", "-c", f'exec "$0" {option} >/dev/full', CTXD], env=d.environment())
        ok(r.code != 0, f"{option}: {r}")


@case("a bad configuration: 78, with file and line, from --check-config and from a start")
def _():
    bad = write_file(os.path.join(d.dir, "bad.conf"), "[limits]\nrunning = many\n[nonesuch]\na = b\n")
    args = places("badconf")
    args[1] = bad
    for more in (["--check-config"], []):
        r = ctxd(*args, *more)
        is_(r.code, 78)
        like(r.err, rf"^{bad}:2: ")
        like(r.err, rf"^{bad}:3: ")
    ok(not os.path.exists(os.path.join(d.dir, "badconf", "state")), "nothing was made")
    r = ctxd("--config", d.conf, "--check-config")
    is_((r.code, r.out, r.err), (0, "", ""))
    r = ctxd("--config", os.path.join(d.dir, "nonesuch.conf"), "--check-config")
    is_(r.code, 78)
    like(r.err, r"nonesuch\.conf.*No such file")


# Two at once --------------------------------------------------------------------------------------------------------


@case("a second ctxd: refused, naming the pid of the first; any shared directory is enough")
def _():
    other = place("second")
    base = ["--config", d.conf, "--state-dir", d.state, "--runtime-dir", d.run, "--socket", d.sock]
    for what, at, path in (("both", 0, None), ("the run directory", 3, f"{other}/state"), ("the state directory", 5, f"{other}/run"),
                           ("both, another socket", 7, f"{other}/sock")):
        args = list(base)
        if path:
            args[at] = path
        refuses(ctxd(*args), rf"another ctxd \(pid {d.proc.pid}\)")
        ok(d.running(), what)
    works(d)


@case("the lock ends with its holder: after kill -9 the next one starts at once")
def _():
    for _ in range(3):
        d.kill9()
        d.start()
    works(d)


@case("state and run directory must not be one")
def _():
    base = place("one")
    refuses(ctxd("--config", d.conf, "--state-dir", base, "--runtime-dir", base, "--socket", f"{base}/s"), "same")


# Sockets ------------------------------------------------------------------------------------------------------------


@case("a stale socket file is replaced")
def _():
    d.kill9()
    ok(stat.S_ISSOCK(os.stat(d.sock).st_mode), "the socket file of the dead one is there")
    d.start()
    works(d)
    is_(stat.S_IMODE(os.stat(d.sock).st_mode), 0o600)
    d.stop()
    ok(not os.path.exists(d.sock), "a ctxd that stops takes its socket along")
    d.start()


@case("a living socket of something else is not stolen")
def _():
    for kind, name in ((socket.SOCK_STREAM, "stream"), (socket.SOCK_SEQPACKET, "seqpacket"), (socket.SOCK_DGRAM, "dgram")):
        args = places(f"alive-{name}")
        with socket.socket(socket.AF_UNIX, kind) as s:
            s.bind(args[7])
            if kind != socket.SOCK_DGRAM:
                s.listen(1)
            before = os.stat(args[7]).st_ino
            refuses(ctxd(*args), f"another program answers at '{args[7]}'")
            is_(os.stat(args[7]).st_ino, before, "its file")


@case("a socket whose backlog is full is alive")
def _():
    args = places("full")
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(args[7])
        s.listen(0)
        clients = []
        while True:
            c = socket.socket(socket.AF_UNIX)
            clients.append(c)
            c.setblocking(False)
            try:
                c.connect(args[7])
            except BlockingIOError:
                break
        refuses(ctxd(*args), "another program answers")
        for c in clients:
            c.close()


@case("something else at the path of the socket: a clear error, and it stays")
def _():
    args = places("notasocket")
    write_file(args[7], "precious\n")
    refuses(ctxd(*args), rf"{args[7]}.*File exists")
    is_(read_file(args[7]), b"precious\n")
    os.unlink(args[7])
    os.mkdir(args[7])
    refuses(ctxd(*args), rf"{args[7]}")
    os.rmdir(args[7])
    os.symlink(d.conf, args[7])
    refuses(ctxd(*args), rf"{args[7]}")
    ok(os.path.islink(args[7]), "the link")
    args[7] = os.path.join(d.dir, "nowhere", "sock")
    refuses(ctxd(*args), rf"{args[7]}.*No such file")


@case("a path longer than sun_path: socket and run directory, ctxd and clients")
def _():
    deep = d.dir
    while len(deep) < 300:
        deep = os.path.join(deep, "x" * 60)
    os.makedirs(deep)
    e = ApiDaemon(start=False)
    e.run, e.sock = os.path.join(deep, "run"), os.path.join(deep, "ctxd.sock")
    e.start()
    j = e.submit(sh="echo $CTXD_SOCKET; sleep 1000")
    e.wait_started(j["id"])
    e.kill9()  # links to the monitor and the spawner are made anew, too
    e.start()
    wait_until(lambda: b"\n" in e.output(j["id"]), "the job to say where it is")
    is_(e.output(j["id"]).decode(), e.sock + "\n")
    e.cancel(j["id"])
    is_(e.wait_end(j["id"])["state"], "canceled")
    is_(e.ctl("status", j["id"]).code, 0, "ctxctl, by $CTXD_SOCKET")
    is_(run([CTXCTL, "--socket", e.sock, "status"], env=ctl_env()).code, 0, "ctxctl, by --socket")
    e.cleanup()


@case("relative paths are of the directory ctxd was started in")
def _():
    base = place("relative")
    e = ApiDaemon(start=False)
    e.state, e.run, e.sock = f"{base}/s", f"{base}/r", f"{base}/k"
    e.command = lambda args=(): ["sh", "-c", 'cd "$0" && exec "$@"', base, CTXD, "--config", d.conf, "--state-dir", "s",
                                 "--runtime-dir", "r", "--socket", "k"]
    e.start()
    works(e)
    is_(stat.S_IMODE(os.stat(f"{base}/s/ctxd.db").st_mode), 0o600)
    e.cleanup()


@case("a socket passed by a service manager is used, and left alone at the end")
def _():
    e = ApiDaemon(start=False)
    e.start(prefix=[sys.executable, "-c", "import os, socket, sys\ns = socket.socket(socket.AF_UNIX)\ns.bind(sys.argv[1])\n"
                    "s.listen(8)\nos.dup2(s.fileno(), 3)\nos.set_inheritable(3, True)\n"
                    "os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid()))\nos.execv(sys.argv[2], sys.argv[2:])", e.sock])
    j = e.submit(sh="env; ls -l /proc/self/fd")
    is_(e.wait_end(j["id"])["state"], "succeeded")
    unlike(e.output(j["id"]).decode(), "LISTEN_|socket:", "nothing of that reaches a job")
    e.stop()
    ok(os.path.exists(e.sock), "the file is its maker's to remove")
    e.cleanup()


# Directories --------------------------------------------------------------------------------------------------------


@case("directories that are missing are made, for the owner alone")
def _():
    base = place("missing")
    e = ApiDaemon(start=False)
    e.state, e.run = f"{base}/a/b/state", f"{base}/c/d/run"
    e.start()
    works(e)
    for path in (e.state, e.run):
        is_(stat.S_IMODE(os.stat(path).st_mode), 0o700, path)
    e.cleanup()


@case("a state directory that others can write to, that belongs to somebody else, that is none")
def _():
    for mode in (0o770, 0o707):
        args = places(f"open-{mode:o}")
        os.mkdir(args[3])
        os.chmod(args[3], mode)
        refuses(ctxd(*args), rf"{args[3]} can be written by others")
    args = places("openrun")
    os.mkdir(args[5])
    os.chmod(args[5], 0o770)
    refuses(ctxd(*args), rf"{args[5]} can be written by others")
    args = places("file")
    write_file(args[3])
    refuses(ctxd(*args), rf"{args[3]}: Not a directory")
    if not ROOT:
        return
    args = places("foreign")
    os.mkdir(args[3], 0o700)
    os.chown(args[3], NOBODY, NOBODY)
    refuses(ctxd(*args), rf"{args[3]} belongs to uid {NOBODY}")
    is_(os.listdir(args[3]), [], "nothing was written there")


@case("--system: the run directory is made by others; without it a clear error, and it is not made up")
def _():
    args = places("system")
    refuses(ctxd("--system", *args), rf"{args[5]}: No such file")
    ok(not os.path.exists(args[5]))
    ok(not os.path.exists(args[7]))


@case("a state directory that cannot be made or written")
def _():
    needs_root()
    # The programs have to be where nobody can execute them.
    args = places("closed", mode=0o755)
    refuses(ctxd(*args, uid=NOBODY), rf"make the state directory {args[3]}: Permission denied")
    os.mkdir(args[3])
    os.chown(args[3], NOBODY, NOBODY)
    os.chmod(args[3], 0o500)
    refuses(ctxd(*args, uid=NOBODY), rf"state directory {args[3]} cannot be written: Permission denied")
    os.chmod(args[3], 0o700)
    refuses(ctxd(*args, uid=NOBODY), rf"make the run directory {args[5]}: Permission denied")


@case("an ordinary user's own ctxd: everything is that user's")
def _():
    needs_root()
    e = ApiDaemon(uid=NOBODY)
    j = e.submit(sh="id -u; id -g; exec 9>>/dev/stderr; echo x >&9")
    j = e.wait_end(j["id"])
    is_((j["state"], j["uid"]), ("succeeded", NOBODY))
    is_(e.output(j["id"]).decode(), f"{NOBODY}\n{NOBODY}\nx\n")
    for path in (e.state, e.run, e.db, e.sock, e.output_path(j["id"])):
        is_(os.stat(path).st_uid, NOBODY, path)
    write_file(e.conf, "[deadline]\ntimeout = 99s\n")
    is_([(c["key"], c["new"]) for c in e.call("Reload")["changes"]], [("timeout", "1m39s")], "it is that user's to steer")
    with Varlink(e.sock) as root:
        like(refused(root.call, "NotPermitted", "Submit", argv=["true"])["reason"], f"uid {NOBODY}'s own")
        is_(root.call("Get", id=j["id"])["job"]["id"], j["id"], "all else is root's, too")
    r = run([CTXCTL, "--socket", e.sock, "submit", "true"])
    is_((r.code, r.out), (4, ""))
    e.cleanup()


# The environment of ctxd --------------------------------------------------------------------------------------------


class Home(ApiDaemon):
    """A ctxd without a single option but --config: it finds its places in the environment."""

    def __init__(self, variables):
        super().__init__(start=False)
        self.env = {v: None for v in ("HOME", "XDG_RUNTIME_DIR", "XDG_STATE_HOME", "XDG_CONFIG_HOME")}
        self.env.update({k: os.path.join(self.dir, v) for k, v in variables.items()})
        for path in filter(None, self.env.values()):
            os.makedirs(path, mode=0o700, exist_ok=True)

    def command(self, args=()):
        return [CTXD, *args]

    def at(self, state):
        self.state = os.path.join(self.dir, state)
        self.run = os.path.join(self.state, "run")
        self.sock = os.path.join(self.run, "ctxd.sock")
        self.db = os.path.join(self.state, "ctxd.db")
        return self

    def client(self, *args):
        """ctxctl that has to find the socket by itself."""
        return run([CTXCTL, *args], env=ctl_env(None, self.env))


@case("neither HOME nor XDG_STATE_HOME: a clear error; relative ones do not count")
def _():
    e = Home({})
    for env in ({}, {"HOME": "relative"}, {"HOME": ""}, {"XDG_STATE_HOME": "relative"}, {"XDG_RUNTIME_DIR": d.dir}):
        r = run([CTXD], env=e.environment(env), cwd=e.dir)
        refuses(r, "set HOME or XDG_STATE_HOME, or give --state-dir")
    is_(e.client("status").code, 5)


@case("no XDG_RUNTIME_DIR: HOME is enough, for ctxd and for its clients")
def _():
    e = Home({"HOME": "home"}).at("home/.local/state/ctxd")
    e.start()
    works(e)
    is_(e.client("status").code, 0)
    e.cleanup()


@case("XDG_CONFIG_HOME: the configuration is found there")
def _():
    e = Home({"HOME": "home", "XDG_CONFIG_HOME": "cfg"}).at("home/.local/state/ctxd")
    os.mkdir(os.path.join(e.dir, "cfg", "ctxd"))
    write_file(os.path.join(e.dir, "cfg", "ctxd", "ctxd.conf"), "[deadline]\ntimeout = 77s\n")
    e.start()
    is_(e.submit("true")["timeout_usec"], 77 * S)
    e.wait_all_ended()
    e.cleanup()


@case("XDG_RUNTIME_DIR: a link to the socket is made, and goes with ctxd")
def _():
    e = Home({"HOME": "home", "XDG_RUNTIME_DIR": "rt", "XDG_STATE_HOME": "st"}).at("st/ctxd")
    link = os.path.join(e.dir, "rt", "ctxd", "ctxd.sock")
    e.start()
    is_(os.readlink(link), e.sock)
    is_(stat.S_IMODE(os.stat(os.path.dirname(link)).st_mode), 0o700)
    with Varlink(link) as v:
        v.call("Stats")
    is_(e.client("status").code, 0)
    shutil.rmtree(os.path.join(e.dir, "rt"))  # as logind does at the last logout
    works(e)
    is_(e.client("status").code, 0, "found without the link, too")
    e.stop()
    os.mkdir(os.path.join(e.dir, "rt"), 0o700)
    e.start()
    is_(os.readlink(link), e.sock)
    e.kill9()
    e.start()
    is_(os.readlink(link), e.sock, "a stale link is replaced")
    e.stop()
    ok(not os.path.lexists(link), "the link is gone")
    ok(not os.path.lexists(e.sock), "the socket is gone")
    e.start()
    os.unlink(link)
    os.symlink("/elsewhere", link)
    e.stop()
    is_(os.readlink(link), "/elsewhere", "what is not ours stays")
    e.cleanup()


@case("a runtime directory that cannot be written is no obstacle")
def _():
    e = Home({"HOME": "home"}).at("home/.local/state/ctxd")
    e.env["XDG_RUNTIME_DIR"] = os.path.join(e.dir, "nonesuch")
    e.start()
    works(e)
    e.cleanup()


# Signals ------------------------------------------------------------------------------------------------------------


@case("TERM and INT: 0, said to the service manager and in the log; jobs live on")
def _():
    j = d.submit("sleep", "1000")
    pid = d.wait_started(j["id"])["pid"]
    for sig in (signal.SIGTERM, signal.SIGINT):
        d.proc.send_signal(sig)
        d.wait_note("STOPPING=1")
        is_(d.wait_exit(), 0)
        like(d.log_text(), r"1 jobs? go(es)? on")
        ok(not exited(pid), "the job lives")
        d.start()
        wait_until(lambda: d.job(j["id"])["pid"] == pid, "the job to be adopted")
    d.cancel(j["id"], now=True)
    is_(d.wait_end(j["id"])["state"], "canceled")


@case("signals that a shell makes its children ignore do not keep ctxd from stopping")
def _():
    e = ApiDaemon(start=False)
    e.start(prefix=["sh", "-c", 'trap "" INT TERM HUP QUIT PIPE CHLD; exec "$@"', "-"])
    works(e)
    e.stop(signal.SIGINT)
    e.start(prefix=["setsid", "env", "--ignore-signal=TERM", "--block-signal=TERM,INT,HUP,CHLD"])
    works(e)
    e.stop()
    e.cleanup()


@case("HUP reloads; a bad file is refused and the old values stay")
def _():
    n = len(d.notes())
    d.configure("[deadline]\ngrace = 500ms\ntimeout = 61s\n")
    d.proc.send_signal(signal.SIGHUP)
    wait_until(lambda: re.search(r"RELOADING=1(.|\n)*READY=1", "\n".join(d.notes()[n:])), "the reload")
    is_(d.submit("true")["timeout_usec"], 61 * S)
    d.configure("[deadline]\ntimeout = -1\n")
    d.proc.send_signal(signal.SIGHUP)
    d.wait_log(r"the old one stays in force")
    like(d.log_text(), rf"{d.conf}:2: ")
    is_(d.submit("true")["timeout_usec"], 61 * S)
    d.configure("[deadline]\ngrace = 500ms\n")
    d.proc.send_signal(signal.SIGHUP)
    wait_until(lambda: d.submit("true")["timeout_usec"] == 600 * S, "the defaults again")
    d.wait_all_ended()


@case("closed standard descriptors: ctxd and its jobs are none the worse")
def _():
    e = ApiDaemon(start=False)
    e.start(prefix=["sh", "-c", 'exec "$@" <&- >&- 2>&-', "-"])
    j = e.submit(sh="echo out; echo err >&2; cat; ls /proc/self/fd | wc -l")
    is_(e.wait_end(j["id"])["state"], "succeeded")
    is_(e.output(j["id"]), b"out\nerr\n4\n")
    e.cleanup()


# The spawner --------------------------------------------------------------------------------------------------------


@case("jobs get descriptors 0 to 2 and no other, whatever ctxd was given")
def _():
    e = ApiDaemon(start=False)
    e.start(prefix=["bash", "-c", 'exec 5</etc/passwd 9>/dev/null 77<>/dev/zero; exec "$@"', "-"])
    others = [e.submit("sleep", "1000")["id"] for _ in range(3)]
    j = e.submit("ls", "-l", "/proc/self/fd")
    is_(e.wait_end(j["id"])["state"], "succeeded")
    lines = [x.split(" ", 8)[-1].split()[-3:] for x in e.output(j["id"]).decode().splitlines()[1:]]
    fds = {a: b for a, _, b in lines}
    is_(sorted(fds), ["0", "1", "2", "3"], "with 3, which is the directory that ls reads")
    is_(fds["0"], "/dev/null")
    is_(fds["1"], e.output_path(j["id"]))
    is_(fds["2"], fds["1"])
    for id in others:
        e.cancel(id, now=True)
    e.wait_all_ended()
    e.cleanup()


@case("the limit of descriptors in a job is the one that ctxd was started with")
def _():
    e = ApiDaemon(start=False)
    e.start(prefix=["prlimit", "--nofile=333:4444", "--"])
    like(read_file(f"/proc/{e.proc.pid}/limits").decode(), r"Max open files +4444 +4444", "ctxd takes what it can")
    j = e.submit(sh="ulimit -Sn; ulimit -Hn")
    e.wait_end(j["id"])
    is_(e.output(j["id"]), b"333\n4444\n")
    os.kill(need(e.spawner_pid(), "a spawner"), signal.SIGKILL)
    j = e.submit(sh="ulimit -Sn; ulimit -Hn")
    e.wait_end(j["id"])
    is_(e.output(j["id"]), b"333\n4444\n", "also of a second spawner")
    e.cleanup()


@case("the spawner cannot be started: jobs wait, the log says why once, and they run when it can")
def _():
    base = place("bin")
    for program in (CTXD, SPAWNER):
        shutil.copy2(program, base)
    e = ApiDaemon(start=False)
    real = e.command
    e.command = lambda args=(): [os.path.join(base, "ctxd"), *real(args)[1:]]
    e.start()
    works(e)
    spawner = os.path.join(base, "ctx-spawner")
    os.rename(spawner, spawner + ".away")
    sp = need(e.spawner_pid(), "a spawner")
    os.kill(sp, signal.SIGKILL)
    wait_gone([sp])
    e.wait_log(r"spawner could not be started: No such file or directory")
    ids = [e.submit("true")["id"] for _ in range(3)]
    is_([e.job(i)["state"] for i in ids], ["queued"] * 3)
    is_(e.call("Stats")["spawner_up"], False)
    is_(e.ctl("doctor").code in (0, 1), True)
    write_file(spawner, "#!/bin/sh\nexit 1\n", 0o755)  # one that starts and leaves
    is_([e.job(i)["state"] for i in ids], ["queued"] * 3)
    os.unlink(spawner)
    os.rename(spawner + ".away", spawner)
    is_([e.wait_end(i)["state"] for i in ids], ["succeeded"] * 3)
    ok(e.log_text().count("could not be started") <= 2, "the log is not flooded")
    e.cleanup()


@case("the spawner and what it started outlive ctxd; the next ctxd finds the same one")
def _():
    j = d.submit("sleep", "1000")  # so that it is not idle, however long the next ctxd takes
    d.wait_started(j["id"])
    sp = d.spawner_pid()
    d.kill9()
    d.start()
    works(d)
    is_(d.spawner_pid(), sp)
    is_(proc_status(sp, "PPid") != str(d.proc.pid), True)
    d.cancel(j["id"], now=True)
    d.wait_end(j["id"])


@case("no zombies below ctxd")
def _():
    os.kill(need(d.spawner_pid(), "a spawner"), signal.SIGKILL)
    works(d)
    kids = [p for p in os.listdir("/proc") if p.isdigit() and proc_status(p, "PPid") == str(d.proc.pid)]
    wait_until(lambda: not [p for p in kids if proc_state(p) == "Z"], f"zombies among {kids} to be reaped")


@case("a spawner with nothing to do leaves; the next ctxd starts one")
def _():
    need(idle_spawner > 0, "there was one")
    wait_until(lambda: exited(idle_spawner), "the spawner to leave", step=0.05)
    ok(not os.listdir(os.path.join(idle.run, "jobs")) or idle.job_dirs() == [], "no directory of a job is left")
    idle.start()
    works(idle)
    ok(idle.spawner_pid() not in (0, idle_spawner), "a new one")


main()
