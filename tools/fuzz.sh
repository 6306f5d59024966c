#!/bin/bash
# fuzz.sh BUILD SECONDS [JOBS [NAME...]] - run each fuzzer of BUILD (or those named) for SECONDS from its kept seeds, JOBS of them
# at once (default: as many as there are processors). What breaks one is written to BUILD/found/, and belongs into
# tests/fuzz/seeds/NAME with the fix. New seeds stay in BUILD.
set -u
cd -- "$(dirname -- "$(readlink -f -- "$0")")/.." || exit 1
build=$1 seconds=$2 jobs=${3:-$(nproc)}
shift $(($# < 3 ? $# : 3))
mkdir -p "$build/found"
[ -n "${TMPDIR:-}" ] || ! [ -w /dev/shm ] || export TMPDIR=/dev/shm # several times as fast

# One line when it is over; the last words of one that broke go before it. An input that takes two minutes is a hang; less may
# be a machine that has something better to do.
one() { # BUILD SECONDS NAME
	local build=$1 seconds=$2 name=$3 rc=0
	mkdir -p "$build/corpus/$name" "tests/fuzz/seeds/$name"
	"$build/tests/fuzz/fuzz_$name" -max_total_time="$seconds" -timeout=120 -rss_limit_mb=1024 -verbosity=0 \
		-print_funcs=0 -print_final_stats=1 -artifact_prefix="$build/found/$name-" "$build/corpus/$name" "tests/fuzz/seeds/$name" \
		>"$build/$name.log" 2>&1 || rc=1
	[ "$rc" = 0 ] || tail -n 60 "$build/$name.log" >&2
	printf '%s: %s runs%s\n' "$name" "$(sed -n 's/^stat::number_of_executed_units: *//p' "$build/$name.log")" \
		"$([ "$rc" = 0 ] || echo ', broken')"
	return "$rc"
}
export -f one

if [ $# = 0 ]; then
	for src in tests/fuzz/fuzz_*.c; do
		[ -e "$src" ] || continue
		name=$(basename "$src" .c)
		set -- "$@" "${name#fuzz_}"
	done
fi
if [ $# = 0 ]; then
	echo "fuzz.sh: there is no fuzzer" >&2
	exit 1
fi
# shellcheck disable=SC2016 # $@ is for the bash that xargs starts
printf '%s\n' "$@" | xargs -P "$jobs" -n 1 bash -c 'one "$@"' one "$build" "$seconds"
