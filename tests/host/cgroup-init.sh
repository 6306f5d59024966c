#!/bin/sh
# cgroup-init.sh - process 1 of the machine of cgroup.t: every controller there is, a ctxd whose spawner gives each job a cgroup,
# and jobs that run into each limit. Facts are told, a line each, on ttyS1 (descriptor 3), and judged outside: `job NAME JSON`,
# `log NAME LINE`, `fact NAME TEXT`; at last `over`.
# shellcheck disable=SC2016 # what jobs are to expand
# shellcheck source=tests/host/machine-init.sh
. /machine-init.sh

echo 1 >/proc/sys/vm/overcommit_memory # memory is short when it is used, not when it is asked for
mount -t ext4 /dev/vda /disk || die "mount"

# As the service manager delegates: controllers for what is below the root, and a cgroup that is left to the spawner.
cg=/sys/fs/cgroup/jobs
for controller in memory cpu io pids; do
	echo +$controller >/sys/fs/cgroup/cgroup.subtree_control || die "no controller $controller"
done
mkdir $cg
# ctxd starts its spawner by this name.
cat >/bin/ctx-spawner <<'SPAWNER'
#!/bin/sh
exec /lib/ctx-spawner --cgroup "$CGROUP" "$@"
SPAWNER
chmod 755 /bin/ctx-spawner

start() { # NAME: a ctxd with directories of its own
	export CTXD_SOCKET="/run/$1.sock"
	CTXD_CHECK=1 HOME=/ ctxd --user --config /ctxd.conf --state-dir "/tmp/state.$1" --runtime-dir "/run/$1" --socket "$CTXD_SOCKET" \
		3>&- </dev/null >>/run/log."$1" 2>&1 &
	ctxd=$!
	until_true answers
}
said() { # ID TEXT
	ctxctl logs "$1" | grep -q "$2"
}
tell() { # NAME ID
	say "job $1 $(ctxctl --json status "$2" | tr -d '\n')"
	ctxctl logs "$2" | while read -r line; do
		say "log $1 $line"
	done
}
run() { # NAME CLASS SCRIPT: to its end
	id=$(ctxctl submit -n "$1" -c "$2" -C / -- sh -c "$3") || die "submit $1"
	ctxctl wait "$id" >/dev/null 2>&1
	tell "$1" "$id"
}
has_state() { # ID STATE
	ctxctl --json status "$1" | grep -q "\"state\": *\"$2\""
}

export CGROUP=$cg
start one
run free plain 'cat /sys/fs/cgroup/jobs/$CTX_ID.1/memory.max /sys/fs/cgroup/jobs/$CTX_ID.1/cpu.max /sys/fs/cgroup/jobs/$CTX_ID.1/pids.max'
say "fact controllers $(cat $cg/cgroup.subtree_control)"

# One that lives until the end, through the death of everything that looks after it.
mkfifo /run/gate
long=$(ctxctl submit -n long -c boxed -C / -- sh -c 'sleep 10000 & echo ready; read x </run/gate; tail -c 100m /dev/zero')
until_true said "$long" ready

run oom boxed 'sleep 10000 & echo ready; tail -c 100m /dev/zero; echo survived'
run below boxed 'head -c 21m /dev/zero | tail -c 20m | wc -c'
run settings boxed 'cd /sys/fs/cgroup/jobs/$CTX_ID.1; grep . memory.max memory.oom.group cpu.max pids.max io.weight io.bfq.weight 2>/dev/null'
# At the limit of one, another may make as many as it likes.
full=$(ctxctl submit -n full -c few -C / -- sh -c 'i=0; while [ $i -lt 40 ]; do sleep 10000 & i=$((i+1)); done; echo made all; wait')
run many plain 'i=0; while [ $i -lt 40 ]; do sleep 1 & i=$((i+1)); done; echo made all'
ctxctl wait "$full" >/dev/null 2>&1
tell full "$full"
run throttled slow 'timeout 2 yes >/dev/null 2>&1; grep _  /sys/fs/cgroup/jobs/$CTX_ID.1/cpu.stat'
run disk plain 'dd if=/dev/zero of=/disk/written bs=64k count=64 conv=fsync 2>/dev/null; echo 3 >/proc/sys/vm/drop_caches; cat /disk/written | wc -c'

# The spawner dies, then ctxd: both come back, find the controllers on, and go on with them.
spawner=$(pidof ctx-spawner | tr ' ' '\n' | sort -n | head -n1)
kill -KILL "$spawner"
run second boxed 'sleep 10000 & tail -c 100m /dev/zero'
kill -KILL $ctxd
wait $ctxd
start one
until_true has_state "$long" running
run third boxed 'sleep 10000 & tail -c 100m /dev/zero'
say "fact long $(cat "$cg/$long.1/memory.max" "$cg/$long.1/pids.max" | tr '\n' ' ')"
echo >/run/gate
ctxctl wait "$long" >/dev/null 2>&1
tell long "$long"

# No limit of its own: the machine's memory runs out.
run machine plain 'sleep 10000 & tail -c 2000m /dev/zero'
gone() {
	[ -z "$(find $cg -mindepth 1 -type d)" ]
}
until_true gone
say "fact gone yes"
kill -TERM $ctxd
wait $ctxd
say "fact stopped $?"

# A parent that holds a process itself can give no memory to those below: said, and the job runs.
export CGROUP=/sys/fs/cgroup/busy
mkdir $CGROUP
sleep 10000 &
echo $! >$CGROUP/cgroup.procs
start two
run busy boxed 'echo ran'
grep "cannot be" /run/log.two | while read -r line; do
	say "log two $line"
done
kill -TERM $ctxd
wait $ctxd
cat /run/log.one /run/log.two >/dev/console
say over
poweroff -f
