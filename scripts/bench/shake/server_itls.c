// SPDX-License-Identifier: GPL-2.0
/* The daemon's engine with a profile, over a pair of sockets: its system calls count. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "config.h"
#include "carry.h"
#include "handshake.h"
#include "peer.h"
#include "profile.h"
#include "server.h"

static struct profile *profile;
static struct handshake *engine;
static int engine_fd, wire_fd;

static void itls_setup(const char *cert, const char *key, const char *tls)
{
	struct profiles *set = NULL;
	struct config *cfg;
	struct carry carry;
	char text[1024];
	int len = snprintf(text, sizeof(text), "[profile p]\ncertificate = %s\nkey = %s\npriority = NORMAL:-VERS-ALL:+VERS-TLS%s\n",
			   cert, key, tls);

	carry_all(&carry);
	if (handshake_setup(false) || config_parse("/itlsd.conf", text, len, &cfg) ||
	    profiles_build(cfg, &carry, NULL, &set))
		die("itlsd does not take %s and %s", cert, key);
	config_free(cfg);
	profile = profiles_get(set, "p");
}

static void wire_open(void)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds))
		die("socketpair: %s", strerror(errno));
	engine_fd = fds[0];
	wire_fd = fds[1];
}

static void itls_open(void)
{
	if (!wire_fd)
		wire_open();
	if (handshake_new(&engine, profile, engine_fd))
		die("no memory");
}

static int itls_step(void)
{
	int err = handshake_step(engine);

	if (err && err != -EAGAIN)
		die("itlsd's engine failed: %s", handshake_text(engine));
	return !err;
}

static void itls_close(void)
{
	handshake_free(engine);
}

static void itls_put(const struct flight *flight)
{
	if (flight->len && write(wire_fd, flight->data, flight->len) != (ssize_t)flight->len)
		die("write: %s", strerror(errno));
}

static void itls_take(struct flight *flight)
{
	ssize_t got = read(wire_fd, flight->data, sizeof(flight->data));

	flight->len = got > 0 ? got : 0;
}

const struct server server_itls = {
	"itls", itls_setup, itls_open, itls_step, itls_close, itls_put, itls_take,
};
