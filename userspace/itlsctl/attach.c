// SPDX-License-Identifier: GPL-2.0
/*
 * itlsctl attach: marks the sockets listening on a port, so that itls
 * handshakes every connection accepted from them.
 */
#include <stdio.h>
#include <string.h>

#include "kstat.h"
#include "mark.h"
#include "target.h"

/* Asked once the mark is on, when the module is loaded for certain. */
static void warn_no_agent(struct target *t)
{
	uint64_t agents = 1;
	struct kstat ks;

	if (t->warned || kstat_read(&ks, t->query.pid))
		return;
	t->warned = true;
	kstat_get(&ks, "CurrAgents", &agents);
	kstat_free(&ks);
	if (!agents)
		target_warn(t, "no handshake agent is registered: connections to port %u will be refused until itlsd runs: 'systemctl start itlsd'",
			    t->query.port);
}

static int apply(struct target *t, int fd, const char **result, char *done,
		 size_t size, struct ctl_error *e)
{
	struct mark before;
	int err;

	err = mark_read(fd, &before, e);
	/* set again even when unchanged: it renews who the owner is */
	if (!err)
		err = mark_set(fd, t->profile, e);
	if (err)
		return err;
	warn_no_agent(t);
	if (!*before.profile) {
		*result = "attached";
		snprintf(done, size, "attached, profile %s", t->profile);
	} else if (!strcmp(before.profile, t->profile)) {
		*result = "unchanged";
		snprintf(done, size, "was attached already, profile %s",
			 t->profile);
	} else {
		*result = "changed";
		snprintf(done, size, "profile changed from %s to %s",
			 before.profile, t->profile);
	}
	return 0;
}

static int run(int argc, char **argv)
{
	static const struct target_ops ops = {
		.cmd = &ctl_attach,
		.takes_profile = true,
		.apply = apply,
	};

	return target_run(&ops, argc, argv);
}

const struct ctl_command ctl_attach = {
	.name = "attach",
	.args = "--port N [--address A] [--pid N] [--profile NAME] [--json]",
	.summary = "Put TLS on the sockets listening on a TCP port",
	.options =
		"  -p, --port N        the port the server listens on\n"
		"  -a, --address A     only sockets bound to exactly this address\n"
		"      --pid N         only sockets of this process, in its network namespace\n"
		"      --profile NAME  server profile of itlsd.conf(5); 'default' if not given\n"
		"  -j, --json          print what was done as JSON\n"
		"  -h, --help          show this text\n",
	.run = run,
};
