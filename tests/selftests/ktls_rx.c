// SPDX-License-Identifier: GPL-2.0
/* kTLS ABI, receiving: each call that reads, and what the program sees of the records. */
#define _GNU_SOURCE
#include "ktls.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>

TEST_F(ktls, recv_one_record)
{
	char buf[64];

	peer_send(&self->peer, REC_DATA, "hello", 5);
	ASSERT_EQ(5, recv(self->fd, buf, sizeof(buf), 0));
	EXPECT_MEMEQ("hello", buf, 5);
	expect_nothing(self);
}

TEST_F(ktls, read_one_record)
{
	char buf[64];

	peer_send(&self->peer, REC_DATA, "hello", 5);
	ASSERT_EQ(5, read(self->fd, buf, sizeof(buf)));
	EXPECT_MEMEQ("hello", buf, 5);
}

TEST_F(ktls, readv_spreads)
{
	char a[2], b[1], c[10];
	struct iovec iov[] = { { a, 2 }, { b, 0 }, { b, 1 }, { c, 10 } };

	peer_send(&self->peer, REC_DATA, "hello", 5);
	ASSERT_EQ(5, readv(self->fd, iov, 4));
	EXPECT_MEMEQ("he", a, 2);
	EXPECT_MEMEQ("l", b, 1);
	EXPECT_MEMEQ("lo", c, 2);
}

TEST_F(ktls, recvmmsg)
{
	char buf[2][8];
	struct iovec iov[] = { { buf[0], 3 }, { buf[1], 3 } };
	struct mmsghdr msgs[2] = {
		{ .msg_hdr = { .msg_iov = &iov[0], .msg_iovlen = 1 } },
		{ .msg_hdr = { .msg_iov = &iov[1], .msg_iovlen = 1 } },
	};

	peer_send(&self->peer, REC_DATA, "onetwo", 6);
	ASSERT_EQ(2, recvmmsg(self->fd, msgs, 2, 0, NULL));
	EXPECT_EQ(3, msgs[0].msg_len);
	EXPECT_EQ(3, msgs[1].msg_len);
	EXPECT_MEMEQ("one", buf[0], 3);
	EXPECT_MEMEQ("two", buf[1], 3);
}

TEST_F(ktls, recv_nothing_asked)
{
	char c;

	peer_send(&self->peer, REC_DATA, "x", 1);
	arrived(self);
	EXPECT_EQ(0, recv(self->fd, &c, 0, 0));
	expect_data(self, "x", 1);
}

TEST_F(ktls, byte_by_byte)
{
	uint8_t *data = alloc_pattern(300, 0), c;
	int i;

	peer_send_data(&self->peer, data, 300, 100);
	for (i = 0; i < 300; i++) {
		ASSERT_EQ(1, recv(self->fd, &c, 1, 0));
		ASSERT_EQ(data[i], c);
	}
	expect_nothing(self);
	free(data);
}

TEST_F(ktls, odd_sized_reads)
{
	uint8_t *data = alloc_pattern(100000, 0), got[777];
	size_t seen = 0;
	ssize_t n;

	peer_send_data(&self->peer, data, 100000, 5000);
	while (seen < 100000) {
		n = recv(self->fd, got, sizeof(got), 0);
		ASSERT_LT(0, n);
		ASSERT_LE(seen + n, 100000);
		ASSERT_MEMEQ(data + seen, got, n);
		seen += n;
	}
	free(data);
}

TEST_F(ktls, one_recv_takes_many_records)
{
	uint8_t *data = alloc_pattern(5000, 0), got[6000];

	peer_send_data(&self->peer, data, 5000, 500);
	arrived(self);
	ASSERT_EQ(5000, recv(self->fd, got, sizeof(got), MSG_DONTWAIT));
	EXPECT_MEMEQ(data, got, 5000);
	free(data);
}

TEST_F(ktls, largest_records)
{
	const size_t len = 20 * REC_MAX;
	uint8_t *data = alloc_pattern(len, 0), *got = malloc(len);

	ASSERT_TRUE(got);
	sock_set_int(self->fd, SOL_SOCKET, SO_RCVBUF, 1 << 20);
	sock_set_int(self->peer.fd, SOL_SOCKET, SO_SNDBUF, 1 << 20);
	peer_send_data(&self->peer, data, len, REC_MAX);
	ASSERT_EQ((ssize_t)len, recv(self->fd, got, len, MSG_WAITALL));
	EXPECT_MEMEQ(data, got, len);
	free(data);
	free(got);
}

TEST_F(ktls, type_is_told)
{
	static const uint8_t types[] = { REC_DATA, REC_ALERT, REC_HANDSHAKE, REC_DATA };
	uint8_t type;
	char buf[16];
	size_t i;

	for (i = 0; i < sizeof(types); i++)
		peer_send(&self->peer, types[i], "body", 4);
	for (i = 0; i < sizeof(types); i++) {
		ASSERT_EQ(4, recv_typed(self->fd, buf, sizeof(buf), &type, 0));
		EXPECT_EQ(types[i], type);
		EXPECT_MEMEQ("body", buf, 4);
	}
}

TEST_F(ktls, types_are_not_mixed)
{
	uint8_t type;
	char buf[64];

	peer_send(&self->peer, REC_DATA, "ab", 2);
	peer_send(&self->peer, REC_DATA, "cd", 2);
	peer_send(&self->peer, REC_HANDSHAKE, "HS", 2);
	peer_send(&self->peer, REC_HANDSHAKE, "hs", 2);
	peer_send(&self->peer, REC_DATA, "ef", 2);
	arrived(self);
	ASSERT_EQ(4, recv_typed(self->fd, buf, sizeof(buf), &type, 0));
	EXPECT_EQ(REC_DATA, type);
	EXPECT_MEMEQ("abcd", buf, 4);
	ASSERT_EQ(2, recv_typed(self->fd, buf, sizeof(buf), &type, 0));
	EXPECT_EQ(REC_HANDSHAKE, type);
	EXPECT_MEMEQ("HS", buf, 2);
	ASSERT_EQ(2, recv_typed(self->fd, buf, sizeof(buf), &type, 0));
	EXPECT_EQ(REC_HANDSHAKE, type);
	EXPECT_MEMEQ("hs", buf, 2);
	ASSERT_EQ(2, recv_typed(self->fd, buf, sizeof(buf), &type, 0));
	EXPECT_EQ(REC_DATA, type);
	EXPECT_MEMEQ("ef", buf, 2);
}

TEST_F(ktls, control_record_in_parts)
{
	uint8_t type;
	char buf[64];

	peer_send(&self->peer, REC_HANDSHAKE, "abcdef", 6);
	ASSERT_EQ(2, recv_typed(self->fd, buf, 2, &type, 0));
	EXPECT_EQ(REC_HANDSHAKE, type);
	ASSERT_EQ(4, recv_typed(self->fd, buf, sizeof(buf), &type, 0));
	EXPECT_EQ(REC_HANDSHAKE, type);
	EXPECT_MEMEQ("cdef", buf, 4);
}

TEST_F(ktls, control_record_without_room)
{
	uint8_t type;
	char buf[64];

	peer_send(&self->peer, REC_HANDSHAKE, "HS", 2);
	EXPECT_ERRNO(EIO, recv(self->fd, buf, sizeof(buf), 0));
	/* Nothing is lost by the refusal. */
	ASSERT_EQ(2, recv_typed(self->fd, buf, sizeof(buf), &type, 0));
	EXPECT_EQ(REC_HANDSHAKE, type);
	EXPECT_MEMEQ("HS", buf, 2);
	peer_send(&self->peer, REC_DATA, "x", 1);
	expect_data(self, "x", 1);
}

TEST_F(ktls, peek_then_read)
{
	char buf[64];

	peer_send(&self->peer, REC_DATA, "hello", 5);
	ASSERT_EQ(5, recv(self->fd, buf, sizeof(buf), MSG_PEEK));
	EXPECT_MEMEQ("hello", buf, 5);
	ASSERT_EQ(3, recv(self->fd, buf, 3, MSG_PEEK));
	EXPECT_MEMEQ("hel", buf, 3);
	ASSERT_EQ(2, recv(self->fd, buf, 2, 0));
	ASSERT_EQ(3, recv(self->fd, buf, sizeof(buf), MSG_PEEK));
	EXPECT_MEMEQ("llo", buf, 3);
	expect_data(self, "llo", 3);
	expect_nothing(self);
}

TEST_F(ktls, peek_over_records)
{
	uint8_t *data = alloc_pattern(3000, 0), got[4000];

	peer_send_data(&self->peer, data, 3000, 1000);
	ASSERT_EQ(2500, recv(self->fd, got, 2500, MSG_PEEK | MSG_WAITALL));
	EXPECT_MEMEQ(data, got, 2500);
	ASSERT_EQ(3000, recv(self->fd, got, 3000, MSG_PEEK | MSG_WAITALL));
	EXPECT_MEMEQ(data, got, 3000);
	expect_data(self, data, 3000);
	expect_nothing(self);
	free(data);
}

static int64_t cpu_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

/* What is there already must not keep the reader of more from sleeping, nor its time from passing. */
TEST_F(ktls, peek_waitall_sleeps_until_its_timeout)
{
	struct timeval tv = { .tv_usec = 300000 };
	int64_t wall = sock_now_ms(), cpu = cpu_ms();
	char buf[64];

	ASSERT_EQ(0, setsockopt(self->fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)));
	peer_send(&self->peer, REC_DATA, "hello", 5);
	ASSERT_EQ(5, recv(self->fd, buf, 10, MSG_PEEK | MSG_WAITALL));
	wall = sock_now_ms() - wall;
	cpu = cpu_ms() - cpu;
	EXPECT_MEMEQ("hello", buf, 5);
	EXPECT_LE(290, wall);
	EXPECT_LT(wall, test_wait_ms());
	EXPECT_LT(cpu, wall / 2);
	expect_data(self, "hello", 5);
}

TEST_F(ktls, peek_nothing)
{
	char c;

	EXPECT_ERRNO(EAGAIN, recv(self->fd, &c, 1, MSG_PEEK | MSG_DONTWAIT));
}

static void *send_in_parts(void *arg)
{
	struct ktls_data *self = arg;
	uint8_t *data = alloc_pattern(10000, 0);
	int i;

	for (i = 0; i < 10; i++) {
		peer_send(&self->peer, REC_DATA, data + i * 1000, 1000);
		sock_wait_acked(self->peer.fd);
	}
	free(data);
	return NULL;
}

TEST_F(ktls, waitall_waits)
{
	uint8_t *data = alloc_pattern(10000, 0), got[10000];
	pthread_t thread;

	ASSERT_EQ(0, pthread_create(&thread, NULL, send_in_parts, self));
	ASSERT_EQ(10000, recv(self->fd, got, sizeof(got), MSG_WAITALL));
	EXPECT_MEMEQ(data, got, sizeof(got));
	ASSERT_EQ(0, pthread_join(thread, NULL));
	free(data);
}

TEST_F(ktls, waitall_ends_at_eof)
{
	char buf[100];

	peer_send(&self->peer, REC_DATA, "abc", 3);
	ASSERT_EQ(0, shutdown(self->peer.fd, SHUT_WR));
	EXPECT_EQ(3, recv(self->fd, buf, sizeof(buf), MSG_WAITALL));
	EXPECT_EQ(0, recv(self->fd, buf, sizeof(buf), 0));
}

TEST_F(ktls, receive_timeout)
{
	struct timeval tv = { .tv_usec = 50000 };
	char c;

	ASSERT_EQ(0, setsockopt(self->fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)));
	EXPECT_ERRNO(EAGAIN, recv(self->fd, &c, 1, 0));
	peer_send(&self->peer, REC_DATA, "x", 1);
	expect_data(self, "x", 1);
}

static void *send_after_poll(void *arg)
{
	struct ktls_data *self = arg;

	peer_send(&self->peer, REC_DATA, "0123456789", 10);
	sock_wait_acked(self->peer.fd);
	peer_send(&self->peer, REC_DATA, "abcdefghij", 10);
	return NULL;
}

TEST_F(ktls, receive_low_water_mark)
{
	pthread_t thread;
	char buf[64];

	sock_set_int(self->fd, SOL_SOCKET, SO_RCVLOWAT, 20);
	ASSERT_EQ(0, pthread_create(&thread, NULL, send_after_poll, self));
	ASSERT_EQ(20, recv(self->fd, buf, sizeof(buf), 0));
	EXPECT_MEMEQ("0123456789abcdefghij", buf, 20);
	ASSERT_EQ(0, pthread_join(thread, NULL));
}

struct reader {
	int fd;
	volatile pid_t tid;
	ssize_t n;
	uint8_t buf[2000];
};

static void *read_once(void *arg)
{
	struct reader *r = arg;

	r->tid = gettid();
	r->n = recv(r->fd, r->buf, sizeof(r->buf), 0);
	return NULL;
}

static void wait_asleep(const struct reader *r)
{
	while (!r->tid || !test_is_asleep(r->tid))
		sched_yield();
}

/*
 * The mark is of plaintext.  TCP would count the second record's few bytes
 * of ciphertext against it, and leave the reader asleep.
 */
TEST_F(ktls, low_water_mark_above_a_record)
{
	struct timeval tv = { .tv_sec = test_wait_ms() / 1000 };
	struct reader r = { .fd = self->fd };
	uint8_t *data = alloc_pattern(1000, 0);
	int64_t start = sock_now_ms();
	pthread_t thread;

	sock_set_int(self->fd, SOL_SOCKET, SO_RCVLOWAT, 980);
	ASSERT_EQ(0, setsockopt(self->fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)));
	ASSERT_EQ(0, pthread_create(&thread, NULL, read_once, &r));
	wait_asleep(&r);
	peer_send(&self->peer, REC_DATA, data, 970);
	arrived(self);
	wait_asleep(&r);
	peer_send(&self->peer, REC_DATA, data + 970, 30);
	ASSERT_EQ(0, pthread_join(thread, NULL));
	ASSERT_EQ(1000, r.n);
	EXPECT_MEMEQ(data, r.buf, 1000);
	EXPECT_LT(sock_now_ms() - start, test_wait_ms());
	free(data);
}

static ssize_t splice_in(int fd, int p[2], uint8_t *out, size_t len, int flags)
{
	ssize_t n = splice(fd, NULL, p[1], NULL, len, flags);

	if (n > 0)
		ASSERT_EQ(n, read(p[0], out, n));
	return n;
}

TEST_F(ktls, splice_to_pipe)
{
	uint8_t *data = alloc_pattern(40000, 0), got[40000];
	size_t seen;
	ssize_t n;
	int p[2];

	ASSERT_EQ(0, pipe(p));
	peer_send_data(&self->peer, data, 40000, 10000);
	for (seen = 0; seen < 40000; seen += n) {
		n = splice_in(self->fd, p, got + seen, 40000 - seen, 0);
		ASSERT_LT(0, n);
	}
	EXPECT_MEMEQ(data, got, 40000);
	EXPECT_ERRNO(EAGAIN, splice(self->fd, NULL, p[1], NULL, 1, SPLICE_F_NONBLOCK));
	free(data);
}

TEST_F(ktls, splice_part_then_recv)
{
	uint8_t got[16];
	int p[2];

	ASSERT_EQ(0, pipe(p));
	peer_send(&self->peer, REC_DATA, "abcdef", 6);
	ASSERT_EQ(2, splice_in(self->fd, p, got, 2, 0));
	EXPECT_MEMEQ("ab", got, 2);
	ASSERT_EQ(2, recv(self->fd, got, 2, 0));
	EXPECT_MEMEQ("cd", got, 2);
	ASSERT_EQ(2, splice_in(self->fd, p, got, 10, 0));
	EXPECT_MEMEQ("ef", got, 2);
}

TEST_F(ktls, splice_control_record)
{
	uint8_t got[16], type;
	int p[2];

	ASSERT_EQ(0, pipe(p));
	peer_send(&self->peer, REC_HANDSHAKE, "HS", 2);
	EXPECT_ERRNO(EINVAL, splice(self->fd, NULL, p[1], NULL, 10, 0));
	ASSERT_EQ(2, recv_typed(self->fd, got, sizeof(got), &type, 0));
	EXPECT_EQ(REC_HANDSHAKE, type);
}

TEST_F(ktls, splice_at_eof)
{
	int p[2];

	ASSERT_EQ(0, pipe(p));
	ASSERT_EQ(0, shutdown(self->peer.fd, SHUT_WR));
	EXPECT_EQ(0, splice(self->fd, NULL, p[1], NULL, 10, 0));
}

/* A refused copy loses nothing of the stream. */
TEST_F(ktls, bad_pointer)
{
	peer_send(&self->peer, REC_DATA, "hello", 5);
	arrived(self);
	EXPECT_ERRNO(EFAULT, recv(self->fd, (void *)8, 3, 0));
	expect_data(self, "hello", 5);
}

TEST_F(ktls, close_with_unread_data)
{
	uint8_t *data = alloc_pattern(50000, 0);

	peer_send_data(&self->peer, data, 50000, 10000);
	ASSERT_EQ(1, recv(self->fd, data, 1, 0));
	close(self->fd);
	self->fd = -1;
	EXPECT_NE(0, sock_poll(self->peer.fd, POLLIN | POLLHUP, test_wait_ms()));
	free(data);
}

TEST_F(ktls, get_after_records)
{
	size_t len = peer_info_size(&self->rx);
	socklen_t optlen = len;
	union peer_info want, seen;
	char c;
	int i;

	for (i = 0; i < 10; i++) {
		peer_send(&self->peer, REC_DATA, "x", 1);
		ASSERT_EQ(1, recv(self->fd, &c, 1, 0));
	}
	peer_info_make(&want, variant->version, variant->cipher, 2, 9 + 10);
	ASSERT_EQ(0, getsockopt(self->fd, SOL_TLS, TLS_RX, &seen, &optlen));
	ASSERT_EQ(len, optlen);
	EXPECT_MEMEQ(&want, &seen, len);
}

static void *read_share(void *arg)
{
	struct ktls_data *self = arg;
	intptr_t total = 0;
	uint8_t buf[1000];
	ssize_t n;

	while ((n = recv(self->fd, buf, sizeof(buf), 0)) > 0)
		total += n;
	return (void *)total;
}

TEST_F(ktls, two_readers_share_the_stream)
{
	uint8_t *data = alloc_pattern(500000, 0);
	pthread_t thread[2];
	void *got[2];

	ASSERT_EQ(0, pthread_create(&thread[0], NULL, read_share, self));
	ASSERT_EQ(0, pthread_create(&thread[1], NULL, read_share, self));
	peer_send_data(&self->peer, data, 500000, 3000);
	ASSERT_EQ(0, shutdown(self->peer.fd, SHUT_WR));
	ASSERT_EQ(0, pthread_join(thread[0], &got[0]));
	ASSERT_EQ(0, pthread_join(thread[1], &got[1]));
	EXPECT_EQ(500000, (intptr_t)got[0] + (intptr_t)got[1]);
	free(data);
}

/* MSG_EOR tells, under the kTLS ABI, that the read came to the end of a record. */
TEST_F(ktls, end_of_record_is_told)
{
	struct iovec iov = { .iov_base = SCRATCH(16), .iov_len = 4 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	peer_send(&self->peer, REC_DATA, "abcdef", 6);
	arrived(self);
	ASSERT_EQ(4, recvmsg(self->fd, &msg, 0));
	EXPECT_EQ(0, msg.msg_flags & MSG_EOR);
	ASSERT_EQ(2, recvmsg(self->fd, &msg, 0));
	EXPECT_EQ(MSG_EOR, msg.msg_flags & MSG_EOR);
}
