// SPDX-License-Identifier: GPL-2.0
/*
 * itls: TLS records on the socket path.  Starts the parts in order and stops
 * them in reverse.
 */
#include <linux/init.h>
#include <linux/module.h>
#include <net/genetlink.h>

#include "itls.h"

static int __init itls_init(void)
{
	int err;

	err = itls_stats_init();
	if (err)
		return err;
	err = itls_block_init();
	if (err)
		goto err_stats;
	err = itls_netlink_init();
	if (err)
		goto err_block;
	err = itls_ulp_init();
	if (err)
		goto err_netlink;
	err = itls_alias_init();
	if (err)
		goto err_ulp;
	return 0;

err_ulp:
	itls_ulp_exit();
err_netlink:
	itls_netlink_exit();
err_block:
	itls_block_exit();
err_stats:
	itls_stats_exit();
	return err;
}

/*
 * No socket uses the ULP any more.  Unregistering it waits for a grace
 * period, and so for a timer handler that was just finishing.
 */
static void __exit itls_exit(void)
{
	itls_alias_exit();
	itls_ulp_exit();
	itls_netlink_exit();
	itls_block_exit();
	itls_stats_exit();
}

module_init(itls_init);
module_exit(itls_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Inline TLS for TCP servers");
MODULE_ALIAS_TCP_ULP("itls");
MODULE_ALIAS_TCP_ULP("itls-listen");
MODULE_ALIAS_GENL_FAMILY(ITLS_GENL_NAME);
