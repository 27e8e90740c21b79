/* SPDX-License-Identifier: GPL-2.0 */
/* sd_notify(3) over its socket, without libsystemd. */
#ifndef ITLSD_NOTIFY_H
#define ITLSD_NOTIFY_H

/* Without NOTIFY_SOCKET each does nothing. */
void notify_ready(const char *status);
void notify_reloading(void);
void notify_stopping(void);

#endif
