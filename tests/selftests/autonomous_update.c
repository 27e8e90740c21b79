// SPDX-License-Identifier: GPL-2.0
/*
 * KeyUpdate (RFC 8446 4.6.3) of autonomous sockets, as the peer sends it: when
 * it is answered, how often, where on the wire, and that the program sees
 * nothing of it.
 */
#define _GNU_SOURCE
#define AUTONOMOUS_13_ONLY
#include "autonomous.h"

#include <sys/epoll.h>
#include <sys/ioctl.h>

/* ---- in ------------------------------------------------------------------------- */

TEST_F(autonomous, keys_of_the_peer_change)
{
	uint8_t text;

	autonomous_begin(self);
	for (text = 'a'; text < 'a' + 20; text++) {
		peer_send_update(&self->peer, UPDATE_NOT_REQUESTED);
		peer_send(&self->peer, REC_DATA, &text, 1);
		expect_data(self, &text, 1);
	}
	expect_silence(self);
	/* Nobody asked for another key of ours. */
	ASSERT_EQ(3, send(self->fd, "out", 3, 0));
	expect_record(self, "out", 3);
	expect_rekeys(self, 0, 20);
}

TEST_F(autonomous, updates_without_data_between)
{
	int i;

	autonomous_begin(self);
	for (i = 0; i < 10; i++)
		peer_send_update(&self->peer, UPDATE_NOT_REQUESTED);
	peer_send(&self->peer, REC_DATA, "ten", 3);
	expect_data(self, "ten", 3);
	expect_nothing(self);
	expect_rekeys(self, 0, 10);
}

TEST_F(autonomous, request_is_answered_at_once)
{
	int i;

	autonomous_begin(self);
	for (i = 0; i < 5; i++) {
		peer_send_update(&self->peer, UPDATE_REQUESTED);
		expect_nothing(self);
		expect_update(self, UPDATE_NOT_REQUESTED);
		expect_silence(self);
	}
	expect_talk(self);
	expect_rekeys(self, 5, 5);
}

TEST_F(autonomous, request_before_data_is_answered)
{
	autonomous_begin(self);
	peer_send_update(&self->peer, UPDATE_REQUESTED);
	peer_send(&self->peer, REC_DATA, "data", 4);
	arrived(self);
	expect_data(self, "data", 4);
	/* One that has read all it wants may leave the answer to the next call. */
	expect_nothing(self);
	expect_update(self, UPDATE_NOT_REQUESTED);
	expect_talk(self);
	expect_rekeys(self, 1, 1);
}

TEST_F(autonomous, request_is_answered_by_a_blocked_reader)
{
	struct blocked b;
	int i;

	autonomous_begin(self);
	blocked_start(&b, self, 5);
	for (i = 0; i < 3; i++) {
		peer_send_update(&self->peer, UPDATE_NOT_REQUESTED);
		peer_send_update(&self->peer, UPDATE_REQUESTED);
		expect_update(self, UPDATE_NOT_REQUESTED);
		sock_wait_acked(self->fd);
	}
	peer_send(&self->peer, REC_DATA, "af", 2);
	peer_send_update(&self->peer, UPDATE_NOT_REQUESTED);
	peer_send(&self->peer, REC_DATA, "ter", 3);
	blocked_join(&b, "after", 5);
	expect_rekeys(self, 3, 7);
}

TEST_F(autonomous, answer_comes_before_the_next_data)
{
	answer_when_busy(self, 1);
}

TEST_F(autonomous, several_requests_have_one_answer)
{
	answer_when_busy(self, 7);
}

/* Those that waited have one answer, with which that to a later one may be one or not. */
TEST_F(autonomous, one_answer_when_idle_again)
{
	uint8_t *data = alloc_pattern(LOTS, 0);
	size_t sent;
	int i;

	autonomous_begin(self);
	sent = fill_up(self, data, LOTS);
	for (i = 0; i < 3; i++)
		peer_send_update(&self->peer, UPDATE_REQUESTED);
	expect_nothing(self);
	read_stream(self, data, sent);
	sock_wait_acked(self->fd);
	EXPECT_EQ(0, self->peer.updates);
	peer_send_update(&self->peer, UPDATE_REQUESTED);
	expect_nothing(self);
	expect_update(self, UPDATE_NOT_REQUESTED);
	expect_talk(self);
	EXPECT_LE(self->peer.updates, 2);
	expect_rekeys(self, self->peer.updates, 4);
	free(data);
}

/* ---- in, awkwardly ----------------------------------------------------------------- */

/* RFC 8446 5.1: a message may be split; the reader may or may not look in between. */
static void in_pieces(struct autonomous_data *self, size_t first, size_t second, bool look)
{
	uint8_t message[UPDATE_LEN];

	peer_update_message(UPDATE_REQUESTED, message);
	peer_send(&self->peer, REC_HANDSHAKE, message, first);
	if (look)
		expect_nothing(self);
	if (second)
		peer_send(&self->peer, REC_HANDSHAKE, message + first, second);
	if (second && look)
		expect_nothing(self);
	first += second;
	if (first < UPDATE_LEN)
		peer_send(&self->peer, REC_HANDSHAKE, message + first, UPDATE_LEN - first);
	peer_key_next(&self->peer.tx);
	peer_send(&self->peer, REC_DATA, "after", 5);
	expect_data(self, "after", 5);
	expect_nothing(self);
	expect_update(self, UPDATE_NOT_REQUESTED);
	sock_wait_acked(self->fd);
}

TEST_F(autonomous, update_in_pieces)
{
	uint32_t n = 0;
	size_t i, j;
	int look;

	autonomous_begin(self);
	for (look = 0; look < 2; look++)
		for (i = 1; i < UPDATE_LEN; i++)
			for (j = 0; j <= UPDATE_LEN - i; j++, n++)
				in_pieces(self, i, j, look);
	expect_talk(self);
	expect_rekeys(self, n, n);
}

TEST_F(autonomous, update_in_padded_record)
{
	uint8_t message[UPDATE_LEN];

	autonomous_begin(self);
	peer_update_message(UPDATE_NOT_REQUESTED, message);
	peer_send_padded(&self->peer, REC_HANDSHAKE, message, sizeof(message), 5000);
	peer_key_next(&self->peer.tx);
	peer_send_padded(&self->peer, REC_DATA, "padded", 6, 300);
	expect_data(self, "padded", 6);
	expect_rekeys(self, 0, 1);
}

/* A record that arrives byte after byte, with a reader who looks each time. */
TEST_F(autonomous, update_in_segments)
{
	uint8_t message[UPDATE_LEN], rec[REC_SPACE];
	size_t len, i;

	autonomous_begin(self);
	peer_update_message(UPDATE_NOT_REQUESTED, message);
	len = peer_seal(&self->peer.tx, REC_HANDSHAKE, message, sizeof(message), 0, rec);
	for (i = 0; i < len; i++) {
		peer_send_raw(&self->peer, rec + i, 1);
		expect_nothing(self);
	}
	peer_key_next(&self->peer.tx);
	expect_talk(self);
	expect_rekeys(self, 0, 1);
}

/* NewSessionTicket of five bytes, which look like a KeyUpdate, and a real one. */
TEST_F(autonomous, ticket_and_update_in_one_record)
{
	static const uint8_t both[] = { 4, 0, 0, 5, 24, 0, 0, 1, 0, 24, 0, 0, 1, 1 };

	if (!is_client(self))
		SKIP("servers get no tickets");
	autonomous_begin(self);
	peer_send(&self->peer, REC_HANDSHAKE, both, sizeof(both));
	peer_key_next(&self->peer.tx);
	expect_nothing(self);
	expect_update(self, UPDATE_NOT_REQUESTED);
	expect_talk(self);
	expect_rekeys(self, 1, 1);
	EXPECT_EQ(1, stat_get("RxTicket"));
}

static void wrong_message(struct autonomous_data *self, const void *message, size_t len,
			  uint8_t alert)
{
	autonomous_begin(self);
	peer_send(&self->peer, REC_DATA, "good", 4);
	peer_send(&self->peer, REC_HANDSHAKE, message, len);
	peer_send(&self->peer, REC_DATA, "late", 4);
	expect_data(self, "good", 4);
	expect_fatal(self, EPROTO, alert);
	EXPECT_EQ(0, info_get(self->fd).rx_rekeys);
}

TEST_F(autonomous, update_too_short)
{
	wrong_message(self, "\x18\0\0\0", 4, ALERT_DECODE_ERROR);
}

TEST_F(autonomous, update_too_long)
{
	wrong_message(self, "\x18\0\0\2\0\0", 6, ALERT_DECODE_ERROR);
}

TEST_F(autonomous, update_of_sixteen_megabytes)
{
	wrong_message(self, "\x18\xff\xff\xff\0", 5, ALERT_DECODE_ERROR);
}

TEST_F(autonomous, update_with_unknown_request)
{
	wrong_message(self, "\x18\0\0\1\2", 5, ALERT_ILLEGAL_PARAMETER);
}

TEST_F(autonomous, update_with_largest_request)
{
	wrong_message(self, "\x18\0\0\1\xff", 5, ALERT_ILLEGAL_PARAMETER);
}

/* RFC 8446 5.1: a change of keys falls between records. */
TEST_F(autonomous, two_updates_in_one_record)
{
	autonomous_begin(self);
	peer_send(&self->peer, REC_HANDSHAKE, "\x18\0\0\1\0\x18\0\0\1\0", 10);
	expect_fatal(self, EPROTO, ALERT_UNEXPECTED_MESSAGE);
}

TEST_F(autonomous, update_with_half_a_message_behind_it)
{
	autonomous_begin(self);
	peer_send(&self->peer, REC_HANDSHAKE, "\x18\0\0\1\0\4", 6);
	expect_fatal(self, EPROTO, ALERT_UNEXPECTED_MESSAGE);
}

/* The record after a KeyUpdate has the new key, or it is forged. */
TEST_F(autonomous, old_key_after_update)
{
	uint8_t message[UPDATE_LEN];

	autonomous_begin(self);
	peer_update_message(UPDATE_NOT_REQUESTED, message);
	peer_send(&self->peer, REC_HANDSHAKE, message, sizeof(message));
	peer_send(&self->peer, REC_DATA, "old", 3);
	expect_fatal(self, EBADMSG, ALERT_BAD_RECORD_MAC);
}

/* Nothing is sent behind close_notify, not even an answer. */
TEST_F(autonomous, request_after_shutdown_is_not_answered)
{
	autonomous_begin(self);
	ASSERT_EQ(0, shutdown(self->fd, SHUT_WR));
	expect_close_notify(&self->peer);
	peer_send_update(&self->peer, UPDATE_REQUESTED);
	peer_send(&self->peer, REC_DATA, "more", 4);
	expect_data(self, "more", 4);
	peer_send_update(&self->peer, UPDATE_REQUESTED);
	expect_nothing(self);
	expect_rekeys(self, 0, 2);
}

TEST_F(autonomous, update_after_close_notify_is_ignored)
{
	autonomous_begin(self);
	peer_alert(&self->peer, LEVEL_WARNING, ALERT_CLOSE_NOTIFY);
	peer_send_update(&self->peer, UPDATE_REQUESTED);
	arrived(self);
	expect_eof(self->fd);
	ASSERT_EQ(2, send(self->fd, "ok", 2, 0));
	expect_record(self, "ok", 2);
	EXPECT_EQ(0, info_get(self->fd).rx_rekeys);
}

/* ---- what the program sees ---------------------------------------------------------- */

TEST_F(autonomous, poll_and_fionread_see_nothing)
{
	int n = -1;

	autonomous_begin(self);
	peer_send_update(&self->peer, UPDATE_NOT_REQUESTED);
	expect_nothing(self);
	EXPECT_EQ(0, sock_poll(self->fd, POLLIN, 0));
	ASSERT_EQ(0, ioctl(self->fd, FIONREAD, &n));
	EXPECT_EQ(0, n);
	peer_send_update(&self->peer, UPDATE_NOT_REQUESTED);
	arrived(self);
	/* Asking is reading, too: no program may be told of bytes that do not come. */
	ASSERT_EQ(0, ioctl(self->fd, FIONREAD, &n));
	EXPECT_EQ(0, n);
	EXPECT_EQ(0, sock_poll(self->fd, POLLIN, 0));
	peer_send(&self->peer, REC_DATA, "data", 4);
	EXPECT_EQ(POLLIN, sock_poll(self->fd, POLLIN, test_wait_ms()));
	expect_data(self, "data", 4);
}

/* Each arrival of data makes an edge, whatever came and went before it. */
TEST_F(autonomous, edges)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET };
	int ep = epoll_create1(EPOLL_CLOEXEC), i;

	autonomous_begin(self);
	ASSERT_EQ(0, epoll_ctl(ep, EPOLL_CTL_ADD, self->fd, &ev));
	for (i = 0; i < 5; i++) {
		peer_send_update(&self->peer, UPDATE_REQUESTED);
		/* Whether it makes an edge or not, there is nothing behind it. */
		expect_nothing(self);
		expect_update(self, UPDATE_NOT_REQUESTED);
		sock_wait_acked(self->fd);
		while (epoll_wait(ep, &ev, 1, 0) > 0)
			;
		peer_send_update(&self->peer, UPDATE_NOT_REQUESTED);
		peer_send(&self->peer, REC_DATA, "edge", 4);
		ASSERT_EQ(1, epoll_wait(ep, &ev, 1, test_wait_ms()));
		EXPECT_TRUE(ev.events & EPOLLIN);
		expect_data(self, "edge", 4);
		expect_nothing(self);
	}
	close(ep);
}

TEST_F(autonomous, waitall_across_updates)
{
	struct blocked b;
	int i;

	autonomous_begin(self);
	blocked_start(&b, self, 20);
	for (i = 0; i < 10; i++) {
		peer_send(&self->peer, REC_DATA, "ab", 2);
		peer_send_update(&self->peer, UPDATE_NOT_REQUESTED);
	}
	blocked_join(&b, "abababababababababab", 20);
	/* And with all of it there. */
	for (i = 0; i < 10; i++) {
		peer_send(&self->peer, REC_DATA, "cd", 2);
		peer_send_update(&self->peer, UPDATE_NOT_REQUESTED);
	}
	arrived(self);
	expect_data(self, "cdcdcdcdcdcdcdcdcdcd", 20);
	expect_nothing(self);
	expect_rekeys(self, 0, 20);
}

TEST_F(autonomous, peek_across_updates)
{
	uint8_t buf[16];
	int i;

	autonomous_begin(self);
	peer_send(&self->peer, REC_DATA, "ab", 2);
	peer_send_update(&self->peer, UPDATE_REQUESTED);
	peer_send(&self->peer, REC_DATA, "cd", 2);
	arrived(self);
	for (i = 0; i < 3; i++) {
		ASSERT_LE(2, recv(self->fd, buf, sizeof(buf), MSG_PEEK));
		EXPECT_MEMEQ("ab", buf, 2);
	}
	expect_data(self, "abcd", 4);
	peer_send_update(&self->peer, UPDATE_NOT_REQUESTED);
	arrived(self);
	EXPECT_ERRNO(EAGAIN, recv(self->fd, buf, sizeof(buf), MSG_PEEK | MSG_DONTWAIT));
	expect_talk(self);
	expect_rekeys(self, 1, 2);
}

/* recvmsg() with room for a record's type gets data alone. */
TEST_F(autonomous, recvmsg_sees_data_alone)
{
	uint8_t buf[16], type;

	autonomous_begin(self);
	peer_send_update(&self->peer, UPDATE_NOT_REQUESTED);
	peer_send(&self->peer, REC_DATA, "data", 4);
	ASSERT_EQ(4, recv_typed(self->fd, buf, sizeof(buf), &type, 0));
	EXPECT_TRUE(type == 0 || type == REC_DATA);
	EXPECT_MEMEQ("data", buf, 4);
}

/* ---- close ---------------------------------------------------------------------------- */

TEST_F(autonomous, close_inside_an_update)
{
	uint8_t message[UPDATE_LEN];

	autonomous_begin(self);
	peer_update_message(UPDATE_REQUESTED, message);
	peer_send(&self->peer, REC_HANDSHAKE, message, 3);
	expect_nothing(self);
	close(self->fd);
	self->fd = -1;
	expect_close_notify(&self->peer);
}

TEST_F(autonomous, end_of_stream_inside_an_update)
{
	uint8_t message[UPDATE_LEN];

	autonomous_begin(self);
	peer_update_message(UPDATE_REQUESTED, message);
	peer_send(&self->peer, REC_HANDSHAKE, message, 3);
	ASSERT_EQ(0, shutdown(self->peer.fd, SHUT_WR));
	ASSERT_NE(0, sock_poll(self->fd, POLLRDHUP, test_wait_ms()));
	EXPECT_ERRNO(ECONNRESET, recv(self->fd, SCRATCH(8), 8, 0));
	EXPECT_EQ(1, stat_get("RxTruncated"));
}

/* Data, perhaps the answer that was due, close_notify, and nothing more. */
static void close_with_request_open(struct autonomous_data *self, bool by_shutdown)
{
	uint8_t *data = alloc_pattern(LOTS, 0);
	static struct peer_record rec;
	size_t sent;

	autonomous_begin(self);
	sent = fill_up(self, data, LOTS);
	peer_send_update(&self->peer, UPDATE_REQUESTED);
	expect_nothing(self);
	if (by_shutdown) {
		ASSERT_EQ(0, shutdown(self->fd, SHUT_WR));
	} else {
		close(self->fd);
		self->fd = -1;
	}
	read_stream(self, data, sent);
	ASSERT_EQ(1, peer_recv(&self->peer, &rec));
	if (peer_follow(&self->peer, &rec))
		ASSERT_EQ(1, peer_recv(&self->peer, &rec));
	alert_check(&rec, LEVEL_WARNING, ALERT_CLOSE_NOTIFY);
	EXPECT_LE(self->peer.updates, 1);
	EXPECT_EQ(0, peer_recv(&self->peer, &rec));
	free(data);
}

TEST_F(autonomous, close_with_a_request_open)
{
	close_with_request_open(self, false);
}

TEST_F(autonomous, shutdown_with_a_request_open)
{
	close_with_request_open(self, true);
}
