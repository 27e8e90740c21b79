/* SPDX-License-Identifier: GPL-2.0 */
/* Sockets under the kTLS ABI of which more is asked: to become autonomous, or a client. */
#ifndef SELFTEST_OPTION_H
#define SELFTEST_OPTION_H

#include "agent.h"
#include "ktls.h"
#include "stat.h"

#define CHACHA_VARIANT(name, v)						\
	FIXTURE_VARIANT_ADD(ktls, name) {				\
		.version = v, .cipher = TLS_CIPHER_CHACHA20_POLY1305, .family = AF_INET, \
	}
CHACHA_VARIANT(tls12_chacha, TLS_1_2_VERSION);
CHACHA_VARIANT(tls13_chacha, TLS_1_3_VERSION);

/* Whole, and no KeyUpdate. */
static const uint8_t message[5] = { 4, 0, 0, 1, 0 };

static inline void good(struct ktls_data *self, struct itls_autonomous *a)
{
	autonomous_init(a, ITLS_ROLE_SERVER, &self->tx, &self->rx);
}

static inline int become(struct ktls_data *self)
{
	struct itls_autonomous a;

	good(self, &a);
	return autonomous_set(self->fd, &a);
}

static inline int key_get(int fd, int opt)
{
	uint8_t buf[128];
	socklen_t len = sizeof(struct tls_crypto_info);

	return getsockopt(fd, SOL_TLS, opt, buf, &len);
}

/* Still under the kTLS ABI, and in order. */
static inline void expect_unchanged(struct ktls_data *self)
{
	uint8_t buf[16], type;

	EXPECT_EQ(ITLS_ROLE_KTLS, info_get(self->fd).role);
	EXPECT_EQ(0, key_get(self->fd, TLS_TX));
	EXPECT_EQ(0, key_get(self->fd, TLS_RX));
	ASSERT_EQ(2, send_typed(self->fd, "HS", 2, REC_HANDSHAKE, 0));
	expect_record(self, REC_HANDSHAKE, "HS", 2);
	peer_send(&self->peer, REC_HANDSHAKE, message, sizeof(message));
	ASSERT_EQ(5, recv_typed(self->fd, buf, sizeof(buf), &type, 0));
	EXPECT_EQ(REC_HANDSHAKE, type);
}

static inline void expect_talk(struct ktls_data *self)
{
	talk_expect(self->fd, &self->peer);
}

#endif
