# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# A daemon, a server and their certificates, for tests that need the module.
# The network namespace is the test's own, so ports are free to choose.

. "$(dirname "${BASH_SOURCE[0]}")/tap.sh"
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)
lib=$top/tests/sh/lib
. "$top/scripts/vm/lib.sh"
. "$top/scripts/vm/pki.sh"

bin=${ITLS_BIN:?is the folder with the built programs}
port=8443
ca=$tmp/pki/ca.pem
daemon=''

counter() { awk -F'\t' -v n="$1" '$1 == n { print $2 }' /proc/net/itls_stat; }
counter_is() { is "$(counter "$1")" "$2"; }
counter_reaches() { [ "$(counter "$1")" -ge "$2" ] || { echo "$1 is $(counter "$1"), want $2"; return 1; }; }

listening() { [ -n "$(ss -Hltn "sport = :${1:-$port}")" ]; }
agents_are() { counter_is CurrAgents "$1"; }

# Nothing is left: what every test ends with.
all_gone() {
	local name
	for name in CurrPending CurrSessions CurrTx CurrRx; do
		until_ok 20 counter_is $name 0 || {
			grep ^Curr /proc/net/itls_stat
			"$bin/itlsctl" sessions
			return 1
		}
	done
}

# Ends process $1 with signal $2 and forgets it.
end_process() {
	local pid keep=()
	kill "-$2" "$1"
	wait "$1" 2>/dev/null
	for pid in "${pids[@]}"; do
		[ "$pid" = "$1" ] || keep+=("$pid")
	done
	pids=(${keep[@]+"${keep[@]}"})
}

# $1: more lines for the profile.  daemon_under: what the daemon is run by;
# daemon_lines: what its file begins with; agents: how many register.
daemon_under=()
daemon_lines=''
agents=1
start_daemon() {
	[ -e "$tmp/pki/server.pem" ] || cache=$tmp pki_make "$tmp/pki"
	cat >"$tmp/itlsd.conf" <<-END
		$daemon_lines
		[profile default]
		certificate = $tmp/pki/server.pem
		key = $tmp/pki/server.key
		alpn = http/1.1
		${1-}
	END
	${daemon_under[@]+"${daemon_under[@]}"} "$bin/itlsd" -c "$tmp/itlsd.conf" >>"$tmp/itlsd.log" 2>&1 &
	daemon=$!
	pids+=("$daemon")
	until_ok 60 agents_are "$agents" || { cat "$tmp/itlsd.log"; bail "itlsd did not register"; }
}

# nginx as Debian ships it, serving $tmp/www; $1 more lines for http { }.
start_nginx() {
	mkdir -p "$tmp/www"
	cat >"$tmp/nginx.conf" <<-END
		daemon off;
		pid $tmp/nginx.pid;
		user root;
		worker_processes ${workers:-1};
		error_log $tmp/nginx.log info;
		events { worker_connections 1024; }
		http {
			access_log off;
			sendfile on;
			client_body_temp_path $tmp/body;
			proxy_temp_path $tmp/proxy;
			fastcgi_temp_path $tmp/fastcgi;
			uwsgi_temp_path $tmp/uwsgi;
			scgi_temp_path $tmp/scgi;
			${1-}
			server { listen $port; listen [::]:$port; root ${www:-$tmp/www}; }
		}
	END
	nginx -e "$tmp/nginx.log" -c "$tmp/nginx.conf" 2>>"$tmp/nginx.log" &
	nginx_master=$!
	pids+=("$nginx_master")
	until_ok 20 listening || { cat "$tmp/nginx.log"; bail "nginx did not start"; }
}

nginx_worker() { pgrep -P "$nginx_master" | head -n 1; }

# A server that answers nothing and writes down what it gets: $tmp/sink.
start_sink() {
	python3 "$lib/sink.py" "$port" >"$tmp/sink" 2>"$tmp/sink.err" &
	pids+=($!)
	until_ok 20 listening || { cat "$tmp/sink.err"; bail "the sink did not start"; }
}

attach() {
	"$bin/itlsctl" attach --port "$port" >"$tmp/attach.log" 2>&1 ||
		{ cat "$tmp/attach.log"; bail "itlsctl attach failed"; }
}

fetch() { curl -sS --max-time 120 --cacert "$ca" "https://localhost:$port/$1" "${@:2}"; }
