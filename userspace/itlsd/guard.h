/* SPDX-License-Identifier: GPL-2.0 */
/* What keeps private keys inside this process, and descriptors coming. */
#ifndef ITLSD_GUARD_H
#define ITLSD_GUARD_H

/* Before any key is read.  What cannot be had is logged; the daemon goes on. */
void guard_process(void);

#endif
