# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Clients (itlsctl get), more certificates, and foreign servers for them.

. "$(dirname "${BASH_SOURCE[0]}")/server.sh"

ctl=$bin/itlsctl
got=$tmp/got
next_port=9443

# ---- certificates beside those of pki_make ----

pki_more() {
	local dir=$tmp/pki/more
	mkdir -p "$dir"
	: >"$dir/index"
	cat >"$dir/ca.cnf" <<-END
		[ca]
		default_ca = here
		[here]
		database = $dir/index
		rand_serial = yes
		new_certs_dir = $dir
		certificate = $ca
		private_key = $tmp/pki/ca.key
		default_md = sha256
		default_days = 100
		policy = any
		unique_subject = no
		copy_extensions = copy
		[any]
		commonName = supplied
	END
	openssl ecparam -genkey -name prime256v1 -noout -out "$tmp/other.key" &&
		openssl req -x509 -new -key "$tmp/other.key" -days 100 -subj '/CN=other CA' -out "$tmp/other.pem"
}

# issue NAME KEY SAN PURPOSE [OPTION OF openssl ca…]: $tmp/NAME.pem and .key
issue() {
	openssl req -new -newkey "$2" ${ecparam[@]+"${ecparam[@]}"} -nodes -keyout "$tmp/$1.key" -out "$tmp/$1.csr" \
		-subj "/CN=$1" -addext "subjectAltName=$3" -addext "extendedKeyUsage=$4" &&
		openssl ca -batch -notext -config "$tmp/pki/more/ca.cnf" -in "$tmp/$1.csr" -out "$tmp/$1.pem" "${@:5}" &&
		cat "$ca" >>"$tmp/$1.pem"
}

# foreign COMMAND…: a server that takes the place of the one before, its output in
# $tmp/foreign.log.  Each has a port of its own, so that no session of another
# one is resumed: the command finds it in $next_port.
foreign() {
	[ -z "${foreign_pid-}" ] || end_process "$foreign_pid" TERM
	next_port=$((next_port + 1))
	(cd "$tmp/www" && "$@") </dev/null >"$tmp/foreign.log" 2>&1 &
	foreign_pid=$!
	pids+=("$foreign_pid")
	until_ok 20 listening "$next_port" || { cat "$tmp/foreign.log"; return 1; }
}
# s_server NAME OPTION…, gnutls_serv NAME OPTION…: serve with that certificate, the
# one $tmp/www, the other the file small whatever is asked for.
s_server() { foreign run_s_server "$@"; }
run_s_server() { exec openssl s_server -WWW -accept "$next_port" -cert "$tmp/$1.pem" -key "$tmp/$1.key" "${@:2}"; }
gnutls_serv() { foreign run_gnutls_serv "$@"; }
run_gnutls_serv() {
	exec gnutls-serv --http --httpdata small -p "$next_port" --x509certfile "$tmp/$1.pem" \
		--x509keyfile "$tmp/$1.key" "${@:2}"
}

# ---- what is looked at ----

get() { timeout 120 "$ctl" get "$@"; }
url() { echo "https://${3:-localhost}:$1/$2"; }

# same PORT FILE OPTION…: fetched, and every byte is right
same() {
	rm -f "$got"
	get -v --ca "$ca" -o "$got" "${@:3}" "$(url "$1" "$2" "${host-}")" || { tail -n 5 "$tmp/itlsd.log"; return 1; }
	cmp "$got" "$tmp/www/$2"
}

# says TEXT COMMAND…: which fails with that on standard error
says() {
	local text=$1
	shift
	rm -f "$got"
	if "$@" >"$tmp/said" 2>&1; then
		echo "it succeeded"
		return 1
	fi
	cat "$tmp/said"
	grep -qF -e "$text" "$tmp/said"
}
refused() { says "certificate was refused: $1" get --ca "$ca" -o "$got" "${@:2}" "$(url "$next_port" small)" && [ ! -e "$got" ]; }

# json EXPRESSION COMMAND…: prints JSON d of which it is true
json() {
	local want=$1
	shift
	"$@" >"$tmp/json" || return 1
	cat "$tmp/json"
	python3 -c "import json, sys; d = json.load(open(sys.argv[1])); sys.exit(not ($want))" "$tmp/json"
}

# The ticket comes after the answer: the daemon may need a moment to keep it.
resumed_once() {
	get --json -o "$got" "${@:2}" "$(url "$1" small)" >"$tmp/json" || return 1
	grep -q '"resumed": true' "$tmp/json" && cmp "$got" "$tmp/www/small"
}
# resumes PORT OPTION…: the second session is resumed
resumes() { resumed_once "$@"; until_ok 10 resumed_once "$@" || { cat "$tmp/json"; return 1; }; }

# In TLS 1.3 the server refuses when the client has begun to ask; a reset that
# follows can take the alert away, so this is tried more than once.
# wants_certificate PORT OPTION…: get is told to bring one
wants_certificate() {
	until_ok 20 says "--cert and --key" get --ca "$ca" -o "$got" "${@:2}" "$(url "$1" small)" ||
		{ cat "$tmp/said"; return 1; }
}
