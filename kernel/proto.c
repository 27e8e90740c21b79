// SPDX-License-Identifier: GPL-2.0
/*
 * The operations of a socket: struct proto and struct proto_ops laid over
 * TCP's own, one pair for each address family, built at the first attach.
 * Each asks the context whether the call is ours; what is not goes to TCP.
 *
 * Process context, but for the three callbacks and the memory question, which
 * TCP calls in softirq too.
 *
 * Module text.  A socket's ULP reference may go while close() is still in
 * our text, so the reference that counts is the one of sock->ops: our tables
 * name this module as owner, it is taken when a table comes and put when it
 * goes, and the last put is done by __sock_release().
 */
#include <linux/module.h>
#include <linux/pagemap.h>
#include <linux/splice.h>
#include <linux/uaccess.h>
#include <net/inet_common.h>
#include <net/ipv6.h>
#include <net/transp_v6.h>

#include <asm/ioctls.h>
#include <linux/sockios.h>

#include "itls.h"

/* Memory that goes again as soon as it is there is given up on. */
#define ITLS_FAULT_TRIES	8
/* The longest option of TCP and IP is far shorter. */
#define ITLS_FAULT_MAX		((int)SZ_64K)

enum { ITLS_V4, ITLS_V6, ITLS_FAMILIES };

static struct itls_proto itls_protos[ITLS_FAMILIES];
static DEFINE_MUTEX(itls_proto_mutex);

/* ---- whose call is it --------------------------------------------------------- */

static bool handshake_decides(const struct itls_ctx *ctx)
{
	int state = itls_ctx_state(ctx);

	return state == ITLS_STATE_PENDING || state == ITLS_STATE_FAILED;
}

static bool tx_is_ours(const struct itls_ctx *ctx)
{
	/* Pairs with itls_ctx_install(). */
	return smp_load_acquire(&ctx->tx) || handshake_decides(ctx);
}

static bool rx_is_ours(const struct itls_ctx *ctx)
{
	/* Pairs with itls_ctx_install(). */
	return smp_load_acquire(&ctx->rx) || handshake_decides(ctx);
}

/* ---- callbacks ------------------------------------------------------------------ */

/* Readers are woken for whole records only, the channel for any byte. */
static void itls_data_ready(struct sock *sk)
{
	struct itls_ctx *ctx = itls_ctx_of(sk);

	if (itls_request_is_pending(ctx)) {
		itls_request_wake(ctx, EPOLLIN | EPOLLRDNORM);
		return;
	}
	if (ctx->rx) {
		itls_rx_check(sk, ctx->rx);
		if (!itls_rx_wants_reader(sk, ctx->rx) &&
		    !sock_flag(sk, SOCK_DONE))
			return;
	}
	ctx->saved.data_ready(sk);
}

static void itls_write_space(struct sock *sk)
{
	struct itls_ctx *ctx = itls_ctx_of(sk);

	if (itls_request_is_pending(ctx))
		itls_request_wake(ctx, EPOLLOUT | EPOLLWRNORM);
	itls_push_write_space(sk, ctx);
	ctx->saved.write_space(sk);
}

static void itls_state_change(struct sock *sk)
{
	struct itls_ctx *ctx = itls_ctx_of(sk);

	if (itls_request_is_pending(ctx))
		itls_request_wake(ctx, EPOLLIN | EPOLLHUP | EPOLLERR);
	ctx->saved.state_change(sk);
}

/* ---- struct proto ----------------------------------------------------------------- */

/*
 * Some options copy from the caller while they hold the socket lock, for as
 * long as the caller's memory likes to take.  While an agent may want the lock,
 * that would hold it up, and everybody else's handshakes: copy first.
 * (SOL_SOCKET does not pass here.)
 */
static int setsockopt_bounced(struct sock *sk, int level, int optname,
			      sockptr_t optval, unsigned int optlen)
{
	void *copy;
	int err;

	if (optlen > PAGE_SIZE)
		return -ENOBUFS;
	copy = memdup_sockptr(optval, optlen);
	if (IS_ERR(copy))
		return PTR_ERR(copy);
	err = itls_ctx_of(sk)->proto->base->setsockopt(sk, level, optname,
						       KERNEL_SOCKPTR(copy),
						       optlen);
	kfree(copy);
	return err;
}

static bool is_nagle_option(int level, int optname)
{
	return level == SOL_TCP &&
	       (optname == TCP_NODELAY || optname == TCP_CORK);
}

/* Did it make TCP push what TCP held back?  The socket is locked. */
static bool asked_for_push(const struct sock *sk, int optname)
{
	u8 nonagle = tcp_sk(sk)->nonagle;

	return (optname == TCP_NODELAY && nonagle & TCP_NAGLE_OFF) ||
	       (optname == TCP_CORK && !(nonagle & TCP_NAGLE_CORK));
}

/* The record left open goes, too. */
static void nagle_option_set(struct sock *sk, struct itls_ctx *ctx, int optname)
{
	bool push;

	lock_sock(sk);
	push = ctx->tx && asked_for_push(sk, optname);
	if (push)
		itls_tx_flush(sk, ctx);
	release_sock(sk);
	/* TCP_NODELAY has priority over TCP_CORK once, when it is set. */
	if (push && optname == TCP_NODELAY)
		tcp_sock_set_nodelay(sk);
}

/*
 * Never waits for the caller's memory; -EFAULT when it was not there.  The two
 * options under the lock, since a push may have them set otherwise meanwhile.
 */
static int getsockopt_at_once(struct sock *sk, struct itls_ctx *ctx, int level,
			      int optname, char __user *optval,
			      int __user *optlen)
{
	bool lock = is_nagle_option(level, optname);
	int err;

	if (lock)
		lock_sock(sk);
	pagefault_disable();
	err = ctx->proto->base->getsockopt(sk, level, optname, optval, optlen);
	pagefault_enable();
	if (lock)
		release_sock(sk);
	return err;
}

/* As setsockopt_bounced(): the memory is waited for without the lock. */
static int getsockopt_bounced(struct sock *sk, struct itls_ctx *ctx, int level,
			      int optname, char __user *optval,
			      int __user *optlen)
{
	int err, len, tries = ITLS_FAULT_TRIES;

	do {
		err = getsockopt_at_once(sk, ctx, level, optname, optval,
					 optlen);
		if (err != -EFAULT || get_user(len, optlen) ||
		    put_user(len, optlen))
			break;
		/* What is not there after all, the next attempt finds. */
		fault_in_safe_writeable(optval, clamp(len, 0, ITLS_FAULT_MAX));
	} while (--tries);
	return err;
}

static int itls_proto_setsockopt(struct sock *sk, int level, int optname,
				 sockptr_t optval, unsigned int optlen)
{
	struct itls_ctx *ctx = itls_ctx_of(sk);
	int err;

	if (level == SOL_TLS)
		return itls_sockopt_set(sk, optname, optval, optlen);
	if (handshake_decides(ctx))
		return setsockopt_bounced(sk, level, optname, optval, optlen);
	err = ctx->proto->base->setsockopt(sk, level, optname, optval, optlen);
	if (!err && is_nagle_option(level, optname))
		nagle_option_set(sk, ctx, optname);
	return err;
}

static int itls_proto_getsockopt(struct sock *sk, int level, int optname,
				 char __user *optval, int __user *optlen)
{
	struct itls_ctx *ctx = itls_ctx_of(sk);

	if (level == SOL_TLS)
		return itls_sockopt_get(sk, optname, optval, optlen);
	/* It would map ciphertext, and take it from under the record layer. */
	if (level == SOL_TCP && optname == TCP_ZEROCOPY_RECEIVE &&
	    rx_is_ours(ctx))
		return -EOPNOTSUPP;
	if (handshake_decides(ctx) || is_nagle_option(level, optname))
		return getsockopt_bounced(sk, ctx, level, optname, optval,
					  optlen);
	return ctx->proto->base->getsockopt(sk, level, optname, optval, optlen);
}

static int itls_proto_sendmsg(struct sock *sk, struct msghdr *msg, size_t size)
{
	struct itls_ctx *ctx = itls_ctx_of(sk);
	int ret;

	if (tx_is_ours(ctx))
		return itls_tx_sendmsg(sk, msg, size);
	/* Asked again under the lock: not a byte in plaintext after that. */
	lock_sock(sk);
	ret = tx_is_ours(ctx) ? -EPIPE : tcp_sendmsg_locked(sk, msg, size);
	release_sock(sk);
	return ret;
}

static int itls_proto_recvmsg(struct sock *sk, struct msghdr *msg, size_t len,
			      int flags ITLS_ADDR_LEN_PARAM)
{
	struct itls_ctx *ctx = itls_ctx_of(sk);

	if (rx_is_ours(ctx) && !(flags & MSG_ERRQUEUE))
		return itls_read_msg(sk, msg, len, flags);
	return ctx->proto->base->recvmsg(sk, msg, len,
					 flags ITLS_ADDR_LEN_ARG);
}

static void itls_proto_splice_eof(struct socket *sock)
{
	struct itls_ctx *ctx = itls_ctx_of(sock->sk);

	if (tx_is_ours(ctx))
		itls_tx_splice_eof(sock->sk);
	itls_push_kept(sock->sk);
}

static int itls_proto_ioctl(struct sock *sk, int cmd, int *karg)
{
	struct itls_ctx *ctx = itls_ctx_of(sk);

	if (cmd != SIOCINQ || !rx_is_ours(ctx))
		return ctx->proto->base->ioctl(sk, cmd, karg);
	lock_sock(sk);
	*karg = ctx->rx ? itls_rx_inq(sk, ctx) : 0;
	release_sock(sk);
	return 0;
}

/* The socket is locked. */
static void itls_proto_shutdown(struct sock *sk, int how)
{
	struct itls_ctx *ctx = itls_ctx_of(sk);

	if (how & SEND_SHUTDOWN) {
		itls_request_fail(ctx, -ECONNABORTED, ITLS_STAT_HS_SERVER_GONE);
		itls_control_close(sk, ctx);
	}
	if (how & RCV_SHUTDOWN && ctx->rx)
		ctx->rx->shut = true;
	ctx->proto->base->shutdown(sk, how);
}

/* What lies beneath a socket's operations, ours or not. */
static struct proto *base_of(const struct sock *sk)
{
	struct proto *prot = READ_ONCE(sk->sk_prot);
	int i;

	for (i = 0; i < ITLS_FAMILIES; i++)
		if (prot == &itls_protos[i].prot ||
		    prot == &itls_protos[i].embryo)
			return itls_protos[i].base;
	return prot;
}

/*
 * A connection may not be exchanged beneath its keys; a listener may go.  It
 * then calls this for children that nobody has accepted, plain ones too.
 */
static int itls_proto_disconnect(struct sock *sk, int flags)
{
	if (sk->sk_socket && sk->sk_state != TCP_LISTEN)
		return -EOPNOTSUPP;
	return base_of(sk)->disconnect(sk, flags);
}

static int itls_proto_connect(struct sock *sk, ITLS_SOCKADDR *addr, int len)
{
	return -EOPNOTSUPP;
}

static bool itls_proto_memory_free(const struct sock *sk, int wake)
{
	const struct itls_ctx *ctx = itls_ctx_of(sk);

	/* A record that was begun is taken whole: see tx.c. */
	if (ctx->tx && ctx->tx->pushing)
		return true;
	/* What was refused goes first; with nothing under way, by a send. */
	if (ctx->tx && ctx->tx->refused)
		return tcp_rtx_and_write_queues_empty(sk);
	return ctx->proto->base->stream_memory_free(sk, wake);
}

static void unhook(struct sock *sk, struct itls_ctx *ctx)
{
	if (ctx->hooked && ctx->saved.data_ready) {
		write_lock_bh(&sk->sk_callback_lock);
		WRITE_ONCE(sk->sk_data_ready, ctx->saved.data_ready);
		WRITE_ONCE(sk->sk_write_space, ctx->saved.write_space);
		WRITE_ONCE(sk->sk_state_change, ctx->saved.state_change);
		write_unlock_bh(&sk->sk_callback_lock);
	}
	ctx->hooked = false;
	WRITE_ONCE(sk->sk_prot, ctx->proto->base);
}

/*
 * TCP destroys a listener at once, while a softirq that has found it may
 * still be cloning it (see ulp.c).  So it leaves the LISTEN state first, and
 * whoever saw it there is waited for.
 */
static void stop_listening(struct sock *sk, const struct proto *base)
{
	lock_sock(sk);
	if (sk->sk_state == TCP_LISTEN)
		base->disconnect(sk, O_NONBLOCK);
	release_sock(sk);
	synchronize_rcu();
}

/*
 * TCP resets a connection whose data was not read, but does not know of what
 * is decrypted.
 */
static void reset_on_close(struct sock *sk)
{
	/* Here TCP's disconnect would drop what is under way, and say nothing. */
	if ((1 << sk->sk_state) & (TCPF_LAST_ACK | TCPF_CLOSING))
		return;
	sk->sk_lingertime = 0;
	sock_set_flag(sk, SOCK_LINGER);
}

/*
 * Sends what is left, forgets the keys, and leaves the rest to TCP.  The
 * context stays until the socket is destroyed.
 */
static void itls_proto_close(struct sock *sk, long timeout)
{
	struct itls_ctx *ctx = itls_ctx_of(sk);
	const struct proto *base = ctx->proto->base;
	struct itls_tx *tx;
	struct itls_rx *rx;

	if (ctx->listens)
		stop_listening(sk, base);
	lock_sock(sk);
	/* A reset is no goodbye: the peer must not take it for the end. */
	if (!sock_flag(sk, SOCK_LINGER) || sk->sk_lingertime)
		itls_control_close(sk, ctx);
	/* TCP would answer unread bytes with a reset, and kill our alert. */
	if (ctx->rx && itls_ctx_is_managed(ctx) && itls_rx_drain(sk, ctx))
		reset_on_close(sk);
	if (handshake_decides(ctx))
		itls_frame_discard(sk);
	WRITE_ONCE(ctx->state, ITLS_STATE_CLOSED);
	if (itls_request_complete(ctx))
		itls_stats_add(sk, ITLS_STAT_HS_SERVER_GONE, 1);
	itls_ctx_unregister(ctx);
	itls_idle_forget(ctx);
	unhook(sk, ctx);
	tx = ctx->tx;
	rx = ctx->rx;
	ctx->tx = NULL;
	ctx->rx = NULL;
	if (tx)
		itls_stats_add(sk, ITLS_STAT_CURR_TX, -1);
	if (rx)
		itls_stats_add(sk, ITLS_STAT_CURR_RX, -1);
	release_sock(sk);
	itls_tx_free(tx);
	itls_rx_free(rx);
	base->close(sk, timeout);
}

/* ---- struct proto_ops --------------------------------------------------------------- */

static __poll_t itls_ops_poll(struct file *file, struct socket *sock,
			      poll_table *wait)
{
	struct sock *sk = sock->sk;
	struct itls_ctx *ctx = itls_ctx_of(sk);
	__poll_t mask = ctx->proto->base_ops->poll(file, sock, wait);
	const struct itls_rx *rx;

	switch (itls_ctx_state(ctx)) {
	case ITLS_STATE_PENDING:
		return 0;
	case ITLS_STATE_FAILED:
		return EPOLLIN | EPOLLRDNORM | EPOLLRDHUP | EPOLLOUT |
		       EPOLLWRNORM | EPOLLERR | EPOLLHUP;
	}
	/* Pairs with itls_ctx_install(). */
	rx = smp_load_acquire(&ctx->rx);
	if (!rx)
		return mask;
	if (itls_rx_wants_reader(sk, ctx->rx))
		mask |= EPOLLIN | EPOLLRDNORM;
	else if (!(READ_ONCE(sk->sk_shutdown) & RCV_SHUTDOWN))
		mask &= ~(EPOLLIN | EPOLLRDNORM);
	if (READ_ONCE(rx->eof))
		mask |= EPOLLRDHUP;
	/* TLS has no urgent data, though TCP segments may claim it. */
	return mask & ~EPOLLPRI;
}

static ssize_t itls_ops_splice_read(struct socket *sock, loff_t *ppos,
				    struct pipe_inode_info *pipe, size_t len,
				    unsigned int flags)
{
	struct itls_ctx *ctx = itls_ctx_of(sock->sk);

	if (!rx_is_ours(ctx))
		return ctx->proto->base_ops->splice_read(sock, ppos, pipe, len,
							 flags);
	if (*ppos)
		return -ESPIPE;
	/* Plain TCP leaves the flag to the pipe, in-tree kTLS does not. */
	if (itls_ctx_is_managed(ctx))
		flags &= ~SPLICE_F_NONBLOCK;
	if (sock->file->f_flags & O_NONBLOCK)
		flags |= SPLICE_F_NONBLOCK;
	return itls_read_splice(sock->sk, pipe, len, flags);
}

/* SO_RCVLOWAT; the socket is locked. */
static int itls_ops_set_rcvlowat(struct sock *sk, int val)
{
	struct itls_ctx *ctx = itls_ctx_of(sk);
	int err = 0;

	if (itls_ctx_state(ctx) == ITLS_STATE_PENDING)
		ctx->rcvlowat = val ?: 1;
	else
		err = ctx->proto->base_ops->set_rcvlowat(sk, val);
	if (!err && ctx->rx)
		itls_rx_lowat_changed(sk, ctx);
	return err;
}

/* Kernel users that read a socket's queue themselves find none here. */
static int itls_ops_read_sock(struct sock *sk, read_descriptor_t *desc,
			      sk_read_actor_t recv_actor)
{
	return -EOPNOTSUPP;
}

static int itls_ops_read_skb(struct sock *sk, skb_read_actor_t recv_actor)
{
	return -EOPNOTSUPP;
}

/* ---- building and hooking ------------------------------------------------------------ */

static void build_prot(struct proto *prot, const struct proto *base)
{
	*prot = *base;
	prot->close = itls_proto_close;
	prot->connect = itls_proto_connect;
	prot->disconnect = itls_proto_disconnect;
	prot->ioctl = itls_proto_ioctl;
	prot->shutdown = itls_proto_shutdown;
	prot->setsockopt = itls_proto_setsockopt;
	prot->getsockopt = itls_proto_getsockopt;
	prot->sendmsg = itls_proto_sendmsg;
	prot->recvmsg = itls_proto_recvmsg;
	prot->splice_eof = itls_proto_splice_eof;
	prot->stream_memory_free = itls_proto_memory_free;
#ifdef CONFIG_BPF_SYSCALL
	prot->psock_update_sk_prot = NULL;
#endif
}

static void build_ops(struct proto_ops *ops, const struct proto_ops *base)
{
	*ops = *base;
	ops->owner = THIS_MODULE;
	ops->poll = itls_ops_poll;
	ops->accept = itls_embryo_accept;
	ops->splice_read = itls_ops_splice_read;
	ops->set_rcvlowat = itls_ops_set_rcvlowat;
	ops->read_sock = itls_ops_read_sock;
	ops->read_skb = itls_ops_read_skb;
	ops->set_peek_off = NULL;
	ops->sendmsg_locked = NULL;
	ops->peek_len = NULL;
	ops->mmap = sock_no_mmap;
}

static int family_of(const struct sock *sk)
{
	const struct proto *prot = READ_ONCE(sk->sk_prot);

	if (prot == &tcp_prot)
		return sk->sk_socket->ops == &inet_stream_ops ? ITLS_V4 :
								-EBUSY;
#if IS_ENABLED(CONFIG_IPV6)
	if (prot == &tcpv6_prot && sk->sk_socket->ops->family == PF_INET6)
		return ITLS_V6;
#endif
	return -EBUSY;
}

/* Of a family some socket of which was attached to. */
struct itls_proto *itls_proto_of_family(int family)
{
	return &itls_protos[family == AF_INET6 ? ITLS_V6 : ITLS_V4];
}

/**
 * itls_proto_of() - the operations that fit a socket
 * @sk: socket, locked; process context
 *
 * Return: NULL when the socket is not plain TCP: somebody else has changed
 * its operations, and two such layers cannot be stacked.
 */
struct itls_proto *itls_proto_of(struct sock *sk)
{
	int family = family_of(sk);
	struct itls_proto *proto;

	if (family < 0)
		return NULL;
	proto = &itls_protos[family];
	mutex_lock(&itls_proto_mutex);
	if (!proto->base) {
		proto->base_ops = sk->sk_socket->ops;
		build_ops(&proto->ops, proto->base_ops);
		build_prot(&proto->prot, sk->sk_prot);
		itls_embryo_build(proto, sk->sk_prot);
		proto->base = sk->sk_prot;
	}
	mutex_unlock(&itls_proto_mutex);
	return sk->sk_socket->ops == proto->base_ops ? proto : NULL;
}

/**
 * itls_proto_hook() - lay our operations over a socket
 * @sk: socket with a struct socket, locked; process context
 * @ctx: its context, published already
 *
 * A listener keeps its callbacks, because its children copy them.
 */
void itls_proto_hook(struct sock *sk, struct itls_ctx *ctx)
{
	const struct proto_ops *old = sk->sk_socket->ops;

	ctx->listens = sk->sk_state == TCP_LISTEN;
	if (!ctx->listens) {
		write_lock_bh(&sk->sk_callback_lock);
		ctx->saved.data_ready = sk->sk_data_ready;
		ctx->saved.write_space = sk->sk_write_space;
		ctx->saved.state_change = sk->sk_state_change;
		WRITE_ONCE(sk->sk_data_ready, itls_data_ready);
		WRITE_ONCE(sk->sk_write_space, itls_write_space);
		WRITE_ONCE(sk->sk_state_change, itls_state_change);
		write_unlock_bh(&sk->sk_callback_lock);
	}
	WRITE_ONCE(sk->sk_prot, &ctx->proto->prot);
	if (old != &ctx->proto->ops) {
		__module_get(THIS_MODULE);
		WRITE_ONCE(sk->sk_socket->ops, &ctx->proto->ops);
		module_put(old->owner);
	}
	ctx->hooked = true;
}

/*
 * The socket is being destroyed; any context.  What TCP still does with it
 * must not need our tables.  A child that got no context has no ctx.
 */
void itls_proto_release(struct sock *sk)
{
	struct itls_ctx *ctx = itls_ctx_of(sk);

	WRITE_ONCE(sk->sk_prot, base_of(sk));
	if (!ctx)
		return;
	unhook(sk, ctx);
	/* Charged to the socket, which is about to check its account. */
	__skb_queue_purge(&ctx->held);
}
