// SPDX-License-Identifier: GPL-2.0
/*
 * Sending: a burst on each connection in turn, never waiting, and what arrived
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
#include <sys/socket.h>
#include <unistd.h>

#include "load.h"

#define WINDOW		64
/* Turns in a row; after each row a look at the clock. */
#define TURNS		8
/* At most: two sends of a burst, and the other end. */
#define STEPS		3
#define BUFFER		1048576

/* Connections of each variant, opened when first used, kept for all rounds. */
static struct conn *opened[VARIANTS_MAX];
static unsigned int nr_opened;
static char *buffer;
static int file_fd = -1, pipe_fd[2];

void tx_prepare(const struct options *o)
{
	int i;

	for (i = 0; i < o->nr_counts; i++)
		if (o->counts[i] > nr_opened)
			nr_opened = o->counts[i];
	buffer = buffer_make(o, BUFFER);
	if (o->file)
		file_fd = open(o->file, O_RDONLY | O_CLOEXEC);
	if (o->file && file_fd < 0)
		die("%s: %s", o->file, strerror(errno));
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

/* ---- turns ------------------------------------------------------------------ */

struct row {
	struct itls_bench_step steps[TURNS * STEPS];
	struct conn *conns[TURNS * STEPS];
	unsigned int nr;
};

static struct itls_bench_step *row_add(struct row *row, struct conn *c, int fd, int op)
{
	struct itls_bench_step *s = &row->steps[row->nr];

	memset(s, 0, sizeof(*s));
	row->conns[row->nr++] = c;
	s->op = op;
	s->fd = fd;
	return s;
}

static void add_send(const struct options *o, struct row *row, struct conn *c,
		     unsigned int count, int flags)
{
	struct itls_bench_step *s;

	if (!count)
		return;
	s = row_add(row, c, c->server, ITLS_BENCH_SEND);
	s->data = (uintptr_t)buffer;
	s->len = o->size;
	s->count = count;
	s->flags = flags;
}

/* With MSG_MORE the last of a burst is without. */
static void add_burst(const struct options *o, struct row *row, struct conn *c)
{
	unsigned int count = o->burst / o->size;
	struct itls_bench_step *s;

	if (o->op == OP_SEND) {
		add_send(o, row, c, o->more ? count - 1 : count, o->more ? MSG_MORE : 0);
		add_send(o, row, c, o->more, 0);
		return;
	}
	s = row_add(row, c, c->server, ITLS_BENCH_SENDFILE);
	s->other = file_fd;
	s->len = o->size;
	s->at = (uintptr_t)&c->at;
	s->flags = ITLS_BENCH_WRAP | (o->cold ? ITLS_BENCH_COLD : 0);
}

/* With MSG_TRUNC nothing is copied; one call takes all there is. */
static void add_drain(struct row *row, struct conn *c)
{
	struct itls_bench_step *s = row_add(row, c, c->client, ITLS_BENCH_RECV);

	s->len = 1 << 30;
	s->flags = MSG_TRUNC;
}

/* Bytes that moved; those sent are counted. */
static size_t row_do(const struct options *o, struct row *row, struct result *r)
{
	size_t moved = 0;
	unsigned int i;

	steps_do(o, row->steps, row->nr);
	for (i = 0; i < row->nr; i++) {
		const struct itls_bench_step *s = &row->steps[i];

		moved += s->bytes;
		if (s->op != ITLS_BENCH_RECV)
			r->bytes += s->bytes;
		row->conns[i]->failed |= step_failed(s);
	}
	row->nr = 0;
	return moved;
}

static void drain_all(const struct options *o, struct conn *conns, unsigned int from,
		      unsigned int count, unsigned int nr, struct result *r)
{
	struct row row = { .nr = 0 };
	unsigned int i;

	for (i = 0; i < count; i++) {
		add_drain(&row, &conns[(from + i) % nr]);
		if (row.nr == TURNS || i == count - 1)
			row_do(o, &row, r);
	}
}

static void cork(struct conn *c, int on)
{
	setsockopt(c->server, IPPROTO_TCP, TCP_CORK, &on, sizeof(on));
}

/* What the socket does not take stays in the pipe, for the next connection. */
static size_t splice_burst(const struct options *o, struct conn *c)
{
	unsigned int flags = SPLICE_F_MOVE | SPLICE_F_NONBLOCK;
	off_t end = lseek(file_fd, 0, SEEK_END);
	ssize_t n;

	if (c->at >= end)
		c->at = 0;
	n = splice(file_fd, &c->at, pipe_fd[1], NULL, o->size, flags);
	if (n < 0 && errno != EAGAIN)
		c->failed = true;
	n = splice(pipe_fd[0], NULL, c->server, NULL, o->size, flags);
	if (n < 0 && errno != EAGAIN)
		c->failed = true;
	return n > 0 ? n : 0;
}

/* TCP_CORK and pipes are matters of system calls: one turn alone. */
static size_t turn_alone(const struct options *o, struct row *row, struct conn *c,
			 struct conn *old, struct result *r)
{
	size_t moved = 0;

	if (o->op == OP_SPLICE) {
		moved = splice_burst(o, c);
		r->bytes += moved;
	} else {
		cork(c, 1);
		add_burst(o, row, c);
		moved = row_do(o, row, r);
		cork(c, 0);
	}
	add_drain(row, old);
	return moved + row_do(o, row, r);
}

static size_t turns(const struct options *o, struct conn *conns, unsigned int nr,
		    unsigned int *next, struct result *r)
{
	unsigned int window = nr < WINDOW ? nr : WINDOW, k, i;
	struct row row = { .nr = 0 };
	size_t moved = 0;

	for (k = 0; k < TURNS; k++, *next = (*next + 1) % nr) {
		struct conn *c = &conns[*next];

		i = (*next + nr - window + 1) % nr;
		if (o->cork || o->op == OP_SPLICE) {
			moved += turn_alone(o, &row, c, &conns[i], r);
			continue;
		}
		add_burst(o, &row, c);
		add_drain(&row, &conns[i]);
	}
	return moved + row_do(o, &row, r);
}

void tx_run(const struct options *o, enum variant v, unsigned int nr, struct result *r)
{
	static unsigned int at[VARIANTS_MAX];
	unsigned int window = nr < WINDOW ? nr : WINDOW, next = at[v] % nr, i;
	struct conn *conns = conns_of(o, v);
	uint64_t end;

	/* What another variant has read is not cold. */
	if (o->cold)
		posix_fadvise(file_fd, 0, 0, POSIX_FADV_DONTNEED);
	end = clock_now() + o->time_ms * 1000000ULL;
	clock_start(r);
	do {
		if (!turns(o, conns, nr, &next, r)) {
			r->stalls++;
			poll(NULL, 0, 1);
			drain_all(o, conns, 0, nr, nr, r);
		}
	} while (clock_now() < end);
	drain_all(o, conns, next + nr - window, window, nr, r);
	clock_stop(r);
	at[v] = next;
	for (i = 0; i < nr; i++)
		r->failed += conns[i].failed;
}
