// SPDX-License-Identifier: GPL-2.0
/*
 * From GnuTLS's record state to the structures of <linux/tls.h>.
 *
 * TLS 1.3 (RFC 8446, 5.3): the 12-byte write IV is split into salt and iv.
 * TLS 1.2 (RFC 5288, 3): the 4-byte write IV is the salt, and iv is the
 * explicit nonce of the next record.  GnuTLS uses the sequence number for it,
 * so going on with the sequence number repeats none.
 */
#include <errno.h>
#include <string.h>

#include <gnutls/gnutls.h>

#include "keys.h"

#define KEYS_NONCE 8

/* Where the parts of one kernel structure are. */
struct keys_layout {
	__u16 type;
	size_t size;
	size_t key_len;
	unsigned char *iv, *key, *salt, *seq;
};

static int keys_layout(gnutls_session_t session, union keys *k, struct keys_layout *layout)
{
	switch (gnutls_cipher_get(session)) {
	case GNUTLS_CIPHER_AES_128_GCM:
		*layout = (struct keys_layout){
			TLS_CIPHER_AES_GCM_128, sizeof(k->aes128), sizeof(k->aes128.key),
			k->aes128.iv, k->aes128.key, k->aes128.salt, k->aes128.rec_seq,
		};
		return 0;
	case GNUTLS_CIPHER_AES_256_GCM:
		*layout = (struct keys_layout){
			TLS_CIPHER_AES_GCM_256, sizeof(k->aes256), sizeof(k->aes256.key),
			k->aes256.iv, k->aes256.key, k->aes256.salt, k->aes256.rec_seq,
		};
		return 0;
	default:
		return -EOPNOTSUPP;
	}
}

int keys_export(gnutls_session_t session, bool read, union keys *k)
{
	bool tls13 = gnutls_protocol_get_version(session) == GNUTLS_TLS1_3;
	unsigned char seq[KEYS_NONCE];
	struct keys_layout layout;
	gnutls_datum_t iv, key;

	memset(k, 0, sizeof(*k));
	if (!tls13 && gnutls_protocol_get_version(session) != GNUTLS_TLS1_2)
		return -EOPNOTSUPP;
	if (keys_layout(session, k, &layout))
		return -EOPNOTSUPP;
	if (gnutls_record_get_state(session, read, NULL, &iv, &key, seq) < 0)
		return -EIO;
	if (key.size != layout.key_len || iv.size != (tls13 ? 12 : 4))
		return -EIO;
	k->info.version = tls13 ? TLS_1_3_VERSION : TLS_1_2_VERSION;
	k->info.cipher_type = layout.type;
	memcpy(layout.key, key.data, key.size);
	memcpy(layout.salt, iv.data, 4);
	memcpy(layout.iv, tls13 ? iv.data + 4 : seq, KEYS_NONCE);
	memcpy(layout.seq, seq, sizeof(seq));
	return layout.size;
}
