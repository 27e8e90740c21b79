// SPDX-License-Identifier: GPL-2.0
/*
 * Socket options at level SOL_TLS.  Process context; the socket is locked
 * here, after what may sleep for long (copying, loading ciphers).
 */
#include <linux/slab.h>
#include <linux/sockptr.h>

#include "itls.h"

/*
 * May this context take this key?  The socket is locked.  A listener that has
 * ceased to listen is one still.
 */
static int key_is_welcome(const struct itls_ctx *ctx,
			  const struct itls_keyinfo *key, bool tx)
{
	u16 cipher = ctx->tx_cipher ?: ctx->rx_cipher;
	const struct itls_cipher *own = NULL;

	if (itls_ctx_is_managed(ctx))
		return -EPERM;
	if (ctx->listens)
		return -ENOTCONN;
	if (tx && ctx->tx)
		own = &ctx->tx->cipher;
	else if (!tx && ctx->rx)
		own = &ctx->rx->cipher;
	/* TLS 1.2 renegotiates, with another cipher spec (RFC 5246 7.4.1). */
	if (own && ctx->version != TLS_1_3_VERSION)
		return -EBUSY;
	if (cipher && (cipher != key->info.cipher_type ||
		       ctx->version != key->info.version))
		return -EINVAL;
	if (own && itls_cipher_is_reuse(own, key))
		return -EKEYREJECTED;
	return 0;
}

/* The first key makes the direction, later ones are exchanged with its key. */
static int install_tx(struct sock *sk, struct itls_ctx *ctx,
		      const struct itls_keyinfo *key)
{
	struct itls_tx *tx = itls_tx_alloc(key);
	int err;

	if (IS_ERR(tx))
		return PTR_ERR(tx);
	lock_sock(sk);
	err = key_is_welcome(ctx, key, true);
	if (!err && ctx->tx) {
		itls_cipher_swap(&ctx->tx->cipher, &tx->cipher);
		itls_idle_touch(ctx);
		/* What ended it may have been the old key's last number. */
		if (itls_record_is_exhausted(&tx->cipher.record))
			ctx->tx->closed = false;
		itls_stats_add(sk, ITLS_STAT_TX_REKEY, 1);
	} else if (!err) {
		err = itls_ctx_install(ctx, tx, NULL);
		tx = err ? tx : NULL;
	}
	release_sock(sk);
	itls_tx_free(tx);
	return err;
}

static int install_rx(struct sock *sk, struct itls_ctx *ctx,
		      const struct itls_keyinfo *key)
{
	struct itls_rx *rx = itls_rx_alloc(key);
	int err;

	if (IS_ERR(rx))
		return PTR_ERR(rx);
	lock_sock(sk);
	err = key_is_welcome(ctx, key, false);
	if (!err && ctx->rx) {
		itls_cipher_swap(&ctx->rx->cipher, &rx->cipher);
		itls_idle_touch(ctx);
		itls_rx_rekeyed(ctx->rx);
		itls_stats_add(sk, ITLS_STAT_RX_REKEY, 1);
	} else if (!err) {
		err = itls_ctx_install(ctx, NULL, rx);
		rx = err ? rx : NULL;
	}
	if (!err)
		itls_rx_check(sk, ctx->rx);
	if (!err && itls_rx_wants_reader(sk, ctx->rx))
		ctx->saved.data_ready(sk);
	release_sock(sk);
	itls_rx_free(rx);
	return err;
}

/* Asks before it loads ciphers, which others may want to overtake. */
static int install(struct sock *sk, const struct itls_keyinfo *key, bool tx)
{
	struct itls_ctx *ctx = itls_ctx_of(sk);
	int err;

	lock_sock(sk);
	err = key_is_welcome(ctx, key, tx);
	release_sock(sk);
	if (err)
		return err;
	return tx ? install_tx(sk, ctx, key) : install_rx(sk, ctx, key);
}

/*
 * TLS_TX, TLS_RX.  -EINVAL: a length, version or cipher that is not known, or
 * not the present one; -EBUSY: there is a key, and TLS 1.2 changes none;
 * -EKEYREJECTED: it would repeat a nonce; -EPERM: managed.
 */
static int set_key(struct sock *sk, sockptr_t optval, unsigned int optlen,
		   bool tx)
{
	struct itls_ctx *ctx = itls_ctx_of(sk);
	struct itls_keyinfo key = {};
	int err = -EINVAL;

	if (itls_ctx_is_managed(ctx))
		return -EPERM;
	if (sockptr_is_null(optval) || optlen < sizeof(key.info) ||
	    optlen > sizeof(key.raw))
		return -EINVAL;
	key.len = optlen;
	if (copy_from_sockptr(key.raw, optval, optlen))
		err = -EFAULT;
	else
		err = itls_cipher_check(&key);
	if (!err)
		err = install(sk, &key, tx);
	memzero_explicit(&key, sizeof(key));
	return err;
}

/* ITLS_LISTEN: a profile's name, or nothing to take the mark away. */
static int set_listen(struct sock *sk, sockptr_t optval, unsigned int optlen)
{
	struct itls_ctx *ctx = itls_ctx_of(sk);
	char name[ITLS_PROFILE_MAX + 1] = {};
	int err = 0;

	if (optlen > ITLS_PROFILE_MAX)
		return -EINVAL;
	if (optlen && copy_from_sockptr(name, optval, optlen))
		return -EFAULT;
	if (strlen(name) != optlen)
		return -EINVAL;
	lock_sock(sk);
	if (sk->sk_state != TCP_LISTEN)
		err = -EINVAL;
	else if (optlen)
		err = itls_listen_mark(sk, ctx, name);
	else
		itls_listen_unmark(ctx);
	release_sock(sk);
	return err;
}

/* TLS_TX_ZEROCOPY_RO: a hint for offload to a network card, kept. */
static int set_zerocopy_ro(struct sock *sk, sockptr_t optval,
			   unsigned int optlen)
{
	u32 value;

	if (sockptr_is_null(optval) || optlen != sizeof(value))
		return -EINVAL;
	if (copy_from_sockptr(&value, optval, sizeof(value)))
		return -EFAULT;
	if (value > 1)
		return -EINVAL;
	if (itls_ctx_of(sk)->listens)
		return -ENOTCONN;
	WRITE_ONCE(itls_ctx_of(sk)->tx_zerocopy_ro, value);
	return 0;
}

/* TLS_RX_EXPECT_NO_PAD: a hint, kept; padding is cut off in any case. */
static int set_no_pad(struct sock *sk, sockptr_t optval, unsigned int optlen)
{
	struct itls_ctx *ctx = itls_ctx_of(sk);
	int err = 0;
	u32 value;

	if (sockptr_is_null(optval) || optlen < sizeof(value))
		return -EINVAL;
	if (copy_from_sockptr(&value, optval, sizeof(value)))
		return -EFAULT;
	if (value > 1)
		return -EINVAL;
	err = check_zeroed_sockptr(optval, sizeof(value),
				   optlen - sizeof(value));
	if (err < 1)
		return err ?: -EINVAL;
	lock_sock(sk);
	err = ctx->rx && ctx->version == TLS_1_3_VERSION ? 0 : -EINVAL;
	if (!err)
		WRITE_ONCE(ctx->rx_no_pad, value);
	release_sock(sk);
	return err;
}

/*
 * TLS_TX_MAX_PAYLOAD_LEN: bytes of plaintext in a record, for RFC 8449, which
 * allows no less than 64, with the type byte of TLS 1.3 counted.
 */
static int set_max_payload(struct sock *sk, sockptr_t optval,
			   unsigned int optlen)
{
	struct itls_ctx *ctx = itls_ctx_of(sk);
	u16 value, least;
	int err;

	if (sockptr_is_null(optval) || optlen != sizeof(value))
		return -EINVAL;
	if (copy_from_sockptr(&value, optval, sizeof(value)))
		return -EFAULT;
	lock_sock(sk);
	least = ITLS_PAYLOAD_MIN - (ctx->version == TLS_1_3_VERSION);
	if (ctx->listens)
		err = -ENOTCONN;
	else if (value < least || value > ITLS_PLAIN_MAX)
		err = -EINVAL;
	else
		err = itls_tx_set_max_payload(ctx, value);
	release_sock(sk);
	return err;
}

/* ITLS_AUTONOMOUS: what is wrong with the structure itself? */
static int autonomous_check(const struct itls_autonomous *a)
{
	if (a->role != ITLS_ROLE_SERVER && a->role != ITLS_ROLE_CLIENT)
		return -EINVAL;
	if (memchr_inv(a->reserved, 0, sizeof(a->reserved)))
		return -EINVAL;
	return 0;
}

/* Is there anything half done that only the program could finish?  Locked. */
static bool is_unsettled(const struct itls_ctx *ctx)
{
	const struct itls_rx *rx = ctx->rx;
	struct sk_buff *skb;

	if (!ctx->tx || !rx || ctx->tx->open.len || rx->rekey || rx->broken ||
	    rx->handshake.have)
		return true;
	skb_queue_walk(&rx->plain, skb)
		if (itls_plain(skb)->type != ITLS_TYPE_DATA)
			return true;
	return false;
}

/* -EKEYREJECTED: the keys in force were not made from these secrets. */
static int secret_take(struct itls_secret *secret, const u8 *bytes, u8 len,
		       const struct itls_cipher *cipher)
{
	struct itls_secret s = {};
	int err;

	if (!itls_record_is_13(&cipher->record))
		return len ? -EINVAL : 0;
	err = itls_secret_init(&s, bytes, len, itls_cipher_desc(cipher)) ?:
	      itls_secret_check(&s, cipher);
	if (!err)
		*secret = s;
	memzero_explicit(&s, sizeof(s));
	return err;
}

/* The socket is locked. */
static int become_autonomous(struct itls_ctx *ctx,
			     const struct itls_autonomous *a)
{
	struct itls_secret tx = {}, rx = {};
	int err;

	if (ctx->listens)
		return -ENOTCONN;
	if (itls_ctx_is_managed(ctx))
		return -EPERM;
	if (is_unsettled(ctx))
		return -EBUSY;
	err = secret_take(&tx, a->tx_secret, a->secret_len, &ctx->tx->cipher) ?:
	      secret_take(&rx, a->rx_secret, a->secret_len, &ctx->rx->cipher);
	if (!err) {
		swap(ctx->tx->secret, tx);
		swap(ctx->rx->secret, rx);
		itls_update_init(ctx->tx, a->rekey_records, a->rekey_bytes);
		WRITE_ONCE(ctx->role, a->role);
	}
	memzero_explicit(&tx, sizeof(tx));
	memzero_explicit(&rx, sizeof(rx));
	return err;
}

static int set_autonomous(struct sock *sk, sockptr_t optval,
			  unsigned int optlen)
{
	struct itls_autonomous a;
	int err = -EFAULT;

	if (sockptr_is_null(optval) || optlen != sizeof(a))
		return -EINVAL;
	if (!copy_from_sockptr(&a, optval, sizeof(a)))
		err = autonomous_check(&a);
	if (!err) {
		lock_sock(sk);
		err = become_autonomous(itls_ctx_of(sk), &a);
		release_sock(sk);
	}
	memzero_explicit(&a, sizeof(a));
	return err;
}

int itls_sockopt_set(struct sock *sk, int optname, sockptr_t optval,
		     unsigned int optlen)
{
	switch (optname) {
	case TLS_TX:
	case TLS_RX:
		return set_key(sk, optval, optlen, optname == TLS_TX);
	case TLS_TX_ZEROCOPY_RO:
		return set_zerocopy_ro(sk, optval, optlen);
	case TLS_RX_EXPECT_NO_PAD:
		return set_no_pad(sk, optval, optlen);
	case ITLS_TX_MAX_PAYLOAD_LEN:
		return set_max_payload(sk, optval, optlen);
	case ITLS_LISTEN:
		return set_listen(sk, optval, optlen);
	case ITLS_AUTONOMOUS:
		return set_autonomous(sk, optval, optlen);
	case ITLS_CONNECT:
		return itls_connect_set(sk, optval, optlen);
	default:
		return -ENOPROTOOPT;
	}
}

/* Copies out at most what the caller has room for, and says how much. */
static int put_opt(char __user *optval, int __user *optlen, int room,
		   const void *from, int len)
{
	len = min(room, len);
	if (copy_to_user(optval, from, len) || put_user(len, optlen))
		return -EFAULT;
	return 0;
}

/* The whole structure, or with a short buffer just version and cipher. */
static int get_key(struct sock *sk, char __user *optval, int __user *optlen,
		   int room, bool tx)
{
	struct itls_ctx *ctx = itls_ctx_of(sk);
	const struct itls_cipher *cipher = NULL;
	struct itls_keyinfo key = {};
	int err = -EBUSY;

	if (itls_ctx_is_managed(ctx))
		return -EPERM;
	if (room < (int)sizeof(key.info))
		return -EINVAL;
	lock_sock(sk);
	if (itls_ctx_is_managed(ctx))
		err = -EPERM;
	else if (tx && ctx->tx)
		cipher = &ctx->tx->cipher;
	else if (!tx && ctx->rx)
		cipher = &ctx->rx->cipher;
	if (cipher)
		itls_cipher_export(cipher, &key);
	release_sock(sk);
	if (!cipher)
		return err;
	err = 0;
	if (room == sizeof(key.info) || room == key.len)
		err = put_opt(optval, optlen, room, key.raw, key.len);
	else
		err = -EINVAL;
	memzero_explicit(&key, sizeof(key));
	return err;
}

static int get_zerocopy_ro(struct sock *sk, char __user *optval,
			   int __user *optlen, int room)
{
	u32 value = READ_ONCE(itls_ctx_of(sk)->tx_zerocopy_ro);

	if (room != sizeof(value))
		return -EINVAL;
	return put_opt(optval, optlen, room, &value, sizeof(value));
}

static int get_no_pad(struct sock *sk, char __user *optval, int __user *optlen,
		      int room)
{
	struct itls_ctx *ctx = itls_ctx_of(sk);
	int err = -EINVAL;
	u32 value = 0;

	if (room < (int)sizeof(value))
		return -EINVAL;
	lock_sock(sk);
	if (ctx->rx && ctx->version == TLS_1_3_VERSION) {
		value = ctx->rx_no_pad;
		err = 0;
	}
	release_sock(sk);
	return err ?: put_opt(optval, optlen, room, &value, sizeof(value));
}

static int get_max_payload(struct sock *sk, char __user *optval,
			   int __user *optlen, int room)
{
	u16 value = itls_ctx_max_payload(itls_ctx_of(sk));

	if (room < (int)sizeof(value))
		return -EINVAL;
	return put_opt(optval, optlen, room, &value, sizeof(value));
}

static int get_listen(struct sock *sk, char __user *optval, int __user *optlen,
		      int room)
{
	struct itls_mark *l = itls_mark_get(itls_ctx_of(sk));
	int err = -EINVAL;
	int len = 0;

	/* A child carries its listener's mark too, but is none. */
	if (l && itls_ctx_state(itls_ctx_of(sk)) == ITLS_STATE_LISTEN)
		len = strlen(l->profile);
	if (room >= len)
		err = put_opt(optval, optlen, room, l ? l->profile : "", len);
	itls_mark_put(l);
	return err;
}

static void fill_peer(struct itls_info *info, const struct itls_peer *peer)
{
	info->resumed = peer->resumed;
	info->peer_digest_len = peer->digest_len;
	memcpy(info->peer_digest, peer->digest, peer->digest_len);
	strscpy(info->alpn, peer->alpn, sizeof(info->alpn));
	strscpy(info->sni, peer->sni, sizeof(info->sni));
	strscpy(info->peer_subject, peer->subject, sizeof(info->peer_subject));
}

/* The socket is locked. */
static void fill_info(struct itls_info *info, const struct itls_ctx *ctx)
{
	struct itls_mark *l = itls_mark_get(ctx);
	const struct itls_peer *peer;

	info->id = ctx->id;
	info->state = itls_ctx_state(ctx);
	info->role = ctx->role;
	info->version = ctx->version;
	info->tx_cipher = ctx->tx_cipher;
	info->rx_cipher = ctx->rx_cipher;
	info->alert_rx = ctx->alert_rx;
	info->alert_tx = ctx->alert_tx;
	info->tx_records = ctx->tx_records;
	info->tx_bytes = ctx->tx_bytes;
	info->rx_records = ctx->rx_records;
	info->rx_bytes = ctx->rx_bytes;
	info->tx_rekeys = ctx->tx_rekeys;
	info->rx_rekeys = ctx->rx_rekeys;
	info->verify = ctx->verify;
	if (l)
		strscpy(info->profile, l->profile, sizeof(info->profile));
	itls_mark_put(l);
	/* Pairs with done_failed(), which does not lock the socket. */
	peer = smp_load_acquire(&ctx->peer);
	if (peer)
		fill_peer(info, peer);
}

static int get_info(struct sock *sk, char __user *optval, int __user *optlen,
		    int room)
{
	struct itls_info *info;
	int err;

	if (room < (int)sizeof(info->size))
		return -EINVAL;
	info = kzalloc(sizeof(*info), GFP_KERNEL);
	if (!info)
		return -ENOMEM;
	lock_sock(sk);
	fill_info(info, itls_ctx_of(sk));
	release_sock(sk);
	info->size = min_t(int, room, sizeof(*info));
	err = put_opt(optval, optlen, room, info, sizeof(*info));
	kfree(info);
	return err;
}

int itls_sockopt_get(struct sock *sk, int optname, char __user *optval,
		     int __user *optlen)
{
	int room;

	if (get_user(room, optlen))
		return -EFAULT;
	if (room < 0)
		return -EINVAL;
	switch (optname) {
	case TLS_TX:
	case TLS_RX:
		return get_key(sk, optval, optlen, room, optname == TLS_TX);
	case TLS_TX_ZEROCOPY_RO:
		return get_zerocopy_ro(sk, optval, optlen, room);
	case TLS_RX_EXPECT_NO_PAD:
		return get_no_pad(sk, optval, optlen, room);
	case ITLS_TX_MAX_PAYLOAD_LEN:
		return get_max_payload(sk, optval, optlen, room);
	case ITLS_LISTEN:
		return get_listen(sk, optval, optlen, room);
	case ITLS_INFO:
		return get_info(sk, optval, optlen, room);
	default:
		return -ENOPROTOOPT;
	}
}
