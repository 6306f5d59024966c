#!/bin/sh
# machine-init.sh - what process 1 of a machine of cgroup.t and powercut.t does first, and tells with: sourced by theirs.
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs run /run
mount -t tmpfs tmp /tmp
mount -t cgroup2 cgroup /sys/fs/cgroup
exec 3>/dev/ttyS1
stty raw <&3 2>/dev/null || stty -F /dev/ttyS1 raw
ip link set lo up 2>/dev/null
for module in /modules/*.ko; do
	insmod "$module"
done

# One write for each line, so that the lines of several processes do not mix.
say() {
	echo "$*" >&3
}
die() {
	say "died $*"
	sync
	poweroff -f
}
until_true() {
	n=0
	until "$@"; do
		n=$((n + 1))
		[ $n -lt 3600 ] || die "waited in vain for: $*"
		usleep 50000
	done
}
# Is ctxd there? Its pid is $ctxd.
# shellcheck disable=SC2154 # for who sources this to set
answers() {
	kill -0 "$ctxd" 2>/dev/null || die "ctxd ended"
	ctxctl status >/dev/null 2>&1
}
