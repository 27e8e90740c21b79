/* SPDX-License-Identifier: GPL-2.0 */
/*
 * "All sockets listening on this port": what attach and detach have in
 * common, from the command line to the report.
 */
#ifndef ITLSCTL_TARGET_H
#define ITLSCTL_TARGET_H

#include "listener.h"

struct target;

struct target_ops {
	const struct ctl_command *cmd;
	bool takes_profile;
	/*
	 * Does the work on one socket.  On success says in @done (one phrase)
	 * what was done and in @result (a fixed word, for JSON) which it was.
	 */
	int (*apply)(struct target *t, int fd, const char **result,
		     char *done, size_t size, struct ctl_error *e);
	/* Printed last when no socket failed; NULL: nothing. */
	const char *epilogue;
};

struct target {
	const struct target_ops *ops;
	struct listener_query query;
	const char *profile;
	bool json;
	bool warned;		/* about a missing agent */
	json_t *warnings;
};

/* The whole sub-command: parses, finds, applies to each, reports. */
int target_run(const struct target_ops *ops, int argc, char **argv);
/* A remark that does not make the command fail. */
void target_warn(struct target *t, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

#endif
