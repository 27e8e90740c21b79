// SPDX-License-Identifier: GPL-2.0
/*
 * Sending: bursts on each connection in turn, never waiting, and what arrived
 * at the other end thrown away WINDOW connections later. So that many have data
 * under way, but never more than some megabytes: with 10,000 connections it
 * shall be their number that is measured, not a queue larger than all caches.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../module/itls_bench.h"
#include "load.h"

#define WINDOW		64
/* Looking at the clock is a system call: not each time. */
#define LOOK_EVERY	8
#define BUFFER		1048576

/* Connections of each variant, opened when first used, kept for all rounds. */
static struct conn *opened[VARIANTS_MAX];
static unsigned int nr_opened;
static char *buffer;
static int file_fd = -1, pipe_fd[2];
static off_t file_len;

static void file_open(const struct options *o)
{
	struct stat st;

	file_fd = open(o->file, O_RDONLY | O_CLOEXEC);
	if (file_fd < 0 || fstat(file_fd, &st))
		die("%s: %s", o->file, strerror(errno));
	file_len = st.st_size;
}

void tx_prepare(const struct options *o)
{
	int i;

	for (i = 0; i < o->nr_counts; i++)
		if (o->counts[i] > nr_opened)
			nr_opened = o->counts[i];
	buffer = malloc(BUFFER);
	if (!buffer)
		die("no memory");
	memset(buffer, 'x', BUFFER);
	if (o->op == OP_SENDFILE || o->op == OP_SPLICE)
		file_open(o);
	if (o->op == OP_SPLICE && (pipe2(pipe_fd, O_CLOEXEC | O_NONBLOCK) ||
				   fcntl(pipe_fd[0], F_SETPIPE_SZ, 1 << 20) < 0))
		die("pipe: %s", strerror(errno));
}

static struct conn *conns_of(const struct options *o, enum variant v)
{
	unsigned int i;

	if (opened[v])
		return opened[v];
	opened[v] = conns_open(nr_opened, o->nagle);
	for (i = 0; i < nr_opened; i++) {
		fcntl(opened[v][i].server, F_SETFL, O_NONBLOCK);
		conn_keys(o, v, opened[v][i].server, true, false);
	}
	return opened[v];
}

/* ---- one call ------------------------------------------------------------ */

static ssize_t send_plain(struct conn *c, size_t len, int flags)
{
	if (c->at + len > BUFFER)
		c->at = 0;
	c->at += len;
	return send(c->server, buffer + c->at - len, len,
		    MSG_DONTWAIT | MSG_NOSIGNAL | flags);
}

/* A burst by the module, without a system call for each. */
static ssize_t send_kernel(const struct options *o, struct conn *c, size_t len, int flags)
{
	struct itls_bench_send s = {
		.fd = c->server,
		.flags = MSG_DONTWAIT | MSG_NOSIGNAL | flags,
		.data = (uintptr_t)buffer,
		.len = o->size,
		.count = len / o->size,
	};

	if (ioctl(bench_fd(), ITLS_BENCH_SEND, &s))
		return -1;
	errno = s.err;
	return s.bytes || !s.err ? (ssize_t)s.bytes : -1;
}

/* Where the file ends it begins again; without its pages, if so wanted. */
static size_t file_next(const struct options *o, struct conn *c, size_t len)
{
	if (c->at >= file_len) {
		c->at = 0;
		if (o->cold)
			posix_fadvise(file_fd, 0, 0, POSIX_FADV_DONTNEED);
	}
	return (off_t)len > file_len - c->at ? (size_t)(file_len - c->at) : len;
}

static ssize_t send_file(const struct options *o, struct conn *c, size_t len)
{
	len = file_next(o, c, len);
	return sendfile(c->server, file_fd, &c->at, len);
}

/* What the socket does not take stays in the pipe, for the next connection. */
static ssize_t send_splice(const struct options *o, struct conn *c, size_t len)
{
	len = file_next(o, c, len);
	if (splice(file_fd, &c->at, pipe_fd[1], NULL, len, SPLICE_F_MOVE | SPLICE_F_NONBLOCK) < 0 &&
	    errno != EAGAIN)
		return -1;
	return splice(pipe_fd[0], NULL, c->server, NULL, len, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
}

static ssize_t send_some(const struct options *o, struct conn *c, size_t len, int flags)
{
	switch (o->op) {
	case OP_KSEND:
		return send_kernel(o, c, len, flags);
	case OP_SENDFILE:
		return send_file(o, c, len);
	case OP_SPLICE:
		return send_splice(o, c, len);
	default:
		return send_plain(c, len, flags);
	}
}

/* ---- bursts ------------------------------------------------------------- */

/* How much the next call may send: with MSG_MORE the burst's last is one alone. */
static size_t call_len(const struct options *o, size_t left)
{
	if (o->op == OP_KSEND && (!o->more || left <= o->size))
		return left;
	if (o->op == OP_KSEND)
		return left - o->size;
	return o->size;
}

static size_t burst_send(const struct options *o, struct conn *c)
{
	size_t done = 0, len;
	ssize_t n;

	while (done < o->burst) {
		len = call_len(o, o->burst - done);
		n = send_some(o, c, len, o->more && done + len < o->burst ? MSG_MORE : 0);
		if (n < 0 && errno != EAGAIN)
			c->failed = true;
		if (n <= 0)
			break;
		done += n;
		if ((size_t)n < len && o->op != OP_SENDFILE && o->op != OP_SPLICE)
			break;
	}
	return done;
}

static void cork(const struct options *o, struct conn *c, int on)
{
	if (o->cork)
		setsockopt(c->server, IPPROTO_TCP, TCP_CORK, &on, sizeof(on));
}

static size_t drain_all(struct conn *conns, unsigned int nr)
{
	size_t n = 0;
	unsigned int i;

	for (i = 0; i < nr; i++)
		n += conn_drain(&conns[i]);
	return n;
}

/* One connection's turn; false when nothing moved anywhere. */
static bool turn(const struct options *o, struct conn *conns, unsigned int nr, unsigned int i,
		 struct result *r)
{
	unsigned int window = nr < WINDOW ? nr : WINDOW;
	struct conn *c = &conns[i];
	size_t sent;

	cork(o, c, 1);
	sent = burst_send(o, c);
	cork(o, c, 0);
	r->bytes += sent;
	return conn_drain(&conns[(i + nr - window + 1) % nr]) || sent || drain_all(conns, nr);
}

void tx_run(const struct options *o, enum variant v, unsigned int nr, struct result *r)
{
	static unsigned int next[VARIANTS_MAX];
	struct conn *conns = conns_of(o, v);
	uint64_t end;
	unsigned int turns, i;

	/* What another variant has read is not cold. */
	if (o->cold)
		posix_fadvise(file_fd, 0, 0, POSIX_FADV_DONTNEED);
	end = clock_now() + o->time_ms * 1000000ULL;
	clock_start(r);
	for (turns = 1; turns % LOOK_EVERY || clock_now() < end; turns++) {
		i = next[v]++ % nr;
		if (conns[i].failed || turn(o, conns, nr, i, r))
			continue;
		r->stalls++;
		poll(NULL, 0, 1);
	}
	drain_all(conns, nr);
	clock_stop(r);
	for (i = 0; i < nr; i++)
		r->failed += conns[i].failed;
}
