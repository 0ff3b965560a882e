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
