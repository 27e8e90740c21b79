// SPDX-License-Identifier: GPL-2.0
/*
 * Managed sockets without order: clients that come, talk in clear or in
 * records, and vanish; agents that finish, fail, forget, or go; a server of
 * which several threads use each connection; a mark that comes and goes.
 *
 * What must hold: no byte in clear passes, either way; each request is
 * completed exactly once; nothing is left.
 */
#define _GNU_SOURCE
#include "agent.h"
#include "chaos.h"
#include "stat.h"

#include <fcntl.h>
#include <poll.h>

#define PROFILE		"test-profile"
#define SLOTS		4
#define CLIENTS		6
#define HELD		4
/* Calls for each connection. */
#define SERVED		12
/* Short, so that deadlines meet what the agents do. */
#define DEADLINE_MS	300
/* What each party's every byte is: the server's, a client's in records, one's in clear. */
#define SERVER_BYTE	'P'
#define RECORD_BYTE	'S'
#define CLEAR_BYTE	'C'
#define AGENT_BYTE	'H'
/* So many in a row are no chance of the ciphertext's. */
#define RUN		16

FIXTURE(arena) {
	struct stress stress;
	int listener;
	struct chaos_slot slot[SLOTS];
	union peer_info tx, rx;
	long established;
};

FIXTURE_VARIANT(arena) {
	uint16_t version;
	uint16_t cipher;
	int family;
};

FIXTURE_VARIANT_ADD(arena, tls12) {
	.version = TLS_1_2_VERSION, .cipher = TLS_CIPHER_AES_GCM_256, .family = AF_INET,
};

FIXTURE_VARIANT_ADD(arena, tls13) {
	.version = TLS_1_3_VERSION, .cipher = TLS_CIPHER_AES_GCM_128, .family = AF_INET6,
};

static int mark(int listener, const char *profile)
{
	return setsockopt(listener, SOL_TLS, ITLS_LISTEN, profile, strlen(profile));
}

FIXTURE_SETUP(arena)
{
	int i;

	stat_param_set("handshake_timeout_ms", DEADLINE_MS);
	peer_info_make(&self->tx, variant->version, variant->cipher, 1, 0);
	peer_info_make(&self->rx, variant->version, variant->cipher, 2, 0);
	self->listener = sock_listen(variant->family);
	sock_nonblock(self->listener, true);
	listener_require(self->listener);
	ASSERT_EQ(0, mark(self->listener, PROFILE));
	for (i = 0; i < SLOTS; i++) {
		self->slot[i] = (struct chaos_slot){ .fd = -1, .tx = &self->tx, .rx = &self->rx };
		/* Until a connection takes its place. */
		chaos_put(&self->slot[i], socket(variant->family, SOCK_STREAM | SOCK_CLOEXEC, 0));
	}
}

FIXTURE_TEARDOWN(arena)
{
}

static void pause_up_to(int ms)
{
	poll(NULL, 0, stress_below(ms));
}

static bool has_run(const uint8_t *buf, size_t len, uint8_t byte)
{
	size_t i, n = 0;

	for (i = 0; i < len && n < RUN; i++)
		n = buf[i] == byte ? n + 1 : 0;
	return n == RUN;
}

/* ---- the server ---------------------------------------------------------------------- */

/* All a server of marked connections may see is what came in records. */
static void only_records(const uint8_t *buf, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++) {
		if (buf[i] == RECORD_BYTE)
			continue;
		test_fail(__FILE__, __LINE__, "the server read a byte %#x in clear", buf[i]);
		test_abort();
	}
}

static void serve(struct arena_data *self, void (*seen)(const uint8_t *buf, size_t len))
{
	struct chaos c;
	int fd;

	chaos_open(&c, self->slot, SLOTS, SERVER_BYTE);
	c.seen = seen;
	while (stress_goes_on(&self->stress)) {
		if (!chaos_any(&c))
			break;
		if (!stress_one_in(SERVED))
			continue;
		stress_doing("accept");
		fd = accept4(self->listener, NULL, NULL, SOCK_CLOEXEC);
		if (!stress_check("accept", fd, ERRNOS(EAGAIN, ECONNABORTED)))
			break;
		if (fd >= 0)
			chaos_put(&self->slot[stress_below(SLOTS)], fd);
	}
	chaos_close(&c);
}

static void server(void *arg)
{
	serve(arg, only_records);
}

static void server_of_some_plain(void *arg)
{
	serve(arg, NULL);
}

static void marker(void *arg)
{
	struct arena_data *self = arg;

	while (stress_goes_on(&self->stress)) {
		stress_doing("mark");
		stress_check("mark", mark(self->listener, stress_one_in(2) ? PROFILE : ""),
			     ERRNOS());
		pause_up_to(20);
	}
}

/* ---- the clients ----------------------------------------------------------------------- */

struct client {
	int fd;
	bool keyed;
	union peer_info tx, rx;	/* the present keys */
};

/* As a client that has done its handshake, or thinks so, or never heard of it. */
static void client_connect(const struct arena_data *self, struct client *c)
{
	struct sockaddr_storage to;
	socklen_t len = sizeof(to);
	int fd;

	ASSERT_EQ(0, getsockname(self->listener, (void *)&to, &len));
	fd = socket(to.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ASSERT_LE(0, fd);
	/* With a full queue a connection takes TCP's seconds. */
	sock_nonblock(fd, true);
	if (connect(fd, (void *)&to, len) && errno == EINPROGRESS)
		sock_poll(fd, POLLOUT, CHAOS_WAIT_MS);
	*c = (struct client){ .fd = fd, .tx = self->rx, .rx = self->tx };
	c->keyed = stress_one_in(2) && !ulp_attach(fd) && !key_set(fd, TLS_TX, &c->tx);
	if (c->keyed && key_set(fd, TLS_RX, &c->rx))
		EXPECT_TRUE(stress_injects() || errno == ENOTCONN);
}

/* The client's side of KeyUpdate, with a key that the program sets. */
static void client_update(struct client *c)
{
	const uint8_t message[UPDATE_LEN] = { 24, 0, 0, 1, stress_below(2) };

	if (!c->keyed || !peer_secret_len(&c->tx) ||
	    send_typed(c->fd, message, sizeof(message), REC_HANDSHAKE, MSG_DONTWAIT) !=
	    sizeof(message))
		return;
	peer_info_update(&c->tx);
	if (key_set(c->fd, TLS_TX, &c->tx))
		EXPECT_TRUE(stress_injects() || errno == ENOTCONN || errno == EPIPE);
}

static bool client_got_update(const struct client *c, const uint8_t *buf, ssize_t n, uint8_t type)
{
	return c->keyed && type == REC_HANDSHAKE && n == UPDATE_LEN && buf[0] == 24 &&
	       peer_secret_len(&c->rx);
}

/* EKEYEXPIRED: the new key could not be set, for want of memory. */
#define CLIENT_ERRNOS	ERRNOS(EAGAIN, EIO, ECONNRESET, EPIPE, ENOTCONN, EBADMSG, EMSGSIZE, \
			       EINVAL, EPROTO, EINPROGRESS, EKEYEXPIRED)

/* The wire carries ciphertext, and what the agent says; never the server's own bytes. */
static void client_read(struct client *c, bool always_marked)
{
	uint8_t buf[4096], type;
	ssize_t n = recv_typed(c->fd, buf, sizeof(buf), &type, MSG_DONTWAIT);

	stress_check("client's recv", n, CLIENT_ERRNOS);
	if (client_got_update(c, buf, n, type)) {
		peer_info_update(&c->rx);
		key_set(c->fd, TLS_RX, &c->rx);
	}
	if (n > 0 && !c->keyed && always_marked && has_run(buf, n, SERVER_BYTE))
		test_fail(__FILE__, __LINE__, "the server's bytes came in clear");
}

static void client_step(struct client *c, bool always_marked)
{
	uint8_t buf[4096];

	if (stress_one_in(8))
		client_update(c);
	if (stress_one_in(2)) {
		client_read(c, always_marked);
		return;
	}
	memset(buf, c->keyed ? RECORD_BYTE : CLEAR_BYTE, sizeof(buf));
	stress_check("client's send", send(c->fd, buf, stress_size(sizeof(buf)),
					   MSG_DONTWAIT | MSG_NOSIGNAL), CLIENT_ERRNOS);
}

static void client_close(int fd)
{
	if (stress_one_in(3))
		shutdown(fd, stress_below(3));
	if (stress_one_in(3))
		sock_reset(fd);
	else
		close(fd);
}

static void clients(struct arena_data *self, bool always_marked)
{
	struct client client[CLIENTS], *c;

	for (c = client; c < client + CLIENTS; c++)
		c->fd = -1;
	while (stress_goes_on(&self->stress)) {
		c = &client[stress_below(CLIENTS)];
		stress_doing("client");
		if (c->fd < 0) {
			client_connect(self, c);
		} else if (stress_one_in(12)) {
			client_close(c->fd);
			c->fd = -1;
		} else {
			client_step(c, always_marked);
		}
	}
	for (c = client; c < client + CLIENTS; c++)
		if (c->fd >= 0)
			client_close(c->fd);
}

static void client_of_marked(void *arg)
{
	clients(arg, true);
}

static void client_of_some_plain(void *arg)
{
	clients(arg, false);
}

/* ---- the agents --------------------------------------------------------------------------- */

struct held {
	struct agent agent;
	struct itls_nl_request req[HELD];
	int nr;
};

static void drop(struct held *h, int i)
{
	close(h->req[i].fd);
	h->req[i] = h->req[--h->nr];
}

/* What -1 and errno are to stress_check(). */
static intmax_t result(int err)
{
	if (err >= 0)
		return err;
	errno = -err;
	return -1;
}

static void take(struct held *h)
{
	int err;

	stress_doing("ACCEPT");
	itls_nl_drain(h->agent.nl);
	err = itls_nl_accept(h->agent.nl, &h->req[h->nr]);
	stress_check("ACCEPT", result(err), ERRNOS(EAGAIN));
	if (!err)
		h->nr++;
	else if (!h->nr)
		sock_poll(itls_nl_fd(h->agent.nl), POLLIN, CHAOS_WAIT_MS);
}

static void talk(int fd)
{
	uint8_t buf[512];
	struct pollfd pfd = { .fd = fd, .events = POLLIN | POLLOUT };

	stress_doing("channel");
	memset(buf, AGENT_BYTE, sizeof(buf));
	ASSERT_LE(0, poll(&pfd, 1, stress_below(3)));
	if (stress_one_in(2))
		stress_check("channel's read", read(fd, buf, stress_size(sizeof(buf))),
			     ERRNOS(EAGAIN, ECONNABORTED, ECONNRESET, EPIPE));
	else
		stress_check("channel's write", write(fd, buf, stress_size(sizeof(buf))),
			     ERRNOS(EAGAIN, ECONNABORTED, ECONNRESET, EPIPE));
}

static void settle(struct arena_data *self, struct held *h, int i)
{
	static const int statuses[] = { EPROTO, ECONNRESET, ETIMEDOUT, ENOENT, EIO };
	/* ESRCH: it has ended. EPERM: it was given to the agent that this one was before. */
	const int *errnos = ERRNOS(ESRCH, EPERM);
	struct itls_nl_done done;
	int err;

	stress_doing("DONE");
	if (stress_one_in(4)) {
		err = agent_fail(&h->agent, h->req[i].id, statuses[stress_below(NR_OF(statuses))]);
	} else {
		agent_done_init(&done, h->req[i].id, &self->tx, &self->rx);
		done.rekey_records = stress_one_in(2) ? 1 + stress_below(5) : 0;
		err = itls_nl_done(h->agent.nl, &done);
		if (!err)
			__atomic_add_fetch(&self->established, 1, __ATOMIC_RELAXED);
	}
	stress_check("DONE", result(err), errnos);
	if (stress_one_in(4))
		stress_check("second DONE", result(agent_fail(&h->agent, h->req[i].id, EIO)),
			     errnos);
	drop(h, i);
}

static void agent_begin(struct agent *agent)
{
	int err;

	ASSERT_EQ(0, itls_nl_open(&agent->nl));
	do {
		err = itls_nl_agent(agent->nl);
	} while (stress_injects() && err == -ENOMEM);
	ASSERT_EQ(0, err);
}

static void agent(void *arg)
{
	struct arena_data *self = arg;
	struct held h = {};
	int i;

	agent_begin(&h.agent);
	while (stress_goes_on(&self->stress)) {
		if (h.nr < HELD)
			take(&h);
		if (!h.nr)
			continue;
		i = stress_below(h.nr);
		if (stress_one_in(3))
			talk(h.req[i].fd);
		else if (stress_one_in(10))
			drop(&h, i);
		else if (stress_one_in(2))
			settle(self, &h, i);
		if (!stress_one_in(200))
			continue;
		/* It goes, its channels may stay; another comes. */
		stress_doing("a successor");
		agent_close(&h.agent);
		agent_begin(&h.agent);
	}
	while (h.nr)
		drop(&h, 0);
	agent_close(&h.agent);
}

static int count_session(const struct itls_nl_session *s, void *arg)
{
	*(long *)arg += !!s->id;
	return 0;
}

/* Dumps, while what is dumped comes and goes. */
static void dumper(void *arg)
{
	struct arena_data *self = arg;
	struct itls_nl *nl = NULL;
	long sessions = 0;
	int err;

	ASSERT_EQ(0, itls_nl_open(&nl));
	while (stress_goes_on(&self->stress)) {
		chaos_rekey(nl);
		stress_doing("SESSION_GET");
		err = itls_nl_sessions(nl, count_session, &sessions);
		stress_check("SESSION_GET", result(err), ERRNOS());
		stat_get("CurrSessions");
		pause_up_to(20);
	}
	printf("# %ld sessions seen\n", sessions);
	itls_nl_close(nl);
}

/* ---- the tests ------------------------------------------------------------------------------- */

/* The contract: as many ends as beginnings. */
static void expect_completed_once(const struct arena_data *self)
{
	static const char *const ends[] = {
		"HandshakeDone", "HandshakeFailed", "HandshakeTimeout", "HandshakePeerGone",
		"HandshakeServerGone", "HandshakeNoAgent", "HandshakeAgentGone",
		"HandshakeOverCap",
	};
	long submitted = stat_get("HandshakeSubmitted"), ended = 0, n;
	size_t i;

	printf("# HandshakeSubmitted %ld", submitted);
	for (i = 0; i < NR_OF(ends); i++) {
		n = stat_get(ends[i]);
		printf(", %s %ld", ends[i], n);
		ended += n;
	}
	printf("\n");
	EXPECT_LT(0, submitted);
	EXPECT_EQ(submitted, ended);
	EXPECT_LT(0, self->established);
	EXPECT_EQ(self->established, stat_get("HandshakeDone"));
}

static bool some_established(const void *arg)
{
	return __atomic_load_n(&((const struct arena_data *)arg)->established, __ATOMIC_RELAXED);
}

static void arena_case(struct arena_data *self, void (*srv)(void *), void (*client)(void *),
		       void (*other)(void *))
{
	void (*const parties[])(void *) = {
		srv, srv, srv, client, client, agent, agent, dumper, other,
	};
	size_t i;

	stress_begin(&self->stress);
	for (i = 0; i < NR_OF(parties); i++)
		if (parties[i])
			stress_spawn(&self->stress, parties[i], self);
	stress_wait(&self->stress, some_established, self);
	stress_join(&self->stress);
	chaos_tell();
	close(self->listener);
	for (i = 0; i < SLOTS; i++)
		close(self->slot[i].fd);
	stat_wait_idle();
	expect_completed_once(self);
}

TEST_F_TIMEOUT(arena, always_marked, STRESS_DEADLINE)
{
	arena_case(self, server, client_of_marked, NULL);
}

TEST_F_TIMEOUT(arena, mark_comes_and_goes, STRESS_DEADLINE)
{
	arena_case(self, server_of_some_plain, client_of_some_plain, marker);
}
