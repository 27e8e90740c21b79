// SPDX-License-Identifier: GPL-2.0
/* What a handshake agent does: registers, listens, takes handshakes, ends them. */
#define _GNU_SOURCE 1
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/genetlink.h>

#include "nl_inside.h"

/* Notifications that are read at once, and how long one may be: all but CTRL_CMD_DELFAMILY are short. */
#define NL_NOTES	16
#define NL_NOTE_MAX	4096

_Static_assert(NL_NOTES * NL_NOTE_MAX <= NL_BUFFER, "they are read into the buffer");

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
		nl_ticket_room(nl);
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

static bool nl_unloaded(const struct itls_nl *nl, const void *data, int len)
{
	const struct nlmsghdr *nlh = data;

	for (; mnl_nlmsg_ok(nlh, len); nlh = mnl_nlmsg_next(nlh, &len))
		if (nl_family_gone(nl, nlh))
			return true;
	return false;
}

/* As many notifications as one system call gives, at most NL_NOTES; -errno, or 1 when the module is gone. */
static int nl_notes(struct itls_nl *nl, unsigned int *count)
{
	struct mmsghdr msgs[NL_NOTES];
	struct iovec parts[NL_NOTES];
	int i, got;

	memset(msgs, 0, sizeof(msgs));
	for (i = 0; i < NL_NOTES; i++) {
		parts[i] = (struct iovec){ nl->buf + i * NL_NOTE_MAX, NL_NOTE_MAX };
		msgs[i].msg_hdr.msg_iov = &parts[i];
		msgs[i].msg_hdr.msg_iovlen = 1;
	}
	got = recvmmsg(mnl_socket_get_fd(nl->note), msgs, NL_NOTES, MSG_DONTWAIT, NULL);
	*count = got < 0 ? 0 : got;
	for (i = 0; i < got; i++)
		if (nl_unloaded(nl, parts[i].iov_base, msgs[i].msg_len))
			return 1;
	return got < 0 ? -errno : 0;
}

/* -ENOENT: the module was unloaded; this itls_nl is of no more use. */
int itls_nl_ready_drain(struct itls_nl *nl)
{
	unsigned int count;
	int ret, err = 0;

	do {
		ret = nl_notes(nl, &count);
		if (ret == -ENOBUFS)
			err = ret;
	} while (count == NL_NOTES || ret == -ENOBUFS || ret == -EINTR);
	if (ret == 1)
		return nl_fail(nl, -ENOENT,
			       "itls: the kernel module was unloaded: run 'modprobe itls' and start again");
	if (!ret || ret == -EAGAIN)
		return err;
	return nl_fail(nl, ret, "itls: cannot read notifications: %s: %s", strerror(-ret), nl_advice(ret));
}

int itls_nl_drain(struct itls_nl *nl)
{
	int lost = nl_ticket_drain(nl);
	int err = itls_nl_ready_drain(nl);

	return err ? err : lost;
}

/* ACCEPT */

#define NL_ACCEPT(attr, kind, member) \
	NL_FIELD(ITLS_A_ACCEPT_##attr, kind, struct itls_nl_request, member)

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

static int nl_parse_accept(const struct nlmsghdr *nlh, void *arg)
{
	struct itls_nl_request *req = arg;
	int err = nl_field_parse(nlh, nl_accept_fields, req);

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
	/* One answer, the request or why there is none: no ACK behind it. */
	err = nl_talk(nl, nl_begin(nl, nl->family, ITLS_CMD_ACCEPT, ITLS_GENL_VERSION, 0),
		      "take a handshake", nl_parse_accept, req);
	nl->clients |= req->role == ITLS_ROLE_CLIENT;
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

/* DONE */

/* What TLS 1.3 needs for new keys, what is known of the peer, and how to send. */
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
	if (done->record_sizing)
		mnl_attr_put_u8(nlh, ITLS_A_DONE_RECORD_SIZING, done->record_sizing);
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

static bool nl_fits(const struct itls_nl_done *done)
{
	return done->prefix_len <= ITLS_PREFIX_MAX && done->tx_len <= 256 && done->rx_len <= 256 &&
	       done->secret_len <= ITLS_SECRET_MAX && !nl_too_long(done->alpn, ITLS_ALPN_MAX) &&
	       !nl_too_long(done->sni, ITLS_SNI_MAX) && !nl_too_long(done->peer_subject, ITLS_SUBJECT_MAX);
}

static const char nl_done_text[] = "finish a handshake";

static int nl_send_done(struct itls_nl *nl, const struct itls_nl_done *done, uint16_t flags)
{
	struct nlmsghdr *nlh;
	size_t len;
	int err;

	if (!nl_fits(done))
		return nl_fail(nl, -EMSGSIZE, "itls: %s: a field is too long", nl_done_text);
	nlh = nl_begin(nl, nl->family, ITLS_CMD_DONE, ITLS_GENL_VERSION, flags);
	nl_put_done(nlh, done);
	len = nlh->nlmsg_len;
	err = nl_send(nl, nlh, nl_done_text);
	explicit_bzero(nl->buf, len);
	return err;
}

int itls_nl_done(struct itls_nl *nl, const struct itls_nl_done *done)
{
	int err = nl_send_done(nl, done, NLM_F_ACK);

	return err ? err : nl_answers(nl, nl_done_text, NULL, NULL);
}

int itls_nl_tell_done(struct itls_nl *nl, const struct itls_nl_done *done)
{
	return nl_send_done(nl, done, 0);
}

void itls_nl_on_refusal(struct itls_nl *nl, itls_nl_refusal_fn fn, void *arg)
{
	nl->refusal = fn;
	nl->refusal_arg = arg;
}

void nl_late(struct itls_nl *nl, const struct nlmsghdr *nlh)
{
	int err = nlh->nlmsg_type == NLMSG_ERROR ? nl_parse_error(nl, nlh, nl_done_text) : 0;

	if (err && nl->refusal)
		nl->refusal(err, nl->refusal_arg);
}
