/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Where a download goes: a file, which may hold its beginning already, or
 * standard output.
 */
#ifndef ITLSCTL_SINK_H
#define ITLSCTL_SINK_H

#include "ctl.h"

struct sink {
	const char *name;	/* "-": standard output */
	int fd;			/* -1: not open */
	uint64_t offset;	/* bytes it holds already, to be continued */
};

/* @resume: and continue what is there.  Nothing is created or changed yet. */
int sink_prepare(struct sink *s, const char *name, bool resume, struct ctl_error *e);
/* Ready to write at s->offset: creates it, or cuts it there. */
int sink_begin(struct sink *s, struct ctl_error *e);
int sink_write(struct sink *s, const char *data, size_t len);
/* Waits until it takes more: for a pipe that does not block. */
int sink_wait(const struct sink *s);
/* Tells a failure to write that shows only now. */
int sink_close(struct sink *s, struct ctl_error *e);
int sink_explain(const struct sink *s, int err, struct ctl_error *e);

static inline bool sink_is_stdout(const struct sink *s)
{
	return s->name[0] == '-' && !s->name[1];
}

#endif
