// SPDX-License-Identifier: GPL-2.0
/*
 * Changes of keys in mid-connection: KeyUpdate (RFC 8446 4.6.3, 7.2) in both
 * directions, and the number of records a key is good for (RFC 8446 5.5).
 * Autonomous sockets only; process context under the socket lock.
 *
 * A key is used from sequence number 0 on, so the number itself counts its
 * records.  (One that a program or the handshake has used before counts those
 * too.)
 *
 * Sending: the next generation is derived, then KeyUpdate is sealed under the
 * present one, then the next becomes the present.  What fails before the end
 * changes nothing, so it can be tried again and no key is used beyond its end.
 *
 * Receiving: KeyUpdate leaves a mark, and the key changes before the next
 * record is looked at; until memory is found for that, readers get -ENOMEM.
 */
#include <linux/module.h>

#include "itls.h"

/* No configuration goes beyond: RFC 8446 5.5 allows 2^24.5. */
#define ITLS_REKEY_RECORDS_MAX	BIT_ULL(24)
/* Records kept back for close_notify at the end of the sequence numbers. */
#define ITLS_LAST_RECORDS	16

static unsigned long long rekey_records = BIT_ULL(22);
module_param(rekey_records, ullong, 0644);
MODULE_PARM_DESC(rekey_records,
		 "Records after which a TLS 1.3 sending key is changed (default 4194304)");

static unsigned long long rekey_bytes = BIT_ULL(36);
module_param(rekey_bytes, ullong, 0644);
MODULE_PARM_DESC(rekey_bytes,
		 "Bytes after which a TLS 1.3 sending key is changed (default 68719476736)");

static unsigned long long limit_records = 23726566;
module_param(limit_records, ullong, 0644);
MODULE_PARM_DESC(limit_records,
		 "Records after which a key that cannot be changed ends its connection (default 23726566)");

/**
 * itls_update_init() - set when a sending key is to be changed
 * @tx: direction
 * @records: after so many records, 0: the module's default
 * @bytes: after so many bytes of plaintext, likewise
 */
void itls_update_init(struct itls_tx *tx, u64 records, u64 bytes)
{
	struct itls_update *u = &tx->update;

	records = records ?: READ_ONCE(rekey_records);
	bytes = bytes ?: READ_ONCE(rekey_bytes);
	u->max_records = clamp(records, 1ULL, ITLS_REKEY_RECORDS_MAX);
	u->max_bytes = max(bytes, 1ULL);
}

/* Has the key served as many records as any key may? */
bool itls_update_is_over(const struct itls_cipher *c)
{
	u64 limit = ~0ULL - ITLS_LAST_RECORDS;

	if (itls_cipher_is_limited(c))
		limit = min(limit, READ_ONCE(limit_records));
	return c->record.seq >= limit;
}

/* Is another key due before @len bytes more?  A fresh key takes any record. */
static bool update_is_due(const struct itls_tx *tx, size_t len)
{
	const struct itls_update *u = &tx->update;

	return u->due || tx->cipher.record.seq >= u->max_records ||
	       (u->bytes && u->bytes + len > u->max_bytes);
}

/*
 * Seals KeyUpdate and changes the key.  Return: 0, -ENOMEM when it may be
 * tried again, or the error that ended the direction.
 */
static int update_tx(struct sock *sk, struct itls_ctx *ctx)
{
	struct itls_tx *tx = ctx->tx;
	struct itls_update *u = &tx->update;
	u8 message[ITLS_KEY_UPDATE_LEN] = {
		ITLS_HANDSHAKE_KEY_UPDATE, 0, 0, 1,
		u->ask ? ITLS_UPDATE_REQUESTED : ITLS_UPDATE_NOT_REQUESTED,
	};
	struct itls_generation next = {};
	int err;

	err = itls_secret_next(&tx->secret, &tx->cipher, &next);
	if (err)
		return err;
	err = itls_tx_seal_update(sk, ctx, message, sizeof(message));
	if (err) {
		itls_secret_free(&next);
		return err;
	}
	itls_secret_change(&tx->secret, &tx->cipher, &next);
	u->bytes = 0;
	u->due = false;
	u->ask = false;
	ctx->tx_rekeys++;
	itls_stats_add(sk, ITLS_STAT_TX_REKEY, 1);
	return 0;
}

/**
 * itls_update_before_data() - change the sending key if it is time
 * @sk: socket, locked
 * @ctx: its context, with room for one more record
 * @len: plaintext of the record of data that comes next
 *
 * Return: 0, -ENOMEM when it may be tried again, or the error that ended the
 * direction.
 */
int itls_update_before_data(struct sock *sk, struct itls_ctx *ctx, size_t len)
{
	if (!ctx->tx->secret.len || !update_is_due(ctx->tx, len))
		return 0;
	return update_tx(sk, ctx);
}

/**
 * itls_update_answer() - send the KeyUpdate that is due although no data follows
 * @sk: socket, locked
 * @ctx: its context
 *
 * For readers that have taken in all there is.  Only when nothing of ours is
 * under way: so a peer that asks and asks, and reads nothing, gets one answer.
 * Otherwise it goes before the next record of data, or with a later call.
 */
void itls_update_answer(struct sock *sk, struct itls_ctx *ctx)
{
	struct itls_tx *tx = ctx->tx;

	if (!tx || !tx->update.due || tx->closed || !itls_tx_is_idle(sk, tx))
		return;
	if (!update_tx(sk, ctx))
		itls_push_sealed(sk, tx);
}

/**
 * itls_update_ask() - change the sending key on somebody's wish
 * @sk: socket, locked
 * @ctx: its context
 * @peer: ask the peer to change its key, too
 *
 * Now, or if that cannot be, before the next record of data.
 *
 * Return: 0, -EOPNOTSUPP in TLS 1.2 and when the program has the keys, -EPIPE
 * when nothing can be sent any more.
 */
int itls_update_ask(struct sock *sk, struct itls_ctx *ctx, bool peer)
{
	struct itls_tx *tx = ctx->tx;

	if (!tx || !tx->secret.len)
		return -EOPNOTSUPP;
	if (tx->closed || !itls_push_is_connected(sk))
		return -EPIPE;
	tx->update.due = true;
	tx->update.ask |= peer;
	if (itls_sealed_has_room(&tx->sealed) && sk_stream_memory_free(sk) &&
	    !update_tx(sk, ctx))
		itls_push_sealed(sk, tx);
	return 0;
}

static int update_rx(struct sock *sk, struct itls_ctx *ctx)
{
	struct itls_rx *rx = ctx->rx;
	struct itls_generation next = {};
	int err;

	err = itls_secret_next(&rx->secret, &rx->cipher, &next);
	if (err)
		return err;
	itls_secret_change(&rx->secret, &rx->cipher, &next);
	itls_idle_touch(ctx);
	rx->update_due = false;
	rx->update_asked = false;
	ctx->rx_rekeys++;
	itls_stats_add(sk, ITLS_STAT_RX_REKEY, 1);
	return 0;
}

/**
 * itls_update_rx() - change the receiving key if KeyUpdate has come
 * @sk: socket, locked
 * @ctx: its context, with a receiving direction
 *
 * Return: 0, -ENOMEM when it may be tried again, or the crypto API's error.
 */
int itls_update_rx(struct sock *sk, struct itls_ctx *ctx)
{
	return ctx->rx->update_due ? update_rx(sk, ctx) : 0;
}

/**
 * itls_update_count_rx() - a record was opened
 * @ctx: autonomous, its socket locked
 *
 * Asks the peer for another key when this one has served as long as ours may.
 */
void itls_update_count_rx(struct itls_ctx *ctx)
{
	struct itls_rx *rx = ctx->rx;
	struct itls_tx *tx = ctx->tx;

	if (!rx->secret.len || rx->update_due || rx->update_asked ||
	    rx->cipher.record.seq < tx->update.max_records)
		return;
	rx->update_asked = true;
	tx->update.due = true;
	tx->update.ask = true;
}
