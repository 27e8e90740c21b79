// SPDX-License-Identifier: GPL-2.0
/*
 * Alerts of autonomous sockets on the wire (RFC 8446 6): what each wrong
 * record is told, what the peer's alerts do, and renegotiation declined.
 */
#define _GNU_SOURCE
#include "autonomous.h"

#define ONLY_13()							\
	do {								\
		if (!is_13(self))					\
			SKIP("this is TLS 1.3's");			\
	} while (0)

#define ONLY_12()							\
	do {								\
		if (is_13(self))					\
			SKIP("this is TLS 1.2's");			\
	} while (0)

/* ---- records that are wrong --------------------------------------------------------- */

TEST_F(autonomous, changed_on_the_way)
{
	uint8_t rec[REC_SPACE];
	size_t len;

	autonomous_begin(self);
	peer_send(&self->peer, REC_DATA, "good", 4);
	len = peer_seal(&self->peer.tx, REC_DATA, "evil", 4, 0, rec);
	rec[len - 1] ^= 1;
	peer_send_raw(&self->peer, rec, len);
	expect_data(self, "good", 4);
	expect_fatal(self, EBADMSG, ALERT_BAD_RECORD_MAC);
	EXPECT_EQ(1, stat_get("RxDecryptError"));
}

TEST_F(autonomous, record_too_long)
{
	size_t most = REC_MAX + (is_13(self) ? 256 : 2048);
	uint8_t header[REC_HEADER] = { REC_DATA, 3, 3, (most + 1) >> 8, (most + 1) & 255 };

	autonomous_begin(self);
	peer_send_raw(&self->peer, header, sizeof(header));
	expect_fatal(self, EMSGSIZE, ALERT_RECORD_OVERFLOW);
}

TEST_F(autonomous, content_too_long)
{
	uint8_t *data = alloc_pattern(REC_MAX + 1, 0);

	autonomous_begin(self);
	peer_send(&self->peer, REC_DATA, data, REC_MAX + 1);
	expect_fatal(self, EMSGSIZE, ALERT_RECORD_OVERFLOW);
	free(data);
}

static void out_of_place(struct autonomous_data *self, uint8_t type, const void *data, size_t len)
{
	autonomous_begin(self);
	peer_send(&self->peer, REC_DATA, "good", 4);
	peer_send(&self->peer, type, data, len);
	peer_send(&self->peer, REC_DATA, "late", 4);
	expect_data(self, "good", 4);
	expect_fatal(self, EPROTO, ALERT_UNEXPECTED_MESSAGE);
	EXPECT_EQ(1, stat_get("RxProtocolError"));
}

TEST_F(autonomous, unknown_type)
{
	out_of_place(self, 99, "?", 1);
}

TEST_F(autonomous, change_cipher_spec)
{
	out_of_place(self, REC_CCS, "\1", 1);
}

/* RFC 8446 5: of use during a handshake only.  A header that cannot be is EINVAL to readers. */
TEST_F(autonomous, change_cipher_spec_in_clear)
{
	ONLY_13();
	autonomous_begin(self);
	peer_send_raw(&self->peer, "\x14\3\3\0\1\1", 6);
	peer_send(&self->peer, REC_DATA, "late", 4);
	expect_fatal(self, EINVAL, ALERT_UNEXPECTED_MESSAGE);
}

TEST_F(autonomous, record_of_zeroes)
{
	ONLY_13();
	autonomous_begin(self);
	peer_send_padded(&self->peer, 0, NULL, 0, 20);
	expect_fatal(self, EPROTO, ALERT_UNEXPECTED_MESSAGE);
}

TEST_F(autonomous, empty_handshake_record)
{
	ONLY_13();
	out_of_place(self, REC_HANDSHAKE, "", 0);
}

TEST_F(autonomous, empty_alert)
{
	ONLY_13();
	out_of_place(self, REC_ALERT, "", 0);
}

/* Empty records of data are allowed, and are nothing. */
TEST_F(autonomous, empty_data)
{
	autonomous_begin(self);
	peer_send(&self->peer, REC_DATA, "", 0);
	expect_nothing(self);
	expect_talk(self);
}

static void malformed_alert(struct autonomous_data *self, const void *data, size_t len)
{
	autonomous_begin(self);
	peer_send(&self->peer, REC_ALERT, data, len);
	expect_fatal(self, EPROTO, ALERT_DECODE_ERROR);
}

TEST_F(autonomous, alert_too_short)
{
	malformed_alert(self, "\1", 1);
}

TEST_F(autonomous, alert_too_long)
{
	malformed_alert(self, "\1\0\0", 3);
}

TEST_F(autonomous, two_alerts_in_one_record)
{
	malformed_alert(self, "\1\x5a\1\0", 4);
}

TEST_F(autonomous, cleartext)
{
	static const char text[] = "GET / HTTP/1.0\r\n\r\n";

	autonomous_begin(self);
	peer_send_raw(&self->peer, text, strlen(text));
	ASSERT_NE(0, sock_poll(self->fd, POLLIN, test_wait_ms()));
	EXPECT_EQ(-1, recv(self->fd, SCRATCH(8), 8, 0));
	expect_alert(&self->peer, LEVEL_FATAL, ALERT_UNEXPECTED_MESSAGE);
}

/* ---- handshake messages that are wrong ---------------------------------------------- */

/* The header says enough: nobody waits for sixteen megabytes to refuse them. */
static void refused_at_its_header(struct autonomous_data *self, uint8_t type)
{
	uint8_t header[4] = { type, 0xff, 0xff, 0xff };

	autonomous_begin(self);
	peer_send(&self->peer, REC_HANDSHAKE, header, sizeof(header));
	expect_fatal(self, EPROTO, ALERT_UNEXPECTED_MESSAGE);
}

#define REFUSED(name, type, skip, why)					\
	TEST_F(autonomous, name##_is_refused)				\
	{								\
		if (skip)						\
			SKIP(why);					\
		refused_at_its_header(self, type);			\
	}

REFUSED(hello_request, 0, !is_13(self) && is_client(self), "declined by a warning")
REFUSED(client_hello, 1, !is_13(self) && !is_client(self), "declined by a warning")
REFUSED(server_hello, 2, false, "")
REFUSED(ticket, 4, is_13(self) && is_client(self), "clients get tickets")
REFUSED(end_of_early_data, 5, false, "")
REFUSED(encrypted_extensions, 8, false, "")
REFUSED(certificate, 11, false, "")
REFUSED(certificate_request, 13, false, "")
REFUSED(finished, 20, false, "")
REFUSED(key_update, 24, is_13(self), "TLS 1.3 has it")
REFUSED(message_hash, 254, false, "")
REFUSED(unknown_message, 255, false, "")

/* RFC 8446 5.1: no other record inside a message. */
static void interleaved(struct autonomous_data *self, uint8_t type, const void *data, size_t len)
{
	ONLY_13();
	autonomous_begin(self);
	peer_send(&self->peer, REC_HANDSHAKE, "\x18\0", 2);
	peer_send(&self->peer, type, data, len);
	expect_fatal(self, EPROTO, ALERT_UNEXPECTED_MESSAGE);
}

TEST_F(autonomous, data_inside_a_message)
{
	interleaved(self, REC_DATA, "data", 4);
}

TEST_F(autonomous, empty_data_inside_a_message)
{
	interleaved(self, REC_DATA, "", 0);
}

TEST_F(autonomous, alert_inside_a_message)
{
	interleaved(self, REC_ALERT, "\1\x5a", 2);
}

TEST_F(autonomous, empty_record_inside_a_message)
{
	interleaved(self, REC_HANDSHAKE, "", 0);
}

/* ---- alerts of the peer -------------------------------------------------------------- */

static const uint8_t fatal_alerts[] = {
	10, 20, 22, 40, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 70, 71, 80, 86, 109, 110, 112, 113,
	115, 116, 120, 255,
};

static void one_fatal_alert(struct autonomous_data *self, uint8_t alert)
{
	static struct peer_record rec;
	struct itls_info info;

	autonomous_begin(self);
	peer_send(&self->peer, REC_DATA, "last", 4);
	peer_alert(&self->peer, LEVEL_FATAL, alert);
	expect_data(self, "last", 4);
	expect_over(self->fd, ECONNRESET);
	info = info_get(self->fd);
	EXPECT_EQ(alert, info.alert_rx);
	EXPECT_EQ(ITLS_ALERT_NONE, info.alert_tx);
	/* RFC 8446 6.2: not answered. */
	EXPECT_EQ(0, peer_recv(&self->peer, &rec));
	close(self->fd);
	self->fd = -1;
	peer_free(&self->peer);
}

TEST_F_TIMEOUT(autonomous, fatal_alerts, 60)
{
	size_t i;

	for (i = 0; i < sizeof(fatal_alerts); i++) {
		one_fatal_alert(self, fatal_alerts[i]);
		if (self->listener >= 0)
			close(self->listener);
		self->listener = -1;
	}
	EXPECT_EQ(sizeof(fatal_alerts), stat_get("RxAlert"));
}

TEST_F(autonomous, fatal_alert_wakes_a_reader)
{
	struct blocked b;

	autonomous_begin(self);
	blocked_start(&b, self, 10);
	peer_alert(&self->peer, LEVEL_FATAL, ALERT_HANDSHAKE_FAILURE);
	ASSERT_EQ(0, pthread_join(b.thread, NULL));
	EXPECT_EQ(-1, b.got);
	EXPECT_EQ(ECONNRESET, b.err);
}

TEST_F(autonomous, user_canceled_changes_nothing)
{
	autonomous_begin(self);
	peer_alert(&self->peer, LEVEL_WARNING, ALERT_USER_CANCELED);
	expect_nothing(self);
	expect_talk(self);
	EXPECT_EQ(ALERT_USER_CANCELED, info_get(self->fd).alert_rx);
	peer_alert(&self->peer, LEVEL_WARNING, ALERT_CLOSE_NOTIFY);
	arrived(self);
	expect_eof(self->fd);
	EXPECT_EQ(ALERT_CLOSE_NOTIFY, info_get(self->fd).alert_rx);
}

TEST_F(autonomous, close_notify_is_eof)
{
	autonomous_begin(self);
	peer_send(&self->peer, REC_DATA, "bye", 3);
	peer_alert(&self->peer, LEVEL_WARNING, ALERT_CLOSE_NOTIFY);
	peer_send(&self->peer, REC_DATA, "ignored", 7);
	arrived(self);
	expect_data(self, "bye", 3);
	expect_eof(self->fd);
	EXPECT_EQ(1, stat_get("RxCloseNotify"));
	/* RFC 8446 6.1: the other direction stays open. */
	ASSERT_EQ(2, send(self->fd, "on", 2, 0));
	expect_record(self, "on", 2);
	ASSERT_EQ(0, shutdown(self->peer.fd, SHUT_WR));
	ASSERT_NE(0, sock_poll(self->fd, POLLRDHUP, test_wait_ms()));
	expect_eof(self->fd);
	EXPECT_EQ(0, stat_get("RxTruncated"));
}

TEST_F(autonomous, fin_alone_is_truncation)
{
	autonomous_begin(self);
	peer_send(&self->peer, REC_DATA, "cut", 3);
	ASSERT_EQ(0, shutdown(self->peer.fd, SHUT_WR));
	expect_data(self, "cut", 3);
	EXPECT_ERRNO(ECONNRESET, recv(self->fd, SCRATCH(8), 8, 0));
	EXPECT_ERRNO(ECONNRESET, recv(self->fd, SCRATCH(8), 8, 0));
	EXPECT_EQ(1, stat_get("RxTruncated"));
}

/* ---- renegotiation (RFC 5246 7.2.2) ---------------------------------------------------- */

/* What asks this role for another handshake, as the peer may. */
static size_t ask_again(struct autonomous_data *self, uint8_t *out, size_t body)
{
	if (is_client(self)) {
		memcpy(out, "\0\0\0\0", 4);
		return 4;
	}
	out[0] = 1;
	out[1] = 0;
	out[2] = body >> 8;
	out[3] = body;
	fill_pattern(out + 4, body, 0);
	return 4 + body;
}

static void expect_declined(struct autonomous_data *self)
{
	expect_alert_next(&self->peer, LEVEL_WARNING, ALERT_NO_RENEGOTIATION);
	sock_wait_acked(self->fd);
}

TEST_F(autonomous, renegotiation_is_declined)
{
	uint8_t ask[256];
	size_t len;
	int i;

	ONLY_12();
	autonomous_begin(self);
	len = ask_again(self, ask, 200);
	for (i = 1; i <= 4; i++) {
		peer_send(&self->peer, REC_HANDSHAKE, ask, len);
		expect_nothing(self);
		expect_declined(self);
		expect_talk(self);
		EXPECT_EQ(i, stat_get("TxNoRenegotiation"));
		EXPECT_EQ(ALERT_NO_RENEGOTIATION, info_get(self->fd).alert_tx);
	}
	peer_send(&self->peer, REC_HANDSHAKE, ask, len);
	expect_fatal(self, EPROTO, ALERT_UNEXPECTED_MESSAGE);
	EXPECT_EQ(4, stat_get("TxNoRenegotiation"));
}

TEST_F(autonomous, renegotiation_asked_in_pieces)
{
	uint8_t ask[256];
	size_t len, i;

	ONLY_12();
	autonomous_begin(self);
	len = ask_again(self, ask, 60);
	for (i = 0; i < len; i++) {
		expect_silence(self);
		peer_send(&self->peer, REC_HANDSHAKE, ask + i, 1);
		expect_nothing(self);
	}
	expect_declined(self);
	expect_silence(self);
	expect_talk(self);
	EXPECT_EQ(1, stat_get("TxNoRenegotiation"));
}

/* A ClientHello longer than a record, and than anybody keeps. */
TEST_F(autonomous, renegotiation_asked_at_length)
{
	uint8_t *ask = malloc(65536);
	size_t len, at, n;

	ONLY_12();
	ASSERT_TRUE(ask);
	autonomous_begin(self);
	len = ask_again(self, ask, 50000);
	for (at = 0; at < len; at += n) {
		n = len - at < REC_MAX ? len - at : REC_MAX;
		peer_send(&self->peer, REC_HANDSHAKE, ask + at, n);
	}
	expect_nothing(self);
	expect_declined(self);
	expect_talk(self);
	EXPECT_EQ(1, stat_get("TxNoRenegotiation"));
	free(ask);
}

TEST_F(autonomous, renegotiation_asked_before_data)
{
	uint8_t ask[64];

	ONLY_12();
	autonomous_begin(self);
	peer_send(&self->peer, REC_HANDSHAKE, ask, ask_again(self, ask, 40));
	peer_send(&self->peer, REC_DATA, "data", 4);
	arrived(self);
	expect_data(self, "data", 4);
	expect_declined(self);
	expect_talk(self);
}

TEST_F(autonomous, renegotiation_asked_of_a_blocked_reader)
{
	struct blocked b;
	uint8_t ask[64];

	ONLY_12();
	autonomous_begin(self);
	blocked_start(&b, self, 4);
	peer_send(&self->peer, REC_HANDSHAKE, ask, ask_again(self, ask, 40));
	expect_declined(self);
	peer_send(&self->peer, REC_DATA, "data", 4);
	blocked_join(&b, "data", 4);
}

/* Four in one record are no more than four in four. */
TEST_F(autonomous, renegotiation_asked_five_times_at_once)
{
	static struct peer_record rec;
	uint8_t ask[256];
	size_t len = 0;
	int i, declined = 0;

	ONLY_12();
	autonomous_begin(self);
	for (i = 0; i < 5; i++)
		len += ask_again(self, ask + len, 10);
	peer_send(&self->peer, REC_HANDSHAKE, ask, len);
	expect_over(self->fd, EPROTO);
	for (;;) {
		ASSERT_EQ(1, peer_recv(&self->peer, &rec));
		ASSERT_EQ(REC_ALERT, rec.type);
		ASSERT_EQ(2, rec.len);
		if (rec.data[0] == LEVEL_FATAL)
			break;
		EXPECT_EQ(ALERT_NO_RENEGOTIATION, rec.data[1]);
		declined++;
	}
	EXPECT_EQ(ALERT_UNEXPECTED_MESSAGE, rec.data[1]);
	EXPECT_LE(declined, 4);
	EXPECT_EQ(0, peer_recv(&self->peer, &rec));
}

/* ---- alerts while the peer does not read ----------------------------------------------- */

/* Data that was taken goes first, then the alert; the reader has its error meanwhile. */
TEST_F(autonomous, fatal_alert_while_full)
{
	uint8_t *data = alloc_pattern(LOTS, 0), *got = malloc(LOTS);
	int64_t start;
	size_t sent;

	ASSERT_TRUE(got);
	autonomous_begin(self);
	sent = fill_up(self, data, LOTS);
	peer_send(&self->peer, 99, "?", 1);
	arrived(self);
	start = sock_now_ms();
	EXPECT_ERRNO(EPROTO, recv(self->fd, SCRATCH(8), 8, 0));
	EXPECT_LT(sock_now_ms() - start, test_wait_ms() / 4);
	peer_recv_all(&self->peer, got, sent);
	EXPECT_MEMEQ(data, got, sent);
	expect_alert(&self->peer, LEVEL_FATAL, ALERT_UNEXPECTED_MESSAGE);
	free(data);
	free(got);
}

/* Nor does a warning wait, or go before data that was there; at the latest it goes before what comes. */
TEST_F(autonomous, renegotiation_declined_while_full)
{
	uint8_t *data = alloc_pattern(LOTS, 0), ask[64];
	static struct peer_record rec;
	size_t sent, got = 0;
	int warnings = 0, last = 0;

	ONLY_12();
	autonomous_begin(self);
	sent = fill_up(self, data, LOTS);
	peer_send(&self->peer, REC_HANDSHAKE, ask, ask_again(self, ask, 40));
	expect_nothing(self);
	while (got <= sent) {
		if (got == sent && !last)
			last = send(self->fd, data + sent, 1, 0);
		ASSERT_EQ(1, peer_recv(&self->peer, &rec));
		if (rec.type == REC_ALERT) {
			alert_check(&rec, LEVEL_WARNING, ALERT_NO_RENEGOTIATION);
			warnings++;
			continue;
		}
		ASSERT_MEMEQ(data + got, rec.data, rec.len);
		got += rec.len;
	}
	EXPECT_EQ(1, last);
	EXPECT_EQ(1, warnings);
	expect_talk(self);
	free(data);
}
