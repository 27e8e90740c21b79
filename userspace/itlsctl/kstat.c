// SPDX-License-Identifier: GPL-2.0
/*
 * Reads /proc/net/itls_stat: one "Name<TAB>value" a line.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kstat.h"

static int append(struct kstat *ks, const struct kstat_line *line)
{
	struct kstat_line *lines;

	lines = reallocarray(ks->lines, ks->count + 1, sizeof(*lines));
	if (!lines)
		return -ENOMEM;
	ks->lines = lines;
	ks->lines[ks->count++] = *line;
	return 0;
}

int kstat_read(struct kstat *ks, pid_t pid)
{
	struct kstat_line line;
	char path[64] = "/proc/self/net/itls_stat";
	char text[256];
	int err = 0;
	FILE *f;

	*ks = (struct kstat){ 0 };
	if (pid)
		snprintf(path, sizeof(path), "/proc/%d/net/itls_stat", pid);
	f = fopen(path, "re");
	if (!f)
		return -errno;
	while (!err && fgets(text, sizeof(text), f))
		if (sscanf(text, "%47s %" SCNu64, line.name, &line.value) == 2)
			err = append(ks, &line);
	if (!err && ferror(f))
		err = -EIO;
	fclose(f);
	if (err)
		kstat_free(ks);
	return err;
}

void kstat_free(struct kstat *ks)
{
	free(ks->lines);
	*ks = (struct kstat){ 0 };
}

int kstat_get(const struct kstat *ks, const char *name, uint64_t *value)
{
	for (size_t i = 0; i < ks->count; i++) {
		if (!strcmp(ks->lines[i].name, name)) {
			*value = ks->lines[i].value;
			return 0;
		}
	}
	return -ENOENT;
}
