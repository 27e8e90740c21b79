/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The mark itls puts on a listener: ULP "itls" plus a profile name.  All work
 * is on a descriptor of the socket, taken by listener_take().
 */
#ifndef ITLSCTL_MARK_H
#define ITLSCTL_MARK_H

#include <linux/itls.h>

#include "ctl.h"

struct mark {
	char ulp[32];				/* "": none */
	char profile[ITLS_PROFILE_MAX + 1];	/* "": not marked */
};

/* Is this a name ITLS_LISTEN takes? */
bool mark_name_ok(const char *profile);

int mark_read(int fd, struct mark *m, struct ctl_error *e);
/* Puts the ULP on the listener; it is harmless until a profile is set. */
int mark_set_ulp(int fd, struct ctl_error *e);
/* Length 0, the empty name, takes the mark away. */
int mark_set_profile(int fd, const char *profile, struct ctl_error *e);

#endif
