// SPDX-License-Identifier: GPL-2.0
/*
 * The cache of client sessions, youngest first.  A key is a hash over all that
 * must not be mixed: the profile, the user, the server by name and address, and
 * what the program brought along.  So the session that one user made with one
 * certificate is not there for another.
 *
 * One thread, no locks.  A walk over 1024 entries is short beside a handshake.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include <gnutls/crypto.h>

#include "pem.h"
#include "resume.h"

struct entry {
	TAILQ_ENTRY(entry) node;
	struct resume_key key;
	uint64_t at_ms;
	gnutls_datum_t data;
};

struct resume {
	TAILQ_HEAD(entries, entry) entries;
	unsigned int count;
};

/* Keys */

/* With its length in front: no two lists of parts look the same. */
static int hash_part(gnutls_hash_hd_t hash, const void *part, size_t len)
{
	uint64_t length = len;
	int ret = gnutls_hash(hash, &length, sizeof(length));

	return ret || !len ? ret : gnutls_hash(hash, part, len);
}

static int hash_name(gnutls_hash_hd_t hash, const char *name)
{
	char lower[256] = "";
	size_t i, len = strnlen(name, sizeof(lower));

	if (len && name[len - 1] == '.')
		len--;
	for (i = 0; i < len; i++)
		lower[i] = tolower((unsigned char)name[i]);
	return hash_part(hash, lower, len);
}

int resume_key_make(struct resume_key *key, const struct resume_id *id)
{
	gnutls_hash_hd_t hash;
	int ret;

	if (gnutls_hash_init(&hash, GNUTLS_DIG_SHA256) < 0)
		return -EIO;
	ret = hash_part(hash, id->profile, strlen(id->profile));
	ret = ret ? ret : hash_part(hash, &id->uid, sizeof(id->uid));
	ret = ret ? ret : hash_name(hash, id->server_name);
	ret = ret ? ret : hash_part(hash, id->peer, id->peer_len);
	ret = ret ? ret : hash_part(hash, id->ca.data, id->ca.size);
	ret = ret ? ret : hash_part(hash, id->cert.data, id->cert.size);
	ret = ret ? ret : hash_part(hash, id->key.data, id->key.size);
	gnutls_hash_deinit(hash, key->hash);
	return ret ? -EIO : 0;
}

/* Entries */

static void entry_drop(struct resume *resume, struct entry *entry)
{
	TAILQ_REMOVE(&resume->entries, entry, node);
	resume->count--;
	datum_wipe(&entry->data);
	free(entry);
}

struct resume *resume_new(void)
{
	struct resume *resume = calloc(1, sizeof(*resume));

	if (resume)
		TAILQ_INIT(&resume->entries);
	return resume;
}

void resume_clear(struct resume *resume)
{
	while (!TAILQ_EMPTY(&resume->entries))
		entry_drop(resume, TAILQ_FIRST(&resume->entries));
}

void resume_free(struct resume *resume)
{
	if (!resume)
		return;
	resume_clear(resume);
	free(resume);
}

/* They are sorted by age, as each was young when it came. */
static void drop_old(struct resume *resume, uint64_t now_ms)
{
	struct entry *last;

	while ((last = TAILQ_LAST(&resume->entries, entries)) && now_ms - last->at_ms > RESUME_AGE_MS)
		entry_drop(resume, last);
}

static bool same(const struct resume_key *a, const struct resume_key *b)
{
	return !memcmp(a->hash, b->hash, sizeof(a->hash));
}

static void drop_crowd(struct resume *resume, const struct resume_key *key)
{
	struct entry *entry, *oldest = NULL;
	unsigned int n = 0;

	TAILQ_FOREACH(entry, &resume->entries, node) {
		if (!same(&entry->key, key))
			continue;
		oldest = entry;
		n++;
	}
	if (n >= RESUME_EACH)
		entry_drop(resume, oldest);
	else if (resume->count >= RESUME_MAX)
		entry_drop(resume, TAILQ_LAST(&resume->entries, entries));
}

void resume_put(struct resume *resume, const struct resume_key *key, gnutls_datum_t *data, uint64_t now_ms)
{
	struct entry *entry = calloc(1, sizeof(*entry));

	if (!entry) {
		datum_wipe(data);
		return;
	}
	drop_old(resume, now_ms);
	drop_crowd(resume, key);
	entry->key = *key;
	entry->at_ms = now_ms;
	entry->data = *data;
	memset(data, 0, sizeof(*data));
	TAILQ_INSERT_HEAD(&resume->entries, entry, node);
	resume->count++;
}

gnutls_datum_t resume_take(struct resume *resume, const struct resume_key *key, uint64_t now_ms)
{
	gnutls_datum_t data = { 0 };
	struct entry *entry;

	drop_old(resume, now_ms);
	TAILQ_FOREACH(entry, &resume->entries, node) {
		if (!same(&entry->key, key))
			continue;
		data = entry->data;
		memset(&entry->data, 0, sizeof(entry->data));
		entry_drop(resume, entry);
		break;
	}
	return data;
}
