// SPDX-License-Identifier: GPL-2.0
/*
 * Process-wide limits: keys go neither to a core file, nor to swap, nor to
 * another process by ptrace(2) or /proc; descriptors up to the hard limit,
 * one for each handshake under way.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "guard.h"
#include "log.h"

static void guard_files(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static void guard_memory(void)
{
	const struct rlimit none = { 0, 0 };
	const struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY };

	if (setrlimit(RLIMIT_CORE, &none) < 0 || prctl(PR_SET_DUMPABLE, 0) < 0)
		log_warning("cannot switch core files off: %s: keys may reach one", strerror(errno));
	setrlimit(RLIMIT_MEMLOCK, &all); /* without CAP_IPC_LOCK the limit decides */
	if (mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) < 0)
		log_warning("cannot lock memory: %s: keys may reach swap: give CAP_IPC_LOCK or raise LimitMEMLOCK",
			    strerror(errno));
}

void guard_process(void)
{
	guard_files();
	guard_memory();
}
