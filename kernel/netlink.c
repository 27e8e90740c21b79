// SPDX-License-Identifier: GPL-2.0
/*
 * Generic netlink family "itls": agents register, take handshakes and finish
 * them; sessions are dumped.  The messages are specified in itls.yaml.
 *
 * Process context.  Policies check the shape of a message, the *_check
 * functions its meaning; every refusal leaves a word in extack and changes
 * nothing.
 */
#include <linux/capability.h>
#include <linux/file.h>
#include <linux/netlink.h>
#include <linux/notifier.h>
#include <linux/slab.h>
#include <net/genetlink.h>
#include <net/ipv6.h>

#include "itls.h"

static struct genl_family itls_genl_family;

/* ---- permission ------------------------------------------------------------------ */

static int admin_check(const struct sk_buff *skb, struct net *net,
		       struct netlink_ext_ack *extack)
{
	if (netlink_ns_capable(skb, net->user_ns, CAP_NET_ADMIN))
		return 0;
	NL_SET_ERR_MSG(extack, "needs CAP_NET_ADMIN in the network namespace's user namespace");
	return -EPERM;
}

static int agent_check(const struct sk_buff *skb, const struct genl_info *info)
{
	int err = admin_check(skb, genl_info_net(info), info->extack);

	if (err)
		return err;
	if (itls_request_is_agent(genl_info_net(info), info->snd_portid))
		return 0;
	NL_SET_ERR_MSG(info->extack, "not registered as an agent: send AGENT first");
	return -EPERM;
}

/* ---- agents ----------------------------------------------------------------------- */

static int itls_nl_agent_doit(struct sk_buff *skb, struct genl_info *info)
{
	int err = admin_check(skb, genl_info_net(info), info->extack);

	if (err)
		return err;
	err = itls_request_add_agent(genl_info_net(info), info->snd_portid);
	if (err == -EALREADY)
		NL_SET_ERR_MSG(info->extack, "this socket is registered already");
	return err;
}

static int netlink_event(struct notifier_block *nb, unsigned long event,
			 void *ptr)
{
	struct netlink_notify *notify = ptr;

	if (event == NETLINK_URELEASE && notify->protocol == NETLINK_GENERIC)
		itls_request_remove_agent(notify->net, notify->portid);
	return NOTIFY_DONE;
}

static struct notifier_block netlink_notifier = {
	.notifier_call = netlink_event,
};

/* READY: tells every agent that a request waits; whoever asks first gets it. */
static void announce_ready(struct net *net)
{
	struct sk_buff *msg = genlmsg_new(0, GFP_KERNEL);
	void *hdr;

	/* Agents take ENOBUFS for a READY that they missed. */
	if (!msg) {
		genl_set_err(&itls_genl_family, net, 0, 0, -ENOBUFS);
		return;
	}
	hdr = genlmsg_put(msg, 0, 0, &itls_genl_family, 0, ITLS_CMD_READY);
	if (!hdr) {
		nlmsg_free(msg);
		return;
	}
	genlmsg_end(msg, hdr);
	genlmsg_multicast_netns(&itls_genl_family, net, msg, 0, 0, GFP_KERNEL);
}

/* ---- ACCEPT ------------------------------------------------------------------------ */

static int put_sockaddr(struct sk_buff *msg, int attr, const struct sock *sk,
			bool local)
{
	const struct inet_sock *inet = inet_sk(sk);
	__be16 port = local ? inet->inet_sport : inet->inet_dport;
	struct sockaddr_in sin = {
		.sin_family = AF_INET,
		.sin_port = port,
		.sin_addr.s_addr = local ? inet->inet_saddr : inet->inet_daddr,
	};

#if IS_ENABLED(CONFIG_IPV6)
	if (sk->sk_family == AF_INET6) {
		struct sockaddr_in6 sin6 = {
			.sin6_family = AF_INET6,
			.sin6_port = port,
			.sin6_addr = local ? inet6_sk(sk)->saddr :
					     sk->sk_v6_daddr,
		};

		sin6.sin6_scope_id =
			ipv6_iface_scope_id(&sin6.sin6_addr,
					    READ_ONCE(sk->sk_bound_dev_if));

		return nla_put(msg, attr, sizeof(sin6), &sin6);
	}
#endif
	return nla_put(msg, attr, sizeof(sin), &sin);
}

static int put_request(struct sk_buff *msg, const struct itls_ctx *ctx, int fd)
{
	const struct itls_mark *l =
		rcu_dereference_protected(ctx->mark, true);

	return nla_put_u32(msg, ITLS_A_ACCEPT_ID, ctx->id) ?:
	       nla_put_s32(msg, ITLS_A_ACCEPT_FD, fd) ?:
	       nla_put_string(msg, ITLS_A_ACCEPT_PROFILE, l->profile) ?:
	       nla_put_u32(msg, ITLS_A_ACCEPT_DEADLINE,
			   itls_request_deadline(ctx)) ?:
	       nla_put_u32(msg, ITLS_A_ACCEPT_OWNER_UID, l->uid) ?:
	       nla_put_u32(msg, ITLS_A_ACCEPT_OWNER_PID, l->pid) ?:
	       nla_put_string(msg, ITLS_A_ACCEPT_OWNER_COMM, l->comm) ?:
	       put_sockaddr(msg, ITLS_A_ACCEPT_LOCAL, ctx->sk, true) ?:
	       put_sockaddr(msg, ITLS_A_ACCEPT_PEER, ctx->sk, false);
}

/* Answers with one request; the descriptor exists once the answer is sent. */
static int reply_request(struct genl_info *info, const struct itls_ctx *ctx,
			 int fd)
{
	struct sk_buff *msg = genlmsg_new(GENLMSG_DEFAULT_SIZE, GFP_KERNEL);
	void *hdr;

	if (!msg)
		return -ENOMEM;
	hdr = genlmsg_iput(msg, info);
	if (!hdr || put_request(msg, ctx, fd)) {
		nlmsg_free(msg);
		return -EMSGSIZE;
	}
	genlmsg_end(msg, hdr);
	return genlmsg_reply(msg, info);
}

/*
 * From here on the request is the agent's: any failure to hand it over ends
 * it, through the release of the channel.
 */
static int hand_over(struct genl_info *info, struct itls_ctx *ctx)
{
	struct file *file = itls_channel_open(ctx);
	int fd, err;

	if (IS_ERR(file)) {
		itls_request_fail(ctx, -ECONNABORTED, ITLS_STAT_HS_AGENT_GONE);
		itls_ctx_put(ctx);
		return PTR_ERR(file);
	}
	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0) {
		fput(file);
		return fd;
	}
	err = reply_request(info, ctx, fd);
	if (err) {
		put_unused_fd(fd);
		fput(file);
		/* -EAGAIN means that no handshake waits. */
		return err == -EAGAIN ? -ENOBUFS : err;
	}
	itls_stats_add(ctx->sk, ITLS_STAT_HS_ACCEPTED, 1);
	fd_install(fd, file);
	return 0;
}

static int itls_nl_accept_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct itls_ctx *ctx;
	int err = agent_check(skb, info);

	if (err)
		return err;
	ctx = itls_request_accept(genl_info_net(info), info->snd_portid);
	if (!ctx) {
		NL_SET_ERR_MSG(info->extack, "no handshake waits");
		return -EAGAIN;
	}
	err = hand_over(info, ctx);
	if (err)
		NL_SET_ERR_MSG(info->extack, "the handshake could not be handed over");
	return err;
}

/* ---- DONE --------------------------------------------------------------------------- */

/* What a DONE message brings, built before anything is changed. */
struct outcome {
	struct itls_tx *tx;
	struct itls_rx *rx;
	struct itls_peer *peer;
};

static void outcome_free(struct outcome *o)
{
	itls_tx_free(o->tx);
	itls_rx_free(o->rx);
	kfree(o->peer);
}

static int key_check(struct genl_info *info, int attr, struct itls_keyinfo *key)
{
	const struct nlattr *nla = info->attrs[attr];

	if (!nla) {
		NL_SET_ERR_MSG(info->extack, "status 0 needs the keys of both directions");
		return -EINVAL;
	}
	if (nla_len(nla) > sizeof(key->raw))
		goto err_bad;
	key->len = nla_len(nla);
	memcpy(key->raw, nla_data(nla), key->len);
	if (!itls_cipher_check(key))
		return 0;
err_bad:
	NL_SET_ERR_MSG_ATTR(info->extack, nla, "unknown version, cipher or length of a key");
	return -EINVAL;
}

static struct itls_peer *peer_alloc(struct genl_info *info)
{
	const struct nlattr *alpn = info->attrs[ITLS_A_DONE_ALPN];
	const struct nlattr *sni = info->attrs[ITLS_A_DONE_SNI];
	const struct nlattr *digest = info->attrs[ITLS_A_DONE_PEER_DIGEST];
	size_t alpn_len = alpn ? nla_len(alpn) : 1;
	size_t sni_len = sni ? nla_len(sni) : 1;
	struct itls_peer *peer;

	peer = kzalloc(struct_size(peer, strings, alpn_len + sni_len),
		       GFP_KERNEL);
	if (!peer)
		return NULL;
	peer->alpn = peer->strings;
	peer->sni = peer->strings + alpn_len;
	if (alpn)
		nla_strscpy(peer->strings, alpn, alpn_len);
	if (sni)
		nla_strscpy(peer->strings + alpn_len, sni, sni_len);
	if (digest) {
		peer->digest_len = nla_len(digest);
		memcpy(peer->digest, nla_data(digest), peer->digest_len);
	}
	peer->resumed = nla_get_flag(info->attrs[ITLS_A_DONE_RESUMED]);
	return peer;
}

static int outcome_build(struct genl_info *info, const struct itls_keyinfo *tx,
			 const struct itls_keyinfo *rx, struct outcome *o)
{
	const struct nlattr *prefix = info->attrs[ITLS_A_DONE_PREFIX];
	int err;

	o->tx = itls_tx_alloc(tx, false);
	if (IS_ERR(o->tx)) {
		err = PTR_ERR(o->tx);
		o->tx = NULL;
		return err;
	}
	o->rx = itls_rx_alloc(rx, false);
	if (IS_ERR(o->rx)) {
		err = PTR_ERR(o->rx);
		o->rx = NULL;
		return err;
	}
	o->peer = peer_alloc(info);
	if (!o->peer)
		return -ENOMEM;
	if (prefix && nla_len(prefix))
		return itls_rx_prefix(o->rx, nla_data(prefix), nla_len(prefix));
	return 0;
}

static int outcome_check(struct genl_info *info, struct outcome *o)
{
	struct itls_keyinfo tx = {}, rx = {};
	int err;

	err = key_check(info, ITLS_A_DONE_TX, &tx) ?:
	      key_check(info, ITLS_A_DONE_RX, &rx);
	if (!err && (tx.info.version != rx.info.version ||
		     tx.info.cipher_type != rx.info.cipher_type)) {
		NL_SET_ERR_MSG(info->extack, "the directions differ in version or cipher");
		err = -EINVAL;
	}
	if (!err) {
		err = outcome_build(info, &tx, &rx, o);
		if (err)
			NL_SET_ERR_MSG(info->extack, "no memory, or no such cipher in this kernel");
	}
	memzero_explicit(&tx, sizeof(tx));
	memzero_explicit(&rx, sizeof(rx));
	return err;
}

static int has_ended(struct genl_info *info)
{
	NL_SET_ERR_MSG(info->extack, "this handshake has ended: deadline, peer or server gone");
	return -ESRCH;
}

/* The winner's part of a successful DONE. */
static int establish(struct genl_info *info, struct itls_ctx *ctx,
		     struct outcome *o)
{
	struct sock *sk = ctx->sk;
	int err = -ESRCH;

	lock_sock(sk);
	if (itls_ctx_state(ctx) == ITLS_STATE_PENDING &&
	    !(sk->sk_shutdown & SEND_SHUTDOWN)) {
		ctx->peer = o->peer;
		o->peer = NULL;
		err = itls_ctx_install(ctx, o->tx, o->rx);
	}
	if (!err) {
		o->tx = NULL;
		o->rx = NULL;
		WRITE_ONCE(sk->sk_rcvlowat, ctx->rcvlowat);
		itls_stats_add(sk, ITLS_STAT_HS_DONE, 1);
		itls_rx_settle(sk, ctx->rx);
		if (itls_rx_is_ready(ctx->rx))
			ctx->saved.data_ready(sk);
		ctx->saved.state_change(sk);
	}
	release_sock(sk);
	if (!err)
		return 0;
	/* close() or shutdown() was faster; if not, the context must not stay PENDING. */
	itls_stats_add(sk, ITLS_STAT_HS_SERVER_GONE, 1);
	itls_ctx_fail(ctx, -ECONNABORTED);
	return has_ended(info);
}

static int done_established(struct genl_info *info, struct itls_ctx *ctx)
{
	struct outcome o = {};
	int err = outcome_check(info, &o);

	if (!err)
		err = itls_request_complete(ctx) ? establish(info, ctx, &o) :
						   has_ended(info);
	outcome_free(&o);
	return err;
}

static int done_failed(struct genl_info *info, struct itls_ctx *ctx, u32 status)
{
	int counter = ITLS_STAT_HS_FAILED;
	int err = -ECONNABORTED;

	if (!itls_request_complete(ctx))
		return has_ended(info);
	if (info->attrs[ITLS_A_DONE_ALERT_TX])
		ctx->alert_tx = nla_get_u8(info->attrs[ITLS_A_DONE_ALERT_TX]);
	if (info->attrs[ITLS_A_DONE_ALERT_RX])
		ctx->alert_rx = nla_get_u8(info->attrs[ITLS_A_DONE_ALERT_RX]);
	if (status == ECONNRESET || status == EPIPE)
		counter = ITLS_STAT_HS_PEER_GONE;
	if (status == ETIMEDOUT) {
		counter = ITLS_STAT_HS_TIMEOUT;
		err = -ETIMEDOUT;
	}
	itls_stats_add(ctx->sk, counter, 1);
	itls_ctx_fail(ctx, err);
	return 0;
}

/* Keys do not stay behind in the buffer the message came in. */
static void wipe_message(struct genl_info *info)
{
	memzero_explicit(genlmsg_data(info->genlhdr),
			 genlmsg_len(info->genlhdr));
}

static int done_check(const struct genl_info *info, const struct itls_ctx *ctx)
{
	if (!info->attrs[ITLS_A_DONE_STATUS]) {
		NL_SET_ERR_MSG(info->extack, "a status is missing");
		return -EINVAL;
	}
	if (READ_ONCE(ctx->req.portid) != info->snd_portid) {
		NL_SET_ERR_MSG(info->extack, "this handshake was not given to this agent");
		return -EPERM;
	}
	return 0;
}

static int done_ctx(struct genl_info *info, struct itls_ctx *ctx)
{
	u32 status;
	int err = done_check(info, ctx);

	if (err)
		return err;
	if (!itls_request_is_pending(ctx))
		return has_ended(info);
	status = nla_get_u32(info->attrs[ITLS_A_DONE_STATUS]);
	return status ? done_failed(info, ctx, status) :
			done_established(info, ctx);
}

static int itls_nl_done_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct itls_ctx *ctx;
	int err = agent_check(skb, info);

	if (err)
		goto out;
	err = -EINVAL;
	if (!info->attrs[ITLS_A_DONE_ID]) {
		NL_SET_ERR_MSG(info->extack, "a session number is missing");
		goto out;
	}
	ctx = itls_ctx_lookup(genl_info_net(info),
			      nla_get_u32(info->attrs[ITLS_A_DONE_ID]));
	if (ctx) {
		err = done_ctx(info, ctx);
		itls_ctx_put(ctx);
	} else {
		err = has_ended(info);
	}
out:
	wipe_message(info);
	return err;
}

/* ---- SESSION_GET ---------------------------------------------------------------------- */

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
				 ITLS_A_SESSION_PAD);
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
	      put_sockaddr(msg, ITLS_A_SESSION_LOCAL, ctx->sk, true) ?:
	      put_sockaddr(msg, ITLS_A_SESSION_PEER, ctx->sk, false) ?:
	      nla_put_u32(msg, ITLS_A_SESSION_PID, ctx->pid) ?:
	      nla_put_string(msg, ITLS_A_SESSION_COMM, ctx->comm) ?:
	      nla_put_u16(msg, ITLS_A_SESSION_VERSION, ctx->version) ?:
	      nla_put_u16(msg, ITLS_A_SESSION_TX_CIPHER, ctx->tx_cipher) ?:
	      nla_put_u16(msg, ITLS_A_SESSION_RX_CIPHER, ctx->rx_cipher) ?:
	      nla_put_u32(msg, ITLS_A_SESSION_AGE,
			  jiffies_to_msecs(jiffies - ctx->born)) ?:
	      put_counters(msg, ctx);
	if (!err && state == ITLS_STATE_ESTABLISHED && ctx->peer)
		err = put_peer(msg, ctx->peer);
	return err;
}

static int dump_one(struct sk_buff *msg, struct netlink_callback *cb,
		    const struct itls_ctx *ctx)
{
	void *hdr = genlmsg_put(msg, NETLINK_CB(cb->skb).portid,
				cb->nlh->nlmsg_seq, &itls_genl_family,
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

static int itls_nl_session_start(struct netlink_callback *cb)
{
	return admin_check(cb->skb, sock_net(cb->skb->sk), cb->extack);
}

/* Takes the sessions in the order of their numbers; args[0]: the next one. */
static int itls_nl_session_dumpit(struct sk_buff *msg,
				  struct netlink_callback *cb)
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

/* ---- the family ------------------------------------------------------------------------ */

static const struct nla_policy done_policy[ITLS_A_DONE_MAX + 1] = {
	[ITLS_A_DONE_ID]	= { .type = NLA_U32 },
	[ITLS_A_DONE_STATUS]	= NLA_POLICY_MAX(NLA_U32, MAX_ERRNO),
	[ITLS_A_DONE_TX]	= { .type = NLA_BINARY, .len = ITLS_KEYINFO_MAX },
	[ITLS_A_DONE_RX]	= { .type = NLA_BINARY, .len = ITLS_KEYINFO_MAX },
	[ITLS_A_DONE_ALPN]	= { .type = NLA_NUL_STRING,
				    .len = ITLS_ALPN_MAX },
	[ITLS_A_DONE_SNI]	= { .type = NLA_NUL_STRING,
				    .len = ITLS_SNI_MAX },
	[ITLS_A_DONE_PEER_DIGEST] = NLA_POLICY_EXACT_LEN(ITLS_DIGEST_LEN),
	[ITLS_A_DONE_RESUMED]	= { .type = NLA_FLAG },
	[ITLS_A_DONE_PREFIX]	= { .type = NLA_BINARY, .len = ITLS_PREFIX_MAX },
	[ITLS_A_DONE_ALERT_TX]	= { .type = NLA_U8 },
	[ITLS_A_DONE_ALERT_RX]	= { .type = NLA_U8 },
};

static const struct genl_ops itls_genl_ops[] = {
	{
		.cmd = ITLS_CMD_AGENT,
		.doit = itls_nl_agent_doit,
	}, {
		.cmd = ITLS_CMD_ACCEPT,
		.doit = itls_nl_accept_doit,
	}, {
		.cmd = ITLS_CMD_DONE,
		.doit = itls_nl_done_doit,
		.policy = done_policy,
		.maxattr = ITLS_A_DONE_MAX,
	}, {
		.cmd = ITLS_CMD_SESSION_GET,
		.start = itls_nl_session_start,
		.dumpit = itls_nl_session_dumpit,
	},
};

static const struct genl_multicast_group itls_genl_groups[] = {
	{ .name = ITLS_MCGRP_AGENT, .flags = GENL_UNS_ADMIN_PERM },
};

static struct genl_family itls_genl_family __ro_after_init = {
	.name = ITLS_GENL_NAME,
	.version = ITLS_GENL_VERSION,
	.netnsok = true,
	.parallel_ops = true,
	.module = THIS_MODULE,
	.ops = itls_genl_ops,
	.n_ops = ARRAY_SIZE(itls_genl_ops),
	.resv_start_op = ITLS_CMD_AGENT,
	.mcgrps = itls_genl_groups,
	.n_mcgrps = ARRAY_SIZE(itls_genl_groups),
};

int __init itls_netlink_init(void)
{
	int err;

	itls_request_set_announcer(announce_ready);
	err = netlink_register_notifier(&netlink_notifier);
	if (err)
		return err;
	err = genl_register_family(&itls_genl_family);
	if (err)
		netlink_unregister_notifier(&netlink_notifier);
	return err;
}

void itls_netlink_exit(void)
{
	struct net *net;

	genl_unregister_family(&itls_genl_family);
	netlink_unregister_notifier(&netlink_notifier);
	down_read(&net_rwsem);
	for_each_net(net)
		itls_request_drop_agents(net);
	up_read(&net_rwsem);
}
