"""sysdaemon.py - ctxd as the system's: unprivileged, with a spawner as root, asked by users who are only numbers. Needs root.

    from sysdaemon import SystemDaemon, identity, ALICE, BOB

    d = SystemDaemon("…configuration…", spawner_args=["--allow-root"])
    with identity(ALICE):
        v = Varlink(d.sock)                 # the kernel notes who connects
"""
import contextlib
import os
import shutil
import subprocess
import sys

from ctxtest import CTXD, SPAWNER, Daemon

__all__ = ["SystemDaemon", "identity", "CTXD_UID", "ALICE", "BOB"]

CTXD_UID = 61000  # whoever that is: the kernel's numbers are all that counts
ALICE, BOB = 61001, 61002

# Binds as the service manager would, and becomes the program with the socket as descriptor 3.
ACTIVATE = """
import os, socket, sys
path, kind, owner, mode, uid = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4], 8), int(sys.argv[5])
s = socket.socket(socket.AF_UNIX, getattr(socket, kind))
if os.path.exists(path):
    os.unlink(path)
s.bind(path)
os.chmod(path, mode)
os.chown(path, owner, owner)
s.listen(1024)
os.dup2(s.fileno(), 3)
os.set_inheritable(3, True)  # it may have been 3 already
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
if uid:
    os.umask(0o077)  # of the unit of ctxd
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)
os.execv(sys.argv[6], sys.argv[6:])
"""


class SystemDaemon(Daemon):
    """ctxd as a user of its own, the spawner as root, as the system units start them."""

    def __init__(self, conf="", spawner_args=()):
        super().__init__(conf, start=False)
        os.chmod(self.dir, 0o755)
        for path, owner in ((self.state, CTXD_UID), (self.run, 0)):
            os.mkdir(path, 0o700 if owner else 0o755)
            os.chown(path, owner, owner)
        self.bin = os.path.join(self.dir, "bin")
        os.mkdir(self.bin, 0o755)
        for program in (CTXD, SPAWNER):
            shutil.copy(program, self.bin)
        self.spawner = None
        self.spawner_args = list(spawner_args)
        self.start_spawner()
        self.start()

    def start_spawner(self):
        with open(self.log, "ab") as log:
            self.spawner = subprocess.Popen(
                [sys.executable, "-c", ACTIVATE, os.path.join(self.run, "spawner.sock"), "SOCK_SEQPACKET", str(CTXD_UID),
                 "600", "0", os.path.join(self.bin, "ctx-spawner"), "--system", "--runtime-dir", self.run,
                 *self.spawner_args], env=self.environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def command(self, args=()):
        return [sys.executable, "-c", ACTIVATE, self.sock, "SOCK_STREAM", "0", "666", str(CTXD_UID),
                os.path.join(self.bin, "ctxd"), "--system", "--config", self.conf, "--state-dir", self.state, "--runtime-dir",
                self.run, "--socket", self.sock, *self.args, *args]

    def cleanup(self):
        try:
            super().cleanup()
        finally:
            if self.spawner:
                self.spawner.kill()
                self.spawner.wait()


@contextlib.contextmanager
def identity(uid, gid=None, groups=()):
    """What the kernel tells of connections made meanwhile."""
    before = os.getgroups()
    os.setgroups(list(groups))
    os.setegid(uid if gid is None else gid)
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(before)
