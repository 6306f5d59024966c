#!/bin/sh
# powercut-init.sh - process 1 of the machine of powercut.t: mounts the disk, starts ctxd, lets the test look at what is there,
# then makes load until the power goes, or lets everything come to its end.
#
# All that the test is to know is told, a line each, on ttyS1 (descriptor 3), which is a file outside of the machine. /orders,
# written by the test for this boot, sets BOOT, OPTIONS (of the mount), RUN (run directory), WORK (load or drain) and the
# function `again`, which asks under keys of earlier boots with what is below.
# shellcheck source=tests/host/machine-init.sh
. /machine-init.sh

# The database as it lies there, onto the second disk: what may look at it, and so change it, is outside.
snapshot() { # NUMBER
	wal=
	[ ! -e /disk/state/ctxd.db-wal ] || wal=ctxd.db-wal
	(cd /disk/state && tar -cf - ctxd.db ${wal:+"$wal"}) | dd of=/dev/vdb bs=1M seek=$(($1 * 64)) 2>/dev/null
	sync /dev/vdb
	say "snapshot $1"
}
none_left() {
	[ -z "$(ctxctl list --state queued,running,stopping,open | sed 1d)" ]
}

# As powercut-load.sh submitted it, once more: NAME SECONDS CODE BYTES
keyed() {
	say "try $1"
	id=$(job pattern "$1" "$4" | ctxctl submit -n "$1" -t 10h -c slow -k "$1" -v "tag=$1" --stdin - -- /bin/job "$1" "$2" "$3")
	say "keyed $1 ${id:-none}"
}
# Something else under the same key.
conflict() { # NAME
	ctxctl submit -k "$1" -- /bin/true >/dev/null 2>&1
	say "conflict $1 $?"
}

# shellcheck disable=SC1091 # made for each boot
. /orders
mount -t ext4 -o "$OPTIONS" /dev/vda /disk || die "mount"
if [ -e /disk/state/ctxd.db ]; then
	snapshot 0
else
	say empty
fi
export CTXD_SOCKET=/run/ctxd.sock
CTXD_CHECK=1 HOME=/ ctxd --user --config /ctxd.conf --state-dir /disk/state --runtime-dir "$RUN" --socket "$CTXD_SOCKET" \
	3>&- </dev/null >/dev/console 2>&1 &
ctxd=$!
until_true answers
# A ctxd that stands still leaves its files as a crash would.
kill -STOP "$ctxd"
snapshot 1
kill -CONT "$ctxd"
until_true answers
ctxctl doctor >/dev/console 2>&1
say "doctor $?"
again
say "$WORK"

if [ "$WORK" = load ]; then
	for worker in short short keyed keyed long tree; do
		w=$((w + 1))
		/load "$worker" "$BOOT.$w" &
	done
	while :; do
		answers
		usleep 500000
	done
fi
ctxctl cancel --all-matching --class sleep >/dev/null 2>&1
for scope in $(ctxctl list --state open | sed '1d; s/^ *\([0-9]*\).*/\1/'); do
	ctxctl scope close "$scope" >/dev/null
done
until_true none_left
kill -TERM "$ctxd"
wait "$ctxd"
say "stopped $?"
snapshot 2
until_true umount /disk # the spawner goes after ctxd
say over
poweroff -f
