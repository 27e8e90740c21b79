// SPDX-License-Identifier: GPL-2.0
/*
 * libitls: the upper layer protocol and the options of a socket.  The kernel
 * judges what it is given; only what cannot be put into its structures is
 * refused here.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "itls.h"

#ifndef SOL_TLS
#define SOL_TLS 282
#endif

#define DEFAULT_PROFILE "default"
#define ULP_NAME_MAX 16		/* TCP_ULP_NAME_MAX of the kernel */

static int set_option(int fd, int level, int option, const void *value, size_t len)
{
	return setsockopt(fd, level, option, value, len) ? -errno : 0;
}

/* "": no protocol is attached. */
static int read_ulp(int fd, char name[ULP_NAME_MAX + 1])
{
	socklen_t len = ULP_NAME_MAX;

	memset(name, 0, ULP_NAME_MAX + 1);
	return getsockopt(fd, SOL_TCP, TCP_ULP, name, &len) ? -errno : 0;
}

/* It may be there already.  -EEXIST: another one is. */
static int attach_ulp(int fd, const char *name)
{
	char present[ULP_NAME_MAX + 1];
	int err;

	err = set_option(fd, SOL_TCP, TCP_ULP, name, strlen(name));
	if (err != -EEXIST)
		return err;
	err = read_ulp(fd, present);
	if (err)
		return err;
	return strcmp(present, name) ? -EEXIST : 0;
}

int itls_listen(int fd, const char *profile)
{
	int err;

	if (!profile)
		profile = DEFAULT_PROFILE;
	if (!*profile)
		return -EINVAL;		/* the kernel would take the mark away */
	err = attach_ulp(fd, ITLS_ULP_LISTEN_NAME);
	return err ? err : set_option(fd, SOL_TLS, ITLS_LISTEN, profile, strlen(profile));
}

int itls_unlisten(int fd)
{
	char ulp[ULP_NAME_MAX + 1];
	int err;

	err = read_ulp(fd, ulp);
	if (err || strcmp(ulp, ITLS_ULP_LISTEN_NAME))
		return err;
	return set_option(fd, SOL_TLS, ITLS_LISTEN, "", 0);
}

int itls_listen_profile(int fd, char *profile, size_t size)
{
	char name[ITLS_PROFILE_MAX + 1] = "", ulp[ULP_NAME_MAX + 1];
	socklen_t len = ITLS_PROFILE_MAX;
	int err;

	err = read_ulp(fd, ulp);
	if (err)
		return err;
	if (!strcmp(ulp, ITLS_ULP_LISTEN_NAME) && getsockopt(fd, SOL_TLS, ITLS_LISTEN, name, &len))
		return -errno;
	if (strlen(name) >= size)
		return -ERANGE;
	strcpy(profile, name);
	return 0;
}

/* Takes a structure of any release, unless it says what we do not understand. */
static int take_client(struct itls_client *ours, const void *theirs, size_t size)
{
	const unsigned char *bytes = theirs;

	for (size_t i = sizeof(*ours); i < size; i++)
		if (bytes[i])
			return -E2BIG;
	memset(ours, 0, sizeof(*ours));
	memcpy(ours, theirs, size < sizeof(*ours) ? size : sizeof(*ours));
	return 0;
}

/* @dst was zeroed. */
static int put_name(char *dst, size_t size, const char *name)
{
	if (!name || strlen(name) >= size)
		return -EINVAL;
	strcpy(dst, name);
	return 0;
}

static int put_pem(__u64 *pointer, __u32 *len_field, const void *pem, size_t len)
{
	if (len > ITLS_PEM_MAX)
		return -EMSGSIZE;
	if (!pem && len)
		return -EINVAL;
	*pointer = (uintptr_t)pem;
	*len_field = len;
	return 0;
}

static int put_client(struct itls_connect *c, const struct itls_client *client)
{
	int err;

	err = put_name(c->profile, sizeof(c->profile),
		       client->profile ? client->profile : DEFAULT_PROFILE);
	if (!err)
		err = put_name(c->server_name, sizeof(c->server_name), client->server_name);
	if (!err)
		err = put_pem(&c->ca, &c->ca_len, client->ca, client->ca_len);
	if (!err)
		err = put_pem(&c->cert, &c->cert_len, client->cert, client->cert_len);
	if (!err)
		err = put_pem(&c->key, &c->key_len, client->key, client->key_len);
	return err;
}

int itls_connect(int fd, const struct itls_client *client, size_t size)
{
	struct itls_connect c = { .size = sizeof(c) };
	struct itls_client known;
	int err;

	err = take_client(&known, client, size);
	if (!err)
		err = put_client(&c, &known);
	if (!err)
		err = attach_ulp(fd, ITLS_ULP_NAME);
	return err ? err : set_option(fd, SOL_TLS, ITLS_CONNECT, &c, sizeof(c));
}

/* Asked when SO_ERROR says nothing: it tells a failure only once. */
static int handshake_state(int fd)
{
	struct itls_info info;
	int err;

	err = itls_info(fd, &info, offsetof(struct itls_info, role));
	if (err)
		return err;
	switch (info.state) {
	case ITLS_STATE_PENDING:
		return -EINPROGRESS;
	case ITLS_STATE_FAILED:
		return -ECONNABORTED;
	default:
		return 0;
	}
}

int itls_connect_wait(int fd, int timeout_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	socklen_t len = sizeof(int);
	int n, result;

	n = poll(&p, 1, timeout_ms);
	if (n <= 0)
		return n ? -errno : -EINPROGRESS;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &result, &len))
		return -errno;
	return result ? -result : handshake_state(fd);
}

int itls_info(int fd, struct itls_info *info, size_t size)
{
	socklen_t len = size;

	memset(info, 0, size);
	if (size > offsetof(struct itls_info, alert_tx)) {
		info->alert_rx = ITLS_ALERT_NONE;
		info->alert_tx = ITLS_ALERT_NONE;
	}
	return getsockopt(fd, SOL_TLS, ITLS_INFO, info, &len) ? -errno : 0;
}

int itls_autonomous(int fd, const struct itls_autonomous *a, size_t size)
{
	return set_option(fd, SOL_TLS, ITLS_AUTONOMOUS, a, size);
}
