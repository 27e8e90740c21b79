// SPDX-License-Identifier: GPL-2.0
/*
 * Reduces a priority string to what the kernel's record layer carries: AEADs
 * with tags of 16 bytes (AES-GCM, ChaCha20-Poly1305, AES-128-CCM), in TLS 1.2
 * and 1.3.  The administrator's string is parsed as it is, then everything in
 * the result that is not carried is removed by name; the order stays.  A list
 * of removals written here would miss what a later GnuTLS adds to NORMAL.
 *
 * TLS 1.2 key exchange is ECDHE only: RSA has no forward secrecy, and finite
 * field Diffie-Hellman lets a client buy much server time for little of its
 * own.  The default drops the finite field groups of TLS 1.3 for the same
 * reason; an administrator may name them.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "carry.h"
#include "priority.h"

static const unsigned int priority_kx[] = { GNUTLS_KX_ECDHE_ECDSA, GNUTLS_KX_ECDHE_RSA, 0 };
static const unsigned int priority_tls12[] = { GNUTLS_TLS1_3, GNUTLS_TLS1_2, 0 };
static const unsigned int priority_tls13[] = { GNUTLS_TLS1_3, 0 };

static const char *name_cipher(unsigned int id)
{
	return gnutls_cipher_get_name(id);
}

static const char *name_kx(unsigned int id)
{
	return gnutls_kx_get_name(id);
}

static const char *name_version(unsigned int id)
{
	return gnutls_protocol_get_name(id);
}

static bool priority_has(const unsigned int *allowed, unsigned int id)
{
	for (; *allowed; allowed++)
		if (*allowed == id)
			return true;
	return false;
}

struct priority_group {
	int (*list)(gnutls_priority_t prio, const unsigned int **ids);
	const char *(*name)(unsigned int id);
	const unsigned int *allowed;
	const char *prefix;
};

static void priority_removals(FILE *text, gnutls_priority_t prio, bool only_tls13, const struct carry *carry)
{
	const struct priority_group groups[] = {
		{ gnutls_priority_protocol_list, name_version,
		  only_tls13 ? priority_tls13 : priority_tls12, "VERS-" },
		{ gnutls_priority_cipher_list, name_cipher, carry->ciphers, "" },
		{ gnutls_priority_kx_list, name_kx, priority_kx, "" },
	};
	const unsigned int *ids;
	size_t group;
	int i, n;

	for (group = 0; group < sizeof(groups) / sizeof(groups[0]); group++) {
		n = groups[group].list(prio, &ids);
		for (i = 0; i < n; i++)
			if (!priority_has(groups[group].allowed, ids[i]))
				fprintf(text, ":-%s%s", groups[group].prefix, groups[group].name(ids[i]));
	}
}

/* TLS 1.3 has suites of its own, and only those. */
static bool suite_is_for(gnutls_protocol_t suite_min, unsigned int version)
{
	return version == GNUTLS_TLS1_3 ? suite_min == GNUTLS_TLS1_3 : suite_min != GNUTLS_TLS1_3;
}

/* Suites that can be negotiated; a cipher without a version for it makes none. */
static bool priority_usable(gnutls_priority_t prio, const struct carry *carry)
{
	gnutls_cipher_algorithm_t cipher;
	gnutls_protocol_t min;
	gnutls_kx_algorithm_t kx;
	const unsigned int *versions, *ids;
	unsigned int index, at;
	int i, ret, n_versions = gnutls_priority_protocol_list(prio, &versions);

	if (gnutls_priority_cipher_list(prio, &ids) <= 0)
		return false;
	for (at = 0; (ret = gnutls_priority_get_cipher_suite_index(prio, at, &index)) !=
		     GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE; at++) {
		if (ret < 0 || !gnutls_cipher_suite_info(index, NULL, &kx, &cipher, NULL, &min))
			continue;
		for (i = 0; i < n_versions; i++)
			if (priority_has(carry->ciphers, cipher) && suite_is_for(min, versions[i]))
				return true;
	}
	return false;
}

/* The user's @text with the removals behind; NULL without memory. */
static char *reduced_text(const char *text, gnutls_priority_t prio, bool only_tls13, const struct carry *carry)
{
	char *reduced = NULL;
	size_t len;
	FILE *file = open_memstream(&reduced, &len);

	if (!file)
		return NULL;
	fputs(text, file);
	priority_removals(file, prio, only_tls13, carry);
	fputs(":%NO_ETM", file);
	return fclose(file) ? NULL : reduced;
}

/* -ENOENT: nothing is left of @text, which @full stands for. */
static int priority_reduce(const char *text, gnutls_priority_t full, bool only_tls13, const struct carry *carry,
			   gnutls_priority_t *out)
{
	char *reduced = reduced_text(text, full, only_tls13, carry);
	gnutls_priority_t prio;
	int ret;

	if (!reduced)
		return -ENOMEM;
	ret = gnutls_priority_init(&prio, reduced, NULL);
	free(reduced);
	if (ret < 0)
		return ret == GNUTLS_E_MEMORY_ERROR ? -ENOMEM : -ENOENT;
	if (!priority_usable(prio, carry)) {
		gnutls_priority_deinit(prio);
		return -ENOENT;
	}
	*out = prio;
	return 0;
}

static void list_ciphers(char *text, size_t size, const struct carry *carry)
{
	const unsigned int *id;
	size_t used = 0;

	*text = '\0';
	for (id = carry->ciphers; *id && used < size; id++)
		used += snprintf(text + used, size - used, "%s%s", id == carry->ciphers ? "" : ", ", name_cipher(*id));
}

/* Is it the string that leaves nothing, or what this kernel lacks of it? */
static void explain_nothing(const char *text, gnutls_priority_t full, bool only_tls13, const struct carry *carry,
			    char *why, size_t size)
{
	gnutls_priority_t prio;
	struct carry any;
	char list[128];

	carry_all(&any);
	if (!priority_reduce(text, full, only_tls13, &any, &prio)) {
		gnutls_priority_deinit(prio);
		list_ciphers(list, sizeof(list), carry);
		snprintf(why, size, "priority leaves only ciphers that this kernel lacks: load their modules%s%s",
			 *list ? ", or allow one of " : "", list);
		return;
	}
	list_ciphers(list, sizeof(list), &any);
	snprintf(why, size, "priority leaves nothing the kernel can carry: allow one of %s with %s", list,
		 only_tls13 ? "VERS-TLS1.3" : "VERS-TLS1.3, or VERS-TLS1.2 and ECDHE");
}

int priority_build(const char *text, bool only_tls13, const struct carry *carry, gnutls_priority_t *out,
		   char *why, size_t size)
{
	gnutls_priority_t full;
	const char *at = text;
	int err, ret;

	ret = gnutls_priority_init(&full, text, &at);
	if (ret < 0) {
		snprintf(why, size, "bad priority string at '%s': %s: see gnutls-cli --priority-list",
			 at ? at : text, gnutls_strerror(ret));
		return -EINVAL;
	}
	err = priority_reduce(text, full, only_tls13, carry, out);
	if (err == -ENOENT) {
		explain_nothing(text, full, only_tls13, carry, why, size);
		err = -EINVAL;
	}
	gnutls_priority_deinit(full);
	return err;
}
