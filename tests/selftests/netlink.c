// SPDX-License-Identifier: GPL-2.0
/*
 * The generic netlink family from below: messages no library would send.
 * Each refusal has its errno and says why, and leaves the request pending,
 * so that a correct DONE still ends it.
 */
#define _GNU_SOURCE
#include "managed.h"

#include <grp.h>
#include <libmnl/libmnl.h>
#include <linux/genetlink.h>
#include <poll.h>
#include <sys/wait.h>

FIXTURE_VARIANT_ADD(managed, tls12) {
	.version = TLS_1_2_VERSION, .cipher = TLS_CIPHER_AES_GCM_128, .family = AF_INET,
};

FIXTURE_VARIANT_ADD(managed, tls13) {
	.version = TLS_1_3_VERSION, .cipher = TLS_CIPHER_AES_GCM_256, .family = AF_INET6,
};

/* One socket and one message under construction. */
struct raw {
	struct mnl_socket *sock;
	uint16_t family;
	struct nlmsghdr *nlh;
	char buf[65536] __attribute__((aligned(8)));
	char text[256];		/* extack of the last answer */
	bool missing;		/* it named a missing attribute */
};

/* 0 or -errno; fills in what extack said. */
static int raw_answer(struct raw *raw)
{
	static char buf[65536] __attribute__((aligned(8)));
	const struct nlmsgerr *err;
	const struct nlmsghdr *nlh;
	const struct nlattr *attr;
	ssize_t n;

	raw->text[0] = 0;
	raw->missing = false;
	for (;;) {
		n = mnl_socket_recvfrom(raw->sock, buf, sizeof(buf));
		ASSERT_LT(0, n);
		nlh = (void *)buf;
		if (nlh->nlmsg_type == NLMSG_ERROR)
			break;
		if (nlh->nlmsg_type == NLMSG_DONE)
			return 0;
		/* Data ahead of the acknowledgment, in the same datagram or the next. */
		memcpy(raw->buf, buf, n);
	}
	err = mnl_nlmsg_get_payload(nlh);
	if (nlh->nlmsg_flags & NLM_F_ACK_TLVS) {
		mnl_attr_for_each(attr, nlh, sizeof(*err)) {
			if (mnl_attr_get_type(attr) == NLMSGERR_ATTR_MSG)
				snprintf(raw->text, sizeof(raw->text), "%s",
					 mnl_attr_get_str(attr));
			if (mnl_attr_get_type(attr) == NLMSGERR_ATTR_MISS_TYPE)
				raw->missing = true;
		}
	}
	return err->error;
}

static void raw_begin(struct raw *raw, uint16_t type, uint8_t cmd, uint16_t flags)
{
	struct genlmsghdr *genl;

	raw->nlh = mnl_nlmsg_put_header(raw->buf);
	raw->nlh->nlmsg_type = type;
	raw->nlh->nlmsg_flags = NLM_F_REQUEST | flags;
	raw->nlh->nlmsg_seq = 1;
	genl = mnl_nlmsg_put_extra_header(raw->nlh, sizeof(*genl));
	genl->cmd = cmd;
	genl->version = 1;
}

static int raw_send(struct raw *raw)
{
	ASSERT_LT(0, mnl_socket_sendto(raw->sock, raw->nlh, raw->nlh->nlmsg_len));
	return raw_answer(raw);
}

static int raw_cmd(struct raw *raw, uint8_t cmd)
{
	raw_begin(raw, raw->family, cmd, NLM_F_ACK);
	return raw_send(raw);
}

static void raw_open(struct raw *raw)
{
	const struct nlattr *attr;
	int one = 1;

	memset(raw, 0, sizeof(*raw));
	raw->sock = mnl_socket_open(NETLINK_GENERIC);
	ASSERT_TRUE(raw->sock);
	ASSERT_EQ(0, mnl_socket_bind(raw->sock, 0, MNL_SOCKET_AUTOPID));
	mnl_socket_setsockopt(raw->sock, NETLINK_EXT_ACK, &one, sizeof(one));
	mnl_socket_setsockopt(raw->sock, NETLINK_CAP_ACK, &one, sizeof(one));
	raw_begin(raw, GENL_ID_CTRL, CTRL_CMD_GETFAMILY, NLM_F_ACK);
	mnl_attr_put_strz(raw->nlh, CTRL_ATTR_FAMILY_NAME, ITLS_GENL_NAME);
	ASSERT_EQ(0, raw_send(raw));
	mnl_attr_for_each(attr, (struct nlmsghdr *)raw->buf, sizeof(struct genlmsghdr))
		if (mnl_attr_get_type(attr) == CTRL_ATTR_FAMILY_ID)
			raw->family = mnl_attr_get_u16(attr);
	ASSERT_NE(0, raw->family);
}

static void raw_close(struct raw *raw)
{
	mnl_socket_close(raw->sock);
}

/* A pending request accepted over a raw socket; returns its channel. */
struct pending {
	struct raw raw;
	uint32_t id;
	int fd;
};

static void pending_open(struct pending *p, struct managed_data *self)
{
	const struct nlattr *attr;

	/* The agent of the fixture must not take the request. */
	raw_open(&p->raw);
	ASSERT_EQ(0, raw_cmd(&p->raw, ITLS_CMD_AGENT));
	managed_pending(self);
	ASSERT_EQ(0, raw_cmd(&p->raw, ITLS_CMD_ACCEPT));
	p->fd = -1;
	mnl_attr_for_each(attr, (struct nlmsghdr *)p->raw.buf, sizeof(struct genlmsghdr)) {
		if (mnl_attr_get_type(attr) == ITLS_A_ACCEPT_ID)
			p->id = mnl_attr_get_u32(attr);
		if (mnl_attr_get_type(attr) == ITLS_A_ACCEPT_FD)
			p->fd = mnl_attr_get_u32(attr);
	}
	ASSERT_LE(0, p->fd);
	EXPECT_EQ(info_get(self->server).id, p->id);
}

/* What a DONE is built of; a test breaks one of them. */
struct done {
	const void *id, *status, *tx, *rx, *tx_secret, *rx_secret;
	size_t id_len, status_len, tx_len, rx_len, secret_len;
	uint16_t extra_type;
	const void *extra;
	size_t extra_len;
};

static int done_send(struct pending *p, const struct done *d)
{
	raw_begin(&p->raw, p->raw.family, ITLS_CMD_DONE, NLM_F_ACK);
	if (d->id)
		mnl_attr_put(p->raw.nlh, ITLS_A_DONE_ID, d->id_len, d->id);
	if (d->status)
		mnl_attr_put(p->raw.nlh, ITLS_A_DONE_STATUS, d->status_len, d->status);
	if (d->tx)
		mnl_attr_put(p->raw.nlh, ITLS_A_DONE_TX, d->tx_len, d->tx);
	if (d->rx)
		mnl_attr_put(p->raw.nlh, ITLS_A_DONE_RX, d->rx_len, d->rx);
	if (d->secret_len && d->tx_secret)
		mnl_attr_put(p->raw.nlh, ITLS_A_DONE_TX_SECRET, d->secret_len, d->tx_secret);
	if (d->secret_len && d->rx_secret)
		mnl_attr_put(p->raw.nlh, ITLS_A_DONE_RX_SECRET, d->secret_len, d->rx_secret);
	if (d->extra_type)
		mnl_attr_put(p->raw.nlh, d->extra_type, d->extra_len, d->extra);
	return raw_send(&p->raw);
}

static const uint32_t zero;

static struct done done_good(const struct pending *p, const struct managed_data *self)
{
	return (struct done){
		.id = &p->id, .id_len = 4, .status = &zero, .status_len = 4,
		.tx = &self->tx, .tx_len = peer_info_size(&self->tx),
		.rx = &self->rx, .rx_len = peer_info_size(&self->rx),
		.tx_secret = self->tx.secret, .rx_secret = self->rx.secret,
		.secret_len = peer_secret_len(&self->tx),
	};
}

/* Refused, with words, and the request is as it was. */
static void refused_any(struct managed_data *self, struct pending *p, const struct done *d,
			int want, int or_want, int line)
{
	int err = done_send(p, d);

	if (err != -want && err != -or_want)
		test_fail(__FILE__, line, "DONE gave %d (%s), not %s", err, p->raw.text,
			  strerrorname_np(want));
	if (!p->raw.text[0] && !p->raw.missing)
		test_fail(__FILE__, line, "refused with %d and no word why", err);
	EXPECT_EQ(ITLS_STATE_PENDING, info_get(self->server).state);
	EXPECT_EQ(0, sock_poll(self->server, POLLIN | POLLOUT, 0));
}

#define REFUSED(self, p, d, want) refused_any(self, p, d, want, want, __LINE__)
/* The policy of the family says ERANGE to a length or value out of its range. */
#define REFUSED_RANGE(self, p, d) refused_any(self, p, d, ERANGE, EINVAL, __LINE__)

static void works_afterwards(struct managed_data *self, struct pending *p)
{
	struct done d = done_good(p, self);
	uint8_t buf[8];

	ASSERT_EQ(0, done_send(p, &d));
	close(p->fd);
	peer_send(&self->client, REC_DATA, "ping", 4);
	ASSERT_EQ(4, recv(self->server, buf, sizeof(buf), 0));
	ASSERT_EQ(4, send(self->server, "pong", 4, 0));
	ASSERT_EQ(1, peer_recv_all(&self->client, buf, 4));
	raw_close(&p->raw);
}

TEST_F(managed, done_unknown_id)
{
	struct pending p;
	struct done d;
	uint32_t id;

	pending_open(&p, self);
	d = done_good(&p, self);
	id = p.id + 12345;
	d.id = &id;
	REFUSED(self, &p, &d, ESRCH);
	id = 0;
	EXPECT_NE(0, done_send(&p, &d));
	works_afterwards(self, &p);
}

TEST_F(managed, done_missing_attributes)
{
	struct pending p;
	struct done d;

	pending_open(&p, self);
	d = done_good(&p, self);
	d.id = NULL;
	REFUSED(self, &p, &d, EINVAL);
	d = done_good(&p, self);
	d.status = NULL;
	REFUSED(self, &p, &d, EINVAL);
	d = done_good(&p, self);
	d.tx = NULL;
	REFUSED(self, &p, &d, EINVAL);
	d = done_good(&p, self);
	d.rx = NULL;
	REFUSED(self, &p, &d, EINVAL);
	works_afterwards(self, &p);
}

TEST_F(managed, done_wrong_sizes)
{
	uint8_t big[256] = {};
	struct pending p;
	struct done d;
	size_t i;

	pending_open(&p, self);
	memcpy(big, &self->tx, peer_info_size(&self->tx));
	for (i = 0; i < sizeof(struct tls12_crypto_info_aes_gcm_256) + 8; i++) {
		if (i == peer_info_size(&self->tx))
			continue;
		d = done_good(&p, self);
		d.tx = big;
		d.tx_len = i;
		REFUSED_RANGE(self, &p, &d);
		d = done_good(&p, self);
		d.rx = big;
		d.rx_len = i;
		REFUSED_RANGE(self, &p, &d);
	}
	d = done_good(&p, self);
	d.id_len = 2;
	REFUSED_RANGE(self, &p, &d);
	d = done_good(&p, self);
	d.status = big;
	d.status_len = 8;
	REFUSED_RANGE(self, &p, &d);
	works_afterwards(self, &p);
}

TEST_F(managed, done_bad_version)
{
	static const uint16_t bad[] = { 0, 0x0301, 0x0302, 0x0305, 0xffff };
	union peer_info tx = self->tx, rx = self->rx;
	struct pending p;
	struct done d;
	size_t i;

	pending_open(&p, self);
	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		tx.info.version = bad[i];
		rx.info.version = bad[i];
		d = done_good(&p, self);
		d.tx = &tx;
		d.rx = &rx;
		REFUSED(self, &p, &d, EINVAL);
	}
	works_afterwards(self, &p);
}

TEST_F(managed, done_bad_cipher)
{
	static const uint16_t bad[] = { 0, 1, 50, 59, 0xffff };
	union peer_info tx = self->tx, rx = self->rx;
	struct pending p;
	struct done d;
	size_t i;

	pending_open(&p, self);
	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		tx.info.cipher_type = bad[i];
		rx.info.cipher_type = bad[i];
		d = done_good(&p, self);
		d.tx = &tx;
		d.rx = &rx;
		REFUSED(self, &p, &d, EINVAL);
	}
	works_afterwards(self, &p);
}

TEST_F(managed, done_directions_differ)
{
	union peer_info other = self->rx;
	struct pending p;
	struct done d;

	pending_open(&p, self);
	other.info.version = variant->version == TLS_1_2_VERSION ? TLS_1_3_VERSION :
								   TLS_1_2_VERSION;
	d = done_good(&p, self);
	d.rx = &other;
	REFUSED(self, &p, &d, EINVAL);
	peer_info_make(&other, variant->version, variant->cipher == TLS_CIPHER_AES_GCM_128 ?
		       TLS_CIPHER_AES_GCM_256 : TLS_CIPHER_AES_GCM_128, 5, 0);
	d = done_good(&p, self);
	d.tx = &other;
	d.tx_len = peer_info_size(&other);
	REFUSED(self, &p, &d, EINVAL);
	works_afterwards(self, &p);
}

/* What KeyUpdate needs comes with the keys, or they are no use. */
TEST_F(managed, done_without_secrets)
{
	struct pending p;
	struct done d;
	size_t i;

	if (variant->version != TLS_1_3_VERSION)
		SKIP("TLS 1.2 has no traffic secrets");
	pending_open(&p, self);
	d = done_good(&p, self);
	d.secret_len = 0;
	REFUSED(self, &p, &d, EINVAL);
	d = done_good(&p, self);
	d.tx_secret = NULL;
	REFUSED(self, &p, &d, EINVAL);
	d = done_good(&p, self);
	d.rx_secret = NULL;
	REFUSED(self, &p, &d, EINVAL);
	d = done_good(&p, self);
	for (i = 1; i <= ITLS_SECRET_MAX; i++) {
		d.secret_len = i;
		if (i != peer_secret_len(&self->tx))
			REFUSED_RANGE(self, &p, &d);
	}
	works_afterwards(self, &p);
}

static void extra_case(struct managed_data *self, uint16_t type, const void *data, size_t len)
{
	struct pending p;
	struct done d;

	pending_open(&p, self);
	d = done_good(&p, self);
	d.extra_type = type;
	d.extra = data;
	d.extra_len = len;
	REFUSED_RANGE(self, &p, &d);
	works_afterwards(self, &p);
}

TEST_F(managed, done_prefix_too_long)
{
	uint8_t *data = alloc_pattern(ITLS_PREFIX_MAX + 1, 0);

	extra_case(self, ITLS_A_DONE_PREFIX, data, ITLS_PREFIX_MAX + 1);
	free(data);
}

TEST_F(managed, done_alpn_too_long)
{
	char text[ITLS_ALPN_MAX + 2];

	memset(text, 'a', sizeof(text));
	text[sizeof(text) - 1] = 0;
	extra_case(self, ITLS_A_DONE_ALPN, text, sizeof(text));
}

TEST_F(managed, done_sni_too_long)
{
	char text[ITLS_SNI_MAX + 2];

	memset(text, 'a', sizeof(text));
	text[sizeof(text) - 1] = 0;
	extra_case(self, ITLS_A_DONE_SNI, text, sizeof(text));
}

TEST_F(managed, done_digest_too_short)
{
	uint8_t digest[ITLS_DIGEST_LEN] = {};

	extra_case(self, ITLS_A_DONE_PEER_DIGEST, digest, ITLS_DIGEST_LEN - 1);
}

TEST_F(managed, done_digest_too_long)
{
	uint8_t digest[ITLS_DIGEST_LEN + 1] = {};

	extra_case(self, ITLS_A_DONE_PEER_DIGEST, digest, ITLS_DIGEST_LEN + 1);
}

TEST_F(managed, done_secret_too_long)
{
	uint8_t secret[ITLS_SECRET_MAX + 1] = {};

	extra_case(self, ITLS_A_DONE_TX_SECRET, secret, sizeof(secret));
}

TEST_F(managed, done_limits_of_nothing)
{
	uint64_t none = 0;

	extra_case(self, ITLS_A_DONE_REKEY_RECORDS, &none, sizeof(none));
}

TEST_F(managed, done_bytes_of_nothing)
{
	uint64_t none = 0;

	extra_case(self, ITLS_A_DONE_REKEY_BYTES, &none, sizeof(none));
}

TEST_F(managed, done_bad_verify)
{
	uint8_t verify = __ITLS_VERIFY_MAX;

	extra_case(self, ITLS_A_DONE_VERIFY, &verify, sizeof(verify));
}

TEST_F(managed, done_subject_too_long)
{
	char text[ITLS_SUBJECT_MAX + 2];

	memset(text, 'a', sizeof(text));
	text[sizeof(text) - 1] = 0;
	extra_case(self, ITLS_A_DONE_PEER_SUBJECT, text, sizeof(text));
}

TEST_F(managed, done_bad_sizing)
{
	uint8_t sizing = __ITLS_RECORD_SIZING_MAX;

	extra_case(self, ITLS_A_DONE_RECORD_SIZING, &sizing, sizeof(sizing));
}

TEST_F(managed, done_unknown_attribute)
{
	extra_case(self, ITLS_A_DONE_MAX + 1, &zero, 4);
}

/* A status is an errno; anything larger would be taken for a pointer or for success. */
TEST_F(managed, done_bad_status)
{
	static const uint32_t bad[] = { 4096, 0x7fffffff, 0x80000000, 0xffffffff };
	struct pending p;
	struct done d;
	size_t i;

	pending_open(&p, self);
	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		d = done_good(&p, self);
		d.status = &bad[i];
		REFUSED_RANGE(self, &p, &d);
	}
	works_afterwards(self, &p);
}

TEST_F(managed, unknown_command)
{
	struct raw raw;

	raw_open(&raw);
	EXPECT_EQ(-EOPNOTSUPP, raw_cmd(&raw, ITLS_CMD_MAX + 1));
	EXPECT_EQ(-EOPNOTSUPP, raw_cmd(&raw, ITLS_CMD_UNSPEC));
	EXPECT_EQ(-EOPNOTSUPP, raw_cmd(&raw, ITLS_CMD_READY));
	raw_close(&raw);
}

TEST_F(managed, unknown_attributes_refused)
{
	static const uint8_t cmds[] = { ITLS_CMD_AGENT, ITLS_CMD_ACCEPT };
	struct raw raw;
	size_t i;

	raw_open(&raw);
	for (i = 0; i < sizeof(cmds); i++) {
		raw_begin(&raw, raw.family, cmds[i], NLM_F_ACK);
		mnl_attr_put_u32(raw.nlh, 200, 1);
		EXPECT_EQ(-EINVAL, raw_send(&raw));
		EXPECT_NE(0, raw.text[0]);
	}
	/* The refused AGENT registered nobody. */
	EXPECT_EQ(1, stat_get("CurrAgents"));
	raw_close(&raw);
}

TEST_F(managed, accept_without_agent)
{
	struct raw raw;

	raw_open(&raw);
	managed_pending(self);
	EXPECT_EQ(-EPERM, raw_cmd(&raw, ITLS_CMD_ACCEPT));
	EXPECT_NE(0, raw.text[0]);
	raw_close(&raw);
	agent_establish(&self->agent, &self->tx, &self->rx);
}

TEST_F(managed, accept_nothing_waiting)
{
	struct raw raw;

	raw_open(&raw);
	ASSERT_EQ(0, raw_cmd(&raw, ITLS_CMD_AGENT));
	EXPECT_EQ(-EAGAIN, raw_cmd(&raw, ITLS_CMD_ACCEPT));
	raw_close(&raw);
}

TEST_F(managed, done_without_agent)
{
	struct pending p;
	struct raw other, mine;
	struct done d;
	int err;

	pending_open(&p, self);
	raw_open(&other);
	d = done_good(&p, self);
	mine = p.raw;
	p.raw = other;
	err = done_send(&p, &d);
	EXPECT_EQ(-EPERM, err);
	EXPECT_NE(0, p.raw.text[0]);
	raw_close(&p.raw);
	p.raw = mine;
	EXPECT_EQ(ITLS_STATE_PENDING, info_get(self->server).state);
	works_afterwards(self, &p);
}

/* The channel could not be given: the request must not be lost with it. */
TEST_F(managed, accept_without_free_descriptor)
{
	struct itls_nl_request req;
	int fds[1024], n = 0, i, err;

	managed_pending(self);
	while (n < 1024 && (fds[n] = dup(0)) >= 0)
		n++;
	ASSERT_EQ(EMFILE, errno);
	err = itls_nl_accept(self->agent.nl, &req);
	EXPECT_EQ(-EMFILE, err);
	for (i = 0; i < n; i++)
		close(fds[i]);
	/* Either it still waits, or it failed in a way the server was told. */
	err = itls_nl_accept(self->agent.nl, &req);
	if (err) {
		expect_failed(self->server, ECONNABORTED);
	} else {
		EXPECT_EQ(0, agent_done(&self->agent, req.id, &self->tx, &self->rx));
		close(req.fd);
	}
}

TEST_F(managed, agent_forgotten_on_close)
{
	struct raw raw;

	raw_open(&raw);
	ASSERT_EQ(0, raw_cmd(&raw, ITLS_CMD_AGENT));
	stat_wait("CurrAgents", 2);
	raw_close(&raw);
	stat_wait("CurrAgents", 1);
}

TEST_F(managed, ready_is_announced)
{
	ASSERT_EQ(0, sock_poll(itls_nl_fd(self->agent.nl), POLLIN, 0));
	managed_pending(self);
	EXPECT_EQ(POLLIN, sock_poll(itls_nl_fd(self->agent.nl), POLLIN, test_wait_ms()));
	EXPECT_EQ(0, itls_nl_drain(self->agent.nl));
	EXPECT_EQ(0, sock_poll(itls_nl_fd(self->agent.nl), POLLIN, 0));
	agent_establish(&self->agent, &self->tx, &self->rx);
}

/* Without CAP_NET_ADMIN nothing of this is to be had. */
static int as_nobody(void)
{
	static const uint8_t cmds[] = { ITLS_CMD_AGENT, ITLS_CMD_ACCEPT, ITLS_CMD_DONE };
	static struct raw raw;
	size_t i;

	if (setgroups(0, NULL) || setgid(65534) || setuid(65534))
		return 2;
	raw_open(&raw);
	for (i = 0; i < sizeof(cmds); i++)
		EXPECT_EQ(-EPERM, raw_cmd(&raw, cmds[i]));
	raw_begin(&raw, raw.family, ITLS_CMD_SESSION_GET, NLM_F_ACK | NLM_F_DUMP);
	EXPECT_EQ(-EPERM, raw_send(&raw));
	return test_failed();
}

TEST_F(managed, without_privilege)
{
	int status;
	pid_t pid;

	managed_pending(self);
	pid = fork();
	if (!pid)
		_exit(as_nobody());
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_EQ(1, stat_get("CurrAgents"));
	agent_establish(&self->agent, &self->tx, &self->rx);
}

/* ---- sessions ---- */

struct found {
	int count;
	struct itls_nl_session last;
};

static int note_session(const struct itls_nl_session *s, void *arg)
{
	struct found *f = arg;

	f->count++;
	f->last = *s;
	return 0;
}

TEST_F(managed, session_dump)
{
	struct found f = {};
	uint8_t buf[8];
	int i;

	ASSERT_EQ(0, itls_nl_sessions(self->agent.nl, note_session, &f));
	EXPECT_EQ(0, f.count);
	managed_pending(self);
	ASSERT_EQ(0, itls_nl_sessions(self->agent.nl, note_session, &f));
	ASSERT_EQ(1, f.count);
	EXPECT_EQ(ITLS_STATE_PENDING, f.last.state);
	agent_establish(&self->agent, &self->tx, &self->rx);
	ASSERT_EQ(2, send(self->server, "ab", 2, 0));
	peer_send(&self->client, REC_DATA, "cde", 3);
	ASSERT_EQ(3, recv(self->server, buf, sizeof(buf), 0));
	memset(&f, 0, sizeof(f));
	ASSERT_EQ(0, itls_nl_sessions(self->agent.nl, note_session, &f));
	ASSERT_EQ(1, f.count);
	EXPECT_EQ(info_get(self->server).id, f.last.id);
	EXPECT_EQ(ITLS_STATE_ESTABLISHED, f.last.state);
	EXPECT_EQ(ITLS_ROLE_SERVER, f.last.role);
	EXPECT_EQ(0, strcmp(PROFILE, f.last.profile));
	EXPECT_EQ(getpid(), f.last.pid);
	EXPECT_EQ(0, strcmp("netlink", f.last.comm));
	EXPECT_EQ(variant->version, f.last.version);
	EXPECT_EQ(variant->cipher, f.last.tx_cipher);
	EXPECT_EQ(variant->cipher, f.last.rx_cipher);
	EXPECT_EQ(1, f.last.tx_records);
	EXPECT_EQ(2, f.last.tx_bytes);
	EXPECT_EQ(1, f.last.rx_records);
	EXPECT_EQ(3, f.last.rx_bytes);
	EXPECT_EQ(variant->family, f.last.peer.ss_family);
	EXPECT_FALSE(f.last.has_peer_digest);
	EXPECT_LE(f.last.age_ms, 60000);
	for (i = 0; i < 3; i++)
		EXPECT_EQ(0, itls_nl_sessions(self->agent.nl, note_session, &f));
}

/* More sessions than fit one message buffer. */
TEST_F(managed, session_dump_of_many)
{
	int client[300], server[300], i;
	struct found f = {};

	for (i = 0; i < 300; i++) {
		client[i] = sock_connect(self->listener);
		server[i] = sock_accept(self->listener);
	}
	ASSERT_EQ(0, itls_nl_sessions(self->agent.nl, note_session, &f));
	EXPECT_EQ(300, f.count);
	for (i = 0; i < 300; i++) {
		close(client[i]);
		close(server[i]);
	}
	stat_wait_idle();
	memset(&f, 0, sizeof(f));
	ASSERT_EQ(0, itls_nl_sessions(self->agent.nl, note_session, &f));
	EXPECT_EQ(0, f.count);
}

/* Sockets of the kTLS ABI are listed as well. */
TEST_F(managed, session_dump_of_ktls)
{
	struct found f = {};
	int fd[2];

	sock_pair(variant->family, fd);
	ulp_require(fd[0]);
	ASSERT_EQ(0, key_set(fd[0], TLS_TX, &self->tx));
	ASSERT_EQ(0, itls_nl_sessions(self->agent.nl, note_session, &f));
	ASSERT_EQ(1, f.count);
	EXPECT_EQ(ITLS_ROLE_KTLS, f.last.role);
	EXPECT_EQ(variant->cipher, f.last.tx_cipher);
	EXPECT_EQ(0, f.last.rx_cipher);
	close(fd[0]);
	close(fd[1]);
}
