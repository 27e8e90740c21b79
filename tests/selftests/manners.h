/* SPDX-License-Identifier: GPL-2.0 */
/*
 * MANNER(name) { … } is a test body over a twin (twin.h): what a program does
 * with a socket, and what it sees.  It runs once on plain TCP and once on each
 * kind of TLS socket, and fails where the two traces differ.  Nothing is
 * expected in so many words: plain TCP says what is right.
 *
 * Where TLS cannot do as TCP does, the body says so itself, by a condition on
 * t->kind or by noting a relation ("no less than") instead of a number.
 */
#ifndef SELFTEST_MANNERS_H
#define SELFTEST_MANNERS_H

#include "sock.h"
#include "twin.h"
#include "ulp.h"

FIXTURE(manners) {
	struct twin plain, tls;
};

FIXTURE_VARIANT(manners) {
	enum twin_kind kind;
	uint16_t version;
	uint16_t cipher;
};

#define MANNERS_VARIANT(name, k, v, bits)				\
	FIXTURE_VARIANT_ADD(manners, name) {				\
		.kind = k, .version = v, .cipher = TLS_CIPHER_AES_GCM_##bits, \
	}
MANNERS_VARIANT(ktls12, TWIN_KTLS, TLS_1_2_VERSION, 256);
MANNERS_VARIANT(ktls13, TWIN_KTLS, TLS_1_3_VERSION, 128);
MANNERS_VARIANT(managed12, TWIN_MANAGED, TLS_1_2_VERSION, 128);
MANNERS_VARIANT(managed13, TWIN_MANAGED, TLS_1_3_VERSION, 256);

FIXTURE_SETUP(manners)
{
	if (variant->kind == TWIN_MANAGED)
		INTREE_DIFFERS("has no managed sockets");
	twin_open(&self->plain, TWIN_PLAIN, 0, 0);
	twin_open(&self->tls, variant->kind, variant->version, variant->cipher);
}

FIXTURE_TEARDOWN(manners)
{
	twin_free(&self->plain);
	twin_free(&self->tls);
}

static inline void manners_compare(struct manners_data *self, void (*body)(struct twin *t))
{
	body(&self->plain);
	body(&self->tls);
	EXPECT_LT(0, self->plain.trace.count);
	if (trace_same(&self->plain.trace, &self->tls.trace))
		return;
	test_fail(__FILE__, __LINE__, "TLS and plain TCP differ:");
	trace_print("TCP", &self->plain.trace, "TLS", &self->tls.trace);
}

#define MANNER_TIMEOUT(name, secs)					\
	static void manner_##name(struct twin *t);			\
	TEST_F_TIMEOUT(manners, name, secs)				\
	{								\
		manners_compare(self, manner_##name);			\
	}								\
	static void manner_##name(struct twin *t)

#define MANNER(name) MANNER_TIMEOUT(name, TEST_DEADLINE_S)

#endif
