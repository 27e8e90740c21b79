// SPDX-License-Identifier: GPL-2.0
/*
 * Listeners attached, marked and taken away while connections pour in.  What
 * the kernel does wrong here shows as a splat, as a counter that stays up, or
 * as a client's byte in the server's hands.
 */
#define _GNU_SOURCE
#include "managed.h"

#include <sched.h>
#include <sys/wait.h>

FIXTURE_VARIANT_ADD(managed, v4) {
	.version = TLS_1_3_VERSION, .cipher = TLS_CIPHER_AES_GCM_128, .family = AF_INET,
};

FIXTURE_VARIANT_ADD(managed, v6) {
	.version = TLS_1_2_VERSION, .cipher = TLS_CIPHER_AES_GCM_128, .family = AF_INET6,
};

/* ---- a storm of connections ---- */

#define STORM_PROCESSES	2
#define STORM_MS	2000
/* Connections that one process holds before it resets the oldest. */
#define STORM_HELD	16

/* Shared with the processes that connect. */
struct storm {
	struct sockaddr_storage to;
	volatile uint32_t generation;	/* odd: nothing listens */
	volatile bool stop;
	volatile uint64_t connected;
};

static int storm_connect(struct storm *storm)
{
	int fd = socket(storm->to.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct linger linger = { .l_onoff = 1 };

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)));
	/* The address may change meanwhile, and refuse. */
	if (connect(fd, (void *)&storm->to, sizeof(storm->to)) && errno != EINPROGRESS) {
		close(fd);
		return -1;
	}
	if (send(fd, "clear", 5, MSG_NOSIGNAL) == 5)
		__atomic_add_fetch(&storm->connected, 1, __ATOMIC_RELAXED);
	return fd;
}

/* Connects and resets until told to stop; a reset leaves no port in TIME_WAIT. */
static void storm_blow(struct storm *storm)
{
	int held[STORM_HELD], i;

	memset(held, -1, sizeof(held));
	for (i = 0; !storm->stop; i = (i + 1) % STORM_HELD) {
		if (storm->generation & 1) {
			sched_yield();
			continue;
		}
		if (held[i] >= 0)
			close(held[i]);
		held[i] = storm_connect(storm);
	}
	_exit(0);
}

static struct storm *storm_start(pid_t pid[STORM_PROCESSES])
{
	struct storm *storm = mmap(NULL, sizeof(*storm), PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int i;

	ASSERT_NE(MAP_FAILED, storm);
	storm->generation = 1;
	for (i = 0; i < STORM_PROCESSES; i++) {
		pid[i] = fork();
		ASSERT_LE(0, pid[i]);
		if (!pid[i])
			storm_blow(storm);
	}
	return storm;
}

static void storm_aim(struct storm *storm, int listener)
{
	socklen_t len = sizeof(storm->to);

	ASSERT_EQ(0, getsockname(listener, (void *)&storm->to, &len));
	__atomic_add_fetch(&storm->generation, 1, __ATOMIC_SEQ_CST);
}

static void storm_end(struct storm *storm, const pid_t pid[STORM_PROCESSES])
{
	int i, status;

	storm->stop = true;
	for (i = 0; i < STORM_PROCESSES; i++) {
		ASSERT_EQ(pid[i], waitpid(pid[i], &status, 0));
		EXPECT_EQ(0, status);
	}
	EXPECT_LT(0, storm->connected);
	munmap(storm, sizeof(*storm));
}

/* What a marked listener gives is the agent's business, whatever the client sent or did. */
static void expect_kept(int fd)
{
	int state = info_get(fd).state;
	char buf[8];

	EXPECT_TRUE(state == ITLS_STATE_PENDING || state == ITLS_STATE_FAILED);
	EXPECT_EQ(-1, recv(fd, buf, sizeof(buf), MSG_DONTWAIT));
	EXPECT_EQ(-1, send(fd, "x", 1, MSG_DONTWAIT | MSG_NOSIGNAL));
}

/* Accepts up to max connections; none may be refused. */
static int accept_some(int listener, int max, bool marked)
{
	int fd, n;

	for (n = 0; n < max; n++) {
		fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0) {
			EXPECT_EQ(EAGAIN, errno);
			return n;
		}
		if (marked)
			expect_kept(fd);
		close(fd);
	}
	return n;
}

/*
 * How many connections a round accepts: the ones to look at were cloned while
 * the listener changed, behind those that came before.  Some rounds leave a
 * queue for close() to take down.
 */
static int round_share(int round)
{
	return round & 3 ? 40 : round & 7;
}

enum storm_case { STORM_AT_ONCE, STORM_BUSY, STORM_UNMARKED };

/* One listener's life in the storm; returns how many connections it accepted. */
static int storm_round(struct storm *storm, int family, enum storm_case c, int round)
{
	int listener = sock_listen(family), accepted = 0;

	sock_nonblock(listener, true);
	storm_aim(storm, listener);
	if (c == STORM_BUSY) {
		ASSERT_NE(0, sock_poll(listener, POLLIN, test_wait_ms()));
		accepted += accept_some(listener, round % 3, false);
	}
	listener_require(listener);
	if (c == STORM_UNMARKED) {
		ASSERT_NE(0, sock_poll(listener, POLLIN, test_wait_ms()));
		accepted += accept_some(listener, round_share(round), false);
	} else {
		ASSERT_EQ(0, listener_mark(listener, PROFILE));
		ASSERT_NE(0, sock_poll(listener, POLLIN, test_wait_ms()));
		accepted += accept_some(listener, round_share(round), true);
	}
	/* Over a queue that is being filled, or not. */
	if (round & 1)
		__atomic_add_fetch(&storm->generation, 1, __ATOMIC_SEQ_CST);
	close(listener);
	if (!(round & 1))
		__atomic_add_fetch(&storm->generation, 1, __ATOMIC_SEQ_CST);
	return accepted;
}

static void storm_case(int family, enum storm_case c)
{
	int64_t end = sock_now_ms() + STORM_MS;
	pid_t pid[STORM_PROCESSES];
	struct storm *storm = storm_start(pid);
	int accepted = 0, round;

	for (round = 0; round < 4 || sock_now_ms() < end; round++)
		accepted += storm_round(storm, family, c, round);
	storm_end(storm, pid);
	printf("# %d listeners, %d accepted\n", round, accepted);
	EXPECT_LT(0, accepted);
	stat_wait_idle();
}

/* A child cloned while its listener is attached has copied half of what attach changes. */
TEST_F_TIMEOUT(managed, storm_from_the_start, 60)
{
	storm_case(variant->family, STORM_AT_ONCE);
}

TEST_F_TIMEOUT(managed, storm_on_a_busy_listener, 60)
{
	storm_case(variant->family, STORM_BUSY);
}

TEST_F_TIMEOUT(managed, storm_without_mark, 60)
{
	storm_case(variant->family, STORM_UNMARKED);
}

/* One listener that stays: the mark goes and comes, and each child has it or not, never half. */
TEST_F_TIMEOUT(managed, storm_while_the_mark_changes, 60)
{
	int64_t end = sock_now_ms() + STORM_MS;
	pid_t pid[STORM_PROCESSES];
	struct storm *storm = storm_start(pid);
	int accepted = 0, round;

	sock_nonblock(self->listener, true);
	storm_aim(storm, self->listener);
	for (round = 0; round < 4 || sock_now_ms() < end; round++) {
		ASSERT_EQ(0, listener_mark(self->listener, round & 1 ? PROFILE : ""));
		accepted += accept_some(self->listener, 5, false);
	}
	storm_end(storm, pid);
	EXPECT_LT(0, accepted);
	while (accept_some(self->listener, 100, false))
		;
	stat_wait_idle();
	/* Still a good listener. */
	sock_nonblock(self->listener, false);
	ASSERT_EQ(0, listener_mark(self->listener, PROFILE));
	peer_init(&self->client, sock_connect(self->listener), &self->tx, &self->rx);
	self->server = sock_accept(self->listener);
	EXPECT_EQ(ITLS_STATE_PENDING, info_get(self->server).state);
}

/* ---- listeners taken down over their queue ---- */

#define QUEUED 5

enum ending { BY_SHUTDOWN, BY_DISCONNECT };

static void end_listener(int listener, enum ending how)
{
	struct sockaddr unspec = { .sa_family = AF_UNSPEC };

	if (how == BY_SHUTDOWN)
		ASSERT_EQ(0, shutdown(listener, SHUT_RD));
	else
		ASSERT_EQ(0, connect(listener, &unspec, sizeof(unspec)));
}

/* As on plain TCP: who was not accepted is reset, and the socket may listen again. */
static void ending_case(struct managed_data *self, const char *profile, enum ending how)
{
	int client[QUEUED], i;

	ASSERT_EQ(0, listener_mark(self->listener, profile));
	for (i = 0; i < QUEUED; i++) {
		client[i] = sock_connect(self->listener);
		sock_send_all(client[i], "clear", 5);
	}
	ASSERT_NE(0, sock_poll(self->listener, POLLIN, test_wait_ms()));
	end_listener(self->listener, how);
	for (i = 0; i < QUEUED; i++) {
		ASSERT_NE(0, sock_poll(client[i], POLLIN, test_wait_ms()));
		EXPECT_ERRNO(ECONNRESET, recv(client[i], SCRATCH(8), 8, MSG_DONTWAIT));
		close(client[i]);
	}
	EXPECT_ERRNO(EINVAL, accept(self->listener, NULL, NULL));
	EXPECT_EQ(0, stat_get("CurrSessions"));
	ASSERT_EQ(0, listen(self->listener, 16));
	ASSERT_EQ(0, listener_mark(self->listener, PROFILE));
	managed_establish(self);
	expect_works(self->server, &self->client);
}

TEST_F(managed, shutdown_read_over_a_queue)
{
	ending_case(self, PROFILE, BY_SHUTDOWN);
}

TEST_F(managed, shutdown_read_over_a_plain_queue)
{
	ending_case(self, "", BY_SHUTDOWN);
}

TEST_F(managed, disconnect_over_a_queue)
{
	ending_case(self, PROFILE, BY_DISCONNECT);
}

TEST_F(managed, disconnect_over_a_plain_queue)
{
	ending_case(self, "", BY_DISCONNECT);
}
