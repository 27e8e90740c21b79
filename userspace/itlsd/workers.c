// SPDX-License-Identifier: GPL-2.0
/*
 * Workers: threads that share profiles and nothing else.  Each is registered with
 * the kernel as an agent by itself; whoever asks first gets the next handshake.
 *
 * What the main thread has to say is left in the worker under its lock, and
 * the bell, an eventfd in the worker's loop, makes it look.  A worker that ends
 * rings the main thread's bell.  Agents are made before their threads and freed
 * after them, by the main thread; in between only their thread touches them.
 */
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "agent.h"
#include "log.h"
#include "loop.h"
#include "profile.h"
#include "workers.h"

#define WORKER_STACK	(1024 * 1024)

struct worker {
	struct workers *workers;
	struct loop *loop;
	struct agent *agent;
	struct loop_watch bell;
	pthread_t thread;
	bool runs;

	pthread_mutex_t lock;		/* over what follows */
	struct profiles *next;		/* NULL: no news */
	unsigned int next_max;
	bool drain;
	bool stop;
	bool ended;
	int err;
};

struct workers {
	struct loop *loop;		/* the main thread's; so are the rest */
	struct loop_watch bell;
	int error;
	unsigned int count;
	struct worker worker[];
};

/* Bells */

static int bell_hang(struct loop_watch *bell, struct loop *loop, void (*ready)(struct loop_watch *, uint32_t))
{
	int err;

	bell->ready = ready;
	bell->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (bell->fd < 0)
		return -errno;
	err = loop_watch(loop, bell, EPOLLIN);
	if (!err)
		return 0;
	close(bell->fd);
	bell->fd = -1;
	return err;
}

/* Fails only where it would ring already. */
static void bell_ring(const struct loop_watch *bell)
{
	eventfd_write(bell->fd, 1);
}

static void bell_quiet(const struct loop_watch *bell)
{
	eventfd_t rings;

	eventfd_read(bell->fd, &rings);
}

/* A worker's thread */

static void worker_told(struct loop_watch *bell, uint32_t events)
{
	struct worker *w = loop_owner(bell, struct worker, bell);
	struct profiles *next;
	unsigned int max;
	bool drain, stop;

	(void)events;
	bell_quiet(bell);
	pthread_mutex_lock(&w->lock);
	next = w->next;
	max = w->next_max;
	drain = w->drain;
	stop = w->stop;
	w->next = NULL;
	pthread_mutex_unlock(&w->lock);
	if (next)
		agent_configure(w->agent, next, max);
	if (drain)
		agent_drain(w->agent);
	if (stop)
		loop_stop(w->loop);
}

static void *worker_run(void *arg)
{
	struct worker *w = arg;
	int err = loop_run(w->loop);

	if (err)
		log_error("epoll: %s", strerror(-err));
	pthread_mutex_lock(&w->lock);
	w->ended = true;
	w->err = err ? err : agent_error(w->agent);
	pthread_mutex_unlock(&w->lock);
	bell_ring(&w->workers->bell);
	return NULL;
}

/* The main thread */

static bool worker_has_ended(struct worker *w, int *err)
{
	bool ended;

	pthread_mutex_lock(&w->lock);
	ended = w->ended;
	*err = w->err;
	pthread_mutex_unlock(&w->lock);
	return ended;
}

/* One that broke down takes the others along: the service starts anew as a whole. */
static void workers_ended(struct loop_watch *bell, uint32_t events)
{
	struct workers *workers = loop_owner(bell, struct workers, bell);
	unsigned int i, ended = 0;
	int err;

	(void)events;
	bell_quiet(bell);
	for (i = 0; i < workers->count; i++) {
		if (!worker_has_ended(&workers->worker[i], &err))
			continue;
		ended++;
		workers->error = workers->error ? workers->error : err;
	}
	if (ended == workers->count)
		loop_stop(workers->loop);
	else if (workers->error)
		workers_stop(workers);
}

/* @max of all, rounded up for each. */
static unsigned int share_of(unsigned int max, unsigned int count)
{
	return (max + count - 1) / count;
}

/* Its agent is registered; what comes from now on waits for the thread. */
static int worker_prepare(struct worker *w, const struct profiles *set, unsigned int max)
{
	struct profiles *copy;
	int err = loop_new(&w->loop);

	if (!err)
		err = bell_hang(&w->bell, w->loop, worker_told);
	if (err) {
		log_error("cannot set up an event loop: %s", strerror(-err));
		return err;
	}
	copy = profiles_copy(set);
	return copy ? agent_start(&w->agent, w->loop, copy, max) : -ENOMEM;
}

static int worker_spawn(struct worker *w)
{
	pthread_attr_t attr;
	int err;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, WORKER_STACK);
	err = pthread_create(&w->thread, &attr, worker_run, w);
	pthread_attr_destroy(&attr);
	if (err)
		log_error("cannot start a worker: %s: raise the limit of threads, or set 'workers' lower",
			  strerror(err));
	w->runs = !err;
	return -err;
}

static struct workers *workers_new(struct loop *loop, unsigned int count)
{
	struct workers *workers = calloc(1, sizeof(*workers) + count * sizeof(workers->worker[0]));
	unsigned int i;

	if (!workers)
		return NULL;
	workers->loop = loop;
	workers->count = count;
	workers->bell.fd = -1;
	for (i = 0; i < count; i++) {
		workers->worker[i].workers = workers;
		workers->worker[i].bell.fd = -1;
		pthread_mutex_init(&workers->worker[i].lock, NULL);
	}
	return workers;
}

int workers_start(struct workers **workersp, struct loop *loop, const struct profiles *set, unsigned int count,
		  unsigned int max)
{
	struct workers *workers = workers_new(loop, count);
	unsigned int i;
	int err;

	if (!workers)
		return -ENOMEM;
	err = bell_hang(&workers->bell, loop, workers_ended);
	for (i = 0; !err && i < count; i++)
		err = worker_prepare(&workers->worker[i], set, share_of(max, count));
	for (i = 0; !err && i < count; i++)
		err = worker_spawn(&workers->worker[i]);
	if (err) {
		workers_free(workers);
		return err;
	}
	*workersp = workers;
	return 0;
}

/* All copies are made before the first worker gets one. */
static int copies_make(struct profiles **copies, const struct profiles *set, unsigned int count)
{
	unsigned int i;

	for (i = 0; i < count; i++) {
		copies[i] = profiles_copy(set);
		if (!copies[i])
			break;
	}
	if (i == count)
		return 0;
	while (i)
		profiles_free(copies[--i]);
	return -ENOMEM;
}

int workers_configure(struct workers *workers, const struct profiles *set, unsigned int max)
{
	struct profiles **copies = calloc(workers->count, sizeof(copies[0]));
	unsigned int i;
	int err = copies ? copies_make(copies, set, workers->count) : -ENOMEM;

	for (i = 0; !err && i < workers->count; i++) {
		struct worker *w = &workers->worker[i];

		pthread_mutex_lock(&w->lock);
		profiles_free(w->next);
		w->next = copies[i];
		w->next_max = share_of(max, workers->count);
		pthread_mutex_unlock(&w->lock);
		bell_ring(&w->bell);
	}
	free(copies);
	return err;
}

unsigned int workers_count(const struct workers *workers)
{
	return workers->count;
}

static void workers_tell(struct workers *workers, bool stop)
{
	unsigned int i;

	for (i = 0; i < workers->count; i++) {
		struct worker *w = &workers->worker[i];

		pthread_mutex_lock(&w->lock);
		w->drain = true;
		w->stop |= stop;
		pthread_mutex_unlock(&w->lock);
		bell_ring(&w->bell);
	}
}

void workers_drain(struct workers *workers)
{
	workers_tell(workers, false);
}

void workers_stop(struct workers *workers)
{
	workers_tell(workers, true);
}

int workers_error(const struct workers *workers)
{
	return workers->error;
}

static void worker_clear(struct worker *w)
{
	if (w->runs)
		pthread_join(w->thread, NULL);
	agent_free(w->agent);
	profiles_free(w->next);
	if (w->bell.fd >= 0)
		close(w->bell.fd);
	loop_free(w->loop);
	pthread_mutex_destroy(&w->lock);
}

void workers_free(struct workers *workers)
{
	unsigned int i;

	if (!workers)
		return;
	workers_stop(workers);
	for (i = 0; i < workers->count; i++)
		worker_clear(&workers->worker[i]);
	if (workers->bell.fd >= 0) {
		loop_unwatch(workers->loop, &workers->bell);
		close(workers->bell.fd);
	}
	free(workers);
}
