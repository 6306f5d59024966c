#!/usr/bin/python3
"""The wall clock is set forth and back, the machine was asleep, the time zone is another: spans are unaffected, moments are
honoured."""
import os
import re
import shutil
import socket
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from collector import Collector  # noqa: E402
from ctxtest import *  # noqa: E402,F403

HOUR = 3600
SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* The wall clock is off by as many seconds as the file says. */
static long
off(void)
{
	char text[32] = "";
	int fd = open(getenv("CLOCK_SHIFT"), O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return 0;
	if (read(fd, text, sizeof(text) - 1) < 0)
		text[0] = 0;
	close(fd);
	return atol(text);
}

int
clock_gettime(clockid_t id, struct timespec *t)
{
	static int (*real)(clockid_t, struct timespec *);
	int r;

	if (!real)
		real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
	r = real(id, t);
	if (r == 0 && id == CLOCK_REALTIME)
		t->tv_sec += off();
	return r;
}

int
gettimeofday(struct timeval *restrict tv, void *restrict tz)
{
	struct timespec t;
	int r = clock_gettime(CLOCK_REALTIME, &t);

	(void)tz;
	tv->tv_sec = t.tv_sec;
	tv->tv_usec = t.tv_nsec / 1000;
	return r;
}

time_t
time(time_t *ret)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	if (ret)
		*ret = t.tv_sec;
	return t.tv_sec;
}
"""

d = Daemon(start=False)
shift = os.path.join(d.dir, "shift")


def step(seconds):
    with open(shift + ".new", "w", encoding="ascii") as f:
        f.write(str(seconds))
    os.rename(shift + ".new", shift)


# A sanitizer wants to be loaded first.
PRELOADS = "asan" not in BUILD and shutil.which("cc")


def begin():
    """ctxd with a wall clock that can be set."""
    if d.proc:
        return
    source, lib = os.path.join(d.dir, "shim.c"), os.path.join(d.dir, "shim.so")
    with open(source, "w", encoding="ascii") as f:
        f.write(SHIM)
    r = run(["cc", "-shared", "-fPIC", "-O1", "-o", lib, source, "-ldl"])
    need(r.code == 0, r.err)
    step(0)
    d.start(env={"LD_PRELOAD": lib, "CLOCK_SHIFT": shift})


def held(*options):
    i = d.submit(*options, "--", "sleep", "3600")
    d.wait_state(i, "running")
    return i


@case_if(PRELOADS, "the wall clock goes hours forth and back: what runs under a span goes on")
def _():
    begin()
    i = held("--timeout", "2h")
    for by in (5 * HOUR, -5 * HOUR, 0):
        step(by)
        is_(d.wait_end(d.submit("true"))["state"], "succeeded", f"work at {by}")
        is_(d.job(i)["state"], "running", f"at {by}")
    d.ctl_ok("cancel", i)
    is_(d.wait_end(i)["state"], "canceled")


@case_if(PRELOADS, "a short span ends in its time while the clock is hours off")
def _():
    begin()
    for by in (7 * HOUR, -7 * HOUR):
        step(0)
        i = d.submit("--timeout", "2s", "--", "sleep", "3600")
        d.wait_state(i, "running", "stopping", "deadline_exceeded")  # over already on a machine that stalls
        step(by)
        is_(d.wait_end(i)["state"], "deadline_exceeded", f"at {by}")
    step(0)


@case_if(PRELOADS, "a deadline that is a moment: what waits in the queue ends when the clock says so")
def _():
    begin()
    step(0)
    d.configure("[class narrow]\nrunning = 1\n")
    d.ctl_ok("reload")
    first = held("--class", "narrow")
    waiting = d.submit("--class", "narrow", "--deadline", "now+2h", "true")
    is_(d.job(waiting)["state"], "queued")
    step(3 * HOUR)
    is_(d.wait_end(waiting)["state"], "deadline_exceeded")
    step(0)
    d.ctl_ok("cancel", first)
    d.wait_end(first)


@case_if(PRELOADS, "the clock is set back, and what is submitted then keeps the order of ids; a restart finds all of it")
def _():
    begin()
    step(0)
    a = held()
    step(-9 * HOUR)
    b = held("--timeout", "1h")
    ok(b > a)
    d.kill9()
    step(4 * HOUR)
    d.start(env={"LD_PRELOAD": os.path.join(d.dir, "shim.so"), "CLOCK_SHIFT": shift})
    for i in (a, b):
        d.wait_state(i, "running")
    step(0)
    for i in (a, b):
        d.ctl_ok("cancel", i)
        is_(d.wait_end(i)["state"], "canceled")


@case_if(PRELOADS, "another time zone: moments are told with theirs, and mean the same")
def _():
    begin()
    step(0)
    i = d.wait_end(d.submit("true"))
    texts = [d.ctl_ok("status", i["id"], env={"TZ": tz}) for tz in ("UTC", "XST-11:30")]
    ok(texts[0] != texts[1] or not re.search(r"\d\d:\d\d", texts[0]), "shown in the zone of the reader")
    is_(d.ctl_ok("--json", "status", i["id"], env={"TZ": "UTC"}), d.ctl_ok("--json", "status", i["id"], env={"TZ": "XST-11:30"}), "JSON is in UTC")


@case_if(PRELOADS, "the clock is set while spans wait, and while they are sent: each arrives once, and none ends before it began")
def _():
    begin()
    step(0)
    d.configure("[traces]\noutbox = 100\n")
    d.ctl_ok("reload")
    port = socket.socket()
    port.bind(("127.0.0.1", 0))
    env = {k: v for k, v in os.environ.items() if not k.startswith("OTEL_") and k not in ("JOURNAL_STREAM", "CTXD_SOCKET")}
    env |= {"LD_PRELOAD": os.path.join(d.dir, "shim.so"), "CLOCK_SHIFT": shift, "no_proxy": "*",
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port.getsockname()[1]}"}
    http = os.path.join(d.dir, "http.sock")
    log = os.path.join(d.dir, "exporter.log")
    with open(log, "w", encoding="utf-8") as f:
        e = subprocess.Popen([os.path.join(BUILD, "ctx-exporter"), "--socket", d.sock, "--retry", "200ms", "--listen", "unix:" + http], env=env, stderr=f)

    def scrape(name):
        """A number of what the exporter has to say; None until it says it."""
        s = socket.socket(socket.AF_UNIX)
        s.connect(http)
        s.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        text = b"".join(iter(lambda: s.recv(65536), b"")).decode()
        s.close()
        found = re.search(rf"^{name} (\S+)$", text, re.M)
        return found and float(found[1])

    wait_until(lambda: os.path.getsize(log) > 0, "ctx-exporter to be ready, or to say why not")
    ids = []
    for by in (0, 5 * HOUR, -20 * HOUR):
        i = held()
        step(by)
        d.ctl_ok("cancel", i)
        d.wait_end(i)
        ids += [i, d.submit("true")]
        is_(d.wait_end(ids[-1])["state"], "succeeded")
        n = scrape("ctx_exporter_posts_failed_total")
        wait_until(lambda: scrape("ctx_exporter_posts_failed_total") > n, f"it to try again, at {by}")
        wait_until(lambda: scrape("ctx_outbox_spans") == len(ids), "the metrics to be of now")
    c = Collector(port)
    wait_until(lambda: all(c.of(i) for i in ids), "the spans")
    step(10 * HOUR)
    ids.append(d.submit("true"))
    wait_until(lambda: c.of(ids[-1]), "one more span")
    is_(sorted(s.attributes["ctx.job.id"] for s in c.spans), sorted(ids), "once each")
    wait_until(lambda: scrape("ctx_outbox_spans") == 0, "the outbox to be empty")
    step(0)
    e.terminate()
    is_(e.wait(60), 0)
    c.stop()


@case("the machine was asleep: a span counts that, and so a deadline that passed meanwhile is kept at the wake-up")
def _():
    skip_reason = None
    r = run(["unshare", "--time", "--boottime", "100000", "true"])
    if r.code != 0:
        skip_reason = f"no time namespace: {r.err.strip()}"
    if skip_reason:
        skip(skip_reason)
    e = Daemon(start=False)
    # Another offset of the boot clock for the same database: a ctxd that comes back after as long a sleep.
    e.start()
    i = e.submit("--timeout", "5h", "sleep", "3600")
    e.wait_state(i, "running")
    scope = int(e.ctl_ok("scope", "create", "--timeout", "5h").split()[0])
    e.kill9()
    e.start(prefix=["unshare", "--time", "--boottime", str(6 * HOUR)])
    wait_until(lambda: e.job(scope)["state"] == "deadline_exceeded", "the scope to be over")
    e.check = False
    e.cleanup()


main()
