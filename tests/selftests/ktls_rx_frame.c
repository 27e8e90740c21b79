// SPDX-License-Identifier: GPL-2.0
/* kTLS ABI, receiving: records in pieces, empty, padded, too large for the buffer; polling. */
#define _GNU_SOURCE
#include "ktls.h"

#include <linux/sockios.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>

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

static void *send_records(void *arg)
{
	struct ktls_data *self = arg;
	uint8_t *data = alloc_pattern(4 * REC_MAX, 0);

	peer_send_data(&self->peer, data, 4 * REC_MAX, REC_MAX);
	free(data);
	return NULL;
}

/* The window closes before one record is complete: it must be read out bit by bit all the same. */
TEST_F_TIMEOUT(ktls, receive_buffer_below_a_record, 60)
{
	uint8_t *want = alloc_pattern(4 * REC_MAX, 0), *got = malloc(4 * REC_MAX);
	pthread_t thread;

	ASSERT_TRUE(got);
	sock_set_int(self->fd, SOL_SOCKET, SO_RCVBUF, 4096);
	ASSERT_EQ(0, pthread_create(&thread, NULL, send_records, self));
	ASSERT_EQ(4 * REC_MAX, recv(self->fd, got, 4 * REC_MAX, MSG_WAITALL));
	EXPECT_MEMEQ(want, got, 4 * REC_MAX);
	ASSERT_EQ(0, pthread_join(thread, NULL));
	free(want);
	free(got);
}

/* The same for a program that only polls and never blocks. */
TEST_F_TIMEOUT(ktls, receive_buffer_below_a_record_polled, 60)
{
	uint8_t *want = alloc_pattern(4 * REC_MAX, 0), *got = malloc(4 * REC_MAX);
	pthread_t thread;

	ASSERT_TRUE(got);
	sock_set_int(self->fd, SOL_SOCKET, SO_RCVBUF, 4096);
	ASSERT_EQ(0, pthread_create(&thread, NULL, send_records, self));
	sock_recv_all(self->fd, got, 4 * REC_MAX);
	EXPECT_MEMEQ(want, got, 4 * REC_MAX);
	ASSERT_EQ(0, pthread_join(thread, NULL));
	free(want);
	free(got);
}

/* What was copied out of TCP's small buffer counts towards the low water mark. */
TEST_F_TIMEOUT(ktls, low_water_mark_of_a_record_in_pieces, 60)
{
	uint8_t *data = alloc_pattern(REC_MAX, 0), *rec = malloc(REC_SPACE);
	int unsent;
	size_t len;

	ASSERT_TRUE(rec);
	sock_set_int(self->fd, SOL_SOCKET, SO_RCVBUF, 4096);
	sock_set_int(self->fd, SOL_SOCKET, SO_RCVLOWAT, 1000);
	sock_set_int(self->peer.fd, SOL_SOCKET, SO_SNDBUF, 1 << 20);
	len = peer_seal(&self->peer.tx, REC_DATA, data, REC_MAX, 0, rec);
	peer_send_raw(&self->peer, rec, len - 100);
	do {
		EXPECT_ERRNO(EAGAIN, recv(self->fd, data, 1, MSG_DONTWAIT));
		ASSERT_EQ(0, ioctl(self->peer.fd, SIOCOUTQ, &unsent));
	} while (unsent);
	peer_send_raw(&self->peer, rec + len - 100, 100);
	EXPECT_EQ(POLLIN, sock_poll(self->fd, POLLIN, test_wait_ms()));
	expect_data(self, data, REC_MAX);
	free(data);
	free(rec);
}

/* The longest record as packets of any length bring it, to where the reader wants it. */
static void in_packets(struct ktls_data *self, const uint8_t *data, size_t packet, size_t at)
{
	uint8_t *rec = malloc(REC_SPACE), *got = aligned_alloc(4096, 2 * REC_MAX);
	size_t len, off, n;

	ASSERT_TRUE(rec && got);
	len = peer_seal(&self->peer.tx, REC_DATA, data, REC_MAX, 0, rec);
	for (off = 0; off < len; off += n) {
		n = len - off < packet ? len - off : packet;
		peer_send_raw(&self->peer, rec + off, n);
		arrived(self);
	}
	/* A record that is longer than the first read goes elsewhere first. */
	if (at % 2)
		sock_recv_all(self->fd, got + at, 100);
	n = at % 2 ? 100 : 0;
	sock_recv_all(self->fd, got + at + n, REC_MAX - n);
	EXPECT_MEMEQ(data, got + at, REC_MAX);
	free(rec);
	free(got);
}

TEST_F_TIMEOUT(ktls, longest_in_packets, 60)
{
	static const size_t packets[] = { 67, 536, 1448, 2047, 2048, 2049, 4095, 8960, 16389 };
	static const size_t at[] = { 0, 16, 1, 100, 4090, 4095 };
	uint8_t *data = alloc_pattern(REC_MAX, 3);
	size_t i, k;

	sock_set_int(self->fd, SOL_SOCKET, SO_RCVBUF, 1 << 20);
	for (i = 0; i < sizeof(packets) / sizeof(*packets); i++)
		for (k = 0; k < sizeof(at) / sizeof(*at); k++)
			in_packets(self, data, packets[i], at[k]);
	free(data);
}

/* Pages that their sender can still write to: records of all lengths out of a file. */
TEST_F(ktls, sent_from_a_file)
{
	static const size_t sizes[] = { 1, 100, 1500, 8191, 8192, REC_MAX };
	size_t n = sizeof(sizes) / sizeof(*sizes), len, i;
	int file = memfd_create("records", MFD_CLOEXEC);
	uint8_t *data = alloc_pattern(REC_MAX, 5), *got = malloc(REC_MAX), *rec = malloc(REC_SPACE);
	size_t total = 0;

	ASSERT_TRUE(file >= 0 && got && rec);
	for (i = 0; i < n; i++) {
		len = peer_seal(&self->peer.tx, REC_DATA, data, sizes[i], 0, rec);
		ASSERT_EQ(len, write(file, rec, len));
		total += len;
	}
	ASSERT_EQ(total, sendfile(self->peer.fd, file, &(off_t){ 0 }, total));
	for (i = 0; i < n; i++) {
		sock_recv_all(self->fd, got, sizes[i]);
		ASSERT_MEMEQ(data, got, sizes[i]);
	}
	close(file);
	free(data);
	free(got);
	free(rec);
}
