// SPDX-License-Identifier: GPL-2.0
/* kTLS ABI, sending: what goes in, which records come out on the wire. */
#define _GNU_SOURCE
#include "ktls.h"

#include <fcntl.h>
#include <linux/sockios.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <sys/wait.h>

/* Reads len bytes of the pattern from the peer in a thread while the test sends. */
struct drain {
	struct peer *peer;
	size_t len;
	uint64_t offset;
	int records;
	pthread_t thread;
};

static void *drain_run(void *arg)
{
	struct drain *d = arg;
	uint8_t *want = alloc_pattern(d->len, d->offset), *got = malloc(d->len + 1);

	ASSERT_TRUE(got);
	d->records = peer_recv_all(d->peer, got, d->len);
	ASSERT_MEMEQ(want, got, d->len);
	free(want);
	free(got);
	return NULL;
}

static void drain_start(struct drain *d, struct peer *peer, size_t len, uint64_t offset)
{
	*d = (struct drain){ .peer = peer, .len = len, .offset = offset };
	ASSERT_EQ(0, pthread_create(&d->thread, NULL, drain_run, d));
}

static void drain_join(struct drain *d)
{
	ASSERT_EQ(0, pthread_join(d->thread, NULL));
}

static void expect_record(struct ktls_data *self, uint8_t type, const void *data, size_t len)
{
	static struct peer_record rec;

	ASSERT_EQ(1, peer_recv(&self->peer, &rec));
	EXPECT_EQ(type, rec.type);
	ASSERT_EQ(len, rec.len);
	EXPECT_MEMEQ(data, rec.data, len);
}

TEST_F(ktls, send_one_record)
{
	ASSERT_EQ(5, send(self->fd, "hello", 5, 0));
	expect_record(self, REC_DATA, "hello", 5);
	peer_expect_silence(&self->peer, self->fd);
}

TEST_F(ktls, write_one_record)
{
	ASSERT_EQ(5, write(self->fd, "hello", 5));
	expect_record(self, REC_DATA, "hello", 5);
}

TEST_F(ktls, writev_one_record)
{
	struct iovec iov[] = { { "ab", 2 }, { "", 0 }, { "cde", 3 }, { "f", 1 } };

	ASSERT_EQ(6, writev(self->fd, iov, 4));
	expect_record(self, REC_DATA, "abcdef", 6);
}

TEST_F(ktls, sendmsg_many_iovs)
{
	uint8_t *data = alloc_pattern(50000, 0);
	struct iovec iov[500];
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 500 };
	struct drain d;
	int i;

	for (i = 0; i < 500; i++)
		iov[i] = (struct iovec){ data + i * 100, 100 };
	drain_start(&d, &self->peer, 50000, 0);
	ASSERT_EQ(50000, sendmsg(self->fd, &msg, 0));
	drain_join(&d);
	free(data);
}

TEST_F(ktls, sendmmsg)
{
	struct iovec iov[] = { { "one", 3 }, { "two", 3 }, { "three", 5 } };
	struct mmsghdr msgs[3] = {};
	int i;

	INTREE_DIFFERS("refuses the flag this call adds");
	for (i = 0; i < 3; i++)
		msgs[i].msg_hdr = (struct msghdr){ .msg_iov = &iov[i], .msg_iovlen = 1 };
	ASSERT_EQ(3, sendmmsg(self->fd, msgs, 3, 0));
	expect_record(self, REC_DATA, "one", 3);
	expect_record(self, REC_DATA, "two", 3);
	expect_record(self, REC_DATA, "three", 5);
}

TEST_F(ktls, sends_are_separate_records)
{
	int i;

	for (i = 0; i < 50; i++)
		ASSERT_EQ(1, send(self->fd, "abcdefghij" + i % 10, 1, 0));
	for (i = 0; i < 50; i++)
		expect_record(self, REC_DATA, "abcdefghij" + i % 10, 1);
}

TEST_F(ktls, send_nothing)
{
	EXPECT_EQ(0, send(self->fd, "", 0, 0));
	ASSERT_EQ(1, send(self->fd, "x", 1, 0));
	expect_record(self, REC_DATA, "x", 1);
}

TEST_F(ktls, record_bytes_on_the_wire)
{
	size_t want = peer_record_len(&self->peer.rx, 3);
	uint8_t raw[64], plain[64], type;

	ASSERT_EQ(3, send(self->fd, "abc", 3, 0));
	sock_recv_all(self->peer.fd, raw, want);
	peer_expect_silence(&self->peer, self->fd);
	EXPECT_EQ(REC_DATA, raw[0]);
	EXPECT_EQ(3, raw[1]);
	EXPECT_EQ(3, raw[2]);
	EXPECT_EQ(want - REC_HEADER, raw[3] << 8 | raw[4]);
	EXPECT_EQ(3, peer_open(&self->peer.rx, raw, want, &type, plain));
	EXPECT_EQ(REC_DATA, type);
	EXPECT_MEMEQ("abc", plain, 3);
}

/* RFC 5288 3: a nonce is never used twice; it starts where the program said. */
TEST_F(ktls, explicit_nonces_count_up)
{
	uint8_t buf[4];
	uint64_t first;
	int i;

	if (variant->version != TLS_1_2_VERSION)
		return;
	for (i = 0; i < 20; i++)
		ASSERT_EQ(1, send(self->fd, "x", 1, 0));
	first = self->peer.rx.nonce;
	for (i = 0; i < 20; i++) {
		ASSERT_EQ(1, peer_recv_data(&self->peer, buf, sizeof(buf)));
		EXPECT_EQ(first + i, self->peer.rx.nonce);
	}
}

TEST_F(ktls, explicit_nonce_apart_from_sequence)
{
	union peer_info tx;
	uint8_t *salt, *iv, *seq, buf[4];
	struct peer peer;
	int fd[2];

	if (variant->version != TLS_1_2_VERSION)
		return;
	/* OpenSSL starts its explicit nonces anywhere and goes on counting from there. */
	peer_info_make(&tx, variant->version, variant->cipher, 3, 7);
	peer_info_parts(&tx, &salt, &iv, &seq);
	memset(iv, 0xa5, 8);
	sock_pair(variant->family, fd);
	ulp_require(fd[0]);
	ASSERT_EQ(0, key_set(fd[0], TLS_TX, &tx));
	peer_init(&peer, fd[1], &tx, &tx);
	ASSERT_EQ(1, send(fd[0], "x", 1, 0));
	ASSERT_EQ(1, send(fd[0], "y", 1, 0));
	ASSERT_EQ(1, peer_recv_data(&peer, buf, sizeof(buf)));
	EXPECT_EQ(0xa5a5a5a5a5a5a5a5ULL, peer.rx.nonce);
	ASSERT_EQ(1, peer_recv_data(&peer, buf, sizeof(buf)));
	EXPECT_EQ(0xa5a5a5a5a5a5a5a6ULL, peer.rx.nonce);
	close(fd[0]);
	peer_free(&peer);
}

TEST_F(ktls, get_after_records)
{
	size_t len = peer_info_size(&self->tx);
	socklen_t optlen = len;
	union peer_info want, seen;
	uint8_t buf[4];
	int i;

	for (i = 0; i < 300; i++) {
		ASSERT_EQ(1, send(self->fd, "x", 1, 0));
		ASSERT_EQ(1, peer_recv_data(&self->peer, buf, sizeof(buf)));
	}
	peer_info_make(&want, variant->version, variant->cipher, 1, 5 + 300);
	ASSERT_EQ(0, getsockopt(self->fd, SOL_TLS, TLS_TX, &seen, &optlen));
	ASSERT_EQ(len, optlen);
	EXPECT_MEMEQ(&want, &seen, len);
}

TEST_F(ktls, sequence_numbers_never_wrap)
{
	uint8_t buf[4];
	union peer_info tx;
	struct peer peer;
	int fd[2];

	/* RFC 8446 5.3: the connection ends rather than use a nonce again. */
	peer_info_make(&tx, variant->version, variant->cipher, 3, UINT64_MAX - 1);
	sock_pair(variant->family, fd);
	ulp_require(fd[0]);
	ASSERT_EQ(0, key_set(fd[0], TLS_TX, &tx));
	peer_init(&peer, fd[1], &tx, &tx);
	ASSERT_EQ(1, send(fd[0], "x", 1, MSG_NOSIGNAL));
	if (send(fd[0], "y", 1, MSG_NOSIGNAL) == 1)
		EXPECT_EQ(-1, send(fd[0], "z", 1, MSG_NOSIGNAL));
	EXPECT_EQ(-1, send(fd[0], "z", 1, MSG_NOSIGNAL));
	ASSERT_EQ(1, peer_recv_data(&peer, buf, sizeof(buf)));
	close(fd[0]);
	peer_free(&peer);
}

TEST_F(ktls, msg_more_joins_sends)
{
	ASSERT_EQ(2, send(self->fd, "ab", 2, MSG_MORE));
	ASSERT_EQ(2, send(self->fd, "cd", 2, MSG_MORE));
	ASSERT_EQ(1, send(self->fd, "e", 1, MSG_MORE));
	peer_expect_silence(&self->peer, self->fd);
	ASSERT_EQ(2, send(self->fd, "fg", 2, 0));
	expect_record(self, REC_DATA, "abcdefg", 7);
	peer_expect_silence(&self->peer, self->fd);
}

TEST_F(ktls, msg_more_fills_records)
{
	uint8_t *data = alloc_pattern(REC_MAX + 100, 0);

	ASSERT_EQ(REC_MAX + 90, send(self->fd, data, REC_MAX + 90, MSG_MORE));
	expect_record(self, REC_DATA, data, REC_MAX);
	ASSERT_EQ(10, send(self->fd, data + REC_MAX + 90, 10, 0));
	expect_record(self, REC_DATA, data + REC_MAX, 100);
	free(data);
}

TEST_F(ktls, msg_more_then_sendfile)
{
	uint8_t *want = alloc_pattern(1000, 0);
	int file = file_pattern(1000);
	uint8_t got[1003];
	off_t off = 0;

	/* What nginx does: headers with MSG_MORE, then the file. */
	ASSERT_EQ(3, send(self->fd, "hdr", 3, MSG_MORE));
	ASSERT_EQ(1000, sendfile(self->fd, file, &off, 1000));
	peer_recv_all(&self->peer, got, sizeof(got));
	EXPECT_MEMEQ("hdr", got, 3);
	EXPECT_MEMEQ(want, got + 3, 1000);
	close(file);
	free(want);
}

TEST_F(ktls, msg_more_then_other_type)
{
	ASSERT_EQ(2, send(self->fd, "ab", 2, MSG_MORE));
	ASSERT_EQ(2, send_typed(self->fd, "\1\0", 2, REC_ALERT, 0));
	expect_record(self, REC_DATA, "ab", 2);
	expect_record(self, REC_ALERT, "\1\0", 2);
}

TEST_F(ktls, cork_holds_back_then_lets_go)
{
	uint8_t *data = alloc_pattern(30, 0);
	struct drain d;
	int i;

	sock_set_int(self->fd, IPPROTO_TCP, TCP_CORK, 1);
	for (i = 0; i < 3; i++)
		ASSERT_EQ(10, send(self->fd, data + i * 10, 10, 0));
	sock_set_int(self->fd, IPPROTO_TCP, TCP_CORK, 0);
	drain_start(&d, &self->peer, 30, 0);
	drain_join(&d);
	free(data);
}

TEST_F(ktls, record_types)
{
	static const uint8_t types[] = { REC_ALERT, REC_HANDSHAKE, REC_CCS, 24, 100, REC_DATA };
	size_t i;

	for (i = 0; i < sizeof(types); i++) {
		ASSERT_EQ(4, send_typed(self->fd, "body", 4, types[i], 0));
		expect_record(self, types[i], "body", 4);
	}
	ASSERT_EQ(1, send(self->fd, "x", 1, 0));
	expect_record(self, REC_DATA, "x", 1);
}

static ssize_t send_cmsg(int fd, int level, int type, size_t len)
{
	char control[CMSG_SPACE(16)] __attribute__((aligned(8))) = {};
	struct iovec iov = { "x", 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = CMSG_SPACE(len),
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	cmsg->cmsg_level = level;
	cmsg->cmsg_type = type;
	cmsg->cmsg_len = CMSG_LEN(len);
	*CMSG_DATA(cmsg) = REC_HANDSHAKE;
	return sendmsg(fd, &msg, 0);
}

TEST_F(ktls, record_type_refusals)
{
	EXPECT_ERRNO(EINVAL, send_cmsg(self->fd, SOL_TLS, 99, 1));
	EXPECT_ERRNO(EINVAL, send_cmsg(self->fd, SOL_TLS, TLS_GET_RECORD_TYPE, 1));
	EXPECT_ERRNO(EINVAL, send_cmsg(self->fd, SOL_TLS, TLS_SET_RECORD_TYPE, 0));
	EXPECT_ERRNO(EINVAL, send_typed(self->fd, "x", 1, REC_ALERT, MSG_MORE));
	ASSERT_EQ(1, send(self->fd, "y", 1, 0));
	expect_record(self, REC_DATA, "y", 1);
}

TEST_F(ktls, unsupported_flags)
{
	EXPECT_ERRNO(EOPNOTSUPP, send(self->fd, "x", 1, MSG_OOB));
	EXPECT_ERRNO(EOPNOTSUPP, send(self->fd, "x", 1, MSG_CONFIRM));
	EXPECT_ERRNO(EOPNOTSUPP, send(self->fd, "x", 1, MSG_FASTOPEN));
	ASSERT_EQ(1, send(self->fd, "y", 1, 0));
	expect_record(self, REC_DATA, "y", 1);
}

TEST_F(ktls, end_of_record_flag)
{
	ASSERT_EQ(1, send(self->fd, "a", 1, MSG_EOR));
	expect_record(self, REC_DATA, "a", 1);
	EXPECT_ERRNO(EINVAL, send(self->fd, "x", 1, MSG_MORE | MSG_EOR));
	ASSERT_EQ(1, send(self->fd, "b", 1, 0));
	expect_record(self, REC_DATA, "b", 1);
}

static void sendfile_case(struct ktls_data *self, size_t size, off_t off, size_t count)
{
	size_t want = off >= (off_t)size ? 0 : size - off < count ? size - off : count;
	int file = file_pattern(size);
	off_t pos = off;
	struct drain d;
	size_t sent;
	ssize_t n;

	drain_start(&d, &self->peer, want, off);
	for (sent = 0; sent < count; sent += n) {
		n = sendfile(self->fd, file, &pos, count - sent);
		ASSERT_LE(0, n);
		if (!n)
			break;
	}
	EXPECT_EQ(want, sent);
	EXPECT_EQ(off + (off_t)want, pos);
	drain_join(&d);
	EXPECT_LE(d.records, (int)(want / 4096 + 2));
	close(file);
}

TEST_F(ktls, sendfile_1)
{
	sendfile_case(self, 1, 0, 1);
}

TEST_F(ktls, sendfile_16384)
{
	sendfile_case(self, 16384, 0, 16384);
}

TEST_F(ktls, sendfile_16385)
{
	sendfile_case(self, 16385, 0, 16385);
}

TEST_F(ktls, sendfile_1m_odd_offset)
{
	sendfile_case(self, (1 << 20) + 5000, 4099, 1 << 20);
}

TEST_F(ktls, sendfile_beyond_eof)
{
	sendfile_case(self, 100000, 77, 1 << 20);
}

TEST_F(ktls, sendfile_at_eof)
{
	sendfile_case(self, 1000, 1000, 1000);
	ASSERT_EQ(1, send(self->fd, "x", 1, 0));
	expect_record(self, REC_DATA, "x", 1);
}

/* The page cache is the source: writing to the file afterwards must not change what was sent. */
TEST_F(ktls, sendfile_then_overwrite)
{
	uint8_t zero[8192] = {}, *want = alloc_pattern(8192, 0), got[8192];
	int file = file_pattern(8192);
	off_t off = 0;

	ASSERT_EQ(8192, sendfile(self->fd, file, &off, 8192));
	ASSERT_EQ(8192, pwrite(file, zero, 8192, 0));
	peer_recv_all(&self->peer, got, 8192);
	EXPECT_MEMEQ(want, got, 8192);
	close(file);
	free(want);
}

TEST_F(ktls, splice_from_pipe)
{
	uint8_t *data = alloc_pattern(60000, 0);
	struct drain d;
	int p[2];

	ASSERT_EQ(0, pipe(p));
	ASSERT_LE(60000, fcntl(p[1], F_SETPIPE_SZ, 1 << 17));
	ASSERT_EQ(60000, write(p[1], data, 60000));
	close(p[1]);
	drain_start(&d, &self->peer, 60000, 0);
	for (;;) {
		ssize_t n = splice(p[0], NULL, self->fd, NULL, 1 << 16, 0);

		ASSERT_LE(0, n);
		if (!n)
			break;
	}
	drain_join(&d);
	close(p[0]);
	free(data);
}

TEST_F(ktls, splice_more_joins)
{
	int p[2];

	ASSERT_EQ(0, pipe(p));
	ASSERT_EQ(3, write(p[1], "abc", 3));
	ASSERT_EQ(3, splice(p[0], NULL, self->fd, NULL, 3, SPLICE_F_MORE));
	peer_expect_silence(&self->peer, self->fd);
	ASSERT_EQ(2, write(p[1], "de", 2));
	ASSERT_EQ(2, splice(p[0], NULL, self->fd, NULL, 2, 0));
	expect_record(self, REC_DATA, "abcde", 5);
}

TEST_F(ktls, vmsplice_gift)
{
	uint8_t *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct iovec iov = { page + 100, 5000 };
	uint8_t want[5000], got[5000];
	int p[2];

	ASSERT_NE(MAP_FAILED, page);
	fill_pattern(page + 100, 5000, 0);
	memcpy(want, page + 100, 5000);
	ASSERT_EQ(0, pipe(p));
	ASSERT_EQ(5000, vmsplice(p[1], &iov, 1, 0));
	ASSERT_EQ(5000, splice(p[0], NULL, self->fd, NULL, 5000, 0));
	peer_recv_all(&self->peer, got, 5000);
	EXPECT_MEMEQ(want, got, 5000);
}

static void send_sizes(struct ktls_data *self, const size_t *sizes, size_t count)
{
	struct drain d;
	uint8_t *data;
	size_t i;

	for (i = 0; i < count; i++) {
		data = alloc_pattern(sizes[i], i);
		drain_start(&d, &self->peer, sizes[i], i);
		ASSERT_EQ((ssize_t)sizes[i], send(self->fd, data, sizes[i], 0));
		drain_join(&d);
		EXPECT_EQ((sizes[i] + REC_MAX - 1) / REC_MAX, d.records);
		free(data);
	}
}

TEST_F(ktls, send_sizes_around_limits)
{
	static const size_t sizes[] = {
		1, 15, 16, 17, 4095, 4096, 4097, 16383, 16384, 16385, 32767, 32768, 32769, 65536,
	};

	send_sizes(self, sizes, sizeof(sizes) / sizeof(*sizes));
}

TEST_F(ktls, send_4m)
{
	static const size_t sizes[] = { 4 << 20 };

	send_sizes(self, sizes, 1);
}

/* Reads as the peer does for a program that stalled, until the program can write again. */
static size_t fill_until_again(int fd, const uint8_t *data, size_t len, size_t chunk)
{
	size_t sent = 0, n_max;
	ssize_t n;

	while (sent < len) {
		n_max = len - sent < chunk ? len - sent : chunk;
		n = send(fd, data + sent, n_max, MSG_DONTWAIT);
		if (n < 0) {
			ASSERT_EQ(EAGAIN, errno);
			return sent;
		}
		ASSERT_LT(0, n);
		sent += n;
	}
	return sent;
}

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
		sent += fill_until_again(self->fd, data + sent, len - sent, chunk);
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
	sent = fill_until_again(self->fd, data, 8 << 20, REC_MAX);
	ASSERT_LT(sent, 8 << 20);
	EXPECT_EQ(0, sock_poll(self->fd, POLLOUT, 0));
	EXPECT_ERRNO(EAGAIN, send(self->fd, data, 1, MSG_DONTWAIT));
	while (seen < sent) {
		seen += peer_recv_data(&self->peer, got + seen, sent - seen);
	}
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
	sent = fill_until_again(self->fd, data, 8 << 20, 1 << 20);
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
	struct drain d;

	ASSERT_TRUE(got);
	drain_start(&d, &self->peer, len, 0);
	ASSERT_EQ(0, pthread_create(&sender, NULL, send_all, self));
	ASSERT_EQ(0, pthread_create(&peer_sender, NULL, peer_send_all, self));
	ASSERT_EQ((ssize_t)len, recv(self->fd, got, len, MSG_WAITALL));
	EXPECT_MEMEQ(data, got, len);
	pthread_join(sender, NULL);
	pthread_join(peer_sender, NULL);
	drain_join(&d);
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
