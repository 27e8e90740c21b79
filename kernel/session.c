// SPDX-License-Identifier: GPL-2.0
/*
 * What netlink tells of sessions and does with them: SESSION_GET and REKEY.
 * Process context.
 */
#include <net/genetlink.h>

#include "itls.h"

static int put_peer(struct sk_buff *msg, const struct itls_peer *peer)
{
	int err = 0;

	if (peer->alpn[0])
		err = nla_put_string(msg, ITLS_A_SESSION_ALPN, peer->alpn);
	if (!err && peer->sni[0])
		err = nla_put_string(msg, ITLS_A_SESSION_SNI, peer->sni);
	if (!err && peer->digest_len)
		err = nla_put(msg, ITLS_A_SESSION_PEER_DIGEST,
			      peer->digest_len, peer->digest);
	if (!err && peer->subject[0])
		err = nla_put_string(msg, ITLS_A_SESSION_PEER_SUBJECT,
				     peer->subject);
	if (!err && peer->resumed)
		err = nla_put_flag(msg, ITLS_A_SESSION_RESUMED);
	return err;
}

static int put_counters(struct sk_buff *msg, const struct itls_ctx *ctx)
{
	return nla_put_u64_64bit(msg, ITLS_A_SESSION_TX_RECORDS,
				 READ_ONCE(ctx->tx_records),
				 ITLS_A_SESSION_PAD) ?:
	       nla_put_u64_64bit(msg, ITLS_A_SESSION_TX_BYTES,
				 READ_ONCE(ctx->tx_bytes),
				 ITLS_A_SESSION_PAD) ?:
	       nla_put_u64_64bit(msg, ITLS_A_SESSION_RX_RECORDS,
				 READ_ONCE(ctx->rx_records),
				 ITLS_A_SESSION_PAD) ?:
	       nla_put_u64_64bit(msg, ITLS_A_SESSION_RX_BYTES,
				 READ_ONCE(ctx->rx_bytes),
				 ITLS_A_SESSION_PAD) ?:
	       nla_put_u32(msg, ITLS_A_SESSION_TX_REKEYS,
			   READ_ONCE(ctx->tx_rekeys)) ?:
	       nla_put_u32(msg, ITLS_A_SESSION_RX_REKEYS,
			   READ_ONCE(ctx->rx_rekeys));
}

/* The context is referenced; what changes is read once, without its lock. */
static int put_session(struct sk_buff *msg, const struct itls_ctx *ctx)
{
	struct itls_mark *l = itls_mark_get(ctx);
	int state = itls_ctx_state(ctx);
	int err = 0;

	if (l)
		err = nla_put_string(msg, ITLS_A_SESSION_PROFILE, l->profile);
	itls_mark_put(l);
	err = err ?:
	      nla_put_u32(msg, ITLS_A_SESSION_ID, ctx->id) ?:
	      nla_put_u8(msg, ITLS_A_SESSION_STATE, state) ?:
	      nla_put_u8(msg, ITLS_A_SESSION_ROLE, ctx->role) ?:
	      itls_netlink_put_sockaddr(msg, ITLS_A_SESSION_LOCAL, ctx->sk, true) ?:
	      itls_netlink_put_sockaddr(msg, ITLS_A_SESSION_PEER, ctx->sk, false) ?:
	      nla_put_u32(msg, ITLS_A_SESSION_PID, ctx->pid) ?:
	      nla_put_string(msg, ITLS_A_SESSION_COMM, ctx->comm) ?:
	      nla_put_u16(msg, ITLS_A_SESSION_VERSION, ctx->version) ?:
	      nla_put_u16(msg, ITLS_A_SESSION_TX_CIPHER, ctx->tx_cipher) ?:
	      nla_put_u16(msg, ITLS_A_SESSION_RX_CIPHER, ctx->rx_cipher) ?:
	      nla_put_u32(msg, ITLS_A_SESSION_AGE,
			  jiffies_to_msecs(jiffies - ctx->born)) ?:
	      put_counters(msg, ctx);
	if (!err && ctx->verify)
		err = nla_put_u8(msg, ITLS_A_SESSION_VERIFY, ctx->verify);
	if (!err && state == ITLS_STATE_ESTABLISHED && ctx->peer)
		err = put_peer(msg, ctx->peer);
	return err;
}

static int dump_one(struct sk_buff *msg, struct netlink_callback *cb,
		    const struct itls_ctx *ctx)
{
	void *hdr = genlmsg_put(msg, NETLINK_CB(cb->skb).portid,
				cb->nlh->nlmsg_seq, genl_info_dump(cb)->family,
				NLM_F_MULTI, ITLS_CMD_SESSION_GET);

	if (!hdr)
		return -EMSGSIZE;
	if (put_session(msg, ctx)) {
		genlmsg_cancel(msg, hdr);
		return -EMSGSIZE;
	}
	genlmsg_end(msg, hdr);
	return 0;
}

int itls_session_start(struct netlink_callback *cb)
{
	return itls_netlink_check_admin(cb->skb, sock_net(cb->skb->sk), cb->extack);
}

/* Takes the sessions in the order of their numbers; args[0]: the next one. */
int itls_session_dumpit(struct sk_buff *msg, struct netlink_callback *cb)
{
	struct itls_net *in = itls_stats_net(sock_net(msg->sk));
	unsigned long id = cb->args[0];
	int err = 0;

	while (!err && xa_find(&in->sessions, &id, ULONG_MAX, XA_PRESENT)) {
		struct itls_ctx *ctx = itls_ctx_lookup(sock_net(msg->sk), id);

		if (ctx) {
			err = dump_one(msg, cb, ctx);
			itls_ctx_put(ctx);
		}
		if (!err)
			id++;
	}
	cb->args[0] = id;
	return msg->len ?: err;
}

/* ---- REKEY --------------------------------------------------------------- */

const struct nla_policy itls_rekey_policy[ITLS_A_REKEY_MAX + 1] = {
	[ITLS_A_REKEY_ID]	= { .type = NLA_U32 },
	[ITLS_A_REKEY_PEER]	= { .type = NLA_FLAG },
};

static int rekey(struct genl_info *info, struct itls_ctx *ctx)
{
	bool peer = nla_get_flag(info->attrs[ITLS_A_REKEY_PEER]);
	struct sock *sk = ctx->sk;
	int err = -EPIPE;

	lock_sock(sk);
	if (itls_ctx_state(ctx) == ITLS_STATE_ESTABLISHED)
		err = itls_update_ask(sk, ctx, peer);
	release_sock(sk);
	if (err == -EOPNOTSUPP)
		NL_SET_ERR_MSG(info->extack, "TLS 1.2, or a program has the keys");
	if (err != -EPIPE)
		return err;
	NL_SET_ERR_MSG(info->extack, "this session is not established, or ending");
	return -ESRCH;
}

int itls_session_rekey_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct net *net = genl_info_net(info);
	int err = itls_netlink_check_admin(skb, net, info->extack);
	struct itls_ctx *ctx;

	if (err)
		return err;
	if (GENL_REQ_ATTR_CHECK(info, ITLS_A_REKEY_ID))
		return -EINVAL;
	ctx = itls_ctx_lookup(net, nla_get_u32(info->attrs[ITLS_A_REKEY_ID]));
	if (!ctx) {
		NL_SET_ERR_MSG(info->extack, "there is no such session");
		return -ESRCH;
	}
	err = rekey(info, ctx);
	itls_ctx_put(ctx);
	return err;
}
