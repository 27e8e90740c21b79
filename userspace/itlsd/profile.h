/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Profiles of servers and clients ready for use: credentials, trust, priority, ALPN, ticket key.
 * Users count references, because a handshake may outlive a reload.  Threads share
 * profiles, which never change, but not sets.
 */
#ifndef ITLSD_PROFILE_H
#define ITLSD_PROFILE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct carry;
struct config;
struct profile;
struct profiles;
struct trust;
struct gnutls_session_int;	/* what gnutls_session_t points to */

/*
 * Builds all profiles of @cfg, with the ciphers of @carry.  Mistakes are added to its messages; -EINVAL
 * then, and *@set stays as it is.  Ticket keys of equally named profiles in
 * @old (or NULL) live on.
 */
int profiles_build(struct config *cfg, const struct carry *carry, const struct profiles *old,
		   struct profiles **set);
/* Another set of the same profiles, for another thread; NULL without memory. */
struct profiles *profiles_copy(const struct profiles *set);
void profiles_free(struct profiles *set);
/* Of servers. */
unsigned int profiles_count(const struct profiles *set);

/* A counted reference, or NULL: no such profile. */
struct profile *profiles_get(const struct profiles *set, const char *name);
struct profile *profiles_get_client(const struct profiles *set, const char *name);
struct profile *profile_ref(struct profile *profile);
void profile_put(struct profile *profile);

const char *profile_name(const struct profile *profile);
bool profile_is_client(const struct profile *profile);
/* May sessions be resumed later? */
bool profile_has_tickets(const struct profile *profile);
/* The peer is asked for a certificate, and must have one: clients always do. */
bool profile_asks(const struct profile *profile);
bool profile_insists(const struct profile *profile);
/* Whom the peers' certificates have to be issued by; NULL: nobody asks for any. */
const struct trust *profile_trust(const struct profile *profile);
/* After how much the kernel changes its sending key; 0: as it sees fit. */
void profile_rekey(const struct profile *profile, uint64_t *records, uint64_t *bytes);
/* enum itls_record_sizing. */
uint8_t profile_record_sizing(const struct profile *profile);
bool profile_allows(const struct profile *profile, uid_t uid);
/* Sets up a new session of its kind.  0 or a GnuTLS error. */
int profile_apply(const struct profile *profile, struct gnutls_session_int *session);

#endif
