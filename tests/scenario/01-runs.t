#!/bin/bash
# Does anything run at all: the programs, a daemon, one job, a clean end.
. "$(dirname "$0")/lib/ctx.sh"
plan 20

for p in "$CTXD" "$CTXCTL" "$SPAWNER"; do
	[ -x "$p" ]
	ok $? "${p##*/} is built"
done
like "$("$CTXD" --version)" '^ctxd [0-9]+\.[0-9]+' "ctxd --version"
like "$("$CTXCTL" --version)" '^ctxctl [0-9]+\.[0-9]+' "ctxctl --version"
like "$("$CTXCTL" --help)" 'submit' "ctxctl --help names submit"
like "$("$CTXD" --help)" '\-\-check-config' "ctxd --help names --check-config"

ctl status >"$T/out" 2>"$T/err"
is $? 5 "without a daemon: exit status 5"
like "$(cat "$T/err")" "$CTXD_SOCKET" "which names the socket"
is "$(cat "$T/out")" "" "and nothing on stdout"

ctxd_start
pass "ctxd says READY=1"
is "$(stat -c %a "$CTXD_SOCKET")" 600 "its socket is for one user"
ctl status >/dev/null
ok $? "ctxctl status"

id=$(ctl submit echo hello 2>"$T/err")
is "$id" 1 "submit prints the id alone"
ctl wait "$id"
ok $? "wait"
is "$(job_state "$id")" succeeded "the job has succeeded"
is "$(ctl logs "$id")" hello "logs has its output"

CTXD_SOCKET=$CTXD_SOCKET "$CTXD" --user --config "$CTXD_CONF" --state-dir "$CTXD_STATE" --runtime-dir "$CTXD_RUN" \
	--socket "$T/other.sock" 2>"$T/err" </dev/null
is $? 1 "a second ctxd for the same directories ends"
like "$(cat "$T/err")" "$CTXD_PID" "and names the pid of the first"

ctxd_stop
ok $? "ctxd exits 0 on TERM"
