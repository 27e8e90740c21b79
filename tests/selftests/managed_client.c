// SPDX-License-Identifier: GPL-2.0
/*
 * Client sockets: ITLS_CONNECT as a program calls it, and what the agent is
 * told.
 */
#define _GNU_SOURCE
#include "managed_client.h"

#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

/* ---- success -------------------------------------------------------------------------- */

TEST_F(client, blocking)
{
	struct waiter w;

	waiter_start(&w, self);
	agent_establish(&self->agent, &self->tx, &self->rx);
	waiter_join(&w, 0);
	expect_talk(self);
	EXPECT_ERRNO(EISCONN, connect_set(self->fd, &self->c));
	EXPECT_EQ(1, stat_get("HandshakeDone"));
}

TEST_F(client, nonblocking)
{
	begin(self);
	EXPECT_ERRNO(EALREADY, connect_set(self->fd, &self->c));
	EXPECT_EQ(0, sock_error(self->fd));
	succeed(self);
	expect_talk(self);
	EXPECT_ERRNO(EISCONN, connect_set(self->fd, &self->c));
	EXPECT_EQ(0, sock_error(self->fd));
}

/* Nobody else can begin while one waits. */
TEST_F(client, second_call_while_one_waits)
{
	struct waiter w;

	waiter_start(&w, self);
	sock_nonblock(self->fd, true);
	EXPECT_ERRNO(EALREADY, connect_set(self->fd, &self->c));
	sock_nonblock(self->fd, false);
	agent_establish(&self->agent, &self->tx, &self->rx);
	waiter_join(&w, 0);
}

TEST_F(client, nothing_is_ready_while_pending)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET };
	int ep = epoll_create1(EPOLL_CLOEXEC), n = -1;
	char c;

	begin(self);
	ASSERT_EQ(0, epoll_ctl(ep, EPOLL_CTL_ADD, self->fd, &ev));
	EXPECT_EQ(0, epoll_wait(ep, &ev, 1, 0));
	EXPECT_EQ(0, sock_poll(self->fd, POLLIN | POLLOUT | POLLRDHUP | POLLPRI, 0));
	peer_send_raw(&self->peer, "server hello", 12);
	sock_wait_received(self->fd, 12);
	EXPECT_EQ(0, sock_poll(self->fd, POLLIN | POLLOUT | POLLRDHUP | POLLPRI, 0));
	EXPECT_ERRNO(EAGAIN, recv(self->fd, &c, 1, 0));
	EXPECT_ERRNO(EAGAIN, recv(self->fd, &c, 1, MSG_PEEK));
	EXPECT_ERRNO(EAGAIN, send(self->fd, "x", 1, 0));
	ASSERT_EQ(0, ioctl(self->fd, FIONREAD, &n));
	EXPECT_EQ(0, n);
	peer_expect_silence(&self->peer, self->fd);
	agent_establish(&self->agent, &self->tx, &self->rx);
	/* The edge a program waits for. */
	ASSERT_EQ(1, epoll_wait(ep, &ev, 1, test_wait_ms()));
	EXPECT_TRUE(ev.events & EPOLLOUT);
	close(ep);
}

/* Programs that do not know it yet wait in send() and recv(), as on connect(). */
static void *reader(void *arg)
{
	struct client_data *self = arg;

	expect_data(self, "first", 5);
	return NULL;
}

TEST_F(client, reader_waits_for_the_handshake)
{
	pthread_t thread;

	begin(self);
	sock_nonblock(self->fd, false);
	ASSERT_EQ(0, pthread_create(&thread, NULL, reader, self));
	agent_establish(&self->agent, &self->tx, &self->rx);
	peer_send(&self->peer, REC_DATA, "first", 5);
	ASSERT_EQ(0, pthread_join(thread, NULL));
	expect_talk(self);
}

/* What was said in clear before is the program's business (STARTTLS). */
TEST_F(client, after_some_words_in_clear)
{
	char buf[16];

	ASSERT_EQ(8, send(self->fd, "STARTTLS", 8, 0));
	sock_recv_all(self->peer.fd, buf, 8);
	EXPECT_MEMEQ("STARTTLS", buf, 8);
	peer_send_raw(&self->peer, "220 go", 6);
	ASSERT_EQ(6, recv(self->fd, buf, 6, MSG_WAITALL));
	establish(self);
	expect_talk(self);
}

TEST_F(client, info)
{
	uint8_t digest[ITLS_DIGEST_LEN];
	struct itls_nl_request req;
	struct itls_nl_done done;
	struct itls_info info;

	begin(self);
	info = info_get(self->fd);
	EXPECT_EQ(ITLS_STATE_PENDING, info.state);
	EXPECT_EQ(ITLS_ROLE_CLIENT, info.role);
	EXPECT_EQ(0, strcmp(PROFILE, info.profile));
	EXPECT_EQ(ITLS_VERIFY_NONE, info.verify);
	done_init(self, &req, &done);
	EXPECT_EQ(info.id, req.id);
	memset(digest, 'd', sizeof(digest));
	done.peer_digest = digest;
	done.verify = ITLS_VERIFY_OK;
	done.peer_subject = "CN=www.server.test,O=Servers";
	done.alpn = "http/1.1";
	done.sni = SERVER;
	done.resumed = true;
	agent_finish(&self->agent, &req, &done);
	info = info_get(self->fd);
	EXPECT_EQ(ITLS_STATE_ESTABLISHED, info.state);
	EXPECT_EQ(ITLS_ROLE_CLIENT, info.role);
	EXPECT_EQ(ITLS_VERIFY_OK, info.verify);
	EXPECT_EQ(0, strcmp("CN=www.server.test,O=Servers", info.peer_subject));
	EXPECT_EQ(0, strcmp("http/1.1", info.alpn));
	EXPECT_EQ(0, strcmp(SERVER, info.sni));
	EXPECT_EQ(1, info.resumed);
	EXPECT_MEMEQ(digest, info.peer_digest, sizeof(digest));
	EXPECT_EQ(sizeof(info), info.size);
}

TEST_F(client, longest_subject)
{
	char subject[ITLS_SUBJECT_MAX + 1];
	struct itls_nl_request req;
	struct itls_nl_done done;

	memset(subject, 's', sizeof(subject));
	subject[ITLS_SUBJECT_MAX] = 0;
	begin(self);
	done_init(self, &req, &done);
	done.peer_subject = subject;
	agent_finish(&self->agent, &req, &done);
	EXPECT_EQ(0, strcmp(subject, info_get(self->fd).peer_subject));
}

/* An info as long as it was before clients came. */
TEST_F(client, old_programs_info)
{
	struct { struct itls_info info; uint8_t more[8]; } got;
	socklen_t len = offsetof(struct itls_info, tx_rekeys);

	establish(self);
	memset(&got, 0xee, sizeof(got));
	ASSERT_EQ(0, getsockopt(self->fd, SOL_TLS, ITLS_INFO, &got, &len));
	EXPECT_EQ(offsetof(struct itls_info, tx_rekeys), len);
	EXPECT_EQ(len, got.info.size);
	EXPECT_EQ(0xeeeeeeee, got.info.tx_rekeys);
	len = sizeof(got);
	ASSERT_EQ(0, getsockopt(self->fd, SOL_TLS, ITLS_INFO, &got, &len));
	EXPECT_EQ(sizeof(struct itls_info), len);
	EXPECT_EQ(0xee, got.more[0]);
}

/* Bytes that the agent had decrypted already come first. */
TEST_F(client, prefix)
{
	uint8_t *data = alloc_pattern(ITLS_PREFIX_MAX, 0);
	struct itls_nl_request req;
	struct itls_nl_done done;

	begin(self);
	done_init(self, &req, &done);
	done.prefix = data;
	done.prefix_len = ITLS_PREFIX_MAX;
	agent_finish(&self->agent, &req, &done);
	peer_send(&self->peer, REC_DATA, "behind", 6);
	EXPECT_EQ(POLLIN, sock_poll(self->fd, POLLIN, test_wait_ms()));
	sock_nonblock(self->fd, false);
	expect_data(self, data, ITLS_PREFIX_MAX);
	expect_data(self, "behind", 6);
	free(data);
}

/* The agent speaks to the server through its channel; what came before is for it, too. */
TEST_F(client, channel)
{
	struct itls_nl_request req;
	struct itls_nl_done done;
	char buf[32];

	peer_send_raw(&self->peer, "early ", 6);
	begin(self);
	done_init(self, &req, &done);
	ASSERT_EQ(12, write(req.fd, "client hello", 12));
	sock_recv_all(self->peer.fd, buf, 12);
	EXPECT_MEMEQ("client hello", buf, 12);
	peer_send_raw(&self->peer, "server hello", 12);
	sock_wait_received(self->fd, self->peer.sent);
	ASSERT_EQ(18, read(req.fd, buf, sizeof(buf)));
	EXPECT_MEMEQ("early server hello", buf, 18);
	agent_finish(&self->agent, &req, &done);
	ASSERT_EQ(POLLOUT, sock_poll(self->fd, POLLOUT, test_wait_ms()));
	sock_nonblock(self->fd, false);
	expect_talk(self);
}

/* ---- what the agent is told ---------------------------------------------------------------- */

static void expect_blob(const struct itls_nl_blob *blob, const void *data, size_t len)
{
	ASSERT_EQ(len, blob->len);
	if (!len)
		EXPECT_FALSE(blob->data);
	else
		EXPECT_MEMEQ(data, blob->data, len);
}

TEST_F(client, request)
{
	struct sockaddr_storage local = {}, peer = {};
	socklen_t len = sizeof(local);
	struct itls_nl_request req;
	char comm[32] = {};
	FILE *f = fopen("/proc/self/comm", "re");

	ASSERT_TRUE(f && fgets(comm, sizeof(comm), f));
	fclose(f);
	comm[strcspn(comm, "\n")] = 0;
	ASSERT_EQ(0, getsockname(self->fd, (void *)&local, &len));
	ASSERT_EQ(0, getpeername(self->fd, (void *)&peer, &len));
	begin(self);
	agent_accept(&self->agent, &req);
	EXPECT_EQ(ITLS_ROLE_CLIENT, req.role);
	EXPECT_EQ(0, strcmp(PROFILE, req.profile));
	EXPECT_EQ(0, strcmp(SERVER, req.server_name));
	EXPECT_EQ(getuid(), req.owner_uid);
	EXPECT_EQ(getpid(), req.owner_pid);
	EXPECT_EQ(0, strncmp(comm, req.owner_comm, ITLS_COMM_LEN - 1));
	EXPECT_MEMEQ(&local, &req.local, len);
	EXPECT_MEMEQ(&peer, &req.peer, len);
	EXPECT_LT(0, req.deadline_ms);
	expect_blob(&req.ca, NULL, 0);
	expect_blob(&req.cert, NULL, 0);
	expect_blob(&req.key, NULL, 0);
	close(req.fd);
}

/* Whoever asks, not whoever connected or attached. */
TEST_F(client, request_of_another_user)
{
	struct itls_nl_request req;
	int status;
	pid_t pid = fork();

	ASSERT_LE(0, pid);
	if (!pid) {
		ASSERT_EQ(0, setresgid(65534, 65534, 65534));
		ASSERT_EQ(0, setresuid(65534, 65534, 65534));
		begin(self);
		_exit(0);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_EQ(0, status);
	agent_accept(&self->agent, &req);
	EXPECT_EQ(65534, req.owner_uid);
	EXPECT_EQ(pid, (pid_t)req.owner_pid);
	close(req.fd);
}

TEST_F(client, longest_names)
{
	struct itls_nl_request req;

	memset(self->c.profile, 'p', ITLS_PROFILE_MAX);
	memset(self->c.server_name, 'n', ITLS_SNI_MAX);
	begin(self);
	agent_accept(&self->agent, &req);
	EXPECT_EQ(0, strcmp(self->c.profile, req.profile));
	EXPECT_EQ(0, strcmp(self->c.server_name, req.server_name));
	close(req.fd);
}

static const char *const addresses[] = { "192.0.2.1", "2001:db8::1", "xn--bcher-kva.test", "a" };

TEST_F(client, names_of_all_kinds)
{
	struct itls_nl_request req;
	int fd[2];
	size_t i;

	for (i = 0; i < sizeof(addresses) / sizeof(*addresses); i++) {
		sock_pair(variant->family, fd);
		ulp_require(fd[0]);
		sock_nonblock(fd[0], true);
		connect_init(&self->c, PROFILE, addresses[i]);
		ASSERT_ERRNO(EINPROGRESS, connect_set(fd[0], &self->c));
		agent_accept(&self->agent, &req);
		EXPECT_EQ(0, strcmp(addresses[i], req.server_name));
		close(req.fd);
		close(fd[0]);
		close(fd[1]);
	}
}

/* Whatever bytes they are, and however many of them may be. */
static void pem_case(struct client_data *self, size_t ca, size_t cert, size_t key)
{
	uint8_t *pem = alloc_pattern(3 * ITLS_PEM_MAX, 0);
	struct itls_nl_request req;

	self->c.ca = (uintptr_t)pem;
	self->c.ca_len = ca;
	self->c.cert = (uintptr_t)(pem + ca);
	self->c.cert_len = cert;
	self->c.key = (uintptr_t)(pem + ca + cert);
	self->c.key_len = key;
	begin(self);
	agent_accept(&self->agent, &req);
	expect_blob(&req.ca, pem, ca);
	expect_blob(&req.cert, pem + ca, cert);
	expect_blob(&req.key, pem + ca + cert, key);
	itls_nl_request_wipe(&req);
	close(req.fd);
	free(pem);
}

TEST_F(client, pem_of_authorities)
{
	pem_case(self, 3000, 0, 0);
}

TEST_F(client, pem_of_client)
{
	pem_case(self, 0, 1, 2);
}

TEST_F(client, pem_of_all)
{
	pem_case(self, 1000, 2000, 3000);
}

TEST_F(client, most_pem)
{
	pem_case(self, ITLS_PEM_MAX, ITLS_PEM_MAX, ITLS_PEM_MAX);
}
