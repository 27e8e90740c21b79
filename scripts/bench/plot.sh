# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Plots, each as SVG and PNG. Sourced by run.

# kernel as a part of file names
plot_name() { tr -c 'A-Za-z0-9.\n-' _ <<<"$1"; }

# Bulk scenarios: cost per byte of each variant.
plot_cost_data() {
	jq -r --arg kernel "$2" --arg clock "$3" '.rows[] |
		select(.kernel == $kernel and .unit == "ns/B" and .size >= 16384) |
		.[$clock].variants as $v |
		["\(.scenario) ×\(.conns)", ($v.plain.median // "NaN"), ($v.tls.median // "NaN"),
		 ($v.itls.median // "NaN")] | @tsv' "$1"
}

# send() by its size: cost of a call.
plot_sizes_data() {
	jq -r --arg kernel "$2" --arg clock "$3" '[.rows[] |
		select(.kernel == $kernel and (.scenario | test("^tx/send/[0-9]+[KM]?$"))) |
		.[$clock].variants as $v | [.size, ($v.plain.median // "NaN"),
		 ($v.tls.median // "NaN"), ($v.itls.median // "NaN")]] | sort[] | @tsv' "$1"
}

# In-tree's cost in that of itls, with the middle half of the rounds.
plot_gain_data() {
	jq -r --arg kernel "$2" --arg clock "$3" '[.rows[] |
		select(.kernel == $kernel and .[$clock].gain != null)] | sort_by(.[$clock].gain.median)[] |
		["\(.scenario) ×\(.conns)", .[$clock].gain.median, .[$clock].gain.q1,
		 .[$clock].gain.q3] | @tsv' "$1"
}

# Real servers, small files first: CPU time per byte of each variant.
plot_servers_data() {
	jq -r --arg kernel "$2" '[.servers // [] | .[] | select(.kernel == $kernel and .cpu)] |
		sort_by(.size, .close)[] | .cpu.cost as $v |
		[.scenario, (("plain", "openssl", "ktls", "itls", "hitch", "stunnel") |
		 $v[.].median // "NaN")] | @tsv' "$1"
}

# plot NAME DATA TITLE HEIGHT: PNG and SVG by NAME.gp
plot() {
	local name=$1 data=$2 title=$3 height=$4 base=${2%.data} format
	[ -s "$data" ] || return 0
	for format in png svg; do
		gnuplot -e "format='$format'; data='$data'; out='$base.$format'; title_='$title'; height=$height" \
			"$bench/plot-$name.gp" || return 1
	done
}

# plot_all JSON DIR
plot_all() {
	local kernel base rows
	packages_need gnuplot-nox
	while read -r kernel; do
		base=$2/$(plot_name "$kernel")
		plot_cost_data "$1" "$kernel" "$clock" >"$base-cost.data"
		plot_sizes_data "$1" "$kernel" "$clock" >"$base-sizes.data"
		plot_gain_data "$1" "$kernel" "$clock" >"$base-gain.data"
		rows=$(wc -l <"$base-cost.data")
		plot cost "$base-cost.data" "Linux $kernel, $clock time per byte" $((140 + 44 * rows))
		plot sizes "$base-sizes.data" "Linux $kernel, send() by size" 600
		rows=$(wc -l <"$base-gain.data")
		plot gain "$base-gain.data" "Linux $kernel, in-tree kTLS / itls, $clock time" $((140 + 22 * rows))
		plot_servers_data "$1" "$kernel" >"$base-servers.data"
		rows=$(wc -l <"$base-servers.data")
		plot servers "$base-servers.data" "Linux $kernel, real servers, processor time of the server" \
			$((140 + 80 * rows))
		rm -f "$base"-{cost,sizes,gain,servers}.data
	done < <(jq -r '[(.rows + (.servers // []))[].kernel] | unique[]' "$1")
}
