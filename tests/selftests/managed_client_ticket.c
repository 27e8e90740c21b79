// SPDX-License-Identifier: GPL-2.0
/*
 * Client sockets whose handshake is over: tickets go to the agent that made it
 * and are not seen by the program, and the session needs no agent.
 */
#define _GNU_SOURCE
#include "managed_client.h"

static bool is_13(const struct client_data *self)
{
	return self->tx.info.version == TLS_1_3_VERSION;
}

#define ONLY_13()							\
	do {								\
		if (!is_13(self))					\
			SKIP("TLS 1.2 has its tickets in the handshake"); \
	} while (0)

/* ---- tickets (RFC 8446 4.6.1) ----------------------------------------------------------------- */

/* A NewSessionTicket of len bytes, header included. */
static uint8_t *make_ticket(size_t len, uint8_t seed)
{
	uint8_t *ticket = alloc_pattern(len, seed * 1000);

	ticket[0] = 4;
	ticket[1] = (len - 4) >> 16;
	ticket[2] = (len - 4) >> 8;
	ticket[3] = len - 4;
	return ticket;
}

/* Reads what has arrived; it was nothing to a program. */
static void absorb(struct client_data *self)
{
	sock_wait_received(self->fd, self->peer.sent);
	expect_nothing_in(self->fd);
}

static void send_ticket(struct client_data *self, const uint8_t *ticket, size_t len, size_t chunk)
{
	size_t at, n;

	for (at = 0; at < len; at += n) {
		n = len - at < chunk ? len - at : chunk;
		peer_send(&self->peer, REC_HANDSHAKE, ticket + at, n);
		if (at % REC_MAX == 0)
			absorb(self);
	}
}

static void expect_ticket(struct client_data *self, int nr, const uint8_t *ticket, size_t len)
{
	const struct agent_ticket *got = &self->agent.ticket[nr];

	ASSERT_EQ(len, got->len);
	EXPECT_MEMEQ(ticket, got->message, len);
	EXPECT_EQ(info_get(self->fd).id, got->id);
}

static void ticket_case(struct client_data *self, size_t len, size_t chunk)
{
	uint8_t *ticket = make_ticket(len, 1);

	ONLY_13();
	establish(self);
	send_ticket(self, ticket, len, chunk);
	absorb(self);
	agent_wait_tickets(&self->agent, 1);
	expect_ticket(self, 0, ticket, len);
	expect_talk(self);
	itls_nl_drain(self->agent.nl);
	EXPECT_EQ(1, self->agent.tickets);
	EXPECT_EQ(1, stat_get("RxTicket"));
	free(ticket);
}

TEST_F(client, ticket)
{
	ticket_case(self, 200, REC_MAX);
}

TEST_F(client, ticket_byte_by_byte)
{
	ticket_case(self, 100, 1);
}

TEST_F(client, ticket_in_pieces)
{
	ticket_case(self, 5000, 999);
}

TEST_F(client, ticket_longer_than_a_copy)
{
	ticket_case(self, 256 + 4, REC_MAX);
}

TEST_F(client, empty_ticket)
{
	ticket_case(self, 4, REC_MAX);
}

TEST_F(client, longest_ticket)
{
	ticket_case(self, ITLS_TICKET_MAX, 10000);
}

TEST_F(client, tickets_in_one_record)
{
	uint8_t *one = make_ticket(300, 1), *two = make_ticket(70, 2), both[370];

	ONLY_13();
	establish(self);
	memcpy(both, one, 300);
	memcpy(both + 300, two, 70);
	peer_send(&self->peer, REC_HANDSHAKE, both, sizeof(both));
	absorb(self);
	agent_wait_tickets(&self->agent, 2);
	expect_ticket(self, 0, one, 300);
	expect_ticket(self, 1, two, 70);
	expect_talk(self);
	free(one);
	free(two);
}

/* Too long to be handed on, not too long to be absorbed. */
static void oversize_case(struct client_data *self, size_t len)
{
	uint8_t *ticket = make_ticket(len, 1), *good = make_ticket(100, 2);

	ONLY_13();
	establish(self);
	send_ticket(self, ticket, len, REC_MAX);
	send_ticket(self, good, 100, REC_MAX);
	absorb(self);
	agent_wait_tickets(&self->agent, 1);
	expect_ticket(self, 0, good, 100);
	expect_talk(self);
	EXPECT_EQ(1, self->agent.tickets);
	EXPECT_EQ(2, stat_get("RxTicket"));
	free(ticket);
	free(good);
}

TEST_F(client, ticket_too_long_by_one)
{
	oversize_case(self, ITLS_TICKET_MAX + 1);
}

TEST_F(client, ticket_far_too_long)
{
	oversize_case(self, 200000);
}

/* A server that gives more than anybody can use. */
TEST_F(client, ninth_ticket)
{
	uint8_t *ticket;
	int i;

	ONLY_13();
	establish(self);
	for (i = 0; i < 12; i++) {
		ticket = make_ticket(100 + i, i);
		send_ticket(self, ticket, 100 + i, REC_MAX);
		free(ticket);
	}
	absorb(self);
	agent_wait_tickets(&self->agent, 8);
	for (i = 0; i < 8; i++) {
		ticket = make_ticket(100 + i, i);
		expect_ticket(self, i, ticket, 100 + i);
		free(ticket);
	}
	expect_talk(self);
	itls_nl_drain(self->agent.nl);
	EXPECT_EQ(8, self->agent.tickets);
	EXPECT_EQ(12, stat_get("RxTicket"));
}

/* It goes to the agent that made the handshake, and to no other. */
TEST_F(client, ticket_of_another_agent)
{
	uint8_t *ticket = make_ticket(100, 1);
	struct agent other;

	ONLY_13();
	establish(self);
	agent_open(&other);
	send_ticket(self, ticket, 100, REC_MAX);
	absorb(self);
	agent_wait_tickets(&self->agent, 1);
	itls_nl_drain(other.nl);
	EXPECT_EQ(0, other.tickets);
	/* Nor does it inherit. */
	agent_close(&self->agent);
	stat_wait("CurrAgents", 1);
	send_ticket(self, ticket, 100, REC_MAX);
	absorb(self);
	itls_nl_drain(other.nl);
	EXPECT_EQ(0, other.tickets);
	EXPECT_EQ(2, stat_get("RxTicket"));
	expect_talk(self);
	agent_close(&other);
	free(ticket);
}

TEST_F(client, ticket_before_data_does_not_show)
{
	uint8_t *ticket = make_ticket(600, 1);

	ONLY_13();
	establish(self);
	send_ticket(self, ticket, 600, 250);
	peer_send(&self->peer, REC_DATA, "data", 4);
	sock_wait_received(self->fd, self->peer.sent);
	EXPECT_EQ(POLLIN, sock_poll(self->fd, POLLIN, 0));
	expect_data(self, "data", 4);
	EXPECT_EQ(0, sock_poll(self->fd, POLLIN, 0));
	agent_wait_tickets(&self->agent, 1);
	free(ticket);
}

TEST_F(client, closed_inside_a_ticket)
{
	uint8_t *ticket = make_ticket(600, 1);

	ONLY_13();
	establish(self);
	peer_send(&self->peer, REC_HANDSHAKE, ticket, 300);
	absorb(self);
	close(self->fd);
	self->fd = -1;
	expect_close_notify(&self->peer);
	itls_nl_drain(self->agent.nl);
	EXPECT_EQ(0, self->agent.tickets);
	free(ticket);
}

/* ---- the agent comes and goes, sessions stay --------------------------------------------------- */

TEST_F(client, session_outlives_the_agent)
{
	struct agent next;
	uint32_t id;

	establish(self);
	id = info_get(self->fd).id;
	agent_close(&self->agent);
	stat_wait("CurrAgents", 0);
	expect_talk(self);
	if (is_13(self)) {
		peer_send_update(&self->peer, UPDATE_REQUESTED);
		absorb(self);
		EXPECT_EQ(UPDATE_NOT_REQUESTED, peer_recv_update(&self->peer));
		expect_talk(self);
		agent_open(&next);
		EXPECT_EQ(0, itls_nl_rekey(next.nl, id, true));
		EXPECT_EQ(UPDATE_REQUESTED, peer_recv_update(&self->peer));
		peer_send_update(&self->peer, UPDATE_NOT_REQUESTED);
		agent_close(&next);
		expect_talk(self);
		EXPECT_EQ(2, info_get(self->fd).tx_rekeys);
		EXPECT_EQ(2, info_get(self->fd).rx_rekeys);
	}
	ASSERT_EQ(0, shutdown(self->fd, SHUT_WR));
	expect_close_notify(&self->peer);
	peer_send(&self->peer, REC_DATA, "last", 4);
	peer_alert(&self->peer, LEVEL_WARNING, ALERT_CLOSE_NOTIFY);
	expect_data(self, "last", 4);
	expect_eof(self->fd);
}
