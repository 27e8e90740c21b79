// SPDX-License-Identifier: GPL-2.0
/* GnuTLS's server alone: what itlsd can hope for, with no more than a server must have. */
#include <errno.h>
#include <string.h>

#include <gnutls/gnutls.h>

#include "peer.h"
#include "server.h"

static gnutls_certificate_credentials_t creds;
static gnutls_priority_t priority;
static gnutls_datum_t ticket_key;
static gnutls_session_t session;
static struct flight in, out;
static size_t in_at;

static void gnutls_setup(const char *cert, const char *key, const char *tls)
{
	const char *text = strcmp(tls, "1.2") ? "NORMAL:-VERS-ALL:+VERS-TLS1.3" : "NORMAL:-VERS-ALL:+VERS-TLS1.2";

	if (gnutls_certificate_allocate_credentials(&creds) ||
	    gnutls_certificate_set_x509_key_file(creds, cert, key, GNUTLS_X509_FMT_PEM) ||
	    gnutls_priority_init(&priority, text, NULL) || gnutls_session_ticket_key_generate(&ticket_key))
		die("GnuTLS does not take %s and %s", cert, key);
}

static ssize_t gnutls_pull(gnutls_transport_ptr_t ptr, void *data, size_t len)
{
	(void)ptr;
	if (in_at == in.len) {
		gnutls_transport_set_errno(session, EAGAIN);
		return -1;
	}
	if (len > in.len - in_at)
		len = in.len - in_at;
	memcpy(data, in.data + in_at, len);
	in_at += len;
	return len;
}

static ssize_t gnutls_push(gnutls_transport_ptr_t ptr, const void *data, size_t len)
{
	(void)ptr;
	if (len > sizeof(out.data) - out.len)
		die("a flight is too long");
	memcpy(out.data + out.len, data, len);
	out.len += len;
	return len;
}

static int gnutls_ready(gnutls_transport_ptr_t ptr, unsigned int ms)
{
	(void)ptr;
	(void)ms;
	return in_at < in.len;
}

static void gnutls_open(void)
{
	in.len = 0;
	in_at = 0;
	out.len = 0;
	if (gnutls_init(&session, GNUTLS_SERVER | GNUTLS_NONBLOCK) || gnutls_priority_set(session, priority) ||
	    gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, creds) ||
	    gnutls_session_ticket_enable_server(session, &ticket_key))
		die("no memory");
	gnutls_transport_set_pull_function(session, gnutls_pull);
	gnutls_transport_set_push_function(session, gnutls_push);
	gnutls_transport_set_pull_timeout_function(session, gnutls_ready);
}

static int gnutls_step(void)
{
	int ret = gnutls_handshake(session);

	if (ret < 0 && gnutls_error_is_fatal(ret))
		die("GnuTLS's server failed: %s", gnutls_strerror(ret));
	return ret == 0;
}

static void gnutls_end(void)
{
	gnutls_deinit(session);
}

static void gnutls_put(const struct flight *flight)
{
	if (!flight->len)
		return;
	if (in_at != in.len)
		die("GnuTLS did not read it all");
	in = *flight;
	in_at = 0;
}

static void gnutls_take(struct flight *flight)
{
	flight->len = out.len;
	memcpy(flight->data, out.data, out.len);
	out.len = 0;
}

const struct server server_gnutls = {
	"gnutls", gnutls_setup, gnutls_open, gnutls_step, gnutls_end, gnutls_put, gnutls_take,
};
