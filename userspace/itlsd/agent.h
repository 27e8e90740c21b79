/* SPDX-License-Identifier: GPL-2.0 */
/* The kernel's handshake agent: takes requests, runs them, reports how they ended. */
#ifndef ITLSD_AGENT_H
#define ITLSD_AGENT_H

#include <stdbool.h>

struct agent;
struct loop;
struct profiles;

/*
 * Registers with the kernel and serves from then on.  Takes @set.  An error
 * was logged.
 */
int agent_start(struct agent **agentp, struct loop *loop, struct profiles *set, unsigned int max);
/* Takes @set for handshakes to come. */
void agent_configure(struct agent *agent, struct profiles *set, unsigned int max);
/* Takes no more requests; stops the loop when the last handshake has ended. */
void agent_drain(struct agent *agent);
/* The kernel side broke down: the loop was stopped.  -ENOENT: module unloaded. */
int agent_error(const struct agent *agent);
void agent_free(struct agent *agent);

#endif
