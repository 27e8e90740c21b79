# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# What in a kernel log means that something is broken, and markers that say
# which test it was.

splat_words='WARNING:|BUG:|BUG at|Oops|KASAN|KFENCE|KCSAN|UBSAN|Kernel panic|Call Trace|cut here|general protection fault'
splat_words+='|possible (circular|recursive) locking|inconsistent lock state|suspicious RCU usage|scheduling while atomic'
splat_words+='|sleeping function called|refcount_t|unreferenced object|list_(add|del) corruption|soft lockup|hard LOCKUP'
splat_words+='|blocked for more than|rcu_(sched|preempt).*stall|ODEBUG|Bad page|bad: scheduling|double free|Memory leak'

# Stacks that we asked for ourselves are no complaint.
splat_own='/itls-stacks: begin/,/itls-stacks: end/d'

# Lines of file $1 that are splats, with some lines after each; false if none.
splat_find() { sed "$splat_own" "$1" | grep -a -E -A "${2:-25}" "$splat_words"; }

# What blocked tasks and processors are doing, into the kernel's log.
splat_stacks() {
	local key
	echo '<4>itls-stacks: begin' >/dev/kmsg
	echo 1 >/proc/sys/kernel/sysrq
	for key in ${1:-w l}; do
		echo "$key" >/proc/sysrq-trigger
	done
	echo '<4>itls-stacks: end' >/dev/kmsg
}

# splat_mark NAME: from here on the kernel log speaks of test NAME.  Warning
# level, so that the line reaches the console too.
splat_mark() {
	[ ! -w /dev/kmsg ] || printf '<4>itls-test: %s\n' "$1" >/dev/kmsg
}

# Splats since the last marker, for use in the guest.
splat_since_mark() {
	dmesg | tac | sed '/itls-test: /q' | tac | splat_find /dev/stdin "${1:-25}"
}

# Name of the last test that log file $1 speaks of.
splat_last_test() { sed -n 's/.*itls-test: //p' "$1" | tail -n 1; }
