/* SPDX-License-Identifier: GPL-2.0 */
/* Handshakes of clients that are over and still wait for tickets. */
#ifndef ITLSD_KEEP_H
#define ITLSD_KEEP_H

#include <stddef.h>
#include <stdint.h>

struct handshake;
struct keep;
struct loop;
struct resume;
struct resume_key;

#define KEEP_MAX	256
#define KEEP_MS		10000
#define KEEP_TICKETS	4	/* of one session, the first that come */

/* Tickets go to @resume. */
struct keep *keep_new(struct loop *loop, struct resume *resume);
void keep_free(struct keep *keep);
void keep_clear(struct keep *keep);
/*
 * Takes @h, that is done, as session @id; the oldest gives way to it.  Before
 * DONE, as tickets may come with the answer; keep_settle() when DONE is over.
 */
void keep_add(struct keep *keep, uint32_t id, const struct resume_key *key, struct handshake *h);
void keep_settle(struct keep *keep, uint32_t id);
void keep_drop(struct keep *keep, uint32_t id);
/* A ticket came; nothing happens if @id is not kept. */
void keep_ticket(struct keep *keep, uint32_t id, const void *message, size_t len);

#endif
