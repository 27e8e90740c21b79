/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Which implementation the kernel's crypto API would give the module.
 */
#ifndef ITLSCTL_CIPHER_H
#define ITLSCTL_CIPHER_H

#include <stdbool.h>

struct cipher_driver {
	char name[128];
	bool accelerated;	/* more than the portable C code */
	bool selftest_ok;
};

/*
 * Finds the preferred driver of the AEAD @alg.  -ENOENT: the kernel has none.
 * -EAGAIN: none is instantiated, and AF_ALG is not there to ask for one.
 */
int cipher_find(const char *alg, struct cipher_driver *drv);

#endif
