/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * The only thing the itls kernel module and its userspace share.
 *
 * Socket options are used at level SOL_TLS, after the ULP "itls" is attached
 * with setsockopt(fd, SOL_TCP, TCP_ULP, "itls", 4).  The options of
 * <linux/tls.h> keep their numbers and meaning; the ones below are numbered
 * well above them.  The netlink half follows itls.yaml.
 */
#ifndef _UAPI_LINUX_ITLS_H
#define _UAPI_LINUX_ITLS_H

#include <linux/types.h>

#define ITLS_ULP_NAME		"itls"
#define ITLS_ULP_LISTEN_NAME	"itls-listen"

/* Longest strings, terminating NUL not counted. */
#define ITLS_PROFILE_MAX	63	/* [A-Za-z0-9._-]+ */
#define ITLS_ALPN_MAX		255	/* RFC 7301, 3.1 */
#define ITLS_SNI_MAX		255	/* RFC 6066, 3: a DNS name */
#define ITLS_DIGEST_LEN		32	/* SHA-256 of the peer's certificate */
#define ITLS_PREFIX_MAX		16384	/* bytes of rx_prefix */
#define ITLS_COMM_LEN		16	/* as TASK_COMM_LEN */
#define ITLS_SUBJECT_MAX	255	/* the peer's distinguished name, RFC 4514 */
#define ITLS_SECRET_MAX		48	/* a traffic secret, RFC 8446 7.1: SHA-384 */
#define ITLS_TICKET_MAX		16384	/* a NewSessionTicket message, header included */
#define ITLS_PEM_MAX		32768	/* each of the files of struct itls_connect */

/*
 * TLS_TX_MAX_PAYLOAD_LEN of <linux/tls.h>, which older headers lack: most
 * bytes of plaintext in a record sent, a __u16 from 64 (TLS 1.3: 63) to 16384.
 */
#define ITLS_TX_MAX_PAYLOAD_LEN	5

/*
 * setsockopt(fd, SOL_TLS, ITLS_LISTEN, name, strlen(name)): handshake every
 * connection accepted from this listener with the server profile @name.  The
 * listener has the ULP "itls-listen" attached, its children get "itls".
 * Length 0 takes the mark away; connections that come later are plain TCP.
 * getsockopt gives the name, without NUL, or length 0.
 */
#define ITLS_LISTEN		64

/* getsockopt(fd, SOL_TLS, ITLS_INFO, &info, &len): a struct itls_info. */
#define ITLS_INFO		65

/*
 * setsockopt(fd, SOL_TLS, ITLS_AUTONOMOUS, &a, sizeof(a)), on a socket with
 * TLS_TX and TLS_RX: from now on the kernel does what a TLS library would do
 * between records (KeyUpdate, limits, alerts, close_notify), as on a managed
 * socket.  Keys can be neither set nor read any more.
 */
#define ITLS_AUTONOMOUS		66

struct itls_autonomous {
	__u8  role;		/* ITLS_ROLE_SERVER or ITLS_ROLE_CLIENT */
	__u8  secret_len;	/* TLS 1.3: of the suite's hash, 32 or 48; else 0 */
	__u8  reserved[6];	/* 0 */
	__u64 rekey_records;	/* change the sending key after so many records */
	__u64 rekey_bytes;	/* or bytes of plaintext; 0: the module's default */
	__u8  tx_secret[ITLS_SECRET_MAX]; /* traffic secrets, RFC 8446 7.1 */
	__u8  rx_secret[ITLS_SECRET_MAX];
};

/*
 * setsockopt(fd, SOL_TLS, ITLS_CONNECT, &c, sizeof(c)), on a connected socket
 * with the ULP "itls" and no key: make the client's handshake with the client
 * profile @profile, and see that the server is @server_name.  Waits for it, or
 * on a non-blocking descriptor fails with EINPROGRESS: then poll for POLLOUT
 * and ask SO_ERROR.  ITLS_INFO says what was wrong with a certificate.
 *
 * @ca, @cert and @key point to PEM, used in place of the profile's: the
 * issuers to trust, and the client's certificate with its private key.
 */
#define ITLS_CONNECT		67

struct itls_connect {
	__u32 size;		/* sizeof(struct itls_connect) of the caller */
	__u32 ca_len;		/* bytes, at most ITLS_PEM_MAX; 0: the profile's */
	__u32 cert_len;
	__u32 key_len;
	__aligned_u64 ca;	/* user pointers */
	__aligned_u64 cert;
	__aligned_u64 key;
	char  profile[ITLS_PROFILE_MAX + 1];	/* NUL-terminated */
	char  server_name[ITLS_SNI_MAX + 1];	/* DNS name or IP address, likewise */
};

enum itls_state {
	ITLS_STATE_NONE,	/* ULP attached, no key yet: plain TCP */
	ITLS_STATE_LISTEN,	/* marked listener */
	ITLS_STATE_PENDING,	/* handshake under way */
	ITLS_STATE_ESTABLISHED,	/* at least one direction has a key */
	ITLS_STATE_FAILED,	/* the handshake failed: nothing passes */
	ITLS_STATE_CLOSED,	/* close() or shutdown of a managed socket began */
};

enum itls_role {
	ITLS_ROLE_KTLS,		/* keys came from setsockopt */
	ITLS_ROLE_SERVER,	/* accepted from a marked listener */
	ITLS_ROLE_CLIENT,	/* ITLS_CONNECT */
};

/* What became of the peer's certificate. */
enum itls_verify {
	ITLS_VERIFY_NONE,	/* none was asked for, or none was sent */
	ITLS_VERIFY_OK,		/* issuer, validity, name and purpose are right */
	ITLS_VERIFY_ISSUER,	/* no trusted authority issued it */
	ITLS_VERIFY_EXPIRED,
	ITLS_VERIFY_NOT_YET,	/* not yet valid */
	ITLS_VERIFY_NAME,	/* issued for another name */
	ITLS_VERIFY_KEY,	/* the key is too weak */
	ITLS_VERIFY_SIGNATURE,	/* signed with an algorithm that is too weak */
	ITLS_VERIFY_PURPOSE,	/* not for this side of TLS */
	ITLS_VERIFY_REVOKED,
	ITLS_VERIFY_MISSING,	/* one was required and none was sent */
	ITLS_VERIFY_INVALID,	/* forged or malformed, or its chain is */
	__ITLS_VERIFY_MAX,
};

/* What the length of records is for. */
enum itls_record_sizing {
	ITLS_RECORD_SIZING_LATENCY, /* short ones after idle times, then full ones */
	ITLS_RECORD_SIZING_THROUGHPUT, /* full ones always */
	__ITLS_RECORD_SIZING_MAX,
};

/* No alert was seen or sent: the value of alert_rx and alert_tx then. */
#define ITLS_ALERT_NONE		255

struct itls_info {
	__u32 size;		/* bytes the kernel filled in */
	__u32 id;		/* session number, as in netlink; 0: none */
	__u8  state;		/* enum itls_state */
	__u8  role;		/* enum itls_role */
	__u16 version;		/* TLS_1_2_VERSION or TLS_1_3_VERSION, 0: none */
	__u16 tx_cipher;	/* TLS_CIPHER_* of <linux/tls.h>, 0: none */
	__u16 rx_cipher;
	__u8  alert_rx;		/* last alert description received (RFC 8446 6) */
	__u8  alert_tx;		/* last alert description sent */
	__u8  resumed;		/* 1: the handshake resumed a session */
	__u8  peer_digest_len;	/* 0 or ITLS_DIGEST_LEN */
	__u32 reserved;
	__u64 tx_records;
	__u64 tx_bytes;		/* plaintext */
	__u64 rx_records;
	__u64 rx_bytes;		/* plaintext */
	__u8  peer_digest[ITLS_DIGEST_LEN];
	char  profile[ITLS_PROFILE_MAX + 1];
	char  alpn[ITLS_ALPN_MAX + 1];
	char  sni[ITLS_SNI_MAX + 1];
	__u32 tx_rekeys;	/* keys changed since the handshake */
	__u32 rx_rekeys;
	__u8  verify;		/* enum itls_verify */
	__u8  reserved2[7];
	char  peer_subject[ITLS_SUBJECT_MAX + 1]; /* of the peer's certificate, good or not */
};

/* Generic netlink: see itls.yaml. */
#define ITLS_GENL_NAME		"itls"
#define ITLS_GENL_VERSION	1
#define ITLS_MCGRP_AGENT	"agent"

enum itls_cmd {
	ITLS_CMD_UNSPEC,
	ITLS_CMD_AGENT,		/* do: register the sending socket as agent */
	ITLS_CMD_READY,		/* notification: a handshake waits */
	ITLS_CMD_ACCEPT,	/* do: take one waiting handshake */
	ITLS_CMD_DONE,		/* do: finish one handshake */
	ITLS_CMD_SESSION_GET,	/* dump: sessions of this network namespace */
	ITLS_CMD_REKEY,		/* do: change the sending key of one session */
	ITLS_CMD_TICKET,	/* event to the agent: a client received a ticket */
	__ITLS_CMD_MAX,
};

#define ITLS_CMD_MAX	(__ITLS_CMD_MAX - 1)

/* What ACCEPT gives: one handshake to do. */
enum itls_accept_attr {
	ITLS_A_ACCEPT_UNSPEC,
	ITLS_A_ACCEPT_PAD,
	ITLS_A_ACCEPT_ID,	/* u32, session number */
	ITLS_A_ACCEPT_FD,	/* s32, channel descriptor, in the caller */
	ITLS_A_ACCEPT_PROFILE,	/* string */
	ITLS_A_ACCEPT_DEADLINE,	/* u32, milliseconds left */
	ITLS_A_ACCEPT_OWNER_UID, /* u32, who marked the listener */
	ITLS_A_ACCEPT_OWNER_PID, /* u32, the same */
	ITLS_A_ACCEPT_OWNER_COMM, /* string, the same */
	ITLS_A_ACCEPT_LOCAL,	/* binary, struct sockaddr_in or sockaddr_in6 */
	ITLS_A_ACCEPT_PEER,	/* the same */
	ITLS_A_ACCEPT_ROLE,	/* u8, enum itls_role: what the agent has to be */
	ITLS_A_ACCEPT_SERVER_NAME, /* string, client: whom to expect */
	ITLS_A_ACCEPT_CA,	/* binary, client, optional: struct itls_connect */
	ITLS_A_ACCEPT_CERT,	/* the same */
	ITLS_A_ACCEPT_KEY,	/* the same */
	__ITLS_A_ACCEPT_MAX,
};

#define ITLS_A_ACCEPT_MAX	(__ITLS_A_ACCEPT_MAX - 1)

/* What DONE takes: how one handshake ended. */
enum itls_done_attr {
	ITLS_A_DONE_UNSPEC,
	ITLS_A_DONE_PAD,
	ITLS_A_DONE_ID,		/* u32, session number */
	ITLS_A_DONE_STATUS,	/* u32, 0: established, else a positive errno */
	ITLS_A_DONE_TX,		/* binary, a tls12_crypto_info_* of <linux/tls.h> */
	ITLS_A_DONE_RX,		/* the same, for what the peer sends */
	ITLS_A_DONE_ALPN,	/* string, optional */
	ITLS_A_DONE_SNI,	/* string, optional */
	ITLS_A_DONE_PEER_DIGEST, /* binary, ITLS_DIGEST_LEN bytes, optional */
	ITLS_A_DONE_RESUMED,	/* flag */
	ITLS_A_DONE_PREFIX,	/* binary, at most ITLS_PREFIX_MAX, optional */
	ITLS_A_DONE_ALERT_TX,	/* u8, alert the agent sent, with a failure */
	ITLS_A_DONE_ALERT_RX,	/* u8, alert the agent received, likewise */
	ITLS_A_DONE_TX_SECRET,	/* binary, traffic secret; TLS 1.3 */
	ITLS_A_DONE_RX_SECRET,	/* the same, for what the peer sends */
	ITLS_A_DONE_REKEY_RECORDS, /* u64, optional, not 0: struct itls_autonomous */
	ITLS_A_DONE_REKEY_BYTES, /* the same */
	ITLS_A_DONE_VERIFY,	/* u8, enum itls_verify, with a failure too */
	ITLS_A_DONE_PEER_SUBJECT, /* string, optional */
	ITLS_A_DONE_RECORD_SIZING, /* u8, enum itls_record_sizing, optional */
	__ITLS_A_DONE_MAX,
};

#define ITLS_A_DONE_MAX	(__ITLS_A_DONE_MAX - 1)

/* What a dump of SESSION_GET gives, one message a session. */
enum itls_session_attr {
	ITLS_A_SESSION_UNSPEC,
	ITLS_A_SESSION_PAD,
	ITLS_A_SESSION_ID,	/* u32 */
	ITLS_A_SESSION_STATE,	/* u8, enum itls_state */
	ITLS_A_SESSION_ROLE,	/* u8, enum itls_role */
	ITLS_A_SESSION_PROFILE,	/* string, managed sessions */
	ITLS_A_SESSION_LOCAL,	/* binary, struct sockaddr_in or sockaddr_in6 */
	ITLS_A_SESSION_PEER,	/* the same */
	ITLS_A_SESSION_PID,	/* u32, process that accepted or attached */
	ITLS_A_SESSION_COMM,	/* string, the same */
	ITLS_A_SESSION_VERSION,	/* u16, TLS_1_2_VERSION or TLS_1_3_VERSION */
	ITLS_A_SESSION_TX_CIPHER, /* u16, TLS_CIPHER_* */
	ITLS_A_SESSION_RX_CIPHER, /* u16 */
	ITLS_A_SESSION_ALPN,	/* string */
	ITLS_A_SESSION_SNI,	/* string */
	ITLS_A_SESSION_PEER_DIGEST, /* binary */
	ITLS_A_SESSION_RESUMED,	/* flag */
	ITLS_A_SESSION_AGE,	/* u32, milliseconds since accept or attach */
	ITLS_A_SESSION_TX_RECORDS, /* u64 */
	ITLS_A_SESSION_TX_BYTES, /* u64, plaintext */
	ITLS_A_SESSION_RX_RECORDS, /* u64 */
	ITLS_A_SESSION_RX_BYTES, /* u64, plaintext */
	ITLS_A_SESSION_TX_REKEYS, /* u32 */
	ITLS_A_SESSION_RX_REKEYS, /* u32 */
	ITLS_A_SESSION_VERIFY,	/* u8, enum itls_verify */
	ITLS_A_SESSION_PEER_SUBJECT, /* string */
	__ITLS_A_SESSION_MAX,
};

#define ITLS_A_SESSION_MAX	(__ITLS_A_SESSION_MAX - 1)

/* What REKEY takes. */
enum itls_rekey_attr {
	ITLS_A_REKEY_UNSPEC,
	ITLS_A_REKEY_ID,	/* u32, session number */
	ITLS_A_REKEY_PEER,	/* flag: ask the peer to change its key as well */
	__ITLS_A_REKEY_MAX,
};

#define ITLS_A_REKEY_MAX	(__ITLS_A_REKEY_MAX - 1)

/* What TICKET brings. */
enum itls_ticket_attr {
	ITLS_A_TICKET_UNSPEC,
	ITLS_A_TICKET_ID,	/* u32, session number */
	ITLS_A_TICKET_MESSAGE,	/* binary, NewSessionTicket with its header */
	__ITLS_A_TICKET_MAX,
};

#define ITLS_A_TICKET_MAX	(__ITLS_A_TICKET_MAX - 1)

#endif /* _UAPI_LINUX_ITLS_H */
