#!/usr/bin/python3
"""cgroup.t - limits of classes with every controller the kernel has: memory, cpu, io, pids. In one boot of a machine in QEMU
(powercut_machine.py; no KVM needed), where cgroup-init.sh runs jobs into each limit and tells what became of them; judged here.

Needs qemu-system-x86, e2fsprogs, busybox-static; downloads a kernel package once a week.
"""
# test-timeout: 700
import glob
import json
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "scenario", "lib"), HERE]
from ctxtest import BUILD, case, diag, is_, like, main, need, ok, unlike  # noqa: E402
from powercut_machine import Archive, add_programs, command, kernel  # noqa: E402

PATIENCE = 600  # seconds for all that the machine does; only an end
MIB = 1 << 20
CONF = """[deadline]
timeout = 5m
[class plain]
[class boxed]
memory_max = 32M
cpu_max = 200%
pids_max = 20
io_weight = 50
[class few]
pids_max = 8
[class slow]
cpu_max = 20%
"""
jobs, logs, facts = {}, {}, {}


def initrd(folder):
    a = Archive()
    a.folder("modules")
    for path in sorted(glob.glob(os.path.join(folder, "*.ko"))):
        a.file("modules/" + os.path.basename(path), path)
    for d in ("dev", "proc", "sys", "run", "tmp", "disk"):
        a.folder(d)
    add_programs(a, {"bin/ctxd": os.path.join(BUILD, "ctxd"), "bin/ctxctl": os.path.join(BUILD, "ctxctl"),
                     "lib/ctx-spawner": os.path.join(BUILD, "ctx-spawner")})
    a.file("init", os.path.join(HERE, "cgroup-init.sh"))
    a.file("machine-init.sh", os.path.join(HERE, "machine-init.sh"))
    a.text("ctxd.conf", CONF, 0o600)
    return a.end()


def boot(tmp):
    """The lines that were told on ttyS1."""
    folder = kernel()
    path = {name: os.path.join(tmp, name) for name in ("initrd", "disk", "console", "told")}
    with open(path["initrd"], "wb") as f:
        f.write(initrd(folder))
    with open(path["disk"], "wb") as f:
        f.truncate(32 * MIB)
    command("mke2fs", "-q", "-t", "ext4", path["disk"])
    argv = ["qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "384", "-nodefaults", "-no-user-config",
            "-nographic", "-no-reboot", "-kernel", os.path.join(folder, "vmlinuz"), "-initrd", path["initrd"],
            "-append", "console=ttyS0 quiet panic=-1 mitigations=off random.trust_cpu=on",
            "-serial", "file:" + path["console"], "-serial", "file:" + path["told"],
            "-drive", f"file={path['disk']},format=raw,if=virtio,cache=unsafe"]
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL) as machine:
        try:
            machine.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            with open(f"/proc/{machine.pid}/stat", encoding="ascii", errors="replace") as f:
                ticks = sum(map(int, f.read().rpartition(")")[2].split()[11:13]))
            machine.kill()
            diag(f"the machine was stopped: it took too long, with {ticks / os.sysconf('SC_CLK_TCK'):.0f} s of CPU time")
    with open(path["console"], encoding="utf-8", errors="replace") as f:
        console = f.read().replace("\r", "").splitlines()
    with open(path["told"], encoding="utf-8", errors="replace") as f:
        return f.read().replace("\r", "").splitlines(), console


def job(name):
    need(name in jobs, f"a job {name}")
    return jobs[name]


def said(name):
    return "\n".join(logs.get(name, []))


def is_oom(name, text):
    j = job(name)
    is_((j["state"], j["signal"], j["cause_code"], j["cause"]), ("failed", 9, "oom", text), f"{name}, which said {said(name)!r}")


@case("a machine with all controllers boots and does its work")
def _():
    with tempfile.TemporaryDirectory(prefix="ctx-cgroup.") as tmp:
        lines, console = boot(tmp)
    for line in lines:
        kind, _, rest = line.partition(" ")
        name, _, text = rest.partition(" ")
        if kind == "job":
            got = json.loads(text)
            jobs[name] = got[0] if isinstance(got, list) else got
        elif kind == "log":
            logs.setdefault(name, []).append(text)
        elif kind == "fact":
            facts[name] = text
    over = bool(lines) and lines[-1] == "over"
    for line in [] if over else lines[-5:] + console[-40:]:
        diag(line)
    need(over, "it came to the end")


@case("the spawner gives the controllers to jobs; without keys nothing is limited")
def _():
    is_(sorted(facts.get("controllers", "").split()), ["cpu", "io", "memory", "pids"])
    is_(said("free"), "max\nmax 100000\nmax")
    is_(job("free")["limits_unenforced"], [])


@case("memory_max: the job is killed as a whole, and its cause is oom")
def _():
    is_oom("oom", "out of memory: limit 32M")
    is_(said("oom"), "ready")
    is_(job("oom")["exit_code"], None)
    peak = job("oom")["usage"]["memory_peak_bytes"]
    ok(31 * MIB <= peak <= 32 * MIB, f"peak {peak}")


@case("below the limit it is no affair of anybody; the peak is known")
def _():
    is_((job("below")["state"], said("below")), ("succeeded", str(20 * MIB)))
    peak = job("below")["usage"]["memory_peak_bytes"]
    ok(20 * MIB <= peak <= 32 * MIB, f"peak {peak}")


@case("what is set is what the class says; a weight where the kernel has one, else the record says that it has none")
def _():
    text = said("settings")
    for line in ("memory.max:33554432", "memory.oom.group:1", "cpu.max:200000 100000", "pids.max:20"):
        like(text, rf"^{re.escape(line)}$")
    if "weight" in text:
        like(text, r"weight:default 50$")
        is_(job("settings")["limits_unenforced"], [])
    else:
        is_(job("settings")["limits_unenforced"], ["io_weight"])


@case("pids_max: no more processes in that job, as many as it likes in another")
def _():
    is_(job("full")["state"], "failed")
    like(said("full"), r"[Cc]an(no|')t fork|Resource temporarily unavailable")
    unlike(said("full"), r"made all")
    is_((job("many")["state"], said("many")), ("succeeded", "made all"))


@case("cpu_max: it is held up, and got no more CPU time than its share")
def _():
    stat = dict(x.split() for x in logs.get("throttled", []) if re.match(r"\w+ \d+$", x))
    ok(int(stat.get("nr_throttled", 0)) > 0, f"nr_throttled in {stat}")
    usage = job("throttled")["usage"]
    used = usage["user_usec"] + usage["system_usec"]
    ok(0 < used <= int(stat["usage_usec"]) * 1.5 + 1000000, f"{used} us of CPU time")


@case("what it read from and wrote to disks is known; nothing where it did neither")
def _():
    usage = job("disk")["usage"]
    is_(said("disk"), str(4 * MIB))
    ok(4 * MIB <= usage["io_write_bytes"] <= 16 * MIB, f"written {usage['io_write_bytes']}")
    ok(4 * MIB <= usage["io_read_bytes"] <= 32 * MIB, f"read {usage['io_read_bytes']}")
    is_(job("free")["usage"]["io_write_bytes"], 0)


@case("SIGKILL of the spawner, then of ctxd: limits of the living job stay, those of new ones are enforced")
def _():
    is_oom("second", "out of memory: limit 32M")
    is_oom("third", "out of memory: limit 32M")
    is_(facts.get("long", "").split(), ["33554432", "20"])
    is_oom("long", "out of memory: limit 32M")
    is_(job("long")["known_by"], "monitor")


@case("memory that runs out for the machine is another cause of the same kind")
def _():
    is_oom("machine", "out of memory: not by a limit of its own, but for all jobs or the whole machine")
    is_((facts.get("gone"), facts.get("stopped")), ("yes", "0"), "all cgroups are removed, ctxd goes")


@case("a parent that holds a process: what cannot be enforced is said, and the job runs")
def _():
    j = job("busy")
    is_((j["state"], j["cause"], said("busy")), ("succeeded", None, "ran"))
    is_(j["limits_unenforced"], ["memory_max", "cpu_max", "pids_max", "io_weight"])
    like(said("two"), r"memory_max of classes cannot be enforced: the controller memory cannot be given to jobs: Device or resource busy")
    like(said("two"), r"class boxed: memory_max, cpu_max, pids_max, io_weight cannot be enforced")


main()
