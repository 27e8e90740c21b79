// SPDX-License-Identifier: GPL-2.0
/*
 * Receiving: a recorded stream is played to the socket by sendfile() on a plain
 * TCP socket, so that almost all the time goes into receiving it. A stream fits
 * only a socket whose key was just set, so each pass has connections of its
 * own; opening them is not measured.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include "load.h"

#define STREAM_LEN	(64 << 20)	/* plaintext */
#define RECORD		16384

struct player {
	const struct options *o;
	struct conn *conns;
	int wire;
	off_t share;		/* bytes of the stream that each connection gets */
	size_t want, *got;	/* plaintext of each */
};

static char *buffer;
static int pipe_fd[2] = { -1, -1 }, to_fd = -1;

/* ---- the stream ------------------------------------------------------------ */

static void wire_copy(struct conn *c, int file, char *piece, size_t room)
{
	ssize_t n;

	while ((n = recv(c->client, piece, room, MSG_DONTWAIT)) > 0)
		if (write(file, piece, n) != n)
			die("recording a stream: %s", strerror(errno));
}

static void wire_make(const struct options *o, enum variant v, const char *path)
{
	int file = open(path, O_CREAT | O_TRUNC | O_RDWR, 0600);
	struct conn *c = conns_open(1, false);
	char *piece = calloc(1, 1 << 20);
	size_t done;

	if (file < 0 || !piece)
		die("%s: %s", path, strerror(errno));
	conn_keys(o, v, c->server, true, false);
	for (done = 0; done < STREAM_LEN; done += RECORD) {
		memset(piece, done / RECORD, RECORD);
		if (send(c->server, piece, RECORD, 0) != RECORD)
			die("recording a stream: %s", strerror(errno));
		wire_copy(c, file, piece, 1 << 20);
	}
	wire_copy(c, file, piece, 1 << 20);
	free(piece);
	close(file);
	conns_close(c, 1);
}

/* Both modules can read what either wrote: in-tree kTLS writes it, if it is there. */
int wire_open(const struct options *o, enum variant v)
{
	char path[4096];
	int fd;

	snprintf(path, sizeof(path), "%s-%s-%x", o->wire,
		 v == PLAIN ? "plain" : cipher_name(o->cipher), v == PLAIN ? 0 : o->version);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		wire_make(o, v, path);
		fd = open(path, O_RDONLY | O_CLOEXEC);
	}
	if (fd < 0)
		die("%s: %s", path, strerror(errno));
	return fd;
}

/* ---- reading --------------------------------------------------------------- */

static void prepare(const struct options *o)
{
	if (buffer)
		return;
	buffer = malloc(o->size);
	to_fd = open(o->to, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (!buffer || to_fd < 0)
		die("%s: %s", o->to, strerror(errno));
	memset(buffer, 0, o->size);
	if (pipe2(pipe_fd, O_CLOEXEC | O_NONBLOCK) || fcntl(pipe_fd[0], F_SETPIPE_SZ, 1 << 20) < 0)
		die("pipe: %s", strerror(errno));
}

static void note_error(struct conn *c, ssize_t n)
{
	if (!n || errno != EAGAIN)
		c->failed = true;
}

static size_t read_copy(const struct options *o, struct conn *c)
{
	size_t done = 0;
	ssize_t n;

	do {
		n = recv(c->server, buffer, o->size, MSG_DONTWAIT);
		if (n <= 0) {
			note_error(c, n);
			break;
		}
		done += n;
	} while ((size_t)n == o->size);
	return done;
}

static void pipe_empty(size_t len)
{
	static loff_t at;
	loff_t *where = lseek(to_fd, 0, SEEK_END) < 0 ? NULL : &at;
	ssize_t n;

	if (at >= STREAM_LEN)
		at = 0;
	for (; len; len -= n) {
		n = splice(pipe_fd[0], NULL, to_fd, where, len, SPLICE_F_MOVE);
		if (n <= 0)
			die("splice from the pipe: %s", strerror(errno));
	}
}

/* The pipe is emptied when the socket is, or when it is full. */
static size_t read_splice(const struct options *o, struct conn *c)
{
	size_t done = 0, held = 0;
	ssize_t n;

	for (;;) {
		n = splice(c->server, NULL, pipe_fd[1], NULL, o->size,
			   SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
		if (n <= 0 && !held)
			break;
		if (n <= 0) {
			pipe_empty(held);
			held = 0;
			continue;
		}
		held += n;
		done += n;
	}
	note_error(c, n);
	return done;
}

/* ---- playing --------------------------------------------------------------- */

static size_t feed(struct player *p, struct conn *c)
{
	size_t left = p->share - c->at;
	ssize_t n;

	if (!left)
		return 0;
	n = sendfile(c->client, p->wire, &c->at, left < p->o->burst ? left : p->o->burst);
	if (n > 0)
		return n;
	note_error(c, n);
	return 0;
}

static bool is_done(const struct player *p, unsigned int i)
{
	return p->conns[i].failed || p->got[i] == p->want;
}

/* Every connection once; false when nothing moved. */
static bool play_round(struct player *p, unsigned int nr, unsigned int *done)
{
	bool moved = false;
	unsigned int i;
	size_t n;

	*done = 0;
	for (i = 0; i < nr; i++) {
		struct conn *c = &p->conns[i];

		if (!is_done(p, i)) {
			n = feed(p, c);
			moved |= n;
			n = p->o->op == OP_SPLICE ? read_splice(p->o, c) : read_copy(p->o, c);
			moved |= n;
			p->got[i] += n;
		}
		*done += is_done(p, i);
	}
	return moved;
}

static void play(struct player *p, unsigned int nr, struct result *r)
{
	unsigned int done = 0, i;

	clock_start(r);
	while (done < nr) {
		if (play_round(p, nr, &done) || done == nr)
			continue;
		r->stalls++;
		if (r->stalls > 10000)
			die("a stream stands still at %zu of %zu bytes", p->got[0], p->want);
		poll(NULL, 0, 1);
	}
	clock_stop(r);
	for (i = 0; i < nr; i++) {
		r->bytes += p->got[i];
		r->failed += p->conns[i].failed;
	}
}

static void pass(struct player *p, enum variant v, unsigned int nr, struct result *r)
{
	unsigned int i;

	p->conns = conns_open(nr, false);
	p->got = calloc(nr, sizeof(*p->got));
	for (i = 0; i < nr; i++) {
		conn_keys(p->o, v, p->conns[i].server, false, true);
		fcntl(p->conns[i].client, F_SETFL, O_NONBLOCK);
		/* tcp_splice_read() heeds only this, not the flag of splice(). */
		fcntl(p->conns[i].server, F_SETFL, O_NONBLOCK);
	}
	play(p, nr, r);
	conns_close(p->conns, nr);
	free(p->got);
}

/* Each connection gets whole records; all together one stream's worth. */
void rx_run(const struct options *o, enum variant v, unsigned int nr, struct result *r)
{
	struct player p = { .o = o, .wire = wire_open(o, v) };
	off_t records = STREAM_LEN / RECORD;

	prepare(o);
	p.share = lseek(p.wire, 0, SEEK_END) / records * (records / nr);
	p.want = (size_t)(records / nr) * RECORD;
	do {
		pass(&p, v, nr, r);
	} while (!r->failed && r->wall_ns < o->time_ms * 1000000ULL);
	close(p.wire);
}
