#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Limit: 900 seconds
#
# Every cipher suite that is carried, by three clients, and those that are not.
#
#   8443  profile default, ECDSA certificate ──┐
#                                              ├── nginx, one folder
#   8444  profile rsa, RSA certificate ────────┘
#
# Begins with a kernel that lacks two of the ciphers.
. "$(dirname "$0")/lib/server.sh"

www=$tmp/www
blocked=/etc/modprobe.d/itls-vm-ciphers.conf
trap 'rm -f "$blocked"; tap_end' EXIT

# TLS version, OpenSSL's name, itlsctl's name, GnuTLS's cipher, port
suites="
3 TLS_AES_128_GCM_SHA256		AES-128-GCM		8443
3 TLS_AES_256_GCM_SHA384		AES-256-GCM		8443
3 TLS_CHACHA20_POLY1305_SHA256		CHACHA20-POLY1305	8443
3 TLS_AES_128_CCM_SHA256		AES-128-CCM		8443
2 ECDHE-ECDSA-AES128-GCM-SHA256		AES-128-GCM		8443
2 ECDHE-ECDSA-AES256-GCM-SHA384		AES-256-GCM		8443
2 ECDHE-ECDSA-CHACHA20-POLY1305		CHACHA20-POLY1305	8443
2 ECDHE-ECDSA-AES128-CCM		AES-128-CCM		8443
2 ECDHE-RSA-AES128-GCM-SHA256		AES-128-GCM		8444
2 ECDHE-RSA-AES256-GCM-SHA384		AES-256-GCM		8444
2 ECDHE-RSA-CHACHA20-POLY1305		CHACHA20-POLY1305	8444
"

# Short tags, no AEAD, no encryption, no forward secrecy, finite field groups.
refused="
3 TLS_AES_128_CCM_8_SHA256	8443
2 ECDHE-ECDSA-AES128-CCM8	8443
2 ECDHE-ECDSA-AES256-CCM8	8443
2 ECDHE-ECDSA-AES256-CCM	8443
2 ECDHE-ECDSA-AES128-SHA	8443
2 ECDHE-ECDSA-AES256-SHA384	8443
2 ECDHE-ECDSA-NULL-SHA		8443
2 ECDHE-RSA-AES128-SHA256	8444
2 ECDHE-RSA-NULL-SHA		8444
2 DHE-RSA-AES128-GCM-SHA256	8444
2 AES128-GCM-SHA256		8444
2 AES256-CCM			8444
2 AES128-SHA			8444
2 NULL-SHA256			8444
"

make_rsa() {
	(
		umask 077
		cd "$tmp/pki"
		printf '%s\n' 'subjectAltName=DNS:localhost' basicConstraints=critical,CA:FALSE >rsa.ext
		openssl req -new -newkey rsa:2048 -nodes -keyout rsa.key -subj /CN=localhost -out rsa.csr &&
			openssl x509 -req -in rsa.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 800 \
				-extfile rsa.ext -out rsa.pem
	) >/dev/null 2>&1 || bail "no RSA certificate"
}

add_rsa() {
	[ -e "$tmp/pki/rsa.pem" ] || make_rsa
	printf '[profile rsa]\ncertificate = %s\nkey = %s\n' "$tmp/pki/rsa.pem" "$tmp/pki/rsa.key" >>"$tmp/itlsd.conf"
}

said() { is "$(grep -c -- "$1" "$tmp/itlsd.log")" "$2" || { cat "$tmp/itlsd.log"; return 1; }; }

# What the daemon says to a SIGHUP comes after what the reload does.
reload() {
	local before
	before=$(grep -c 'serving .* profile' "$tmp/itlsd.log")
	kill -HUP "$daemon"
	until_ok 20 said 'serving .* profile' $((before + 1))
}

start_both() {
	start_daemon
	add_rsa
	reload || bail "itlsd did not reload"
}

attach_both() {
	attach
	"$bin/itlsctl" attach --port 8444 --profile rsa >"$tmp/attach.log" 2>&1 ||
		{ cat "$tmp/attach.log"; bail "itlsctl attach failed"; }
}

# Options that leave OpenSSL nothing but suite $2 of TLS 1.$1.
openssl_only() {
	if [ "$1" = 3 ]; then
		echo "-tls1_3 -ciphersuites $2"
	else
		echo "-tls1_2 -cipher $2:@SECLEVEL=0"
	fi
}

curl_only() {
	if [ "$1" = 3 ]; then
		echo "--tlsv1.3 --tls13-ciphers $2"
	else
		echo "--tlsv1.2 --tls-max 1.2 --ciphers $2"
	fi
}

# A file down, and one up.
by_curl() {
	local url=https://localhost:$4
	rm -f "$www/up"
	# shellcheck disable=SC2046 # words
	set -- curl -sS --fail --max-time 20 --cacert "$ca" $(curl_only "$1" "$2")
	"$@" -o "$tmp/got" "$url/1MiB" && cmp "$www/1MiB" "$tmp/got" &&
		"$@" -o "$tmp/answer" -T "$www/1MiB" "$url/up" && cmp "$www/1MiB" "$www/up"
}

# Clients that end with their input: it is a pipe that stays open.
request_pipe() {
	rm -f "$tmp/in"
	mkfifo "$tmp/in"
	exec 5<>"$tmp/in"
	printf 'GET /1MiB HTTP/%s\r\nHost: localhost\r\n\r\n' "$1" >&5
}

session_is() {
	"$bin/itlsctl" sessions --json >"$tmp/sessions" && python3 - "$tmp/sessions" "$@" <<-'END'
		import json, sys
		rows = [r for r in json.load(open(sys.argv[1]))["sessions"] if r["state"] == "established"]
		print(rows)
		sys.exit([(r["version"], r["tx_cipher"], r["rx_cipher"]) for r in rows] !=
		         [("TLSv1." + sys.argv[2], sys.argv[3], sys.argv[3])])
	END
}

whole() { [ "$(stat -c %s "$tmp/got")" -gt 1048576 ]; }

# The connection stays open and is looked at.
by_openssl() {
	local client rc=0
	request_pipe 1.1
	# shellcheck disable=SC2046 # words
	openssl s_client -quiet -connect "localhost:$4" -CAfile "$ca" -verify_return_error $(openssl_only "$1" "$2") \
		<&5 >"$tmp/got" 2>"$tmp/err" &
	client=$!
	pids+=("$client")
	until_ok 60 whole && session_is "$1" "$3" || rc=1
	end_process "$client" TERM
	tail -c 1048576 "$tmp/got" | cmp - "$www/1MiB" || rc=1
	[ $rc = 0 ] || cat "$tmp/err"
	return $rc
}

gnutls() {
	timeout 60 gnutls-cli --x509cafile "$ca" --port "$1" --logfile "$tmp/gnutls" \
		--priority "NORMAL:-VERS-ALL:+VERS-TLS1.$2:-CIPHER-ALL:+$3" localhost
}

by_gnutls() {
	request_pipe 1.0
	LD_PRELOAD="$tmp/buffered.so" gnutls "$4" "$1" "$3" <&5 2>"$tmp/err" | tail -c 1048576 | cmp - "$www/1MiB" ||
		{ cat "$tmp/gnutls" "$tmp/err"; return 1; }
}

# The alert comes from the server: the client had something to offer.
is_refused() {
	local before
	before=$(counter HandshakeFailed)
	# shellcheck disable=SC2046 # words
	timeout 20 openssl s_client -connect "localhost:$3" $(openssl_only "$1" "$2") </dev/null >"$tmp/err" 2>&1
	grep -q 'SSL alert number 40' "$tmp/err" || { cat "$tmp/err"; return 1; }
	until_ok 10 counter_reaches HandshakeFailed $((before + 1))
}

gnutls_refused() {
	gnutls "$1" 2 "$2" </dev/null >"$tmp/err" 2>&1
	grep -q 'Received alert \[40\]' "$tmp/err" "$tmp/gnutls" || { cat "$tmp/err" "$tmp/gnutls"; return 1; }
}

# In debug kernels they are built in, and cannot be taken away.
are_modules() { modprobe -q -a ccm chacha20poly1305 && [ -d /sys/module/ccm ] && [ -d /sys/module/chacha20poly1305 ]; }

# A kernel without two of the ciphers: modprobe brings them no more.
lack() {
	printf 'install %s /bin/false\n' ccm chacha20poly1305 >"$blocked"
	modprobe -q -r -a ccm chacha20poly1305
	! grep -E '^(ccm|chacha20poly1305) ' /proc/modules
}

offered() { fetch 1MiB --tlsv1.3 --tls13-ciphers "$1" -o "$tmp/got" && cmp "$tmp/got" "$www/1MiB"; }

doctor_says() {
	"$bin/itlsctl" doctor --config "$tmp/itlsd.conf" >"$tmp/doctor"
	grep -q "$1" "$tmp/doctor" || { cat "$tmp/doctor"; return 1; }
}

doctor_is_content() { doctor_says ' cipher: gcm(aes) by ' && ! grep '; no ' "$tmp/doctor"; }

only_chacha() {
	local rc
	sed '/^alpn/a priority = NORMAL:-CIPHER-ALL:+CHACHA20-POLY1305' "$tmp/itlsd.conf" >"$tmp/chacha.conf"
	"$bin/itlsd" --check "$tmp/chacha.conf" || return 1
	timeout 20 "$bin/itlsd" -c "$tmp/chacha.conf" >"$tmp/out" 2>&1
	rc=$?
	cat "$tmp/out"
	is $rc 1 && grep -q "lacks CHACHA20-POLY1305 .*'modprobe chacha20poly1305'" "$tmp/out" &&
		grep -q 'chacha.conf:.*only ciphers that this kernel lacks' "$tmp/out"
}

# In a network namespace whose loopback is down the module cannot be asked.
no_loopback() {
	local pid rc=0
	unshare -n "$bin/itlsd" -c "$tmp/itlsd.conf" >"$tmp/out" 2>&1 &
	pid=$!
	pids+=("$pid")
	until_ok 20 grep -q 'serving 2 profiles' "$tmp/out" && grep -q "only AES-GCM is offered: 'ip link set lo up'" "$tmp/out" ||
		rc=1
	end_process "$pid" TERM
	cat "$tmp/out"
	return $rc
}

mkdir "$www"
head -c 1048576 /dev/urandom >"$www/1MiB"
gcc -shared -fPIC -o "$tmp/buffered.so" "$top/scripts/vm/buffered.c" || bail "no compiler"
if are_modules; then
	ok "the kernel can be made to lack two ciphers" lack
else
	skip "ciphers that the kernel lacks" "they are built into this one"
	lacking=no
fi
start_both
start_nginx "dav_methods PUT; client_max_body_size 8m; server { listen 8444; root $www; }"
attach_both

if [ "${lacking-}" != no ]; then
	ok "the daemon says that ChaCha20 is missing, once" said "lacks CHACHA20-POLY1305 .*'modprobe chacha20poly1305'" 1
	ok "the daemon says that AES-CCM is missing, once" said "lacks AES-128-CCM .*'modprobe ccm'" 1
	ok "doctor says so" doctor_says "^warn cipher: .*no CHACHA20-POLY1305 .*no AES-128-CCM "
	ok "a missing cipher is not offered, TLS 1.3" is_refused 3 TLS_CHACHA20_POLY1305_SHA256 8443
	ok "a missing cipher is not offered, TLS 1.2" is_refused 2 ECDHE-RSA-CHACHA20-POLY1305 8444
	ok "the next one is taken" offered TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_CCM_SHA256:TLS_AES_128_GCM_SHA256
	ok "a profile with nothing but a missing cipher is refused" only_chacha
	rm "$blocked"
	ok "a reload finds ciphers that have come" reload
	ok "it complains no more" said "lacks" 2
	ok "doctor is content" doctor_is_content
fi
ok "a daemon that cannot ask offers AES-GCM only" no_loopback

while read -r version suite cipher at; do
	[ -n "$version" ] || continue
	ok "$suite: curl, down and up" by_curl "$version" "$suite" "$cipher" "$at"
	ok "$suite: openssl s_client, and the session's row" by_openssl "$version" "$suite" "$cipher" "$at"
	ok "$suite: gnutls-cli" by_gnutls "$version" "$suite" "$cipher" "$at"
done <<<"$suites"

while read -r version suite at; do
	[ -n "$version" ] || continue
	ok "$suite is refused" is_refused "$version" "$suite" "$at"
done <<<"$refused"
for cipher in 3DES-CBC ARCFOUR-128 AES-128-CBC AES-256-CBC; do
	ok "$cipher is refused, ECDSA" gnutls_refused 8443 $cipher
	ok "$cipher is refused, RSA" gnutls_refused 8444 $cipher
done
ok "nothing is left" all_gone
ok "no record was bad" sh -c "! grep -E '^Rx(DecryptError|ProtocolError)' /proc/net/itls_stat | grep -v '	0$'"
# A client that was refused is ECONNABORTED to nginx, which it calls an alert.
ok "no other error in nginx's log" sh -c "! grep -E '\[(emerg|alert|crit|error)\]' $tmp/nginx.log | grep -v 'recv() failed (103:'"
