// SPDX-License-Identifier: GPL-2.0
/* Faults that in-tree kTLS had, sending; the list of them is at the head of fault_rx.c. */
#define _GNU_SOURCE
#include "ktls.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

#define LOWAT_LEN (3 * 1048576)

/* Below one record on the wire there is never room "enough": whole records must go all the same. */
static void notsent_lowat_case(struct ktls_data *self, int lowat)
{
	int file = file_pattern(LOWAT_LEN);
	int64_t start = sock_now_ms();
	struct peer_drain d;
	off_t off = 0;

	INTREE_DIFFERS("stalls");
	sock_set_int(self->fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, lowat);
	peer_drain_start(&d, &self->peer, LOWAT_LEN, 0);
	while (off < LOWAT_LEN)
		ASSERT_LT(0, sendfile(self->fd, file, &off, LOWAT_LEN - off));
	peer_drain_join(&d);
	/* A stall ends with some timer of TCP's, again and again. */
	EXPECT_LT(sock_now_ms() - start, test_wait_ms());
	close(file);
}

TEST_F(ktls, notsent_lowat_one_byte)
{
	notsent_lowat_case(self, 1);
}

TEST_F(ktls, notsent_lowat_below_a_record)
{
	notsent_lowat_case(self, REC_MAX);
}

TEST_F(ktls, notsent_lowat_and_edges)
{
	struct epoll_event ev = { .events = EPOLLOUT | EPOLLET };
	uint8_t *data = alloc_pattern(LOWAT_LEN, 0);
	int ep = epoll_create1(EPOLL_CLOEXEC);
	int64_t start = sock_now_ms();
	struct peer_drain d;
	size_t sent = 0;

	ASSERT_LE(0, ep);
	sock_set_int(self->fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, 4096);
	ASSERT_EQ(0, epoll_ctl(ep, EPOLL_CTL_ADD, self->fd, &ev));
	peer_drain_start(&d, &self->peer, LOWAT_LEN, 0);
	while (sent < LOWAT_LEN) {
		ASSERT_EQ(1, epoll_wait(ep, &ev, 1, test_wait_ms()));
		sent += sock_fill(self->fd, data + sent, LOWAT_LEN - sent, LOWAT_LEN);
	}
	peer_drain_join(&d);
	EXPECT_LT(sock_now_ms() - start, test_wait_ms());
	close(ep);
	free(data);
}

/* Copied bytes were put into the rest of the page that splice had lent: into the page cache. */
TEST_F(ktls, cve_2024_0646)
{
	uint8_t *want = alloc_pattern(4096, 0), page[4096], got[1000], xs[300];
	int file = file_pattern(4096), p[2];
	loff_t off = 0;

	memset(xs, 'x', sizeof(xs));
	ASSERT_EQ(0, pipe(p));
	ASSERT_EQ(3, send(self->fd, "abc", 3, MSG_MORE));
	ASSERT_EQ(100, splice(file, &off, p[1], NULL, 100, 0));
	ASSERT_EQ(100, splice(p[0], NULL, self->fd, NULL, 100, SPLICE_F_MORE));
	ASSERT_EQ(300, send(self->fd, xs, 300, MSG_MORE));
	off = 500;
	ASSERT_EQ(100, splice(file, &off, p[1], NULL, 100, 0));
	ASSERT_EQ(100, splice(p[0], NULL, self->fd, NULL, 100, SPLICE_F_MORE));
	ASSERT_EQ(300, send(self->fd, xs, 300, 0));
	peer_recv_all(&self->peer, got, 803);
	EXPECT_MEMEQ("abc", got, 3);
	EXPECT_MEMEQ(want, got + 3, 100);
	EXPECT_MEMEQ(xs, got + 103, 300);
	EXPECT_MEMEQ(want + 500, got + 403, 100);
	EXPECT_MEMEQ(xs, got + 503, 300);
	ASSERT_EQ(4096, pread(file, page, 4096, 0));
	EXPECT_MEMEQ(want, page, 4096);
	close(file);
	free(want);
}

static void splice_onto_case(struct ktls_data *self, size_t len)
{
	uint8_t *want = alloc_pattern(len + 600, 0), *got = malloc(len + 600);
	int file = file_pattern(len + 600), p[2];
	loff_t off = len;

	ASSERT_TRUE(got);
	ASSERT_EQ(0, pipe(p));
	ASSERT_EQ((ssize_t)len, send(self->fd, want, len, MSG_MORE));
	ASSERT_EQ(600, splice(file, &off, p[1], NULL, 600, 0));
	ASSERT_EQ(600, splice(p[0], NULL, self->fd, NULL, 600, 0));
	peer_recv_all(&self->peer, got, len + 600);
	EXPECT_MEMEQ(want, got, len + 600);
	close(file);
	free(want);
	free(got);
}

TEST_F(ktls, splice_onto_a_full_record)
{
	splice_onto_case(self, REC_MAX);
}

TEST_F(ktls, splice_onto_an_almost_full_record)
{
	splice_onto_case(self, REC_MAX - 1);
}

/* No room was left in the scatterlist for the type byte of TLS 1.3, nor for the last piece. */
TEST_F(ktls, tiny_pieces)
{
	const int rounds = 6, slots = 32;
	int file = file_pattern(rounds * slots * 4096), p[2], i, round;
	uint8_t want[6 * 32 + 1], got[6 * 32 + 1];
	loff_t off;

	ASSERT_EQ(0, pipe(p));
	ASSERT_LE(slots * 4096, fcntl(p[1], F_SETPIPE_SZ, slots * 4096));
	for (round = i = 0; round < rounds; round++) {
		for (; i < (round + 1) * slots; i++) {
			off = i * 4096 + i;
			ASSERT_EQ(1, pread(file, &want[i], 1, off));
			ASSERT_EQ(1, splice(file, &off, p[1], NULL, 1, 0));
		}
		ASSERT_EQ(slots, splice(p[0], NULL, self->fd, NULL, slots, SPLICE_F_MORE));
	}
	want[i++] = '!';
	ASSERT_EQ(1, send(self->fd, "!", 1, 0));
	peer_recv_all(&self->peer, got, i);
	EXPECT_MEMEQ(want, got, i);
	close(file);
}

/* What is held back is neither lost nor sent twice by a call that brings nothing. */
TEST_F(ktls, more_then_sendfile_of_nothing)
{
	int file = file_pattern(10);
	uint8_t got[3];
	off_t off = 10;

	ASSERT_EQ(2, send(self->fd, "ab", 2, MSG_MORE));
	ASSERT_EQ(0, sendfile(self->fd, file, &off, 100));
	ASSERT_EQ(1, send(self->fd, "c", 1, 0));
	peer_recv_all(&self->peer, got, 3);
	EXPECT_MEMEQ("abc", got, 3);
	peer_expect_silence(&self->peer, self->fd);
	close(file);
}

TEST_F(ktls, more_then_splice_of_nothing)
{
	uint8_t got[3];
	int p[2];

	ASSERT_EQ(0, pipe(p));
	close(p[1]);
	ASSERT_EQ(2, send(self->fd, "ab", 2, MSG_MORE));
	ASSERT_EQ(0, splice(p[0], NULL, self->fd, NULL, 100, 0));
	ASSERT_EQ(1, send(self->fd, "c", 1, 0));
	peer_recv_all(&self->peer, got, 3);
	EXPECT_MEMEQ("abc", got, 3);
	peer_expect_silence(&self->peer, self->fd);
}

TEST_F(ktls, more_then_send_of_nothing)
{
	uint8_t got[3];

	ASSERT_EQ(2, send(self->fd, "ab", 2, MSG_MORE));
	ASSERT_EQ(0, send(self->fd, "", 0, MSG_MORE));
	peer_expect_silence(&self->peer, self->fd);
	ASSERT_EQ(0, send(self->fd, "", 0, 0));
	ASSERT_EQ(1, send(self->fd, "c", 1, 0));
	peer_recv_all(&self->peer, got, 3);
	EXPECT_MEMEQ("abc", got, 3);
	peer_expect_silence(&self->peer, self->fd);
}

/* The last sendfile() says MSG_MORE, having hoped for more of the file than there was. */
TEST_F(ktls, more_then_close)
{
	static struct peer_record rec;

	INTREE_DIFFERS("drops what is held back");
	ASSERT_EQ(2, send(self->fd, "ab", 2, MSG_MORE));
	close(self->fd);
	self->fd = -1;
	expect_record(self, REC_DATA, "ab", 2);
	EXPECT_EQ(0, peer_recv(&self->peer, &rec));
}

TEST_F(ktls, empty_control_send)
{
	uint8_t got[3];

	ASSERT_EQ(2, send(self->fd, "ab", 2, MSG_MORE));
	ASSERT_EQ(0, send_typed(self->fd, "", 0, REC_ALERT, 0));
	ASSERT_EQ(1, send(self->fd, "c", 1, 0));
	/* All of it data, whether or not "ab" went before. */
	peer_recv_all(&self->peer, got, 3);
	EXPECT_MEMEQ("abc", got, 3);
	ASSERT_EQ(2, send_typed(self->fd, "\1\0", 2, REC_ALERT, 0));
	expect_record(self, REC_ALERT, "\1\0", 2);
}

/* A page, and nothing behind it. */
static uint8_t *last_page(void)
{
	uint8_t *map = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, map);
	ASSERT_EQ(0, munmap(map + 4096, 4096));
	fill_pattern(map, 4096, 0);
	return map;
}

static size_t accepted(ssize_t n)
{
	if (n < 0)
		EXPECT_EQ(EFAULT, errno);
	return n < 0 ? 0 : n;
}

/* Just what the calls said they took is on the wire. */
TEST_F(ktls, half_bad_pointer_into_an_open_record)
{
	uint8_t *page = last_page(), got[8192];
	struct iovec iov[] = { { page, 1000 }, { page + 4000, 5000 }, { page, 1000 } };
	size_t a, b;

	ASSERT_EQ(2, send(self->fd, "ab", 2, MSG_MORE));
	a = accepted(send(self->fd, page + 4000, 5000, MSG_MORE));
	ASSERT_EQ(2, send(self->fd, "cd", 2, MSG_MORE));
	b = accepted(writev(self->fd, iov, 3));
	ASSERT_EQ(2, send(self->fd, "ef", 2, 0));
	ASSERT_LE(a, 96);
	ASSERT_LE(b, 1096);
	peer_recv_all(&self->peer, got, a + b + 6);
	EXPECT_MEMEQ("ab", got, 2);
	EXPECT_MEMEQ(page + 4000, got + 2, a);
	EXPECT_MEMEQ("cd", got + 2 + a, 2);
	EXPECT_MEMEQ(page, got + 4 + a, b < 1000 ? b : 1000);
	EXPECT_MEMEQ("ef", got + 4 + a + b, 2);
	peer_expect_silence(&self->peer, self->fd);
}

TEST_F(ktls, half_bad_pointer_past_a_full_record)
{
	uint8_t *head = alloc_pattern(REC_MAX, 7), *page = last_page();
	struct iovec iov[] = { { head, REC_MAX }, { page + 4000, 5000 } };
	uint8_t *got = malloc(2 * REC_MAX);
	size_t n;

	ASSERT_TRUE(got);
	n = accepted(writev(self->fd, iov, 2));
	ASSERT_LE(n, REC_MAX + 96);
	ASSERT_EQ(2, send(self->fd, "ok", 2, 0));
	peer_recv_all(&self->peer, got, n + 2);
	EXPECT_MEMEQ(head, got, n < REC_MAX ? n : REC_MAX);
	EXPECT_MEMEQ("ok", got + n, 2);
	free(head);
	free(got);
}

TEST_F(ktls, half_bad_control_record)
{
	static struct peer_record rec;
	uint8_t *page = last_page();
	size_t n;

	n = accepted(send_typed(self->fd, page + 4095, 2, REC_ALERT, 0));
	ASSERT_EQ(2, send(self->fd, "ok", 2, 0));
	if (n)
		expect_record(self, REC_ALERT, page + 4095, n);
	ASSERT_EQ(1, peer_recv(&self->peer, &rec));
	EXPECT_EQ(REC_DATA, rec.type);
	ASSERT_EQ(2, rec.len);
	EXPECT_MEMEQ("ok", rec.data, 2);
}

/* After EAGAIN a program may use its buffer for something else, and come back with another. */
TEST_F_TIMEOUT(ktls, retry_from_another_buffer, 60)
{
	const size_t len = 1 << 20, chunk = 40000;
	uint8_t *buf = malloc(chunk), *got = malloc(len), *want = alloc_pattern(len, 0);
	size_t sent = 0, seen = 0, n_max;
	int stalls = 0;
	ssize_t n;

	ASSERT_TRUE(buf && got);
	sock_set_int(self->fd, SOL_SOCKET, SO_SNDBUF, 16384);
	sock_set_int(self->peer.fd, SOL_SOCKET, SO_RCVBUF, 1 << 17);
	while (sent < len) {
		n_max = len - sent < chunk ? len - sent : chunk;
		fill_pattern(buf, n_max, sent);
		n = send(self->fd, buf, n_max, MSG_DONTWAIT);
		memset(buf, 0xdb, chunk);
		if (n < 0)
			ASSERT_EQ(EAGAIN, errno);
		sent += n < 0 ? 0 : n;
		if (n == (ssize_t)n_max)
			continue;
		stalls++;
		while (seen < sent && sock_poll(self->peer.fd, POLLIN, 0))
			seen += peer_recv_data(&self->peer, got + seen, len - seen);
		if (!sock_poll(self->fd, POLLOUT, 0))
			sock_poll(self->peer.fd, POLLIN, 10);
	}
	while (seen < len)
		seen += peer_recv_data(&self->peer, got + seen, len - seen);
	EXPECT_LT(0, stalls);
	EXPECT_MEMEQ(want, got, len);
	free(buf);
	free(got);
	free(want);
}

TEST_F(ktls, reset_with_an_open_record)
{
	ASSERT_EQ(2, send(self->fd, "ab", 2, MSG_MORE));
	sock_reset(self->peer.fd);
	self->peer.fd = -1;
	ASSERT_NE(0, sock_poll(self->fd, POLLHUP, test_wait_ms()));
	EXPECT_EQ(-1, send(self->fd, "c", 1, MSG_NOSIGNAL | MSG_MORE));
	EXPECT_TRUE(errno == ECONNRESET || errno == EPIPE);
	EXPECT_EQ(-1, send(self->fd, "d", 1, MSG_NOSIGNAL));
	EXPECT_EQ(-1, send_typed(self->fd, "\1\0", 2, REC_ALERT, MSG_NOSIGNAL));
}

struct blocked {
	int fd;
	const uint8_t *data;
	size_t len;
	volatile pid_t tid;
	ssize_t sent;
};

static void *send_blocked(void *arg)
{
	struct blocked *b = arg;

	b->tid = gettid();
	b->sent = send(b->fd, b->data, b->len, 0);
	return NULL;
}

/* The descriptor goes, the file stays until the call is through; then everything, then FIN. */
TEST_F(ktls, close_while_blocked)
{
	struct blocked b = { .fd = self->fd, .len = 8 << 20 };
	uint8_t *data = alloc_pattern(b.len, 0), *got = malloc(b.len);
	static struct peer_record rec;
	pthread_t thread;

	ASSERT_TRUE(got);
	b.data = data;
	ASSERT_EQ(0, pthread_create(&thread, NULL, send_blocked, &b));
	while (!b.tid || !test_is_asleep(b.tid))
		sched_yield();
	ASSERT_EQ(0, close(self->fd));
	self->fd = -1;
	peer_recv_all(&self->peer, got, b.len);
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ((ssize_t)b.len, b.sent);
	EXPECT_MEMEQ(data, got, b.len);
	EXPECT_EQ(0, peer_recv(&self->peer, &rec));
	free(data);
	free(got);
}

static void *drain_raw(void *arg)
{
	uint8_t buf[4096];
	ssize_t n;

	while ((n = recv(*(int *)arg, buf, sizeof(buf), 0)) > 0)
		;
	return NULL;
}

/*
 * Acknowledgments come, and with them calls of write_space, while close()
 * frees what they would use.
 */
TEST_F_TIMEOUT(ktls, cve_2026_23240, 60)
{
	uint8_t *data = alloc_pattern(1 << 20, 0);
	pthread_t thread;
	int fd[2], i;

	for (i = 0; i < 60; i++) {
		sock_pair(variant->family, fd);
		ulp_require(fd[0]);
		ASSERT_EQ(0, key_set(fd[0], TLS_TX, &self->tx));
		sock_set_int(fd[0], SOL_SOCKET, SO_SNDBUF, i % 2 ? 4096 : 65536);
		sock_fill(fd[0], data, 1 << 20, i % 3 ? 1 << 20 : 3000);
		ASSERT_EQ(0, pthread_create(&thread, NULL, drain_raw, &fd[1]));
		if (i % 4)
			sched_yield();
		sock_fill(fd[0], data, 1 << 20, 5000);
		close(fd[0]);
		ASSERT_EQ(0, pthread_join(thread, NULL));
		close(fd[1]);
	}
	free(data);
}
