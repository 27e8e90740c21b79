// SPDX-License-Identifier: GPL-2.0
/*
 * Blocks: page memory for records on their way, given out again while it is
 * still in the processor's cache.
 *
 * Each processor has a ring of the blocks it gave out last, with a reference
 * of its own to each.  When a block comes round and no other reference is
 * left, TCP or the reader is done with it: it needs no allocation, which many
 * kernels would clear (init_on_alloc).  One that is still under way leaves the
 * ring, and a fresh one takes its place.  Rings that nobody has used for a
 * while are emptied, and so are all when memory is short.
 *
 * What a block held is not wiped: whoever gets it writes before anything of it
 * is sent or read.
 *
 * Process context.
 */
#include <linux/mm.h>
#include <linux/percpu.h>
#include <linux/shrinker.h>
#include <linux/workqueue.h>

#include "itls.h"

/* For each processor: what its cache may hold. */
#define ITLS_RING_BLOCKS	(SZ_2M / ITLS_BLOCK_SIZE)
#define ITLS_RING_IDLE		(5 * HZ)

struct block_ring {
	spinlock_t lock;	/* all below; never held over an allocation */
	bool used;		/* since the rings were last looked at */
	unsigned int next;
	unsigned int nr;	/* entries that hold a block */
	struct page *blocks[ITLS_RING_BLOCKS];
};

static struct block_ring __percpu *rings;
static struct shrinker *ring_shrinker;

static void age_rings(struct work_struct *work);
static DECLARE_DELAYED_WORK(ring_work, age_rings);

/* The ring's next block with a reference for the caller, if it is free. */
static struct page *ring_take(struct block_ring *ring)
{
	struct page *page;

	spin_lock(&ring->lock);
	page = ring->blocks[ring->next];
	if (page && page_ref_count(page) == 1) {
		get_page(page);
		ring->next = (ring->next + 1) % ITLS_RING_BLOCKS;
		ring->used = true;
	} else {
		page = NULL;
	}
	spin_unlock(&ring->lock);
	return page;
}

/* Puts a block in the place of the next one. */
static void ring_put(struct block_ring *ring, struct page *page)
{
	struct page *old;

	get_page(page);
	spin_lock(&ring->lock);
	old = ring->blocks[ring->next];
	ring->blocks[ring->next] = page;
	ring->next = (ring->next + 1) % ITLS_RING_BLOCKS;
	ring->used = true;
	if (!old)
		ring->nr++;
	spin_unlock(&ring->lock);
	if (old)
		put_page(old);
	else
		queue_delayed_work(system_dfl_wq, &ring_work, ITLS_RING_IDLE);
}

/* Passes over a block that is still under way. */
static void ring_skip(struct block_ring *ring)
{
	spin_lock(&ring->lock);
	ring->next = (ring->next + 1) % ITLS_RING_BLOCKS;
	spin_unlock(&ring->lock);
}

static unsigned int ring_empty(struct block_ring *ring)
{
	unsigned int i, nr;

	spin_lock(&ring->lock);
	nr = ring->nr;
	for (i = 0; ring->nr; i++) {
		if (!ring->blocks[i])
			continue;
		put_page(ring->blocks[i]);
		ring->blocks[i] = NULL;
		ring->nr--;
	}
	spin_unlock(&ring->lock);
	return nr;
}

static void age_rings(struct work_struct *work)
{
	bool again = false;
	int cpu;

	for_each_possible_cpu(cpu) {
		struct block_ring *ring = per_cpu_ptr(rings, cpu);

		if (READ_ONCE(ring->used)) {
			WRITE_ONCE(ring->used, false);
			again = true;
		} else {
			ring_empty(ring);
		}
	}
	if (again)
		queue_delayed_work(system_dfl_wq, &ring_work, ITLS_RING_IDLE);
}

static unsigned long shrinker_count(struct shrinker *shrinker,
				    struct shrink_control *sc)
{
	unsigned long nr = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		nr += READ_ONCE(per_cpu_ptr(rings, cpu)->nr);
	return nr << ITLS_BLOCK_ORDER;
}

static unsigned long shrinker_scan(struct shrinker *shrinker,
				   struct shrink_control *sc)
{
	unsigned long freed = 0;
	int cpu;

	for_each_possible_cpu(cpu) {
		if (freed >= sc->nr_to_scan)
			break;
		freed += (unsigned long)ring_empty(per_cpu_ptr(rings, cpu)) <<
			 ITLS_BLOCK_ORDER;
	}
	return freed ?: SHRINK_STOP;
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
	if (!page)
		ring_skip(raw_cpu_ptr(rings));
	else if (!page_is_pfmemalloc(page))
		ring_put(raw_cpu_ptr(rings), page);
	return page;
}

int itls_block_init(void)
{
	int cpu;

	rings = alloc_percpu(struct block_ring);
	if (!rings)
		return -ENOMEM;
	for_each_possible_cpu(cpu)
		spin_lock_init(&per_cpu_ptr(rings, cpu)->lock);
	ring_shrinker = shrinker_alloc(0, "itls-block");
	if (!ring_shrinker) {
		free_percpu(rings);
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
		ring_empty(per_cpu_ptr(rings, cpu));
	free_percpu(rings);
}
