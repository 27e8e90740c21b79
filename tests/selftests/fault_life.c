// SPDX-License-Identifier: GPL-2.0
/*
 * Faults that in-tree kTLS had when it was attached, given keys, and taken
 * away; the list of them is at the head of fault_rx.c.
 */
#define _GNU_SOURCE
#include "ktls.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/ioctl.h>

static void works_both_ways(struct ktls_data *self)
{
	ASSERT_EQ(5, send(self->fd, "hello", 5, 0));
	expect_record(self, REC_DATA, "hello", 5);
	peer_send(&self->peer, REC_DATA, "world", 5);
	expect_data(self, "world", 5);
}

static int unconnect(int fd)
{
	struct sockaddr sa = { .sa_family = AF_UNSPEC };

	return connect(fd, &sa, sizeof(sa));
}

/* Another peer would be sent records under the first one's keys. */
TEST_F(ktls, disconnect_is_refused)
{
	works_both_ways(self);
	EXPECT_ERRNO(EOPNOTSUPP, unconnect(self->fd));
	works_both_ways(self);
}

TEST_F(ktls, disconnect_is_refused_with_records_waiting)
{
	ASSERT_EQ(2, send(self->fd, "ab", 2, MSG_MORE));
	peer_send(&self->peer, REC_DATA, "abcdef", 6);
	expect_data(self, "abc", 3);
	EXPECT_ERRNO(EOPNOTSUPP, unconnect(self->fd));
	expect_data(self, "def", 3);
	ASSERT_EQ(1, send(self->fd, "c", 1, 0));
	expect_record(self, REC_DATA, "abc", 3);
}

/* Its children would have shared the context, and each would have freed it. */
static void cannot_listen(int fd)
{
	struct sockaddr_in in = { .sin_family = AF_INET };

	EXPECT_ERRNO(EOPNOTSUPP, unconnect(fd));
	bind(fd, (void *)&in, sizeof(in));
	EXPECT_ERRNO(EINVAL, listen(fd, 5));
	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	in.sin_port = htons(9);
	EXPECT_EQ(-1, connect(fd, (void *)&in, sizeof(in)));
}

TEST_F(ktls, cve_2023_0461_after_reset)
{
	sock_reset(self->peer.fd);
	self->peer.fd = -1;
	ASSERT_NE(0, sock_poll(self->fd, POLLHUP, test_wait_ms()));
	cannot_listen(self->fd);
}

TEST_F(ktls, cve_2023_0461_after_both_fins)
{
	ASSERT_EQ(0, shutdown(self->fd, SHUT_WR));
	ASSERT_EQ(0, shutdown(self->peer.fd, SHUT_WR));
	ASSERT_NE(0, sock_poll(self->fd, POLLHUP, test_wait_ms()));
	cannot_listen(self->fd);
}

TEST(cve_2023_0461_without_keys)
{
	int fd[2];

	sock_pair(AF_INET, fd);
	ulp_require(fd[0]);
	/* In-tree kTLS cured it in listen(): see __tcp_set_ulp() and inet_ulp_can_listen(). */
	if (!ulp_is_intree())
		EXPECT_ERRNO(EOPNOTSUPP, unconnect(fd[0]));
	else
		unconnect(fd[0]);
	EXPECT_ERRNO(EINVAL, listen(fd[0], 5));
	close(fd[0]);
	close(fd[1]);
}

/* Refused, and plain TCP afterwards: what there was to say is still said. */
static void expect_not_attached(int fd)
{
	char name[32] = "";
	socklen_t len = sizeof(name);

	EXPECT_ERRNO(ENOTCONN, ulp_attach(fd));
	ASSERT_EQ(0, getsockopt(fd, IPPROTO_TCP, TCP_ULP, name, &len));
	EXPECT_EQ(0, len);
}

TEST(attach_in_other_states_connecting)
{
	int listener = sock_listen(AF_INET), fd[8], i, last = 0;
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);

	/* A full backlog drops the SYN, and leaves a socket in SYN_SENT. */
	ASSERT_EQ(0, listen(listener, 0));
	ASSERT_EQ(0, getsockname(listener, (void *)&ss, &len));
	for (i = 0; i < 8; i++) {
		fd[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		ASSERT_LE(0, fd[i]);
		ASSERT_ERRNO(EINPROGRESS, connect(fd[i], (void *)&ss, len));
		if (!sock_poll(fd[i], POLLOUT, 50)) {
			last = i;
			break;
		}
	}
	ASSERT_LT(0, last);
	expect_not_attached(fd[last]);
}

TEST(attach_in_other_states_after_own_fin)
{
	int fd[2];
	char c;

	sock_pair(AF_INET, fd);
	ASSERT_EQ(0, shutdown(fd[0], SHUT_WR));
	expect_not_attached(fd[0]);
	ASSERT_EQ(0, recv(fd[1], &c, 1, 0));
	ASSERT_EQ(1, send(fd[1], "x", 1, 0));
	EXPECT_EQ(1, recv(fd[0], &c, 1, 0));
}

TEST(attach_in_other_states_after_reset)
{
	int fd[2];
	char c;

	sock_pair(AF_INET, fd);
	sock_reset(fd[1]);
	ASSERT_NE(0, sock_poll(fd[0], POLLHUP, test_wait_ms()));
	expect_not_attached(fd[0]);
	EXPECT_ERRNO(ECONNRESET, recv(fd[0], &c, 1, 0));
}

/* ---- races ----------------------------------------------------------------- */

struct setter {
	int fd, opt;
	const union peer_info *info;
	atomic_int *go;
	int ret, err;
};

static void *set_at_once(void *arg)
{
	struct setter *s = arg;

	atomic_fetch_sub(s->go, 1);
	while (atomic_load(s->go) > 0)
		;
	s->ret = key_set(s->fd, s->opt, s->info);
	s->err = errno;
	return NULL;
}

/*
 * One wins; the other finds a key there, or in TLS 1.3 its own key repeated.
 */
static void two_setters(struct ktls_data *self, const struct ktls_variant *variant, int opt)
{
	const union peer_info *info = opt == TLS_TX ? &self->tx : &self->rx;
	struct setter s[2];
	pthread_t thread[2];
	atomic_int go = 2;
	int fd[2], i;

	sock_pair(variant->family, fd);
	ulp_require(fd[0]);
	for (i = 0; i < 2; i++) {
		s[i] = (struct setter){ fd[0], opt, info, &go, 0, 0 };
		ASSERT_EQ(0, pthread_create(&thread[i], NULL, set_at_once, &s[i]));
	}
	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, pthread_join(thread[i], NULL));
	EXPECT_EQ(-1, s[0].ret + s[1].ret);
	EXPECT_EQ(variant->version == TLS_1_3_VERSION ? EKEYREJECTED : EBUSY,
		  s[s[0].ret ? 0 : 1].err);
	ASSERT_EQ(0, key_set(fd[0], opt == TLS_TX ? TLS_RX : TLS_TX,
			     opt == TLS_TX ? &self->rx : &self->tx));
	close(self->fd);
	peer_free(&self->peer);
	self->fd = fd[0];
	peer_init(&self->peer, fd[1], &self->tx, &self->rx);
	works_both_ways(self);
}

TEST_F(ktls, keys_from_two_threads)
{
	int i;

	if (variant->version == TLS_1_3_VERSION)
		INTREE_DIFFERS("takes a second key on newer kernels only");
	for (i = 0; i < 20; i++) {
		two_setters(self, variant, TLS_TX);
		two_setters(self, variant, TLS_RX);
	}
}

struct bystander {
	int fd;
	atomic_bool stop;
};

/* Whatever may be asked of a socket without taking its data. */
static void *ask_around(void *arg)
{
	struct bystander *b = arg;
	union peer_info info;
	struct tcp_info ti;
	socklen_t len;
	char name[16];
	int n;

	while (!atomic_load(&b->stop)) {
		sock_poll(b->fd, POLLIN | POLLOUT, 0);
		ioctl(b->fd, FIONREAD, &n);
		len = sizeof(info);
		getsockopt(b->fd, SOL_TLS, TLS_TX, &info, &len);
		len = sizeof(info);
		getsockopt(b->fd, SOL_TLS, TLS_RX, &info, &len);
		len = sizeof(ti);
		getsockopt(b->fd, IPPROTO_TCP, TCP_INFO, &ti, &len);
		len = sizeof(name);
		getsockopt(b->fd, IPPROTO_TCP, TCP_ULP, name, &len);
		recv(b->fd, name, sizeof(name), MSG_PEEK | MSG_DONTWAIT);
	}
	return NULL;
}

static void *feed(void *arg)
{
	struct peer *peer = arg;
	int i;

	for (i = 0; i < 30; i++)
		peer_send(peer, REC_DATA, "0123456789", 10);
	return NULL;
}

/* Packets and other threads' calls meet the socket in every step of its change. */
TEST_F_TIMEOUT(ktls, attach_while_data_comes, 60)
{
	pthread_t asker, feeder;
	struct bystander b;
	int fd[2], i, k;

	for (i = 0; i < 30; i++) {
		close(self->fd);
		peer_free(&self->peer);
		sock_pair(variant->family, fd);
		self->fd = fd[0];
		peer_init(&self->peer, fd[1], &self->tx, &self->rx);
		b.fd = fd[0];
		atomic_init(&b.stop, false);
		ASSERT_EQ(0, pthread_create(&asker, NULL, ask_around, &b));
		ASSERT_EQ(0, pthread_create(&feeder, NULL, feed, &self->peer));
		ulp_require(fd[0]);
		ASSERT_EQ(0, key_set(fd[0], TLS_RX, &self->rx));
		ASSERT_EQ(0, key_set(fd[0], TLS_TX, &self->tx));
		for (k = 0; k < 30; k++)
			expect_data(self, "0123456789", 10);
		ASSERT_EQ(0, pthread_join(feeder, NULL));
		atomic_store(&b.stop, true);
		ASSERT_EQ(0, pthread_join(asker, NULL));
		expect_nothing(self);
	}
}

#ifndef TCP_REPAIR_OFF_NO_WP
#define TCP_REPAIR_OFF_NO_WP -1
#endif

static bool repair(int fd, int on)
{
	return !setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &on, sizeof(on));
}

/* Checkpointing tools freeze the socket; what TCP refuses meanwhile goes afterwards, in order. */
TEST_F(ktls, frozen_by_repair_mode)
{
	uint8_t *data = alloc_pattern(50000, 0), *got = malloc(50000);
	size_t sent = 2;
	ssize_t n;

	INTREE_DIFFERS("tells a reader of what TCP refused to send");
	ASSERT_TRUE(got);
	ASSERT_EQ(2, send(self->fd, data, 2, MSG_MORE));
	if (!repair(self->fd, TCP_REPAIR_ON))
		SKIP("TCP_REPAIR needs CAP_NET_ADMIN");
	while (sent < 49999) {
		n = send(self->fd, data + sent, 49999 - sent, MSG_DONTWAIT);
		if (n < 0)
			break;
		sent += n;
	}
	sock_poll(self->fd, POLLIN | POLLOUT, 0);
	expect_nothing(self);
	ASSERT_TRUE(repair(self->fd, TCP_REPAIR_OFF_NO_WP));
	sock_send_all(self->fd, data + sent, 50000 - sent);
	peer_recv_all(&self->peer, got, 50000);
	EXPECT_MEMEQ(data, got, 50000);
	free(data);
	free(got);
}
