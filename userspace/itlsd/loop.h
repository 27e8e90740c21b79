/* SPDX-License-Identifier: GPL-2.0 */
/* An event loop: descriptors and timers, of one thread. */
#ifndef ITLSD_LOOP_H
#define ITLSD_LOOP_H

#include <stdint.h>
#include <sys/queue.h>
#include <time.h>

struct loop;

/* Embedded by its owner, who keeps the descriptor open until loop_unwatch() or loop_forget(). */
struct loop_watch {
	int fd;
	void (*ready)(struct loop_watch *watch, uint32_t events);
};

/* Embedded by its owner.  One shot; zeroed means not armed. */
struct loop_timer {
	void (*fire)(struct loop_timer *timer);
	uint64_t at_ms;
	int armed;

	TAILQ_ENTRY(loop_timer) entry;
};

#define loop_owner(ptr, type, member) \
	((type *)((char *)(ptr) - offsetof(type, member)))

int loop_new(struct loop **loopp);
void loop_free(struct loop *loop);

/* @events: EPOLLIN or EPOLLOUT, level triggered. */
int loop_watch(struct loop *loop, struct loop_watch *watch, uint32_t events);
int loop_rewatch(struct loop *loop, struct loop_watch *watch, uint32_t events);
/* After it @watch is not called again, not even for an event already read. */
void loop_unwatch(struct loop *loop, struct loop_watch *watch);
/* The same where the descriptor, which nobody else has, is closed next: that costs no system call. */
void loop_forget(struct loop *loop, struct loop_watch *watch);

/*
 * When this thread's loop last had something to do; the present where it did not run yet.
 * Milliseconds, of a clock that never goes back; and as time(2) has it.
 */
uint64_t loop_now(void);
time_t loop_time(time_t *out);
/* Arms, or arms anew. */
void loop_arm(struct loop *loop, struct loop_timer *timer, uint32_t in_ms);
void loop_disarm(struct loop *loop, struct loop_timer *timer);

/* Runs until loop_stop().  0 or -errno of epoll_wait(2). */
int loop_run(struct loop *loop);
void loop_stop(struct loop *loop);

#endif
