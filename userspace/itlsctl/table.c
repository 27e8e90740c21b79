// SPDX-License-Identifier: GPL-2.0
/*
 * Collects rows, then prints them aligned.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "table.h"

static int grow(struct table *t)
{
	char **v;

	v = reallocarray(t->cells, (t->nrows + 1) * t->ncols, sizeof(*v));
	if (!v)
		return -ENOMEM;
	t->cells = v;
	v = reallocarray(t->notes, t->nrows + 1, sizeof(*v));
	if (!v)
		return -ENOMEM;
	t->notes = v;
	memset(&t->cells[t->nrows * t->ncols], 0, t->ncols * sizeof(*v));
	t->notes[t->nrows++] = NULL;
	return 0;
}

int table_add(struct table *t, const char *const *cells, const char *note)
{
	char **row;

	if (grow(t))
		return -ENOMEM;
	row = &t->cells[(t->nrows - 1) * t->ncols];
	for (size_t c = 0; c < t->ncols; c++) {
		row[c] = strdup(*cells[c] ? cells[c] : "-");
		if (!row[c])
			return -ENOMEM;
	}
	if (note) {
		t->notes[t->nrows - 1] = strdup(note);
		if (!t->notes[t->nrows - 1])
			return -ENOMEM;
	}
	return 0;
}

static size_t width(const struct table *t, size_t col)
{
	size_t max = strlen(t->titles[col]);

	for (size_t r = 0; r < t->nrows; r++) {
		size_t len = strlen(t->cells[r * t->ncols + col]);

		if (len > max)
			max = len;
	}
	return max;
}

static void print_row(const struct table *t, const char *const *cells,
		      const size_t *widths)
{
	for (size_t c = 0; c + 1 < t->ncols; c++)
		printf("%-*s  ", (int)widths[c], cells[c]);
	puts(cells[t->ncols - 1]);
}

void table_print(const struct table *t)
{
	size_t widths[t->ncols];

	for (size_t c = 0; c < t->ncols; c++)
		widths[c] = width(t, c);
	print_row(t, t->titles, widths);
	for (size_t r = 0; r < t->nrows; r++) {
		print_row(t, (const char *const *)&t->cells[r * t->ncols],
			  widths);
		if (t->notes[r])
			printf("\t%s\n", t->notes[r]);
	}
}

void table_free(struct table *t)
{
	for (size_t i = 0; i < t->nrows * t->ncols; i++)
		free(t->cells[i]);
	for (size_t i = 0; i < t->nrows; i++)
		free(t->notes[i]);
	free(t->cells);
	free(t->notes);
	t->cells = NULL;
	t->notes = NULL;
	t->nrows = 0;
}
