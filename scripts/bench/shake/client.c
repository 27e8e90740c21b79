// SPDX-License-Identifier: GPL-2.0
/*
 * Handshakes in bulk against a server on this machine: so many connections at a time,
 * each connects, makes a full or a resumed handshake, says that it is over, and waits for
 * the server to hang up: by then the server has done all that belongs to it.
 *
 * What they cost is told of given processes: in User Mode Linux of their own code, as the
 * host counts it, and, apart, of the kernel with both ends of TCP in it, whoever it worked for;
 * elsewhere, of those processes as the kernel accounts for them, threads that ended included.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>

#include "../module/itls_bench.h"
#include "peer.h"

static const char usage[] =
	"usage: shake-client --port PORT [OPTION]... [PID]...\n"
	"\n"
	"Makes handshakes for a time and prints a line of JSON: how many, and what the processes\n"
	"PID and the kernel spent on them.\n"
	"\n"
	"  --fields TEXT       what the line begins with\n"
	"  --tls VERSION       1.2 or 1.3 (default)\n"
	"  --resume            resumed handshakes\n"
	"  --conns N           at a time (default 16)\n"
	"  --time MS           (default 1000)\n";

#define CONNS_MAX	256
#define WAIT_MS		10000	/* without any event: the server hangs */

struct options {
	const char *fields, *tls;
	bool resume;
	int port, conns, time_ms;
	char **pids;
	int nr_pids;
};

struct conn {
	int fd;
	SSL *ssl;
	bool shaken;
};

static struct conn conns[CONNS_MAX];
static SSL_CTX *ctx;
static int epoll, clock_fd;
static uint64_t count, failed, resumed;

/* ---- time ------------------------------------------------------------------- */

struct times {
	uint64_t wall, servers, kernel;
};

static uint64_t now(clockid_t id)
{
	struct timespec ts;

	if (clock_gettime(id, &ts))
		die("no clock: %s", strerror(errno));
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

static uint64_t cpu_of(int pid)
{
	struct itls_bench_process p = { .pid = pid };
	clockid_t id;
	int err;

	if (clock_fd >= 0 && !ioctl(clock_fd, ITLS_BENCH_PROCESS, &p))
		return p.cpu_ns;
	err = clock_getcpuclockid(pid, &id);
	if (err)
		die("process %d: %s", pid, strerror(err));
	return now(id);
}

/* The kernel's own time is 0 where it is no process. */
static struct times times_read(const struct options *o)
{
	struct itls_bench_clock kernel = { 0 };
	struct times t = { 0 };
	int i;

	for (i = 0; i < o->nr_pids; i++)
		t.servers += cpu_of(atoi(o->pids[i]));
	if (clock_fd >= 0 && ioctl(clock_fd, ITLS_BENCH_CLOCK, &kernel))
		die("%s: %s", ITLS_BENCH_PATH, strerror(errno));
	t.kernel = kernel.cpu_ns;
	t.wall = now(CLOCK_MONOTONIC);
	return t;
}

/* ---- connections -------------------------------------------------------------- */

/* Ends with a reset once all is said: no port waits for stray segments then. */
static void conn_close(struct conn *c)
{
	struct linger hard = { 1, 0 };

	setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	SSL_set_shutdown(c->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN); /* the session stays good */
	SSL_free(c->ssl);
	close(c->fd);
	c->ssl = NULL;
}

static void conn_open(const struct options *o, struct conn *c)
{
	struct sockaddr_in to = {
		.sin_family = AF_INET,
		.sin_port = htons(o->port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c };
	int one = 1;

	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0 || (connect(c->fd, (struct sockaddr *)&to, sizeof(to)) && errno != EINPROGRESS) ||
	    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) ||
	    epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &event))
		die("port %d: %s", o->port, strerror(errno));
	c->ssl = peer_connect(ctx, o->resume && peer_has_session());
	c->shaken = false;
	if (!SSL_set_fd(c->ssl, c->fd))
		die("no memory");
}

static bool wants_more(const struct conn *c, int ret)
{
	int why = SSL_get_error(c->ssl, ret);

	return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE;
}

/* X25519 for all, or the figures would be of different work. */
static void check_group(const struct conn *c, const struct options *o)
{
	if (strcmp(o->tls, "1.2") && SSL_get_negotiated_group(c->ssl) != NID_X25519)
		die("port %d: the key exchange is not X25519", o->port);
}

/*
 * Goes as far as it can; true when the connection is over. Reading takes tickets, too,
 * until the server hangs up.
 */
static bool conn_step(struct conn *c, const struct options *o)
{
	char bytes[64];
	int ret;

	ERR_clear_error();
	if (!c->shaken) {
		ret = SSL_do_handshake(c->ssl);
		if (ret != 1) {
			failed += !wants_more(c, ret);
			return !wants_more(c, ret);
		}
		check_group(c, o);
		c->shaken = true;
		SSL_shutdown(c->ssl);
		shutdown(c->fd, SHUT_WR);
	}
	do {
		ret = SSL_read(c->ssl, bytes, sizeof(bytes));
	} while (ret > 0);
	if (wants_more(c, ret))
		return false;
	count++;
	resumed += SSL_session_reused(c->ssl);
	return true;
}

static void events_handle(const struct options *o, bool again)
{
	struct epoll_event events[64];
	int i, n = epoll_wait(epoll, events, 64, WAIT_MS);

	if (!n)
		die("port %d: the server says nothing any more, %llu handshakes were made", o->port,
		    (unsigned long long)count);
	for (i = 0; i < n; i++) {
		struct conn *c = events[i].data.ptr;

		if (!c->ssl || !conn_step(c, o))
			continue;
		conn_close(c);
		if (again)
			conn_open(o, c);
	}
}

static bool any_open(const struct options *o)
{
	int i;

	for (i = 0; i < o->conns; i++)
		if (conns[i].ssl)
			return true;
	return false;
}

/* ---- the measurement -------------------------------------------------------------- */

/* One connection: also what brings the session that is resumed. */
static void warm_up(const struct options *o)
{
	struct options one = *o;

	one.conns = 1;
	conn_open(&one, &conns[0]);
	while (conns[0].ssl)
		events_handle(&one, false);
	if (!count || (o->resume && !peer_has_session()))
		die("port %d: %s", o->port, count ? "no session to resume" : "no handshake");
	count = 0;
	resumed = 0;
}

static void measure(const struct options *o)
{
	struct times a, b;
	int i;

	warm_up(o);
	a = times_read(o);
	for (i = 0; i < o->conns; i++)
		conn_open(o, &conns[i]);
	while (now(CLOCK_MONOTONIC) - a.wall < o->time_ms * 1000000ULL)
		events_handle(o, true);
	while (any_open(o))
		events_handle(o, false);
	b = times_read(o);
	if (resumed != (o->resume ? count : 0))
		die("port %d: %llu of %llu handshakes were resumed", o->port, (unsigned long long)resumed,
		    (unsigned long long)count);
	printf("{%s\"tls\":\"%s\",\"resumed\":%s,\"conns\":%d,\"count\":%llu,\"failed\":%llu,"
	       "\"wall_ns\":%llu,\"servers_ns\":%llu,\"kernel_ns\":%llu,\"cpu_ns\":%llu}\n",
	       o->fields, o->tls, o->resume ? "true" : "false", o->conns, (unsigned long long)count,
	       (unsigned long long)failed, (unsigned long long)(b.wall - a.wall),
	       (unsigned long long)(b.servers - a.servers), (unsigned long long)(b.kernel - a.kernel),
	       (unsigned long long)(b.servers - a.servers + b.kernel - a.kernel));
}

static void parse(int argc, char **argv, struct options *o)
{
	enum { FIELDS = 1, TLS, PORT, CONNS, TIME, RESUME };
	static const struct option longs[] = {
		{ "fields", 1, NULL, FIELDS }, { "tls", 1, NULL, TLS }, { "port", 1, NULL, PORT },
		{ "conns", 1, NULL, CONNS }, { "time", 1, NULL, TIME }, { "resume", 0, NULL, RESUME },
		{ NULL, 0, NULL, 0 },
	};
	int *numbers[] = { [PORT] = &o->port, [CONNS] = &o->conns, [TIME] = &o->time_ms };
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (c == FIELDS)
			o->fields = optarg;
		else if (c == TLS)
			o->tls = optarg;
		else if (c == RESUME)
			o->resume = true;
		else if (c >= PORT && c <= TIME)
			*numbers[c] = atoi(optarg);
		else
			break;
	}
	if (c == -1 && o->port > 0 && o->conns > 0 && o->conns <= CONNS_MAX && o->time_ms > 0)
		return;
	fputs(usage, stderr);
	exit(2);
}

int main(int argc, char **argv)
{
	struct options o = { .fields = "", .tls = "1.3", .conns = 16, .time_ms = 1000 };

	parse(argc, argv, &o);
	o.pids = argv + optind;
	o.nr_pids = argc - optind;
	epoll = epoll_create1(EPOLL_CLOEXEC);
	clock_fd = open(ITLS_BENCH_PATH, O_RDONLY | O_CLOEXEC);
	ctx = peer_new(o.tls);
	measure(&o);
	SSL_CTX_free(ctx);
	return 0;
}
