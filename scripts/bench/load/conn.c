// SPDX-License-Identifier: GPL-2.0
/* Connections over the loopback, and the keys on them. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/tls.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "load.h"

#ifndef SOL_TLS
#define SOL_TLS		282
#endif
#ifndef TCP_ULP
#define TCP_ULP		31
#endif

/* More than any burst, so that the receiving end is never what a sender waits for. */
#define RCVBUF		(8 << 20)

static const struct {
	const char *name;
	uint16_t type;
	const char *algorithm;
	size_t key_len, info_len;
} ciphers[] = {
	{ "aes128", TLS_CIPHER_AES_GCM_128, "gcm(aes)", 16,
	  sizeof(struct tls12_crypto_info_aes_gcm_128) },
	{ "aes256", TLS_CIPHER_AES_GCM_256, "gcm(aes)", 32,
	  sizeof(struct tls12_crypto_info_aes_gcm_256) },
	{ "chacha", TLS_CIPHER_CHACHA20_POLY1305, "rfc7539(chacha20,poly1305)", 32,
	  sizeof(struct tls12_crypto_info_chacha20_poly1305) },
};

#define NR_CIPHERS	(sizeof(ciphers) / sizeof(*ciphers))

int cipher_find(const char *name)
{
	size_t i;

	for (i = 0; i < NR_CIPHERS; i++)
		if (!strcmp(ciphers[i].name, name))
			return ciphers[i].type;
	die("unknown cipher '%s': aes128, aes256 or chacha", name);
}

static size_t cipher_row(uint16_t type)
{
	size_t i = 0;

	while (i < NR_CIPHERS - 1 && ciphers[i].type != type)
		i++;
	return i;
}

const char *cipher_name(uint16_t cipher)
{
	return ciphers[cipher_row(cipher)].name;
}

const char *cipher_algorithm(uint16_t cipher)
{
	return ciphers[cipher_row(cipher)].algorithm;
}

size_t cipher_key_len(uint16_t cipher)
{
	return ciphers[cipher_row(cipher)].key_len;
}

const char *variant_name(enum variant v)
{
	static const char *const names[] = { "plain", "tls", "itls", "aead" };

	return names[v];
}

static void set_int(int fd, int level, int name, int value)
{
	if (setsockopt(fd, level, name, &value, sizeof(value)))
		die("setsockopt %d/%d: %s", level, name, strerror(errno));
}

static int listener_open(struct sockaddr_in *addr)
{
	socklen_t len = sizeof(*addr);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	/* Accepted sockets inherit it, and the scale of their window. */
	set_int(fd, SOL_SOCKET, SO_RCVBUFFORCE, RCVBUF);
	*addr = (struct sockaddr_in){ .sin_family = AF_INET };
	addr->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || bind(fd, (void *)addr, len) || listen(fd, 128) ||
	    getsockname(fd, (void *)addr, &len))
		die("cannot listen on the loopback: %s", strerror(errno));
	return fd;
}

static void conn_open(struct conn *c, int listener, const struct sockaddr_in *addr)
{
	c->client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->client < 0)
		die("socket: %s: raise the limit of open files", strerror(errno));
	set_int(c->client, SOL_SOCKET, SO_RCVBUFFORCE, RCVBUF);
	if (connect(c->client, (const void *)addr, sizeof(*addr)))
		die("connect: %s", strerror(errno));
	c->server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (c->server < 0)
		die("accept: %s: raise the limit of open files", strerror(errno));
}

struct conn *conns_open(unsigned int nr, bool nagle)
{
	struct conn *conns = calloc(nr, sizeof(*conns));
	struct sockaddr_in addr;
	int listener = listener_open(&addr);
	unsigned int i;

	if (!conns)
		die("no memory for %u connections", nr);
	for (i = 0; i < nr; i++) {
		conn_open(&conns[i], listener, &addr);
		set_int(conns[i].client, IPPROTO_TCP, TCP_NODELAY, 1);
		set_int(conns[i].server, IPPROTO_TCP, TCP_NODELAY, !nagle);
	}
	close(listener);
	return conns;
}

void conns_close(struct conn *conns, unsigned int nr)
{
	while (nr--) {
		close(conns[nr].client);
		close(conns[nr].server);
	}
	free(conns);
}

/* The same key for every connection: a recorded stream fits all. */
void conn_keys(const struct options *o, enum variant v, int fd, bool tx, bool rx)
{
	union {
		struct tls_crypto_info info;
		uint8_t bytes[64];
	} key = { .bytes = { 0 } };
	size_t len = ciphers[cipher_row(o->cipher)].info_len, i;
	const char *ulp = variant_name(v);

	if (v == PLAIN)
		return;
	for (i = sizeof(key.info); i < len - TLS_CIPHER_AES_GCM_128_REC_SEQ_SIZE; i++)
		key.bytes[i] = i * 7;
	key.info.version = o->version;
	key.info.cipher_type = o->cipher;
	if (setsockopt(fd, IPPROTO_TCP, TCP_ULP, ulp, strlen(ulp)))
		die("no ULP '%s' on this kernel: %s: load its module", ulp, strerror(errno));
	if ((tx && setsockopt(fd, SOL_TLS, TLS_TX, &key, len)) ||
	    (rx && setsockopt(fd, SOL_TLS, TLS_RX, &key, len)))
		die("%s refused the key for %s: %s", ulp, cipher_name(o->cipher),
		    strerror(errno));
}

/* With MSG_TRUNC nothing is copied; one call takes all there is. */
size_t conn_drain(struct conn *c)
{
	ssize_t n = recv(c->client, NULL, 1 << 30, MSG_TRUNC | MSG_DONTWAIT);

	if (n > 0)
		return n;
	if (!n || errno != EAGAIN)
		c->failed = true;
	return 0;
}
