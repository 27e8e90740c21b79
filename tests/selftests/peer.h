/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A TLS record peer in userspace: seals and opens single records with
 * GnuTLS's bare AEAD, on an ordinary TCP socket.  It does exactly what it is
 * told, so that a test can send any record byte for byte, and decodes what
 * the kernel produced by the RFCs' rules rather than the kernel's.
 */
#ifndef SELFTEST_PEER_H
#define SELFTEST_PEER_H

#include <linux/tls.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <gnutls/crypto.h>

#define REC_HEADER	5
#define REC_MAX		16384	/* plaintext of one record: RFC 8446 5.1 */
#define REC_SPACE	(REC_HEADER + 8 + REC_MAX + 2048 + 16)

enum {
	REC_CCS = 20,
	REC_ALERT = 21,
	REC_HANDSHAKE = 22,
	REC_DATA = 23,
};

#define PEER_SECRET_MAX	48	/* SHA-384 */

/* A key as the kernel takes it, and behind it what the kernel takes beside it. */
union peer_info {
	struct tls_crypto_info info;
	struct tls12_crypto_info_aes_gcm_128 gcm128;
	struct tls12_crypto_info_aes_gcm_256 gcm256;
	struct tls12_crypto_info_chacha20_poly1305 chacha;
	struct {
		uint8_t room[64];
		/* TLS 1.3: the traffic secret that key and IV come from. */
		uint8_t secret[PEER_SECRET_MAX];
	};
};

/*
 * TLS 1.3: a secret made up from seed, and its key and IV (RFC 8446 7.3); TLS
 * 1.2: key and IV made up.  Sequence number and explicit nonce are seq.
 */
void peer_info_make(union peer_info *info, uint16_t version, uint16_t cipher, uint8_t seed,
		    uint64_t seq);
size_t peer_info_size(const union peer_info *info);
/* Length of the suite's hash; 0 in TLS 1.2, which has no traffic secrets. */
size_t peer_secret_len(const union peer_info *info);
/* The next generation of a TLS 1.3 key (RFC 8446 7.2); sequence numbers begin anew. */
void peer_info_update(union peer_info *info);
void peer_info_parts(union peer_info *info, uint8_t **salt, uint8_t **iv, uint8_t **rec_seq);

/* One direction. */
struct peer_key {
	gnutls_aead_cipher_hd_t aead;
	union peer_info info;	/* as it was at first, or after the last update */
	uint16_t version;
	uint8_t explicit_len;	/* nonce bytes in each record: GCM in TLS 1.2 */
	uint8_t iv[12];		/* with an explicit nonce: only the first 4 */
	uint64_t seq;
	uint64_t nonce;		/* the explicit nonce to send next, or last seen */
	uint32_t updates;	/* generations since the first */
};

void peer_key_init(struct peer_key *key, const union peer_info *info);
void peer_key_free(struct peer_key *key);
/* Goes on with the next generation. */
void peer_key_next(struct peer_key *key);

/* Bytes that one record of len bytes of content takes on the wire. */
size_t peer_record_len(const struct peer_key *key, size_t len);
/* Seals one record into out (REC_SPACE bytes); returns its length.  pad: TLS 1.3 only. */
size_t peer_seal(struct peer_key *key, uint8_t type, const void *data, size_t len, size_t pad,
		 uint8_t *out);
/* Opens one whole record; returns the content's length or -errno. */
ssize_t peer_open(struct peer_key *key, const uint8_t *rec, size_t len, uint8_t *type,
		  uint8_t *out);

struct peer {
	int fd;
	struct peer_key tx, rx;
	uint64_t sent;		/* raw bytes, what the other side's TCP will have received */
	/* Reading data does what KeyUpdates say, and counts them here. */
	uint32_t updates;	/* KeyUpdates of the kernel's */
	uint32_t requests;	/* those of them that want one of ours */
};

/* ours is what the kernel under test got as TLS_TX and TLS_RX. */
void peer_init(struct peer *peer, int fd, const union peer_info *kernel_tx,
	       const union peer_info *kernel_rx);
void peer_free(struct peer *peer);

void peer_send_raw(struct peer *peer, const void *data, size_t len);
void peer_send(struct peer *peer, uint8_t type, const void *data, size_t len);
void peer_send_padded(struct peer *peer, uint8_t type, const void *data, size_t len, size_t pad);
/* A stream of data in records of at most chunk bytes. */
void peer_send_data(struct peer *peer, const void *data, size_t len, size_t chunk);
void peer_alert(struct peer *peer, uint8_t level, uint8_t description);

/* RFC 8446 4.6.3. */
enum {
	UPDATE_NOT_REQUESTED = 0,
	UPDATE_REQUESTED = 1,
};

#define UPDATE_LEN 5
/* The message. */
void peer_update_message(uint8_t request, uint8_t out[UPDATE_LEN]);
/* Sends a KeyUpdate and goes on with the next key. */
void peer_send_update(struct peer *peer, uint8_t request);

struct peer_record {
	uint8_t type;
	size_t len;
	uint8_t data[REC_SPACE];
};

/* Reads one record: 1, or 0 at a FIN between records.  Anything else ends the test. */
int peer_recv(struct peer *peer, struct peer_record *rec);
/* Is it one KeyUpdate and nothing else?  Then goes on with the next key. */
bool peer_follow(struct peer *peer, const struct peer_record *rec);
/* The next record must be one; returns what it requests. */
uint8_t peer_recv_update(struct peer *peer);
/* A record of data that must come; appends to out, returns its length. */
size_t peer_recv_data(struct peer *peer, uint8_t *out, size_t room);
/* Reads data records until len bytes of content have come; returns how many records it took. */
int peer_recv_all(struct peer *peer, uint8_t *out, size_t len);
/*
 * Reads len bytes of the pattern from offset on, in a thread, while the test
 * sends; records tells in how many records they came.
 */
struct peer_drain {
	struct peer *peer;
	size_t len;
	uint64_t offset;
	int records;
	pthread_t thread;
};

void peer_drain_start(struct peer_drain *d, struct peer *peer, size_t len, uint64_t offset);
void peer_drain_join(struct peer_drain *d);

/* Nothing has arrived and nothing is under way from fd, the other end. */
void peer_expect_silence(struct peer *peer, int fd);

#endif
