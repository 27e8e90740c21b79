/* SPDX-License-Identifier: GPL-2.0 */
/* All that the kernel can carry, each by itself. */
#ifndef UNIT_SUITES_H
#define UNIT_SUITES_H

#include <linux/tls.h>

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

#endif
