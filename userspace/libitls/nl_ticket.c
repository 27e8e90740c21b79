// SPDX-License-Identifier: GPL-2.0
/*
 * Tickets come to the socket that took the handshake, so between answers.
 * Peers decide how many: once there are clients the socket is emptied before
 * each command; it has room for plenty, and an answer that found none is not waited for.
 */
#include <errno.h>
#include <poll.h>

#include <linux/genetlink.h>

#include "nl_inside.h"

/* Tickets that may wait, of ITLS_TICKET_MAX each, while the agent does a handshake. */
#define NL_TICKETS 128

bool nl_readable(const struct mnl_socket *sock)
{
	struct pollfd pfd = { .fd = mnl_socket_get_fd(sock), .events = POLLIN };

	return poll(&pfd, 1, 0) > 0;
}

/* True if that is what @nlh was. */
bool nl_ticket_take(const struct itls_nl *nl, const struct nlmsghdr *nlh)
{
	const struct genlmsghdr *genl = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *attr, *message = NULL;
	uint32_t id = 0;

	if (!nl->family || nlh->nlmsg_type != nl->family ||
	    mnl_nlmsg_get_payload_len(nlh) < sizeof(*genl) || genl->cmd != ITLS_CMD_TICKET)
		return false;
	mnl_attr_for_each(attr, nlh, sizeof(*genl)) {
		if (mnl_attr_get_type(attr) == ITLS_A_TICKET_ID && mnl_attr_validate(attr, MNL_TYPE_U32) >= 0)
			id = mnl_attr_get_u32(attr);
		else if (mnl_attr_get_type(attr) == ITLS_A_TICKET_MESSAGE)
			message = attr;
	}
	if (nl->ticket && id && message)
		nl->ticket(id, mnl_attr_get_payload(message), mnl_attr_get_payload_len(message),
			   nl->ticket_arg);
	return true;
}

/* What lies on the command socket between commands: tickets, refusals, leftovers.  Uses the buffer. */
int nl_ticket_drain(struct itls_nl *nl)
{
	const struct nlmsghdr *nlh;
	ssize_t got;
	int err = 0;
	int left;

	while (nl_readable(nl->cmd)) {
		got = mnl_socket_recvfrom(nl->cmd, nl->buf, sizeof(nl->buf));
		if (got < 0 && errno != ENOBUFS && errno != EINTR)
			return -errno;
		if (got < 0) {
			err = errno == ENOBUFS ? -ENOBUFS : err;
			continue;
		}
		left = got;
		nlh = (const struct nlmsghdr *)nl->buf;
		for (; mnl_nlmsg_ok(nlh, left); nlh = mnl_nlmsg_next(nlh, &left))
			if (!nl_ticket_take(nl, nlh))
				nl_late(nl, nlh);
	}
	return err;
}

/* The limit of the system does not bind CAP_NET_ADMIN, and is worth less than the tickets. */
void nl_ticket_room(struct itls_nl *nl)
{
	int size = NL_TICKETS * ITLS_TICKET_MAX;

	setsockopt(mnl_socket_get_fd(nl->cmd), SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
}

void itls_nl_on_ticket(struct itls_nl *nl, itls_nl_ticket_fn fn, void *arg)
{
	nl->ticket = fn;
	nl->ticket_arg = arg;
}

int itls_nl_ticket_fd(const struct itls_nl *nl)
{
	return mnl_socket_get_fd(nl->cmd);
}

int itls_nl_ticket_drain(struct itls_nl *nl)
{
	return nl_ticket_drain(nl);
}
