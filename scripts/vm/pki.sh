# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# A certificate authority and one server certificate for this machine alone.

pki_valid() {
	[ -e "$1/server.pem" ] && openssl x509 -checkend 86400 -noout -in "$1/server.pem" >/dev/null 2>&1
}

# pki_make DIR: ca.pem, ca.key, server.pem (chain), server.key below DIR.
pki_make() {
	pki_valid "$1" || cache_lock pki pki_create "$1" || die "could not make certificates in $1"
}

pki_create() {
	local dir=$1 tmp
	pki_valid "$dir" && return 0
	mkdir -p "$dir"
	tmp=$(mktemp -d "$dir/pki.XXXXXX") || return 1
	(
		set -e
		umask 077
		cd "$tmp"
		openssl ecparam -genkey -name prime256v1 -noout -out ca.key
		openssl req -x509 -new -key ca.key -days 3650 -subj '/CN=itls test CA' -out ca.pem \
			-addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign
		openssl ecparam -genkey -name prime256v1 -noout -out server.key
		openssl req -new -key server.key -subj /CN=localhost -out server.csr
		printf '%s\n' 'subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1' \
			'basicConstraints=critical,CA:FALSE' 'extendedKeyUsage=serverAuth' >ext
		openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial \
			-days 800 -extfile ext -out leaf.pem
		cat leaf.pem ca.pem >server.pem
		chmod 644 ca.pem server.pem
		mv ca.key server.key server.pem ca.pem "$dir/"
	) >/dev/null 2>&1
	local rc=$?
	rm -rf "$tmp"
	return $rc
}
