// SPDX-License-Identifier: GPL-2.0
/*
 * The kernel takes tickets out of their records and hands over the bare
 * message (RFC 8446, 4.6.1); GnuTLS takes them only from records.  So the
 * message is sealed again, with the key that the session still has for reading
 * and the sequence number that it expects next.  That number is GnuTLS's own
 * and goes on here; what the kernel reads meanwhile does not matter to it, nor
 * do its changes of keys.  Nothing of it leaves the process, so that no nonce
 * is used twice on the wire.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <gnutls/crypto.h>
#include <linux/itls.h>

#include "channel.h"
#include "ticket.h"

#define TICKET_TYPE	4	/* new_session_ticket */
#define TICKET_HEADER	4
#define RECORD_HEADER	5
#define RECORD_TAG	16
#define RECORD_NONCE	12
#define CONTENT_HANDSHAKE	22
#define CONTENT_DATA	23

static bool is_ticket(const uint8_t *message, size_t len)
{
	return len >= TICKET_HEADER && len <= ITLS_TICKET_MAX && message[0] == TICKET_TYPE &&
	       ((size_t)message[1] << 16 | message[2] << 8 | message[3]) == len - TICKET_HEADER;
}

/* RFC 8446, 5.2 and 5.3.  @record has room for all that is put around the message. */
static int seal(gnutls_session_t session, const uint8_t *message, size_t len, uint8_t *record, size_t *size)
{
	size_t body = len + 1 + RECORD_TAG, i;
	uint8_t nonce[RECORD_NONCE], seq[8];
	gnutls_aead_cipher_hd_t aead;
	gnutls_datum_t iv, key;
	uint8_t *inner;
	int ret;

	if (gnutls_record_get_state(session, 1, NULL, &iv, &key, seq) < 0 || iv.size != sizeof(nonce))
		return -EIO;
	memcpy(nonce, iv.data, sizeof(nonce));
	for (i = 0; i < sizeof(seq); i++)
		nonce[sizeof(nonce) - sizeof(seq) + i] ^= seq[i];
	memcpy(record, (uint8_t[]){ CONTENT_DATA, 3, 3, body >> 8, body }, RECORD_HEADER);
	inner = malloc(len + 1);
	if (!inner || gnutls_aead_cipher_init(&aead, gnutls_cipher_get(session), &key) < 0) {
		free(inner);
		return -EIO;
	}
	memcpy(inner, message, len);
	inner[len] = CONTENT_HANDSHAKE;
	ret = gnutls_aead_cipher_encrypt(aead, nonce, sizeof(nonce), record, RECORD_HEADER, RECORD_TAG, inner,
					 len + 1, record + RECORD_HEADER, &body);
	gnutls_aead_cipher_deinit(aead);
	free(inner);
	*size = RECORD_HEADER + body;
	return ret < 0 ? -EIO : 0;
}

int ticket_read(gnutls_session_t session, struct channel *channel, const void *message, size_t len)
{
	uint8_t *record, junk[16];
	size_t size = 0;
	ssize_t got = GNUTLS_E_INTERNAL_ERROR;

	if (!is_ticket(message, len))
		return -EPROTO;
	record = malloc(RECORD_HEADER + len + 1 + RECORD_TAG);
	if (record && !seal(session, message, len, record, &size)) {
		channel_feed(channel, record, size);
		got = gnutls_record_recv(session, junk, sizeof(junk));
		size = channel_feed(channel, NULL, 0);
	}
	free(record);
	/* It has read all of it and wants more. */
	if (got != GNUTLS_E_AGAIN || size || !(gnutls_session_get_flags(session) & GNUTLS_SFLAGS_SESSION_TICKET))
		return -EIO;
	return 0;
}
