// SPDX-License-Identifier: GPL-2.0
/*
 * Binding an AF_ALG socket makes the kernel load and instantiate the
 * algorithm; /proc/crypto then says which driver has the highest priority.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/if_alg.h>

#include "cipher.h"

/* From 7.x on AF_ALG serves a few names only and calls all others unknown. */
static bool is_restricted(void)
{
	int level = 0;
	FILE *f;

	f = fopen("/proc/sys/crypto/af_alg_restrict", "re");
	if (!f)
		return false;
	if (fscanf(f, "%d", &level) != 1)
		level = 0;
	fclose(f);
	return level != 0;
}

static int instantiate(const char *alg)
{
	struct sockaddr_alg sa = {
		.salg_family = AF_ALG,
		.salg_type = "aead",
	};
	int fd, err = 0;

	snprintf((char *)sa.salg_name, sizeof(sa.salg_name), "%s", alg);
	fd = socket(AF_ALG, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -EAGAIN;
	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)))
		err = errno == ENOENT && is_restricted() ? -EAGAIN : -errno;
	close(fd);
	return err;
}

struct entry {
	char name[128];
	char driver[128];
	char selftest[16];
	int priority;
};

/*
 * The portable implementations are built on the cipher "aes-generic", from
 * 7.x on "aes-lib"; "generic-gcm-aesni" is a fast one in spite of its name.
 */
static bool is_portable(const char *driver)
{
	return strstr(driver, "aes-generic") || strstr(driver, "aes-lib");
}

static void consider(const struct entry *e, const char *alg, int *best,
		     struct cipher_driver *drv)
{
	if (strcmp(e->name, alg) || e->priority <= *best)
		return;
	*best = e->priority;
	memcpy(drv->name, e->driver, sizeof(drv->name));
	drv->accelerated = !is_portable(e->driver);
	drv->selftest_ok = !strcmp(e->selftest, "passed");
}

/* At most one of them is the line's field. */
static bool take_field(struct entry *e, const char *line)
{
	return sscanf(line, "name : %127s", e->name) == 1 ||
	       sscanf(line, "driver : %127s", e->driver) == 1 ||
	       sscanf(line, "selftest : %15s", e->selftest) == 1 ||
	       sscanf(line, "priority : %d", &e->priority) == 1;
}

/* Entries are separated by blank lines, the last one may lack its own. */
static int scan(FILE *f, const char *alg, struct cipher_driver *drv)
{
	struct entry e = { 0 };
	char line[256];
	int best = -1;

	while (fgets(line, sizeof(line), f)) {
		if (line[0] == '\n') {
			consider(&e, alg, &best, drv);
			e = (struct entry){ 0 };
		}
		take_field(&e, line);
	}
	consider(&e, alg, &best, drv);
	return best < 0 ? -ENOENT : 0;
}

int cipher_find(const char *alg, struct cipher_driver *drv)
{
	int err, found;
	FILE *f;

	err = instantiate(alg);
	f = fopen("/proc/crypto", "re");
	if (!f)
		return -errno;
	found = scan(f, alg, drv);
	fclose(f);
	return found && err ? err : found;
}
