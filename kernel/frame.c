// SPDX-License-Identifier: GPL-2.0
/*
 * Received records as they lie in TCP's receive queue: finding where the next
 * one begins and ends, and decrypting it into an skb of its own.
 *
 * Process context under the socket lock, but for itls_frame_next() and what
 * it calls, which data_ready runs in softirq with the lock's spinlock held.
 * No pointer into TCP's queue outlives the section in which it was looked up:
 * the queue belongs to TCP, which trims and collapses it.
 */
#include <linux/scatterlist.h>
#include <linux/slab.h>

#include "itls.h"

/*
 * Ciphertext in pieces shorter than this on average is put together first: the
 * crypto API begins anew with each, and where one ends within a block of the
 * cipher it allocates memory.  Network cards deliver packets, so 1448 bytes.
 */
#define ITLS_PIECE_MIN		SZ_2K
#define ITLS_PIECES_MAX		(1 + ITLS_PLAIN_MAX / ITLS_PIECE_MIN)
/* Pieces of a plaintext skb: its head and at most 16 KiB in pages. */
#define ITLS_PLAIN_FRAGS	6
#define ITLS_PLAIN_ORDER	2
/* Records this short are decrypted into the skb's head. */
#define ITLS_PLAIN_LINEAR	1024
/* The longest record, header included. */
#define ITLS_STASH_MAX		(ITLS_HEADER_LEN + ITLS_EXPLICIT_MAX + \
				 ITLS_PLAIN_MAX + 1 + ITLS_TAG_LEN)

/* ---- TCP's receive queue ------------------------------------------------- */

/*
 * Bytes in the queue; a FIN that was received takes a sequence number of its
 * own.  Unlike tcp_inq() blind to urgent data, which TLS does not have.
 */
u32 itls_frame_queued(const struct sock *sk)
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

int itls_frame_peek(const struct sock *sk, u32 off, u8 *to, u32 len)
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
 * Are there pages that somebody else may write to?  On this machine a sender
 * gives TCP pages of his file (sendfile, splice).
 */
static bool is_shared(struct sk_buff *skb)
{
	struct sk_buff *part;

	skb_walk_frags(skb, part)
		if (skb_has_shared_frag(part))
			return true;
	return skb_has_shared_frag(skb);
}

/*
 * Lists the queue's bytes in @sg; -EMSGSIZE when it has too few entries, or
 * the bytes may change: a cipher reads them twice, to authenticate and to
 * decrypt, and whoever forwards a connection could change them in between.
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
		if (n == room || is_shared(skb))
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
	sg_mark_end(&sg[itls_cipher_join(sg, n) - 1]);
	return 0;
}

/* Drops what is in the queue: bytes that are for nobody. */
void itls_frame_discard(struct sock *sk)
{
	if (itls_frame_queued(sk))
		tcp_read_done(sk, itls_frame_queued(sk));
}

/* ---- framing --------------------------------------------------------------- */

static int frame_bytes(const struct sock *sk, const struct itls_rx *rx,
		       u32 off, u8 *to, u32 len)
{
	u32 n = off < rx->stash_len ? min(len, rx->stash_len - off) : 0;

	if (n)
		memcpy(to, rx->stash + off, n);
	return itls_frame_peek(sk, off + n - rx->stash_len, to + n, len - n);
}

/* Looks at the next record.  Error: what itls_record_parse() says of it. */
int itls_frame_next(const struct sock *sk, const struct itls_rx *rx,
		    struct itls_frame *f)
{
	u32 have = rx->stash_len + itls_frame_queued(sk);
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
bool itls_frame_is_stalled(const struct sock *sk)
{
	if (!itls_frame_queued(sk))
		return false;
	/* A packet was dropped just now; the window that says so is to come. */
	return inet_csk(sk)->icsk_ack.pending & ICSK_ACK_NOMEM ||
	       tcp_epollin_ready(sk, INT_MAX);
}

/*
 * Copies the record's bytes, or what there is of its header, out of the
 * queue, so that TCP has room again.
 */
int itls_frame_stash(struct sock *sk, struct itls_rx *rx, const struct itls_frame *f)
{
	u32 len = (f->total ?: ITLS_HEADER_LEN) - rx->stash_len;
	int err;

	len = min(len, itls_frame_queued(sk));
	if (!len)
		return 0;
	if (!rx->stash)
		rx->stash = kmalloc(ITLS_STASH_MAX, GFP_KERNEL);
	if (!rx->stash)
		return -ENOMEM;
	err = itls_frame_peek(sk, 0, rx->stash + rx->stash_len, len);
	if (err)
		return err;
	rx->stash_len += len;
	tcp_read_done(sk, len);
	return 0;
}

/* ---- decryption -------------------------------------------------------------- */

static struct sk_buff *alloc_in_block(size_t len)
{
	struct sk_buff *skb = alloc_skb(0, GFP_KERNEL);
	struct page *page = skb ? itls_block_get(GFP_KERNEL) : NULL;

	if (!page) {
		kfree_skb(skb);
		return NULL;
	}
	skb_add_rx_frag(skb, 0, page, 0, len, ITLS_BLOCK_SIZE);
	return skb;
}

struct sk_buff *itls_frame_alloc_plain(size_t len)
{
	size_t head = len <= ITLS_PLAIN_LINEAR ? len : 0;
	struct sk_buff *skb = NULL;
	int err;

	if (len >= ITLS_BLOCK_MIN && len <= ITLS_BLOCK_SIZE)
		skb = alloc_in_block(len);
	if (skb)
		return skb;
	skb = alloc_skb_with_frags(head, len - head, ITLS_PLAIN_ORDER, &err,
				   GFP_KERNEL);
	if (!skb)
		return NULL;
	skb_put(skb, head);
	skb->data_len = len - head;
	skb->len = len;
	return skb;
}

/* Cuts padding and, last in it, the type off a TLS 1.3 plaintext (RFC 8446 5.4). */
static int frame_unpad(struct sk_buff *skb, u8 *type)
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

/* Lists the ciphertext after the prefix in @src; -EMSGSIZE: not where it lies. */
static int frame_map(struct sock *sk, struct itls_rx *rx, const struct itls_frame *f,
		     struct scatterlist *src)
{
	u32 prefix_len = itls_record_prefix_len(&rx->cipher.record);
	u32 len = f->total - prefix_len;
	u32 room = 1 + (len - ITLS_TAG_LEN) / ITLS_PIECE_MIN;

	if (rx->stash_len)
		return -EMSGSIZE;
	room = min_t(u32, room, ITLS_PIECES_MAX);
	sg_init_table(src, room + 1);
	return queue_map(sk, prefix_len, len, src + 1, room);
}

/*
 * Copies it to @scratch, from as far into a page as the plaintext is in its own:
 * both come to an end together, wherever the crypto API goes page by page.
 */
static int frame_gather(struct sock *sk, struct itls_rx *rx,
			const struct itls_frame *f, u8 *scratch,
			struct scatterlist *src, const struct scatterlist *dst)
{
	u32 prefix_len = itls_record_prefix_len(&rx->cipher.record);
	u32 len = f->total - prefix_len;

	scratch += offset_in_page(dst[1].offset);
	sg_init_table(src, 2);
	sg_set_buf(&src[1], scratch, len);
	return frame_bytes(sk, rx, prefix_len, scratch, len);
}

/* The record is used up, whether it was authentic or not. */
void itls_frame_consume(struct sock *sk, struct itls_rx *rx,
			const struct itls_frame *f)
{
	if (rx->stash_len < f->total)
		tcp_read_done(sk, f->total - rx->stash_len);
	kfree(rx->stash);
	rx->stash = NULL;
	rx->stash_len = 0;
}

/* With @last, the last byte of the plaintext is not for the skb. */
static int frame_map_plain(struct itls_rx *rx, struct sk_buff *skb, bool last,
			   struct scatterlist *dst)
{
	int n = 0;

	sg_init_table(dst, ITLS_PLAIN_FRAGS + 2);
	if (skb->len)
		n = skb_to_sgvec_nomark(skb, dst + 1, 0, skb->len);
	if (n < 0)
		return n;
	if (last)
		sg_set_buf(&dst[++n], &rx->last, 1);
	sg_unmark_end(&dst[ITLS_PLAIN_FRAGS + 1]);
	sg_mark_end(&dst[n]);
	return 0;
}

/*
 * Decrypts the whole record @f to @dst, whose first entry is free, without
 * taking it off the queue; -ENOMEM when that may be tried again.
 */
int itls_frame_decrypt(struct sock *sk, struct itls_ctx *ctx,
		       const struct itls_frame *f, struct scatterlist *dst)
{
	struct itls_rx *rx = ctx->rx;
	struct scatterlist src[ITLS_PIECES_MAX + 1] __uninitialized;
	u8 nonce[ITLS_EXPLICIT_MAX];
	u8 *scratch = NULL;
	int err;

	err = itls_idle_wake(ctx, &rx->cipher) ?:
	      frame_bytes(sk, rx, ITLS_HEADER_LEN, nonce,
			  rx->cipher.record.explicit_len) ?:
	      frame_map(sk, rx, f, src);
	if (err == -EMSGSIZE) {
		scratch = itls_scratch_get();
		err = scratch ? frame_gather(sk, rx, f, scratch, src, dst) : -ENOMEM;
	}
	if (!err)
		err = itls_cipher_open(&rx->cipher, f->type, nonce, src, dst,
				       f->body_len);
	if (scratch)
		itls_scratch_put(scratch);
	return err;
}

/* Decrypts the whole record @f; NULL in *@skbp unless it is for the reader. */
int itls_frame_open(struct sock *sk, struct itls_ctx *ctx, const struct itls_frame *f,
		    struct sk_buff **skbp)
{
	struct itls_rx *rx = ctx->rx;
	const struct itls_record *r = &rx->cipher.record;
	size_t len = f->total - itls_record_prefix_len(r) - ITLS_TAG_LEN;
	/* With its type, the longest record of TLS 1.3 is too long for a block. */
	bool last = itls_record_is_13(r) && len > ITLS_PLAIN_MAX;
	struct sk_buff *skb = itls_frame_alloc_plain(len - last);
	struct scatterlist dst[ITLS_PLAIN_FRAGS + 2] __uninitialized;
	u8 type = f->type;
	int err;

	*skbp = NULL;
	if (!skb)
		return -ENOMEM;
	err = frame_map_plain(rx, skb, last, dst) ?:
	      itls_frame_decrypt(sk, ctx, f, dst);
	if (err == -ENOMEM)
		goto err_free;
	itls_frame_consume(sk, rx, f);
	if (!err && last && rx->last)
		type = rx->last;
	else if (!err && itls_record_is_13(r))
		err = frame_unpad(skb, &type);
	/* RFC 8446 5.4 calls a record of zeroes an unexpected message. */
	if (err == -ENOMSG)
		err = itls_ctx_is_managed(ctx) ? -EPROTO : -EBADMSG;
	if (err)
		goto err_free;
	itls_plain(skb)->off = 0;
	itls_plain(skb)->type = type;
	*skbp = skb;
	return 0;

err_free:
	kfree_skb(skb);
	return err;
}

