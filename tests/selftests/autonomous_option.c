// SPDX-License-Identifier: GPL-2.0
/*
 * ITLS_AUTONOMOUS: what it refuses, that what was refused changed nothing, and
 * what a socket lets nobody see or do afterwards.
 */
#define _GNU_SOURCE
#include "option.h"

#include <sys/mman.h>

static const uint8_t key_update[5] = { 24, 0, 0, 1, 0 };

static bool is_13(const struct ktls_data *self)
{
	return self->tx.info.version == TLS_1_3_VERSION;
}

/* ---- refused -------------------------------------------------------- */

TEST_F(ktls, wrong_length)
{
	struct { struct itls_autonomous a; uint8_t more[16]; } big = {};
	socklen_t len;

	good(self, &big.a);
	for (len = 0; len <= sizeof(big); len++)
		if (len != sizeof(big.a))
			EXPECT_ERRNO(EINVAL, setsockopt(self->fd, SOL_TLS, ITLS_AUTONOMOUS, &big, len));
	expect_unchanged(self);
}

TEST_F(ktls, wrong_role)
{
	struct itls_autonomous a;
	int role;

	for (role = 0; role < 256; role++) {
		good(self, &a);
		a.role = role;
		if (role != ITLS_ROLE_SERVER && role != ITLS_ROLE_CLIENT)
			EXPECT_ERRNO(EINVAL, autonomous_set(self->fd, &a));
	}
	expect_unchanged(self);
}

TEST_F(ktls, wrong_reserved)
{
	struct itls_autonomous a;
	size_t i;

	for (i = 0; i < sizeof(a.reserved); i++) {
		good(self, &a);
		a.reserved[i] = 1;
		EXPECT_ERRNO(EINVAL, autonomous_set(self->fd, &a));
	}
	expect_unchanged(self);
}

TEST_F(ktls, wrong_secret_length)
{
	struct itls_autonomous a;
	int len;

	for (len = 0; len < 256; len++) {
		good(self, &a);
		if (len == a.secret_len)
			continue;
		a.secret_len = len;
		EXPECT_ERRNO(EINVAL, autonomous_set(self->fd, &a));
	}
	expect_unchanged(self);
}

/* Secrets that the keys do not come from would end in a KeyUpdate that nobody can read. */
TEST_F(ktls, wrong_secrets)
{
	struct itls_autonomous a;
	size_t i;

	if (!is_13(self))
		SKIP("TLS 1.2 has none");
	for (i = 0; i < peer_secret_len(&self->tx); i += 31) {
		good(self, &a);
		a.tx_secret[i] ^= 1;
		EXPECT_ERRNO(EKEYREJECTED, autonomous_set(self->fd, &a));
		good(self, &a);
		a.rx_secret[i] ^= 0x80;
		EXPECT_ERRNO(EKEYREJECTED, autonomous_set(self->fd, &a));
	}
	autonomous_init(&a, ITLS_ROLE_SERVER, &self->rx, &self->tx);
	EXPECT_ERRNO(EKEYREJECTED, autonomous_set(self->fd, &a));
	expect_unchanged(self);
	ASSERT_EQ(0, become(self));
	expect_talk(self);
}

TEST_F(ktls, wrong_address)
{
	void *nowhere = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, nowhere);
	EXPECT_ERRNO(EFAULT, autonomous_set(self->fd, nowhere));
	expect_unchanged(self);
}

TEST_F(ktls, listener_is_not_connected)
{
	struct itls_autonomous a;
	struct itls_connect c;
	int fd = sock_listen(variant->family);

	good(self, &a);
	listener_require(fd);
	EXPECT_ERRNO(ENOTCONN, autonomous_set(fd, &a));
	connect_init(&c, "default", "server.test");
	EXPECT_ERRNO(ENOTCONN, connect_set(fd, &c));
	close(fd);
}

TEST_F(ktls, plain_tcp_has_no_such_option)
{
	struct itls_autonomous a;
	struct itls_connect c;
	int fd[2];

	sock_pair(variant->family, fd);
	good(self, &a);
	EXPECT_EQ(-1, autonomous_set(fd[0], &a));
	connect_init(&c, "default", "server.test");
	EXPECT_EQ(-1, connect_set(fd[0], &c));
	close(fd[0]);
	close(fd[1]);
}

/* Each direction needs its key. */
TEST_F(ktls, key_is_missing)
{
	struct itls_autonomous a;
	int fd[2];

	good(self, &a);
	sock_pair(variant->family, fd);
	ulp_require(fd[0]);
	ulp_require(fd[1]);
	EXPECT_ERRNO(EBUSY, autonomous_set(fd[0], &a));
	ASSERT_EQ(0, key_set(fd[0], TLS_TX, &self->tx));
	EXPECT_ERRNO(EBUSY, autonomous_set(fd[0], &a));
	ASSERT_EQ(0, key_set(fd[1], TLS_RX, &self->rx));
	EXPECT_ERRNO(EBUSY, autonomous_set(fd[1], &a));
	EXPECT_EQ(ITLS_ROLE_KTLS, info_get(fd[0]).role);
	ASSERT_EQ(0, key_set(fd[0], TLS_RX, &self->rx));
	EXPECT_EQ(0, autonomous_set(fd[0], &a));
	close(fd[0]);
	close(fd[1]);
}

TEST_F(ktls, record_is_open)
{
	ASSERT_EQ(4, send(self->fd, "open", 4, MSG_MORE));
	EXPECT_ERRNO(EBUSY, become(self));
	ASSERT_EQ(2, send(self->fd, "ed", 2, 0));
	expect_record(self, REC_DATA, "opened", 6);
	ASSERT_EQ(0, become(self));
	expect_talk(self);
}

/* Data is the program's under either rule. */
TEST_F(ktls, record_is_read_in_part)
{
	char c;

	peer_send(&self->peer, REC_DATA, "abc", 3);
	arrived(self);
	ASSERT_EQ(1, recv(self->fd, &c, 1, 0));
	ASSERT_EQ(0, become(self));
	expect_data(self, "bc", 2);
	expect_talk(self);
}

TEST_F(ktls, record_was_looked_at)
{
	uint8_t buf[8], type;

	peer_send(&self->peer, REC_HANDSHAKE, message, sizeof(message));
	ASSERT_EQ(5, recv_typed(self->fd, buf, sizeof(buf), &type, MSG_PEEK));
	EXPECT_ERRNO(EBUSY, become(self));
	ASSERT_EQ(5, recv_typed(self->fd, buf, sizeof(buf), &type, 0));
	ASSERT_EQ(0, become(self));
	expect_talk(self);
}

/* Half a message of TLS 1.3 is one that only the program has seen begin. */
TEST_F(ktls, message_is_read_in_part)
{
	uint8_t buf[8], type;

	if (!is_13(self))
		SKIP("the kernel does not follow messages of TLS 1.2");
	peer_send(&self->peer, REC_HANDSHAKE, message, 3);
	ASSERT_EQ(3, recv_typed(self->fd, buf, sizeof(buf), &type, 0));
	EXPECT_ERRNO(EBUSY, become(self));
	peer_send(&self->peer, REC_HANDSHAKE, message + 3, 2);
	ASSERT_EQ(2, recv_typed(self->fd, buf, sizeof(buf), &type, 0));
	ASSERT_EQ(0, become(self));
	expect_talk(self);
}

TEST_F(ktls, key_is_due)
{
	union peer_info next = self->rx;
	uint8_t buf[8], type;

	if (!is_13(self))
		SKIP("TLS 1.2 has no KeyUpdate");
	peer_send(&self->peer, REC_HANDSHAKE, key_update, sizeof(key_update));
	peer_key_next(&self->peer.tx);
	ASSERT_EQ((ssize_t)sizeof(key_update), recv_typed(self->fd, buf, sizeof(buf), &type, 0));
	EXPECT_ERRNO(EBUSY, become(self));
	peer_info_update(&next);
	ASSERT_EQ(0, key_set(self->fd, TLS_RX, &next));
	self->rx = next;
	ASSERT_EQ(0, become(self));
	peer_send_update(&self->peer, UPDATE_NOT_REQUESTED);
	expect_talk(self);
}

TEST_F(ktls, once_is_enough)
{
	struct itls_autonomous a;

	good(self, &a);
	ASSERT_EQ(0, autonomous_set(self->fd, &a));
	EXPECT_ERRNO(EPERM, autonomous_set(self->fd, &a));
	a.role = ITLS_ROLE_CLIENT;
	EXPECT_ERRNO(EPERM, autonomous_set(self->fd, &a));
	EXPECT_EQ(ITLS_ROLE_SERVER, info_get(self->fd).role);
	expect_talk(self);
}

/* ---- afterwards ---------------------------------------------------------------------------- */

TEST_F(ktls, roles)
{
	static const uint8_t roles[] = { ITLS_ROLE_SERVER, ITLS_ROLE_CLIENT };
	struct itls_autonomous a;
	struct itls_info info;
	int fd[2], i;

	for (i = 0; i < 2; i++) {
		sock_pair(variant->family, fd);
		ulp_require(fd[0]);
		ASSERT_EQ(0, key_set(fd[0], TLS_TX, &self->tx));
		ASSERT_EQ(0, key_set(fd[0], TLS_RX, &self->rx));
		autonomous_init(&a, roles[i], &self->tx, &self->rx);
		ASSERT_EQ(0, autonomous_set(fd[0], &a));
		info = info_get(fd[0]);
		EXPECT_EQ(roles[i], info.role);
		EXPECT_EQ(ITLS_STATE_ESTABLISHED, info.state);
		EXPECT_EQ(variant->version, info.version);
		EXPECT_EQ(0, info.tx_rekeys);
		EXPECT_EQ(0, info.rx_rekeys);
		EXPECT_EQ(ITLS_VERIFY_NONE, info.verify);
		EXPECT_EQ(ITLS_ALERT_NONE, info.alert_tx);
		close(fd[0]);
		close(fd[1]);
	}
}

TEST_F(ktls, keys_are_the_kernels)
{
	union peer_info key = self->tx;
	uint8_t buf[512];
	socklen_t len;

	ASSERT_EQ(0, become(self));
	EXPECT_ERRNO(EPERM, key_set(self->fd, TLS_TX, &self->tx));
	EXPECT_ERRNO(EPERM, key_set(self->fd, TLS_RX, &self->rx));
	if (is_13(self))
		peer_info_update(&key);
	EXPECT_ERRNO(EPERM, key_set(self->fd, TLS_TX, &key));
	EXPECT_ERRNO(EPERM, key_get(self->fd, TLS_TX));
	EXPECT_ERRNO(EPERM, key_get(self->fd, TLS_RX));
	len = peer_info_size(&self->tx);
	EXPECT_ERRNO(EPERM, getsockopt(self->fd, SOL_TLS, TLS_TX, buf, &len));
	/* Nor can secrets be read. */
	len = sizeof(struct itls_autonomous);
	EXPECT_EQ(-1, getsockopt(self->fd, SOL_TLS, ITLS_AUTONOMOUS, buf, &len));
	len = sizeof(buf);
	EXPECT_EQ(-1, getsockopt(self->fd, SOL_TLS, ITLS_CONNECT, buf, &len));
	expect_talk(self);
}

/* Nothing of the keys is in what ITLS_INFO fills in. */
TEST_F(ktls, info_has_no_secrets)
{
	struct itls_info info;

	ASSERT_EQ(0, become(self));
	info = info_get(self->fd);
	if (is_13(self)) {
		EXPECT_FALSE(memmem(&info, sizeof(info), self->tx.secret + 4, 8));
		EXPECT_FALSE(memmem(&info, sizeof(info), self->rx.secret + 4, 8));
	}
}

TEST_F(ktls, types_are_the_kernels)
{
	ASSERT_EQ(0, become(self));
	EXPECT_ERRNO(EPERM, send_typed(self->fd, key_update, 5, REC_HANDSHAKE, 0));
	EXPECT_ERRNO(EPERM, send_typed(self->fd, "\1\0", 2, REC_ALERT, 0));
	EXPECT_ERRNO(EPERM, send_typed(self->fd, "?", 1, 99, 0));
	expect_talk(self);
	peer_expect_silence(&self->peer, self->fd);
}

/* Records sent before and those after are one stream. */
TEST_F(ktls, stream_goes_on)
{
	int i;

	for (i = 0; i < 10; i++)
		expect_talk(self);
	ASSERT_EQ(0, become(self));
	for (i = 0; i < 10; i++)
		expect_talk(self);
	EXPECT_EQ(80, info_get(self->fd).tx_bytes);
}

/* What arrived before, and nobody has looked at, is read by the new rules. */
TEST_F(ktls, what_waits_unseen)
{
	peer_send(&self->peer, REC_DATA, "early", 5);
	if (is_13(self))
		peer_send_update(&self->peer, UPDATE_NOT_REQUESTED);
	peer_send(&self->peer, REC_DATA, "late", 4);
	arrived(self);
	ASSERT_EQ(0, become(self));
	expect_data(self, "earlylate", 9);
	peer_alert(&self->peer, 1, 0);
	EXPECT_EQ(0, recv(self->fd, SCRATCH(8), 8, 0));
}

/* A close_notify at the end is the difference that a program must know of. */
TEST_F(ktls, close_notify_is_the_kernels)
{
	ASSERT_EQ(0, become(self));
	close(self->fd);
	self->fd = -1;
	expect_record(self, REC_ALERT, "\1\0", 2);
}
