// SPDX-License-Identifier: GPL-2.0
/*
 * The chunked coding (RFC 9112, 7.1), byte by byte: sizes, extensions and
 * trailers are read and dropped, data is left to the caller.
 *
 *   SIZE -> EXTENSION -> SIZE_LF -> DATA -> DATA_CR -> DATA_LF -> SIZE ...
 *                           size 0: -> TRAILER <-> TRAILER_LINE, then END
 */
#include <errno.h>

#include "http.h"

static int fail(const char **why, const char *text)
{
	*why = text;
	return -EPROTO;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The line with the size is over. */
static int end_size(struct http_chunks *c, const char **why)
{
	if (!c->digits)
		return fail(why, "a chunk has no size");
	c->digits = 0;
	c->line = 0;
	c->state = c->left ? HTTP_CHUNK_DATA : HTTP_CHUNK_TRAILER;
	return 0;
}

static int in_size(struct http_chunks *c, char byte, const char **why)
{
	int digit = hex_digit(byte);

	if (digit >= 0) {
		if (c->left > INT64_MAX >> 4 || ++c->digits > 32)
			return fail(why, "a chunk's size is too large");
		c->left = c->left << 4 | digit;
		return 0;
	}
	if (byte == '\n')
		return end_size(c, why);
	if (byte != '\r' && byte != ';' && byte != ' ' && byte != '\t')
		return fail(why, "a chunk's size is no number");
	if (!c->digits)
		return fail(why, "a chunk has no size");
	c->state = byte == '\r' ? HTTP_CHUNK_SIZE_LF : HTTP_CHUNK_EXTENSION;
	return 0;
}

static int in_extension(struct http_chunks *c, char byte, const char **why)
{
	if (byte == '\n')
		return end_size(c, why);
	if (byte == '\r')
		c->state = HTTP_CHUNK_SIZE_LF;
	else if (++c->line > HTTP_LINE_MAX)
		return fail(why, "a chunk's head is too long");
	return 0;
}

static int in_size_lf(struct http_chunks *c, char byte, const char **why)
{
	return byte == '\n' ? end_size(c, why) : fail(why, "a chunk's size is no number");
}

static int in_data_end(struct http_chunks *c, char byte, const char **why)
{
	if (byte == '\r' && c->state == HTTP_CHUNK_DATA_CR)
		c->state = HTTP_CHUNK_DATA_LF;
	else if (byte == '\n')
		c->state = HTTP_CHUNK_SIZE;
	else
		return fail(why, "a chunk is longer than it said");
	return 0;
}

static int in_trailer(struct http_chunks *c, char byte, const char **why)
{
	bool at_start = c->state == HTTP_CHUNK_TRAILER;

	if (++c->trailers > HTTP_HEAD_MAX)
		return fail(why, "what follows the last chunk is too long");
	if (at_start && byte == '\r')
		c->state = HTTP_CHUNK_TRAILER_LF;
	else if (byte == '\n')
		c->state = at_start ? HTTP_CHUNK_END : HTTP_CHUNK_TRAILER;
	else
		c->state = HTTP_CHUNK_TRAILER_LINE;
	return 0;
}

static int in_trailer_lf(struct http_chunks *c, char byte, const char **why)
{
	if (byte != '\n')
		return fail(why, "what follows the last chunk is malformed");
	c->state = HTTP_CHUNK_END;
	return 0;
}

static int (*const steps[])(struct http_chunks *c, char byte, const char **why) = {
	[HTTP_CHUNK_SIZE] = in_size,
	[HTTP_CHUNK_EXTENSION] = in_extension,
	[HTTP_CHUNK_SIZE_LF] = in_size_lf,
	[HTTP_CHUNK_DATA_CR] = in_data_end,
	[HTTP_CHUNK_DATA_LF] = in_data_end,
	[HTTP_CHUNK_TRAILER] = in_trailer,
	[HTTP_CHUNK_TRAILER_LINE] = in_trailer,
	[HTTP_CHUNK_TRAILER_LF] = in_trailer_lf,
};

ssize_t http_chunks_feed(struct http_chunks *c, const char *buf, size_t len, const char **why)
{
	size_t n = 0;
	int err;

	while (n < len && c->state != HTTP_CHUNK_DATA && c->state != HTTP_CHUNK_END) {
		err = steps[c->state](c, buf[n++], why);
		if (err)
			return err;
	}
	return n;
}

void http_chunks_took(struct http_chunks *c, uint64_t n)
{
	c->left -= n;
	if (!c->left)
		c->state = HTTP_CHUNK_DATA_CR;
}
