# SPDX-License-Identifier: GPL-2.0
# Measurements of handshakes to rows: for each kernel and scenario how many a second each variant
# did and what one took, in us, medians with quartiles; and what another's took in that of itls,
# within a round. After summary.jq and servers.jq, whose functions it uses.

def us(field): .[field] / .count / 1000;

def handshake_over_itls(clock): [group_by(.round)[] | (map(select(.variant == "itls"))[0]) as $itls |
	select($itls != null) | .[] | select(.variant != "itls") |
	{ variant: .variant, x: (us(clock) / ($itls | us(clock))) }] | of_variants(.x);

def handshake_rows: [map(select(.tool == "handshake")) | group_by([.kernel, .scenario])[] |
	{ kernel: .[0].kernel, scenario: .[0].scenario, conns: .[0].conns, tls: .[0].tls,
	  cert: .[0].cert, resumed: .[0].resumed, variants: (map(.variant) | unique),
	  rate: of_variants(.count / .wall_ns * 1e9), servers: of_variants(us("servers_ns")),
	  kernel_time: of_variants(us("kernel_ns")),
	  cpu: { cost: of_variants(us("cpu_ns")), over_itls: handshake_over_itls("cpu_ns") },
	  wall: { cost: of_variants(us("wall_ns")), over_itls: handshake_over_itls("wall_ns") },
	  failed: (map(.failed) | add) }];
