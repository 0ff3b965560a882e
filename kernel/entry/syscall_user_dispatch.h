/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _KERNEL_ENTRY_SYSCALL_USER_DISPATCH_H
#define _KERNEL_ENTRY_SYSCALL_USER_DISPATCH_H

/*
 * What each system call of an armed thread goes through, on its way to be run.
 * It is inlined into the entry code because its cost is the point: all that is
 * not for calls that are run stands in syscall_user_dispatch.c.
 */

#include <linux/prctl.h>
#include <linux/sched.h>
#include <linux/uaccess.h>

#include <asm/ptrace.h>

#ifdef CONFIG_SYSCALL_USER_DISPATCH

/**
 * syscall_user_dispatch_exempt - Is this call run whatever the selector says?
 * @regs:	current's registers at the system call's entry
 *
 * Return: true if the call comes from an exempt address.
 */
static __always_inline bool syscall_user_dispatch_exempt(struct pt_regs *regs)
{
	const struct syscall_user_dispatch *sd = &current->syscall_dispatch;

	return instruction_pointer(regs) - sd->exempt_start < sd->exempt_length;
}

/**
 * syscall_user_dispatch_selector - Read the selector
 *
 * May sleep. The address was checked when it was set, but maybe by a tracer. So
 * get_user() it is, which checks, and masks the address instead of raising a
 * barrier against speculation.
 *
 * Return: the byte, SYSCALL_DISPATCH_FILTER_BLOCK if there is none to be read,
 * or -EFAULT if it cannot be.
 */
static __always_inline int syscall_user_dispatch_selector(void)
{
	u8 __user *selector = (u8 __user *)current->syscall_dispatch.selector;
	int fault, byte;

	if (!selector)
		return SYSCALL_DISPATCH_FILTER_BLOCK;

	/* If there is a fault, the byte is zero. */
	fault = get_user(byte, selector);
	return fault | byte;
}

bool syscall_user_dispatch(struct pt_regs *regs, int selector);

#endif /* CONFIG_SYSCALL_USER_DISPATCH */

#endif /* _KERNEL_ENTRY_SYSCALL_USER_DISPATCH_H */
