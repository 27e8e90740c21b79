// SPDX-License-Identifier: GPL-2.0
/*
 * kTLS ABI: changing keys on a TLS 1.3 connection, by KeyUpdate (RFC 8446
 * 4.6.3) and a second TLS_TX or TLS_RX; what readers and pollers see between
 * the two; and the keys that are refused.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/ioctl.h>

#include "ktls.h"
#include "rekey.h"
#include "stat.h"

#define TLS13_ONLY()							\
	do {								\
		if (variant->version != TLS_1_3_VERSION)		\
			return;						\
		if (!rekey_is_known(&self->tx))				\
			SKIP("this in-tree kTLS does not rekey");	\
	} while (0)

/* The peer's end of a direction takes key @number. */
static void peer_rekey(struct peer_key *key, const union peer_info *first, uint32_t number)
{
	union peer_info info;

	rekey_make(first, number, &info);
	peer_key_free(key);
	peer_key_init(key, &info);
}

static void peer_key_update(struct ktls_data *self, uint32_t number)
{
	peer_send(&self->peer, REC_HANDSHAKE, key_update, sizeof(key_update));
	peer_rekey(&self->peer.tx, &self->rx, number);
}

static void read_handshake(struct ktls_data *self, const void *want, size_t len)
{
	uint8_t buf[64], type;

	ASSERT_EQ((ssize_t)len, recv_typed(self->fd, buf, sizeof(buf), &type, 0));
	EXPECT_EQ(REC_HANDSHAKE, type);
	EXPECT_MEMEQ(want, buf, len);
}

static void expect_expired(struct ktls_data *self)
{
	char c;

	EXPECT_ERRNO(EKEYEXPIRED, recv(self->fd, &c, 1, 0));
	EXPECT_ERRNO(EKEYEXPIRED, recv(self->fd, &c, 1, MSG_DONTWAIT));
	EXPECT_ERRNO(EKEYEXPIRED, recv(self->fd, &c, 1, MSG_PEEK));
}

static void send_update_tx(struct ktls_data *self, uint32_t number)
{
	ASSERT_EQ((ssize_t)sizeof(key_update),
		  send_typed(self->fd, key_update, sizeof(key_update), REC_HANDSHAKE, 0));
	ASSERT_EQ(0, rekey_set(self->fd, TLS_TX, &self->tx, number));
}

TEST_F(ktls, tx_key_is_changed)
{
	uint32_t number;
	char text[2] = "0";

	TLS13_ONLY();
	for (number = 1; number < 20; number++) {
		text[0]++;
		ASSERT_EQ(1, send(self->fd, text, 1, 0));
		expect_record(self, REC_DATA, text, 1);
		send_update_tx(self, number);
		expect_record(self, REC_HANDSHAKE, key_update, sizeof(key_update));
		peer_rekey(&self->peer.rx, &self->tx, number);
	}
	ASSERT_EQ(3, send(self->fd, "end", 3, 0));
	expect_record(self, REC_DATA, "end", 3);
	/* The other direction has its first key still. */
	peer_send(&self->peer, REC_DATA, "in", 2);
	expect_data(self, "in", 2);
}

TEST_F(ktls, rx_key_is_changed)
{
	uint32_t number;

	TLS13_ONLY();
	for (number = 1; number < 20; number++) {
		peer_send(&self->peer, REC_DATA, "before", 6);
		peer_key_update(self, number);
		peer_send(&self->peer, REC_DATA, "after", 5);
		expect_data(self, "before", 6);
		read_handshake(self, key_update, sizeof(key_update));
		expect_expired(self);
		ASSERT_EQ(0, rekey_set(self->fd, TLS_RX, &self->rx, number));
		expect_data(self, "after", 5);
	}
	expect_nothing(self);
	ASSERT_EQ(3, send(self->fd, "out", 3, 0));
	expect_record(self, REC_DATA, "out", 3);
}

/* A key may change without a KeyUpdate that the kernel saw: the handshake may have been in userspace. */
TEST_F(ktls, rx_key_is_changed_unasked)
{
	TLS13_ONLY();
	ASSERT_EQ(0, rekey_set(self->fd, TLS_RX, &self->rx, 1));
	peer_rekey(&self->peer.tx, &self->rx, 1);
	peer_send(&self->peer, REC_DATA, "new", 3);
	expect_data(self, "new", 3);
}

/* Bytes held back by MSG_MORE come after the KeyUpdate, so the new key takes them. */
TEST_F(ktls, open_record_takes_the_new_key)
{
	TLS13_ONLY();
	ASSERT_EQ(4, send(self->fd, "more", 4, MSG_MORE));
	ASSERT_EQ(0, rekey_set(self->fd, TLS_TX, &self->tx, 1));
	ASSERT_EQ(4, send(self->fd, "rest", 4, 0));
	peer_rekey(&self->peer.rx, &self->tx, 1);
	expect_record(self, REC_DATA, "morerest", 8);
}

TEST_F(ktls, data_before_key_update_is_whole)
{
	TLS13_ONLY();
	ASSERT_EQ(4, send(self->fd, "more", 4, MSG_MORE));
	send_update_tx(self, 1);
	expect_record(self, REC_DATA, "more", 4);
	expect_record(self, REC_HANDSHAKE, key_update, sizeof(key_update));
}

TEST_F(ktls, poll_while_key_is_due)
{
	int unread = -1;

	TLS13_ONLY();
	peer_key_update(self, 1);
	peer_send(&self->peer, REC_DATA, "after", 5);
	arrived(self);
	EXPECT_EQ(POLLIN, sock_poll(self->fd, POLLIN, 0));
	read_handshake(self, key_update, sizeof(key_update));
	EXPECT_EQ(0, sock_poll(self->fd, POLLIN, 0));
	if (!ulp_is_intree()) {
		ASSERT_EQ(0, ioctl(self->fd, FIONREAD, &unread));
		EXPECT_EQ(0, unread);
	}
	ASSERT_EQ(0, rekey_set(self->fd, TLS_RX, &self->rx, 1));
	EXPECT_EQ(POLLIN, sock_poll(self->fd, POLLIN, 0));
	expect_data(self, "after", 5);
}

/* More arriving while the key is due does not make the socket readable. */
TEST_F(ktls, poll_stays_quiet)
{
	TLS13_ONLY();
	peer_key_update(self, 1);
	read_handshake(self, key_update, sizeof(key_update));
	peer_send(&self->peer, REC_DATA, "after", 5);
	arrived(self);
	EXPECT_EQ(0, sock_poll(self->fd, POLLIN, 0));
	peer_send(&self->peer, REC_DATA, "wards", 5);
	arrived(self);
	EXPECT_EQ(0, sock_poll(self->fd, POLLIN, 0));
	ASSERT_EQ(0, rekey_set(self->fd, TLS_RX, &self->rx, 1));
	expect_data(self, "afterwards", 10);
}

static void *poll_in(void *arg)
{
	struct ktls_data *self = arg;

	EXPECT_EQ(POLLIN, sock_poll(self->fd, POLLIN, test_wait_ms()));
	return NULL;
}

TEST_F(ktls, new_key_wakes_pollers)
{
	pthread_t thread;

	TLS13_ONLY();
	peer_key_update(self, 1);
	peer_send(&self->peer, REC_DATA, "after", 5);
	arrived(self);
	read_handshake(self, key_update, sizeof(key_update));
	ASSERT_EQ(0, pthread_create(&thread, NULL, poll_in, self));
	ASSERT_EQ(0, rekey_set(self->fd, TLS_RX, &self->rx, 1));
	ASSERT_EQ(0, pthread_join(thread, NULL));
	expect_data(self, "after", 5);
}

TEST_F(ktls, peeked_key_update_stays_readable)
{
	uint8_t buf[16], type;

	TLS13_ONLY();
	INTREE_DIFFERS("hides a peeked KeyUpdate from poll");
	peer_key_update(self, 1);
	ASSERT_EQ((ssize_t)sizeof(key_update),
		  recv_typed(self->fd, buf, sizeof(buf), &type, MSG_PEEK));
	EXPECT_EQ(POLLIN, sock_poll(self->fd, POLLIN, 0));
	read_handshake(self, key_update, sizeof(key_update));
	expect_expired(self);
}

TEST_F(ktls, splice_while_key_is_due)
{
	int p[2];
	char buf[8];

	TLS13_ONLY();
	ASSERT_EQ(0, pipe(p));
	peer_key_update(self, 1);
	peer_send(&self->peer, REC_DATA, "after", 5);
	EXPECT_ERRNO(EINVAL, splice(self->fd, NULL, p[1], NULL, 100, 0));
	read_handshake(self, key_update, sizeof(key_update));
	EXPECT_ERRNO(EKEYEXPIRED, splice(self->fd, NULL, p[1], NULL, 100, 0));
	ASSERT_EQ(0, rekey_set(self->fd, TLS_RX, &self->rx, 1));
	ASSERT_EQ(5, splice(self->fd, NULL, p[1], NULL, 100, 0));
	ASSERT_EQ(5, read(p[0], buf, sizeof(buf)));
	EXPECT_MEMEQ("after", buf, 5);
}

/* RFC 8446 5.1: a message may cross records, and share one with others. */
TEST_F(ktls, key_update_in_two_records)
{
	char c;

	TLS13_ONLY();
	INTREE_DIFFERS("looks at the first byte of a record alone");
	peer_send(&self->peer, REC_HANDSHAKE, key_update, 2);
	peer_send(&self->peer, REC_HANDSHAKE, key_update + 2, 3);
	peer_rekey(&self->peer.tx, &self->rx, 1);
	peer_send(&self->peer, REC_DATA, "after", 5);
	read_handshake(self, key_update, 2);
	EXPECT_ERRNO(EIO, recv(self->fd, &c, 1, 0));
	read_handshake(self, key_update + 2, 3);
	expect_expired(self);
	ASSERT_EQ(0, rekey_set(self->fd, TLS_RX, &self->rx, 1));
	expect_data(self, "after", 5);
}

TEST_F(ktls, key_update_behind_a_ticket)
{
	/* NewSessionTicket (4) of five bytes, which look like another KeyUpdate. */
	static const uint8_t both[] = { 4, 0, 0, 5, 24, 0, 0, 1, 0, 24, 0, 0, 1, 0 };

	TLS13_ONLY();
	INTREE_DIFFERS("looks at the first byte of a record alone");
	peer_send(&self->peer, REC_HANDSHAKE, both, 6);
	peer_send(&self->peer, REC_HANDSHAKE, both + 6, 3);
	peer_send(&self->peer, REC_DATA, "not yet", 7);
	peer_send(&self->peer, REC_HANDSHAKE, both, sizeof(both));
	read_handshake(self, both, 6);
	read_handshake(self, both + 6, 3);
	expect_data(self, "not yet", 7);
	read_handshake(self, both, sizeof(both));
	expect_expired(self);
}

TEST_F(ktls, tls12_has_no_key_update)
{
	if (variant->version != TLS_1_2_VERSION)
		return;
	INTREE_DIFFERS("waits for a key that it then refuses");
	peer_send(&self->peer, REC_HANDSHAKE, key_update, sizeof(key_update));
	peer_send(&self->peer, REC_DATA, "on", 2);
	read_handshake(self, key_update, sizeof(key_update));
	expect_data(self, "on", 2);
}

/* A record longer than the receive buffer waits for its key and is then read. */
TEST_F(ktls, window_closes_while_key_is_due)
{
	uint8_t *data = alloc_pattern(REC_MAX, 0);

	TLS13_ONLY();
	sock_set_int(self->fd, SOL_SOCKET, SO_RCVBUF, 4096);
	peer_key_update(self, 1);
	read_handshake(self, key_update, sizeof(key_update));
	sock_set_int(self->peer.fd, SOL_SOCKET, SO_SNDBUF, 1 << 20);
	peer_send(&self->peer, REC_DATA, data, REC_MAX);
	expect_expired(self);
	ASSERT_EQ(0, rekey_set(self->fd, TLS_RX, &self->rx, 1));
	expect_data(self, data, REC_MAX);
	free(data);
}

TEST_F(ktls, end_of_stream_while_key_is_due)
{
	TLS13_ONLY();
	peer_key_update(self, 1);
	read_handshake(self, key_update, sizeof(key_update));
	ASSERT_EQ(0, shutdown(self->peer.fd, SHUT_WR));
	ASSERT_NE(0, sock_poll(self->fd, POLLRDHUP, test_wait_ms()));
	expect_expired(self);
	ASSERT_EQ(0, rekey_set(self->fd, TLS_RX, &self->rx, 1));
	EXPECT_EQ(0, recv(self->fd, SCRATCH(8), 8, 0));
}

/* ---- keys that are refused ------------------------------------------------- */

/* The present key, with another sequence number or IV. */
static int same_key(struct ktls_data *self, int opt, int64_t seq_more, bool other_iv)
{
	union peer_info info = opt == TLS_TX ? self->tx : self->rx;
	uint8_t *salt, *iv, *rec_seq;
	uint64_t seq;

	peer_info_parts(&info, &salt, &iv, &rec_seq);
	memcpy(&seq, rec_seq, sizeof(seq));
	seq = htobe64(be64toh(seq) + seq_more);
	memcpy(rec_seq, &seq, sizeof(seq));
	iv[0] ^= other_iv;
	return key_set(self->fd, opt, &info);
}

TEST_F(ktls, nonce_is_not_repeated)
{
	TLS13_ONLY();
	INTREE_DIFFERS("does not look");
	/* Set, though not used yet. */
	EXPECT_ERRNO(EKEYREJECTED, same_key(self, TLS_TX, 0, false));
	ASSERT_EQ(1, send(self->fd, "a", 1, 0));
	ASSERT_EQ(1, send(self->fd, "b", 1, 0));
	peer_send(&self->peer, REC_DATA, "c", 1);
	expect_data(self, "c", 1);
	EXPECT_ERRNO(EKEYREJECTED, same_key(self, TLS_TX, 0, false));
	EXPECT_ERRNO(EKEYREJECTED, same_key(self, TLS_TX, 1, false));
	EXPECT_ERRNO(EKEYREJECTED, same_key(self, TLS_TX, -1, false));
	EXPECT_ERRNO(EKEYREJECTED, same_key(self, TLS_TX, 2, true));
	EXPECT_ERRNO(EKEYREJECTED, same_key(self, TLS_RX, 0, false));
	/* What was refused changed nothing. */
	ASSERT_EQ(1, send(self->fd, "d", 1, 0));
	expect_record(self, REC_DATA, "a", 1);
	expect_record(self, REC_DATA, "b", 1);
	expect_record(self, REC_DATA, "d", 1);
	EXPECT_ERRNO(EKEYREJECTED, same_key(self, TLS_TX, 3, false));
	EXPECT_ERRNO(EKEYREJECTED, same_key(self, TLS_RX, 1, false));
	/* The same key further on repeats none. */
	EXPECT_EQ(0, same_key(self, TLS_TX, 4, false));
	EXPECT_EQ(0, same_key(self, TLS_RX, 2, false));
	self->peer.rx.seq++;
	self->peer.tx.seq++;
	ASSERT_EQ(1, send(self->fd, "e", 1, 0));
	expect_record(self, REC_DATA, "e", 1);
	peer_send(&self->peer, REC_DATA, "f", 1);
	expect_data(self, "f", 1);
}

TEST_F(ktls, other_suite_is_refused)
{
	union peer_info info;

	peer_info_make(&info, variant->version, variant->cipher == TLS_CIPHER_AES_GCM_128 ?
		       TLS_CIPHER_AES_GCM_256 : TLS_CIPHER_AES_GCM_128, 7, 0);
	if (variant->version == TLS_1_2_VERSION) {
		EXPECT_ERRNO(EBUSY, key_set(self->fd, TLS_TX, &info));
		EXPECT_ERRNO(EBUSY, key_set(self->fd, TLS_RX, &info));
	} else {
		TLS13_ONLY();
		EXPECT_ERRNO(EINVAL, key_set(self->fd, TLS_TX, &info));
		EXPECT_ERRNO(EINVAL, key_set(self->fd, TLS_RX, &info));
		rekey_make(&self->tx, 1, &info);
		info.info.version = TLS_1_2_VERSION;
		EXPECT_ERRNO(EINVAL, key_set(self->fd, TLS_TX, &info));
		EXPECT_ERRNO(EINVAL, key_set(self->fd, TLS_RX, &info));
	}
	ASSERT_EQ(1, send(self->fd, "x", 1, 0));
	expect_record(self, REC_DATA, "x", 1);
	peer_send(&self->peer, REC_DATA, "y", 1);
	expect_data(self, "y", 1);
}

TEST_F(ktls, counters)
{
	TLS13_ONLY();
	if (ulp_is_intree())
		SKIP("in-tree kTLS has other counters");
	/* rekey_is_known() changed a key, too. */
	EXPECT_EQ(1, stat_get("TxRekey"));
	send_update_tx(self, 1);
	EXPECT_EQ(2, stat_get("TxRekey"));
	peer_key_update(self, 1);
	read_handshake(self, key_update, sizeof(key_update));
	EXPECT_EQ(1, stat_get("RxKeyUpdate"));
	EXPECT_EQ(0, stat_get("RxRekey"));
	ASSERT_EQ(0, rekey_set(self->fd, TLS_RX, &self->rx, 1));
	EXPECT_EQ(1, stat_get("RxRekey"));
}

/* Sequence numbers never wrap (RFC 8446 5.3); a new key begins anew. */
TEST_F(ktls, new_key_after_the_last_number)
{
	union peer_info last, next;
	struct peer_record rec;
	struct peer peer;
	int fd[2];

	TLS13_ONLY();
	INTREE_DIFFERS("needs its error taken first");
	peer_info_make(&last, variant->version, variant->cipher, 5, ~0ULL);
	peer_info_make(&next, variant->version, variant->cipher, 6, 0);
	sock_pair(variant->family, fd);
	ulp_require(fd[0]);
	ASSERT_EQ(0, key_set(fd[0], TLS_TX, &last));
	peer_init(&peer, fd[1], &next, &next);
	EXPECT_ERRNO(EBADMSG, send(fd[0], "x", 1, MSG_NOSIGNAL));
	EXPECT_ERRNO(EPIPE, send(fd[0], "x", 1, MSG_NOSIGNAL));
	ASSERT_EQ(0, key_set(fd[0], TLS_TX, &next));
	ASSERT_EQ(1, send(fd[0], "y", 1, 0));
	ASSERT_EQ(1, peer_recv(&peer, &rec));
	EXPECT_EQ(1, rec.len);
	EXPECT_EQ('y', rec.data[0]);
	peer_free(&peer);
	close(fd[0]);
}
