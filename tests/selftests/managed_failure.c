// SPDX-License-Identifier: GPL-2.0
/* Every way in which a handshake can end without success, and who wins when two come at once. */
#define _GNU_SOURCE
#include "managed.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

FIXTURE_VARIANT_ADD(managed, v4) {
	.version = TLS_1_3_VERSION, .cipher = TLS_CIPHER_AES_GCM_128, .family = AF_INET,
};

FIXTURE_VARIANT_ADD(managed, v6) {
	.version = TLS_1_2_VERSION, .cipher = TLS_CIPHER_AES_GCM_256, .family = AF_INET6,
};

void test_after_each(void)
{
	stat_params_restore();
}

static void finish(struct managed_data *self)
{
	agent_establish(&self->agent, &self->tx, &self->rx);
	expect_works(self->server, &self->client);
}

static void status_case(struct managed_data *self, int status, int want)
{
	struct itls_nl_request req;

	managed_pending(self);
	agent_accept(&self->agent, &req);
	ASSERT_EQ(0, agent_fail(&self->agent, req.id, status));
	close(req.fd);
	expect_failed(self->server, want);
	EXPECT_EQ(0, stat_get("HandshakeDone"));
	EXPECT_EQ(0, stat_get("CurrPending"));
	close(self->server);
	self->server = -1;
	expect_no_byte(self->client.fd);
}

TEST_F(managed, status_protocol)
{
	status_case(self, EPROTO, ECONNABORTED);
}

TEST_F(managed, status_no_profile)
{
	status_case(self, ENOENT, ECONNABORTED);
}

TEST_F(managed, status_not_allowed)
{
	status_case(self, EACCES, ECONNABORTED);
}

TEST_F(managed, status_inside)
{
	status_case(self, EIO, ECONNABORTED);
}

TEST_F(managed, status_timeout)
{
	status_case(self, ETIMEDOUT, ETIMEDOUT);
}

/* A web request in the clear: the agent reads it, the server never does. */
TEST_F(managed, cleartext_never_reaches_the_server)
{
	struct itls_nl_request req;
	char buf[64];

	managed_pending(self);
	sock_send_all(self->client.fd, "GET / HTTP/1.0\r\n\r\n", 18);
	agent_accept(&self->agent, &req);
	ASSERT_NE(0, sock_poll(req.fd, POLLIN, test_wait_ms()));
	ASSERT_EQ(10, read(req.fd, buf, 10));
	ASSERT_EQ(0, agent_fail(&self->agent, req.id, EPROTO));
	close(req.fd);
	/* 8 bytes of it are still in the receive queue. */
	expect_failed(self->server, ECONNABORTED);
	EXPECT_EQ(1, stat_get("HandshakeFailed"));
}

TEST_F(managed, agent_closes_channel)
{
	struct itls_nl_request req;

	managed_pending(self);
	agent_accept(&self->agent, &req);
	close(req.fd);
	expect_failed(self->server, ECONNABORTED);
	EXPECT_EQ(-ESRCH, agent_done(&self->agent, req.id, &self->tx, &self->rx));
	EXPECT_EQ(0, stat_get("CurrPending"));
}

TEST_F(managed, no_agent)
{
	agent_close(&self->agent);
	stat_wait("CurrAgents", 0);
	managed_pending(self);
	expect_failed(self->server, ECONNABORTED);
	EXPECT_EQ(1, stat_get("HandshakeNoAgent"));
	close(self->server);
	self->server = -1;
	expect_no_byte(self->client.fd);
}

TEST_F(managed, agent_gone_before_accept)
{
	managed_pending(self);
	agent_close(&self->agent);
	expect_failed(self->server, ECONNABORTED);
	EXPECT_EQ(1, stat_get("HandshakeAgentGone"));
}

/* Another agent is still there: the request waits for it. */
TEST_F(managed, one_of_two_agents_gone)
{
	struct agent other;

	agent_open(&other);
	stat_wait("CurrAgents", 2);
	managed_pending(self);
	agent_close(&other);
	stat_wait("CurrAgents", 1);
	finish(self);
}

/* In a child: takes one request, says so on the pipe, and waits to be killed. */
static void agent_process(int ready, struct managed_data *self)
{
	struct itls_nl_request req;
	struct agent agent;

	agent_open(&agent);
	ASSERT_EQ(1, write(ready, "r", 1));
	agent_establish(&agent, &self->tx, &self->rx);
	agent_accept(&agent, &req);
	ASSERT_EQ(1, write(ready, "a", 1));
	for (;;)
		pause();
}

TEST_F(managed, agent_killed)
{
	int established, taken, waiting, p[2], status;
	uint8_t buf[8];
	pid_t pid;
	char c;

	agent_close(&self->agent);
	stat_wait("CurrAgents", 0);
	ASSERT_EQ(0, pipe2(p, O_CLOEXEC));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid)
		agent_process(p[1], self);
	ASSERT_EQ(1, read(p[0], &c, 1));
	managed_pending(self);
	established = self->server;
	ASSERT_NE(0, sock_poll(established, POLLOUT, test_wait_ms()));
	sock_connect(self->listener);
	taken = sock_accept(self->listener);
	ASSERT_EQ(1, read(p[0], &c, 1));
	sock_connect(self->listener);
	waiting = sock_accept(self->listener);
	EXPECT_EQ(2, stat_get("CurrPending"));

	ASSERT_EQ(0, kill(pid, SIGKILL));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	expect_failed(taken, ECONNABORTED);
	expect_failed(waiting, ECONNABORTED);
	EXPECT_EQ(0, stat_get("CurrPending"));
	expect_works(self->server, &self->client);

	/* The next agent serves new connections; the old one goes on. */
	agent_open(&self->agent);
	close(taken);
	close(waiting);
	peer_send(&self->client, REC_DATA, "old", 3);
	ASSERT_EQ(3, recv(self->server, buf, sizeof(buf), 0));
	peer_free(&self->client);
	close(self->server);
	managed_pending(self);
	finish(self);
}

TEST_F(managed, deadline_of_a_waiting_request)
{
	stat_param_set("handshake_timeout_ms", 100);
	managed_pending(self);
	expect_failed(self->server, ETIMEDOUT);
	EXPECT_EQ(1, stat_get("HandshakeTimeout"));
	EXPECT_EQ(0, stat_get("CurrPending"));
}

TEST_F(managed, deadline_of_an_accepted_request)
{
	struct itls_nl_request req;
	char c;

	stat_param_set("handshake_timeout_ms", 300);
	managed_pending(self);
	agent_accept(&self->agent, &req);
	EXPECT_LE(req.deadline_ms, 300);
	expect_failed(self->server, ETIMEDOUT);
	EXPECT_NE(0, sock_poll(req.fd, POLLIN, test_wait_ms()));
	EXPECT_ERRNO(ECONNABORTED, read(req.fd, &c, 1));
	EXPECT_ERRNO(ECONNABORTED, write(req.fd, "x", 1));
	EXPECT_EQ(-ESRCH, agent_done(&self->agent, req.id, &self->tx, &self->rx));
	EXPECT_EQ(1, stat_get("HandshakeTimeout"));
	close(req.fd);
}

static void cap_case(struct managed_data *self, const char *param)
{
	struct itls_nl_request req;
	int fd[6], i;

	stat_param_set(param, 4);
	for (i = 0; i < 6; i++) {
		sock_connect(self->listener);
		fd[i] = sock_accept(self->listener);
	}
	for (i = 0; i < 4; i++)
		EXPECT_EQ(0, sock_poll(fd[i], POLLIN, 0));
	for (; i < 6; i++)
		expect_failed(fd[i], ECONNABORTED);
	EXPECT_EQ(2, stat_get("HandshakeOverCap"));
	EXPECT_EQ(4, stat_get("CurrPending"));
	/* One done: there is room again. */
	agent_accept(&self->agent, &req);
	ASSERT_EQ(0, agent_fail(&self->agent, req.id, EPROTO));
	close(req.fd);
	sock_connect(self->listener);
	i = sock_accept(self->listener);
	EXPECT_EQ(0, sock_poll(i, POLLIN, 0));
	EXPECT_EQ(2, stat_get("HandshakeOverCap"));
	close(i);
	for (i = 0; i < 6; i++)
		close(fd[i]);
}

TEST_F(managed, cap_per_listener)
{
	cap_case(self, "max_pending_per_listener");
}

TEST_F(managed, cap_of_all)
{
	cap_case(self, "max_pending");
}

TEST_F(managed, done_twice)
{
	struct itls_nl_request req;

	managed_pending(self);
	agent_accept(&self->agent, &req);
	ASSERT_EQ(0, agent_done(&self->agent, req.id, &self->tx, &self->rx));
	EXPECT_EQ(-ESRCH, agent_done(&self->agent, req.id, &self->tx, &self->rx));
	EXPECT_EQ(-ESRCH, agent_fail(&self->agent, req.id, EPROTO));
	close(req.fd);
	expect_works(self->server, &self->client);
}

TEST_F(managed, done_of_another_agents_request)
{
	struct itls_nl_request req;
	struct agent other;

	agent_open(&other);
	managed_pending(self);
	agent_accept(&self->agent, &req);
	EXPECT_EQ(-EPERM, agent_done(&other, req.id, &self->tx, &self->rx));
	EXPECT_EQ(-EPERM, agent_fail(&other, req.id, EPROTO));
	EXPECT_EQ(0, sock_poll(self->server, POLLIN, 0));
	ASSERT_EQ(0, agent_done(&self->agent, req.id, &self->tx, &self->rx));
	close(req.fd);
	expect_works(self->server, &self->client);
	agent_close(&other);
}

TEST_F(managed, done_before_accept)
{
	uint32_t id;

	managed_pending(self);
	id = info_get(self->server).id;
	EXPECT_EQ(-EPERM, agent_done(&self->agent, id, &self->tx, &self->rx));
	EXPECT_EQ(-EPERM, agent_fail(&self->agent, id, EPROTO));
	finish(self);
}

TEST_F(managed, server_closes_while_waiting)
{
	struct itls_nl_request req;

	managed_pending(self);
	close(self->server);
	self->server = -1;
	stat_wait("CurrPending", 0);
	EXPECT_EQ(1, stat_get("HandshakeServerGone"));
	EXPECT_EQ(-EAGAIN, itls_nl_accept(self->agent.nl, &req));
	expect_no_byte(self->client.fd);
}

TEST_F(managed, server_closes_after_accept)
{
	struct itls_nl_request req;
	char c;

	managed_pending(self);
	agent_accept(&self->agent, &req);
	close(self->server);
	self->server = -1;
	EXPECT_NE(0, sock_poll(req.fd, POLLIN, test_wait_ms()));
	EXPECT_ERRNO(ECONNABORTED, read(req.fd, &c, 1));
	EXPECT_ERRNO(ECONNABORTED, write(req.fd, "x", 1));
	EXPECT_EQ(-ESRCH, agent_done(&self->agent, req.id, &self->tx, &self->rx));
	EXPECT_EQ(1, stat_get("HandshakeServerGone"));
	/* The channel may outlive the socket by any time. */
	stat_wait("CurrPending", 0);
	expect_no_byte(self->client.fd);
	close(req.fd);
}

TEST_F(managed, server_shuts_down_while_pending)
{
	char c;

	managed_pending(self);
	shutdown(self->server, SHUT_RDWR);
	EXPECT_GE(0, recv(self->server, &c, 1, MSG_DONTWAIT));
	EXPECT_EQ(-1, send(self->server, "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT));
	close(self->server);
	self->server = -1;
	expect_no_byte(self->client.fd);
}

static void *close_server(void *arg)
{
	close(*(int *)arg);
	return NULL;
}

/* DONE against close(): one of them wins, nothing is left behind. */
TEST_F_TIMEOUT(managed, race_done_close, 60)
{
	struct itls_nl_request req;
	pthread_t thread;
	int i, err;

	for (i = 0; i < 100; i++) {
		managed_pending(self);
		agent_accept(&self->agent, &req);
		ASSERT_EQ(0, pthread_create(&thread, NULL, close_server, &self->server));
		err = agent_done(&self->agent, req.id, &self->tx, &self->rx);
		EXPECT_TRUE(err == 0 || err == -ESRCH);
		ASSERT_EQ(0, pthread_join(thread, NULL));
		self->server = -1;
		close(req.fd);
		peer_free(&self->client);
	}
	EXPECT_EQ(100, stat_get("HandshakeDone") + stat_get("HandshakeServerGone"));
}

/* The channel closed against the server's close(). */
TEST_F_TIMEOUT(managed, race_channel_close, 60)
{
	struct itls_nl_request req;
	pthread_t thread;
	int i;

	for (i = 0; i < 100; i++) {
		managed_pending(self);
		agent_accept(&self->agent, &req);
		ASSERT_EQ(0, pthread_create(&thread, NULL, close_server, &self->server));
		close(req.fd);
		ASSERT_EQ(0, pthread_join(thread, NULL));
		self->server = -1;
		peer_free(&self->client);
	}
	stat_wait("CurrPending", 0);
}

/* Takes the request unless its deadline was faster. */
static bool accept_in_time(struct managed_data *self, struct itls_nl_request *req)
{
	while (itls_nl_accept(self->agent.nl, req))
		if (info_get(self->server).state == ITLS_STATE_FAILED)
			return false;
	return true;
}

/* DONE against the deadline: the state tells who won, and DONE was told the same. */
TEST_F_TIMEOUT(managed, race_done_deadline, 60)
{
	struct itls_nl_request req;
	int i, err, done = 0;

	stat_param_set("handshake_timeout_ms", 40);
	for (i = 0; i < 50; i++) {
		managed_pending(self);
		err = -ESRCH;
		if (accept_in_time(self, &req)) {
			if (req.deadline_ms > 2)
				poll(NULL, 0, req.deadline_ms - 2 + i % 5);
			err = agent_done(&self->agent, req.id, &self->tx, &self->rx);
			close(req.fd);
		}
		if (err) {
			EXPECT_EQ(-ESRCH, err);
			expect_failed(self->server, ETIMEDOUT);
		} else {
			done++;
			expect_works(self->server, &self->client);
		}
		close(self->server);
		self->server = -1;
		peer_free(&self->client);
	}
	EXPECT_EQ(done, stat_get("HandshakeDone"));
	EXPECT_EQ(50 - done, stat_get("HandshakeTimeout"));
}

/* Clients that come and go at every step leave nothing behind. */
TEST_F_TIMEOUT(managed, many_aborts, 60)
{
	struct itls_nl_request req;
	int i;

	for (i = 0; i < 120; i++) {
		managed_pending(self);
		if (i % 4)
			agent_accept(&self->agent, &req);
		if (i & 1)
			sock_reset(self->client.fd);
		else
			close(self->client.fd);
		self->client.fd = -1;
		peer_free(&self->client);
		if (i % 4 == 2)
			agent_done(&self->agent, req.id, &self->tx, &self->rx);
		if (i % 4)
			close(req.fd);
		close(self->server);
		self->server = -1;
	}
}
