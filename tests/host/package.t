#!/bin/bash
# package.t - the packages of both Debian releases: built from the tarball of `make dist`, judged by lintian, built again
# elsewhere to the same bytes, and installed, upgraded, removed and purged in a booted system under running jobs; and the
# recipes for RPM and Alpine. The releases are looked at side by side: see package.sh. Needs root, debootstrap, systemd-nspawn.
# test-timeout: 1000
here=$(dirname -- "$(readlink -f -- "$0")")
top=$here/../..
T=$(mktemp -d "${TMPDIR:-/tmp}/ctx-package.XXXXXX") || exit 1
pids=()
# shellcheck disable=SC2317 # run by the trap
clean() {
	[ ${#pids[@]} -eq 0 ] || kill "${pids[@]}" 2>/dev/null
	wait
	rm -rf "$T"
}
trap clean EXIT
trap 'exit 130' INT TERM

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

# What is here, changed files included; in an unpacked tarball, which knows no commit, the tarball is what is here.
if [ -e "$top/.git" ]; then
	commit=$(git -C "$top" stash create 2>"$T/stash") || { cat "$T/stash" && exit 1; }
	commit=${commit:-HEAD}
	(umask 022 && make -s -C "$top" dist B="$T/one" DIST_REF="$commit") >"$T/dist.log" 2>&1 &&
		(umask 077 && TZ=Asia/Tokyo LC_ALL=POSIX make -s -C "$top" dist B="$T/two" DIST_REF="$commit") >>"$T/dist.log" 2>&1
	point $? "make dist" || sed 's/^/# /' "$T/dist.log"
	cmp "$T"/one/ctx-*.tar.gz "$T"/two/ctx-*.tar.gz
	point $? "the same commit makes the same tarball"
	owners=$(tar -tvzf "$T"/one/ctx-*.tar.gz | awk '{ print $1, $2 }' | sort -u)
	[ "$owners" = "$(printf '%s\n' "-rw-r--r-- root/root" "-rwxr-xr-x root/root" "drwxr-xr-x root/root" | sort)" ]
	point $? "nothing in it tells who made it" || printf '%s\n' "$owners" | sed 's/^/# /'
else
	mkdir "$T/one" && version=$(sed -n 's/^VERSION := //p' "$top/Makefile") &&
		tar -C "$top" --exclude='./build*' --transform "s|^\.|ctx-$version|" -czf "$T/one/ctx-$version.tar.gz" .
	point $? "a tarball of an unpacked tarball"
fi

for suite in bookworm trixie; do
	"$here/package.sh" "$suite" "$T"/one/ctx-*.tar.gz >"$T/$suite" 2>"$T/$suite.err" &
	pids+=($!)
done
for suite in bookworm trixie; do
	wait "${pids[0]}"
	rc=$?
	pids=("${pids[@]:1}")
	while IFS= read -r line; do
		case $line in
		"ok "*) point 0 "$suite: ${line#ok }" ;;
		"not ok "*) point 1 "$suite: ${line#not ok }" ;;
		*) printf '%s\n' "$line" ;;
		esac
	done <"$T/$suite"
	point $rc "$suite: all of it was looked at"
	[ $rc = 0 ] || tail -n 60 "$T/$suite.err" | sed 's/^/# /'
done
echo "1..$n"
exit $failed
