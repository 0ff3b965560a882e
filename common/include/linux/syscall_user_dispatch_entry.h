/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SYSCALL_USER_DISPATCH_ENTRY_H
#define _SYSCALL_USER_DISPATCH_ENTRY_H

/*
 * The decision on each system call of a thread that uses dispatch. It is inlined
 * into the entry code because its cost matters. The consequences of a verdict
 * other than ALLOW are in kernel/entry/syscall_user_dispatch.c.
 */

#include <linux/errno.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <linux/uaccess.h>

#include <asm/ptrace.h>
#include <asm/syscall.h>

#ifndef arch_syscall_is_uprobe
static __always_inline bool arch_syscall_is_uprobe(struct pt_regs *regs)
{
	return false;
}
#endif

/**
 * syscall_user_dispatch_exempt - Does a system call come from an exempt address?
 * @regs:	current's registers at the system call's entry
 *
 * Return: true if it does. The call is to be made, and the selector is not read.
 */
static __always_inline bool syscall_user_dispatch_exempt(struct pt_regs *regs)
{
	const struct syscall_user_dispatch *sd = &current->syscall_dispatch;

	return instruction_pointer(regs) - sd->offset < sd->len;
}

/**
 * syscall_user_dispatch_verdict - Decide on a system call that is not exempt
 * @regs:	current's registers at the system call's entry
 *
 * Reads the selector once, or not at all. The read may fault and sleep.
 *
 * Return: SYSCALL_DISPATCH_FILTER_ALLOW if the call is to be made,
 * SYSCALL_DISPATCH_FILTER_BLOCK if it is to be dispatched. If the selector is
 * bad: the byte that it holds, or -EFAULT if it cannot be read.
 */
static __always_inline int syscall_user_dispatch_verdict(struct pt_regs *regs)
{
	u8 __user *selector = (u8 __user *)current->syscall_dispatch.selector;
	u8 byte;

	/* The kernel made the program execute this call. */
	if (unlikely(arch_syscall_is_vdso_sigreturn(regs) ||
		     arch_syscall_is_uprobe(regs)))
		return SYSCALL_DISPATCH_FILTER_ALLOW;

	if (unlikely(!selector))
		return SYSCALL_DISPATCH_FILTER_BLOCK;

	/* The address was checked when it was set. */
	if (unlikely(__get_user(byte, selector)))
		return -EFAULT;

	if (likely(byte == SYSCALL_DISPATCH_FILTER_ALLOW))
		return SYSCALL_DISPATCH_FILTER_ALLOW;

	return byte;
}

void syscall_user_dispatch(struct pt_regs *regs, int verdict);

#endif /* _SYSCALL_USER_DISPATCH_ENTRY_H */
