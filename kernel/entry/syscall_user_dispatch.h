/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _KERNEL_ENTRY_SYSCALL_USER_DISPATCH_H
#define _KERNEL_ENTRY_SYSCALL_USER_DISPATCH_H

/*
 * The decision on each system call of an armed thread. It is inlined into the
 * entry code because its cost matters. The code for any verdict other than ALLOW
 * is in syscall_user_dispatch.c.
 */

#include <linux/errno.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <linux/uaccess.h>

#include <asm/ptrace.h>
#include <asm/syscall.h>

#ifdef CONFIG_SYSCALL_USER_DISPATCH

#ifndef arch_syscall_is_vdso_sigreturn
static inline bool arch_syscall_is_vdso_sigreturn(struct pt_regs *regs)
{
	return false;
}
#endif

/**
 * syscall_user_dispatch_exempt - Does a system call come from an exempt address?
 * @regs:	current's registers at the system call's entry
 *
 * Return: true if it does. The call is to be run, and the selector is not read.
 */
static __always_inline bool syscall_user_dispatch_exempt(struct pt_regs *regs)
{
	const struct syscall_user_dispatch *sd = &current->syscall_dispatch;

	return instruction_pointer(regs) - sd->exempt_start < sd->exempt_length;
}

/**
 * syscall_user_dispatch_verdict - Decide on a system call that is not exempt
 * @regs:	current's registers at the system call's entry
 *
 * Reads the selector once, or not at all. The read may fault and sleep.
 *
 * Return: SYSCALL_DISPATCH_FILTER_ALLOW if the call is to be run,
 * SYSCALL_DISPATCH_FILTER_BLOCK if it is to be dispatched. If the selector is
 * bad: the byte that it holds, or -EFAULT if it cannot be read.
 */
static __always_inline int syscall_user_dispatch_verdict(struct pt_regs *regs)
{
	u8 __user *selector = (u8 __user *)current->syscall_dispatch.selector;
	u8 byte;

	/* The kernel made the program execute this call. */
	if (arch_syscall_is_vdso_sigreturn(regs))
		return SYSCALL_DISPATCH_FILTER_ALLOW;

	if (!selector)
		return SYSCALL_DISPATCH_FILTER_BLOCK;

	/* Checks the address as well: a tracer may have set it. */
	if (unlikely(get_user(byte, selector)))
		return -EFAULT;

	if (likely(byte == SYSCALL_DISPATCH_FILTER_ALLOW))
		return SYSCALL_DISPATCH_FILTER_ALLOW;

	return byte;
}

long syscall_user_dispatch(struct pt_regs *regs, int verdict);

#else /* CONFIG_SYSCALL_USER_DISPATCH */

static inline bool syscall_user_dispatch_exempt(struct pt_regs *regs)
{
	return true;
}

#endif /* CONFIG_SYSCALL_USER_DISPATCH */

#endif /* _KERNEL_ENTRY_SYSCALL_USER_DISPATCH_H */
