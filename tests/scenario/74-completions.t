#!/usr/bin/python3
"""Completion: what ctxctl says can stand at the cursor, from the tables of its help and from ctxd, and bash with nothing but our
script. The other shells: tests/host/completions.t."""
import os
import re
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from ctxtest import *
from ctxtest import CTXCTL, ROOT, ctl_env, run
from shells import Shell

d = Daemon(conf="[class batch]\nrunning=3\n[class short]\nmax_timeout=1m\nrunning=2\n")
HELP = run([CTXCTL, "--help"]).out
COMMANDS = re.findall(r"^  (\w+) ", re.search(r"^Commands.*?^\n", HELP, re.M | re.S).group(0), re.M)


PATIENT = {"CTXD_COMPLETE_MS": "60000"}  # a machine may stand still for longer than a person wants to wait


def offered(*words, sock=d.sock, env=PATIENT):
    """{word: text} of what can stand in place of the last word; what the shell is to look for is under '\\t'."""
    r = run([CTXCTL, "_complete", *map(str, words)], env=ctl_env(sock, env))
    is_((r.code, r.err), (0, ""), f"{words}")
    got = {}
    for line in r.out.splitlines():
        word, text = line.split("\t", 1)
        got[word or "\t"] = text
    return got


def options(text):
    return {"--" + o for o in re.findall(r"^  (?:-.,|   ) --([a-z-]+)", text, re.M)}


@case("every option of the help is offered, and nothing else")
def _():
    is_(set(offered("--")), options(HELP))
    for c in COMMANDS + ["scope create", "scope close"]:
        want = options(d.ctl_ok(*c.split(), "--help"))
        got = offered(*c.split(), "--")
        is_(set(got), want, c)
        ok(all(got.values()), f"{c}: each says what it is")
        ok("--help" in got, c)


@case("commands with what they do; none that is not in the help")
def _():
    is_(list(offered("")), COMMANDS)
    is_(list(offered("--json", "-H", "web1", "")), COMMANDS)
    is_(list(offered("help", "")), COMMANDS)
    is_(offered("sta"), {"status": re.search(r"^  status +(.*)$", HELP, re.M).group(1)})
    is_(offered("help", "list", ""), {})
    is_(list(offered("scope", "")), ["create", "close"])
    is_(offered("config", ""), {})
    r = d.ctl("_complete", "no-such-command", "")
    is_(r.out, "")


@case("values: of the argument that the help names")
def _():
    states = ["queued", "running", "stopping", "open", "succeeded", "failed", "canceled", "deadline_exceeded", "interrupted", "closed"]
    is_(list(offered("list", "--state", "")), states)
    is_(list(offered("list", "--state=")), ["--state=" + s for s in states])
    is_(list(offered("cancel", "--state", "queued,run")), ["queued,running"])
    is_(list(offered("submit", "-c", "")), ["default", "batch", "short"])
    is_(list(offered("list", "-cba")), ["-cbatch"])
    is_(list(offered("submit", "--inherit", "values,")), ["values," + s for s in ("values", "trace", "deadline", "cancel")])
    is_(list(offered("submit", "--if-exists", "")), ["return", "retry", "fail"])
    is_(list(offered("submit", "-t", "")), ["max"])
    is_(list(offered("resolve", "1", "--as", "s")), ["succeeded"])
    ok({"TERM", "USR1", "KILL"} <= set(offered("signal", "-s", "")))
    is_(list(offered("submit", "--warn", "5m:USR")), ["5m:USR1", "5m:USR2"])
    is_(list(offered("submit", "-E", "MINE_", env={"MINE_1": "a", "MINE_2": "b"})), ["MINE_1", "MINE_2"])
    is_(offered("submit", "--stdin=x"), {"\t": "files\t--stdin="})
    is_(offered("submit", "--stdin", ""), {"\t": "files\t", "-": ""})
    is_(offered("submit", "-C", "x"), {"\t": "dirs\t"})
    is_(offered("list", "--user", ""), {"\t": "users\t"})
    is_(offered("-H", "x"), {"\t": "hosts\t"})
    is_(offered("backup", ""), {"\t": "files\t"})
    for words in (["submit", "--deadline", ""], ["list", "--limit", ""], ["cancel", "--cause", ""]):
        is_(offered(*words), {}, str(words))


@case("a command to run: the shell's own affair")
def _():
    for words, n in ((["submit", ""], 1), (["run", "-t", "1h", "ma"], 1), (["submit", "make", "-"], 2), (["submit", "--", "-x"], 1),
                     (["run", "--json", "--", "tar", "czf", "x"], 3), (["submit", "-n", "a", "-w", "ls", "--all", ""], 3)):
        is_(offered(*words), {"\t": f"command\t{n}"}, str(words))
    ok("--name" in offered("submit", "-w", "--n"))
    ok("--name" not in offered("submit", "true", "--n"))


@case("ids with what they are; to each command those that it is for")
def _():
    live = d.submit("-n", "nightly", "-c", "batch", "sleep", "1000")
    done = d.submit("true")
    bad = d.submit("-n", "na me", "--shell", "exit 3 # \x1b[31m\n\u202e")
    d.wait_state(live, "running")
    d.wait_end(done)
    d.wait_end(bad)
    scope = int(d.ctl_ok("scope", "create", "-n", "release"))
    every = [scope, bad, done, live]
    for command, ids in (("cancel", [scope, live]), ("wait", [scope, live]), ("extend", [scope, live]), ("signal", [scope, live]),
                         ("retry", [bad]), ("logs", every), ("status", every), ("events", every), ("tree", every),
                         ("scope close", [scope]), ("resolve", []), ("prune", [bad, done])):
        is_(list(offered(*command.split(), "")), [str(i) for i in ids], command)
    got = offered("status", "")
    is_(got[str(live)], "running nightly: sleep 1000")
    is_(got[str(scope)], "open release")
    unlike("".join(got.values()), "[\x00-\x1f\u202e]")
    like(got[str(bad)], "^failed na me: ")
    ok(len(got[str(bad)]) < 90)
    is_(list(offered("cancel", str(scope), "")), [str(scope), str(live)])
    is_(offered("logs", str(live), ""), {})  # one is all it takes
    is_(list(offered("submit", "-p", "")), ["none"] + [str(i) for i in every])
    is_(list(offered("list", "-n", "")), ["release", "na me", "nightly"])
    is_(list(offered("cancel", "--all-matching", "-n", "n")), ["nightly"])
    d.ctl_ok("cancel", live, scope, "--now", "--wait")


@case("where no ctxd answers nothing is said, and what needs none is offered")
def _():
    nowhere = os.path.join(d.dir, "nowhere")
    deaf = socket.socket(socket.AF_UNIX)
    deaf.bind(os.path.join(d.dir, "deaf"))
    deaf.listen(1)
    full = socket.socket(socket.AF_UNIX)
    full.bind(os.path.join(d.dir, "full"))
    full.listen(0)
    fill = []
    while True:
        s = socket.socket(socket.AF_UNIX)
        s.setblocking(False)
        try:
            s.connect(os.path.join(d.dir, "full"))
            fill.append(s)
        except BlockingIOError:
            s.close()
            break
    for sock in (nowhere, os.path.join(d.dir, "deaf"), os.path.join(d.dir, "full")):
        is_(offered("cancel", "", sock=sock, env=None), {}, sock)
        is_(offered("submit", "-c", "", sock=sock, env=None), {}, sock)
        is_(offered("submit", "-p", "", sock=sock, env=None), {"none": ""}, sock)
        ok("--cause" in offered("cancel", "--", sock=sock, env=None), sock)
    for s in [deaf, full, *fill]:
        s.close()
    ok(offered("--socket", d.sock, "status", "", sock=nowhere), "--socket in front of the command")
    called = os.path.join(d.dir, "called")
    is_(offered("-H", "web1", "cancel", "", env={"CTXD_SSH": f"touch {called};"}), {})
    ok(not os.path.exists(called), "ssh is not started for a key")


@case("bash, without the package bash-completion")
def _():
    id = d.submit("-n", "far", "sleep", "1000")
    d.wait_state(id, "running")
    os.mkdir(os.path.join(d.dir, ".ssh"))
    with open(os.path.join(d.dir, ".ssh", "config"), "w", encoding="utf-8") as f:
        f.write("Host web17.example *.example\n")
    os.mkdir(os.path.join(d.dir, "bin"))
    os.symlink(CTXCTL, os.path.join(d.dir, "bin", "ctxctl"))
    env = ctl_env(d.sock, {"PATH": f"{d.dir}/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8", **PATIENT})
    with Shell("bash", d.dir, f". {ROOT}/completions/ctxctl.bash", env) as sh:
        for line, want in (("ctxctl sub", "ctxctl submit "), ("ctxctl submit --no-c", "ctxctl submit --no-color "),
                           ("ctxctl cancel ", f"ctxctl cancel {id} "), ("ctxctl list --state=running,fa", "ctxctl list --state=running,failed "),
                           ("ctxctl list --state queued,run", "ctxctl list --state queued,running "),
                           ("ctxctl signal -s WIN", "ctxctl signal -s WINCH "), ("ctxctl list -n f", "ctxctl list -n far "),
                           ("ctxctl submit --warn 5m:WIN", "ctxctl submit --warn 5m:WINCH "),
                           ("ctxctl backup /etc/passw", None), ("ctxctl submit --stdin=/etc/hostnam", None),
                           ("ctxctl submit -t 1h -- setpri", "ctxctl submit -t 1h -- setpriv "),
                           ("ctxctl submit -n=a cat /etc/hostnam", None), ("ctxctl list --user roo", "ctxctl list --user root "),
                           ("ctxctl -H web1", "ctxctl -H web17.example "), ("ctxctl nonsense ", "ctxctl nonsense "), (f"{CTXCTL} stat", f"{CTXCTL} status ")):
            got, _ = sh.complete(line)
            if want:
                is_(got, want)
            else:
                ok(len(got) > len(line) or got == line and not os.path.exists("/etc/hostname"), f"{line!r}: {got!r}")
        _, shown = sh.complete("ctxctl s")
        like(shown, r"^submit +\(start a command")
        like(shown, r"^status +\(everything")
        other = d.submit("sleep", "1001")
        d.wait_state(other, "running")
        line, shown = sh.complete("ctxctl wait ")
        is_(line, "ctxctl wait ")
        like(shown, rf"^{id} +\(running far: sleep 1000\)")
        like(shown, rf"^{other} +\(running sleep 1001\)")
        is_(sh.complete("PATH=/nowhere; ctxctl sub")[0], "PATH=/nowhere; ctxctl submit ")
    with Shell("bash", d.dir, f". {ROOT}/completions/ctxctl.bash; PATH=/nowhere", env) as sh:
        line, shown = sh.complete("ctxctl sub")  # not there: nothing, and no message
        is_(line, "ctxctl sub")
        unlike(shown, "not found|No such")
    d.ctl_ok("cancel", id, other, "--now", "--wait")


main()
