# ctx.sh - harness of the shell scenario tests: a private ctxd in its own temporary directory, ctxctl, TAP.
# The same for Python is ctxtest.py.
#
#   #!/bin/bash
#   . "$(dirname "$0")/lib/ctx.sh"
#   plan 2                              # one more is added: "nothing is left over"
#   ctxd_start '[deadline]
#   timeout = 5s'                       # started and ready
#   id=$(ctl submit true)
#   is "$(ctl wait "$id"; echo $?)" 0 "wait gives the job's exit code"
#   wait_state "$id" succeeded
#   is "$(job_field "$id" exit_code)" 0 "so does the record"
#
# Variables: $T (the directory, short, mode 0711), $CTXD_SOCKET, $CTXD_PID, $CTXD_LOG, $CTXD_RUN, $CTXD_STATE, $CTXD_CONF,
# $CTXD $CTXCTL $SPAWNER (the binaries, from $CTX_BUILD or build/ of the clone), $WAIT (bound of every wait, seconds).
# TAP: plan N; ok COND-STATUS NAME; is GOT WANT NAME; like TEXT REGEX NAME; unlike; pass NAME; fail NAME; skip N REASON;
# diag TEXT; bail TEXT. Each prints one point.
# Daemon: ctxd_configure TEXT; ctxd_start [TEXT [ARG...]] (TEXT '' keeps the configuration; CTXD_ENV=(NAME=VALUE...) and
# CTXD_PREFIX=(strace ...) are used); ctxd_stop (must exit 0); ctxd_kill9; ctxd_restart; ctxd_exit (wait for its exit status).
# Client: ctl ARG...; job_field ID FIELD; job_state ID; wait_state ID STATE...; wait_log REGEX; wait_note TEXT;
# wait_until COMMAND [ARG...] (polled until true; a bound past which the test bails out).
# Processes: ctx_pids (all of this directory but ctxd); alive PID.
#
# at_exit COMMAND: run it at the very end, last one first.
#
# At exit: a ctxd that still runs is stopped and must exit 0; all that belongs to $T is killed and removed.
# shellcheck shell=bash

set -u
CTX_LIB=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
CTX_BUILD=${CTX_BUILD:-$(cd -- "$CTX_LIB/../../.." && pwd)/build}
CTXD=$CTX_BUILD/ctxd
CTXCTL=$CTX_BUILD/ctxctl
# shellcheck disable=SC2034 # for tests
SPAWNER=$CTX_BUILD/ctx-spawner
WAIT=${CTX_TEST_WAIT:-60}
unset CTX_ID CTXD_SOCKET NOTIFY_SOCKET
T=$(mktemp -d "${TMPDIR:-/tmp}/ctx-t.XXXXXX") || exit 1
chmod 711 "$T"
mkdir -m 700 "$T/xdg"
mkfifo "$T/ready"
CTXD_SOCKET=$T/ctxd.sock
CTXD_STATE=$T/state
CTXD_RUN=$T/run
CTXD_CONF=$T/ctxd.conf
CTXD_LOG=$T/ctxd.log
CTXD_PID=
CTXD_ENV=()
CTXD_PREFIX=()
: >"$CTXD_CONF"
: >"$CTXD_LOG"
trap ctx_cleanup EXIT
trap 'exit 130' INT TERM

ctx_at_exit=()
at_exit() { ctx_at_exit=("$*" ${ctx_at_exit[@]+"${ctx_at_exit[@]}"}); }

tap_n=0
tap_bad=0
tap_planned=

# TAP -----------------------------------------------------------------------------------------------------------------

plan() { # N
	tap_planned=$(($1 + 1))
	echo "1..$tap_planned"
}
diag() { printf '%s\n' "$*" | sed 's/^/# /'; }
pass() {
	tap_n=$((tap_n + 1))
	echo "ok $tap_n - $*"
}
fail() {
	tap_n=$((tap_n + 1))
	tap_bad=$((tap_bad + 1))
	echo "not ok $tap_n - $*"
	diag "at ${BASH_SOURCE[-1]##*/}:${BASH_LINENO[-2]}"
}
ok() { # STATUS NAME
	if [ "$1" = 0 ]; then pass "${*:2}"; else fail "${*:2}"; fi
}
is() { # GOT WANT NAME
	if [ "$1" = "$2" ]; then
		pass "${*:3}"
	else
		fail "${*:3}"
		diag "     got: $1"$'\n'"    want: $2"
	fi
}
like() { # TEXT REGEX NAME
	if [[ $1 =~ $2 ]]; then
		pass "${*:3}"
	else
		fail "${*:3}"
		diag "     got: $1"$'\n'"    want: /$2/"
	fi
}
unlike() { # TEXT REGEX NAME
	if [[ $1 =~ $2 ]]; then
		fail "${*:3}"
		diag "     got: $1"$'\n'"     not: /$2/"
	else
		pass "${*:3}"
	fi
}
skip() { # N REASON
	local i
	for ((i = 0; i < $1; i++)); do
		tap_n=$((tap_n + 1))
		echo "ok $tap_n # skip ${*:2}"
	done
}
bail() {
	diag "gives up: $*"
	exit 1
}

# The daemon ------------------------------------------------------------------------------------------------------------

ctxd_configure() { # TEXT
	printf '%s\n' "$1" >"$CTXD_CONF"
}

ctxd_start() { # [CONFIG-TEXT [ARG...]]
	local word
	[ -z "${1:-}" ] || ctxd_configure "$1"
	[ $# -eq 0 ] || shift
	env -u CTXD_SOCKET CTXD_CHECK=1 HOME="$T" XDG_RUNTIME_DIR="$T/xdg" XDG_STATE_HOME="$T/xdg" XDG_CONFIG_HOME="$T/xdg" \
		${CTXD_ENV[@]+"${CTXD_ENV[@]}"} "$CTX_LIB/notify.py" "$T/notify" "$T/notify.log" "$T/ready" \
		${CTXD_PREFIX[@]+"${CTXD_PREFIX[@]}"} "$CTXD" --user --config "$CTXD_CONF" --state-dir "$CTXD_STATE" \
		--runtime-dir "$CTXD_RUN" --socket "$CTXD_SOCKET" "$@" </dev/null >>"$CTXD_LOG" 2>&1 &
	CTXD_PID=$!
	# Opened for both so that the open does not wait for the writer; the bound is on the line.
	if ! read -r -t "$WAIT" word <>"$T/ready" || [ "$word" != ready ]; then
		ctx_show_log
		bail "ctxd did not get ready (${word:-no word})"
	fi
}

ctxd_exit() { # waits for ctxd; its exit status
	local pid=$CTXD_PID
	wait_until dead "$pid"
	CTXD_PID=
	wait "$pid"
}

ctxd_stop() {
	local rc=0
	kill -TERM "$CTXD_PID"
	ctxd_exit || rc=$?
	[ "$rc" = 0 ] || diag "ctxd exited $rc on TERM"
	return "$rc"
}

ctxd_kill9() {
	{ kill -KILL "$CTXD_PID" && wait "$CTXD_PID"; } 2>/dev/null
	CTXD_PID=
}

ctxd_restart() { # [CONFIG-TEXT [ARG...]]
	[ -z "$CTXD_PID" ] || ctxd_stop || return 1
	ctxd_start "$@"
}

# The client -------------------------------------------------------------------------------------------------------------

ctl() {
	CTXD_SOCKET=$CTXD_SOCKET "$CTXCTL" "$@" </dev/null
}

json_get() { # FIELD: from a job, or the first of an array, on stdin; null is empty, strings are bare
	/usr/bin/python3 -c '
import json, sys
j = json.load(sys.stdin)
j = j[0] if isinstance(j, list) else j
for k in sys.argv[1].split("."):
    j = j[k]
print("" if j is None else j if isinstance(j, str) else json.dumps(j))' "$1"
}

job_field() { # ID FIELD
	ctl --json status "$1" | json_get "$2"
}
job_state() { job_field "$1" state; }

job_in_state() { # ID STATE...
	local now s
	now=$(job_state "$1") || return 1
	shift
	for s; do
		[ "$now" = "$s" ] && return 0
	done
	return 1
}
wait_state() { # ID STATE...
	wait_until job_in_state "$@"
}
log_has() { grep -qE -- "$1" "$CTXD_LOG"; }
wait_log() { wait_until log_has "$1"; }
note_has() { grep -qF -- "$1" "$T/notify.log"; }
wait_note() { wait_until note_has "$1"; }

# Waiting and processes ------------------------------------------------------------------------------------------------------

wait_until() { # COMMAND [ARG...]
	local end=$((SECONDS + WAIT))
	until "$@"; do
		if [ "$SECONDS" -gt "$end" ]; then
			ctx_show_log
			bail "waited in vain for: $*"
		fi
		sleep 0.02 # allow-sleep: the one bounded poll
	done
}

alive() { # PID: exists and is no zombie
	local stat
	{ read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
	stat=${stat##*) }
	[[ ${stat%% *} != [ZX] ]]
}
dead() { ! alive "$1"; }

ctx_pids() { # everything with $T in its command line or environment, but ctxd and our own watcher of it
	local f pid
	while IFS= read -r f; do
		pid=${f#/proc/}
		pid=${pid%%/*}
		[ "$pid" = "$CTXD_PID" ] || ! alive "$pid" || grep -qsF "$CTX_LIB/notify.py" "/proc/$pid/cmdline" ||
			echo "$pid"
	done < <(env -u CTXD_SOCKET -u PWD -u OLDPWD grep -lsF -f <(echo "$T/") /proc/[0-9]*/cmdline /proc/[0-9]*/environ) | sort -un
}

ctx_show_log() {
	diag "log of ctxd:"
	tail -n 60 "$CTXD_LOG" | sed 's/^/#   /'
}

ctx_below() { # PID...: these and all their descendants
	local pid kids
	for pid; do
		echo "$pid"
		kids=$(cat "/proc/$pid/task/"*/children 2>/dev/null)
		# shellcheck disable=SC2086 # a list of pids
		[ -z "$kids" ] || ctx_below $kids
	done
}

ctx_kill_all() {
	local pids
	pids=$(ctx_pids)
	[ -n "$pids" ] || return 0
	# shellcheck disable=SC2046,SC2086 # lists of pids
	kill -KILL $(ctx_below $pids) 2>/dev/null
	return 1
}

ctx_cleanup() {
	local rc=$? bad=0
	trap - EXIT INT TERM
	if [ -n "$CTXD_PID" ]; then
		if alive "$CTXD_PID"; then
			ctxd_stop || bad=1
		else
			diag "ctxd died unasked"
			bad=1
		fi
	fi
	[ "$bad$tap_bad$rc" = 000 ] || ctx_show_log
	trap 'kill -KILL $CTXD_PID 2>/dev/null; rm -rf "$T"; exit 1' EXIT # should wait_until give up
	CTXD_PID=
	wait_until ctx_kill_all
	trap - EXIT
	rm -rf "$T" || bad=1
	local command
	for command in ${ctx_at_exit[@]+"${ctx_at_exit[@]}"}; do
		$command || bad=1
	done
	if [ -n "$tap_planned" ] && [ "$rc" = 0 ]; then
		ok "$bad" "nothing is left over"
	fi
	[ "$tap_bad" = 0 ] || [ "$rc" != 0 ] || rc=1
	exit "$rc"
}
