/* SPDX-License-Identifier: GPL-2.0 */
/*
 * PEM files that get hands to the kernel for the daemon.  A key is wiped when
 * it is freed and never goes through stdio's buffers.
 */
#ifndef ITLSCTL_PEM_H
#define ITLSCTL_PEM_H

#include "ctl.h"

struct pem {
	char *data;		/* NULL: none */
	size_t len;
};

enum pem_kind {
	PEM_CA,
	PEM_CERT,
	PEM_KEY,		/* complains when everybody can read it */
};

int pem_read(struct pem *pem, const char *path, enum pem_kind kind, struct ctl_error *e);
void pem_free(struct pem *pem);

#endif
