#!/bin/bash
# first-contact.sh SUITE - a stranger on a fresh, minimal Debian: the two commands of the README, and what they promise.
#
# In a debootstrap tree of SUITE (no compiler, no make, no sudo): --no-install names what is missing and fails; ./quickstart
# and ./runtests install it and succeed; again, from another directory; again as an ordinary user; and nothing is left
# outside the clone. Needs root. See tree.sh.
set -eu
here=$(dirname -- "$(readlink -f -- "$0")")
. "$here/tree.sh"
suite=${1:?usage: first-contact.sh SUITE}

base=$(tree_base "$suite")
tree_open "$base"
tree_copy_clone /src

say() { printf '\n== %s: %s\n' "$suite" "$*"; }

say "./quickstart --no-install names what is missing"
if out=$(tree_run /src/quickstart --no-install 2>&1); then
	tree_die "--no-install succeeded on a bare system"
fi
printf '%s\n' "$out"
for word in gcc make libev-dev libsqlite3-dev; do
	[[ $out == *"$word"* ]] || tree_die "--no-install did not name $word"
done
[ ! -e "$TREE/usr/bin/make" ] || tree_die "--no-install installed something"

say "./quickstart"
tree_run sh -c 'cd /src && ./quickstart'

say "./runtests"
rc=0
tree_run sh -c 'cd /src && ./runtests' || rc=1

say "./quickstart again, from elsewhere, leaves nothing outside the clone"
touch "$tree_tmp/stamp"
tree_run sh -c 'cd /var && /src/quickstart' >"$tree_tmp/out" 2>&1 || {
	cat "$tree_tmp/out"
	tree_die "the second run failed"
}
left=$(find "$TREE" -xdev -path "$TREE/src" -prune -o -newer "$tree_tmp/stamp" ! -type d -print)
[ -z "$left" ] || tree_die "left outside the clone: $left"

say "./quickstart as an ordinary user"
tree_run sh -c 'useradd -m stranger && cp -r /src /home/stranger/clone && chown -R stranger: /home/stranger/clone'
tree_run setpriv --reuid stranger --regid stranger --clear-groups env HOME=/home/stranger \
	/home/stranger/clone/quickstart >"$tree_tmp/out" 2>&1 || {
	cat "$tree_tmp/out"
	tree_die "it failed for an ordinary user"
}
tail -n 12 "$tree_tmp/out"
if [ "$rc" != 0 ]; then
	tree_die "./runtests failed in $suite, see above"
fi
say "done"
