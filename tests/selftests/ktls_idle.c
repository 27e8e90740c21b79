// SPDX-License-Identifier: GPL-2.0
/*
 * Connections that are idle let go of what their keys are made into, and go
 * on as if nothing had been when there is something to send or to receive.
 */
#define _GNU_SOURCE
#include <poll.h>
#include <pthread.h>
#include <unistd.h>

#include "rekey.h"
#include "stat.h"

/* A minute's worth of a slow machine's time: each waits for a connection to be idle. */
#define DEADLINE	60

static const struct {
	uint16_t version, cipher;
} suites[] = {
	{ TLS_1_2_VERSION, TLS_CIPHER_AES_GCM_128 },
	{ TLS_1_2_VERSION, TLS_CIPHER_AES_GCM_256 },
	{ TLS_1_2_VERSION, TLS_CIPHER_CHACHA20_POLY1305 },
	{ TLS_1_3_VERSION, TLS_CIPHER_AES_GCM_128 },
	{ TLS_1_3_VERSION, TLS_CIPHER_AES_GCM_256 },
	{ TLS_1_3_VERSION, TLS_CIPHER_CHACHA20_POLY1305 },
};

#define NR_SUITES (sizeof(suites) / sizeof(*suites))

struct keyed {
	int fd;
	struct peer peer;
	union peer_info tx, rx;
};

static void keyed_open(struct keyed *k, size_t suite)
{
	int fd[2];

	sock_pair(AF_INET, fd);
	k->fd = fd[0];
	peer_info_make(&k->tx, suites[suite].version, suites[suite].cipher, 1, 5);
	peer_info_make(&k->rx, suites[suite].version, suites[suite].cipher, 2, 9);
	ulp_require(k->fd);
	ASSERT_EQ(0, key_set(k->fd, TLS_TX, &k->tx));
	ASSERT_EQ(0, key_set(k->fd, TLS_RX, &k->rx));
	peer_init(&k->peer, fd[1], &k->tx, &k->rx);
}

static void keyed_close(struct keyed *k)
{
	close(k->fd);
	peer_free(&k->peer);
}

static void all_open(struct keyed *all)
{
	size_t i;

	for (i = 0; i < NR_SUITES; i++)
		keyed_open(&all[i], i);
	EXPECT_EQ((long)NR_SUITES, stat_get("CurrActive"));
}

static void all_close(struct keyed *all)
{
	size_t i;

	for (i = 0; i < NR_SUITES; i++)
		keyed_close(&all[i]);
	stat_wait_inactive();
}

/* Users of AES-GCM in the kernel's crypto API, of all that implement it. */
static long aead_users(void)
{
	char line[128], text[64];
	bool ours = false;
	long users = 0, n;
	FILE *f = fopen("/proc/crypto", "re");

	ASSERT_TRUE(f);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "name : %63s", text) == 1)
			ours = !strcmp(text, "gcm(aes)");
		if (ours && sscanf(line, "refcnt : %ld", &n) == 1)
			users += n;
	}
	fclose(f);
	return users;
}

/* They are freed a moment after the connection is counted out. */
static void aead_users_wait(long wanted)
{
	int64_t end = sock_now_ms() + test_wait_ms();

	while (aead_users() != wanted && sock_now_ms() < end)
		poll(NULL, 0, 1);
	EXPECT_EQ(wanted, aead_users());
}

TEST_TIMEOUT(memory_is_let_go_of, DEADLINE)
{
	struct keyed first, k[10];
	long before;
	int i;

	INTREE_DIFFERS("keeps it");
	/* Once, so that the modules are there. */
	keyed_open(&first, 0);
	keyed_close(&first);
	stat_wait_idle();
	before = aead_users();
	/* While any connection is there, one user holds the modules. */
	keyed_open(&first, 0);
	stat_wait_inactive();
	aead_users_wait(++before);
	for (i = 0; i < 10; i++)
		keyed_open(&k[i], 0);
	EXPECT_LE(before + 20, aead_users());
	stat_wait_inactive();
	aead_users_wait(before);
	for (i = 0; i < 10; i++)
		talk_expect(k[i].fd, &k[i].peer);
	EXPECT_LE(before + 20, aead_users());
	for (i = 0; i < 10; i++)
		keyed_close(&k[i]);
	aead_users_wait(before);
	talk_expect(first.fd, &first.peer);
	keyed_close(&first);
	aead_users_wait(before - 1);
}

TEST_TIMEOUT(go_on, DEADLINE)
{
	struct keyed all[NR_SUITES];
	size_t i, round;

	INTREE_DIFFERS("keeps it");
	all_open(all);
	for (round = 1; round <= 2; round++) {
		stat_wait_inactive();
		for (i = 0; i < NR_SUITES; i++)
			talk_expect(all[i].fd, &all[i].peer);
		EXPECT_EQ((long)NR_SUITES, stat_get("CurrActive"));
	}
	all_close(all);
}

/* What getsockopt() tells is made from the key that is left. */
TEST_TIMEOUT(keys_are_told, DEADLINE)
{
	struct keyed all[NR_SUITES];
	union peer_info told;
	uint8_t *salt, *iv, *seq;
	socklen_t len;
	size_t i;

	INTREE_DIFFERS("keeps it");
	all_open(all);
	for (i = 0; i < NR_SUITES; i++)
		talk_expect(all[i].fd, &all[i].peer);
	stat_wait_inactive();
	for (i = 0; i < NR_SUITES; i++) {
		memset(&told, 0, sizeof(told));
		len = peer_info_size(&all[i].tx);
		ASSERT_EQ(0, getsockopt(all[i].fd, SOL_TLS, TLS_TX, &told, &len));
		peer_info_parts(&told, &salt, &iv, &seq);
		EXPECT_EQ(6, seq[7]);
		seq[7] = 5;
		/* The explicit nonce, which in TLS 1.2 is told too. */
		if (suites[i].version == TLS_1_2_VERSION &&
		    suites[i].cipher != TLS_CIPHER_CHACHA20_POLY1305)
			iv[7]--;
		EXPECT_MEMEQ(&all[i].tx, &told, len);
	}
	EXPECT_EQ(0, stat_get("CurrActive"));
	all_close(all);
}

TEST_TIMEOUT(new_keys, DEADLINE)
{
	struct keyed k;

	INTREE_DIFFERS("keeps it");
	keyed_open(&k, NR_SUITES - 2);
	stat_wait_inactive();
	EXPECT_ERRNO(EKEYREJECTED, key_set(k.fd, TLS_TX, &k.tx));
	peer_info_update(&k.tx);
	ASSERT_EQ(0, key_set(k.fd, TLS_TX, &k.tx));
	EXPECT_EQ(1, stat_get("CurrActive"));
	peer_key_free(&k.peer.rx);
	peer_key_init(&k.peer.rx, &k.tx);
	talk_expect(k.fd, &k.peer);
	keyed_close(&k);
}

static void *read_four(void *arg)
{
	recv_expect(*(int *)arg, "late", 4);
	return NULL;
}

/* The lock is not a sleeping reader's, but the wake-up is. */
TEST_TIMEOUT(reader_asleep, DEADLINE)
{
	struct keyed k;
	pthread_t reader;

	INTREE_DIFFERS("keeps it");
	keyed_open(&k, NR_SUITES - 1);
	ASSERT_EQ(0, pthread_create(&reader, NULL, read_four, &k.fd));
	stat_wait_inactive();
	peer_send(&k.peer, REC_DATA, "late", 4);
	pthread_join(reader, NULL);
	EXPECT_EQ(1, stat_get("CurrActive"));
	keyed_close(&k);
}

/* A record that is open, and one that waits: neither is lost. */
TEST_TIMEOUT(half_way, DEADLINE)
{
	struct keyed k;
	uint8_t got[8];

	INTREE_DIFFERS("keeps it");
	keyed_open(&k, 0);
	ASSERT_EQ(4, send(k.fd, "half", 4, MSG_MORE));
	peer_send(&k.peer, REC_DATA, "wait", 4);
	stat_wait_inactive();
	ASSERT_EQ(4, send(k.fd, "full", 4, 0));
	ASSERT_EQ(1, peer_recv_all(&k.peer, got, 8));
	EXPECT_MEMEQ("halffull", got, 8);
	recv_expect(k.fd, "wait", 4);
	keyed_close(&k);
}

/* Talks until the other connection has been let go of; this one stays. */
static void talk_until_other_is_idle(struct keyed *active)
{
	int64_t end = sock_now_ms() + 20000;

	while (stat_get("CurrActive") == 2 && sock_now_ms() < end) {
		talk_expect(active->fd, &active->peer);
		poll(NULL, 0, 10);
	}
	EXPECT_EQ(1, stat_get("CurrActive"));
}

/* One that is used keeps what it has, for longer than another takes to be let go of. */
TEST_TIMEOUT(active_stays, DEADLINE)
{
	struct keyed idle, active;

	INTREE_DIFFERS("keeps it");
	keyed_open(&idle, 3);
	keyed_open(&active, 3);
	talk_until_other_is_idle(&active);
	talk_expect(idle.fd, &idle.peer);
	EXPECT_EQ(2, stat_get("CurrActive"));
	talk_until_other_is_idle(&active);
	keyed_close(&idle);
	keyed_close(&active);
	stat_wait_inactive();
}
