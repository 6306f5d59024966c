# shellcheck shell=bash
# The journal: what becomes of a job is found by its id, its trace, its values.
plan 21

id=$(as alice env TRACEPARENT=00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01 ctxctl submit --wait -n brew -v request=r-17 true)
journalctl --sync 2>/dev/null
lines() { journalctl --no-pager -q -o cat --output-fields="$1" "${@:2}"; }
has() { lines MESSAGE "$@" | grep -q .; }
wait_until has "CTX_ID=$id" CTX_STATE=succeeded
ok $? "journalctl CTX_ID= has the end of a job"
like "$(lines MESSAGE "CTX_ID=$id")" "job=$id running.*job=$id succeeded" "and its life, in order"
wait_until has "CTX_ID=$id" _SYSTEMD_UNIT=ctx-spawner.service
like "$(lines MESSAGE "CTX_ID=$id" _SYSTEMD_UNIT=ctx-spawner.service)" "job=$id\.1 starts uid=" "and what the spawner did for it"
is "$(lines CTX_CLASS "CTX_ID=$id" CTX_STATE=succeeded)" default "CTX_CLASS"
is "$(lines CTX_NAME "CTX_ID=$id" CTX_STATE=succeeded)" brew "CTX_NAME"
of_ctxd=(CTX_STATE=running _SYSTEMD_UNIT=ctxd.service)
is "$(lines CTX_ID CTX_TRACE_ID=0af7651916cd43dd8448eb211c80319c "${of_ctxd[@]}")" "$id" "by its trace"
is "$(lines CTX_ID CTX_VALUE_REQUEST=r-17 "${of_ctxd[@]}")" "$id" "by a value"
is "$(lines SYSLOG_IDENTIFIER "CTX_ID=$id" "${of_ctxd[@]}")" ctxd "said by ctxd"
is "$(lines PRIORITY "CTX_ID=$id" "${of_ctxd[@]}")" 6 "at its priority"

# Every line, whoever says it, and not only of a state that changes.
fields() { # ID: how many of its lines lack one of the fields, after how many there are
	journalctl --no-pager -q -o json "CTX_ID=$1" | python3 -c '
import json, sys
lines = [json.loads(line) for line in sys.stdin]
wanted = ("CTX_ATTEMPT", "CTX_CLASS", "CTX_NAME", "CTX_STATE", "CTX_TRACE_ID", "CTX_UID", "CTX_VALUE_REQUEST")
lacking = [(l["MESSAGE"], f) for l in lines for f in wanted if f not in l]
print(len(lines) > 2, lacking)'
}
is "$(fields "$id")" "True []" "no line about it lacks a field"
of_spawner=(CTX_ID="$id" _SYSTEMD_UNIT=ctx-spawner.service)
is "$(lines CTX_CLASS "${of_spawner[@]}")" default "the spawner says the class"
is "$(lines CTX_NAME "${of_spawner[@]}")" brew "and the name"
is "$(lines CTX_STATE "${of_spawner[@]}")" running "and the state"
is "$(lines CTX_UID "${of_spawner[@]}")" "$(id -u alice)" "and whose it is"
is "$(lines CTX_TRACE_ID "${of_spawner[@]}")" 0af7651916cd43dd8448eb211c80319c "and the trace"
is "$(lines CTX_VALUE_REQUEST "${of_spawner[@]}")" r-17 "and each value"

# A monitor that is lost, processes that it left, deeds of others: lines that no job has of itself.
id=$(as alice ctxctl submit -n brew -v request=r-18 sleep 1000)
wait_until running "$id"
ctxctl signal -s WINCH "$id"
as bob ctxctl cancel "$id" 2>/dev/null
kill -KILL "$(cut -d' ' -f4 "/proc/$(field "$id" pid)/stat")"
wait_until field_is "$id" state interrupted
said() { journalctl --no-pager -q -o cat "CTX_ID=$id" | grep -q "$1"; }
for line in 'its monitor .* was lost' 'signal=WINCH' 'audit action=signal' 'audit action=refused'; do
	wait_until said "$line"
	ok $? "the journal has: $line"
done
is "$(fields "$id")" "True []" "and no line lacks a field"
ctxctl resolve "$id" --as failed
