/* SPDX-License-Identifier: GPL-2.0 */
/* Traffic keys in the form the kernel takes them. */
#ifndef ITLSD_KEYS_H
#define ITLSD_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/tls.h>

#define KEYS_CIPHERS 4

struct gnutls_session_int;

union keys {
	struct tls_crypto_info info;
	struct tls12_crypto_info_aes_gcm_128 aes128;
	struct tls12_crypto_info_aes_gcm_256 aes256;
	struct tls12_crypto_info_aes_ccm_128 ccm128;
	struct tls12_crypto_info_chacha20_poly1305 chacha;
};

/* GnuTLS's number of cipher @index, below KEYS_CIPHERS; *@type: TLS_CIPHER_*. */
unsigned int keys_cipher(size_t index, uint16_t *type);

/*
 * Fills @keys with the current traffic key of one direction and gives its
 * length, or -EOPNOTSUPP: not what the kernel carries, -EIO: GnuTLS refused.
 * The caller wipes @keys.
 */
int keys_export(struct gnutls_session_int *session, bool read, union keys *keys);

#endif
