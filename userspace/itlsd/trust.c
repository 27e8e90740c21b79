// SPDX-License-Identifier: GPL-2.0
/*
 * Trust stores.  Loading the system's takes long and much memory, so each is
 * loaded once per configuration and shared by reference; a program that brings
 * its own pays with a bounded number of certificates.
 *
 * Revocation lists come from the administrator like the authorities, so they
 * are believed: those of intermediate authorities could not be checked anyway.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "config.h"
#include "pem.h"
#include "trust.h"

#define TRUST_PARSE_MAX	64	/* authorities that a program may bring along */

struct trust {
	atomic_uint refs;
	unsigned int count;
	gnutls_x509_trust_list_t list;
};

static int trust_new(struct trust **out)
{
	struct trust *trust = calloc(1, sizeof(*trust));

	if (!trust)
		return -ENOMEM;
	if (gnutls_x509_trust_list_init(&trust->list, 0) < 0) {
		free(trust);
		return -ENOMEM;
	}
	trust->refs = 1;
	*out = trust;
	return 0;
}

struct trust *trust_ref(struct trust *trust)
{
	trust->refs++;
	return trust;
}

void trust_put(struct trust *trust)
{
	if (!trust || atomic_fetch_sub(&trust->refs, 1) != 1)
		return;
	gnutls_x509_trust_list_deinit(trust->list, 1);
	free(trust);
}

unsigned int trust_count(const struct trust *trust)
{
	return trust->count;
}

gnutls_x509_trust_list_t trust_list(const struct trust *trust)
{
	return trust->list;
}

/* Authorities */

/* Takes the certificates. */
static void add_authorities(struct trust *trust, gnutls_x509_crt_t *crts, unsigned int count)
{
	int added = gnutls_x509_trust_list_add_cas(trust->list, crts, count, GNUTLS_TL_NO_DUPLICATES);

	trust->count += added > 0 ? added : 0;
}

static int load_authorities(struct config *cfg, const struct config_value *value, struct trust *trust)
{
	gnutls_x509_crt_t *crts = NULL;
	unsigned int count = 0;
	gnutls_datum_t pem;
	mode_t mode;
	int err, ret;

	err = pem_load(cfg, value, "authorities", &pem, &mode);
	if (err)
		return err;
	ret = gnutls_x509_crt_list_import2(&crts, &count, &pem, GNUTLS_X509_FMT_PEM, 0);
	datum_wipe(&pem);
	if (ret < 0) {
		config_error(cfg, value->line, "'%s' holds no PEM certificates of authorities: %s: check the file",
			     value->text, gnutls_strerror(ret));
		return -EINVAL;
	}
	add_authorities(trust, crts, count);
	gnutls_free(crts);
	return 0;
}

/* A system without authorities is told where somebody wrote that they are wanted. */
static void load_system(struct config *cfg, const struct config_value *value, struct trust *trust)
{
	int count = gnutls_x509_trust_list_add_system_trust(trust->list, 0, 0);

	trust->count = count > 0 ? count : 0;
	if (!trust->count && value->line)
		config_warning(cfg, value->line,
			       "the system trusts no authority: install the package ca-certificates, or write 'ca = FILE'");
}

/* Revocation */

static void check_age(struct config *cfg, const struct config_value *value, gnutls_x509_crl_t crl)
{
	time_t next = gnutls_x509_crl_get_next_update(crl);

	if (next != (time_t)-1 && next < time(NULL))
		config_warning(cfg, value->line, "a revocation list in '%s' is out of date: fetch a new one",
			       value->text);
}

static int load_revocations(struct config *cfg, const struct config_value *value, struct trust *trust)
{
	gnutls_x509_crl_t *crls = NULL;
	unsigned int count = 0, i;
	gnutls_datum_t pem;
	mode_t mode;
	int err, ret;

	err = pem_load(cfg, value, "revocation lists", &pem, &mode);
	if (err)
		return err;
	ret = gnutls_x509_crl_list_import2(&crls, &count, &pem, GNUTLS_X509_FMT_PEM, 0);
	datum_wipe(&pem);
	if (ret < 0) {
		config_error(cfg, value->line, "'%s' holds no PEM revocation list: %s: check the file", value->text,
			     gnutls_strerror(ret));
		return -EINVAL;
	}
	for (i = 0; i < count; i++)
		check_age(cfg, value, crls[i]);
	ret = gnutls_x509_trust_list_add_crls(trust->list, crls, count, 0, 0);
	gnutls_free(crls);
	if (ret == (int)count)
		return 0;
	config_error(cfg, value->line, "'%s': %d of %u revocation lists can be used: give each once", value->text,
		     ret < 0 ? 0 : ret, count);
	return -EINVAL;
}

int trust_load(struct config *cfg, const struct config_value *ca, const struct config_value *crl,
	       struct trust **out)
{
	struct trust *trust;
	int err = trust_new(&trust), part = 0;

	if (err)
		return err;
	if (ca->text)
		err = load_authorities(cfg, ca, trust);
	else
		load_system(cfg, ca, trust);
	if (crl->text)
		part = load_revocations(cfg, crl, trust);
	err = err ? err : part;
	if (err)
		trust_put(trust);
	else
		*out = trust;
	return err;
}

int trust_parse(const void *pem, size_t len, struct trust **out)
{
	gnutls_datum_t data = { (void *)pem, len };
	gnutls_x509_crt_t crts[TRUST_PARSE_MAX];
	unsigned int i, count = TRUST_PARSE_MAX;
	struct trust *trust;
	bool good = true;
	int err;

	if (gnutls_x509_crt_list_import(crts, &count, &data, GNUTLS_X509_FMT_PEM,
					GNUTLS_X509_CRT_LIST_IMPORT_FAIL_IF_EXCEED) < 0)
		return -EINVAL;
	for (i = 0; i < count; i++)
		good &= pem_is_bounded(crts[i]);
	err = good && count ? trust_new(&trust) : -EINVAL;
	if (err) {
		for (i = 0; i < count; i++)
			gnutls_x509_crt_deinit(crts[i]);
		return err;
	}
	add_authorities(trust, crts, count);
	*out = trust;
	return 0;
}

int trust_announce(const struct trust *trust, gnutls_certificate_credentials_t creds)
{
	gnutls_x509_trust_list_iter_t iter = NULL;
	gnutls_x509_crt_t crt;
	int ret = 0;

	while (ret >= 0 && gnutls_x509_trust_list_iter_get_ca(trust->list, &iter, &crt) >= 0) {
		ret = gnutls_certificate_set_x509_trust(creds, &crt, 1);
		gnutls_x509_crt_deinit(crt);
	}
	gnutls_x509_trust_list_iter_deinit(iter);
	return ret < 0 ? -ENOMEM : 0;
}
