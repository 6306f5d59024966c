#!/usr/bin/python3
"""The way to a ctxd of another machine: `ctxctl bridge`, and `ctxctl -H HOST` over a program that stands for ssh: it runs the
command in another home, with another environment and another umask, and knows hosts that fail in each way."""
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from ctxtest import *
from ctxtest import CTXCTL, TIMEOUT, ctl_env, pids_with, run
from varlink import encode

d = Daemon(conf="[daemon]\nreattach=60s\n")
HOME = os.path.join(d.dir, "home there")  # with a space: it goes through two shells
BIN = os.path.join(d.dir, "bin")
SSH = os.path.join(d.dir, "standin")
LOG = os.path.join(d.dir, "ssh.log")
for path in (HOME, BIN):
    os.mkdir(path)
os.symlink(CTXCTL, os.path.join(BIN, "ctxctl"))
for name, text in (("old", "echo \"ctxctl: there is no command 'bridge'\" >&2; exit 2"), ("strange", "exit 3"),
                   ("hello", "printf '{\"parameters\":{}}\\0'; cat >/dev/null")):
    os.mkdir(os.path.join(d.dir, name))
    with open(os.path.join(d.dir, name, "ctxctl"), "w", encoding="utf-8") as f:
        f.write(f"#!/bin/sh\n{text}\n")
    os.chmod(os.path.join(d.dir, name, "ctxctl"), 0o755)
with open(SSH, "w", encoding="utf-8") as f:
    f.write(f"""#!/bin/sh
printf '%s|' "$@" >>{shlex.quote(LOG)}
echo >>{shlex.quote(LOG)}
while [ "$1" != -- ]; do shift; done
host=$2
shift 2
path={BIN}:/usr/bin:/bin sock={d.sock}
case $host in
nowhere) echo "ssh: connect to host nowhere port 22: Connection refused" >&2; exit 255 ;;
bare) path={d.dir}/empty ;;
old|strange|hello) path={d.dir}/$host ;;
down) sock={d.dir}/down.sock ;;
noisy) echo 'Welcome to noisy!' ;;
killed) kill -KILL $$ ;;
hang) exec sleep 1003 ;;
later) [ -e {d.dir}/later ] && exec sleep 1003; : >{d.dir}/later ;;
esac
umask 027
cd {shlex.quote(HOME)} || exit 1
echo "warning: a word of ssh" >&2
set -- /usr/bin/env -i HOME={shlex.quote(HOME)} PATH=$path THERE=yes CTXD_SOCKET=$sock NAME='two words' /bin/sh -c "$*"
[ $host != piped ] || {{ cat | "$@" | cat; exit; }}
exec "$@"
""")
os.chmod(SSH, 0o755)
open(LOG, "w", encoding="utf-8").close()
HERE = {"CTXD_SSH": SSH, "CTXD_SOCKET": "/nowhere/ctxd.sock", "HERE": "yes", "CTX_ID": "4711"}


def there(*args, host="web1", env=None, **kw):
    return d.ctl("-H", host, *args, env={**HERE, **(env or {})}, **kw)


def there_ok(*args, **kw):
    r = there(*args, **kw)
    need(r.code == 0, f"{args}: {r}")
    return r.out


def there_bg(*args, host="web1", ssh=SSH, **kw):
    return subprocess.Popen([CTXCTL, "-H", host, *map(str, args)], env=ctl_env(None, {**HERE, "CTXD_SSH": ssh}), stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, **kw)


def calls():
    with open(LOG, encoding="utf-8") as f:
        return f.read().splitlines()


def bridges():
    return [p for p in pids_with(b"bridge", ("cmdline",)) if p in pids_with(d.dir)]


def connected(n):
    """N connections at ctxd, and the one that asks."""
    wait_until(lambda: d.json("status")["connections"] == n + 1, f"{n} connections")


def bridge(*args, **kw):
    return subprocess.Popen([CTXCTL, *args, "bridge"], env=ctl_env(d.sock), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, **kw)


def ended(p):
    """Exit code and what is left to read on stdout and stderr."""
    try:
        out, err = p.communicate(timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        p.kill()
        need(False, f"{p.args} does not end, or what it has started holds its outputs")
    return p.returncode, out, err.decode()


def reply(p):
    """One reply from a pipe."""
    got = bytearray()
    while not got.endswith(b"\0"):
        byte = p.stdout.read(1)
        need(byte, f"the bridge ended: {bytes(got)}")
        got += byte
    return json.loads(got[:-1])


# The bridge by itself --------------------------------------------------------------------------------------------------


@case("bridge: what is sent before the input ends is answered, and then it ends")
def _():
    r = run([CTXCTL, "bridge"], input=encode("Stats") + encode("Config"), env=ctl_env(d.sock))
    is_((r.code, r.err), (0, ""))
    got = [json.loads(x) for x in r.out.split("\0")[:-1]]
    is_(len(got), 2)
    ok("version" in got[0]["parameters"] and "settings" in got[1]["parameters"])
    with open(os.path.join(d.dir, "calls"), "wb") as f:  # files, not pipes
        f.write(encode("Stats"))
    with open(os.path.join(d.dir, "calls"), "rb") as i, open(os.path.join(d.dir, "answers"), "wb") as o:
        p = subprocess.run([CTXCTL, "bridge"], env=ctl_env(d.sock), stdin=i, stdout=o, check=False, timeout=TIMEOUT)
    is_(p.returncode, 0)
    with open(os.path.join(d.dir, "answers"), "rb") as f:
        like(f.read().decode(), '"version"')


@case("bridge: each call is answered at once, however long the input stays open")
def _():
    p = bridge()
    for _ in range(3):
        p.stdin.write(encode("Stats"))
        p.stdin.flush()
        ok("version" in reply(p)["parameters"])
    p.stdin.close()
    p.stdin = None
    is_(ended(p)[:2], (0, b""))


@case("bridge: much both ways at once, read late")
def _():
    n = 20000
    p = bridge()
    sender = threading.Thread(target=lambda: (p.stdin.write(encode("Get", {"id": 999999}) * n), p.stdin.close()))
    sender.start()
    data = p.stdout.read()
    sender.join(TIMEOUT)
    is_(p.wait(TIMEOUT), 0)
    is_(data.count(b"\0"), n)
    is_(data.count(b"NoSuchJob"), n)
    for f in (p.stdout, p.stderr):
        f.close()


@case("bridge: a half-closed input keeps what is being waited for; a reader that goes ends it")
def _():
    id = d.submit("sleep", "1000")
    p, q = bridge(), bridge()
    for x in (p, q):
        x.stdin.write(encode("Wait", {"ids": [id]}, more=True))
        x.stdin.flush()
    p.stdin.close()
    p.stdin = None
    q.stdout.close()  # its input stays open
    q.stdout = None
    wait_until(lambda: q.poll() is not None, "the bridge without a reader to end")
    is_(q.returncode, 0)
    ended(q)
    is_(p.poll(), None)
    d.ctl_ok("cancel", "--now", id)
    code, out, _ = ended(p)
    is_(code, 0)
    like(out.decode(), '"state": ?"canceled"')


@case("bridge: the end of ctxd is its end; no ctxd: 5 with the socket's name")
def _():
    p = bridge()
    p.stdin.write(encode("Stats"))
    p.stdin.flush()
    reply(p)
    d.kill9()
    wait_until(lambda: p.poll() is not None, "the bridge to end with ctxd")
    is_(ended(p)[:2], (0, b""))
    r = d.ctl("bridge")
    is_((r.code, r.out), (5, ""))
    like(r.err, re.escape(d.sock))
    d.start()
    r = d.ctl("bridge", "word")
    is_((r.code, r.out), (2, ""))


# What is submitted there -------------------------------------------------------------------------------------------------


@case("-H submit: the directory, the umask and the environment of there, as ssh HOST ctxctl submit would have")
def _():
    before = len(calls())
    r = there("submit", "--shell", "pwd; umask; echo $THERE:$HERE:$NAME:$CTXD_SSH")
    is_(r.code, 0)
    like(r.out, r"^\d+\n$")
    like(r.err, "^warning: a word of ssh$")
    unlike(r.err, "4711")  # the job that this runs in is one of another ctxd
    is_(len(calls()), before + 1)
    is_(calls()[-1], "--|web1|ctxctl bridge --hello|")
    id = int(r.out)
    job = d.wait_end(id)
    is_((job["cwd"], job["umask"], job["parent"]), (HOME, 0o027, None))
    is_(d.logs(id), f"{HOME}\n0027\nyes::two words:\n")
    wait_until(lambda: not bridges(), "the bridges to end")


@case("-H submit: -C, -E and --env-mode")
def _():
    show = "pwd; echo $THERE:$HERE:$ADDED"
    os.mkdir(os.path.join(HOME, "sub"))
    for args, want in ((["-C", "sub", "-E", "HERE", "-E", "ADDED=1"], f"{HOME}/sub\nyes:yes:1\n"),
                       (["-C", "/", "--env-mode", "none"], "/\n::\n"),
                       (["-C", "/", "--env-mode", "THERE,HERE,NONE"], "/\nyes::\n")):
        id = int(there_ok("submit", *args, "--shell", show))
        d.wait_end(id)
        is_(d.logs(id), want, str(args))


@case("-H run: output, both streams, standard input, exit code")
def _():
    r = there("run", "--split-output", "--stdin", "-", "--shell", "cat; echo error >&2; exit 7", input="in\n")
    is_((r.code, r.out), (7, "in\n"))
    like(r.err, "^error$")
    is_(there("run", "/no/such/program").code, 127)
    local = os.path.join(d.dir, "local file")
    with open(local, "w", encoding="utf-8") as f:
        f.write("a file of here\n")
    is_(there_ok("run", "--stdin", local, "cat"), "a file of here\n")
    r = there("submit", "-f", "echo", "followed")
    is_((r.code, r.out), (0, "followed\n"))


@case("-H run: Ctrl-C is for ctxctl alone, and cancels the job")
def _():
    p = there_bg("run", "--shell", "echo up; exec sleep 1000", start_new_session=True)
    is_(p.stdout.readline(), b"up\n")
    os.killpg(p.pid, signal.SIGINT)
    code, _, err = ended(p)
    is_(code, 122)
    like(err, "canceling job")
    job = d.json("list", "--all", "--limit", "1000")[-1]
    is_((job["state"], job["cause"]), ("canceled", "interrupted by user"))
    wait_until(lambda: not bridges(), "the bridges to end")


@case("-H run: with the client goes ssh, the bridge and the job")
def _():
    # The second is a shell with ssh below it, which it does not take with it; the third sees the end of its input only.
    for host, ssh in (("web1", SSH), ("web1", f"cd / && {SSH}"), ("piped", f"cd / && {SSH}")):
        p = there_bg("run", "--shell", "echo up; exec sleep 1000", ssh=ssh, host=host)
        is_(p.stdout.readline(), b"up\n")
        job = d.json("list", "--all", "--limit", "1000")[-1]
        is_(job["bound"], True)
        p.kill()
        ended(p)
        job = d.wait_state(job["id"], "canceled")
        is_(job["cause_code"], "client_gone")
        wait_until(lambda: not bridges(), "the bridges to end")


@case("-H: an ssh that hangs goes with the client, and keeps no signal from it")
def _():
    def hanging():
        return [p for p in pids_with("sleep\0" + "1003", ("cmdline",)) if p in pids_with(d.dir, ("environ",))]

    for sig in (signal.SIGKILL, signal.SIGINT, signal.SIGTERM):
        p = there_bg("list", host="hang", ssh=f"exec {SSH}", start_new_session=True)
        wait_until(hanging, "ssh to hang")
        os.killpg(p.pid, sig) if sig == signal.SIGINT else p.send_signal(sig)
        ended(p)
        is_(p.returncode, -sig)
        wait_until(lambda: not hanging(), "ssh to go")
    p = there_bg("run", "sleep", "1000", host="later", ssh=f"exec {SSH}")  # its output is to come over the second one
    wait_until(hanging, "the second ssh to hang")
    id = d.json("list", "--state", "running")[-1]["id"]
    wait_until(lambda: p.poll() is not None or p.send_signal(signal.SIGINT), "three signals to be heard")
    ended(p)
    is_(p.returncode, 125)
    d.wait_state(id, "canceled")
    wait_until(lambda: not hanging() and not bridges(), "ssh to go")


@case("-H: a ctxd that is restarted ends neither run nor wait")
def _():
    go = os.path.join(d.dir, "go")
    os.mkfifo(go)
    p = there_bg("run", "--shell", f"echo up; read x <{go}; echo down; exit 3")
    is_(p.stdout.readline(), b"up\n")
    id = d.json("list", "--state", "running")[-1]["id"]
    connected(2)
    q = there_bg("wait", id)
    connected(3)  # who has never been connected gives up at once
    for x in (p, q):  # they notice when it is back: what they do meanwhile, and for how long, is in 71-cli-follow.t
        x.send_signal(signal.SIGSTOP)
    d.kill9()
    d.start()
    for x in (p, q):
        x.send_signal(signal.SIGCONT)
    with open(go, "w", encoding="ascii") as f:
        f.write("\n")
    code, out, err = ended(p)
    is_((code, out), (3, b"down\n"))
    like(err, f"ctxctl -H web1 wait {id}")
    is_(ended(q)[0], 3)


# The other commands --------------------------------------------------------------------------------------------------------


@case("-H list, status, logs, wait, cancel, scope, tree, events, doctor, config")
def _():
    id = int(there_ok("submit", "-n", "far", "--shell", "echo words; exec sleep 1000"))
    wait_until(lambda: d.logs(id), "its output")
    is_([j["id"] for j in json.loads(there_ok("--json", "list", "-n", "far"))], [id])
    unlike(there_ok("list"), rf"^ *{id} .* root ")
    me = run(["id", "-un"], env=ctl_env()).out.strip()
    is_([j["id"] for j in json.loads(there_ok("--json", "list", "-n", "far", "--user", me))], [id])
    is_([j["id"] for j in json.loads(there_ok("--json", "list", "-n", "far", "--user", os.getuid()))], [id])
    r = there("list", "--user", "no-such-user")
    is_((r.code, r.out), (2, ""))
    like(r.err, "no user 'no-such-user' there")
    like(there_ok("status", id), "sleep 1000")
    is_(there_ok("logs", id), "words\n")
    like(there_ok("status"), "socket")
    is_(there("wait", "--any", "-t", "1s", id).code, 125)
    there_ok("cancel", "--now", "--wait", "--all-matching", "-n", "far", "--user", me)
    is_(d.job(id)["state"], "canceled")
    scope = int(there_ok("scope", "create"))
    like(there_ok("tree"), str(scope))
    there_ok("scope", "close", scope, "--wait")
    like(there_ok("events", id), "canceled")
    is_(there("doctor").code in (0, 1), True)
    like(there_ok("config"), r"^\[deadline\]$")


@case("-H backup: a file of here")
def _():
    path = os.path.join(d.dir, "far.db")
    there_ok("backup", path)
    with open(path, "rb") as f:
        is_(f.read(15), b"SQLite format 3")


@case("-H: progress and bridge are of this machine")
def _():
    for args in (["progress", "10"], ["bridge"]):
        r = there(*args)
        is_((r.code, r.out), (2, ""), str(args))
        like(r.err, "-H")


# How ssh is called -----------------------------------------------------------------------------------------------------------


@case("the options for the daemon are for the one there, quoted for its shell")
def _():
    odd = os.path.join(d.dir, "it's a socket")
    os.symlink(d.sock, odd)
    like(d.ctl_ok("--socket", odd, "-H", "web1", "status", env=HERE), "socket")
    is_(calls()[-1], f"--|web1|ctxctl --socket '{d.dir}/it'\\''s a socket' bridge --hello|")
    is_(d.ctl("-H", "web1", "--system", "status", env=HERE).code, 5)
    is_(calls()[-1], "--|web1|ctxctl --system bridge --hello|")


@case("$CTXD_SSH is a command with its options; without it, ssh")
def _():
    there_ok("status", env={"CTXD_SSH": f"{SSH} -p 2222 -o 'User=a b'"}, host="alice@web1")
    is_(calls()[-1], "-p|2222|-o|User=a b|--|alice@web1|ctxctl bridge --hello|")
    os.symlink(SSH, os.path.join(d.dir, "ssh"))
    there_ok("status", env={"CTXD_SSH": None, "PATH": f"{d.dir}:/usr/bin:/bin"}, host="ssh://alice@web1:2222")
    is_(calls()[-1], "-T|--|ssh://alice@web1:2222|ctxctl bridge --hello|")
    r = there("status", env={"CTXD_SSH": None, "PATH": f"{d.dir}:/usr/bin:/bin"}, host="killed")
    is_((r.code, r.out), (5, ""))
    like(r.err, "cannot reach killed: ssh was ended by a signal")
    is_(there("run", "true", env={"CTXD_SSH": f"cd / && {SSH}"}).code, 0)
    r = there("status", env={"CTXD_SSH": "", "PATH": d.dir + "/empty"})
    is_((r.code, r.out), (5, ""))
    like(r.err, "cannot run ssh")


@case("a host is no option, and nothing else")
def _():
    before = calls()
    for host in ("-oProxyCommand=touch x", "-x", "", "a@-x", "@web1", "web1@", "a b", "a;b", "$(x)", "ssh://-x", "a\nb"):
        r = there("list", host=host)
        is_((r.code, r.out), (2, ""), host)
        like(r.err, r"is no \[USER@\]HOST", host)
    is_(calls(), before)


@case("what cannot be reached: 5, or 125, with the host and why")
def _():
    for host, why in (("nowhere", "cannot reach nowhere: ssh failed"), ("bare", "no ctxctl in the PATH"), ("old", "of another version"),
                      ("down", "ctxctl there cannot, either"), ("noisy", "start-up file"), ("hello", "start-up file"),
                      ("strange", "ended there before")):
        r = there("list", host=host)
        is_((r.code, r.out), (5, ""), host)
        like(r.err, why, host)
        like(r.err, f"(reach|at) {host}", host)
        for args in (["submit", "true"], ["status", "1"]):
            is_(there(*args, host=host).code, 5, f"{args} {host}")
        is_(there("run", "true", host=host).code, 125, host)
    like(there("list", host="nowhere").err, "port 22: Connection refused")
    like(there("list", host="down").err, re.escape(f"{d.dir}/down.sock"))
    wait_until(lambda: not bridges(), "the bridges to end")


main()
