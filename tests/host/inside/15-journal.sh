# shellcheck shell=bash
# The journal: what becomes of a job is found by its id, its trace, its values.
plan 9

id=$(as alice env TRACEPARENT=00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01 ctxctl submit --wait -n brew -v request=r-17 true)
journalctl --sync 2>/dev/null
lines() { journalctl --no-pager -q -o cat --output-fields="$1" "${@:2}"; }
wait_until sh -c "journalctl --no-pager -q CTX_ID=$id CTX_STATE=succeeded | grep -q ."
ok $? "journalctl CTX_ID= has the end of a job"
like "$(lines MESSAGE "CTX_ID=$id")" "job=$id running.*job=$id succeeded" "and its life, in order"
like "$(lines MESSAGE "CTX_ID=$id" _SYSTEMD_UNIT=ctx-spawner.service)" "job=$id\.1 starts uid=" "and what the spawner did for it"
is "$(lines CTX_CLASS "CTX_ID=$id" CTX_STATE=succeeded)" default "CTX_CLASS"
is "$(lines CTX_NAME "CTX_ID=$id" CTX_STATE=succeeded)" brew "CTX_NAME"
is "$(lines CTX_ID CTX_TRACE_ID=0af7651916cd43dd8448eb211c80319c CTX_STATE=running)" "$id" "by its trace"
is "$(lines CTX_ID CTX_VALUE_REQUEST=r-17 CTX_STATE=running)" "$id" "by a value"
is "$(lines SYSLOG_IDENTIFIER "CTX_ID=$id" CTX_STATE=running)" ctxd "said by ctxd"
is "$(lines PRIORITY "CTX_ID=$id" CTX_STATE=running)" 6 "at its priority"
