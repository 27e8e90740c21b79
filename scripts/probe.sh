#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Asks the kernel's headers what they have, by compiling: distributions
# backport, so a version number tells nothing.  Called from Kbuild with the
# compiler in $CC and its flags in $FLAGS; prints -D options for compat.h.

# try NAME CODE: prints -DNAME when CODE compiles inside a function.
try() {
	code="
#include <linux/socket.h>
#include <net/sock.h>
#include <net/tcp.h>
#include <crypto/scatterwalk.h>
struct probe_proto { struct proto p; struct tcp_ulp_ops u; };
void probe(struct probe_proto *x);
void probe(struct probe_proto *x) { $2; }
"
	# shellcheck disable=SC2086 # FLAGS is a list of words
	if printf '%s' "$code" | $CC $FLAGS -DKBUILD_MODNAME='"probe"' -Wno-error \
		-Werror=incompatible-pointer-types -fsyntax-only -x c - \
		>/dev/null 2>&1; then
		printf -- '-D%s ' "$1"
	fi
}

try ITLS_HAVE_PROBE 'x->p.owner = NULL'
try ITLS_HAVE_RECVMSG_ADDR_LEN \
	'int (*f)(struct sock *, struct msghdr *, size_t, int, int *) = x->p.recvmsg; (void)f'
try ITLS_HAVE_SOCKADDR_UNSIZED \
	'int (*f)(struct sock *, struct sockaddr_unsized *, int) = x->p.connect; (void)f'
try ITLS_HAVE_ULP_NET_ADMIN \
	'int (*f)(struct sock *, struct sk_buff *, bool) = x->u.get_info; (void)f'
try ITLS_HAVE_DFL_WQ '(void)system_dfl_wq'
try ITLS_HAVE_SCATTERWALK_NEXT \
	'unsigned int (*f)(struct scatter_walk *, unsigned int) = scatterwalk_next; (void)f'
