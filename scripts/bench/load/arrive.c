// SPDX-License-Identifier: GPL-2.0
/*
 * When do the bytes of an answer arrive?  A TLS client that asks for a file over
 * HTTP/1.1 and notes when it could read how much of it, from the moment it had
 * asked, and in how many records.  Prints the second half of a line of JSON.
 *
 * GnuTLS gives what one record holds, and nothing of a record before all of
 * it is there: as any TLS library must.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <gnutls/gnutls.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define FIRST_RECORDS	10

/* What happened after one request; first: a byte of the file could be read. */
struct answer {
	uint64_t start, first, whole;	/* ns */
	size_t head, len;		/* bytes of HTTP's header, and of all */
	unsigned int records;
	size_t sizes[FIRST_RECORDS];
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

static void check(int ret, const char *what)
{
	if (ret < 0)
		errx(1, "%s: %s", what, gnutls_strerror(ret));
}

static int dial(const char *address, const char *port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_port = htons(atoi(port)) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	if (inet_pton(AF_INET, address, &sin.sin_addr) != 1)
		errx(2, "'%s' is no IPv4 address", address);
	if (fd < 0 || connect(fd, (struct sockaddr *)&sin, sizeof(sin)))
		err(1, "cannot connect to %s port %s", address, port);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return fd;
}

static gnutls_session_t shake_hands(int fd, const char *ca)
{
	gnutls_certificate_credentials_t creds;
	gnutls_session_t session;

	check(gnutls_certificate_allocate_credentials(&creds), "credentials");
	check(gnutls_certificate_set_x509_trust_file(creds, ca, GNUTLS_X509_FMT_PEM), ca);
	check(gnutls_init(&session, GNUTLS_CLIENT), "session");
	check(gnutls_set_default_priority(session), "priority");
	check(gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, creds), "credentials");
	gnutls_session_set_verify_cert(session, "localhost", 0);
	gnutls_transport_set_int(session, fd);
	check(gnutls_handshake(session), "handshake");
	return session;
}

static void ask(gnutls_session_t session, const char *path, struct answer *a)
{
	char text[256];
	int len = snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path);

	memset(a, 0, sizeof(*a));
	a->start = now_ns();
	check(gnutls_record_send(session, text, len), "request");
}

/* Reads the header, which nginx sends in one record; returns bytes with the file. */
static size_t read_head(struct answer *a, const char *text)
{
	const char *end = strstr(text, "\r\n\r\n"), *len = strcasestr(text, "\r\ncontent-length:");

	if (strncmp(text, "HTTP/1.1 200", strlen("HTTP/1.1 200")))
		errx(1, "the server says '%.40s'", text);
	if (!end || !len || len > end)
		errx(1, "the server does not say in one record how long the file is");
	a->head = end + 4 - text;
	return a->head + strtoull(len + strlen("\r\ncontent-length:"), NULL, 10);
}

static void note(struct answer *a, size_t n)
{
	uint64_t now = now_ns();

	if (!a->first && a->len + n > a->head)
		a->first = now;
	if (a->records < FIRST_RECORDS)
		a->sizes[a->records] = n;
	a->records++;
	a->len += n;
	a->whole = now;
}

static void take(gnutls_session_t session, struct answer *a)
{
	static char buf[16385];
	size_t want = 1;
	ssize_t n;

	while (a->len < want) {
		n = gnutls_record_recv(session, buf, sizeof(buf) - 1);
		if (n == GNUTLS_E_AGAIN || n == GNUTLS_E_INTERRUPTED)
			continue;
		check(n, "answer");
		if (!n)
			errx(1, "the answer ends after %zu of %zu bytes", a->len, want);
		buf[n] = 0;
		if (!a->len)
			want = read_head(a, buf);
		note(a, n);
	}
}

static void print(const struct answer *a)
{
	unsigned int i;

	printf("\"bytes\":%zu,\"first_ns\":%llu,\"whole_ns\":%llu,\"records\":%u,\"sizes\":[",
	       a->len, (unsigned long long)(a->first - a->start),
	       (unsigned long long)(a->whole - a->start), a->records);
	for (i = 0; i < FIRST_RECORDS && i < a->records; i++)
		printf("%s%zu", i ? "," : "", a->sizes[i]);
	printf("]}\n");
}

int main(int argc, char **argv)
{
	gnutls_session_t session;
	struct answer a;

	if (argc != 6)
		errx(2, "usage: arrive ADDRESS PORT CA-FILE PATH IDLE-MS\n"
			"IDLE-MS: 0, or ask twice on one connection, with such a pause, and tell of the second answer");
	session = shake_hands(dial(argv[1], argv[2]), argv[3]);
	ask(session, argv[4], &a);
	take(session, &a);
	if (atoi(argv[5])) {
		poll(NULL, 0, atoi(argv[5]));
		ask(session, argv[4], &a);
		take(session, &a);
	}
	print(&a);
	return 0;
}
