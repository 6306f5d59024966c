# 40-user.sh - alice's own ctxd as units of her session manager: jobs outlive restarts of each of them, and end with their
# grace when the manager does, which is at her last logout unless she lingers.
# shellcheck shell=bash
plan 33
uid=$(id -u alice)
manager=user@$uid.service
cgroup=/sys/fs/cgroup/user.slice/user-$uid.slice/$manager/app.slice
ctl=(user_ctxctl alice)
user_prop() { user_systemctl alice show -P "$2" "$1"; }
user_restarted() { # UNIT OLD-PID
	local pid
	pid=$(user_prop "$1" MainPID)
	[ "$pid" != 0 ] && [ "$pid" != "$2" ] && [ "$(user_prop "$1" ActiveState)" = active ]
}
gated() { # STATUS: sets id, pid: a job that exits so when the gate is opened
	id=$("${ctl[@]}" submit -- sh -c "echo ready; read x </home/alice/gate; exit $1") && wait_until said_ready "$id" "${ctl[@]}" submit &&
		wait_until user_running alice "$id" && pid=$(user_field alice "$id" pid)
}

as alice mkfifo /home/alice/gate
login alice
ok $? "she logs in: her session manager runs"
user_systemctl alice enable --now ctxd.socket ctx-spawner.socket ctxd.service 2>/dev/null
ok $? "her units start"
is "$(user_prop ctxd.service ActiveState)" active "ctxd said READY=1"
grace_is_there() { [ "$(user_prop ctx-shutdown.service ActiveState)" = active ]; }
wait_until grace_is_there
ok $? "what gives jobs their grace is there"
is "$(readlink "/run/user/$uid/ctxd/ctxd.sock")" /home/alice/.local/state/ctxd/run/ctxd.sock "the socket, where clients look"
is "$(stat -c '%U %a' /home/alice/.local/state/ctxd/run/ctxd.sock /home/alice/.local/state/ctxd/run/spawner.sock | sort -u)" "alice 600" \
	"hers alone"
is "$("${ctl[@]}" run -- id -un)" alice "a job runs as her"

gated 40
like "$(cat "/proc/$pid/cgroup")" "/app.slice/ctx-jobs.service/.*$id.1" "its cgroup is below ctx-jobs.service"
is_alone() { [ "$(cat "$cgroup/ctxd.service/cgroup.procs")" = "$(user_prop ctxd.service MainPID)" ]; }
wait_until is_alone # but for one that asks the name service
ok $? "in ctxd's own there is nothing but ctxd"
main=$(user_prop ctxd.service MainPID)
exits 0 "ctxd restarts" user_systemctl alice restart ctxd.service
[ "$(user_prop ctxd.service MainPID)" != "$main" ] && alive "$pid"
ok $? "the job lives"
main=$(user_prop ctxd.service MainPID)
kill -KILL "$main"
wait_until user_restarted ctxd.service "$main"
ok $? "ctxd is killed with SIGKILL and started again"
alive "$pid"
ok $? "the job lives"
main=$(user_prop ctx-spawner.service MainPID)
user_systemctl alice restart ctx-spawner.service
wait_until user_restarted ctx-spawner.service "$main" && alive "$pid"
ok $? "the spawner restarts, the job lives"
user_systemctl alice restart ctx-jobs.service && alive "$pid"
ok $? "the holder of the cgroups restarts, the job lives"
user_systemctl alice stop ctxd.service ctxd.socket ctx-spawner.service ctx-spawner.socket ctx-jobs.service
is "$(user_systemctl alice --failed --no-legend | wc -l)" 0 "all stop cleanly"
alive "$pid"
ok $? "the job lives"
open_gate /home/alice/gate
wait_until dead "$pid"
user_systemctl alice start ctxd.socket ctx-spawner.socket
is "$(user_prop ctxd.service ActiveState)" inactive "with the sockets alone ctxd does not run"
exits 40 "the first client starts it, and it knows how the job ended" "${ctl[@]}" wait "$id"
user_active() { [ "$(user_prop "$1" ActiveState)" = active ]; }
wait_until user_active ctxd.service
ok $? "it runs"

# An upgrade has the manager read the units again and restarts them.
gated 41
user_systemctl alice daemon-reload
exits 0 "daemon-reload and restart of both" user_systemctl alice restart ctx-spawner.service ctxd.service
alive "$pid"
ok $? "the job lives"
open_gate /home/alice/gate
exits 41 "its end is known" "${ctl[@]}" wait "$id"

# The last logout.
exits 1 "who does not linger is told by doctor" "${ctl[@]}" doctor
like "$out" 'loginctl enable-linger' "and what to do"
trapping 'sleep 0.2; exit 9' "${ctl[@]}" submit --grace 1m
end=$id
trapping 'exit 0' "${ctl[@]}" submit --timeout 20m
"${ctl[@]}" cancel --wait "$id" 2>/dev/null
logout alice
wait_until inactive "$manager"
ok $? "she logs out: her session manager ends"
wait_until [ ! -e "$cgroup" ]
ok $? "and nothing of hers runs"
loginctl enable-linger alice
ok $? "she lingers: it runs again, without a session"
wait_until user_answers alice
is "$(user_field alice "$end" state) $(user_field alice "$end" cause_code) $(user_field alice "$end" exit_code)" "interrupted shutdown 9" \
	"her job had its grace, and its end is on record"
is "$(user_field alice "$id" state)" canceled "what was cancelled before stays that"
out=$("${ctl[@]}" doctor)
like "$out" "job $end" "doctor names it"
unlike "$out" linger "and no word of lingering any more"
"${ctl[@]}" resolve --as failed "$end" >/dev/null
exits 0 "resolved, all is well" "${ctl[@]}" doctor
