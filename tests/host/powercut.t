#!/usr/bin/python3
"""powercut.t - the power of a machine is cut, again and again, while users submit; nothing that was acknowledged may be lost.

A machine in QEMU (powercut_machine.py; no KVM needed) has its state directory on an ext4 disk whose volatile write cache is ours
(powercut_disk.py): at a cut, what the machine wrote since its last flush is lost, wholly or in part, in any order, page by page.
So it is not only `kill -9` of QEMU, which would keep all that had been written. The moment is a random one, or the one that hurts
most: at a flush, before or after it takes effect, or between two writes; twice in each run, more often in a long one, it is the
flush of the commit of a submission. Each boot mounts with one of data=ordered, journal and
writeback, and has its run directory on tmpfs or on that disk.

What was acknowledged, what each job did and what was seen of its end is told on a serial line, which is outside of the machine.
The disk dies a moment before the machine, so that what is told too early is told. After each cut the database is looked at twice:
as the disk holds it, before ctxd starts, and when ctxd has started.

Not simulated: a disk that lies about a flush, whose sectors break, or that writes a block of 4 KiB in part (ext4 itself does not
always mount then: its superblock and the blocks of its journal are to be whole); file systems other than ext4.

Environment: CTX_POWERCUT_CUTS (3), CTX_POWERCUT_SEED (printed). The seed repeats the plan (moments and what is lost) though not,
of course, the machine's own timing. Needs root, qemu-system-x86, e2fsprogs, busybox-static; downloads a kernel package once a week.
"""
# test-timeout: 1000
import os
import random
import signal
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "scenario", "lib"), HERE]
import powercut_judge as judge  # noqa: E402
from ctxtest import BUILD, CTXD, case, diag, is_, like, main, need, ok, run, wait_until  # noqa: E402
from powercut_disk import Disk  # noqa: E402
from powercut_machine import Machine, command  # noqa: E402

ROOT = os.path.realpath(os.path.join(HERE, "..", ".."))
CUTS = int(os.environ.get("CTX_POWERCUT_CUTS") or "3")
SEED = int(os.environ.get("CTX_POWERCUT_SEED") or int.from_bytes(os.urandom(4), "big"))
PATIENCE = 240  # seconds for what a machine does; only an end
COMMITS = (1, 3, 8, 13, 18)  # the cuts that are at the commit of a submission
QUIET = 0.8  # seconds; longer than a job takes from its start to its first word
rng = random.Random(SEED)
ledger = judge.Ledger()
rows = {}  # of the database at the beginning of this boot, as ctxd has it
totals = {"cuts": 0, "flushes": 0, "unflushed": 0, "lost": 0}
machine = None


def told(word):
    """Lines of this boot that begin with WORD."""
    need(machine and machine.boot, "no machine was started")
    lines = machine.lines()
    died = [x for x in lines if x.startswith("died")]
    if died or not machine.running():
        diag(machine.words())
        need(False, f"the machine {died or 'ended'} in boot {machine.boot}")
    return [x for x in lines if x.split(" ")[0] == word]


def orders(work):
    """What the next boot is to do; it asks again for a few keys, those foremost whose answer was cut off."""
    keyed = [judge.Name(x) for x in sorted(ledger.tried) if x.startswith("k.")]
    acked = {n.text for n in ledger.acked.values()}
    again = [n for n in keyed if n.text not in acked] + rng.sample(keyed, min(len(keyed), 3))
    script = [f"keyed {n.text} {n.seconds} {n.code} {n.bytes}" for n in again]
    script += [f"conflict {n.text}" for n in again[-1:]]
    options = "data=" + rng.choice(["ordered", "journal", "writeback"])
    where = rng.choice(["/run/ctxd", "/disk/run"]) if machine.boot else "/run/ctxd"
    diag(f"boot {machine.boot + 1}: {options}, run directory {where}")
    return (f"BOOT={machine.boot + 1}\nOPTIONS={options}\nRUN={where}\nWORK={work}\nagain() {{\n:\n" + "\n".join(script) + "\n}\n"
            + ("sed -i 's/^running = 2$/running = 30/' /ctxd.conf\n" if work == "drain" else ""))


def boot(work):
    machine.start(orders(work))
    wait_until(lambda: told(work), f"boot {machine.boot} to be up", PATIENCE, 0.1)


def examine():
    """The two snapshots of this boot, judged; the second is what the boot goes on from."""
    bad = []
    at_cut, wrong = judge.rows_of(machine.snapshot(0, machine.path(f"cut.{machine.boot}")))
    bad += wrong + judge.against(ledger, at_cut)
    started, wrong = judge.rows_of(machine.snapshot(1, machine.path(f"started.{machine.boot}")))
    bad += wrong + judge.after_start(at_cut, started)
    ran = sum(r["state"] in judge.ACTIVE for r in at_cut.values())
    queued = sum(r["state"] == "queued" for r in at_cut.values())
    diag(f"found {len(at_cut)} contexts, {len(ledger.acked)} were acknowledged; {ran} ran, {queued} were queued")
    half = any(r["state"] == "interrupted" for r in started.values())
    bad += [f"doctor exited with {x[7:]}" for x in machine.lines() if x.startswith("doctor") and x != f"doctor {int(half)}"]
    rows.clear()
    rows.update(started)
    return bad


def silence():
    """The disk is dead, and whoever waits for it stands still: until nobody has said anything for a while. What is told too early,
    by a client that has its answer or by a job that was started before its commit, is told by then."""
    told, since, end = -1, 0, time.monotonic() + 10
    while time.monotonic() < min(since + QUIET, end) or told < 0:
        size = os.path.getsize(machine.path(f"witness.{machine.boot}"))
        if size != told:
            told, since = size, time.monotonic()
        time.sleep(0.05)  # allow-sleep: nothing is what is waited for


def power_off(moment, keep=None):
    """The power goes now: first that of the disk, and a while later, in which only what rests on earlier flushes may be told,
    that of the machine. What was told until then goes into the ledger."""
    machine.disk.die()
    silence()
    machine.kill()
    keep = keep or rng.choice(["none", "none", "none", "none", "pages", "pages", "all"])
    unflushed, lost = machine.disk.cut(rng, keep)
    looked = {"snapshot 0", "snapshot 1"} <= set(machine.lines())
    bad = examine() if looked and not os.path.exists(machine.path(f"cut.{machine.boot}")) else []
    ledger.take(machine.boot, machine.lines(), rows)
    totals["cuts"] += 1
    totals["unflushed"] += unflushed
    totals["lost"] += lost
    diag(f"boot {machine.boot} was cut at {moment}: {unflushed} sectors unflushed, kept {keep}: {lost} lost")
    return bad


def strike_commit():
    """Cut the power where the commit of a submission that starts a job waits for the disk: what is answered or started too early is
    so by then, and the row is lost."""
    wait_until(lambda: len(told("acked")) >= 40, "submissions to be acknowledged", PATIENCE, 0.1)
    before = len(told("try"))

    def tried():
        return [x for x in told("try")[before:] if x.startswith("try s.")]

    name = wait_until(tried, "another submission", PATIENCE, 0.01)[0].split(" ")[1]
    machine.disk.arm("flush", 1, name.encode())
    need(machine.disk.struck.wait(PATIENCE), f"a machine that commits {name}")
    return power_off(f"the commit of {name}", "none")


def strike():
    """Choose a moment of the work, and cut the power there."""
    what, count = rng.choice(["time", "write", "flush", "flush", "flush", "flushed"]), rng.randint(1, 12)
    delay = rng.uniform(0, 3)
    wait_until(lambda: len(told("acked")) >= 40, "submissions to be acknowledged", PATIENCE, 0.1)
    need(not machine.disk.struck.wait(delay), "the power goes when it is cut")
    if what != "time":
        machine.disk.arm(what, count)
        need(machine.disk.struck.wait(PATIENCE), f"a machine that writes: no {what} came")
    return power_off(f"{delay:.1f} s" if what == "time" else f"{what} {count}")


def strike_start():
    """Cut the power while file system and ctxd recover from the last cut."""
    what, count = rng.choice([("write", rng.randint(1, 60)), ("flush", rng.randint(1, 12)), ("flushed", rng.randint(1, 12))])
    machine.start(orders("load"))
    machine.disk.arm(what, count)
    wait_until(lambda: machine.disk.struck.is_set() or told("load"), f"boot {machine.boot} to be cut or up", PATIENCE, 0.05)
    need(machine.disk.struck.wait(PATIENCE), f"a machine that writes: no {what} came")
    return power_off(f"{what} {count} of its start")


def say(bad):
    for b in bad[:40]:
        diag(b)
    is_(len(bad), 0, "what is wrong")


@case("the disk of the machine forgets what was not flushed, and nothing else")
def _():
    global machine
    diag(f"{CUTS} cuts, seed {SEED}")
    build = os.path.relpath(BUILD, ROOT)
    targets = [os.path.join(build, "tests/host/powercut-job")] + ["programs"] * (not os.path.exists(CTXD))
    r = run(["make", "-s", "-C", ROOT, "B=" + build, *targets], timeout=600)
    need(r.code == 0, f"make: {r}")
    machine = Machine(BUILD, Disk)
    disk, size = machine.disk, machine.disk.size
    a, b, c, d = (bytes([x]) * 4096 for x in range(1, 5))
    before = disk.read(size - 8192, 4096)
    ok(disk.write(size - 4096, a) and disk.flush() and disk.write(size - 4096, b) and disk.write(size - 8192, c))
    is_(disk.read(size - 8192, 8192), c + b, "what was written is read")
    is_(disk.cut(rng, "none"), (16, 16))
    is_(disk.read(size - 8192, 8192), before + a, "what is left")
    disk.power_on()
    ok(disk.write(size - 4096, b, fua=True) and disk.write(size - 4096, c) and disk.write(size - 8192, d, fua=True))
    disk.cut(rng, "none")
    is_(disk.read(size - 8192, 8192), d + b, "what was written through is left, and what lay over it is not")
    disk.power_on()
    disk.arm("flush", 2)
    ok(disk.write(size - 4096, a) and disk.flush() and disk.write(size - 4096, b))
    is_((disk.flush(), disk.struck.is_set(), disk.write(size - 4096, c)), (False, True, False), "a cut at a flush")
    disk.cut(rng, "none")
    is_(disk.read(size - 4096, 4096), a, "the flush that was cut did nothing")
    disk.power_on()
    disk.arm("flush", 1, c[:100])
    ok(disk.write(size - 4096, b) and disk.flush() and disk.write(size - 8192, c))
    is_((disk.flush(), disk.struck.is_set()), (False, True), "a cut at the flush of certain bytes")
    disk.cut(rng, "none")
    is_(disk.read(size - 8192, 8192), d + b, "which are lost")
    disk.power_on()
    disk.write(size - 8192, bytes(8192), fua=True)


@case("a machine starts, and jobs are acknowledged")
def _():
    boot("load")


def cut_case(number):
    twice = number % 3 == 2

    @case(f"cut {number}{', and another while it starts' if twice else ''}: nothing lost, nothing doubled, nothing invented")
    def _():
        bad = strike_commit() if number in COMMITS else strike()
        if twice:
            bad += strike_start()
        boot("load" if number < CUTS else "drain")
        say(bad + examine() + ledger.bad)


for cut in range(1, CUTS + 1):
    cut_case(cut)


@case("after the last one everything comes to its end, and all that was acknowledged has run")
def _():
    need(machine and machine.boot, "no machine was started")
    wait_until(lambda: not machine.running() or told("over"), "the machine to be done", PATIENCE * 2, 0.2)
    machine.proc.wait(30)
    lines = machine.lines()
    like("\n".join(lines), r"^stopped 0$", "ctxd stops")
    like("\n".join(lines), r"^over$", "the machine ends by itself")
    ledger.take(machine.boot, lines, rows)
    end, wrong = judge.rows_of(machine.snapshot(2, machine.path("end")))
    say(wrong + judge.against(ledger, end) + judge.at_the_end(ledger, end) + ledger.bad)
    for number in {7, 0} & {n.code for n in ledger.acked.values()}:
        ok(any(r["exit_code"] == number for r in end.values()), f"a job that exited with {number}")
    command("e2fsck", "-f", "-n", machine.image)
    states = {}
    for r in end.values():
        states[r["state"]] = states.get(r["state"], 0) + 1
    diag(f"{totals['cuts']} cuts, seed {SEED}: {len(ledger.acked)} acknowledged, {len(ledger.begun)} began, {len(ledger.ended)} ends and "
         f"{len(ledger.canceled)} cancels were seen; {machine.disk.flushes} flushes, {totals['lost']} of {totals['unflushed']} sectors "
         f"that were not flushed are lost; recorded: {states}")


signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the machine goes with the test
try:
    main()
finally:
    if machine:
        machine.close()
