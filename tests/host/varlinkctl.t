#!/bin/bash
# varlinkctl.t - systemd's own Varlink client (Debian 13) against our socket: an implementation that shares nothing with ours.
# ctxd runs here, varlinkctl in a tree of trixie that sees its socket. Needs root and debootstrap.
# test-timeout: 300
here=$(dirname -- "$(readlink -f -- "$0")")
. "$here/../scenario/lib/ctx.sh"
. "$here/tree.sh"
plan 31

base=$(tree_host trixie) || bail "no tree of trixie"
tree_open "$base"
at_exit tree_close
ctxd_start
mkdir "$TREE/ctx"
mount --bind "$T" "$TREE/ctx" || bail "no bind mount"
at_exit umount "$TREE/ctx"
cp "$here/../../daemon/api/io.ctxd.varlink" "$T/idl"

# varlinkctl ARG...: in the tree; its output in $out, its status in $rc
vctl() {
	out=$(chroot "$TREE" env -i PATH=/usr/bin:/bin LC_ALL=C.UTF-8 SYSTEMD_COLORS=0 varlinkctl "$@" 2>&1 </dev/null)
	rc=$?
}
socket=unix:/ctx/ctxd.sock

vctl validate-idl /ctx/idl
is "$rc" 0 "validate-idl accepts the interface description" || diag "$out"

vctl info "$socket"
is "$rc" 0 "info"
like "$out" 'io\.ctxd' "info names io.ctxd"
like "$out" 'org\.varlink\.service' "and org.varlink.service"

vctl list-interfaces "$socket"
like "$out" 'io\.ctxd' "list-interfaces"

vctl introspect "$socket" io.ctxd
is "$rc" 0 "introspect"
like "$out" 'method Submit' "introspect shows Submit"

vctl call "$socket" io.ctxd.Submit '{"argv": ["sh", "-c", "echo from varlinkctl; exit 7"], "name": "foreign"}'
is "$rc" 0 "call Submit"
id=$(json_get job.id <<<"$out")
like "$id" '^[0-9]+$' "it answers with a job"

vctl call -E "$socket" io.ctxd.Wait "{\"ids\": [$id]}"
is "$rc" 0 "call -E Wait, which may take its time"
like "$out" '"failed"' "and tells how the job ended"

vctl call "$socket" io.ctxd.Get "{\"id\": $id}"
is "$(json_get job.exit_code <<<"$out")" 7 "Get knows the exit code"

vctl call -j --more "$socket" io.ctxd.List '{}'
is "$rc" 0 "call --more List"
like "$out" '"foreign"' "with the job"

vctl call --more "$socket" io.ctxd.Logs "{\"id\": $id}"
like "$out" "$(printf 'from varlinkctl\n' | base64)" "call --more Logs"

vctl call "$socket" io.ctxd.Scope '{"name": "outer", "values": {"tenant": "acme", "n": "1"}, "timeout_usec": 60000000}'
is "$rc" 0 "call Scope with values"
scope=$(json_get job.id <<<"$out")
is "$(json_get job.kind <<<"$out") $(json_get job.state <<<"$out")" "scope open" "it answers with an open scope"

vctl call "$socket" io.ctxd.Submit "{\"argv\": [\"sleep\", \"1000\"], \"parent\": $scope,
	\"inherit\": [\"values\", \"trace\", \"deadline\", \"cancel\"], \"values\": {\"n\": \"2\"}, \"key\": \"once\"}"
is "$rc" 0 "call Submit below it"
job=$(json_get job.id <<<"$out")
is "$(json_get job.values.tenant <<<"$out") $(json_get job.values.n <<<"$out")" "acme 2" "its values are the scope's and its own"
is "$(json_get job.parent <<<"$out")" "$scope" "its parent is the scope"

vctl call "$socket" io.ctxd.Progress "{\"id\": $job, \"percent\": 12.5, \"text\": \"an eighth\"}"
is "$rc" 0 "call Progress with a number that is no integer"
is "$(json_get job.progress.percent <<<"$out")" 12.5 "and back it comes"

vctl call "$socket" io.ctxd.Close "{\"id\": $scope, \"cause\": \"done\"}"
like "$out" "\"reached\".*\[[^0-9]*${job}[^0-9]*\]" "call Close tells what it reached" || diag "$out"

vctl call -E -j --more "$socket" io.ctxd.Events "{\"id\": $job, \"follow\": true}"
is "$rc" 0 "call --more Events, until the job has ended"
like "$out" '"canceled"' "which it does"

vctl call "$socket" io.ctxd.Spool '{"data": "aGVsbG8K"}'
is "$(json_get bytes <<<"$out")" 6 "call Spool"

vctl call "$socket" io.ctxd.Get '{"id": 4711}'
like "$rc $out" '^[1-9][0-9]* .*io\.ctxd\.NoSuchJob' "an error of ours comes with its name"

vctl call "$socket" io.ctxd.Get '{}'
like "$out" 'InvalidParameter' "a missing parameter: the standard error"

vctl call "$socket" io.ctxd.Frobnicate '{}'
like "$out" 'MethodNotFound' "an unknown method: the standard error"

# As from another machine; a program of ours stands for ssh.
cp "$CTXCTL" "$T/ctxctl"
cat >"$T/ssh" <<'END'
#!/bin/sh
while [ $# -gt 0 ] && [ "$1" != far ]; do shift; done
shift
PATH=/ctx:$PATH CTXD_SOCKET=/ctx/ctxd.sock exec sh -c "$*"
END
chmod +x "$T/ssh"
out=$(chroot "$TREE" env -i PATH=/usr/bin:/bin SYSTEMD_SSH=/ctx/ssh SYSTEMD_COLORS=0 \
	varlinkctl call 'ssh-exec:far:ctxctl bridge' io.ctxd.Get "{\"id\": $id}" 2>&1 </dev/null)
is "$?" 0 "call through ssh-exec: and ctxctl bridge" || diag "$out"
is "$(json_get job.exit_code <<<"$out")" 7 "brings the same answer"
