// SPDX-License-Identifier: GPL-2.0
/*
 * The handshake engine as a server and what comes over the wire: bytes that
 * are none of TLS, cut or changed, one at a time, and a wire that is full.
 * TAP on standard output.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <gnutls/gnutls.h>

#include "ground.h"
#include "itlsd/profile.h"
#include "serving.h"
#include "suites.h"
#include "tap.h"

static bool feed(struct pair *p, const void *data, size_t len)
{
	return send(p->peer_fd, data, len, MSG_NOSIGNAL) == (ssize_t)len;
}

static void hang_up(struct pair *p)
{
	close(p->peer_fd);
	p->peer_fd = -1;
}

static void test_bytes(const struct profiles *set)
{
	static const char http[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
	static const uint8_t alert[] = { 21, 3, 3, 0, 2, 2, 40 };
	static const uint8_t appdata[] = { 23, 3, 3, 0, 4, 'x', 'x', 'x', 'x' };
	static const uint8_t giant[] = { 22, 3, 1, 64, 0, 1, 255, 255, 255 };
	uint8_t garbage[512];
	struct pair p;
	size_t i;
	int n;

	for (i = 0; i < sizeof(garbage); i++)
		garbage[i] = i * 151 + 7;
	pair_serve(&p, set, "p");
	check(feed(&p, garbage, sizeof(garbage)) && pair_run_engine(&p) == -EPROTO, "garbage");
	pair_close(&p);

	pair_serve(&p, set, "p");
	check(feed(&p, http, sizeof(http) - 1) && pair_run_engine(&p) == -EPROTO, "HTTP in the clear");
	pair_close(&p);

	pair_serve(&p, set, "p");
	check(feed(&p, appdata, sizeof(appdata)) && pair_run_engine(&p) == -EPROTO &&
	      handshake_alert_tx(p.engine) == GNUTLS_A_UNEXPECTED_MESSAGE, "application data first");
	pair_close(&p);

	pair_serve(&p, set, "p");
	check(feed(&p, giant, sizeof(giant)), "giant message: header");
	for (n = 0; n < 1000 && p.engine_err == 1 && feed(&p, garbage, sizeof(garbage)); n++)
		pair_run_engine(&p);
	check(p.engine_err == -EPROTO, "giant message: refused after %d bytes", n * (int)sizeof(garbage));
	pair_close(&p);

	pair_serve(&p, set, "p");
	check(feed(&p, alert, sizeof(alert)) && pair_run_engine(&p) == -EPROTO &&
	      handshake_alert_tx(p.engine) == GNUTLS_A_UNEXPECTED_MESSAGE, "an alert instead of a ClientHello");
	pair_close(&p);

	pair_serve(&p, set, "p");
	check(pair_run_engine(&p) == -EAGAIN && handshake_events(p.engine) == EPOLLIN, "silence is waited for");
	hang_up(&p);
	check(pair_run_engine(&p) == -ECONNRESET, "silence, then FIN");
	pair_close(&p);
}

/* A client that does not trust our certificate says so and goes. */
static void test_client_alert(const struct profiles *set)
{
	struct pair p;
	size_t i;

	for (i = 0; i < N_SUITES; i++) {
		pair_serve(&p, set, "p");
		serving_client(&p, suites[i].priority, NULL, NULL, NULL);
		gnutls_session_set_verify_cert(p.peer, NULL, 0);
		while (p.peer_err == 1) {
			pair_step_peer(&p);
			pair_step_engine(&p);
		}
		must(p.peer_err == GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR, "client's verdict");
		check(pair_run_engine(&p) == -EPROTO && handshake_alert_rx(p.engine) > 0 &&
		      handshake_alert_tx(p.engine) < 0,
		      "%s: the client's fatal alert is taken down and not answered", suites[i].name);
		printf("# alert %d: %s\n", handshake_alert_rx(p.engine), handshake_text(p.engine));
		pair_close(&p);
	}
}

/* What a client sends before it hears from the server. */
static size_t first_flight(uint8_t *flight, const char *priority)
{
	struct pair p;
	ssize_t len;

	pair_open(&p);
	serving_client(&p, priority, "http/1.1", "files.example", NULL);
	pair_step_peer(&p);
	len = recv(p.engine_fd, flight, 4096, 0);
	must(len > 100, "first flight");
	pair_close(&p);
	return len;
}

/* Warning alerts do not end a handshake (RFC 5246, 7.2), but there is no end of them either. */
static void test_warnings(const struct profiles *set)
{
	static const uint8_t warning[] = { 21, 3, 3, 0, 2, 1, GNUTLS_A_USER_CANCELED };
	uint8_t flight[4096];
	size_t len = first_flight(flight, suites[SUITE_12].priority);
	struct pair p;
	int n;

	pair_serve(&p, set, "p");
	check(feed(&p, flight, len) && pair_run_engine(&p) == -EAGAIN && feed(&p, warning, sizeof(warning)) &&
	      pair_run_engine(&p) == -EAGAIN, "one warning does no harm");
	for (n = 1; n < 100 && p.engine_err == 1; n++) {
		feed(&p, warning, sizeof(warning));
		pair_step_engine(&p);
	}
	check(p.engine_err == -EPROTO && n > 2 && n < 10, "warnings without end: refused after %d", n);
	pair_close(&p);
}

/* Gone after each byte: never success, never a wait, always "went away". */
static void test_disconnect(const struct profiles *set, const char *name, const char *priority)
{
	uint8_t flight[4096];
	size_t len = first_flight(flight, priority), cut, wrong = 0;
	struct pair p;

	for (cut = 0; cut <= len; cut++) {
		pair_serve(&p, set, "p");
		must(feed(&p, flight, cut), "feed");
		if (pair_run_engine(&p) != -EAGAIN)
			wrong++;
		hang_up(&p);
		if (pair_run_engine(&p) != -ECONNRESET || handshake_alert_tx(p.engine) >= 0)
			wrong++;
		pair_close(&p);
	}
	check(!wrong, "%s: disconnect after each of the %zu bytes of the first flight", name, len);
}

/* Each byte changed: refused or waiting, never done; run it under ASan. */
static void test_mutation(const struct profiles *set, const char *name, const char *priority)
{
	uint8_t flight[4096];
	size_t len = first_flight(flight, priority), at, wrong = 0;
	struct pair p;
	int err;

	for (at = 0; at < len; at++) {
		flight[at] ^= 0x5a;
		pair_serve(&p, set, "p");
		must(feed(&p, flight, len), "feed");
		err = pair_run_engine(&p);
		if (err != -EAGAIN && err != -EPROTO)
			wrong++;
		pair_close(&p);
		flight[at] ^= 0x5a;
	}
	check(!wrong, "%s: each byte of the first flight changed", name);
}

/* Moves at most one byte from @from to @to. */
static bool relay(int from, int to)
{
	char byte;

	return recv(from, &byte, 1, MSG_PEEK) == 1 && send(to, &byte, 1, MSG_NOSIGNAL) == 1 &&
	       recv(from, &byte, 1, 0) == 1;
}

/*
 *   client --- pair --- relay, one byte at a time --- pair --- engine
 *
 * The engine's end has the smallest send buffer there is, filled up before, so
 * that its flight goes out in pieces: done must wait for the last of them.
 */
static void test_trickle(const struct profiles *set, size_t suite)
{
	int small = 1, i, full = 0, waited = 0, outer[2];
	struct pair p;
	bool moved = true;

	pair_serve(&p, set, "p");
	must(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, outer), "socketpair");
	must(!setsockopt(p.engine_fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), "SO_SNDBUF");
	serving_client(&p, suites[suite].priority, NULL, NULL, NULL);
	gnutls_transport_set_int(p.peer, outer[0]);
	while (send(p.engine_fd, "", 1, MSG_NOSIGNAL) == 1)
		full++;
	for (i = 0; i < PAIR_STEPS * 10 && (p.engine_err == 1 || p.peer_err == 1); i++) {
		pair_step_peer(&p);
		pair_step_engine(&p);
		waited += p.engine_err == 1 && handshake_events(p.engine) == EPOLLOUT;
		moved = relay(outer[1], p.peer_fd);
		if (full && waited > 20) {
			char drop;

			full -= recv(p.peer_fd, &drop, 1, 0) == 1;
		} else if (!full) {
			moved |= relay(p.peer_fd, outer[1]);
		}
		if (!moved && p.engine_err < 0)
			break;
	}
	check(p.engine_err == 0 && p.peer_err == 0 && waited,
	      "%s: byte by byte, with output that had to wait", suites[suite].name);
	pair_close(&p);
	close(outer[0]);
	close(outer[1]);
}

/*
 * TLS 1.2: the server's last bytes, its Finished, do not fit: it is not done
 * before they are out, or the kernel would write ahead of them.  (In TLS 1.3
 * GnuTLS sends the tickets with its first flight; test_trickle() holds them up.)
 */
static void test_last_bytes(const struct profiles *set, size_t suite)
{
	const char *name = suites[suite].name;
	struct pair p;
	int full = 0;
	char junk;

	pair_serve(&p, set, "p");
	serving_client(&p, suites[suite].priority, NULL, NULL, NULL);
	pair_step_peer(&p);
	pair_step_engine(&p);
	pair_step_peer(&p); /* its Finished waits for the server now */
	while (send(p.engine_fd, "", 1, MSG_NOSIGNAL) == 1)
		full++;
	pair_step_engine(&p);
	check(full && p.engine_err == 1 && handshake_events(p.engine) == EPOLLOUT,
	      "%s: not done while the last bytes wait", name);
	while (full && recv(p.peer_fd, &junk, 1, 0) == 1)
		full--;
	check(!full && pair_run(&p) == 0 && p.peer_err == 0, "%s: done when they are out", name);
	serving_keys_work(&p, "after the last bytes");
	pair_close(&p);
}

int main(void)
{
	struct profiles *set;
	size_t i;

	ground_lay();
	serving_put("cert.pem", "key.pem");
	set = serving_profiles("alpn = h2, http/1.1\n");
	printf("TAP version 13\n");
	test_bytes(set);
	test_client_alert(set);
	test_warnings(set);
	test_disconnect(set, "TLS 1.3", suites[SUITE_13].priority);
	test_disconnect(set, "TLS 1.2", suites[SUITE_12].priority);
	test_mutation(set, "TLS 1.3", suites[SUITE_13].priority);
	test_mutation(set, "TLS 1.2", suites[SUITE_12].priority);
	for (i = 0; i < N_SUITES; i++)
		test_trickle(set, i);
	for (i = 0; i < N_SUITES; i++)
		if (suites[i].version == TLS_1_2_VERSION)
			test_last_bytes(set, i);
	profiles_free(set);
	return tap_end();
}
