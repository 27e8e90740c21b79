// SPDX-License-Identifier: GPL-2.0
/*
 * itlsctl detach: takes the mark of attach away.  The ULP itself cannot be
 * taken off a socket; without a profile it does nothing.
 */
#include <stdio.h>

#include "mark.h"
#include "target.h"

static int apply(struct target *t, int fd, const char **result, char *done,
		 size_t size, struct ctl_error *e)
{
	struct mark before;
	int err;

	(void)t;
	err = mark_read(fd, &before, e);
	if (err)
		return err;
	if (!*before.profile) {
		*result = "unchanged";
		snprintf(done, size, "was not attached");
		return 0;
	}
	err = mark_clear(fd, e);
	if (err)
		return err;
	*result = "detached";
	snprintf(done, size, "detached, was profile %s", before.profile);
	return 0;
}

static int run(int argc, char **argv)
{
	static const struct target_ops ops = {
		.cmd = &ctl_detach,
		.apply = apply,
		.epilogue = "New connections are plain TCP now; established TLS sessions go on.",
	};

	return target_run(&ops, argc, argv);
}

const struct ctl_command ctl_detach = {
	.name = "detach",
	.args = "--port N [--address A] [--pid N] [--json]",
	.summary = "Take TLS off the sockets listening on a TCP port",
	.options =
		"  -p, --port N        the port the server listens on\n"
		"  -a, --address A     only sockets bound to exactly this address\n"
		"      --pid N         only sockets of this process, in its network namespace\n"
		"  -j, --json          print what was done as JSON\n"
		"  -h, --help          show this text\n",
	.run = run,
};
