/* SPDX-License-Identifier: GPL-2.0 */
/* Whom to trust: authorities, and what they have revoked.  Never changes once made. */
#ifndef ITLSD_TRUST_H
#define ITLSD_TRUST_H

#include <stddef.h>

#include <gnutls/x509.h>

struct config;
struct config_value;
struct trust;

/*
 * @ca: a file of authorities, text NULL: those of the system.  @crl: a file of
 * revocation lists, text NULL: none.  Mistakes go to the messages of @cfg.
 * 0 or -errno.
 */
int trust_load(struct config *cfg, const struct config_value *ca, const struct config_value *crl,
	       struct trust **out);
/* Authorities that a program brought along, in bounded time.  -EINVAL: not fit for use. */
int trust_parse(const void *pem, size_t len, struct trust **out);

struct trust *trust_ref(struct trust *trust);
void trust_put(struct trust *trust);

unsigned int trust_count(const struct trust *trust);
gnutls_x509_trust_list_t trust_list(const struct trust *trust);
/* Lets a server name its authorities to clients.  0 or -ENOMEM. */
int trust_announce(const struct trust *trust, gnutls_certificate_credentials_t creds);

#endif
