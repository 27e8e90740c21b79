// SPDX-License-Identifier: GPL-2.0
/*
 * Children of a marked listener between their clone and their handshake:
 * embryos.  accept() adopts them; one that reached its server past our accept()
 * is adopted by its first use.
 *
 * Cloning and the arrival of bytes are softirq, the rest is process context.
 */
#include <linux/module.h>

#include "itls.h"

/* A child of a listener that is not marked: plain TCP, table and all. */
static void make_plain(struct socket *sock, struct itls_proto *proto)
{
	WRITE_ONCE(sock->ops, proto->base_ops);
	__module_get(proto->base_ops->owner);
	module_put(THIS_MODULE);
	/* TCP_ULP took it from the listener, from whom the child copied. */
	set_bit(SOCK_SUPPORT_ZC, &sock->flags);
}

/*
 * An embryo that reached its server unadopted (see below) still has TCP's own
 * struct proto_ops, whose splice_read asks nobody.  So its bytes are taken out
 * of TCP's queue as they come, and put back when it is adopted.  Softirq or
 * backlog; the socket is locked either way.
 */
static void itls_embryo_data_ready(struct sock *sk)
{
	struct itls_ctx *ctx = itls_ctx_of(sk);

	if (!ctx) {
		__skb_queue_purge(&sk->sk_receive_queue);
		return;
	}
	skb_queue_splice_tail_init(&sk->sk_receive_queue, &ctx->held);
	ctx->saved.data_ready(sk);
}

/* TCP would not tell of bytes fewer than the server's low water mark. */
static void embryo_hold_bytes(struct sock *sk)
{
	struct itls_ctx *ctx = itls_ctx_of(sk);

	if (ctx) {
		ctx->saved.data_ready = sk->sk_data_ready;
		ctx->rcvlowat = sk->sk_rcvlowat;
	}
	sk->sk_data_ready = itls_embryo_data_ready;
	sk->sk_rcvlowat = 1;
}

/* The socket is locked.  A child that was never an embryo has none. */
static void embryo_release_bytes(struct sock *sk, struct itls_ctx *ctx)
{
	/* Not 1: the server has set its own meanwhile. */
	if (!ctx->saved.data_ready || sk->sk_rcvlowat != 1)
		ctx->rcvlowat = sk->sk_rcvlowat;
	WRITE_ONCE(sk->sk_rcvlowat, 1);
	if (!ctx->saved.data_ready)
		return;
	WRITE_ONCE(sk->sk_data_ready, ctx->saved.data_ready);
	skb_queue_splice_init(&ctx->held, &sk->sk_receive_queue);
}

/* Hooks an embryo and asks for its handshake; the socket is locked. */
static int adopt(struct sock *sk)
{
	struct itls_ctx *ctx = itls_ctx_of(sk);

	if (!ctx)
		return -ECONNABORTED;
	if (ctx->hooked)
		return 0;
	embryo_release_bytes(sk, ctx);
	itls_proto_hook(sk, ctx);
	itls_request_submit(ctx);
	return 0;
}

/*
 * A child that was cloned before its listener was marked has no context yet.
 * It gets what the clone would have given it.
 */
static int inherit_late(struct sock *sk, const struct itls_ctx *lctx)
{
	int err;

	if (!rcu_access_pointer(lctx->mark))
		return -ENOENT;
	/* Between clone and accept, BPF may have put it into a sockmap. */
	if (READ_ONCE(sk->sk_prot) != lctx->proto->base ||
	    READ_ONCE(sk->sk_user_data))
		return -ECONNABORTED;
	err = itls_listen_inherit(sk, lctx, GFP_KERNEL);
	if (err)
		return err;
	__module_get(THIS_MODULE);
	inet_csk(sk)->icsk_ulp_ops = &itls_ulp_ops;
	return 0;
}

/*
 * accept(): every child of a marked listener comes out PENDING, or FAILED
 * when no handshake could be asked for.
 */
int itls_embryo_accept(struct socket *sock, struct socket *newsock,
		       struct proto_accept_arg *arg)
{
	const struct itls_ctx *lctx = itls_ctx_of(sock->sk);
	struct sock *sk;
	int err;

	/* kernel_accept() keeps other books on the operations' module. */
	if (arg->kern)
		return -EOPNOTSUPP;
	err = lctx->proto->base_ops->accept(sock, newsock, arg);
	if (err)
		return err;
	sk = newsock->sk;
	lock_sock(sk);
	if (!inet_csk(sk)->icsk_ulp_ops)
		err = inherit_late(sk, lctx);
	if (!err)
		err = adopt(sk);
	release_sock(sk);
	if (err == -ENOENT) {
		make_plain(newsock, lctx->proto);
		return 0;
	}
	return err;
}

static const struct proto *prot_of(const struct sock *sk)
{
	return &itls_ctx_of(sk)->proto->prot;
}

/*
 * A child whose accept() began before its listener was marked reaches its
 * server without passing itls_embryo_accept(); its first use adopts it.
 */
static int embryo_adopt(struct sock *sk)
{
	int err;

	lock_sock(sk);
	err = adopt(sk);
	release_sock(sk);
	return err;
}

static int itls_embryo_sendmsg(struct sock *sk, struct msghdr *msg, size_t size)
{
	return embryo_adopt(sk) ?: prot_of(sk)->sendmsg(sk, msg, size);
}

static int itls_embryo_recvmsg(struct sock *sk, struct msghdr *msg, size_t len,
			       int flags ITLS_ADDR_LEN_PARAM)
{
	return embryo_adopt(sk) ?: prot_of(sk)->recvmsg(sk, msg, len,
						    flags ITLS_ADDR_LEN_ARG);
}

static int itls_embryo_ioctl(struct sock *sk, int cmd, int *karg)
{
	return embryo_adopt(sk) ?: prot_of(sk)->ioctl(sk, cmd, karg);
}

static int itls_embryo_setsockopt(struct sock *sk, int level, int optname,
				  sockptr_t optval, unsigned int optlen)
{
	return embryo_adopt(sk) ?: prot_of(sk)->setsockopt(sk, level, optname,
						       optval, optlen);
}

static int itls_embryo_getsockopt(struct sock *sk, int level, int optname,
				  char __user *optval, int __user *optlen)
{
	return embryo_adopt(sk) ?: prot_of(sk)->getsockopt(sk, level, optname,
						       optval, optlen);
}

/* Closing, unlike using, is left to TCP: its text must not be ours. */
void itls_embryo_build(struct itls_proto *proto, const struct proto *base)
{
	struct proto *prot = &proto->embryo;

	*prot = *base;
	prot->connect = proto->prot.connect;
	prot->disconnect = proto->prot.disconnect;
	prot->ioctl = itls_embryo_ioctl;
	prot->setsockopt = itls_embryo_setsockopt;
	prot->getsockopt = itls_embryo_getsockopt;
	prot->sendmsg = itls_embryo_sendmsg;
	prot->recvmsg = itls_embryo_recvmsg;
#ifdef CONFIG_BPF_SYSCALL
	prot->psock_update_sk_prot = NULL;
#endif
}

/**
 * itls_embryo_init() - settle the operations of a cloned child
 * @sk: the child, which has copied its listener's; softirq
 *
 * sk_clone() also noted the listener's table as the one the child's memory
 * came from.  A child with the ULP, even without memory for a context, gets
 * the table that fails closed.
 */
void itls_embryo_init(struct sock *sk)
{
	struct itls_proto *proto = itls_proto_of_family(sk->sk_family);

	sk->sk_prot_creator = proto->base;
	WRITE_ONCE(sk->sk_prot, proto->base);
	if (!inet_csk(sk)->icsk_ulp_ops)
		return;
	WRITE_ONCE(sk->sk_prot, &proto->embryo);
	embryo_hold_bytes(sk);
}
