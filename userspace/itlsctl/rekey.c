// SPDX-License-Identifier: GPL-2.0
/*
 * itlsctl rekey: changes the sending key of one session at once, as the
 * kernel does by itself long before the cipher's limit.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>

#include "../libitls/nl.h"
#include "ctl.h"

static int explain(struct ctl_error *e, int err, uint32_t id, const char *text)
{
	switch (err) {
	case ESRCH:
		return ctl_error_set(e, err, "no session %u is established in this network namespace: 'itlsctl sessions' lists them",
				     id);
	case EOPNOTSUPP:
		return ctl_error_set(e, err, "session %u cannot change its key: TLS 1.2 has no way to, and a program that set its own keys (role ktls) has to change them itself",
				     id);
	case EPERM:
		return ctl_error_set(e, err, "may not change the key of session %u: run as root (CAP_NET_ADMIN is needed)",
				     id);
	default:
		return ctl_error_set(e, err, "%s", text);
	}
}

static int rekey(uint32_t id, bool ask_peer, struct ctl_error *e)
{
	struct itls_nl *nl = NULL;
	int err;

	err = itls_nl_open(&nl);
	if (err)	/* of the module, not of the session */
		ctl_error_set(e, -err, "%s", itls_nl_error(nl));
	else
		err = itls_nl_rekey(nl, id, ask_peer);
	if (err && !*e->text)
		explain(e, -err, id, itls_nl_error(nl));
	if (nl)
		itls_nl_close(nl);
	return err;
}

static int rekey_and_tell(uint32_t id, bool ask_peer, bool json)
{
	struct ctl_error e = { 0 };

	if (rekey(id, ask_peer, &e))
		return ctl_fail(&e, json);
	if (json)
		return ctl_json_print(json_pack("{s:b, s:I, s:b}", "ok", 1,
						"session", (json_int_t)id,
						"peer", ask_peer));
	printf("session %u: sending key changed%s\n", id,
	       ask_peer ? ", the peer was asked to change its own" : "");
	return CTL_OK;
}

static int run(int argc, char **argv)
{
	static const struct option longopts[] = {
		{ "peer",	no_argument, NULL, 'p' },
		{ "json",	no_argument, NULL, 'j' },
		{ "help",	no_argument, NULL, 'h' },
		{ 0 }
	};
	bool json = false, ask_peer = false;
	long id;
	int c;

	while ((c = getopt_long(argc, argv, "pjh", longopts, NULL)) != -1) {
		switch (c) {
		case 'p':
			ask_peer = true;
			break;
		case 'j':
			json = true;
			break;
		case 'h':
			return ctl_help(&ctl_rekey);
		default:
			return ctl_usage(&ctl_rekey);
		}
	}
	if (optind == argc)
		return ctl_usage_error(&ctl_rekey, "which session? 'itlsctl sessions' lists them");
	if (optind + 1 < argc)
		return ctl_usage_error(&ctl_rekey, "unexpected argument '%s'",
				       argv[optind + 1]);
	if (ctl_number(argv[optind], UINT32_MAX, &id))
		return ctl_usage_error(&ctl_rekey, "bad session '%s': give the number that 'itlsctl sessions' shows",
				       argv[optind]);
	return rekey_and_tell(id, ask_peer, json);
}

const struct ctl_command ctl_rekey = {
	.name = "rekey",
	.args = "SESSION [--peer] [--json]",
	.summary = "Change the sending key of a TLS 1.3 session",
	.options =
		"  -p, --peer  ask the peer to change its sending key too\n"
		"  -j, --json  print what was done as JSON\n"
		"  -h, --help  show this text\n",
	.run = run,
};
