// SPDX-License-Identifier: GPL-2.0
/*
 * Marking a listener, and what the kernel's refusals mean.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

#include "../libitls/itls.h"
#include "mark.h"

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
	int err;

	*m = (struct mark){ 0 };
	err = itls_listen_profile(fd, m->profile, sizeof(m->profile));
	return err ? explain(e, -err, "read the listener's profile") : 0;
}

static int explain_other(int fd, struct ctl_error *e)
{
	char ulp[32] = "";
	socklen_t len = sizeof(ulp) - 1;

	if (getsockopt(fd, SOL_TCP, TCP_ULP, ulp, &len))
		return explain(e, errno, "read the socket's ULP");
	return ctl_error_set(e, EEXIST, "another protocol, '%s', is on this socket: make the server listen without it and restart it",
			     ulp);
}

int mark_set(int fd, const char *profile, struct ctl_error *e)
{
	int err = -itls_listen(fd, profile);

	switch (err) {
	case 0:
		return 0;
	case EEXIST:
		return explain_other(fd, e);
	case ENOENT:
		return ctl_error_set(e, ENOENT, "kernel module itls is not loaded: run 'modprobe itls'");
	case EBUSY:
		return ctl_error_set(e, EBUSY, "something else in the kernel uses this socket (a BPF sockmap, or another kernel service): take it off first");
	case EINVAL:
		return ctl_error_set(e, EINVAL, "the socket does not listen any more: attach again once the server does");
	default:
		return explain(e, err, "mark the listener");
	}
}

int mark_clear(int fd, struct ctl_error *e)
{
	int err = itls_unlisten(fd);

	return err ? explain(e, -err, "take the mark away") : 0;
}
