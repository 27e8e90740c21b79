// SPDX-License-Identifier: GPL-2.0
/*
 * KeyUpdate (RFC 8446 4.6.3) of autonomous sockets, as the kernel sends it:
 * after so many records or bytes, or by hand, and never in the way of data.
 */
#define _GNU_SOURCE
#define AUTONOMOUS_13_ONLY
#include "autonomous.h"

TEST_F(autonomous, key_is_changed_after_records)
{
	self->rekey_records = 3;
	autonomous_begin(self);
	expect_rhythm(self, 10, 20, 3);
}

TEST_F(autonomous, key_is_changed_after_each_record)
{
	self->rekey_records = 1;
	autonomous_begin(self);
	expect_rhythm(self, 100, 30, 1);
}

/* Each send is a record that goes out straight from where it is. */
TEST_F(autonomous, key_is_changed_between_long_records)
{
	self->rekey_records = 2;
	autonomous_begin(self);
	expect_rhythm(self, 16384, 6, 2);
}

/* The third record of 400 would exceed 1000 bytes. */
TEST_F(autonomous, key_is_changed_after_bytes)
{
	self->rekey_bytes = 1000;
	autonomous_begin(self);
	expect_rhythm(self, 400, 9, 2);
}

TEST_F(autonomous, bytes_may_be_used_up_exactly)
{
	self->rekey_bytes = 1000;
	autonomous_begin(self);
	expect_rhythm(self, 500, 9, 2);
}

/* A record longer than the limit cannot wait for a better key. */
TEST_F(autonomous, fewer_bytes_than_a_record)
{
	uint8_t *data = alloc_pattern(3000, 0), got[3000];
	int i;

	self->rekey_bytes = 10;
	autonomous_begin(self);
	for (i = 0; i < 5; i++) {
		ASSERT_EQ(3000, send(self->fd, data, 3000, 0));
		peer_recv_all(&self->peer, got, sizeof(got));
		EXPECT_MEMEQ(data, got, sizeof(got));
	}
	EXPECT_LE(4, self->peer.updates);
	expect_rekeys(self, self->peer.updates, 0);
	free(data);
}

/* Whichever comes first. */
TEST_F(autonomous, records_before_bytes)
{
	self->rekey_records = 2;
	self->rekey_bytes = 1000000;
	autonomous_begin(self);
	expect_rhythm(self, 100, 9, 2);
}

TEST_F(autonomous, open_record_is_one_record)
{
	uint8_t buf[8];
	int i;

	self->rekey_records = 2;
	autonomous_begin(self);
	for (i = 0; i < 6; i++) {
		ASSERT_EQ(2, send(self->fd, "ab", 2, MSG_MORE));
		ASSERT_EQ(2, send(self->fd, "cd", 2, 0));
		ASSERT_EQ(1, peer_recv_all(&self->peer, buf, 4));
		EXPECT_MEMEQ("abcd", buf, 4);
	}
	expect_rekeys(self, 2, 0);
}

TEST_F(autonomous, key_is_changed_by_hand)
{
	int i;

	autonomous_begin(self);
	for (i = 0; i < 5; i++) {
		rekey(self, false);
		expect_update(self, UPDATE_NOT_REQUESTED);
		ASSERT_EQ(1, send(self->fd, "x", 1, 0));
		expect_record(self, "x", 1);
	}
	expect_silence(self);
	expect_rekeys(self, 5, 0);
}

TEST_F(autonomous, key_is_changed_by_hand_on_both_sides)
{
	autonomous_begin(self);
	rekey(self, true);
	expect_update(self, UPDATE_REQUESTED);
	peer_send_update(&self->peer, UPDATE_NOT_REQUESTED);
	expect_talk(self);
	expect_silence(self);
	expect_rekeys(self, 1, 1);
}

/* A count of records begins anew with each key, whoever asked for it. */
TEST_F(autonomous, count_begins_anew)
{
	self->rekey_records = 3;
	autonomous_begin(self);
	ASSERT_EQ(1, send(self->fd, "1", 1, 0));
	ASSERT_EQ(1, send(self->fd, "2", 1, 0));
	expect_record(self, "1", 1);
	expect_record(self, "2", 1);
	rekey(self, false);
	expect_update(self, UPDATE_NOT_REQUESTED);
	ASSERT_EQ(1, send(self->fd, "1", 1, 0));
	ASSERT_EQ(1, send(self->fd, "2", 1, 0));
	ASSERT_EQ(1, send(self->fd, "3", 1, 0));
	expect_record(self, "1", 1);
	expect_record(self, "2", 1);
	expect_record(self, "3", 1);
	ASSERT_EQ(1, send(self->fd, "4", 1, 0));
	expect_update(self, UPDATE_NOT_REQUESTED);
	expect_record(self, "4", 1);
}

/* Both ask before either has seen the other's: both answer. */
TEST_F(autonomous, requests_cross)
{
	autonomous_begin(self);
	rekey(self, true);
	sock_wait_acked(self->fd);
	peer_send_update(&self->peer, UPDATE_REQUESTED);
	expect_nothing(self);
	expect_update(self, UPDATE_REQUESTED);
	peer_send_update(&self->peer, UPDATE_NOT_REQUESTED);
	expect_update(self, UPDATE_NOT_REQUESTED);
	expect_talk(self);
	expect_silence(self);
	expect_rekeys(self, 2, 2);
}

TEST_F(autonomous, open_record_and_request)
{
	uint8_t buf[8];

	autonomous_begin(self);
	ASSERT_EQ(2, send(self->fd, "ab", 2, MSG_MORE));
	peer_send_update(&self->peer, UPDATE_REQUESTED);
	expect_nothing(self);
	ASSERT_EQ(2, send(self->fd, "cd", 2, 0));
	peer_recv_all(&self->peer, buf, 4);
	EXPECT_MEMEQ("abcd", buf, 4);
	expect_rekeys(self, 1, 1);
	expect_talk(self);
	expect_rekeys(self, 1, 1);
}

TEST_F(autonomous, open_record_and_change_by_hand)
{
	uint8_t buf[8];

	autonomous_begin(self);
	ASSERT_EQ(2, send(self->fd, "ab", 2, MSG_MORE));
	rekey(self, false);
	ASSERT_EQ(2, send(self->fd, "cd", 2, 0));
	peer_recv_all(&self->peer, buf, 4);
	EXPECT_MEMEQ("abcd", buf, 4);
	expect_rekeys(self, 1, 0);
}

/* TCP takes no more: partial records go on later, each under the key it was made with. */
TEST_F_TIMEOUT(autonomous, change_of_keys_while_full, 60)
{
	uint8_t *data = alloc_pattern(LOTS, 0);
	size_t sent, more = 0;
	int i;

	self->rekey_records = 1;
	autonomous_begin(self);
	sent = fill_up(self, data, LOTS);
	for (i = 0; i < 5; i++) {
		rekey(self, false);
		more = sock_fill(self->fd, data + sent, 1000, 1000);
		sent += more;
	}
	read_stream(self, data, sent);
	ASSERT_EQ(1000, send(self->fd, data + sent, 1000, 0));
	read_stream(self, data + sent, 1000);
	expect_rekeys(self, self->peer.rx.updates, 0);
	EXPECT_LT(0, self->peer.rx.updates);
	free(data);
}

/* A nonce is never used twice: behind a KeyUpdate the old key opens nothing, number 0 of the new one does. */
TEST_F(autonomous, old_key_is_not_used_again)
{
	uint8_t raw[REC_HEADER + 1 + 1 + 16], out[REC_SPACE], type;
	struct peer_key old = {}, next = {};
	union peer_info info;
	int i;

	autonomous_begin(self);
	for (i = 0; i < 5; i++) {
		info = self->peer.rx.info;
		rekey(self, false);
		expect_update(self, UPDATE_NOT_REQUESTED);
		EXPECT_EQ(0, self->peer.rx.seq);
		ASSERT_EQ(1, send(self->fd, "x", 1, 0));
		sock_recv_all(self->peer.fd, raw, sizeof(raw));
		peer_key_init(&old, &info);
		for (old.seq = 0; old.seq < 4;) {
			uint64_t seq = old.seq;

			EXPECT_EQ(-EBADMSG, peer_open(&old, raw, sizeof(raw), &type, out));
			old.seq = seq + 1;
		}
		peer_info_update(&info);
		peer_key_init(&next, &info);
		EXPECT_EQ(1, peer_open(&next, raw, sizeof(raw), &type, out));
		EXPECT_EQ(REC_DATA, type);
		self->peer.rx.seq++;
		peer_key_free(&old);
		peer_key_free(&next);
	}
}

static int no_session(const struct itls_nl_session *s, void *arg)
{
	if (s->id == *(uint32_t *)arg)
		return -EEXIST;
	return 0;
}

TEST_F(autonomous, change_by_hand_needs_a_session)
{
	uint32_t id;

	autonomous_begin(self);
	id = info_get(self->fd).id;
	ASSERT_NE(0, id);
	EXPECT_EQ(-ESRCH, itls_nl_rekey(self->agent.nl, id + 1000, false));
	ASSERT_EQ(0, itls_nl_rekey(self->agent.nl, id, false));
	expect_update(self, UPDATE_NOT_REQUESTED);
	ASSERT_EQ(0, shutdown(self->fd, SHUT_WR));
	EXPECT_EQ(-ESRCH, itls_nl_rekey(self->agent.nl, id, false));
	expect_close_notify(&self->peer);
	close(self->fd);
	self->fd = -1;
	peer_free(&self->peer);
	stat_wait_idle();
	ASSERT_EQ(0, itls_nl_sessions(self->agent.nl, no_session, &id));
	EXPECT_EQ(-ESRCH, itls_nl_rekey(self->agent.nl, id, false));
}

TEST_F(autonomous, session_list_counts)
{
	struct itls_nl_session s;

	autonomous_begin(self);
	rekey(self, false);
	expect_update(self, UPDATE_NOT_REQUESTED);
	peer_send_update(&self->peer, UPDATE_NOT_REQUESTED);
	peer_send_update(&self->peer, UPDATE_NOT_REQUESTED);
	expect_nothing(self);
	s = listed_get(&self->agent, self->fd);
	EXPECT_EQ(1, s.tx_rekeys);
	EXPECT_EQ(2, s.rx_rekeys);
	EXPECT_EQ(self->variant->role, s.role);
}
