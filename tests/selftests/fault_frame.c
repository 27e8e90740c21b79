// SPDX-License-Identifier: GPL-2.0
/*
 * Faults that in-tree kTLS had finding records in TCP's queue, telling of
 * them, and copying them out; the list of them is at the head of fault_rx.c.
 */
#define _GNU_SOURCE
#include "ktls.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/uio.h>

static int epoll_of(int fd)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET };
	int ep = epoll_create1(EPOLL_CLOEXEC);

	ASSERT_LE(0, ep);
	ASSERT_EQ(0, epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev));
	return ep;
}

/* TCP has told of the bytes before the key came: that edge is spent. */
TEST_F(ktls, keys_after_the_record)
{
	uint8_t rec[REC_SPACE];
	struct epoll_event ev;
	int fd[2], ep;
	size_t len;

	close(self->fd);
	close(self->peer.fd);
	sock_pair(variant->family, fd);
	self->fd = fd[0];
	self->peer.fd = fd[1];
	ulp_require(self->fd);
	ep = epoll_of(self->fd);
	len = peer_seal(&self->peer.tx, REC_DATA, "first", 5, 0, rec);
	peer_send_raw(&self->peer, rec, len);
	ASSERT_EQ(1, epoll_wait(ep, &ev, 1, test_wait_ms()));
	EXPECT_EQ(0, epoll_wait(ep, &ev, 1, 0));
	ASSERT_EQ(0, key_set(self->fd, TLS_RX, &self->rx));
	ASSERT_EQ(1, epoll_wait(ep, &ev, 1, test_wait_ms()));
	EXPECT_EQ(EPOLLIN, ev.events);
	expect_data(self, "first", 5);
	close(ep);
}

struct poller {
	int fd;
	volatile pid_t tid;
	volatile int events;
};

static void *poll_once(void *arg)
{
	struct poller *p = arg;
	int64_t start = sock_now_ms();

	p->tid = gettid();
	p->events = sock_poll(p->fd, POLLIN, test_wait_ms());
	/* poll() looks once more when its time is over: that would be no wake-up. */
	EXPECT_LT(sock_now_ms() - start, test_wait_ms());
	return NULL;
}

TEST_F(ktls, sleeping_poller)
{
	struct poller p = { .fd = self->fd };
	uint8_t rec[REC_SPACE];
	pthread_t thread;
	size_t len;

	len = peer_seal(&self->peer.tx, REC_DATA, "hello", 5, 0, rec);
	ASSERT_EQ(0, pthread_create(&thread, NULL, poll_once, &p));
	while (!p.tid || !test_is_asleep(p.tid))
		sched_yield();
	peer_send_raw(&self->peer, rec, len - 1);
	arrived(self);
	while (!test_is_asleep(p.tid))
		sched_yield();
	EXPECT_EQ(0, p.events);
	peer_send_raw(&self->peer, rec + len - 1, 1);
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(POLLIN, p.events);
	expect_data(self, "hello", 5);
}

/* What the peer of a small receive buffer sends: raw bytes in pieces of any size. */
struct pieces {
	struct peer *peer;
	uint8_t *raw;
	size_t len, piece;
};

static void *send_pieces(void *arg)
{
	const struct pieces *p = arg;
	size_t at, n;

	for (at = 0; at < p->len; at += n) {
		n = p->len - at < p->piece ? p->len - at : p->piece;
		peer_send_raw(p->peer, p->raw + at, n);
	}
	return NULL;
}

static void small_buffer_case(struct ktls_data *self, const size_t *sizes, size_t count,
			      size_t piece)
{
	struct pieces p = { .peer = &self->peer, .piece = piece };
	uint8_t *want, *got;
	size_t i, total = 0;
	pthread_t thread;

	for (i = 0; i < count; i++)
		total += sizes[i];
	want = alloc_pattern(total, 0);
	got = malloc(total);
	p.raw = malloc(total + count * 64);
	ASSERT_TRUE(got && p.raw);
	for (total = i = 0; i < count; total += sizes[i++])
		p.len += peer_seal(&self->peer.tx, REC_DATA, want + total, sizes[i], 0,
				   p.raw + p.len);
	sock_set_int(self->fd, SOL_SOCKET, SO_RCVBUF, 4096);
	ASSERT_EQ(0, pthread_create(&thread, NULL, send_pieces, &p));
	sock_recv_all(self->fd, got, total);
	EXPECT_MEMEQ(want, got, total);
	ASSERT_EQ(0, pthread_join(thread, NULL));
	expect_nothing(self);
	free(want);
	free(got);
	free(p.raw);
}

/* Copied out of TCP's queue, one record must end where the next begins. */
TEST_F_TIMEOUT(ktls, mixed_records_in_a_small_buffer, 60)
{
	static const size_t sizes[] = { 1, REC_MAX, 5, 3000, 1, 1, 16383, 2, 8000, 1, 4096, 4 };

	small_buffer_case(self, sizes, sizeof(sizes) / sizeof(*sizes), 777);
}

/* Each small segment costs far more of the buffer than it has bytes. */
TEST_F_TIMEOUT(ktls, segments_eat_the_buffer, 60)
{
	static const size_t sizes[] = { REC_MAX, 10, REC_MAX };

	small_buffer_case(self, sizes, sizeof(sizes) / sizeof(*sizes), 61);
}

#ifndef TLS_RX_EXPECT_NO_PAD
#define TLS_RX_EXPECT_NO_PAD 4
#endif

/* The optimist decrypts into the reader's pages, finds padding, and has to start again. */
TEST_F(ktls, padding_though_none_was_expected)
{
	uint8_t *data = alloc_pattern(300, 0), a[7], b[100], c[1000], type;
	struct iovec iov[] = { { a, sizeof(a) }, { b, sizeof(b) }, { c, sizeof(c) } };
	int one = 1;

	if (variant->version != TLS_1_3_VERSION)
		return;
	ASSERT_EQ(0, setsockopt(self->fd, SOL_TLS, TLS_RX_EXPECT_NO_PAD, &one, sizeof(one)));
	memset(c, 0xee, sizeof(c));
	peer_send_padded(&self->peer, REC_DATA, data, 300, 77);
	arrived(self);
	ASSERT_EQ(300, readv(self->fd, iov, 3));
	EXPECT_MEMEQ(data, a, 7);
	EXPECT_MEMEQ(data + 7, b, 100);
	EXPECT_MEMEQ(data + 107, c, 193);
	peer_send_padded(&self->peer, REC_HANDSHAKE, "HS", 2, 5);
	peer_send_padded(&self->peer, REC_DATA, data, 300, 1);
	arrived(self);
	ASSERT_EQ(2, recv_typed(self->fd, c, sizeof(c), &type, 0));
	EXPECT_EQ(REC_HANDSHAKE, type);
	ASSERT_EQ(300, recv(self->fd, c, sizeof(c), 0));
	EXPECT_MEMEQ(data, c, 300);
	free(data);
}

/* Of a buffer that ends too early what was delivered and what is left make up the stream. */
TEST_F(ktls, half_bad_pointer)
{
	uint8_t *data = alloc_pattern(180, 0), got[180];
	long page = sysconf(_SC_PAGESIZE);
	uint8_t *map = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ssize_t n;

	INTREE_DIFFERS("decrypts the record once more");
	ASSERT_NE(MAP_FAILED, map);
	ASSERT_EQ(0, munmap(map + page, page));
	peer_send_data(&self->peer, data, 180, 60);
	arrived(self);
	n = recv(self->fd, map + page - 100, 1000, 0);
	if (n < 0) {
		EXPECT_EQ(EFAULT, errno);
		n = 0;
	}
	ASSERT_LE(n, 100);
	EXPECT_MEMEQ(data, map + page - 100, n);
	ASSERT_EQ(180 - n, recv(self->fd, got, sizeof(got), 0));
	EXPECT_MEMEQ(data + n, got, 180 - n);
	expect_nothing(self);
	free(data);
}
