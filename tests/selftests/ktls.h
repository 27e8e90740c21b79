/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The fixture of all kTLS ABI tests: self->fd has the ULP and keys in both
 * directions, self->peer is the record peer at the other end.  Variants: each
 * TLS version with each cipher, and with each address family.
 */
#ifndef SELFTEST_KTLS_H
#define SELFTEST_KTLS_H

#include "ulp.h"

FIXTURE(ktls) {
	int fd;
	struct peer peer;
	union peer_info tx, rx;
};

FIXTURE_VARIANT(ktls) {
	uint16_t version;
	uint16_t cipher;
	int family;
};

#define KTLS_VARIANT(name, v, bits, f)					\
	FIXTURE_VARIANT_ADD(ktls, name) {				\
		.version = v, .cipher = TLS_CIPHER_AES_GCM_##bits, .family = f, \
	}
KTLS_VARIANT(tls12_128_v4, TLS_1_2_VERSION, 128, AF_INET);
KTLS_VARIANT(tls12_256_v6, TLS_1_2_VERSION, 256, AF_INET6);
KTLS_VARIANT(tls13_128_v6, TLS_1_3_VERSION, 128, AF_INET6);
KTLS_VARIANT(tls13_256_v4, TLS_1_3_VERSION, 256, AF_INET);

FIXTURE_SETUP(ktls)
{
	int fd[2];

	sock_pair(variant->family, fd);
	self->fd = fd[0];
	peer_info_make(&self->tx, variant->version, variant->cipher, 1, 5);
	peer_info_make(&self->rx, variant->version, variant->cipher, 2, 9);
	ulp_require(self->fd);
	ASSERT_EQ(0, key_set(self->fd, TLS_TX, &self->tx));
	ASSERT_EQ(0, key_set(self->fd, TLS_RX, &self->rx));
	peer_init(&self->peer, fd[1], &self->tx, &self->rx);
}

FIXTURE_TEARDOWN(ktls)
{
	if (self->fd >= 0)
		close(self->fd);
	peer_free(&self->peer);
}

/* Everything the peer sent has reached the socket. */
static inline void arrived(struct ktls_data *self)
{
	sock_wait_received(self->fd, self->peer.sent);
}

static inline void expect_data(struct ktls_data *self, const void *data, size_t len)
{
	recv_expect(self->fd, data, len);
}

static inline void expect_nothing(struct ktls_data *self)
{
	char c;

	EXPECT_ERRNO(EAGAIN, recv(self->fd, &c, 1, MSG_DONTWAIT));
}

/* The next record that the kernel sent. */
static inline void expect_record(struct ktls_data *self, uint8_t type, const void *data, size_t len)
{
	static struct peer_record rec;

	ASSERT_EQ(1, peer_recv(&self->peer, &rec));
	EXPECT_EQ(type, rec.type);
	ASSERT_EQ(len, rec.len);
	EXPECT_MEMEQ(data, rec.data, len);
}

#endif
