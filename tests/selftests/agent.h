/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A handshake agent that does no handshake: it accepts requests and hands the
 * kernel fixed keys, so that tests of managed sockets need no daemon and no
 * certificate.
 */
#ifndef SELFTEST_AGENT_H
#define SELFTEST_AGENT_H

#include "nl.h"
#include "peer.h"

#define AGENT_TICKETS 16

struct agent {
	struct itls_nl *nl;
	/* Those that came to it, in their order; not moved while it is open. */
	int tickets;
	struct agent_ticket {
		uint32_t id;
		size_t len;
		uint8_t *message;
	} ticket[AGENT_TICKETS];
};

/* Registers; failure ends the test. */
void agent_open(struct agent *agent);
void agent_close(struct agent *agent);
/* Waits until so many tickets have come. */
void agent_wait_tickets(struct agent *agent, int nr);
/* Waits for a request.  The caller closes req->fd. */
void agent_accept(struct agent *agent, struct itls_nl_request *req);
/* Fills in success with these keys and, of TLS 1.3, their secrets; the caller may add to it before itls_nl_done(). */
void agent_done_init(struct itls_nl_done *done, uint32_t id, const union peer_info *tx,
		     const union peer_info *rx);
/* DONE with keys; 0 or -errno.  The channel stays open. */
int agent_done(struct agent *agent, uint32_t id, const union peer_info *tx,
	       const union peer_info *rx);
/* DONE with a failure; 0 or -errno. */
int agent_fail(struct agent *agent, uint32_t id, int status);
/* DONE, and the channel is closed. */
void agent_finish(struct agent *agent, struct itls_nl_request *req,
		  const struct itls_nl_done *done);
/* Takes one request all the way. */
void agent_establish(struct agent *agent, const union peer_info *tx, const union peer_info *rx);

#endif
