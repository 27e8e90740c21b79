/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One connection of get: a socket that is TLS by itls, and bytes that were
 * read from it ahead of need.  Non-blocking; every wait has a limit.
 */
#ifndef ITLSCTL_CONN_H
#define ITLSCTL_CONN_H

#include "../libitls/itls.h"
#include "ctl.h"
#include "http.h"
#include "pem.h"

struct conn_options {
	const char *profile;	/* NULL: the default one */
	struct pem ca, cert, key;
	int timeout_ms;		/* of each wait: nothing moved for so long */
};

struct conn {
	int fd;			/* -1: none */
	int timeout_ms;
	char name[HTTP_HOST_MAX + 80]; /* "host (address:port)" */
	char peer[64];		/* "address:port" */
	struct itls_info info;	/* of the handshake; if it failed: verify */
	size_t at, len;		/* what buf holds */
	char buf[HTTP_HEAD_MAX];
};

/* Connects, and makes it TLS.  The caller closes, after failure too. */
int conn_open(struct conn *c, const struct http_url *url, const struct conn_options *o,
	      struct ctl_error *e);
void conn_close(struct conn *c);

/* Waits for poll's @events.  -ETIMEDOUT: nothing came. */
int conn_wait(const struct conn *c, short events);
int conn_send(struct conn *c, const char *data, size_t len);
/* Reads more into the buffer: how much, 0 at the end, or -errno. */
ssize_t conn_fill(struct conn *c);
/* @n bytes of the buffer were used. */
void conn_drop(struct conn *c, size_t n);

/* What it means that sending or reading failed with -@err. */
int conn_explain(const struct conn *c, int err, struct ctl_error *e);
/* What to do about an alert from the server; "" for most. */
const char *conn_alert_advice(unsigned int alert);

#endif
