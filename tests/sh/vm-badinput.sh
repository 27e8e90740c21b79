#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Limit: 600 seconds
#
# Clients that send no handshake: the server sees a closed connection, never a
# byte of what they sent, and a counter tells which.
. "$(dirname "$0")/lib/server.sh"

client() { python3 "$lib/client.py" "$1" "$port"; }

lines_are() { is "$(wc -l <"$tmp/sink")" "$1"; }

# The sink got nothing but an end, on as many connections as there were.
server_saw() {
	until_ok 120 lines_are "$1" || { sort "$tmp/sink" | uniq -c; return 1; }
	! grep '^data' "$tmp/sink"
}

# one CASE COUNTER: the client is cut off, the counter moves.
one() {
	local before said
	before=$(counter "$2")
	: >"$tmp/sink"
	said=$(client "$1")
	echo "$1: $said"
	[[ $said == closed*clean ]] && server_saw 1 &&
		until_ok 10 counter_reaches "$2" $((before + 1)) || { cat /proc/net/itls_stat "$tmp/sink"; return 1; }
}

every_byte() {
	local n
	: >"$tmp/sink"
	n=$(client everybyte)
	echo "$n connections"
	[ "$n" -gt 100 ] && server_saw "$n"
}

deadline() {
	local before said limit=/sys/module/itls/parameters/handshake_timeout_ms old
	old=$(cat $limit)
	before=$(counter HandshakeTimeout)
	echo 1000 >$limit
	said=$(client hold)
	echo "$old" >$limit
	echo "$said"
	[[ $said == closed* ]] && awk -v t="${said#* }" 'BEGIN { exit !(t >= 0.8 && t < 20) }' &&
		counter_reaches HandshakeTimeout $((before + 1))
}

no_daemon() {
	local said
	end_process "$daemon" TERM
	until_ok 20 agents_are 0 || return 1
	: >"$tmp/sink"
	said=$(client http)
	echo "$said"
	[[ $said == "closed silent"* ]] && server_saw 1
}

no_profile() {
	"$bin/itlsctl" attach --port "$port" --profile missing || return 1
	: >"$tmp/sink"
	! fetch x || return 1
	server_saw 1
}

start_sink
start_daemon
attach
ok "garbage" one garbage HandshakeFailed
ok "HTTP in the clear" one http HandshakeFailed
ok "half a ClientHello" one half HandshakePeerGone
ok "nothing at all" one nothing HandshakePeerGone
ok "a ClientHello cut at every byte" every_byte
ok "the deadline ends a silent client" deadline
ok "a profile that does not exist" no_profile
attach
ok "without a daemon connections fail at once" no_daemon
ok "nothing is left" all_gone
