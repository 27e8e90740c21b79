/* SPDX-License-Identifier: GPL-2.0 */
/* What tests of the daemon stand on: GnuTLS, a folder of their own, a kernel's ciphers, profiles. */
#ifndef UNIT_GROUND_H
#define UNIT_GROUND_H

#include "itlsd/carry.h"

struct profiles;

extern char ground_dir[];		/* gone at the end, with its files */
extern struct carry ground_carry;	/* what the kernel is said to have: all */

/* Once, at first. */
void ground_lay(void);

/* From here on the kernel is said to lack these ciphers of GnuTLS; 0 at the end. */
void ground_carry_without(const unsigned int *lacks);

/*
 * Profiles of a configuration @text in the folder; ticket keys come from @old,
 * or NULL.  Those that are refused are NULL and @message says why, in 512
 * bytes; without @message they end the test.
 */
struct profiles *ground_profiles(const char *text, const struct profiles *old, char *message);

#endif
