/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A thread of a stress test that looks at sockets others use, and turns their
 * knobs, but takes nothing from a stream and puts nothing into it.
 */
#ifndef SELFTEST_ONLOOK_H
#define SELFTEST_ONLOOK_H

#include "stress.h"

struct onlook {
	const struct stress *stress;
	int fd[2];
	bool whole_records;	/* TLS_TX_MAX_PAYLOAD_LEN stays as it is */
};

/*
 * Packets as on Ethernet: with loopback's own of
 * 64 KiB, small buffers and TCP_CORK leave everything to TCP's slow timers.
 */
void onlook_prepare(void);
/* For stress_spawn(); arg is a struct onlook, which may serve several. */
void onlook(void *arg);
void onlook_tell(void);

#endif
