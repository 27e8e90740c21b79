#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Limit: 600 seconds
#
# compat_ulp=1 and in-tree kTLS want the same name: who serves it, and when.
# Connections keep what they have.
. "$(dirname "$0")/lib/compat.sh"

if ! modprobe -n -q tls; then
	skip "the name tls" "this kernel has no module tls"
	exit
fi

coproc PAIR { exec python3 "$lib/ulppair.py" 2>"$tmp/pair.err"; }
pids+=("$PAIR_PID")

# tell WANT COMMAND…: one command to the program that holds the connections.
tell() {
	local want=$1 answer
	shift
	echo "$*" >&"${PAIR[1]}"
	read -r -t 60 answer <&"${PAIR[0]}" || answer="no answer"
	is "$answer" "$want" || { cat "$tmp/pair.err"; return 1; }
}

log_mark() { echo "itls-test: $1" >/dev/kmsg; }
log_says() { dmesg | sed -n '/itls-test: '"$1"'/,$p' | grep -F -- "$2"; }

times_named() { is "$(ulps | tr ' ' '\n' | grep -cx "$1")" "$2"; }

# One name, one server of it, whoever that is.
names() {
	ulps
	times_named tls "$1" && times_named itls "$2"
}

in_tree_comes_later() {
	log_mark later
	modprobe tls && log_says later 'itls: module tls loaded' && names 1 1
}

in_tree_goes() { rmmod tls && names 0 1; }

both_by_their_names() {
	tell in-tree open intree tls && tell itls open own itls &&
		tell same talk intree 100000 && tell same talk own 100000 &&
		tell closed close intree && tell closed close own
}

in_tree_was_first() {
	unload itls && modprobe tls || return 1
	log_mark first
	load_itls compat_ulp=1 && log_says first "ULP name 'tls' is taken" && names 1 1
}

itls_goes_in_tree_stays() {
	unload itls && names 1 0 && tell in-tree open intree tls && tell same talk intree 100000 &&
		tell closed close intree && unload tls && names 0 0
}

# In-tree kTLS arrives, and goes again, while connections are being made.
storm() {
	local answer
	unload itls && load_itls compat_ulp=1 && tell storming storm tls || return 1
	until_ok 20 counter_reaches TxRecords 20 && modprobe tls && until_ok 30 in_tree_reaches 20
	echo calm >&"${PAIR[1]}"
	read -r -t 60 answer <&"${PAIR[0]}"
	echo "$answer"
	cat "$tmp/pair.err"
	[[ $answer =~ ^errors=0\ in-tree=[1-9][0-9]*\ itls=[1-9][0-9]*$ ]] && unload tls && unload itls
}
in_tree_reaches() { [ "$(awk '$1 == "TlsTxSw" { print $2 }' /proc/net/tls_stat)" -ge "$1" ]; }

not_asked_for() { load_itls && names 0 1 && tell ENOENT open x tls && unload itls; }

# The recipe of itls(7): a program asks for "tls", modprobe brings itls.
by_request() {
	local dir
	dir=/lib/modules/$(uname -r)
	[ -n "${ITLS_GUEST-}" ] || { echo "not in a guest: $dir is not ours"; return 1; }
	mkdir -p "$dir/updates"
	cp "$module" "$dir/updates/" && depmod || return 1
	modprobe_rules 'options itls compat_ulp=1' 'alias tcp-ulp-tls itls' 'blacklist tls'
	! loaded itls && ! loaded tls && tell itls open asked tls && ! loaded tls &&
		tell same talk asked 100000 && tell closed close asked
}

# The recipe does not forbid what needs in-tree kTLS for itself.
still_loadable() { modprobe tls && tell in-tree open x tls && tell closed close x && unload tls; }

start_compat
ok "the name is served" names 1 1
ok "a connection gets it" tell itls open old tls
ok "data pass" tell same talk old 100000
ok "in-tree kTLS cannot be loaded" sh -c '! modprobe -q tls'
rm -f "$modprobe_conf"
ok "loaded later, in-tree kTLS gets the name" in_tree_comes_later
ok "new connections are in-tree's" tell in-tree open new tls
ok "and itls' by its own name" tell itls open own itls
ok "the old connection goes on" tell same talk old 1000000
ok "the new one works beside it" tell same talk new 1000000
ok "in-tree kTLS is held by its connection" sh -c '! rmmod tls'
tell closed close new >/dev/null
ok "in-tree kTLS can be unloaded" in_tree_goes
ok "the old connection goes on then too" tell same talk old 1000000
keep_in_tree_out
ok "nobody serves the name now" tell ENOENT open none tls
ok "the module is held by the old connection" sh -c '! rmmod itls'
tell closed close old >/dev/null
tell closed close own >/dev/null
ok "unloaded and loaded again it serves the name" eval 'unload itls && load_itls compat_ulp=1 && names 1 1'
ok "unloaded it is gone from the list" eval 'unload itls && names 0 0 && tell ENOENT open none tls'
rm -f "$modprobe_conf"
ok "loaded first, in-tree kTLS keeps the name" in_tree_was_first
ok "each is served by its name" both_by_their_names
ok "unloading itls leaves in-tree its name" itls_goes_in_tree_stays
ok "no connection fails while the name changes hands" storm
keep_in_tree_out
ok "without the parameter the name is not taken" not_asked_for
ok "modprobe brings itls for the name" by_request
ok "and in-tree kTLS for who needs it" still_loadable
ok "the module can be unloaded" unload itls
