# 30-limits.sh - controllers for the jobs' cgroups: limits of a class, and restarts of everything under a living job.
# Which controllers there are is up to the kernel and the host; what is not there must be said.
# shellcheck shell=bash
plan 32
jobs=/sys/fs/cgroup/system.slice/ctx-jobs.service
conf=/etc/ctxd/ctxd.conf.d/30-limits.conf
printf '[class boxed]\nmemory_max=64M\ncpu_max=150%%\npids_max=20\nio_weight=50\nlimit_nofile=123\nnice=-3\n' >"$conf"
exits 0 "a class with limits" reload
is "$(prop ctx-jobs.service ActiveState)" active "the holder of the cgroups is active"
[ -z "$(cat "$jobs/cgroup.procs")" ] && [ -n "$(cat "$jobs/holder/cgroup.procs")" ]
ok $? "its cgroup holds no process, but for one in a leaf"

# What can be had here, in the order of the record.
missing=() there=()
for pair in memory:memory_max cpu:cpu_max pids:pids_max io:io_weight; do
	if grep -qw "${pair%:*}" "$jobs/cgroup.controllers"; then
		there+=("${pair%:*}")
	else
		missing+=("${pair#*:}")
	fi
done
# Any controller that is not of threads shows what a unit must not do; the test's host may have given us this one.
if [ "${#there[@]}" = 0 ] && grep -qw hugetlb /sys/fs/cgroup/cgroup.controllers; then
	for dir in /sys/fs/cgroup /sys/fs/cgroup/system.slice "$jobs"; do
		echo +hugetlb >"$dir/cgroup.subtree_control"
	done
	there+=(hugetlb)
fi
echo "# controllers: ${there[*]:-none}; not enforced: ${missing[*]:-nothing}"
unenforced_is() { # ID WORD...
	[ "$(ctxctl --json status "$1" | python3 -c 'import json,sys; j=json.load(sys.stdin); print(*(j[0] if isinstance(j,list) else j)["limits_unenforced"])')" = "${*:2}" ]
}

as alice mkfifo /home/alice/limits
id=$(as alice ctxctl submit -C / -c boxed -- sh -c 'ulimit -Sn; ulimit -Hn; nice; echo ready; read x </home/alice/limits; exit 45')
wait_until running "$id"
ok $? "a job of that class runs"
pid=$(field "$id" pid)
wait_until said_ready "$id" ctxctl submit
is "$(ctxctl logs "$id" | tr '\n' ' ')" "123 123 -3 ready " "its resource limits and nice value"
wait_until unenforced_is "$id" "${missing[@]}"
ok $? "its record says what is not enforced, and nothing else"
if [ "${#missing[@]}" = 0 ]; then
	exits 0 "doctor has nothing to say" ctxctl doctor
else
	like "$(ctxctl doctor)" "limits: not enforced.*${missing[0]}" "doctor says so, too"
fi
is "$(cut -d: -f3 "/proc/$pid/cgroup" | tail -n1)" "/system.slice/ctx-jobs.service/$id.1" "it is in its cgroup"
as_set() { # what is enforced is as the class says
	local c
	for c in "${there[@]}"; do
		case $c in
		memory) [ "$(cat "$jobs/$id.1/memory.max" "$jobs/$id.1/memory.oom.group" | tr '\n' ' ')" = "67108864 1 " ] || return 1 ;;
		cpu) [ "$(cat "$jobs/$id.1/cpu.max")" = "150000 100000" ] || return 1 ;;
		pids) [ "$(cat "$jobs/$id.1/pids.max")" = 20 ] || return 1 ;;
		esac
		grep -qw "$c" "$jobs/cgroup.subtree_control" || return 1
	done
}
as_set
ok $? "its limits are set there"

# Whatever restarts, it lives, and within its limits.
lives() { # WHAT
	wait_until answers
	wait_until running "$id" && alive "$pid"
	ok $? "$1: the job lives"
	as_set
	ok $? "$1: within its limits"
}
main=$(prop ctxd.service MainPID)
systemctl restart ctxd.service
lives "ctxd restarts"
main=$(prop ctx-spawner.service MainPID)
systemctl restart ctx-spawner.service
wait_until restarted ctx-spawner.service "$main"
lives "the spawner restarts"
main=$(prop ctx-spawner.service MainPID)
kill -KILL "$main"
wait_until restarted ctx-spawner.service "$main"
lives "the spawner is killed"
systemctl daemon-reload
lives "systemd reads its units again"
systemctl restart ctx-jobs.service
is "$?:$(prop ctx-jobs.service ActiveState):$(prop ctx-jobs.service Result)" 0:active:success "the holder restarts under it"
lives "the holder restarts"
is "$(cut -d: -f3 "/proc/$pid/cgroup" | tail -n1)" "/system.slice/ctx-jobs.service/$id.1" "it is where it was"
systemctl stop ctx-jobs.service
is "$?:$(prop ctx-jobs.service ActiveState)" 0:inactive "the holder stops under it"
lives "the holder stops"
systemctl start ctx-jobs.service
is "$?:$(prop ctx-jobs.service ActiveState)" 0:active "and starts"

other=$(as alice ctxctl submit -C / -c boxed -- sh -c 'echo ready; exec sleep 1000')
wait_until said_ready "$other" ctxctl submit
wait_until running "$other"
is "$(cut -d: -f3 "/proc/$(field "$other" pid)/cgroup" | tail -n1)" "/system.slice/ctx-jobs.service/$other.1" "a new job gets a cgroup beside it"
exits 0 "which ends" as alice ctxctl cancel --wait "$other"
wait_until [ ! -e "$jobs/$other.1" ]
ok $? "and its cgroup is removed"
open_gate /home/alice/limits
exits 45 "the first job's true end is known" as alice ctxctl wait "$id"
wait_until [ ! -e "$jobs/$id.1" ]
ok $? "its cgroup is removed"
is "$(units_failed)" 0 "no unit has failed"
rm -f "$conf" /home/alice/limits
exits 0 "the class is gone" reload
