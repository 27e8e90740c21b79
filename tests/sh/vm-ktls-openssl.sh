#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Limit: 900 seconds
#
# OpenSSL's own programs with kTLS on, unmodified, against one without: what the
# counters show is one end's doing.  And both ends in the module.
. "$(dirname "$0")/lib/compat.sh"

size=$((8 << 20))

# An OpenSSL with kTLS: s_server and s_client have an option for it since 3.2.
ktls() {
	local option=()
	OPENSSL_CONF=/dev/null openssl "$1" -help 2>&1 | grep -q '^ -ktls ' && option=(-ktls)
	OPENSSL_CONF=$tmp/ktls.cnf exec openssl "$@" ${option[@]+"${option[@]}"}
}

version_option() { echo "-tls${1/./_}"; }

# download CLIENT VERSION [ARG…]: the file from a server that runs already.
download() {
	local client=$1 version=$2
	shift 2
	ask file
	("$client" s_client -quiet -connect "localhost:$port" -CAfile "$tmp/pki/ca.pem" -verify_return_error \
		"$(version_option "$version")" "$@") <&5 2>"$tmp/client.log" | tail -c $size | cmp - "$tmp/www/file" ||
		{ cat "$tmp/client.log" "$tmp/server.log" "$tmp/served"; return 1; }
}

# upload CLIENT: the file to a server that writes down what it gets.
upload() {
	local client=$1 rc
	rm -f "$tmp/up"
	mkfifo "$tmp/up"
	("$client" s_client -quiet -connect "localhost:$port" -CAfile "$tmp/pki/ca.pem" -verify_return_error) \
		<"$tmp/up" >/dev/null 2>"$tmp/client.log" &
	pids+=($!)
	# Held open until the last byte has arrived: s_client spins on an end.
	exec 6>"$tmp/up"
	cat "$tmp/www/file" >&6
	until_ok 60 size_is "$tmp/served" $size && cmp "$tmp/served" "$tmp/www/file"
	rc=$?
	end_process "${pids[-1]}" TERM
	exec 6>&-
	[ $rc = 0 ] || cat "$tmp/client.log" "$tmp/server.log"
	return $rc
}

# Received in the module, or by the library, which says so.
received() {
	if openssl_receives "$1"; then
		ran Rx "$2"
	else
		idle Rx
	fi
}

# session SERVER-COMMAND… -- CLIENT…: the server runs as long as the client.
session() {
	local command=() rc
	while [ "$1" != -- ]; do
		command+=("$1")
		shift
	done
	shift
	mark
	start_server "${command[@]}" || return 1
	"$@"
	rc=$?
	stop_server
	return $rc
}

sendfile_was_used() { grep -F "KTLS SENDFILE 'file' OK" "$tmp/served" "$tmp/server.log"; }

server_sends() {
	session ktls s_server -WWW -sendfile "$(version_option "$1")" -- download plain "$1" &&
		sendfile_was_used && ran Tx $size && received "$1" 22
}

server_receives() {
	session ktls s_server -quiet "$(version_option "$1")" -- upload plain && received "$1" $size
}

client_sends() { session plain s_server -quiet "$(version_option "$1")" -- upload ktls && ran Tx $size; }

client_receives() {
	session plain s_server -WWW "$(version_option "$1")" -- download ktls "$1" &&
		ran Tx 22 && received "$1" $size
}

# both_ends VERSION [ARG…]: arguments for both.
both_ends() {
	local version=$1
	shift
	session ktls s_server -WWW -sendfile "$(version_option "$version")" "$@" -- download ktls "$version" "$@" &&
		sendfile_was_used && ran Tx $((size + 22)) && received "$version" $((size + 22))
}

# Each cipher that OpenSSL gives to the kernel.
cipher() {
	case $1 in
	1.2) both_ends 1.2 -cipher "$2" ;;
	1.3) both_ends 1.3 -ciphersuites "$2" ;;
	esac
}

make_material $size
start_compat
for set in $(sets); do
	use_programs "$set"
	for version in 1.2 1.3; do
		name="OpenSSL $openssl_version, TLS $version"
		openssl_receives $version || echo "# $name: this library keeps the receiving key to itself"
		ok "$name: s_server sends by SSL_sendfile" server_sends $version
		ok "$name: s_server receives" server_receives $version
		ok "$name: s_client sends" client_sends $version
		ok "$name: s_client receives" client_receives $version
		ok "$name: both ends" both_ends $version
	done
done
size=$((1 << 20))
truncate -s $size "$tmp/www/file"
for name in AES128-GCM-SHA256 AES128-CCM CHACHA20-POLY1305; do
	ok "TLS 1.2, $name" cipher 1.2 "ECDHE-ECDSA-$name"
done
for name in AES_128_GCM_SHA256 AES_128_CCM_SHA256 CHACHA20_POLY1305_SHA256; do
	# By strace: 3.0 does not ask for the ULP then.
	if [ $name = AES_128_CCM_SHA256 ] && ! openssl_receives 1.3; then
		skip "TLS 1.3, $name" "OpenSSL $openssl_version keeps CCM to itself in TLS 1.3"
		continue
	fi
	ok "TLS 1.3, $name" cipher 1.3 "TLS_$name"
done
[ -n "$newer" ] || openssl_receives 1.3 ||
	skip "TLS 1.3 received in the module" "OpenSSL $openssl_version cannot; scripts/vm/programs fetches one that can"
ok "nothing is left" all_gone
ok "in-tree kTLS was not there" in_tree_was_out
