# tree.sh - throw-away Debian trees for the host tests: a minimal system of a release, and what is written to it kept apart.
#
#   tree_base SUITE           make the minbase tree of SUITE (or take the one made in the last week); prints its path
#   tree_with SUITE NAME PACKAGE...
#                             make the tree NAME of SUITE: the minbase one with these packages; kept and printed as by
#                             tree_base, unless it was made with others
#   tree_host SUITE           the same with what building, packaging and booting take: one tree for all who need that
#   tree_open LOWER           mount a writable overlay over LOWER; sets TREE. At exit it is unmounted and removed
#                             (by tree_close, which a caller with an EXIT trap of its own calls itself).
#   tree_copy_clone DIR       the clone's files into $TREE/DIR
#   tree_run COMMAND...       run in $TREE with /proc, /sys, cgroup v2, /dev and a private /run and
#                             /tmp, and nothing of our environment. Each `FROM TO` of the array TREE_BIND is a
#                             directory of ours seen at TO in there
#
#   tree_boot DIR NAME SECONDS WORD...
#                             boot the system in DIR in a container, with these words on its kernel's command line, and wait
#                             for its end; what its console says comes on stdout. Several may be booted at a time.
#
# Needs root, debootstrap, systemd-nspawn and overlayfs. The mirror is that of the running system's own apt configuration.
# shellcheck shell=bash

TREE_CLONE=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd)
TREE=
TREE_BIND=()
tree_tmp=

tree_die() {
	echo "${0##*/}: $*" >&2
	exit 1
}

tree_mirror() {
	local uri
	# The repository that this system's own release comes from.
	# shellcheck disable=SC2016 # apt's own variables
	uri=$(apt-get indextargets --format '$(ORIGIN)|$(COMPONENT)|$(LABEL)|$(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
		sed -n 's/^Debian|main|Debian|//p' | head -n 1)
	[ -n "$uri" ] || uri=$(sed -n 's/^deb \(\[[^]]*\] \)\?\([a-z+]*:[^ ]*\) .*/\2/p; s/^URIs: *\([^ ]*\).*/\1/p' \
		/etc/apt/sources.list /etc/apt/sources.list.d/debian* 2>/dev/null | head -n 1)
	[ -n "$uri" ] || return 1
	printf '%s\n' "$uri"
}

# Is the tree DIR there and of the last week? One that is somebody else's is an error.
tree_kept() { # DIR
	if [ -e "$1" ] && { [ ! -O "$1" ] || [ -L "$1" ]; }; then
		tree_die "$1 is not ours"
	fi
	[ -e "$1/.complete" ] && [ -n "$(find "$1/.complete" -mtime -7)" ]
}

# One at a time makes what is kept under DIR. Sets lock; unlocked with the descriptor.
tree_lock() { # DIR
	if ! exec {lock}>"$1.lock" || ! flock "$lock"; then
		tree_die "cannot lock $1.lock"
	fi
}

tree_base() { # SUITE
	local suite=$1 dir=/var/tmp/ctx-debootstrap-$1 mirror lock
	tree_lock "$dir"
	if ! tree_kept "$dir"; then
		mirror=$(tree_mirror) || tree_die "apt names no Debian mirror"
		rm -rf --one-file-system "$dir" "$dir.new"
		debootstrap --variant=minbase "$suite" "$dir.new" "$mirror" >"$dir.log" 2>&1 </dev/null || {
			tail -n 30 "$dir.log" >&2
			tree_die "debootstrap $suite failed"
		}
		rm -f "$dir.log" "$dir.new"/var/cache/apt/archives/*.deb
		# How packages are reached is this system's matter: name service and proxy.
		cp -L /etc/resolv.conf "$dir.new/etc/resolv.conf" 2>/dev/null || :
		apt-config dump 2>/dev/null | grep -i '^Acquire::.*Proxy' >"$dir.new/etc/apt/apt.conf.d/90proxy" || :
		: >"$dir.new/.complete"
		mv "$dir.new" "$dir"
	fi
	exec {lock}>&-
	printf '%s\n' "$dir"
}

tree_with() { # SUITE NAME PACKAGE...
	local suite=$1 dir=/var/tmp/ctx-debootstrap-$1-$2 base lock
	tree_lock "$dir"
	if ! tree_kept "$dir" || [ "$(cat "$dir/.complete")" != "${*:3}" ]; then
		base=$(tree_base "$suite") || exit 1
		rm -rf --one-file-system "$dir" "$dir.new"
		cp -a "$base" "$dir.new" || tree_die "cannot copy $base"
		rm "$dir.new/.complete"
		TREE=$dir.new tree_run sh -c 'printf "#!/bin/sh\nexit 101\n" >/usr/sbin/policy-rc.d && chmod 755 /usr/sbin/policy-rc.d &&
			export DEBIAN_FRONTEND=noninteractive && apt-get -q -o Acquire::Retries=3 update &&
			apt-get -q -y -o Acquire::Retries=3 --no-install-recommends install "$@" &&
			apt-get clean && rm /usr/sbin/policy-rc.d' sh "${@:3}" >"$dir.log" 2>&1 || {
			tail -n 30 "$dir.log" >&2
			tree_die "installing ${*:3} in $suite failed"
		}
		printf '%s\n' "${*:3}" >"$dir.new/.complete"
		rm "$dir.log"
		mv "$dir.new" "$dir"
	fi
	exec {lock}>&-
	printf '%s\n' "$dir"
}

tree_host() { # SUITE
	local packages=(perl procps python3 systemd-sysv libpam-systemd dbus) entry
	. "$TREE_CLONE/tools/deps.sh"
	for entry in $DEPS_build ${DEPS_package-}; do
		packages+=("${entry%%|*}")
	done
	[ "$1" = bookworm ] || packages+=(systemd-dev)
	tree_with "$1" host "${packages[@]}"
}

tree_open() { # LOWER
	tree_tmp=$(mktemp -d /var/tmp/ctx-tree.XXXXXX) || exit 1
	if [ -z "$(trap -p EXIT)" ]; then
		trap tree_close EXIT
		trap 'exit 130' INT TERM
	fi
	mkdir "$tree_tmp/up" "$tree_tmp/work" "$tree_tmp/root"
	mount -t overlay overlay -o "lowerdir=$1,upperdir=$tree_tmp/up,workdir=$tree_tmp/work" "$tree_tmp/root" ||
		tree_die "no overlay over $1"
	TREE=$tree_tmp/root
}

tree_close() {
	[ -n "$tree_tmp" ] || return 0
	! mountpoint -q "$tree_tmp/root" || umount "$tree_tmp/root" || umount -l "$tree_tmp/root"
	rm -rf --one-file-system "$tree_tmp"
	tree_tmp=
}

tree_copy_clone() { # DIR
	mkdir -p "$TREE$1"
	(cd "$TREE_CLONE" && git ls-files -z --cached --others --exclude-standard | xargs -0 ls -d 2>/dev/null |
		tar -cf - -T -) | tar -C "$TREE$1" --no-same-owner -xf -
}

tree_run() { # COMMAND...
	# Namespaces of its own for mounts and processes: whatever is left in there dies with it.
	# shellcheck disable=SC2016 # expanded by the inner shell
	unshare --mount --pid --fork --kill-child bash -c '
		root=$1 binds=$2
		shift 2
		mount -t proc proc "$root/proc" &&
			mount -t sysfs sys "$root/sys" && mount -t cgroup2 cgroup "$root/sys/fs/cgroup" &&
			mount --rbind /dev "$root/dev" && mount --make-rslave "$root/dev" &&
			mount -t tmpfs -o mode=755 run "$root/run" &&
			mount -t tmpfs -o mode=1777 tmp "$root/tmp" || exit 1
		for ((; binds > 0; binds--)); do
			mkdir -p "$root${1#* }" && mount --bind "${1%% *}" "$root${1#* }" || exit 1
			shift
		done
		exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 ${CI_NO_SKIP:+CI_NO_SKIP=$CI_NO_SKIP} \
			${http_proxy:+http_proxy=$http_proxy} ${https_proxy:+https_proxy=$https_proxy} chroot "$root" "$@"
	' tree_run "$TREE" "${#TREE_BIND[@]}" "${TREE_BIND[@]}" "$@" </dev/null
}

# Where nspawn makes the cgroups of a container: below ours, under the same name every time. So each gets one of its own to
# be in, in every hierarchy that systemd uses. Sets cgroups.
tree_cgroups() { # NAME
	local mount path
	cgroups=()
	while read -r mount path; do
		[ -w "$mount$path/cgroup.procs" ] && mkdir "${mount%/}${path%/}/$1" 2>/dev/null && cgroups+=("${mount%/}${path%/}/$1")
	done < <(
		if [ -e /sys/fs/cgroup/cgroup.procs ]; then
			sed -n 's/^0::/\/sys\/fs\/cgroup /p' /proc/self/cgroup
		else
			sed -n 's/^0::/\/sys\/fs\/cgroup\/unified /p; s/^[0-9]*:name=systemd:/\/sys\/fs\/cgroup\/systemd /p' /proc/self/cgroup
		fi
	)
}

tree_boot() { # DIR NAME SECONDS WORD...
	local cgroups cgroup rc
	tree_cgroups "$2"
	(
		for cgroup in "${cgroups[@]}"; do
			echo "$BASHPID" >"$cgroup/cgroup.procs" || exit 1
		done
		SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 exec timeout --kill-after=10 "$3" systemd-nspawn --quiet -D "$1" --register=no --keep-unit \
			--boot -M "$2" --private-network --console=pipe "${@:4}"
	) 2>&1 </dev/null
	rc=$?
	for cgroup in "${cgroups[@]}"; do
		find "$cgroup" -depth -type d -exec rmdir {} + 2>/dev/null
	done
	return "$rc"
}
