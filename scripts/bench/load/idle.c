// SPDX-License-Identifier: GPL-2.0
/*
 * What connections with keys cost while nothing happens on them: the memory
 * that is neither free nor page cache, before and after they are opened. Both
 * ends are here, so what plain TCP takes has to be subtracted; only one end
 * has keys. In a process of its own, which takes everything with it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "load.h"

#define RECORD	16384
#define IDLE_S	12

static uint64_t meminfo(const char *text, const char *name)
{
	const char *at = strstr(text, name);

	return at ? strtoull(at + strlen(name), NULL, 10) * 1024 : 0;
}

/*
 * Pages that each processor keeps to give out again count as used, and may be many
 * megabytes: with such a fraction, the fewest possible.  0: as the kernel likes.
 */
static void keep_few_pages(bool few)
{
	FILE *f = fopen("/proc/sys/vm/percpu_pagelist_high_fraction", "w");

	if (!f || fprintf(f, "%d", few ? 1000000 : 0) < 0 || fclose(f))
		die("vm.percpu_pagelist_high_fraction: %s", strerror(errno));
}

/* Memory freed after a grace period needs some time to be so. */
static void memory_read(uint64_t *used, uint64_t *slab)
{
	char text[8192];
	FILE *f;
	size_t n;

	sleep(1);
	f = fopen("/proc/meminfo", "r");
	n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;
	if (!n)
		die("/proc/meminfo: %s", strerror(errno));
	fclose(f);
	text[n] = 0;
	*slab = meminfo(text, "Slab:");
	*used = meminfo(text, "MemTotal:") - meminfo(text, "MemFree:") -
		meminfo(text, "\nBuffers:") - meminfo(text, "\nCached:");
}

/*
 * What is kept of a connection depends on when it was last used: itls(7). Other
 * variants wait as long, because the kernel lets go of some memory in time.
 */
static void wait_idle(enum variant v)
{
	char line[64];
	long active = -1;
	FILE *f;

	sleep(IDLE_S);
	if (v != ITLS)
		return;
	f = fopen("/proc/net/itls_stat", "r");
	while (f && active < 0 && fgets(line, sizeof(line), f))
		sscanf(line, "CurrActive %ld", &active);
	if (f)
		fclose(f);
	if (active)
		die("CurrActive of /proc/net/itls_stat is %ld after %d s", active, IDLE_S);
}

/* A record each way, read to the end. */
static void exchange(enum variant v, struct conn *c, int wire, size_t record)
{
	static char data[2 * RECORD];
	ssize_t got;

	if (send(c->server, data, RECORD, 0) != RECORD)
		die("send through %s: %s", variant_name(v), strerror(errno));
	while (conn_drain(c))
		;
	got = pread(wire, data, record, 0);
	if (got != (ssize_t)record || send(c->client, data, record, 0) != got)
		die("a record for %s: %s", variant_name(v), strerror(errno));
	if (recv(c->server, data, RECORD, MSG_WAITALL) != RECORD)
		die("recv through %s: %s", variant_name(v), strerror(errno));
}

static void measure(const struct options *o, enum variant v, unsigned int nr, struct result *r)
{
	int wire = wire_open(o, v);
	size_t record = lseek(wire, 0, SEEK_END) / ((64 << 20) / RECORD);
	uint64_t used, slab;
	struct conn *conns;
	unsigned int i;

	conns_close(conns_open(1, false), 1);
	memory_read(&used, &slab);
	conns = conns_open(nr, false);
	for (i = 0; i < nr; i++) {
		conn_keys(o, v, conns[i].server, true, true);
		if (o->used)
			exchange(v, &conns[i], wire, record);
	}
	wait_idle(v);
	memory_read(&r->mem, &r->slab);
	r->mem -= used;
	r->slab -= slab;
}

void idle_run(const struct options *o, enum variant v, unsigned int nr, struct result *r)
{
	struct result *shared = mmap(NULL, sizeof(*r), PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status;
	pid_t pid;

	if (shared == MAP_FAILED)
		die("mmap: %s", strerror(errno));
	keep_few_pages(true);
	pid = fork();
	if (!pid) {
		measure(o, v, nr, shared);
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid)
		status = -1;
	keep_few_pages(false);
	if (status)
		die("%u idle connections: not measured", nr);
	*r = *shared;
	munmap(shared, sizeof(*r));
}
