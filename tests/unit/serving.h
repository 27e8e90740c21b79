/* SPDX-License-Identifier: GPL-2.0 */
/* Tests of servers' handshakes: the engine with one profile "p", and a client of GnuTLS. */
#ifndef UNIT_SERVING_H
#define UNIT_SERVING_H

#include "pair.h"

/* A certificate and its key into the folder: cert.pem and key.pem are the profile's. */
void serving_put(const char *cert_name, const char *key_name);
/* ground_profiles() of one profile "p" with @options. */
struct profiles *serving_profiles_old(const char *options, const struct profiles *old, char *message);
struct profiles *serving_profiles(const char *options);
/* The peer is a client that offers one protocol, a name, a session, each unless it is NULL. */
void serving_client(struct pair *p, const char *priority, const char *alpn, const char *sni,
		    const gnutls_datum_t *session);
/* Tests data both ways under the exported keys, a full-size record from the server included. */
void serving_keys_work(struct pair *p, const char *name);

#endif
