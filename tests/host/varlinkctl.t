#!/bin/bash
# varlinkctl.t - systemd's own Varlink client (Debian 13) against our socket: an implementation that shares nothing with ours.
# ctxd runs here, varlinkctl in a tree of trixie that sees its socket. Needs root and debootstrap.
# test-timeout: 300
here=$(dirname -- "$(readlink -f -- "$0")")
. "$here/../scenario/lib/ctx.sh"
. "$here/tree.sh"
plan 18

tree_open "$(tree_base trixie)"
at_exit tree_close
tree_run sh -c 'command -v varlinkctl >/dev/null && exit 0
	export DEBIAN_FRONTEND=noninteractive
	apt-get -qq update && apt-get -qq -y -o APT::Install-Recommends=false install systemd' >"$T/apt.log" 2>&1 ||
	bail "no varlinkctl: $(tail -n 5 "$T/apt.log")"
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

vctl call "$socket" io.ctxd.Get '{"id": 4711}'
like "$rc $out" '^[1-9][0-9]* .*io\.ctxd\.NoSuchJob' "an error of ours comes with its name"

vctl call "$socket" io.ctxd.Get '{}'
like "$out" 'InvalidParameter' "a missing parameter: the standard error"

vctl call "$socket" io.ctxd.Frobnicate '{}'
like "$out" 'MethodNotFound' "an unknown method: the standard error"
