// SPDX-License-Identifier: GPL-2.0
/*
 * Linked in place of libitls's nl.c: a kernel with three sessions, one of them
 * a client of ours, one by a client that put terminal commands and broken UTF-8 into its names.
 * Session 7 changes its key; FAKE_REKEY_ERRNO makes that fail, and FAKE_OPEN_ERRNO
 * makes the module be absent.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include <linux/tls.h>

#include "libitls/nl.h"

static const struct itls_nl_session plain = {
	.id = 7,
	.state = ITLS_STATE_ESTABLISHED,
	.role = ITLS_ROLE_SERVER,
	.profile = "default",
	.pid = 4242,
	.comm = "nginx",
	.version = TLS_1_3_VERSION,
	.tx_cipher = TLS_CIPHER_AES_GCM_256,
	.rx_cipher = TLS_CIPHER_AES_GCM_256,
	.alpn = "http/1.1",
	.sni = "localhost",
	.resumed = true,
	.age_ms = 61500,
	.tx_records = 4097,
	.tx_bytes = 64ull << 20,
	.rx_records = 1,
	.rx_bytes = 78,
	.tx_rekeys = 3,
	.rx_rekeys = 2,
};

static const struct itls_nl_session client = {
	.id = 9,
	.state = ITLS_STATE_ESTABLISHED,
	.role = ITLS_ROLE_CLIENT,
	.verify = ITLS_VERIFY_OK,
	.peer_subject = "CN=a b,O=\033[2J",
};

static const struct itls_nl_session hostile = {
	.id = 8,
	.state = ITLS_STATE_PENDING,
	.role = 99,
	.comm = "a b\033",
	.pid = 1,
	.version = 0x0305,
	.tx_cipher = 999,
	.alpn = "\xff\xfe",
	.verify = 99,
	.sni = "\033]0;owned\007 \302\2332J\nrow",
	.has_peer_digest = true,
	.peer_digest = { 0xab, [31] = 0xcd },
};

int itls_nl_open(struct itls_nl **nlp)
{
	const char *err = getenv("FAKE_OPEN_ERRNO");

	*nlp = NULL;
	return err ? -atoi(err) : 0;
}

void itls_nl_close(struct itls_nl *nl)
{
	(void)nl;
}

const char *itls_nl_error(const struct itls_nl *nl)
{
	(void)nl;
	return "fake";
}

int itls_nl_sessions(struct itls_nl *nl,
		     int (*each)(const struct itls_nl_session *s, void *arg),
		     void *arg)
{
	struct sockaddr_in6 in6 = {
		.sin6_family = AF_INET6,
		.sin6_port = htons(443),
		.sin6_addr = IN6ADDR_LOOPBACK_INIT,
	};
	struct sockaddr_in in = {
		.sin_family = AF_INET,
		.sin_port = htons(50000),
	};
	struct itls_nl_session s = plain;
	int err;

	(void)nl;
	in.sin_addr.s_addr = htonl(0xc0000201);
	memcpy(&s.peer, &in, sizeof(in));
	memcpy(&s.local, &in6, sizeof(in6));
	if (getenv("FAKE_NONE"))
		return 0;
	err = each(&s, arg);
	if (!err)
		err = each(&hostile, arg);
	return err ? err : each(&client, arg);
}

int itls_nl_rekey(struct itls_nl *nl, uint32_t id, bool ask_peer)
{
	const char *err = getenv("FAKE_REKEY_ERRNO");

	(void)nl;
	(void)ask_peer;
	if (err)
		return -atoi(err);
	return id == 7 ? 0 : -ESRCH;
}
