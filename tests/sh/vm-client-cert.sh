#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Clients and the certificates that they show to GnuTLS's server: it asks for
# one, or insists on one.
#
#   get ── ITLS_CONNECT ── lo ── :9444 …  gnutls-serv
. "$(dirname "$0")/lib/client.sh"

serve() { gnutls_serv server --x509cafile "$ca" --priority "NORMAL:-VERS-ALL:+VERS-TLS1.$version" "$@"; }
with() { echo "--cert $tmp/$1.pem --key $tmp/$1.key"; }

# shown TEXT OPTION…: the file comes, and the server tells that of the certificate
shown() {
	same $next_port small --profile tls1$version "${@:2}" && until_ok 10 grep -qF -e "$1" "$tmp/foreign.log" ||
		{ cat "$tmp/foreign.log"; return 1; }
}
# It says nothing of a certificate that it did not get.
not_shown() { shown "Version: TLS1.$version" && ! grep 'Subject: ' "$tmp/foreign.log"; }
not_accepted() {
	# shellcheck disable=SC2046	# words without blanks
	until_ok 20 says "TLS alert 4" get --ca "$ca" --profile tls1$version $(with stranger) -o "$got" \
		"$(url $next_port small)" || { cat "$tmp/said" "$tmp/foreign.log"; return 1; }
	cat "$tmp/said"
	grep -qE 'give one that it accepts|does not accept the client certificate' "$tmp/said"
}

# ---- go ----

command -v gnutls-serv >/dev/null || { skip "gnutls-serv" "is not installed"; exit 0; }
mkdir -p "$tmp/www"
echo small >"$tmp/www/small"
start_daemon "[client tls12]
	priority = NORMAL:-VERS-ALL:+VERS-TLS1.2
	[client tls13]
	priority = NORMAL:-VERS-ALL:+VERS-TLS1.3"
{
	ecparam=(-pkeyopt ec_paramgen_curve:prime256v1)
	pki_more && issue client ec DNS:client.example clientAuth &&
		openssl req -x509 -newkey ec "${ecparam[@]}" -nodes -keyout "$tmp/stranger.key" \
			-out "$tmp/stranger.pem" -days 9 -subj /CN=stranger
} >"$tmp/pki.log" 2>&1 || { tail -n 20 "$tmp/pki.log"; bail "no certificates"; }
cp "$tmp/pki/server.pem" "$tmp/pki/server.key" "$tmp/"

for version in 3 2; do
	serve
	# shellcheck disable=SC2046	# words without blanks
	ok "asked, TLS 1.$version: the certificate is shown" shown 'Subject: CN=client' $(with client)
	serve
	ok "asked, TLS 1.$version: none is, and that will do" not_shown
	serve --require-client-cert --verify-client-cert
	# shellcheck disable=SC2046	# words without blanks
	ok "required, TLS 1.$version: the certificate is accepted" shown 'The certificate is trusted' $(with client)
	ok "required, TLS 1.$version: without it, that is told" wants_certificate $next_port --profile tls1$version
	ok "required, TLS 1.$version: so is one that is not accepted" not_accepted
done
ok "nothing is left" all_gone
