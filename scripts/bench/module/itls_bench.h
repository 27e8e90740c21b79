/* SPDX-License-Identifier: GPL-2.0 */
/* What the load tool asks of the module itls_bench, by ioctl() on /proc/itls_bench. */
#ifndef ITLS_BENCH_H
#define ITLS_BENCH_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define ITLS_BENCH_PATH	"/proc/itls_bench"

/* Zero: there is no such clock here. */
/* Since when is not said: only differences mean something. */
struct itls_bench_clock {
	__u64 wall_ns;
	__u64 cpu_ns;		/* of the whole kernel, where that is a process */
	__u64 cycles;		/* of the same, where the machine has counters */
};

/* Encrypts records of a buffer, one after the other, into a small ring. */
struct itls_bench_aead {
	char name[32];		/* of the crypto API */
	__u32 key_len;
	__u32 record_len;	/* a multiple of 4096 */
	__u32 buffer_len;	/* the source: all of it is read before any is read again */
	__u32 dst_off;		/* where in its page ciphertext begins */
	__u64 time_ns;		/* for so long */
	__u64 bytes;		/* out */
	struct itls_bench_clock took;	/* out */
	char driver[64];	/* out */
};

/* As many send() calls in one system call. */
struct itls_bench_send {
	__s32 fd;
	__u32 flags;
	__u64 data;
	__u32 len;
	__u32 count;		/* out: how many went through */
	__s32 err;		/* out: of the one that did not, 0 if all did */
	__u64 bytes;		/* out */
};

#define ITLS_BENCH_CLOCK	_IOR('i', 1, struct itls_bench_clock)
#define ITLS_BENCH_AEAD		_IOWR('i', 2, struct itls_bench_aead)
#define ITLS_BENCH_SEND		_IOWR('i', 3, struct itls_bench_send)

#endif
