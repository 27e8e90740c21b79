/* SPDX-License-Identifier: GPL-2.0 */
/* The threads that do handshakes, each with a loop and an agent of its own. */
#ifndef ITLSD_WORKERS_H
#define ITLSD_WORKERS_H

struct loop;
struct profiles;
struct workers;

/*
 * Starts @count of them, which @max handshakes are divided among; once it returns 0,
 * they serve @set, which stays the caller's.  When all have ended, @loop is stopped.
 */
int workers_start(struct workers **workersp, struct loop *loop, const struct profiles *set, unsigned int count,
		  unsigned int max);
/* Has them take @set for handshakes to come; it stays the caller's.  0 or -ENOMEM: nothing has changed. */
int workers_configure(struct workers *workers, const struct profiles *set, unsigned int max);
unsigned int workers_count(const struct workers *workers);
/* Take no more requests, and end with the last handshake. */
void workers_drain(struct workers *workers);
/* End at once. */
void workers_stop(struct workers *workers);
/* What made the first of them end, as of agent_error(); 0: they were asked to. */
int workers_error(const struct workers *workers);
/* Ends those that run still. */
void workers_free(struct workers *workers);

#endif
