/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The ciphers of the record layer: what they are called, and whether the
 * running kernel has them.  Knows neither netlink nor GnuTLS.
 */
#ifndef ITLS_CIPHER_H
#define ITLS_CIPHER_H

#include <stddef.h>
#include <stdint.h>

struct itls_cipher_desc {
	uint16_t type;		/* TLS_CIPHER_* of <linux/tls.h> */
	const char *name;
	const char *alg;	/* what the kernel's crypto API calls it */
	const char *module;	/* the kernel module that brings it */
	size_t info_len;	/* of its tls12_crypto_info_* */
};

/* NULL: not a cipher we know. */
const struct itls_cipher_desc *itls_cipher_find(uint16_t type);

/*
 * Asks the kernel whether it can carry a connection with @cipher.  0: it can.
 * -EAGAIN: cannot be asked (no connection to 127.0.0.1), -ENODEV: the module
 * itls is not there.  Any other is the kernel's refusal: -ENOENT, its crypto
 * API lacks the cipher, -EINVAL, the module does not know it.  The kernel
 * loads what modules it needs.
 */
int itls_cipher_try(const struct itls_cipher_desc *cipher);

#endif
