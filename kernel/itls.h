/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the files of the module share: the context of a socket, its two
 * directions, its handshake request, and the calls between files.
 *
 * Calls go downward only:
 *
 *	main
 *	netlink  done  session  alias
 *	ulp
 *	proto  embryo  sockopt  connect  listen  request  channel
 *	read
 *	tx  rx  control  message  update
 *	direct
 *	frame  secret  open  sealed  push
 *	ctx  idle
 *	cipher  mark  sizing
 *	record
 *	stats
 *	block  scratch
 *
 * Locks.  The socket lock (lock_sock in process context, the spinlock half
 * of it in softirq) protects both directions, the callbacks and the state,
 * but for one transition: a request that fails moves PENDING to FAILED with
 * cmpxchg, from whatever context it fails in.  The lock of struct itls_net
 * is innermost and protects the list and the counts of requests.
 */
#ifndef ITLS_H
#define ITLS_H

#include <linux/bvec.h>
#include <linux/refcount.h>
#include <linux/skbuff.h>
#include <linux/spinlock.h>
#include <linux/timer.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>
#include <crypto/aead.h>
#include <net/netlink.h>
#include <net/sock.h>
#include <net/tcp.h>

#include <uapi/linux/tls.h>

#include "../include/uapi/linux/itls.h"
#include "record.h"

struct genl_info;

/* ---- cipher.c: keys and the crypto API ------------------------------- */

/* Longest structure of <linux/tls.h> that TLS_TX and TLS_RX take. */
#define ITLS_KEYINFO_MAX	sizeof(struct tls12_crypto_info_aes_gcm_256)

/* Longest IV of an AEAD: CCM's, a nonce between flags and counter. */
#define ITLS_IV_MAX		16

/* A key as userspace gave it, checked. */
struct itls_keyinfo {
	const struct itls_cipher_desc *desc;
	size_t len;
	union {
		struct tls_crypto_info info;
		u8 raw[ITLS_KEYINFO_MAX];
	};
};

/* Longest key of a cipher. */
#define ITLS_KEY_MAX		32

/* What encrypts and decrypts; both or none. */
struct itls_aead {
	struct crypto_aead *tfm;
	struct aead_request *req;
};

/*
 * One direction's key: allocated with it, used under the socket lock, so one
 * request, nonce and AAD buffer suffice.
 */
struct itls_cipher {
	struct itls_record record;
	const struct itls_cipher_desc *desc;
	struct itls_aead aead;	/* none while it sleeps */
	u8 key[ITLS_KEY_MAX];
	u8 aad[ITLS_AAD_MAX];
	u8 iv[ITLS_IV_MAX];	/* past the nonce: zeroes, for CCM */
};

int itls_cipher_check(struct itls_keyinfo *key);
int itls_cipher_init(struct itls_cipher *c, const struct itls_keyinfo *key);
int itls_cipher_wake(struct itls_cipher *c);
struct itls_aead itls_cipher_sleep(struct itls_cipher *c);
void itls_cipher_free_aead(struct itls_aead *aead);
bool itls_cipher_is_reuse(const struct itls_cipher *c,
			  const struct itls_keyinfo *key);
void itls_cipher_swap(struct itls_cipher *a, struct itls_cipher *b);
void itls_cipher_free(struct itls_cipher *c);
unsigned int itls_cipher_join(struct scatterlist *sg, unsigned int nr);
int itls_cipher_seal(struct itls_cipher *c, u8 type, struct scatterlist *src,
		     struct scatterlist *dst, size_t plain_len);
int itls_cipher_open(struct itls_cipher *c, u8 type, const u8 *explicit_nonce,
		     struct scatterlist *src, struct scatterlist *dst,
		     size_t body_len);
void itls_cipher_again(struct itls_cipher *c);
void itls_cipher_export(const struct itls_cipher *c, struct itls_keyinfo *key);
u16 itls_cipher_type(const struct itls_cipher *c);
const struct itls_cipher_desc *itls_cipher_desc(const struct itls_cipher *c);
const char *itls_cipher_hmac(const struct itls_cipher_desc *desc);
size_t itls_cipher_secret_len(const struct itls_cipher_desc *desc);
size_t itls_cipher_key_len(const struct itls_cipher_desc *desc);
bool itls_cipher_is_limited(const struct itls_cipher *c);
bool itls_cipher_reads_twice(const struct itls_cipher *c);
void itls_cipher_make_key(const struct itls_cipher_desc *desc, u16 version,
			  const u8 *bytes, const u8 *iv, struct itls_keyinfo *key);
bool itls_cipher_is_key(const struct itls_cipher *c,
			const struct itls_keyinfo *key);
void itls_cipher_exit(void);

/* ---- block.c: page memory for records ---------------------------------- */

/* As much as the longest record holds, in whole pages. */
#define ITLS_BLOCK_SIZE		(PAGE_SIZE > ITLS_PLAIN_MAX ? PAGE_SIZE : ITLS_PLAIN_MAX)
#define ITLS_BLOCK_ORDER	get_order(ITLS_BLOCK_SIZE)
/*
 * Records this long get a block, shorter ones share pages: nobody is charged
 * for what of a block is empty.
 */
#define ITLS_BLOCK_MIN		SZ_8K

struct page *itls_block_get(gfp_t gfp);
unsigned long itls_block_kept(void);
int itls_block_init(void);
void itls_block_exit(void);

/* ---- scratch.c: memory for the time of a call -------------------------- */

/* The longest record, from anywhere in a page. */
#define ITLS_SCRATCH_SIZE	(ITLS_PLAIN_MAX + 1 + ITLS_TAG_LEN + PAGE_SIZE)

u8 *itls_scratch_get(void);
void itls_scratch_put(u8 *scratch);
void itls_scratch_exit(void);

/* ---- secret.c: traffic secrets ----------------------------------------- */

/* Of one direction; len 0: none, as in TLS 1.2 and under the kTLS ABI. */
struct itls_secret {
	u8 len;
	u8 bytes[ITLS_SECRET_MAX];
};

/* A secret and what it keys. */
struct itls_generation {
	struct itls_secret secret;
	struct itls_cipher cipher;
};

int itls_secret_init(struct itls_secret *s, const u8 *bytes, size_t len,
		     const struct itls_cipher_desc *desc);
int itls_secret_check(const struct itls_secret *s, const struct itls_cipher *c);
int itls_secret_next(const struct itls_secret *s, const struct itls_cipher *c,
		     struct itls_generation *next);
void itls_secret_change(struct itls_secret *s, struct itls_cipher *c,
			struct itls_generation *next);
void itls_secret_free(struct itls_generation *g);

/* ---- ctx.c: the context of a socket ---------------------------------- */

/* Entries of plaintext an open record can gather before it is sealed. */
#define ITLS_OPEN_FRAGS		18
/* Records sealed before they are handed to TCP in one push. */
#define ITLS_SEALED_RECORDS	4
/* Pieces of ciphertext a record can be scattered over; see tx.c. */
#define ITLS_RECORD_PIECES	6
/* Each record may have a KeyUpdate before it, in one piece. */
#define ITLS_SEALED_FRAGS	(ITLS_SEALED_RECORDS * (ITLS_RECORD_PIECES + 1))

/* Where an open record will be encrypted. */
enum itls_place {
	ITLS_PLACE_ELSEWHERE,	/* into other memory */
	ITLS_PLACE_BLOCK,	/* where it is, all of it in one block */
	ITLS_PLACE_SHARED,	/* where it is, in shared pages, with room around */
};

/* Plaintext of the record being gathered; each entry holds a page reference, if not lent. */
struct itls_open {
	struct bio_vec frags[ITLS_OPEN_FRAGS];
	unsigned int nr;
	unsigned int len;
	unsigned int limit;	/* bytes it may hold */
	unsigned int start;	/* where its ciphertext begins in a block */
	bool spliced;		/* some of it is in pages of the caller's */
	bool lent;		/* all of it is, and the references are the caller's too */
	enum itls_place place;
	u8 type;
	u8 prefix_len;		/* of the record */
};

/* Ciphertext that TCP has not taken yet; each entry holds a page reference. */
struct itls_sealed {
	struct bio_vec frags[ITLS_SEALED_FRAGS];
	unsigned int first;	/* first entry not taken in full */
	unsigned int nr;
	unsigned int records;
	size_t len;
};

/* When the sending key is changed, and why; see update.c. */
struct itls_update {
	u64 max_records;	/* sealed under one key */
	u64 max_bytes;		/* of plaintext, likewise */
	u64 bytes;		/* under the present key */
	bool due;		/* before the next record of data */
	bool ask;		/* the peer shall change its key too */
};

/* How long the records of data are; see sizing.c. */
struct itls_sizing {
	u32 burst;	/* bytes on the wire since the connection was idle */
	u16 max;	/* bytes of plaintext a record may hold */
	bool grows;	/* records begin short, and grow */
};

/*
 * Every connection has the two that follow, so bytes count: they have slabs
 * of their own.
 */
struct itls_tx {
	struct itls_cipher cipher;
	struct itls_secret secret;
	struct itls_update update;
	struct itls_sizing sizing;
	struct itls_open open;
	struct itls_sealed sealed;
	struct itls_ctx *ctx;	/* NULL until installed */
	struct work_struct retry; /* holds the context; see push.c */
	u8 inner_type;		/* TLS 1.3: source of the record under way */
	bool pushing;		/* tcp_sendmsg_locked() takes whole records */
	bool refused;		/* TCP left some of the last push */
	bool closed;		/* close_notify or a fatal alert is the last record */
};

struct itls_rx {
	struct itls_cipher cipher;
	struct sk_buff_head plain; /* decrypted, not read yet */
	u32 plain_len;		/* bytes on it */
	u32 plain_size;		/* memory it takes */
	u8 *stash;		/* start of a record, copied out of TCP's queue */
	u8 *ticket;		/* autonomous: the one in progress, or NULL */
	u32 ticket_len;
	u32 stash_len;
	unsigned int sleepers;	/* readers asleep */
	int rcvlowat;		/* while lowered: the server's SO_RCVLOWAT */
	int err;		/* sticky -errno: nothing more will be read */
	int broken;		/* kTLS ABI: -errno of a header, reported once */
	bool lowered;		/* TCP's low water mark is 1 */
	u8 last;		/* byte of the plaintext of the longest record */
	bool eof;		/* close_notify was received */
	bool shut;		/* shutdown(SHUT_RD) was called */
	bool rekey;		/* KeyUpdate was received: a new key is due */
	bool whole;		/* a whole record waits in TCP's queue */
	bool indirect;		/* the peer pads: see direct.c */
	bool ready;		/* there is as much to read as SO_RCVLOWAT asks */
	struct itls_handshake handshake; /* messages, across records */
	/* Autonomous: see message.c and update.c. */
	struct itls_secret secret;
	u8 update_value;	/* body of the KeyUpdate in progress */
	bool update_due;	/* KeyUpdate was received: change the key */
	bool update_asked;	/* we asked for one */
	u8 burst;		/* records without data since there was any */
	u8 renegotiations;	/* refused */
	u8 tickets;		/* handed over */
};

/* Who asked for handshakes, and how: a listener's, shared by its children. */
struct itls_mark {
	refcount_t ref;
	atomic_t pending;
	uid_t uid;		/* who marked it, as the namespace's owner counts */
	pid_t pid;
	char comm[TASK_COMM_LEN];
	char profile[ITLS_PROFILE_MAX + 1];
	struct rcu_head rcu;
	char server_name[];	/* a client's; "" for a listener */
};

enum itls_credential {
	ITLS_CREDENTIAL_CA,
	ITLS_CREDENTIAL_CERT,
	ITLS_CREDENTIAL_KEY,
	__ITLS_CREDENTIAL_MAX,
};

/* What a client brings along for its agent: PEM, one behind the other. */
struct itls_credentials {
	u32 len[__ITLS_CREDENTIAL_MAX];
	u8 pem[];
};

enum itls_req_flag {
	ITLS_REQ_SUBMITTED,	/* counted; must be completed exactly once */
	ITLS_REQ_COMPLETED,	/* the bit that decides every race */
};

/*
 * A handshake asked of an agent; lives inside the context.  List, portid
 * and counts are under itls_net.lock.
 */
struct itls_req {
	unsigned long flags;
	struct list_head node;	/* on itls_net.waiting until accepted */
	struct timer_list timer;
	wait_queue_head_t wait;	/* pollers of the channel */
	u32 portid;		/* agent that accepted it; 0: none */
};

/* What the handshake found out; set once, before ESTABLISHED. */
struct itls_peer {
	u8 digest_len;
	u8 digest[ITLS_DIGEST_LEN];
	bool resumed;
	const char *alpn;
	const char *sni;
	const char *subject;
	char strings[];
};

/* The socket's own callbacks, put back when the context lets go. */
struct itls_callbacks {
	void (*data_ready)(struct sock *sk);
	void (*write_space)(struct sock *sk);
	void (*state_change)(struct sock *sk);
};

/*
 * The context of a socket, in icsk_ulp_data from attach (or clone) until the
 * socket is destroyed.  References: the socket, an armed timer, a channel
 * file, a netlink call that looked it up.  Each keeps the socket's memory too.
 */
struct itls_ctx {
	refcount_t ref;
	struct sock *sk;	/* held */
	struct itls_proto *proto;
	int state;		/* enum itls_state */
	int fail_err;		/* -errno, set before FAILED */
	u8 role;		/* enum itls_role */
	bool hooked;		/* callbacks and sk_prot are ours */
	bool listens;		/* attached as a listener: sk_prot alone is ours */
	u8 alert_rx, alert_tx;
	u8 verify;		/* enum itls_verify */
	u32 id;
	u16 version, tx_cipher, rx_cipher;
	u16 tx_max_payload;	/* TLS_TX_MAX_PAYLOAD_LEN, 0: not set */
	bool tx_zerocopy_ro;	/* TLS_TX_ZEROCOPY_RO */
	bool rx_no_pad;		/* TLS_RX_EXPECT_NO_PAD */
	struct itls_tx *tx;	/* set once; freed in close() */
	struct itls_rx *rx;
	struct itls_callbacks saved;
	struct sk_buff_head held; /* an embryo's bytes, kept from plain readers */
	struct itls_mark __rcu *mark;
	struct itls_credentials *credentials; /* until an agent takes them */
	struct itls_peer *peer;
	int rcvlowat;		/* the server's, kept while PENDING */
	pid_t pid;
	char comm[TASK_COMM_LEN];
	unsigned long born;	/* jiffies */
	unsigned long used;	/* jiffies: when a key was, last */
	bool active;		/* keys may be awake: see idle.c */
	u64 tx_records, tx_bytes, rx_records, rx_bytes;
	u32 tx_rekeys, rx_rekeys;
	struct itls_req req;
	struct rcu_head rcu;
};

static inline struct itls_ctx *itls_ctx_of(const struct sock *sk)
{
	return (__force struct itls_ctx *)inet_csk(sk)->icsk_ulp_data;
}

static inline bool itls_ctx_is_managed(const struct itls_ctx *ctx)
{
	return ctx->role != ITLS_ROLE_KTLS;
}

/* Bytes of plaintext in a record sent. */
static inline u16 itls_ctx_max_payload(const struct itls_ctx *ctx)
{
	return READ_ONCE(ctx->tx_max_payload) ?: ITLS_PLAIN_MAX;
}

static inline int itls_ctx_state(const struct itls_ctx *ctx)
{
	/* Pairs with itls_ctx_install(). */
	return smp_load_acquire(&ctx->state);
}

struct itls_ctx *itls_ctx_alloc(struct sock *sk, struct itls_proto *proto,
				gfp_t gfp);
struct itls_ctx *itls_ctx_get(struct itls_ctx *ctx);
void itls_ctx_put(struct itls_ctx *ctx);
struct itls_ctx *itls_ctx_lookup(struct net *net, u32 id);
int itls_ctx_register(struct itls_ctx *ctx);
void itls_ctx_unregister(struct itls_ctx *ctx);
int itls_ctx_install(struct itls_ctx *ctx, struct itls_tx *tx,
		     struct itls_rx *rx);
int itls_ctx_fail(struct itls_ctx *ctx, int err);
int itls_ctx_wait_ready(struct sock *sk, struct itls_ctx *ctx, long timeo);
int itls_ctx_init(void);
void itls_ctx_exit(void);

/* ---- idle.c: what idle connections let go of ---------------------------- */

void itls_idle_touch(struct itls_ctx *ctx);
int itls_idle_wake(struct itls_ctx *ctx, struct itls_cipher *c);
void itls_idle_forget(struct itls_ctx *ctx);
int itls_idle_init(void);
void itls_idle_exit(void);

/* ---- mark.c: who asked for handshakes ---------------------------------- */

struct itls_mark *itls_mark_alloc(const struct sock *sk, const char *profile,
				  const char *server_name);
struct itls_mark *itls_mark_get(const struct itls_ctx *ctx);
void itls_mark_put(struct itls_mark *l);
void itls_mark_free_credentials(struct itls_credentials *creds);

/* ---- frame.c: received records in TCP's queue -------------------------- */

/* In the cb of an skb that holds a decrypted record. */
struct itls_plain {
	u32 off;	/* bytes already read */
	u8 type;
};

static inline struct itls_plain *itls_plain(struct sk_buff *skb)
{
	BUILD_BUG_ON(sizeof(struct itls_plain) > sizeof(skb->cb));
	return (struct itls_plain *)skb->cb;
}

/* Bytes of it that were not read yet. */
static inline u32 itls_plain_left(struct sk_buff *skb)
{
	return skb->len - itls_plain(skb)->off;
}

/* Where a record is: the stash holds its first bytes, the queue the rest. */
struct itls_frame {
	u8 type;
	size_t body_len;
	u32 total;	/* header and body; 0: the header is not here yet */
	bool whole;
};

u32 itls_frame_queued(const struct sock *sk);
int itls_frame_peek(const struct sock *sk, u32 off, u8 *to, u32 len);
void itls_frame_discard(struct sock *sk);
int itls_frame_next(const struct sock *sk, const struct itls_rx *rx,
		    struct itls_frame *f);
bool itls_frame_is_stalled(const struct sock *sk);
int itls_frame_stash(struct sock *sk, struct itls_rx *rx,
		     const struct itls_frame *f);
void itls_frame_consume(struct sock *sk, struct itls_rx *rx,
			const struct itls_frame *f);
int itls_frame_decrypt(struct sock *sk, struct itls_ctx *ctx,
		       const struct itls_frame *f, struct scatterlist *dst);
struct sk_buff *itls_frame_alloc_plain(size_t len);
int itls_frame_open(struct sock *sk, struct itls_ctx *ctx,
		    const struct itls_frame *f, struct sk_buff **skbp);

/* ---- direct.c: records decrypted into the reader's memory ---------------- */

int itls_direct_open(struct sock *sk, struct itls_ctx *ctx,
		     const struct itls_frame *f, struct iov_iter *to);

/* ---- open.c, sealed.c, push.c: records on their way to TCP -------------- */

void itls_open_begin(struct itls_open *open, u8 type, unsigned int limit,
		     size_t prefix_len);
void itls_open_settle(struct sock *sk, struct itls_open *open,
		      size_t suffix_len);
void itls_open_reset(struct itls_open *open);
void itls_open_trim(struct itls_open *open, unsigned int len);
bool itls_open_is_full(const struct itls_open *open);
int itls_open_copy(struct sock *sk, struct itls_open *open,
		   struct iov_iter *from);
int itls_open_splice(struct itls_open *open, struct iov_iter *from);
bool itls_open_borrow(struct itls_open *open, struct iov_iter *from);
void itls_open_map(struct sock *sk, struct itls_open *open, bool is_13,
		   u8 *inner_type, struct scatterlist *sg);

/* How far the array was filled, for the way back. */
struct itls_sealed_mark {
	unsigned int nr;
	unsigned int last_len;
};

bool itls_sealed_has_room(const struct itls_sealed *sealed);
int itls_sealed_map(struct sock *sk, struct itls_sealed *sealed,
		    const struct itls_record *r, const struct itls_open *open,
		    u8 **prefix, struct scatterlist *sg);
struct itls_sealed_mark itls_sealed_mark(const struct itls_sealed *sealed);
void itls_sealed_trim(struct itls_sealed *sealed, struct itls_sealed_mark mark);
void itls_sealed_advance(struct itls_sealed *sealed, size_t len);
void itls_sealed_reset(struct itls_sealed *sealed);

void itls_push_init(struct itls_tx *tx);
void itls_push_cancel(struct itls_tx *tx);
int itls_push_more(struct sock *sk, struct itls_tx *tx);
int itls_push_sealed(struct sock *sk, struct itls_tx *tx);
void itls_push_kept(struct sock *sk);
void itls_push_write_space(struct sock *sk, struct itls_ctx *ctx);
bool itls_push_is_alive(const struct sock *sk);
bool itls_push_is_connected(const struct sock *sk);

/* ---- sizing.c: how long they are ---------------------------------------- */

void itls_sizing_init(struct itls_sizing *s, u16 fixed);
unsigned int itls_sizing_limit(const struct sock *sk, struct itls_tx *tx);
void itls_sizing_count(struct itls_sizing *s, size_t len);

/* ---- read.c: readers ------------------------------------------------------ */

int itls_read_msg(struct sock *sk, struct msghdr *msg, size_t len, int flags);
ssize_t itls_read_splice(struct sock *sk, struct pipe_inode_info *pipe,
			 size_t len, unsigned int flags);

/* ---- tx.c, rx.c, control.c: records ---------------------------------- */

struct itls_tx *itls_tx_alloc(const struct itls_keyinfo *key);
void itls_tx_free(struct itls_tx *tx);
int itls_tx_init(void);
void itls_tx_exit(void);
int itls_tx_set_max_payload(struct itls_ctx *ctx, u16 max);
int itls_tx_sendmsg(struct sock *sk, struct msghdr *msg, size_t size);
void itls_tx_splice_eof(struct sock *sk);
void itls_tx_flush(struct sock *sk, struct itls_ctx *ctx);
int itls_tx_finish(struct sock *sk, struct itls_ctx *ctx, u8 level, u8 alert);
int itls_tx_message(struct sock *sk, struct itls_ctx *ctx, u8 type,
		    const u8 *bytes, size_t len);
int itls_tx_seal_update(struct sock *sk, struct itls_ctx *ctx, const u8 *bytes,
			size_t len);
bool itls_tx_is_idle(const struct sock *sk, const struct itls_tx *tx);

struct itls_rx *itls_rx_alloc(const struct itls_keyinfo *key);
void itls_rx_free(struct itls_rx *rx);
int itls_rx_init(void);
void itls_rx_exit(void);
void itls_rx_rekeyed(struct itls_rx *rx);
/* itls_rx_next() took a record of data that has none. */
#define ITLS_RX_EMPTY	2
/* It is where the reader wanted it. */
#define ITLS_RX_DIRECT	3
int itls_rx_next(struct sock *sk, struct itls_ctx *ctx, struct iov_iter *to);
bool itls_rx_is_stalled(const struct sock *sk, const struct itls_rx *rx);
void itls_rx_adjust_lowat(struct sock *sk, struct itls_rx *rx);
int itls_rx_inq(struct sock *sk, struct itls_ctx *ctx);
bool itls_rx_is_ready(const struct itls_rx *rx);
bool itls_rx_wants_reader(struct sock *sk, struct itls_rx *rx);
void itls_rx_check(struct sock *sk, struct itls_rx *rx);
void itls_rx_settle(struct sock *sk, struct itls_rx *rx);
void itls_rx_lowat_changed(struct sock *sk, struct itls_ctx *ctx);
int itls_rx_prefix(struct itls_rx *rx, const void *data, size_t len);
bool itls_rx_drain(struct sock *sk, struct itls_ctx *ctx);

int itls_control_record(struct sock *sk, struct itls_ctx *ctx, u8 type,
			const struct sk_buff *skb);
int itls_control_fatal(struct sock *sk, struct itls_ctx *ctx, int err);
void itls_control_expire(struct sock *sk, struct itls_ctx *ctx);
void itls_control_truncated(struct sock *sk, struct itls_ctx *ctx);
void itls_control_close(struct sock *sk, struct itls_ctx *ctx);

/* ---- message.c, update.c: handshake messages after the handshake ------- */

int itls_message_record(struct sock *sk, struct itls_ctx *ctx,
			const struct sk_buff *skb);
bool itls_message_is_open(const struct itls_rx *rx);
void itls_message_set_ticket_sink(void (*fn)(struct itls_ctx *ctx,
					     const u8 *ticket, size_t len));

void itls_update_init(struct itls_tx *tx, u64 records, u64 bytes);
int itls_update_before_data(struct sock *sk, struct itls_ctx *ctx, size_t len);
int itls_update_ask(struct sock *sk, struct itls_ctx *ctx, bool peer);
void itls_update_answer(struct sock *sk, struct itls_ctx *ctx);
int itls_update_rx(struct sock *sk, struct itls_ctx *ctx);
void itls_update_count_rx(struct itls_ctx *ctx);
bool itls_update_is_over(const struct itls_cipher *c);

/* ---- request.c, channel.c, listen.c, connect.c: the handshake ---------- */

int itls_request_submit(struct itls_ctx *ctx);
bool itls_request_complete(struct itls_ctx *ctx);
void itls_request_fail(struct itls_ctx *ctx, int err, int counter);
struct itls_ctx *itls_request_accept(struct net *net, u32 portid);
void itls_request_return(struct itls_ctx *ctx, struct itls_credentials *creds);
bool itls_request_is_pending(const struct itls_ctx *ctx);
void itls_request_wake(struct itls_ctx *ctx, __poll_t events);
int itls_request_add_agent(struct net *net, u32 portid);
bool itls_request_is_agent(struct net *net, u32 portid);
void itls_request_remove_agent(struct net *net, u32 portid);
void itls_request_drop_agents(struct net *net);
void itls_request_set_announcer(void (*fn)(struct net *net));
unsigned int itls_request_deadline(const struct itls_ctx *ctx);

struct file *itls_channel_open(struct itls_ctx *ctx);
void itls_channel_abandon(struct file *file);

int itls_listen_mark(struct sock *sk, struct itls_ctx *ctx, const char *name);
void itls_listen_unmark(struct itls_ctx *ctx);
int itls_listen_inherit(struct sock *sk, const struct itls_ctx *lctx,
			gfp_t gfp);

int itls_connect_set(struct sock *sk, sockptr_t optval, unsigned int optlen);

/* ---- proto.c, embryo.c, sockopt.c, ulp.c: the socket's operations ----- */

/* The operations laid over one address family's TCP. */
struct itls_proto {
	struct proto *base;
	const struct proto_ops *base_ops;
	struct proto prot;	/* attached sockets */
	struct proto embryo;	/* children nobody has accepted yet */
	struct proto_ops ops;
};

struct itls_proto *itls_proto_of(struct sock *sk);
struct itls_proto *itls_proto_of_family(int family);
void itls_proto_hook(struct sock *sk, struct itls_ctx *ctx);
void itls_proto_release(struct sock *sk);

void itls_embryo_build(struct itls_proto *proto, const struct proto *base);
void itls_embryo_init(struct sock *sk);
int itls_embryo_accept(struct socket *sock, struct socket *newsock,
		       struct proto_accept_arg *arg);

int itls_sockopt_set(struct sock *sk, int optname, sockptr_t optval,
		     unsigned int optlen);
int itls_sockopt_get(struct sock *sk, int optname, char __user *optval,
		     int __user *optlen);

extern struct tcp_ulp_ops itls_ulp_ops;
int itls_ulp_init(void);
void itls_ulp_exit(void);

/* ---- alias.c: the ULP name of in-tree kTLS ----------------------------- */

int itls_alias_init(void);
void itls_alias_exit(void);

/* ---- netlink.c, done.c, session.c -------------------------------------- */

int itls_netlink_check_admin(const struct sk_buff *skb, struct net *net,
			     struct netlink_ext_ack *extack);
int itls_netlink_check_agent(const struct sk_buff *skb,
			     const struct genl_info *info);
int itls_netlink_put_sockaddr(struct sk_buff *msg, int attr,
			      const struct sock *sk, bool local);

extern const struct nla_policy itls_done_policy[ITLS_A_DONE_MAX + 1];
int itls_done_doit(struct sk_buff *skb, struct genl_info *info);

extern const struct nla_policy itls_rekey_policy[ITLS_A_REKEY_MAX + 1];
int itls_session_start(struct netlink_callback *cb);
int itls_session_dumpit(struct sk_buff *msg, struct netlink_callback *cb);
int itls_session_rekey_doit(struct sk_buff *skb, struct genl_info *info);

int itls_netlink_init(void);
void itls_netlink_exit(void);

/* ---- stats.c: counters, and what belongs to a network namespace ------- */

/* Counters of /proc/net/itls_stat; the names there follow this order. */
enum itls_stat {
	ITLS_STAT_CURR_TX,
	ITLS_STAT_CURR_RX,
	ITLS_STAT_CURR_ACTIVE,
	ITLS_STAT_HS_SUBMITTED,
	ITLS_STAT_HS_ACCEPTED,
	ITLS_STAT_HS_DONE,
	ITLS_STAT_HS_FAILED,
	ITLS_STAT_HS_TIMEOUT,
	ITLS_STAT_HS_PEER_GONE,
	ITLS_STAT_HS_SERVER_GONE,
	ITLS_STAT_HS_NO_AGENT,
	ITLS_STAT_HS_AGENT_GONE,
	ITLS_STAT_HS_OVER_CAP,
	ITLS_STAT_TX_RECORDS,
	ITLS_STAT_TX_BYTES,
	ITLS_STAT_RX_RECORDS,
	ITLS_STAT_RX_BYTES,
	ITLS_STAT_RX_DECRYPT_ERROR,
	ITLS_STAT_RX_PROTOCOL_ERROR,
	ITLS_STAT_RX_TRUNCATED,
	ITLS_STAT_RX_ALERT,
	ITLS_STAT_RX_CLOSE_NOTIFY,
	ITLS_STAT_TX_ALERT,
	ITLS_STAT_TX_CLOSE_NOTIFY,
	ITLS_STAT_TX_LOST,
	ITLS_STAT_TX_REKEY,
	ITLS_STAT_RX_REKEY,
	ITLS_STAT_RX_KEY_UPDATE,
	ITLS_STAT_RX_TICKET,
	ITLS_STAT_TX_NO_RENEGOTIATION,
	__ITLS_STAT_MAX,
};

struct itls_net {
	long __percpu *stats;
	struct xarray sessions;	/* id -> struct itls_ctx; registered contexts */
	u32 next_id;
	spinlock_t lock;	/* the fields below; taken in softirq too */
	struct list_head waiting; /* requests no agent has accepted */
	unsigned int pending;	/* requests not completed */
	struct list_head agents;
	unsigned int nr_agents;
};

struct itls_net *itls_stats_net(const struct net *net);
void itls_stats_add(const struct sock *sk, enum itls_stat stat, long n);
void itls_stats_record(const struct sock *sk, enum itls_stat stat, size_t len);
int itls_stats_init(void);
void itls_stats_exit(void);

#endif
