/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Generic netlink to the itls family, over libmnl.  Owns the socket, the
 * family lookup, sequence numbers and the translation of extack into text.
 * Knows nothing of TLS; no GnuTLS header may be included beside it.
 *
 * Every function returns 0 (or a count) or -errno.  After an error
 * itls_nl_error() says in one line what happened and what to do.
 */
#ifndef ITLS_NL_H
#define ITLS_NL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include <linux/itls.h>

struct itls_nl;

/* Bytes on the heap, a NUL behind them; data NULL: none were given. */
struct itls_nl_blob {
	uint8_t *data;
	size_t len;
};

/*
 * One handshake to do, as ACCEPT gave it.  The caller owns fd, and the blobs:
 * itls_nl_request_wipe().
 */
struct itls_nl_request {
	uint32_t id;
	int fd;
	uint32_t deadline_ms;
	uint32_t owner_uid;
	uint32_t owner_pid;
	char owner_comm[ITLS_COMM_LEN];
	char profile[ITLS_PROFILE_MAX + 1];
	struct sockaddr_storage local;
	struct sockaddr_storage peer;
	uint8_t role;		/* enum itls_role; a kernel that names none means SERVER */
	char server_name[ITLS_SNI_MAX + 1];
	struct itls_nl_blob ca;	/* PEM, of clients */
	struct itls_nl_blob cert;
	struct itls_nl_blob key;
};

/* How a handshake ended.  tx and rx point to tls12_crypto_info_* bytes. */
struct itls_nl_done {
	uint32_t id;
	uint32_t status;	/* 0 or a positive errno */
	const void *tx;
	size_t tx_len;
	const void *rx;
	size_t rx_len;
	const char *alpn;	/* NULL: none; the same for those below */
	const char *sni;
	const uint8_t *peer_digest; /* ITLS_DIGEST_LEN bytes */
	bool resumed;
	const void *prefix;
	size_t prefix_len;
	int alert_tx;		/* -1: none */
	int alert_rx;
	const void *tx_secret;	/* traffic secrets of TLS 1.3, or NULL */
	const void *rx_secret;
	size_t secret_len;	/* of each */
	uint64_t rekey_records;	/* 0: the module's; the same for bytes */
	uint64_t rekey_bytes;
	uint8_t verify;		/* enum itls_verify */
	const char *peer_subject; /* NULL: none */
	uint8_t record_sizing;	/* enum itls_record_sizing */
};

struct itls_nl_session {
	uint32_t id;
	uint8_t state;		/* enum itls_state */
	uint8_t role;		/* enum itls_role */
	char profile[ITLS_PROFILE_MAX + 1];
	struct sockaddr_storage local;
	struct sockaddr_storage peer;
	uint32_t pid;
	char comm[ITLS_COMM_LEN];
	uint16_t version;
	uint16_t tx_cipher;
	uint16_t rx_cipher;
	char alpn[ITLS_ALPN_MAX + 1];
	char sni[ITLS_SNI_MAX + 1];
	uint8_t peer_digest[ITLS_DIGEST_LEN];
	bool has_peer_digest;
	bool resumed;
	uint32_t age_ms;
	uint64_t tx_records, tx_bytes, rx_records, rx_bytes;
	uint32_t tx_rekeys, rx_rekeys;
	uint8_t verify;		/* enum itls_verify */
	char peer_subject[ITLS_SUBJECT_MAX + 1];
};

/*
 * A client got a NewSessionTicket, @len bytes with its header.  Called from
 * inside other functions of this file: it must not call them itself.
 */
typedef void (*itls_nl_ticket_fn)(uint32_t id, const void *message, size_t len, void *arg);

/* What came of an itls_nl_tell_done(): a -errno, itls_nl_error() says the rest.  The same holds. */
typedef void (*itls_nl_refusal_fn)(int err, void *arg);

/* Opens a socket and resolves the family.  -ENOENT: module not loaded. */
int itls_nl_open(struct itls_nl **nlp);
void itls_nl_close(struct itls_nl *nl);
const char *itls_nl_error(const struct itls_nl *nl);

/* Becomes an agent: joins the group "agent" and registers.  -EPERM: needs CAP_NET_ADMIN. */
int itls_nl_agent(struct itls_nl *nl);
/* Who is told of tickets; without it they are dropped.  Before itls_nl_agent(). */
void itls_nl_on_ticket(struct itls_nl *nl, itls_nl_ticket_fn fn, void *arg);
/* The descriptor on which READY notifications arrive, for poll. */
int itls_nl_fd(const struct itls_nl *nl);
/* The one on which tickets arrive, the same way. */
int itls_nl_ticket_fd(const struct itls_nl *nl);
/*
 * Read what waits on each, without blocking: notifications are dropped, tickets
 * and refusals handed over.  -ENOBUFS: some were lost; ACCEPT anyway.
 */
int itls_nl_ready_drain(struct itls_nl *nl);
int itls_nl_ticket_drain(struct itls_nl *nl);
/* Both. */
int itls_nl_drain(struct itls_nl *nl);
/* Takes one waiting handshake.  -EAGAIN: none waits. */
int itls_nl_accept(struct itls_nl *nl, struct itls_nl_request *req);
/* Wipes and frees the blobs; fd is left alone. */
void itls_nl_request_wipe(struct itls_nl_request *req);
/* Ends one handshake.  -ESRCH: it had ended already (deadline, peer or server gone). */
int itls_nl_done(struct itls_nl *nl, const struct itls_nl_done *done);
/* The same, but does not wait to hear that all is well; if it is not, itls_nl_on_refusal(). */
int itls_nl_tell_done(struct itls_nl *nl, const struct itls_nl_done *done);
/* Who is told of refusals.  They arrive where tickets do. */
void itls_nl_on_refusal(struct itls_nl *nl, itls_nl_refusal_fn fn, void *arg);
/* Calls each for every session; stops and returns what it returns if not 0. */
int itls_nl_sessions(struct itls_nl *nl, int (*each)(const struct itls_nl_session *s, void *arg), void *arg);
/*
 * Changes the sending key of a session; @ask_peer: and asks the peer to change
 * its own.  -ESRCH: no such session, -EOPNOTSUPP: it cannot.
 */
int itls_nl_rekey(struct itls_nl *nl, uint32_t id, bool ask_peer);

#endif
