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
	__ITLS_A_SESSION_MAX,
};

#define ITLS_A_SESSION_MAX	(__ITLS_A_SESSION_MAX - 1)

#endif /* _UAPI_LINUX_ITLS_H */
