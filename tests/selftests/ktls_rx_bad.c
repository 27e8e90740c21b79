// SPDX-License-Identifier: GPL-2.0
/* kTLS ABI, receiving: wrong records byte for byte, and connections that end at the wrong place. */
#define _GNU_SOURCE
#include "ktls.h"

#include <poll.h>
#include <pthread.h>

/* The error is told, and later reads give @later: no data and no end of file in disguise. */
static void expect_error(struct ktls_data *self, int want, int later)
{
	char buf[64];
	ssize_t n;
	int i;

	ASSERT_NE(0, sock_poll(self->fd, POLLIN, test_wait_ms()));
	n = recv(self->fd, buf, sizeof(buf), 0);
	EXPECT_EQ(-1, n);
	EXPECT_EQ(want, errno);
	for (i = 0; i < 3; i++)
		EXPECT_ERRNO(later, recv(self->fd, buf, sizeof(buf), MSG_DONTWAIT));
	/* A good record behind it changes nothing. */
	peer_send(&self->peer, REC_DATA, "late", 4);
	arrived(self);
	EXPECT_ERRNO(later, recv(self->fd, buf, sizeof(buf), MSG_DONTWAIT));
}

/* A record that is not authentic stays so. */
static void expect_fatal(struct ktls_data *self, int want)
{
	expect_error(self, want, EBADMSG);
}

/* A header that is none is told once, as in-tree; the end of the stream is not taken for a good one. */
static void expect_broken(struct ktls_data *self, int want)
{
	char buf[64];

	expect_error(self, want, EAGAIN);
	if (ulp_is_intree())
		return;
	shutdown(self->peer.fd, SHUT_WR);
	ASSERT_NE(0, sock_poll(self->fd, POLLRDHUP, test_wait_ms()));
	EXPECT_ERRNO(want, recv(self->fd, buf, sizeof(buf), 0));
	EXPECT_ERRNO(want, recv(self->fd, buf, sizeof(buf), MSG_DONTWAIT));
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
	expect_broken(self, EMSGSIZE);
	free(data);
}

TEST_F(ktls, content_over_the_limit)
{
	uint8_t *data = alloc_pattern(REC_MAX + 1, 0);

	peer_send(&self->peer, REC_DATA, data, REC_MAX + 1);
	expect_broken(self, EMSGSIZE);
	free(data);
}

TEST_F(ktls, header_length_too_long)
{
	/* RFC 5246 6.2.3 and RFC 8446 5.2: more than any record may have. */
	send_header(self, REC_DATA, 0x0303, REC_MAX + 2048 + 1);
	expect_broken(self, EMSGSIZE);
}

TEST_F(ktls, header_length_too_short)
{
	size_t least = peer_record_len(&self->peer.tx, 0) - REC_HEADER;

	if (variant->version == TLS_1_3_VERSION)
		INTREE_DIFFERS("does not count the type byte");
	send_header(self, REC_DATA, 0x0303, least - 1);
	expect_broken(self, EBADMSG);
}

TEST_F(ktls, header_length_zero)
{
	send_header(self, REC_DATA, 0x0303, 0);
	expect_broken(self, EBADMSG);
}

TEST_F(ktls, header_version_wrong)
{
	send_header(self, REC_DATA, 0x0304, 100);
	expect_broken(self, EINVAL);
}

TEST_F(ktls, header_version_old)
{
	send_header(self, REC_DATA, 0x0301, 100);
	expect_broken(self, EINVAL);
}

TEST_F(ktls, cleartext_instead_of_a_record)
{
	peer_send_raw(&self->peer, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27);
	ASSERT_NE(0, sock_poll(self->fd, POLLIN, test_wait_ms()));
	EXPECT_EQ(-1, recv(self->fd, SCRATCH(64), 64, MSG_DONTWAIT));
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
	EXPECT_GE(0, recv(self->fd, SCRATCH(16), 16, 0));
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
