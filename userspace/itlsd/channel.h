/* SPDX-License-Identifier: GPL-2.0 */
/* The bytes of a handshake: between GnuTLS and a non-blocking descriptor. */
#ifndef ITLSD_CHANNEL_H
#define ITLSD_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <gnutls/gnutls.h>

/* Embedded by its owner, zeroed before; must not move once attached. */
struct channel {
	gnutls_session_t session;
	int fd;			/* the owner's */
	bool eof;		/* the peer sent FIN */
	int io_err;		/* of the descriptor, positive */
	size_t step_read;
	size_t total_read;
	uint8_t *out;		/* unsent output */
	size_t out_len;
	size_t out_off;
};

void channel_attach(struct channel *c, gnutls_session_t session, int fd);
/* Begins a step: so many bytes may be read again. */
void channel_step(struct channel *c);
/* Writes what waits.  0, -EAGAIN, or the error that is in io_err as well. */
int channel_flush(struct channel *c);
/* Output waits for the descriptor. */
bool channel_is_full(const struct channel *c);
void channel_clear(struct channel *c);

#endif
