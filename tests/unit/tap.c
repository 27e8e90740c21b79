// SPDX-License-Identifier: GPL-2.0
/* See tap.h. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tap.h"

static unsigned int n_tests, n_failed;

void check(bool good, const char *fmt, ...)
{
	va_list ap;

	n_failed += !good;
	printf("%sok %u - ", good ? "" : "not ", ++n_tests);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
	fflush(stdout);
}

void check_note(bool good, const char *name, const char *detail)
{
	check(good, "%s", name);
	if (!good)
		printf("# %s\n", detail);
}

void must(bool good, const char *what)
{
	if (good)
		return;
	printf("Bail out! %s: %s\n", what, strerror(errno));
	exit(1);
}

int tap_end(void)
{
	printf("1..%u\n", n_tests);
	return n_failed || !n_tests;
}
