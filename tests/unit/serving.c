// SPDX-License-Identifier: GPL-2.0
/* See serving.h. */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "ground.h"
#include "pki.h"
#include "serving.h"
#include "tap.h"
#include "wire.h"

void serving_put(const char *cert_name, const char *key_name)
{
	struct pki_cert cert;

	pki_make(&cert, &(struct pki_options){ .name = "localhost" });
	pki_put_chain(ground_dir, cert_name, (const struct pki_cert *[]){ &cert }, 1);
	pki_put_key(ground_dir, key_name, &cert);
	pki_free(&cert);
}

struct profiles *serving_profiles_old(const char *options, const struct profiles *old, char *message)
{
	char text[1024];

	snprintf(text, sizeof(text), "[profile p]\ncertificate = cert.pem\n%s%s",
		 strstr(options, "key =") ? "" : "key = key.pem\n", options);
	return ground_profiles(text, old, message);
}

struct profiles *serving_profiles(const char *options)
{
	return serving_profiles_old(options, NULL, NULL);
}

void serving_client(struct pair *p, const char *priority, const char *alpn, const char *sni,
		    const gnutls_datum_t *session)
{
	gnutls_datum_t name = { (void *)alpn, alpn ? strlen(alpn) : 0 };

	pair_peer(p, GNUTLS_CLIENT, priority, NULL);
	if (alpn)
		gnutls_alpn_set_protocols(p->peer, &name, 1, 0);
	if (sni)
		gnutls_server_name_set(p->peer, GNUTLS_NAME_DNS, sni, strlen(sni));
	if (session)
		gnutls_session_set_data(p->peer, session->data, session->size);
}

void serving_keys_work(struct pair *p, const char *name)
{
	const struct handshake_result *r = handshake_result(p->engine);
	static uint8_t big[16384], got[WIRE_RECORD_MAX], own[WIRE_RECORD_MAX];
	struct wire tx, rx;
	ssize_t n, len = -1;
	bool good;

	memset(big, 'x', sizeof(big));
	wire_open(&rx, &r->rx);
	wire_open(&tx, &r->tx);
	if (gnutls_record_send(p->peer, "hello", 5) == 5)
		len = wire_read(p->engine_fd, got);
	check(len > 0 && len == (ssize_t)wire_seal(&rx, (const uint8_t *)"hello", 5, own) && !memcmp(got, own, len),
	      "%s: the key for receiving makes the client's first record, byte for byte", name);
	rx.seq--;
	good = len > 0 && wire_unseal(&rx, WIRE_DATA, got, len, own) == 5 && !memcmp(own, "hello", 5);
	check(good, "%s: the key for receiving opens the client's first record", name);
	len = wire_seal(&tx, big, sizeof(big), own);
	good = send(p->engine_fd, own, len, MSG_NOSIGNAL) == len;
	do {
		n = gnutls_record_recv(p->peer, got, sizeof(big));
	} while (good && n == GNUTLS_E_AGAIN && recv(p->peer_fd, got, 1, MSG_PEEK) > 0);
	good = good && n == sizeof(big) && !memcmp(got, big, n);
	check(good, "%s: the client opens a full record under the key for sending", name);
	wire_close(&tx);
	wire_close(&rx);
}
