// SPDX-License-Identifier: GPL-2.0
/* See pki.h. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <gnutls/abstract.h>

#include "pki.h"
#include "tap.h"

static void make_key(gnutls_x509_privkey_t *key, const struct pki_options *o)
{
	unsigned int bits = o->bits ? o->bits : GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1);

	gnutls_x509_privkey_init(key);
	must(!gnutls_x509_privkey_generate(*key, o->algorithm ? o->algorithm : GNUTLS_PK_ECDSA, bits, 0), "key");
}

static void set_names(gnutls_x509_crt_t crt, const struct pki_options *o)
{
	unsigned char ip[16];

	gnutls_x509_crt_set_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, o->name, strlen(o->name));
	if (o->dns)
		gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_DNSNAME, o->dns, strlen(o->dns),
						     GNUTLS_FSAN_APPEND);
	if (o->ip && inet_pton(AF_INET, o->ip, ip) == 1)
		gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_IPADDRESS, ip, 4, GNUTLS_FSAN_APPEND);
	else if (o->ip && inet_pton(AF_INET6, o->ip, ip) == 1)
		gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_IPADDRESS, ip, 16, GNUTLS_FSAN_APPEND);
}

static void set_key_id(gnutls_x509_crt_t crt)
{
	unsigned char id[64];
	size_t size = sizeof(id);

	must(!gnutls_x509_crt_get_key_id(crt, 0, id, &size), "key id");
	gnutls_x509_crt_set_subject_key_id(crt, id, size);
}

/* What was built is not in all parts what a parser reads: GnuTLS would not find the names. */
static void reread(gnutls_x509_crt_t *crt)
{
	gnutls_datum_t der;

	must(!gnutls_x509_crt_export2(*crt, GNUTLS_X509_FMT_DER, &der), "DER");
	gnutls_x509_crt_deinit(*crt);
	gnutls_x509_crt_init(crt);
	must(!gnutls_x509_crt_import(*crt, &der, GNUTLS_X509_FMT_DER), "certificate");
	gnutls_free(der.data);
}

void pki_make(struct pki_cert *cert, const struct pki_options *o)
{
	const struct pki_cert *issuer = o->issuer ? o->issuer : cert;
	bool now = !o->from && !o->to;
	static unsigned char serial = 1;
	time_t t = time(NULL);
	gnutls_privkey_t signer;

	make_key(&cert->key, o);
	gnutls_x509_crt_init(&cert->crt);
	gnutls_x509_crt_set_version(cert->crt, 3);
	gnutls_x509_crt_set_serial(cert->crt, &serial, 1);
	serial++;
	set_names(cert->crt, o);
	gnutls_x509_crt_set_activation_time(cert->crt, t + (now ? -1 : o->from) * 3600);
	gnutls_x509_crt_set_expiration_time(cert->crt, t + (now ? 24 : o->to) * 3600);
	gnutls_x509_crt_set_key(cert->crt, cert->key);
	set_key_id(cert->crt);
	gnutls_x509_crt_set_basic_constraints(cert->crt, o->ca, -1);
	if (o->usage || o->ca)
		gnutls_x509_crt_set_key_usage(cert->crt, o->usage ? o->usage : GNUTLS_KEY_KEY_CERT_SIGN |
					      GNUTLS_KEY_CRL_SIGN | GNUTLS_KEY_DIGITAL_SIGNATURE);
	if (o->purpose)
		gnutls_x509_crt_set_key_purpose_oid(cert->crt, o->purpose, 0);
	gnutls_privkey_init(&signer);
	gnutls_privkey_import_x509(signer, issuer->key, 0);
	must(!gnutls_x509_crt_privkey_sign(cert->crt, issuer->crt, signer,
					   o->digest ? o->digest : GNUTLS_DIG_SHA256, 0), "certificate");
	gnutls_privkey_deinit(signer);
	reread(&cert->crt);
}

void pki_free(struct pki_cert *cert)
{
	gnutls_x509_crt_deinit(cert->crt);
	gnutls_x509_privkey_deinit(cert->key);
}

void pki_put(const char *dir, const char *name, const gnutls_datum_t *data)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	must(fd >= 0 && write(fd, data->data, data->size) == (ssize_t)data->size, path);
	close(fd);
}

gnutls_datum_t pki_pem(const struct pki_cert *cert)
{
	gnutls_datum_t pem;

	must(!gnutls_x509_crt_export2(cert->crt, GNUTLS_X509_FMT_PEM, &pem), "PEM");
	return pem;
}

gnutls_datum_t pki_key_pem(const struct pki_cert *cert)
{
	gnutls_datum_t pem;

	must(!gnutls_x509_privkey_export2(cert->key, GNUTLS_X509_FMT_PEM, &pem), "PEM");
	return pem;
}

void pki_put_chain(const char *dir, const char *name, const struct pki_cert * const *certs, int count)
{
	char text[16384] = "";
	gnutls_datum_t all = { (void *)text, 0 }, pem;
	int i;

	for (i = 0; i < count; i++) {
		pem = pki_pem(certs[i]);
		must(all.size + pem.size < sizeof(text), "chain");
		memcpy(text + all.size, pem.data, pem.size);
		all.size += pem.size;
		gnutls_free(pem.data);
	}
	pki_put(dir, name, &all);
}

void pki_put_key(const char *dir, const char *name, const struct pki_cert *cert)
{
	gnutls_datum_t pem = pki_key_pem(cert);

	pki_put(dir, name, &pem);
	gnutls_free(pem.data);
}

void pki_put_crl(const char *dir, const char *name, const struct pki_cert *issuer, const struct pki_cert *revoked)
{
	gnutls_privkey_t signer;
	time_t now = time(NULL);
	gnutls_x509_crl_t crl;
	gnutls_datum_t pem;

	gnutls_x509_crl_init(&crl);
	gnutls_x509_crl_set_version(crl, 2);
	gnutls_x509_crl_set_this_update(crl, now - 3600);
	gnutls_x509_crl_set_next_update(crl, now + 86400);
	gnutls_x509_crl_set_number(crl, "\1", 1);
	must(!gnutls_x509_crl_set_crt(crl, revoked->crt, now - 1800), "revoked");
	gnutls_privkey_init(&signer);
	gnutls_privkey_import_x509(signer, issuer->key, 0);
	must(!gnutls_x509_crl_privkey_sign(crl, issuer->crt, signer, GNUTLS_DIG_SHA256, 0), "revocation list");
	gnutls_privkey_deinit(signer);
	must(!gnutls_x509_crl_export2(crl, GNUTLS_X509_FMT_PEM, &pem), "PEM");
	gnutls_x509_crl_deinit(crl);
	pki_put(dir, name, &pem);
	gnutls_free(pem.data);
}

gnutls_certificate_credentials_t pki_credentials(const struct pki_cert * const *chain, int count)
{
	gnutls_certificate_credentials_t creds;
	gnutls_x509_crt_t crts[16];
	int i;

	for (i = 0; i < count; i++)
		crts[i] = chain[i]->crt;
	gnutls_certificate_allocate_credentials(&creds);
	gnutls_certificate_set_flags(creds, GNUTLS_CERTIFICATE_SKIP_KEY_CERT_MATCH |
				     GNUTLS_CERTIFICATE_SKIP_OCSP_RESPONSE_CHECK);
	must(!gnutls_certificate_set_x509_key(creds, crts, count, chain[0]->key), "credentials");
	return creds;
}
