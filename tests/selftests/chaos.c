// SPDX-License-Identifier: GPL-2.0
/* Every call on a socket, and the errors each may give; see chaos.h. */
#define _GNU_SOURCE
#include "chaos.h"
#include "nl.h"

#include <fcntl.h>
#include <linux/sockios.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/time.h>

#define CHUNK		(64 * 1024)

void chaos_open(struct chaos *c, struct chaos_slot *slot, int nr, uint8_t fill)
{
	*c = (struct chaos){ .slot = slot, .nr = nr, .fill = fill };
	c->epoll = epoll_create1(EPOLL_CLOEXEC);
	c->file = memfd_create("chaos", MFD_CLOEXEC);
	c->buf = malloc(CHUNK);
	ASSERT_TRUE(c->epoll >= 0 && c->file >= 0 && c->buf);
	ASSERT_EQ(0, pipe2(c->pipe, O_CLOEXEC | O_NONBLOCK));
	memset(c->buf, fill, CHUNK);
	ASSERT_EQ(CHUNK, pwrite(c->file, c->buf, CHUNK, 0));
}

void chaos_close(struct chaos *c)
{
	close(c->pipe[0]);
	close(c->pipe[1]);
	close(c->file);
	close(c->epoll);
	free(c->buf);
}

void chaos_put(struct chaos_slot *slot, int fd)
{
	struct timeval wait = { .tv_usec = CHAOS_WAIT_MS * 1000 };

	ASSERT_EQ(0, setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)));
	ASSERT_EQ(0, setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait)));
	if (slot->fd < 0) {
		slot->fd = fd;
		return;
	}
	ASSERT_EQ(slot->fd, dup3(fd, slot->fd, O_CLOEXEC));
	close(fd);
}

static struct chaos_slot *any_slot(const struct chaos *c)
{
	return &c->slot[stress_below(c->nr)];
}

static int any(const struct chaos *c)
{
	return any_slot(c)->fd;
}

static int flags(int first, int second)
{
	return (stress_one_in(2) ? first : 0) | (stress_one_in(3) ? second : 0) | MSG_NOSIGNAL;
}

/* ---- reading and writing ------------------------------------------------------------- */

/* What is read lies where nobody sends from. */
static uint8_t *room(void)
{
	static __thread uint8_t buf[CHUNK];

	return buf;
}

static intmax_t seen(const struct chaos *c, intmax_t n)
{
	int err = errno;

	if (n > 0 && c->seen)
		c->seen(room(), n);
	errno = err;
	return n;
}

static intmax_t do_recv(void *arg)
{
	const struct chaos *c = arg;

	return seen(c, recv(any(c), room(), stress_size(CHUNK), flags(MSG_DONTWAIT, MSG_WAITALL)));
}

static intmax_t do_peek(void *arg)
{
	const struct chaos *c = arg;

	return seen(c, recv(any(c), room(), stress_size(CHUNK), flags(MSG_DONTWAIT, 0) | MSG_PEEK));
}

static intmax_t do_recvmsg(void *arg)
{
	const struct chaos *c = arg;
	uint8_t type;

	return seen(c, recv_typed(any(c), room(), stress_size(CHUNK), &type,
				  flags(MSG_DONTWAIT, MSG_PEEK)));
}

static intmax_t do_splice_from(void *arg)
{
	const struct chaos *c = arg;
	intmax_t n = splice(any(c), NULL, c->pipe[1], NULL, stress_size(CHUNK), SPLICE_F_NONBLOCK);
	int err = errno;

	if (n > 0 && stress_one_in(2))
		seen(c, read(c->pipe[0], room(), n));
	else
		while (read(c->pipe[0], room(), CHUNK) > 0)
			;
	errno = err;
	return n;
}

static intmax_t do_send(void *arg)
{
	const struct chaos *c = arg;

	return send(any(c), c->buf, stress_size(CHUNK), flags(MSG_DONTWAIT, MSG_MORE));
}

static intmax_t do_sendmsg(void *arg)
{
	const struct chaos *c = arg;

	return send_typed(any(c), c->buf, stress_size(CHUNK), 20 + stress_below(6),
			  flags(MSG_DONTWAIT, stress_one_in(8) ? MSG_MORE : 0));
}

static intmax_t do_sendfile(void *arg)
{
	const struct chaos *c = arg;
	off_t at = stress_below(CHUNK);

	return sendfile(any(c), c->file, &at, stress_size(2 * CHUNK));
}

static intmax_t do_splice_to(void *arg)
{
	const struct chaos *c = arg;
	loff_t at = 0;
	intmax_t n;
	int err;

	if (splice(c->file, &at, c->pipe[1], NULL, stress_size(CHUNK), SPLICE_F_NONBLOCK) <= 0)
		return 0;
	n = splice(c->pipe[0], NULL, any(c), NULL, stress_size(CHUNK),
		   stress_one_in(2) ? SPLICE_F_MORE : SPLICE_F_NONBLOCK);
	err = errno;
	while (read(c->pipe[0], room(), CHUNK) > 0)
		;
	errno = err;
	return n;
}

/* ---- looking -------------------------------------------------------------------------- */

static intmax_t do_poll(void *arg)
{
	return sock_poll(any(arg), POLLIN | POLLOUT | POLLPRI | POLLRDHUP, stress_below(3));
}

static intmax_t do_epoll(void *arg)
{
	const struct chaos *c = arg;
	struct epoll_event ev = { .events = EPOLLIN | EPOLLOUT | (stress_one_in(2) ? EPOLLET : 0) };

	if (stress_one_in(4))
		return epoll_ctl(c->epoll, EPOLL_CTL_DEL, any(c), NULL);
	if (stress_one_in(2))
		return epoll_ctl(c->epoll, EPOLL_CTL_ADD, any(c), &ev);
	return epoll_wait(c->epoll, &ev, 1, stress_below(3));
}

static intmax_t do_ioctl(void *arg)
{
	static const int requests[] = { FIONREAD, SIOCOUTQ, SIOCOUTQNSD, SIOCATMARK };
	int value;

	return ioctl(any(arg), requests[stress_below(NR_OF(requests))], &value);
}

static intmax_t do_getsockopt(void *arg)
{
	static const struct { int level, name; } options[] = {
		{ SOL_TLS, TLS_TX }, { SOL_TLS, TLS_RX }, { SOL_TLS, ITLS_INFO },
		{ SOL_TLS, ITLS_LISTEN }, { IPPROTO_TCP, TCP_INFO }, { IPPROTO_TCP, TCP_ULP },
		{ SOL_SOCKET, SO_ERROR }, { SOL_SOCKET, SO_MEMINFO },
	};
	size_t i = stress_below(NR_OF(options));
	struct itls_info info;
	socklen_t len = sizeof(info);

	if (options[i].level == SOL_TLS && options[i].name <= TLS_RX)
		len = stress_one_in(2) ? sizeof(struct tls_crypto_info) :
					 sizeof(struct tls12_crypto_info_aes_gcm_128);
	return getsockopt(any(arg), options[i].level, options[i].name, &info, &len);
}

/* ---- changing -------------------------------------------------------------------------- */

static intmax_t do_setsockopt(void *arg)
{
	static const struct { int level, name, max; } options[] = {
		{ IPPROTO_TCP, TCP_NODELAY, 2 }, { IPPROTO_TCP, TCP_CORK, 2 },
		{ IPPROTO_TCP, TCP_NOTSENT_LOWAT, 40000 }, { IPPROTO_TCP, TCP_QUICKACK, 2 },
		{ SOL_SOCKET, SO_SNDBUF, 300000 }, { SOL_SOCKET, SO_RCVBUF, 300000 },
		{ SOL_SOCKET, SO_RCVLOWAT, 30000 }, { SOL_SOCKET, SO_KEEPALIVE, 2 },
		{ SOL_TLS, TLS_TX_ZEROCOPY_RO, 2 }, { SOL_TLS, TLS_RX_EXPECT_NO_PAD, 2 },
	};
	size_t i = stress_below(NR_OF(options));
	int value = stress_below(options[i].max);

	return setsockopt(any(arg), options[i].level, options[i].name, &value, sizeof(value));
}

static intmax_t do_payload(void *arg)
{
	uint16_t len = stress_below(REC_MAX + 100);

	return setsockopt(any(arg), SOL_TLS, ITLS_TX_MAX_PAYLOAD_LEN, &len, sizeof(len));
}

static intmax_t do_attach(void *arg)
{
	return stress_one_in(4) ? listener_attach(any(arg)) : ulp_attach(any(arg));
}

/* The key that fits, or that of some later generation. */
static intmax_t do_key(void *arg)
{
	const struct chaos_slot *s = any_slot(arg);
	bool tx = stress_one_in(2);

	return rekey_set(s->fd, tx ? TLS_TX : TLS_RX, tx ? s->tx : s->rx,
			 stress_one_in(2) ? 0 : stress_below(4));
}

/* Not always, or there would be no program with its own keys. */
static intmax_t do_autonomous(void *arg)
{
	const struct chaos_slot *s = any_slot(arg);
	struct itls_autonomous a;

	if (ulp_is_intree() || !stress_one_in(4))
		return 0;
	autonomous_init(&a, stress_one_in(2) ? ITLS_ROLE_SERVER : ITLS_ROLE_CLIENT, s->tx, s->rx);
	a.rekey_records = stress_one_in(2) ? 1 + stress_below(4) : 0;
	return autonomous_set(s->fd, &a);
}

static intmax_t do_connect(void *arg)
{
	struct itls_connect c;

	if (ulp_is_intree() || !stress_one_in(4))
		return 0;
	connect_init(&c, "default", "server.test");
	if (stress_one_in(2)) {
		c.ca = (uintptr_t)room();
		c.ca_len = stress_size(ITLS_PEM_MAX);
	}
	return connect_set(any(arg), &c);
}

/* A KeyUpdate of the program's; autonomous sockets refuse it. */
static intmax_t do_key_update(void *arg)
{
	const struct chaos_slot *s = any_slot(arg);
	intmax_t n = send_typed(s->fd, key_update, sizeof(key_update), REC_HANDSHAKE,
				flags(MSG_DONTWAIT, 0));
	union peer_info next = *s->tx;

	if (n != sizeof(key_update) || !peer_secret_len(&next))
		return n;
	peer_info_update(&next);
	return key_set(s->fd, TLS_TX, &next);
}

static intmax_t do_shutdown(void *arg)
{
	/* Not always, or nothing would be open for long. */
	return stress_one_in(8) ? shutdown(any(arg), stress_below(3)) : 0;
}

static intmax_t do_dup(void *arg)
{
	int fd = dup(any(arg));

	return fd < 0 ? fd : close(fd);
}

static intmax_t do_disconnect(void *arg)
{
	struct sockaddr unspec = { .sa_family = AF_UNSPEC };

	return stress_one_in(8) ? connect(any(arg), &unspec, sizeof(unspec)) : 0;
}

static intmax_t do_linger(void *arg)
{
	struct linger linger = { .l_onoff = stress_below(2) };

	return setsockopt(any(arg), SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
}

static intmax_t do_listen(void *arg)
{
	return stress_one_in(8) ? listen(any(arg), 1) : 0;
}

static intmax_t do_accept(void *arg)
{
	int fd = accept4(any(arg), NULL, NULL, SOCK_CLOEXEC);

	return fd < 0 ? fd : close(fd);
}

/*
 * What any call finds on a connection that ended: the other end's reset, a
 * record that was wrong (kTLS keeps that as the socket's error too), no
 * connection at all, or what an agent said of a client (ENOENT: no profile).
 */
#define ENDED	ECONNRESET, EPIPE, ENOTCONN, ECONNABORTED, ETIMEDOUT, EBADMSG, EMSGSIZE, EINVAL, EPROTO, \
		ENOENT

static struct stress_op ops[] = {
	STRESS_OP("recv", do_recv, EAGAIN, EIO, EKEYEXPIRED, ENDED),
	STRESS_OP("peek", do_peek, EAGAIN, EIO, EKEYEXPIRED, ENDED),
	STRESS_OP("recvmsg", do_recvmsg, EAGAIN, EIO, EKEYEXPIRED, ENDED),
	STRESS_OP("splice from", do_splice_from, EAGAIN, EKEYEXPIRED, ENDED),
	STRESS_OP("send", do_send, EAGAIN, ENDED),
	/* EPERM: a managed socket has no record types. */
	STRESS_OP("sendmsg", do_sendmsg, EAGAIN, EPERM, ENDED),
	STRESS_OP("sendfile", do_sendfile, EAGAIN, ENDED),
	STRESS_OP("splice to", do_splice_to, EAGAIN, ENDED),
	STRESS_OP("poll", do_poll),
	STRESS_OP("epoll", do_epoll, EEXIST, ENOENT),
	/* Listeners have no queue to ask about. */
	STRESS_OP("ioctl", do_ioctl, EINVAL),
	/* EBUSY: no key. ENOPROTOOPT, EOPNOTSUPP: no ULP. EPERM: managed, so no key for anybody. */
	STRESS_OP("getsockopt", do_getsockopt, EBUSY, EINVAL, EPERM, ENOPROTOOPT, EOPNOTSUPP),
	STRESS_OP("setsockopt", do_setsockopt, EBUSY, EINVAL, EPERM, ENOPROTOOPT, ENOTCONN),
	STRESS_OP("payload", do_payload, EBUSY, EINVAL, EPERM, ENOPROTOOPT, ENOTCONN),
	STRESS_OP("attach", do_attach, EEXIST, EINVAL, ENOTCONN, EBUSY),
	STRESS_OP("key", do_key, EBUSY, EINVAL, EPERM, EKEYREJECTED, ENOPROTOOPT, ENOTCONN),
	/* EKEYREJECTED: its keys are of a later generation. */
	STRESS_OP("autonomous", do_autonomous, EBUSY, EINVAL, EPERM, EKEYREJECTED, ENOPROTOOPT,
		  ENOTCONN),
	/* Of one who waits, or failed: what the handshake ended with. */
	STRESS_OP("client", do_connect, EBUSY, EALREADY, EISCONN, EINPROGRESS, ENOPROTOOPT, EACCES,
		  EKEYREJECTED, ENDED),
	STRESS_OP("KeyUpdate", do_key_update, EAGAIN, EBUSY, EPERM, EKEYREJECTED, ENOPROTOOPT,
		  ENDED),
	STRESS_OP("shutdown", do_shutdown, ENOTCONN),
	STRESS_OP("dup", do_dup),
	STRESS_OP("disconnect", do_disconnect, EOPNOTSUPP),
	STRESS_OP("linger", do_linger),
	STRESS_OP("listen", do_listen, EINVAL, EADDRINUSE),
	STRESS_OP("accept from", do_accept, EINVAL, EAGAIN, ECONNABORTED),
};

bool chaos_any(struct chaos *c)
{
	return stress_any(ops, NR_OF(ops), c);
}

/* ---- from outside ---------------------------------------------------------------------- */

struct pick {
	uint32_t id;
	int seen;
};

static int pick_one(const struct itls_nl_session *s, void *arg)
{
	struct pick *pick = arg;

	if (stress_one_in(++pick->seen))
		pick->id = s->id;
	return 0;
}

void chaos_rekey(struct itls_nl *nl)
{
	struct pick pick = {};
	int err;

	stress_doing("REKEY");
	err = itls_nl_sessions(nl, pick_one, &pick);
	if (err || !pick.seen)
		return;
	err = itls_nl_rekey(nl, pick.id, stress_one_in(2));
	errno = -err;
	stress_check("REKEY", err ? -1 : 0, ERRNOS(ESRCH, EOPNOTSUPP));
}

void chaos_tell(void)
{
	stress_tell(ops, NR_OF(ops));
}
