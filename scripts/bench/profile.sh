# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# perf record on this machine around a User Mode Linux kernel while it runs one
# scenario. perf knows nothing of the modules, which lie in the process as data, so
# addresses are looked up in the guest's own list of symbols. Sourced by run.

# addresses, one a line, and the list of symbols to "percent symbol [module]"
profile_symbols() {
	sort -k1,1 "$1" | awk '
		FNR == NR { if ($2 ~ /^[tTwW]$/) { at[++n] = $1; name[n] = $3 " " $4 } next }
		/^ffff/ { count["(kernel of the host)"]++; total++; next }
		{ address = $1
		  while (length(address) < 16) address = "0" address
		  lo = 0; hi = n
		  while (lo < hi) { mid = int((lo + hi + 1) / 2); if (at[mid] <= address) lo = mid; else hi = mid - 1 }
		  count[lo && lo < n ? name[lo] : "?"]++; total++ }
		END { for (s in count) printf "%6.2f%%  %s\n", 100 * count[s] / total, s }' - "$2" |
		sort -rn
}

# Servers have to start first, connections to be opened, the round that warms up to end.
profile_wait() {
	local end=$((SECONDS + 120))
	until grep -q 'round 1 of 1$' "$work/output"; do
		if ! kill -0 "$1" 2>/dev/null || [ $SECONDS -ge $end ]; then
			cat "$work/output" >&2
			die "the scenario did not begin"
		fi
		sleep 0.2
	done
}

profile_perf() {
	local pid=$1
	perf record -q -e cpu-clock -F 4999 -o "$work/perf.data" -p "$pid" -- sleep "$seconds" ||
		die "perf record failed: see kernel.perf_event_paranoid"
	perf script -i "$work/perf.data" -F ip 2>/dev/null | awk 'NF { print $1 }' >"$work/addresses"
}

profile_run() {
	local kernel=${kernels%%,*}-fast dir=$work/profile modules guest
	[ -z "$host" ] || die "--profile is for User Mode Linux; on the running kernel use perf itself"
	packages_need linux-perf
	scenarios_list all "$profile" | awk -v name="$profile" '$1 == name' |
		sed -e 's/--variants [^ ]*//' -e 's/--conns [^ ]*,/--conns /' \
		-e 's,--rounds [0-9]*,,' -e "s/\$/ --variants $variant --rounds 1 --time $(((seconds + 4) * 1000))/" >"$work/plan"
	[ -s "$work/plan" ] || die "no scenario '$profile': see --list"
	mkdir -p "$dir"
	say "building for $kernel"
	modules=$(modules_uml "$kernel") || exit 1
	# shellcheck disable=SC2086	# words
	run_uml "$kernel" "$dir" "$bench/guest" "$kernel" "$top/build/bench/bin/load" \
		"$work/plan" $modules >"$work/output" 2>&1 &
	guest=$!
	profile_wait $guest
	profile_perf "$(cat "$dir"/uml/*/pid)"
	wait $guest
	profile_symbols "$dir/kallsyms" "$work/addresses" >"$out/profile.txt"
	echo "$profile, $variant, $kernel: the kernel's time, $(wc -l <"$work/addresses") samples"
	jq -r '"\(.cpu_ns / .bytes * 1000 | round / 1000) ns/B (cpu)"' "$dir/results" 2>/dev/null
	head -n 45 "$out/profile.txt"
	say "all of it is in $out/profile.txt"
}
