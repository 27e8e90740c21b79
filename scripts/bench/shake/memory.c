// SPDX-License-Identifier: GPL-2.0
/*
 * Handshakes within one process, one after the other: what the server's end of them
 * costs by GnuTLS alone, by OpenSSL alone, and by the daemon's engine.  The time is
 * that of this thread while the server is at work.
 */
#include <getopt.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "peer.h"
#include "server.h"

static const char usage[] =
	"usage: shake-memory --cert FILE --key FILE [OPTION]...\n"
	"\n"
	"Measures the server's end of TLS handshakes in memory; a line of JSON for each\n"
	"measurement.\n"
	"\n"
	"  --name TEXT, --kernel TEXT   labels\n"
	"  --variants LIST     of openssl, gnutls, itls (default: all)\n"
	"  --tls VERSION       1.2 or 1.3 (default)\n"
	"  --resume            resumed handshakes\n"
	"  --rounds N          (default 5)\n"
	"  --time MS           of each measurement (default 300)\n";

struct options {
	const char *name, *kernel, *cert, *key, *tls, *variants;
	bool resume;
	int rounds, time_ms;
};

static const struct server *const servers[] = { &server_openssl, &server_gnutls, &server_itls };

#define SERVERS (sizeof(servers) / sizeof(servers[0]))

static uint64_t now(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

/* The client's step; what it has to say is in @flight then. */
static bool client_step(SSL *client, struct flight *flight)
{
	int ret = SSL_do_handshake(client), got;

	if (ret != 1 && SSL_get_error(client, ret) != SSL_ERROR_WANT_READ)
		die("the client failed");
	got = BIO_read(SSL_get_wbio(client), flight->data, sizeof(flight->data));
	flight->len = got > 0 ? got : 0;
	return ret == 1;
}

/* Tickets of TLS 1.3 come when a client reads. */
static void client_read(SSL *client, const struct flight *flight)
{
	char byte;

	if (flight->len)
		BIO_write(SSL_get_rbio(client), flight->data, flight->len);
	SSL_read(client, &byte, 1);
}

/* One handshake; returns the server's time. */
static uint64_t shake(const struct server *server, SSL_CTX *ctx, bool resume)
{
	bool client_done = false, server_done = false;
	SSL *client = peer_connect(ctx, resume);
	static struct flight flight;
	uint64_t start, spent;
	int steps = 0;

	SSL_set_bio(client, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
	start = now(CLOCK_THREAD_CPUTIME_ID);
	server->open();
	spent = now(CLOCK_THREAD_CPUTIME_ID) - start;
	while (!client_done || !server_done) {
		if (++steps > 20)
			die("%s: the handshake does not end", server->name);
		client_done = client_step(client, &flight);
		server->put(&flight);
		start = now(CLOCK_THREAD_CPUTIME_ID);
		if (!server_done)
			server_done = server->step();
		spent += now(CLOCK_THREAD_CPUTIME_ID) - start;
		server->take(&flight);
		if (flight.len && !client_done)
			BIO_write(SSL_get_rbio(client), flight.data, flight.len);
	}
	client_read(client, &flight);
	if (!SSL_session_reused(client) != !resume)
		die("%s: a handshake was %s", server->name, resume ? "not resumed" : "resumed");
	start = now(CLOCK_THREAD_CPUTIME_ID);
	server->close();
	spent += now(CLOCK_THREAD_CPUTIME_ID) - start;
	SSL_set_shutdown(client, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free(client);
	return spent;
}

static void measure(const struct options *o, const struct server *server, SSL_CTX *ctx, int round)
{
	uint64_t start = now(CLOCK_MONOTONIC), cpu = 0, wall;
	unsigned int count = 0;

	peer_forget();
	if (o->resume) {
		shake(server, ctx, false);
		shake(server, ctx, true);
	}
	do {
		cpu += shake(server, ctx, o->resume);
		count++;
		wall = now(CLOCK_MONOTONIC) - start;
	} while (wall < o->time_ms * 1000000ULL);
	if (!round)
		return;
	printf("{\"kernel\":\"%s\",\"scenario\":\"%s\",\"variant\":\"%s\",\"round\":%d,\"tool\":\"handshake\","
	       "\"tls\":\"%s\",\"resumed\":%d,\"count\":%u,\"wall_ns\":%llu,\"cpu_ns\":%llu,\"failed\":0}\n",
	       o->kernel, o->name, server->name, round, o->tls, o->resume, count, (unsigned long long)wall,
	       (unsigned long long)cpu);
	fflush(stdout);
}

static bool wanted(const struct options *o, const char *name)
{
	const char *at = strstr(o->variants, name);
	size_t len = strlen(name);

	return at && (at == o->variants || at[-1] == ',') && (!at[len] || at[len] == ',');
}

/* Round 0 warms up and is not told; each round begins with another variant. */
static void rounds(const struct options *o)
{
	SSL_CTX *ctx = peer_new(o->tls);
	const struct server *server;
	int round;
	size_t i;

	for (i = 0; i < SERVERS; i++)
		if (wanted(o, servers[i]->name))
			servers[i]->setup(o->cert, o->key, o->tls);
	for (round = 0; round <= o->rounds; round++) {
		for (i = 0; i < SERVERS; i++) {
			server = servers[(i + round) % SERVERS];
			if (wanted(o, server->name))
				measure(o, server, ctx, round);
		}
	}
	SSL_CTX_free(ctx);
}

int main(int argc, char **argv)
{
	struct options o = {
		.name = "", .kernel = "", .tls = "1.3", .variants = "openssl,gnutls,itls", .rounds = 5, .time_ms = 300,
	};
	enum { NAME = 1, KERNEL, CERT, KEY, TLS, VARIANTS, RESUME, ROUNDS, TIME, HELP };
	static const struct option longs[] = {
		{ "name", 1, NULL, NAME }, { "kernel", 1, NULL, KERNEL }, { "cert", 1, NULL, CERT },
		{ "key", 1, NULL, KEY }, { "tls", 1, NULL, TLS }, { "variants", 1, NULL, VARIANTS },
		{ "resume", 0, NULL, RESUME }, { "rounds", 1, NULL, ROUNDS }, { "time", 1, NULL, TIME },
		{ "help", 0, NULL, HELP }, { NULL, 0, NULL, 0 },
	};
	const char **texts[] = {
		[NAME] = &o.name, [KERNEL] = &o.kernel, [CERT] = &o.cert, [KEY] = &o.key, [TLS] = &o.tls,
		[VARIANTS] = &o.variants,
	};
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (c >= NAME && c <= VARIANTS)
			*texts[c] = optarg;
		else if (c == RESUME)
			o.resume = true;
		else if (c == ROUNDS)
			o.rounds = atoi(optarg);
		else if (c == TIME)
			o.time_ms = atoi(optarg);
		else
			break;
	}
	if (c != -1 || optind < argc || !o.cert || !o.key) {
		fputs(usage, c == HELP ? stdout : stderr);
		return c == HELP ? 0 : 2;
	}
	rounds(&o);
	return 0;
}
