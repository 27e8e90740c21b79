# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Programs of a newer Debian on an older host: its C library lives in the
# cache, programs are started through that library's own ld-linux.

# newer_libs SUITE: folder with the C library and what kernel tools need.
newer_libs() {
	local dir=$cache/libs-$1
	if [ ! -e "$dir/complete" ]; then
		rm -rf "$dir"
		apt_update && apt_unpack "$dir" libc6/"$1" libelf1t64/"$1" libssl3t64/"$1" \
			zlib1g/"$1" libzstd1/"$1" libgcc-s1/"$1" || return 1
		touch "$dir/complete"
	fi
	echo "$dir"
}

# The ld-linux of the unpacked root $1, and the library path below it.
newer_loader() { echo "$1"/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2; }
newer_path() { echo "$1/usr/lib/x86_64-linux-gnu:$1/lib/x86_64-linux-gnu"; }

# Does program $1 lack a library, or a symbol version, here?
newer_wanted() { ldd "$1" 2>&1 | grep -q 'not found'; }

# newer_wrap PROGRAM ROOT: in its place goes a script that starts it.
newer_wrap() {
	mv "$1" "$1.elf"
	cat >"$1" <<-END
		#!/bin/sh
		exec $(newer_loader "$2") --library-path $(newer_path "$2") --argv0 "\$0" $1.elf "\$@"
	END
	chmod 755 "$1"
}
