/* SPDX-License-Identifier: GPL-2.0 */
/* Tickets of TLS 1.3 that come after the handshake, when the kernel reads. */
#ifndef ITLSD_TICKET_H
#define ITLSD_TICKET_H

#include <stddef.h>

#include <gnutls/gnutls.h>

struct channel;

/*
 * Lets @session read a NewSessionTicket, with its header, as if it had come in
 * a record of its own.  @channel must be detached.  0: GnuTLS has the ticket;
 * -EPROTO: it is none, -EIO: @session is of no more use.
 */
int ticket_read(gnutls_session_t session, struct channel *channel, const void *message, size_t len);

#endif
