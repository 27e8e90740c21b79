// SPDX-License-Identifier: GPL-2.0
/* Runs the tests of one program; see harness.h. */
#define _GNU_SOURCE
#include "harness.h"

#include <fcntl.h>
#include <getopt.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

/* A test that takes longer says so. */
#define SLOW_MS 2000

enum { EXIT_PASS, EXIT_FAIL = 1, EXIT_SKIP = 4 };

static struct test_case *tests, **tests_tail = &tests;
static const char *filter;
static int kmsg = -1;
static int deadline_scale = 1;

/* Shared with the child, so that a failure noted in any of its processes counts. */
static struct shared {
	volatile int failed;
	char skip[200];
} *shared;

static const char *const splats[] = {
	"WARNING:", "BUG:", "KASAN", "KCSAN", "UBSAN", "Oops", "refcount_t",
	"possible circular locking", "possible recursive locking",
	"inconsistent lock state", "scheduling while atomic", "sleeping function called",
	"suspicious RCU usage", "general protection fault", "unreferenced object",
	"Call Trace:", "stack segment", "list_add corruption", "list_del corruption",
	"ODEBUG", "soft lockup", "hung_task", "blocked for more than", "leaked",
};

void test_add(struct test_case *tc)
{
	*tests_tail = tc;
	tests_tail = &tc->next;
}

void test_add_variant(struct test_fixture *fx, struct test_variant *v)
{
	struct test_variant **p;

	for (p = &fx->variants; *p; p = &(*p)->next)
		;
	*p = v;
}

void test_fail(const char *file, int line, const char *fmt, ...)
{
	const char *base = strrchr(file, '/');
	char text[1024];
	va_list ap;
	int n;

	n = snprintf(text, sizeof(text), "# %s:%d: ", base ? base + 1 : file, line);
	va_start(ap, fmt);
	n += vsnprintf(text + n, sizeof(text) - n - 1, fmt, ap);
	va_end(ap);
	if (n > (int)sizeof(text) - 2)
		n = sizeof(text) - 2;
	text[n++] = '\n';
	/* One write: several processes of a test may fail at once. */
	if (write(STDOUT_FILENO, text, n) != n)
		abort();
	shared->failed = 1;
}

void test_abort(void)
{
	_exit(EXIT_FAIL);
}

void test_skip(const char *why)
{
	snprintf(shared->skip, sizeof(shared->skip), "%s", why);
	_exit(EXIT_SKIP);
}

bool test_failed(void)
{
	return shared->failed;
}

int test_wait_ms(void)
{
	return 5000 * deadline_scale;
}

bool test_is_asleep(pid_t tid)
{
	char path[64], state = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	f = fopen(path, "re");
	if (!f)
		return true;
	if (fscanf(f, "%*d (%*[^)]) %c", &state) != 1)
		state = 0;
	fclose(f);
	return state == 'S';
}

__attribute__((weak)) void test_after_each(void)
{
}

/* A namespace of one's own: counters start at zero, and no port or agent is shared. */
static void own_netns(void)
{
	struct ifreq ifr = { .ifr_name = "lo" };
	int fd;

	if (getenv("ITLS_TEST_NO_NETNS") || unshare(CLONE_NEWNET))
		return;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	if (!ioctl(fd, SIOCGIFFLAGS, &ifr)) {
		ifr.ifr_flags |= IFF_UP;
		ioctl(fd, SIOCSIFFLAGS, &ifr);
	}
	close(fd);
}

static void run_child(const struct test_case *tc, const struct test_variant *v)
{
	void *self = NULL;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setpgid(0, 0);
	signal(SIGPIPE, SIG_DFL);
	own_netns();
	if (tc->fixture) {
		self = calloc(1, tc->fixture->size);
		if (!self)
			test_abort();
		tc->fixture->setup(self, v ? v->data : NULL);
	}
	tc->run(self, v ? v->data : NULL);
	if (tc->fixture)
		tc->fixture->teardown(self, v ? v->data : NULL);
	free(self);
	fflush(NULL);
	_exit(shared->failed ? EXIT_FAIL : EXIT_PASS);
}

static void kmsg_mark(const char *name)
{
	char line[300];
	int n;

	if (kmsg < 0)
		return;
	n = snprintf(line, sizeof(line), "selftest: %s\n", name);
	lseek(kmsg, 0, SEEK_END);
	if (write(kmsg, line, n) < 0)
		return;
}

static bool kmsg_line_bad(char *line)
{
	char *text = strchr(line, ';');
	size_t i;

	if (!text || strstr(text, "selftest: "))
		return false;
	for (i = 0; i < sizeof(splats) / sizeof(*splats); i++) {
		if (strstr(text, splats[i])) {
			printf("# kernel: %s", text + 1);
			return true;
		}
	}
	return false;
}

/* True if the kernel complained since kmsg_mark(). */
static bool kmsg_bad(void)
{
	char line[8192];
	bool bad = false;
	ssize_t n;

	if (kmsg < 0)
		return false;
	for (;;) {
		n = read(kmsg, line, sizeof(line) - 1);
		if (n < 0 && errno == EPIPE)
			continue;
		if (n <= 0)
			return bad;
		line[n] = 0;
		bad |= kmsg_line_bad(line);
	}
}

static void print_stacks(pid_t pid)
{
	char path[64], text[4096], *line, *save;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stack", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return;
	text[n] = 0;
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		printf("#   %s\n", line);
}

/* 0, or a reason of failure in words. */
static const char *wait_child(pid_t pid, int deadline_s, int *status)
{
	struct pollfd pfd = { .events = POLLIN };
	bool late;

	pfd.fd = syscall(SYS_pidfd_open, pid, 0);
	late = pfd.fd < 0 || poll(&pfd, 1, deadline_s * deadline_scale * 1000) == 0;
	if (late) {
		print_stacks(pid);
		kill(pid, SIGKILL);
	}
	/* Helpers that the test forked are in its group. */
	kill(-pid, SIGKILL);
	if (pfd.fd >= 0)
		close(pfd.fd);
	if (waitpid(pid, status, 0) != pid)
		return "waitpid failed";
	if (late)
		return "deadline passed";
	if (WIFSIGNALED(*status))
		return strsignal(WTERMSIG(*status));
	return NULL;
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

static bool run_one(int num, const char *name, const struct test_case *tc,
		    const struct test_variant *v)
{
	const char *why;
	bool ok, splat;
	int64_t start;
	int status;
	pid_t pid;

	start = now_ms();
	memset(shared, 0, sizeof(*shared));
	kmsg_mark(name);
	fflush(NULL);
	pid = fork();
	if (pid == 0)
		run_child(tc, v);
	if (pid < 0) {
		printf("not ok %d - %s # fork: %m\n", num, name);
		return false;
	}
	why = wait_child(pid, tc->deadline_s, &status);
	test_after_each();
	splat = kmsg_bad();
	if (!why && !splat && WEXITSTATUS(status) == EXIT_SKIP) {
		printf("ok %d - %s # SKIP %s\n", num, name, shared->skip);
		return true;
	}
	ok = !why && !splat && !shared->failed && WEXITSTATUS(status) == EXIT_PASS;
	if (why)
		printf("# %s\n", why);
	if (now_ms() - start > SLOW_MS)
		printf("# took %jd ms\n", (intmax_t)(now_ms() - start));
	printf("%s %d - %s\n", ok ? "ok" : "not ok", num, name);
	fflush(stdout);
	return ok;
}

static void name_of(char *name, size_t size, const struct test_case *tc,
		    const struct test_variant *v)
{
	snprintf(name, size, "%s%s%s%s%s", tc->fixture ? tc->fixture->name : "",
		 tc->fixture ? "." : "", v ? v->name : "", v ? "." : "", tc->name);
}

/* Calls each for all tests that pass the filter; returns how many failed. */
static int for_each(int *total, bool (*each)(int, const char *, const struct test_case *,
					     const struct test_variant *))
{
	const struct test_variant *v;
	const struct test_case *tc;
	char name[256];
	int failed = 0;

	*total = 0;
	for (tc = tests; tc; tc = tc->next) {
		v = tc->fixture ? tc->fixture->variants : NULL;
		do {
			name_of(name, sizeof(name), tc, v);
			if (!filter || strstr(name, filter))
				failed += !each(++*total, name, tc, v);
			v = v ? v->next : NULL;
		} while (v);
	}
	return failed;
}

static bool count_one(int num, const char *name, const struct test_case *tc,
		      const struct test_variant *v)
{
	(void)num, (void)name, (void)tc, (void)v;
	return true;
}

static bool list_one(int num, const char *name, const struct test_case *tc,
		     const struct test_variant *v)
{
	(void)num, (void)tc, (void)v;
	puts(name);
	return true;
}

static int help(const char *prog, int status)
{
	fprintf(status ? stderr : stdout,
		"usage: %s [-l] [-t NAME]\n"
		"  -l       list the tests\n"
		"  -t NAME  only tests whose name contains NAME\n"
		"environment: ITLS_ULP (itls), ITLS_TEST_SCALE (deadlines times this),\n"
		"  ITLS_TEST_NO_NETNS (stay in this network namespace)\n", prog);
	return status;
}

int main(int argc, char **argv)
{
	const char *scale = getenv("ITLS_TEST_SCALE");
	int opt, total, failed;
	bool list = false;

	while ((opt = getopt(argc, argv, "hlt:")) != -1) {
		if (opt == 'l')
			list = true;
		else if (opt == 't')
			filter = optarg;
		else
			return help(argv[0], opt == 'h' ? 0 : 2);
	}
	if (scale && atoi(scale) > 0)
		deadline_scale = atoi(scale);
	if (list)
		return for_each(&total, list_one);

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		return 2;
	kmsg = open("/dev/kmsg", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	setvbuf(stdout, NULL, _IOLBF, 0);
	for_each(&total, count_one);
	printf("TAP version 13\n1..%d\n", total);
	failed = for_each(&total, run_one);
	printf("# passed:%d failed:%d\n", total - failed, failed);
	return failed || !total;
}
