// SPDX-License-Identifier: GPL-2.0
/*
 * Finds listening sockets through /proc and takes them with pidfd_getfd.
 * Processes come and go while we look: one that vanished is not an error,
 * and what was found is verified on the descriptor itself before use.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "listener.h"

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

static bool same_host(const struct sockaddr_storage *a,
		      const struct sockaddr_storage *b)
{
	const struct sockaddr_in6 *a6 = (const void *)a, *b6 = (const void *)b;
	const struct sockaddr_in *a4 = (const void *)a, *b4 = (const void *)b;

	if (a->ss_family != b->ss_family)
		return false;
	if (a->ss_family == AF_INET)
		return a4->sin_addr.s_addr == b4->sin_addr.s_addr;
	return !memcmp(&a6->sin6_addr, &b6->sin6_addr, sizeof(a6->sin6_addr));
}

static uint16_t port_of(const struct sockaddr_storage *ss)
{
	const struct sockaddr_in6 *in6 = (const void *)ss;
	const struct sockaddr_in *in = (const void *)ss;

	return ntohs(ss->ss_family == AF_INET ? in->sin_port : in6->sin6_port);
}

/* The address is printed as 32-bit words of this machine's byte order. */
static int parse_host(const char *hex, unsigned int words, uint32_t *out)
{
	if (strlen(hex) != words * 8)
		return -EINVAL;
	for (unsigned int i = 0; i < words; i++)
		if (sscanf(hex + i * 8, "%8x", &out[i]) != 1)
			return -EINVAL;
	return 0;
}

/* Fills @l from one line of the table; false: not a listener. */
static bool parse_line(const char *line, int family, struct listener *l)
{
	struct sockaddr_in6 *in6 = (void *)&l->addr;
	struct sockaddr_in *in = (void *)&l->addr;
	unsigned int port, state;
	uint32_t host[4];
	char hex[33];

	*l = (struct listener){ 0 };
	if (sscanf(line, " %*d: %32[0-9A-Fa-f]:%4x %*s %2x %*s %*s %*s %*u %*u %lu",
		   hex, &port, &state, &l->inode) != 4)
		return false;
	if (state != TCP_LISTEN ||
	    parse_host(hex, family == AF_INET ? 1 : 4, host))
		return false;
	l->addr.ss_family = family;
	if (family == AF_INET) {
		in->sin_port = htons(port);
		in->sin_addr.s_addr = host[0];
	} else {
		in6->sin6_port = htons(port);
		memcpy(&in6->sin6_addr, host, sizeof(in6->sin6_addr));
	}
	return true;
}

static int append(struct listener_list *list, const struct listener *l)
{
	struct listener *v;

	v = reallocarray(list->v, list->n + 1, sizeof(*v));
	if (!v)
		return -ENOMEM;
	list->v = v;
	list->v[list->n++] = *l;
	return 0;
}

static int read_table(struct listener_list *list, const char *name, int family,
		      const struct listener_query *q)
{
	char path[64], line[512];
	struct listener l;
	int err = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/net/%s", name);
	if (q->pid)
		snprintf(path, sizeof(path), "/proc/%d/net/%s", q->pid, name);
	f = fopen(path, "re");
	if (!f)
		return -errno;
	while (!err && fgets(line, sizeof(line), f))
		if (parse_line(line, family, &l) &&
		    (!q->port || port_of(&l.addr) == q->port))
			err = append(list, &l);
	if (!err && ferror(f))
		err = -EIO;
	fclose(f);
	return err;
}

static int by_inode(const void *a, const void *b)
{
	const struct listener *la = a, *lb = b;

	return (la->inode > lb->inode) - (la->inode < lb->inode);
}

static int add_holder(struct listener_list *list, unsigned long inode,
		      pid_t pid, int fd)
{
	struct listener key = { .inode = inode };
	struct listener_holder *v;
	struct listener *l;

	l = bsearch(&key, list->v, list->n, sizeof(key), by_inode);
	if (!l)
		return 0;
	v = reallocarray(l->holders, l->nholders + 1, sizeof(*v));
	if (!v)
		return -ENOMEM;
	l->holders = v;
	l->holders[l->nholders++] = (struct listener_holder){ pid, fd };
	return 0;
}

/* -EACCES: not ours to look into.  A process that is gone has no sockets. */
static int scan_process(struct listener_list *list, pid_t pid)
{
	char path[64], link[64];
	unsigned long inode;
	struct dirent *de;
	ssize_t n;
	int err = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	dir = opendir(path);
	if (!dir)
		return errno == EACCES || errno == EPERM ? -EACCES : 0;
	while (!err && (de = readdir(dir))) {
		n = readlinkat(dirfd(dir), de->d_name, link, sizeof(link) - 1);
		if (n < 0)
			continue;
		link[n] = '\0';
		if (sscanf(link, "socket:[%lu]", &inode) == 1)
			err = add_holder(list, inode, pid, atoi(de->d_name));
	}
	closedir(dir);
	return err;
}

static int scan_all(struct listener_list *list)
{
	struct dirent *de;
	int err = 0;
	DIR *dir;

	dir = opendir("/proc");
	if (!dir)
		return -errno;
	while (!err && (de = readdir(dir))) {
		if (!isdigit((unsigned char)de->d_name[0]))
			continue;
		err = scan_process(list, atoi(de->d_name));
		if (err == -EACCES) {
			list->denied++;
			err = 0;
		}
	}
	closedir(dir);
	return err;
}

static void drop(struct listener_list *list, size_t i)
{
	free(list->v[i].holders);
	memmove(&list->v[i], &list->v[i + 1],
		(list->n - i - 1) * sizeof(list->v[0]));
	list->n--;
}

/* Drops listeners on other addresses; says which there were if none is left. */
static int narrow_address(struct listener_list *list,
			  const struct listener_query *q, struct ctl_error *e)
{
	struct sockaddr_storage other = { 0 };
	char host[64], text[64];

	for (size_t i = list->n; i-- > 0;) {
		if (same_host(&list->v[i].addr, &q->addr))
			continue;
		other = list->v[i].addr;
		drop(list, i);
	}
	if (list->n || other.ss_family == AF_UNSPEC)
		return 0;
	ctl_addr(host, sizeof(host), &q->addr);
	*strrchr(host, ':') = '\0';
	return ctl_error_set(e, ENOENT,
			     "nothing listens on address %s port %u, but %s does: name that address, or leave --address out",
			     host, q->port,
			     ctl_addr(text, sizeof(text), &other));
}

/* Drops listeners the process does not hold. */
static int narrow_pid(struct listener_list *list,
		      const struct listener_query *q, struct ctl_error *e)
{
	char comm[32], safe[130];
	size_t before = list->n;

	for (size_t i = list->n; i-- > 0;)
		if (!list->v[i].nholders)
			drop(list, i);
	if (list->n || !before)
		return 0;
	ctl_comm(q->pid, comm, sizeof(comm));
	return ctl_error_set(e, ENOENT,
			     "process %d (%s) holds no socket listening on port %u, another process does: leave --pid out or see 'ss -ltnp'",
			     q->pid, ctl_escape(safe, sizeof(safe), comm),
			     q->port);
}

static int find_sockets(struct listener_list *list,
			const struct listener_query *q, struct ctl_error *e)
{
	char path[64];
	int err;

	snprintf(path, sizeof(path), "/proc/%d", q->pid);
	if (q->pid && access(path, F_OK))
		return ctl_error_set(e, ESRCH, "no process %d in sight: 'ss -ltnp' shows who listens",
				     q->pid);
	err = read_table(list, "tcp", AF_INET, q);
	if (!err)
		err = read_table(list, "tcp6", AF_INET6, q);
	if (err == -ENOENT && !access("/proc/self/net/tcp", F_OK))
		err = 0;	/* no IPv6 in this kernel */
	if (err)
		return ctl_error_set(e, -err, "cannot read the list of TCP sockets in /proc: %s",
				     strerror(-err));
	if (list->n)
		qsort(list->v, list->n, sizeof(list->v[0]), by_inode);
	return 0;
}

int listener_find(struct listener_list *list, const struct listener_query *q,
		  struct ctl_error *e)
{
	int err;

	*list = (struct listener_list){ 0 };
	err = find_sockets(list, q, e);
	if (!err && q->addr.ss_family != AF_UNSPEC)
		err = narrow_address(list, q, e);
	if (err || !list->n)
		return err;
	err = q->pid ? scan_process(list, q->pid) : scan_all(list);
	if (err == -EACCES)
		return ctl_error_set(e, EACCES, "may not look into process %d: run as root (CAP_SYS_PTRACE is needed)",
				     q->pid);
	if (err)
		return ctl_error_set(e, -err, "cannot look for processes in /proc: %s",
				     strerror(-err));
	return q->pid ? narrow_pid(list, q, e) : 0;
}

void listener_free(struct listener_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		free(list->v[i].holders);
	free(list->v);
	*list = (struct listener_list){ 0 };
}

static int explain_take(struct ctl_error *e, int err,
			const struct listener_holder *h)
{
	if (err == ENOSYS)
		return ctl_error_set(e, err, "this kernel has no pidfd_getfd: boot Linux 6.12 or newer, which itls needs anyway");
	if (err == EPERM && geteuid() == 0)
		return ctl_error_set(e, err, "may not take descriptor %d of process %d: CAP_SYS_PTRACE is missing (a container?), or sysctl kernel.yama.ptrace_scope is 3",
				     h->fd, h->pid);
	if (err == EPERM || err == EACCES)
		return ctl_error_set(e, err, "may not take descriptor %d of process %d: run as root (CAP_SYS_PTRACE is needed)",
				     h->fd, h->pid);
	if (err == EINVAL)
		return ctl_error_set(e, err, "%d is not a process: give the process, not one of its threads",
				     h->pid);
	return ctl_error_set(e, err, "cannot take descriptor %d of process %d: %s: run the command again",
			     h->fd, h->pid, strerror(err));
}

static int take_from(const struct listener_holder *h, struct ctl_error *e)
{
	int pidfd, fd, err = 0;

	pidfd = pidfd_open(h->pid, 0);
	if (pidfd < 0)
		return explain_take(e, errno, h);
	fd = pidfd_getfd(pidfd, h->fd, 0);
	if (fd < 0)
		err = errno;
	close(pidfd);
	return fd < 0 ? explain_take(e, err, h) : fd;
}

static int sock_int(int fd, int opt)
{
	socklen_t len = sizeof(int);
	int value;

	return getsockopt(fd, SOL_SOCKET, opt, &value, &len) ? -errno : value;
}

static int verify(int fd, const struct listener *l, struct ctl_error *e)
{
	struct sockaddr_storage ss = { 0 };
	socklen_t len = sizeof(ss);
	int protocol = sock_int(fd, SO_PROTOCOL);
	struct stat st;

	if (fstat(fd, &st) || !S_ISSOCK(st.st_mode) || st.st_ino != l->inode ||
	    sock_int(fd, SO_ACCEPTCONN) != 1 ||
	    getsockname(fd, (struct sockaddr *)&ss, &len) ||
	    !same_host(&ss, &l->addr) || port_of(&ss) != port_of(&l->addr))
		return ctl_error_set(e, ESTALE, "the socket changed hands or stopped listening meanwhile: run the command again");
	if (protocol == IPPROTO_MPTCP)
		return ctl_error_set(e, EPROTONOSUPPORT,
				     "this is a Multipath TCP socket, which cannot carry itls: make the server listen with plain TCP (nginx: no 'multipath' in listen; Go: GODEBUG=multipathtcp=0; systemd: SocketProtocol= empty) and restart it");
	if (protocol != IPPROTO_TCP)
		return ctl_error_set(e, EPROTONOSUPPORT, "this is not a TCP socket (protocol %d)",
				     protocol);
	return 0;
}

int listener_take(const struct listener *l, const struct listener_holder **by,
		  struct ctl_error *e)
{
	int fd, err;

	*by = NULL;
	err = ctl_error_set(e, ESRCH, "no process in sight holds this socket: it belongs to the kernel or to another PID namespace, or root is needed to see: run as root where the server runs");
	for (size_t i = 0; i < l->nholders; i++) {
		*by = &l->holders[i];
		fd = take_from(*by, e);
		if (fd < 0) {
			err = fd;
			continue;
		}
		err = verify(fd, l, e);
		if (!err)
			return fd;
		close(fd);
	}
	return err;
}
