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
field() { # ID FIELD
	ctxctl --json status "$1" | python3 -c 'import json,sys; j=json.load(sys.stdin); j=j[0] if isinstance(j,list) else j; v=j[sys.argv[1]]; print("" if v is None else v)' "$2"
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
running() { field_is "$1" state running; }
units=(ctxd.service ctxd.socket ctx-spawner.service ctx-spawner.socket ctx-jobs.service)
