/* SPDX-License-Identifier: GPL-2.0 */
/* A client's session to resume, with the certificates that it was made with. */
#ifndef ITLSD_SESSION_H
#define ITLSD_SESSION_H

#include <gnutls/gnutls.h>

#define SESSION_CHAIN_MAX	10

/* What GnuTLS keeps in its data it shows only when the handshake is over. */
struct session_parts {
	gnutls_datum_t chain[SESSION_CHAIN_MAX];
	unsigned int count;
	gnutls_datum_t data;		/* for gnutls_session_set_data() */
};

/* 0 or -EIO; the caller wipes @out. */
int session_pack(gnutls_session_t session, gnutls_datum_t *out);
/* Points into @in.  0 or -EINVAL. */
int session_unpack(const gnutls_datum_t *in, struct session_parts *parts);

#endif
