// SPDX-License-Identifier: GPL-2.0
/*
 * itlsctl: marks listeners for itls, shows what the module does, fetches files.
 * One row a sub-command; each lives in the file of its name.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ctl.h"

static const struct ctl_command *const commands[] = {
	&ctl_attach, &ctl_detach, &ctl_sessions, &ctl_rekey,
	&ctl_stat, &ctl_doctor, &ctl_get,
};

#define NCOMMANDS (sizeof(commands) / sizeof(commands[0]))

static const struct ctl_command *find(const char *name)
{
	for (size_t i = 0; i < NCOMMANDS; i++)
		if (!strcmp(commands[i]->name, name))
			return commands[i];
	return NULL;
}

static void overview(FILE *f)
{
	fputs("Usage: itlsctl COMMAND [OPTIONS]\n"
	      "       itlsctl help [COMMAND] | --help | --version\n\n"
	      "Commands:\n", f);
	for (size_t i = 0; i < NCOMMANDS; i++)
		fprintf(f, "  %-10s%s\n", commands[i]->name,
			commands[i]->summary);
	fputs("\nSee itlsctl(8).\n", f);
}

static int refuse(const char *name)
{
	char safe[256];

	ctl_complain("unknown command '%s': 'itlsctl help' lists them",
		     ctl_escape(safe, sizeof(safe), name));
	return CTL_USAGE;
}

static int help(int argc, char **argv)
{
	const struct ctl_command *cmd;

	if (argc < 3) {
		overview(stdout);
		return CTL_OK;
	}
	cmd = find(argv[2]);
	return cmd ? ctl_help(cmd) : refuse(argv[2]);
}

static int run(int argc, char **argv)
{
	const struct ctl_command *cmd;

	if (argc < 2) {
		overview(stderr);
		return CTL_USAGE;
	}
	if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V")) {
		puts("itlsctl " ITLS_RELEASE);
		return CTL_OK;
	}
	if (!strcmp(argv[1], "help") || !strcmp(argv[1], "--help") ||
	    !strcmp(argv[1], "-h"))
		return help(argc, argv);
	cmd = find(argv[1]);
	return cmd ? cmd->run(argc - 1, argv + 1) : refuse(argv[1]);
}

int main(int argc, char **argv)
{
	int ret = run(argc, argv);

	/* a full disk must not look like success */
	if (fflush(stdout) || ferror(stdout)) {
		ctl_complain("cannot write the output: %s", strerror(errno));
		return ret ? ret : CTL_FAILED;
	}
	return ret;
}
