// SPDX-License-Identifier: GPL-2.0
/*
 * itlsctl sessions: what the module carries at this moment, from a netlink
 * dump.  SNI, ALPN and certificates were chosen by strangers: nothing of theirs
 * reaches the terminal unescaped.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "../libitls/itls.h"
#include "../libitls/nl.h"
#include "ctl.h"
#include "table.h"

static const char *const states[] = {
	[ITLS_STATE_NONE] = "none",
	[ITLS_STATE_LISTEN] = "listen",
	[ITLS_STATE_PENDING] = "pending",
	[ITLS_STATE_ESTABLISHED] = "established",
	[ITLS_STATE_FAILED] = "failed",
	[ITLS_STATE_CLOSED] = "closed",
};

static const char *const roles[] = {
	[ITLS_ROLE_KTLS] = "ktls",
	[ITLS_ROLE_SERVER] = "server",
	[ITLS_ROLE_CLIENT] = "client",
};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const char *const titles[] = {
	"ID", "ROLE", "STATE", "VERSION", "CIPHER", "PEER", "LOCAL", "PROFILE",
	"PROCESS", "ALPN", "SNI", "RESUMED", "AGE", "SENT", "RECEIVED",
};

#define CELL_MAX (4 * (ITLS_SNI_MAX + 1) + 1)

struct view {
	bool json;
	bool details;
	json_t *array;
	struct table table;
};

static const char *pick(const char *const *names, size_t n, uint8_t i)
{
	return i < n && names[i] ? names[i] : "unknown";
}

static const char *cipher_name(uint16_t id, char *buf, size_t size)
{
	const char *name = itls_cipher_name(id);

	if (!id)
		return "";
	if (name)
		return name;
	snprintf(buf, size, "cipher-%u", id);
	return buf;
}

static const char *version_name(uint16_t version, char *buf, size_t size)
{
	const char *name = itls_version_name(version);

	if (!version)
		return "";
	if (name)
		return name;
	snprintf(buf, size, "0x%04x", version);
	return buf;
}

static void age_text(char *buf, size_t size, uint32_t ms)
{
	uint32_t s = ms / 1000;

	if (s < 60)
		snprintf(buf, size, "%u.%us", s, ms % 1000 / 100);
	else if (s < 3600)
		snprintf(buf, size, "%um%02us", s / 60, s % 60);
	else
		snprintf(buf, size, "%uh%02um", s / 3600, s / 60 % 60);
}

static void hex_text(char *buf, const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		sprintf(buf + 2 * i, "%02x", bytes[i]);
}

static const char *verify_name(uint8_t verify)
{
	const char *name = itls_verify_name(verify);

	return name ? name : "unknown";
}

static void note_text(char *buf, size_t size, const struct itls_nl_session *s)
{
	char digest[2 * ITLS_DIGEST_LEN + 1] = "-", tx[24], rx[24], subject[CELL_MAX];

	if (s->has_peer_digest)
		hex_text(digest, s->peer_digest, ITLS_DIGEST_LEN);
	ctl_escape(subject, sizeof(subject), s->peer_subject);
	snprintf(buf, size,
		 "tx_cipher:%s rx_cipher:%s tx_records:%" PRIu64 " tx_bytes:%" PRIu64
		 " rx_records:%" PRIu64 " rx_bytes:%" PRIu64 " tx_rekeys:%u rx_rekeys:%u age_ms:%u"
		 " verify:%s peer_subject:%s peer_sha256:%s",
		 cipher_name(s->tx_cipher, tx, sizeof(tx)),
		 cipher_name(s->rx_cipher, rx, sizeof(rx)), s->tx_records,
		 s->tx_bytes, s->rx_records, s->rx_bytes, s->tx_rekeys,
		 s->rx_rekeys, s->age_ms, verify_name(s->verify),
		 *subject ? subject : "-", digest);
}

static int add_row(struct view *view, const struct itls_nl_session *s)
{
	char id[16], peer[64], local[64], process[100], comm[80], age[24];
	char sent[24], received[24], version[16], cipher[24];
	char profile[CELL_MAX], alpn[CELL_MAX], sni[CELL_MAX], note[512 + CELL_MAX];
	const char *cells[COUNT(titles)] = {
		id, pick(roles, COUNT(roles), s->role),
		pick(states, COUNT(states), s->state),
		version_name(s->version, version, sizeof(version)),
		cipher_name(s->tx_cipher ? s->tx_cipher : s->rx_cipher,
			    cipher, sizeof(cipher)),
		ctl_addr(peer, sizeof(peer), &s->peer),
		ctl_addr(local, sizeof(local), &s->local),
		ctl_escape(profile, sizeof(profile), s->profile), process,
		ctl_escape(alpn, sizeof(alpn), s->alpn),
		ctl_escape(sni, sizeof(sni), s->sni),
		s->resumed ? "yes" : "no", age,
		ctl_bytes(sent, sizeof(sent), s->tx_bytes),
		ctl_bytes(received, sizeof(received), s->rx_bytes),
	};

	snprintf(id, sizeof(id), "%u", s->id);
	process[0] = '\0';
	if (s->pid)
		snprintf(process, sizeof(process), "%s(%u)",
			 ctl_escape(comm, sizeof(comm), s->comm), s->pid);
	age_text(age, sizeof(age), s->age_ms);
	note_text(note, sizeof(note), s);
	return table_add(&view->table, cells, view->details ? note : NULL);
}

/* NULL stands for "none", so that a script need not know about "". */
static json_t *optional(const char *s)
{
	return *s ? ctl_json_string(s) : json_null();
}

static json_t *session_json(const struct itls_nl_session *s)
{
	char digest[2 * ITLS_DIGEST_LEN + 1] = "", peer[64], local[64];
	char version[16], tx[24], rx[24];

	if (s->has_peer_digest)
		hex_text(digest, s->peer_digest, ITLS_DIGEST_LEN);
	return json_pack("{s:I, s:s, s:s, s:o, s:o, s:o, s:s, s:s, s:o, s:I, s:o, s:o, s:o, s:b, s:s, s:o, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I}",
		"id", (json_int_t)s->id,
		"state", pick(states, COUNT(states), s->state),
		"role", pick(roles, COUNT(roles), s->role),
		"version", optional(version_name(s->version, version, sizeof(version))),
		"tx_cipher", optional(cipher_name(s->tx_cipher, tx, sizeof(tx))),
		"rx_cipher", optional(cipher_name(s->rx_cipher, rx, sizeof(rx))),
		"peer", ctl_addr(peer, sizeof(peer), &s->peer),
		"local", ctl_addr(local, sizeof(local), &s->local),
		"profile", optional(s->profile),
		"pid", (json_int_t)s->pid,
		"comm", optional(s->comm),
		"alpn", optional(s->alpn),
		"sni", optional(s->sni),
		"resumed", s->resumed,
		"verify", verify_name(s->verify),
		"peer_subject", optional(s->peer_subject),
		"peer_sha256", optional(digest),
		"age_ms", (json_int_t)s->age_ms,
		"tx_records", (json_int_t)s->tx_records,
		"tx_bytes", (json_int_t)s->tx_bytes,
		"rx_records", (json_int_t)s->rx_records,
		"rx_bytes", (json_int_t)s->rx_bytes,
		"tx_rekeys", (json_int_t)s->tx_rekeys,
		"rx_rekeys", (json_int_t)s->rx_rekeys);
}

static int each(const struct itls_nl_session *s, void *arg)
{
	struct view *view = arg;

	if (!view->json)
		return add_row(view, s);
	return json_array_append_new(view->array, session_json(s)) ? -ENOMEM :
								     0;
}

static int fetch(struct view *view, struct ctl_error *e)
{
	struct itls_nl *nl = NULL;
	int err;

	err = itls_nl_open(&nl);
	if (!err)
		err = itls_nl_sessions(nl, each, view);
	if (err == -ENOMEM)
		ctl_error_set(e, ENOMEM, "out of memory while listing sessions");
	else if (err)
		ctl_error_set(e, -err, "%s", itls_nl_error(nl));
	if (nl)
		itls_nl_close(nl);
	return err;
}

static int show(struct view *view)
{
	struct ctl_error e;
	int ret = CTL_OK;

	view->array = json_array();
	view->table.titles = titles;
	view->table.ncols = COUNT(titles);
	if (fetch(view, &e))
		ret = ctl_fail(&e, view->json);
	else if (view->json)
		ret = ctl_json_print(json_pack("{s:O}", "sessions",
					       view->array));
	else
		table_print(&view->table);
	table_free(&view->table);
	json_decref(view->array);
	return ret;
}

static int run(int argc, char **argv)
{
	static const struct option longopts[] = {
		{ "json",	no_argument, NULL, 'j' },
		{ "long",	no_argument, NULL, 'l' },
		{ "help",	no_argument, NULL, 'h' },
		{ 0 }
	};
	struct view view = { 0 };
	int c;

	while ((c = getopt_long(argc, argv, "jlh", longopts, NULL)) != -1) {
		switch (c) {
		case 'j':
			view.json = true;
			break;
		case 'l':
			view.details = true;
			break;
		case 'h':
			return ctl_help(&ctl_sessions);
		default:
			return ctl_usage(&ctl_sessions);
		}
	}
	if (optind != argc)
		return ctl_usage_error(&ctl_sessions,
				       "unexpected argument '%s'", argv[optind]);
	return show(&view);
}

const struct ctl_command ctl_sessions = {
	.name = "sessions",
	.args = "[--json] [--long]",
	.summary = "List the TLS sessions the kernel carries",
	.options =
		"  -l, --long  a second line for each: exact counts, both ciphers, the peer's certificate\n"
		"  -j, --json  print everything as JSON\n"
		"  -h, --help  show this text\n",
	.run = run,
};
