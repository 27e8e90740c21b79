#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Limit: 900 seconds
#
# The load scripts on this kernel: each kind of scenario of scripts/bench, as briefly as can
# be, with its proofs of what was measured, and tables of it.  Of the figures nothing is
# asked but that they are there.
. "$(dirname "$0")/lib/tap.sh"
here=$(dirname "$(realpath "$0")")
bench=$(realpath "$here/../../scripts/bench")
top=$(realpath "$here/../..")
built=${ITLS_BUILD:-$top/build}
. "$bench/scenarios.sh"
. "$bench/report.sh"

# Emulated processors need long for many connections.
briefly() {
	sed -e 's/ --rounds [0-9]*//' -e '/^idle/s/--conns [0-9]*/--conns 8/' \
		-e '/^[tr]x\|^crowd/s/--conns [0-9,]*/--conns 1,8/' -e 's/$/ --rounds 1 --time 5/'
}

# Each way to measure once; nginx and itlsd, without the servers that only stand beside them.
plan_make() {
	local name
	{
		for name in tx/sendfile/1M tx/send/16K tx/send/64/cork tx/send/1K/more tx/send/1M/syscall \
			tx/sendfile/1M/cold tx/splice/1M tx/sendfile/1M/1.2-chacha rx/recv/256K \
			rx/splice/null rx/splice/file rx/recv/256K/packets idle/used crowd/sendfile; do
			scenarios_list all "$name" | grep "^$name " || scenario "$name" --unknown
		done
		scenario server/1M "--size 1M --seconds 1 --conns 2 --variants plain,openssl,ktls,itls"
		scenario server/idle "--idle 8 --size 1K --variants plain,itls"
		scenario handshake/resumed/1.2 "--tls 1.2 --resume --variants openssl,itls"
		scenario latency/first-byte ""
	} | briefly >"$tmp/plan"
}

# What was loaded for this goes again, as soon as the last connection lets it.
tap_undo() {
	local module
	for module in $loaded; do
		until_ok 20 rmmod "$module"
	done
}

measures() {
	mkdir -p "$tmp/state"
	ITLS_STATE=$tmp/state timeout $((800 * ${ITLS_TEST_SCALE:-1})) "$bench/guest" "$ITLS_KERNEL" "$built/bench/bin/load" "$tmp/plan" \
		"$built/bench/module-$ITLS_KERNEL/itls_bench.ko"
}

reports() { report_json "$tmp/state/results" cpu >"$tmp/results.json"; }

# A row for each scenario, none with a connection that failed.
all_are_there() {
	local missing
	missing=$(comm -23 <(cut -d' ' -f1 "$tmp/plan" | sort) \
		<(jq -r '(.rows + .servers + .handshakes + .latency)[].scenario' "$tmp/results.json" | sort -u))
	[ -z "$missing" ] || { echo "not measured: $missing"; return 1; }
	[ -z "$(report_failures "$tmp/results.json")" ] || { report_failures "$tmp/results.json"; return 1; }
}

# figures FILTER: numbers above zero, and some
figures() {
	jq -e "[$1] | length > 0 and all(type == \"number\" and . > 0)" "$tmp/results.json" >"$tmp/said" ||
		{ jq -c "[$1]" "$tmp/results.json"; return 1; }
}

variants_have_figures() {
	figures '.rows[] | select(.op != "idle") | .cpu.variants | (.plain, .tls, .itls).median' &&
		figures '.rows[] | select(.scenario == "tx/sendfile/1M") | .cpu | (.variants.aead, .floor).median' &&
		figures '.servers[] | select(.scenario == "server/1M") | .requests_s | (.plain, .openssl, .ktls, .itls).median' &&
		figures '.servers[] | select(.kernel_memory) | .daemon_bytes.itls.median' &&
		figures '.handshakes[].rate | (.openssl, .itls).median' &&
		figures '.latency[] | (.first, .whole).median'
}

# Whatever the verdicts.  Not 5, of TLS 1.3 handshakes; nor what is asked of thousands of
# connections (6, 7), which eight cannot tell.
targets_are_judged() {
	is "$(jq -r '[.targets[].id] | unique - ["6"] | join(" ")' "$tmp/results.json")" "1 2 3 4"
}

tables_are_made() {
	local kind lines
	for kind in rows servers memory handshakes latency targets; do
		lines=$("report_$kind" "$tmp/results.json" cpu) || return 1
		[ "$(wc -l <<<"$lines")" -gt 1 ] || { echo "no table of $kind"; return 1; }
	done
}

loaded=''
case $ITLS_KERNEL in
debug*)
	skip "load scripts" "figures of a debug kernel are none"
	exit
	;;
esac
loaded=itls_bench
grep -q '^tls ' /proc/modules || loaded+=' tls'
plan_make
ok "$(wc -l <"$tmp/plan") scenarios are measured" measures
ok "the results make sense" reports
ok "every scenario is in them, without a failure" all_are_there
ok "every variant has a figure" variants_have_figures
ok "targets are judged" targets_are_judged
ok "there is a table of each kind" tables_are_made
