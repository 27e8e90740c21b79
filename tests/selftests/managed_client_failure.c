// SPDX-License-Identifier: GPL-2.0
/*
 * Client sockets whose handshake is interrupted, fails, or is not waited for:
 * what the program sees, and that no byte passes.
 */
#define _GNU_SOURCE
#include "managed_client.h"

#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>

/* ---- interrupted --------------------------------------------------------------------------- */

static void ignore(int signo)
{
	(void)signo;
}

static void signal_case(struct client_data *self, int flags)
{
	struct sigaction sa = { .sa_handler = ignore, .sa_flags = flags };
	struct waiter w;

	ASSERT_EQ(0, sigaction(SIGUSR1, &sa, NULL));
	waiter_start(&w, self);
	ASSERT_EQ(0, pthread_kill(w.thread, SIGUSR1));
	waiter_join(&w, EINTR);
	EXPECT_EQ(ITLS_STATE_PENDING, info_get(self->fd).state);
	succeed(self);
	expect_talk(self);
}

TEST_F(client, signal_interrupts)
{
	signal_case(self, 0);
}

/* Begun is begun: a second call would only say EALREADY. */
TEST_F(client, signal_with_restart_interrupts)
{
	signal_case(self, SA_RESTART);
}

TEST_F(client, send_timeout)
{
	struct timeval tv = { .tv_usec = 30000 };

	ASSERT_EQ(0, setsockopt(self->fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)));
	EXPECT_ERRNO(EINPROGRESS, connect_set(self->fd, &self->c));
	EXPECT_ERRNO(EALREADY, connect_set(self->fd, &self->c));
	EXPECT_EQ(ITLS_STATE_PENDING, info_get(self->fd).state);
	succeed(self);
	expect_talk(self);
}

TEST_F(client, receive_timeout_does_not_matter)
{
	struct timeval tv = { .tv_usec = 1000 };
	struct waiter w;

	ASSERT_EQ(0, setsockopt(self->fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)));
	waiter_start(&w, self);
	agent_establish(&self->agent, &self->tx, &self->rx);
	waiter_join(&w, 0);
}

/* ---- failure ------------------------------------------------------------------------------ */

/* What a program sees of it, and that no byte passes. */
static void expect_failed(struct client_data *self, int want)
{
	char c;
	int i;

	EXPECT_EQ(ITLS_STATE_FAILED, info_get(self->fd).state);
	for (i = 0; i < 2; i++)
		EXPECT_ERRNO(want, connect_set(self->fd, &self->c));
	EXPECT_ERRNO(want, recv(self->fd, &c, 1, MSG_DONTWAIT));
	EXPECT_EQ(-1, send(self->fd, "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT));
	EXPECT_EQ(POLLERR | POLLHUP, sock_poll(self->fd, POLLIN, 0) & (POLLERR | POLLHUP));
	close(self->fd);
	self->fd = -1;
	ASSERT_NE(0, sock_poll(self->peer.fd, POLLIN, test_wait_ms()));
	i = recv(self->peer.fd, &c, 1, MSG_DONTWAIT);
	EXPECT_TRUE(i == 0 || (i < 0 && errno == ECONNRESET));
}

/* As a program waits that does not block. */
static void expect_told(struct client_data *self, int want)
{
	ASSERT_NE(0, sock_poll(self->fd, POLLOUT, test_wait_ms()));
	EXPECT_EQ(POLLERR, sock_poll(self->fd, POLLOUT, 0) & POLLERR);
	EXPECT_EQ(want, sock_error(self->fd));
	EXPECT_EQ(0, sock_error(self->fd));
	expect_failed(self, want);
}

struct status { int status, want; };

static const struct status statuses[] = {
	{ EKEYREJECTED, EKEYREJECTED }, { EPROTO, EPROTO }, { ECONNRESET, ECONNRESET },
	{ ETIMEDOUT, ETIMEDOUT }, { ENOENT, ENOENT }, { EACCES, EACCES },
	{ ECONNABORTED, ECONNABORTED },
	{ EIO, ECONNABORTED }, { EINVAL, EINVAL }, { ENOMEM, ECONNABORTED },
	{ EPERM, ECONNABORTED }, { EINTR, ECONNABORTED }, { EAGAIN, ECONNABORTED },
	{ EINPROGRESS, ECONNABORTED }, { 512, ECONNABORTED }, { 4095, ECONNABORTED },
};

static void another(struct client_data *self, int family)
{
	int fd[2];

	peer_free(&self->peer);
	sock_pair(family, fd);
	self->fd = fd[0];
	ulp_require(self->fd);
	peer_init(&self->peer, fd[1], &self->tx, &self->rx);
}

TEST_F(client, statuses_nonblocking)
{
	struct itls_nl_request req;
	size_t i;

	for (i = 0; i < sizeof(statuses) / sizeof(*statuses); i++) {
		begin(self);
		agent_accept(&self->agent, &req);
		ASSERT_EQ(0, agent_fail(&self->agent, req.id, statuses[i].status));
		close(req.fd);
		expect_told(self, statuses[i].want);
		another(self, variant->family);
	}
	EXPECT_EQ(i, stat_get("HandshakeSubmitted"));
	EXPECT_EQ(0, stat_get("HandshakeDone"));
	EXPECT_EQ(0, stat_get("CurrPending"));
}

TEST_F(client, statuses_blocking)
{
	struct itls_nl_request req;
	struct waiter w;
	size_t i;

	for (i = 0; i < sizeof(statuses) / sizeof(*statuses); i++) {
		waiter_start(&w, self);
		agent_accept(&self->agent, &req);
		ASSERT_EQ(0, agent_fail(&self->agent, req.id, statuses[i].status));
		close(req.fd);
		waiter_join(&w, statuses[i].want);
		/* It has been told. */
		EXPECT_EQ(0, sock_error(self->fd));
		expect_failed(self, statuses[i].want);
		another(self, variant->family);
	}
}

/* Why a certificate was refused, and what was said about it. */
TEST_F(client, each_verdict)
{
	struct itls_nl_done done = { .status = EKEYREJECTED, .alert_rx = -1 };
	struct itls_nl_request req;
	struct itls_info info;
	uint8_t verify;

	for (verify = 0; verify < __ITLS_VERIFY_MAX; verify++) {
		begin(self);
		agent_accept(&self->agent, &req);
		done.id = req.id;
		done.verify = verify;
		done.peer_subject = "CN=somebody else";
		done.alert_tx = 40 + verify;
		ASSERT_EQ(0, itls_nl_done(self->agent.nl, &done));
		close(req.fd);
		info = info_get(self->fd);
		EXPECT_EQ(verify, info.verify);
		EXPECT_EQ(0, strcmp("CN=somebody else", info.peer_subject));
		EXPECT_EQ(40 + verify, info.alert_tx);
		EXPECT_EQ(ITLS_ALERT_NONE, info.alert_rx);
		expect_told(self, EKEYREJECTED);
		another(self, variant->family);
	}
}

TEST_F(client, alert_of_the_server)
{
	struct itls_nl_done done = { .status = EPROTO, .alert_tx = -1, .alert_rx = 112 };
	struct itls_nl_request req;

	begin(self);
	agent_accept(&self->agent, &req);
	done.id = req.id;
	ASSERT_EQ(0, itls_nl_done(self->agent.nl, &done));
	close(req.fd);
	EXPECT_EQ(112, info_get(self->fd).alert_rx);
	EXPECT_EQ(ITLS_ALERT_NONE, info_get(self->fd).alert_tx);
	expect_told(self, EPROTO);
}

TEST_F(client, no_agent)
{
	agent_close(&self->agent);
	stat_wait("CurrAgents", 0);
	EXPECT_ERRNO(ECONNABORTED, connect_set(self->fd, &self->c));
	EXPECT_EQ(1, stat_get("HandshakeNoAgent"));
	expect_failed(self, ECONNABORTED);
}

TEST_F(client, no_agent_nonblocking)
{
	int ret;

	agent_close(&self->agent);
	stat_wait("CurrAgents", 0);
	sock_nonblock(self->fd, true);
	ret = connect_set(self->fd, &self->c);
	EXPECT_EQ(-1, ret);
	EXPECT_TRUE(errno == ECONNABORTED || errno == EINPROGRESS);
	if (errno == EINPROGRESS)
		expect_told(self, ECONNABORTED);
	else
		expect_failed(self, ECONNABORTED);
}

TEST_F(client, agent_gone_before_accept)
{
	struct waiter w;

	waiter_start(&w, self);
	agent_close(&self->agent);
	waiter_join(&w, ECONNABORTED);
	expect_failed(self, ECONNABORTED);
	EXPECT_EQ(1, stat_get("HandshakeAgentGone"));
}

TEST_F(client, agent_closes_channel)
{
	struct itls_nl_request req;

	begin(self);
	agent_accept(&self->agent, &req);
	close(req.fd);
	expect_told(self, ECONNABORTED);
	EXPECT_EQ(-ESRCH, agent_done(&self->agent, req.id, &self->tx, &self->rx));
}

TEST_F(client, deadline)
{
	struct waiter w;

	/* Short, but long enough to fall asleep in. */
	stat_param_set("handshake_timeout_ms", 300);
	w = (struct waiter){ .self = self };
	ASSERT_EQ(0, pthread_create(&w.thread, NULL, waiter_run, &w));
	waiter_join(&w, ETIMEDOUT);
	EXPECT_EQ(1, stat_get("HandshakeTimeout"));
	expect_failed(self, ETIMEDOUT);
}

TEST_F(client, server_resets)
{
	struct itls_nl_request req;
	char c;

	begin(self);
	agent_accept(&self->agent, &req);
	sock_reset(self->peer.fd);
	self->peer.fd = -1;
	/* The agent learns of it, and says so. */
	ASSERT_NE(0, sock_poll(req.fd, POLLIN, test_wait_ms()));
	EXPECT_ERRNO(ECONNRESET, read(req.fd, &c, 1));
	ASSERT_EQ(0, agent_fail(&self->agent, req.id, ECONNRESET));
	ASSERT_NE(0, sock_poll(self->fd, POLLERR, test_wait_ms()) & POLLERR);
	EXPECT_EQ(ECONNRESET, sock_error(self->fd));
	EXPECT_EQ(ITLS_STATE_FAILED, info_get(self->fd).state);
	EXPECT_EQ(1, stat_get("HandshakePeerGone"));
	close(req.fd);
}

/* No DONE can bring back what failed. */
TEST_F(client, success_after_failure)
{
	struct itls_nl_request req;

	begin(self);
	agent_accept(&self->agent, &req);
	ASSERT_EQ(0, agent_fail(&self->agent, req.id, EPROTO));
	EXPECT_EQ(-ESRCH, agent_done(&self->agent, req.id, &self->tx, &self->rx));
	close(req.fd);
	expect_told(self, EPROTO);
}

/* ---- closed meanwhile ------------------------------------------------------------------- */

TEST_F(client, close_while_pending)
{
	struct itls_nl_request req;
	char c;
	int n;

	begin(self);
	EXPECT_ERRNO(EAGAIN, send(self->fd, "secret", 6, 0));
	agent_accept(&self->agent, &req);
	close(self->fd);
	self->fd = -1;
	EXPECT_EQ(-ESRCH, agent_done(&self->agent, req.id, &self->tx, &self->rx));
	close(req.fd);
	ASSERT_NE(0, sock_poll(self->peer.fd, POLLIN, test_wait_ms()));
	n = recv(self->peer.fd, &c, 1, 0);
	EXPECT_TRUE(n == 0 || (n < 0 && errno == ECONNRESET));
	EXPECT_EQ(0, stat_get("CurrPending"));
}

TEST_F(client, close_before_accept)
{
	struct itls_nl_request req;

	begin(self);
	close(self->fd);
	self->fd = -1;
	EXPECT_EQ(-EAGAIN, itls_nl_accept(self->agent.nl, &req));
}

TEST_F(client, dup_and_close)
{
	int copy;

	begin(self);
	copy = dup(self->fd);
	ASSERT_LE(0, copy);
	close(self->fd);
	self->fd = copy;
	succeed(self);
	expect_talk(self);
}

/* The child has the socket alone, and the handshake is finished for it. */
TEST_F(client, fork_while_pending)
{
	struct itls_nl_request req;
	int status;
	pid_t pid;

	begin(self);
	agent_accept(&self->agent, &req);
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		sock_nonblock(self->fd, false);
		expect_data(self, "to the child", 12);
		ASSERT_EQ(4, send(self->fd, "from", 4, 0));
		_exit(0);
	}
	close(self->fd);
	self->fd = -1;
	ASSERT_EQ(0, agent_done(&self->agent, req.id, &self->tx, &self->rx));
	close(req.fd);
	peer_send(&self->peer, REC_DATA, "to the child", 12);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	ASSERT_EQ(4, peer_recv_data(&self->peer, SCRATCH(64), 64));
	expect_close_notify(&self->peer);
}
