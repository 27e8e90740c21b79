#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Limit: 400 seconds
#
# Uploads to Debian's nginx: edge-triggered epoll, and a reader that asks
# FIONREAD and believes it.  A record of which TCP holds a part, and has no
# memory for the rest, must not stop the connection.
. "$(dirname "$0")/lib/server.sh"

www=$tmp/www

upload() {
	rm -f "$www/up"
	fetch up --max-time 30 "--tlsv1.$1" --tls-max "1.$1" -f -T "$www/$2" -o "$tmp/answer" && cmp "$www/$2" "$www/up"
}

# Small segments fill TCP's memory with less data than large ones.
with_mss() {
	ip route change local 127.0.0.1 dev lo table local advmss "$1" && upload 3 4MiB
}

mkdir "$www"
head -c 1048576 /dev/urandom >"$www/1MiB"
head -c 4194304 /dev/urandom >"$www/4MiB"
start_daemon
start_nginx "dav_methods PUT; client_max_body_size 8m;"
attach
for version in 3 2; do
	ok "1 MiB up, TLS 1.$version" upload $version 1MiB
	ok "1 MiB up again, TLS 1.$version" upload $version 1MiB
	ok "4 MiB up, TLS 1.$version" upload $version 4MiB
done
for mss in 536 1460 9000; do
	ok "4 MiB up, segments of $mss bytes" with_mss $mss
done
ok "nothing is left" all_gone
ok "no error in nginx's log" sh -c "! grep -E '\[(emerg|alert|crit|error)\]' $tmp/nginx.log"
