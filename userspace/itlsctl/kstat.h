/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The module's counters, /proc/net/itls_stat: names are taken as they come,
 * a newer module may have more.
 */
#ifndef ITLSCTL_KSTAT_H
#define ITLSCTL_KSTAT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct kstat_line {
	char name[48];
	uint64_t value;
};

struct kstat {
	struct kstat_line *lines;
	size_t count;
};

/*
 * Reads those of the network namespace of @pid, 0: one's own.  -ENOENT: the
 * module is not loaded.  The caller frees after success.
 */
int kstat_read(struct kstat *ks, pid_t pid);
void kstat_free(struct kstat *ks);
/* -ENOENT: no such counter. */
int kstat_get(const struct kstat *ks, const char *name, uint64_t *value);

#endif
