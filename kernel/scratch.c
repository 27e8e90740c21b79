// SPDX-License-Identifier: GPL-2.0
/*
 * Scratch memory: where the pieces of a record are put together for as long as
 * a call takes.
 *
 * Each processor keeps the one it used last, whose lines its cache still has.
 * What a scratch held is not wiped: only ciphertext is put there.
 *
 * Process context; whoever has one may sleep, and give it back on another
 * processor.
 */
#include <linux/percpu.h>
#include <linux/slab.h>

#include "itls.h"

static DEFINE_PER_CPU(u8 *, kept);

/* Return: ITLS_SCRATCH_SIZE bytes that begin with a page, or NULL. */
u8 *itls_scratch_get(void)
{
	return this_cpu_xchg(kept, NULL) ?: kmalloc(ITLS_SCRATCH_SIZE, GFP_KERNEL);
}

void itls_scratch_put(u8 *scratch)
{
	kfree(this_cpu_xchg(kept, scratch));
}

/* Nobody has one any more. */
void itls_scratch_exit(void)
{
	int cpu;

	for_each_possible_cpu(cpu)
		kfree(per_cpu(kept, cpu));
}
