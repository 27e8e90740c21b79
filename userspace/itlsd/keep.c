// SPDX-License-Identifier: GPL-2.0
/*
 * TLS 1.3 servers send tickets behind the handshake, and what they are worth
 * only the session that made it can tell.  So a client's session stays for a
 * few seconds after DONE: its tickets come with the first data.
 *
 * Bounded in number, so that many connections cost the oldest their tickets
 * and nobody memory.  One thread, no locks.
 */
#include <stddef.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "handshake.h"
#include "keep.h"
#include "log.h"
#include "loop.h"
#include "pem.h"
#include "resume.h"

struct kept {
	TAILQ_ENTRY(kept) node;
	struct keep *keep;
	struct loop_timer timer;
	struct resume_key key;
	struct handshake *handshake;
	uint32_t id;
	unsigned int tickets;
};

struct keep {
	TAILQ_HEAD(kepts, kept) list;	/* oldest first */
	struct loop *loop;
	struct resume *resume;
	unsigned int count;
};

static void kept_drop(struct kept *kept)
{
	struct keep *keep = kept->keep;

	loop_disarm(keep->loop, &kept->timer);
	TAILQ_REMOVE(&keep->list, kept, node);
	keep->count--;
	handshake_free(kept->handshake);
	free(kept);
}

static void kept_expire(struct loop_timer *timer)
{
	kept_drop(loop_owner(timer, struct kept, timer));
}

struct keep *keep_new(struct loop *loop, struct resume *resume)
{
	struct keep *keep = calloc(1, sizeof(*keep));

	if (!keep)
		return NULL;
	TAILQ_INIT(&keep->list);
	keep->loop = loop;
	keep->resume = resume;
	return keep;
}

void keep_clear(struct keep *keep)
{
	while (!TAILQ_EMPTY(&keep->list))
		kept_drop(TAILQ_FIRST(&keep->list));
}

void keep_free(struct keep *keep)
{
	if (!keep)
		return;
	keep_clear(keep);
	free(keep);
}

void keep_add(struct keep *keep, uint32_t id, const struct resume_key *key, struct handshake *h)
{
	struct kept *kept = calloc(1, sizeof(*kept));

	if (!kept) {
		handshake_free(h);
		return;
	}
	if (keep->count >= KEEP_MAX)
		kept_drop(TAILQ_FIRST(&keep->list));
	kept->keep = keep;
	kept->timer.fire = kept_expire;
	kept->key = *key;
	kept->handshake = h;
	kept->id = id;
	TAILQ_INSERT_TAIL(&keep->list, kept, node);
	keep->count++;
	loop_arm(keep->loop, &kept->timer, KEEP_MS);
}

static struct kept *find(struct keep *keep, uint32_t id)
{
	struct kept *kept;

	TAILQ_FOREACH(kept, &keep->list, node)
		if (kept->id == id)
			return kept;
	return NULL;
}

void keep_settle(struct keep *keep, uint32_t id)
{
	struct kept *kept = find(keep, id);

	if (kept)
		handshake_detach(kept->handshake);
}

void keep_drop(struct keep *keep, uint32_t id)
{
	struct kept *kept = find(keep, id);

	if (kept)
		kept_drop(kept);
}

void keep_ticket(struct keep *keep, uint32_t id, const void *message, size_t len)
{
	struct kept *kept = find(keep, id);
	gnutls_datum_t data;
	int err;

	if (!kept)
		return;
	err = handshake_ticket(kept->handshake, message, len, &data);
	log_debug("#%u: a ticket of %zu bytes%s", id, len, err ? " that is of no use" : "");
	if (!err)
		resume_put(keep->resume, &kept->key, &data, loop_now());
	if (err || ++kept->tickets >= KEEP_TICKETS)
		kept_drop(kept);
}
