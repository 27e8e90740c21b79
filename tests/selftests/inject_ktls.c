// SPDX-License-Identifier: GPL-2.0
/*
 * The kTLS ABI when memory runs out or a copy faults, at each place of each
 * call.  Either the call succeeds or it says why; what it says it took is
 * taken, what it does not is not, and trying again goes on from there.
 */
#define _GNU_SOURCE
#include "inject.h"
#include "rekey.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

/* More than a few records, less than a socket takes without a reader. */
#define MUCH	50000
#define ALL	(MUCH + 1000)

/* A test that ended badly leaves no failing machine to the next. */
void test_after_each(void)
{
	inject_restore();
}

FIXTURE(inject) {
	int fd;
	struct peer peer;
	union peer_info tx, rx;
	int family;
	uint8_t *data, *got;
	int file, pipe[2];
};

FIXTURE_VARIANT(inject) {
	uint16_t version;
	uint16_t cipher;
	int family;
};

FIXTURE_VARIANT_ADD(inject, tls12) {
	.version = TLS_1_2_VERSION, .cipher = TLS_CIPHER_AES_GCM_128, .family = AF_INET,
};

FIXTURE_VARIANT_ADD(inject, tls13) {
	.version = TLS_1_3_VERSION, .cipher = TLS_CIPHER_AES_GCM_256, .family = AF_INET6,
};

FIXTURE_SETUP(inject)
{
	self->family = variant->family;
	peer_info_make(&self->tx, variant->version, variant->cipher, 1, 1);
	peer_info_make(&self->rx, variant->version, variant->cipher, 2, 1);
	self->data = alloc_pattern(ALL, 0);
	self->got = alloc_pattern(ALL, 0);
	self->file = file_pattern(ALL);
	ASSERT_EQ(0, pipe2(self->pipe, O_CLOEXEC | O_NONBLOCK));
}

FIXTURE_TEARDOWN(inject)
{
	free(self->data);
	free(self->got);
	close(self->file);
	close(self->pipe[0]);
	close(self->pipe[1]);
}

static void open_plain(struct inject_data *self)
{
	int fd[2];

	sock_pair(self->family, fd);
	self->fd = fd[0];
	peer_init(&self->peer, fd[1], &self->tx, &self->rx);
}

static void open_keyed(struct inject_data *self)
{
	open_plain(self);
	ulp_require(self->fd);
	ASSERT_EQ(0, key_set(self->fd, TLS_TX, &self->tx));
	ASSERT_EQ(0, key_set(self->fd, TLS_RX, &self->rx));
}

static void close_both(struct inject_data *self)
{
	if (self->fd >= 0)
		close(self->fd);
	peer_free(&self->peer);
}

/* ---- options --------------------------------------------------------------------- */

static void plain_works(struct inject_data *self)
{
	char buf[4];

	sock_send_all(self->fd, "abcd", 4);
	sock_recv_all(self->peer.fd, buf, 4);
	EXPECT_MEMEQ("abcd", buf, 4);
	sock_send_all(self->peer.fd, "efgh", 4);
	sock_recv_all(self->fd, buf, 4);
	EXPECT_MEMEQ("efgh", buf, 4);
}

static void records_work(struct inject_data *self)
{
	uint8_t buf[4];

	sock_send_all(self->fd, "ijkl", 4);
	ASSERT_EQ(1, peer_recv_all(&self->peer, buf, 4));
	EXPECT_MEMEQ("ijkl", buf, 4);
	peer_send(&self->peer, REC_DATA, "mnop", 4);
	sock_recv_all(self->fd, buf, 4);
	EXPECT_MEMEQ("mnop", buf, 4);
}

TEST_F_TIMEOUT(inject, attach, 60)
{
	int ret;

	INJECT_WALK(w, "TCP_ULP") {
		open_plain(self);
		INJECT(&w, ret = ulp_attach(self->fd));
		if (inject_failed(&w, ret)) {
			plain_works(self);
			ASSERT_EQ(0, ulp_attach(self->fd));
		}
		plain_works(self);
		ASSERT_EQ(0, key_set(self->fd, TLS_TX, &self->tx));
		ASSERT_EQ(0, key_set(self->fd, TLS_RX, &self->rx));
		records_work(self);
		close_both(self);
	}
}

/* ENOENT: the crypto API says so when it had no memory to build what was asked for. */
static void set_key_case(struct inject_data *self, const char *what, int opt, int other,
			 const union peer_info *key, const union peer_info *other_key)
{
	int ret;

	INJECT_WALK(w, what) {
		open_plain(self);
		ulp_require(self->fd);
		INJECT(&w, ret = key_set(self->fd, opt, key));
		if (inject_failed(&w, ret, ENOENT)) {
			plain_works(self);
			ASSERT_EQ(0, key_set(self->fd, opt, key));
		}
		ASSERT_EQ(0, key_set(self->fd, other, other_key));
		records_work(self);
		close_both(self);
	}
}

TEST_F_TIMEOUT(inject, set_tx, 60)
{
	set_key_case(self, "TLS_TX", TLS_TX, TLS_RX, &self->tx, &self->rx);
}

TEST_F_TIMEOUT(inject, set_rx, 60)
{
	set_key_case(self, "TLS_RX", TLS_RX, TLS_TX, &self->rx, &self->tx);
}

/* The old key goes on until there is a new one. */
TEST_F_TIMEOUT(inject, change_tx, 60)
{
	union peer_info next;
	int ret;

	if (!rekey_is_known(&self->tx))
		SKIP("there is no rekeying in TLS 1.2");
	rekey_make(&self->tx, 1, &next);
	INJECT_WALK(w, "TLS_TX again") {
		open_keyed(self);
		INJECT(&w, ret = key_set(self->fd, TLS_TX, &next));
		if (inject_failed(&w, ret, ENOENT)) {
			records_work(self);
			ASSERT_EQ(0, key_set(self->fd, TLS_TX, &next));
		}
		peer_key_free(&self->peer.rx);
		peer_key_init(&self->peer.rx, &next);
		records_work(self);
		close_both(self);
	}
}

TEST_F_TIMEOUT(inject, change_rx, 60)
{
	union peer_info next;
	uint8_t buf[8], type;
	int ret;

	if (!rekey_is_known(&self->rx))
		SKIP("there is no rekeying in TLS 1.2");
	rekey_make(&self->rx, 1, &next);
	INJECT_WALK(w, "TLS_RX again") {
		open_keyed(self);
		peer_send(&self->peer, REC_HANDSHAKE, key_update, sizeof(key_update));
		ASSERT_EQ(sizeof(key_update), recv_typed(self->fd, buf, sizeof(buf), &type, 0));
		INJECT(&w, ret = key_set(self->fd, TLS_RX, &next));
		if (inject_failed(&w, ret, ENOENT)) {
			EXPECT_ERRNO(EKEYEXPIRED, recv(self->fd, buf, 1, MSG_DONTWAIT));
			ASSERT_EQ(0, key_set(self->fd, TLS_RX, &next));
		}
		peer_key_free(&self->peer.tx);
		peer_key_init(&self->peer.tx, &next);
		records_work(self);
		close_both(self);
	}
}

static void get_case(struct inject_data *self, const char *what, int opt, size_t size)
{
	struct itls_info info;
	socklen_t len;
	int ret;

	open_keyed(self);
	INJECT_WALK(w, what) {
		len = size;
		INJECT(&w, ret = getsockopt(self->fd, SOL_TLS, opt, &info, &len));
		inject_failed(&w, ret);
		records_work(self);
	}
	close_both(self);
}

TEST_F(inject, get_key)
{
	get_case(self, "get TLS_TX", TLS_TX, peer_info_size(&self->tx));
}

TEST_F(inject, get_info)
{
	get_case(self, "get ITLS_INFO", ITLS_INFO, sizeof(struct itls_info));
}

/* ---- sending -------------------------------------------------------------------------- */

/* What was accepted and what is sent now make the stream, to its end. */
static void expect_stream(struct inject_data *self, size_t accepted)
{
	static struct peer_record rec;
	size_t got = 0;

	sock_send_all(self->fd, self->data + accepted, ALL - accepted);
	ASSERT_EQ(0, shutdown(self->fd, SHUT_WR));
	while (peer_recv(&self->peer, &rec)) {
		ASSERT_EQ(REC_DATA, rec.type);
		ASSERT_LE(got + rec.len, ALL);
		ASSERT_MEMEQ(self->data + got, rec.data, rec.len);
		got += rec.len;
	}
	ASSERT_EQ(ALL, got);
}

/* EAGAIN: of a call that does not wait for memory. */
static void send_from(struct inject_data *self, const char *what, const uint8_t *from,
		      size_t len, int flags)
{
	ssize_t ret;

	INJECT_WALK(w, what) {
		open_keyed(self);
		INJECT(&w, ret = send(self->fd, from, len, flags | MSG_NOSIGNAL));
		if (inject_failed(&w, ret, EAGAIN))
			ret = 0;
		expect_stream(self, ret);
		close_both(self);
	}
}

static void send_case(struct inject_data *self, const char *what, size_t len, int flags)
{
	send_from(self, what, self->data, len, flags);
}

TEST_F_TIMEOUT(inject, send_little, 60)
{
	send_case(self, "send 100", 100, 0);
}

TEST_F_TIMEOUT(inject, send_much, 60)
{
	send_case(self, "send 50000", MUCH, 0);
}

/* Where the crypto API needs memory for each page that ends. */
TEST_F_TIMEOUT(inject, send_much_from_odd_start, 60)
{
	uint8_t *room = malloc(MUCH + 1);

	memcpy(room + 1, self->data, MUCH);
	send_from(self, "send 50000, odd", room + 1, MUCH, 0);
	free(room);
}

TEST_F_TIMEOUT(inject, send_much_without_waiting, 60)
{
	send_case(self, "send 50000, MSG_DONTWAIT", MUCH, MSG_DONTWAIT);
}

TEST_F_TIMEOUT(inject, send_more, 60)
{
	send_case(self, "send 20000, MSG_MORE", 20000, MSG_MORE);
}

static void writev_case(struct inject_data *self, const char *what, const struct iovec *iov, int nr)
{
	ssize_t ret;

	INJECT_WALK(w, what) {
		open_keyed(self);
		INJECT(&w, ret = writev(self->fd, iov, nr));
		if (inject_failed(&w, ret, EAGAIN))
			ret = 0;
		expect_stream(self, ret);
		close_both(self);
	}
}

/* In pieces, so it has to be put together before it is encrypted. */
TEST_F_TIMEOUT(inject, send_pieces, 60)
{
	struct iovec iov[10];
	int i;

	for (i = 0; i < 10; i++)
		iov[i] = (struct iovec){ self->data + i * 5000, 5000 };
	writev_case(self, "writev 10 of 5000", iov, 10);
}

/* A failure after two records leaves the third where it was. */
TEST_F_TIMEOUT(inject, send_long_pieces, 60)
{
	struct iovec iov[2] = { { self->data, 20000 }, { self->data + 20000, 30000 } };

	writev_case(self, "writev 20000 and 30000", iov, 2);
}

TEST_F_TIMEOUT(inject, send_control, 60)
{
	static struct peer_record rec;
	ssize_t ret;

	INJECT_WALK(w, "sendmsg, type") {
		open_keyed(self);
		INJECT(&w, ret = send_typed(self->fd, self->data, 200, REC_HANDSHAKE, 0));
		if (inject_failed(&w, ret, EAGAIN))
			ASSERT_EQ(200, send_typed(self->fd, self->data, 200, REC_HANDSHAKE, 0));
		else
			ASSERT_EQ(200, ret);
		ASSERT_EQ(1, peer_recv(&self->peer, &rec));
		ASSERT_EQ(REC_HANDSHAKE, rec.type);
		ASSERT_EQ(200, rec.len);
		ASSERT_MEMEQ(self->data, rec.data, 200);
		expect_stream(self, 0);
		close_both(self);
	}
}

TEST_F_TIMEOUT(inject, sendfile, 90)
{
	ssize_t ret;
	off_t at;

	INJECT_WALK(w, "sendfile") {
		open_keyed(self);
		at = 0;
		INJECT(&w, ret = sendfile(self->fd, self->file, &at, MUCH));
		if (inject_failed(&w, ret, EAGAIN))
			ret = 0;
		EXPECT_EQ(ret, at);
		expect_stream(self, ret);
		close_both(self);
	}
}

TEST_F_TIMEOUT(inject, splice_to, 60)
{
	loff_t at;
	ssize_t ret;

	INJECT_WALK(w, "splice to") {
		open_keyed(self);
		at = 0;
		ASSERT_EQ(40000, splice(self->file, &at, self->pipe[1], NULL, 40000, 0));
		INJECT(&w, ret = splice(self->pipe[0], NULL, self->fd, NULL, 40000, 0));
		if (inject_failed(&w, ret, EAGAIN))
			ret = 0;
		/* What was not taken is still in the pipe. */
		if (ret < 40000)
			ASSERT_EQ(40000 - ret, read(self->pipe[0], self->got, ALL));
		expect_stream(self, ret);
		close_both(self);
	}
}

/* ---- receiving ------------------------------------------------------------------------- */

static void fill(struct inject_data *self, size_t chunk)
{
	open_keyed(self);
	peer_send_data(&self->peer, self->data, ALL, chunk);
	sock_wait_received(self->fd, self->peer.sent);
}

static void expect_rest(struct inject_data *self, size_t got)
{
	sock_recv_all(self->fd, self->got + got, ALL - got);
	ASSERT_MEMEQ(self->data, self->got, ALL);
	close_both(self);
}

static void recv_case(struct inject_data *self, const char *what, size_t len, size_t chunk,
		      int flags)
{
	ssize_t ret;

	INJECT_WALK(w, what) {
		fill(self, chunk);
		memset(self->got, 0, ALL);
		INJECT(&w, ret = recv(self->fd, self->got, len, flags));
		if (inject_failed(&w, ret))
			ret = 0;
		ASSERT_MEMEQ(self->data, self->got, ret);
		expect_rest(self, flags & MSG_PEEK ? 0 : ret);
	}
}

TEST_F_TIMEOUT(inject, recv_little, 60)
{
	recv_case(self, "recv 100", 100, 300, 0);
}

TEST_F_TIMEOUT(inject, recv_much, 90)
{
	recv_case(self, "recv 50000", MUCH, REC_MAX, 0);
}

TEST_F_TIMEOUT(inject, recv_waitall, 90)
{
	recv_case(self, "recv 50000, MSG_WAITALL", MUCH, 9000, MSG_WAITALL);
}

TEST_F_TIMEOUT(inject, peek, 90)
{
	recv_case(self, "recv 50000, MSG_PEEK", MUCH, REC_MAX, MSG_PEEK);
}

TEST_F_TIMEOUT(inject, recv_control, 60)
{
	ssize_t ret;
	uint8_t type;

	INJECT_WALK(w, "recvmsg, type") {
		open_keyed(self);
		peer_send(&self->peer, REC_HANDSHAKE, self->data, 3000);
		peer_send_data(&self->peer, self->data, ALL, REC_MAX);
		sock_wait_received(self->fd, self->peer.sent);
		/* EIO, as in-tree: the type could not be told, so the record stays. */
		INJECT(&w, ret = recv_typed(self->fd, self->got, ALL, &type, 0));
		if (inject_failed(&w, ret, EIO))
			ret = recv_typed(self->fd, self->got, ALL, &type, 0);
		ASSERT_EQ(3000, ret);
		ASSERT_EQ(REC_HANDSHAKE, type);
		ASSERT_MEMEQ(self->data, self->got, 3000);
		expect_rest(self, 0);
	}
}

TEST_F_TIMEOUT(inject, splice_from, 90)
{
	ssize_t ret;

	INJECT_WALK(w, "splice from") {
		fill(self, 8000);
		INJECT(&w, ret = splice(self->fd, NULL, self->pipe[1], NULL, 40000, 0));
		if (inject_failed(&w, ret))
			ret = 0;
		if (ret)
			ASSERT_EQ(ret, read(self->pipe[0], self->got, ALL));
		expect_rest(self, ret);
	}
}

TEST_F_TIMEOUT(inject, fionread, 60)
{
	int ret, bytes;

	INJECT_WALK(w, "FIONREAD") {
		fill(self, REC_MAX);
		INJECT(&w, ret = ioctl(self->fd, FIONREAD, &bytes));
		if (!inject_failed(&w, ret))
			EXPECT_LE(bytes, ALL);
		expect_rest(self, 0);
	}
}

/* A record that does not fit the receive buffer is taken out piece by piece. */
TEST_F_TIMEOUT(inject, recv_stashed, 90)
{
	ssize_t ret;

	INJECT_WALK(w, "recv, small buffer") {
		open_plain(self);
		sock_set_int(self->fd, SOL_SOCKET, SO_RCVBUF, 4096);
		ulp_require(self->fd);
		ASSERT_EQ(0, key_set(self->fd, TLS_RX, &self->rx));
		peer_send(&self->peer, REC_DATA, self->data, REC_MAX);
		ASSERT_NE(0, sock_poll(self->fd, POLLIN, test_wait_ms()));
		/* Less than the record, which so is not decrypted where this reads to. */
		INJECT(&w, ret = recv(self->fd, self->got, REC_MAX / 2, MSG_DONTWAIT));
		/* The record may not be whole yet. */
		if ((ret < 0 && errno == EAGAIN) || inject_failed(&w, ret))
			ret = 0;
		sock_recv_all(self->fd, self->got + ret, REC_MAX - ret);
		ASSERT_MEMEQ(self->data, self->got, REC_MAX);
		close_both(self);
	}
}

/* ---- the end ---------------------------------------------------------------------------- */

/* All of what was accepted, or, when there was no memory for the last record, not that. */
static void expect_end(struct inject_data *self, size_t sure, size_t all)
{
	static struct peer_record rec;
	size_t got = 0;

	while (peer_recv(&self->peer, &rec)) {
		ASSERT_LE(got + rec.len, all);
		ASSERT_MEMEQ(self->data + got, rec.data, rec.len);
		got += rec.len;
	}
	EXPECT_TRUE(got == sure || got == all);
}

TEST_F_TIMEOUT(inject, shutdown, 60)
{
	int ret;

	inject_spare("tcp_send_fin");
	INJECT_WALK(w, "shutdown") {
		open_keyed(self);
		ASSERT_EQ(1000, send(self->fd, self->data, 1000, 0));
		ASSERT_EQ(500, send(self->fd, self->data + 1000, 500, MSG_MORE));
		INJECT(&w, ret = shutdown(self->fd, SHUT_WR));
		ASSERT_EQ(0, ret);
		expect_end(self, w.fired ? 1000 : 1500, 1500);
		close_both(self);
	}
}

TEST_F_TIMEOUT(inject, close, 60)
{
	int ret;

	inject_spare("tcp_send_fin");
	INJECT_WALK(w, "close") {
		open_keyed(self);
		ASSERT_EQ(1000, send(self->fd, self->data, 1000, 0));
		ASSERT_EQ(500, send(self->fd, self->data + 1000, 500, MSG_MORE));
		INJECT(&w, ret = close(self->fd));
		self->fd = -1;
		ASSERT_EQ(0, ret);
		expect_end(self, w.fired ? 1000 : 1500, 1500);
		close_both(self);
	}
}
