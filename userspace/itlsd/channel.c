// SPDX-License-Identifier: GPL-2.0
/*
 * The transport functions of GnuTLS over a non-blocking descriptor.  System
 * calls are few, since they are most of what a handshake costs beside its
 * arithmetic:
 *
 * Output is gathered and written when GnuTLS wants to read or is done: a flight
 * is one write, mostly one segment.  What the descriptor does not take
 * is kept, so GnuTLS never sees a short write.
 *
 * Input: GnuTLS asks for one record header, then one body, and nothing ahead.
 * What follows the peer's Finished must stay in the kernel, so only a server
 * reads ahead, and only what is sure to belong to the handshake: before
 * its own first flight anything, later what the shortest flight with a Finished has.
 * Right behind output there is nothing to read yet: the loop calls again.
 *
 * Both a step and the whole handshake read a bounded number of bytes: one peer
 * cannot hold the loop, nor feed us without end.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "channel.h"

#define CHANNEL_STEP_MAX	(32 * 1024)	/* bytes read in one step */
#define CHANNEL_READ_MAX	(256 * 1024)	/* and in all */
#define CHANNEL_WRITE_MAX	(256 * 1024)	/* unsent output */
#define CHANNEL_WRITE_MIN	2048		/* room for it, at first: most flights */

/*
 * The shortest flight that ends a client's handshake, of TLS 1.2 with ChaCha20:
 * ChangeCipherSpec (5 + 1) and Finished (5 + 4 + 12 + a tag of 16).
 */
#define CHANNEL_TAIL	43

/* Output */

int channel_flush(struct channel *c)
{
	ssize_t put;

	while (c->out_off < c->out_len) {
		put = write(c->fd, c->out + c->out_off, c->out_len - c->out_off);
		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0 && errno == EAGAIN)
			return -EAGAIN;
		if (put < 0) {
			c->io_err = errno;
			return -errno;
		}
		c->out_off += put;
	}
	c->out_off = 0;
	c->out_len = 0;
	return 0;
}

static int out_room(struct channel *c, size_t len)
{
	size_t size = c->out_size ? c->out_size : CHANNEL_WRITE_MIN;
	uint8_t *grown;

	if (len > CHANNEL_WRITE_MAX - c->out_len)
		return -ENOBUFS;
	while (size < c->out_len + len)
		size *= 2;
	if (size == c->out_size)
		return 0;
	grown = realloc(c->out, size);
	if (!grown)
		return -ENOMEM;
	c->out = grown;
	c->out_size = size;
	return 0;
}

static int out_append(struct channel *c, const giovec_t *iov, int count)
{
	int i, err;

	for (i = 0; i < count; i++) {
		err = out_room(c, iov[i].iov_len);
		if (err)
			return err;
		memcpy(c->out + c->out_len, iov[i].iov_base, iov[i].iov_len);
		c->out_len += iov[i].iov_len;
	}
	return 0;
}

static ssize_t channel_push(gnutls_transport_ptr_t ptr, const giovec_t *iov, int count)
{
	struct channel *c = ptr;
	size_t before = c->out_len;
	int err;

	if (c->fd < 0) {
		gnutls_transport_set_errno(c->session, EIO);
		return -1;
	}
	err = out_append(c, iov, count);
	if (err) {
		c->io_err = -err;
		gnutls_transport_set_errno(c->session, EIO);
		return -1;
	}
	c->ahead = c->server ? CHANNEL_TAIL : 0;
	return c->out_len - before;
}

/* Input */

static ssize_t pull_error(struct channel *c, int err)
{
	if (err != EAGAIN)
		c->io_err = err;
	gnutls_transport_set_errno(c->session, err == EAGAIN ? EAGAIN : EIO);
	return -1;
}

static ssize_t pull_feed(struct channel *c, void *data, size_t len)
{
	if (!c->feed_len) {
		gnutls_transport_set_errno(c->session, EAGAIN);
		return -1;
	}
	if (len > c->feed_len)
		len = c->feed_len;
	memcpy(data, c->feed, len);
	c->feed += len;
	c->feed_len -= len;
	return len;
}

static ssize_t read_some(struct channel *c, void *data, size_t len)
{
	ssize_t got;

	do {
		got = read(c->fd, data, len);
	} while (got < 0 && errno == EINTR);
	if (got < 0)
		return pull_error(c, errno);
	c->eof = got == 0; /* inside a record GnuTLS calls it a bad length */
	c->step_read += got;
	c->total_read += got;
	if (c->ahead != SIZE_MAX)
		c->ahead -= (size_t)got < c->ahead ? (size_t)got : c->ahead;
	return got;
}

static ssize_t pull_buffered(struct channel *c, void *data, size_t len)
{
	if (len > c->in_len - c->in_off)
		len = c->in_len - c->in_off;
	memcpy(data, c->in + c->in_off, len);
	c->in_off += len;
	return len;
}

static ssize_t channel_pull(gnutls_transport_ptr_t ptr, void *data, size_t len)
{
	struct channel *c = ptr;
	size_t ahead = c->ahead < sizeof(c->in) ? c->ahead : sizeof(c->in);
	ssize_t got;
	int err;

	if (c->fd < 0)
		return pull_feed(c, data, len);
	if (!channel_is_read(c))
		return pull_buffered(c, data, len);
	if (channel_is_full(c)) {
		err = channel_flush(c);
		return pull_error(c, err ? -err : EAGAIN);
	}
	if (c->total_read >= CHANNEL_READ_MAX)
		return pull_error(c, EPROTO);
	if (c->step_read >= CHANNEL_STEP_MAX)
		return pull_error(c, EAGAIN); /* the rest is still readable: the loop calls again */
	if (len >= ahead)
		return read_some(c, data, len);
	got = read_some(c, c->in, ahead);
	if (got <= 0)
		return got;
	c->in_off = 0;
	c->in_len = got;
	return pull_buffered(c, data, len);
}

/* GnuTLS asks only where it would wait, and nothing here may wait. */
static int channel_pull_timeout(gnutls_transport_ptr_t ptr, unsigned int ms)
{
	struct channel *c = ptr;
	struct pollfd pfd = { .fd = c->fd, .events = POLLIN };

	(void)ms;
	if (c->fd < 0)
		return c->feed_len > 0;
	if (!channel_is_read(c))
		return 1;
	channel_flush(c);
	return poll(&pfd, 1, 0);
}

/* Life */

void channel_attach(struct channel *c, gnutls_session_t session, int fd, bool server)
{
	c->session = session;
	c->fd = fd;
	c->server = server;
	c->ahead = server ? SIZE_MAX : 0;
	gnutls_transport_set_ptr(session, c);
	gnutls_transport_set_vec_push_function(session, channel_push);
	gnutls_transport_set_pull_function(session, channel_pull);
	gnutls_transport_set_pull_timeout_function(session, channel_pull_timeout);
}

void channel_detach(struct channel *c)
{
	c->fd = -1;
}

size_t channel_feed(struct channel *c, const void *data, size_t len)
{
	size_t left = c->feed_len;

	c->feed = data;
	c->feed_len = len;
	return left;
}

void channel_step(struct channel *c)
{
	c->step_read = 0;
}

bool channel_is_full(const struct channel *c)
{
	return c->out_len;
}

bool channel_is_read(const struct channel *c)
{
	return c->in_off == c->in_len;
}

void channel_clear(struct channel *c)
{
	free(c->out);
	memset(c, 0, sizeof(*c));
}
