/* SPDX-License-Identifier: GPL-2.0 */
/* Bytes as papers print them. */
#ifndef UNIT_HEX_H
#define UNIT_HEX_H

#include <stddef.h>
#include <stdint.h>

/* Blanks between bytes do not count; how many bytes it made. */
size_t unhex(const char *hex, uint8_t *out);

#endif
