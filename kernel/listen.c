// SPDX-License-Identifier: GPL-2.0
/*
 * Marked listeners and the children that inherit the mark.
 *
 * A child gets its context when TCP clones it, in softirq, and stays an
 * embryo (its bytes are held back, nothing else: see proto.c) until a process
 * first uses it; then its handshake is asked for.  So a child is never without the mark,
 * not even one handed to a thread that had been waiting in accept() since
 * before the listener was marked.
 */
#include "itls.h"

static void replace_mark(struct itls_ctx *ctx, struct itls_mark *l)
{
	itls_mark_put(rcu_replace_pointer(ctx->mark, l,
					  lockdep_sock_is_held(ctx->sk)));
}

/**
 * itls_listen_mark() - have the children of a listener handshaken
 * @sk: listener, locked; process context
 * @ctx: its context
 * @name: profile
 *
 * Return: 0, -EINVAL for a bad name or a socket that does not listen, -ENOMEM.
 */
int itls_listen_mark(struct sock *sk, struct itls_ctx *ctx, const char *name)
{
	struct itls_mark *l;

	if (sk->sk_state != TCP_LISTEN)
		return -EINVAL;
	l = itls_mark_alloc(sk, name, "");
	if (IS_ERR(l))
		return PTR_ERR(l);
	replace_mark(ctx, l);
	WRITE_ONCE(ctx->state, ITLS_STATE_LISTEN);
	return 0;
}

/* Children cloned from now on are plain TCP.  Process context, locked. */
void itls_listen_unmark(struct itls_ctx *ctx)
{
	replace_mark(ctx, NULL);
	WRITE_ONCE(ctx->state, ITLS_STATE_NONE);
}

/**
 * itls_listen_inherit() - give a child its own context
 * @sk: the child; softirq and just cloned, or process context and locked
 * @lctx: context of its listener
 * @gfp: accordingly
 *
 * Return: 0, -ENOENT when the listener is not marked, -ENOMEM.
 */
int itls_listen_inherit(struct sock *sk, const struct itls_ctx *lctx, gfp_t gfp)
{
	struct itls_mark *l = itls_mark_get(lctx);
	struct itls_ctx *ctx;

	if (!l)
		return -ENOENT;
	ctx = itls_ctx_alloc(sk, lctx->proto, gfp);
	if (!ctx) {
		itls_mark_put(l);
		return -ENOMEM;
	}
	RCU_INIT_POINTER(ctx->mark, l);
	ctx->role = ITLS_ROLE_SERVER;
	ctx->state = ITLS_STATE_PENDING;
	rcu_assign_pointer(inet_csk(sk)->icsk_ulp_data, ctx);
	return 0;
}
