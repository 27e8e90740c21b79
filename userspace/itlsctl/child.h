/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Another program, run for its exit status and what it says.
 */
#ifndef ITLSCTL_CHILD_H
#define ITLSCTL_CHILD_H

#include <stddef.h>

/*
 * Finds @name beside this program, else in PATH; -ENOENT.
 */
int child_find(const char *name, char *path, size_t size);

/*
 * Runs argv[0], gathering its standard output and error in @out (cut at
 * @size).  Returns its exit status, -ETIMEDOUT after killing it, -EINTR when a
 * signal ended it, or -errno.
 */
int child_run(char *const argv[], int timeout_ms, char *out, size_t size);

#endif
