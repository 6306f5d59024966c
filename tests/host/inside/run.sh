#!/bin/bash
# run.sh - the part of systemd.t that runs inside the container, as root, as a unit. TAP on stdout.
#
# Each NN-NAME.sh beside it is a part of the test. They run in order, those below 60 in the first boot ($BOOT), the others
# in the second, each in a shell of its own in which lib.sh is there, so that what goes wrong in one ends that one alone.
# With $PARTS only 10 and those that begin so. A part says `plan N` first, and leaves the units installed, running and
# without jobs. Users alice and bob exist; both are of group ctx once part 10 is over. The last part of the first boot is
# free of this: it leaves what the second is to find.
set -u
here=$(dirname -- "$(readlink -f -- "$0")")
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

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

wanted() { # NAME
	local part
	if [ "$BOOT" = 1 ]; then [ "${1%%-*}" -lt 60 ]; else [ "${1%%-*}" -ge 60 ]; fi || return 1
	[ -n "${PARTS-}" ] && [ "$1" != 10-core ] || return 0
	for part in $PARTS; do
		[[ $1 != "$part"* ]] || return 0
	done
	return 1
}

for part in "$here"/[0-9]*.sh; do
	name=${part##*/}
	name=${name%.sh}
	wanted "$name" || continue
	echo "# $name"
	start=$SECONDS
	renumber "$name" < <(
		# shellcheck source=lib.sh
		. "$here/lib.sh"
		# shellcheck source=/dev/null
		. "$part"
	)
	echo "# $name took $((SECONDS - start)) s"
done
echo "1..$total"
[ "$failed" = 0 ]
