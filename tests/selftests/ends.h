/* SPDX-License-Identifier: GPL-2.0 */
/*
 * How connections of autonomous sockets end: what the program on the socket
 * sees, and what its peer finds on the wire.
 */
#ifndef SELFTEST_ENDS_H
#define SELFTEST_ENDS_H

#include <poll.h>
#include <sys/socket.h>

#include "harness.h"
#include "peer.h"
#include "sock.h"

/* RFC 8446 6. */
enum {
	ALERT_CLOSE_NOTIFY = 0,
	ALERT_UNEXPECTED_MESSAGE = 10,
	ALERT_BAD_RECORD_MAC = 20,
	ALERT_RECORD_OVERFLOW = 22,
	ALERT_HANDSHAKE_FAILURE = 40,
	ALERT_ILLEGAL_PARAMETER = 47,
	ALERT_DECODE_ERROR = 50,
	ALERT_USER_CANCELED = 90,
	ALERT_NO_RENEGOTIATION = 100,
	LEVEL_WARNING = 1,
	LEVEL_FATAL = 2,
};

/* Is that record this alert? */
static inline void alert_check(const struct peer_record *rec, uint8_t level, uint8_t description)
{
	ASSERT_EQ(REC_ALERT, rec->type);
	ASSERT_EQ(2, rec->len);
	EXPECT_EQ(level, rec->data[0]);
	EXPECT_EQ(description, rec->data[1]);
}

/* The next record is this alert. */
static inline void expect_alert_next(struct peer *peer, uint8_t level, uint8_t description)
{
	static struct peer_record rec;

	ASSERT_EQ(1, peer_recv(peer, &rec));
	alert_check(&rec, level, description);
}

/* The same, and behind it comes FIN and nothing else. */
static inline void expect_alert(struct peer *peer, uint8_t level, uint8_t description)
{
	static struct peer_record rec;

	expect_alert_next(peer, level, description);
	EXPECT_EQ(0, peer_recv(peer, &rec));
}

static inline void expect_close_notify(struct peer *peer)
{
	expect_alert(peer, LEVEL_WARNING, ALERT_CLOSE_NOTIFY);
}

/* The connection is over for the reader with this error, and stays so. */
static inline void expect_over(int fd, int want)
{
	char buf[64];
	int i;

	ASSERT_NE(0, sock_poll(fd, POLLIN, test_wait_ms()));
	for (i = 0; i < 4; i++)
		EXPECT_ERRNO(want, recv(fd, buf, sizeof(buf), 0));
	EXPECT_EQ(-1, send(fd, "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT));
}

/*
 * What has arrived is nothing to a program.  Reading does what it asks for; of
 * much the reader may be told to come back, and poll() that there is more.
 */
static inline void expect_nothing_in(int fd)
{
	int rounds = 0;
	char c;

	do {
		ASSERT_ERRNO(EAGAIN, recv(fd, &c, 1, MSG_DONTWAIT));
		ASSERT_LT(rounds++, 1000);
	} while (sock_poll(fd, POLLIN, 0));
}

static inline void expect_eof(int fd)
{
	char buf[64];
	int i;

	for (i = 0; i < 4; i++)
		EXPECT_EQ(0, recv(fd, buf, sizeof(buf), 0));
	EXPECT_TRUE(sock_poll(fd, POLLIN, 0) & POLLIN);
}

#endif
