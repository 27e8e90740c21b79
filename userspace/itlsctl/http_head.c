// SPDX-License-Identifier: GPL-2.0
/*
 * The head of a response: status line and the fields that matter to a
 * download (RFC 9112, 4 and 5).  A line may end in LF alone.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "http.h"

#define TOKEN "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

struct span {
	const char *at;
	size_t len;
};

static int fail(const char **why, const char *text)
{
	*why = text;
	return -EPROTO;
}

size_t http_head_len(const char *buf, size_t len)
{
	const char *at = buf, *end = buf + len, *lf;

	while ((lf = memchr(at, '\n', end - at))) {
		size_t line = lf - at;

		at = lf + 1;
		if (!line || (line == 1 && lf[-1] == '\r'))
			return at - buf;
	}
	return 0;
}

/* The next line without its end. */
static struct span take_line(struct span *rest)
{
	const char *lf = memchr(rest->at, '\n', rest->len);
	struct span line = { rest->at, lf ? (size_t)(lf - rest->at) : rest->len };
	size_t taken = lf ? line.len + 1 : line.len;

	if (line.len && line.at[line.len - 1] == '\r')
		line.len--;
	rest->at += taken;
	rest->len -= taken;
	return line;
}

static struct span trim(struct span s)
{
	while (s.len && (*s.at == ' ' || *s.at == '\t')) {
		s.at++;
		s.len--;
	}
	while (s.len && (s.at[s.len - 1] == ' ' || s.at[s.len - 1] == '\t'))
		s.len--;
	return s;
}

static bool is_word(struct span s, const char *word)
{
	return s.len == strlen(word) && !strncasecmp(s.at, word, s.len);
}

/* All of @s is one number. */
static bool to_number(struct span s, uint64_t *value)
{
	*value = 0;
	for (size_t i = 0; i < s.len; i++) {
		unsigned int digit = s.at[i] - '0';

		/* offsets of files are signed */
		if (digit > 9 || *value > ((uint64_t)INT64_MAX - digit) / 10)
			return false;
		*value = *value * 10 + digit;
	}
	return s.len > 0;
}

/* What stands before @c, which is taken off @s with it. */
static bool split(struct span *s, char c, struct span *before)
{
	const char *at = memchr(s->at, c, s->len);

	if (!at)
		return false;
	*before = (struct span){ s->at, at - s->at };
	s->len -= before->len + 1;
	s->at = at + 1;
	return true;
}

/* Made safe for a terminal: the server chose it. */
static void set_reason(struct http_head *head, struct span text)
{
	size_t n = text.len < sizeof(head->reason) - 1 ? text.len : sizeof(head->reason) - 1;

	for (size_t i = 0; i < n; i++)
		head->reason[i] = text.at[i] >= ' ' && text.at[i] < 0x7f ? text.at[i] : '?';
	head->reason[n] = '\0';
}

/* "HTTP/1.1 200 OK" */
static int parse_status(struct http_head *head, struct span line, const char **why)
{
	struct span version, code;
	uint64_t status;

	if (!split(&line, ' ', &version) || version.len != 8 || strncmp(version.at, "HTTP/1.", 7))
		return fail(why, "it does not begin as HTTP/1.1 does");
	if (!split(&line, ' ', &code)) {
		code = line;
		line.len = 0;
	}
	if (code.len != 3 || !to_number(code, &status) || status < 100)
		return fail(why, "its status is no number of three digits");
	head->status = status;
	set_reason(head, line);
	return 0;
}

static int field_length(struct http_head *head, struct span value, const char **why)
{
	uint64_t length;

	if (!to_number(value, &length))
		return fail(why, "Content-Length is no number");
	if (head->has_length && head->length != length)
		return fail(why, "it has two lengths (Content-Length)");
	head->has_length = true;
	head->length = length;
	return 0;
}

static int field_transfer(struct http_head *head, struct span value, const char **why)
{
	if (head->chunked || !is_word(value, "chunked"))
		return fail(why, "its Transfer-Encoding is one that was not asked for");
	head->chunked = true;
	return 0;
}

/* "bytes 0-499/1234", or '*' for what is not known or not satisfied. */
static int field_range(struct http_head *head, struct span value, const char **why)
{
	struct span unit, range, first;
	bool good;

	if (!split(&value, ' ', &unit) || !is_word(unit, "bytes") || !split(&value, '/', &range))
		return fail(why, "its Content-Range is malformed");
	head->has_total = !is_word(value, "*");
	good = !head->has_total || to_number(value, &head->total);
	head->first = 1;
	head->last = 0;
	if (!is_word(range, "*"))
		good = good && split(&range, '-', &first) && to_number(first, &head->first) &&
		       to_number(range, &head->last) && head->first <= head->last &&
		       (!head->has_total || head->last < head->total);
	if (!good)
		return fail(why, "its Content-Range is malformed");
	head->has_range = true;
	return 0;
}

static int field_location(struct http_head *head, struct span value, const char **why)
{
	if (value.len >= sizeof(head->location))
		return fail(why, "its Location is too long");
	memcpy(head->location, value.at, value.len);
	head->location[value.len] = '\0';
	return 0;
}

static const struct {
	const char *name;
	int (*parse)(struct http_head *head, struct span value, const char **why);
} fields[] = {
	{ "Content-Length", field_length },
	{ "Transfer-Encoding", field_transfer },
	{ "Content-Range", field_range },
	{ "Location", field_location },
};

static int parse_field(struct http_head *head, struct span line, const char **why)
{
	struct span name;

	if (!split(&line, ':', &name) || !name.len)
		return fail(why, "a line of it is no field");
	for (size_t i = 0; i < name.len; i++)
		if (!strchr(TOKEN, name.at[i]))
			return fail(why, "a line of it is no field");
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		if (is_word(name, fields[i].name))
			return fields[i].parse(head, trim(line), why);
	return 0;
}

int http_head_parse(struct http_head *head, const char *buf, size_t len, const char **why)
{
	struct span rest = { buf, len }, line;
	int err;

	*head = (struct http_head){ 0 };
	if (memchr(buf, '\0', len))
		return fail(why, "it has a NUL byte");
	err = parse_status(head, take_line(&rest), why);
	while (!err && rest.len) {
		line = take_line(&rest);
		if (!line.len)
			break;
		err = parse_field(head, line, why);
	}
	return err;
}
