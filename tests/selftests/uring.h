/* SPDX-License-Identifier: GPL-2.0 */
/*
 * io_uring by its bare system calls, as much of it as tests of sockets need:
 * one submission at a time, completions with a deadline.
 */
#ifndef SELFTEST_URING_H
#define SELFTEST_URING_H

#include <linux/io_uring.h>
#include <stddef.h>
#include <stdint.h>

struct uring {
	int fd;
	struct io_uring_params p;
	uint8_t *rings;
	size_t rings_len;
	struct io_uring_sqe *sqes;
};

/* Skips the test where the kernel has no io_uring. */
void uring_open(struct uring *u);
void uring_close(struct uring *u);

/* A cleared entry for this operation; at most one is open at a time. */
struct io_uring_sqe *uring_sqe(struct uring *u, int op, int fd, const void *addr, uint32_t len);
void uring_submit(struct uring *u);
/* The next completion's result: bytes or -errno.  *user_data may be NULL. */
int uring_result(struct uring *u, uint64_t *user_data);
/* Is a completion there?  Without waiting. */
int uring_is_done(struct uring *u);
/* Submits what uring_sqe() gave, and waits for it. */
int uring_do(struct uring *u);

#endif
