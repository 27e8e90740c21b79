// SPDX-License-Identifier: GPL-2.0
/*
 * Moves the body of a response.  What was read with the head is written, all
 * else goes socket -> pipe -> file without passing through this process; a
 * file that takes no splice (opened for appending, some file systems) is
 * written instead.  Its end is that of Content-Length, of the last chunk, or
 * of TLS; a connection that is cut has none.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "body.h"

#define PIPE_BYTES 1048576	/* more than the usual 64 KiB, if it may be */

struct body {
	struct conn *conn;
	struct sink *sink;
	struct progress *progress;
	int pipe[2];
	bool copying;		/* splice() was refused */
	bool sink_failed;	/* it was the sink, not the connection */
	const char *malformed;	/* what the server did wrong */
};

/* Bytes that splice() left in the pipe. */
static int copy_pipe(struct body *b, size_t n)
{
	char buf[16384];
	ssize_t got;
	int err;

	while (n) {
		got = read(b->pipe[0], buf, n < sizeof(buf) ? n : sizeof(buf));
		if (got <= 0)
			return got ? -errno : -EPIPE;
		err = sink_write(b->sink, buf, got);
		if (err)
			return err;
		n -= got;
	}
	return 0;
}

static int drain_pipe(struct body *b, size_t n)
{
	ssize_t put;
	int err;

	while (n) {
		put = splice(b->pipe[0], NULL, b->sink->fd, NULL, n, SPLICE_F_MOVE);
		if (put > 0) {
			n -= put;
			continue;
		}
		if (put < 0 && errno == EINVAL) {
			b->copying = true;
			return copy_pipe(b, n);
		}
		if (!put || (errno != EAGAIN && errno != EINTR))
			return put ? -errno : -EIO;
		err = sink_wait(b->sink);
		if (err)
			return err;
	}
	return 0;
}

static ssize_t to_sink(struct body *b, int err, size_t n)
{
	b->sink_failed = err != 0;
	return err ? err : (ssize_t)n;
}

static ssize_t write_some(struct body *b, uint64_t max)
{
	size_t n = b->conn->len < max ? b->conn->len : max;
	int err = sink_write(b->sink, b->conn->buf + b->conn->at, n);

	conn_drop(b->conn, n);
	return to_sink(b, err, n);
}

static ssize_t copy_some(struct body *b, uint64_t max)
{
	ssize_t n = conn_fill(b->conn);

	return n > 0 ? write_some(b, max) : n;
}

static ssize_t splice_some(struct body *b, uint64_t max)
{
	size_t want = max < PIPE_BYTES ? max : PIPE_BYTES;
	ssize_t n;
	int err;

	for (;;) {
		n = splice(b->conn->fd, NULL, b->pipe[1], NULL, want,
			   SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
		if (n > 0)
			return to_sink(b, drain_pipe(b, n), n);
		if (!n)
			return 0;
		if (errno == EINVAL)
			break;
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
		err = conn_wait(b->conn, POLLIN);
		if (err)
			return err;
	}
	b->copying = true;
	return copy_some(b, max);
}

/* Moves at least one byte of @left; -ENODATA: the connection has ended. */
static int move_some(struct body *b, uint64_t *left)
{
	ssize_t n;

	if (b->conn->len)
		n = write_some(b, *left);
	else if (b->copying)
		n = copy_some(b, *left);
	else
		n = splice_some(b, *left);
	if (n <= 0)
		return n ? n : -ENODATA;
	*left -= n;
	progress_add(b->progress, n);
	return 0;
}

static int move_length(struct body *b, uint64_t left)
{
	int err = 0;

	while (!err && left)
		err = move_some(b, &left);
	return err;
}

static int move_to_end(struct body *b)
{
	uint64_t left = INT64_MAX;
	int err = 0;

	while (!err)
		err = move_some(b, &left);
	return err == -ENODATA ? 0 : err;
}

/* Reads what stands around chunks; the buffer may hold data behind it. */
static int next_chunk(struct body *b, struct http_chunks *chunks)
{
	ssize_t n;

	while (chunks->state != HTTP_CHUNK_DATA && chunks->state != HTTP_CHUNK_END) {
		if (!b->conn->len) {
			n = conn_fill(b->conn);
			if (n <= 0)
				return n ? n : -ENODATA;
		}
		n = http_chunks_feed(chunks, b->conn->buf + b->conn->at, b->conn->len,
				     &b->malformed);
		if (n < 0)
			return n;
		conn_drop(b->conn, n);
	}
	return 0;
}

static int move_chunks(struct body *b)
{
	struct http_chunks chunks = { 0 };
	uint64_t left;
	int err;

	for (;;) {
		err = next_chunk(b, &chunks);
		if (err || chunks.state == HTTP_CHUNK_END)
			return err;
		left = chunks.left;
		err = move_some(b, &left);
		if (err)
			return err;
		http_chunks_took(&chunks, chunks.left - left);
	}
}

static int explain(const struct body *b, int err, struct ctl_error *e)
{
	if (b->sink_failed)
		return sink_explain(b->sink, err, e);
	if (b->malformed)
		return ctl_error_set(e, -err, "%s sent a malformed answer: %s", b->conn->name,
				     b->malformed);
	if (err == -ENODATA)
		return ctl_error_set(e, -err, "%s ended the connection before all of the file had come",
				     b->conn->name);
	return conn_explain(b->conn, err, e);
}

static void open_pipe(struct body *b)
{
	if (pipe2(b->pipe, O_CLOEXEC)) {
		b->copying = true;
		return;
	}
	/* not beyond what the user may have; then it stays as it is */
	fcntl(b->pipe[1], F_SETPIPE_SZ, PIPE_BYTES);
}

static void close_pipe(struct body *b)
{
	if (b->pipe[0] < 0)
		return;
	close(b->pipe[0]);
	close(b->pipe[1]);
}

int body_move(struct conn *conn, struct sink *sink, struct progress *progress,
	      const struct http_head *head, struct ctl_error *e)
{
	struct body b = {
		.conn = conn,
		.sink = sink,
		.progress = progress,
		.pipe = { -1, -1 },
	};
	int err;

	open_pipe(&b);
	if (head->chunked)
		err = move_chunks(&b);
	else if (head->has_length)
		err = move_length(&b, head->length);
	else
		err = move_to_end(&b);
	close_pipe(&b);
	return err ? explain(&b, err, e) : 0;
}
