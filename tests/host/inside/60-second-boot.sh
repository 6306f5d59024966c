# 60-second-boot.sh - after a shutdown under running jobs: each has what it is said to have.
# shellcheck shell=bash
plan 17
left() { sed -n "s/^$1=//p" /ctx-test/left; }
kept=$(left kept)
again=$(left again)
stubborn=$(left stubborn)
queued=$(left queued)
hers=$(left hers)
home=/home/alice
facts() { # ID
	echo "$(field "$1" state) $(field "$1" cause_code) $(field "$1" exit_code) $(field "$1" signal) $(field "$1" known_by)"
}
second() { field_is "$1" attempt 2; }

is "$(prop ctxd.service ActiveState)" inactive "ctxd does not run: only its sockets are there"
wait_until answers
ok $? "the first client starts it"
is "$(facts "$kept")" "interrupted shutdown 7  monitor" "who ended on TERM: interrupted, with what it exited with"
like "$(cat $home/refused)" 'takes no new jobs' "it could ask ctxd to the last, which takes nothing new"
is "$(tail -n 1 $home/refused)" 7 "and was refused"
is "$(facts "$stubborn")" "interrupted shutdown  9 monitor" "who would not end: killed after its grace"
wait_until second "$again"
ok $? "who is to be retried is at the next attempt"
is "$(ctxctl --json events "$again" | grep -c '"cause_code": *"shutdown"')" 2 "its first one's end is in the history"
exits 0 "what was queued runs" ctxctl wait "$queued"
is "$(ctxctl logs "$queued")" ran "once"
is "$(field "$queued" attempt)" 1 "as its first attempt"
out=$(ctxctl doctor)
like "$out" "job $kept" "doctor names the one"
like "$out" "job $stubborn" "and the other"
wait_until said_ready "$again" ctxctl submit
ctxctl cancel --wait "$again" >/dev/null 2>&1
ctxctl resolve --as failed "$kept" >/dev/null && ctxctl resolve --as failed "$stubborn" >/dev/null
exits 0 "resolved, all is well" ctxctl doctor
last=$(journalctl --no-pager -q -b -1 -u ctxd.service | grep 'stopping;' | tail -n 1)
like "$last" 'stopping; 0 jobs go on' "ctxd was the last to go"
systemctl start systemd-logind.service # she lingers
wait_until user_answers alice
is "$(user_field alice "$hers" state) $(user_field alice "$hers" cause_code) $(user_field alice "$hers" exit_code)" "interrupted shutdown 3" \
	"alice's own ctxd had the same"
is "$(units_failed)" 0 "no unit of ours has failed"
