// SPDX-License-Identifier: GPL-2.0
/*
 * itlsctl doctor: goes through what must be there for a connection to become
 * TLS, in the order it is needed, and says for each what to do when it is not.
 */
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <linux/tls.h>

#include "../libitls/cipher.h"
#include "child.h"
#include "cipher.h"
#include "kstat.h"
#include "mark.h"
#include "listener.h"

#define CHECK_TIMEOUT_MS 10000

enum verdict { OK, WARN, FAIL };

struct finding {
	enum verdict verdict;
	char text[1024];
};

struct doctor {
	const char *config;	/* NULL: itlsd's own default */
	bool loaded;		/* found by check_module, for those after it */
};

static void find(struct finding *f, enum verdict v, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static void find(struct finding *f, enum verdict v, const char *fmt, ...)
{
	va_list ap;

	f->verdict = v;
	va_start(ap, fmt);
	vsnprintf(f->text, sizeof(f->text), fmt, ap);
	va_end(ap);
}

/* Does the file have a line for which @match finds @word? */
static int file_has(const char *path, const char *word,
		    bool (*match)(const char *line, const char *word))
{
	char line[1024];
	bool found = false;
	FILE *f = fopen(path, "re");

	if (!f)
		return -errno;
	while (!found && fgets(line, sizeof(line), f))
		found = match(line, word);
	fclose(f);
	return found;
}

static bool match_word(const char *line, const char *word)
{
	static const char blanks[] = { ' ', '\n', '\0' };
	size_t len = strlen(word);

	for (; *line; line += strcspn(line, blanks)) {
		line += strspn(line, blanks);
		if (!strncmp(line, word, len) && strchr(blanks, line[len]))
			return true;
	}
	return false;
}

static bool match_first(const char *line, const char *word)
{
	size_t len = strlen(word);

	return !strncmp(line, word, len) && line[len] == ' ';
}

/* A line of modules.dep: "PATH/itls.ko.xz: needs..." */
static bool match_module(const char *line, const char *word)
{
	size_t len = strlen(word);
	size_t path = strcspn(line, ":");

	for (size_t i = 0; i + len <= path; i++)
		if (line[i] == '/' && !strncmp(line + i + 1, word, len))
			return true;
	return false;
}

static void check_kernel(struct doctor *d, struct finding *f)
{
	unsigned int major = 0, minor = 0;
	struct utsname u;

	(void)d;
	uname(&u);
	if (sscanf(u.release, "%u.%u", &major, &minor) != 2 || major < 6 || (major == 6 && minor < 12))
		find(f, FAIL, "Linux %s is too old: boot 6.12 or newer (Debian: package linux-image-6.12-cloud-amd64 or linux-image-amd64)",
		     u.release);
	else if (syscall(SYS_pidfd_getfd, -1, 0, 0) < 0 && errno == ENOSYS)
		find(f, FAIL, "Linux %s lets nobody use pidfd_getfd, which attach needs: allow it in the container's seccomp profile, or run itlsctl outside",
		     u.release);
	else
		find(f, OK, "Linux %s", u.release);
}

static void check_absent_module(struct finding *f)
{
	struct utsname u;
	char path[256];
	int loaded;

	uname(&u);
	snprintf(path, sizeof(path), "/lib/modules/%s/modules.dep", u.release);
	loaded = file_has("/proc/modules", "itls", match_first);
	if (loaded == -ENOENT)
		find(f, FAIL, "this kernel was built without loadable modules: boot a distribution kernel, or use scripts/run, which brings one in a VM");
	else if (loaded > 0)
		find(f, FAIL, "itls is loaded but TCP does not know it: 'dmesg | grep itls' says why, then 'rmmod itls' and 'modprobe itls'");
	else if (file_has(path, "itls.ko", match_module) > 0)
		find(f, FAIL, "itls is not loaded: run 'modprobe itls'");
	else
		find(f, FAIL, "itls is neither loaded nor installed for this kernel: install linux-headers-%s, then in the itls source folder 'make', 'make install' and 'modprobe itls'",
		     u.release);
}

/*
 * The list of ULPs exists in the first network namespace only, the counters
 * in each: either will do.
 */
static bool is_loaded(void)
{
	return !access("/proc/self/net/itls_stat", F_OK) ||
	       file_has("/proc/sys/net/ipv4/tcp_available_ulp", ITLS_ULP_NAME,
			match_word) > 0;
}

static void check_module(struct doctor *d, struct finding *f)
{
	d->loaded = is_loaded();
	if (d->loaded)
		find(f, OK, "itls is loaded");
	else
		check_absent_module(f);
}

static void check_agent(struct doctor *d, struct finding *f)
{
	uint64_t agents = 0;
	struct kstat ks;
	int err;

	if (!d->loaded) {
		find(f, FAIL, "none can register without the module: load it, then start itlsd ('systemctl start itlsd')");
		return;
	}
	err = kstat_read(&ks, 0);
	if (err) {
		find(f, FAIL, "cannot read /proc/net/itls_stat: %s: load the module that came with this itlsctl",
		     strerror(-err));
		return;
	}
	kstat_get(&ks, "CurrAgents", &agents);
	kstat_free(&ks);
	if (agents)
		find(f, OK, "%llu registered in this network namespace",
		     (unsigned long long)agents);
	else
		find(f, FAIL, "no agent is registered in this network namespace, so every handshake fails: start itlsd ('systemctl start itlsd')");
}

/* @tried: what the module said to it, -EAGAIN if it was not asked. */
static void check_gcm(struct finding *f, int tried)
{
	struct cipher_driver drv = { 0 };
	int err = cipher_find("gcm(aes)", &drv);

	if (tried && tried != -EAGAIN)
		err = tried;
	if (err == -ENOENT)
		find(f, FAIL, "the kernel has no gcm(aes): 'modprobe gcm' and 'modprobe aes', or boot a kernel with CONFIG_CRYPTO_GCM");
	else if (err == -EAGAIN)
		find(f, WARN, "gcm(aes) is not in use yet and this kernel does not let us try it: look again after the first session (x86: 'modprobe aesni_intel' brings the fast one)");
	else if (err)
		find(f, FAIL, "gcm(aes) cannot be had from the kernel: %s: 'dmesg' says why",
		     strerror(-err));
	else if (!drv.selftest_ok)
		find(f, FAIL, "gcm(aes) by %s has not passed the kernel's self-test: 'dmesg | grep alg:' says why",
		     drv.name);
	else if (!drv.accelerated)
		find(f, WARN, "gcm(aes) only by the portable driver %s, which is slow: load the processor's own (x86: 'modprobe aesni_intel') before the module's first session",
		     drv.name);
	else
		find(f, OK, "gcm(aes) by %s", drv.name);
}

/* itlsd does without them, so their lack is no failure. */
static void add_lacking(struct finding *f)
{
	static const uint16_t types[] = {
		TLS_CIPHER_CHACHA20_POLY1305, TLS_CIPHER_AES_CCM_128,
	};

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		const struct itls_cipher_desc *cipher = itls_cipher_find(types[i]);
		int err = itls_cipher_try(cipher);
		size_t used = strlen(f->text);

		if (!err || err == -EAGAIN)
			continue;
		f->verdict = WARN;
		snprintf(f->text + used, sizeof(f->text) - used,
			 "; no %s (%s: %s), so itlsd does not offer it: 'modprobe %s', then 'systemctl reload itlsd'",
			 cipher->name, cipher->alg, strerror(-err), cipher->module);
	}
}

/* The module is asked first: its asking is what makes /proc/crypto name the driver. */
static void check_cipher(struct doctor *d, struct finding *f)
{
	int tried = -EAGAIN;

	if (d->loaded)
		tried = itls_cipher_try(itls_cipher_find(TLS_CIPHER_AES_GCM_128));
	check_gcm(f, tried);
	if (!tried && f->verdict != FAIL)
		add_lacking(f);
}

static void make_printable(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || (unsigned char)*text > '~')
			*text = '?';
}

/*
 * Of what itlsd printed, the first warning or the first line that is none;
 * NULL: there is none of that kind.  @more gets how many follow it.
 */
static char *pick_line(char *text, bool warning, unsigned int *more)
{
	char *line, *first = NULL, *save = NULL;

	*more = 0;
	for (line = strtok_r(text, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save)) {
		if (!!strstr(line, "warning: ") != warning)
			continue;
		*more += !!first;
		if (!first)
			first = line;
	}
	if (first)
		make_printable(first);
	return first;
}

static void report_config(struct finding *f, int status, char *out,
			  const char *path)
{
	unsigned int more;
	char *line = pick_line(out, !status, &more);
	char rest[64] = "";

	if (more)
		snprintf(rest, sizeof(rest), " (and %u more: 'itlsd --check')",
			 more);
	if (status == -ETIMEDOUT)
		find(f, FAIL, "%s --check did not end within %d seconds: run it by hand",
		     path, CHECK_TIMEOUT_MS / 1000);
	else if (status == -EINTR)
		find(f, FAIL, "%s --check crashed: run it by hand", path);
	else if (status < 0)
		find(f, FAIL, "cannot run %s: %s", path, strerror(-status));
	else if (!status && !line)
		find(f, OK, "itlsd --check accepts it");
	else if (line && status && geteuid() && strstr(line, "Permission denied"))
		find(f, WARN, "%s: itlsd runs as root: run doctor as root, too",
		     line);
	else if (line)
		find(f, status ? FAIL : WARN, "%s%s", line, rest);
	else
		find(f, FAIL, "%s --check refuses it and does not say why: run it by hand",
		     path);
}

static void check_config(struct doctor *d, struct finding *f)
{
	char path[1024], out[4096];
	char *argv[5] = { path, "--check" };

	if (child_find("itlsd", path, sizeof(path))) {
		find(f, FAIL, "itlsd is neither beside itlsctl nor in PATH: install it ('make install')");
		return;
	}
	if (d->config) {
		argv[2] = "--config";
		argv[3] = (char *)d->config;
	}
	report_config(f, child_run(argv, CHECK_TIMEOUT_MS, out, sizeof(out)),
		      out, path);
}

/* Adds ", ADDRESS (profile NAME)" when the listener is marked. */
static bool add_marked(const struct listener *l, char *text, size_t size)
{
	const struct listener_holder *by;
	size_t used = strlen(text);
	struct ctl_error e;
	struct mark m;
	char addr[64];
	int fd, err;

	fd = listener_take(l, &by, &e);
	if (fd < 0)
		return false;
	err = mark_read(fd, &m, &e);
	close(fd);
	if (err || !*m.profile)
		return false;
	snprintf(text + used, size - used, "%s%s (profile %s)",
		 used ? ", " : "", ctl_addr(addr, sizeof(addr), &l->addr),
		 m.profile);
	return true;
}

static void check_attached(struct doctor *d, struct finding *f)
{
	struct listener_query all = { 0 };
	struct listener_list list;
	char text[768] = "";
	struct ctl_error e;
	size_t marked = 0;

	(void)d;
	if (listener_find(&list, &all, &e)) {
		find(f, FAIL, "%s", e.text);
		listener_free(&list);
		return;
	}
	for (size_t i = 0; i < list.n; i++)
		marked += add_marked(&list.v[i], text, sizeof(text));
	if (marked)
		find(f, OK, "%zu: %s", marked, text);
	else if (geteuid())
		find(f, WARN, "no marked listener among your own processes: run as root to see those of others");
	else
		find(f, WARN, "no listener is marked: run 'itlsctl attach --port 443' (your server's port) once the server runs");
	listener_free(&list);
}

static const struct {
	const char *name;
	void (*run)(struct doctor *d, struct finding *f);
} checks[] = {
	{ "kernel",	check_kernel },
	{ "module",	check_module },
	{ "agent",	check_agent },
	{ "cipher",	check_cipher },
	{ "config",	check_config },
	{ "attached",	check_attached },
};

#define NCHECKS (sizeof(checks) / sizeof(checks[0]))

static int examine(struct doctor *d, bool json)
{
	static const char *const words[] = { "ok", "warn", "FAIL" };
	static const char *const codes[] = { "ok", "warn", "fail" };
	json_t *item, *list = json_array();
	bool failed = false;
	struct finding f;
	int ret;

	for (size_t i = 0; i < NCHECKS; i++) {
		checks[i].run(d, &f);
		failed |= f.verdict == FAIL;
		if (!json)
			printf("%-4s %s: %s\n", words[f.verdict],
			       checks[i].name, f.text);
		item = json_pack("{s:s, s:s, s:o}", "name", checks[i].name,
				 "status", codes[f.verdict],
				 "message", ctl_json_string(f.text));
		json_array_append_new(list, item);
	}
	ret = json ? ctl_json_print(json_pack("{s:b, s:O}", "ok", !failed,
					      "checks", list)) : CTL_OK;
	json_decref(list);
	return failed ? CTL_FAILED : ret;
}

static int run(int argc, char **argv)
{
	static const struct option longopts[] = {
		{ "config",	required_argument, NULL, 'c' },
		{ "json",	no_argument, NULL, 'j' },
		{ "help",	no_argument, NULL, 'h' },
		{ 0 }
	};
	struct doctor d = { 0 };
	bool json = false;
	int c;

	while ((c = getopt_long(argc, argv, "c:jh", longopts, NULL)) != -1) {
		switch (c) {
		case 'c':
			d.config = optarg;
			break;
		case 'j':
			json = true;
			break;
		case 'h':
			return ctl_help(&ctl_doctor);
		default:
			return ctl_usage(&ctl_doctor);
		}
	}
	if (optind != argc)
		return ctl_usage_error(&ctl_doctor, "unexpected argument '%s'",
				       argv[optind]);
	return examine(&d, json);
}

const struct ctl_command ctl_doctor = {
	.name = "doctor",
	.args = "[--json] [--config FILE]",
	.summary = "Check that everything TLS needs is there, and say what to do",
	.options =
		"  -c, --config FILE  the configuration itlsd --check reads, instead of its default\n"
		"  -j, --json         print the findings as JSON\n"
		"  -h, --help         show this text\n",
	.run = run,
};
