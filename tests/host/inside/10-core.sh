# 10-core.sh - the units as the README installs them: who may do what, and what survives whose death.
# shellcheck shell=bash
plan 59

# Installed as the README says.
exits 0 "sysusers" systemd-sysusers /usr/local/lib/sysusers.d/ctxd.conf
exits 0 "tmpfiles" systemd-tmpfiles --create /usr/local/lib/tmpfiles.d/ctxd.conf
usermod -aG ctx alice
systemctl daemon-reload
exits 0 "the units start" systemctl enable --now ctxd.socket ctx-spawner.socket ctxd.service
is "$(prop ctxd.service ActiveState)" active "ctxd is active, that is, it said READY=1"
is "$(ps -o user= -p "$(prop ctxd.service MainPID)")" ctxd "it runs as user ctxd"
is "$(stat -c '%U:%G %a' /run/ctxd)" "root:root 755" "/run/ctxd"
is "$(stat -c '%U:%G %a' /run/ctxd/ctxd.sock)" "root:ctx 660" "its socket: group ctx may submit"
is "$(stat -c '%U:%G %a' /run/ctxd/spawner.sock)" "ctxd:ctxd 600" "the spawner's socket: ctxd alone"
is "$(stat -c '%U:%G %a' /var/lib/ctxd)" "ctxd:ctxd 700" "the state directory"
is "$(stat -c '%U:%G %a' /var/lib/ctxd/ctxd.db)" "ctxd:ctxd 600" "the database"

# A job runs as who submitted it.
# shellcheck disable=SC2016 # for the job to expand
exits 0 "alice, of group ctx, runs a job" \
	as alice ctxctl run -C / -- sh -c 'id -un; id -Gn; echo "$HOME $USER $LOGNAME $SHELL"; echo by name >>/dev/stderr; cat /proc/self/oom_score_adj'
like "$out" $'^alice\n' "as alice"
like "$out" 'alice ctx|ctx alice' "with her groups"
like "$out" '/home/alice alice alice /bin/sh' "HOME, USER, LOGNAME, SHELL are hers"
like "$out" 'by name' "/dev/stderr can be opened by name"
like "$out" $'\n0' "oom_score_adj is 0"

out=$(as bob ctxctl submit true 2>&1)
rc=$?
[ "$rc" != 0 ]
ok $? "bob, not of group ctx, is refused"
like "$out" 'ctxd.sock' "and told which socket it was about"

out=$(ctxctl run true 2>&1)
rc=$?
[ "$rc" != 0 ]
ok $? "a job of root is refused"
like "$out" 'allow-root' "the refusal names --allow-root"
like "$out" 'ctx-spawner\.service' "and the unit to edit"

# Rights.
id=$(as alice ctxctl submit sleep 1000)
wait_until running "$id"
ok $? "alice's job runs"
pid=$(field "$id" pid)
usermod -aG ctx bob
exits 4 "bob, now of group ctx, may not cancel it" as bob ctxctl cancel "$id"
is "$(as bob ctxctl --json list --all | tr -d ' \n')" "[]" "nor does he see it in a list"
like "$(cat "/proc/$pid/cgroup")" '/ctx-jobs\.service/'"$id"'\.1' "its cgroup is below ctx-jobs.service"
is "$(stat -c '%U:%G %a' /run/ctxd/jobs)" "root:root 711" "the run directories' directory"
is "$(stat -c '%U:%G %a' "/run/ctxd/jobs/$id.1")" "root:ctxd 751" "its run directory"
is "$(stat -c '%a' "/run/ctxd/jobs/$id.1/ctl")" 660 "its ctl"
log=$(find /var/lib/ctxd/output -name "$id.1.log")
is "$(stat -c '%U:%G %a' "$log")" "alice:ctxd 640" "its output file is alice's, ctxd may read"
exits 0 "alice may cancel it" as alice ctxctl cancel --wait "$id"
dead "$pid"
ok $? "it is dead then"
wait_until [ ! -e "/run/ctxd/jobs/$id.1" ]
ok $? "and its run directory is gone"
wait_until [ ! -e "/sys/fs/cgroup/system.slice/ctx-jobs.service/$id.1" ]
ok $? "as is its cgroup"

# SIGKILL of ctxd: systemd starts it again, the job goes on, its true end is recorded.
as alice mkfifo /home/alice/go
id=$(as alice ctxctl submit -- sh -c 'read x </home/alice/go; exit 42')
wait_until running "$id"
pid=$(field "$id" pid)
main=$(prop ctxd.service MainPID)
kill -KILL "$main"
wait_until restarted ctxd.service "$main"
ok $? "ctxd is killed with SIGKILL and started again"
alive "$pid"
ok $? "the job lives"
wait_until answers
is "$(field "$id" state)" running "and is known to be running"
open_gate /home/alice/go
exits 42 "its true end is recorded" ctxctl wait "$id"

# Stop of ctxd: the job ends meanwhile.
id=$(as alice ctxctl submit -- sh -c 'read x </home/alice/go; exit 43')
wait_until running "$id"
pid=$(field "$id" pid)
systemctl stop ctxd.service ctxd.socket
is "$(prop ctxd.service Result)" success "ctxd is stopped"
alive "$pid"
ok $? "the job lives"
open_gate /home/alice/go
wait_until dead "$pid"
systemctl start ctxd.socket ctxd.service
exits 43 "a new ctxd finds how the job ended" ctxctl wait "$id"

# The spawner restarts, and is killed: jobs go on, new ones start.
for how in restart kill; do
	id=$(as alice ctxctl submit -- sh -c 'read x </home/alice/go; exit 44')
	wait_until running "$id"
	pid=$(field "$id" pid)
	main=$(prop ctx-spawner.service MainPID)
	if [ "$how" = restart ]; then systemctl restart ctx-spawner.service; else kill -KILL "$main"; fi
	wait_until restarted ctx-spawner.service "$main"
	alive "$pid"
	ok $? "$how of the spawner: the job lives"
	exits 0 "$how of the spawner: new jobs run" as alice ctxctl run true
	open_gate /home/alice/go
	exits 44 "$how of the spawner: the job's true end is recorded" ctxctl wait "$id"
done

# The holder of the cgroups restarts: the same.
id=$(as alice ctxctl submit -- sh -c 'read x </home/alice/go; exit 45')
wait_until running "$id"
exits 0 "the holder of the cgroups restarts under a running job" systemctl restart ctx-jobs.service
open_gate /home/alice/go
exits 45 "the job does not notice" ctxctl wait "$id"

# A tree that hides, a deadline, a cgroup.
id=$(as alice ctxctl submit --timeout 1s --grace 1s --shell 'trap "" TERM; (setsid sh -c "trap \"\" TERM; sleep 1000" &); sleep 1000')
exits 124 "a job that overruns its deadline" ctxctl wait "$id"
is "$(grep -lszxF "CTX_ID=$id" /proc/[0-9]*/environ)" "" "nothing of it is alive"

# Configuration: reload, and a wrong one.
printf '[deadline]\ntimeout = 7m\n' >/etc/ctxd/ctxd.conf.d/test.conf
systemctl reload ctxd.service
wait_until sh -c 'ctxctl config | grep -q "7m"'
ok $? "systemctl reload"
printf '[deadline]\ntimeout = soon\n' >/etc/ctxd/ctxd.conf.d/test.conf
systemctl restart ctxd.service 2>/dev/null
is "$(prop ctxd.service ExecMainStatus)" 78 "a wrong configuration: exit status 78"
is "$(prop ctxd.service ActiveState)" failed "and systemd does not try again"
rm /etc/ctxd/ctxd.conf.d/test.conf
systemctl reset-failed ctxd.service ctxd.socket
exits 0 "mended, it starts" eval 'systemctl restart ctxd.socket && systemctl restart ctxd.service'

# The watchdog. On a slow machine it may bite before we do; the process that is stopped is another one then.
mkdir -p /run/systemd/system/ctxd.service.d
printf '[Service]\nWatchdogSec=1s\n' >/run/systemd/system/ctxd.service.d/watchdog.conf
systemctl daemon-reload
systemctl restart ctxd.service
stopped() {
	main=$(prop ctxd.service MainPID)
	[ "$main" != 0 ] && kill -STOP "$main"
}
wait_until stopped
wait_until restarted ctxd.service "$main"
ok $? "a ctxd that hangs is replaced by the watchdog"
wait_until answers
ok $? "and answers"
rm -r /run/systemd/system/ctxd.service.d
systemctl daemon-reload
systemctl restart ctxd.service # until then it has that second

# Jobs of root, allowed by the drop-in that the refusal names.
mkdir -p /run/systemd/system/ctx-spawner.service.d
{
	echo '[Service]'
	echo 'ExecStart='
	sed -n 's/^ExecStart=\(.*--system\) /ExecStart=\1 --allow-root /p' /usr/local/lib/systemd/system/ctx-spawner.service
} >/run/systemd/system/ctx-spawner.service.d/root.conf
systemctl daemon-reload
systemctl restart ctx-spawner.service
wait_until units_up
exits 0 "with --allow-root root's jobs run" ctxctl run true

journalctl --sync
like "$(journalctl --no-pager -q -u ctxd.service)" "job" "the journal has the jobs' edges"
rm -r /run/systemd/system/ctx-spawner.service.d
systemctl daemon-reload
units_stop
is "$(units_failed)" 0 "all units stop cleanly"
units_start
