// SPDX-License-Identifier: GPL-2.0
/* How managed connections end: what the server sees, and the client finds on the wire, to the last alert. */
#define _GNU_SOURCE
#include "ends.h"
#include "managed.h"

#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>

FIXTURE_VARIANT_ADD(managed, tls12_128_v4) {
	.version = TLS_1_2_VERSION, .cipher = TLS_CIPHER_AES_GCM_128, .family = AF_INET,
};

FIXTURE_VARIANT_ADD(managed, tls12_256_v6) {
	.version = TLS_1_2_VERSION, .cipher = TLS_CIPHER_AES_GCM_256, .family = AF_INET6,
};

FIXTURE_VARIANT_ADD(managed, tls13_128_v6) {
	.version = TLS_1_3_VERSION, .cipher = TLS_CIPHER_AES_GCM_128, .family = AF_INET6,
};

FIXTURE_VARIANT_ADD(managed, tls13_256_v4) {
	.version = TLS_1_3_VERSION, .cipher = TLS_CIPHER_AES_GCM_256, .family = AF_INET,
};

/* tcpi_state; <netinet/tcp.h>, which names it, does not go with <linux/tcp.h>. */
#define STATE_CLOSE_WAIT 8

/* ---- ends: the peer's ---- */

TEST_F(managed, close_notify_is_eof)
{
	static struct peer_record rec;

	managed_establish(self);
	peer_send(&self->client, REC_DATA, "bye", 3);
	peer_alert(&self->client, LEVEL_WARNING, ALERT_CLOSE_NOTIFY);
	managed_expect_data(self, "bye", 3);
	expect_eof(self->server);
	EXPECT_EQ(ALERT_CLOSE_NOTIFY, info_get(self->server).alert_rx);
	EXPECT_EQ(1, stat_get("RxCloseNotify"));
	/* RFC 8446 6.1: our own direction stays open. */
	ASSERT_EQ(2, send(self->server, "ok", 2, 0));
	ASSERT_EQ(1, peer_recv(&self->client, &rec));
	EXPECT_EQ(2, rec.len);
	EXPECT_EQ(0, stat_get("RxTruncated"));
}

TEST_F(managed, close_notify_then_fin)
{
	managed_establish(self);
	peer_alert(&self->client, LEVEL_WARNING, ALERT_CLOSE_NOTIFY);
	ASSERT_EQ(0, shutdown(self->client.fd, SHUT_WR));
	EXPECT_TRUE(sock_poll(self->server, POLLIN, test_wait_ms()) & POLLIN);
	expect_eof(self->server);
	EXPECT_EQ(0, stat_get("RxTruncated"));
}

TEST_F(managed, close_notify_wakes_epoll)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLRDHUP | EPOLLET };
	int ep = epoll_create1(EPOLL_CLOEXEC);

	managed_establish(self);
	ASSERT_EQ(0, epoll_ctl(ep, EPOLL_CTL_ADD, self->server, &ev));
	epoll_wait(ep, &ev, 1, 0);
	peer_alert(&self->client, LEVEL_WARNING, ALERT_CLOSE_NOTIFY);
	ASSERT_EQ(1, epoll_wait(ep, &ev, 1, test_wait_ms()));
	EXPECT_TRUE(ev.events & EPOLLIN);
	expect_eof(self->server);
	close(ep);
}

/*
 * Data and goodbye in one segment make one edge.  The program spends it on
 * the data, and must be told again.
 */
static void edge_case(struct managed_data *self, size_t first_read, bool fionread)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLRDHUP | EPOLLET };
	int ep = epoll_create1(EPOLL_CLOEXEC), n;
	uint8_t rec[2 * REC_SPACE];
	char buf[64];
	size_t len;

	managed_establish(self);
	sock_nonblock(self->server, true);
	ASSERT_EQ(0, epoll_ctl(ep, EPOLL_CTL_ADD, self->server, &ev));
	len = peer_seal(&self->client.tx, REC_DATA, "hello", 5, 0, rec);
	len += peer_seal(&self->client.tx, REC_ALERT, "\1\0", 2, 0, rec + len);
	peer_send_raw(&self->client, rec, len);
	sock_wait_received(self->server, self->client.sent);
	while (epoll_wait(ep, &ev, 1, 0))
		;
	ASSERT_EQ(5, recv(self->server, buf, first_read, 0));
	if (fionread) {
		ASSERT_EQ(0, ioctl(self->server, FIONREAD, &n));
		EXPECT_EQ(0, n);
	}
	ASSERT_EQ(1, epoll_wait(ep, &ev, 1, test_wait_ms()));
	EXPECT_TRUE(ev.events & EPOLLIN);
	expect_eof(self->server);
	close(ep);
}

TEST_F(managed, data_and_close_notify_make_two_edges)
{
	edge_case(self, 64, false);
}

TEST_F(managed, close_notify_found_by_fionread_makes_an_edge)
{
	edge_case(self, 5, true);
}

TEST_F(managed, data_after_close_notify_is_ignored)
{
	managed_establish(self);
	peer_alert(&self->client, LEVEL_WARNING, ALERT_CLOSE_NOTIFY);
	peer_send(&self->client, REC_DATA, "more", 4);
	sock_wait_received(self->server, self->client.sent);
	expect_eof(self->server);
}

TEST_F(managed, fin_without_close_notify_is_truncation)
{
	char buf[8];

	managed_establish(self);
	peer_send(&self->client, REC_DATA, "cut", 3);
	ASSERT_EQ(0, shutdown(self->client.fd, SHUT_WR));
	managed_expect_data(self, "cut", 3);
	EXPECT_ERRNO(ECONNRESET, recv(self->server, buf, sizeof(buf), 0));
	EXPECT_ERRNO(ECONNRESET, recv(self->server, buf, sizeof(buf), 0));
	EXPECT_EQ(1, stat_get("RxTruncated"));
}

TEST_F(managed, fin_inside_a_record_is_truncation)
{
	uint8_t rec[REC_SPACE];
	size_t len;

	managed_establish(self);
	len = peer_seal(&self->client.tx, REC_DATA, "cut off", 7, 0, rec);
	peer_send_raw(&self->client, rec, len - 1);
	ASSERT_EQ(0, shutdown(self->client.fd, SHUT_WR));
	ASSERT_NE(0, sock_poll(self->server, POLLIN, test_wait_ms()));
	EXPECT_ERRNO(ECONNRESET, recv(self->server, rec, sizeof(rec), 0));
	EXPECT_EQ(1, stat_get("RxTruncated"));
}

TEST_F(managed, fin_wakes_a_blocked_reader)
{
	managed_establish(self);
	ASSERT_EQ(0, shutdown(self->client.fd, SHUT_WR));
	EXPECT_ERRNO(ECONNRESET, recv(self->server, SCRATCH(8), 8, 0));
}

TEST_F(managed, reset_by_peer)
{
	managed_establish(self);
	sock_reset(self->client.fd);
	self->client.fd = -1;
	ASSERT_NE(0, sock_poll(self->server, POLLHUP, test_wait_ms()));
	EXPECT_ERRNO(ECONNRESET, recv(self->server, SCRATCH(8), 8, 0));
}

/* The error of a reset is told once, here to send(); the stream did not end well for that. */
TEST_F(managed, reset_by_peer_told_to_send)
{
	int i;

	managed_establish(self);
	sock_reset(self->client.fd);
	self->client.fd = -1;
	ASSERT_NE(0, sock_poll(self->server, POLLHUP, test_wait_ms()));
	EXPECT_ERRNO(ECONNRESET, send(self->server, "x", 1, MSG_NOSIGNAL));
	for (i = 0; i < 3; i++)
		EXPECT_ERRNO(ECONNRESET, recv(self->server, SCRATCH(8), 8, 0));
}

TEST_F(managed, fatal_alert_is_reset)
{
	static struct peer_record rec;

	managed_establish(self);
	peer_send(&self->client, REC_DATA, "last", 4);
	peer_alert(&self->client, LEVEL_FATAL, ALERT_HANDSHAKE_FAILURE);
	managed_expect_data(self, "last", 4);
	expect_over(self->server, ECONNRESET);
	EXPECT_EQ(ALERT_HANDSHAKE_FAILURE, info_get(self->server).alert_rx);
	EXPECT_EQ(1, stat_get("RxAlert"));
	/* RFC 8446 6.2: no answer to a fatal alert, the connection just ends. */
	EXPECT_EQ(0, peer_recv(&self->client, &rec));
}

TEST_F(managed, user_canceled_changes_nothing)
{
	managed_establish(self);
	peer_alert(&self->client, LEVEL_WARNING, ALERT_USER_CANCELED);
	peer_send(&self->client, REC_DATA, "still", 5);
	managed_expect_data(self, "still", 5);
	peer_alert(&self->client, LEVEL_WARNING, ALERT_CLOSE_NOTIFY);
	expect_eof(self->server);
}

/* RFC 8446 6: in TLS 1.3 the level of an alert says nothing. */
TEST_F(managed, warning_level_of_other_alerts)
{
	managed_establish(self);
	peer_alert(&self->client, LEVEL_WARNING, ALERT_HANDSHAKE_FAILURE);
	if (variant->version == TLS_1_3_VERSION) {
		expect_over(self->server, ECONNRESET);
	} else {
		peer_send(&self->client, REC_DATA, "still", 5);
		managed_expect_data(self, "still", 5);
	}
}

/* ---- ends: wrong records ---- */

static void expect_fatal(struct managed_data *self, int want, uint8_t alert)
{
	expect_over(self->server, want);
	EXPECT_EQ(alert, info_get(self->server).alert_tx);
	EXPECT_EQ(1, stat_get("TxAlert"));
	expect_alert(&self->client, LEVEL_FATAL, alert);
	EXPECT_EQ(0, stat_get("TxCloseNotify"));
}

TEST_F(managed, corrupt_record)
{
	uint8_t rec[REC_SPACE];
	size_t len;

	managed_establish(self);
	peer_send(&self->client, REC_DATA, "good", 4);
	len = peer_seal(&self->client.tx, REC_DATA, "evil", 4, 0, rec);
	rec[len - 1] ^= 1;
	peer_send_raw(&self->client, rec, len);
	managed_expect_data(self, "good", 4);
	expect_fatal(self, EBADMSG, ALERT_BAD_RECORD_MAC);
	EXPECT_EQ(1, stat_get("RxDecryptError"));
}

TEST_F(managed, record_too_long)
{
	uint8_t header[REC_HEADER] = {
		REC_DATA, 3, 3, (REC_MAX + 2049) >> 8, (REC_MAX + 2049) & 255,
	};

	managed_establish(self);
	peer_send_raw(&self->client, header, sizeof(header));
	expect_fatal(self, EMSGSIZE, ALERT_RECORD_OVERFLOW);
	EXPECT_EQ(1, stat_get("RxProtocolError"));
}

TEST_F(managed, content_too_long)
{
	uint8_t *data = alloc_pattern(REC_MAX + 1, 0);

	managed_establish(self);
	peer_send(&self->client, REC_DATA, data, REC_MAX + 1);
	expect_fatal(self, EMSGSIZE, ALERT_RECORD_OVERFLOW);
	free(data);
}

static void out_of_place(struct managed_data *self, uint8_t type, const void *data, size_t len)
{
	managed_establish(self);
	peer_send(&self->client, REC_DATA, "good", 4);
	peer_send(&self->client, type, data, len);
	peer_send(&self->client, REC_DATA, "late", 4);
	managed_expect_data(self, "good", 4);
	expect_fatal(self, EPROTO, ALERT_UNEXPECTED_MESSAGE);
	EXPECT_EQ(1, stat_get("RxProtocolError"));
}

TEST_F(managed, key_update_is_refused)
{
	if (variant->version == TLS_1_3_VERSION)
		SKIP("TLS 1.3 has KeyUpdate");
	out_of_place(self, REC_HANDSHAKE, "\x18\0\0\1\0", 5);
}

TEST_F(managed, renegotiation_is_refused)
{
	if (variant->version == TLS_1_2_VERSION)
		SKIP("TLS 1.2 declines by a warning");
	out_of_place(self, REC_HANDSHAKE, "\1\0\0\2\3\3", 6);
}

TEST_F(managed, change_cipher_spec_is_refused)
{
	out_of_place(self, REC_CCS, "\1", 1);
}

TEST_F(managed, unknown_type_is_refused)
{
	out_of_place(self, 99, "?", 1);
}

TEST_F(managed, malformed_alert)
{
	static struct peer_record rec;

	managed_establish(self);
	peer_send(&self->client, REC_ALERT, "\2", 1);
	expect_over(self->server, EPROTO);
	ASSERT_EQ(1, peer_recv(&self->client, &rec));
	EXPECT_EQ(REC_ALERT, rec.type);
	EXPECT_EQ(LEVEL_FATAL, rec.data[0]);
}

TEST_F(managed, cleartext_after_the_handshake)
{
	static struct peer_record rec;

	managed_establish(self);
	peer_send_raw(&self->client, "GET / HTTP/1.0\r\n\r\n", 18);
	ASSERT_NE(0, sock_poll(self->server, POLLIN, test_wait_ms()));
	EXPECT_EQ(-1, recv(self->server, rec.data, sizeof(rec.data), 0));
	ASSERT_EQ(1, peer_recv(&self->client, &rec));
	EXPECT_EQ(REC_ALERT, rec.type);
	EXPECT_EQ(LEVEL_FATAL, rec.data[0]);
}

/* RFC 8446 5.4: a record without a type, all of it padding, is an unexpected message. */
TEST_F(managed, record_of_zeroes)
{
	if (variant->version != TLS_1_3_VERSION)
		SKIP("TLS 1.2 has no padding");
	managed_establish(self);
	peer_send_padded(&self->client, 0, NULL, 0, 20);
	expect_fatal(self, EPROTO, ALERT_UNEXPECTED_MESSAGE);
}

/* What nobody reads behind a bad record must not turn close() into a reset: it would eat the alert. */
TEST_F(managed, close_after_a_bad_record)
{
	static struct peer_record rec;
	struct tcp_info info;
	socklen_t len = sizeof(info);

	managed_establish(self);
	peer_send_raw(&self->client, "GET / HTTP/1.0\r\n\r\n", 18);
	sock_wait_received(self->server, self->client.sent);
	EXPECT_EQ(-1, recv(self->server, rec.data, sizeof(rec.data), 0));
	close(self->server);
	self->server = -1;
	expect_alert(&self->client, LEVEL_FATAL, ALERT_UNEXPECTED_MESSAGE);
	ASSERT_EQ(0, getsockopt(self->client.fd, IPPROTO_TCP, TCP_INFO, &info, &len));
	EXPECT_EQ(STATE_CLOSE_WAIT, info.tcpi_state);
}

/* A record of two alerts, the first of which is close_notify, is malformed too. */
TEST_F(managed, two_alerts_in_a_record)
{
	managed_establish(self);
	peer_send(&self->client, REC_ALERT, "\1\0\1\0", 4);
	expect_over(self->server, EPROTO);
}

/* ---- ends: the server's ---- */

TEST_F(managed, close_sends_close_notify)
{
	uint8_t buf[8];

	managed_establish(self);
	ASSERT_EQ(4, send(self->server, "last", 4, 0));
	close(self->server);
	self->server = -1;
	ASSERT_EQ(1, peer_recv_all(&self->client, buf, 4));
	expect_alert(&self->client, LEVEL_WARNING, ALERT_CLOSE_NOTIFY);
	EXPECT_EQ(1, stat_get("TxCloseNotify"));
}

TEST_F(managed, close_without_data)
{
	managed_establish(self);
	close(self->server);
	self->server = -1;
	expect_alert(&self->client, LEVEL_WARNING, ALERT_CLOSE_NOTIFY);
}

TEST_F(managed, shutdown_write)
{
	struct itls_info info;
	uint8_t buf[8];

	managed_establish(self);
	ASSERT_EQ(4, send(self->server, "last", 4, 0));
	ASSERT_EQ(0, shutdown(self->server, SHUT_WR));
	EXPECT_ERRNO(EPIPE, send(self->server, "x", 1, MSG_NOSIGNAL));
	ASSERT_EQ(1, peer_recv_all(&self->client, buf, 4));
	expect_alert(&self->client, LEVEL_WARNING, ALERT_CLOSE_NOTIFY);
	info = info_get(self->server);
	EXPECT_EQ(ALERT_CLOSE_NOTIFY, info.alert_tx);
	/* Reading goes on until the peer ends it. */
	peer_send(&self->client, REC_DATA, "answer", 6);
	managed_expect_data(self, "answer", 6);
	peer_alert(&self->client, LEVEL_WARNING, ALERT_CLOSE_NOTIFY);
	expect_eof(self->server);
	/* close() says nothing twice. */
	close(self->server);
	self->server = -1;
	EXPECT_EQ(1, stat_get("TxCloseNotify"));
}

TEST_F(managed, shutdown_both)
{
	managed_establish(self);
	ASSERT_EQ(0, shutdown(self->server, SHUT_RDWR));
	expect_alert(&self->client, LEVEL_WARNING, ALERT_CLOSE_NOTIFY);
	EXPECT_GE(0, recv(self->server, SCRATCH(8), 8, 0));
}

TEST_F(managed, shutdown_read_only)
{
	uint8_t buf[8];

	managed_establish(self);
	ASSERT_EQ(0, shutdown(self->server, SHUT_RD));
	EXPECT_EQ(0, recv(self->server, buf, sizeof(buf), 0));
	ASSERT_EQ(2, send(self->server, "ok", 2, 0));
	EXPECT_EQ(1, peer_recv_all(&self->client, buf, 2));
}

TEST_F(managed, close_after_msg_more)
{
	uint8_t buf[8];

	managed_establish(self);
	ASSERT_EQ(4, send(self->server, "open", 4, MSG_MORE));
	close(self->server);
	self->server = -1;
	ASSERT_EQ(1, peer_recv_all(&self->client, buf, 4));
	EXPECT_MEMEQ("open", buf, 4);
	expect_alert(&self->client, LEVEL_WARNING, ALERT_CLOSE_NOTIFY);
}

/* The send buffer is full in the middle of a record: it is completed, then close_notify. */
static void close_full(struct managed_data *self, bool by_shutdown)
{
	uint8_t *data = alloc_pattern(8 << 20, 0), *got = malloc(8 << 20);
	size_t sent = 0;
	ssize_t n;

	ASSERT_TRUE(got);
	managed_establish(self);
	sock_set_int(self->server, SOL_SOCKET, SO_SNDBUF, 30000);
	do {
		n = send(self->server, data + sent, (8 << 20) - sent, MSG_DONTWAIT);
		sent += n > 0 ? n : 0;
	} while (n > 0);
	ASSERT_EQ(EAGAIN, errno);
	if (by_shutdown) {
		ASSERT_EQ(0, shutdown(self->server, SHUT_WR));
	} else {
		close(self->server);
		self->server = -1;
	}
	peer_recv_all(&self->client, got, sent);
	EXPECT_MEMEQ(data, got, sent);
	expect_alert(&self->client, LEVEL_WARNING, ALERT_CLOSE_NOTIFY);
	free(data);
	free(got);
}

TEST_F(managed, close_with_full_buffer)
{
	close_full(self, false);
}

TEST_F(managed, shutdown_with_full_buffer)
{
	close_full(self, true);
}

/* The client said goodbye first: an unread close_notify must not turn close() into a reset. */
TEST_F(managed, close_after_peers_close_notify)
{
	uint8_t buf[4];

	managed_establish(self);
	ASSERT_EQ(2, send(self->server, "ok", 2, 0));
	peer_alert(&self->client, LEVEL_WARNING, ALERT_CLOSE_NOTIFY);
	sock_wait_received(self->server, self->client.sent);
	close(self->server);
	self->server = -1;
	EXPECT_EQ(1, peer_recv_all(&self->client, buf, 2));
	expect_alert(&self->client, LEVEL_WARNING, ALERT_CLOSE_NOTIFY);
}

TEST_F(managed, close_with_unread_data)
{
	managed_establish(self);
	peer_send(&self->client, REC_DATA, "unread", 6);
	sock_wait_received(self->server, self->client.sent);
	close(self->server);
	self->server = -1;
	EXPECT_NE(0, sock_poll(self->client.fd, POLLIN | POLLHUP, test_wait_ms()));
}

TEST_F(managed, close_with_linger_zero)
{
	managed_establish(self);
	sock_reset(self->server);
	self->server = -1;
	ASSERT_NE(0, sock_poll(self->client.fd, POLLHUP, test_wait_ms()));
}

TEST_F(managed, close_after_reset)
{
	managed_establish(self);
	sock_reset(self->client.fd);
	self->client.fd = -1;
	ASSERT_NE(0, sock_poll(self->server, POLLHUP, test_wait_ms()));
	close(self->server);
	self->server = -1;
}

static void *shut_down_soon(void *arg)
{
	struct managed_data *self = arg;

	while (sock_poll(self->server, POLLOUT, 0))
		sched_yield();
	shutdown(self->server, SHUT_RDWR);
	return NULL;
}

TEST_F(managed, shutdown_while_send_is_blocked)
{
	uint8_t *data = alloc_pattern(16 << 20, 0);
	pthread_t thread;

	managed_establish(self);
	ASSERT_EQ(0, pthread_create(&thread, NULL, shut_down_soon, self));
	EXPECT_LT(send(self->server, data, 16 << 20, MSG_NOSIGNAL), 16 << 20);
	ASSERT_EQ(0, pthread_join(thread, NULL));
	free(data);
}
