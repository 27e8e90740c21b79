// SPDX-License-Identifier: GPL-2.0
/*
 * URLs: RFC 3986, as far as https (RFC 9110, 4.2.2) has use for it.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "http.h"

#define HTTPS_PORT 443
#define ALPHANUMERIC "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

static int fail(const char **why, int err, const char *text)
{
	*why = text;
	return -err;
}

/* Takes "scheme:" off; NULL: there is none. */
static const char *skip_scheme(const char *text)
{
	size_t n = strspn(text, ALPHANUMERIC "+-.");

	return n && text[n] == ':' ? text + n + 1 : NULL;
}

static int check_scheme(const char *text, const char **why)
{
	if (!strncasecmp(text, "https:", 6))
		return 0;
	if (!strncasecmp(text, "http:", 5))
		return fail(why, EPROTONOSUPPORT, "http is not encrypted, only https is fetched");
	if (skip_scheme(text))
		return fail(why, EPROTONOSUPPORT, "only https is fetched");
	return fail(why, EINVAL, "a URL begins with https://");
}

static int parse_port(struct http_url *url, const char *text, size_t len, const char **why)
{
	unsigned int port = 0;

	url->port = HTTPS_PORT;
	if (!len)
		return 0;	/* "host:" means the usual one */
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return fail(why, EINVAL, "the port is no number");
		port = port * 10 + (text[i] - '0');
		if (port > UINT16_MAX)
			return fail(why, EINVAL, "the port is above 65535");
	}
	if (!port)
		return fail(why, EINVAL, "the port is 0");
	url->port = port;
	return 0;
}

static int set_host(struct http_url *url, const char *text, size_t len, const char **why)
{
	if (!len)
		return fail(why, EINVAL, "the host is missing");
	if (len > HTTP_HOST_MAX)
		return fail(why, ENAMETOOLONG, "the host's name is too long");
	memcpy(url->host, text, len);
	url->host[len] = '\0';
	return 0;
}

/* "[address]" */
static int parse_literal(struct http_url *url, const char *text, size_t len, const char **why)
{
	const char *end = memchr(text, ']', len);
	struct in6_addr addr;
	int err;

	if (!end)
		return fail(why, EINVAL, "the bracket of the address is not closed");
	err = set_host(url, text + 1, end - text - 1, why);
	if (err)
		return err;
	if (inet_pton(AF_INET6, url->host, &addr) != 1)
		return fail(why, EINVAL, "in brackets stands an IPv6 address, without zone");
	url->ipv6 = true;
	len -= end + 1 - text;
	if (len && end[1] != ':')
		return fail(why, EINVAL, "after the bracket comes a port or nothing");
	return parse_port(url, end + 2, len ? len - 1 : 0, why);
}

static int parse_name(struct http_url *url, const char *text, size_t len, const char **why)
{
	const char *colon = memchr(text, ':', len);
	size_t host = colon ? (size_t)(colon - text) : len;
	int err;

	err = set_host(url, text, host, why);
	if (err)
		return err;
	if (strspn(url->host, ALPHANUMERIC "-._") != host || url->host[0] == '.' ||
	    strstr(url->host, ".."))
		return fail(why, EINVAL, "the host's name has what no name has (write other alphabets as xn--...)");
	/* the final dot of a full name is not part of certificates */
	if (url->host[host - 1] == '.')
		url->host[host - 1] = '\0';
	return parse_port(url, text + host + 1, colon ? len - host - 1 : 0, why);
}

static int parse_authority(struct http_url *url, const char *text, size_t len, const char **why)
{
	url->ipv6 = false;
	if (memchr(text, '@', len))
		return fail(why, EINVAL, "a user name or password in a URL is not supported");
	return *text == '[' ? parse_literal(url, text, len, why) : parse_name(url, text, len, why);
}

/*
 * Appends path or query.  What must not stand in a request is written in
 * percent form, but controls and blanks, which only a mistake puts there.
 */
static int add_target(struct http_url *url, const char *text, size_t len, const char **why)
{
	size_t used = strlen(url->target);

	for (size_t i = 0; i < len; i++) {
		unsigned char c = text[i];

		if (c <= ' ' || c == 0x7f)
			return fail(why, EINVAL, "a blank or control character in the URL (write it as %XX)");
		if (used + 3 > HTTP_TARGET_MAX)
			return fail(why, ENAMETOOLONG, "the URL is too long");
		if (c < 0x80)
			url->target[used++] = c;
		else
			used += sprintf(url->target + used, "%%%02X", c);
	}
	url->target[used] = '\0';
	return 0;
}

/* "//authority/path?query#fragment" */
static int parse_rest(struct http_url *url, const char *text, const char **why)
{
	size_t len;
	int err;

	if (strncmp(text, "//", 2))
		return fail(why, EINVAL, "a URL begins with https://");
	text += 2;
	len = strcspn(text, "/?#");
	err = parse_authority(url, text, len, why);
	if (err)
		return err;
	text += len;
	strcpy(url->target, *text == '/' ? "" : "/");
	return add_target(url, text, strcspn(text, "#"), why);
}

int http_url_parse(struct http_url *url, const char *text, const char **why)
{
	int err = check_scheme(text, why);

	return err ? err : parse_rest(url, skip_scheme(text), why);
}

/* RFC 3986, 5.2.4, of a path that begins with '/', in place. */
static void remove_dots(char *path)
{
	char *query = strchrnul(path, '?'), *in = path, *out = path;

	while (in < query) {
		size_t len = 1 + strcspn(in + 1, "/?");
		bool dot = len == 2 && in[1] == '.';
		bool dots = len == 3 && in[1] == '.' && in[2] == '.';

		if (dots)
			while (out > path && *--out != '/')
				;
		if (!dot && !dots) {
			memmove(out, in, len);
			out += len;
		} else if (in + len == query) {
			*out++ = '/';
		}
		in += len;
	}
	memmove(out, query, strlen(query) + 1);
}

/* What is kept of the base's target before a relative reference. */
static void cut_base(char *target, const char *location)
{
	size_t path = strcspn(target, "?");

	if (*location == '/')
		target[0] = '\0';
	else if (*location && *location != '#')
		target[path] = '\0';
	if (*location && !strchr("/?#", *location))
		strrchr(target, '/')[1] = '\0';
}

int http_url_follow(struct http_url *to, const struct http_url *from,
		    const char *location, const char **why)
{
	struct http_url url = *from;
	int err;

	if (skip_scheme(location)) {
		err = http_url_parse(&url, location, why);
	} else if (!strncmp(location, "//", 2)) {
		err = parse_rest(&url, location, why);
	} else {
		cut_base(url.target, location);
		err = add_target(&url, location, strcspn(location, "#"), why);
	}
	if (err)
		return err;
	remove_dots(url.target);
	*to = url;
	return 0;
}

char *http_url_authority(char *dst, size_t size, const struct http_url *url)
{
	char port[8] = "";

	if (url->port != HTTPS_PORT)
		snprintf(port, sizeof(port), ":%u", url->port);
	snprintf(dst, size, url->ipv6 ? "[%s]%s" : "%s%s", url->host, port);
	return dst;
}

char *http_url_text(char *dst, size_t size, const struct http_url *url)
{
	char authority[HTTP_HOST_MAX + 16];

	snprintf(dst, size, "https://%s%s",
		 http_url_authority(authority, sizeof(authority), url), url->target);
	return dst;
}

static int hex_value(char c)
{
	if (!isxdigit((unsigned char)c))
		return -1;
	return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
}

int http_url_file(char *dst, size_t size, const struct http_url *url)
{
	size_t path = strcspn(url->target, "?"), used = 0;
	const char *at = url->target + path;

	while (at[-1] != '/')
		at--;
	while (at < url->target + path) {
		unsigned char c = *at++;

		if (c == '%' && hex_value(at[0]) >= 0 && hex_value(at[1]) >= 0) {
			c = hex_value(at[0]) << 4 | hex_value(at[1]);
			at += 2;
		}
		if (c < ' ' || c == 0x7f || c == '/' || used + 1 >= size)
			return -EINVAL;
		dst[used++] = c;
	}
	dst[used] = '\0';
	return !used || !strcmp(dst, ".") || !strcmp(dst, "..") ? -EINVAL : 0;
}
