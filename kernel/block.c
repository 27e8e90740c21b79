// SPDX-License-Identifier: GPL-2.0
/*
 * Blocks: page memory for records on their way, given out again while it is
 * still in the processor's cache.
 *
 * Each processor has a ring of the blocks it gave out last, with a reference
 * of its own to each.  When a block comes round and no other reference is
 * left, TCP or the reader is done with it: it needs no allocation, which many
 * kernels would clear (init_on_alloc).  When one comes round that is still under
 * way, a fresh one takes its place, and it gets one more lap, for which the ring
 * grows; after that it leaves.  A ring that seldom had to grow for a while
 * shrinks again.  Rings that nobody has used meanwhile are emptied, and so are
 * all when memory is short.
 *
 * What a block held is not wiped: whoever gets it writes before anything of it
 * is sent or read.
 *
 * Process context.
 */
#include <linux/bitmap.h>
#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/percpu.h>
#include <linux/shrinker.h>
#include <linux/swap.h>
#include <linux/workqueue.h>

#include "itls.h"

/*
 * For each processor: what its cache may hold, and what may be under way at once, of
 * which the rings together keep no more than such a part of the machine's memory.
 */
#define ITLS_RING_MIN		(SZ_256K / ITLS_BLOCK_SIZE)
#define ITLS_RING_MAX		(SZ_128M / ITLS_BLOCK_SIZE)
#define ITLS_RINGS_SHARE	32
#define ITLS_RING_IDLE		(5 * HZ)
/* Of so many blocks one is late in any case, where peers are slow. */
#define ITLS_RING_LATE		64
/* Beyond what one peer has under way more have to be: it costs the cache. */
#define ITLS_RING_LARGE		(SZ_8M / ITLS_BLOCK_SIZE)
#define ITLS_RING_LARGE_LATE	8

struct block_ring {
	spinlock_t lock;	/* all below; never held over an allocation */
	unsigned int given;	/* out, since the rings were last looked at */
	unsigned int late;	/* likewise: those that came round too early */
	unsigned int next;
	unsigned int size;	/* entries that are in use */
	unsigned int nr;	/* those that hold a block */
	struct page **blocks;	/* ring_max of them */
	unsigned long *again;	/* which of them are in their second lap */
};

static struct block_ring __percpu *rings;
static unsigned int ring_max __ro_after_init;
static struct shrinker *ring_shrinker;

static void age_rings(struct work_struct *work);
static DECLARE_DELAYED_WORK(ring_work, age_rings);

static void ring_step(struct block_ring *ring)
{
	ring->next = ring->next + 1 < ring->size ? ring->next + 1 : 0;
}

/* The ring's next block with a reference for the caller, if it is free. */
static struct page *ring_take(struct block_ring *ring)
{
	struct page *page;

	spin_lock(&ring->lock);
	page = ring->blocks[ring->next];
	if (page && page_ref_count(page) == 1) {
		get_page(page);
		__clear_bit(ring->next, ring->again);
		ring_step(ring);
		ring->given++;
	} else {
		page = NULL;
	}
	spin_unlock(&ring->lock);
	return page;
}

/* Do so many blocks come round too early that the ring should be larger? */
static bool ring_is_small(const struct block_ring *ring)
{
	unsigned int late = ring->size < ITLS_RING_LARGE ? ITLS_RING_LATE :
							   ITLS_RING_LARGE_LATE;

	return (u64)ring->late * late > ring->given;
}

/*
 * Makes room for another block.  Returns what leaves the ring for it, if
 * anything does: the one that was there may move to the end instead.
 */
static struct page *ring_displace(struct block_ring *ring, unsigned int i)
{
	struct page *page = ring->blocks[i];
	bool again = __test_and_clear_bit(i, ring->again);

	if (!page || page_ref_count(page) == 1)
		return page;
	ring->late++;
	if (again || ring->size == ring_max ||
	    (ring->size >= ITLS_RING_LARGE && !ring_is_small(ring)))
		return page;
	__set_bit(ring->size, ring->again);
	ring->blocks[ring->size++] = page;
	return NULL;
}

/* Puts a block in the place of the next one. */
static void ring_put(struct block_ring *ring, struct page *page)
{
	struct page *old;
	unsigned int i;

	get_page(page);
	spin_lock(&ring->lock);
	i = ring->next;
	ring_step(ring);
	old = ring_displace(ring, i);
	if (!old)
		ring->nr++;
	ring->blocks[i] = page;
	ring->given++;
	spin_unlock(&ring->lock);
	if (old)
		put_page(old);
	else
		queue_delayed_work(system_dfl_wq, &ring_work, ITLS_RING_IDLE);
}

/* Passes over a block that is still under way, for want of one to take its place. */
static void ring_skip(struct block_ring *ring)
{
	spin_lock(&ring->lock);
	ring_step(ring);
	spin_unlock(&ring->lock);
}

/* Takes up to @max blocks out, from the end, all but the first @keep entries. */
static unsigned int ring_pop(struct block_ring *ring, unsigned int keep,
			     struct page **pages, unsigned int max)
{
	unsigned int n = 0, i;

	spin_lock(&ring->lock);
	for (i = ring->size; i > keep && n < max; ) {
		struct page *page = ring->blocks[--i];

		ring->blocks[i] = NULL;
		__clear_bit(i, ring->again);
		if (page)
			pages[n++] = page;
	}
	ring->nr -= n;
	ring->size = max(min(i, ring->size), ITLS_RING_MIN);
	if (ring->next >= ring->size)
		ring->next = 0;
	spin_unlock(&ring->lock);
	return n;
}

/*
 * Takes some blocks out, from the end, and returns how many.  Freeing may take long
 * (init_on_free), so the lock is not held over it.  Those still under way are free later.
 */
static unsigned int ring_shorten(struct block_ring *ring, unsigned int keep,
				 unsigned long *freed)
{
	struct page *pages[16];
	unsigned int n = ring_pop(ring, keep, pages, ARRAY_SIZE(pages)), i;

	for (i = 0; i < n; i++) {
		*freed += page_ref_count(pages[i]) == 1;
		put_page(pages[i]);
	}
	return n;
}

static void ring_cut(struct block_ring *ring, unsigned int keep)
{
	unsigned long freed = 0;
	unsigned int nr = 0, n;

	do {
		n = ring_shorten(ring, keep, &freed);
		nr += n;
		cond_resched();
	} while (n && nr < ring_max);
}

/*
 * A ring that nobody uses is emptied; one that seldom has to grow, or does not
 * come round, may be too large.  Returns whether it was used.
 */
static bool ring_age(struct block_ring *ring)
{
	unsigned int given, size;
	bool small;

	spin_lock(&ring->lock);
	given = ring->given;
	size = ring->size;
	small = ring_is_small(ring) && given >= size / 2;
	ring->given = 0;
	ring->late = 0;
	spin_unlock(&ring->lock);
	if (!given)
		ring_cut(ring, 0);
	else if (!small)
		ring_cut(ring, max(size / 2, ITLS_RING_MIN));
	return given;
}

static void age_rings(struct work_struct *work)
{
	bool again = false;
	int cpu;

	for_each_possible_cpu(cpu)
		again |= ring_age(per_cpu_ptr(rings, cpu));
	if (again)
		queue_delayed_work(system_dfl_wq, &ring_work, ITLS_RING_IDLE);
}

/* Bytes in all rings.  Any context. */
unsigned long itls_block_kept(void)
{
	unsigned long nr = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		nr += READ_ONCE(per_cpu_ptr(rings, cpu)->nr);
	return nr * ITLS_BLOCK_SIZE;
}

/* A node that is short of memory has no use for that of others. */
static bool ring_is_near(int cpu, int nid)
{
	int node = cpu_to_mem(cpu);

	return node == nid || node == NUMA_NO_NODE;
}

/* Pages. */
static unsigned long shrinker_count(struct shrinker *shrinker,
				    struct shrink_control *sc)
{
	unsigned long nr = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		if (ring_is_near(cpu, sc->nid))
			nr += READ_ONCE(per_cpu_ptr(rings, cpu)->nr);
	return nr << ITLS_BLOCK_ORDER;
}

/* As much as is asked for: who refills a ring pays for each block. */
static unsigned long shrinker_scan(struct shrinker *shrinker,
				   struct shrink_control *sc)
{
	unsigned long nr = 0, freed = 0;
	int cpu;

	for_each_cpu_wrap(cpu, cpu_possible_mask, raw_smp_processor_id()) {
		struct block_ring *ring = per_cpu_ptr(rings, cpu);
		bool more = ring_is_near(cpu, sc->nid) && READ_ONCE(ring->nr);

		while (more && nr < sc->nr_to_scan >> ITLS_BLOCK_ORDER) {
			unsigned int n = ring_shorten(ring, 0, &freed);

			nr += n;
			more = n;
		}
	}
	mm_account_reclaimed_pages(freed << ITLS_BLOCK_ORDER);
	sc->nr_scanned = nr << ITLS_BLOCK_ORDER;
	return nr ? freed << ITLS_BLOCK_ORDER : SHRINK_STOP;
}

/**
 * itls_block_get() - page memory for a record
 * @gfp: of the socket
 *
 * Return: ITLS_BLOCK_SIZE bytes in one compound page, to be put with
 * put_page(), or NULL when so much in one piece is not to be had cheaply.
 */
struct page *itls_block_get(gfp_t gfp)
{
	struct page *page = ring_take(raw_cpu_ptr(rings));

	if (page)
		return page;
	/* The caller can do without, so nobody else's memory is reclaimed. */
	gfp &= ~__GFP_DIRECT_RECLAIM;
	page = alloc_pages(gfp | __GFP_COMP | __GFP_NOWARN | __GFP_NORETRY,
			   ITLS_BLOCK_ORDER);
	if (page && !page_is_pfmemalloc(page))
		ring_put(raw_cpu_ptr(rings), page);
	else
		ring_skip(raw_cpu_ptr(rings));
	return page;
}

static void rings_free(void)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		kvfree(per_cpu_ptr(rings, cpu)->blocks);
		bitmap_free(per_cpu_ptr(rings, cpu)->again);
	}
	free_percpu(rings);
}

static int ring_init(struct block_ring *ring, int node)
{
	spin_lock_init(&ring->lock);
	ring->size = ITLS_RING_MIN;
	ring->blocks = kvcalloc_node(ring_max, sizeof(*ring->blocks), GFP_KERNEL, node);
	ring->again = bitmap_zalloc_node(ring_max, GFP_KERNEL, node);
	return ring->blocks && ring->again ? 0 : -ENOMEM;
}

static int rings_alloc(void)
{
	unsigned long share = (totalram_pages() - totalhigh_pages()) / ITLS_RINGS_SHARE /
			      num_present_cpus();
	int cpu, err = 0;

	ring_max = clamp(share >> ITLS_BLOCK_ORDER, ITLS_RING_MIN, ITLS_RING_MAX);
	rings = alloc_percpu(struct block_ring);
	if (!rings)
		return -ENOMEM;
	for_each_possible_cpu(cpu)
		err = err ?: ring_init(per_cpu_ptr(rings, cpu), cpu_to_node(cpu));
	if (err)
		rings_free();
	return err;
}

int itls_block_init(void)
{
	int err = rings_alloc();

	if (err)
		return err;
	ring_shrinker = shrinker_alloc(SHRINKER_NUMA_AWARE, "itls-block");
	if (!ring_shrinker) {
		rings_free();
		return -ENOMEM;
	}
	ring_shrinker->count_objects = shrinker_count;
	ring_shrinker->scan_objects = shrinker_scan;
	shrinker_register(ring_shrinker);
	return 0;
}

/* No socket is left that could ask for a block. */
void itls_block_exit(void)
{
	int cpu;

	shrinker_free(ring_shrinker);
	cancel_delayed_work_sync(&ring_work);
	for_each_possible_cpu(cpu)
		ring_cut(per_cpu_ptr(rings, cpu), 0);
	rings_free();
}
