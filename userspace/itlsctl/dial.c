// SPDX-License-Identifier: GPL-2.0
/*
 * Opening a connection of get: look the name up, connect to the first address
 * that answers, make it TLS by ITLS_CONNECT, and say what went wrong.
 */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "conn.h"

static int lookup(const struct http_url *url, struct addrinfo **list, struct ctl_error *e)
{
	struct addrinfo hints = {
		.ai_socktype = SOCK_STREAM,
		.ai_flags = AI_NUMERICSERV | (url->ipv6 ? AI_NUMERICHOST : 0),
	};
	char port[8];
	int err;

	snprintf(port, sizeof(port), "%u", url->port);
	err = getaddrinfo(url->host, port, &hints, list);
	if (!err)
		return 0;
	return ctl_error_set(e, EHOSTUNREACH, "cannot find the address of %s: %s: check the name, and that this machine has a name server",
			     url->host, gai_strerror(err));
}

static void name_peer(struct conn *c, const struct http_url *url, const struct addrinfo *ai)
{
	struct sockaddr_storage ss = { 0 };

	memcpy(&ss, ai->ai_addr, ai->ai_addrlen);
	ctl_addr(c->peer, sizeof(c->peer), &ss);
	snprintf(c->name, sizeof(c->name), "%s (%s)", url->host, c->peer);
}

/* TCP only; the descriptor is in @c when that succeeds. */
static int try_address(struct conn *c, const struct addrinfo *ai)
{
	socklen_t len = sizeof(int);
	int err = 0;

	c->fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP);
	if (c->fd < 0)
		return -errno;
	if (connect(c->fd, ai->ai_addr, ai->ai_addrlen))
		err = -errno;
	if (err == -EINPROGRESS)
		err = conn_wait(c, POLLOUT);
	if (!err && getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &len))
		err = errno;
	if (!err)
		return 0;
	conn_close(c);
	return err < 0 ? err : -err;
}

static int connect_tcp(struct conn *c, const struct http_url *url, struct ctl_error *e)
{
	struct addrinfo *list, *ai;
	unsigned int tried = 0;
	int err;

	err = lookup(url, &list, e);
	if (err)
		return err;
	err = -EHOSTUNREACH;
	for (ai = list; ai; ai = ai->ai_next, tried++) {
		name_peer(c, url, ai);
		err = try_address(c, ai);
		if (!err)
			break;
	}
	freeaddrinfo(list);
	if (!err)
		return 0;
	return ctl_error_set(e, -err, "cannot connect to %s%s: %s: check that a server runs there and that no firewall is between",
			     c->name, tried > 1 ? " nor to its other addresses" : "", strerror(-err));
}

/* What to do when the server's certificate was refused. */
static const char *verify_advice(unsigned int verify)
{
	switch (verify) {
	case ITLS_VERIFY_ISSUER:
		return "if you trust who issued it, give that authority's certificate with --ca FILE";
	case ITLS_VERIFY_EXPIRED:
	case ITLS_VERIFY_NOT_YET:
		return "check this machine's clock ('date'); if it is right, the server needs another certificate";
	case ITLS_VERIFY_NAME:
		return "use the name that the certificate has, if that is the server you mean";
	case ITLS_VERIFY_REVOKED:
		return "do not use this server until it has a new one";
	default:
		return "the server needs another certificate";
	}
}

static int explain_refused(struct conn *c, struct ctl_error *e)
{
	char subject[4 * ITLS_SUBJECT_MAX + 1] = "";
	const char *text = NULL;

	if (!itls_info(c->fd, &c->info, sizeof(c->info)) && c->info.verify > ITLS_VERIFY_OK) {
		text = itls_verify_text(c->info.verify);
		ctl_escape(subject, sizeof(subject), c->info.peer_subject);
	}
	if (!text)
		return ctl_error_set(e, EKEYREJECTED, "%s: the server's certificate was refused: the log of itlsd(8) says why",
				     c->name);
	return ctl_error_set(e, EKEYREJECTED, "%s: the server's certificate was refused: %s%s%.200s: %s",
			     c->name, text, *subject ? ", subject " : "", subject,
			     verify_advice(c->info.verify));
}

/* The module is absent, or the profile is. */
static int explain_absent(const struct conn *c, const char *profile, struct ctl_error *e)
{
	struct itls_info info;

	if (itls_info(c->fd, &info, sizeof(info)))
		return ctl_error_set(e, ENOENT, "kernel module itls is not loaded: run 'modprobe itls'");
	return ctl_error_set(e, ENOENT, "itlsd has no client profile '%s': add [client %s] to itlsd.conf(5), or give another --profile",
			     profile, profile);
}

static int explain_failed(const struct conn *c, int err, struct ctl_error *e)
{
	unsigned int alert = ITLS_ALERT_NONE;
	struct itls_info info;
	const char *name;

	if (!itls_info(c->fd, &info, sizeof(info)))
		alert = info.alert_rx;
	name = itls_alert_name(alert);
	if (alert != ITLS_ALERT_NONE)
		return ctl_error_set(e, err, "%s refused the handshake with TLS alert %u (%s)%s",
				     c->name, alert, name ? name : "unknown",
				     conn_alert_advice(alert));
	if (err == ECONNRESET)
		return ctl_error_set(e, err, "%s ended the connection during the handshake: does it speak TLS on this port?",
				     c->name);
	return ctl_error_set(e, err, "%s: the TLS handshake failed: the server does not speak TLS on this port, or has no version and cipher that the client profile allows: the log of itlsd(8) says more",
			     c->name);
}

static int explain(struct conn *c, int err, const char *profile, struct ctl_error *e)
{
	switch (err) {
	case EKEYREJECTED:
		return explain_refused(c, e);
	case ENOENT:
		return explain_absent(c, profile, e);
	case EPROTO:
	case ECONNRESET:
		return explain_failed(c, err, e);
	case EACCES:
		return ctl_error_set(e, err, "client profile '%s' is not for this user: ask for an entry in its 'owners' in itlsd.conf(5), or give another --profile",
				     profile);
	case EINPROGRESS:
	case ETIMEDOUT:
		return ctl_error_set(e, ETIMEDOUT, "%s: the TLS handshake took too long: try again, or wait longer with --timeout",
				     c->name);
	case ECONNABORTED:
		return ctl_error_set(e, err, "%s: nobody made the TLS handshake: 'itlsctl doctor' tells whether itlsd runs, its log what it met",
				     c->name);
	case ENOPROTOOPT:
		return ctl_error_set(e, err, "the loaded itls module knows no client sockets: load the module that came with this itlsctl");
	case EINVAL:
		return ctl_error_set(e, err, "%s: this name, or what --ca, --cert or --key names, is of no use: check them; the log of itlsd says which it was",
				     c->name);
	default:
		return ctl_error_set(e, err, "%s: cannot make the connection TLS: %s", c->name, strerror(err));
	}
}

static int start_tls(struct conn *c, const struct http_url *url, const struct conn_options *o,
		     struct ctl_error *e)
{
	struct itls_client client = {
		.profile = o->profile,
		.server_name = url->host,
		.ca = o->ca.data, .ca_len = o->ca.len,
		.cert = o->cert.data, .cert_len = o->cert.len,
		.key = o->key.data, .key_len = o->key.len,
	};
	int err;

	err = itls_connect(c->fd, &client, sizeof(client));
	if (err == -EINPROGRESS)
		do
			err = itls_connect_wait(c->fd, c->timeout_ms);
		while (err == -EINTR);
	if (!err)
		err = itls_info(c->fd, &c->info, sizeof(c->info));
	return err ? explain(c, -err, o->profile ? o->profile : "default", e) : 0;
}

int conn_open(struct conn *c, const struct http_url *url, const struct conn_options *o,
	      struct ctl_error *e)
{
	int err;

	*c = (struct conn){ .fd = -1, .timeout_ms = o->timeout_ms };
	err = connect_tcp(c, url, e);
	return err ? err : start_tls(c, url, o, e);
}
