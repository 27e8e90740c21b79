#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Limit: 900 seconds
#
# Debian's own nginx, marked from outside, serves over TLS by sendfile.
. "$(dirname "$0")/lib/server.sh"

www=${ITLS_SCRATCH:-$tmp}/www.$$
mkdir -p "$www"
trap 'rm -rf "$www"; tap_end' EXIT

# In units of 64 MiB: 1 GiB takes minutes under emulation.
repeats=2
[ "${ITLS_BREADTH-}" != full ] || repeats=16

make_files() {
	local i
	head -c 67108864 /dev/urandom >"$www/64MiB"
	for i in $(seq $repeats); do cat "$www/64MiB"; done >"$www/large"
	echo small >"$www/small"
	: >"$www/empty"
}

same() { cmp "$www/$1" "$tmp/got"; }

# One client, one version: every byte of the file, by whatever address.
by_curl() {
	curl -sS --max-time 120 --cacert "$ca" "--tlsv1.$1" --tls-max "1.$1" --resolve "localhost:$port:$2" \
		-o "$tmp/got" -w '%{http_version} %{ssl_verify_result}\n' "https://localhost:$port/64MiB" && same 64MiB
}

# These two end with their input: it is a pipe that stays open.
request_pipe() {
	rm -f "$tmp/in"
	mkfifo "$tmp/in"
	exec 5<>"$tmp/in"
	printf 'GET /%s HTTP/1.0\r\n\r\n' "$1" >&5
}

by_openssl() {
	request_pipe 64MiB
	timeout 120 openssl s_client -quiet -connect "localhost:$port" -CAfile "$ca" -verify_return_error \
		"-tls1_$1" <&5 2>"$tmp/err" | tail -c 67108864 >"$tmp/got"
	same 64MiB || { cat "$tmp/err"; return 1; }
}

by_gnutls() {
	request_pipe 64MiB
	timeout 300 env LD_PRELOAD="$tmp/buffered.so" gnutls-cli --x509cafile "$ca" --port "$port" --logfile "$tmp/gnutls" \
		--priority "NORMAL:-VERS-ALL:+VERS-TLS1.$1" localhost <&5 2>"$tmp/err" |
		tail -c 67108864 | cmp - "$www/64MiB" || { cat "$tmp/gnutls" "$tmp/err"; return 1; }
}

keep_alive() {
	curl -sS --max-time 60 --cacert "$ca" -o "$tmp/a" -o "$tmp/b" -o "$tmp/c" -w '%{num_connects}\n' \
		"https://localhost:$port/"{small,empty,64MiB} >"$tmp/connects"
	is "$(paste -sd ' ' "$tmp/connects")" "1 0 0" && cmp "$tmp/a" "$www/small" &&
		is "$(stat -c %s "$tmp/b")" 0 && cmp "$tmp/c" "$www/64MiB"
}

resumed() {
	openssl s_client -connect "localhost:$port" -CAfile "$ca" -tls1_3 -sess_out "$tmp/session" \
		< <(printf 'GET /small HTTP/1.0\r\n\r\n'; until_ok 10 test -s "$tmp/session") >"$tmp/first" 2>&1
	printf 'GET /small HTTP/1.0\r\n\r\n' | timeout 20 openssl s_client -connect "localhost:$port" \
		-CAfile "$ca" -tls1_3 -sess_in "$tmp/session" -ign_eof >"$tmp/second" 2>&1
	grep -q '^Reused, TLSv1.3' "$tmp/second" || { cat "$tmp/second"; return 1; }
}

# A client whose libraries are copies: what it touches is not what nginx maps.
separate_curl() {
	LD_LIBRARY_PATH=$tmp/lib curl -sS --max-time 600 --cacert "$ca" "https://localhost:$1/$2"
}

# Fetches file $2 from port $1 while nginx is traced, into $tmp/strace, and
# notes which pages of which library it touched meanwhile, into $tmp/smaps.
traced_fetch() {
	local worker tracer rc
	worker=$(nginx_worker)
	strace -q -e trace=sendfile,write,writev,send,sendto,sendmsg,pread64 -o "$tmp/strace" -p "$worker" &
	tracer=$!
	until_ok 10 grep -q "^TracerPid:[[:space:]]*$tracer" "/proc/$worker/status"
	echo 1 >"/proc/$worker/clear_refs"
	separate_curl "$1" "$2" | cmp - "$www/$2"
	rc=$?
	cat "/proc/$worker/smaps" >"$tmp/smaps"
	kill $tracer
	wait $tracer
	return $rc
}

# The file goes out by sendfile, all of it.
large_by_sendfile() {
	local sent
	traced_fetch "$port" large || return 1
	sent=$(awk '/^sendfile\(/ && $NF > 0 { n += $NF } END { printf "%.0f", n }' "$tmp/strace")
	is "$sent" $((repeats * 67108864)) || { cut -d'(' -f1 "$tmp/strace" | sort | uniq -c; return 1; }
}

# Names of TLS libraries whose code was touched.
tls_code_touched() {
	awk '/^[0-9a-f]+-[0-9a-f]+ / { tls = $2 ~ /x/ && $NF ~ /lib(ssl|crypto|gnutls|nettle)/; name = $NF }
		tls && /^Referenced:/ && $2 > 0 { print name, $2, "kB" }' "$tmp/smaps"
}

# Debian's nginx is linked to libssl, so that is mapped; its code must not run.
tls_code_untouched() { is "$(tls_code_touched)" ""; }

# The same measure sees nginx's own TLS: it can fail.
measure_works() { traced_fetch 8444 small && tls_code_touched | grep libssl; }

session_row() {
	fetch 64MiB --limit-rate 4M -o /dev/null &
	local client=$! rc=0
	pids+=("$client")
	until_ok 20 sh -c "$bin/itlsctl sessions --json | grep -qi established" || rc=1
	"$bin/itlsctl" sessions --json | python3 -m json.tool || rc=1
	"$bin/itlsctl" sessions
	ss -tien "sport = :$port" | tee "$tmp/ss"
	grep -q 'version: 1.3' "$tmp/ss" && grep -q 'cipher: aes-gcm-' "$tmp/ss" &&
		grep -q 'rxconf: sw' "$tmp/ss" && grep -q 'txconf: sw' "$tmp/ss" || rc=1
	end_process "$client" TERM
	return $rc
}

make_files
gcc -shared -fPIC -o "$tmp/buffered.so" "$top/scripts/vm/buffered.c" || bail "no compiler"
start_daemon
start_nginx "server { listen 8444 ssl; root $www; ssl_certificate $tmp/pki/server.pem;
	ssl_certificate_key $tmp/pki/server.key; }"
attach
for version in 3 2; do
	ok "curl, TLS 1.$version, IPv4" by_curl $version 127.0.0.1
	ok "curl, TLS 1.$version, IPv6" by_curl $version '[::1]'
	ok "openssl s_client, TLS 1.$version" by_openssl $version
	ok "gnutls-cli, TLS 1.$version" by_gnutls $version
done
ok "three answers on one connection" keep_alive
ok "a session is resumed" resumed
mkdir "$tmp/lib"
cp -L /usr/lib/x86_64-linux-gnu/lib{ssl,crypto}.so.3 "$tmp/lib/"
ok "$((repeats * 64)) MiB go out by sendfile" large_by_sendfile
ok "no code of a TLS library runs in nginx" tls_code_untouched
ok "it would if nginx did TLS itself" measure_works
ok "sessions and ss show the connection" session_row
ok "nothing is left" all_gone
ok "no error in nginx's log" sh -c "! grep -E '\[(emerg|alert|crit|error)\]' $tmp/nginx.log"
