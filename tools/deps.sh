# tools/deps.sh - the distribution's packages that building, testing and linting need. Sourced by ./quickstart, ./runtests
# and .ci/run; does nothing by itself.
#
#   deps_ensure [--no-install] SET...     SET: build test lint model fuzz examples package host metrics powercut
#
# Returns 0 when all packages of the sets are there, having installed the missing ones with apt-get (as root, or through
# sudo), and says what it installs. With --no-install it lists what is missing and returns 1. The package lists are only
# fetched when an installation fails without that; nothing is touched when nothing is missing. Needs bash, dpkg and apt
# alone, so that it works in a minimal (debootstrap --variant=minbase) tree. Leaves nothing behind but packages.
#
# An entry `a|b` is satisfied by either package; `a` is what would be installed.
# shellcheck shell=bash disable=SC2034

# To build: the compiler, the libraries, and nothing else.
DEPS_build="gcc make libc6-dev pkgconf|pkg-config libev-dev libsqlite3-dev libinih-dev libjansson-dev"
# To test: prove is in perl; the scenario tests are shell and Python 3 (standard library); strace injects faults;
# openssl makes certificates; the exporter is built where its libraries are.
DEPS_test="perl python3 sqlite3 strace openssl util-linux libmicrohttpd-dev libcurl4-openssl-dev|libcurl4-gnutls-dev"
# For `make lint`.
DEPS_lint="clang clang-format clang-tidy cppcheck shellcheck mandoc binutils"
# For `make model`: the model checker, whose checkers are C.
DEPS_model="spin gcc libc6-dev"
# For `make fuzz`: libFuzzer and the sanitizers of clang.
DEPS_fuzz="clang libclang-rt-dev"
# For the examples in other languages, which are tested where these are.
DEPS_examples="golang-go nodejs"
# To build packages, with the unit tests, and judge them; tests/host/package.t does it in trees of its own.
DEPS_package="$DEPS_test build-essential debhelper dpkg-dev lintian fakeroot rpm"
# For .ci/run: sanitizer and valgrind runs, trees of both releases, a real systemd, shells that complete, a real ssh.
DEPS_host="valgrind debootstrap systemd systemd-sysv systemd-container dbus mount bash-completion zsh fish openssh-server openssh-client"
# For tests/host/metrics.t: a real Prometheus, and its tools.
DEPS_metrics="prometheus"
# For tests/host/powercut.t: a machine. Its kernel is downloaded by the test, not installed.
DEPS_powercut="qemu-system-x86 e2fsprogs busybox-static"

deps_say() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
}

deps_installed() { # PACKAGE
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# Print, one a line, the packages of the sets that are missing.
deps_missing() { # SET...
	local set entry alt var
	for set; do
		var=DEPS_$set
		for entry in ${!var}; do
			for alt in ${entry//|/ }; do
				deps_installed "$alt" && continue 2
			done
			printf '%s\n' "${entry%%|*}"
		done
	done
}

# apt-get as root, quietly; its output goes to the file LOG of the caller.
deps_apt() {
	local as_root=()
	[ "$(id -u)" = 0 ] || as_root=(sudo)
	"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive LC_ALL=C apt-get -q -y \
		-o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 \
		-o APT::Install-Recommends=false -o APT::Install-Suggests=false "$@"
}

deps_install() { # PACKAGE...
	local log rc=0
	log=$(mktemp "${TMPDIR:-/tmp}/ctx-apt.XXXXXX") || return 1
	deps_say "installing from the distribution's packages: $*"
	if ! deps_apt install -- "$@" >"$log" 2>&1 </dev/null; then
		deps_say "fetching the package lists first"
		# One broken third-party source fails the update but need not matter to us.
		deps_apt update >>"$log" 2>&1 </dev/null ||
			deps_say "apt-get update reported problems; continuing"
		deps_apt install -- "$@" >>"$log" 2>&1 </dev/null || rc=$?
	fi
	if [ "$rc" != 0 ]; then
		tail -n 40 "$log" >&2
		deps_say "apt-get could not install: $*"
	fi
	rm -f "$log"
	return "$rc"
}

deps_ensure() { # [--no-install] SET...
	local install=1 missing
	if [ "$1" = --no-install ]; then
		install=
		shift
	fi
	if ! command -v dpkg-query >/dev/null 2>&1; then
		deps_say "this is not a Debian system, so nothing is checked or installed; see tools/deps.sh for what is needed"
		return 0
	fi
	missing=$(deps_missing "$@" | sort -u)
	[ -n "$missing" ] || return 0
	missing=${missing//$'\n'/ }
	if [ -z "$install" ]; then
		deps_say "these packages are missing (--no-install was given): $missing"
		return 1
	fi
	if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null 2>&1; then
		deps_say "these packages are missing, and without root or sudo they cannot be installed: $missing"
		deps_say "as root: apt-get install --no-install-recommends $missing"
		return 1
	fi
	# shellcheck disable=SC2086 # package names, split on purpose
	deps_install $missing || return 1
	missing=$(deps_missing "$@" | sort -u)
	[ -z "$missing" ] && return 0
	deps_say "still missing after the installation: ${missing//$'\n'/ }"
	return 1
}
