// SPDX-License-Identifier: GPL-2.0
/* Manners of a descriptor: shared, passed on, inherited, interrupted, and asked what it is. */
#define _GNU_SOURCE
#include "manners.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

static void take(struct twin *t, size_t len)
{
	uint8_t got[100];

	ASSERT_LE(len, sizeof(got));
	twin_take(t, got, len);
	trace_bytes(&t->trace, "peer reads", got, len);
}

/* ---- shared ------------------------------------------------------------------------ */

MANNER(duplicates)
{
	int copy = dup(t->fd);
	char buf[20];

	ASSERT_LE(0, copy);
	twin_give(t, "hello world");
	CALL(recv(t->fd, buf, 5, 0));
	CALL(recv(copy, buf, 20, 0));
	BYTES(buf, 6);
	twin_close(t);
	CALL(send(copy, "open still", 10, 0));
	take(t, 10);
	t->fd = copy;
	twin_give(t, "and heard");
	CALL(recv(copy, buf, 20, 0));
	twin_close(t);
	twin_note_end(t);
}

/* The child reads and answers, and its exit ends nothing. */
MANNER(forked)
{
	char buf[20];
	int status;
	pid_t pid;

	twin_give(t, "child parent");
	pid = fork();
	if (!pid) {
		status = recv(t->fd, buf, 6, 0) == 6 && !memcmp(buf, "child ", 6) &&
			 send(t->fd, "from the child, ", 16, 0) == 16;
		_exit(!status);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	SEEN(status);
	CALL(recv(t->fd, buf, sizeof(buf), 0));
	BYTES(buf, 6);
	CALL(send(t->fd, "from the parent", 15, 0));
	take(t, 31);
	twin_close(t);
	twin_note_end(t);
}

/* The last holder's close counts, whoever it is. */
MANNER(closed_by_the_child)
{
	int status, p[2];
	pid_t pid;
	char c;

	ASSERT_EQ(0, pipe(p));
	pid = fork();
	if (!pid) {
		close(p[1]);
		_exit(read(p[0], &c, 1) != 0 || send(t->fd, "bye", 3, 0) != 3);
	}
	twin_close(t);
	SEEN(twin_is_silent(t));
	close(p[1]);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	SEEN(status);
	twin_note_end(t);
	close(p[0]);
}

static void send_fd(int via, int fd)
{
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {};
	struct iovec iov = { "x", 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control.buf, .msg_controllen = sizeof(control.buf),
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cmsg), &fd, sizeof(int));
	ASSERT_EQ(1, sendmsg(via, &msg, 0));
}

static int recv_fd(int via)
{
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {};
	char c;
	struct iovec iov = { &c, 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control.buf, .msg_controllen = sizeof(control.buf),
	};
	int fd;

	ASSERT_EQ(1, recvmsg(via, &msg, MSG_CMSG_CLOEXEC));
	ASSERT_TRUE(CMSG_FIRSTHDR(&msg));
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(int));
	return fd;
}

/* Nobody has it open while it is under way. */
MANNER(passed_on)
{
	char buf[20];
	int via[2];

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, via));
	twin_give(t, "before");
	send_fd(via[0], t->fd);
	twin_close(t);
	twin_send(t, " meanwhile", 10, 10);
	t->fd = recv_fd(via[1]);
	twin_arrived(t);
	CALL(recv(t->fd, buf, sizeof(buf), 0));
	BYTES(buf, 16);
	CALL(send(t->fd, "answer", 6, 0));
	take(t, 6);
	close(via[0]);
	close(via[1]);
}

/* Never received: it goes with the socket it was sent over. */
MANNER(passed_on_and_lost)
{
	int via[2];

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, via));
	send_fd(via[0], t->fd);
	twin_close(t);
	SEEN(twin_is_silent(t));
	close(via[0]);
	close(via[1]);
	twin_note_end(t);
}

/* ---- interrupted --------------------------------------------------------------------- */

static void on_signal(int sig)
{
	(void)sig;
}

static void catch(int sig, int flags)
{
	struct sigaction sa = { .sa_handler = on_signal, .sa_flags = flags };

	ASSERT_EQ(0, sigaction(sig, &sa, NULL));
}

static void signal_it(struct twin *t)
{
	tgkill(getpid(), t->tid, SIGUSR1);
}

static void signal_then_give(struct twin *t)
{
	tgkill(getpid(), t->tid, SIGUSR1);
	twin_wait_asleep(t);
	twin_send(t, "hello", 5, 5);
}

MANNER(signal_interrupts_a_reader)
{
	char buf[20];

	catch(SIGUSR1, 0);
	twin_later(t, signal_it);
	CALL(recv(t->fd, buf, sizeof(buf), 0));
	twin_later_join(t);
	twin_give(t, "hello");
	CALL(recv(t->fd, buf, sizeof(buf), 0));
}

MANNER(signal_restarts_a_reader)
{
	char buf[20];

	catch(SIGUSR1, SA_RESTART);
	twin_later(t, signal_then_give);
	CALL(recv(t->fd, buf, sizeof(buf), 0));
	twin_later_join(t);
}

/* With a timeout the call is not restarted, or it would wait anew. */
MANNER(signal_and_a_timeout)
{
	struct timeval tv = { .tv_sec = 10 };
	char buf[20];

	ASSERT_EQ(0, setsockopt(t->fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)));
	catch(SIGUSR1, SA_RESTART);
	twin_later(t, signal_it);
	CALL(recv(t->fd, buf, sizeof(buf), 0));
	twin_later_join(t);
}

static void give_and_signal(struct twin *t)
{
	twin_send(t, "some", 4, 4);
	twin_wait_asleep(t);
	twin_arrived(t);
	twin_wait_asleep(t);
	tgkill(getpid(), t->tid, SIGUSR1);
}

/* What was read already is not lost to the signal. */
MANNER(signal_while_waiting_for_all)
{
	char buf[20] = "";

	catch(SIGUSR1, 0);
	twin_later(t, give_and_signal);
	CALL(recv(t->fd, buf, sizeof(buf), MSG_WAITALL));
	BYTES(buf, 4);
	twin_later_join(t);
}

MANNER_TIMEOUT(signal_interrupts_a_writer, 60)
{
	uint8_t *data = alloc_pattern(TWIN_LOTS, 0);
	size_t sent = twin_fill(t, data);

	catch(SIGUSR1, 0);
	twin_later(t, signal_it);
	CALL(send(t->fd, data, 10, 0));
	twin_later_join(t);
	twin_take_later(t, sent);
	twin_later_join(t);
	free(data);
}

MANNER(splice_is_interrupted)
{
	int p[2];

	ASSERT_EQ(0, pipe(p));
	catch(SIGUSR1, 0);
	twin_later(t, signal_it);
	CALL(splice(t->fd, NULL, p[1], NULL, 100, 0));
	twin_later_join(t);
	close(p[0]);
	close(p[1]);
}

/* What was accepted before is the result. */
MANNER_TIMEOUT(signal_interrupts_a_large_send, 60)
{
	const size_t len = 16 << 20;
	uint8_t *data = alloc_pattern(len, 0);
	ssize_t n;

	catch(SIGUSR1, 0);
	twin_later(t, signal_it);
	n = send(t->fd, data, len, 0);
	NOTE("accepted in part: %d", n > 0 && n < (ssize_t)len);
	twin_later_join(t);
	ASSERT_LT(0, n);
	twin_take_later(t, n);
	twin_later_join(t);
	SEEN(twin_is_silent(t));
	free(data);
}

static volatile sig_atomic_t seen_sigpipe;

static void on_sigpipe(int sig)
{
	(void)sig;
	seen_sigpipe++;
}

MANNER(broken_pipe)
{
	signal(SIGPIPE, on_sigpipe);
	seen_sigpipe = 0;
	CALL(shutdown(t->fd, SHUT_WR));
	CALL(send(t->fd, "x", 1, MSG_NOSIGNAL));
	SEEN(seen_sigpipe);
	CALL(send(t->fd, "x", 1, 0));
	SEEN(seen_sigpipe);
	CALL(write(t->fd, "x", 1));
	SEEN(seen_sigpipe);
}

/* SIGIO, as a program that asked for O_ASYNC gets it: each is taken from a blocked set. */
MANNER(signal_of_readiness)
{
	struct timespec wait = { .tv_sec = test_wait_ms() / 1000 }, now = {};
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGIO);
	ASSERT_EQ(0, sigprocmask(SIG_BLOCK, &set, NULL));
	CALL(fcntl(t->fd, F_SETOWN, getpid()) == 0);
	CALL(fcntl(t->fd, F_SETFL, O_ASYNC | O_NONBLOCK));
	CALL(sigtimedwait(&set, NULL, &now));
	CALL(recv(t->fd, SCRATCH(9), 9, 0));
	twin_give(t, "hello");
	CALL(sigtimedwait(&set, NULL, &wait) == SIGIO);
	CALL(sigtimedwait(&set, NULL, &now));
	CALL(recv(t->fd, SCRATCH(9), 9, 0));
	twin_shut(t);
	CALL(sigtimedwait(&set, NULL, &wait) == SIGIO);
	CALL(recv(t->fd, SCRATCH(9), 9, 0));
}

/* ---- two threads --------------------------------------------------------------------- */

static void *recv_ten(void *arg)
{
	struct twin *t = arg;
	char buf[10];

	return (void *)(intptr_t)recv(t->fd, buf, 10, MSG_WAITALL);
}

/* A blocked reader keeps nobody from writing. */
MANNER(write_while_a_reader_waits)
{
	pthread_t thread;
	void *n;

	ASSERT_EQ(0, pthread_create(&thread, NULL, recv_ten, t));
	CALL(send(t->fd, "ping", 4, 0));
	take(t, 4);
	twin_give(t, "0123456789");
	ASSERT_EQ(0, pthread_join(thread, &n));
	SEEN((intptr_t)n);
}

/* ---- what it is ------------------------------------------------------------------------- */

static int option(struct twin *t, int level, int name)
{
	socklen_t len = sizeof(int);
	int value = 0;

	CALL(getsockopt(t->fd, level, name, &value, &len));
	return value;
}

MANNER(it_is_a_tcp_socket)
{
	struct sockaddr_storage name;
	socklen_t len = sizeof(name);
	struct stat st;

	ASSERT_EQ(0, fstat(t->fd, &st));
	SEEN(S_ISSOCK(st.st_mode));
	SEEN(option(t, SOL_SOCKET, SO_TYPE));
	SEEN(option(t, SOL_SOCKET, SO_DOMAIN));
	SEEN(option(t, SOL_SOCKET, SO_PROTOCOL));
	SEEN(option(t, SOL_SOCKET, SO_ACCEPTCONN));
	SEEN(option(t, SOL_SOCKET, SO_ERROR));
	SEEN(option(t, IPPROTO_TCP, TCP_NODELAY));
	SEEN(option(t, IPPROTO_TCP, TCP_MAXSEG));
	CALL(getsockname(t->fd, (void *)&name, &len));
	SEEN(len);
	CALL(getpeername(t->fd, (void *)&name, &len));
	SEEN(len);
	SEEN(fcntl(t->fd, F_GETFL));
}

MANNER(options_are_kept)
{
	static const struct {
		int level, name, value;
	} opts[] = {
		{ SOL_SOCKET, SO_KEEPALIVE, 1 }, { SOL_SOCKET, SO_PRIORITY, 3 },
		{ SOL_SOCKET, SO_SNDBUF, 20000 }, { SOL_SOCKET, SO_RCVBUF, 20000 },
		{ SOL_SOCKET, SO_RCVLOWAT, 7 }, { SOL_SOCKET, SO_OOBINLINE, 1 },
		{ IPPROTO_TCP, TCP_NODELAY, 0 }, { IPPROTO_TCP, TCP_NODELAY, 1 },
		{ IPPROTO_TCP, TCP_CORK, 1 }, { IPPROTO_TCP, TCP_CORK, 0 },
		{ IPPROTO_TCP, TCP_KEEPIDLE, 50 }, { IPPROTO_TCP, TCP_KEEPINTVL, 5 },
		{ IPPROTO_TCP, TCP_USER_TIMEOUT, 30000 }, { IPPROTO_TCP, TCP_QUICKACK, 1 },
		{ IPPROTO_TCP, TCP_NOTSENT_LOWAT, 40000 }, { IPPROTO_TCP, TCP_LINGER2, 5 },
		{ IPPROTO_IP, IP_TOS, 8 },
	};
	size_t i;

	for (i = 0; i < sizeof(opts) / sizeof(*opts); i++) {
		CALL(setsockopt(t->fd, opts[i].level, opts[i].name, &opts[i].value, sizeof(int)));
		SEEN(option(t, opts[i].level, opts[i].name));
	}
	CALL(setsockopt(t->fd, IPPROTO_TCP, 9999, &opts[0].value, sizeof(int)));
	CALL(setsockopt(t->fd, IPPROTO_TCP, TCP_NODELAY, NULL, 4));
	CALL(setsockopt(t->fd, IPPROTO_TCP, TCP_NODELAY, &opts[0].value, 1));
}

MANNER(it_is_no_file)
{
	char buf[20];

	twin_give(t, "hello");
	CALL(lseek(t->fd, 0, SEEK_SET));
	CALL(pread(t->fd, buf, 5, 0));
	CALL(pwrite(t->fd, buf, 5, 0));
	CALL(ftruncate(t->fd, 0));
	CALL(fsync(t->fd));
	CALL(mmap(NULL, 4096, PROT_WRITE, MAP_PRIVATE, t->fd, 0) == MAP_FAILED);
	CALL(ioctl(t->fd, TIOCGWINSZ, buf));
	CALL(listen(t->fd, 1));
	CALL(bind(t->fd, (void *)&(struct sockaddr_in){ .sin_family = AF_INET },
		  sizeof(struct sockaddr_in)));
	CALL(accept(t->fd, NULL, NULL));
	CALL(recv(t->fd, buf, 20, 0));
}

MANNER(connect_again)
{
	struct sockaddr_storage name;
	socklen_t len = sizeof(name);

	ASSERT_EQ(0, getpeername(t->fd, (void *)&name, &len));
	CALL(connect(t->fd, (void *)&name, len));
	CALL(send(t->fd, "works", 5, 0));
	take(t, 5);
}

/* ---- the comparison itself ------------------------------------------------------------- */

TEST(traces_differ_when_anything_does)
{
	struct trace a = {}, b = {};

	EXPECT_TRUE(trace_same(&a, &b));
	trace_call(&a, "recv", -1, EAGAIN);
	EXPECT_FALSE(trace_same(&a, &b));
	trace_call(&b, "recv", -1, EPIPE);
	EXPECT_FALSE(trace_same(&a, &b));
	trace_free(&b);
	trace_call(&b, "recv", -1, EAGAIN);
	EXPECT_TRUE(trace_same(&a, &b));
	trace_events(&a, "poll", POLLIN | POLLRDHUP);
	trace_events(&b, "poll", POLLIN);
	EXPECT_FALSE(trace_same(&a, &b));
	trace_free(&a);
	trace_free(&b);
	trace_bytes(&a, "data", SCRATCH(100), 100);
	trace_bytes(&b, "data", "\1", 1);
	EXPECT_FALSE(trace_same(&a, &b));
	trace_free(&a);
	trace_free(&b);
}
