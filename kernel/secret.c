// SPDX-License-Identifier: GPL-2.0
/*
 * Traffic secrets and the keys that follow from them (RFC 8446 7.1 to 7.3):
 * beside cipher.c the only file that knows the crypto API, of which it uses
 * hashes.  Process context; a secret is used under the lock of its socket.
 */
#include <crypto/hash.h>
#include <linux/string.h>

#include "itls.h"

/* A whole block of the longest hash, of which the first bytes count. */
struct block {
	u8 bytes[ITLS_SECRET_MAX];
};

static struct crypto_shash *hmac_alloc(const struct itls_cipher_desc *desc)
{
	struct crypto_shash *hmac;

	hmac = crypto_alloc_shash(itls_cipher_hmac(desc), 0, 0);
	if (IS_ERR(hmac))
		return hmac;
	if (crypto_shash_digestsize(hmac) == itls_cipher_secret_len(desc))
		return hmac;
	crypto_free_shash(hmac);
	return ERR_PTR(-ENOENT);
}

/* HKDF-Expand-Label; keys, IVs and secrets are never longer than a block. */
static int expand(struct crypto_shash *hmac, size_t len, const char *label,
		  struct block *out)
{
	u8 info[ITLS_HKDF_MAX];
	size_t info_len = itls_record_label(len, label, info);

	return crypto_shash_tfm_digest(hmac, info, info_len, out->bytes);
}

/* The key and IV of a secret. */
static int derive_key(struct crypto_shash *hmac, const struct itls_secret *s,
		      const struct itls_cipher_desc *desc,
		      struct itls_keyinfo *info)
{
	struct block key, iv;
	int err;

	err = crypto_shash_setkey(hmac, s->bytes, s->len) ?:
	      expand(hmac, itls_cipher_key_len(desc), ITLS_LABEL_KEY, &key) ?:
	      expand(hmac, ITLS_NONCE_LEN, ITLS_LABEL_IV, &iv);
	if (!err)
		itls_cipher_make_key(desc, TLS_1_3_VERSION, key.bytes,
				     iv.bytes, info);
	memzero_explicit(&key, sizeof(key));
	memzero_explicit(&iv, sizeof(iv));
	return err;
}

/**
 * itls_secret_init() - take a traffic secret from userspace
 * @s: set on success; wiped by its owner
 * @bytes: the secret
 * @len: bytes of it
 * @desc: cipher of the connection, which determines the hash
 *
 * Asks the crypto API for the hash: a later change of keys must not find it
 * missing, nor load a module under the socket lock.
 *
 * Return: 0, -EINVAL for a wrong length, or the crypto API's error.
 */
int itls_secret_init(struct itls_secret *s, const u8 *bytes, size_t len,
		     const struct itls_cipher_desc *desc)
{
	struct crypto_shash *hmac;

	if (len != itls_cipher_secret_len(desc) || len > sizeof(s->bytes))
		return -EINVAL;
	hmac = hmac_alloc(desc);
	if (IS_ERR(hmac))
		return PTR_ERR(hmac);
	crypto_free_shash(hmac);
	memcpy(s->bytes, bytes, len);
	s->len = len;
	return 0;
}

/**
 * itls_secret_check() - is this the secret from which a key was made?
 * @s: secret
 * @c: cipher with the key, TLS 1.3
 *
 * Return: 0, -EKEYREJECTED when it is another's, or the crypto API's error.
 */
int itls_secret_check(const struct itls_secret *s, const struct itls_cipher *c)
{
	const struct itls_cipher_desc *desc = itls_cipher_desc(c);
	struct crypto_shash *hmac = hmac_alloc(desc);
	struct itls_keyinfo made;
	int err;

	if (IS_ERR(hmac))
		return PTR_ERR(hmac);
	err = derive_key(hmac, s, desc, &made);
	if (!err && !itls_cipher_is_key(c, &made))
		err = -EKEYREJECTED;
	memzero_explicit(&made, sizeof(made));
	crypto_free_shash(hmac);
	return err;
}

/**
 * itls_secret_next() - derive the next generation of a direction
 * @s: present secret
 * @c: present cipher, TLS 1.3
 * @next: zeroed; on success the next secret, and the cipher it keys with
 *	sequence number 0
 *
 * Changes nothing of @s and @c, so a call that failed can be made again.
 *
 * Return: 0, -ENOMEM, or the crypto API's error.
 */
int itls_secret_next(const struct itls_secret *s, const struct itls_cipher *c,
		     struct itls_generation *next)
{
	const struct itls_cipher_desc *desc = itls_cipher_desc(c);
	struct crypto_shash *hmac = hmac_alloc(desc);
	struct itls_keyinfo key;
	struct block secret;
	int err;

	if (IS_ERR(hmac))
		return PTR_ERR(hmac);
	err = crypto_shash_setkey(hmac, s->bytes, s->len) ?:
	      expand(hmac, s->len, ITLS_LABEL_UPDATE, &secret);
	if (!err) {
		memcpy(next->secret.bytes, secret.bytes, s->len);
		next->secret.len = s->len;
		err = derive_key(hmac, &next->secret, desc, &key) ?:
		      itls_cipher_init(&next->cipher, &key);
	}
	if (err)
		itls_secret_free(next);
	memzero_explicit(&key, sizeof(key));
	memzero_explicit(&secret, sizeof(secret));
	crypto_free_shash(hmac);
	return err;
}

/* The present generation becomes @next, and the old one is wiped. */
void itls_secret_change(struct itls_secret *s, struct itls_cipher *c,
			struct itls_generation *next)
{
	/* In place: a swap would leave the old one on the stack. */
	itls_cipher_free(c);
	*c = next->cipher;
	*s = next->secret;
	memzero_explicit(next, sizeof(*next));
}

/* Wipes a generation that is not wanted (any more). */
void itls_secret_free(struct itls_generation *g)
{
	itls_cipher_free(&g->cipher);
	memzero_explicit(&g->secret, sizeof(g->secret));
}
