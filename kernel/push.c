// SPDX-License-Identifier: GPL-2.0
/*
 * Handing sealed records over to TCP, by reference.
 *
 * A sealed record goes to TCP whole: the socket's send buffer is asked for
 * room before a record is begun, and lifted while it is handed over, so TCP
 * exceeds it by at most one push (ITLS_SEALED_RECORDS).  Only when the kernel
 * is out of memory does TCP take less; the rest stays in itls_sealed, before
 * anything newer, and goes with the next call, the next write-space event, a
 * retry of its own when no such event is to come, or close().  Nothing is ever
 * encrypted twice.
 *
 * Process context under the socket lock, but for itls_push_write_space().
 */
#include <linux/delay.h>
#include <linux/workqueue.h>

#include "itls.h"

/*
 * Bytes by which the send buffer is lifted while a push is under way: more
 * than its segments can be charged with.  Not "no limit", because TCP bounds
 * its backlog by the same number, and anybody may look.
 */
#define ITLS_PUSH_ROOM		SZ_1M
/* More than TCP charges for a segment besides its bytes. */
#define ITLS_SEGMENT_OVERHEAD	SZ_2K
/* What TCP refused with nothing under way is offered again; if in vain, after so long. */
#define ITLS_RETRY_MS		20

/* Can TCP still be given something, if only what was accepted before? */
bool itls_push_is_alive(const struct sock *sk)
{
	return !sk->sk_err &&
	       (1 << sk->sk_state) & (TCPF_ESTABLISHED | TCPF_CLOSE_WAIT);
}

bool itls_push_is_connected(const struct sock *sk)
{
	return itls_push_is_alive(sk) && !(sk->sk_shutdown & SEND_SHUTDOWN);
}

/* What a push changes on the socket, and puts back. */
struct push_state {
	int sndbuf;
	u8 sndbuf_locked;
	gfp_t gfp;
	bool task_frag;
	bool hurried;
	u8 nonagle;
};

/*
 * Lifting the send buffer is not enough when memory is short: TCP forces the
 * charge of a segment only when it may lower the buffer's size, and a size the
 * user has set it may not.  The page fragment of the running task is not ours
 * in softirq, should TCP have to copy (a device without scatter-gather).
 */
static void push_begin(struct sock *sk, struct itls_tx *tx, gfp_t gfp,
		       struct push_state *st)
{
	st->sndbuf = READ_ONCE(sk->sk_sndbuf);
	st->sndbuf_locked = sk->sk_userlocks & SOCK_SNDBUF_LOCK;
	st->gfp = sk->sk_allocation;
	st->task_frag = sk->sk_use_task_frag;
	st->hurried = false;
	tx->pushing = true;
	sk->sk_userlocks &= ~SOCK_SNDBUF_LOCK;
	sk->sk_allocation = gfp;
	sk->sk_use_task_frag = false;
}

static int lifted_sndbuf(const struct sock *sk, const struct push_state *st)
{
	u32 size = max(st->sndbuf, sk->sk_wmem_queued);

	return min_t(u32, size + ITLS_PUSH_ROOM, INT_MAX);
}

/* A buffer that TCP has made smaller meanwhile stays so. */
static void push_end(struct sock *sk, struct itls_tx *tx,
		     const struct push_state *st)
{
	int sndbuf = st->sndbuf;

	if (!st->sndbuf_locked)
		sndbuf = min(sndbuf, READ_ONCE(sk->sk_sndbuf));
	WRITE_ONCE(sk->sk_sndbuf, sndbuf);
	sk->sk_userlocks |= st->sndbuf_locked;
	sk->sk_allocation = st->gfp;
	sk->sk_use_task_frag = st->task_frag;
	/* Until it gets more: it may have to wait for a window or a device first. */
	if (st->hurried)
		tcp_sk(sk)->nonagle = st->nonagle | TCP_NAGLE_PUSH;
	tx->refused = tx->sealed.len;
	tx->pushing = false;
}

/*
 * Without this, what was refused when nothing was under way would wait for the
 * program's next call, while the peer waits for it.
 */
static void retry_later(struct sock *sk, struct itls_tx *tx)
{
	if (tx->ctx && itls_push_is_connected(sk) &&
	    tcp_rtx_and_write_queues_empty(sk) &&
	    queue_work(system_dfl_wq, &tx->retry))
		itls_ctx_get(tx->ctx);
}

/*
 * May TCP keep the end of what it is given until more comes, as MSG_MORE and
 * TCP_CORK ask?  It keeps less than a segment.  When all before it has been
 * acknowledged, poll() must call the socket writable with that alone: who waits
 * for room to send more would wait for this.  (If the buffer shrinks later,
 * TCP's own timer of some 200 ms sends it.)
 */
static bool may_linger(const struct sock *sk, size_t len)
{
	const struct tcp_sock *tp = tcp_sk(sk);
	u64 unsent = (u64)(tp->write_seq - tp->snd_nxt) + len;
	u64 kept = min_t(u64, unsent, tp->mss_cache);
	u64 queued = kept + ITLS_SEGMENT_OVERHEAD;

	return queued + queued / 2 < READ_ONCE(sk->sk_sndbuf) &&
	       kept * 2 < tcp_notsent_lowat(tp);
}

/*
 * Has this push go out to its last byte, whatever TCP was told to hold back.
 * TCP does the same before it waits for room, by means a module cannot reach.
 * Who wants to know what TCP was told takes the socket lock.
 */
static int push_all(struct sock *sk, struct push_state *st, int flags)
{
	struct tcp_sock *tp = tcp_sk(sk);

	if (!(flags & MSG_MORE) && !(tp->nonagle & TCP_NAGLE_CORK))
		return flags;
	st->hurried = true;
	st->nonagle = tp->nonagle;
	tp->nonagle = TCP_NAGLE_OFF;
	return flags & ~MSG_MORE;
}

/*
 * Gives what is sealed to TCP.  Never waits.  @flags: MSG_MORE, when more is to
 * come soon, or 0.  The error of the connection stays in sk_err, for the call
 * that reports it.
 *
 * Return: 0 when all is gone, -EAGAIN when TCP lacks memory, or the error of
 * the connection.
 */
static int push(struct sock *sk, struct itls_tx *tx, gfp_t gfp, int flags)
{
	struct itls_sealed *sealed = &tx->sealed;
	struct push_state st;
	int ret = 0;

	push_begin(sk, tx, gfp, &st);
	if (!may_linger(sk, sealed->len))
		flags = push_all(sk, &st, flags);
	while (sealed->len) {
		struct msghdr msg = {
			.msg_flags = MSG_SPLICE_PAGES | MSG_NO_SHARED_FRAGS |
				     MSG_DONTWAIT | MSG_NOSIGNAL | flags,
		};

		ret = itls_push_is_connected(sk) ? 0 : -EPIPE;
		if (ret)
			break;
		WRITE_ONCE(sk->sk_sndbuf, lifted_sndbuf(sk, &st));
		iov_iter_bvec(&msg.msg_iter, ITER_SOURCE,
			      &sealed->frags[sealed->first],
			      sealed->nr - sealed->first, sealed->len);
		ret = tcp_sendmsg_locked(sk, &msg, sealed->len);
		if (ret <= 0)
			break;
		itls_sealed_advance(sealed, ret);
	}
	push_end(sk, tx, &st);
	if (!sealed->len)
		return 0;
	retry_later(sk, tx);
	return ret ?: -EAGAIN;
}

/*
 * In process context the allocation may not fail, so TCP refuses nothing
 * while its queue is empty, and some acknowledgment brings the next
 * write-space event.
 */
static int push_in_process(struct sock *sk, struct itls_tx *tx, int flags)
{
	gfp_t gfp = sk->sk_allocation;

	if (!tx->sealed.len)
		return 0;
	if (gfpflags_allow_blocking(gfp) && sk->sk_route_caps & NETIF_F_SG)
		gfp |= __GFP_NOFAIL;
	return push(sk, tx, gfp, flags);
}

/* All of it shall go out at once. */
int itls_push_sealed(struct sock *sk, struct itls_tx *tx)
{
	return push_in_process(sk, tx, 0);
}

/*
 * More is to come soon: TCP may keep what is less than a segment, and with
 * segmentation offload sends few large packets instead of many that are not
 * full, since a push seldom ends where they do.
 */
int itls_push_more(struct sock *sk, struct itls_tx *tx)
{
	return push_in_process(sk, tx, MSG_MORE);
}

/* Sends what TCP has kept.  Process context, the socket is not locked. */
void itls_push_kept(struct sock *sk)
{
	void (*splice_eof)(struct socket *sock) =
		itls_ctx_of(sk)->proto->base->splice_eof;

	if (splice_eof && sk->sk_socket)
		splice_eof(sk->sk_socket);
}

/* The direction is freed only when this has ended: see itls_push_cancel(). */
static void push_retry(struct work_struct *work)
{
	struct itls_tx *tx = container_of(work, struct itls_tx, retry);
	struct itls_ctx *ctx = tx->ctx;
	struct sock *sk = ctx->sk;
	int err = 0;

	lock_sock(sk);
	/* In close() the direction has left the context. */
	if (ctx->tx == tx)
		err = itls_push_sealed(sk, tx);
	release_sock(sk);
	/* A timer, which every connection would carry, is too much for this. */
	if (err == -EAGAIN)
		msleep(ITLS_RETRY_MS);
	itls_ctx_put(ctx);
}

void itls_push_init(struct itls_tx *tx)
{
	INIT_WORK(&tx->retry, push_retry);
}

/* Process context, and not under the socket lock, which a retry takes. */
void itls_push_cancel(struct itls_tx *tx)
{
	if (tx->ctx && cancel_work_sync(&tx->retry))
		itls_ctx_put(tx->ctx);
}

/**
 * itls_push_write_space() - send what memory pressure held back
 * @sk: socket, locked or owned by the softirq that calls
 * @ctx: its context
 *
 * Called by TCP when acknowledgments free memory; softirq, or process
 * context in the backlog.  Allocations must not sleep here.  A push that is
 * under way calls back into this: it is left alone.
 */
void itls_push_write_space(struct sock *sk, struct itls_ctx *ctx)
{
	struct itls_tx *tx = ctx->tx;

	if (tx && !tx->pushing && tx->sealed.len)
		push(sk, tx, GFP_ATOMIC, 0);
}
