// SPDX-License-Identifier: GPL-2.0
/*
 * Keys and their AEADs: one descriptor row per cipher suite, and the only
 * file that knows the crypto API.  Process context; a key is used under the
 * lock of the socket it belongs to.
 *
 * What the crypto API makes of a key takes many times its memory, so an idle
 * connection has only the key itself (see idle.c), from which the rest can be
 * made again at any time.
 */
#include <crypto/utils.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>
#include <linux/unaligned.h>

#include "itls.h"

enum itls_cipher_flag {
	ITLS_CCM	= BIT(0),
	ITLS_ONLY_12	= BIT(1),	/* TLS 1.3 has no code point for it */
	ITLS_UNLIMITED	= BIT(2),	/* as many records as there are numbers */
};

/* Where the parts of a key are in its structure of <linux/tls.h>. */
struct itls_cipher_desc {
	u16 type;
	const char *alg;
	const char *hmac;	/* of the hash of its TLS 1.3 suite */
	u8 secret_len;		/* bytes that hash gives */
	size_t info_len;
	u8 key_len, salt_len, iv_len;
	u8 explicit_12;		/* nonce bytes in a TLS 1.2 record */
	u8 flags;
	u8 key_at, salt_at, iv_at, seq_at;
};

/* The structures differ in the order of their members, not in what they are. */
#define ITLS_CIPHER(_type, _info, _alg, _hash, _secret_len,		\
		    _explicit_12, _flags) {				\
	.type = _type,							\
	.alg = _alg,							\
	.hmac = "hmac(" _hash ")",					\
	.secret_len = (_secret_len) +					\
		      BUILD_BUG_ON_ZERO((_secret_len) > ITLS_SECRET_MAX), \
	.info_len = sizeof(struct _info) +				\
		    BUILD_BUG_ON_ZERO(sizeof(struct _info) > ITLS_KEYINFO_MAX), \
	.key_len = sizeof_field(struct _info, key) +			\
		   BUILD_BUG_ON_ZERO(sizeof_field(struct _info, key) >	\
				     ITLS_KEY_MAX),			\
	.salt_len = sizeof_field(struct _info, salt),			\
	.iv_len = sizeof_field(struct _info, iv) +			\
		  BUILD_BUG_ON_ZERO(sizeof_field(struct _info, salt) +	\
				    sizeof_field(struct _info, iv) !=	\
				    ITLS_NONCE_LEN),			\
	.explicit_12 = _explicit_12,					\
	.flags = _flags,						\
	.key_at = offsetof(struct _info, key),				\
	.salt_at = offsetof(struct _info, salt),			\
	.iv_at = offsetof(struct _info, iv),				\
	.seq_at = offsetof(struct _info, rec_seq) +			\
		  BUILD_BUG_ON_ZERO(sizeof_field(struct _info, rec_seq) != \
				    sizeof(u64)),			\
}

/*
 * Explicit nonces of TLS 1.2: RFC 5288 3, RFC 6655 3, RFC 6209 2.1, RFC 8998;
 * none in RFC 7905 2.  Hashes of TLS 1.3: RFC 8446 B.4, RFC 8998 3.2.3.
 */
static const struct itls_cipher_desc itls_ciphers[] = {
	ITLS_CIPHER(TLS_CIPHER_AES_GCM_128, tls12_crypto_info_aes_gcm_128,
		    "gcm(aes)", "sha256", 32, 8, 0),
	ITLS_CIPHER(TLS_CIPHER_AES_GCM_256, tls12_crypto_info_aes_gcm_256,
		    "gcm(aes)", "sha384", 48, 8, 0),
	ITLS_CIPHER(TLS_CIPHER_AES_CCM_128, tls12_crypto_info_aes_ccm_128,
		    "ccm(aes)", "sha256", 32, 8, ITLS_CCM),
	ITLS_CIPHER(TLS_CIPHER_CHACHA20_POLY1305,
		    tls12_crypto_info_chacha20_poly1305,
		    "rfc7539(chacha20,poly1305)", "sha256", 32, 0,
		    ITLS_UNLIMITED),
	ITLS_CIPHER(TLS_CIPHER_SM4_GCM, tls12_crypto_info_sm4_gcm,
		    "gcm(sm4)", "sm3", 32, 8, 0),
	ITLS_CIPHER(TLS_CIPHER_SM4_CCM, tls12_crypto_info_sm4_ccm,
		    "ccm(sm4)", "sm3", 32, 8, ITLS_CCM),
	ITLS_CIPHER(TLS_CIPHER_ARIA_GCM_128, tls12_crypto_info_aria_gcm_128,
		    "gcm(aria)", "sha256", 32, 8, ITLS_ONLY_12),
	ITLS_CIPHER(TLS_CIPHER_ARIA_GCM_256, tls12_crypto_info_aria_gcm_256,
		    "gcm(aria)", "sha384", 48, 8, ITLS_ONLY_12),
};

/*
 * An AEAD without a key for each cipher that a connection uses: it holds the
 * modules of the algorithm, and tells idle connections which one to ask for
 * again, whatever others have registered under the same name meanwhile.
 */
static struct anchor {
	struct crypto_aead *tfm;
	/* directions with this cipher */
	unsigned long users;
} anchors[ARRAY_SIZE(itls_ciphers)];

/* Process context alone takes it, and for no longer than it takes to count. */
static DEFINE_SPINLOCK(anchors_lock);

static_assert(ITLS_VERSION_12 == TLS_1_2_VERSION);
static_assert(ITLS_VERSION_13 == TLS_1_3_VERSION);

/**
 * itls_cipher_check() - check a key that userspace gave
 * @key: @key->raw and @key->len are set; @key->desc is set on success
 *
 * Return: 0, or -EINVAL for a version, cipher or length we do not know.
 */
int itls_cipher_check(struct itls_keyinfo *key)
{
	size_t i;

	if (key->len < sizeof(key->info))
		return -EINVAL;
	if (key->info.version != TLS_1_2_VERSION &&
	    key->info.version != TLS_1_3_VERSION)
		return -EINVAL;
	for (i = 0; i < ARRAY_SIZE(itls_ciphers); i++) {
		if (itls_ciphers[i].type != key->info.cipher_type)
			continue;
		if (itls_ciphers[i].info_len != key->len)
			return -EINVAL;
		if (itls_ciphers[i].flags & ITLS_ONLY_12 &&
		    key->info.version != TLS_1_2_VERSION)
			return -EINVAL;
		key->desc = &itls_ciphers[i];
		return 0;
	}
	return -EINVAL;
}

static void record_init(struct itls_record *r, const struct itls_keyinfo *key)
{
	const struct itls_cipher_desc *d = key->desc;

	r->version = key->info.version;
	r->explicit_len = itls_record_is_13(r) ? 0 : d->explicit_12;
	memcpy(r->iv, key->raw + d->salt_at, d->salt_len);
	memcpy(r->iv + d->salt_len, key->raw + d->iv_at, d->iv_len);
	r->seq = get_unaligned_be64(key->raw + d->seq_at);
	if (r->explicit_len)
		r->explicit_nonce = get_unaligned_be64(key->raw + d->iv_at);
}

/* An AEAD without a key.  May sleep and load modules. */
static struct crypto_aead *aead_alloc(const char *alg)
{
	struct crypto_aead *tfm = crypto_alloc_aead(alg, 0, 0);
	int err;

	if (IS_ERR(tfm))
		return tfm;
	err = crypto_aead_setauthsize(tfm, ITLS_TAG_LEN);
	if (!err)
		return tfm;
	crypto_free_aead(tfm);
	return ERR_PTR(err);
}

static struct anchor *anchor_of(const struct itls_cipher_desc *d)
{
	return &anchors[d - itls_ciphers];
}

/* Counts one user, if there is an anchor or *@spare can be one. */
static bool anchor_hold(struct anchor *a, struct crypto_aead **spare)
{
	bool held;

	spin_lock(&anchors_lock);
	if (!a->users)
		swap(a->tfm, *spare);
	held = a->tfm;
	if (held)
		a->users++;
	spin_unlock(&anchors_lock);
	return held;
}

static int anchor_get(const struct itls_cipher_desc *d)
{
	struct crypto_aead *spare = NULL;

	if (anchor_hold(anchor_of(d), &spare))
		return 0;
	spare = aead_alloc(d->alg);
	if (IS_ERR(spare))
		return PTR_ERR(spare);
	anchor_hold(anchor_of(d), &spare);
	if (spare)
		crypto_free_aead(spare);
	return 0;
}

static void anchor_put(const struct itls_cipher_desc *d)
{
	struct anchor *a = anchor_of(d);
	struct crypto_aead *last = NULL;

	spin_lock(&anchors_lock);
	if (!WARN_ON_ONCE(!a->users) && !--a->users)
		swap(a->tfm, last);
	spin_unlock(&anchors_lock);
	if (last)
		crypto_free_aead(last);
}

static int aead_init(struct itls_aead *aead, const struct itls_cipher_desc *d,
		     const char *alg, const u8 *key)
{
	struct crypto_aead *tfm = aead_alloc(alg);
	int err;

	if (IS_ERR(tfm))
		return PTR_ERR(tfm);
	err = crypto_aead_setkey(tfm, key, d->key_len);
	if (err)
		goto err_free;
	aead->req = aead_request_alloc(tfm, GFP_KERNEL);
	err = -ENOMEM;
	if (!aead->req)
		goto err_free;
	aead->tfm = tfm;
	return 0;

err_free:
	crypto_free_aead(tfm);
	return err;
}

/**
 * itls_cipher_init() - make a checked key ready for use
 * @c: zeroed; itls_cipher_free() undoes a failure, too
 * @key: passed itls_cipher_check()
 *
 * May sleep and load modules.  The default algorithm is asked for, not a
 * synchronous one: on 6.12 the fast AES-GCM is marked asynchronous although
 * it completes at once in process context (see aead_run()).
 *
 * Return: 0, -ENOMEM, or the crypto API's error (-ENOENT: no such cipher).
 */
int itls_cipher_init(struct itls_cipher *c, const struct itls_keyinfo *key)
{
	const struct itls_cipher_desc *d = key->desc;
	int err = anchor_get(d);

	if (err)
		return err;
	c->desc = d;
	record_init(&c->record, key);
	memcpy(c->key, key->raw + d->key_at, d->key_len);
	return aead_init(&c->aead, d, d->alg, c->key);
}

/**
 * itls_cipher_wake() - undo itls_cipher_sleep(), if need be
 * @c: direction, whose socket is locked; process context
 *
 * Return: 0, -ENOMEM when it may be tried again, or the crypto API's error,
 * which the anchor should have prevented.
 */
int itls_cipher_wake(struct itls_cipher *c)
{
	const struct itls_cipher_desc *d = c->desc;
	struct crypto_tfm *anchor;
	int err;

	if (likely(c->aead.tfm))
		return 0;
	/* It stays while @c does. */
	anchor = crypto_aead_tfm(anchor_of(d)->tfm);
	err = aead_init(&c->aead, d, crypto_tfm_alg_driver_name(anchor),
			c->key);
	/* The other two: a signal that kills, or a test of the algorithm. */
	return err == -EINTR || err == -EAGAIN ? -ENOMEM : err;
}

/**
 * itls_cipher_sleep() - let go of all but the key
 * @c: direction, which nobody is using; the socket is locked, softirq or not
 *
 * Return: what the caller shall free, without a lock.
 */
struct itls_aead itls_cipher_sleep(struct itls_cipher *c)
{
	struct itls_aead aead = c->aead;

	memset(&c->aead, 0, sizeof(c->aead));
	return aead;
}

/* Wipes, too.  Process context. */
void itls_cipher_free_aead(struct itls_aead *aead)
{
	if (aead->req)
		aead_request_free(aead->req);
	if (aead->tfm)
		crypto_free_aead(aead->tfm);
	memset(aead, 0, sizeof(*aead));
}

/*
 * Would a key that follows @c on the same direction use a nonce again (RFC
 * 5116 3.1)?  The same key and IV do with a sequence number that was used or
 * set already; the same key with another IV may.
 */
bool itls_cipher_is_reuse(const struct itls_cipher *c,
			  const struct itls_keyinfo *key)
{
	const struct itls_cipher_desc *d = c->desc;
	struct itls_record next = {};
	bool reuse;

	if (d != key->desc ||
	    crypto_memneq(c->key, key->raw + d->key_at, d->key_len))
		return false;
	record_init(&next, key);
	reuse = crypto_memneq(c->record.iv, next.iv, sizeof(next.iv)) ||
		next.seq <= c->record.seq;
	memzero_explicit(&next, sizeof(next));
	return reuse;
}

/* Exchanges two keys, and leaves none on the stack. */
void itls_cipher_swap(struct itls_cipher *a, struct itls_cipher *b)
{
	struct itls_cipher old = *a;

	*a = *b;
	*b = old;
	memzero_explicit(&old, sizeof(old));
}

/* Wipes and frees all that itls_cipher_init() made.  Process context. */
void itls_cipher_free(struct itls_cipher *c)
{
	itls_cipher_free_aead(&c->aead);
	if (c->desc)
		anchor_put(c->desc);
	memzero_explicit(c, sizeof(*c));
}

/*
 * CCM takes the first block's flags and an empty counter with the nonce: a
 * length field of 15 - 12 bytes, less one (RFC 3610 2.3).
 */
static void make_iv(struct itls_cipher *c, const u8 *explicit_nonce)
{
	u8 *nonce = c->iv;

	if (c->desc->flags & ITLS_CCM)
		*nonce++ = 15 - ITLS_NONCE_LEN - 1;
	itls_record_nonce(&c->record, explicit_nonce, nonce);
}

/*
 * A driver may still answer -EINPROGRESS (FPU in use, a queueing backlog):
 * then this waits, under the socket lock, until the request is finished, so
 * that no caller ever sees an asynchronous state.
 */
static int aead_run(struct itls_cipher *c, struct scatterlist *src,
		    struct scatterlist *dst, size_t aad_len, size_t len,
		    int (*op)(struct aead_request *req))
{
	struct aead_request *req = c->aead.req;
	DECLARE_CRYPTO_WAIT(wait);

	aead_request_set_callback(req, CRYPTO_TFM_REQ_MAY_SLEEP |
				  CRYPTO_TFM_REQ_MAY_BACKLOG,
				  crypto_req_done, &wait);
	aead_request_set_ad(req, aad_len);
	aead_request_set_crypt(req, src, dst, len, c->iv);
	return crypto_wait_req(op(req), &wait);
}

/*
 * Does @b begin where @a ends, also for whoever reads on there?  Addresses
 * differ where pages carry tags of their own.
 */
static bool is_followed_by(struct scatterlist *a, struct scatterlist *b)
{
	unsigned int end = a->offset + a->length;

	/* Joined or not, the crypto API stops there. */
	if (ITLS_WALK_ENDS_AT_PAGES && !offset_in_page(end))
		return false;
	return !IS_ENABLED(CONFIG_HIGHMEM) &&
	       sg_page(a) + (end >> PAGE_SHIFT) ==
	       sg_page(b) + (b->offset >> PAGE_SHIFT) &&
	       sg_virt(a) + a->length == sg_virt(b);
}

/**
 * itls_cipher_join() - make one piece of pages that follow one another in memory
 * @sg: pieces of a text
 * @nr: how many, not 0
 *
 * The crypto API goes piece by piece, and puts a block that straddles two of
 * them together elsewhere.
 *
 * Return: how many are left; none is marked as the end.
 */
unsigned int itls_cipher_join(struct scatterlist *sg, unsigned int nr)
{
	struct scatterlist *last = sg;
	unsigned int i;

	for (i = 1; i < nr; i++) {
		if (is_followed_by(last, &sg[i]))
			last->length += sg[i].length;
		else
			sg_set_page(++last, sg_page(&sg[i]), sg[i].length,
				    sg[i].offset);
	}
	return last - sg + 1;
}

/**
 * itls_cipher_seal() - encrypt one record
 * @c: direction, awake; on success its sequence number is advanced
 * @type: content type
 * @src: one free entry, then the plaintext, in TLS 1.3 with the type behind it
 * @dst: one free entry, then room for ciphertext and tag
 * @plain_len: bytes of plaintext, without the type
 *
 * Fills the free entries with the additional data.  What a failed call wrote
 * to @dst must not be sent: its nonce is used again.
 *
 * Return: 0, -EBADMSG when the sequence number would wrap (the kTLS ABI's
 * error for it), or the crypto API's error.
 */
int itls_cipher_seal(struct itls_cipher *c, u8 type, struct scatterlist *src,
		     struct scatterlist *dst, size_t plain_len)
{
	struct itls_record *r = &c->record;
	size_t wire_len = r->explicit_len + plain_len +
			  itls_record_suffix_len(r);
	u8 prefix[ITLS_HEADER_LEN + ITLS_EXPLICIT_MAX];
	size_t aad_len;
	int err;

	if (itls_record_is_exhausted(r))
		return -EBADMSG;
	itls_record_seal_prefix(r, type, plain_len, prefix);
	aad_len = itls_record_aad(r, prefix[0], plain_len, wire_len, c->aad);
	make_iv(c, prefix + ITLS_HEADER_LEN);

	sg_set_buf(&src[0], c->aad, aad_len);
	sg_set_buf(&dst[0], c->aad, aad_len);
	if (itls_record_is_13(r))
		plain_len++;
	err = aead_run(c, src, dst, aad_len, plain_len, crypto_aead_encrypt);
	if (!err)
		itls_record_advance(r);
	return err;
}

/**
 * itls_cipher_open() - authenticate and decrypt one record
 * @c: direction, awake; on success its sequence number is advanced
 * @type: content type in the record's header
 * @explicit_nonce: the record's explicit nonce, if its version has one
 * @src: one free entry, then ciphertext and tag
 * @dst: one free entry, then room for the plaintext (inner type included)
 * @body_len: length field of the header
 *
 * Return: 0, -EBADMSG when the record is not authentic or the sequence number
 * would wrap, or the crypto API's error.
 */
int itls_cipher_open(struct itls_cipher *c, u8 type, const u8 *explicit_nonce,
		     struct scatterlist *src, struct scatterlist *dst,
		     size_t body_len)
{
	struct itls_record *r = &c->record;
	size_t len = body_len - r->explicit_len;
	size_t aad_len;
	int err;

	if (itls_record_is_exhausted(r))
		return -EBADMSG;
	aad_len = itls_record_aad(r, type, len - ITLS_TAG_LEN, body_len,
				  c->aad);
	make_iv(c, explicit_nonce);
	sg_set_buf(&src[0], c->aad, aad_len);
	sg_set_buf(&dst[0], c->aad, aad_len);
	err = aead_run(c, src, dst, aad_len, len, crypto_aead_decrypt);
	if (!err)
		itls_record_advance(r);
	return err;
}

/* The record that was opened last is opened once more. */
void itls_cipher_again(struct itls_cipher *c)
{
	itls_record_rewind(&c->record);
}

/*
 * Gives back the key as it was set, with the present sequence number and,
 * in TLS 1.2, explicit nonce, which is what in-tree kTLS reports.
 */
void itls_cipher_export(const struct itls_cipher *c, struct itls_keyinfo *key)
{
	const struct itls_cipher_desc *d = c->desc;
	const struct itls_record *r = &c->record;

	itls_cipher_make_key(d, r->version, c->key, r->iv, key);
	put_unaligned_be64(r->seq, key->raw + d->seq_at);
	if (r->explicit_len)
		put_unaligned_be64(r->explicit_nonce, key->raw + d->iv_at);
}

u16 itls_cipher_type(const struct itls_cipher *c)
{
	return c->desc->type;
}

const struct itls_cipher_desc *itls_cipher_desc(const struct itls_cipher *c)
{
	return c->desc;
}

/* The crypto API's name for the HMAC of the suite's hash. */
const char *itls_cipher_hmac(const struct itls_cipher_desc *desc)
{
	return desc->hmac;
}

size_t itls_cipher_secret_len(const struct itls_cipher_desc *desc)
{
	return desc->secret_len;
}

size_t itls_cipher_key_len(const struct itls_cipher_desc *desc)
{
	return desc->key_len;
}

/*
 * Does the cipher weaken with the number of records (RFC 8446 5.5)?  AES and
 * its kin do, by the length of their block.
 */
bool itls_cipher_is_limited(const struct itls_cipher *c)
{
	return !(c->desc->flags & ITLS_UNLIMITED);
}

/*
 * Does the cipher look at plaintext twice, in either direction?  CCM encrypts
 * and authenticates it in two passes.
 */
bool itls_cipher_reads_twice(const struct itls_cipher *c)
{
	return c->desc->flags & ITLS_CCM;
}

/**
 * itls_cipher_make_key() - put a key into the form of <linux/tls.h>
 * @desc: cipher
 * @version: TLS_1_2_VERSION or TLS_1_3_VERSION
 * @bytes: the key, itls_cipher_key_len() bytes
 * @iv: ITLS_NONCE_LEN bytes
 * @key: filled in, with sequence number 0; wiped by the caller
 */
void itls_cipher_make_key(const struct itls_cipher_desc *desc, u16 version,
			  const u8 *bytes, const u8 *iv, struct itls_keyinfo *key)
{
	memset(key, 0, sizeof(*key));
	key->desc = desc;
	key->len = desc->info_len;
	key->info.version = version;
	key->info.cipher_type = desc->type;
	memcpy(key->raw + desc->key_at, bytes, desc->key_len);
	memcpy(key->raw + desc->salt_at, iv, desc->salt_len);
	memcpy(key->raw + desc->iv_at, iv + desc->salt_len, desc->iv_len);
}

/* Is it the cipher's own, whatever the sequence number? */
bool itls_cipher_is_key(const struct itls_cipher *c,
			const struct itls_keyinfo *key)
{
	const struct itls_cipher_desc *d = c->desc;
	const u8 *iv = c->record.iv;

	return d == key->desc && c->record.version == key->info.version &&
	       !crypto_memneq(c->key, key->raw + d->key_at, d->key_len) &&
	       !crypto_memneq(iv, key->raw + d->salt_at, d->salt_len) &&
	       !crypto_memneq(iv + d->salt_len, key->raw + d->iv_at, d->iv_len);
}

/* No connection is left; a count that stayed would hold a cipher for good. */
void itls_cipher_exit(void)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(anchors); i++)
		WARN_ON(anchors[i].users);
}
