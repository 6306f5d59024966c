#!/usr/bin/python3
"""The log: one line an edge, and in the journal what there is to know of the job in fields."""
import os
import socket
import struct
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from ctxtest import *  # noqa: E402,F403

# A /run of its own, in which the journal's socket is ours.
PRIVATE = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/journal && ln -s "$0" /run/systemd/journal/socket && exec "$@"')


def edges(text, id):
    """What the log says of job ID, edge after edge."""
    return [line.split()[2] for line in text.splitlines() if line.startswith(f"ctxd: job={id} ") and " attempt=" in line]


@case("each edge is one line, the first one too, of a job that has to wait")
def _():
    d = Daemon(conf="[limits]\nrunning = 1\n[class batch]\n")
    first = d.submit("sleep", "1000")
    d.wait_state(first, "running")
    waits, late, after = d.submit("true"), d.submit("--in", "1h", "true"), d.submit("--after", first, "true")
    d.ctl_ok("cancel", "--wait", first, late)
    is_(d.wait_end(waits)["state"], "succeeded")
    is_(d.wait_end(after)["state"], "canceled")
    d.stop()
    text = d.log_text()
    is_(edges(text, first), ["running", "stopping", "canceled"])
    is_(edges(text, waits), ["queued", "running", "succeeded"])
    is_(edges(text, late), ["queued", "canceled"])
    is_(edges(text, after), ["queued", "canceled"])
    d.cleanup()


class Entries:
    """The entries that come in at PATH, as dicts."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(path)
        self.all = []
        threading.Thread(target=self.take, daemon=True).start()

    def take(self):
        while True:
            data = self.sock.recv(1 << 20)
            fields, at = {}, 0
            while at < len(data):
                end = data.index(b"\n", at)
                name, _, value = data[at:end].partition(b"=")
                at = end + 1
                if b"=" not in data[at - 1 - len(name) - 1 - len(value):end]:
                    n, = struct.unpack_from("<Q", data, at)
                    value = data[at + 8:at + 8 + n]
                    at += 8 + n + 1
                fields[name.decode()] = value.decode()
            self.all.append(fields)

    def of(self, id):
        return [e for e in list(self.all) if e.get("CTX_ID") == str(id)]

    def said(self, text):
        return [e for e in list(self.all) if text in e["MESSAGE"]]

    def has(self, id, state, attempt=1):
        return any((e["CTX_STATE"], e["CTX_ATTEMPT"]) == (state, str(attempt)) for e in self.of(id))


@case("in the journal every line about a job has its id, its state as the interface names it, its values")
def _():
    d = Daemon(start=False)
    path = os.path.join(d.dir, "journal")
    if run([*PRIVATE, path, "true"]).code != 0:
        skip("no file system can be mounted")
    got = Entries(path)
    with open(d.log, "ab") as f:
        st = os.fstat(f.fileno())
    d.start(prefix=(*PRIVATE, path), env={"JOURNAL_STREAM": f"{st.st_dev}:{st.st_ino}"}, spawner=False)
    wait_until(lambda: d.json("status")["spawner_up"], "ctxd to have a spawner")

    def story():
        """A job with four attempts, and one that is held. None: the journal has no room for more than ten entries, so some went to
        stderr as if there were none."""
        before = d.log_text()
        i = d.submit("-n", "brew", "-v", "request_id=r-17", "--retries", "1", "--backoff", "10ms", "false")
        is_(d.wait_end(i)["state"], "failed")
        d.ctl_ok("retry", i)
        wait_until(lambda: (lambda j: j["attempt"] == 4 and j["state"] == "failed")(d.job(i)), "the end of the attempts that were asked for")
        held = d.submit("--in", "1h", "-v", "request_id=r-18", "true")
        d.ctl_ok("hold", held)
        d.ctl_ok("cancel", held)
        is_(d.ctl("hold", held).code, 1)
        is_(d.ctl("cancel", "999").code, 3)
        wait_until(lambda: got.said("NoSuchJob: job 999") and got.has(i, "failed", 4) or d.log_text() != before, "the entries")
        return (i, held) if d.log_text() == before else None

    i, held = wait_until(story, "a story that fits in the journal whole")
    for id, name, value in ((i, "brew", "r-17"), (held, None, "r-18")):
        for e in got.of(id):
            is_((e.get("CTX_NAME"), e["CTX_CLASS"], e["CTX_VALUE_REQUEST_ID"]), (name, "default", value), e["MESSAGE"])
            is_(e["CTX_TRACE_ID"], d.job(id)["traceparent"].split("-")[1])
    is_([(e["CTX_ATTEMPT"], e["CTX_STATE"]) for e in got.of(i) if e["SYSLOG_IDENTIFIER"] == "ctxd"],
        [("1", "running"), ("1", "failed"), *((n, s) for n in "234" for s in ("queued", "running", "failed"))])
    is_([e["CTX_STATE"] for e in got.of(held)], ["queued", "queued", "canceled", "canceled"])
    like(got.of(held)[-1]["MESSAGE"], "^refused uid=.* AlreadyEnded: ")
    is_(got.of(999), [], "there is no such job")
    d.stop()
    d.cleanup()


main()
