// SPDX-License-Identifier: GPL-2.0
/* kTLS ABI, sending: what goes in, which records come out on the wire. */
#define _GNU_SOURCE
#include "ktls.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

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
	struct peer_drain d;
	int i;

	for (i = 0; i < 500; i++)
		iov[i] = (struct iovec){ data + i * 100, 100 };
	peer_drain_start(&d, &self->peer, 50000, 0);
	ASSERT_EQ(50000, sendmsg(self->fd, &msg, 0));
	peer_drain_join(&d);
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
	struct peer_drain d;
	int i;

	sock_set_int(self->fd, IPPROTO_TCP, TCP_CORK, 1);
	for (i = 0; i < 3; i++)
		ASSERT_EQ(10, send(self->fd, data + i * 10, 10, 0));
	sock_set_int(self->fd, IPPROTO_TCP, TCP_CORK, 0);
	peer_drain_start(&d, &self->peer, 30, 0);
	peer_drain_join(&d);
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
	struct peer_drain d;
	size_t sent;
	ssize_t n;

	peer_drain_start(&d, &self->peer, want, off);
	for (sent = 0; sent < count; sent += n) {
		n = sendfile(self->fd, file, &pos, count - sent);
		ASSERT_LE(0, n);
		if (!n)
			break;
	}
	EXPECT_EQ(want, sent);
	EXPECT_EQ(off + (off_t)want, pos);
	peer_drain_join(&d);
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
	struct peer_drain d;
	int p[2];

	ASSERT_EQ(0, pipe(p));
	ASSERT_LE(60000, fcntl(p[1], F_SETPIPE_SZ, 1 << 17));
	ASSERT_EQ(60000, write(p[1], data, 60000));
	close(p[1]);
	peer_drain_start(&d, &self->peer, 60000, 0);
	for (;;) {
		ssize_t n = splice(p[0], NULL, self->fd, NULL, 1 << 16, 0);

		ASSERT_LE(0, n);
		if (!n)
			break;
	}
	peer_drain_join(&d);
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
	struct peer_drain d;
	uint8_t *data;
	size_t i;

	for (i = 0; i < count; i++) {
		data = alloc_pattern(sizes[i], i);
		peer_drain_start(&d, &self->peer, sizes[i], i);
		ASSERT_EQ((ssize_t)sizes[i], send(self->fd, data, sizes[i], 0));
		peer_drain_join(&d);
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
