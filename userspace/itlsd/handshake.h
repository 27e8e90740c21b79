/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One TLS handshake, of a server or a client, over one non-blocking descriptor.
 * Knows GnuTLS and the descriptor; not where it came from, and no netlink.
 */
#ifndef ITLSD_HANDSHAKE_H
#define ITLSD_HANDSHAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <gnutls/gnutls.h>
#include <linux/itls.h>

#include "keys.h"

struct client_request;
struct handshake;
struct profile;

/* Valid from a step that returned 0 until handshake_free(). */
struct handshake_result {
	union keys tx;			/* what we write */
	union keys rx;
	size_t tx_len;
	size_t rx_len;
	uint8_t tx_secret[ITLS_SECRET_MAX]; /* traffic secrets, TLS 1.3 */
	uint8_t rx_secret[ITLS_SECRET_MAX];
	size_t secret_len;		/* of each, 0: none */
	const char *alpn;		/* NULL: none; the same for sni */
	const char *sni;
	bool resumed;
	const uint8_t *peer_digest;	/* of a certificate that was verified, else NULL */
	const char *peer_subject;	/* the same; NULL as well if too long */
	const uint8_t *prefix;		/* plaintext GnuTLS read too far */
	size_t prefix_len;
};

/* Once per process.  @debug: GnuTLS reports what it does to the log. */
int handshake_setup(bool debug);
/* What GnuTLS asks for the time, in place of time(2). */
void handshake_clock(time_t (*now)(time_t *out));

/* Takes a reference on @profile.  @fd stays the caller's. */
int handshake_new(struct handshake **hp, struct profile *profile, int fd);
/*
 * The same for a client, with a client's profile; its first step writes.
 * Nothing of @req is kept.  -EINVAL: something in it is not fit for use.
 */
int handshake_new_client(struct handshake **hp, struct profile *profile, int fd,
			 const struct client_request *req);
/* Wipes the keys. */
void handshake_free(struct handshake *h);

/*
 * Goes as far as it can.  0: done and all output written.  -EAGAIN: call again
 * when the descriptor is ready for handshake_events().  Any other: failed, and
 * an alert was tried:
 *   -EPROTO      the peer broke the protocol, or refused what we offer
 *   -EKEYREJECTED the peer's certificate was refused, see handshake_verify()
 *   -ECONNRESET  the peer, or the connection, went away
 *   -EIO         it is us: memory, a GnuTLS error
 */
int handshake_step(struct handshake *h);
uint32_t handshake_events(const struct handshake *h);

const struct handshake_result *handshake_result(const struct handshake *h);
/*
 * Of a client that is done: a session to resume later, for datum_wipe().
 * -EAGAIN: it comes with a ticket, later; -ENOENT: none will.
 */
int handshake_session(struct handshake *h, gnutls_datum_t *data);
/* The same from a NewSessionTicket; the descriptor is left alone from then on.  0 or -errno. */
int handshake_ticket(struct handshake *h, const void *message, size_t len, gnutls_datum_t *data);
/* Wipes the result and leaves the descriptor alone from now on; only tickets may still come. */
void handshake_detach(struct handshake *h);
/* The reason of a failure, or what was negotiated; one line. */
const char *handshake_text(struct handshake *h);
/* What became of the peer's certificate, in a failed handshake too. */
enum itls_verify handshake_verify(const struct handshake *h);
/* Alerts of a failed handshake, -1: none. */
int handshake_alert_tx(const struct handshake *h);
int handshake_alert_rx(const struct handshake *h);

#endif
