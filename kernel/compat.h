/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Force-included into every file of the module.  The code is written for the
 * newest kernel; this translates backwards, from what scripts/probe.sh found
 * by compiling.  No other file knows that kernels differ.
 */
#ifndef ITLS_COMPAT_H
#define ITLS_COMPAT_H

#include <linux/timer.h>

#ifndef ITLS_HAVE_PROBE
#error "scripts/probe.sh found no usable kernel headers: run make with V=1"
#endif

/* proto.recvmsg lost its addr_len argument after 6.12. */
#ifdef ITLS_HAVE_RECVMSG_ADDR_LEN
#define ITLS_ADDR_LEN_PARAM	, int *addr_len
#define ITLS_ADDR_LEN_ARG	, addr_len
#else
#define ITLS_ADDR_LEN_PARAM
#define ITLS_ADDR_LEN_ARG
#endif

/* proto.connect takes an address of its own type after 6.12. */
#ifdef ITLS_HAVE_SOCKADDR_UNSIZED
#define ITLS_SOCKADDR		struct sockaddr_unsized
#else
#define ITLS_SOCKADDR		struct sockaddr
#endif

/* tcp_ulp_ops.get_info learnt after 6.12 whether an administrator asks. */
#ifdef ITLS_HAVE_ULP_NET_ADMIN
#define ITLS_NET_ADMIN_PARAM	, bool net_admin
#else
#define ITLS_NET_ADMIN_PARAM
#endif

/* The crypto API walks on past the end of a page since 6.15. */
#if defined(ITLS_HAVE_SCATTERWALK_NEXT) && !IS_ENABLED(CONFIG_HIGHMEM)
#define ITLS_WALK_ENDS_AT_PAGES	false
#else
#define ITLS_WALK_ENDS_AT_PAGES	true
#endif

/* system_unbound_wq was renamed in 6.18; some 6.12 have both names. */
#ifndef ITLS_HAVE_DFL_WQ
#define system_dfl_wq		system_unbound_wq
#endif

/* from_timer() was renamed in 6.16. */
#ifndef timer_container_of
#define timer_container_of	from_timer
#endif

#endif
