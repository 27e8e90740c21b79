// SPDX-License-Identifier: GPL-2.0
/*
 * Handshake messages that come after the handshake: KeyUpdate, session
 * tickets, and the wish to renegotiate.  Autonomous sockets only; process
 * context under the socket lock.
 *
 * Messages may share records and cross them.  Each is judged by its header,
 * and nothing of it is kept but the byte of a KeyUpdate and a ticket that the
 * agent of a client is going to get, so no peer can make us hold much.
 */
#include <linux/slab.h>

#include "itls.h"

/* Tickets of one connection that the agent gets; the others are for nobody. */
#define ITLS_TICKETS_MAX	8
/* Wishes to renegotiate that are answered. */
#define ITLS_RENEGOTIATIONS_MAX	4

static void (*ticket_sink)(struct itls_ctx *ctx, const u8 *ticket, size_t len);

/* Who takes tickets to the agents; before the first socket can have one. */
void itls_message_set_ticket_sink(void (*fn)(struct itls_ctx *ctx,
					     const u8 *ticket, size_t len))
{
	ticket_sink = fn;
}

/* Is a message begun that the next record has to go on with? */
bool itls_message_is_open(const struct itls_rx *rx)
{
	return rx->handshake.have;
}

/* ---- tickets: RFC 8446 4.6.1 ---------------------------------------------- */

/* Without memory there is one ticket less; a client loses nothing else. */
static void ticket_begin(struct itls_ctx *ctx, const struct itls_handshake *h)
{
	struct itls_rx *rx = ctx->rx;
	size_t len = sizeof(h->header) + h->left;

	if (!ctx->req.portid || rx->tickets == ITLS_TICKETS_MAX ||
	    len > ITLS_TICKET_MAX)
		return;
	rx->ticket = kmalloc(len, GFP_KERNEL);
	if (!rx->ticket)
		return;
	memcpy(rx->ticket, h->header, sizeof(h->header));
	rx->ticket_len = sizeof(h->header);
}

static void ticket_add(struct itls_rx *rx, const u8 *p, size_t len)
{
	if (!rx->ticket)
		return;
	memcpy(rx->ticket + rx->ticket_len, p, len);
	rx->ticket_len += len;
}

static void ticket_end(struct sock *sk, struct itls_ctx *ctx)
{
	struct itls_rx *rx = ctx->rx;

	itls_stats_add(sk, ITLS_STAT_RX_TICKET, 1);
	if (!rx->ticket)
		return;
	rx->tickets++;
	ticket_sink(ctx, rx->ticket, rx->ticket_len);
	kfree_sensitive(rx->ticket);
	rx->ticket = NULL;
}

/* ---- the others ------------------------------------------------------------- */

/* RFC 8446 4.6.3; nothing may follow it in its record (5.1). */
static int key_update_end(struct sock *sk, struct itls_ctx *ctx, bool last)
{
	struct itls_rx *rx = ctx->rx;

	if (rx->update_value > ITLS_UPDATE_REQUESTED)
		return -EILSEQ;
	if (!last)
		return -EPROTO;
	rx->update_due = true;
	if (rx->update_value == ITLS_UPDATE_REQUESTED)
		ctx->tx->update.due = true;
	itls_stats_add(sk, ITLS_STAT_RX_KEY_UPDATE, 1);
	return 0;
}

/* RFC 5246 7.2.2; a peer that insists is told so more than enough. */
static int renegotiation_end(struct sock *sk, struct itls_ctx *ctx)
{
	u8 alert[ITLS_ALERT_LEN] = {
		ITLS_ALERT_WARNING, ITLS_ALERT_NO_RENEGOTIATION,
	};

	if (ctx->rx->renegotiations == ITLS_RENEGOTIATIONS_MAX)
		return -EPROTO;
	ctx->rx->renegotiations++;
	if (!itls_tx_message(sk, ctx, ITLS_TYPE_ALERT, alert, sizeof(alert))) {
		ctx->alert_tx = ITLS_ALERT_NO_RENEGOTIATION;
		itls_stats_add(sk, ITLS_STAT_TX_NO_RENEGOTIATION, 1);
	}
	return 0;
}

/* ---- the stream of messages --------------------------------------------------- */

/* Which message of TLS 1.2 asks this side to renegotiate? */
static u8 renegotiation_of(const struct itls_ctx *ctx)
{
	return ctx->role == ITLS_ROLE_CLIENT ? ITLS_HANDSHAKE_HELLO_REQUEST :
					       ITLS_HANDSHAKE_CLIENT_HELLO;
}

/* The header is here: may this message come at all? */
static int message_begin(struct itls_ctx *ctx, const struct itls_handshake *h)
{
	u8 type = h->header[0];

	if (ctx->version != ITLS_VERSION_13) {
		if (type != renegotiation_of(ctx))
			return -EPROTO;
		return type == ITLS_HANDSHAKE_HELLO_REQUEST && h->left ?
		       -ENOMSG : 0;
	}
	if (type == ITLS_HANDSHAKE_KEY_UPDATE)
		return h->left == 1 ? 0 : -ENOMSG;
	if (type != ITLS_HANDSHAKE_TICKET || ctx->role != ITLS_ROLE_CLIENT)
		return -EPROTO;
	ticket_begin(ctx, h);
	return 0;
}

static void message_add(struct itls_rx *rx, const u8 *p, size_t len)
{
	if (rx->handshake.header[0] == ITLS_HANDSHAKE_KEY_UPDATE)
		rx->update_value = *p;
	else
		ticket_add(rx, p, len);
}

/* @last: nothing follows in the record. */
static int message_end(struct sock *sk, struct itls_ctx *ctx, bool last)
{
	struct itls_handshake *h = &ctx->rx->handshake;

	h->have = 0;
	if (ctx->version != ITLS_VERSION_13)
		return renegotiation_end(sk, ctx);
	if (h->header[0] == ITLS_HANDSHAKE_KEY_UPDATE)
		return key_update_end(sk, ctx, last);
	ticket_end(sk, ctx);
	return 0;
}

/* @left: bytes of the record behind these. */
static int message_bytes(struct sock *sk, struct itls_ctx *ctx, const u8 *p,
			 size_t len, size_t left)
{
	struct itls_handshake *h = &ctx->rx->handshake;
	int err = 0;
	size_t n;

	for (; len && !err; p += n, len -= n) {
		bool in_body = h->have == ITLS_HANDSHAKE_HEADER_LEN;

		n = itls_record_follow(h, p, len);
		if (in_body)
			message_add(ctx->rx, p, n);
		else if (h->have == ITLS_HANDSHAKE_HEADER_LEN)
			err = message_begin(ctx, h);
		if (!err && itls_record_is_whole(h))
			err = message_end(sk, ctx, len - n + left == 0);
	}
	return err;
}

/**
 * itls_message_record() - take in a record of handshake messages
 * @sk: autonomous socket, locked
 * @ctx: its context, with both directions
 * @skb: plaintext; stays the caller's
 *
 * Return: 0 when the connection goes on; -EPROTO (unexpected_message), -ENOMSG
 * (decode_error) or -EILSEQ (illegal_parameter) when it cannot.
 */
int itls_message_record(struct sock *sk, struct itls_ctx *ctx,
			const struct sk_buff *skb)
{
	u8 bytes[256];
	u32 off, n;
	int err;

	/* RFC 8446 5.4, RFC 5246 6.2.1 */
	if (!skb->len)
		return -EPROTO;
	for (off = 0; off < skb->len; off += n) {
		n = min_t(u32, skb->len - off, sizeof(bytes));
		if (skb_copy_bits(skb, off, bytes, n))
			return -EFAULT;
		err = message_bytes(sk, ctx, bytes, n, skb->len - off - n);
		if (err)
			return err;
	}
	return 0;
}
