// SPDX-License-Identifier: GPL-2.0
/* Commands to the kernel, one at a time, and its answers. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <linux/genetlink.h>

#include "nl_inside.h"

/* Copies what the kernel wrote in NLMSGERR_ATTR_MSG, "" without one. */
static void nl_extack(const struct nlmsghdr *nlh, char *text, size_t len)
{
	const struct nlmsgerr *err = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *attr;
	size_t off = sizeof(*err);

	text[0] = '\0';
	if (!(nlh->nlmsg_flags & NLM_F_ACK_TLVS))
		return;
	if (!(nlh->nlmsg_flags & NLM_F_CAPPED) && err->msg.nlmsg_len > sizeof(err->msg))
		off += MNL_ALIGN(err->msg.nlmsg_len - sizeof(err->msg));
	if (off > mnl_nlmsg_get_payload_len(nlh))
		return;
	mnl_attr_for_each(attr, nlh, off) {
		if (mnl_attr_get_type(attr) != NLMSGERR_ATTR_MSG ||
		    mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) < 0)
			continue;
		snprintf(text, len, "%s", mnl_attr_get_str(attr));
	}
}

int nl_parse_error(struct itls_nl *nl, const struct nlmsghdr *nlh, const char *what)
{
	const struct nlmsgerr *err = mnl_nlmsg_get_payload(nlh);
	char text[128];

	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(*err))
		return nl_fail(nl, -EPROTO, "itls: %s: short netlink answer: %s", what, nl_advice(-EPROTO));
	if (!err->error)
		return 0;
	nl_extack(nlh, text, sizeof(text));
	return nl_fail(nl, err->error, "itls: %s: %s%s%s: %s", what, strerror(-err->error),
		       text[0] ? ": " : "", text, nl_advice(err->error));
}

struct nlmsghdr *nl_begin(struct itls_nl *nl, uint16_t type, uint8_t cmd,
			  uint8_t version, uint16_t flags)
{
	struct genlmsghdr *genl;
	struct nlmsghdr *nlh;

	if (nl->clients)
		nl_ticket_drain(nl);
	nl->one_answer = !(flags & (NLM_F_ACK | NLM_F_DUMP));
	nlh = mnl_nlmsg_put_header(nl->buf);
	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | flags;
	nlh->nlmsg_seq = ++nl->seq;
	genl = mnl_nlmsg_put_extra_header(nlh, sizeof(*genl));
	genl->cmd = cmd;
	genl->version = version;
	return nlh;
}

int nl_send(struct itls_nl *nl, const struct nlmsghdr *nlh, const char *what)
{
	if (mnl_socket_sendto(nl->cmd, nlh, nlh->nlmsg_len) >= 0)
		return 0;
	return nl_fail(nl, -errno, "itls: %s: cannot send to the kernel: %s: %s", what,
		       strerror(errno), nl_advice(-errno));
}

/* Returns 1 to read on, 0 at the end, else what @each or the kernel said. */
static int nl_dispatch(struct itls_nl *nl, const struct nlmsghdr *nlh, const char *what,
		       nl_each_fn each, void *arg)
{
	int err;

	if (nl_ticket_take(nl, nlh))
		return 1;
	if (nlh->nlmsg_seq != nl->seq || nlh->nlmsg_pid != mnl_socket_get_portid(nl->cmd)) {
		nl_late(nl, nlh); /* or left over from a dump that was broken off */
		return 1;
	}
	if (nlh->nlmsg_type == NLMSG_ERROR)
		return nl_parse_error(nl, nlh, what);
	if (nlh->nlmsg_type == NLMSG_DONE) {
		err = mnl_nlmsg_get_payload_len(nlh) >= sizeof(int) ?
			*(const int *)mnl_nlmsg_get_payload(nlh) : 0;
		if (err >= 0)
			return 0;
		return nl_fail(nl, err, "itls: %s: %s: %s", what, strerror(-err), nl_advice(err));
	}
	if (nlh->nlmsg_type < NLMSG_MIN_TYPE || !each)
		return 1;
	err = each(nlh, arg);
	return err || nl->one_answer ? err : 1;
}

/*
 * Reads answers until the ACK, the error, the end of the dump, or the only one.  After the
 * kernel found no room for something (ENOBUFS), that may have been the answer:
 * what is not there then does not come any more.
 */
int nl_answers(struct itls_nl *nl, const char *what, nl_each_fn each, void *arg)
{
	const struct nlmsghdr *nlh;
	bool lossy = false;
	ssize_t got;
	int left;
	int err;

	for (;;) {
		if (lossy && !nl_readable(nl->cmd))
			return nl_fail(nl, -ENOBUFS, "itls: %s: the kernel's answer was lost: %s", what,
				       nl_advice(-ENOBUFS));
		got = mnl_socket_recvfrom(nl->cmd, nl->buf, sizeof(nl->buf));
		if (got < 0 && (errno == EINTR || errno == ENOBUFS)) {
			lossy |= errno == ENOBUFS;
			continue;
		}
		if (got < 0)
			return nl_fail(nl, -errno, "itls: %s: no answer from the kernel: %s: %s", what,
				       strerror(errno), nl_advice(-errno));
		left = got;
		nlh = (const struct nlmsghdr *)nl->buf;
		for (; mnl_nlmsg_ok(nlh, left); nlh = mnl_nlmsg_next(nlh, &left)) {
			err = nl_dispatch(nl, nlh, what, each, arg);
			if (err != 1)
				return err;
		}
	}
}

int nl_talk(struct itls_nl *nl, const struct nlmsghdr *nlh, const char *what,
	    nl_each_fn each, void *arg)
{
	int err = nl_send(nl, nlh, what);

	return err ? err : nl_answers(nl, what, each, arg);
}
