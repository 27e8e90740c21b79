// SPDX-License-Identifier: GPL-2.0
/*
 * Receiving: decrypted records on a list, and the readers who take from it,
 * wait for it, look at it and ask how long it is.
 *
 * Process context under the socket lock, but for itls_rx_check(), which
 * data_ready runs in softirq with the lock's spinlock held.
 */
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/splice.h>

#include "itls.h"

/* Bytes read before packets that arrived meanwhile are let in. */
#define ITLS_FLUSH_BYTES	(128 * 1024)
/* Memory that a peek for so many bytes may take, whatever the buffer's size. */
#define ITLS_PEEK_MEMORY	SZ_1M
/* Records without data taken in a row; each may cost a change of keys. */
#define ITLS_CONTROL_BURST	64
/* Headers FIONREAD looks at; a peer may send any number of tiny records. */
#define ITLS_INQ_RECORDS	64

static struct kmem_cache *rx_cache;

static u32 plain_left(struct sk_buff *skb)
{
	return skb->len - itls_plain(skb)->off;
}

struct itls_rx *itls_rx_alloc(const struct itls_keyinfo *key)
{
	struct itls_rx *rx = kmem_cache_zalloc(rx_cache, GFP_KERNEL);
	int err;

	if (!rx)
		return ERR_PTR(-ENOMEM);
	__skb_queue_head_init(&rx->plain);
	err = itls_cipher_init(&rx->cipher, key);
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
	kfree_sensitive(rx->ticket);
	itls_cipher_free(&rx->cipher);
	memzero_explicit(rx, sizeof(*rx));
	kmem_cache_free(rx_cache, rx);
}

/*
 * Plaintext of the whole records in TCP's queue, judged by their headers: TLS
 * 1.3 padding and control records count as data, and past ITLS_INQ_RECORDS
 * everything does.
 */
static size_t rx_undecrypted(const struct sock *sk, const struct itls_rx *rx)
{
	const struct itls_record *r = &rx->cipher.record;
	u8 header[ITLS_HEADER_LEN], type;
	u32 off, left, n = 0;
	struct itls_frame f;
	size_t len, bytes;

	/* The first may lie in the stash in part. */
	if (itls_frame_next(sk, rx, &f) || !f.whole)
		return 0;
	bytes = f.total - itls_record_overhead(r);
	off = f.total - rx->stash_len;
	left = itls_frame_queued(sk) - off;
	while (left >= ITLS_HEADER_LEN && n++ < ITLS_INQ_RECORDS) {
		if (itls_frame_peek(sk, off, header, sizeof(header)) ||
		    itls_record_parse(r, header, &type, &len) ||
		    left < ITLS_HEADER_LEN + len)
			break;
		bytes += ITLS_HEADER_LEN + len - itls_record_overhead(r);
		off += ITLS_HEADER_LEN + len;
		left -= ITLS_HEADER_LEN + len;
	}
	if (n > ITLS_INQ_RECORDS)
		bytes += left;
	return bytes;
}

/* Can this be something other than data, which need not wait for more? */
static bool frame_may_be_control(const struct itls_rx *rx,
				 const struct itls_frame *f)
{
	const struct itls_record *r = &rx->cipher.record;

	if (!itls_record_is_13(r))
		return f->type != ITLS_TYPE_DATA;
	return f->total - itls_record_overhead(r) == ITLS_ALERT_LEN;
}

/*
 * SO_RCVLOWAT counts plaintext, decrypted or not.  What cannot grow is enough,
 * however short; a reader asleep wants to hear of every record.
 */
static bool rx_is_enough(const struct sock *sk, const struct itls_rx *rx,
			 const struct itls_frame *f)
{
	int lowat = rx->lowered ? rx->rcvlowat : READ_ONCE(sk->sk_rcvlowat);
	struct sk_buff *last = skb_peek_tail(&rx->plain);

	if (!last && !rx->whole)
		return false;
	if (lowat <= 1 || rx->sleepers || rx->rekey || rx->broken)
		return true;
	if (last && itls_plain(last)->type != ITLS_TYPE_DATA)
		return true;
	if (rx->whole && (!f->whole || frame_may_be_control(rx, f)))
		return true;
	return rx->plain_len + rx_undecrypted(sk, rx) >= lowat;
}

/* Softirq or process context; the socket is locked either way. */
void itls_rx_check(struct sock *sk, struct itls_rx *rx)
{
	struct itls_frame f;
	int err = itls_frame_next(sk, rx, &f);

	/* A bad header is for the reader to find; not without its key. */
	WRITE_ONCE(rx->whole, !rx->rekey && !rx->broken && (err || f.whole));
	WRITE_ONCE(rx->ready, rx_is_enough(sk, rx, &f));
}

/*
 * TCP would not tell of fewer bytes in its queue than the low water mark: too
 * late for a reader asleep, and when bytes that left the queue count towards it.
 */
static void rx_adjust_lowat(struct sock *sk, struct itls_rx *rx)
{
	bool lower = rx->sleepers || rx->stash_len ||
		     !skb_queue_empty(&rx->plain);

	if (lower == rx->lowered)
		return;
	if (lower)
		rx->rcvlowat = sk->sk_rcvlowat;
	WRITE_ONCE(sk->sk_rcvlowat, lower ? 1 : rx->rcvlowat);
	rx->lowered = lower;
}

/* Does a record wait for a reader to make room for it?  No lock. */
static bool rx_is_stalled(const struct sock *sk, const struct itls_rx *rx)
{
	return !READ_ONCE(rx->rekey) && !READ_ONCE(rx->broken) &&
	       itls_frame_is_stalled(sk);
}

/*
 * What is left may be part of a record whose rest TCP has no memory for, and a
 * reader that has read all it was told of will not come back.
 */
static void rx_make_room(struct sock *sk, struct itls_rx *rx)
{
	struct itls_frame f;

	if (rx->eof || rx->err || !rx_is_stalled(sk, rx))
		return;
	if (!itls_frame_next(sk, rx, &f) && !f.whole)
		itls_frame_stash(sk, rx, &f);
}

/*
 * After any call that may have changed what there is to read; process context,
 * the socket is locked.
 */
void itls_rx_settle(struct sock *sk, struct itls_rx *rx)
{
	rx_make_room(sk, rx);
	rx_adjust_lowat(sk, rx);
	itls_rx_check(sk, rx);
}

/* SO_RCVLOWAT was set on TCP, by BPF perhaps in softirq; the socket is locked. */
void itls_rx_lowat_changed(struct sock *sk, struct itls_ctx *ctx)
{
	struct itls_rx *rx = ctx->rx;

	rx->lowered = false;
	rx_adjust_lowat(sk, rx);
	itls_rx_check(sk, rx);
	if (itls_rx_wants_reader(sk, rx))
		ctx->saved.data_ready(sk);
}

/* Is there something for recv() to return?  No lock. */
bool itls_rx_is_ready(const struct itls_rx *rx)
{
	return READ_ONCE(rx->ready) || READ_ONCE(rx->eof) ||
	       READ_ONCE(rx->err);
}

/* Is there something for a reader to do, be it to make room?  No lock. */
bool itls_rx_wants_reader(struct sock *sk, struct itls_rx *rx)
{
	return itls_rx_is_ready(rx) || rx_is_stalled(sk, rx);
}

/* The program has set the key that a KeyUpdate announced; socket locked. */
void itls_rx_rekeyed(struct itls_rx *rx)
{
	memset(&rx->handshake, 0, sizeof(rx->handshake));
	WRITE_ONCE(rx->rekey, false);
}

/*
 * Handshake messages are the program's business, but nothing can be decrypted
 * after a KeyUpdate until it has set the new key.
 */
static void rx_look_for_key_update(struct sock *sk, struct itls_rx *rx,
				   const struct sk_buff *skb)
{
	u8 bytes[64];
	u32 off, n;

	for (off = 0; off < skb->len; off += n) {
		n = min_t(u32, skb->len - off, sizeof(bytes));
		if (skb_copy_bits(skb, off, bytes, n))
			return;
		if (itls_record_has_key_update(&rx->handshake, bytes, n))
			WRITE_ONCE(rx->rekey, true);
	}
	if (rx->rekey)
		itls_stats_add(sk, ITLS_STAT_RX_KEY_UPDATE, 1);
}

/* rx_next() took a record of data that has none. */
#define ITLS_RX_EMPTY	2

/*
 * A header from which no record follows.  Under the kTLS ABI the error is the
 * socket's, which the next reader takes; others then wait, for the end.
 */
static int rx_break(struct sock *sk, struct itls_ctx *ctx, int err)
{
	if (itls_ctx_is_managed(ctx))
		return itls_control_fatal(sk, ctx, err);
	itls_stats_add(sk, ITLS_STAT_RX_PROTOCOL_ERROR, 1);
	WRITE_ONCE(ctx->rx->broken, err);
	WRITE_ONCE(sk->sk_err, -err);
	sk_error_report(sk);
	return 0;
}

/*
 * A record that was opened.  On a managed socket all but data is the kernel's;
 * between the parts of a handshake message nothing else may come (RFC 8446 5.1).
 */
static int rx_take_managed(struct sock *sk, struct itls_ctx *ctx,
			   struct sk_buff *skb)
{
	struct itls_rx *rx = ctx->rx;
	u8 type = itls_plain(skb)->type;
	int err = 0;

	if (itls_message_is_open(rx) && type != ITLS_TYPE_HANDSHAKE &&
	    itls_record_is_13(&rx->cipher.record))
		return itls_control_fatal(sk, ctx, -EPROTO);
	if (type != ITLS_TYPE_DATA)
		err = itls_control_record(sk, ctx, type, skb);
	if (!err)
		itls_update_count_rx(ctx);
	return err;
}

/* A peer that has much to say, but no data, shall not hold the lock for long. */
static int rx_count_control(struct itls_rx *rx)
{
	if (++rx->burst < ITLS_CONTROL_BURST)
		return 1;
	rx->burst = 0;
	return -EAGAIN;
}

/*
 * Takes the next record out of TCP's queue.
 *
 * Return: 1 when one was taken (and is on the list, unless it was a control
 * record of a managed socket), ITLS_RX_EMPTY, 0 when none is whole, -ENOMEM and
 * -EAGAIN (others have a turn first) when it may be tried again, -EKEYEXPIRED
 * until the key is changed, or the error that ended the direction.
 */
static int rx_next(struct sock *sk, struct itls_ctx *ctx)
{
	struct itls_rx *rx = ctx->rx;
	struct sk_buff *skb;
	struct itls_frame f;
	int err;

	if (rx->err) {
		sock_error(sk);
		if (itls_ctx_is_managed(ctx))
			itls_frame_discard(sk);
		return rx->err;
	}
	if (rx->eof) {
		/* RFC 8446 6.1: what follows close_notify is ignored. */
		itls_frame_discard(sk);
		return 0;
	}
	if (rx->rekey)
		return -EKEYEXPIRED;
	if (rx->broken)
		return 0;
	err = itls_update_rx(sk, ctx);
	if (err)
		return err == -ENOMEM ? err : itls_control_fatal(sk, ctx, err);
	err = itls_frame_next(sk, rx, &f);
	if (err)
		return rx_break(sk, ctx, err);
	if (!f.whole) {
		itls_update_answer(sk, ctx);
		if (rx->stash_len || rx_is_stalled(sk, rx))
			return itls_frame_stash(sk, rx, &f);
		return 0;
	}
	if (itls_ctx_is_managed(ctx) && itls_update_is_over(&rx->cipher)) {
		itls_control_expire(sk, ctx);
		return rx->err;
	}
	err = itls_frame_open(sk, ctx, &f, &skb);
	if (err)
		return err == -ENOMEM ? err : itls_control_fatal(sk, ctx, err);
	ctx->rx_records++;
	ctx->rx_bytes += skb->len;
	itls_stats_add(sk, ITLS_STAT_RX_RECORDS, 1);
	itls_stats_add(sk, ITLS_STAT_RX_BYTES, skb->len);
	err = itls_ctx_is_managed(ctx) ? rx_take_managed(sk, ctx, skb) : 0;
	if (err || (itls_ctx_is_managed(ctx) &&
		    itls_plain(skb)->type != ITLS_TYPE_DATA)) {
		consume_skb(skb);
		return err ?: rx_count_control(rx);
	}
	/* An empty data record is not the end of the stream. */
	if (!skb->len && itls_plain(skb)->type == ITLS_TYPE_DATA) {
		consume_skb(skb);
		return ITLS_RX_EMPTY;
	}
	if (itls_plain(skb)->type == ITLS_TYPE_HANDSHAKE &&
	    itls_record_is_13(&rx->cipher.record))
		rx_look_for_key_update(sk, rx, skb);
	rx->burst = 0;
	rx->plain_len += skb->len;
	rx->plain_size += skb->truesize;
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

static bool rx_has_ended(const struct sock *sk)
{
	return sock_flag(sk, SOCK_DONE) || sk->sk_shutdown & RCV_SHUTDOWN ||
	       sk->sk_state == TCP_CLOSE;
}

/* Bytes a reader wants before it returns. */
static size_t rx_target(const struct sock *sk, const struct itls_rx *rx,
			int flags, size_t len)
{
	if (flags & MSG_WAITALL || !rx->lowered)
		return sock_rcvlowat(sk, flags & MSG_WAITALL, len);
	return min_t(size_t, rx->rcvlowat, len) ?: 1;
}

/* Has anything happened since @seen records had been read? */
static bool rx_has_news(struct sock *sk, const struct itls_ctx *ctx, u64 seen)
{
	const struct itls_rx *rx = ctx->rx;

	return READ_ONCE(ctx->rx_records) != seen || READ_ONCE(rx->whole) ||
	       READ_ONCE(rx->eof) || READ_ONCE(rx->err) || rx_is_stalled(sk, rx) ||
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
	/* Who takes the error first has it; others go by what is left. */
	if (rx->broken && sk->sk_err)
		return have ? 0 : sock_error(sk) ?: 1;
	/* Not an end that could be taken for the stream's. */
	if (rx->broken && rx_has_ended(sk))
		return rx->broken;
	if (rx_is_truncated(sk, ctx)) {
		itls_control_truncated(sk, ctx);
		return rx->err;
	}
	if (sock_flag(sk, SOCK_DONE))
		return 0;
	if (sk->sk_err)
		return have ? 0 : sock_error(sk) ?: 1;
	if (sk->sk_shutdown & RCV_SHUTDOWN)
		return 0;
	if (sk->sk_state == TCP_CLOSE)
		return -ENOTCONN;
	if (!*timeo)
		return -EAGAIN;
	if (signal_pending(current))
		return sock_intr_errno(*timeo);

	rx->sleepers++;
	itls_rx_settle(sk, rx);
	add_wait_queue(sk_sleep(sk), &wait);
	sk_set_bit(SOCKWQ_ASYNC_WAITDATA, sk);
	sk_wait_event(sk, timeo, rx_has_news(sk, ctx, seen), &wait);
	sk_clear_bit(SOCKWQ_ASYNC_WAITDATA, sk);
	remove_wait_queue(sk_sleep(sk), &wait);
	rx->sleepers--;
	rx_adjust_lowat(sk, rx);
	return 1;
}

/*
 * rx_next() for a reader, who goes on after others had a turn, or is told to
 * come back.
 */
static int rx_take(struct sock *sk, struct itls_ctx *ctx, const long *timeo)
{
	int ret;

	while ((ret = rx_next(sk, ctx)) == -EAGAIN) {
		if (!*timeo) {
			ctx->saved.data_ready(sk);
			return ret;
		}
		if (signal_pending(current))
			return sock_intr_errno(*timeo);
		release_sock(sk);
		cond_resched();
		lock_sock(sk);
	}
	return ret;
}

/*
 * Finds the next decrypted record, waiting for it while the caller @has less
 * than its @target.  Return: 1 with *@skbp set, ITLS_RX_EMPTY, 0 when there is none (and,
 * having waited, will be none).
 */
static int rx_peek(struct sock *sk, struct itls_ctx *ctx, size_t has,
		   size_t target, long *timeo, struct sk_buff **skbp)
{
	int ret;

	while (!(*skbp = skb_peek(&ctx->rx->plain))) {
		ret = rx_take(sk, ctx, timeo);
		if (!ret && has < target)
			ret = rx_wait(sk, ctx, has, timeo);
		if (ret <= 0 || ret == ITLS_RX_EMPTY)
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
	itls_plain(skb)->off += n;
	rx->plain_len -= n;
	if (plain_left(skb))
		return;
	__skb_unlink(skb, &rx->plain);
	rx->plain_size -= skb->truesize;
	consume_skb(skb);
}

/* With @discard (MSG_TRUNC on TCP) the bytes are read and thrown away. */
static int rx_copy(struct itls_rx *rx, struct sk_buff *skb, struct msghdr *msg,
		   size_t len, bool discard)
{
	u32 n = min_t(size_t, len, plain_left(skb));
	int err = 0;

	if (!discard)
		err = skb_copy_datagram_msg(skb, itls_plain(skb)->off, msg, n);
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
	u8 type = 0, next;
	int ret = 0;
	u32 left;

	/* TCP looks for something even when no bytes are asked for. */
	while (copied < len || (!len && itls_ctx_is_managed(ctx))) {
		ret = rx_peek(sk, ctx, copied, target, timeo, &skb);
		if (ret <= 0)
			break;
		/* Told of an empty record only who will not take it for the end. */
		if (!skb && !msg->msg_controllen)
			continue;
		next = skb ? itls_plain(skb)->type : ITLS_TYPE_DATA;
		if (type && next != type)
			break;
		if (!type) {
			type = next;
			ret = rx_put_type(ctx, msg, type);
			if (ret)
				break;
		}
		if (!skb)
			continue;
		left = plain_left(skb);
		ret = rx_copy(rx, skb, msg, len - copied, discard);
		if (ret < 0)
			break;
		copied += ret;
		if (ret == left && !itls_ctx_is_managed(ctx))
			msg->msg_flags |= MSG_EOR;
		if (type != ITLS_TYPE_DATA || !len)
			break;
		if (copied - flushed >= ITLS_FLUSH_BYTES) {
			flushed = copied;
			sk_flush_backlog(sk);
		}
	}
	return copied ?: min(ret, 0);
}

/*
 * May a peek decrypt one more record?  What is peeked at has left TCP's
 * accounting, so it takes no more memory than the receive buffer might, or
 * some more while there is less than the caller insists on: a record of one
 * byte takes a kilobyte.
 */
static bool peek_has_room(const struct sock *sk, const struct itls_rx *rx,
			  size_t target)
{
	unsigned int rcvbuf = READ_ONCE(sk->sk_rcvbuf);

	if (rx->plain_len < target && rx->plain_size < ITLS_PEEK_MEMORY)
		return true;
	return rx->plain_size < rcvbuf;
}

/*
 * MSG_PEEK: decrypts until there is enough, which may wait and drop the
 * lock, and copies only then.
 */
static int rx_peek_read(struct sock *sk, struct itls_ctx *ctx,
			struct msghdr *msg, size_t len, int flags, long *timeo)
{
	/* TCP looks for something even when no bytes are asked for. */
	size_t least = itls_ctx_is_managed(ctx);
	size_t want = clamp_t(size_t, len, least, READ_ONCE(sk->sk_rcvbuf));
	size_t target = rx_target(sk, ctx->rx, flags, want);
	bool discard = flags & MSG_TRUNC && itls_ctx_is_managed(ctx);
	struct itls_rx *rx = ctx->rx;
	struct sk_buff *skb;
	size_t copied = 0;
	u8 type = 0;
	int ret = 1;

	while (ret > 0 && rx->plain_len < want &&
	       peek_has_room(sk, rx, target)) {
		skb = skb_peek_tail(&rx->plain);
		if (skb && itls_plain(skb)->type != ITLS_TYPE_DATA)
			break;
		ret = rx_take(sk, ctx, timeo);
		if (!ret && rx->plain_len < target)
			ret = rx_wait(sk, ctx, rx->plain_len, timeo);
	}
	skb_queue_walk(&rx->plain, skb) {
		u32 n = min_t(size_t, len - copied, plain_left(skb));
		int err;

		if (type && itls_plain(skb)->type != type)
			break;
		err = type ? 0 : rx_put_type(ctx, msg, itls_plain(skb)->type);
		type = itls_plain(skb)->type;
		if (!err && !discard)
			err = skb_copy_datagram_msg(skb, itls_plain(skb)->off,
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
 * caller left no room to name, -EKEYEXPIRED between KeyUpdate and the new key,
 * -EBADMSG, -EMSGSIZE, -EINVAL or -EPROTO for a record that is not authentic,
 * too long, not TLS, or out of place.
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
		itls_rx_settle(sk, ctx->rx);
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
		if (!skb)
			continue;
		ret = -EINVAL;
		if (itls_plain(skb)->type != ITLS_TYPE_DATA)
			break;
		ret = skb_splice_bits(skb, sk, itls_plain(skb)->off, pipe,
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
		itls_rx_settle(sk, ctx->rx);
	release_sock(sk);
	return ret;
}

/**
 * itls_rx_inq() - how many bytes of plaintext can be read (FIONREAD)
 * @sk: socket, locked
 * @ctx: its context
 *
 * The first record is decrypted, so 0 and more than 0 are exact; for those
 * after it see rx_undecrypted().  Too much is safe (the reader gets EAGAIN),
 * too little would leave an edge-triggered reader asleep.
 */
int itls_rx_inq(struct sock *sk, struct itls_ctx *ctx)
{
	struct itls_rx *rx = ctx->rx;
	size_t bytes;

	while (skb_queue_empty(&rx->plain) && rx_next(sk, ctx) > 0)
		;
	itls_rx_settle(sk, rx);
	bytes = rx->plain_len;
	if (rx->whole && !rx->eof && !rx->err)
		bytes += rx_undecrypted(sk, rx);
	return min_t(size_t, bytes, INT_MAX);
}

/* Bytes the handshake had decrypted already come before all others. */
int itls_rx_prefix(struct itls_rx *rx, const void *data, size_t len)
{
	struct sk_buff *skb = itls_frame_alloc_plain(len);

	if (!skb)
		return -ENOMEM;
	if (skb_store_bits(skb, 0, data, len)) {
		kfree_skb(skb);
		return -EFAULT;
	}
	itls_plain(skb)->off = 0;
	itls_plain(skb)->type = ITLS_TYPE_DATA;
	rx->plain_len += len;
	rx->plain_size += skb->truesize;
	__skb_queue_head(&rx->plain, skb);
	return 0;
}

/*
 * At close, takes control records that wait: TCP answers a close with unread
 * bytes by a reset, which may destroy data still under way to the peer, and
 * an unread close_notify must not count as unread data.
 *
 * Return: whether there is data that nobody read, on a connection that has
 * not failed.
 */
bool itls_rx_drain(struct sock *sk, struct itls_ctx *ctx)
{
	struct itls_rx *rx = ctx->rx;

	while (skb_queue_empty(&rx->plain) && rx_next(sk, ctx) > 0)
		;
	if (rx->eof || rx->err)
		itls_frame_discard(sk);
	return (rx->plain_len || rx->stash_len) && !rx->err;
}

int itls_rx_init(void)
{
	rx_cache = KMEM_CACHE(itls_rx, SLAB_NO_MERGE);
	return rx_cache ? 0 : -ENOMEM;
}

void itls_rx_exit(void)
{
	kmem_cache_destroy(rx_cache);
}
