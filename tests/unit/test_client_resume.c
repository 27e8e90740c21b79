// SPDX-License-Identifier: GPL-2.0
/*
 * The handshake engine as a client: which sessions are resumed, and that no
 * certificate is believed for it that would not be today.  TAP on standard
 * output.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <stdio.h>
#include <time.h>

#include <gnutls/gnutls.h>

#include "ground.h"
#include "itlsd/profile.h"
#include "pair.h"
#include "pki.h"
#include "tap.h"
#include "wire.h"

/* Who answers; what is brief has an hour to go. */
enum who { GOOD, STRANGER, BRIEF, BRIEF_MIDDLE, BRIEF_CA, WHOS };

static struct pki_cert ca, other_ca, brief_middle, brief_ca, who[WHOS];

static void make_people(void)
{
	pki_make(&ca, &(struct pki_options){ .name = "ca", .ca = true });
	pki_make(&other_ca, &(struct pki_options){ .name = "other ca", .ca = true });
	pki_make(&brief_middle, &(struct pki_options){
		.name = "brief", .issuer = &ca, .ca = true, .from = -1, .to = 1 });
	pki_make(&brief_ca, &(struct pki_options){ .name = "brief ca", .ca = true, .from = -1, .to = 1 });
#define SERVER(_who, _issuer, ...)							\
	pki_make(&who[_who], &(struct pki_options){					\
		.name = "server", .issuer = (_issuer), .dns = "good.example", ##__VA_ARGS__ })
	SERVER(GOOD, &ca);
	SERVER(STRANGER, &other_ca);
	SERVER(BRIEF, &ca, .from = -1, .to = 1);
	SERVER(BRIEF_MIDDLE, &brief_middle);
	SERVER(BRIEF_CA, &brief_ca);
#undef SERVER
	pki_put_chain(ground_dir, "ca.pem", (const struct pki_cert *[]){ &ca }, 1);
	pki_put_chain(ground_dir, "other.pem", (const struct pki_cert *[]){ &other_ca }, 1);
	pki_put_chain(ground_dir, "brief.pem", (const struct pki_cert *[]){ &ca, &brief_ca }, 2);
	pki_put_crl(ground_dir, "crl-good.pem", &ca, &who[GOOD]);
}

static void pair_server(struct pair *p, enum who whose, const char *priority)
{
	const struct pki_cert *chain[] = { &who[whose], &brief_middle };

	pair_peer(p, GNUTLS_SERVER, priority, pki_credentials(chain, 1 + (whose == BRIEF_MIDDLE)));
}

/* What the kernel does with the next record of the server, that has to be of the handshake; -1: there is none. */
static ssize_t kernel_reads(struct pair *p, struct wire *w, uint8_t *plain)
{
	uint8_t record[WIRE_RECORD_MAX];
	ssize_t len = wire_read(p->engine_fd, record);

	if (len < 0)
		return -1;
	len = wire_unseal(w, WIRE_HANDSHAKE, record, len, plain);
	must(len >= 0, "a handshake record");
	return len;
}

static const char * const gcm[2] = {
	"NORMAL:-VERS-ALL:+VERS-TLS1.2:-CIPHER-ALL:+AES-128-GCM",
	"NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+AES-128-GCM",
};

/* A connection that gives @n sessions for later, and how many of them there are. */
static int collect(struct pair *p, gnutls_datum_t *sessions, int n, bool tls13)
{
	uint8_t plain[WIRE_RECORD_MAX];
	struct wire wire;
	ssize_t len;
	int i;

	if (!tls13)
		return handshake_session(p->engine, sessions) ? 0 : 1;
	check(handshake_session(p->engine, sessions) == -EAGAIN, "TLS 1.3: the session comes with a ticket");
	wire_open(&wire, &handshake_result(p->engine)->rx);
	handshake_detach(p->engine);
	for (i = 0; i < n; i++) {
		len = kernel_reads(p, &wire, plain);
		if (len < 0 || handshake_ticket(p->engine, plain, len, &sessions[i]))
			break;
	}
	wire_close(&wire);
	return i;
}

/* Connects to @whose with @session, or none, and leaves it open. */
static void connect_to(struct pair *p, const struct profiles *set, const char *profile, enum who whose,
		       const gnutls_datum_t *ticket_key, const gnutls_datum_t *session, int v)
{
	struct client_request req = { .server_name = "good.example" };

	if (session)
		req.session = *session;
	must(!pair_connect(p, set, profile, &req), "handshake_new_client");
	pair_server(p, whose, gcm[v]);
	gnutls_session_ticket_enable_server(p->peer, ticket_key);
	pair_run(p);
}

static void test_resumption(void)
{
	struct profiles *set = ground_profiles("[client default]\nca = ca.pem\n"
					       "[client strange]\nca = other.pem\n"
					       "[client without]\nca = ca.pem\ntickets = no\n"
					       "[client revoking]\nca = ca.pem\ncrl = crl-good.pem\n", NULL, NULL);
	gnutls_datum_t sessions[2] = { { 0 } }, again = { 0 }, ticket_key, other_key;
	struct pair p;
	int v, i, n;

	gnutls_session_ticket_key_generate(&ticket_key);
	gnutls_session_ticket_key_generate(&other_key);
	for (v = 0; v < 2; v++) {
		connect_to(&p, set, "default", GOOD, &ticket_key, NULL, v);
		check(p.engine_err == 0 && !handshake_result(p.engine)->resumed, "TLS 1.%d: a first session", v + 2);
		n = collect(&p, sessions, 2, v);
		check(n == 1 + v, "TLS 1.%d: %d to be resumed", v + 2, n);
		pair_close(&p);
		for (i = 0; i < n; i++) {
			connect_to(&p, set, "default", GOOD, &ticket_key, &sessions[i], v);
			check(p.engine_err == 0 && handshake_result(p.engine)->resumed &&
			      gnutls_session_is_resumed(p.peer), "TLS 1.%d: resumed with session %d", v + 2, i);
			check(handshake_verify(p.engine) == ITLS_VERIFY_OK && pair_secrets_agree(&p) &&
			      pair_describes(&p, &who[GOOD], "CN=server"),
			      "TLS 1.%d: resumed: the certificate, secrets", v + 2);
			if (!v)
				check(!handshake_session(p.engine, &again) && again.size == sessions[i].size,
				      "TLS 1.2: a resumed session may be resumed again");
			gnutls_free(again.data);
			again.data = NULL;
			pair_close(&p);
		}
		/* The server has forgotten it, and is another one. */
		connect_to(&p, set, "default", STRANGER, &other_key, &sessions[0], v);
		check(p.engine_err == -EKEYREJECTED && handshake_verify(p.engine) == ITLS_VERIFY_ISSUER,
		      "TLS 1.%d: a session that is declined makes no certificate good", v + 2);
		pair_close(&p);
		/* The trust has changed: not even offered. */
		connect_to(&p, set, "strange", GOOD, &ticket_key, &sessions[0], v);
		check(p.engine_err == -EKEYREJECTED && handshake_verify(p.engine) == ITLS_VERIFY_ISSUER &&
		      !gnutls_session_is_resumed(p.peer),
		      "TLS 1.%d: a session of another trust is not offered", v + 2);
		pair_close(&p);
		connect_to(&p, set, "revoking", GOOD, &ticket_key, &sessions[0], v);
		check(p.engine_err == -EKEYREJECTED && handshake_verify(p.engine) == ITLS_VERIFY_REVOKED &&
		      !gnutls_session_is_resumed(p.peer),
		      "TLS 1.%d: a session whose certificate was revoked meanwhile is not offered", v + 2);
		pair_close(&p);
		for (i = 0; i < n; i++)
			gnutls_free(sessions[i].data);
		connect_to(&p, set, "without", GOOD, &ticket_key, NULL, v);
		check(p.engine_err == 0 && handshake_session(p.engine, sessions) == -ENOENT, "TLS 1.%d: tickets = no",
		      v + 2);
		pair_close(&p);
	}
	gnutls_free(ticket_key.data);
	gnutls_free(other_key.data);
	profiles_free(set);
}

static int clock_ahead;			/* hours, for GnuTLS and nobody else */

static time_t later(time_t *t)
{
	time_t now = time(NULL) + clock_ahead * 3600;

	if (t)
		*t = now;
	return now;
}

struct expiry {
	const char *name;
	enum who whose;
	enum itls_verify verify;	/* OK: nothing that matters */
};

/* Two hours later, with @session from before. */
static void expire(const struct expiry *e, const struct profiles *set, const gnutls_datum_t *ticket_key,
		   const gnutls_datum_t *session, int v)
{
	bool good = e->verify == ITLS_VERIFY_OK;
	struct pair p;

	clock_ahead = 2;
	connect_to(&p, set, "default", e->whose, ticket_key, session, v);
	check(good == !!gnutls_session_is_resumed(p.peer), "TLS 1.%d: expired: %s: %s", v + 2, e->name,
	      good ? "resumed" : "not offered");
	check(p.engine_err == (good ? 0 : -EKEYREJECTED) && handshake_verify(p.engine) == e->verify &&
	      pair_alert(&p) == (good ? -1 : GNUTLS_A_CERTIFICATE_EXPIRED),
	      "TLS 1.%d: expired: %s: %s", v + 2, e->name, good ? "taken" : "refused");
	pair_close(&p);
	connect_to(&p, set, "default", GOOD, ticket_key, session, v);
	check(!p.engine_err && good == !!gnutls_session_is_resumed(p.peer),
	      "TLS 1.%d: expired: %s: the server's new one is taken", v + 2, e->name);
	pair_close(&p);
	clock_ahead = 0;
}

/*
 * Nobody shows a certificate again when a session is resumed: what has expired
 * since must be noticed all the same.  What the server still has stays good,
 * so that it is not the session itself that is too old.
 */
static void test_expiry(void)
{
	static const struct expiry cases[] = {
		{ "nothing", GOOD, ITLS_VERIFY_OK },
		{ "the certificate", BRIEF, ITLS_VERIFY_EXPIRED },
		{ "an intermediate authority", BRIEF_MIDDLE, ITLS_VERIFY_EXPIRED },
		{ "the trusted authority", BRIEF_CA, ITLS_VERIFY_EXPIRED },
	};
	struct profiles *set = ground_profiles("[client default]\nca = brief.pem\n", NULL, NULL);
	gnutls_datum_t sessions[2], ticket_key;
	const struct expiry *e;
	struct pair p;
	int v, n;

	gnutls_session_ticket_key_generate(&ticket_key);
	for (e = cases; e < cases + sizeof(cases) / sizeof(cases[0]); e++) {
		for (v = 0; v < 2; v++) {
			connect_to(&p, set, "default", e->whose, &ticket_key, NULL, v);
			must(!p.engine_err, "a first session");
			n = collect(&p, sessions, 2, v);
			must(n == 1 + v, "sessions");
			pair_close(&p);
			connect_to(&p, set, "default", e->whose, &ticket_key, &sessions[0], v);
			check(!p.engine_err && gnutls_session_is_resumed(p.peer),
			      "TLS 1.%d: before it expires: %s: resumed", v + 2, e->name);
			pair_close(&p);
			expire(e, set, &ticket_key, &sessions[n - 1], v);
			while (n)
				gnutls_free(sessions[--n].data);
		}
	}
	gnutls_free(ticket_key.data);
	profiles_free(set);
}

/* Messages that are no tickets, and tickets that are none of GnuTLS's. */
static void test_bad_tickets(void)
{
	static const struct { const char *name; uint8_t bytes[12]; size_t len; int err; } cases[] = {
		{ "nothing", { 0 }, 0, -EPROTO },
		{ "a KeyUpdate", { 24, 0, 0, 1, 0 }, 5, -EPROTO },
		{ "less than its header says", { 4, 0, 0, 9, 0 }, 5, -EPROTO },
		{ "more than its header says", { 4, 0, 0, 1, 0, 0 }, 6, -EPROTO },
		{ "malformed inside", { 4, 0, 0, 4, 0, 0, 1, 0 }, 8, -EIO },
	};
	struct profiles *set = ground_profiles("[client default]\nca = ca.pem\n", NULL, NULL);
	gnutls_datum_t ticket_key, data;
	struct pair p;
	size_t i;

	gnutls_session_ticket_key_generate(&ticket_key);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		connect_to(&p, set, "default", GOOD, &ticket_key, NULL, 1);
		handshake_detach(p.engine);
		check(handshake_ticket(p.engine, cases[i].bytes, cases[i].len, &data) == cases[i].err,
		      "a ticket that is none: %s", cases[i].name);
		pair_close(&p);
	}
	gnutls_free(ticket_key.data);
	profiles_free(set);
}

int main(void)
{
	ground_lay();
	gnutls_global_set_time_function(later);
	make_people();
	printf("TAP version 13\n");
	test_resumption();
	test_expiry();
	test_bad_tickets();
	return tap_end();
}
