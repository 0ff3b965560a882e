// SPDX-License-Identifier: GPL-2.0
/*
 * Syscall User Dispatch without a signal
 *
 * A dispatched system call costs a signal frame, a handler and a sigreturn. A
 * thread that wants none of these names an address, and such a call goes on
 * there.
 *
 * The contract with user space:
 *
 *   prctl(PR_SET_SYSCALL_USER_DISPATCH_HANDLER, handler, 0, 0, 0)
 *
 * attaches a handler to the calling thread, which must be armed. Address 0
 * detaches it, and so does whatever arms or disarms the thread.
 *
 *  - Where a system call would be dispatched, the thread goes on at the handler
 *    instead, in the state in which the system call instruction left it: the
 *    number is in the register that it was in, the address behind the
 *    instruction where the instruction has put it. All else is as it was:
 *    registers, stack, signal mask, selector. The handler goes back by a jump
 *    to that address.
 *
 *  - A call by an instruction that leaves no register for the address raises
 *    SIGSYS as ever.
 *
 *  - The call counts as over. A signal is delivered at the handler's first
 *    instruction, and does not restart it. Tracers find -1 for its number.
 *
 *  - A tracer's single step over the instruction ends at the handler's first
 *    instruction.
 */

#include <linux/errno.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <linux/syscall_user_dispatch.h>
#include <linux/uaccess.h>

#include "syscall_user_dispatch.h"

static bool is_user_address(unsigned long address)
{
	return access_ok((void __user *)address, 1);
}

/**
 * syscall_user_dispatch_set_handler - PR_SET_SYSCALL_USER_DISPATCH_HANDLER
 * @handler:	where dispatched calls of current go on, or 0 for SIGSYS
 * @flags:	must be 0
 *
 * Return: 0; -EINVAL for @flags, or for a @handler while current is not armed;
 * -EPERM for a @handler if the administrator forbids dispatch; -EFAULT if
 * @handler is not a user space address.
 */
int syscall_user_dispatch_set_handler(unsigned long handler,
				      unsigned long flags)
{
	if (flags)
		return -EINVAL;

	if (handler) {
		if (!test_thread_flag(TIF_SYSCALL_USER_DISPATCH))
			return -EINVAL;
		if (!READ_ONCE(sysctl_syscall_user_dispatch))
			return -EPERM;
		if (!is_user_address(handler))
			return -EFAULT;
	}

	current->syscall_dispatch.handler = handler;
	return 0;
}

/**
 * syscall_user_dispatch_get_config_direct - The configuration, with the handler
 * @tsk:	the tracee, stopped
 * @size:	the size of *@data in bytes, as the tracer knows it
 * @data:	receives a struct ptrace_sud_config_direct, all zero if off
 *
 * Return: 0; -EINVAL if @size is wrong; -EFAULT if @data cannot be written.
 */
int syscall_user_dispatch_get_config_direct(struct task_struct *tsk,
					    unsigned long size,
					    void __user *data)
{
	struct ptrace_sud_config_direct __user *direct = data;
	int ret;

	if (size != sizeof(*direct))
		return -EINVAL;

	ret = syscall_user_dispatch_get_config(tsk, sizeof(direct->config),
					       &direct->config);
	if (ret)
		return ret;

	return put_user((__u64)tsk->syscall_dispatch.handler, &direct->handler);
}

static int set_tracee_handler(struct task_struct *tsk, __u64 handler)
{
	if (!handler)
		return 0;
	if (!test_tsk_thread_flag(tsk, TIF_SYSCALL_USER_DISPATCH))
		return -EINVAL;
	if (!is_user_address(handler))
		return -EFAULT;

	tsk->syscall_dispatch.handler = handler;
	return 0;
}

/**
 * syscall_user_dispatch_set_config_direct - Set all, with the handler
 * @tsk:	the tracee, stopped
 * @size:	the size of *@data in bytes, as the tracer knows it
 * @data:	a struct ptrace_sud_config_direct
 *
 * Return: 0, or, with the former configuration still in force: -EINVAL if
 * @size is wrong, or for a handler with PR_SYS_DISPATCH_OFF; -EFAULT for one
 * that is not a user space address, or if @data cannot be read; otherwise as
 * syscall_user_dispatch_set_config().
 */
int syscall_user_dispatch_set_config_direct(struct task_struct *tsk,
					    unsigned long size,
					    const void __user *data)
{
	const struct ptrace_sud_config_direct __user *direct = data;
	const struct syscall_user_dispatch former = tsk->syscall_dispatch;
	__u64 handler;
	int ret;

	if (size != sizeof(*direct))
		return -EINVAL;
	if (get_user(handler, &direct->handler))
		return -EFAULT;

	ret = syscall_user_dispatch_set_config(tsk, sizeof(direct->config),
					       &direct->config);
	if (ret)
		return ret;

	ret = set_tracee_handler(tsk, handler);
	if (ret) {
		tsk->syscall_dispatch = former;
		update_tsk_thread_flag(tsk, TIF_SYSCALL_USER_DISPATCH,
				       former.mode != PR_SYS_DISPATCH_OFF);
	}
	return ret;
}
