# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Fetches one file with several TLS clients and compares every byte.
#
# Each client's output goes through a pipe that is read in two parts.  Between
# them the client is stopped by back pressure, so its connection exists for
# certain while itlsctl is asked about it.

# A client that hangs is ended, so that a fault is told and not waited for.
fetch_limit=240

# Largest plain file of folder $1, relative to it, if its name fits a URL.
fetch_largest() {
	(cd "$1" && find . -maxdepth 2 -type f -readable -regex '[-./A-Za-z0-9_]*' \
		-printf '%s %P\n' | sort -n | tail -n 1 | cut -d' ' -f2-)
}

fetch_request() {
	printf 'GET /%s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' "$1"
}

# The clients write the answer, head and body, to standard output.  Those that
# would end with their input keep it open: descriptor 7 is a pipe to itself.
client_curl() {
	local max=1.$2
	timeout "$fetch_limit" curl -sS -i --http1.1 --cacert "$ca" "--tlsv1.$2" --tls-max "$max" "https://localhost:$port/$1"
}

client_openssl() {
	fetch_request "$1" >&7
	timeout "$fetch_limit" openssl s_client -quiet -connect "localhost:$port" -servername localhost -CAfile "$ca" \
		-verify_return_error -verify_hostname localhost "-tls1_$2" <&7
}

client_gnutls() {
	fetch_request "$1" >&7
	timeout "$fetch_limit" env LD_PRELOAD="$work/buffered.so" gnutls-cli --x509cafile "$ca" \
		--port "$port" --logfile "$work/gnutls.log" \
		--priority "NORMAL:-VERS-ALL:+VERS-TLS1.$2" localhost <&7
}

# fetch_one CLIENT VERSION: false with a message if anything differs.
fetch_one() {
	local client=$1 version=$2 answer=$work/answer head
	rm -f "$work/hold" "$work/status"
	mkfifo "$work/hold"
	{
		"client_$client" "$file" "$version" 7<>"$work/hold" 2>"$work/client.err"
		echo $? >"$work/status"
	} | {
		head -c 65536 >"$answer"
		ask_itlsctl sessions >"$work/sessions"
		cat >>"$answer"
	}
	head=$(head -c 2048 "$answer" | sed -n '/^\r$/q;p' | tr -d '\r' | tr '\n' ' ')
	if ! [[ $head == "HTTP/1.1 200 "* ]]; then
		say "$client TLS 1.$version: no answer (status $(cat "$work/status"))"
		cat "$work/client.err" >&2
		[ ! -e "$work/gnutls.log" ] || tail -n 5 "$work/gnutls.log" >&2
		return 1
	fi
	if ! tail -c "$size" "$answer" | cmp - "$dir/$file"; then
		say "$client TLS 1.$version: the bytes differ"
		return 1
	fi
	if [ "$(cat "$work/status")" != 0 ]; then
		say "$client TLS 1.$version: the client reports status $(cat "$work/status")"
		cat "$work/client.err" >&2
		return 1
	fi
	printf '%-8s TLS 1.%s  %s bytes, all equal\n' "$client" "$version" "$size"
	# A file that fits the buffers on the way holds no client back.
	if [ "$size" -lt 33554432 ]; then
		[ -n "$small_said" ] || say "'$file' is too small to see its session: take one of 32 MiB or more"
		small_said=1
		return 0
	fi
	sed 's/^/    /' "$work/sessions"
	grep -q "1\.$version" "$work/sessions" || {
		say "itlsctl sessions does not show this connection"
		return 1
	}
}

fetch_all() {
	local dir=$1 file=$2 port=$3 ca=$4 work=$5 client version size failed=0 small_said=
	size=$(stat -c %s "$dir/$file")
	gcc -shared -fPIC -o "$work/buffered.so" "$vm/buffered.c" || return 1
	for client in curl openssl gnutls; do
		for version in 3 2; do
			fetch_one $client $version || failed=1
		done
	done
	return $failed
}
