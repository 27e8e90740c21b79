// SPDX-License-Identifier: GPL-2.0
/* The cache of client sessions: who finds what, how many, for how long.  TAP on standard output. */
#define _GNU_SOURCE 1
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "itlsd/pem.h"
#include "itlsd/resume.h"
#include "tap.h"

static const struct resume_id plain = {
	.profile = "default", .uid = 1000, .server_name = "good.example", .peer = "1.2.3.4:443", .peer_len = 11,
};

static struct resume_key key_of(struct resume_id id)
{
	struct resume_key key;

	must(!resume_key_make(&key, &id), "key");
	return key;
}

static void put(struct resume *resume, struct resume_key key, const char *text, uint64_t now)
{
	gnutls_datum_t data;

	must(!datum_copy(&data, text, strlen(text)), "memory");
	resume_put(resume, &key, &data, now);
	must(!data.data, "the data was taken");
}

/* True if what is there next is @text, NULL: nothing. */
static bool next_is(struct resume *resume, struct resume_key key, const char *text, uint64_t now)
{
	gnutls_datum_t data = resume_take(resume, &key, now);
	bool same = text ? data.data && data.size == strlen(text) && !memcmp(data.data, text, data.size) : !data.data;

	datum_wipe(&data);
	return same;
}

/* Nothing is shared between those that differ in one thing. */
static void test_keys(struct resume *resume)
{
	struct resume_id ids[9];
	size_t i;

	for (i = 0; i < 9; i++)
		ids[i] = plain;
	ids[1].profile = "other";
	ids[2].uid = 0;
	ids[3].server_name = "bad.example";
	ids[4].peer = "1.2.3.4:444";
	ids[5].ca = (gnutls_datum_t){ (void *)"x", 1 };
	ids[6].cert = (gnutls_datum_t){ (void *)"x", 1 };
	ids[7].key = (gnutls_datum_t){ (void *)"x", 1 };
	ids[8].profile = "defaul"; /* the same bytes, cut elsewhere */
	ids[8].server_name = "tgood.example";
	put(resume, key_of(plain), "one", 1);
	for (i = 1; i < 9; i++)
		check(next_is(resume, key_of(ids[i]), NULL, 1), "another's, %zu: not found", i);
	ids[0].server_name = "GOOD.example.";
	check(next_is(resume, key_of(ids[0]), "one", 1), "names: neither case nor a dot behind counts");
}

static void test_bounds(struct resume *resume)
{
	struct resume_id id = plain;
	char text[16];
	unsigned int i;

	for (i = 0; i < RESUME_EACH + 1; i++) {
		snprintf(text, sizeof(text), "%u", i);
		put(resume, key_of(plain), text, 1);
	}
	for (i = RESUME_EACH; i > 0; i--) {
		snprintf(text, sizeof(text), "%u", i);
		check(next_is(resume, key_of(plain), text, 1), "the youngest first: %s", text);
	}
	check(next_is(resume, key_of(plain), NULL, 1), "the oldest gave way, and each is there once");

	for (id.uid = 0; id.uid < RESUME_MAX + 1; id.uid++)
		put(resume, key_of(id), "x", 1);
	id.uid = 0;
	check(next_is(resume, key_of(id), NULL, 1), "full: the oldest gave way");
	id.uid = 1;
	check(next_is(resume, key_of(id), "x", 1), "full: the next did not");
	resume_clear(resume);
	id.uid = 2;
	check(next_is(resume, key_of(id), NULL, 1), "cleared");
}

static void test_age(struct resume *resume)
{
	put(resume, key_of(plain), "old", 1000);
	put(resume, key_of(plain), "young", 2000);
	check(next_is(resume, key_of(plain), "young", 1000 + RESUME_AGE_MS), "not too old yet");
	check(next_is(resume, key_of(plain), NULL, 1001 + RESUME_AGE_MS), "too old");
}

int main(void)
{
	struct resume *resume = resume_new();

	must(resume, "memory");
	printf("TAP version 13\n");
	test_keys(resume);
	test_bounds(resume);
	test_age(resume);
	resume_free(resume);
	return tap_end();
}
