/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _LINUX_SYSCALL_USER_DISPATCH_H
#define _LINUX_SYSCALL_USER_DISPATCH_H

/*
 * Syscall User Dispatch, the kernel's side of
 * prctl(PR_SET_SYSCALL_USER_DISPATCH). The contract with user space is in
 * kernel/entry/syscall_user_dispatch.c.
 *
 * An architecture selects ARCH_SUPPORTS_SYSCALL_USER_DISPATCH when it has
 *
 * TIF_SYSCALL_USER_DISPATCH	set while a thread is armed; sends its system
 *				calls to the slow entry path
 * TIF_SYSCALL_HIDE_EXIT	set by a dispatch and cleared by the exit of the
 *				same system call; sends it to the slow exit
 *				path, which then reports nothing
 * syscall_get_nr(), syscall_get_arch(), syscall_rollback()
 *				of <asm/syscall.h>
 * instruction_pointer()	which is the address immediately after the
 *				system call instruction
 * SIGSYS siginfo_t support
 *
 * and optionally, by a define in <asm/syscall.h>,
 *
 * arch_syscall_is_vdso_sigreturn()
 *				for a vDSO whose code ends signal handlers; such
 *				a call is never dispatched
 *
 * The generic entry code does the rest. An architecture that does not use it
 * must decide like __syscall_enter_from_user_work() of kernel/entry/common.c,
 * before any other work on system call entry. It must call
 * syscall_user_dispatch_hide_exit() before any other work on system call exit.
 */

#include <linux/compiler.h>
#include <linux/errno.h>
#include <linux/thread_info.h>

struct pt_regs;
struct task_struct;

#ifdef CONFIG_SYSCALL_USER_DISPATCH

/**
 * struct syscall_user_dispatch - A thread's configuration
 * @exempt_start:	start of the exempt addresses
 * @exempt_length:	number of exempt addresses
 * @selector:	address of the selector byte, or NULL
 * @mode:	PR_SYS_DISPATCH_*, as passed by the user
 *
 * All of it is zero while dispatch is off. A call is exempt if its instruction
 * pointer is less than @exempt_length above @exempt_start, modulo the size of
 * the address space. With PR_SYS_DISPATCH_INCLUSIVE_ON the exempt addresses are
 * the complement of the region that the user passed.
 */
struct syscall_user_dispatch {
	unsigned long	exempt_start;
	unsigned long	exempt_length;
	char __user	*selector;
	unsigned long	mode;
};

/* Work flags for the entry and the exit of a system call. */
#define SYSCALL_DISPATCH_ENTER_WORK	_TIF_SYSCALL_USER_DISPATCH
#define SYSCALL_DISPATCH_EXIT_WORK	_TIF_SYSCALL_HIDE_EXIT

/* kernel.syscall_user_dispatch */
extern int sysctl_syscall_user_dispatch;

int set_syscall_user_dispatch(unsigned long mode, unsigned long offset,
			      unsigned long len, char __user *selector);
void clear_syscall_work_syscall_user_dispatch(struct task_struct *tsk);
int syscall_user_dispatch_get_config(struct task_struct *tsk,
				     unsigned long size, void __user *data);
int syscall_user_dispatch_set_config(struct task_struct *tsk,
				     unsigned long size, void __user *data);

/**
 * syscall_user_dispatch_hide_exit - Is this the exit of a dispatched call?
 * @ti_work:	current's work flags
 *
 * The entry of a dispatched call was not reported, so its exit must not be
 * reported either. Clears the mark, so that it hides this exit only.
 *
 * Return: true if the exit must not be reported.
 */
static inline bool syscall_user_dispatch_hide_exit(unsigned long ti_work)
{
	if (likely(!(ti_work & SYSCALL_DISPATCH_EXIT_WORK)))
		return false;

	clear_thread_flag(TIF_SYSCALL_HIDE_EXIT);
	return true;
}

#else /* CONFIG_SYSCALL_USER_DISPATCH */

struct syscall_user_dispatch { };

#define SYSCALL_DISPATCH_ENTER_WORK	0
#define SYSCALL_DISPATCH_EXIT_WORK	0

static inline int set_syscall_user_dispatch(unsigned long mode,
					    unsigned long offset,
					    unsigned long len,
					    char __user *selector)
{
	return -EINVAL;
}

static inline void
clear_syscall_work_syscall_user_dispatch(struct task_struct *tsk)
{
}

static inline bool syscall_user_dispatch_hide_exit(unsigned long ti_work)
{
	return false;
}

#endif /* CONFIG_SYSCALL_USER_DISPATCH */

#endif /* _LINUX_SYSCALL_USER_DISPATCH_H */
