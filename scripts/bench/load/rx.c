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

static int wire_open_file(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		die("%s: %s", path, strerror(errno));
	return fd;
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

static const char *wire_path(const struct options *o, enum variant v, const char *suffix)
{
	static char path[4096];

	snprintf(path, sizeof(path), "%s-%s-%x%s", o->wire,
		 v == PLAIN ? "plain" : cipher_name(o->cipher), v == PLAIN ? 0 : o->version, suffix);
	return path;
}

/* Both modules can read what either wrote: in-tree kTLS writes it, if it is there. */
int wire_open(const struct options *o, enum variant v)
{
	const char *path = wire_path(o, v, "");

	if (access(path, F_OK))
		wire_make(o, v, path);
	return wire_open_file(path);
}

/* Each packet's payload in a slot of its own. */
static void wire_spread(int wire, const char *path)
{
	int file = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0600);
	off_t from = 0, to = ITLS_BENCH_SLOT_AT;
	char payload[ITLS_BENCH_SLOT_LEN];
	ssize_t n;

	while ((n = pread(wire, payload, sizeof(payload), from)) > 0) {
		if (pwrite(file, payload, n, to) != n)
			die("%s: %s", path, strerror(errno));
		from += n;
		to += ITLS_BENCH_SLOT;
	}
	close(file);
}

/* The same bytes, but no page lies in memory behind the one before it: odd pages come last. */
static void wire_scatter(int wire, const char *path)
{
	int file = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0600);
	char page[4096];
	int odd;
	off_t at;
	ssize_t n;

	for (odd = 0; odd < 2; odd++) {
		at = odd * sizeof(page);
		while ((n = pread(wire, page, sizeof(page), at)) > 0) {
			if (pwrite(file, page, n, at) != n)
				die("%s: %s", path, strerror(errno));
			at += 2 * sizeof(page);
		}
	}
	close(file);
}

static int wire_open_other(const struct options *o, enum variant v, int wire, const char *suffix,
			   void (*make)(int wire, const char *path))
{
	const char *path = wire_path(o, v, suffix);

	if (access(path, F_OK))
		make(wire, path);
	close(wire);
	return wire_open_file(path);
}

/* ---- reading --------------------------------------------------------------- */

static void prepare(const struct options *o)
{
	if (buffer)
		return;
	buffer = buffer_make(o, o->size);
	to_fd = open(o->to, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (to_fd < 0)
		die("%s: %s", o->to, strerror(errno));
	if (pipe2(pipe_fd, O_CLOEXEC | O_NONBLOCK) || fcntl(pipe_fd[0], F_SETPIPE_SZ, 1 << 20) < 0)
		die("pipe: %s", strerror(errno));
}

/* ---- playing --------------------------------------------------------------- */

/* A piece of the stream into one end, and all that is there out of the other. */
static void add_visit(const struct player *p, struct conn *c, struct itls_bench_step *s)
{
	const struct options *o = p->o;
	size_t left = p->share - c->at;

	memset(s, 0, 2 * sizeof(*s));
	s[0].op = ITLS_BENCH_SENDFILE;
	s[0].fd = c->client;
	s[0].other = p->wire;
	s[0].len = left < o->burst ? left : o->burst;
	s[0].at = (uintptr_t)&c->at;
	s[0].flags = ITLS_BENCH_PRIVATE | (o->packets ? ITLS_BENCH_PACKETS : 0);
	s[1].op = o->op == OP_SPLICE ? ITLS_BENCH_SPLICE : ITLS_BENCH_RECV;
	s[1].fd = c->server;
	s[1].other = pipe_fd[1];
	s[1].out = pipe_fd[0];
	s[1].file = to_fd;
	s[1].data = (uintptr_t)buffer;
	s[1].len = o->size;
}

static size_t visit(struct player *p, unsigned int i)
{
	struct conn *c = &p->conns[i];
	struct itls_bench_step s[2];
	unsigned int first;

	add_visit(p, c, s);
	first = !s[0].len;
	steps_do(p->o, s + first, 2 - first);
	c->failed |= step_failed(&s[1]) || (!first && step_failed(&s[0]));
	p->got[i] += s[1].bytes;
	return s[0].bytes + s[1].bytes;
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

	*done = 0;
	for (i = 0; i < nr; i++) {
		if (!is_done(p, i))
			moved |= visit(p, i);
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
	if (o->packets)
		p.wire = wire_open_other(o, v, p.wire, "-packets", wire_spread);
	else if (o->scattered)
		p.wire = wire_open_other(o, v, p.wire, "-scattered", wire_scatter);
	do {
		pass(&p, v, nr, r);
	} while (!r->failed && r->wall_ns < o->time_ms * 1000000ULL);
	close(p.wire);
}
