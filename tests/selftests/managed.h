/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The fixture of all tests of managed sockets: a marked listener and an agent
 * in the test itself.  managed_pending() adds one accepted connection whose
 * handshake waits, managed_establish() ends that handshake.
 */
#ifndef SELFTEST_MANAGED_H
#define SELFTEST_MANAGED_H

#include <poll.h>
#include <sys/mman.h>

#include "agent.h"
#include "stat.h"
#include "ulp.h"

#define PROFILE "test-profile"

FIXTURE(managed) {
	int listener;
	int server;
	struct agent agent;
	struct peer client;
	union peer_info tx, rx;
	int family;
};

FIXTURE_VARIANT(managed) {
	uint16_t version;
	uint16_t cipher;
	int family;
};

static inline int listener_mark(int fd, const char *profile)
{
	return setsockopt(fd, SOL_TLS, ITLS_LISTEN, profile, strlen(profile));
}

FIXTURE_SETUP(managed)
{
	self->family = variant->family;
	agent_open(&self->agent);
	self->listener = sock_listen(variant->family);
	listener_require(self->listener);
	ASSERT_EQ(0, listener_mark(self->listener, PROFILE));
	peer_info_make(&self->tx, variant->version, variant->cipher, 1, 1);
	peer_info_make(&self->rx, variant->version, variant->cipher, 2, 1);
	self->server = -1;
	self->client.fd = -1;
}

FIXTURE_TEARDOWN(managed)
{
	if (self->server >= 0)
		close(self->server);
	if (self->client.fd >= 0)
		peer_free(&self->client);
	if (self->listener >= 0)
		close(self->listener);
	agent_close(&self->agent);
	stat_wait_idle();
}

static inline void managed_pending(struct managed_data *self)
{
	peer_init(&self->client, sock_connect(self->listener), &self->tx, &self->rx);
	self->server = sock_accept(self->listener);
	sock_set_int(self->server, IPPROTO_TCP, TCP_NODELAY, 1);
}

static inline void managed_establish(struct managed_data *self)
{
	managed_pending(self);
	agent_establish(&self->agent, &self->tx, &self->rx);
}

/* The handshake failed: the server sees want, and never a byte. */
static inline void expect_failed(int fd, int want)
{
	char buf[64];
	int i;

	ASSERT_EQ(POLLIN | POLLERR | POLLHUP,
		  sock_poll(fd, POLLIN, test_wait_ms()) & (POLLIN | POLLERR | POLLHUP));
	EXPECT_ERRNO(want, recv(fd, buf, sizeof(buf), 0));
	for (i = 0; i < 3; i++)
		EXPECT_ERRNO(want, recv(fd, buf, sizeof(buf), MSG_DONTWAIT));
	EXPECT_EQ(-1, send(fd, "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT));
	EXPECT_EQ(ITLS_STATE_FAILED, info_get(fd).state);
}

/* What reached the client in the clear: nothing, then the end of the connection. */
static inline void expect_no_byte(int fd)
{
	char c;
	ssize_t n;

	ASSERT_NE(0, sock_poll(fd, POLLIN, test_wait_ms()));
	n = recv(fd, &c, 1, MSG_DONTWAIT);
	EXPECT_TRUE(n == 0 || (n < 0 && errno == ECONNRESET));
}

/* Data flows both ways. */
static inline void expect_works(int server, struct peer *client)
{
	uint8_t buf[8];

	peer_send(client, REC_DATA, "ping", 4);
	ASSERT_EQ(4, recv(server, buf, sizeof(buf), 0));
	EXPECT_MEMEQ("ping", buf, 4);
	ASSERT_EQ(4, send(server, "pong", 4, 0));
	ASSERT_EQ(1, peer_recv_all(client, buf, 4));
	EXPECT_MEMEQ("pong", buf, 4);
}

static inline void managed_expect_data(struct managed_data *self, const void *data, size_t len)
{
	uint8_t *got = malloc(len + 1);

	ASSERT_TRUE(got);
	ASSERT_EQ((ssize_t)len, recv(self->server, got, len, MSG_WAITALL));
	EXPECT_MEMEQ(data, got, len);
	free(got);
}

/* Ways to a socket's bytes, or to a socket without its keys, that go past recv() and send(). */
static inline void expect_no_side_door(int fd)
{
	struct sockaddr unspec = { .sa_family = AF_UNSPEC };
	struct tcp_zerocopy_receive zc = {};
	socklen_t len = sizeof(zc);
	char c;

	EXPECT_EQ(MAP_FAILED, mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0));
	EXPECT_EQ(-1, getsockopt(fd, IPPROTO_TCP, TCP_ZEROCOPY_RECEIVE, &zc, &len));
	EXPECT_EQ(-1, recv(fd, &c, 1, MSG_OOB | MSG_DONTWAIT));
	EXPECT_EQ(-1, recv(fd, &c, 1, MSG_ERRQUEUE | MSG_DONTWAIT));
	EXPECT_EQ(-1, connect(fd, &unspec, sizeof(unspec)));
	EXPECT_EQ(-1, listen(fd, 1));
	EXPECT_ERRNO(EEXIST, ulp_attach(fd));
}

#endif
