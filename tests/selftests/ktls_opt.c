// SPDX-License-Identifier: GPL-2.0
/*
 * kTLS ABI: attaching the ULP, setting and reading keys, and every refusal
 * with the proof that it changed nothing.
 */
#define _GNU_SOURCE
#include "ktls.h"

#include <poll.h>

#include <stddef.h>

/* A socket with the ULP and no keys, and the peer's plain descriptor. */
FIXTURE(opt) {
	int fd, other;
	union peer_info tx, rx;
};

FIXTURE_VARIANT(opt) {
	uint16_t version;
	uint16_t cipher;
};

FIXTURE_VARIANT_ADD(opt, tls12_128) {
	.version = TLS_1_2_VERSION, .cipher = TLS_CIPHER_AES_GCM_128,
};

FIXTURE_VARIANT_ADD(opt, tls12_256) {
	.version = TLS_1_2_VERSION, .cipher = TLS_CIPHER_AES_GCM_256,
};

FIXTURE_VARIANT_ADD(opt, tls13_128) {
	.version = TLS_1_3_VERSION, .cipher = TLS_CIPHER_AES_GCM_128,
};

FIXTURE_VARIANT_ADD(opt, tls13_256) {
	.version = TLS_1_3_VERSION, .cipher = TLS_CIPHER_AES_GCM_256,
};

FIXTURE_SETUP(opt)
{
	int fd[2];

	sock_pair(AF_INET, fd);
	self->fd = fd[0];
	self->other = fd[1];
	ulp_require(self->fd);
	peer_info_make(&self->tx, variant->version, variant->cipher, 1, 0);
	peer_info_make(&self->rx, variant->version, variant->cipher, 2, 0);
}

FIXTURE_TEARDOWN(opt)
{
	close(self->fd);
	if (self->other >= 0)
		close(self->other);
}

/* After a refusal: the right keys are still accepted and records flow both ways. */
static void works_afterwards(struct opt_data *self)
{
	struct peer peer;
	char buf[16];

	ASSERT_EQ(0, key_set(self->fd, TLS_TX, &self->tx));
	ASSERT_EQ(0, key_set(self->fd, TLS_RX, &self->rx));
	peer_init(&peer, self->other, &self->tx, &self->rx);
	self->other = -1;
	ASSERT_EQ(5, send(self->fd, "hello", 5, 0));
	ASSERT_EQ(1, peer_recv_all(&peer, (uint8_t *)buf, 5));
	EXPECT_MEMEQ("hello", buf, 5);
	peer_send(&peer, REC_DATA, "world", 5);
	ASSERT_EQ(5, recv(self->fd, buf, sizeof(buf), 0));
	EXPECT_MEMEQ("world", buf, 5);
	peer_free(&peer);
}

static void passes_plain(int from, int to)
{
	char buf[16];

	ASSERT_EQ(5, send(from, "plain", 5, 0));
	sock_recv_all(to, buf, 5);
	EXPECT_MEMEQ("plain", buf, 5);
}

TEST_F(opt, ulp_name_reads_back)
{
	char name[32] = "";
	socklen_t len = sizeof(name);

	ASSERT_EQ(0, getsockopt(self->fd, IPPROTO_TCP, TCP_ULP, name, &len));
	EXPECT_EQ(0, strcmp(ulp_name(), name));
}

TEST_F(opt, ulp_twice)
{
	EXPECT_ERRNO(EEXIST, ulp_attach(self->fd));
	works_afterwards(self);
}

TEST_F(opt, no_keys_is_plain_tcp)
{
	passes_plain(self->fd, self->other);
	passes_plain(self->other, self->fd);
	works_afterwards(self);
}

TEST_F(opt, no_keys_eof)
{
	char c;

	ASSERT_EQ(0, shutdown(self->other, SHUT_WR));
	EXPECT_EQ(0, recv(self->fd, &c, 1, 0));
	passes_plain(self->fd, self->other);
}

TEST_F(opt, no_keys_reset)
{
	char c;

	sock_reset(self->other);
	self->other = -1;
	ASSERT_NE(0, sock_poll(self->fd, POLLHUP, test_wait_ms()));
	EXPECT_ERRNO(ECONNRESET, recv(self->fd, &c, 1, 0));
}

TEST_F(opt, tx_only_leaves_rx_plain)
{
	struct peer peer;
	uint8_t buf[8];

	ASSERT_EQ(0, key_set(self->fd, TLS_TX, &self->tx));
	passes_plain(self->other, self->fd);
	ASSERT_EQ(2, send(self->fd, "ab", 2, 0));
	peer_init(&peer, self->other, &self->tx, &self->rx);
	self->other = -1;
	ASSERT_EQ(1, peer_recv_all(&peer, buf, 2));
	EXPECT_MEMEQ("ab", buf, 2);
	peer_free(&peer);
}

TEST_F(opt, rx_only_leaves_tx_plain)
{
	struct peer peer;
	uint8_t buf[8];

	ASSERT_EQ(0, key_set(self->fd, TLS_RX, &self->rx));
	passes_plain(self->fd, self->other);
	peer_init(&peer, self->other, &self->tx, &self->rx);
	self->other = -1;
	peer_send(&peer, REC_DATA, "cd", 2);
	ASSERT_EQ(2, recv(self->fd, buf, sizeof(buf), 0));
	EXPECT_MEMEQ("cd", buf, 2);
	peer_free(&peer);
}

TEST_F(opt, plain_bytes_then_keys)
{
	struct peer peer;
	uint8_t rec[REC_SPACE], buf[64];
	size_t len;

	/* A record that is already in the receive queue when the key arrives. */
	peer_init(&peer, self->other, &self->tx, &self->rx);
	self->other = -1;
	sock_send_all(peer.fd, "banner", 6);
	len = peer_seal(&peer.tx, REC_DATA, "first", 5, 0, rec);
	sock_send_all(peer.fd, rec, len);
	sock_wait_received(self->fd, 6 + len);
	ASSERT_EQ(6, recv(self->fd, buf, 6, 0));
	EXPECT_MEMEQ("banner", buf, 6);
	ASSERT_EQ(0, key_set(self->fd, TLS_RX, &self->rx));
	EXPECT_NE(0, sock_poll(self->fd, POLLIN, test_wait_ms()));
	ASSERT_EQ(5, recv(self->fd, buf, sizeof(buf), 0));
	EXPECT_MEMEQ("first", buf, 5);
	peer_free(&peer);
}

static ssize_t get(int fd, int opt, void *out, socklen_t len)
{
	int err = getsockopt(fd, SOL_TLS, opt, out, &len);

	return err ? err : (ssize_t)len;
}

TEST_F(opt, get_returns_what_was_set)
{
	size_t len = peer_info_size(&self->tx);
	union peer_info seen;

	ASSERT_EQ(0, key_set(self->fd, TLS_TX, &self->tx));
	ASSERT_EQ(0, key_set(self->fd, TLS_RX, &self->rx));
	memset(&seen, 0xee, sizeof(seen));
	ASSERT_EQ(len, get(self->fd, TLS_TX, &seen, len));
	EXPECT_MEMEQ(&self->tx, &seen, len);
	ASSERT_EQ(len, get(self->fd, TLS_RX, &seen, len));
	EXPECT_MEMEQ(&self->rx, &seen, len);
}

TEST_F(opt, get_header_only)
{
	struct tls_crypto_info seen = {};

	ASSERT_EQ(0, key_set(self->fd, TLS_TX, &self->tx));
	ASSERT_EQ(sizeof(seen), get(self->fd, TLS_TX, &seen, sizeof(seen)));
	EXPECT_EQ(variant->version, seen.version);
	EXPECT_EQ(variant->cipher, seen.cipher_type);
}

TEST_F(opt, get_before_set)
{
	union peer_info seen;

	EXPECT_ERRNO(EBUSY, get(self->fd, TLS_TX, &seen, peer_info_size(&self->tx)));
	EXPECT_ERRNO(EBUSY, get(self->fd, TLS_RX, &seen, peer_info_size(&self->rx)));
	works_afterwards(self);
}

TEST_F(opt, get_wrong_length)
{
	size_t len = peer_info_size(&self->tx);
	uint8_t seen[128];

	ASSERT_EQ(0, key_set(self->fd, TLS_TX, &self->tx));
	EXPECT_ERRNO(EINVAL, get(self->fd, TLS_TX, seen, 0));
	EXPECT_ERRNO(EINVAL, get(self->fd, TLS_TX, seen, sizeof(struct tls_crypto_info) - 1));
	EXPECT_ERRNO(EINVAL, get(self->fd, TLS_TX, seen, len - 1));
	EXPECT_EQ(len, get(self->fd, TLS_TX, seen, len));
}

TEST_F(opt, get_bad_pointer)
{
	socklen_t len = peer_info_size(&self->tx);

	ASSERT_EQ(0, key_set(self->fd, TLS_TX, &self->tx));
	EXPECT_ERRNO(EFAULT, getsockopt(self->fd, SOL_TLS, TLS_TX, (void *)8, &len));
}

TEST_F(opt, get_unknown_option)
{
	char buf[64];

	EXPECT_ERRNO(ENOPROTOOPT, get(self->fd, 4242, buf, sizeof(buf)));
}

TEST_F(opt, set_unknown_option)
{
	int one = 1;

	EXPECT_ERRNO(ENOPROTOOPT, setsockopt(self->fd, SOL_TLS, 4242, &one, sizeof(one)));
	works_afterwards(self);
}

TEST_F(opt, set_short)
{
	size_t len = peer_info_size(&self->tx), n;

	for (n = 0; n < len; n++)
		EXPECT_ERRNO(EINVAL, setsockopt(self->fd, SOL_TLS, TLS_TX, &self->tx, n));
	for (n = 0; n < len; n++)
		EXPECT_ERRNO(EINVAL, setsockopt(self->fd, SOL_TLS, TLS_RX, &self->rx, n));
	works_afterwards(self);
}

TEST_F(opt, set_long)
{
	uint8_t buf[256] = {};
	size_t len = peer_info_size(&self->tx);

	memcpy(buf, &self->tx, len);
	EXPECT_ERRNO(EINVAL, setsockopt(self->fd, SOL_TLS, TLS_TX, buf, len + 1));
	EXPECT_ERRNO(EINVAL, setsockopt(self->fd, SOL_TLS, TLS_RX, buf, sizeof(buf)));
	works_afterwards(self);
}

TEST_F(opt, set_other_ciphers_length)
{
	union peer_info wrong = self->tx;
	size_t len = variant->cipher == TLS_CIPHER_AES_GCM_128 ? sizeof(wrong.gcm256) :
								 sizeof(wrong.gcm128);

	EXPECT_ERRNO(EINVAL, setsockopt(self->fd, SOL_TLS, TLS_TX, &wrong, len));
	works_afterwards(self);
}

TEST_F(opt, set_bad_version)
{
	static const uint16_t bad[] = { 0, 0x0300, 0x0301, 0x0302, 0x0305, 0x7f1c, 0xffff };
	union peer_info info;
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		info = self->tx;
		info.info.version = bad[i];
		EXPECT_ERRNO(EINVAL, setsockopt(self->fd, SOL_TLS, TLS_TX, &info,
						peer_info_size(&self->tx)));
		EXPECT_ERRNO(EINVAL, setsockopt(self->fd, SOL_TLS, TLS_RX, &info,
						peer_info_size(&self->tx)));
	}
	works_afterwards(self);
}

TEST_F(opt, set_bad_cipher)
{
	static const uint16_t bad[] = { 0, 1, 50, 59, 0x7fff, 0xffff };
	union peer_info info;
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		info = self->tx;
		info.info.cipher_type = bad[i];
		EXPECT_ERRNO(EINVAL, setsockopt(self->fd, SOL_TLS, TLS_TX, &info,
						peer_info_size(&self->tx)));
	}
	works_afterwards(self);
}

TEST_F(opt, set_bad_pointer)
{
	EXPECT_ERRNO(EFAULT, setsockopt(self->fd, SOL_TLS, TLS_TX, (void *)8,
					peer_info_size(&self->tx)));
	EXPECT_ERRNO(EFAULT, setsockopt(self->fd, SOL_TLS, TLS_RX, (void *)8,
					peer_info_size(&self->rx)));
	works_afterwards(self);
}

TEST_F(opt, set_versions_differ)
{
	union peer_info info = self->rx;

	info.info.version = variant->version == TLS_1_2_VERSION ? TLS_1_3_VERSION :
								  TLS_1_2_VERSION;
	ASSERT_EQ(0, key_set(self->fd, TLS_TX, &self->tx));
	EXPECT_ERRNO(EINVAL, key_set(self->fd, TLS_RX, &info));
	EXPECT_EQ(0, key_set(self->fd, TLS_RX, &self->rx));
}

TEST_F(opt, set_ciphers_differ)
{
	union peer_info info;

	peer_info_make(&info, variant->version, variant->cipher == TLS_CIPHER_AES_GCM_128 ?
		       TLS_CIPHER_AES_GCM_256 : TLS_CIPHER_AES_GCM_128, 2, 0);
	ASSERT_EQ(0, key_set(self->fd, TLS_RX, &self->rx));
	EXPECT_ERRNO(EINVAL, key_set(self->fd, TLS_TX, &info));
	EXPECT_EQ(0, key_set(self->fd, TLS_TX, &self->tx));
}

/* TLS 1.2 has no KeyUpdate: the first keys stay in force. */
TEST_F(opt, set_twice)
{
	union peer_info info;
	uint8_t buf[8];
	struct peer peer;

	if (variant->version == TLS_1_3_VERSION)
		return;
	ASSERT_EQ(0, key_set(self->fd, TLS_TX, &self->tx));
	ASSERT_EQ(0, key_set(self->fd, TLS_RX, &self->rx));
	peer_info_make(&info, variant->version, variant->cipher, 77, 0);
	EXPECT_ERRNO(EBUSY, key_set(self->fd, TLS_TX, &info));
	EXPECT_ERRNO(EBUSY, key_set(self->fd, TLS_RX, &info));
	peer_init(&peer, self->other, &self->tx, &self->rx);
	self->other = -1;
	ASSERT_EQ(1, send(self->fd, "x", 1, 0));
	EXPECT_EQ(1, peer_recv_all(&peer, buf, 1));
	peer_send(&peer, REC_DATA, "y", 1);
	EXPECT_EQ(1, recv(self->fd, buf, 1, 0));
	peer_free(&peer);
}

TEST_F(opt, many_sockets_opened_and_closed)
{
	int fd[2], i;

	for (i = 0; i < 200; i++) {
		sock_pair(i & 1 ? AF_INET6 : AF_INET, fd);
		ulp_require(fd[0]);
		if (i % 3)
			ASSERT_EQ(0, key_set(fd[0], TLS_TX, &self->tx));
		if (i % 2)
			ASSERT_EQ(0, key_set(fd[0], TLS_RX, &self->rx));
		if (i % 5 == 0)
			sock_reset(fd[1]);
		else
			close(fd[1]);
		close(fd[0]);
	}
	works_afterwards(self);
}

TEST(keys_before_ulp)
{
	union peer_info info;
	int fd[2];

	sock_pair(AF_INET, fd);
	peer_info_make(&info, TLS_1_3_VERSION, TLS_CIPHER_AES_GCM_128, 1, 0);
	EXPECT_ERRNO(ENOPROTOOPT, key_set(fd[0], TLS_TX, &info));
	EXPECT_ERRNO(ENOPROTOOPT, key_set(fd[0], TLS_RX, &info));
	passes_plain(fd[0], fd[1]);
	ulp_require(fd[0]);
	EXPECT_EQ(0, key_set(fd[0], TLS_TX, &info));
}

TEST(ulp_needs_a_connection)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	ASSERT_LE(0, fd);
	EXPECT_ERRNO(ENOTCONN, ulp_attach(fd));
}

/* As in-tree; a listener takes the ULP of its own, which a connection does not. */
TEST(ulp_refuses_listeners)
{
	int listener = sock_listen(AF_INET), fd[2];

	EXPECT_ERRNO(ENOTCONN, ulp_attach(listener));
	if (ulp_is_intree())
		return;
	sock_pair(AF_INET, fd);
	EXPECT_ERRNO(EINVAL, listener_attach(fd[0]));
	passes_plain(fd[0], fd[1]);
	EXPECT_EQ(0, listener_attach(listener));
	EXPECT_ERRNO(EEXIST, ulp_attach(listener));
}

TEST(ulp_needs_tcp)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	ASSERT_LE(0, fd);
	EXPECT_EQ(-1, ulp_attach(fd));
}

TEST(ulp_unknown_name)
{
	int fd[2];

	sock_pair(AF_INET, fd);
	EXPECT_ERRNO(ENOENT, setsockopt(fd[0], IPPROTO_TCP, TCP_ULP, "itlz", 4));
	passes_plain(fd[0], fd[1]);
}

/* An inbound half is closed, the other still sends: CLOSE_WAIT is no longer ESTABLISHED. */
TEST(ulp_after_peer_fin)
{
	int fd[2];

	sock_pair(AF_INET, fd);
	ASSERT_EQ(0, shutdown(fd[1], SHUT_WR));
	ASSERT_NE(0, sock_poll(fd[0], POLLRDHUP | POLLIN, test_wait_ms()));
	EXPECT_ERRNO(ENOTCONN, ulp_attach(fd[0]));
	passes_plain(fd[0], fd[1]);
}
