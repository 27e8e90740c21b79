// SPDX-License-Identifier: GPL-2.0
/*
 * What programs bring along for a handshake of their own.  Any user may send
 * it, so parsing has bounds: the kernel's on the length, and here on the
 * number of certificates and on the keys.  Encrypted keys are not tried: their
 * derivation takes as long as the file says.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include <gnutls/x509.h>

#include "client.h"
#include "pem.h"
#include "trust.h"

#define CLIENT_CHAIN_MAX	10
#define CLIENT_KEY_BITS_MAX	8192

static int prepare_name(struct client *client, const char *name)
{
	unsigned char address[sizeof(struct in6_addr)];
	size_t len = strlen(name);

	if (len && name[len - 1] == '.')
		len--; /* RFC 6066, 3: without it */
	if (!len || len >= sizeof(client->name))
		return -EINVAL;
	memcpy(client->name, name, len);
	client->is_address = inet_pton(AF_INET, client->name, address) == 1 ||
			     inet_pton(AF_INET6, client->name, address) == 1;
	return 0;
}

/* Only RSA can be made to take long. */
static bool key_is_bounded(gnutls_x509_privkey_t key)
{
	unsigned int bits = 0;
	int algorithm = gnutls_x509_privkey_get_pk_algorithm2(key, &bits);

	return algorithm >= 0 && algorithm != GNUTLS_PK_DSA && bits <= CLIENT_KEY_BITS_MAX;
}

static bool join_pair(struct client *client, gnutls_x509_crt_t *chain, unsigned int count, gnutls_x509_privkey_t key,
		      const gnutls_datum_t *pem)
{
	unsigned int i;

	for (i = 0; i < count; i++)
		if (!pem_is_bounded(chain[i]))
			return false;
	/* Not import2: it would derive keys from passphrases. */
	return gnutls_x509_privkey_import(key, pem, GNUTLS_X509_FMT_PEM) >= 0 && key_is_bounded(key) &&
	       gnutls_certificate_set_x509_key(client->creds, chain, count, key) >= 0;
}

static int prepare_pair(struct client *client, const gnutls_datum_t *cert, const gnutls_datum_t *pem)
{
	gnutls_x509_crt_t chain[CLIENT_CHAIN_MAX];
	unsigned int i, count = CLIENT_CHAIN_MAX;
	gnutls_x509_privkey_t key;
	bool good;

	if (gnutls_x509_crt_list_import(chain, &count, cert, GNUTLS_X509_FMT_PEM,
					GNUTLS_X509_CRT_LIST_IMPORT_FAIL_IF_EXCEED) < 0)
		return -EINVAL;
	good = gnutls_certificate_allocate_credentials(&client->creds) >= 0;
	if (good && gnutls_x509_privkey_init(&key) >= 0) {
		good = count && join_pair(client, chain, count, key, pem);
		gnutls_x509_privkey_deinit(key);
	} else {
		good = false;
	}
	for (i = 0; i < count; i++)
		gnutls_x509_crt_deinit(chain[i]);
	return good ? 0 : -EINVAL;
}

int client_prepare(struct client *client, const struct client_request *req)
{
	int err = prepare_name(client, req->server_name);

	if (!err && !req->cert.data != !req->key.data)
		err = -EINVAL;
	if (!err && req->ca.data)
		err = trust_parse(req->ca.data, req->ca.size, &client->trust);
	if (!err && req->cert.data)
		err = prepare_pair(client, &req->cert, &req->key);
	return err;
}

int client_apply(const struct client *client, gnutls_session_t session)
{
	int ret = 0;

	if (client->creds)
		ret = gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, client->creds);
	/* RFC 6066, 3: addresses are not sent. */
	if (!ret && !client->is_address)
		ret = gnutls_server_name_set(session, GNUTLS_NAME_DNS, client->name, strlen(client->name));
	return ret;
}

void client_clear(struct client *client)
{
	trust_put(client->trust);
	if (client->creds)
		gnutls_certificate_free_credentials(client->creds);
	memset(client, 0, sizeof(*client));
}
