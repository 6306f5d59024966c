#!/bin/bash
# package-recipes.sh SOURCE TARBALL - the recipes for RPM and Alpine, tried with what was built in SOURCE for PREFIX=/usr: they
# parse, and each installed file is in exactly one package. Runs in the tree, where it writes beside TARBALL. Says `ok NAME`,
# `not ok NAME`.
set -u
source=$1 tarball=$2
name=$(basename "$tarball" .tar.gz)
work=$(dirname "$tarball")/recipes
mkdir -p "$work/rpm/BUILD" "$work/rpm/SOURCES"
point() { # STATUS NAME
	if [ "$1" = 0 ]; then
		echo "ok $2"
	else
		echo "not ok $2"
		tail -n 30 "$work/log" | cut -c 1-300 | sed 's/^/# /'
	fi
}

# What systemd's and Fedora's macros would say. There is no compiling here, so nothing is done to the programs either.
rpm_=(--define "_topdir $work/rpm" --define '_unitdir /usr/lib/systemd/system' --define '_userunitdir /usr/lib/systemd/user'
	--define 'set_build_flags :' --define 'debug_package %{nil}' --define '__os_install_post %{nil}')
cp "$tarball" "$work/rpm/SOURCES/"
rpmspec "${rpm_[@]}" -q --qf '%{NAME}\n' "$source/packaging/rpm/ctx.spec" >"$work/packages" 2>"$work/log"
[ "$(sort <"$work/packages" | tr '\n' ' ')" = "ctx ctx-exporter ctxctl ctxd ctxd-doc libctxd libctxd-devel " ] && [ ! -s "$work/log" ]
point $? "ctx.spec parses, and has the packages" || cat "$work/packages"
rpmbuild "${rpm_[@]}" -bp --nodeps "$source/packaging/rpm/ctx.spec" >"$work/log" 2>&1
point $? "ctx.spec prepares its source"
# rpm itself looks for files in no package, and for packages' files that are not there.
rm -rf "${work:?}/rpm/BUILD/$name" && cp -a "$source" "$work/rpm/BUILD/$name"
rpmbuild "${rpm_[@]}" -bi --short-circuit --nodeps --nocheck "$source/packaging/rpm/ctx.spec" >"$work/log" 2>&1 && ! grep -q 'listed twice' "$work/log"
point $? "ctx.spec lists what is installed"

# What abuild does with an APKBUILD, as far as it concerns which file goes where.
cat >"$work/abuild" <<'SH'
set -eu
startdir=$1 srcdir=$2 all=$3
fail() { echo "APKBUILD: $*" >&2; exit 1; }
amove() {
	for pattern; do
		for path in "$pkgdir"/$pattern; do
			[ -e "$path" ] || [ -L "$path" ] || fail "$subpkgname moves $pattern, which there is not"
			mkdir -p "$subpkgdir/$(dirname "${path#"$pkgdir"/}")"
			mv "$path" "$subpkgdir/$(dirname "${path#"$pkgdir"/}")/"
		done
	done
}
. "$startdir/APKBUILD"
for variable in pkgname pkgver pkgrel pkgdesc url arch license source builddir; do
	eval "[ -n \"\${$variable-}\" ]" || fail "no $variable"
done
[ -d "$builddir" ] || fail "no $builddir"
pkgdir=$all/$pkgname
( cd "$builddir" && package )
for sub in $subpackages; do
	subpkgname=${sub%%:*} subpkgdir=$all/${sub%%:*}
	case $sub in *:*) function=${sub#*:} ;; *) function=${sub##*-} ;; esac
	( "${function%%:*}" ) || fail "$subpkgname"
	[ -n "$(find "$subpkgdir" ! -type d)" ] || fail "$subpkgname is empty"
done
SH
sh -n "$source/packaging/alpine/APKBUILD" 2>"$work/log" && sh "$work/abuild" "$source/packaging/alpine" "${source%/*}" "$work/apk" >"$work/log" 2>&1
point $? "APKBUILD has what abuild wants, and its packages what they move"
left=$(cd "$work/apk/ctx" && find . -type f -o -type l | grep -E 'lib/libctxd|include|/man/|systemd|exporter')
[ -z "$left" ] && [ -x "$work/apk/ctx/usr/bin/ctxctl" ] && [ -x "$work/apk/ctx/usr/sbin/ctxd" ] && [ -x "$work/apk/ctx/usr/libexec/ctxd/ctx"-spawner ]
point $? "ctx of Alpine has the programs, and nothing of other packages" || printf '%s\n' "$left" | sed 's/^/# /'
