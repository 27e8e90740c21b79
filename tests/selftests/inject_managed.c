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
