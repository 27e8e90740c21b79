#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Limit: 600 seconds
#
# The daemon is killed in the middle of handshakes and transfers.
. "$(dirname "$0")/lib/server.sh"

hold() { python3 "$lib/client.py" hold "$port" >"$tmp/hold.$1" & pids+=("$!"); holders+=("$!"); }

# Handshakes under way end with the daemon, long before their deadline.
pending_fail() {
	local pid i
	echo 60000 >/sys/module/itls/parameters/handshake_timeout_ms
	holders=()
	for i in 1 2 3 4; do hold "$i"; done
	until_ok 20 counter_is CurrPending 4 || return 1
	end_process "$daemon" KILL
	for pid in "${holders[@]}"; do wait "$pid"; done
	cat "$tmp"/hold.*
	is "$(cat "$tmp"/hold.* | grep -c '^closed')" 4 || return 1
	echo 10000 >/sys/module/itls/parameters/handshake_timeout_ms
	until_ok 20 counter_is CurrPending 0
}

# A transfer that began before goes on to its last byte.
established_goes_on() {
	wait "$transfer" || return 1
	cmp "$tmp/got" "$tmp/www/file"
}

refused_meanwhile() { ! fetch small; }

next_daemon_serves() {
	start_daemon
	is "$(fetch small)" small
}

restart_under_load() {
	local i client out=0
	for i in 1 2 3; do
		fetch file -o "$tmp/load.$i" --limit-rate 8M &
		client=$!
		pids+=("$client")
		until_ok 20 sh -c "[ -s $tmp/load.$i ]" || return 1
		end_process "$daemon" TERM
		start_daemon
		wait "$client" || out=1
		cmp "$tmp/load.$i" "$tmp/www/file" || out=1
	done
	return $out
}

mkdir -p "$tmp/www"
head -c 33554432 /dev/urandom >"$tmp/www/file"
echo small >"$tmp/www/small"
start_daemon
start_nginx
attach
fetch file --limit-rate 2M -o "$tmp/got" &
transfer=$!
pids+=("$transfer")
until_ok 20 test -s "$tmp/got"
ok "SIGKILL ends pending handshakes at once" pending_fail
ok "connections are refused meanwhile" refused_meanwhile
ok "the next daemon serves" next_daemon_serves
ok "an established transfer goes on" established_goes_on
ok "restarts under transfers" restart_under_load
ok "nothing is left" all_gone
