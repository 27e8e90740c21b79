// SPDX-License-Identifier: GPL-2.0
/*
 * TCP without memory.  The limit is the machine's, so nothing else should run
 * beside this; the parent of the tests puts it back after each, however it ended.
 */
#define _GNU_SOURCE
#include "ktls.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>

/* Pages: with the hogs far above it, each socket has what TCP guarantees it and no more. */
#define TIGHT "4 8 12"
#define TIGHT_MAX 12
#define HOGS 8

/* Opened before any test leaves the first network namespace, the only one that has the file. */
static int limit_fd = -1;
static char limit_before[128];

__attribute__((constructor)) static void limit_save(void)
{
	int here = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	int first = open("/proc/1/ns/net", O_RDONLY | O_CLOEXEC);

	/* The limit is the machine's, and only the first namespace shows it. */
	if (first >= 0 && !setns(first, CLONE_NEWNET))
		limit_fd = open("/proc/sys/net/ipv4/tcp_mem", O_RDWR | O_CLOEXEC);
	if (setns(here, CLONE_NEWNET))
		perror("# the network namespace is not the one it was");
	close(first);
	close(here);
	if (limit_fd < 0 || pread(limit_fd, limit_before, sizeof(limit_before) - 1, 0) <= 0)
		limit_before[0] = 0;
}

static void limit_set(const char *limit)
{
	char now[128] = "";

	ASSERT_EQ((ssize_t)strlen(limit), pwrite(limit_fd, limit, strlen(limit), 0));
	ASSERT_LT(0, pread(limit_fd, now, sizeof(now) - 1, 0));
	ASSERT_EQ(atol(limit), atol(now));
}

/* Pages that all sockets of the machine are charged with. */
static long tcp_pages(void)
{
	FILE *f = fopen("/proc/self/net/sockstat", "re");
	char line[256];
	long pages = -1;

	ASSERT_TRUE(f);
	while (pages < 0 && fgets(line, sizeof(line), f))
		if (!strncmp(line, "TCP:", 4) && strstr(line, " mem "))
			pages = atol(strstr(line, " mem ") + 5);
	fclose(f);
	return pages;
}

/*
 * Each CPU may overdraw the account by a megabyte before it is looked at: so
 * plain connections that nobody reads take more than that, while they still can.
 */
static void hogs_open(int hog[HOGS][2])
{
	const size_t len = 8 << 20;
	uint8_t *data = alloc_pattern(len, 0);
	int i;

	for (i = 0; i < HOGS; i++) {
		sock_pair(AF_INET, hog[i]);
		sock_set_int(hog[i][0], SOL_SOCKET, SO_SNDBUFFORCE, 1 << 20);
		sock_fill(hog[i][0], data, len, len);
	}
	free(data);
}

void test_after_each(void)
{
	if (limit_before[0] && pwrite(limit_fd, limit_before, strlen(limit_before), 0) < 0)
		perror("# tcp_mem is not put back");
}

/*
 * A burst until the socket would block, then a reader that takes what there
 * is, and again.  TCP refuses memory in the middle of records; the sender is
 * told of what was accepted, and all of that has to come.
 */
static void pressure_case(struct ktls_data *self, size_t chunk, int sndbuf)
{
	const size_t len = 256 << 10;
	uint8_t *data = alloc_pattern(len, 0), *got = malloc(len);
	size_t sent = 0, seen = 0;
	int hog[HOGS][2], stalls = 0, i;

	ASSERT_TRUE(got);
	if (!limit_before[0])
		SKIP("/proc/sys/net/ipv4/tcp_mem cannot be set");
	if (sndbuf)
		sock_set_int(self->fd, SOL_SOCKET, SO_SNDBUF, sndbuf);
	hogs_open(hog);
	ASSERT_LT(TIGHT_MAX, tcp_pages());
	limit_set(TIGHT);
	while (sent < len) {
		sent += sock_fill(self->fd, data + sent, len - sent, chunk);
		stalls += sent < len;
		while (seen < sent && sock_poll(self->peer.fd, POLLIN, 0))
			seen += peer_recv_data(&self->peer, got + seen, len - seen);
		if (sent < len && !sock_poll(self->fd, POLLOUT, 0))
			sock_poll(self->peer.fd, POLLIN, 10);
	}
	EXPECT_LT(0, stalls);
	while (seen < len)
		seen += peer_recv_data(&self->peer, got + seen, len - seen);
	EXPECT_MEMEQ(data, got, len);
	limit_set(limit_before);
	for (i = 0; i < HOGS; i++) {
		close(hog[i][0]);
		close(hog[i][1]);
	}
	free(data);
	free(got);
}

/* A size the program has set is one that TCP may not lower to make a charge fit. */
TEST_F_TIMEOUT(ktls, pressure_with_a_set_buffer, 60)
{
	pressure_case(self, REC_MAX, 65536);
}

TEST_F_TIMEOUT(ktls, pressure_with_a_set_buffer_in_bursts, 60)
{
	pressure_case(self, 256 << 10, 65536);
}

TEST_F_TIMEOUT(ktls, pressure_with_tcps_buffer, 60)
{
	pressure_case(self, REC_MAX, 0);
}
