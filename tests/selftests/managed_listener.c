// SPDX-License-Identifier: GPL-2.0
/*
 * Marked listeners: the mark itself, whom it covers, and what becomes of
 * descriptors that are shared, passed on or closed.
 */
#define _GNU_SOURCE
#include "managed.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

FIXTURE_VARIANT_ADD(managed, v4) {
	.version = TLS_1_3_VERSION, .cipher = TLS_CIPHER_AES_GCM_256, .family = AF_INET,
};

FIXTURE_VARIANT_ADD(managed, v6) {
	.version = TLS_1_2_VERSION, .cipher = TLS_CIPHER_AES_GCM_128, .family = AF_INET6,
};

static void expect_plain(int server, int client)
{
	char buf[8];

	ASSERT_EQ(4, send(client, "ping", 4, 0));
	sock_recv_all(server, buf, 4);
	EXPECT_MEMEQ("ping", buf, 4);
	ASSERT_EQ(4, send(server, "pong", 4, 0));
	sock_recv_all(client, buf, 4);
	EXPECT_MEMEQ("pong", buf, 4);
}

/* ---- the mark ---- */

TEST_F(managed, mark_reads_back)
{
	char name[ITLS_PROFILE_MAX + 1] = "";
	socklen_t len = sizeof(name);

	ASSERT_EQ(0, getsockopt(self->listener, SOL_TLS, ITLS_LISTEN, name, &len));
	EXPECT_EQ(strlen(PROFILE), len);
	EXPECT_MEMEQ(PROFILE, name, strlen(PROFILE));
	EXPECT_EQ(ITLS_STATE_LISTEN, info_get(self->listener).state);
}

TEST_F(managed, unmarked_reads_back_empty)
{
	char name[ITLS_PROFILE_MAX + 1];
	socklen_t len = sizeof(name);

	ASSERT_EQ(0, listener_mark(self->listener, ""));
	ASSERT_EQ(0, getsockopt(self->listener, SOL_TLS, ITLS_LISTEN, name, &len));
	EXPECT_EQ(0, len);
}

TEST_F(managed, name_refusals)
{
	static const char *const bad[] = { "a b", "a/b", "a\nb", "caf\xc3\xa9", "a:b", "a,b" };
	char name[ITLS_PROFILE_MAX + 2];
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		EXPECT_ERRNO(EINVAL, listener_mark(self->listener, bad[i]));
	EXPECT_ERRNO(EINVAL, setsockopt(self->listener, SOL_TLS, ITLS_LISTEN, "a\0b", 3));
	memset(name, 'a', sizeof(name));
	name[sizeof(name) - 1] = 0;
	EXPECT_ERRNO(EINVAL, listener_mark(self->listener, name));
	EXPECT_ERRNO(EFAULT, setsockopt(self->listener, SOL_TLS, ITLS_LISTEN, (void *)8, 4));
	/* Nothing changed. */
	EXPECT_EQ(0, strcmp(PROFILE, info_get(self->listener).profile));
	managed_establish(self);
	expect_works(self->server, &self->client);
}

TEST_F(managed, longest_name)
{
	char name[ITLS_PROFILE_MAX + 1];

	memset(name, 'Z', sizeof(name));
	name[ITLS_PROFILE_MAX] = 0;
	memcpy(name, "a.-_9", 5);
	ASSERT_EQ(0, listener_mark(self->listener, name));
	managed_pending(self);
	EXPECT_EQ(0, strcmp(name, info_get(self->server).profile));
}

TEST_F(managed, profile_changes_for_later_ones)
{
	struct itls_nl_request req;
	int first, second;

	sock_connect(self->listener);
	first = sock_accept(self->listener);
	ASSERT_EQ(0, listener_mark(self->listener, "other"));
	sock_connect(self->listener);
	second = sock_accept(self->listener);
	EXPECT_EQ(0, strcmp(PROFILE, info_get(first).profile));
	EXPECT_EQ(0, strcmp("other", info_get(second).profile));
	agent_accept(&self->agent, &req);
	EXPECT_EQ(0, strcmp(PROFILE, req.profile));
	close(req.fd);
	agent_accept(&self->agent, &req);
	EXPECT_EQ(0, strcmp("other", req.profile));
	close(req.fd);
	close(first);
	close(second);
}

TEST_F(managed, mark_on_a_connection)
{
	int fd[2];

	sock_pair(variant->family, fd);
	ulp_require(fd[0]);
	EXPECT_ERRNO(EINVAL, listener_mark(fd[0], PROFILE));
	expect_plain(fd[0], fd[1]);
	close(fd[0]);
	close(fd[1]);
}

TEST_F(managed, keys_on_a_listener)
{
	EXPECT_EQ(-1, key_set(self->listener, TLS_TX, &self->tx));
	EXPECT_EQ(-1, key_set(self->listener, TLS_RX, &self->rx));
	managed_establish(self);
	expect_works(self->server, &self->client);
}

/* A listener that has ceased to listen is no connection either, and may listen again. */
TEST_F(managed, keys_on_a_former_listener)
{
	ASSERT_EQ(0, shutdown(self->listener, SHUT_RD));
	EXPECT_ERRNO(ENOTCONN, key_set(self->listener, TLS_TX, &self->tx));
	EXPECT_ERRNO(ENOTCONN, key_set(self->listener, TLS_RX, &self->rx));
	ASSERT_EQ(0, listen(self->listener, 4));
	managed_establish(self);
	expect_works(self->server, &self->client);
}

/* ULP without a mark: a listener like any other. */
TEST_F(managed, ulp_without_mark)
{
	int listener = sock_listen(variant->family), client, server;

	listener_require(listener);
	client = sock_connect(listener);
	server = sock_accept(listener);
	expect_plain(server, client);
	EXPECT_EQ(0, stat_get("HandshakeSubmitted"));
	close(client);
	close(server);
	close(listener);
}

/* ---- whom it covers ---- */

/* Not accepted yet when the mark is set: its handshake is still asked for. */
TEST_F(managed, connection_in_the_queue_when_marked)
{
	int listener = sock_listen(variant->family);

	close(self->listener);
	self->listener = listener;
	peer_init(&self->client, sock_connect(listener), &self->tx, &self->rx);
	sock_send_all(self->client.fd, "clear", 5);
	ASSERT_NE(0, sock_poll(listener, POLLIN, test_wait_ms()));
	listener_require(listener);
	ASSERT_EQ(0, listener_mark(listener, PROFILE));
	self->server = sock_accept(listener);
	EXPECT_EQ(ITLS_STATE_PENDING, info_get(self->server).state);
	EXPECT_ERRNO(EAGAIN, recv(self->server, SCRATCH(8), 8, MSG_DONTWAIT));
	EXPECT_ERRNO(EAGAIN, send(self->server, "x", 1, MSG_DONTWAIT));
}

struct acceptor {
	int listener, fd;
	volatile pid_t tid;
};

static void *accept_one(void *arg)
{
	struct acceptor *a = arg;

	a->tid = gettid();
	a->fd = accept(a->listener, NULL, NULL);
	return NULL;
}

/* A thread that sleeps in accept() while another marks the listener. */
TEST_F(managed, blocked_accept_when_marked)
{
	struct acceptor a = { .fd = -1 };
	pthread_t thread;

	close(self->listener);
	a.listener = sock_listen(variant->family);
	self->listener = a.listener;
	ASSERT_EQ(0, pthread_create(&thread, NULL, accept_one, &a));
	while (!a.tid || !test_is_asleep(a.tid))
		sched_yield();
	listener_require(self->listener);
	ASSERT_EQ(0, listener_mark(self->listener, PROFILE));
	peer_init(&self->client, sock_connect(self->listener), &self->tx, &self->rx);
	ASSERT_EQ(0, pthread_join(thread, NULL));
	ASSERT_LE(0, a.fd);
	self->server = a.fd;
	EXPECT_ERRNO(EAGAIN, recv(a.fd, SCRATCH(8), 8, MSG_DONTWAIT));
	agent_establish(&self->agent, &self->tx, &self->rx);
	expect_works(self->server, &self->client);
}

/* The same, and the first thing the server does with its connection is one of many. */
enum first_use { USE_SPLICE, USE_SEND, USE_READ, USE_FIONREAD, USE_PEEK, USE_POLL, USE_DISCONNECT };

static void first_use(struct managed_data *self, int fd, enum first_use use)
{
	struct sockaddr unspec = { .sa_family = AF_UNSPEC };
	char buf[16];
	int p[2], n;

	ASSERT_EQ(0, pipe2(p, O_CLOEXEC));
	sock_nonblock(fd, true);
	switch (use) {
	case USE_SPLICE:
		EXPECT_ERRNO(EAGAIN, splice(fd, NULL, p[1], NULL, 16, SPLICE_F_NONBLOCK));
		/* Only a call that passes struct proto asks for the handshake. */
		EXPECT_ERRNO(EAGAIN, read(fd, buf, sizeof(buf)));
		break;
	case USE_SEND:
		EXPECT_ERRNO(EAGAIN, send(fd, "x", 1, 0));
		peer_expect_silence(&self->client, fd);
		break;
	case USE_READ:
		EXPECT_ERRNO(EAGAIN, read(fd, buf, sizeof(buf)));
		break;
	case USE_FIONREAD:
		EXPECT_EQ(0, ioctl(fd, FIONREAD, &n));
		EXPECT_EQ(0, n);
		break;
	case USE_PEEK:
		EXPECT_ERRNO(EAGAIN, recv(fd, buf, sizeof(buf), MSG_PEEK));
		break;
	case USE_POLL:
		/* poll() may not know yet, but what it promises is not there. */
		sock_poll(fd, POLLIN, 0);
		EXPECT_ERRNO(EAGAIN, recv(fd, buf, sizeof(buf), 0));
		EXPECT_EQ(0, sock_poll(fd, POLLIN | POLLOUT, 0));
		break;
	case USE_DISCONNECT:
		EXPECT_ERRNO(EOPNOTSUPP, connect(fd, &unspec, sizeof(unspec)));
		EXPECT_ERRNO(EAGAIN, read(fd, buf, sizeof(buf)));
		break;
	}
	sock_nonblock(fd, false);
	close(p[0]);
	close(p[1]);
}

static void blocked_accept_case(struct managed_data *self, int family, enum first_use use)
{
	struct acceptor a = { .fd = -1 };
	struct itls_nl_request req;
	pthread_t thread;
	char raw[8];

	close(self->listener);
	a.listener = sock_listen(family);
	self->listener = a.listener;
	ASSERT_EQ(0, pthread_create(&thread, NULL, accept_one, &a));
	while (!a.tid || !test_is_asleep(a.tid))
		sched_yield();
	listener_require(self->listener);
	ASSERT_EQ(0, listener_mark(self->listener, PROFILE));
	peer_init(&self->client, sock_connect(self->listener), &self->tx, &self->rx);
	sock_send_all(self->client.fd, "clear", 5);
	ASSERT_EQ(0, pthread_join(thread, NULL));
	self->server = a.fd;
	ASSERT_NE(0, sock_poll(self->server, POLLIN, test_wait_ms()));
	first_use(self, self->server, use);
	/* Whatever it was, the handshake is asked for and the bytes are the agent's. */
	agent_accept(&self->agent, &req);
	ASSERT_EQ(5, read(req.fd, raw, sizeof(raw)));
	EXPECT_MEMEQ("clear", raw, 5);
	ASSERT_EQ(0, agent_done(&self->agent, req.id, &self->tx, &self->rx));
	close(req.fd);
	expect_works(self->server, &self->client);
}

TEST_F(managed, blocked_accept_then_splice)
{
	blocked_accept_case(self, variant->family, USE_SPLICE);
}

TEST_F(managed, blocked_accept_then_send)
{
	blocked_accept_case(self, variant->family, USE_SEND);
}

TEST_F(managed, blocked_accept_then_read)
{
	blocked_accept_case(self, variant->family, USE_READ);
}

TEST_F(managed, blocked_accept_then_fionread)
{
	blocked_accept_case(self, variant->family, USE_FIONREAD);
}

TEST_F(managed, blocked_accept_then_peek)
{
	blocked_accept_case(self, variant->family, USE_PEEK);
}

TEST_F(managed, blocked_accept_then_poll)
{
	blocked_accept_case(self, variant->family, USE_POLL);
}

TEST_F(managed, blocked_accept_then_disconnect)
{
	blocked_accept_case(self, variant->family, USE_DISCONNECT);
}

/* The server closes, or dies, before it uses what it accepted. */
TEST_F(managed, blocked_accept_then_close)
{
	struct acceptor a = { .fd = -1 };
	pthread_t thread;

	close(self->listener);
	a.listener = sock_listen(variant->family);
	self->listener = a.listener;
	ASSERT_EQ(0, pthread_create(&thread, NULL, accept_one, &a));
	while (!a.tid || !test_is_asleep(a.tid))
		sched_yield();
	listener_require(self->listener);
	ASSERT_EQ(0, listener_mark(self->listener, PROFILE));
	peer_init(&self->client, sock_connect(self->listener), &self->tx, &self->rx);
	ASSERT_EQ(0, pthread_join(thread, NULL));
	close(a.fd);
	expect_no_byte(self->client.fd);
}

TEST_F(managed, detach)
{
	int client, server;

	managed_establish(self);
	ASSERT_EQ(0, listener_mark(self->listener, ""));
	client = sock_connect(self->listener);
	server = sock_accept(self->listener);
	expect_plain(server, client);
	expect_works(self->server, &self->client);
	EXPECT_EQ(1, stat_get("HandshakeSubmitted"));
	close(client);
	close(server);
	/* And marked again. */
	ASSERT_EQ(0, listener_mark(self->listener, "again"));
	close(self->server);
	peer_free(&self->client);
	managed_establish(self);
	expect_works(self->server, &self->client);
}

TEST_F(managed, detach_while_pending)
{
	managed_pending(self);
	ASSERT_EQ(0, listener_mark(self->listener, ""));
	EXPECT_ERRNO(EAGAIN, recv(self->server, SCRATCH(8), 8, MSG_DONTWAIT));
	agent_establish(&self->agent, &self->tx, &self->rx);
	expect_works(self->server, &self->client);
}

TEST_F(managed, close_of_listener)
{
	managed_establish(self);
	close(self->listener);
	self->listener = -1;
	expect_works(self->server, &self->client);
}

TEST_F(managed, close_of_listener_while_pending)
{
	managed_pending(self);
	close(self->listener);
	self->listener = -1;
	agent_establish(&self->agent, &self->tx, &self->rx);
	expect_works(self->server, &self->client);
}

/* Connections nobody accepted go with the listener. */
TEST_F(managed, close_of_listener_with_queue)
{
	int client[5], i;

	for (i = 0; i < 5; i++)
		client[i] = sock_connect(self->listener);
	close(self->listener);
	self->listener = -1;
	for (i = 0; i < 5; i++) {
		expect_no_byte(client[i]);
		close(client[i]);
	}
}

TEST_F(managed, shutdown_of_listener)
{
	managed_establish(self);
	ASSERT_EQ(0, shutdown(self->listener, SHUT_RDWR));
	EXPECT_ERRNO(EINVAL, accept(self->listener, NULL, NULL));
	expect_works(self->server, &self->client);
	/* listen() again: the mark is of the socket. */
	ASSERT_EQ(0, listen(self->listener, 16));
	close(self->server);
	peer_free(&self->client);
	managed_pending(self);
	EXPECT_EQ(ITLS_STATE_PENDING, info_get(self->server).state);
}

TEST_F(managed, client_gone_before_accept)
{
	char c;

	sock_reset(sock_connect(self->listener));
	ASSERT_NE(0, sock_poll(self->listener, POLLIN, test_wait_ms()));
	self->server = accept(self->listener, NULL, NULL);
	if (self->server >= 0)
		EXPECT_GE(0, recv(self->server, &c, 1, MSG_DONTWAIT));
}

TEST_F(managed, accept4_nonblock)
{
	peer_init(&self->client, sock_connect(self->listener), &self->tx, &self->rx);
	ASSERT_NE(0, sock_poll(self->listener, POLLIN, test_wait_ms()));
	self->server = accept4(self->listener, NULL, NULL, SOCK_NONBLOCK);
	ASSERT_LE(0, self->server);
	EXPECT_ERRNO(EAGAIN, recv(self->server, SCRATCH(8), 8, 0));
	agent_establish(&self->agent, &self->tx, &self->rx);
	sock_nonblock(self->server, false);
	expect_works(self->server, &self->client);
	sock_nonblock(self->listener, true);
	EXPECT_ERRNO(EAGAIN, accept(self->listener, NULL, NULL));
}

TEST_F(managed, many_at_once)
{
	struct peer client[64] = {};
	int server[64], i;

	for (i = 0; i < 64; i++) {
		peer_init(&client[i], sock_connect(self->listener), &self->tx, &self->rx);
		server[i] = sock_accept(self->listener);
	}
	EXPECT_EQ(64, stat_get("CurrPending"));
	for (i = 0; i < 64; i++)
		agent_establish(&self->agent, &self->tx, &self->rx);
	for (i = 0; i < 64; i++)
		expect_works(server[i], &client[i]);
	for (i = 0; i < 64; i++) {
		close(server[i]);
		peer_free(&client[i]);
	}
}

/* ---- descriptors on the move ---- */

TEST_F(managed, fork_shares_the_connection)
{
	uint8_t buf[8];
	int status;
	pid_t pid;

	managed_establish(self);
	pid = fork();
	if (!pid)
		_exit(send(self->server, "child", 5, 0) != 5);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	ASSERT_EQ(1, peer_recv_all(&self->client, buf, 5));
	EXPECT_MEMEQ("child", buf, 5);
	/* The child's exit closed its copy: that is not the end. */
	expect_works(self->server, &self->client);
	EXPECT_EQ(0, stat_get("TxCloseNotify"));
}

/* As prefork servers do: the child accepts on the listener that it inherited. */
TEST_F(managed, forked_worker_accepts)
{
	int status, fd;
	pid_t pid;
	char c;

	peer_init(&self->client, sock_connect(self->listener), &self->tx, &self->rx);
	pid = fork();
	if (!pid) {
		fd = accept(self->listener, NULL, NULL);
		_exit(fd < 0 || recv(fd, &c, 1, 0) != 1 || c != 'x' || send(fd, "y", 1, 0) != 1);
	}
	agent_establish(&self->agent, &self->tx, &self->rx);
	peer_send(&self->client, REC_DATA, "x", 1);
	ASSERT_EQ(1, peer_recv_data(&self->client, (uint8_t *)&c, 1));
	EXPECT_EQ('y', c);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
}

static void pass_fd(int via, int fd)
{
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {};
	struct iovec iov = { "f", 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control.buf, .msg_controllen = sizeof(control.buf),
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
	ASSERT_EQ(1, sendmsg(via, &msg, 0));
}

static int take_fd(int via)
{
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {};
	char c;
	struct iovec iov = { &c, 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control.buf, .msg_controllen = sizeof(control.buf),
	};
	int fd;

	ASSERT_EQ(1, recvmsg(via, &msg, MSG_CMSG_CLOEXEC));
	ASSERT_TRUE(CMSG_FIRSTHDR(&msg));
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
	return fd;
}

TEST_F(managed, passed_over_a_unix_socket)
{
	int via[2], fd;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, via));
	managed_pending(self);
	pass_fd(via[0], self->server);
	close(self->server);
	self->server = -1;
	agent_establish(&self->agent, &self->tx, &self->rx);
	fd = take_fd(via[1]);
	expect_works(fd, &self->client);
	close(fd);
	close(via[0]);
	close(via[1]);
}

TEST_F(managed, passed_channel)
{
	struct itls_nl_request req;
	int via[2], fd;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, via));
	managed_pending(self);
	agent_accept(&self->agent, &req);
	pass_fd(via[0], req.fd);
	close(req.fd);
	EXPECT_EQ(0, sock_poll(self->server, POLLIN, 0));
	fd = take_fd(via[1]);
	ASSERT_EQ(3, write(fd, "raw", 3));
	/* The last copy closes: the handshake has failed. */
	close(fd);
	expect_failed(self->server, ECONNABORTED);
	close(via[0]);
	close(via[1]);
}

TEST_F(managed, dup_closes_with_the_last)
{
	int copy;

	managed_establish(self);
	copy = dup(self->server);
	ASSERT_LE(0, copy);
	close(self->server);
	self->server = copy;
	expect_works(self->server, &self->client);
	EXPECT_EQ(0, stat_get("TxCloseNotify"));
}

/* What itlsctl does: marks another process's listener through pidfd_getfd(). */
TEST_F(managed, marked_from_outside)
{
	struct itls_nl_request req;
	int ready[2], listener, pidfd, mine;
	pid_t pid;

	close(self->listener);
	self->listener = -1;
	ASSERT_EQ(0, pipe2(ready, O_CLOEXEC));
	pid = fork();
	if (!pid) {
		char c;

		listener = sock_listen(variant->family);
		ASSERT_EQ(sizeof(int), write(ready[1], &listener, sizeof(int)));
		mine = accept(listener, NULL, NULL);
		_exit(recv(mine, &c, 1, 0) != 1 || c != 'x');
	}
	ASSERT_EQ(sizeof(int), read(ready[0], &listener, sizeof(int)));
	pidfd = syscall(SYS_pidfd_open, pid, 0);
	ASSERT_LE(0, pidfd);
	self->listener = syscall(SYS_pidfd_getfd, pidfd, listener, 0);
	ASSERT_LE(0, self->listener);
	close(pidfd);
	listener_require(self->listener);
	ASSERT_EQ(0, listener_mark(self->listener, PROFILE));
	peer_init(&self->client, sock_connect(self->listener), &self->tx, &self->rx);
	agent_accept(&self->agent, &req);
	EXPECT_EQ(getpid(), req.owner_pid);
	ASSERT_EQ(0, agent_done(&self->agent, req.id, &self->tx, &self->rx));
	close(req.fd);
	peer_send(&self->client, REC_DATA, "x", 1);
	ASSERT_EQ(pid, waitpid(pid, &ready[0], 0));
	EXPECT_EQ(0, ready[0]);
}
