// SPDX-License-Identifier: GPL-2.0
/* Manners under io_uring: the same calls, made for the program by the kernel. */
#define _GNU_SOURCE
#include "manners.h"
#include "uring.h"

#include <fcntl.h>
#include <poll.h>

static void result(struct twin *t, const char *what, int res)
{
	if (res < 0)
		NOTE("%s: -%s", what, strerrorname_np(-res) ?: "?");
	else
		NOTE("%s: %d", what, res);
}

static void uring_recv(struct twin *t, struct uring *u, void *buf, size_t len, int flags)
{
	uring_sqe(u, IORING_OP_RECV, t->fd, buf, len)->msg_flags = flags;
}

static void uring_send(struct twin *t, struct uring *u, const void *buf, size_t len, int flags)
{
	uring_sqe(u, IORING_OP_SEND, t->fd, buf, len)->msg_flags = flags;
}

static void uring_splice(struct uring *u, int in, int out, uint32_t len)
{
	struct io_uring_sqe *sqe = uring_sqe(u, IORING_OP_SPLICE, out, NULL, len);

	sqe->splice_fd_in = in;
	sqe->splice_off_in = -1;
	sqe->off = -1;
}

static void take(struct twin *t, size_t len)
{
	uint8_t got[100];

	ASSERT_LE(len, sizeof(got));
	twin_take(t, got, len);
	trace_bytes(&t->trace, "peer reads", got, len);
}

/* ---- reading ---------------------------------------------------------------------- */

MANNER(recv_what_is_there)
{
	struct uring u;
	char buf[20];

	uring_open(&u);
	twin_give(t, "hello");
	uring_recv(t, &u, buf, sizeof(buf), 0);
	result(t, "recv", uring_do(&u));
	BYTES(buf, 5);
	twin_give(t, "again");
	uring_sqe(&u, IORING_OP_READ, t->fd, buf, 3);
	result(t, "read", uring_do(&u));
	uring_recv(t, &u, buf + 3, 10, MSG_PEEK);
	result(t, "peek", uring_do(&u));
	uring_recv(t, &u, buf + 3, 10, 0);
	result(t, "recv", uring_do(&u));
	BYTES(buf, 5);
	uring_recv(t, &u, buf, sizeof(buf), MSG_DONTWAIT);
	result(t, "recv", uring_do(&u));
	twin_shut(t);
	uring_recv(t, &u, buf, sizeof(buf), 0);
	result(t, "recv", uring_do(&u));
	uring_close(&u);
}

/* Asked before there is anything: completes when it comes, and not before. */
MANNER(recv_what_comes)
{
	struct uring u;
	char buf[20];

	uring_open(&u);
	uring_recv(t, &u, buf, sizeof(buf), 0);
	uring_submit(&u);
	SEEN(uring_is_done(&u));
	twin_give(t, "hello");
	result(t, "recv", uring_result(&u, NULL));
	BYTES(buf, 5);
	uring_sqe(&u, IORING_OP_READ, t->fd, buf, sizeof(buf));
	uring_submit(&u);
	twin_give(t, "again");
	result(t, "read", uring_result(&u, NULL));
	BYTES(buf, 5);
	uring_recv(t, &u, buf, sizeof(buf), 0);
	uring_submit(&u);
	twin_shut(t);
	result(t, "recv", uring_result(&u, NULL));
	uring_close(&u);
}

MANNER(recv_all)
{
	struct uring u;
	char buf[20];

	uring_open(&u);
	uring_recv(t, &u, buf, sizeof(buf), MSG_WAITALL);
	uring_submit(&u);
	twin_give(t, "0123456789");
	SEEN(uring_is_done(&u));
	twin_give(t, "abcdefghij");
	result(t, "recv", uring_result(&u, NULL));
	BYTES(buf, 20);
	uring_recv(t, &u, buf, sizeof(buf), MSG_WAITALL);
	uring_submit(&u);
	twin_give(t, "the end");
	twin_shut(t);
	result(t, "recv", uring_result(&u, NULL));
	BYTES(buf, 7);
	uring_close(&u);
}

MANNER(recvmsg)
{
	char a[4], b[20];
	struct iovec iov[] = { { a, 4 }, { b, 20 } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };
	struct uring u;

	uring_open(&u);
	uring_sqe(&u, IORING_OP_RECVMSG, t->fd, &msg, 1);
	uring_submit(&u);
	twin_give(t, "abcdefgh");
	result(t, "recvmsg", uring_result(&u, NULL));
	BYTES(a, 4);
	BYTES(b, 4);
	/* kTLS may tell that a record ended, and that its type found no room. */
	SEEN(t->kind == TWIN_KTLS ? msg.msg_flags & ~(MSG_EOR | MSG_CTRUNC) : msg.msg_flags);
	uring_close(&u);
}

/* In a thread of the kernel's own, where the call may block. */
MANNER(recv_by_a_worker)
{
	struct uring u;
	char buf[20];

	uring_open(&u);
	uring_sqe(&u, IORING_OP_RECV, t->fd, buf, sizeof(buf))->flags = IOSQE_ASYNC;
	uring_submit(&u);
	twin_give(t, "hello");
	result(t, "recv", uring_result(&u, NULL));
	BYTES(buf, 5);
	uring_close(&u);
}

MANNER(recv_is_reset)
{
	struct uring u;
	char buf[20];

	uring_open(&u);
	uring_recv(t, &u, buf, sizeof(buf), 0);
	uring_submit(&u);
	twin_reset(t);
	result(t, "recv", uring_result(&u, NULL));
	uring_close(&u);
}

MANNER(recv_is_cancelled)
{
	uint64_t id = 0;
	struct uring u;
	char buf[20];
	int i, res;

	uring_open(&u);
	uring_sqe(&u, IORING_OP_RECV, t->fd, buf, sizeof(buf))->user_data = 1;
	uring_submit(&u);
	uring_sqe(&u, IORING_OP_ASYNC_CANCEL, -1, (void *)1, 0)->user_data = 2;
	uring_submit(&u);
	for (i = 0; i < 2; i++) {
		res = uring_result(&u, &id);
		if (id == 1)
			result(t, "recv", res);
	}
	twin_give(t, "hello");
	CALL(recv(t->fd, buf, sizeof(buf), 0));
	uring_close(&u);
}

MANNER(poll)
{
	struct uring u;

	uring_open(&u);
	uring_sqe(&u, IORING_OP_POLL_ADD, t->fd, NULL, 0)->poll32_events = POLLIN | POLLRDHUP;
	uring_submit(&u);
	SEEN(uring_is_done(&u));
	twin_give(t, "hello");
	EVENTS(uring_result(&u, NULL));
	CALL(recv(t->fd, SCRATCH(9), 9, 0));
	uring_sqe(&u, IORING_OP_POLL_ADD, t->fd, NULL, 0)->poll32_events = POLLRDHUP;
	uring_submit(&u);
	twin_shut(t);
	EVENTS(uring_result(&u, NULL));
	uring_close(&u);
}

/* ---- writing -------------------------------------------------------------------------- */

MANNER(send_and_write)
{
	struct iovec iov[] = { { "one", 3 }, { "two", 3 } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };
	struct uring u;

	uring_open(&u);
	uring_send(t, &u, "hello", 5, 0);
	result(t, "send", uring_do(&u));
	uring_sqe(&u, IORING_OP_WRITE, t->fd, "write", 5);
	result(t, "write", uring_do(&u));
	uring_sqe(&u, IORING_OP_WRITEV, t->fd, iov, 2);
	result(t, "writev", uring_do(&u));
	uring_sqe(&u, IORING_OP_SENDMSG, t->fd, &msg, 1);
	result(t, "sendmsg", uring_do(&u));
	uring_send(t, &u, "", 0, 0);
	result(t, "send", uring_do(&u));
	take(t, 5 + 5 + 6 + 6);
	uring_close(&u);
}

/*
 * With MSG_WAITALL the ring goes on where a short send stopped.  kTLS knows no
 * such flag for sending; the program goes on by itself.
 */
MANNER_TIMEOUT(send_lots, 60)
{
	const size_t len = 16 << 20;
	uint8_t *data = alloc_pattern(len, 0);
	int n, flags = MSG_WAITALL;
	size_t sent = 0;
	struct uring u;

	uring_open(&u);
	twin_take_later(t, len);
	if (t->kind == TWIN_KTLS) {
		uring_send(t, &u, data, len, MSG_WAITALL);
		ASSERT_EQ(-EOPNOTSUPP, uring_do(&u));
		flags = 0;
	}
	do {
		uring_send(t, &u, data + sent, len - sent, flags);
		n = uring_do(&u);
		ASSERT_LT(0, n);
		sent += n;
	} while (!flags && sent < len);
	SEEN(sent);
	twin_later_join(t);
	uring_close(&u);
	free(data);
}

MANNER_TIMEOUT(send_when_there_is_room, 60)
{
	uint8_t *data = alloc_pattern(TWIN_LOTS, 0);
	size_t sent = twin_fill(t, data);
	struct uring u;

	uring_open(&u);
	uring_send(t, &u, data, 5, MSG_DONTWAIT);
	result(t, "send", uring_do(&u));
	uring_send(t, &u, "later", 5, 0);
	uring_submit(&u);
	SEEN(uring_is_done(&u));
	twin_take_later(t, sent);
	result(t, "send", uring_result(&u, NULL));
	twin_later_join(t);
	take(t, 5);
	uring_close(&u);
	free(data);
}

MANNER(send_after_the_end)
{
	struct uring u;

	uring_open(&u);
	uring_sqe(&u, IORING_OP_SHUTDOWN, t->fd, NULL, SHUT_WR);
	result(t, "shutdown", uring_do(&u));
	uring_send(t, &u, "x", 1, MSG_NOSIGNAL);
	result(t, "send", uring_do(&u));
	twin_note_end(t);
	uring_close(&u);
}

MANNER(close_by_the_ring)
{
	struct uring u;

	uring_open(&u);
	uring_send(t, &u, "bye", 3, 0);
	result(t, "send", uring_do(&u));
	uring_sqe(&u, IORING_OP_CLOSE, t->fd, NULL, 0);
	result(t, "close", uring_do(&u));
	t->fd = -1;
	twin_note_end(t);
	uring_close(&u);
}

/* ---- splice ------------------------------------------------------------------------------ */

MANNER(splice_to_a_pipe)
{
	struct uring u;
	char buf[20];
	int p[2];

	uring_open(&u);
	ASSERT_EQ(0, pipe(p));
	twin_give(t, "hello");
	uring_splice(&u, t->fd, p[1], 100);
	result(t, "splice", uring_do(&u));
	CALL(read(p[0], buf, sizeof(buf)));
	BYTES(buf, 5);
	uring_splice(&u, t->fd, p[1], 100);
	uring_submit(&u);
	twin_give(t, "comes");
	result(t, "splice", uring_result(&u, NULL));
	CALL(read(p[0], buf, sizeof(buf)));
	BYTES(buf, 5);
	twin_shut(t);
	uring_splice(&u, t->fd, p[1], 100);
	result(t, "splice", uring_do(&u));
	close(p[0]);
	close(p[1]);
	uring_close(&u);
}

MANNER(splice_from_a_pipe)
{
	struct uring u;
	int p[2];

	uring_open(&u);
	ASSERT_EQ(0, pipe(p));
	ASSERT_EQ(5, write(p[1], "hello", 5));
	uring_splice(&u, p[0], t->fd, 5);
	result(t, "splice", uring_do(&u));
	take(t, 5);
	close(p[0]);
	close(p[1]);
	uring_close(&u);
}

/* sendfile() as io_uring does it: file to pipe, pipe to socket. */
MANNER(splice_a_file)
{
	int file = file_pattern(60000), p[2];
	struct uring u;

	uring_open(&u);
	ASSERT_EQ(0, pipe(p));
	twin_take_later(t, 60000);
	uring_splice(&u, file, p[1], 60000);
	result(t, "splice", uring_do(&u));
	uring_splice(&u, p[0], t->fd, 60000);
	result(t, "splice", uring_do(&u));
	twin_later_join(t);
	close(p[0]);
	close(p[1]);
	close(file);
	uring_close(&u);
}
