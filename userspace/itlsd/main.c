// SPDX-License-Identifier: GPL-2.0
/*
 * itlsd: starts things in order, stops them in reverse.  Command line,
 * signals, reload.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "carry.h"
#include "config.h"
#include "guard.h"
#include "handshake.h"
#include "log.h"
#include "loop.h"
#include "notify.h"
#include "profile.h"
#include "workers.h"

#define DRAIN_MS	3000	/* what SIGTERM gives to handshakes under way */
#define EXIT_UNLOADED	3	/* the unit does not restart on it */

#ifndef ITLS_RELEASE
#define ITLS_RELEASE "unreleased"
#endif

struct options {
	const char *config;
	bool check;
	bool debug;
};

struct daemon {
	const struct options *options;
	struct loop *loop;
	struct workers *workers;	/* NULL: none were started */
	struct profiles *profiles;
	struct loop_watch signals;
	struct loop_timer drain;
	struct carry carry;
	bool stopping;
};

static const char usage[] =
	"usage: itlsd [-d] [-f] [-c FILE]\n"
	"       itlsd --check [FILE]\n"
	"\n"
	"  -c, --config FILE  configuration (default " CONFIG_DEFAULT_PATH ")\n"
	"      --check        check the configuration, serve nothing: 0 good, 1 bad\n"
	"  -d, --debug        log every handshake and what GnuTLS does\n"
	"  -f, --foreground   accepted for habit: itlsd always stays in the foreground\n"
	"  -V, --version      print the version\n"
	"  -h, --help         print this\n";

/* Configuration */

/* --check prints them bare: editors and 'itlsctl doctor' read "FILE:LINE: text". */
static void print_messages(const struct config *cfg, bool bare)
{
	const struct config_message *msg;

	for (msg = cfg->messages; msg < cfg->messages + cfg->n_messages; msg++) {
		if (bare)
			fprintf(stderr, "%s\n", msg->text);
		else
			log_write(msg->warning ? LOG_LEVEL_WARNING : LOG_LEVEL_ERROR, "%s", msg->text);
	}
}

/* Reads, builds and prints all mistakes.  The caller takes *cfgp and *set. */
static int load(const struct options *options, const struct carry *carry, const struct profiles *old,
		struct config **cfgp, struct profiles **set)
{
	const char *path = options->config;
	struct config *cfg;
	int err = config_read(path, &cfg);

	if (err) {
		log_error("%s: %s", path, strerror(-err));
		return err;
	}
	err = profiles_build(cfg, carry, old, set);
	print_messages(cfg, options->check);
	if (err && !cfg->n_errors)
		log_error("%s: %s: free some memory and try again", path, strerror(-err));
	if (err) {
		config_free(cfg);
		return err;
	}
	*cfgp = cfg;
	return 0;
}

/* Of the ciphers of all kernels: the file may be meant for another one. */
static int check(const struct options *options)
{
	struct profiles *set;
	struct config *cfg;
	struct carry any;

	carry_all(&any);
	if (load(options, &any, NULL, &cfg, &set))
		return EXIT_FAILURE;
	printf("%s: good: %u profile%s\n", options->config, profiles_count(set), profiles_count(set) == 1 ? "" : "s");
	profiles_free(set);
	config_free(cfg);
	return EXIT_SUCCESS;
}

static void announce(const struct profiles *set)
{
	char status[64];

	snprintf(status, sizeof(status), "serving %u profile%s", profiles_count(set),
		 profiles_count(set) == 1 ? "" : "s");
	log_info("%s", status);
	notify_ready(status);
}

static void apply_log_level(const struct daemon *d, const struct config *cfg)
{
	if (!d->options->debug)
		log_set_level(cfg->log_level);
}

/* Signals */

/* Takes @set over. */
static void take(struct daemon *d, const struct config *cfg, struct profiles *set)
{
	if (workers_configure(d->workers, set, cfg->max_handshakes)) {
		log_error("no memory for the configuration: the old one stays: free some and send SIGHUP again");
		notify_ready("serving the old configuration");
		profiles_free(set);
		return;
	}
	if (cfg->workers != workers_count(d->workers))
		log_warning("there are %u workers still: restart for 'workers = %u'", workers_count(d->workers),
			    cfg->workers);
	profiles_free(d->profiles);
	d->profiles = set;
	apply_log_level(d, cfg);
	announce(set);
}

static void reload(struct daemon *d)
{
	struct profiles *set;
	struct config *cfg;

	notify_reloading();
	carry_find(&d->carry);
	if (load(d->options, &d->carry, d->profiles, &cfg, &set)) {
		log_error("the configuration is bad: the old one stays: mend it and send SIGHUP again");
		notify_ready("serving the old configuration, the new one is bad");
		return;
	}
	take(d, cfg, set);
	config_free(cfg);
}

static void drain_over(struct loop_timer *timer)
{
	workers_stop(loop_owner(timer, struct daemon, drain)->workers);
}

static void stop(struct daemon *d)
{
	if (d->stopping) { /* asked twice: at once */
		workers_stop(d->workers);
		return;
	}
	d->stopping = true;
	notify_stopping();
	loop_arm(d->loop, &d->drain, DRAIN_MS);
	workers_drain(d->workers);
}

static void signals_ready(struct loop_watch *watch, uint32_t events)
{
	struct daemon *d = loop_owner(watch, struct daemon, signals);
	struct signalfd_siginfo info;

	(void)events;
	if (read(watch->fd, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo != SIGHUP)
		stop(d);
	else if (!d->stopping)
		reload(d);
}

static int signals_open(struct daemon *d)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	d->signals.ready = signals_ready;
	d->signals.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (d->signals.fd < 0)
		return -errno;
	return loop_watch(d->loop, &d->signals, EPOLLIN);
}

/* Start and stop */

static int serve_configured(struct daemon *d)
{
	struct config *cfg;
	int err;

	carry_find(&d->carry);
	err = load(d->options, &d->carry, NULL, &cfg, &d->profiles);
	if (err)
		return err;
	apply_log_level(d, cfg);
	err = workers_start(&d->workers, d->loop, d->profiles, cfg->workers, cfg->max_handshakes);
	config_free(cfg);
	if (err)
		return err;
	announce(d->profiles);
	err = loop_run(d->loop);
	if (err)
		log_error("epoll: %s", strerror(-err));
	else
		err = workers_error(d->workers);
	workers_free(d->workers);
	return err;
}

static int serve(const struct options *options)
{
	struct daemon d = { .options = options, .drain.fire = drain_over };
	int err = loop_new(&d.loop);

	if (!err)
		err = signals_open(&d);
	if (err)
		log_error("cannot set up the event loop: %s", strerror(-err));
	else
		err = serve_configured(&d);
	if (d.signals.fd > 0)
		close(d.signals.fd);
	profiles_free(d.profiles);
	loop_free(d.loop);
	if (d.workers && err == -ENOENT)
		return EXIT_UNLOADED;
	return err ? EXIT_FAILURE : EXIT_SUCCESS;
}

static void parse(int argc, char **argv, struct options *options)
{
	static const struct option longs[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "check", no_argument, NULL, 'C' },
		{ "debug", no_argument, NULL, 'd' },
		{ "foreground", no_argument, NULL, 'f' },
		{ "version", no_argument, NULL, 'V' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int opt;

	while ((opt = getopt_long(argc, argv, "c:dfVh", longs, NULL)) != -1) {
		switch (opt) {
		case 'c':
			options->config = optarg;
			break;
		case 'C':
			options->check = true;
			break;
		case 'd':
			options->debug = true;
			break;
		case 'f':
			break;
		case 'V':
			printf("itlsd %s\n", ITLS_RELEASE);
			exit(EXIT_SUCCESS);
		case 'h':
			fputs(usage, stdout);
			exit(EXIT_SUCCESS);
		default:
			fputs(usage, stderr);
			exit(EXIT_FAILURE);
		}
	}
	if (options->check && optind == argc - 1)
		options->config = argv[optind++];
	if (optind == argc)
		return;
	fprintf(stderr, "itlsd: unexpected argument '%s': name the configuration with --config\n%s",
		argv[optind], usage);
	exit(EXIT_FAILURE);
}

int main(int argc, char **argv)
{
	struct options options = { .config = CONFIG_DEFAULT_PATH };

	log_open();
	parse(argc, argv, &options);
	if (options.debug)
		log_set_level(LOG_LEVEL_DEBUG);
	if (handshake_setup(options.debug)) {
		log_error("cannot start GnuTLS: check its installation with 'gnutls-cli --version'");
		return EXIT_FAILURE;
	}
	handshake_clock(loop_time);
	if (options.check)
		return check(&options);
	guard_process();
	return serve(&options);
}
