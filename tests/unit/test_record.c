// SPDX-License-Identifier: GPL-2.0
/*
 * The rules of a record (kernel/record.c): header, nonce, additional data,
 * inner type, padding and limits; and the records of RFC 8448 section 3 built
 * and taken apart by them, with GnuTLS's AEAD for the cryptography.
 */
#define _GNU_SOURCE 1
#include <stdio.h>
#include <stdlib.h>

#include <gnutls/crypto.h>

#include "hex.h"
#include "record.h"
#include "tap.h"

static struct itls_record tls13(const char *iv, u64 seq)
{
	struct itls_record r = { .version = ITLS_VERSION_13, .seq = seq };

	unhex(iv, r.iv);
	return r;
}

static struct itls_record tls12(const char *salt, u64 seq, u64 explicit_nonce)
{
	struct itls_record r = {
		.version = ITLS_VERSION_12, .explicit_len = 8,
		.seq = seq, .explicit_nonce = explicit_nonce,
	};

	unhex(salt, r.iv);
	return r;
}

/* ---- RFC 8448 section 3 ---- */

#define CLIENT_HS_KEY "db fa a6 93 d1 76 2c 5b 66 6a f5 d9 50 25 8d 01"
#define CLIENT_HS_IV "5b d3 c7 1b 83 6e 0b 76 bb 73 26 5f"
#define CLIENT_KEY "17 42 2d da 59 6e d5 d9 ac d8 90 e3 c6 3f 50 51"
#define CLIENT_IV "5b 78 92 3d ee 08 57 90 33 e5 23 d9"
#define SERVER_KEY "9f 02 28 3b 6c 9c 07 ef c2 6b b9 f2 ac 92 e3 56"
#define SERVER_IV "cf 78 2b 88 dd 83 54 9a ad f1 e9 84"
#define FIFTY "00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f 10 11 12 13 14 15 16 17 18 " \
	      "19 1a 1b 1c 1d 1e 1f 20 21 22 23 24 25 26 27 28 29 2a 2b 2c 2d 2e 2f 30 31"

static const struct vector {
	const char *name, *key, *iv;
	u64 seq;
	u8 type;
	const char *plain, *record;
} vectors[] = {
	{ "client Finished", CLIENT_HS_KEY, CLIENT_HS_IV, 0, ITLS_TYPE_HANDSHAKE,
	  "14 00 00 20 a8 ec 43 6d 67 76 34 ae 52 5a c1 fc eb e1 1a 03 9e c1 76 94 fa c6 e9 85 "
	  "27 b6 42 f2 ed d5 ce 61",
	  "17 03 03 00 35 75 ec 4d c2 38 cc e6 0b 29 80 44 a7 1e 21 9c 56 cc 77 b0 51 7f e9 b9 "
	  "3c 7a 4b fc 44 d8 7f 38 f8 03 38 ac 98 fc 46 de b3 84 bd 1c ae ac ab 68 67 d7 26 c4 "
	  "05 46" },
	{ "client application data", CLIENT_KEY, CLIENT_IV, 0, ITLS_TYPE_DATA, FIFTY,
	  "17 03 03 00 43 a2 3f 70 54 b6 2c 94 d0 af fa fe 82 28 ba 55 cb ef ac ea 42 f9 14 aa "
	  "66 bc ab 3f 2b 98 19 a8 a5 b4 6b 39 5b d5 4a 9a 20 44 1e 2b 62 97 4e 1f 5a 62 92 a2 "
	  "97 70 14 bd 1e 3d ea e6 3a ee bb 21 69 49 15 e4" },
	{ "server application data", SERVER_KEY, SERVER_IV, 1, ITLS_TYPE_DATA, FIFTY,
	  "17 03 03 00 43 2e 93 7e 11 ef 4a c7 40 e5 38 ad 36 00 5f c4 a4 69 32 fc 32 25 d0 5f "
	  "82 aa 1b 36 e3 0e fa f9 7d 90 e6 df fc 60 2d cb 50 1a 59 a8 fc c4 9c 4b f2 e5 f0 a2 "
	  "1c 00 47 c2 ab f3 32 54 0d d0 32 e1 67 c2 95 5d" },
	{ "client close_notify", CLIENT_KEY, CLIENT_IV, 1, ITLS_TYPE_ALERT, "01 00",
	  "17 03 03 00 13 c9 87 27 60 65 56 66 b7 4d 7f f1 15 3e fd 6d b6 d0 b0 e3" },
	{ "server close_notify", SERVER_KEY, SERVER_IV, 2, ITLS_TYPE_ALERT, "01 00",
	  "17 03 03 00 13 b5 8f d6 71 66 eb f5 99 d2 47 20 cf be 7e fa 7a 88 64 a9" },
};

static gnutls_aead_cipher_hd_t aead_open(const char *hex)
{
	gnutls_aead_cipher_hd_t aead;
	u8 key[16];
	gnutls_datum_t datum = { key, unhex(hex, key) };

	if (gnutls_aead_cipher_init(&aead, GNUTLS_CIPHER_AES_128_GCM, &datum))
		abort();
	return aead;
}

static bool vector_seals(const struct vector *v, gnutls_aead_cipher_hd_t aead)
{
	struct itls_record r = tls13(v->iv, v->seq);
	u8 plain[128], want[256], out[256], nonce[ITLS_NONCE_LEN], aad[ITLS_AAD_MAX];
	size_t len = unhex(v->plain, plain), want_len = unhex(v->record, want);
	size_t wire = len + itls_record_suffix_len(&r), room = wire, aad_len;

	itls_record_seal_prefix(&r, v->type, len, out);
	aad_len = itls_record_aad(&r, out[0], len, wire, aad);
	itls_record_nonce(&r, NULL, nonce);
	plain[len] = v->type;
	if (gnutls_aead_cipher_encrypt(aead, nonce, sizeof(nonce), aad, aad_len, ITLS_TAG_LEN,
				       plain, len + 1, out + ITLS_HEADER_LEN, &room))
		return false;
	return want_len == len + itls_record_overhead(&r) && !memcmp(want, out, want_len);
}

static bool vector_opens(const struct vector *v, gnutls_aead_cipher_hd_t aead)
{
	struct itls_record r = tls13(v->iv, v->seq);
	u8 rec[256], want[128], out[256], nonce[ITLS_NONCE_LEN], aad[ITLS_AAD_MAX], type;
	size_t len = unhex(v->record, rec), want_len = unhex(v->plain, want);
	size_t body, room = sizeof(out), aad_len;
	int at;

	if (itls_record_parse(&r, rec, &type, &body) || body != len - ITLS_HEADER_LEN)
		return false;
	aad_len = itls_record_aad(&r, type, 0, body, aad);
	itls_record_nonce(&r, NULL, nonce);
	if (gnutls_aead_cipher_decrypt(aead, nonce, sizeof(nonce), aad, aad_len, ITLS_TAG_LEN,
				       rec + ITLS_HEADER_LEN, body, out, &room))
		return false;
	at = itls_record_inner(out, room, &type);
	return at == (int)want_len && type == v->type && !memcmp(want, out, want_len);
}

static void test_vectors(void)
{
	gnutls_aead_cipher_hd_t aead;
	char name[100];
	size_t i;

	for (i = 0; i < sizeof(vectors) / sizeof(*vectors); i++) {
		aead = aead_open(vectors[i].key);
		snprintf(name, sizeof(name), "RFC 8448 3, %s: sealed byte for byte", vectors[i].name);
		check(vector_seals(&vectors[i], aead), "%s", name);
		snprintf(name, sizeof(name), "RFC 8448 3, %s: opened", vectors[i].name);
		check(vector_opens(&vectors[i], aead), "%s", name);
		gnutls_aead_cipher_deinit(aead);
	}
}

/* ---- header ---- */

static void test_prefix(void)
{
	struct itls_record r12 = tls12("01020304", 5, 0x1122334455667788), r13 = tls13(SERVER_IV, 7);
	u8 out[16], want[16];

	memset(out, 0xee, sizeof(out));
	itls_record_seal_prefix(&r12, ITLS_TYPE_ALERT, 2, out);
	unhex("15 03 03 00 1a 11 22 33 44 55 66 77 88 ee ee ee", want);
	check(!memcmp(want, out, 16), "TLS 1.2 prefix: own type, length with nonce and tag, nonce");

	memset(out, 0xee, sizeof(out));
	itls_record_seal_prefix(&r13, ITLS_TYPE_ALERT, 2, out);
	unhex("17 03 03 00 13 ee ee ee", want);
	check(!memcmp(want, out, 8), "TLS 1.3 prefix: outer type 23, length with type and tag");

	itls_record_seal_prefix(&r12, ITLS_TYPE_DATA, ITLS_PLAIN_MAX, out);
	unhex("17 03 03 40 18", want);
	check(!memcmp(want, out, 5), "TLS 1.2 prefix of the longest record");
	itls_record_seal_prefix(&r13, ITLS_TYPE_DATA, ITLS_PLAIN_MAX, out);
	unhex("17 03 03 40 11", want);
	check(!memcmp(want, out, 5), "TLS 1.3 prefix of the longest record");

	check(itls_record_prefix_len(&r12) == 13 && itls_record_suffix_len(&r12) == 16 &&
	      itls_record_overhead(&r12) == 29, "TLS 1.2 overhead is 29");
	check(itls_record_prefix_len(&r13) == 5 && itls_record_suffix_len(&r13) == 17 &&
	      itls_record_overhead(&r13) == 22, "TLS 1.3 overhead is 22");
}

static const struct {
	const char *name, *header;
	bool tls13;
	int want;
	u8 type;
	size_t body;
} headers[] = {
	{ "data", "17 03 03 00 20", true, 0, 23, 32 },
	{ "data", "17 03 03 00 20", false, 0, 23, 32 },
	{ "alert", "15 03 03 00 1a", false, 0, 21, 26 },
	{ "unknown type", "63 03 03 00 1a", false, 0, 99, 26 },
	{ "least", "17 03 03 00 11", true, 0, 23, 17 },
	{ "less than least", "17 03 03 00 10", true, -EBADMSG, 0, 0 },
	{ "nothing", "17 03 03 00 00", true, -EBADMSG, 0, 0 },
	{ "least", "17 03 03 00 18", false, 0, 23, 24 },
	{ "less than least", "17 03 03 00 17", false, -EBADMSG, 0, 0 },
	{ "nothing", "17 03 03 00 00", false, -EBADMSG, 0, 0 },
	{ "longest", "17 03 03 40 11", true, 0, 23, 16401 },
	{ "more than longest", "17 03 03 40 12", true, -EMSGSIZE, 0, 0 },
	{ "longest", "17 03 03 40 18", false, 0, 23, 16408 },
	{ "more than longest", "17 03 03 40 19", false, -EMSGSIZE, 0, 0 },
	{ "all ones", "17 03 03 ff ff", true, -EMSGSIZE, 0, 0 },
	{ "all ones", "17 03 03 ff ff", false, -EMSGSIZE, 0, 0 },
	{ "version 3.4", "17 03 04 00 20", true, -EINVAL, 0, 0 },
	{ "version 3.1", "17 03 01 00 20", true, -EINVAL, 0, 0 },
	{ "version 3.1", "17 03 01 00 20", false, -EINVAL, 0, 0 },
	{ "version 2.3", "17 02 03 00 20", false, -EINVAL, 0, 0 },
	{ "outer type handshake", "16 03 03 00 20", true, -EINVAL, 0, 0 },
	{ "outer type change_cipher_spec", "14 03 03 00 01", true, -EINVAL, 0, 0 },
	{ "version 3.4, too short", "17 03 04 00 00", false, -EBADMSG, 0, 0 },
	{ "nothing but U", "55 55 55 55 55", false, -EMSGSIZE, 0, 0 },
	{ "nothing but U", "55 55 55 55 55", true, -EMSGSIZE, 0, 0 },
	{ "text", "47 45 54 20 2f", true, -EINVAL, 0, 0 },
	{ "text", "47 45 54 20 2f", false, -EINVAL, 0, 0 },
};

static void test_parse(void)
{
	struct itls_record r12 = tls12("01020304", 0, 0), r13 = tls13(SERVER_IV, 0);
	char name[100];
	u8 header[5];
	size_t i;

	for (i = 0; i < sizeof(headers) / sizeof(*headers); i++) {
		size_t body = 0;
		u8 type = 0;
		int err;

		unhex(headers[i].header, header);
		err = itls_record_parse(headers[i].tls13 ? &r13 : &r12, header, &type, &body);
		snprintf(name, sizeof(name), "TLS 1.%d header: %s", headers[i].tls13 ? 3 : 2,
			 headers[i].name);
		check(err == headers[i].want && type == headers[i].type &&
		      body == headers[i].body, name);
	}
}

/* ---- additional data and nonce ---- */

static void test_aad(void)
{
	struct itls_record r12 = tls12("01020304", 0x0102030405060708, 0), r13 = tls13(SERVER_IV, 9);
	u8 aad[ITLS_AAD_MAX + 1], want[ITLS_AAD_MAX];

	aad[ITLS_AAD_MAX] = 0xee;
	unhex("01 02 03 04 05 06 07 08 15 03 03 00 02", want);
	check(itls_record_aad(&r12, ITLS_TYPE_ALERT, 2, 26, aad) == 13 &&
	      !memcmp(want, aad, 13) && aad[13] == 0xee,
	      "TLS 1.2 additional data: sequence number, type, version, plaintext length");
	unhex("17 03 03 40 11", want);
	check(itls_record_aad(&r13, ITLS_TYPE_DATA, 16384, 16401, aad) == 5 &&
	      !memcmp(want, aad, 5), "TLS 1.3 additional data: the header as it is on the wire");
}

static void test_nonce(void)
{
	struct itls_record r12 = tls12("01020304", 5, 0), r13;
	u8 nonce[ITLS_NONCE_LEN], want[ITLS_NONCE_LEN];

	itls_record_nonce(&r12, (const u8 *)"abcdefgh", nonce);
	unhex("01 02 03 04 61 62 63 64 65 66 67 68", want);
	check(!memcmp(want, nonce, 12), "TLS 1.2 nonce: salt and the record's own part");

	r13 = tls13(SERVER_IV, 0);
	itls_record_nonce(&r13, NULL, nonce);
	unhex(SERVER_IV, want);
	check(!memcmp(want, nonce, 12), "TLS 1.3 nonce at 0 is the IV");
	r13.seq = 0x0102030405060708;
	itls_record_nonce(&r13, NULL, nonce);
	unhex("cf 78 2b 88 dc 81 57 9e a8 f7 ee 8c", want);
	check(!memcmp(want, nonce, 12), "TLS 1.3 nonce: sequence number xored into the last 8 bytes");
}

static void test_sequence(void)
{
	struct itls_record r = tls12("01020304", ~0ULL - 2, 41);
	int n = 0;

	while (!itls_record_is_exhausted(&r) && n < 10) {
		itls_record_advance(&r);
		n++;
	}
	check(n == 2 && r.seq == ~0ULL, "the last sequence number is never used");
	check(r.explicit_nonce == 43, "explicit nonce counts with the records");
}

/* ---- inner type ---- */

static void test_inner(void)
{
	u8 buf[300] = {}, type = 0xee;

	check(itls_record_inner(buf, 0, &type) == -ENOENT && type == 0xee,
	      "inner: nothing has no type");
	check(itls_record_inner(buf, sizeof(buf), &type) == -ENOENT && type == 0xee,
	      "inner: zeroes have no type");
	buf[0] = 23;
	check(itls_record_inner(buf, 1, &type) == 0 && type == 23, "inner: type alone");
	type = 0;
	check(itls_record_inner(buf, sizeof(buf), &type) == 0 && type == 23,
	      "inner: padding after a type alone");
	buf[1] = 21;
	check(itls_record_inner(buf, sizeof(buf), &type) == 1 && type == 21,
	      "inner: content, type, padding");
	check(itls_record_inner(buf, 2, &type) == 1 && type == 21, "inner: no padding");
	buf[299] = 22;
	check(itls_record_inner(buf, sizeof(buf), &type) == 299 && type == 22,
	      "inner: zeroes before the type are content");
}

/* In how many of all ways to cut these messages in two is a KeyUpdate seen only at their end? */
static size_t seen_at_end(const char *hex)
{
	size_t len, cut, n = 0;
	u8 bytes[64];

	len = unhex(hex, bytes);
	for (cut = 0; cut <= len; cut++) {
		struct itls_handshake h = {};

		n += !itls_record_has_key_update(&h, bytes, cut) ==
		     (cut < len) && itls_record_has_key_update(&h, bytes + cut, len - cut) == (cut < len);
	}
	return n;
}

static bool never_seen(const char *hex)
{
	struct itls_handshake h = {};
	u8 bytes[64];
	size_t i, len = unhex(hex, bytes);

	for (i = 0; i < len; i++)
		if (itls_record_has_key_update(&h, bytes + i, 1))
			return false;
	memset(&h, 0, sizeof(h));
	return !itls_record_has_key_update(&h, bytes, len);
}

static void test_key_update(void)
{
	check(seen_at_end("18 00 00 01 00") == 6, "KeyUpdate: cut anywhere");
	check(seen_at_end("18 00 00 00") == 5, "KeyUpdate: without a body");
	check(seen_at_end("04 00 00 03 18 00 00 18 00 00 01 01") == 13, "KeyUpdate: behind a ticket");
	check(never_seen("04 00 00 05 18 00 00 01 00"), "KeyUpdate: inside a ticket is none");
	check(never_seen("18 00 00 02 00"), "KeyUpdate: not yet whole");
	check(never_seen("18 ff ff ff 18 00 00 00"), "KeyUpdate: longer than all");
	check(never_seen("00 00 00 00 00 00 00 00"), "KeyUpdate: HelloRequests are none");
}

/* Lengths taken step by step from messages cut at every byte: header, body, header... */
static bool follows(const char *hex, const char *steps)
{
	size_t i, n, len, all = 0;
	u8 bytes[64];

	len = unhex(hex, bytes);
	for (i = 1; i <= len; i++) {
		struct itls_handshake h = {};

		for (all = 0; all < len; all += n) {
			size_t room = len - all < i ? len - all : i;

			n = itls_record_follow(&h, bytes + all, room);
			if (!n || n > room)
				return false;
			if (itls_record_is_whole(&h) != (steps[all + n - 1] == '.'))
				return false;
			if (itls_record_is_whole(&h))
				h.have = 0;
		}
	}
	return all == len;
}

static void test_follow(void)
{
	check(follows("18 00 00 01 00", "    ."), "handshake: one message");
	check(follows("00 00 00 00 04 00 00 02 aa bb 18 00 00 00", "   .     .   ."),
	      "handshake: bodies of 0, 2 and 0 bytes");
	check(follows("01 01 00 00 01 02", "      "), "handshake: a body that has not come");
}

static bool label_is(u16 len, const char *label, const char *hex)
{
	u8 want[64], got[ITLS_HKDF_MAX];
	size_t n = unhex(hex, want);

	return itls_record_label(len, label, got) == n && !memcmp(want, got, n);
}

/* The info strings of RFC 8448 section 3, each with the block number of RFC 5869 behind. */
static void test_label(void)
{
	check(label_is(16, ITLS_LABEL_KEY, "00 10 09 74 6c 73 31 33 20 6b 65 79 00 01"), "label: key");
	check(label_is(12, ITLS_LABEL_IV, "00 0c 08 74 6c 73 31 33 20 69 76 00 01"), "label: iv");
	check(label_is(48, ITLS_LABEL_UPDATE,
		       "00 30 11 74 6c 73 31 33 20 74 72 61 66 66 69 63 20 75 70 64 00 01"),
	      "label: traffic upd, the longest");
	check(sizeof(ITLS_LABEL_UPDATE) - 1 == ITLS_LABEL_MAX, "label: none is longer");
}

int main(void)
{
	printf("TAP version 13\n");
	test_vectors();
	test_prefix();
	test_parse();
	test_aad();
	test_nonce();
	test_sequence();
	test_inner();
	test_key_update();
	test_follow();
	test_label();
	return tap_end();
}
