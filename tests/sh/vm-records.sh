#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# record_sizing of the profile decides how a file is cut into records.
. "$(dirname "$0")/lib/server.sh"

# Records that one fetch of 64 KiB took: nginx's header, the file, and
# close_notify unless the client is gone already.
records_of_fetch() {
	local before
	before=$(counter TxRecords)
	fetch file -o "$tmp/got" >&2 && cmp "$tmp/got" "$tmp/www/file" >&2 && all_gone >&2 || return 1
	echo $(($(counter TxRecords) - before))
}

# took FEWEST MOST
took() {
	local n
	n=$(records_of_fetch) && echo "$n records" && [ "$n" -ge "$1" ] && [ "$n" -le "$2" ]
}

full_records() { took 5 6; }
# 1, 1, 2, 4 and 8 segments, a page's end, then what is left.
short_records_first() { took 9 10; }

# now SIZING: the daemon has taken over a profile with that
now() {
	sed -i "s/^record_sizing = .*/record_sizing = $1/" "$tmp/itlsd.conf"
	kill -HUP "$daemon"
}

# Segments as on a network: those of the loopback hold more than a record.
ip link set lo mtu 1500
mkdir -p "$tmp/www"
head -c 65536 /dev/urandom >"$tmp/www/file"
start_daemon
start_nginx
attach
ok "short records first, when nothing is said" short_records_first
end_process "$daemon" TERM
until_ok 20 agents_are 0
start_daemon "record_sizing = throughput"
ok "full records" full_records
now latency
ok "after a reload short ones first" until_ok 20 short_records_first
now throughput
ok "and full ones again" until_ok 20 full_records
ok "nothing is left" all_gone
