# SPDX-License-Identifier: GPL-2.0
# Measurements (one object a line, slurped) to rows: for each kernel, scenario and
# number of connections the variants' medians and quartiles, and ratios. Ratios are
# taken within a round, where the variants alternated, and then their median.

def quantile(q): sort | ((length - 1) * q) as $at | ($at | floor) as $i |
	.[$i] + ($at - $i) * ((.[$i + 1] // .[$i]) - .[$i]);
def spread: if length == 0 then null else
	{ median: quantile(0.5), q1: quantile(0.25), q3: quantile(0.75), rounds: length } end;

# per byte, or per connection
def cost(clock): if .op == "idle" then .mem / .conns else .[clock] / .bytes end;

def round_of(clock): map({ key: .variant, value: cost(clock) }) | from_entries;

def ratio(a; b): map(select(.[a] != null and .[b] != null and .[b] > 0) | .[a] / .[b]);

def floor_ratio: map(select(.aead != null and .plain != null and .itls != null) |
	.itls / (.plain + .aead));

# What plain TCP takes for the same idle connection is nobody's overhead.
def less_plain: map((.plain // 0) as $p | with_entries(if .key == "plain" then . else .value -= $p end));

def stats(clock):
	([group_by(.round)[] | round_of(clock)]) as $rounds |
	(if .[0].op == "idle" then $rounds | less_plain else $rounds end) as $rounds |
	{ variants: (reduce ($rounds | map(keys) | add | unique)[] as $v ({};
		.[$v] = ([$rounds[][$v] | select(. != null)] | spread))),
	  gain: ($rounds | ratio("tls"; "itls") | spread),
	  floor: ($rounds | floor_ratio | spread) };

# Where the machine has such a counter.
def counted(counter): if all((.[counter] // 0) == 0) then null else stats(counter) end;

# Throughput of each variant with these connections, of that with the fewest.
def beside($all; clock): ($all | map(.conns) | min) as $few |
	[.[] | . as $m | ($all[] | select(.conns == $few and .variant == $m.variant and
		.round == $m.round)) as $f | { v: $m.variant, x: (($f | cost(clock)) / ($m | cost(clock))) }] |
	group_by(.v) | map({ key: .[0].v, value: (map(.x) | spread) }) | from_entries;

def rows: [group_by([.kernel, .scenario])[] as $all | $all | group_by(.conns)[] |
	{ kernel: .[0].kernel, scenario: .[0].scenario, conns: .[0].conns, op: .[0].op,
	  way: .[0].way, size: .[0].size, tls: .[0].tls, cipher: .[0].cipher,
	  unit: (if .[0].op == "idle" then "B/connection" else "ns/B" end),
	  cpu: stats("cpu_ns"), wall: stats("wall_ns"),
	  beside_fewest: (if .[0].op == "idle" then null else
		{ cpu: beside($all; "cpu_ns"), wall: beside($all; "wall_ns") } end),
	  cycles: counted("cycles"), dram: counted("dram_bytes"),
	  failed: (map(.failed) | add), stalls: (map(.stalls) | add) }];

# Of scripts/bench/latency: milliseconds for each kind of records.
def latency_rows: [map(select(.tool == "latency")) | group_by([.kernel, .scenario, .variant])[] |
	{ kernel: .[0].kernel, scenario: .[0].scenario, variant: .[0].variant, rate: .[0].rate,
	  rtt_ms: .[0].rtt_ms, idle_ms: .[0].idle_ms, bytes: .[0].bytes,
	  first: (map(.first_ns / 1e6) | spread), whole: (map(.whole_ns / 1e6) | spread),
	  records: (map(.records) | spread), sizes: .[0].sizes }];
