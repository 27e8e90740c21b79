// SPDX-License-Identifier: GPL-2.0
/*
 * Profiles: everything a handshake needs, checked and loaded once.
 *
 * A profile is built from one section of the configuration and then never
 * changes; a reload builds a new set beside the old one.  Only the ticket key
 * goes from the old to the new: clients keep resuming over a reload.  Each
 * profile has its own, so a ticket of one is worth nothing at another, whose
 * owner may be another user.
 *
 * One thread, so the count is plain.  Private keys stay inside GnuTLS
 * credentials, in memory that main() locked; file contents are wiped.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <gnutls/gnutls.h>

#include "config.h"
#include "pem.h"
#include "priority.h"
#include "profile.h"
#include "trust.h"

struct profile {
	unsigned int refs;
	char *name;
	gnutls_certificate_credentials_t creds;
	gnutls_priority_t prio;
	struct trust *trust;
	enum config_auth client_auth;
	gnutls_datum_t ticket_key;		/* data NULL: no tickets */
	gnutls_datum_t *alpn;
	unsigned int n_alpn;
	uid_t *owners;
	size_t n_owners;
	uint64_t rekey_records;
	uint64_t rekey_bytes;
};

struct profiles {
	unsigned int count;
	struct profile *profile[];
};

/* Certificate and key */

static int join_pair(struct config *cfg, const struct config_profile *section, struct profile *profile,
		     const gnutls_datum_t *cert, const gnutls_datum_t *key)
{
	int ret = gnutls_certificate_set_x509_key_mem(profile->creds, cert, key, GNUTLS_X509_FMT_PEM);

	if (ret == GNUTLS_E_CERTIFICATE_KEY_MISMATCH)
		config_error(cfg, section->key.line,
			     "key '%s' does not belong to certificate '%s': name the pair that was issued together",
			     section->key.text, section->certificate.text);
	else if (ret == GNUTLS_E_CERTIFICATE_LIST_UNSORTED)
		config_error(cfg, section->certificate.line,
			     "chain '%s' is out of order: server certificate first, then its issuers",
			     section->certificate.text);
	else if (ret < 0)
		config_error(cfg, section->certificate.line, "cannot use certificate '%s' and key '%s': %s: check both files",
			     section->certificate.text, section->key.text, gnutls_strerror(ret));
	return ret < 0 ? -EINVAL : 0;
}

static int build_credentials(struct config *cfg, const struct config_profile *section,
			     struct profile *profile)
{
	gnutls_datum_t cert = { 0 }, key = { 0 };
	mode_t mode = 0;
	int err, key_err;

	if (!section->certificate.text || !section->key.text)
		return -EINVAL; /* the parser said so */
	if (gnutls_certificate_allocate_credentials(&profile->creds) < 0)
		return -ENOMEM;
	err = pem_load(cfg, &section->certificate, "certificate", &cert, &mode);
	if (!err)
		err = pem_check_chain(cfg, &section->certificate, &cert);
	key_err = pem_load(cfg, &section->key, "key", &key, &mode);
	if (!key_err)
		key_err = pem_check_key(cfg, &section->key, &key, mode);
	if (!err && !key_err)
		err = join_pair(cfg, section, profile, &cert, &key);
	datum_wipe(&key);
	datum_wipe(&cert);
	return err ? err : key_err;
}

/* The rest */

static int build_priority(struct config *cfg, const struct config_profile *section,
			  const struct carry *carry, struct profile *profile)
{
	const char *text = section->priority.text ? section->priority.text : PRIORITY_DEFAULT;
	int line = section->priority.line ? section->priority.line : section->line;
	char why[512];
	int err;

	err = priority_build(text, section->min_version == CONFIG_TLS_1_3, carry, &profile->prio, why,
			     sizeof(why));
	if (err == -EINVAL)
		config_error(cfg, line, "%s", why);
	return err;
}

static int build_auth(struct config *cfg, const struct config_profile *section, struct profile *profile)
{
	int err;

	profile->client_auth = section->client_auth;
	if (section->client_auth == CONFIG_AUTH_NONE)
		return 0;
	if (!section->client_ca.text)
		return -EINVAL; /* the parser said so */
	err = trust_load(cfg, &section->client_ca, &section->crl, &profile->trust);
	if (!err && profile->creds)
		err = trust_announce(profile->trust, profile->creds);
	return err;
}

static int build_ticket_key(const struct config_profile *section, const struct profiles *old,
			    struct profile *profile)
{
	struct profile *before;
	int err = 0;

	/* A resumed session would come without the certificate that was verified. */
	if (!section->tickets || section->client_auth != CONFIG_AUTH_NONE)
		return 0;
	before = old ? profiles_get(old, section->name) : NULL;
	if (before && before->ticket_key.data)
		err = datum_copy(&profile->ticket_key, before->ticket_key.data, before->ticket_key.size);
	else if (gnutls_session_ticket_key_generate(&profile->ticket_key) < 0)
		err = -ENOMEM;
	if (before)
		profile_put(before);
	return err;
}

static int build_lists(const struct config_profile *section, struct profile *profile)
{
	size_t i;

	profile->alpn = calloc(section->n_alpn + 1, sizeof(*profile->alpn));
	profile->owners = calloc(section->n_owners + 1, sizeof(*profile->owners));
	profile->name = strdup(section->name);
	if (!profile->alpn || !profile->owners || !profile->name)
		return -ENOMEM;
	for (i = 0; i < section->n_alpn; i++) {
		if (datum_copy(&profile->alpn[i], section->alpn[i], strlen(section->alpn[i])))
			return -ENOMEM;
		profile->n_alpn++;
	}
	for (i = 0; i < section->n_owners; i++)
		profile->owners[i] = section->owners[i];
	profile->n_owners = section->n_owners;
	return 0;
}

/* Goes through all parts, so that all mistakes are told at once. */
static int profile_build(struct config *cfg, const struct config_profile *section,
			 const struct carry *carry, const struct profiles *old, struct profile **out)
{
	struct profile *profile = calloc(1, sizeof(*profile));
	int err, part;

	if (!profile)
		return -ENOMEM;
	profile->refs = 1;
	profile->rekey_records = section->rekey_records;
	profile->rekey_bytes = section->rekey_bytes;
	err = build_lists(section, profile);
	part = build_credentials(cfg, section, profile);
	err = err ? err : part;
	part = build_priority(cfg, section, carry, profile);
	err = err ? err : part;
	part = build_auth(cfg, section, profile);
	err = err ? err : part;
	part = build_ticket_key(section, old, profile);
	err = err ? err : part;
	if (err) {
		profile_put(profile);
		return err;
	}
	*out = profile;
	return 0;
}

int profiles_build(struct config *cfg, const struct carry *carry, const struct profiles *old,
		   struct profiles **set)
{
	const struct config_profile *section;
	struct profiles *new;
	unsigned int n = 0;
	int err, ret = 0;

	for (section = cfg->profiles; section; section = section->next)
		n++;
	new = calloc(1, sizeof(*new) + n * sizeof(new->profile[0]));
	if (!new)
		return -ENOMEM;
	for (section = cfg->profiles; section; section = section->next) {
		err = profile_build(cfg, section, carry, old, &new->profile[new->count]);
		if (err)
			ret = err;
		else
			new->count++;
	}
	if (!ret && cfg->n_errors)
		ret = -EINVAL;
	if (ret) {
		profiles_free(new);
		return ret;
	}
	*set = new;
	return 0;
}

void profiles_free(struct profiles *set)
{
	unsigned int i;

	if (!set)
		return;
	for (i = 0; i < set->count; i++)
		profile_put(set->profile[i]);
	free(set);
}

unsigned int profiles_count(const struct profiles *set)
{
	return set->count;
}

struct profile *profile_ref(struct profile *profile)
{
	profile->refs++;
	return profile;
}

struct profile *profiles_get(const struct profiles *set, const char *name)
{
	unsigned int i;

	for (i = 0; i < set->count; i++) {
		if (strcmp(set->profile[i]->name, name))
			continue;
		return profile_ref(set->profile[i]);
	}
	return NULL;
}

void profile_put(struct profile *profile)
{
	unsigned int i;

	if (--profile->refs)
		return;
	for (i = 0; i < profile->n_alpn; i++)
		gnutls_free(profile->alpn[i].data);
	free(profile->alpn);
	free(profile->owners);
	free(profile->name);
	datum_wipe(&profile->ticket_key);
	trust_put(profile->trust);
	if (profile->prio)
		gnutls_priority_deinit(profile->prio);
	if (profile->creds)
		gnutls_certificate_free_credentials(profile->creds);
	free(profile);
}

bool profile_asks(const struct profile *profile)
{
	return profile->client_auth != CONFIG_AUTH_NONE;
}

bool profile_insists(const struct profile *profile)
{
	return profile->client_auth == CONFIG_AUTH_REQUIRE;
}

const struct trust *profile_trust(const struct profile *profile)
{
	return profile->trust;
}

void profile_rekey(const struct profile *profile, uint64_t *records, uint64_t *bytes)
{
	*records = profile->rekey_records;
	*bytes = profile->rekey_bytes;
}

bool profile_allows(const struct profile *profile, uid_t uid)
{
	size_t i;

	if (uid == 0)
		return true;
	for (i = 0; i < profile->n_owners; i++)
		if (profile->owners[i] == uid)
			return true;
	return false;
}

static void apply_auth(const struct profile *profile, gnutls_session_t session)
{
	static const gnutls_certificate_request_t requests[] = {
		[CONFIG_AUTH_NONE] = GNUTLS_CERT_IGNORE,
		[CONFIG_AUTH_REQUEST] = GNUTLS_CERT_REQUEST,
		[CONFIG_AUTH_REQUIRE] = GNUTLS_CERT_REQUIRE,
	};

	gnutls_certificate_server_set_request(session, requests[profile->client_auth]);
}

int profile_apply(const struct profile *profile, gnutls_session_t session)
{
	int ret = gnutls_priority_set(session, profile->prio);

	apply_auth(profile, session);
	if (!ret)
		ret = gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, profile->creds);
	/* RFC 7301, 3.2: a client that names only other protocols is refused. */
	if (!ret && profile->n_alpn)
		ret = gnutls_alpn_set_protocols(session, profile->alpn, profile->n_alpn,
						GNUTLS_ALPN_MANDATORY | GNUTLS_ALPN_SERVER_PRECEDENCE);
	if (!ret && profile->ticket_key.data)
		ret = gnutls_session_ticket_enable_server(session, &profile->ticket_key);
	return ret;
}
