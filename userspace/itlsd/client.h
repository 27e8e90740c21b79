/* SPDX-License-Identifier: GPL-2.0 */
/* What a client's handshake needs beside its profile: whom it wants, what the program brought along. */
#ifndef ITLSD_CLIENT_H
#define ITLSD_CLIENT_H

#include <stdbool.h>
#include <stddef.h>

#include <gnutls/gnutls.h>
#include <linux/itls.h>

struct profile;
struct trust;

/* As it came from the program; data NULL: the profile's. */
struct client_request {
	const char *server_name;	/* DNS name or IP address */
	gnutls_datum_t ca;
	gnutls_datum_t cert;
	gnutls_datum_t key;
	gnutls_datum_t session;		/* to resume, or none */
};

/* Embedded by its owner, zeroed before. */
struct client {
	char name[ITLS_SNI_MAX + 1];	/* without the dot of a root behind it */
	bool is_address;
	struct trust *trust;		/* NULL: the profile's */
	gnutls_certificate_credentials_t creds;	/* NULL: the profile's */
};

/* In bounded time.  -EINVAL: something in @req is not fit for use. */
int client_prepare(struct client *client, const struct client_request *req);
/* Sets up a session that has its profile's settings.  0 or a GnuTLS error. */
int client_apply(const struct client *client, gnutls_session_t session);
void client_clear(struct client *client);

#endif
