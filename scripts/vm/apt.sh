# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# A private apt: package lists of releases other than the host's, packages
# downloaded and unpacked below the cache, never installed.  The mirrors are
# those the machine itself uses; proxies and credentials stay the machine's.

apt_root=$cache/apt
apt_conf=$apt_root/apt.conf

# Base address of the machine's own mirror: $1 is Debian or Debian-Security.
apt_mirror() {
	# shellcheck disable=SC2016	# apt's own variables
	apt-get indextargets --format '$(LABEL)|$(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
		sed -n "s/^$1|//p" | sort -u | head -n 1
}

apt_sources() {
	local main security host opt
	main=$(apt_mirror Debian)
	if [ -z "$main" ]; then
		apt-get update >/dev/null || die "apt-get update failed: check the network and the apt sources"
		main=$(apt_mirror Debian)
	fi
	[ -n "$main" ] || die "no Debian mirror among the machine's apt sources: add one to /etc/apt/sources.list"
	security=$(apt_mirror Debian-Security)
	host=$(host_codename)
	opt="[target=Packages lang=none signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]"
	for suite in trixie trixie-backports sid $host; do
		echo "deb $opt $main $suite main"
	done
	[ -n "$security" ] || return 0
	for suite in trixie-security $host-security; do
		echo "deb $opt $security $suite main"
	done
}

apt_configure() {
	mkdir -p "$apt_root/lists/partial" "$apt_root/archives/partial" "$apt_root/parts"
	: >"$apt_root/status"
	apt_sources | sort -u >"$apt_root/sources.list" || return 1
	cat >"$apt_conf" <<-END
		Dir::Etc::SourceList "$apt_root/sources.list";
		Dir::Etc::SourceParts "$apt_root/parts";
		Dir::Etc::Preferences "/dev/null";
		Dir::Etc::PreferencesParts "$apt_root/parts";
		Dir::State::Lists "$apt_root/lists";
		Dir::State::status "$apt_root/status";
		Dir::Cache "$apt_root";
		Dir::Cache::Archives "$apt_root/archives";
		Dir::Cache::pkgcache "pkgcache.bin";
		Dir::Cache::srcpkgcache "srcpkgcache.bin";
		Acquire::Check-Valid-Until "false";
		Acquire::Languages "none";
		APT::Sandbox::User "root";
		#clear APT::Update::Post-Invoke;
		#clear APT::Update::Post-Invoke-Success;
	END
}

# Lists are read once a day at most, and only when something is not cached.
apt_update() {
	local stamp=$apt_root/updated
	[ "${1-}" = force ] || [ -z "$(find "$stamp" -mtime -1 2>/dev/null)" ] || return 0
	[ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || packages_need debian-archive-keyring
	say "reading the package lists of trixie, backports and sid"
	apt_configure || return 1
	if ! apt-get -qq -c "$apt_conf" update >"$apt_root/update.log" 2>&1; then
		cat "$apt_root/update.log" >&2
		return 1
	fi
	touch "$stamp"
}

apt_names() { apt-cache -c "$apt_conf" search --names-only "$1" | cut -d' ' -f1; }

# Direct dependencies of package $1 whose names match $2.
apt_depends() {
	apt-cache -c "$apt_conf" depends --no-recommends --no-suggests "$1" |
		sed -n 's/^ *|\{0,1\}Depends: //p' | grep -E "$2" | sort -u
}

# apt_unpack DIR PKG[/SUITE]…: what the packages contain, below DIR.
apt_unpack() {
	local dir=$1 pkg tmp
	shift
	mkdir -p "$dir"
	tmp=$(mktemp -d "$apt_root/get.XXXXXX")
	chmod 755 "$tmp"
	if ! (cd "$tmp" && apt-get -qq -c "$apt_conf" download "$@") >"$tmp/log" 2>&1; then
		cat "$tmp/log" >&2
		rm -rf "$tmp"
		say "could not download: $*"
		return 1
	fi
	for pkg in "$tmp"/*.deb; do
		dpkg-deb -x "$pkg" "$dir" || return 1
	done
	rm -rf "$tmp"
}

# apt_closure DIR SUITE PKG…: the packages of SUITE and all they depend on.
apt_closure() {
	local dir=$1 suite=$2 pkg tmp
	shift 2
	mkdir -p "$dir"
	tmp=$(mktemp -d "$apt_root/get.XXXXXX")
	mkdir -p "$tmp/partial"
	if ! apt-get -qq -y -c "$apt_conf" -o Dir::Cache::Archives="$tmp" -t "$suite" \
			--no-install-recommends --download-only install "$@" >"$tmp/log" 2>&1; then
		cat "$tmp/log" >&2
		rm -rf "$tmp"
		say "could not download: $*"
		return 1
	fi
	for pkg in "$tmp"/*.deb; do
		dpkg-deb -x "$pkg" "$dir" || return 1
	done
	rm -rf "$tmp"
}
