// SPDX-License-Identifier: GPL-2.0
/*
 * Wall clock, processor time, cycles and bytes fetched from memory. In User Mode
 * Linux those of the whole kernel, by the module itls_bench; elsewhere this
 * process's own, which on the loopback does the work of both ends.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "load.h"

static int module_fd = -1, cycles_fd = -1, misses_fd = -1;

static int perf_open(uint64_t config)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_HARDWARE,
		.size = sizeof(attr),
		.config = config,
	};

	return syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

void clock_open(void)
{
	module_fd = open(ITLS_BENCH_PATH, O_RDONLY | O_CLOEXEC);
	cycles_fd = perf_open(PERF_COUNT_HW_CPU_CYCLES);
	misses_fd = perf_open(PERF_COUNT_HW_CACHE_MISSES);
}

int bench_fd(void)
{
	if (module_fd < 0)
		die("%s: %s: load the module itls_bench", ITLS_BENCH_PATH, strerror(errno));
	return module_fd;
}

static uint64_t clock_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

uint64_t clock_now(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

static uint64_t counter(int fd)
{
	uint64_t count;

	return read(fd, &count, sizeof(count)) == sizeof(count) ? count : 0;
}

static void clock_read(struct itls_bench_clock *c)
{
	memset(c, 0, sizeof(*c));
	if (module_fd >= 0)
		ioctl(module_fd, ITLS_BENCH_CLOCK, c);
	if (!c->cpu_ns)
		c->cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
	if (!c->cycles)
		c->cycles = counter(cycles_fd);
	if (!c->dram_bytes)
		c->dram_bytes = counter(misses_fd) * ITLS_BENCH_LINE;
	c->wall_ns = clock_now();
}

void clock_start(struct result *r)
{
	struct itls_bench_clock c;

	clock_read(&c);
	r->wall_ns -= c.wall_ns;
	r->cpu_ns -= c.cpu_ns;
	r->cycles -= c.cycles;
	r->dram_bytes -= c.dram_bytes;
}

void clock_stop(struct result *r)
{
	struct itls_bench_clock c;

	clock_read(&c);
	r->wall_ns += c.wall_ns;
	r->cpu_ns += c.cpu_ns;
	r->cycles += c.cycles;
	r->dram_bytes += c.dram_bytes;
}

/* A record of 16 KiB after the other out of a buffer larger than the caches. */
void aead_run(const struct options *o, struct result *r)
{
	struct itls_bench_aead a = {
		.key_len = cipher_key_len(o->cipher),
		.record_len = 16384,
		.buffer_len = 64 << 20,
		.time_ns = o->time_ms * 1000000ULL,
	};

	strncpy(a.name, cipher_algorithm(o->cipher), sizeof(a.name) - 1);
	if (ioctl(bench_fd(), ITLS_BENCH_AEAD, &a))
		die("%s alone: %s", a.name, strerror(errno));
	r->bytes = a.bytes;
	r->wall_ns = a.took.wall_ns;
	r->cpu_ns = a.took.cpu_ns ? a.took.cpu_ns : a.took.wall_ns;
	r->cycles = a.took.cycles;
	r->dram_bytes = a.took.dram_bytes;
}
