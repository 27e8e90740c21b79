// SPDX-License-Identifier: GPL-2.0
/* See ground.h. */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ground.h"
#include "itlsd/config.h"
#include "itlsd/handshake.h"
#include "itlsd/profile.h"
#include "tap.h"

char ground_dir[] = "/tmp/itls-unit-XXXXXX";
struct carry ground_carry;

static void clean_up(void)
{
	DIR *dir = opendir(ground_dir);
	struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		unlinkat(dirfd(dir), entry->d_name, 0); /* . and .. stay */
	if (dir)
		closedir(dir);
	rmdir(ground_dir);
}

void ground_lay(void)
{
	signal(SIGPIPE, SIG_IGN); /* a socketpair raises it, a channel does not */
	must(mkdtemp(ground_dir), ground_dir);
	atexit(clean_up);
	must(!handshake_setup(false), "GnuTLS");
	carry_all(&ground_carry);
}

void ground_carry_without(const unsigned int *lacks)
{
	const unsigned int *lack;
	struct carry all;
	size_t i, n = 0;

	carry_all(&all);
	memset(&ground_carry, 0, sizeof(ground_carry));
	for (i = 0; all.ciphers[i]; i++) {
		for (lack = lacks; *lack && *lack != all.ciphers[i]; lack++)
			;
		if (!*lack)
			ground_carry.ciphers[n++] = all.ciphers[i];
	}
}

struct profiles *ground_profiles(const char *text, const struct profiles *old, char *message)
{
	struct profiles *set = NULL;
	struct config *cfg;
	char path[128];

	snprintf(path, sizeof(path), "%s/itlsd.conf", ground_dir);
	must(!config_parse(path, text, strlen(text), &cfg), "config");
	profiles_build(cfg, &ground_carry, old, &set);
	if (message)
		snprintf(message, 512, "%s", cfg->n_messages ? cfg->messages[0].text : "");
	else
		must(set, cfg->n_messages ? cfg->messages[0].text : "profiles");
	config_free(cfg);
	return set;
}
