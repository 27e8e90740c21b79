// SPDX-License-Identifier: GPL-2.0
/* Managed sockets whose handshake is under way: PENDING, the request, and its channel. */
#define _GNU_SOURCE
#include "managed.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>

FIXTURE_VARIANT_ADD(managed, v4) {
	.version = TLS_1_3_VERSION, .cipher = TLS_CIPHER_AES_GCM_128, .family = AF_INET,
};

FIXTURE_VARIANT_ADD(managed, v6) {
	.version = TLS_1_2_VERSION, .cipher = TLS_CIPHER_AES_GCM_256, .family = AF_INET6,
};

static void finish(struct managed_data *self)
{
	agent_establish(&self->agent, &self->tx, &self->rx);
	expect_works(self->server, &self->client);
}

/* ---- PENDING ---- */

TEST_F(managed, pending_recv)
{
	char buf[8];

	managed_pending(self);
	EXPECT_ERRNO(EAGAIN, recv(self->server, buf, sizeof(buf), MSG_DONTWAIT));
	EXPECT_ERRNO(EAGAIN, recv(self->server, buf, sizeof(buf), MSG_DONTWAIT | MSG_PEEK));
	finish(self);
}

TEST_F(managed, pending_send)
{
	managed_pending(self);
	EXPECT_ERRNO(EAGAIN, send(self->server, "x", 1, MSG_DONTWAIT));
	EXPECT_ERRNO(EAGAIN, send(self->server, "x", 1, MSG_DONTWAIT | MSG_MORE));
	peer_expect_silence(&self->client, self->server);
	finish(self);
}

TEST_F(managed, pending_sendfile)
{
	int file = file_pattern(100);
	off_t off = 0;

	managed_pending(self);
	sock_nonblock(self->server, true);
	EXPECT_ERRNO(EAGAIN, sendfile(self->server, file, &off, 100));
	EXPECT_EQ(0, off);
	peer_expect_silence(&self->client, self->server);
	sock_nonblock(self->server, false);
	finish(self);
	close(file);
}

TEST_F(managed, pending_splice)
{
	int p[2];

	managed_pending(self);
	ASSERT_EQ(0, pipe(p));
	ASSERT_EQ(1, write(p[1], "x", 1));
	/* As on TCP it is the socket that must not block, not the pipe. */
	sock_nonblock(self->server, true);
	EXPECT_ERRNO(EAGAIN, splice(self->server, NULL, p[1], NULL, 10, 0));
	EXPECT_ERRNO(EAGAIN, splice(p[0], NULL, self->server, NULL, 1, SPLICE_F_NONBLOCK));
	peer_expect_silence(&self->client, self->server);
	sock_nonblock(self->server, false);
	finish(self);
}

TEST_F(managed, pending_poll)
{
	managed_pending(self);
	EXPECT_EQ(0, sock_poll(self->server, POLLIN | POLLOUT | POLLRDHUP | POLLPRI, 0));
	/* What the client says in the clear is for the agent alone. */
	sock_send_all(self->client.fd, "hello", 5);
	sock_wait_received(self->server, 5);
	EXPECT_EQ(0, sock_poll(self->server, POLLIN | POLLOUT | POLLRDHUP | POLLPRI, 0));
	/* Nor does the server hear of a FIN before the handshake's end. */
	ASSERT_EQ(0, shutdown(self->client.fd, SHUT_WR));
	sock_wait_acked(self->client.fd);
	EXPECT_EQ(0, sock_poll(self->server, POLLIN | POLLOUT | POLLRDHUP | POLLPRI, 0));
}

TEST_F(managed, pending_fionread)
{
	int n = -1;

	managed_pending(self);
	sock_send_all(self->client.fd, "hello", 5);
	sock_wait_received(self->server, 5);
	EXPECT_EQ(0, ioctl(self->server, FIONREAD, &n));
	EXPECT_EQ(0, n);
}

TEST_F(managed, pending_timeouts)
{
	struct timeval tv = { .tv_usec = 20000 };
	char c;

	managed_pending(self);
	ASSERT_EQ(0, setsockopt(self->server, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)));
	ASSERT_EQ(0, setsockopt(self->server, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)));
	EXPECT_ERRNO(EAGAIN, recv(self->server, &c, 1, 0));
	EXPECT_ERRNO(EAGAIN, send(self->server, "x", 1, 0));
	peer_expect_silence(&self->client, self->server);
	tv.tv_usec = 0;
	ASSERT_EQ(0, setsockopt(self->server, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)));
	ASSERT_EQ(0, setsockopt(self->server, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)));
	finish(self);
}

TEST_F(managed, pending_info)
{
	struct itls_info info;

	managed_pending(self);
	info = info_get(self->server);
	EXPECT_EQ(ITLS_STATE_PENDING, info.state);
	EXPECT_EQ(ITLS_ROLE_SERVER, info.role);
	EXPECT_EQ(0, info.version);
	EXPECT_EQ(0, info.tx_cipher);
	EXPECT_EQ(0, strcmp(PROFILE, info.profile));
	EXPECT_NE(0, info.id);
	EXPECT_EQ(1, stat_get("CurrPending"));
}

TEST_F(managed, pending_side_doors)
{
	managed_pending(self);
	ASSERT_EQ(4, send(self->client.fd, "raw!", 4, MSG_OOB));
	sock_wait_received(self->server, 4);
	expect_no_side_door(self->server);
	EXPECT_EQ(0, sock_poll(self->server, POLLIN | POLLPRI | POLLOUT, 0));
	EXPECT_EQ(ITLS_STATE_PENDING, info_get(self->server).state);
}

TEST_F(managed, pending_keys_by_sockopt)
{
	managed_pending(self);
	EXPECT_ERRNO(EPERM, key_set(self->server, TLS_TX, &self->tx));
	EXPECT_ERRNO(EPERM, key_set(self->server, TLS_RX, &self->rx));
	EXPECT_EQ(ITLS_STATE_PENDING, info_get(self->server).state);
	finish(self);
}

struct blocked {
	int fd;
	ssize_t n;
	int err;
	char buf[64];
	volatile pid_t tid;
	pthread_t thread;
};

static void *blocked_recv(void *arg)
{
	struct blocked *b = arg;

	b->tid = gettid();
	b->n = recv(b->fd, b->buf, sizeof(b->buf), 0);
	b->err = errno;
	return NULL;
}

static void *blocked_send(void *arg)
{
	struct blocked *b = arg;

	b->tid = gettid();
	b->n = send(b->fd, "early", 5, MSG_NOSIGNAL);
	b->err = errno;
	return NULL;
}

/* Starts run() and waits until it sleeps in its call. */
static void block_in(struct blocked *b, int fd, void *(*run)(void *))
{
	*b = (struct blocked){ .fd = fd };
	ASSERT_EQ(0, pthread_create(&b->thread, NULL, run, b));
	while (!b->tid || !test_is_asleep(b->tid))
		sched_yield();
}

TEST_F(managed, pending_blocked_recv_wakes)
{
	struct blocked b;

	managed_pending(self);
	block_in(&b, self->server, blocked_recv);
	agent_establish(&self->agent, &self->tx, &self->rx);
	peer_send(&self->client, REC_DATA, "late", 4);
	ASSERT_EQ(0, pthread_join(b.thread, NULL));
	ASSERT_EQ(4, b.n);
	EXPECT_MEMEQ("late", b.buf, 4);
}

TEST_F(managed, pending_blocked_send_waits_for_keys)
{
	struct blocked b;
	uint8_t buf[8];

	managed_pending(self);
	block_in(&b, self->server, blocked_send);
	agent_establish(&self->agent, &self->tx, &self->rx);
	ASSERT_EQ(0, pthread_join(b.thread, NULL));
	ASSERT_EQ(5, b.n);
	ASSERT_EQ(1, peer_recv_all(&self->client, buf, 5));
	EXPECT_MEMEQ("early", buf, 5);
}

TEST_F(managed, pending_blocked_recv_fails)
{
	struct itls_nl_request req;
	struct blocked b;

	managed_pending(self);
	block_in(&b, self->server, blocked_recv);
	agent_accept(&self->agent, &req);
	EXPECT_EQ(0, agent_fail(&self->agent, req.id, EPROTO));
	ASSERT_EQ(0, pthread_join(b.thread, NULL));
	EXPECT_EQ(-1, b.n);
	EXPECT_EQ(ECONNABORTED, b.err);
	close(req.fd);
}

TEST_F(managed, pending_epoll_wakes)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET };
	int ep = epoll_create1(EPOLL_CLOEXEC);

	managed_pending(self);
	ASSERT_EQ(0, epoll_ctl(ep, EPOLL_CTL_ADD, self->server, &ev));
	EXPECT_EQ(0, epoll_wait(ep, &ev, 1, 0));
	agent_establish(&self->agent, &self->tx, &self->rx);
	ASSERT_EQ(1, epoll_wait(ep, &ev, 1, test_wait_ms()));
	EXPECT_EQ(EPOLLOUT, ev.events);
	peer_send(&self->client, REC_DATA, "x", 1);
	ASSERT_EQ(1, epoll_wait(ep, &ev, 1, test_wait_ms()));
	EXPECT_TRUE(ev.events & EPOLLIN);
	close(ep);
}

static void on_alarm(int sig)
{
	(void)sig;
}

TEST_F(managed, signal_interrupts_pending_recv)
{
	struct itimerval it = { .it_value.tv_usec = 30000, .it_interval.tv_usec = 30000 };
	struct sigaction sa = { .sa_handler = on_alarm };
	char c;

	managed_pending(self);
	ASSERT_EQ(0, sigaction(SIGALRM, &sa, NULL));
	ASSERT_EQ(0, setitimer(ITIMER_REAL, &it, NULL));
	EXPECT_ERRNO(EINTR, recv(self->server, &c, 1, 0));
}

/* ---- the request and its channel ---- */

static void expect_same_address(const struct sockaddr_storage *want,
				const struct sockaddr_storage *seen)
{
	EXPECT_EQ(want->ss_family, seen->ss_family);
	EXPECT_EQ(((struct sockaddr_in *)want)->sin_port,
		  ((struct sockaddr_in *)seen)->sin_port);
	if (want->ss_family == AF_INET6)
		EXPECT_MEMEQ(&((struct sockaddr_in6 *)want)->sin6_addr,
			     &((struct sockaddr_in6 *)seen)->sin6_addr, 16);
	else
		EXPECT_MEMEQ(&((struct sockaddr_in *)want)->sin_addr,
			     &((struct sockaddr_in *)seen)->sin_addr, 4);
}

TEST_F(managed, request_tells_all)
{
	struct sockaddr_storage local, peer;
	socklen_t len = sizeof(local);
	struct itls_nl_request req;
	char comm[16];

	managed_pending(self);
	agent_accept(&self->agent, &req);
	EXPECT_EQ(info_get(self->server).id, req.id);
	EXPECT_EQ(0, strcmp(PROFILE, req.profile));
	EXPECT_EQ(getuid(), req.owner_uid);
	EXPECT_EQ(getpid(), req.owner_pid);
	ASSERT_EQ(0, prctl(PR_GET_NAME, comm));
	EXPECT_EQ(0, strcmp(comm, req.owner_comm));
	EXPECT_LT(0, req.deadline_ms);
	EXPECT_LE(req.deadline_ms, 10000);
	ASSERT_EQ(0, getsockname(self->server, (void *)&local, &len));
	len = sizeof(peer);
	ASSERT_EQ(0, getpeername(self->server, (void *)&peer, &len));
	expect_same_address(&local, &req.local);
	expect_same_address(&peer, &req.peer);
	EXPECT_TRUE(fcntl(req.fd, F_GETFD) & FD_CLOEXEC);
	EXPECT_EQ(-EAGAIN, itls_nl_accept(self->agent.nl, &req));
}

TEST_F(managed, channel_is_raw_tcp)
{
	struct itls_nl_request req;
	struct iovec iov[2];
	char a[3], b[8];

	managed_pending(self);
	agent_accept(&self->agent, &req);
	EXPECT_ERRNO(EAGAIN, read(req.fd, b, sizeof(b)));
	EXPECT_EQ(POLLOUT, sock_poll(req.fd, POLLIN | POLLOUT, 0));
	sock_send_all(self->client.fd, "raw bytes", 9);
	EXPECT_EQ(POLLIN, sock_poll(req.fd, POLLIN, test_wait_ms()));
	ASSERT_EQ(1, read(req.fd, a, 1));
	EXPECT_MEMEQ("r", a, 1);
	iov[0] = (struct iovec){ a, 3 };
	iov[1] = (struct iovec){ b, 8 };
	ASSERT_EQ(8, readv(req.fd, iov, 2));
	EXPECT_MEMEQ("aw ", a, 3);
	EXPECT_MEMEQ("bytes", b, 5);
	ASSERT_EQ(4, write(req.fd, "back", 4));
	iov[0] = (struct iovec){ "wa", 2 };
	iov[1] = (struct iovec){ "rds", 3 };
	ASSERT_EQ(5, writev(req.fd, iov, 2));
	sock_recv_all(self->client.fd, b, 4);
	EXPECT_MEMEQ("back", b, 4);
	sock_recv_all(self->client.fd, b, 5);
	EXPECT_MEMEQ("wards", b, 5);
	ASSERT_EQ(0, agent_done(&self->agent, req.id, &self->tx, &self->rx));
	close(req.fd);
	expect_works(self->server, &self->client);
}

TEST_F(managed, channel_large_write)
{
	const size_t len = 1 << 20;
	uint8_t *data = alloc_pattern(len, 0), *got = malloc(len);
	struct itls_nl_request req;
	size_t sent = 0, seen = 0;
	ssize_t n;

	managed_pending(self);
	agent_accept(&self->agent, &req);
	while (seen < len) {
		n = sent < len ? write(req.fd, data + sent, len - sent) : 0;
		if (n < 0)
			ASSERT_EQ(EAGAIN, errno);
		else
			sent += n;
		if (sock_poll(self->client.fd, POLLIN, 10)) {
			n = recv(self->client.fd, got + seen, len - seen, 0);
			ASSERT_LT(0, n);
			seen += n;
		}
	}
	EXPECT_MEMEQ(data, got, len);
	close(req.fd);
	free(data);
	free(got);
}

TEST_F(managed, channel_eof)
{
	struct itls_nl_request req;
	char c;

	managed_pending(self);
	agent_accept(&self->agent, &req);
	ASSERT_EQ(0, shutdown(self->client.fd, SHUT_WR));
	EXPECT_TRUE(sock_poll(req.fd, POLLIN, test_wait_ms()) & POLLIN);
	EXPECT_EQ(0, read(req.fd, &c, 1));
	EXPECT_EQ(0, agent_fail(&self->agent, req.id, ECONNRESET));
	close(req.fd);
	expect_failed(self->server, ECONNABORTED);
}

TEST_F(managed, channel_reset)
{
	struct itls_nl_request req;
	char c;

	managed_pending(self);
	agent_accept(&self->agent, &req);
	sock_reset(self->client.fd);
	self->client.fd = -1;
	EXPECT_NE(0, sock_poll(req.fd, POLLIN, test_wait_ms()));
	EXPECT_ERRNO(ECONNRESET, read(req.fd, &c, 1));
	EXPECT_EQ(0, agent_fail(&self->agent, req.id, ECONNRESET));
	stat_wait("HandshakePeerGone", 1);
	close(req.fd);
	EXPECT_EQ(-1, recv(self->server, &c, 1, 0));
	EXPECT_EQ(ITLS_STATE_FAILED, info_get(self->server).state);
}

TEST_F(managed, channel_after_done)
{
	struct itls_nl_request req;
	char c;

	managed_pending(self);
	agent_accept(&self->agent, &req);
	ASSERT_EQ(0, agent_done(&self->agent, req.id, &self->tx, &self->rx));
	/* The keys are the kernel's now: the channel can no longer read or write. */
	EXPECT_ERRNO(ECONNABORTED, read(req.fd, &c, 1));
	EXPECT_ERRNO(ECONNABORTED, write(req.fd, "x", 1));
	EXPECT_NE(0, sock_poll(req.fd, POLLIN, 0));
	expect_works(self->server, &self->client);
	close(req.fd);
	expect_works(self->server, &self->client);
}

/* A page that is not there until somebody brings it; -1 where the kernel knows no such thing. */
static int absent_page(uint8_t **page, struct uffdio_range *range)
{
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct uffdio_api api = { .api = UFFD_API };
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC);

	if (fd < 0)
		return -1;
	*page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, (void *)*page);
	*range = (struct uffdio_range){ .start = (uintptr_t)*page, .len = 4096 };
	reg.range = *range;
	ASSERT_EQ(0, ioctl(fd, UFFDIO_API, &api));
	ASSERT_EQ(0, ioctl(fd, UFFDIO_REGISTER, &reg));
	return fd;
}

struct getter {
	pthread_t thread;
	int fd, err;
	uint8_t *to;
	socklen_t len;
};

static void *get_saved_syn(void *arg)
{
	struct getter *g = arg;

	g->err = getsockopt(g->fd, IPPROTO_TCP, TCP_SAVED_SYN, g->to, &g->len) ? errno : 0;
	return NULL;
}

/* An option that TCP copies under the lock: who waits for memory must not make the agent wait. */
TEST_F(managed, getsockopt_into_absent_memory)
{
	struct uffdio_zeropage bring = {};
	struct itls_nl_request req;
	struct getter getter = { .len = 4096 };
	struct uffd_msg fault;
	char c;
	int uffd = absent_page(&getter.to, &bring.range);

	if (uffd < 0)
		SKIP("this kernel has no userfaultfd");
	sock_set_int(self->listener, IPPROTO_TCP, TCP_SAVE_SYN, 1);
	managed_pending(self);
	agent_accept(&self->agent, &req);
	getter.fd = self->server;
	ASSERT_EQ(0, pthread_create(&getter.thread, NULL, get_saved_syn, &getter));
	ASSERT_EQ(sizeof(fault), (size_t)read(uffd, &fault, sizeof(fault)));

	EXPECT_ERRNO(EAGAIN, read(req.fd, &c, 1));
	EXPECT_EQ(POLLOUT, sock_poll(req.fd, POLLOUT, 0));
	ASSERT_EQ(0, agent_done(&self->agent, req.id, &self->tx, &self->rx));
	close(req.fd);
	expect_works(self->server, &self->client);

	ASSERT_EQ(0, ioctl(uffd, UFFDIO_ZEROPAGE, &bring));
	ASSERT_EQ(0, pthread_join(getter.thread, NULL));
	EXPECT_EQ(0, getter.err);
	EXPECT_LT(20, (int)getter.len);
	EXPECT_LT(getter.len, 200);
	close(uffd);
	munmap(getter.to, 4096);
}

/* The first record may be here before the keys are. */
TEST_F(managed, record_before_done)
{
	struct itls_nl_request req;
	uint8_t buf[8];

	managed_pending(self);
	agent_accept(&self->agent, &req);
	peer_send(&self->client, REC_DATA, "eager", 5);
	sock_wait_received(self->server, self->client.sent);
	EXPECT_EQ(0, sock_poll(self->server, POLLIN, 0));
	ASSERT_EQ(0, agent_done(&self->agent, req.id, &self->tx, &self->rx));
	close(req.fd);
	EXPECT_TRUE(sock_poll(self->server, POLLIN, test_wait_ms()) & POLLIN);
	ASSERT_EQ(5, recv(self->server, buf, sizeof(buf), 0));
	EXPECT_MEMEQ("eager", buf, 5);
}

struct poller {
	int fd, events;
	int64_t until;
	volatile pid_t tid;
};

static void *poll_once(void *arg)
{
	struct poller *p = arg;

	p->tid = gettid();
	p->events = sock_poll(p->fd, POLLIN, test_wait_ms());
	p->until = sock_now_ms();
	return NULL;
}

/* The agent reads bytes, whatever number of them the server wants to hear of. */
static void lowat_case(struct managed_data *self, bool on_listener)
{
	socklen_t len = sizeof(int);
	struct poller p = {};
	struct itls_nl_request req;
	pthread_t thread;
	int64_t start;
	int lowat = 0;
	char buf[8];

	if (on_listener)
		sock_set_int(self->listener, SOL_SOCKET, SO_RCVLOWAT, 4096);
	managed_pending(self);
	if (!on_listener)
		sock_set_int(self->server, SOL_SOCKET, SO_RCVLOWAT, 4096);
	agent_accept(&self->agent, &req);
	p.fd = req.fd;
	start = sock_now_ms();
	ASSERT_EQ(0, pthread_create(&thread, NULL, poll_once, &p));
	while (!p.tid || !test_is_asleep(p.tid))
		sched_yield();
	sock_send_all(self->client.fd, "hello", 5);
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(POLLIN, p.events);
	/* Poll looks once more when its time is up: that it found them then is no wake-up. */
	EXPECT_LT(p.until - start, test_wait_ms());
	ASSERT_EQ(5, read(req.fd, buf, sizeof(buf)));
	ASSERT_EQ(0, agent_done(&self->agent, req.id, &self->tx, &self->rx));
	close(req.fd);
	/* It is the server's again. */
	ASSERT_EQ(0, getsockopt(self->server, SOL_SOCKET, SO_RCVLOWAT, &lowat, &len));
	EXPECT_EQ(4096, lowat);
}

TEST_F(managed, low_water_mark_of_the_listener)
{
	lowat_case(self, true);
}

TEST_F(managed, low_water_mark_while_pending)
{
	lowat_case(self, false);
}

/* TLS has no urgent data: the agent gets that byte as any other, and never POLLIN for nothing. */
TEST_F(managed, channel_urgent_byte)
{
	struct itls_nl_request req;
	size_t got = 0;
	char buf[8];
	ssize_t n;

	managed_pending(self);
	agent_accept(&self->agent, &req);
	ASSERT_EQ(2, send(self->client.fd, "ab", 2, MSG_OOB));
	sock_send_all(self->client.fd, "cd", 2);
	sock_wait_received(self->server, 4);
	while (got < 4) {
		ASSERT_EQ(POLLIN, sock_poll(req.fd, POLLIN, test_wait_ms()));
		n = read(req.fd, buf + got, sizeof(buf) - got);
		ASSERT_LT(0, n);
		got += n;
	}
	EXPECT_EQ(4, got);
	EXPECT_MEMEQ("abcd", buf, 4);
	EXPECT_EQ(0, sock_poll(req.fd, POLLIN, 0));
	close(req.fd);
}

/* The urgent byte alone, at the mark where a plain read of TCP would stop. */
TEST_F(managed, channel_urgent_byte_alone)
{
	struct itls_nl_request req;
	char buf[8];

	managed_pending(self);
	agent_accept(&self->agent, &req);
	ASSERT_EQ(1, send(self->client.fd, "x", 1, MSG_OOB));
	ASSERT_EQ(POLLIN, sock_poll(req.fd, POLLIN, test_wait_ms()));
	ASSERT_EQ(1, read(req.fd, buf, sizeof(buf)));
	EXPECT_EQ('x', buf[0]);
	close(req.fd);
}
