// SPDX-License-Identifier: GPL-2.0
/* Manners of a reader: recv() and its kin, what is there, and how long to wait for it. */
#define _GNU_SOURCE
#include "manners.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

/* Reads what there is to read without waiting, in calls of at most chunk bytes. */
static size_t drain(struct twin *t, uint8_t *buf, size_t size, size_t chunk)
{
	size_t got = 0;
	ssize_t n;

	while ((n = recv(t->fd, buf + got, chunk, MSG_DONTWAIT)) > 0) {
		got += n;
		ASSERT_LE(got + chunk, size);
	}
	NOTE("drained %zu bytes, then %zd %s", got, n, n ? strerrorname_np(errno) : "-");
	return got;
}

static void set_timeout(struct twin *t, int name, int ms)
{
	struct timeval tv = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };

	CALL(setsockopt(t->fd, SOL_SOCKET, name, &tv, sizeof(tv)));
}

/* ---- what is there ---------------------------------------------------------------- */

MANNER(read_what_is_there)
{
	char buf[100];

	twin_give(t, "hello");
	CALL(recv(t->fd, buf, sizeof(buf), 0));
	BYTES(buf, 5);
	twin_give(t, "again");
	CALL(read(t->fd, buf, 2));
	CALL(read(t->fd, buf + 2, sizeof(buf) - 2));
	BYTES(buf, 5);
	CALL(recv(t->fd, buf, sizeof(buf), MSG_DONTWAIT));
}

/* A stream has no message boundaries: one call takes what several sends brought. */
MANNER(one_read_takes_several_sends)
{
	char buf[100];

	twin_give(t, "one ");
	twin_give(t, "two ");
	twin_give(t, "three");
	CALL(recv(t->fd, buf, sizeof(buf), 0));
	BYTES(buf, 13);
	twin_give(t, "four ");
	twin_give(t, "five");
	CALL(recv(t->fd, buf, 7, MSG_DONTWAIT));
	BYTES(buf, 7);
	CALL(read(t->fd, buf, sizeof(buf)));
	BYTES(buf, 2);
}

MANNER(byte_by_byte)
{
	uint8_t *data = alloc_pattern(3000, 0), got[3100];

	twin_send(t, data, 3000, 700);
	twin_arrived(t);
	BYTES(got, drain(t, got, sizeof(got), 1));
	free(data);
}

MANNER(odd_sizes)
{
	uint8_t *data = alloc_pattern(50000, 0), *got = malloc(60000);

	ASSERT_TRUE(got);
	twin_send(t, data, 50000, REC_MAX);
	twin_arrived(t);
	BYTES(got, drain(t, got, 60000, 4097));
	free(data);
	free(got);
}

MANNER(readv_spreads)
{
	char a[3] = "", b[4] = "", c[20] = "";
	struct iovec iov[] = { { a, 3 }, { NULL, 0 }, { b, 4 }, { c, 20 } };

	twin_give(t, "abc");
	twin_give(t, "defghij");
	CALL(readv(t->fd, iov, 4));
	BYTES(a, 3);
	BYTES(b, 4);
	BYTES(c, 20);
	CALL(preadv2(t->fd, iov, 4, -1, RWF_NOWAIT));
}

static void recvmmsg_case(struct twin *t, int flags)
{
	char buf[4][8] = {};
	struct iovec iov[4];
	struct mmsghdr msgs[4] = {};
	int i;

	for (i = 0; i < 4; i++) {
		iov[i] = (struct iovec){ buf[i], 5 };
		msgs[i].msg_hdr.msg_iov = &iov[i];
		msgs[i].msg_hdr.msg_iovlen = 1;
	}
	twin_give(t, "first of");
	twin_give(t, " two");
	CALL(recvmmsg(t->fd, msgs, 4, flags, NULL));
	for (i = 0; i < 4; i++) {
		SEEN(msgs[i].msg_len);
		BYTES(buf[i], 5);
	}
}

MANNER(recvmmsg_takes_what_is_there)
{
	recvmmsg_case(t, MSG_DONTWAIT);
}

MANNER(recvmmsg_waits_for_one)
{
	recvmmsg_case(t, MSG_WAITFORONE);
}

MANNER(recvmmsg_of_nothing)
{
	recvmmsg_case(t, MSG_DONTWAIT);
	recvmmsg_case(t, MSG_DONTWAIT | MSG_PEEK);
	CALL(recvmmsg(t->fd, NULL, 0, MSG_DONTWAIT, NULL));
}

/* What recvmsg() tells beside the bytes: no name, no control data, no flags. */
MANNER(recvmsg_says)
{
	struct sockaddr_storage name;
	char buf[10];
	struct iovec iov = { buf, sizeof(buf) };
	struct msghdr msg = {
		.msg_name = &name, .msg_namelen = sizeof(name), .msg_iov = &iov, .msg_iovlen = 1,
	};
	socklen_t len = sizeof(name);

	twin_give(t, "hello");
	CALL(recvmsg(t->fd, &msg, 0));
	SEEN(msg.msg_namelen);
	SEEN(msg.msg_controllen);
	/* kTLS may tell that a record ended, and that its type found no room. */
	SEEN(t->kind == TWIN_KTLS ? msg.msg_flags & ~(MSG_EOR | MSG_CTRUNC) : msg.msg_flags);
	twin_give(t, "hello");
	CALL(recvfrom(t->fd, buf, sizeof(buf), 0, (void *)&name, &len));
	SEEN(len);
}

MANNER(read_of_no_bytes)
{
	char c;

	CALL(read(t->fd, &c, 0));
	twin_give(t, "x");
	CALL(read(t->fd, &c, 0));
	CALL(recv(t->fd, &c, 0, 0));
	CALL(recv(t->fd, &c, 0, MSG_DONTWAIT));
	CALL(recv(t->fd, &c, 0, MSG_PEEK));
	CALL(recv(t->fd, &c, 1, 0));
}

/* A program may ask so whether there is anything to read; kTLS, in-tree too, always says 0. */
MANNER(recv_of_no_bytes_from_nothing)
{
	int flags[] = { MSG_DONTWAIT, MSG_DONTWAIT | MSG_PEEK };
	size_t i;
	char c;
	long n;

	for (i = 0; i < sizeof(flags) / sizeof(*flags); i++) {
		n = recv(t->fd, &c, 0, flags[i]);
		if (t->kind == TWIN_KTLS && n == 0)
			NOTE("nothing there: -1 EAGAIN");
		else
			NOTE("nothing there: %ld %s", n, n ? strerrorname_np(errno) : "-");
	}
	twin_shut(t);
	CALL(recv(t->fd, &c, 0, MSG_DONTWAIT));
}

MANNER(bad_pointer_loses_nothing)
{
	char buf[20];

	twin_give(t, "hello");
	CALL(recv(t->fd, (void *)8, 5, 0));
	CALL(recv(t->fd, (void *)8, 5, MSG_PEEK));
	CALL(recv(t->fd, buf, sizeof(buf), 0));
	BYTES(buf, 5);
}

/*
 * The first buffer is good, the second is not.  Whether TCP returns what it
 * copied depends on how segments were joined; that nothing is lost does not.
 */
MANNER(bad_pointer_after_a_good_one)
{
	char buf[40] = "";
	struct iovec iov[] = { { buf, 3 }, { (void *)8, 10 } };
	ssize_t n;

	twin_give(t, "abc");
	twin_give(t, "def");
	n = readv(t->fd, iov, 2);
	NOTE("all or nothing of what was good: %d", n == 3 || (n == -1 && errno == EFAULT));
	CALL(recv(t->fd, buf + (n > 0 ? n : 0), 20, 0) + (n > 0 ? n : 0));
	BYTES(buf, 6);
}

/* ---- how much is there ------------------------------------------------------------- */

static int inq(struct twin *t)
{
	int n = -1;

	ASSERT_EQ(0, ioctl(t->fd, FIONREAD, &n));
	return n;
}

MANNER(fionread)
{
	char buf[20];

	SEEN(inq(t));
	twin_give(t, "hello");
	SEEN(inq(t));
	CALL(recv(t->fd, buf, 2, 0));
	SEEN(inq(t));
	CALL(recv(t->fd, buf, 1, MSG_PEEK));
	SEEN(inq(t));
	CALL(recv(t->fd, buf, 3, 0));
	SEEN(inq(t));
	twin_give(t, "last");
	twin_shut(t);
	/* A managed socket counts the close_notify behind the data: see itls(7). */
	if (t->kind == TWIN_MANAGED)
		NOTE("inq(t): %d", inq(t) == 6 ? 4 : inq(t));
	else
		SEEN(inq(t));
	CALL(recv(t->fd, buf, 20, 0));
	SEEN(inq(t));
	CALL(recv(t->fd, buf, 20, 0));
	SEEN(inq(t));
}

/*
 * Exact for what was sent as data without padding; itls(7) allows it to be too
 * much behind the first record, never too little, and 0 when there is nothing.
 */
MANNER(fionread_of_several_sends)
{
	uint8_t *data = alloc_pattern(50000, 0), *got = malloc(50000);
	size_t left = 50000;
	ssize_t n;

	ASSERT_TRUE(got);
	twin_send(t, data, 50000, 3333);
	twin_arrived(t);
	for (; left; left -= n) {
		ASSERT_LE((int)left, inq(t));
		n = recv(t->fd, got, left < 777 ? left : 777, 0);
		ASSERT_LT(0, n);
	}
	SEEN(inq(t));
	free(data);
	free(got);
}

/* What FIONREAD promised, a read delivers, as servers that size buffers by it expect. */
MANNER(fionread_then_read_all)
{
	uint8_t *data = alloc_pattern(20000, 0), *got = malloc(1 << 20);
	int n;

	ASSERT_TRUE(got);
	twin_send(t, data, 20000, 5000);
	twin_arrived(t);
	n = inq(t);
	ASSERT_LT(n, 1 << 20);
	NOTE("no less than there is: %d", n >= 20000);
	CALL(recv(t->fd, got, n, MSG_DONTWAIT));
	BYTES(got, 20000);
	free(data);
	free(got);
}

/* ---- peeking -------------------------------------------------------------------------- */

MANNER(peek)
{
	char buf[20];

	CALL(recv(t->fd, buf, 5, MSG_PEEK | MSG_DONTWAIT));
	twin_give(t, "hello");
	CALL(recv(t->fd, buf, 3, MSG_PEEK));
	CALL(recv(t->fd, buf, sizeof(buf), MSG_PEEK));
	BYTES(buf, 5);
	CALL(recv(t->fd, buf, 2, 0));
	twin_give(t, "world");
	CALL(recv(t->fd, buf, sizeof(buf), MSG_PEEK));
	BYTES(buf, 8);
	EVENTS(sock_poll(t->fd, POLLIN | POLLRDHUP, 0));
	CALL(recv(t->fd, buf, sizeof(buf), 0));
	BYTES(buf, 8);
	twin_shut(t);
	CALL(recv(t->fd, buf, sizeof(buf), MSG_PEEK));
}

MANNER(peek_longer_than_a_record)
{
	uint8_t *data = alloc_pattern(50000, 0), *got = calloc(1, 50000);

	ASSERT_TRUE(got);
	twin_send(t, data, 50000, 10000);
	twin_arrived(t);
	CALL(recv(t->fd, got, 50000, MSG_PEEK));
	BYTES(got, 50000);
	memset(got, 0, 50000);
	CALL(recv(t->fd, got, 25000, MSG_PEEK));
	BYTES(got, 25000);
	CALL(recv(t->fd, got, 50000, 0));
	BYTES(got, 50000);
	CALL(recv(t->fd, got, 1, MSG_PEEK | MSG_DONTWAIT));
	free(data);
	free(got);
}

static void give_in_two(struct twin *t)
{
	twin_send(t, "0123456789", 10, 10);
	twin_wait_asleep(t);
	twin_send(t, "abcdefghij", 10, 10);
}

MANNER(peek_waits_for_all)
{
	char buf[20] = "";

	twin_later(t, give_in_two);
	CALL(recv(t->fd, buf, 20, MSG_PEEK | MSG_WAITALL));
	BYTES(buf, 20);
	twin_later_join(t);
	CALL(recv(t->fd, buf, 20, MSG_DONTWAIT));
}

MANNER(peek_for_all_times_out)
{
	char buf[20] = "";
	int64_t start;

	set_timeout(t, SO_RCVTIMEO, 200);
	twin_give(t, "some");
	start = sock_now_ms();
	CALL(recv(t->fd, buf, 20, MSG_PEEK | MSG_WAITALL));
	twin_note_took(t, start, 200);
	BYTES(buf, 20);
}

/* ---- waiting ----------------------------------------------------------------------------- */

MANNER(waits_for_some)
{
	char buf[50] = "";

	twin_later(t, give_in_two);
	CALL(recv(t->fd, buf, 10, 0));
	twin_later_join(t);
	twin_arrived(t);
	CALL(recv(t->fd, buf + 10, 40, 0));
	BYTES(buf, 20);
}

MANNER(waits_for_all)
{
	char buf[20] = "";

	twin_later(t, give_in_two);
	CALL(recv(t->fd, buf, 20, MSG_WAITALL));
	BYTES(buf, 20);
	twin_later_join(t);
}

static void give_and_shut(struct twin *t)
{
	twin_send(t, "the end", 7, 7);
	twin_wait_asleep(t);
	twin_shut(t);
}

MANNER(waiting_for_all_ends_with_the_stream)
{
	char buf[20] = "";

	twin_later(t, give_and_shut);
	CALL(recv(t->fd, buf, 20, MSG_WAITALL));
	BYTES(buf, 20);
	twin_later_join(t);
	CALL(recv(t->fd, buf, 20, MSG_WAITALL));
	CALL(recv(t->fd, buf, 20, MSG_WAITALL | MSG_DONTWAIT));
}

MANNER(waiting_for_all_does_not_wait_when_told_so)
{
	char buf[20] = "";

	twin_give(t, "some");
	CALL(recv(t->fd, buf, 20, MSG_WAITALL | MSG_DONTWAIT));
	CALL(recv(t->fd, buf, 20, MSG_WAITALL | MSG_DONTWAIT));
	sock_nonblock(t->fd, true);
	twin_give(t, "some");
	CALL(recv(t->fd, buf, 20, MSG_WAITALL));
	CALL(recv(t->fd, buf, 20, MSG_WAITALL));
	CALL(read(t->fd, buf, 20));
}

MANNER(nonblocking)
{
	char buf[20] = "";
	struct iovec iov = { buf, 20 };
	int on = 1;

	CALL(recv(t->fd, buf, 20, MSG_DONTWAIT));
	sock_nonblock(t->fd, true);
	CALL(read(t->fd, buf, 20));
	CALL(recv(t->fd, buf, 20, MSG_PEEK));
	CALL(readv(t->fd, &iov, 1));
	sock_nonblock(t->fd, false);
	CALL(ioctl(t->fd, FIONBIO, &on));
	CALL(read(t->fd, buf, 20));
	twin_give(t, "x");
	CALL(read(t->fd, buf, 20));
	CALL(read(t->fd, buf, 20));
}

MANNER(receive_timeout)
{
	char buf[20] = "";
	struct iovec iov = { buf, 20 };
	struct mmsghdr msgs = { .msg_hdr = { .msg_iov = &iov, .msg_iovlen = 1 } };
	int64_t start = sock_now_ms();

	set_timeout(t, SO_RCVTIMEO, 200);
	CALL(recv(t->fd, buf, 20, 0));
	twin_note_took(t, start, 200);
	start = sock_now_ms();
	CALL(read(t->fd, buf, 20));
	twin_note_took(t, start, 200);
	start = sock_now_ms();
	CALL(recvmmsg(t->fd, &msgs, 1, 0, NULL));
	twin_note_took(t, start, 200);
	start = sock_now_ms();
	CALL(recv(t->fd, buf, 20, MSG_PEEK));
	twin_note_took(t, start, 200);
	/* What came before the timeout is returned at it. */
	twin_give(t, "some");
	start = sock_now_ms();
	CALL(recv(t->fd, buf, 20, MSG_WAITALL));
	twin_note_took(t, start, 200);
	twin_give(t, "more");
	CALL(recv(t->fd, buf, 20, 0));
}

/* ---- the low water mark -------------------------------------------------------------------- */

MANNER(low_water_mark_of_a_blocking_read)
{
	char buf[50] = "";

	sock_set_int(t->fd, SOL_SOCKET, SO_RCVLOWAT, 20);
	twin_later(t, give_in_two);
	CALL(recv(t->fd, buf, 50, 0));
	BYTES(buf, 20);
	twin_later_join(t);
	/* A reader who wants less is not kept waiting for the mark. */
	twin_give(t, "12345");
	CALL(recv(t->fd, buf, 5, 0));
}

MANNER(low_water_mark_of_a_nonblocking_read)
{
	char buf[50] = "";

	sock_set_int(t->fd, SOL_SOCKET, SO_RCVLOWAT, 20);
	twin_give(t, "12345");
	CALL(recv(t->fd, buf, 50, MSG_DONTWAIT));
	CALL(recv(t->fd, buf, 50, MSG_DONTWAIT));
}

MANNER(low_water_mark_times_out)
{
	char buf[50] = "";
	int64_t start;

	sock_set_int(t->fd, SOL_SOCKET, SO_RCVLOWAT, 20);
	set_timeout(t, SO_RCVTIMEO, 200);
	twin_give(t, "12345");
	start = sock_now_ms();
	CALL(recv(t->fd, buf, 50, 0));
	twin_note_took(t, start, 200);
}

MANNER(low_water_mark_and_peek)
{
	char buf[50] = "";

	sock_set_int(t->fd, SOL_SOCKET, SO_RCVLOWAT, 20);
	twin_later(t, give_in_two);
	CALL(recv(t->fd, buf, 50, MSG_PEEK));
	BYTES(buf, 20);
	twin_later_join(t);
}

MANNER(low_water_mark_reads_back)
{
	socklen_t len = sizeof(int);
	int mark = -1;

	CALL(getsockopt(t->fd, SOL_SOCKET, SO_RCVLOWAT, &mark, &len));
	SEEN(mark);
	sock_set_int(t->fd, SOL_SOCKET, SO_RCVLOWAT, 0);
	CALL(getsockopt(t->fd, SOL_SOCKET, SO_RCVLOWAT, &mark, &len));
	SEEN(mark);
	sock_set_int(t->fd, SOL_SOCKET, SO_RCVLOWAT, 500);
	CALL(getsockopt(t->fd, SOL_SOCKET, SO_RCVLOWAT, &mark, &len));
	SEEN(mark);
}

/* kTLS, in-tree too, calls a socket readable when a whole record is there, whatever the mark. */
static void poll_below_the_mark(struct twin *t)
{
	int events = sock_poll(t->fd, POLLIN, 0);

	trace_events(&t->trace, "below the mark", t->kind == TWIN_KTLS ? 0 : events);
}

MANNER(low_water_mark_of_poll)
{
	char buf[50] = "";

	sock_set_int(t->fd, SOL_SOCKET, SO_RCVLOWAT, 20);
	EVENTS(sock_poll(t->fd, POLLIN, 0));
	twin_give(t, "0123456789");
	poll_below_the_mark(t);
	twin_give(t, "abcdefghij");
	EVENTS(sock_poll(t->fd, POLLIN, test_wait_ms()));
	CALL(recv(t->fd, buf, 50, 0));
	twin_give(t, "end");
	poll_below_the_mark(t);
	twin_shut(t);
	EVENTS(sock_poll(t->fd, POLLIN, test_wait_ms()));
	CALL(recv(t->fd, buf, 50, 0));
	CALL(recv(t->fd, buf, 50, 0));
}

/* ---- a small receive buffer ------------------------------------------------------------------ */

static void send_much(struct twin *t)
{
	uint8_t *data = alloc_pattern(40000, 0);

	twin_send(t, data, 40000, REC_MAX);
	free(data);
}

MANNER_TIMEOUT(receive_buffer_below_a_record, 60)
{
	uint8_t *got = malloc(40000);

	ASSERT_TRUE(got);
	sock_set_int(t->fd, SOL_SOCKET, SO_RCVBUF, 4000);
	twin_later(t, send_much);
	CALL(recv(t->fd, got, 40000, MSG_WAITALL));
	BYTES(got, 40000);
	twin_later_join(t);
	free(got);
}

/* By readiness alone; a poll that finds only part of a record gives EAGAIN, as itls(7) says. */
MANNER_TIMEOUT(receive_buffer_below_a_record_polled, 60)
{
	uint8_t *got = malloc(40000);

	ASSERT_TRUE(got);
	sock_set_int(t->fd, SOL_SOCKET, SO_RCVBUF, 4000);
	sock_nonblock(t->fd, true);
	twin_later(t, send_much);
	sock_recv_all(t->fd, got, 40000);
	BYTES(got, 40000);
	CALL(read(t->fd, got, 1));
	twin_later_join(t);
	free(got);
}
