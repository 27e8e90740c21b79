// SPDX-License-Identifier: GPL-2.0
/*
 * Preloaded into itlsctl where the module cannot be: plays TCP_ULP and
 * ITLS_LISTEN, one file for each socket in $FAKE_ULP named by its inode, and
 * lets $FAKE_ROOT stand in for files of /proc.
 *
 * FAKE_ULP/INODE holds "ULP PROFILE\n".  FAKE_ULP/log gets a line for every
 * option set.  FAKE_LISTEN_ERRNO makes ITLS_LISTEN fail.  The ULP "itls" is
 * taken and forgotten, and its TLS_TX has every cipher but the numbers in
 * FAKE_LACKS, separated by blanks.
 * To be built with -D_GNU_SOURCE.
 */
#include <dlfcn.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/itls.h>
#include <linux/tls.h>

#define FAKE_SOL_TLS 282

struct state {
	char path[512];
	char ulp[32];
	char profile[ITLS_PROFILE_MAX + 1];
};

static FILE *real_fopen(const char *path, const char *mode)
{
	typeof(fopen) *fn = dlsym(RTLD_NEXT, "fopen");

	return fn(path, mode);
}

static int real_access(const char *path, int mode)
{
	typeof(access) *fn = dlsym(RTLD_NEXT, "access");

	return fn(path, mode);
}

/* The stand-in for a file of /proc, or the file itself. */
static const char *stand_in(const char *path, char *other, size_t size)
{
	const char *root = getenv("FAKE_ROOT");

	if (!root || strncmp(path, "/proc/", 6))
		return path;
	snprintf(other, size, "%s%s", root, path);
	return real_access(other, F_OK) ? path : other;
}

FILE *fopen(const char *path, const char *mode)
{
	char other[512];

	return real_fopen(stand_in(path, other, sizeof(other)), mode);
}

int access(const char *path, int mode)
{
	char other[512];

	return real_access(stand_in(path, other, sizeof(other)), mode);
}

static void load(int fd, struct state *s)
{
	struct stat st;
	FILE *f;

	memset(s, 0, sizeof(*s));
	fstat(fd, &st);
	snprintf(s->path, sizeof(s->path), "%s/%lu", getenv("FAKE_ULP"),
		 (unsigned long)st.st_ino);
	f = real_fopen(s->path, "r");
	if (!f)
		return;
	if (fscanf(f, "%31s %63s", s->ulp, s->profile) < 1)
		abort();
	fclose(f);
}

static void save(const struct state *s, const char *what)
{
	char log[512];
	FILE *f;

	f = real_fopen(s->path, "w");
	fprintf(f, "%s %s\n", s->ulp, s->profile);
	fclose(f);
	snprintf(log, sizeof(log), "%s/log", getenv("FAKE_ULP"));
	f = real_fopen(log, "a");
	fprintf(f, "%s %s\n", what, strrchr(s->path, '/') + 1);
	fclose(f);
}

static int fail(int err)
{
	errno = err;
	return -1;
}

static bool is_lacking(unsigned int cipher)
{
	const char *at = getenv("FAKE_LACKS");
	char *end;

	for (; at && *at; at = end)
		if (strtoul(at, &end, 10) == cipher || end == at)
			return true;
	return false;
}

static int give_key(const struct tls_crypto_info *info, socklen_t len)
{
	if (len <= sizeof(*info) || info->version != TLS_1_2_VERSION)
		return fail(EINVAL);
	return is_lacking(info->cipher_type) ? fail(ENOENT) : 0;
}

int setsockopt(int fd, int level, int opt, const void *val, socklen_t len)
{
	typeof(setsockopt) *real = dlsym(RTLD_NEXT, "setsockopt");
	const char *err = getenv("FAKE_LISTEN_ERRNO");
	struct state s;

	if (!(level == SOL_TCP && opt == TCP_ULP) && level != FAKE_SOL_TLS)
		return real(fd, level, opt, val, len);
	if (level == FAKE_SOL_TLS && opt == TLS_TX)
		return give_key(val, len);
	load(fd, &s);
	if (level == SOL_TCP && len == 4 && !memcmp(val, ITLS_ULP_NAME, len))
		return *s.ulp ? fail(EEXIST) : 0;
	if (level == SOL_TCP && opt == TCP_ULP) {
		if (*s.ulp)
			return fail(EEXIST);
		memcpy(s.ulp, val, len);
		save(&s, "ulp");
		return 0;
	}
	if (level != FAKE_SOL_TLS || opt != ITLS_LISTEN)
		abort();
	if (strcmp(s.ulp, ITLS_ULP_LISTEN_NAME))
		return fail(ENOPROTOOPT);
	if (err)
		return fail(atoi(err));
	memset(s.profile, 0, sizeof(s.profile));
	memcpy(s.profile, val, len);
	save(&s, "listen");
	return 0;
}

int getsockopt(int fd, int level, int opt, void *val, socklen_t *len)
{
	typeof(getsockopt) *real = dlsym(RTLD_NEXT, "getsockopt");
	struct state s;

	if (!(level == SOL_TCP && opt == TCP_ULP) && level != FAKE_SOL_TLS)
		return real(fd, level, opt, val, len);
	load(fd, &s);
	if (level == SOL_TCP) {
		if (*s.ulp)
			strcpy(val, s.ulp);
		*len = *s.ulp ? 16 : 0;
		return 0;
	}
	*len = strlen(s.profile);
	memcpy(val, s.profile, *len);
	return 0;
}
