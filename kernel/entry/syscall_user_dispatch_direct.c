// SPDX-License-Identifier: GPL-2.0
/*
 * Syscall User Dispatch without a signal
 *
 * A dispatched system call costs a signal frame, a handler and a sigreturn. To
 * save these, a thread can name an address at which its dispatched calls
 * continue.
 *
 * The contract with user space:
 *
 *   prctl(PR_SET_SYSCALL_USER_DISPATCH_HANDLER, handler, 0, 0, 0)
 *
 * attaches a handler to the calling thread, which must be armed. Address 0
 * detaches it. The prctl that arms or disarms the thread detaches it too, and
 * so does a tracer that disarms the thread. A tracer that arms the thread leaves
 * the handler alone. Tracers get and set it by two requests of their own.
 *
 *  - A dispatched call sends no SIGSYS. The thread continues at the handler, in
 *    the state in which the system call instruction left it. The number is in
 *    its register, and the address immediately after the instruction is where
 *    the instruction put it. The other registers, the stack, the signal mask and
 *    the selector are unchanged. The handler returns by a jump to that address.
 *
 *  - If the instruction leaves no register for the address, the call raises
 *    SIGSYS.
 *
 *  - The call is over when the handler begins. A signal is delivered before the
 *    handler's first instruction, and does not restart the call. Tracers find -1
 *    as its number.
 *
 *  - A tracer's single step over the instruction ends at the handler's first
 *    instruction.
 */

#include <linux/errno.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <linux/syscall_user_dispatch.h>
#include <linux/uaccess.h>

/**
 * syscall_user_dispatch_set_handler - Attach or detach a thread's handler
 * @tsk:	current, or a stopped tracee
 * @handler:	address at which dispatched calls of @tsk continue, or 0 for
 *		SIGSYS
 *
 * Return: 0 on success. On error the former handler stays attached. If @handler
 * is not 0: -EINVAL if @tsk is not armed; -EPERM if the sysctl forbids dispatch;
 * -EFAULT if @handler is not a user space address.
 */
int syscall_user_dispatch_set_handler(struct task_struct *tsk,
				      unsigned long handler)
{
	if (handler) {
		if (tsk->syscall_dispatch.mode == PR_SYS_DISPATCH_OFF)
			return -EINVAL;
		if (!READ_ONCE(sysctl_syscall_user_dispatch))
			return -EPERM;
		if (handler >= TASK_SIZE_MAX)
			return -EFAULT;
	}

	tsk->syscall_dispatch.handler = handler;
	return 0;
}

/**
 * syscall_user_dispatch_ptrace_get_handler - Let a tracer get the handler
 * @tsk:	the tracee, stopped
 * @size:	size of *@data in bytes, as the tracer knows it
 * @data:	receives the address of the handler, or 0 if there is none
 *
 * Return: 0; -EINVAL if @size is wrong; -EFAULT if @data cannot be written.
 */
int syscall_user_dispatch_ptrace_get_handler(struct task_struct *tsk,
					     unsigned long size,
					     __u64 __user *data)
{
	if (size != sizeof(*data))
		return -EINVAL;

	return put_user((__u64)tsk->syscall_dispatch.handler, data);
}

/**
 * syscall_user_dispatch_ptrace_set_handler - Let a tracer set the handler
 * @tsk:	the tracee, stopped
 * @size:	size of *@data in bytes, as the tracer knows it
 * @data:	the address of the handler, or 0 to detach it
 *
 * Return: 0; -EINVAL if @size is wrong; -EFAULT if @data cannot be read;
 * otherwise as syscall_user_dispatch_set_handler().
 */
int syscall_user_dispatch_ptrace_set_handler(struct task_struct *tsk,
					     unsigned long size,
					     const __u64 __user *data)
{
	__u64 handler;

	if (size != sizeof(*data))
		return -EINVAL;
	if (get_user(handler, data))
		return -EFAULT;

	return syscall_user_dispatch_set_handler(tsk, handler);
}
