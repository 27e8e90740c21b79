/* SPDX-License-Identifier: GPL-2.0 */
/* The server's end of a handshake in memory, by one library or another. */
#ifndef SHAKE_SERVER_H
#define SHAKE_SERVER_H

#include <stddef.h>

#define FLIGHT_MAX	32768	/* of bytes one way at a time */

/* Bytes under way. */
struct flight {
	size_t len;
	unsigned char data[FLIGHT_MAX];
};

/*
 * Whatever open(), step() and close() do is the server's time; put() and take()
 * are the network and cost it nothing.
 */
struct server {
	const char *name;
	void (*setup)(const char *cert, const char *key, const char *tls);
	void (*open)(void);
	int (*step)(void);		/* 1: it is done, 0: it wants more */
	void (*close)(void);
	void (*put)(const struct flight *flight);
	void (*take)(struct flight *flight);
};

extern const struct server server_gnutls, server_openssl, server_itls;

#endif
