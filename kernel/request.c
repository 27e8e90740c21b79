// SPDX-License-Identifier: GPL-2.0
/*
 * Handshake requests: from the accept of a child to exactly one completion.
 *
 * The contract.  A request that was submitted is completed once, by whoever
 * sets ITLS_REQ_COMPLETED first: the agent's DONE, its closing of the channel,
 * the deadline, the going of the last agent, or the server's close().  The
 * winner, and nobody else, moves the context out of PENDING; losers do
 * nothing.  Completing undoes what submitting did: the count, the place on
 * the list, the timer.
 *
 * Submitting is process context; completing any.  itls_net.lock protects
 * the list, the counts and the agents, and is innermost.
 */
#include <linux/module.h>
#include <linux/netlink.h>
#include <linux/slab.h>

#include "itls.h"

static unsigned int handshake_timeout_ms = 10000;
module_param(handshake_timeout_ms, uint, 0644);
MODULE_PARM_DESC(handshake_timeout_ms,
		 "Milliseconds a handshake may take (default 10000)");

static unsigned int max_pending = 4096;
module_param(max_pending, uint, 0644);
MODULE_PARM_DESC(max_pending,
		 "Handshakes under way in a network namespace (default 4096)");

static unsigned int max_pending_per_listener = 1024;
module_param(max_pending_per_listener, uint, 0644);
MODULE_PARM_DESC(max_pending_per_listener,
		 "Handshakes under way for one listener (default 1024)");

/* Tells the agents of a namespace that a request waits. */
static void (*announce)(struct net *net);

/* Before the first listener can be marked. */
void itls_request_set_announcer(void (*fn)(struct net *net))
{
	announce = fn;
}

struct itls_agent {
	struct list_head node;
	u32 portid;
};

static struct itls_net *request_net(const struct itls_ctx *ctx)
{
	return itls_stats_net(sock_net(ctx->sk));
}

static struct itls_mark *request_mark(const struct itls_ctx *ctx)
{
	/* A child's mark is set before it is submitted and never changes. */
	return rcu_dereference_protected(ctx->mark, true);
}

bool itls_request_is_pending(const struct itls_ctx *ctx)
{
	return test_bit(ITLS_REQ_SUBMITTED, &ctx->req.flags) &&
	       !test_bit(ITLS_REQ_COMPLETED, &ctx->req.flags);
}

/* Tells the channel's pollers.  Any context. */
void itls_request_wake(struct itls_ctx *ctx, __poll_t events)
{
	wake_up_interruptible_poll(&ctx->req.wait, events);
}

/**
 * itls_request_complete() - try to be the one who ends a request
 * @ctx: context; any context of execution
 *
 * Return: true for the winner, who must now settle the context's state;
 * false when there is nothing (left) to complete.
 */
bool itls_request_complete(struct itls_ctx *ctx)
{
	struct itls_net *in = request_net(ctx);
	struct itls_req *req = &ctx->req;
	bool listed;

	if (!test_bit(ITLS_REQ_SUBMITTED, &req->flags) ||
	    test_and_set_bit(ITLS_REQ_COMPLETED, &req->flags))
		return false;
	spin_lock_bh(&in->lock);
	listed = !list_empty(&req->node);
	list_del_init(&req->node);
	in->pending--;
	spin_unlock_bh(&in->lock);
	atomic_dec(&request_mark(ctx)->pending);
	itls_mark_free_credentials(xchg(&ctx->credentials, NULL));
	/* Neither is the last reference: the caller has one of its own. */
	if (listed)
		itls_ctx_put(ctx);
	if (timer_delete(&req->timer))
		itls_ctx_put(ctx);
	itls_request_wake(ctx, EPOLLIN | EPOLLERR | EPOLLHUP);
	return true;
}

/**
 * itls_request_fail() - end a request without success
 * @ctx: context, referenced by the caller; any context of execution
 * @err: -errno the server will see
 * @counter: enum itls_stat that tells why
 */
void itls_request_fail(struct itls_ctx *ctx, int err, int counter)
{
	if (!itls_request_complete(ctx))
		return;
	itls_stats_add(ctx->sk, counter, 1);
	itls_ctx_fail(ctx, err);
}

/* Softirq; the timer's reference is dropped here when it fires. */
static void request_expired(struct timer_list *timer)
{
	struct itls_ctx *ctx = timer_container_of(ctx, timer, req.timer);

	itls_request_fail(ctx, -ETIMEDOUT, ITLS_STAT_HS_TIMEOUT);
	itls_ctx_put(ctx);
}

/* Programs that connect must not be able to keep a server's clients out. */
static bool request_is_over_cap(const struct itls_net *in,
				const struct itls_ctx *ctx)
{
	unsigned int max = READ_ONCE(max_pending);

	if (ctx->role == ITLS_ROLE_CLIENT)
		return in->pending >= max / 2;
	return in->pending >= max ||
	       atomic_read(&request_mark(ctx)->pending) >=
	       READ_ONCE(max_pending_per_listener);
}

/* Counts, lists and times a request; list and timer take a reference each. */
static int request_enqueue(struct itls_net *in, struct itls_ctx *ctx)
{
	int err = 0;

	spin_lock_bh(&in->lock);
	if (!in->nr_agents) {
		err = -ENOTCONN;
	} else if (request_is_over_cap(in, ctx)) {
		err = -ENOBUFS;
	} else {
		unsigned int ms = READ_ONCE(handshake_timeout_ms);

		in->pending++;
		atomic_inc(&request_mark(ctx)->pending);
		set_bit(ITLS_REQ_SUBMITTED, &ctx->req.flags);
		itls_ctx_get(ctx);
		list_add_tail(&ctx->req.node, &in->waiting);
		itls_ctx_get(ctx);
		mod_timer(&ctx->req.timer, jiffies + msecs_to_jiffies(ms));
	}
	spin_unlock_bh(&in->lock);
	return err;
}

/**
 * itls_request_submit() - ask the agents for the handshake of a socket
 * @ctx: PENDING and hooked, its socket locked; process context
 *
 * The calling process is taken for the one that uses the connection.  On
 * failure the context is FAILED already, with -ECONNABORTED.
 *
 * Return: 0, -ENOTCONN when there is no agent, -ENOBUFS when a cap is reached,
 * -ENOMEM, or -EBUSY when there are no more session numbers.
 */
int itls_request_submit(struct itls_ctx *ctx)
{
	int err;

	ctx->pid = task_tgid_nr(current);
	get_task_comm(ctx->comm, current);
	timer_setup(&ctx->req.timer, request_expired, 0);
	err = itls_ctx_register(ctx);
	if (err)
		goto err_fail;
	err = request_enqueue(request_net(ctx), ctx);
	itls_stats_add(ctx->sk, ITLS_STAT_HS_SUBMITTED, 1);
	if (!err) {
		announce(sock_net(ctx->sk));
		return 0;
	}
	itls_stats_add(ctx->sk, err == -ENOTCONN ? ITLS_STAT_HS_NO_AGENT :
						   ITLS_STAT_HS_OVER_CAP, 1);
err_fail:
	itls_mark_free_credentials(xchg(&ctx->credentials, NULL));
	itls_ctx_fail(ctx, -ECONNABORTED);
	return err;
}

/* Under itls_net.lock; the list's reference goes to the caller. */
static struct itls_ctx *take_waiting(struct itls_net *in, u32 portid)
{
	struct itls_ctx *ctx;

	ctx = list_first_entry_or_null(&in->waiting, struct itls_ctx, req.node);
	if (ctx) {
		list_del_init(&ctx->req.node);
		ctx->req.portid = portid;
	}
	return ctx;
}

/**
 * itls_request_accept() - give an agent the request that waits longest
 * @net: network namespace
 * @portid: the agent
 *
 * Return: its context, whose reference goes to the caller, or NULL.
 */
struct itls_ctx *itls_request_accept(struct net *net, u32 portid)
{
	struct itls_net *in = itls_stats_net(net);
	struct itls_ctx *ctx;

	spin_lock_bh(&in->lock);
	ctx = take_waiting(in, portid);
	spin_unlock_bh(&in->lock);
	return ctx;
}

/**
 * itls_request_return() - an agent could not be given a request
 * @ctx: what itls_request_accept() gave; the reference goes back
 * @creds: its credentials, or NULL; taken over
 *
 * It waits again, before all others, unless it has ended.
 */
void itls_request_return(struct itls_ctx *ctx, struct itls_credentials *creds)
{
	struct itls_net *in = request_net(ctx);
	bool waits;

	spin_lock_bh(&in->lock);
	/* Completing takes the lock after the bit. */
	waits = itls_request_is_pending(ctx);
	if (waits) {
		ctx->req.portid = 0;
		swap(ctx->credentials, creds);
		list_add(&ctx->req.node, &in->waiting);
	}
	spin_unlock_bh(&in->lock);
	itls_mark_free_credentials(creds);
	if (!waits)
		itls_ctx_put(ctx);
}

/* Milliseconds until the deadline. */
unsigned int itls_request_deadline(const struct itls_ctx *ctx)
{
	unsigned long expires = READ_ONCE(ctx->req.timer.expires);

	return time_after(expires, jiffies) ?
	       jiffies_to_msecs(expires - jiffies) : 0;
}

/* ---- agents ------------------------------------------------------------------ */

static struct itls_agent *agent_find(struct itls_net *in, u32 portid)
{
	struct itls_agent *agent;

	list_for_each_entry(agent, &in->agents, node)
		if (agent->portid == portid)
			return agent;
	return NULL;
}

bool itls_request_is_agent(struct net *net, u32 portid)
{
	struct itls_net *in = itls_stats_net(net);
	bool found;

	spin_lock_bh(&in->lock);
	found = agent_find(in, portid);
	spin_unlock_bh(&in->lock);
	return found;
}

/* Return: 0, -EALREADY when it is one already, -ENOMEM. */
int itls_request_add_agent(struct net *net, u32 portid)
{
	struct itls_net *in = itls_stats_net(net);
	struct itls_agent *agent = kmalloc(sizeof(*agent), GFP_KERNEL);
	int err = -EALREADY;

	if (!agent)
		return -ENOMEM;
	agent->portid = portid;
	spin_lock_bh(&in->lock);
	if (!agent_find(in, portid)) {
		list_add(&agent->node, &in->agents);
		in->nr_agents++;
		agent = NULL;
		err = 0;
	}
	spin_unlock_bh(&in->lock);
	kfree(agent);
	return err;
}

/* Fails what nobody is left to accept. */
static void fail_waiting(struct itls_net *in)
{
	struct itls_ctx *ctx;

	for (;;) {
		spin_lock_bh(&in->lock);
		ctx = in->nr_agents ? NULL : take_waiting(in, 0);
		spin_unlock_bh(&in->lock);
		if (!ctx)
			break;
		itls_request_fail(ctx, -ECONNABORTED, ITLS_STAT_HS_AGENT_GONE);
		itls_ctx_put(ctx);
	}
}

/* An agent's netlink socket was closed.  Its channels fail by themselves. */
void itls_request_remove_agent(struct net *net, u32 portid)
{
	struct itls_net *in = itls_stats_net(net);
	struct itls_agent *agent;

	spin_lock_bh(&in->lock);
	agent = agent_find(in, portid);
	if (agent) {
		list_del(&agent->node);
		in->nr_agents--;
	}
	spin_unlock_bh(&in->lock);
	if (!agent)
		return;
	kfree(agent);
	fail_waiting(in);
	/* The one that went may have been about to take what still waits. */
	if (!list_empty_careful(&in->waiting))
		announce(net);
}

/* The module goes, and with it the notice of agents that go. */
void itls_request_drop_agents(struct net *net)
{
	struct itls_net *in = itls_stats_net(net);
	struct itls_agent *agent, *next;

	list_for_each_entry_safe(agent, next, &in->agents, node) {
		list_del(&agent->node);
		kfree(agent);
	}
}
