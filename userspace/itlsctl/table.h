/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A table of text whose columns are as wide as their widest cell.
 */
#ifndef ITLSCTL_TABLE_H
#define ITLSCTL_TABLE_H

#include <stddef.h>

struct table {
	const char *const *titles;	/* also a row's number of cells, by ncols */
	size_t ncols;
	char **cells;			/* nrows * ncols, owned */
	char **notes;			/* nrows, owned: printed below a row, or NULL */
	size_t nrows;
};

/* Copies @cells and @note; -ENOMEM. */
int table_add(struct table *t, const char *const *cells, const char *note);
void table_print(const struct table *t);
void table_free(struct table *t);

#endif
