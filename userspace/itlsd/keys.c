// SPDX-License-Identifier: GPL-2.0
/*
 * From GnuTLS's record state to the structures of <linux/tls.h>.  One row a
 * suite; the ones that are not here are not negotiated.
 *
 * TLS 1.3 (RFC 8446, 5.3) and ChaCha20 in TLS 1.2 (RFC 7905, 2): the write IV
 * has 12 bytes, cut into salt and iv where the kernel wants a salt.
 * Otherwise in TLS 1.2 (RFC 5288, 3; RFC 6655, 3): the 4-byte write IV is the
 * salt, and iv is the explicit nonce of the next record.  GnuTLS uses the
 * sequence number for it, so going on with the sequence number repeats none.
 */
#include <errno.h>
#include <string.h>

#include <gnutls/gnutls.h>

#include "keys.h"

#define KEYS_NONCE	12
#define KEYS_SEQ	8

/* Where the parts of one kernel structure are. */
struct keys_row {
	unsigned int cipher;	/* GnuTLS's number */
	uint16_t type;		/* the kernel's */
	size_t size;
	size_t key_at, key_len;
	size_t iv_at, iv_len;
	size_t salt_at, salt_len;
	size_t seq_at;
};

#define SIZE_OF(_info, _part) sizeof(((struct tls12_crypto_info_##_info *)0)->_part)
#define PLACE_OF(_info, _part) offsetof(struct tls12_crypto_info_##_info, _part)

#define ROW(_cipher, _type, _info) {						\
	GNUTLS_CIPHER_##_cipher, TLS_CIPHER_##_type,				\
	sizeof(struct tls12_crypto_info_##_info),				\
	PLACE_OF(_info, key), SIZE_OF(_info, key),				\
	PLACE_OF(_info, iv), SIZE_OF(_info, iv),				\
	PLACE_OF(_info, salt), SIZE_OF(_info, salt),				\
	PLACE_OF(_info, rec_seq),						\
}

static const struct keys_row rows[] = {
	ROW(AES_128_GCM, AES_GCM_128, aes_gcm_128),
	ROW(AES_256_GCM, AES_GCM_256, aes_gcm_256),
	ROW(CHACHA20_POLY1305, CHACHA20_POLY1305, chacha20_poly1305),
	ROW(AES_128_CCM, AES_CCM_128, aes_ccm_128),
};

_Static_assert(sizeof(rows) / sizeof(rows[0]) == KEYS_CIPHERS, "as the header says");

static const struct keys_row *row_find(unsigned int cipher)
{
	size_t i;

	for (i = 0; i < KEYS_CIPHERS; i++)
		if (rows[i].cipher == cipher)
			return &rows[i];
	return NULL;
}

unsigned int keys_cipher(size_t index, uint16_t *type)
{
	*type = rows[index].type;
	return rows[index].cipher;
}

/* Fills salt and iv from the write IV and, where that is short, the sequence number. */
static int put_nonce(const struct keys_row *row, unsigned char *out, const gnutls_datum_t *iv,
		     const unsigned char *seq, bool tls13)
{
	bool explicit = !tls13 && row->salt_len;

	if (iv->size != (explicit ? row->salt_len : KEYS_NONCE))
		return -EIO;
	memcpy(out + row->salt_at, iv->data, row->salt_len);
	memcpy(out + row->iv_at, explicit ? seq : iv->data + row->salt_len, row->iv_len);
	return 0;
}

int keys_export(gnutls_session_t session, bool read, union keys *k)
{
	bool tls13 = gnutls_protocol_get_version(session) == GNUTLS_TLS1_3;
	const struct keys_row *row = row_find(gnutls_cipher_get(session));
	unsigned char *out = (unsigned char *)k;
	unsigned char seq[KEYS_SEQ];
	gnutls_datum_t iv, key;

	memset(k, 0, sizeof(*k));
	if (!row || (!tls13 && gnutls_protocol_get_version(session) != GNUTLS_TLS1_2))
		return -EOPNOTSUPP;
	if (gnutls_record_get_state(session, read, NULL, &iv, &key, seq) < 0)
		return -EIO;
	if (key.size != row->key_len || put_nonce(row, out, &iv, seq, tls13))
		return -EIO;
	k->info.version = tls13 ? TLS_1_3_VERSION : TLS_1_2_VERSION;
	k->info.cipher_type = row->type;
	memcpy(out + row->key_at, key.data, key.size);
	memcpy(out + row->seq_at, seq, sizeof(seq));
	return row->size;
}
