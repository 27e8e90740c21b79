// SPDX-License-Identifier: GPL-2.0
/* Counters and module parameters; see stat.h. */
#define _GNU_SOURCE
#include "stat.h"

#include <poll.h>

#include "harness.h"
#include "sock.h"

#define STAT_FILE "/proc/thread-self/net/itls_stat"
#define PARAM_DIR "/sys/module/itls/parameters/"
/* After which a connection without traffic is inactive, at the latest: itls(7). */
#define INACTIVE_MS 8000
/* After which a processor keeps no memory that was not needed. */
#define KEPT_MS 10000

/* False: there is no such line. */
static bool stat_read(const char *name, long *value)
{
	char line[256], key[64];
	FILE *f = fopen(STAT_FILE, "re");
	bool found = false;

	if (!f)
		return false;
	while (!found && fgets(line, sizeof(line), f))
		found = sscanf(line, "%63s %ld", key, value) == 2 && !strcmp(key, name);
	fclose(f);
	return found;
}

long stat_get(const char *name)
{
	long value;

	if (!stat_read(name, &value)) {
		test_fail(__FILE__, __LINE__, "no counter %s", name);
		test_abort();
	}
	return value;
}

static void wait_for(const char *name, long value, int ms)
{
	int64_t end = sock_now_ms() + ms;
	long seen;

	/* No event tells of a counter: look again each millisecond. */
	while ((seen = stat_get(name)) != value) {
		if (sock_now_ms() > end) {
			test_fail(__FILE__, __LINE__, "%s is %ld, not %ld", name, seen, value);
			return;
		}
		poll(NULL, 0, 1);
	}
}

void stat_wait(const char *name, long value)
{
	wait_for(name, value, test_wait_ms());
}

void stat_wait_inactive(void)
{
	wait_for("CurrActive", 0, INACTIVE_MS + test_wait_ms());
}

void stat_wait_kept(void)
{
	wait_for("CurrKeptBytes", 0, KEPT_MS + test_wait_ms());
}

void stat_wait_idle(void)
{
	stat_wait("CurrPending", 0);
	stat_wait("CurrSessions", 0);
	stat_wait("CurrTx", 0);
	stat_wait("CurrRx", 0);
}

static const char *const params[] = {
	"handshake_timeout_ms", "max_pending", "max_pending_per_listener",
	"rekey_records", "rekey_bytes", "limit_records",
};

static long originals[sizeof(params) / sizeof(*params)];

static bool param_read(const char *name, long *value)
{
	char path[128];
	bool ok;
	FILE *f;

	snprintf(path, sizeof(path), PARAM_DIR "%s", name);
	f = fopen(path, "re");
	if (!f)
		return false;
	ok = fscanf(f, "%ld", value) == 1;
	fclose(f);
	return ok;
}

static bool param_write(const char *name, long value)
{
	char path[128];
	bool ok;
	FILE *f;

	snprintf(path, sizeof(path), PARAM_DIR "%s", name);
	f = fopen(path, "we");
	if (!f)
		return false;
	ok = fprintf(f, "%ld\n", value) > 0;
	return fclose(f) == 0 && ok;
}

void stat_param_set(const char *name, long value)
{
	if (!param_write(name, value)) {
		test_fail(__FILE__, __LINE__, "cannot set parameter %s to %ld", name, value);
		test_abort();
	}
}

/* Before any test: what to come back to.  Tests run in children, this in their parent. */
__attribute__((constructor)) static void params_save(void)
{
	size_t i;

	for (i = 0; i < sizeof(params) / sizeof(*params); i++)
		if (!param_read(params[i], &originals[i]))
			originals[i] = -1;
}

void stat_params_restore(void)
{
	size_t i;
	long now;

	for (i = 0; i < sizeof(params) / sizeof(*params); i++)
		if (originals[i] >= 0 && param_read(params[i], &now) && now != originals[i])
			param_write(params[i], originals[i]);
}
