// SPDX-License-Identifier: GPL-2.0
/*
 * Rows of steps, by the module in one system call or, with the same effect, by
 * the system calls themselves. Sockets and pipes are non-blocking.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "load.h"

#define FILE_MAX	(64 << 20)	/* what is spliced into a file begins anew then */

static void do_send(struct itls_bench_step *s)
{
	ssize_t n = 0;

	for (; s->calls < s->count; s->calls++) {
		n = send(s->fd, (void *)(uintptr_t)s->data, s->len,
			 s->flags | MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0)
			break;
		s->bytes += n;
		if ((size_t)n < s->len)
			break;
	}
	s->err = n < 0 ? errno : s->calls < s->count ? EAGAIN : 0;
}

static void do_recv(struct itls_bench_step *s)
{
	ssize_t n;

	do {
		n = recv(s->fd, (void *)(uintptr_t)s->data, s->len, s->flags | MSG_DONTWAIT);
		s->calls++;
		if (n > 0)
			s->bytes += n;
	} while ((size_t)n == s->len);
	s->err = n < 0 ? errno : n ? 0 : EPIPE;
}

static void do_sendfile(struct itls_bench_step *s)
{
	off_t *at = (off_t *)(uintptr_t)s->at;
	struct stat st;
	ssize_t n;

	if (s->flags & ITLS_BENCH_WRAP && !fstat(s->other, &st) && *at >= st.st_size) {
		*at = 0;
		if (s->flags & ITLS_BENCH_COLD)
			posix_fadvise(s->other, 0, 0, POSIX_FADV_DONTNEED);
	}
	n = sendfile(s->fd, s->other, at, s->len);
	s->calls = 1;
	s->bytes = n > 0 ? n : 0;
	s->err = n < 0 ? errno : 0;
}

static int pipe_drain(struct itls_bench_step *s, size_t len)
{
	ssize_t n;

	if (lseek(s->file, 0, SEEK_CUR) >= FILE_MAX)
		lseek(s->file, 0, SEEK_SET);
	for (; len; len -= n) {
		n = splice(s->out, NULL, s->file, NULL, len, SPLICE_F_MOVE);
		s->calls++;
		if (n <= 0)
			return n ? -1 : 0;
	}
	return 0;
}

/* The pipe is emptied when the socket is, or when it is full. */
static void do_splice(struct itls_bench_step *s)
{
	size_t held = 0;
	ssize_t n;

	for (;;) {
		n = splice(s->fd, NULL, s->other, NULL, s->len,
			   SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
		s->calls++;
		if (n > 0) {
			held += n;
			s->bytes += n;
			continue;
		}
		if (!held || pipe_drain(s, held))
			break;
		held = 0;
	}
	s->err = n < 0 ? errno : EPIPE;
}

static void step_do(struct itls_bench_step *s)
{
	s->bytes = 0;
	s->calls = 0;
	switch (s->op) {
	case ITLS_BENCH_SEND:
		do_send(s);
		break;
	case ITLS_BENCH_SENDFILE:
		do_sendfile(s);
		break;
	case ITLS_BENCH_RECV:
		do_recv(s);
		break;
	default:
		do_splice(s);
	}
}

void steps_do(const struct options *o, struct itls_bench_step *steps, unsigned int nr)
{
	struct itls_bench_steps row = { .steps = (uintptr_t)steps, .nr = nr };
	unsigned int i;

	if (!o->syscalls) {
		if (ioctl(bench_fd(), ITLS_BENCH_STEPS, &row))
			die("itls_bench: %s", strerror(errno));
		return;
	}
	for (i = 0; i < nr; i++)
		step_do(&steps[i]);
}

bool step_failed(const struct itls_bench_step *s)
{
	return s->err && s->err != EAGAIN;
}
