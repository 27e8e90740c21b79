// SPDX-License-Identifier: GPL-2.0
/*
 * Sending: plaintext is gathered into the open record (open.c), or a long one
 * stays where the caller has it, encrypted into pages (sealed.c), and those go
 * to TCP by reference (push.c).
 *
 * Process context under the socket lock.
 */
#include <linux/scatterlist.h>
#include <linux/slab.h>

#include "itls.h"

/* The flags of the kTLS ABI. */
#define ITLS_TX_FLAGS	(MSG_MORE | MSG_DONTWAIT | MSG_NOSIGNAL | MSG_EOR | \
			 MSG_BATCH | MSG_CMSG_COMPAT | MSG_SPLICE_PAGES | \
			 MSG_SENDPAGE_NOPOLICY)

static struct kmem_cache *tx_cache;

struct itls_tx *itls_tx_alloc(const struct itls_keyinfo *key)
{
	struct itls_tx *tx = kmem_cache_zalloc(tx_cache, GFP_KERNEL);
	int err;

	if (!tx)
		return ERR_PTR(-ENOMEM);
	itls_push_init(tx);
	err = itls_cipher_init(&tx->cipher, key);
	if (err) {
		itls_tx_free(tx);
		return ERR_PTR(err);
	}
	return tx;
}

/* Process context, and not under the socket lock: see itls_push_cancel(). */
void itls_tx_free(struct itls_tx *tx)
{
	if (!tx)
		return;
	itls_push_cancel(tx);
	itls_open_reset(&tx->open);
	itls_sealed_reset(&tx->sealed);
	itls_cipher_free(&tx->cipher);
	memzero_explicit(tx, sizeof(*tx));
	kmem_cache_free(tx_cache, tx);
}

/*
 * TLS_TX_MAX_PAYLOAD_LEN; the socket is locked.  -EBUSY: a record is open,
 * and may be longer already.
 */
int itls_tx_set_max_payload(struct itls_ctx *ctx, u16 max)
{
	struct itls_tx *tx = ctx->tx;

	if (tx && tx->open.len)
		return -EBUSY;
	if (tx)
		itls_sizing_init(&tx->sizing, max);
	WRITE_ONCE(ctx->tx_max_payload, max);
	return 0;
}

/* ---- sealing ------------------------------------------------------------ */

/*
 * The text of a record that was being encrypted in place is lost.  When the
 * sequence numbers are used up nothing was begun, and a new key may go on.
 */
static int seal_failed(struct sock *sk, struct itls_tx *tx,
		       struct itls_open *open, int err)
{
	bool lost = open->place != ITLS_PLACE_ELSEWHERE &&
		    !itls_record_is_exhausted(&tx->cipher.record);

	if (lost) {
		itls_open_reset(open);
		itls_stats_add(sk, ITLS_STAT_TX_LOST, 1);
		err = -EIO;
	}
	if (err != -ENOMEM)
		tx->closed = true;
	return err;
}

/*
 * Encrypts a record and appends it to what is sealed, where there is room for
 * it.  -ENOMEM changes nothing: the ciphertext was never seen, so the same
 * nonce may be used when this is tried again; not so for a record encrypted in
 * place, half of which may be ciphertext.  Any other error ends the direction.
 */
static int seal(struct sock *sk, struct itls_ctx *ctx, struct itls_open *open)
{
	struct itls_tx *tx = ctx->tx;
	struct itls_sealed *sealed = &tx->sealed;
	const struct itls_record *r = &tx->cipher.record;
	struct itls_sealed_mark mark = itls_sealed_mark(sealed);
	struct scatterlist src[ITLS_OPEN_FRAGS + 2] __uninitialized;
	struct scatterlist dst[ITLS_RECORD_PIECES + 1] __uninitialized;
	u8 *prefix;
	int err;

	err = itls_idle_wake(ctx, &tx->cipher);
	if (err && err != -ENOMEM)
		tx->closed = true;
	if (err)
		return err;
	itls_open_settle(sk, open, itls_record_suffix_len(r));
	itls_open_map(sk, open, itls_record_is_13(r), &tx->inner_type, src);
	err = itls_sealed_map(sk, sealed, r, open, &prefix, dst);
	if (err) {
		itls_sealed_trim(sealed, mark);
		return err;
	}
	itls_record_seal_prefix(r, open->type, open->len, prefix);
	err = itls_cipher_seal(&tx->cipher, open->type, src, dst, open->len);
	if (err) {
		itls_sealed_trim(sealed, mark);
		return seal_failed(sk, tx, open, err);
	}
	sealed->len += itls_record_overhead(r) + open->len;
	itls_sizing_count(&tx->sizing, itls_record_overhead(r) + open->len);
	ctx->tx_records++;
	ctx->tx_bytes += open->len;
	itls_stats_record(sk, ITLS_STAT_TX_RECORDS, open->len);
	return 0;
}

/* A record of the caller's, and before data the KeyUpdate that is due; see seal(). */
static int tx_seal_record(struct sock *sk, struct itls_ctx *ctx,
			  struct itls_open *open)
{
	struct itls_tx *tx = ctx->tx;
	int err = 0;

	if (tx->closed)
		return -EPIPE;
	if (!itls_sealed_has_room(&tx->sealed))
		return -ENOMEM;
	if (open->type == ITLS_TYPE_DATA)
		err = itls_update_before_data(sk, ctx, open->len);
	if (!err)
		err = seal(sk, ctx, open);
	if (err)
		return err;
	tx->sealed.records++;
	tx->update.bytes += open->len;
	return 0;
}

/* The open record is complete; see tx_seal_record(). */
static int tx_seal(struct sock *sk, struct itls_ctx *ctx)
{
	struct itls_open *open = &ctx->tx->open;
	int err = tx_seal_record(sk, ctx, open);

	if (!err)
		itls_open_reset(open);
	return err;
}

/* A record of its own of a few bytes of the kernel's; the open one stays. */
static int seal_bytes(struct sock *sk, struct itls_ctx *ctx, u8 type,
		      const u8 *bytes, size_t len)
{
	struct kvec vec = { (void *)bytes, len };
	struct itls_open open;
	struct iov_iter from;
	int ret;

	open.nr = 0;
	open.len = 0;
	itls_open_begin(&open, type, len,
			itls_record_prefix_len(&ctx->tx->cipher.record));
	iov_iter_kvec(&from, ITER_SOURCE, &vec, 1, len);
	while (open.len < len) {
		ret = itls_open_copy(sk, &open, &from);
		if (ret < 0)
			goto out;
	}
	ret = seal(sk, ctx, &open);
out:
	itls_open_reset(&open);
	return ret;
}

/**
 * itls_tx_seal_update() - seal a KeyUpdate under the present key
 * @sk: socket, locked
 * @ctx: its context, whose sending direction has room
 * @bytes: the message
 * @len: ITLS_KEY_UPDATE_LEN
 *
 * Return: 0, -ENOMEM when it may be tried again, or the error that ended the
 * direction.
 */
int itls_tx_seal_update(struct sock *sk, struct itls_ctx *ctx, const u8 *bytes,
			size_t len)
{
	return seal_bytes(sk, ctx, ITLS_TYPE_HANDSHAKE, bytes, len);
}

/* Is nothing under way, and could something be? */
bool itls_tx_is_idle(const struct sock *sk, const struct itls_tx *tx)
{
	return itls_push_is_connected(sk) && !tx->sealed.len &&
	       tcp_rtx_and_write_queues_empty(sk);
}

/* ---- sendmsg ---------------------------------------------------------------- */

/*
 * Reads TLS_SET_RECORD_TYPE; the kTLS ABI's only control message.  On a
 * managed socket records of other types are the kernel's business.
 */
static int tx_cmsg(const struct itls_ctx *ctx, struct msghdr *msg, u8 *type)
{
	struct cmsghdr *cmsg;

	for_each_cmsghdr(cmsg, msg) {
		if (!CMSG_OK(msg, cmsg))
			return -EINVAL;
		if (cmsg->cmsg_level != SOL_TLS)
			continue;
		if (itls_ctx_is_managed(ctx))
			return -EPERM;
		if (cmsg->cmsg_type != TLS_SET_RECORD_TYPE ||
		    cmsg->cmsg_len < CMSG_LEN(sizeof(*type)) ||
		    msg->msg_flags & MSG_MORE)
			return -EINVAL;
		*type = *(u8 *)CMSG_DATA(cmsg);
	}
	return 0;
}

static bool tx_has_room(const struct sock *sk, const struct itls_tx *tx)
{
	return itls_sealed_has_room(&tx->sealed) && sk_stream_memory_free(sk);
}

/*
 * Makes room for one more record, waiting for it if the caller does.  The
 * socket lock is dropped while waiting, so the open record may have changed.
 */
static int tx_make_room(struct sock *sk, struct itls_tx *tx, long *timeo)
{
	int err;

	while (!tx->closed && itls_push_is_connected(sk)) {
		if (tx_has_room(sk, tx))
			return 0;
		err = itls_push_more(sk, tx);
		if (err && err != -EAGAIN)
			return err;
		if (tx_has_room(sk, tx))
			return 0;
		err = sk_stream_wait_memory(sk, timeo);
		if (err)
			return err;
	}
	return -EPIPE;
}

/* Fills the open record; returns bytes, *err tells why it stopped early. */
static int tx_fill(struct sock *sk, struct itls_open *open, struct msghdr *msg,
		   int *err)
{
	int filled = 0, n;

	while (msg_data_left(msg) && !itls_open_is_full(open)) {
		if (msg->msg_flags & MSG_SPLICE_PAGES)
			n = itls_open_splice(open, &msg->msg_iter);
		else
			n = itls_open_copy(sk, open, &msg->msg_iter);
		if (n < 0) {
			*err = n;
			break;
		}
		filled += n;
	}
	return filled;
}

/*
 * May a record of @len bytes stay where the caller has it, to be encrypted within
 * the call?  Another thread may write to his memory meanwhile: whoever encrypts and
 * authenticates what came out of it need not care, others copy.  Pages that are
 * spliced are encrypted from where they are in any case.
 */
static bool tx_may_be_lent(const struct itls_tx *tx, const struct msghdr *msg,
			   size_t len)
{
	if (len < ITLS_BLOCK_MIN ||
	    (len < tx->open.limit && msg->msg_flags & MSG_MORE))
		return false;
	if (msg->msg_flags & MSG_SPLICE_PAGES)
		return iov_iter_is_bvec(&msg->msg_iter);
	return user_backed_iter(&msg->msg_iter) &&
	       !itls_cipher_reads_twice(&tx->cipher);
}

/*
 * A whole record where the caller has it.
 *
 * Returns bytes; 0 with *err is a failure that changed nothing, without it the
 * bytes have to be copied.
 */
static int tx_direct(struct sock *sk, struct itls_ctx *ctx, struct msghdr *msg,
		     int *err)
{
	const struct itls_open *open = &ctx->tx->open;
	size_t len = min_t(size_t, open->limit, msg_data_left(msg));
	struct itls_open lent __uninitialized;

	if (!tx_may_be_lent(ctx->tx, msg, len))
		return 0;
	lent.nr = 0;
	lent.len = 0;
	itls_open_begin(&lent, open->type, len, open->prefix_len);
	if (!itls_open_borrow(&lent, &msg->msg_iter))
		return 0;
	len = lent.len;
	*err = tx_seal_record(sk, ctx, &lent);
	itls_open_reset(&lent);
	if (!*err)
		return len;
	iov_iter_revert(&msg->msg_iter, len);
	return 0;
}

/*
 * One record's worth of a message: gathered, and sealed when it is full or
 * the message ends it.  Bytes that could not be sealed are taken back, so a
 * failed call leaves nothing of its own behind.
 */
static int tx_record(struct sock *sk, struct itls_ctx *ctx, struct msghdr *msg,
		     u8 type, int *err)
{
	const struct itls_record *r = &ctx->tx->cipher.record;
	struct itls_open *open = &ctx->tx->open;
	unsigned int mark = open->len;
	bool more = msg->msg_flags & MSG_MORE;
	int filled, seal_err;

	if (!open->len) {
		itls_open_begin(open, type, itls_sizing_limit(sk, ctx->tx),
				itls_record_prefix_len(r));
		filled = tx_direct(sk, ctx, msg, err);
		if (filled || *err)
			return filled;
	}
	filled = tx_fill(sk, open, msg, err);
	/* Control messages are sent whole: half an alert is none. */
	if (*err && type != ITLS_TYPE_DATA) {
		itls_open_trim(open, mark);
		iov_iter_revert(&msg->msg_iter, filled);
		return 0;
	}
	if (!open->len || (!itls_open_is_full(open) && more))
		return filled;
	seal_err = tx_seal(sk, ctx);
	if (!seal_err)
		return filled;
	*err = seal_err;
	itls_open_trim(open, mark);
	iov_iter_revert(&msg->msg_iter, filled);
	return 0;
}

/*
 * A key of TLS 1.2 that has served its time ends the connection, since it cannot
 * be changed.  A record that was begun is still sent.
 */
static void tx_check_limit(struct sock *sk, struct itls_ctx *ctx)
{
	const struct itls_tx *tx = ctx->tx;

	if (itls_ctx_is_managed(ctx) && !tx->secret.len && !tx->open.len &&
	    itls_update_is_over(&tx->cipher))
		itls_control_close(sk, ctx);
}

static int tx_send(struct sock *sk, struct itls_ctx *ctx, struct msghdr *msg,
		   u8 type, long *timeo)
{
	struct itls_tx *tx = ctx->tx;
	bool more = msg->msg_flags & MSG_MORE;
	int copied = 0, err = 0;

	while (!err && (msg_data_left(msg) || (!more && tx->open.len))) {
		tx_check_limit(sk, ctx);
		err = tx_make_room(sk, tx, timeo);
		/* While this waited, the socket may have become autonomous. */
		if (!err && type != ITLS_TYPE_DATA && itls_ctx_is_managed(ctx))
			err = -EPERM;
		if (err)
			break;
		/* A record has one type; another thread may have begun this. */
		if (tx->open.len && tx->open.type != type)
			err = tx_seal(sk, ctx);
		else
			copied += tx_record(sk, ctx, msg, type, &err);
		if (err == -ENOMEM)
			err = sk_stream_wait_memory(sk, timeo);
	}
	return copied ?: err;
}

static int tx_sendmsg_locked(struct sock *sk, struct msghdr *msg)
{
	long timeo = sock_sndtimeo(sk, msg->msg_flags & MSG_DONTWAIT);
	struct itls_ctx *ctx = itls_ctx_of(sk);
	u8 type = ITLS_TYPE_DATA;
	int copied, err;

	err = itls_ctx_wait_ready(sk, ctx, timeo);
	if (err)
		return err;
	if (!ctx->tx)
		return -EPIPE;
	if (msg->msg_controllen) {
		err = tx_cmsg(ctx, msg, &type);
		if (err)
			return err;
	}
	copied = tx_send(sk, ctx, msg, type, &timeo);
	if (msg->msg_flags & MSG_MORE)
		err = itls_push_more(sk, ctx->tx);
	else
		err = itls_push_sealed(sk, ctx->tx);
	return copied ?: (err == -EAGAIN ? 0 : err);
}

/* A managed socket ignores the flags that TCP ignores. */
static bool flags_are_supported(const struct sock *sk, const struct msghdr *msg)
{
	unsigned int refused = MSG_OOB | MSG_FASTOPEN;

	if (!itls_ctx_is_managed(itls_ctx_of(sk)))
		return !(msg->msg_flags & ~ITLS_TX_FLAGS);
	if (msg->msg_ubuf || sock_flag(sk, SOCK_ZEROCOPY))
		refused |= MSG_ZEROCOPY;
	return !(msg->msg_flags & refused);
}

/**
 * itls_tx_sendmsg() - send() and its kin on a socket that encrypts
 * @sk: socket, not locked
 * @msg: message
 * @size: bytes in it
 *
 * Return: bytes accepted, or -errno: as tcp_sendmsg(), and -EOPNOTSUPP for
 * flags TLS has no meaning for, -EINVAL for a bad control message or for
 * MSG_EOR with MSG_MORE; -EIO when a record could not be encrypted and the
 * direction has ended; on a managed socket -EPERM for a record type, and the
 * error its handshake ended with.
 */
int itls_tx_sendmsg(struct sock *sk, struct msghdr *msg, size_t size)
{
	int ret;

	if (!flags_are_supported(sk, msg))
		return -EOPNOTSUPP;
	if (!itls_ctx_is_managed(itls_ctx_of(sk)) &&
	    msg->msg_flags & MSG_MORE && msg->msg_flags & MSG_EOR)
		return -EINVAL;
	lock_sock(sk);
	ret = tx_sendmsg_locked(sk, msg);
	if (ret < 0)
		ret = sk_stream_error(sk, msg->msg_flags, ret);
	/* With nothing under way, no acknowledgment will wake a poller. */
	if (ret == -EAGAIN && itls_ctx_of(sk)->tx &&
	    tcp_rtx_and_write_queues_empty(sk))
		sk->sk_write_space(sk);
	release_sock(sk);
	/* The rest of the message is not to come soon after all. */
	if (ret >= 0 && ret < size && !(msg->msg_flags & MSG_MORE))
		itls_push_kept(sk);
	return ret;
}

/* The record left open is complete: a splice or sendfile ended early. */
void itls_tx_splice_eof(struct sock *sk)
{
	struct itls_ctx *ctx = itls_ctx_of(sk);

	lock_sock(sk);
	if (ctx->tx)
		itls_tx_flush(sk, ctx);
	release_sock(sk);
}

/*
 * Seals what is open although nobody may come back for it: at the end of the
 * stream it would be lost.  So memory that could not be got is asked for again.
 */
static int tx_seal_last(struct sock *sk, struct itls_ctx *ctx)
{
	int err, tries = 8;

	do {
		err = tx_seal(sk, ctx);
	} while (err == -ENOMEM && itls_sealed_has_room(&ctx->tx->sealed) &&
		 --tries);
	return err;
}

/*
 * Hands over what was accepted, at the end of the stream: SEND_SHUTDOWN may
 * be set already and does not apply to it.
 */
static int tx_flush(struct sock *sk, struct itls_ctx *ctx)
{
	u8 shut = sk->sk_shutdown & SEND_SHUTDOWN;
	struct itls_tx *tx = ctx->tx;
	int err = 0, push_err;

	WRITE_ONCE(sk->sk_shutdown, sk->sk_shutdown & ~SEND_SHUTDOWN);
	if (!itls_sealed_has_room(&tx->sealed))
		err = itls_push_sealed(sk, tx);
	/* Sealed, it goes with what TCP may have refused; open, with nobody. */
	if (!err && tx->open.len)
		err = tx_seal_last(sk, ctx);
	push_err = itls_push_sealed(sk, tx);
	err = err ?: push_err;
	/* The push may have let a FIN in, which sets the other bit. */
	WRITE_ONCE(sk->sk_shutdown, sk->sk_shutdown | shut);
	return err;
}

/* The record left open is complete; the socket is locked. */
void itls_tx_flush(struct sock *sk, struct itls_ctx *ctx)
{
	if (!ctx->tx->closed)
		tx_flush(sk, ctx);
}

/**
 * itls_tx_finish() - send what is open, then an alert, and nothing after it
 * @sk: socket, locked; SEND_SHUTDOWN may be set already
 * @ctx: its context, with a sending direction
 * @level: ITLS_ALERT_WARNING or ITLS_ALERT_FATAL
 * @alert: description
 *
 * Never waits: TCP takes it all whatever its send buffer (see the head of
 * this file), so close() cannot block and cannot lose data to a full buffer.
 *
 * Return: 0, -EPIPE when nothing can be sent any more, or -ENOMEM or -EAGAIN
 * when memory ran out and the stream ends without the alert.
 */
int itls_tx_finish(struct sock *sk, struct itls_ctx *ctx, u8 level, u8 alert)
{
	u8 bytes[ITLS_ALERT_LEN] = { level, alert };
	struct itls_tx *tx = ctx->tx;
	int err;

	if (tx->closed)
		return -EPIPE;
	err = tx_flush(sk, ctx);
	if (!err && !itls_push_is_alive(sk))
		err = -EPIPE;
	if (!err)
		err = seal_bytes(sk, ctx, ITLS_TYPE_ALERT, bytes, sizeof(bytes));
	if (!err)
		err = tx_flush(sk, ctx);
	itls_open_reset(&tx->open);
	tx->closed = true;
	if (!err)
		ctx->alert_tx = alert;
	return err;
}

/**
 * itls_tx_message() - send a record of the kernel's own, without waiting
 * @sk: socket, locked
 * @ctx: its context, with a sending direction
 * @type: content type
 * @bytes: content, a few bytes
 * @len: how many
 *
 * What MSG_MORE holds back stays behind it.
 *
 * Return: 0, -EPIPE when nothing can be sent any more, or -ENOMEM: it was not
 * sent.
 */
int itls_tx_message(struct sock *sk, struct itls_ctx *ctx, u8 type,
		    const u8 *bytes, size_t len)
{
	struct itls_tx *tx = ctx->tx;
	int err;

	if (tx->closed || !itls_push_is_connected(sk))
		return -EPIPE;
	if (!itls_sealed_has_room(&tx->sealed))
		return -ENOMEM;
	err = seal_bytes(sk, ctx, type, bytes, len);
	if (err)
		return err;
	tx->sealed.records++;
	itls_push_sealed(sk, tx);
	return 0;
}

int itls_tx_init(void)
{
	tx_cache = KMEM_CACHE(itls_tx, SLAB_NO_MERGE);
	return tx_cache ? 0 : -ENOMEM;
}

void itls_tx_exit(void)
{
	kmem_cache_destroy(tx_cache);
}
