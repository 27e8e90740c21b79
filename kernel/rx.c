// SPDX-License-Identifier: GPL-2.0
/*
 * Receiving: records are framed where they lie, in TCP's receive queue, and
 * decrypted into skbs on a list from which readers take.
 *
 * Process context under the socket lock, but for itls_rx_check() and what it
 * calls, which data_ready runs in softirq with the lock's spinlock held.  No
 * pointer into TCP's queue outlives the section in which it was looked up:
 * the queue belongs to TCP, which trims and collapses it.
 */
#include <linux/scatterlist.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/splice.h>

#include "itls.h"

/* Pieces of ciphertext decrypted where they lie; a record in more is copied. */
#define ITLS_RX_FRAGS		30
/* Pieces of a plaintext skb: its head and at most 16 KiB in pages. */
#define ITLS_PLAIN_FRAGS	6
#define ITLS_PLAIN_ORDER	2
/* Records this short are decrypted into the skb's head. */
#define ITLS_PLAIN_LINEAR	1024
/* Bytes read before packets that arrived meanwhile are let in. */
#define ITLS_FLUSH_BYTES	(128 * 1024)
/* The longest record, header included. */
#define ITLS_STASH_MAX		(ITLS_HEADER_LEN + ITLS_EXPLICIT_MAX + \
				 ITLS_PLAIN_MAX + 1 + ITLS_TAG_LEN)
/* Headers FIONREAD looks at; a peer may send any number of tiny records. */
#define ITLS_INQ_RECORDS	64

/* In the cb of an skb on the list of decrypted records. */
struct plain_cb {
	u32 off;	/* bytes already read */
	u8 type;
};

static struct plain_cb *plain_cb(struct sk_buff *skb)
{
	BUILD_BUG_ON(sizeof(struct plain_cb) > sizeof(skb->cb));
	return (struct plain_cb *)skb->cb;
}

static u32 plain_left(struct sk_buff *skb)
{
	return skb->len - plain_cb(skb)->off;
}

struct itls_rx *itls_rx_alloc(const struct itls_keyinfo *key, bool keep_info)
{
	struct itls_rx *rx = kzalloc(sizeof(*rx), GFP_KERNEL);
	int err;

	if (!rx)
		return ERR_PTR(-ENOMEM);
	__skb_queue_head_init(&rx->plain);
	err = itls_cipher_init(&rx->cipher, key, keep_info);
	if (err) {
		itls_rx_free(rx);
		return ERR_PTR(err);
	}
	return rx;
}

void itls_rx_free(struct itls_rx *rx)
{
	if (!rx)
		return;
	__skb_queue_purge(&rx->plain);
	kfree(rx->stash);
	itls_cipher_free(&rx->cipher);
	kfree(rx);
}

/* ---- TCP's receive queue ------------------------------------------------- */

/*
 * Bytes in the queue; a FIN that was received takes a sequence number of its
 * own.  Unlike tcp_inq() blind to urgent data, which TLS does not have.
 */
static u32 queue_len(const struct sock *sk)
{
	const struct tcp_sock *tp = tcp_sk(sk);
	u32 len = READ_ONCE(tp->rcv_nxt) - READ_ONCE(tp->copied_seq);

	return len && sock_flag(sk, SOCK_DONE) ? len - 1 : len;
}

/* Where byte @off of the queue is in @skb; past its end: in a later one. */
static u32 queue_pos(const struct sock *sk, const struct sk_buff *skb, u32 off)
{
	u32 pos = tcp_sk(sk)->copied_seq + off - TCP_SKB_CB(skb)->seq;

	return TCP_SKB_CB(skb)->tcp_flags & TCPHDR_SYN ? pos - 1 : pos;
}

static int queue_copy(const struct sock *sk, u32 off, u8 *to, u32 len)
{
	struct sk_buff *skb;

	skb_queue_walk(&sk->sk_receive_queue, skb) {
		u32 pos = queue_pos(sk, skb, off), n;

		if (!len)
			break;
		if (pos >= skb->len)
			continue;
		n = min(len, skb->len - pos);
		if (skb_copy_bits(skb, pos, to, n))
			return -EFAULT;
		off += n;
		to += n;
		len -= n;
	}
	return len ? -EFAULT : 0;
}

/*
 * Lists the queue's bytes in @sg; -EMSGSIZE when it has too few entries.
 * The last entry of @sg is marked, which bounds skb_to_sgvec_nomark().
 */
static int queue_map(const struct sock *sk, u32 off, u32 len,
		     struct scatterlist *sg, int room)
{
	struct sk_buff *skb;
	int n = 0, ret;

	skb_queue_walk(&sk->sk_receive_queue, skb) {
		u32 pos = queue_pos(sk, skb, off), use;

		if (!len)
			break;
		if (pos >= skb->len)
			continue;
		if (n == room)
			return -EMSGSIZE;
		if (!skb_frags_readable(skb))
			return -EFAULT;
		use = min(len, skb->len - pos);
		ret = skb_to_sgvec_nomark(skb, sg + n, pos, use);
		if (ret < 0)
			return ret;
		n += ret;
		off += use;
		len -= use;
	}
	if (len || !n)
		return -EFAULT;
	sg_unmark_end(&sg[room - 1]);
	sg_mark_end(&sg[n - 1]);
	return 0;
}

/* Drops what is in the queue: bytes that are for nobody. */
void itls_rx_discard(struct sock *sk)
{
	if (queue_len(sk))
		tcp_read_done(sk, queue_len(sk));
}

/* ---- framing --------------------------------------------------------------- */

/* Where a record is: the stash holds its first bytes, the queue the rest. */
struct frame {
	u8 type;
	size_t body_len;
	u32 total;	/* header and body; 0: the header is not here yet */
	bool whole;
};

static int frame_bytes(const struct sock *sk, const struct itls_rx *rx,
		       u32 off, u8 *to, u32 len)
{
	u32 n = off < rx->stash_len ? min(len, rx->stash_len - off) : 0;

	if (n)
		memcpy(to, rx->stash + off, n);
	return queue_copy(sk, off + n - rx->stash_len, to + n, len - n);
}

/* Looks at the next record.  Error: what itls_record_parse() says of it. */
static int frame_next(const struct sock *sk, const struct itls_rx *rx,
		      struct frame *f)
{
	u32 have = rx->stash_len + queue_len(sk);
	u8 header[ITLS_HEADER_LEN];
	int err;

	memset(f, 0, sizeof(*f));
	if (have < ITLS_HEADER_LEN)
		return 0;
	err = frame_bytes(sk, rx, 0, header, sizeof(header)) ?:
	      itls_record_parse(&rx->cipher.record, header, &f->type,
				&f->body_len);
	if (err)
		return err;
	f->total = ITLS_HEADER_LEN + f->body_len;
	f->whole = have >= f->total;
	return 0;
}

/*
 * A record that does not fit TCP's receive buffer would never be whole: the
 * window closes first.
 */
static bool rx_is_stalled(const struct sock *sk)
{
	return tcp_epollin_ready(sk, INT_MAX);
}

/* Softirq or process context; the socket is locked either way. */
void itls_rx_check(struct sock *sk, struct itls_rx *rx)
{
	struct frame f;
	int err = frame_next(sk, rx, &f);

	/* A bad header is for the reader to find. */
	WRITE_ONCE(rx->whole, err || f.whole);
}

/* Is there something for recv() to return?  No lock. */
bool itls_rx_is_ready(const struct itls_rx *rx)
{
	return !skb_queue_empty_lockless(&rx->plain) || READ_ONCE(rx->whole) ||
	       READ_ONCE(rx->eof) || READ_ONCE(rx->err);
}

/* Is there something for a reader to do, be it to make room?  No lock. */
bool itls_rx_wants_reader(struct sock *sk, struct itls_rx *rx)
{
	return itls_rx_is_ready(rx) || rx_is_stalled(sk);
}

/*
 * Copies the record's bytes, or what there is of its header, out of the
 * queue, so that TCP has room again.
 */
static int rx_stash(struct sock *sk, struct itls_rx *rx, const struct frame *f)
{
	u32 len = (f->total ?: ITLS_HEADER_LEN) - rx->stash_len;
	int err;

	len = min(len, queue_len(sk));
	if (!len)
		return 0;
	if (!rx->stash)
		rx->stash = kmalloc(ITLS_STASH_MAX, GFP_KERNEL);
	if (!rx->stash)
		return -ENOMEM;
	err = queue_copy(sk, 0, rx->stash + rx->stash_len, len);
	if (err)
		return err;
	rx->stash_len += len;
	tcp_read_done(sk, len);
	return 0;
}

/* ---- decryption -------------------------------------------------------------- */

static struct sk_buff *plain_alloc(size_t len)
{
	size_t head = len <= ITLS_PLAIN_LINEAR ? len : 0;
	struct sk_buff *skb;
	int err;

	skb = alloc_skb_with_frags(head, len - head, ITLS_PLAIN_ORDER, &err,
				   GFP_KERNEL);
	if (!skb)
		return NULL;
	skb_put(skb, head);
	skb->data_len = len - head;
	skb->len = len;
	return skb;
}

/* Cuts padding and type off a TLS 1.3 plaintext (RFC 8446 5.4). */
static int plain_unpad(struct sk_buff *skb, u8 *type)
{
	u8 tail[64];
	int at;

	while (skb->len) {
		size_t n = min_t(size_t, skb->len, sizeof(tail));

		if (skb_copy_bits(skb, skb->len - n, tail, n))
			return -EFAULT;
		at = itls_record_inner(tail, n, type);
		if (pskb_trim(skb, skb->len - n + max(at, 0)))
			return -ENOMEM;
		if (at >= 0)
			return 0;
	}
	return -ENOMSG;
}

/* Lists the ciphertext after the prefix in @src, whose first entry is free. */
static int rx_map(struct sock *sk, struct itls_rx *rx, const struct frame *f,
		  struct scatterlist *src)
{
	u32 prefix_len = itls_record_prefix_len(&rx->cipher.record);
	u32 len = f->total - prefix_len;
	int err;

	sg_init_table(src, ITLS_RX_FRAGS + 1);
	if (!rx->stash_len) {
		err = queue_map(sk, prefix_len, len, src + 1, ITLS_RX_FRAGS);
		if (err != -EMSGSIZE)
			return err;
	}
	err = rx_stash(sk, rx, f);
	if (err)
		return err;
	sg_init_table(src, 2);
	sg_set_buf(&src[1], rx->stash + prefix_len, len);
	return 0;
}

/* The record is used up, whether it was authentic or not. */
static void rx_consume(struct sock *sk, struct itls_rx *rx,
		       const struct frame *f)
{
	if (rx->stash_len < f->total)
		tcp_read_done(sk, f->total - rx->stash_len);
	kfree(rx->stash);
	rx->stash = NULL;
	rx->stash_len = 0;
}

static int rx_decrypt(struct sock *sk, struct itls_rx *rx,
		      const struct frame *f, struct sk_buff *skb)
{
	const struct itls_record *r = &rx->cipher.record;
	struct scatterlist dst[ITLS_PLAIN_FRAGS + 1];
	struct scatterlist src[ITLS_RX_FRAGS + 1];
	u8 nonce[ITLS_EXPLICIT_MAX];
	int err;

	err = rx_map(sk, rx, f, src);
	if (err)
		return err;
	sg_init_table(dst, ARRAY_SIZE(dst));
	if (skb->len) {
		err = skb_to_sgvec(skb, dst + 1, 0, skb->len);
		if (err < 0)
			return err;
	} else {
		sg_mark_end(dst);
	}
	err = frame_bytes(sk, rx, ITLS_HEADER_LEN, nonce, r->explicit_len);
	if (err)
		return err;
	return itls_cipher_open(&rx->cipher, f->type, nonce, src, dst,
				f->body_len);
}

/* Decrypts the whole record @f; NULL in *@skbp unless it is for the reader. */
static int rx_open(struct sock *sk, struct itls_ctx *ctx, const struct frame *f,
		   struct sk_buff **skbp)
{
	struct itls_rx *rx = ctx->rx;
	const struct itls_record *r = &rx->cipher.record;
	size_t len = f->total - itls_record_prefix_len(r) - ITLS_TAG_LEN;
	struct sk_buff *skb = plain_alloc(len);
	u8 type = f->type;
	int err;

	*skbp = NULL;
	if (!skb)
		return -ENOMEM;
	err = rx_decrypt(sk, rx, f, skb);
	if (err == -ENOMEM)
		goto err_free;
	rx_consume(sk, rx, f);
	if (!err && itls_record_is_13(r))
		err = plain_unpad(skb, &type);
	/* RFC 8446 5.4 calls a record of zeroes an unexpected message. */
	if (err == -ENOMSG)
		err = itls_ctx_is_managed(ctx) ? -EPROTO : -EBADMSG;
	if (err)
		goto err_free;
	plain_cb(skb)->off = 0;
	plain_cb(skb)->type = type;
	*skbp = skb;
	return 0;

err_free:
	kfree_skb(skb);
	return err;
}

/*
 * Takes the next record out of TCP's queue.
 *
 * Return: 1 when one was taken (and is on the list, unless it was a control
 * record of a managed socket or empty), 0 when none is whole, -ENOMEM when it
 * may be tried again, or the error that ended the direction.
 */
static int rx_next(struct sock *sk, struct itls_ctx *ctx)
{
	struct itls_rx *rx = ctx->rx;
	struct sk_buff *skb;
	struct frame f;
	int err;

	if (rx->err) {
		sock_error(sk);
		if (itls_ctx_is_managed(ctx))
			itls_rx_discard(sk);
		return rx->err;
	}
	if (rx->eof) {
		/* RFC 8446 6.1: what follows close_notify is ignored. */
		itls_rx_discard(sk);
		return 0;
	}
	err = frame_next(sk, rx, &f);
	if (err)
		return itls_control_fatal(sk, ctx, err);
	if (!f.whole) {
		if (rx->stash_len || rx_is_stalled(sk))
			return rx_stash(sk, rx, &f);
		return 0;
	}
	err = rx_open(sk, ctx, &f, &skb);
	if (err)
		return err == -ENOMEM ? err : itls_control_fatal(sk, ctx, err);
	ctx->rx_records++;
	ctx->rx_bytes += skb->len;
	itls_stats_add(sk, ITLS_STAT_RX_RECORDS, 1);
	itls_stats_add(sk, ITLS_STAT_RX_BYTES, skb->len);
	if (itls_ctx_is_managed(ctx) &&
	    plain_cb(skb)->type != ITLS_TYPE_DATA) {
		err = itls_control_record(sk, ctx, plain_cb(skb)->type, skb);
		consume_skb(skb);
		return err ?: 1;
	}
	/* An empty data record is not the end of the stream. */
	if (!skb->len && plain_cb(skb)->type == ITLS_TYPE_DATA) {
		consume_skb(skb);
		return 1;
	}
	rx->plain_len += skb->len;
	__skb_queue_tail(&rx->plain, skb);
	return 1;
}

/* ---- reading ------------------------------------------------------------------ */

/*
 * Did a managed stream end without close_notify?  By FIN, or by a reset whose
 * error somebody (a send, SO_ERROR) has taken away already.
 */
static bool rx_is_truncated(const struct sock *sk, const struct itls_ctx *ctx)
{
	if (!itls_ctx_is_managed(ctx))
		return false;
	return sock_flag(sk, SOCK_DONE) ||
	       (sk->sk_state == TCP_CLOSE && !sk->sk_err && !ctx->rx->shut);
}

/*
 * SO_RCVLOWAT counts plaintext, TCP would count ciphertext: a reader that
 * still lacks a few bytes wants to hear of every segment.
 */
static void rx_lower_lowat(struct sock *sk, struct itls_rx *rx)
{
	if (rx->waiters++)
		return;
	rx->rcvlowat = sk->sk_rcvlowat;
	WRITE_ONCE(sk->sk_rcvlowat, 1);
}

static void rx_restore_lowat(struct sock *sk, struct itls_rx *rx)
{
	if (!--rx->waiters)
		WRITE_ONCE(sk->sk_rcvlowat, rx->rcvlowat);
}

/* Bytes a reader wants before it returns; others may be asleep already. */
static size_t rx_target(const struct sock *sk, const struct itls_rx *rx,
			int flags, size_t len)
{
	if (flags & MSG_WAITALL || !rx->waiters)
		return sock_rcvlowat(sk, flags & MSG_WAITALL, len);
	return min_t(size_t, rx->rcvlowat, len) ?: 1;
}

/* Has anything happened since @seen records had been read? */
static bool rx_has_news(struct sock *sk, const struct itls_ctx *ctx, u64 seen)
{
	const struct itls_rx *rx = ctx->rx;

	return READ_ONCE(ctx->rx_records) != seen || READ_ONCE(rx->whole) ||
	       READ_ONCE(rx->eof) || READ_ONCE(rx->err) || rx_is_stalled(sk) ||
	       READ_ONCE(sk->sk_err) ||
	       READ_ONCE(sk->sk_shutdown) & RCV_SHUTDOWN ||
	       READ_ONCE(sk->sk_state) == TCP_CLOSE;
}

/*
 * Waits for the next record.  A caller that has something (@have) to return
 * leaves the connection's error to the next call.  Return: 1 to look again, 0
 * at the end of the stream, or -errno, in the order in which tcp_recvmsg()
 * decides.
 */
static int rx_wait(struct sock *sk, struct itls_ctx *ctx, bool have,
		   long *timeo)
{
	DEFINE_WAIT_FUNC(wait, woken_wake_function);
	u64 seen = ctx->rx_records;
	struct itls_rx *rx = ctx->rx;

	if (rx->eof)
		return 0;
	if (rx_is_truncated(sk, ctx)) {
		itls_control_truncated(sk, ctx);
		return rx->err;
	}
	if (sock_flag(sk, SOCK_DONE))
		return 0;
	if (sk->sk_err)
		return have ? 0 : sock_error(sk);
	if (sk->sk_shutdown & RCV_SHUTDOWN)
		return 0;
	if (sk->sk_state == TCP_CLOSE)
		return -ENOTCONN;
	if (!*timeo)
		return -EAGAIN;
	if (signal_pending(current))
		return sock_intr_errno(*timeo);

	itls_rx_check(sk, rx);
	rx_lower_lowat(sk, rx);
	add_wait_queue(sk_sleep(sk), &wait);
	sk_set_bit(SOCKWQ_ASYNC_WAITDATA, sk);
	sk_wait_event(sk, timeo, rx_has_news(sk, ctx, seen), &wait);
	sk_clear_bit(SOCKWQ_ASYNC_WAITDATA, sk);
	remove_wait_queue(sk_sleep(sk), &wait);
	rx_restore_lowat(sk, rx);
	return 1;
}

/*
 * Finds the next decrypted record, waiting for it while the caller @has less
 * than its @target.  Return: 1 with *@skbp set, 0 when there is none (and,
 * having waited, will be none).
 */
static int rx_peek(struct sock *sk, struct itls_ctx *ctx, size_t has,
		   size_t target, long *timeo, struct sk_buff **skbp)
{
	int ret;

	while (!(*skbp = skb_peek(&ctx->rx->plain))) {
		ret = rx_next(sk, ctx);
		if (!ret && has < target)
			ret = rx_wait(sk, ctx, has, timeo);
		if (ret <= 0)
			return ret;
	}
	return 1;
}

/*
 * Tells the caller the content type (kTLS ABI: TLS_GET_RECORD_TYPE).  A
 * caller that cannot be told must not take a control record for data.
 */
static int rx_put_type(const struct itls_ctx *ctx, struct msghdr *msg, u8 type)
{
	int err;

	if (itls_ctx_is_managed(ctx))
		return 0;
	if (type == ITLS_TYPE_DATA && !msg->msg_controllen)
		return 0;
	err = put_cmsg(msg, SOL_TLS, TLS_GET_RECORD_TYPE, sizeof(type), &type);
	if (type != ITLS_TYPE_DATA && (err || msg->msg_flags & MSG_CTRUNC))
		return -EIO;
	return 0;
}

/* Bytes of one record were read; it leaves the list when it is used up. */
static void plain_advance(struct itls_rx *rx, struct sk_buff *skb, u32 n)
{
	plain_cb(skb)->off += n;
	rx->plain_len -= n;
	if (plain_left(skb))
		return;
	__skb_unlink(skb, &rx->plain);
	consume_skb(skb);
}

/* With @discard (MSG_TRUNC on TCP) the bytes are read and thrown away. */
static int rx_copy(struct itls_rx *rx, struct sk_buff *skb, struct msghdr *msg,
		   size_t len, bool discard)
{
	u32 n = min_t(size_t, len, plain_left(skb));
	int err = 0;

	if (!discard)
		err = skb_copy_datagram_msg(skb, plain_cb(skb)->off, msg, n);
	if (err)
		return err;
	plain_advance(rx, skb, n);
	return n;
}

static int rx_read(struct sock *sk, struct itls_ctx *ctx, struct msghdr *msg,
		   size_t len, int flags, long *timeo)
{
	size_t target = rx_target(sk, ctx->rx, flags, len);
	bool discard = flags & MSG_TRUNC && itls_ctx_is_managed(ctx);
	size_t copied = 0, flushed = 0;
	struct itls_rx *rx = ctx->rx;
	struct sk_buff *skb;
	u8 type = 0;
	int ret = 0;

	while (copied < len) {
		ret = rx_peek(sk, ctx, copied, target, timeo, &skb);
		if (ret <= 0)
			break;
		if (type && plain_cb(skb)->type != type)
			break;
		if (!type) {
			type = plain_cb(skb)->type;
			ret = rx_put_type(ctx, msg, type);
			if (ret)
				break;
		}
		ret = rx_copy(rx, skb, msg, len - copied, discard);
		if (ret < 0)
			break;
		copied += ret;
		if (type != ITLS_TYPE_DATA) {
			msg->msg_flags |= MSG_EOR;
			break;
		}
		if (copied - flushed >= ITLS_FLUSH_BYTES) {
			flushed = copied;
			sk_flush_backlog(sk);
		}
	}
	return copied ?: min(ret, 0);
}

/*
 * MSG_PEEK: decrypts until there is enough, which may wait and drop the
 * lock, and copies only then.  What is peeked at has left TCP's accounting,
 * so it is no more than the receive buffer would hold.
 */
static int rx_peek_read(struct sock *sk, struct itls_ctx *ctx,
			struct msghdr *msg, size_t len, int flags, long *timeo)
{
	size_t want = min_t(size_t, len, READ_ONCE(sk->sk_rcvbuf));
	size_t target = rx_target(sk, ctx->rx, flags, want);
	bool discard = flags & MSG_TRUNC && itls_ctx_is_managed(ctx);
	struct itls_rx *rx = ctx->rx;
	struct sk_buff *skb;
	size_t copied = 0;
	u8 type = 0;
	int ret = 1;

	while (ret > 0 && rx->plain_len < want) {
		skb = skb_peek_tail(&rx->plain);
		if (skb && plain_cb(skb)->type != ITLS_TYPE_DATA)
			break;
		ret = rx_next(sk, ctx);
		if (!ret && rx->plain_len < target)
			ret = rx_wait(sk, ctx, rx->plain_len, timeo);
	}
	skb_queue_walk(&rx->plain, skb) {
		u32 n = min_t(size_t, len - copied, plain_left(skb));
		int err;

		if (type && plain_cb(skb)->type != type)
			break;
		err = type ? 0 : rx_put_type(ctx, msg, plain_cb(skb)->type);
		type = plain_cb(skb)->type;
		if (!err && !discard)
			err = skb_copy_datagram_msg(skb, plain_cb(skb)->off,
						    msg, n);
		if (err)
			return copied ?: err;
		copied += n;
		if (type != ITLS_TYPE_DATA || copied == len)
			break;
	}
	return copied ?: min(ret, 0);
}

/**
 * itls_rx_recvmsg() - recv() and its kin on a socket that decrypts
 * @sk: socket, not locked
 * @msg: where to
 * @len: bytes wanted
 * @flags: MSG_*
 *
 * Return: bytes of one content type, 0 at the end of the stream, or -errno:
 * as tcp_recvmsg(), and the handshake's error, -EIO for a control record the
 * caller left no room to name, -EBADMSG, -EMSGSIZE, -EINVAL or -EPROTO for a
 * record that is not authentic, too long, not TLS, or out of place.
 */
int itls_rx_recvmsg(struct sock *sk, struct msghdr *msg, size_t len, int flags)
{
	struct itls_ctx *ctx = itls_ctx_of(sk);
	long timeo;
	int ret;

	if (flags & MSG_OOB)
		return -EINVAL;
	lock_sock(sk);
	timeo = sock_rcvtimeo(sk, flags & MSG_DONTWAIT);
	ret = itls_ctx_wait_ready(sk, ctx, timeo);
	if (!ret && flags & MSG_PEEK)
		ret = rx_peek_read(sk, ctx, msg, len, flags, &timeo);
	else if (!ret)
		ret = rx_read(sk, ctx, msg, len, flags, &timeo);
	if (ctx->rx)
		itls_rx_check(sk, ctx->rx);
	release_sock(sk);
	return ret;
}

/* Moves decrypted pages into a pipe; returns bytes or -errno. */
static ssize_t rx_splice(struct sock *sk, struct itls_ctx *ctx,
			 struct pipe_inode_info *pipe, size_t len,
			 unsigned int flags, long *timeo)
{
	struct itls_rx *rx = ctx->rx;
	struct sk_buff *skb;
	size_t copied = 0;
	int ret = 0;
	u32 n;

	while (copied < len) {
		ret = rx_peek(sk, ctx, copied, 1, timeo, &skb);
		if (ret <= 0)
			break;
		ret = -EINVAL;
		if (plain_cb(skb)->type != ITLS_TYPE_DATA)
			break;
		ret = skb_splice_bits(skb, sk, plain_cb(skb)->off, pipe,
				      min_t(size_t, len - copied,
					    plain_left(skb)), flags);
		if (ret <= 0)
			break;
		copied += ret;
		n = plain_left(skb);
		plain_advance(rx, skb, ret);
		if (n > ret)
			break;
	}
	return copied ?: min(ret, 0);
}

/**
 * itls_rx_splice_read() - splice() from a socket that decrypts
 * @sk: socket, not locked
 * @pipe: where to; locked by the caller
 * @len: bytes wanted
 * @flags: SPLICE_F_*, with SPLICE_F_NONBLOCK also for a non-blocking file
 *
 * Return: bytes, 0 at the end, or -errno as itls_rx_recvmsg(); -EINVAL for a
 * control record, which stays for recvmsg().
 */
ssize_t itls_rx_splice_read(struct sock *sk, struct pipe_inode_info *pipe,
			    size_t len, unsigned int flags)
{
	struct itls_ctx *ctx = itls_ctx_of(sk);
	ssize_t ret;
	long timeo;

	lock_sock(sk);
	timeo = sock_rcvtimeo(sk, flags & SPLICE_F_NONBLOCK);
	ret = itls_ctx_wait_ready(sk, ctx, timeo);
	if (!ret)
		ret = rx_splice(sk, ctx, pipe, len, flags, &timeo);
	if (ctx->rx)
		itls_rx_check(sk, ctx->rx);
	release_sock(sk);
	return ret;
}

/**
 * itls_rx_inq() - how many bytes of plaintext can be read (FIONREAD)
 * @sk: socket, locked
 * @ctx: its context
 *
 * The first record is decrypted, so 0 and more than 0 are exact.  Those after
 * it are judged by their headers: TLS 1.3 padding and control records count
 * as data, and past ITLS_INQ_RECORDS everything does.  Too much is safe (the
 * reader gets EAGAIN), too little would leave an edge-triggered reader asleep.
 */
int itls_rx_inq(struct sock *sk, struct itls_ctx *ctx)
{
	struct itls_rx *rx = ctx->rx;
	const struct itls_record *r = &rx->cipher.record;
	u8 header[ITLS_HEADER_LEN], type;
	u32 off, left, n = 0;
	size_t len, bytes;
	struct frame f;

	while (skb_queue_empty(&rx->plain) && rx_next(sk, ctx) > 0)
		;
	bytes = rx->plain_len;
	itls_rx_check(sk, rx);
	/* The next record may lie in the stash in part. */
	if (rx->eof || rx->err || frame_next(sk, rx, &f) || !f.whole)
		return min_t(size_t, bytes, INT_MAX);
	bytes += f.total - itls_record_overhead(r);
	off = f.total - rx->stash_len;
	left = queue_len(sk) - off;
	while (left >= ITLS_HEADER_LEN && n++ < ITLS_INQ_RECORDS) {
		if (queue_copy(sk, off, header, sizeof(header)) ||
		    itls_record_parse(r, header, &type, &len) ||
		    left < ITLS_HEADER_LEN + len)
			break;
		bytes += ITLS_HEADER_LEN + len - itls_record_overhead(r);
		off += ITLS_HEADER_LEN + len;
		left -= ITLS_HEADER_LEN + len;
	}
	if (n > ITLS_INQ_RECORDS)
		bytes += left;
	return min_t(size_t, bytes, INT_MAX);
}

/* Bytes the handshake had decrypted already come before all others. */
int itls_rx_prefix(struct itls_rx *rx, const void *data, size_t len)
{
	struct sk_buff *skb = plain_alloc(len);

	if (!skb)
		return -ENOMEM;
	if (skb_store_bits(skb, 0, data, len)) {
		kfree_skb(skb);
		return -EFAULT;
	}
	plain_cb(skb)->off = 0;
	plain_cb(skb)->type = ITLS_TYPE_DATA;
	rx->plain_len += len;
	__skb_queue_head(&rx->plain, skb);
	return 0;
}

/*
 * At close, takes control records that wait: TCP answers a close with unread
 * bytes by a reset, which may destroy data still under way to the peer, and
 * an unread close_notify must not count as unread data.
 */
void itls_rx_drain(struct sock *sk, struct itls_ctx *ctx)
{
	while (skb_queue_empty(&ctx->rx->plain) && rx_next(sk, ctx) > 0)
		;
	if (ctx->rx->eof || ctx->rx->err)
		itls_rx_discard(sk);
}
