// SPDX-License-Identifier: GPL-2.0
/*
 * What a key may be used for (RFC 8446 5.5): the module's limits and a
 * session's own, the peer that is asked for another key and the one that
 * never changes its, TLS 1.2 which cannot, and the last sequence number.
 */
#define _GNU_SOURCE
#include "autonomous.h"

#include <grp.h>
#include <signal.h>
#include <sys/sendfile.h>
#include <sys/wait.h>

#define LIMIT	20

/* The parent of all tests puts back what they changed. */
void test_after_each(void)
{
	stat_params_restore();
}

static bool is_unlimited(const struct autonomous_data *self)
{
	return self->variant->cipher == TLS_CIPHER_CHACHA20_POLY1305;
}

#define ONLY_13()							\
	do {								\
		if (!is_13(self))					\
			SKIP("TLS 1.2 changes no keys");		\
	} while (0)

/* ---- changing the key in time ----------------------------------------------------------- */

TEST_F(autonomous, modules_limit_of_records)
{
	ONLY_13();
	stat_param_set("rekey_records", 4);
	autonomous_begin(self);
	expect_rhythm(self, 10, 14, 4);
}

TEST_F(autonomous, modules_limit_of_bytes)
{
	ONLY_13();
	stat_param_set("rekey_bytes", 1000);
	autonomous_begin(self);
	expect_rhythm(self, 300, 11, 3);
}

TEST_F(autonomous, sessions_limit_beats_the_modules)
{
	ONLY_13();
	stat_param_set("rekey_records", 2);
	self->rekey_records = 5;
	autonomous_begin(self);
	expect_rhythm(self, 10, 13, 5);
}

/* As a session may be configured; the kernel knows better from 2^24 on. */
TEST_F(autonomous, limits_beyond_all_use)
{
	ONLY_13();
	self->rekey_records = UINT64_MAX;
	self->rekey_bytes = UINT64_MAX;
	autonomous_begin(self);
	expect_talk(self);
	expect_rekeys(self, 0, 0);
}

TEST_F(autonomous, limits_are_nothing_to_tls12)
{
	int i;

	if (is_13(self))
		SKIP("this is TLS 1.2's");
	stat_param_set("rekey_records", 2);
	autonomous_begin(self);
	for (i = 0; i < 10; i++)
		expect_talk(self);
	expect_rekeys(self, 0, 0);
}

/* ---- asking the peer to ------------------------------------------------------------------ */

static void peer_sends(struct autonomous_data *self, int nr)
{
	int i;

	for (i = 0; i < nr; i++) {
		peer_send(&self->peer, REC_DATA, "x", 1);
		expect_data(self, "x", 1);
	}
	expect_nothing(self);
}

TEST_F(autonomous, peer_is_asked_for_a_key)
{
	ONLY_13();
	self->rekey_records = 5;
	autonomous_begin(self);
	peer_sends(self, 4);
	expect_silence(self);
	peer_sends(self, 1);
	expect_update(self, UPDATE_REQUESTED);
	peer_send_update(&self->peer, UPDATE_NOT_REQUESTED);
	peer_sends(self, 4);
	expect_silence(self);
	expect_rekeys(self, 1, 1);
	expect_talk(self);
}

/* One that does not do as it is asked is not asked with every record. */
TEST_F(autonomous, peer_is_not_nagged)
{
	ONLY_13();
	self->rekey_records = 5;
	autonomous_begin(self);
	peer_sends(self, 6);
	expect_update(self, UPDATE_REQUESTED);
	sock_wait_acked(self->fd);
	peer_sends(self, 20);
	expect_silence(self);
	peer_send_update(&self->peer, UPDATE_NOT_REQUESTED);
	expect_talk(self);
	expect_rekeys(self, 1, 1);
}

/* With much under way the request waits for the next data, as an answer would. */
TEST_F(autonomous, request_goes_before_the_next_data)
{
	uint8_t *data = alloc_pattern(LOTS, 0), *got = malloc(LOTS);
	size_t sent;

	ONLY_13();
	ASSERT_TRUE(got);
	self->rekey_records = 5;
	autonomous_begin(self);
	sent = fill_up(self, data, LOTS);
	peer_sends(self, 6);
	peer_recv_all(&self->peer, got, sent);
	EXPECT_MEMEQ(data, got, sent);
	sock_wait_acked(self->fd);
	EXPECT_EQ(0, self->peer.requests);
	ASSERT_EQ(1, send(self->fd, "x", 1, 0));
	expect_update(self, UPDATE_REQUESTED);
	expect_record(self, "x", 1);
	expect_silence(self);
	expect_rekeys(self, self->peer.updates, 0);
	free(data);
	free(got);
}

/* ---- a key that is used up ---------------------------------------------------------------- */

/* Reads of single bytes, until one fails. */
static int read_until_expired(struct autonomous_data *self, int most)
{
	int nr = 0;
	char c;

	while (nr < most && recv(self->fd, &c, 1, 0) == 1)
		nr++;
	return nr;
}

static void peer_uses_up(struct autonomous_data *self)
{
	int i;

	stat_param_set("limit_records", LIMIT);
	autonomous_begin(self);
	for (i = 0; i < LIMIT + 10; i++)
		peer_send(&self->peer, REC_DATA, "x", 1);
	arrived(self);
}

TEST_F(autonomous, reading_ends_at_the_limit)
{
	struct itls_info info;
	int i;

	if (is_unlimited(self))
		SKIP("ChaCha20 has no such limit");
	peer_uses_up(self);
	EXPECT_EQ(LIMIT, read_until_expired(self, LIMIT + 10));
	for (i = 0; i < 3; i++)
		EXPECT_ERRNO(EKEYEXPIRED, recv(self->fd, SCRATCH(8), 8, 0));
	EXPECT_TRUE(sock_poll(self->fd, POLLIN, 0) & POLLIN);
	EXPECT_ERRNO(EPIPE, send(self->fd, "x", 1, MSG_NOSIGNAL));
	expect_alert_next(&self->peer, LEVEL_WARNING, ALERT_CLOSE_NOTIFY);
	info = info_get(self->fd);
	EXPECT_EQ(ALERT_CLOSE_NOTIFY, info.alert_tx);
	EXPECT_EQ(LIMIT, info.rx_bytes);
	close(self->fd);
	self->fd = -1;
	EXPECT_EQ(1, stat_get("TxCloseNotify"));
	EXPECT_EQ(0, stat_get("TxAlert"));
	EXPECT_EQ(0, stat_get("RxDecryptError"));
}

TEST_F(autonomous, limit_wakes_a_reader)
{
	struct blocked b;
	int i;

	if (is_unlimited(self))
		SKIP("ChaCha20 has no such limit");
	stat_param_set("limit_records", LIMIT);
	autonomous_begin(self);
	for (i = 0; i < LIMIT; i++) {
		peer_send(&self->peer, REC_DATA, "x", 1);
		expect_data(self, "x", 1);
	}
	b = (struct blocked){ .self = self, .want = 1 };
	ASSERT_EQ(0, pthread_create(&b.thread, NULL, blocked_run, &b));
	peer_send(&self->peer, REC_DATA, "x", 1);
	ASSERT_EQ(0, pthread_join(b.thread, NULL));
	EXPECT_EQ(-1, b.got);
	EXPECT_EQ(EKEYEXPIRED, b.err);
}

TEST_F(autonomous, chacha_goes_on)
{
	if (!is_unlimited(self))
		SKIP("this is ChaCha20's");
	peer_uses_up(self);
	EXPECT_EQ(LIMIT + 10, read_until_expired(self, LIMIT + 10));
	expect_talk(self);
}

TEST_F(autonomous, reading_goes_on_with_new_keys)
{
	int i;

	ONLY_13();
	stat_param_set("limit_records", LIMIT);
	autonomous_begin(self);
	for (i = 0; i < 5 * LIMIT; i++) {
		peer_send(&self->peer, REC_DATA, "x", 1);
		if (i % 10 == 9)
			peer_send_update(&self->peer, UPDATE_NOT_REQUESTED);
	}
	arrived(self);
	EXPECT_EQ(5 * LIMIT, read_until_expired(self, 5 * LIMIT));
	expect_talk(self);
	expect_rekeys(self, 0, i / 10);
}

#define TX_LIMITED()							\
	do {								\
		if (is_13(self) || is_unlimited(self))			\
			SKIP("this is of AES-GCM in TLS 1.2");		\
		stat_param_set("limit_records", LIMIT);			\
	} while (0)

TEST_F(autonomous, sending_ends_at_the_limit)
{
	int i;

	TX_LIMITED();
	autonomous_begin(self);
	for (i = 0; i < LIMIT; i++)
		ASSERT_EQ(1, send(self->fd, "x", 1, MSG_NOSIGNAL));
	for (i = 0; i < 3; i++)
		EXPECT_ERRNO(EPIPE, send(self->fd, "y", 1, MSG_NOSIGNAL));
	for (i = 0; i < LIMIT; i++)
		expect_record(self, "x", 1);
	expect_alert_next(&self->peer, LEVEL_WARNING, ALERT_CLOSE_NOTIFY);
	EXPECT_EQ(ALERT_CLOSE_NOTIFY, info_get(self->fd).alert_tx);
	/* The other direction is none the worse. */
	peer_send(&self->peer, REC_DATA, "still", 5);
	expect_data(self, "still", 5);
	close(self->fd);
	self->fd = -1;
	EXPECT_EQ(1, stat_get("TxCloseNotify"));
}

/* What fits is sent, and the call says how much. */
static void long_call(struct autonomous_data *self, bool file)
{
	size_t len = (LIMIT + 5) * REC_MAX;
	struct peer_drain drain;
	int fd = file_pattern(len);
	uint8_t *data = alloc_pattern(len, 0);
	off_t off = 0;
	ssize_t n;

	TX_LIMITED();
	signal(SIGPIPE, SIG_IGN);
	autonomous_begin(self);
	peer_drain_start(&drain, &self->peer, LIMIT * REC_MAX, 0);
	n = file ? sendfile(self->fd, fd, &off, len) : send(self->fd, data, len, MSG_NOSIGNAL);
	EXPECT_EQ(LIMIT * REC_MAX, n);
	peer_drain_join(&drain);
	EXPECT_EQ(LIMIT, drain.records);
	EXPECT_ERRNO(EPIPE, send(self->fd, "y", 1, MSG_NOSIGNAL));
	expect_alert_next(&self->peer, LEVEL_WARNING, ALERT_CLOSE_NOTIFY);
	free(data);
	close(fd);
}

TEST_F(autonomous, send_across_the_limit)
{
	long_call(self, false);
}

TEST_F(autonomous, sendfile_across_the_limit)
{
	long_call(self, true);
}

TEST_F(autonomous, open_record_at_the_limit)
{
	int i;

	TX_LIMITED();
	autonomous_begin(self);
	for (i = 0; i < LIMIT - 1; i++)
		ASSERT_EQ(1, send(self->fd, "x", 1, 0));
	ASSERT_EQ(2, send(self->fd, "ab", 2, MSG_MORE));
	ASSERT_EQ(2, send(self->fd, "cd", 2, 0));
	EXPECT_ERRNO(EPIPE, send(self->fd, "y", 1, MSG_NOSIGNAL));
	for (i = 0; i < LIMIT - 1; i++)
		expect_record(self, "x", 1);
	expect_record(self, "abcd", 4);
	expect_alert_next(&self->peer, LEVEL_WARNING, ALERT_CLOSE_NOTIFY);
}

/* ---- the last sequence number (RFC 8446 5.3) ------------------------------------------------ */

/*
 * Both ends stand just before 2^64.  However it ends, by another key or an
 * error, number 0 of this key was used long ago.
 */
TEST_F(autonomous, sent_numbers_do_not_wrap)
{
	static struct peer_record rec;
	int i, sent = 0;

	peer_info_make(&self->tx, self->variant->version, self->variant->cipher, 1, ~0ULL - 5);
	autonomous_begin(self);
	for (i = 0; i < 20; i++)
		if (send(self->fd, "x", 1, MSG_NOSIGNAL) == 1)
			sent++;
	shutdown(self->fd, SHUT_WR);
	for (i = 0; peer_recv(&self->peer, &rec); i++) {
		/* The peer has counted on: a number that wrapped shows here. */
		EXPECT_TRUE(self->peer.rx.updates || self->peer.rx.seq > ~0ULL - 6);
		if (peer_follow(&self->peer, &rec))
			continue;
		if (rec.type == REC_DATA)
			sent--;
	}
	EXPECT_EQ(0, sent);
	printf("# %d records, %u KeyUpdates\n", i, self->peer.updates);
	if (is_13(self))
		EXPECT_LE(1, self->peer.updates);
}

TEST_F(autonomous, received_numbers_do_not_wrap)
{
	char c = 0;

	peer_info_make(&self->rx, self->variant->version, self->variant->cipher, 2, ~0ULL - 1);
	autonomous_begin(self);
	peer_send(&self->peer, REC_DATA, "a", 1);
	peer_send(&self->peer, REC_DATA, "b", 1);
	/* Number 0. */
	EXPECT_EQ(0, self->peer.tx.seq);
	peer_send(&self->peer, REC_DATA, "c", 1);
	arrived(self);
	while (recv(self->fd, &c, 1, 0) == 1)
		ASSERT_NE('c', c);
	EXPECT_TRUE(errno == EBADMSG || errno == EKEYEXPIRED);
	EXPECT_TRUE(sock_poll(self->fd, POLLIN, 0) & POLLIN);
}

/* ---- changing the key by hand --------------------------------------------------------------- */

TEST_F(autonomous, tls12_cannot_change_by_hand)
{
	if (is_13(self))
		SKIP("TLS 1.3 can");
	autonomous_begin(self);
	EXPECT_EQ(-EOPNOTSUPP, itls_nl_rekey(self->agent.nl, info_get(self->fd).id, false));
	EXPECT_EQ(-EOPNOTSUPP, itls_nl_rekey(self->agent.nl, info_get(self->fd).id, true));
	expect_talk(self);
}

/* A socket under the kTLS ABI has told the kernel no secret. */
TEST_F(autonomous, ktls_cannot_change_by_hand)
{
	int fd[2];

	sock_pair(AF_INET, fd);
	ulp_require(fd[0]);
	ASSERT_EQ(0, key_set(fd[0], TLS_TX, &self->tx));
	ASSERT_EQ(0, key_set(fd[0], TLS_RX, &self->rx));
	EXPECT_EQ(-EOPNOTSUPP, itls_nl_rekey(self->agent.nl, info_get(fd[0]).id, false));
	close(fd[0]);
	close(fd[1]);
}

/* As somebody who may not. */
static int rekey_as_nobody(uint32_t id)
{
	struct itls_nl *nl;
	pid_t pid = fork();
	int status;

	ASSERT_LE(0, pid);
	if (!pid) {
		ASSERT_EQ(0, setgroups(0, NULL));
		ASSERT_EQ(0, setresgid(65534, 65534, 65534));
		ASSERT_EQ(0, setresuid(65534, 65534, 65534));
		ASSERT_EQ(0, itls_nl_open(&nl));
		_exit(-itls_nl_rekey(nl, id, false));
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	return WEXITSTATUS(status);
}

TEST_F(autonomous, nobody_cannot_change_by_hand)
{
	autonomous_begin(self);
	EXPECT_EQ(EPERM, rekey_as_nobody(info_get(self->fd).id));
	expect_talk(self);
	expect_rekeys(self, 0, 0);
}
