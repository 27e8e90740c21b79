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
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include "config.h"
#include "priority.h"
#include "profile.h"

#define PROFILE_FILE_MAX	(1024 * 1024)
#define PROFILE_CHAIN_MAX	32

struct profile {
	unsigned int refs;
	char *name;
	gnutls_certificate_credentials_t creds;
	gnutls_priority_t prio;
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

static void datum_wipe(gnutls_datum_t *datum)
{
	if (datum->data)
		gnutls_memset(datum->data, 0, datum->size);
	gnutls_free(datum->data);
	datum->data = NULL;
	datum->size = 0;
}

static int datum_copy(gnutls_datum_t *dst, const void *src, size_t len)
{
	dst->data = gnutls_malloc(len ? len : 1);
	if (!dst->data)
		return -ENOMEM;
	memcpy(dst->data, src, len);
	dst->size = len;
	return 0;
}

/* Files */

static const char *file_advice(int err)
{
	switch (-err) {
	case ENOENT:
	case ENOTDIR:
		return "correct the path or create the file";
	case EACCES:
		return "let root read it";
	case EINVAL:
		return "name a regular file";
	case EFBIG:
		return "name a PEM file below 1 MiB";
	default:
		return "check the file";
	}
}

static int file_fill(int fd, gnutls_datum_t *out)
{
	ssize_t got;

	out->data = gnutls_malloc(PROFILE_FILE_MAX + 1);
	if (!out->data)
		return -ENOMEM;
	while ((got = read(fd, out->data + out->size, PROFILE_FILE_MAX - out->size)) > 0)
		out->size += got;
	if (got < 0)
		return -errno;
	out->data[out->size] = '\0';
	return 0;
}

/* @mode: what the file has for permissions, as far as they were found out. */
static int file_read(const char *path, gnutls_datum_t *out, mode_t *mode)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st = { 0 };
	int err = 0;

	memset(out, 0, sizeof(*out));
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		err = -errno;
	else if (!S_ISREG(st.st_mode))
		err = -EINVAL;
	else if (st.st_size >= PROFILE_FILE_MAX)
		err = -EFBIG;
	else
		err = file_fill(fd, out);
	close(fd);
	*mode = st.st_mode;
	if (err)
		datum_wipe(out);
	return err;
}

static int load_file(struct config *cfg, const struct config_value *value, const char *what,
		     gnutls_datum_t *out, mode_t *mode)
{
	int err = file_read(value->text, out, mode);

	if (err)
		config_error(cfg, value->line, "cannot read the %s '%s': %s: %s", what, value->text,
			     strerror(-err), file_advice(err));
	return err;
}

/* Certificate and key */

static int check_certificate(struct config *cfg, const struct config_value *value,
			     const gnutls_datum_t *pem)
{
	gnutls_x509_crt_t chain[PROFILE_CHAIN_MAX];
	unsigned int i, count = PROFILE_CHAIN_MAX;
	time_t now = time(NULL);
	int ret;

	ret = gnutls_x509_crt_list_import(chain, &count, pem, GNUTLS_X509_FMT_PEM,
					  GNUTLS_X509_CRT_LIST_IMPORT_FAIL_IF_EXCEED);
	if (ret < 0) {
		config_error(cfg, value->line, "'%s' is no PEM certificate chain: %s: check the file",
			     value->text, gnutls_strerror(ret));
		return -EINVAL;
	}
	if (gnutls_x509_crt_get_expiration_time(chain[0]) < now)
		config_warning(cfg, value->line, "certificate '%s' has expired: renew it", value->text);
	else if (gnutls_x509_crt_get_activation_time(chain[0]) > now)
		config_warning(cfg, value->line,
			       "certificate '%s' is not valid yet: check the clock, or wait", value->text);
	for (i = 0; i < count; i++)
		gnutls_x509_crt_deinit(chain[i]);
	return 0;
}

static int check_key(struct config *cfg, const struct config_value *value, const gnutls_datum_t *pem,
		     mode_t mode)
{
	gnutls_x509_privkey_t key;
	int ret;

	if (mode & 0007) {
		config_error(cfg, value->line,
			     "every user may open the key '%s': run 'chmod o-rwx %s', and replace the key if others may have read it",
			     value->text, value->text);
		return -EINVAL;
	}
	ret = gnutls_x509_privkey_init(&key);
	if (ret < 0)
		return -ENOMEM;
	ret = gnutls_x509_privkey_import2(key, pem, GNUTLS_X509_FMT_PEM, NULL, 0);
	gnutls_x509_privkey_deinit(key);
	if (ret == GNUTLS_E_DECRYPTION_FAILED)
		config_error(cfg, value->line, "key '%s' is encrypted: store it without a passphrase",
			     value->text);
	else if (ret < 0)
		config_error(cfg, value->line, "'%s' is no PEM private key: %s: check the file",
			     value->text, gnutls_strerror(ret));
	return ret < 0 ? -EINVAL : 0;
}

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
	err = load_file(cfg, &section->certificate, "certificate", &cert, &mode);
	if (!err)
		err = check_certificate(cfg, &section->certificate, &cert);
	key_err = load_file(cfg, &section->key, "key", &key, &mode);
	if (!key_err)
		key_err = check_key(cfg, &section->key, &key, mode);
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

static int build_ticket_key(const struct config_profile *section, const struct profiles *old,
			    struct profile *profile)
{
	struct profile *before;
	int err = 0;

	if (!section->tickets)
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
	if (profile->prio)
		gnutls_priority_deinit(profile->prio);
	if (profile->creds)
		gnutls_certificate_free_credentials(profile->creds);
	free(profile);
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

int profile_apply(const struct profile *profile, gnutls_session_t session)
{
	int ret = gnutls_priority_set(session, profile->prio);

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
