// SPDX-License-Identifier: GPL-2.0
/*
 * Marks: who asked for handshakes, with which profile, and for a client also
 * whom to expect and what it brings along.  Created in process context,
 * never changed, read under a reference in any.
 */
#include <linux/ctype.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "itls.h"

static bool profile_is_valid(const char *name)
{
	size_t i;

	for (i = 0; name[i]; i++)
		if (!isascii(name[i]) ||
		    (!isalnum(name[i]) && !strchr("._-", name[i])))
			return false;
	return i && i <= ITLS_PROFILE_MAX;
}

/**
 * itls_mark_alloc() - make a mark, owned by the calling process
 * @sk: socket that is going to carry it
 * @profile: name of a profile
 * @server_name: a client's server, "" for a listener
 *
 * The agent may ask the owner for permission to use the profile.
 *
 * Return: the mark, with one reference, or an ERR_PTR: -EINVAL for a bad name
 * of a profile, -ENOMEM.
 */
struct itls_mark *itls_mark_alloc(const struct sock *sk, const char *profile,
				  const char *server_name)
{
	size_t name_len = strlen(server_name) + 1;
	struct itls_mark *mark;

	if (!profile_is_valid(profile))
		return ERR_PTR(-EINVAL);
	mark = kzalloc(struct_size(mark, server_name, name_len),
		       GFP_KERNEL_ACCOUNT);
	if (!mark)
		return ERR_PTR(-ENOMEM);
	refcount_set(&mark->ref, 1);
	mark->uid = from_kuid_munged(sock_net(sk)->user_ns, current_euid());
	mark->pid = task_tgid_nr(current);
	get_task_comm(mark->comm, current);
	strscpy(mark->profile, profile, sizeof(mark->profile));
	memcpy(mark->server_name, server_name, name_len);
	return mark;
}

/* Any context.  NULL: no mark (any longer). */
struct itls_mark *itls_mark_get(const struct itls_ctx *ctx)
{
	struct itls_mark *l;

	rcu_read_lock();
	/* One whose last reference went was replaced: look again. */
	do {
		l = rcu_dereference(ctx->mark);
	} while (l && !refcount_inc_not_zero(&l->ref));
	rcu_read_unlock();
	return l;
}

void itls_mark_put(struct itls_mark *l)
{
	if (l && refcount_dec_and_test(&l->ref))
		kfree_rcu(l, rcu);
}

/* Wipes: there may be a private key among them.  Any context. */
void itls_mark_free_credentials(struct itls_credentials *creds)
{
	size_t i, size = sizeof(*creds);

	if (!creds)
		return;
	for (i = 0; i < __ITLS_CREDENTIAL_MAX; i++)
		size += creds->len[i];
	kvfree_sensitive(creds, size);
}
