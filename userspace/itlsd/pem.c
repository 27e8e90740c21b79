// SPDX-License-Identifier: GPL-2.0
/*
 * The files that a configuration names: reading them, with bounds, and what
 * can be said of each alone.  Every mistake is told with the line of the
 * configuration and what to do.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <gnutls/abstract.h>
#include <gnutls/x509.h>

#include "config.h"
#include "pem.h"

#define PEM_FILE_MAX	(1024 * 1024)
#define PEM_CHAIN_MAX	32
#define PEM_KEY_BITS_MAX	8192
#define PEM_EXPONENT_MAX	8	/* bytes */

void datum_wipe(gnutls_datum_t *datum)
{
	if (datum->data)
		gnutls_memset(datum->data, 0, datum->size);
	gnutls_free(datum->data);
	datum->data = NULL;
	datum->size = 0;
}

int datum_copy(gnutls_datum_t *dst, const void *src, size_t len)
{
	dst->data = gnutls_malloc(len ? len : 1);
	if (!dst->data)
		return -ENOMEM;
	memcpy(dst->data, src, len);
	dst->size = len;
	return 0;
}

/* Files */

static const char *file_advice(int err)
{
	switch (-err) {
	case ENOENT:
	case ENOTDIR:
		return "correct the path or create the file";
	case EACCES:
		return "let root read it";
	case EINVAL:
		return "name a regular file";
	case EFBIG:
		return "name a PEM file below 1 MiB";
	default:
		return "check the file";
	}
}

static int file_fill(int fd, gnutls_datum_t *out)
{
	ssize_t got;

	out->data = gnutls_malloc(PEM_FILE_MAX + 1);
	if (!out->data)
		return -ENOMEM;
	while ((got = read(fd, out->data + out->size, PEM_FILE_MAX - out->size)) > 0)
		out->size += got;
	if (got < 0)
		return -errno;
	out->data[out->size] = '\0';
	return 0;
}

/* @mode: what the file has for permissions, as far as they were found out. */
static int file_read(const char *path, gnutls_datum_t *out, mode_t *mode)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st = { 0 };
	int err = 0;

	memset(out, 0, sizeof(*out));
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		err = -errno;
	else if (!S_ISREG(st.st_mode))
		err = -EINVAL;
	else if (st.st_size >= PEM_FILE_MAX)
		err = -EFBIG;
	else
		err = file_fill(fd, out);
	close(fd);
	*mode = st.st_mode;
	if (err)
		datum_wipe(out);
	return err;
}

int pem_load(struct config *cfg, const struct config_value *value, const char *what, gnutls_datum_t *out,
	     mode_t *mode)
{
	int err = file_read(value->text, out, mode);

	if (err)
		config_error(cfg, value->line, "cannot read the %s '%s': %s: %s", what, value->text,
			     strerror(-err), file_advice(err));
	return err;
}

/* Contents */

int pem_check_chain(struct config *cfg, const struct config_value *value, const gnutls_datum_t *pem)
{
	gnutls_x509_crt_t chain[PEM_CHAIN_MAX];
	unsigned int i, count = PEM_CHAIN_MAX;
	time_t now = time(NULL);
	int ret;

	ret = gnutls_x509_crt_list_import(chain, &count, pem, GNUTLS_X509_FMT_PEM,
					  GNUTLS_X509_CRT_LIST_IMPORT_FAIL_IF_EXCEED);
	if (ret < 0) {
		config_error(cfg, value->line, "'%s' is no PEM certificate chain: %s: check the file",
			     value->text, gnutls_strerror(ret));
		return -EINVAL;
	}
	if (gnutls_x509_crt_get_expiration_time(chain[0]) < now)
		config_warning(cfg, value->line, "certificate '%s' has expired: renew it", value->text);
	else if (gnutls_x509_crt_get_activation_time(chain[0]) > now)
		config_warning(cfg, value->line,
			       "certificate '%s' is not valid yet: check the clock, or wait", value->text);
	for (i = 0; i < count; i++)
		gnutls_x509_crt_deinit(chain[i]);
	return 0;
}

int pem_check_key(struct config *cfg, const struct config_value *value, const gnutls_datum_t *pem, mode_t mode)
{
	gnutls_x509_privkey_t key;
	int ret;

	if (mode & 0007) {
		config_error(cfg, value->line,
			     "every user may open the key '%s': run 'chmod o-rwx %s', and replace the key if others may have read it",
			     value->text, value->text);
		return -EINVAL;
	}
	ret = gnutls_x509_privkey_init(&key);
	if (ret < 0)
		return -ENOMEM;
	ret = gnutls_x509_privkey_import2(key, pem, GNUTLS_X509_FMT_PEM, NULL, 0);
	gnutls_x509_privkey_deinit(key);
	if (ret == GNUTLS_E_DECRYPTION_FAILED)
		config_error(cfg, value->line, "key '%s' is encrypted: store it without a passphrase",
			     value->text);
	else if (ret < 0)
		config_error(cfg, value->line, "'%s' is no PEM private key: %s: check the file",
			     value->text, gnutls_strerror(ret));
	return ret < 0 ? -EINVAL : 0;
}

/*
 * A peer chooses its own RSA key: one of half a million bits, or with a public
 * exponent as long as the modulus, would hold the daemon for minutes.
 */
bool pem_is_bounded(gnutls_x509_crt_t crt)
{
	gnutls_datum_t modulus, exponent;
	gnutls_pubkey_t key;
	unsigned int bits = 0;
	bool bounded = false;
	int algorithm = gnutls_x509_crt_get_pk_algorithm(crt, &bits);

	if (bits > PEM_KEY_BITS_MAX)
		return false;
	if (algorithm != GNUTLS_PK_RSA && algorithm != GNUTLS_PK_RSA_PSS)
		return true;
	if (gnutls_pubkey_init(&key) < 0)
		return false;
	if (gnutls_pubkey_import_x509(key, crt, 0) >= 0 &&
	    gnutls_pubkey_export_rsa_raw2(key, &modulus, &exponent, GNUTLS_EXPORT_FLAG_NO_LZ) >= 0) {
		bounded = exponent.size <= PEM_EXPONENT_MAX;
		gnutls_free(modulus.data);
		gnutls_free(exponent.data);
	}
	gnutls_pubkey_deinit(key);
	return bounded;
}
