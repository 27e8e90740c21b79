// SPDX-License-Identifier: GPL-2.0
/*
 * The configuration parser: what is accepted, and that every mistake is told
 * with its line.  TAP on standard output.
 */
#define _GNU_SOURCE 1
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/itls.h>

#include "itlsd/config.h"
#include "itlsd/log.h"
#include "tap.h"

#define GOOD "[profile a]\ncertificate = /c\nkey = /k\n"

#define PROFILE_KEYS "certificate, key, priority, alpn, owners, tickets, min_version, client_auth, client_ca, crl, " \
	"rekey_records, rekey_bytes, record_sizing"
#define SERVE "or [client default] to serve only clients"
#define SUFFIXES "K, M and G stand for powers of 1024"
#define NAME64 "0123456789012345678901234567890123456789012345678901234567890123"

static struct config *parse(const char *text, size_t len)
{
	struct config *cfg;

	if (config_parse("/etc/t.conf", text, len, &cfg)) {
		printf("Bail out! no memory\n");
		exit(1);
	}
	return cfg;
}

/* A text and the messages it must give, one per line, in order; "" for none. */
static const struct {
	const char *name;
	const char *text;
	const char *messages;
} cases[] = {
	{ "minimal", GOOD, "" },
	{ "comments, blanks, CRLF, no newline at the end",
	  "# x\n; y\n\n\t[ profile a ]\r\n  certificate=/c\r\nkey =/k", "" },
	{ "a '#' inside a value belongs to it", "[profile a]\ncertificate = /c#1\nkey = /k\n", "" },
	{ "empty file", "",
	  "/etc/t.conf: no profile: add a [profile NAME] section with certificate and key, " SERVE "\n" },
	{ "only [itlsd]", "[itlsd]\n",
	  "/etc/t.conf: no profile: add a [profile NAME] section with certificate and key, " SERVE "\n" },
	{ "missing certificate and key", "\n[profile a]\n",
	  "/etc/t.conf:2: [profile a] has no certificate: add 'certificate = FILE' (PEM, chain included)\n"
	  "/etc/t.conf:2: [profile a] has no key: add 'key = FILE' (PEM)\n" },
	{ "unknown key in a profile", GOOD "ciphers = x\n",
	  "/etc/t.conf:4: unknown key 'ciphers': known here are " PROFILE_KEYS "\n" },
	{ "unknown key in [itlsd]", GOOD "[itlsd]\nkey = x\n",
	  "/etc/t.conf:5: unknown key 'key': known here are log_level, max_handshakes, workers\n" },
	{ "unknown section", GOOD "[server]\nanything = goes\n",
	  "/etc/t.conf:4: unknown section [server]: write [profile NAME], [client NAME] or [itlsd]\n" },
	{ "section without bracket", "[profile a\n" GOOD,
	  "/etc/t.conf:1: section without ']': write [profile NAME], [client NAME] or [itlsd]\n" },
	{ "duplicate profile", GOOD GOOD,
	  "/etc/t.conf:4: profile 'a' was defined on line 1 already: rename or remove one of them\n" },
	{ "duplicate [itlsd]", "[itlsd]\n[itlsd]\n" GOOD,
	  "/etc/t.conf:2: a second [itlsd] section, after line 1: merge them\n" },
	{ "duplicate key", GOOD "key = /x\n",
	  "/etc/t.conf:4: 'key' was given on line 3 already: remove one of them\n" },
	{ "profile without name", "[profile]\n" GOOD,
	  "/etc/t.conf:1: '' is no profile name: write 1 to 63 characters of A-Z a-z 0-9 . _ -\n" },
	{ "bad profile name", "[profile a b]\n" GOOD,
	  "/etc/t.conf:1: 'a b' is no profile name: write 1 to 63 characters of A-Z a-z 0-9 . _ -\n" },
	{ "profile name of 64 characters",
	  "[profile " NAME64 "]\n" GOOD,
	  "/etc/t.conf:1: '" NAME64 "' is no profile name: write 1 to 63 characters of A-Z a-z 0-9 . _ -\n" },
	{ "missing value", "[profile a]\ncertificate =\nkey = /k\n",
	  "/etc/t.conf:2: 'certificate' has no value: write 'certificate = VALUE', or remove the line\n" },
	{ "no equals sign", GOOD "tickets yes\n",
	  "/etc/t.conf:4: 'tickets yes' is no 'key = value': put an '=' in, or a '#' in front\n" },
	{ "key before any section", "alpn = h2\n" GOOD,
	  "/etc/t.conf:1: 'alpn' stands before any section: write [profile NAME] above it\n" },
	{ "bad boolean", GOOD "tickets = maybe\n",
	  "/etc/t.conf:4: 'maybe' is neither 'yes' nor 'no': write one of them\n" },
	{ "bad version", GOOD "min_version = 1.1\n",
	  "/etc/t.conf:4: TLS version '1.1' is not offered: write 1.2 or 1.3\n" },
	{ "unknown user", GOOD "owners = no-such-user-here\n",
	  "/etc/t.conf:4: no user 'no-such-user-here': create it, or write a user name or number that exists\n" },
	{ "user number out of range", GOOD "owners = 4294967295 1x -1\n",
	  "/etc/t.conf:4: no user '4294967295': create it, or write a user name or number that exists\n"
	  "/etc/t.conf:4: no user '1x': create it, or write a user name or number that exists\n"
	  "/etc/t.conf:4: no user '-1': create it, or write a user name or number that exists\n" },
	{ "rekeys that are no numbers", GOOD "rekey_records = many\nrekey_bytes = 1T\n",
	  "/etc/t.conf:4: rekey_records 'many': write a number from 1 to 16M; " SUFFIXES "\n"
	  "/etc/t.conf:5: rekey_bytes '1T': write a number from 1 to 256G; " SUFFIXES "\n" },
	{ "rekeys out of range", GOOD "rekey_records = 16777217\nrekey_bytes = 257G\n",
	  "/etc/t.conf:4: rekey_records '16777217': write a number from 1 to 16M; " SUFFIXES "\n"
	  "/etc/t.conf:5: rekey_bytes '257G': write a number from 1 to 256G; " SUFFIXES "\n" },
	{ "rekeys after nothing, and beyond 64 bits", GOOD "rekey_records = 0\nrekey_bytes = 18446744073709551617\n",
	  "/etc/t.conf:4: rekey_records '0': write a number from 1 to 16M; " SUFFIXES "\n"
	  "/etc/t.conf:5: rekey_bytes '18446744073709551617': write a number from 1 to 256G; " SUFFIXES "\n" },
	{ "a record_sizing that is none", GOOD "record_sizing = fast\n",
	  "/etc/t.conf:4: record_sizing 'fast': write latency or throughput\n" },
	{ "rekeys with too many suffixes", GOOD "rekey_records = 1KK\nrekey_bytes = -1\n",
	  "/etc/t.conf:4: rekey_records '1KK': write a number from 1 to 16M; " SUFFIXES "\n"
	  "/etc/t.conf:5: rekey_bytes '-1': write a number from 1 to 256G; " SUFFIXES "\n" },
	{ "bad client_auth", GOOD "client_auth = yes\n",
	  "/etc/t.conf:4: client_auth 'yes': write none, request or require\n" },
	{ "client_auth without authorities", GOOD "client_auth = require\n",
	  "/etc/t.conf:4: client_auth without authorities: add 'client_ca = FILE' (PEM), "
	  "whose certificates clients may show\n" },
	{ "authorities that nobody asks", GOOD "client_ca = /a\ncrl = /r\n",
	  "/etc/t.conf:4: client_ca without client_auth: add 'client_auth = require' or 'request', or remove it\n"
	  "/etc/t.conf:5: crl without client_auth: add 'client_auth = require' or 'request', or remove it\n" },
	{ "authorities, and asking nobody", GOOD "client_ca = /a\nclient_auth = none\n",
	  "/etc/t.conf:4: client_ca without client_auth: add 'client_auth = require' or 'request', or remove it\n" },
	{ "protocol twice", GOOD "alpn = h2, h2\n",
	  "/etc/t.conf:4: protocol 'h2' is listed twice: remove one\n" },
	{ "bad log level", GOOD "[itlsd]\nlog_level = loud\n",
	  "/etc/t.conf:5: no log level 'loud': write error, warning, info or debug\n" },
	{ "max_handshakes out of range", GOOD "[itlsd]\nmax_handshakes = 0\n",
	  "/etc/t.conf:5: max_handshakes '0': write a number from 1 to 1000000\n" },
	{ "max_handshakes negative", GOOD "[itlsd]\nmax_handshakes = -5\n",
	  "/etc/t.conf:5: max_handshakes '-5': write a number from 1 to 1000000\n" },
	{ "workers out of range", GOOD "[itlsd]\nworkers = 65\n",
	  "/etc/t.conf:5: workers '65': write a number from 1 to 64\n" },
	{ "workers not a number", GOOD "[itlsd]\nworkers = auto\n",
	  "/etc/t.conf:5: workers 'auto': write a number from 1 to 64\n" },
	{ "all mistakes at once, in the order of lines",
	  "x\n[profile a]\ncertificate = /c\ntickets = 7\nfoo = 1\n[profile b]\nkey = /k\n",
	  "/etc/t.conf:1: 'x' is no 'key = value': put an '=' in, or a '#' in front\n"
	  "/etc/t.conf:2: [profile a] has no key: add 'key = FILE' (PEM)\n"
	  "/etc/t.conf:4: '7' is neither 'yes' nor 'no': write one of them\n"
	  "/etc/t.conf:5: unknown key 'foo': known here are " PROFILE_KEYS "\n"
	  "/etc/t.conf:6: [profile b] has no certificate: add 'certificate = FILE' (PEM, chain included)\n" },
};

static void test_messages(void)
{
	char got[4096];
	struct config *cfg;
	size_t i, m;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cfg = parse(cases[i].text, strlen(cases[i].text));
		got[0] = '\0';
		for (m = 0; m < cfg->n_messages; m++) {
			strcat(got, cfg->messages[m].text);
			strcat(got, "\n");
		}
		check_note(!strcmp(got, cases[i].messages) && cfg->n_errors == cfg->n_messages,
			   cases[i].name, got);
		config_free(cfg);
	}
}

static void test_values(void)
{
	static const char text[] =
		"[itlsd]\nlog_level = debug\nmax_handshakes = 7\nworkers = 3\n"
		"[profile web-1.a_b]\ncertificate = tls/c.pem\nkey = /k\npriority = SECURE128:%X=1\n"
		"alpn = h2, http/1.1\nowners = root 4242\ntickets = no\nmin_version = 1.3\n"
		"rekey_records = 16M\nrekey_bytes = 256G\nrecord_sizing = throughput\n" GOOD "rekey_records = 7\nrekey_bytes = 3K\n"
		"client_auth = request\nclient_ca = ca.pem\ncrl = /crl\n";
	struct config *cfg = parse(text, sizeof(text) - 1);
	struct config_profile *p = cfg->profiles;

	check_note(cfg->n_errors == 0 && p && p->next, "values: no errors", "errors");
	check_note(cfg->log_level == LOG_LEVEL_DEBUG && cfg->max_handshakes == 7 && cfg->workers == 3,
		   "values: [itlsd]", "wrong");
	check_note(!strcmp(p->name, "web-1.a_b") && p->line == 5, "values: name and line", p->name);
	check_note(!strcmp(p->certificate.text, "/etc/tls/c.pem"), "a relative path starts at the file's directory",
		   p->certificate.text);
	check_note(!strcmp(p->key.text, "/k") && p->key.line == 7, "an absolute path stays", p->key.text);
	check_note(!strcmp(p->priority.text, "SECURE128:%X=1"), "only the first '=' separates", p->priority.text);
	check_note(p->n_alpn == 2 && !strcmp(p->alpn[0], "h2") && !strcmp(p->alpn[1], "http/1.1"), "values: alpn", "");
	check_note(p->n_owners == 2 && p->owners[0] == 0 && p->owners[1] == 4242, "values: owners", "");
	check_note(!p->tickets && p->min_version == CONFIG_TLS_1_3, "values: tickets and min_version", "");
	check_note(p->rekey_records == 1 << 24 && p->rekey_bytes == 1ULL << 38, "values: rekeys", "");
	check_note(p->record_sizing == ITLS_RECORD_SIZING_THROUGHPUT, "values: record_sizing", "");
	p = p->next;
	check_note(p->record_sizing == ITLS_RECORD_SIZING_LATENCY, "default record_sizing", "");
	check_note(p->client_auth == CONFIG_AUTH_REQUEST && !strcmp(p->client_ca.text, "/etc/ca.pem") &&
		   !strcmp(p->crl.text, "/crl"), "values: client_auth, client_ca and crl", "");
	check_note(p->rekey_records == 7 && p->rekey_bytes == 3072, "values: rekeys, plain and with K", "");
	check_note(p->tickets && p->min_version == CONFIG_TLS_1_2 && !p->n_alpn && !p->n_owners,
		   "defaults", "");
	config_free(cfg);
}

static void test_files(void)
{
	char path[] = "/tmp/itls-config-XXXXXX";
	struct config *cfg;
	int fd = mkstemp(path);

	cfg = parse(GOOD "a\0b\n", sizeof(GOOD "a\0b\n") - 1);
	check_note(cfg->n_errors == 1 && strstr(cfg->messages[0].text, ":4: a NUL byte"), "NUL byte",
		   cfg->n_messages ? cfg->messages[0].text : "");
	config_free(cfg);

	if (fd < 0 || write(fd, GOOD, strlen(GOOD)) < 0 || config_read(path, &cfg))
		exit(1);
	check_note(!cfg->n_errors && cfg->profiles, "file read", "errors");
	config_free(cfg);
	if (ftruncate(fd, CONFIG_FILE_MAX + 1) || config_read(path, &cfg))
		exit(1);
	check_note(cfg->n_errors == 1 && strstr(cfg->messages[0].text, "File too large"), "file too large",
		   cfg->n_messages ? cfg->messages[0].text : "");
	config_free(cfg);
	close(fd);
	unlink(path);

	if (config_read(path, &cfg))
		exit(1);
	check_note(cfg->n_errors == 1 && strstr(cfg->messages[0].text, "create it"), "no such file",
		   cfg->n_messages ? cfg->messages[0].text : "");
	config_free(cfg);
	if (config_read("/", &cfg))
		exit(1);
	check_note(cfg->n_errors == 1 && strstr(cfg->messages[0].text, "Is a directory"), "a directory",
		   cfg->n_messages ? cfg->messages[0].text : "");
	config_free(cfg);
}

int main(void)
{
	printf("TAP version 13\n");
	test_messages();
	test_values();
	test_files();
	return tap_end();
}
