// SPDX-License-Identifier: GPL-2.0
/*
 * Asks for a file, follows redirects, judges the answer and has the body
 * moved.  A connection for each request: nothing is left over for the next.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "body.h"
#include "fetch.h"

#define REDIRECTS_MAX 10
#define INTERIM_MAX 8		/* answers 1xx before the one */

static void tell_tls(const struct conn *c)
{
	char alpn[4 * ITLS_ALPN_MAX + 1], subject[4 * ITLS_SUBJECT_MAX + 1];
	const char *version = itls_version_name(c->info.version);
	const char *cipher = itls_cipher_name(c->info.rx_cipher);
	const char *verify = itls_verify_text(c->info.verify);

	ctl_escape(alpn, sizeof(alpn), c->info.alpn);
	ctl_escape(subject, sizeof(subject), c->info.peer_subject);
	fprintf(stderr, "* %s: %s, %s, %s session, %s%s%s%s%s\n", c->name,
		version ? version : "unknown version", cipher ? cipher : "unknown cipher",
		c->info.resumed ? "resumed" : "new", verify ? verify : "unknown",
		*subject ? ", subject " : "", subject, *alpn ? ", ALPN " : "", alpn);
}

static int check_alpn(const struct conn *c, struct ctl_error *e)
{
	char alpn[4 * ITLS_ALPN_MAX + 1];

	if (!*c->info.alpn || !strncmp(c->info.alpn, "http/1.", 7))
		return 0;
	return ctl_error_set(e, EPROTONOSUPPORT, "%s: protocol %s was agreed on, and get speaks http/1.1 alone: take the other out of 'alpn' of the client profile in itlsd.conf(5)",
			     c->name, ctl_escape(alpn, sizeof(alpn), c->info.alpn));
}

static int send_request(struct fetch *f, uint64_t offset)
{
	char request[HTTP_TARGET_MAX + HTTP_HOST_MAX + 512];
	char authority[HTTP_HOST_MAX + 16], range[64] = "";
	int n;

	if (offset)
		snprintf(range, sizeof(range), "Range: bytes=%" PRIu64 "-\r\n", offset);
	n = snprintf(request, sizeof(request),
		     "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: itlsctl/%s\r\nAccept: */*\r\nAccept-Encoding: identity\r\n%sConnection: close\r\n\r\n",
		     f->url.target, http_url_authority(authority, sizeof(authority), &f->url),
		     ITLS_RELEASE, range);
	return conn_send(&f->conn, request, n);
}

/* Reads until the head is complete: its length in the buffer, or -errno. */
static ssize_t read_head(struct conn *c)
{
	size_t len;
	ssize_t n;

	while (!(len = http_head_len(c->buf + c->at, c->len))) {
		n = conn_fill(c);
		if (n <= 0)
			return n ? n : -ENODATA;
	}
	return len;
}

static int explain_head(const struct conn *c, int err, struct ctl_error *e)
{
	if (err == -ENOBUFS)
		return ctl_error_set(e, EMSGSIZE, "%s sent a malformed answer: its head is longer than %d bytes",
				     c->name, HTTP_HEAD_MAX);
	if (err == -ENODATA)
		return ctl_error_set(e, ENODATA, "%s ended the connection without %s: does it speak HTTP?",
				     c->name, c->len ? "a whole answer" : "an answer");
	return conn_explain(c, err, e);
}

static int receive_head(struct fetch *f, struct ctl_error *e)
{
	struct conn *c = &f->conn;
	const char *why;
	ssize_t len;

	for (unsigned int i = 0; i < INTERIM_MAX; i++) {
		len = read_head(c);
		if (len < 0)
			return explain_head(c, len, e);
		if (http_head_parse(&f->head, c->buf + c->at, len, &why))
			return ctl_error_set(e, EPROTO, "%s sent a malformed answer: %s", c->name, why);
		conn_drop(c, len);
		if (f->head.status >= 200)
			return 0;
	}
	return ctl_error_set(e, EPROTO, "%s sent a malformed answer: nothing but status %u", c->name,
			     f->head.status);
}

/* A client certificate is for the host it was given for, not where that points. */
static void options_for(const struct fetch *f, const struct http_url *origin, struct conn_options *o)
{
	*o = f->options;
	if (strcasecmp(f->url.host, origin->host) || f->url.port != origin->port) {
		o->cert = (struct pem){ 0 };
		o->key = (struct pem){ 0 };
	}
}

static int ask(struct fetch *f, const struct http_url *origin, uint64_t offset, struct ctl_error *e)
{
	struct conn_options options;
	int err;

	options_for(f, origin, &options);
	err = conn_open(&f->conn, &f->url, &options, e);
	if (err)
		return err;
	if (f->verbose)
		tell_tls(&f->conn);
	err = check_alpn(&f->conn, e);
	if (err)
		return err;
	err = send_request(f, offset);
	if (err)
		return conn_explain(&f->conn, err, e);
	err = receive_head(f, e);
	if (!err && f->verbose)
		fprintf(stderr, "* %s: %u %s\n", f->conn.name, f->head.status, f->head.reason);
	return err;
}

static bool is_redirect(const struct http_head *head)
{
	switch (head->status) {
	case 301:
	case 302:
	case 303:
	case 307:
	case 308:
		return *head->location;
	default:
		return false;
	}
}

static int redirect(struct fetch *f, struct ctl_error *e)
{
	char safe[512];
	const char *why;

	if (++f->redirects > REDIRECTS_MAX)
		return ctl_error_set(e, ELOOP, "%s redirects again after %d redirects: they go in a circle",
				     f->conn.name, REDIRECTS_MAX);
	if (http_url_follow(&f->url, &f->url, f->head.location, &why))
		return ctl_error_set(e, EPROTO, "%s redirects to %.200s, which is not followed: %s", f->conn.name,
				     ctl_escape(safe, sizeof(safe), f->head.location), why);
	if (f->verbose)
		fprintf(stderr, "* redirected to https://%s:%u%s\n", f->url.host, f->url.port, f->url.target);
	return 0;
}

/* 206: is this what was asked for, and no other file's? */
static int check_range(const struct fetch *f, const struct sink *sink, struct ctl_error *e)
{
	const struct http_head *h = &f->head;

	if (!sink->offset || !h->has_range || h->first > h->last || h->first != sink->offset)
		return ctl_error_set(e, EPROTO, "%s sent a part of the file that was not asked for: leave -c out",
				     f->conn.name);
	if (h->has_length && h->length != h->last - h->first + 1)
		return ctl_error_set(e, EPROTO, "%s sent a malformed answer: Content-Length and Content-Range differ",
				     f->conn.name);
	return 0;
}

/* 416: there is nothing behind what we have. */
static int check_complete(struct fetch *f, const struct sink *sink, struct ctl_error *e)
{
	if (!f->head.has_range || !f->head.has_total)
		return ctl_error_set(e, ERANGE, "%s has nothing to continue %s with, and does not say how long the file is: leave -c out to fetch it anew",
				     f->conn.name, sink->name);
	if (f->head.total != sink->offset)
		return ctl_error_set(e, ERANGE, "%s has %" PRIu64 " bytes, more than the %" PRIu64 " of the file at %s: it is another file: leave -c out to fetch it anew",
				     sink->name, sink->offset, f->head.total, f->conn.name);
	f->outcome = FETCH_COMPLETE;
	return 0;
}

static int judge(struct fetch *f, struct sink *sink, struct ctl_error *e)
{
	char url[HTTP_URL_MAX + 1];

	switch (f->head.status) {
	case 200:
		f->outcome = sink->offset ? FETCH_RESTARTED : FETCH_SAVED;
		sink->offset = 0;
		return 0;
	case 206:
		f->outcome = FETCH_CONTINUED;
		return check_range(f, sink, e);
	case 416:
		if (sink->offset)
			return check_complete(f, sink, e);
		break;
	}
	http_url_text(url, sizeof(url), &f->url);
	return ctl_error_set(e, f->head.status == 404 ? ENOENT : EREMOTEIO, "the server answered %u%s%s for %.300s",
			     f->head.status, *f->head.reason ? " " : "", f->head.reason, url);
}

static uint64_t expected(const struct http_head *head, const struct sink *sink)
{
	if (head->status == 206)
		return head->last + 1;
	return head->has_length && !head->chunked ? sink->offset + head->length : 0;
}

/* The part has come: is it as long as was said, and the last one? */
static int check_part(const struct fetch *f, struct ctl_error *e)
{
	const struct http_head *h = &f->head;

	if (f->progress.got != h->last - h->first + 1)
		return ctl_error_set(e, EPROTO, "%s sent another number of bytes than it said", f->conn.name);
	if (h->has_total && h->last + 1 != h->total)
		return ctl_error_set(e, ENODATA, "%s sent only a part of the rest", f->conn.name);
	return 0;
}

static int receive_body(struct fetch *f, struct sink *sink, struct ctl_error *e)
{
	struct http_head *h = &f->head;
	int err;

	if (h->status == 206 && !h->chunked) {
		h->has_length = true;
		h->length = h->last - h->first + 1;
	}
	err = sink_begin(sink, e);
	if (err)
		return err;
	progress_start(&f->progress, f->bar, sink->name, sink->offset, expected(h, sink));
	err = body_move(&f->conn, sink, &f->progress, h, e);
	progress_end(&f->progress);
	return err || h->status != 206 ? err : check_part(f, e);
}

int fetch_run(struct fetch *f, struct sink *sink, struct ctl_error *e)
{
	struct http_url origin = f->url;
	int err;

	for (;;) {
		err = ask(f, &origin, sink->offset, e);
		if (err || !is_redirect(&f->head))
			break;
		err = redirect(f, e);
		if (err)
			break;
		conn_close(&f->conn);
	}
	if (!err)
		err = judge(f, sink, e);
	if (!err && f->outcome != FETCH_COMPLETE)
		err = receive_body(f, sink, e);
	conn_close(&f->conn);
	return err;
}
