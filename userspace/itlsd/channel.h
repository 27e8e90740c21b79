/* SPDX-License-Identifier: GPL-2.0 */
/* The bytes of a handshake: between GnuTLS and a non-blocking descriptor. */
#ifndef ITLSD_CHANNEL_H
#define ITLSD_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <gnutls/gnutls.h>

#define CHANNEL_AHEAD 2048	/* of input: most first flights */

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
	size_t out_size;
	bool server;
	size_t ahead;		/* so much belongs to the handshake for sure, SIZE_MAX: anything */
	size_t in_len;		/* was read ahead */
	size_t in_off;
	const uint8_t *feed;	/* once detached: what there is to read */
	size_t feed_len;
	uint8_t in[CHANNEL_AHEAD];
};

void channel_attach(struct channel *c, gnutls_session_t session, int fd, bool server);
/* Leaves the descriptor alone from now on: nothing can be written. */
void channel_detach(struct channel *c);
/* Gives a detached channel so much to read; returns what was left of the last. */
size_t channel_feed(struct channel *c, const void *data, size_t len);
/* Begins a step: so many bytes may be read again. */
void channel_step(struct channel *c);
/* Writes what waits.  0, -EAGAIN, or the error that is in io_err as well. */
int channel_flush(struct channel *c);
/* Output waits. */
bool channel_is_full(const struct channel *c);
/* All that was read ahead has been used. */
bool channel_is_read(const struct channel *c);
void channel_clear(struct channel *c);

#endif
