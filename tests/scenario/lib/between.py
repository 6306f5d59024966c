"""between.py - a real ctx-spawner, and between it and ctxd a hand that holds back what ctxd says to it.

    d = Daemon(start=False)
    b = Between(d)                      # binds spawner.sock of D, starts the spawner on a socket of its own
    d.start()
    b.hold()                            # from now on nothing that ctxd sends arrives, and nobody is let in
    f, fds = b.take(SPAWN, 1)           # ... and this never will: it is ours
    b.wait_held((FORGET, 1), (SPAWN, 1))
    d.kill9(); d.start(spawner=False)   # the new ctxd is not let in, the old one's frames are still under way
    b.let_through()                     # the old one's frames arrive; then its connection ends
    b.let_in()                          # the new one's connection is made

So every order of what a ctxd that died had sent and of what the next one finds can be brought about, with no race.
"""
import os
import select
import signal
import socket
import threading

from ctxtest import TIMEOUT, need, wait_until
from spawnerdrv import Frame, start_spawner

__all__ = ["Between"]


class Pair:
    """A connection of ctxd, ours to the spawner, and the frames of ctxd that have not been passed on: [(Frame, descriptors)]."""

    def __init__(self, down, up):
        self.down, self.up, self.held, self.ended = down, up, [], False


class Between:
    def __init__(self, daemon):
        self.pairs, self.dropped, self.holds, self.lets_in = [], [], (), True
        self.daemon = daemon
        os.makedirs(daemon.run, 0o700, exist_ok=True)
        self.listener = self._listen(os.path.join(daemon.run, "spawner.sock"))
        self.path = os.path.join(daemon.run, "behind.sock")
        self.behind = self._listen(self.path)
        self.pid = start_spawner(self.behind, daemon.run, daemon.log)
        self.lock = threading.Condition()
        self.wake_r, self.wake_w = os.pipe()
        self.thread = threading.Thread(target=self._pump, daemon=True)
        self.thread.start()

    @staticmethod
    def _listen(path):
        s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        s.bind(path)
        s.listen(16)
        os.chmod(path, 0o600)
        return s

    # What a test does

    def hold(self, *kinds):
        """No frame of KINDS (none named: of any) arrives, and nothing that is sent after it; and no new connection is made."""
        with self.lock:
            self.holds, self.lets_in = kinds or tuple(range(256)), False
        self._wake()

    def let_through(self):
        """What was held arrives, in its order; a ctxd that is dead is gone for the spawner only after that."""
        with self.lock:
            self.holds = ()
            for p in list(self.pairs):
                for f, fds in p.held:
                    self._send(p.up, f.data, fds)
                p.held.clear()
                if p.ended:
                    self._drop(p)
        self._wake()

    def let_in(self):
        with self.lock:
            self.lets_in = True
        self._wake()

    def _wait(self, cond, what):
        with self.lock:
            need(self.lock.wait_for(cond, TIMEOUT), f"waited in vain for {what}; held: {self._all_held()}")

    def _all_held(self):
        return [f for p in self.pairs for f, _ in p.held]

    def take(self, kind, id):
        """A held frame that will not arrive: (Frame, descriptors), which are the caller's."""
        def there():
            return [(p, h) for p in self.pairs for h in p.held if (h[0].kind, h[0].id) == (kind, id)]

        self._wait(there, f"frame {kind} of {id}")
        with self.lock:
            p, h = there()[0]
            p.held.remove(h)
        return h

    def pass_on(self, kind, id):
        """A held frame arrives before the others."""
        f, fds = self.take(kind, id)
        with self.lock:
            p = [p for p in self.pairs if not p.ended][-1]
            self._send(p.up, f.data, fds)

    def held(self):
        """[(kind, id)]"""
        with self.lock:
            return [(f.kind, f.id) for f in self._all_held()]

    def wait_held(self, *wanted):
        """Until these, (kind, id) each, and nothing else, are held."""
        self._wait(lambda: [(f.kind, f.id) for f in self._all_held()] == list(wanted), f"the frames {wanted}")

    def wait_ended(self):
        """ctxd was killed: until all that it had sent is here."""
        self._wait(lambda: all(p.ended for p in self.pairs), "the end of its connection")

    def respawn(self):
        """The spawner dies, and with it what was under way; a new one is started."""
        with self.lock:
            self._kill_spawner()
            for p in list(self.pairs):
                self._drop(p)
            self.pid = start_spawner(self.behind, self.daemon.run, self.daemon.log)
        self._wake()

    def _kill_spawner(self):
        os.kill(self.pid, signal.SIGKILL)
        wait_until(lambda: os.waitpid(self.pid, os.WNOHANG)[0], "the spawner to end")

    def close(self):
        with self.lock:
            for p in list(self.pairs):
                self._drop(p)
            thread, self.thread = self.thread, None
        os.close(self.wake_w)
        thread.join()
        self._close_dropped()
        self.listener.close()
        self.behind.close()
        self._kill_spawner()

    # The thread

    def _wake(self):
        os.write(self.wake_w, b"x")

    @staticmethod
    def _send(sock, data, fds):
        try:
            socket.send_fds(sock, [data], fds)
        except OSError:  # the other side is dead, which is found when it is read
            pass
        for fd in fds:
            os.close(fd)

    def _drop(self, p):
        """The thread closes it: it may be waiting for it right now."""
        self.pairs.remove(p)
        self.dropped.append(p)
        self.lock.notify_all()

    def _close_dropped(self):
        for p in self.dropped:
            for _, fds in p.held:
                for fd in fds:
                    os.close(fd)
            p.down.close()
            p.up.close()
        self.dropped.clear()

    def _pump(self):
        while True:
            with self.lock:
                self._close_dropped()
                socks = [p.down for p in self.pairs if not p.ended] + [p.up for p in self.pairs]
                socks += [self.listener] if self.lets_in else []
            ready = select.select([self.wake_r, *socks], [], [])[0]
            with self.lock:
                if self.wake_r in ready and not os.read(self.wake_r, 100):
                    break
                if self.listener in ready and self.lets_in:
                    self._accept()
                for p in list(self.pairs):
                    if p.down in ready and p in self.pairs:
                        self._from_ctxd(p)
                    if p.up in ready and p in self.pairs:
                        self._from_spawner(p)
                self.lock.notify_all()
        os.close(self.wake_r)

    def _accept(self):
        down, _ = self.listener.accept()
        up = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        up.connect(self.path)
        self.pairs.append(Pair(down, up))

    @staticmethod
    def _receive(sock):
        try:
            data, fds, _, _ = socket.recv_fds(sock, 1 << 17, 8, socket.MSG_CMSG_CLOEXEC)
            return data, list(fds)
        except ConnectionError:
            return b"", []

    def _from_ctxd(self, p):
        data, fds = self._receive(p.down)
        f = Frame(data) if data else None
        if f and (p.held or f.kind in self.holds):
            f.data = data
            p.held.append((f, fds))
        elif f:
            self._send(p.up, data, fds)
        elif self.holds:
            p.ended = True
        else:
            self._drop(p)

    def _from_spawner(self, p):
        data, fds = self._receive(p.up)
        if data:
            self._send(p.down, data, fds)
        else:
            self._drop(p)
