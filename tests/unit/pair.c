// SPDX-License-Identifier: GPL-2.0
/* See pair.h. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <gnutls/crypto.h>

#include "itlsd/profile.h"
#include "pair.h"
#include "pki.h"
#include "tap.h"

#define STEPS_AFTER_FAILURE	20	/* that the peer has to hear of it */

/* Life */

void pair_open(struct pair *p)
{
	int fds[2];

	memset(p, 0, sizeof(*p));
	must(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), "socketpair");
	p->engine_fd = fds[0];
	p->peer_fd = fds[1];
	p->engine_err = 1;
	p->peer_err = 1;
}

void pair_serve(struct pair *p, const struct profiles *set, const char *name)
{
	struct profile *profile = profiles_get(set, name);

	must(profile, name);
	pair_open(p);
	must(!handshake_new(&p->engine, profile, p->engine_fd), "handshake_new");
	profile_put(profile);
}

int pair_connect(struct pair *p, const struct profiles *set, const char *name, const struct client_request *req)
{
	struct profile *profile = profiles_get_client(set, name);
	int err;

	must(profile, name);
	pair_open(p);
	err = handshake_new_client(&p->engine, profile, p->engine_fd, req);
	profile_put(profile);
	return err;
}

void pair_close(struct pair *p)
{
	handshake_free(p->engine);
	if (p->peer)
		gnutls_deinit(p->peer);
	if (p->creds)
		gnutls_certificate_free_credentials(p->creds);
	close(p->engine_fd);
	if (p->peer_fd >= 0)
		close(p->peer_fd);
}

/* The peer's own view of the traffic secrets. */
static int keep_secrets(gnutls_session_t session, gnutls_record_encryption_level_t level, const void *read,
			const void *write, size_t size)
{
	struct pair *p = gnutls_session_get_ptr(session);

	if (level != GNUTLS_ENCRYPTION_LEVEL_APPLICATION)
		return 0;
	if (write)
		memcpy(p->secrets.tx, write, size);
	if (read)
		memcpy(p->secrets.rx, read, size);
	p->secrets.len = size;
	return 0;
}

void pair_peer(struct pair *p, unsigned int flags, const char *priority, gnutls_certificate_credentials_t creds)
{
	must(!gnutls_init(&p->peer, flags | GNUTLS_NONBLOCK), "peer");
	must(!gnutls_priority_set_direct(p->peer, priority, NULL), priority);
	if (!creds)
		gnutls_certificate_allocate_credentials(&creds);
	p->creds = creds;
	gnutls_credentials_set(p->peer, GNUTLS_CRD_CERTIFICATE, creds);
	gnutls_transport_set_int(p->peer, p->peer_fd);
	gnutls_session_set_ptr(p->peer, p);
	gnutls_handshake_set_secret_function(p->peer, keep_secrets);
}

/* Steps */

void pair_step_engine(struct pair *p)
{
	int err;

	if (p->engine_err != 1)
		return;
	err = handshake_step(p->engine);
	if (err != -EAGAIN)
		p->engine_err = err;
}

void pair_step_peer(struct pair *p)
{
	int ret;

	if (!p->peer || p->peer_err != 1)
		return;
	ret = gnutls_handshake(p->peer);
	if (ret == 0 || gnutls_error_is_fatal(ret))
		p->peer_err = ret;
	if (p->peer_err < 0 && ret != GNUTLS_E_FATAL_ALERT_RECEIVED)
		gnutls_alert_send_appropriate(p->peer, ret);
}

int pair_run(struct pair *p)
{
	int i, late = 0;

	for (i = 0; i < PAIR_STEPS && late < STEPS_AFTER_FAILURE; i++) {
		if (p->engine_err != 1 && (!p->peer || p->peer_err != 1))
			break;
		pair_step_engine(p);
		pair_step_peer(p);
		late += p->engine_err < 0;
	}
	return p->engine_err == 1 ? -EAGAIN : p->engine_err;
}

int pair_run_engine(struct pair *p)
{
	int i;

	for (i = 0; i < 64 && p->engine_err == 1; i++)
		pair_step_engine(p);
	return p->engine_err == 1 ? -EAGAIN : p->engine_err;
}

/* Results */

int pair_alert(struct pair *p)
{
	int ret = p->peer_err;
	char buf[16];

	if (ret == 0)
		ret = gnutls_record_recv(p->peer, buf, sizeof(buf));
	return ret == GNUTLS_E_FATAL_ALERT_RECEIVED ? (int)gnutls_alert_get(p->peer) : -1;
}

bool pair_secrets_agree(const struct pair *p)
{
	const struct handshake_result *r = handshake_result(p->engine);
	size_t len = r->tx.info.cipher_type == TLS_CIPHER_AES_GCM_256 ? 48 : 32;

	if (r->tx.info.version == TLS_1_2_VERSION)
		return !r->secret_len && !p->secrets.len;
	return r->secret_len == len && p->secrets.len == len && !memcmp(r->tx_secret, p->secrets.rx, len) &&
	       !memcmp(r->rx_secret, p->secrets.tx, len) && memcmp(r->rx_secret, r->tx_secret, len);
}

bool pair_describes(const struct pair *p, const struct pki_cert *cert, const char *subject)
{
	const struct handshake_result *r = handshake_result(p->engine);
	uint8_t digest[ITLS_DIGEST_LEN];
	gnutls_datum_t der;

	printf("# subject: %s\n", r->peer_subject ? r->peer_subject : "none");
	if (!subject)
		return !r->peer_digest && !r->peer_subject;
	gnutls_x509_crt_export2(cert->crt, GNUTLS_X509_FMT_DER, &der);
	gnutls_hash_fast(GNUTLS_DIG_SHA256, der.data, der.size, digest);
	gnutls_free(der.data);
	return r->peer_digest && !memcmp(r->peer_digest, digest, sizeof(digest)) && r->peer_subject &&
	       !strcmp(r->peer_subject, subject);
}
