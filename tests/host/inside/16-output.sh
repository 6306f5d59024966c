# shellcheck shell=bash
# The output of jobs in the journal: found there by the job's id, and read back from there, byte by byte.
plan 20
conf=/etc/ctxd/ctxd.conf.d/output.conf
file_of() { echo "/var/lib/ctxd/output/$(($1 / 1000))/$1.1.log"; }
file_gone() { [ ! -e "$(file_of "$1")" ]; }
printed() { # ID FILE: what alice reads of the job is what is in FILE
	as alice ctxctl logs "$1" >/tmp/ctx-logs 2>&1 && cmp /tmp/ctx-logs "$2"
}
to() { # WHERE
	printf '[output]\nto = %s\n' "$1" >"$conf"
	reload
}
messages() { journalctl --no-pager -q -o cat --output-fields=MESSAGE "$@"; }

to journal
printf 'one\n\ntwo words\nno end' >/tmp/ctx-text
id=$(as alice ctxctl submit --wait -n brew -v request=r-18 -- sh -c "printf 'one\n\ntwo words\nno end'")
wait_until file_gone "$id"
ok $? "its file goes when the journal has it"
exits 0 "ctxctl logs says the same, though" printed "$id" /tmp/ctx-text
is "$(as alice ctxctl logs --tail 1 "$id")" "no end" "also the last line alone"
like "$(messages "CTX_ID=$id" | tr '\n' '|')" "job=$id running.*\|one\|.*two words\|no end.*|job=$id succeeded" "journalctl CTX_ID= has its words between its edges"
is "$(messages "CTX_ID=$id" CTX_STREAM=output CTX_VALUE_REQUEST=r-18 CTX_CLASS=default CTX_NAME=brew CTX_USER=alice PRIORITY=6 \
	SYSLOG_IDENTIFIER=sh _SYSTEMD_UNIT=ctxd.service | tail -n 1)" "no end" "with all that is known of it"
is "$(journalctl --no-pager -q -o verbose "CTX_ID=$id" CTX_OFFSET=5 | sed -n 's/^ *CTX_ATTEMPT=//p')" 1 "each where it stood"

head -c 300000 /dev/urandom >/tmp/ctx-bytes
chmod 644 /tmp/ctx-bytes
bytes=$(as alice ctxctl submit --wait cat /tmp/ctx-bytes)
wait_until file_gone "$bytes"
exits 0 "any byte there is" printed "$bytes" /tmp/ctx-bytes
# More than journald takes of a unit in half a minute unless it says otherwise, even with room in plenty.
seq 100000 >/tmp/ctx-lines
chmod 644 /tmp/ctx-lines
lines=$(as alice ctxctl submit --wait cat /tmp/ctx-lines)
wait_until file_gone "$lines"
ok $? "a hundred thousand lines"
exits 0 "none of which is missing" printed "$lines" /tmp/ctx-lines
is "$(as alice ctxctl logs --tail 2 "$lines" | xargs)" "99999 100000" "nor at their end"

exits 4 "what is in the journal is no more others' than what is in files" as bob ctxctl logs "$id"
id -nG alice | grep -qw systemd-journal
is $? 1 "and she needs no right in the journal"

split=$(as alice ctxctl submit --wait --split-output -- sh -c 'echo out; echo err >&2')
wait_until file_gone "$split"
is "$(as alice ctxctl logs "$split") $(as alice ctxctl logs --stderr "$split")" "out err" "streams that are kept apart"
is "$(messages "CTX_ID=$split" CTX_STREAM=stderr PRIORITY=4)" err "are so there"

# journald hangs, and ctxd is killed meanwhile: what was sent and not read is sent again.
systemctl kill -s STOP systemd-journald.service
hung=$(as alice ctxctl submit --wait -- sh -c 'echo nobody listens')
is "$(as alice ctxctl logs "$hung")" "nobody listens" "while journald hangs there is the file"
pid=$(prop ctxd.service MainPID)
kill -9 "$pid"
wait_until restarted ctxd.service "$pid"
wait_until answers
[ -e "$(file_of "$hung")" ]
ok $? "which stays"
systemctl kill -s CONT systemd-journald.service
wait_until units_up
wait_until file_gone "$hung"
is "$(as alice ctxctl logs "$hung")" "nobody listens" "and goes when journald has read it; once is enough"

journalctl --rotate 2>/dev/null
to both
both=$(as alice ctxctl submit --wait -- sh -c 'echo twice')
wait_until sh -c "journalctl --no-pager -q -o cat CTX_ID=$both CTX_STREAM=output | grep -qx twice"
ok $? "both: in the journal"
is "$(cat "$(file_of "$both")")" twice "and in the file"
is "$(as alice ctxctl logs "$id" | tail -n 1)" "no end" "what was rotated is read, too"
rm -f "$conf" /tmp/ctx-text /tmp/ctx-bytes /tmp/ctx-lines /tmp/ctx-logs
reload
