/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The handshake engine and GnuTLS in one process, over a socketpair:
 *
 *   peer (GnuTLS) --- pair --- engine (itlsd/handshake.c)
 *
 * Both ends are non-blocking and stepped in turn, so nothing waits and nothing
 * depends on time.
 */
#ifndef UNIT_PAIR_H
#define UNIT_PAIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <gnutls/gnutls.h>

#include "itlsd/client.h"
#include "itlsd/handshake.h"

struct pki_cert;
struct profiles;

#define PAIR_STEPS	20000	/* steps without an end: a hang */

struct pair {
	int engine_fd, peer_fd;
	struct handshake *engine;
	gnutls_session_t peer;		/* NULL: none; the test sends its bytes */
	gnutls_certificate_credentials_t creds;
	int engine_err, peer_err;	/* 1: not at its end */
	struct {
		uint8_t tx[64], rx[64];
		size_t len;
	} secrets;			/* of the peer's traffic */
};

/* The engine, of that profile, as a server; or as a client, and what handshake_new_client() says. */
void pair_serve(struct pair *p, const struct profiles *set, const char *profile);
int pair_connect(struct pair *p, const struct profiles *set, const char *profile, const struct client_request *req);
/* No engine. */
void pair_open(struct pair *p);
void pair_close(struct pair *p);

/* The other side, flags as of gnutls_init(); takes @creds, NULL: without a certificate. */
void pair_peer(struct pair *p, unsigned int flags, const char *priority, gnutls_certificate_credentials_t creds);

void pair_step_engine(struct pair *p);
void pair_step_peer(struct pair *p);
/* Both, to their ends; what the engine made of it, -EAGAIN: it waits for more. */
int pair_run(struct pair *p);
/* Only the engine, on bytes that are there already. */
int pair_run_engine(struct pair *p);

/* The alert that the peer got, -1: none.  In TLS 1.3 it may come after its own handshake. */
int pair_alert(struct pair *p);
/* What one sends the other receives; TLS 1.2 has no secrets (RFC 8446, 7.1). */
bool pair_secrets_agree(const struct pair *p);
/* The engine tells the digest of @cert and @subject; @subject NULL: neither. */
bool pair_describes(const struct pair *p, const struct pki_cert *cert, const char *subject);

#endif
