// SPDX-License-Identifier: GPL-2.0
/* OpenSSL's server, with no more set than nginx would. */
#include <string.h>

#include <openssl/ssl.h>

#include "peer.h"
#include "server.h"

static struct ssl_ctx_st *ctx;
static SSL *ssl;

static void openssl_setup(const char *cert, const char *key, const char *tls)
{
	int version = strcmp(tls, "1.2") ? TLS1_3_VERSION : TLS1_2_VERSION;

	ctx = SSL_CTX_new(TLS_server_method());
	if (!ctx || SSL_CTX_use_certificate_chain_file(ctx, cert) != 1 ||
	    SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1 ||
	    !SSL_CTX_set_min_proto_version(ctx, version) || !SSL_CTX_set_max_proto_version(ctx, version))
		die("OpenSSL does not take %s and %s", cert, key);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
}

static void openssl_open(void)
{
	ssl = SSL_new(ctx);
	if (!ssl)
		die("no memory");
	SSL_set_bio(ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
	SSL_set_accept_state(ssl);
}

static int openssl_step(void)
{
	int ret = SSL_do_handshake(ssl);

	if (ret != 1 && SSL_get_error(ssl, ret) != SSL_ERROR_WANT_READ)
		die("OpenSSL's server failed");
	return ret == 1;
}

static void openssl_close(void)
{
	SSL_free(ssl);
}

static void openssl_put(const struct flight *flight)
{
	if (flight->len && BIO_write(SSL_get_rbio(ssl), flight->data, flight->len) != (int)flight->len)
		die("no memory");
}

static void openssl_take(struct flight *flight)
{
	int got = BIO_read(SSL_get_wbio(ssl), flight->data, sizeof(flight->data));

	flight->len = got > 0 ? got : 0;
}

const struct server server_openssl = {
	"openssl", openssl_setup, openssl_open, openssl_step, openssl_close, openssl_put, openssl_take,
};
