// SPDX-License-Identifier: GPL-2.0
/*
 * Idle connections: most of what a connection takes is what the crypto API
 * makes of its keys.  One that has not used them for some seconds lets go of
 * that, and makes it again when it next sends or receives.
 *
 * Connections whose keys may be awake are marked in the namespace's array of
 * sessions, which a worker walks while there are any.  It never waits for a
 * socket's lock, which a program may hold for as long as it likes: a socket
 * that is in use is not idle.
 */
#include <linux/workqueue.h>
#include <linux/xarray.h>
#include <net/net_namespace.h>
#include <net/netns/generic.h>

#include "itls.h"

/* Idle for at least so long, and at most until the walk comes round. */
#define ITLS_IDLE	(5 * HZ)
#define ITLS_WALK	(ITLS_IDLE / 2)
#define ITLS_ACTIVE	XA_MARK_1

struct idle_net {
	struct net *net;
	struct delayed_work work;
};

static unsigned int idle_net_id;

static void mark_active(struct itls_ctx *ctx)
{
	struct idle_net *idle = net_generic(sock_net(ctx->sk), idle_net_id);
	struct xarray *sessions = &itls_stats_net(idle->net)->sessions;

	ctx->active = true;
	itls_stats_add(ctx->sk, ITLS_STAT_CURR_ACTIVE, 1);
	xa_lock_bh(sessions);
	__xa_set_mark(sessions, ctx->id, ITLS_ACTIVE);
	xa_unlock_bh(sessions);
	queue_delayed_work(system_dfl_wq, &idle->work, ITLS_WALK);
}

/*
 * Keys were installed, or are about to be used: the socket is locked, process
 * context.
 */
void itls_idle_touch(struct itls_ctx *ctx)
{
	WRITE_ONCE(ctx->used, jiffies);
	if (!ctx->active)
		mark_active(ctx);
}

/**
 * itls_idle_wake() - make a key ready for use
 * @ctx: context, its socket locked; process context
 * @c: cipher of one of its directions
 *
 * Before any use of the cipher; it stays awake until the lock is released.
 *
 * Return: 0, -ENOMEM when it may be tried again, or the crypto API's error.
 */
int itls_idle_wake(struct itls_ctx *ctx, struct itls_cipher *c)
{
	itls_idle_touch(ctx);
	return itls_cipher_wake(c);
}

/* The keys are gone; the socket is locked. */
void itls_idle_forget(struct itls_ctx *ctx)
{
	if (!ctx->active)
		return;
	ctx->active = false;
	itls_stats_add(ctx->sk, ITLS_STAT_CURR_ACTIVE, -1);
}

static bool is_idle(const struct itls_ctx *ctx)
{
	return time_after_eq(jiffies, READ_ONCE(ctx->used) + ITLS_IDLE);
}

/* The socket is locked by its spinlock, and nobody owns it. */
static void take_aeads(struct itls_ctx *ctx, struct xarray *sessions,
		       struct itls_aead aeads[2])
{
	if (ctx->tx)
		aeads[0] = itls_cipher_sleep(&ctx->tx->cipher);
	if (ctx->rx)
		aeads[1] = itls_cipher_sleep(&ctx->rx->cipher);
	xa_clear_mark(sessions, ctx->id, ITLS_ACTIVE);
	itls_idle_forget(ctx);
}

static void let_go(struct itls_ctx *ctx, struct xarray *sessions)
{
	struct itls_aead aeads[2] = {};
	struct sock *sk = ctx->sk;

	local_bh_disable();
	bh_lock_sock(sk);
	if (ctx->active && !sock_owned_by_user(sk) && is_idle(ctx))
		take_aeads(ctx, sessions, aeads);
	bh_unlock_sock(sk);
	local_bh_enable();
	itls_cipher_free_aead(&aeads[0]);
	itls_cipher_free_aead(&aeads[1]);
}

/* The next active context from @id on, with a reference, as itls_ctx_lookup(). */
static struct itls_ctx *next_active(struct xarray *sessions, unsigned long *id)
{
	struct itls_ctx *ctx;

	rcu_read_lock();
	ctx = xa_find(sessions, id, ULONG_MAX, ITLS_ACTIVE);
	while (ctx && !refcount_inc_not_zero(&ctx->ref))
		ctx = xa_find_after(sessions, id, ULONG_MAX, ITLS_ACTIVE);
	rcu_read_unlock();
	return ctx;
}

static void idle_walk(struct work_struct *work)
{
	struct idle_net *idle = container_of(to_delayed_work(work),
					     struct idle_net, work);
	struct xarray *sessions = &itls_stats_net(idle->net)->sessions;
	struct itls_ctx *ctx;
	unsigned long id;

	for (id = 0; (ctx = next_active(sessions, &id)); id++) {
		if (is_idle(ctx))
			let_go(ctx, sessions);
		itls_ctx_put(ctx);
		cond_resched();
	}
	if (xa_marked(sessions, ITLS_ACTIVE))
		queue_delayed_work(system_dfl_wq, &idle->work, ITLS_WALK);
}

static int __net_init idle_net_init(struct net *net)
{
	struct idle_net *idle = net_generic(net, idle_net_id);

	idle->net = net;
	INIT_DELAYED_WORK(&idle->work, idle_walk);
	return 0;
}

/* Sockets hold their namespace: none is left, but the worker may be at the last. */
static void __net_exit idle_net_exit(struct net *net)
{
	struct idle_net *idle = net_generic(net, idle_net_id);

	cancel_delayed_work_sync(&idle->work);
}

static struct pernet_operations idle_net_ops = {
	.init = idle_net_init,
	.exit = idle_net_exit,
	.id = &idle_net_id,
	.size = sizeof(struct idle_net),
};

int itls_idle_init(void)
{
	return register_pernet_subsys(&idle_net_ops);
}

void itls_idle_exit(void)
{
	unregister_pernet_subsys(&idle_net_ops);
}
