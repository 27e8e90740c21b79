// SPDX-License-Identifier: GPL-2.0
/*
 * Counters, /proc/net/itls_stat, and the module's part of a network
 * namespace.  Counting is lockless (per CPU) and runs in any context.
 */
#include <linux/percpu.h>
#include <linux/proc_fs.h>
#include <linux/seq_file.h>
#include <net/net_namespace.h>
#include <net/netns/generic.h>

#include "itls.h"

static unsigned int itls_net_id;

static const char * const stat_names[__ITLS_STAT_MAX] = {
	[ITLS_STAT_CURR_TX]		= "CurrTx",
	[ITLS_STAT_CURR_RX]		= "CurrRx",
	[ITLS_STAT_CURR_ACTIVE]		= "CurrActive",
	[ITLS_STAT_HS_SUBMITTED]	= "HandshakeSubmitted",
	[ITLS_STAT_HS_ACCEPTED]		= "HandshakeAccepted",
	[ITLS_STAT_HS_DONE]		= "HandshakeDone",
	[ITLS_STAT_HS_FAILED]		= "HandshakeFailed",
	[ITLS_STAT_HS_TIMEOUT]		= "HandshakeTimeout",
	[ITLS_STAT_HS_PEER_GONE]	= "HandshakePeerGone",
	[ITLS_STAT_HS_SERVER_GONE]	= "HandshakeServerGone",
	[ITLS_STAT_HS_NO_AGENT]		= "HandshakeNoAgent",
	[ITLS_STAT_HS_AGENT_GONE]	= "HandshakeAgentGone",
	[ITLS_STAT_HS_OVER_CAP]		= "HandshakeOverCap",
	[ITLS_STAT_TX_RECORDS]		= "TxRecords",
	[ITLS_STAT_TX_BYTES]		= "TxBytes",
	[ITLS_STAT_RX_RECORDS]		= "RxRecords",
	[ITLS_STAT_RX_BYTES]		= "RxBytes",
	[ITLS_STAT_RX_DECRYPT_ERROR]	= "RxDecryptError",
	[ITLS_STAT_RX_PROTOCOL_ERROR]	= "RxProtocolError",
	[ITLS_STAT_RX_TRUNCATED]	= "RxTruncated",
	[ITLS_STAT_RX_ALERT]		= "RxAlert",
	[ITLS_STAT_RX_CLOSE_NOTIFY]	= "RxCloseNotify",
	[ITLS_STAT_TX_ALERT]		= "TxAlert",
	[ITLS_STAT_TX_CLOSE_NOTIFY]	= "TxCloseNotify",
	[ITLS_STAT_TX_LOST]		= "TxLost",
	[ITLS_STAT_TX_REKEY]		= "TxRekey",
	[ITLS_STAT_RX_REKEY]		= "RxRekey",
	[ITLS_STAT_RX_KEY_UPDATE]	= "RxKeyUpdate",
	[ITLS_STAT_RX_TICKET]		= "RxTicket",
	[ITLS_STAT_TX_NO_RENEGOTIATION]	= "TxNoRenegotiation",
};

struct itls_net *itls_stats_net(const struct net *net)
{
	return net_generic(net, itls_net_id);
}

/* Any context. */
void itls_stats_add(const struct sock *sk, enum itls_stat stat, long n)
{
	this_cpu_add(itls_stats_net(sock_net(sk))->stats[stat], n);
}

static_assert(ITLS_STAT_TX_BYTES == ITLS_STAT_TX_RECORDS + 1);
static_assert(ITLS_STAT_RX_BYTES == ITLS_STAT_RX_RECORDS + 1);

/* A record, as @stat, and @len bytes in it, which are counted next to that.  Any context. */
void itls_stats_record(const struct sock *sk, enum itls_stat stat, size_t len)
{
	long __percpu *stats = itls_stats_net(sock_net(sk))->stats;

	this_cpu_inc(stats[stat]);
	this_cpu_add(stats[stat + 1], len);
}

static long stat_sum(const struct itls_net *in, enum itls_stat stat)
{
	long sum = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		sum += per_cpu_ptr(in->stats, cpu)[stat];
	return sum;
}

static unsigned long count_sessions(struct itls_net *in)
{
	struct itls_ctx *ctx;
	unsigned long id, n = 0;

	rcu_read_lock();
	xa_for_each(&in->sessions, id, ctx)
		n++;
	rcu_read_unlock();
	return n;
}

static int stat_show(struct seq_file *seq, void *v)
{
	struct itls_net *in = itls_stats_net(seq->private);
	int i;

	seq_printf(seq, "CurrAgents\t%u\n", READ_ONCE(in->nr_agents));
	seq_printf(seq, "CurrPending\t%u\n", READ_ONCE(in->pending));
	seq_printf(seq, "CurrSessions\t%lu\n", count_sessions(in));
	seq_printf(seq, "CurrKeptBytes\t%lu\n", itls_block_kept());
	for (i = 0; i < __ITLS_STAT_MAX; i++)
		seq_printf(seq, "%s\t%ld\n", stat_names[i], stat_sum(in, i));
	return 0;
}

static int __net_init stats_net_init(struct net *net)
{
	struct itls_net *in = itls_stats_net(net);

	in->stats = __alloc_percpu(__ITLS_STAT_MAX * sizeof(*in->stats),
				   sizeof(*in->stats));
	if (!in->stats)
		return -ENOMEM;
	if (!proc_create_net_single("itls_stat", 0444, net->proc_net, stat_show,
				    NULL)) {
		free_percpu(in->stats);
		return -ENOMEM;
	}
	xa_init_flags(&in->sessions, XA_FLAGS_ALLOC1 | XA_FLAGS_LOCK_BH);
	spin_lock_init(&in->lock);
	INIT_LIST_HEAD(&in->waiting);
	INIT_LIST_HEAD(&in->agents);
	return 0;
}

/* Nodes without entries do not count: a failed allocation may leave some. */
static bool has_sessions(struct itls_net *in)
{
	unsigned long id = 0;

	return xa_find(&in->sessions, &id, ULONG_MAX, XA_PRESENT);
}

/* Sockets hold their namespace, so none of them is left. */
static void __net_exit stats_net_exit(struct net *net)
{
	struct itls_net *in = itls_stats_net(net);

	remove_proc_entry("itls_stat", net->proc_net);
	WARN_ON_ONCE(has_sessions(in) || !list_empty(&in->waiting));
	xa_destroy(&in->sessions);
	free_percpu(in->stats);
}

static struct pernet_operations stats_net_ops = {
	.init = stats_net_init,
	.exit = stats_net_exit,
	.id = &itls_net_id,
	.size = sizeof(struct itls_net),
};

int itls_stats_init(void)
{
	return register_pernet_subsys(&stats_net_ops);
}

void itls_stats_exit(void)
{
	unregister_pernet_subsys(&stats_net_ops);
}
