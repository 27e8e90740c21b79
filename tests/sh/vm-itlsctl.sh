#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Limit: 240 seconds
#
# itlsctl with the module: what itlsctl.sh plays, for real.
. "$(dirname "$0")/lib/server.sh"

ctl=$bin/itlsctl

# has STATUS TEXT COMMAND…: ends with the status and says the text.
has() {
	local want=$1 text=$2 got
	shift 2
	"$@" >"$tmp/has" 2>&1
	got=$?
	cat "$tmp/has"
	is "$got" "$want" && grep -qF -e "$text" "$tmp/has"
}

serves_tls() { is "$(fetch small)" small; }
serves_plain() { is "$(curl -sS --max-time 60 "http://localhost:$port/small")" small; }
plain_is_refused() { ! curl -sS --max-time 60 "http://localhost:$port/small"; }
tls_is_refused() { ! fetch small; }

doctor_is_content() {
	"$ctl" doctor --config "$tmp/itlsd.conf" >"$tmp/doctor"
	local status=$?
	cat "$tmp/doctor"
	is $status 0 && ! grep -q '^FAIL' "$tmp/doctor"
}

doctor_names_the_port() {
	has 0 "(profile default)" grep '^ok   attached: ' "$tmp/doctor" &&
		grep -q "0.0.0.0:$port " "$tmp/doctor"
}

# Two sockets, v4 and v6, each shared by the master and two workers.
shared_sockets_once() {
	"$ctl" detach --port "$port" --json >"$tmp/json" || return 1
	cat "$tmp/json"
	python3 - "$tmp/json" <<-'END'
		import json, sys
		d = json.load(open(sys.argv[1]))
		assert [s["result"] for s in d["sockets"]] == ["detached"] * 2, d
		assert all(s["holders"] == 3 for s in d["sockets"]), d
	END
}

one_address() {
	has 0 "0.0.0.0:$port nginx" "$ctl" attach --port "$port" --address 0.0.0.0 &&
		! grep -qF '[::]' "$tmp/has"
}

stat_counts() {
	local count
	count=$("$ctl" stat --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["HandshakeDone"])')
	is "$count" "$(counter HandshakeDone)" && [ "$count" -gt 0 ]
}

mkdir -p "$tmp/www"
echo small >"$tmp/www/small"
workers=2 start_nginx
ok "doctor fails without an agent" has 1 "FAIL agent: " "$ctl" doctor
ok "attach warns without an agent" has 0 "until itlsd runs" "$ctl" attach --port "$port"
ok "nothing is served without an agent" plain_is_refused
start_daemon
ok "attach again changes nothing" has 0 "was attached already" "$ctl" attach --port "$port"
ok "TLS is served" serves_tls
ok "doctor is content" doctor_is_content
ok "doctor names the port" doctor_names_the_port
ok "stat has the kernel's numbers" stat_counts
ok "the profile is changed" has 0 "profile changed from default to other" \
	"$ctl" attach --port "$port" --profile other
ok "a profile that is not there serves nothing" tls_is_refused
ok "detach takes each shared socket once" shared_sockets_once
ok "plain TCP is served again" serves_plain
ok "detach again changes nothing" has 0 "was not attached" "$ctl" detach --port "$port"
ok "one address can be attached" one_address
ok "sessions needs privilege" has 1 "CAP_NET_ADMIN" \
	setpriv --reuid 65534 --regid 65534 --clear-groups "$ctl" sessions
# killed, the master would leave its workers, and they the listeners
end_process "$nginx_master" TERM
ok "nothing is left" all_gone
