/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The body of a response: from the connection into the sink, by splice()
 * where that is possible.
 */
#ifndef ITLSCTL_BODY_H
#define ITLSCTL_BODY_H

#include "conn.h"
#include "progress.h"
#include "sink.h"

/* Moves the body that @head announces.  progress->got says how much came. */
int body_move(struct conn *conn, struct sink *sink, struct progress *progress,
	      const struct http_head *head, struct ctl_error *e);

#endif
