// SPDX-License-Identifier: GPL-2.0
/*
 * The context of a socket: memory, references, session numbers, and the wait
 * for a handshake.
 *
 * A context is created in process context (attach) or in softirq (a child
 * of a marked listener), and its last reference may go in either, so what
 * itls_ctx_put() frees must be free of keys: those go in close().
 */
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "itls.h"

static struct kmem_cache *ctx_cache;

/**
 * itls_ctx_alloc() - make the context of a socket
 * @sk: the socket; its memory is held until the context is freed
 * @proto: operations of the socket's address family
 * @gfp: GFP_ATOMIC in softirq
 *
 * The caller owns the one reference and publishes it in icsk_ulp_data.
 */
struct itls_ctx *itls_ctx_alloc(struct sock *sk, struct itls_proto *proto,
				gfp_t gfp)
{
	struct itls_ctx *ctx = kmem_cache_zalloc(ctx_cache, gfp);

	if (!ctx)
		return NULL;
	refcount_set(&ctx->ref, 1);
	sock_hold(sk);
	ctx->sk = sk;
	ctx->proto = proto;
	ctx->alert_rx = ITLS_ALERT_NONE;
	ctx->alert_tx = ITLS_ALERT_NONE;
	ctx->born = jiffies;
	__skb_queue_head_init(&ctx->held);
	INIT_LIST_HEAD(&ctx->req.node);
	init_waitqueue_head(&ctx->req.wait);
	return ctx;
}

struct itls_ctx *itls_ctx_get(struct itls_ctx *ctx)
{
	refcount_inc(&ctx->ref);
	return ctx;
}

static void ctx_free(struct rcu_head *rcu)
{
	kmem_cache_free(ctx_cache, container_of(rcu, struct itls_ctx, rcu));
}

/* Any context.  get_info may still read the context under RCU. */
void itls_ctx_put(struct itls_ctx *ctx)
{
	struct sock *sk = ctx->sk;

	if (!refcount_dec_and_test(&ctx->ref))
		return;
	WARN_ON_ONCE(ctx->tx || ctx->rx);
	itls_mark_put(rcu_replace_pointer(ctx->mark, NULL, true));
	itls_mark_free_credentials(ctx->credentials);
	kfree(ctx->peer);
	call_rcu(&ctx->rcu, ctx_free);
	sock_put(sk);
}

/* Gives the context a session number.  Process context. */
int itls_ctx_register(struct itls_ctx *ctx)
{
	struct itls_net *in = itls_stats_net(sock_net(ctx->sk));
	int err;

	err = xa_alloc_cyclic_bh(&in->sessions, &ctx->id, ctx, xa_limit_31b,
				 &in->next_id, GFP_KERNEL);
	if (err >= 0)
		return 0;
	/* The number may have been written and not taken. */
	ctx->id = 0;
	return err;
}

void itls_ctx_unregister(struct itls_ctx *ctx)
{
	struct itls_net *in = itls_stats_net(sock_net(ctx->sk));

	if (ctx->id)
		xa_cmpxchg_bh(&in->sessions, ctx->id, ctx, NULL, 0);
}

/*
 * Finds a registered context and takes a reference.  A context leaves the
 * array before the socket's reference goes, and its memory outlives a grace
 * period, so one whose count is zero is merely late.
 */
struct itls_ctx *itls_ctx_lookup(struct net *net, u32 id)
{
	struct itls_net *in = itls_stats_net(net);
	struct itls_ctx *ctx;

	rcu_read_lock();
	ctx = xa_load(&in->sessions, id);
	if (ctx && !refcount_inc_not_zero(&ctx->ref))
		ctx = NULL;
	rcu_read_unlock();
	return ctx;
}

/**
 * itls_ctx_install() - give a context its keys
 * @ctx: context, its socket locked; process context
 * @tx: sending direction or NULL
 * @rx: receiving direction or NULL
 *
 * The last step is to publish: from then on the socket's calls are ours.
 *
 * Return: 0 (both belong to the context now) or -ENOMEM.
 */
int itls_ctx_install(struct itls_ctx *ctx, struct itls_tx *tx,
		     struct itls_rx *rx)
{
	int err;

	if (!ctx->id) {
		err = itls_ctx_register(ctx);
		if (err)
			return err;
	}
	if (tx) {
		tx->ctx = ctx;
		itls_sizing_init(&tx->sizing, ctx->tx_max_payload);
		ctx->version = tx->cipher.record.version;
		ctx->tx_cipher = itls_cipher_type(&tx->cipher);
		itls_stats_add(ctx->sk, ITLS_STAT_CURR_TX, 1);
		/* Pairs with tx_is_ours(): the direction is complete. */
		smp_store_release(&ctx->tx, tx);
	}
	if (rx) {
		rx->shut = ctx->sk->sk_shutdown & RCV_SHUTDOWN;
		ctx->version = rx->cipher.record.version;
		ctx->rx_cipher = itls_cipher_type(&rx->cipher);
		itls_stats_add(ctx->sk, ITLS_STAT_CURR_RX, 1);
		/* Pairs with rx_is_ours() and poll: likewise. */
		smp_store_release(&ctx->rx, rx);
	}
	itls_idle_touch(ctx);
	/* Pairs with itls_ctx_state(): keys and peer are there. */
	smp_store_release(&ctx->state, ITLS_STATE_ESTABLISHED);
	return 0;
}

/**
 * itls_ctx_fail() - end a handshake without success
 * @ctx: context; nothing happens unless it is PENDING
 * @err: -errno its socket will report
 *
 * Any context, no lock: the one transition of the state made without the
 * socket lock.  Wakes whoever waits on the socket.
 *
 * Return: 0, or -EALREADY when the state was no longer PENDING.
 */
int itls_ctx_fail(struct itls_ctx *ctx, int err)
{
	struct sock *sk = ctx->sk;

	if (READ_ONCE(ctx->state) != ITLS_STATE_PENDING)
		return -EALREADY;
	WRITE_ONCE(ctx->fail_err, err);
	/* Before the state: who sees that it is over may ask SO_ERROR how. */
	WRITE_ONCE(sk->sk_err, -err);
	if (cmpxchg(&ctx->state, ITLS_STATE_PENDING, ITLS_STATE_FAILED) !=
	    ITLS_STATE_PENDING)
		return -EALREADY;
	ctx->saved.state_change(sk);
	return 0;
}

static int ctx_status(const struct itls_ctx *ctx)
{
	switch (itls_ctx_state(ctx)) {
	case ITLS_STATE_PENDING:
		return -EAGAIN;
	case ITLS_STATE_FAILED:
		return READ_ONCE(ctx->fail_err);
	default:
		return 0;
	}
}

static int ctx_wait(struct sock *sk, struct itls_ctx *ctx, long timeo)
{
	DEFINE_WAIT_FUNC(wait, woken_wake_function);
	int err;

	add_wait_queue(sk_sleep(sk), &wait);
	while ((err = ctx_status(ctx)) == -EAGAIN && timeo) {
		if (signal_pending(current)) {
			err = sock_intr_errno(timeo);
			break;
		}
		sk_wait_event(sk, &timeo, ctx_status(ctx) != -EAGAIN, &wait);
	}
	remove_wait_queue(sk_sleep(sk), &wait);
	return err;
}

/**
 * itls_ctx_wait_ready() - wait until a handshake has ended
 * @sk: the context's socket, locked; the lock is dropped while waiting
 * @ctx: context
 * @timeo: jiffies to wait, 0: do not
 *
 * Return: 0, -EAGAIN when it is still under way, the error it failed with,
 * or what a signal gives.
 */
int itls_ctx_wait_ready(struct sock *sk, struct itls_ctx *ctx, long timeo)
{
	int err = ctx_status(ctx);

	return err == -EAGAIN && timeo ? ctx_wait(sk, ctx, timeo) : err;
}

/* Not merged: objects that come and go at other times would leave holes. */
int itls_ctx_init(void)
{
	ctx_cache = KMEM_CACHE(itls_ctx, SLAB_NO_MERGE);
	return ctx_cache ? 0 : -ENOMEM;
}

void itls_ctx_exit(void)
{
	rcu_barrier();
	kmem_cache_destroy(ctx_cache);
}
