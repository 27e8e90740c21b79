// SPDX-License-Identifier: GPL-2.0
/* Traces of what a program saw; see trace.h. */
#define _GNU_SOURCE
#include "trace.h"

#include <ctype.h>
#include <stdarg.h>
#include <sys/epoll.h>

#include "harness.h"

/* Content up to this length is shown byte for byte. */
#define SHOWN 40

void trace_add(struct trace *tr, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (tr->count == tr->room) {
		tr->room = tr->room * 2 + 16;
		tr->line = realloc(tr->line, tr->room * sizeof(*tr->line));
		ASSERT_TRUE(tr->line);
	}
	va_start(ap, fmt);
	n = vasprintf(&tr->line[tr->count], fmt, ap);
	va_end(ap);
	ASSERT_LE(0, n);
	tr->count++;
}

void trace_free(struct trace *tr)
{
	while (tr->count)
		free(tr->line[--tr->count]);
	free(tr->line);
	memset(tr, 0, sizeof(*tr));
}

bool trace_same(const struct trace *a, const struct trace *b)
{
	size_t i;

	if (a->count != b->count)
		return false;
	for (i = 0; i < a->count; i++)
		if (strcmp(a->line[i], b->line[i]))
			return false;
	return true;
}

void trace_print(const char *name_a, const struct trace *a, const char *name_b,
		 const struct trace *b)
{
	size_t count = a->count > b->count ? a->count : b->count, i;

	for (i = 0; i < count; i++) {
		const char *la = i < a->count ? a->line[i] : "(nothing)";
		const char *lb = i < b->count ? b->line[i] : "(nothing)";

		if (!strcmp(la, lb))
			printf("#     %s\n", la);
		else
			printf("#  != %s: %s\n#     %s: %s\n", name_a, la, name_b, lb);
	}
}

long trace_call(struct trace *tr, const char *what, long ret, int err)
{
	if (ret == -1)
		trace_add(tr, "%s = -1 %s", what, strerrorname_np(err) ?: "?");
	else
		trace_add(tr, "%s = %ld", what, ret);
	errno = err;
	return ret;
}

unsigned int trace_events(struct trace *tr, const char *what, unsigned int events)
{
	static const struct {
		unsigned int bit;
		const char *name;
	} names[] = {
		{ EPOLLIN, "IN" }, { EPOLLPRI, "PRI" }, { EPOLLOUT, "OUT" },
		{ EPOLLERR, "ERR" }, { EPOLLHUP, "HUP" }, { EPOLLRDHUP, "RDHUP" },
		{ EPOLLRDNORM, "RDNORM" }, { EPOLLRDBAND, "RDBAND" },
		{ EPOLLWRNORM, "WRNORM" }, { EPOLLWRBAND, "WRBAND" },
	};
	char text[100] = "";
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (!(events & names[i].bit))
			continue;
		strcat(text, " ");
		strcat(text, names[i].name);
	}
	trace_add(tr, "%s:%s", what, *text ? text : " none");
	return events;
}

/* FNV-1a: differences only need to show. */
static uint64_t digest(const uint8_t *p, size_t len)
{
	uint64_t h = 0xcbf29ce484222325;

	while (len--)
		h = (h ^ *p++) * 0x100000001b3;
	return h;
}

void trace_bytes(struct trace *tr, const char *what, const void *data, size_t len)
{
	const uint8_t *p = data;
	char text[SHOWN + 1];
	size_t i;

	if (len > SHOWN) {
		trace_add(tr, "%s: %zu bytes, digest %016jx", what, len,
			  (uintmax_t)digest(p, len));
		return;
	}
	for (i = 0; i < len; i++)
		text[i] = isprint(p[i]) ? p[i] : '.';
	text[len] = 0;
	trace_add(tr, "%s: \"%s\" %016jx", what, text, (uintmax_t)digest(p, len));
}
