// SPDX-License-Identifier: GPL-2.0
/*
 * ITLS_CONNECT: what it refuses, and that what was refused changed nothing.
 */
#define _GNU_SOURCE
#include "option.h"

#include <poll.h>
#include <sys/mman.h>

struct refused {
	int fd[2];
	struct itls_connect c;
	struct agent agent;
};

static void refused_open(struct refused *r, int family)
{
	agent_open(&r->agent);
	sock_pair(family, r->fd);
	ulp_require(r->fd[0]);
	connect_init(&r->c, "default", "server.test");
}

/* The socket is as it was: plain TCP, and a good request is taken. */
static void refused_close(struct refused *r)
{
	char c;

	EXPECT_EQ(ITLS_STATE_NONE, info_get(r->fd[0]).state);
	EXPECT_EQ(0, stat_get("HandshakeSubmitted"));
	ASSERT_EQ(1, send(r->fd[0], "p", 1, 0));
	ASSERT_EQ(1, recv(r->fd[1], &c, 1, 0));
	connect_init(&r->c, "default", "server.test");
	sock_nonblock(r->fd[0], true);
	EXPECT_ERRNO(EINPROGRESS, connect_set(r->fd[0], &r->c));
	close(r->fd[0]);
	close(r->fd[1]);
	agent_close(&r->agent);
}

TEST_F(ktls, connect_wrong_size)
{
	struct refused r;
	socklen_t len;

	refused_open(&r, variant->family);
	for (len = 0; len < sizeof(r.c); len += 7)
		EXPECT_ERRNO(EINVAL, setsockopt(r.fd[0], SOL_TLS, ITLS_CONNECT, &r.c, len));
	r.c.size = 0;
	EXPECT_ERRNO(EINVAL, connect_set(r.fd[0], &r.c));
	r.c.size = sizeof(r.c) - 1;
	EXPECT_ERRNO(EINVAL, connect_set(r.fd[0], &r.c));
	r.c.size = sizeof(r.c) + 1;
	EXPECT_ERRNO(EINVAL, connect_set(r.fd[0], &r.c));
	refused_close(&r);
}

TEST_F(ktls, connect_wrong_profile)
{
	static const char *const bad[] = { "", " ", "a b", "a/b", "\n", "\xc3\xa4", "a\x7f", "a:b" };
	struct refused r;
	size_t i;

	refused_open(&r, variant->family);
	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		connect_init(&r.c, bad[i], "server.test");
		EXPECT_ERRNO(EINVAL, connect_set(r.fd[0], &r.c));
	}
	/* No NUL. */
	memset(r.c.profile, 'p', sizeof(r.c.profile));
	EXPECT_ERRNO(EINVAL, connect_set(r.fd[0], &r.c));
	refused_close(&r);
}

TEST_F(ktls, connect_wrong_name)
{
	static const char *const bad[] = { "", "\n", "a\nb", "server.test\r", "\x7f", "a\tb", "\1" };
	struct refused r;
	size_t i;

	refused_open(&r, variant->family);
	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		connect_init(&r.c, "default", bad[i]);
		EXPECT_ERRNO(EINVAL, connect_set(r.fd[0], &r.c));
	}
	memset(r.c.server_name, 'n', sizeof(r.c.server_name));
	EXPECT_ERRNO(EINVAL, connect_set(r.fd[0], &r.c));
	refused_close(&r);
}

TEST_F(ktls, connect_half_a_pair)
{
	struct refused r;

	refused_open(&r, variant->family);
	r.c.cert = (uintptr_t)"pem";
	r.c.cert_len = 3;
	EXPECT_ERRNO(EINVAL, connect_set(r.fd[0], &r.c));
	connect_init(&r.c, "default", "server.test");
	r.c.key = (uintptr_t)"pem";
	r.c.key_len = 3;
	EXPECT_ERRNO(EINVAL, connect_set(r.fd[0], &r.c));
	refused_close(&r);
}

TEST_F(ktls, connect_too_much_pem)
{
	uint8_t *pem = alloc_pattern(ITLS_PEM_MAX + 1, 0);
	struct refused r;

	refused_open(&r, variant->family);
	r.c.ca = (uintptr_t)pem;
	r.c.ca_len = ITLS_PEM_MAX + 1;
	EXPECT_ERRNO(EMSGSIZE, connect_set(r.fd[0], &r.c));
	r.c.ca_len = UINT32_MAX;
	EXPECT_ERRNO(EMSGSIZE, connect_set(r.fd[0], &r.c));
	r.c.ca_len = 0;
	r.c.cert = (uintptr_t)pem;
	r.c.key = (uintptr_t)pem;
	r.c.cert_len = ITLS_PEM_MAX + 1;
	r.c.key_len = 1;
	EXPECT_ERRNO(EMSGSIZE, connect_set(r.fd[0], &r.c));
	r.c.cert_len = 1;
	r.c.key_len = ITLS_PEM_MAX + 1;
	EXPECT_ERRNO(EMSGSIZE, connect_set(r.fd[0], &r.c));
	refused_close(&r);
	free(pem);
}

TEST_F(ktls, connect_wrong_address)
{
	void *nowhere = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct refused r;

	ASSERT_NE(MAP_FAILED, nowhere);
	refused_open(&r, variant->family);
	EXPECT_ERRNO(EFAULT, connect_set(r.fd[0], nowhere));
	r.c.ca = (uintptr_t)nowhere;
	r.c.ca_len = 100;
	EXPECT_ERRNO(EFAULT, connect_set(r.fd[0], &r.c));
	r.c.ca = 0;
	EXPECT_ERRNO(EFAULT, connect_set(r.fd[0], &r.c));
	r.c.ca_len = 0;
	r.c.cert = (uintptr_t)"pem";
	r.c.cert_len = 3;
	r.c.key = (uintptr_t)nowhere;
	r.c.key_len = 3;
	EXPECT_ERRNO(EFAULT, connect_set(r.fd[0], &r.c));
	refused_close(&r);
}

TEST_F(ktls, connect_after_shutdown)
{
	struct refused r;

	refused_open(&r, variant->family);
	ASSERT_EQ(0, shutdown(r.fd[0], SHUT_WR));
	EXPECT_ERRNO(ENOTCONN, connect_set(r.fd[0], &r.c));
	close(r.fd[0]);
	close(r.fd[1]);
	agent_close(&r.agent);
}

TEST_F(ktls, connect_after_reset)
{
	struct refused r;

	refused_open(&r, variant->family);
	sock_reset(r.fd[1]);
	ASSERT_NE(0, sock_poll(r.fd[0], POLLHUP, test_wait_ms()));
	EXPECT_ERRNO(ENOTCONN, connect_set(r.fd[0], &r.c));
	close(r.fd[0]);
	agent_close(&r.agent);
}

/* A socket that has keys is no client any more. */
TEST_F(ktls, connect_with_keys)
{
	struct itls_connect c;
	int fd[2];

	connect_init(&c, "default", "server.test");
	EXPECT_ERRNO(EBUSY, connect_set(self->fd, &c));
	expect_unchanged(self);
	ASSERT_EQ(0, become(self));
	EXPECT_ERRNO(EBUSY, connect_set(self->fd, &c));
	expect_talk(self);
	sock_pair(variant->family, fd);
	ulp_require(fd[0]);
	ulp_require(fd[1]);
	ASSERT_EQ(0, key_set(fd[0], TLS_TX, &self->tx));
	EXPECT_ERRNO(EBUSY, connect_set(fd[0], &c));
	ASSERT_EQ(0, key_set(fd[1], TLS_RX, &self->rx));
	EXPECT_ERRNO(EBUSY, connect_set(fd[1], &c));
	close(fd[0]);
	close(fd[1]);
}

/* An accepted one has its handshake, under way or done. */
TEST_F(ktls, connect_on_a_servers_socket)
{
	int listener = sock_listen(variant->family), fd, client;
	struct itls_autonomous a;
	struct itls_connect c;
	struct agent agent;

	good(self, &a);
	agent_open(&agent);
	listener_require(listener);
	ASSERT_EQ(0, setsockopt(listener, SOL_TLS, ITLS_LISTEN, "server", 6));
	client = sock_connect(listener);
	fd = sock_accept(listener);
	connect_init(&c, "default", "server.test");
	EXPECT_ERRNO(EBUSY, connect_set(fd, &c));
	EXPECT_ERRNO(EPERM, autonomous_set(fd, &a));
	agent_establish(&agent, &self->tx, &self->rx);
	EXPECT_ERRNO(EBUSY, connect_set(fd, &c));
	EXPECT_ERRNO(EPERM, autonomous_set(fd, &a));
	close(fd);
	close(client);
	close(listener);
	agent_close(&agent);
}

TEST_F(ktls, keys_while_pending)
{
	struct itls_autonomous a;
	struct refused r;

	good(self, &a);
	refused_open(&r, variant->family);
	sock_nonblock(r.fd[0], true);
	ASSERT_ERRNO(EINPROGRESS, connect_set(r.fd[0], &r.c));
	EXPECT_ERRNO(EPERM, key_set(r.fd[0], TLS_TX, &self->tx));
	EXPECT_ERRNO(EPERM, key_set(r.fd[0], TLS_RX, &self->rx));
	EXPECT_ERRNO(EPERM, key_get(r.fd[0], TLS_TX));
	EXPECT_ERRNO(EPERM, autonomous_set(r.fd[0], &a));
	EXPECT_EQ(ITLS_STATE_PENDING, info_get(r.fd[0]).state);
	close(r.fd[0]);
	close(r.fd[1]);
	agent_close(&r.agent);
}
