// SPDX-License-Identifier: GPL-2.0
/* Manners of a sender: send() and its kin, holding back, full buffers, what is under way. */
#define _GNU_SOURCE
#include "manners.h"

#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

/* What TCP holds back it sends after 200 ms at the latest: look well before. */
#define HELD_MS 100
#define HELD_TRIES 50

static void take(struct twin *t, size_t len)
{
	uint8_t *got = malloc(len + 1);

	ASSERT_TRUE(got);
	twin_take(t, got, len);
	trace_bytes(&t->trace, "peer reads", got, len);
	free(got);
}

static int outq(struct twin *t, int which)
{
	int n = -1;

	ASSERT_EQ(0, ioctl(t->fd, which, &n));
	return n;
}

static struct tcp_info tcp_info(struct twin *t)
{
	struct tcp_info info = {};
	socklen_t len = sizeof(info);

	ASSERT_EQ(0, getsockopt(t->fd, IPPROTO_TCP, TCP_INFO, &info, &len));
	return info;
}

/* ---- sending ---------------------------------------------------------------------- */

MANNER(ways_to_send)
{
	struct iovec iov[] = { { "one", 3 }, { NULL, 0 }, { "two", 3 } };
	struct mmsghdr msgs[2] = {
		{ .msg_hdr = { .msg_iov = &iov[0], .msg_iovlen = 1 } },
		{ .msg_hdr = { .msg_iov = &iov[1], .msg_iovlen = 2 } },
	};

	CALL(write(t->fd, "hello", 5));
	CALL(send(t->fd, "hello", 5, MSG_DONTWAIT | MSG_NOSIGNAL));
	CALL(sendto(t->fd, "hello", 5, 0, NULL, 0));
	CALL(writev(t->fd, iov, 3));
	CALL(pwritev2(t->fd, iov, 3, -1, 0));
	CALL(sendmsg(t->fd, &msgs[1].msg_hdr, 0));
	CALL(sendmmsg(t->fd, msgs, 2, 0));
	SEEN(msgs[0].msg_len);
	SEEN(msgs[1].msg_len);
	take(t, 15 + 6 + 6 + 3 + 6);
}

MANNER(sending_nothing)
{
	struct iovec iov = { NULL, 0 };

	CALL(send(t->fd, "", 0, 0));
	CALL(write(t->fd, "", 0));
	CALL(writev(t->fd, &iov, 1));
	CALL(send(t->fd, "", 0, MSG_MORE));
	CALL(send(t->fd, "x", 1, 0));
	take(t, 1);
	SEEN(twin_is_silent(t));
}

MANNER(large_send)
{
	uint8_t *data = alloc_pattern(3 << 20, 0);

	twin_take_later(t, 3 << 20);
	CALL(send(t->fd, data, 3 << 20, 0));
	twin_later_join(t);
	free(data);
}

MANNER(large_writev)
{
	uint8_t *data = alloc_pattern(600000, 0);
	struct iovec iov[60];
	int i;

	for (i = 0; i < 60; i++)
		iov[i] = (struct iovec){ data + i * 10000, 10000 };
	twin_take_later(t, 600000);
	CALL(writev(t->fd, iov, 60));
	twin_later_join(t);
	free(data);
}

MANNER(bad_pointer_sends_nothing)
{
	CALL(send(t->fd, (void *)8, 5, 0));
	CALL(send(t->fd, "ok", 2, 0));
	take(t, 2);
	SEEN(twin_is_silent(t));
}

/* ---- holding back -------------------------------------------------------------------- */

/*
 * The peer has nothing although sending is over, as long as it could not have
 * been TCP's timer that sent it: a slow machine tries again.
 */
static void held_case(struct twin *t, int flags)
{
	int tries = HELD_TRIES;
	bool silent;
	int64_t start;

	do {
		ASSERT_LT(0, tries--);
		sock_set_int(t->fd, IPPROTO_TCP, TCP_CORK, !flags);
		start = sock_now_ms();
		ASSERT_EQ(4, send(t->fd, "head", 4, flags));
		ASSERT_EQ(4, send(t->fd, "body", 4, flags));
		silent = twin_is_silent(t);
		if (sock_now_ms() - start < HELD_MS)
			break;
		ASSERT_EQ(1, send(t->fd, "!", 1, 0));
		sock_set_int(t->fd, IPPROTO_TCP, TCP_CORK, 0);
		twin_take(t, SCRATCH(9), 9);
	} while (true);
	SEEN(silent);
}

MANNER_TIMEOUT(cork_holds_and_lets_go, 60)
{
	held_case(t, 0);
	CALL(setsockopt(t->fd, IPPROTO_TCP, TCP_CORK, &(int){ 0 }, sizeof(int)));
	take(t, 8);
	CALL(send(t->fd, "later", 5, 0));
	take(t, 5);
}

MANNER_TIMEOUT(more_holds_until_the_last, 60)
{
	held_case(t, MSG_MORE);
	CALL(send(t->fd, "!", 1, 0));
	take(t, 9);
}

MANNER_TIMEOUT(more_is_let_go_by_nodelay, 60)
{
	held_case(t, MSG_MORE);
	CALL(setsockopt(t->fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int)));
	take(t, 8);
}

/* Header and body in one segment is what TCP_CORK is for. */
MANNER_TIMEOUT(cork_joins_segments, 60)
{
	int tries = HELD_TRIES;
	int64_t start;
	int segs;

	do {
		ASSERT_LT(0, tries--);
		segs = tcp_info(t).tcpi_data_segs_out;
		start = sock_now_ms();
		sock_set_int(t->fd, IPPROTO_TCP, TCP_CORK, 1);
		ASSERT_EQ(300, send(t->fd, SCRATCH(300), 300, 0));
		ASSERT_EQ(1000, send(t->fd, SCRATCH(1000), 1000, 0));
		ASSERT_EQ(200, send(t->fd, SCRATCH(200), 200, 0));
		sock_set_int(t->fd, IPPROTO_TCP, TCP_CORK, 0);
		twin_take(t, SCRATCH(1500), 1500);
	} while (sock_now_ms() - start >= HELD_MS);
	SEEN(tcp_info(t).tcpi_data_segs_out - segs);
}

/*
 * TCP sends what MSG_MORE held back after 200 ms when nobody adds to it.  A
 * TLS record cannot be added to once it is sealed, so kTLS keeps it open until
 * the program says that it is complete, however long that takes.
 */
MANNER(more_and_nothing_after)
{
	bool came;

	CALL(send(t->fd, "held", 4, MSG_MORE));
	came = sock_poll(t->peer.fd, POLLIN, t->kind == TWIN_PLAIN ? test_wait_ms() : HELD_MS);
	NOTE("comes by itself, as only TCP does: %d", came == (t->kind == TWIN_PLAIN));
	CALL(send(t->fd, "!", 1, 0));
	take(t, 5);
}

/* ---- full buffers ----------------------------------------------------------------------- */

static void empty(struct twin *t, size_t len)
{
	twin_take_later(t, len);
	twin_later_join(t);
	sock_wait_acked(t->fd);
}

MANNER_TIMEOUT(full_and_empty_again, 60)
{
	uint8_t *data = alloc_pattern(TWIN_LOTS, 0);
	struct iovec iov = { data, 10 };
	size_t sent = twin_fill(t, data);

	sock_nonblock(t->fd, true);
	CALL(write(t->fd, data, 1));
	CALL(writev(t->fd, &iov, 1));
	CALL(send(t->fd, data, TWIN_LOTS, 0));
	EVENTS(sock_poll(t->fd, POLLOUT, 0));
	empty(t, sent);
	EVENTS(sock_poll(t->fd, POLLOUT, 0));
	CALL(write(t->fd, "again", 5));
	take(t, 5);
	free(data);
}

/* One call may be accepted in part; what was not is not sent. */
MANNER_TIMEOUT(part_of_a_large_send, 60)
{
	uint8_t *data = alloc_pattern(16 << 20, 0);
	ssize_t n = send(t->fd, data, 16 << 20, MSG_DONTWAIT);

	NOTE("accepted in part: %d", n > 0 && n < 16 << 20);
	ASSERT_LT(0, n);
	empty(t, n);
	SEEN(twin_is_silent(t));
	free(data);
}

static void set_timeout(struct twin *t, int ms)
{
	struct timeval tv = { .tv_usec = ms * 1000 };

	CALL(setsockopt(t->fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)));
}

/* What was accepted before the timeout is the result. */
MANNER_TIMEOUT(send_timeout_of_a_large_send, 60)
{
	uint8_t *data = alloc_pattern(16 << 20, 0);
	int64_t start = sock_now_ms();
	ssize_t n;

	set_timeout(t, 200);
	n = send(t->fd, data, 16 << 20, 0);
	NOTE("accepted in part: %d", n > 0 && n < 16 << 20);
	twin_note_took(t, start, 200);
	ASSERT_LT(0, n);
	empty(t, n);
	free(data);
}

MANNER_TIMEOUT(send_timeout, 60)
{
	uint8_t *data = alloc_pattern(TWIN_LOTS, 0);
	int64_t start;
	size_t sent;

	sent = twin_fill(t, data);
	set_timeout(t, 200);
	start = sock_now_ms();
	CALL(send(t->fd, data, 10, 0));
	twin_note_took(t, start, 200);
	empty(t, sent);
	free(data);
}

static void take_lots(struct twin *t)
{
	uint8_t *got = malloc(TWIN_LOTS), *want = alloc_pattern(TWIN_LOTS, 0);

	ASSERT_TRUE(got);
	twin_take(t, got, TWIN_LOTS);
	ASSERT_MEMEQ(want, got, TWIN_LOTS);
	free(want);
	free(got);
}

MANNER_TIMEOUT(blocked_sender_goes_on, 60)
{
	uint8_t *data = alloc_pattern(TWIN_LOTS, 0);

	twin_later(t, take_lots);
	CALL(send(t->fd, data, TWIN_LOTS, 0));
	twin_later_join(t);
	free(data);
}

MANNER_TIMEOUT(small_send_buffer, 60)
{
	uint8_t *data = alloc_pattern(300000, 0);

	sock_set_int(t->fd, SOL_SOCKET, SO_SNDBUF, 4000);
	twin_take_later(t, 300000);
	CALL(send(t->fd, data, 300000, 0));
	twin_later_join(t);
	free(data);
}

/* ---- what is under way --------------------------------------------------------------------- */

/* Records are longer than their content: TLS counts no less than TCP, and 0 when all is acknowledged. */
MANNER_TIMEOUT(bytes_under_way, 60)
{
	uint8_t *data = alloc_pattern(TWIN_LOTS, 0);
	size_t sent;

	SEEN(outq(t, SIOCOUTQ));
	SEEN(outq(t, SIOCOUTQNSD));
	CALL(send(t->fd, data, 1000, 0));
	take(t, 1000);
	sock_wait_acked(t->fd);
	SEEN(outq(t, SIOCOUTQ));
	SEEN(outq(t, SIOCOUTQNSD));
	sent = twin_fill(t, data);
	NOTE("something is not acknowledged: %d", outq(t, SIOCOUTQ) > 0);
	NOTE("something is not sent: %d", outq(t, SIOCOUTQNSD) > 0);
	NOTE("no more is sent than is there: %d", outq(t, SIOCOUTQNSD) <= outq(t, SIOCOUTQ));
	empty(t, sent);
	SEEN(outq(t, SIOCOUTQ));
	SEEN(outq(t, SIOCOUTQNSD));
	free(data);
}

MANNER(tcp_info_tells)
{
	struct tcp_info info;
	char buf[2000];

	SEEN(tcp_info(t).tcpi_state);
	CALL(send(t->fd, SCRATCH(1000), 1000, 0));
	take(t, 1000);
	sock_wait_acked(t->fd);
	twin_send(t, SCRATCH(2000), 2000, 2000);
	twin_arrived(t);
	CALL(recv(t->fd, buf, sizeof(buf), 0));
	info = tcp_info(t);
	/* Counted in bytes of the wire. */
	NOTE("acked no less: %d", info.tcpi_bytes_acked >= 1000 && info.tcpi_bytes_acked < 1200);
	NOTE("received no less: %d",
	     info.tcpi_bytes_received >= 2000 && info.tcpi_bytes_received < 2200);
	SEEN(info.tcpi_unacked);
	SEEN(info.tcpi_notsent_bytes);
	SEEN(info.tcpi_data_segs_out);
	twin_shut(t);
	SEEN(tcp_info(t).tcpi_state);
	CALL(recv(t->fd, buf, 1, 0));
	CALL(shutdown(t->fd, SHUT_WR));
}
