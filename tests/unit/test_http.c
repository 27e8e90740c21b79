// SPDX-License-Identifier: GPL-2.0
/*
 * What itlsctl get understands of HTTP: URLs, heads, chunks, and that no bytes
 * whatever bring the parsers out of their buffers (run it under ASan to see).
 * TAP on standard output.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "itlsctl/http.h"
#include "tap.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define FUZZ_ROUNDS 200000

static const char *why = "";	/* what the parsers said last */

/* @detail: NULL for what the parsers said. */
static void judge(bool good, const char *name, const char *detail)
{
	check_note(good, name, detail ? detail : why);
}

/* A URL and how it is written when it has been understood. */
static const struct {
	const char *text;
	const char *host;
	unsigned int port;
	const char *target;
	const char *authority;
} urls[] = {
	{ "https://a.example", "a.example", 443, "/", "a.example" },
	{ "HTTPS://a.example/", "a.example", 443, "/", "a.example" },
	{ "https://a.example:443/x", "a.example", 443, "/x", "a.example" },
	{ "https://a.example:8443/x?y=/z#f", "a.example", 8443, "/x?y=/z", "a.example:8443" },
	{ "https://a.example:/x", "a.example", 443, "/x", "a.example" },
	{ "https://a.example?q", "a.example", 443, "/?q", "a.example" },
	{ "https://a.example#f", "a.example", 443, "/", "a.example" },
	{ "https://a.example./", "a.example", 443, "/", "a.example" },
	{ "https://192.0.2.1:65535/", "192.0.2.1", 65535, "/", "192.0.2.1:65535" },
	{ "https://[2001:db8::1]/", "2001:db8::1", 443, "/", "[2001:db8::1]" },
	{ "https://[::1]:1/x", "::1", 1, "/x", "[::1]:1" },
	{ "https://a/b@c:d", "a", 443, "/b@c:d", "a" },
	{ "https://a/\303\244", "a", 443, "/%C3%A4", "a" },
	{ "https://a/%2e%20", "a", 443, "/%2e%20", "a" },
};

static void test_urls(void)
{
	struct http_url url;
	char authority[300];

	for (size_t i = 0; i < COUNT(urls); i++) {
		bool good = !http_url_parse(&url, urls[i].text, &why) && !strcmp(url.host, urls[i].host) &&
			    url.port == urls[i].port && !strcmp(url.target, urls[i].target);

		http_url_authority(authority, sizeof(authority), &url);
		judge(good && !strcmp(authority, urls[i].authority), urls[i].text, authority);
	}
}

static const struct {
	const char *text;
	int err;
	const char *why;
} bad_urls[] = {
	{ "http://a/", -EPROTONOSUPPORT, "not encrypted" },
	{ "ftp://a/", -EPROTONOSUPPORT, "only https" },
	{ "a.example/x", -EINVAL, "begins with https" },
	{ "", -EINVAL, "begins with https" },
	{ "https:a", -EINVAL, "begins with https" },
	{ "https:///x", -EINVAL, "host is missing" },
	{ "https://:443/", -EINVAL, "host is missing" },
	{ "https://[]/", -EINVAL, "host is missing" },
	{ "https://a../", -EINVAL, "no name has" },
	{ "https://./", -EINVAL, "no name has" },
	{ "https://[::1/", -EINVAL, "not closed" },
	{ "https://[1.2.3.4]/", -EINVAL, "IPv6 address" },
	{ "https://[fe80::1%25eth0]/", -EINVAL, "without zone" },
	{ "https://[::1]x/", -EINVAL, "after the bracket" },
	{ "https://a:0/", -EINVAL, "port is 0" },
	{ "https://a:65536/", -EINVAL, "above 65535" },
	{ "https://a:4294967297/", -EINVAL, "above 65535" },
	{ "https://a:-1/", -EINVAL, "no number" },
	{ "https://a:b:1/", -EINVAL, "no number" },
	{ "https://u:p@a/", -EINVAL, "user name or password" },
	{ "https://a b/", -EINVAL, "no name has" },
	{ "https://\303\244/", -EINVAL, "xn--" },
	{ "https://a/b c", -EINVAL, "blank or control" },
	{ "https://a/\r\nHost: b", -EINVAL, "blank or control" },
	{ "https://a/\177", -EINVAL, "blank or control" },
};

static void test_bad_urls(void)
{
	struct http_url url;

	for (size_t i = 0; i < COUNT(bad_urls); i++) {
		why = "accepted";
		judge(http_url_parse(&url, bad_urls[i].text, &why) == bad_urls[i].err &&
		      strstr(why, bad_urls[i].why), bad_urls[i].why, NULL);
	}
}

/* Fills "https://" HOST "/" PATH of these lengths. */
static const char *long_url(char *buf, size_t host, size_t path)
{
	strcpy(buf, "https://");
	memset(buf + 8, 'h', host);
	buf[8 + host] = '/';
	memset(buf + 9 + host, 'p', path);
	buf[9 + host + path] = '\0';
	return buf;
}

static void test_long_urls(void)
{
	static char buf[HTTP_URL_MAX * 2], out[HTTP_URL_MAX + 1];
	struct http_url url;

	judge(!http_url_parse(&url, long_url(buf, HTTP_HOST_MAX, HTTP_TARGET_MAX - 3), &why) &&
	      !strcmp(http_url_text(out, sizeof(out), &url), buf), "the longest URL", NULL);
	judge(http_url_parse(&url, long_url(buf, HTTP_HOST_MAX + 1, 1), &why) == -ENAMETOOLONG,
	      "a host too long", NULL);
	judge(http_url_parse(&url, long_url(buf, 1, HTTP_TARGET_MAX), &why) == -ENAMETOOLONG, "a path too long", NULL);
	long_url(buf, 1, HTTP_TARGET_MAX);
	memset(buf + 10, 0xff, HTTP_TARGET_MAX);
	judge(http_url_parse(&url, buf, &why) == -ENAMETOOLONG, "a path too long once encoded", NULL);
}

/* RFC 3986, 5.4, as far as it is http's. */
static const struct {
	const char *location;
	const char *target;
} references[] = {
	{ "g", "/b/c/g" }, { "./g", "/b/c/g" }, { "g/", "/b/c/g/" }, { "/g", "/g" },
	{ "?y", "/b/c/d;p?y" }, { "g?y", "/b/c/g?y" }, { "#s", "/b/c/d;p?q" }, { "g#s", "/b/c/g" },
	{ ";x", "/b/c/;x" }, { "", "/b/c/d;p?q" }, { ".", "/b/c/" }, { "./", "/b/c/" }, { "..", "/b/" },
	{ "../", "/b/" }, { "../g", "/b/g" }, { "../..", "/" }, { "../../", "/" }, { "../../g", "/g" },
	{ "../../../g", "/g" }, { "/./g", "/g" }, { "/../g", "/g" }, { "g.", "/b/c/g." }, { "..g", "/b/c/..g" },
	{ "./../g", "/b/g" }, { "./g/.", "/b/c/g/" }, { "g/../h", "/b/c/h" }, { "g?y/../x", "/b/c/g?y/../x" },
	{ "https://a/x", "/x" }, { "//a/x?y", "/x?y" },
};

static void test_references(void)
{
	struct http_url base, url;

	http_url_parse(&base, "https://a/b/c/d;p?q", &why);
	for (size_t i = 0; i < COUNT(references); i++)
		judge(!http_url_follow(&url, &base, references[i].location, &why) &&
		      !strcmp(url.target, references[i].target), references[i].location, url.target);
	judge(!http_url_follow(&url, &base, "//b:1/x", &why) && !strcmp(url.host, "b") && url.port == 1,
	      "a reference to another host", url.host);
	judge(!http_url_follow(&base, &base, "https://[::1]", &why) && base.ipv6 && !strcmp(base.target, "/"),
	      "a reference in place", base.target);
	judge(http_url_follow(&url, &base, "http://a/", &why) == -EPROTONOSUPPORT, "a reference to http", NULL);
}

static const struct {
	const char *url;
	const char *name;	/* NULL: none */
} files[] = {
	{ "https://a/b/c.iso", "c.iso" }, { "https://a/c?d/e", "c" }, { "https://a/%41%20b", "A b" },
	{ "https://a/%zz%4", "%zz%4" }, { "https://a/\303\244", "\303\244" },
	{ "https://a", NULL }, { "https://a/b/", NULL }, { "https://a/..", NULL }, { "https://a/%2e%2E", NULL },
	{ "https://a/.", NULL }, { "https://a/..%2fetc", NULL }, { "https://a/%00", NULL }, { "https://a/%1b", NULL },
};

static void test_files(void)
{
	char name[16], small[3];
	struct http_url url;
	int err;

	for (size_t i = 0; i < COUNT(files); i++) {
		http_url_parse(&url, files[i].url, &why);
		err = http_url_file(name, sizeof(name), &url);
		judge(files[i].name ? !err && !strcmp(name, files[i].name) : err == -EINVAL, files[i].url, name);
	}
	http_url_parse(&url, "https://a/abc", &why);
	judge(http_url_file(small, sizeof(small), &url) == -EINVAL, "a file's name too long", small);
}

static struct http_head head;

static int parse_head(const char *text)
{
	size_t len = http_head_len(text, strlen(text));

	why = "";
	return len ? http_head_parse(&head, text, len, &why) : -EAGAIN;
}

static void test_head(void)
{
	judge(!parse_head("HTTP/1.1 206 Partial Content\r\ncontent-LENGTH:  10 \r\nContent-Range: bytes 5-14/20\r\n"
			  "Location: /x\t\r\nX-Other: y: z\r\n\r\nbody") &&
	      head.status == 206 && !strcmp(head.reason, "Partial Content") && head.has_length && head.length == 10 &&
	      head.has_range && head.first == 5 && head.last == 14 && head.has_total && head.total == 20 &&
	      !strcmp(head.location, "/x") && !head.chunked, "a head", NULL);
	judge(!parse_head("HTTP/1.0 200\n\n") && head.status == 200 && !*head.reason && !head.has_length,
	      "the least head", NULL);
	judge(!parse_head("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n") && head.chunked, "chunked", NULL);
	judge(!parse_head("HTTP/1.1 416 x\r\nContent-Range: bytes */7\r\n\r\n") && head.has_range &&
	      head.first > head.last && head.total == 7, "an unsatisfied range", NULL);
	judge(!parse_head("HTTP/1.1 206 x\r\nContent-Range: bytes 0-0/*\r\n\r\n") && head.has_range &&
	      !head.has_total, "a range of an unknown whole", NULL);
	judge(!parse_head("HTTP/1.1 200 x\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n") && head.length == 3,
	      "the same length twice", NULL);
	judge(!parse_head("HTTP/1.1 200 x\r\nContent-Length: 9223372036854775807\r\n\r\n") &&
	      head.length == INT64_MAX, "the largest length", NULL);
	judge(!parse_head("HTTP/1.1 200 \033[2J\377\r\n\r\n") && !strcmp(head.reason, "?[2J?"),
	      "a reason is made printable", head.reason);
	judge(!http_head_len("HTTP/1.1 200 OK\r\nA: b\r\n", 23), "half a head is none", NULL);
	judge(http_head_len("A\r\n\r\n\r\n", 7) == 5, "a head ends at the first blank line", NULL);
}

static const struct {
	const char *text;
	const char *why;
} bad_heads[] = {
	{ "HTTP/2 200 OK\r\n\r\n", "does not begin" }, { "HTTP/2.0 200 OK\r\n\r\n", "does not begin" },
	{ "\r\n\r\n", "does not begin" }, { "HTTP/1.1\r\n\r\n", "does not begin" },
	{ "HTTP/1.1 20 OK\r\n\r\n", "three digits" }, { "HTTP/1.1 2000 OK\r\n\r\n", "three digits" },
	{ "HTTP/1.1 abc OK\r\n\r\n", "three digits" }, { "HTTP/1.1 099 OK\r\n\r\n", "three digits" },
	{ "HTTP/1.1 200 OK\r\nA\r\n\r\n", "no field" }, { "HTTP/1.1 200 OK\r\nA : b\r\n\r\n", "no field" },
	{ "HTTP/1.1 200 OK\r\nA: b\r\n folded: x\r\n\r\n", "no field" },
	{ "HTTP/1.1 200 OK\r\n: b\r\n\r\n", "no field" },
	{ "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "no number" },
	{ "HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775808\r\n\r\n", "no number" },
	{ "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n", "no number" },
	{ "HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\n", "no number" },
	{ "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "two lengths" },
	{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "not asked for" },
	{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", "not asked for" },
	{ "HTTP/1.1 206 x\r\nContent-Range: bytes 5-4/9\r\n\r\n", "Content-Range" },
	{ "HTTP/1.1 206 x\r\nContent-Range: bytes 0-9/9\r\n\r\n", "Content-Range" },
	{ "HTTP/1.1 206 x\r\nContent-Range: lines 0-1/9\r\n\r\n", "Content-Range" },
	{ "HTTP/1.1 206 x\r\nContent-Range: bytes 0-1\r\n\r\n", "Content-Range" },
	{ "HTTP/1.1 206 x\r\nContent-Range: bytes -1/9\r\n\r\n", "Content-Range" },
};

static void test_bad_heads(void)
{
	static char large[HTTP_URL_MAX + 64];

	for (size_t i = 0; i < COUNT(bad_heads); i++)
		judge(parse_head(bad_heads[i].text) == -EPROTO && strstr(why, bad_heads[i].why),
		      bad_heads[i].why, NULL);
	judge(http_head_parse(&head, "HTTP/1.1 200 O\0K\r\n\r\n", 20, &why) == -EPROTO &&
	      strstr(why, "NUL"), "a NUL", NULL);
	sprintf(large, "HTTP/1.1 302 x\r\nLocation: %0*d\r\n\r\n", HTTP_URL_MAX + 1, 0);
	judge(parse_head(large) == -EPROTO && strstr(why, "Location is too long"), "a Location too long", NULL);
	sprintf(large, "HTTP/1.1 302 x\r\nLocation: %0*d\r\n\r\n", HTTP_URL_MAX, 0);
	judge(!parse_head(large) && strlen(head.location) == HTTP_URL_MAX, "the longest Location", NULL);
}

/* Decodes @text, given in pieces of @step bytes, into @out; 0 or -errno. */
static int decode(const char *text, size_t len, size_t step, char *out)
{
	struct http_chunks c = { 0 };
	size_t at = 0;
	ssize_t n;

	why = "";
	while (at < len && c.state != HTTP_CHUNK_END) {
		size_t piece = len - at < step ? len - at : step;

		if (c.state == HTTP_CHUNK_DATA) {
			if (piece > c.left)
				piece = c.left;
			memcpy(out, text + at, piece);
			out += piece;
			http_chunks_took(&c, piece);
			n = piece;
		} else {
			n = http_chunks_feed(&c, text + at, piece, &why);
		}
		if (n < 0)
			return n;
		at += n;
	}
	*out = '\0';
	return c.state == HTTP_CHUNK_END && at == len ? 0 : -EAGAIN;
}

static const struct {
	const char *text;
	const char *data;	/* NULL: refused, and why */
	const char *why;
} chunked[] = {
	{ "0\r\n\r\n", "", NULL },
	{ "3\r\nabc\r\n0\r\n\r\n", "abc", NULL },
	{ "3\nabc\n0\n\n", "abc", NULL },
	{ "003;a=\"b\"\r\nabc\r\nA\r\n0123456789\r\n0;x\r\nTrailer: y\r\nB: c\r\n\r\n", "abc0123456789", NULL },
	{ "1 \r\na\r\n1\t;\r\nb\r\n0\r\n\r\n", "ab", NULL },
	{ "\r\n", NULL, "no size" }, { ";\r\n", NULL, "no size" }, { "\n", NULL, "no size" },
	{ "x\r\n", NULL, "no number" }, { "-1\r\n", NULL, "no number" }, { "1\rx", NULL, "no number" },
	{ "0x1\r\n", NULL, "no number" }, { "1\r\nab\r\n", NULL, "longer" }, { "1\r\na\rb", NULL, "longer" },
	{ "fffffffffffffffff\r\n", NULL, "too large" }, { "8000000000000000\r\n", NULL, "too large" },
	{ "0\r\n\rx", NULL, "malformed" },
};

static void test_chunks(void)
{
	char out[64];
	bool good;
	int err;

	for (size_t i = 0; i < COUNT(chunked); i++) {
		good = true;
		for (size_t step = 1; step <= strlen(chunked[i].text); step++) {
			err = decode(chunked[i].text, strlen(chunked[i].text), step, out);
			good = good && (chunked[i].data ? !err && !strcmp(out, chunked[i].data) :
							  err == -EPROTO && strstr(why, chunked[i].why));
		}
		judge(good, chunked[i].data ? "chunks, however they come" : chunked[i].why, chunked[i].text);
	}
}

static void test_chunk_limits(void)
{
	struct http_chunks c = { 0 };
	char line[] = { "xxxxxxxx" };
	ssize_t n;

	judge(http_chunks_feed(&c, "7fffffffffffffff\r\nxx", 20, &why) == 18 && c.left == INT64_MAX &&
	      c.state == HTTP_CHUNK_DATA, "the largest chunk", NULL);
	c = (struct http_chunks){ 0 };
	n = http_chunks_feed(&c, "1;", 2, &why);
	for (int i = 0; i < HTTP_LINE_MAX && n >= 0; i++)
		n = http_chunks_feed(&c, line, sizeof(line) - 1, &why);
	judge(n == -EPROTO && strstr(why, "head is too long"), "an endless extension", NULL);
	c = (struct http_chunks){ 0 };
	n = http_chunks_feed(&c, "0\r\n", 3, &why);
	for (int i = 0; i < HTTP_HEAD_MAX && n >= 0; i++)
		n = http_chunks_feed(&c, "a: b\r\n", 6, &why);
	judge(n == -EPROTO && strstr(why, "too long"), "endless trailers", NULL);
	c = (struct http_chunks){ 0 };
	n = 0;
	for (int i = 0; i < 1000 && n >= 0; i++)
		n = http_chunks_feed(&c, "0", 1, &why);
	judge(n == -EPROTO, "endless zeros", NULL);
}

/* A text of the tables with some bytes changed, of exactly its length on the heap. */
static char *mutate(const char *text, size_t *len)
{
	static const char bytes[] = "\r\n\t :;/?#[]@%.0129afAFxhttps\377";
	char *copy;

	*len = strlen(text);
	copy = malloc(*len + 1);
	memcpy(copy, text, *len + 1);
	for (int i = rand() % 4; i >= 0 && *len; i--)
		copy[rand() % *len] = bytes[rand() % (sizeof(bytes) - 1)];
	if (*len)
		*len -= rand() % *len;
	copy[*len] = '\0';
	return realloc(copy, *len + 1);
}

static bool fuzz_url(void)
{
	struct http_url base, url, again;
	char text[HTTP_URL_MAX + 1], name[32];
	size_t len;
	bool good = true;
	char *s;

	http_url_parse(&base, "https://a/b/c?d", &why);
	s = rand() % 2 ? mutate(urls[rand() % COUNT(urls)].text, &len) :
			 mutate(references[rand() % COUNT(references)].location, &len);
	if (!http_url_follow(&url, &base, s, &why)) {
		http_url_file(name, sizeof(name), &url);
		http_url_text(text, sizeof(text), &url);
		/* what was understood is understood again, and the same */
		good = url.target[0] == '/' && !http_url_parse(&again, text, &why) &&
		       !strcmp(again.target, url.target) && !strcmp(again.host, url.host);
		if (!good)
			printf("# %s became %s\n", s, text);
	}
	free(s);
	return good;
}

static bool fuzz_head(void)
{
	static const char good[] = "HTTP/1.1 206 OK\r\nContent-Length: 10\r\nContent-Range: bytes 5-14/20\r\n\r\n";
	size_t len, end;
	char *s;

	s = mutate(rand() % 2 ? good : bad_heads[rand() % COUNT(bad_heads)].text, &len);
	end = http_head_len(s, len);
	if (end && !http_head_parse(&head, s, end, &why) && head.has_range && head.first <= head.last)
		end = head.has_total && head.last >= head.total ? len + 1 : end;
	free(s);
	return end <= len;
}

static bool fuzz_chunks(void)
{
	char out[2][128];
	size_t len;
	char *s = mutate(chunked[rand() % COUNT(chunked)].text, &len);
	int one = decode(s, len, 1, out[0]);
	bool good = decode(s, len, 1 + rand() % 9, out[1]) == one &&
		    (one || !strcmp(out[0], out[1]));

	free(s);
	return good;
}

static void test_fuzz(const char *name, bool (*round)(void))
{
	bool good = true;

	srand(4);
	for (int i = 0; i < FUZZ_ROUNDS && good; i++)
		good = round();
	judge(good, name, "see above");
}

int main(void)
{
	test_urls();
	test_bad_urls();
	test_long_urls();
	test_references();
	test_files();
	test_head();
	test_bad_heads();
	test_chunks();
	test_chunk_limits();
	test_fuzz("mutated URLs", fuzz_url);
	test_fuzz("mutated heads", fuzz_head);
	test_fuzz("mutated chunks", fuzz_chunks);
	return tap_end();
}
