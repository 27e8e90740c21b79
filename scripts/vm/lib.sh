# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# What every script below scripts/ shares: where things are, how to speak and
# how to die, the cache and its lock.  Sourced, never run; bash.

# shellcheck disable=SC2034	# used by those who source this file
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
vm=$top/scripts/vm
cache=${ITLS_CACHE:-/var/cache/itls}

me=${0##*/}

say() { printf '%s: %s\n' "$me" "$*" >&2; }
die() { say "$*"; exit 1; }

need_root() {
	[ "$(id -u)" = 0 ] || die "must run as root: try 'sudo $0'"
}

# True when apt may be used to install: a Debian of a release we know.
host_codename() { sed -n 's/^VERSION_CODENAME=//p' /etc/os-release; }

host_release() {
	local id
	id=$(sed -n 's/^ID=//p' /etc/os-release)
	[ "$id" = debian ] || die "this is '$id', not Debian: see README.md for building by hand"
	sed -n 's/^VERSION_ID="\{0,1\}\([0-9]*\).*/\1/p' /etc/os-release
}

# cache_lock NAME COMMAND…: one holder a name, machine-wide.  The descriptor is
# opened here and not inherited by daemons the command may leave behind.
cache_lock() {
	local name=$1 fd
	shift
	mkdir -p "$cache/lock"
	exec {fd}>"$cache/lock/$name"
	flock "$fd"
	"$@" {fd}>&-
	local rc=$?
	exec {fd}>&-
	return $rc
}

# packages_need PKG…: installs the missing ones, quietly unless it fails.
packages_need() {
	local pkg missing=() log
	for pkg; do
		dpkg-query -W -f '${db:Status-Abbrev}' "$pkg" 2>/dev/null | grep -q '^ii' ||
			missing+=("$pkg")
	done
	[ ${#missing[@]} -gt 0 ] || return 0
	need_root
	say "installing: ${missing[*]}"
	log=$(mktemp)
	if ! cache_lock apt packages_install "${missing[@]}" >"$log" 2>&1; then
		tail -n 20 "$log" >&2
		rm -f "$log"
		die "apt could not install: ${missing[*]}"
	fi
	rm -f "$log"
}

# Services that a package would start are not wanted: the programs run in VMs.
packages_install() {
	local policy=/usr/sbin/policy-rc.d made='' rc=0
	if [ ! -e $policy ]; then
		printf '#!/bin/sh\nexit 101\n' >$policy
		chmod 755 $policy
		made=1
	fi
	apt-get update &&
		DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" || rc=1
	[ -z "$made" ] || rm -f $policy
	return $rc
}
