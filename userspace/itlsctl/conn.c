// SPDX-License-Identifier: GPL-2.0
/*
 * Sending and reading on a connection of get, and what failures of it mean.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "conn.h"

void conn_close(struct conn *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
}

int conn_wait(const struct conn *c, short events)
{
	struct pollfd p = { .fd = c->fd, .events = events };
	int n;

	do
		n = poll(&p, 1, c->timeout_ms);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return n ? 0 : -ETIMEDOUT;
}

int conn_send(struct conn *c, const char *data, size_t len)
{
	ssize_t n;
	int err;

	while (len) {
		n = send(c->fd, data, len, MSG_NOSIGNAL);
		if (n < 0 && errno == EAGAIN) {
			err = conn_wait(c, POLLOUT);
			if (err)
				return err;
			continue;
		}
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			data += n;
			len -= n;
		}
	}
	return 0;
}

void conn_drop(struct conn *c, size_t n)
{
	c->at += n;
	c->len -= n;
	if (!c->len)
		c->at = 0;
}

/* Poll may promise what turns out to be no data. */
ssize_t conn_fill(struct conn *c)
{
	ssize_t n;
	int err;

	memmove(c->buf, c->buf + c->at, c->len);
	c->at = 0;
	if (c->len == sizeof(c->buf))
		return -ENOBUFS;
	for (;;) {
		n = recv(c->fd, c->buf + c->len, sizeof(c->buf) - c->len, 0);
		if (n >= 0)
			break;
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
		err = conn_wait(c, POLLIN);
		if (err)
			return err;
	}
	c->len += n;
	return n;
}

const char *conn_alert_advice(unsigned int alert)
{
	switch (alert) {
	case 40:	/* handshake_failure */
	case 42:	/* bad_certificate */
	case 50:	/* decode_error: what GnuTLS's servers say in TLS 1.2 when they miss one */
	case 116:	/* certificate_required */
		return ": if it wants a client certificate, give one that it accepts with --cert and --key";
	case 43:
	case 44:
	case 45:
	case 46:
	case 48:	/* unknown_ca */
	case 49:	/* access_denied */
		return ": it does not accept the client certificate: check --cert";
	case 70:	/* protocol_version */
		return ": it has no TLS version in common with the client profile (min_version in itlsd.conf(5))";
	case 112:	/* unrecognized_name */
		return ": it serves no host of that name";
	case 120:	/* no_application_protocol */
		return ": it knows no protocol of the client profile's 'alpn' in itlsd.conf(5)";
	default:
		return "";
	}
}

static bool was_alerted(const struct conn *c, struct itls_info *info)
{
	return !itls_info(c->fd, info, sizeof(*info)) && info->alert_rx &&
	       info->alert_rx != ITLS_ALERT_NONE;
}

int conn_explain(const struct conn *c, int err, struct ctl_error *e)
{
	struct itls_info info;
	const char *alert;

	if (err == -ETIMEDOUT)
		return ctl_error_set(e, -err, "%s: nothing moved for %d seconds: try again, or wait longer with --timeout",
				     c->name, c->timeout_ms / 1000);
	if (was_alerted(c, &info)) {
		alert = itls_alert_name(info.alert_rx);
		return ctl_error_set(e, -err, "%s ended the connection with TLS alert %u (%s)%s",
				     c->name, info.alert_rx, alert ? alert : "unknown",
				     conn_alert_advice(info.alert_rx));
	}
	switch (-err) {
	case ECONNRESET:
	case EPIPE:
		return ctl_error_set(e, -err, "%s: the connection was cut before its TLS end (close_notify): what came is not complete",
				     c->name);
	case EBADMSG:
	case EMSGSIZE:
	case EPROTO:
		return ctl_error_set(e, -err, "%s: what came was damaged or forged on the way, or is not TLS (%s)",
				     c->name, strerror(-err));
	default:
		return ctl_error_set(e, -err, "%s: the connection failed: %s", c->name,
				     strerror(-err));
	}
}
