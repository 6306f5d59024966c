#!/bin/bash
# package.sh SUITE TARBALL - what package.t looks at in one Debian release. Says `ok NAME` or `not ok NAME` for each point;
# status 0 when it came to its end. Everything is written to an overlay over a tree that is kept.
set -u
here=$(dirname -- "$(readlink -f -- "$0")")
. "$here/tree.sh"
suite=$1 tarball=$2
start=$SECONDS

point() { # STATUS NAME
	if [ "$1" = 0 ]; then echo "ok $2"; else echo "not ok $2"; fi
	return "$1"
}
show() { # FILE [LINES]
	tail -n "${2:-20}" "$1" | cut -c 1-300 | sed 's/^/# /'
}
took() {
	echo "# $suite: $* after $((SECONDS - start)) s"
}

base=$(tree_host "$suite") || exit 1
tree_open "$base"
log=$tree_tmp/log
name=$(basename "$tarball" .tar.gz)
version=${name#ctx-}
mkdir -p "$TREE/build/one" "$TREE/home/two/a/longer/way" "$TREE/ctx-test"
cp "$tarball" "$TREE/build/"

# The source package, too, in the release whose policy debian/control names.
what=--build=binary
[ "$suite" = bookworm ] || what=--build=full
tree_run sh -c "tar -C /build/one -xzf /build/$name.tar.gz && cd /build/one/$name && ! test -e .git &&
	DEB_BUILD_OPTIONS='parallel=2 nocheck' dpkg-buildpackage -us -uc $what" >"$log" 2>&1
point $? "dpkg-buildpackage, from the tarball" || { show "$log" && exit 1; }
! grep -E '(dpkg|dh)[-_a-z]*: (warning|error)' "$log" | grep -v 'no symbols$\|diversions involved' | sed 's/^/# /' | grep .
point $? "without a word of warning"
took built

# The programs are as hard as the distribution wants them.
# shellcheck disable=SC2016 # for the inner shell
tree_run sh -c 'cd /build/one/*/ && for p in build/ctxd build/ctxctl build/ctx-spawner; do
	readelf -lW $p | grep -q GNU_RELRO && readelf -hW $p | grep -q "DYN " || { echo "$p"; exit 1; }; done &&
	grep -q "_FORTIFY_SOURCE=2" <&3' 3<"$log" >"$tree_tmp/hard" 2>&1
point $? "relro, PIE, fortified" || show "$tree_tmp/hard"

tree_run sh -c 'cd /build/one && lintian --allow-root --fail-on error,warning ctx_*.changes' >"$tree_tmp/lintian" 2>&1
point $? "lintian has no error and no warning"
grep -v '^N:' "$tree_tmp/lintian" | sed 's/^/# lintian: /'
took lintian

if [ "$suite" = bookworm ]; then
	cp "$here/package-recipes.sh" "$TREE/ctx-test/"
	tree_run /ctx-test/package-recipes.sh "/build/one/$name" "/build/$name.tar.gz" || point 1 "the recipes were looked at"
	took recipes
fi

# The same bytes again.
if [ "$suite" = bookworm ]; then
	tree_run sh -c 'useradd -u 1234 -m -d /home/two builder && chown -R builder /home/two' >"$log" 2>&1
	tree_run unshare --uts setpriv --reuid 1234 --regid 1234 --clear-groups --bounding-set +all sh -c "umask 027; cd '/home/two/a/longer/way' &&
		export HOME=/home/two TZ=Pacific/Kiritimati LC_ALL=POSIX LANG=C.UTF-8 USER=builder LOGNAME=builder &&
		tar -xzf /build/$name.tar.gz && cd $name && DEB_BUILD_OPTIONS='parallel=1 nocheck' dpkg-buildpackage -us -uc --build=binary" >"$log" 2>&1
	point $? "built again, by a user, with another umask, time zone, locale, directory, number of processes" || show "$log"
	differ=0 compared=0
	for deb in "$TREE"/build/one/*.deb; do
		compared=$((compared + 1))
		cmp "$deb" "$TREE/home/two/a/longer/way/${deb##*/}" >&2 || {
			differ=1
			echo "# ${deb##*/} differs"
		}
	done
	[ "$compared" -ge 5 ] && [ "$differ" = 0 ]
	point $? "all packages are the same bytes, debugging symbols included"
	took "built again"
fi

# A newer version, which differs in nothing but that.
tree_run sh -c "cd /build/one/$name && mkdir ../older && mv ../*.deb ../older && rm ../older/*-dbgsym_* && { cat >new <<-END && cat debian/changelog >>new && mv new debian/changelog; } &&
	ctx ($version+up1) unstable; urgency=medium

	  * Built again.

	 -- the ctx authors <ctx@example.org>  Mon, 23 Nov 2026 00:00:00 +0000

	END
	DEB_BUILD_OPTIONS='parallel=2 nocheck' dpkg-buildpackage -nc -us -uc --build=binary && mkdir ../newer && mv ../*.deb ../newer && rm ../newer/*-dbgsym_*" >"$log" 2>&1
point $? "a newer version" || { show "$log" && exit 1; }
took "the newer version"

# In a booted system.
cp -r "$here/inside/lib.sh" "$here/package-inside.sh" "$TREE/ctx-test/"
cat >"$TREE/etc/systemd/system/ctx-test.service" <<'UNIT'
[Unit]
Description=The test
After=basic.target
[Service]
Type=oneshot
ExecStart=/bin/bash /ctx-test/package-inside.sh /build/one/older /build/one/newer
StandardOutput=file:/ctx-test/tap
StandardError=file:/ctx-test/err
ExecStopPost=/bin/systemctl --no-block poweroff
TimeoutStartSec=400
UNIT
cat >"$TREE/etc/systemd/system/ctx-test.target" <<'UNIT'
[Unit]
Requires=basic.target ctx-test.service
After=basic.target
AllowIsolate=yes
UNIT
mkdir -p "$TREE/etc/systemd/system.conf.d"
printf '[Manager]\nDefaultStartLimitIntervalSec=0\n' >"$TREE/etc/systemd/system.conf.d/test.conf" # starts and stops are many here
tree_boot "$TREE" "ctx-package-$suite-$$" 450 systemd.unit=ctx-test.target >"$tree_tmp/console"
rc=$?
tap=$TREE/ctx-test/tap
[ -e "$tap" ] || : >"$tap"
sed -E '/^1\.\./d; s/^(not ok|ok) [0-9]+ - /\1 /' "$tap"
took "the booted system"
planned=$(sed -n 's/^1\.\.//p' "$tap")
if [ "$rc" != 0 ] || grep -q '^not ok' "$tap" || [ "$(grep -cE '^(not )?ok ' "$tap")" != "$planned" ]; then
	echo "# the container ended with $rc; ${planned:-no} points were planned"
	show "$TREE/ctx-test/err"
	tr -d '\r\033' <"$tree_tmp/console" | tail -n 15 | sed 's/^/# console: /'
	[ ! -e "$TREE/ctx-test/journal" ] || show "$TREE/ctx-test/journal" 80
	exit 1
fi
