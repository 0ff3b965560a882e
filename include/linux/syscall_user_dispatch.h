/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _LINUX_SYSCALL_USER_DISPATCH_H
#define _LINUX_SYSCALL_USER_DISPATCH_H

/*
 * Syscall User Dispatch, the kernel's side of
 * prctl(PR_SET_SYSCALL_USER_DISPATCH). What user space is promised stands in
 * kernel/entry/syscall_user_dispatch.c.
 *
 * An architecture selects ARCH_SUPPORTS_SYSCALL_USER_DISPATCH when it has
 *
 * TIF_SYSCALL_USER_DISPATCH	set while a thread is armed; sends its system
 *				calls to the slow entry path
 * TIF_SYSCALL_HIDE_EXIT	set by a dispatch, cleared by the exit of that
 *				very system call; sends it to the slow exit
 *				path, where it stops
 * syscall_get_nr(), syscall_get_arch(), syscall_rollback()
 *				of <asm/syscall.h>
 * instruction_pointer()	which points behind the system call instruction
 * SIGSYS siginfo_t support
 *
 * and optionally, by a define in <asm/syscall.h>,
 *
 * arch_is_vdso_sigreturn()	for a vDSO whose code ends signal handlers; such
 *				a call is never dispatched
 *
 * The generic entry code does the rest. An architecture that does not use it
 * does as syscall_enter_work() of kernel/entry/common.c when the flag is set,
 * before any other user of system call entry, and asks
 * syscall_user_dispatch_hide_exit() before any other user of system call exit.
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
 * All of it is zero while dispatch is off. A system call whose instruction
 * pointer is less than @exempt_length above @exempt_start, wrapping around at
 * the end of the address space, is run without a look at the selector.
 *
 * With PR_SYS_DISPATCH_INCLUSIVE_ON, what is exempt is the complement of the
 * region that the user passed.
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

int syscall_user_dispatch_set(struct task_struct *tsk, unsigned long mode,
			      unsigned long offset, unsigned long length,
			      unsigned long selector);
void syscall_user_dispatch_off(struct task_struct *tsk);

/**
 * syscall_user_dispatch_hide_exit - Is this the exit of a dispatched call?
 * @ti_work:	current's work flags
 *
 * A call that was dispatched was entered in nobody's eyes, so nobody may see
 * it return. Forgets the mark, so that it hides this exit only.
 *
 * Return: True if the exit must be reported to no one.
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

static inline int syscall_user_dispatch_set(struct task_struct *tsk,
					    unsigned long mode,
					    unsigned long offset,
					    unsigned long length,
					    unsigned long selector)
{
	return -EINVAL;
}

static inline void syscall_user_dispatch_off(struct task_struct *tsk)
{
}

static inline bool syscall_user_dispatch_hide_exit(unsigned long ti_work)
{
	return false;
}

#endif /* CONFIG_SYSCALL_USER_DISPATCH */

#endif /* _LINUX_SYSCALL_USER_DISPATCH_H */
