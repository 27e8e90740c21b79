// SPDX-License-Identifier: GPL-2.0
/*
 * The handshake engine: GnuTLS over a channel descriptor.
 *
 * Output: GnuTLS hands over whole flights; what the descriptor does not take
 * is kept here, so GnuTLS never sees a short write.  A handshake is done only
 * when that rest is gone: the TLS 1.2 Finished and the TLS 1.3 session tickets
 * count in the sequence number that the kernel goes on with, so they must be on
 * the wire before.
 *
 * Input: GnuTLS reads one record header, then one body, and nothing ahead; what
 * follows the client's Finished stays in the kernel.  Both a step and the
 * whole handshake read a bounded number of bytes: one client cannot hold the
 * loop, nor feed us without end.
 *
 * GnuTLS's own kTLS never starts on a session with transport functions of the
 * application; finish() checks all the same.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/uio.h>
#include <unistd.h>

#include <gnutls/gnutls.h>
#include <gnutls/socket.h>
#include <linux/itls.h>

#include "handshake.h"
#include "log.h"
#include "profile.h"

#define HANDSHAKE_STEP_MAX	(32 * 1024)	/* bytes read in one step */
#define HANDSHAKE_READ_MAX	(256 * 1024)	/* and in all */
#define HANDSHAKE_WRITE_MAX	(256 * 1024)	/* unsent output */
#define HANDSHAKE_WARNINGS_MAX	4
#define HANDSHAKE_RECORD	16384

/* TLS extension numbers (RFC 6066, 4 and RFC 8449, 4) */
#define EXT_MAX_FRAGMENT_LENGTH	1
#define EXT_RECORD_SIZE_LIMIT	28

struct handshake {
	gnutls_session_t session;
	struct profile *profile;
	int fd;
	bool finished;		/* GnuTLS is; output may still wait */
	bool eof;		/* the client sent FIN */
	int io_err;		/* of the descriptor, positive */
	int error;		/* of GnuTLS, 0: none */
	int warnings;
	int alert_tx;
	int alert_rx;
	size_t step_read;
	size_t total_read;
	uint8_t *out;		/* unsent output */
	size_t out_len;
	size_t out_off;
	uint8_t *prefix;
	char *text;
	char alpn[ITLS_ALPN_MAX + 1];
	char sni[ITLS_SNI_MAX + 1];
	struct handshake_result result;
};

/* Output */

static int out_flush(struct handshake *h)
{
	ssize_t put;

	while (h->out_off < h->out_len) {
		put = write(h->fd, h->out + h->out_off, h->out_len - h->out_off);
		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0 && errno == EAGAIN)
			return -EAGAIN;
		if (put < 0) {
			h->io_err = errno;
			return -errno;
		}
		h->out_off += put;
	}
	h->out_off = 0;
	h->out_len = 0;
	return 0;
}

static int out_append(struct handshake *h, const uint8_t *data, size_t len)
{
	uint8_t *grown;

	if (h->out_len + len > HANDSHAKE_WRITE_MAX)
		return -ENOBUFS;
	grown = realloc(h->out, h->out_len + len);
	if (!grown)
		return -ENOMEM;
	memcpy(grown + h->out_len, data, len);
	h->out = grown;
	h->out_len += len;
	return 0;
}

/* Keeps what is left of @iov after its first @sent bytes. */
static int out_keep(struct handshake *h, const giovec_t *iov, int count, size_t sent)
{
	int i, err;

	for (i = 0; i < count; i++) {
		size_t skip = sent < iov[i].iov_len ? sent : iov[i].iov_len;

		sent -= skip;
		if (skip == iov[i].iov_len)
			continue;
		err = out_append(h, (const uint8_t *)iov[i].iov_base + skip, iov[i].iov_len - skip);
		if (err)
			return err;
	}
	return 0;
}

static ssize_t channel_push(gnutls_transport_ptr_t ptr, const giovec_t *iov, int count)
{
	struct handshake *h = ptr;
	size_t total = 0;
	ssize_t put = 0;
	int i, err;

	for (i = 0; i < count; i++)
		total += iov[i].iov_len;
	if (h->out_len == 0) {
		do {
			put = writev(h->fd, iov, count);
		} while (put < 0 && errno == EINTR);
		if (put < 0 && errno != EAGAIN) {
			h->io_err = errno;
			gnutls_transport_set_errno(h->session, EIO);
			return -1;
		}
	}
	err = out_keep(h, iov, count, put > 0 ? put : 0);
	if (err) {
		h->io_err = -err;
		gnutls_transport_set_errno(h->session, EIO);
		return -1;
	}
	return total;
}

/* Input */

static ssize_t pull_error(struct handshake *h, int err)
{
	if (err != EAGAIN)
		h->io_err = err;
	gnutls_transport_set_errno(h->session, err == EAGAIN ? EAGAIN : EIO);
	return -1;
}

static ssize_t channel_pull(gnutls_transport_ptr_t ptr, void *data, size_t len)
{
	struct handshake *h = ptr;
	ssize_t got;

	if (h->total_read >= HANDSHAKE_READ_MAX)
		return pull_error(h, EPROTO);
	if (h->step_read >= HANDSHAKE_STEP_MAX)
		return pull_error(h, EAGAIN); /* the rest is still readable: the loop calls again */
	do {
		got = read(h->fd, data, len);
	} while (got < 0 && errno == EINTR);
	if (got < 0)
		return pull_error(h, errno);
	h->eof = got == 0; /* inside a record GnuTLS calls it a bad length */
	h->step_read += got;
	h->total_read += got;
	return got;
}

/* GnuTLS asks only where it would wait, and nothing here may wait. */
static int channel_pull_timeout(gnutls_transport_ptr_t ptr, unsigned int ms)
{
	struct handshake *h = ptr;
	struct pollfd pfd = { .fd = h->fd, .events = POLLIN };

	(void)ms;
	return poll(&pfd, 1, 0);
}

/* Extensions that would bind us to short records */

static int ignore_extension(gnutls_session_t session, const unsigned char *data, size_t len)
{
	(void)session;
	(void)data;
	(void)len;
	return 0;
}

static int omit_extension(gnutls_session_t session, gnutls_buffer_t data)
{
	(void)session;
	(void)data;
	return 0;
}

/*
 * The kernel sends records up to the full size.  Both extensions are offers of
 * the client that a server may leave unanswered, and unanswered they do not
 * bind.  GnuTLS has no switch for them, but lets them be replaced.
 */
static int refuse_short_records(gnutls_session_t session)
{
	static const int ids[] = { EXT_MAX_FRAGMENT_LENGTH, EXT_RECORD_SIZE_LIMIT };
	unsigned int i;
	int ret = 0;

	for (i = 0; !ret && i < sizeof(ids) / sizeof(ids[0]); i++)
		ret = gnutls_session_ext_register(session, "short records", ids[i], GNUTLS_EXT_TLS,
						  ignore_extension, omit_extension, NULL, NULL, NULL,
						  GNUTLS_EXT_FLAG_OVERRIDE_INTERNAL | GNUTLS_EXT_FLAG_TLS |
						  GNUTLS_EXT_FLAG_CLIENT_HELLO);
	return ret;
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

static int session_new(struct handshake *h)
{
	int ret = gnutls_init(&h->session, GNUTLS_SERVER | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL);

	if (ret < 0) {
		h->session = NULL;
		return ret;
	}
	gnutls_transport_set_ptr(h->session, h);
	gnutls_transport_set_vec_push_function(h->session, channel_push);
	gnutls_transport_set_pull_function(h->session, channel_pull);
	gnutls_transport_set_pull_timeout_function(h->session, channel_pull_timeout);
	gnutls_certificate_server_set_request(h->session, GNUTLS_CERT_IGNORE);
	ret = refuse_short_records(h->session);
	return ret ? ret : profile_apply(h->profile, h->session);
}

int handshake_new(struct handshake **hp, struct profile *profile, int fd)
{
	struct handshake *h = calloc(1, sizeof(*h));

	if (!h)
		return -ENOMEM;
	h->profile = profile_ref(profile);
	h->fd = fd;
	h->alert_tx = -1;
	h->alert_rx = -1;
	if (session_new(h) < 0) {
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
	profile_put(h->profile);
	if (h->prefix)
		gnutls_memset(h->prefix, 0, ITLS_PREFIX_MAX);
	free(h->prefix);
	free(h->out);
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
	if (!gnutls_server_name_get(h->session, h->sni, &len, &type, 0) && type == GNUTLS_NAME_DNS)
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
	return 0;
}

static int finish(struct handshake *h)
{
	int err;

	if (gnutls_transport_is_ktls_enabled(h->session) ||
	    gnutls_record_get_max_size(h->session) < HANDSHAKE_RECORD)
		return -EIO;
	err = take_prefix(h); /* before the keys: reading may move the sequence number */
	if (err)
		return err;
	take_names(h);
	return take_keys(h);
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
	int level, alert = gnutls_error_to_alert(error, &level);

	if (alert < 0 || gnutls_alert_send(h->session, level, alert) < 0)
		return;
	out_flush(h);
	if (!h->io_err)
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
	if (h->io_err)
		return io_status(h->io_err);
	if (h->eof || error == GNUTLS_E_PREMATURE_TERMINATION)
		return -ECONNRESET;
	if (error == GNUTLS_E_FATAL_ALERT_RECEIVED) {
		h->alert_rx = gnutls_alert_get(h->session);
		return -EPROTO;
	}
	send_alert(h, error);
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

	h->step_read = 0;
	err = out_flush(h);
	if (err)
		return err == -EAGAIN ? err : failed(h, GNUTLS_E_PUSH_ERROR);
	if (h->finished)
		return 0;
	ret = run_gnutls(h);
	if (ret == GNUTLS_E_AGAIN)
		return -EAGAIN;
	if (ret < 0)
		return failed(h, ret);
	err = finish(h);
	if (err) {
		h->error = GNUTLS_E_INTERNAL_ERROR;
		send_alert(h, h->error);
		return err;
	}
	h->finished = true;
	err = out_flush(h);
	return err && err != -EAGAIN ? failed(h, GNUTLS_E_PUSH_ERROR) : err;
}

uint32_t handshake_events(const struct handshake *h)
{
	return h->out_len ? EPOLLOUT : EPOLLIN;
}

const struct handshake_result *handshake_result(const struct handshake *h)
{
	return &h->result;
}

const char *handshake_text(struct handshake *h)
{
	if (h->error && h->alert_rx >= 0)
		return gnutls_alert_get_name(h->alert_rx);
	if (h->io_err)
		return strerror(h->io_err);
	if (h->eof)
		return "connection closed by the client";
	if (h->error)
		return gnutls_strerror(h->error);
	if (!h->text)
		h->text = gnutls_session_get_desc(h->session);
	return h->text ? h->text : "no memory";
}

int handshake_alert_tx(const struct handshake *h)
{
	return h->alert_tx;
}

int handshake_alert_rx(const struct handshake *h)
{
	return h->alert_rx;
}
