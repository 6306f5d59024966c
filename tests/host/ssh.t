#!/usr/bin/python3
# test-timeout: 200
"""`ctxctl -H` over the real ssh, to a real sshd that listens nowhere (ssh starts it): what tests/scenario/73-bridge.t shows with a
program in its place. Needs root, as a login does."""
import os
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scenario", "lib"))
from ctxtest import *
from ctxtest import CTXCTL, TIMEOUT, ctl_env, pids_with, run

d = Daemon()
D = d.dir
os.makedirs("/run/sshd", exist_ok=True)  # sshd insists
for key in ("host", "user"):
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{D}/{key}"], check=True)
os.mkdir(f"{D}/bin")
os.symlink(CTXCTL, f"{D}/bin/ctxctl")
with open(f"{D}/sshd_config", "w", encoding="utf-8") as f:
    f.write(f"""HostKey {D}/host
AuthorizedKeysFile {D}/user.pub
StrictModes no
UsePAM no
PermitRootLogin yes
PermitUserEnvironment no
AcceptEnv none
SetEnv PATH={D}/bin:/usr/bin:/bin CTXD_SOCKET={d.sock} THERE=yes
""")
with open(f"{D}/ssh_config", "w", encoding="utf-8") as f:
    f.write(f"""Host web1 nokey
ProxyCommand setsid /usr/sbin/sshd -i -f {D}/sshd_config -E {D}/sshd.log
User root
StrictHostKeyChecking no
UserKnownHostsFile {D}/known
LogLevel ERROR
BatchMode yes
IdentitiesOnly yes
Host web1
IdentityFile {D}/user
Host nokey
IdentityFile {D}/host
Host shared
HostName web1
ProxyCommand setsid /usr/sbin/sshd -i -f {D}/sshd_config -E {D}/sshd.log
IdentityFile {D}/user
User root
StrictHostKeyChecking no
UserKnownHostsFile {D}/known
LogLevel ERROR
ControlMaster auto
ControlPath {D}/control
ControlPersist 60
""")
HERE = {"CTXD_SSH": f"ssh -F {D}/ssh_config", "CTXD_SOCKET": "/nowhere"}


def there(*args, host="web1", **kw):
    return d.ctl("-H", host, *args, env=HERE, **kw)


def sessions():
    """Of ssh and sshd that are ours."""
    return pids_with(f"{D}/ssh", ("cmdline",))


@case("submit, wait, logs, list: with nothing said but what ctxctl says")
def _():
    r = there("submit", "-n", "far", "--shell", "pwd; echo $THERE")
    is_((r.code, r.err), (0, ""))
    id = int(r.out)
    r = there("wait", id)
    is_((r.code, r.out, r.err), (0, "", ""))
    is_(there("logs", id).out, os.path.expanduser("~root") + "\nyes\n")
    like(there("list").out, rf"^ *{id} +succeeded")
    wait_until(lambda: not sessions(), "ssh and sshd to end")


@case("run: streams, standard input, exit code")
def _():
    r = there("run", "--split-output", "--stdin", "-", "--shell", "cat; echo error >&2; exit 7", input="x" * 3000000)
    is_((r.code, len(r.out), r.err), (7, 3000000, "error\n"))


@case("run: an interrupt cancels; with the client all goes")
def _():
    for sig, code, cause in ((signal.SIGINT, 122, "requested"), (signal.SIGKILL, -signal.SIGKILL, "client_gone")):
        p = subprocess.Popen([CTXCTL, "-H", "web1", "run", "--shell", "echo up; exec sleep 1000"], env=ctl_env(None, HERE),
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
        is_(p.stdout.readline(), b"up\n")
        id = d.json("list", "--state", "running")[-1]["id"]
        (p.send_signal if sig == signal.SIGKILL else lambda s: os.killpg(p.pid, s))(sig)
        p.communicate(timeout=TIMEOUT)
        is_(p.returncode, code)
        is_(d.wait_state(id, "canceled")["cause_code"], cause)
        wait_until(lambda: not sessions(), "ssh and sshd to end")


@case("one connection that all share")
def _():
    for i in range(3):
        r = there("run", "echo", i, host="shared")
        is_((r.code, r.out, r.err), (0, f"{i}\n", ""))
    with open(f"{D}/sshd.log", encoding="utf-8") as f:
        before = f.read().count("Accepted publickey")
    r = there("list", host="shared")
    is_(r.code, 0)
    with open(f"{D}/sshd.log", encoding="utf-8") as f:
        is_(f.read().count("Accepted publickey"), before)
    is_(run(["ssh", "-F", f"{D}/ssh_config", "-O", "exit", "shared"]).code, 0)
    wait_until(lambda: not sessions(), "ssh and sshd to end")


@case("a host that lets nobody in, and one that is not there")
def _():
    r = there("list", host="nokey")
    is_((r.code, r.out), (5, ""))
    like(r.err, "Permission denied")
    like(r.err, "cannot reach nokey: ssh failed")
    r = there("list", host="no-such-host.invalid")
    is_((r.code, r.out), (5, ""))
    like(r.err, "no-such-host.invalid")
    is_(there("list", host="-oProxyCommand=touch x").code, 2)


main()
