#!/bin/bash
# package-inside.sh OLDER NEWER - what package.sh does in the booted system, as root: the packages of the directory OLDER are
# installed, upgraded to those of NEWER, removed, installed again and purged, while a user's jobs run. TAP on stdout.
set -u
older=$1 newer=$2
export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive
# shellcheck source=inside/lib.sh
. "$(dirname -- "$(readlink -f -- "$0")")/lib.sh"
T=/ctx-test
trap 'journalctl --no-pager -q -o short-monotonic >$T/journal 2>&1' EXIT
jobs=100
all=(ctxd ctxctl ctx-exporter libctxd0 libctxd-dev ctxd-doc)
plan 48

said=$T/dpkg
pkg() { # dpkg's arguments; its output is in $said
	dpkg "$@" >"$said" 2>&1 || { sed 's/^/# /' "$said" && return 1; }
}
# `ID STATE PID EXIT-CODE` of the jobs that were submitted first; `-` is what there is not.
table() {
	xargs ctxctl --json status <$T/ids | python3 -c '
import json, sys
for j in json.load(sys.stdin):
    print(j["id"], j["state"], j.get("pid") or "-", "-" if j.get("exit_code") is None else j["exit_code"])'
}
count() { table | awk -v state="$1" '$2 == state { n++ } END { print n + 0 }'; } # STATE
count_is() { [ "$(count "$1")" = "$2" ]; }
metrics() { python3 -c 'import urllib.request; print(urllib.request.urlopen("http://127.0.0.1:9469/metrics", timeout=60).read().decode())'; }
holder() { cat /sys/fs/cgroup/system.slice/ctx-jobs.service/holder/cgroup.procs; }
main_pid() { prop "$1" MainPID; }
# One more job, whose number is in $job and whose process in $pid: it ends with STATUS when the gate NAME opens.
job_at() { # NAME STATUS
	job=$(as alice ctxctl submit -t 1h -C / -- flock -s "/home/alice/$1" sh -c "exit $2")
	wait_until running "$job"
	pid=$(field "$job" pid)
}

wait_until booted
names() { find / /run -xdev \( -path /ctx-test -o -path /build -o -path /home \) -prune -o -name '*ctx*' -print | sort; }
names >$T/names

# Installed, it runs.
pkg -i "$older"/*.deb
ok $? "dpkg -i"
is "$(prop ctxd.service ActiveState) $(prop ctxd.socket ActiveState) $(prop ctx-spawner.socket ActiveState)" "active active active" "the units run"
is "$(systemctl is-enabled ctxd.service ctxd.socket ctx-spawner.socket | sort -u)" enabled "and are enabled"
is "$(ps -o user= -p "$(main_pid ctxd.service)")" ctxd "as user ctxd"
is "$(stat -c '%U:%G %a' /run/ctxd/ctxd.sock)" "root:ctx 660" "group ctx may submit"
is "$(systemctl is-enabled ctx-exporter.socket) $(prop ctx-exporter.socket ActiveState)" "disabled inactive" "the exporter does not, unless somebody wants it"
is "$(find /etc/systemd/user -name 'ctx*')" "" "nor does a user's own ctxd"
is "$(dpkg --verify "${all[@]}")" "" "dpkg --verify"
is "$(units_failed)" 0 "no unit failed"
dpkg -L "${all[@]}" | sort -u >$T/files

# A program is built with what libctxd-dev has, and runs with libctxd0.
# shellcheck disable=SC2046 # flags
cc -o $T/detach /usr/share/doc/ctxd/examples/c/detach.c $(pkg-config --cflags --libs libctxd) >$T/cc 2>&1
ok $? "an example is built with libctxd-dev" || sed 's/^/# /' $T/cc
like "$(ldd $T/detach)" 'libctxd\.so\.0 => /' "and finds libctxd0"

systemctl enable --now ctx-exporter.socket >/dev/null 2>&1 && like "$(metrics)" 'ctx_' "the exporter, enabled"

# A user of group ctx, with more jobs than run by default.
useradd -m -s /bin/sh alice && usermod -aG ctx alice
printf '[limits]\nrunning = 200\n' >/etc/ctxd/ctxd.conf.d/more.conf
systemctl reload ctxd.service
for gate in hundred while-away last; do
	as alice touch /home/alice/$gate
done
exec 7</home/alice/hundred 8</home/alice/while-away 9</home/alice/last
flock 7 && flock 8 && flock 9
# shellcheck disable=SC2016 # for the inner shell
as alice sh -c 'i=0; while [ $i -lt '$jobs' ]; do i=$((i + 1)); ctxctl submit -t 1h -C / -- flock -s /home/alice/hundred sh -c "exit $i"; done' >$T/ids
is "$(wc -l <$T/ids)" $jobs "alice submits $jobs jobs"
wait_until count_is running $jobs
ok $? "they run"
table >$T/before

# The upgrade.
ctxd=$(main_pid ctxd.service) spawner=$(main_pid ctx-spawner.service) holder=$(holder) exporter=$(main_pid ctx-exporter.service)
socket=$(stat -c %i /run/ctxd/ctxd.sock)
pkg -i "$newer"/*.deb
ok $? "upgrade"
is "$(dpkg-query -W -f '${Version}' ctxd)" "$(dpkg-deb -f "$newer"/ctxd_*.deb Version)" "to the newer version"
wait_until restarted ctxd.service "$ctxd" && wait_until restarted ctx-spawner.service "$spawner" && wait_until restarted ctx-exporter.service "$exporter"
ok $? "the programs were restarted"
is "$(holder)" "$holder" "the holder of the cgroups was not"
is "$(stat -c %i /run/ctxd/ctxd.sock)" "$socket" "nor was the socket: nobody is refused meanwhile"
wait_until count_is running $jobs
table >$T/after
cmp $T/before $T/after
ok $? "$jobs jobs run, in the same processes" || diff $T/before $T/after | sed 's/^/# /'
dead=0
while read -r _ _ pid _; do alive "$pid" || dead=$((dead + 1)); done <$T/after
is "$dead" 0 "which are alive"
is "$(as alice ctxctl run -C / id -un)" alice "new jobs run"
like "$(metrics)" 'ctx_' "the exporter serves on"
flock -u 7
wait_until count_is running 0
is "$(table | awk '{ print $2, $4 }')" "$(seq -f 'failed %.0f' $jobs)" "each of the $jobs ends with its own status, and it is recorded"

table >$T/ends

# Removed: the programs go, what runs goes on, and what is recorded stays.
job_at while-away 51
away=$job away_pid=$pid
job_at last 52
last=$job last_pid=$pid
ctxd=$(main_pid ctxd.service) spawner=$(main_pid ctx-spawner.service)
pkg -r ctx-exporter ctxd
ok $? "remove"
like "$(cat "$said")" '2 jobs go on' "says that two jobs go on"
[ "$(pidof ctxd ctx-exporter)" = "" ] && [ ! -e "/proc/$spawner" ]
ok $? "the programs are gone"
! answers
ok $? "nobody listens"
alive "$away_pid" && alive "$last_pid"
ok $? "both jobs live"
[ -e /etc/ctxd/ctxd.conf ] && [ -e /etc/ctxd/ctxd.conf.d/more.conf ] && [ -e /var/lib/ctxd/ctxd.db ]
ok $? "configuration and records stay"
flock -u 8
wait_until dead "$away_pid"

# And back.
pkg -i "$newer"/ctxd_*.deb
ok $? "installed again"
wait_until answers
is "$(table)" "$(cat $T/ends)" "the records are there"
exits 51 "how the job ended that did so meanwhile" as alice ctxctl wait "$away"
wait_until running "$last"
is "$(field "$last" state) $(field "$last" pid)" "running $last_pid" "the other one runs, in the same process"
is "$(as alice ctxctl run -C / id -un)" alice "new jobs run"

# Purged, with a job that runs: nothing is left of it, of ctxd, of its files.
pkg -P ctxd
ok $? "purge"
wait_until dead "$last_pid"
ok $? "the job is dead"
wait_until sh -c '! grep -lE "^(ctx-|/usr/libexec/ctxd)" /proc/[0-9]*/comm 2>/dev/null'
ok $? "so is its monitor"
pkg -P "${all[@]:1}"
ok $? "all are purged"
left=$(while read -r path; do [ -d "$path" ] || [ ! -e "$path" ] || echo "$path"; done <$T/files)
is "$left" "" "no file of a package is left"
is "$(names | comm -13 $T/names -)" "" "nor anything else with its name"
is "$(systemctl list-units --all --no-legend --plain 'ctx*' | grep -v '^ctx-test')" "" "nor a unit"
is "$(getent passwd ctxd | cut -d: -f1,6)" "ctxd:/var/lib/ctxd" "but the user, whose number nobody else is to get"

# Purged at once, without a removal before.
pkg -i "$older"/ctxd_*.deb "$older"/ctxctl_*.deb
ok $? "installed anew"
is "$(ctxctl --json list --all | tr -d ' \n')" "[]" "it knows of nothing"
pkg -P ctxd ctxctl
ok $? "and purged at once"
[ ! -e /var/lib/ctxd ] && [ ! -e /etc/ctxd ] && [ ! -e /run/ctxd ]
ok $? "nothing is left"
is "$(units_failed)" 0 "no unit failed"
