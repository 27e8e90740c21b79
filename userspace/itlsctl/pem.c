// SPDX-License-Identifier: GPL-2.0
/*
 * Reads PEM files and says early what is wrong with them: the kernel and the
 * daemon could only refuse the connection.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/itls.h>

#include "pem.h"

static const struct {
	const char *what;
	const char *word;	/* in its BEGIN line */
	const char *advice;	/* when it is too large */
} kinds[] = {
	[PEM_CA] = {
		"CA file", "CERTIFICATE-----",
		"give the one authority that is needed, or name the bundle as 'ca' of a client profile in itlsd.conf(5) and use --profile",
	},
	[PEM_CERT] = {
		"certificate", "CERTIFICATE-----", "give the certificate and its chain alone",
	},
	[PEM_KEY] = {
		"key", "PRIVATE KEY-----", "give the key alone",
	},
};

/* One byte more than is allowed shows that there are too many. */
static int read_all(int fd, struct pem *pem)
{
	ssize_t n;

	pem->data = calloc(1, ITLS_PEM_MAX + 2);
	if (!pem->data)
		return -ENOMEM;
	while (pem->len <= ITLS_PEM_MAX) {
		n = read(fd, pem->data + pem->len, ITLS_PEM_MAX + 1 - pem->len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			return 0;
		pem->len += n;
	}
	return -EMSGSIZE;
}

static int check(const struct pem *pem, const char *path, enum pem_kind kind, struct ctl_error *e)
{
	if (kind == PEM_KEY && strstr(pem->data, "ENCRYPTED"))
		return ctl_error_set(e, EINVAL, "the key in %s is encrypted with a passphrase, which nobody could ask for: decrypt it with 'openssl pkey' into a file that only you can read",
				     path);
	if (!strstr(pem->data, "-----BEGIN ") || !strstr(pem->data, kinds[kind].word))
		return ctl_error_set(e, EINVAL, "%s holds no %s in PEM form: it has no line -----BEGIN ...%s",
				     path, kind == PEM_KEY ? "private key" : "certificate",
				     kinds[kind].word);
	return 0;
}

static void warn_readable(int fd, const char *path)
{
	struct stat st;

	if (!fstat(fd, &st) && st.st_mode & 0004)
		ctl_complain("warning: everybody on this machine can read the key %s: 'chmod 600' it",
			     path);
}

int pem_read(struct pem *pem, const char *path, enum pem_kind kind, struct ctl_error *e)
{
	int fd, err;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return ctl_error_set(e, errno, "cannot open the %s %s: %s", kinds[kind].what,
				     path, strerror(errno));
	if (kind == PEM_KEY)
		warn_readable(fd, path);
	err = read_all(fd, pem);
	close(fd);
	if (err == -EMSGSIZE)
		return ctl_error_set(e, EMSGSIZE, "the %s %s is larger than %d bytes: %s",
				     kinds[kind].what, path, ITLS_PEM_MAX, kinds[kind].advice);
	if (err)
		return ctl_error_set(e, -err, "cannot read the %s %s: %s", kinds[kind].what,
				     path, strerror(-err));
	return check(pem, path, kind, e);
}

void pem_free(struct pem *pem)
{
	if (pem->data)
		explicit_bzero(pem->data, ITLS_PEM_MAX + 2);
	free(pem->data);
	*pem = (struct pem){ 0 };
}
