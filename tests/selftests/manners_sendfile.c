// SPDX-License-Identifier: GPL-2.0
/* Manners of sendfile() and splice(), to a socket and from one. */
#define _GNU_SOURCE
#include "manners.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/sendfile.h>

static void take_pattern(struct twin *t, size_t len, uint64_t offset)
{
	uint8_t *want = alloc_pattern(len, offset), *got = malloc(len + 1);

	ASSERT_TRUE(got);
	twin_take(t, got, len);
	EXPECT_MEMEQ(want, got, len);
	trace_bytes(&t->trace, "peer reads", got, len);
	free(want);
	free(got);
}

/* ---- sendfile() ------------------------------------------------------------------ */

MANNER(sendfile_with_an_offset)
{
	int file = file_pattern(5000);
	off_t off = 1000;

	CALL(sendfile(t->fd, file, &off, 300));
	SEEN(off);
	CALL(sendfile(t->fd, file, &off, 0));
	SEEN(off);
	SEEN(lseek(file, 0, SEEK_CUR));
	take_pattern(t, 300, 1000);
	close(file);
}

MANNER(sendfile_at_the_files_position)
{
	int file = file_pattern(5000);

	ASSERT_EQ(2000, lseek(file, 2000, SEEK_SET));
	CALL(sendfile(t->fd, file, NULL, 500));
	SEEN(lseek(file, 0, SEEK_CUR));
	CALL(sendfile(t->fd, file, NULL, 9999));
	SEEN(lseek(file, 0, SEEK_CUR));
	take_pattern(t, 3000, 2000);
	close(file);
}

/* Everything there is arrives, though the call announced more: nobody sends anything after it. */
MANNER(sendfile_beyond_the_end)
{
	int file = file_pattern(70000);
	off_t off = 10000;

	CALL(sendfile(t->fd, file, &off, 1 << 20));
	SEEN(off);
	take_pattern(t, 60000, 10000);
	CALL(sendfile(t->fd, file, &off, 100));
	SEEN(off);
	off = 80000;
	CALL(sendfile(t->fd, file, &off, 100));
	SEEN(off);
	SEEN(twin_is_silent(t));
	close(file);
}

/* As nginx does it with sendfile_max_chunk: a blocking socket takes each chunk whole. */
MANNER(sendfile_in_limited_chunks)
{
	int file = file_pattern(400000);
	off_t off = 0;

	twin_take_later(t, 400000);
	while (off < 400000) {
		CALL(sendfile(t->fd, file, &off, 400000 - off < 70001 ? 400000 - off : 70001));
		SEEN(off);
	}
	twin_later_join(t);
	close(file);
}

/* The rest of nginx's way: nonblocking, EAGAIN until there is room, the offset kept by the kernel. */
MANNER_TIMEOUT(sendfile_without_blocking, 60)
{
	const off_t len = 8 << 20;
	int file = file_pattern(len);
	bool full = false, kept = true;
	off_t off = 0, before;
	ssize_t n;

	sock_nonblock(t->fd, true);
	while (off < len) {
		before = off;
		n = sendfile(t->fd, file, &off, len - off < 500000 ? len - off : 500000);
		kept &= off - before == (n < 0 ? 0 : n);
		if (n >= 0)
			continue;
		ASSERT_EQ(EAGAIN, errno);
		if (!full)
			twin_take_later(t, len);
		full = true;
		ASSERT_NE(0, sock_poll(t->fd, POLLOUT, test_wait_ms()));
	}
	SEEN(full);
	SEEN(kept);
	twin_later_join(t);
	close(file);
}

/* Header, file and end, held together by TCP_CORK. */
MANNER(sendfile_behind_a_header)
{
	int file = file_pattern(50000);
	uint8_t got[50020];
	off_t off = 0;

	sock_set_int(t->fd, IPPROTO_TCP, TCP_CORK, 1);
	CALL(send(t->fd, "header", 6, MSG_MORE));
	CALL(sendfile(t->fd, file, &off, 50000));
	CALL(send(t->fd, "end", 3, 0));
	sock_set_int(t->fd, IPPROTO_TCP, TCP_CORK, 0);
	twin_take(t, got, 50009);
	BYTES(got, 50009);
	SEEN(twin_is_silent(t));
	close(file);
}

MANNER(sendfile_refusals)
{
	int file = file_pattern(100), p[2];
	off_t off = -1;

	ASSERT_EQ(0, pipe(p));
	CALL(sendfile(t->fd, file, &off, 10));
	CALL(sendfile(t->fd, -1, NULL, 10));
	CALL(shutdown(t->fd, SHUT_WR));
	off = 0;
	signal(SIGPIPE, SIG_IGN);
	CALL(sendfile(t->fd, file, &off, 10));
	SEEN(off);
	close(p[0]);
	close(p[1]);
	close(file);
}

/* A file that shrinks meanwhile ends the transfer; what went before is whole. */
MANNER(sendfile_of_a_file_that_shrank)
{
	int file = file_pattern(30000);
	off_t off = 0;

	CALL(sendfile(t->fd, file, &off, 20000));
	ASSERT_EQ(0, ftruncate(file, 20500));
	CALL(sendfile(t->fd, file, &off, 10000));
	CALL(sendfile(t->fd, file, &off, 10000));
	take_pattern(t, 20500, 0);
	close(file);
}

/* ---- splice() to a socket ------------------------------------------------------------ */

MANNER(splice_from_a_pipe)
{
	char got[12];
	loff_t off = 0;
	int p[2];

	ASSERT_EQ(0, pipe(p));
	CALL(write(p[1], "hello world", 11));
	CALL(splice(p[0], NULL, t->fd, NULL, 5, 0));
	CALL(splice(p[0], NULL, t->fd, NULL, 100, SPLICE_F_MORE));
	CALL(splice(p[0], NULL, t->fd, NULL, 100, SPLICE_F_NONBLOCK));
	CALL(splice(p[0], NULL, t->fd, &off, 100, 0));
	CALL(write(p[1], "!", 1));
	CALL(splice(p[0], NULL, t->fd, NULL, 1, SPLICE_F_MOVE));
	close(p[1]);
	CALL(splice(p[0], NULL, t->fd, NULL, 1, 0));
	twin_take(t, got, 12);
	BYTES(got, 12);
	close(p[0]);
}

MANNER(splice_from_a_file_through_a_pipe)
{
	int file = file_pattern(300000), p[2];
	loff_t off = 0;
	ssize_t n;

	ASSERT_EQ(0, pipe(p));
	twin_take_later(t, 300000);
	while ((n = splice(file, &off, p[1], NULL, 65536, SPLICE_F_MOVE)) > 0)
		while (n > 0)
			n -= CALL(splice(p[0], NULL, t->fd, NULL, n,
					 SPLICE_F_MOVE | (off < 300000 ? SPLICE_F_MORE : 0)));
	SEEN(off);
	twin_later_join(t);
	close(p[0]);
	close(p[1]);
	close(file);
}

MANNER(splice_to_a_full_socket)
{
	uint8_t *data = alloc_pattern(TWIN_LOTS, 0);
	int p[2];

	ASSERT_EQ(0, pipe(p));
	twin_fill(t, data);
	ASSERT_EQ(5, write(p[1], "hello", 5));
	sock_nonblock(t->fd, true);
	CALL(splice(p[0], NULL, t->fd, NULL, 5, 0));
	CALL(splice(p[0], NULL, t->fd, NULL, 5, SPLICE_F_NONBLOCK));
	/* Refused bytes stay in the pipe. */
	CALL(read(p[0], data, 10));
	close(p[0]);
	close(p[1]);
	free(data);
}

/* ---- splice() from a socket --------------------------------------------------------------- */

static ssize_t splice_in(struct twin *t, int p[2], uint8_t *out, size_t len, int flags)
{
	ssize_t n = CALL(splice(t->fd, NULL, p[1], NULL, len, flags));

	if (n > 0) {
		ASSERT_EQ(n, read(p[0], out, n));
		BYTES(out, n);
	}
	return n;
}

MANNER(splice_to_a_pipe)
{
	uint8_t got[100];
	loff_t off = 0;
	int p[2];

	ASSERT_EQ(0, pipe(p));
	twin_give(t, "hello");
	splice_in(t, p, got, 2, 0);
	splice_in(t, p, got, 100, 0);
	CALL(splice(t->fd, &off, p[1], NULL, 10, 0));
	twin_give(t, "abc");
	CALL(splice(t->fd, NULL, p[1], NULL, 0, 0));
	CALL(recv(t->fd, got, 1, 0));
	splice_in(t, p, got, 100, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	twin_shut(t);
	splice_in(t, p, got, 100, 0);
	splice_in(t, p, got, 100, SPLICE_F_NONBLOCK);
	close(p[0]);
	close(p[1]);
}

MANNER(splice_takes_several_sends)
{
	uint8_t got[100];
	int p[2];

	ASSERT_EQ(0, pipe(p));
	twin_give(t, "one ");
	twin_give(t, "two ");
	twin_give(t, "three");
	splice_in(t, p, got, 100, 0);
	close(p[0]);
	close(p[1]);
}

MANNER(splice_from_an_empty_socket)
{
	struct timeval tv = { .tv_usec = 200000 };
	uint8_t got[100];
	int64_t start;
	int p[2];

	ASSERT_EQ(0, pipe(p));
	sock_nonblock(t->fd, true);
	splice_in(t, p, got, 100, 0);
	splice_in(t, p, got, 100, SPLICE_F_NONBLOCK);
	sock_nonblock(t->fd, false);
	ASSERT_EQ(0, setsockopt(t->fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)));
	start = sock_now_ms();
	splice_in(t, p, got, 100, 0);
	twin_note_took(t, start, 200);
	close(p[0]);
	close(p[1]);
}

/*
 * SPLICE_F_NONBLOCK is about the pipe: TCP waits for data on a blocking socket
 * all the same.  kTLS takes it to be about the socket too.
 */
MANNER(splice_with_a_nonblocking_pipe)
{
	struct timeval tv = { .tv_usec = 200000 };
	int64_t start = sock_now_ms();
	uint8_t got[100];
	int p[2];

	ASSERT_EQ(0, pipe(p));
	ASSERT_EQ(0, setsockopt(t->fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)));
	splice_in(t, p, got, 100, SPLICE_F_NONBLOCK);
	if (t->kind == TWIN_KTLS)
		NOTE("took its 200 ms: yes");
	else
		twin_note_took(t, start, 200);
	close(p[0]);
	close(p[1]);
}

static void give_hello(struct twin *t)
{
	twin_send(t, "hello", 5, 5);
}

MANNER(splice_waits_for_data)
{
	uint8_t got[100];
	int p[2];

	ASSERT_EQ(0, pipe(p));
	twin_later(t, give_hello);
	splice_in(t, p, got, 100, 0);
	twin_later_join(t);
	close(p[0]);
	close(p[1]);
}

/* Nothing is lost to a pipe that is full. */
MANNER(splice_to_a_full_pipe)
{
	uint8_t *data = alloc_pattern(40000, 0), *got = malloc(40000);
	size_t seen = 0;
	ssize_t n = 0;
	int p[2];

	ASSERT_TRUE(got);
	ASSERT_EQ(0, pipe2(p, O_NONBLOCK));
	ASSERT_EQ(4096, fcntl(p[1], F_SETPIPE_SZ, 4096));
	ASSERT_EQ(1, write(p[1], "x", 1));
	twin_send(t, data, 40000, REC_MAX);
	twin_arrived(t);
	CALL(splice(t->fd, NULL, p[1], NULL, 40000, SPLICE_F_NONBLOCK));
	ASSERT_EQ(1, read(p[0], got, 10));
	while (seen < 40000) {
		n = splice(t->fd, NULL, p[1], NULL, 40000, SPLICE_F_NONBLOCK);
		ASSERT_LT(0, n);
		ASSERT_EQ(n, read(p[0], got + seen, n));
		seen += n;
	}
	BYTES(got, seen);
	close(p[0]);
	close(p[1]);
	free(data);
	free(got);
}

/* Through a pipe into a file, as a proxy that stores uploads does. */
MANNER(splice_into_a_file)
{
	uint8_t *data = alloc_pattern(50000, 0), *map;
	int file = memfd_create("upload", MFD_CLOEXEC), p[2];
	loff_t off = 0;
	ssize_t n;

	ASSERT_EQ(0, pipe(p));
	twin_send(t, data, 50000, REC_MAX);
	twin_shut(t);
	while ((n = splice(t->fd, NULL, p[1], NULL, 65536, SPLICE_F_MOVE)) > 0)
		for (; n > 0; n -= splice(p[0], NULL, file, &off, n, SPLICE_F_MOVE))
			;
	SEEN(n);
	SEEN(off);
	map = mmap(NULL, 50000, PROT_READ, MAP_SHARED, file, 0);
	ASSERT_NE(MAP_FAILED, map);
	BYTES(map, 50000);
	munmap(map, 50000);
	close(p[0]);
	close(p[1]);
	close(file);
	free(data);
}

/* From a socket back into it: an echo that never copies. */
MANNER(splice_echo)
{
	char got[4];
	int p[2];

	ASSERT_EQ(0, pipe(p));
	twin_give(t, "echo");
	CALL(splice(t->fd, NULL, p[1], NULL, 100, 0));
	CALL(splice(p[0], NULL, t->fd, NULL, 100, 0));
	twin_take(t, got, 4);
	BYTES(got, 4);
	SEEN(twin_is_silent(t));
	close(p[0]);
	close(p[1]);
}
