# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# TAP for shell tests, a temporary folder, and processes that are ended by
# their recorded ids.

set -u
tmp=$(mktemp -d)
chmod 755 "$tmp"
pids=()
tap_count=0
tap_failed=0

tap_end() {
	local pid
	trap - EXIT
	# Asked first: nginx's master takes its workers with it only then.
	[ ${#pids[@]} = 0 ] || kill -TERM "${pids[@]}" 2>/dev/null
	for pid in ${pids[@]+"${pids[@]}"}; do
		until_ok 10 ended "$pid" || kill -KILL "$pid"
		wait "$pid"
	done >/dev/null 2>&1
	# Of the script's own: what it changed outside its folder.
	[ "$(type -t tap_undo)" != function ] || tap_undo >/dev/null 2>&1
	rm -rf "$tmp"
	echo "1..$tap_count"
	exit $((tap_failed > 0))
}
trap tap_end EXIT
trap 'exit 1' INT TERM

# ok NAME COMMAND…: one test that is its command's exit status.
ok() {
	local name=$1
	shift
	tap_count=$((tap_count + 1))
	if "$@" >"$tmp/tap.log" 2>&1; then
		echo "ok $tap_count - $name"
		return 0
	fi
	tap_failed=$((tap_failed + 1))
	echo "not ok $tap_count - $name"
	sed 's/^/# /' "$tmp/tap.log"
	return 1
}

# skip NAME WHY: one test that cannot be made here.
skip() {
	tap_count=$((tap_count + 1))
	echo "ok $tap_count - $1 # SKIP $2"
}

# Gives the test up as a whole: the plan counts this as one failure.
bail() {
	echo "# $*"
	tap_count=$((tap_count + 1))
	tap_failed=$((tap_failed + 1))
	echo "not ok $tap_count - $*"
	exit 1
}

# until_ok SECONDS COMMAND…: waits for a condition, with a deadline.
until_ok() {
	local end=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] || { echo "gave up waiting for: $*"; return 1; }
		sleep 0.05
	done
}

# A child that is dead but not waited for is still a process.
ended() { [[ $(ps -o stat= -p "$1") =~ ^(Z.*)?$ ]]; }

is() { [ "$1" = "$2" ] || { echo "got '$1', want '$2'"; return 1; }; }
