#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Limit: 600 seconds
#
# Debian's nginx with kTLS on, unmodified: downloads by SSL_sendfile, uploads,
# over a module that serves the name "tls".
. "$(dirname "$0")/lib/compat.sh"

size=$((16 << 20))

# The ports tell the versions.
ports='1.2 8444
1.3 8445'
port_of() { awk -v v="$1" '$1 == v { print $2 }' <<<"$ports"; }

servers() {
	local version port
	while read -r version port; do
		cat <<-END
			server {
				listen $port ssl;
				root $tmp/www;
				ssl_certificate $tmp/pki/server.pem;
				ssl_certificate_key $tmp/pki/server.key;
				ssl_protocols TLSv$version;
				ssl_conf_command Options KTLS;
				location /up/ {
					dav_methods PUT;
					client_max_body_size 0;
				}
			}
		END
	done <<<"$ports"
	# What is said of each sendfile is said for debuggers only.
	echo "error_log $tmp/debug.log debug;"
}

# curl has no kTLS: what the counters show is nginx' doing.
get() {
	curl -sS --max-time 120 --cacert "$tmp/pki/ca.pem" "https://localhost:$(port_of "$1")/$2" "${@:3}"
}

# Bytes that SSL_sendfile took, by nginx' own account, since line $1 of its log.
by_sendfile() {
	tail -n "+$1" "$tmp/debug.log" |
		awk '/ SSL_sendfile: [0-9]/ { sub(/.* SSL_sendfile: /, ""); n += $1 } END { print n + 0 }'
}

# Bytes of the system call itself.
sendfile_calls() { awk '/^sendfile\(/ && $NF > 0 { n += $NF } END { print n + 0 }' "$tmp/strace"; }

trace_worker() {
	local worker
	worker=$(nginx_worker)
	strace -q -e trace=sendfile -o "$tmp/strace" -p "$worker" &
	tracer=$!
	pids+=("$tracer")
	until_ok 10 grep -q "^TracerPid:[[:space:]]*$tracer" "/proc/$worker/status"
}

received() {
	if openssl_receives "$1"; then
		ran Rx "$2"
	else
		idle Rx
	fi
}

downloads() {
	local line
	line=$(($(wc -l <"$tmp/debug.log") + 1))
	mark
	trace_worker && get "$1" file | cmp - "$tmp/www/file" || return 1
	end_process "$tracer" TERM
	is "$(by_sendfile $line)" $size && is "$(sendfile_calls)" $size && ran Tx $size && received "$1" 0
}

uploads() {
	rm -rf "$tmp/www/up"
	mkdir "$tmp/www/up"
	mark
	is "$(get "$1" up/file -T "$tmp/www/file" -o /dev/null -w '%{http_code}')" 201 || return 1
	cmp "$tmp/www/up/file" "$tmp/www/file" && ran Tx 0 && received "$1" $size
}

# From first to last on one connection: nginx switches between files and answers of its own.
keeps_alive() {
	mark
	get "$1" '{small,missing,file}' -o "$tmp/got-#1" -w '%{http_code} %{num_connects}\n' >"$tmp/codes"
	is "$(paste -sd ' ' "$tmp/codes")" '200 1 404 0 200 0' && cmp "$tmp/got-small" "$tmp/www/small" &&
		cmp "$tmp/got-file" "$tmp/www/file" && ran Tx $size
}

many_at_once() {
	local i client clients=() rc=0
	mark
	for i in $(seq 8); do
		get "$1" medium -o "$tmp/many-$i" &
		clients+=($!)
	done
	for client in "${clients[@]}"; do wait "$client" || rc=1; done
	for i in $(seq 8); do cmp "$tmp/many-$i" "$tmp/www/medium" || rc=1; done
	ran Tx $((8 << 20)) && return $rc
}

# A client with kTLS too: both ends in the module.
both_ends() {
	local option=()
	OPENSSL_CONF=/dev/null openssl s_client -help 2>&1 | grep -q '^ -ktls ' && option=(-ktls)
	mark
	ask file
	OPENSSL_CONF=$tmp/ktls.cnf openssl s_client -quiet -connect "localhost:$(port_of "$1")" ${option[@]+"${option[@]}"} \
		-CAfile "$tmp/pki/ca.pem" -verify_return_error <&5 2>"$tmp/client.log" |
		tail -c $size | cmp - "$tmp/www/file" || { cat "$tmp/client.log"; return 1; }
	ran Tx $((size + 22)) || return 1
	if openssl_receives "$1"; then
		ran Rx $((size + 22))
	else
		idle Rx
	fi
}

log_is_clean() { ! grep -E '\[(emerg|alert|crit|error)\]' "$tmp/nginx.log" "$tmp/debug.log" | grep -v '/missing" failed'; }

make_material $size
head -c 1048576 /dev/urandom >"$tmp/www/medium"
echo small >"$tmp/www/small"
start_compat
for set in $(sets); do
	use_programs "$set"
	name="nginx $(nginx -v 2>&1 | cut -d/ -f2), OpenSSL $openssl_version"
	: >"$tmp/debug.log"
	start_nginx "$(servers)"
	while read -r version _; do
		openssl_receives "$version" || echo "# $name: in TLS $version this library keeps the receiving key to itself"
		ok "$name, TLS $version: 16 MiB go out by SSL_sendfile" downloads "$version"
		ok "$name, TLS $version: 16 MiB come in by PUT" uploads "$version"
		ok "$name, TLS $version: three answers on one connection" keeps_alive "$version"
		ok "$name, TLS $version: eight clients at once" many_at_once "$version"
		ok "$name, TLS $version: the client in the module too" both_ends "$version"
	done <<<"$ports"
	ok "$name: no error in its log" log_is_clean
	end_process "$nginx_master" TERM
	until_ok 20 eval '! listening' || bail "nginx does not end"
done
[ -n "$newer" ] || openssl_receives 1.3 ||
	skip "TLS 1.3 received in the module" "OpenSSL $openssl_version cannot; scripts/vm/programs fetches one that can"
ok "nothing is left" all_gone
ok "in-tree kTLS was not there" in_tree_was_out
