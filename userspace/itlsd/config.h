/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The configuration file, parsed: itlsd.conf(5).  Knows the syntax and the
 * keys, not what is in the files they name.  No GnuTLS, no netlink.
 */
#ifndef ITLSD_CONFIG_H
#define ITLSD_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define CONFIG_DEFAULT_PATH	"/etc/itls/itlsd.conf"
#define CONFIG_FILE_MAX		(1024 * 1024)
#define CONFIG_MAX_HANDSHAKES	4096
#define CONFIG_WORKERS		1

/* A value and where it stands; text NULL and line 0: not given. */
struct config_value {
	char *text;
	int line;
};

/* What a server wants to know of its clients. */
enum config_auth { CONFIG_AUTH_NONE, CONFIG_AUTH_REQUEST, CONFIG_AUTH_REQUIRE };

enum config_version { CONFIG_TLS_1_2, CONFIG_TLS_1_3 };

/* A [profile NAME] of servers or a [client NAME]; each has values the other lacks. */
struct config_profile {
	struct config_profile *next;
	bool client;
	char *name;
	int line;
	struct config_value certificate;	/* paths, already absolute */
	struct config_value key;
	struct config_value priority;
	struct config_value alpn_value;
	struct config_value owners_value;
	struct config_value tickets_value;
	struct config_value min_version_value;
	struct config_value ca;			/* text NULL: the system's authorities */
	struct config_value client_auth_value;
	struct config_value client_ca;
	struct config_value crl;
	struct config_value rekey_records_value;
	struct config_value rekey_bytes_value;
	struct config_value record_sizing_value;
	char **alpn;
	size_t n_alpn;
	uid_t *owners;				/* root is always allowed; clients: and all, if none are named */
	size_t n_owners;
	bool tickets;
	enum config_version min_version;
	enum config_auth client_auth;
	uint64_t rekey_records;			/* 0: the module's default; the same for bytes */
	uint64_t rekey_bytes;
	uint8_t record_sizing;			/* enum itls_record_sizing */
};

/* One line for people: "FILE:LINE: what: what to do". */
struct config_message {
	bool warning;
	int line;
	char *text;
};

struct config {
	char *path;
	struct config_profile *profiles;	/* in the order of the file */
	struct config_profile *clients;		/* the same; "default" is always among them */
	struct config_value log_level_value;
	struct config_value max_handshakes_value;
	struct config_value workers_value;
	int log_level;				/* enum log_level */
	unsigned int max_handshakes;
	unsigned int workers;
	struct config_message *messages;	/* in the order of their lines */
	size_t n_messages;
	size_t n_errors;
};

/*
 * Both give a struct config unless memory runs out (-ENOMEM); mistakes are in
 * its messages and counted in n_errors.  config_free() takes it back.
 */
int config_read(const char *path, struct config **cfgp);
int config_parse(const char *path, const char *text, size_t len, struct config **cfgp);
void config_free(struct config *cfg);

/* For those who look behind the values.  @line 0: the file as a whole. */
void config_error(struct config *cfg, int line, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void config_warning(struct config *cfg, int line, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif
