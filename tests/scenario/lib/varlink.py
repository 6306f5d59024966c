"""varlink.py - a small Varlink client for scenario tests: the standard library only, and a bound on every wait.

    from varlink import Varlink, VarlinkError, VarlinkClosed, VarlinkTimeout

    with Varlink(d.socket) as v:                        # a path of any length
        job = v.call("Submit", argv=["true"])["job"]    # a name without a dot is of io.ctxd
        v.call("org.varlink.service.GetInfo")
        for r in v.call_more("Wait", ids=[job["id"]]):  # ends with the last reply
            ...
        try:
            v.call("Get", id=999)
        except VarlinkError as e:                       # e.name == "io.ctxd.NoSuchJob", e.params == {"id": 999}
            ...
        v.pipeline([("Get", {"id": 1}), ("Stats", {})])  # all sent at once; replies in order, an error as VarlinkError

Below that: send(method, params, more=, oneway=, upgrade=) and receive() -> (params, continues) take one message each;
send_raw(bytes), receive_raw(), closed() and half_close() are for what no decent client does. A timeout (seconds, TIMEOUT if not
given) is on each wait, can be set per object (`v.timeout = 2`) and raises VarlinkTimeout; the end of the connection raises VarlinkClosed.
"""
import json
import os
import select
import socket
import time

__all__ = ["Varlink", "VarlinkError", "VarlinkClosed", "VarlinkTimeout"]

INTERFACE = "io.ctxd"
TIMEOUT = float(os.environ.get("CTX_TEST_WAIT", "60"))
READ = 1 << 18
SUN_PATH = 107


class VarlinkError(Exception):
    """An error reply: NAME is the full error name, PARAMS its parameters."""

    def __init__(self, name, params):
        super().__init__(f"{name} {json.dumps(params)}")
        self.name = name
        self.params = params

    @property
    def short(self):
        """The name without the interface."""
        return self.name.rpartition(".")[2]


class VarlinkClosed(Exception):
    """The other side closed the connection; `rest` is what had come of the next message."""

    def __init__(self, rest=b""):
        super().__init__(f"connection closed, {len(rest)} bytes of a message before it")
        self.rest = rest


class VarlinkTimeout(Exception):
    """Nothing came (or could be sent) in time."""


def _patiently(sock, path, timeout):
    """A socket with a timeout does not wait for room among those who were not accepted yet: it is told EAGAIN."""
    end = time.monotonic() + timeout
    while True:
        try:
            return sock.connect(path)
        except BlockingIOError:
            if time.monotonic() > end:
                raise
        time.sleep(0.01)  # allow-sleep: a bounded poll


def _connect(sock, path, timeout):
    if len(os.fsencode(path)) <= SUN_PATH:
        return _patiently(sock, path, timeout)
    fd = os.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return _patiently(sock, f"/proc/self/fd/{fd}/{os.path.basename(path)}", timeout)
    finally:
        os.close(fd)


def encode(method, params=None, **flags):
    """The bytes of a call, its NUL included."""
    message = {"method": method if "." in method else f"{INTERFACE}.{method}"}
    if params is not None:
        message["parameters"] = params
    message.update((k, v) for k, v in flags.items() if v)
    return json.dumps(message, ensure_ascii=False).encode("utf-8", "surrogateescape") + b"\0"


class Varlink:
    """One connection."""

    def __init__(self, path, timeout=TIMEOUT):
        self.timeout = timeout
        self.buf = bytearray()
        self.scanned = 0
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self.sock.settimeout(timeout)
        try:
            _connect(self.sock, path, timeout)
        except BaseException:
            self.sock.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    def fileno(self):
        return self.sock.fileno()

    def half_close(self):
        """No more calls; replies may still come."""
        self.sock.shutdown(socket.SHUT_WR)

    # Bytes.

    def _left(self, end):
        left = end - time.monotonic()
        if left <= 0:
            raise VarlinkTimeout
        self.sock.settimeout(left)

    def send_raw(self, data):
        """All of DATA as it is. VarlinkClosed when the other side does not take it any more."""
        end = time.monotonic() + self.timeout
        view = memoryview(data)
        while view:
            self._left(end)
            try:
                view = view[self.sock.send(view, socket.MSG_NOSIGNAL):]
            except socket.timeout:
                raise VarlinkTimeout from None
            except (BrokenPipeError, ConnectionResetError):
                raise VarlinkClosed from None

    def _read(self, end):
        """Whether something came; False at the end of the connection."""
        self._left(end)
        try:
            data = self.sock.recv(READ)
        except socket.timeout:
            raise VarlinkTimeout from None
        except ConnectionResetError:  # what came before it may still be there; then the end
            return self._read(end)
        self.buf += data
        return bool(data)

    def receive_raw(self):
        """The next message without its NUL, as bytes."""
        end = time.monotonic() + self.timeout
        while True:
            nul = self.buf.find(b"\0", self.scanned)
            if nul >= 0:
                message = bytes(self.buf[:nul])
                del self.buf[:nul + 1]
                self.scanned = 0
                return message
            self.scanned = len(self.buf)
            if not self._read(end):
                raise VarlinkClosed(bytes(self.buf))

    def closed(self):
        """Wait until the other side has closed. True if it did without a further message; TIMEOUT raises."""
        try:
            self.receive_raw()
        except VarlinkClosed as e:
            return not e.rest
        return False

    # Messages.

    def send(self, method, params=None, more=False, oneway=False, upgrade=False):
        self.send_raw(encode(method, params, more=more, oneway=oneway, upgrade=upgrade))

    def receive(self):
        """(parameters, continues) of the next reply. Raises VarlinkError for an error reply, ValueError for junk."""
        message = json.loads(self.receive_raw())
        if not isinstance(message, dict) or not isinstance(message.get("parameters", {}), dict):
            raise ValueError(f"not a reply: {message!r}")
        params = message.get("parameters", {})
        if message.get("error") is not None:
            raise VarlinkError(message["error"], params)
        return params, message.get("continues", False)

    # Calls.

    def _ask(self, method, params, **flags):
        """Send; whoever is refused may have been told so, and been closed, before that: then that is the reply."""
        try:
            self.send(method, params, **flags)
        except VarlinkClosed:
            pass

    def call(self, method, **params):
        """One call, one reply: its parameters."""
        self._ask(method, params)
        reply, continues = self.receive()
        if continues:
            raise ValueError(f"{method}: continues, though nobody asked for more")
        return reply

    def call_more(self, method, **params):
        """A call with `more`: yields the parameters of each reply. The call is sent at once, before the first is asked for."""
        self._ask(method, params, more=True)
        return self.replies()

    def replies(self):
        continues = True
        while continues:
            reply, continues = self.receive()
            yield reply

    def oneway(self, method, **params):
        self.send(method, params, oneway=True)

    def pipeline(self, calls):
        """Send all CALLS, (method, params) each, in one go, taking in what comes meanwhile; then collect as many replies. An error
        reply is in the list as the VarlinkError it is."""
        calls = list(calls)
        view = memoryview(b"".join(encode(m, p) for m, p in calls))
        end = time.monotonic() + self.timeout
        while view:
            self._left(end)
            readable, writable, _ = select.select([self.sock], [self.sock], [], self.sock.gettimeout())
            if readable and not self._read(end):
                break  # refused in the middle: what has come says why
            if writable:
                try:
                    view = view[self.sock.send(view, socket.MSG_NOSIGNAL | socket.MSG_DONTWAIT):]
                except (BlockingIOError, BrokenPipeError, ConnectionResetError):
                    pass
        out = []
        for _ in calls:
            try:
                out.append(self.receive()[0])
            except VarlinkError as e:
                out.append(e)
        return out
