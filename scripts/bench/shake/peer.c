// SPDX-License-Identifier: GPL-2.0
/* See peer.h. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>

#include "peer.h"

static struct ssl_session_st *session;

void die(const char *format, ...)
{
	va_list args;

	fprintf(stderr, "shake: ");
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	ERR_print_errors_fp(stderr);
	exit(1);
}

/* Takes the reference. */
static int session_came(SSL *ssl, SSL_SESSION *came)
{
	(void)ssl;
	SSL_SESSION_free(session);
	session = came;
	return 1;
}

struct ssl_ctx_st *peer_new(const char *tls)
{
	int version = strcmp(tls, "1.2") ? TLS1_3_VERSION : TLS1_2_VERSION;
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

	if (!ctx || !SSL_CTX_set_min_proto_version(ctx, version) || !SSL_CTX_set_max_proto_version(ctx, version) ||
	    !SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256") ||
	    !SSL_CTX_set_cipher_list(ctx, "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256"))
		die("no client of TLS %s", tls);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
	/* Servers hang up without a word; that must not spoil the session. */
	SSL_CTX_set_options(ctx, SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(ctx, session_came);
	return ctx;
}

/* A copy: OpenSSL uses up those of TLS 1.3, which would not do for many connections at a time. */
static void offer_session(SSL *ssl)
{
	struct ssl_session_st *copy = session ? SSL_SESSION_dup(session) : NULL;

	if (!copy || !SSL_set_session(ssl, copy))
		die("no session to resume");
	SSL_SESSION_free(copy);
}

SSL *peer_connect(SSL_CTX *ctx, bool resume)
{
	SSL *ssl = SSL_new(ctx);

	if (!ssl || !SSL_set_tlsext_host_name(ssl, "localhost"))
		die("no memory");
	if (resume)
		offer_session(ssl);
	SSL_set_connect_state(ssl);
	return ssl;
}

void peer_forget(void)
{
	SSL_SESSION_free(session);
	session = NULL;
}

bool peer_has_session(void)
{
	return session;
}
