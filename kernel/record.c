// SPDX-License-Identifier: GPL-2.0
/*
 * The rules of a TLS record: see record.h.  Pure functions, any context.
 */
#include "record.h"

static void put_be16(u8 *p, u16 v)
{
	p[0] = v >> 8;
	p[1] = v;
}

static void put_be64(u8 *p, u64 v)
{
	int i;

	for (i = 7; i >= 0; i--, v >>= 8)
		p[i] = v;
}

/**
 * itls_record_seal_prefix() - write header and explicit nonce of a record
 * @r: direction; its sequence number is the one this record gets
 * @type: content type of the plaintext
 * @plain_len: bytes of plaintext, at most ITLS_PLAIN_MAX
 * @prefix: itls_record_prefix_len() bytes
 *
 * TLS 1.3 records look like TLS 1.2 application data (RFC 8446 5.2).  The
 * explicit nonce of TLS 1.2 is a counter (RFC 5288 3).
 */
void itls_record_seal_prefix(const struct itls_record *r, u8 type,
			     size_t plain_len, u8 *prefix)
{
	prefix[0] = itls_record_is_13(r) ? ITLS_TYPE_DATA : type;
	put_be16(prefix + 1, ITLS_VERSION_12);
	put_be16(prefix + 3,
		 r->explicit_len + plain_len + itls_record_suffix_len(r));
	if (r->explicit_len)
		put_be64(prefix + ITLS_HEADER_LEN, r->explicit_nonce);
}

/**
 * itls_record_aad() - build the additional authenticated data of a record
 * @r: direction, at the record's sequence number
 * @type: content type in the record's header
 * @plain_len: TLS 1.2: bytes of plaintext
 * @wire_len: TLS 1.3: the length field of the header
 * @aad: room for ITLS_AAD_MAX bytes
 *
 * RFC 8446 5.2: the header itself.  RFC 5246 6.2.3.3: sequence number, type,
 * version and plaintext length.
 *
 * Return: bytes written.
 */
size_t itls_record_aad(const struct itls_record *r, u8 type, size_t plain_len,
		       size_t wire_len, u8 *aad)
{
	u8 *p = aad;

	if (!itls_record_is_13(r)) {
		put_be64(p, r->seq);
		p += 8;
	}
	p[0] = type;
	put_be16(p + 1, ITLS_VERSION_12);
	put_be16(p + 3, itls_record_is_13(r) ? wire_len : plain_len);
	return p + 5 - aad;
}

/**
 * itls_record_nonce() - build the AEAD nonce of a record
 * @r: direction, at the record's sequence number
 * @explicit_nonce: the record's own @r->explicit_len bytes, if any
 * @nonce: room for ITLS_NONCE_LEN bytes
 *
 * RFC 5288 3: salt and explicit part.  RFC 8446 5.3 and RFC 7905 2: the IV
 * xored with the padded sequence number.
 */
void itls_record_nonce(const struct itls_record *r, const u8 *explicit_nonce,
		       u8 *nonce)
{
	u8 seq[8];
	int i;

	memcpy(nonce, r->iv, ITLS_NONCE_LEN);
	if (r->explicit_len) {
		memcpy(nonce + ITLS_NONCE_LEN - r->explicit_len, explicit_nonce,
		       r->explicit_len);
		return;
	}
	put_be64(seq, r->seq);
	for (i = 0; i < 8; i++)
		nonce[ITLS_NONCE_LEN - 8 + i] ^= seq[i];
}

/**
 * itls_record_parse() - check the header of a received record
 * @r: direction
 * @header: ITLS_HEADER_LEN bytes
 * @type: set to the content type in the header
 * @body_len: set to the bytes that follow the header
 *
 * In TLS 1.3 an encrypted record is always of outer type application_data
 * (RFC 8446 5.2).  The body may hold 2^14 bytes of content plus, in TLS 1.3,
 * one type byte; anything longer is record_overflow before it is decrypted,
 * as RFC 8446 5.2 and RFC 5246 6.2.3 allow (a TLS 1.2 AEAD adds exactly
 * nonce and tag, a TLS 1.3 one may add at most 256).
 *
 * Return: 0, -EMSGSIZE for a body too long, -EINVAL for a wrong outer type,
 * -EBADMSG for a body too short to hold what encryption adds, -EINVAL for a
 * wrong version; judged in this order, which programs written for in-tree kTLS
 * see.
 */
int itls_record_parse(const struct itls_record *r, const u8 *header,
		      u8 *type, size_t *body_len)
{
	size_t len = header[3] << 8 | header[4];
	size_t min = r->explicit_len + itls_record_suffix_len(r);

	if (len > ITLS_PLAIN_MAX + min)
		return -EMSGSIZE;
	if (itls_record_is_13(r) && header[0] != ITLS_TYPE_DATA)
		return -EINVAL;
	if (len < min)
		return -EBADMSG;
	if (header[1] != ITLS_VERSION_12 >> 8 ||
	    header[2] != (ITLS_VERSION_12 & 0xff))
		return -EINVAL;
	*type = header[0];
	*body_len = len;
	return 0;
}

/**
 * itls_record_inner() - find the content type of a TLS 1.3 plaintext
 * @tail: the last @tail_len bytes of the TLSInnerPlaintext
 * @tail_len: bytes looked at
 * @type: set to the content type when found
 *
 * The type is the last byte that is not zero; zeroes after it are padding
 * (RFC 8446 5.4).  A caller that holds the plaintext in pieces walks them from
 * the back.
 *
 * Return: bytes of @tail in front of the type, or -ENOENT if all are zero.
 */
int itls_record_inner(const u8 *tail, size_t tail_len, u8 *type)
{
	while (tail_len--) {
		if (!tail[tail_len])
			continue;
		*type = tail[tail_len];
		return tail_len;
	}
	return -ENOENT;
}

/**
 * itls_record_follow() - take in a part of a handshake message
 * @h: where the last call left off
 * @p: what handshake records hold next
 * @len: bytes of it, more than 0
 *
 * Takes bytes of the header, or of the body, never of both.
 *
 * Return: how many.  When itls_record_is_whole() is true afterwards, the next
 * message begins once @h->have is set to 0.
 */
size_t itls_record_follow(struct itls_handshake *h, const u8 *p, size_t len)
{
	size_t n = ITLS_HANDSHAKE_HEADER_LEN - h->have;

	if (n) {
		n = len < n ? len : n;
		memcpy(h->header + h->have, p, n);
		h->have += n;
		h->left = (u32)h->header[1] << 16 | h->header[2] << 8 |
			  h->header[3];
		return n;
	}
	n = len < h->left ? len : h->left;
	h->left -= n;
	return n;
}

/**
 * itls_record_has_key_update() - follow the handshake messages of a direction
 * @h: where the last call left off
 * @p: what handshake records hold next
 * @len: bytes of it
 *
 * Return: whether a KeyUpdate ended in these bytes: what follows the record
 * needs another key (RFC 8446 4.6.3).
 */
bool itls_record_has_key_update(struct itls_handshake *h, const u8 *p,
				size_t len)
{
	bool found = false;
	size_t n;

	for (; len; p += n, len -= n) {
		n = itls_record_follow(h, p, len);
		if (!itls_record_is_whole(h))
			continue;
		found |= h->header[0] == ITLS_HANDSHAKE_KEY_UPDATE;
		h->have = 0;
	}
	return found;
}

/**
 * itls_record_label() - what HKDF-Expand-Label authenticates for one block
 * @len: bytes wanted, at most what the hash gives
 * @label: without "tls13 ", at most ITLS_LABEL_MAX characters
 * @out: room for ITLS_HKDF_MAX bytes
 *
 * RFC 8446 7.1 with an empty context: the HMAC of these bytes, keyed by the
 * secret, begins with the output (RFC 5869 2.3; the last byte numbers the
 * block).
 *
 * Return: bytes written.
 */
size_t itls_record_label(u16 len, const char *label, u8 *out)
{
	static const char prefix[] = "tls13 ";
	size_t prefix_len = sizeof(prefix) - 1;
	size_t label_len = strlen(label);
	u8 *p = out;

	put_be16(p, len);
	p += 2;
	*p++ = prefix_len + label_len;
	memcpy(p, prefix, prefix_len);
	p += prefix_len;
	memcpy(p, label, label_len);
	p += label_len;
	*p++ = 0;
	*p++ = 1;
	return p - out;
}
