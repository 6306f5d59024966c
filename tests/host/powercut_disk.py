"""powercut_disk.py - a disk with a volatile write cache, for powercut.t: an NBD server (as the NBD project's doc/proto.md
specifies it) on a Unix socket, over an image file.

What was written is what is read. What becomes of it when the power goes is decided by cut(): all that was written before the last
completed flush (or with FUA) stays; of each page of 4 KiB written since then, the disk keeps the old or the new content.

The cut can also be ordered for a certain moment: arm("write" | "flush" | "flushed", N) lets the Nth such request from now be the
last that reaches the disk; .struck is set then, and nothing is answered any more. "flush" is lost itself, "flushed" is done and
not answered. With holding=BYTES only a flush counts that has to bring these bytes onto the disk.
"""
import os
import socket
import struct
import threading

SECTOR = 512
PAGE = 8  # sectors
OPT_MAGIC = 0x3E889045565A9
READ, WRITE, DISC, FLUSH = range(4)
FUA = 1
HAS_FLAGS, SEND_FLUSH, SEND_FUA = 1, 4, 8


class Disk:
    def __init__(self, image, path):
        self.size = os.path.getsize(image)
        self.fd = os.open(image, os.O_RDWR | os.O_CLOEXEC)
        self.pending = {}  # sector written since the last flush -> what it was at that flush
        self.lock = threading.Lock()
        self.dead = False
        self.struck = threading.Event()
        self.armed = None  # (what, how many more, which bytes)
        self.serving = []  # threads, one for each connection of the machine
        self.flushes = 0
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.bind(path)
        self.sock.listen(4)
        threading.Thread(target=self._accept, daemon=True).start()

    # What the machine does

    def read(self, offset, length):
        return os.pread(self.fd, length, offset)

    def write(self, offset, data, fua=False):
        """False: the power is off, and nothing was done."""
        with self.lock:
            if self.dead or self._strikes("write"):
                return False
            if offset % SECTOR or len(data) % SECTOR:
                raise ValueError("not whole sectors")
            old = os.pread(self.fd, len(data), offset)
            os.pwrite(self.fd, data, offset)
            first = offset // SECTOR
            for i in range(len(data) // SECTOR):
                if fua:
                    self.pending.pop(first + i, None)
                else:
                    self.pending.setdefault(first + i, old[i * SECTOR:(i + 1) * SECTOR])
            return True

    def flush(self):
        with self.lock:
            if self.dead or self._strikes("flush"):
                return False
            self.pending.clear()
            self.flushes += 1
            return not self._strikes("flushed")

    # What becomes of it

    def arm(self, what, count, holding=b""):
        with self.lock:
            self.armed = (what, count, holding)

    def _is_pending(self, holding):
        return any(holding in os.pread(self.fd, PAGE * SECTOR, page * PAGE * SECTOR) for page in {s // PAGE for s in self.pending})

    def _strikes(self, what):
        if not self.armed or self.armed[0] != what or (self.armed[2] and not self._is_pending(self.armed[2])):
            return False
        self.armed = (what, self.armed[1] - 1, self.armed[2])
        if self.armed[1] > 0:
            return False
        self.dead = True
        self.struck.set()
        return True

    def die(self):
        """Nothing reaches the disk, nor comes from it, from now on."""
        with self.lock:
            self.dead = True

    def cut(self, rng, keep):
        """KEEP: none, all, or pages (each 4 KiB by chance, but never a part of them). (sectors unflushed, sectors lost).
        The disk is then as it is found after the power is back."""
        with self.lock:
            self.dead = True
            lost, chance = 0, rng.random()
            kept = {}  # by page
            for sector in sorted(self.pending):
                page = sector // PAGE
                if page not in kept:
                    kept[page] = keep == "all" or (keep == "pages" and rng.random() < chance)
                if not kept[page]:
                    os.pwrite(self.fd, self.pending[sector], sector * SECTOR)
                    lost += 1
            unflushed = len(self.pending)
            self.pending.clear()
            return unflushed, lost

    def power_on(self):
        """The machine is off. What it had sent, and what a busy computer has not read yet, goes nowhere first."""
        for t in self.serving:
            t.join()
        self.serving.clear()
        with self.lock:
            self.dead, self.armed = False, None
            self.struck.clear()

    def close(self):
        self.die()
        self.sock.close()
        os.close(self.fd)

    # The protocol

    def _accept(self):
        while True:
            try:
                conn, _ = self.sock.accept()
            except OSError:
                return
            t = threading.Thread(target=self._serve, args=(conn,), daemon=True)
            t.start()
            self.serving.append(t)

    def _serve(self, conn):
        with conn, conn.makefile("rb") as f:
            try:
                if self._handshake(conn, f):
                    while self._request(conn, f):
                        pass
            except (OSError, struct.error):
                pass  # the machine is gone

    def _handshake(self, conn, f):
        conn.sendall(b"NBDMAGICIHAVEOPT" + struct.pack(">H", 3))
        f.read(4)
        while True:
            _, opt, length = struct.unpack(">8sII", f.read(16))
            f.read(length)

            def reply(kind, data=b"", opt=opt):
                conn.sendall(struct.pack(">QIII", OPT_MAGIC, opt, kind, len(data)) + data)

            if opt == 7:  # GO
                reply(3, struct.pack(">HQH", 0, self.size, HAS_FLAGS | SEND_FLUSH | SEND_FUA))
                reply(1)
                return True
            if opt == 2:  # ABORT
                reply(1)
                return False
            reply((1 << 31) + 1)

    def _request(self, conn, f):
        _, flags, kind, handle, offset, length = struct.unpack(">IHHQQI", f.read(28))
        data = b""
        if kind == DISC:
            return False
        if kind == READ:
            if self.dead:
                return self._hang(f)
            data = self.read(offset, length)
        elif kind == WRITE:
            data = f.read(length)
            if len(data) < length:  # the machine is gone
                return False
            if not self.write(offset, data, flags & FUA):
                return self._hang(f)
            data = b""
        elif kind == FLUSH:
            if not self.flush():
                return self._hang(f)
        conn.sendall(struct.pack(">IIQ", 0x67446698, 0, handle) + data)
        return True

    @staticmethod
    def _hang(f):
        """The power is off: no answer, not even an error, until the machine is gone."""
        while f.read(65536):
            pass
        return False
