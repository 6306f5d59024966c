#!/bin/bash
# fuzz.sh BUILD SECONDS - run each fuzzer of BUILD for SECONDS from its kept seeds. What breaks one is written to
# BUILD/found/, and belongs into tests/fuzz/seeds/NAME with the fix. New seeds stay in BUILD.
set -u
cd -- "$(dirname -- "$(readlink -f -- "$0")")/.." || exit 1
build=$1 seconds=$2 rc=0 n=0
mkdir -p "$build/found"
for src in tests/fuzz/fuzz_*.c; do
	[ -e "$src" ] || continue
	name=$(basename "$src" .c)
	name=${name#fuzz_}
	n=$((n + 1))
	mkdir -p "$build/corpus/$name" "tests/fuzz/seeds/$name"
	if ! "$build/tests/fuzz/fuzz_$name" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -verbosity=0 \
		-print_final_stats=1 -artifact_prefix="$build/found/$name-" "$build/corpus/$name" "tests/fuzz/seeds/$name" \
		>"$build/$name.log" 2>&1; then
		tail -n 60 "$build/$name.log" >&2
		rc=1
	fi
	printf '%s: %s runs\n' "$name" "$(sed -n 's/^stat::number_of_executed_units: *//p' "$build/$name.log")"
done
if [ "$n" = 0 ]; then
	echo "fuzz.sh: there is no fuzzer" >&2
	exit 1
fi
exit "$rc"
