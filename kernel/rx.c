// SPDX-License-Identifier: GPL-2.0
/*
 * Receiving: records taken out of TCP's queue onto a list of decrypted ones,
 * and whether there is something to read.  Readers are in read.c.
 *
 * Process context under the socket lock, but for itls_rx_check(), which
 * data_ready runs in softirq with the lock's spinlock held.
 */
#include <linux/slab.h>

#include "itls.h"

/* Records without data taken in a row; each may cost a change of keys. */
#define ITLS_CONTROL_BURST	64
/* Headers FIONREAD looks at; a peer may send any number of tiny records. */
#define ITLS_INQ_RECORDS	64

static struct kmem_cache *rx_cache;

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
void itls_rx_adjust_lowat(struct sock *sk, struct itls_rx *rx)
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
bool itls_rx_is_stalled(const struct sock *sk, const struct itls_rx *rx)
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

	if (rx->eof || rx->err || !itls_rx_is_stalled(sk, rx))
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
	itls_rx_adjust_lowat(sk, rx);
	itls_rx_check(sk, rx);
}

/* SO_RCVLOWAT was set on TCP, by BPF perhaps in softirq; the socket is locked. */
void itls_rx_lowat_changed(struct sock *sk, struct itls_ctx *ctx)
{
	struct itls_rx *rx = ctx->rx;

	rx->lowered = false;
	itls_rx_adjust_lowat(sk, rx);
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
	return itls_rx_is_ready(rx) || itls_rx_is_stalled(sk, rx);
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

static void rx_count(struct sock *sk, struct itls_ctx *ctx, size_t len)
{
	ctx->rx_records++;
	ctx->rx_bytes += len;
	itls_stats_record(sk, ITLS_STAT_RX_RECORDS, len);
}

/* Data, which the reader has. */
static int rx_took_directly(struct sock *sk, struct itls_ctx *ctx, size_t len)
{
	rx_count(sk, ctx, len);
	if (itls_ctx_is_managed(ctx))
		itls_update_count_rx(ctx);
	ctx->rx->burst = 0;
	return ITLS_RX_DIRECT;
}

/*
 * Takes the next record out of TCP's queue.  A reader may give @to, and have it
 * there if all before it was read (by others too: the lock may have been
 * dropped since the reader looked).
 *
 * Return: 1 when one was taken (and is on the list, unless it was a control
 * record of a managed socket), ITLS_RX_DIRECT, ITLS_RX_EMPTY, 0 when none is whole, -ENOMEM and
 * -EAGAIN (others have a turn first) when it may be tried again, -EKEYEXPIRED
 * until the key is changed, or the error that ended the direction.
 */
int itls_rx_next(struct sock *sk, struct itls_ctx *ctx, struct iov_iter *to)
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
		if (rx->stash_len || itls_rx_is_stalled(sk, rx))
			return itls_frame_stash(sk, rx, &f);
		return 0;
	}
	if (itls_ctx_is_managed(ctx) && itls_update_is_over(&rx->cipher)) {
		itls_control_expire(sk, ctx);
		return rx->err;
	}
	if (to && skb_queue_empty(&rx->plain))
		err = itls_direct_open(sk, ctx, &f, to);
	if (err > 0)
		return rx_took_directly(sk, ctx, err);
	err = err ?: itls_frame_open(sk, ctx, &f, &skb);
	if (err)
		return err == -ENOMEM ? err : itls_control_fatal(sk, ctx, err);
	rx_count(sk, ctx, skb->len);
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

	while (skb_queue_empty(&rx->plain) && itls_rx_next(sk, ctx, NULL) > 0)
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

	while (skb_queue_empty(&rx->plain) && itls_rx_next(sk, ctx, NULL) > 0)
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
