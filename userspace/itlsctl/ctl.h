/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What every sub-command of itlsctl shares: the command table's row, exit
 * codes, the error that carries its own text, and output that is safe to
 * show.  Names, SNI and ALPN come from other processes and from the network.
 */
#ifndef ITLSCTL_CTL_H
#define ITLSCTL_CTL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include <jansson.h>

#ifndef ITLS_RELEASE
#define ITLS_RELEASE "unreleased"
#endif

/* Documented in itlsctl(8). */
enum ctl_exit {
	CTL_OK,
	CTL_FAILED,
	CTL_USAGE,
};

struct ctl_command {
	const char *name;
	const char *args;
	const char *summary;
	const char *options;
	int (*run)(int argc, char **argv);
};

extern const struct ctl_command ctl_attach;
extern const struct ctl_command ctl_detach;
extern const struct ctl_command ctl_sessions;
extern const struct ctl_command ctl_rekey;
extern const struct ctl_command ctl_get;
extern const struct ctl_command ctl_stat;
extern const struct ctl_command ctl_doctor;

/* A failure and the sentence for people: what happened, to what, what to do. */
struct ctl_error {
	int err;		/* positive errno */
	char text[1024];
};

/* Fills @e and returns -@err. */
int ctl_error_set(struct ctl_error *e, int err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

int ctl_help(const struct ctl_command *cmd);
/* Prints the command's synopsis on stderr; returns CTL_USAGE. */
int ctl_usage(const struct ctl_command *cmd);
/* The same with a reason of one line before it. */
int ctl_usage_error(const struct ctl_command *cmd, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void ctl_complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Makes @src safe for a terminal and free of blanks; returns @dst. */
char *ctl_escape(char *dst, size_t size, const char *src);
/* "192.0.2.1:443", "[2001:db8::1]:443", or "-". */
char *ctl_addr(char *dst, size_t size, const struct sockaddr_storage *ss);
/* A JSON string of bytes that need not be UTF-8. */
json_t *ctl_json_string(const char *s);
/* The object every failure prints with --json. */
json_t *ctl_json_error(const struct ctl_error *e);
/* Prints @root and drops it; CTL_OK or CTL_FAILED. */
int ctl_json_print(json_t *root);
/* Reports a failure that ends the command, in text or JSON. */
int ctl_fail(const struct ctl_error *e, bool json);

/* A whole number from 1 to @max; else -EINVAL or -ERANGE. */
int ctl_number(const char *arg, long max, long *value);
/* Binary units, three digits ("64.0M"): a column must not dance.  Returns @dst. */
char *ctl_bytes(char *dst, size_t size, uint64_t n);

/* The process's name; "?" when it is gone. */
void ctl_comm(pid_t pid, char *dst, size_t size);

#endif
