#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Limit: 600 seconds
#
# Client sockets, as itlsctl get uses them: against nginx, whose listener is
# attached, and against openssl s_server, with certificates good and bad.
#
#   get ── ITLS_CONNECT ── lo ──┬─ :8443 …  nginx, attached but for 8447
#                               └─ :9444 …  openssl s_server
. "$(dirname "$0")/lib/client.sh"

# ---- certificates ----

issue_all() {
	local ecparam=(-pkeyopt ec_paramgen_curve:prime256v1)
	issue expired ec DNS:localhost serverAuth -startdate 20200101000000Z -enddate 20200201000000Z &&
		issue early ec DNS:localhost serverAuth -startdate 20700101000000Z -enddate 20710101000000Z &&
		issue elsewhere ec DNS:other.example serverAuth &&
		issue purpose ec DNS:localhost clientAuth &&
		issue sha1 ec DNS:localhost serverAuth -md sha1 &&
		issue client ec DNS:client.example clientAuth || return 1
	ecparam=()
	issue weak rsa:1024 DNS:localhost serverAuth
}

# ---- servers ----

# The daemon with more profiles than start_daemon's one.
restart_daemon() {
	end_process "$daemon" TERM
	cat >>"$tmp/itlsd.conf" <<-END
		[profile mutual]
		certificate = $tmp/pki/server.pem
		key = $tmp/pki/server.key
		client_auth = require
		client_ca = $ca
		[client tls12]
		priority = NORMAL:-VERS-ALL:+VERS-TLS1.2
		[client tls13]
		priority = NORMAL:-VERS-ALL:+VERS-TLS1.3
		[client configured]
		ca = $ca
		certificate = $tmp/client.pem
		key = $tmp/client.key
		owners = root
	END
	"$bin/itlsd" -c "$tmp/itlsd.conf" >>"$tmp/itlsd.log" 2>&1 &
	daemon=$!
	pids+=("$daemon")
	until_ok 20 agents_are 1 || { cat "$tmp/itlsd.log"; bail "itlsd does not take the client profiles"; }
}

# ---- what is looked at ----

version_is() { json "d['version'] == 'TLSv1.$1' and d['verify'] == 'ok' and d['size'] == 6" \
	get --json --ca "$ca" --profile "tls1$1" -o "$got" "$(url "$2" small)"; }

bad_certificate() {
	s_server "$1" "${@:3}" && refused "$2"
}

# A transfer that nginx slows down, to look at it while it lasts.
slow_start() {
	rm -f "$got"
	"$ctl" get --ca "$ca" --cert "$tmp/client.pem" --key "$tmp/client.key" -o "$got" "$(url 8445 file)" >"$tmp/said" 2>&1 &
	slow=$!
	pids+=("$slow")
	until_ok 20 test -s "$got" || { cat "$tmp/said"; return 1; }
}
sessions_show_both() {
	json "sorted((s['role'], s['verify'], s['peer_subject']) for s in d['sessions'] if s['state'] == 'established') == \
[('client', 'ok', 'CN=localhost'), ('server', 'ok', 'CN=client')]" "$ctl" sessions --json
}
session_of() { "$ctl" sessions --json | python3 -c "import json, sys
print([s['id'] for s in json.load(sys.stdin)['sessions'] if s['role'] == '$1'][0])"; }
rekeys_reach() { "$ctl" sessions --json | python3 -c "import json, sys
c = [s for s in json.load(sys.stdin)['sessions'] if s['role'] == 'client'][0]
sys.exit(not (c['tx_rekeys'] >= $1 and c['rx_rekeys'] >= $1))"; }
rekey_by_hand() {
	"$ctl" rekey "$(session_of server)" --peer && until_ok 10 rekeys_reach 1 || { "$ctl" sessions --long; return 1; }
}
slow_cut() {
	local rc
	slow_start || return 1
	ss -K state established "sport = :8445"
	wait "$slow"
	rc=$?
	cat "$tmp/said"
	is $rc 1 && grep -q 'was cut before its TLS end' "$tmp/said" &&
		grep -q 'are kept in .*: continue with -c' "$tmp/said"
}
cut_continued() { get -c --ca "$ca" -o "$got" "$(url $port file)" && cmp "$got" "$tmp/www/file"; }
slow_end() { wait "$slow" || { cat "$tmp/said"; return 1; }; cmp "$got" "$tmp/www/file"; }

no_privilege() {
	chmod 755 "$tmp/www"
	setpriv --reuid 65534 --regid 65534 --clear-groups "$ctl" get -q --ca "$ca" -o - "$(url "$port" small)" >"$got" &&
		cmp "$got" "$tmp/www/small"
}
not_mine() { says "is not for this user" setpriv --reuid 65534 --regid 65534 --clear-groups \
	"$ctl" get -q --profile configured -o - "$(url "$port" small)"; }

without_daemon() {
	end_process "$daemon" TERM
	says "'itlsctl doctor' tells whether itlsd runs" get --ca "$ca" -o "$got" "$(url "$next_port" small)"
}

# ---- go ----

mkdir -p "$tmp/www"
echo small >"$tmp/www/small"
head -c 33554432 /dev/urandom >"$tmp/www/file"
start_daemon
pki_more >"$tmp/pki.log" 2>&1 && issue_all >>"$tmp/pki.log" 2>&1 || { tail -n 20 "$tmp/pki.log"; bail "no certificates"; }
cp "$tmp/pki/server.pem" "$tmp/pki/server.key" "$tmp/"
restart_daemon
start_nginx "server { listen 8444; root $tmp/www; }
	server { listen 8445; root $tmp/www; limit_rate 4m; }
	server { listen 8447; root $tmp/www; }
	server { listen 8446; location / { return 302 https://localhost:$port/small; } }"
for name in 8444:mutual 8445:mutual 8446:default; do
	"$ctl" attach --port "${name%:*}" --profile "${name#*:}" || bail "itlsctl attach failed"
done
attach

for version in 3 2; do
	ok "nginx: TLS 1.$version" version_is $version $port
	ok "nginx: TLS 1.$version, 32 MiB" same $port file --profile tls1$version
	ok "nginx: TLS 1.$version, the second session is resumed" resumes $port --ca "$ca" --profile tls1$version
	s_server server "-tls1_$version"
	ok "s_server: TLS 1.$version" version_is $version $next_port
	ok "s_server: TLS 1.$version, 32 MiB" same $next_port file
	ok "s_server: TLS 1.$version, the second session is resumed" resumes $next_port --ca "$ca" --profile tls1$version
done
host=127.0.0.1 ok "an IPv4 address in the certificate" same $port small
host='[::1]' ok "an IPv6 address in the certificate" same $port small
printf 'smaller' >"$tmp/www/part"
continued() { printf 'sma' >"$got"; get -c --ca "$ca" -o "$got" "$(url $port part)" && cmp "$got" "$tmp/www/part"; }
ok "a file is continued" continued
redirected() { get -o "$got" --ca "$ca" "$(url 8446 x)" && cmp "$got" "$tmp/www/small"; }
ok "a redirect is followed" redirected
ok "404 is told" says "404 Not Found" get --ca "$ca" -o "$got" "$(url $port nothing)"
ok "anybody may" no_privilege
ok "a profile with a certificate is for its owners" not_mine
ok "no such profile" says "no client profile 'nobodys'" get --ca "$ca" --profile nobodys -o "$got" "$(url $port small)"

s_server server
ok "without --ca nobody trusts it" says "no trusted authority issued the certificate" get -o "$got" "$(url $next_port small)"
ok "nor with another one" says "no trusted authority issued the certificate" \
	get --ca "$tmp/other.pem" -o "$got" "$(url $next_port small)"
ok "certificate: expired" bad_certificate expired "the certificate has expired"
ok "certificate: not yet valid" bad_certificate early "the certificate is not valid yet"
ok "certificate: another name" bad_certificate elsewhere "the certificate is for another name"
ok "certificate: weak key" bad_certificate weak "the certificate's key is too weak" -cipher 'DEFAULT:@SECLEVEL=0'
ok "certificate: weak signature" bad_certificate sha1 "the certificate is signed with a weak algorithm" \
	-cipher 'DEFAULT:@SECLEVEL=0'
ok "certificate: of a client" bad_certificate purpose "the certificate is not meant for this side of TLS"

with_cert=(--cert "$tmp/client.pem" --key "$tmp/client.key")
for version in 3 2; do
	s_server server "-tls1_$version" -Verify 1 -verify_return_error -CAfile "$ca"
	ok "s_server wants a certificate, TLS 1.$version" same $next_port file "${with_cert[@]}"
	ok "and refuses without, TLS 1.$version" wants_certificate $next_port --profile tls1$version
	ok "itls wants a certificate, TLS 1.$version" same 8444 file --profile tls1$version "${with_cert[@]}"
	ok "and refuses without, TLS 1.$version" wants_certificate 8444 --profile tls1$version
done
by_profile() { get --profile configured -o "$got" "$(url 8444 small)" && cmp "$got" "$tmp/www/small"; }
ok "authority and certificate of the profile" by_profile

if slow_start; then
	ok "sessions shows both ends and their certificates" sessions_show_both
	ok "keys are changed by hand, both ways" rekey_by_hand
	ok "and the transfer notices nothing" slow_end
else
	ok "a transfer to look at" false
fi
ok "a connection that is cut" slow_cut
ok "is continued" cut_continued
ok "not TLS" says "speak TLS on this port" get --ca "$ca" -o "$got" "$(url 8447 small)"
ok "nobody to make the handshake" without_daemon
ok "nothing is left" all_gone
