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
 * Threads share them, so the count is atomic.  Private keys stay inside GnuTLS
 * credentials, in memory that main() locked; file contents are wiped.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <gnutls/gnutls.h>

#include "config.h"
#include "pem.h"
#include "priority.h"
#include "profile.h"
#include "trust.h"

/* TLS extension numbers (RFC 6066, 4 and RFC 8449, 4) */
#define EXT_MAX_FRAGMENT_LENGTH	1
#define EXT_RECORD_SIZE_LIMIT	28

struct profile {
	atomic_uint refs;
	char *name;
	gnutls_certificate_credentials_t creds;
	gnutls_priority_t prio;
	struct trust *trust;
	bool client;
	bool tickets;
	bool everybody;				/* may use it */
	enum config_auth client_auth;
	gnutls_datum_t ticket_key;		/* data NULL: no tickets */
	gnutls_datum_t *alpn;
	unsigned int n_alpn;
	uid_t *owners;
	size_t n_owners;
	uint64_t rekey_records;
	uint64_t rekey_bytes;
	uint8_t record_sizing;			/* enum itls_record_sizing */
};

struct profiles {
	unsigned int count;
	unsigned int n_servers;
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

	if (gnutls_certificate_allocate_credentials(&profile->creds) < 0)
		return -ENOMEM;
	if (section->client && !section->certificate.line && !section->key.line)
		return 0;
	if (!section->certificate.text || !section->key.text)
		return -EINVAL; /* the parser said so */
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
	/* Nobody wrote the default client: it only repeats what was said of a profile. */
	if (err == -EINVAL && (line || !cfg->n_errors))
		config_error(cfg, line, "%s", why);
	return err;
}

/* The system's authorities are many: those who want just them share one copy. */
static int build_trust(struct config *cfg, const struct config_profile *section, struct trust **system,
		       struct profile *profile)
{
	bool shared = !section->ca.text && !section->crl.text;
	int err;

	if (shared && *system) {
		profile->trust = trust_ref(*system);
		return 0;
	}
	err = trust_load(cfg, &section->ca, &section->crl, &profile->trust);
	if (!err && shared)
		*system = trust_ref(profile->trust);
	return err;
}

static int build_auth(struct config *cfg, const struct config_profile *section, struct trust **system,
		      struct profile *profile)
{
	int err;

	profile->client_auth = section->client_auth;
	if (section->client)
		return build_trust(cfg, section, system, profile);
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
	if (!profile->tickets || profile->client)
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

static struct profile *profile_new(const struct config_profile *section)
{
	struct profile *profile = calloc(1, sizeof(*profile));

	if (!profile)
		return NULL;
	profile->refs = 1;
	profile->client = section->client;
	profile->tickets = section->tickets && section->client_auth == CONFIG_AUTH_NONE;
	profile->everybody = section->client && !section->owners_value.line && !section->certificate.line;
	profile->rekey_records = section->rekey_records;
	profile->rekey_bytes = section->rekey_bytes;
	profile->record_sizing = section->record_sizing;
	return profile;
}

/* What profiles of one configuration are built from. */
struct build {
	struct config *cfg;
	const struct carry *carry;
	const struct profiles *old;
	struct trust *system;
};

/* Goes through all parts, so that all mistakes are told at once. */
static int profile_build(struct build *build, const struct config_profile *section, struct profile **out)
{
	struct profile *profile = profile_new(section);
	int err, part;

	if (!profile)
		return -ENOMEM;
	err = build_lists(section, profile);
	part = build_credentials(build->cfg, section, profile);
	err = err ? err : part;
	part = build_priority(build->cfg, section, build->carry, profile);
	err = err ? err : part;
	part = build_auth(build->cfg, section, &build->system, profile);
	err = err ? err : part;
	part = build_ticket_key(section, build->old, profile);
	err = err ? err : part;
	if (err) {
		profile_put(profile);
		return err;
	}
	*out = profile;
	return 0;
}

static int build_list(struct build *build, const struct config_profile *section, struct profiles *set)
{
	int err, ret = 0;

	for (; section; section = section->next) {
		err = profile_build(build, section, &set->profile[set->count]);
		if (err)
			ret = err;
		else
			set->count++;
	}
	return ret;
}

static unsigned int list_length(const struct config_profile *section)
{
	unsigned int n = 0;

	for (; section; section = section->next)
		n++;
	return n;
}

int profiles_build(struct config *cfg, const struct carry *carry, const struct profiles *old,
		   struct profiles **set)
{
	struct build build = { .cfg = cfg, .carry = carry, .old = old };
	unsigned int n = list_length(cfg->profiles) + list_length(cfg->clients);
	struct profiles *new = calloc(1, sizeof(*new) + n * sizeof(new->profile[0]));
	int part, ret;

	if (!new)
		return -ENOMEM;
	ret = build_list(&build, cfg->profiles, new);
	new->n_servers = new->count;
	part = build_list(&build, cfg->clients, new);
	ret = ret ? ret : part;
	trust_put(build.system);
	if (!ret && cfg->n_errors)
		ret = -EINVAL;
	if (ret) {
		profiles_free(new);
		return ret;
	}
	*set = new;
	return 0;
}

struct profiles *profiles_copy(const struct profiles *set)
{
	struct profiles *copy = calloc(1, sizeof(*copy) + set->count * sizeof(copy->profile[0]));
	unsigned int i;

	if (!copy)
		return NULL;
	copy->count = set->count;
	copy->n_servers = set->n_servers;
	for (i = 0; i < set->count; i++)
		copy->profile[i] = profile_ref(set->profile[i]);
	return copy;
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
	return set->n_servers;
}

struct profile *profile_ref(struct profile *profile)
{
	profile->refs++;
	return profile;
}

static struct profile *find(const struct profiles *set, const char *name, bool client)
{
	unsigned int i;

	for (i = 0; i < set->count; i++)
		if (set->profile[i]->client == client && !strcmp(set->profile[i]->name, name))
			return profile_ref(set->profile[i]);
	return NULL;
}

struct profile *profiles_get(const struct profiles *set, const char *name)
{
	return find(set, name, false);
}

struct profile *profiles_get_client(const struct profiles *set, const char *name)
{
	return find(set, name, true);
}

void profile_put(struct profile *profile)
{
	unsigned int i;

	if (atomic_fetch_sub(&profile->refs, 1) != 1)
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

const char *profile_name(const struct profile *profile)
{
	return profile->name;
}

bool profile_is_client(const struct profile *profile)
{
	return profile->client;
}

bool profile_has_tickets(const struct profile *profile)
{
	return profile->tickets;
}

bool profile_asks(const struct profile *profile)
{
	return profile->client || profile->client_auth != CONFIG_AUTH_NONE;
}

bool profile_insists(const struct profile *profile)
{
	return profile->client || profile->client_auth == CONFIG_AUTH_REQUIRE;
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

uint8_t profile_record_sizing(const struct profile *profile)
{
	return profile->record_sizing;
}

bool profile_allows(const struct profile *profile, uid_t uid)
{
	size_t i;

	if (uid == 0 || profile->everybody)
		return true;
	for (i = 0; i < profile->n_owners; i++)
		if (profile->owners[i] == uid)
			return true;
	return false;
}

/* Extensions that would bind us to short records */

static int ignore_extension(gnutls_session_t session, const unsigned char *data, size_t len)
{
	(void)session;
	(void)data;
	(void)len;
	return 0;
}

static int omit_extension(gnutls_session_t session, gnutls_buffer_t data)
{
	(void)session;
	(void)data;
	return 0;
}

/*
 * The kernel sends records up to the full size.  Both extensions are offers of
 * the client that a server may leave unanswered, and unanswered they do not
 * bind.  GnuTLS has no switch for them, but lets them be replaced; except in
 * clients, where it makes the offer all the same (for records of full size).
 * What a server answers with then is looked at when the handshake is over.
 */
static int leave_short_records(gnutls_session_t session)
{
	static const int ids[] = { EXT_MAX_FRAGMENT_LENGTH, EXT_RECORD_SIZE_LIMIT };
	unsigned int i;
	int ret = 0;

	for (i = 0; !ret && i < sizeof(ids) / sizeof(ids[0]); i++)
		ret = gnutls_session_ext_register(session, "short records", ids[i], GNUTLS_EXT_TLS,
						  ignore_extension, omit_extension, NULL, NULL, NULL,
						  GNUTLS_EXT_FLAG_OVERRIDE_INTERNAL | GNUTLS_EXT_FLAG_TLS |
						  GNUTLS_EXT_FLAG_CLIENT_HELLO);
	return ret;
}

/* Sessions */

static void apply_auth(const struct profile *profile, gnutls_session_t session)
{
	static const gnutls_certificate_request_t requests[] = {
		[CONFIG_AUTH_NONE] = GNUTLS_CERT_IGNORE,
		[CONFIG_AUTH_REQUEST] = GNUTLS_CERT_REQUEST,
		[CONFIG_AUTH_REQUIRE] = GNUTLS_CERT_REQUIRE,
	};

	gnutls_certificate_server_set_request(session, requests[profile->client_auth]);
}

/* RFC 7301, 3.2: a server refuses a client that names only other protocols. */
static int apply_alpn(const struct profile *profile, gnutls_session_t session)
{
	unsigned int flags = profile->client ? 0 : GNUTLS_ALPN_MANDATORY | GNUTLS_ALPN_SERVER_PRECEDENCE;

	return profile->n_alpn ? gnutls_alpn_set_protocols(session, profile->alpn, profile->n_alpn, flags) : 0;
}

int profile_apply(const struct profile *profile, gnutls_session_t session)
{
	int ret = gnutls_priority_set(session, profile->prio);

	if (!profile->client)
		apply_auth(profile, session);
	if (!ret && !profile->client)
		ret = leave_short_records(session);
	if (!ret)
		ret = gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, profile->creds);
	if (!ret)
		ret = apply_alpn(profile, session);
	if (!ret && profile->ticket_key.data)
		ret = gnutls_session_ticket_enable_server(session, &profile->ticket_key);
	return ret;
}
