// SPDX-License-Identifier: GPL-2.0
/*
 * The handshake engine as a server: versions, ciphers, names, tickets and what
 * is chosen.  The keys it exports are tried with a record layer of our own.
 * TAP on standard output.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <gnutls/gnutls.h>

#include "ground.h"
#include "itlsd/profile.h"
#include "serving.h"
#include "suites.h"
#include "tap.h"
#include "wire.h"

static void get_ticket(struct pair *p, gnutls_datum_t *ticket)
{
	char buf[16];

	gnutls_record_recv(p->peer, buf, sizeof(buf)); /* TLS 1.3: tickets come after the handshake */
	must(!gnutls_session_get_data2(p->peer, ticket), "session data");
}

static void test_suite(size_t i, const struct profiles *set)
{
	const char *name = suites[i].name;
	const struct handshake_result *r;
	gnutls_datum_t ticket = { 0 };
	struct pair p;

	pair_serve(&p, set, "p");
	serving_client(&p, suites[i].priority, "http/1.1", "files.example", NULL);
	check(pair_run(&p) == 0 && p.peer_err == 0, "%s: handshake", name);
	r = handshake_result(p.engine);
	check(r->tx.info.version == suites[i].version && r->rx.info.version == suites[i].version &&
	      r->tx.info.cipher_type == suites[i].cipher && r->rx.info.cipher_type == suites[i].cipher,
	      "%s: version and cipher", name);
	check(pair_secrets_agree(&p), "%s: the traffic secrets are the client's", name);
	check(r->tx_len == wire_key(&r->tx).size && r->rx_len == wire_key(&r->rx).size, "%s: length of the keys", name);
	if (suites[i].version == TLS_1_2_VERSION)
		check(wire_nonce_is_sequence(&r->tx) && wire_nonce_is_sequence(&r->rx),
		      "%s: explicit nonces go on with the sequence number", name);
	check(r->alpn && !strcmp(r->alpn, "http/1.1") && r->sni && !strcmp(r->sni, "files.example"),
	      "%s: ALPN and SNI", name);
	check(!r->resumed && !r->prefix_len, "%s: a first session resumes none, reads nothing ahead", name);
	get_ticket(&p, &ticket);
	serving_keys_work(&p, name);
	pair_close(&p);

	pair_serve(&p, set, "p");
	serving_client(&p, suites[i].priority, NULL, "files.example", &ticket);
	check(pair_run(&p) == 0 && handshake_result(p.engine)->resumed && gnutls_session_is_resumed(p.peer),
	      "%s: resumed by ticket", name);
	check(!handshake_result(p.engine)->alpn, "%s: no ALPN without an offer", name);
	check(pair_secrets_agree(&p), "%s: resumed, with secrets", name);
	serving_keys_work(&p, "resumed");
	pair_close(&p);
	gnutls_free(ticket.data);
}

/* Tickets live over a reload, die with the process, and belong to one profile set up with tickets. */
static void test_reload(void)
{
	struct profiles *first = serving_profiles(""), *second, *other = serving_profiles("");
	struct profiles *without = serving_profiles("tickets = no\n");
	struct { const struct profiles *set; bool resumed; const char *name; } tries[3];
	gnutls_datum_t ticket;
	struct pair p;
	int i;

	pair_serve(&p, first, "p");
	serving_client(&p, suites[SUITE_13].priority, NULL, NULL, NULL);
	must(pair_run(&p) == 0, "handshake");
	get_ticket(&p, &ticket);
	pair_close(&p);
	second = serving_profiles_old("", first, NULL);
	profiles_free(first);
	tries[0].set = second, tries[0].resumed = true, tries[0].name = "a ticket lives over a reload";
	tries[1].set = other, tries[1].resumed = false, tries[1].name = "a ticket is worth nothing elsewhere";
	tries[2].set = without, tries[2].resumed = false, tries[2].name = "tickets = no resumes nothing";
	for (i = 0; i < 3; i++) {
		pair_serve(&p, tries[i].set, "p");
		serving_client(&p, suites[SUITE_13].priority, NULL, NULL, &ticket);
		check(pair_run(&p) == 0 && handshake_result(p.engine)->resumed == tries[i].resumed, "%s",
		      tries[i].name);
		pair_close(&p);
	}
	gnutls_free(ticket.data);
	profiles_free(second);
	profiles_free(other);
	profiles_free(without);
}

/* Clients that share nothing with us: which alert they get. */
static void test_mismatch(void)
{
	static const struct { const char *name, *options, *priority, *alpn; int alert; } cases[] = {
		{ "no common protocol", "alpn = http/1.1\n", "NORMAL", "h2", GNUTLS_A_NO_APPLICATION_PROTOCOL },
		{ "only AES-256-CCM", "", ONLY("1.2", "AES-256-CCM"), NULL, GNUTLS_A_HANDSHAKE_FAILURE },
		{ "only AES-128-CCM-8", "", ONLY("1.2", "AES-128-CCM-8"), NULL, GNUTLS_A_HANDSHAKE_FAILURE },
		{ "only AES-128-CCM-8, TLS 1.3", "", ONLY("1.3", "AES-128-CCM-8"), NULL, GNUTLS_A_HANDSHAKE_FAILURE },
		{ "only AES-256-CCM-8", "", ONLY("1.2", "AES-256-CCM-8"), NULL, GNUTLS_A_HANDSHAKE_FAILURE },
		{ "only CBC", "", ONLY("1.2", "AES-128-CBC"), NULL, GNUTLS_A_HANDSHAKE_FAILURE },
		{ "only 3DES", "", ONLY("1.2", "3DES-CBC"), NULL, GNUTLS_A_HANDSHAKE_FAILURE },
		{ "only RC4", "", ONLY("1.2", "ARCFOUR-128") ":+SHA1", NULL, GNUTLS_A_HANDSHAKE_FAILURE },
		{ "no cipher at all", "", ONLY("1.2", "NULL"), NULL, GNUTLS_A_HANDSHAKE_FAILURE },
		{ "weak ciphers that the profile allows", "priority = NORMAL:+3DES-CBC:+ARCFOUR-128:+NULL:+AES-128-CCM-8\n",
		  ONLY("1.2", "3DES-CBC:+ARCFOUR-128:+NULL:+AES-128-CCM-8"), NULL, GNUTLS_A_HANDSHAKE_FAILURE },
		{ "RSA key exchange", "", "NORMAL:-VERS-ALL:+VERS-TLS1.2:-KX-ALL:+RSA", NULL,
		  GNUTLS_A_HANDSHAKE_FAILURE },
		{ "only TLS 1.1", "", "NORMAL:-VERS-ALL:+VERS-TLS1.1", NULL, GNUTLS_A_PROTOCOL_VERSION },
		{ "TLS 1.2 below min_version", "min_version = 1.3\n", "NORMAL:-VERS-ALL:+VERS-TLS1.2", NULL,
		  GNUTLS_A_HANDSHAKE_FAILURE },
	};
	struct profiles *set;
	struct pair p;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		set = serving_profiles(cases[i].options);
		pair_serve(&p, set, "p");
		serving_client(&p, cases[i].priority, cases[i].alpn, NULL, NULL);
		check(pair_run(&p) == -EPROTO && handshake_alert_tx(p.engine) == cases[i].alert,
		      "%s: refused with alert %d", cases[i].name, cases[i].alert);
		printf("# err %d alert %d: %s\n", p.engine_err, handshake_alert_tx(p.engine),
		       handshake_text(p.engine));
		pair_close(&p);
		profiles_free(set);
	}
}

/* What is chosen from the client's offer, depending on order and on what the kernel has. */
static void test_choice(void)
{
#define PREFERS_CHACHA(_version) ONLY(_version, "CHACHA20-POLY1305:+AES-128-GCM:+AES-128-CCM")
#define PREFERS_GCM(_version) ONLY(_version, "AES-128-GCM:+CHACHA20-POLY1305:+AES-128-CCM")
	static const unsigned int all[] = { 0 }, no_chacha[] = { GNUTLS_CIPHER_CHACHA20_POLY1305, 0 },
		no_gcm[] = { GNUTLS_CIPHER_AES_128_GCM, GNUTLS_CIPHER_AES_256_GCM, 0 };
	static const struct {
		const char *name, *options;
		const unsigned int *lacks;
		const char *client[2];		/* TLS 1.2 and 1.3 */
		int cipher;
	} cases[] = {
		{ "the client's order, ChaCha20 first", "", all,
		  { PREFERS_CHACHA("1.2"), PREFERS_CHACHA("1.3") }, TLS_CIPHER_CHACHA20_POLY1305 },
		{ "the client's order, AES-GCM first", "", all,
		  { PREFERS_GCM("1.2"), PREFERS_GCM("1.3") }, TLS_CIPHER_AES_GCM_128 },
		{ "the server's order, AES-GCM first",
		  "priority = NORMAL:-CIPHER-ALL:+AES-128-GCM:+CHACHA20-POLY1305:%SERVER_PRECEDENCE\n", all,
		  { PREFERS_CHACHA("1.2"), PREFERS_CHACHA("1.3") }, TLS_CIPHER_AES_GCM_128 },
		{ "the server's order, ChaCha20 first",
		  "priority = NORMAL:-CIPHER-ALL:+CHACHA20-POLY1305:+AES-128-GCM:%SERVER_PRECEDENCE\n", all,
		  { PREFERS_GCM("1.2"), PREFERS_GCM("1.3") }, TLS_CIPHER_CHACHA20_POLY1305 },
		{ "a kernel without ChaCha20", "", no_chacha,
		  { PREFERS_CHACHA("1.2"), PREFERS_CHACHA("1.3") }, TLS_CIPHER_AES_GCM_128 },
		{ "a kernel without AES-GCM", "", no_gcm,
		  { PREFERS_GCM("1.2"), PREFERS_GCM("1.3") }, TLS_CIPHER_CHACHA20_POLY1305 },
		{ "a kernel without ChaCha20, a client with nothing else", "", no_chacha,
		  { ONLY("1.2", "CHACHA20-POLY1305"), ONLY("1.3", "CHACHA20-POLY1305") }, 0 },
	};
	struct profiles *set;
	struct pair p;
	size_t i, v;
	int err;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ground_carry_without(cases[i].lacks);
		set = serving_profiles(cases[i].options);
		for (v = 0; v < 2; v++) {
			pair_serve(&p, set, "p");
			serving_client(&p, cases[i].client[v], NULL, NULL, NULL);
			err = pair_run(&p);
			if (cases[i].cipher)
				check(!err && handshake_result(p.engine)->tx.info.cipher_type == cases[i].cipher,
				      "TLS 1.%zu: %s", v + 2, cases[i].name);
			else
				check(err == -EPROTO && handshake_alert_tx(p.engine) == GNUTLS_A_HANDSHAKE_FAILURE,
				      "TLS 1.%zu: %s", v + 2, cases[i].name);
			pair_close(&p);
		}
		profiles_free(set);
	}
	carry_all(&ground_carry);
}

/* RFC 8449 and RFC 6066, 4: the kernel sends full records, so neither may bind. */
static void test_short_records(const struct profiles *set)
{
	struct pair p;
	size_t i;

	for (i = 0; i < N_SUITES; i++) {
		pair_serve(&p, set, "p");
		serving_client(&p, suites[i].priority, NULL, NULL, NULL);
		must(!gnutls_record_set_max_recv_size(p.peer, 1024), "record size limit");
		check(pair_run(&p) == 0, "%s: a record size limit is left unanswered", suites[i].name);
		check(!handshake_result(p.engine)->sni, "%s: no SNI without an offer", suites[i].name);
		serving_keys_work(&p, "record size limit");
		pair_close(&p);
	}
}

int main(void)
{
	struct profiles *set;
	size_t i;

	ground_lay();
	serving_put("cert.pem", "key.pem");
	set = serving_profiles("alpn = h2, http/1.1\n");
	printf("TAP version 13\n");
	for (i = 0; i < N_SUITES; i++)
		test_suite(i, set);
	test_reload();
	test_mismatch();
	test_choice();
	test_short_records(set);
	profiles_free(set);
	return tap_end();
}
