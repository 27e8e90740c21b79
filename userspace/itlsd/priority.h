/* SPDX-License-Identifier: GPL-2.0 */
/* What may be negotiated: a GnuTLS priority reduced to what the kernel carries. */
#ifndef ITLSD_PRIORITY_H
#define ITLSD_PRIORITY_H

#include <stdbool.h>
#include <stddef.h>

#include <gnutls/gnutls.h>

struct carry;

#define PRIORITY_DEFAULT "NORMAL:-GROUP-DH-ALL"

/*
 * Builds *@out from the priority string @text with the ciphers of @carry.
 * -EINVAL: @text is wrong or leaves nothing; @why then says what and what to
 * do, in one line.
 */
int priority_build(const char *text, bool only_tls13, const struct carry *carry, gnutls_priority_t *out,
		   char *why, size_t size);

#endif
