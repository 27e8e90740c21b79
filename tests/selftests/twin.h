/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Twins: two connected sockets that a test body cannot tell apart, one plain
 * TCP, one that encrypts.  t->fd is the socket under test; its peer is an
 * ordinary TCP socket or the record peer, and is told what to do in words
 * that mean the same for both.
 *
 * The words for the end of a stream: a managed socket's peer closes with
 * close_notify as TLS demands, that of the kTLS ABI with FIN alone, because
 * there close_notify is the program's business.
 */
#ifndef SELFTEST_TWIN_H
#define SELFTEST_TWIN_H

#include <pthread.h>

#include "peer.h"
#include "trace.h"

enum twin_kind { TWIN_PLAIN, TWIN_KTLS, TWIN_MANAGED };

struct twin {
	enum twin_kind kind;
	int fd;
	struct peer peer;
	struct trace trace;
	pthread_t later;
	pid_t tid;
	void (*act)(struct twin *t);
};

/* Connects and, unless it is plain, gives keys. */
void twin_open(struct twin *t, enum twin_kind kind, uint16_t version, uint16_t cipher);
void twin_free(struct twin *t);
/* close(t->fd), noted; twin_free() then leaves it alone. */
void twin_close(struct twin *t);

/* The peer sends; in TLS records of at most chunk bytes, in TCP as many bytes a call. */
void twin_send(struct twin *t, const void *data, size_t len, size_t chunk);
/* All the peer sent so far can be read from t->fd. */
void twin_arrived(struct twin *t);
/* twin_send() in one piece, and it has arrived. */
void twin_give(struct twin *t, const char *text);
/*
 * Sends the pattern until neither buffers nor windows have room, and nothing
 * is under way that could make some; returns how much went.  Buffers are made
 * small first, so that len need not be much.
 */
#define TWIN_LOTS (4 << 20)
size_t twin_fill(struct twin *t, const void *data);

/* The peer says that nothing more comes, and t->fd knows. */
void twin_shut(struct twin *t);
/* The peer resets the connection, and t->fd knows. */
void twin_reset(struct twin *t);

/* The peer reads exactly len bytes, which end a record. */
void twin_take(struct twin *t, void *out, size_t len);
/* It does, len bytes of the pattern from offset 0 on, in a thread; join with twin_later_join(). */
void twin_take_later(struct twin *t, size_t len);
/* Nothing has reached the peer that it has not read. */
bool twin_is_silent(const struct twin *t);

/* How the stream ended for the peer.  Cut: FIN alone where close_notify was due. */
enum twin_end { TWIN_EOF, TWIN_RESET, TWIN_CUT };
const char *twin_end_name(enum twin_end end);
/* The peer reads to the end; *len is how many bytes of plaintext came. */
enum twin_end twin_take_all(struct twin *t, void *out, size_t size, size_t *len);
/* The same, noted. */
void twin_note_end(struct twin *t);
/* It too, where TCP resets for what was read in part.  kTLS, like in-tree, sees it read. */
void twin_note_reset(struct twin *t);

/* Waits until all of these events are ready on t->fd; returns what is ready of more. */
int twin_wait(struct twin *t, int events, int more);

/*
 * Runs act in a thread once the caller of this sleeps in the kernel.  act may
 * call twin_wait_asleep() to go on when it sleeps again.  One at a time.
 */
void twin_later(struct twin *t, void (*act)(struct twin *t));
void twin_wait_asleep(struct twin *t);
void twin_later_join(struct twin *t);

/* Since start (sock_now_ms()) at least ms passed, and not absurdly more: noted as yes or no. */
void twin_note_took(struct twin *t, int64_t start, int ms);

#endif
