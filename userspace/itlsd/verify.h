/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a peer's certificate is worth, as a browser would judge it.  No look-ups:
 * only what the handshake brought and the trust store has.
 */
#ifndef ITLSD_VERIFY_H
#define ITLSD_VERIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <gnutls/gnutls.h>
#include <linux/itls.h>

struct trust;

struct verify_want {
	const struct trust *trust;
	const char *purpose;	/* GNUTLS_KP_* */
	const char *name;	/* DNS name or IP address; NULL: any */
};

/*
 * Of several things that are wrong the first of this order is given: INVALID
 * (malformed), ISSUER, INVALID (forged), REVOKED, EXPIRED, NOT_YET, KEY,
 * SIGNATURE, PURPOSE, NAME.  No certificate at all: NONE.
 */
enum itls_verify verify_peer(gnutls_session_t session, const struct verify_want *want);

/* The same for @count certificates in DER, the peer's first. */
enum itls_verify verify_chain(const gnutls_datum_t *ders, unsigned int count, const struct verify_want *want);

/*
 * The same for a Certificate message (RFC 8446 4.4.2, RFC 5246 7.4.2), before
 * anything is computed with it: INVALID if it is malformed or would take too
 * long, else OK.
 */
enum itls_verify verify_message(const gnutls_datum_t *message, bool tls13);

/* The alert that RFC 8446 6.2 has for it. */
int verify_alert(enum itls_verify verify, bool tls13);
/* One line for people. */
const char *verify_text(enum itls_verify verify);

/*
 * The certificate of the peer: its SHA-256, and its name as of RFC 4514, ""
 * where that is longer than @size allows.  0 or -errno.
 */
int verify_describe(gnutls_session_t session, uint8_t digest[ITLS_DIGEST_LEN], char *subject, size_t size);

#endif
