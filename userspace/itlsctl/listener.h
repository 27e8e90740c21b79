/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Listening TCP sockets of other processes: who holds them, and how to get
 * hold of one.  Found in /proc/PID/net/tcp{,6} and /proc/PID/fd, which needs
 * no diag module and sees the network namespace of PID.
 */
#ifndef ITLSCTL_LISTENER_H
#define ITLSCTL_LISTENER_H

#include <stdint.h>

#include "ctl.h"

struct listener_holder {
	pid_t pid;
	int fd;
};

struct listener {
	struct sockaddr_storage addr;
	unsigned long inode;
	struct listener_holder *holders;	/* any one of them will do */
	size_t nholders;
};

struct listener_list {
	struct listener *v;	/* sorted by inode */
	size_t n;
	size_t denied;		/* processes that could not be looked into */
};

struct listener_query {
	uint16_t port;		/* 0: any */
	pid_t pid;		/* 0: any process, own network namespace */
	struct sockaddr_storage addr; /* AF_UNSPEC: any; the port is not used */
};

/*
 * Finds the listening sockets and their holders.  With a pid only those that
 * process holds; else also those nobody in sight holds (nholders 0).  The
 * caller frees, after failure too.
 */
int listener_find(struct listener_list *list, const struct listener_query *q,
		  struct ctl_error *e);
void listener_free(struct listener_list *list);

/*
 * Duplicates the socket into this process and makes sure that it is the one
 * meant: a pid or descriptor may have been reused since it was found.
 * Returns the descriptor, which the caller closes, or -errno; *@by is the
 * holder it came from, NULL when there is none.
 */
int listener_take(const struct listener *l, const struct listener_holder **by,
		  struct ctl_error *e);

#endif
