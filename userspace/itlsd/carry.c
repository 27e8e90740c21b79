// SPDX-License-Identifier: GPL-2.0
/*
 * Asks the kernel for each cipher before any client is offered it: one that
 * the kernel lacks would end every handshake that chose it.
 *
 * When it cannot be asked, AES-GCM is taken for granted and nothing else: a
 * wrong guess costs connections, the kernel still lets nothing through.
 */
#include <errno.h>
#include <string.h>

#include <gnutls/gnutls.h>

#include "../libitls/cipher.h"
#include "carry.h"
#include "log.h"

void carry_all(struct carry *carry)
{
	uint16_t type;
	size_t i;

	memset(carry, 0, sizeof(*carry));
	for (i = 0; i < KEYS_CIPHERS; i++)
		carry->ciphers[i] = keys_cipher(i, &type);
}

static bool is_gcm(uint16_t type)
{
	return type == TLS_CIPHER_AES_GCM_128 || type == TLS_CIPHER_AES_GCM_256;
}

static bool is_unasked(int err)
{
	return err == -EAGAIN || err == -ENODEV;
}

static void report(const struct itls_cipher_desc *cipher, int err)
{
	if (err == -EINVAL)
		log_warning("the module itls does not know %s, so it is not offered: load the module that came with this itlsd",
			    cipher->name);
	else
		log_warning("the kernel lacks %s (%s: %s), so it is not offered: 'modprobe %s', then 'systemctl reload itlsd'",
			    cipher->name, cipher->alg, strerror(-err), cipher->module);
}

/* Without the module there is nothing to say: registering will fail for it. */
static void report_all(const int *errs)
{
	uint16_t type;
	size_t i;

	if (errs[0] == -EAGAIN)
		log_warning("cannot ask the kernel for its ciphers, so only AES-GCM is offered: 'ip link set lo up' and let 127.0.0.1 through the firewall, then 'systemctl reload itlsd'");
	for (i = 0; i < KEYS_CIPHERS; i++) {
		keys_cipher(i, &type);
		if (errs[i] && !is_unasked(errs[i]))
			report(itls_cipher_find(type), errs[i]);
	}
}

void carry_find(struct carry *carry)
{
	struct carry found = { 0 };
	int errs[KEYS_CIPHERS];
	unsigned int cipher;
	size_t i, n = 0;
	uint16_t type;

	for (i = 0; i < KEYS_CIPHERS; i++) {
		cipher = keys_cipher(i, &type);
		/* What cannot be asked once is not asked again: each may take seconds. */
		errs[i] = i && is_unasked(errs[0]) ? errs[0] : itls_cipher_try(itls_cipher_find(type));
		if (!errs[i] || (is_unasked(errs[i]) && is_gcm(type)))
			found.ciphers[n++] = cipher;
	}
	if (memcmp(&found, carry, sizeof(found)))
		report_all(errs);
	*carry = found;
}
