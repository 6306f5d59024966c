#!/bin/bash
# run.sh - the part of systemd.t that runs inside the container, as root, as a unit. TAP on stdout.
#
# Each NN-NAME.sh beside it is a part of the test. They run in order, those below 60 in the first boot ($BOOT), the others
# in the second, each in a shell of its own in which lib.sh is there, so that what goes wrong in one ends that one alone.
# With $PARTS only 10 and those that begin so. A part says `plan N` first, and leaves the units installed, running and
# without jobs; they are up when the next one begins. What the journal has of a part in which a point failed is shown. Users alice and bob exist; both are of group ctx once part 10 is over. The last part of the first boot is
# free of this: it leaves what the second is to find.
set -u
here=$(dirname -- "$(readlink -f -- "$0")")
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

# The points of one part, numbered on; a part that said less than it planned has failed.
total=0 failed=0 bad=0 # bad: in this part
renumber() { # NAME
	local line said=0 planned=-1
	while IFS= read -r line; do
		if [[ $line =~ ^(ok|not\ ok)\ [0-9]+\ -\ (.*)$ ]]; then
			said=$((said + 1))
			[ "${BASH_REMATCH[1]}" = ok ] || bad=1
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
	bad=1
	echo "not ok $total - $1: ran $said points of the $planned planned"
}

journal_since() { # SECONDS of the epoch
	journalctl --sync 2>/dev/null
	journalctl --no-pager -q -o short-monotonic --since "@$1" | tail -n 150 | sed 's/^/# journal: /'
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

# shellcheck source=lib.sh
. "$here/lib.sh"
# Nobody is to be in the way who is still busy with the boot.
wait_until booted
for part in "$here"/[0-9]*.sh; do
	name=${part##*/}
	name=${name%.sh}
	wanted "$name" || continue
	echo "# $name"
	start=$SECONDS since=$(date +%s.%6N) bad=0
	renumber "$name" < <(
		[ "$name" = 10-core ] || [ "$BOOT" != 1 ] || wait_until units_up
		# shellcheck source=/dev/null
		. "$part"
	)
	if [ "$bad" != 0 ]; then
		failed=1
		journal_since "$since"
	fi
	echo "# $name took $((SECONDS - start)) s"
done
echo "1..$total"
[ "$failed" = 0 ]
