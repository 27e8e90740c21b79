// SPDX-License-Identifier: GPL-2.0
/* See tally.h. */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>

#include "log.h"
#include "tally.h"

#define TALLY_MS 10000

static const struct {
	int status;
	const char *text;
} outcomes[] = {
	{ EPROTO, "by TLS errors or refusals" },
	{ EINVAL, "by names, certificates or keys of programs that are not fit for use" },
	{ EKEYREJECTED, "by certificates that were refused" },
	{ ECONNRESET, "peer went away" },
	{ ETIMEDOUT, "too slow" },
	{ ENOENT, "no such profile" },
	{ EACCES, "owner not allowed" },
	{ EIO, "errors of this daemon" },
};

_Static_assert(sizeof(outcomes) / sizeof(outcomes[0]) == TALLY_OUTCOMES, "as the header says");

static void tally_fire(struct loop_timer *timer)
{
	struct tally *tally = loop_owner(timer, struct tally, timer);
	unsigned int total = 0;
	char text[512]; /* all of them with all their digits */
	size_t i, len = 0;

	for (i = 0; i < TALLY_OUTCOMES && len < sizeof(text); i++) {
		if (!tally->failures[i])
			continue;
		total += tally->failures[i];
		len += snprintf(text + len, sizeof(text) - len, "%s%u %s", len ? ", " : "",
				tally->failures[i], outcomes[i].text);
		tally->failures[i] = 0;
	}
	log_info("%u handshakes failed in %d s: %s", total, TALLY_MS / 1000, text);
}

void tally_init(struct tally *tally, struct loop *loop)
{
	tally->loop = loop;
	tally->timer.fire = tally_fire;
}

bool tally_add(struct tally *tally, int status)
{
	size_t i;

	for (i = 0; i < TALLY_OUTCOMES - 1; i++) /* anything else counts as the last, EIO */
		if (outcomes[i].status == status)
			break;
	if (!tally->timer.armed)
		loop_arm(tally->loop, &tally->timer, TALLY_MS);
	return tally->failures[i]++ == 0;
}

void tally_clear(struct tally *tally)
{
	loop_disarm(tally->loop, &tally->timer);
}
