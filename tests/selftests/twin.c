// SPDX-License-Identifier: GPL-2.0
/* Pairs of sockets that behave alike; see twin.h. */
#define _GNU_SOURCE
#include "twin.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>

#include "agent.h"
#include "harness.h"
#include "sock.h"
#include "ulp.h"

#define ALERT_CLOSE_NOTIFY 0
#define LEVEL_WARNING 1

static void open_plain(struct twin *t)
{
	int fd[2];

	sock_pair(AF_INET, fd);
	t->fd = fd[0];
	t->peer.fd = fd[1];
}

static void open_ktls(struct twin *t, const union peer_info *tx, const union peer_info *rx)
{
	int fd[2];

	sock_pair(AF_INET, fd);
	t->fd = fd[0];
	ulp_require(t->fd);
	ASSERT_EQ(0, key_set(t->fd, TLS_TX, tx));
	ASSERT_EQ(0, key_set(t->fd, TLS_RX, rx));
	peer_init(&t->peer, fd[1], tx, rx);
}

/* Neither listener nor agent is needed once the session stands. */
static void open_managed(struct twin *t, const union peer_info *tx, const union peer_info *rx)
{
	int listener = sock_listen(AF_INET);
	struct agent agent;

	agent_open(&agent);
	listener_require(listener);
	ASSERT_EQ(0, setsockopt(listener, SOL_TLS, ITLS_LISTEN, "manners", 7));
	peer_init(&t->peer, sock_connect(listener), tx, rx);
	t->fd = sock_accept(listener);
	sock_set_int(t->fd, IPPROTO_TCP, TCP_NODELAY, 1);
	agent_establish(&agent, tx, rx);
	agent_close(&agent);
	close(listener);
}

void twin_open(struct twin *t, enum twin_kind kind, uint16_t version, uint16_t cipher)
{
	union peer_info tx, rx;

	*t = (struct twin){ .kind = kind, .fd = -1, .peer.fd = -1 };
	if (kind == TWIN_PLAIN) {
		open_plain(t);
		return;
	}
	peer_info_make(&tx, version, cipher, 1, 5);
	peer_info_make(&rx, version, cipher, 2, 9);
	if (kind == TWIN_KTLS)
		open_ktls(t, &tx, &rx);
	else
		open_managed(t, &tx, &rx);
}

void twin_free(struct twin *t)
{
	if (t->fd >= 0)
		close(t->fd);
	t->fd = -1;
	peer_free(&t->peer);
	trace_free(&t->trace);
}

void twin_close(struct twin *t)
{
	CALL(close(t->fd));
	t->fd = -1;
}

/* ---- what the peer sends ------------------------------------------------------ */

void twin_send(struct twin *t, const void *data, size_t len, size_t chunk)
{
	const uint8_t *p = data;
	size_t n;

	if (t->kind != TWIN_PLAIN) {
		peer_send_data(&t->peer, data, len, chunk);
		return;
	}
	for (; len; p += n, len -= n) {
		n = len < chunk ? len : chunk;
		peer_send_raw(&t->peer, p, n);
	}
}

void twin_arrived(struct twin *t)
{
	sock_wait_received(t->fd, t->peer.sent);
}

void twin_give(struct twin *t, const char *text)
{
	twin_send(t, text, strlen(text), REC_MAX);
	twin_arrived(t);
}

void twin_shut(struct twin *t)
{
	if (t->kind == TWIN_MANAGED)
		peer_alert(&t->peer, LEVEL_WARNING, ALERT_CLOSE_NOTIFY);
	ASSERT_EQ(0, shutdown(t->peer.fd, SHUT_WR));
	twin_wait(t, POLLRDHUP, 0);
}

void twin_reset(struct twin *t)
{
	sock_reset(t->peer.fd);
	t->peer.fd = -1;
	twin_wait(t, POLLHUP, 0);
}

/* ---- what the peer does not read --------------------------------------------------- */

size_t twin_fill(struct twin *t, const void *data)
{
	size_t sent = 0, n;

	sock_set_int(t->peer.fd, SOL_SOCKET, SO_RCVBUF, 60000);
	sock_set_int(t->fd, SOL_SOCKET, SO_SNDBUF, 60000);
	do {
		n = sock_fill(t->fd, (const uint8_t *)data + sent, TWIN_LOTS - sent, 10000);
		sent += n;
		sock_wait_quiet(t->fd);
	} while (n);
	NOTE("filled up: %d", sent > 0 && sent < TWIN_LOTS);
	return sent;
}

/* ---- what the peer reads -------------------------------------------------------- */

void twin_take(struct twin *t, void *out, size_t len)
{
	if (t->kind == TWIN_PLAIN)
		sock_recv_all(t->peer.fd, out, len);
	else
		peer_recv_all(&t->peer, out, len);
}

struct take {
	struct twin *t;
	size_t len;
};

static void *take_run(void *arg)
{
	struct take *take = arg;
	uint8_t *want = alloc_pattern(take->len, 0), *got = malloc(take->len + 1);

	ASSERT_TRUE(got);
	twin_take(take->t, got, take->len);
	ASSERT_MEMEQ(want, got, take->len);
	free(want);
	free(got);
	free(take);
	return NULL;
}

void twin_take_later(struct twin *t, size_t len)
{
	struct take *take = malloc(sizeof(*take));

	ASSERT_TRUE(take);
	*take = (struct take){ t, len };
	ASSERT_EQ(0, pthread_create(&t->later, NULL, take_run, take));
}

bool twin_is_silent(const struct twin *t)
{
	int n;

	ASSERT_EQ(0, ioctl(t->peer.fd, FIONREAD, &n));
	return !n;
}

static enum twin_end read_raw(int fd, uint8_t *raw, size_t size, size_t *len)
{
	ssize_t n;

	for (*len = 0;;) {
		ASSERT_NE(0, sock_poll(fd, POLLIN, test_wait_ms()));
		n = recv(fd, raw + *len, size - *len, MSG_DONTWAIT);
		if (n == 0)
			return TWIN_EOF;
		if (n < 0 && errno == ECONNRESET)
			return TWIN_RESET;
		ASSERT_TRUE(n > 0 || errno == EAGAIN);
		*len += n > 0 ? n : 0;
		ASSERT_LT(*len, size);
	}
}

/* Opens the whole records in raw; returns the plaintext's length, *rest is what is left over. */
static size_t open_records(struct twin *t, const uint8_t *raw, size_t len, uint8_t *out,
			   bool *notified, size_t *rest)
{
	size_t total, got = 0;
	uint8_t type;
	ssize_t n;

	for (; len >= REC_HEADER; raw += total, len -= total) {
		total = REC_HEADER + (raw[3] << 8 | raw[4]);
		if (len < total)
			break;
		ASSERT_FALSE(*notified);
		n = peer_open(&t->peer.rx, raw, total, &type, out + got);
		ASSERT_LE(0, n);
		*notified = type == REC_ALERT && n == 2 && out[got + 1] == ALERT_CLOSE_NOTIFY;
		if (*notified)
			continue;
		ASSERT_EQ(REC_DATA, type);
		got += n;
	}
	*rest = len;
	return got;
}

enum twin_end twin_take_all(struct twin *t, void *out, size_t size, size_t *len)
{
	size_t raw_size = size * 2 + REC_SPACE, raw_len, rest;
	uint8_t *raw = malloc(raw_size), *plain = malloc(raw_size);
	bool notified = false;
	enum twin_end end;

	ASSERT_TRUE(raw && plain);
	end = read_raw(t->peer.fd, raw, raw_size, &raw_len);
	if (t->kind == TWIN_PLAIN) {
		memcpy(plain, raw, raw_len);
		*len = raw_len;
	} else {
		*len = open_records(t, raw, raw_len, plain, &notified, &rest);
		/* An end of file inside a record. */
		if (end == TWIN_EOF && rest)
			end = TWIN_CUT;
	}
	if (end == TWIN_EOF && t->kind == TWIN_MANAGED && !notified)
		end = TWIN_CUT;
	ASSERT_LE(*len, size);
	memcpy(out, plain, *len);
	free(plain);
	free(raw);
	return end;
}

const char *twin_end_name(enum twin_end end)
{
	static const char *const names[] = { "end of file", "reset", "cut off" };

	return names[end];
}

void twin_note_end(struct twin *t)
{
	uint8_t buf[1000];
	enum twin_end end;
	size_t len;

	end = twin_take_all(t, buf, sizeof(buf), &len);
	trace_bytes(&t->trace, "peer reads to the end", buf, len);
	NOTE("peer sees: %s", twin_end_name(end));
}

void twin_note_reset(struct twin *t)
{
	uint8_t buf[1000];
	enum twin_end end;
	size_t len;

	end = twin_take_all(t, buf, sizeof(buf), &len);
	if (t->kind == TWIN_KTLS && end == TWIN_EOF)
		end = TWIN_RESET;
	NOTE("peer sees: %s", twin_end_name(end));
}

/* ---- waiting ---------------------------------------------------------------------- */

int twin_wait(struct twin *t, int events, int more)
{
	int64_t end = sock_now_ms() + test_wait_ms();
	int seen;

	for (;;) {
		seen = sock_poll(t->fd, events | more, 0);
		if ((seen & events) == events)
			return seen;
		ASSERT_LT(sock_now_ms(), end);
		/* What is ready already would end a longer poll at once. */
		poll(NULL, 0, 1);
	}
}

void twin_wait_asleep(struct twin *t)
{
	int64_t end = sock_now_ms() + test_wait_ms();

	while (!test_is_asleep(t->tid)) {
		ASSERT_LT(sock_now_ms(), end);
		poll(NULL, 0, 1);
	}
}

static void *later_run(void *arg)
{
	struct twin *t = arg;

	twin_wait_asleep(t);
	t->act(t);
	return NULL;
}

void twin_later(struct twin *t, void (*act)(struct twin *t))
{
	t->tid = gettid();
	t->act = act;
	ASSERT_EQ(0, pthread_create(&t->later, NULL, later_run, t));
}

void twin_later_join(struct twin *t)
{
	ASSERT_EQ(0, pthread_join(t->later, NULL));
}

void twin_note_took(struct twin *t, int64_t start, int ms)
{
	int64_t took = sock_now_ms() - start;

	/* Timers count ticks, which a busy machine counts late: then a timer ends early. */
	NOTE("took its %d ms: %s", ms,
	     took < ms / 2 ? "no, less" : took > ms + test_wait_ms() ? "no, more" : "yes");
}
