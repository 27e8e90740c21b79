// SPDX-License-Identifier: GPL-2.0
/*
 * Faults that in-tree kTLS had, receiving; and the list of all such faults
 * with the test that would show each:
 *
 * CVE-2025-39682 empty record on the list, types mixed up      fault_rx cve_2025_39682_*
 * CVE-2025-38616 data vanishes beneath the ULP                 fault_rx cve_2025_38616_*
 * CVE-2025-39946 bogus header found late is not fatal          fault_rx cve_2025_39946_*,
 *                                                              ktls_rx_bad header_*
 * CVE-2024-26582 partial reads while decryption is under way   fault_async partial_reads
 * CVE-2024-26583 completion after the last reader has gone     fault_async close_right_after
 * CVE-2024-26584 -EBUSY of a full crypto queue is no error     fault_async many_at_once
 * CVE-2024-26585, CVE-2026-23240 work queued while closing     fault_tx cve_2026_23240,
 *                                                              fault_async close_right_after
 * CVE-2024-26800, CVE-2026-23414 failed decryption leaks       fault_async bad_record, under kmemleak
 * CVE-2024-0646 send() writes behind a spliced page            fault_tx cve_2024_0646
 * CVE-2024-36489 attach publishes before it has built          fault_life attach_while_data_comes
 * CVE-2023-0461 a socket with the ULP listens again            fault_life cve_2023_0461
 * two threads set the same key                                 fault_life keys_from_two_threads
 * disconnect beneath the keys                                  fault_life disconnect_is_refused
 * ULP on a socket that is not connected                        fault_life attach_in_other_states,
 *                                                              ktls_opt ulp_*
 * control record stuck in splice (haproxy 3450: busy loop)     fault_rx splice_control_*,
 *                                                              ktls_rx splice_control_record
 * peek runs over a control record                              fault_rx peek_stops_at_control_record
 * control record merged with data                              ktls_rx types_are_not_mixed
 * record type changes while one is open                        ktls_tx msg_more_then_other_type,
 *                                                              fault_tx empty_control_send
 * connection's error hides data that came before it            fault_rx data_before_reset
 * record in the queue before the key: nobody woken             fault_frame keys_after_the_record,
 *                                                              ktls_opt plain_bytes_then_keys
 * last byte of a record wakes nobody, or the first does        fault_frame sleeping_poller,
 *                                                              ktls_rx_frame poll_half_then_whole
 * receive buffer below a record                                ktls_rx_frame receive_buffer_below_a_record*
 * length of a record misjudged while it is copied out          fault_frame mixed_records_in_a_small_buffer,
 *                                                              segments_eat_the_buffer
 * padding found after decryption into the reader's pages       fault_frame padding_though_none_was_expected
 * failed copy to the reader loses data                         fault_frame half_bad_pointer, ktls_rx bad_pointer
 * FIN inside a record                                          ktls_rx_bad fin_inside_a_record,
 *                                                              fin_inside_a_header
 * tcp_notsent_lowat below one record stalls                    fault_tx notsent_lowat_*
 * sendfile beyond the end holds the tail back                  ktls_tx sendfile_beyond_eof
 * MSG_MORE, then a splice or send of nothing                   fault_tx more_then_*, ktls_tx sendfile_at_eof
 * full record in many pieces (TLS 1.3 type byte)               fault_tx tiny_pieces, splice_onto_*
 * failed copy from the sender                                  fault_tx half_bad_*,
 *                                                              ktls_tx_flow half_bad_pointer
 * retry after EAGAIN from another buffer (openssl 21202)       fault_tx retry_from_another_buffer,
 *                                                              ktls_tx_flow nonblocking_*
 * sending stops after some records (openssl 8491)              ktls_tx_flow nonblocking_*, send_timeout
 * error of the connection with a record open                   fault_tx reset_with_an_open_record
 * close while a sender is blocked                              fault_tx close_while_blocked,
 *                                                              managed_end shutdown_while_send_is_blocked
 * sequence number wraps                                        ktls_tx sequence_numbers_never_wrap
 *
 * Offload to a NIC and sockmap have faults of their own and no code here.
 */
#define _GNU_SOURCE
#include "ktls.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>

/* One recvmsg() with room for far more: just this content of this type, nothing behind it. */
static void expect_typed(struct ktls_data *self, uint8_t want, const void *data, size_t len)
{
	static uint8_t buf[2 * REC_MAX];
	uint8_t type;

	memset(buf, 0xee, sizeof(buf));
	ASSERT_EQ((ssize_t)len, recv_typed(self->fd, buf, sizeof(buf), &type, MSG_DONTWAIT));
	EXPECT_EQ(want, type);
	EXPECT_MEMEQ(data, buf, len);
	EXPECT_EQ(0xee, buf[len]);
}

/* An empty record of data may end a read or may not be seen at all. */
static void skip_empty_data(struct ktls_data *self)
{
	uint8_t type, c;

	while (!recv_typed(self->fd, &c, 1, &type, MSG_DONTWAIT | MSG_PEEK) && type == REC_DATA)
		ASSERT_EQ(0, recv_typed(self->fd, &c, 1, &type, MSG_DONTWAIT));
}

/* The reader took the record after the empty one for more of the same, into the same buffer. */
TEST_F(ktls, cve_2025_39682_empty_control_record)
{
	uint8_t *data = alloc_pattern(4000, 0);

	peer_send(&self->peer, REC_DATA, "one", 3);
	peer_send(&self->peer, REC_HANDSHAKE, NULL, 0);
	peer_send(&self->peer, REC_DATA, data, 4000);
	arrived(self);
	expect_typed(self, REC_DATA, "one", 3);
	expect_typed(self, REC_HANDSHAKE, "", 0);
	expect_typed(self, REC_DATA, data, 4000);
	expect_nothing(self);
	free(data);
}

TEST_F(ktls, cve_2025_39682_empty_control_record_peeked)
{
	uint8_t *data = alloc_pattern(4000, 0), *buf = malloc(2 * REC_MAX), type;

	ASSERT_TRUE(buf);
	peer_send(&self->peer, REC_DATA, "one", 3);
	peer_send(&self->peer, REC_HANDSHAKE, NULL, 0);
	peer_send(&self->peer, REC_DATA, data, 4000);
	arrived(self);
	ASSERT_EQ(3, recv_typed(self->fd, buf, 2 * REC_MAX, &type, MSG_PEEK | MSG_DONTWAIT));
	expect_typed(self, REC_DATA, "one", 3);
	memset(buf, 0xee, 16);
	ASSERT_EQ(0, recv_typed(self->fd, buf, 2 * REC_MAX, &type, MSG_PEEK | MSG_DONTWAIT));
	EXPECT_EQ(REC_HANDSHAKE, type);
	EXPECT_EQ(0xee, buf[0]);
	expect_typed(self, REC_HANDSHAKE, "", 0);
	expect_typed(self, REC_DATA, data, 4000);
	expect_nothing(self);
	free(data);
	free(buf);
}

TEST_F(ktls, cve_2025_39682_empty_data_then_control)
{
	peer_send(&self->peer, REC_DATA, NULL, 0);
	peer_send(&self->peer, REC_DATA, NULL, 0);
	peer_send(&self->peer, REC_HANDSHAKE, "HS", 2);
	peer_send(&self->peer, REC_DATA, NULL, 0);
	peer_send(&self->peer, REC_ALERT, "\1\0", 2);
	peer_send(&self->peer, REC_DATA, "x", 1);
	arrived(self);
	skip_empty_data(self);
	expect_typed(self, REC_HANDSHAKE, "HS", 2);
	skip_empty_data(self);
	expect_typed(self, REC_ALERT, "\1\0", 2);
	expect_typed(self, REC_DATA, "x", 1);
	expect_nothing(self);
}

TEST_F(ktls, cve_2025_39682_only_empty_control_records)
{
	char buf[16];
	int i;

	for (i = 0; i < 3; i++)
		peer_send(&self->peer, REC_HANDSHAKE, NULL, 0);
	arrived(self);
	/* A reader who cannot be told the type would take it for the end of the stream. */
	EXPECT_ERRNO(EIO, recv(self->fd, buf, sizeof(buf), MSG_DONTWAIT));
	for (i = 0; i < 3; i++)
		expect_typed(self, REC_HANDSHAKE, "", 0);
	expect_nothing(self);
}

/*
 * Somebody sleeps in TCP's own recvmsg() or splice_read() since before the
 * ULP came, and takes ciphertext from under it.
 */
struct thief {
	int fd;
	size_t want;
	int flags;		/* of recv(); -1: splice */
	int pipe[2];
	volatile pid_t tid;
	ssize_t got;
	uint8_t buf[1000];
};

static void *steal(void *arg)
{
	struct thief *t = arg;

	t->tid = gettid();
	if (t->flags < 0)
		t->got = splice(t->fd, NULL, t->pipe[1], NULL, t->want, 0);
	else
		t->got = recv(t->fd, t->buf, t->want, t->flags);
	return NULL;
}

static void rob(struct ktls_data *self, const struct ktls_variant *variant, struct thief *t)
{
	pthread_t thread;
	int fd[2];

	/* The fixture's own connection got its keys before anybody could sleep in it. */
	close(self->fd);
	peer_free(&self->peer);
	sock_pair(variant->family, fd);
	self->fd = fd[0];
	t->fd = fd[0];
	ASSERT_EQ(0, pipe(t->pipe));
	ASSERT_EQ(0, pthread_create(&thread, NULL, steal, t));
	while (!t->tid || !test_is_asleep(t->tid))
		sched_yield();
	ulp_require(self->fd);
	ASSERT_EQ(0, key_set(self->fd, TLS_TX, &self->tx));
	ASSERT_EQ(0, key_set(self->fd, TLS_RX, &self->rx));
	peer_init(&self->peer, fd[1], &self->tx, &self->rx);
	peer_send(&self->peer, REC_DATA, "0123456789", 10);
	arrived(self);
	ASSERT_EQ(0, pthread_join(thread, NULL));
	ASSERT_EQ((ssize_t)t->want, t->got);
}

/* Nobody may hang, loop, or be given anything but an error. */
static void expect_broken(struct ktls_data *self)
{
	char buf[64];

	peer_send(&self->peer, REC_DATA, "next", 4);
	arrived(self);
	ASSERT_NE(0, sock_poll(self->fd, POLLIN, test_wait_ms()));
	EXPECT_EQ(-1, recv(self->fd, buf, sizeof(buf), 0));
	EXPECT_TRUE(errno == EBADMSG || errno == EINVAL || errno == EMSGSIZE);
	EXPECT_EQ(-1, recv(self->fd, buf, sizeof(buf), MSG_DONTWAIT));
	/* The other direction has lost nothing; in-tree kTLS ends both. */
	if (ulp_is_intree())
		return;
	ASSERT_EQ(2, send(self->fd, "ok", 2, 0));
	expect_record(self, REC_DATA, "ok", 2);
}

TEST_F(ktls, cve_2025_38616_whole_record)
{
	struct thief t = { .want = peer_record_len(&self->peer.tx, 10), .flags = MSG_WAITALL };

	rob(self, variant, &t);
	expect_nothing(self);
	EXPECT_EQ(0, sock_poll(self->fd, POLLIN, 0));
	expect_broken(self);
}

TEST_F(ktls, cve_2025_38616_part_of_the_header)
{
	struct thief t = { .want = 1 };

	rob(self, variant, &t);
	expect_broken(self);
}

TEST_F(ktls, cve_2025_38616_part_of_the_body)
{
	struct thief t = { .want = 20 };

	rob(self, variant, &t);
	expect_broken(self);
}

TEST_F(ktls, cve_2025_38616_by_splice)
{
	struct thief t = { .want = peer_record_len(&self->peer.tx, 10), .flags = -1 };

	rob(self, variant, &t);
	expect_nothing(self);
	expect_broken(self);
}

TEST_F(ktls, cve_2025_38616_only_peeked)
{
	struct thief t = { .want = 20, .flags = MSG_PEEK };

	rob(self, variant, &t);
	expect_data(self, "0123456789", 10);
	expect_nothing(self);
}

TEST_F(ktls, cve_2025_38616_mapped)
{
	struct tcp_zerocopy_receive zc = { .length = 4096 };
	void *map = mmap(NULL, 4096, PROT_READ, MAP_SHARED, self->fd, 0);
	socklen_t len = sizeof(zc);
	uint8_t copy[64];

	INTREE_DIFFERS("lets ciphertext be taken this way");
	zc.address = map == MAP_FAILED ? 0 : (uintptr_t)map;
	zc.copybuf_address = (uintptr_t)copy;
	zc.copybuf_len = sizeof(copy);
	peer_send(&self->peer, REC_DATA, "hello", 5);
	arrived(self);
	EXPECT_ERRNO(EOPNOTSUPP, getsockopt(self->fd, IPPROTO_TCP, TCP_ZEROCOPY_RECEIVE, &zc, &len));
	expect_data(self, "hello", 5);
}

/* More bytes, good ones too, must not bring a stream with a bogus header back to life. */
static void expect_dead(struct ktls_data *self, bool has_room)
{
	uint8_t *flood = alloc_pattern(1 << 16, 0), rec[REC_SPACE];
	size_t len;
	int i;

	INTREE_DIFFERS("forgets a bad header when it has told of it once");
	ASSERT_NE(0, sock_poll(self->fd, POLLIN, test_wait_ms()));
	EXPECT_EQ(-1, recv(self->fd, SCRATCH(64), 64, 0));
	EXPECT_TRUE(errno == EINVAL || errno == EMSGSIZE);
	if (has_room) {
		peer_send(&self->peer, REC_DATA, "late", 4);
		arrived(self);
		EXPECT_EQ(-1, recv(self->fd, SCRATCH(64), 64, MSG_DONTWAIT));
	}
	for (i = 0; i < 8; i++) {
		/* As much as TCP takes; the rest waits for a reader that will never come. */
		sock_fill(self->peer.fd, flood, 1 << 13, 1 << 10);
		len = peer_seal(&self->peer.tx, REC_DATA, "late", 4, 0, rec);
		sock_fill(self->peer.fd, rec, len, len);
		EXPECT_EQ(-1, recv(self->fd, SCRATCH(64), 64, MSG_DONTWAIT));
		EXPECT_EQ(-1, recv(self->fd, SCRATCH(64), 64, MSG_DONTWAIT | MSG_PEEK));
	}
	free(flood);
}

TEST_F(ktls, cve_2025_39946_bogus_header_in_pieces)
{
	static const uint8_t bogus[] = { REC_DATA, 3, 3, 0xff, 0xff };
	size_t i;

	for (i = 0; i < sizeof(bogus); i++) {
		expect_nothing(self);
		peer_send_raw(&self->peer, bogus + i, 1);
		arrived(self);
	}
	expect_dead(self, true);
}

TEST_F(ktls, cve_2025_39946_small_buffer_and_urgent_data)
{
	static const uint8_t bogus[] = { REC_DATA, 3, 1, 0x40, 0 };
	uint8_t *flood = alloc_pattern(1 << 16, 0);
	int i;

	sock_set_int(self->fd, SOL_SOCKET, SO_RCVBUF, 4096);
	ASSERT_EQ(5, send(self->peer.fd, bogus, 5, MSG_OOB));
	sock_fill(self->peer.fd, flood, 1 << 16, 1 << 16);
	for (i = 0; i < 64; i++)
		if (send(self->peer.fd, bogus, 5, MSG_OOB | MSG_DONTWAIT) < 0)
			ASSERT_EQ(EAGAIN, errno);
	expect_dead(self, false);
	free(flood);
}

TEST_F(ktls, cve_2025_39946_behind_a_record_half_read)
{
	char buf[2];

	peer_send(&self->peer, REC_DATA, "abcdef", 6);
	peer_send_raw(&self->peer, "\x17\x02\x03\x00\x40", 5);
	arrived(self);
	ASSERT_EQ(2, recv(self->fd, buf, 2, 0));
	expect_data(self, "cdef", 4);
	expect_dead(self, true);
}

static void splice_control_case(struct ktls_data *self, const char *content, size_t len)
{
	char buf[16];
	int p[2], i;

	ASSERT_EQ(0, pipe(p));
	peer_send(&self->peer, REC_DATA, "ab", 2);
	peer_send(&self->peer, REC_HANDSHAKE, content, len);
	peer_send(&self->peer, REC_DATA, "cd", 2);
	arrived(self);
	ASSERT_EQ(2, splice(self->fd, NULL, p[1], NULL, 100, 0));
	for (i = 0; i < 3; i++)
		EXPECT_ERRNO(EINVAL, splice(self->fd, NULL, p[1], NULL, 100, 0));
	EXPECT_ERRNO(EIO, recv(self->fd, buf, sizeof(buf), MSG_DONTWAIT));
	EXPECT_ERRNO(EINVAL, splice(self->fd, NULL, p[1], NULL, 100, 0));
	EXPECT_EQ(POLLIN, sock_poll(self->fd, POLLIN, 0));
	expect_typed(self, REC_HANDSHAKE, content, len);
	ASSERT_EQ(2, splice(self->fd, NULL, p[1], NULL, 100, 0));
	ASSERT_EQ(4, read(p[0], buf, sizeof(buf)));
	EXPECT_MEMEQ("abcd", buf, 4);
	EXPECT_EQ(0, sock_poll(self->fd, POLLIN, 0));
}

/* It is neither lost nor in the way for ever: recvmsg() takes it, then splice goes on. */
TEST_F(ktls, splice_control_between_data)
{
	splice_control_case(self, "HS", 2);
}

TEST_F(ktls, splice_control_empty_between_data)
{
	splice_control_case(self, "", 0);
}

TEST_F(ktls, peek_stops_at_control_record)
{
	uint8_t *data = alloc_pattern(3000, 0), *got = malloc(1 << 16), type;
	int i;

	ASSERT_TRUE(got);
	peer_send_data(&self->peer, data, 3000, 1000);
	peer_send(&self->peer, REC_HANDSHAKE, "HS", 2);
	peer_send(&self->peer, REC_DATA, "after", 5);
	arrived(self);
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(3000, recv(self->fd, got, 3000, MSG_PEEK | MSG_WAITALL));
		ASSERT_EQ(3000, recv(self->fd, got, 1 << 16, MSG_PEEK | MSG_DONTWAIT));
		EXPECT_MEMEQ(data, got, 3000);
	}
	expect_typed(self, REC_DATA, data, 3000);
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(2, recv_typed(self->fd, got, 1 << 16, &type, MSG_PEEK | MSG_DONTWAIT));
		EXPECT_EQ(REC_HANDSHAKE, type);
	}
	expect_typed(self, REC_HANDSHAKE, "HS", 2);
	expect_typed(self, REC_DATA, "after", 5);
	free(data);
	free(got);
}

/* As on TCP: first what came, then why no more comes. */
TEST_F(ktls, data_before_reset)
{
	char buf[16];

	peer_send(&self->peer, REC_DATA, "list", 4);
	peer_send(&self->peer, REC_DATA, "queue", 5);
	arrived(self);
	ASSERT_EQ(1, recv(self->fd, buf, 1, 0));
	sock_reset(self->peer.fd);
	self->peer.fd = -1;
	ASSERT_NE(0, sock_poll(self->fd, POLLHUP, test_wait_ms()));
	expect_data(self, "istqueue", 8);
	EXPECT_ERRNO(ECONNRESET, recv(self->fd, buf, sizeof(buf), 0));
}
