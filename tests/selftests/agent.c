// SPDX-License-Identifier: GPL-2.0
/* The agent without a handshake; see agent.h. */
#define _GNU_SOURCE
#include "agent.h"

#include <poll.h>

#include "harness.h"
#include "sock.h"

static void take_ticket(uint32_t id, const void *message, size_t len, void *arg)
{
	struct agent *agent = arg;
	struct agent_ticket *t = &agent->ticket[agent->tickets++];

	ASSERT_LE(agent->tickets, AGENT_TICKETS);
	*t = (struct agent_ticket){ .id = id, .len = len, .message = malloc(len + 1) };
	ASSERT_TRUE(t->message);
	memcpy(t->message, message, len);
}

void agent_open(struct agent *agent)
{
	int err;

	memset(agent, 0, sizeof(*agent));
	err = itls_nl_open(&agent->nl);
	if (!err) {
		itls_nl_on_ticket(agent->nl, take_ticket, agent);
		err = itls_nl_agent(agent->nl);
	}
	if (err) {
		test_fail(__FILE__, __LINE__, "agent: %s",
			  agent->nl ? itls_nl_error(agent->nl) : strerror(-err));
		test_abort();
	}
}

void agent_close(struct agent *agent)
{
	if (agent->nl)
		itls_nl_close(agent->nl);
	agent->nl = NULL;
	while (agent->tickets)
		free(agent->ticket[--agent->tickets].message);
}

void agent_wait_tickets(struct agent *agent, int nr)
{
	int64_t end = sock_now_ms() + test_wait_ms();

	for (itls_nl_drain(agent->nl); agent->tickets < nr; itls_nl_drain(agent->nl)) {
		if (sock_now_ms() > end) {
			test_fail(__FILE__, __LINE__, "%d tickets came, not %d", agent->tickets, nr);
			test_abort();
		}
		sock_poll(itls_nl_ticket_fd(agent->nl), POLLIN, test_wait_ms());
	}
}

void agent_accept(struct agent *agent, struct itls_nl_request *req)
{
	int64_t end = sock_now_ms() + test_wait_ms();
	int err;

	for (;;) {
		itls_nl_drain(agent->nl);
		err = itls_nl_accept(agent->nl, req);
		if (err != -EAGAIN)
			break;
		ASSERT_LT(sock_now_ms(), end);
		sock_poll(itls_nl_fd(agent->nl), POLLIN, test_wait_ms());
	}
	if (err) {
		test_fail(__FILE__, __LINE__, "accept: %s", itls_nl_error(agent->nl));
		test_abort();
	}
	ASSERT_LE(0, req->fd);
}

void agent_done_init(struct itls_nl_done *done, uint32_t id, const union peer_info *tx,
		     const union peer_info *rx)
{
	*done = (struct itls_nl_done){
		.id = id,
		.tx = tx, .tx_len = peer_info_size(tx),
		.rx = rx, .rx_len = peer_info_size(rx),
		.alert_tx = -1, .alert_rx = -1,
	};
	if (!peer_secret_len(tx))
		return;
	done->secret_len = peer_secret_len(tx);
	done->tx_secret = tx->secret;
	done->rx_secret = rx->secret;
}

int agent_done(struct agent *agent, uint32_t id, const union peer_info *tx,
	       const union peer_info *rx)
{
	struct itls_nl_done done;

	agent_done_init(&done, id, tx, rx);
	return itls_nl_done(agent->nl, &done);
}

int agent_fail(struct agent *agent, uint32_t id, int status)
{
	struct itls_nl_done done = {
		.id = id, .status = status, .alert_tx = -1, .alert_rx = -1,
	};

	return itls_nl_done(agent->nl, &done);
}

void agent_finish(struct agent *agent, struct itls_nl_request *req,
		  const struct itls_nl_done *done)
{
	ASSERT_EQ(0, itls_nl_done(agent->nl, done));
	close(req->fd);
	itls_nl_request_wipe(req);
}

void agent_establish(struct agent *agent, const union peer_info *tx, const union peer_info *rx)
{
	struct itls_nl_request req;

	agent_accept(agent, &req);
	ASSERT_EQ(0, agent_done(agent, req.id, tx, rx));
	close(req.fd);
}
