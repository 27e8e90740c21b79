/* SPDX-License-Identifier: GPL-2.0 */
/* Traffic keys in the form the kernel takes them. */
#ifndef ITLSD_KEYS_H
#define ITLSD_KEYS_H

#include <stdbool.h>
#include <stddef.h>

#include <linux/tls.h>

struct gnutls_session_int;

union keys {
	struct tls_crypto_info info;
	struct tls12_crypto_info_aes_gcm_128 aes128;
	struct tls12_crypto_info_aes_gcm_256 aes256;
};

/*
 * Fills @keys with the current traffic key of one direction and gives its
 * length, or -EOPNOTSUPP: not what the kernel carries, -EIO: GnuTLS refused.
 * The caller wipes @keys.
 */
int keys_export(struct gnutls_session_int *session, bool read, union keys *keys);

#endif
