#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Limit: 900 seconds
#
# Keys that change in mid-connection: what unmodified clients make of a server
# that changes its key every few records, and what the server makes of clients
# that change theirs.  TLS 1.3; in TLS 1.2 nothing changes.
. "$(dirname "$0")/lib/server.sh"

size=2097152
records=3

make_files() {
	mkdir -p "$tmp/www"
	head -c $size /dev/urandom >"$tmp/www/file"
	echo small >"$tmp/www/small"
	# More than TCP's buffers hold: whoever reads it slowly is served as long.
	head -c $((16 * size)) /dev/urandom >"$tmp/www/large"
}

# begin_download SPEED: $client reads the large file, and is the only one.
begin_download() {
	all_gone || return 1
	rm -f "$tmp/got"
	curl -sS --max-time 240 --cacert "$ca" --tlsv1.3 --limit-rate "$1" -o "$tmp/got" "https://localhost:$port/large" &
	client=$!
	pids+=("$client")
	until_ok 20 counter_is CurrTx 1
}

end_download() { wait "$client" && cmp "$tmp/www/large" "$tmp/got"; }

same() { cmp "$tmp/www/file" "$tmp/got"; }

# fetched COMMAND…: the file came whole, over a key that changed on the way.
# A record holds at most 16 KiB.
fetched() {
	local before after least=$((size / 16384 / records - 1))
	before=$(counter TxRekey)
	rm -f "$tmp/got"
	"$@" || return 1
	same || return 1
	after=$(counter TxRekey)
	[ $((after - before)) -ge $least ] ||
		{ echo "the key changed $((after - before)) times, want $least at least"; return 1; }
}

by_curl() { timeout 240 curl -sS --cacert "$ca" "${@:1}" -o "$tmp/got" "https://localhost:$port/file"; }
# Debian's is made with GnuTLS, which ends a connection whose keys change more
# often than 8 times a second.
by_wget() { timeout 240 wget -q --limit-rate=200k --ca-certificate="$ca" -O "$tmp/got" "https://localhost:$port/file"; }

by_python() {
	timeout 240 python3 - "$ca" "https://localhost:$port/file" "$tmp/got" <<-'END'
		import ssl, sys, urllib.request
		context = ssl.create_default_context(cafile=sys.argv[1])
		with urllib.request.urlopen(sys.argv[2], context=context) as answer:
		    open(sys.argv[3], "wb").write(answer.read())
	END
}

by_node() {
	timeout 240 node -e '
		const [ca, url, path] = process.argv.slice(1), fs = require("fs");
		require("https").get(url, { ca: fs.readFileSync(ca) }, answer => {
			answer.pipe(fs.createWriteStream(path));
		}).on("error", error => { console.error(error); process.exit(1); });
	' "$ca" "https://localhost:$port/file" "$tmp/got"
}

by_java() {
	cat >"$tmp/Fetch.java" <<-'END'
		import java.io.*;
		import java.net.*;
		import java.nio.file.*;
		import java.security.KeyStore;
		import java.security.cert.*;
		import javax.net.ssl.*;

		public class Fetch {
			public static void main(String[] args) throws Exception {
				KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
				store.load(null);
				try (InputStream in = new FileInputStream(args[0])) {
					store.setCertificateEntry("ca",
						CertificateFactory.getInstance("X.509").generateCertificate(in));
				}
				TrustManagerFactory trust =
					TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
				trust.init(store);
				SSLContext context = SSLContext.getInstance("TLS");
				context.init(null, trust.getTrustManagers(), null);
				HttpsURLConnection answer = (HttpsURLConnection) new URL(args[1]).openConnection();
				answer.setSSLSocketFactory(context.getSocketFactory());
				try (InputStream in = answer.getInputStream()) {
					Files.copy(in, Paths.get(args[2]), StandardCopyOption.REPLACE_EXISTING);
				}
			}
		}
	END
	timeout 240 java -XX:TieredStopAtLevel=1 "$tmp/Fetch.java" \
		"$ca" "https://localhost:$port/file" "$tmp/got"
}

# Two requests of one client, the same connection, no complaint: what one in the middle saw.
keep_alive() {
	curl -sS --max-time 120 --cacert "$ca" -o "$tmp/got" -o "$tmp/small" -w '%{num_connects}\n' \
		"https://localhost:$port/file" "https://localhost:$port/small" >"$tmp/connects"
	is "$(paste -sd ' ' "$tmp/connects")" "1 0" && same && is "$(cat "$tmp/small")" small
}

# --- clients that change keys: openssl s_client and gnutls-cli read commands ---

# told FILE PATTERN N: PATTERN stands N times in what a client said.
told() { [ "$(grep -cE "$2" "$1")" -ge "$3" ] || { echo "want $3 times '$2' in:"; tail -n 40 "$1"; return 1; }; }

# The commands need a terminal's way of input: a line at a time, each after the last was done.
by_s_client() {
	local n before
	before=$(counter RxRekey)
	rm -f "$tmp/in" "$tmp/said"
	mkfifo "$tmp/in"
	timeout 120 openssl s_client -connect "localhost:$port" -CAfile "$ca" -verify_return_error -tls1_3 -msg \
		-no_ign_eof <"$tmp/in" >"$tmp/said" 2>&1 &
	local client=$! rc=0
	pids+=("$client")
	exec 5>"$tmp/in"
	until_ok 20 told "$tmp/said" '^Verify return code: 0' 1 || rc=1
	# k: a key of its own.  K: and the server's as well, which then answers.
	for n in 1 2 3 4; do
		echo k >&5
		until_ok 20 told "$tmp/said" '>>> .*KeyUpdate' $((2 * n - 1)) || rc=1
		echo K >&5
		until_ok 20 told "$tmp/said" '>>> .*KeyUpdate' $((2 * n)) || rc=1
		until_ok 20 told "$tmp/said" '<<< .*KeyUpdate' $n || rc=1
	done
	printf 'GET /small HTTP/1.0\r\n\r\n' >&5
	until_ok 20 told "$tmp/said" '^small' 1 || rc=1
	exec 5>&-
	wait "$client"
	[ $rc = 0 ] && counter_reaches RxRekey $((before + 8)) &&
		is "$(grep -cE '(>>>|<<<) .*[Aa]lert.*fatal' "$tmp/said")" 0
}

by_gnutls_cli() {
	local before
	before=$(counter RxRekey)
	rm -f "$tmp/in"
	mkfifo "$tmp/in"
	timeout 120 gnutls-cli --x509cafile "$ca" --port "$port" --inline-commands --logfile "$tmp/gnutls" \
		--priority "NORMAL:-VERS-ALL:+VERS-TLS1.3" localhost <"$tmp/in" >"$tmp/said" 2>&1 &
	local client=$! rc=0 n
	pids+=("$client")
	exec 5>"$tmp/in"
	until_ok 20 counter_is CurrTx 1 || rc=1
	# rekey: a key of its own.  rekey1: and the server's as well.
	for n in 1 2 3 4; do
		echo '^rekey^' >&5
		until_ok 20 counter_reaches RxKeyUpdate $((before + 2 * n - 1)) || rc=1
		echo '^rekey1^' >&5
		until_ok 20 counter_reaches RxKeyUpdate $((before + 2 * n)) || rc=1
	done
	printf 'GET /small HTTP/1.0\r\n\r\n' >&5
	until_ok 20 told "$tmp/said" '^small' 1 || rc=1
	exec 5>&-
	wait "$client"
	[ $rc = 0 ] && counter_reaches RxRekey $((before + 8)) || { cat "$tmp/said" "$tmp/gnutls"; return 1; }
}

# While a client fetches, an administrator changes the key again and again.
by_hand() {
	local id n done=0 client
	begin_download 8M || return 1
	id=$("$bin/itlsctl" sessions --json | python3 -c '
import json, sys
print(json.load(sys.stdin)["sessions"][0]["id"])') || return 1
	for n in $(seq 20); do
		"$bin/itlsctl" rekey "$id" ${peer[$((n % 2))]} >"$tmp/rekey" 2>&1 && done=$((done + 1))
	done
	end_download || return 1
	[ $done -ge 10 ] || { cat "$tmp/rekey"; echo "$done changes by hand"; return 1; }
}
peer=('' --peer)

refused_by_hand() {
	! "$bin/itlsctl" rekey 999999 2>"$tmp/rekey" && grep -q 'no such session\|sessions' "$tmp/rekey" ||
		{ cat "$tmp/rekey"; return 1; }
}

tls12_keeps_its_key() {
	local before
	before=$(counter TxRekey)
	curl -sS --max-time 120 --cacert "$ca" --tls-max 1.2 -o "$tmp/got" "https://localhost:$port/file" && same &&
		counter_is TxRekey "$before"
}

# openssl s_client's R asks a TLS 1.2 server to renegotiate.
renegotiation_is_refused() {
	local before
	before=$(counter TxNoRenegotiation)
	(echo R; until_ok 20 counter_is TxNoRenegotiation $((before + 1))) |
		timeout 60 openssl s_client -connect "localhost:$port" -CAfile "$ca" -tls1_2 >"$tmp/said" 2>&1
	counter_is TxNoRenegotiation $((before + 1)) && told "$tmp/said" 'no renegotiation|NO_RENEGOTIATION' 1
}

# Established connections are the kernel's: they change keys and end without a daemon.
daemon_restarts() {
	local client before
	begin_download 8M || return 1
	end_process "$daemon" KILL
	until_ok 20 agents_are 0 || return 1
	before=$(counter TxRekey)
	end_download || return 1
	[ "$(counter TxRekey)" -gt "$before" ] || { echo "no key was changed without a daemon"; return 1; }
	all_gone && start_daemon "rekey_records = $records" && fetch small | grep -q small
}

# Java on an emulated processor takes its time for a handshake.
timeout_ms=/sys/module/itls/parameters/handshake_timeout_ms
patience=$(cat $timeout_ms)
tap_undo() { echo "$patience" >$timeout_ms; }
echo 120000 >$timeout_ms

make_files
start_daemon "rekey_records = $records"
start_nginx
attach
ok "curl sees nothing" fetched by_curl --tlsv1.3
ok "wget sees nothing" fetched by_wget
ok "Python's ssl sees nothing" fetched by_python
ok "Node sees nothing" fetched by_node
ok "Java sees nothing" fetched by_java
ok "two answers on one connection" keep_alive
ok "openssl s_client changes keys, by k and K" by_s_client
ok "gnutls-cli changes keys, by rekey and rekey1" by_gnutls_cli
ok "itlsctl rekey, both ways, while a client fetches" by_hand
ok "itlsctl rekey of a session that is not" refused_by_hand
ok "TLS 1.2 keeps its key" tls12_keeps_its_key
ok "TLS 1.2 renegotiation is refused" renegotiation_is_refused
ok "keys change and connections end without a daemon" daemon_restarts
ok "nothing is left" all_gone
ok "no error in nginx's log" sh -c "! grep -E '\[(emerg|alert|crit|error)\]' $tmp/nginx.log"
