// SPDX-License-Identifier: GPL-2.0
/*
 * Memory that runs out when an idle connection makes ready its keys again: the
 * call says so or waits, nothing is lost, and the next call goes on.
 */
#define _GNU_SOURCE
#include "inject.h"
#include "rekey.h"
#include "stat.h"

/* More than a call makes allocations: each round takes a connection that is idle. */
#define SPARE 40
#define LONG 20000

/* A test that ended badly leaves no failing machine to the next. */
void test_after_each(void)
{
	inject_restore();
}

FIXTURE(idle) {
	struct {
		int fd;
		struct peer peer;
	} conn[SPARE];
	int next;
};

FIXTURE_VARIANT(idle) {
	uint16_t version;
	uint16_t cipher;
};

FIXTURE_VARIANT_ADD(idle, tls12) {
	.version = TLS_1_2_VERSION, .cipher = TLS_CIPHER_AES_GCM_128,
};

FIXTURE_VARIANT_ADD(idle, tls13) {
	.version = TLS_1_3_VERSION, .cipher = TLS_CIPHER_AES_GCM_256,
};

FIXTURE_SETUP(idle)
{
	union peer_info tx, rx;
	int i, fd[2];

	peer_info_make(&tx, variant->version, variant->cipher, 1, 1);
	peer_info_make(&rx, variant->version, variant->cipher, 2, 1);
	for (i = 0; i < SPARE; i++) {
		sock_pair(AF_INET, fd);
		self->conn[i].fd = fd[0];
		ulp_require(fd[0]);
		ASSERT_EQ(0, key_set(fd[0], TLS_TX, &tx));
		ASSERT_EQ(0, key_set(fd[0], TLS_RX, &rx));
		peer_init(&self->conn[i].peer, fd[1], &tx, &rx);
	}
}

FIXTURE_TEARDOWN(idle)
{
	int i;

	for (i = 0; i < SPARE; i++) {
		close(self->conn[i].fd);
		peer_free(&self->conn[i].peer);
	}
}

static struct peer *take(struct idle_data *self, int *fd)
{
	ASSERT_LT(self->next, SPARE);
	*fd = self->conn[self->next].fd;
	return &self->conn[self->next++].peer;
}

TEST_F_TIMEOUT(idle, send, 90)
{
	struct peer *peer;
	uint8_t got[8];
	ssize_t ret;
	int fd;

	stat_wait_inactive();
	INJECT_WALK(w, "send, idle") {
		peer = take(self, &fd);
		INJECT(&w, ret = send(fd, "four", 4, MSG_DONTWAIT | MSG_NOSIGNAL));
		if (inject_failed(&w, ret, EAGAIN))
			ASSERT_EQ(4, send(fd, "four", 4, 0));
		else
			ASSERT_EQ(4, ret);
		ASSERT_EQ(1, peer_recv_all(peer, got, 4));
		ASSERT_MEMEQ("four", got, 4);
		talk_expect(fd, peer);
	}
}

/* A call that waits for memory tries again with the same bytes. */
TEST_F_TIMEOUT(idle, send_long, 90)
{
	uint8_t *data = alloc_pattern(LONG + 1, 0), *got = malloc(LONG);
	struct peer *peer;
	ssize_t ret;
	int fd;

	stat_wait_inactive();
	INJECT_WALK(w, "send 20000, idle") {
		peer = take(self, &fd);
		INJECT(&w, ret = send(fd, data + 1, LONG, MSG_NOSIGNAL));
		if (inject_failed(&w, ret))
			ret = 0;
		sock_send_all(fd, data + 1 + ret, LONG - ret);
		peer_recv_all(peer, got, LONG);
		ASSERT_MEMEQ(data + 1, got, LONG);
		talk_expect(fd, peer);
	}
	free(data);
	free(got);
}

TEST_F_TIMEOUT(idle, recv, 90)
{
	struct peer *peer;
	char got[8];
	ssize_t ret;
	int fd;

	stat_wait_inactive();
	INJECT_WALK(w, "recv, idle") {
		peer = take(self, &fd);
		peer_send(peer, REC_DATA, "four", 4);
		sock_wait_received(fd, peer->sent);
		INJECT(&w, ret = recv(fd, got, 4, 0));
		if (inject_failed(&w, ret))
			ASSERT_EQ(4, recv(fd, got, 4, 0));
		else
			ASSERT_EQ(4, ret);
		ASSERT_MEMEQ("four", got, 4);
		talk_expect(fd, peer);
	}
}
