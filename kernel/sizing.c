// SPDX-License-Identifier: GPL-2.0
/*
 * How long the records of data are.
 *
 * A receiver can read nothing of a record before all of it has arrived.  A
 * full one is more than TCP's first congestion window, so the first byte of an
 * answer would wait for an acknowledgment of most of its record.  So after
 * an idle time records begin with one that fills a segment, and each is as long
 * as all before it together, in whole segments, until they are full.
 *
 * Process context under the socket lock.
 */
#include <linux/math.h>

#include "itls.h"

/* TCP, too, begins anew with a small window when nothing was sent for long. */
#define ITLS_SIZING_IDLE	HZ
/* Shorter segments than this are not worth records of their own. */
#define ITLS_SEGMENT_MIN	512U
/* From here on records are full, whatever the length of a segment. */
#define ITLS_BURST_FULL		(2 * ITLS_PLAIN_MAX)

/**
 * itls_sizing_init() - set the length of records
 * @s: direction's sizing
 * @fixed: bytes of plaintext that somebody wants them to have; 0: full, and at
 *	the beginning less if they grow
 */
void itls_sizing_init(struct itls_sizing *s, u16 fixed)
{
	s->max = fixed ?: ITLS_PLAIN_MAX;
	s->grows = s->grows && !fixed;
}

/* What waits to be pushed, for a window or an acknowledgment is no idleness. */
static bool sizing_is_idle(const struct sock *sk, const struct itls_tx *tx)
{
	return tcp_jiffies32 - tcp_sk(sk)->lsndtime >= ITLS_SIZING_IDLE &&
	       !tx->sealed.len && tcp_rtx_and_write_queues_empty(sk);
}

/**
 * itls_sizing_limit() - how long may the record that begins now become?
 * @sk: socket, locked
 * @tx: its sending direction
 *
 * Return: bytes of plaintext, at least 1.
 */
unsigned int itls_sizing_limit(const struct sock *sk, struct itls_tx *tx)
{
	struct itls_sizing *s = &tx->sizing;
	u32 segment, len;

	if (!s->grows)
		return s->max;
	if (sizing_is_idle(sk, tx))
		s->burst = 0;
	if (s->burst >= ITLS_BURST_FULL)
		return s->max;
	segment = max(tcp_sk(sk)->mss_cache, ITLS_SEGMENT_MIN);
	len = max(segment, rounddown(s->burst, segment));
	return min_t(u32, len - itls_record_overhead(&tx->cipher.record), s->max);
}

/* So many bytes more are on their way. */
void itls_sizing_count(struct itls_sizing *s, size_t len)
{
	if (s->burst < ITLS_BURST_FULL)
		s->burst += len;
}
