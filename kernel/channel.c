// SPDX-License-Identifier: GPL-2.0
/*
 * The channel: the descriptor through which an agent speaks raw TCP on a
 * connection whose handshake it accepted.  Process context.
 *
 * It works only while the request is pending, which is checked under the
 * socket lock: bytes can neither be taken from nor put into the stream once
 * the record layer, or close(), owns it.  It never waits.  Closing it fails
 * a request that is still pending.
 */
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/module.h>
#include <linux/uio.h>

#include "itls.h"

static bool channel_is_open(const struct itls_ctx *ctx)
{
	return itls_request_is_pending(ctx) &&
	       itls_ctx_state(ctx) == ITLS_STATE_PENDING;
}

static int channel_recv(read_descriptor_t *desc, struct sk_buff *skb,
			unsigned int off, size_t len)
{
	struct iov_iter *to = desc->arg.data;

	len = min_t(size_t, len, desc->count);
	desc->error = skb_copy_datagram_iter(skb, off, to, len);
	if (desc->error)
		return desc->error;
	desc->count -= len;
	return len;
}

/* What a read that found nothing means; as tcp_recvmsg() without waiting. */
static int channel_idle(struct sock *sk)
{
	if (sock_flag(sk, SOCK_DONE))
		return 0;
	if (sk->sk_err)
		return -sk->sk_err;
	if (sk->sk_shutdown & RCV_SHUTDOWN || sk->sk_state == TCP_CLOSE)
		return 0;
	return -EAGAIN;
}

static ssize_t channel_read_iter(struct kiocb *iocb, struct iov_iter *to)
{
	struct itls_ctx *ctx = iocb->ki_filp->private_data;
	read_descriptor_t desc = {
		.count = iov_iter_count(to),
		.arg.data = to,
	};
	struct sock *sk = ctx->sk;
	ssize_t ret = -ECONNABORTED;

	lock_sock(sk);
	if (channel_is_open(ctx)) {
		/* TLS has no urgent data; at its mark a read would stop. */
		WRITE_ONCE(tcp_sk(sk)->urg_data, 0);
		ret = desc.count ? tcp_read_sock(sk, &desc, channel_recv) : 0;
		if (!ret && desc.count)
			ret = desc.error ?: channel_idle(sk);
	}
	release_sock(sk);
	return ret;
}

static ssize_t channel_write_iter(struct kiocb *iocb, struct iov_iter *from)
{
	struct itls_ctx *ctx = iocb->ki_filp->private_data;
	struct msghdr msg = {
		.msg_iter = *from,
		.msg_flags = MSG_DONTWAIT | MSG_NOSIGNAL,
	};
	struct sock *sk = ctx->sk;
	ssize_t ret = -ECONNABORTED;

	lock_sock(sk);
	if (channel_is_open(ctx))
		ret = tcp_sendmsg_locked(sk, &msg, iov_iter_count(from));
	release_sock(sk);
	*from = msg.msg_iter;
	return ret;
}

static __poll_t channel_poll(struct file *file, poll_table *wait)
{
	struct itls_ctx *ctx = file->private_data;
	struct sock *sk = ctx->sk;
	__poll_t mask = 0;

	poll_wait(file, &ctx->req.wait, wait);
	lock_sock(sk);
	if (!channel_is_open(ctx))
		mask = EPOLLIN | EPOLLRDNORM | EPOLLERR | EPOLLHUP;
	else if (tcp_sk(sk)->rcv_nxt != tcp_sk(sk)->copied_seq ||
		 channel_idle(sk) != -EAGAIN)
		mask = EPOLLIN | EPOLLRDNORM;
	if (channel_is_open(ctx)) {
		if (sk_stream_is_writeable(sk))
			mask |= EPOLLOUT | EPOLLWRNORM;
		else
			set_bit(SOCK_NOSPACE, &sk->sk_socket->flags);
	}
	release_sock(sk);
	return mask;
}

static int channel_release(struct inode *inode, struct file *file)
{
	struct itls_ctx *ctx = file->private_data;

	if (!ctx)
		return 0;
	itls_request_fail(ctx, -ECONNABORTED, ITLS_STAT_HS_AGENT_GONE);
	itls_ctx_put(ctx);
	return 0;
}

static const struct file_operations channel_fops = {
	.owner = THIS_MODULE,
	.read_iter = channel_read_iter,
	.write_iter = channel_write_iter,
	.poll = channel_poll,
	.release = channel_release,
};

/* Makes a channel; on success it takes over the caller's reference. */
struct file *itls_channel_open(struct itls_ctx *ctx)
{
	return anon_inode_getfile("[itls]", &channel_fops, ctx,
				  O_RDWR | O_NONBLOCK);
}

/* Frees a channel that nobody got; the reference is the caller's again. */
void itls_channel_abandon(struct file *file)
{
	file->private_data = NULL;
	fput(file);
}
