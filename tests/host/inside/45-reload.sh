# 45-reload.sh - `systemctl reload`: how it went can be seen, and where systemd can wait for it, it does.
# shellcheck shell=bash
version=$(systemctl --version | sed -n '1s/^systemd \([0-9]*\).*/\1/p')
waits=no
[ "$version" -lt 253 ] || waits=yes
if [ "$waits" = yes ]; then plan 11; else plan 5; fi
conf=/etc/ctxd/ctxd.conf.d/reload.conf
status_is() { [[ $(prop ctxd.service StatusText) =~ $1 ]]; }
state_is() { [ "$(prop ctxd.service ActiveState)" = "$1" ]; }

printf '[deadline]\ntimeout = soon\n' >$conf
systemctl reload ctxd.service
wait_until status_is 'configuration is wrong.*reload\.conf:2'
ok $? "what is wrong with a new configuration is in the status"
is "$(prop ctxd.service ActiveState)" active "the old one stays in force"
printf '[deadline]\ntimeout = 8m\n' >$conf
systemctl reload ctxd.service
wait_until status_is '^Serving$'
ok $? "a good one is taken"
like "$(ctxctl config)" '8m' "and in force"

if [ "$waits" = yes ]; then
	is "$(prop ctxd.service Type)" notify-reload "systemd $version waits for a reload"
	# The drop-in is there without us: `make install NOTIFY_RELOAD=yes`.
	like "$(prop ctxd.service DropInPaths)" 'ctxd.service.d/notify-reload.conf' "by the drop-in"
	printf '[deadline]\ntimeout = 9m\n' >$conf
	# Not SIGSTOP: systemd has SIGCONT follow its signal.
	freeze=/sys/fs/cgroup$(prop ctxd.service ControlGroup)/cgroup.freeze
	echo 1 >"$freeze"
	wait_until grep -qx 'frozen 1' "${freeze%/*}/cgroup.events"
	systemctl reload ctxd.service &
	job=$!
	wait_until state_is reloading
	ok $? "reload has begun while ctxd is frozen"
	kill -0 "$job" 2>/dev/null
	ok $? "and waits"
	echo 0 >"$freeze"
	wait "$job"
	ok $? "it is over when ctxd says so"
	like "$(ctxctl config)" '9m' "the new configuration is in force then"
	is "$(prop ctxd.service ActiveState)" active "ctxd is active"
else
	is "$(prop ctxd.service Type)" notify "systemd $version knows no better"
fi
rm $conf
reload
