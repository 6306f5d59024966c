"""inject.py - a process made to do what it would not: system calls put into it with ptrace, as an attacker would who got hold of
it. x86_64 alone; needs the right to trace.

    with Hijacked(pid) as h:
        is_(h.call("openat", h.text("/etc/shadow"), 0), -errno.EACCES)
"""
import ctypes
import os
import platform
import struct

from ctxtest import need, proc_state, wait_until

__all__ = ["CAN_HIJACK", "Hijacked"]

ATTACH, GETREGS, SETREGS, SINGLESTEP, DETACH = 16, 12, 13, 9, 17
REGS = ("r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs eflags rsp ss fs_base gs_base ds es fs gs").split()
SYSCALL = b"\x0f\x05"
ROOM = 8192  # below the stack: more than the red zone, less than what is mapped
CALLS = {
    "getpid": 39, "mmap": 9, "socket": 41, "clone": 56, "execve": 59, "kill": 62, "setuid": 105, "ptrace": 101, "capset": 126,
    "prctl": 157, "mount": 165, "openat": 257, "unlinkat": 263, "renameat": 264, "linkat": 265, "close": 3, "memfd_create": 319, "bpf": 321,
    "process_vm_writev": 311, "chmod": 90, "fchown": 93, "truncate": 76, "init_module": 175, "setns": 308, "unshare": 272,
}
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.restype = ctypes.c_long
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


def _can():
    try:
        with open("/proc/sys/kernel/yama/ptrace_scope", encoding="ascii") as f:
            if f.read().strip() == "3":
                return False
    except OSError:
        pass
    with open("/proc/self/status", encoding="ascii") as f:
        caps = next(int(line.split()[1], 16) for line in f if line.startswith("CapEff"))
    return platform.machine() == "x86_64" and bool(caps >> 19 & 1)


CAN_HIJACK = _can()


class Hijacked:
    """A process that waits in a system call, which then ends with EINTR."""

    def __init__(self, pid):
        self.pid = pid
        self.regs = None
        self.free = 0

    def _ptrace(self, what, addr=None, data=None):
        r = libc.ptrace(what, self.pid, addr, data)
        need(r >= 0, f"ptrace {what}: {os.strerror(ctypes.get_errno())}")

    def _get(self):
        buf = ctypes.create_string_buffer(8 * len(REGS))
        self._ptrace(GETREGS, None, ctypes.cast(buf, ctypes.c_void_p))
        return dict(zip(REGS, struct.unpack(f"={len(REGS)}Q", buf.raw)))

    def _set(self, regs):
        buf = ctypes.create_string_buffer(struct.pack(f"={len(REGS)}Q", *(regs[n] % 2**64 for n in REGS)))
        self._ptrace(SETREGS, None, ctypes.cast(buf, ctypes.c_void_p))

    def _wait(self):
        _, status = os.waitpid(self.pid, 0x40000000)
        need(os.WIFSTOPPED(status), f"process {self.pid} did not survive: {status:#x}")

    def _try(self):
        """Caught where a system call was just left?"""
        self._ptrace(ATTACH)
        self._wait()
        self.regs = self._get()
        with open(f"/proc/{self.pid}/mem", "rb", buffering=0) as f:
            f.seek(self.regs["rip"] - 2)
            if f.read(2) == SYSCALL and self.regs["orig_rax"] < 1000:
                return True
        self._ptrace(DETACH)
        return False

    def __enter__(self):
        wait_until(lambda: proc_state(self.pid) == "S" and self._try(), f"process {self.pid} to wait in a system call")
        self.free = self.regs["rsp"] - ROOM
        return self

    def __exit__(self, *_):
        self._set({**self.regs, "rax": -4, "orig_rax": -1})
        self._ptrace(DETACH)
        return False

    def text(self, data):
        """Address of DATA in its memory."""
        data = data if isinstance(data, bytes) else data.encode() + b"\0"
        at = self.free
        self.free += (len(data) + 15) // 16 * 16
        need(self.free < self.regs["rsp"] - 512, "room")
        with open(f"/proc/{self.pid}/mem", "r+b", buffering=0) as f:
            f.seek(at)
            f.write(data)
        return at

    def call(self, name, *args):
        """What the call returns: negative errno, as the kernel gives it."""
        regs = {**self.regs, "rip": self.regs["rip"] - 2, "rax": CALLS[name], "orig_rax": -1}
        regs.update(zip(("rdi", "rsi", "rdx", "r10", "r8", "r9"), args + (0,) * (6 - len(args))))
        self._set(regs)
        self._ptrace(SINGLESTEP)
        self._wait()
        r = self._get()["rax"]
        return r - 2**64 if r >= 2**63 else r
