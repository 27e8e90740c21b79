// SPDX-License-Identifier: GPL-2.0
/* Manners of readiness: which events are told, when, and how often. */
#define _GNU_SOURCE
#include "manners.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>

/* Long enough for an event that is there already, and no reason to wait longer for one that is not. */
#define SOON_MS 500
#define ALL_EVENTS (POLLIN | POLLPRI | POLLOUT | POLLRDHUP | POLLRDNORM | POLLWRNORM)

static int watch(struct twin *t, uint32_t events)
{
	struct epoll_event ev = { .events = events };
	int ep = epoll_create1(EPOLL_CLOEXEC);

	ASSERT_LE(0, ep);
	ASSERT_EQ(0, epoll_ctl(ep, EPOLL_CTL_ADD, t->fd, &ev));
	return ep;
}

/* The next event; with ms 0, the one that is there already. */
static uint32_t next(int ep, int ms)
{
	struct epoll_event ev = {};
	int n = epoll_wait(ep, &ev, 1, ms);

	ASSERT_LE(0, n);
	return n ? ev.events : 0;
}

static void drain(struct twin *t)
{
	char buf[4096];
	size_t got = 0;
	ssize_t n;

	while ((n = recv(t->fd, buf, sizeof(buf), MSG_DONTWAIT)) > 0)
		got += n;
	NOTE("drained %zu, then %zd %s", got, n, n ? strerrorname_np(errno) : "-");
}

/* ---- levels --------------------------------------------------------------------- */

MANNER(level_lasts_until_all_is_read)
{
	int ep = watch(t, EPOLLIN | EPOLLRDHUP);
	char c;

	EVENTS(next(ep, 0));
	twin_give(t, "ab");
	twin_give(t, "cd");
	EVENTS(next(ep, test_wait_ms()));
	EVENTS(next(ep, 0));
	CALL(recv(t->fd, &c, 1, 0));
	EVENTS(next(ep, 0));
	CALL(recv(t->fd, &c, 1, 0));
	EVENTS(next(ep, 0));
	drain(t);
	EVENTS(next(ep, 0));
	twin_shut(t);
	EVENTS(next(ep, test_wait_ms()));
	drain(t);
	EVENTS(next(ep, 0));
	close(ep);
}

MANNER(poll_in_each_state)
{
	EVENTS(sock_poll(t->fd, ALL_EVENTS, 0));
	twin_give(t, "x");
	EVENTS(sock_poll(t->fd, ALL_EVENTS, 0));
	drain(t);
	EVENTS(sock_poll(t->fd, ALL_EVENTS, 0));
	twin_give(t, "y");
	twin_shut(t);
	EVENTS(sock_poll(t->fd, ALL_EVENTS, 0));
	drain(t);
	EVENTS(sock_poll(t->fd, ALL_EVENTS, 0));
	CALL(shutdown(t->fd, SHUT_WR));
	EVENTS(sock_poll(t->fd, ALL_EVENTS, 0));
}

MANNER(poll_after_own_shutdown)
{
	CALL(shutdown(t->fd, SHUT_WR));
	EVENTS(sock_poll(t->fd, ALL_EVENTS, 0));
	twin_give(t, "still heard");
	EVENTS(sock_poll(t->fd, ALL_EVENTS, 0));
	drain(t);
	twin_shut(t);
	EVENTS(sock_poll(t->fd, ALL_EVENTS, 0));
}

MANNER(poll_after_shutdown_of_reading)
{
	CALL(shutdown(t->fd, SHUT_RD));
	EVENTS(sock_poll(t->fd, ALL_EVENTS, 0));
	drain(t);
	EVENTS(sock_poll(t->fd, ALL_EVENTS, 0));
}

MANNER(poll_after_reset)
{
	twin_give(t, "x");
	twin_reset(t);
	EVENTS(sock_poll(t->fd, ALL_EVENTS, 0));
	drain(t);
	EVENTS(sock_poll(t->fd, ALL_EVENTS, 0));
}

static void select_case(struct twin *t)
{
	struct timeval now = {};
	fd_set in, out;

	FD_ZERO(&in);
	FD_SET(t->fd, &in);
	out = in;
	CALL(select(t->fd + 1, &in, &out, NULL, &now));
	SEEN(FD_ISSET(t->fd, &in));
	SEEN(FD_ISSET(t->fd, &out));
}

MANNER(select_says_the_same)
{
	select_case(t);
	twin_give(t, "x");
	select_case(t);
	drain(t);
	select_case(t);
	twin_shut(t);
	select_case(t);
}

static void give_hello(struct twin *t)
{
	twin_send(t, "hello", 5, 5);
}

MANNER(poll_wakes_for_data)
{
	twin_later(t, give_hello);
	EVENTS(sock_poll(t->fd, POLLIN | POLLRDHUP, test_wait_ms()));
	twin_later_join(t);
	drain(t);
}

static void reset_it(struct twin *t)
{
	sock_reset(t->peer.fd);
	t->peer.fd = -1;
}

MANNER(poll_wakes_for_a_reset)
{
	twin_later(t, reset_it);
	EVENTS(sock_poll(t->fd, POLLIN, test_wait_ms()) & (POLLIN | POLLERR | POLLHUP));
	twin_later_join(t);
	drain(t);
}

/* ---- edges ------------------------------------------------------------------------- */

MANNER(edge_for_each_arrival)
{
	int ep = watch(t, EPOLLIN | EPOLLRDHUP | EPOLLET);

	EVENTS(next(ep, 0));
	twin_give(t, "one");
	EVENTS(next(ep, test_wait_ms()));
	EVENTS(next(ep, 0));
	/* Unread data does not keep the next arrival from being told. */
	twin_give(t, "two");
	EVENTS(next(ep, test_wait_ms()));
	EVENTS(next(ep, 0));
	drain(t);
	EVENTS(next(ep, 0));
	twin_give(t, "three");
	EVENTS(next(ep, test_wait_ms()));
	EVENTS(next(ep, 0));
	close(ep);
}

/* Reading a part makes no edge; nginx reads until EAGAIN, or until RDHUP told it. */
MANNER(edge_not_for_a_part_read)
{
	int ep = watch(t, EPOLLIN | EPOLLRDHUP | EPOLLET);
	char c;

	twin_give(t, "abc");
	EVENTS(next(ep, test_wait_ms()));
	CALL(recv(t->fd, &c, 1, 0));
	EVENTS(next(ep, 0));
	CALL(recv(t->fd, &c, 1, MSG_PEEK));
	EVENTS(next(ep, 0));
	drain(t);
	EVENTS(next(ep, 0));
	close(ep);
}

/* What is left of a read and what comes later reach the mark together. */
MANNER(edge_at_the_low_water_mark)
{
	int ep = watch(t, EPOLLIN | EPOLLRDHUP | EPOLLET);
	char buf[100];

	sock_set_int(t->fd, SOL_SOCKET, SO_RCVLOWAT, 50);
	twin_send(t, SCRATCH(100), 100, 100);
	twin_arrived(t);
	EVENTS(next(ep, test_wait_ms()));
	CALL(recv(t->fd, buf, 60, MSG_DONTWAIT));
	twin_give(t, "0123456789");
	EVENTS(next(ep, SOON_MS));
	close(ep);
}

MANNER(edge_at_the_end)
{
	int ep = watch(t, EPOLLIN | EPOLLRDHUP | EPOLLET);

	twin_give(t, "last");
	EVENTS(next(ep, test_wait_ms()));
	twin_shut(t);
	EVENTS(next(ep, test_wait_ms()));
	EVENTS(next(ep, 0));
	drain(t);
	EVENTS(next(ep, 0));
	close(ep);
}

MANNER(edge_of_a_reset)
{
	int ep = watch(t, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);

	EVENTS(next(ep, 0));
	twin_reset(t);
	EVENTS(next(ep, test_wait_ms()));
	EVENTS(next(ep, 0));
	close(ep);
}

/* Data that arrived before the socket was watched is told once. */
MANNER(edge_of_the_past)
{
	int ep;

	twin_give(t, "before");
	ep = watch(t, EPOLLIN | EPOLLRDHUP | EPOLLET);
	EVENTS(next(ep, test_wait_ms()));
	EVENTS(next(ep, 0));
	close(ep);
}

MANNER(one_shot)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLONESHOT };
	int ep = watch(t, ev.events);

	twin_give(t, "one");
	EVENTS(next(ep, test_wait_ms()));
	twin_give(t, "two");
	EVENTS(next(ep, 0));
	CALL(epoll_ctl(ep, EPOLL_CTL_MOD, t->fd, &ev));
	EVENTS(next(ep, test_wait_ms()));
	drain(t);
	CALL(epoll_ctl(ep, EPOLL_CTL_MOD, t->fd, &ev));
	EVENTS(next(ep, 0));
	twin_give(t, "three");
	EVENTS(next(ep, test_wait_ms()));
	close(ep);
}

/* ---- writing -------------------------------------------------------------------------- */

MANNER_TIMEOUT(edge_when_there_is_room_again, 60)
{
	uint8_t *data = alloc_pattern(TWIN_LOTS, 0);
	int ep = watch(t, EPOLLOUT | EPOLLET);
	size_t sent;

	EVENTS(next(ep, test_wait_ms()));
	EVENTS(next(ep, 0));
	sent = twin_fill(t, data);
	/* Room may have come and gone while it was filled. */
	next(ep, 0);
	EVENTS(sock_poll(t->fd, POLLOUT, 0));
	twin_take_later(t, sent);
	EVENTS(next(ep, test_wait_ms()));
	twin_later_join(t);
	sock_wait_acked(t->fd);
	EVENTS(sock_poll(t->fd, POLLOUT, 0));
	CALL(send(t->fd, "x", 1, MSG_DONTWAIT));
	close(ep);
	free(data);
}

/* Reading goes on while writing cannot. */
MANNER_TIMEOUT(readable_while_full, 60)
{
	uint8_t *data = alloc_pattern(TWIN_LOTS, 0);
	size_t sent = twin_fill(t, data);

	EVENTS(sock_poll(t->fd, ALL_EVENTS, 0));
	twin_give(t, "request");
	EVENTS(sock_poll(t->fd, ALL_EVENTS, 0));
	drain(t);
	twin_take_later(t, sent);
	twin_later_join(t);
	sock_wait_acked(t->fd);
	EVENTS(sock_poll(t->fd, ALL_EVENTS, 0));
	free(data);
}
