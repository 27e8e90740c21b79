// SPDX-License-Identifier: GPL-2.0
/*
 * The transport functions of GnuTLS over a non-blocking descriptor.
 *
 * Output: GnuTLS hands over whole flights; what the descriptor does not take
 * is kept here, so GnuTLS never sees a short write.
 *
 * Input: GnuTLS reads one record header, then one body, and nothing ahead; what
 * follows the peer's Finished stays in the kernel.  Both a step and the whole
 * handshake read a bounded number of bytes: one peer cannot hold the loop, nor
 * feed us without end.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "channel.h"

#define CHANNEL_STEP_MAX	(32 * 1024)	/* bytes read in one step */
#define CHANNEL_READ_MAX	(256 * 1024)	/* and in all */
#define CHANNEL_WRITE_MAX	(256 * 1024)	/* unsent output */

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

static int out_append(struct channel *c, const uint8_t *data, size_t len)
{
	uint8_t *grown;

	if (c->out_len + len > CHANNEL_WRITE_MAX)
		return -ENOBUFS;
	grown = realloc(c->out, c->out_len + len);
	if (!grown)
		return -ENOMEM;
	memcpy(grown + c->out_len, data, len);
	c->out = grown;
	c->out_len += len;
	return 0;
}

/* Keeps what is left of @iov after its first @sent bytes. */
static int out_keep(struct channel *c, const giovec_t *iov, int count, size_t sent)
{
	int i, err;

	for (i = 0; i < count; i++) {
		size_t skip = sent < iov[i].iov_len ? sent : iov[i].iov_len;

		sent -= skip;
		if (skip == iov[i].iov_len)
			continue;
		err = out_append(c, (const uint8_t *)iov[i].iov_base + skip, iov[i].iov_len - skip);
		if (err)
			return err;
	}
	return 0;
}

static ssize_t channel_push(gnutls_transport_ptr_t ptr, const giovec_t *iov, int count)
{
	struct channel *c = ptr;
	size_t total = 0;
	ssize_t put = 0;
	int i, err;

	if (c->fd < 0) {
		gnutls_transport_set_errno(c->session, EIO);
		return -1;
	}
	for (i = 0; i < count; i++)
		total += iov[i].iov_len;
	if (c->out_len == 0) {
		do {
			put = writev(c->fd, iov, count);
		} while (put < 0 && errno == EINTR);
		if (put < 0 && errno != EAGAIN) {
			c->io_err = errno;
			gnutls_transport_set_errno(c->session, EIO);
			return -1;
		}
	}
	err = out_keep(c, iov, count, put > 0 ? put : 0);
	if (err) {
		c->io_err = -err;
		gnutls_transport_set_errno(c->session, EIO);
		return -1;
	}
	return total;
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

static ssize_t channel_pull(gnutls_transport_ptr_t ptr, void *data, size_t len)
{
	struct channel *c = ptr;
	ssize_t got;

	if (c->fd < 0)
		return pull_feed(c, data, len);
	if (c->total_read >= CHANNEL_READ_MAX)
		return pull_error(c, EPROTO);
	if (c->step_read >= CHANNEL_STEP_MAX)
		return pull_error(c, EAGAIN); /* the rest is still readable: the loop calls again */
	do {
		got = read(c->fd, data, len);
	} while (got < 0 && errno == EINTR);
	if (got < 0)
		return pull_error(c, errno);
	c->eof = got == 0; /* inside a record GnuTLS calls it a bad length */
	c->step_read += got;
	c->total_read += got;
	return got;
}

/* GnuTLS asks only where it would wait, and nothing here may wait. */
static int channel_pull_timeout(gnutls_transport_ptr_t ptr, unsigned int ms)
{
	struct channel *c = ptr;
	struct pollfd pfd = { .fd = c->fd, .events = POLLIN };

	(void)ms;
	if (c->fd < 0)
		return c->feed_len > 0;
	return poll(&pfd, 1, 0);
}

/* Life */

void channel_attach(struct channel *c, gnutls_session_t session, int fd)
{
	c->session = session;
	c->fd = fd;
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

void channel_clear(struct channel *c)
{
	free(c->out);
	memset(c, 0, sizeof(*c));
}
