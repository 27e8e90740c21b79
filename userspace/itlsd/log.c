// SPDX-License-Identifier: GPL-2.0
/*
 * Log lines.  One write per line, so that lines of several processes do not
 * mix.  Bytes that a peer chose (SNI, alerts) arrive here inside messages:
 * control characters are replaced, or a client could forge lines.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"

static atomic_int log_threshold = LOG_LEVEL_INFO;
static bool log_journal;

/* JOURNAL_STREAM is "device:inode" of the stream systemd connected, systemd.exec(5). */
void log_open(void)
{
	const char *env = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;
	struct stat st;

	log_journal = env && sscanf(env, "%llu:%llu", &dev, &ino) == 2 &&
		      !fstat(STDERR_FILENO, &st) && st.st_dev == dev && st.st_ino == ino;
}

void log_set_level(enum log_level level)
{
	log_threshold = level;
}

bool log_enabled(enum log_level level)
{
	return (int)level <= log_threshold;
}

static void log_clean(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			*text = '?';
}

void log_write(enum log_level level, const char *fmt, ...)
{
	int saved = errno;
	char text[1024];
	char line[1100];
	va_list ap;
	int len;

	if (!log_enabled(level))
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_clean(text);
	if (log_journal)
		len = snprintf(line, sizeof(line), "<%d>%s\n", level, text);
	else
		len = snprintf(line, sizeof(line), "itlsd: %s\n", text);
	if (write(STDERR_FILENO, line, len) < 0)
		len = 0; /* nobody is left to tell */
	errno = saved;
}
