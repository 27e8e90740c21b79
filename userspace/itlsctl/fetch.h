/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One download: requests and redirects, until a file has come or not.
 */
#ifndef ITLSCTL_FETCH_H
#define ITLSCTL_FETCH_H

#include "conn.h"
#include "progress.h"
#include "sink.h"

enum fetch_outcome {
	FETCH_SAVED,		/* all of it */
	FETCH_CONTINUED,	/* the rest of it */
	FETCH_RESTARTED,	/* all of it, though the rest was asked for */
	FETCH_COMPLETE,		/* it was all there already */
};

struct fetch {
	/* what to do */
	struct http_url url;	/* afterwards: where it was in the end */
	struct conn_options options;
	bool bar, verbose;
	/* what came of it */
	struct conn conn;	/* the last one */
	struct http_head head;	/* its answer */
	struct progress progress;
	unsigned int redirects;
	enum fetch_outcome outcome;
};

/* @sink is prepared; the caller closes it, after failure too. */
int fetch_run(struct fetch *f, struct sink *sink, struct ctl_error *e);

#endif
