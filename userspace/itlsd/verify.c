// SPDX-License-Identifier: GPL-2.0
/*
 * Verification of a chain by GnuTLS's trust lists, and of names by the rules
 * of RFC 9525: subject alternative names only, an address only as an address.
 *
 * GnuTLS tells all it finds in one word of bits, and leaves off at the first
 * certificate that fails.  So a chain that fails is looked at again, with one
 * more demand each time: the first demand that it does not meet is the verdict.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include <gnutls/crypto.h>
#include <gnutls/x509.h>

#include "pem.h"
#include "trust.h"
#include "verify.h"

#define VERIFY_CHAIN_MAX	10
#define VERIFY_LEVEL		GNUTLS_SEC_PARAM_MEDIUM

#define NO_TIMES	(GNUTLS_VERIFY_DISABLE_TIME_CHECKS | GNUTLS_VERIFY_DISABLE_TRUSTED_TIME_CHECKS)
#define ANY_ALGORITHM	(GNUTLS_VERIFY_ALLOW_BROKEN | GNUTLS_VERIFY_ALLOW_SIGN_WITH_SHA1)
#define STRONG		GNUTLS_PROFILE_TO_VFLAGS(GNUTLS_PROFILE_MEDIUM)

struct chain {
	gnutls_x509_crt_t crt[VERIFY_CHAIN_MAX];
	unsigned int count;
};

static void chain_clear(struct chain *chain)
{
	while (chain->count)
		gnutls_x509_crt_deinit(chain->crt[--chain->count]);
}

static bool chain_add(struct chain *chain, const gnutls_datum_t *der)
{
	gnutls_x509_crt_t crt;

	if (chain->count == VERIFY_CHAIN_MAX || gnutls_x509_crt_init(&crt) < 0)
		return false;
	chain->crt[chain->count++] = crt;
	return gnutls_x509_crt_import(crt, der, GNUTLS_X509_FMT_DER) >= 0 && pem_is_bounded(crt);
}

/* Names */

static bool has_name_of(gnutls_x509_crt_t crt, unsigned int wanted)
{
	unsigned int i, type;
	char name[256];
	size_t size;
	int ret;

	for (i = 0;; i++) {
		size = sizeof(name);
		ret = gnutls_x509_crt_get_subject_alt_name2(crt, i, name, &size, &type, NULL);
		if (ret == GNUTLS_E_SHORT_MEMORY_BUFFER)
			continue; /* longer than any host's */
		if (ret < 0)
			return false;
		if (type == wanted)
			return true;
	}
}

/* Without an alternative name GnuTLS would look into the common name. */
static bool name_matches(gnutls_x509_crt_t crt, const char *name)
{
	unsigned char ip[sizeof(struct in6_addr)];

	if (inet_pton(AF_INET, name, ip) == 1)
		return gnutls_x509_crt_check_ip(crt, ip, sizeof(struct in_addr), 0);
	if (inet_pton(AF_INET6, name, ip) == 1)
		return gnutls_x509_crt_check_ip(crt, ip, sizeof(struct in6_addr), 0);
	return has_name_of(crt, GNUTLS_SAN_DNSNAME) &&
	       gnutls_x509_crt_check_hostname2(crt, name, GNUTLS_VERIFY_DO_NOT_ALLOW_IP_MATCHES);
}

/* Chains */

static unsigned int chain_status(const struct chain *chain, const struct verify_want *want, bool purpose,
				 unsigned int flags)
{
	gnutls_typed_vdata_st data = {
		.type = GNUTLS_DT_KEY_PURPOSE_OID,
		.data = (unsigned char *)want->purpose,
		.size = strlen(want->purpose),
	};
	unsigned int status = 0;

	if (gnutls_x509_trust_list_verify_crt2(trust_list(want->trust), (gnutls_x509_crt_t *)chain->crt, chain->count,
					       &data, purpose, flags, &status, NULL) < 0)
		return GNUTLS_CERT_INVALID;
	return status;
}

static bool has_weak_key(const struct chain *chain)
{
	unsigned int i, bits;
	int algorithm;

	for (i = 0; i < chain->count; i++) {
		bits = 0;
		algorithm = gnutls_x509_crt_get_pk_algorithm(chain->crt[i], &bits);
		if (algorithm < 0 || gnutls_pk_bits_to_sec_param(algorithm, bits) < VERIFY_LEVEL)
			return true;
	}
	return false;
}

static bool has_weak_signature(const struct chain *chain)
{
	unsigned int i;
	int algorithm;

	for (i = 0; i < chain->count; i++) {
		if (gnutls_x509_crt_check_issuer(chain->crt[i], chain->crt[i]))
			continue; /* an authority's own signature does not count */
		algorithm = gnutls_x509_crt_get_signature_algorithm(chain->crt[i]);
		if (algorithm < 0 || !gnutls_sign_is_secure2(algorithm, GNUTLS_SIGN_FLAG_SECURE_FOR_CERTS))
			return true;
	}
	return false;
}

/* A chain whose own parts are strong has a weak authority above it. */
static enum itls_verify which_weakness(const struct chain *chain)
{
	return has_weak_key(chain) || !has_weak_signature(chain) ? ITLS_VERIFY_KEY : ITLS_VERIFY_SIGNATURE;
}

static enum itls_verify which_failure(const struct chain *chain, const struct verify_want *want)
{
	unsigned int status = chain_status(chain, want, false, NO_TIMES | ANY_ALGORITHM);

	if (status & GNUTLS_CERT_SIGNER_NOT_FOUND)
		return ITLS_VERIFY_ISSUER;
	if (status & GNUTLS_CERT_REVOKED)
		return ITLS_VERIFY_REVOKED;
	if (status & GNUTLS_CERT_INSECURE_ALGORITHM)
		return which_weakness(chain); /* beyond what can be allowed */
	if (status)
		return ITLS_VERIFY_INVALID;
	status = chain_status(chain, want, false, ANY_ALGORITHM);
	if (status)
		return status & GNUTLS_CERT_EXPIRED ? ITLS_VERIFY_EXPIRED : ITLS_VERIFY_NOT_YET;
	if (chain_status(chain, want, false, STRONG))
		return which_weakness(chain);
	return ITLS_VERIFY_PURPOSE;
}

static enum itls_verify chain_verdict(const struct chain *chain, const struct verify_want *want)
{
	if (!want->trust)
		return ITLS_VERIFY_ISSUER;
	if (chain_status(chain, want, true, STRONG))
		return which_failure(chain, want);
	return !want->name || name_matches(chain->crt[0], want->name) ? ITLS_VERIFY_OK : ITLS_VERIFY_NAME;
}

enum itls_verify verify_chain(const gnutls_datum_t *ders, unsigned int count, const struct verify_want *want)
{
	enum itls_verify verdict = ITLS_VERIFY_INVALID;
	struct chain chain = { .count = 0 };
	unsigned int i;

	for (i = 0; i < count && chain_add(&chain, &ders[i]); i++)
		;
	if (i == count)
		verdict = chain_verdict(&chain, want);
	chain_clear(&chain);
	return verdict;
}

enum itls_verify verify_peer(gnutls_session_t session, const struct verify_want *want)
{
	const gnutls_datum_t *ders;
	unsigned int count = 0;

	if (gnutls_certificate_type_get2(session, GNUTLS_CTYPE_PEERS) != GNUTLS_CRT_X509)
		return ITLS_VERIFY_INVALID;
	ders = gnutls_certificate_get_peers(session, &count);
	return ders && count ? verify_chain(ders, count, want) : ITLS_VERIFY_NONE;
}

/* Messages */

struct reader {
	const unsigned char *at;
	size_t left;
};

/* Takes a length of @width bytes and as many bytes behind it. */
static bool take(struct reader *r, unsigned int width, gnutls_datum_t *out)
{
	size_t size = 0;
	unsigned int i;

	if (r->left < width)
		return false;
	for (i = 0; i < width; i++)
		size = size << 8 | r->at[i];
	if (size > r->left - width)
		return false;
	out->data = (unsigned char *)r->at + width;
	out->size = size;
	r->at += width + size;
	r->left -= width + size;
	return true;
}

enum itls_verify verify_message(const gnutls_datum_t *message, bool tls13)
{
	struct reader r = { message->data, message->size };
	struct chain chain = { .count = 0 };
	gnutls_datum_t part;
	bool good;

	good = (!tls13 || take(&r, 1, &part)) && take(&r, 3, &part);
	if (!good)
		return ITLS_VERIFY_INVALID;
	r = (struct reader){ part.data, part.size };
	while (good && r.left)
		good = take(&r, 3, &part) && chain_add(&chain, &part) && (!tls13 || take(&r, 2, &part));
	chain_clear(&chain);
	return good ? ITLS_VERIFY_OK : ITLS_VERIFY_INVALID;
}

/* Verdicts */

static const struct {
	int alert;
	const char *text;
} verdicts[__ITLS_VERIFY_MAX] = {
	[ITLS_VERIFY_NONE] = { GNUTLS_A_INTERNAL_ERROR, "the certificate was not verified" },
	[ITLS_VERIFY_OK] = { GNUTLS_A_INTERNAL_ERROR, "the certificate is good" },
	[ITLS_VERIFY_ISSUER] = { GNUTLS_A_UNKNOWN_CA, "no trusted authority issued the certificate" },
	[ITLS_VERIFY_EXPIRED] = { GNUTLS_A_CERTIFICATE_EXPIRED, "the certificate has expired" },
	[ITLS_VERIFY_NOT_YET] = { GNUTLS_A_CERTIFICATE_EXPIRED, "the certificate is not valid yet" },
	[ITLS_VERIFY_NAME] = { GNUTLS_A_CERTIFICATE_UNKNOWN, "the certificate is for another name" },
	[ITLS_VERIFY_KEY] = { GNUTLS_A_BAD_CERTIFICATE, "a key of the certificate's chain is too weak" },
	[ITLS_VERIFY_SIGNATURE] = { GNUTLS_A_BAD_CERTIFICATE, "a signature of the certificate's chain is too weak" },
	[ITLS_VERIFY_PURPOSE] = { GNUTLS_A_UNSUPPORTED_CERTIFICATE, "the certificate is for another purpose" },
	[ITLS_VERIFY_REVOKED] = { GNUTLS_A_CERTIFICATE_REVOKED, "the certificate was revoked" },
	[ITLS_VERIFY_MISSING] = { GNUTLS_A_CERTIFICATE_REQUIRED, "a certificate was required and none was sent" },
	[ITLS_VERIFY_INVALID] = { GNUTLS_A_BAD_CERTIFICATE, "the certificate or its chain is forged or malformed" },
};

/* certificate_required is of TLS 1.3; before (RFC 5246, 7.4.6) it was handshake_failure. */
int verify_alert(enum itls_verify verify, bool tls13)
{
	if (verify == ITLS_VERIFY_MISSING && !tls13)
		return GNUTLS_A_HANDSHAKE_FAILURE;
	return verdicts[verify].alert;
}

const char *verify_text(enum itls_verify verify)
{
	return verdicts[verify].text;
}

/* Descriptions */

static void describe_subject(gnutls_x509_crt_t crt, char *subject, size_t size)
{
	gnutls_datum_t dn;

	*subject = '\0';
	if (gnutls_x509_crt_get_dn3(crt, &dn, 0) < 0)
		return;
	if (dn.size < size && !memchr(dn.data, 0, dn.size)) {
		memcpy(subject, dn.data, dn.size);
		subject[dn.size] = '\0';
	}
	gnutls_free(dn.data);
}

int verify_describe(gnutls_session_t session, uint8_t digest[ITLS_DIGEST_LEN], char *subject, size_t size)
{
	const gnutls_datum_t *ders;
	unsigned int count = 0;
	gnutls_x509_crt_t crt;
	int ret;

	ders = gnutls_certificate_get_peers(session, &count);
	if (!ders || !count || gnutls_hash_fast(GNUTLS_DIG_SHA256, ders[0].data, ders[0].size, digest) < 0)
		return -EIO;
	if (gnutls_x509_crt_init(&crt) < 0)
		return -ENOMEM;
	ret = gnutls_x509_crt_import(crt, &ders[0], GNUTLS_X509_FMT_DER);
	if (ret >= 0)
		describe_subject(crt, subject, size);
	gnutls_x509_crt_deinit(crt);
	return ret < 0 ? -EIO : 0;
}
