/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The rules of a TLS record, and nothing else: header, nonce, additional
 * data, inner content type, padding and length limits (RFC 5246 6.2,
 * RFC 5288 3, RFC 8446 5).  Pure functions over bytes: no socket, no crypto,
 * no allocation, any context.  Compiled in userspace as well, for the unit
 * tests and fuzzers.
 */
#ifndef ITLS_RECORD_H
#define ITLS_RECORD_H

#ifdef __KERNEL__
#include <linux/types.h>
#include <linux/errno.h>
#include <linux/string.h>
#else
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
#endif

#define ITLS_HEADER_LEN		5	/* type, version, length */
#define ITLS_NONCE_LEN		12	/* every suite: RFC 5116 3.2, RFC 8446 5.3 */
#define ITLS_AAD_MAX		13	/* RFC 5246 6.2.3.3; 5 in TLS 1.3 */
#define ITLS_PLAIN_MAX		16384	/* 2^14, RFC 8446 5.1 */
#define ITLS_PAYLOAD_MIN	64	/* RFC 8449 4 */
#define ITLS_TAG_LEN		16
#define ITLS_EXPLICIT_MAX	8	/* TLS 1.2 explicit nonce, RFC 5288 3 */

#define ITLS_VERSION_12		0x0303
#define ITLS_VERSION_13		0x0304

/* Content types, RFC 8446 5.1. */
enum itls_record_type {
	ITLS_TYPE_CHANGE_CIPHER_SPEC	= 20,
	ITLS_TYPE_ALERT			= 21,
	ITLS_TYPE_HANDSHAKE		= 22,
	ITLS_TYPE_DATA			= 23,
};

/* Alert descriptions this record layer sends or reads, RFC 8446 6. */
enum itls_alert {
	ITLS_ALERT_CLOSE_NOTIFY		= 0,
	ITLS_ALERT_UNEXPECTED_MESSAGE	= 10,
	ITLS_ALERT_BAD_RECORD_MAC	= 20,
	ITLS_ALERT_RECORD_OVERFLOW	= 22,
	ITLS_ALERT_ILLEGAL_PARAMETER	= 47,
	ITLS_ALERT_DECODE_ERROR		= 50,
	ITLS_ALERT_PROTOCOL_VERSION	= 70,
	ITLS_ALERT_INTERNAL_ERROR	= 80,
	ITLS_ALERT_USER_CANCELED	= 90,
	ITLS_ALERT_NO_RENEGOTIATION	= 100,	/* RFC 5246 7.2.2 */
};

#define ITLS_ALERT_LEN		2	/* level, description */
#define ITLS_ALERT_WARNING	1
#define ITLS_ALERT_FATAL	2

#define ITLS_HANDSHAKE_HEADER_LEN 4	/* type, length: RFC 8446 4 */

/* Messages that may come after the handshake, RFC 8446 4 and RFC 5246 7.4. */
enum itls_handshake_type {
	ITLS_HANDSHAKE_HELLO_REQUEST	= 0,
	ITLS_HANDSHAKE_CLIENT_HELLO	= 1,
	ITLS_HANDSHAKE_TICKET		= 4,	/* NewSessionTicket */
	ITLS_HANDSHAKE_KEY_UPDATE	= 24,
};

/* RFC 8446 4.6.3: the header, and whether the receiver must do the same. */
#define ITLS_KEY_UPDATE_LEN	(ITLS_HANDSHAKE_HEADER_LEN + 1)
#define ITLS_UPDATE_NOT_REQUESTED 0
#define ITLS_UPDATE_REQUESTED	1

/* Labels of RFC 8446 7.2 and 7.3. */
#define ITLS_LABEL_MAX		11
#define ITLS_LABEL_KEY		"key"
#define ITLS_LABEL_IV		"iv"
#define ITLS_LABEL_UPDATE	"traffic upd"
/* Length, "tls13 " and label with their length, empty context, block number. */
#define ITLS_HKDF_MAX		(2 + 1 + 6 + ITLS_LABEL_MAX + 1 + 1)

/*
 * How far a stream of handshake messages has been followed; messages may
 * share records and cross them (RFC 8446 5.1).  All zero: before a message.
 */
struct itls_handshake {
	u8 header[ITLS_HANDSHAKE_HEADER_LEN];
	u8 have;	/* bytes of the header */
	u32 left;	/* bytes of the body to come */
};

/* The header is here and the body as well. */
static inline bool itls_record_is_whole(const struct itls_handshake *h)
{
	return h->have == ITLS_HANDSHAKE_HEADER_LEN && !h->left;
}

/**
 * struct itls_record - what one direction of a connection needs to know
 * @version:	ITLS_VERSION_12 or ITLS_VERSION_13
 * @explicit_len: nonce bytes carried in each record (TLS 1.2 GCM: 8, else 0)
 * @iv:		TLS 1.2 with explicit nonce: 4-byte salt; else the 12-byte IV
 *		that is xored with the sequence number
 * @seq:	sequence number of the next record
 * @explicit_nonce: explicit nonce of the next record sent; it counts on from
 *		where userspace's handshake left it, so that none repeats
 *
 * Owned by whoever holds the direction's key; changed under the same lock.
 */
struct itls_record {
	u16 version;
	u8 explicit_len;
	u8 iv[ITLS_NONCE_LEN];
	u64 seq;
	u64 explicit_nonce;
};

static inline bool itls_record_is_13(const struct itls_record *r)
{
	return r->version == ITLS_VERSION_13;
}

/* Bytes on the wire before the ciphertext. */
static inline size_t itls_record_prefix_len(const struct itls_record *r)
{
	return ITLS_HEADER_LEN + r->explicit_len;
}

/* Bytes that encryption adds after the plaintext; TLS 1.3: type and tag. */
static inline size_t itls_record_suffix_len(const struct itls_record *r)
{
	return (itls_record_is_13(r) ? 1 : 0) + ITLS_TAG_LEN;
}

static inline size_t itls_record_overhead(const struct itls_record *r)
{
	return itls_record_prefix_len(r) + itls_record_suffix_len(r);
}

/*
 * The last sequence number is never used: reaching it means that the next
 * increment would wrap and repeat a nonce (RFC 8446 5.3, RFC 5246 6.1).
 */
static inline bool itls_record_is_exhausted(const struct itls_record *r)
{
	return r->seq == ~0ULL;
}

static inline void itls_record_advance(struct itls_record *r)
{
	r->seq++;
	r->explicit_nonce++;
}

/* What was received last is received once more. */
static inline void itls_record_rewind(struct itls_record *r)
{
	r->seq--;
	r->explicit_nonce--;
}

void itls_record_seal_prefix(const struct itls_record *r, u8 type,
			     size_t plain_len, u8 *prefix);
size_t itls_record_aad(const struct itls_record *r, u8 type, size_t plain_len,
		       size_t wire_len, u8 *aad);
void itls_record_nonce(const struct itls_record *r, const u8 *explicit_nonce,
		       u8 *nonce);
int itls_record_parse(const struct itls_record *r, const u8 *header,
		      u8 *type, size_t *body_len);
size_t itls_record_follow(struct itls_handshake *h, const u8 *p, size_t len);
bool itls_record_has_key_update(struct itls_handshake *h, const u8 *p,
				size_t len);
size_t itls_record_label(u16 len, const char *label, u8 *out);
int itls_record_inner(const u8 *tail, size_t tail_len, u8 *type);

#endif
