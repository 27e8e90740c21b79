#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Style, static checks and the layering rule.  Silent when all is well.
# usage: check.sh [CHECK…]	checkpatch sparse layers spdx shell man; default: all
set -u
. "$(dirname "$0")/vm/lib.sh"
. "$vm/apt.sh"
. "$vm/source.sh"

cd "$top" || exit 1
failed=0
complain() { printf '%s\n' "$*"; failed=1; }

# Files of the tree, whether committed yet or not; without git, all but what is built.
tree_list() {
	git ls-files --cached --others --exclude-standard 2>/dev/null ||
		find . \( -path ./.git -o -path ./build \) -prune -o -type f \
			! -name '*.o' ! -name '*.ko' ! -name '*.mod*' ! -name '.*.cmd' -printf '%P\n'
}

# tree_files [PATTERN…]: a * in a pattern matches slashes too.
tree_files() {
	local file pattern
	while read -r file; do
		[ -f "$file" ] || continue
		[ $# -gt 0 ] || echo "$file"
		for pattern; do
			# shellcheck disable=SC2053	# they are patterns
			case $pattern in
			'!'*) [[ $file != ${pattern#!} ]] || continue 2 ;;
			*) [[ $file != $pattern ]] || echo "$file" ;;
			esac
		done
	done < <(tree_list | sort -u)
}

checkpatch_fetch() {
	local dir=$1
	[ ! -e "$dir/complete" ] || return 0
	apt_update || return 1
	rm -rf "$dir"
	source_unpack "$dir" "$(source_newest)" scripts/checkpatch.pl scripts/spelling.txt \
		scripts/const_structs.checkpatch || return 1
	touch "$dir/complete"
}

# Ignored: what is meaningful only for patches to the kernel's own tree or asks
# for what 6.12 lacks (kzalloc_obj), and in
# userspace what speaks of helpers that only the kernel has.
check_checkpatch() {
	cache_lock checkpatch checkpatch_fetch "$cache/checkpatch" || { complain "checkpatch could not be fetched"; return; }
	checkpatch_run 100 "$ignore_kernel" '!kernel/compat.h' '!kernel/record.h' \
		'kernel/*.[ch]' 'include/uapi/linux/*.h'
	# compat.h names parts of parameter lists; record.h makes u8 for userspace.
	checkpatch_run 100 "$ignore_kernel,COMPLEX_MACRO,SPACING,PREFER_KERNEL_TYPES" \
		kernel/compat.h kernel/record.h
	checkpatch_run 120 "$ignore_kernel,$ignore_user" 'userspace/*.[ch]' 'tests/*.[ch]' \
		'!scripts/bench/module/aes-shim.h' 'scripts/bench/*.[ch]'
	# The shim drops arguments on purpose.
	checkpatch_run 120 "$ignore_kernel,$ignore_user,MACRO_ARG_UNUSED" scripts/bench/module/aes-shim.h
}

ignore_kernel=ALLOC_WITH_SIZEOF,CONSTANT_COMPARISON,MACRO_ARG_REUSE,FILE_PATH_CHANGES,LINUX_VERSION_CODE,SPLIT_STRING,CONST_STRUCT,EMBEDDED_FILENAME
ignore_user=PREFER_KERNEL_TYPES,STRCPY,STRNCPY,STRLCPY,SSCANF_TO_KSTRTO,VOLATILE,ARRAY_SIZE
ignore_user+=,PREFER_DEFINED_ATTRIBUTE_MACRO,USLEEP_RANGE,MACRO_ARG_REUSE,MACRO_ARG_PRECEDENCE
ignore_user+=,MACRO_WITH_FLOW_CONTROL,COMPLEX_MACRO,CAMELCASE,ENOSYS,AVOID_EXTERNS,LONG_LINE_STRING

# checkpatch_run COLUMNS IGNORED FILE…
checkpatch_run() {
	local columns=$1 ignored=$2 out
	shift 2
	# shellcheck disable=SC2046	# names without blanks
	out=$(perl "$cache/checkpatch/scripts/checkpatch.pl" --no-tree --strict --terse --no-summary \
		--show-types --max-line-length="$columns" --ignore "$ignored" --file \
		$(tree_files "$@") 2>&1) || complain "$out"
}

# sparse and W=1, on both kernels, in copies of the sources of their own.
check_sparse() {
	local kernel out
	packages_need sparse
	for kernel in 6.12 newest; do
		out=$(ITLS_BUILD=$top/build/check "$vm/module" "$kernel" clean 2>&1 >/dev/null)
		out=$(ITLS_BUILD=$top/build/check "$vm/module" "$kernel" C=2 W=1 KCFLAGS=-Werror 2>&1 >/dev/null) ||
			out="$out
the build for $kernel failed"
		# Only what is said of our own files.
		out=$(grep -E '(^|/)kernel/[a-z_]+\.[ch]:|failed$|rror' <<<"$out")
		[ -z "$out" ] || complain "$kernel: $out"
	done
}

# Calls go downward only (the picture at the top of kernel/itls.h): a file may
# use its own layer and those below, and the leaves.
layers='main
netlink done session alias
ulp
proto embryo sockopt connect listen request channel
read
tx rx control message update
direct
frame secret open sealed push
ctx idle
cipher mark sizing
record
stats
block scratch'
leaves=trace

layer_of() { awk -v name="$1" '{ for (i = 1; i <= NF; i++) if ($i == name) print NR }' <<<"$layers"; }

check_layers() {
	local file name own used other
	for file in kernel/*.c; do
		name=${file##*/}
		name=${name%.c}
		case " $leaves " in *" $name "*) own=99 ;; *) own=$(layer_of "$name") ;; esac
		[ -n "$own" ] || { complain "$file: not in the layering table of scripts/check.sh"; continue; }
		used=$(sed -e 's,//.*,,' "$file" | awk '
			{ line = $0
			  while (1) {
				if (inside) {
					end = index(line, "*/")
					if (!end) { line = ""; break }
					line = substr(line, end + 2); inside = 0
				}
				start = index(line, "/*")
				if (!start) break
				head = head substr(line, 1, start - 1)
				line = substr(line, start + 2); inside = 1
			  }
			  print head line; head = "" }' |
			grep -oE '\bitls_[a-z0-9]+_[a-z0-9_]+ *\(' | sed -E 's/^itls_([a-z0-9]+)_.*/\1/' | sort -u)
		for other in $used; do
			[ "$other" != "$name" ] && [ -e "kernel/$other.c" ] || continue
			case " $leaves " in *" $other "*) continue ;; esac
			[ "$(layer_of "$other")" -ge "$own" ] ||
				complain "$file: calls upward, into $other.c: $(grep -nE "\\bitls_${other}_[a-z0-9_]+ *\\(" "$file" | head -n 1)"
		done
	done
}

check_spdx() {
	local file
	tree_files | while read -r file; do
		case $file in COPYING|*.json) continue ;; esac
		[ -s "$file" ] || continue
		head -n 3 "$file" | grep -q 'SPDX-License-Identifier: .*GPL-2\.0' ||
			echo "$file: no SPDX line"
	done
}

shell_files() {
	local file
	tree_files | while read -r file; do
		case $file in *.sh) echo "$file"; continue ;; esac
		head -n 1 "$file" | grep -qE '^#!/bin/(ba)?sh' && echo "$file"
	done
}

check_shell() {
	local file out
	while read -r file; do
		out=$(bash -n "$file" 2>&1) || complain "$out"
		command -v shellcheck >/dev/null || continue
		# Sourced files and their variables are followed by nobody.
		out=$(shellcheck -S warning -s bash -e SC1090,SC1091,SC2034,SC2154 -f gcc "$file" 2>&1) ||
			complain "$out"
	done < <(shell_files)
}

check_man() {
	local file out
	for file in $(tree_files 'userspace/man/*'); do
		if command -v mandoc >/dev/null; then
			out=$(mandoc -T lint -W warning "$file" 2>&1)
		else
			out=$(LC_ALL=C.UTF-8 MANROFFSEQ='' MANWIDTH=80 man --warnings -E UTF-8 -l -Tutf8 -Z "$file" 2>&1 >/dev/null)
		fi
		[ -z "$out" ] || complain "$out"
	done
}

[ $# -gt 0 ] || set -- checkpatch sparse layers spdx shell man
for check; do
	case $check in
	spdx) out=$(check_spdx); [ -z "$out" ] || complain "$out" ;;
	checkpatch|sparse|layers|shell|man) "check_$check" ;;
	*) die "unknown check '$check'" ;;
	esac
done
exit $failed
