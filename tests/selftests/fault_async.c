// SPDX-License-Identifier: GPL-2.0
/*
 * Faults that in-tree kTLS had with asynchronous ciphers; the list of them is
 * at the head of fault_rx.c.
 *
 * This program makes AES-GCM asynchronous for the whole machine while it runs:
 * an instance of cryptd or pcrypt around the cipher is the preferred one from
 * then on, and answers -EINPROGRESS to every request.  cryptd's queue is made
 * one entry long if it is not loaded yet, so that it answers -EBUSY too.
 */
#define _GNU_SOURCE
#include "ktls.h"

#include <linux/cryptouser.h>
#include <linux/if_alg.h>
#include <linux/netlink.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/wait.h>

/* The kernel's CRYPTO_ALG_TYPE_AEAD and _MASK, which it keeps to itself. */
#define ALG_TYPE_AEAD	0x3
#define ALG_TYPE_MASK	0xf
/* More than any driver has of its own. */
#define PRIORITY	100000
#define NAME		"gcm(aes)"

static char driver[CRYPTO_MAX_NAME];
static pid_t owner;

/* The value of one line of /proc/crypto, if it is that of key. */
static bool value_of(char *line, const char *key, char **value)
{
	char *colon = strchr(line, ':');

	if (strncmp(line, key, strlen(key)) || !colon)
		return false;
	colon[strcspn(colon, "\n")] = 0;
	*value = colon + 2;
	return true;
}

/*
 * The driver of AES-GCM with the highest priority, or with the prefix given
 * the one that begins with it; "" if there is none.
 */
static void find_driver(const char *prefix, char *out, size_t size)
{
	char line[256], this[CRYPTO_MAX_NAME] = "", *v;
	FILE *f = fopen("/proc/crypto", "re");
	bool ours = false;
	int best = -1;

	out[0] = 0;
	while (f && fgets(line, sizeof(line), f)) {
		if (value_of(line, "name", &v)) {
			ours = !strcmp(v, NAME);
		} else if (value_of(line, "driver", &v)) {
			ours = ours && !strncmp(v, prefix, strlen(prefix));
			snprintf(this, sizeof(this), "%s", v);
		} else if (value_of(line, "priority", &v) && ours && atoi(v) > best) {
			best = atoi(v);
			snprintf(out, size, "%s", this);
		}
	}
	if (f)
		fclose(f);
}

static bool is_preferred(void)
{
	char best[CRYPTO_MAX_NAME];

	find_driver("", best, sizeof(best));
	return driver[0] && !strcmp(driver, best);
}

static void run(const char *const argv[])
{
	pid_t pid = fork();

	if (!pid) {
		execvp(argv[0], (char **)argv);
		_exit(127);
	}
	if (pid > 0)
		waitpid(pid, NULL, 0);
}

/* Adds, prefers or removes an instance; 0, or -errno of what the kernel says. */
static int crypto_user(int type, const char *name, const char *driver_name)
{
	struct {
		struct nlmsghdr nlh;
		struct crypto_user_alg alg;
		struct nlattr nla;
		uint32_t priority;
	} msg = {
		.nlh = {
			.nlmsg_len = sizeof(msg), .nlmsg_type = type,
			.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK,
		},
		.alg = { .cru_type = ALG_TYPE_AEAD, .cru_mask = ALG_TYPE_MASK },
		.nla = { .nla_len = NLA_HDRLEN + 4, .nla_type = CRYPTOCFGA_PRIORITY_VAL },
		.priority = PRIORITY,
	};
	struct {
		struct nlmsghdr nlh;
		struct nlmsgerr err;
	} ack;
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_CRYPTO);
	int err = -EIO;

	if (fd < 0)
		return -errno;
	/* A priority may be given to an existing driver only. */
	if (type != CRYPTO_MSG_UPDATEALG)
		msg.nlh.nlmsg_len = offsetof(typeof(msg), nla);
	snprintf(msg.alg.cru_name, sizeof(msg.alg.cru_name), "%s", name);
	snprintf(msg.alg.cru_driver_name, sizeof(msg.alg.cru_driver_name), "%s", driver_name);
	if (send(fd, &msg, msg.nlh.nlmsg_len, 0) == (ssize_t)msg.nlh.nlmsg_len &&
	    recv(fd, &ack, sizeof(ack), 0) >= (ssize_t)sizeof(ack) &&
	    ack.nlh.nlmsg_type == NLMSG_ERROR)
		err = ack.err.error;
	close(fd);
	return err;
}

/* Asking for an algorithm makes it too; newer kernels refuse AF_ALG anything asynchronous. */
static void ask_for(const char *name)
{
	struct sockaddr_alg sa = { .salg_family = AF_ALG, .salg_type = "aead" };
	int fd = socket(AF_ALG, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return;
	snprintf((char *)sa.salg_name, sizeof(sa.salg_name), "%s", name);
	if (bind(fd, (void *)&sa, sizeof(sa)))
		printf("# no %s: %m\n", name);
	close(fd);
}

static void make_instance(const char *template)
{
	char name[CRYPTO_MAX_NAME];
	int err;

	snprintf(name, sizeof(name), "%s(" NAME ")", template);
	err = crypto_user(CRYPTO_MSG_NEWALG, name, "");
	/* -EAGAIN: made all the same; to ask again would make one around it. */
	if (err && err != -EAGAIN)
		ask_for(name);
}

__attribute__((constructor)) static void make_asynchronous(void)
{
	static const char *const load[] = { "modprobe", "-q", "cryptd",
					    "cryptd_max_cpu_qlen=1", NULL };
	static const char *const templates[] = { "cryptd", "pcrypt" };
	size_t i;

	owner = getpid();
	if (geteuid())
		return;
	run(load);
	for (i = 0; i < 2 && !driver[0]; i++) {
		make_instance(templates[i]);
		find_driver(templates[i], driver, sizeof(driver));
	}
	if (driver[0])
		crypto_user(CRYPTO_MSG_UPDATEALG, NAME, driver);
}

/* Others that run after this have the machine's own cipher again. */
__attribute__((destructor)) static void make_synchronous(void)
{
	int64_t end = sock_now_ms() + 5000;
	int err = -EBUSY;

	if (getpid() != owner || !driver[0])
		return;
	/* Busy until the last socket's keys are gone. */
	while (err == -EBUSY && sock_now_ms() < end)
		err = crypto_user(CRYPTO_MSG_DELALG, NAME, driver);
	if (err)
		printf("# %s stays: %s\n", driver, strerror(-err));
}

static void require_asynchronous(void)
{
	if (!is_preferred())
		SKIP("no cryptd or pcrypt here: the cipher cannot be made asynchronous");
}

TEST_F(ktls, first_use)
{
	require_asynchronous();
	printf("# %s\n", driver);
	ASSERT_EQ(5, send(self->fd, "hello", 5, 0));
	expect_record(self, REC_DATA, "hello", 5);
	peer_send(&self->peer, REC_DATA, "world", 5);
	expect_data(self, "world", 5);
}

/* CVE-2024-26582: the pages of a record half read were freed beneath the cipher. */
TEST_F(ktls, partial_reads)
{
	uint8_t *data = alloc_pattern(4 * REC_MAX, 0), *got = malloc(REC_MAX);
	static const size_t reads[] = { 1, 100, REC_MAX - 1, 5000, 17, REC_MAX };
	size_t at = 0, i = 0;
	ssize_t n;

	require_asynchronous();
	ASSERT_TRUE(got);
	sock_set_int(self->peer.fd, SOL_SOCKET, SO_SNDBUF, 1 << 20);
	peer_send_data(&self->peer, data, 4 * REC_MAX, REC_MAX);
	while (at < 4 * REC_MAX) {
		n = recv(self->fd, got, reads[i % 6], i % 2 ? MSG_PEEK : 0);
		ASSERT_LT(0, n);
		ASSERT_MEMEQ(data + at, got, n);
		at += i++ % 2 ? 0 : n;
	}
	expect_nothing(self);
	free(data);
	free(got);
}

static void *pump(void *arg)
{
	struct ktls_data *self = arg;
	uint8_t *data = alloc_pattern(1 << 19, 0);

	peer_send_data(&self->peer, data, 1 << 19, 9000);
	free(data);
	return NULL;
}

TEST_F_TIMEOUT(ktls, both_ways, 60)
{
	uint8_t *want = alloc_pattern(1 << 19, 0), *got = malloc(1 << 19);
	pthread_t feeder;
	struct peer_drain d;

	require_asynchronous();
	ASSERT_TRUE(got);
	peer_drain_start(&d, &self->peer, 1 << 19, 0);
	ASSERT_EQ(0, pthread_create(&feeder, NULL, pump, self));
	ASSERT_EQ(1 << 19, send(self->fd, want, 1 << 19, 0));
	ASSERT_EQ(1 << 19, recv(self->fd, got, 1 << 19, MSG_WAITALL));
	EXPECT_MEMEQ(want, got, 1 << 19);
	peer_drain_join(&d);
	ASSERT_EQ(0, pthread_join(feeder, NULL));
	free(want);
	free(got);
}

/* CVE-2024-26800, CVE-2026-23414: what a failed decryption held was freed twice, or not at all. */
TEST_F(ktls, bad_record)
{
	uint8_t *data = alloc_pattern(REC_MAX, 0), rec[REC_SPACE];
	size_t len;

	require_asynchronous();
	peer_send(&self->peer, REC_DATA, "good", 4);
	len = peer_seal(&self->peer.tx, REC_DATA, data, 9000, 0, rec);
	rec[len - 1] ^= 1;
	peer_send_raw(&self->peer, rec, len);
	arrived(self);
	expect_data(self, "good", 4);
	EXPECT_ERRNO(EBADMSG, recv(self->fd, rec, sizeof(rec), MSG_DONTWAIT));
	peer_send(&self->peer, REC_DATA, "late", 4);
	arrived(self);
	EXPECT_ERRNO(EBADMSG, recv(self->fd, rec, sizeof(rec), MSG_DONTWAIT));
	free(data);
}

/* CVE-2024-26583, -26585: the completion, or what it scheduled, found the context gone. */
TEST_F_TIMEOUT(ktls, close_right_after, 60)
{
	uint8_t *data = alloc_pattern(50000, 0), *got = malloc(50000);
	static struct peer_record rec;
	struct peer peer;
	int fd[2], i;

	require_asynchronous();
	ASSERT_TRUE(got);
	for (i = 0; i < 30; i++) {
		sock_pair(variant->family, fd);
		ulp_require(fd[0]);
		ASSERT_EQ(0, key_set(fd[0], TLS_TX, &self->tx));
		sock_set_int(fd[0], SOL_SOCKET, SO_SNDBUF, 1 << 20);
		peer_init(&peer, fd[1], &self->tx, &self->rx);
		ASSERT_EQ(50000, send(fd[0], data, 50000, i % 2 ? MSG_MORE : 0));
		close(fd[0]);
		peer_recv_all(&peer, got, 50000);
		EXPECT_MEMEQ(data, got, 50000);
		EXPECT_EQ(0, peer_recv(&peer, &rec));
		peer_free(&peer);
	}
	free(data);
	free(got);
}

#define CROWD	16
#define CROWD_LEN 100000

struct member {
	struct peer peer;
	int fd;
};

static void *send_in_crowd(void *arg)
{
	struct member *m = arg;
	uint8_t *data = alloc_pattern(CROWD_LEN, 0);
	size_t at;

	for (at = 0; at < CROWD_LEN; at += 1000)
		ASSERT_EQ(1000, send(m->fd, data + at, 1000, 0));
	free(data);
	return NULL;
}

/* CVE-2024-26584: -EBUSY says that a request waits its turn, not that it failed. */
TEST_F_TIMEOUT(ktls, many_at_once, 60)
{
	struct member m[CROWD];
	struct peer_drain d[CROWD];
	pthread_t thread[CROWD];
	int fd[2], i;

	require_asynchronous();
	for (i = 0; i < CROWD; i++) {
		sock_pair(variant->family, fd);
		m[i] = (struct member){ .fd = fd[0] };
		ulp_require(fd[0]);
		ASSERT_EQ(0, key_set(fd[0], TLS_TX, &self->tx));
		peer_init(&m[i].peer, fd[1], &self->tx, &self->rx);
		peer_drain_start(&d[i], &m[i].peer, CROWD_LEN, 0);
		ASSERT_EQ(0, pthread_create(&thread[i], NULL, send_in_crowd, &m[i]));
	}
	for (i = 0; i < CROWD; i++) {
		ASSERT_EQ(0, pthread_join(thread[i], NULL));
		peer_drain_join(&d[i]);
		EXPECT_EQ(CROWD_LEN / 1000, d[i].records);
		close(m[i].fd);
		peer_free(&m[i].peer);
	}
}
