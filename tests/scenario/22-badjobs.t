#!/usr/bin/python3
"""Jobs that cannot be: commands that cannot be executed, and values that must be refused before anything is on record."""
import json
import os
import resource
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from apitest import *  # noqa: E402,F403

NOBODY = 65534
INT_MAX = 2**63 - 1
TEN_YEARS = 3650 * 86400 * S

d = ApiDaemon(conf="[daemon]\nmax_message = 32M\n[deadline]\ngrace = 300ms\n[class known]\n")


def fails(argv, code, pattern, daemon=None, **params):
    """The job ends `failed` because its command cannot be executed, like a shell says it: CODE."""
    e = daemon or d
    j = e.submit(*argv, **params)
    j = e.wait_end(j["id"])
    what = f"{argv[0][:60]!r} {str(params)[:60]}"
    is_((j["state"], j["exit_code"], j["cause_code"], j["signal"], j["err"], j["leftovers"]), ("failed", code, "exec", None, None, 0),
        what)
    like(j["cause"] or "", pattern, what)
    ok(len(j["cause"] or "") < 256, "short")
    is_((j["known_by"], j["output"]["bytes"]), ("monitor", 0), what)
    return j


def script(name, text, mode=0o755):
    return write_file(os.path.join(d.dir, name), text, mode)


# What cannot be executed ----------------------------------------------------------------------------------------------


@case("not found: 127")
def _():
    fails(["/nonexistent/command"], 127, r"cannot execute /nonexistent/command: No such file")
    fails(["nonexistent-command"], 127, r"cannot execute nonexistent-command: No such file")
    fails(["ls"], 127, r"No such file", env={"PATH": "/nonexistent"})
    fails(["./here"], 127, r"No such file", cwd="/tmp")
    fails([" ls"], 127, r"No such file")
    fails(["ls -l"], 127, r"No such file")
    fails([script("noterp", "#!/nonexistent/interpreter\necho x\n")], 127, r"cannot execute .*noterp: No such file")


@case("found, but not to be executed: 126")
def _():
    fails([script("plain", "#!/bin/sh\necho x\n", 0o644)], 126, r"plain: Permission denied")
    fails(["/etc"], 126, r"/etc: Permission denied")
    fails(["/etc/passwd/x"], 126, r"Not a directory")
    fails(["/" + "x" * 300], 126, r"File name too long")
    loop = os.path.join(d.dir, "loop")
    os.symlink(loop, loop)
    fails([loop], 126, r"Too many levels")
    fails([script("dirterp", "#!/etc\necho x\n")], 126, r"Permission denied")


@case("a name that is no text for a terminal is escaped in the cause")
def _():
    j = fails(["/no\x1b[31m\nsuch"], 127, r"cannot execute")
    unlike(j["cause"], "[\x00-\x1f\x7f]")
    is_(j["argv"], ["/no\x1b[31m\nsuch"], "the record has it as it was")


@case("a script without an interpreter is run by sh, as every shell does")
def _():
    j = d.submit(script("bare", "echo $1 from sh\nexit 3\n"), "hello")
    is_(d.wait_end(j["id"])["exit_code"], 3)
    is_(d.output(j["id"]), b"hello from sh\n")
    j = d.wait_end(d.submit(script("junk", b"\x7fELF" + bytes(range(256)) * 4))["id"])
    is_(j["state"], "failed", "junk that claims to be a program")


@case("PATH is the job's own")
def _():
    own = os.path.join(d.dir, "own")
    os.mkdir(own)
    write_file(os.path.join(own, "mytool"), "#!/bin/sh\necho mine\n", 0o755)
    j = d.submit("mytool", env={"PATH": f"/nonexistent:{own}"})
    is_(d.wait_end(j["id"])["state"], "succeeded")
    is_(d.output(j["id"]), b"mine\n")
    fails(["mytool"], 127, "No such file")
    # An empty part is the current directory.
    j = d.submit("mytool", env={"PATH": "/nonexistent:"}, cwd=own)
    is_(d.wait_end(j["id"])["state"], "succeeded")


@case("the working directory is gone, is a file, is out of reach: 126, named")
def _():
    gone = os.path.join(d.dir, "gone")
    fails(["true"], 126, rf"cannot change to the directory {gone}: No such file", cwd=gone)
    fails(["true"], 126, r"cannot change to the directory /etc/passwd: Not a directory", cwd="/etc/passwd")
    fails(["true"], 126, r"cannot change to the directory /xxx.*: File name too long", cwd="/" + "x" * 300)


@case("what an ordinary user may not execute or enter")
def _():
    if os.geteuid() != 0:
        skip("needs root, to be somebody else")
    e = ApiDaemon(uid=NOBODY)
    closed = os.path.join(e.dir, "closed")
    os.mkdir(closed, 0o700)
    tool = write_file(os.path.join(e.dir, "tool"), "#!/bin/sh\n", 0o700)
    fails(["true"], 126, rf"directory {closed}: Permission denied", daemon=e, cwd=closed)
    fails([tool], 126, r"Permission denied", daemon=e)
    fails(["tool"], 126, r"Permission denied", daemon=e, env={"PATH": e.dir})
    e.cleanup()


@case("a job may open its own output by name, to write and to append")
def _():
    j = d.submit(sh="echo one >&2; echo two >>/dev/stderr; echo three >>/dev/stdout; echo four")
    is_(d.wait_end(j["id"])["state"], "succeeded")
    is_(d.output(j["id"]), b"one\ntwo\nthree\nfour\n")
    for name in ("/dev/stderr", "/dev/stdout"):
        j = d.submit(sh=f"echo x >{name}")
        is_(d.wait_end(j["id"])["state"], "succeeded")
        is_(d.output(j["id"]), b"x\n")


# Sizes ----------------------------------------------------------------------------------------------------------------


@case("one argument may have 128 KiB with its zero, and no more: that is the kernel's limit")
def _():
    j = d.submit("printf", "%s", "x" * 131071)
    is_(d.wait_end(j["id"])["state"], "succeeded")
    is_(d.output(j["id"]), b"x" * 131071)
    fails(["echo", "x" * 131072], 126, "Argument list too long")
    fails(["true"], 126, "Argument list too long", env={"BIG": "x" * 131068})
    is_(d.wait_end(d.submit("true", env={"BIG": "x" * 131067})["id"])["state"], "succeeded")


@case("all arguments and the environment together: the kernel's limit, too")
def _():
    stack = resource.getrlimit(resource.RLIMIT_STACK)[0]
    most = 6 << 20 if stack == resource.RLIM_INFINITY else min(max(stack // 4, 131072), 6 << 20)
    n = most // 100000 + 2
    fails(["true", *["y" * 100000] * n], 126, "Argument list too long")
    fails(["true"], 126, "Argument list too long", env={f"V{i}": "z" * 100000 for i in range(n)})
    fails(["true", *["y"] * (most // 8)], 126, "Argument list too long")
    few = max(1, most // 100000 - 3)
    j = d.submit(sh='echo $#', *["sh"], **{"env": {"PATH": os.defpath, "V": "z" * 1000}})
    d.wait_end(j["id"])
    j = d.submit("sh", "-c", "echo $#", "sh", *["y" * 100000] * few)
    is_(d.wait_end(j["id"])["state"], "succeeded")
    is_(d.output(j["id"]).decode(), f"{few}\n")


@case("larger than a message may be: refused with the limit, nothing on record")
def _():
    e = ApiDaemon()
    with e.connect() as v:
        try:
            v.call("Submit", argv=["true", "x" * (1 << 20)])
            ok(False, "not refused")
        except VarlinkError as err:
            like(str(err), r"1048576|max_message|1M")
        except VarlinkClosed:
            ok(False, "closed without a word")
    is_(e.jobs(), [])
    r = e.ctl("submit", "true", *["x" * 120000] * 10)
    ok(r.code in (2, 7), f"{r.code}")
    like(r.err, r"1048576|max_message|1 ?Mi?B?")
    r = e.ctl("submit", "true", env={f"BIG{i}": "x" * 120000 for i in range(10)})
    ok(r.code in (2, 7), f"{r.code}")
    like(r.err, r"1048576|max_message|1 ?Mi?B?")
    is_(e.ctl("submit", "--env-mode", "none", "-w", "true", env={f"BIG{i}": "x" * 120000 for i in range(10)}).code, 0)
    is_(len(e.jobs()), 1)
    e.cleanup()


# Values ---------------------------------------------------------------------------------------------------------------

before = 0


def count():
    return len(d.jobs())


def invalid(field, **params):
    got = refused(d.call, "InvalidArgument", "Submit", **{"argv": ["true"], **params})
    is_(got["field"], field, str(params)[:100])
    ok(got["reason"], "with a reason")
    unlike(got["reason"], "[\x00-\x1f\x7f]", "that can be printed")


def wrong_type(parameter, **params):
    is_(refused(d.call, "InvalidParameter", "Submit", **{"argv": ["true"], **params}), {"parameter": parameter}, str(params)[:100])


@case("durations that are negative, zero, overflowing, absurd")
def _():
    global before
    before = count()
    for field in ("timeout_usec", "grace_usec"):
        for bad in (0, -1, -INT_MAX - 1, 1, 999, TEN_YEARS + 1, INT_MAX - 1):
            invalid(field, **{field: bad})
        for bad in (1.5, 1e300, "10", True, [], {"a": 1}):
            wrong_type(field, **{field: bad})
    invalid("grace_usec", grace_usec=INT_MAX)
    for method, field in (("Wait", "timeout_usec"), ("Extend", "by_usec")):
        one = {"ids": [1]} if method == "Wait" else {"id": 1}
        for bad in (0, -1, -INT_MAX - 1, INT_MAX, TEN_YEARS + 1):
            got = refused(d.call, "InvalidArgument", method, **one, **{field: bad})
            is_(got["field"], field, f"{method} {bad}")
    is_(count(), before)


@case("integers beyond 64 bit and numbers that are none")
def _():
    for text in ("9223372036854775808", "-9223372036854775809", "1" + "0" * 400, "1e999", "NaN", "Infinity", "-", "0x10", "007"):
        for params in (f'{{"argv":["true"],"timeout_usec":{text}}}', f'{{"argv":["true"],"priority":{text}}}'):
            with d.connect() as v:
                v.send_raw(f'{{"method":"io.ctxd.Submit","parameters":{params}}}\0'.encode())
                try:
                    got = v.receive()
                    ok(False, f"{text}: {got}")
                except VarlinkError as e:
                    ok(e.short in ("InvalidParameter", "InvalidArgument"), str(e))
                except VarlinkClosed:
                    pass
    is_(count(), before)


@case("the least and the most that is accepted")
def _():
    j = d.submit("true", timeout_usec=TEN_YEARS, grace_usec=TEN_YEARS, priority=1000000, umask=0o777, stop_signal="KILL")
    is_((j["timeout_usec"], j["timeout_requested_usec"], j["deadline_rule"]), (86400 * S, TEN_YEARS, "global_max"))
    is_((j["grace_usec"], j["priority"], j["umask"], j["stop_signal"]), (TEN_YEARS, 1000000, 0o777, "KILL"))
    j = d.submit("true", timeout_usec=INT_MAX, grace_usec=1000, priority=-1000000, umask=0, name="x" * 128)
    is_((j["timeout_usec"], j["deadline_rule"], j["grace_usec"], j["priority"], j["umask"]),
        (86400 * S, "global_max", 1000, -1000000, 0))
    j = d.submit("sleep", "1000", timeout_usec=1000)
    is_(d.wait_end(j["id"])["state"], "deadline_exceeded")
    d.wait_all_ended()


@case("deadlines in the past, and times that are none")
def _():
    global before
    before = count()
    for bad in ("", "now", "now-1h", "now+0s", "yesterday", "2001-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "0000-00-00T00:00:00Z",
                "2040-13-01T00:00:00Z", "2040-02-30T00:00:00Z", "2040-01-01T25:00:00Z", "2040-01-01T00:60:00Z", "2040-01-01",
                "2040-01-01T00:00:00", "2040-01-01T00:00:00+25:00", "@-1", "@0", "@1", "@", "@99999999999999999999", "@1e10", "now+",
                "now+-5s", "now+99999999999999999999s", " now+1h", "now+1h ", "20400101T000000Z", "99999-01-01T00:00:00Z",
                "2040-01-01T00:00:00Z junk", "\u0662\u0660\u0664\u0660-01-01T00:00:00Z"):
        invalid("deadline_at", deadline_at=bad)
    wrong_type("deadline_at", deadline_at=5)
    is_(count(), before)


@case("times so far away that nothing can hold them are refused or mean for ever, never the past")
def _():
    for far in ("2261-01-01T00:00:00Z", "2262-04-12T00:00:00Z", "2300-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "@9223372036",
                "@9223372037", "@18446744073", "@9223372036854775807"):
        try:
            j = d.submit("true", deadline_at=far)
            is_((j["timeout_usec"], j["deadline_rule"]), (600 * S, "default"), far)
            is_(d.wait_end(j["id"])["state"], "succeeded", far)
        except VarlinkError as e:
            is_((e.short, e.params["field"]), ("InvalidArgument", "deadline_at"), far)


@case("umask, priority, signal, directory")
def _():
    global before
    before = count()
    for bad in (-1, 0o1000, 2**31, 2**32, INT_MAX, -INT_MAX - 1):
        invalid("umask", umask=bad)
    for bad in (1000001, -1000001, 2**31, 2**32, INT_MAX, -INT_MAX - 1):
        invalid("priority", priority=bad)
    for bad in ("", "NOSUCH", "SIG", "0", "-1", "32", "33", "65", "99999999999999999999", "TERM ", "TERM\n", "RTMAX+1", "RTMIN-1",
                "RTMIN+99", "15x"):
        invalid("stop_signal", stop_signal=bad)
    for bad in ("", "relative", "./x", "~", "x" * 5000, "/" + "x" * 5000):
        invalid("cwd", cwd=bad)
    for parameter, bad in (("umask", "022"), ("priority", "high"), ("stop_signal", 15), ("cwd", ["/"]), ("cwd", 1)):
        wrong_type(parameter, **{parameter: bad})
    is_(count(), before)


@case("names and classes")
def _():
    for bad in ("", "a\nb", "a\tb", "\x1b[31m", "a\x7f", "a\u0085b", "\u009b31m", "x" * 129, "\u00e9" * 65, "\r"):
        invalid("name", name=bad)
    for bad in ("", "nonesuch", "UPPER", "a b", "a/b", "../x", "x" * 33, "known\n", "kn\u00f6wn"):
        invalid("class", **{"class": bad})
    for good in ("\u00e9" * 64, "\u65e5\u672c", "a b c", "'\"$(x)"):
        is_(d.submit("true", name=good)["name"], good)
    is_(d.submit("true", **{"class": "known"})["class"], "known")
    d.wait_all_ended()


@case("no command, an empty one, and what is no list of texts")
def _():
    global before
    before = count()
    invalid("argv", argv=[])
    invalid("argv", argv=[""])
    invalid("argv", argv=["", "x"])
    for bad in ("true", {}, 5, [1], ["true", None], [["true"]]):
        wrong_type("argv", argv=bad)
    is_(refused(d.call, "InvalidParameter", "Submit", cwd="/"), {"parameter": "argv"})
    is_(refused(d.call, "InvalidParameter", "Submit", argv=None), {"parameter": "argv"})
    for bad in ([], "A=b", {"A": 1}, {"A": None}):
        wrong_type("env", env=bad)
    for bad in ({"": "x"}, {"A=B": "x"}, {"A": "x", "B": "\0"}):
        invalid("env", argv=["true"], env=bad)
    is_(count(), before)
    j = d.submit("printf", "[%s]", "", "a", "")
    d.wait_end(j["id"])
    is_(d.output(j["id"]), b"[][a][]", "empty arguments that are not the command are kept")
    before = count()


@case("a zero byte is nowhere accepted")
def _():
    for params in ({"argv": ["tr\0ue"]}, {"argv": ["true", "a\0b"]}, {"argv": ["true"], "env": {"A": "b\0c"}},
                   {"argv": ["true"], "env": {"A\0B": "c"}}, {"argv": ["true"], "cwd": "/\0tmp"}, {"argv": ["true"], "name": "a\0"}):
        with d.connect() as v:
            v.send_raw(json.dumps({"method": "io.ctxd.Submit", "parameters": params}).encode() + b"\0")
            try:
                ok(False, f"{params}: {v.receive()}")
            except (VarlinkError, VarlinkClosed):
                pass
    is_(count(), before)


@case("what is not there is refused, never accepted and ignored")
def _():
    for parameter, value in (("at", "now+1h"), ("hold", True), ("as", "root"), ("memory_max", 1), ("nonesuch", 1)):
        wrong_type(parameter, **{parameter: value})
    for bad in (["nonesuch"], [""], ["values", "Cancel"]):
        invalid("inherit", inherit=bad)
    for method in ("Teleport", "Nonesuch"):
        refused(d.call, "MethodNotFound", method, id=1)
    is_(count(), before)


@case("ids that are none: 0, negative, huge, not a number")
def _():
    ways = (("Get", lambda i: {"id": i}), ("Cancel", lambda i: {"id": i}), ("Extend", lambda i: {"id": i, "by_usec": S}),
            ("Hold", lambda i: {"id": i}), ("Release", lambda i: {"id": i}), ("Reprioritize", lambda i: {"id": i, "priority": 1}),
            ("Logs", lambda i: {"id": i}), ("Wait", lambda i: {"ids": [i]}), ("Wait", lambda i: {"ids": [1, i]}))
    for method, params in ways:
        for bad in (0, -1, -INT_MAX - 1, INT_MAX, INT_MAX - 1, 2**32 + 1, before + 1000):
            is_(refused(d.call, "NoSuchJob", method, **params(bad)), {"id": bad}, f"{method} {bad}")
        for bad in ("1", 1.0, 1.5, True, [], {}):
            got = refused(d.call, "InvalidParameter", method, **params(bad))
            ok(got["parameter"] in ("id", "ids"), f"{method} {bad}")
        got = refused(d.call, "InvalidParameter", method, **params(None))
    refused(d.call, "InvalidArgument", "Wait", ids=[])
    refused(d.call, "InvalidArgument", "Wait", ids=[1] * 1001)
    is_(len(d.call("Wait", ids=[1, 1, 1])["jobs"]), 1, "the same one thrice is one")
    for params in ({"tail": -1}, {"offset": -1}, {"tail": 1, "offset": 1}, {"stream": "stdin"}, {"stream": ""}, {"tail": -INT_MAX - 1}):
        refused(d.call, "InvalidArgument", "Logs", id=1, **params)
    is_(d.call("Logs", id=1, offset=INT_MAX)["data"], "")
    is_(d.call("Logs", id=1, tail=INT_MAX)["data"], "")
    for cause in ("x" * 1025, "a\nb", "\x1b"):
        is_(refused(d.call, "InvalidArgument", "Cancel", id=1, cause=cause)["field"], "cause")


# The same through ctxctl ------------------------------------------------------------------------------------------------


@case("ctxctl refuses what it can see by itself, names it, and exits 2")
def _():
    for option in ("--timeout", "--grace"):
        for bad in ("0", "0s", "-1", "-5m", "inf", "nan", "1e3", "1.5h", "10parsecs", "", " 5s", "5s ", "99999999999999999999", "5000d",
                    "1h-30m", "m", "9223372036854775807"):
            r = d.ctl("submit", f"{option}={bad}", "true")
            is_((r.code, r.out), (2, ""), f"{option}={bad!r}")
            like(r.err, option, f"{option}={bad!r}")
    for args in (["--deadline", "yesterday"], ["--deadline="], ["--priority", "1.5"], ["--priority", "99999999999999999999"],
                 ["--signal", "NOSUCH"], ["--class", "UPPER"], ["--class", "nonesuch"], ["--name", "a\nb"], ["--env-mode", "some,,x"],
                 ["--env", "=x"], ["-C", ""]):
        r = d.ctl("submit", *args, "true")
        is_((r.code, r.out), (2, ""), str(args))
        ok(r.err, "says why")
        unlike(r.err, "\x1b|Traceback", str(args))
    is_(count(), before)


@case("ctxctl and ids that are none: 2 if no id could be so, 3 if there is no such job")
def _():
    for command in (["status"], ["cancel"], ["wait"], ["logs"], ["extend", "--by", "1m"]):
        ours = 125 if command[0] == "wait" else 2
        for bad in ("0", "-1", "x", "1x", "", "99999999999999999999", "1.0", "+1"):
            r = d.ctl(*command, "--", bad)
            is_((r.code, r.out), (ours, ""), f"{command} {bad!r}")
            ok(r.err, "says why")
        r = d.ctl(*command, "9223372036854775807")
        is_(r.code, 125 if command[0] == "wait" else 3, f"{command} of an id that is not given yet: {r}")
        like(r.err, "9223372036854775807")


@case("ctxctl: a command that cannot be executed ends as a shell's would")
def _():
    for args, code in ((["/nonexistent/command"], 127), (["/etc"], 126), (["-C", "/nonexistent", "true"], 126)):
        r = d.ctl("run", *args)
        is_(r.code, code, str(args))
        like(r.err, "cannot", "and says why")
        is_(d.ctl("submit", "-w", *args).code, code)
    is_(d.ctl("status").code, 0, "the daemon is there")


main()
