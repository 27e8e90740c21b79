// SPDX-License-Identifier: GPL-2.0
/*
 * The memory that a processor keeps for records: as much as is under way at once, and
 * nothing when it was not needed for some seconds.
 */
#define _GNU_SOURCE
#include "stat.h"
#include "ulp.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/sendfile.h>
#include <unistd.h>

#define MIB		(1024 * 1024L)
/* More than the first rings held, less than a small machine's share. */
#define UNDER_WAY	(24 * MIB)
#define AT_LEAST	(9 * MIB)
#define TIMES		6

/* Of a processor's part of a thirty-second of the memory: see itls(7). */
static void need_a_share(void)
{
	long pages = sysconf(_SC_PHYS_PAGES) / 32 / sysconf(_SC_NPROCESSORS_CONF);

	if (pages * sysconf(_SC_PAGESIZE) < AT_LEAST + MIB)
		SKIP("too little memory for so many processors");
}

/* Each processor has its own. */
static void stay_here(void)
{
	cpu_set_t here;

	CPU_ZERO(&here);
	CPU_SET(sched_getcpu(), &here);
	ASSERT_EQ(0, sched_setaffinity(0, sizeof(here), &here));
}

static int sender_open(int fd[2])
{
	union peer_info tx;

	sock_pair(AF_INET, fd);
	peer_info_make(&tx, TLS_1_3_VERSION, TLS_CIPHER_AES_GCM_128, 1, 5);
	ulp_require(fd[0]);
	ASSERT_EQ(0, key_set(fd[0], TLS_TX, &tx));
	sock_set_int(fd[0], SOL_SOCKET, SO_SNDBUFFORCE, 2 * UNDER_WAY);
	return fd[0];
}

/* The peer reads nothing, so all that is sent stays under way. */
static void send_file(int to, int file)
{
	off_t at = 0;

	ASSERT_EQ(UNDER_WAY, sendfile(to, file, &at, UNDER_WAY));
}

static void much_under_way(int file)
{
	int fd[2];

	send_file(sender_open(fd), file);
	EXPECT_LT(AT_LEAST, stat_get("CurrKeptBytes"));
	close(fd[0]);
	close(fd[1]);
}

TEST(kept_while_needed)
{
	int file = file_pattern(UNDER_WAY);

	INTREE_DIFFERS("keeps nothing");
	need_a_share();
	stay_here();
	much_under_way(file);
	stat_wait_kept();
	/* And again from nothing. */
	much_under_way(file);
	close(file);
}

/* What the kernel does when memory is short, at once. */
static void shrink(void)
{
	int fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);

	ASSERT_LE(0, fd);
	ASSERT_EQ(1, write(fd, "2", 1));
	close(fd);
}

static long available(void)
{
	char line[128];
	long kib = -1;
	FILE *f = fopen("/proc/meminfo", "re");

	ASSERT_NE(NULL, f);
	while (kib < 0 && fgets(line, sizeof(line), f))
		sscanf(line, "MemAvailable: %ld", &kib);
	fclose(f);
	return kib * 1024;
}

/* Given up is not lost: of that, nothing would tell but memory that is gone. */
TEST(given_up_when_memory_is_short)
{
	int file = file_pattern(UNDER_WAY), i;
	long before;

	INTREE_DIFFERS("keeps nothing");
	need_a_share();
	stay_here();
	shrink();
	before = available();
	for (i = 0; i < TIMES; i++) {
		much_under_way(file);
		shrink();
		EXPECT_EQ(0, stat_get("CurrKeptBytes"));
	}
	EXPECT_GT(TIMES * AT_LEAST / 2, before - available());
	close(file);
}
