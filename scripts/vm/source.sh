# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Kernel sources out of Debian's source packages: whole trees, or the few files
# that checks and tests take from them.  After lib.sh and apt.sh.

# source_package RELEASE: the package, PACKAGE=VERSION, that the binary kernel
# RELEASE was built from; the newest of its series where the mirror has dropped it.
source_package() {
	local name version
	name=linux-source-$(grep -oE '^[0-9]+\.[0-9]+' <<<"$1")
	version=$(apt-cache -c "$apt_conf" policy "linux-image-$1" | sed -n 's/^ *Candidate: //p')
	if ! source_versions "$name" | grep -qxF "${version:-none}"; then
		version=$(source_versions "$name" | head -n 1)
		[ -n "$version" ] || { say "no $name on the machine's mirror"; return 1; }
		say "the mirror has no source for $1: taking $name $version"
	fi
	echo "$name=$version"
}

# The package of the newest series there is.
source_newest() { apt_names '^linux-source-[0-9.]+$' | sort -V | tail -n 1; }

source_versions() { apt-cache -c "$apt_conf" madison "$1" | awk -F' *[|] *' '{ print $2 }'; }

# source_unpack DIR PACKAGE[=VERSION] [PATTERN…]: the source tree, or the files
# of it that match, each of which must match something.
source_unpack() {
	local dir=$1 package=$2 tmp rc
	shift 2
	say "fetching $package"
	tmp=$(mktemp -d "$apt_root/source.XXXXXX")
	mkdir -p "$dir"
	apt_unpack "$tmp" "$package" &&
		tar -xJf "$tmp"/usr/src/linux-source-*.tar.xz -C "$dir" --strip-components 1 \
			${1+--wildcards --no-wildcards-match-slash} "${@/#/*/}"
	rc=$?
	rm -rf "$tmp"
	return $rc
}

# What the kernel's own tests need, of the source of one kernel.
source_members='
	tools/testing/selftests/kselftest.h
	tools/testing/selftests/kselftest_harness.h
	tools/testing/selftests/net/tls.c
	include/uapi/linux/tls.h
	crypto/sm4.c
	crypto/sm4_generic.c
	crypto/aria_generic.c'

source_fetch() {
	local dir=$1 release=$2 package
	[ ! -e "$dir/complete" ] || return 0
	apt_update && package=$(source_package "$release") || return 1
	rm -rf "$dir"
	# shellcheck disable=SC2086	# words
	source_unpack "$dir" "$package" $source_members || {
		say "$package lacks something: see source_members in scripts/vm/source.sh"
		return 1
	}
	echo "$package" >"$dir/complete"
}

# source_files KERNEL: a folder with source_members of it, fetched if need be;
# its file "complete" names the package.
source_files() {
	local release dir
	release=$("$vm/kernel" version "$1") || return 1
	dir=$cache/source/$release-$(cksum <<<"$source_members" | cut -d' ' -f1)
	packages_need xz-utils >&2
	[ -e "$dir/complete" ] || cache_lock "source-$release" source_fetch "$dir" "$release" >&2 || return 1
	echo "$dir"
}
