// SPDX-License-Identifier: GPL-2.0
/*
 * The handshake engine as a client: which servers are believed, what is said
 * of the others and with which alert, and what a program may bring along.
 * TAP on standard output.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include "ground.h"
#include "itlsd/profile.h"
#include "pair.h"
#include "pki.h"
#include "tap.h"

/* Who answers. */
enum who {
	GOOD, CHAINED, WILD, ADDRESS, BARE, STRANGER, EXPIRED, FUTURE, FOR_CLIENTS, REVOKED, FORGED,
	SMALL, SHA1, LATE_MIDDLE, WEAK_MIDDLE, NO_AUTHORITY, ALL_WRONG, WHOS
};

static struct pki_cert ca, other_ca, middle, late_middle, weak_middle, mere, me, who[WHOS];

static void make_people(void)
{
	struct pki_cert forger;

	pki_make(&ca, &(struct pki_options){ .name = "ca", .ca = true });
	pki_make(&other_ca, &(struct pki_options){ .name = "other ca", .ca = true });
	pki_make(&middle, &(struct pki_options){ .name = "middle", .issuer = &ca, .ca = true });
	pki_make(&late_middle, &(struct pki_options){
		.name = "late", .issuer = &ca, .ca = true, .from = -48, .to = -24 });
	pki_make(&weak_middle, &(struct pki_options){
		.name = "weak", .issuer = &ca, .ca = true, .algorithm = GNUTLS_PK_RSA, .bits = 1024 });
	pki_make(&mere, &(struct pki_options){ .name = "mere", .issuer = &ca, .dns = "mere.example" });
	pki_make(&me, &(struct pki_options){ .name = "me", .issuer = &ca });
	forger.crt = ca.crt;
	forger.key = other_ca.key;
#define SERVER(_who, _issuer, ...)							\
	pki_make(&who[_who], &(struct pki_options){ .name = "server", .issuer = (_issuer), ##__VA_ARGS__ })
	SERVER(GOOD, &ca, .dns = "good.example", .purpose = GNUTLS_KP_TLS_WWW_SERVER);
	SERVER(CHAINED, &middle, .dns = "good.example");
	SERVER(WILD, &ca, .dns = "*.wild.example");
	SERVER(ADDRESS, &ca, .ip = "192.0.2.7", .dns = "192.0.2.8");
	pki_make(&who[BARE], &(struct pki_options){ .name = "good.example", .issuer = &ca });
	SERVER(STRANGER, &other_ca, .dns = "good.example");
	SERVER(EXPIRED, &ca, .dns = "good.example", .from = -48, .to = -24);
	SERVER(FUTURE, &ca, .dns = "good.example", .from = 24, .to = 48);
	SERVER(FOR_CLIENTS, &ca, .dns = "good.example", .purpose = GNUTLS_KP_TLS_WWW_CLIENT);
	SERVER(REVOKED, &ca, .dns = "good.example");
	SERVER(FORGED, &forger, .dns = "good.example");
	SERVER(SMALL, &ca, .dns = "good.example", .algorithm = GNUTLS_PK_RSA, .bits = 1024);
	SERVER(SHA1, &ca, .dns = "good.example", .digest = GNUTLS_DIG_SHA1);
	SERVER(LATE_MIDDLE, &late_middle, .dns = "good.example", .digest = GNUTLS_DIG_SHA1);
	SERVER(WEAK_MIDDLE, &weak_middle, .dns = "good.example");
	SERVER(NO_AUTHORITY, &mere, .dns = "good.example");
	SERVER(ALL_WRONG, &ca, .dns = "bad.example", .from = -48, .to = -24, .digest = GNUTLS_DIG_SHA1,
	       .purpose = GNUTLS_KP_TLS_WWW_CLIENT);
#undef SERVER
}

static int chain_of(const struct pki_cert **chain, enum who whose)
{
	static const struct pki_cert * const issuers[WHOS] = {
		[CHAINED] = &middle, [LATE_MIDDLE] = &late_middle, [WEAK_MIDDLE] = &weak_middle,
		[NO_AUTHORITY] = &mere,
	};
	int n = 0;

	chain[n++] = &who[whose];
	if (issuers[whose])
		chain[n++] = issuers[whose];
	return n;
}

static void pair_server(struct pair *p, enum who whose, const char *priority)
{
	const struct pki_cert *chain[4];
	int count = chain_of(chain, whose);

	pair_peer(p, GNUTLS_SERVER, priority, pki_credentials(chain, count));
}

#define LAX ":%VERIFY_ALLOW_BROKEN:+SIGN-ALL"

static const char * const priorities[2] = {
	"NORMAL:-VERS-ALL:+VERS-TLS1.2" LAX,
	"NORMAL:-VERS-ALL:+VERS-TLS1.3" LAX,
};

/* Verdicts */

static const struct {
	const char *name;
	enum who whose;
	const char *asked;
	enum itls_verify verify;	/* OK: believed */
	int alert;
} servers[] = {
	{ "a good one", GOOD, "good.example", ITLS_VERIFY_OK, -1 },
	{ "in capitals, with a dot behind", GOOD, "GOOD.example.", ITLS_VERIFY_OK, -1 },
	{ "by way of an intermediate authority", CHAINED, "good.example", ITLS_VERIFY_OK, -1 },
	{ "another name", GOOD, "bad.example", ITLS_VERIFY_NAME, 46 },
	{ "a name below", GOOD, "x.good.example", ITLS_VERIFY_NAME, 46 },
	{ "a name above", GOOD, "example", ITLS_VERIFY_NAME, 46 },
	{ "a wildcard", WILD, "a.wild.example", ITLS_VERIFY_OK, -1 },
	{ "a wildcard, two labels", WILD, "a.b.wild.example", ITLS_VERIFY_NAME, 46 },
	{ "a wildcard, no label", WILD, "wild.example", ITLS_VERIFY_NAME, 46 },
	{ "an address", ADDRESS, "192.0.2.7", ITLS_VERIFY_OK, -1 },
	{ "an address among the names", ADDRESS, "192.0.2.8", ITLS_VERIFY_NAME, 46 },
	{ "another address", ADDRESS, "2001:db8::7", ITLS_VERIFY_NAME, 46 },
	{ "the name only in the common name", BARE, "good.example", ITLS_VERIFY_NAME, 46 },
	{ "of an unknown authority", STRANGER, "good.example", ITLS_VERIFY_ISSUER, 48 },
	{ "expired", EXPIRED, "good.example", ITLS_VERIFY_EXPIRED, 45 },
	{ "not yet valid", FUTURE, "good.example", ITLS_VERIFY_NOT_YET, 45 },
	{ "for clients only", FOR_CLIENTS, "good.example", ITLS_VERIFY_PURPOSE, 43 },
	{ "revoked", REVOKED, "good.example", ITLS_VERIFY_REVOKED, 44 },
	{ "forged in the authority's name", FORGED, "good.example", ITLS_VERIFY_INVALID, 42 },
	{ "an RSA key of 1024 bits", SMALL, "good.example", ITLS_VERIFY_KEY, 42 },
	{ "signed with SHA-1", SHA1, "good.example", ITLS_VERIFY_SIGNATURE, 42 },
	{ "an intermediate authority that expired, and SHA-1", LATE_MIDDLE, "good.example", ITLS_VERIFY_EXPIRED, 45 },
	{ "a weak intermediate authority", WEAK_MIDDLE, "good.example", ITLS_VERIFY_KEY, 42 },
	{ "issued by a mere server", NO_AUTHORITY, "good.example", ITLS_VERIFY_INVALID, 42 },
	{ "nothing right but the issuer", ALL_WRONG, "good.example", ITLS_VERIFY_EXPIRED, 45 },
};

static void test_servers(void)
{
	struct profiles *set = ground_profiles("[client default]\nca = ca.pem\ncrl = crl.pem\n", NULL, NULL);
	struct client_request req = { 0 };
	struct pair p;
	size_t i;
	int v;

	for (i = 0; i < sizeof(servers) / sizeof(servers[0]); i++) {
		for (v = 0; v < 2; v++) {
			req.server_name = servers[i].asked;
			must(!pair_connect(&p, set, "default", &req), "handshake_new_client");
			pair_server(&p, servers[i].whose, priorities[v]);
			pair_run(&p);
			check(p.engine_err == (servers[i].verify == ITLS_VERIFY_OK ? 0 : -EKEYREJECTED) &&
			      handshake_verify(p.engine) == servers[i].verify, "TLS 1.%d: %s", v + 2, servers[i].name);
			printf("# err %d verify %d alert %d: %s\n", p.engine_err, handshake_verify(p.engine),
			       handshake_alert_tx(p.engine), handshake_text(p.engine));
			check(handshake_alert_tx(p.engine) == servers[i].alert && pair_alert(&p) == servers[i].alert,
			      "TLS 1.%d: %s: alert %d", v + 2, servers[i].name, servers[i].alert);
			if (servers[i].verify == ITLS_VERIFY_OK)
				check(pair_describes(&p, &who[servers[i].whose], "CN=server") && pair_secrets_agree(&p),
				      "TLS 1.%d: %s: digest, subject, secrets", v + 2, servers[i].name);
			pair_close(&p);
		}
	}
	profiles_free(set);
}

/* NULL is the same as NULL. */
static bool same_text(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

/* What goes out, and when. */
static void test_hello(void)
{
	static const struct { const char *asked, *sni; } cases[] = {
		{ "good.example.", "good.example" }, { "192.0.2.7", NULL }, { "2001:db8::7", NULL },
	};
	struct profiles *set = ground_profiles("[client default]\nca = ca.pem\nalpn = h2, http/1.1\n", NULL, NULL);
	gnutls_datum_t alpn = { (void *)"http/1.1", 8 };
	struct client_request req = { 0 };
	unsigned int type;
	struct pair p;
	char name[256];
	size_t i, len;
	int ret;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		req.server_name = cases[i].asked;
		must(!pair_connect(&p, set, "default", &req), "handshake_new_client");
		pair_step_engine(&p);
		check(recv(p.peer_fd, name, 1, MSG_PEEK) == 1 && handshake_events(p.engine) == EPOLLIN,
		      "%s: the first step writes, then waits", cases[i].asked);
		pair_server(&p, GOOD, priorities[1]);
		gnutls_alpn_set_protocols(p.peer, &alpn, 1, 0);
		pair_run(&p);
		len = sizeof(name);
		ret = gnutls_server_name_get(p.peer, name, &len, &type, 0);
		check(same_text(ret ? NULL : name, cases[i].sni), "%s: the server name", cases[i].asked);
		check(p.engine_err || (!strcmp(handshake_result(p.engine)->alpn, "http/1.1") &&
				       !strcmp(handshake_result(p.engine)->sni, "good.example")),
		      "%s: ALPN and name in the result", cases[i].asked);
		pair_close(&p);
	}
	profiles_free(set);
}

/* The last flight does not fit at first: not done before it is out. */
static void test_last_bytes(void)
{
	struct profiles *set = ground_profiles("[client default]\nca = ca.pem\n", NULL, NULL);
	struct client_request req = { .server_name = "good.example" };
	int small = 1, full = 0;
	struct pair p;
	char junk;

	must(!pair_connect(&p, set, "default", &req), "handshake_new_client");
	pair_server(&p, GOOD, priorities[1]);
	must(!setsockopt(p.engine_fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), "SO_SNDBUF");
	pair_step_engine(&p);
	pair_step_peer(&p); /* its whole flight waits for the client now */
	while (send(p.engine_fd, "", 1, MSG_NOSIGNAL) == 1)
		full++;
	pair_step_engine(&p);
	pair_step_engine(&p);
	check(full && p.engine_err == 1 && handshake_events(p.engine) == EPOLLOUT, "not done while the last bytes wait");
	while (full && recv(p.peer_fd, &junk, 1, 0) == 1)
		full--;
	pair_run(&p);
	check(p.engine_err == 0 && p.peer_err == 0, "done when they are out");
	pair_close(&p);
	profiles_free(set);
}

/* Servers without end, servers that go, servers that are none. */
static void test_bytes(void)
{
	static const uint8_t giant[] = { 22, 3, 3, 64, 0, 2, 255, 255, 255 };
	struct profiles *set = ground_profiles("[client default]\nca = ca.pem\n", NULL, NULL);
	struct client_request req = { .server_name = "good.example" };
	uint8_t garbage[512];
	struct pair p;
	int n;

	memset(garbage, 'x', sizeof(garbage));
	must(!pair_connect(&p, set, "default", &req), "handshake_new_client");
	pair_step_engine(&p);
	must(send(p.peer_fd, giant, sizeof(giant), 0) == sizeof(giant), "send");
	for (n = 0; n < 1000 && p.engine_err == 1 && send(p.peer_fd, garbage, sizeof(garbage), 0) > 0; n++)
		pair_step_engine(&p);
	check(p.engine_err == -EPROTO, "giant message: refused after %d bytes", n * (int)sizeof(garbage));
	pair_close(&p);

	must(!pair_connect(&p, set, "default", &req), "handshake_new_client");
	pair_step_engine(&p);
	must(send(p.peer_fd, "220 ftp.example ready\r\n", 23, 0) == 23, "send");
	pair_step_engine(&p);
	check(p.engine_err == -EPROTO, "a server without TLS");
	pair_close(&p);

	must(!pair_connect(&p, set, "default", &req), "handshake_new_client");
	pair_step_engine(&p);
	shutdown(p.peer_fd, SHUT_RDWR);
	pair_step_engine(&p);
	check(p.engine_err == -ECONNRESET, "a server that goes");
	pair_close(&p);
	profiles_free(set);
}

static void test_min_version(void)
{
	struct profiles *set = ground_profiles("[client default]\nca = ca.pem\nmin_version = 1.3\n", NULL, NULL);
	struct client_request req = { .server_name = "good.example" };
	struct pair p;
	int v;

	for (v = 0; v < 2; v++) {
		must(!pair_connect(&p, set, "default", &req), "handshake_new_client");
		pair_server(&p, GOOD, priorities[v]);
		pair_run(&p);
		check(p.engine_err == (v ? 0 : -EPROTO), "min_version = 1.3 with TLS 1.%d", v + 2);
		pair_close(&p);
	}
	profiles_free(set);
}

/* What programs bring along */

enum part { NONE, CA_GOOD, CA_OTHER, CA_EMPTY, CA_KEY, CERT, KEY, OTHER_KEY, LOCKED_KEY, PARTS };

static gnutls_datum_t parts[PARTS];

static void make_parts(void)
{
	static uint8_t empty[] = "none\n";

	parts[CA_GOOD] = pki_pem(&ca);
	parts[CA_OTHER] = pki_pem(&other_ca);
	parts[CA_EMPTY] = (gnutls_datum_t){ empty, sizeof(empty) - 1 };
	parts[CA_KEY] = pki_key_pem(&ca);
	parts[CERT] = pki_pem(&me);
	parts[KEY] = pki_key_pem(&me);
	parts[OTHER_KEY] = pki_key_pem(&ca);
	must(!gnutls_x509_privkey_export2_pkcs8(me.key, GNUTLS_X509_FMT_PEM, "secret", GNUTLS_PKCS_PBES2_AES_128,
						&parts[LOCKED_KEY]), "locked key");
}

static void test_parts(void)
{
	static const struct {
		const char *name;
		const char *profile;
		enum part ca, cert, key;
		int err;		/* of handshake_new_client() */
		int end;		/* of the handshake */
		const char *shown;	/* to the server, NULL: no certificate */
	} cases[] = {
		{ "nothing: the profile's", "default", NONE, NONE, NONE, 0, 0, NULL },
		{ "the profile's certificate", "known", NONE, NONE, NONE, 0, 0, "CN=server" },
		{ "authorities", "strange", CA_GOOD, NONE, NONE, 0, 0, NULL },
		{ "other authorities: the profile's do not count", "default", CA_OTHER, NONE, NONE, 0,
		  -EKEYREJECTED, NULL },
		{ "a certificate", "default", NONE, CERT, KEY, 0, 0, "CN=me" },
		{ "a certificate in place of the profile's", "known", NONE, CERT, KEY, 0, 0, "CN=me" },
		{ "all", "strange", CA_GOOD, CERT, KEY, 0, 0, "CN=me" },
		{ "authorities that are none", "default", CA_EMPTY, NONE, NONE, -EINVAL, 0, NULL },
		{ "a key as authorities", "default", CA_KEY, NONE, NONE, -EINVAL, 0, NULL },
		{ "a certificate without key", "default", NONE, CERT, NONE, -EINVAL, 0, NULL },
		{ "a key without certificate", "default", NONE, NONE, KEY, -EINVAL, 0, NULL },
		{ "another's key", "default", NONE, CERT, OTHER_KEY, -EINVAL, 0, NULL },
		{ "a locked key", "default", NONE, CERT, LOCKED_KEY, -EINVAL, 0, NULL },
		{ "a certificate as key", "default", NONE, CERT, CERT, -EINVAL, 0, NULL },
	};
	struct profiles *set = ground_profiles("[client default]\nca = ca.pem\n[client strange]\nca = other.pem\n"
					       "[client known]\nca = ca.pem\n"
					       "certificate = known.pem\nkey = known.key\n", NULL, NULL);
	struct client_request req = { .server_name = "good.example" };
	const gnutls_datum_t *ders;
	gnutls_x509_crt_t crt;
	gnutls_datum_t dn;
	unsigned int count;
	struct pair p;
	size_t i;
	int v, err;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (v = 0; v < 2; v++) {
			req.ca = parts[cases[i].ca];
			req.cert = parts[cases[i].cert];
			req.key = parts[cases[i].key];
			err = pair_connect(&p, set, cases[i].profile, &req);
			check(err == cases[i].err, "TLS 1.%d: brought along: %s", v + 2, cases[i].name);
			if (err) {
				pair_close(&p);
				continue;
			}
			pair_server(&p, GOOD, priorities[v]);
			gnutls_certificate_server_set_request(p.peer, GNUTLS_CERT_REQUEST);
			pair_run(&p);
			check(p.engine_err == cases[i].end, "TLS 1.%d: %s: the handshake ends with %d", v + 2,
			      cases[i].name, cases[i].end);
			ders = gnutls_certificate_get_peers(p.peer, &count);
			memset(&dn, 0, sizeof(dn));
			if (ders) {
				gnutls_x509_crt_init(&crt);
				gnutls_x509_crt_import(crt, ders, GNUTLS_X509_FMT_DER);
				gnutls_x509_crt_get_dn3(crt, &dn, 0);
				gnutls_x509_crt_deinit(crt);
			}
			check(same_text(ders ? (char *)dn.data : NULL, cases[i].shown),
			      "TLS 1.%d: %s: shown to the server", v + 2, cases[i].name);
			gnutls_free(dn.data);
			pair_close(&p);
		}
	}
	profiles_free(set);
}

static void test_names(void)
{
	struct profiles *set = ground_profiles("[client default]\nca = ca.pem\n", NULL, NULL);
	struct client_request req = { .server_name = "" };
	struct pair p;

	check(pair_connect(&p, set, "default", &req) == -EINVAL, "no name");
	pair_close(&p);
	req.server_name = ".";
	check(pair_connect(&p, set, "default", &req) == -EINVAL, "a mere dot");
	pair_close(&p);
	profiles_free(set);
}

/* Configuration */

static void test_config(void)
{
	static const struct { const char *name, *text, *says; } bad[] = {
		{ "authorities that are not there", "[client a]\nca = gone.pem\n", ":2: cannot read the auth" },
		{ "authorities that are none", "[client a]\nca = known.key\n", ":2: '" },
		{ "certificate without key", "[client a]\ncertificate = known.pem\n", ":2: certificate without key" },
		{ "key without certificate", "[client a]\nkey = known.key\n", ":2: key without certificate: add" },
		{ "key of another certificate", "[client a]\ncertificate = known.pem\nkey = other.key\n", ":3: key '" },
		{ "a server's key in a client", "[client a]\nclient_auth = require\n", ":2: unknown key 'client_" },
		{ "a client's key in a server", "[profile a]\ncertificate = known.pem\nkey = known.key\nca = ca.pem\n",
		  ":4: unknown key 'ca'" },
		{ "a name twice", "[client a]\n[client a]\n", ":2: client 'a' was defined on line 1 already" },
	};
	struct profiles *set;
	struct profile *profile;
	char message[512];
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		set = ground_profiles(bad[i].text, NULL, message);
		check(!set && strstr(message, bad[i].says), "%s", bad[i].name);
		printf("# %s\n", message);
		profiles_free(set);
	}
	set = ground_profiles("[client a]\nowners = 4242\n[client b]\ncertificate = known.pem\nkey = known.key\n"
			      "[profile default]\ncertificate = known.pem\nkey = known.key\n", NULL, NULL);
	profile = profiles_get_client(set, "default");
	check(profile && profile_is_client(profile) && profile_allows(profile, 1000),
	      "the default client is there, for all");
	profile_put(profile);
	profile = profiles_get_client(set, "a");
	check(profile_allows(profile, 0) && profile_allows(profile, 4242) && !profile_allows(profile, 1000),
	      "owners: root, the named, nobody else");
	profile_put(profile);
	profile = profiles_get_client(set, "b");
	check(profile_allows(profile, 0) && !profile_allows(profile, 1000), "with a certificate: root only");
	profile_put(profile);
	profile = profiles_get(set, "default");
	check(profile && !profile_is_client(profile) && profiles_count(set) == 1 && !profiles_get(set, "a"),
	      "servers and clients do not mix");
	profile_put(profile);
	profiles_free(set);
}

static void put_files(void)
{
	pki_put_chain(ground_dir, "ca.pem", (const struct pki_cert *[]){ &ca }, 1);
	pki_put_chain(ground_dir, "other.pem", (const struct pki_cert *[]){ &other_ca }, 1);
	pki_put_chain(ground_dir, "known.pem", (const struct pki_cert *[]){ &who[GOOD] }, 1);
	pki_put_key(ground_dir, "known.key", &who[GOOD]);
	pki_put_key(ground_dir, "other.key", &ca);
	pki_put_crl(ground_dir, "crl.pem", &ca, &who[REVOKED]);
}

int main(void)
{
	ground_lay();
	make_people();
	make_parts();
	put_files();
	printf("TAP version 13\n");
	test_servers();
	test_hello();
	test_last_bytes();
	test_bytes();
	test_min_version();
	test_parts();
	test_names();
	test_config();
	return tap_end();
}
