# lib.sh - what the parts of the test inside the container use. Sourced by run.sh, which numbers the points.
# shellcheck shell=bash
n=0
plan() { echo "1..$1"; } # how many points this part has; its first words
ok() { # STATUS NAME
	n=$((n + 1))
	if [ "$1" = 0 ]; then echo "ok $n - ${*:2}"; else echo "not ok $n - ${*:2}"; fi
}
is() { # GOT WANT NAME
	if [ "$1" = "$2" ]; then
		ok 0 "${*:3}"
	else
		ok 1 "${*:3}"
		printf '%s\n' "     got: $1" "    want: $2" | sed 's/^/# /'
	fi
}
like() { # TEXT REGEX NAME
	if [[ $1 =~ $2 ]]; then
		ok 0 "${*:3}"
	else
		ok 1 "${*:3}"
		printf '%s\n' "     got: $1" "    want: /$2/" | sed 's/^/# /'
	fi
}
unlike() { # TEXT REGEX NAME
	if [[ $1 =~ $2 ]]; then
		ok 1 "${*:3}"
		printf '%s\n' "     got: $1" "    not: /$2/" | sed 's/^/# /'
	else
		ok 0 "${*:3}"
	fi
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
prop() { systemctl show -P "$2" "$1"; }
pick() { # FIELD, of a job on stdin
	python3 -c 'import json,sys; j=json.load(sys.stdin); j=j[0] if isinstance(j,list) else j; v=j[sys.argv[1]]; print("" if v is None else v)' "$1"
}
field() { # ID FIELD
	ctxctl --json status "$1" | pick "$2"
}
field_is() { [ "$(field "$1" "$2")" = "$3" ]; }
alive() { [ -e "/proc/$1/stat" ] && [[ $(cut -d' ' -f3 "/proc/$1/stat") != Z ]]; }
dead() { ! alive "$1"; }
answers() { ctxctl status >/dev/null 2>&1; }
restarted() { # UNIT OLD-PID
	local pid
	pid=$(prop "$1" MainPID)
	[ "$pid" != 0 ] && [ "$pid" != "$2" ] && [ "$(prop "$1" ActiveState)" = active ]
}
running() { field_is "$1" state running && [[ $(field "$1" pid) =~ ^[0-9]+$ ]]; } # and its process is known
units_stop() { systemctl stop ctxd.service ctxd.socket ctx-spawner.service ctx-spawner.socket ctx-jobs.service "$@"; }
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
