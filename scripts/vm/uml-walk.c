// SPDX-License-Identifier: GPL-2.0
/*
 * Put into arch/um/kernel/stacktrace.c by scripts/vm/uml. The kernel's own way
 * asks of every word on the stack whether it is an address of a module, under
 * RCU: with KASAN and kmemleak saving a stack at each allocation, nine tenths
 * of all time. Only what frame pointers reach is kept anyway, so follow these.
 */
static void itls_walk(struct task_struct *tsk, struct stack_trace *trace)
{
	struct pt_regs *regs = tsk->thread.segv_regs;
	unsigned long stack = (unsigned long)get_stack_pointer(tsk, regs) &
			      ~(THREAD_SIZE - 1);
	struct stack_frame *next = (void *)get_frame_pointer(tsk, regs);
	struct stack_frame *frame = NULL;

	while (next > frame &&
	       ((unsigned long)next & ~(THREAD_SIZE - 1)) == stack) {
		unsigned long address;

		frame = next;
		address = READ_ONCE_NOCHECK(frame->return_address);
		if (!__kernel_text_address(address))
			break;
		save_addr(trace, address, 1);
		next = (void *)READ_ONCE_NOCHECK(*(unsigned long *)&frame->next_frame);
	}
}
