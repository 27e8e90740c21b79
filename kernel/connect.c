// SPDX-License-Identifier: GPL-2.0
/*
 * Client sockets: ITLS_CONNECT asks the agents for the client's side of a
 * handshake.  Process context.
 *
 * The socket is pending from then on, exactly as an accepted one is: what can
 * be seen of it, and how it ends, is the same.
 */
#include <linux/ctype.h>
#include <linux/file.h>
#include <linux/slab.h>
#include <linux/sockptr.h>

#include "itls.h"

static_assert(sizeof_field(struct itls_connect, profile) ==
	      ITLS_PROFILE_MAX + 1);

/* A later version of the structure may be longer, if it asks for nothing more. */
static int connect_copy(struct itls_connect *c, sockptr_t optval,
			unsigned int optlen)
{
	int err;

	if (sockptr_is_null(optval) || optlen < sizeof(*c) ||
	    optlen > PAGE_SIZE)
		return -EINVAL;
	if (copy_from_sockptr(c, optval, sizeof(*c)))
		return -EFAULT;
	if (c->size != optlen)
		return -EINVAL;
	err = check_zeroed_sockptr(optval, sizeof(*c), optlen - sizeof(*c));
	return err < 1 ? (err ?: -EINVAL) : 0;
}

static bool server_name_is_valid(const char *name, size_t size)
{
	size_t i, len = strnlen(name, size);

	for (i = 0; i < len; i++)
		if (!isascii(name[i]) || !isgraph(name[i]))
			return false;
	return len && len < size;
}

static int connect_check(const struct itls_connect *c)
{
	if (strnlen(c->profile, sizeof(c->profile)) == sizeof(c->profile) ||
	    !server_name_is_valid(c->server_name, sizeof(c->server_name)))
		return -EINVAL;
	if (!c->cert_len != !c->key_len)
		return -EINVAL;
	if (c->ca_len > ITLS_PEM_MAX || c->cert_len > ITLS_PEM_MAX ||
	    c->key_len > ITLS_PEM_MAX)
		return -EMSGSIZE;
	return 0;
}

/* NULL when there are none. */
static struct itls_credentials *credentials_copy(const struct itls_connect *c)
{
	const u64 from[__ITLS_CREDENTIAL_MAX] = { c->ca, c->cert, c->key };
	const u32 len[__ITLS_CREDENTIAL_MAX] = {
		c->ca_len, c->cert_len, c->key_len,
	};
	size_t size = (size_t)len[0] + len[1] + len[2], off = 0;
	struct itls_credentials *creds;
	int i;

	if (!size)
		return NULL;
	/* It is the caller who is told, not the log. */
	creds = kvmalloc(struct_size(creds, pem, size),
			 GFP_KERNEL_ACCOUNT | __GFP_NOWARN);
	if (!creds)
		return ERR_PTR(-ENOMEM);
	memcpy(creds->len, len, sizeof(len));
	for (i = 0; i < __ITLS_CREDENTIAL_MAX; off += len[i++]) {
		if (!copy_from_user(creds->pem + off, u64_to_user_ptr(from[i]),
				    len[i]))
			continue;
		itls_mark_free_credentials(creds);
		return ERR_PTR(-EFAULT);
	}
	return creds;
}

/* May this socket become a client?  Locked. */
static int socket_check(const struct sock *sk, const struct itls_ctx *ctx)
{
	/* Not one that a program made autonomous. */
	bool client = ctx->role == ITLS_ROLE_CLIENT &&
		      rcu_access_pointer(ctx->mark);

	if (ctx->listens)
		return -ENOTCONN;
	switch (itls_ctx_state(ctx)) {
	case ITLS_STATE_NONE:
		break;
	case ITLS_STATE_PENDING:
		return client ? -EALREADY : -EBUSY;
	case ITLS_STATE_ESTABLISHED:
		return client ? -EISCONN : -EBUSY;
	case ITLS_STATE_FAILED:
		return client ? READ_ONCE(ctx->fail_err) : -EBUSY;
	default:
		return -ENOTCONN;
	}
	if (sk->sk_state != TCP_ESTABLISHED || sk->sk_shutdown)
		return -ENOTCONN;
	return 0;
}

/*
 * Who sleeps in TCP's own calls would go on there: send plaintext, or take
 * records for data.  They end with -EPIPE, as when a connection is exchanged.
 */
static void turn_out_sleepers(struct sock *sk)
{
	WRITE_ONCE(sk->sk_disconnects, sk->sk_disconnects + 1);
	wake_up_interruptible_all(sk_sleep(sk));
}

/* Asks for the handshake; mark and credentials are the context's afterwards. */
static int connect_begin(struct sock *sk, struct itls_ctx *ctx,
			 struct itls_mark *mark, struct itls_credentials *creds)
{
	rcu_assign_pointer(ctx->mark, mark);
	ctx->credentials = creds;
	ctx->role = ITLS_ROLE_CLIENT;
	ctx->rcvlowat = sk->sk_rcvlowat;
	WRITE_ONCE(sk->sk_rcvlowat, 1);
	/* Pairs with itls_ctx_state(). */
	smp_store_release(&ctx->state, ITLS_STATE_PENDING);
	turn_out_sleepers(sk);
	return itls_request_submit(ctx) ? -ECONNABORTED : 0;
}

static bool is_nonblocking(const struct sock *sk)
{
	const struct file *file = sk->sk_socket->file;

	return file && file->f_flags & O_NONBLOCK;
}

/* As connect() waits: what interrupts it does not end the handshake. */
static int connect_wait(struct sock *sk, struct itls_ctx *ctx)
{
	int err = itls_ctx_wait_ready(sk, ctx,
				      sock_sndtimeo(sk, is_nonblocking(sk)));

	if (err == -EAGAIN)
		return -EINPROGRESS;
	return err == -ERESTARTSYS ? -EINTR : err;
}

/* The caller learns of a failure here and not from SO_ERROR again. */
static int connect_locked(struct sock *sk, struct itls_mark **mark,
			  struct itls_credentials **creds)
{
	struct itls_ctx *ctx = itls_ctx_of(sk);
	int err = socket_check(sk, ctx);

	if (err)
		return err;
	err = connect_begin(sk, ctx, *mark, *creds);
	*mark = NULL;
	*creds = NULL;
	if (!err)
		err = connect_wait(sk, ctx);
	if (itls_ctx_state(ctx) == ITLS_STATE_FAILED)
		sock_error(sk);
	return err;
}

static int connect_with(struct sock *sk, const struct itls_connect *c)
{
	struct itls_credentials *creds;
	struct itls_mark *mark;
	int err;

	mark = itls_mark_alloc(sk, c->profile, c->server_name);
	if (IS_ERR(mark))
		return PTR_ERR(mark);
	creds = credentials_copy(c);
	if (IS_ERR(creds)) {
		itls_mark_put(mark);
		return PTR_ERR(creds);
	}
	lock_sock(sk);
	err = connect_locked(sk, &mark, &creds);
	release_sock(sk);
	itls_mark_free_credentials(creds);
	itls_mark_put(mark);
	return err;
}

/**
 * itls_connect_set() - ITLS_CONNECT
 * @sk: socket, not locked
 * @optval: struct itls_connect
 * @optlen: its length
 *
 * Return: 0 when the handshake has succeeded, -EINPROGRESS when it goes on,
 * -EINTR likewise, what it failed with (itls(7)), or, changing nothing,
 * -EINVAL, -EMSGSIZE, -EFAULT, -ENOMEM for what is given, and
 * -ENOTCONN, -EBUSY, -EALREADY, -EISCONN for the socket.
 */
int itls_connect_set(struct sock *sk, sockptr_t optval, unsigned int optlen)
{
	struct itls_connect *c = kmalloc(sizeof(*c), GFP_KERNEL);
	int err;

	if (!c)
		return -ENOMEM;
	err = connect_copy(c, optval, optlen) ?: connect_check(c) ?:
	      connect_with(sk, c);
	kfree(c);
	return err;
}
