// SPDX-License-Identifier: GPL-2.0
/*
 * Client sockets: ITLS_CONNECT as a program calls it, what the agent is told,
 * how the handshake may end, and the session's tickets.  The agent is the
 * test's own; the record peer plays the server.
 */
#define _GNU_SOURCE
#include "agent.h"
#include "ends.h"
#include "stat.h"
#include "ulp.h"

#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/time.h>
#include <sys/wait.h>

#define PROFILE	"some-profile"
#define SERVER	"www.server.test"

FIXTURE(client) {
	int fd;
	struct peer peer;
	struct agent agent;
	struct itls_connect c;
	union peer_info tx, rx;
};

FIXTURE_VARIANT(client) {
	uint16_t version;
	uint16_t cipher;
	int family;
};

FIXTURE_VARIANT_ADD(client, tls12_v6) {
	.version = TLS_1_2_VERSION, .cipher = TLS_CIPHER_AES_GCM_128, .family = AF_INET6,
};

FIXTURE_VARIANT_ADD(client, tls13_v4) {
	.version = TLS_1_3_VERSION, .cipher = TLS_CIPHER_AES_GCM_256, .family = AF_INET,
};

void test_after_each(void)
{
	stat_params_restore();
}

FIXTURE_SETUP(client)
{
	int fd[2];

	agent_open(&self->agent);
	sock_pair(variant->family, fd);
	self->fd = fd[0];
	ulp_require(self->fd);
	peer_info_make(&self->tx, variant->version, variant->cipher, 1, 1);
	peer_info_make(&self->rx, variant->version, variant->cipher, 2, 1);
	peer_init(&self->peer, fd[1], &self->tx, &self->rx);
	connect_init(&self->c, PROFILE, SERVER);
}

FIXTURE_TEARDOWN(client)
{
	if (self->fd >= 0)
		close(self->fd);
	peer_free(&self->peer);
	agent_close(&self->agent);
	stat_wait_idle();
}

static bool is_13(const struct client_data *self)
{
	return self->tx.info.version == TLS_1_3_VERSION;
}

#define ONLY_13()							\
	do {								\
		if (!is_13(self))					\
			SKIP("TLS 1.2 has its tickets in the handshake"); \
	} while (0)

/* ---- two ways to call --------------------------------------------------------------- */

/* The handshake waits for the agent. */
static void begin(struct client_data *self)
{
	sock_nonblock(self->fd, true);
	ASSERT_ERRNO(EINPROGRESS, connect_set(self->fd, &self->c));
}

static void done_init(struct client_data *self, struct itls_nl_request *req,
		      struct itls_nl_done *done)
{
	agent_accept(&self->agent, req);
	agent_done_init(done, req->id, &self->tx, &self->rx);
}

/* It succeeds, and poll() tells. */
static void succeed(struct client_data *self)
{
	agent_establish(&self->agent, &self->tx, &self->rx);
	ASSERT_EQ(POLLOUT, sock_poll(self->fd, POLLOUT, test_wait_ms()));
	ASSERT_EQ(0, sock_error(self->fd));
	sock_nonblock(self->fd, false);
}

static void establish(struct client_data *self)
{
	begin(self);
	succeed(self);
}

static void expect_data(struct client_data *self, const void *data, size_t len)
{
	uint8_t *got = malloc(len + 1);

	ASSERT_TRUE(got);
	ASSERT_EQ((ssize_t)len, recv(self->fd, got, len, MSG_WAITALL));
	EXPECT_MEMEQ(data, got, len);
	free(got);
}

static void expect_talk(struct client_data *self)
{
	uint8_t buf[8];

	peer_send(&self->peer, REC_DATA, "ping", 4);
	expect_data(self, "ping", 4);
	ASSERT_EQ(4, send(self->fd, "pong", 4, 0));
	ASSERT_EQ(1, peer_recv_all(&self->peer, buf, 4));
	EXPECT_MEMEQ("pong", buf, 4);
}

/* A thread that waits inside ITLS_CONNECT. */
struct waiter {
	struct client_data *self;
	volatile pid_t tid;
	int ret, err;
	pthread_t thread;
};

static void *waiter_run(void *arg)
{
	struct waiter *w = arg;

	w->tid = gettid();
	w->ret = connect_set(w->self->fd, &w->self->c);
	w->err = errno;
	return NULL;
}

static void waiter_start(struct waiter *w, struct client_data *self)
{
	int64_t end = sock_now_ms() + test_wait_ms();

	*w = (struct waiter){ .self = self };
	ASSERT_EQ(0, pthread_create(&w->thread, NULL, waiter_run, w));
	while (!w->tid || info_get(self->fd).state != ITLS_STATE_PENDING || !test_is_asleep(w->tid)) {
		ASSERT_LT(sock_now_ms(), end);
		poll(NULL, 0, 1);
	}
}

/* want: 0, or the errno. */
static void waiter_join(struct waiter *w, int want)
{
	ASSERT_EQ(0, pthread_join(w->thread, NULL));
	EXPECT_EQ(want ? -1 : 0, w->ret);
	if (want)
		EXPECT_EQ(want, w->err);
}

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

/* ---- tickets (RFC 8446 4.6.1) ----------------------------------------------------------------- */

/* A NewSessionTicket of len bytes, header included. */
static uint8_t *make_ticket(size_t len, uint8_t seed)
{
	uint8_t *ticket = alloc_pattern(len, seed * 1000);

	ticket[0] = 4;
	ticket[1] = (len - 4) >> 16;
	ticket[2] = (len - 4) >> 8;
	ticket[3] = len - 4;
	return ticket;
}

/* Reads what has arrived; it was nothing to a program. */
static void absorb(struct client_data *self)
{
	sock_wait_received(self->fd, self->peer.sent);
	expect_nothing_in(self->fd);
}

static void send_ticket(struct client_data *self, const uint8_t *ticket, size_t len, size_t chunk)
{
	size_t at, n;

	for (at = 0; at < len; at += n) {
		n = len - at < chunk ? len - at : chunk;
		peer_send(&self->peer, REC_HANDSHAKE, ticket + at, n);
		if (at % REC_MAX == 0)
			absorb(self);
	}
}

static void expect_ticket(struct client_data *self, int nr, const uint8_t *ticket, size_t len)
{
	const struct agent_ticket *got = &self->agent.ticket[nr];

	ASSERT_EQ(len, got->len);
	EXPECT_MEMEQ(ticket, got->message, len);
	EXPECT_EQ(info_get(self->fd).id, got->id);
}

static void ticket_case(struct client_data *self, size_t len, size_t chunk)
{
	uint8_t *ticket = make_ticket(len, 1);

	ONLY_13();
	establish(self);
	send_ticket(self, ticket, len, chunk);
	absorb(self);
	agent_wait_tickets(&self->agent, 1);
	expect_ticket(self, 0, ticket, len);
	expect_talk(self);
	itls_nl_drain(self->agent.nl);
	EXPECT_EQ(1, self->agent.tickets);
	EXPECT_EQ(1, stat_get("RxTicket"));
	free(ticket);
}

TEST_F(client, ticket)
{
	ticket_case(self, 200, REC_MAX);
}

TEST_F(client, ticket_byte_by_byte)
{
	ticket_case(self, 100, 1);
}

TEST_F(client, ticket_in_pieces)
{
	ticket_case(self, 5000, 999);
}

TEST_F(client, ticket_longer_than_a_copy)
{
	ticket_case(self, 256 + 4, REC_MAX);
}

TEST_F(client, empty_ticket)
{
	ticket_case(self, 4, REC_MAX);
}

TEST_F(client, longest_ticket)
{
	ticket_case(self, ITLS_TICKET_MAX, 10000);
}

TEST_F(client, tickets_in_one_record)
{
	uint8_t *one = make_ticket(300, 1), *two = make_ticket(70, 2), both[370];

	ONLY_13();
	establish(self);
	memcpy(both, one, 300);
	memcpy(both + 300, two, 70);
	peer_send(&self->peer, REC_HANDSHAKE, both, sizeof(both));
	absorb(self);
	agent_wait_tickets(&self->agent, 2);
	expect_ticket(self, 0, one, 300);
	expect_ticket(self, 1, two, 70);
	expect_talk(self);
	free(one);
	free(two);
}

/* Too long to be handed on, not too long to be absorbed. */
static void oversize_case(struct client_data *self, size_t len)
{
	uint8_t *ticket = make_ticket(len, 1), *good = make_ticket(100, 2);

	ONLY_13();
	establish(self);
	send_ticket(self, ticket, len, REC_MAX);
	send_ticket(self, good, 100, REC_MAX);
	absorb(self);
	agent_wait_tickets(&self->agent, 1);
	expect_ticket(self, 0, good, 100);
	expect_talk(self);
	EXPECT_EQ(1, self->agent.tickets);
	EXPECT_EQ(2, stat_get("RxTicket"));
	free(ticket);
	free(good);
}

TEST_F(client, ticket_too_long_by_one)
{
	oversize_case(self, ITLS_TICKET_MAX + 1);
}

TEST_F(client, ticket_far_too_long)
{
	oversize_case(self, 200000);
}

/* A server that gives more than anybody can use. */
TEST_F(client, ninth_ticket)
{
	uint8_t *ticket;
	int i;

	ONLY_13();
	establish(self);
	for (i = 0; i < 12; i++) {
		ticket = make_ticket(100 + i, i);
		send_ticket(self, ticket, 100 + i, REC_MAX);
		free(ticket);
	}
	absorb(self);
	agent_wait_tickets(&self->agent, 8);
	for (i = 0; i < 8; i++) {
		ticket = make_ticket(100 + i, i);
		expect_ticket(self, i, ticket, 100 + i);
		free(ticket);
	}
	expect_talk(self);
	itls_nl_drain(self->agent.nl);
	EXPECT_EQ(8, self->agent.tickets);
	EXPECT_EQ(12, stat_get("RxTicket"));
}

/* It goes to the agent that made the handshake, and to no other. */
TEST_F(client, ticket_of_another_agent)
{
	uint8_t *ticket = make_ticket(100, 1);
	struct agent other;

	ONLY_13();
	establish(self);
	agent_open(&other);
	send_ticket(self, ticket, 100, REC_MAX);
	absorb(self);
	agent_wait_tickets(&self->agent, 1);
	itls_nl_drain(other.nl);
	EXPECT_EQ(0, other.tickets);
	/* Nor does it inherit. */
	agent_close(&self->agent);
	stat_wait("CurrAgents", 1);
	send_ticket(self, ticket, 100, REC_MAX);
	absorb(self);
	itls_nl_drain(other.nl);
	EXPECT_EQ(0, other.tickets);
	EXPECT_EQ(2, stat_get("RxTicket"));
	expect_talk(self);
	agent_close(&other);
	free(ticket);
}

TEST_F(client, ticket_before_data_does_not_show)
{
	uint8_t *ticket = make_ticket(600, 1);

	ONLY_13();
	establish(self);
	send_ticket(self, ticket, 600, 250);
	peer_send(&self->peer, REC_DATA, "data", 4);
	sock_wait_received(self->fd, self->peer.sent);
	EXPECT_EQ(POLLIN, sock_poll(self->fd, POLLIN, 0));
	expect_data(self, "data", 4);
	EXPECT_EQ(0, sock_poll(self->fd, POLLIN, 0));
	agent_wait_tickets(&self->agent, 1);
	free(ticket);
}

TEST_F(client, closed_inside_a_ticket)
{
	uint8_t *ticket = make_ticket(600, 1);

	ONLY_13();
	establish(self);
	peer_send(&self->peer, REC_HANDSHAKE, ticket, 300);
	absorb(self);
	close(self->fd);
	self->fd = -1;
	expect_close_notify(&self->peer);
	itls_nl_drain(self->agent.nl);
	EXPECT_EQ(0, self->agent.tickets);
	free(ticket);
}

/* ---- the agent comes and goes, sessions stay --------------------------------------------------- */

TEST_F(client, session_outlives_the_agent)
{
	struct agent next;
	uint32_t id;

	establish(self);
	id = info_get(self->fd).id;
	agent_close(&self->agent);
	stat_wait("CurrAgents", 0);
	expect_talk(self);
	if (is_13(self)) {
		peer_send_update(&self->peer, UPDATE_REQUESTED);
		absorb(self);
		EXPECT_EQ(UPDATE_NOT_REQUESTED, peer_recv_update(&self->peer));
		expect_talk(self);
		agent_open(&next);
		EXPECT_EQ(0, itls_nl_rekey(next.nl, id, true));
		EXPECT_EQ(UPDATE_REQUESTED, peer_recv_update(&self->peer));
		peer_send_update(&self->peer, UPDATE_NOT_REQUESTED);
		agent_close(&next);
		expect_talk(self);
		EXPECT_EQ(2, info_get(self->fd).tx_rekeys);
		EXPECT_EQ(2, info_get(self->fd).rx_rekeys);
	}
	ASSERT_EQ(0, shutdown(self->fd, SHUT_WR));
	expect_close_notify(&self->peer);
	peer_send(&self->peer, REC_DATA, "last", 4);
	peer_alert(&self->peer, LEVEL_WARNING, ALERT_CLOSE_NOTIFY);
	expect_data(self, "last", 4);
	expect_eof(self->fd);
}
