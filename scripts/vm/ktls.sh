# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Runs the kernel's own kTLS selftests in the guest, many at a time, each batch
# of cases in namespaces of its own, and judges them.  After lib.sh.
#
# A test program that finds no ULP goes on over plain TCP, and most of it passes.
# So each batch also says what the counters of its network namespace were; those
# of the ULP under test must have moved, those of the other one must not.

ktls_exclude=$top/tests/ktls/exclude

# Seconds for a case: the harness's own limit, and the one that scripts/vm/ktls
# sets for those with 16 processes, which came near 30 on an emulated processor
# with three more such guests on the machine.
case_limit=30
slow_limit=180

# Names of all cases in source file $1, as the harness spells them, in its order:
# FIXTURE[.VARIANT].TEST
ktls_cases() {
	awk -F '[(,) ]+' '
	/^FIXTURE\(/ { fixtures[++n] = $2 }
	/^FIXTURE_VARIANT_ADD\(/ { variants[$2] = variants[$2] " " $3 }
	/^TEST\(/ { tests["global"] = tests["global"] " " $2 }
	/^TEST_F(_TIMEOUT)?\(/ { tests[$2] = tests[$2] " " $3 }
	END {
		fixtures[0] = "global"
		for (f = 0; f <= n; f++) {
			name = fixtures[f]
			tn = split(tests[name], t, " ")
			vn = split(variants[name], v, " ")
			for (i = 1; i <= (vn ? vn : 1); i++)
				for (j = 1; j <= tn; j++)
					print name (vn ? "." v[i] : "") "." t[j]
		}
	}' "$1"
}

# The ciphers that Debian's kernels lack; a kernel that has them brings its own.
ktls_load_ciphers() {
	local name
	modprobe -q -a gcm ccm chacha20poly1305
	grep -q '^name *: aria$' /proc/crypto && grep -q '^name *: sm4$' /proc/crypto && return
	for name in sm4 sm4_generic aria_generic; do
		modprobe -q "$name" || insmod "$1/ciphers/$name.ko" || return 1
	done
}

# Lines of names, a batch each: those that take long alone, the others many together.
ktls_batches() {
	awk '/\.mutliproc_/ { print; next }
		{ line = line (line ? " " : "") $0; if (++n % 24 == 0) { print line; line = "" } }
		END { if (line != "") print line }'
}

# ktls_batch PROGRAM OUT CASE…: in the namespaces of the batch.
ktls_batch() {
	local program=$1 out=$2 name args=() limit=$case_limit
	shift 2
	for name; do args+=(-r "$name"); done
	[[ $1 != *.mutliproc_* ]] || limit=$slow_limit
	ip link set lo up
	timeout -k 5 $(($# * (limit + 5) + 30)) "$program" "${args[@]}" >"$out.tap" 2>&1 </dev/null
	for name in itls_stat tls_stat; do
		[ ! -e "/proc/net/$name" ] || cat "/proc/net/$name" >"$out.$name"
	done
}

# Namespaces end with the batch, and with them all that a failed case left running.
ktls_batch_alone() {
	local program=$1 out=$2
	shift 2
	# shellcheck disable=SC2048	# a line of names is words
	unshare --net --pid --fork --kill-child --mount-proc "$vm/ktls" batch "$program" \
		"$out/$(printf '%s' "${1%% *}")" $*
}

# One line a case: pass|fail|skip, name, why.  Names come from the list in $1, so
# that a case without a result is a failed one; a case skipped though it is not
# excluded failed too if $2 is itls, whose every cipher and option must be there.
ktls_judge() {
	local list=$1 ulp=$2 dir=$3
	cat "$dir"/*.tap | awk -v ulp="$ulp" -v list="$list" -v exclude="$ktls_exclude" '
	BEGIN {
		while ((getline line <exclude) > 0)
			if (line !~ /^#/ && split(line, part, "\t") >= 2)
				excluded[part[1]] = part[2]
	}
	/^#  RUN  / { said = ""; next }
	/^# .*:Expected / || /^# .*(terminated|unexpected|unable to)/ {
		if (said == "") { said = $0; sub(/^# (.*\.c:)?/, "", said) }
		next
	}
	/^(not )?ok [0-9]+ / {
		good = $1 == "ok"
		name = good ? $3 : $4
		seen[name]++
		if (!good) { result[name] = "fail"; why[name] = said; next }
		result[name] = "pass"
		if (match($0, /# [A-Z]+/)) {
			why[name] = substr($0, RSTART + 2)
			skipped = $0 ~ /# SKIP/
			result[name] = skipped && ulp != "itls" ? "skip" : "fail"
		}
	}
	END {
		while ((getline name <list) > 0) {
			if (name in excluded) print "skip\t" name "\t" excluded[name]
			else if (!(name in seen)) print "fail\t" name "\tno result"
			else if (seen[name] > 1) print "fail\t" name "\tmore than one result"
			else print result[name] "\t" name "\t" why[name]
			known[name] = 1
		}
		for (name in seen) if (!(name in known)) print "fail\t" name "\tnot in the list of cases"
	}'
}

# ktls_counted DIR FILE NAME: the sum of counter NAME over all batches.
ktls_counted() {
	find "$1" -name "*.$2" -exec cat {} + | awk -v name="$3" '$1 ~ name { n += $2 } END { print n + 0 }'
}

# Batches of fixture tls send and receive records in every case: names of those
# that counted none.
ktls_idle() {
	find "$1" -name 'tls.*.tap' | awk -v ending="$2" -v name="$3" '
	{
		file = $0; sub(/tap$/, ending, file)
		count = 0
		while ((getline line <file) > 0)
			if (split(line, field) == 2 && field[1] ~ name) count += field[2]
		close(file)
		if (!count) { sub(/.*\//, "", file); print file }
	}'
}

# What shows that the sockets were those of the ULP, and of no other.
ktls_gates() {
	local ulp=$1 dir=$2 own=itls_stat tx='^TxRecords$' rx='^RxRecords$' plain idle foreign
	if [ "$ulp" = tls ]; then
		own=tls_stat tx='^TlsTxSw$' rx='^TlsRxSw$'
		foreign=$(ktls_counted "$dir" itls_stat '^(Tx|Rx|Curr)')
	else
		foreign=$(ktls_counted "$dir" tls_stat '^Tls')
	fi
	plain=$(cat "$dir"/*.tap | grep -c 'testing without tls')
	idle=$(ktls_idle "$dir" $own "$tx"; ktls_idle "$dir" $own "$rx")
	ktls_gate 'no test ran without the ULP' "$plain" "$plain connections were plain TCP"
	ktls_gate 'every batch moved the counters' "${idle:+1}" "no records counted: ${idle//$'\n'/ }"
	ktls_gate 'the ULP was used at all' $(($(ktls_counted "$dir" $own "$rx") == 0)) "its counters are zero"
	ktls_gate 'the other ULP was not used' "$foreign" "its counters say $foreign"
}

ktls_gate() {
	case $2 in
	''|0) printf 'pass\tgate: %s\t\n' "$1" ;;
	*) printf 'fail\tgate: %s\t%s\n' "$1" "$3" ;;
	esac
}

# What the programs said of the cases that failed.
ktls_show() {
	cat "$1"/batch/*.tap | awk -F '[ \t]+' -v results="$1/results" '
	BEGIN {
		while ((getline line <results) > 0)
			if (split(line, part, "\t") >= 2 && part[1] == "fail") failed[part[2]] = 1
	}
	/^#  RUN / { on = $3 in failed }
	on { print }'
}

# Whether results file $1 is worth anything.
ktls_trusted() {
	[ -s "$1" ] && grep -q $'^pass\tgate: ' "$1" && ! grep -q $'^fail\tgate: ' "$1"
}

# What $ITLS_BREADTH means here, as a pattern (grep -P) of the cases not run: those
# of mutliproc_* move 36 to 72 MB each between a dozen processes, half a minute when
# the processor is emulated and the cipher is not AES-GCM.
ktls_without() {
	case $1 in
	full) ;;
	quick) echo '\.mutliproc_' ;;
	*) echo '^tls\.(?!1[23]_aes_gcm\.)\w+\.mutliproc_' ;;
	esac
}

# ktls_suite DIR ULP OUT BREADTH: the cases with the programs in DIR; verdicts, and
# the outputs of the programs, in the folder OUT.
ktls_suite() {
	local dir=$1 ulp=$2 out=$3 without program=$1/tls-$2 jobs
	# Most cases wait as much as they work; the mutliproc ones keep all busy.
	jobs=$(($(nproc) * 2))
	rm -rf "$out"
	mkdir -p "$out/batch"
	ktls_cases "$dir/tls-$ulp.c" >"$out/all"
	without=$(ktls_without "$4")
	grep -vP "${without:-^$}" "$out/all" >"$out/cases"
	grep -vxF -f "$out/cases" "$out/all" >"$out/not-run"
	sed -n 's/^\([^#\t][^\t]*\)\t.*/\1/p' "$ktls_exclude" >"$out/excluded"
	grep -vxF -f "$out/excluded" "$out/cases" | ktls_batches >"$out/batches"
	grep -v 'mutliproc_' "$out/batches" |
		xargs -d '\n' -r -n 1 -P "$jobs" "$vm/ktls" alone "$program" "$out/batch"
	grep 'mutliproc_' "$out/batches" |
		xargs -d '\n' -r -n 1 "$vm/ktls" alone "$program" "$out/batch"
	ktls_judge "$out/cases" "$ulp" "$out/batch" >"$out/results"
	grep -vxF -f "$out/all" "$out/excluded" |
		sed 's/.*/fail\t&\texcluded, but there is no such case/' >>"$out/results"
	ktls_gates "$ulp" "$out/batch" >>"$out/results"
	[ ! -s "$out/not-run" ] || printf 'skip\t%s cases\tmutliproc_*, which take long: --full\n' \
		"$(wc -l <"$out/not-run")" >>"$out/results"
}
