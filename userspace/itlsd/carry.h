/* SPDX-License-Identifier: GPL-2.0 */
/* Which ciphers the running kernel carries. */
#ifndef ITLSD_CARRY_H
#define ITLSD_CARRY_H

#include "keys.h"

struct carry {
	unsigned int ciphers[KEYS_CIPHERS + 1];	/* GnuTLS's numbers, 0 behind the last */
};

/* All that any kernel could. */
void carry_all(struct carry *carry);

/*
 * Asks the kernel, and logs what it lacks and what to do, unless that is what
 * @carry said before; all zero: never asked.
 */
void carry_find(struct carry *carry);

#endif
