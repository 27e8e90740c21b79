// SPDX-License-Identifier: GPL-2.0
/*
 * One line that is drawn anew, ten times a second at most:
 *
 *   file.iso  45% [=========>            ]  123M  12.3M/s  ETA 1m05s
 */
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "progress.h"

#define DRAW_SECONDS 0.1
#define COLUMNS_MIN 20
#define COLUMNS_MAX 400
#define NAME_SHARE 3		/* at most so much of the line: 1/3 */

static double between(const struct timespec *a, const struct timespec *b)
{
	return b->tv_sec - a->tv_sec + (b->tv_nsec - a->tv_nsec) / 1e9;
}

double progress_seconds(const struct progress *p)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return between(&p->start, &now);
}

static unsigned int columns(void)
{
	struct winsize ws;

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &ws) || ws.ws_col < COLUMNS_MIN)
		return 80;
	return ws.ws_col < COLUMNS_MAX ? ws.ws_col : COLUMNS_MAX;
}

static void duration(char *buf, size_t size, double seconds)
{
	unsigned long s = seconds < 359999 ? seconds : 359999;

	if (s < 3600)
		snprintf(buf, size, "%lum%02lus", s / 60, s % 60);
	else
		snprintf(buf, size, "%luh%02lum", s / 3600, s / 60 % 60);
}

/* "  123M  12.3M/s  ETA 1m05s"; without a total the time taken. */
static void figures(const struct progress *p, char *buf, size_t size)
{
	double seconds = progress_seconds(p);
	double rate = seconds > 0 ? p->got / seconds : 0;
	uint64_t done = p->offset + p->got;
	char bytes[24], speed[24], time[24] = "--";

	ctl_bytes(bytes, sizeof(bytes), done);
	ctl_bytes(speed, sizeof(speed), rate);
	if (!p->total || done >= p->total)
		duration(time, sizeof(time), seconds);
	else if (rate > 0)
		duration(time, sizeof(time), (p->total - done) / rate);
	snprintf(buf, size, "  %5s  %5s/s  %s%s", bytes, speed,
		 p->total && done < p->total ? "ETA " : "in ", time);
}

/* " 45% [====>    ]", @width columns wide. */
static void bar(const struct progress *p, char *buf, size_t size, unsigned int width)
{
	double part = (double)(p->offset + p->got) / p->total;
	unsigned int inner, full;
	int n;

	if (part > 1)
		part = 1;
	n = snprintf(buf, size, " %3u%%", (unsigned int)(part * 100));
	if (width < 12 || width >= size)
		return;
	inner = width - n - 3;
	full = part * inner;
	buf += n;
	*buf++ = ' ';
	*buf++ = '[';
	memset(buf, ' ', inner);
	memset(buf, '=', full);
	if (full && full < inner)
		buf[full - 1] = '>';
	strcpy(buf + inner, "]");
}

static void draw(struct progress *p)
{
	char middle[COLUMNS_MAX + 1] = "", end[96];
	unsigned int width = columns() - 1, name = strlen(p->name), used;

	if (name > width / NAME_SHARE)
		name = width / NAME_SHARE;
	figures(p, end, sizeof(end));
	used = name + strlen(end);
	if (p->total)
		bar(p, middle, sizeof(middle), used < width ? width - used : 0);
	fprintf(stderr, "\r\033[K%.*s%s%s", (int)name, p->name, middle, end);
	fflush(stderr);
	clock_gettime(CLOCK_MONOTONIC, &p->drawn);
}

void progress_start(struct progress *p, bool wanted, const char *name, uint64_t offset, uint64_t total)
{
	*p = (struct progress){
		.on = wanted && isatty(STDERR_FILENO),
		.offset = offset,
		.total = total,
	};
	ctl_escape(p->name, sizeof(p->name), name);
	clock_gettime(CLOCK_MONOTONIC, &p->start);
	if (p->on)
		draw(p);
}

void progress_add(struct progress *p, uint64_t n)
{
	struct timespec now;

	p->got += n;
	if (!p->on)
		return;
	clock_gettime(CLOCK_MONOTONIC, &now);
	if (between(&p->drawn, &now) >= DRAW_SECONDS)
		draw(p);
}

void progress_end(struct progress *p)
{
	if (!p->on)
		return;
	draw(p);
	fputc('\n', stderr);
	p->on = false;
}
