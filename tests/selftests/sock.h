/* SPDX-License-Identifier: GPL-2.0 */
/*
 * TCP sockets for tests: connected pairs over loopback on ports the kernel
 * chooses, whole transfers with a deadline, and data patterns.  A failure of
 * what is only preparation ends the test.
 */
#ifndef SELFTEST_SOCK_H
#define SELFTEST_SOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

/* Room for bytes nobody looks at. */
#define SCRATCH(n) ((void *)(uint8_t [n]) { 0 })

int sock_listen(int family);
int sock_connect(int listener);
int sock_accept(int listener);
/* fd[0] was accepted, fd[1] connected. */
void sock_pair(int family, int fd[2]);

void sock_nonblock(int fd, bool on);
void sock_set_int(int fd, int level, int name, int value);
int sock_get_int(int fd, int level, int name);

/* SO_ERROR, which is then forgotten. */
int sock_error(int fd);

/* Milliseconds that do not go backwards. */
int64_t sock_now_ms(void);

/* The ready events among want, 0 when ms passed. */
int sock_poll(int fd, int want, int ms);
/* Waits until all that arrived for fd since the connection began is at least count bytes. */
void sock_wait_received(int fd, uint64_t count);
/* Waits until the peer acknowledged everything. */
void sock_wait_acked(int fd);
/* Waits until it acknowledged what it could be sent: its window is shut, or that was all. */
void sock_wait_quiet(int fd);

/* Whole transfers; a socket that fails or falls silent ends the test. */
void sock_send_all(int fd, const void *data, size_t len);
/* Sends in pieces of at most chunk until the socket would block; returns how much it took. */
size_t sock_fill(int fd, const uint8_t *data, size_t len, size_t chunk);
void sock_recv_all(int fd, void *data, size_t len);
/* Reads up to the end of the stream; returns how much came. */
size_t sock_recv_eof(int fd, void *data, size_t size);
/* Closes with a reset instead of a FIN. */
void sock_reset(int fd);

/* Bytes in which each place of the stream is recognizable. */
void fill_pattern(void *data, size_t len, uint64_t stream_offset);
void *alloc_pattern(size_t len, uint64_t stream_offset);
/* A file without a name that holds a pattern. */
int file_pattern(size_t len);

#endif
