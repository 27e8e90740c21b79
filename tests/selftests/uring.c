// SPDX-License-Identifier: GPL-2.0
/* io_uring by its bare system calls; see uring.h. */
#define _GNU_SOURCE
#include "uring.h"

#include <poll.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "harness.h"
#include "sock.h"

#define ENTRIES 8

static uint32_t *ring_word(struct uring *u, uint32_t offset)
{
	return (uint32_t *)(u->rings + offset);
}

void uring_open(struct uring *u)
{
	size_t cq_len;

	memset(u, 0, sizeof(*u));
	u->fd = syscall(SYS_io_uring_setup, ENTRIES, &u->p);
	if (u->fd < 0 && errno == ENOSYS)
		SKIP("this kernel has no io_uring");
	ASSERT_LE(0, u->fd);
	ASSERT_TRUE(u->p.features & IORING_FEAT_SINGLE_MMAP);
	u->rings_len = u->p.sq_off.array + u->p.sq_entries * sizeof(uint32_t);
	cq_len = u->p.cq_off.cqes + u->p.cq_entries * sizeof(struct io_uring_cqe);
	if (u->rings_len < cq_len)
		u->rings_len = cq_len;
	u->rings = mmap(NULL, u->rings_len, PROT_READ | PROT_WRITE, MAP_SHARED, u->fd,
			IORING_OFF_SQ_RING);
	ASSERT_NE(MAP_FAILED, u->rings);
	u->sqes = mmap(NULL, ENTRIES * sizeof(*u->sqes), PROT_READ | PROT_WRITE, MAP_SHARED,
		       u->fd, IORING_OFF_SQES);
	ASSERT_NE(MAP_FAILED, u->sqes);
}

void uring_close(struct uring *u)
{
	munmap(u->sqes, ENTRIES * sizeof(*u->sqes));
	munmap(u->rings, u->rings_len);
	close(u->fd);
}

struct io_uring_sqe *uring_sqe(struct uring *u, int op, int fd, const void *addr, uint32_t len)
{
	uint32_t tail = *ring_word(u, u->p.sq_off.tail), slot = tail & (ENTRIES - 1);
	struct io_uring_sqe *sqe = &u->sqes[slot];

	ring_word(u, u->p.sq_off.array)[slot] = slot;
	memset(sqe, 0, sizeof(*sqe));
	sqe->opcode = op;
	sqe->fd = fd;
	sqe->addr = (uintptr_t)addr;
	sqe->len = len;
	return sqe;
}

void uring_submit(struct uring *u)
{
	uint32_t *tail = ring_word(u, u->p.sq_off.tail);

	/* The kernel must see the entry before it sees that there is one. */
	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
	ASSERT_EQ(1, syscall(SYS_io_uring_enter, u->fd, 1, 0, 0, NULL, 0));
}

int uring_is_done(struct uring *u)
{
	uint32_t tail = __atomic_load_n(ring_word(u, u->p.cq_off.tail), __ATOMIC_ACQUIRE);

	return tail != *ring_word(u, u->p.cq_off.head);
}

int uring_result(struct uring *u, uint64_t *user_data)
{
	uint32_t *head = ring_word(u, u->p.cq_off.head);
	const struct io_uring_cqe *cqes = (void *)(u->rings + u->p.cq_off.cqes);
	const struct io_uring_cqe *cqe = &cqes[*head & (u->p.cq_entries - 1)];
	int res;

	if (!uring_is_done(u))
		ASSERT_NE(0, sock_poll(u->fd, POLLIN, test_wait_ms()));
	ASSERT_TRUE(uring_is_done(u));
	res = cqe->res;
	if (user_data)
		*user_data = cqe->user_data;
	__atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
	return res;
}

int uring_do(struct uring *u)
{
	uring_submit(u);
	return uring_result(u, NULL);
}
