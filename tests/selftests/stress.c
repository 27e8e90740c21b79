// SPDX-License-Identifier: GPL-2.0
/* Threads, choices and errors of the stress tests; see stress.h. */
#define _GNU_SOURCE
#include "stress.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/random.h>
#include <time.h>

#include "harness.h"
#include "inject.h"
#include "sock.h"
#include "stat.h"

#define DEFAULT_SECONDS	5
/* After so many faults the rest says nothing new. */
#define MAX_FAULTS	20

static __thread uint64_t rng;
static __thread struct stress_thread *self;
static int faults;

/* ---- choice ---------------------------------------------------------------- */

/* Steele, Lea, Flood: Fast splittable pseudorandom number generators (2014). */
uint64_t stress_rand(void)
{
	uint64_t z = rng += 0x9e3779b97f4a7c15;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

uint32_t stress_below(uint32_t n)
{
	return stress_rand() % n;
}

bool stress_one_in(uint32_t n)
{
	return !stress_below(n);
}

size_t stress_size(size_t max)
{
	int bits = stress_below(64 - __builtin_clzll(max)) + 1;
	size_t n = stress_rand() & ((1ULL << bits) - 1);

	return n % max + 1;
}

/* ---- time -------------------------------------------------------------------- */

static long env_number(const char *name, long fallback)
{
	const char *text = getenv(name);

	return text && *text ? strtol(text, NULL, 0) : fallback;
}

bool stress_injects(void)
{
	return env_number("ITLS_STRESS_INJECT", 0);
}

void stress_begin(struct stress *s)
{
	long seconds = env_number("ITLS_STRESS_SECONDS", DEFAULT_SECONDS);

	memset(s, 0, sizeof(*s));
	signal(SIGPIPE, SIG_IGN);
	if (seconds < 1 || seconds > STRESS_SECONDS)
		seconds = DEFAULT_SECONDS;
	if (getenv("ITLS_STRESS_SEED"))
		s->seed = strtoull(getenv("ITLS_STRESS_SEED"), NULL, 0);
	else
		ASSERT_EQ((ssize_t)sizeof(s->seed), getrandom(&s->seed, sizeof(s->seed), 0));
	rng = s->seed;
	printf("# ITLS_STRESS_SEED=%#jx ITLS_STRESS_SECONDS=%ld%s\n", (uintmax_t)s->seed, seconds,
	       stress_injects() ? ", allocations fail" : "");
	fflush(stdout);
	if (stress_injects())
		inject_random(env_number("ITLS_STRESS_INJECT", 0));
	s->end = sock_now_ms() + seconds * 1000;
}

bool stress_goes_on(const struct stress *s)
{
	return sock_now_ms() < s->end && __atomic_load_n(&faults, __ATOMIC_RELAXED) < MAX_FAULTS;
}

void stress_wait(struct stress *s, bool (*enough)(const void *arg), const void *arg)
{
	int64_t latest = s->end + 4 * test_wait_ms();

	while (stress_goes_on(s)) {
		poll(NULL, 0, 20);
		if (enough && s->end < latest && !enough(arg))
			s->end = sock_now_ms() + 100 > s->end ? sock_now_ms() + 100 : s->end;
	}
}

void test_after_each(void)
{
	stat_params_restore();
	if (stress_injects())
		inject_restore();
}

/* ---- threads --------------------------------------------------------------------- */

void stress_doing(const char *what)
{
	if (self)
		self->doing = what;
}

static void *thread_main(void *arg)
{
	self = arg;
	self->tid = gettid();
	rng = self->stress->seed + (uint64_t)self->number * 0x632be59bd9b4e019;
	self->run(self->arg);
	stress_doing("ended");
	return NULL;
}

void stress_spawn(struct stress *s, void (*run)(void *arg), void *arg)
{
	struct stress_thread *t = &s->thread[s->nr];

	ASSERT_LT(s->nr, STRESS_THREADS);
	*t = (struct stress_thread){
		.stress = s, .run = run, .arg = arg, .number = ++s->nr, .doing = "begins",
	};
	ASSERT_EQ(0, pthread_create(&t->id, NULL, thread_main, t));
}

static void show_stack(const struct stress_thread *t)
{
	char path[64], text[4096], *line, *save;
	ssize_t n;
	int fd;

	printf("# thread %d (%s), task %d\n", t->number, t->doing, t->tid);
	snprintf(path, sizeof(path), "/proc/self/task/%d/stack", t->tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = 0;
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		printf("#   %s\n", line);
}

void stress_tell_sockets(void)
{
	fflush(stdout);
	/* A second process takes no lock of ours; it may not hang either. */
	if (system("{ timeout 5 ss -tinmoe; cat /proc/net/itls_stat; } 2>&1 | sed 's/^/#   /'"))
		printf("#   ss failed\n");
}

void stress_join(struct stress *s)
{
	struct timespec until;
	int i, j, err;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += 2 * test_wait_ms() / 1000;
	for (i = 0; i < s->nr; i++) {
		err = pthread_clockjoin_np(s->thread[i].id, NULL, CLOCK_MONOTONIC, &until);
		if (!err)
			continue;
		test_fail(__FILE__, __LINE__, "thread %d hangs (%s)", s->thread[i].number,
			  s->thread[i].doing);
		for (j = i; j < s->nr; j++)
			show_stack(&s->thread[j]);
		stress_tell_sockets();
		fflush(stdout);
		test_abort();
	}
	s->nr = 0;
}

/* ---- errors ------------------------------------------------------------------------ */

static bool is_listed(int err, const int *errnos)
{
	for (; *errnos; errnos++)
		if (*errnos == err)
			return true;
	/* What a failed allocation may turn into; ENOENT is the crypto API's word for it. */
	return stress_injects() && (err == ENOMEM || err == ENOBUFS || err == ENOENT);
}

bool stress_check(const char *what, intmax_t ret, const int *errnos)
{
	int err = errno;

	if (ret >= 0 || is_listed(err, errnos))
		return true;
	__atomic_add_fetch(&faults, 1, __ATOMIC_RELAXED);
	test_fail(__FILE__, __LINE__, "%s gave %s, which it may not", what,
		  strerrorname_np(err) ?: "?");
	return false;
}

bool stress_any(struct stress_op *ops, size_t nr, void *arg)
{
	struct stress_op *op = &ops[stress_below(nr)];
	intmax_t ret;

	stress_doing(op->name);
	ret = op->run(arg);
	__atomic_add_fetch(ret < 0 ? &op->refused : &op->done, 1, __ATOMIC_RELAXED);
	return stress_check(op->name, ret, op->errnos);
}

void stress_tell(const struct stress_op *ops, size_t nr)
{
	size_t i;

	printf("# done/refused:");
	for (i = 0; i < nr; i++)
		printf(" %s %ld/%ld%s", ops[i].name, ops[i].done, ops[i].refused,
		       i + 1 < nr ? "," : "\n");
	fflush(stdout);
}
