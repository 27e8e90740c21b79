/* SPDX-License-Identifier: GPL-2.0 */
/* What the files nl*.c share and nobody else sees. */
#ifndef ITLS_NL_INSIDE_H
#define ITLS_NL_INSIDE_H

#include <libmnl/libmnl.h>

#include "nl.h"

/* One ACCEPT of a client that brings all its files; a DONE and a dump message need less. */
#define NL_BUFFER (3 * ITLS_PEM_MAX + 16384)

struct itls_nl {
	struct mnl_socket *cmd;
	struct mnl_socket *note;	/* NULL until itls_nl_agent() */
	uint16_t family;
	uint32_t agent_group;		/* 0: the family has none */
	uint32_t seq;
	bool one_answer;		/* is all that the command gets */
	bool clients;			/* tickets may come */
	itls_nl_ticket_fn ticket;
	void *ticket_arg;
	itls_nl_refusal_fn refusal;
	void *refusal_arg;
	char error[256];
	char buf[NL_BUFFER] __attribute__((aligned(8)));
};

/* nl.c: errors, with what the user can do about them, and sockets. */
int nl_fail(struct itls_nl *nl, int err, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
const char *nl_advice(int err);
int nl_socket(struct itls_nl *nl, struct mnl_socket **sockp, int flags);

/*
 * nl_talk.c: a command is begun in the buffer, filled, sent, and answered there.
 * @what: it, in words.  @each: gets the messages of the answer until it fails.
 */
typedef int (*nl_each_fn)(const struct nlmsghdr *nlh, void *arg);

struct nlmsghdr *nl_begin(struct itls_nl *nl, uint16_t type, uint8_t cmd, uint8_t version, uint16_t flags);
int nl_send(struct itls_nl *nl, const struct nlmsghdr *nlh, const char *what);
int nl_answers(struct itls_nl *nl, const char *what, nl_each_fn each, void *arg);
int nl_talk(struct itls_nl *nl, const struct nlmsghdr *nlh, const char *what, nl_each_fn each, void *arg);
int nl_parse_error(struct itls_nl *nl, const struct nlmsghdr *nlh, const char *what);
/* nl_agent.c: what the kernel had against a DONE whose answer nobody waited for. */
void nl_late(struct itls_nl *nl, const struct nlmsghdr *nlh);

/* nl_ticket.c */
bool nl_readable(const struct mnl_socket *sock);
bool nl_ticket_take(const struct itls_nl *nl, const struct nlmsghdr *nlh);
int nl_ticket_drain(struct itls_nl *nl);
void nl_ticket_room(struct itls_nl *nl);

/*
 * nl_field.c: attributes of answers go into fixed-size structures that were zeroed before,
 * by table.  Longer strings are cut, ill-sized values left out.
 */
enum nl_kind { NL_UINT, NL_STRING, NL_ADDRESS, NL_DIGEST, NL_FLAG, NL_BLOB };

struct nl_field {
	uint16_t type;
	uint16_t kind;
	uint16_t offset;
	uint16_t size;
};

/* A table ends with an empty one. */
#define NL_FIELD(attr, k, type, member) \
	{ attr, k, offsetof(type, member), sizeof(((type *)0)->member) }

int nl_field_parse(const struct nlmsghdr *nlh, const struct nl_field *fields, void *dst);
void nl_blob_wipe(struct itls_nl_blob *blob);

#endif
