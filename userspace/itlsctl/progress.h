/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The bar of a download, on standard error, when that is a terminal.
 */
#ifndef ITLSCTL_PROGRESS_H
#define ITLSCTL_PROGRESS_H

#include <time.h>

#include "ctl.h"

struct progress {
	bool on;
	char name[80];		/* safe for a terminal */
	uint64_t offset;	/* bytes that were there before */
	uint64_t got;
	uint64_t total;		/* offset included; 0: unknown */
	struct timespec start, drawn;
};

/* @wanted: and standard error is a terminal. */
void progress_start(struct progress *p, bool wanted, const char *name, uint64_t offset, uint64_t total);
void progress_add(struct progress *p, uint64_t n);
/* Leaves the line as it is and ends it. */
void progress_end(struct progress *p);
/* Since the start. */
double progress_seconds(const struct progress *p);

#endif
