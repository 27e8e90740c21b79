// SPDX-License-Identifier: GPL-2.0
/*
 * Many senders and many readers on one direction, whose keys change under
 * them.  TCP promises nothing about bytes of several threads, but a record
 * with a type of its own is sent and read whole: so each comes once, to one
 * reader, as it was.
 */
#define _GNU_SOURCE
#include "onlook.h"
#include "rekey.h"

#include <poll.h>

#define SENDERS		3
#define READERS		3
#define REC_CROWD	100	/* and the types behind it, one for each sender */
#define MESSAGES	1000000

struct message {
	uint32_t sender, number, len;
	uint8_t data[];
};

struct sender {
	struct crowd *crowd;
	uint32_t number, sent;
	uint8_t *came;		/* how often each message did */
};

/* The lock keeps records of the old key from following the KeyUpdate. */
struct crowd {
	struct stress stress;
	struct onlook on;
	int from, to;
	union peer_info key;
	bool rekeys;
	uint32_t keys_sent, keys_got;
	pthread_rwlock_t lock;
	int senders;
	struct sender sender[SENDERS];
};

FIXTURE(crowd) {
	struct crowd c;
};

FIXTURE_VARIANT(crowd) {
	uint16_t version;
	uint16_t cipher;
	int family;
};

FIXTURE_VARIANT_ADD(crowd, tls12) {
	.version = TLS_1_2_VERSION, .cipher = TLS_CIPHER_AES_GCM_256, .family = AF_INET,
};

FIXTURE_VARIANT_ADD(crowd, tls13) {
	.version = TLS_1_3_VERSION, .cipher = TLS_CIPHER_AES_GCM_128, .family = AF_INET6,
};

/* A writer must get the lock although readers come and go. */
static void lock_init(pthread_rwlock_t *lock)
{
	pthread_rwlockattr_t attr;

	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	ASSERT_EQ(0, pthread_rwlock_init(lock, &attr));
	pthread_rwlockattr_destroy(&attr);
}

FIXTURE_SETUP(crowd)
{
	struct crowd *c = &self->c;
	int fd[2], i;

	sock_pair(variant->family, fd);
	c->from = fd[0];
	c->to = fd[1];
	peer_info_make(&c->key, variant->version, variant->cipher, 3, 0);
	ulp_require(c->from);
	ulp_require(c->to);
	ASSERT_EQ(0, key_set(c->from, TLS_TX, &c->key));
	ASSERT_EQ(0, key_set(c->to, TLS_RX, &c->key));
	c->rekeys = rekey_is_known(&c->key);
	c->on = (struct onlook){ .stress = &c->stress, .fd = { c->from, c->to } };
	lock_init(&c->lock);
	for (i = 0; i < SENDERS; i++) {
		c->sender[i] = (struct sender){ .crowd = c, .number = i };
		c->sender[i].came = calloc(MESSAGES, 1);
		ASSERT_TRUE(c->sender[i].came);
	}
}

FIXTURE_TEARDOWN(crowd)
{
	int i;

	close(self->c.from);
	close(self->c.to);
	pthread_rwlock_destroy(&self->c.lock);
	for (i = 0; i < SENDERS; i++)
		free(self->c.sender[i].came);
}

/* ---- sending ----------------------------------------------------------------------- */

static intmax_t send_message(void *arg)
{
	struct sender *s = arg;
	uint8_t rec[REC_MAX] __attribute__((aligned(8)));
	struct message *m = (void *)rec;
	ssize_t n;

	m->sender = s->number;
	m->number = s->sent;
	m->len = stress_size(sizeof(rec) - sizeof(*m));
	fill_pattern(m->data, m->len, (uint64_t)s->number << 16 | s->sent);
	pthread_rwlock_rdlock(&s->crowd->lock);
	n = send_typed(s->crowd->from, m, sizeof(*m) + m->len, REC_CROWD + s->number,
		       (stress_one_in(2) ? MSG_DONTWAIT : 0) | MSG_NOSIGNAL);
	pthread_rwlock_unlock(&s->crowd->lock);
	if (n < 0)
		return n;
	/* Whole or not at all, also when memory is short: an alert may not be cut in two. */
	ASSERT_EQ((ssize_t)(sizeof(*m) + m->len), n);
	s->sent++;
	return 0;
}

static intmax_t change_key(void *arg)
{
	struct crowd *c = ((struct sender *)arg)->crowd;
	int ret;

	if (!c->rekeys || !stress_one_in(4))
		return 0;
	pthread_rwlock_wrlock(&c->lock);
	do {
		ret = send_typed(c->from, key_update, sizeof(key_update), REC_HANDSHAKE,
				 MSG_NOSIGNAL);
	} while (ret < 0 && stress_injects());
	if (ret >= 0)
		c->keys_sent++;
	while (ret >= 0 && rekey_set(c->from, TLS_TX, &c->key, c->keys_sent))
		ASSERT_TRUE(stress_injects());
	pthread_rwlock_unlock(&c->lock);
	return ret;
}

static struct stress_op send_ops[] = {
	STRESS_OP("send", send_message, EAGAIN),
	STRESS_OP("send", send_message, EAGAIN),
	STRESS_OP("send", send_message, EAGAIN),
	STRESS_OP("key", change_key),
};

static void sender(void *arg)
{
	struct sender *s = arg;

	while (stress_goes_on(&s->crowd->stress) && s->sent < MESSAGES)
		if (!stress_any(send_ops, NR_OF(send_ops), s))
			break;
	if (!__atomic_sub_fetch(&s->crowd->senders, 1, __ATOMIC_SEQ_CST))
		ASSERT_EQ(0, shutdown(s->crowd->from, SHUT_WR));
}

/* ---- reading ----------------------------------------------------------------------- */

static void take_message(struct crowd *c, uint8_t type, const struct message *m, ssize_t n)
{
	static __thread uint8_t want[REC_MAX];
	const struct sender *s;

	ASSERT_LE((ssize_t)sizeof(*m), n);
	ASSERT_LT(m->sender, SENDERS);
	ASSERT_EQ(REC_CROWD + m->sender, type);
	ASSERT_EQ((ssize_t)(sizeof(*m) + m->len), n);
	ASSERT_LT(m->number, MESSAGES);
	fill_pattern(want, m->len, (uint64_t)m->sender << 16 | m->number);
	ASSERT_MEMEQ(want, m->data, m->len);
	s = &c->sender[m->sender];
	ASSERT_EQ(1, __atomic_add_fetch(&s->came[m->number], 1, __ATOMIC_RELAXED));
}

/* 0 at the end of the stream; EKEYEXPIRED: the new key is in another thread's hands. */
static intmax_t read_message(struct crowd *c, uint8_t *buf)
{
	bool peek = stress_one_in(5);
	uint8_t type;
	ssize_t n = recv_typed(c->to, buf, REC_MAX, &type, (peek ? MSG_PEEK : 0) |
			       (stress_one_in(2) ? MSG_DONTWAIT : 0));

	if (n <= 0 || peek)
		return n;
	if (type != REC_HANDSHAKE) {
		take_message(c, type, (void *)buf, n);
		return n;
	}
	ASSERT_EQ(sizeof(key_update), n);
	c->keys_got++;
	while (rekey_set(c->to, TLS_RX, &c->key, c->keys_got))
		ASSERT_TRUE(stress_injects());
	return n;
}

static void reader(void *arg)
{
	struct crowd *c = arg;
	uint8_t *buf = malloc(REC_MAX);
	intmax_t n = 1;

	ASSERT_TRUE(buf);
	while (n) {
		stress_doing("recvmsg");
		n = read_message(c, buf);
		if (!stress_check("recvmsg", n, ERRNOS(EAGAIN, EKEYEXPIRED)))
			break;
	}
	free(buf);
}

/* ---- the tests ------------------------------------------------------------------------ */

static void crowd_verify(const struct crowd *c)
{
	uint32_t i, n, came;

	for (i = 0; i < SENDERS; i++) {
		for (n = 0, came = 0; n < MESSAGES; n++)
			came += c->sender[i].came[n];
		printf("# sender %u: %u records sent, %u read\n", i, c->sender[i].sent, came);
		EXPECT_EQ(c->sender[i].sent, came);
		EXPECT_LT(0, came);
	}
	printf("# %u keys\n", c->keys_got);
	EXPECT_EQ(c->keys_sent, c->keys_got);
	EXPECT_EQ(c->rekeys, c->keys_got > 0);
}

static bool crowd_has_enough(const void *arg)
{
	const struct crowd *c = arg;
	int i;

	for (i = 0; i < SENDERS; i++)
		if (!c->sender[i].sent)
			return false;
	return !c->rekeys || c->keys_sent;
}

static void crowd_case(struct crowd *c, int onlookers)
{
	int i;

	stress_begin(&c->stress);
	c->senders = SENDERS;
	for (i = 0; i < SENDERS; i++)
		stress_spawn(&c->stress, sender, &c->sender[i]);
	for (i = 0; i < READERS; i++)
		stress_spawn(&c->stress, reader, c);
	for (i = 0; i < onlookers; i++)
		stress_spawn(&c->stress, onlook, &c->on);
	stress_wait(&c->stress, crowd_has_enough, c);
	stress_join(&c->stress);
	onlook_tell();
	crowd_verify(c);
}

TEST_F_TIMEOUT(crowd, each_record_once, STRESS_DEADLINE)
{
	crowd_case(&self->c, 0);
}

/* A smaller payload splits records, so those onlookers keep away. */
TEST_F_TIMEOUT(crowd, under_observation, STRESS_DEADLINE)
{
	self->c.on.whole_records = true;
	onlook_prepare();
	crowd_case(&self->c, 2);
}
