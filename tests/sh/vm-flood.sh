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

# Every third client gives up within its first seconds.
flood() {
	local i clients=()
	for i in $(seq 200); do
		if [ $((i % 3)) = 0 ]; then
			curl -s --max-time "$((RANDOM % 9)).$((RANDOM % 900 + 50))" --cacert "$ca" \
				-o /dev/null "https://localhost:$port/file" &
		else
			(curl -sS --max-time 300 --cacert "$ca" "https://localhost:$port/file" |
				cmp - "$tmp/www/file" && touch "$tmp/good.$i") 2>>"$tmp/errors" &
		fi
		clients+=($!)
	done
	for i in "${clients[@]}"; do wait "$i"; done 2>/dev/null
	set -- "$tmp"/good.*
	is $# 134 || {
		sort "$tmp/errors" | uniq -c | sort -rn | head
		grep -v '\<0$' /proc/net/itls_stat
		return 1
	}
}

still_serves() { is "$(fetch small)" small; }

mkdir -p "$tmp/www"
head -c 2097152 /dev/urandom >"$tmp/www/file"
echo small >"$tmp/www/small"
start_daemon
workers=2 start_nginx
attach
still_serves
until_ok 20 all_gone
before_sockets=$(sockets)
before_pages=$(socket_pages)
# Emulated processors may need longer than the default for 200 at once.
echo 120000 >/sys/module/itls/parameters/handshake_timeout_ms
ok "all clients that were let live got every byte" flood
ok "the server still serves" still_serves
ok "no session or request is left" all_gone
ok "no socket is left" until_ok 30 sockets_are "$before_sockets"
# Each processor keeps up to 256 pages of allowance to itself.
ok "no page is left" until_ok 30 pages_at_most $((before_pages + 64 + 256 * $(nproc)))
echo 10000 >/sys/module/itls/parameters/handshake_timeout_ms
