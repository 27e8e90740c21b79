// SPDX-License-Identifier: GPL-2.0
/*
 * Handshakes when memory runs out: listener, accept(), the agent's messages,
 * the channel.  A connection whose handshake cannot be had fails closed;
 * whatever else failed can be tried again.
 */
#define _GNU_SOURCE
#include "inject.h"
#include "managed.h"

#include <fcntl.h>

FIXTURE_VARIANT_ADD(managed, tls12) {
	.version = TLS_1_2_VERSION, .cipher = TLS_CIPHER_AES_GCM_256, .family = AF_INET6,
};

FIXTURE_VARIANT_ADD(managed, tls13) {
	.version = TLS_1_3_VERSION, .cipher = TLS_CIPHER_AES_GCM_128, .family = AF_INET,
};

/* A test that ended badly leaves no failing machine to the next. */
void test_after_each(void)
{
	inject_restore();
}

/* What -1 and errno are to inject_failed(). */
static int result(int err)
{
	if (!err)
		return 0;
	errno = -err;
	return -1;
}

static void connect_client(struct managed_data *self)
{
	peer_init(&self->client, sock_connect(self->listener), &self->tx, &self->rx);
	/* In the listener's queue. */
	ASSERT_NE(0, sock_poll(self->listener, POLLIN, test_wait_ms()));
}

static void drop_both(struct managed_data *self)
{
	if (self->server >= 0)
		close(self->server);
	self->server = -1;
	peer_free(&self->client);
	self->client.fd = -1;
}

/* The agent finishes what waits, and both talk. */
static void finish(struct managed_data *self)
{
	agent_establish(&self->agent, &self->tx, &self->rx);
	expect_works(self->server, &self->client);
}

/* ---- the listener ----------------------------------------------------------------- */

TEST_F_TIMEOUT(managed, attach_listener, 60)
{
	int fd, ret;

	INJECT_WALK(w, "TCP_ULP, listener") {
		fd = sock_listen(variant->family);
		INJECT(&w, ret = listener_attach(fd));
		if (inject_failed(&w, ret))
			ASSERT_EQ(0, listener_attach(fd));
		ASSERT_EQ(0, listener_mark(fd, PROFILE));
		close(fd);
	}
}

/* The old mark stays until there is a new one. */
TEST_F_TIMEOUT(managed, mark, 60)
{
	char name[ITLS_PROFILE_MAX];
	socklen_t len;
	int ret;

	INJECT_WALK(w, "ITLS_LISTEN") {
		ASSERT_EQ(0, listener_mark(self->listener, PROFILE));
		INJECT(&w, ret = listener_mark(self->listener, "other"));
		len = sizeof(name);
		ASSERT_EQ(0, getsockopt(self->listener, SOL_TLS, ITLS_LISTEN, name, &len));
		if (inject_failed(&w, ret))
			EXPECT_EQ(strlen(PROFILE), len);
		else
			EXPECT_EQ(strlen("other"), len);
	}
}

/* ---- accept() ----------------------------------------------------------------------- */

/* Either the child comes out with the next call, or its client sees the end. */
static void accept_again(struct managed_data *self)
{
	sock_nonblock(self->listener, true);
	self->server = accept4(self->listener, NULL, NULL, SOCK_CLOEXEC);
	if (self->server >= 0)
		sock_nonblock(self->server, false);
	else
		EXPECT_EQ(EAGAIN, errno);
	sock_nonblock(self->listener, false);
}

static void see_accepted(struct managed_data *self)
{
	int state = info_get(self->server).state;

	if (state == ITLS_STATE_PENDING) {
		/* An agent is told, even when there is no memory to tell it with. */
		ASSERT_NE(0, sock_poll(itls_nl_fd(self->agent.nl), POLLIN, test_wait_ms()));
		finish(self);
		return;
	}
	EXPECT_EQ(ITLS_STATE_FAILED, state);
	expect_failed(self->server, ECONNABORTED);
	close(self->server);
	self->server = -1;
	expect_no_byte(self->client.fd);
}

static void accept_case(struct managed_data *self, const char *what)
{
	struct sockaddr_storage from;
	socklen_t len;

	INJECT_WALK(w, what) {
		connect_client(self);
		itls_nl_drain(self->agent.nl);
		len = sizeof(from);
		INJECT(&w, self->server = accept4(self->listener, (void *)&from, &len,
						  SOCK_CLOEXEC));
		/* ENFILE: sock_alloc() says so. */
		if (inject_failed(&w, self->server, ENFILE))
			accept_again(self);
		if (self->server >= 0)
			see_accepted(self);
		else
			expect_no_byte(self->client.fd);
		drop_both(self);
	}
}

TEST_F_TIMEOUT(managed, accept, 90)
{
	accept_case(self, "accept");
}

/* One that was cloned before its listener was marked gets its context in accept(). */
TEST_F_TIMEOUT(managed, accept_late, 90)
{
	INJECT_WALK(w, "accept, marked late") {
		ASSERT_EQ(0, listener_mark(self->listener, ""));
		connect_client(self);
		ASSERT_EQ(0, listener_mark(self->listener, PROFILE));
		itls_nl_drain(self->agent.nl);
		INJECT(&w, self->server = accept4(self->listener, NULL, NULL, SOCK_CLOEXEC));
		if (inject_failed(&w, self->server, ENFILE))
			accept_again(self);
		if (self->server >= 0)
			see_accepted(self);
		else
			expect_no_byte(self->client.fd);
		drop_both(self);
	}
}

/* Softirq has no memory for the child's context: the child is nobody's, and says nothing. */
TEST_F_TIMEOUT(managed, clone, 60)
{
	int fd;

	inject_atomic_begin();
	connect_client(self);
	inject_atomic_end();
	sock_nonblock(self->listener, true);
	fd = accept4(self->listener, NULL, NULL, SOCK_CLOEXEC);
	EXPECT_TRUE(fd < 0);
	EXPECT_TRUE(errno == ECONNABORTED || errno == EAGAIN);
	sock_nonblock(self->listener, false);
	expect_no_byte(self->client.fd);
	peer_free(&self->client);
	/* And the next is as ever. */
	managed_establish(self);
	expect_works(self->server, &self->client);
}

/* ---- the agent's messages ------------------------------------------------------------- */

TEST_F_TIMEOUT(managed, register_agent, 60)
{
	struct itls_nl *nl;
	int err;

	INJECT_WALK(w, "AGENT") {
		ASSERT_EQ(0, itls_nl_open(&nl));
		INJECT(&w, err = itls_nl_agent(nl));
		/* ENFILE: as of accept(). ENOBUFS: the answer was lost. */
		if (inject_failed(&w, result(err), ENFILE, ENOBUFS)) {
			err = itls_nl_agent(nl);
			EXPECT_TRUE(!err || err == -EALREADY);
		}
		itls_nl_close(nl);
	}
}

/* The request is handed over, or waits on, or ended; never lost. */
TEST_F_TIMEOUT(managed, accept_request, 90)
{
	struct itls_nl_request req;
	int err;

	/* Not the agent's reading of the answer: it would have the channel and not know. */
	inject_module_only();
	INJECT_WALK(w, "ACCEPT") {
		managed_pending(self);
		req.fd = -1;
		INJECT(&w, err = itls_nl_accept(self->agent.nl, &req));
		if (inject_failed(&w, result(err), ENOBUFS))
			err = itls_nl_accept(self->agent.nl, &req);
		if (!err) {
			ASSERT_EQ(0, agent_done(&self->agent, req.id, &self->tx, &self->rx));
			close(req.fd);
			expect_works(self->server, &self->client);
		} else {
			EXPECT_EQ(-EAGAIN, err);
			expect_failed(self->server, ECONNABORTED);
		}
		drop_both(self);
	}
}

/* ENOENT: as of TLS_TX. What did not establish can be tried again, once only what did. */
TEST_F_TIMEOUT(managed, done, 90)
{
	struct itls_nl_request req;
	int err, state;

	INJECT_WALK(w, "DONE") {
		managed_pending(self);
		agent_accept(&self->agent, &req);
		INJECT(&w, err = agent_done(&self->agent, req.id, &self->tx, &self->rx));
		state = info_get(self->server).state;
		if (err == -ENOBUFS || err == -ENOENT)
			err = -ENOMEM;
		if (!inject_failed(&w, result(err)))
			EXPECT_EQ(ITLS_STATE_ESTABLISHED, state);
		else if (state == ITLS_STATE_ESTABLISHED)
			ASSERT_EQ(-ESRCH, agent_done(&self->agent, req.id, &self->tx, &self->rx));
		else
			ASSERT_EQ(0, agent_done(&self->agent, req.id, &self->tx, &self->rx));
		close(req.fd);
		expect_works(self->server, &self->client);
		drop_both(self);
	}
}

TEST_F_TIMEOUT(managed, done_failed, 60)
{
	struct itls_nl_request req;
	int err;

	INJECT_WALK(w, "DONE, failure") {
		managed_pending(self);
		agent_accept(&self->agent, &req);
		INJECT(&w, err = agent_fail(&self->agent, req.id, EPROTO));
		if (inject_failed(&w, result(err), ENOBUFS)) {
			err = agent_fail(&self->agent, req.id, EPROTO);
			EXPECT_TRUE(!err || err == -ESRCH);
		}
		expect_failed(self->server, ECONNABORTED);
		close(req.fd);
		drop_both(self);
	}
}

static int count_session(const struct itls_nl_session *s, void *arg)
{
	(void)s;
	++*(int *)arg;
	return 0;
}

TEST_F_TIMEOUT(managed, dump, 60)
{
	struct itls_nl *nl;
	int err, n;

	managed_establish(self);
	INJECT_WALK(w, "SESSION_GET") {
		ASSERT_EQ(0, itls_nl_open(&nl));
		n = 0;
		INJECT(&w, err = itls_nl_sessions(nl, count_session, &n));
		if (!inject_failed(&w, result(err), ENOBUFS))
			EXPECT_EQ(1, n);
		/* One that broke off in the middle keeps its socket busy. */
		itls_nl_close(nl);
		n = 0;
		ASSERT_EQ(0, itls_nl_sessions(self->agent.nl, count_session, &n));
		EXPECT_EQ(1, n);
	}
}

/* ---- the channel --------------------------------------------------------------------- */

TEST_F_TIMEOUT(managed, channel, 90)
{
	uint8_t *hello = alloc_pattern(3000, 0), *got = alloc_pattern(3000, 5);
	struct itls_nl_request req;
	ssize_t n;

	INJECT_WALK(w, "read from the channel") {
		managed_pending(self);
		peer_send_raw(&self->client, hello, 3000);
		agent_accept(&self->agent, &req);
		sock_wait_received(self->server, 3000);
		memset(got, 0, 3000);
		INJECT(&w, n = read(req.fd, got, 3000));
		if (inject_failed(&w, n))
			n = 0;
		if (n < 3000)
			ASSERT_EQ(3000 - n, read(req.fd, got + n, 3000 - n));
		ASSERT_MEMEQ(hello, got, 3000);
		close(req.fd);
		drop_both(self);
	}
	INJECT_WALK(w, "write to the channel") {
		managed_pending(self);
		agent_accept(&self->agent, &req);
		INJECT(&w, n = write(req.fd, hello, 3000));
		if (inject_failed(&w, n, EAGAIN))
			n = 0;
		if (n < 3000)
			ASSERT_EQ(3000 - n, write(req.fd, hello + n, 3000 - n));
		sock_recv_all(self->client.fd, got, 3000);
		ASSERT_MEMEQ(hello, got, 3000);
		close(req.fd);
		drop_both(self);
	}
	free(hello);
	free(got);
}

/* ---- clients ---------------------------------------------------------------------------- */

/* A socket that may become a client, on the fixture's places. */
static void open_client(struct managed_data *self)
{
	int fd[2];

	sock_pair(self->family, fd);
	self->server = fd[0];
	ulp_require(self->server);
	peer_init(&self->client, fd[1], &self->tx, &self->rx);
}

static void bring_files(struct itls_connect *c, const void *pem)
{
	c->ca = (uintptr_t)pem;
	c->cert = (uintptr_t)pem;
	c->key = (uintptr_t)pem;
	c->ca_len = ITLS_PEM_MAX;
	c->cert_len = ITLS_PEM_MAX;
	c->key_len = ITLS_PEM_MAX;
}

/* -1 and EINPROGRESS are success here. */
static int begin_client(struct managed_data *self, const struct itls_connect *c)
{
	int ret = connect_set(self->server, c);

	return ret && errno == EINPROGRESS ? 0 : ret;
}

static void pending_works(struct managed_data *self)
{
	agent_establish(&self->agent, &self->tx, &self->rx);
	ASSERT_NE(0, sock_poll(self->server, POLLOUT, test_wait_ms()));
	ASSERT_EQ(0, sock_error(self->server));
	sock_nonblock(self->server, false);
	expect_works(self->server, &self->client);
}

/* Nothing was begun, so it can be tried again; or it was, and has failed. */
TEST_F_TIMEOUT(managed, connect, 90)
{
	uint8_t *pem = alloc_pattern(ITLS_PEM_MAX, 0);
	struct itls_connect c;
	int ret;

	connect_init(&c, PROFILE, "server.test");
	bring_files(&c, pem);
	INJECT_WALK(w, "ITLS_CONNECT") {
		open_client(self);
		sock_nonblock(self->server, true);
		itls_nl_drain(self->agent.nl);
		INJECT(&w, ret = begin_client(self, &c));
		if (inject_failed(&w, ret, ECONNABORTED) &&
		    info_get(self->server).state == ITLS_STATE_NONE)
			ASSERT_EQ(0, begin_client(self, &c));
		if (info_get(self->server).state == ITLS_STATE_PENDING)
			pending_works(self);
		else
			EXPECT_ERRNO(ECONNABORTED, recv(self->server, SCRATCH(8), 8, 0));
		drop_both(self);
	}
	free(pem);
}

TEST_F_TIMEOUT(managed, accept_client, 90)
{
	uint8_t *pem = alloc_pattern(ITLS_PEM_MAX, 0);
	struct itls_nl_request req;
	struct itls_connect c;
	int err;

	connect_init(&c, PROFILE, "server.test");
	bring_files(&c, pem);
	/* As of accept_request. */
	inject_module_only();
	INJECT_WALK(w, "ACCEPT of a client") {
		open_client(self);
		sock_nonblock(self->server, true);
		ASSERT_EQ(0, begin_client(self, &c));
		INJECT(&w, err = itls_nl_accept(self->agent.nl, &req));
		if (inject_failed(&w, result(err), ENOBUFS))
			err = itls_nl_accept(self->agent.nl, &req);
		if (!err) {
			EXPECT_EQ(ITLS_PEM_MAX, req.key.len);
			ASSERT_EQ(0, agent_done(&self->agent, req.id, &self->tx, &self->rx));
			close(req.fd);
			itls_nl_request_wipe(&req);
			sock_nonblock(self->server, false);
			expect_works(self->server, &self->client);
		} else {
			EXPECT_EQ(-EAGAIN, err);
			EXPECT_EQ(ITLS_STATE_FAILED, info_get(self->server).state);
		}
		drop_both(self);
	}
	free(pem);
}

static void become_client(struct managed_data *self)
{
	struct itls_connect c;

	connect_init(&c, PROFILE, "server.test");
	open_client(self);
	sock_nonblock(self->server, true);
	ASSERT_EQ(0, begin_client(self, &c));
	pending_works(self);
}

/* A ticket may be lost for want of memory, the session may not. */
TEST_F_TIMEOUT(managed, ticket, 90)
{
	uint8_t ticket[3000] = { 4, 0, (sizeof(ticket) - 4) >> 8, (sizeof(ticket) - 4) & 255 };
	int most = 0;
	ssize_t n;

	if (variant->version != TLS_1_3_VERSION)
		SKIP("TLS 1.2 has its tickets in the handshake");
	INJECT_WALK(w, "recv of a ticket") {
		become_client(self);
		peer_send(&self->client, REC_HANDSHAKE, ticket, sizeof(ticket));
		peer_send(&self->client, REC_DATA, "after", 5);
		sock_wait_received(self->server, self->client.sent);
		INJECT(&w, n = recv(self->server, SCRATCH(5), 5, 0));
		if (inject_failed(&w, n))
			managed_expect_data(self, "after", 5);
		itls_nl_drain(self->agent.nl);
		EXPECT_LE(self->agent.tickets, 1);
		most += self->agent.tickets;
		while (self->agent.tickets)
			free(self->agent.ticket[--self->agent.tickets].message);
		expect_works(self->server, &self->client);
		drop_both(self);
	}
	EXPECT_LT(0, most);
}

/* ---- changes of keys ---------------------------------------------------------------------- */

#define ONLY_13()							\
	do {								\
		if (variant->version != TLS_1_3_VERSION)		\
			SKIP("TLS 1.2 changes no keys");		\
	} while (0)

TEST_F_TIMEOUT(managed, autonomous, 90)
{
	struct itls_autonomous a;
	int ret;

	autonomous_init(&a, ITLS_ROLE_SERVER, &self->tx, &self->rx);
	INJECT_WALK(w, "ITLS_AUTONOMOUS") {
		open_client(self);
		ASSERT_EQ(0, key_set(self->server, TLS_TX, &self->tx));
		ASSERT_EQ(0, key_set(self->server, TLS_RX, &self->rx));
		INJECT(&w, ret = autonomous_set(self->server, &a));
		if (inject_failed(&w, ret, ENOENT)) {
			EXPECT_EQ(ITLS_ROLE_KTLS, info_get(self->server).role);
			ASSERT_EQ(0, autonomous_set(self->server, &a));
		}
		EXPECT_EQ(ITLS_ROLE_SERVER, info_get(self->server).role);
		if (variant->version == TLS_1_3_VERSION)
			peer_send_update(&self->client, UPDATE_REQUESTED);
		expect_works(self->server, &self->client);
		drop_both(self);
	}
}

/* The key changes all the same, and the answer comes before data at the latest. */
TEST_F_TIMEOUT(managed, update_in, 90)
{
	ssize_t n;

	ONLY_13();
	INJECT_WALK(w, "recv of a KeyUpdate") {
		managed_establish(self);
		peer_send_update(&self->client, UPDATE_REQUESTED);
		peer_send(&self->client, REC_DATA, "after", 5);
		sock_wait_received(self->server, self->client.sent);
		INJECT(&w, n = recv(self->server, SCRATCH(5), 5, 0));
		/* ENOENT: as of TLS_RX. */
		if (inject_failed(&w, n, ENOENT))
			managed_expect_data(self, "after", 5);
		expect_works(self->server, &self->client);
		EXPECT_EQ(1, self->client.updates);
		EXPECT_EQ(1, info_get(self->server).rx_rekeys);
		drop_both(self);
	}
}

static void establish_limited(struct managed_data *self)
{
	struct itls_nl_request req;
	struct itls_nl_done done;

	managed_pending(self);
	agent_accept(&self->agent, &req);
	/* Each record takes a new key; the first, as number 1, too. */
	agent_done_init(&done, req.id, &self->tx, &self->rx);
	done.rekey_records = 1;
	agent_finish(&self->agent, &req, &done);
}

/* No record goes out under a key that is used up, and none is lost or twice there. */
TEST_F_TIMEOUT(managed, update_out, 90)
{
	uint8_t buf[8];
	ssize_t n;

	ONLY_13();
	INJECT_WALK(w, "send with a KeyUpdate due") {
		establish_limited(self);
		ASSERT_EQ(1, send(self->server, "a", 1, 0));
		INJECT(&w, n = send(self->server, "b", 1, MSG_NOSIGNAL));
		if (inject_failed(&w, n, ENOENT, EAGAIN))
			ASSERT_EQ(1, send(self->server, "b", 1, MSG_NOSIGNAL));
		ASSERT_EQ(1, send(self->server, "c", 1, 0));
		peer_recv_all(&self->client, buf, 3);
		EXPECT_MEMEQ("abc", buf, 3);
		EXPECT_EQ(self->client.updates, info_get(self->server).tx_rekeys);
		EXPECT_LE(2, self->client.updates);
		EXPECT_EQ(self->client.updates, self->client.rx.updates);
		drop_both(self);
	}
}

TEST_F_TIMEOUT(managed, rekey, 90)
{
	uint32_t id;
	int err;

	ONLY_13();
	INJECT_WALK(w, "REKEY") {
		managed_establish(self);
		id = info_get(self->server).id;
		INJECT(&w, err = itls_nl_rekey(self->agent.nl, id, false));
		if (inject_failed(&w, result(err), ENOBUFS))
			ASSERT_EQ(0, itls_nl_rekey(self->agent.nl, id, false));
		expect_works(self->server, &self->client);
		EXPECT_LE(1, self->client.updates);
		EXPECT_EQ(self->client.updates, info_get(self->server).tx_rekeys);
		drop_both(self);
	}
}

/* ---- the end of a session ----------------------------------------------------------------- */

/* All data, then close_notify unless there was no memory for it, then FIN. */
static void expect_end(struct managed_data *self, bool all)
{
	static struct peer_record rec;

	ASSERT_EQ(1, peer_recv(&self->client, &rec));
	EXPECT_EQ(REC_DATA, rec.type);
	EXPECT_EQ(4, rec.len);
	if (!peer_recv(&self->client, &rec)) {
		EXPECT_FALSE(all);
		return;
	}
	EXPECT_EQ(REC_ALERT, rec.type);
	EXPECT_MEMEQ("\1\0", rec.data, 2);
	EXPECT_EQ(0, peer_recv(&self->client, &rec));
}

TEST_F_TIMEOUT(managed, shutdown, 60)
{
	int ret;

	inject_spare("tcp_send_fin");
	INJECT_WALK(w, "shutdown") {
		managed_establish(self);
		ASSERT_EQ(4, send(self->server, "data", 4, 0));
		INJECT(&w, ret = shutdown(self->server, SHUT_WR));
		ASSERT_EQ(0, ret);
		expect_end(self, !w.fired);
		drop_both(self);
	}
}

TEST_F_TIMEOUT(managed, close, 60)
{
	int ret;

	inject_spare("tcp_send_fin");
	INJECT_WALK(w, "close") {
		managed_establish(self);
		ASSERT_EQ(4, send(self->server, "data", 4, 0));
		INJECT(&w, ret = close(self->server));
		self->server = -1;
		ASSERT_EQ(0, ret);
		expect_end(self, !w.fired);
		drop_both(self);
	}
}

/* A bad record is answered by an alert, or at least by the end. */
TEST_F_TIMEOUT(managed, alert, 60)
{
	static struct peer_record rec;
	static const uint8_t bad[40] = { REC_DATA, 3, 3, 0, 35 };
	char c;
	ssize_t n;

	inject_spare("tcp_send_fin");
	INJECT_WALK(w, "recv of a bad record") {
		managed_establish(self);
		peer_send_raw(&self->client, bad, sizeof(bad));
		sock_wait_received(self->server, sizeof(bad));
		INJECT(&w, n = recv(self->server, &c, 1, 0));
		ASSERT_EQ(-1, n);
		if (errno == ENOMEM)
			EXPECT_ERRNO(EBADMSG, recv(self->server, &c, 1, 0));
		else
			EXPECT_EQ(EBADMSG, errno);
		if (peer_recv(&self->client, &rec))
			EXPECT_EQ(REC_ALERT, rec.type);
		else
			EXPECT_TRUE(w.fired);
		drop_both(self);
	}
}
