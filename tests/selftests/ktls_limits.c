// SPDX-License-Identifier: GPL-2.0
/*
 * kTLS ABI: TLS_TX_MAX_PAYLOAD_LEN, and the two options that are hints,
 * TLS_TX_ZEROCOPY_RO and TLS_RX_EXPECT_NO_PAD.
 */
#define _GNU_SOURCE
#include <sys/sendfile.h>

#include "ktls.h"

#define ZEROCOPY_RO	3	/* TLS_TX_ZEROCOPY_RO */
#define EXPECT_NO_PAD	4	/* TLS_RX_EXPECT_NO_PAD */
#define MAX_PAYLOAD	ITLS_TX_MAX_PAYLOAD_LEN

/* Newer than in-tree kTLS of 6.12. */
#define MAX_PAYLOAD_ONLY(fd)							\
	do {									\
		if (ulp_is_intree() && max_payload(fd, 1000) && errno == ENOPROTOOPT) \
			SKIP("this in-tree kTLS has no such option");		\
	} while (0)

static int max_payload(int fd, uint16_t max)
{
	return setsockopt(fd, SOL_TLS, MAX_PAYLOAD, &max, sizeof(max));
}

static int max_payload_now(int fd)
{
	socklen_t len = sizeof(uint16_t);
	uint16_t max = 0;

	ASSERT_EQ(0, getsockopt(fd, SOL_TLS, MAX_PAYLOAD, &max, &len));
	EXPECT_EQ(sizeof(max), len);
	return max;
}

/* Whole records of @max bytes, then what is left. */
static void expect_records(struct ktls_data *self, const uint8_t *data, size_t len, size_t max)
{
	size_t at, n;

	for (at = 0; at < len; at += n) {
		n = len - at < max ? len - at : max;
		expect_record(self, REC_DATA, data + at, n);
	}
}

TEST_F(ktls, payload_of_each_size)
{
	static const uint16_t max[] = { 64, 65, 512, 1000, 4096, 16383, 16384 };
	uint8_t *data = alloc_pattern(40000, 0);
	size_t i, len;

	MAX_PAYLOAD_ONLY(self->fd);
	EXPECT_EQ(ulp_is_intree() ? 1000 : 16384, max_payload_now(self->fd));
	for (i = 0; i < sizeof(max) / sizeof(*max); i++) {
		ASSERT_EQ(0, max_payload(self->fd, max[i]));
		EXPECT_EQ(max[i], max_payload_now(self->fd));
		len = max[i] < 1000 ? 3000 : 40000;
		sock_send_all(self->fd, data, len);
		expect_records(self, data, len, max[i]);
	}
	free(data);
}

TEST_F(ktls, payload_of_sendfile)
{
	uint8_t *data = alloc_pattern(20000, 0);
	int file = file_pattern(20000);
	off_t at = 0;

	MAX_PAYLOAD_ONLY(self->fd);
	ASSERT_EQ(0, max_payload(self->fd, 1500));
	ASSERT_EQ(20000, sendfile(self->fd, file, &at, 20000));
	expect_records(self, data, 20000, 1500);
	free(data);
	close(file);
}

TEST_F(ktls, payload_of_control_records)
{
	uint8_t *data = alloc_pattern(300, 0);

	MAX_PAYLOAD_ONLY(self->fd);
	ASSERT_EQ(0, max_payload(self->fd, 100));
	ASSERT_EQ(300, send_typed(self->fd, data, 300, REC_HANDSHAKE, 0));
	expect_record(self, REC_HANDSHAKE, data, 100);
	expect_record(self, REC_HANDSHAKE, data + 100, 100);
	expect_record(self, REC_HANDSHAKE, data + 200, 100);
	free(data);
}

/* RFC 8449 4: no less than 64, of which TLS 1.3 needs one for the type. */
TEST_F(ktls, payload_out_of_range)
{
	uint16_t least = variant->version == TLS_1_3_VERSION ? 63 : 64;
	uint32_t wide = 1000;

	MAX_PAYLOAD_ONLY(self->fd);
	ASSERT_EQ(0, max_payload(self->fd, 2000));
	EXPECT_ERRNO(EINVAL, max_payload(self->fd, 0));
	EXPECT_ERRNO(EINVAL, max_payload(self->fd, least - 1));
	EXPECT_ERRNO(EINVAL, max_payload(self->fd, 16385));
	EXPECT_ERRNO(EINVAL, max_payload(self->fd, 0xffff));
	EXPECT_ERRNO(EINVAL, setsockopt(self->fd, SOL_TLS, MAX_PAYLOAD, &wide, sizeof(wide)));
	EXPECT_ERRNO(EINVAL, setsockopt(self->fd, SOL_TLS, MAX_PAYLOAD, &wide, 1));
	EXPECT_EQ(2000, max_payload_now(self->fd));
	EXPECT_EQ(0, max_payload(self->fd, least));
	EXPECT_EQ(least, max_payload_now(self->fd));
}

TEST_F(ktls, payload_with_an_open_record)
{
	MAX_PAYLOAD_ONLY(self->fd);
	ASSERT_EQ(3, send(self->fd, "abc", 3, MSG_MORE));
	EXPECT_ERRNO(EBUSY, max_payload(self->fd, 100));
	ASSERT_EQ(1, send(self->fd, "d", 1, 0));
	expect_record(self, REC_DATA, "abcd", 4);
	EXPECT_EQ(0, max_payload(self->fd, 100));
}

TEST(payload_before_the_key)
{
	uint8_t *data = alloc_pattern(300, 0);
	struct peer_record rec;
	union peer_info info;
	struct peer peer;
	int fd[2], i;

	sock_pair(AF_INET, fd);
	ulp_require(fd[0]);
	MAX_PAYLOAD_ONLY(fd[0]);
	ASSERT_EQ(0, max_payload(fd[0], 100));
	peer_info_make(&info, TLS_1_3_VERSION, TLS_CIPHER_AES_GCM_128, 1, 0);
	ASSERT_EQ(0, key_set(fd[0], TLS_TX, &info));
	peer_init(&peer, fd[1], &info, &info);
	ASSERT_EQ(300, send(fd[0], data, 300, 0));
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(1, peer_recv(&peer, &rec));
		EXPECT_EQ(100, rec.len);
		EXPECT_MEMEQ(data + 100 * i, rec.data, 100);
	}
	peer_free(&peer);
	free(data);
}

TEST(options_of_a_listener)
{
	int listener = sock_listen(AF_INET);
	uint32_t one = 1;

	INTREE_DIFFERS("has no listeners");
	listener_require(listener);
	EXPECT_ERRNO(ENOTCONN, max_payload(listener, 1000));
	EXPECT_ERRNO(ENOTCONN, setsockopt(listener, SOL_TLS, ZEROCOPY_RO, &one, sizeof(one)));
	EXPECT_ERRNO(EINVAL, setsockopt(listener, SOL_TLS, EXPECT_NO_PAD, &one, sizeof(one)));
}

/* ---- hints -------------------------------------------------------------------- */

static int hint(int fd, int opt, uint32_t value, socklen_t len)
{
	uint32_t buf[2] = { value, 0 };

	return setsockopt(fd, SOL_TLS, opt, buf, len);
}

static void expect_hint(int fd, int opt, uint32_t want)
{
	socklen_t len = sizeof(want);
	uint32_t seen = 99;

	ASSERT_EQ(0, getsockopt(fd, SOL_TLS, opt, &seen, &len));
	EXPECT_EQ(sizeof(seen), len);
	EXPECT_EQ(want, seen);
}

TEST_F(ktls, zerocopy_hint)
{
	socklen_t len = 8;
	char buf[8];
	int file = file_pattern(5000);
	uint8_t *data = alloc_pattern(5000, 0);

	expect_hint(self->fd, ZEROCOPY_RO, 0);
	EXPECT_EQ(0, hint(self->fd, ZEROCOPY_RO, 1, 4));
	expect_hint(self->fd, ZEROCOPY_RO, 1);
	EXPECT_ERRNO(EINVAL, hint(self->fd, ZEROCOPY_RO, 2, 4));
	EXPECT_ERRNO(EINVAL, hint(self->fd, ZEROCOPY_RO, 0, 3));
	EXPECT_ERRNO(EINVAL, hint(self->fd, ZEROCOPY_RO, 0, 8));
	EXPECT_ERRNO(EINVAL, getsockopt(self->fd, SOL_TLS, ZEROCOPY_RO, buf, &len));
	expect_hint(self->fd, ZEROCOPY_RO, 1);
	ASSERT_EQ(5000, sendfile(self->fd, file, NULL, 5000));
	expect_record(self, REC_DATA, data, 5000);
	free(data);
	close(file);
}

/* Expecting none does not mean that padding is mistaken for data. */
TEST_F(ktls, no_pad_hint)
{
	socklen_t len = 4;
	uint32_t value;

	if (variant->version == TLS_1_2_VERSION) {
		EXPECT_ERRNO(EINVAL, hint(self->fd, EXPECT_NO_PAD, 1, 4));
		EXPECT_ERRNO(EINVAL, getsockopt(self->fd, SOL_TLS, EXPECT_NO_PAD, &value, &len));
		return;
	}
	expect_hint(self->fd, EXPECT_NO_PAD, 0);
	EXPECT_EQ(0, hint(self->fd, EXPECT_NO_PAD, 1, 4));
	EXPECT_EQ(0, hint(self->fd, EXPECT_NO_PAD, 1, 8));
	expect_hint(self->fd, EXPECT_NO_PAD, 1);
	EXPECT_ERRNO(EINVAL, hint(self->fd, EXPECT_NO_PAD, 2, 4));
	EXPECT_ERRNO(EINVAL, hint(self->fd, EXPECT_NO_PAD, 0, 3));
	peer_send_padded(&self->peer, REC_DATA, "padded", 6, 100);
	expect_data(self, "padded", 6);
	peer_send(&self->peer, REC_DATA, "plain", 5);
	expect_data(self, "plain", 5);
}

TEST(no_pad_hint_before_the_key)
{
	int fd[2];

	sock_pair(AF_INET, fd);
	ulp_require(fd[0]);
	EXPECT_ERRNO(EINVAL, hint(fd[0], EXPECT_NO_PAD, 1, 4));
}
