#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Limit: 600 seconds
#
# Client sockets whose keys change: what unmodified servers make of it, and what
# the kernel makes of servers that change theirs.  TLS 1.3.
. "$(dirname "$0")/lib/server.sh"

# GnuTLS ends a connection whose keys change more often than 8 times a second:
# so this is how often they do in all, fast as the machine may be.
records=400
lines=20000
by_hand=4

more_profiles() {
	end_process "$daemon" TERM
	cat >>"$tmp/itlsd.conf" <<-END
		[client default]
		ca = $ca
		rekey_records = $records
	END
	"$bin/itlsd" -c "$tmp/itlsd.conf" >>"$tmp/itlsd.log" 2>&1 &
	daemon=$!
	pids+=("$daemon")
	until_ok 20 agents_are 1 || { cat "$tmp/itlsd.log"; bail "itlsd does not take the client profile"; }
}

start_gnutls_serv() {
	gnutls-serv --echo --port "$port" --x509certfile "$tmp/pki/server.pem" --x509keyfile "$tmp/pki/server.key" \
		--priority "NORMAL:-VERS-ALL:+VERS-TLS1.3" --disable-client-cert >"$tmp/serv.log" 2>&1 &
	pids+=($!)
	until_ok 20 listening || { cat "$tmp/serv.log"; bail "gnutls-serv did not start"; }
}

# A client that waits to be told to begin.
echo_begin() {
	rm -f "$tmp/go" "$tmp/echo"
	mkfifo "$tmp/go"
	python3 "$lib/echo_client.py" "$bin/libitls.so" "$port" "$ca" "$lines" <"$tmp/go" >"$tmp/echo" 2>&1 &
	echo_pid=$!
	pids+=("$echo_pid")
	exec 6>"$tmp/go"
	until_ok 60 grep -q ready "$tmp/echo" || { cat "$tmp/echo" "$tmp/serv.log"; return 1; }
}
echo_go() { echo go >&6; exec 6>&-; }
echo_end() { wait "$echo_pid" || { cat "$tmp/echo" "$tmp/serv.log"; return 1; }; }

# Both directions at once; the client's key changes every few records.
both_directions() {
	local before
	before=$(counter TxRekey)
	echo_begin || return 1
	echo_go
	echo_end || return 1
	counter_reaches TxRekey $((before + 2))
}

session_id() {
	"$bin/itlsctl" sessions --json | python3 -c '
import json, sys
print([s["id"] for s in json.load(sys.stdin)["sessions"] if s["state"] == "established"][0])'
}

# The server is asked to change its key, and answers.
server_is_asked() {
	local id n before
	before=$(counter RxRekey)
	all_gone || return 1
	echo_begin || return 1
	id=$(session_id) || return 1
	echo_go
	for n in $(seq $by_hand); do
		"$bin/itlsctl" rekey --peer "$id" >"$tmp/rekey" 2>&1 || { cat "$tmp/rekey"; return 1; }
	done
	echo_end || return 1
	counter_reaches RxRekey $((before + 1))
}

# What s_server is told, and sends on, has come: it reads all there is, and takes
# a command only at the beginning of that.
send_through() {
	local before
	before=$(counter RxBytes)
	printf '%b' "$1" >&5
	until_ok 20 counter_reaches RxBytes $((before + 1))
}

# openssl s_server changes its key by k, and asks for the client's as well by K.
by_s_server() {
	local n rc=0 before getter
	before=$(counter RxRekey)
	mkfifo "$tmp/in"
	timeout 240 openssl s_server -accept 9443 -tls1_3 -cert "$tmp/pki/server.pem" -key "$tmp/pki/server.key" \
		<"$tmp/in" >"$tmp/said" 2>&1 &
	pids+=($!)
	exec 5>"$tmp/in"
	until_ok 60 listening 9443 || { cat "$tmp/said"; return 1; }
	"$bin/itlsctl" get -q --ca "$ca" -o "$tmp/got" https://localhost:9443/file >"$tmp/get" 2>&1 &
	getter=$!
	pids+=("$getter")
	until_ok 20 grep -q '^GET /file' "$tmp/said" || rc=1
	send_through 'HTTP/1.1 200 OK\r\nContent-Length: 65\r\n\r\n' || rc=1
	for n in 1 2 3 4 5; do
		echo k >&5
		until_ok 20 counter_reaches RxRekey $((before + 2 * n - 1)) || rc=1
		echo K >&5
		until_ok 20 counter_reaches RxRekey $((before + 2 * n)) || rc=1
		send_through "line $n, wide\\n" || rc=1
	done
	exec 5>&-
	wait "$getter" || rc=1
	for n in 1 2 3 4 5; do echo "line $n, wide"; done >"$tmp/want"
	[ $rc = 0 ] && cmp "$tmp/want" "$tmp/got" || { cat "$tmp/said" "$tmp/get"; return 1; }
}

start_daemon
more_profiles
start_gnutls_serv
ok "gnutls-serv: both directions while keys change" both_directions
ok "gnutls-serv changes its key when it is asked" server_is_asked
ok "openssl s_server changes keys, by k and K" by_s_server
ok "nothing is left" all_gone
