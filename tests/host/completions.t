#!/usr/bin/python3
# test-timeout: 200
"""Completion of ctxctl as installed, in zsh, fish, and bash with the package bash-completion: found where each shell looks for
it, with commands, options, values, ids, files and the words of another command. What there is to offer:
tests/scenario/74-completions.t."""
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scenario", "lib"))
from ctxtest import *
from ctxtest import CTXCTL, ROOT, ctl_env, run
from shells import Shell

d = Daemon(conf="[class batch]\nrunning=3\n")
USR = os.path.join(d.dir, "usr")
SHARE = os.path.join(USR, "share")
subprocess.run(["make", "-s", "install-completions", f"PREFIX={USR}"], cwd=ROOT, check=True)
os.mkdir(os.path.join(USR, "bin"))
os.symlink(CTXCTL, os.path.join(USR, "bin", "ctxctl"))
os.mkdir(os.path.join(d.dir, ".ssh"))
with open(os.path.join(d.dir, ".ssh", "config"), "w", encoding="utf-8") as f:
    f.write("Host web17.example\n")
ENV = ctl_env(d.sock, {"PATH": f"{USR}/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8", "CTXD_COMPLETE_MS": "20000", "HOME": d.dir,
                       "XDG_DATA_DIRS": f"{SHARE}:/usr/share",
                       "XDG_CONFIG_HOME": d.dir, "XDG_DATA_HOME": d.dir, "XDG_CACHE_HOME": d.dir})
job = d.submit("-n", "far", "sleep", "1000")
d.wait_state(job, "running")
file = os.path.join(d.dir, "a-file-of-mine")
with open(file, "w", encoding="utf-8"):
    pass
# What is typed, and what it is after TAB in every shell.
LINES = [("ctxctl sub", "ctxctl submit "), ("ctxctl submit --split", "ctxctl submit --split-output "),
         ("ctxctl submit -c bat", "ctxctl submit -c batch "), ("ctxctl cancel ", f"ctxctl cancel {job} "),
         ("ctxctl list --state=running,fai", "ctxctl list --state=running,failed "),
         ("ctxctl list --state queued,run", "ctxctl list --state queued,running "),
         (f"ctxctl submit --stdin {file[:-3]}", f"ctxctl submit --stdin {file} "),
         (f"ctxctl submit --stdin={file[:-3]}", f"ctxctl submit --stdin={file} "),
         ("ctxctl submit -t 1h -- setpri", "ctxctl submit -t 1h -- setpriv "),
         (f"ctxctl run cat {file[:-3]}", f"ctxctl run cat {file} "), ("ctxctl list --user roo", "ctxctl list --user root "),
         ("ctxctl -H web1", "ctxctl -H web17.example "), ("ctxctl -H bob@web1", "ctxctl -H bob@web17.example "),
         ("ctxctl scope cr", "ctxctl scope create "), ("ctxctl nonsense ", "ctxctl nonsense ")]


@case("zsh")
def _():
    with Shell("zsh", d.dir, f"fpath=({SHARE}/zsh/site-functions $fpath); autoload -Uz compinit; compinit -u -D", ENV) as sh:
        for line, want in LINES:
            is_(sh.complete(line)[0], want)
        _, shown = sh.complete("ctxctl s")
        like(shown, r"^submit +-- start a command")
        other = d.submit("sleep", "1001")
        d.wait_state(other, "running")
        line, shown = sh.complete("ctxctl wait ")
        is_(line, "ctxctl wait ")
        like(shown, rf"^{job} +-- running far: sleep 1000")
        like(shown, rf"^{other} +-- running sleep 1001")
        d.ctl_ok("cancel", "--now", "--wait", other)


@case("bash with bash-completion, loaded when it is first needed")
def _():
    with Shell("bash", d.dir, ". /usr/share/bash-completion/bash_completion", ENV) as sh:
        for line, want in LINES:
            is_(sh.complete(line)[0], want)
        is_(sh.complete("ctxctl submit -n=a -- ctxctl canc")[0], "ctxctl submit -n=a -- ctxctl cancel ")


@case("fish")
def _():
    for line, want in LINES:
        r = run(["fish", "--no-config", "-c", f"source {SHARE}/fish/vendor_completions.d/ctxctl.fish; complete -C '{line}'"], env=ENV)
        is_((r.code, r.err), (0, ""), line)
        words = [w.split("\t")[0] for w in r.out.splitlines()]
        is_(words, [] if line == want else [want.split()[-1]], line)
    r = run(["fish", "-c", "complete -C 'ctxctl canc'"], env=ENV)  # found by itself
    like(r.out, r"^cancel\tstop jobs$")
    like(run(["fish", "-c", "complete -C 'ctxctl wait '"], env=ENV).out, rf"^{job}\trunning far: sleep 1000$")


@case("every option of the help, in each shell")
def _():
    want = {"--" + o for o in re.findall(r"^  (?:-.,|   ) --([a-z-]+)", d.ctl_ok("submit", "--help"), re.M)}
    got = run(["fish", "-c", "complete -C 'ctxctl submit --'"], env=ENV).out
    is_({w.split("\t")[0] for w in got.splitlines()}, want)
    for name, rc in (("zsh", f"fpath=({SHARE}/zsh/site-functions $fpath); autoload -Uz compinit; compinit -u -D"),
                     ("bash", ". /usr/share/bash-completion/bash_completion")):
        with Shell(name, d.dir, rc, ENV) as sh:
            _, shown = sh.complete("ctxctl submit --")
            is_(set(re.findall(r"^(--[a-z-]+) ", shown, re.M)), want, name)


main()
