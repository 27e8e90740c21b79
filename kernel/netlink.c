// SPDX-License-Identifier: GPL-2.0
/*
 * Generic netlink family "itls": agents register and take handshakes; what
 * else they and administrators say is in done.c and session.c.  The messages
 * are specified in itls.yaml.
 *
 * Process context.  Policies check the shape of a message, the *_check
 * functions its meaning; every refusal leaves a word in extack and changes
 * nothing.
 */
#include <linux/capability.h>
#include <linux/file.h>
#include <linux/netlink.h>
#include <linux/notifier.h>
#include <net/genetlink.h>
#include <net/ipv6.h>

#include "itls.h"

static struct genl_family itls_genl_family;

/* ---- permission ------------------------------------------------------------------ */

int itls_netlink_check_admin(const struct sk_buff *skb, struct net *net,
			     struct netlink_ext_ack *extack)
{
	if (netlink_ns_capable(skb, net->user_ns, CAP_NET_ADMIN))
		return 0;
	NL_SET_ERR_MSG(extack, "needs CAP_NET_ADMIN in the network namespace's user namespace");
	return -EPERM;
}

int itls_netlink_check_agent(const struct sk_buff *skb,
			     const struct genl_info *info)
{
	int err = itls_netlink_check_admin(skb, genl_info_net(info), info->extack);

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
	int err = itls_netlink_check_admin(skb, genl_info_net(info), info->extack);

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

/* One end of a connection, as a struct sockaddr_in or sockaddr_in6. */
int itls_netlink_put_sockaddr(struct sk_buff *msg, int attr,
			      const struct sock *sk, bool local)
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

static int put_credentials(struct sk_buff *msg,
			   const struct itls_credentials *creds)
{
	static const int attrs[__ITLS_CREDENTIAL_MAX] = {
		[ITLS_CREDENTIAL_CA]	= ITLS_A_ACCEPT_CA,
		[ITLS_CREDENTIAL_CERT]	= ITLS_A_ACCEPT_CERT,
		[ITLS_CREDENTIAL_KEY]	= ITLS_A_ACCEPT_KEY,
	};
	const u8 *pem = creds->pem;
	int i, err = 0;

	for (i = 0; !err && i < __ITLS_CREDENTIAL_MAX; i++) {
		if (creds->len[i])
			err = nla_put(msg, attrs[i], creds->len[i], pem);
		pem += creds->len[i];
	}
	return err;
}

static size_t credentials_size(const struct itls_credentials *creds)
{
	size_t size = 0;
	int i;

	for (i = 0; creds && i < __ITLS_CREDENTIAL_MAX; i++)
		size += nla_total_size(creds->len[i]);
	return size;
}

static int put_client(struct sk_buff *msg, const struct itls_mark *l,
		      const struct itls_credentials *creds)
{
	return nla_put_string(msg, ITLS_A_ACCEPT_SERVER_NAME, l->server_name) ?:
	       (creds ? put_credentials(msg, creds) : 0);
}

static int put_request(struct sk_buff *msg, const struct itls_ctx *ctx, int fd,
		       const struct itls_credentials *creds)
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
	       itls_netlink_put_sockaddr(msg, ITLS_A_ACCEPT_LOCAL, ctx->sk, true) ?:
	       itls_netlink_put_sockaddr(msg, ITLS_A_ACCEPT_PEER, ctx->sk, false) ?:
	       nla_put_u8(msg, ITLS_A_ACCEPT_ROLE, ctx->role) ?:
	       (ctx->role == ITLS_ROLE_CLIENT ? put_client(msg, l, creds) : 0);
}

/* Answers with one request; the descriptor exists once the answer is sent. */
static int reply_request(struct genl_info *info, const struct itls_ctx *ctx,
			 int fd, const struct itls_credentials *creds)
{
	struct sk_buff *msg;
	void *hdr;

	msg = genlmsg_new(GENLMSG_DEFAULT_SIZE + credentials_size(creds),
			  GFP_KERNEL);
	if (!msg)
		return -ENOMEM;
	hdr = genlmsg_iput(msg, info);
	if (!hdr || put_request(msg, ctx, fd, creds)) {
		memzero_explicit(msg->data, msg->len);
		nlmsg_free(msg);
		return -EMSGSIZE;
	}
	genlmsg_end(msg, hdr);
	return genlmsg_reply(msg, info);
}

/*
 * Gives a request to the agent.  If that cannot be, for want of memory, of a
 * descriptor, or of room in the agent's socket, it waits for another try; once
 * it is the agent's, it ends with the channel.
 */
static int hand_over(struct genl_info *info, struct itls_ctx *ctx)
{
	struct itls_credentials *creds = xchg(&ctx->credentials, NULL);
	struct file *file;
	int fd, err;

	file = itls_channel_open(ctx);
	if (IS_ERR(file)) {
		err = PTR_ERR(file);
		goto err_return;
	}
	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0) {
		err = fd;
		goto err_file;
	}
	err = reply_request(info, ctx, fd, creds);
	if (err)
		goto err_fd;
	itls_mark_free_credentials(creds);
	itls_stats_add(ctx->sk, ITLS_STAT_HS_ACCEPTED, 1);
	fd_install(fd, file);
	return 0;

err_fd:
	put_unused_fd(fd);
err_file:
	itls_channel_abandon(file);
err_return:
	itls_request_return(ctx, creds);
	/* -EAGAIN means that no handshake waits. */
	return err == -EAGAIN ? -ENOBUFS : err;
}

static int itls_nl_accept_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct itls_ctx *ctx;
	int err = itls_netlink_check_agent(skb, info);

	if (err)
		return err;
	ctx = itls_request_accept(genl_info_net(info), info->snd_portid);
	if (!ctx) {
		NL_SET_ERR_MSG(info->extack, "no handshake waits");
		return -EAGAIN;
	}
	err = hand_over(info, ctx);
	if (err)
		NL_SET_ERR_MSG(info->extack, "could not be handed over: it waits for another try");
	return err;
}

/* ---- TICKET --------------------------------------------------------------- */

/*
 * A client received a session ticket; process context, the socket is locked.
 * It goes to the agent that made the handshake, if that is there still: others
 * could make nothing of it.  A ticket that is lost is missed by nobody.
 */
static void send_ticket(struct itls_ctx *ctx, const u8 *ticket, size_t len)
{
	struct net *net = sock_net(ctx->sk);
	u32 portid = READ_ONCE(ctx->req.portid);
	struct sk_buff *msg;
	void *hdr;

	if (!itls_request_is_agent(net, portid))
		return;
	msg = genlmsg_new(nla_total_size(sizeof(u32)) + nla_total_size(len),
			  GFP_KERNEL);
	if (!msg)
		return;
	hdr = genlmsg_put(msg, 0, 0, &itls_genl_family, 0, ITLS_CMD_TICKET);
	if (!hdr || nla_put_u32(msg, ITLS_A_TICKET_ID, ctx->id) ||
	    nla_put(msg, ITLS_A_TICKET_MESSAGE, len, ticket)) {
		nlmsg_free(msg);
		return;
	}
	genlmsg_end(msg, hdr);
	genlmsg_unicast(net, msg, portid);
}

/* ---- the family ------------------------------------------------------------------------ */

static const struct genl_ops itls_genl_ops[] = {
	{
		.cmd = ITLS_CMD_AGENT,
		.doit = itls_nl_agent_doit,
	}, {
		.cmd = ITLS_CMD_ACCEPT,
		.doit = itls_nl_accept_doit,
	}, {
		.cmd = ITLS_CMD_DONE,
		.doit = itls_done_doit,
		.policy = itls_done_policy,
		.maxattr = ITLS_A_DONE_MAX,
	}, {
		.cmd = ITLS_CMD_SESSION_GET,
		.start = itls_session_start,
		.dumpit = itls_session_dumpit,
	}, {
		.cmd = ITLS_CMD_REKEY,
		.doit = itls_session_rekey_doit,
		.policy = itls_rekey_policy,
		.maxattr = ITLS_A_REKEY_MAX,
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

int itls_netlink_init(void)
{
	int err;

	itls_request_set_announcer(announce_ready);
	itls_message_set_ticket_sink(send_ticket);
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
