// SPDX-License-Identifier: GPL-2.0
/*
 * itlsctl stat: the counters of this network namespace, grouped by the first
 * word of their names.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ctl.h"
#include "kstat.h"

static const struct {
	const char *prefix;
	const char *title;
} groups[] = {
	{ "Curr",	"Now" },
	{ "Handshake",	"Handshakes" },
	{ "Tx",		"Sent" },
	{ "Rx",		"Received" },
	{ "",		"Other" },	/* must be last: matches all */
};

#define NGROUPS (sizeof(groups) / sizeof(groups[0]))

static size_t group_of(const char *name)
{
	size_t i = 0;

	while (strncmp(name, groups[i].prefix, strlen(groups[i].prefix)))
		i++;
	return i;
}

static void print_group(const struct kstat *ks, size_t group, bool zeroless,
			bool *first)
{
	bool titled = false;

	for (size_t i = 0; i < ks->count; i++) {
		const struct kstat_line *l = &ks->lines[i];
		char name[4 * sizeof(l->name) + 1];

		if (group_of(l->name) != group || (zeroless && !l->value))
			continue;
		if (!titled)
			printf("%s%s\n", *first ? "" : "\n",
			       groups[group].title);
		titled = true;
		*first = false;
		printf("  %-26s%20" PRIu64 "\n",
		       ctl_escape(name, sizeof(name), l->name), l->value);
	}
}

static int print_json(const struct kstat *ks, bool zeroless)
{
	json_t *root = json_object();

	for (size_t i = 0; root && i < ks->count; i++) {
		const struct kstat_line *l = &ks->lines[i];

		if (zeroless && !l->value)
			continue;
		if (json_object_set_new(root, l->name,
					json_integer(l->value))) {
			json_decref(root);
			root = NULL;
		}
	}
	return ctl_json_print(root);
}

static int show(bool json, bool zeroless)
{
	struct ctl_error e;
	bool first = true;
	struct kstat ks;
	int err, ret = CTL_OK;

	err = kstat_read(&ks, 0);
	if (err == -ENOENT)
		ctl_error_set(&e, ENOENT, "kernel module itls is not loaded (no /proc/net/itls_stat): run 'modprobe itls'");
	else if (err)
		ctl_error_set(&e, -err, "cannot read /proc/net/itls_stat: %s",
			      strerror(-err));
	if (err)
		return ctl_fail(&e, json);
	if (json)
		ret = print_json(&ks, zeroless);
	else
		for (size_t g = 0; g < NGROUPS; g++)
			print_group(&ks, g, zeroless, &first);
	kstat_free(&ks);
	return ret;
}

static int run(int argc, char **argv)
{
	static const struct option longopts[] = {
		{ "json",	no_argument, NULL, 'j' },
		{ "zero-less",	no_argument, NULL, 'z' },
		{ "help",	no_argument, NULL, 'h' },
		{ 0 }
	};
	bool json = false, zeroless = false;
	int c;

	while ((c = getopt_long(argc, argv, "jzh", longopts, NULL)) != -1) {
		switch (c) {
		case 'j':
			json = true;
			break;
		case 'z':
			zeroless = true;
			break;
		case 'h':
			return ctl_help(&ctl_stat);
		default:
			return ctl_usage(&ctl_stat);
		}
	}
	if (optind != argc)
		return ctl_usage_error(&ctl_stat, "unexpected argument '%s'",
				       argv[optind]);
	return show(json, zeroless);
}

const struct ctl_command ctl_stat = {
	.name = "stat",
	.args = "[--json] [--zero-less]",
	.summary = "Show the module's counters",
	.options =
		"  -j, --json       print one JSON object, counter name to value\n"
		"  -z, --zero-less  leave out counters that are zero\n"
		"  -h, --help       show this text\n",
	.run = run,
};
