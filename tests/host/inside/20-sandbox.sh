# 20-sandbox.sh - ctxd in its sandbox, as systemd makes it, and that of all this nothing reaches a job.
# shellcheck shell=bash
plan 48
status_of() { sed -n "s/^$2:[[:space:]]*//p" "/proc/$1/status"; } # PID FIELD
spaces() { # PID: its namespaces, in one line
	local space
	for space in cgroup ipc mnt net pid user uts; do
		printf '%s ' "$(readlink "/proc/$1/ns/$space")"
	done
}
ctxd=$(prop ctxd.service MainPID)
spawner=$(prop ctx-spawner.service MainPID)
none=0000000000000000

# ctxd: nothing.
exits 0 "systemd-analyze security: 1.5 or less" systemd-analyze security --no-pager --threshold=15 ctxd.service
# shellcheck disable=SC2154 # set by exits
tail -n 1 <<<"$out" | sed 's/^/# /'
for set in CapInh CapPrm CapEff CapBnd CapAmb; do
	is "$(status_of "$ctxd" "$set")" "$none" "ctxd has no $set"
done
is "$(status_of "$ctxd" NoNewPrivs) $(status_of "$ctxd" Seccomp)" "1 2" "nor can it gain any; its system calls are filtered"
is "$(status_of "$ctxd" Groups | xargs -n1 | sort -n | xargs)" \
	"$({ id -g ctxd && getent group systemd-journal | cut -d: -f3; } | sort -n | xargs)" "it is of no other group but that which reads the journal"
for space in mnt net ipc; do
	[ "$(readlink "/proc/$ctxd/ns/$space")" != "$(readlink "/proc/1/ns/$space")" ]
	ok $? "it has a namespace of its own: $space"
done
inside() { nsenter -t "$ctxd" -m -- "$@" 2>&1; } # as root: what is missing there is missing for everybody
for path in /usr /etc /run /run/ctxd /var/log /var/lib /boot /opt; do
	[ -d "$path" ] || continue
	[[ $(inside touch "$path/ctx-sandbox") == *"Read-only file system"* ]] || break
	path=
done
is "$path" "" "it sees the system read-only"
is "$(inside find /home /root /run/user -mindepth 1)" "" "and no home"
exits 0 "its state directory it may write" inside sh -c 'touch /var/lib/ctxd/sandbox && rm /var/lib/ctxd/sandbox'
touch /tmp/ctx-sandbox
exits 0 "its /tmp is its own" inside test ! -e /tmp/ctx-sandbox

# The spawner: few capabilities of its own, but nothing that would reach a job.
caps=$(status_of "$spawner" CapPrm)
# chown, fowner, kill, setgid, setuid, sys_nice, sys_resource: of these, what a container has
is "$caps" "$(printf %016x $((0x18000e9 & 0x$(status_of 1 CapBnd))))" "the spawner has seven capabilities"
is "$(status_of "$spawner" CapEff)" "$caps" "no others in effect"
is "$(status_of "$spawner" CapBnd)" "$(status_of 1 CapBnd)" "the bounding set is whole"
is "$(status_of "$spawner" NoNewPrivs) $(status_of "$spawner" Seccomp)" "0 $(status_of 1 Seccomp)" "no filter"
is "$(spaces "$spawner")" "$(spaces 1)" "the namespaces of the host"
is "$(prop ctx-spawner.service KeyringMode)" inherit "and no keyring that its jobs would share"

# A job and its monitor.
id=$(as alice ctxctl submit sleep 1000)
wait_until running "$id"
pid=$(field "$id" pid)
monitor=$(status_of "$pid" PPid)
is "$(cat "/proc/$monitor/comm")" ctx-monitor "a job's parent is its monitor"
is "$(status_of "$monitor" CapPrm) $(status_of "$monitor" CapEff)" "0000000000000020 0000000000000020" "which keeps CAP_KILL"
is "$(status_of "$monitor" NoNewPrivs) $(status_of "$monitor" Seccomp)" "1 2" "and is filtered"
for set in CapInh CapPrm CapEff CapAmb; do
	is "$(status_of "$pid" "$set")" "$none" "the job has no $set"
done
is "$(status_of "$pid" CapBnd)" "$(status_of 1 CapBnd)" "its bounding set is whole"
is "$(status_of "$pid" NoNewPrivs) $(status_of "$pid" Seccomp)" "0 $(status_of 1 Seccomp)" "it may gain rights, and call what it likes"
is "$(spaces "$pid")" "$(spaces 1)" "it lives in the namespaces of the host"
mounts() { cut -d' ' -f5- "/proc/$1/mountinfo" | sort; }
same_mounts() { [ "$(mounts "$pid")" = "$(mounts 1)" ]; } # whatever the manager mounts between two looks
wait_until same_mounts
is "$(mounts "$pid")" "$(mounts 1)" "and sees the host's mounts"
noted() { journalctl --no-pager -q -u ctx-spawner.service | grep -q "$1"; }
wait_until noted "job=$id\.1 starts uid=$(id -u alice) gid=$(id -g alice) monitor=$monitor"
ok $? "the spawner has noted its start"
exits 0 "it is cancelled" as alice ctxctl cancel --wait "$id"

# What a job can do.
exits 0 "a job writes to its home and sees /tmp" \
	as alice ctxctl run -- sh -c 'echo by a job >/home/alice/from-a-job && ls /tmp/ctx-sandbox && touch /tmp/from-a-job'
is "$(cat /home/alice/from-a-job)" "by a job" "and it is there"
[ -e /tmp/from-a-job ]
ok $? "in both"
rm -f /tmp/from-a-job /tmp/ctx-sandbox /home/alice/from-a-job
like "$(as alice ctxctl run -- sh -c 'touch /etc/by-a-job' 2>&1)" "Permission denied" "what is not hers is not, for the usual reason"
install -m 4755 "$(type -P id)" /usr/local/bin/setuid-id
is "$(as alice ctxctl run -- setuid-id -u)" 0 "a setuid program works in a job"
rm /usr/local/bin/setuid-id
exits 0 "so do sockets, and memory that is written and executed" as alice ctxctl run -- python3 -c 'import mmap, socket
s = socket.socket(socket.AF_INET); s.bind(("127.0.0.1", 0))
mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)'
as alice unshare -r true 2>/dev/null
exits $? "and namespaces, as elsewhere" as alice ctxctl run -- unshare -r true
is "$(as alice ctxctl run -- sh -c 'ulimit -c; umask')" "$(as alice sh -c 'ulimit -c; umask')" "limits and umask are those of the host"

# ctxd can do its work in there.
as alice mkfifo /home/alice/gate
id=$(as alice ctxctl submit -- sh -c 'echo one; read x </home/alice/gate; echo two')
is "$(field "$id" user)" alice "names of users are known"
as alice ctxctl logs -f "$id" >/ctx-test/followed &
wait_until grep -q one /ctx-test/followed
open_gate /home/alice/gate
wait $!
is "$(tr '\n' ' ' </ctx-test/followed)" "one two " "output is followed as it grows"
rm /home/alice/gate
is "$(echo typed | as alice ctxctl run --stdin - -- cat)" typed "standard input is kept for a job"
exits 0 "a backup is made" ctxctl backup /ctx-test/backup.db

# Who is nobody to ctxd cannot keep it from starting.
as bob python3 -c 'import fcntl, os, signal
fcntl.flock(os.open("/run/ctxd", os.O_RDONLY), fcntl.LOCK_EX)
with open("/home/bob/held", "w") as f:
    f.write(str(os.getpid()))
signal.pause()' &
systemctl stop ctxd.service
wait_until test -s /home/bob/held
exits 0 "it starts though a stranger holds the lock of /run/ctxd" systemctl start ctxd.service
exits 0 "and serves" as alice ctxctl run true
kill "$(cat /home/bob/held)"
wait $!
rm /home/bob/held
