// SPDX-License-Identifier: GPL-2.0
/*
 * No order at all: threads attach, set keys, send, read, poll, shut down and
 * close the same few sockets, both ends of them.  What must hold: every call
 * ends, with an error it may give; at the end nothing is left; and the kernel
 * does not complain (the harness looks).
 */
#define _GNU_SOURCE
#include "chaos.h"
#include "nl.h"
#include "stat.h"

#include <poll.h>

#define PAIRS	2
#define WORKERS	6

FIXTURE(ktls) {
	struct stress stress;
	struct chaos_slot slot[2 * PAIRS];
	union peer_info key[2];
	int family;
};

FIXTURE_VARIANT(ktls) {
	uint16_t version;
	uint16_t cipher;
	int family;
};

FIXTURE_VARIANT_ADD(ktls, tls12) {
	.version = TLS_1_2_VERSION, .cipher = TLS_CIPHER_AES_GCM_128, .family = AF_INET,
};

FIXTURE_VARIANT_ADD(ktls, tls13) {
	.version = TLS_1_3_VERSION, .cipher = TLS_CIPHER_AES_GCM_128, .family = AF_INET6,
};

FIXTURE_SETUP(ktls)
{
	int i;

	self->family = variant->family;
	peer_info_make(&self->key[0], variant->version, variant->cipher, 1, 0);
	peer_info_make(&self->key[1], variant->version, variant->cipher, 2, 0);
	for (i = 0; i < 2 * PAIRS; i++)
		self->slot[i] = (struct chaos_slot){
			.fd = -1, .tx = &self->key[i & 1], .rx = &self->key[!(i & 1)],
		};
}

FIXTURE_TEARDOWN(ktls)
{
}

/* A connection of which the ends may be anything from plain to both keyed. */
static void new_pair(struct ktls_data *self, struct chaos_slot *slot)
{
	int fd[2], i, keys = stress_below(4);

	sock_pair(self->family, fd);
	for (i = 0; i < 2 && keys; i++) {
		if (ulp_attach(fd[i]))
			ASSERT_TRUE(stress_injects());
		else if (keys > 1 && key_set(fd[i], TLS_TX, slot[i].tx))
			ASSERT_TRUE(stress_injects());
		else if (keys > 1 && key_set(fd[i], TLS_RX, slot[i].rx))
			ASSERT_TRUE(stress_injects());
	}
	/* The other first, sometimes: then this end is in use as that one goes. */
	i = stress_below(2);
	chaos_put(&slot[i], fd[i]);
	chaos_put(&slot[!i], fd[!i]);
}

static void worker(void *arg)
{
	struct ktls_data *self = arg;
	struct chaos c;

	chaos_open(&c, self->slot, 2 * PAIRS, 'x');
	while (stress_goes_on(&self->stress))
		if (!chaos_any(&c))
			break;
	chaos_close(&c);
}

/* Gives each connection some time to be used, and takes it away. */
static void renewer(void *arg)
{
	struct ktls_data *self = arg;
	int i = 0;

	while (stress_goes_on(&self->stress)) {
		stress_doing("exchange");
		new_pair(self, &self->slot[i]);
		i = (i + 2) % (2 * PAIRS);
		poll(NULL, 0, stress_below(10));
	}
}

static void rekeyer(void *arg)
{
	struct ktls_data *self = arg;
	struct itls_nl *nl;

	ASSERT_EQ(0, itls_nl_open(&nl));
	while (stress_goes_on(&self->stress)) {
		chaos_rekey(nl);
		poll(NULL, 0, stress_below(5));
	}
	itls_nl_close(nl);
}

TEST_F_TIMEOUT(ktls, chaos, STRESS_DEADLINE)
{
	int i;

	stress_begin(&self->stress);
	for (i = 0; i < PAIRS; i++)
		new_pair(self, &self->slot[2 * i]);
	stress_spawn(&self->stress, renewer, self);
	if (!ulp_is_intree())
		stress_spawn(&self->stress, rekeyer, self);
	for (i = 0; i < WORKERS; i++)
		stress_spawn(&self->stress, worker, self);
	stress_wait(&self->stress, NULL, NULL);
	stress_join(&self->stress);
	chaos_tell();
	for (i = 0; i < 2 * PAIRS; i++)
		close(self->slot[i].fd);
	if (!ulp_is_intree())
		stat_wait_idle();
}
