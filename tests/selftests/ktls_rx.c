// SPDX-License-Identifier: GPL-2.0
/* kTLS ABI, receiving: any record byte for byte, and what the program sees of it. */
#define _GNU_SOURCE
#include "ktls.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

/* Everything the peer sent has reached the socket. */
static void arrived(struct ktls_data *self)
{
	sock_wait_received(self->fd, self->peer.sent);
}

static void expect_data(struct ktls_data *self, const void *data, size_t len)
{
	uint8_t *got = malloc(len + 1);

	ASSERT_TRUE(got);
	ASSERT_EQ((ssize_t)len, recv(self->fd, got, len, MSG_WAITALL));
	EXPECT_MEMEQ(data, got, len);
	free(got);
}

static void expect_nothing(struct ktls_data *self)
{
	char c;

	EXPECT_ERRNO(EAGAIN, recv(self->fd, &c, 1, MSG_DONTWAIT));
}

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

/* Each place where one record can be cut in two. */
TEST_F_TIMEOUT(ktls, split_at_every_byte, 60)
{
	uint8_t rec[REC_SPACE];
	size_t len, cut;
	char buf[64];

	len = peer_record_len(&self->peer.tx, 5);
	for (cut = 1; cut < len; cut++) {
		ASSERT_EQ(len, peer_seal(&self->peer.tx, REC_DATA, "hello", 5, 0, rec));
		peer_send_raw(&self->peer, rec, cut);
		arrived(self);
		EXPECT_EQ(0, sock_poll(self->fd, POLLIN, 0));
		ASSERT_ERRNO(EAGAIN, recv(self->fd, buf, sizeof(buf), MSG_DONTWAIT));
		peer_send_raw(&self->peer, rec + cut, len - cut);
		arrived(self);
		EXPECT_EQ(POLLIN, sock_poll(self->fd, POLLIN, test_wait_ms()) & POLLIN);
		ASSERT_EQ(5, recv(self->fd, buf, sizeof(buf), MSG_DONTWAIT));
		ASSERT_MEMEQ("hello", buf, 5);
	}
}

/* Each byte its own segment, with the end of one record and the start of the next in between. */
TEST_F_TIMEOUT(ktls, every_byte_alone, 60)
{
	uint8_t rec[2 * REC_SPACE], got[32];
	size_t len, i;

	len = peer_seal(&self->peer.tx, REC_DATA, "hello ", 6, 0, rec);
	len += peer_seal(&self->peer.tx, REC_DATA, "world", 5, 0, rec + len);
	for (i = 0; i < len; i++) {
		peer_send_raw(&self->peer, rec + i, 1);
		arrived(self);
	}
	ASSERT_EQ(11, recv(self->fd, got, 11, MSG_WAITALL));
	EXPECT_MEMEQ("hello world", got, 11);
}

TEST_F(ktls, record_and_a_half)
{
	uint8_t rec[2 * REC_SPACE];
	size_t one, two;
	char buf[64];

	one = peer_seal(&self->peer.tx, REC_DATA, "one", 3, 0, rec);
	two = peer_seal(&self->peer.tx, REC_DATA, "two", 3, 0, rec + one);
	peer_send_raw(&self->peer, rec, one + two / 2);
	arrived(self);
	ASSERT_EQ(3, recv(self->fd, buf, sizeof(buf), MSG_DONTWAIT));
	EXPECT_EQ(0, sock_poll(self->fd, POLLIN, 0));
	expect_nothing(self);
	peer_send_raw(&self->peer, rec + one + two / 2, two - two / 2);
	expect_data(self, "two", 3);
}

TEST_F(ktls, poll_half_then_whole)
{
	uint8_t rec[REC_SPACE];
	size_t len;

	EXPECT_EQ(0, sock_poll(self->fd, POLLIN, 0));
	len = peer_seal(&self->peer.tx, REC_DATA, "hello", 5, 0, rec);
	peer_send_raw(&self->peer, rec, len - 1);
	arrived(self);
	EXPECT_EQ(0, sock_poll(self->fd, POLLIN, 0));
	peer_send_raw(&self->peer, rec + len - 1, 1);
	EXPECT_EQ(POLLIN, sock_poll(self->fd, POLLIN, test_wait_ms()));
	expect_data(self, "hello", 5);
	EXPECT_EQ(0, sock_poll(self->fd, POLLIN, 0));
}

TEST_F(ktls, poll_rest_of_a_record)
{
	char buf[4];

	peer_send(&self->peer, REC_DATA, "abcdef", 6);
	ASSERT_EQ(2, recv(self->fd, buf, 2, 0));
	EXPECT_EQ(POLLIN, sock_poll(self->fd, POLLIN, 0));
	ASSERT_EQ(4, recv(self->fd, buf, 4, 0));
	EXPECT_EQ(0, sock_poll(self->fd, POLLIN, 0));
}

static int epoll_next(int ep)
{
	struct epoll_event ev;
	int n = epoll_wait(ep, &ev, 1, test_wait_ms());

	return n == 1 ? (int)ev.events : 0;
}

TEST_F(ktls, epoll_edge_for_each_record)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLRDHUP | EPOLLET };
	int ep = epoll_create1(0), i;

	ASSERT_LE(0, ep);
	ASSERT_EQ(0, epoll_ctl(ep, EPOLL_CTL_ADD, self->fd, &ev));
	for (i = 0; i < 20; i++) {
		peer_send(&self->peer, REC_DATA, "hello", 5);
		EXPECT_TRUE(epoll_next(ep) & EPOLLIN);
		expect_data(self, "hello", 5);
		expect_nothing(self);
	}
	ASSERT_EQ(0, shutdown(self->peer.fd, SHUT_WR));
	EXPECT_TRUE(epoll_next(ep) & EPOLLRDHUP);
	close(ep);
}

static int fionread(int fd)
{
	int n = -1;

	ASSERT_EQ(0, ioctl(fd, FIONREAD, &n));
	return n;
}

TEST_F(ktls, fionread_counts_plaintext)
{
	uint8_t rec[REC_SPACE];
	char buf[64];
	size_t len;

	INTREE_DIFFERS("counts ciphertext");
	EXPECT_EQ(0, fionread(self->fd));
	len = peer_seal(&self->peer.tx, REC_DATA, "hello", 5, 0, rec);
	peer_send_raw(&self->peer, rec, len / 2);
	arrived(self);
	EXPECT_EQ(0, fionread(self->fd));
	peer_send_raw(&self->peer, rec + len / 2, len - len / 2);
	arrived(self);
	EXPECT_EQ(5, fionread(self->fd));
	EXPECT_EQ(5, fionread(self->fd));
	ASSERT_EQ(2, recv(self->fd, buf, 2, 0));
	EXPECT_EQ(3, fionread(self->fd));
	ASSERT_EQ(3, recv(self->fd, buf, sizeof(buf), 0));
	EXPECT_EQ(0, fionread(self->fd));
}

TEST_F(ktls, fionread_with_padding)
{
	if (variant->version != TLS_1_3_VERSION)
		return;
	INTREE_DIFFERS("counts ciphertext");
	peer_send_padded(&self->peer, REC_DATA, "hello", 5, 100);
	arrived(self);
	EXPECT_EQ(5, fionread(self->fd));
	expect_data(self, "hello", 5);
}

/* Of several records at least the first must be counted, and never more than is there. */
TEST_F(ktls, fionread_several_records)
{
	int n;

	INTREE_DIFFERS("counts ciphertext");
	peer_send(&self->peer, REC_DATA, "hello", 5);
	peer_send(&self->peer, REC_DATA, "world!", 6);
	arrived(self);
	n = fionread(self->fd);
	EXPECT_LE(5, n);
	EXPECT_LE(n, 11);
	expect_data(self, "helloworld!", 11);
	EXPECT_EQ(0, fionread(self->fd));
}

TEST_F(ktls, empty_record_is_not_eof)
{
	char buf[16];

	peer_send(&self->peer, REC_DATA, NULL, 0);
	arrived(self);
	EXPECT_ERRNO(EAGAIN, recv(self->fd, buf, sizeof(buf), MSG_DONTWAIT));
	peer_send(&self->peer, REC_DATA, NULL, 0);
	peer_send(&self->peer, REC_DATA, "x", 1);
	arrived(self);
	ASSERT_EQ(1, recv(self->fd, buf, sizeof(buf), MSG_DONTWAIT));
	EXPECT_EQ('x', buf[0]);
}

TEST_F(ktls, empty_records_between)
{
	int i;

	for (i = 0; i < 10; i++) {
		peer_send(&self->peer, REC_DATA, "a", 1);
		peer_send(&self->peer, REC_DATA, NULL, 0);
	}
	expect_data(self, "aaaaaaaaaa", 10);
	expect_nothing(self);
}

TEST_F(ktls, empty_record_and_peek)
{
	char buf[16];

	INTREE_DIFFERS("ends the read with 0 at the empty record");
	peer_send(&self->peer, REC_DATA, NULL, 0);
	peer_send(&self->peer, REC_DATA, "ab", 2);
	peer_send(&self->peer, REC_DATA, NULL, 0);
	peer_send(&self->peer, REC_HANDSHAKE, "H", 1);
	arrived(self);
	ASSERT_EQ(2, recv(self->fd, buf, 2, MSG_PEEK | MSG_WAITALL));
	ASSERT_EQ(1, recv(self->fd, buf, 1, 0));
	ASSERT_EQ(1, recv(self->fd, buf, 1, MSG_PEEK));
	EXPECT_EQ('b', buf[0]);
	ASSERT_EQ(1, recv(self->fd, buf, 1, 0));
	EXPECT_ERRNO(EIO, recv(self->fd, buf, sizeof(buf), 0));
}

static void *flood_empty(void *arg)
{
	struct ktls_data *self = arg;
	int i;

	for (i = 0; i < 5000; i++)
		peer_send(&self->peer, REC_DATA, NULL, 0);
	peer_send(&self->peer, REC_DATA, "end", 3);
	return NULL;
}

TEST_F_TIMEOUT(ktls, empty_record_flood, 60)
{
	pthread_t thread;
	char buf[16];

	ASSERT_EQ(0, pthread_create(&thread, NULL, flood_empty, self));
	ASSERT_EQ(3, recv(self->fd, buf, sizeof(buf), 0));
	EXPECT_MEMEQ("end", buf, 3);
	ASSERT_EQ(0, pthread_join(thread, NULL));
}

TEST_F(ktls, padding)
{
	static const size_t pads[] = { 0, 1, 15, 16, 255, 4096, 16000 };
	uint8_t type;
	char buf[64];
	size_t i;

	if (variant->version != TLS_1_3_VERSION)
		return;
	for (i = 0; i < sizeof(pads) / sizeof(*pads); i++) {
		peer_send_padded(&self->peer, REC_DATA, "hello", 5, pads[i]);
		ASSERT_EQ(5, recv(self->fd, buf, sizeof(buf), 0));
		EXPECT_MEMEQ("hello", buf, 5);
		peer_send_padded(&self->peer, REC_HANDSHAKE, "H", 1, pads[i]);
		ASSERT_EQ(1, recv_typed(self->fd, buf, sizeof(buf), &type, 0));
		EXPECT_EQ(REC_HANDSHAKE, type);
	}
}

TEST_F(ktls, padding_into_small_and_exact_buffers)
{
	uint8_t guard[64];

	if (variant->version != TLS_1_3_VERSION)
		return;
	/* The padding must not land beyond what the program asked for, nor be counted. */
	memset(guard, 0xee, sizeof(guard));
	peer_send_padded(&self->peer, REC_DATA, "hello", 5, 30);
	ASSERT_EQ(5, recv(self->fd, guard, 5, MSG_WAITALL));
	EXPECT_MEMEQ("hello", guard, 5);
	EXPECT_EQ(0xee, guard[5]);
	peer_send_padded(&self->peer, REC_DATA, "hello", 5, 30);
	ASSERT_EQ(2, recv(self->fd, guard, 2, 0));
	ASSERT_EQ(3, recv(self->fd, guard, 36, 0));
	EXPECT_MEMEQ("llo", guard, 3);
}

TEST_F(ktls, padding_up_to_the_limit)
{
	uint8_t *data = alloc_pattern(REC_MAX, 0);

	if (variant->version != TLS_1_3_VERSION)
		return;
	peer_send_padded(&self->peer, REC_DATA, data, 10, REC_MAX - 10);
	expect_data(self, data, 10);
	peer_send_padded(&self->peer, REC_DATA, data, REC_MAX, 0);
	expect_data(self, data, REC_MAX);
	free(data);
}

/* The error is told, later reads give no data and no end of file in disguise. */
static void expect_fatal(struct ktls_data *self, int want)
{
	char buf[64];
	ssize_t n;
	int i;

	ASSERT_NE(0, sock_poll(self->fd, POLLIN, test_wait_ms()));
	n = recv(self->fd, buf, sizeof(buf), 0);
	EXPECT_EQ(-1, n);
	EXPECT_EQ(want, errno);
	for (i = 0; i < 3; i++) {
		n = recv(self->fd, buf, sizeof(buf), MSG_DONTWAIT);
		EXPECT_EQ(-1, n);
		/* In-tree kTLS forgets what was wrong with a header: EAGAIN from then on. */
		if (!ulp_is_intree())
			EXPECT_EQ(want, errno);
	}
	/* A good record behind it changes nothing. */
	peer_send(&self->peer, REC_DATA, "late", 4);
	arrived(self);
	EXPECT_EQ(-1, recv(self->fd, buf, sizeof(buf), MSG_DONTWAIT));
}

static void send_header(struct ktls_data *self, uint8_t type, uint16_t version, size_t len)
{
	uint8_t header[REC_HEADER + 64] = { type, version >> 8, version, len >> 8, len };

	peer_send_raw(&self->peer, header, sizeof(header));
}

TEST_F(ktls, padding_only)
{
	uint8_t zero[32] = {};

	if (variant->version != TLS_1_3_VERSION)
		return;
	/* Inner plaintext of zeros alone has no type (RFC 8446 5.4). */
	peer_send_padded(&self->peer, 0, zero, sizeof(zero), 0);
	expect_fatal(self, EBADMSG);
}

TEST_F(ktls, padding_over_the_limit)
{
	uint8_t *data = alloc_pattern(REC_MAX, 0);

	if (variant->version != TLS_1_3_VERSION)
		return;
	peer_send_padded(&self->peer, REC_DATA, data, REC_MAX, 1);
	expect_fatal(self, EMSGSIZE);
	free(data);
}

TEST_F(ktls, content_over_the_limit)
{
	uint8_t *data = alloc_pattern(REC_MAX + 1, 0);

	peer_send(&self->peer, REC_DATA, data, REC_MAX + 1);
	expect_fatal(self, EMSGSIZE);
	free(data);
}

TEST_F(ktls, header_length_too_long)
{
	/* RFC 5246 6.2.3 and RFC 8446 5.2: more than any record may have. */
	send_header(self, REC_DATA, 0x0303, REC_MAX + 2048 + 1);
	expect_fatal(self, EMSGSIZE);
}

TEST_F(ktls, header_length_too_short)
{
	size_t least = peer_record_len(&self->peer.tx, 0) - REC_HEADER;

	if (variant->version == TLS_1_3_VERSION)
		INTREE_DIFFERS("does not count the type byte");
	send_header(self, REC_DATA, 0x0303, least - 1);
	expect_fatal(self, EBADMSG);
}

TEST_F(ktls, header_length_zero)
{
	send_header(self, REC_DATA, 0x0303, 0);
	expect_fatal(self, EBADMSG);
}

TEST_F(ktls, header_version_wrong)
{
	send_header(self, REC_DATA, 0x0304, 100);
	expect_fatal(self, EINVAL);
}

TEST_F(ktls, header_version_old)
{
	send_header(self, REC_DATA, 0x0301, 100);
	expect_fatal(self, EINVAL);
}

TEST_F(ktls, cleartext_instead_of_a_record)
{
	peer_send_raw(&self->peer, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27);
	ASSERT_NE(0, sock_poll(self->fd, POLLIN, test_wait_ms()));
	EXPECT_EQ(-1, recv(self->fd, (char[64]){}, 64, MSG_DONTWAIT));
}

/* One bit wrong anywhere in the record, after one good record that is still delivered. */
static void corrupt_case(struct ktls_data *self, ssize_t at, int want)
{
	uint8_t rec[REC_SPACE];
	size_t len;

	peer_send(&self->peer, REC_DATA, "good", 4);
	len = peer_seal(&self->peer.tx, REC_DATA, "evil", 4, 0, rec);
	rec[at < 0 ? (ssize_t)len + at : at] ^= 1;
	peer_send_raw(&self->peer, rec, len);
	arrived(self);
	expect_data(self, "good", 4);
	expect_fatal(self, want);
}

TEST_F(ktls, corrupt_tag)
{
	corrupt_case(self, -1, EBADMSG);
}

TEST_F(ktls, corrupt_body)
{
	corrupt_case(self, -17, EBADMSG);
}

TEST_F(ktls, corrupt_start_of_body)
{
	corrupt_case(self, REC_HEADER, EBADMSG);
}

/* RFC 8446 5.2: the outer type is always 23; RFC 5246: the type is authenticated. */
TEST_F(ktls, corrupt_outer_type)
{
	uint8_t rec[REC_SPACE];
	size_t len = peer_seal(&self->peer.tx, REC_DATA, "evil", 4, 0, rec);

	if (variant->version == TLS_1_3_VERSION)
		INTREE_DIFFERS("does not look at the outer type");
	rec[0] = REC_HANDSHAKE;
	peer_send_raw(&self->peer, rec, len);
	ASSERT_NE(0, sock_poll(self->fd, POLLIN, test_wait_ms()));
	EXPECT_EQ(-1, recv(self->fd, rec, sizeof(rec), MSG_DONTWAIT));
	EXPECT_EQ(-1, recv(self->fd, rec, sizeof(rec), MSG_DONTWAIT));
}

TEST_F(ktls, replayed_record)
{
	uint8_t rec[REC_SPACE];
	size_t len = peer_seal(&self->peer.tx, REC_DATA, "once", 4, 0, rec);

	peer_send_raw(&self->peer, rec, len);
	peer_send_raw(&self->peer, rec, len);
	arrived(self);
	expect_data(self, "once", 4);
	expect_fatal(self, EBADMSG);
}

TEST_F(ktls, skipped_record)
{
	uint8_t rec[REC_SPACE];

	peer_seal(&self->peer.tx, REC_DATA, "lost", 4, 0, rec);
	peer_send(&self->peer, REC_DATA, "next", 4);
	expect_fatal(self, EBADMSG);
}

TEST_F(ktls, good_data_before_bad_in_one_recv)
{
	uint8_t rec[REC_SPACE], buf[64];
	size_t len;

	peer_send(&self->peer, REC_DATA, "one", 3);
	peer_send(&self->peer, REC_DATA, "two", 3);
	len = peer_seal(&self->peer.tx, REC_DATA, "evil", 4, 0, rec);
	rec[len - 1] ^= 0x80;
	peer_send_raw(&self->peer, rec, len);
	arrived(self);
	ASSERT_EQ(6, recv(self->fd, buf, 6, MSG_WAITALL));
	EXPECT_MEMEQ("onetwo", buf, 6);
	expect_fatal(self, EBADMSG);
}

TEST_F(ktls, fin_between_records)
{
	char buf[16];

	peer_send(&self->peer, REC_DATA, "bye", 3);
	ASSERT_EQ(0, shutdown(self->peer.fd, SHUT_WR));
	expect_data(self, "bye", 3);
	EXPECT_EQ(0, recv(self->fd, buf, sizeof(buf), 0));
	EXPECT_EQ(0, recv(self->fd, buf, sizeof(buf), 0));
	EXPECT_TRUE(sock_poll(self->fd, POLLIN | POLLRDHUP, 0) & POLLRDHUP);
}

/* Half a record is no data, whatever else the program is told. */
TEST_F(ktls, fin_inside_a_record)
{
	uint8_t rec[REC_SPACE];
	size_t len;

	peer_send(&self->peer, REC_DATA, "good", 4);
	len = peer_seal(&self->peer.tx, REC_DATA, "cut off", 7, 0, rec);
	peer_send_raw(&self->peer, rec, len - 3);
	ASSERT_EQ(0, shutdown(self->peer.fd, SHUT_WR));
	expect_data(self, "good", 4);
	EXPECT_GE(0, recv(self->fd, rec, sizeof(rec), 0));
	EXPECT_GE(0, recv(self->fd, rec, sizeof(rec), 0));
	EXPECT_NE(0, sock_poll(self->fd, POLLIN, 0));
}

TEST_F(ktls, fin_inside_a_header)
{
	peer_send_raw(&self->peer, "\x17\x03", 2);
	ASSERT_EQ(0, shutdown(self->peer.fd, SHUT_WR));
	EXPECT_GE(0, recv(self->fd, (char[16]){}, 16, 0));
	EXPECT_NE(0, sock_poll(self->fd, POLLIN, 0));
}

TEST_F(ktls, reset)
{
	char c;

	sock_reset(self->peer.fd);
	self->peer.fd = -1;
	ASSERT_NE(0, sock_poll(self->fd, POLLHUP, test_wait_ms()));
	EXPECT_ERRNO(ECONNRESET, recv(self->fd, &c, 1, 0));
}

static void *reset_when_read(void *arg)
{
	struct ktls_data *self = arg;

	sock_wait_acked(self->peer.fd);
	sock_reset(self->peer.fd);
	self->peer.fd = -1;
	return NULL;
}

TEST_F(ktls, reset_while_blocked)
{
	pthread_t thread;
	char buf[16];

	peer_send(&self->peer, REC_DATA, "x", 1);
	expect_data(self, "x", 1);
	ASSERT_EQ(0, pthread_create(&thread, NULL, reset_when_read, self));
	EXPECT_ERRNO(ECONNRESET, recv(self->fd, buf, sizeof(buf), 0));
	ASSERT_EQ(0, pthread_join(thread, NULL));
}

TEST_F(ktls, shutdown_read)
{
	char c;

	ASSERT_EQ(0, shutdown(self->fd, SHUT_RD));
	EXPECT_EQ(0, recv(self->fd, &c, 1, 0));
}

static void *send_records(void *arg)
{
	struct ktls_data *self = arg;
	uint8_t *data = alloc_pattern(8 * REC_MAX, 0);

	peer_send_data(&self->peer, data, 8 * REC_MAX, REC_MAX);
	free(data);
	return NULL;
}

/* The window closes before one record is complete: it must be read out bit by bit all the same. */
TEST_F_TIMEOUT(ktls, receive_buffer_below_a_record, 60)
{
	uint8_t *want = alloc_pattern(8 * REC_MAX, 0), *got = malloc(8 * REC_MAX);
	pthread_t thread;

	ASSERT_TRUE(got);
	sock_set_int(self->fd, SOL_SOCKET, SO_RCVBUF, 4096);
	ASSERT_EQ(0, pthread_create(&thread, NULL, send_records, self));
	ASSERT_EQ(8 * REC_MAX, recv(self->fd, got, 8 * REC_MAX, MSG_WAITALL));
	EXPECT_MEMEQ(want, got, 8 * REC_MAX);
	ASSERT_EQ(0, pthread_join(thread, NULL));
	free(want);
	free(got);
}

/* The same for a program that only polls and never blocks. */
TEST_F_TIMEOUT(ktls, receive_buffer_below_a_record_polled, 60)
{
	uint8_t *want = alloc_pattern(8 * REC_MAX, 0), *got = malloc(8 * REC_MAX);
	pthread_t thread;

	ASSERT_TRUE(got);
	sock_set_int(self->fd, SOL_SOCKET, SO_RCVBUF, 4096);
	ASSERT_EQ(0, pthread_create(&thread, NULL, send_records, self));
	sock_recv_all(self->fd, got, 8 * REC_MAX);
	EXPECT_MEMEQ(want, got, 8 * REC_MAX);
	ASSERT_EQ(0, pthread_join(thread, NULL));
	free(want);
	free(got);
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
