// SPDX-License-Identifier: GPL-2.0
/* Failing allocations, by the kernel's own means; see inject.h. */
#define _GNU_SOURCE
#include "inject.h"

#include <fcntl.h>
#include <limits.h>

#define DEBUGFS		"/sys/kernel/debug/"
/* No call has so many. */
#define MAX_NTH		3000
/* Entries of a stack that the kernel looks at, the most it can. */
#define STACK_DEPTH	32
#define MODULE_ROOM	(128 * 1024)

static int nth_fd = -1;

static bool knob(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool ok;

	if (fd < 0)
		return false;
	ok = write(fd, value, strlen(value)) == (ssize_t)strlen(value);
	close(fd);
	return ok;
}

static void knob_require(const char *path, const char *value)
{
	if (knob(path, value))
		return;
	test_fail(__FILE__, __LINE__, "cannot write %s to %s", value, path);
	test_abort();
}

/*
 * What may sleep must fail too, and quietly: the report of a failure made on
 * purpose has a stack, which the harness would take for a complaint.
 */
static void knobs_init(void)
{
	knob_require(DEBUGFS "failslab/ignore-gfp-wait", "N");
	knob_require(DEBUGFS "fail_page_alloc/ignore-gfp-wait", "N");
	knob_require(DEBUGFS "fail_page_alloc/min-order", "0");
	knob_require(DEBUGFS "failslab/verbose", "0");
	knob_require(DEBUGFS "fail_page_alloc/verbose", "0");
	knob(DEBUGFS "fail_usercopy/verbose", "0");
}

static void inject_init(void)
{
	if (nth_fd >= 0)
		return;
	if (access("/proc/thread-self/fail-nth", W_OK) || access(DEBUGFS "failslab", X_OK))
		test_skip("this kernel cannot let allocations fail (CONFIG_FAULT_INJECTION)");
	knobs_init();
	nth_fd = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, nth_fd);
}

bool inject_next(struct inject *w)
{
	inject_init();
	if (w->nth && !w->fired) {
		printf("# %s: %u places, %d calls failed\n", w->what, w->nth - 1, w->failed);
		/* Nothing failed, nothing was tested. */
		EXPECT_LT(1, w->nth);
		return false;
	}
	ASSERT_LT(w->nth, MAX_NTH);
	w->nth++;
	w->fired = false;
	return true;
}

void inject_arm(struct inject *w)
{
	char text[16];
	int n = snprintf(text, sizeof(text), "%u", w->nth);

	ASSERT_EQ(n, pwrite(nth_fd, text, n, 0));
}

void inject_disarm(struct inject *w)
{
	int err = errno;
	char text[16];
	ssize_t n;

	/* The copies that these calls make themselves can be the one that fails. */
	n = pread(nth_fd, text, sizeof(text), 0);
	w->fired = n > 0 && text[0] == '0';
	while (pwrite(nth_fd, "0", 1, 0) != 1)
		;
	errno = err;
}

bool __inject_failed(struct inject *w, intmax_t ret, const int *errnos)
{
	int err = errno;

	if (ret >= 0)
		return false;
	while (*errnos && *errnos != err)
		errnos++;
	if (!w->fired || !*errnos) {
		test_fail(__FILE__, __LINE__, "%s gave %s when number %u %s", w->what,
			  strerrorname_np(err) ?: "?", w->nth,
			  w->fired ? "failed" : "was not there to fail");
		test_abort();
	}
	w->failed++;
	return true;
}

/* ---- which ones ------------------------------------------------------------- */

static const char *const kinds[] = { "failslab", "fail_page_alloc", "fail_usercopy" };

/* False if the kernel has the knob and does not take the value. */
static bool knob_number(const char *kind, const char *name, unsigned long value)
{
	char path[128], text[32];

	snprintf(path, sizeof(path), DEBUGFS "%s/%s", kind, name);
	snprintf(text, sizeof(text), "%#lx", value);
	return knob(path, text) || access(path, F_OK);
}

static bool knob_each(const char *name, unsigned long value)
{
	bool taken = true;
	size_t i;

	for (i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		taken &= knob_number(kinds[i], name, value);
	return taken;
}

/* Where it begins, and where the next one does. */
static void function_range(const char *function, unsigned long *start, unsigned long *end)
{
	FILE *f = fopen("/proc/kallsyms", "re");
	char line[512], name[256];
	unsigned long addr;

	ASSERT_TRUE(f);
	*start = 0;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "%lx %*c %255s", &addr, name) == 2 && !strcmp(name, function))
			*start = addr;
	ASSERT_NE(0, *start);
	*end = ULONG_MAX;
	rewind(f);
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "%lx", &addr) == 1 && addr > *start && addr < *end)
			*end = addr;
	fclose(f);
}

void inject_spare(const char *function)
{
	unsigned long start, end;

	inject_init();
	function_range(function, &start, &end);
	knob_each("stacktrace-depth", STACK_DEPTH);
	ASSERT_TRUE(knob_each("reject-start", start) && knob_each("reject-end", end));
}

static bool module_text(unsigned long *addr)
{
	FILE *f = fopen("/sys/module/itls/sections/.text", "re");
	bool ok;

	if (!f)
		return false;
	ok = fscanf(f, "%lx", addr) == 1;
	fclose(f);
	return ok;
}

void inject_module_only(void)
{
	unsigned long text;

	inject_init();
	if (!module_text(&text) || access(DEBUGFS "failslab/require-start", W_OK))
		test_skip("no stack filter for failing allocations in this kernel");
	knob_each("stacktrace-depth", STACK_DEPTH);
	/* What lies behind the module is another one's, or nothing. */
	ASSERT_TRUE(knob_each("require-start", text) &&
		    knob_each("require-end", text + MODULE_ROOM));
}

void inject_restore(void)
{
	knob_each("probability", 0);
	knob_each("require-start", 0);
	knob_each("require-end", ULONG_MAX);
	knob_each("reject-start", 0);
	knob_each("reject-end", 0);
	knob(DEBUGFS "failslab/ignore-gfp-wait", "N");
}

/* ---- without counting --------------------------------------------------------- */

void inject_atomic_begin(void)
{
	inject_module_only();
	knob_require(DEBUGFS "failslab/ignore-gfp-wait", "Y");
	knob_require(DEBUGFS "failslab/task-filter", "N");
	knob_require(DEBUGFS "failslab/times", "-1");
	knob_require(DEBUGFS "failslab/probability", "100");
}

void inject_atomic_end(void)
{
	inject_restore();
}

/*
 * Of pages only those that sockets ask for: User Mode Linux does not survive a
 * page fault of its own that finds no memory.
 */
void inject_random(int percent)
{
	static const char *const which[] = { "failslab", "fail_page_alloc" };
	unsigned long start, end;
	size_t i;

	inject_module_only();
	/* TCP would forget the FIN, and its reader wait for ever. */
	inject_spare("tcp_send_fin");
	function_range("skb_page_frag_refill", &start, &end);
	ASSERT_TRUE(knob_number("fail_page_alloc", "require-start", start) &&
		    knob_number("fail_page_alloc", "require-end", end));
	for (i = 0; i < sizeof(which) / sizeof(*which); i++) {
		ASSERT_TRUE(knob_number(which[i], "task-filter", 0));
		ASSERT_TRUE(knob_number(which[i], "times", INT_MAX));
		ASSERT_TRUE(knob_number(which[i], "probability", percent));
	}
}
