/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Allocations and copies of one system call that fail, one after another:
 * its first, its second, and so on, until there is none left to fail.  The
 * kernel does it (CONFIG_FAULT_INJECTION, /proc/PID/fail-nth) for what the
 * calling thread does itself; what interrupts do meanwhile is spared.
 *
 *	INJECT_WALK(w, "what") {
 *		prepare;
 *		INJECT(&w, ret = call());
 *		see that ret is what it may be, and that all is as it was;
 *	}
 */
#ifndef SELFTEST_INJECT_H
#define SELFTEST_INJECT_H

#include <stdbool.h>
#include <stdint.h>

#include "harness.h"

struct inject {
	const char *what;
	unsigned int nth;	/* which one fails in this round; 0: not begun */
	bool fired;		/* this round's call had so many */
	int failed;		/* rounds in which the call gave an error */
};

/* Skips the test where the kernel cannot do it. */
bool inject_next(struct inject *w);
void inject_arm(struct inject *w);
/* Leaves errno alone. */
void inject_disarm(struct inject *w);

#define INJECT_WALK(w, name) \
	for (struct inject w = { .what = (name) }; inject_next(&w);)

#define INJECT(w, statement)		\
	do {				\
		inject_arm(w);		\
		statement;		\
		inject_disarm(w);	\
	} while (0)

/*
 * Ends the test unless ret is no error, or errno one that failing allowed:
 * ENOMEM, EFAULT, or one of those named.  Returns whether it was an error.
 */
#define inject_failed(w, ret, ...) \
	__inject_failed(w, ret, (const int []){ ENOMEM, EFAULT, ##__VA_ARGS__, 0 })
bool __inject_failed(struct inject *w, intmax_t ret, const int *errnos);

/* From now on only what itls itself asks for fails. */
void inject_module_only(void);

/*
 * From now on what this kernel function asks for does not fail: its fault
 * would be TCP's own.
 */
void inject_spare(const char *function);

/*
 * The other way: from now on each allocation that itls makes and that may not
 * sleep fails, which is what softirq makes for a new connection.
 */
void inject_atomic_begin(void);
void inject_atomic_end(void);

/* And at random: so many percent of what itls asks for, by any thread, until the end. */
void inject_random(int percent);
/* Nothing fails any more.  For test_after_each(), too. */
void inject_restore(void);

#endif
