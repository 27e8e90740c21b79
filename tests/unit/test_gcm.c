// SPDX-License-Identifier: GPL-2.0
/*
 * AES-GCM with keys cut as <linux/tls.h> cuts them: published vectors whose
 * nonce goes through kernel/record.c as salt and explicit part, and whole
 * records of a real GnuTLS session, TLS 1.2 and 1.3, opened and sealed by
 * the rules of kernel/record.c with the keys the session tells.
 */
#define _GNU_SOURCE 1
#include <linux/tls.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include "hex.h"
#include "record.h"
#include "tap.h"

/* ---- vectors: McGrew and Viega, "The Galois/Counter Mode of Operation", appendix B ---- */

#define KEY "feffe9928665731c6d6a8f9467308308"
#define PLAIN "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72 " \
	      "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
#define AAD "feedfacedeadbeeffeedfacedeadbeefabaddad2"

static const struct vector {
	const char *name, *key, *nonce, *plain, *aad, *cipher, *tag;
} vectors[] = {
	{ "case 1", "00000000000000000000000000000000", "000000000000000000000000", "", "", "",
	  "58e2fccefa7e3061367f1d57a4e7455a" },
	{ "case 2", "00000000000000000000000000000000", "000000000000000000000000",
	  "00000000000000000000000000000000", "", "0388dace60b6a392f328c2b971b2fe78",
	  "ab6e47d42cec13bdf53a67b21257bddf" },
	{ "case 3", KEY, "cafebabefacedbaddecaf888", PLAIN "1aafd255", "",
	  "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e "
	  "21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091473f5985",
	  "4d5c2af327cd64a62cf35abd2ba6fab4" },
	{ "case 4", KEY, "cafebabefacedbaddecaf888", PLAIN, AAD,
	  "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e "
	  "21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091",
	  "5bc94fbc3221a5db94fae95ae7121a47" },
	{ "case 13", "0000000000000000000000000000000000000000000000000000000000000000",
	  "000000000000000000000000", "", "", "", "530f8afbc74536b9a963b4f1c4cb738b" },
	{ "case 14", "0000000000000000000000000000000000000000000000000000000000000000",
	  "000000000000000000000000", "00000000000000000000000000000000", "",
	  "cea7403d4d606b6e074ec5d3baf39d18", "d0d1c8a799996bf0265b98b5d48ab919" },
	{ "case 16", KEY KEY, "cafebabefacedbaddecaf888", PLAIN, AAD,
	  "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa "
	  "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662",
	  "76fc6ece0f4e1768cddf8853bb2d551b" },
};

static gnutls_aead_cipher_hd_t aead_open(const u8 *key, size_t len)
{
	gnutls_datum_t datum = { (u8 *)key, len };
	gnutls_aead_cipher_hd_t aead;

	if (gnutls_aead_cipher_init(&aead, len == TLS_CIPHER_AES_GCM_256_KEY_SIZE ?
				    GNUTLS_CIPHER_AES_256_GCM : GNUTLS_CIPHER_AES_128_GCM, &datum))
		abort();
	return aead;
}

static bool vector_holds(const struct vector *v)
{
	struct itls_record r = { .version = ITLS_VERSION_12,
				 .explicit_len = TLS_CIPHER_AES_GCM_128_IV_SIZE };
	u8 key[32], iv[12], plain[64], aad[32], want[96], out[96], nonce[ITLS_NONCE_LEN];
	size_t plain_len = unhex(v->plain, plain), aad_len = unhex(v->aad, aad);
	size_t want_len = unhex(v->cipher, want), room = sizeof(out);
	gnutls_aead_cipher_hd_t aead = aead_open(key, unhex(v->key, key));
	bool good;

	unhex(v->nonce, iv);
	memcpy(r.iv, iv, TLS_CIPHER_AES_GCM_128_SALT_SIZE);
	itls_record_nonce(&r, iv + TLS_CIPHER_AES_GCM_128_SALT_SIZE, nonce);
	want_len += unhex(v->tag, want + want_len);
	good = !gnutls_aead_cipher_encrypt(aead, nonce, sizeof(nonce), aad, aad_len,
					   TLS_CIPHER_AES_GCM_128_TAG_SIZE, plain, plain_len,
					   out, &room) &&
	       room == want_len && !memcmp(want, out, want_len);
	gnutls_aead_cipher_deinit(aead);
	return good;
}

static void test_vectors(void)
{
	char name[64];
	size_t i;

	for (i = 0; i < sizeof(vectors) / sizeof(*vectors); i++) {
		snprintf(name, sizeof(name), "AES-%zu-GCM, McGrew and Viega %s",
			 strlen(vectors[i].key) * 4, vectors[i].name);
		check(vector_holds(&vectors[i]), "%s", name);
	}
}

static void test_sizes(void)
{
	struct tls12_crypto_info_aes_gcm_128 a;
	struct tls12_crypto_info_aes_gcm_256 b;

	check(sizeof(a.key) == 16 && sizeof(b.key) == 32, "key sizes");
	check(sizeof(a.salt) + sizeof(a.iv) == ITLS_NONCE_LEN &&
	      sizeof(b.salt) + sizeof(b.iv) == ITLS_NONCE_LEN, "salt and IV make a nonce");
	check(sizeof(a.iv) == ITLS_EXPLICIT_MAX && sizeof(a.rec_seq) == 8 &&
	      sizeof(b.rec_seq) == 8, "explicit nonce and sequence number are 8 bytes");
	check(sizeof((u8[TLS_CIPHER_AES_GCM_128_TAG_SIZE]) { 0 }) == ITLS_TAG_LEN &&
	      sizeof((u8[TLS_CIPHER_AES_GCM_256_TAG_SIZE]) { 0 }) == ITLS_TAG_LEN, "tag size");
}

/* ---- records of a real session ---- */

struct session {
	gnutls_session_t tls;
	int fd;			/* our end; the other is the peer's */
};

/* A certificate of its own for this run; the client does not look at it. */
static gnutls_certificate_credentials_t make_certificate(void)
{
	gnutls_certificate_credentials_t cred;
	gnutls_x509_privkey_t key;
	gnutls_x509_crt_t crt;

	if (gnutls_x509_privkey_init(&key) || gnutls_x509_crt_init(&crt) ||
	    gnutls_x509_privkey_generate(key, GNUTLS_PK_ECDSA,
					 GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0) ||
	    gnutls_x509_crt_set_version(crt, 3) || gnutls_x509_crt_set_serial(crt, "\1", 1) ||
	    gnutls_x509_crt_set_dn(crt, "CN=test", NULL) || gnutls_x509_crt_set_key(crt, key) ||
	    gnutls_x509_crt_set_activation_time(crt, 0) ||
	    gnutls_x509_crt_set_expiration_time(crt, 0xffffffff) ||
	    gnutls_x509_crt_sign2(crt, crt, key, GNUTLS_DIG_SHA256, 0) ||
	    gnutls_certificate_allocate_credentials(&cred) ||
	    gnutls_certificate_set_x509_key(cred, &crt, 1, key) < 0)
		abort();
	gnutls_x509_crt_deinit(crt);
	gnutls_x509_privkey_deinit(key);
	return cred;
}

static void session_open(struct session *s, bool server, int fd, const char *priority)
{
	static gnutls_certificate_credentials_t cred;

	if (!cred)
		cred = make_certificate();
	if (gnutls_init(&s->tls, (server ? GNUTLS_SERVER : GNUTLS_CLIENT) | GNUTLS_NO_TICKETS) ||
	    gnutls_priority_set_direct(s->tls, priority, NULL) ||
	    gnutls_credentials_set(s->tls, GNUTLS_CRD_CERTIFICATE, cred))
		abort();
	s->fd = fd;
	gnutls_transport_set_int(s->tls, fd);
}

static void *shake(void *arg)
{
	struct session *s = arg;
	int err;

	do
		err = gnutls_handshake(s->tls);
	while (err < 0 && !gnutls_error_is_fatal(err));
	return (void *)(intptr_t)err;
}

/* What kernel and daemon make of gnutls_record_get_state(). */
static gnutls_aead_cipher_hd_t direction(const struct session *s, bool reading,
					 struct itls_record *r)
{
	gnutls_datum_t mac, iv, key;
	u8 seq[8];
	int i;

	if (gnutls_record_get_state(s->tls, reading, &mac, &iv, &key, seq))
		abort();
	memset(r, 0, sizeof(*r));
	r->version = gnutls_protocol_get_version(s->tls) == GNUTLS_TLS1_3 ? ITLS_VERSION_13 :
									    ITLS_VERSION_12;
	for (i = 0; i < 8; i++)
		r->seq = r->seq << 8 | seq[i];
	r->explicit_nonce = r->seq;
	if (!itls_record_is_13(r))
		r->explicit_len = ITLS_EXPLICIT_MAX;
	memcpy(r->iv, iv.data, r->explicit_len ? TLS_CIPHER_AES_GCM_128_SALT_SIZE : ITLS_NONCE_LEN);
	return aead_open(key.data, key.size);
}

static bool read_all(int fd, u8 *buf, size_t len)
{
	return recv(fd, buf, len, MSG_WAITALL) == (ssize_t)len;
}

/* One record that GnuTLS wrote, read from the wire and opened. */
static bool opens(int fd, struct itls_record *r, gnutls_aead_cipher_hd_t aead, const char *want)
{
	u8 rec[512], out[512], nonce[ITLS_NONCE_LEN], aad[ITLS_AAD_MAX], type;
	size_t body, skip = itls_record_prefix_len(r), room = sizeof(out), aad_len, len;

	if (!read_all(fd, rec, ITLS_HEADER_LEN) || itls_record_parse(r, rec, &type, &body) ||
	    !read_all(fd, rec + ITLS_HEADER_LEN, body))
		return false;
	len = body - r->explicit_len - ITLS_TAG_LEN;
	aad_len = itls_record_aad(r, type, len, body, aad);
	itls_record_nonce(r, rec + ITLS_HEADER_LEN, nonce);
	if (gnutls_aead_cipher_decrypt(aead, nonce, sizeof(nonce), aad, aad_len, ITLS_TAG_LEN,
				       rec + skip, body - r->explicit_len, out, &room))
		return false;
	itls_record_advance(r);
	if (itls_record_is_13(r))
		room = itls_record_inner(out, room, &type);
	return type == ITLS_TYPE_DATA && room == strlen(want) && !memcmp(want, out, room);
}

static size_t seal(struct itls_record *r, gnutls_aead_cipher_hd_t aead, const char *text, u8 *out)
{
	u8 plain[256], nonce[ITLS_NONCE_LEN], aad[ITLS_AAD_MAX];
	size_t len = strlen(text), skip = itls_record_prefix_len(r), inner = len, aad_len;
	size_t room = len + itls_record_suffix_len(r);

	memcpy(plain, text, len);
	if (itls_record_is_13(r))
		plain[inner++] = ITLS_TYPE_DATA;
	itls_record_seal_prefix(r, ITLS_TYPE_DATA, len, out);
	aad_len = itls_record_aad(r, out[0], len, skip - ITLS_HEADER_LEN + room, aad);
	itls_record_nonce(r, out + ITLS_HEADER_LEN, nonce);
	if (gnutls_aead_cipher_encrypt(aead, nonce, sizeof(nonce), aad, aad_len, ITLS_TAG_LEN,
				       plain, inner, out + skip, &room))
		abort();
	itls_record_advance(r);
	return skip + room;
}

static bool both_ways(struct session *client, struct session *server)
{
	gnutls_aead_cipher_hd_t tx, rx;
	struct itls_record r_tx, r_rx;
	bool good = true;
	char text[64];
	u8 rec[512];
	size_t len;
	int i;

	rx = direction(server, true, &r_rx);
	tx = direction(server, false, &r_tx);
	for (i = 0; i < 3 && good; i++) {
		snprintf(text, sizeof(text), "question %d", i);
		good = gnutls_record_send(client->tls, text, strlen(text)) > 0 &&
		       opens(server->fd, &r_rx, rx, text);
		len = seal(&r_tx, tx, "an answer", rec);
		good = good && send(server->fd, rec, len, 0) == (ssize_t)len &&
		       gnutls_record_recv(client->tls, text, sizeof(text)) == 9 &&
		       !memcmp("an answer", text, 9);
	}
	gnutls_aead_cipher_deinit(rx);
	gnutls_aead_cipher_deinit(tx);
	return good;
}

static bool session_agrees(const char *priority)
{
	struct session client, server;
	pthread_t thread;
	bool good;
	void *err;
	int fd[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, fd))
		abort();
	session_open(&client, false, fd[0], priority);
	session_open(&server, true, fd[1], priority);
	if (pthread_create(&thread, NULL, shake, &client))
		abort();
	good = !shake(&server);
	if (!good)
		shutdown(fd[1], SHUT_RDWR);
	pthread_join(thread, &err);
	good = good && !err && both_ways(&client, &server);
	gnutls_deinit(client.tls);
	gnutls_deinit(server.tls);
	close(fd[0]);
	close(fd[1]);
	return good;
}

static void test_sessions(void)
{
	static const struct {
		const char *name, *priority;
	} sessions[] = {
#define PRIORITY(version, cipher) \
	"NORMAL:-VERS-ALL:+VERS-TLS" version ":-CIPHER-ALL:+" cipher
		{ "TLS 1.2, AES-128-GCM", PRIORITY("1.2", "AES-128-GCM") },
		{ "TLS 1.2, AES-256-GCM", PRIORITY("1.2", "AES-256-GCM") },
		{ "TLS 1.3, AES-128-GCM", PRIORITY("1.3", "AES-128-GCM") },
		{ "TLS 1.3, AES-256-GCM", PRIORITY("1.3", "AES-256-GCM") },
	};
	char name[100];
	size_t i;

	for (i = 0; i < sizeof(sessions) / sizeof(*sessions); i++) {
		snprintf(name, sizeof(name), "records of a GnuTLS session, both ways: %s",
			 sessions[i].name);
		check(session_agrees(sessions[i].priority), "%s", name);
	}
}

int main(void)
{
	alarm(60);
	printf("TAP version 13\n");
	test_sizes();
	test_vectors();
	test_sessions();
	return tap_end();
}
