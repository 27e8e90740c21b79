// SPDX-License-Identifier: GPL-2.0
/*
 * Readers: recv(), MSG_PEEK and splice(), which take decrypted records, have
 * more decrypted, and wait.
 *
 * Process context under the socket lock.
 */
#include <linux/sched/signal.h>
#include <linux/splice.h>

#include "itls.h"

/* Bytes read before packets that arrived meanwhile are let in. */
#define ITLS_FLUSH_BYTES	(128 * 1024)
/* Memory that a peek for so many bytes may take, whatever the buffer's size. */
#define ITLS_PEEK_MEMORY	SZ_1M

/*
 * Did a managed stream end without close_notify?  By FIN, or by a reset whose
 * error somebody (a send, SO_ERROR) has taken away already.
 */
static bool read_is_truncated(const struct sock *sk, const struct itls_ctx *ctx)
{
	if (!itls_ctx_is_managed(ctx))
		return false;
	return sock_flag(sk, SOCK_DONE) ||
	       (sk->sk_state == TCP_CLOSE && !sk->sk_err && !ctx->rx->shut);
}

static bool read_has_ended(const struct sock *sk)
{
	return sock_flag(sk, SOCK_DONE) || sk->sk_shutdown & RCV_SHUTDOWN ||
	       sk->sk_state == TCP_CLOSE;
}

/* Bytes a reader wants before it returns. */
static size_t read_target(const struct sock *sk, const struct itls_rx *rx,
			  int flags, size_t len)
{
	if (flags & MSG_WAITALL || !rx->lowered)
		return sock_rcvlowat(sk, flags & MSG_WAITALL, len);
	return min_t(size_t, rx->rcvlowat, len) ?: 1;
}

/* Has anything happened since @seen records had been read? */
static bool read_has_news(struct sock *sk, const struct itls_ctx *ctx, u64 seen)
{
	const struct itls_rx *rx = ctx->rx;

	return READ_ONCE(ctx->rx_records) != seen || READ_ONCE(rx->whole) ||
	       READ_ONCE(rx->eof) || READ_ONCE(rx->err) || itls_rx_is_stalled(sk, rx) ||
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
static int read_wait(struct sock *sk, struct itls_ctx *ctx, bool have,
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
	if (rx->broken && read_has_ended(sk))
		return rx->broken;
	if (read_is_truncated(sk, ctx)) {
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
	sk_wait_event(sk, timeo, read_has_news(sk, ctx, seen), &wait);
	sk_clear_bit(SOCKWQ_ASYNC_WAITDATA, sk);
	remove_wait_queue(sk_sleep(sk), &wait);
	rx->sleepers--;
	itls_rx_adjust_lowat(sk, rx);
	return 1;
}

/*
 * itls_rx_next() for a reader, who goes on after others had a turn, or is told to
 * come back.
 */
static int read_take(struct sock *sk, struct itls_ctx *ctx, const long *timeo,
		     struct iov_iter *to)
{
	int ret;

	while ((ret = itls_rx_next(sk, ctx, to)) == -EAGAIN) {
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
 * than its @target.  Return: 1 with *@skbp set, ITLS_RX_DIRECT when
 * it was taken to @to instead, ITLS_RX_EMPTY, 0 when there is none (and,
 * having waited, will be none).
 */
static int read_peek(struct sock *sk, struct itls_ctx *ctx, size_t has,
		     size_t target, long *timeo, struct iov_iter *to,
		     struct sk_buff **skbp)
{
	int ret;

	while (!(*skbp = skb_peek(&ctx->rx->plain))) {
		ret = read_take(sk, ctx, timeo, to);
		if (!ret && has < target)
			ret = read_wait(sk, ctx, has, timeo);
		if (ret <= 0 || ret == ITLS_RX_EMPTY || ret == ITLS_RX_DIRECT)
			return ret;
	}
	return 1;
}

/*
 * Tells the caller the content type (kTLS ABI: TLS_GET_RECORD_TYPE).  A
 * caller that cannot be told must not take a control record for data.
 */
static int read_put_type(const struct itls_ctx *ctx, struct msghdr *msg, u8 type)
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
	if (itls_plain_left(skb))
		return;
	__skb_unlink(skb, &rx->plain);
	rx->plain_size -= skb->truesize;
	consume_skb(skb);
}

/* With @discard (MSG_TRUNC on TCP) the bytes are read and thrown away. */
static int read_copy(struct itls_rx *rx, struct sk_buff *skb, struct msghdr *msg,
		     size_t len, bool discard)
{
	u32 n = min_t(size_t, len, itls_plain_left(skb));
	int err = 0;

	if (!discard)
		err = skb_copy_datagram_msg(skb, itls_plain(skb)->off, msg, n);
	if (err)
		return err;
	plain_advance(rx, skb, n);
	return n;
}

/* The iterator, if all of what is left of it is for the reader to have. */
static struct iov_iter *direct_iter(struct msghdr *msg, size_t len, bool discard)
{
	return !discard && iov_iter_count(&msg->msg_iter) == len ?
	       &msg->msg_iter : NULL;
}

static int read_data(struct sock *sk, struct itls_ctx *ctx, struct msghdr *msg,
		     size_t len, int flags, long *timeo)
{
	size_t target = read_target(sk, ctx->rx, flags, len);
	bool discard = flags & MSG_TRUNC && itls_ctx_is_managed(ctx);
	struct iov_iter *to = direct_iter(msg, len, discard);
	size_t copied = 0, flushed = 0;
	struct itls_rx *rx = ctx->rx;
	int found, ret = 0;
	struct sk_buff *skb;
	u8 type = 0, next;
	u32 left;

	/* TCP looks for something even when no bytes are asked for. */
	while (copied < len || (!len && itls_ctx_is_managed(ctx))) {
		found = read_peek(sk, ctx, copied, target, timeo, to, &skb);
		if (found <= 0) {
			ret = found;
			break;
		}
		/* Told of an empty record only who will not take it for the end. */
		if (found == ITLS_RX_EMPTY && !msg->msg_controllen)
			continue;
		next = skb ? itls_plain(skb)->type : ITLS_TYPE_DATA;
		if (type && next != type)
			break;
		if (!type) {
			type = next;
			ret = read_put_type(ctx, msg, type);
			if (ret)
				break;
		}
		if (found == ITLS_RX_EMPTY)
			continue;
		if (found == ITLS_RX_DIRECT) {
			left = len - copied - iov_iter_count(to);
			ret = left;
		} else {
			left = itls_plain_left(skb);
			ret = read_copy(rx, skb, msg, len - copied, discard);
		}
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
static int peek_data(struct sock *sk, struct itls_ctx *ctx,
		     struct msghdr *msg, size_t len, int flags, long *timeo)
{
	/* TCP looks for something even when no bytes are asked for. */
	size_t least = itls_ctx_is_managed(ctx);
	size_t want = clamp_t(size_t, len, least, READ_ONCE(sk->sk_rcvbuf));
	size_t target = read_target(sk, ctx->rx, flags, want);
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
		ret = read_take(sk, ctx, timeo, NULL);
		if (!ret && rx->plain_len < target)
			ret = read_wait(sk, ctx, rx->plain_len, timeo);
	}
	skb_queue_walk(&rx->plain, skb) {
		u32 n = min_t(size_t, len - copied, itls_plain_left(skb));
		int err;

		if (type && itls_plain(skb)->type != type)
			break;
		err = type ? 0 : read_put_type(ctx, msg, itls_plain(skb)->type);
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
 * itls_read_msg() - recv() and its kin on a socket that decrypts
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
int itls_read_msg(struct sock *sk, struct msghdr *msg, size_t len, int flags)
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
		ret = peek_data(sk, ctx, msg, len, flags, &timeo);
	else if (!ret)
		ret = read_data(sk, ctx, msg, len, flags, &timeo);
	if (ctx->rx)
		itls_rx_settle(sk, ctx->rx);
	release_sock(sk);
	return ret;
}

/* Moves decrypted pages into a pipe; returns bytes or -errno. */
static ssize_t read_splice(struct sock *sk, struct itls_ctx *ctx,
			   struct pipe_inode_info *pipe, size_t len,
			   unsigned int flags, long *timeo)
{
	struct itls_rx *rx = ctx->rx;
	struct sk_buff *skb;
	size_t copied = 0;
	int ret = 0;
	u32 n;

	while (copied < len) {
		ret = read_peek(sk, ctx, copied, 1, timeo, NULL, &skb);
		if (ret <= 0)
			break;
		if (!skb)
			continue;
		ret = -EINVAL;
		if (itls_plain(skb)->type != ITLS_TYPE_DATA)
			break;
		ret = skb_splice_bits(skb, sk, itls_plain(skb)->off, pipe,
				      min_t(size_t, len - copied,
					    itls_plain_left(skb)), flags);
		/* Not the end: no page for what does not lie in one. */
		if (!ret)
			ret = -ENOMEM;
		if (ret < 0)
			break;
		copied += ret;
		n = itls_plain_left(skb);
		plain_advance(rx, skb, ret);
		if (n > ret)
			break;
	}
	return copied ?: min(ret, 0);
}

/**
 * itls_read_splice() - splice() from a socket that decrypts
 * @sk: socket, not locked
 * @pipe: where to; locked by the caller
 * @len: bytes wanted
 * @flags: SPLICE_F_*, with SPLICE_F_NONBLOCK also for a non-blocking file
 *
 * Return: bytes, 0 at the end, or -errno as itls_read_msg(); -EINVAL for a
 * control record, which stays for recvmsg().
 */
ssize_t itls_read_splice(struct sock *sk, struct pipe_inode_info *pipe,
			 size_t len, unsigned int flags)
{
	struct itls_ctx *ctx = itls_ctx_of(sk);
	ssize_t ret;
	long timeo;

	lock_sock(sk);
	timeo = sock_rcvtimeo(sk, flags & SPLICE_F_NONBLOCK);
	ret = itls_ctx_wait_ready(sk, ctx, timeo);
	if (!ret)
		ret = read_splice(sk, ctx, pipe, len, flags, &timeo);
	if (ctx->rx)
		itls_rx_settle(sk, ctx->rx);
	release_sock(sk);
	return ret;
}
