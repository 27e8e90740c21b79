// SPDX-License-Identifier: GPL-2.0
/* Established sessions: the list of them, and changes of their keys. */
#include <errno.h>
#include <string.h>

#include "nl_inside.h"

#define NL_SESSION(attr, kind, member) \
	NL_FIELD(ITLS_A_SESSION_##attr, kind, struct itls_nl_session, member)

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

	nl_field_parse(nlh, nl_session_fields, &s);
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
