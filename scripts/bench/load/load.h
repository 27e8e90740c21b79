/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The load tool: moves bytes over TCP on the loopback, through no TLS, in-tree
 * kTLS or itls, in short rounds in which these alternate, and prints one line
 * of JSON for each measurement. What the lines mean together is said elsewhere.
 *
 * One thread does both ends in turns, so that nothing depends on how the
 * scheduler places two; the end that is not measured is plain TCP.
 */
#ifndef LOAD_H
#define LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "../module/itls_bench.h"

#define VARIANTS_MAX	4
#define COUNTS_MAX	4

/* Who encrypts. "aead": the kernel's cipher alone, without any socket. */
enum variant { PLAIN, TLS, ITLS, AEAD };

enum op { OP_SEND, OP_SENDFILE, OP_SPLICE, OP_RECV, OP_IDLE };

struct options {
	const char *name, *kernel;	/* labels of the results */
	enum variant variants[VARIANTS_MAX];
	int nr_variants;
	enum op op;
	bool rx;			/* measure receiving */
	size_t size;			/* of one call */
	size_t burst;			/* bytes on one connection before the next has its turn */
	unsigned int counts[COUNTS_MAX];	/* connections */
	int nr_counts;
	uint16_t version, cipher;
	bool more, cork, nagle, cold, used;
	bool packets;			/* what is received came in packets of 1500 bytes */
	bool scattered;			/* ... in pages that do not follow one another in memory */
	bool mallocs;			/* buffers begin where malloc() has them begin */
	bool syscalls;			/* real ones, not rows of steps in the module */
	const char *file;		/* source of sendfile and splice */
	const char *wire;		/* prefix of recorded streams: see rx.c */
	const char *to;			/* where splice from a socket ends */
	int rounds;
	int time_ms;
};

/* What one measurement yields. */
struct result {
	uint64_t bytes, wall_ns, cpu_ns, cycles, dram_bytes;
	uint64_t failed;		/* connections */
	uint64_t stalls;		/* times nothing could move until a timer did something */
	uint64_t mem, slab;		/* idle connections */
};

void die(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
/* Memory to send from or receive into, in use already; for good. */
char *buffer_make(const struct options *o, size_t len);

/* clock.c */
void clock_open(void);
uint64_t clock_now(void);
void clock_start(struct result *r);
void clock_stop(struct result *r);
/* The kernel module's file, or an end with an explanation. */
int bench_fd(void);

/* step.c */
void steps_do(const struct options *o, struct itls_bench_step *steps, unsigned int nr);
bool step_failed(const struct itls_bench_step *s);

/* conn.c */
struct conn {
	int server, client;
	off_t at;
	bool failed;
};

const char *variant_name(enum variant v);
int cipher_find(const char *name);
const char *cipher_name(uint16_t cipher);
const char *cipher_algorithm(uint16_t cipher);
size_t cipher_key_len(uint16_t cipher);
struct conn *conns_open(unsigned int nr, bool nagle);
void conns_close(struct conn *conns, unsigned int nr);
void conn_keys(const struct options *o, enum variant v, int fd, bool tx, bool rx);
/* Takes and drops what has arrived; returns how much. */
size_t conn_drain(struct conn *c);

/* The scenarios. */
void tx_prepare(const struct options *o);
void tx_run(const struct options *o, enum variant v, unsigned int nr, struct result *r);
void rx_run(const struct options *o, enum variant v, unsigned int nr, struct result *r);
void idle_run(const struct options *o, enum variant v, unsigned int nr, struct result *r);
void aead_run(const struct options *o, struct result *r);

/* rx.c: a stream as the peer of a socket with keys sees it, made once. */
int wire_open(const struct options *o, enum variant v);

#endif
