/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The mark itls puts on a listener, by libitls, and what its refusals mean to
 * whoever runs itlsctl.  All work is on a descriptor of the socket, taken by
 * listener_take().
 */
#ifndef ITLSCTL_MARK_H
#define ITLSCTL_MARK_H

#include <linux/itls.h>

#include "ctl.h"

struct mark {
	char profile[ITLS_PROFILE_MAX + 1];	/* "": not marked */
};

/* Is this a name ITLS_LISTEN takes? */
bool mark_name_ok(const char *profile);

int mark_read(int fd, struct mark *m, struct ctl_error *e);
int mark_set(int fd, const char *profile, struct ctl_error *e);
int mark_clear(int fd, struct ctl_error *e);

#endif
