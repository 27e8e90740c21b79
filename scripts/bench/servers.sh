# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# The servers that are compared, Debian's packages as they are: each variant with
# processes of its own, one worker each, on a port of its own. Sourced by server.
#
#	plain	nginx over TCP			itls	the same, its listener marked
#	openssl	nginx does TLS in userspace	hitch	in front of an nginx over TCP
#	ktls	the same with in-tree kTLS	stunnel	in front of an nginx over TCP

declare -A port=([plain]=8000 [openssl]=8001 [ktls]=8002 [itls]=8003 [hitch]=8004 [stunnel]=8005)
behind=1000	# that much above a proxy's port is that of its nginx
suite=TLS_AES_128_GCM_SHA256
tls12=''	# not empty: TLS 1.2 too, for clients that want it
itlsd_workers=1

# The first processes of each variant.
declare -A roots=()

# wait_for SECONDS WHAT COMMAND…
wait_for() {
	local end=$((SECONDS + $1)) what=$2
	shift 2
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] || {
			tail -n 20 "$dir"/*.log >&2
			die "$what did not happen"
		}
		sleep 0.1
	done
}

listening() { [ -n "$(ss -Hltn "sport = :$1")" ]; }

# start VARIANT PORT COMMAND…: a process of the variant, until it listens.
start() {
	local variant=$1 listens=$2
	shift 2
	"$@" >>"$dir/$variant.log" 2>&1 &
	roots[$variant]+=" $!"
	wait_for 60 "the start of $1 for $variant" listening "$listens"
}

# nginx_start VARIANT ADDRESS ssl|'' [LINES]: LINES go into its server { }.
nginx_start() {
	local conf=$dir/nginx-$1.conf temp
	{
		cat <<-END
			daemon off;
			pid $dir/nginx-$1.pid;
			user root;
			worker_processes 1;
			worker_rlimit_nofile 65536;
			error_log $dir/nginx-$1.log warn;
			events { worker_connections 32768; }
			http {
				access_log off;
				sendfile on;
				tcp_nopush on;
				keepalive_requests 1000000000;
				keepalive_timeout 1h;
				client_header_timeout 1h;
				server {
					listen $2 ${3:+ssl};
					root $www;
					${4-}
				}
		END
		for temp in client_body proxy fastcgi uwsgi scgi; do echo "${temp}_temp_path $dir/$temp;"; done
		echo "}"
	} >"$conf"
	start "$1" "${2##*:}" nginx -e "$dir/nginx-$1.log" -c "$conf"
}

nginx_tls() {
	cat <<-END
		ssl_certificate $dir/pki/server.pem;
		ssl_certificate_key $dir/pki/server.key;
		ssl_protocols TLSv1.3 ${tls12:+TLSv1.2};
		ssl_conf_command Ciphersuites $suite;
	END
}

start_plain() { nginx_start plain "${port[plain]}" ''; }
start_openssl() { nginx_start openssl "${port[openssl]}" ssl "$(nginx_tls)"; }
start_ktls() { nginx_start ktls "${port[ktls]}" ssl "$(nginx_tls) ssl_conf_command Options KTLS;"; }

agents_registered() { [ "$(counter itls CurrAgents)" = "$itlsd_workers" ]; }

itlsd_start() {
	cat >"$dir/itlsd.conf" <<-END
		[itlsd]
		workers = $itlsd_workers
		[profile default]
		certificate = $dir/pki/server.pem
		key = $dir/pki/server.key
		priority = NORMAL:-VERS-ALL:+VERS-TLS1.3${tls12:+:+VERS-TLS1.2}:-CIPHER-ALL:+AES-128-GCM
	END
	"$bin/itlsd" -c "$dir/itlsd.conf" >>"$dir/itlsd.log" 2>&1 &
	roots[itls]+=" $!"
	wait_for 60 "itlsd's registration" agents_registered
}

start_itls() {
	nginx_start itls "${port[itls]}" ''
	itlsd_start
	"$bin/itlsctl" attach --port "${port[itls]}" >>"$dir/itls.log" 2>&1 ||
		{ cat "$dir/itls.log" >&2; die "nginx's listener could not be marked"; }
}

start_hitch() {
	local to=$((port[hitch] + behind))
	nginx_start hitch 127.0.0.1:$to ''
	cat "$dir/pki/server.key" "$dir/pki/server.pem" >"$dir/hitch.pem"
	cat >"$dir/hitch.conf" <<-END
		frontend = "[*]:${port[hitch]}"
		backend = "[127.0.0.1]:$to"
		pem-file = "$dir/hitch.pem"
		tls-protos = TLSv1.3 ${tls12:+TLSv1.2}
		ciphersuites = "$suite"
		workers = 1
		user = "root"
		daemon = off
		quiet = on
	END
	start hitch "${port[hitch]}" hitch --config="$dir/hitch.conf"
}

start_stunnel() {
	local to=$((port[stunnel] + behind))
	nginx_start stunnel 127.0.0.1:$to ''
	cat >"$dir/stunnel.conf" <<-END
		foreground = yes
		pid =
		debug = err
		[https]
		accept = 0.0.0.0:${port[stunnel]}
		connect = 127.0.0.1:$to
		cert = $dir/pki/server.pem
		key = $dir/pki/server.key
		sslVersionMin = TLSv1.$([ -n "$tls12" ] && echo 2 || echo 3)
		ciphersuites = $suite
	END
	start stunnel "${port[stunnel]}" stunnel4 "$dir/stunnel.conf"
}

# servers_start VARIANT…
servers_start() {
	local variant
	for variant; do "start_$variant"; done
}

servers_stop() {
	local pid
	# shellcheck disable=SC2048	# words
	for pid in ${roots[*]}; do kill "$pid" 2>/dev/null; done
	# shellcheck disable=SC2048
	for pid in ${roots[*]}; do wait "$pid" 2>/dev/null; done
	roots=()
}

descendants() {
	local pid
	for pid; do
		echo "$pid"
		# shellcheck disable=SC2046	# words
		descendants $(pgrep -P "$pid")
	done
}

# A file of $size for all of them.
file_make() {
	local bytes i
	bytes=$(numfmt --from=iec "$size") || die "bad size '$size'"
	mount -t tmpfs -o size=$((bytes + (64 << 20))) none "$www" || die "no tmpfs"
	head -c $((bytes < 16 << 20 ? bytes : 16 << 20)) /dev/urandom >"$www/some"
	for ((i = 0; i < (bytes + (16 << 20) - 1) >> 20; i += 16)); do cat "$www/some"; done |
		head -c "$bytes" >"$www/file"
	rm "$www/some"
	[ "$(stat -c %s "$www/file")" = "$bytes" ] || die "no room for a file of $size"
}

url() {
	local scheme=https host=${ITLS_LOADED-127.0.0.1}
	[ "$1" != plain ] || scheme=http
	echo "$scheme://${host%/*}:${port[$1]}/file"
}

# load_here VARIANT SECONDS: prints the inside of a JSON object, nothing when that failed.
# The client shares processors with the servers; theirs is what their processes ran.
load_here() {
	local before after result
	# shellcheck disable=SC2046	# words
	before=$("$tools/cputime" $(processes "$1")) || return
	result=$(wrk -t 1 -c "$conns" -d "${2}s" --timeout 60s -s "$bench/wrk.lua" \
		${close:+-H "Connection: close"} "$(url "$1")" | sed -n 's/^json //p')
	# shellcheck disable=SC2046
	after=$("$tools/cputime" $(processes "$1")) || return
	echo "${result:+\"cpu_ns\":$((after - before)),$result}"
}

# shellcheck disable=SC2086	# words
processes() { descendants ${roots[$1]}; }

# --- proofs: what is measured is what it is called ---

# Version, cipher and certificate, once for each.
tls_check() {
	local said
	[ "$1" != plain ] || return 0
	said=$(openssl s_client -brief -connect "127.0.0.1:${port[$1]}" -CAfile "$dir/pki/ca.pem" \
		-verify_return_error </dev/null 2>&1)
	if ! grep -q "^Protocol version: TLSv1.3" <<<"$said" ||
		! grep -q "^Ciphersuite: $suite" <<<"$said" || ! grep -q '^Verification: OK' <<<"$said"; then
		echo "$said" >&2
		die "$1 does not speak TLS 1.3 with $suite"
	fi
}

# counter itls|tls NAME: 0 where there is no such module
counter() { cat "/proc/net/$1_stat" 2>/dev/null | awk -v n="$2" '$1 == n { v = $2 } END { printf "%.0f\n", v }'; }

# Connections whose sending in-tree kTLS took over so far, and bytes itls sent.
kernel_tls() { echo "$(counter tls TlsTxSw) $(counter itls TxBytes)"; }

# proof VARIANT BEFORE BYTES: since kernel_tls said BEFORE, only the kernel's TLS
# that belongs to the variant did anything, and what it had to.
proof() {
	local variant=$1 in_tree=${2% *} itls=${2#* } bytes=$3 now
	now=$(kernel_tls)
	in_tree=$((${now% *} - in_tree)) itls=$((${now#* } - itls))
	case $variant in
	ktls) [ $in_tree -gt 0 ] && [ $itls = 0 ] ;;
	itls) [ $in_tree = 0 ] && [ $itls -ge "$bytes" ] ;;
	*) [ $in_tree = 0 ] && [ $itls = 0 ] ;;
	esac || die "$variant: $bytes bytes arrived; in-tree kTLS took over $in_tree connections and itls sent $itls bytes"
}
