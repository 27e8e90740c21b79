#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Limit: 600 seconds
#
# gnutls-cli with "ktls = true", unmodified, where Debian built the library with
# it: that is asked of the library as it runs, for the symbols are there anyway.
. "$(dirname "$0")/lib/compat.sh"

size=$((8 << 20))

# gnutls VERSION ARG…: what the library says goes to a file, data to the output.
gnutls() {
	GNUTLS_SYSTEM_PRIORITY_FILE=$tmp/gnutls.conf LD_PRELOAD=$tmp/buffered.so gnutls-cli --port "$port" \
		--x509cafile "$tmp/pki/ca.pem" --priority "NORMAL:-VERS-ALL:+VERS-TLS$1" \
		--logfile "$tmp/client.log" "${@:2}" localhost 2>"$tmp/client.err"
}

configure() { printf '%s\n' '[global]' "ktls = $1" >"$tmp/gnutls.conf"; }

# A value it cannot know stops it: so the file is read.
configuration_is_read() {
	configure nonsense
	! GNUTLS_SYSTEM_PRIORITY_FAIL_ON_INVALID=1 GNUTLS_SYSTEM_PRIORITY_FILE=$tmp/gnutls.conf gnutls-cli --list-config || return 1
	configure true
	GNUTLS_SYSTEM_PRIORITY_FAIL_ON_INVALID=1 GNUTLS_SYSTEM_PRIORITY_FILE=$tmp/gnutls.conf gnutls-cli --list-config
}

start_plain() { start_server plain s_server "$1" "-tls${2/./_}"; }

# A handshake, and what the library asked of the kernel, in $tmp/strace.
shakes_hands() {
	start_plain -WWW 1.2 || return 1
	ask small
	GNUTLS_SYSTEM_PRIORITY_FILE=$tmp/gnutls.conf timeout 60 strace -f -qq -e trace=setsockopt -o "$tmp/strace" gnutls-cli \
		--port "$port" --x509cafile "$tmp/pki/ca.pem" --logfile "$tmp/client.log" localhost <&5 >"$tmp/got" 2>&1
	stop_server
	tail -n 1 "$tmp/got" | cmp - "$tmp/www/small" || { cat "$tmp/client.log"; return 1; }
}

has_ktls() { grep -q TCP_ULP "$tmp/strace"; }

receives() {
	local rc
	mark
	start_plain -WWW "$1" || return 1
	ask file
	gnutls "$1" <&5 | tail -c $size | cmp - "$tmp/www/file"
	rc=$?
	stop_server
	[ $rc = 0 ] || cat "$tmp/client.log" "$tmp/client.err"
	ran Tx 22 && ran Rx $size && return $rc
}

sends() {
	local rc
	mark
	start_plain -quiet "$1" || return 1
	gnutls "$1" <"$tmp/www/file" >/dev/null
	until_ok 60 size_is "$tmp/served" $size && cmp "$tmp/served" "$tmp/www/file"
	rc=$?
	stop_server
	[ $rc = 0 ] || cat "$tmp/client.log" "$tmp/client.err"
	ran Tx $size && return $rc
}

make_material $size
echo small >"$tmp/www/small"
gcc -shared -fPIC -o "$tmp/buffered.so" "$top/scripts/vm/buffered.c" || bail "no compiler"
start_compat
for set in $(sets); do
	use_programs "$set"
	name="GnuTLS $(gnutls-cli --version | sed -n '1s/.* //p')"
	ok "$name reads its configuration" configuration_is_read
	ok "$name shakes hands" shakes_hands || continue
	if ! has_ktls; then
		skip "$name, ktls = true" "this build has no kTLS: it never asks for a ULP"
		continue
	fi
	for version in 1.2 1.3; do
		ok "$name, TLS $version: gnutls-cli receives" receives $version
		ok "$name, TLS $version: gnutls-cli sends" sends $version
	done
done
ok "nothing is left" all_gone
ok "in-tree kTLS was not there" in_tree_was_out
