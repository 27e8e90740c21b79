// SPDX-License-Identifier: GPL-2.0
/*
 * The handle of generic netlink to the itls family, over libmnl: its sockets,
 * and which number the family has.  See nl.h, and nl_inside.h for the rest.
 *
 * Two sockets: commands and their answers go over one, notifications arrive
 * on the other.  With a single socket a READY could be swallowed while the
 * answer to a DONE is awaited, and the connection it announced would wait
 * for the next READY.
 *
 * A struct itls_nl belongs to one thread.  Its message buffer carries session
 * keys during DONE, a client's private key during ACCEPT, and is wiped before
 * that call returns; NETLINK_CAP_ACK keeps the kernel from sending a refused
 * DONE, keys included, back.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/genetlink.h>

#include "nl_inside.h"

int nl_fail(struct itls_nl *nl, int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(nl->error, sizeof(nl->error), fmt, ap);
	va_end(ap);
	return err;
}

const char *itls_nl_error(const struct itls_nl *nl)
{
	return nl && nl->error[0] ? nl->error : "no error";
}

const char *nl_advice(int err)
{
	switch (-err) {
	case EPERM:
	case EACCES:
		return "run as root or with CAP_NET_ADMIN";
	case ENOENT:
	case EOPNOTSUPP:
		return "the kernel module is gone or older: load the itls module of this release";
	case ESRCH:
		return "it has ended already: nothing to do";
	default:
		return "see the kernel log and 'itlsctl doctor'";
	}
}

/* The controller's answer about the family: its number and groups. */

static int nl_group_attr(const struct nlattr *attr, void *data)
{
	const struct nlattr **tb = data;

	if (mnl_attr_get_type(attr) <= CTRL_ATTR_MCAST_GRP_MAX)
		tb[mnl_attr_get_type(attr)] = attr;
	return MNL_CB_OK;
}

static void nl_parse_groups(struct itls_nl *nl, const struct nlattr *groups)
{
	const struct nlattr *group;

	mnl_attr_for_each_nested(group, groups) {
		const struct nlattr *tb[CTRL_ATTR_MCAST_GRP_MAX + 1] = { NULL };
		const struct nlattr *name;

		if (mnl_attr_parse_nested(group, nl_group_attr, tb) != MNL_CB_OK)
			continue;
		name = tb[CTRL_ATTR_MCAST_GRP_NAME];
		if (!name || !tb[CTRL_ATTR_MCAST_GRP_ID])
			continue;
		if (!strcmp(mnl_attr_get_str(name), ITLS_MCGRP_AGENT))
			nl->agent_group = mnl_attr_get_u32(tb[CTRL_ATTR_MCAST_GRP_ID]);
	}
}

static int nl_parse_family(const struct nlmsghdr *nlh, void *arg)
{
	struct itls_nl *nl = arg;
	const struct nlattr *attr;

	mnl_attr_for_each(attr, nlh, sizeof(struct genlmsghdr)) {
		if (mnl_attr_get_type(attr) == CTRL_ATTR_FAMILY_ID)
			nl->family = mnl_attr_get_u16(attr);
		else if (mnl_attr_get_type(attr) == CTRL_ATTR_MCAST_GROUPS)
			nl_parse_groups(nl, attr);
	}
	return 0;
}

static int nl_resolve(struct itls_nl *nl)
{
	struct nlmsghdr *nlh = nl_begin(nl, GENL_ID_CTRL, CTRL_CMD_GETFAMILY, 1, NLM_F_ACK);
	int err;

	mnl_attr_put_strz(nlh, CTRL_ATTR_FAMILY_NAME, ITLS_GENL_NAME);
	err = nl_talk(nl, nlh, "look up the kernel module", nl_parse_family, nl);
	if (err == -ENOENT || (!err && !nl->family))
		return nl_fail(nl, -ENOENT, "itls: kernel module not loaded: run 'modprobe itls'");
	return err;
}

int nl_socket(struct itls_nl *nl, struct mnl_socket **sockp, int flags)
{
	struct mnl_socket *sock = mnl_socket_open2(NETLINK_GENERIC, SOCK_CLOEXEC | flags);
	int one = 1;

	if (!sock)
		return nl_fail(nl, -errno, "itls: cannot open a netlink socket: %s: %s", strerror(errno),
			       "raise the limit of open files, or allow AF_NETLINK in the sandbox");
	if (mnl_socket_bind(sock, 0, MNL_SOCKET_AUTOPID) < 0) {
		int err = -errno;

		mnl_socket_close(sock);
		return nl_fail(nl, err, "itls: cannot bind a netlink socket: %s: %s", strerror(-err),
			       nl_advice(err));
	}
	/* Kernels without these still answer, only less well. */
	mnl_socket_setsockopt(sock, NETLINK_EXT_ACK, &one, sizeof(one));
	mnl_socket_setsockopt(sock, NETLINK_CAP_ACK, &one, sizeof(one));
	*sockp = sock;
	return 0;
}

/* On failure *nlp is still set, for itls_nl_error(), and must be closed. */
int itls_nl_open(struct itls_nl **nlp)
{
	struct itls_nl *nl = calloc(1, sizeof(*nl));
	int err;

	*nlp = nl;
	if (!nl)
		return -ENOMEM;
	err = nl_socket(nl, &nl->cmd, 0);
	return err ? err : nl_resolve(nl);
}

void itls_nl_close(struct itls_nl *nl)
{
	if (!nl)
		return;
	if (nl->note)
		mnl_socket_close(nl->note);
	if (nl->cmd)
		mnl_socket_close(nl->cmd);
	explicit_bzero(nl->buf, sizeof(nl->buf));
	free(nl);
}
