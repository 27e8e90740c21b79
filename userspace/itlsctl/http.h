/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What get understands of HTTP/1.1: URLs, the head of a response, the chunked
 * coding.  Parsing alone, of bytes that strangers chose, into buffers of fixed
 * size: no descriptor, no allocation, no output.  RFC 3986, 9110 and 9112.
 *
 * Functions return 0 (or a count) or -errno; *@why then says in a few words
 * what was wrong.
 */
#ifndef ITLSCTL_HTTP_H
#define ITLSCTL_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define HTTP_HOST_MAX	253	/* a DNS name */
#define HTTP_TARGET_MAX	4095
#define HTTP_URL_MAX	(HTTP_HOST_MAX + HTTP_TARGET_MAX + 32)
#define HTTP_HEAD_MAX	32768	/* of a response, trailers likewise */
#define HTTP_LINE_MAX	4096	/* of a chunk's head */

struct http_url {
	char host[HTTP_HOST_MAX + 1];	/* name or address, without brackets */
	bool ipv6;			/* an IPv6 literal */
	uint16_t port;
	char target[HTTP_TARGET_MAX + 1]; /* path and query: begins with '/' */
};

struct http_head {
	unsigned int status;
	char reason[64];		/* printable */
	bool chunked;
	bool has_length;
	uint64_t length;		/* Content-Length */
	bool has_range;			/* Content-Range; its length may be unknown */
	bool has_total;
	uint64_t first, last, total;	/* first > last: unsatisfied */
	char location[HTTP_URL_MAX + 1]; /* "": none */
};

/* -EPROTONOSUPPORT: not https; -EINVAL, -ENAMETOOLONG: no URL of ours. */
int http_url_parse(struct http_url *url, const char *text, const char **why);
/* @to: what the reference @location means, seen from @from; may be the same. */
int http_url_follow(struct http_url *to, const struct http_url *from,
		    const char *location, const char **why);
/* "https://host:port/path"; needs HTTP_URL_MAX + 1 bytes; returns @dst. */
char *http_url_text(char *dst, size_t size, const struct http_url *url);
/* As in the field Host: brackets, and no port when it is 443. */
char *http_url_authority(char *dst, size_t size, const struct http_url *url);
/* The path's last component, decoded.  -EINVAL: it cannot be a file's name. */
int http_url_file(char *dst, size_t size, const struct http_url *url);

/* Length of the head, blank line included; 0: not all of it is there. */
size_t http_head_len(const char *buf, size_t len);
/* @buf holds exactly the head. */
int http_head_parse(struct http_head *head, const char *buf, size_t len, const char **why);

enum http_chunk_state {
	HTTP_CHUNK_SIZE,	/* a chunk's head */
	HTTP_CHUNK_EXTENSION,
	HTTP_CHUNK_SIZE_LF,
	HTTP_CHUNK_DATA,	/* left bytes of data come */
	HTTP_CHUNK_DATA_CR,	/* the end of line after them */
	HTTP_CHUNK_DATA_LF,
	HTTP_CHUNK_TRAILER,	/* at the beginning of a line */
	HTTP_CHUNK_TRAILER_LINE,
	HTTP_CHUNK_TRAILER_LF,	/* of the blank line */
	HTTP_CHUNK_END,
};

/* Zero it before use. */
struct http_chunks {
	enum http_chunk_state state;
	uint64_t left;		/* bytes of data, in HTTP_CHUNK_DATA */
	unsigned int digits;
	size_t line, trailers;	/* bytes seen */
};

/*
 * Takes bytes around the data, until data or the end comes or @len is used up.
 * Returns how many bytes those were.
 */
ssize_t http_chunks_feed(struct http_chunks *c, const char *buf, size_t len, const char **why);
/* @n bytes of data, at most left, were taken. */
void http_chunks_took(struct http_chunks *c, uint64_t n);

#endif
