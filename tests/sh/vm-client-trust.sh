#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Whom the daemon trusts while that changes: authorities of the system come and
# go, sessions are forgotten then, and a certificate expires between two of them.
#
#   get ── ITLS_CONNECT ── lo ── :9444 …  openssl s_server
#
# The daemon sees the system's authorities in a file of this test.
. "$(dirname "$0")/lib/client.sh"

system=$tmp/system.pem
brief_seconds=$((45 * ${ITLS_TEST_SCALE:-1}))

# shellcheck disable=SC2016	# for the inner shell
daemon_under=(unshare -m bash -c 'mount -t tmpfs none /etc/ssl/certs &&
	ln -s "$1" /etc/ssl/certs/ca-certificates.crt && exec "${@:2}"' - "$system")

reloads() { grep -c 'serving [0-9]* profile' "$tmp/itlsd.log"; }
reloads_reach() { [ "$(reloads)" -ge "$1" ]; }
reload() {
	local want=$(($(reloads) + 1))
	kill -HUP "$daemon"
	until_ok 20 reloads_reach $want || { tail -n 5 "$tmp/itlsd.log"; return 1; }
}
system_trusts() { cat "$@" >"$system"; }

untrusted() {
	says "no trusted authority issued the certificate" get "$@" -o "$got" "$(url "$next_port" small)" && [ ! -e "$got" ]
}
trusted() { get "$@" -o "$got" "$(url "$next_port" small)" && cmp "$got" "$tmp/www/small"; }
anew() { json "d['verify'] == 'ok' and not d['resumed']" get --json "$@" -o "$got" "$(url "$next_port" small)"; }

# A certificate that is over in some seconds; the time it has must do for what is before.
issue_brief() {
	issue brief ec DNS:localhost serverAuth -enddate "$(date -u -d "+$brief_seconds seconds" +%Y%m%d%H%M%SZ)"
}
expires() { until_ok $((brief_seconds + 30)) refused "the certificate has expired" "$@" || { cat "$tmp/said"; return 1; }; }

# ---- go ----

mkdir -p "$tmp/www"
echo small >"$tmp/www/small"
cache=$tmp pki_make "$tmp/pki"
ecparam=(-pkeyopt ec_paramgen_curve:prime256v1)
pki_more >"$tmp/pki.log" 2>&1 || { tail -n 20 "$tmp/pki.log"; bail "no certificates"; }
cp "$tmp/pki/server.pem" "$tmp/pki/server.key" "$tmp/"
system_trusts "$tmp/other.pem"
start_daemon "[client explicit]
	ca = system
	[client private]
	ca = $ca
	[client tls12]
	priority = NORMAL:-VERS-ALL:+VERS-TLS1.2
	[client tls13]
	priority = NORMAL:-VERS-ALL:+VERS-TLS1.3"

s_server server
ok "the system has other authorities" untrusted
ok "the same if they are asked for" untrusted --profile explicit
ok "a profile with authorities of its own" trusted --profile private
system_trusts "$tmp/other.pem" "$ca"
ok "the system has this one: not before a reload" untrusted
ok "reload" reload
ok "after it, it counts" trusted
ok "the same if the system's are asked for" trusted --profile explicit
for version in 3 2; do
	system_trusts "$tmp/other.pem" "$ca"
	reload >/dev/null
	s_server server "-tls1_$version"
	ok "TLS 1.$version: the second session is resumed" resumes "$next_port"
	reload
	ok "TLS 1.$version: a reload forgets sessions" anew
	ok "TLS 1.$version: later ones are resumed" resumes "$next_port"
	system_trusts "$tmp/other.pem"
	reload
	ok "TLS 1.$version: the system has it no more: nothing is resumed" untrusted
done

issue_brief >"$tmp/pki.log" 2>&1 && s_server brief || { cat "$tmp/pki.log"; bail "no brief certificate"; }
for version in 3 2; do
	ok "TLS 1.$version: a certificate that expires soon: resumed" \
		resumes "$next_port" --ca "$ca" --profile tls1$version
done
for version in 3 2; do
	ok "TLS 1.$version: when it has expired it is refused" expires --profile tls1$version
done
ok "nothing is left" all_gone
