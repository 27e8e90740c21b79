// SPDX-License-Identifier: GPL-2.0
/*
 * Client handshakes: which servers are believed, what is said of the others
 * and with which alert, what a program may bring along, and what is resumed.
 *
 *   engine (itlsd/handshake.c) --- pair --- server (GnuTLS)
 *
 * TAP on standard output.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include "itlsd/carry.h"
#include "itlsd/client.h"
#include "itlsd/config.h"
#include "itlsd/handshake.h"
#include "itlsd/profile.h"
#include "pki.h"
#include "tap.h"

#define STEPS 2000

static struct carry carried;
static char dir[32] = "/tmp/itls-client-XXXXXX";

/* Who answers. */
enum who {
	GOOD, CHAINED, WILD, ADDRESS, BARE, STRANGER, EXPIRED, FUTURE, FOR_CLIENTS, REVOKED, FORGED,
	SMALL, SHA1, LATE_MIDDLE, WEAK_MIDDLE, NO_AUTHORITY, ALL_WRONG,
	BRIEF, BRIEF_MIDDLE, BRIEF_CA, WHOS
};

static struct pki_cert ca, other_ca, middle, late_middle, weak_middle, mere, me, who[WHOS];
static struct pki_cert brief_middle, brief_ca; /* for an hour to come, as all that is brief */

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
	pki_make(&brief_middle, &(struct pki_options){
		.name = "brief", .issuer = &ca, .ca = true, .from = -1, .to = 1 });
	pki_make(&brief_ca, &(struct pki_options){ .name = "brief ca", .ca = true, .from = -1, .to = 1 });
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
	SERVER(BRIEF, &ca, .dns = "good.example", .from = -1, .to = 1);
	SERVER(BRIEF_MIDDLE, &brief_middle, .dns = "good.example");
	SERVER(BRIEF_CA, &brief_ca, .dns = "good.example");
#undef SERVER
}

static int chain_of(const struct pki_cert **chain, enum who whose)
{
	static const struct pki_cert * const issuers[WHOS] = {
		[CHAINED] = &middle, [LATE_MIDDLE] = &late_middle, [WEAK_MIDDLE] = &weak_middle,
		[NO_AUTHORITY] = &mere, [BRIEF_MIDDLE] = &brief_middle,
	};
	int n = 0;

	chain[n++] = &who[whose];
	if (issuers[whose])
		chain[n++] = issuers[whose];
	return n;
}

/* Profiles of the sections in @text; NULL and @message if they are refused. */
static struct profiles *profiles(const char *text, char *message)
{
	struct profiles *set = NULL;
	struct config *cfg;
	char path[128];

	snprintf(path, sizeof(path), "%s/itlsd.conf", dir);
	must(!config_parse(path, text, strlen(text), &cfg), "config");
	profiles_build(cfg, &carried, NULL, &set);
	if (message)
		snprintf(message, 512, "%s", cfg->n_messages ? cfg->messages[0].text : "");
	else if (!set)
		must(false, cfg->messages[0].text);
	config_free(cfg);
	return set;
}

/* One connection */

struct secrets {
	uint8_t tx[64], rx[64];
	size_t len;
};

struct pair {
	struct secrets secrets;		/* the server's */
	int fds[2];			/* client, server */
	gnutls_session_t server;
	gnutls_certificate_credentials_t creds;
	struct handshake *client;
	int client_err, server_err;
};

static int keep_secrets(gnutls_session_t session, gnutls_record_encryption_level_t level, const void *read,
			const void *write, size_t size)
{
	struct pair *p = gnutls_session_get_ptr(session);

	if (level != GNUTLS_ENCRYPTION_LEVEL_APPLICATION)
		return 0;
	if (write)
		memcpy(p->secrets.tx, write, size);
	if (read)
		memcpy(p->secrets.rx, read, size);
	p->secrets.len = size;
	return 0;
}

static void pair_server(struct pair *p, enum who whose, const char *priority)
{
	const struct pki_cert *chain[4];
	int count = chain_of(chain, whose);

	p->creds = pki_credentials(chain, count);
	gnutls_init(&p->server, GNUTLS_SERVER | GNUTLS_NONBLOCK);
	must(!gnutls_priority_set_direct(p->server, priority, NULL), priority);
	gnutls_credentials_set(p->server, GNUTLS_CRD_CERTIFICATE, p->creds);
	gnutls_transport_set_int(p->server, p->fds[1]);
	gnutls_session_set_ptr(p->server, p);
	gnutls_handshake_set_secret_function(p->server, keep_secrets);
}

static int pair_open(struct pair *p, const struct profiles *set, const char *profile_name,
		     const struct client_request *req)
{
	struct profile *profile = profiles_get_client(set, profile_name);
	int err;

	memset(p, 0, sizeof(*p));
	must(profile, profile_name);
	must(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, p->fds), "socketpair");
	p->client_err = 1;
	p->server_err = 1;
	err = handshake_new_client(&p->client, profile, p->fds[0], req);
	profile_put(profile);
	return err;
}

static void step_client(struct pair *p)
{
	int err;

	if (p->client_err != 1)
		return;
	err = handshake_step(p->client);
	if (err != -EAGAIN)
		p->client_err = err;
}

static void step_server(struct pair *p)
{
	int ret;

	if (p->server_err != 1)
		return;
	ret = gnutls_handshake(p->server);
	if (ret == 0 || gnutls_error_is_fatal(ret))
		p->server_err = ret;
	if (p->server_err < 0 && ret != GNUTLS_E_FATAL_ALERT_RECEIVED)
		gnutls_alert_send_appropriate(p->server, ret);
}

static void pair_run(struct pair *p)
{
	int i;

	for (i = 0; i < STEPS && (p->client_err == 1 || p->server_err == 1); i++) {
		step_client(p);
		step_server(p);
		if (p->client_err < 0 && i > 20)
			break;
	}
}

/* The alert that the server got. */
static int server_alert(struct pair *p)
{
	char buf[16];
	int ret = p->server_err;

	if (ret == 0)
		ret = gnutls_record_recv(p->server, buf, sizeof(buf));
	return ret == GNUTLS_E_FATAL_ALERT_RECEIVED ? (int)gnutls_alert_get(p->server) : -1;
}

static void pair_close(struct pair *p)
{
	handshake_free(p->client);
	if (p->server)
		gnutls_deinit(p->server);
	if (p->creds)
		gnutls_certificate_free_credentials(p->creds);
	close(p->fds[0]);
	close(p->fds[1]);
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

static bool is_described(const struct handshake_result *r, enum who whose)
{
	uint8_t digest[ITLS_DIGEST_LEN];
	gnutls_datum_t der;

	gnutls_x509_crt_export2(who[whose].crt, GNUTLS_X509_FMT_DER, &der);
	gnutls_hash_fast(GNUTLS_DIG_SHA256, der.data, der.size, digest);
	gnutls_free(der.data);
	return r->peer_digest && !memcmp(r->peer_digest, digest, sizeof(digest)) && r->peer_subject &&
	       !strcmp(r->peer_subject, "CN=server");
}

static bool secrets_agree(const struct pair *p)
{
	const struct handshake_result *r = handshake_result(p->client);

	if (r->tx.info.version == TLS_1_2_VERSION)
		return !r->secret_len;
	return r->secret_len && r->secret_len == p->secrets.len &&
	       !memcmp(r->tx_secret, p->secrets.rx, r->secret_len) &&
	       !memcmp(r->rx_secret, p->secrets.tx, r->secret_len);
}

static void test_servers(void)
{
	struct profiles *set = profiles("[client default]\nca = ca.pem\ncrl = crl.pem\n", NULL);
	struct client_request req = { 0 };
	struct pair p;
	size_t i;
	int v;

	for (i = 0; i < sizeof(servers) / sizeof(servers[0]); i++) {
		for (v = 0; v < 2; v++) {
			req.server_name = servers[i].asked;
			must(!pair_open(&p, set, "default", &req), "handshake_new_client");
			pair_server(&p, servers[i].whose, priorities[v]);
			pair_run(&p);
			check(p.client_err == (servers[i].verify == ITLS_VERIFY_OK ? 0 : -EKEYREJECTED) &&
			      handshake_verify(p.client) == servers[i].verify, "TLS 1.%d: %s", v + 2, servers[i].name);
			printf("# err %d verify %d alert %d: %s\n", p.client_err, handshake_verify(p.client),
			       handshake_alert_tx(p.client), handshake_text(p.client));
			check(handshake_alert_tx(p.client) == servers[i].alert && server_alert(&p) == servers[i].alert,
			      "TLS 1.%d: %s: alert %d", v + 2, servers[i].name, servers[i].alert);
			if (servers[i].verify == ITLS_VERIFY_OK)
				check(is_described(handshake_result(p.client), servers[i].whose) && secrets_agree(&p),
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
	struct profiles *set = profiles("[client default]\nca = ca.pem\nalpn = h2, http/1.1\n", NULL);
	gnutls_datum_t alpn = { (void *)"http/1.1", 8 };
	struct client_request req = { 0 };
	unsigned int type;
	struct pair p;
	char name[256];
	size_t i, len;
	int ret;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		req.server_name = cases[i].asked;
		must(!pair_open(&p, set, "default", &req), "handshake_new_client");
		step_client(&p);
		check(recv(p.fds[1], name, 1, MSG_PEEK) == 1 && handshake_events(p.client) == EPOLLIN,
		      "%s: the first step writes, then waits", cases[i].asked);
		pair_server(&p, GOOD, priorities[1]);
		gnutls_alpn_set_protocols(p.server, &alpn, 1, 0);
		pair_run(&p);
		len = sizeof(name);
		ret = gnutls_server_name_get(p.server, name, &len, &type, 0);
		check(same_text(ret ? NULL : name, cases[i].sni), "%s: the server name", cases[i].asked);
		check(p.client_err || (!strcmp(handshake_result(p.client)->alpn, "http/1.1") &&
				       !strcmp(handshake_result(p.client)->sni, "good.example")),
		      "%s: ALPN and name in the result", cases[i].asked);
		pair_close(&p);
	}
	profiles_free(set);
}

/* The last flight does not fit at first: not done before it is out. */
static void test_last_bytes(void)
{
	struct profiles *set = profiles("[client default]\nca = ca.pem\n", NULL);
	struct client_request req = { .server_name = "good.example" };
	int small = 1, full = 0;
	struct pair p;
	char junk;

	must(!pair_open(&p, set, "default", &req), "handshake_new_client");
	pair_server(&p, GOOD, priorities[1]);
	must(!setsockopt(p.fds[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), "SO_SNDBUF");
	step_client(&p);
	step_server(&p); /* its whole flight waits for the client now */
	while (send(p.fds[0], "", 1, MSG_NOSIGNAL) == 1)
		full++;
	step_client(&p);
	step_client(&p);
	check(full && p.client_err == 1 && handshake_events(p.client) == EPOLLOUT, "not done while the last bytes wait");
	while (full && recv(p.fds[1], &junk, 1, 0) == 1)
		full--;
	pair_run(&p);
	check(p.client_err == 0 && p.server_err == 0, "done when they are out");
	pair_close(&p);
	profiles_free(set);
}

/* Servers without end, servers that go, servers that are none. */
static void test_bytes(void)
{
	static const uint8_t giant[] = { 22, 3, 3, 64, 0, 2, 255, 255, 255 };
	struct profiles *set = profiles("[client default]\nca = ca.pem\n", NULL);
	struct client_request req = { .server_name = "good.example" };
	uint8_t garbage[512];
	struct pair p;
	int n;

	memset(garbage, 'x', sizeof(garbage));
	must(!pair_open(&p, set, "default", &req), "handshake_new_client");
	step_client(&p);
	must(send(p.fds[1], giant, sizeof(giant), 0) == sizeof(giant), "send");
	for (n = 0; n < 1000 && p.client_err == 1 && send(p.fds[1], garbage, sizeof(garbage), 0) > 0; n++)
		step_client(&p);
	check(p.client_err == -EPROTO, "giant message: refused after %d bytes", n * (int)sizeof(garbage));
	pair_close(&p);

	must(!pair_open(&p, set, "default", &req), "handshake_new_client");
	step_client(&p);
	must(send(p.fds[1], "220 ftp.example ready\r\n", 23, 0) == 23, "send");
	step_client(&p);
	check(p.client_err == -EPROTO, "a server without TLS");
	pair_close(&p);

	must(!pair_open(&p, set, "default", &req), "handshake_new_client");
	step_client(&p);
	shutdown(p.fds[1], SHUT_RDWR);
	step_client(&p);
	check(p.client_err == -ECONNRESET, "a server that goes");
	pair_close(&p);
	profiles_free(set);
}

static void test_min_version(void)
{
	struct profiles *set = profiles("[client default]\nca = ca.pem\nmin_version = 1.3\n", NULL);
	struct client_request req = { .server_name = "good.example" };
	struct pair p;
	int v;

	for (v = 0; v < 2; v++) {
		must(!pair_open(&p, set, "default", &req), "handshake_new_client");
		pair_server(&p, GOOD, priorities[v]);
		pair_run(&p);
		check(p.client_err == (v ? 0 : -EPROTO), "min_version = 1.3 with TLS 1.%d", v + 2);
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
	struct profiles *set = profiles("[client default]\nca = ca.pem\n[client strange]\nca = other.pem\n"
					"[client known]\nca = ca.pem\n"
					"certificate = known.pem\nkey = known.key\n", NULL);
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
			err = pair_open(&p, set, cases[i].profile, &req);
			check(err == cases[i].err, "TLS 1.%d: brought along: %s", v + 2, cases[i].name);
			if (err) {
				pair_close(&p);
				continue;
			}
			pair_server(&p, GOOD, priorities[v]);
			gnutls_certificate_server_set_request(p.server, GNUTLS_CERT_REQUEST);
			pair_run(&p);
			check(p.client_err == cases[i].end, "TLS 1.%d: %s: the handshake ends with %d", v + 2,
			      cases[i].name, cases[i].end);
			ders = gnutls_certificate_get_peers(p.server, &count);
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
	struct profiles *set = profiles("[client default]\nca = ca.pem\n", NULL);
	struct client_request req = { .server_name = "" };
	struct pair p;

	check(pair_open(&p, set, "default", &req) == -EINVAL, "no name");
	pair_close(&p);
	req.server_name = ".";
	check(pair_open(&p, set, "default", &req) == -EINVAL, "a mere dot");
	pair_close(&p);
	profiles_free(set);
}

/* Resumption */

#define RECORD_MAX	(5 + 16384 + 256)

/* What the kernel does with the next record of the server: its plaintext, without the type, or -1. */
static ssize_t kernel_reads(struct pair *p, const union keys *k, uint64_t seq, uint8_t *plain)
{
	gnutls_datum_t key = { (void *)k->aes128.key, sizeof(k->aes128.key) };
	uint8_t record[RECORD_MAX], nonce[12];
	gnutls_aead_cipher_hd_t aead;
	size_t len, out = RECORD_MAX;
	int ret;

	if (recv(p->fds[0], record, 5, 0) != 5)
		return -1;
	len = record[3] << 8 | record[4];
	must(recv(p->fds[0], record + 5, len, 0) == (ssize_t)len, "record");
	memcpy(nonce, k->aes128.salt, 4);
	memcpy(nonce + 4, k->aes128.iv, 8);
	nonce[11] ^= seq;
	gnutls_aead_cipher_init(&aead, GNUTLS_CIPHER_AES_128_GCM, &key);
	ret = gnutls_aead_cipher_decrypt(aead, nonce, 12, record, 5, 16, record + 5, len, plain, &out);
	gnutls_aead_cipher_deinit(aead);
	must(!ret && plain[out - 1] == 22, "a handshake record");
	return out - 1;
}

static const char * const gcm[2] = {
	"NORMAL:-VERS-ALL:+VERS-TLS1.2:-CIPHER-ALL:+AES-128-GCM",
	"NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+AES-128-GCM",
};

/* A connection that gives @n sessions for later, and how many of them there are. */
static int collect(struct pair *p, gnutls_datum_t *sessions, int n, bool tls13)
{
	const union keys keys = handshake_result(p->client)->rx;
	uint8_t plain[RECORD_MAX];
	ssize_t len;
	int i;

	if (!tls13)
		return handshake_session(p->client, sessions) ? 0 : 1;
	check(handshake_session(p->client, sessions) == -EAGAIN, "TLS 1.3: the session comes with a ticket");
	handshake_detach(p->client);
	for (i = 0; i < n; i++) {
		len = kernel_reads(p, &keys, i, plain);
		if (len < 0 || handshake_ticket(p->client, plain, len, &sessions[i]))
			break;
	}
	return i;
}

/* Connects to @whose with @session, or none, and leaves it open. */
static void connect_to(struct pair *p, const struct profiles *set, const char *profile, enum who whose,
		       const gnutls_datum_t *ticket_key, const gnutls_datum_t *session, int v)
{
	struct client_request req = { .server_name = "good.example" };

	if (session)
		req.session = *session;
	must(!pair_open(p, set, profile, &req), "handshake_new_client");
	pair_server(p, whose, gcm[v]);
	gnutls_session_ticket_enable_server(p->server, ticket_key);
	pair_run(p);
}

static void test_resumption(void)
{
	struct profiles *set = profiles("[client default]\nca = ca.pem\n[client strange]\nca = other.pem\n"
					"[client without]\nca = ca.pem\ntickets = no\n"
					"[client revoking]\nca = ca.pem\ncrl = crl-good.pem\n", NULL);
	gnutls_datum_t sessions[2] = { { 0 } }, again = { 0 }, ticket_key, other_key;
	struct pair p;
	int v, i, n;

	gnutls_session_ticket_key_generate(&ticket_key);
	gnutls_session_ticket_key_generate(&other_key);
	for (v = 0; v < 2; v++) {
		connect_to(&p, set, "default", GOOD, &ticket_key, NULL, v);
		check(p.client_err == 0 && !handshake_result(p.client)->resumed, "TLS 1.%d: a first session", v + 2);
		n = collect(&p, sessions, 2, v);
		check(n == 1 + v, "TLS 1.%d: %d to be resumed", v + 2, n);
		pair_close(&p);
		for (i = 0; i < n; i++) {
			connect_to(&p, set, "default", GOOD, &ticket_key, &sessions[i], v);
			check(p.client_err == 0 && handshake_result(p.client)->resumed &&
			      gnutls_session_is_resumed(p.server), "TLS 1.%d: resumed with session %d", v + 2, i);
			check(handshake_verify(p.client) == ITLS_VERIFY_OK && secrets_agree(&p) &&
			      is_described(handshake_result(p.client), GOOD),
			      "TLS 1.%d: resumed: the certificate, secrets", v + 2);
			if (!v)
				check(!handshake_session(p.client, &again) && again.size == sessions[i].size,
				      "TLS 1.2: a resumed session may be resumed again");
			gnutls_free(again.data);
			again.data = NULL;
			pair_close(&p);
		}
		/* The server has forgotten it, and is another one. */
		connect_to(&p, set, "default", STRANGER, &other_key, &sessions[0], v);
		check(p.client_err == -EKEYREJECTED && handshake_verify(p.client) == ITLS_VERIFY_ISSUER,
		      "TLS 1.%d: a session that is declined makes no certificate good", v + 2);
		pair_close(&p);
		/* The trust has changed: not even offered. */
		connect_to(&p, set, "strange", GOOD, &ticket_key, &sessions[0], v);
		check(p.client_err == -EKEYREJECTED && handshake_verify(p.client) == ITLS_VERIFY_ISSUER &&
		      !gnutls_session_is_resumed(p.server),
		      "TLS 1.%d: a session of another trust is not offered", v + 2);
		pair_close(&p);
		connect_to(&p, set, "revoking", GOOD, &ticket_key, &sessions[0], v);
		check(p.client_err == -EKEYREJECTED && handshake_verify(p.client) == ITLS_VERIFY_REVOKED &&
		      !gnutls_session_is_resumed(p.server),
		      "TLS 1.%d: a session whose certificate was revoked meanwhile is not offered", v + 2);
		pair_close(&p);
		for (i = 0; i < n; i++)
			gnutls_free(sessions[i].data);
		connect_to(&p, set, "without", GOOD, &ticket_key, NULL, v);
		check(p.client_err == 0 && handshake_session(p.client, sessions) == -ENOENT, "TLS 1.%d: tickets = no",
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

/*
 * Nobody shows a certificate again when a session is resumed: what has expired
 * since must be noticed all the same.  What the server still has stays good,
 * so that it is not the session itself that is too old.
 */
static void test_expiry(void)
{
	static const struct { const char *name; enum who whose; enum itls_verify verify; } cases[] = {
		{ "nothing", GOOD, ITLS_VERIFY_OK },
		{ "the certificate", BRIEF, ITLS_VERIFY_EXPIRED },
		{ "an intermediate authority", BRIEF_MIDDLE, ITLS_VERIFY_EXPIRED },
		{ "the trusted authority", BRIEF_CA, ITLS_VERIFY_EXPIRED },
	};
	struct profiles *set = profiles("[client default]\nca = brief.pem\n", NULL);
	gnutls_datum_t sessions[2], ticket_key;
	struct pair p;
	size_t i;
	int v, n;

	gnutls_session_ticket_key_generate(&ticket_key);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (v = 0; v < 2; v++) {
			bool good = cases[i].verify == ITLS_VERIFY_OK;

			connect_to(&p, set, "default", cases[i].whose, &ticket_key, NULL, v);
			must(!p.client_err, "a first session");
			n = collect(&p, sessions, 2, v);
			pair_close(&p);
			must(n == 1 + v, "sessions");
			connect_to(&p, set, "default", cases[i].whose, &ticket_key, &sessions[0], v);
			check(!p.client_err && gnutls_session_is_resumed(p.server),
			      "TLS 1.%d: before it expires: %s: resumed", v + 2, cases[i].name);
			pair_close(&p);
			clock_ahead = 2;
			connect_to(&p, set, "default", cases[i].whose, &ticket_key, &sessions[n - 1], v);
			check(!!gnutls_session_is_resumed(p.server) == good, "TLS 1.%d: expired: %s: %s", v + 2,
			      cases[i].name, good ? "resumed" : "not offered");
			check(p.client_err == (good ? 0 : -EKEYREJECTED) &&
			      handshake_verify(p.client) == cases[i].verify &&
			      server_alert(&p) == (good ? -1 : GNUTLS_A_CERTIFICATE_EXPIRED),
			      "TLS 1.%d: expired: %s: %s", v + 2, cases[i].name, good ? "taken" : "refused");
			pair_close(&p);
			connect_to(&p, set, "default", GOOD, &ticket_key, &sessions[n - 1], v);
			check(!p.client_err && !!gnutls_session_is_resumed(p.server) == good,
			      "TLS 1.%d: expired: %s: the server's new one is taken", v + 2, cases[i].name);
			pair_close(&p);
			clock_ahead = 0;
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
	struct profiles *set = profiles("[client default]\nca = ca.pem\n", NULL);
	gnutls_datum_t ticket_key, data;
	struct pair p;
	size_t i;

	gnutls_session_ticket_key_generate(&ticket_key);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		connect_to(&p, set, "default", GOOD, &ticket_key, NULL, 1);
		handshake_detach(p.client);
		check(handshake_ticket(p.client, cases[i].bytes, cases[i].len, &data) == cases[i].err,
		      "a ticket that is none: %s", cases[i].name);
		pair_close(&p);
	}
	gnutls_free(ticket_key.data);
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
		set = profiles(bad[i].text, message);
		check(!set && strstr(message, bad[i].says), "%s", bad[i].name);
		printf("# %s\n", message);
		profiles_free(set);
	}
	set = profiles("[client a]\nowners = 4242\n[client b]\ncertificate = known.pem\nkey = known.key\n"
		       "[profile default]\ncertificate = known.pem\nkey = known.key\n", NULL);
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

static void clean_up(void)
{
	static const char * const names[] = { "ca.pem", "other.pem", "brief.pem", "crl.pem", "crl-good.pem",
					      "known.pem", "known.key", "other.key" };
	char path[128];
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		unlink(path);
	}
	rmdir(dir);
}

static void put_files(void)
{
	pki_put_chain(dir, "ca.pem", (const struct pki_cert *[]){ &ca }, 1);
	pki_put_chain(dir, "other.pem", (const struct pki_cert *[]){ &other_ca }, 1);
	pki_put_chain(dir, "brief.pem", (const struct pki_cert *[]){ &ca, &brief_ca }, 2);
	pki_put_chain(dir, "known.pem", (const struct pki_cert *[]){ &who[GOOD] }, 1);
	pki_put_key(dir, "known.key", &who[GOOD]);
	pki_put_key(dir, "other.key", &ca);
	pki_put_crl(dir, "crl.pem", &ca, &who[REVOKED]);
	pki_put_crl(dir, "crl-good.pem", &ca, &who[GOOD]);
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	must(mkdtemp(dir), dir);
	atexit(clean_up);
	must(!handshake_setup(false), "GnuTLS");
	gnutls_global_set_time_function(later);
	carry_all(&carried);
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
	test_resumption();
	test_expiry();
	test_bad_tickets();
	test_config();
	return tap_end();
}
