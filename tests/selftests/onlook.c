// SPDX-License-Identifier: GPL-2.0
/* Looking on, and the errors that may give; see onlook.h. */
#define _GNU_SOURCE
#include "onlook.h"

#include <linux/sockios.h>
#include <net/if.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>

#include "ulp.h"

#define CHUNK		(128 * 1024)

void onlook_prepare(void)
{
	struct ifreq ifr = { .ifr_name = "lo", .ifr_mtu = 1500 };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	ASSERT_LE(0, fd);
	/* Only in the network namespace that the harness made. */
	if (!getenv("ITLS_TEST_NO_NETNS"))
		EXPECT_EQ(0, ioctl(fd, SIOCSIFMTU, &ifr));
	close(fd);
}

struct onlooker {
	int fd[2];
	bool whole_records;
	int epoll;
	uint8_t *buf;
};

static int either(const struct onlooker *o)
{
	return o->fd[stress_below(2)];
}

static intmax_t set_int(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value));
}

static intmax_t look_poll(void *arg)
{
	return sock_poll(either(arg), POLLIN | POLLOUT | POLLRDHUP, stress_below(3));
}

static intmax_t look_epoll(void *arg)
{
	struct onlooker *o = arg;
	struct epoll_event ev = { .events = EPOLLIN | EPOLLOUT | (stress_one_in(2) ? EPOLLET : 0) };
	int fd = either(o);

	if (stress_one_in(4))
		return epoll_ctl(o->epoll, EPOLL_CTL_DEL, fd, NULL);
	if (stress_one_in(2))
		return epoll_ctl(o->epoll, EPOLL_CTL_ADD, fd, &ev);
	return epoll_wait(o->epoll, &ev, 1, stress_below(3));
}

static intmax_t look_peek(void *arg)
{
	struct onlooker *o = arg;

	return recv(either(o), o->buf, stress_size(CHUNK), MSG_PEEK | MSG_DONTWAIT);
}

static intmax_t look_ioctl(void *arg)
{
	static const int requests[] = { FIONREAD, SIOCOUTQ, SIOCOUTQNSD };
	int value = 0;
	int ret = ioctl(either(arg), requests[stress_below(NR_OF(requests))], &value);

	EXPECT_LE(0, value);
	return ret;
}

static intmax_t look_info(void *arg)
{
	static const struct { int level, name; } options[] = {
		{ SOL_TLS, TLS_TX }, { SOL_TLS, TLS_RX }, { SOL_TLS, ITLS_INFO },
		{ IPPROTO_TCP, TCP_INFO }, { IPPROTO_TCP, TCP_ULP }, { SOL_SOCKET, SO_MEMINFO },
	};
	size_t i = stress_below(NR_OF(options));
	struct itls_info info;
	socklen_t len = sizeof(info);

	if (options[i].name <= TLS_RX)
		len = sizeof(struct tls_crypto_info);
	return getsockopt(either(arg), options[i].level, options[i].name, &info, &len);
}

static intmax_t turn_cork(void *arg)
{
	return set_int(either(arg), IPPROTO_TCP, stress_one_in(2) ? TCP_CORK : TCP_NODELAY,
		       stress_below(2));
}

static intmax_t turn_lowat(void *arg)
{
	if (stress_one_in(2))
		return set_int(either(arg), IPPROTO_TCP, TCP_NOTSENT_LOWAT,
			       stress_one_in(4) ? -1 : (int)stress_size(64 * 1024));
	return set_int(either(arg), SOL_SOCKET, SO_RCVLOWAT, stress_size(4096));
}

static intmax_t turn_buffers(void *arg)
{
	return set_int(either(arg), SOL_SOCKET, stress_one_in(2) ? SO_SNDBUF : SO_RCVBUF,
		       16 * 1024 + stress_size(256 * 1024));
}

static intmax_t set_payload(const struct onlooker *o, int fd, uint16_t len)
{
	if (o->whole_records)
		len = REC_MAX;
	return setsockopt(fd, SOL_TLS, ITLS_TX_MAX_PAYLOAD_LEN, &len, sizeof(len));
}

static intmax_t turn_payload(void *arg)
{
	return set_payload(arg, either(arg), 64 + stress_below(REC_MAX - 64));
}

static intmax_t turn_tls(void *arg)
{
	return set_int(either(arg), SOL_TLS, stress_one_in(2) ? TLS_TX_ZEROCOPY_RO :
								TLS_RX_EXPECT_NO_PAD, 1);
}

/* Ends the record that MSG_MORE left open, and no more. */
static intmax_t send_nothing(void *arg)
{
	return send(either(arg), "", 0, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static intmax_t dup_and_close(void *arg)
{
	int fd = dup(either(arg));

	return fd < 0 ? fd : close(fd);
}

static intmax_t attach_again(void *arg)
{
	return ulp_attach(either(arg));
}

static struct stress_op look_ops[] = {
	STRESS_OP("poll", look_poll),
	STRESS_OP("epoll", look_epoll, EEXIST, ENOENT),
	STRESS_OP("look", look_peek, EAGAIN, EIO, EKEYEXPIRED),
	STRESS_OP("ioctl", look_ioctl),
	/* EBUSY: that direction has no key. */
	STRESS_OP("getsockopt", look_info, EBUSY),
	STRESS_OP("cork", turn_cork),
	STRESS_OP("lowat", turn_lowat),
	STRESS_OP("buffers", turn_buffers),
	STRESS_OP("payload", turn_payload, EBUSY),
	STRESS_OP("tls", turn_tls, EINVAL),
	/* Both directions may be at their end. */
	STRESS_OP("send 0", send_nothing, EAGAIN, EPIPE),
	STRESS_OP("dup", dup_and_close),
	STRESS_OP("attach", attach_again, EEXIST),
};

/* With these together, and nothing done about it, a record would go out every 200 ms. */
static void leave_least_room(const struct onlooker *o)
{
	int i;

	for (i = 0; i < 2; i++) {
		set_payload(o, o->fd[i], 64);
		set_int(o->fd[i], IPPROTO_TCP, TCP_NOTSENT_LOWAT, 1);
		set_int(o->fd[i], IPPROTO_TCP, TCP_CORK, 1);
	}
}

void onlook(void *arg)
{
	const struct onlook *on = arg;
	struct onlooker o = {
		.fd = { on->fd[0], on->fd[1] }, .whole_records = on->whole_records,
		.epoll = epoll_create1(EPOLL_CLOEXEC), .buf = malloc(CHUNK),
	};

	ASSERT_LE(0, o.epoll);
	ASSERT_TRUE(o.buf);
	while (stress_goes_on(on->stress))
		if (!stress_any(look_ops, NR_OF(look_ops), &o))
			break;
	leave_least_room(&o);
	close(o.epoll);
	free(o.buf);
}

void onlook_tell(void)
{
	stress_tell(look_ops, NR_OF(look_ops));
}
