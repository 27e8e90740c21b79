// SPDX-License-Identifier: GPL-2.0
/* Manners of the end: close, shutdown in each direction, linger, resets, and what each side learns. */
#define _GNU_SOURCE
#include "manners.h"

#include <poll.h>
#include <signal.h>

#define ALL_EVENTS (POLLIN | POLLOUT | POLLRDHUP)

static int so_error(struct twin *t)
{
	socklen_t len = sizeof(int);
	int err = -1;

	ASSERT_EQ(0, getsockopt(t->fd, SOL_SOCKET, SO_ERROR, &err, &len));
	return err;
}

static void read_twice(struct twin *t)
{
	char buf[20];

	CALL(recv(t->fd, buf, sizeof(buf), 0));
	CALL(recv(t->fd, buf, sizeof(buf), MSG_DONTWAIT));
}

/* ---- close -------------------------------------------------------------------- */

MANNER(close_at_once)
{
	twin_close(t);
	twin_note_end(t);
}

MANNER(close_after_data)
{
	CALL(send(t->fd, "goodbye", 7, 0));
	twin_close(t);
	twin_note_end(t);
}

MANNER(close_after_all_is_read)
{
	char buf[20];

	twin_give(t, "hello");
	CALL(recv(t->fd, buf, sizeof(buf), 0));
	twin_close(t);
	twin_note_end(t);
}

MANNER(close_after_the_peers_end)
{
	twin_shut(t);
	read_twice(t);
	CALL(send(t->fd, "answer", 6, 0));
	twin_close(t);
	twin_note_end(t);
}

/* Whoever closes what he has not read tells the peer so, by a reset. */
MANNER(close_with_unread_data)
{
	twin_give(t, "unread");
	twin_close(t);
	twin_note_end(t);
}

MANNER(close_with_data_read_in_part)
{
	char c;

	twin_give(t, "unread");
	CALL(recv(t->fd, &c, 1, 0));
	twin_close(t);
	twin_note_reset(t);
}

MANNER(close_with_data_peeked_at)
{
	char c;

	twin_give(t, "unread");
	CALL(recv(t->fd, &c, 1, MSG_PEEK));
	twin_close(t);
	twin_note_reset(t);
}

MANNER(close_with_several_sends_unread)
{
	char buf[6];

	twin_give(t, "first ");
	twin_give(t, "second");
	CALL(recv(t->fd, buf, 6, 0));
	BYTES(buf, 6);
	twin_close(t);
	twin_note_end(t);
}

/* Data that comes after close meets nobody: a reset again. */
MANNER(data_after_close)
{
	twin_close(t);
	twin_send(t, "too late", 8, 8);
	/* The end of file may be read first; the reset follows. */
	ASSERT_NE(0, sock_poll(t->peer.fd, POLLHUP, test_wait_ms()));
	EVENTS(sock_poll(t->peer.fd, ALL_EVENTS, 0));
}

static void note_all(struct twin *t, size_t len)
{
	uint8_t *got = malloc(len + 1000), *want = alloc_pattern(len, 0);
	enum twin_end end;
	size_t n;

	ASSERT_TRUE(got);
	end = twin_take_all(t, got, len + 1000, &n);
	SEEN(n == len);
	EXPECT_EQ(len, n);
	if (n == len)
		EXPECT_MEMEQ(want, got, len);
	NOTE("peer sees: %s", twin_end_name(end));
	free(want);
	free(got);
}

MANNER_TIMEOUT(close_delivers_everything, 60)
{
	uint8_t *data = alloc_pattern(TWIN_LOTS, 0);
	size_t sent = twin_fill(t, data);

	twin_close(t);
	note_all(t, sent);
	free(data);
}

MANNER_TIMEOUT(shutdown_delivers_everything, 60)
{
	uint8_t *data = alloc_pattern(TWIN_LOTS, 0);
	size_t sent = twin_fill(t, data);

	CALL(shutdown(t->fd, SHUT_WR));
	note_all(t, sent);
	free(data);
}

MANNER(close_lets_go_of_what_more_held)
{
	CALL(send(t->fd, "held", 4, MSG_MORE));
	twin_close(t);
	twin_note_end(t);
}

MANNER(shutdown_lets_go_of_what_cork_held)
{
	sock_set_int(t->fd, IPPROTO_TCP, TCP_CORK, 1);
	CALL(send(t->fd, "held", 4, 0));
	CALL(shutdown(t->fd, SHUT_WR));
	twin_note_end(t);
}

/* ---- linger ----------------------------------------------------------------------- */

static void set_linger(struct twin *t, int seconds)
{
	struct linger linger = { .l_onoff = 1, .l_linger = seconds };

	CALL(setsockopt(t->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)));
}

MANNER(linger_zero_resets)
{
	set_linger(t, 0);
	twin_close(t);
	twin_note_end(t);
}

MANNER_TIMEOUT(linger_zero_forgets_what_is_under_way, 60)
{
	uint8_t *data = alloc_pattern(TWIN_LOTS, 0), *got = malloc(TWIN_LOTS);
	size_t sent = twin_fill(t, data), n;
	enum twin_end end;

	ASSERT_TRUE(got);
	set_linger(t, 0);
	twin_close(t);
	end = twin_take_all(t, got, TWIN_LOTS, &n);
	NOTE("peer sees: %s", twin_end_name(end));
	NOTE("peer got less: %d", n < sent);
	EXPECT_MEMEQ(data, got, n);
	free(data);
	free(got);
}

MANNER(linger_waits_for_the_peer)
{
	set_linger(t, 10);
	CALL(send(t->fd, "goodbye", 7, 0));
	sock_wait_acked(t->fd);
	twin_shut(t);
	twin_close(t);
	twin_note_end(t);
}

/* The peer reads nothing: close() gives up after its time, TCP does not. */
MANNER_TIMEOUT(linger_runs_out, 60)
{
	uint8_t *data = alloc_pattern(TWIN_LOTS, 0);
	size_t sent = twin_fill(t, data);
	int64_t start;

	set_linger(t, 1);
	start = sock_now_ms();
	twin_close(t);
	twin_note_took(t, start, 1000);
	note_all(t, sent);
	free(data);
}

/* A nonblocking close() lingers all the same; it is a matter of the option alone. */
MANNER_TIMEOUT(linger_of_a_nonblocking_socket, 60)
{
	uint8_t *data = alloc_pattern(TWIN_LOTS, 0);
	size_t sent = twin_fill(t, data);
	int64_t start;

	sock_nonblock(t->fd, true);
	set_linger(t, 1);
	start = sock_now_ms();
	twin_close(t);
	twin_note_took(t, start, 1000);
	note_all(t, sent);
	free(data);
}

/* ---- shutdown ------------------------------------------------------------------------ */

MANNER(shutdown_of_writing)
{
	char buf[20];

	CALL(send(t->fd, "last", 4, 0));
	CALL(shutdown(t->fd, SHUT_WR));
	CALL(send(t->fd, "x", 1, MSG_NOSIGNAL));
	CALL(send(t->fd, "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT));
	twin_note_end(t);
	twin_give(t, "still heard");
	CALL(recv(t->fd, buf, sizeof(buf), 0));
	BYTES(buf, 11);
	CALL(shutdown(t->fd, SHUT_WR));
	EVENTS(sock_poll(t->fd, ALL_EVENTS, 0));
	twin_shut(t);
	read_twice(t);
	SEEN(so_error(t));
}

MANNER(shutdown_of_reading)
{
	twin_give(t, "there");
	CALL(shutdown(t->fd, SHUT_RD));
	EVENTS(sock_poll(t->fd, ALL_EVENTS, 0));
	read_twice(t);
	/* TCP takes in what comes all the same. */
	twin_give(t, "late");
	EVENTS(sock_poll(t->fd, ALL_EVENTS, 0));
	read_twice(t);
	CALL(send(t->fd, "answer", 6, 0));
	CALL(shutdown(t->fd, SHUT_WR));
	twin_note_end(t);
}

MANNER(shutdown_of_both)
{
	twin_give(t, "there");
	CALL(send(t->fd, "answer", 6, 0));
	CALL(shutdown(t->fd, SHUT_RDWR));
	EVENTS(sock_poll(t->fd, ALL_EVENTS, 0));
	CALL(send(t->fd, "x", 1, MSG_NOSIGNAL));
	read_twice(t);
	twin_note_end(t);
}

MANNER(shutdown_after_the_end)
{
	CALL(shutdown(t->fd, 3));
	CALL(shutdown(t->fd, SHUT_WR));
	twin_note_end(t);
	twin_shut(t);
	twin_wait(t, POLLHUP, 0);
	CALL(shutdown(t->fd, SHUT_WR));
	CALL(shutdown(t->fd, SHUT_RDWR));
	read_twice(t);
}

static void shut_reading(struct twin *t)
{
	shutdown(t->fd, SHUT_RD);
}

MANNER(shutdown_wakes_a_reader)
{
	char buf[20];

	twin_later(t, shut_reading);
	CALL(recv(t->fd, buf, sizeof(buf), 0));
	twin_later_join(t);
	CALL(recv(t->fd, buf, sizeof(buf), 0));
}

/* ---- the peer's end ------------------------------------------------------------------------ */

MANNER(end_of_file_stays)
{
	char buf[20];

	twin_give(t, "last");
	twin_shut(t);
	CALL(recv(t->fd, buf, sizeof(buf), 0));
	read_twice(t);
	CALL(read(t->fd, buf, sizeof(buf)));
	CALL(recv(t->fd, buf, sizeof(buf), MSG_PEEK));
	CALL(recv(t->fd, buf, sizeof(buf), MSG_WAITALL));
	SEEN(so_error(t));
	EVENTS(sock_poll(t->fd, ALL_EVENTS, 0));
}

MANNER(answer_after_the_peers_end)
{
	twin_give(t, "request");
	twin_shut(t);
	read_twice(t);
	CALL(send(t->fd, "answer", 6, 0));
	CALL(shutdown(t->fd, SHUT_WR));
	twin_note_end(t);
}

static void shut_it(struct twin *t)
{
	twin_shut(t);
}

MANNER(end_wakes_a_reader)
{
	char buf[20];

	twin_later(t, shut_it);
	CALL(recv(t->fd, buf, sizeof(buf), 0));
	twin_later_join(t);
}

MANNER(reset)
{
	twin_reset(t);
	EVENTS(sock_poll(t->fd, ALL_EVENTS, 0));
	CALL(recv(t->fd, SCRATCH(9), 9, 0));
	SEEN(so_error(t));
	CALL(send(t->fd, "x", 1, MSG_NOSIGNAL));
	CALL(send(t->fd, "x", 1, MSG_NOSIGNAL));
}

/* The second read: TCP calls it the end; a stream without close_notify never ends well. */
MANNER(read_after_reset)
{
	char c;
	long n;

	twin_reset(t);
	CALL(recv(t->fd, &c, 1, 0));
	n = recv(t->fd, &c, 1, 0);
	if (t->kind == TWIN_MANAGED)
		NOTE("end: %d", n == -1 && errno == ECONNRESET);
	else
		NOTE("end: %d", n == 0);
}

MANNER(reset_after_data)
{
	char buf[20];

	twin_give(t, "before");
	twin_reset(t);
	CALL(recv(t->fd, buf, sizeof(buf), 0));
	CALL(recv(t->fd, buf, sizeof(buf), 0));
}

MANNER(reset_found_by_a_send)
{
	twin_reset(t);
	CALL(send(t->fd, "x", 1, MSG_NOSIGNAL));
	CALL(send(t->fd, "x", 1, MSG_NOSIGNAL));
	SEEN(so_error(t));
}

MANNER(reset_found_by_its_option)
{
	twin_reset(t);
	SEEN(so_error(t));
	SEEN(so_error(t));
	EVENTS(sock_poll(t->fd, ALL_EVENTS, 0));
	CALL(send(t->fd, "x", 1, MSG_NOSIGNAL));
}

static void reset_it(struct twin *t)
{
	sock_reset(t->peer.fd);
	t->peer.fd = -1;
}

MANNER(reset_wakes_a_reader)
{
	char buf[20];

	twin_later(t, reset_it);
	CALL(recv(t->fd, buf, sizeof(buf), 0));
	twin_later_join(t);
}

/* What was accepted before is told; the error waits for the next call. */
MANNER_TIMEOUT(reset_wakes_a_writer, 60)
{
	const size_t len = 16 << 20;
	uint8_t *data = alloc_pattern(len, 0);
	long n;

	twin_later(t, reset_it);
	n = send(t->fd, data, len, MSG_NOSIGNAL);
	NOTE("accepted in part: %d", n > 0 && n < (long)len);
	twin_later_join(t);
	CALL(send(t->fd, data, 1, MSG_NOSIGNAL));
	CALL(send(t->fd, data, 1, MSG_NOSIGNAL));
	free(data);
}

/* The peer closed with our data unread. */
MANNER(peer_closes_with_unread_data)
{
	CALL(send(t->fd, "unread", 6, 0));
	sock_wait_acked(t->fd);
	close(t->peer.fd);
	t->peer.fd = -1;
	twin_wait(t, POLLHUP, 0);
	EVENTS(sock_poll(t->fd, ALL_EVENTS, 0));
	CALL(recv(t->fd, SCRATCH(9), 9, 0));
	CALL(send(t->fd, "x", 1, MSG_NOSIGNAL));
}
