/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the stress tests share: a random choice that a seed repeats, threads
 * that end by themselves, and the list of errors each call may give.
 *
 * ITLS_STRESS_SEED repeats the choices of a run (not its timing, which is
 * the kernel's), ITLS_STRESS_SECONDS is how long each test goes on, and
 * ITLS_STRESS_INJECT lets so many percent of the module's allocations fail, on
 * kernels that can; then ENOMEM is no fault.
 */
#ifndef SELFTEST_STRESS_H
#define SELFTEST_STRESS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NR_OF(array)	(sizeof(array) / sizeof(*(array)))

#define STRESS_THREADS	16
/* Longest time that one test may be told to take, and its deadline. */
#define STRESS_SECONDS	120
#define STRESS_DEADLINE	(STRESS_SECONDS + 30)

struct stress;

struct stress_thread {
	struct stress *stress;
	void (*run)(void *arg);
	void *arg;
	int number;
	pid_t tid;
	const char *volatile doing;
	pthread_t id;
};

struct stress {
	uint64_t seed;
	int64_t end;
	int nr;
	struct stress_thread thread[STRESS_THREADS];
};

/* Reads the environment, prints the seed. */
void stress_begin(struct stress *s);
bool stress_goes_on(const struct stress *s);
/*
 * Waits in the test's main thread until the time is over, and longer on a slow
 * machine, until enough was done (NULL: anything is).
 */
void stress_wait(struct stress *s, bool (*enough)(const void *arg), const void *arg);
void stress_spawn(struct stress *s, void (*run)(void *arg), void *arg);
/* All threads must end soon now; one that hangs is shown with its stack. */
void stress_join(struct stress *s);
/* What the calling thread is about to do, for the report of a hang. */
void stress_doing(const char *what);
/* What TCP waits for on every socket of the test, and what was counted. */
void stress_tell_sockets(void);
bool stress_injects(void);

/* The calling thread's random numbers. */
uint64_t stress_rand(void);
/* From 0 to n - 1. */
uint32_t stress_below(uint32_t n);
/* One time in n. */
bool stress_one_in(uint32_t n);
/* From 1 to max, small ones as likely as large ones. */
size_t stress_size(size_t max);

/* The errors a call may give, if any; 0 ends the list. */
#define ERRNOS(...) ((const int []){ -1, ##__VA_ARGS__, 0 })

/* Fails the test unless ret is no error, or errno one of these. */
bool stress_check(const char *what, intmax_t ret, const int *errnos);

/* One thing a thread may do at random; arg is the test's own. */
struct stress_op {
	const char *name;
	intmax_t (*run)(void *arg);
	const int *errnos;
	long done, refused;
};

#define STRESS_OP(op_name, op_run, ...)						\
	{ .name = op_name, .run = op_run, .errnos = ERRNOS(__VA_ARGS__) }

/* Picks one and runs it; returns false when it failed as it may not. */
bool stress_any(struct stress_op *ops, size_t nr, void *arg);
/* Says how often each was done. */
void stress_tell(const struct stress_op *ops, size_t nr);

#endif
