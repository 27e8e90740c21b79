// SPDX-License-Identifier: GPL-2.0
/*
 * libitls: what the numbers of itls are called.  Constant strings, by table.
 */
#include <linux/tls.h>

#include "cipher.h"
#include "itls.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* RFC 8446 section 6 and, for those it no longer has, RFC 5246 section 7.2. */
static const char *const alerts[] = {
	[0] = "close_notify",
	[10] = "unexpected_message",
	[20] = "bad_record_mac",
	[21] = "decryption_failed",
	[22] = "record_overflow",
	[30] = "decompression_failure",
	[40] = "handshake_failure",
	[41] = "no_certificate",
	[42] = "bad_certificate",
	[43] = "unsupported_certificate",
	[44] = "certificate_revoked",
	[45] = "certificate_expired",
	[46] = "certificate_unknown",
	[47] = "illegal_parameter",
	[48] = "unknown_ca",
	[49] = "access_denied",
	[50] = "decode_error",
	[51] = "decrypt_error",
	[60] = "export_restriction",
	[70] = "protocol_version",
	[71] = "insufficient_security",
	[80] = "internal_error",
	[86] = "inappropriate_fallback",
	[90] = "user_canceled",
	[100] = "no_renegotiation",
	[109] = "missing_extension",
	[110] = "unsupported_extension",
	[111] = "certificate_unobtainable",
	[112] = "unrecognized_name",
	[113] = "bad_certificate_status_response",
	[114] = "bad_certificate_hash_value",
	[115] = "unknown_psk_identity",
	[116] = "certificate_required",
	[120] = "no_application_protocol",
};

static const struct {
	const char *name;
	const char *text;
} verifies[] = {
	[ITLS_VERIFY_NONE] = { "none", "no certificate was asked for" },
	[ITLS_VERIFY_OK] = { "ok", "the certificate is valid" },
	[ITLS_VERIFY_ISSUER] = { "issuer", "no trusted authority issued the certificate" },
	[ITLS_VERIFY_EXPIRED] = { "expired", "the certificate has expired" },
	[ITLS_VERIFY_NOT_YET] = { "not-yet", "the certificate is not valid yet" },
	[ITLS_VERIFY_NAME] = { "name", "the certificate is for another name" },
	[ITLS_VERIFY_KEY] = { "key", "the certificate's key is too weak" },
	[ITLS_VERIFY_SIGNATURE] = { "signature", "the certificate is signed with a weak algorithm" },
	[ITLS_VERIFY_PURPOSE] = { "purpose", "the certificate is not meant for this side of TLS" },
	[ITLS_VERIFY_REVOKED] = { "revoked", "the certificate was revoked by its issuer" },
	[ITLS_VERIFY_MISSING] = { "missing", "a certificate was required and none was sent" },
	[ITLS_VERIFY_INVALID] = { "invalid", "the certificate or its chain is forged or malformed" },
};

_Static_assert(COUNT(verifies) == __ITLS_VERIFY_MAX, "each outcome has its text");

const char *itls_version_name(unsigned int version)
{
	switch (version) {
	case TLS_1_2_VERSION:
		return "TLSv1.2";
	case TLS_1_3_VERSION:
		return "TLSv1.3";
	default:
		return NULL;
	}
}

const char *itls_cipher_name(unsigned int cipher)
{
	const struct itls_cipher_desc *desc = NULL;

	if (cipher <= UINT16_MAX)
		desc = itls_cipher_find(cipher);
	return desc ? desc->name : NULL;
}

const char *itls_alert_name(unsigned int alert)
{
	return alert < COUNT(alerts) ? alerts[alert] : NULL;
}

const char *itls_verify_name(unsigned int verify)
{
	return verify < COUNT(verifies) ? verifies[verify].name : NULL;
}

const char *itls_verify_text(unsigned int verify)
{
	return verify < COUNT(verifies) ? verifies[verify].text : NULL;
}
