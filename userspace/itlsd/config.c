// SPDX-License-Identifier: GPL-2.0
/*
 * Parser of itlsd.conf(5): sections, "key = value" lines, comments.
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
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/itls.h>

#include "config.h"
#include "log.h"

#define CONFIG_SEPARATORS ", \t"

enum config_section { SECTION_NONE, SECTION_DAEMON, SECTION_PROFILE, SECTION_BROKEN };

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
	{ NULL, 0 },
};

static const struct config_key config_daemon_keys[] = {
	{ "log_level", offsetof(struct config, log_level_value) },
	{ "max_handshakes", offsetof(struct config, max_handshakes_value) },
	{ NULL, 0 },
};

struct config_parser {
	struct config *cfg;
	enum config_section section;
	struct config_profile *profile;		/* of SECTION_PROFILE */
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

/* Values */

static char *parser_copy(struct config_parser *p, const char *text)
{
	char *copy = strdup(text);

	p->oom |= !copy;
	return copy;
}

/* Appends to an array of pointers or ids that grows by one; NULL: no memory. */
static void *parser_grow(struct config_parser *p, void **array, size_t *count, size_t size)
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
static void parse_path(struct config_parser *p, struct config_value *value)
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

static bool parse_bool(struct config_parser *p, const struct config_value *value, bool otherwise)
{
	if (!value->text)
		return otherwise;
	if (!strcmp(value->text, "yes") || !strcmp(value->text, "no"))
		return value->text[0] == 'y';
	config_error(p->cfg, value->line, "'%s' is neither 'yes' nor 'no': write one of them", value->text);
	return otherwise;
}

static void parse_version(struct config_parser *p, struct config_profile *profile)
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

static void parse_alpn_name(struct config_parser *p, struct config_profile *profile, const char *name)
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
	slot = parser_grow(p, (void **)&profile->alpn, &profile->n_alpn, sizeof(*slot));
	if (slot)
		*slot = parser_copy(p, name);
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

static void parse_owner(struct config_parser *p, struct config_profile *profile, const char *name)
{
	uid_t *slot;
	uid_t uid;

	if (!parse_uid(name, &uid)) {
		config_error(p->cfg, profile->owners_value.line,
			     "no user '%s': create it, or write a user name or number that exists", name);
		return;
	}
	slot = parser_grow(p, (void **)&profile->owners, &profile->n_owners, sizeof(*slot));
	if (slot)
		*slot = uid;
}

static void parse_list(struct config_parser *p, struct config_profile *profile,
		       const struct config_value *value,
		       void (*each)(struct config_parser *p, struct config_profile *profile,
				    const char *word))
{
	char *copy, *word, *save;

	if (!value->text)
		return;
	copy = parser_copy(p, value->text);
	if (!copy)
		return;
	for (word = strtok_r(copy, CONFIG_SEPARATORS, &save); word;
	     word = strtok_r(NULL, CONFIG_SEPARATORS, &save))
		each(p, profile, word);
	free(copy);
}

static void parse_profile_values(struct config_parser *p, struct config_profile *profile)
{
	if (!profile->certificate.line)
		config_error(p->cfg, profile->line,
			     "[profile %s] has no certificate: add 'certificate = FILE' (PEM, chain included)",
			     profile->name);
	if (!profile->key.line)
		config_error(p->cfg, profile->line, "[profile %s] has no key: add 'key = FILE' (PEM)",
			     profile->name);
	parse_path(p, &profile->certificate);
	parse_path(p, &profile->key);
	parse_list(p, profile, &profile->alpn_value, parse_alpn_name);
	parse_list(p, profile, &profile->owners_value, parse_owner);
	profile->tickets = parse_bool(p, &profile->tickets_value, true);
	parse_version(p, profile);
}

static void parse_daemon_values(struct config_parser *p)
{
	static const struct { const char *name; int level; } levels[] = {
		{ "error", LOG_LEVEL_ERROR },
		{ "warning", LOG_LEVEL_WARNING },
		{ "info", LOG_LEVEL_INFO },
		{ "debug", LOG_LEVEL_DEBUG },
	};
	const struct config_value *value = &p->cfg->log_level_value;
	unsigned long number;
	char *end;
	size_t i;

	for (i = 0; value->text && i < sizeof(levels) / sizeof(levels[0]); i++)
		if (!strcmp(value->text, levels[i].name))
			break;
	if (value->text && i == sizeof(levels) / sizeof(levels[0]))
		config_error(p->cfg, value->line,
			     "no log level '%s': write error, warning, info or debug", value->text);
	else if (value->text)
		p->cfg->log_level = levels[i].level;

	value = &p->cfg->max_handshakes_value;
	if (!value->text)
		return;
	number = strtoul(value->text, &end, 10);
	if (!isdigit((unsigned char)value->text[0]) || *end || number < 1 || number > 1000000)
		config_error(p->cfg, value->line, "max_handshakes '%s': write a number from 1 to 1000000",
			     value->text);
	else
		p->cfg->max_handshakes = number;
}

/* Lines */

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

static void parse_profile_section(struct config_parser *p, const char *name)
{
	struct config_profile *profile, **tail = &p->cfg->profiles;

	p->section = SECTION_BROKEN;
	if (!profile_name_ok(name)) {
		config_error(p->cfg, p->line,
			     "'%s' is no profile name: write 1 to %d characters of A-Z a-z 0-9 . _ -",
			     name, ITLS_PROFILE_MAX);
		return;
	}
	for (; *tail; tail = &(*tail)->next) {
		if (strcmp((*tail)->name, name))
			continue;
		config_error(p->cfg, p->line,
			     "profile '%s' was defined on line %d already: rename or remove one of them",
			     name, (*tail)->line);
		return;
	}
	profile = calloc(1, sizeof(*profile));
	if (!profile) {
		p->oom = true;
		return;
	}
	profile->name = parser_copy(p, name);
	if (!profile->name) {
		free(profile);
		return;
	}
	profile->line = p->line;
	*tail = profile;
	p->profile = profile;
	p->section = SECTION_PROFILE;
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

static void parse_section(struct config_parser *p, char *text)
{
	size_t len = strlen(text);
	char *name;

	p->section = SECTION_BROKEN;
	if (text[len - 1] != ']') {
		config_error(p->cfg, p->line, "section without ']': write [profile NAME] or [itlsd]");
		return;
	}
	text[len - 1] = '\0';
	name = trim(text + 1);
	if (!strcmp(name, "itlsd"))
		parse_daemon_section(p);
	else if (!strncmp(name, "profile", 7) && (!name[7] || isspace((unsigned char)name[7])))
		parse_profile_section(p, trim(name + 7));
	else
		config_error(p->cfg, p->line, "unknown section [%s]: write [profile NAME] or [itlsd]", name);
}

static void unknown_key(struct config_parser *p, const char *name, const struct config_key *keys)
{
	char known[256] = "";

	for (; keys->name; keys++) {
		strcat(known, keys->name);
		strcat(known, keys[1].name ? ", " : "");
	}
	config_error(p->cfg, p->line, "unknown key '%s': known here are %s", name, known);
}

static void parse_value(struct config_parser *p, const char *name, const char *text)
{
	bool daemon = p->section == SECTION_DAEMON;
	const struct config_key *keys = daemon ? config_daemon_keys : config_profile_keys;
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
	*cfgp = cfg;
	return 0;
}

int config_parse(const char *path, const char *text, size_t len, struct config **cfgp)
{
	struct config_parser p = { 0 };
	struct config_profile *profile;
	char *copy = malloc(len + 1);
	int err = -ENOMEM;

	if (copy)
		err = config_new(path, &p.cfg);
	if (err)
		goto out;
	memcpy(copy, text, len);
	parse_text(&p, copy, len);
	for (profile = p.cfg->profiles; profile; profile = profile->next)
		parse_profile_values(&p, profile);
	parse_daemon_values(&p);
	if (!p.cfg->profiles && !p.cfg->n_errors)
		config_error(p.cfg, 0, "no profile: add a [profile NAME] section with certificate and key");
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
	size_t i;

	for (i = 0; i < profile->n_alpn; i++)
		free(profile->alpn[i]);
	free(profile->alpn);
	free(profile->owners);
	free(profile->certificate.text);
	free(profile->key.text);
	free(profile->priority.text);
	free(profile->alpn_value.text);
	free(profile->owners_value.text);
	free(profile->tickets_value.text);
	free(profile->min_version_value.text);
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
	for (i = 0; i < cfg->n_messages; i++)
		free(cfg->messages[i].text);
	free(cfg->messages);
	free(cfg->log_level_value.text);
	free(cfg->max_handshakes_value.text);
	free(cfg->path);
	free(cfg);
}
