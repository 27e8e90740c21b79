/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A record layer: what the kernel will do with the keys of a handshake
 * (RFC 8446, 5.2; RFC 5288, 3; RFC 6655, 3; RFC 7905, 2).
 */
#ifndef UNIT_WIRE_H
#define UNIT_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <gnutls/crypto.h>

#include "itlsd/keys.h"

#define WIRE_RECORD_MAX	(5 + 16384 + 256)
#define WIRE_HANDSHAKE	22
#define WIRE_DATA	23

/* One kind of key, as a kernel reads it. */
struct wire_key {
	gnutls_cipher_algorithm_t cipher;
	size_t size;
	const uint8_t *key;
	size_t key_len;
	const uint8_t *salt, *iv, *seq;
	size_t salt_len;
};

struct wire_key wire_key(const union keys *k);
/*
 * In TLS 1.2 a nonce that GnuTLS used before would be one used twice (RFC 5288, 3);
 * ChaCha20 has none of its own in a record, only the sequence number (RFC 7905, 2).
 */
bool wire_nonce_is_sequence(const union keys *k);

struct wire {
	bool tls13;
	gnutls_aead_cipher_hd_t aead;
	uint8_t iv[12];
	size_t explicit;	/* bytes of the nonce in each record */
	uint64_t seq;
};

void wire_open(struct wire *w, const union keys *k);
void wire_close(struct wire *w);

/* Reads one record from @fd; its length or -1. */
ssize_t wire_read(int fd, uint8_t *rec);
/* Opens one record, that has to be of @type; its plaintext length or -1. */
ssize_t wire_unseal(struct wire *w, uint8_t type, const uint8_t *rec, size_t len, uint8_t *plain);
/* Makes one record of application data; its length. */
size_t wire_seal(struct wire *w, const uint8_t *data, size_t len, uint8_t *rec);

#endif
