/* SPDX-License-Identifier: GPL-2.0 */
/* Failures of handshakes, counted and told in one line now and then: a flood of bad clients must not flood the log. */
#ifndef ITLSD_TALLY_H
#define ITLSD_TALLY_H

#include <stdbool.h>

#include "loop.h"

#define TALLY_OUTCOMES 8

/* Embedded by its owner, zeroed before. */
struct tally {
	struct loop *loop;
	struct loop_timer timer;
	unsigned int failures[TALLY_OUTCOMES];	/* since the last summary */
};

void tally_init(struct tally *tally, struct loop *loop);
/* @status: a positive errno.  True for the first of its kind since the last summary. */
bool tally_add(struct tally *tally, int status);
void tally_clear(struct tally *tally);

#endif
