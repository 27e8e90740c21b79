/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A line of keys for one direction, as KeyUpdate makes one after another: both
 * ends compute the same from the first key and a number.
 */
#ifndef SELFTEST_REKEY_H
#define SELFTEST_REKEY_H

#include "ulp.h"

/* RFC 8446 4.6.3: KeyUpdate, the other direction's key is kept. */
static const uint8_t key_update[5] = { 24, 0, 0, 1, 0 };

/* Number 0 is the first key itself; sequence numbers begin anew. */
static inline void rekey_make(const union peer_info *first, uint32_t number, union peer_info *key)
{
	uint8_t *salt, *iv, *seq;

	*key = *first;
	if (!number)
		return;
	peer_info_parts(key, &salt, &iv, &seq);
	memset(seq, 0, 8);
	/* In the structures of AES-GCM the key follows the IV. */
	memcpy(iv + 8, &number, sizeof(number));
}

static inline int rekey_set(int fd, int opt, const union peer_info *first, uint32_t number)
{
	union peer_info key;

	rekey_make(first, number, &key);
	return key_set(fd, opt, &key);
}

/* Rekeying is part of TLS 1.3; of in-tree kTLS only newer ones have it. */
static inline bool rekey_is_known(const union peer_info *first)
{
	int fd[2], ret, err;

	if (first->info.version == TLS_1_2_VERSION)
		return false;
	sock_pair(AF_INET, fd);
	ulp_require(fd[0]);
	ASSERT_EQ(0, rekey_set(fd[0], TLS_TX, first, 0));
	ret = rekey_set(fd[0], TLS_TX, first, 1);
	err = errno;
	close(fd[0]);
	close(fd[1]);
	if (ret && ulp_is_intree() && err == EBUSY)
		return false;
	errno = err;
	ASSERT_EQ(0, ret);
	return true;
}

#endif
