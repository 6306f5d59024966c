# shellcheck shell=bash
# Output in the journal when alice's own ctxd sends it: as herself, and so that she may read it.
plan 6
ctl=(user_ctxctl alice)
conf=/home/alice/.config/ctxd
as alice mkdir -p "$conf"
printf '[output]\nto = journal\n' | as alice tee "$conf/ctxd.conf" >/dev/null
login alice
user_systemctl alice enable --now ctxd.socket ctx-spawner.socket ctxd.service 2>/dev/null
user_systemctl alice restart ctxd.service
wait_until user_answers alice
ok $? "her ctxd runs"
id=$("${ctl[@]}" submit --wait -- sh -c 'echo hers; printf "no end"')
user_file_gone() { [ ! -e "/home/alice/.local/state/ctxd/output/0/$id.1.log" ]; }
wait_until user_file_gone
ok $? "a file goes when the journal has it"
is "$("${ctl[@]}" logs "$id" | tr '\n' '|')" "hers|no end" "ctxctl logs has its lines"
is "$("${ctl[@]}" logs --tail 1 "$id")" "no end" "the last one alone, too"
is "$(as alice journalctl --no-pager -q -o cat --output-fields=MESSAGE "CTX_ID=$id" CTX_STREAM=output "_UID=$(id -u alice)" | head -n 1)" hers \
	"so has her journal"
rm -rf "$conf"
exits 0 "and back to files" user_ctxctl alice reload
logout alice
