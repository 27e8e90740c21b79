// SPDX-License-Identifier: GPL-2.0
/* The event loop's clock and timers.  TAP on standard output. */
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "itlsd/loop.h"
#include "tap.h"

static struct loop *loop;
static uint64_t first_ms, later_ms, next_ms;

static void pause_ms(long ms)
{
	nanosleep(&(struct timespec){ 0, ms * 1000000 }, NULL);
}

static void second(struct loop_timer *timer)
{
	(void)timer;
	next_ms = loop_now();
	loop_stop(loop);
}

static struct loop_timer again = { .fire = second };

/* All that a batch of events sets off happens at one time. */
static void first(struct loop_watch *watch, uint32_t events)
{
	(void)events;
	loop_forget(loop, watch);
	close(watch->fd);
	first_ms = loop_now();
	pause_ms(20);
	later_ms = loop_now();
	loop_arm(loop, &again, 5);
}

int main(void)
{
	struct loop_watch watch = { .ready = first };
	uint64_t before;
	time_t now, out;
	int fds[2];

	signal(SIGPIPE, SIG_IGN);
	printf("TAP version 13\n");
	must(!loop_new(&loop) && !pipe(fds), "loop");
	before = loop_now();
	pause_ms(5);
	check(loop_now() > before, "before a loop runs time goes on");
	watch.fd = fds[0];
	must(!loop_watch(loop, &watch, EPOLLIN) && write(fds[1], "x", 1) == 1, "watch");
	check(!loop_run(loop), "a watch, then a timer: run to the end");
	check(first_ms > before && later_ms == first_ms, "within a batch it stands still");
	check(next_ms >= first_ms + 20, "the next sees what went by");
	now = loop_time(&out);
	check(now == out && time(NULL) - now <= 5, "seconds, as time(2) has them");
	check(write(fds[1], "x", 1) < 0, "a descriptor that was forgotten is closed and gone");
	close(fds[1]);
	loop_free(loop);
	return tap_end();
}
