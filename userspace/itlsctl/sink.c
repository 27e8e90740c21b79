// SPDX-License-Identifier: GPL-2.0
/*
 * The file of a download.  It is not touched before the server has agreed to
 * send it, and it stays when the rest does not come.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sink.h"

int sink_explain(const struct sink *s, int err, struct ctl_error *e)
{
	const char *what = sink_is_stdout(s) ? "standard output" : s->name;

	if (err == -ENOSPC || err == -EDQUOT)
		return ctl_error_set(e, -err, "cannot write %s: %s: make room, then continue with -c",
				     what, strerror(-err));
	return ctl_error_set(e, -err, "cannot write %s: %s", what, strerror(-err));
}

int sink_prepare(struct sink *s, const char *name, bool resume, struct ctl_error *e)
{
	struct stat st;

	*s = (struct sink){ .name = name, .fd = -1 };
	if (sink_is_stdout(s)) {
		s->fd = STDOUT_FILENO;
		return 0;
	}
	if (!resume)
		return 0;
	s->fd = open(name, O_WRONLY | O_CLOEXEC | O_NOCTTY);
	if (s->fd < 0)
		return errno == ENOENT ? 0 : sink_explain(s, -errno, e);
	if (fstat(s->fd, &st))
		return sink_explain(s, -errno, e);
	if (!S_ISREG(st.st_mode))
		return ctl_error_set(e, EINVAL, "%s is no regular file, so nothing can be continued there: leave -c out",
				     name);
	s->offset = st.st_size;
	return 0;
}

int sink_begin(struct sink *s, struct ctl_error *e)
{
	if (sink_is_stdout(s))
		return 0;
	if (s->fd < 0) {
		s->fd = open(s->name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0666);
		return s->fd < 0 ? sink_explain(s, -errno, e) : 0;
	}
	if (ftruncate(s->fd, s->offset) || lseek(s->fd, s->offset, SEEK_SET) < 0)
		return sink_explain(s, -errno, e);
	return 0;
}

int sink_wait(const struct sink *s)
{
	struct pollfd p = { .fd = s->fd, .events = POLLOUT };

	return poll(&p, 1, -1) < 0 && errno != EINTR ? -errno : 0;
}

int sink_write(struct sink *s, const char *data, size_t len)
{
	ssize_t n;
	int err;

	while (len) {
		n = write(s->fd, data, len);
		if (n < 0 && errno == EAGAIN) {
			err = sink_wait(s);
			if (err)
				return err;
			continue;
		}
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			data += n;
			len -= n;
		}
	}
	return 0;
}

int sink_close(struct sink *s, struct ctl_error *e)
{
	int fd = s->fd;

	if (fd < 0 || sink_is_stdout(s))
		return 0;
	s->fd = -1;
	return close(fd) ? sink_explain(s, -errno, e) : 0;
}
