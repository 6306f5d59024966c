# lib.sh - what the parts of the test inside the container use. Sourced by run.sh, which numbers the points.
# shellcheck shell=bash
n=0
plan() { echo "1..$1"; } # how many points this part has; its first words
# Each of the following says one point, and has its status: what else is known of a failure may be said after it.
ok() { # STATUS NAME
	n=$((n + 1))
	if [ "$1" = 0 ]; then
		echo "ok $n - ${*:2}"
	else
		echo "not ok $n - ${*:2}"
		return 1
	fi
}
is() { # GOT WANT NAME
	[ "$1" = "$2" ]
	ok $? "${*:3}" || note "     got: $1" "    want: $2"
}
like() { # TEXT REGEX NAME
	[[ $1 =~ $2 ]]
	ok $? "${*:3}" || note "     got: $1" "    want: /$2/"
}
unlike() { # TEXT REGEX NAME
	[[ ! $1 =~ $2 ]]
	ok $? "${*:3}" || note "     got: $1" "     not: /$2/"
}
exits() { # STATUS NAME COMMAND...: what it printed is in $out
	local rc
	out=$("${@:3}" 2>&1)
	rc=$?
	[ "$rc" = "$1" ]
	ok $? "$2" || note "    exit: $rc, not $1: ${*:3}" "    said: $out"
}
note() { # LINE...: comments; the status of a point that failed
	printf '%s\n' "$@" | sed 's/^/# /'
	return 1
}
wait_until() { # COMMAND...
	local end=$((SECONDS + 60))
	until "$@"; do
		if [ "$SECONDS" -gt "$end" ]; then
			echo "# waited in vain for: $*"
			return 1
		fi
		sleep 0.05 # allow-sleep: the one bounded poll
	done
}
as() { # USER COMMAND...
	local user=$1
	shift
	setpriv --reuid "$user" --regid "$user" --init-groups env -i PATH=/usr/local/bin:/usr/bin:/bin LANG=C.UTF-8 "$@"
}
reload() { ctxctl reload >/dev/null; } # unlike a reload of the unit it is over when the new configuration is in force
# How a job ends whose gate is a FIFO. Nobody there to read: a failure, not the end of the test.
open_gate() { # PATH
	# shellcheck disable=SC2016 # for the inner shell
	timeout 60 sh -c 'echo >"$1"' sh "$1" || echo "# nobody waits at $1"
}
prop() { systemctl show -P "$2" "$1"; }
pick() { # FIELD, of a job on stdin
	python3 -c 'import json,sys; j=json.load(sys.stdin); j=j[0] if isinstance(j,list) else j; v=j[sys.argv[1]]; print("" if v is None else v)' "$1"
}
field() { # ID FIELD
	ctxctl --json status "$1" | pick "$2"
}
field_is() { [ "$(field "$1" "$2")" = "$3" ]; }
alive() { # PID: 0 and nothing are none
	local stat
	[ "${1:-0}" != 0 ] && stat=$(cat "/proc/$1/stat" 2>/dev/null) && [[ ${stat##*)} != " Z"* ]]
}
dead() { ! alive "$1"; }
answers() { ctxctl status >/dev/null 2>&1; }
restarted() { # UNIT OLD-PID
	local pid
	pid=$(prop "$1" MainPID)
	[ "$pid" != 0 ] && [ "$pid" != "$2" ] && [ "$(prop "$1" ActiveState)" = active ]
}
all_run='import json,sys; t=sys.stdin.read(); j=json.loads(t) if t.strip() else {}
sys.exit(not all(x.get("state") == "running" and x.get("pid") for x in (j if isinstance(j, list) else [j])))'
running() { ctxctl --json status "$@" | python3 -c "$all_run"; } # ID...: and their processes are known
units_stop() { systemctl stop ctxd.service ctxd.socket ctx-spawner.service ctx-spawner.socket ctx-jobs.service "$@"; }
# All is there that a client needs, as far as the first job would start it.
units_start() {
	systemctl start ctxd.socket ctx-spawner.socket ctxd.service && wait_until units_up
}
units_up() {
	active ctxd.service && active ctx-spawner.service && active ctx-jobs.service && answers && ! pending 'ctx*'
}
pending() { # PATTERN: has the manager anything to do for such units, or, without one, for any but the test's own?
	systemctl list-jobs --no-legend ${1+"$1"} | grep -qv ctx-test
}
booted() { ! pending; }
units_failed() { systemctl list-units --all --failed --no-legend 'ctx*' | wc -l; }
# A session of USER, as PAM and logind have it: its session manager runs from then on, until the last one of them ends.
login() { # USER
	systemd-run -q --unit="session-of-$1" -p User="$1" -p PAMName=runuser-l -p "Environment=XDG_SESSION_TYPE=tty XDG_SESSION_CLASS=user" \
		sleep infinity && wait_until active "user@$(id -u "$1").service"
}
logout() { # USER
	systemctl stop "session-of-$1"
}
active() { [ "$(prop "$1" ActiveState)" = active ]; }
inactive() { [ "$(prop "$1" ActiveState)" = inactive ]; }
# The session manager of USER, and ctx below it: `user_systemctl alice restart ctxd`.
user_systemctl() { # USER WORD...
	as "$1" env XDG_RUNTIME_DIR="/run/user/$(id -u "$1")" systemctl --user "${@:2}"
}
user_ctxctl() { # USER WORD...
	as "$1" env HOME="/home/$1" XDG_RUNTIME_DIR="/run/user/$(id -u "$1")" ctxctl --user "${@:2}"
}
user_field() { # USER ID FIELD
	user_ctxctl "$1" --json status "$2" | pick "$3"
}
user_running() { user_ctxctl "$1" --json status "${@:2}" | python3 -c "$all_run"; } # USER ID...
user_field_is() { [ "$(user_field "$1" "$2" "$3")" = "$4" ]; }
user_answers() { user_ctxctl "$1" status >/dev/null 2>&1; }

# Sets id: a job that is ready and, on TERM, runs COMMAND. CTXCTL: how to submit it.
trapping() { # COMMAND CTXCTL...
	id=$("${@:2}" -- sh -c "trap '$1' TERM; echo ready; while :; do sleep 0.05; done") && wait_until said_ready "$id" "${@:2}"
}
said_ready() { # ID CTXCTL...
	local id=$1 words=()
	shift
	while [ "$1" != submit ]; do
		words+=("$1")
		shift
	done
	"${words[@]}" logs "$id" | grep -q ready
}
