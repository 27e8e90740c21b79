// SPDX-License-Identifier: GPL-2.0
/*
 * The open record: plaintext that is gathered until the record is sealed,
 * copied from the caller or referenced in pages of the caller's.
 *
 * Process context under the socket lock.
 */
#include <linux/scatterlist.h>

#include "itls.h"

/*
 * A record that has grown so long by copies is likely to become a long one.
 * Until it does, nobody is charged for most of its block: one a socket.
 */
#define ITLS_GROWN_MIN		SZ_2K

static void open_put(struct itls_open *open, struct page *page)
{
	if (!open->lent)
		put_page(page);
}

void itls_open_reset(struct itls_open *open)
{
	while (open->nr)
		open_put(open, open->frags[--open->nr].bv_page);
	open->len = 0;
}

/*
 * @limit: bytes of plaintext the record may hold, at least 1
 * @prefix_len: of what goes before them
 */
void itls_open_begin(struct itls_open *open, u8 type, unsigned int limit,
		     size_t prefix_len)
{
	open->type = type;
	open->limit = limit;
	open->start = 0;
	open->spliced = false;
	open->lent = false;
	open->place = ITLS_PLACE_ELSEWHERE;
	open->prefix_len = prefix_len;
}

bool itls_open_is_full(const struct itls_open *open)
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
		open_put(open, page);
		return;
	}
	bvec_set_page(&open->frags[open->nr++], page, len, off);
	if (open->nr > 1)
		open->place = ITLS_PLACE_ELSEWHERE;
}

/* Takes back bytes from the end, down to @len. */
void itls_open_trim(struct itls_open *open, unsigned int len)
{
	while (open->len > len) {
		struct bio_vec *last = &open->frags[open->nr - 1];
		unsigned int cut = min(last->bv_len, open->len - len);

		open->len -= cut;
		last->bv_len -= cut;
		if (!last->bv_len) {
			open_put(open, last->bv_page);
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
	len = copy_from_iter(page_address(page), len, from);
	if (!len) {
		put_page(page);
		return -EFAULT;
	}
	open_add(open, page, 0, len);
	open->place = ITLS_PLACE_BLOCK;
	return len;
}

/* Do these bytes take it over the mark, and may it become a long one at all? */
static bool open_has_grown(const struct itls_open *open, size_t len)
{
	return open->place != ITLS_PLACE_BLOCK && !open->spliced &&
	       open->nr == 1 && open->limit >= ITLS_BLOCK_MIN &&
	       open->len < ITLS_GROWN_MIN &&
	       open->len + len >= ITLS_GROWN_MIN;
}

/*
 * A record that grows by small copies goes on in a block, where it can be
 * encrypted in place.  What it has so far is in one piece.
 */
static void open_move_to_block(struct sock *sk, struct itls_open *open)
{
	struct page *page = itls_block_get(sk->sk_allocation);
	struct bio_vec *frag = open->frags;

	if (!page)
		return;
	memcpy(page_address(page), bvec_virt(frag), open->len);
	put_page(frag->bv_page);
	bvec_set_page(frag, page, open->len, 0);
	open->place = ITLS_PLACE_BLOCK;
}

/* More of the same; the block has room for a whole record. */
static int open_copy_on(struct itls_open *open, size_t len,
			struct iov_iter *from)
{
	struct bio_vec *block = open->frags;

	len = copy_from_iter(page_address(block->bv_page) + block->bv_len, len, from);
	block->bv_len += len;
	open->len += len;
	return len ?: -EFAULT;
}

/*
 * A record that begins with @len bytes in shared pages leaves room for its
 * prefix.  If it ends there, with room for what goes behind, it is encrypted
 * where it is, and records that follow one another are one piece to TCP.
 */
static size_t open_room_ahead(const struct itls_open *open,
			      const struct page_frag *pfrag, size_t len)
{
	size_t room = pfrag->size - pfrag->offset;

	return !open->len && room > open->prefix_len + len ? open->prefix_len : 0;
}

/* Copies what fits from the caller; returns bytes or -errno. */
int itls_open_copy(struct sock *sk, struct itls_open *open,
		   struct iov_iter *from)
{
	size_t len = min_t(size_t, iov_iter_count(from), open->limit - open->len);
	struct page_frag *pfrag = sk_page_frag(sk);
	size_t ahead;
	int ret;

	if (open_has_grown(open, len))
		open_move_to_block(sk, open);
	if (open->place == ITLS_PLACE_BLOCK)
		return open_copy_on(open, len, from);
	if (!open->len && len >= ITLS_BLOCK_MIN) {
		ret = open_copy_block(sk, open, len, from);
		if (ret != -ENOMEM)
			return ret;
	}
	if (!sk_page_frag_refill(sk, pfrag))
		return -ENOMEM;
	ahead = open_room_ahead(open, pfrag, len);
	len = min_t(size_t, len, pfrag->size - pfrag->offset);
	len = copy_from_iter(page_address(pfrag->page) + pfrag->offset + ahead, len, from);
	if (!len)
		return -EFAULT;
	get_page(pfrag->page);
	open_add(open, pfrag->page, pfrag->offset + ahead, len);
	pfrag->offset += ahead + len;
	if (ahead)
		open->place = ITLS_PLACE_SHARED;
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
	/* Even if the pages go on where the text ends, they are the caller's. */
	open->place = ITLS_PLACE_ELSEWHERE;
	open->start = start;
	open->limit = min_t(size_t, open->limit, ITLS_BLOCK_SIZE - start);
}

/* References what fits of the caller's pages; returns bytes or -errno. */
int itls_open_splice(struct itls_open *open, struct iov_iter *from)
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

/* What fits of pages that the caller holds meanwhile. */
static bool open_borrow_pages(struct itls_open *open, struct iov_iter *from)
{
	const struct bio_vec *bvec = from->bvec, *end = bvec + from->nr_segs;
	size_t skip = from->iov_offset, want;

	open->lent = true;
	open_align(open, bvec->bv_offset + skip);
	want = min_t(size_t, open->limit, iov_iter_count(from));
	for (; bvec < end && open->len < want && open->nr < ITLS_OPEN_FRAGS;
	     bvec++, skip = 0) {
		size_t off = bvec->bv_offset + skip;
		size_t len = min_t(size_t, bvec->bv_len - skip, want - open->len);

		if (len)
			open_add(open, bvec->bv_page + (off >> PAGE_SHIFT),
				 offset_in_page(off), len);
	}
	iov_iter_advance(from, open->len);
	return open->len;
}

/*
 * All of a record of the caller's memory, if it is in one piece there.
 *
 * References are enough to read for so short a time, as for vmsplice(2), and
 * who shares pages since a fork goes on sharing them: pinning would copy them.
 */
static bool open_borrow_memory(struct itls_open *open, struct iov_iter *from)
{
	struct page *pages[ITLS_PLAIN_MAX / PAGE_SIZE + 2] __uninitialized;
	size_t len = open->limit, off;
	ssize_t left;

	if (iov_iter_single_seg_count(from) < len)
		return false;
	left = iov_iter_get_pages2(from, pages, len, ARRAY_SIZE(pages), &off);
	for (; left > 0; off = 0) {
		size_t n = min_t(size_t, left, PAGE_SIZE - off);

		bvec_set_page(&open->frags[open->nr], pages[open->nr], n, off);
		open->nr++;
		open->len += n;
		left -= n;
	}
	if (open->len == len)
		return true;
	iov_iter_revert(from, open->len);
	itls_open_reset(open);
	return false;
}

/*
 * The record where the caller has it, up to its limit, in pages that he splices or
 * in memory of a program's: for one that is sealed within the call, since the caller
 * may let go of it, or write to it, afterwards.  False, and nothing is referenced: it
 * cannot be had there.
 */
bool itls_open_borrow(struct itls_open *open, struct iov_iter *from)
{
	if (iov_iter_is_bvec(from))
		return open_borrow_pages(open, from);
	return open_borrow_memory(open, from);
}

/* Are there @len bytes free behind the last one of the open record? */
static bool open_has_room_behind(struct sock *sk, const struct itls_open *open,
				 size_t len)
{
	const struct bio_vec *last = &open->frags[open->nr - 1];
	struct page_frag *pfrag = sk_page_frag(sk);

	return last->bv_page == pfrag->page &&
	       last->bv_offset + last->bv_len == pfrag->offset &&
	       pfrag->size - pfrag->offset >= len;
}

/*
 * A block of the cipher across two pages may need memory, on some kernels.
 * When there is none, what was encrypted in place before it is lost.
 */
static bool open_may_be_cut(const struct itls_open *open)
{
	return ITLS_WALK_ENDS_AT_PAGES &&
	       offset_in_page(open->frags[0].bv_offset) + open->len + 1 > PAGE_SIZE;
}

/* The record is complete: does it stay where it is to be encrypted? */
void itls_open_settle(struct sock *sk, struct itls_open *open,
		      size_t suffix_len)
{
	if ((open->place == ITLS_PLACE_BLOCK && open->len < ITLS_BLOCK_MIN) ||
	    (open->place == ITLS_PLACE_SHARED &&
	     (!open_has_room_behind(sk, open, suffix_len) ||
	      open_may_be_cut(open))))
		open->place = ITLS_PLACE_ELSEWHERE;
}

/* Is there a byte free behind the text, for its type? */
static bool open_has_tail(struct sock *sk, const struct itls_open *open)
{
	switch (open->place) {
	case ITLS_PLACE_BLOCK:
		return open->len < ITLS_BLOCK_SIZE;
	case ITLS_PLACE_SHARED:
		return true;
	case ITLS_PLACE_ELSEWHERE:
		break;
	}
	if (!open_has_room_behind(sk, open, 1))
		return false;
	sk_page_frag(sk)->offset++;
	return true;
}

/*
 * Lists the plaintext of a settled record behind an entry for the additional data.  The type, last
 * in TLS 1.3, lies behind the text if it can: an entry of its own would cut a
 * block of the cipher in two, which the crypto API puts together elsewhere.
 * @inner_type is for such an entry, and must not be on the stack.
 */
void itls_open_map(struct sock *sk, struct itls_open *open, bool is_13,
		   u8 *inner_type, struct scatterlist *sg)
{
	bool tail = is_13 && open->nr && open_has_tail(sk, open);
	struct scatterlist *last = sg;
	unsigned int i;

	sg_init_table(sg, 2 + open->nr);
	for (i = 0; i < open->nr; i++)
		sg_set_page(&sg[1 + i], open->frags[i].bv_page,
			    open->frags[i].bv_len, open->frags[i].bv_offset);
	if (open->nr)
		last = &sg[itls_cipher_join(&sg[1], open->nr)];
	if (tail) {
		last->length++;
		*((u8 *)sg_virt(last) + last->length - 1) = open->type;
	} else if (is_13) {
		*inner_type = open->type;
		sg_set_buf(++last, inner_type, 1);
	}
	sg_unmark_end(&sg[1 + open->nr]);
	sg_mark_end(last);
}
