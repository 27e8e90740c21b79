// SPDX-License-Identifier: GPL-2.0
/*
 * Socket options TCP_ULP and ITLS_LISTEN, and what their refusals mean.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

#include "mark.h"

#ifndef SOL_TLS
#define SOL_TLS 282
#endif

bool mark_name_ok(const char *profile)
{
	static const char allowed[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
	size_t len = strlen(profile);

	return len && len <= ITLS_PROFILE_MAX &&
	       strspn(profile, allowed) == len;
}

static int explain(struct ctl_error *e, int err, const char *what)
{
	switch (err) {
	case EPERM:
	case EACCES:
		return ctl_error_set(e, err, "may not %s: run as root (CAP_NET_ADMIN is needed)",
				     what);
	case ENOPROTOOPT:
		return ctl_error_set(e, err, "cannot %s: the loaded itls module does not know this option: load the module that came with this itlsctl",
				     what);
	default:
		return ctl_error_set(e, err, "cannot %s: %s", what,
				     strerror(err));
	}
}

int mark_read(int fd, struct mark *m, struct ctl_error *e)
{
	socklen_t len = sizeof(m->ulp) - 1;

	*m = (struct mark){ 0 };
	if (getsockopt(fd, SOL_TCP, TCP_ULP, m->ulp, &len))
		return explain(e, errno, "read the socket's ULP");
	if (strcmp(m->ulp, ITLS_ULP_LISTEN_NAME))
		return 0;
	len = sizeof(m->profile) - 1;
	if (getsockopt(fd, SOL_TLS, ITLS_LISTEN, m->profile, &len))
		return explain(e, errno, "read the listener's profile");
	m->profile[len] = '\0';
	return 0;
}

int mark_set_ulp(int fd, struct ctl_error *e)
{
	struct mark now;
	int err = 0;

	if (setsockopt(fd, SOL_TCP, TCP_ULP, ITLS_ULP_LISTEN_NAME,
		       strlen(ITLS_ULP_LISTEN_NAME)))
		err = errno;
	switch (err) {
	case 0:
		return 0;
	case EEXIST:
		err = mark_read(fd, &now, e);
		if (err || !strcmp(now.ulp, ITLS_ULP_LISTEN_NAME))
			return err;
		return ctl_error_set(e, EEXIST, "another protocol, '%s', is on this socket: make the server listen without it and restart it",
				     now.ulp);
	case ENOENT:
		return ctl_error_set(e, ENOENT, "kernel module itls is not loaded: run 'modprobe itls'");
	case EBUSY:
		return ctl_error_set(e, EBUSY, "something else in the kernel uses this socket (a BPF sockmap, or another kernel service): take it off first");
	case EINVAL:
		return ctl_error_set(e, EINVAL, "the socket does not listen any more: attach again once the server does");
	default:
		return explain(e, err, "put itls on the socket");
	}
}

int mark_set_profile(int fd, const char *profile, struct ctl_error *e)
{
	if (!setsockopt(fd, SOL_TLS, ITLS_LISTEN, profile, strlen(profile)))
		return 0;
	return explain(e, errno, *profile ? "set the listener's profile" :
					    "take the mark away");
}
