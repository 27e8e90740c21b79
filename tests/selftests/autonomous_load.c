// SPDX-License-Identifier: GPL-2.0
/*
 * KeyUpdates by the thousand: floods of them, and both directions full of
 * data meanwhile, with every byte compared.
 */
#define _GNU_SOURCE
#define AUTONOMOUS_13_ONLY
#include "autonomous.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/sendfile.h>

/* Once in full; an emulated processor takes a minute for each ten thousand. */
static int many(const struct autonomous_data *self)
{
	return self->variant->way == WAY_LISTENER ? 10000 : 1000;
}

/* ---- floods ------------------------------------------------------------------------------ */

TEST_F_TIMEOUT(autonomous, flood_of_requests_has_one_answer, 120)
{
	answer_when_busy(self, many(self));
}

/* The peer asks and asks and reads nothing: what waits for it does not become more. */
TEST_F_TIMEOUT(autonomous, flood_while_the_peer_does_not_read, 60)
{
	int i, nr = many(self) / 5;

	autonomous_begin(self);
	for (i = 1; i <= nr; i++) {
		peer_send_update(&self->peer, UPDATE_REQUESTED);
		if (i % 50)
			continue;
		expect_nothing(self);
		ASSERT_LE(unsent(self), 2 * UPDATE_WIRE);
	}
	expect_talk(self);
	EXPECT_LT(0, self->peer.updates);
	EXPECT_LE(self->peer.updates, nr);
	EXPECT_EQ(0, self->peer.requests);
	expect_rekeys(self, self->peer.updates, nr);
}

/* More than a reader takes in at once: it is not lost sight of. */
TEST_F(autonomous, blocked_reader_in_a_flood)
{
	struct blocked b;
	int i;

	autonomous_begin(self);
	blocked_start(&b, self, 4);
	for (i = 0; i < 500; i++)
		peer_send_update(&self->peer, UPDATE_NOT_REQUESTED);
	peer_send(&self->peer, REC_DATA, "data", 4);
	blocked_join(&b, "data", 4);
	expect_rekeys(self, 0, 500);
}

/*
 * Alerts that change nothing, as many as a reader takes before others have a
 * turn, and then two records that it has room for.
 */
#define ALERTS	64
#define FIRST	10000
#define SECOND	12000
#define ROUNDS	40

struct onlooker {
	int fd;
	atomic_bool end;
};

static void *look_on(void *arg)
{
	struct onlooker *o = arg;
	int bytes;

	while (!o->end)
		ioctl(o->fd, FIONREAD, &bytes);
	return NULL;
}

static void *send_rounds(void *arg)
{
	struct autonomous_data *self = arg;
	uint8_t *data = alloc_pattern(ROUNDS * (FIRST + SECOND), 0), *at = data;
	int round, i;

	for (round = 0; round < ROUNDS; round++) {
		for (i = 0; i < ALERTS; i++)
			peer_alert(&self->peer, LEVEL_WARNING, ALERT_USER_CANCELED);
		peer_send(&self->peer, REC_DATA, at, FIRST);
		peer_send(&self->peer, REC_DATA, at + FIRST, SECOND);
		at += FIRST + SECOND;
	}
	free(data);
	return NULL;
}

/* Who has a turn takes a record off the queue: it stays before the next. */
TEST_F_TIMEOUT(autonomous, onlooker_in_a_flood, 60)
{
	size_t len = ROUNDS * (FIRST + SECOND), got = 0;
	uint8_t *want = alloc_pattern(len, 0), *buf = malloc(len);
	struct onlooker o = {};
	pthread_t looker, sender;
	ssize_t n;

	autonomous_begin(self);
	o.fd = self->fd;
	ASSERT_EQ(0, pthread_create(&looker, NULL, look_on, &o));
	ASSERT_EQ(0, pthread_create(&sender, NULL, send_rounds, self));
	while (got < len) {
		n = recv(self->fd, buf + got, len - got, 0);
		ASSERT_LT(0, n);
		got += n;
	}
	o.end = true;
	pthread_join(looker, NULL);
	pthread_join(sender, NULL);
	EXPECT_MEMEQ(want, buf, len);
	free(want);
	free(buf);
}

/* As a program reads that waits for edges: until EAGAIN, then for the next. */
TEST_F(autonomous, edges_in_a_flood)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET };
	int ep = epoll_create1(EPOLL_CLOEXEC), i, edges = 0;
	char buf[8];
	ssize_t n;

	autonomous_begin(self);
	sock_nonblock(self->fd, true);
	for (i = 0; i < 500; i++)
		peer_send_update(&self->peer, UPDATE_NOT_REQUESTED);
	peer_send(&self->peer, REC_DATA, "data", 4);
	arrived(self);
	ASSERT_EQ(0, epoll_ctl(ep, EPOLL_CTL_ADD, self->fd, &ev));
	do {
		ASSERT_EQ(1, epoll_wait(ep, &ev, 1, test_wait_ms()));
		edges++;
		n = recv(self->fd, buf, sizeof(buf), 0);
		ASSERT_TRUE(n == 4 || (n < 0 && errno == EAGAIN));
	} while (n < 0);
	printf("# %d edges\n", edges);
	EXPECT_MEMEQ("data", buf, 4);
	expect_rekeys(self, 0, 500);
	close(ep);
}

/* ---- while much is moving ---------------------------------------------------------------- */

/* One direction of the program's, in a thread of its own. */
struct flow {
	struct autonomous_data *self;
	void (*run)(struct flow *flow);
	size_t len, chunk;
	pthread_t thread;
};

static void *flow_run(void *arg)
{
	struct flow *flow = arg;

	flow->run(flow);
	return NULL;
}

static void by_send(struct flow *flow)
{
	uint8_t *data = alloc_pattern(flow->len, 0);
	size_t at, n;

	for (at = 0; at < flow->len; at += n) {
		n = flow->len - at < flow->chunk ? flow->len - at : flow->chunk;
		ASSERT_EQ((ssize_t)n, send(flow->self->fd, data + at, n, 0));
	}
	free(data);
}

static void by_sendfile(struct flow *flow)
{
	int file = file_pattern(flow->len);
	off_t at = 0;

	while (at < (off_t)flow->len)
		ASSERT_LT(0, sendfile(flow->self->fd, file, &at, flow->chunk));
	close(file);
}

static void by_splice_to(struct flow *flow)
{
	int file = file_pattern(flow->len), p[2];
	loff_t at = 0;
	ssize_t n, m;

	ASSERT_EQ(0, pipe(p));
	while (at < (loff_t)flow->len) {
		n = splice(file, &at, p[1], NULL, flow->chunk, 0);
		ASSERT_LT(0, n);
		for (; n; n -= m) {
			m = splice(p[0], NULL, flow->self->fd, NULL, n,
				   at < (loff_t)flow->len ? SPLICE_F_MORE : 0);
			ASSERT_LT(0, m);
		}
	}
	close(p[0]);
	close(p[1]);
	close(file);
}

static void by_recv(struct flow *flow)
{
	uint8_t *want = alloc_pattern(flow->len, 0), *got = malloc(flow->len + 1);
	size_t at = 0, room;
	ssize_t n;

	ASSERT_TRUE(got);
	while (at < flow->len) {
		room = flow->len - at < flow->chunk ? flow->len - at : flow->chunk;
		n = recv(flow->self->fd, got + at, room, 0);
		ASSERT_LT(0, n);
		at += n;
	}
	ASSERT_MEMEQ(want, got, flow->len);
	free(want);
	free(got);
}

static void by_splice_from(struct flow *flow)
{
	uint8_t *want = alloc_pattern(flow->len, 0), *got = malloc(flow->len + 1);
	size_t at = 0;
	int p[2];
	ssize_t n;

	ASSERT_TRUE(got);
	ASSERT_EQ(0, pipe(p));
	while (at < flow->len) {
		n = splice(flow->self->fd, NULL, p[1], NULL, flow->chunk, 0);
		ASSERT_LT(0, n);
		ASSERT_EQ(n, read(p[0], got + at, n));
		at += n;
	}
	ASSERT_MEMEQ(want, got, flow->len);
	close(p[0]);
	close(p[1]);
	free(want);
	free(got);
}

/* @updates times some bytes and a KeyUpdate, of which every other asks for one of ours. */
static void peer_sends(struct autonomous_data *self, int updates, size_t each)
{
	uint8_t *data = alloc_pattern(updates * each, 0);
	int i;

	for (i = 0; i < updates; i++) {
		peer_send(&self->peer, REC_DATA, data + i * each, each);
		peer_send_update(&self->peer, i & 1 ? UPDATE_REQUESTED : UPDATE_NOT_REQUESTED);
	}
	free(data);
}

static void flows(struct autonomous_data *self, struct flow out, struct flow in, int updates)
{
	struct peer_drain drain;

	out.self = self;
	in.self = self;
	peer_drain_start(&drain, &self->peer, out.len, 0);
	ASSERT_EQ(0, pthread_create(&out.thread, NULL, flow_run, &out));
	ASSERT_EQ(0, pthread_create(&in.thread, NULL, flow_run, &in));
	peer_sends(self, updates, in.len / updates);
	ASSERT_EQ(0, pthread_join(in.thread, NULL));
	ASSERT_EQ(0, pthread_join(out.thread, NULL));
	peer_drain_join(&drain);
	printf("# %u KeyUpdates out, %d in\n", self->peer.updates, updates);
	EXPECT_LT(0, self->peer.updates);
	/* The last one stands behind the data, and so may its answer. */
	expect_nothing(self);
	expect_talk(self);
	expect_rekeys(self, self->peer.rx.updates, updates);
}

TEST_F_TIMEOUT(autonomous, ten_thousand_updates, 180)
{
	int nr = many(self);

	self->rekey_records = 1;
	autonomous_begin(self);
	flows(self, (struct flow){ .run = by_send, .len = nr * 100, .chunk = 100 },
	      (struct flow){ .run = by_recv, .len = nr * 50, .chunk = 777 }, nr);
	EXPECT_LE(nr - 1, self->peer.updates);
}

TEST_F_TIMEOUT(autonomous, sendfile_and_updates, 60)
{
	self->rekey_records = 7;
	autonomous_begin(self);
	flows(self, (struct flow){ .run = by_sendfile, .len = 2 << 20, .chunk = 300000 },
	      (struct flow){ .run = by_recv, .len = 400000, .chunk = 30000 }, 200);
}

TEST_F_TIMEOUT(autonomous, splice_and_updates, 60)
{
	self->rekey_bytes = 50000;
	autonomous_begin(self);
	flows(self, (struct flow){ .run = by_splice_to, .len = 2 << 20, .chunk = 40000 },
	      (struct flow){ .run = by_splice_from, .len = 400000, .chunk = 30000 }, 200);
}
