#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Limit: 300 seconds
#
# A daemon with two workers: both do handshakes, and to clients they are one.
. "$(dirname "$0")/lib/server.sh"

# Two, whoever of them registers first.
start_two() {
	daemon_lines=$'[itlsd]\nworkers = 2'
	agents=2
	start_daemon
}

# The daemon's threads beside the first, by id.
threads() { find "/proc/$daemon/task" -mindepth 1 -maxdepth 1 -printf '%f\n' | grep -vx "$daemon"; }

# How often a thread waited: an idle one does not.
waits_of() { awk '/^voluntary_ctxt_switches/ { print $2 }' "/proc/$daemon/task/$1/status"; }

both_work() {
	local id before i
	declare -A before=()
	is "$(threads | wc -l)" 2 || return 1
	for id in $(threads); do before[$id]=$(waits_of "$id"); done
	for i in $(seq 12); do fetch small >/dev/null & done
	for i in $(seq 12); do wait -n || return 1; done
	for id in $(threads); do
		[ "$(waits_of "$id")" -gt $((before[$id] + 2)) ] || { echo "thread $id did nothing"; return 1; }
	done
}

# A ticket of one is worth the same to the other: sooner or later both are asked.
tickets_are_shared() {
	local i said
	openssl s_client -connect "localhost:$port" -tls1_2 -sess_out "$tmp/session" </dev/null >"$tmp/said" 2>&1
	[ -s "$tmp/session" ] || { cat "$tmp/said"; return 1; }
	for i in $(seq 16); do
		said=$(openssl s_client -connect "localhost:$port" -tls1_2 -sess_in "$tmp/session" </dev/null 2>&1)
		grep -q '^Reused' <<<"$said" || { echo "$i: $said"; return 1; }
	done
}

resumes_not() {
	local said
	said=$(openssl s_client -connect "localhost:$port" -tls1_2 -sess_in "$tmp/session" </dev/null 2>&1)
	grep -q '^New' <<<"$said"
}

# Both take the new configuration; which of them answers is chance.
reload_reaches_both() {
	local i
	echo 'tickets = no' >>"$tmp/itlsd.conf"
	kill -HUP "$daemon"
	until_ok 20 resumes_not || return 1
	for i in $(seq 16); do resumes_not || { echo "$i was resumed"; return 1; }; done
}

ends_clean() {
	kill -TERM "$daemon"
	wait "$daemon" && until_ok 20 agents_are 0
}

mkdir -p "$tmp/www"
echo small >"$tmp/www/small"
start_two
start_nginx
attach
ok "both workers do handshakes" both_work
ok "tickets are good for both" tickets_are_shared
ok "a reload reaches both" reload_reaches_both
ok "SIGTERM ends both" ends_clean
ok "nothing is left" all_gone
