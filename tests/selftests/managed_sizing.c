// SPDX-License-Identifier: GPL-2.0
/*
 * How long the records are that a managed socket sends: one TCP segment at first
 * and after an idle time, then as much as all before, then 16 KiB; and what
 * switches that off.
 */
#define _GNU_SOURCE
#include "managed.h"

#include <pthread.h>
#include <sys/sendfile.h>

#define MANAGED_SIZING(name, v, c, f)						\
	FIXTURE_VARIANT_ADD(managed, name) {					\
		.version = TLS_1_##v##_VERSION, .cipher = TLS_CIPHER_##c, .family = f, \
	}
MANAGED_SIZING(tls12_128_v4, 2, AES_GCM_128, AF_INET);
MANAGED_SIZING(tls13_256_v6, 3, AES_GCM_256, AF_INET6);

#define MAXSEG		1460
/* After so long, and some more, a connection counts as idle. */
#define IDLE_MS		1000
#define LEN		120000

/* Connections of this listener have segments of no more than so much; returns the real length. */
static size_t establish_rekeying(struct managed_data *self, int maxseg, uint8_t sizing,
				 uint64_t rekey_records)
{
	struct itls_nl_request req;
	struct itls_nl_done done;
	socklen_t len = sizeof(maxseg);

	if (maxseg)
		sock_set_int(self->listener, IPPROTO_TCP, TCP_MAXSEG, maxseg);
	managed_pending(self);
	agent_accept(&self->agent, &req);
	agent_done_init(&done, req.id, &self->tx, &self->rx);
	done.record_sizing = sizing;
	done.rekey_records = rekey_records;
	agent_finish(&self->agent, &req, &done);
	ASSERT_EQ(0, getsockopt(self->server, IPPROTO_TCP, TCP_MAXSEG, &maxseg, &len));
	return maxseg;
}

static size_t establish(struct managed_data *self, int maxseg, uint8_t sizing)
{
	return establish_rekeying(self, maxseg, sizing, 0);
}

static size_t establish_latency(struct managed_data *self)
{
	size_t segment = establish(self, MAXSEG, ITLS_RECORD_SIZING_LATENCY);

	/* Else nothing would be seen of it. */
	ASSERT_LE(segment, MAXSEG);
	ASSERT_LE(1000, segment);
	return segment;
}

/* ---- who sends while the test reads ---------------------------------------------- */

struct sender {
	int fd, file;
	const uint8_t *data;
	size_t len, step;
	off_t off;
	pthread_t thread;
};

static void *sender_run(void *arg)
{
	struct sender *s = arg;
	size_t at, n;

	for (at = 0; s->file < 0 && at < s->len; at += n) {
		n = s->len - at < s->step ? s->len - at : s->step;
		ASSERT_EQ((ssize_t)n,
			  send(s->fd, s->data + at, n, at + n < s->len ? MSG_MORE : 0));
	}
	while (s->file >= 0 && s->off < (off_t)s->len)
		ASSERT_LT(0, sendfile(s->fd, s->file, &s->off, s->len - s->off));
	return NULL;
}

/* Sends len bytes in one call, or in many that have MSG_MORE. */
static void sender_start(struct sender *s, struct managed_data *self, const uint8_t *data,
			 size_t len, size_t step)
{
	*s = (struct sender){ .fd = self->server, .file = -1, .data = data, .len = len, .step = step };
	ASSERT_EQ(0, pthread_create(&s->thread, NULL, sender_run, s));
}

/* A file from an offset on, up to len. */
static void sender_start_file(struct sender *s, struct managed_data *self, int file, off_t off,
			      size_t len)
{
	*s = (struct sender){ .fd = self->server, .file = file, .off = off, .len = len };
	ASSERT_EQ(0, pthread_create(&s->thread, NULL, sender_run, s));
}

static void sender_join(struct sender *s)
{
	ASSERT_EQ(0, pthread_join(s->thread, NULL));
}

/* ---- what comes ------------------------------------------------------------------- */

/* The next record holds so much, and this; returns how much. */
static size_t expect_record(struct managed_data *self, const uint8_t *data, size_t len)
{
	static uint8_t got[REC_MAX];

	ASSERT_EQ(len, peer_recv_data(&self->client, got, sizeof(got)));
	EXPECT_MEMEQ(data, got, len);
	return len;
}

/* Full records and a rest, whatever is sent from them. */
static void expect_full(struct managed_data *self, const uint8_t *data, size_t len)
{
	for (; len > REC_MAX; data += REC_MAX, len -= REC_MAX)
		expect_record(self, data, REC_MAX);
	expect_record(self, data, len);
}

/* Records of any length; returns the longest. */
static size_t expect_any(struct managed_data *self, const uint8_t *data, size_t len)
{
	static uint8_t got[REC_MAX];
	size_t n, longest = 0;

	for (; len; data += n, len -= n) {
		n = peer_recv_data(&self->client, got, sizeof(got));
		ASSERT_LE(n, len);
		EXPECT_MEMEQ(data, got, n);
		longest = n > longest ? n : longest;
	}
	return longest;
}

/* Segments of the records that come first; the next would be full. */
static const unsigned int growth[] = { 1, 1, 2, 4, 8 };

/* Returns how much came. */
static size_t expect_growth(struct managed_data *self, const uint8_t *data, size_t segment)
{
	size_t overhead = peer_record_len(&self->client.rx, 0), at = 0, i;

	for (i = 0; i < sizeof(growth) / sizeof(*growth); i++)
		at += expect_record(self, data + at, growth[i] * segment - overhead);
	return at;
}

static void send_and_expect_growth(struct managed_data *self, const uint8_t *data, size_t segment,
				   size_t step)
{
	struct sender s;
	size_t n;

	sender_start(&s, self, data, LEN, step);
	n = expect_growth(self, data, segment);
	expect_full(self, data + n, LEN - n);
	sender_join(&s);
}

static void send_and_expect_full(struct managed_data *self, const uint8_t *data)
{
	struct sender s;

	sender_start(&s, self, data, LEN, LEN);
	expect_full(self, data, LEN);
	sender_join(&s);
}

static void idle(struct managed_data *self)
{
	sock_wait_acked(self->server);
	poll(NULL, 0, IDLE_MS + 100);
}

/* ---- growing ---------------------------------------------------------------------- */

TEST_F(managed, grow_from_a_segment)
{
	uint8_t *data = alloc_pattern(LEN, 0);
	size_t segment = establish_latency(self);

	send_and_expect_growth(self, data, segment, LEN);
	free(data);
}

TEST_F(managed, grow_by_small_sends)
{
	uint8_t *data = alloc_pattern(LEN, 0);
	size_t segment = establish_latency(self);

	send_and_expect_growth(self, data, segment, 777);
	free(data);
}

/* What nginx does: a header that waits for the file.  Behind what is short, pages stay together. */
TEST_F(managed, grow_by_sendfile)
{
	uint8_t *data = alloc_pattern(LEN, 0);
	size_t segment = establish_latency(self), n;
	int file = file_pattern(LEN);
	struct sender s;

	ASSERT_EQ(300, send(self->server, data, 300, MSG_MORE));
	sender_start_file(&s, self, file, 300, LEN);
	n = expect_growth(self, data, segment);
	EXPECT_EQ(REC_MAX, expect_any(self, data + n, LEN - n));
	sender_join(&s);
	close(file);
	free(data);
}

/* Records that end early count with what they have. */
TEST_F(managed, grow_with_what_was_sent)
{
	uint8_t *data = alloc_pattern(LEN, 0);
	size_t segment = establish_latency(self), overhead, n;
	struct sender s;

	overhead = peer_record_len(&self->client.rx, 0);
	ASSERT_EQ(10, send(self->server, data, 10, 0));
	n = expect_record(self, data, 10);
	sender_start(&s, self, data + n, LEN - n, LEN);
	n += expect_record(self, data + n, segment - overhead);
	n += expect_record(self, data + n, segment - overhead);
	n += expect_record(self, data + n, 2 * segment - overhead);
	expect_any(self, data + n, LEN - n);
	sender_join(&s);
	free(data);
}

/* A change of keys between them makes them no shorter. */
TEST_F(managed, grow_over_new_keys)
{
	uint8_t *data = alloc_pattern(LEN, 0);
	size_t segment;

	if (variant->version != TLS_1_3_VERSION)
		return;
	segment = establish_rekeying(self, MAXSEG, ITLS_RECORD_SIZING_LATENCY, 2);
	send_and_expect_growth(self, data, segment, LEN);
	EXPECT_LE(3, self->client.rx.updates);
	free(data);
}

/* Few bytes of a segment would be left of a record. */
TEST_F(managed, tiny_segments)
{
	uint8_t *data = alloc_pattern(LEN, 0);
	struct sender s;
	size_t n;

	EXPECT_LE(establish(self, 100, ITLS_RECORD_SIZING_LATENCY), 100);
	sender_start(&s, self, data, LEN, LEN);
	n = expect_record(self, data, 512 - peer_record_len(&self->client.rx, 0));
	EXPECT_EQ(REC_MAX, expect_any(self, data + n, LEN - n));
	sender_join(&s);
	free(data);
}

/* Those of the loopback hold more than a record. */
TEST_F(managed, huge_segments)
{
	uint8_t *data = alloc_pattern(LEN, 0);

	EXPECT_LE(2 * REC_MAX, establish(self, 0, ITLS_RECORD_SIZING_LATENCY));
	send_and_expect_full(self, data);
	free(data);
}

/* ---- idle times ------------------------------------------------------------------- */

TEST_F(managed, again_after_idle)
{
	uint8_t *data = alloc_pattern(LEN, 0);
	size_t segment = establish_latency(self);

	send_and_expect_growth(self, data, segment, LEN);
	idle(self);
	send_and_expect_growth(self, data, segment, LEN);
	free(data);
}

/* A machine may stop for as long as makes a connection idle: then again. */
TEST_F(managed, not_without_idle)
{
	uint8_t *data = alloc_pattern(LEN, 0);
	size_t segment = establish_latency(self);
	int64_t start, took;

	do {
		idle(self);
		send_and_expect_growth(self, data, segment, LEN);
		start = sock_now_ms();
		ASSERT_EQ(REC_MAX, send(self->server, data, REC_MAX, 0));
		took = sock_now_ms() - start;
		if (took >= IDLE_MS)
			expect_any(self, data, REC_MAX);
	} while (took >= IDLE_MS);
	expect_full(self, data, REC_MAX);
	free(data);
}

/* While the peer does not read, what was accepted waits: the connection is not idle. */
TEST_F(managed, waiting_is_not_idle)
{
	uint8_t *data = alloc_pattern(4 << 20, 0);
	size_t sent;

	establish_latency(self);
	sock_set_int(self->client.fd, SOL_SOCKET, SO_RCVBUF, 60000);
	sock_set_int(self->server, SOL_SOCKET, SO_SNDBUF, 60000);
	sent = sock_fill(self->server, data, 4 << 20, 50000);
	EXPECT_LE(2 * REC_MAX, sent);
	sock_wait_quiet(self->server);
	poll(NULL, 0, IDLE_MS + 100);
	sock_set_int(self->server, SOL_SOCKET, SO_SNDBUF, 1000000);
	ASSERT_EQ(REC_MAX, send(self->server, data, REC_MAX, MSG_DONTWAIT));
	expect_any(self, data, sent);
	expect_full(self, data, REC_MAX);
	free(data);
}

/* A record that was begun before keeps its length, and others follow it. */
TEST_F(managed, idle_within_a_record)
{
	uint8_t *data = alloc_pattern(LEN, 0);
	size_t segment = establish_latency(self);
	struct sender s;

	send_and_expect_growth(self, data, segment, LEN);
	ASSERT_EQ(100, send(self->server, data, 100, MSG_MORE));
	idle(self);
	sender_start(&s, self, data + 100, LEN - 100, LEN);
	expect_full(self, data, LEN);
	sender_join(&s);
	free(data);
}

/* ---- switched off ------------------------------------------------------------------ */

TEST_F(managed, throughput)
{
	uint8_t *data = alloc_pattern(LEN, 0);

	ASSERT_LE(establish(self, MAXSEG, ITLS_RECORD_SIZING_THROUGHPUT), MAXSEG);
	send_and_expect_full(self, data);
	idle(self);
	send_and_expect_full(self, data);
	free(data);
}

static int set_payload(int fd, uint16_t max)
{
	return setsockopt(fd, SOL_TLS, ITLS_TX_MAX_PAYLOAD_LEN, &max, sizeof(max));
}

static void expect_payload(int fd, uint16_t want)
{
	uint16_t max = 0;
	socklen_t len = sizeof(max);

	EXPECT_EQ(0, getsockopt(fd, SOL_TLS, ITLS_TX_MAX_PAYLOAD_LEN, &max, &len));
	EXPECT_EQ(want, max);
}

/* As long as it was asked for, even when that is what full records have anyway. */
TEST_F(managed, fixed_length)
{
	uint8_t *data = alloc_pattern(LEN, 0);

	establish_latency(self);
	expect_payload(self->server, REC_MAX);
	ASSERT_EQ(0, set_payload(self->server, REC_MAX));
	expect_payload(self->server, REC_MAX);
	send_and_expect_full(self, data);
	ASSERT_EQ(0, set_payload(self->server, 8000));
	expect_payload(self->server, 8000);
	idle(self);
	ASSERT_EQ(9000, send(self->server, data, 9000, 0));
	expect_record(self, data, 8000);
	expect_record(self, data + 8000, 1000);
	free(data);
}

TEST_F(managed, fixed_length_in_time)
{
	uint8_t *data = alloc_pattern(LEN, 0);

	sock_set_int(self->listener, IPPROTO_TCP, TCP_MAXSEG, MAXSEG);
	managed_pending(self);
	ASSERT_EQ(0, set_payload(self->server, REC_MAX));
	agent_establish(&self->agent, &self->tx, &self->rx);
	send_and_expect_full(self, data);
	free(data);
}

/* While a record is open the option is refused, and changes nothing. */
TEST_F(managed, fixed_length_too_late)
{
	uint8_t *data = alloc_pattern(LEN, 0);
	size_t segment = establish_latency(self), n;
	struct sender s;

	ASSERT_EQ(1, send(self->server, data, 1, MSG_MORE));
	EXPECT_ERRNO(EBUSY, set_payload(self->server, REC_MAX));
	sender_start(&s, self, data + 1, LEN - 1, LEN);
	n = expect_growth(self, data, segment);
	expect_full(self, data + n, LEN - n);
	sender_join(&s);
	free(data);
}

/* Nobody who brings the keys asked for it, be the socket autonomous then or not. */
TEST_F(managed, not_under_the_ktls_interface)
{
	uint8_t *data = alloc_pattern(LEN, 0);
	int listener = sock_listen(variant->family);
	struct itls_autonomous a;

	sock_set_int(listener, IPPROTO_TCP, TCP_MAXSEG, MAXSEG);
	peer_init(&self->client, sock_connect(listener), &self->tx, &self->rx);
	self->server = sock_accept(listener);
	ulp_require(self->server);
	ASSERT_EQ(0, key_set(self->server, TLS_TX, &self->tx));
	ASSERT_EQ(0, key_set(self->server, TLS_RX, &self->rx));
	send_and_expect_full(self, data);
	autonomous_init(&a, ITLS_ROLE_SERVER, &self->tx, &self->rx);
	ASSERT_EQ(0, autonomous_set(self->server, &a));
	idle(self);
	send_and_expect_full(self, data);
	close(listener);
	free(data);
}
