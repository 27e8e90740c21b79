#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Limit: 600 seconds
#
# 200 connections at once, many of them aborted at a random moment: no session,
# request, socket or page stays behind.
. "$(dirname "$0")/lib/server.sh"

sockets() { awk '$1 == "TCP:" { for (i = 2; i < NF; i += 2) if ($i == "inuse") print $(i + 1) }' /proc/net/sockstat; }
socket_pages() { awk '$1 == "TCP:" { print $NF }' /proc/net/sockstat; }
pages_at_most() { [ "$(socket_pages)" -le "$1" ] || { cat /proc/net/sockstat; return 1; }; }
sockets_are() { is "$(sockets)" "$1"; }

# curl_many SECONDS FIRST LAST: one process with a connection for each number.
curl_many() {
	local i
	for i in $(seq "$2" "$3"); do
		printf 'url = "https://localhost:%s/file"\noutput = "%s"\n' "$port" "$tmp/out.$i"
	done >"$tmp/curl.$2"
	curl -sS -Z --parallel-immediate --parallel-max 200 --max-time "$1" --cacert "$ca" -K "$tmp/curl.$2"
}

# Few processes, so that the processors are left to the handshakes: eleven
# whose transfers give up at some moment, one whose transfers all end.
flood() {
	local i aborting=() rc=0
	for i in $(seq 1001 6 1066); do
		curl_many "$((RANDOM % 12)).$((RANDOM % 900 + 50))" "$i" $((i + 5)) 2>/dev/null &
		aborting+=($!)
	done
	curl_many 600 1 134 || rc=1
	wait "${aborting[@]}"
	for i in $(seq 134); do
		cmp "$tmp/out.$i" "$tmp/www/file" || { rc=1; break; }
	done
	rm -f "$tmp"/out.*
	[ $rc = 0 ] || grep -v '\<0$' /proc/net/itls_stat
	return $rc
}

# The flood was one: connections were made, and some of them cut.
was_a_flood() {
	cat /proc/net/itls_stat
	counter_reaches HandshakeSubmitted 200 && counter_reaches HandshakeDone 135 &&
		[ "$(counter TxCloseNotify)" -lt "$(counter HandshakeSubmitted)" ]
}

still_serves() { is "$(fetch small)" small; }

mkdir -p "$tmp/www"
head -c 2097152 /dev/urandom >"$tmp/www/file"
echo small >"$tmp/www/small"
start_daemon
workers=2 start_nginx "client_header_timeout 600; client_body_timeout 600; send_timeout 600;"
attach
still_serves
until_ok 20 all_gone
before_sockets=$(sockets)
before_pages=$(socket_pages)
# Emulated processors may need longer than the default for 200 at once.
echo 120000 >/sys/module/itls/parameters/handshake_timeout_ms
ok "all clients that were let live got every byte" flood
ok "200 connections were made, some were cut" was_a_flood
ok "the server still serves" still_serves
ok "no session or request is left" all_gone
ok "no socket is left" until_ok 30 sockets_are "$before_sockets"
# Each processor keeps up to 256 pages of allowance to itself.
ok "no page is left" until_ok 30 pages_at_most $((before_pages + 64 + 256 * $(nproc)))
echo 10000 >/sys/module/itls/parameters/handshake_timeout_ms
