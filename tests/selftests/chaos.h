/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Sockets that any thread may do anything with.  A slot is a descriptor
 * number whose socket is exchanged, by dup2(), for another one while others
 * are inside calls on it: that is close() under use, without the danger that
 * somebody writes to a stranger's descriptor.
 */
#ifndef SELFTEST_CHAOS_H
#define SELFTEST_CHAOS_H

#include "rekey.h"
#include "stress.h"

/* Longest time that one blocking call may wait. */
#define CHAOS_WAIT_MS	20

struct chaos_slot {
	int fd;
	const union peer_info *tx, *rx;	/* keys that fit the other end's */
};

/* One thread's things. */
struct chaos {
	struct chaos_slot *slot;
	int nr;
	int pipe[2], file, epoll;
	uint8_t *buf;
	/* NULL, or looks at what a call has read from a slot. */
	void (*seen)(const uint8_t *buf, size_t len);
	uint8_t fill;			/* every byte that is sent */
};

void chaos_open(struct chaos *c, struct chaos_slot *slot, int nr, uint8_t fill);
void chaos_close(struct chaos *c);
/* Puts fd, which is closed then, into the slot; its calls wait no longer than CHAOS_WAIT_MS. */
void chaos_put(struct chaos_slot *slot, int fd);
/* One thing at random. */
bool chaos_any(struct chaos *c);
void chaos_tell(void);
/* Another sending key for any session there is, as an administrator asks for it. */
struct itls_nl;
void chaos_rekey(struct itls_nl *nl);

#endif
