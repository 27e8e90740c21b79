// SPDX-License-Identifier: GPL-2.0
/*
 * Sealed records: the page memory of ciphertext, from the moment it is written
 * until TCP has taken it.
 *
 * Process context under the socket lock, but for itls_sealed_advance(), which
 * a push in softirq calls.
 */
#include <linux/scatterlist.h>

#include "itls.h"

/* A piece of ciphertext always has room for a record's header and nonce. */
#define ITLS_PIECE_MIN		32

static_assert(ITLS_PIECE_MIN >= ITLS_HEADER_LEN + ITLS_EXPLICIT_MAX);
/* So a KeyUpdate is in one. */
static_assert(ITLS_PIECE_MIN >= ITLS_HEADER_LEN + ITLS_KEY_UPDATE_LEN + 1 +
	      ITLS_TAG_LEN);
/* Pages of order 0 with a short first piece are the worst case. */
static_assert(ITLS_RECORD_PIECES * PAGE_SIZE >= ITLS_PLAIN_MAX + PAGE_SIZE +
	      ITLS_HEADER_LEN + ITLS_EXPLICIT_MAX + 1 + ITLS_TAG_LEN);

void itls_sealed_reset(struct itls_sealed *sealed)
{
	while (sealed->first < sealed->nr)
		put_page(sealed->frags[sealed->first++].bv_page);
	sealed->first = 0;
	sealed->nr = 0;
	sealed->records = 0;
	sealed->len = 0;
}

/*
 * For a record and a KeyUpdate before it.  A rest that TCP refused may begin
 * anywhere in the array; it has to go before anything is appended.
 */
bool itls_sealed_has_room(const struct itls_sealed *sealed)
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

struct itls_sealed_mark itls_sealed_mark(const struct itls_sealed *sealed)
{
	unsigned int nr = sealed->nr;

	return (struct itls_sealed_mark){ nr, nr ? sealed->frags[nr - 1].bv_len : 0 };
}

void itls_sealed_trim(struct itls_sealed *sealed, struct itls_sealed_mark mark)
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
 * A record that is encrypted where it is in shared pages, between what goes
 * before and behind.
 */
static void sealed_map_around(struct sock *sk, struct itls_sealed *sealed,
			      const struct itls_open *open, size_t prefix_len,
			      size_t suffix_len, u8 **prefix,
			      struct scatterlist *sg)
{
	const struct bio_vec *text = &open->frags[0];

	get_page(text->bv_page);
	sealed_add(sealed, text->bv_page, text->bv_offset - prefix_len,
		   prefix_len + open->len + suffix_len);
	sk_page_frag(sk)->offset += suffix_len;
	sg_set_page(sg, text->bv_page, open->len + suffix_len, text->bv_offset);
	sg_mark_end(sg);
	*prefix = sg_virt(sg) - prefix_len;
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
	bool in_place = open->place == ITLS_PLACE_BLOCK;
	unsigned int off = in_place ? 0 : open->start;
	unsigned int len = min_t(size_t, open->len + suffix_len - ITLS_TAG_LEN,
				 ITLS_BLOCK_SIZE - off);
	struct page *page;
	int n;

	page = in_place ? open->frags[0].bv_page :
			  itls_block_get(sk->sk_allocation);
	if (!page)
		return -EAGAIN;
	n = sealed_grow(sk, sealed, prefix_len, sg);
	if (in_place)
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
 * Room for a settled record's ciphertext, listed in @sg behind an entry for the
 * additional data; *@prefix is where its header goes.
 */
int itls_sealed_map(struct sock *sk, struct itls_sealed *sealed,
		    const struct itls_record *r, const struct itls_open *open,
		    u8 **prefix, struct scatterlist *sg)
{
	size_t prefix_len = itls_record_prefix_len(r);
	size_t suffix_len = itls_record_suffix_len(r);
	int err = -EAGAIN;

	sg_init_table(sg, ITLS_RECORD_PIECES + 1);
	if (open->place == ITLS_PLACE_SHARED) {
		sealed_map_around(sk, sealed, open, prefix_len, suffix_len,
				  prefix, sg + 1);
		return 0;
	}
	if (open->len >= ITLS_BLOCK_MIN)
		err = sealed_map_block(sk, sealed, open, prefix_len, suffix_len,
				       prefix, sg + 1);
	if (err == -EAGAIN)
		err = sealed_map_shared(sk, sealed, prefix_len,
					open->len + suffix_len, prefix, sg + 1);
	return err;
}

void itls_sealed_advance(struct itls_sealed *sealed, size_t len)
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
		itls_sealed_reset(sealed);
}
