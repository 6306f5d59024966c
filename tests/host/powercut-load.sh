#!/bin/sh
# powercut-load.sh - one of those who use ctx in a machine of powercut.t until its power goes.
#
#   load short|keyed|long|tree BOOT.WORKER
#
# The name of each job says what it is: KIND.BOOT.WORKER.NUMBER.CODE.BYTES, CODE being the exit status that it will have and BYTES
# those of its standard input. `try NAME` is told before it is submitted, `acked NAME ID` only when ctxctl has printed the id.
kind=$1 where=$2 n=0

say() {
	echo "$*" >&3
}
# submit SECONDS OPTION...: the job $name; its id in $id, or 1.
submit() {
	seconds=$1
	shift
	say "try $name"
	id=$(ctxctl submit -n "$name" -t 10h "$@" -- /bin/job "$name" "$seconds" "$code" 2>/dev/null) || return 1
	say "acked $name $id"
}

short() {
	name=s.$where.$n.$code.0
	submit 0 || return
	[ $((n % 3)) = 0 ] || return
	ctxctl wait "$id" 2>/dev/null
	say "ended $id $?"
}

keyed() {
	bytes=$((n * 7919 % 70000))
	name=k.$where.$n.$code.$bytes
	job pattern "$name" "$bytes" | submit 0.6 -c slow -k "$name" -v "tag=$name" --stdin -
}

long() {
	old=$id
	name=l.$where.$n.$code.0
	submit 1000 -c sleep
	[ $((n % 4)) = 0 ] && [ "$old" ] || return
	ctxctl cancel "$old" >/dev/null 2>&1 && say "canceled $old"
}

tree() {
	name=c.$where.$n.0.0
	say "try $name"
	scope=$(ctxctl scope create -n "$name" -t 10h 2>/dev/null) || return
	say "acked $name $scope"
	for i in 1 2 3; do
		name=a.$where.$n-$i.$code.0
		submit $((i == 1 ? 1000 : 0)) -c sleep -p "$scope" --attach
	done
	[ $((n % 2)) = 0 ] || return
	ctxctl scope close "$scope" >/dev/null 2>&1 && say "closed $scope"
}

id=
while :; do
	n=$((n + 1))
	code=$((n % 3 * 7 + n % 2))
	"$kind"
done
