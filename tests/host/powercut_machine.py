"""powercut_machine.py - the machine of powercut.t: QEMU (software emulation) with a Debian kernel and an initramfs of busybox, the
programs of the build, and what they link.

The kernel package is downloaded with apt-get and unpacked, not installed; the kernel is kept in /var/tmp/ctx-powercut for a week.
Its disks are virtio ones: that of a guest which asks for a write through the cache (FUA) flushes behind it, while the NVMe device of
QEMU 7.2 takes such a write like any other, and so would lose what the file system has committed.
"""
import fcntl
import glob
import io
import lzma
import os
import re
import shutil
import signal
import stat
import subprocess
import tarfile
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
CACHE = "/var/tmp/ctx-powercut"
PACKAGE = "linux-image-cloud-amd64"
SCRATCH = 64 << 20  # of one snapshot on the second disk
# What a disk needs, in the order of loading; what is not there is built in.
MODULES = ("virtio_ring", "virtio", "virtio_pci_legacy_dev", "virtio_pci_modern_dev", "virtio_pci", "virtio_blk")
CONF = """[limits]
running = 40
[class slow]
running = 2
[class sleep]
running = 5
"""


def command(*argv, cwd=None):
    """Its output; an exception with what it said, if it fails."""
    p = subprocess.run(argv, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    out = p.stdout.decode(errors="replace")
    if p.returncode:
        raise RuntimeError(f"{' '.join(argv)}: exit {p.returncode}: {out[-2000:]}")
    return out


def fetch_kernel(into):
    def package():
        out = command("apt-cache", "depends", "--no-recommends", "--no-suggests", PACKAGE)
        found = re.search(r"Depends: (linux-image-\S+)", out)
        if not found:
            raise RuntimeError(f"apt knows no kernel that {PACKAGE} depends on")
        command("apt-get", "-q", "-o", "Acquire::Retries=3", "-o", "APT::Sandbox::User=root", "download", found.group(1), cwd=into)

    try:
        package()
    except RuntimeError:
        command("apt-get", "-q", "-o", "Acquire::Retries=3", "update")
        package()
    command("dpkg", "-x", glob.glob(os.path.join(into, "*.deb"))[0], os.path.join(into, "x"))
    built_in = "".join(open(f, encoding="ascii").read() for f in glob.glob(os.path.join(into, "x/**/modules.builtin"), recursive=True))
    if "/ext4.ko" not in built_in:
        raise RuntimeError("the kernel has no ext4 built in")
    for n, name in enumerate(MODULES):
        for path in glob.glob(os.path.join(into, f"x/**/{name}.ko*"), recursive=True):
            with open(path, "rb") as f, open(os.path.join(into, f"{n}-{name}.ko"), "wb") as out:
                out.write(lzma.decompress(f.read()) if path.endswith(".xz") else f.read())
    shutil.copy(glob.glob(os.path.join(into, "x/boot/vmlinuz-*"))[0], os.path.join(into, "vmlinuz"))


def kernel():
    """A folder with vmlinuz and the modules of a disk. Of several who want it at a time one downloads it."""
    with open(CACHE + ".lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept():
            with tempfile.TemporaryDirectory(prefix="ctx-powercut.", dir="/var/tmp") as new:
                fetch_kernel(new)
                shutil.rmtree(CACHE, ignore_errors=True)
                os.mkdir(CACHE, 0o755)
                for path in glob.glob(os.path.join(new, "*.ko")) + [os.path.join(new, "vmlinuz")]:
                    shutil.copy(path, CACHE)
            open(os.path.join(CACHE, ".complete"), "wb").close()
    return CACHE


def kept():
    try:
        st = os.lstat(CACHE)
        if st.st_uid != os.getuid() or not stat.S_ISDIR(st.st_mode):
            raise RuntimeError(f"{CACHE} is not ours")
        return time.time() - os.stat(os.path.join(CACHE, ".complete")).st_mtime < 7 * 86400
    except FileNotFoundError:
        return False


class Archive:
    """An initramfs: cpio as the kernel reads it (newc)."""

    def __init__(self):
        self.out, self.made, self.inode = io.BytesIO(), set(), 0

    def _entry(self, name, mode, data=b""):
        self.inode += 1
        fields = [self.inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0]
        self.out.write(b"070701" + b"".join(b"%08X" % f for f in fields) + name.encode() + b"\0")
        self._pad()
        self.out.write(data)
        self._pad()

    def _pad(self):
        self.out.write(b"\0" * (-self.out.tell() % 4))

    def folder(self, path):
        path = path.strip("/")
        if path and path not in self.made:
            self.folder(os.path.dirname(path))
            self.made.add(path)
            self._entry(path, stat.S_IFDIR | 0o755)

    def text(self, path, data, mode=0o755):
        self.folder(os.path.dirname(path))
        self._entry(path.strip("/"), stat.S_IFREG | mode, data if isinstance(data, bytes) else data.encode())

    def file(self, path, source):
        with open(source, "rb") as f:
            self.text(path, f.read())

    def link(self, path, target):
        self.folder(os.path.dirname(path))
        self._entry(path.strip("/"), stat.S_IFLNK | 0o777, target.encode())

    def end(self):
        self._entry("TRAILER!!!", 0)
        return self.out.getvalue()


def add_programs(a, programs):
    """Busybox with all its names, PROGRAMS (where each is to be: what it is), and the libraries that these need."""
    a.file("bin/busybox", shutil.which("busybox"))
    for applet in command("busybox", "--list").split():
        if applet != "busybox":
            a.link("bin/" + applet, "busybox")
    libs = set()
    for name, path in programs.items():
        a.file(name, path)
        p = subprocess.run(["ldd", path], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
        libs |= set(re.findall(r"(?:=> |^\s*)(/\S+) \(0x", p.stdout.decode(), re.M))
    for lib in sorted(libs):
        a.file(lib, lib)


def base(build, modules):
    """What every boot has."""
    a = Archive()
    a.folder("modules")
    for path in sorted(modules):
        a.file("modules/" + os.path.basename(path), path)
    for d in ("dev", "proc", "sys", "run", "tmp", "disk"):
        a.folder(d)
    add_programs(a, {"bin/" + os.path.basename(prog).replace("powercut-", ""): os.path.join(build, prog)
                     for prog in ("ctxd", "ctxctl", "ctx-spawner", "tests/host/powercut-job")})
    a.file("init", os.path.join(HERE, "powercut-init.sh"))
    a.file("machine-init.sh", os.path.join(HERE, "machine-init.sh"))
    a.file("load", os.path.join(HERE, "powercut-load.sh"))
    a.text("ctxd.conf", CONF, 0o600)
    return a.end()


class Machine:
    """In its own directory DIR: image (the disk), scratch (snapshots), witness.N and console.N of boot N."""

    def __init__(self, build, disk_class):
        self.dir = tempfile.mkdtemp(prefix="ctx-powercut.")
        self.proc = None
        self.boot = 0
        self.kernel = kernel()
        self.base = base(build, glob.glob(os.path.join(self.kernel, "*.ko")))
        self.image = self.path("image")
        with open(self.image, "wb") as f:
            f.truncate(192 << 20)
        # Everything is initialized now: what the kernel would do later in the background is not what is tested.
        command("mke2fs", "-q", "-t", "ext4", "-b", "4096", "-J", "size=8", "-E", "lazy_itable_init=0,lazy_journal_init=0", self.image)
        self.disk = disk_class(self.image, self.path("nbd"))

    def path(self, name):
        return os.path.join(self.dir, name)

    def start(self, orders):
        self.boot += 1
        self.disk.power_on()
        with open(self.path("scratch"), "wb") as f:
            f.truncate(3 * SCRATCH)
        extra = Archive()
        extra.text("orders", orders)
        with open(self.path("initrd"), "wb") as f:
            f.write(self.base + extra.end())
        open(self.path(f"witness.{self.boot}"), "wb").close()
        argv = ["qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "512", "-nodefaults",
                "-no-user-config", "-nographic", "-no-reboot", "-kernel", os.path.join(self.kernel, "vmlinuz"), "-initrd", self.path("initrd"),
                "-append", "console=ttyS0 quiet panic=-1 mitigations=off random.trust_cpu=on",
                "-serial", "file:" + self.path(f"console.{self.boot}"), "-serial", "file:" + self.path(f"witness.{self.boot}"),
                "-blockdev", f"driver=nbd,node-name=disk,server.type=unix,server.path={self.path('nbd')}",
                "-blockdev", f"driver=file,node-name=scratch,filename={self.path('scratch')}",
                "-device", "virtio-blk-pci,drive=disk,addr=4", "-device", "virtio-blk-pci,drive=scratch,addr=5"]
        self.proc = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=open(self.path("qemu"), "ab"), stderr=subprocess.STDOUT)

    def running(self):
        return self.proc is not None and self.proc.poll() is None

    def lines(self, boot=None):
        """What was told on ttyS1; a line that was cut off is none."""
        with open(self.path(f"witness.{boot or self.boot}"), "rb") as f:
            text = f.read().decode(errors="replace").replace("\r", "")
        return text[:text.rfind("\n") + 1].splitlines()

    def kill(self):
        """The power goes: the machine stops where it is."""
        self.disk.die()
        if self.running():
            self.proc.send_signal(signal.SIGKILL)
        self.proc.wait()

    def snapshot(self, number, into):
        """Unpack a snapshot; the path of its database."""
        os.mkdir(into)
        with open(self.path("scratch"), "rb") as f:
            f.seek(number * SCRATCH)
            with tarfile.open(fileobj=io.BytesIO(f.read(SCRATCH))) as t:
                for name in t.getnames():
                    with open(os.path.join(into, os.path.basename(name)), "wb") as out:
                        shutil.copyfileobj(t.extractfile(name), out)
        return os.path.join(into, "ctxd.db")

    def words(self, count=30):
        """The last words of kernel and ctxd, for people."""
        with open(self.path(f"console.{self.boot}"), "rb") as f:
            return "\n".join(f.read().decode(errors="replace").replace("\r", "").splitlines()[-count:])

    def close(self):
        if self.proc:
            self.kill()
        self.disk.close()
        shutil.rmtree(self.dir, ignore_errors=True)
