// SPDX-License-Identifier: GPL-2.0
/*
 * Whether the kernel carries a cipher is asked of the module itself, by giving
 * it a key on a connection of our own:
 *
 *   client, key set --- 127.0.0.1 --- listener that never accepts
 *
 * AF_ALG would not do: Linux 7.3 calls almost every name unknown there, and a
 * cipher of the crypto API need not be one of the module.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <linux/itls.h>
#include <linux/tls.h>

#include "cipher.h"

#ifndef SOL_TLS
#define SOL_TLS 282
#endif

#define CONNECT_SECONDS 2	/* loopback answers at once, unless it is filtered */
#define INFO_MAX 64

#define ROW(_type, _info, _name, _alg, _module)				\
	{ TLS_CIPHER_##_type, _name, _alg, _module,			\
	  sizeof(struct tls12_crypto_info_##_info) }

static const struct itls_cipher_desc ciphers[] = {
	ROW(AES_GCM_128, aes_gcm_128, "AES-128-GCM", "gcm(aes)", "gcm"),
	ROW(AES_GCM_256, aes_gcm_256, "AES-256-GCM", "gcm(aes)", "gcm"),
	ROW(AES_CCM_128, aes_ccm_128, "AES-128-CCM", "ccm(aes)", "ccm"),
	ROW(CHACHA20_POLY1305, chacha20_poly1305, "CHACHA20-POLY1305",
	    "rfc7539(chacha20,poly1305)", "chacha20poly1305"),
	ROW(SM4_GCM, sm4_gcm, "SM4-GCM", "gcm(sm4)", "sm4-generic"),
	ROW(SM4_CCM, sm4_ccm, "SM4-CCM", "ccm(sm4)", "sm4-generic"),
	ROW(ARIA_GCM_128, aria_gcm_128, "ARIA-128-GCM", "gcm(aria)", "aria_generic"),
	ROW(ARIA_GCM_256, aria_gcm_256, "ARIA-256-GCM", "gcm(aria)", "aria_generic"),
};

const struct itls_cipher_desc *itls_cipher_find(uint16_t type)
{
	size_t i;

	for (i = 0; i < sizeof(ciphers) / sizeof(ciphers[0]); i++)
		if (ciphers[i].type == type)
			return &ciphers[i];
	return NULL;
}

static int tcp_socket(void)
{
	return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP);
}

/* A connection that nobody accepts is established all the same. */
static int join(int listener, int client)
{
	struct sockaddr_in addr = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	struct timeval limit = { .tv_sec = CONNECT_SECONDS };
	struct linger reset = { .l_onoff = 1 };
	socklen_t len = sizeof(addr);

	if (listener < 0 || client < 0)
		return -EAGAIN;
	/* No TIME_WAIT is left of it, and a firewall cannot hold us. */
	if (setsockopt(client, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)) ||
	    setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)))
		return -EAGAIN;
	if (bind(listener, (struct sockaddr *)&addr, sizeof(addr)) ||
	    listen(listener, 1) ||
	    getsockname(listener, (struct sockaddr *)&addr, &len) ||
	    connect(client, (struct sockaddr *)&addr, sizeof(addr)))
		return -EAGAIN;
	return 0;
}

/* A key of zeros: nothing is ever sent under it. */
static int give_key(int fd, const struct itls_cipher_desc *cipher)
{
	union {
		struct tls_crypto_info info;
		unsigned char raw[INFO_MAX];
	} key = {
		.info.version = TLS_1_2_VERSION,
		.info.cipher_type = cipher->type,
	};

	_Static_assert(sizeof(struct tls12_crypto_info_aes_gcm_256) <= INFO_MAX, "");
	_Static_assert(sizeof(struct tls12_crypto_info_chacha20_poly1305) <= INFO_MAX, "");
	_Static_assert(sizeof(struct tls12_crypto_info_aria_gcm_256) <= INFO_MAX, "");
	if (setsockopt(fd, SOL_TCP, TCP_ULP, ITLS_ULP_NAME, strlen(ITLS_ULP_NAME)))
		return errno == ENOENT ? -ENODEV : -EAGAIN;
	return setsockopt(fd, SOL_TLS, TLS_TX, &key, cipher->info_len) ? -errno : 0;
}

int itls_cipher_try(const struct itls_cipher_desc *cipher)
{
	int listener = tcp_socket(), client = tcp_socket();
	int err = join(listener, client);

	if (!err)
		err = give_key(client, cipher);
	if (client >= 0)
		close(client);
	if (listener >= 0)
		close(listener);
	return err;
}
