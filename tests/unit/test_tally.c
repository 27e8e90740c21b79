// SPDX-License-Identifier: GPL-2.0
/* What the daemon's log says of failures.  TAP on standard output. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "itlsd/log.h"
#include "itlsd/tally.h"
#include "tap.h"

static char said[2048];

/* What a summary writes to standard error. */
static void summary(struct tally *tally)
{
	int fds[2], saved = dup(STDERR_FILENO);
	ssize_t len;

	must(saved >= 0 && !pipe(fds) && dup2(fds[1], STDERR_FILENO) >= 0, "pipe");
	tally->timer.fire(&tally->timer);
	dup2(saved, STDERR_FILENO);
	close(fds[1]);
	len = read(fds[0], said, sizeof(said) - 1);
	said[len > 0 ? len : 0] = '\0';
	close(fds[0]);
	close(saved);
	printf("# %s", said);
}

int main(void)
{
	static const int all[] = { EPROTO, EINVAL, EKEYREJECTED, ECONNRESET, ETIMEDOUT, ENOENT, EACCES, EIO };
	static const char line[] = "itlsd: 3 handshakes failed in 10 s: 2 peer went away, 1 errors of this daemon\n";
	struct tally tally = { 0 };
	struct loop *loop;
	size_t i;

	printf("TAP version 13\n");
	must(!loop_new(&loop), "loop");
	tally_init(&tally, loop);
	check(tally_add(&tally, ECONNRESET) && !tally_add(&tally, ECONNRESET), "only the first of its kind is told at once");
	check(tally_add(&tally, E2BIG) && tally.timer.armed, "what nobody thought of is an error of the daemon");
	summary(&tally);
	check(!strcmp(said, line), "a summary");
	check(tally_add(&tally, ECONNRESET), "behind a summary all is new");
	for (i = 0; i < TALLY_OUTCOMES; i++) {
		tally_add(&tally, all[i]);
		tally.failures[i] = 4000000000u + i;
	}
	summary(&tally);
	for (i = 0; i < TALLY_OUTCOMES; i++) {
		char number[16];

		snprintf(number, sizeof(number), "%u ", 4000000000u + (unsigned int)i);
		check(strstr(said, number), "failures without number: %s", number);
	}
	tally_clear(&tally);
	check(!tally.timer.armed, "cleared");
	loop_free(loop);
	return tap_end();
}
