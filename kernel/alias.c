// SPDX-License-Identifier: GPL-2.0
/*
 * The ULP name "tls", for programs that know no other: with the module
 * parameter compat_ulp the module serves it in place of in-tree kTLS.
 *
 * Process context.
 */
#include <linux/module.h>
#include <linux/notifier.h>

#include "itls.h"

#define ITLS_ALIAS	"tls"

static bool compat_ulp;
module_param(compat_ulp, bool, 0444);
MODULE_PARM_DESC(compat_ulp, "Serve the ULP name \"tls\" too, if it is free");

static struct tcp_ulp_ops alias_ops;
static bool alias_is_registered;
static DEFINE_MUTEX(alias_mutex);

static void alias_register(void)
{
	mutex_lock(&alias_mutex);
	alias_ops = itls_ulp_ops;
	strscpy(alias_ops.name, ITLS_ALIAS);
	if (tcp_register_ulp(&alias_ops))
		pr_notice("itls: ULP name '" ITLS_ALIAS "' is taken: unload module tls first\n");
	else
		alias_is_registered = true;
	mutex_unlock(&alias_mutex);
}

/* Sockets that have the ULP keep it. */
static bool alias_unregister(void)
{
	bool was_registered;

	mutex_lock(&alias_mutex);
	was_registered = alias_is_registered;
	if (was_registered)
		tcp_unregister_ulp(&alias_ops);
	alias_is_registered = false;
	mutex_unlock(&alias_mutex);
	return was_registered;
}

/* The in-tree module came up without its name: it must never stop. */
static void alias_keep(struct module *mod)
{
	mutex_lock(&alias_mutex);
	if (alias_is_registered) {
		__module_get(mod);
		pr_warn("itls: module tls came too late for its name and cannot be unloaded\n");
	}
	mutex_unlock(&alias_mutex);
}

/*
 * The in-tree module does not care whether it got its name when it starts, and
 * when it stops takes it off the list in any case, which would be an oops.  So
 * the name is given up before that module starts; if it was starting already
 * when the name was taken, it is kept from stopping.
 */
static int alias_module_event(struct notifier_block *nb, unsigned long event,
			      void *data)
{
	struct module *mod = data;

	if (strcmp(mod->name, "tls"))
		return NOTIFY_DONE;
	if (event == MODULE_STATE_COMING && alias_unregister())
		pr_notice("itls: module tls loaded: new sockets get '" ITLS_ALIAS "' from it\n");
	else if (event == MODULE_STATE_LIVE)
		alias_keep(mod);
	return NOTIFY_DONE;
}

static struct notifier_block alias_notifier = {
	.notifier_call = alias_module_event,
};

int itls_alias_init(void)
{
	int err;

	if (!compat_ulp)
		return 0;
	err = register_module_notifier(&alias_notifier);
	if (!err)
		alias_register();
	return err;
}

void itls_alias_exit(void)
{
	if (!compat_ulp)
		return;
	/* In this order: while the name is ours, its owner is watched for. */
	alias_unregister();
	unregister_module_notifier(&alias_notifier);
}
