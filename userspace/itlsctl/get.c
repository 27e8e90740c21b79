// SPDX-License-Identifier: GPL-2.0
/*
 * itlsctl get: downloads a file over a TLS connection that the kernel makes
 * (ITLS_CONNECT).  This file owns the command line and the report.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fetch.h"
#include "mark.h"

#define TIMEOUT_SECONDS 30
#define TIMEOUT_MAX 86400

struct get {
	const char *url;
	const char *output;	/* NULL: as the URL says */
	const char *ca, *cert, *key;
	bool resume, quiet, json;
	char name[NAME_MAX + 1];
	struct sink sink;
	struct fetch fetch;
};

static int get_error(struct get *g, const char *what, const char *why)
{
	char safe[512];

	return ctl_usage_error(&ctl_get, "%s '%s': %s", what,
			       ctl_escape(safe, sizeof(safe), g->url), why);
}

static int parse_timeout(struct get *g, const char *arg)
{
	long seconds;

	if (ctl_number(arg, TIMEOUT_MAX, &seconds))
		return ctl_usage_error(&ctl_get, "bad timeout '%s': give seconds, 1 to %d", arg,
				       TIMEOUT_MAX);
	g->fetch.options.timeout_ms = seconds * 1000;
	return 0;
}

static int parse_profile(struct get *g, const char *arg)
{
	if (!mark_name_ok(arg))
		return ctl_usage_error(&ctl_get, "bad profile name '%s': 1 to %d of A-Z a-z 0-9 . _ -",
				       arg, ITLS_PROFILE_MAX);
	g->fetch.options.profile = arg;
	return 0;
}

static int parse_option(struct get *g, int c, const char *arg)
{
	switch (c) {
	case 'o':
		g->output = arg;
		return 0;
	case 'c':
		g->resume = true;
		return 0;
	case 'q':
		g->quiet = true;
		return 0;
	case 'v':
		g->fetch.verbose = true;
		return 0;
	case 'j':
		g->json = true;
		return 0;
	case 'A':
		g->ca = arg;
		return 0;
	case 'C':
		g->cert = arg;
		return 0;
	case 'K':
		g->key = arg;
		return 0;
	case 'P':
		return parse_profile(g, arg);
	case 'T':
		return parse_timeout(g, arg);
	default:
		return ctl_usage(&ctl_get);
	}
}

/* Options that make no sense together, and the file's name. */
static int check(struct get *g)
{
	const char *why;

	if (http_url_parse(&g->fetch.url, g->url, &why))
		return get_error(g, "cannot fetch", why);
	if (!g->cert != !g->key)
		return ctl_usage_error(&ctl_get, "--cert and --key go together (one file may hold both)");
	if (g->output && !*g->output)
		return ctl_usage_error(&ctl_get, "--output needs a name");
	if (!g->output) {
		if (http_url_file(g->name, sizeof(g->name), &g->fetch.url) ||
		    !strcmp(g->name, "-"))
			return get_error(g, "no file name in", "give one with -o FILE");
		g->output = g->name;
	} else if (!strcmp(g->output, "-") && (g->resume || g->json)) {
		return ctl_usage_error(&ctl_get, "standard output cannot be continued (-c), nor be shared with --json");
	}
	return 0;
}

static int parse(struct get *g, int argc, char **argv, bool *help)
{
	static const struct option longopts[] = {
		{ "output",	required_argument, NULL, 'o' },
		{ "continue",	no_argument, NULL, 'c' },
		{ "profile",	required_argument, NULL, 'P' },
		{ "ca",		required_argument, NULL, 'A' },
		{ "cert",	required_argument, NULL, 'C' },
		{ "key",	required_argument, NULL, 'K' },
		{ "timeout",	required_argument, NULL, 'T' },
		{ "quiet",	no_argument, NULL, 'q' },
		{ "verbose",	no_argument, NULL, 'v' },
		{ "json",	no_argument, NULL, 'j' },
		{ "help",	no_argument, NULL, 'h' },
		{ 0 }
	};
	int c, ret = 0;

	while (!ret && (c = getopt_long(argc, argv, "o:cqvjh", longopts, NULL)) != -1) {
		if (c == 'h') {
			*help = true;
			return ctl_help(&ctl_get);
		}
		ret = parse_option(g, c, optarg);
	}
	if (ret)
		return ret;
	if (optind == argc)
		return ctl_usage_error(&ctl_get, "which URL?");
	if (optind + 1 < argc)
		return ctl_usage_error(&ctl_get, "unexpected argument '%s'", argv[optind + 1]);
	g->url = argv[optind];
	return check(g);
}

static int read_pems(struct get *g, struct ctl_error *e)
{
	struct conn_options *o = &g->fetch.options;
	int err = 0;

	if (g->ca)
		err = pem_read(&o->ca, g->ca, PEM_CA, e);
	if (!err && g->cert)
		err = pem_read(&o->cert, g->cert, PEM_CERT, e);
	if (!err && g->key)
		err = pem_read(&o->key, g->key, PEM_KEY, e);
	return err;
}

/* What came before a failure stays. */
static void add_kept(struct get *g, struct ctl_error *e)
{
	uint64_t kept = g->fetch.progress.offset + g->fetch.progress.got;
	size_t used = strlen(e->text);

	if (g->fetch.progress.got && !sink_is_stdout(&g->sink))
		snprintf(e->text + used, sizeof(e->text) - used,
			 "; the first %" PRIu64 " bytes are kept in %s: continue with -c", kept,
			 g->sink.name);
}

static int download(struct get *g, struct ctl_error *e)
{
	struct ctl_error late;
	int err;

	err = read_pems(g, e);
	if (!err)
		err = sink_prepare(&g->sink, g->output, g->resume, e);
	if (err)
		return err;
	err = fetch_run(&g->fetch, &g->sink, e);
	if (sink_close(&g->sink, &late) && !err) {
		*e = late;
		err = -late.err;
	}
	if (err)
		add_kept(g, e);
	return err;
}

static json_t *optional(const char *s)
{
	return s && *s ? ctl_json_string(s) : json_null();
}

static json_t *result_json(const struct get *g)
{
	const struct fetch *f = &g->fetch;
	const struct itls_info *info = &f->conn.info;
	char url[HTTP_URL_MAX + 1];

	http_url_text(url, sizeof(url), &f->url);
	return json_pack("{s:b, s:o, s:o, s:i, s:I, s:I, s:b, s:i, s:f, s:s, s:o, s:o, s:b, s:o, s:o, s:o}",
		"ok", 1,
		"url", ctl_json_string(url),
		"file", ctl_json_string(g->sink.name),
		"status", (int)f->head.status,
		"size", (json_int_t)(g->sink.offset + f->progress.got),
		"received", (json_int_t)f->progress.got,
		"continued", f->outcome == FETCH_CONTINUED,
		"redirects", (int)f->redirects,
		"seconds", f->progress.got ? progress_seconds(&f->progress) : 0.0,
		"peer", f->conn.peer,
		"version", optional(itls_version_name(info->version)),
		"cipher", optional(itls_cipher_name(info->rx_cipher)),
		"resumed", info->resumed,
		"verify", optional(itls_verify_name(info->verify)),
		"peer_subject", optional(info->peer_subject),
		"alpn", optional(info->alpn));
}

static void tell_result(const struct get *g)
{
	const struct progress *p = &g->fetch.progress;
	char name[4 * NAME_MAX + 1], rate[24];
	double seconds;

	ctl_escape(name, sizeof(name), g->sink.name);
	if (g->fetch.outcome == FETCH_COMPLETE) {
		printf("%s: was complete already, %" PRIu64 " bytes\n", name, g->sink.offset);
		return;
	}
	if (g->fetch.outcome == FETCH_RESTARTED)
		puts("The server cannot continue a file: it was fetched from the beginning.");
	seconds = progress_seconds(p);
	ctl_bytes(rate, sizeof(rate), seconds > 0 ? p->got / seconds : 0);
	printf("%s: %" PRIu64 " bytes", name, p->offset + p->got);
	if (g->fetch.outcome == FETCH_CONTINUED)
		printf(", of these %" PRIu64 " now", p->got);
	printf(", in %.1f seconds, %s/s\n", seconds, rate);
}

static int report(const struct get *g)
{
	if (g->json)
		return ctl_json_print(result_json(g));
	if (!g->quiet && !sink_is_stdout(&g->sink))
		tell_result(g);
	return CTL_OK;
}

/* As ctl_fail(), and why a certificate was refused, for programs. */
static int fail(const struct get *g, const struct ctl_error *e)
{
	const char *verify = NULL;

	if (e->err == EKEYREJECTED)
		verify = itls_verify_name(g->fetch.conn.info.verify);
	if (g->json)
		ctl_json_print(json_pack("{s:b, s:o, s:o}", "ok", 0, "error", ctl_json_error(e),
					 "verify", optional(verify)));
	ctl_complain("%s", e->text);
	return CTL_FAILED;
}

static int run(int argc, char **argv)
{
	struct get *g = calloc(1, sizeof(*g));
	struct ctl_error e = { 0 };
	bool help = false;
	int ret;

	if (!g) {
		ctl_complain("out of memory");
		return CTL_FAILED;
	}
	g->fetch.options.timeout_ms = TIMEOUT_SECONDS * 1000;
	ret = parse(g, argc, argv, &help);
	if (!ret && !help) {
		g->fetch.bar = !g->quiet;
		ret = download(g, &e) ? fail(g, &e) : report(g);
		pem_free(&g->fetch.options.ca);
		pem_free(&g->fetch.options.cert);
		pem_free(&g->fetch.options.key);
	}
	free(g);
	return ret;
}

const struct ctl_command ctl_get = {
	.name = "get",
	.args = "URL [-o FILE] [-c] [--profile NAME] [--ca FILE] [--cert FILE --key FILE] [--timeout S] [-q] [-v] [--json]",
	.summary = "Download a file over TLS that the kernel makes",
	.options =
		"  -o, --output FILE   where to write it; '-' is standard output; else the URL's last part\n"
		"  -c, --continue      keep what the file holds and fetch the rest\n"
		"      --profile NAME  client profile of itlsd.conf(5); 'default' if not given\n"
		"      --ca FILE       trust this authority (PEM) and no other\n"
		"      --cert FILE     client certificate with its chain (PEM)\n"
		"      --key FILE      its private key (PEM)\n"
		"      --timeout S     give up when nothing moves for S seconds; 30 if not given\n"
		"  -q, --quiet         no progress bar, no result; errors only\n"
		"  -v, --verbose       tell on standard error what was negotiated and answered\n"
		"  -j, --json          print the result as JSON\n"
		"  -h, --help          show this text\n",
	.run = run,
};
