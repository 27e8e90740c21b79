/* SPDX-License-Identifier: GPL-2.0 */
/* What the load tool asks of the module itls_bench, by ioctl() on /proc/itls_bench. */
#ifndef ITLS_BENCH_H
#define ITLS_BENCH_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define ITLS_BENCH_PATH	"/proc/itls_bench"

#define ITLS_BENCH_LINE	64	/* bytes that a miss of the caches fetches */

/* Zero: there is no such clock here. Since when is not said: only differences mean something. */
struct itls_bench_clock {
	__u64 wall_ns;
	__u64 cpu_ns;		/* of the whole kernel, where that is a process */
	__u64 cycles;		/* of the same, where the machine has counters */
	__u64 dram_bytes;	/* likewise: lines that no cache had */
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

/*
 * A row of steps in one system call, for each does what a loop of system calls would.
 * None waits: sockets and pipes are to be non-blocking.
 */
enum {
	ITLS_BENCH_SEND,	/* send(): count times len bytes of data */
	ITLS_BENCH_SENDFILE,	/* sendfile() of len bytes of other, from *at */
	ITLS_BENCH_RECV,	/* recv() into data, len bytes each, until one is short */
	ITLS_BENCH_SPLICE,	/* splice() through a pipe to file, until nothing is left */
};

/* Of a sendfile: begin anew at the end, then without the file's pages. */
#define ITLS_BENCH_WRAP	1
#define ITLS_BENCH_COLD	2
/* And: its pages are to arrive as a network card's do, which nobody else can write to. */
#define ITLS_BENCH_PRIVATE	4
/* And: one of each slot's payload follows the other, as packets of 1500 bytes lie in its buffers. */
#define ITLS_BENCH_PACKETS	8

#define ITLS_BENCH_SLOT		2048	/* bytes of the file */
#define ITLS_BENCH_SLOT_AT	66	/* where in it the payload begins, and its length */
#define ITLS_BENCH_SLOT_LEN	1448

struct itls_bench_step {
	__u32 op;
	__s32 fd;		/* the socket */
	__s32 other;		/* a file, or the end of a pipe that is written to */
	__s32 out, file;	/* the pipe's other end, and where that goes */
	__u32 flags;		/* MSG_, or those above */
	__u32 count, pad;
	__u64 data;		/* address of a buffer */
	__u64 len;
	__u64 at;		/* address of the offset */
	__u64 bytes;		/* out */
	__s32 err;		/* out: why it ended; EAGAIN is no failure */
	__u32 calls;		/* out */
};

struct itls_bench_steps {
	__u64 steps;		/* address */
	__u32 nr;
	__u32 pad;
};

/* What the host spent on the code of a process of User Mode Linux, a process itself there. */
struct itls_bench_process {
	__s32 pid;
	__u32 pad;
	__u64 cpu_ns;		/* out */
};

#define ITLS_BENCH_CLOCK	_IOR('i', 1, struct itls_bench_clock)
#define ITLS_BENCH_AEAD		_IOWR('i', 2, struct itls_bench_aead)
#define ITLS_BENCH_STEPS	_IOW('i', 3, struct itls_bench_steps)
#define ITLS_BENCH_PROCESS	_IOWR('i', 4, struct itls_bench_process)	/* EOPNOTSUPP elsewhere */

#endif
