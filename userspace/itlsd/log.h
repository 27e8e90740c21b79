/* SPDX-License-Identifier: GPL-2.0 */
/* Lines for people, to standard error; under journald with its priorities. */
#ifndef ITLSD_LOG_H
#define ITLSD_LOG_H

#include <stdbool.h>

enum log_level {	/* the numbers of syslog(3) and sd-daemon(3) */
	LOG_LEVEL_ERROR = 3,
	LOG_LEVEL_WARNING = 4,
	LOG_LEVEL_INFO = 6,
	LOG_LEVEL_DEBUG = 7,
};

/* Finds out whether standard error is the journal. */
void log_open(void);
void log_set_level(enum log_level level);
bool log_enabled(enum log_level level);
void log_write(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...)		log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...)	log_write(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...)		log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)							\
	do {								\
		if (log_enabled(LOG_LEVEL_DEBUG))			\
			log_write(LOG_LEVEL_DEBUG, __VA_ARGS__);	\
	} while (0)

#endif
