// SPDX-License-Identifier: GPL-2.0
/*
 * What is not data: alerts in and out, and how a connection ends.  Managed
 * sockets only, but for itls_control_fatal().
 *
 * Process context under the socket lock.
 */
#include "itls.h"

/* The alert RFC 8446 6.2 names for each way a record can be wrong. */
static u8 alert_for(int err)
{
	switch (err) {
	case -EBADMSG:
		return ITLS_ALERT_BAD_RECORD_MAC;
	case -EMSGSIZE:
		return ITLS_ALERT_RECORD_OVERFLOW;
	case -EINVAL:
	case -EPROTO:
		return ITLS_ALERT_UNEXPECTED_MESSAGE;
	case -ENOMSG:
		return ITLS_ALERT_DECODE_ERROR;
	case -EILSEQ:
		return ITLS_ALERT_ILLEGAL_PARAMETER;
	default:
		return ITLS_ALERT_INTERNAL_ERROR;
	}
}

/* Sends FIN behind what was queued; close() will find it done. */
static void shut_down_tx(struct sock *sk, struct itls_ctx *ctx)
{
	WRITE_ONCE(sk->sk_shutdown, sk->sk_shutdown | SEND_SHUTDOWN);
	ctx->proto->base->shutdown(sk, SEND_SHUTDOWN);
}

/* Nothing more is read; readers, pollers and SO_ERROR learn why. */
static void end_rx(struct sock *sk, struct itls_ctx *ctx, int err)
{
	WRITE_ONCE(ctx->rx->err, err);
	WRITE_ONCE(sk->sk_err, -err);
	sk_error_report(sk);
}

/**
 * itls_control_fatal() - end a connection on which a record was wrong
 * @sk: socket, locked
 * @ctx: its context
 * @err: -errno that says how
 *
 * A managed socket tells the peer with the fatal alert that fits, and sends
 * FIN; one under the kTLS ABI leaves both to its program.
 *
 * Return: the error that readers get from now on.
 */
int itls_control_fatal(struct sock *sk, struct itls_ctx *ctx, int err)
{
	u8 alert = alert_for(err);

	itls_stats_add(sk, err == -EBADMSG ? ITLS_STAT_RX_DECRYPT_ERROR :
					     ITLS_STAT_RX_PROTOCOL_ERROR, 1);
	if (err == -ENOMSG || err == -EILSEQ)
		err = -EPROTO;
	if (itls_ctx_is_managed(ctx)) {
		if (!itls_tx_finish(sk, ctx, ITLS_ALERT_FATAL, alert))
			itls_stats_add(sk, ITLS_STAT_TX_ALERT, 1);
		shut_down_tx(sk, ctx);
	}
	end_rx(sk, ctx, err);
	return err;
}

/* A key has served its time and cannot be, or was not, changed. */
void itls_control_expire(struct sock *sk, struct itls_ctx *ctx)
{
	itls_control_close(sk, ctx);
	shut_down_tx(sk, ctx);
	end_rx(sk, ctx, -EKEYEXPIRED);
}

/* FIN came and close_notify had not: somebody may have cut the stream. */
void itls_control_truncated(struct sock *sk, struct itls_ctx *ctx)
{
	itls_stats_add(sk, ITLS_STAT_RX_TRUNCATED, 1);
	WRITE_ONCE(ctx->rx->err, -ECONNRESET);
}

/* A fatal alert: the peer has given up, and may not be answered. */
static int control_peer_failed(struct sock *sk, struct itls_ctx *ctx)
{
	itls_stats_add(sk, ITLS_STAT_RX_ALERT, 1);
	ctx->tx->closed = true;
	shut_down_tx(sk, ctx);
	end_rx(sk, ctx, -ECONNRESET);
	return -ECONNRESET;
}

static bool alert_is_fatal(const struct itls_ctx *ctx, const u8 *bytes)
{
	/* RFC 8446 6: the level is ignored, all but these two are fatal. */
	if (ctx->version == ITLS_VERSION_13)
		return bytes[1] != ITLS_ALERT_USER_CANCELED;
	return bytes[0] != ITLS_ALERT_WARNING;
}

static int control_alert(struct sock *sk, struct itls_ctx *ctx,
			 const struct sk_buff *skb)
{
	u8 bytes[ITLS_ALERT_LEN];

	/* RFC 8446 5.4, RFC 5246 6.2.1 */
	if (!skb->len)
		return itls_control_fatal(sk, ctx, -EPROTO);
	if (skb->len != sizeof(bytes) ||
	    skb_copy_bits(skb, 0, bytes, sizeof(bytes)))
		return itls_control_fatal(sk, ctx, -ENOMSG);
	ctx->alert_rx = bytes[1];
	if (bytes[1] == ITLS_ALERT_CLOSE_NOTIFY) {
		itls_stats_add(sk, ITLS_STAT_RX_CLOSE_NOTIFY, 1);
		WRITE_ONCE(ctx->rx->eof, true);
		/* Its edge may be spent on the data that came with it; FIN's not. */
		if (!(sk->sk_shutdown & RCV_SHUTDOWN))
			ctx->saved.state_change(sk);
		sk_wake_async(sk, SOCK_WAKE_WAITD, POLL_IN);
		return 0;
	}
	return alert_is_fatal(ctx, bytes) ? control_peer_failed(sk, ctx) : 0;
}

/**
 * itls_control_record() - handle a record that is not application data
 * @sk: managed socket, locked
 * @ctx: its context
 * @type: content type
 * @skb: plaintext; stays the caller's
 *
 * Return: 0 when the connection goes on, else the error that ended it.
 */
int itls_control_record(struct sock *sk, struct itls_ctx *ctx, u8 type,
			const struct sk_buff *skb)
{
	int err = -EPROTO;

	if (type == ITLS_TYPE_ALERT)
		return control_alert(sk, ctx, skb);
	if (type == ITLS_TYPE_HANDSHAKE)
		err = itls_message_record(sk, ctx, skb);
	return err ? itls_control_fatal(sk, ctx, err) : 0;
}

/* shutdown(SHUT_WR) and close(): close_notify after all data, once. */
void itls_control_close(struct sock *sk, struct itls_ctx *ctx)
{
	if (!ctx->tx)
		return;
	if (ctx->tx->closed) {
		/* What was sealed before it ended goes all the same. */
		itls_push_sealed(sk, ctx->tx);
		return;
	}
	if (!itls_ctx_is_managed(ctx))
		itls_tx_flush(sk, ctx);
	else if (!itls_tx_finish(sk, ctx, ITLS_ALERT_WARNING,
				 ITLS_ALERT_CLOSE_NOTIFY))
		itls_stats_add(sk, ITLS_STAT_TX_CLOSE_NOTIFY, 1);
	if (ctx->tx->sealed.len || ctx->tx->open.len)
		itls_stats_add(sk, ITLS_STAT_TX_LOST, 1);
}
