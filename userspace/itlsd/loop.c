// SPDX-License-Identifier: GPL-2.0
/*
 * The event loop: epoll for descriptors, a list sorted by time for timers.
 * Nearly all timers are handshake deadlines of one length, so a new one
 * belongs at or near the end of the list: it is inserted from there.
 *
 * One thread, no locks.
 */
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "loop.h"

#define LOOP_BATCH 64

struct loop {
	int epoll;
	bool stopped;
	int batch_len;
	struct epoll_event batch[LOOP_BATCH];

	TAILQ_HEAD(loop_timers, loop_timer) timers;
};

/* Of this thread's loop; 0: it has not run yet. */
static _Thread_local uint64_t loop_ms;
static _Thread_local time_t loop_s;

int loop_new(struct loop **loopp)
{
	struct loop *loop = calloc(1, sizeof(*loop));

	if (!loop)
		return -ENOMEM;
	TAILQ_INIT(&loop->timers);
	loop->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll < 0) {
		int err = -errno;

		free(loop);
		return err;
	}
	*loopp = loop;
	return 0;
}

void loop_free(struct loop *loop)
{
	if (!loop)
		return;
	close(loop->epoll);
	free(loop);
}

static int loop_control(struct loop *loop, int op, struct loop_watch *watch, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = watch };

	return epoll_ctl(loop->epoll, op, watch->fd, &event) < 0 ? -errno : 0;
}

int loop_watch(struct loop *loop, struct loop_watch *watch, uint32_t events)
{
	return loop_control(loop, EPOLL_CTL_ADD, watch, events);
}

int loop_rewatch(struct loop *loop, struct loop_watch *watch, uint32_t events)
{
	return loop_control(loop, EPOLL_CTL_MOD, watch, events);
}

void loop_unwatch(struct loop *loop, struct loop_watch *watch)
{
	loop_control(loop, EPOLL_CTL_DEL, watch, 0);
	loop_forget(loop, watch);
}

void loop_forget(struct loop *loop, struct loop_watch *watch)
{
	int i;

	for (i = 0; i < loop->batch_len; i++)
		if (loop->batch[i].data.ptr == watch)
			loop->batch[i].data.ptr = NULL;
}

static uint64_t clock_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000ULL + now.tv_nsec / 1000000;
}

/* Where there is no vDSO to ask for the time, a handshake would ask the kernel twenty times. */
static void loop_look_at_clock(void)
{
	loop_ms = clock_ms();
	loop_s = time(NULL);
}

uint64_t loop_now(void)
{
	return loop_ms ? loop_ms : clock_ms();
}

time_t loop_time(time_t *out)
{
	time_t now = loop_ms ? loop_s : time(NULL);

	if (out)
		*out = now;
	return now;
}

void loop_arm(struct loop *loop, struct loop_timer *timer, uint32_t in_ms)
{
	struct loop_timer *before;

	loop_disarm(loop, timer);
	timer->at_ms = loop_now() + in_ms;
	timer->armed = 1;
	TAILQ_FOREACH_REVERSE(before, &loop->timers, loop_timers, entry) {
		if (before->at_ms <= timer->at_ms) {
			TAILQ_INSERT_AFTER(&loop->timers, before, timer, entry);
			return;
		}
	}
	TAILQ_INSERT_HEAD(&loop->timers, timer, entry);
}

void loop_disarm(struct loop *loop, struct loop_timer *timer)
{
	if (!timer->armed)
		return;
	timer->armed = 0;
	TAILQ_REMOVE(&loop->timers, timer, entry);
}

static int loop_timeout(const struct loop *loop)
{
	const struct loop_timer *first = TAILQ_FIRST(&loop->timers);
	uint64_t now = loop_now();

	if (!first)
		return -1;
	if (first->at_ms <= now)
		return 0;
	return first->at_ms - now > 60000 ? 60000 : (int)(first->at_ms - now);
}

static void loop_fire(struct loop *loop)
{
	uint64_t now = loop_now();
	struct loop_timer *timer;

	while ((timer = TAILQ_FIRST(&loop->timers)) && timer->at_ms <= now) {
		loop_disarm(loop, timer);
		timer->fire(timer);
	}
}

int loop_run(struct loop *loop)
{
	struct loop_watch *watch;
	int i;

	while (!loop->stopped) {
		loop->batch_len = epoll_wait(loop->epoll, loop->batch, LOOP_BATCH, loop_timeout(loop));
		if (loop->batch_len < 0) {
			loop->batch_len = 0;
			if (errno != EINTR)
				return -errno;
		}
		loop_look_at_clock();
		for (i = 0; i < loop->batch_len; i++) {
			watch = loop->batch[i].data.ptr;
			if (watch)
				watch->ready(watch, loop->batch[i].events);
		}
		loop->batch_len = 0;
		loop_fire(loop);
	}
	return 0;
}

void loop_stop(struct loop *loop)
{
	loop->stopped = true;
}
