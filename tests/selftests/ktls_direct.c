// SPDX-License-Identifier: GPL-2.0
/*
 * Records that are decrypted straight into the memory of the reader: whatever
 * memory that is, what is read is what was sent, nothing is written outside,
 * and what is not the reader's is not left there.  And those that are encrypted
 * straight from the memory of the sender.
 */
#define _GNU_SOURCE
#include "ktls.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>

#define LEN	(5 * REC_MAX)
#define GUARD	4096
#define MARK	0xa5

/* A buffer between two marked pages. */
static uint8_t *guarded(size_t len)
{
	uint8_t *map = mmap(NULL, len + 2 * GUARD, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, (void *)map);
	memset(map, MARK, len + 2 * GUARD);
	return map + GUARD;
}

static void expect_marked(const uint8_t *at, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		ASSERT_EQ(MARK, at[i]);
}

/* No 16 bytes in a row are there: those of a block. */
static void expect_none_of(const uint8_t *text, const uint8_t *buf, size_t len)
{
	size_t i;

	for (i = 0; i + 16 <= len; i++)
		ASSERT_NE(0, memcmp(text + i, buf + i, 16));
}

static bool is_13(const struct ktls_data *self)
{
	return self->tx.info.version == TLS_1_3_VERSION;
}

static void read_to_any_place(struct ktls_data *self, uint8_t *buf)
{
	static const size_t starts[] = { 0, 1, 15, 16, 2048, 4095 };
	static const size_t records[] = { 8192, 8193, 12288, 16383, REC_MAX };
	uint8_t *data = alloc_pattern(LEN, 0);
	size_t s, r;

	for (s = 0; s < sizeof(starts) / sizeof(*starts); s++)
		for (r = 0; r < sizeof(records) / sizeof(*records); r++) {
			size_t len = 3 * records[r];

			memset(buf - GUARD, MARK, LEN + 2 * GUARD);
			peer_send_data(&self->peer, data, len, records[r]);
			ASSERT_EQ((ssize_t)len, recv(self->fd, buf + starts[s], len, MSG_WAITALL));
			EXPECT_MEMEQ(data, buf + starts[s], len);
			expect_marked(buf - GUARD, GUARD + starts[s]);
			expect_marked(buf + starts[s] + len, LEN - len - starts[s] + GUARD);
		}
	free(data);
}

TEST_F(ktls, any_place)
{
	read_to_any_place(self, guarded(LEN));
}

/* Pages that follow one another in memory, if the kernel has such for programs. */
TEST_F(ktls, any_place_in_a_huge_page)
{
	const size_t huge = 2 << 20;
	uint8_t *map = mmap(NULL, 2 * huge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			    -1, 0);
	uint8_t *page = (uint8_t *)(((uintptr_t)map + huge - 1) & -huge);

	ASSERT_NE(MAP_FAILED, (void *)map);
	madvise(page, huge, MADV_HUGEPAGE);
	read_to_any_place(self, page + GUARD);
}

/* Buffers cut into pieces, of which there are more than a record has pages. */
TEST_F(ktls, any_pieces)
{
	static const size_t pieces[] = { 1, 100, 4096, 5000, 9000, REC_MAX };
	uint8_t *data = alloc_pattern(LEN, 0), *buf = guarded(2 * LEN);
	struct iovec iov[1024];
	size_t p, at;
	int n;

	for (p = 0; p < sizeof(pieces) / sizeof(*pieces); p++) {
		memset(buf, MARK, 2 * LEN);
		for (n = 0, at = 0; n < 1024 && at < LEN; n++) {
			iov[n].iov_base = buf + 2 * at;
			iov[n].iov_len = pieces[p] < LEN - at ? pieces[p] : LEN - at;
			at += iov[n].iov_len;
		}
		peer_send_data(&self->peer, data, at, REC_MAX);
		arrived(self);
		ASSERT_EQ((ssize_t)at, readv(self->fd, iov, n));
		for (n = 0, at = 0; n < 1024 && at < LEN; at += iov[n++].iov_len) {
			EXPECT_MEMEQ(data + at, iov[n].iov_base, iov[n].iov_len);
			expect_marked(buf + 2 * at + iov[n].iov_len, iov[n].iov_len);
		}
	}
	free(data);
}

/* Buffers that end and begin in the same page, with somebody else's bytes between them. */
TEST_F(ktls, two_pieces_of_a_page)
{
	const size_t first = 2 * 4096 + 100, gap = 200;
	uint8_t *data = alloc_pattern(REC_MAX, 0), *buf = guarded(LEN);
	struct iovec iov[2] = {
		{ buf, first }, { buf + first + gap, REC_MAX - first },
	};

	peer_send_data(&self->peer, data, REC_MAX, REC_MAX);
	arrived(self);
	ASSERT_EQ(REC_MAX, readv(self->fd, iov, 2));
	EXPECT_MEMEQ(data, buf, first);
	expect_marked(buf + first, gap);
	EXPECT_MEMEQ(data + first, buf + first + gap, REC_MAX - first);
	expect_marked(buf + REC_MAX + gap, GUARD);
	free(data);
}

/* Bytes behind those that were returned are padding and nobody's text. */
TEST_F(ktls, padding)
{
	uint8_t *data = alloc_pattern(LEN, 1), *buf = guarded(LEN);
	int i;

	if (!is_13(self))
		SKIP("TLS 1.2 pads nothing");
	for (i = 0; i < 3; i++) {
		peer_send_padded(&self->peer, REC_DATA, data, 9000, 3000);
		memset(buf, MARK, LEN);
		ASSERT_EQ(9000, recv(self->fd, buf, LEN, 0));
		EXPECT_MEMEQ(data, buf, 9000);
		expect_marked(buf + LEN, GUARD);
	}
	/* And data that ends in zeroes, which are not padding. */
	memset(data + 8000, 0, 2000);
	peer_send(&self->peer, REC_DATA, data, 10000);
	expect_data(self, data, 10000);
	peer_send(&self->peer, REC_DATA, data + 10000, REC_MAX);
	expect_data(self, data + 10000, REC_MAX);
	free(data);
}

/* A long record of another type is not left in the buffer of who wants data. */
TEST_F(ktls, other_type)
{
	uint8_t *data = alloc_pattern(LEN, 0), *buf = guarded(LEN), type;

	peer_send(&self->peer, REC_HANDSHAKE, data, 12000);
	arrived(self);
	EXPECT_ERRNO(EIO, recv(self->fd, buf, LEN, 0));
	expect_none_of(data, buf, 12000);
	ASSERT_EQ(12000, recv_typed(self->fd, buf, LEN, &type, 0));
	EXPECT_EQ(REC_HANDSHAKE, type);
	EXPECT_MEMEQ(data, buf, 12000);
	talk_expect(self->fd, &self->peer);
	free(data);
}

/* Type by type, in one call or several. */
TEST_F(ktls, type_after_type)
{
	uint8_t *data = alloc_pattern(LEN, 0), *buf = guarded(LEN), type;

	peer_send(&self->peer, REC_DATA, data, 10000);
	peer_send(&self->peer, REC_HANDSHAKE, data + 10000, 12000);
	peer_send(&self->peer, REC_DATA, data + 22000, REC_MAX);
	arrived(self);
	ASSERT_EQ(10000, recv_typed(self->fd, buf, LEN, &type, 0));
	EXPECT_EQ(REC_DATA, type);
	EXPECT_MEMEQ(data, buf, 10000);
	expect_none_of(data + 10000, buf + 10000, 12000);
	ASSERT_EQ(12000, recv_typed(self->fd, buf, LEN, &type, 0));
	EXPECT_EQ(REC_HANDSHAKE, type);
	EXPECT_MEMEQ(data + 10000, buf, 12000);
	ASSERT_EQ(REC_MAX, recv_typed(self->fd, buf, LEN, &type, 0));
	EXPECT_EQ(REC_DATA, type);
	EXPECT_MEMEQ(data + 22000, buf, REC_MAX);
	free(data);
}

/* What is not authentic is not shown, wherever it was changed. */
TEST_F(ktls, forged)
{
	static const size_t ats[] = { REC_HEADER + 8, 6000, REC_MAX };
	uint8_t *data = alloc_pattern(LEN, 0), *buf = guarded(LEN);
	static uint8_t rec[REC_SPACE];
	size_t i, len;

	for (i = 0; i < sizeof(ats) / sizeof(*ats); i++) {
		struct ktls_data other;
		int fd[2];

		sock_pair(AF_INET, fd);
		other.fd = fd[0];
		ulp_require(fd[0]);
		ASSERT_EQ(0, key_set(fd[0], TLS_TX, &self->tx));
		ASSERT_EQ(0, key_set(fd[0], TLS_RX, &self->rx));
		peer_init(&other.peer, fd[1], &self->tx, &self->rx);
		memset(buf, MARK, LEN);
		peer_send(&other.peer, REC_DATA, data, REC_MAX);
		len = peer_seal(&other.peer.tx, REC_DATA, data, REC_MAX, 0, rec);
		rec[ats[i]] ^= 1;
		peer_send_raw(&other.peer, rec, len);
		arrived(&other);
		/* The good one before it is not lost, the error comes with the next call. */
		ASSERT_EQ(REC_MAX, recv(fd[0], buf, LEN, 0));
		EXPECT_MEMEQ(data, buf, REC_MAX);
		expect_none_of(data, buf + REC_MAX, REC_MAX);
		EXPECT_ERRNO(EBADMSG, recv(fd[0], buf, LEN, 0));
		close(fd[0]);
		peer_free(&other.peer);
	}
	free(data);
}

/* Memory that ends, or may not be written, costs nothing of the stream. */
TEST_F(ktls, memory_ends)
{
	uint8_t *data = alloc_pattern(LEN, 0), *got = malloc(LEN);
	uint8_t *buf = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t there, have = 0;
	ssize_t n;

	ASSERT_EQ(0, mprotect(buf + 8 * 4096, LEN - 8 * 4096, PROT_READ));
	peer_send_data(&self->peer, data, LEN, REC_MAX);
	arrived(self);
	for (there = 100; there < 20000; there += 4000) {
		n = recv(self->fd, buf + 8 * 4096 - there, 2 * REC_MAX, 0);
		if (n < 0) {
			ASSERT_EQ(EFAULT, errno);
			continue;
		}
		ASSERT_LE(n, (ssize_t)there);
		memcpy(got + have, buf + 8 * 4096 - there, n);
		have += n;
	}
	ASSERT_EQ((ssize_t)(LEN - have), recv(self->fd, got + have, LEN - have, MSG_WAITALL));
	EXPECT_MEMEQ(data, got, LEN);
	free(data);
	free(got);
}

/* A file in memory, through a shared mapping: not for the cipher to write to, but for the reader. */
TEST_F(ktls, mapped_file)
{
	uint8_t *data = alloc_pattern(LEN, 0), *got = malloc(LEN), *map;
	int file = memfd_create("direct", MFD_CLOEXEC);

	ASSERT_EQ(0, ftruncate(file, LEN));
	map = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	ASSERT_NE(MAP_FAILED, (void *)map);
	peer_send_data(&self->peer, data, LEN, REC_MAX);
	ASSERT_EQ(LEN, recv(self->fd, map, LEN, MSG_WAITALL));
	munmap(map, LEN);
	ASSERT_EQ(LEN, pread(file, got, LEN, 0));
	EXPECT_MEMEQ(data, got, LEN);
	close(file);
	free(data);
	free(got);
}

static long vmstat_get(const char *name)
{
	char line[128], key[64];
	long value;
	FILE *f;
	int fd;

	/*
	 * Each processor counts by itself; reading this, which is empty, adds it all up.
	 * A kernel for one processor does not have it.
	 */
	fd = open("/proc/sys/vm/stat_refresh", O_RDONLY | O_CLOEXEC);
	if (fd >= 0)
		ASSERT_EQ(0, read(fd, line, sizeof(line)));
	if (fd >= 0)
		close(fd);
	f = fopen("/proc/vmstat", "re");
	ASSERT_TRUE(f);
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "%63s %ld", key, &value) == 2 && !strcmp(key, name)) {
			fclose(f);
			return value;
		}
	fclose(f);
	SKIP("the kernel does not count pinned pages");
}

/* Records do go where they are wanted, and the pages are let go of, whatever came. */
TEST_F(ktls, pages_are_unpinned)
{
	uint8_t *data = alloc_pattern(LEN, 0), *buf = guarded(LEN);
	long acquired, released;

	INTREE_DIFFERS("does not always");
	acquired = vmstat_get("nr_foll_pin_acquired");
	released = vmstat_get("nr_foll_pin_released");
	peer_send_data(&self->peer, data, LEN, REC_MAX);
	ASSERT_EQ(LEN, recv(self->fd, buf, LEN, MSG_WAITALL));
	peer_send(&self->peer, REC_HANDSHAKE, data, 12000);
	arrived(self);
	EXPECT_ERRNO(EIO, recv(self->fd, buf, LEN, 0));
	acquired = vmstat_get("nr_foll_pin_acquired") - acquired;
	released = vmstat_get("nr_foll_pin_released") - released;
	EXPECT_LE(LEN / getpagesize(), acquired);
	EXPECT_EQ(acquired, released);
	free(data);
}

struct scribble {
	uint8_t *buf;
	atomic_bool end;
};

static void *scribble(void *arg)
{
	struct scribble *s = arg;
	size_t i;

	while (!s->end)
		for (i = 0; i < LEN; i += 61)
			((volatile uint8_t *)s->buf)[i] = i;
	return NULL;
}

/* Who writes to the buffer meanwhile spoils what he reads, and nothing else. */
TEST_F(ktls, scribbled_on)
{
	uint8_t *data = alloc_pattern(LEN, 0);
	struct scribble s = { .buf = guarded(LEN) };
	pthread_t thread;
	int i;

	ASSERT_EQ(0, pthread_create(&thread, NULL, scribble, &s));
	for (i = 0; i < 20; i++) {
		peer_send_data(&self->peer, data, LEN, REC_MAX);
		ASSERT_EQ(LEN, recv(self->fd, s.buf, LEN, MSG_WAITALL));
	}
	s.end = true;
	pthread_join(thread, NULL);
	talk_expect(self->fd, &self->peer);
	free(data);
}

/* What was sent is what was there then, in as few records as it takes, wherever it was. */
TEST_F(ktls, send_any_place)
{
	static const size_t starts[] = { 0, 1, 15, 16, 2048, 4080, 4095 };
	static const size_t lens[] = { 8191, 8192, 8193, 12288, 16383, REC_MAX, REC_MAX + 1, 2 * REC_MAX + 8192 };
	uint8_t *data = alloc_pattern(LEN, 0), *got = malloc(LEN);
	size_t s, l;

	for (s = 0; s < sizeof(starts) / sizeof(*starts); s++)
		for (l = 0; l < sizeof(lens) / sizeof(*lens); l++) {
			uint8_t *buf = guarded(starts[s] + lens[l]);

			memcpy(buf + starts[s], data, lens[l]);
			ASSERT_EQ((ssize_t)lens[l], send(self->fd, buf + starts[s], lens[l], 0));
			memset(buf, 0, starts[s] + lens[l]);
			ASSERT_EQ((int)((lens[l] + REC_MAX - 1) / REC_MAX),
				  peer_recv_all(&self->peer, got, lens[l]));
			EXPECT_MEMEQ(data, got, lens[l]);
			munmap(buf - GUARD, starts[s] + lens[l] + 2 * GUARD);
		}
	peer_expect_silence(&self->peer, self->fd);
	free(data);
	free(got);
}

TEST_F(ktls, send_any_pieces)
{
	static const size_t pieces[] = { 100, 4096, 5000, 8192, 9000, REC_MAX, 20000 };
	uint8_t *data = alloc_pattern(LEN, 0), *buf = guarded(2 * LEN), *got = malloc(LEN);
	struct iovec iov[1024];
	size_t p, at;
	int n;

	for (p = 0; p < sizeof(pieces) / sizeof(*pieces); p++) {
		for (n = 0, at = 0; n < 1024 && at < LEN; n++) {
			/* One in three where no allocator would have put it, and some of nothing. */
			iov[n].iov_base = buf + 2 * at / 16 * 16 + (n % 3 == 2);
			iov[n].iov_len = pieces[p] < LEN - at ? pieces[p] : LEN - at;
			if (n % 4 == 1)
				iov[n].iov_len = 0;
			memcpy(iov[n].iov_base, data + at, iov[n].iov_len);
			at += iov[n].iov_len;
		}
		ASSERT_EQ((ssize_t)at, writev(self->fd, iov, n));
		ASSERT_EQ((int)((at + REC_MAX - 1) / REC_MAX), peer_recv_all(&self->peer, got, at));
		EXPECT_MEMEQ(data, got, at);
	}
	free(data);
	free(got);
}

/* A record that more may be added to stays open, and what was added to one goes with it. */
TEST_F(ktls, send_more)
{
	uint8_t *data = alloc_pattern(LEN, 0), *got = malloc(LEN);

	ASSERT_EQ(10000, send(self->fd, data, 10000, MSG_MORE));
	peer_expect_silence(&self->peer, self->fd);
	ASSERT_EQ(2 * REC_MAX, send(self->fd, data + 10000, 2 * REC_MAX, MSG_MORE));
	ASSERT_EQ(10000, send(self->fd, data + 10000 + 2 * REC_MAX, 10000, 0));
	ASSERT_EQ(4, peer_recv_all(&self->peer, got, 20000 + 2 * REC_MAX));
	EXPECT_MEMEQ(data, got, 20000 + 2 * REC_MAX);
	free(data);
	free(got);
}

/* All that is there goes out; what cannot be read is not sent as something else. */
TEST_F(ktls, send_memory_ends)
{
	uint8_t *data = alloc_pattern(LEN, 0), *got = malloc(LEN);
	uint8_t *buf = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint8_t *end = buf + 8 * 4096;
	size_t there;
	ssize_t n;

	INTREE_DIFFERS("may stop before");
	memcpy(buf, data, 8 * 4096);
	ASSERT_EQ(0, mprotect(end, LEN - 8 * 4096, PROT_NONE));
	for (there = 0; there <= 8 * 4096; there += 2048) {
		n = send(self->fd, end - there, LEN / 2, 0);
		if (!there) {
			ASSERT_EQ(-1, n);
			EXPECT_EQ(EFAULT, errno);
			continue;
		}
		ASSERT_EQ((ssize_t)there, n);
		peer_recv_all(&self->peer, got, n);
		EXPECT_MEMEQ(end - there, got, n);
	}
	peer_expect_silence(&self->peer, self->fd);
	talk_expect(self->fd, &self->peer);
	free(data);
	free(got);
}

/* Memory of every kind: of a file, read-only, never touched. */
TEST_F(ktls, send_any_memory)
{
	uint8_t *data = alloc_pattern(LEN, 0), *got = malloc(LEN), *map;
	int file = memfd_create("direct", MFD_CLOEXEC);
	int flags[] = { MAP_SHARED, MAP_PRIVATE };
	size_t i;

	ASSERT_EQ(LEN, write(file, data, LEN));
	for (i = 0; i < sizeof(flags) / sizeof(*flags); i++) {
		map = mmap(NULL, LEN, PROT_READ, flags[i], file, 0);
		ASSERT_NE(MAP_FAILED, (void *)map);
		ASSERT_EQ(LEN, send(self->fd, map, LEN, 0));
		ASSERT_EQ(LEN / REC_MAX, peer_recv_all(&self->peer, got, LEN));
		EXPECT_MEMEQ(data, got, LEN);
		munmap(map, LEN);
	}
	map = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_EQ(LEN, send(self->fd, map, LEN, 0));
	memset(data, 0, LEN);
	ASSERT_EQ(LEN / REC_MAX, peer_recv_all(&self->peer, got, LEN));
	EXPECT_MEMEQ(data, got, LEN);
	close(file);
	free(data);
	free(got);
}

/*
 * No reference to the sender's pages is left, whatever became of the record: a
 * file in memory cannot be sealed against writing while somebody has one.
 */
TEST_F(ktls, sent_pages_are_let_go_of)
{
	uint8_t *data = alloc_pattern(LEN, 0), *map;
	int file = memfd_create("direct", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	ASSERT_EQ(LEN, write(file, data, LEN));
	map = mmap(NULL, LEN, PROT_READ, MAP_PRIVATE, file, 0);
	ASSERT_NE(MAP_FAILED, (void *)map);
	ASSERT_EQ(LEN, send(self->fd, map, LEN, 0));
	/* The second record ends in its second page. */
	ASSERT_EQ(0, munmap(map + REC_MAX + 4096, LEN - REC_MAX - 4096));
	ASSERT_LE(REC_MAX, send(self->fd, map, LEN, 0));
	ASSERT_EQ(0, fcntl(file, F_ADD_SEALS, F_SEAL_WRITE));
	close(file);
	free(data);
}

/* Kilobytes of the memory at map that nobody else maps. */
static long private_kb(const void *map)
{
	char line[256], perms[5];
	unsigned long start;
	long sum = 0, kb;
	bool here = false;
	FILE *f = fopen("/proc/self/smaps", "re");

	ASSERT_TRUE(f);
	while (fgets(line, sizeof(line), f)) {
		/* The line of a mapping has its permissions second. */
		if (sscanf(line, "%lx-%*x %4s", &start, perms) == 2)
			here = start == (unsigned long)map;
		else if (here && (sscanf(line, "Private_Dirty: %ld", &kb) == 1 ||
				  sscanf(line, "Private_Clean: %ld", &kb) == 1))
			sum += kb;
	}
	fclose(f);
	return sum;
}

/* Processes that share memory since a fork go on sharing what they send. */
TEST_F(ktls, sent_pages_stay_shared)
{
	uint8_t *map = mmap(NULL, LEN + 2 * GUARD, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int status;
	pid_t pid;

	ASSERT_NE(MAP_FAILED, (void *)map);
	/* What lies beside it does not become part of the mapping. */
	map += GUARD;
	ASSERT_EQ(0, mprotect(map, LEN, PROT_READ | PROT_WRITE));
	memset(map, MARK, LEN);
	EXPECT_EQ(LEN / 1024, private_kb(map));
	pid = fork();
	if (!pid) {
		if (send(self->fd, map, LEN, 0) != LEN)
			_exit(1);
		_exit(private_kb(map) ? 2 : 0);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
}

/* Who writes to the buffer meanwhile spoils what he sends, not the records. */
TEST_F(ktls, scribbled_on_while_sent)
{
	struct scribble s = { .buf = guarded(LEN) };
	uint8_t *got = malloc(LEN);
	pthread_t thread;
	int i;

	ASSERT_EQ(0, pthread_create(&thread, NULL, scribble, &s));
	for (i = 0; i < 20; i++) {
		ASSERT_EQ(LEN, send(self->fd, s.buf, LEN, 0));
		ASSERT_EQ(LEN / REC_MAX, peer_recv_all(&self->peer, got, LEN));
	}
	s.end = true;
	pthread_join(thread, NULL);
	talk_expect(self->fd, &self->peer);
	free(got);
}
