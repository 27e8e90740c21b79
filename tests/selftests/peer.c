// SPDX-License-Identifier: GPL-2.0
/* The record peer; see peer.h.  TLS 1.2: RFC 5246 6.2, RFC 5288.  TLS 1.3: RFC 8446 5. */
#define _GNU_SOURCE
#include "peer.h"

#include <endian.h>
#include <poll.h>
#include <sys/socket.h>

#include "harness.h"
#include "sock.h"

#define TAG 16

#define ROW(cipher, algo, st, key_bits, salt_at, mac_algo, hash_len) {	\
	TLS_CIPHER_##cipher, GNUTLS_CIPHER_##algo,			\
	sizeof(struct tls12_crypto_info_##st), key_bits / 8,		\
	offsetof(struct tls12_crypto_info_##st, iv) + salt_at,		\
	offsetof(struct tls12_crypto_info_##st, key),			\
	salt_at ? offsetof(struct tls12_crypto_info_##st, iv) :		\
		  offsetof(struct tls12_crypto_info_##st, salt),	\
	offsetof(struct tls12_crypto_info_##st, rec_seq),		\
	salt_at ? 0 : 8, GNUTLS_MAC_##mac_algo, hash_len,		\
}

/* A ChaCha20 IV has no salt of its own: what goes for that are its first four bytes. */
static const struct {
	uint16_t type;
	gnutls_cipher_algorithm_t algorithm;
	size_t size, key_len;
	size_t iv, key, salt, rec_seq;	/* offsets */
	uint8_t explicit_12;		/* nonce bytes in a TLS 1.2 record */
	gnutls_mac_algorithm_t hash;	/* of the TLS 1.3 suite */
	size_t hash_len;
} ciphers[] = {
	ROW(AES_GCM_128, AES_128_GCM, aes_gcm_128, 128, 0, SHA256, 32),
	ROW(AES_GCM_256, AES_256_GCM, aes_gcm_256, 256, 0, SHA384, 48),
	ROW(CHACHA20_POLY1305, CHACHA20_POLY1305, chacha20_poly1305, 256, 4, SHA256, 32),
};

static int cipher_row(const union peer_info *info)
{
	size_t i;

	for (i = 0; i < sizeof(ciphers) / sizeof(*ciphers); i++)
		if (ciphers[i].type == info->info.cipher_type)
			return i;
	test_fail(__FILE__, __LINE__, "unknown cipher %u", info->info.cipher_type);
	test_abort();
}

size_t peer_info_size(const union peer_info *info)
{
	return ciphers[cipher_row(info)].size;
}

void peer_info_parts(union peer_info *info, uint8_t **salt, uint8_t **iv, uint8_t **rec_seq)
{
	int row = cipher_row(info);
	uint8_t *base = (uint8_t *)info;

	*salt = base + ciphers[row].salt;
	*iv = base + ciphers[row].iv;
	*rec_seq = base + ciphers[row].rec_seq;
}

size_t peer_secret_len(const union peer_info *info)
{
	return info->info.version == TLS_1_3_VERSION ? ciphers[cipher_row(info)].hash_len : 0;
}

/* RFC 8446 7.1: HKDF-Expand-Label() with an empty context. */
static void expand_label(const union peer_info *info, const char *label, void *out, size_t len)
{
	gnutls_datum_t secret = { (void *)info->secret, peer_secret_len(info) };
	uint8_t text[64] = { len >> 8, len };
	gnutls_datum_t what = { text, 0 };

	text[2] = snprintf((char *)text + 3, sizeof(text) - 3, "tls13 %s", label);
	/* A zero is the length of the context. */
	what.size = 3 + text[2] + 1;
	ASSERT_EQ(0, gnutls_hkdf_expand(ciphers[cipher_row(info)].hash, &secret, &what, out, len));
}

/* RFC 8446 7.3. */
static void derive_key(union peer_info *info)
{
	uint8_t *salt, *iv, *rec_seq, whole[12];
	int row = cipher_row(info);

	peer_info_parts(info, &salt, &iv, &rec_seq);
	expand_label(info, "key", (uint8_t *)info + ciphers[row].key, ciphers[row].key_len);
	expand_label(info, "iv", whole, sizeof(whole));
	memcpy(salt, whole, 4);
	memcpy(iv, whole + 4, 8);
}

void peer_info_make(union peer_info *info, uint16_t version, uint16_t cipher, uint8_t seed,
		    uint64_t seq)
{
	uint64_t be = htobe64(seq);
	uint8_t *salt, *iv, *rec_seq;
	size_t i;

	memset(info, 0, sizeof(*info));
	info->info.version = version;
	info->info.cipher_type = cipher;
	for (i = sizeof(info->info); i < peer_info_size(info); i++)
		((uint8_t *)info)[i] = seed * 31 + i * 7;
	for (i = 0; i < peer_secret_len(info); i++)
		info->secret[i] = seed * 29 + i * 11;
	peer_info_parts(info, &salt, &iv, &rec_seq);
	memcpy(rec_seq, &be, sizeof(be));
	if (version == TLS_1_3_VERSION)
		derive_key(info);
	else
		memcpy(iv, &be, ciphers[cipher_row(info)].explicit_12);
}

void peer_info_update(union peer_info *info)
{
	uint8_t *salt, *iv, *rec_seq, next[PEER_SECRET_MAX];

	ASSERT_EQ(TLS_1_3_VERSION, info->info.version);
	expand_label(info, "traffic upd", next, peer_secret_len(info));
	memcpy(info->secret, next, peer_secret_len(info));
	derive_key(info);
	peer_info_parts(info, &salt, &iv, &rec_seq);
	memset(rec_seq, 0, 8);
}

void peer_key_init(struct peer_key *key, const union peer_info *info)
{
	union peer_info copy = *info;
	int row = cipher_row(info);
	uint8_t *salt, *iv, *rec_seq;
	gnutls_datum_t datum;

	peer_info_parts(&copy, &salt, &iv, &rec_seq);
	datum.data = (uint8_t *)&copy + ciphers[row].key;
	datum.size = ciphers[row].key_len;
	ASSERT_EQ(0, gnutls_aead_cipher_init(&key->aead, ciphers[row].algorithm, &datum));
	key->info = *info;
	key->updates = 0;
	key->version = info->info.version;
	key->explicit_len = key->version == TLS_1_2_VERSION ? ciphers[row].explicit_12 : 0;
	memcpy(key->iv, salt, 4);
	memcpy(key->iv + 4, iv, 8);
	memcpy(&key->seq, rec_seq, 8);
	key->seq = be64toh(key->seq);
	memcpy(&key->nonce, iv, 8);
	key->nonce = be64toh(key->nonce);
}

void peer_key_free(struct peer_key *key)
{
	gnutls_aead_cipher_deinit(key->aead);
	memset(key, 0, sizeof(*key));
}

void peer_key_next(struct peer_key *key)
{
	uint32_t updates = key->updates;
	union peer_info next = key->info;

	peer_info_update(&next);
	peer_key_free(key);
	peer_key_init(key, &next);
	key->updates = updates + 1;
}

size_t peer_record_len(const struct peer_key *key, size_t len)
{
	size_t inner = key->version == TLS_1_3_VERSION ? 1 : 0;

	return REC_HEADER + key->explicit_len + len + inner + TAG;
}

static void make_nonce(const struct peer_key *key, uint64_t explicit_nonce, uint8_t nonce[12])
{
	uint64_t be;
	int i;

	memcpy(nonce, key->iv, 12);
	if (key->explicit_len) {
		be = htobe64(explicit_nonce);
		memcpy(nonce + 4, &be, 8);
		return;
	}
	be = htobe64(key->seq);
	for (i = 0; i < 8; i++)
		nonce[4 + i] ^= ((uint8_t *)&be)[i];
}

static size_t make_aad(const struct peer_key *key, const uint8_t *header, size_t plain_len,
		       uint8_t aad[13])
{
	uint64_t be = htobe64(key->seq);

	if (key->version == TLS_1_3_VERSION) {
		memcpy(aad, header, REC_HEADER);
		return REC_HEADER;
	}
	memcpy(aad, &be, 8);
	memcpy(aad + 8, header, 3);
	aad[11] = plain_len >> 8;
	aad[12] = plain_len;
	return 13;
}

size_t peer_seal(struct peer_key *key, uint8_t type, const void *data, size_t len, size_t pad,
		 uint8_t *out)
{
	bool tls13 = key->version == TLS_1_3_VERSION;
	size_t inner = tls13 ? len + 1 + pad : len;
	size_t body = key->explicit_len + inner + TAG;
	uint8_t nonce[12], aad[13];
	uint8_t *plain = calloc(1, inner + 1);
	uint64_t be = htobe64(key->nonce);
	size_t room = inner + TAG;

	ASSERT_TRUE(plain);
	if (len)
		memcpy(plain, data, len);
	if (tls13)
		plain[len] = type;
	out[0] = tls13 ? REC_DATA : type;
	out[1] = 3;
	out[2] = 3;
	out[3] = body >> 8;
	out[4] = body;
	memcpy(out + REC_HEADER, &be, key->explicit_len);
	make_nonce(key, key->nonce, nonce);
	ASSERT_EQ(0, gnutls_aead_cipher_encrypt(key->aead, nonce, sizeof(nonce), aad,
						make_aad(key, out, len, aad), TAG, plain, inner,
						out + REC_HEADER + key->explicit_len, &room));
	key->seq++;
	key->nonce++;
	free(plain);
	return REC_HEADER + body;
}

/* RFC 8446 5.4: the last byte that is not zero is the type. */
static ssize_t strip_padding(const uint8_t *inner, size_t len, uint8_t *type)
{
	while (len && !inner[len - 1])
		len--;
	if (!len)
		return -EBADMSG;
	*type = inner[len - 1];
	return len - 1;
}

ssize_t peer_open(struct peer_key *key, const uint8_t *rec, size_t len, uint8_t *type,
		  uint8_t *out)
{
	size_t skip = REC_HEADER + key->explicit_len;
	uint8_t nonce[12], aad[13];
	uint64_t be = 0;
	size_t plain;

	if (len < skip + TAG || rec[1] != 3 || rec[2] != 3)
		return -EBADMSG;
	if ((size_t)(rec[3] << 8 | rec[4]) != len - REC_HEADER)
		return -EMSGSIZE;
	memcpy(&be, rec + REC_HEADER, key->explicit_len);
	key->nonce = be64toh(be);
	make_nonce(key, key->nonce, nonce);
	plain = len - skip - TAG;
	if (gnutls_aead_cipher_decrypt(key->aead, nonce, sizeof(nonce), aad,
				       make_aad(key, rec, plain, aad), TAG, rec + skip,
				       len - skip, out, &plain))
		return -EBADMSG;
	key->seq++;
	*type = rec[0];
	if (key->version == TLS_1_2_VERSION)
		return plain;
	if (rec[0] != REC_DATA)
		return -EPROTO;
	return strip_padding(out, plain, type);
}

void peer_init(struct peer *peer, int fd, const union peer_info *kernel_tx,
	       const union peer_info *kernel_rx)
{
	*peer = (struct peer){ .fd = fd };
	peer_key_init(&peer->rx, kernel_tx);
	peer_key_init(&peer->tx, kernel_rx);
}

void peer_free(struct peer *peer)
{
	if (peer->rx.aead)
		peer_key_free(&peer->rx);
	if (peer->tx.aead)
		peer_key_free(&peer->tx);
	if (peer->fd >= 0)
		close(peer->fd);
	peer->fd = -1;
}

void peer_send_raw(struct peer *peer, const void *data, size_t len)
{
	sock_send_all(peer->fd, data, len);
	peer->sent += len;
}

void peer_send_padded(struct peer *peer, uint8_t type, const void *data, size_t len, size_t pad)
{
	uint8_t *rec = malloc(REC_SPACE + len + pad);

	ASSERT_TRUE(rec);
	peer_send_raw(peer, rec, peer_seal(&peer->tx, type, data, len, pad, rec));
	free(rec);
}

void peer_send(struct peer *peer, uint8_t type, const void *data, size_t len)
{
	peer_send_padded(peer, type, data, len, 0);
}

void peer_send_data(struct peer *peer, const void *data, size_t len, size_t chunk)
{
	const uint8_t *p = data;
	size_t n;

	for (; len; p += n, len -= n) {
		n = len < chunk ? len : chunk;
		peer_send(peer, REC_DATA, p, n);
	}
}

void peer_alert(struct peer *peer, uint8_t level, uint8_t description)
{
	uint8_t alert[2] = { level, description };

	peer_send(peer, REC_ALERT, alert, sizeof(alert));
}

void peer_update_message(uint8_t request, uint8_t out[UPDATE_LEN])
{
	memcpy(out, (uint8_t []){ 24, 0, 0, 1, request }, UPDATE_LEN);
}

void peer_send_update(struct peer *peer, uint8_t request)
{
	uint8_t message[UPDATE_LEN];

	peer_update_message(request, message);
	peer_send(peer, REC_HANDSHAKE, message, sizeof(message));
	peer_key_next(&peer->tx);
}

int peer_recv(struct peer *peer, struct peer_record *rec)
{
	uint8_t raw[REC_SPACE];
	size_t body;
	ssize_t n;

	ASSERT_NE(0, sock_poll(peer->fd, POLLIN, test_wait_ms()));
	n = recv(peer->fd, raw, 1, 0);
	ASSERT_LE(0, n);
	if (!n)
		return 0;
	sock_recv_all(peer->fd, raw + 1, REC_HEADER - 1);
	body = raw[3] << 8 | raw[4];
	ASSERT_LE(body, REC_MAX + 256);
	sock_recv_all(peer->fd, raw + REC_HEADER, body);
	n = peer_open(&peer->rx, raw, REC_HEADER + body, &rec->type, rec->data);
	ASSERT_LE(0, n);
	ASSERT_LE(n, REC_MAX);
	rec->len = n;
	return 1;
}

bool peer_follow(struct peer *peer, const struct peer_record *rec)
{
	if (peer->rx.version != TLS_1_3_VERSION || rec->type != REC_HANDSHAKE ||
	    rec->len != UPDATE_LEN || memcmp(rec->data, "\x18\0\0\1", 4) || rec->data[4] > 1)
		return false;
	peer_key_next(&peer->rx);
	peer->updates++;
	peer->requests += rec->data[4];
	return true;
}

uint8_t peer_recv_update(struct peer *peer)
{
	struct peer_record rec;

	ASSERT_EQ(1, peer_recv(peer, &rec));
	ASSERT_EQ(REC_HANDSHAKE, rec.type);
	ASSERT_TRUE(peer_follow(peer, &rec));
	return rec.data[4];
}

size_t peer_recv_data(struct peer *peer, uint8_t *out, size_t room)
{
	struct peer_record rec;

	do {
		ASSERT_EQ(1, peer_recv(peer, &rec));
	} while (peer_follow(peer, &rec));
	ASSERT_EQ(REC_DATA, rec.type);
	ASSERT_LE(rec.len, room);
	memcpy(out, rec.data, rec.len);
	return rec.len;
}

int peer_recv_all(struct peer *peer, uint8_t *out, size_t len)
{
	int records = 0;
	size_t n;

	for (; len; out += n, len -= n, records++)
		n = peer_recv_data(peer, out, len);
	return records;
}

static void *drain_run(void *arg)
{
	struct peer_drain *d = arg;
	uint8_t *want = alloc_pattern(d->len, d->offset), *got = malloc(d->len + 1);

	ASSERT_TRUE(got);
	d->records = peer_recv_all(d->peer, got, d->len);
	ASSERT_MEMEQ(want, got, d->len);
	free(want);
	free(got);
	return NULL;
}

void peer_drain_start(struct peer_drain *d, struct peer *peer, size_t len, uint64_t offset)
{
	*d = (struct peer_drain){ .peer = peer, .len = len, .offset = offset };
	ASSERT_EQ(0, pthread_create(&d->thread, NULL, drain_run, d));
}

void peer_drain_join(struct peer_drain *d)
{
	ASSERT_EQ(0, pthread_join(d->thread, NULL));
}

void peer_expect_silence(struct peer *peer, int fd)
{
	/* What fd handed to TCP has been acknowledged, so it is in our queue by now. */
	sock_wait_acked(fd);
	EXPECT_EQ(0, sock_poll(peer->fd, POLLIN, 0));
}
