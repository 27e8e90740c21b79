// SPDX-License-Identifier: GPL-2.0
/* kTLS ABI, sending: full buffers, several senders, and the ends of a connection. */
#define _GNU_SOURCE
#include "ktls.h"

#include <linux/sockios.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/wait.h>

static void nonblocking_case(struct ktls_data *self, size_t chunk)
{
	const size_t len = 1 << 20;
	uint8_t *data = alloc_pattern(len, 0), *got = malloc(len);
	size_t sent = 0, seen = 0;
	int stalls = 0;

	ASSERT_TRUE(got);
	/* Smaller windows than these only measure TCP's persist timer. */
	sock_set_int(self->fd, SOL_SOCKET, SO_SNDBUF, 8192);
	sock_set_int(self->peer.fd, SOL_SOCKET, SO_RCVBUF, 1 << 17);
	while (sent < len) {
		sent += sock_fill(self->fd, data + sent, len - sent, chunk);
		stalls += sent < len;
		/*
		 * Everything a stalled sender accepted need not be on the wire: the
		 * last record may be waiting for room.  Read while there is any.
		 */
		while (seen < len && sock_poll(self->peer.fd, POLLIN, 0))
			seen += peer_recv_data(&self->peer, got + seen, len - seen);
		if (sent < len && !sock_poll(self->fd, POLLOUT, 0))
			sock_poll(self->peer.fd, POLLIN, 10);
	}
	EXPECT_LT(0, stalls);
	while (seen < len) {
		/* A record that TCP took only in part is completed by the kernel itself. */
		seen += peer_recv_data(&self->peer, got + seen, len - seen);
	}
	EXPECT_MEMEQ(data, got, len);
	free(data);
	free(got);
}

TEST_F_TIMEOUT(ktls, nonblocking_small_chunks, 60)
{
	nonblocking_case(self, 1000);
}

TEST_F_TIMEOUT(ktls, nonblocking_record_chunks, 60)
{
	nonblocking_case(self, REC_MAX);
}

TEST_F_TIMEOUT(ktls, nonblocking_large_chunks, 60)
{
	nonblocking_case(self, 1 << 20);
}

TEST_F_TIMEOUT(ktls, nonblocking_sendfile, 60)
{
	const size_t len = 1 << 20;
	uint8_t *want = alloc_pattern(len, 0), *got = malloc(len);
	int file = file_pattern(len), stalls = 0;
	size_t seen = 0;
	off_t off = 0;
	ssize_t n;

	ASSERT_TRUE(got);
	sock_set_int(self->fd, SOL_SOCKET, SO_SNDBUF, 8192);
	sock_nonblock(self->fd, true);
	while (off < (off_t)len) {
		n = sendfile(self->fd, file, &off, len - off);
		if (n < 0) {
			ASSERT_EQ(EAGAIN, errno);
			stalls++;
			while (sock_poll(self->peer.fd, POLLIN, 1))
				seen += peer_recv_data(&self->peer, got + seen, len - seen);
		}
	}
	EXPECT_LT(0, stalls);
	while (seen < len)
		seen += peer_recv_data(&self->peer, got + seen, len - seen);
	EXPECT_MEMEQ(want, got, len);
	close(file);
	free(want);
	free(got);
}

TEST_F(ktls, pollout_tells_the_truth)
{
	uint8_t *data = alloc_pattern(8 << 20, 0), *got = malloc(8 << 20);
	size_t sent, seen = 0;

	ASSERT_TRUE(got);
	EXPECT_EQ(POLLOUT, sock_poll(self->fd, POLLOUT, 0));
	sock_set_int(self->fd, SOL_SOCKET, SO_SNDBUF, 65536);
	sent = sock_fill(self->fd, data, 8 << 20, REC_MAX);
	ASSERT_LT(sent, 8 << 20);
	EXPECT_EQ(0, sock_poll(self->fd, POLLOUT, 0));
	EXPECT_ERRNO(EAGAIN, send(self->fd, data, 1, MSG_DONTWAIT));
	while (seen < sent)
		seen += peer_recv_data(&self->peer, got + seen, sent - seen);
	EXPECT_EQ(POLLOUT, sock_poll(self->fd, POLLOUT, test_wait_ms()));
	EXPECT_MEMEQ(data, got, sent);
	free(data);
	free(got);
}

TEST_F(ktls, send_timeout)
{
	struct timeval tv = { .tv_usec = 100000 };
	uint8_t *data = alloc_pattern(8 << 20, 0), *got = malloc(8 << 20);
	size_t sent = 0, seen = 0;
	ssize_t n;

	ASSERT_TRUE(got);
	ASSERT_EQ(0, setsockopt(self->fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)));
	sock_set_int(self->fd, SOL_SOCKET, SO_SNDBUF, 65536);
	for (;;) {
		n = send(self->fd, data + sent, (8 << 20) - sent, 0);
		if (n < 0)
			break;
		sent += n;
		ASSERT_LT(sent, 8 << 20);
	}
	EXPECT_EQ(EAGAIN, errno);
	while (seen < sent)
		seen += peer_recv_data(&self->peer, got + seen, sent - seen);
	EXPECT_MEMEQ(data, got, sent);
	free(data);
	free(got);
}

TEST_F(ktls, bad_pointer)
{
	EXPECT_ERRNO(EFAULT, send(self->fd, (void *)8, 100, 0));
	EXPECT_ERRNO(EFAULT, send(self->fd, (void *)8, 100000, 0));
	ASSERT_EQ(2, send(self->fd, "ok", 2, 0));
	expect_record(self, REC_DATA, "ok", 2);
}

/* A buffer that ends inside an unmapped page: only what was accepted may be on the wire. */
TEST_F(ktls, half_bad_pointer)
{
	uint8_t *page = mmap(NULL, 1 << 16, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint8_t got[1 << 16];
	ssize_t n;

	ASSERT_NE(MAP_FAILED, page);
	fill_pattern(page, 1 << 15, 0);
	ASSERT_EQ(0, munmap(page + (1 << 15), 1 << 15));
	n = send(self->fd, page + 100, 1 << 15, 0);
	if (n < 0) {
		EXPECT_EQ(EFAULT, errno);
		n = 0;
	}
	ASSERT_LT(n, 1 << 15);
	ASSERT_EQ(2, send(self->fd, "ok", 2, 0));
	peer_recv_all(&self->peer, got, n + 2);
	EXPECT_MEMEQ(page + 100, got, n);
	EXPECT_MEMEQ("ok", got + n, 2);
}

TEST_F(ktls, after_shutdown)
{
	static struct peer_record rec;

	INTREE_DIFFERS("accepts one more record");
	ASSERT_EQ(2, send(self->fd, "ab", 2, 0));
	ASSERT_EQ(0, shutdown(self->fd, SHUT_WR));
	EXPECT_ERRNO(EPIPE, send(self->fd, "x", 1, MSG_NOSIGNAL));
	expect_record(self, REC_DATA, "ab", 2);
	EXPECT_EQ(0, peer_recv(&self->peer, &rec));
}

TEST_F(ktls, broken_pipe_signal)
{
	int status;
	pid_t pid;

	INTREE_DIFFERS("signals at close instead");
	ASSERT_EQ(0, shutdown(self->fd, SHUT_WR));
	pid = fork();
	if (!pid) {
		send(self->fd, "x", 1, 0);
		_exit(0);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGPIPE);
}

TEST_F(ktls, after_reset)
{
	sock_reset(self->peer.fd);
	self->peer.fd = -1;
	ASSERT_NE(0, sock_poll(self->fd, POLLHUP, test_wait_ms()));
	EXPECT_ERRNO(ECONNRESET, send(self->fd, "x", 1, MSG_NOSIGNAL));
	EXPECT_EQ(-1, send(self->fd, "x", 1, MSG_NOSIGNAL));
	EXPECT_TRUE(errno == EPIPE || errno == ECONNRESET);
}

static void *reset_when_full(void *arg)
{
	struct ktls_data *self = arg;

	while (sock_poll(self->fd, POLLOUT, 0))
		sched_yield();
	sock_reset(self->peer.fd);
	self->peer.fd = -1;
	return NULL;
}

TEST_F(ktls, reset_while_blocked)
{
	uint8_t *data = alloc_pattern(16 << 20, 0);
	pthread_t thread;
	ssize_t n;

	ASSERT_EQ(0, pthread_create(&thread, NULL, reset_when_full, self));
	n = send(self->fd, data, 16 << 20, MSG_NOSIGNAL);
	EXPECT_LT(n, 16 << 20);
	ASSERT_EQ(0, pthread_join(thread, NULL));
	free(data);
}

TEST_F(ktls, close_delivers_everything)
{
	uint8_t *data = alloc_pattern(200000, 0);
	static struct peer_record rec;
	uint8_t *got = malloc(200000);

	ASSERT_TRUE(got);
	sock_set_int(self->fd, SOL_SOCKET, SO_SNDBUF, 1 << 20);
	ASSERT_EQ(200000, send(self->fd, data, 200000, 0));
	close(self->fd);
	self->fd = -1;
	peer_recv_all(&self->peer, got, 200000);
	EXPECT_MEMEQ(data, got, 200000);
	EXPECT_EQ(0, peer_recv(&self->peer, &rec));
	free(data);
	free(got);
}

/* A non-blocking writer stops in the middle of a record and closes: the record is completed. */
TEST_F(ktls, close_completes_partial_record)
{
	uint8_t *data = alloc_pattern(8 << 20, 0), *got = malloc(8 << 20);
	static struct peer_record rec;
	size_t sent;

	INTREE_DIFFERS("drops the rest of the record");
	ASSERT_TRUE(got);
	sock_set_int(self->fd, SOL_SOCKET, SO_SNDBUF, 20000);
	sent = sock_fill(self->fd, data, 8 << 20, 1 << 20);
	ASSERT_LT(sent, 8 << 20);
	close(self->fd);
	self->fd = -1;
	peer_recv_all(&self->peer, got, sent);
	EXPECT_MEMEQ(data, got, sent);
	EXPECT_EQ(0, peer_recv(&self->peer, &rec));
	free(data);
	free(got);
}

struct letters {
	int fd;
	char letter;
};

static void *send_letters(void *arg)
{
	const struct letters *l = arg;
	uint8_t buf[500];
	int i;

	memset(buf, l->letter, sizeof(buf));
	for (i = 0; i < 200; i++)
		ASSERT_EQ(500, send(l->fd, buf, 500, 0));
	return NULL;
}

TEST_F(ktls, two_threads_keep_records_whole)
{
	static struct peer_record rec;
	int count['z' + 1] = {}, i;
	pthread_t thread[2];
	size_t k;
	struct letters a = { self->fd, 'a' }, b = { self->fd, 'b' };

	ASSERT_EQ(0, pthread_create(&thread[0], NULL, send_letters, &a));
	ASSERT_EQ(0, pthread_create(&thread[1], NULL, send_letters, &b));
	for (i = 0; i < 400; i++) {
		ASSERT_EQ(1, peer_recv(&self->peer, &rec));
		ASSERT_EQ(500, rec.len);
		for (k = 1; k < rec.len; k++)
			ASSERT_EQ(rec.data[0], rec.data[k]);
		ASSERT_LE(rec.data[0], 'z');
		count[rec.data[0]]++;
	}
	EXPECT_EQ(200, count['a']);
	EXPECT_EQ(200, count['b']);
	pthread_join(thread[0], NULL);
	pthread_join(thread[1], NULL);
}

#define MIXED_COUNT	300
#define MIXED_DATA	2000
#define MIXED_CONTROL	300

struct mixed {
	int fd;
	volatile pid_t tid;
};

static void *send_held_data(void *arg)
{
	struct mixed *m = arg;
	uint8_t buf[MIXED_DATA];
	int i;

	m->tid = gettid();
	memset(buf, 'd', sizeof(buf));
	for (i = 1; i <= MIXED_COUNT; i++)
		ASSERT_EQ(MIXED_DATA, send(m->fd, buf, sizeof(buf),
					   i < MIXED_COUNT ? MSG_MORE : 0));
	return NULL;
}

static void *send_control(void *arg)
{
	struct mixed *m = arg;
	uint8_t buf[MIXED_CONTROL];
	int i;

	m->tid = gettid();
	memset(buf, 'c', sizeof(buf));
	for (i = 0; i < MIXED_COUNT; i++)
		ASSERT_EQ(MIXED_CONTROL, send_typed(m->fd, buf, sizeof(buf), REC_HANDSHAKE, 0));
	return NULL;
}

static bool all_are(const struct peer_record *rec, uint8_t want)
{
	size_t i;

	for (i = 0; i < rec->len && rec->data[i] == want; i++)
		;
	return i == rec->len;
}

/*
 * Both senders wait for room and find, when it comes, the open record
 * changed by the other: no byte of one may get into a record of the other.
 */
TEST_F_TIMEOUT(ktls, control_records_between_held_data, 60)
{
	struct mixed data = { .fd = self->fd }, control = { .fd = self->fd };
	static struct peer_record rec;
	size_t seen = 0, records = 0;
	pthread_t thread[2];

	sock_set_int(self->fd, SOL_SOCKET, SO_SNDBUF, 4096);
	ASSERT_EQ(0, pthread_create(&thread[0], NULL, send_held_data, &data));
	ASSERT_EQ(0, pthread_create(&thread[1], NULL, send_control, &control));
	while (!data.tid || !control.tid || !test_is_asleep(data.tid) ||
	       !test_is_asleep(control.tid))
		sched_yield();
	while (seen < MIXED_COUNT * MIXED_DATA || records < MIXED_COUNT) {
		ASSERT_EQ(1, peer_recv(&self->peer, &rec));
		if (rec.type == REC_DATA) {
			ASSERT_TRUE(all_are(&rec, 'd'));
			seen += rec.len;
			continue;
		}
		ASSERT_EQ(REC_HANDSHAKE, rec.type);
		ASSERT_EQ(MIXED_CONTROL, rec.len);
		ASSERT_TRUE(all_are(&rec, 'c'));
		records++;
	}
	EXPECT_EQ(MIXED_COUNT * MIXED_DATA, seen);
	EXPECT_EQ(MIXED_COUNT, records);
	pthread_join(thread[0], NULL);
	pthread_join(thread[1], NULL);
}

TEST_F(ktls, forked_child_sends)
{
	int status;
	pid_t pid;

	ASSERT_EQ(1, send(self->fd, "a", 1, 0));
	pid = fork();
	if (!pid)
		_exit(send(self->fd, "b", 1, 0) != 1);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	ASSERT_EQ(1, send(self->fd, "c", 1, 0));
	expect_record(self, REC_DATA, "a", 1);
	expect_record(self, REC_DATA, "b", 1);
	expect_record(self, REC_DATA, "c", 1);
}

#define BOTH_WAYS (2 << 20)

static void *send_all(void *arg)
{
	struct ktls_data *self = arg;
	uint8_t *data = alloc_pattern(BOTH_WAYS, 0);

	ASSERT_EQ(BOTH_WAYS, send(self->fd, data, BOTH_WAYS, 0));
	free(data);
	return NULL;
}

static void *peer_send_all(void *arg)
{
	struct ktls_data *self = arg;
	uint8_t *data = alloc_pattern(BOTH_WAYS, 0);

	peer_send_data(&self->peer, data, BOTH_WAYS, REC_MAX);
	free(data);
	return NULL;
}

/* Both halves at once: neither may wait for the other. */
TEST_F_TIMEOUT(ktls, both_ways_at_once, 60)
{
	const size_t len = BOTH_WAYS;
	uint8_t *data = alloc_pattern(len, 0), *got = malloc(len);
	pthread_t sender, peer_sender;
	struct peer_drain d;

	ASSERT_TRUE(got);
	peer_drain_start(&d, &self->peer, len, 0);
	ASSERT_EQ(0, pthread_create(&sender, NULL, send_all, self));
	ASSERT_EQ(0, pthread_create(&peer_sender, NULL, peer_send_all, self));
	ASSERT_EQ((ssize_t)len, recv(self->fd, got, len, MSG_WAITALL));
	EXPECT_MEMEQ(data, got, len);
	pthread_join(sender, NULL);
	pthread_join(peer_sender, NULL);
	peer_drain_join(&d);
	free(data);
	free(got);
}

TEST_F(ktls, outq_drains_to_zero)
{
	uint8_t buf[5000] = {}, got[5000];
	int queued;

	ASSERT_EQ(5000, send(self->fd, buf, 5000, 0));
	peer_recv_all(&self->peer, got, 5000);
	sock_wait_acked(self->fd);
	EXPECT_EQ(0, ioctl(self->fd, SIOCOUTQ, &queued));
	EXPECT_EQ(0, queued);
}

/* Bytes that TCP has but has not sent even once. */
static int unsent(int fd)
{
	int n = -1;

	ASSERT_EQ(0, ioctl(fd, SIOCOUTQNSD, &n));
	return n;
}

/*
 * TCP keeps the end of whole records as it does with plain text, until more
 * comes, or its timer: a slow machine tries again.
 */
TEST_F(ktls, more_lets_tcp_keep_the_end)
{
	uint8_t *data = alloc_pattern(REC_MAX, 0);
	int64_t start;
	int kept, tries = 20;

	sock_set_int(self->fd, SOL_SOCKET, SO_SNDBUF, 1 << 20);
	do {
		ASSERT_LT(0, tries--);
		start = sock_now_ms();
		ASSERT_EQ(REC_MAX, send(self->fd, data, REC_MAX, MSG_MORE));
		kept = unsent(self->fd);
		start = sock_now_ms() - start;
		ASSERT_EQ(1, send(self->fd, "a", 1, 0));
		EXPECT_EQ(0, unsent(self->fd));
		expect_record(self, REC_DATA, data, REC_MAX);
		expect_record(self, REC_DATA, "a", 1);
	} while (start > 100);
	EXPECT_LT(REC_MAX, kept);
	free(data);
}

/* A sendfile() that wanted more than the file has sends all of it at once. */
TEST_F(ktls, sendfile_beyond_eof_keeps_nothing)
{
	uint8_t *data = alloc_pattern(REC_MAX, 0);
	int file = file_pattern(REC_MAX);
	off_t off = 0;

	INTREE_DIFFERS("leaves it to TCP's timer");
	sock_set_int(self->fd, SOL_SOCKET, SO_SNDBUF, 1 << 20);
	ASSERT_EQ(REC_MAX, sendfile(self->fd, file, &off, 2 * REC_MAX));
	EXPECT_EQ(0, unsent(self->fd));
	expect_record(self, REC_DATA, data, REC_MAX);
	close(file);
	free(data);
}

/* So does a send() that ended early, after records that were handed over on the way. */
TEST_F(ktls, early_end_keeps_nothing)
{
	const size_t len = 4 * 1000;
	uint8_t *map = mmap(NULL, 1 << 16, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			    -1, 0);
	uint8_t *text = map + (1 << 15) - len, got[4 * 1000];

	INTREE_DIFFERS("has no such payload limit everywhere");
	ASSERT_NE(MAP_FAILED, (void *)map);
	fill_pattern(text, len, 0);
	ASSERT_EQ(0, mprotect(map + (1 << 15), 1 << 15, PROT_NONE));
	ASSERT_EQ(0, setsockopt(self->fd, SOL_TLS, ITLS_TX_MAX_PAYLOAD_LEN, &(uint16_t){ 1000 },
				sizeof(uint16_t)));
	sock_set_int(self->fd, SOL_SOCKET, SO_SNDBUF, 1 << 20);
	ASSERT_EQ((ssize_t)len, send(self->fd, text, len + 1000, 0));
	EXPECT_EQ(0, unsent(self->fd));
	peer_recv_all(&self->peer, got, len);
	EXPECT_MEMEQ(text, got, len);
	munmap(map, 1 << 16);
}

/* Who would wait for room before sending more must not wait for what is kept. */
TEST_F(ktls, more_keeps_nothing_without_room)
{
	uint8_t *data = alloc_pattern(REC_MAX, 0);

	INTREE_DIFFERS("keeps it all the same");
	sock_set_int(self->fd, SOL_SOCKET, SO_SNDBUF, 4096);
	ASSERT_EQ(REC_MAX, send(self->fd, data, REC_MAX, MSG_MORE));
	EXPECT_EQ(0, unsent(self->fd));
	expect_record(self, REC_DATA, data, REC_MAX);

	sock_set_int(self->fd, SOL_SOCKET, SO_SNDBUF, 1 << 20);
	sock_set_int(self->fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, REC_MAX);
	ASSERT_EQ(REC_MAX, send(self->fd, data, REC_MAX, MSG_MORE));
	EXPECT_EQ(0, unsent(self->fd));
	expect_record(self, REC_DATA, data, REC_MAX);
	free(data);
}

/*
 * So it is with TCP_CORK.  Each of these records by itself is too little for TCP to send and
 * too much for the program to be let on: kept, it would cost some 200 ms.
 */
TEST_F(ktls, cork_keeps_nothing_without_room)
{
	const size_t len = 300 * 64;
	uint8_t *data = alloc_pattern(len, 0), *got = malloc(len);
	size_t sent;

	ASSERT_TRUE(got);
	INTREE_DIFFERS("has no such payload limit everywhere");
	ASSERT_EQ(0, setsockopt(self->fd, SOL_TLS, ITLS_TX_MAX_PAYLOAD_LEN, &(uint16_t){ 64 },
				sizeof(uint16_t)));
	sock_set_int(self->fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, 1);
	sock_set_int(self->fd, IPPROTO_TCP, TCP_CORK, 1);
	ASSERT_EQ((ssize_t)len, send(self->fd, data, len, 0));
	EXPECT_EQ(0, unsent(self->fd));
	peer_recv_all(&self->peer, got, len);
	EXPECT_MEMEQ(data, got, len);

	for (sent = 0; sent < len; sent += 64) {
		ASSERT_EQ(64, send(self->fd, data + sent, 64, MSG_DONTWAIT));
		ASSERT_EQ(POLLOUT, sock_poll(self->fd, POLLOUT, test_wait_ms()));
		peer_recv_all(&self->peer, got + sent, 64);
	}
	EXPECT_MEMEQ(data, got, len);
	EXPECT_EQ(1, sock_get_int(self->fd, IPPROTO_TCP, TCP_CORK));
	free(data);
	free(got);
}

/* As TCP does it, TCP_NODELAY sends what TCP_CORK holds back, once. */
TEST_F(ktls, nodelay_sends_what_cork_keeps)
{
	int64_t start;
	int kept, tries = 20;

	INTREE_DIFFERS("leaves the record open");
	sock_set_int(self->fd, IPPROTO_TCP, TCP_CORK, 1);
	do {
		ASSERT_LT(0, tries--);
		sock_set_int(self->fd, IPPROTO_TCP, TCP_NODELAY, 0);
		start = sock_now_ms();
		ASSERT_EQ(10, send(self->fd, "0123456789", 10, 0));
		ASSERT_EQ(10, send(self->fd, "abcdefghij", 10, MSG_MORE));
		kept = unsent(self->fd);
		sock_set_int(self->fd, IPPROTO_TCP, TCP_NODELAY, 1);
		EXPECT_EQ(0, unsent(self->fd));
		start = sock_now_ms() - start;
		expect_record(self, REC_DATA, "0123456789", 10);
		expect_record(self, REC_DATA, "abcdefghij", 10);
	} while (start > 100);
	EXPECT_LT(10, kept);
	EXPECT_EQ(1, sock_get_int(self->fd, IPPROTO_TCP, TCP_CORK));
}

struct cork_reader {
	int fd;
	long wrong;
	atomic_bool stop;
};

static void *read_cork(void *arg)
{
	struct cork_reader *r = arg;

	while (!r->stop)
		r->wrong += !sock_get_int(r->fd, IPPROTO_TCP, TCP_CORK) ||
			    sock_get_int(r->fd, IPPROTO_TCP, TCP_NODELAY);
	return NULL;
}

/* What the kernel does to send all the same is not for others to see. */
TEST_F(ktls, cork_is_told_as_it_was_set)
{
	struct cork_reader reader = { .fd = self->fd };
	uint8_t *data = alloc_pattern(8192, 0), *got = malloc(8192);
	int64_t end = sock_now_ms() + 1000;
	pthread_t thread;

	ASSERT_TRUE(got);
	sock_set_int(self->fd, IPPROTO_TCP, TCP_NODELAY, 0);
	sock_set_int(self->fd, IPPROTO_TCP, TCP_CORK, 1);
	sock_set_int(self->fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, 1);
	ASSERT_EQ(0, pthread_create(&thread, NULL, read_cork, &reader));
	while (sock_now_ms() < end) {
		ASSERT_EQ(8192, send(self->fd, data, 8192, 0));
		peer_recv_all(&self->peer, got, 8192);
	}
	reader.stop = true;
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(0, reader.wrong);
	free(data);
	free(got);
}
