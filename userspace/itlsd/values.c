// SPDX-License-Identifier: GPL-2.0
/*
 * What the values of itlsd.conf(5) mean: numbers, lists, users, paths.  Reads
 * the texts that config.c has collected; nothing here looks into a file.
 */
#define _GNU_SOURCE 1
#include <ctype.h>
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/itls.h>

#include "config.h"
#include "log.h"
#include "values.h"

#define VALUES_SEPARATORS ", \t"

/* RFC 8446, 5.5: AES-GCM carries 2^24.5 records of full size under one key. */
#define VALUES_RECORDS_MAX	16777216ULL
#define VALUES_BYTES_MAX	(VALUES_RECORDS_MAX << 14)

struct values {
	struct config *cfg;
	bool oom;
};

static char *values_copy(struct values *p, const char *text)
{
	char *copy = strdup(text);

	p->oom |= !copy;
	return copy;
}

/* Appends to an array of pointers or ids that grows by one; NULL: no memory. */
static void *values_grow(struct values *p, void **array, size_t *count, size_t size)
{
	void *grown = reallocarray(*array, *count + 1, size);

	if (!grown) {
		p->oom = true;
		return NULL;
	}
	*array = grown;
	return (char *)grown + size * (*count)++;
}

/* A path is relative to the directory of the configuration file. */
static void parse_path(struct values *p, struct config_value *value)
{
	const char *slash = strrchr(p->cfg->path, '/');
	char *joined;

	if (!value->text || value->text[0] == '/' || !slash)
		return;
	if (asprintf(&joined, "%.*s/%s", (int)(slash - p->cfg->path), p->cfg->path, value->text) < 0) {
		p->oom = true;
		return;
	}
	free(value->text);
	value->text = joined;
}

static bool parse_bool(struct values *p, const struct config_value *value, bool otherwise)
{
	if (!value->text)
		return otherwise;
	if (!strcmp(value->text, "yes") || !strcmp(value->text, "no"))
		return value->text[0] == 'y';
	config_error(p->cfg, value->line, "'%s' is neither 'yes' nor 'no': write one of them", value->text);
	return otherwise;
}

static void parse_version(struct values *p, struct config_profile *profile)
{
	const struct config_value *value = &profile->min_version_value;

	profile->min_version = CONFIG_TLS_1_2;
	if (!value->text || !strcmp(value->text, "1.2"))
		return;
	if (!strcmp(value->text, "1.3"))
		profile->min_version = CONFIG_TLS_1_3;
	else
		config_error(p->cfg, value->line, "TLS version '%s' is not offered: write 1.2 or 1.3",
			     value->text);
}

/* 0 for what is not a number up to @max, with K, M or G for powers of 1024. */
static uint64_t parse_count(const char *text, uint64_t max)
{
	static const char suffixes[] = "KMG";
	const char *suffix;
	uint64_t number;
	char *end;

	if (!isdigit((unsigned char)text[0]))
		return 0;
	errno = 0;
	number = strtoull(text, &end, 10);
	suffix = *end ? strchr(suffixes, *end) : NULL;
	if (errno || (*end && (!suffix || end[1])))
		return 0;
	for (; suffix && suffix >= suffixes && number <= max; suffix--)
		number *= 1024;
	return number <= max ? number : 0;
}

/* @most: @max as people write it. */
static void parse_limit(struct values *p, const struct config_value *value, const char *name, uint64_t max,
			const char *most, uint64_t *limit)
{
	if (!value->text)
		return;
	*limit = parse_count(value->text, max);
	if (!*limit)
		config_error(p->cfg, value->line, "%s '%s': write a number from 1 to %s; K, M and G stand for powers of 1024",
			     name, value->text, most);
}

static void parse_rekey(struct values *p, struct config_profile *profile)
{
	parse_limit(p, &profile->rekey_records_value, "rekey_records", VALUES_RECORDS_MAX, "16M",
		    &profile->rekey_records);
	parse_limit(p, &profile->rekey_bytes_value, "rekey_bytes", VALUES_BYTES_MAX, "256G",
		    &profile->rekey_bytes);
}

static void parse_sizing(struct values *p, struct config_profile *profile)
{
	const struct config_value *value = &profile->record_sizing_value;

	profile->record_sizing = ITLS_RECORD_SIZING_LATENCY;
	if (!value->text || !strcmp(value->text, "latency"))
		return;
	if (!strcmp(value->text, "throughput"))
		profile->record_sizing = ITLS_RECORD_SIZING_THROUGHPUT;
	else
		config_error(p->cfg, value->line, "record_sizing '%s': write latency or throughput", value->text);
}

static void parse_alpn_name(struct values *p, struct config_profile *profile, const char *name)
{
	int line = profile->alpn_value.line;
	char **slot;
	size_t i;

	if (strlen(name) > ITLS_ALPN_MAX) {
		config_error(p->cfg, line, "protocol name longer than %d bytes: shorten it", ITLS_ALPN_MAX);
		return;
	}
	for (i = 0; i < profile->n_alpn; i++) {
		if (strcmp(profile->alpn[i], name))
			continue;
		config_error(p->cfg, line, "protocol '%s' is listed twice: remove one", name);
		return;
	}
	slot = values_grow(p, (void **)&profile->alpn, &profile->n_alpn, sizeof(*slot));
	if (slot)
		*slot = values_copy(p, name);
}

static bool parse_uid(const char *name, uid_t *uid)
{
	const struct passwd *pw;
	unsigned long number;
	char *end;

	if (isdigit((unsigned char)name[0])) {
		errno = 0;
		number = strtoul(name, &end, 10);
		*uid = number;
		return !errno && !*end && number < UINT32_MAX;
	}
	pw = getpwnam(name);
	if (pw)
		*uid = pw->pw_uid;
	return pw;
}

static void parse_owner(struct values *p, struct config_profile *profile, const char *name)
{
	uid_t *slot;
	uid_t uid;

	if (!parse_uid(name, &uid)) {
		config_error(p->cfg, profile->owners_value.line,
			     "no user '%s': create it, or write a user name or number that exists", name);
		return;
	}
	slot = values_grow(p, (void **)&profile->owners, &profile->n_owners, sizeof(*slot));
	if (slot)
		*slot = uid;
}

static void parse_list(struct values *p, struct config_profile *profile,
		       const struct config_value *value,
		       void (*each)(struct values *p, struct config_profile *profile,
				    const char *word))
{
	char *copy, *word, *save;

	if (!value->text)
		return;
	copy = values_copy(p, value->text);
	if (!copy)
		return;
	for (word = strtok_r(copy, VALUES_SEPARATORS, &save); word;
	     word = strtok_r(NULL, VALUES_SEPARATORS, &save))
		each(p, profile, word);
	free(copy);
}

/* Authorities that nobody is asked about: somebody believes that clients are verified. */
static void parse_auth_files(struct values *p, struct config_profile *profile)
{
	if (profile->client_auth != CONFIG_AUTH_NONE && !profile->client_ca.line)
		config_error(p->cfg, profile->client_auth_value.line,
			     "client_auth without authorities: add 'client_ca = FILE' (PEM), whose certificates clients may show");
	if (profile->client_auth == CONFIG_AUTH_NONE && profile->client_ca.line)
		config_error(p->cfg, profile->client_ca.line,
			     "client_ca without client_auth: add 'client_auth = require' or 'request', or remove it");
	if (profile->client_auth == CONFIG_AUTH_NONE && profile->crl.line)
		config_error(p->cfg, profile->crl.line,
			     "crl without client_auth: add 'client_auth = require' or 'request', or remove it");
	if (profile->client_auth != CONFIG_AUTH_NONE && profile->tickets_value.line && profile->tickets)
		config_warning(p->cfg, profile->tickets_value.line,
			       "no tickets are given with client_auth, as they would not keep the client's certificate: remove 'tickets = yes'");
}

static void parse_auth(struct values *p, struct config_profile *profile)
{
	static const char * const names[] = { "none", "request", "require" };
	const struct config_value *value = &profile->client_auth_value;
	size_t i;

	if (!value->text) {
		parse_auth_files(p, profile);
		return;
	}
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(value->text, names[i]))
			continue;
		profile->client_auth = (enum config_auth)i;
		parse_auth_files(p, profile);
		return;
	}
	config_error(p->cfg, value->line, "client_auth '%s': write none, request or require", value->text);
}

/* What servers and clients have in common. */
static void parse_common(struct values *p, struct config_profile *profile)
{
	parse_path(p, &profile->certificate);
	parse_path(p, &profile->key);
	parse_path(p, &profile->crl);
	parse_list(p, profile, &profile->alpn_value, parse_alpn_name);
	parse_list(p, profile, &profile->owners_value, parse_owner);
	profile->tickets = parse_bool(p, &profile->tickets_value, true);
	parse_version(p, profile);
	parse_rekey(p, profile);
	parse_sizing(p, profile);
}

static void parse_profile_values(struct values *p, struct config_profile *profile)
{
	if (!profile->certificate.line)
		config_error(p->cfg, profile->line,
			     "[profile %s] has no certificate: add 'certificate = FILE' (PEM, chain included)",
			     profile->name);
	if (!profile->key.line)
		config_error(p->cfg, profile->line, "[profile %s] has no key: add 'key = FILE' (PEM)",
			     profile->name);
	parse_path(p, &profile->client_ca);
	parse_common(p, profile);
	parse_auth(p, profile);
}

static void parse_client_values(struct values *p, struct config_profile *profile)
{
	if (profile->certificate.line && !profile->key.line)
		config_error(p->cfg, profile->certificate.line,
			     "certificate without key: add 'key = FILE' (PEM), or remove it");
	if (profile->key.line && !profile->certificate.line)
		config_error(p->cfg, profile->key.line,
			     "key without certificate: add 'certificate = FILE' (PEM, chain included), or remove it");
	if (profile->ca.text && !strcmp(profile->ca.text, "system")) {
		free(profile->ca.text);
		profile->ca.text = NULL;
	}
	parse_path(p, &profile->ca);
	parse_common(p, profile);
}

/* A number from 1 to @max; what is not given stays as it is. */
static void parse_number(struct values *p, const char *name, const struct config_value *value, unsigned int max,
			 unsigned int *out)
{
	unsigned long number;
	char *end;

	if (!value->text)
		return;
	number = strtoul(value->text, &end, 10);
	if (!isdigit((unsigned char)value->text[0]) || *end || number < 1 || number > max)
		config_error(p->cfg, value->line, "%s '%s': write a number from 1 to %u", name, value->text, max);
	else
		*out = number;
}

static void parse_daemon_values(struct values *p)
{
	static const struct { const char *name; int level; } levels[] = {
		{ "error", LOG_LEVEL_ERROR },
		{ "warning", LOG_LEVEL_WARNING },
		{ "info", LOG_LEVEL_INFO },
		{ "debug", LOG_LEVEL_DEBUG },
	};
	const struct config_value *value = &p->cfg->log_level_value;
	size_t i;

	for (i = 0; value->text && i < sizeof(levels) / sizeof(levels[0]); i++)
		if (!strcmp(value->text, levels[i].name))
			break;
	if (value->text && i == sizeof(levels) / sizeof(levels[0]))
		config_error(p->cfg, value->line,
			     "no log level '%s': write error, warning, info or debug", value->text);
	else if (value->text)
		p->cfg->log_level = levels[i].level;

	parse_number(p, "max_handshakes", &p->cfg->max_handshakes_value, 1000000, &p->cfg->max_handshakes);
	parse_number(p, "workers", &p->cfg->workers_value, 64, &p->cfg->workers);
}

int values_read(struct config *cfg)
{
	struct values p = { .cfg = cfg };
	struct config_profile *profile;

	for (profile = cfg->profiles; profile; profile = profile->next)
		parse_profile_values(&p, profile);
	for (profile = cfg->clients; profile; profile = profile->next)
		parse_client_values(&p, profile);
	parse_daemon_values(&p);
	return p.oom ? -ENOMEM : 0;
}
