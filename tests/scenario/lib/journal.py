"""journal.py - a journal for tests: the socket of the native protocol, and a journalctl that reads what came.

    j = Journal(DIR)                     # binds DIR/journal, makes DIR/bin/journalctl
    d = ApiDaemon(conf="[output]\\nto = journal\\n", env=j.env)
    j.of(id)                             # the entries of a job's output, in the order they came, as dicts of bytes
    j.file(id)                           # what a reader makes of them: bytes, as in the file
    j.hold() j.go_on()                   # takes nothing for a while; j.away() j.back(): is not there

The journalctl knows what ctxd asks of it: FIELD=VALUE matches, --reverse, --cursor=, the export format.
"""
import fcntl
import os
import socket
import struct
import termios
import threading

from ctxtest import need

JOURNALCTL = r"""#!/usr/bin/python3 -IS
import os, struct, sys
want, reverse, cursor, fields = [], False, None, None
for a in sys.argv[1:]:
    if a in ("-q", "--no-pager", "--output=export"):
        continue
    elif a == "--reverse":
        reverse = True
    elif a.startswith("--cursor="):
        cursor = int(a[9:])
    elif a.startswith("--output-fields="):
        fields = a[16:].encode().split(b",")
    elif not a.startswith("-") and "=" in a:
        want.append(tuple(a.encode().split(b"=", 1)))
    else:
        sys.exit("unknown: " + a)
def parse(data):
    fields, at = {}, 0
    while at < len(data):
        end = data.index(b"\n", at)
        line = data[at:end]
        if b"=" in line:
            name, value = line.split(b"=", 1)
            at = end + 1
        else:
            name, (n,) = line, struct.unpack_from("<Q", data, end + 1)
            value = data[end + 9:end + 9 + n]
            at = end + 10 + n
        fields.setdefault(name, value)
    return fields


with open(os.path.join(os.path.dirname(sys.argv[0]), "..", "entries"), "rb") as f:
    data = f.read()
entries, at = [], 0
id = [k + b"=" + v + b"\n" for k, v in want if k == b"CTX_ID"][0]
while at < len(data):
    uid, n = struct.unpack_from("<II", data, at)
    if data.find(id, at + 8, at + 8 + n) >= 0:
        e = parse(data[at + 8:at + 8 + n])
        e[b"_UID"] = b"%d" % uid
        if all(e.get(k) == v for k, v in want):
            entries.append((at, e))
    at += 8 + n
out = sys.stdout.buffer
for i, e in (reversed(entries) if reverse else entries):
    if cursor is not None and i < cursor:
        continue
    out.write(b"__CURSOR=%d\n__REALTIME_TIMESTAMP=1\n" % i)
    for k in fields:
        v = e.get(k)
        if v is not None and (b"\n" in v or any(c < 32 and c != 9 for c in v)):
            out.write(k + b"\n" + struct.pack("<Q", len(v)) + v + b"\n")
        elif v is not None:
            out.write(k + b"=" + v + b"\n")
    out.write(b"\n")
"""


def parse(data):
    """Fields of a native entry. Of a field given twice the first."""
    fields, at = {}, 0
    while at < len(data):
        end = data.index(b"\n", at)
        line = data[at:end]
        if b"=" in line:
            name, value = line.split(b"=", 1)
            at = end + 1
        else:
            name, (n,) = line, struct.unpack_from("<Q", data, end + 1)
            value = data[end + 9:end + 9 + n]
            need(data[end + 9 + n:end + 10 + n] == b"\n", f"{name}: {value!r}")
            at = end + 10 + n
        fields.setdefault(name, value)
    return fields


class Journal:
    def __init__(self, dir, uid=None):
        self.dir = os.path.join(dir, "journal")
        self.path = os.path.join(self.dir, "socket")
        self.uid = os.geteuid() if uid is None else uid
        self.raw, self.sealed, self.wrong = [], 0, []
        self.lock = threading.Lock()
        self.gate = threading.Event()
        self.gate.set()
        self.sock = self.thread = None
        os.makedirs(os.path.join(self.dir, "bin"))
        self.write("bin/journalctl", JOURNALCTL.encode())
        os.chmod(os.path.join(self.dir, "bin", "journalctl"), 0o755)
        self.file_ = open(os.path.join(self.dir, "entries"), "ab", buffering=0)
        self.env = {"CTXD_JOURNAL": self.path, "PATH": os.path.join(self.dir, "bin") + ":" + os.environ["PATH"]}
        self.back()

    def write(self, name, data):
        with open(os.path.join(self.dir, name), "wb") as f:
            f.write(data)

    def back(self):
        """It is there (again)."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(self.path)
        os.chmod(self.path, 0o666)
        self.thread = threading.Thread(target=self._serve, args=(self.sock,), daemon=True)
        self.thread.start()

    def away(self):
        """It is not there, and what it had not read is lost."""
        os.unlink(self.path)
        s, self.sock = self.sock, None
        s.shutdown(socket.SHUT_RDWR)
        self.gate.set()
        self.thread.join()
        s.close()

    def hold(self):
        """Nothing is read, until go_on(): the queue fills. One more may be under way."""
        self.gate.clear()

    def pending(self):
        """Does anything lie in the queue?"""
        return struct.unpack("i", fcntl.ioctl(self.sock, termios.FIONREAD, b"\0" * 4))[0]

    def go_on(self):
        self.gate.set()

    def _serve(self, sock):
        while True:
            self.gate.wait()
            try:
                data, anc, flags, _ = sock.recvmsg(1 << 20, socket.CMSG_SPACE(4))
            except OSError:
                return
            if self.sock is not sock:
                return
            try:
                for level, kind, fds in anc:
                    fd, = struct.unpack("i", fds[:4])
                    with open(fd, "rb") as f:
                        f.seek(0)
                        data = f.read()
                    self.sealed += 1
                need(not flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC), "cut")
                self._take(data)
            except Exception as e:  # said at the end, in the thread of the test
                self.wrong.append(f"{e!r} {data[:200]!r}")

    def _take(self, raw, uid=None):
        with self.lock:
            self.raw.append(raw)
            self.file_.write(struct.pack("<II", self.uid if uid is None else uid, len(raw)) + raw)

    def add(self, fields, uid=None):
        """An entry that somebody else sends. No value has a line end."""
        self._take(b"".join(k + b"=" + v + b"\n" for k, v in fields.items()), uid)

    def forget(self, id, keep=lambda e: False):
        """What there is of a job, as if it had been vacuumed."""
        with self.lock:
            raws, self.raw = self.raw, []
            self.file_.truncate(0)
        mark = b"CTX_ID=%d\n" % id
        for raw in raws:
            if mark not in raw or keep(parse(raw)):
                self._take(raw)

    def count(self, id):
        """How many entries came of it, doubles and all."""
        mark = b"CTX_ID=%d\n" % id
        with self.lock:
            return sum(mark in raw for raw in self.raw)

    def of(self, id, stream=None, attempt=None):
        mark = b"CTX_ID=%d\n" % id
        with self.lock:
            got = [raw for raw in self.raw if mark in raw]
        return [e for e in map(parse, got) if e.get(b"CTX_ID") == b"%d" % id and b"CTX_OFFSET" in e
                and (stream is None or e[b"CTX_STREAM"] == stream.encode())
                and (attempt is None or e[b"CTX_ATTEMPT"] == b"%d" % attempt)]

    def file(self, id, stream=None, attempt=None):
        """The bytes, and how often any was sent again. A gap fails the case."""
        data, again = bytearray(), 0
        for e in self.of(id, stream, attempt):
            at, piece = int(e[b"CTX_OFFSET"]), e[b"MESSAGE"] + (b"" if b"CTX_NO_NEWLINE" in e else b"\n")
            need(at <= len(data), f"{id}: bytes {len(data)} to {at} are missing")
            again += at < len(data)
            need(data[at:at + len(piece)] == piece[:max(len(data) - at, 0)], f"{id}: other bytes at {at} the second time")
            data[at:at + len(piece)] = piece if at + len(piece) >= len(data) else data[at:at + len(piece)]
        return bytes(data), again
