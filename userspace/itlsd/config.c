// SPDX-License-Identifier: GPL-2.0
/*
 * Parser of itlsd.conf(5): sections, "key = value" lines, comments.  What the
 * values mean is read in values.c.
 *
 * The INI libraries at hand report only the first syntax error, do not tell of
 * sections without keys, or lose line numbers; administrators want all
 * mistakes at once, each with its line.  The format is small enough to read
 * here: no quoting, no continuation lines, no comments behind values.
 */
#define _GNU_SOURCE 1
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/itls.h>

#include "config.h"
#include "log.h"
#include "values.h"

enum config_section { SECTION_NONE, SECTION_DAEMON, SECTION_PROFILE, SECTION_CLIENT, SECTION_BROKEN };

#define CONFIG_SECTIONS "[profile NAME], [client NAME] or [itlsd]"
#define CONFIG_DEFAULT_CLIENT "default"

/* A key: its name and where its value goes. */
struct config_key {
	const char *name;
	size_t offset;
};

static const struct config_key config_profile_keys[] = {
	{ "certificate", offsetof(struct config_profile, certificate) },
	{ "key", offsetof(struct config_profile, key) },
	{ "priority", offsetof(struct config_profile, priority) },
	{ "alpn", offsetof(struct config_profile, alpn_value) },
	{ "owners", offsetof(struct config_profile, owners_value) },
	{ "tickets", offsetof(struct config_profile, tickets_value) },
	{ "min_version", offsetof(struct config_profile, min_version_value) },
	{ "client_auth", offsetof(struct config_profile, client_auth_value) },
	{ "client_ca", offsetof(struct config_profile, client_ca) },
	{ "crl", offsetof(struct config_profile, crl) },
	{ "rekey_records", offsetof(struct config_profile, rekey_records_value) },
	{ "rekey_bytes", offsetof(struct config_profile, rekey_bytes_value) },
	{ "record_sizing", offsetof(struct config_profile, record_sizing_value) },
	{ NULL, 0 },
};

static const struct config_key config_client_keys[] = {
	{ "ca", offsetof(struct config_profile, ca) },
	{ "crl", offsetof(struct config_profile, crl) },
	{ "certificate", offsetof(struct config_profile, certificate) },
	{ "key", offsetof(struct config_profile, key) },
	{ "priority", offsetof(struct config_profile, priority) },
	{ "alpn", offsetof(struct config_profile, alpn_value) },
	{ "owners", offsetof(struct config_profile, owners_value) },
	{ "tickets", offsetof(struct config_profile, tickets_value) },
	{ "min_version", offsetof(struct config_profile, min_version_value) },
	{ "rekey_records", offsetof(struct config_profile, rekey_records_value) },
	{ "rekey_bytes", offsetof(struct config_profile, rekey_bytes_value) },
	{ "record_sizing", offsetof(struct config_profile, record_sizing_value) },
	{ NULL, 0 },
};

static const struct config_key config_daemon_keys[] = {
	{ "log_level", offsetof(struct config, log_level_value) },
	{ "max_handshakes", offsetof(struct config, max_handshakes_value) },
	{ "workers", offsetof(struct config, workers_value) },
	{ NULL, 0 },
};

struct config_parser {
	struct config *cfg;
	enum config_section section;
	struct config_profile *profile;		/* of SECTION_PROFILE and SECTION_CLIENT */
	bool daemon_seen;
	int daemon_line;
	int line;
	bool oom;
};

/* Messages */

/* "FILE:LINE: [warning: ]text", NULL without memory. */
static char *config_format(const struct config *cfg, bool warning, int line, const char *fmt, va_list ap)
{
	char where[16] = "";
	char *body, *text;

	if (vasprintf(&body, fmt, ap) < 0)
		return NULL;
	if (line)
		snprintf(where, sizeof(where), ":%d", line);
	if (asprintf(&text, "%s%s: %s%s", cfg->path, where, warning ? "warning: " : "", body) < 0)
		text = NULL;
	free(body);
	return text;
}

static void config_message(struct config *cfg, bool warning, int line, const char *fmt, va_list ap)
{
	struct config_message *grown;
	size_t at = cfg->n_messages;
	char *text;

	cfg->n_errors += !warning; /* counted even if there is no memory to say why */
	text = config_format(cfg, warning, line, fmt, ap);
	if (!text)
		return;
	grown = reallocarray(cfg->messages, at + 1, sizeof(*grown));
	if (!grown) {
		free(text);
		return;
	}
	cfg->messages = grown;
	for (; at > 0 && grown[at - 1].line > line; at--)
		grown[at] = grown[at - 1];
	grown[at] = (struct config_message){ .warning = warning, .line = line, .text = text };
	cfg->n_messages++;
}

void config_error(struct config *cfg, int line, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	config_message(cfg, false, line, fmt, ap);
	va_end(ap);
}

void config_warning(struct config *cfg, int line, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	config_message(cfg, true, line, fmt, ap);
	va_end(ap);
}

/* Lines */

static char *parser_copy(struct config_parser *p, const char *text)
{
	char *copy = strdup(text);

	p->oom |= !copy;
	return copy;
}

static char *trim(char *text)
{
	char *end = text + strlen(text);

	while (end > text && isspace((unsigned char)end[-1]))
		*--end = '\0';
	while (isspace((unsigned char)*text))
		text++;
	return text;
}

static bool profile_name_ok(const char *name)
{
	size_t len = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-");

	return len && len <= ITLS_PROFILE_MAX && !name[len];
}

/* NULL: no memory. */
static struct config_profile *profile_new(const char *name, bool client, int line)
{
	struct config_profile *profile = calloc(1, sizeof(*profile));

	if (!profile)
		return NULL;
	profile->name = strdup(name);
	profile->client = client;
	profile->line = line;
	if (profile->name)
		return profile;
	free(profile);
	return NULL;
}

static void parse_profile_section(struct config_parser *p, const char *name, bool client)
{
	struct config_profile **tail = client ? &p->cfg->clients : &p->cfg->profiles;
	const char *what = client ? "client" : "profile";

	p->section = SECTION_BROKEN;
	if (!profile_name_ok(name)) {
		config_error(p->cfg, p->line,
			     "'%s' is no %s name: write 1 to %d characters of A-Z a-z 0-9 . _ -",
			     name, what, ITLS_PROFILE_MAX);
		return;
	}
	for (; *tail; tail = &(*tail)->next) {
		if (strcmp((*tail)->name, name))
			continue;
		config_error(p->cfg, p->line,
			     "%s '%s' was defined on line %d already: rename or remove one of them",
			     what, name, (*tail)->line);
		return;
	}
	p->profile = profile_new(name, client, p->line);
	if (!p->profile) {
		p->oom = true;
		return;
	}
	*tail = p->profile;
	p->section = client ? SECTION_CLIENT : SECTION_PROFILE;
}

/* What clients use that name nothing is there even if nobody wrote it down. */
static void add_default_client(struct config_parser *p)
{
	struct config_profile **tail = &p->cfg->clients;

	for (; *tail; tail = &(*tail)->next)
		if (!strcmp((*tail)->name, CONFIG_DEFAULT_CLIENT))
			return;
	*tail = profile_new(CONFIG_DEFAULT_CLIENT, true, 0);
	p->oom |= !*tail;
}

static void parse_daemon_section(struct config_parser *p)
{
	p->section = SECTION_DAEMON;
	if (p->daemon_seen) {
		config_error(p->cfg, p->line, "a second [itlsd] section, after line %d: merge them",
			     p->daemon_line);
		p->section = SECTION_BROKEN;
	}
	p->daemon_seen = true;
	p->daemon_line = p->line;
}

static bool is_section(const char *name, const char *what)
{
	size_t len = strlen(what);

	return !strncmp(name, what, len) && (!name[len] || isspace((unsigned char)name[len]));
}

static void parse_section(struct config_parser *p, char *text)
{
	size_t len = strlen(text);
	char *name;

	p->section = SECTION_BROKEN;
	if (text[len - 1] != ']') {
		config_error(p->cfg, p->line, "section without ']': write " CONFIG_SECTIONS);
		return;
	}
	text[len - 1] = '\0';
	name = trim(text + 1);
	if (!strcmp(name, "itlsd"))
		parse_daemon_section(p);
	else if (is_section(name, "profile"))
		parse_profile_section(p, trim(name + strlen("profile")), false);
	else if (is_section(name, "client"))
		parse_profile_section(p, trim(name + strlen("client")), true);
	else
		config_error(p->cfg, p->line, "unknown section [%s]: write " CONFIG_SECTIONS, name);
}

static void unknown_key(struct config_parser *p, const char *name, const struct config_key *keys)
{
	char known[512] = "";

	for (; keys->name; keys++) {
		strcat(known, keys->name);
		strcat(known, keys[1].name ? ", " : "");
	}
	config_error(p->cfg, p->line, "unknown key '%s': known here are %s", name, known);
}

static const struct config_key *profile_keys(const struct config_profile *profile)
{
	return profile->client ? config_client_keys : config_profile_keys;
}

static void parse_value(struct config_parser *p, const char *name, const char *text)
{
	bool daemon = p->section == SECTION_DAEMON;
	const struct config_key *keys = daemon ? config_daemon_keys : profile_keys(p->profile);
	char *base = daemon ? (char *)p->cfg : (char *)p->profile;
	const struct config_key *key;
	struct config_value *value;

	for (key = keys; key->name && strcmp(key->name, name); key++)
		;
	if (!key->name) {
		unknown_key(p, name, keys);
		return;
	}
	value = (struct config_value *)(base + key->offset);
	if (value->line) {
		config_error(p->cfg, p->line, "'%s' was given on line %d already: remove one of them", name,
			     value->line);
		return;
	}
	value->line = p->line;
	if (!*text)
		config_error(p->cfg, p->line, "'%s' has no value: write '%s = VALUE', or remove the line",
			     name, name);
	else
		value->text = parser_copy(p, text);
}

static void parse_line(struct config_parser *p, char *line)
{
	char *text = trim(line);
	char *equals;

	if (!*text || *text == '#' || *text == ';')
		return;
	if (*text == '[') {
		parse_section(p, text);
		return;
	}
	equals = strchr(text, '=');
	if (!equals) {
		config_error(p->cfg, p->line, "'%s' is no 'key = value': put an '=' in, or a '#' in front",
			     text);
		return;
	}
	*equals = '\0';
	if (p->section == SECTION_NONE)
		config_error(p->cfg, p->line,
			     "'%s' stands before any section: write [profile NAME] above it", trim(text));
	else if (p->section != SECTION_BROKEN) /* a broken section was reported, its lines are not */
		parse_value(p, trim(text), trim(equals + 1));
}

static void parse_text(struct config_parser *p, char *text, size_t len)
{
	char *end = text + len, *line = text, *newline;

	while (line < end) {
		newline = memchr(line, '\n', end - line);
		if (!newline)
			newline = end;
		*newline = '\0'; /* the buffer has one byte more than the text */
		p->line++;
		if (strlen(line) != (size_t)(newline - line))
			config_error(p->cfg, p->line, "a NUL byte: is this a text file?");
		else
			parse_line(p, line);
		line = newline + 1;
	}
}

static int config_new(const char *path, struct config **cfgp)
{
	struct config *cfg = calloc(1, sizeof(*cfg));

	if (!cfg)
		return -ENOMEM;
	cfg->path = strdup(path);
	if (!cfg->path) {
		free(cfg);
		return -ENOMEM;
	}
	cfg->log_level = LOG_LEVEL_INFO;
	cfg->max_handshakes = CONFIG_MAX_HANDSHAKES;
	cfg->workers = CONFIG_WORKERS;
	*cfgp = cfg;
	return 0;
}

int config_parse(const char *path, const char *text, size_t len, struct config **cfgp)
{
	struct config_parser p = { 0 };
	char *copy = malloc(len + 1);
	int err = -ENOMEM;

	if (copy)
		err = config_new(path, &p.cfg);
	if (err)
		goto out;
	memcpy(copy, text, len);
	parse_text(&p, copy, len);
	if (!p.cfg->profiles && !p.cfg->clients && !p.cfg->n_errors)
		config_error(p.cfg, 0, "no profile: add a [profile NAME] section with certificate and key, or [client default] to serve only clients");
	add_default_client(&p);
	p.oom |= values_read(p.cfg) != 0;
	if (p.oom) {
		config_free(p.cfg);
		err = -ENOMEM;
		goto out;
	}
	*cfgp = p.cfg;
out:
	free(copy);
	return err;
}

static ssize_t config_fill(int fd, char *text)
{
	size_t len = 0;
	ssize_t got;

	while ((got = read(fd, text + len, CONFIG_FILE_MAX + 1 - len)) > 0)
		len += got;
	if (got < 0)
		return -errno;
	return len > CONFIG_FILE_MAX ? -EFBIG : (ssize_t)len;
}

int config_read(const char *path, struct config **cfgp)
{
	char *text = malloc(CONFIG_FILE_MAX + 1);
	ssize_t len;
	int err, fd;

	if (!text)
		return -ENOMEM;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	len = fd < 0 ? -errno : config_fill(fd, text);
	if (len >= 0) {
		err = config_parse(path, text, len, cfgp);
	} else {
		err = config_new(path, cfgp);
		if (!err)
			config_error(*cfgp, 0, "cannot read the configuration: %s: %s", strerror(-len),
				     len == -ENOENT ? "create it (itlsd.conf(5)) or name another with --config" :
				     "check the file and its permissions");
	}
	if (fd >= 0)
		close(fd);
	free(text);
	return err;
}

static void profile_free(struct config_profile *profile)
{
	const struct config_key *key;
	size_t i;

	for (i = 0; i < profile->n_alpn; i++)
		free(profile->alpn[i]);
	free(profile->alpn);
	free(profile->owners);
	for (key = profile_keys(profile); key->name; key++)
		free(((struct config_value *)((char *)profile + key->offset))->text);
	free(profile->name);
	free(profile);
}

void config_free(struct config *cfg)
{
	struct config_profile *profile;
	size_t i;

	if (!cfg)
		return;
	while ((profile = cfg->profiles)) {
		cfg->profiles = profile->next;
		profile_free(profile);
	}
	while ((profile = cfg->clients)) {
		cfg->clients = profile->next;
		profile_free(profile);
	}
	for (i = 0; i < cfg->n_messages; i++)
		free(cfg->messages[i].text);
	free(cfg->messages);
	free(cfg->log_level_value.text);
	free(cfg->max_handshakes_value.text);
	free(cfg->workers_value.text);
	free(cfg->path);
	free(cfg);
}
