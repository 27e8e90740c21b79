// SPDX-License-Identifier: GPL-2.0
/*
 * Sending: plaintext is gathered into the open record, sealed into fresh
 * pages, and those pages go to TCP by reference.
 *
 * Process context under the socket lock, but for itls_tx_write_space().
 *
 * A sealed record goes to TCP whole: the socket's send buffer is asked for
 * room before a record is begun, and lifted while it is handed over, so TCP
 * exceeds it by at most one push (ITLS_SEALED_RECORDS).  Only when the kernel
 * is out of memory does TCP take less; the rest stays in itls_sealed, before
 * anything newer, and goes with the next call, the next write-space event, a
 * retry of its own when no such event is to come, or close().  Nothing is ever
 * encrypted twice.
 */
#include <linux/scatterlist.h>
#include <linux/slab.h>

#include "itls.h"

/* The flags of the kTLS ABI. */
#define ITLS_TX_FLAGS	(MSG_MORE | MSG_DONTWAIT | MSG_NOSIGNAL | MSG_EOR | \
			 MSG_BATCH | MSG_CMSG_COMPAT | MSG_SPLICE_PAGES | \
			 MSG_SENDPAGE_NOPOLICY)
/*
 * Bytes by which the send buffer is lifted while a push is under way: more
 * than its segments can be charged with.  Not "no limit", because TCP bounds
 * its backlog by the same number, and anybody may look.
 */
#define ITLS_PUSH_ROOM		SZ_1M
/* What TCP refused with nothing under way is offered again after so long. */
#define ITLS_RETRY_DELAY	msecs_to_jiffies(20)
/* A piece of ciphertext always has room for a record's header and nonce. */
#define ITLS_PIECE_MIN		32
/* Records this long get a block; shorter ones share pages. */
#define ITLS_BLOCK_MIN		SZ_8K

static_assert(ITLS_PIECE_MIN >= ITLS_HEADER_LEN + ITLS_EXPLICIT_MAX);
/* So a KeyUpdate is in one. */
static_assert(ITLS_PIECE_MIN >= ITLS_HEADER_LEN + ITLS_KEY_UPDATE_LEN + 1 +
	      ITLS_TAG_LEN);
/* Pages of order 0 with a short first piece are the worst case. */
static_assert(ITLS_RECORD_PIECES * PAGE_SIZE >= ITLS_PLAIN_MAX + PAGE_SIZE +
	      ITLS_HEADER_LEN + ITLS_EXPLICIT_MAX + 1 + ITLS_TAG_LEN);

static void tx_retry(struct work_struct *work);

struct itls_tx *itls_tx_alloc(const struct itls_keyinfo *key, bool keep_info)
{
	struct itls_tx *tx = kzalloc(sizeof(*tx), GFP_KERNEL);
	int err;

	if (!tx)
		return ERR_PTR(-ENOMEM);
	INIT_DELAYED_WORK(&tx->retry, tx_retry);
	err = itls_cipher_init(&tx->cipher, key, keep_info);
	if (err) {
		itls_tx_free(tx);
		return ERR_PTR(err);
	}
	return tx;
}

static void open_reset(struct itls_open *open)
{
	while (open->nr)
		put_page(open->frags[--open->nr].bv_page);
	open->len = 0;
}

static void open_begin(struct itls_open *open, u8 type)
{
	open->type = type;
	open->limit = open->max;
	open->start = 0;
	open->spliced = false;
	open->in_place = false;
}

static void sealed_reset(struct itls_sealed *sealed)
{
	while (sealed->first < sealed->nr)
		put_page(sealed->frags[sealed->first++].bv_page);
	memset(sealed, 0, sizeof(*sealed));
}

/* Process context, and not under the socket lock, which a retry takes. */
void itls_tx_free(struct itls_tx *tx)
{
	if (!tx)
		return;
	if (tx->ctx && cancel_delayed_work_sync(&tx->retry))
		itls_ctx_put(tx->ctx);
	open_reset(&tx->open);
	sealed_reset(&tx->sealed);
	itls_cipher_free(&tx->cipher);
	kfree_sensitive(tx);
}

/* ---- the open record --------------------------------------------------- */

static bool open_is_full(const struct itls_open *open)
{
	return open->len == open->limit || open->nr == ITLS_OPEN_FRAGS;
}

/* Takes over the caller's page reference, or drops it when it has one. */
static void open_add(struct itls_open *open, struct page *page, size_t off,
		     size_t len)
{
	struct bio_vec *last = open->frags + open->nr - 1;

	open->len += len;
	if (open->nr && last->bv_page == page &&
	    last->bv_offset + last->bv_len == off) {
		last->bv_len += len;
		put_page(page);
		return;
	}
	bvec_set_page(&open->frags[open->nr++], page, len, off);
	open->in_place = open->in_place && open->nr == 1;
}

/* Takes back bytes from the end, down to @len. */
static void open_trim(struct itls_open *open, unsigned int len)
{
	while (open->len > len) {
		struct bio_vec *last = &open->frags[open->nr - 1];
		unsigned int cut = min(last->bv_len, open->len - len);

		open->len -= cut;
		last->bv_len -= cut;
		if (!last->bv_len) {
			put_page(last->bv_page);
			open->nr--;
		}
	}
}

/*
 * Begins a record with what becomes most of it, in the block that it is
 * encrypted in.  Returns bytes or -errno.
 */
static int open_copy_block(struct sock *sk, struct itls_open *open, size_t len,
			   struct iov_iter *from)
{
	struct page *page = itls_block_get(sk->sk_allocation);

	if (!page)
		return -ENOMEM;
	len = copy_page_from_iter(page, 0, len, from);
	if (!len) {
		put_page(page);
		return -EFAULT;
	}
	open_add(open, page, 0, len);
	open->in_place = true;
	return len;
}

/* More of the same; the block has room for a whole record. */
static int open_copy_in_place(struct itls_open *open, size_t len,
			      struct iov_iter *from)
{
	struct bio_vec *block = open->frags;

	len = copy_page_from_iter(block->bv_page, block->bv_len, len, from);
	block->bv_len += len;
	open->len += len;
	return len ?: -EFAULT;
}

/* Copies what fits from the caller; returns bytes or -errno. */
static int open_copy(struct sock *sk, struct itls_open *open,
		     struct iov_iter *from)
{
	size_t len = min_t(size_t, iov_iter_count(from), open->limit - open->len);
	struct page_frag *pfrag = sk_page_frag(sk);
	int ret;

	if (open->in_place)
		return open_copy_in_place(open, len, from);
	if (!open->len && len >= ITLS_BLOCK_MIN) {
		ret = open_copy_block(sk, open, len, from);
		if (ret != -ENOMEM)
			return ret;
	}
	if (!sk_page_frag_refill(sk, pfrag))
		return -ENOMEM;
	len = min_t(size_t, len, pfrag->size - pfrag->offset);
	len = copy_page_from_iter(pfrag->page, pfrag->offset, len, from);
	if (!len)
		return -EFAULT;
	get_page(pfrag->page);
	open_add(open, pfrag->page, pfrag->offset, len);
	pfrag->offset += len;
	return len;
}

/*
 * Ciphertext lies at the page offset of its source: page by page, as the
 * crypto API goes, both sides come to an end together.  So a record ends where
 * its block does, which for those that follow is the end of a page of the
 * source too.
 */
static void open_align(struct itls_open *open, size_t off)
{
	unsigned int start = (off - open->len) & ~PAGE_MASK;

	if (start + open->len >= ITLS_BLOCK_SIZE) {
		open->limit = open->len;
		return;
	}
	open->spliced = true;
	open->start = start;
	open->limit = min_t(size_t, open->max, ITLS_BLOCK_SIZE - start);
}

/* References what fits of the caller's pages; returns bytes or -errno. */
static int open_splice(struct itls_open *open, struct iov_iter *from)
{
	struct page *pages[4], **p = pages;
	ssize_t left, got;
	size_t off;
	int i;

	left = min_t(size_t, open->limit - open->len, iov_iter_count(from));
	got = iov_iter_extract_pages(from, &p, left,
				     min_t(size_t, ARRAY_SIZE(pages),
					   ITLS_OPEN_FRAGS - open->nr),
				     0, &off);
	if (got <= 0)
		return got ?: -EIO;
	if (!open->spliced) {
		open_align(open, off);
		left = min_t(size_t, got, open->limit - open->len);
		iov_iter_revert(from, got - left);
		got = left;
	}
	for (i = 0, left = got; left > 0; i++, off = 0) {
		size_t len = min_t(size_t, left, PAGE_SIZE - off);

		if (WARN_ON_ONCE(!sendpage_ok(pages[i]))) {
			iov_iter_revert(from, left);
			return left < got ? got - left : -EIO;
		}
		get_page(pages[i]);
		open_add(open, pages[i], off, len);
		left -= len;
	}
	return got;
}

/*
 * TLS_TX_MAX_PAYLOAD_LEN; the socket is locked.  -EBUSY: a record is open,
 * and may be longer already.
 */
int itls_tx_set_max_payload(struct itls_ctx *ctx, u16 max)
{
	struct itls_tx *tx = ctx->tx;

	if (tx && tx->open.len)
		return -EBUSY;
	if (tx)
		tx->open.max = max;
	WRITE_ONCE(ctx->tx_max_payload, max);
	return 0;
}

/* ---- sealing ------------------------------------------------------------ */

/*
 * For a record and a KeyUpdate before it.  A rest that TCP refused may begin
 * anywhere in the array; it has to go before anything is appended.
 */
static bool sealed_has_room(const struct itls_sealed *sealed)
{
	return sealed->records < ITLS_SEALED_RECORDS && !sealed->first &&
	       sealed->nr + ITLS_RECORD_PIECES < ITLS_SEALED_FRAGS;
}

/* Takes over the caller's page reference, or drops it when it has one. */
static void sealed_add(struct itls_sealed *sealed, struct page *page,
		       size_t off, size_t len)
{
	struct bio_vec *last = sealed->frags + sealed->nr - 1;

	if (sealed->nr && last->bv_page == page &&
	    last->bv_offset + last->bv_len == off) {
		last->bv_len += len;
		put_page(page);
		return;
	}
	bvec_set_page(&sealed->frags[sealed->nr++], page, len, off);
}

/* How far the array was filled, for the way back. */
struct sealed_mark {
	unsigned int nr;
	unsigned int last_len;
};

static struct sealed_mark sealed_mark(const struct itls_sealed *sealed)
{
	unsigned int nr = sealed->nr;

	return (struct sealed_mark){ nr, nr ? sealed->frags[nr - 1].bv_len : 0 };
}

static void sealed_trim(struct itls_sealed *sealed, struct sealed_mark mark)
{
	while (sealed->nr > mark.nr)
		put_page(sealed->frags[--sealed->nr].bv_page);
	if (mark.nr)
		sealed->frags[mark.nr - 1].bv_len = mark.last_len;
}

/* Page memory for up to @len bytes, no fewer than ITLS_PIECE_MIN; lists it in @sg. */
static int sealed_grow(struct sock *sk, struct itls_sealed *sealed, size_t len,
		       struct scatterlist *sg)
{
	struct page_frag *pfrag = sk_page_frag(sk);

	if (!sk_page_frag_refill(sk, pfrag))
		return -ENOMEM;
	len = min_t(size_t, len, pfrag->size - pfrag->offset);
	sg_set_page(sg, pfrag->page, len, pfrag->offset);
	get_page(pfrag->page);
	sealed_add(sealed, pfrag->page, pfrag->offset, len);
	pfrag->offset += len;
	return len;
}

/* A record that shares pages with others. */
static int sealed_map_shared(struct sock *sk, struct itls_sealed *sealed,
			     size_t prefix_len, size_t len, u8 **prefix,
			     struct scatterlist *sg)
{
	int n = sealed_grow(sk, sealed, prefix_len + len, sg);

	if (n < 0)
		return n;
	*prefix = sg_virt(sg);
	sg->offset += prefix_len;
	sg->length -= prefix_len;
	for (len -= sg->length; len; len -= n) {
		n = sealed_grow(sk, sealed, len, ++sg);
		if (n < 0)
			return n;
	}
	sg_mark_end(sg);
	return 0;
}

/*
 * A record in a block: what goes before and behind is too much for it, and
 * lies in shared pages, where the end of one record and the beginning of the
 * next are one piece.
 */
static int sealed_map_block(struct sock *sk, struct itls_sealed *sealed,
			    const struct itls_open *open, size_t prefix_len,
			    size_t suffix_len, u8 **prefix,
			    struct scatterlist *sg)
{
	unsigned int off = open->in_place ? 0 : open->start;
	unsigned int len = min_t(size_t, open->len + suffix_len - ITLS_TAG_LEN,
				 ITLS_BLOCK_SIZE - off);
	struct page *page;
	int n;

	page = open->in_place ? open->frags[0].bv_page :
				itls_block_get(sk->sk_allocation);
	if (!page)
		return -EAGAIN;
	n = sealed_grow(sk, sealed, prefix_len, sg);
	if (open->in_place)
		get_page(page);
	if (n < 0) {
		put_page(page);
		return n;
	}
	*prefix = sg_virt(sg);
	sg_set_page(sg, page, len, off);
	sealed_add(sealed, page, off, len);
	n = sealed_grow(sk, sealed, open->len + suffix_len - len, ++sg);
	sg_mark_end(sg);
	return min(n, 0);
}

/*
 * Room for the open record's ciphertext, listed in @sg behind an entry for the
 * additional data; *@prefix is where its header goes.
 */
static int sealed_map(struct sock *sk, struct itls_sealed *sealed,
		      const struct itls_record *r, const struct itls_open *open,
		      u8 **prefix, struct scatterlist *sg)
{
	size_t prefix_len = itls_record_prefix_len(r);
	size_t suffix_len = itls_record_suffix_len(r);
	int err = -EAGAIN;

	sg_init_table(sg, ITLS_RECORD_PIECES + 1);
	if (open->in_place || open->len >= ITLS_BLOCK_MIN)
		err = sealed_map_block(sk, sealed, open, prefix_len, suffix_len,
				       prefix, sg + 1);
	if (err == -EAGAIN)
		err = sealed_map_shared(sk, sealed, prefix_len,
					open->len + suffix_len, prefix, sg + 1);
	return err;
}

/* Is there a byte free behind the last one of the open record? */
static bool open_has_tail(struct sock *sk, const struct itls_open *open)
{
	const struct bio_vec *last = &open->frags[open->nr - 1];
	struct page_frag *pfrag = sk_page_frag(sk);
	size_t end = last->bv_offset + last->bv_len;

	if (open->in_place)
		return end < ITLS_BLOCK_SIZE;
	if (last->bv_page != pfrag->page || end != pfrag->offset ||
	    end == pfrag->size)
		return false;
	pfrag->offset++;
	return true;
}

/*
 * Lists the plaintext behind an entry for the additional data.  The type, last
 * in TLS 1.3, lies behind the text if it can: an entry of its own would cut a
 * block of the cipher in two, which the crypto API puts together elsewhere.
 */
static void map_plain(struct sock *sk, struct itls_tx *tx,
		      const struct itls_open *open, struct scatterlist *sg)
{
	bool is_13 = itls_record_is_13(&tx->cipher.record);
	bool tail = is_13 && open->nr && open_has_tail(sk, open);
	struct scatterlist *last = &sg[open->nr];
	unsigned int i;

	sg_init_table(sg, 1 + open->nr + (is_13 && !tail));
	for (i = 0; i < open->nr; i++)
		sg_set_page(&sg[1 + i], open->frags[i].bv_page,
			    open->frags[i].bv_len, open->frags[i].bv_offset);
	if (tail) {
		last->length++;
		*((u8 *)sg_virt(last) + last->length - 1) = open->type;
	} else if (is_13) {
		tx->inner_type = open->type;
		sg_set_buf(last + 1, &tx->inner_type, 1);
	}
}

/*
 * Encrypts a record and appends it to what is sealed, where there is room for
 * it.  -ENOMEM changes nothing: the ciphertext was never seen, so the same
 * nonce may be used when this is tried again; not so for a record encrypted in
 * place, half of which may be ciphertext.  Any other error ends the direction.
 */
static int seal(struct sock *sk, struct itls_ctx *ctx, struct itls_open *open)
{
	struct itls_tx *tx = ctx->tx;
	struct itls_sealed *sealed = &tx->sealed;
	const struct itls_record *r = &tx->cipher.record;
	struct sealed_mark mark = sealed_mark(sealed);
	struct scatterlist src[ITLS_OPEN_FRAGS + 2];
	struct scatterlist dst[ITLS_RECORD_PIECES + 1];
	u8 *prefix;
	int err;

	map_plain(sk, tx, open, src);
	err = sealed_map(sk, sealed, r, open, &prefix, dst);
	if (err) {
		sealed_trim(sealed, mark);
		return err;
	}
	itls_record_seal_prefix(r, open->type, open->len, prefix);
	err = itls_cipher_seal(&tx->cipher, open->type, src, dst, open->len);
	if (err) {
		sealed_trim(sealed, mark);
		if (err == -ENOMEM && open->in_place)
			err = -EIO;
		if (err != -ENOMEM)
			tx->closed = true;
		return err;
	}
	sealed->len += itls_record_overhead(r) + open->len;
	ctx->tx_records++;
	ctx->tx_bytes += open->len;
	itls_stats_add(sk, ITLS_STAT_TX_RECORDS, 1);
	itls_stats_add(sk, ITLS_STAT_TX_BYTES, open->len);
	open_reset(open);
	return 0;
}

/* The open record, and before data the KeyUpdate that is due; see seal(). */
static int tx_seal(struct sock *sk, struct itls_ctx *ctx)
{
	struct itls_tx *tx = ctx->tx;
	size_t len = tx->open.len;
	int err = 0;

	if (tx->closed)
		return -EPIPE;
	if (!sealed_has_room(&tx->sealed))
		return -ENOMEM;
	if (tx->open.type == ITLS_TYPE_DATA)
		err = itls_update_before_data(sk, ctx, len);
	if (!err)
		err = seal(sk, ctx, &tx->open);
	if (err)
		return err;
	tx->sealed.records++;
	tx->update.bytes += len;
	return 0;
}

/* A record of its own of a few bytes of the kernel's; the open one stays. */
static int seal_bytes(struct sock *sk, struct itls_ctx *ctx, u8 type,
		      const u8 *bytes, size_t len)
{
	struct kvec vec = { (void *)bytes, len };
	struct itls_open open;
	struct iov_iter from;
	int ret;

	open.nr = 0;
	open.len = 0;
	open.max = len;
	open_begin(&open, type);
	iov_iter_kvec(&from, ITER_SOURCE, &vec, 1, len);
	while (open.len < len) {
		ret = open_copy(sk, &open, &from);
		if (ret < 0)
			goto out;
	}
	ret = seal(sk, ctx, &open);
out:
	open_reset(&open);
	return ret;
}

/**
 * itls_tx_seal_update() - seal a KeyUpdate under the present key
 * @sk: socket, locked
 * @ctx: its context, whose sending direction has room
 * @bytes: the message
 * @len: ITLS_KEY_UPDATE_LEN
 *
 * Return: 0, -ENOMEM when it may be tried again, or the error that ended the
 * direction.
 */
int itls_tx_seal_update(struct sock *sk, struct itls_ctx *ctx, const u8 *bytes,
			size_t len)
{
	return seal_bytes(sk, ctx, ITLS_TYPE_HANDSHAKE, bytes, len);
}

/* ---- handing over to TCP -------------------------------------------------- */

static void sealed_advance(struct itls_sealed *sealed, size_t len)
{
	sealed->len -= len;
	while (len) {
		struct bio_vec *frag = &sealed->frags[sealed->first];
		size_t cut = min_t(size_t, len, frag->bv_len);

		frag->bv_offset += cut;
		frag->bv_len -= cut;
		len -= cut;
		if (!frag->bv_len) {
			put_page(frag->bv_page);
			sealed->first++;
		}
	}
	if (!sealed->len)
		memset(sealed, 0, sizeof(*sealed));
}

static bool tx_is_alive(const struct sock *sk)
{
	return !sk->sk_err &&
	       (1 << sk->sk_state) & (TCPF_ESTABLISHED | TCPF_CLOSE_WAIT);
}

bool itls_tx_is_connected(const struct sock *sk)
{
	return tx_is_alive(sk) && !(sk->sk_shutdown & SEND_SHUTDOWN);
}

/* Can a record be sealed now? */
bool itls_tx_has_room(const struct itls_tx *tx)
{
	return sealed_has_room(&tx->sealed);
}

/* Is nothing under way, and could something be? */
bool itls_tx_is_idle(const struct sock *sk, const struct itls_tx *tx)
{
	return itls_tx_is_connected(sk) && !tx->sealed.len &&
	       tcp_rtx_and_write_queues_empty(sk);
}

/* What a push changes on the socket, and puts back. */
struct push_state {
	int sndbuf;
	u8 sndbuf_locked;
	gfp_t gfp;
	bool task_frag;
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
	tx->refused = tx->sealed.len;
	tx->pushing = false;
}

/*
 * Without this, what was refused when nothing was under way would wait for the
 * program's next call, while the peer waits for it.
 */
static void retry_later(struct sock *sk, struct itls_tx *tx)
{
	if (tx->ctx && itls_tx_is_connected(sk) &&
	    tcp_rtx_and_write_queues_empty(sk) &&
	    queue_delayed_work(system_dfl_wq, &tx->retry, ITLS_RETRY_DELAY))
		itls_ctx_get(tx->ctx);
}

/*
 * Gives what is sealed to TCP.  Never waits.  Records are complete, so
 * MSG_MORE is not passed on: it would only delay the tail of the last one.
 * (TCP_CORK, being TCP's own state, still does what it says.)  The error of
 * the connection stays in sk_err, for the call that reports it.
 *
 * Return: 0 when all is gone, -EAGAIN when TCP lacks memory, or the error of
 * the connection.
 */
static int __tx_push(struct sock *sk, struct itls_tx *tx, gfp_t gfp)
{
	struct itls_sealed *sealed = &tx->sealed;
	struct push_state st;
	int ret = 0;

	push_begin(sk, tx, gfp, &st);
	while (sealed->len) {
		struct msghdr msg = {
			.msg_flags = MSG_SPLICE_PAGES | MSG_NO_SHARED_FRAGS |
				     MSG_DONTWAIT | MSG_NOSIGNAL,
		};

		ret = itls_tx_is_connected(sk) ? 0 : -EPIPE;
		if (ret)
			break;
		WRITE_ONCE(sk->sk_sndbuf, lifted_sndbuf(sk, &st));
		iov_iter_bvec(&msg.msg_iter, ITER_SOURCE,
			      &sealed->frags[sealed->first],
			      sealed->nr - sealed->first, sealed->len);
		ret = tcp_sendmsg_locked(sk, &msg, sealed->len);
		if (ret <= 0)
			break;
		sealed_advance(sealed, ret);
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
int itls_tx_push(struct sock *sk, struct itls_tx *tx)
{
	gfp_t gfp = sk->sk_allocation;

	if (gfpflags_allow_blocking(gfp) && sk->sk_route_caps & NETIF_F_SG)
		gfp |= __GFP_NOFAIL;
	return __tx_push(sk, tx, gfp);
}

/* The direction is freed only when this has ended: see itls_tx_free(). */
static void tx_retry(struct work_struct *work)
{
	struct itls_tx *tx = container_of(to_delayed_work(work), struct itls_tx,
					  retry);
	struct itls_ctx *ctx = tx->ctx;
	struct sock *sk = ctx->sk;

	lock_sock(sk);
	/* In close() the direction has left the context. */
	if (ctx->tx == tx && tx->sealed.len)
		itls_tx_push(sk, tx);
	release_sock(sk);
	itls_ctx_put(ctx);
}

/**
 * itls_tx_write_space() - send what memory pressure held back
 * @sk: socket, locked or owned by the softirq that calls
 * @ctx: its context
 *
 * Called by TCP when acknowledgments free memory; softirq, or process
 * context in the backlog.  Allocations must not sleep here.  A push that is
 * under way calls back into this: it is left alone.
 */
void itls_tx_write_space(struct sock *sk, struct itls_ctx *ctx)
{
	struct itls_tx *tx = ctx->tx;

	if (tx && !tx->pushing && tx->sealed.len)
		__tx_push(sk, tx, GFP_ATOMIC);
}

/* ---- sendmsg ---------------------------------------------------------------- */

/*
 * Reads TLS_SET_RECORD_TYPE; the kTLS ABI's only control message.  On a
 * managed socket records of other types are the kernel's business.
 */
static int tx_cmsg(const struct itls_ctx *ctx, struct msghdr *msg, u8 *type)
{
	struct cmsghdr *cmsg;

	for_each_cmsghdr(cmsg, msg) {
		if (!CMSG_OK(msg, cmsg))
			return -EINVAL;
		if (cmsg->cmsg_level != SOL_TLS)
			continue;
		if (itls_ctx_is_managed(ctx))
			return -EPERM;
		if (cmsg->cmsg_type != TLS_SET_RECORD_TYPE ||
		    cmsg->cmsg_len < CMSG_LEN(sizeof(*type)) ||
		    msg->msg_flags & MSG_MORE)
			return -EINVAL;
		*type = *(u8 *)CMSG_DATA(cmsg);
	}
	return 0;
}

/*
 * Makes room for one more record, waiting for it if the caller does.  The
 * socket lock is dropped while waiting, so the open record may have changed.
 */
static int tx_make_room(struct sock *sk, struct itls_tx *tx, long *timeo)
{
	int err;

	while (!(err = tx->closed || !itls_tx_is_connected(sk) ? -EPIPE : 0)) {
		if (!sealed_has_room(&tx->sealed) || !sk_stream_memory_free(sk))
			err = itls_tx_push(sk, tx);
		if (err && err != -EAGAIN)
			break;
		if (sealed_has_room(&tx->sealed) && sk_stream_memory_free(sk))
			return 0;
		err = sk_stream_wait_memory(sk, timeo);
		if (err)
			break;
	}
	return err;
}

/* Fills the open record; returns bytes, *err tells why it stopped early. */
static int tx_fill(struct sock *sk, struct itls_open *open, struct msghdr *msg,
		   int *err)
{
	int filled = 0, n;

	while (msg_data_left(msg) && !open_is_full(open)) {
		if (msg->msg_flags & MSG_SPLICE_PAGES)
			n = open_splice(open, &msg->msg_iter);
		else
			n = open_copy(sk, open, &msg->msg_iter);
		if (n < 0) {
			*err = n;
			break;
		}
		filled += n;
	}
	return filled;
}

/*
 * One record's worth of a message: gathered, and sealed when it is full or
 * the message ends it.  Bytes that could not be sealed are taken back, so a
 * failed call leaves nothing of its own behind.
 */
static int tx_record(struct sock *sk, struct itls_ctx *ctx, struct msghdr *msg,
		     u8 type, int *err)
{
	struct itls_open *open = &ctx->tx->open;
	unsigned int mark = open->len;
	bool more = msg->msg_flags & MSG_MORE;
	int filled, seal_err;

	if (!open->len)
		open_begin(open, type);
	filled = tx_fill(sk, open, msg, err);
	/* Control messages are sent whole: half an alert is none. */
	if (*err && type != ITLS_TYPE_DATA) {
		open_trim(open, mark);
		iov_iter_revert(&msg->msg_iter, filled);
		return 0;
	}
	if (!open->len || (!open_is_full(open) && more))
		return filled;
	seal_err = tx_seal(sk, ctx);
	if (!seal_err)
		return filled;
	*err = seal_err;
	open_trim(open, mark);
	iov_iter_revert(&msg->msg_iter, filled);
	return 0;
}

/*
 * A key of TLS 1.2 that has served its time ends the connection, since it cannot
 * be changed.  A record that was begun is still sent.
 */
static void tx_check_limit(struct sock *sk, struct itls_ctx *ctx)
{
	const struct itls_tx *tx = ctx->tx;

	if (itls_ctx_is_managed(ctx) && !tx->secret.len && !tx->open.len &&
	    itls_update_is_over(&tx->cipher))
		itls_control_close(sk, ctx);
}

static int tx_send(struct sock *sk, struct itls_ctx *ctx, struct msghdr *msg,
		   u8 type, long *timeo)
{
	struct itls_tx *tx = ctx->tx;
	bool more = msg->msg_flags & MSG_MORE;
	int copied = 0, err = 0;

	while (!err && (msg_data_left(msg) || (!more && tx->open.len))) {
		tx_check_limit(sk, ctx);
		err = tx_make_room(sk, tx, timeo);
		/* While this waited, the socket may have become autonomous. */
		if (!err && type != ITLS_TYPE_DATA && itls_ctx_is_managed(ctx))
			err = -EPERM;
		if (err)
			break;
		/* A record has one type; another thread may have begun this. */
		if (tx->open.len && tx->open.type != type)
			err = tx_seal(sk, ctx);
		else
			copied += tx_record(sk, ctx, msg, type, &err);
		if (err == -ENOMEM)
			err = sk_stream_wait_memory(sk, timeo);
	}
	return copied ?: err;
}

static int tx_sendmsg_locked(struct sock *sk, struct msghdr *msg)
{
	long timeo = sock_sndtimeo(sk, msg->msg_flags & MSG_DONTWAIT);
	struct itls_ctx *ctx = itls_ctx_of(sk);
	u8 type = ITLS_TYPE_DATA;
	int copied, err;

	err = itls_ctx_wait_ready(sk, ctx, timeo);
	if (err)
		return err;
	if (!ctx->tx)
		return -EPIPE;
	if (msg->msg_controllen) {
		err = tx_cmsg(ctx, msg, &type);
		if (err)
			return err;
	}
	copied = tx_send(sk, ctx, msg, type, &timeo);
	err = itls_tx_push(sk, ctx->tx);
	return copied ?: (err == -EAGAIN ? 0 : err);
}

/* A managed socket ignores the flags that TCP ignores. */
static bool flags_are_supported(const struct sock *sk, const struct msghdr *msg)
{
	unsigned int refused = MSG_OOB | MSG_FASTOPEN;

	if (!itls_ctx_is_managed(itls_ctx_of(sk)))
		return !(msg->msg_flags & ~ITLS_TX_FLAGS);
	if (msg->msg_ubuf || sock_flag(sk, SOCK_ZEROCOPY))
		refused |= MSG_ZEROCOPY;
	return !(msg->msg_flags & refused);
}

/**
 * itls_tx_sendmsg() - send() and its kin on a socket that encrypts
 * @sk: socket, not locked
 * @msg: message
 * @size: bytes in it
 *
 * Return: bytes accepted, or -errno: as tcp_sendmsg(), and -EOPNOTSUPP for
 * flags TLS has no meaning for, -EINVAL for a bad control message or for
 * MSG_EOR with MSG_MORE; on a managed socket -EPERM for a record type, and
 * the error its handshake ended with.
 */
int itls_tx_sendmsg(struct sock *sk, struct msghdr *msg, size_t size)
{
	int ret;

	if (!flags_are_supported(sk, msg))
		return -EOPNOTSUPP;
	if (!itls_ctx_is_managed(itls_ctx_of(sk)) &&
	    msg->msg_flags & MSG_MORE && msg->msg_flags & MSG_EOR)
		return -EINVAL;
	lock_sock(sk);
	ret = tx_sendmsg_locked(sk, msg);
	if (ret < 0)
		ret = sk_stream_error(sk, msg->msg_flags, ret);
	/* With nothing under way, no acknowledgment will wake a poller. */
	if (ret == -EAGAIN && itls_ctx_of(sk)->tx &&
	    tcp_rtx_and_write_queues_empty(sk))
		sk->sk_write_space(sk);
	release_sock(sk);
	return ret;
}

/*
 * The record left open is complete: a splice or sendfile ended early, or
 * TCP_NODELAY or the end of TCP_CORK asks for what MSG_MORE held back.
 */
void itls_tx_uncork(struct sock *sk)
{
	struct itls_ctx *ctx = itls_ctx_of(sk);

	lock_sock(sk);
	if (ctx->tx)
		itls_tx_flush(sk, ctx);
	release_sock(sk);
}

/*
 * Seals what is open although nobody may come back for it: at the end of the
 * stream it would be lost.  So memory that could not be got is asked for again.
 */
static int tx_seal_last(struct sock *sk, struct itls_ctx *ctx)
{
	int err, tries = 8;

	do {
		err = tx_seal(sk, ctx);
	} while (err == -ENOMEM && sealed_has_room(&ctx->tx->sealed) &&
		 --tries);
	return err;
}

/*
 * Hands over what was accepted, at the end of the stream: SEND_SHUTDOWN may
 * be set already and does not apply to it.
 */
static int tx_flush(struct sock *sk, struct itls_ctx *ctx)
{
	u8 shut = sk->sk_shutdown & SEND_SHUTDOWN;
	struct itls_tx *tx = ctx->tx;
	int err = 0, push_err;

	WRITE_ONCE(sk->sk_shutdown, sk->sk_shutdown & ~SEND_SHUTDOWN);
	if (!sealed_has_room(&tx->sealed))
		err = itls_tx_push(sk, tx);
	/* Sealed, it goes with what TCP may have refused; open, with nobody. */
	if (!err && tx->open.len)
		err = tx_seal_last(sk, ctx);
	push_err = itls_tx_push(sk, tx);
	err = err ?: push_err;
	/* The push may have let a FIN in, which sets the other bit. */
	WRITE_ONCE(sk->sk_shutdown, sk->sk_shutdown | shut);
	return err;
}

/* The record left open is complete; the socket is locked. */
void itls_tx_flush(struct sock *sk, struct itls_ctx *ctx)
{
	if (!ctx->tx->closed)
		tx_flush(sk, ctx);
}

/**
 * itls_tx_finish() - send what is open, then an alert, and nothing after it
 * @sk: socket, locked; SEND_SHUTDOWN may be set already
 * @ctx: its context, with a sending direction
 * @level: ITLS_ALERT_WARNING or ITLS_ALERT_FATAL
 * @alert: description
 *
 * Never waits: TCP takes it all whatever its send buffer (see the head of
 * this file), so close() cannot block and cannot lose data to a full buffer.
 *
 * Return: 0, -EPIPE when nothing can be sent any more, or -ENOMEM or -EAGAIN
 * when memory ran out and the stream ends without the alert.
 */
int itls_tx_finish(struct sock *sk, struct itls_ctx *ctx, u8 level, u8 alert)
{
	u8 bytes[ITLS_ALERT_LEN] = { level, alert };
	struct itls_tx *tx = ctx->tx;
	int err;

	if (tx->closed)
		return -EPIPE;
	err = tx_flush(sk, ctx);
	if (!err && !tx_is_alive(sk))
		err = -EPIPE;
	if (!err)
		err = seal_bytes(sk, ctx, ITLS_TYPE_ALERT, bytes, sizeof(bytes));
	if (!err)
		err = tx_flush(sk, ctx);
	open_reset(&tx->open);
	tx->closed = true;
	if (!err)
		ctx->alert_tx = alert;
	return err;
}

/**
 * itls_tx_message() - send a record of the kernel's own, without waiting
 * @sk: socket, locked
 * @ctx: its context, with a sending direction
 * @type: content type
 * @bytes: content, a few bytes
 * @len: how many
 *
 * What MSG_MORE holds back stays behind it.
 *
 * Return: 0, -EPIPE when nothing can be sent any more, or -ENOMEM: it was not
 * sent.
 */
int itls_tx_message(struct sock *sk, struct itls_ctx *ctx, u8 type,
		    const u8 *bytes, size_t len)
{
	struct itls_tx *tx = ctx->tx;
	int err;

	if (tx->closed || !itls_tx_is_connected(sk))
		return -EPIPE;
	if (!sealed_has_room(&tx->sealed))
		return -ENOMEM;
	err = seal_bytes(sk, ctx, type, bytes, len);
	if (err)
		return err;
	tx->sealed.records++;
	itls_tx_push(sk, tx);
	return 0;
}
