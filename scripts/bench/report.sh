# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Lines of measurements to one JSON file and to tables.

# report_json RESULTS CLOCK: measurements, rows and verdicts in one object.
report_json() {
	jq -s "$(cat "$bench/summary.jq") map(select(.op)) | rows" "$1" >"$1.rows" &&
		jq -s "$(cat "$bench/summary.jq" "$bench/servers.jq") map(select(.tool == \"server\")) | server_rows" \
			"$1" >"$1.servers" &&
		jq -s "$(cat "$bench/summary.jq" "$bench/servers.jq" "$bench/handshakes.jq") handshake_rows" \
			"$1" >"$1.handshakes" &&
		jq -s "$(cat "$bench/summary.jq") latency_rows" "$1" >"$1.latency" &&
		jq -s add "$1.rows" "$1.servers" "$1.handshakes" |
		jq --arg clock "$2" -f "$bench/targets.jq" >"$1.targets" || return 1
	jq -n --slurpfile measurements "$1" --slurpfile rows "$1.rows" --arg clock "$2" \
		--slurpfile targets "$1.targets" --slurpfile servers "$1.servers" \
		--slurpfile handshakes "$1.handshakes" --slurpfile latency "$1.latency" \
		--arg cpu "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)" \
		--arg host "$(uname -r)" --arg date "$(date -u +%Y-%m-%dT%H:%MZ)" \
		--arg source "$(git -C "$top" describe --always --dirty 2>/dev/null)" '
		{ machine: { cpu: $cpu, host_kernel: $host }, date: $date, itls: $source,
		  clock: $clock, targets: $targets[0], rows: $rows[0], servers: $servers[0],
		  handshakes: $handshakes[0], latency: $latency[0], measurements: $measurements }'
	rm -f "$1.rows" "$1.servers" "$1.handshakes" "$1.latency" "$1.targets"
}

# A table of tab-separated lines, the first its heads; all columns but one are numbers.
report_columns() {
	awk -F'\t' -v left="$1" '
		{ for (i = 1; i <= NF; i++) { cell[NR, i] = $i; if (length($i) > width[i]) width[i] = length($i) }
		  if (NF > most) most = NF }
		END { for (r = 1; r <= NR; r++) { line = ""
			for (i = 1; i <= most; i++)
				line = line sprintf("%" (i <= left ? "-" : "") width[i] "s  ", cell[r, i])
			sub(/ +$/, "", line); print line } }'
}

# Functions of jq for cells: rounded, and with the middle half of the rounds.
report_cells='
	def n(d): if . == null then "-" else
		(. * pow(10; d) | round) as $x | ($x / pow(10; d) | tostring) end;
	def cell(d): if . == null then "-" else (.median | n(d)) +
		" [" + (.q1 | n(d)) + " " + (.q3 | n(d)) + "]" end;'

# ns per byte with the middle half of the rounds; what the ratio is of is in the head.
report_rows() {
	jq -r --arg clock "$2" "$report_cells"'
		def digits: if .unit == "ns/B" then 3 else 0 end;
		def ratio: cell(2);
		["kernel", "scenario", "conns", "unit", "plain", "tls", "itls", "AES alone",
		 "tls/itls", "itls/floor", "wall tls/itls"],
		(.rows[] | digits as $d | .[$clock] as $s | [.kernel, .scenario, .conns, .unit,
		 ($s.variants.plain | cell($d)), ($s.variants.tls | cell($d)),
		 ($s.variants.itls | cell($d)), ($s.variants.aead | cell($d)),
		 ($s.gain | ratio), ($s.floor | ratio), (.wall.gain | ratio)]) | @tsv' "$1" |
		report_columns 4
}

# Where the machine has counters: cycles, and bytes of memory, per byte of plaintext.
report_counters() {
	jq -r "$report_cells"'
		def cells(of): (of.variants // {}) | (.plain | cell(2)), (.tls | cell(2)), (.itls | cell(2));
		["kernel", "scenario", "conns", "cycles/B: plain", "tls", "itls", "DRAM B/B: plain", "tls", "itls"],
		(.rows[] | select(.cycles or .dram) | [.kernel, .scenario, .conns, cells(.cycles), cells(.dram)]) |
		@tsv' "$1" | report_columns 3
}

# Real servers, a line for each variant.
report_servers() {
	jq -r --arg clock "$2" "$report_cells"'
		["kernel", "scenario", "variant", "requests/s", "Gb/s", "p50 us", "p99 us", "p99.9 us",
		 "CPU s/GB", "CPU us/request", "of itls"],
		(.servers // [] | .[] | select(.cpu) | . as $s | .variants[] | . as $v |
		[$s.kernel, $s.scenario, $v, ($s.requests_s[$v] | cell(0)), ($s.gbit_s[$v] | cell(2)),
		 ($s.p50_us[$v] | cell(0)), ($s.p99_us[$v] | cell(0)), ($s.p999_us[$v] | cell(0)),
		 ($s.cpu.cost[$v] | cell(3)),
		 (if $s.size > 1048576 then "-" else $s.cpu.request[$v] |
			if . then map_values(. / 1000) else . end | cell(0) end),
		 ($s[$clock].over_itls[$v] | cell(2))]) | @tsv' "$1" | report_columns 3
}

# Memory of idle connections to real servers.
report_memory() {
	jq -r "$report_cells"'
		["kernel", "scenario", "variant", "kernel B/connection", "server B/connection", "daemon KiB"],
		(.servers // [] | .[] | select(.kernel_memory) | . as $s | .variants[] | . as $v |
		[$s.kernel, $s.scenario, $v, ($s.kernel_memory[$v] | cell(0)),
		 ($s.process_memory[$v] | cell(0)),
		 ($s.daemon_bytes[$v] | if . then map_values(. / 1024) else . end | cell(0))]) |
		@tsv' "$1" | report_columns 3
}

# Milliseconds until something of the file could be read, and until all of it.
report_latency() {
	jq -r 'def n: . * 10 | round / 10 | tostring;
		def cell: (.median | n) + " [" + (.q1 | n) + " " + (.q3 | n) + "]";
		["kernel", "scenario", "record_sizing", "link", "first byte, ms", "whole, ms", "records",
		 "the first ones"],
		((.latency // [])[] | [.kernel, .scenario, .variant, "\(.rate), \(.rtt_ms) ms",
		 (.first | cell), (.whole | cell), (.records.median | n),
		 (.sizes | map(tostring) | join(" "))]) | @tsv' "$1" | report_columns 4
}

# Handshakes with real servers, a line for each variant.
report_handshakes() {
	jq -r --arg clock "$2" "$report_cells"'
		["kernel", "scenario", "variant", "handshakes/s", "us of the servers", "us of the kernel",
		 "us of both", "of itls"],
		(.handshakes // [] | .[] | . as $s | .variants[] | . as $v |
		[$s.kernel, $s.scenario, $v, ($s.rate[$v] | cell(0)), ($s.servers[$v] | cell(0)),
		 ($s.kernel_time[$v] | cell(0)), ($s.cpu.cost[$v] | cell(0)),
		 ($s[$clock].over_itls[$v] | cell(2))]) | @tsv' "$1" | report_columns 3
}

report_targets() {
	jq -r "$report_cells"'
		["kernel", "", "target", "wanted", "measured", "at most", "met"],
		(.targets // [] | .[] | [.kernel, .id, .what, (if .at_most then "<= " else ">= " end) +
		 (.want | tostring), (.measured * 100 | round / 100), (.most | n(2)),
		 if .met then "yes" else "NO" end]) |
		@tsv' "$1" | report_columns 3
}

report_failures() {
	jq -r '(.rows + (.servers // []) + (.handshakes // []))[] | select(.failed > 0) |
		"\(.kernel) \(.scenario): \(.failed) transfers failed"' "$1"
}

report_all_met() { jq -e '.targets | length > 0 and all(.met)' "$1" >/dev/null; }
