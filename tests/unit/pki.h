/* SPDX-License-Identifier: GPL-2.0 */
/* Authorities and certificates, good and bad, made as a test needs them. */
#ifndef UNIT_PKI_H
#define UNIT_PKI_H

#include <gnutls/x509.h>

struct pki_cert {
	gnutls_x509_crt_t crt;
	gnutls_x509_privkey_t key;
};

/* What is left zero is as good certificates have it: ECDSA P-256, SHA-256, valid now. */
struct pki_options {
	const char *name;		/* common name */
	const struct pki_cert *issuer;	/* NULL: self-signed */
	bool ca;
	const char *dns;		/* alternative names */
	const char *ip;
	const char *purpose;		/* GNUTLS_KP_* */
	unsigned int usage;		/* GNUTLS_KEY_* */
	gnutls_pk_algorithm_t algorithm;
	unsigned int bits;
	gnutls_digest_algorithm_t digest;
	int from, to;			/* hours from now, both 0: valid */
};

void pki_make(struct pki_cert *cert, const struct pki_options *options);
void pki_free(struct pki_cert *cert);

/* PEM into a file of folder @dir, the issuers of @certs behind each other. */
void pki_put(const char *dir, const char *name, const gnutls_datum_t *data);
void pki_put_chain(const char *dir, const char *name, const struct pki_cert * const *certs, int count);
void pki_put_key(const char *dir, const char *name, const struct pki_cert *cert);
/* A revocation list by @issuer with @revoked in it. */
void pki_put_crl(const char *dir, const char *name, const struct pki_cert *issuer, const struct pki_cert *revoked);

/* PEM in memory, for gnutls_free(). */
gnutls_datum_t pki_pem(const struct pki_cert *cert);
gnutls_datum_t pki_key_pem(const struct pki_cert *cert);
/* Credentials with @chain, first the one whose key it is. */
gnutls_certificate_credentials_t pki_credentials(const struct pki_cert * const *chain, int count);

#endif
