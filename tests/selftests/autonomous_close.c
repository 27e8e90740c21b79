// SPDX-License-Identifier: GPL-2.0
/*
 * close_notify of autonomous sockets (RFC 8446 6.1): once, behind all data,
 * however the socket comes to its end, and nobody waits for it who did not
 * ask to.
 */
#define _GNU_SOURCE
#include "autonomous.h"

#include <signal.h>
#include <sys/wait.h>

TEST_F(autonomous, close_says_goodbye)
{
	autonomous_begin(self);
	ASSERT_EQ(4, send(self->fd, "last", 4, 0));
	close(self->fd);
	self->fd = -1;
	expect_record(self, "last", 4);
	expect_close_notify(&self->peer);
	EXPECT_EQ(1, stat_get("TxCloseNotify"));
}

TEST_F(autonomous, shutdown_says_goodbye_once)
{
	autonomous_begin(self);
	ASSERT_EQ(4, send(self->fd, "last", 4, 0));
	ASSERT_EQ(0, shutdown(self->fd, SHUT_WR));
	EXPECT_EQ(ALERT_CLOSE_NOTIFY, info_get(self->fd).alert_tx);
	EXPECT_ERRNO(EPIPE, send(self->fd, "x", 1, MSG_NOSIGNAL));
	shutdown(self->fd, SHUT_WR);
	expect_record(self, "last", 4);
	expect_close_notify(&self->peer);
	peer_send(&self->peer, REC_DATA, "answer", 6);
	expect_data(self, "answer", 6);
	shutdown(self->fd, SHUT_RDWR);
	close(self->fd);
	self->fd = -1;
	EXPECT_EQ(1, stat_get("TxCloseNotify"));
}

TEST_F(autonomous, shutdown_of_both_says_goodbye)
{
	autonomous_begin(self);
	ASSERT_EQ(0, shutdown(self->fd, SHUT_RDWR));
	expect_close_notify(&self->peer);
}

TEST_F(autonomous, shutdown_of_reading_says_nothing)
{
	autonomous_begin(self);
	ASSERT_EQ(0, shutdown(self->fd, SHUT_RD));
	ASSERT_EQ(2, send(self->fd, "on", 2, 0));
	expect_record(self, "on", 2);
	expect_silence(self);
	EXPECT_EQ(0, stat_get("TxCloseNotify"));
}

TEST_F(autonomous, open_record_goes_before_goodbye)
{
	autonomous_begin(self);
	ASSERT_EQ(4, send(self->fd, "open", 4, MSG_MORE));
	close(self->fd);
	self->fd = -1;
	expect_record(self, "open", 4);
	expect_close_notify(&self->peer);
}

TEST_F(autonomous, only_the_last_close_says_goodbye)
{
	int copy;

	autonomous_begin(self);
	copy = dup(self->fd);
	ASSERT_LE(0, copy);
	close(self->fd);
	self->fd = copy;
	expect_talk(self);
	expect_silence(self);
	close(self->fd);
	self->fd = -1;
	expect_close_notify(&self->peer);
}

/* All that send() took arrives, then close_notify; and nobody waits for it meanwhile. */
static void end_while_full(struct autonomous_data *self, int (*end)(int fd))
{
	uint8_t *data = alloc_pattern(LOTS, 0), *got = malloc(LOTS);
	int64_t start;
	size_t sent;

	ASSERT_TRUE(got);
	autonomous_begin(self);
	sent = fill_up(self, data, LOTS);
	start = sock_now_ms();
	ASSERT_EQ(0, end(self->fd));
	EXPECT_LT(sock_now_ms() - start, test_wait_ms() / 4);
	peer_recv_all(&self->peer, got, sent);
	EXPECT_MEMEQ(data, got, sent);
	expect_close_notify(&self->peer);
	EXPECT_EQ(1, stat_get("TxCloseNotify"));
	EXPECT_EQ(0, stat_get("TxLost"));
	free(data);
	free(got);
}

static int shut_write(int fd)
{
	return shutdown(fd, SHUT_WR);
}

static int shut_then_close(int fd)
{
	return shutdown(fd, SHUT_WR) ?: close(fd);
}

TEST_F(autonomous, close_while_full)
{
	end_while_full(self, close);
	self->fd = -1;
}

TEST_F(autonomous, shutdown_while_full)
{
	end_while_full(self, shut_write);
}

TEST_F(autonomous, shutdown_and_close_while_full)
{
	end_while_full(self, shut_then_close);
	self->fd = -1;
}

static void set_linger(int fd, int seconds)
{
	struct linger linger = { .l_onoff = 1, .l_linger = seconds };

	ASSERT_EQ(0, setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)));
}

/* A program that lingers waits until the peer has it all, close_notify with it. */
TEST_F(autonomous, close_with_linger)
{
	autonomous_begin(self);
	ASSERT_EQ(4, send(self->fd, "last", 4, 0));
	set_linger(self->fd, 10);
	ASSERT_EQ(0, close(self->fd));
	self->fd = -1;
	/* Linger ended, so it is all here. */
	EXPECT_EQ(POLLRDHUP, sock_poll(self->peer.fd, POLLRDHUP, 0) & POLLRDHUP);
	expect_record(self, "last", 4);
	expect_close_notify(&self->peer);
}

TEST_F(autonomous, close_with_linger_while_full)
{
	uint8_t *data = alloc_pattern(LOTS, 0);
	struct peer_drain drain;
	size_t sent;

	autonomous_begin(self);
	sent = fill_up(self, data, LOTS);
	set_linger(self->fd, 10);
	peer_drain_start(&drain, &self->peer, sent, 0);
	ASSERT_EQ(0, close(self->fd));
	self->fd = -1;
	peer_drain_join(&drain);
	expect_close_notify(&self->peer);
	free(data);
}

/*
 * A program that resets says that something went wrong: a peer that were told
 * close_notify would take what it has for the whole.
 */
TEST_F(autonomous, close_with_linger_zero_is_reset)
{
	autonomous_begin(self);
	sock_reset(self->fd);
	self->fd = -1;
	ASSERT_NE(0, sock_poll(self->peer.fd, POLLHUP, test_wait_ms()));
	EXPECT_ERRNO(ECONNRESET, recv(self->peer.fd, SCRATCH(8), 8, MSG_DONTWAIT));
	EXPECT_EQ(0, stat_get("TxCloseNotify"));
}

/* The socket is held by a process alone that gets this signal. */
static void end_of_process(struct autonomous_data *self, int signo)
{
	char go;
	int ready[2], status;
	pid_t pid;

	autonomous_begin(self);
	ASSERT_EQ(0, pipe(ready));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		send(self->fd, "last", 4, 0);
		send(self->fd, "open", 4, MSG_MORE);
		if (write(ready[1], "!", 1) != 1 || !signo)
			_exit(0);
		for (;;)
			pause();
	}
	close(self->fd);
	self->fd = -1;
	ASSERT_EQ(1, read(ready[0], &go, 1));
	if (signo)
		ASSERT_EQ(0, kill(pid, signo));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	expect_record(self, "last", 4);
	expect_record(self, "open", 4);
	expect_close_notify(&self->peer);
	EXPECT_EQ(1, stat_get("TxCloseNotify"));
}

TEST_F(autonomous, exit_says_goodbye)
{
	end_of_process(self, 0);
}

TEST_F(autonomous, killed_process_says_goodbye)
{
	end_of_process(self, SIGKILL);
}

TEST_F(autonomous, crashed_process_says_goodbye)
{
	end_of_process(self, SIGABRT);
}

/* Killed inside send(), which has room for nothing more. */
TEST_F_TIMEOUT(autonomous, killed_while_sending, 60)
{
	uint8_t *data = alloc_pattern(LOTS, 0);
	static struct peer_record rec;
	size_t len = 0;
	int status;
	pid_t pid;

	autonomous_begin(self);
	fill_up(self, data, LOTS);
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		while (send(self->fd, data, 100000, 0) > 0)
			;
		_exit(0);
	}
	close(self->fd);
	self->fd = -1;
	/* It may have got there or not: either way it ends. */
	ASSERT_EQ(0, kill(pid, SIGKILL));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	for (;;) {
		ASSERT_EQ(1, peer_recv(&self->peer, &rec));
		if (rec.type != REC_DATA)
			break;
		len += rec.len;
	}
	EXPECT_LT(0, len);
	alert_check(&rec, LEVEL_WARNING, ALERT_CLOSE_NOTIFY);
	EXPECT_EQ(0, peer_recv(&self->peer, &rec));
	free(data);
}

TEST_F(autonomous, no_goodbye_to_one_who_said_it_fatally)
{
	static struct peer_record rec;

	autonomous_begin(self);
	peer_alert(&self->peer, LEVEL_FATAL, ALERT_HANDSHAKE_FAILURE);
	expect_over(self->fd, ECONNRESET);
	close(self->fd);
	self->fd = -1;
	EXPECT_EQ(0, peer_recv(&self->peer, &rec));
	EXPECT_EQ(0, stat_get("TxCloseNotify"));
}

TEST_F(autonomous, no_goodbye_after_a_fatal_alert)
{
	autonomous_begin(self);
	peer_send(&self->peer, 99, "?", 1);
	expect_over(self->fd, EPROTO);
	shutdown(self->fd, SHUT_WR);
	close(self->fd);
	self->fd = -1;
	expect_alert(&self->peer, LEVEL_FATAL, ALERT_UNEXPECTED_MESSAGE);
	EXPECT_EQ(0, stat_get("TxCloseNotify"));
}
