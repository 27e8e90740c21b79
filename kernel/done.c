// SPDX-License-Identifier: GPL-2.0
/*
 * The netlink message DONE: how an agent's handshake ended.  Process context.
 *
 * What it brings is checked and built first; then one bit decides whether it
 * came in time, and only then anything of the socket is changed.
 */
#include <linux/slab.h>
#include <net/genetlink.h>

#include "itls.h"

const struct nla_policy itls_done_policy[ITLS_A_DONE_MAX + 1] = {
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
	[ITLS_A_DONE_TX_SECRET]	= { .type = NLA_BINARY, .len = ITLS_SECRET_MAX },
	[ITLS_A_DONE_RX_SECRET]	= { .type = NLA_BINARY, .len = ITLS_SECRET_MAX },
	[ITLS_A_DONE_REKEY_RECORDS] = NLA_POLICY_MIN(NLA_U64, 1),
	[ITLS_A_DONE_REKEY_BYTES] = NLA_POLICY_MIN(NLA_U64, 1),
	[ITLS_A_DONE_VERIFY]	= NLA_POLICY_MAX(NLA_U8, __ITLS_VERIFY_MAX - 1),
	[ITLS_A_DONE_PEER_SUBJECT] = { .type = NLA_NUL_STRING,
				       .len = ITLS_SUBJECT_MAX },
	[ITLS_A_DONE_RECORD_SIZING] = NLA_POLICY_MAX(NLA_U8,
						     __ITLS_RECORD_SIZING_MAX - 1),
};

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

/* With its NUL. */
static size_t string_size(const struct genl_info *info, int attr)
{
	return info->attrs[attr] ? nla_len(info->attrs[attr]) + 1 : 1;
}

static const char *string_take(const struct genl_info *info, int attr, char **at)
{
	char *string = *at;

	if (info->attrs[attr])
		nla_strscpy(string, info->attrs[attr], string_size(info, attr));
	*at += string_size(info, attr);
	return string;
}

static struct itls_peer *peer_alloc(struct genl_info *info)
{
	const struct nlattr *digest = info->attrs[ITLS_A_DONE_PEER_DIGEST];
	struct itls_peer *peer;
	char *at;

	peer = kzalloc(struct_size(peer, strings,
				   string_size(info, ITLS_A_DONE_ALPN) +
				   string_size(info, ITLS_A_DONE_SNI) +
				   string_size(info, ITLS_A_DONE_PEER_SUBJECT)),
		       GFP_KERNEL);
	if (!peer)
		return NULL;
	at = peer->strings;
	peer->alpn = string_take(info, ITLS_A_DONE_ALPN, &at);
	peer->sni = string_take(info, ITLS_A_DONE_SNI, &at);
	peer->subject = string_take(info, ITLS_A_DONE_PEER_SUBJECT, &at);
	if (digest) {
		peer->digest_len = nla_len(digest);
		memcpy(peer->digest, nla_data(digest), peer->digest_len);
	}
	peer->resumed = nla_get_flag(info->attrs[ITLS_A_DONE_RESUMED]);
	return peer;
}

static u64 u64_of(const struct genl_info *info, int attr)
{
	return info->attrs[attr] ? nla_get_u64(info->attrs[attr]) : 0;
}

static bool wants_full_records(const struct genl_info *info)
{
	const struct nlattr *nla = info->attrs[ITLS_A_DONE_RECORD_SIZING];

	return nla && nla_get_u8(nla) == ITLS_RECORD_SIZING_THROUGHPUT;
}

/* A TLS 1.3 connection outlives its keys: their successors are the kernel's. */
static int secret_take(struct genl_info *info, int attr,
		       const struct itls_keyinfo *key, struct itls_secret *secret)
{
	const struct nlattr *nla = info->attrs[attr];
	int err = -EINVAL;

	if (key->info.version != TLS_1_3_VERSION)
		return 0;
	if (nla)
		err = itls_secret_init(secret, nla_data(nla), nla_len(nla),
				       key->desc);
	if (err == -EINVAL)
		NL_SET_ERR_MSG(info->extack, "TLS 1.3 needs two secrets as long as its hash");
	return err;
}

static int outcome_build(struct genl_info *info, const struct itls_keyinfo *tx,
			 const struct itls_keyinfo *rx, struct outcome *o)
{
	const struct nlattr *prefix = info->attrs[ITLS_A_DONE_PREFIX];
	int err;

	o->tx = itls_tx_alloc(tx);
	if (IS_ERR(o->tx)) {
		err = PTR_ERR(o->tx);
		o->tx = NULL;
		return err;
	}
	o->rx = itls_rx_alloc(rx);
	if (IS_ERR(o->rx)) {
		err = PTR_ERR(o->rx);
		o->rx = NULL;
		return err;
	}
	err = secret_take(info, ITLS_A_DONE_TX_SECRET, tx, &o->tx->secret) ?:
	      secret_take(info, ITLS_A_DONE_RX_SECRET, rx, &o->rx->secret);
	if (err)
		return err;
	itls_update_init(o->tx, u64_of(info, ITLS_A_DONE_REKEY_RECORDS),
			 u64_of(info, ITLS_A_DONE_REKEY_BYTES));
	o->tx->sizing.grows = !wants_full_records(info);
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
		if (err && err != -EINVAL)
			NL_SET_ERR_MSG(info->extack, "no memory, or no such cipher in this kernel");
	}
	memzero_explicit(&tx, sizeof(tx));
	memzero_explicit(&rx, sizeof(rx));
	return err;
}

static u8 verify_of(const struct genl_info *info)
{
	const struct nlattr *nla = info->attrs[ITLS_A_DONE_VERIFY];

	return nla ? nla_get_u8(nla) : ITLS_VERIFY_NONE;
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
		ctx->verify = verify_of(info);
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

/* What the program sees; a server has no use for the reason. */
static int failure_of(const struct itls_ctx *ctx, u32 status)
{
	static const int told[] = {
		EKEYREJECTED, EPROTO, ECONNRESET, ENOENT, EACCES, EINVAL,
	};
	size_t i;

	if (status == ETIMEDOUT)
		return -ETIMEDOUT;
	for (i = 0; ctx->role == ITLS_ROLE_CLIENT && i < ARRAY_SIZE(told); i++)
		if (status == told[i])
			return -told[i];
	return -ECONNABORTED;
}

static int counter_of(u32 status)
{
	switch (status) {
	case ECONNRESET:
	case EPIPE:
		return ITLS_STAT_HS_PEER_GONE;
	case ETIMEDOUT:
		return ITLS_STAT_HS_TIMEOUT;
	default:
		return ITLS_STAT_HS_FAILED;
	}
}

static int done_failed(struct genl_info *info, struct itls_ctx *ctx, u32 status)
{
	if (!itls_request_complete(ctx))
		return has_ended(info);
	ctx->verify = verify_of(info);
	/* Whose certificate it was; without memory that is not told. */
	if (info->attrs[ITLS_A_DONE_PEER_SUBJECT])
		/* Pairs with fill_info(). */
		smp_store_release(&ctx->peer, peer_alloc(info));
	if (info->attrs[ITLS_A_DONE_ALERT_TX])
		ctx->alert_tx = nla_get_u8(info->attrs[ITLS_A_DONE_ALERT_TX]);
	if (info->attrs[ITLS_A_DONE_ALERT_RX])
		ctx->alert_rx = nla_get_u8(info->attrs[ITLS_A_DONE_ALERT_RX]);
	itls_stats_add(ctx->sk, counter_of(status), 1);
	itls_ctx_fail(ctx, failure_of(ctx, status));
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

int itls_done_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct itls_ctx *ctx;
	int err = itls_netlink_check_agent(skb, info);

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
