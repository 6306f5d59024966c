#!/usr/bin/python3
"""[output] to = journal, both: what jobs print goes on to the journal, each byte of it, whatever becomes of the journal and of ctxd;
and is read back from there."""
import base64
import os
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from apitest import *  # noqa: E402,F403
from journal import Journal  # noqa: E402

CONF = "[output]\nto = {}\nmax_bytes = {}\n[deadline]\ngrace = 500ms\n[class batch]\n"
d = ApiDaemon(start=False)
j = Journal(d.dir)
d.env.update(j.env)
d.configure(CONF.format("journal", "64M"))
d.start()


def to(where, cap="64M"):
    d.configure(CONF.format(where, cap))
    d.call("Reload")


def done(*argv, **params):
    """Id of a job that has succeeded."""
    job = d.wait_end(d.submit(*argv, **params)["id"])
    need(job["state"] == "succeeded", f"{argv}: {job['state']} {job['cause']}")
    return job["id"]


def err_path(id, attempt=1):
    return d.output_path(id, attempt)[:-3] + "err"


def waiting():
    return d.call("Stats")["journal_waiting"]


def all_taken():
    wait_until(lambda: waiting() == 0, f"the journal to have everything; {j.wrong}")
    is_(j.wrong, [])


def gone(id, attempt=1):
    all_taken()
    wait_until(lambda: not os.path.exists(d.output_path(id, attempt)), "the file to go")


def printed(data):
    """Id of a job that printed DATA, which the journal has all."""
    path = os.path.join(d.dir, "data")
    write_file(path, data)
    id = done("cat", path)
    gone(id)
    return id


def logs_as_file(id, data, **params):
    """Logs gives what it would give of a file with DATA, with each option."""
    is_(d.output(id, **params), data)
    lines = data.split(b"\n")
    lines = [x + b"\n" for x in lines[:-1]] + ([lines[-1]] if lines[-1] else [])
    for n in (0, 1, 3):
        is_(d.output(id, tail=n, **params), b"".join(lines[len(lines) - min(n, len(lines)):]), f"tail {n}")
    for at in (len(data) // 2, len(data) + 10):
        is_(d.output(id, offset=at, **params), data[at:], f"offset {at}")


# One job -----------------------------------------------------------------------------------------------------------------


@case("a line is an entry, with what there is to know of its job")
def _():
    id = done("/bin/sh", "-c", "echo one; echo; printf two", name="n", values={"request": "r-1"}, **{"class": "batch"})
    gone(id)
    got = j.of(id)
    is_([e[b"MESSAGE"] for e in got], [b"one", b"", b"two"])
    is_([e[b"CTX_OFFSET"] for e in got], [b"0", b"4", b"5"])
    is_([e.get(b"CTX_NO_NEWLINE") for e in got], [None, None, b"1"])
    job = d.job(id)
    want = {b"CTX_ID": b"%d" % id, b"CTX_ATTEMPT": b"1", b"CTX_CLASS": b"batch", b"CTX_NAME": b"n", b"CTX_STREAM": b"output",
            b"CTX_UID": b"%d" % os.getuid(), b"CTX_USER": (job["user"] or "").encode(), b"CTX_VALUE_REQUEST": b"r-1",
            b"CTX_TRACE_ID": job["traceparent"].split("-")[1].encode(), b"PRIORITY": b"6", b"SYSLOG_IDENTIFIER": b"sh"}
    for e in got:
        is_({k: v for k, v in e.items() if k in want}, want)
        need(b"CTX_STATE" not in e, str(e))
    is_(d.output(id), b"one\n\ntwo")


@case("each byte there is comes back, with each option of Logs, as from a file")
def _():
    long = bytes(range(1, 256)).replace(b"\n", b"") * 700
    odd = (b"\n\0\n\0\xff\xfe\xc3(\n\x1b[2J\x07\n=\nMESSAGE=x\n\n\n" + bytes(range(256)) * 20 + b"\n" + long + b"\nshort\n"
           + b"x" * 49152 + b"\n" + b"y" * 49153)
    for data in (odd, b"\n", b"a\nno end"):
        id = printed(data)
        is_(j.file(id), (data, 0))
        logs_as_file(id, data)
    is_(d.output(done("true")), b"")
    r = d.ctl("logs", "--tail", "1", str(printed(b"a\nb\n")))
    is_((r.code, r.out), (0, "b\n"))


@case("long lines are cut, and put together again")
def _():
    data = b"z" * 200000 + b"\n" + b"end\n"
    id = printed(data)
    got = j.of(id)
    is_([len(e[b"MESSAGE"]) for e in got], [49152] * 4 + [200000 - 4 * 49152, 3])
    is_([b"CTX_NO_NEWLINE" in e for e in got], [True] * 4 + [False] * 2)
    logs_as_file(id, data)


@case("streams that are kept apart, at priorities of their own")
def _():
    id = done(sh="echo out; echo err >&2; echo out again", split_output=True)
    gone(id)
    wait_until(lambda: not os.path.exists(err_path(id)), "both files to go")
    is_(j.file(id, "stdout"), (b"out\nout again\n", 0))
    is_(j.file(id, "stderr"), (b"err\n", 0))
    is_({e[b"PRIORITY"] for e in j.of(id, "stdout")} | {e[b"PRIORITY"] + b"e" for e in j.of(id, "stderr")}, {b"6", b"4e"})
    logs_as_file(id, b"out\nout again\n")
    logs_as_file(id, b"err\n", stream="stderr")
    id = done(sh="echo only >&2", split_output=True)
    all_taken()
    is_((d.output(id), d.output(id, stream="stderr")), (b"", b"only\n"))


@case("a line comes when it is whole, or when it does not end for a second; Logs reads the file meanwhile")
def _():
    def whole(n):
        """Whether a line that was written in two pieces, right after each other, came as one."""
        gate, end = fifo(d, f"partial{n}"), fifo(d, f"partial-end{n}")
        id = d.submit(sh=f"echo first; printf 'half '; read x <{gate}; echo done; printf 'and '; echo more; read x <{end}")["id"]
        wait_until(lambda: j.file(id)[0] == b"first\nhalf ", "what has no end yet")
        is_([b"CTX_NO_NEWLINE" in e for e in j.of(id)], [False, True])
        need(os.path.exists(d.output_path(id)), "it runs")
        is_(d.output(id), b"first\nhalf ")
        go(gate)
        wait_until(lambda: j.file(id)[0] == b"first\nhalf done\nand more\n", "the rest")
        need(os.path.exists(d.output_path(id)), "it runs")
        go(end)
        d.wait_end(id)
        gone(id)
        logs_as_file(id, b"first\nhalf done\nand more\n")
        return [e[b"MESSAGE"] for e in j.of(id)][2:] == [b"done", b"and more"]

    # The machine may have stalled for a second between the two, but not each time.
    ok(any(whole(n) for n in range(3)), "a line in one piece")


@case("a job that follows its own output, and one that empties it")
def _():
    id = d.submit("python3", "-uc", "import os, time\nos.write(1, b'old\\n' * 10)\nwhile not os.path.exists('%s'): time.sleep(0.01)\n"
                  "os.ftruncate(1, 0); os.write(1, b'new\\n')" % os.path.join(d.dir, "cut"))["id"]
    wait_until(lambda: j.file(id)[0] == b"old\n" * 10, "what it wrote first")
    write_file(os.path.join(d.dir, "cut"))
    d.wait_end(id)
    gone(id)
    is_([e[b"MESSAGE"] for e in j.of(id) if e.get(b"CTX_ROUND") == b"1"], [b"new"])
    logs_as_file(id, b"new\n")


# Where it goes -----------------------------------------------------------------------------------------------------------


@case("both: the file stays, and the journal has it, too; file: nothing is sent")
def _():
    to("both")
    id = done(sh="echo twice")
    all_taken()
    is_((j.file(id), read_file(d.output_path(id))), ((b"twice\n", 0), b"twice\n"))
    is_(d.sql(f"SELECT count(*) FROM forward WHERE job = {id}"), [(0,)])
    to("file")
    id = done(sh="echo once")
    is_((j.of(id), d.output(id), waiting()), ([], b"once\n", 0))
    is_(d.sql(f"SELECT count(*) FROM forward WHERE job = {id}"), [(0,)])
    to("journal")


@case("a reload acts on jobs that start later")
def _():
    gate, gate2 = fifo(d, "reload"), fifo(d, "reload2")
    id = d.submit(sh=f"read x <{gate}; echo late")["id"]
    d.wait_started(id)
    to("file")
    other = d.submit(sh=f"read x <{gate2}; echo file")["id"]
    d.wait_started(other)
    go(gate)
    go(gate2)
    d.wait_end(id)
    d.wait_end(other)
    gone(id)
    is_((j.file(id)[0], j.of(other), d.output(other)), (b"late\n", [], b"file\n"))
    to("journal")


@case("[output] to: another word is refused, by name")
def _():
    d.configure("[output]\nto = syslog\n")
    p = refused(d.call, "InvalidArgument", "Reload")
    like(p["reason"], "to.*is none of file, journal and both")
    to("journal")


@case("what is kept for a user counts no file that is gone, and a retried job's attempts by themselves")
def _():
    def kept():
        return d.sql("SELECT coalesce(sum(output), 0) FROM user_kept")[0][0]

    to("file")
    before = kept()
    a = d.wait_end(d.submit(sh="echo 1234567; exit 1")["id"])["id"]
    wait_until(lambda: kept() == before + 8, "a file counts")
    to("journal")
    d.call("Retry", id=a)
    d.wait_end(a)
    gone(a, 2)
    wait_until(lambda: kept() == before + 8, "that of the second attempt does not")
    d.call("Retry", id=a)
    d.wait_end(a)
    gone(a, 3)
    is_(kept(), before + 8)
    is_([e[b"CTX_ATTEMPT"] for e in j.of(a)], [b"2", b"3"])
    is_(d.output(a), b"1234567\n")
    need(os.path.exists(d.output_path(a, 1)), "the first one's file stays")
    d.call("Prune", ids=[a])
    wait_until(lambda: kept() == before and not os.path.exists(d.output_path(a, 1)), "all of it to go")
    is_(d.sql(f"SELECT count(*) FROM forward WHERE job = {a}"), [(0,)])


@case("two attempts in a row: the first is sent before the second, both whole")
def _():
    flag, gate = os.path.join(d.dir, "again"), fifo(d, "until-sent")
    j.hold()  # what is sent lies there, and is not known to have been read
    id = d.submit(sh=f"echo attempt $CTX_ATTEMPT; [ -e {flag} ] || {{ : >{flag}; read x <{gate}; exit 1; }}", retries=1,
                  backoff_usec=1000)["id"]
    d.submit(sh="for i in 1 2 3; do echo in the way; done")
    wait_until(lambda: j.count(id) or j.pending(), "it to be sent")
    go(gate)
    wait_until(lambda: d.job(id)["state"] == "succeeded", "the second attempt")
    j.go_on()
    gone(id, 2)
    gone(id, 1)
    is_([e[b"MESSAGE"] for e in j.of(id)], [b"attempt 1", b"attempt 2"])
    is_(d.output(id), b"attempt 2\n")


@case("what the size limit drops is told; what was sent before is there")
def _():
    to("both", "64K")
    id = done("python3", "-c", "import os\nfor i in range(60000): os.write(1, b'%099d\\n' % i)")
    all_taken()
    last = -1
    for e in j.of(id):
        n = int(e[b"MESSAGE"]) if len(e[b"MESSAGE"]) == 99 else last
        need(n >= last, "in order")
        last = n
    is_(last, 59999)
    data, dropped = d.output_dropped(id)
    is_(len(data) + dropped, 6000000)
    to("journal")


@case("a hole at the end, as long as a file may be, is no output: ctxd has nothing to do for it")
def _():
    gate = fifo(d, "hole")
    longer = "for n in 8191P 16T 4T 1T; do truncate -s $n /proc/self/fd/1 && break; done"
    id = d.submit(sh=f"head -c 4096 /dev/zero | tr '\\0' '\\n'; {longer} 2>/dev/null; read x <{gate}")["id"]
    wait_until(lambda: d.job(id)["output"]["bytes"] >= 1 << 40, "the file to be long")
    wait_until(lambda: len(j.of(id)) == 4096, "the lines before it")
    wait_until(lambda: proc_state(d.proc.pid) == "S", "ctxd to be idle")
    go(gate)
    d.wait_end(id)
    gone(id)
    is_(len(j.of(id)), 4096)
    data, dropped = d.output_dropped(id)
    is_(data, b"\n" * 4096)


# The journal in bad weather ----------------------------------------------------------------------------------------------


@case("the journal away: files stay, it is said once, nothing is lost when it is back")
def _():
    all_taken()
    j.away()
    ids = [done(sh=f"echo job {i}; echo line two") for i in range(30)]
    d.wait_log("the journal does not take the output of jobs")
    is_(d.call("Stats")["journal_ok"], False)
    is_(waiting(), 30)
    r = d.ctl("doctor")
    is_(r.code, 1)
    like(r.out, "journal: it does not take the output of jobs.*30 jobs")
    is_(d.output(ids[0]), b"job 0\nline two\n")
    need(all(os.path.exists(d.output_path(id)) for id in ids), "files stay")
    j.back()
    all_taken()
    for i, id in enumerate(ids):
        is_(j.file(id)[0], b"job %d\nline two\n" % i)
        gone(id)
    d.wait_log("the journal takes the output of jobs again")
    is_(d.call("Stats")["journal_ok"], True)
    is_(d.ctl("doctor").code, 0)


@case("the journal dies with what it had not read: that is sent again")
def _():
    j.hold()
    write_file(os.path.join(d.dir, "data"), b"".join(b"%06d\n" % i for i in range(2000)))
    id = done("cat", os.path.join(d.dir, "data"))
    wait_until(j.pending, "it to be on its way")
    need(os.path.exists(d.output_path(id)), "not read, so not gone")
    j.away()
    j.back()
    gone(id)
    is_(j.file(id)[0], read_file(os.path.join(d.dir, "data")))
    logs_as_file(id, read_file(os.path.join(d.dir, "data")))


@case("ctxd and the journal both die, with what was sent and not read, after the end of the job was written: it is sent again")
def _():
    all_taken()
    gate = fifo(d, "unread")
    j.hold()
    id = d.submit(sh=f"echo one; echo two; echo three; read x <{gate}; echo four")["id"]
    wait_until(j.pending, "lines to lie in the socket")
    go(gate)
    d.wait_end(id)
    d.kill9()
    j.away()
    j.back()
    d.start()
    gone(id)
    is_(j.file(id)[0], b"one\ntwo\nthree\nfour\n")


@case("the journal full: jobs start, end and are submitted as ever; all arrives when it goes on")
def _():
    j.hold()
    noisy = d.submit("sh", "-c", "while :; do echo 0123456789012345678901234567890123456789; done")["id"]
    wait_until(lambda: d.job(noisy)["output"]["bytes"] > 1000000, "a flood")
    ids = [done(sh="echo quick") for _ in range(10)]
    need(not any(j.of(id) for id in ids), "held")
    d.cancel(noisy, now=True)
    d.wait_end(noisy)
    d.cancel(noisy)
    d.call("Prune", ids=[noisy])  # and its output goes, sent or not
    j.go_on()
    all_taken()
    for id in ids:
        is_(j.file(id), (b"quick\n", 0))


@case("kill -9 of ctxd in the middle: nothing is missing, what is sent twice can be told")
def _():
    gate = fifo(d, "crash")
    go_file = os.path.join(d.dir, "go")
    script = ("import os, time\nfor i in range(3000): os.write(1, b'%%07d\\n' %% i)\nopen(%r, 'w').close()\n"
              "for i in range(3000, 6000): os.write(1, b'%%07d\\n' %% i); time.sleep(0.0001)\nopen(%r).read()\nos.write(1, b'last')"
              % (go_file, gate))
    id = d.submit("python3", "-uc", script)["id"]
    ended = d.submit(sh=f"while [ ! -e {go_file} ]; do sleep 0.01; done; echo over; echo out >&2", split_output=True)["id"]
    wait_until(lambda: j.count(id) > 1000, "some to be sent")
    for _ in range(2):
        d.kill9()
        d.start()
        wait_until(lambda: j.count(id) > 2000, "it to go on")
    d.kill9()
    go(gate)
    wait_until(lambda: read_file(d.output_path(id)).endswith(b"last"), "it to end without ctxd")
    d.start()
    d.wait_end(id)
    d.wait_end(ended)
    gone(id)
    want = b"".join(b"%07d\n" % i for i in range(6000)) + b"last"
    data, again = j.file(id)
    is_(data, want)
    diag(f"{again} lines came twice")
    logs_as_file(id, want)
    is_((j.file(ended, "stdout")[0], j.file(ended, "stderr")[0]), (b"over\n", b"out\n"))


@case("stopped while the journal is away: the next ctxd sends what this one could not, also of jobs that ended meanwhile")
def _():
    j.away()
    gate = fifo(d, "stopped")
    early = done(sh="echo early")
    late = d.submit(sh=f"echo begun; read x <{gate}; echo late")["id"]
    wait_until(lambda: d.output(late) == b"begun\n", "it to begin")
    d.stop()
    go(gate)
    wait_until(lambda: read_file(d.output_path(late)) == b"begun\nlate\n", "it to end")
    d.start()
    d.wait_end(late)
    j.back()
    gone(early)
    gone(late)
    is_((j.file(early)[0], j.file(late)[0]), (b"early\n", b"begun\nlate\n"))
    to("file")  # and with another setting the old ones go on
    is_(d.output(late), b"begun\nlate\n")
    to("journal")


@case("many jobs at once, with more to send than fits into a turn")
def _():
    data = b"".join(b"%050d\n" % i for i in range(3000))
    write_file(os.path.join(d.dir, "data"), data)
    ids = [d.submit("cat", os.path.join(d.dir, "data"))["id"] for _ in range(4)] + [d.submit("true")["id"] for _ in range(50)]
    for id in ids:
        d.wait_end(id)
    all_taken()
    for id in ids[:4]:
        is_(j.file(id), (data, 0))
    logs_as_file(ids[0], data)


# Reading back ------------------------------------------------------------------------------------------------------------


@case("what was vacuumed is said to be, all of it or a part")
def _():
    id = printed(b"one\ntwo\nthree\n")
    j.forget(id, lambda e: e.get(b"CTX_OFFSET") != b"0")
    is_(d.output_dropped(id), (b"two\nthree\n", 4))
    j.forget(id, lambda e: e.get(b"CTX_OFFSET") == b"4")
    is_(d.output_dropped(id), (b"two\n", 10))
    j.forget(id)
    like(refused(d.output, "NotReady", id)["reason"], "given to the journal, which does not have it any more")
    like(refused(d.output, "NotReady", id, tail=1)["reason"], "given to the journal")
    r = d.ctl("logs", str(id))
    is_(r.code, 7)
    like(r.err, "given to the journal")


@case("entries of others are not believed: another uid, another database, another stream")
def _():
    id = printed(b"true words\n")
    real = j.of(id)[0]
    for field, value in ((b"CTX_STORE", b"0" * 32), (b"CTX_STREAM", b"stdout"), (b"CTX_ATTEMPT", b"2"), (b"CTX_ROUND", b"1"),
                         (b"CTX_ID", b"%d" % (id + 1000000))):
        j.add({**real, b"MESSAGE": b"forged", b"CTX_OFFSET": b"11", field: value})
    j.add({**real, b"MESSAGE": b"forged", b"CTX_OFFSET": b"11"}, j.uid + 1)
    is_(d.output(id), b"true words\n")


@case("a journalctl that is not there, writes nonsense, or does not end; and a client that goes")
def _():
    id = printed(b"some\n")
    program = os.path.join(j.dir, "bin", "journalctl")
    text = read_file(program)
    os.unlink(program)
    d.stop()
    d.start(env={"PATH": j.dir + "/bin"})
    like(refused(d.output, "NotReady", id)["reason"], "no journalctl")
    d.stop()
    for bad in ("echo nonsense without end", "printf 'MESSAGE\\n\\377\\377\\377\\377\\377\\377\\377\\377'", "head -c 3000000 /dev/zero"):
        write_file(program, f"#!/bin/sh\n{bad}\n", 0o755)
        if not d.proc or d.proc.poll() is not None:
            d.start()
        refused(d.output, "NotReady", id)
    write_file(program, "#!/bin/sh\nexec sleep 1000\n", 0o755)
    links = [d.connect() for _ in range(6)]
    for v in links:
        v.send("Logs", {"id": id}, more=True)

    def children():
        return [p for p in pids_with("sleep\0" + "1000", ("cmdline",)) if str(d.proc.pid) == proc_status(p, "PPid")]

    wait_until(lambda: len(children()) == 4, "four of one user at a time")
    d.ctl_ok("list")
    pids = children()
    for v in links[:3]:
        v.close()
    wait_until(lambda: len(children()) == 3 and not set(pids) <= set(children()), "theirs to go")
    for v in links[3:]:
        v.close()
    wait_until(lambda: not children(), "all to go")
    write_file(program, text, 0o755)
    is_(d.output(id), b"some\n")


@case("follow goes from the file of one attempt to the end, though the file goes")
def _():
    gate = fifo(d, "follow")
    id = d.submit(sh=f"echo a; read x <{gate}; echo b")["id"]
    with d.connect() as v:
        v.send("Logs", {"id": id, "follow": True}, more=True)
        p, more = v.receive()
        data = base64.b64decode(p["data"])
        go(gate)
        while more:
            p, more = v.receive()
            data += base64.b64decode(p["data"])
    is_(data, b"a\nb\n")
    gone(id)
    is_(d.output(id, follow=True), b"a\nb\n")


@case("no journal at all: said at the start, files hold everything")
def _():
    e = ApiDaemon(conf="[output]\nto = both\n", env={"CTXD_JOURNAL": "/nonexistent/journal"})
    e.wait_log(r"\[output\] to asks for the journal, but /nonexistent/journal takes nothing")
    id = e.wait_end(e.submit(sh="echo here")["id"])["id"]
    is_(e.output(id), b"here\n")
    is_(e.call("Stats")["journal_ok"], False)


@case("with to = file there is nothing of it: no socket, no watch, no row")
def _():
    e = ApiDaemon(env=j.env)
    e.wait_end(e.submit(sh="echo here")["id"])
    is_(e.sql("SELECT count(*) FROM forward"), [(0,)])
    need(not any("inotify" in os.readlink(f"/proc/{e.proc.pid}/fd/{f}") for f in os.listdir(f"/proc/{e.proc.pid}/fd")), "no inotify")
    e.stop(signal.SIGTERM)


main()
