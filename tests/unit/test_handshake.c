// SPDX-License-Identifier: GPL-2.0
/*
 * The handshake engine against a GnuTLS client in the same process, over a
 * socketpair:
 *
 *   client (GnuTLS) --- pair --- engine (itlsd/handshake.c)
 *
 * Both ends are non-blocking and stepped in turn, so nothing waits and nothing
 * depends on time.  The exported keys are tried with a record layer of our
 * own.  TAP on standard output.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include "itlsd/carry.h"
#include "itlsd/config.h"
#include "itlsd/handshake.h"
#include "itlsd/profile.h"

#define STEPS		20000	/* steps without an end: a hang */
#define RECORD_MAX	(5 + 16384 + 256)

static unsigned int n_tests, n_failed;
static struct carry carried;	/* what the kernel is said to have */
static char dir[32] = "/tmp/itls-handshake-XXXXXX";

static void check(bool good, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void check(bool good, const char *fmt, ...)
{
	va_list ap;

	n_failed += !good;
	printf("%sok %u - ", good ? "" : "not ", ++n_tests);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
}

static void must(bool good, const char *what)
{
	if (good)
		return;
	printf("Bail out! %s: %s\n", what, strerror(errno));
	exit(1);
}

/* Certificate and profiles */

static void put_file(const char *name, const gnutls_datum_t *data)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	must(fd >= 0 && write(fd, data->data, data->size) == (ssize_t)data->size, path);
	close(fd);
}

static void make_pair(const char *cert_name, const char *key_name)
{
	gnutls_x509_privkey_t key;
	gnutls_x509_crt_t crt;
	gnutls_datum_t pem;
	time_t now = time(NULL);

	gnutls_x509_privkey_init(&key);
	must(!gnutls_x509_privkey_generate(key, GNUTLS_PK_ECDSA,
					   GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0), "key");
	gnutls_x509_crt_init(&crt);
	gnutls_x509_crt_set_version(crt, 3);
	gnutls_x509_crt_set_serial(crt, "\1", 1);
	gnutls_x509_crt_set_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, "localhost", 9);
	gnutls_x509_crt_set_activation_time(crt, now - 3600);
	gnutls_x509_crt_set_expiration_time(crt, now + 86400);
	gnutls_x509_crt_set_key(crt, key);
	must(!gnutls_x509_crt_sign2(crt, crt, key, GNUTLS_DIG_SHA256, 0), "certificate");
	gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &pem);
	put_file(cert_name, &pem);
	gnutls_free(pem.data);
	gnutls_x509_privkey_export2(key, GNUTLS_X509_FMT_PEM, &pem);
	put_file(key_name, &pem);
	gnutls_free(pem.data);
	gnutls_x509_crt_deinit(crt);
	gnutls_x509_privkey_deinit(key);
}

/* Profiles of a file with one profile "p" and @options; NULL and @message if it is refused. */
static struct profiles *profiles_old(const char *options, const struct profiles *old, char *message)
{
	struct profiles *set = NULL;
	struct config *cfg;
	char text[1024], path[128];

	snprintf(path, sizeof(path), "%s/itlsd.conf", dir);
	snprintf(text, sizeof(text), "[profile p]\ncertificate = cert.pem\n%s%s",
		 strstr(options, "key =") ? "" : "key = key.pem\n", options);
	must(!config_parse(path, text, strlen(text), &cfg), "config");
	profiles_build(cfg, &carried, old, &set);
	if (message)
		snprintf(message, 512, "%s", cfg->n_messages ? cfg->messages[0].text : "");
	config_free(cfg);
	return set;
}

static struct profiles *profiles(const char *options)
{
	struct profiles *set = profiles_old(options, NULL, NULL);

	must(set, options);
	return set;
}

/* One connection */

struct secrets {
	uint8_t tx[64], rx[64];
	size_t len;
};

struct pair {
	struct secrets secrets;		/* the client's */
	int client_fd, server_fd;
	gnutls_session_t client;
	gnutls_certificate_credentials_t creds;
	struct handshake *server;
	int client_err, server_err;	/* 1: not at its end */
};

static void pair_open(struct pair *p, const struct profiles *set)
{
	struct profile *profile = profiles_get(set, "p");
	int fds[2];

	memset(p, 0, sizeof(*p));
	must(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), "socketpair");
	p->client_fd = fds[0];
	p->server_fd = fds[1];
	p->client_err = 1;
	p->server_err = 1;
	must(!handshake_new(&p->server, profile, p->server_fd), "handshake_new");
	profile_put(profile);
}

/* The client's own view of the traffic secrets. */
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

static void pair_client(struct pair *p, const char *priority, const char *alpn, const char *sni,
			const gnutls_datum_t *session)
{
	gnutls_datum_t name = { (void *)alpn, alpn ? strlen(alpn) : 0 };

	must(!gnutls_init(&p->client, GNUTLS_CLIENT | GNUTLS_NONBLOCK), "client");
	must(!gnutls_priority_set_direct(p->client, priority, NULL), priority);
	gnutls_certificate_allocate_credentials(&p->creds);
	gnutls_credentials_set(p->client, GNUTLS_CRD_CERTIFICATE, p->creds);
	if (alpn)
		gnutls_alpn_set_protocols(p->client, &name, 1, 0);
	if (sni)
		gnutls_server_name_set(p->client, GNUTLS_NAME_DNS, sni, strlen(sni));
	if (session)
		gnutls_session_set_data(p->client, session->data, session->size);
	gnutls_transport_set_int(p->client, p->client_fd);
	gnutls_session_set_ptr(p->client, p);
	gnutls_handshake_set_secret_function(p->client, keep_secrets);
}

static void pair_close(struct pair *p)
{
	handshake_free(p->server);
	if (p->client)
		gnutls_deinit(p->client);
	if (p->creds)
		gnutls_certificate_free_credentials(p->creds);
	if (p->client_fd >= 0)
		close(p->client_fd);
	close(p->server_fd);
}

static void step_client(struct pair *p)
{
	int ret;

	if (p->client_err != 1)
		return;
	ret = gnutls_handshake(p->client);
	if (ret == 0 || gnutls_error_is_fatal(ret))
		p->client_err = ret;
}

static void step_server(struct pair *p)
{
	int err;

	if (p->server_err != 1)
		return;
	err = handshake_step(p->server);
	if (err != -EAGAIN)
		p->server_err = err;
}

/* What the server made of it; -EAGAIN: it waits for more. */
static int pair_run(struct pair *p)
{
	int i;

	for (i = 0; i < STEPS && (p->server_err == 1 || (p->server_err == 0 && p->client_err == 1)); i++) {
		if (p->client)
			step_client(p);
		step_server(p);
	}
	return p->server_err == 1 ? -EAGAIN : p->server_err;
}

/* Only the server, on bytes that are there already. */
static int server_run(struct pair *p)
{
	int i;

	for (i = 0; i < 64 && p->server_err == 1; i++)
		step_server(p);
	return p->server_err == 1 ? -EAGAIN : p->server_err;
}

static bool feed(struct pair *p, const void *data, size_t len)
{
	return send(p->client_fd, data, len, MSG_NOSIGNAL) == (ssize_t)len;
}

static void hang_up(struct pair *p)
{
	close(p->client_fd);
	p->client_fd = -1;
}

/* A record layer: what the kernel will do with the keys (RFC 8446, 5.2; RFC 5288, 3; RFC 6655, 3; RFC 7905, 2) */

struct direction {
	bool tls13;
	gnutls_aead_cipher_hd_t aead;
	uint8_t iv[12];
	size_t explicit;	/* bytes of the nonce in each record */
	uint64_t seq;
};

/* One kind of key, as a kernel reads it. */
struct key_view {
	gnutls_cipher_algorithm_t cipher;
	size_t size;
	const uint8_t *key;
	size_t key_len;
	const uint8_t *salt, *iv, *seq;
	size_t salt_len;
};

#define VIEW(_cipher, _part, _salt_len) ((struct key_view){					\
	GNUTLS_CIPHER_##_cipher, sizeof((_part)), (_part).key, sizeof((_part).key),		\
	(_part).salt, (_part).iv, (_part).rec_seq, _salt_len })

static struct key_view key_view(const union keys *k)
{
	switch (k->info.cipher_type) {
	case TLS_CIPHER_AES_GCM_128:
		return VIEW(AES_128_GCM, k->aes128, 4);
	case TLS_CIPHER_AES_GCM_256:
		return VIEW(AES_256_GCM, k->aes256, 4);
	case TLS_CIPHER_AES_CCM_128:
		return VIEW(AES_128_CCM, k->ccm128, 4);
	case TLS_CIPHER_CHACHA20_POLY1305:
		return VIEW(CHACHA20_POLY1305, k->chacha, 0);
	}
	must(false, "a cipher the kernel knows");
	return (struct key_view){ 0 };
}

static uint64_t get64(const uint8_t *at)
{
	uint64_t v = 0;
	int i;

	for (i = 0; i < 8; i++)
		v = v << 8 | at[i];
	return v;
}

static void put64(uint8_t *at, uint64_t v)
{
	int i;

	for (i = 7; i >= 0; i--, v >>= 8)
		at[i] = v;
}

static void direction_open(struct direction *d, const union keys *k)
{
	struct key_view view = key_view(k);
	gnutls_datum_t key = { (void *)view.key, view.key_len };

	d->tls13 = k->info.version == TLS_1_3_VERSION;
	d->explicit = d->tls13 || !view.salt_len ? 0 : 8;
	memcpy(d->iv, view.salt, view.salt_len);
	memcpy(d->iv + view.salt_len, view.iv, sizeof(d->iv) - view.salt_len);
	d->seq = get64(view.seq);
	must(!gnutls_aead_cipher_init(&d->aead, view.cipher, &key), "aead");
}

static void direction_nonce(const struct direction *d, uint8_t *nonce)
{
	uint8_t seq[8];
	int i;

	memcpy(nonce, d->iv, 12);
	put64(seq, d->seq);
	if (d->explicit)
		memcpy(nonce + 4, seq, 8);
	for (i = 0; !d->explicit && i < 8; i++)
		nonce[4 + i] ^= seq[i];
}

static size_t direction_aad(const struct direction *d, const uint8_t *header, size_t plain, uint8_t *aad)
{
	if (d->tls13) {
		memcpy(aad, header, 5);
		return 5;
	}
	put64(aad, d->seq);
	memcpy(aad + 8, header, 3);
	aad[11] = plain >> 8;
	aad[12] = plain;
	return 13;
}

/* Reads one record from @fd; its length or -1. */
static ssize_t read_record(int fd, uint8_t *rec)
{
	size_t len;

	if (recv(fd, rec, 5, 0) != 5)
		return -1;
	len = rec[3] << 8 | rec[4];
	return len <= RECORD_MAX - 5 && recv(fd, rec + 5, len, 0) == (ssize_t)len ? (ssize_t)len + 5 : -1;
}

/* Opens one record; its plaintext length or -1. */
static ssize_t open_record(struct direction *d, const uint8_t *rec, size_t len, uint8_t *plain)
{
	size_t before = 5 + d->explicit, out = RECORD_MAX, aad_len;
	uint8_t nonce[12], aad[13];

	if (len < before + 16)
		return -1;
	direction_nonce(d, nonce);
	if (d->explicit)
		memcpy(nonce + 4, rec + 5, 8);
	aad_len = direction_aad(d, rec, len - before - 16, aad);
	if (gnutls_aead_cipher_decrypt(d->aead, nonce, 12, aad, aad_len, 16, rec + before, len - before, plain,
				       &out))
		return -1;
	d->seq++;
	return d->tls13 ? (plain[out - 1] == 23 ? (ssize_t)out - 1 : -1) : (ssize_t)out;
}

/* Makes one record of application data; its length. */
static size_t seal_record(struct direction *d, const uint8_t *data, size_t len, uint8_t *rec)
{
	size_t plain = len + d->tls13, out = RECORD_MAX, total = d->explicit + plain + 16, aad_len;
	uint8_t inner[16385], nonce[12], aad[13];

	memcpy(inner, data, len);
	if (d->tls13)
		inner[len] = 23;
	memcpy(rec, (uint8_t[]){ 23, 3, 3, total >> 8, total }, 5);
	direction_nonce(d, nonce);
	memcpy(rec + 5, nonce + 4, d->explicit);
	aad_len = direction_aad(d, rec, plain, aad);
	must(!gnutls_aead_cipher_encrypt(d->aead, nonce, 12, aad, aad_len, 16, inner, plain,
					 rec + 5 + d->explicit, &out), "seal");
	d->seq++;
	return 5 + total;
}

static bool send_record(struct direction *d, int fd, const uint8_t *data, size_t len)
{
	uint8_t rec[RECORD_MAX];
	size_t total = seal_record(d, data, len, rec);

	return send(fd, rec, total, MSG_NOSIGNAL) == (ssize_t)total;
}

/* Data both ways under the exported keys, a full-size record from the server included. */
static bool keys_work(struct pair *p, const char *name)
{
	const struct handshake_result *r = handshake_result(p->server);
	static uint8_t big[16384], got[RECORD_MAX], own[RECORD_MAX];
	struct direction tx, rx;
	ssize_t n, len = -1;
	bool good;

	memset(big, 'x', sizeof(big));
	direction_open(&rx, &r->rx);
	direction_open(&tx, &r->tx);
	if (gnutls_record_send(p->client, "hello", 5) == 5)
		len = read_record(p->server_fd, got);
	check(len > 0 && len == (ssize_t)seal_record(&rx, (const uint8_t *)"hello", 5, own) && !memcmp(got, own, len),
	      "%s: the key for receiving makes the client's first record, byte for byte", name);
	rx.seq--;
	good = len > 0 && open_record(&rx, got, len, own) == 5 && !memcmp(own, "hello", 5);
	check(good, "%s: the key for receiving opens the client's first record", name);
	good = send_record(&tx, p->server_fd, big, sizeof(big));
	do {
		n = gnutls_record_recv(p->client, got, sizeof(big));
	} while (good && n == GNUTLS_E_AGAIN && recv(p->client_fd, got, 1, MSG_PEEK) > 0);
	good = good && n == sizeof(big) && !memcmp(got, big, n);
	check(good, "%s: the client opens a full record under the key for sending", name);
	gnutls_aead_cipher_deinit(tx.aead);
	gnutls_aead_cipher_deinit(rx.aead);
	return good;
}

/* From here on the kernel is said to lack these; 0 at the end. */
static void carry_without(const unsigned int *lacks)
{
	const unsigned int *lack;
	struct carry all;
	size_t i, n = 0;

	carry_all(&all);
	memset(&carried, 0, sizeof(carried));
	for (i = 0; all.ciphers[i]; i++) {
		for (lack = lacks; *lack && *lack != all.ciphers[i]; lack++)
			;
		if (!*lack)
			carried.ciphers[n++] = all.ciphers[i];
	}
}

/* Tests */

#define ONLY(_version, _cipher) "NORMAL:-VERS-ALL:+VERS-TLS" _version ":-CIPHER-ALL:+" _cipher

static const struct {
	const char *name;
	const char *priority;
	int version;
	int cipher;
} suites[] = {
	{ "TLS 1.3 AES-128-GCM", ONLY("1.3", "AES-128-GCM"), TLS_1_3_VERSION, TLS_CIPHER_AES_GCM_128 },
	{ "TLS 1.3 AES-256-GCM", ONLY("1.3", "AES-256-GCM"), TLS_1_3_VERSION, TLS_CIPHER_AES_GCM_256 },
	{ "TLS 1.3 ChaCha20", ONLY("1.3", "CHACHA20-POLY1305"), TLS_1_3_VERSION, TLS_CIPHER_CHACHA20_POLY1305 },
	{ "TLS 1.3 AES-128-CCM", ONLY("1.3", "AES-128-CCM"), TLS_1_3_VERSION, TLS_CIPHER_AES_CCM_128 },
	{ "TLS 1.2 AES-128-GCM", ONLY("1.2", "AES-128-GCM"), TLS_1_2_VERSION, TLS_CIPHER_AES_GCM_128 },
	{ "TLS 1.2 AES-256-GCM", ONLY("1.2", "AES-256-GCM"), TLS_1_2_VERSION, TLS_CIPHER_AES_GCM_256 },
	{ "TLS 1.2 ChaCha20", ONLY("1.2", "CHACHA20-POLY1305"), TLS_1_2_VERSION, TLS_CIPHER_CHACHA20_POLY1305 },
	{ "TLS 1.2 AES-128-CCM", ONLY("1.2", "AES-128-CCM"), TLS_1_2_VERSION, TLS_CIPHER_AES_CCM_128 },
};

#define SUITE_13 0	/* where each version begins */
#define SUITE_12 4

#define N_SUITES (sizeof(suites) / sizeof(suites[0]))

/*
 * In TLS 1.2 a nonce that GnuTLS used before would be one used twice (RFC 5288, 3);
 * ChaCha20 has none of its own in a record, only the sequence number (RFC 7905, 2).
 */
static bool nonce_is_sequence(const union keys *k)
{
	struct key_view view = key_view(k);

	return get64(view.seq) == 1 && (!view.salt_len || get64(view.iv) == 1);
}

/* What the server sends, the client receives; TLS 1.2 has none (RFC 8446, 7.1). */
static bool secrets_agree(const struct pair *p)
{
	const struct handshake_result *r = handshake_result(p->server);
	size_t len = r->tx.info.cipher_type == TLS_CIPHER_AES_GCM_256 ? 48 : 32;

	if (r->tx.info.version == TLS_1_2_VERSION)
		return !r->secret_len && !p->secrets.len;
	return r->secret_len == len && p->secrets.len == len && !memcmp(r->tx_secret, p->secrets.rx, len) &&
	       !memcmp(r->rx_secret, p->secrets.tx, len) && memcmp(r->rx_secret, r->tx_secret, len);
}

static void get_ticket(struct pair *p, gnutls_datum_t *ticket)
{
	char buf[16];

	gnutls_record_recv(p->client, buf, sizeof(buf)); /* TLS 1.3: tickets come after the handshake */
	must(!gnutls_session_get_data2(p->client, ticket), "session data");
}

static void test_suite(size_t i, const struct profiles *set)
{
	const char *name = suites[i].name;
	const struct handshake_result *r;
	gnutls_datum_t ticket = { 0 };
	struct pair p;

	pair_open(&p, set);
	pair_client(&p, suites[i].priority, "http/1.1", "files.example", NULL);
	check(pair_run(&p) == 0 && p.client_err == 0, "%s: handshake", name);
	r = handshake_result(p.server);
	check(r->tx.info.version == suites[i].version && r->rx.info.version == suites[i].version &&
	      r->tx.info.cipher_type == suites[i].cipher && r->rx.info.cipher_type == suites[i].cipher,
	      "%s: version and cipher", name);
	check(secrets_agree(&p), "%s: the traffic secrets are the client's", name);
	check(r->tx_len == key_view(&r->tx).size && r->rx_len == key_view(&r->rx).size, "%s: length of the keys", name);
	if (suites[i].version == TLS_1_2_VERSION)
		check(nonce_is_sequence(&r->tx) && nonce_is_sequence(&r->rx),
		      "%s: explicit nonces go on with the sequence number", name);
	check(r->alpn && !strcmp(r->alpn, "http/1.1") && r->sni && !strcmp(r->sni, "files.example"),
	      "%s: ALPN and SNI", name);
	check(!r->resumed && !r->prefix_len, "%s: a first session resumes none, reads nothing ahead", name);
	get_ticket(&p, &ticket);
	keys_work(&p, name);
	pair_close(&p);

	pair_open(&p, set);
	pair_client(&p, suites[i].priority, NULL, "files.example", &ticket);
	check(pair_run(&p) == 0 && handshake_result(p.server)->resumed && gnutls_session_is_resumed(p.client),
	      "%s: resumed by ticket", name);
	check(!handshake_result(p.server)->alpn, "%s: no ALPN without an offer", name);
	check(secrets_agree(&p), "%s: resumed, with secrets", name);
	keys_work(&p, "resumed");
	pair_close(&p);
	gnutls_free(ticket.data);
}

/* Tickets live over a reload, die with the process, and belong to one profile set up with tickets. */
static void test_reload(void)
{
	struct profiles *first = profiles(""), *second, *other = profiles(""), *without = profiles("tickets = no\n");
	struct { const struct profiles *set; bool resumed; const char *name; } tries[3];
	gnutls_datum_t ticket;
	struct pair p;
	int i;

	pair_open(&p, first);
	pair_client(&p, suites[SUITE_13].priority, NULL, NULL, NULL);
	must(pair_run(&p) == 0, "handshake");
	get_ticket(&p, &ticket);
	pair_close(&p);
	second = profiles_old("", first, NULL);
	must(second, "reload");
	profiles_free(first);
	tries[0].set = second, tries[0].resumed = true, tries[0].name = "a ticket lives over a reload";
	tries[1].set = other, tries[1].resumed = false, tries[1].name = "a ticket is worth nothing elsewhere";
	tries[2].set = without, tries[2].resumed = false, tries[2].name = "tickets = no resumes nothing";
	for (i = 0; i < 3; i++) {
		pair_open(&p, tries[i].set);
		pair_client(&p, suites[SUITE_13].priority, NULL, NULL, &ticket);
		check(pair_run(&p) == 0 && handshake_result(p.server)->resumed == tries[i].resumed, "%s",
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
		set = profiles(cases[i].options);
		pair_open(&p, set);
		pair_client(&p, cases[i].priority, cases[i].alpn, NULL, NULL);
		check(pair_run(&p) == -EPROTO && handshake_alert_tx(p.server) == cases[i].alert,
		      "%s: refused with alert %d", cases[i].name, cases[i].alert);
		printf("# err %d alert %d: %s\n", p.server_err, handshake_alert_tx(p.server),
		       handshake_text(p.server));
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
		carry_without(cases[i].lacks);
		set = profiles(cases[i].options);
		for (v = 0; v < 2; v++) {
			pair_open(&p, set);
			pair_client(&p, cases[i].client[v], NULL, NULL, NULL);
			err = pair_run(&p);
			if (cases[i].cipher)
				check(!err && handshake_result(p.server)->tx.info.cipher_type == cases[i].cipher,
				      "TLS 1.%zu: %s", v + 2, cases[i].name);
			else
				check(err == -EPROTO && handshake_alert_tx(p.server) == GNUTLS_A_HANDSHAKE_FAILURE,
				      "TLS 1.%zu: %s", v + 2, cases[i].name);
			pair_close(&p);
		}
		profiles_free(set);
	}
	carry_all(&carried);
}

/* RFC 8449 and RFC 6066, 4: the kernel sends full records, so neither may bind. */
static void test_short_records(const struct profiles *set)
{
	struct pair p;
	size_t i;

	for (i = 0; i < N_SUITES; i++) {
		pair_open(&p, set);
		pair_client(&p, suites[i].priority, NULL, NULL, NULL);
		must(!gnutls_record_set_max_recv_size(p.client, 1024), "record size limit");
		check(pair_run(&p) == 0, "%s: a record size limit is left unanswered", suites[i].name);
		check(!handshake_result(p.server)->sni, "%s: no SNI without an offer", suites[i].name);
		keys_work(&p, "record size limit");
		pair_close(&p);
	}
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
	pair_open(&p, set);
	check(feed(&p, garbage, sizeof(garbage)) && server_run(&p) == -EPROTO, "garbage");
	pair_close(&p);

	pair_open(&p, set);
	check(feed(&p, http, sizeof(http) - 1) && server_run(&p) == -EPROTO, "HTTP in the clear");
	pair_close(&p);

	pair_open(&p, set);
	check(feed(&p, appdata, sizeof(appdata)) && server_run(&p) == -EPROTO &&
	      handshake_alert_tx(p.server) == GNUTLS_A_UNEXPECTED_MESSAGE, "application data first");
	pair_close(&p);

	pair_open(&p, set);
	check(feed(&p, giant, sizeof(giant)), "giant message: header");
	for (n = 0; n < 1000 && p.server_err == 1 && feed(&p, garbage, sizeof(garbage)); n++)
		server_run(&p);
	check(p.server_err == -EPROTO, "giant message: refused after %d bytes", n * (int)sizeof(garbage));
	pair_close(&p);

	pair_open(&p, set);
	check(feed(&p, alert, sizeof(alert)) && server_run(&p) == -EPROTO &&
	      handshake_alert_tx(p.server) == GNUTLS_A_UNEXPECTED_MESSAGE, "an alert instead of a ClientHello");
	pair_close(&p);

	pair_open(&p, set);
	check(server_run(&p) == -EAGAIN && handshake_events(p.server) == EPOLLIN, "silence is waited for");
	hang_up(&p);
	check(server_run(&p) == -ECONNRESET, "silence, then FIN");
	pair_close(&p);
}

/* A client that does not trust our certificate says so and goes. */
static void test_client_alert(const struct profiles *set)
{
	struct pair p;
	size_t i;

	for (i = 0; i < N_SUITES; i++) {
		pair_open(&p, set);
		pair_client(&p, suites[i].priority, NULL, NULL, NULL);
		gnutls_session_set_verify_cert(p.client, NULL, 0);
		while (p.client_err == 1) {
			step_client(&p);
			step_server(&p);
		}
		must(p.client_err == GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR, "client's verdict");
		gnutls_alert_send_appropriate(p.client, p.client_err);
		check(server_run(&p) == -EPROTO && handshake_alert_rx(p.server) > 0 &&
		      handshake_alert_tx(p.server) < 0,
		      "%s: the client's fatal alert is taken down and not answered", suites[i].name);
		printf("# alert %d: %s\n", handshake_alert_rx(p.server), handshake_text(p.server));
		pair_close(&p);
	}
}

/* What a client sends before it hears from the server. */
static size_t first_flight(uint8_t *flight, const char *priority)
{
	struct pair p = { .client_err = 1 };
	ssize_t len;
	int fds[2];

	must(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), "socketpair");
	p.client_fd = fds[0];
	p.server_fd = fds[1];
	pair_client(&p, priority, "http/1.1", "files.example", NULL);
	step_client(&p);
	len = recv(p.server_fd, flight, 4096, 0);
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

	pair_open(&p, set);
	check(feed(&p, flight, len) && server_run(&p) == -EAGAIN && feed(&p, warning, sizeof(warning)) &&
	      server_run(&p) == -EAGAIN, "one warning does no harm");
	for (n = 1; n < 100 && p.server_err == 1; n++) {
		feed(&p, warning, sizeof(warning));
		step_server(&p);
	}
	check(p.server_err == -EPROTO && n > 2 && n < 10, "warnings without end: refused after %d", n);
	pair_close(&p);
}

/* Gone after each byte: never success, never a wait, always "went away". */
static void test_disconnect(const struct profiles *set, const char *name, const char *priority)
{
	uint8_t flight[4096];
	size_t len = first_flight(flight, priority), cut, wrong = 0;
	struct pair p;

	for (cut = 0; cut <= len; cut++) {
		pair_open(&p, set);
		must(feed(&p, flight, cut), "feed");
		if (server_run(&p) != -EAGAIN)
			wrong++;
		hang_up(&p);
		if (server_run(&p) != -ECONNRESET || handshake_alert_tx(p.server) >= 0)
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
		pair_open(&p, set);
		must(feed(&p, flight, len), "feed");
		err = server_run(&p);
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

	pair_open(&p, set);
	must(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, outer), "socketpair");
	must(!setsockopt(p.server_fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), "SO_SNDBUF");
	pair_client(&p, suites[suite].priority, NULL, NULL, NULL);
	gnutls_transport_set_int(p.client, outer[0]);
	while (send(p.server_fd, "", 1, MSG_NOSIGNAL) == 1)
		full++;
	for (i = 0; i < STEPS * 10 && (p.server_err == 1 || p.client_err == 1); i++) {
		step_client(&p);
		step_server(&p);
		waited += p.server_err == 1 && handshake_events(p.server) == EPOLLOUT;
		moved = relay(outer[1], p.client_fd);
		if (full && waited > 20) {
			char drop;

			full -= recv(p.client_fd, &drop, 1, 0) == 1;
		} else if (!full) {
			moved |= relay(p.client_fd, outer[1]);
		}
		if (!moved && p.server_err < 0)
			break;
	}
	check(p.server_err == 0 && p.client_err == 0 && waited,
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

	pair_open(&p, set);
	pair_client(&p, suites[suite].priority, NULL, NULL, NULL);
	step_client(&p);
	step_server(&p);
	step_client(&p); /* its Finished waits for the server now */
	while (send(p.server_fd, "", 1, MSG_NOSIGNAL) == 1)
		full++;
	step_server(&p);
	check(full && p.server_err == 1 && handshake_events(p.server) == EPOLLOUT,
	      "%s: not done while the last bytes wait", name);
	while (full && recv(p.client_fd, &junk, 1, 0) == 1)
		full--;
	check(!full && pair_run(&p) == 0 && p.client_err == 0, "%s: done when they are out", name);
	keys_work(&p, "after the last bytes");
	pair_close(&p);
}

/* A kernel that has nothing of what a profile allows: no profile, and a reason. */
static void test_lacking(void)
{
	static const unsigned int chacha[] = { GNUTLS_CIPHER_CHACHA20_POLY1305, 0 };
	static const char only[] = "priority = NORMAL:-CIPHER-ALL:+CHACHA20-POLY1305\n";
	struct profiles *set;
	char message[512];

	carry_without(chacha);
	set = profiles_old(only, NULL, message);
	check(!set && strstr(message, ":4: priority leaves only ciphers that this kernel lacks: load their modules, "
				      "or allow one of AES-128-GCM, AES-256-GCM, AES-128-CCM"),
	      "the only cipher allowed is one the kernel lacks");
	printf("# %s\n", message);
	memset(&carried, 0, sizeof(carried));
	set = profiles_old("", NULL, message);
	check(!set && strstr(message, ":1: priority leaves only ciphers that this kernel lacks: load their modules"),
	      "a kernel without any cipher");
	printf("# %s\n", message);
	carry_all(&carried);
	set = profiles_old(only, NULL, message);
	check(set, "ChaCha20 alone will do where the kernel has it");
	profiles_free(set);
}

static void test_rekeys(void)
{
	struct profiles *set = profiles("rekey_records = 3\nrekey_bytes = 2K\n"), *plain = profiles("");
	struct profile *profile = profiles_get(set, "p");
	uint64_t records, bytes;

	profile_rekey(profile, &records, &bytes);
	check(records == 3 && bytes == 2048, "rekeys go with the profile");
	profile_put(profile);
	profile = profiles_get(plain, "p");
	profile_rekey(profile, &records, &bytes);
	check(!records && !bytes, "no rekeys named: the module's");
	profile_put(profile);
	profiles_free(set);
	profiles_free(plain);
}

/* What only GnuTLS can tell about a configuration. */
static void test_profiles(void)
{
	static const struct { const char *name, *options, *says; } cases[] = {
		{ "bad priority", "priority = NORMAL:+NONSENSE\n", ":4: bad priority string at" },
		{ "priority without an AEAD", "priority = NORMAL:-CIPHER-ALL:+AES-128-CBC:+AES-128-CCM-8\n",
		  ":4: priority leaves nothing the kernel can carry: allow one of AES-128-GCM, AES-256-GCM, "
		  "CHACHA20-POLY1305, AES-128-CCM with" },
		{ "priority with TLS 1.1 only", "priority = NORMAL:-VERS-ALL:+VERS-TLS1.1\n",
		  ":4: priority leaves nothing the kernel can carry" },
		{ "TLS 1.2 without ECDHE", "priority = NORMAL:-VERS-ALL:+VERS-TLS1.2:-KX-ALL:+RSA\n",
		  ":4: priority leaves nothing the kernel can carry" },
		{ "TLS 1.2 only, below min_version", "min_version = 1.3\npriority = NORMAL:-VERS-ALL:+VERS-TLS1.2\n",
		  ":5: priority leaves nothing the kernel can carry" },
		{ "key of another certificate", "key = other.pem\n", ":3: key '" },
		{ "no key file", "key = gone.pem\n", ":3: cannot read the key '" },
		{ "a certificate as key", "key = cert.pem\n", "is no PEM private key" },
		{ "key that all may read", "key = open.pem\n", "every user may open the key" },
		{ "a directory as key", "key = /\n", "name a regular file" },
	};
	struct profile *profile;
	struct profiles *set;
	char message[512];
	char path[128];
	size_t i;

	snprintf(path, sizeof(path), "%s/open.pem", dir);
	make_pair("other-cert.pem", "other.pem");
	make_pair("open-cert.pem", "open.pem");
	must(!chmod(path, 0644), "chmod");
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		set = profiles_old(cases[i].options, NULL, message);
		check(!set && strstr(message, cases[i].says), "%s: %s", cases[i].name, cases[i].says);
		printf("# %s\n", message);
		profiles_free(set);
	}
	test_lacking();
	test_rekeys();
	set = profiles("owners = 4242\n");
	profile = profiles_get(set, "p");
	check(profile_allows(profile, 0) && profile_allows(profile, 4242) && !profile_allows(profile, 1000),
	      "owners: root, the named, nobody else");
	check(!profiles_get(set, "q"), "no such profile");
	profile_put(profile);
	profiles_free(set);
}

static void clean_up(void)
{
	static const char * const names[] = { "cert.pem", "key.pem", "other-cert.pem", "other.pem",
					      "open-cert.pem", "open.pem" };
	char path[128];
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		unlink(path);
	}
	rmdir(dir);
}

int main(void)
{
	struct profiles *set;
	size_t i;

	signal(SIGPIPE, SIG_IGN); /* the socketpair raises it, a channel does not */
	must(mkdtemp(dir), dir);
	atexit(clean_up);
	must(!handshake_setup(false), "GnuTLS");
	make_pair("cert.pem", "key.pem");
	carry_all(&carried);
	set = profiles("alpn = h2, http/1.1\n");
	printf("TAP version 13\n");
	for (i = 0; i < N_SUITES; i++)
		test_suite(i, set);
	test_reload();
	test_mismatch();
	test_choice();
	test_short_records(set);
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
	test_profiles();
	profiles_free(set);
	printf("1..%u\n", n_tests);
	return n_failed != 0;
}
