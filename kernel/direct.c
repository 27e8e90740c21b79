// SPDX-License-Identifier: GPL-2.0
/*
 * Records decrypted straight into the memory of the reader, whose pages are
 * pinned meanwhile.
 *
 * The cipher writes there before it knows that the record is authentic, and
 * other threads of the reader may look, or write, at any time.  So nothing is
 * judged by what is there: the tag is that of TCP's pages, and the last byte,
 * which in TLS 1.3 tells the type, goes elsewhere.  What turns out not to be
 * the reader's is wiped, and if it is authentic decrypted again to where it
 * belongs.
 *
 * Only memory of the reader's alone: pages of a file others see, and a file
 * system wants to know of each write.
 *
 * Process context under the socket lock.
 */
#include <linux/mm.h>
#include <linux/scatterlist.h>
#include <linux/uio.h>

#include "itls.h"

/* The longest record in pages, and cuts between buffers of the reader's. */
#define ITLS_DIRECT_PAGES	(ITLS_PLAIN_MAX / PAGE_SIZE + 4)

struct direct {
	unsigned int nr, pieces;
	struct page *pages[ITLS_DIRECT_PAGES];
	/* Additional data, pieces of the pages, the byte behind the text. */
	struct scatterlist sg[ITLS_DIRECT_PAGES + 2];
};

/*
 * Records that carry other things, or padding, are better off elsewhere: most
 * of these are short, or the peer's habit.  So is what comes within a
 * handshake message.
 */
static bool is_for_reader(const struct itls_rx *rx, const struct itls_frame *f,
			  size_t text_len)
{
	return f->type == ITLS_TYPE_DATA && text_len >= ITLS_BLOCK_MIN &&
	       !rx->indirect && !rx->handshake.have &&
	       !itls_cipher_reads_twice(&rx->cipher);
}

/* Pins the next pages of @to; false: there are none for @len bytes. */
static bool pin_some(struct direct *d, struct iov_iter *to, size_t *len)
{
	struct page **pages = d->pages + d->nr;
	unsigned int room = ITLS_DIRECT_PAGES - d->nr;
	bool anonymous = true;
	ssize_t got, left;
	size_t off;

	if (!room)
		return false;
	got = iov_iter_extract_pages(to, &pages, *len, room, 0, &off);
	if (got <= 0)
		return false;
	for (left = got; left; off = 0) {
		size_t n = min_t(size_t, left, PAGE_SIZE - off);
		struct page *page = d->pages[d->nr];

		anonymous = anonymous && folio_test_anon(page_folio(page));
		sg_set_page(&d->sg[1 + d->nr], page, n, off);
		d->nr++;
		left -= n;
	}
	*len -= got;
	return anonymous;
}

/* False: there are no @len bytes that will do; @to is as before. */
static bool pin(struct direct *d, struct iov_iter *to, size_t len)
{
	size_t left = len;

	d->nr = 0;
	sg_init_table(d->sg, ARRAY_SIZE(d->sg));
	while (left) {
		if (pin_some(d, to, &left))
			continue;
		iov_iter_revert(to, len - left);
		unpin_user_pages(d->pages, d->nr);
		return false;
	}
	d->pieces = itls_cipher_join(&d->sg[1], d->nr);
	return true;
}

static void wipe(struct direct *d)
{
	sg_zero_buffer(&d->sg[1], d->pieces, SIZE_MAX, 0);
}

/* The text is the reader's, but for the last byte of TLS 1.3, if it has that type. */
static int decrypt(struct sock *sk, struct itls_ctx *ctx,
		   const struct itls_frame *f, struct direct *d, bool is_13)
{
	struct itls_rx *rx = ctx->rx;
	unsigned int end = d->pieces;
	int err;

	if (is_13)
		sg_set_buf(&d->sg[++end], &rx->last, 1);
	sg_mark_end(&d->sg[end]);
	err = itls_frame_decrypt(sk, ctx, f, d->sg);
	rx->indirect = !err && is_13 && rx->last != ITLS_TYPE_DATA;
	if (err || rx->indirect)
		wipe(d);
	return err;
}

/**
 * itls_direct_open() - decrypt a record into the memory of its reader
 * @sk: socket, locked
 * @ctx: its context
 * @f: the next record, which is whole
 * @to: where to; advanced by what was written
 *
 * Return: bytes of data, 0 when the record has to be opened otherwise, or
 * -errno as itls_frame_open().
 */
int itls_direct_open(struct sock *sk, struct itls_ctx *ctx,
		     const struct itls_frame *f, struct iov_iter *to)
{
	struct itls_rx *rx = ctx->rx;
	bool is_13 = itls_record_is_13(&rx->cipher.record);
	size_t len = f->total - itls_record_overhead(&rx->cipher.record);
	struct direct d __uninitialized;
	int err;

	if (!user_backed_iter(to) || iov_iter_count(to) < len ||
	    !is_for_reader(rx, f, len) || !pin(&d, to, len))
		return 0;
	err = decrypt(sk, ctx, f, &d, is_13);
	unpin_user_pages_dirty_lock(d.pages, d.nr, true);
	if (!err && !rx->indirect) {
		itls_frame_consume(sk, rx, f);
		return len;
	}
	iov_iter_revert(to, len);
	if (!err)
		itls_cipher_again(&rx->cipher);
	else if (err != -ENOMEM)
		itls_frame_consume(sk, rx, f);
	return err;
}
