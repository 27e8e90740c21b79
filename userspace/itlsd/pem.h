/* SPDX-License-Identifier: GPL-2.0 */
/* Certificates and keys in PEM, from files. */
#ifndef ITLSD_PEM_H
#define ITLSD_PEM_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include <gnutls/x509.h>

struct config;
struct config_value;

/* Both leave @datum empty or whole. */
void datum_wipe(gnutls_datum_t *datum);
int datum_copy(gnutls_datum_t *dst, const void *src, size_t len);

/*
 * Mistakes are told in the messages of @cfg, @what names the file there.
 * 0 or -errno; the caller wipes @out.  @mode: the file's permissions.
 */
int pem_load(struct config *cfg, const struct config_value *value, const char *what, gnutls_datum_t *out,
	     mode_t *mode);
int pem_check_chain(struct config *cfg, const struct config_value *value, const gnutls_datum_t *pem);
int pem_check_key(struct config *cfg, const struct config_value *value, const gnutls_datum_t *pem, mode_t mode);
/* What can be verified with the key of @crt takes bounded time. */
bool pem_is_bounded(gnutls_x509_crt_t crt);

#endif
