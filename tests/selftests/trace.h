/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a program saw: a list of lines, written while a test body runs, and
 * compared afterwards with that of another run of the same body.
 *
 * The macros note the expression they evaluate, so that two runs of one body
 * write the same words and differ in what came out of them alone.  They all
 * write to the trace of the twin named t: see twin.h.
 */
#ifndef SELFTEST_TRACE_H
#define SELFTEST_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct trace {
	char **line;
	size_t count, room;
};

void trace_add(struct trace *tr, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void trace_free(struct trace *tr);
bool trace_same(const struct trace *a, const struct trace *b);
/* Side by side, lines that differ marked. */
void trace_print(const char *name_a, const struct trace *a, const char *name_b,
		 const struct trace *b);

/* A system call's result, with errno where it is -1; returns the result. */
long trace_call(struct trace *tr, const char *what, long ret, int err);
/* Ready events by name, those of poll() and epoll being the same; returns them. */
unsigned int trace_events(struct trace *tr, const char *what, unsigned int events);
/* Content: length, a digest, and the bytes themselves when they are few. */
void trace_bytes(struct trace *tr, const char *what, const void *data, size_t len);

#define CALL(expr)								\
	({									\
		long _ret = (errno = 0, (long)(expr));				\
										\
		trace_call(&t->trace, #expr, _ret, errno);			\
	})
#define SEEN(expr)	trace_add(&t->trace, "%s: %ld", #expr, (long)(expr))
#define EVENTS(expr)	trace_events(&t->trace, #expr, expr)
#define BYTES(data, len) trace_bytes(&t->trace, #data, data, len)
#define NOTE(...)	trace_add(&t->trace, __VA_ARGS__)

#endif
