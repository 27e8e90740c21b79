#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# What scripts/bench/run would measure, without measuring; and the servers that it puts
# beside those of a guest.
. "$(dirname "$0")/lib/tap.sh"
bench=$(dirname "$(realpath "$0")")/../../scripts/bench
. "$bench/scenarios.sh"

# timed WHAT: its plan, of 21 rounds of 60 ms, or 7 of 200
timed() { scenarios_list "$1" "${2-}" | scenarios_timed 21 60 7 200; }

every_scenario_is_timed_once() {
	local what
	for what in quick all; do
		[ "$(timed $what | wc -l)" = "$(scenarios_list $what | wc -l)" ] &&
			[ "$(timed $what | wc -l)" -gt 10 ] || return
		! timed $what | grep -vE '^[^ ]+ (.* )?--time (60|200)( |$)' || return
		! timed $what | grep -E -- '--rounds .*--rounds|--time .*--time' || return
		! timed $what | grep -v -- ' --rounds [0-9]' || return
	done
}

# What begins at once has many short rounds, what does not few long ones, or its own.
rounds_suit_the_scenario() {
	timed quick tx/send/64/more | grep -q -- ' --time 60 --rounds 21$' &&
		timed quick server/1M | grep -q -- ' --time 200 --rounds 7$' &&
		timed quick crowd/sendfile | grep -q -- ' --time 200 --rounds 7$' &&
		timed quick idle/used | grep -q -- ' --rounds 3 .* --time 200$'
}

run_lists_what_it_measures() {
	diff <("$bench/run" --quick --list) <(scenarios_list quick | cut -d' ' -f1) &&
		diff <("$bench/run" --list --only 'rx/*/packets') \
			<(printf '%s\n' rx/recv/256K/packets rx/splice/null/packets)
}

# native LINE…: what the servers answer
native() {
	printf '%s\n' "$@" |
		unshare -n -m sh -c 'ip link set lo up && exec "$0" 1M' "$bench/native" 2>/dev/null
}

native_servers_answer() {
	native 'plain 2 1' 'openssl 2 1' 'openssl 2 1 close' | sed 's/.*/{&}/' |
		jq -es 'length == 3 and all(.failed == 0 and .bytes > 1e6 and .cpu_ns > 0)'
}

# Nothing is better than a figure of something else.
native_refuses_what_it_does_not_know() { [ -z "$(native 'nosuch 2 1')" ]; }

ok "every scenario is timed, once" every_scenario_is_timed_once
ok "rounds suit the scenario" rounds_suit_the_scenario
ok "run lists what it measures" run_lists_what_it_measures
ok "native servers answer" native_servers_answer
ok "native refuses what it does not know" native_refuses_what_it_does_not_know
