# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Runs programs that speak TAP, with a time limit, and keeps the books.
#
# The ledger is a file of lines "pass|fail|skip<TAB>name[<TAB>why]".  A program
# fails as a whole, beside its own tests, when it prints no plan, fewer or more
# results than planned, ends badly, or does not end.

# tap_note RESULT NAME [WHY]: one line of the ledger; failures are shown.
tap_note() {
	printf '%s\t%s\t%s\n' "$1" "$2" "${3-}" >>"$tap_ledger"
	case $1 in
	fail) echo "not ok   $2${3:+: $3}" ;;
	pass) [ -z "${tap_verbose-}" ] || echo "ok       $2" ;;
	esac
}

# Turns the TAP in file $2 of program $1, which ended with status $3, into
# ledger lines.
tap_parse() {
	awk -v program="$1" -v status="$3" '
	function note(result, name, why) { printf "%s\t%s\t%s\n", result, program ": " name, why }
	/^1\.\.[0-9]+/ {
		plans++
		plan = substr($1, 4) + 0
		if (plan == 0 && /# *SKIP/) { sub(/^[^#]*# *SKIP */, ""); note("skip", "all", $0); skipped = 1 }
		next
	}
	/^(not )?ok( |$)/ {
		seen++
		good = $1 == "ok"
		line = $0
		sub(/^(not )?ok *[0-9]* *-? */, "", line)
		if (good && line ~ /# *SKIP/) {
			why = line; sub(/^.*# *SKIP */, "", why); sub(/ *# *SKIP.*/, "", line)
			note("skip", line, why)
		} else if (good) {
			note("pass", line, "")
		} else {
			failed++
			note("fail", line, "")
		}
		next
	}
	/^Bail out!/ { note("fail", "bailed out", $0); failed++ }
	END {
		if (status == 124 || status == 137) { note("fail", "did not end in time", seen + 0 " results"); exit }
		if (plans != 1) { note("fail", "plan", plans ? "more than one plan" : "no plan; exit status " status); exit }
		if (seen + 0 != plan) { note("fail", "plan", plan " planned, " seen + 0 " seen; exit status " status); exit }
		if (plan == 0 && !skipped) note("fail", "plan", "no tests")
		if (status != 0 && !failed && !skipped) note("fail", "exit status", status)
		if (status == 0 && failed) note("fail", "exit status", "0 in spite of failures")
	}' "$2"
}

# tap_run NAME SECONDS COMMAND…: runs one program, output in $tap_logs/NAME.tap.
# tap_hang, if it is a function, is called while a program that hangs still does.
tap_run() {
	local name=$1 limit=$2 log status lines began=$SECONDS
	shift 2
	log=$tap_logs/$(tr -c 'A-Za-z0-9._\n-' _ <<<"$name").tap
	tap_timed "$limit" "$@" >"$log" 2>&1
	status=$?
	lines=$(tap_parse "$name" "$log" "$status")
	printf '%s\n' "$lines" >>"$tap_ledger"
	tap_tell "$name" "$log" "$lines" $((SECONDS - began))
}

# As timeout(1), but looks at the hanging program before it kills it, with all
# the processes of its session.
tap_timed() {
	local limit=$1 pid timer first status
	shift
	setsid "$@" </dev/null &
	pid=$!
	sleep "$limit" >/dev/null 2>&1 &
	timer=$!
	wait -n -p first $pid $timer
	status=$?
	if [ "$first" = $timer ]; then
		[ "$(type -t tap_hang)" != function ] || tap_hang
		kill -KILL -- -$pid 2>/dev/null
		wait $pid
		status=124
	else
		kill $timer
		wait $timer
		# What the program left running would disturb the next one.
		kill -KILL -- -$pid
	fi 2>/dev/null
	return $status
}

# tap_tell NAME OUTPUT LINES SECONDS: what became of one program.
tap_tell() {
	local passed failed skipped
	passed=$(grep -c '^pass' <<<"$3")
	failed=$(grep -c '^fail' <<<"$3")
	skipped=$(grep -c '^skip' <<<"$3")
	if [ "$failed" = 0 ]; then
		echo "ok       $1: $passed passed, $skipped skipped, $4 s"
		return
	fi
	echo "not ok   $1: $passed passed, $failed failed, $skipped skipped, $4 s"
	sed -n 's/^fail\t/             /p' <<<"$3"
	echo "         --- last lines of $2"
	tail -n "${tap_tail:-60}" "$2" | sed 's/^/         /'
}

# Sums of ledger files: the line by which everything is judged.
tap_summary() {
	cat "$@" | awk -F'\t' '{ n[$1]++ }
		END { printf "%d passed, %d failed, %d skipped\n", n["pass"], n["fail"], n["skip"]
		      exit n["fail"] > 0 || n["pass"] == 0 }'
}
