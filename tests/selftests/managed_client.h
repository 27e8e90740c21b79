/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The fixture of tests of client sockets: a TCP connection that may become TLS
 * by ITLS_CONNECT.  The agent is the test's own; the record peer plays the
 * server.
 */
#ifndef SELFTEST_MANAGED_CLIENT_H
#define SELFTEST_MANAGED_CLIENT_H

#include <pthread.h>

#include "agent.h"
#include "ends.h"
#include "stat.h"
#include "ulp.h"

#define PROFILE	"some-profile"
#define SERVER	"www.server.test"

FIXTURE(client) {
	int fd;
	struct peer peer;
	struct agent agent;
	struct itls_connect c;
	union peer_info tx, rx;
};

FIXTURE_VARIANT(client) {
	uint16_t version;
	uint16_t cipher;
	int family;
};

FIXTURE_VARIANT_ADD(client, tls12_v6) {
	.version = TLS_1_2_VERSION, .cipher = TLS_CIPHER_AES_GCM_128, .family = AF_INET6,
};

FIXTURE_VARIANT_ADD(client, tls13_v4) {
	.version = TLS_1_3_VERSION, .cipher = TLS_CIPHER_AES_GCM_256, .family = AF_INET,
};

void test_after_each(void)
{
	stat_params_restore();
}

FIXTURE_SETUP(client)
{
	int fd[2];

	agent_open(&self->agent);
	sock_pair(variant->family, fd);
	self->fd = fd[0];
	ulp_require(self->fd);
	peer_info_make(&self->tx, variant->version, variant->cipher, 1, 1);
	peer_info_make(&self->rx, variant->version, variant->cipher, 2, 1);
	peer_init(&self->peer, fd[1], &self->tx, &self->rx);
	connect_init(&self->c, PROFILE, SERVER);
}

FIXTURE_TEARDOWN(client)
{
	if (self->fd >= 0)
		close(self->fd);
	peer_free(&self->peer);
	agent_close(&self->agent);
	stat_wait_idle();
}

/* ---- two ways to call --------------------------------------------------------------- */

/* The handshake waits for the agent. */
static inline void begin(struct client_data *self)
{
	sock_nonblock(self->fd, true);
	ASSERT_ERRNO(EINPROGRESS, connect_set(self->fd, &self->c));
}

static inline void done_init(struct client_data *self, struct itls_nl_request *req,
			     struct itls_nl_done *done)
{
	agent_accept(&self->agent, req);
	agent_done_init(done, req->id, &self->tx, &self->rx);
}

/* It succeeds, and poll() tells. */
static inline void succeed(struct client_data *self)
{
	agent_establish(&self->agent, &self->tx, &self->rx);
	ASSERT_EQ(POLLOUT, sock_poll(self->fd, POLLOUT, test_wait_ms()));
	ASSERT_EQ(0, sock_error(self->fd));
	sock_nonblock(self->fd, false);
}

static inline void establish(struct client_data *self)
{
	begin(self);
	succeed(self);
}

static inline void expect_data(struct client_data *self, const void *data, size_t len)
{
	recv_expect(self->fd, data, len);
}

static inline void expect_talk(struct client_data *self)
{
	talk_expect(self->fd, &self->peer);
}

/* A thread that waits inside ITLS_CONNECT. */
struct waiter {
	struct client_data *self;
	volatile pid_t tid;
	int ret, err;
	pthread_t thread;
};

static inline void *waiter_run(void *arg)
{
	struct waiter *w = arg;

	w->tid = gettid();
	w->ret = connect_set(w->self->fd, &w->self->c);
	w->err = errno;
	return NULL;
}

static inline void waiter_start(struct waiter *w, struct client_data *self)
{
	int64_t end = sock_now_ms() + test_wait_ms();

	*w = (struct waiter){ .self = self };
	ASSERT_EQ(0, pthread_create(&w->thread, NULL, waiter_run, w));
	while (!w->tid || info_get(self->fd).state != ITLS_STATE_PENDING || !test_is_asleep(w->tid)) {
		ASSERT_LT(sock_now_ms(), end);
		poll(NULL, 0, 1);
	}
}

/* want: 0, or the errno. */
static inline void waiter_join(struct waiter *w, int want)
{
	ASSERT_EQ(0, pthread_join(w->thread, NULL));
	EXPECT_EQ(want ? -1 : 0, w->ret);
	if (want)
		EXPECT_EQ(want, w->err);
}

#endif
