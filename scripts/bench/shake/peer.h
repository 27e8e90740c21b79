/* SPDX-License-Identifier: GPL-2.0 */
/* The client's end, by OpenSSL, the same one whatever the server is. */
#ifndef SHAKE_PEER_H
#define SHAKE_PEER_H

#include <stdbool.h>

#include <openssl/ssl.h>

/*
 * @tls: "1.2" or "1.3".  It verifies nothing, since that is the client's time, and keeps the
 * session that came last.
 */
struct ssl_ctx_st *peer_new(const char *tls);

/* A connection, with that session if @resume: ends the program if there is none. */
SSL *peer_connect(SSL_CTX *ctx, bool resume);

/* Forgets it. */
void peer_forget(void);
bool peer_has_session(void);

void die(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

#endif
