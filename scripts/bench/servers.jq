# SPDX-License-Identifier: GPL-2.0
# Measurements of real servers to rows: for each kernel and scenario what each variant
# reached, medians with quartiles, and how the others' processor time compares with that of
# itls, within a round. After summary.jq, whose functions it uses.

def of_variants(f): map(select(f != null)) | group_by(.variant) |
	map({ key: .[0].variant, value: (map(f) | spread) }) | from_entries;

def over_itls(clock): [group_by(.round)[] | (map(select(.variant == "itls"))[0]) as $itls |
	select($itls != null) | .[] | select(.variant != "itls") |
	{ variant: .variant, x: ((.[clock] / .bytes) / ($itls[clock] / $itls.bytes)) }] | of_variants(.x);

# What plain TCP takes for the same connections is nobody's overhead.
def less_plain_memory: [group_by(.round)[] | (map(select(.variant == "plain"))[0]) as $plain |
	.[] | if .variant == "plain" then . else .kernel_bytes -= ($plain.kernel_bytes // 0) |
	.process_bytes -= ($plain.process_bytes // 0) end];

def memory_row: less_plain_memory |
	{ kernel_memory: of_variants(.kernel_bytes / .conns),
	  process_memory: of_variants(.process_bytes / .conns),
	  daemon_bytes: of_variants(.daemon_bytes) };

def load_row: { size: .[0].size, close: .[0].close,
	cpu: { cost: of_variants(.cpu_ns / .bytes), request: of_variants(.cpu_ns / ([.requests, 1] | max)),
	       over_itls: over_itls("cpu_ns") },
	wall: { cost: of_variants(.wall_ns / .bytes), over_itls: over_itls("wall_ns") },
	requests_s: of_variants(.requests / .wall_ns * 1e9), gbit_s: of_variants(.bytes * 8 / .wall_ns),
	p50_us: of_variants(.p50_us), p99_us: of_variants(.p99_us), p999_us: of_variants(.p999_us),
	failed: (map(.failed) | add) };

def server_rows: [group_by([.kernel, .scenario])[] |
	{ kernel: .[0].kernel, scenario: .[0].scenario, conns: .[0].conns,
	  variants: (map(.variant) | unique) } +
	(if .[0].kernel_bytes == null then load_row else memory_row end)];
