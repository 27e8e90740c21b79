# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# The module with compat_ulp=1, in-tree kTLS kept out, for programs that know
# no other name than "tls".  At the end the module is loaded as it was before.

. "$(dirname "${BASH_SOURCE[0]}")/server.sh"

module=${ITLS_MODULE:?is the file of the module}
modprobe_conf=/run/modprobe.d/itls-test.conf
plain_openssl=$(command -v openssl)

loaded() { [ -d "/sys/module/$1" ]; }
unload() { ! loaded "$1" || until_ok 20 rmmod "$1"; }
# Only the first network namespace tells.
ulps() { nsenter -t 1 -n cat /proc/sys/net/ipv4/tcp_available_ulp; }
ulp_is_there() { grep -qw -- "$1" <<<"$(ulps)"; }

# modprobe_rules LINE…: what modprobe is told, until the next call.
modprobe_rules() {
	mkdir -p "${modprobe_conf%/*}"
	printf '%s\n' "$@" >"$modprobe_conf"
}

# Nobody can load in-tree kTLS, not by its name and not by the ULP's.
keep_in_tree_out() { modprobe_rules 'install tls /bin/false'; }

load_itls() { insmod "$module" "$@" || { dmesg | tail -n 5; return 1; }; }

start_compat() {
	unload tls || bail "in-tree kTLS is in use: $(cat /sys/module/tls/refcnt)"
	unload itls || bail "the module is in use: $(cat /sys/module/itls/refcnt)"
	keep_in_tree_out
	load_itls compat_ulp=1 || bail "the module does not load"
}

tap_undo() {
	rm -f "$modprobe_conf"
	unload tls
	unload itls && load_itls
}

# The name led to this module from first to last.
in_tree_was_out() {
	ulps
	! loaded tls && [ ! -e /proc/net/tls_stat ] && ! grep '^tls ' /proc/modules &&
		! modprobe -q tls && ulp_is_there tls && ulp_is_there itls
}

# Counters are told from a mark on.
declare -A marked
mark() {
	local name value
	while read -r name value; do marked[$name]=$value; done </proc/net/itls_stat
}
moved() { echo $(($(counter "$1") - marked[$1])); }

# ran Tx|Rx BYTES: as many bytes as that, and no more than headers besides.
ran() {
	local bytes records
	bytes=$(moved "$1Bytes") records=$(moved "$1Records")
	echo "$1: $records records, $bytes bytes"
	[ "$bytes" -ge "$2" ] && [ "$bytes" -le $(($2 + 8192)) ] && [ "$records" -gt 0 ]
}
idle() { is "$1 $(moved "$1Records") records" "$1 0 records"; }

# The programs of this Debian, and of a newer one where they have been fetched.
newer=${ITLS_NEWER-$("$top/scripts/vm/programs" --cached)}
use_programs() {
	PATH=/usr/sbin:/usr/bin:/sbin:/bin
	[ "$1" = host ] || PATH=$newer/bin:$PATH
	hash -r
	openssl_version=$(OPENSSL_CONF=/dev/null openssl version | cut -d' ' -f2)
}
sets() { echo host ${newer:+newer}; }

# Does this OpenSSL give the kernel the receiving key too?  3.0 and 3.1 do in
# TLS 1.2 only.
openssl_receives() {
	[ "$1" = 1.2 ] || [ "$(printf '%s\n' 3.2 "$openssl_version" | sort -V | head -n 1)" = 3.2 ]
}

# Programs that know no option for kTLS take it from the configuration.
make_material() {
	cache=$tmp pki_make "$tmp/pki"
	mkdir -p "$tmp/www"
	head -c "$1" /dev/urandom >"$tmp/www/file"
	printf '%s\n' 'openssl_conf = a' '[a]' 'ssl_conf = b' '[b]' 'system_default = c' \
		'[c]' 'Options = KTLS' >"$tmp/ktls.cnf"
}

# An OpenSSL without kTLS, for the other end.
plain() { OPENSSL_CONF=/dev/null exec "$plain_openssl" "$@"; }

# A pipe that stays open, as descriptor 5: programs that end with their input do not.
open_pipe() {
	rm -f "$tmp/in"
	mkfifo "$tmp/in"
	exec 5<>"$tmp/in"
}
ask() {
	open_pipe
	printf 'GET /%s HTTP/1.0\r\n\r\n' "$1" >&5
}

# start_server COMMAND…: s_server in the served folder; its output in $tmp/served.
start_server() {
	open_pipe
	(cd "$tmp/www" && "$@" -accept "$port" -cert "$tmp/pki/server.pem" -key "$tmp/pki/server.key") \
		<&5 >"$tmp/served" 2>"$tmp/server.log" &
	server=$!
	pids+=("$server")
	until_ok 20 listening || { cat "$tmp/server.log"; return 1; }
}
stop_server() {
	end_process "$server" TERM
	exec 5>&-
}

size_is() { is "$(stat -c %s "$1")" "$2"; }
