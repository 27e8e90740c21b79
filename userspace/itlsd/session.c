// SPDX-License-Identifier: GPL-2.0
/*
 * Certificates in DER, each behind its length, then 0, then GnuTLS's data.
 * These bytes stay in the process that made them.
 */
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "pem.h"
#include "session.h"

static unsigned char *put(unsigned char *at, const gnutls_datum_t *part)
{
	uint32_t size = part->size;

	memcpy(at, &size, sizeof(size));
	if (size)
		memcpy(at + sizeof(size), part->data, size);
	return at + sizeof(size) + size;
}

int session_pack(gnutls_session_t session, gnutls_datum_t *out)
{
	const gnutls_datum_t end = { NULL, 0 }, *chain;
	gnutls_datum_t data = { NULL, 0 };
	unsigned int i, count = 0;
	unsigned char *at;
	size_t size;

	memset(out, 0, sizeof(*out));
	chain = gnutls_certificate_get_peers(session, &count);
	if (!chain || !count || count > SESSION_CHAIN_MAX || gnutls_session_get_data2(session, &data) < 0)
		return -EIO;
	size = sizeof(uint32_t) * (count + 1) + data.size;
	for (i = 0; i < count; i++)
		size += chain[i].size;
	out->data = data.size ? gnutls_malloc(size) : NULL;
	if (out->data) {
		out->size = size;
		for (i = 0, at = out->data; i < count; i++)
			at = put(at, &chain[i]);
		at = put(at, &end);
		memcpy(at, data.data, data.size);
	}
	datum_wipe(&data);
	return out->data ? 0 : -EIO;
}

int session_unpack(const gnutls_datum_t *in, struct session_parts *parts)
{
	unsigned char *at = in->data;
	size_t left = in->size;
	uint32_t size;

	parts->count = 0;
	for (;;) {
		if (left < sizeof(size))
			return -EINVAL;
		memcpy(&size, at, sizeof(size));
		at += sizeof(size);
		left -= sizeof(size);
		if (!size)
			break;
		if (size > left || parts->count == SESSION_CHAIN_MAX)
			return -EINVAL;
		parts->chain[parts->count++] = (gnutls_datum_t){ at, size };
		at += size;
		left -= size;
	}
	parts->data = (gnutls_datum_t){ at, left };
	return parts->count && left ? 0 : -EINVAL;
}
