// SPDX-License-Identifier: GPL-2.0
/*
 * Preloaded into itlsctl get where the module cannot be: ITLS_CONNECT succeeds
 * and the connection stays plain TCP.  What the environment wants is played:
 *
 * FAKE_ULP_ERRNO	TCP_ULP fails so
 * FAKE_CONNECT_ERRNO	the handshake ends so, with FAKE_VERIFY, FAKE_SUBJECT
 * FAKE_HANG		it does not end
 * FAKE_ALERT		an alert was received
 * FAKE_ALPN, FAKE_RESUMED	what ITLS_INFO says of a connection
 * FAKE_NO_SPLICE	nothing can be spliced from a socket
 * FAKE_LOG		a file that gets a line for each ITLS_CONNECT and each
 *			first splice to what is no pipe
 *
 * The host both.test has two addresses: ::1, then 127.0.0.1.
 * To be built with -D_GNU_SOURCE.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/itls.h>
#include <linux/tls.h>

#define FAKE_SOL_TLS 282

/* One connection at a time is enough for get. */
static int attached = -1, pending = -1;

static int fail(int err)
{
	errno = err;
	return -1;
}

static int number(const char *name)
{
	const char *value = getenv(name);

	return value ? atoi(value) : 0;
}

static void copy(char *dst, size_t size, const char *name)
{
	const char *value = getenv(name);

	snprintf(dst, size, "%s", value ? value : "");
}

static void note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static void note(const char *fmt, ...)
{
	const char *log = getenv("FAKE_LOG");
	va_list ap;
	FILE *f;

	if (!log)
		return;
	f = fopen(log, "a");
	va_start(ap, fmt);
	vfprintf(f, fmt, ap);
	va_end(ap);
	fclose(f);
}

static int start(int fd, const struct itls_connect *c, socklen_t len)
{
	if (len != sizeof(*c) || c->size != sizeof(*c) || fd != attached)
		return fail(EINVAL);
	note("connect %s %s ca=%u cert=%u key=%u\n", c->profile, c->server_name, c->ca_len,
	     c->cert_len, c->key_len);
	pending = fd;
	return fail(EINPROGRESS);
}

int setsockopt(int fd, int level, int opt, const void *val, socklen_t len)
{
	typeof(setsockopt) *real = dlsym(RTLD_NEXT, "setsockopt");

	if (level == SOL_TCP && opt == TCP_ULP) {
		if (getenv("FAKE_ULP_ERRNO"))
			return fail(number("FAKE_ULP_ERRNO"));
		attached = fd;
		return 0;
	}
	if (level == FAKE_SOL_TLS && opt == ITLS_CONNECT)
		return start(fd, val, len);
	return real(fd, level, opt, val, len);
}

static int give_info(int fd, void *val, socklen_t *len)
{
	int err = number("FAKE_CONNECT_ERRNO");
	struct itls_info info = {
		.size = sizeof(info),
		.state = err ? ITLS_STATE_FAILED : ITLS_STATE_ESTABLISHED,
		.role = ITLS_ROLE_CLIENT,
		.version = TLS_1_3_VERSION,
		.tx_cipher = TLS_CIPHER_AES_GCM_128,
		.rx_cipher = TLS_CIPHER_AES_GCM_128,
		.alert_rx = getenv("FAKE_ALERT") ? number("FAKE_ALERT") : ITLS_ALERT_NONE,
		.alert_tx = ITLS_ALERT_NONE,
		.resumed = number("FAKE_RESUMED"),
		.verify = err ? number("FAKE_VERIFY") : ITLS_VERIFY_OK,
	};

	if (fd != attached)
		return fail(ENOPROTOOPT);
	copy(info.alpn, sizeof(info.alpn), "FAKE_ALPN");
	copy(info.peer_subject, sizeof(info.peer_subject), "FAKE_SUBJECT");
	if (*len > sizeof(info))
		*len = sizeof(info);
	memcpy(val, &info, *len);
	return 0;
}

int getsockopt(int fd, int level, int opt, void *val, socklen_t *len)
{
	typeof(getsockopt) *real = dlsym(RTLD_NEXT, "getsockopt");
	int err = number("FAKE_CONNECT_ERRNO");

	if (level == FAKE_SOL_TLS && opt == ITLS_INFO)
		return give_info(fd, val, len);
	if (level == SOL_SOCKET && opt == SO_ERROR && fd == pending) {
		pending = -1;
		memcpy(val, &err, sizeof(err));
		return 0;
	}
	return real(fd, level, opt, val, len);
}

int poll(struct pollfd *fds, nfds_t n, int timeout)
{
	typeof(poll) *real = dlsym(RTLD_NEXT, "poll");

	if (n == 1 && fds->fd == pending && getenv("FAKE_HANG"))
		return real(NULL, 0, timeout);
	return real(fds, n, timeout);
}

int getaddrinfo(const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **list)
{
	typeof(getaddrinfo) *real = dlsym(RTLD_NEXT, "getaddrinfo");
	int err;

	if (strcmp(host, "both.test"))
		return real(host, port, hints, list);
	err = real("::1", port, hints, list);
	return err ? err : real("127.0.0.1", port, hints, &(*list)->ai_next);
}

static bool is_kind(int fd, mode_t kind)
{
	struct stat st;

	return !fstat(fd, &st) && (st.st_mode & S_IFMT) == kind;
}

ssize_t splice(int in, off64_t *in_off, int out, off64_t *out_off, size_t len, unsigned int flags)
{
	typeof(splice) *real = dlsym(RTLD_NEXT, "splice");
	static bool noted;
	ssize_t n;

	if (getenv("FAKE_NO_SPLICE") && is_kind(in, S_IFSOCK))
		return fail(EINVAL);
	n = real(in, in_off, out, out_off, len, flags);
	if (n > 0 && !noted && is_kind(out, S_IFREG)) {
		noted = true;
		note("spliced\n");
	}
	return n;
}
