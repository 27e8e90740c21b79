// SPDX-License-Identifier: GPL-2.0
/*
 * kTLS ABI: every cipher suite and version against in-tree kTLS, which speaks
 * from the other end of the connection, in both directions; and against bytes
 * changed on the way.
 */
#define _GNU_SOURCE
#include <endian.h>
#include <pthread.h>

#include "ulp.h"

/* <linux/tls.h> of Debian 12 knows all of them but orders their members differently. */
#define SUITE(cipher, st) {						\
	TLS_CIPHER_##cipher, sizeof(struct tls12_crypto_info_##st),	\
	offsetof(struct tls12_crypto_info_##st, rec_seq),		\
}

static const struct suite {
	uint16_t type;
	size_t size, rec_seq;
} suites[] = {
	SUITE(AES_GCM_128, aes_gcm_128),
	SUITE(AES_GCM_256, aes_gcm_256),
	SUITE(AES_CCM_128, aes_ccm_128),
	SUITE(CHACHA20_POLY1305, chacha20_poly1305),
	SUITE(SM4_GCM, sm4_gcm),
	SUITE(SM4_CCM, sm4_ccm),
	SUITE(ARIA_GCM_128, aria_gcm_128),
	SUITE(ARIA_GCM_256, aria_gcm_256),
};

union suite_info {
	struct tls_crypto_info info;
	uint8_t raw[128];
};

FIXTURE(suite) {
	const struct suite *suite;
	union suite_info info;
	int itls, other;
};

FIXTURE_VARIANT(suite) {
	uint16_t version;
	uint16_t cipher;
};

#define SUITE_VARIANT(name, v, type)						\
	FIXTURE_VARIANT_ADD(suite, name) {					\
		.version = TLS_1_##v##_VERSION, .cipher = TLS_CIPHER_##type,	\
	}

SUITE_VARIANT(tls12_aes_gcm_128, 2, AES_GCM_128);
SUITE_VARIANT(tls13_aes_gcm_128, 3, AES_GCM_128);
SUITE_VARIANT(tls12_aes_gcm_256, 2, AES_GCM_256);
SUITE_VARIANT(tls13_aes_gcm_256, 3, AES_GCM_256);
SUITE_VARIANT(tls12_aes_ccm_128, 2, AES_CCM_128);
SUITE_VARIANT(tls13_aes_ccm_128, 3, AES_CCM_128);
SUITE_VARIANT(tls12_chacha20, 2, CHACHA20_POLY1305);
SUITE_VARIANT(tls13_chacha20, 3, CHACHA20_POLY1305);
SUITE_VARIANT(tls12_sm4_gcm, 2, SM4_GCM);
SUITE_VARIANT(tls13_sm4_gcm, 3, SM4_GCM);
SUITE_VARIANT(tls12_sm4_ccm, 2, SM4_CCM);
SUITE_VARIANT(tls13_sm4_ccm, 3, SM4_CCM);
SUITE_VARIANT(tls12_aria_gcm_128, 2, ARIA_GCM_128);
SUITE_VARIANT(tls13_aria_gcm_128, 3, ARIA_GCM_128);
SUITE_VARIANT(tls12_aria_gcm_256, 2, ARIA_GCM_256);
SUITE_VARIANT(tls13_aria_gcm_256, 3, ARIA_GCM_256);

static void info_make(union suite_info *info, const struct suite *suite, uint16_t version,
		      uint8_t seed)
{
	uint64_t seq = htobe64(seed);
	size_t i;

	for (i = 0; i < suite->size; i++)
		info->raw[i] = seed * 37 + i * 11;
	info->info.version = version;
	info->info.cipher_type = suite->type;
	memcpy(info->raw + suite->rec_seq, &seq, sizeof(seq));
}

static int suite_set(struct suite_data *self, int fd, int opt)
{
	return setsockopt(fd, SOL_TLS, opt, &self->info, self->suite->size);
}

FIXTURE_SETUP(suite)
{
	int fd[2];
	size_t i;

	for (i = 0; i < sizeof(suites) / sizeof(*suites); i++)
		if (suites[i].type == variant->cipher)
			self->suite = &suites[i];
	info_make(&self->info, self->suite, variant->version, 3);
	sock_pair(AF_INET, fd);
	self->itls = fd[0];
	self->other = fd[1];
	ulp_require(self->itls);
}

FIXTURE_TEARDOWN(suite)
{
	close(self->itls);
	close(self->other);
}

/* ARIA has no code point in TLS 1.3, and a kernel need not have every cipher. */
static bool suite_is_known(struct suite_data *self, const struct suite_variant *variant, int opt)
{
	bool aria = variant->cipher == TLS_CIPHER_ARIA_GCM_128 ||
		    variant->cipher == TLS_CIPHER_ARIA_GCM_256;

	if (aria && variant->version == TLS_1_3_VERSION) {
		EXPECT_ERRNO(EINVAL, suite_set(self, self->itls, opt));
		return false;
	}
	if (!suite_set(self, self->itls, opt))
		return true;
	ASSERT_EQ(ENOENT, errno);
	SKIP("the kernel's crypto has no such cipher: ENOENT");
}

static void intree_require(struct suite_data *self, int opt)
{
	if (setsockopt(self->other, IPPROTO_TCP, TCP_ULP, "tls", 3)) {
		ASSERT_EQ(ENOENT, errno);
		SKIP("there is no in-tree kTLS");
	}
	ASSERT_EQ(0, suite_set(self, self->other, opt));
}

static const size_t sizes[] = { 1, 15, 16, 17, 4096, 16383, 16384, 16385, 100000 };

struct flow {
	int fd;
};

static void *send_sizes(void *arg)
{
	struct flow *flow = arg;
	size_t i;

	for (i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		uint8_t *data = alloc_pattern(sizes[i], i), *room = malloc(sizes[i] + 3);
		/* Long ones from 1, 2, 3 and 0 bytes behind where allocators put them. */
		uint8_t *start = room + i % 4;

		ASSERT_TRUE(room);
		memcpy(start, data, sizes[i]);
		sock_send_all(flow->fd, start, sizes[i]);
		ASSERT_EQ(2, send_typed(flow->fd, "cc", 2, 99, 0));
		free(data);
		free(room);
	}
	return NULL;
}

static void flows(int from, int to)
{
	struct flow flow = { .fd = from };
	uint8_t buf[4], type, *data, *got;
	pthread_t thread;
	size_t i;

	ASSERT_EQ(0, pthread_create(&thread, NULL, send_sizes, &flow));
	for (i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		data = alloc_pattern(sizes[i], i);
		got = malloc(sizes[i]);
		ASSERT_TRUE(got);
		sock_recv_all(to, got, sizes[i]);
		ASSERT_MEMEQ(data, got, sizes[i]);
		ASSERT_EQ(2, recv_typed(to, buf, sizeof(buf), &type, 0));
		EXPECT_EQ(99, type);
		EXPECT_MEMEQ("cc", buf, 2);
		free(data);
		free(got);
	}
	ASSERT_EQ(0, pthread_join(thread, NULL));
}

TEST_F(suite, to_intree)
{
	if (!suite_is_known(self, variant, TLS_TX))
		return;
	intree_require(self, TLS_RX);
	flows(self->itls, self->other);
}

TEST_F(suite, from_intree)
{
	if (!suite_is_known(self, variant, TLS_RX))
		return;
	intree_require(self, TLS_TX);
	flows(self->other, self->itls);
}

TEST_F(suite, key_reads_back)
{
	union suite_info seen = {};
	socklen_t len = self->suite->size;

	if (!suite_is_known(self, variant, TLS_TX))
		return;
	ASSERT_EQ(0, getsockopt(self->itls, SOL_TLS, TLS_TX, &seen, &len));
	EXPECT_EQ(self->suite->size, len);
	EXPECT_MEMEQ(&self->info, &seen, self->suite->size);
}

TEST_F(suite, wrong_length)
{
	EXPECT_ERRNO(EINVAL, setsockopt(self->itls, SOL_TLS, TLS_TX, &self->info,
					self->suite->size - 1));
	EXPECT_ERRNO(EINVAL, setsockopt(self->itls, SOL_TLS, TLS_TX, &self->info,
					self->suite->size + 1));
	if (suite_is_known(self, variant, TLS_TX))
		EXPECT_EQ(1, send(self->itls, "x", 1, 0));
}

/* A record goes through this program's hands, which change one bit at @at. */
static void tamper(struct suite_data *self, size_t at)
{
	uint8_t rec[256];
	int fd[2];
	ssize_t n;

	ASSERT_EQ(20, send(self->itls, "twenty bytes of data", 20, 0));
	n = recv(self->other, rec, sizeof(rec), 0);
	ASSERT_LT(20 + 5 + 16 - 1, n);
	sock_pair(AF_INET, fd);
	ulp_require(fd[0]);
	ASSERT_EQ(0, suite_set(self, fd[0], TLS_RX));
	if (at < (size_t)n)
		rec[at] ^= 4;
	sock_send_all(fd[1], rec, n);
	if (at < (size_t)n) {
		EXPECT_ERRNO(EBADMSG, recv(fd[0], rec, sizeof(rec), 0));
	} else {
		EXPECT_EQ(20, recv(fd[0], rec, sizeof(rec), 0));
		EXPECT_MEMEQ("twenty bytes of data", rec, 20);
	}
	close(fd[0]);
	close(fd[1]);
	/* The sequence number counts on: the next record needs the next key state. */
	ASSERT_EQ(0, close(self->itls));
	ASSERT_EQ(0, close(self->other));
	sock_pair(AF_INET, fd);
	self->itls = fd[0];
	self->other = fd[1];
	ulp_require(self->itls);
	ASSERT_EQ(0, suite_set(self, self->itls, TLS_TX));
}

TEST_F(suite, changed_on_the_way)
{
	if (!suite_is_known(self, variant, TLS_TX))
		return;
	tamper(self, 1000);
	tamper(self, 5);	/* explicit nonce, or the first of the ciphertext */
	tamper(self, 20);
	tamper(self, 40);	/* tag */
}

TEST_F(suite, rekeyed)
{
	union suite_info first = self->info;
	char c;

	if (!suite_is_known(self, variant, TLS_TX))
		return;
	ulp_require(self->other);
	ASSERT_EQ(0, suite_set(self, self->other, TLS_RX));
	flows(self->itls, self->other);
	info_make(&self->info, self->suite, variant->version, 4);
	if (variant->version == TLS_1_2_VERSION) {
		EXPECT_ERRNO(EBUSY, suite_set(self, self->itls, TLS_TX));
		EXPECT_ERRNO(EBUSY, suite_set(self, self->other, TLS_RX));
	} else {
		ASSERT_EQ(0, suite_set(self, self->itls, TLS_TX));
		ASSERT_EQ(0, suite_set(self, self->other, TLS_RX));
	}
	flows(self->itls, self->other);
	if (variant->version == TLS_1_2_VERSION)
		return;
	/* The first key's records are not taken any more. */
	self->info = first;
	ASSERT_EQ(0, suite_set(self, self->itls, TLS_TX));
	ASSERT_EQ(1, send(self->itls, "x", 1, 0));
	EXPECT_ERRNO(EBADMSG, recv(self->other, &c, 1, 0));
}
