// SPDX-License-Identifier: GPL-2.0
/* Managed sockets once established: data both ways, with plain TCP manners. */
#define _GNU_SOURCE
#include "managed.h"

#include <poll.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

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

struct transfer {
	struct managed_data *self;
	size_t len;
};

static void *client_sends(void *arg)
{
	struct transfer *t = arg;
	uint8_t *data = alloc_pattern(t->len, 0);

	peer_send_data(&t->self->client, data, t->len, REC_MAX);
	free(data);
	return NULL;
}

static void *client_reads(void *arg)
{
	struct transfer *t = arg;
	uint8_t *want = alloc_pattern(t->len, 0), *got = malloc(t->len);

	ASSERT_TRUE(got);
	peer_recv_all(&t->self->client, got, t->len);
	EXPECT_MEMEQ(want, got, t->len);
	free(want);
	free(got);
	return NULL;
}

TEST_F_TIMEOUT(managed, both_ways, 60)
{
	struct transfer t = { self, 2 << 20 };
	uint8_t *data = alloc_pattern(t.len, 0);
	pthread_t sender, reader;

	managed_establish(self);
	ASSERT_EQ(0, pthread_create(&sender, NULL, client_sends, &t));
	ASSERT_EQ(0, pthread_create(&reader, NULL, client_reads, &t));
	ASSERT_EQ((ssize_t)t.len, send(self->server, data, t.len, 0));
	managed_expect_data(self, data, t.len);
	ASSERT_EQ(0, pthread_join(sender, NULL));
	ASSERT_EQ(0, pthread_join(reader, NULL));
	free(data);
}

TEST_F(managed, sendfile)
{
	struct transfer t = { self, 1 << 20 };
	int file = file_pattern(t.len);
	pthread_t reader;
	off_t off = 0;

	managed_establish(self);
	ASSERT_EQ(0, pthread_create(&reader, NULL, client_reads, &t));
	while (off < (off_t)t.len)
		ASSERT_LT(0, sendfile(self->server, file, &off, t.len - off));
	ASSERT_EQ(0, pthread_join(reader, NULL));
	close(file);
}

/* Calls a plain TCP server may make, with flags that kTLS programs never use. */
TEST_F(managed, plain_tcp_calls)
{
	struct iovec iov[] = { { "one", 3 }, { "two", 3 } };
	struct mmsghdr msgs[2] = {
		{ .msg_hdr = { .msg_iov = &iov[0], .msg_iovlen = 1 } },
		{ .msg_hdr = { .msg_iov = &iov[1], .msg_iovlen = 1 } },
	};
	uint8_t buf[16];

	managed_establish(self);
	ASSERT_EQ(2, sendmmsg(self->server, msgs, 2, 0));
	ASSERT_EQ(1, send(self->server, "!", 1, MSG_NOSIGNAL | MSG_DONTWAIT));
	ASSERT_EQ(3, peer_recv_all(&self->client, buf, 7));
	EXPECT_MEMEQ("onetwo!", buf, 7);
	peer_send(&self->client, REC_DATA, "abc", 3);
	ASSERT_EQ(2, recvfrom(self->server, buf, 2, 0, NULL, NULL));
	ASSERT_EQ(1, recv(self->server, buf, sizeof(buf), 0));
}

/* TCP pushes what it held back for MSG_MORE when one of these is set. */
TEST_F(managed, nodelay_lets_go)
{
	uint8_t buf[8];

	managed_establish(self);
	ASSERT_EQ(4, send(self->server, "held", 4, MSG_MORE));
	peer_expect_silence(&self->client, self->server);
	sock_set_int(self->server, IPPROTO_TCP, TCP_NODELAY, 1);
	ASSERT_EQ(1, peer_recv_all(&self->client, buf, 4));
	EXPECT_MEMEQ("held", buf, 4);
}

TEST_F(managed, uncork_lets_go)
{
	uint8_t buf[8];

	managed_establish(self);
	ASSERT_EQ(4, send(self->server, "held", 4, MSG_MORE));
	sock_set_int(self->server, IPPROTO_TCP, TCP_CORK, 1);
	peer_expect_silence(&self->client, self->server);
	sock_set_int(self->server, IPPROTO_TCP, TCP_CORK, 0);
	ASSERT_EQ(1, peer_recv_all(&self->client, buf, 4));
	EXPECT_MEMEQ("held", buf, 4);
}

/* TCP ignores flags it does not know; programs pass recv()'s to send() and never notice. */
TEST_F(managed, send_flags)
{
	uint8_t buf[8];

	managed_establish(self);
	ASSERT_EQ(3, send(self->server, "all", 3, MSG_WAITALL));
	ASSERT_EQ(3, send(self->server, "con", 3, MSG_CONFIRM));
	ASSERT_EQ(2, peer_recv_all(&self->client, buf, 6));
	EXPECT_MEMEQ("allcon", buf, 6);
	EXPECT_ERRNO(EOPNOTSUPP, send(self->server, "x", 1, MSG_OOB));
	peer_expect_silence(&self->client, self->server);
	expect_works(self->server, &self->client);
}

/* On TCP, MSG_TRUNC throws away bytes of the stream and leaves the buffer alone. */
TEST_F(managed, trunc_discards)
{
	uint8_t buf[8], want[8];

	memset(want, 0xee, sizeof(want));
	memcpy(buf, want, sizeof(buf));
	managed_establish(self);
	peer_send(&self->client, REC_DATA, "hello ", 6);
	peer_send(&self->client, REC_DATA, "world!", 6);
	sock_wait_received(self->server, self->client.sent);
	ASSERT_EQ(3, recv(self->server, buf, 3, MSG_TRUNC));
	EXPECT_MEMEQ(want, buf, sizeof(buf));
	ASSERT_EQ(4, recv(self->server, NULL, 4, MSG_TRUNC));
	managed_expect_data(self, "orld!", 5);
}

/* No control message on a managed socket: the program thinks it is TCP. */
TEST_F(managed, no_record_type_told)
{
	uint8_t type;
	char buf[8];

	managed_establish(self);
	peer_send(&self->client, REC_DATA, "abc", 3);
	ASSERT_EQ(3, recv_typed(self->server, buf, sizeof(buf), &type, 0));
	EXPECT_EQ(0, type);
}

TEST_F(managed, no_record_type_set)
{
	managed_establish(self);
	EXPECT_EQ(-1, send_typed(self->server, "\1\0", 2, REC_ALERT, 0));
	peer_expect_silence(&self->client, self->server);
}

TEST_F(managed, fionread)
{
	int n;

	managed_establish(self);
	EXPECT_EQ(0, ioctl(self->server, FIONREAD, &n));
	EXPECT_EQ(0, n);
	peer_send(&self->client, REC_DATA, "hello", 5);
	sock_wait_received(self->server, self->client.sent);
	EXPECT_EQ(0, ioctl(self->server, FIONREAD, &n));
	EXPECT_EQ(5, n);
	managed_expect_data(self, "hello", 5);
}

TEST_F(managed, counters_and_info)
{
	struct itls_info info;
	uint8_t buf[100];

	managed_establish(self);
	peer_send_data(&self->client, buf, 100, 50);
	managed_expect_data(self, buf, 100);
	ASSERT_EQ(70, send(self->server, buf, 70, 0));
	peer_recv_all(&self->client, buf, 70);
	info = info_get(self->server);
	EXPECT_EQ(sizeof(info), info.size);
	EXPECT_EQ(ITLS_STATE_ESTABLISHED, info.state);
	EXPECT_EQ(ITLS_ROLE_SERVER, info.role);
	EXPECT_EQ(variant->version, info.version);
	EXPECT_EQ(variant->cipher, info.tx_cipher);
	EXPECT_EQ(variant->cipher, info.rx_cipher);
	EXPECT_EQ(ITLS_ALERT_NONE, info.alert_rx);
	EXPECT_EQ(ITLS_ALERT_NONE, info.alert_tx);
	EXPECT_EQ(0, info.resumed);
	EXPECT_EQ(0, info.peer_digest_len);
	EXPECT_EQ(1, info.tx_records);
	EXPECT_EQ(70, info.tx_bytes);
	EXPECT_EQ(2, info.rx_records);
	EXPECT_EQ(100, info.rx_bytes);
	EXPECT_EQ(0, strcmp(PROFILE, info.profile));
	EXPECT_EQ(0, strcmp("", info.alpn));
	EXPECT_EQ(0, strcmp("", info.sni));
	EXPECT_EQ(1, stat_get("TxRecords"));
	EXPECT_EQ(70, stat_get("TxBytes"));
	EXPECT_EQ(2, stat_get("RxRecords"));
	EXPECT_EQ(100, stat_get("RxBytes"));
	EXPECT_EQ(1, stat_get("CurrSessions"));
	EXPECT_EQ(1, stat_get("CurrTx"));
	EXPECT_EQ(1, stat_get("CurrRx"));
	EXPECT_EQ(1, stat_get("HandshakeDone"));
}

TEST_F(managed, info_from_the_handshake)
{
	uint8_t digest[ITLS_DIGEST_LEN];
	struct itls_nl_request req;
	struct itls_nl_done done;
	struct itls_info info;

	fill_pattern(digest, sizeof(digest), 1);
	managed_pending(self);
	agent_accept(&self->agent, &req);
	agent_done_init(&done, req.id, &self->tx, &self->rx);
	done.alpn = "http/1.1";
	done.sni = "files.example.org";
	done.peer_digest = digest;
	done.resumed = true;
	ASSERT_EQ(0, itls_nl_done(self->agent.nl, &done));
	close(req.fd);
	info = info_get(self->server);
	EXPECT_EQ(0, strcmp("http/1.1", info.alpn));
	EXPECT_EQ(0, strcmp("files.example.org", info.sni));
	EXPECT_EQ(ITLS_DIGEST_LEN, info.peer_digest_len);
	EXPECT_MEMEQ(digest, info.peer_digest, sizeof(digest));
	EXPECT_EQ(1, info.resumed);
}

TEST_F(managed, info_into_a_short_buffer)
{
	struct itls_info info = {};
	socklen_t len = 12;

	managed_establish(self);
	ASSERT_EQ(0, getsockopt(self->server, SOL_TLS, ITLS_INFO, &info, &len));
	EXPECT_EQ(12, len);
	EXPECT_EQ(12, info.size);
	EXPECT_EQ(ITLS_STATE_ESTABLISHED, info.state);
	EXPECT_EQ(0, info.tx_cipher);
}

TEST_F(managed, keys_are_never_told)
{
	union peer_info seen = {};
	socklen_t len = peer_info_size(&self->tx);

	managed_establish(self);
	EXPECT_ERRNO(EPERM, getsockopt(self->server, SOL_TLS, TLS_TX, &seen, &len));
	EXPECT_ERRNO(EPERM, getsockopt(self->server, SOL_TLS, TLS_RX, &seen, &len));
	len = sizeof(seen.info);
	EXPECT_ERRNO(EPERM, getsockopt(self->server, SOL_TLS, TLS_TX, &seen, &len));
	EXPECT_EQ(0, seen.info.version);
}

TEST_F(managed, keys_are_never_set)
{
	managed_establish(self);
	EXPECT_ERRNO(EPERM, key_set(self->server, TLS_TX, &self->tx));
	EXPECT_ERRNO(EPERM, key_set(self->server, TLS_RX, &self->rx));
	ASSERT_EQ(1, send(self->server, "x", 1, 0));
	EXPECT_EQ(1, peer_recv_data(&self->client, SCRATCH(4), 4));
}

TEST_F(managed, side_doors)
{
	managed_establish(self);
	peer_send(&self->client, REC_DATA, "hello", 5);
	sock_wait_received(self->server, self->client.sent);
	expect_no_side_door(self->server);
	managed_expect_data(self, "hello", 5);
	expect_works(self->server, &self->client);
}

/* TLS has no urgent data: a byte that TCP calls urgent is a byte of the record like any other. */
TEST_F(managed, urgent_byte_in_a_record)
{
	uint8_t rec[REC_SPACE];
	size_t len, half;

	managed_establish(self);
	len = peer_seal(&self->client.tx, REC_DATA, "hello", 5, 0, rec);
	half = len / 2;
	ASSERT_EQ((ssize_t)half, send(self->client.fd, rec, half, MSG_OOB));
	sock_send_all(self->client.fd, rec + half, len - half);
	sock_wait_received(self->server, len);
	EXPECT_EQ(-1, recv(self->server, rec, 1, MSG_OOB | MSG_DONTWAIT));
	managed_expect_data(self, "hello", 5);
	expect_works(self->server, &self->client);
}

static void prefix_case(struct managed_data *self, size_t len)
{
	uint8_t *prefix = alloc_pattern(len + 4, 0);
	struct itls_nl_request req;
	struct itls_nl_done done;
	int n;

	managed_pending(self);
	agent_accept(&self->agent, &req);
	agent_done_init(&done, req.id, &self->tx, &self->rx);
	done.prefix = prefix;
	done.prefix_len = len;
	peer_send(&self->client, REC_DATA, prefix + len, 4);
	ASSERT_EQ(0, itls_nl_done(self->agent.nl, &done));
	close(req.fd);
	EXPECT_TRUE(sock_poll(self->server, POLLIN, test_wait_ms()) & POLLIN);
	EXPECT_EQ(0, ioctl(self->server, FIONREAD, &n));
	EXPECT_LE((int)len, n);
	managed_expect_data(self, prefix, len + 4);
	free(prefix);
}

TEST_F(managed, prefix_comes_first)
{
	prefix_case(self, 28);
}

TEST_F(managed, prefix_one_byte)
{
	prefix_case(self, 1);
}

TEST_F(managed, prefix_longest)
{
	prefix_case(self, ITLS_PREFIX_MAX);
}
