// SPDX-License-Identifier: GPL-2.0
/*
 * The channel below the engine: how few system calls a server's handshake takes,
 * and that of what follows the client's Finished not a byte is read.  TAP on
 * standard output.
 */
#define _GNU_SOURCE 1
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <gnutls/gnutls.h>

#include "ground.h"
#include "itlsd/profile.h"
#include "serving.h"
#include "suites.h"
#include "tap.h"
#include "wire.h"

#define PLAIN_13 ONLY("1.3", "AES-128-GCM") ":%DISABLE_TLS13_COMPAT_MODE"	/* no ChangeCipherSpec */

static unsigned int reads, writes;

/* In place of the C library's: the engine's system calls, and the peer's none. */
ssize_t read(int fd, void *data, size_t len)
{
	reads++;
	return syscall(SYS_read, fd, data, len);
}

ssize_t write(int fd, const void *data, size_t len)
{
	writes++;
	return syscall(SYS_write, fd, data, len);
}

static void step_both(struct pair *p)
{
	pair_step_peer(p);
	pair_step_engine(p);
}

static void serve(struct pair *p, const struct profiles *set, const char *priority, const gnutls_datum_t *ticket)
{
	pair_serve(p, set, "p");
	serving_client(p, priority, NULL, NULL, ticket);
	reads = 0;
	writes = 0;
}

static void take_ticket(const struct profiles *set, const char *priority, gnutls_datum_t *ticket)
{
	struct pair p;
	char buf[16];

	serve(&p, set, priority, NULL);
	must(pair_run(&p) == 0, "handshake");
	gnutls_record_recv(p.peer, buf, sizeof(buf));
	must(!gnutls_session_get_data2(p.peer, ticket), "ticket");
	pair_close(&p);
}

/* The client's Finished and its first record arrive together. */
static void test_finished_and_data(const struct profiles *set, const char *name, const char *priority,
				   const gnutls_datum_t *ticket)
{
	const struct handshake_result *r;
	uint8_t got[WIRE_RECORD_MAX], own[WIRE_RECORD_MAX];
	struct wire rx;
	struct pair p;
	ssize_t len;
	int i;

	serve(&p, set, priority, ticket);
	for (i = 0; i < PAIR_STEPS && p.peer_err == 1; i++) {
		pair_step_peer(&p);
		if (p.peer_err == 1)
			pair_step_engine(&p);
	}
	must(p.peer_err == 0 && p.engine_err == 1, "a client that is done first");
	must(gnutls_record_send(p.peer, "hello", 5) == 5, "send");
	check(pair_run_engine(&p) == 0, "%s: done, with data behind Finished", name);
	r = handshake_result(p.engine);
	wire_open(&rx, &r->rx);
	len = wire_read(p.engine_fd, got);
	check(!r->prefix_len && len == (ssize_t)wire_seal(&rx, (const uint8_t *)"hello", 5, own) &&
	      !memcmp(got, own, len), "%s: the data is there, from its first byte", name);
	wire_close(&rx);
	pair_close(&p);
}

/* Bytes that come one at a time are the same handshake. */
static void test_crumbs(const struct profiles *set, const char *name, const char *priority)
{
	uint8_t bytes[WIRE_RECORD_MAX];
	int between[2], steps = 0;
	ssize_t len, i;
	struct pair p;

	must(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, between), "socketpair");
	serve(&p, set, priority, NULL);
	gnutls_transport_set_int(p.peer, between[0]);
	while (p.engine_err == 1 && ++steps < 100) {
		pair_step_peer(&p);
		len = recv(between[1], bytes, sizeof(bytes), 0);
		for (i = 0; i < len; i++) {
			must(send(p.peer_fd, bytes + i, 1, MSG_NOSIGNAL) == 1, "send");
			pair_step_engine(&p);
		}
		len = recv(p.peer_fd, bytes, sizeof(bytes), 0);
		if (len > 0)
			must(send(between[1], bytes, len, MSG_NOSIGNAL) == len, "send");
	}
	check(p.engine_err == 0, "%s: bytes that come one at a time", name);
	close(between[0]);
	close(between[1]);
	pair_close(&p);
}

static void test_calls(const struct profiles *set, const char *name, const char *priority,
		       const gnutls_datum_t *ticket, unsigned int want_reads, unsigned int want_writes)
{
	struct pair p;
	int i;

	serve(&p, set, priority, ticket);
	for (i = 0; i < PAIR_STEPS && p.engine_err == 1; i++)
		step_both(&p);
	check(p.engine_err == 0 && reads <= want_reads && writes <= want_writes,
	      "%s: %u reads and %u writes do", name, want_reads, want_writes);
	printf("# %u reads, %u writes\n", reads, writes);
	pair_close(&p);
}

int main(void)
{
	gnutls_datum_t ticket;
	struct profiles *set;
	char name[64];
	bool tls13;
	size_t i;

	ground_lay();
	serving_put("cert.pem", "key.pem");
	set = serving_profiles("");
	printf("TAP version 13\n");
	for (i = 0; i < N_SUITES; i++) {
		take_ticket(set, suites[i].priority, &ticket);
		snprintf(name, sizeof(name), "%s, resumed", suites[i].name);
		tls13 = suites[i].version == TLS_1_3_VERSION;
		if (tls13)
			test_finished_and_data(set, suites[i].name, suites[i].priority, NULL);
		test_finished_and_data(set, name, suites[i].priority, &ticket);
		test_crumbs(set, suites[i].name, suites[i].priority);
		test_calls(set, suites[i].name, suites[i].priority, NULL, tls13 ? 3 : 7, tls13 ? 1 : 2);
		/* Tickets are a flight of their own then. */
		test_calls(set, name, suites[i].priority, &ticket, 3, tls13 ? 2 : 1);
		gnutls_free(ticket.data);
	}
	test_finished_and_data(set, "no ChangeCipherSpec", PLAIN_13, NULL);
	test_calls(set, "no ChangeCipherSpec", PLAIN_13, NULL, 3, 1);
	profiles_free(set);
	return tap_end();
}
