// SPDX-License-Identifier: GPL-2.0
/*
 * libitls over a kernel that is played here: setsockopt(), getsockopt() and
 * poll() are this file's, and write down what they were asked.  TAP on
 * standard output.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <linux/tls.h>

#include "libitls/itls.h"
#include "tap.h"

#define FAKE_SOL_TLS 282
#define FD 77
#define NEWER (sizeof(struct itls_info) + 64)

static struct {
	char ulp[17];		/* what TCP_ULP has */
	char profile[64];	/* what ITLS_LISTEN has */
	char log[256];		/* options set, in order */
	int ulp_err;		/* refusals, errno */
	int listen_err;
	int connect_err;
	int so_error;		/* told once */
	int poll_ret;
	unsigned char info[NEWER];
	size_t info_len;	/* what this kernel knows of struct itls_info */
	struct itls_connect connect;
	size_t autonomous_len;
} kernel;

static void start(void)
{
	memset(&kernel, 0, sizeof(kernel));
	kernel.info_len = sizeof(struct itls_info);
	kernel.poll_ret = 1;
}

static void judge(bool good, const char *name)
{
	check(good, "%s", name);
	if (!good)
		printf("# ulp '%s' profile '%s' log '%s'\n", kernel.ulp, kernel.profile, kernel.log);
}

static void note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static void note(const char *fmt, ...)
{
	size_t used = strlen(kernel.log);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(kernel.log + used, sizeof(kernel.log) - used, fmt, ap);
	va_end(ap);
}

static int refuse(int err)
{
	errno = err;
	return err ? -1 : 0;
}

static int set_ulp(const char *name, size_t len)
{
	note("ulp=%.*s ", (int)len, name);
	if (kernel.ulp_err)
		return refuse(kernel.ulp_err);
	if (kernel.ulp[0])
		return refuse(EEXIST);
	memcpy(kernel.ulp, name, len);
	return 0;
}

static int set_tls(int opt, const void *val, socklen_t len)
{
	switch (opt) {
	case ITLS_LISTEN:
		note("listen=%.*s ", (int)len, (const char *)val);
		if (kernel.listen_err)
			return refuse(kernel.listen_err);
		memset(kernel.profile, 0, sizeof(kernel.profile));
		memcpy(kernel.profile, val, len);
		return 0;
	case ITLS_CONNECT:
		note("connect ");
		if (len != sizeof(kernel.connect))
			return refuse(EINVAL);
		memcpy(&kernel.connect, val, len);
		return refuse(kernel.connect_err);
	case ITLS_AUTONOMOUS:
		kernel.autonomous_len = len;
		return 0;
	}
	return refuse(ENOPROTOOPT);
}

int setsockopt(int fd, int level, int opt, const void *val, socklen_t len)
{
	if (fd != FD)
		return refuse(EBADF);
	if (level == SOL_TCP && opt == TCP_ULP)
		return set_ulp(val, len);
	return level == FAKE_SOL_TLS ? set_tls(opt, val, len) : refuse(ENOPROTOOPT);
}

static int give(void *val, socklen_t *len, const void *src, size_t n)
{
	if (*len > n)
		*len = n;
	memcpy(val, src, *len);
	return 0;
}

static int get_so_error(void *val, socklen_t *len)
{
	int err = kernel.so_error;

	kernel.so_error = 0;
	return give(val, len, &err, sizeof(err));
}

int getsockopt(int fd, int level, int opt, void *val, socklen_t *len)
{
	if (fd != FD)
		return refuse(EBADF);
	if (level == SOL_TCP && opt == TCP_ULP)
		return give(val, len, kernel.ulp, kernel.ulp[0] ? 16 : 0);
	if (level == SOL_SOCKET && opt == SO_ERROR)
		return get_so_error(val, len);
	if (level == FAKE_SOL_TLS && !kernel.ulp[0])
		return refuse(ENOPROTOOPT);
	if (level == FAKE_SOL_TLS && opt == ITLS_LISTEN)
		return give(val, len, kernel.profile, strlen(kernel.profile));
	if (level == FAKE_SOL_TLS && opt == ITLS_INFO)
		return give(val, len, kernel.info, kernel.info_len);
	return refuse(ENOPROTOOPT);
}

int poll(struct pollfd *fds, nfds_t n, int timeout)
{
	note("wait=%d ", timeout);
	if (n != 1 || fds->fd != FD || fds->events != POLLOUT)
		return refuse(EFAULT);
	return kernel.poll_ret;
}

static void test_listen(void)
{
	start();
	judge(!itls_listen(FD, NULL) && !strcmp(kernel.log, "ulp=itls-listen listen=default "),
	      "a mark is the protocol, then the profile");
	judge(!itls_listen(FD, "b") && !strcmp(kernel.profile, "b"), "a mark is changed");
	judge(itls_listen(FD, "") == -EINVAL && !strcmp(kernel.profile, "b"),
	      "an empty name does not take the mark away");
	kernel.listen_err = EPERM;
	judge(itls_listen(FD, "c") == -EPERM, "a refusal of the name comes back");
	start();
	strcpy(kernel.ulp, "smc");
	judge(itls_listen(FD, NULL) == -EEXIST && !strstr(kernel.log, "listen=default"), "another protocol stays");
	strcpy(kernel.ulp, "itls");
	judge(itls_listen(FD, NULL) == -EEXIST, "that of connections is another one");
	start();
	kernel.ulp_err = ENOENT;
	judge(itls_listen(FD, NULL) == -ENOENT, "no module");
	judge(itls_listen(-1, NULL) == -EBADF, "no descriptor");
}

static void test_unlisten(void)
{
	char name[ITLS_PROFILE_MAX + 1];
	char small[3];

	start();
	judge(!itls_unlisten(FD) && !kernel.log[0], "no mark need not be taken away");
	judge(!itls_listen_profile(FD, name, sizeof(name)) && !*name, "no mark has an empty profile");
	strcpy(kernel.ulp, "smc");
	judge(!itls_listen_profile(FD, name, sizeof(name)) && !*name, "another protocol has an empty profile");
	start();
	itls_listen(FD, "abc");
	judge(!itls_listen_profile(FD, name, sizeof(name)) && !strcmp(name, "abc"), "the profile is read");
	judge(itls_listen_profile(FD, small, sizeof(small)) == -ERANGE, "a small buffer is refused");
	judge(!itls_unlisten(FD) && !kernel.profile[0], "the mark is taken away");
}

static void test_connect(void)
{
	struct itls_client c = {
		.server_name = "a.example", .profile = "p", .ca = "CA", .ca_len = 2,
		.cert = "CERT", .cert_len = 4, .key = "KEY", .key_len = 3,
	};
	const struct itls_connect *got = &kernel.connect;

	start();
	judge(!itls_connect(FD, &c, sizeof(c)) && !strcmp(kernel.log, "ulp=itls connect "),
	      "a client is the protocol, then the request");
	judge(got->size == sizeof(*got) && !strcmp(got->profile, "p") && !strcmp(got->server_name, "a.example"),
	      "with its names");
	judge(got->ca == (uintptr_t)c.ca && got->ca_len == 2 && got->cert == (uintptr_t)c.cert &&
	      got->cert_len == 4 && got->key == (uintptr_t)c.key && got->key_len == 3, "with its PEM");
	kernel.connect_err = EINPROGRESS;
	judge(itls_connect(FD, &c, sizeof(c)) == -EINPROGRESS, "a protocol that is there already is no error");
	strcpy(kernel.ulp, "tls");
	judge(itls_connect(FD, &c, sizeof(c)) == -EEXIST, "another one is");
	start();
	c.profile = NULL;
	judge(!itls_connect(FD, &c, sizeof(c)) && !strcmp(got->profile, "default"), "the default profile");
}

static void test_connect_refusals(void)
{
	struct {
		struct itls_client client;
		char novel[8];
	} newer = { .client.server_name = "a" };
	struct itls_client c = { 0 };
	char name[ITLS_SNI_MAX + 2];

	start();
	judge(itls_connect(FD, &c, sizeof(c)) == -EINVAL && !kernel.log[0], "a server name is needed");
	memset(name, 'a', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	c.server_name = name;
	judge(itls_connect(FD, &c, sizeof(c)) == -EINVAL, "a server name of 256 is too long");
	judge(!itls_connect(FD, &(struct itls_client){ .server_name = name + 1 }, sizeof(c)), "one of 255 is not");
	c.server_name = "a";
	c.profile = name;
	judge(itls_connect(FD, &c, sizeof(c)) == -EINVAL, "a profile too long");
	c = (struct itls_client){ .server_name = "a", .key = "", .key_len = ITLS_PEM_MAX + 1 };
	judge(itls_connect(FD, &c, sizeof(c)) == -EMSGSIZE, "PEM too long");
	c = (struct itls_client){ .server_name = "a", .ca_len = 1 };
	judge(itls_connect(FD, &c, sizeof(c)) == -EINVAL, "a length without PEM");
	judge(!itls_connect(FD, &newer.client, sizeof(newer)), "a newer program that wants nothing new");
	newer.novel[7] = 1;
	judge(itls_connect(FD, &newer.client, sizeof(newer)) == -E2BIG, "a newer program that does");
	c = (struct itls_client){ .profile = "p", .server_name = "a", .ca = "beyond", .ca_len = 6 };
	judge(!itls_connect(FD, &c, offsetof(struct itls_client, ca)) && !kernel.connect.ca_len,
	      "an older program has less");
}

static void set_state(enum itls_state state)
{
	kernel.info[offsetof(struct itls_info, state)] = state;
}

static void test_wait(void)
{
	start();
	strcpy(kernel.ulp, "itls");
	set_state(ITLS_STATE_ESTABLISHED);
	judge(!itls_connect_wait(FD, 5) && !strcmp(kernel.log, "wait=5 "), "a handshake that succeeded");
	kernel.poll_ret = 0;
	judge(itls_connect_wait(FD, 0) == -EINPROGRESS, "one under way");
	kernel.poll_ret = 1;
	kernel.so_error = EKEYREJECTED;
	set_state(ITLS_STATE_FAILED);
	judge(itls_connect_wait(FD, -1) == -EKEYREJECTED, "one that failed");
	judge(itls_connect_wait(FD, -1) == -ECONNABORTED, "is not taken for success the second time");
	set_state(ITLS_STATE_PENDING);
	judge(itls_connect_wait(FD, -1) == -EINPROGRESS, "nor is one that poll is wrong about");
	kernel.ulp[0] = '\0';
	judge(itls_connect_wait(FD, -1) == -ENOPROTOOPT, "nor a socket without one");
}

static void test_info(void)
{
	unsigned char big[NEWER];
	struct itls_info info;

	start();
	judge(itls_info(FD, &info, sizeof(info)) == -ENOPROTOOPT, "no information without the protocol");
	strcpy(kernel.ulp, "itls");
	memset(kernel.info, 7, sizeof(kernel.info));
	judge(!itls_info(FD, &info, sizeof(info)) && info.verify == 7 && info.alert_tx == 7, "information is read");
	kernel.info_len = offsetof(struct itls_info, tx_rekeys);
	judge(!itls_info(FD, &info, sizeof(info)) && !info.verify && !info.peer_subject[0] && info.sni[0] == 7,
	      "an older kernel leaves the rest zero");
	kernel.info_len = offsetof(struct itls_info, alert_rx);
	judge(!itls_info(FD, &info, sizeof(info)) && info.alert_rx == ITLS_ALERT_NONE &&
	      info.alert_tx == ITLS_ALERT_NONE, "and alerts none");
	kernel.info_len = NEWER;
	memset(&info, 0xee, sizeof(info));
	judge(!itls_info(FD, &info, offsetof(struct itls_info, tx_rekeys)) && info.tx_rekeys == 0xeeeeeeee,
	      "an older program's structure is not overrun");
	memset(&info, 0xee, sizeof(info));
	judge(!itls_info(FD, &info, 4) && info.alert_rx == 0xee, "however small it is");
	judge(!itls_info(FD, (void *)big, sizeof(big)) && big[sizeof(big) - 1] == 7, "a newer program gets more");
}

static void test_names(void)
{
	bool distinct = true;

	judge(!strcmp(itls_version_name(TLS_1_3_VERSION), "TLSv1.3") &&
	      !strcmp(itls_version_name(TLS_1_2_VERSION), "TLSv1.2") && !itls_version_name(0x0305), "versions");
	judge(!strcmp(itls_cipher_name(TLS_CIPHER_AES_GCM_256), "AES-256-GCM") && !itls_cipher_name(0) &&
	      !itls_cipher_name(65536 + TLS_CIPHER_AES_GCM_256), "ciphers");
	judge(!strcmp(itls_alert_name(0), "close_notify") && !strcmp(itls_alert_name(120), "no_application_protocol") &&
	      !itls_alert_name(1) && !itls_alert_name(121) && !itls_alert_name(ITLS_ALERT_NONE), "alerts");
	for (unsigned int i = 0; i < __ITLS_VERIFY_MAX; i++)
		for (unsigned int j = 0; j < i; j++)
			distinct = distinct && strcmp(itls_verify_name(i), itls_verify_name(j)) &&
				   strcmp(itls_verify_text(i), itls_verify_text(j));
	judge(distinct, "each outcome of a certificate has a text of its own");
	judge(!itls_verify_text(__ITLS_VERIFY_MAX) && !itls_verify_name(-1), "and no other has one");
}

int main(void)
{
	struct itls_autonomous a = { .role = ITLS_ROLE_CLIENT };

	test_listen();
	test_unlisten();
	test_connect();
	test_connect_refusals();
	test_wait();
	test_info();
	test_names();
	start();
	judge(!itls_autonomous(FD, &a, sizeof(a)) && kernel.autonomous_len == sizeof(a), "autonomous");
	return tap_end();
}
