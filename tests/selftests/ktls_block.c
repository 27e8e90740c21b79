// SPDX-License-Identifier: GPL-2.0
/*
 * Records that begin with a copy and go on with pages, around every limit at
 * which they are laid out differently: where a record gets a block of its own,
 * where a page or a block ends, where the text stops half way.  What arrives
 * must be what was accepted, byte for byte.
 */
#define _GNU_SOURCE
#include "ktls.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>

#define FILE_LEN	(64 * 1024)
/* What is shorter is not worth a block of its own. */
#define BLOCK_MIN	8192
#define COPY_MAX	(REC_MAX + 100)
#define NR_OF(array)	(sizeof(array) / sizeof(*(array)))

static void set_payload(struct ktls_data *self, uint16_t len)
{
	ASSERT_EQ(0, setsockopt(self->fd, SOL_TLS, ITLS_TX_MAX_PAYLOAD_LEN, &len, sizeof(len)));
}

static void copy_then_pages(struct ktls_data *self, const uint8_t *data, int file, size_t copy,
			    off_t at, size_t pages)
{
	static uint8_t got[COPY_MAX + FILE_LEN];
	off_t off = at;

	if (copy)
		ASSERT_EQ((ssize_t)copy, send(self->fd, data, copy, MSG_MORE));
	ASSERT_EQ((ssize_t)pages, sendfile(self->fd, file, &off, pages));
	peer_recv_all(&self->peer, got, copy + pages);
	EXPECT_MEMEQ(data, got, copy);
	EXPECT_MEMEQ(data + at, got + copy, pages);
}

TEST_F(ktls, copy_then_pages)
{
	static const uint16_t payloads[] = { REC_MAX, REC_MAX - 1, 8192, 100 };
	static const size_t copies[] = { 0, 1, 16, 250, 4095, 8191, 8192, 12289, REC_MAX - 1,
					 REC_MAX, COPY_MAX };
	static const off_t offsets[] = { 0, 1, 16, 4095, 4097 };
	uint8_t *data = alloc_pattern(FILE_LEN, 0);
	int file = file_pattern(FILE_LEN);
	size_t p, c, o;

	INTREE_DIFFERS("has no such payload limit everywhere");
	for (p = 0; p < NR_OF(payloads); p++) {
		set_payload(self, payloads[p]);
		for (c = 0; c < NR_OF(copies); c++)
			for (o = 0; o < NR_OF(offsets); o++)
				copy_then_pages(self, data, file, copies[c], offsets[o],
						p ? 9000 : 40000);
	}
	close(file);
	free(data);
}

/* Small copies that add up to a long record, and what may come next. */
static void copies_add_up(struct ktls_data *self, const uint8_t *data, int file, size_t step,
			  size_t copies, size_t pages)
{
	static uint8_t got[2 * COPY_MAX + FILE_LEN];
	off_t off = 0;
	size_t n;

	for (n = 0; n < copies; n += step)
		ASSERT_EQ((ssize_t)step, send(self->fd, data + n, step, MSG_MORE));
	if (pages)
		ASSERT_EQ((ssize_t)pages, sendfile(self->fd, file, &off, pages));
	ASSERT_EQ(2, send(self->fd, "ok", 2, 0));
	peer_recv_all(&self->peer, got, n + pages + 2);
	EXPECT_MEMEQ(data, got, n);
	EXPECT_MEMEQ(data, got + n, pages);
	EXPECT_MEMEQ("ok", got + n + pages, 2);
}

TEST_F(ktls, copies_add_up)
{
	static const size_t steps[] = { 100, 1000, 2047, 2048, 5000 };
	static const size_t copies[] = { 1900, 2100, 8100, 8300, REC_MAX, COPY_MAX };
	uint8_t *data = alloc_pattern(FILE_LEN, 0);
	int file = file_pattern(FILE_LEN);
	size_t s, c;

	for (s = 0; s < NR_OF(steps); s++)
		for (c = 0; c < NR_OF(copies); c++) {
			copies_add_up(self, data, file, steps[s], copies[c], 0);
			copies_add_up(self, data, file, steps[s], copies[c], 9000);
		}
	close(file);
	free(data);
}

/* Whole pages of a file go as records of whole pages, whatever was sent before. */
TEST_F(ktls, pages_stay_together)
{
	uint8_t *data = alloc_pattern(FILE_LEN, 0);
	int file = file_pattern(FILE_LEN);
	static struct peer_record rec;
	off_t off = 0;

	INTREE_DIFFERS("cuts anywhere");
	ASSERT_EQ(250, send(self->fd, data, 250, MSG_MORE));
	ASSERT_EQ(FILE_LEN, sendfile(self->fd, file, &off, FILE_LEN));
	peer_recv(&self->peer, &rec);
	EXPECT_EQ(250 + 12288, rec.len);
	peer_recv(&self->peer, &rec);
	EXPECT_EQ(REC_MAX, rec.len);
	EXPECT_MEMEQ(data + 12288, rec.data, REC_MAX);
	close(file);
	free(data);
}

/* Text of which only so much is there; before it, and after it, some that is. */
static void half_text(struct ktls_data *self, const uint8_t *map, size_t there, size_t before)
{
	static uint8_t got[2 * REC_MAX];
	const uint8_t *text = map + 2 * REC_MAX - there;
	ssize_t n;

	if (before)
		ASSERT_EQ((ssize_t)before, send(self->fd, map, before, MSG_MORE));
	n = send(self->fd, text, REC_MAX, 0);
	if (n < 0) {
		ASSERT_EQ(EFAULT, errno);
		n = 0;
	}
	ASSERT_LE(n, (ssize_t)there);
	ASSERT_EQ(2, send(self->fd, "ok", 2, 0));
	peer_recv_all(&self->peer, got, before + n + 2);
	EXPECT_MEMEQ(map, got, before);
	EXPECT_MEMEQ(text, got + before, n);
	EXPECT_MEMEQ("ok", got + before + n, 2);
}

TEST_F(ktls, half_text)
{
	static const size_t there[] = { 1, 15, 4096, 8191, 8192, 12000 };
	static const size_t before[] = { 0, 5, 9000 };
	uint8_t *map = mmap(NULL, 4 * REC_MAX, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			    -1, 0);
	size_t t, b;

	ASSERT_NE(MAP_FAILED, (void *)map);
	fill_pattern(map, 2 * REC_MAX, 0);
	ASSERT_EQ(0, mprotect(map + 2 * REC_MAX, 2 * REC_MAX, PROT_NONE));
	for (t = 0; t < NR_OF(there); t++)
		for (b = 0; b < NR_OF(before); b++)
			half_text(self, map, there[t], before[b]);
	munmap(map, 4 * REC_MAX);
}

/*
 * Short records lie anywhere in pages, across their ends, and at the end of what
 * there is of them; many wait in TCP's queue, where each must keep off its neighbours.
 */
static void short_records(struct ktls_data *self, const uint8_t *data, size_t from, size_t step)
{
	const size_t nr = 50;
	size_t i, len;

	for (i = 0, len = from; i < nr; i++, len += step)
		ASSERT_EQ((ssize_t)len, send(self->fd, data + i, len, 0));
	for (i = 0, len = from; i < nr; i++, len += step)
		expect_record(self, REC_DATA, data + i, len);
}

TEST_F(ktls, short_records)
{
	uint8_t *data = alloc_pattern(4000, 0);
	size_t from;

	sock_set_int(self->fd, SOL_SOCKET, SO_SNDBUF, 1 << 20);
	for (from = 1; from < 3000; from += 269)
		short_records(self, data, from, 13);
	free(data);
}

/*
 * The pages that short records share belong to the thread: what another of its
 * sockets puts behind an open record is not written over when that is ended.
 */
TEST_F(ktls, another_socket_between)
{
	uint8_t *data = alloc_pattern(2100, 0), got[2100];
	size_t len;
	int fd[2];

	INTREE_DIFFERS("ends no record for TCP_NODELAY");
	sock_pair(AF_INET, fd);
	for (len = 1; len < sizeof(got) / 2; len += 50) {
		ASSERT_EQ((ssize_t)len, send(self->fd, data, len, MSG_MORE));
		ASSERT_EQ(100, send(fd[0], data + len, 100, 0));
		ASSERT_EQ((ssize_t)len, send(self->fd, data + len, len, 0));
		ASSERT_EQ(100, recv(fd[1], got, 100, MSG_WAITALL));
		EXPECT_MEMEQ(data + len, got, 100);
		expect_record(self, REC_DATA, data, 2 * len);

		ASSERT_EQ((ssize_t)len, send(self->fd, data, len, MSG_MORE));
		ASSERT_EQ(100, send(fd[0], data + len, 100, 0));
		sock_set_int(self->fd, IPPROTO_TCP, TCP_NODELAY, 1);
		ASSERT_EQ(100, recv(fd[1], got, 100, MSG_WAITALL));
		EXPECT_MEMEQ(data + len, got, 100);
		expect_record(self, REC_DATA, data, len);
	}
	close(fd[0]);
	close(fd[1]);
	free(data);
}

/*
 * Pages that happen to go on where the text of an open record ends are still
 * somebody else's: here they are in another pipe as well.
 */
TEST_F(ktls, pages_right_behind)
{
	uint8_t *data = alloc_pattern(200, 0), got[200];
	int fd[2], pipes[2][2];

	sock_pair(AF_INET, fd);
	ASSERT_EQ(0, pipe(pipes[0]));
	ASSERT_EQ(0, pipe(pipes[1]));
	ASSERT_EQ(10, send(self->fd, data, 10, MSG_MORE));
	ASSERT_EQ(100, send(fd[0], data + 10, 100, 0));
	ASSERT_EQ(100, splice(fd[1], NULL, pipes[0][1], NULL, 100, 0));
	ASSERT_EQ(100, tee(pipes[0][0], pipes[1][1], 100, 0));
	ASSERT_EQ(100, splice(pipes[0][0], NULL, self->fd, NULL, 100, 0));
	expect_record(self, REC_DATA, data, 110);
	ASSERT_EQ(100, read(pipes[1][0], got, sizeof(got)));
	EXPECT_MEMEQ(data + 10, got, 100);
	close(pipes[0][0]);
	close(pipes[0][1]);
	close(pipes[1][0]);
	close(pipes[1][1]);
	close(fd[0]);
	close(fd[1]);
	free(data);
}

/*
 * Records out of pieces of pages, some of which follow one another: as many as
 * splice() gives at once, and more.  The pages are written to as soon as they
 * were taken.
 */
TEST_F(ktls, pieces_of_pages)
{
	static const size_t lens[] = { 4096, 1, 700, 1500, 4095, 16 };
	uint8_t *data = alloc_pattern(FILE_LEN, 0), *zero = calloc(1, FILE_LEN);
	uint8_t *want = malloc(FILE_LEN), *got = malloc(FILE_LEN);
	int file = file_pattern(FILE_LEN), p[2];
	size_t step, i, len, most;
	loff_t off;

	ASSERT_TRUE(zero && want && got);
	ASSERT_EQ(0, pipe(p));
	ASSERT_LE(64 * 4096, fcntl(p[1], F_SETPIPE_SZ, 64 * 4096));
	for (step = 0; step < 2 * NR_OF(lens); step++) {
		most = step < NR_OF(lens) ? 8 : 30;
		ASSERT_EQ(FILE_LEN, pwrite(file, data, FILE_LEN, 0));
		for (i = len = off = 0; i < most; i++) {
			size_t n = lens[(i + step * (i % 5)) % NR_OF(lens)];

			memcpy(want + len, data + off, n);
			ASSERT_EQ((ssize_t)n, splice(file, &off, p[1], NULL, n, 0));
			/* Every other piece leaves a gap before the next. */
			off += i % 2 ? 13 : 0;
			len += n;
		}
		ASSERT_GE(FILE_LEN, off);
		ASSERT_LE(BLOCK_MIN, len);
		ASSERT_EQ((ssize_t)len, splice(p[0], NULL, self->fd, NULL, len, 0));
		ASSERT_EQ(FILE_LEN, pwrite(file, zero, FILE_LEN, 0));
		peer_recv_all(&self->peer, got, len);
		EXPECT_MEMEQ(want, got, len);
	}
	close(p[0]);
	close(p[1]);
	close(file);
	free(data);
	free(zero);
	free(want);
	free(got);
}

/* What was decrypted goes on: a piece longer than a page, which begins behind one. */
TEST_F(ktls, relayed_records)
{
	const size_t len = 3 * REC_MAX, skip = 5000;
	uint8_t *data = alloc_pattern(len, 0), *got = malloc(len);
	size_t done = skip;
	ssize_t n;
	int p[2];

	ASSERT_TRUE(got);
	ASSERT_EQ(0, pipe(p));
	peer_send_data(&self->peer, data, len, REC_MAX);
	arrived(self);
	expect_data(self, data, skip);
	for (; done < len; done += n) {
		n = splice(self->fd, NULL, p[1], NULL, len - done, 0);
		ASSERT_LT(0, n);
		ASSERT_EQ(n, splice(p[0], NULL, self->fd, NULL, n, 0));
	}
	peer_recv_all(&self->peer, got, len - skip);
	EXPECT_MEMEQ(data + skip, got, len - skip);
	close(p[0]);
	close(p[1]);
	free(data);
	free(got);
}

/* What a peek decrypts takes no more memory than the receive buffer may. */
TEST_F(ktls, peek_at_tiny_records)
{
	uint8_t got[40], *data = alloc_pattern(sizeof(got), 0);
	ssize_t n;

	INTREE_DIFFERS("decrypts what it is asked for");
	sock_set_int(self->fd, SOL_SOCKET, SO_RCVBUF, 1);
	peer_send_data(&self->peer, data, sizeof(got), 1);
	arrived(self);
	n = recv(self->fd, got, sizeof(got), MSG_PEEK | MSG_DONTWAIT);
	ASSERT_LT(0, n);
	EXPECT_GT((ssize_t)sizeof(got) / 2, n);
	/* But who insists gets it. */
	EXPECT_EQ((ssize_t)sizeof(got), recv(self->fd, got, sizeof(got), MSG_PEEK | MSG_WAITALL));
	EXPECT_MEMEQ(data, got, sizeof(got));
	expect_data(self, data, sizeof(got));
	free(data);
}
