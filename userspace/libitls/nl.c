// SPDX-License-Identifier: GPL-2.0
/*
 * Generic netlink to the itls family, over libmnl.  See nl.h.
 *
 * Two sockets: commands and their answers go over one, notifications arrive
 * on the other.  With a single socket a READY could be swallowed while the
 * answer to a DONE is awaited, and the connection it announced would wait
 * for the next READY.
 *
 * Tickets come to the socket that took the handshake, so between answers.
 * Peers decide how many: an agent's socket is emptied before each command and
 * has room for plenty, and an answer that found none is not waited for.
 *
 * A struct itls_nl belongs to one thread.  Its message buffer carries session
 * keys during DONE, a client's private key during ACCEPT, and is wiped before
 * that call returns; NETLINK_CAP_ACK keeps the kernel from sending a refused
 * DONE, keys included, back.
 */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <libmnl/libmnl.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <netinet/in.h>

#include "nl.h"

/* One ACCEPT of a client that brings all its files; a DONE and a dump message need less. */
#define NL_BUFFER (3 * ITLS_PEM_MAX + 16384)

/* Tickets that may wait, of ITLS_TICKET_MAX each, while the agent does a handshake. */
#define NL_TICKETS 128

struct itls_nl {
	struct mnl_socket *cmd;
	struct mnl_socket *note;	/* NULL until itls_nl_agent() */
	uint16_t family;
	uint32_t agent_group;		/* 0: the family has none */
	uint32_t seq;
	itls_nl_ticket_fn ticket;
	void *ticket_arg;
	char error[256];
	char buf[NL_BUFFER] __attribute__((aligned(8)));
};

typedef int (*nl_each_fn)(const struct nlmsghdr *nlh, void *arg);

static int nl_fail(struct itls_nl *nl, int err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static int nl_fail(struct itls_nl *nl, int err, const char *fmt, ...)
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

static const char *nl_advice(int err)
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

static int nl_parse_error(struct itls_nl *nl, const struct nlmsghdr *nlh, const char *what)
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

/* Tickets */

static bool nl_readable(const struct mnl_socket *sock)
{
	struct pollfd pfd = { .fd = mnl_socket_get_fd(sock), .events = POLLIN };

	return poll(&pfd, 1, 0) > 0;
}

/* True if that is what @nlh was. */
static bool nl_ticket(const struct itls_nl *nl, const struct nlmsghdr *nlh)
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

/* What lies on the command socket between commands: tickets, leftovers.  Uses the buffer. */
static int nl_drain_tickets(struct itls_nl *nl)
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
			nl_ticket(nl, nlh);
	}
	return err;
}

/* Commands and answers */

static struct nlmsghdr *nl_begin(struct itls_nl *nl, uint16_t type, uint8_t cmd,
				 uint8_t version, uint16_t flags)
{
	struct genlmsghdr *genl;
	struct nlmsghdr *nlh;

	if (nl->ticket)
		nl_drain_tickets(nl);
	nlh = mnl_nlmsg_put_header(nl->buf);
	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | flags;
	nlh->nlmsg_seq = ++nl->seq;
	genl = mnl_nlmsg_put_extra_header(nlh, sizeof(*genl));
	genl->cmd = cmd;
	genl->version = version;
	return nlh;
}

static int nl_send(struct itls_nl *nl, const struct nlmsghdr *nlh, const char *what)
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

	if (nl_ticket(nl, nlh))
		return 1;
	if (nlh->nlmsg_seq != nl->seq || nlh->nlmsg_pid != mnl_socket_get_portid(nl->cmd))
		return 1; /* left over from a dump that was broken off */
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
	return err ? err : 1;
}

/*
 * Reads answers until the ACK, the error or the end of the dump.  After the
 * kernel found no room for something (ENOBUFS), that may have been the answer:
 * what is not there then does not come any more.
 */
static int nl_answers(struct itls_nl *nl, const char *what, nl_each_fn each, void *arg)
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

static int nl_talk(struct itls_nl *nl, const struct nlmsghdr *nlh, const char *what,
		   nl_each_fn each, void *arg)
{
	int err = nl_send(nl, nlh, what);

	return err ? err : nl_answers(nl, what, each, arg);
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

static int nl_socket(struct itls_nl *nl, struct mnl_socket **sockp, int flags)
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

/* Room for tickets: the limit of the system does not bind CAP_NET_ADMIN, and is worth less than the tickets. */
static void nl_room(struct itls_nl *nl)
{
	int size = NL_TICKETS * ITLS_TICKET_MAX;

	setsockopt(mnl_socket_get_fd(nl->cmd), SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
}

void itls_nl_on_ticket(struct itls_nl *nl, itls_nl_ticket_fn fn, void *arg)
{
	nl->ticket = fn;
	nl->ticket_arg = arg;
}

/* Joins before registering: a request queued in between is announced to us. */
int itls_nl_agent(struct itls_nl *nl)
{
	int ctrl = GENL_ID_CTRL; /* the controller's "notify" group, same number */
	int group = nl->agent_group;
	int err;

	if (!group)
		return nl_fail(nl, -EPROTO, "itls: the kernel module has no group '%s': %s",
			       ITLS_MCGRP_AGENT, nl_advice(-ENOENT));
	if (!nl->note) {
		err = nl_socket(nl, &nl->note, SOCK_NONBLOCK);
		if (err)
			return err;
	}
	if (nl->ticket)
		nl_room(nl);
	if (mnl_socket_setsockopt(nl->note, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0 ||
	    mnl_socket_setsockopt(nl->note, NETLINK_ADD_MEMBERSHIP, &ctrl, sizeof(ctrl)) < 0)
		return nl_fail(nl, -errno, "itls: cannot listen for handshakes: %s: %s", strerror(errno),
			       nl_advice(-errno));
	return nl_talk(nl, nl_begin(nl, nl->family, ITLS_CMD_AGENT, ITLS_GENL_VERSION, NLM_F_ACK),
		       "register as handshake agent", NULL, NULL);
}

int itls_nl_fd(const struct itls_nl *nl)
{
	return nl->note ? mnl_socket_get_fd(nl->note) : -EBADF;
}

int itls_nl_ticket_fd(const struct itls_nl *nl)
{
	return mnl_socket_get_fd(nl->cmd);
}

static bool nl_family_gone(const struct itls_nl *nl, const struct nlmsghdr *nlh)
{
	const struct genlmsghdr *genl = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *attr;

	if (nlh->nlmsg_type != GENL_ID_CTRL || mnl_nlmsg_get_payload_len(nlh) < sizeof(*genl) ||
	    genl->cmd != CTRL_CMD_DELFAMILY)
		return false;
	mnl_attr_for_each(attr, nlh, sizeof(*genl))
		if (mnl_attr_get_type(attr) == CTRL_ATTR_FAMILY_ID)
			return mnl_attr_get_u16(attr) == nl->family;
	return false;
}

/* -ENOENT: the module was unloaded; this itls_nl is of no more use. */
int itls_nl_drain(struct itls_nl *nl)
{
	const struct nlmsghdr *nlh;
	int err = nl_drain_tickets(nl);
	ssize_t got;
	int left;

	for (;;) {
		got = mnl_socket_recvfrom(nl->note, nl->buf, sizeof(nl->buf));
		if (got < 0 && (errno == ENOBUFS || errno == EINTR)) {
			if (errno == ENOBUFS)
				err = -ENOBUFS;
			continue;
		}
		if (got < 0)
			break;
		left = got;
		nlh = (const struct nlmsghdr *)nl->buf;
		for (; mnl_nlmsg_ok(nlh, left); nlh = mnl_nlmsg_next(nlh, &left))
			if (nl_family_gone(nl, nlh))
				return nl_fail(nl, -ENOENT,
					       "itls: the kernel module was unloaded: run 'modprobe itls' and start again");
	}
	if (errno == EAGAIN)
		return err;
	return nl_fail(nl, -errno, "itls: cannot read notifications: %s: %s", strerror(errno),
		       nl_advice(-errno));
}

/*
 * Attributes of answers go into fixed-size structures that were zeroed before,
 * by table.  Longer strings are cut, ill-sized values left out.
 */
enum nl_kind { NL_UINT, NL_STRING, NL_ADDRESS, NL_DIGEST, NL_FLAG, NL_BLOB };

struct nl_field {
	uint16_t type;
	uint16_t kind;
	uint16_t offset;
	uint16_t size;
};

#define NL_FIELD(attr, k, type, member) \
	{ attr, k, offsetof(type, member), sizeof(((type *)0)->member) }
#define NL_ACCEPT(attr, kind, member) \
	NL_FIELD(ITLS_A_ACCEPT_##attr, kind, struct itls_nl_request, member)
#define NL_SESSION(attr, kind, member) \
	NL_FIELD(ITLS_A_SESSION_##attr, kind, struct itls_nl_session, member)

static const struct nl_field nl_accept_fields[] = {
	NL_ACCEPT(ID, NL_UINT, id),
	NL_ACCEPT(FD, NL_UINT, fd),
	NL_ACCEPT(PROFILE, NL_STRING, profile),
	NL_ACCEPT(DEADLINE, NL_UINT, deadline_ms),
	NL_ACCEPT(OWNER_UID, NL_UINT, owner_uid),
	NL_ACCEPT(OWNER_PID, NL_UINT, owner_pid),
	NL_ACCEPT(OWNER_COMM, NL_STRING, owner_comm),
	NL_ACCEPT(LOCAL, NL_ADDRESS, local),
	NL_ACCEPT(PEER, NL_ADDRESS, peer),
	NL_ACCEPT(ROLE, NL_UINT, role),
	NL_ACCEPT(SERVER_NAME, NL_STRING, server_name),
	NL_ACCEPT(CA, NL_BLOB, ca),
	NL_ACCEPT(CERT, NL_BLOB, cert),
	NL_ACCEPT(KEY, NL_BLOB, key),
	{ 0 },
};

static const struct nl_field nl_session_fields[] = {
	NL_SESSION(ID, NL_UINT, id),
	NL_SESSION(STATE, NL_UINT, state),
	NL_SESSION(ROLE, NL_UINT, role),
	NL_SESSION(PROFILE, NL_STRING, profile),
	NL_SESSION(LOCAL, NL_ADDRESS, local),
	NL_SESSION(PEER, NL_ADDRESS, peer),
	NL_SESSION(PID, NL_UINT, pid),
	NL_SESSION(COMM, NL_STRING, comm),
	NL_SESSION(VERSION, NL_UINT, version),
	NL_SESSION(TX_CIPHER, NL_UINT, tx_cipher),
	NL_SESSION(RX_CIPHER, NL_UINT, rx_cipher),
	NL_SESSION(ALPN, NL_STRING, alpn),
	NL_SESSION(SNI, NL_STRING, sni),
	NL_SESSION(PEER_DIGEST, NL_DIGEST, peer_digest),
	NL_SESSION(RESUMED, NL_FLAG, resumed),
	NL_SESSION(AGE, NL_UINT, age_ms),
	NL_SESSION(TX_RECORDS, NL_UINT, tx_records),
	NL_SESSION(TX_BYTES, NL_UINT, tx_bytes),
	NL_SESSION(RX_RECORDS, NL_UINT, rx_records),
	NL_SESSION(RX_BYTES, NL_UINT, rx_bytes),
	NL_SESSION(TX_REKEYS, NL_UINT, tx_rekeys),
	NL_SESSION(RX_REKEYS, NL_UINT, rx_rekeys),
	NL_SESSION(VERIFY, NL_UINT, verify),
	NL_SESSION(PEER_SUBJECT, NL_STRING, peer_subject),
	{ 0 },
};

static void nl_blob_wipe(struct itls_nl_blob *blob)
{
	if (blob->data)
		explicit_bzero(blob->data, blob->len);
	free(blob->data);
	memset(blob, 0, sizeof(*blob));
}

static int nl_fill_blob(struct itls_nl_blob *blob, const void *src, size_t len)
{
	nl_blob_wipe(blob);
	blob->data = malloc(len + 1);
	if (!blob->data)
		return -ENOMEM;
	memcpy(blob->data, src, len);
	blob->data[len] = '\0';
	blob->len = len;
	return 0;
}

static int nl_fill(const struct nl_field *field, const struct nlattr *attr, uint8_t *dst)
{
	const void *src = mnl_attr_get_payload(attr);
	size_t len = mnl_attr_get_payload_len(attr);
	bool fits = len == field->size;

	switch (field->kind) {
	case NL_STRING:
		len = strnlen(src, len);
		if (len >= field->size)
			len = field->size - 1;
		fits = true;
		break;
	case NL_ADDRESS:
		fits = len == sizeof(struct sockaddr_in) || len == sizeof(struct sockaddr_in6);
		break;
	case NL_FLAG:
		*(bool *)dst = true;
		return 0;
	case NL_BLOB:
		return nl_fill_blob((struct itls_nl_blob *)dst, src, len);
	}
	if (fits)
		memcpy(dst, src, len);
	return 0;
}

/* Fails only without memory: a blob left out would mean something else. */
static int nl_parse(const struct nlmsghdr *nlh, const struct nl_field *fields, void *dst)
{
	const struct nl_field *field;
	const struct nlattr *attr;
	int err = 0;

	mnl_attr_for_each(attr, nlh, sizeof(struct genlmsghdr))
		for (field = fields; !err && field->type; field++)
			if (field->type == mnl_attr_get_type(attr))
				err = nl_fill(field, attr, (uint8_t *)dst + field->offset);
	return err;
}

static int nl_parse_accept(const struct nlmsghdr *nlh, void *arg)
{
	struct itls_nl_request *req = arg;
	int err = nl_parse(nlh, nl_accept_fields, req);

	if (req->key.data)
		explicit_bzero(mnl_nlmsg_get_payload(nlh), mnl_nlmsg_get_payload_len(nlh));
	return err;
}

void itls_nl_request_wipe(struct itls_nl_request *req)
{
	nl_blob_wipe(&req->ca);
	nl_blob_wipe(&req->cert);
	nl_blob_wipe(&req->key);
}

int itls_nl_accept(struct itls_nl *nl, struct itls_nl_request *req)
{
	int err;

	/* Absent means nobody: an owner the kernel did not name gets no profile. */
	memset(req, 0, sizeof(*req));
	req->fd = -1;
	req->owner_uid = UINT32_MAX;
	req->role = ITLS_ROLE_SERVER;
	err = nl_talk(nl, nl_begin(nl, nl->family, ITLS_CMD_ACCEPT, ITLS_GENL_VERSION, NLM_F_ACK),
		      "take a handshake", nl_parse_accept, req);
	if (!err && req->fd < 0)
		err = nl_fail(nl, -EPROTO, "itls: take a handshake: the kernel gave no descriptor: %s",
			      nl_advice(-ENOENT));
	if (err && req->fd >= 0) {
		close(req->fd);
		req->fd = -1;
	}
	if (err)
		itls_nl_request_wipe(req);
	if (err == -ENOMEM)
		nl_fail(nl, err, "itls: take a handshake: out of memory: free some");
	return err;
}

/* What TLS 1.3 needs for new keys, and what is known of the peer. */
static void nl_put_manners(struct nlmsghdr *nlh, const struct itls_nl_done *done)
{
	if (done->tx_secret)
		mnl_attr_put(nlh, ITLS_A_DONE_TX_SECRET, done->secret_len, done->tx_secret);
	if (done->rx_secret)
		mnl_attr_put(nlh, ITLS_A_DONE_RX_SECRET, done->secret_len, done->rx_secret);
	if (done->rekey_records)
		mnl_attr_put_u64(nlh, ITLS_A_DONE_REKEY_RECORDS, done->rekey_records);
	if (done->rekey_bytes)
		mnl_attr_put_u64(nlh, ITLS_A_DONE_REKEY_BYTES, done->rekey_bytes);
	if (done->verify)
		mnl_attr_put_u8(nlh, ITLS_A_DONE_VERIFY, done->verify);
	if (done->peer_subject)
		mnl_attr_put_strz(nlh, ITLS_A_DONE_PEER_SUBJECT, done->peer_subject);
}

static void nl_put_done(struct nlmsghdr *nlh, const struct itls_nl_done *done)
{
	mnl_attr_put_u32(nlh, ITLS_A_DONE_ID, done->id);
	mnl_attr_put_u32(nlh, ITLS_A_DONE_STATUS, done->status);
	if (done->tx)
		mnl_attr_put(nlh, ITLS_A_DONE_TX, done->tx_len, done->tx);
	if (done->rx)
		mnl_attr_put(nlh, ITLS_A_DONE_RX, done->rx_len, done->rx);
	if (done->alpn)
		mnl_attr_put_strz(nlh, ITLS_A_DONE_ALPN, done->alpn);
	if (done->sni)
		mnl_attr_put_strz(nlh, ITLS_A_DONE_SNI, done->sni);
	if (done->peer_digest)
		mnl_attr_put(nlh, ITLS_A_DONE_PEER_DIGEST, ITLS_DIGEST_LEN, done->peer_digest);
	if (done->resumed)
		mnl_attr_put(nlh, ITLS_A_DONE_RESUMED, 0, NULL);
	if (done->prefix_len)
		mnl_attr_put(nlh, ITLS_A_DONE_PREFIX, done->prefix_len, done->prefix);
	if (done->alert_tx >= 0)
		mnl_attr_put_u8(nlh, ITLS_A_DONE_ALERT_TX, done->alert_tx);
	if (done->alert_rx >= 0)
		mnl_attr_put_u8(nlh, ITLS_A_DONE_ALERT_RX, done->alert_rx);
	nl_put_manners(nlh, done);
}

static bool nl_too_long(const char *text, size_t max)
{
	return text && strlen(text) > max;
}

int itls_nl_done(struct itls_nl *nl, const struct itls_nl_done *done)
{
	struct nlmsghdr *nlh;
	size_t len;
	int err;

	if (done->prefix_len > ITLS_PREFIX_MAX || done->tx_len > 256 || done->rx_len > 256 ||
	    done->secret_len > ITLS_SECRET_MAX || nl_too_long(done->alpn, ITLS_ALPN_MAX) ||
	    nl_too_long(done->sni, ITLS_SNI_MAX) || nl_too_long(done->peer_subject, ITLS_SUBJECT_MAX))
		return nl_fail(nl, -EMSGSIZE, "itls: finish a handshake: a field is too long");
	nlh = nl_begin(nl, nl->family, ITLS_CMD_DONE, ITLS_GENL_VERSION, NLM_F_ACK);
	nl_put_done(nlh, done);
	len = nlh->nlmsg_len;
	err = nl_send(nl, nlh, "finish a handshake");
	explicit_bzero(nl->buf, len);
	return err ? err : nl_answers(nl, "finish a handshake", NULL, NULL);
}

struct nl_walk {
	int (*each)(const struct itls_nl_session *s, void *arg);
	void *arg;
	int ret;
};

static int nl_parse_session(const struct nlmsghdr *nlh, void *arg)
{
	static const uint8_t none[ITLS_DIGEST_LEN];
	struct itls_nl_session s = { 0 };
	struct nl_walk *walk = arg;

	nl_parse(nlh, nl_session_fields, &s);
	s.has_peer_digest = memcmp(s.peer_digest, none, sizeof(none)) != 0;
	walk->ret = walk->each(&s, walk->arg);
	return walk->ret ? -ECANCELED : 0;
}

int itls_nl_sessions(struct itls_nl *nl, int (*each)(const struct itls_nl_session *s, void *arg),
		     void *arg)
{
	struct nl_walk walk = { .each = each, .arg = arg };
	int err;

	err = nl_talk(nl, nl_begin(nl, nl->family, ITLS_CMD_SESSION_GET, ITLS_GENL_VERSION, NLM_F_DUMP),
		      "list sessions", nl_parse_session, &walk);
	return walk.ret ? walk.ret : err;
}

int itls_nl_rekey(struct itls_nl *nl, uint32_t id, bool ask_peer)
{
	struct nlmsghdr *nlh = nl_begin(nl, nl->family, ITLS_CMD_REKEY, ITLS_GENL_VERSION, NLM_F_ACK);

	mnl_attr_put_u32(nlh, ITLS_A_REKEY_ID, id);
	if (ask_peer)
		mnl_attr_put(nlh, ITLS_A_REKEY_PEER, 0, NULL);
	return nl_talk(nl, nlh, "change the key of a session", NULL, NULL);
}
