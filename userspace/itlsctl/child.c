// SPDX-License-Identifier: GPL-2.0
/*
 * Runs a program under a deadline and reads what it prints.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE		/* pipe2() */
#endif
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "child.h"

extern char **environ;

static int find_beside(const char *name, char *path, size_t size)
{
	char *slash;
	ssize_t n;

	n = readlink("/proc/self/exe", path, size - 1);
	if (n < 0)
		return -errno;
	path[n] = '\0';
	slash = strrchr(path, '/');
	if (!slash || slash + 1 + strlen(name) >= path + size)
		return -ENOENT;
	strcpy(slash + 1, name);
	return access(path, X_OK) ? -errno : 0;
}

int child_find(const char *name, char *path, size_t size)
{
	const char *dirs = getenv("PATH");

	if (!find_beside(name, path, size))
		return 0;
	while (dirs && *dirs) {
		size_t len = strcspn(dirs, ":");

		/* relative entries would run a file of whoever owns the cwd */
		if (*dirs == '/' &&
		    snprintf(path, size, "%.*s/%s", (int)len, dirs, name) <
			    (int)size &&
		    !access(path, X_OK))
			return 0;
		dirs += len + (dirs[len] == ':');
	}
	return -ENOENT;
}

static int spawn(char *const argv[], int out, pid_t *pid)
{
	posix_spawn_file_actions_t fa;
	int err;

	err = posix_spawn_file_actions_init(&fa);
	if (err)
		return -err;
	err = posix_spawn_file_actions_addopen(&fa, 0, "/dev/null", O_RDONLY, 0);
	if (!err)
		err = posix_spawn_file_actions_adddup2(&fa, out, 1);
	if (!err)
		err = posix_spawn_file_actions_adddup2(&fa, out, 2);
	if (!err)
		err = posix_spawn(pid, argv[0], &fa, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&fa);
	return -err;
}

static int left_ms(const struct timespec *start, int timeout_ms)
{
	struct timespec now;
	long gone;

	clock_gettime(CLOCK_MONOTONIC, &now);
	gone = (now.tv_sec - start->tv_sec) * 1000 +
	       (now.tv_nsec - start->tv_nsec) / 1000000;
	return gone >= timeout_ms ? 0 : timeout_ms - (int)gone;
}

/* Reads to end of file; what does not fit is read and dropped. */
static int gather(int fd, const struct timespec *start, int timeout_ms,
		  char *out, size_t size)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	size_t used = 0;
	char buf[512];
	ssize_t n;

	for (;;) {
		n = poll(&pfd, 1, left_ms(start, timeout_ms));
		if (n <= 0)
			return n ? -errno : -ETIMEDOUT;
		n = read(fd, buf, sizeof(buf));
		if (n <= 0)
			break;
		if ((size_t)n > size - 1 - used)
			n = size - 1 - used;
		memcpy(out + used, buf, n);
		used += n;
	}
	out[used] = '\0';
	return n < 0 ? -errno : 0;
}

/* Waits for the exit itself: end of file alone is no promise of it. */
static int reap(pid_t pid, const struct timespec *start, int timeout_ms,
		int err)
{
	struct pollfd pfd = { .fd = -1, .events = POLLIN };
	int status = 0;

	if (!err) {
		pfd.fd = pidfd_open(pid, 0);
		if (poll(&pfd, 1, left_ms(start, timeout_ms)) == 0)
			err = -ETIMEDOUT;
		if (pfd.fd >= 0)
			close(pfd.fd);
	}
	if (err)
		kill(pid, SIGKILL);
	if (waitpid(pid, &status, 0) < 0 && !err)
		err = -errno;
	if (err)
		return err;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -EINTR;
}

int child_run(char *const argv[], int timeout_ms, char *out, size_t size)
{
	struct timespec start;
	int err, pipefd[2];
	pid_t pid;

	*out = '\0';
	clock_gettime(CLOCK_MONOTONIC, &start);
	if (pipe2(pipefd, O_CLOEXEC))
		return -errno;
	err = spawn(argv, pipefd[1], &pid);
	close(pipefd[1]);
	if (!err) {
		err = gather(pipefd[0], &start, timeout_ms, out, size);
		err = reap(pid, &start, timeout_ms, err);
	}
	close(pipefd[0]);
	return err;
}
