// SPDX-License-Identifier: GPL-2.0
/* See hex.h. */
#include <stdio.h>
#include <stdlib.h>

#include "hex.h"

size_t unhex(const char *hex, uint8_t *out)
{
	unsigned int byte;
	size_t n = 0;

	for (; *hex; hex++) {
		if (*hex == ' ')
			continue;
		if (sscanf(hex++, "%2x", &byte) != 1)
			abort();
		out[n++] = byte;
	}
	return n;
}
