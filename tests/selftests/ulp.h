/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The socket options of the ULP, and records with their type through
 * recvmsg() and sendmsg().
 */
#ifndef SELFTEST_ULP_H
#define SELFTEST_ULP_H

#include <linux/itls.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "harness.h"
#include "peer.h"
#include "sock.h"

#ifndef SOL_TLS
#define SOL_TLS 282
#endif

static inline const char *ulp_name(void)
{
	return getenv("ITLS_ULP") ?: ITLS_ULP_NAME;
}

/*
 * Run against in-tree kTLS (ITLS_ULP=tls) the suite checks itself.  Where itls
 * is different on purpose the test ends here, saying how.
 */
static inline bool ulp_is_intree(void)
{
	return !strcmp(ulp_name(), "tls");
}

#define INTREE_DIFFERS(how)				\
	do {						\
		if (ulp_is_intree())			\
			SKIP("in-tree kTLS " how);	\
	} while (0)

static inline int ulp_attach(int fd)
{
	return setsockopt(fd, IPPROTO_TCP, TCP_ULP, ulp_name(), strlen(ulp_name()));
}

/* A missing ULP must fail loudly: plain TCP would pass most tests. */
static inline void ulp_require(int fd)
{
	ASSERT_EQ(0, ulp_attach(fd));
}

static inline int listener_attach(int fd)
{
	return setsockopt(fd, IPPROTO_TCP, TCP_ULP, ITLS_ULP_LISTEN_NAME,
			  strlen(ITLS_ULP_LISTEN_NAME));
}

static inline void listener_require(int fd)
{
	ASSERT_EQ(0, listener_attach(fd));
}

static inline struct itls_info info_get(int fd)
{
	struct itls_info info = {};
	socklen_t len = sizeof(info);

	ASSERT_EQ(0, getsockopt(fd, SOL_TLS, ITLS_INFO, &info, &len));
	return info;
}

static inline int key_set(int fd, int opt, const union peer_info *info)
{
	return setsockopt(fd, SOL_TLS, opt, info, peer_info_size(info));
}

/* ITLS_AUTONOMOUS with the secrets of these keys; others may change @a before autonomous_set(). */
static inline void autonomous_init(struct itls_autonomous *a, uint8_t role,
				   const union peer_info *tx, const union peer_info *rx)
{
	*a = (struct itls_autonomous){ .role = role, .secret_len = peer_secret_len(tx) };
	memcpy(a->tx_secret, tx->secret, a->secret_len);
	memcpy(a->rx_secret, rx->secret, a->secret_len);
}

static inline int autonomous_set(int fd, const struct itls_autonomous *a)
{
	return setsockopt(fd, SOL_TLS, ITLS_AUTONOMOUS, a, sizeof(*a));
}

static inline void connect_init(struct itls_connect *c, const char *profile,
				const char *server_name)
{
	*c = (struct itls_connect){ .size = sizeof(*c) };
	snprintf(c->profile, sizeof(c->profile), "%s", profile);
	snprintf(c->server_name, sizeof(c->server_name), "%s", server_name);
}

static inline int connect_set(int fd, const struct itls_connect *c)
{
	return setsockopt(fd, SOL_TLS, ITLS_CONNECT, c, sizeof(*c));
}

/* One record with its type, as recvmsg() gives it; type 0: no control message came. */
static inline ssize_t recv_typed(int fd, void *data, size_t len, uint8_t *type, int flags)
{
	union {
		char buf[CMSG_SPACE(sizeof(uint8_t))];
		struct cmsghdr align;
	} control;
	struct iovec iov = { .iov_base = data, .iov_len = len };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control.buf, .msg_controllen = sizeof(control.buf),
	};
	struct cmsghdr *cmsg;
	ssize_t n;

	*type = 0;
	n = recvmsg(fd, &msg, flags);
	if (n < 0)
		return n;
	cmsg = CMSG_FIRSTHDR(&msg);
	if (cmsg && cmsg->cmsg_level == SOL_TLS && cmsg->cmsg_type == TLS_GET_RECORD_TYPE)
		*type = *CMSG_DATA(cmsg);
	return n;
}

static inline ssize_t send_typed(int fd, const void *data, size_t len, uint8_t type, int flags)
{
	union {
		char buf[CMSG_SPACE(sizeof(uint8_t))];
		struct cmsghdr align;
	} control = {};
	struct iovec iov = { .iov_base = (void *)data, .iov_len = len };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control.buf, .msg_controllen = sizeof(control.buf),
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	cmsg->cmsg_level = SOL_TLS;
	cmsg->cmsg_type = TLS_SET_RECORD_TYPE;
	cmsg->cmsg_len = CMSG_LEN(sizeof(type));
	*CMSG_DATA(cmsg) = type;
	return sendmsg(fd, &msg, flags);
}

/* The next bytes of the stream are these. */
static inline void recv_expect(int fd, const void *data, size_t len)
{
	uint8_t *got = malloc(len + 1);

	ASSERT_TRUE(got);
	ASSERT_EQ((ssize_t)len, recv(fd, got, len, MSG_WAITALL));
	EXPECT_MEMEQ(data, got, len);
	free(got);
}

/* Both directions still carry records. */
static inline void talk_expect(int fd, struct peer *peer)
{
	uint8_t buf[4];

	peer_send(peer, REC_DATA, "ping", 4);
	recv_expect(fd, "ping", 4);
	ASSERT_EQ(4, send(fd, "pong", 4, 0));
	ASSERT_EQ(1, peer_recv_all(peer, buf, 4));
	EXPECT_MEMEQ("pong", buf, 4);
}

#endif
