// SPDX-License-Identifier: GPL-2.0
/*
 * The handshake engine: GnuTLS over a channel.
 *
 * A handshake is done only when all its output is gone: the TLS 1.2 Finished
 * and the TLS 1.3 session tickets count in the sequence number that the kernel
 * goes on with, so they must be on the wire before.
 *
 * GnuTLS's own kTLS never starts on a session with transport functions of the
 * application; finish() checks all the same.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include <gnutls/gnutls.h>
#include <gnutls/socket.h>
#include <gnutls/x509.h>
#include <linux/itls.h>

#include "channel.h"
#include "client.h"
#include "handshake.h"
#include "log.h"
#include "profile.h"
#include "session.h"
#include "ticket.h"
#include "verify.h"

#define HANDSHAKE_WARNINGS_MAX	4
#define HANDSHAKE_RECORD	16384

struct handshake {
	gnutls_session_t session;
	struct channel channel;
	struct profile *profile;
	struct client client;
	bool have_tx_secret;
	bool have_rx_secret;
	bool finished;		/* GnuTLS is; output may still wait */
	int error;		/* of GnuTLS, 0: none */
	int warnings;
	int alert_tx;
	int alert_rx;
	uint8_t *prefix;
	char *text;
	struct verify_want want;
	enum itls_verify verify;
	bool judged;			/* certificates came with this handshake */
	uint8_t digest[ITLS_DIGEST_LEN];
	char subject[ITLS_SUBJECT_MAX + 1];
	char alpn[ITLS_ALPN_MAX + 1];
	char sni[ITLS_SNI_MAX + 1];
	struct handshake_result result;
};

/* Traffic secrets */

/*
 * Called as GnuTLS changes keys; a server's two come one after the other.  The
 * first secrets of application data are what KeyUpdate goes on from (RFC 8446, 7.2).
 */
static int secrets_ready(gnutls_session_t session, gnutls_record_encryption_level_t level, const void *read,
			 const void *write, size_t size)
{
	struct handshake *h = gnutls_session_get_ptr(session);
	struct handshake_result *r = &h->result;

	if (level != GNUTLS_ENCRYPTION_LEVEL_APPLICATION)
		return 0;
	if (size > ITLS_SECRET_MAX || (r->secret_len && r->secret_len != size))
		return GNUTLS_E_INTERNAL_ERROR;
	r->secret_len = size;
	if (write)
		memcpy(r->tx_secret, write, size);
	if (read)
		memcpy(r->rx_secret, read, size);
	h->have_tx_secret = h->have_tx_secret || write;
	h->have_rx_secret = h->have_rx_secret || read;
	return 0;
}

static bool secrets_are_whole(const struct handshake *h)
{
	if (h->result.tx.info.version != TLS_1_3_VERSION)
		return !h->result.secret_len;
	return h->have_tx_secret && h->have_rx_secret;
}

/* The peer's certificate */

static bool is_tls13(const struct handshake *h)
{
	return gnutls_protocol_get_version(h->session) == GNUTLS_TLS1_3;
}

/* Before GnuTLS computes with what the peer sent. */
static int certificate_came(gnutls_session_t session, unsigned int type, unsigned int when, unsigned int incoming,
			    const gnutls_datum_t *message)
{
	struct handshake *h = gnutls_session_get_ptr(session);
	enum itls_verify verdict;

	(void)type;
	(void)when;
	if (!incoming)
		return 0;
	verdict = verify_message(message, is_tls13(h));
	if (verdict == ITLS_VERIFY_OK)
		return 0;
	h->verify = verdict;
	return GNUTLS_E_CERTIFICATE_ERROR;
}

/* Whoever asks for a certificate takes a good one or, if that will do, none. */
static bool verdict_will_do(const struct handshake *h)
{
	return !profile_asks(h->profile) || h->verify == ITLS_VERIFY_OK ||
	       (h->verify == ITLS_VERIFY_NONE && !profile_insists(h->profile));
}

static int certificate_read(gnutls_session_t session)
{
	struct handshake *h = gnutls_session_get_ptr(session);

	h->judged = true;
	h->verify = verify_peer(session, &h->want);
	return verdict_will_do(h) ? 0 : GNUTLS_E_CERTIFICATE_ERROR;
}

/* What GnuTLS itself finds wrong with certificates. */
static enum itls_verify verdict_of(const struct handshake *h, int error)
{
	if (!profile_asks(h->profile) || h->verify != ITLS_VERIFY_NONE)
		return h->verify;
	switch (error) {
	case GNUTLS_E_CERTIFICATE_REQUIRED:
	case GNUTLS_E_NO_CERTIFICATE_FOUND:
		return ITLS_VERIFY_MISSING;
	case GNUTLS_E_KEY_USAGE_VIOLATION:
		return ITLS_VERIFY_PURPOSE;
	default:
		return ITLS_VERIFY_NONE;
	}
}

static bool is_refusal(enum itls_verify verify)
{
	return verify != ITLS_VERIFY_NONE && verify != ITLS_VERIFY_OK;
}

/* Life */

static void gnutls_line(int level, const char *text)
{
	log_debug("gnutls[%d]: %.*s", level, (int)strcspn(text, "\n"), text);
}

int handshake_setup(bool debug)
{
	if (gnutls_global_init() < 0)
		return -EIO;
	/* From level 9 on GnuTLS logs secrets. */
	gnutls_global_set_log_function(gnutls_line);
	gnutls_global_set_log_level(debug ? 3 : 0);
	return 0;
}

void handshake_clock(time_t (*now)(time_t *out))
{
	gnutls_global_set_time_function(now);
}

/* Whoever named a certificate wants it shown, whatever authorities the server asks for. */
static unsigned int session_flags(const struct profile *profile)
{
	unsigned int flags = GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL;

	if (!profile_is_client(profile))
		return flags | GNUTLS_SERVER;
	if (!profile_has_tickets(profile))
		flags |= GNUTLS_NO_TICKETS;
	return flags | GNUTLS_CLIENT | GNUTLS_FORCE_CLIENT_CERT;
}

static int session_new(struct handshake *h, int fd)
{
	int ret = gnutls_init(&h->session, session_flags(h->profile));

	if (ret < 0) {
		h->session = NULL;
		return ret;
	}
	channel_attach(&h->channel, h->session, fd, !profile_is_client(h->profile));
	gnutls_session_set_ptr(h->session, h);
	gnutls_handshake_set_secret_function(h->session, secrets_ready);
	gnutls_session_set_verify_function(h->session, certificate_read);
	gnutls_handshake_set_hook_function(h->session, GNUTLS_HANDSHAKE_CERTIFICATE_PKT, GNUTLS_HOOK_POST,
					   certificate_came);
	return profile_apply(h->profile, h->session);
}

static struct handshake *new(struct profile *profile)
{
	struct handshake *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	h->profile = profile_ref(profile);
	h->want.trust = profile_trust(profile);
	h->alert_tx = -1;
	h->alert_rx = -1;
	return h;
}

int handshake_new(struct handshake **hp, struct profile *profile, int fd)
{
	struct handshake *h = new(profile);

	if (!h)
		return -ENOMEM;
	h->want.purpose = GNUTLS_KP_TLS_WWW_CLIENT;
	if (session_new(h, fd) < 0) {
		handshake_free(h);
		return -EIO;
	}
	*hp = h;
	return 0;
}

static int client_session_new(struct handshake *h, int fd)
{
	int ret = session_new(h, fd);

	return ret ? ret : client_apply(&h->client, h->session);
}

/*
 * A server that resumes shows no certificate: the chain of the session is
 * judged again, with today's date and trust, before it is offered at all.
 * What has become bad or too old is not offered, and the server may show a
 * better one.
 */
static void client_offer(struct handshake *h, const gnutls_datum_t *packed)
{
	struct session_parts parts;

	if (session_unpack(packed, &parts) || verify_chain(parts.chain, parts.count, &h->want) != ITLS_VERIFY_OK)
		return;
	gnutls_session_set_data(h->session, parts.data.data, parts.data.size);
}

int handshake_new_client(struct handshake **hp, struct profile *profile, int fd, const struct client_request *req)
{
	struct handshake *h = new(profile);
	int err, ret;

	if (!h)
		return -ENOMEM;
	err = client_prepare(&h->client, req);
	if (err) {
		handshake_free(h);
		return err;
	}
	if (h->client.trust)
		h->want.trust = h->client.trust;
	h->want.name = h->client.name;
	h->want.purpose = GNUTLS_KP_TLS_WWW_SERVER;
	ret = client_session_new(h, fd);
	if (!ret && req->session.data)
		client_offer(h, &req->session);
	if (ret < 0) {
		handshake_free(h);
		return -EIO;
	}
	*hp = h;
	return 0;
}

void handshake_free(struct handshake *h)
{
	if (!h)
		return;
	if (h->session)
		gnutls_deinit(h->session);
	client_clear(&h->client);
	profile_put(h->profile);
	if (h->prefix)
		gnutls_memset(h->prefix, 0, ITLS_PREFIX_MAX);
	free(h->prefix);
	channel_clear(&h->channel);
	gnutls_free(h->text);
	gnutls_memset(h, 0, sizeof(*h));
	free(h);
}

/* Success */

static int take_prefix(struct handshake *h)
{
	size_t pending, have = 0;
	ssize_t got;

	while ((pending = gnutls_record_check_pending(h->session)) > 0) {
		if (!h->prefix)
			h->prefix = malloc(ITLS_PREFIX_MAX);
		if (!h->prefix)
			return -EIO;
		if (pending > ITLS_PREFIX_MAX - have)
			return -EPROTO;
		got = gnutls_record_recv(h->session, h->prefix + have, pending);
		if (got <= 0)
			return -EIO;
		have += got;
	}
	h->result.prefix = h->prefix;
	h->result.prefix_len = have;
	return 0;
}

static void take_names(struct handshake *h)
{
	size_t len = sizeof(h->sni) - 1;
	gnutls_datum_t alpn;
	unsigned int type;

	if (!gnutls_alpn_get_selected_protocol(h->session, &alpn) && alpn.size <= ITLS_ALPN_MAX &&
	    !memchr(alpn.data, 0, alpn.size)) {
		memcpy(h->alpn, alpn.data, alpn.size);
		h->result.alpn = h->alpn;
	}
	if (profile_is_client(h->profile))
		h->result.sni = h->client.is_address ? NULL : h->client.name;
	else if (!gnutls_server_name_get(h->session, h->sni, &len, &type, 0) && type == GNUTLS_NAME_DNS)
		h->result.sni = h->sni;
	h->result.resumed = gnutls_session_is_resumed(h->session);
}

static int take_keys(struct handshake *h)
{
	int tx = keys_export(h->session, false, &h->result.tx);
	int rx = keys_export(h->session, true, &h->result.rx);

	if (tx < 0 || rx < 0)
		return -EIO;
	h->result.tx_len = tx;
	h->result.rx_len = rx;
	return secrets_are_whole(h) ? 0 : -EIO;
}

/* Of a session that was resumed GnuTLS has the certificates now. */
static void judge_resumed(struct handshake *h)
{
	if (profile_is_client(h->profile) && h->result.resumed && !h->judged)
		h->verify = verify_peer(h->session, &h->want);
}

/* Nothing that was not verified goes on from here, whatever GnuTLS called and when. */
static int take_peer(struct handshake *h)
{
	struct handshake_result *r = &h->result;

	judge_resumed(h);
	if (!verdict_will_do(h))
		return is_refusal(h->verify) ? -EKEYREJECTED : -EIO;
	if (h->verify != ITLS_VERIFY_OK)
		return 0;
	if (verify_describe(h->session, h->digest, h->subject, sizeof(h->subject)))
		return -EIO;
	r->peer_digest = h->digest;
	r->peer_subject = h->subject[0] ? h->subject : NULL;
	return 0;
}

static int finish(struct handshake *h)
{
	int err;

	if (gnutls_transport_is_ktls_enabled(h->session))
		return -EIO;
	if (!channel_is_read(&h->channel))
		return -EPROTO; /* what is not ours to read */
	if (gnutls_record_get_max_size(h->session) < HANDSHAKE_RECORD)
		return profile_is_client(h->profile) ? -EPROTO : -EIO;
	err = take_prefix(h); /* before the keys: reading may move the sequence number */
	if (err)
		return err;
	take_names(h);
	err = take_peer(h);
	return err ? err : take_keys(h);
}

/* Sessions to resume */

int handshake_session(struct handshake *h, gnutls_datum_t *data)
{
	unsigned char id[64];
	size_t size = sizeof(id);

	if (!profile_has_tickets(h->profile))
		return -ENOENT;
	if (is_tls13(h))
		return -EAGAIN; /* asked now, GnuTLS would wait for one */
	if (!(gnutls_session_get_flags(h->session) & GNUTLS_SFLAGS_SESSION_TICKET) &&
	    (gnutls_session_get_id(h->session, id, &size) < 0 || !size))
		return -ENOENT;
	return session_pack(h->session, data);
}

int handshake_ticket(struct handshake *h, const void *message, size_t len, gnutls_datum_t *data)
{
	int err;

	channel_detach(&h->channel);
	err = ticket_read(h->session, &h->channel, message, len);
	return err ? err : session_pack(h->session, data);
}

void handshake_detach(struct handshake *h)
{
	channel_detach(&h->channel);
	gnutls_memset(&h->result, 0, sizeof(h->result));
}

/* Failure */

static bool error_is_ours(int error)
{
	static const int ours[] = {
		GNUTLS_E_MEMORY_ERROR, GNUTLS_E_INTERNAL_ERROR, GNUTLS_E_RANDOM_FAILED,
		GNUTLS_E_FILE_ERROR, GNUTLS_E_PK_SIGN_FAILED, GNUTLS_E_ENCRYPTION_FAILED,
		GNUTLS_E_HASH_FAILED, GNUTLS_E_LIB_IN_ERROR_STATE, GNUTLS_E_SELF_TEST_ERROR,
		GNUTLS_E_INVALID_REQUEST, GNUTLS_E_INSUFFICIENT_CREDENTIALS,
	};
	size_t i;

	for (i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		if (ours[i] == error)
			return true;
	return false;
}

static void send_alert(struct handshake *h, int error)
{
	int level = GNUTLS_AL_FATAL, alert;

	if (is_refusal(h->verify))
		alert = verify_alert(h->verify, is_tls13(h));
	else
		alert = gnutls_error_to_alert(error, &level);
	if (alert < 0 || gnutls_alert_send(h->session, level, alert) < 0)
		return;
	channel_flush(&h->channel);
	if (!h->channel.io_err)
		h->alert_tx = alert;
}

static int io_status(int io_err)
{
	switch (io_err) {
	case EPROTO:
		return -EPROTO;
	case ENOMEM:
	case ENOBUFS:
	case EBADF:
	case EINVAL:
		return -EIO;
	default:
		return -ECONNRESET;
	}
}

/* Translates the end of a handshake; sends an alert where the peer still listens. */
static int failed(struct handshake *h, int error)
{
	h->error = error;
	if (h->channel.io_err)
		return io_status(h->channel.io_err);
	if (h->channel.eof || error == GNUTLS_E_PREMATURE_TERMINATION)
		return -ECONNRESET;
	if (error == GNUTLS_E_FATAL_ALERT_RECEIVED) {
		h->alert_rx = gnutls_alert_get(h->session);
		return -EPROTO;
	}
	h->verify = verdict_of(h, error);
	send_alert(h, error);
	if (is_refusal(h->verify))
		return -EKEYREJECTED;
	return error_is_ours(error) ? -EIO : -EPROTO;
}

/* Non-fatal results mean "go on", but a client may not send warnings for ever. */
static int run_gnutls(struct handshake *h)
{
	int ret;

	do {
		ret = gnutls_handshake(h->session);
	} while (ret < 0 && ret != GNUTLS_E_AGAIN && !gnutls_error_is_fatal(ret) &&
		 ++h->warnings <= HANDSHAKE_WARNINGS_MAX);
	if (h->warnings > HANDSHAKE_WARNINGS_MAX)
		return GNUTLS_E_UNEXPECTED_PACKET;
	return ret;
}

int handshake_step(struct handshake *h)
{
	int err, ret;

	channel_step(&h->channel);
	err = channel_flush(&h->channel);
	if (err)
		return err == -EAGAIN ? err : failed(h, GNUTLS_E_PUSH_ERROR);
	if (h->finished)
		return 0;
	ret = run_gnutls(h);
	if (ret == GNUTLS_E_AGAIN) {
		err = channel_flush(&h->channel);
		return err && err != -EAGAIN ? failed(h, GNUTLS_E_PUSH_ERROR) : -EAGAIN;
	}
	if (ret < 0)
		return failed(h, ret);
	err = finish(h);
	if (err) {
		h->error = GNUTLS_E_INTERNAL_ERROR;
		send_alert(h, h->error);
		return err;
	}
	h->finished = true;
	err = channel_flush(&h->channel);
	return err && err != -EAGAIN ? failed(h, GNUTLS_E_PUSH_ERROR) : err;
}

uint32_t handshake_events(const struct handshake *h)
{
	return channel_is_full(&h->channel) ? EPOLLOUT : EPOLLIN;
}

const struct handshake_result *handshake_result(const struct handshake *h)
{
	return &h->result;
}

const char *handshake_text(struct handshake *h)
{
	if (h->error && h->alert_rx >= 0)
		return gnutls_alert_get_name(h->alert_rx);
	if (h->channel.io_err)
		return strerror(h->channel.io_err);
	if (h->error && is_refusal(h->verify))
		return verify_text(h->verify);
	if (h->channel.eof)
		return "connection closed by the peer";
	if (h->error)
		return gnutls_strerror(h->error);
	if (!h->text)
		h->text = gnutls_session_get_desc(h->session);
	return h->text ? h->text : "no memory";
}

enum itls_verify handshake_verify(const struct handshake *h)
{
	return h->verify;
}

int handshake_alert_tx(const struct handshake *h)
{
	return h->alert_tx;
}

int handshake_alert_rx(const struct handshake *h)
{
	return h->alert_rx;
}
