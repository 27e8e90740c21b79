// SPDX-License-Identifier: GPL-2.0
/*
 * What scripts/bench cannot learn from outside the kernel: what encryption
 * alone costs there, what data costs without the system calls that move it
 * (which User Mode Linux makes dear: some 20 us each), and how much processor
 * time the whole kernel took, where it is a process. Process context only.
 */
#include <crypto/aead.h>
#include <linux/fadvise.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/net.h>
#include <linux/pagemap.h>
#include <linux/perf_event.h>
#include <linux/pipe_fs_i.h>
#include <linux/pid.h>
#include <linux/proc_fs.h>
#include <linux/sched/mm.h>
#include <linux/sched/task.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>
#include <linux/socket.h>
#include <linux/splice.h>
#include <linux/timekeeping.h>
#include <linux/vmalloc.h>

#include "itls_bench.h"

#define TAG_LEN		16
#define AAD_LEN		5
#define RING_ORDER	3	/* a record and its tag */
#define RING_LEN	8
#define SOURCE_MAX	(256U << 20)
#define RECORD_MAX	16384U
#define SEND_PAGES	16
#define FILE_MAX	(64 << 20)	/* what is spliced into a file begins anew then */

static DEFINE_MUTEX(bench_lock);

/* ---- clocks of the process that User Mode Linux is ----------------------- */

#ifdef CONFIG_UML
static int cycles_fd = -1, misses_fd = -1;

/* System calls of the host: the kernel is an ordinary process of it. */
static long host_call(long nr, long a, long b, long c, long d, long e)
{
	register long r10 asm("r10") = d;
	register long r8 asm("r8") = e;
	long ret;

	asm volatile("syscall" : "=a"(ret)
		     : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
		     : "rcx", "r11", "memory");
	return ret;
}

/* The numbers are those of x86-64: clock_gettime, perf_event_open, read, close. */
static u64 host_clock_ns(long clock)
{
	struct { s64 sec, nsec; } ts;

	if (host_call(228, clock, (long)&ts, 0, 0, 0))
		return 0;
	return ts.sec * NSEC_PER_SEC + ts.nsec;
}

static u64 host_cpu_ns(void)
{
	return host_clock_ns(2 /* CLOCK_PROCESS_CPUTIME_ID */);
}

/* Each address space is a process of the host; its clock as clock_getcpuclockid() has it. */
static u64 host_user_ns(struct mm_struct *mm)
{
	return host_clock_ns(~(long)mm->context.id.pid << 3 | 2);
}

static int host_counter_open(u64 config)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_HARDWARE,
		.size = sizeof(attr),
		.config = config,
	};

	return host_call(298, (long)&attr, 0, -1, -1, 0);
}

static void host_counters_open(void)
{
	cycles_fd = host_counter_open(PERF_COUNT_HW_CPU_CYCLES);
	misses_fd = host_counter_open(PERF_COUNT_HW_CACHE_MISSES);
}

static u64 host_counter(int fd)
{
	u64 count;

	if (fd < 0 || host_call(0, fd, (long)&count, sizeof(count), 0, 0) != sizeof(count))
		return 0;
	return count;
}

static u64 host_cycles(void)
{
	return host_counter(cycles_fd);
}

static u64 host_misses(void)
{
	return host_counter(misses_fd);
}

static void host_counters_close(void)
{
	if (cycles_fd >= 0)
		host_call(3, cycles_fd, 0, 0, 0, 0);
	if (misses_fd >= 0)
		host_call(3, misses_fd, 0, 0, 0, 0);
}
#else
static u64 host_cpu_ns(void)
{
	return 0;
}

static u64 host_user_ns(struct mm_struct *mm)
{
	return 0;
}

static void host_counters_open(void)
{
}

static u64 host_cycles(void)
{
	return 0;
}

static u64 host_misses(void)
{
	return 0;
}

static void host_counters_close(void)
{
}
#endif

static void clock_read(struct itls_bench_clock *c)
{
	c->wall_ns = ktime_get_ns();
	c->cpu_ns = host_cpu_ns();
	c->cycles = host_cycles();
	c->dram_bytes = host_misses() * ITLS_BENCH_LINE;
}

static void clock_since(struct itls_bench_clock *c)
{
	struct itls_bench_clock now;

	clock_read(&now);
	c->wall_ns = now.wall_ns - c->wall_ns;
	c->cpu_ns = now.cpu_ns - c->cpu_ns;
	c->cycles = now.cycles - c->cycles;
	c->dram_bytes = now.dram_bytes - c->dram_bytes;
}

static int bench_clock(void __user *arg)
{
	struct itls_bench_clock c;

	clock_read(&c);
	return copy_to_user(arg, &c, sizeof(c)) ? -EFAULT : 0;
}

static int bench_process(struct itls_bench_process __user *arg)
{
	struct itls_bench_process p;
	struct task_struct *task;
	struct mm_struct *mm;
	struct pid *pid;

	if (!IS_ENABLED(CONFIG_UML))
		return -EOPNOTSUPP;
	if (copy_from_user(&p, arg, sizeof(p)))
		return -EFAULT;
	pid = find_get_pid(p.pid);
	task = get_pid_task(pid, PIDTYPE_PID);
	put_pid(pid);
	if (!task)
		return -ESRCH;
	mm = get_task_mm(task);
	put_task_struct(task);
	if (!mm)
		return -ESRCH;
	p.cpu_ns = host_user_ns(mm);
	mmput(mm);
	return copy_to_user(arg, &p, sizeof(p)) ? -EFAULT : 0;
}

/* ---- encryption alone ------------------------------------------------------ */

/* Pages one by one, as the page cache has them. */
struct source {
	struct page **pages;
	unsigned int nr;
};

static void source_free(struct source *s)
{
	while (s->nr)
		__free_page(s->pages[--s->nr]);
	kvfree(s->pages);
}

static int source_alloc(struct source *s, unsigned int len)
{
	unsigned int nr = len >> PAGE_SHIFT;

	s->nr = 0;
	s->pages = kvcalloc(nr, sizeof(*s->pages), GFP_KERNEL);
	if (!s->pages)
		return -ENOMEM;
	for (; s->nr < nr; s->nr++) {
		s->pages[s->nr] = alloc_page(GFP_KERNEL);
		if (!s->pages[s->nr]) {
			source_free(s);
			return -ENOMEM;
		}
		memset(page_address(s->pages[s->nr]), s->nr, PAGE_SIZE);
	}
	return 0;
}

struct ring {
	struct page *pages[RING_LEN];
};

static void ring_free(struct ring *r)
{
	int i;

	for (i = 0; i < RING_LEN; i++)
		if (r->pages[i])
			__free_pages(r->pages[i], RING_ORDER);
}

static int ring_alloc(struct ring *r)
{
	int i;

	memset(r, 0, sizeof(*r));
	for (i = 0; i < RING_LEN; i++) {
		r->pages[i] = alloc_pages(GFP_KERNEL | __GFP_COMP, RING_ORDER);
		if (!r->pages[i]) {
			ring_free(r);
			return -ENOMEM;
		}
	}
	return 0;
}

/* A record as TLS 1.3 has it: additional data, plaintext, a byte of type. */
static int encrypt_one(struct aead_request *req, struct page **from, unsigned int len,
		       struct page *to, unsigned int off, u8 *aad)
{
	struct scatterlist src[RECORD_MAX / PAGE_SIZE + 2], dst[2];
	unsigned int i, nr = len >> PAGE_SHIFT;
	DECLARE_CRYPTO_WAIT(wait);
	u8 *iv = aad + 16;

	sg_init_table(src, nr + 2);
	sg_set_buf(&src[0], aad, AAD_LEN);
	for (i = 0; i < nr; i++)
		sg_set_page(&src[1 + i], from[i], PAGE_SIZE, 0);
	sg_set_buf(&src[1 + nr], aad + 8, 1);
	sg_init_table(dst, 2);
	sg_set_buf(&dst[0], aad, AAD_LEN);
	sg_set_page(&dst[1], to, len + 1 + TAG_LEN, off);
	aead_request_set_callback(req, CRYPTO_TFM_REQ_MAY_SLEEP | CRYPTO_TFM_REQ_MAY_BACKLOG,
				  crypto_req_done, &wait);
	aead_request_set_ad(req, AAD_LEN);
	aead_request_set_crypt(req, src, dst, len + 1, iv);
	return crypto_wait_req(crypto_aead_encrypt(req), &wait);
}

static int encrypt_loop(struct aead_request *req, struct itls_bench_aead *a,
			const struct source *source, const struct ring *ring, u8 *aad)
{
	unsigned int step = a->record_len >> PAGE_SHIFT, at = 0, n = 0;
	u64 end = ktime_get_ns() + a->time_ns;
	int err = 0;

	a->bytes = 0;
	clock_read(&a->took);
	while (!err && ktime_get_ns() < end) {
		if (at + step > source->nr)
			at = 0;
		aad[16]++;
		err = encrypt_one(req, source->pages + at, a->record_len,
				  ring->pages[n++ % RING_LEN], a->dst_off, aad);
		a->bytes += a->record_len;
		at += step;
		cond_resched();
	}
	clock_since(&a->took);
	return err;
}

static int encrypt_all(struct aead_request *req, struct itls_bench_aead *a)
{
	u8 *aad = kzalloc(64, GFP_KERNEL);
	struct source source;
	struct ring ring;
	int err = -ENOMEM;

	if (!aad)
		return err;
	if (source_alloc(&source, a->buffer_len))
		goto out_aad;
	if (ring_alloc(&ring))
		goto out_source;
	err = encrypt_loop(req, a, &source, &ring, aad);
	ring_free(&ring);
out_source:
	source_free(&source);
out_aad:
	kfree(aad);
	return err;
}

static bool aead_is_sane(const struct itls_bench_aead *a)
{
	return a->record_len && a->record_len <= RECORD_MAX && !(a->record_len % PAGE_SIZE) &&
	       a->buffer_len >= a->record_len && a->buffer_len <= SOURCE_MAX &&
	       a->dst_off < PAGE_SIZE && a->key_len <= 32;
}

static int aead_with_request(struct crypto_aead *tfm, struct itls_bench_aead *a)
{
	static const u8 key[32] = { 1, 2, 3 };
	struct aead_request *req;
	int err;

	strscpy(a->driver, crypto_aead_driver_name(tfm), sizeof(a->driver));
	err = crypto_aead_setkey(tfm, key, a->key_len) ?: crypto_aead_setauthsize(tfm, TAG_LEN);
	if (err)
		return err;
	req = aead_request_alloc(tfm, GFP_KERNEL);
	if (!req)
		return -ENOMEM;
	err = encrypt_all(req, a);
	aead_request_free(req);
	return err;
}

static int bench_aead(void __user *arg)
{
	struct crypto_aead *tfm;
	struct itls_bench_aead a;
	int err;

	if (copy_from_user(&a, arg, sizeof(a)))
		return -EFAULT;
	a.name[sizeof(a.name) - 1] = 0;
	if (!aead_is_sane(&a))
		return -EINVAL;
	tfm = crypto_alloc_aead(a.name, 0, 0);
	if (IS_ERR(tfm))
		return PTR_ERR(tfm);
	err = aead_with_request(tfm, &a);
	crypto_free_aead(tfm);
	return err ?: copy_to_user(arg, &a, sizeof(a)) ? -EFAULT : 0;
}

/* ---- rows of steps ----------------------------------------------------------- */

static ssize_t call_send(struct itls_bench_step *s, struct file *file, size_t len)
{
	struct msghdr msg = { .msg_flags = s->flags | MSG_DONTWAIT | MSG_NOSIGNAL };
	int err;

	err = import_ubuf(ITER_SOURCE, u64_to_user_ptr(s->data), len, &msg.msg_iter);
	return err ?: sock_sendmsg(sock_from_file(file), &msg);
}

static ssize_t call_recv(struct itls_bench_step *s, struct file *file, size_t len)
{
	struct msghdr msg = {};
	int err;

	err = import_ubuf(ITER_DEST, u64_to_user_ptr(s->data), len, &msg.msg_iter);
	return err ?: sock_recvmsg(sock_from_file(file), &msg, s->flags | MSG_DONTWAIT);
}

static void step_send(struct itls_bench_step *s, struct file *file)
{
	ssize_t n = 0;

	for (; s->calls < s->count; s->calls++) {
		n = call_send(s, file, s->len);
		if (n < 0)
			break;
		s->bytes += n;
		if (n < s->len)
			break;
	}
	s->err = n < 0 ? -n : s->calls < s->count ? EAGAIN : 0;
}

static void step_recv(struct itls_bench_step *s, struct file *file)
{
	ssize_t n;

	do {
		n = call_recv(s, file, s->len);
		s->calls++;
		if (n > 0)
			s->bytes += n;
	} while (n == s->len);
	s->err = n < 0 ? -n : n ? 0 : EPIPE;
}

/* Begins anew where the file ends. */
static void file_wrap(struct itls_bench_step *s, struct file *from, loff_t *at)
{
	if (!(s->flags & ITLS_BENCH_WRAP) || *at < i_size_read(file_inode(from)))
		return;
	*at = 0;
	if (s->flags & ITLS_BENCH_COLD)
		vfs_fadvise(from, 0, 0, POSIX_FADV_DONTNEED);
}

/* Where in the file byte @at of the stream is, and how many follow in one piece. */
static loff_t piece_find(loff_t at, bool packets, size_t *len)
{
	size_t slot = at / ITLS_BENCH_SLOT_LEN, off = at % ITLS_BENCH_SLOT_LEN;

	if (packets) {
		*len = ITLS_BENCH_SLOT_LEN - off;
		return slot * ITLS_BENCH_SLOT + ITLS_BENCH_SLOT_AT + off;
	}
	*len = PAGE_SIZE - offset_in_page(at);
	return at;
}

/* Returns how many bytes of a file in memory are listed in @bv. */
static size_t pages_get(struct file *from, loff_t at, size_t len, bool packets,
			struct bio_vec *bv, int *nr)
{
	size_t got = 0, n;

	for (*nr = 0; got < len && *nr < SEND_PAGES; (*nr)++, got += n) {
		loff_t pos = piece_find(at + got, packets, &n);
		struct page *page = find_get_page(from->f_mapping, pos >> PAGE_SHIFT);

		if (!page)
			break;
		n = min(n, len - got);
		bvec_set_page(&bv[*nr], page, n, offset_in_page(pos));
	}
	return got;
}

/* Some of a file in memory, as sendfile() sends it but for the mark that pages are shared. */
static ssize_t send_private(struct file *from, loff_t *at, struct file *file, size_t len,
			    bool packets)
{
	struct msghdr msg = { .msg_flags = MSG_SPLICE_PAGES | MSG_NO_SHARED_FRAGS |
					   MSG_DONTWAIT | MSG_NOSIGNAL };
	struct bio_vec bv[SEND_PAGES];
	ssize_t n;
	int i, nr;

	len = min_t(size_t, len, i_size_read(file_inode(from)) - *at);
	len = pages_get(from, *at, len, packets, bv, &nr);
	iov_iter_bvec(&msg.msg_iter, ITER_SOURCE, bv, nr, len);
	n = sock_sendmsg(sock_from_file(file), &msg);
	for (i = 0; i < nr; i++)
		put_page(bv[i].bv_page);
	if (n > 0)
		*at += n;
	return n;
}

static ssize_t send_all_private(struct file *from, loff_t *at, struct file *file, size_t len,
				bool packets)
{
	size_t sent = 0;
	ssize_t n = 0;

	while (sent < len) {
		n = send_private(from, at, file, len - sent, packets);
		if (n <= 0)
			break;
		sent += n;
	}
	return sent ?: n;
}

static void step_sendfile(struct itls_bench_step *s, struct file *file)
{
	struct file *from = fget(s->other);
	loff_t at, opos = 0;
	ssize_t n;

	s->err = EBADF;
	if (!from)
		return;
	s->err = EFAULT;
	if (get_user(at, (loff_t __user *)u64_to_user_ptr(s->at)))
		goto out;
	file_wrap(s, from, &at);
	if (s->flags & ITLS_BENCH_PRIVATE)
		n = send_all_private(from, &at, file, s->len,
				     s->flags & ITLS_BENCH_PACKETS);
	else
		n = do_splice_direct(from, &at, file, &opos, s->len, 0);
	s->calls = 1;
	s->bytes = max_t(ssize_t, n, 0);
	s->err = n < 0 ? -n : 0;
	if (put_user(at, (loff_t __user *)u64_to_user_ptr(s->at)))
		s->err = EFAULT;
out:
	fput(from);
}

/* What the pipe holds goes to where it is to end. */
static ssize_t pipe_drain(struct itls_bench_step *s, struct pipe_inode_info *pipe,
			  struct file *to, size_t len)
{
	ssize_t n;

	if (to->f_pos >= FILE_MAX)
		to->f_pos = 0;
	while (len) {
		file_start_write(to);
		n = to->f_op->splice_write(pipe, to, &to->f_pos, len, SPLICE_F_MOVE);
		file_end_write(to);
		s->calls++;
		if (n <= 0)
			return n ?: -EIO;
		len -= n;
	}
	return 0;
}

/* The pipe is emptied when the socket is, or when it is full. */
static ssize_t splice_loop(struct itls_bench_step *s, struct file *file,
			   struct pipe_inode_info *pipe, struct file *to)
{
	size_t held = 0;
	loff_t at = 0;
	ssize_t n, err;

	for (;;) {
		pipe_lock(pipe);
		n = vfs_splice_read(file, &at, pipe, s->len, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
		pipe_unlock(pipe);
		s->calls++;
		if (n > 0) {
			held += n;
			s->bytes += n;
			continue;
		}
		if (!held)
			return n;
		err = pipe_drain(s, pipe, to, held);
		if (err)
			return err;
		held = 0;
	}
}

static void step_splice(struct itls_bench_step *s, struct file *file)
{
	struct file *pipe = fget(s->other), *to = fget(s->file);
	ssize_t n;

	s->err = EBADF;
	if (!pipe || !to || !S_ISFIFO(file_inode(pipe)->i_mode) || !to->f_op->splice_write)
		goto out;
	n = splice_loop(s, file, pipe->private_data, to);
	s->err = n < 0 ? -n : EPIPE;
out:
	if (to)
		fput(to);
	if (pipe)
		fput(pipe);
}

static void step_do(struct itls_bench_step *s)
{
	struct file *file = fget(s->fd);

	s->bytes = 0;
	s->calls = 0;
	s->err = ENOTSOCK;
	if (!file)
		return;
	if (sock_from_file(file) && s->op == ITLS_BENCH_SEND)
		step_send(s, file);
	else if (sock_from_file(file) && s->op == ITLS_BENCH_RECV)
		step_recv(s, file);
	else if (sock_from_file(file) && s->op == ITLS_BENCH_SENDFILE)
		step_sendfile(s, file);
	else if (sock_from_file(file) && s->op == ITLS_BENCH_SPLICE)
		step_splice(s, file);
	fput(file);
}

static int bench_steps(void __user *arg)
{
	struct itls_bench_step __user *at;
	struct itls_bench_steps row;
	struct itls_bench_step s;
	u32 i;

	if (copy_from_user(&row, arg, sizeof(row)))
		return -EFAULT;
	at = u64_to_user_ptr(row.steps);
	for (i = 0; i < row.nr; i++) {
		if (copy_from_user(&s, at + i, sizeof(s)))
			return -EFAULT;
		step_do(&s);
		if (copy_to_user(at + i, &s, sizeof(s)))
			return -EFAULT;
		if (signal_pending(current))
			return -EINTR;
		cond_resched();
	}
	return 0;
}

/* ---- the file ----------------------------------------------------------------- */

static long bench_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	void __user *to = (void __user *)arg;
	int err;

	if (cmd == ITLS_BENCH_CLOCK)
		return bench_clock(to);
	if (cmd == ITLS_BENCH_PROCESS)
		return bench_process(to);
	if (cmd == ITLS_BENCH_STEPS)
		return bench_steps(to);
	if (cmd != ITLS_BENCH_AEAD)
		return -ENOTTY;
	err = mutex_lock_interruptible(&bench_lock);
	if (err)
		return err;
	err = bench_aead(to);
	mutex_unlock(&bench_lock);
	return err;
}

static const struct proc_ops bench_ops = {
	.proc_ioctl = bench_ioctl,
	.proc_lseek = noop_llseek,
};

static int __init bench_init(void)
{
	if (!proc_create("itls_bench", 0600, NULL, &bench_ops))
		return -ENOMEM;
	host_counters_open();
	return 0;
}

static void __exit bench_exit(void)
{
	remove_proc_entry("itls_bench", NULL);
	host_counters_close();
}

module_init(bench_init);
module_exit(bench_exit);
MODULE_DESCRIPTION("Clocks and bare operations for measuring itls");
MODULE_LICENSE("GPL");
