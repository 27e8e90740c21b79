// SPDX-License-Identifier: GPL-2.0
/*
 * Servers that ask their clients for certificates: who is let in, what is said
 * of whom, and with which alert the others are sent away.
 *
 *   client (GnuTLS) --- pair --- engine (itlsd/handshake.c)
 *
 * TAP on standard output.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include "ground.h"
#include "itlsd/profile.h"
#include "itlsd/verify.h"
#include "pair.h"
#include "pki.h"
#include "tap.h"

/* Who comes along. */
enum who { NOBODY, GOOD, MIDDLE, STRANGER, EXPIRED, FUTURE, SERVERS, REVOKED, FORGED, SMALL, SHA1, CROWD, LONG, WHOS };

#define CROWD_SIZE 10

static struct pki_cert ca, other_ca, middle_ca, server, who[WHOS], crowd[CROWD_SIZE];

static void make_people(void)
{
	struct pki_cert forger = { 0 };
	static const char * const names[CROWD_SIZE] = { "c0", "c1", "c2", "c3", "c4", "c5", "c6", "c7", "c8", "c9" };
	static char name[65];
	int i;

	pki_make(&ca, &(struct pki_options){ .name = "ca", .ca = true });
	pki_make(&other_ca, &(struct pki_options){ .name = "other ca", .ca = true });
	pki_make(&middle_ca, &(struct pki_options){ .name = "middle", .issuer = &ca, .ca = true });
	pki_make(&server, &(struct pki_options){ .name = "server", .issuer = &ca, .dns = "server" });
	forger.crt = ca.crt;
	forger.key = other_ca.key;
	memset(name, 'n', 64);
#define PERSON(_who, _name, ...)								\
	pki_make(&who[_who], &(struct pki_options){ .name = (_name), .issuer = &ca,		\
						    .purpose = GNUTLS_KP_TLS_WWW_CLIENT, ##__VA_ARGS__ })
	PERSON(GOOD, "alice, of \"Wonderland\"");
	PERSON(EXPIRED, "expired", .from = -48, .to = -24);
	PERSON(FUTURE, "future", .from = 24, .to = 48);
	PERSON(REVOKED, "revoked");
	PERSON(SMALL, "small", .algorithm = GNUTLS_PK_RSA, .bits = 1024);
	PERSON(SHA1, "sha1", .digest = GNUTLS_DIG_SHA1);
	PERSON(LONG, name);
#undef PERSON
	pki_make(&who[STRANGER], &(struct pki_options){ .name = "stranger", .issuer = &other_ca });
	pki_make(&who[FORGED], &(struct pki_options){ .name = "forged", .issuer = &forger });
	for (i = 0; i < CROWD_SIZE; i++)
		pki_make(&crowd[i], &(struct pki_options){
			.name = names[i], .issuer = i ? &crowd[i - 1] : &ca, .ca = true });
	pki_make(&who[CROWD], &(struct pki_options){ .name = "crowd", .issuer = &crowd[CROWD_SIZE - 1] });
	/* Nor is the key his own: who computes with the chain before it is counted says so. */
	gnutls_x509_privkey_deinit(who[CROWD].key);
	gnutls_x509_privkey_init(&who[CROWD].key);
	gnutls_x509_privkey_cpy(who[CROWD].key, server.key);
	pki_make(&who[MIDDLE], &(struct pki_options){ .name = "bob", .issuer = &middle_ca });
	pki_make(&who[SERVERS], &(struct pki_options){
		.name = "server's", .issuer = &ca, .purpose = GNUTLS_KP_TLS_WWW_SERVER });
}

static struct profiles *profiles(const char *options, char *message)
{
	char text[1024];

	snprintf(text, sizeof(text), "[profile p]\ncertificate = server.pem\nkey = server.key\n%s", options);
	return ground_profiles(text, NULL, message);
}

static int chain_of(const struct pki_cert **chain, enum who whose)
{
	int i;

	if (whose == MIDDLE)
		return 2;
	if (whose != CROWD)
		return 1;
	for (i = 0; i < CROWD_SIZE; i++)
		chain[i + 1] = &crowd[CROWD_SIZE - 1 - i];
	return 1 + CROWD_SIZE;
}

/* A client comes with what @whose has. */
static void meet(struct pair *p, const struct profiles *set, enum who whose, const char *priority)
{
	const struct pki_cert *chain[12] = { &who[whose], &middle_ca };

	pair_serve(p, set, "p");
	pair_peer(p, GNUTLS_CLIENT | GNUTLS_FORCE_CLIENT_CERT, priority,
		  whose == NOBODY ? NULL : pki_credentials(chain, chain_of(chain, whose)));
}

static const char * const priorities[2] = {
	"NORMAL:-VERS-ALL:+VERS-TLS1.2:%VERIFY_ALLOW_BROKEN:+SIGN-ALL",
	"NORMAL:-VERS-ALL:+VERS-TLS1.3:%VERIFY_ALLOW_BROKEN:+SIGN-ALL",
};

#define ASK	"client_auth = request\nclient_ca = ca.pem\ncrl = crl.pem\n"
#define INSIST	"client_auth = require\nclient_ca = ca.pem\ncrl = crl.pem\n"

static const struct {
	const char *name;
	enum who whose;
	enum itls_verify verify;	/* OK: let in */
	int alert[2];			/* TLS 1.2, 1.3 */
	const char *subject;
} people[] = {
	{ "a good certificate", GOOD, ITLS_VERIFY_OK, { -1, -1 }, "CN=alice\\, of \\\"Wonderland\\\"" },
	{ "one by way of an intermediate authority", MIDDLE, ITLS_VERIFY_OK, { -1, -1 }, "CN=bob" },
	{ "the longest common name", LONG, ITLS_VERIFY_OK, { -1, -1 },
	  "CN=nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn" },
	{ "of an unknown authority", STRANGER, ITLS_VERIFY_ISSUER, { 48, 48 }, NULL },
	{ "expired", EXPIRED, ITLS_VERIFY_EXPIRED, { 45, 45 }, NULL },
	{ "not yet valid", FUTURE, ITLS_VERIFY_NOT_YET, { 45, 45 }, NULL },
	{ "for servers only", SERVERS, ITLS_VERIFY_PURPOSE, { 43, 43 }, NULL },
	{ "revoked", REVOKED, ITLS_VERIFY_REVOKED, { 44, 44 }, NULL },
	{ "forged in the authority's name", FORGED, ITLS_VERIFY_INVALID, { 42, 42 }, NULL },
	{ "an RSA key of 1024 bits", SMALL, ITLS_VERIFY_KEY, { 42, 42 }, NULL },
	{ "signed with SHA-1", SHA1, ITLS_VERIFY_SIGNATURE, { 42, 42 }, NULL },
	{ "a chain of too many", CROWD, ITLS_VERIFY_INVALID, { 42, 42 }, NULL },
};

static void test_people(const char *how, const char *options)
{
	struct profiles *set = profiles(options, NULL);
	struct pair p;
	size_t i;
	int v;

	for (i = 0; i < sizeof(people) / sizeof(people[0]); i++) {
		for (v = 0; v < 2; v++) {
			meet(&p, set, people[i].whose, priorities[v]);
			pair_run(&p);
			check(p.engine_err == (people[i].verify == ITLS_VERIFY_OK ? 0 : -EKEYREJECTED) &&
			      handshake_verify(p.engine) == people[i].verify,
			      "%s, TLS 1.%d: %s", how, v + 2, people[i].name);
			printf("# err %d verify %d alert %d: %s\n", p.engine_err, handshake_verify(p.engine),
			       handshake_alert_tx(p.engine), handshake_text(p.engine));
			check(handshake_alert_tx(p.engine) == people[i].alert[v] &&
			      pair_alert(&p) == people[i].alert[v], "%s, TLS 1.%d: alert %d", how, v + 2,
			      people[i].alert[v]);
			check(pair_describes(&p, &who[people[i].whose], people[i].subject),
			      "%s, TLS 1.%d: digest and subject", how, v + 2);
			pair_close(&p);
		}
	}
	profiles_free(set);
}

/* Clients without a certificate: alert 116 is of TLS 1.3 only. */
static void test_nobody(void)
{
	static const struct { const char *options; int err; enum itls_verify verify; int alert[2]; } cases[] = {
		{ "", 0, ITLS_VERIFY_NONE, { -1, -1 } },
		{ ASK, 0, ITLS_VERIFY_NONE, { -1, -1 } },
		{ INSIST, -EKEYREJECTED, ITLS_VERIFY_MISSING, { 40, 116 } },
	};
	struct profiles *set;
	struct pair p;
	size_t i;
	int v;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		set = profiles(cases[i].options, NULL);
		for (v = 0; v < 2; v++) {
			meet(&p, set, NOBODY, priorities[v]);
			pair_run(&p);
			check(p.engine_err == cases[i].err && handshake_verify(p.engine) == cases[i].verify &&
			      handshake_alert_tx(p.engine) == cases[i].alert[v] &&
			      pair_alert(&p) == cases[i].alert[v] && pair_describes(&p, &who[NOBODY], NULL),
			      "nobody, TLS 1.%d: %.21s", v + 2, cases[i].options);
			printf("# err %d verify %d alert %d: %s\n", p.engine_err, handshake_verify(p.engine),
			       handshake_alert_tx(p.engine), handshake_text(p.engine));
			pair_close(&p);
		}
		profiles_free(set);
	}
}

/* A server that does not ask gets none, and says nothing of one. */
static void test_unasked(void)
{
	struct profiles *set = profiles("", NULL);
	struct pair p;
	int v;

	for (v = 0; v < 2; v++) {
		meet(&p, set, STRANGER, priorities[v]);
		pair_run(&p);
		check(p.engine_err == 0 && handshake_verify(p.engine) == ITLS_VERIFY_NONE &&
		      pair_describes(&p, &who[STRANGER], NULL), "not asked for, not judged, TLS 1.%d", v + 2);
		pair_close(&p);
	}
	profiles_free(set);
}

/* The client learns whom the server trusts, and gets no ticket. */
static void test_offer(void)
{
	struct profiles *set = profiles(INSIST, NULL), *asking = profiles(ASK, NULL);
	struct pair p;
	char buf[16];
	int v;

	for (v = 0; v < 2; v++) {
		meet(&p, set, GOOD, priorities[v]);
		pair_run(&p);
		gnutls_record_recv(p.peer, buf, sizeof(buf));
		check(p.engine_err == 0 && !(gnutls_session_get_flags(p.peer) & GNUTLS_SFLAGS_SESSION_TICKET),
		      "no tickets, TLS 1.%d", v + 2);
		pair_close(&p);
		/* Without force GnuTLS's client sends only what is of an authority that the server names. */
		meet(&p, asking, STRANGER, priorities[v]);
		gnutls_deinit(p.peer);
		gnutls_init(&p.peer, GNUTLS_CLIENT | GNUTLS_NONBLOCK);
		gnutls_priority_set_direct(p.peer, priorities[v], NULL);
		gnutls_credentials_set(p.peer, GNUTLS_CRD_CERTIFICATE, p.creds);
		gnutls_transport_set_int(p.peer, p.peer_fd);
		pair_run(&p);
		check(p.engine_err == 0 && handshake_verify(p.engine) == ITLS_VERIFY_NONE,
		      "the authorities are named, TLS 1.%d", v + 2);
		pair_close(&p);
	}
	profiles_free(asking);
	profiles_free(set);
}

/* Certificate messages in the form of TLS 1.3 or 1.2, whole, cut, and with keys beyond all bounds. */

static size_t put_message(uint8_t *at, const gnutls_datum_t *der, bool tls13)
{
	size_t list = 3 + der->size + 2 * tls13, len = 0;

	if (tls13)
		at[len++] = 0;
	at[len++] = list >> 16;
	at[len++] = list >> 8;
	at[len++] = list;
	at[len++] = der->size >> 16;
	at[len++] = der->size >> 8;
	at[len++] = der->size;
	memcpy(at + len, der->data, der->size);
	len += der->size;
	if (tls13)
		at[len++] = 0, at[len++] = 0;
	return len;
}

/* A certificate with the RSA key (@bits, @exponent bytes), signed by somebody: it must not come to that. */
static gnutls_datum_t make_giant(size_t bits, size_t exponent)
{
	uint8_t number[8192 / 4], power[64];
	gnutls_datum_t m = { number, bits / 8 }, e = { power, exponent }, der;
	gnutls_privkey_t signer;
	gnutls_x509_crt_t crt;
	gnutls_pubkey_t key;

	memset(number, 0xa5, sizeof(number));
	memset(power, 0x11, sizeof(power));
	gnutls_pubkey_init(&key);
	must(!gnutls_pubkey_import_rsa_raw(key, &m, &e), "raw key");
	gnutls_x509_crt_init(&crt);
	gnutls_x509_crt_set_version(crt, 3);
	gnutls_x509_crt_set_serial(crt, "\1", 1);
	gnutls_x509_crt_set_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, "giant", 5);
	gnutls_x509_crt_set_activation_time(crt, time(NULL));
	gnutls_x509_crt_set_expiration_time(crt, time(NULL) + 3600);
	must(!gnutls_x509_crt_set_pubkey(crt, key), "public key");
	gnutls_privkey_init(&signer);
	gnutls_privkey_import_x509(signer, ca.key, 0);
	must(!gnutls_x509_crt_privkey_sign(crt, ca.crt, signer, GNUTLS_DIG_SHA256, 0), "certificate");
	must(!gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_DER, &der), "DER");
	gnutls_privkey_deinit(signer);
	gnutls_x509_crt_deinit(crt);
	gnutls_pubkey_deinit(key);
	return der;
}

static enum itls_verify judge(const gnutls_datum_t *der, bool tls13)
{
	uint8_t text[8192];
	gnutls_datum_t message = { text, put_message(text, der, tls13) };

	return verify_message(&message, tls13);
}

static void test_messages(void)
{
	static const struct { size_t bits, exponent; enum itls_verify verify; } keys[] = {
		{ 8192, 3, ITLS_VERIFY_OK },
		{ 8448, 3, ITLS_VERIFY_INVALID },
		{ 2048, 8, ITLS_VERIFY_OK },
		{ 2048, 9, ITLS_VERIFY_INVALID },
	};
	uint8_t text[8192], *cut;
	gnutls_datum_t der, message;
	size_t i, len, wrong;
	int v;

	for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		der = make_giant(keys[i].bits, keys[i].exponent);
		check(judge(&der, false) == keys[i].verify && judge(&der, true) == keys[i].verify,
		      "an RSA key of %zu bits, an exponent of %zu bytes", keys[i].bits, keys[i].exponent);
		gnutls_free(der.data);
	}
	gnutls_x509_crt_export2(who[GOOD].crt, GNUTLS_X509_FMT_DER, &der);
	for (v = 0; v < 2; v++) {
		len = put_message(text, &der, v);
		for (i = 0, wrong = 0; i < len; i++) {
			cut = malloc(i + 1); /* of its own, so that a memory checker sees its end */
			memcpy(cut, text, i);
			message = (gnutls_datum_t){ cut, i };
			wrong += verify_message(&message, v) != ITLS_VERIFY_INVALID;
			free(cut);
		}
		check(!wrong, "a Certificate message cut anywhere, TLS 1.%d", v + 2);
	}
	gnutls_free(der.data);
}

static void test_config(void)
{
	static const struct { const char *name, *options, *says; } cases[] = {
		{ "no such authorities", "client_auth = require\nclient_ca = gone.pem\n",
		  ":5: cannot read the authorities '" },
		{ "authorities that are none", "client_auth = require\nclient_ca = server.key\n",
		  "holds no PEM certificates of authorities" },
		{ "revocation list that is none", "client_auth = require\nclient_ca = ca.pem\ncrl = ca.pem\n",
		  ":6: '" },
	};
	struct profiles *set;
	char message[512];
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		set = profiles(cases[i].options, message);
		check(!set && strstr(message, cases[i].says), "%s: %s", cases[i].name, cases[i].says);
		printf("# %s\n", message);
		profiles_free(set);
	}
}

int main(void)
{
	int i;

	ground_lay();
	make_people();
	pki_put_chain(ground_dir, "ca.pem", (const struct pki_cert *[]){ &ca }, 1);
	pki_put_chain(ground_dir, "server.pem", (const struct pki_cert *[]){ &server }, 1);
	pki_put_key(ground_dir, "server.key", &server);
	pki_put_crl(ground_dir, "crl.pem", &ca, &who[REVOKED]);
	printf("TAP version 13\n");
	test_people("require", INSIST);
	test_people("request", ASK);
	test_nobody();
	test_unasked();
	test_offer();
	test_messages();
	test_config();
	pki_free(&ca);
	pki_free(&other_ca);
	pki_free(&middle_ca);
	pki_free(&server);
	for (i = 0; i < CROWD_SIZE; i++)
		pki_free(&crowd[i]);
	for (i = GOOD; i < WHOS; i++)
		pki_free(&who[i]);
	return tap_end();
}
