/* SPDX-License-Identifier: GPL-2.0 */
/*
 * libitls: the socket options of the kernel module itls, for programs that
 * make their own sockets TLS.  See libitls(3).  Needs nothing but libc.
 *
 * A function that can fail returns 0 or a negative errno, one of those in
 * itls(7); errno itself is of no meaning afterwards.  There is no state but
 * the socket's, so every function may be called from any thread, and nothing
 * is ever printed.
 *
 * A structure goes with its size, sizeof(*it), so that a program, this library
 * and the kernel may be of different releases.
 *
 * In this folder the library is itls.h, socket.c and text.c.  nl.[ch] and
 * cipher.[ch] are what itlsd and itlsctl share: not installed, not exported.
 */
#ifndef ITLS_H
#define ITLS_H

#include <stddef.h>
#include <stdint.h>

#include <linux/itls.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/*
 * Marks the listening socket @fd: every connection accepted from it is
 * handshaken by itlsd(8) with the server profile @profile (NULL: "default").
 * Again: changes the profile, and makes the caller the owner.
 */
int itls_listen(int fd, const char *profile);
/* Takes the mark away; a socket without one is no error. */
int itls_unlisten(int fd);
/* Copies the mark's profile, "" without a mark.  -ERANGE: @size is too small. */
int itls_listen_profile(int fd, char *profile, size_t size);

struct itls_client {
	const char *profile;	/* client profile of itlsd.conf(5), NULL: "default" */
	const char *server_name; /* whom to expect: DNS name or IP address */
	const void *ca;		/* PEM used in place of the profile's, NULL: its */
	size_t ca_len;
	const void *cert;	/* with key, or neither */
	size_t cert_len;
	const void *key;
	size_t key_len;
};

/*
 * Makes the connected TCP socket @fd a TLS client.  Waits for the handshake,
 * or, on a non-blocking descriptor, returns -EINPROGRESS (-EINTR after a
 * signal): the handshake goes on then, see itls_connect_wait().
 * -EKEYREJECTED: the server's certificate was refused; itls_info() has why.
 */
int itls_connect(int fd, const struct itls_client *client, size_t size);
/*
 * Waits until the handshake is over, for @timeout_ms milliseconds at most
 * (0: not at all, negative: without limit), and returns how it ended;
 * -EINPROGRESS: it is not over.  An event loop polls for POLLOUT itself and
 * then calls this once.
 */
int itls_connect_wait(int fd, int timeout_ms);

/*
 * What the kernel knows of @fd.  What an older kernel does not tell is 0,
 * alerts ITLS_ALERT_NONE; what a newer one tells beyond @size is left out.
 */
int itls_info(int fd, struct itls_info *info, size_t size);

/*
 * Leaves key changes, limits, alerts and close_notify of a socket with TLS_TX
 * and TLS_RX to the kernel.  The caller wipes the secrets.
 */
int itls_autonomous(int fd, const struct itls_autonomous *a, size_t size);

/*
 * Constant names of numbers, NULL for one this library does not know:
 * "TLSv1.3"; "AES-256-GCM"; "handshake_failure", as RFC 8446 section 6 has it;
 * "not-yet", of enum itls_verify.
 */
const char *itls_version_name(unsigned int version);
const char *itls_cipher_name(unsigned int cipher);
const char *itls_alert_name(unsigned int alert);
const char *itls_verify_name(unsigned int verify);
/* A sentence without full stop: "the certificate has expired". */
const char *itls_verify_text(unsigned int verify);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif
