#!/bin/bash
# run.sh - the part of systemd.t that runs inside the container, as root, as a unit. TAP on stdout.
#
# Each NN-NAME.sh beside it is a part of the test. They run in order in one boot, each in a shell of its own in which lib.sh
# is there, so that what goes wrong in one ends that one alone. A part says `plan N` first, and leaves the units installed,
# running and without jobs. Users alice and bob exist; both are of group ctx once part 10 is over.
set -u
here=$(dirname -- "$(readlink -f -- "$0")")
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
trap 'journalctl --no-pager -q -o short-monotonic -u "ctx*" >/ctx-test/journal 2>&1' EXIT

# The points of one part, numbered on; a part that said less than it planned has failed.
total=0 failed=0
renumber() { # NAME
	local line said=0 planned=-1
	while IFS= read -r line; do
		if [[ $line =~ ^(ok|not\ ok)\ [0-9]+\ -\ (.*)$ ]]; then
			said=$((said + 1))
			echo "${BASH_REMATCH[1]} $((total + said)) - $1: ${BASH_REMATCH[2]}"
		elif [[ $line =~ ^1\.\.([0-9]+)$ ]]; then
			planned=${BASH_REMATCH[1]}
		else
			echo "$line"
		fi
	done
	total=$((total + said))
	[ "$said" != "$planned" ] || return 0
	total=$((total + 1))
	failed=1
	echo "not ok $total - $1: ran $said points of the $planned planned"
}

for part in "$here"/[0-9]*.sh; do
	name=${part##*/}
	name=${name%.sh}
	echo "# $name"
	start=$SECONDS
	renumber "$name" < <(
		. "$here/lib.sh"
		. "$part"
	)
	echo "# $name took $((SECONDS - start)) s"
done
echo "1..$total"
[ "$failed" = 0 ]
