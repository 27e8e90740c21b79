/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Counters of /proc/net/itls_stat and parameters of the module.  Each test
 * has a network namespace of its own, so counters start at zero; parameters
 * belong to the machine and stat_params_restore() puts them back.
 */
#ifndef SELFTEST_STAT_H
#define SELFTEST_STAT_H

/* The value of one counter; a missing one ends the test. */
long stat_get(const char *name);
/* Waits until it is value; a test fails if it does not become so. */
void stat_wait(const char *name, long value);
/* Waits until no connection is active any more, which takes some seconds. */
void stat_wait_inactive(void);
/* Waits until no processor keeps memory for records any more, likewise. */
void stat_wait_kept(void);
/* No request, session or key is left. */
void stat_wait_idle(void);

void stat_param_set(const char *name, long value);
/* In the parent of all tests: puts back what any test changed. */
void stat_params_restore(void);

#endif
