# 50-shutdown.sh - an upgrade, a stop and a start under running jobs; and what the second boot is to find: the machine goes down
# after this part while jobs run, queue, and will not end.
# shellcheck shell=bash
plan 16
home=/home/alice
submit=(as alice ctxctl submit)

# As a package does it: all is replaced, the manager reads the units again, ctxd and the spawner are restarted.
ids=()
for i in $(seq 20); do
	ids+=("$(as alice ctxctl submit -- sh -c "until [ -e $home/upgraded ]; do sleep 0.1; done; exit $i")") # allow-sleep: a job that looks for a file
done
wait_until running "${ids[@]}"
ok $? "twenty jobs run"
before=$(prop ctxd.service MainPID),$(prop ctx-spawner.service MainPID)
systemctl daemon-reload
systemctl restart ctx-spawner.service ctxd.service && systemctl restart ctx-shutdown.service
ok $? "daemon-reload; restart of spawner and ctxd, then of ctx-shutdown.service, which does not take it for a shutdown"
[ "$before" != "$(prop ctxd.service MainPID),$(prop ctx-spawner.service MainPID)" ]
ok $? "they are others now"
wait_until running "${ids[@]}"
ok $? "all jobs run"
is "$(ctxctl --json status | python3 -c 'import json,sys; print(json.load(sys.stdin)["draining"])')" False "nothing was shut down"

# Stop of everything, and start: half of them end meanwhile.
units_stop ctx-shutdown.service
is "$(units_failed)" 0 "all units stop cleanly"
pids=$(grep -lszx "CTX_ID=${ids[0]}" /proc/[0-9]*/environ | wc -l)
[ "$pids" -gt 0 ]
ok $? "the jobs live"
touch $home/upgraded
gone() { ! grep -lszE '^CTX_ID=' /proc/[0-9]*/environ | grep -q .; }
wait_until gone
systemctl start ctxd.socket ctx-spawner.socket
is "$(prop ctxd.service ActiveState)" inactive "the sockets are there, ctxd is not"
status=
for id in "${ids[@]}"; do
	ctxctl wait "$id" 2>/dev/null
	status+=" $?"
done
is "$status" "$(seq -s ' ' 0 20 | sed 's/^0//')" "the first client starts it; no end of the twenty is lost"
wait_until active ctx-shutdown.service
ok $? "and ctx-shutdown.service with it"

exits 4 "alice may not shut down" as alice ctxctl shutdown
# shellcheck disable=SC2154 # set by exits
like "$out" 'administrators' "and is told who may"

# What the second boot finds. A job that is asked to end still has ctxd to talk to, which takes no new one.
printf '[class again]\non_interrupt = retry\n[class one]\nrunning = 1\n' >/etc/ctxd/ctxd.conf.d/shutdown.conf
reload
# shellcheck disable=SC2016 # for the job to expand
trapping "ctxctl submit true 2>$home/refused; echo \$? >>$home/refused; exit 7" "${submit[@]}" --grace 1m --class one
kept=$id
trapping 'exit 0' "${submit[@]}" --grace 1m --class again
again=$id
stubborn=$("${submit[@]}" --grace 1s -- sh -c 'trap "" TERM; echo ready; while :; do sleep 0.05; done')
wait_until said_ready "$stubborn" as alice ctxctl submit
ok $? "jobs run: one that asks, one that is to be retried, one that will not end"
queued=$("${submit[@]}" --class one -- sh -c 'echo ran')
is "$(field "$queued" state)" queued "and one waits"
wait_until user_answers alice
trapping 'exit 3' user_ctxctl alice submit --grace 1m
ok $? "her own ctxd has one, too"
unlike "$(systemctl is-system-running)" stopping "the machine does not go down yet"
printf '%s\n' "kept=$kept" "again=$again" "stubborn=$stubborn" "queued=$queued" "hers=$id" >/ctx-test/left
