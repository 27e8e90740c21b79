// SPDX-License-Identifier: GPL-2.0
/*
 * usage: cputime PID...
 *
 * Prints the processor time, in ns, that these processes took so far, all their
 * threads in it: what /proc/PID/schedstat says, where the kernel has that.
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static uint64_t cpu_ns(const char *pid)
{
	struct timespec ts;
	clockid_t id;
	int err = clock_getcpuclockid(atoi(pid), &id);

	if (err || clock_gettime(id, &ts)) {
		fprintf(stderr, "cputime: process %s: %s\n", pid, err ? strerror(err) : "no clock");
		exit(1);
	}
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

int main(int argc, char **argv)
{
	uint64_t sum = 0;
	int i;

	for (i = 1; i < argc; i++)
		sum += cpu_ns(argv[i]);
	printf("%llu\n", (unsigned long long)sum);
	return argc < 2;
}
