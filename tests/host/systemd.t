#!/bin/bash
# systemd.t [PART...] - the units in a real systemd, that of each Debian release: what `make install` installs is booted in a
# container, twice over the same disk, and the parts in inside/ do there what an administrator and two users would. With
# PART, only those besides the first whose names begin so. The release that runs here is an overlay of this system; the
# other one is a tree of packages (tree.sh), in which the programs are built. Needs root, debootstrap and systemd-nspawn.
# test-timeout: 1100
set -u
here=$(dirname -- "$(readlink -f -- "$0")")
top=$here/../..
. "$here/tree.sh"
T=$(mktemp -d "${TMPDIR:-/tmp}/ctx-nspawn.XXXXXX") || exit 1
# shellcheck disable=SC2317 # called by the traps
clean() {
	tree_close
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

# Sets root: a system of SUITE to write to, ctx installed in it.
make_root() { # SUITE
	local own lower=/ newer=no
	own=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
	[ "$1" = "$own" ] || lower=$(tree_host "$1") || die "no tree of $1"
	mkdir "$T/over"
	mount -t tmpfs -o mode=755 ctx "$T/over" || die "no tmpfs"
	mkdir "$T/over/up" "$T/over/work" "$T/over/root"
	root=$T/over/root
	mount -t overlay overlay -o "lowerdir=$lower,upperdir=$T/over/up,workdir=$T/over/work" "$root" ||
		die "no overlay over $lower"
	if [ "$lower" = / ]; then
		make -s -C "$top" install DESTDIR="$root" B="${CTX_BUILD:-build}" >"$T/install.log" 2>&1
	else
		# What was compiled of this clone last time is kept, by one at a time.
		exec {lock}>"$lower.build.lock"
		flock "$lock" || die "cannot lock $lower.build.lock"
		TREE=$root
		[ "$(cat "$lower.build/clone" 2>/dev/null)" = "$TREE_CLONE" ] || rm -rf "$lower.build"
		mkdir -p "$lower.build"
		printf '%s\n' "$TREE_CLONE" >"$lower.build/clone"
		TREE_BIND=("$TREE_CLONE /ctx-src" "$lower.build /ctx-build")
		[ "$(chroot "$root" systemctl --version | sed -n '1s/^systemd \([0-9]*\).*/\1/p')" -lt 253 ] || newer=yes
		tree_run make -s -C /ctx-src -j2 install B=/ctx-build NOTIFY_RELOAD="$newer" >"$T/install.log" 2>&1
	fi || die "$1: make install failed: $(tail -n 5 "$T/install.log")"
	[ "$lower" = / ] || exec {lock}>&-
}

# What of the host must not be in it, the test, and who takes part.
furnish() {
	local user manager
	rm -rf "$root/var/log/journal" "$root/var/lib/ctxd" "$root/etc/ctxd/ctxd.conf.d"
	mkdir -p "$root/var/log/journal" "$root/etc/ctxd/ctxd.conf.d" "$root/ctx-test"
	cp -r "$here/inside" "$root/ctx-test/inside"
	mkdir -p "$root/etc/systemd/logind.conf.d"
	printf '[Login]\nUserStopDelaySec=0\n' >"$root/etc/systemd/logind.conf.d/test.conf"
	# The parts start and stop units more often than systemd takes for sound.
	for manager in system user; do
		mkdir -p "$root/etc/systemd/$manager.conf.d"
		printf '[Manager]\nDefaultStartLimitIntervalSec=0\n' >"$root/etc/systemd/$manager.conf.d/test.conf"
	done
	for user in alice bob; do
		chroot "$root" useradd -m -s /bin/sh "$user" >/dev/null 2>&1 || die "useradd $user failed"
	done
	cat >"$root/etc/systemd/system/ctx-test.service" <<-UNIT
		[Unit]
		Description=The test
		After=basic.target
		[Service]
		Type=oneshot
		EnvironmentFile=/ctx-test/env
		ExecStart=/bin/bash /ctx-test/inside/run.sh
		StandardOutput=file:/ctx-test/tap
		StandardError=file:/ctx-test/err
		ExecStopPost=/bin/systemctl --no-block poweroff
		TimeoutStartSec=400
	UNIT
	# Only what every boot needs, and the test: services that the host happens to have are not started.
	cat >"$root/etc/systemd/system/ctx-test.target" <<-UNIT
		[Unit]
		Requires=basic.target ctx-test.service
		After=basic.target
		AllowIsolate=yes
	UNIT
}

n=0 failed=0
point() { # STATUS NAME
	n=$((n + 1))
	if [ "$1" = 0 ]; then
		echo "ok $n - $2"
	else
		echo "not ok $n - $2"
		failed=1
	fi
}

show_logs() {
	sed 's/^/# inside: /' "$root/ctx-test/err" 2>/dev/null | tail -n 40
	tail -n 15 "$T/console" | tr -d '\r\033' | sed 's/^/# console: /'
	journalctl --no-pager -q -D "$root/var/log/journal" -o short-monotonic -u 'ctx*' 2>/dev/null | tail -n 120 | sed 's/^/# journal: /'
}

# One life of the machine. What is said inside is numbered on; a plan that is missing is a failure.
boot() { # NAME NUMBER PART...
	local name=$1 rc line bad=1 before=$failed
	rm -f "$root/ctx-test/tap" "$root/ctx-test/err"
	printf '%s\n' "BOOT=$2" "PARTS=${*:3}" >"$root/ctx-test/env"
	tree_boot "$root" "ctx-test-$$" 460 systemd.unit=ctx-test.target >"$T/console"
	rc=$?
	while IFS= read -r line; do
		case $line in
		"ok "*) point 0 "$name: ${line#ok * - }" ;;
		"not ok "*) point 1 "$name: ${line#not ok * - }" ;;
		1..*) bad=0 ;;
		*) printf '%s\n' "$line" ;;
		esac
	done < <(cat "$root/ctx-test/tap" 2>/dev/null)
	[ "$rc" = 0 ] || bad=1
	point "$bad" "$name: boot $2 came to its end (nspawn: $rc)"
	[ "$failed" = "$before" ] || show_logs
}

for suite in bookworm trixie; do
	SECONDS=0
	make_root "$suite"
	furnish
	echo "# $suite: $(chroot "$root" systemctl --version | head -n 1); made in $SECONDS s"
	boot "$suite" 1 "$@"
	boot "$suite" 2 "$@"
	if ! umount "$T/over/root" || ! umount "$T/over" || ! rmdir "$T/over"; then
		die "cannot unmount $T/over"
	fi
	echo "# $suite took $SECONDS s"
done
echo "1..$n"
exit "$failed"
