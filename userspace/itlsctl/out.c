// SPDX-License-Identifier: GPL-2.0
/*
 * Output of itlsctl: messages on stderr, escaped text, JSON by jansson.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE		/* strerrorname_np() */
#endif
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ctl.h"

int ctl_error_set(struct ctl_error *e, int err, const char *fmt, ...)
{
	va_list ap;

	e->err = err;
	va_start(ap, fmt);
	vsnprintf(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);
	return -err;
}

void ctl_complain(const char *fmt, ...)
{
	va_list ap;

	fputs("itlsctl: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

int ctl_help(const struct ctl_command *cmd)
{
	printf("Usage: itlsctl %s%s%s\n%s.\n\n%s", cmd->name,
	       *cmd->args ? " " : "", cmd->args, cmd->summary, cmd->options);
	return CTL_OK;
}

int ctl_usage(const struct ctl_command *cmd)
{
	fprintf(stderr,
		"Usage: itlsctl %s%s%s\nTry 'itlsctl %s --help'.\n",
		cmd->name, *cmd->args ? " " : "", cmd->args, cmd->name);
	return CTL_USAGE;
}

int ctl_usage_error(const struct ctl_command *cmd, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "itlsctl %s: ", cmd->name);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return ctl_usage(cmd);
}

/*
 * Bytes above ASCII are escaped too: UTF-8 can hide C1 control characters,
 * and whoever chose the name did not choose our terminal's encoding.
 */
char *ctl_escape(char *dst, size_t size, const char *src)
{
	size_t n = 0;

	for (; *src && n + 5 <= size; src++) {
		unsigned char c = *src;

		if (c == '\\')
			n += sprintf(dst + n, "\\\\");
		else if (c > ' ' && c < 0x7f)
			dst[n++] = c;
		else
			n += sprintf(dst + n, "\\x%02x", c);
	}
	dst[n] = '\0';
	return dst;
}

char *ctl_addr(char *dst, size_t size, const struct sockaddr_storage *ss)
{
	const struct sockaddr_in6 *in6 = (const void *)ss;
	const struct sockaddr_in *in = (const void *)ss;
	char host[INET6_ADDRSTRLEN];

	if (ss->ss_family == AF_INET) {
		inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
		snprintf(dst, size, "%s:%u", host, ntohs(in->sin_port));
	} else if (ss->ss_family == AF_INET6) {
		inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host));
		snprintf(dst, size, "[%s]:%u", host, ntohs(in6->sin6_port));
	} else {
		snprintf(dst, size, "-");
	}
	return dst;
}

json_t *ctl_json_string(const char *s)
{
	json_t *str = json_string(s);
	char safe[4 * 256 + 1];

	/* jansson refuses what is not UTF-8 */
	return str ? str : json_string(ctl_escape(safe, sizeof(safe), s));
}

json_t *ctl_json_error(const struct ctl_error *e)
{
	const char *name = strerrorname_np(e->err);

	return json_pack("{s:s, s:o}", "code", name ? name : "EIO",
			 "message", ctl_json_string(e->text));
}

int ctl_json_print(json_t *root)
{
	int err;

	if (!root) {
		ctl_complain("out of memory while writing JSON");
		return CTL_FAILED;
	}
	err = json_dumpf(root, stdout, JSON_INDENT(2) | JSON_ENSURE_ASCII);
	putchar('\n');
	json_decref(root);
	return err ? CTL_FAILED : CTL_OK;
}

int ctl_fail(const struct ctl_error *e, bool json)
{
	if (json)
		ctl_json_print(json_pack("{s:b, s:o}", "ok", 0,
					 "error", ctl_json_error(e)));
	ctl_complain("%s", e->text);
	return CTL_FAILED;
}

void ctl_comm(pid_t pid, char *dst, size_t size)
{
	char path[64];
	ssize_t n = -1;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		n = read(fd, dst, size - 1);
		close(fd);
	}
	if (n <= 0) {
		snprintf(dst, size, "?");
		return;
	}
	dst[n] = '\0';
	if (dst[n - 1] == '\n')
		dst[n - 1] = '\0';
}
