// SPDX-License-Identifier: GPL-2.0
/*
 * itls: TLS records on the socket path.  Starts the parts in order and stops
 * them in reverse.
 */
#include <linux/init.h>
#include <linux/module.h>
#include <net/genetlink.h>

#include "itls.h"

/*
 * Stopping ULP and netlink waits for a grace period, and so for a timer
 * handler that was just finishing; no socket uses what comes before them.
 */
static const struct {
	int (*init)(void);
	void (*exit)(void);
} parts[] = {
	{ NULL, itls_cipher_exit },
	{ itls_block_init, itls_block_exit },
	{ NULL, itls_scratch_exit },
	{ itls_ctx_init, itls_ctx_exit },
	{ itls_tx_init, itls_tx_exit },
	{ itls_rx_init, itls_rx_exit },
	{ itls_stats_init, itls_stats_exit },
	{ itls_idle_init, itls_idle_exit },
	{ itls_netlink_init, itls_netlink_exit },
	{ itls_ulp_init, itls_ulp_exit },
	{ itls_alias_init, itls_alias_exit },
};

static void stop(size_t nr)
{
	while (nr)
		parts[--nr].exit();
}

static int __init itls_init(void)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(parts); i++) {
		int err = parts[i].init ? parts[i].init() : 0;

		if (!err)
			continue;
		stop(i);
		return err;
	}
	return 0;
}

static void __exit itls_exit(void)
{
	stop(ARRAY_SIZE(parts));
}

module_init(itls_init);
module_exit(itls_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Inline TLS for TCP servers");
MODULE_ALIAS_TCP_ULP("itls");
MODULE_ALIAS_TCP_ULP("itls-listen");
MODULE_ALIAS_GENL_FAMILY(ITLS_GENL_NAME);
