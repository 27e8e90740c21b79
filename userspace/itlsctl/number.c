// SPDX-License-Identifier: GPL-2.0
/*
 * Numbers of the command line, and numbers for people.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "ctl.h"

int ctl_number(const char *arg, long max, long *value)
{
	char *end;

	errno = 0;
	*value = strtol(arg, &end, 10);
	if (errno || end == arg || *end || *arg == '+' || *arg == ' ')
		return -EINVAL;
	return *value < 1 || *value > max ? -ERANGE : 0;
}

char *ctl_bytes(char *dst, size_t size, uint64_t n)
{
	static const char units[] = "KMGTPE";
	double v = n;
	size_t u = 0;

	if (n < 1024) {
		snprintf(dst, size, "%" PRIu64, n);
		return dst;
	}
	for (v /= 1024; v >= 1023.5; v /= 1024)
		u++;
	snprintf(dst, size, v < 99.95 ? "%.1f%c" : "%.0f%c", v, units[u]);
	return dst;
}
