/* SPDX-License-Identifier: GPL-2.0 */
/* Sessions that clients may resume: bounded in number and age, each for one use. */
#ifndef ITLSD_RESUME_H
#define ITLSD_RESUME_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <gnutls/gnutls.h>

#define RESUME_MAX	1024
#define RESUME_EACH	4		/* of one key: servers give two tickets and more */
#define RESUME_AGE_MS	(6 * 3600 * 1000ULL)

struct resume;

/* What has to be the same for a session to be of use: all of it, nothing else. */
struct resume_id {
	const char *profile;
	uid_t uid;
	const char *server_name;
	const void *peer;		/* address and port */
	size_t peer_len;
	gnutls_datum_t ca;		/* that the program brought along */
	gnutls_datum_t cert;
	gnutls_datum_t key;
};

struct resume_key {
	uint8_t hash[32];
};

/* 0 or -EIO. */
int resume_key_make(struct resume_key *key, const struct resume_id *id);

struct resume *resume_new(void);
void resume_free(struct resume *resume);
/* Forgets all: the configuration may trust others now. */
void resume_clear(struct resume *resume);
/* Takes and empties @data.  @now_ms: of a clock that never goes back. */
void resume_put(struct resume *resume, const struct resume_key *key, gnutls_datum_t *data, uint64_t now_ms);
/* The youngest, taken out (RFC 8446, C.4); data NULL: none.  The caller wipes it. */
gnutls_datum_t resume_take(struct resume *resume, const struct resume_key *key, uint64_t now_ms);

#endif
