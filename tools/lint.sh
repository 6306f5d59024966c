#!/bin/bash
# lint.sh - one linter over the tree, loud and with a status. Called by `make lint`.
#
#   tools/lint.sh clang-tidy FILE.c...    with the compiler flags in $CTX_FLAGS
#   tools/lint.sh cppcheck
#   tools/lint.sh mandoc PAGE...
#   tools/lint.sh shellcheck SCRIPT...
#   tools/lint.sh units                   systemd units, sysusers, tmpfiles, of an installation into a temporary prefix
set -eu
cd -- "$(dirname -- "$(readlink -f -- "$0")")/.."
what=$1
shift
echo "lint: $what" >&2

case $what in
clang-tidy)
	# shellcheck disable=SC2016 # expanded by the inner shell
	printf '%s\0' "$@" | xargs -0 -r -n 1 -P "$(nproc)" bash -c '
		eval "flags=($CTX_FLAGS)"
		out=$(clang-tidy --quiet "$0" -- "${flags[@]}" -Wno-unknown-warning-option 2>&1) && exit 0
		printf "%s\n" "$out" | grep -v "warnings\? generated\|^Suppressed\|^Use -header" >&2
		exit 1'
	;;
cppcheck)
	cppcheck --quiet --error-exitcode=1 --enable=warning,performance,portability --std=c11 --inline-suppr \
		--suppressions-list=tools/cppcheck.supp -j "$(nproc)" -D_GNU_SOURCE -D__GNUC__=12 -DCTX_VERSION='"0"' \
		-DCTX_LIBEXECDIR='""' -DCTX_SYSCONFDIR='""' -Ilib -Idaemon -I. lib daemon spawner cli
	;;
mandoc)
	rc=0
	for page; do
		# Pages of other programs need not be installed here.
		if mandoc -Tlint -Wall "$page" 2>&1 | grep -v 'referenced manual not found\|outdated mandoc.db'; then
			rc=1
		fi
	done
	exit "$rc"
	;;
shellcheck)
	shellcheck -x -P SCRIPTDIR "$@"
	;;
units)
	tmp=$(mktemp -d "${TMPDIR:-/tmp}/ctx-units.XXXXXX")
	trap 'rm -rf "$tmp"' EXIT
	mkdir -p "$tmp/bin" "$tmp/sbin" "$tmp/libexec/ctxd" "$tmp/user"
	cp /bin/true "$tmp/bin/ctxctl"
	cp /bin/true "$tmp/sbin/ctxd"
	cp /bin/true "$tmp/libexec/ctxd/ctx-spawner"
	cp /bin/true "$tmp/libexec/ctxd/ctx-exporter"
	for u in systemd/*.service systemd/*.socket systemd/user/*.service systemd/user/*.socket; do
		sed "s|@PREFIX@|$tmp|g" "$u" >"$tmp/${u#systemd/}"
	done
	if systemd-analyze verify --man=no "$tmp"/*.service "$tmp"/*.socket 2>&1 | grep . >&2; then
		exit 1
	fi
	if XDG_RUNTIME_DIR=$tmp systemd-analyze verify --user --man=no "$tmp"/user/*.service "$tmp"/user/*.socket 2>&1 | grep . >&2; then
		exit 1
	fi
	mkdir -p "$tmp/tree/etc"
	systemd-sysusers --dry-run --root="$tmp/tree" "$PWD/systemd/ctxd.sysusers" >/dev/null 2>&1
	mkdir -p "$tmp/tree/run"
	sed "s|^d /run/ctxd|d $tmp/tree/run/ctxd|" systemd/ctxd.tmpfiles >"$tmp/t.conf"
	systemd-tmpfiles --create "$tmp/t.conf"
	[ -d "$tmp/tree/run/ctxd" ]
	;;
*)
	echo "lint.sh: no such linter: $what" >&2
	exit 2
	;;
esac
