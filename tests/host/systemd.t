#!/bin/bash
# systemd.t - the units in a real systemd: what is installed is booted in a container over a throw-away overlay of this system,
# and the parts in inside/ do there what an administrator and two users would. Their TAP is ours. Needs root and systemd-nspawn.
# test-timeout: 240
here=$(dirname -- "$(readlink -f -- "$0")")
top=$here/../..
machine=ctx-test-$$
T=$(mktemp -d "${TMPDIR:-/tmp}/ctx-nspawn.XXXXXX") || exit 1
clean() {
	for dir in "$T/over/root" "$T/over"; do
		! mountpoint -q "$dir" || umount "$dir" || umount -l "$dir"
	done
	rm -rf --one-file-system "$T"
}
trap clean EXIT
trap 'exit 130' INT TERM
die() {
	echo "# $*"
	echo "Bail out! $*"
	exit 1
}

mkdir "$T/over"
mount -t tmpfs -o mode=755 ctx "$T/over" || die "no tmpfs"
mkdir "$T/over/up" "$T/over/work" "$T/over/root"
root=$T/over/root
mount -t overlay overlay -o "lowerdir=/,upperdir=$T/over/up,workdir=$T/over/work" "$root" || die "no overlay over /"

make -s -C "$top" install DESTDIR="$root" B="${CTX_BUILD:-build}" >"$T/install.log" 2>&1 ||
	die "make install failed: $(tail -n 5 "$T/install.log")"
# One thing of the host must not be in it: a journal of its own, so that only this boot's lines are read.
rm -rf "$root/var/log/journal" "$root/var/lib/ctxd" "$root/etc/ctxd/ctxd.conf.d"
mkdir -p "$root/etc/ctxd/ctxd.conf.d" "$root/ctx-test"
cp -r "$here/inside" "$root/ctx-test/inside"
for user in alice bob; do
	chroot "$root" useradd -m -s /bin/sh "$user" >/dev/null 2>&1 || die "useradd $user failed"
done
cat >"$root/etc/systemd/system/ctx-test.service" <<'UNIT'
[Unit]
Description=The test
After=basic.target
[Service]
Type=oneshot
ExecStart=/bin/bash /ctx-test/inside/run.sh
StandardOutput=file:/ctx-test/tap
StandardError=file:/ctx-test/err
ExecStopPost=/bin/systemctl --no-block poweroff
TimeoutStartSec=180
UNIT
# Only what every boot needs, and the test: services that the host happens to have are not started.
cat >"$root/etc/systemd/system/ctx-test.target" <<'UNIT'
[Unit]
Requires=basic.target ctx-test.service
After=basic.target
AllowIsolate=yes
UNIT

SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 timeout --kill-after=10 220 systemd-nspawn --quiet -D "$root" --register=no --keep-unit --boot \
	-M "$machine" --private-network --console=pipe systemd.unit=ctx-test.target >"$T/console" 2>&1 </dev/null
rc=$?
cat "$root/ctx-test/tap" 2>/dev/null
if [ "$rc" != 0 ] || ! grep -q '^1\.\.' "$root/ctx-test/tap" 2>/dev/null || grep -q '^not ok' "$root/ctx-test/tap"; then
	sed 's/^/# inside: /' "$root/ctx-test/err" 2>/dev/null | tail -n 40
	tail -n 15 "$T/console" | tr -d '\r\033' | sed 's/^/# console: /'
	for log in "$root"/ctx-test/journal*; do
		[ ! -e "$log" ] || tail -n 80 "$log" | sed 's/^/# journal: /'
	done
fi
[ "$rc" = 0 ] || { echo "# nspawn ended with $rc"; exit 1; }
! grep -q '^not ok' "$root/ctx-test/tap"
