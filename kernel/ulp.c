// SPDX-License-Identifier: GPL-2.0
/*
 * The TCP upper layer protocols "itls", for connections, and "itls-listen",
 * for listeners: attaching to a socket, cloning to a listener's children,
 * letting go of a socket that is destroyed, and what inet_diag tells.
 *
 * Two, because TCP refuses a protocol on listeners by its having no clone
 * operation, and programs written for in-tree kTLS see that refusal.
 */
#include <linux/delay.h>
#include <linux/inet_diag.h>
#include <linux/module.h>
#include <linux/stop_machine.h>
#include <net/netlink.h>

#include "itls.h"

/*
 * A live listener is cloned in softirq, without its lock, by memcpy(): which
 * may see half of a pointer that is just being written, or one pointer new and
 * its neighbour old.  (Core would name the ULP only after attach has returned.)
 * So all of them are written while no CPU is in softirq.
 */
struct publication {
	struct sock *sk;
	struct itls_ctx *ctx;
};

static struct tcp_ulp_ops itls_listen_ops;

static int publish_listener(void *arg)
{
	const struct publication *pub = arg;
	struct inet_connection_sock *icsk = inet_csk(pub->sk);

	rcu_assign_pointer(icsk->icsk_ulp_data, pub->ctx);
	WRITE_ONCE(icsk->icsk_ulp_ops, &itls_listen_ops);
	WRITE_ONCE(pub->sk->sk_prot, &pub->ctx->proto->prot);
	return 0;
}

/* Stopping the machine is dear: without privilege, 50 times a second at most. */
static void publish(struct sock *sk, struct itls_ctx *ctx)
{
	static DEFINE_MUTEX(publish_mutex);
	struct publication pub = { sk, ctx };

	if (sk->sk_state != TCP_LISTEN) {
		rcu_assign_pointer(inet_csk(sk)->icsk_ulp_data, ctx);
		return;
	}
	mutex_lock(&publish_mutex);
	if (!capable(CAP_NET_ADMIN))
		msleep(20);
	stop_machine(publish_listener, &pub, NULL);
	mutex_unlock(&publish_mutex);
}

/*
 * TCP_ULP.  Process context, the socket locked.  -EBUSY: somebody else sits on
 * the socket already.
 */
static int ulp_attach(struct sock *sk)
{
	struct itls_proto *proto;
	struct itls_ctx *ctx;

	/* A psock, or a kernel user: it would read beside us. */
	if (!sk->sk_socket || READ_ONCE(sk->sk_user_data))
		return -EBUSY;
	proto = itls_proto_of(sk);
	if (!proto)
		return -EBUSY;
	ctx = itls_ctx_alloc(sk, proto, GFP_KERNEL);
	if (!ctx)
		return -ENOMEM;
	ctx->pid = task_tgid_nr(current);
	get_task_comm(ctx->comm, current);
	publish(sk, ctx);
	itls_proto_hook(sk, ctx);
	return 0;
}

static int itls_ulp_attach(struct sock *sk)
{
	return sk->sk_state == TCP_ESTABLISHED ? ulp_attach(sk) : -ENOTCONN;
}

static int itls_ulp_attach_listener(struct sock *sk)
{
	return sk->sk_state == TCP_LISTEN ? ulp_attach(sk) : -EINVAL;
}

/*
 * A child was cloned; softirq, the child locked and unknown to anybody.  It
 * has copied the listener's ULP, without a module reference, and must come
 * out with its own state: an embryo's, or none.  The listener is not locked,
 * but neither attach nor close() writes what is copied while this may run.
 */
static void itls_ulp_clone(const struct request_sock *req, struct sock *newsk,
			   const gfp_t priority)
{
	struct inet_connection_sock *icsk = inet_csk(newsk);
	const struct itls_ctx *lctx = itls_ctx_of(newsk);

	RCU_INIT_POINTER(icsk->icsk_ulp_data, NULL);
	icsk->icsk_ulp_ops = NULL;
	if (lctx && try_module_get(THIS_MODULE)) {
		if (itls_listen_inherit(newsk, lctx, priority) == -ENOENT)
			module_put(THIS_MODULE);
		else
			icsk->icsk_ulp_ops = &itls_ulp_ops;
	}
	itls_embryo_init(newsk);
}

/*
 * The socket is destroyed; softirq or process context.  The keys went in
 * close().  Under RCU, a clone or get_info may still use the context.
 */
static void itls_ulp_release(struct sock *sk)
{
	struct itls_ctx *ctx = itls_ctx_of(sk);

	itls_proto_release(sk);
	RCU_INIT_POINTER(inet_csk(sk)->icsk_ulp_data, NULL);
	if (ctx)
		itls_ctx_put(ctx);
}

/* TLS_INFO_TX_MAX_PAYLOAD_LEN of <linux/tls.h>, which came after 6.12. */
#define ITLS_DIAG_MAX_PAYLOAD	7

static int put_diag(struct sk_buff *skb, const struct itls_ctx *ctx)
{
	struct nlattr *nest;
	int err = 0;

	nest = nla_nest_start_noflag(skb, INET_ULP_INFO_TLS);
	if (!nest)
		return -EMSGSIZE;
	if (READ_ONCE(ctx->tx_zerocopy_ro))
		err = nla_put_flag(skb, TLS_INFO_ZC_RO_TX);
	if (!err && READ_ONCE(ctx->rx_no_pad))
		err = nla_put_flag(skb, TLS_INFO_RX_NO_PAD);
	err = err ?:
	      nla_put_u16(skb, TLS_INFO_VERSION, ctx->version) ?:
	      nla_put_u16(skb, TLS_INFO_CIPHER,
			  ctx->tx_cipher ?: ctx->rx_cipher) ?:
	      nla_put_u16(skb, TLS_INFO_TXCONF,
			  ctx->tx_cipher ? TLS_CONF_SW : TLS_CONF_BASE) ?:
	      nla_put_u16(skb, TLS_INFO_RXCONF,
			  ctx->rx_cipher ? TLS_CONF_SW : TLS_CONF_BASE) ?:
	      nla_put_u16(skb, ITLS_DIAG_MAX_PAYLOAD,
			  itls_ctx_max_payload(ctx));
	if (err) {
		nla_nest_cancel(skb, nest);
		return err;
	}
	nla_nest_end(skb, nest);
	return 0;
}

/* inet_diag, in the form of in-tree kTLS, which ss prints.  No lock but RCU. */
static int itls_ulp_get_info(struct sock *sk, struct sk_buff *skb
			     ITLS_NET_ADMIN_PARAM)
{
	const struct itls_ctx *ctx;
	int err = 0;

	rcu_read_lock();
	ctx = (__force struct itls_ctx *)
		rcu_dereference(inet_csk(sk)->icsk_ulp_data);
	if (ctx && READ_ONCE(ctx->version))
		err = put_diag(skb, ctx);
	rcu_read_unlock();
	return err;
}

static size_t itls_ulp_get_info_size(const struct sock *sk ITLS_NET_ADMIN_PARAM)
{
	return 3 * nla_total_size(0) + 5 * nla_total_size(sizeof(u16));
}

struct tcp_ulp_ops itls_ulp_ops __read_mostly = {
	.name = ITLS_ULP_NAME,
	.owner = THIS_MODULE,
	.init = itls_ulp_attach,
	.release = itls_ulp_release,
	.get_info = itls_ulp_get_info,
	.get_info_size = itls_ulp_get_info_size,
};

static struct tcp_ulp_ops itls_listen_ops __read_mostly = {
	.name = ITLS_ULP_LISTEN_NAME,
	.owner = THIS_MODULE,
	.init = itls_ulp_attach_listener,
	.clone = itls_ulp_clone,
	.release = itls_ulp_release,
};

int itls_ulp_init(void)
{
	int err = tcp_register_ulp(&itls_ulp_ops);

	if (err)
		return err;
	err = tcp_register_ulp(&itls_listen_ops);
	if (err)
		tcp_unregister_ulp(&itls_ulp_ops);
	return err;
}

void itls_ulp_exit(void)
{
	tcp_unregister_ulp(&itls_listen_ops);
	tcp_unregister_ulp(&itls_ulp_ops);
}
