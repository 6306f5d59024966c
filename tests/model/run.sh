#!/bin/bash
# run.sh [-j N] [NAME...] - check the model of the recovery protocol (ctx.pml) with spin: TAP, one line a check. `make model`.
#
# First what must hold, in configurations that are searched exhaustively; then one wrong program each (-DBUG_x), which must
# break the property named for it: a bug that the model does not notice is an error of the model. NAME: only these.
# A trail of what failed unexpectedly is printed by: spin FLAGS -t -p -g ctx.pml, in the directory that is named then.
# shellcheck disable=SC2317 # what xargs calls
set -u
here=$(cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")" && pwd)

# name, then the flags; `ltl` checks the never claim instead, `live` that there is no cycle.
holds() {
	cat <<-'END'
	faults      KC=1 KS=1 KF=1 KE=1 CANCEL=1
	ctxd-twice  KC=2 KF=1 CANCEL=1 ENDLESS=1
	spawners    KC=1 KS=2 KE=1
	monitor     KC=1 KS=1 KM=1 HARDY=1 CANCEL=1
	monitor-cg  KC=1 KS=1 KM=1 HARDY=1 CANCEL=1 CG=1
	all-at-once KA=2 KC=1 HARDY=1 CANCEL=1
	reboot      NA=2 NL=3 KR=1 KD=1 KC=1 CANCEL=1 RETRY=1
	full        KC=1 KS=1 KX=1 KF=1 ENDLESS=1
	upgrade     KU=1 KC=1 KM=1 HARDY=1 CANCEL=1 ENDLESS=1
	wipe        KC=1 KS=1 KW=2 HARDY=1
	wipe-cg     KC=1 KS=1 KW=2 CG=1
	wipe-fail   NL=3 KC=1 KS=1 KW=1 KE=1
	retry       NA=2 NL=3 KC=1 KS=1 CANCEL=1 RETRY=1
	retry-lost  NA=2 NL=3 KS=1 KM=1 HARDY=1 RETRY=1
	two         NJ=2 NL=3 KC=1 CANCEL=1
	two-fail    NJ=2 NL=3 KF=1 KC=1 ENDLESS=1
	two-lost    NJ=2 NL=3 KS=1 KM=1 HARDY=1
	two-slots   NJ=2 NL=3 SLOTS=2 KC=1
	kept:ltl    KC=1 KS=1 KF=1 CLAIM_KEPT=1
	cycles:live KC=1 KS=1 KF=1 CANCEL=1
	END
}

# bug, the property it breaks, the flags
breaks() {
	cat <<-'END'
	SPAWN_BEFORE_COMMIT        ONCE     KF=1
	ANSWER_BEFORE_COMMIT       KEPT     KF=1
	STOP_BEFORE_COMMIT         CANCELS  KF=1 CANCEL=1
	EFFECTS_OF_A_FAILED_COMMIT EVIDENCE KF=1
	FORGET_BEFORE_COMMIT       EVIDENCE KC=1
	SLOT_BEFORE_COMMIT         SLOT     NJ=2 NL=3
	SEEN_AFTER_FORK            ONCE     KS=1 KM=1 KW=1
	STARTED_AFTER_EXEC         ONCE     KM=1
	NOT_EXECUTED_IS_GUESSED    ONCE     NL=3 KE=1
	UNEXECUTED_BEFORE_SWEPT    ONCE     NL=3 KC=1 KE=1
	FRESH_IN_A_STEP_OF_ITS_OWN NO_COST  KS=1
	TOLD_BEFORE_WRITTEN        TRUE_END KC=1 KM=1
	CTL_CLOSED_FIRST           NO_COST  KC=1
	CTL_KEPT                   KEPT     KM=1
	FULL_GIVES_UP              NO_COST  KC=1 KX=1
	NO_WELCOME                 NO_COST  KC=1
	WELCOME_AT_ONCE            NO_COST  KC=1
	SWEEP_BEFORE_WELCOME       NO_COST  KC=1
	SWEEP_WHILE_CLAIMING       CERTAIN  KS=1 KM=1 HARDY=1
	OLD_LOOK                   NO_COST  NL=3 KC=1 KE=1 BUG_SWEEP_WHILE_CLAIMING=1
	NO_LOOK_AGAIN              KEPT     KC=1 KS=1
	NO_SWEEP                   ONCE     KC=1
	FRESH_LEFT                 ONCE     KC=1 KS=1 KW=1
	FRESH_IS_NEVER             ONCE     NL=3 KC=1 KS=1 KW=1 KE=1
	NO_SECOND_LOOK             TRUE_END KC=1 KW=1
	ANY_ERROR_IS_REFUSAL       NO_COST  NL=3 KE=1 KC=1
	HELLO_NOT_NEEDED           NO_COST  KC=1
	EOF_IS_DEATH               NO_COST  KC=1
	ABSENCE_IS_NEVER           ONCE     KC=1 KW=1
	UNSEEN_FORGOTTEN           NO_COST  NJ=2 NL=3 SLOTS=2 KC=1 BUG_START_WHILE_UNSEEN=1
	START_WHILE_UNSEEN         NO_COST  NJ=2 NL=3 SLOTS=2 KC=2
	NO_STARTED_IS_NEVER        ONCE     KM=1 KW=1
	ABSENCE_IS_CERTAIN         CERTAIN  KC=1 KS=1 KW=1
	ALWAYS_CERTAIN             CERTAIN  KS=1 KM=1 HARDY=1
	RETRY_WITH_SURVIVORS       SLOT     NA=2 NL=3 KS=1 KM=1 HARDY=1 RETRY=1
	CANCEL_TOLD_ONCE           CANCELS  KC=1 CANCEL=1 ENDLESS=1
	CANCEL_WITHOUT_ATTEMPT     CANCELS  NA=2 NL=3 KM=1 CANCEL=1 RETRY=1
	NO_BOOT_ID                 ONCE     KR=1 KD=1
	SPARE_OF_THE_LIVING        NO_COST  NJ=2 NL=3 KX=1 KC=1
	UPGRADE_KILLS_MONITORS     NO_COST  KU=1
	END
}

# Build and run one: says ok, broken, or what went wrong.
check() { # DIR KIND FLAG...
	local dir=$1 kind=$2 cflags=-DSAFETY args='' rc=0 f flags=()
	shift 2
	for f; do flags+=("-D$f"); done
	mkdir -p "$dir" && cd "$dir" && cp "$here/ctx.pml" . || return 1
	case $kind in
	ltl) cflags='' args=-a ;;
	live) cflags=-DNP args=-l ;;
	esac
	spin "${flags[@]}" -a ctx.pml >spin.log 2>&1 || { tail -n 5 spin.log; return; }
	# shellcheck disable=SC2086
	"${CC:-cc}" -O1 -w $cflags -DCOLLAPSE -DVECTORSZ=1024 -DMEMLIM=3000 -o pan pan.c || return
	# shellcheck disable=SC2086
	./pan -E -n -m50000 $args >pan.log 2>&1 || rc=$?
	if [ -e ctx.pml.trail ]; then
		awk '/states, stored/ {n = $1} END {printf "broken, after %d states\n", n}' pan.log
	elif [ "$rc" = 0 ] && grep -q 'errors: 0' pan.log && ! grep -qE 'max search depth|MEMLIM|out of memory' pan.log; then
		awk '/states, stored/ {n = $1} /elapsed time/ {t = $4} END {printf "ok: %d states, %s s\n", n, t}' pan.log
	else
		echo "not searched to the end: $(tail -n 3 pan.log | tr '\n' ' ')"
	fi
}

one() { # DIR NAME WANT FLAG...
	local dir=$1 name=$2 want=$3 kind=safety said
	shift 3
	case $name in *:*) kind=${name#*:} name=${name%:*} ;; esac
	said=$(check "$dir/$name" "$kind" "$@")
	if [[ $said == "$want"[:,]* ]]; then
		echo "ok - $name: $* # $said" >"$dir/$name.tap"
		rm -rf "${dir:?}/$name"
	else
		echo "not ok - $name: $* # wanted $want, $said ($dir/$name)" >"$dir/$name.tap"
	fi
}
export -f check one
export here

jobs=$(nproc)
if [ "${1:-}" = -j ]; then
	jobs=$2
	shift 2
fi
if ! command -v spin >/dev/null; then
	echo "1..0 # skip spin is not installed"
	[ -z "${CI_NO_SKIP:-}" ]
	exit
fi
dir=$(mktemp -d "${TMPDIR:-/tmp}/ctx-model.XXXXXX") || exit 1

list() {
	holds | while read -r name flags; do echo "${name} ok $flags"; done
	breaks | while read -r bug property flags; do echo "$bug broken BUG_$bug ONLY=$property $flags"; done
}
wanted() {
	local line n
	while read -r line; do
		[ $# -gt 0 ] || echo "$line"
		for n; do
			n=${n#BUG_}
			[[ $line == "$n "* || $line == "$n:"* ]] && echo "$line"
		done
	done
}
list | wanted "$@" >"$dir/list"
# shellcheck disable=SC2016
xargs -P "$jobs" -L 1 bash -c 'one "$@"' one "$dir" <"$dir/list"

n=0 failed=0
echo "1..$(wc -l <"$dir/list")"
while read -r name _; do
	n=$((n + 1))
	line=$(cat "$dir/${name%:*}.tap" 2>/dev/null || echo "not ok - $name: nothing was said")
	[[ $line == ok* ]] || failed=$((failed + 1))
	echo "${line/ok -/ok $n -}"
done <"$dir/list"
if [ "$failed" = 0 ]; then
	rm -rf "$dir"
	exit 0
fi
exit 1
