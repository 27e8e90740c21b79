/* SPDX-License-Identifier: GPL-2.0 */
/* TAP on standard output: one line a check. */
#ifndef UNIT_TAP_H
#define UNIT_TAP_H

#include <stdbool.h>

void check(bool good, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The same, and what there is to say when it is not good. */
void check_note(bool good, const char *name, const char *detail);
/* Ends the whole test: what it stands on is not there. */
void must(bool good, const char *what);
/* The plan, and what main() returns. */
int tap_end(void);

#endif
