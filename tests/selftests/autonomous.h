/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The fixture of all tests of what the kernel does by itself between records.
 * self->fd is a socket that has become autonomous in one of three ways, the
 * variant's; self->peer is the record peer at the other end.
 *
 * The test may change limits and keys, then calls autonomous_begin().  A
 * program about what TLS 1.2 lacks defines AUTONOMOUS_13_ONLY.
 */
#ifndef SELFTEST_AUTONOMOUS_H
#define SELFTEST_AUTONOMOUS_H

#include <linux/sockios.h>
#include <pthread.h>
#include <sys/ioctl.h>

#include "agent.h"
#include "ends.h"
#include "stat.h"
#include "ulp.h"

/* How a socket becomes autonomous. */
enum way {
	WAY_LISTENER,	/* accepted from a marked listener, keys from the agent */
	WAY_CONNECT,	/* ITLS_CONNECT, keys from the agent */
	WAY_OPTION,	/* the kTLS ABI, and then ITLS_AUTONOMOUS */
};

FIXTURE_VARIANT(autonomous) {
	uint16_t version;
	uint16_t cipher;
	int family;
	enum way way;
	uint8_t role;
};

FIXTURE(autonomous) {
	const struct autonomous_variant *variant;
	int fd;
	int listener;
	struct agent agent;
	struct peer peer;
	union peer_info tx, rx;
	uint64_t rekey_records, rekey_bytes;	/* 0: the module's */
};

#define AUTONOMOUS_VARIANT(name, v, suite, f, w, r)			\
	FIXTURE_VARIANT_ADD(autonomous, name) {				\
		.version = TLS_1_##v##_VERSION, .cipher = TLS_CIPHER_##suite, \
		.family = f, .way = WAY_##w, .role = ITLS_ROLE_##r,	\
	}

AUTONOMOUS_VARIANT(tls13_128_listener, 3, AES_GCM_128, AF_INET, LISTENER, SERVER);
AUTONOMOUS_VARIANT(tls13_256_connect, 3, AES_GCM_256, AF_INET6, CONNECT, CLIENT);
AUTONOMOUS_VARIANT(tls13_256_option, 3, AES_GCM_256, AF_INET, OPTION, SERVER);
AUTONOMOUS_VARIANT(tls13_chacha_option, 3, CHACHA20_POLY1305, AF_INET6, OPTION, CLIENT);
#ifndef AUTONOMOUS_13_ONLY
AUTONOMOUS_VARIANT(tls12_256_listener, 2, AES_GCM_256, AF_INET6, LISTENER, SERVER);
AUTONOMOUS_VARIANT(tls12_128_connect, 2, AES_GCM_128, AF_INET, CONNECT, CLIENT);
AUTONOMOUS_VARIANT(tls12_128_option, 2, AES_GCM_128, AF_INET6, OPTION, SERVER);
AUTONOMOUS_VARIANT(tls12_chacha_option, 2, CHACHA20_POLY1305, AF_INET, OPTION, CLIENT);
#endif

static inline bool is_13(const struct autonomous_data *self)
{
	return self->variant->version == TLS_1_3_VERSION;
}

static inline bool is_client(const struct autonomous_data *self)
{
	return self->variant->role == ITLS_ROLE_CLIENT;
}

/* A kernel need not have every cipher. */
static inline void autonomous_require_cipher(const struct autonomous_data *self)
{
	int fd[2];

	sock_pair(AF_INET, fd);
	ulp_require(fd[0]);
	if (key_set(fd[0], TLS_TX, &self->tx)) {
		ASSERT_EQ(ENOENT, errno);
		SKIP("this kernel does not have the cipher");
	}
	close(fd[0]);
	close(fd[1]);
}

FIXTURE_SETUP(autonomous)
{
	self->variant = variant;
	self->fd = -1;
	self->listener = -1;
	self->peer.fd = -1;
	peer_info_make(&self->tx, variant->version, variant->cipher, 1, 0);
	peer_info_make(&self->rx, variant->version, variant->cipher, 2, 0);
	if (variant->cipher == TLS_CIPHER_CHACHA20_POLY1305)
		autonomous_require_cipher(self);
	agent_open(&self->agent);
}

FIXTURE_TEARDOWN(autonomous)
{
	if (self->fd >= 0)
		close(self->fd);
	if (self->peer.tx.aead)
		peer_free(&self->peer);
	if (self->listener >= 0)
		close(self->listener);
	agent_close(&self->agent);
	stat_wait_idle();
}

/* The agent's part of a handshake. */
static inline void autonomous_shake(struct autonomous_data *self)
{
	struct itls_nl_request req;
	struct itls_nl_done done;

	agent_accept(&self->agent, &req);
	EXPECT_EQ(self->variant->role, req.role);
	agent_done_init(&done, req.id, &self->tx, &self->rx);
	done.rekey_records = self->rekey_records;
	done.rekey_bytes = self->rekey_bytes;
	agent_finish(&self->agent, &req, &done);
}

static inline int begin_listener(struct autonomous_data *self)
{
	int fd;

	self->listener = sock_listen(self->variant->family);
	listener_require(self->listener);
	ASSERT_EQ(0, setsockopt(self->listener, SOL_TLS, ITLS_LISTEN, "server", 6));
	fd = sock_connect(self->listener);
	self->fd = sock_accept(self->listener);
	autonomous_shake(self);
	return fd;
}

static inline int begin_connect(struct autonomous_data *self)
{
	struct itls_connect c;
	int fd[2];

	sock_pair(self->variant->family, fd);
	self->fd = fd[0];
	ulp_require(self->fd);
	sock_nonblock(self->fd, true);
	connect_init(&c, "default", "server.test");
	ASSERT_ERRNO(EINPROGRESS, connect_set(self->fd, &c));
	autonomous_shake(self);
	ASSERT_NE(0, sock_poll(self->fd, POLLOUT, test_wait_ms()));
	ASSERT_EQ(0, sock_error(self->fd));
	sock_nonblock(self->fd, false);
	return fd[1];
}

static inline int begin_option(struct autonomous_data *self)
{
	struct itls_autonomous a;
	int fd[2];

	sock_pair(self->variant->family, fd);
	self->fd = fd[0];
	ulp_require(self->fd);
	ASSERT_EQ(0, key_set(self->fd, TLS_TX, &self->tx));
	ASSERT_EQ(0, key_set(self->fd, TLS_RX, &self->rx));
	autonomous_init(&a, self->variant->role, &self->tx, &self->rx);
	a.rekey_records = self->rekey_records;
	a.rekey_bytes = self->rekey_bytes;
	ASSERT_EQ(0, autonomous_set(self->fd, &a));
	return fd[1];
}

static inline void autonomous_begin(struct autonomous_data *self)
{
	static int (*const begin[])(struct autonomous_data *) = {
		[WAY_LISTENER] = begin_listener,
		[WAY_CONNECT] = begin_connect,
		[WAY_OPTION] = begin_option,
	};
	int fd = begin[self->variant->way](self);

	sock_set_int(self->fd, IPPROTO_TCP, TCP_NODELAY, 1);
	peer_init(&self->peer, fd, &self->tx, &self->rx);
	EXPECT_EQ(self->variant->role, info_get(self->fd).role);
}

/* ---- what the socket reads ------------------------------------------------------ */

/* Everything the peer sent has reached the socket. */
static inline void arrived(struct autonomous_data *self)
{
	sock_wait_received(self->fd, self->peer.sent);
}

static inline void expect_data(struct autonomous_data *self, const void *data, size_t len)
{
	recv_expect(self->fd, data, len);
}

static inline void expect_nothing(struct autonomous_data *self)
{
	arrived(self);
	expect_nothing_in(self->fd);
}

/* ---- what the peer reads -------------------------------------------------------- */

/* The next record is data, and this. */
static inline void expect_record(struct autonomous_data *self, const void *data, size_t len)
{
	static struct peer_record rec;

	ASSERT_EQ(1, peer_recv(&self->peer, &rec));
	ASSERT_EQ(REC_DATA, rec.type);
	ASSERT_EQ(len, rec.len);
	EXPECT_MEMEQ(data, rec.data, len);
}

/* The next record is a KeyUpdate that asks for so much. */
static inline void expect_update(struct autonomous_data *self, uint8_t request)
{
	EXPECT_EQ(request, peer_recv_update(&self->peer));
}

static inline void expect_silence(struct autonomous_data *self)
{
	peer_expect_silence(&self->peer, self->fd);
}

/* Both directions work, whatever their keys; a KeyUpdate that was due may come first. */
static inline void expect_talk(struct autonomous_data *self)
{
	talk_expect(self->fd, &self->peer);
}

/* The program writes until neither buffers nor windows have room; returns how much went. */
static inline size_t fill_up(struct autonomous_data *self, const uint8_t *data, size_t len)
{
	size_t sent = 0, n;

	sock_set_int(self->peer.fd, SOL_SOCKET, SO_RCVBUF, 60000);
	sock_set_int(self->fd, SOL_SOCKET, SO_SNDBUF, 60000);
	do {
		n = sock_fill(self->fd, data + sent, len - sent, 10000);
		sent += n;
		sock_wait_quiet(self->fd);
	} while (n);
	ASSERT_LT(sent, len);
	return sent;
}

/* Ended by a record that was wrong: want for the reader, this alert for the peer. */
static inline void expect_fatal(struct autonomous_data *self, int want, uint8_t alert)
{
	expect_over(self->fd, want);
	EXPECT_EQ(alert, info_get(self->fd).alert_tx);
	EXPECT_EQ(1, stat_get("TxAlert"));
	expect_alert(&self->peer, LEVEL_FATAL, alert);
	EXPECT_EQ(0, stat_get("TxCloseNotify"));
}

/* ---- threads that wait in the kernel ---------------------------------------------- */

struct blocked {
	struct autonomous_data *self;
	volatile pid_t tid;
	uint8_t buf[64];
	size_t want;
	ssize_t got;
	int err;
	pthread_t thread;
};

static inline void *blocked_run(void *arg)
{
	struct blocked *b = arg;

	b->tid = gettid();
	b->got = recv(b->self->fd, b->buf, b->want, MSG_WAITALL);
	b->err = errno;
	return NULL;
}

static inline void wait_asleep(const volatile pid_t *tid)
{
	int64_t end = sock_now_ms() + test_wait_ms();

	while (!*tid || !test_is_asleep(*tid)) {
		ASSERT_LT(sock_now_ms(), end);
		poll(NULL, 0, 1);
	}
}

/* A reader of want bytes, asleep. */
static inline void blocked_start(struct blocked *b, struct autonomous_data *self, size_t want)
{
	*b = (struct blocked){ .self = self, .want = want };
	ASSERT_EQ(0, pthread_create(&b->thread, NULL, blocked_run, b));
	wait_asleep(&b->tid);
}

static inline void blocked_join(struct blocked *b, const void *want, size_t len)
{
	ASSERT_EQ(0, pthread_join(b->thread, NULL));
	errno = b->err;
	ASSERT_EQ((ssize_t)len, b->got);
	EXPECT_MEMEQ(want, b->buf, len);
}

/* ---- what both have counted ------------------------------------------------------- */

struct listed {
	uint32_t id;
	int nr;
	struct itls_nl_session session;
};

static inline int listed_take(const struct itls_nl_session *s, void *arg)
{
	struct listed *l = arg;

	if (s->id != l->id)
		return 0;
	l->nr++;
	l->session = *s;
	return 0;
}

/* The session's entry in a dump. */
static inline struct itls_nl_session listed_get(struct agent *agent, int fd)
{
	struct listed l = { .id = info_get(fd).id };

	ASSERT_EQ(0, itls_nl_sessions(agent->nl, listed_take, &l));
	ASSERT_EQ(1, l.nr);
	return l.session;
}

static inline void expect_rekeys(struct autonomous_data *self, uint32_t tx, uint32_t rx)
{
	struct itls_info info = info_get(self->fd);

	EXPECT_EQ(tx, info.tx_rekeys);
	EXPECT_EQ(rx, info.rx_rekeys);
	EXPECT_EQ(tx, self->peer.rx.updates);
	EXPECT_EQ(rx, self->peer.tx.updates);
	EXPECT_EQ(tx, stat_get("TxRekey"));
	EXPECT_EQ(rx, stat_get("RxRekey"));
}

/* Sends @nr records of @len bytes; each @every ones are followed by another key, all but the last. */
static inline void expect_rhythm(struct autonomous_data *self, size_t len, int nr,
				 int every)
{
	uint8_t *data = alloc_pattern(len, 0);
	int i;

	for (i = 0; i < nr; i++)
		ASSERT_EQ((ssize_t)len, send(self->fd, data, len, 0));
	for (i = 0; i < nr; i++) {
		if (i && i % every == 0)
			expect_update(self, UPDATE_NOT_REQUESTED);
		expect_record(self, data, len);
	}
	expect_silence(self);
	expect_rekeys(self, (nr - 1) / every, 0);
	free(data);
}

/* Asks for another key of the socket's, as an administrator does. */
static inline void rekey(struct autonomous_data *self, bool ask_peer)
{
	ASSERT_EQ(0, itls_nl_rekey(self->agent.nl, info_get(self->fd).id, ask_peer));
}

/* ---- answers --------------------------------------------------------------------- */

#define LOTS	0x100000
/* What one KeyUpdate takes on the wire: header, message, type, tag. */
#define UPDATE_WIRE (REC_HEADER + UPDATE_LEN + 1 + 16)

static inline int unsent(struct autonomous_data *self)
{
	int n;

	ASSERT_EQ(0, ioctl(self->fd, SIOCOUTQ, &n));
	return n;
}

/* All of the stream up to len bytes; says where in it the last KeyUpdate stood. */
static inline size_t read_stream(struct autonomous_data *self, const uint8_t *want, size_t len)
{
	static struct peer_record rec;
	size_t got = 0, at = 0;

	while (got < len) {
		ASSERT_EQ(1, peer_recv(&self->peer, &rec));
		if (peer_follow(&self->peer, &rec)) {
			at = got;
			continue;
		}
		ASSERT_EQ(REC_DATA, rec.type);
		ASSERT_LE(rec.len, len - got);
		ASSERT_MEMEQ(want + got, rec.data, rec.len);
		got += rec.len;
	}
	return at;
}

/* What is under way must go first; then the answer, once, before the next record of data. */
static inline void answer_when_busy(struct autonomous_data *self, int requests)
{
	uint8_t *data = alloc_pattern(LOTS, 0);
	int before, i;
	size_t sent;

	autonomous_begin(self);
	sent = fill_up(self, data, LOTS);
	before = unsent(self);
	for (i = 0; i < requests; i++) {
		peer_send_update(&self->peer, UPDATE_REQUESTED);
		if (i % 100 == 0)
			expect_nothing(self);
	}
	expect_nothing(self);
	EXPECT_LE(unsent(self), before + UPDATE_WIRE);
	read_stream(self, data, sent);
	ASSERT_EQ(1000, send(self->fd, data + sent, 1000, 0));
	EXPECT_EQ(0, read_stream(self, data + sent, 1000));
	EXPECT_EQ(0, self->peer.requests);
	expect_rekeys(self, 1, requests);
	expect_talk(self);
	expect_rekeys(self, 1, requests);
	free(data);
}

#endif
