// SPDX-License-Identifier: GPL-2.0
/*
 * usage: hold [--plain] PORT NUMBER PATH
 *
 * Opens so many connections to an HTTPS (or HTTP) server on this machine, fetches
 * PATH through each, says "held" and keeps them open until its input ends. TLS state
 * of its own is given up after the answer, so what remains is a socket each.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <gnutls/gnutls.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define PRIORITY "NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+AES-128-GCM"

static gnutls_certificate_credentials_t credentials;

__attribute__((noreturn, format(printf, 1, 2)))
static void die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("hold: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	exit(1);
}

static int tcp_connect(uint16_t port)
{
	struct sockaddr_in to = {
		.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)))
		die("port %u: %s", port, strerror(errno));
	/* or Finished and the request wait for an acknowledgment, 40 ms a connection */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return fd;
}

/* The server's certificate is of no interest here. */
static gnutls_session_t tls_open(int fd)
{
	gnutls_session_t session;
	int err;

	if (gnutls_init(&session, GNUTLS_CLIENT) ||
	    gnutls_priority_set_direct(session, PRIORITY, NULL) ||
	    gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, credentials))
		die("no TLS session");
	gnutls_transport_set_int(session, fd);
	do {
		err = gnutls_handshake(session);
	} while (err && !gnutls_error_is_fatal(err));
	if (err)
		die("handshake: %s", gnutls_strerror(err));
	return session;
}

static ssize_t channel_write(int fd, gnutls_session_t session, const char *data, size_t len)
{
	return session ? gnutls_record_send(session, data, len) : send(fd, data, len, 0);
}

static ssize_t channel_read(int fd, gnutls_session_t session, char *data, size_t len)
{
	ssize_t n;

	if (!session)
		return recv(fd, data, len, 0);
	do {
		n = gnutls_record_recv(session, data, len);
	} while (n == GNUTLS_E_AGAIN || n == GNUTLS_E_INTERRUPTED);
	return n;
}

/* How long the answer is in all, or 0 while its head is incomplete. */
static size_t answer_len(const char *text)
{
	const char *body = strstr(text, "\r\n\r\n"), *len = strcasestr(text, "\r\nContent-Length:");

	if (!body)
		return 0;
	if (strncmp(text, "HTTP/1.1 200", 12) || !len || len > body)
		die("the server answered: %.*s", (int)strcspn(text, "\r\n"), text);
	return body + 4 - text + strtoul(len + 17, NULL, 10);
}

static void fetch(int fd, gnutls_session_t session, const char *path)
{
	static char text[65536];
	size_t got = 0, want = 0;
	int len = snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path);

	if (channel_write(fd, session, text, len) != len)
		die("the request was not sent");
	while (!want || got < want) {
		ssize_t n = channel_read(fd, session, text + got, sizeof(text) - 1 - got);

		if (n <= 0)
			die("%zu bytes of the answer, then nothing", got);
		got += n;
		text[got] = 0;
		want = answer_len(text);
		if (want >= sizeof(text))
			die("%s is too long: %zu bytes at most", path, sizeof(text) - 1);
	}
}

static void hold_one(bool plain, uint16_t port, const char *path)
{
	int fd = tcp_connect(port);
	gnutls_session_t session = plain ? NULL : tls_open(fd);

	fetch(fd, session, path);
	if (session)
		gnutls_deinit(session);
}

static void files_allow(unsigned long nr)
{
	struct rlimit limit = { nr + 64, nr + 64 };

	if (setrlimit(RLIMIT_NOFILE, &limit))
		die("%lu open files: %s", nr, strerror(errno));
}

int main(int argc, char **argv)
{
	bool plain = argc > 1 && !strcmp(argv[1], "--plain");
	unsigned long nr, i;

	argv += plain;
	if (argc - plain != 4)
		die("usage: hold [--plain] PORT NUMBER PATH");
	nr = strtoul(argv[2], NULL, 10);
	files_allow(nr);
	if (gnutls_certificate_allocate_credentials(&credentials))
		die("no memory");
	for (i = 0; i < nr; i++)
		hold_one(plain, atoi(argv[1]), argv[3]);
	puts("held");
	fflush(stdout);
	while (getchar() != EOF)
		;
	return 0;
}
