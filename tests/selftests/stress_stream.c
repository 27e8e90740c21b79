// SPDX-License-Identifier: GPL-2.0
/*
 * Two streams on one connection, itls at both ends, one writer and one reader
 * each.  Every byte and every control record tells its place, so what is
 * lost, repeated or out of order shows, while other threads look at the same
 * sockets and turn their knobs.
 */
#define _GNU_SOURCE
#include "onlook.h"
#include "rekey.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

/* Bytes of one call at most, and after how many the pattern comes again. */
#define CHUNK		(128 * 1024)
#define PERIOD		(1024 * 1024)
/* Onlookers may make records this small. */
#define PAYLOAD_MIN	63
#define REC_PLACE	100	/* a control record that tells where it was sent */

static uint8_t *pattern;
static int pattern_file;

/* One direction. */
struct lane {
	const struct stress *stress;
	int from, to;
	union peer_info key;
	bool rekeys;
	uint32_t keys_sent, keys_got;
	uint64_t sent, got;
	long controls_sent, controls_got;
	size_t control_max;
	bool control_waits, eof;
	int write_pipe[2], read_pipe[2];
	uint8_t *buf;
};

FIXTURE(stream) {
	struct stress stress;
	struct lane lane[2];
};

FIXTURE_VARIANT(stream) {
	uint16_t version;
	uint16_t cipher;
	int family;
};

FIXTURE_VARIANT_ADD(stream, tls12) {
	.version = TLS_1_2_VERSION, .cipher = TLS_CIPHER_AES_GCM_128, .family = AF_INET6,
};

FIXTURE_VARIANT_ADD(stream, tls13) {
	.version = TLS_1_3_VERSION, .cipher = TLS_CIPHER_AES_GCM_256, .family = AF_INET,
};

static void lane_init(struct lane *l, const struct stress *s, int from, int to)
{
	l->stress = s;
	l->from = from;
	l->to = to;
	ASSERT_EQ(0, pipe2(l->write_pipe, O_CLOEXEC));
	ASSERT_EQ(0, pipe2(l->read_pipe, O_CLOEXEC));
	l->buf = malloc(CHUNK);
	ASSERT_TRUE(l->buf);
}

static void lane_free(struct lane *l)
{
	close(l->write_pipe[0]);
	close(l->write_pipe[1]);
	close(l->read_pipe[0]);
	close(l->read_pipe[1]);
	free(l->buf);
}

FIXTURE_SETUP(stream)
{
	int fd[2], i;

	pattern = malloc(PERIOD + CHUNK);
	ASSERT_TRUE(pattern);
	fill_pattern(pattern, PERIOD, 0);
	memcpy(pattern + PERIOD, pattern, CHUNK);
	pattern_file = memfd_create("pattern", MFD_CLOEXEC);
	ASSERT_LE(0, pattern_file);
	ASSERT_EQ(PERIOD + CHUNK, pwrite(pattern_file, pattern, PERIOD + CHUNK, 0));

	sock_pair(variant->family, fd);
	ulp_require(fd[0]);
	ulp_require(fd[1]);
	for (i = 0; i < 2; i++) {
		lane_init(&self->lane[i], &self->stress, fd[i], fd[!i]);
		peer_info_make(&self->lane[i].key, variant->version, variant->cipher, i + 1, 7);
		ASSERT_EQ(0, key_set(fd[i], TLS_TX, &self->lane[i].key));
		ASSERT_EQ(0, key_set(fd[!i], TLS_RX, &self->lane[i].key));
		self->lane[i].rekeys = rekey_is_known(&self->lane[i].key);
	}
}

FIXTURE_TEARDOWN(stream)
{
	int i;

	for (i = 0; i < 2; i++) {
		close(self->lane[i].from);
		lane_free(&self->lane[i]);
	}
	close(pattern_file);
	free(pattern);
}

/* ---- the writer ------------------------------------------------------------------- */

static const uint8_t *place(uint64_t at)
{
	return pattern + at % PERIOD;
}

static int some_flags(int first, int second)
{
	return (stress_one_in(3) ? first : 0) | (stress_one_in(2) ? second : 0);
}

static intmax_t wrote(struct lane *l, ssize_t n)
{
	if (n > 0)
		l->sent += n;
	return n;
}

static intmax_t write_send(void *arg)
{
	struct lane *l = arg;
	int flags = some_flags(MSG_MORE, MSG_DONTWAIT) | MSG_NOSIGNAL;

	return wrote(l, send(l->from, place(l->sent), stress_size(CHUNK), flags));
}

static intmax_t write_sendmsg(void *arg)
{
	struct lane *l = arg;
	struct iovec iov[4];
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 4 };
	size_t at = 0, i;

	for (i = 0; i < 4; i++) {
		iov[i].iov_base = (void *)(place(l->sent) + at);
		iov[i].iov_len = stress_one_in(4) ? 0 : stress_size(CHUNK / 4);
		at += iov[i].iov_len;
	}
	return wrote(l, sendmsg(l->from, &msg, some_flags(MSG_MORE, MSG_DONTWAIT) | MSG_NOSIGNAL));
}

static intmax_t write_sendfile(void *arg)
{
	struct lane *l = arg;
	off_t at = l->sent % PERIOD;

	return wrote(l, sendfile(l->from, pattern_file, &at, stress_size(CHUNK)));
}

/* The reader reads, so there is room before long. */
static void wait_for_room(const struct lane *l)
{
	if (sock_poll(l->from, POLLOUT, test_wait_ms()))
		return;
	stress_tell_sockets();
	ASSERT_FALSE("no POLLOUT");
}

/* What is in the pipe must go, or it would come later than it says. */
static intmax_t write_splice(void *arg)
{
	struct lane *l = arg;
	loff_t at = l->sent % PERIOD;
	ssize_t left, n;

	left = splice(pattern_file, &at, l->write_pipe[1], NULL, stress_size(CHUNK), 0);
	ASSERT_LT(0, left);
	while (left) {
		n = splice(l->write_pipe[0], NULL, l->from, NULL, stress_size(left),
			   some_flags(SPLICE_F_MORE, SPLICE_F_NONBLOCK));
		if (n < 0 && (errno == EAGAIN || (stress_injects() && errno == ENOMEM))) {
			wait_for_room(l);
			continue;
		}
		if (n <= 0)
			return n;
		wrote(l, n);
		left -= n;
	}
	return 0;
}

static intmax_t write_control(void *arg)
{
	struct lane *l = arg;
	uint8_t rec[REC_MAX];
	size_t len = sizeof(l->sent) + stress_below(l->control_max - sizeof(l->sent));
	ssize_t n;

	memcpy(rec, &l->sent, sizeof(l->sent));
	memcpy(rec + sizeof(l->sent), place(l->sent), len - sizeof(l->sent));
	n = send_typed(l->from, rec, len, REC_PLACE, some_flags(0, MSG_DONTWAIT) | MSG_NOSIGNAL);
	if (n < 0)
		return n;
	l->controls_sent++;
	/* One record, whole or not at all: bytes of it that came later would be another. */
	ASSERT_EQ((ssize_t)len, n);
	return 0;
}

static intmax_t write_rekey(void *arg)
{
	struct lane *l = arg;
	int ret;

	if (!l->rekeys)
		return 0;
	do {
		ret = send_typed(l->from, key_update, sizeof(key_update), REC_HANDSHAKE,
				 MSG_NOSIGNAL);
	} while (ret < 0 && stress_injects());
	if (ret < 0)
		return ret;
	l->keys_sent++;
	do {
		ret = rekey_set(l->from, TLS_TX, &l->key, l->keys_sent);
	} while (ret < 0 && stress_injects());
	return ret;
}

static struct stress_op write_ops[] = {
	STRESS_OP("send", write_send, EAGAIN),
	STRESS_OP("sendmsg", write_sendmsg, EAGAIN),
	STRESS_OP("sendfile", write_sendfile, EAGAIN),
	STRESS_OP("splice to", write_splice, EAGAIN),
	STRESS_OP("control", write_control, EAGAIN),
	STRESS_OP("rekey", write_rekey),
};

static void writer(void *arg)
{
	struct lane *l = arg;

	while (stress_goes_on(l->stress)) {
		if (!stress_any(write_ops, NR_OF(write_ops), l))
			break;
		if (stress_one_in(2))
			continue;
		stress_doing("wait for room");
		wait_for_room(l);
	}
	ASSERT_EQ(0, shutdown(l->from, SHUT_WR));
}

/* ---- the reader --------------------------------------------------------------------- */

/* Looks at what a call gave; -EIO and, of splice(), -EINVAL: a control record is next. */
static intmax_t see(struct lane *l, ssize_t n)
{
	if (n < 0)
		l->control_waits = errno == EIO || errno == EINVAL;
	else
		ASSERT_MEMEQ(place(l->got), l->buf, n);
	return n;
}

static intmax_t take(struct lane *l, ssize_t n)
{
	see(l, n);
	if (n > 0)
		l->got += n;
	l->eof = !n;
	return n;
}

static intmax_t read_recv(void *arg)
{
	struct lane *l = arg;

	return take(l, recv(l->to, l->buf, stress_size(CHUNK),
				    some_flags(MSG_WAITALL, MSG_DONTWAIT)));
}

static intmax_t read_readv(void *arg)
{
	struct lane *l = arg;
	size_t cut = stress_size(CHUNK / 2);
	struct iovec iov[3] = {
		{ l->buf, cut }, { l->buf, 0 }, { l->buf + cut, stress_size(CHUNK / 2) },
	};

	return take(l, readv(l->to, iov, 3));
}

static intmax_t read_peek(void *arg)
{
	struct lane *l = arg;

	return see(l, recv(l->to, l->buf, stress_size(CHUNK),
			   MSG_PEEK | some_flags(0, MSG_DONTWAIT)));
}

static intmax_t read_splice(void *arg)
{
	struct lane *l = arg;
	ssize_t n = splice(l->to, NULL, l->read_pipe[1], NULL, stress_size(CHUNK),
			   some_flags(SPLICE_F_NONBLOCK, SPLICE_F_MOVE));

	if (n > 0)
		ASSERT_EQ(n, read(l->read_pipe[0], l->buf, n));
	return take(l, n);
}

static void take_control(struct lane *l, uint8_t type, ssize_t n)
{
	uint64_t at;

	l->control_waits = false;
	if (type == REC_HANDSHAKE) {
		ASSERT_EQ(sizeof(key_update), n);
		ASSERT_MEMEQ(key_update, l->buf, n);
		l->keys_got++;
		while (rekey_set(l->to, TLS_RX, &l->key, l->keys_got))
			ASSERT_TRUE(stress_injects());
		return;
	}
	ASSERT_EQ(REC_PLACE, type);
	ASSERT_LE((ssize_t)sizeof(at), n);
	memcpy(&at, l->buf, sizeof(at));
	ASSERT_EQ(at, l->got);
	ASSERT_MEMEQ(place(at), l->buf + sizeof(at), n - sizeof(at));
	l->controls_got++;
}

static intmax_t read_typed(void *arg)
{
	struct lane *l = arg;
	uint8_t type;
	ssize_t n = recv_typed(l->to, l->buf, CHUNK, &type,
			       l->control_waits ? 0 : some_flags(0, MSG_DONTWAIT));

	if (n < 0)
		return n;
	if (!type || type == REC_DATA) {
		ASSERT_FALSE(l->control_waits);
		return take(l, n);
	}
	take_control(l, type, n);
	return n;
}

/* What FIONREAD promises is there. */
static intmax_t read_fionread(void *arg)
{
	struct lane *l = arg;
	ssize_t n;
	int bytes;

	ASSERT_EQ(0, ioctl(l->to, FIONREAD, &bytes));
	if (!bytes)
		return 0;
	n = recv(l->to, l->buf, stress_size(CHUNK), MSG_DONTWAIT);
	if (n < 0 && errno == EAGAIN)
		test_fail(__FILE__, __LINE__, "FIONREAD said %d, then EAGAIN", bytes);
	return take(l, n);
}

/* EIO: a control record is next, for which this call has no room. */
static struct stress_op read_ops[] = {
	STRESS_OP("recv", read_recv, EAGAIN, EIO),
	STRESS_OP("readv", read_readv, EAGAIN, EIO),
	STRESS_OP("peek", read_peek, EAGAIN, EIO),
	STRESS_OP("splice from", read_splice, EAGAIN, EINVAL),
	STRESS_OP("recvmsg", read_typed, EAGAIN, EIO),
	STRESS_OP("fionread", read_fionread, EAGAIN, EIO),
};

static void reader(void *arg)
{
	struct lane *l = arg;

	while (!l->eof) {
		if (l->control_waits)
			ASSERT_TRUE(read_typed(l) >= 0 || stress_injects());
		else if (!stress_any(read_ops, NR_OF(read_ops), l))
			break;
	}
	EXPECT_TRUE(l->eof);
}

/* ---- the tests ---------------------------------------------------------------------------- */

/* Whatever the onlookers left: nothing may keep the rest from arriving. */
static void lane_verify(const struct lane *l)
{
	printf("# %ju bytes, %ld control records, %u keys\n", (uintmax_t)l->got, l->controls_got,
	       l->keys_got);
	EXPECT_EQ(l->sent, l->got);
	EXPECT_EQ(l->controls_sent, l->controls_got);
	EXPECT_EQ(l->keys_sent, l->keys_got);
	EXPECT_LT(CHUNK, l->got);
	EXPECT_LT(0, l->controls_got);
	EXPECT_EQ(l->rekeys, l->keys_got > 0);
}

static bool lane_has_enough(const struct lane *l)
{
	return l->got > CHUNK && l->controls_got && (!l->rekeys || l->keys_got);
}

static bool lanes_have_enough(const void *arg)
{
	const struct stream_data *self = arg;

	return lane_has_enough(&self->lane[0]) && lane_has_enough(&self->lane[1]);
}

static void stream_case(struct stream_data *self, int onlookers)
{
	struct onlook on = {
		.stress = &self->stress, .fd = { self->lane[0].from, self->lane[1].from },
	};
	int i;

	stress_begin(&self->stress);
	for (i = 0; i < 2; i++) {
		self->lane[i].control_max = onlookers ? PAYLOAD_MIN : REC_MAX;
		stress_spawn(&self->stress, writer, &self->lane[i]);
		stress_spawn(&self->stress, reader, &self->lane[i]);
	}
	for (i = 0; i < onlookers; i++)
		stress_spawn(&self->stress, onlook, &on);
	stress_wait(&self->stress, lanes_have_enough, self);
	stress_join(&self->stress);
	stress_tell(write_ops, NR_OF(write_ops));
	stress_tell(read_ops, NR_OF(read_ops));
	onlook_tell();
	lane_verify(&self->lane[0]);
	lane_verify(&self->lane[1]);
}

TEST_F_TIMEOUT(stream, both_ways, STRESS_DEADLINE)
{
	stream_case(self, 0);
}

TEST_F_TIMEOUT(stream, under_observation, STRESS_DEADLINE)
{
	onlook_prepare();
	stream_case(self, 4);
}
