// SPDX-License-Identifier: GPL-2.0
/*
 * The agent: from READY over ACCEPT to DONE.  Speaks to the kernel through
 * libitls, leaves TLS to handshake.c.
 *
 *   READY -> ACCEPT until -EAGAIN -> conn_new()
 *   first byte -> handshake_new() -> handshake_step() ... -> DONE, close
 *   client: writable -> handshake_new_client() -> the same
 *
 * Who owns what: a conn owns its channel descriptor, a reference on its
 * profile and its handshake; the agent owns the conns.  Every conn ends in
 * conn_end(), which sends the one DONE.  The kernel's deadline rules: an
 * -ESRCH from DONE means that it ended the request before us.
 *
 * A client that says nothing costs a conn and a descriptor, no GnuTLS session.
 *
 * An agent belongs to one thread.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "agent.h"
#include "client.h"
#include "handshake.h"
#include "keep.h"
#include "libitls/nl.h"
#include "log.h"
#include "loop.h"
#include "pem.h"
#include "profile.h"
#include "resume.h"
#include "tally.h"

#define AGENT_RETRY_MS	100

struct agent {
	struct loop *loop;
	struct itls_nl *nl;
	struct loop_watch ready;
	struct loop_timer retry;	/* after ACCEPT ran out of something */
	struct tally tally;
	struct loop_watch tickets;
	struct profiles *profiles;
	struct resume *resume;		/* sessions of clients */
	struct keep *keep;		/* clients that may still get tickets */
	unsigned int max;
	unsigned int n_conns;
	bool waiting;			/* the kernel may hold more requests */
	bool draining;
	int error;
	LIST_HEAD(, conn) conns;
};

struct conn {
	LIST_ENTRY(conn) entry;
	struct agent *agent;
	struct loop_watch channel;
	struct loop_timer deadline;
	uint32_t events;
	struct profile *profile;
	struct handshake *handshake;	/* NULL until the first byte */
	struct itls_nl_request req;
	struct resume_key resume_key;	/* of a client with tickets */
};

static void agent_accept(struct agent *agent);

/* What the log says */

static const char *peer_text(const struct conn *conn, char *text, size_t size)
{
	const struct sockaddr_in6 *v6 = (const void *)&conn->req.peer;
	const struct sockaddr_in *v4 = (const void *)&conn->req.peer;
	char addr[INET6_ADDRSTRLEN] = "?";

	if (conn->req.peer.ss_family == AF_INET) {
		inet_ntop(AF_INET, &v4->sin_addr, addr, sizeof(addr));
		snprintf(text, size, "%s:%u", addr, ntohs(v4->sin_port));
	} else if (conn->req.peer.ss_family == AF_INET6) {
		inet_ntop(AF_INET6, &v6->sin6_addr, addr, sizeof(addr));
		snprintf(text, size, "[%s]:%u", addr, ntohs(v6->sin6_port));
	} else {
		snprintf(text, size, "?");
	}
	return text;
}

/* Connections */

static void conn_free(struct conn *conn)
{
	struct agent *agent = conn->agent;

	loop_disarm(agent->loop, &conn->deadline);
	loop_forget(agent->loop, &conn->channel);
	handshake_free(conn->handshake);
	if (conn->profile)
		profile_put(conn->profile);
	close(conn->req.fd);
	itls_nl_request_wipe(&conn->req);
	LIST_REMOVE(conn, entry);
	agent->n_conns--;
	free(conn);
}

static void fill_success(const struct conn *conn, struct itls_nl_done *done)
{
	const struct handshake_result *r = handshake_result(conn->handshake);

	done->tx = &r->tx;
	done->tx_len = r->tx_len;
	done->rx = &r->rx;
	done->rx_len = r->rx_len;
	if (r->secret_len) {
		done->tx_secret = r->tx_secret;
		done->rx_secret = r->rx_secret;
		done->secret_len = r->secret_len;
	}
	done->alpn = r->alpn;
	done->sni = r->sni;
	done->peer_digest = r->peer_digest;
	done->peer_subject = r->peer_subject;
	done->resumed = r->resumed;
	done->prefix = r->prefix;
	done->prefix_len = r->prefix_len;
	profile_rekey(conn->profile, &done->rekey_records, &done->rekey_bytes);
	done->record_sizing = profile_record_sizing(conn->profile);
}

static const char *conn_kind(const struct conn *conn)
{
	return conn->req.role == ITLS_ROLE_CLIENT ? "client" : "profile";
}

/* What the administrator has to mend is told at once, but not over and over. */
static void conn_complain(const struct conn *conn, int status, const char *text)
{
	const struct itls_nl_request *req = &conn->req;
	char peer[80];

	switch (status) {
	case ENOENT:
		log_warning("no %s '%s', wanted by %s (pid %u): add [%s %s] to the configuration and reload",
			    conn_kind(conn), req->profile, req->owner_comm, req->owner_pid, conn_kind(conn),
			    req->profile);
		break;
	case EACCES:
		log_warning("%s '%s' is not for user %u (%s, pid %u): add the user to its 'owners' and reload",
			    conn_kind(conn), req->profile, req->owner_uid, req->owner_comm, req->owner_pid);
		break;
	case EIO:
		log_warning("handshake with %s failed inside the daemon: %s: if it goes on, run itlsd with --debug",
			    peer_text(conn, peer, sizeof(peer)), text);
		break;
	}
}

static void conn_report(const struct conn *conn, int status)
{
	const char *text = conn->handshake ? handshake_text(conn->handshake) : strerror(status);
	char peer[80];

	if (status && tally_add(&conn->agent->tally, status))
		conn_complain(conn, status, text);
	log_debug("#%u %s: %s %s: %s%s", conn->req.id, peer_text(conn, peer, sizeof(peer)), conn_kind(conn),
		  conn->req.profile, status ? "failed: " : "", text);
}

/* Not of a configuration that was replaced meanwhile. */
static bool conn_is_current(const struct conn *conn)
{
	struct profile *profile = profiles_get_client(conn->agent->profiles, conn->req.profile);

	if (profile)
		profile_put(profile);
	return profile == conn->profile;
}

/* What can be resumed later: now, or with a ticket that comes when the kernel reads. */
static void conn_keep(struct conn *conn)
{
	struct agent *agent = conn->agent;
	gnutls_datum_t data;
	int err = conn_is_current(conn) ? handshake_session(conn->handshake, &data) : -ENOENT;

	if (!err)
		resume_put(agent->resume, &conn->resume_key, &data, loop_now());
	if (err != -EAGAIN)
		return;
	keep_add(agent->keep, conn->req.id, &conn->resume_key, conn->handshake);
	conn->handshake = NULL;
}

/* Of a handshake whose end was told to the kernel.  From inside itls_nl_*(), as agent_ticket(). */
static void agent_refused(int err, void *arg)
{
	struct agent *agent = arg;

	if (err == -ESRCH)
		log_debug("a handshake had ended already");
	else if (tally_add(&agent->tally, EIO))
		log_warning("%s", itls_nl_error(agent->nl));
}

/* A server's is told and forgotten: fewer system calls.  A client's session is worth its answer. */
static void conn_tell(struct conn *conn, const struct itls_nl_done *done)
{
	struct agent *agent = conn->agent;
	bool client = conn->req.role == ITLS_ROLE_CLIENT;
	int err = client ? itls_nl_done(agent->nl, done) : itls_nl_tell_done(agent->nl, done);

	if (err)
		agent_refused(err, agent);
	if (client && err)
		keep_drop(agent->keep, conn->req.id);
	else if (client)
		keep_settle(agent->keep, conn->req.id);
}

/* @status: 0 or a positive errno.  Frees @conn. */
static void conn_end(struct conn *conn, int status)
{
	struct itls_nl_done done = { .id = conn->req.id, .status = status, .alert_tx = -1, .alert_rx = -1 };
	struct agent *agent = conn->agent;

	if (status == 0) {
		fill_success(conn, &done);
	} else if (conn->handshake) {
		done.alert_tx = handshake_alert_tx(conn->handshake);
		done.alert_rx = handshake_alert_rx(conn->handshake);
	}
	if (conn->handshake)
		done.verify = handshake_verify(conn->handshake);
	conn_report(conn, status);
	if (!status && conn->req.role == ITLS_ROLE_CLIENT)
		conn_keep(conn);
	conn_tell(conn, &done);
	conn_free(conn);
	if (agent->draining && !agent->n_conns)
		loop_stop(agent->loop);
	else if (agent->waiting)
		agent_accept(agent);
}

static void conn_deadline(struct loop_timer *timer)
{
	conn_end(loop_owner(timer, struct conn, deadline), ETIMEDOUT);
}

static gnutls_datum_t blob_datum(const struct itls_nl_blob *blob)
{
	return (gnutls_datum_t){ blob->data, blob->len };
}

static int conn_resume_key(struct conn *conn)
{
	const struct itls_nl_request *req = &conn->req;
	struct resume_id id = {
		.profile = req->profile,
		.uid = req->owner_uid,
		.server_name = req->server_name,
		.peer = &req->peer,
		.peer_len = sizeof(req->peer),
		.ca = blob_datum(&req->ca),
		.cert = blob_datum(&req->cert),
		.key = blob_datum(&req->key),
	};

	return resume_key_make(&conn->resume_key, &id);
}

static int conn_start_client(struct conn *conn)
{
	struct client_request req = {
		.server_name = conn->req.server_name,
		.ca = blob_datum(&conn->req.ca),
		.cert = blob_datum(&conn->req.cert),
		.key = blob_datum(&conn->req.key),
	};
	int err = conn_resume_key(conn);

	if (!err && profile_has_tickets(conn->profile))
		req.session = resume_take(conn->agent->resume, &conn->resume_key, loop_now());
	if (!err)
		err = handshake_new_client(&conn->handshake, conn->profile, conn->req.fd, &req);
	datum_wipe(&req.session);
	itls_nl_request_wipe(&conn->req);
	return err;
}

static int conn_start(struct conn *conn)
{
	int err;

	if (conn->req.role == ITLS_ROLE_CLIENT)
		err = conn_start_client(conn);
	else
		err = handshake_new(&conn->handshake, conn->profile, conn->req.fd);
	return err == -ENOMEM ? -EIO : err;
}

static void conn_ready(struct loop_watch *watch, uint32_t events)
{
	struct conn *conn = loop_owner(watch, struct conn, channel);
	int err = 0;

	(void)events;
	if (!conn->handshake)
		err = conn_start(conn);
	if (!err)
		err = handshake_step(conn->handshake);
	if (err != -EAGAIN) {
		conn_end(conn, -err);
		return;
	}
	if (conn->events == handshake_events(conn->handshake))
		return;
	conn->events = handshake_events(conn->handshake);
	err = loop_rewatch(conn->agent->loop, watch, conn->events);
	if (err)
		conn_end(conn, EIO);
}

static int conn_authorise(struct conn *conn)
{
	const struct profiles *set = conn->agent->profiles;
	const char *name = conn->req.profile;

	if (conn->req.role == ITLS_ROLE_CLIENT)
		conn->profile = profiles_get_client(set, name);
	else if (conn->req.role == ITLS_ROLE_SERVER)
		conn->profile = profiles_get(set, name);
	if (!conn->profile)
		return -ENOENT;
	return profile_allows(conn->profile, conn->req.owner_uid) ? 0 : -EACCES;
}

/* A server waits for the first byte, a client writes it. */
static int conn_watch(struct conn *conn)
{
	conn->events = conn->req.role == ITLS_ROLE_CLIENT ? EPOLLOUT : EPOLLIN;
	if (!loop_watch(conn->agent->loop, &conn->channel, conn->events))
		return 0;
	conn->events = 0;
	return -EIO;
}

/* Takes the descriptor and the blobs in @req. */
static void conn_new(struct agent *agent, struct itls_nl_request *req)
{
	struct conn *conn = calloc(1, sizeof(*conn));
	int err;

	if (!conn) {
		close(req->fd); /* fails the request */
		itls_nl_request_wipe(req);
		tally_add(&agent->tally, EIO);
		return;
	}
	conn->agent = agent;
	conn->req = *req;
	conn->channel.fd = req->fd;
	conn->channel.ready = conn_ready;
	conn->deadline.fire = conn_deadline;
	LIST_INSERT_HEAD(&agent->conns, conn, entry);
	agent->n_conns++;
	err = conn_authorise(conn);
	if (!err)
		err = conn_watch(conn);
	if (err) {
		conn_end(conn, -err);
		return;
	}
	loop_arm(agent->loop, &conn->deadline, req->deadline_ms);
}

/* Requests */

static void agent_break(struct agent *agent, int err)
{
	log_error("%s", itls_nl_error(agent->nl));
	agent->error = err;
	loop_stop(agent->loop);
}

static bool error_passes(int err)
{
	return err == -EMFILE || err == -ENFILE || err == -ENOMEM || err == -ENOBUFS || err == -EINTR;
}

/*
 * conn_end() inside conn_new() may call back here when a request was refused
 * at once; @waiting is cleared first, so that goes one level deep at most.
 */
static void agent_accept(struct agent *agent)
{
	struct itls_nl_request req;
	int err;

	agent->waiting = false;
	while (!agent->draining && !agent->error) {
		if (agent->n_conns >= agent->max) {
			agent->waiting = true;
			return;
		}
		err = itls_nl_accept(agent->nl, &req);
		if (err == -EAGAIN)
			return;
		if (err && !error_passes(err)) {
			agent_break(agent, err);
			return;
		}
		if (err) {
			if (tally_add(&agent->tally, EIO))
				log_warning("%s", itls_nl_error(agent->nl));
			loop_arm(agent->loop, &agent->retry, AGENT_RETRY_MS);
			return;
		}
		conn_new(agent, &req);
	}
}

static void agent_retry(struct loop_timer *timer)
{
	agent_accept(loop_owner(timer, struct agent, retry));
}

static void agent_drained(struct agent *agent, int err)
{
	if (err && err != -ENOBUFS)
		agent_break(agent, err);
	else
		agent_accept(agent);
}

/* From inside itls_nl_*(): nothing here may call them. */
static void agent_ticket(uint32_t id, const void *message, size_t len, void *arg)
{
	struct agent *agent = arg;

	keep_ticket(agent->keep, id, message, len);
}

static void agent_ready(struct loop_watch *watch, uint32_t events)
{
	struct agent *agent = loop_owner(watch, struct agent, ready);

	(void)events;
	agent_drained(agent, itls_nl_ready_drain(agent->nl));
}

static void agent_tickets(struct loop_watch *watch, uint32_t events)
{
	struct agent *agent = loop_owner(watch, struct agent, tickets);

	(void)events;
	agent_drained(agent, itls_nl_ticket_drain(agent->nl));
}

static int agent_watch(struct agent *agent)
{
	int err;

	agent->ready.fd = itls_nl_fd(agent->nl);
	agent->ready.ready = agent_ready;
	agent->tickets.fd = itls_nl_ticket_fd(agent->nl);
	agent->tickets.ready = agent_tickets;
	err = loop_watch(agent->loop, &agent->ready, EPOLLIN);
	return err ? err : loop_watch(agent->loop, &agent->tickets, EPOLLIN);
}

static int agent_register(struct agent *agent)
{
	int err = itls_nl_open(&agent->nl);

	if (!err) {
		itls_nl_on_ticket(agent->nl, agent_ticket, agent);
		itls_nl_on_refusal(agent->nl, agent_refused, agent);
		err = itls_nl_agent(agent->nl);
	}
	if (err) {
		log_error("%s", agent->nl ? itls_nl_error(agent->nl) : "out of memory");
		return err;
	}
	return agent_watch(agent);
}

static bool agent_prepare(struct agent *agent)
{
	agent->resume = resume_new();
	agent->keep = agent->resume ? keep_new(agent->loop, agent->resume) : NULL;
	return agent->keep;
}

int agent_start(struct agent **agentp, struct loop *loop, struct profiles *set, unsigned int max)
{
	struct agent *agent = calloc(1, sizeof(*agent));
	int err;

	if (!agent) {
		profiles_free(set);
		return -ENOMEM;
	}
	LIST_INIT(&agent->conns);
	agent->loop = loop;
	agent->profiles = set;
	agent->max = max;
	agent->retry.fire = agent_retry;
	tally_init(&agent->tally, loop);
	err = agent_prepare(agent) ? agent_register(agent) : -ENOMEM;
	if (err) {
		agent_free(agent);
		return err;
	}
	*agentp = agent;
	agent_accept(agent); /* what came before we listened */
	return 0;
}

void agent_configure(struct agent *agent, struct profiles *set, unsigned int max)
{
	profiles_free(agent->profiles);
	/* Sessions of clients were made with what the old ones trust and show. */
	keep_clear(agent->keep);
	resume_clear(agent->resume);
	agent->profiles = set;
	agent->max = max;
	if (agent->waiting)
		agent_accept(agent);
}

void agent_drain(struct agent *agent)
{
	if (!agent->draining)
		loop_unwatch(agent->loop, &agent->ready);
	if (!agent->draining)
		loop_unwatch(agent->loop, &agent->tickets);
	agent->draining = true;
	agent->waiting = false;
	if (!agent->n_conns)
		loop_stop(agent->loop);
}

int agent_error(const struct agent *agent)
{
	return agent->error;
}

void agent_free(struct agent *agent)
{
	struct conn *conn;

	if (!agent)
		return;
	while ((conn = LIST_FIRST(&agent->conns)))
		conn_free(conn); /* closing the channel fails the request */
	loop_disarm(agent->loop, &agent->retry);
	tally_clear(&agent->tally);
	keep_free(agent->keep);
	resume_free(agent->resume);
	profiles_free(agent->profiles);
	itls_nl_close(agent->nl);
	free(agent);
}
