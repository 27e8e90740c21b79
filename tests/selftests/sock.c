// SPDX-License-Identifier: GPL-2.0
/* TCP sockets and data for tests; see sock.h. */
#define _GNU_SOURCE
#include "sock.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>

#include "harness.h"

static socklen_t loopback(int family, struct sockaddr_storage *ss)
{
	struct sockaddr_in6 *in6 = (void *)ss;
	struct sockaddr_in *in = (void *)ss;

	memset(ss, 0, sizeof(*ss));
	ss->ss_family = family;
	if (family == AF_INET6) {
		in6->sin6_addr = in6addr_loopback;
		return sizeof(*in6);
	}
	in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return sizeof(*in);
}

int sock_listen(int family)
{
	struct sockaddr_storage ss;
	socklen_t len = loopback(family, &ss);
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, bind(fd, (void *)&ss, len));
	ASSERT_EQ(0, listen(fd, 128));
	return fd;
}

int sock_connect(int listener)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	int fd;

	ASSERT_EQ(0, getsockname(listener, (void *)&ss, &len));
	fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, connect(fd, (void *)&ss, len));
	sock_set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	return fd;
}

int sock_accept(int listener)
{
	int fd;

	ASSERT_NE(0, sock_poll(listener, POLLIN, test_wait_ms()));
	fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	ASSERT_LE(0, fd);
	return fd;
}

void sock_pair(int family, int fd[2])
{
	int listener = sock_listen(family);

	fd[1] = sock_connect(listener);
	fd[0] = sock_accept(listener);
	sock_set_int(fd[0], IPPROTO_TCP, TCP_NODELAY, 1);
	close(listener);
}

void sock_nonblock(int fd, bool on)
{
	int flags = fcntl(fd, F_GETFL);

	ASSERT_LE(0, flags);
	flags = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
	ASSERT_EQ(0, fcntl(fd, F_SETFL, flags));
}

void sock_set_int(int fd, int level, int name, int value)
{
	ASSERT_EQ(0, setsockopt(fd, level, name, &value, sizeof(value)));
}

int sock_get_int(int fd, int level, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

	ASSERT_EQ(0, getsockopt(fd, level, name, &value, &len));
	return value;
}

int sock_error(int fd)
{
	return sock_get_int(fd, SOL_SOCKET, SO_ERROR);
}

int64_t sock_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

int sock_poll(int fd, int want, int ms)
{
	struct pollfd pfd = { .fd = fd, .events = want };
	int n = poll(&pfd, 1, ms);

	ASSERT_LE(0, n);
	return n ? pfd.revents : 0;
}

/* The kernel offers no event for these conditions: look again each millisecond. */
static void pause_ms(int ms)
{
	poll(NULL, 0, ms);
}

void sock_wait_received(int fd, uint64_t count)
{
	int64_t end = sock_now_ms() + test_wait_ms();
	struct tcp_info info;
	socklen_t len;

	for (;;) {
		len = sizeof(info);
		ASSERT_EQ(0, getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len));
		if (info.tcpi_bytes_received >= count)
			return;
		ASSERT_LT(sock_now_ms(), end);
		pause_ms(1);
	}
}

void sock_wait_acked(int fd)
{
	int64_t end = sock_now_ms() + test_wait_ms();
	int queued;

	for (;;) {
		ASSERT_EQ(0, ioctl(fd, SIOCOUTQ, &queued));
		if (!queued)
			return;
		ASSERT_LT(sock_now_ms(), end);
		pause_ms(1);
	}
}

void sock_wait_quiet(int fd)
{
	int64_t end = sock_now_ms() + test_wait_ms();
	struct tcp_info info;
	socklen_t len;

	for (;;) {
		len = sizeof(info);
		ASSERT_EQ(0, getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len));
		if (!info.tcpi_unacked)
			return;
		ASSERT_LT(sock_now_ms(), end);
		pause_ms(1);
	}
}

void sock_send_all(int fd, const void *data, size_t len)
{
	const uint8_t *p = data;
	ssize_t n;

	while (len) {
		n = send(fd, p, len, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EAGAIN) {
			ASSERT_NE(0, sock_poll(fd, POLLOUT, test_wait_ms()));
			continue;
		}
		ASSERT_LT(0, n);
		p += n;
		len -= n;
	}
}

size_t sock_fill(int fd, const uint8_t *data, size_t len, size_t chunk)
{
	size_t sent = 0, n_max;
	ssize_t n;

	while (sent < len) {
		n_max = len - sent < chunk ? len - sent : chunk;
		n = send(fd, data + sent, n_max, MSG_DONTWAIT);
		if (n < 0) {
			ASSERT_EQ(EAGAIN, errno);
			return sent;
		}
		ASSERT_LT(0, n);
		sent += n;
	}
	return sent;
}

void sock_recv_all(int fd, void *data, size_t len)
{
	uint8_t *p = data;
	ssize_t n;

	while (len) {
		ASSERT_NE(0, sock_poll(fd, POLLIN, test_wait_ms()));
		n = recv(fd, p, len, MSG_DONTWAIT);
		if (n < 0 && errno == EAGAIN)
			continue;
		ASSERT_LT(0, n);
		p += n;
		len -= n;
	}
}

size_t sock_recv_eof(int fd, void *data, size_t size)
{
	uint8_t *p = data;
	size_t got = 0;
	ssize_t n;

	for (;;) {
		ASSERT_NE(0, sock_poll(fd, POLLIN, test_wait_ms()));
		n = recv(fd, p + got, size - got, MSG_DONTWAIT);
		if (n < 0 && errno == EAGAIN)
			continue;
		ASSERT_LE(0, n);
		if (!n)
			return got;
		got += n;
		ASSERT_LT(got, size);
	}
}

void sock_reset(int fd)
{
	struct linger linger = { .l_onoff = 1 };

	ASSERT_EQ(0, setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)));
	ASSERT_EQ(0, close(fd));
}

void fill_pattern(void *data, size_t len, uint64_t stream_offset)
{
	uint8_t *p = data;
	uint64_t at;
	size_t i;

	for (i = 0; i < len; i++) {
		at = stream_offset + i;
		p[i] = at ^ (at >> 8) * 37 ^ (at >> 16) * 101;
	}
}

void *alloc_pattern(size_t len, uint64_t stream_offset)
{
	void *p = malloc(len ? len : 1);

	ASSERT_TRUE(p);
	fill_pattern(p, len, stream_offset);
	return p;
}

int file_pattern(size_t len)
{
	uint8_t *data = alloc_pattern(len, 0);
	int fd = memfd_create("pattern", MFD_CLOEXEC);

	ASSERT_LE(0, fd);
	ASSERT_EQ((ssize_t)len, pwrite(fd, data, len, 0));
	free(data);
	return fd;
}
