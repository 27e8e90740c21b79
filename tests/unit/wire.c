// SPDX-License-Identifier: GPL-2.0
/* See wire.h. */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "tap.h"
#include "wire.h"

#define VIEW(_cipher, _part, _salt_len) ((struct wire_key){					\
	GNUTLS_CIPHER_##_cipher, sizeof((_part)), (_part).key, sizeof((_part).key),		\
	(_part).salt, (_part).iv, (_part).rec_seq, _salt_len })

struct wire_key wire_key(const union keys *k)
{
	switch (k->info.cipher_type) {
	case TLS_CIPHER_AES_GCM_128:
		return VIEW(AES_128_GCM, k->aes128, 4);
	case TLS_CIPHER_AES_GCM_256:
		return VIEW(AES_256_GCM, k->aes256, 4);
	case TLS_CIPHER_AES_CCM_128:
		return VIEW(AES_128_CCM, k->ccm128, 4);
	case TLS_CIPHER_CHACHA20_POLY1305:
		return VIEW(CHACHA20_POLY1305, k->chacha, 0);
	}
	must(false, "a cipher the kernel knows");
	return (struct wire_key){ 0 };
}

static uint64_t get64(const uint8_t *at)
{
	uint64_t v = 0;
	int i;

	for (i = 0; i < 8; i++)
		v = v << 8 | at[i];
	return v;
}

static void put64(uint8_t *at, uint64_t v)
{
	int i;

	for (i = 7; i >= 0; i--, v >>= 8)
		at[i] = v;
}

bool wire_nonce_is_sequence(const union keys *k)
{
	struct wire_key view = wire_key(k);

	return get64(view.seq) == 1 && (!view.salt_len || get64(view.iv) == 1);
}

void wire_open(struct wire *w, const union keys *k)
{
	struct wire_key view = wire_key(k);
	gnutls_datum_t key = { (void *)view.key, view.key_len };

	w->tls13 = k->info.version == TLS_1_3_VERSION;
	w->explicit = w->tls13 || !view.salt_len ? 0 : 8;
	memcpy(w->iv, view.salt, view.salt_len);
	memcpy(w->iv + view.salt_len, view.iv, sizeof(w->iv) - view.salt_len);
	w->seq = get64(view.seq);
	must(!gnutls_aead_cipher_init(&w->aead, view.cipher, &key), "aead");
}

void wire_close(struct wire *w)
{
	gnutls_aead_cipher_deinit(w->aead);
}

static void wire_nonce(const struct wire *w, uint8_t *nonce)
{
	uint8_t seq[8];
	int i;

	memcpy(nonce, w->iv, 12);
	put64(seq, w->seq);
	if (w->explicit)
		memcpy(nonce + 4, seq, 8);
	for (i = 0; !w->explicit && i < 8; i++)
		nonce[4 + i] ^= seq[i];
}

static size_t wire_aad(const struct wire *w, const uint8_t *header, size_t plain, uint8_t *aad)
{
	if (w->tls13) {
		memcpy(aad, header, 5);
		return 5;
	}
	put64(aad, w->seq);
	memcpy(aad + 8, header, 3);
	aad[11] = plain >> 8;
	aad[12] = plain;
	return 13;
}

ssize_t wire_read(int fd, uint8_t *rec)
{
	size_t len;

	if (recv(fd, rec, 5, 0) != 5)
		return -1;
	len = rec[3] << 8 | rec[4];
	return len <= WIRE_RECORD_MAX - 5 && recv(fd, rec + 5, len, 0) == (ssize_t)len ? (ssize_t)len + 5 : -1;
}

ssize_t wire_unseal(struct wire *w, uint8_t type, const uint8_t *rec, size_t len, uint8_t *plain)
{
	size_t before = 5 + w->explicit, out = WIRE_RECORD_MAX, aad_len;
	uint8_t nonce[12], aad[13];

	if (len < before + 16)
		return -1;
	wire_nonce(w, nonce);
	if (w->explicit)
		memcpy(nonce + 4, rec + 5, 8);
	aad_len = wire_aad(w, rec, len - before - 16, aad);
	if (gnutls_aead_cipher_decrypt(w->aead, nonce, 12, aad, aad_len, 16, rec + before, len - before, plain,
				       &out))
		return -1;
	w->seq++;
	if ((w->tls13 ? plain[--out] : rec[0]) != type)
		return -1;
	return out;
}

size_t wire_seal(struct wire *w, const uint8_t *data, size_t len, uint8_t *rec)
{
	size_t plain = len + w->tls13, out = WIRE_RECORD_MAX, total = w->explicit + plain + 16, aad_len;
	uint8_t inner[16385], nonce[12], aad[13];

	memcpy(inner, data, len);
	if (w->tls13)
		inner[len] = WIRE_DATA;
	memcpy(rec, (uint8_t[]){ WIRE_DATA, 3, 3, total >> 8, total }, 5);
	wire_nonce(w, nonce);
	memcpy(rec + 5, nonce + 4, w->explicit);
	aad_len = wire_aad(w, rec, plain, aad);
	must(!gnutls_aead_cipher_encrypt(w->aead, nonce, 12, aad, aad_len, 16, inner, plain,
					 rec + 5 + w->explicit, &out), "seal");
	w->seq++;
	return 5 + total;
}
