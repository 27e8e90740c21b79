// SPDX-License-Identifier: GPL-2.0
/*
 * Finds every socket that listens on the port, applies attach or detach to
 * each, and reports each: one that fails does not keep the others from it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "mark.h"
#include "target.h"

void target_warn(struct target *t, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	ctl_complain("warning: %s", text);
	json_array_append_new(t->warnings, ctl_json_string(text));
}

static int parse_address(const char *arg, struct sockaddr_storage *ss)
{
	struct sockaddr_in6 *in6 = (void *)ss;
	struct sockaddr_in *in = (void *)ss;
	char host[INET6_ADDRSTRLEN + 2];
	size_t len = strlen(arg);

	if (!len || len >= sizeof(host))
		return -EINVAL;
	memcpy(host, arg, len + 1);
	if (host[0] == '[' && host[len - 1] == ']') {
		host[len - 1] = '\0';
		memmove(host, host + 1, len - 1);
	} else if (inet_pton(AF_INET, host, &in->sin_addr) == 1) {
		ss->ss_family = AF_INET;
		return 0;
	}
	if (inet_pton(AF_INET6, host, &in6->sin6_addr) != 1)
		return -EINVAL;
	ss->ss_family = AF_INET6;
	return 0;
}

static int parse_option(struct target *t, int c, const char *arg)
{
	const struct ctl_command *cmd = t->ops->cmd;
	long value;

	switch (c) {
	case 'p':
		if (ctl_number(arg, 65535, &value))
			return ctl_usage_error(cmd, "bad port '%s': give a number from 1 to 65535", arg);
		t->query.port = value;
		return 0;
	case 'i':
		if (ctl_number(arg, INT_MAX, &value))
			return ctl_usage_error(cmd, "bad process id '%s': give a number", arg);
		t->query.pid = value;
		return 0;
	case 'a':
		if (parse_address(arg, &t->query.addr))
			return ctl_usage_error(cmd, "bad address '%s': give an IPv4 or IPv6 address, as the server has it in its listen line",
					       arg);
		return 0;
	case 'n':
		if (!mark_name_ok(arg))
			return ctl_usage_error(cmd, "bad profile name '%s': 1 to %d of A-Z a-z 0-9 . _ -",
					       arg, ITLS_PROFILE_MAX);
		t->profile = arg;
		return 0;
	case 'j':
		t->json = true;
		return 0;
	default:
		return ctl_usage(cmd);
	}
}

static int parse(struct target *t, int argc, char **argv, bool *help)
{
	const struct option opts[] = {
		{ "port",	required_argument, NULL, 'p' },
		{ "address",	required_argument, NULL, 'a' },
		{ "pid",	required_argument, NULL, 'i' },
		{ "json",	no_argument, NULL, 'j' },
		{ "help",	no_argument, NULL, 'h' },
		/* a NULL name ends the table */
		{ t->ops->takes_profile ? "profile" : NULL, required_argument,
		  NULL, 'n' },
		{ 0 }
	};
	int c, ret = 0;

	while (!ret && (c = getopt_long(argc, argv, "p:a:jh", opts, NULL)) != -1) {
		if (c == 'h') {
			*help = true;
			return ctl_help(t->ops->cmd);
		}
		ret = parse_option(t, c, optarg);
	}
	if (ret)
		return ret;
	if (optind != argc)
		return ctl_usage_error(t->ops->cmd, "unexpected argument '%s'",
				       argv[optind]);
	if (!t->query.port)
		return ctl_usage_error(t->ops->cmd, "--port is needed: the port the server listens on");
	return 0;
}

static json_t *report_json(const struct listener *l, const char *comm,
			   const struct listener_holder *by,
			   const char *result, const struct ctl_error *e)
{
	char addr[64];
	json_t *o;

	ctl_addr(addr, sizeof(addr), &l->addr);
	o = json_pack("{s:s, s:I, s:I, s:s}", "local", addr,
		      "inode", (json_int_t)l->inode,
		      "holders", (json_int_t)l->nholders,
		      "result", e ? "failed" : result);
	if (by) {
		json_object_set_new(o, "pid", json_integer(by->pid));
		json_object_set_new(o, "fd", json_integer(by->fd));
		json_object_set_new(o, "comm", ctl_json_string(comm));
	}
	if (e)
		json_object_set_new(o, "error", ctl_json_error(e));
	return o;
}

/* Takes one socket, does the work, reports; false: it failed. */
static bool apply_one(struct target *t, const struct listener *l,
		      json_t *sockets)
{
	const struct listener_holder *by;
	char addr[64], comm[32] = "", safe[130], who[180] = "";
	const char *result = NULL;
	struct ctl_error e;
	char done[256];
	int fd, err;

	fd = listener_take(l, &by, &e);
	err = fd < 0 ? fd : 0;
	if (!err) {
		err = t->ops->apply(t, fd, &result, done, sizeof(done), &e);
		close(fd);
	}
	if (by) {
		ctl_comm(by->pid, comm, sizeof(comm));
		snprintf(who, sizeof(who), " %s(%d)",
			 ctl_escape(safe, sizeof(safe), comm), by->pid);
	}
	ctl_addr(addr, sizeof(addr), &l->addr);
	if (err)
		ctl_complain("%s%s: %s", addr, who, e.text);
	else if (!t->json)
		printf("%s%s: %s\n", addr, who, done);
	json_array_append_new(sockets, report_json(l, comm, by, result,
						   err ? &e : NULL));
	return !err;
}

static int apply_all(struct target *t, const struct listener_list *list)
{
	json_t *sockets = json_array();
	size_t failed = 0;

	for (size_t i = 0; i < list->n; i++)
		failed += !apply_one(t, &list->v[i], sockets);
	if (t->json) {
		if (ctl_json_print(json_pack("{s:b, s:i, s:o, s:O}", "ok", !failed,
					     "port", (int)t->query.port,
					     "sockets", sockets,
					     "warnings", t->warnings)))
			return CTL_FAILED;
	} else {
		json_decref(sockets);
	}
	if (failed && list->n > 1)
		ctl_complain("%zu of %zu sockets on port %u failed", failed,
			     list->n, t->query.port);
	if (!failed && !t->json && t->ops->epilogue)
		puts(t->ops->epilogue);
	return failed ? CTL_FAILED : CTL_OK;
}

static int nothing_listens(const struct target *t, struct ctl_error *e)
{
	char where[64] = "this network namespace";

	if (t->query.pid)
		snprintf(where, sizeof(where),
			 "the network namespace of process %d", t->query.pid);
	return ctl_error_set(e, ENOENT,
			     "nothing listens on TCP port %u in %s: start the server first ('ss -ltn' shows what listens)",
			     t->query.port, where);
}

int target_run(const struct target_ops *ops, int argc, char **argv)
{
	struct target t = { .ops = ops, .profile = "default" };
	struct listener_list list;
	struct ctl_error e;
	bool help = false;
	int err, ret;

	ret = parse(&t, argc, argv, &help);
	if (ret || help)
		return ret;
	t.warnings = json_array();
	err = listener_find(&list, &t.query, &e);
	if (!err && !list.n)
		err = nothing_listens(&t, &e);
	ret = err ? ctl_fail(&e, t.json) : apply_all(&t, &list);
	listener_free(&list);
	json_decref(t.warnings);
	return ret;
}
