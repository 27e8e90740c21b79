// SPDX-License-Identifier: GPL-2.0
/* Profiles: what only GnuTLS and the kernel can tell about a configuration.  TAP on standard output. */
#define _GNU_SOURCE 1
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <gnutls/gnutls.h>

#include "ground.h"
#include "itlsd/profile.h"
#include "serving.h"
#include "tap.h"

/* A kernel that has nothing of what a profile allows: no profile, and a reason. */
static void test_lacking(void)
{
	static const unsigned int chacha[] = { GNUTLS_CIPHER_CHACHA20_POLY1305, 0 };
	static const char only[] = "priority = NORMAL:-CIPHER-ALL:+CHACHA20-POLY1305\n";
	struct profiles *set;
	char message[512];

	ground_carry_without(chacha);
	set = serving_profiles_old(only, NULL, message);
	check(!set && strstr(message, ":4: priority leaves only ciphers that this kernel lacks: load their modules, "
				      "or allow one of AES-128-GCM, AES-256-GCM, AES-128-CCM"),
	      "the only cipher allowed is one the kernel lacks");
	printf("# %s\n", message);
	memset(&ground_carry, 0, sizeof(ground_carry));
	set = serving_profiles_old("", NULL, message);
	check(!set && strstr(message, ":1: priority leaves only ciphers that this kernel lacks: load their modules"),
	      "a kernel without any cipher");
	printf("# %s\n", message);
	carry_all(&ground_carry);
	set = serving_profiles_old(only, NULL, message);
	check(set, "ChaCha20 alone will do where the kernel has it");
	profiles_free(set);
}

static void test_rekeys(void)
{
	struct profiles *set = serving_profiles("rekey_records = 3\nrekey_bytes = 2K\n"), *plain = serving_profiles("");
	struct profile *profile = profiles_get(set, "p");
	uint64_t records, bytes;

	profile_rekey(profile, &records, &bytes);
	check(records == 3 && bytes == 2048, "rekeys go with the profile");
	profile_put(profile);
	profile = profiles_get(plain, "p");
	profile_rekey(profile, &records, &bytes);
	check(!records && !bytes, "no rekeys named: the module's");
	profile_put(profile);
	profiles_free(set);
	profiles_free(plain);
}

static void test_sizing(void)
{
	struct profiles *set = serving_profiles("record_sizing = throughput\n"), *plain = serving_profiles("");
	struct profile *profile = profiles_get(set, "p");

	check(profile_record_sizing(profile) == ITLS_RECORD_SIZING_THROUGHPUT, "record_sizing goes with the profile");
	profile_put(profile);
	profile = profiles_get(plain, "p");
	check(profile_record_sizing(profile) == ITLS_RECORD_SIZING_LATENCY, "no record_sizing named: latency");
	profile_put(profile);
	profiles_free(set);
	profiles_free(plain);
}

/* What only GnuTLS can tell about a configuration. */
static void test_profiles(void)
{
	static const struct { const char *name, *options, *says; } cases[] = {
		{ "bad priority", "priority = NORMAL:+NONSENSE\n", ":4: bad priority string at" },
		{ "priority without an AEAD", "priority = NORMAL:-CIPHER-ALL:+AES-128-CBC:+AES-128-CCM-8\n",
		  ":4: priority leaves nothing the kernel can carry: allow one of AES-128-GCM, AES-256-GCM, "
		  "CHACHA20-POLY1305, AES-128-CCM with" },
		{ "priority with TLS 1.1 only", "priority = NORMAL:-VERS-ALL:+VERS-TLS1.1\n",
		  ":4: priority leaves nothing the kernel can carry" },
		{ "TLS 1.2 without ECDHE", "priority = NORMAL:-VERS-ALL:+VERS-TLS1.2:-KX-ALL:+RSA\n",
		  ":4: priority leaves nothing the kernel can carry" },
		{ "TLS 1.2 only, below min_version", "min_version = 1.3\npriority = NORMAL:-VERS-ALL:+VERS-TLS1.2\n",
		  ":5: priority leaves nothing the kernel can carry" },
		{ "key of another certificate", "key = other.pem\n", ":3: key '" },
		{ "no key file", "key = gone.pem\n", ":3: cannot read the key '" },
		{ "a certificate as key", "key = cert.pem\n", "is no PEM private key" },
		{ "key that all may read", "key = open.pem\n", "every user may open the key" },
		{ "a directory as key", "key = /\n", "name a regular file" },
	};
	struct profile *profile;
	struct profiles *set, *copy;
	char message[512];
	char path[128];
	size_t i;

	snprintf(path, sizeof(path), "%s/open.pem", ground_dir);
	serving_put("other-cert.pem", "other.pem");
	serving_put("open-cert.pem", "open.pem");
	must(!chmod(path, 0644), "chmod");
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		set = serving_profiles_old(cases[i].options, NULL, message);
		check(!set && strstr(message, cases[i].says), "%s: %s", cases[i].name, cases[i].says);
		printf("# %s\n", message);
		profiles_free(set);
	}
	set = serving_profiles("owners = 4242\n");
	profile = profiles_get(set, "p");
	check(profile_allows(profile, 0) && profile_allows(profile, 4242) && !profile_allows(profile, 1000),
	      "owners: root, the named, nobody else");
	check(!profiles_get(set, "q"), "no such profile");
	profile_put(profile);
	copy = profiles_copy(set);
	profiles_free(set);
	profile = profiles_get(copy, "p");
	check(profile && profile_allows(profile, 4242) && profiles_count(copy) == 1, "a copy of a set outlives it");
	profile_put(profile);
	profiles_free(copy);
}

int main(void)
{
	ground_lay();
	serving_put("cert.pem", "key.pem");
	printf("TAP version 13\n");
	test_profiles();
	test_lacking();
	test_rekeys();
	test_sizing();
	return tap_end();
}
