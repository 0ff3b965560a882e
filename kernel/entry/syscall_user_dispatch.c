// SPDX-License-Identifier: GPL-2.0
/*
 * Syscall User Dispatch: hand a thread's system calls back to user space
 *
 * A program that runs foreign code in its own address space, made for another
 * operating system, has to catch the system calls of that code, and wants its
 * own to run at full speed. The two are told apart by where the call comes
 * from, and by a byte in the program's memory that it flips on the way in and
 * out of the foreign code, which costs no system call.
 *
 * The contract with user space:
 *
 *   prctl(PR_SET_SYSCALL_USER_DISPATCH, op, offset, length, selector)
 *
 * arms (or, with PR_SYS_DISPATCH_OFF, disarms) the calling thread. From its
 * next system call on, whose instruction pointer is the address behind the
 * system call instruction:
 *
 *  - A call is run, and the selector is not read, when the instruction pointer
 *    lies in [offset, offset + length) with PR_SYS_DISPATCH_EXCLUSIVE_ON, or
 *    outside of it with PR_SYS_DISPATCH_INCLUSIVE_ON.
 *
 *  - Otherwise, a call is run when the byte at @selector reads
 *    SYSCALL_DISPATCH_FILTER_ALLOW. It is dispatched when the byte reads
 *    SYSCALL_DISPATCH_FILTER_BLOCK, or when @selector is NULL. Any other byte
 *    ends the process with SIGSYS, and one that cannot be read with SIGSEGV;
 *    neither can be caught.
 *
 *  - To be dispatched means: the call is not run, no tracer, seccomp filter,
 *    tracepoint or audit rule gets to see it, and the thread is sent a SIGSYS
 *    with si_code SYS_USER_DISPATCH. The handler finds the registers as they
 *    were at the system call instruction, but for those that the instruction
 *    itself changes.
 *
 *  - A child, whichever way it came into being, starts with dispatch off, and
 *    a successful execve() turns it off.
 *
 * It is no security mechanism: the thread can flip its own byte.
 */

#include <linux/coredump.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/string.h>
#include <linux/syscall_user_dispatch.h>
#include <linux/uaccess.h>

#include <asm/ptrace.h>
#include <asm/syscall.h>

#include "syscall_user_dispatch.h"

#ifndef arch_is_vdso_sigreturn
static inline bool arch_is_vdso_sigreturn(struct pt_regs *regs)
{
	return false;
}
#endif

/*
 * End the process with a signal that it can neither catch nor block. There is
 * no call that forces such a signal, so dump core and exit by hand.
 */
static void __noreturn syscall_user_dispatch_die(struct pt_regs *regs, int sig)
{
	kernel_siginfo_t info;

	/* The dump shows the registers as the program had them. */
	syscall_rollback(current, regs);

	clear_siginfo(&info);
	info.si_signo = sig;
	info.si_code = SI_KERNEL;
	do_coredump(&info);
	do_group_exit(sig);
	unreachable();
}

/* The call is not made, and that is nobody else's business. */
static void syscall_user_dispatch_skip(struct pt_regs *regs)
{
	/* If nobody changes that, the call returns its own number. */
	syscall_rollback(current, regs);
	set_thread_flag(TIF_SYSCALL_HIDE_EXIT);
}

static void syscall_user_dispatch_raise(struct pt_regs *regs)
{
	kernel_siginfo_t info;

	/* First, so that the compiler need not clear it as well. */
	clear_siginfo(&info);
	syscall_user_dispatch_skip(regs);

	info.si_signo = SIGSYS;
	info.si_code = SYS_USER_DISPATCH;
	info.si_call_addr = (void __user *)instruction_pointer(regs);
	info.si_arch = syscall_get_arch(current);
	info.si_syscall = syscall_get_nr(current, regs);
	force_sig_info(&info);
}

/**
 * syscall_user_dispatch - Dispatch a system call that the selector did not allow
 * @regs:	current's registers at the system call's entry
 * @selector:	what syscall_user_dispatch_selector() returned, not ALLOW
 *
 * Does not return if the selector is bad.
 *
 * Return: false if the call is to be run after all. True if it was dispatched:
 * SIGSYS is on its way, and the caller neither runs the call nor reports it to
 * anyone; likewise if the thread was killed while the selector was read.
 */
bool syscall_user_dispatch(struct pt_regs *regs, int selector)
{
	/*
	 * The kernel put this call into the program's way, so the program
	 * cannot be expected to have its selector in order.
	 */
	if (arch_is_vdso_sigreturn(regs))
		return false;

	if (likely(selector == SYSCALL_DISPATCH_FILTER_BLOCK)) {
		syscall_user_dispatch_raise(regs);
		return true;
	}

	if (selector >= 0)
		syscall_user_dispatch_die(regs, SIGSYS);

	/*
	 * A fatal signal cuts the read short when it sleeps. Then the selector
	 * is not to blame, and the signal ends the thread.
	 */
	if (!fatal_signal_pending(current))
		syscall_user_dispatch_die(regs, SIGSEGV);

	syscall_user_dispatch_skip(regs);
	return true;
}

/**
 * syscall_user_dispatch_off - Turn dispatch off
 * @tsk:	current, a child that does not run yet, or a stopped tracee
 *
 * Leaves nothing behind of the old configuration.
 */
void syscall_user_dispatch_off(struct task_struct *tsk)
{
	if (!test_tsk_thread_flag(tsk, TIF_SYSCALL_USER_DISPATCH))
		return;

	clear_tsk_thread_flag(tsk, TIF_SYSCALL_USER_DISPATCH);
	memset(&tsk->syscall_dispatch, 0, sizeof(tsk->syscall_dispatch));
}

/**
 * syscall_user_dispatch_set - Replace a thread's configuration
 * @tsk:	current, or a stopped tracee
 * @mode:	PR_SYS_DISPATCH_OFF, PR_SYS_DISPATCH_EXCLUSIVE_ON or
 *		PR_SYS_DISPATCH_INCLUSIVE_ON
 * @offset:	start of the region
 * @length:	length of the region in bytes
 * @selector:	address of the selector byte, or 0
 *
 * Takes effect at the next system call of @tsk.
 *
 * Return: 0, or, with the former configuration still in force: -EINVAL for an
 * unknown @mode, a region that is empty or wraps around where the mode does not
 * allow that, or arguments to PR_SYS_DISPATCH_OFF; -EFAULT for a @selector that
 * is not a user space address.
 */
int syscall_user_dispatch_set(struct task_struct *tsk, unsigned long mode,
			      unsigned long offset, unsigned long length,
			      unsigned long selector)
{
	struct syscall_user_dispatch sd = {
		.selector	= (char __user *)selector,
		.mode		= mode,
	};

	switch (mode) {
	case PR_SYS_DISPATCH_OFF:
		if (offset || length || selector)
			return -EINVAL;
		syscall_user_dispatch_off(tsk);
		return 0;

	case PR_SYS_DISPATCH_EXCLUSIVE_ON:
		/* From 0 on, no region is wrong: (0, 0) exempts nothing. */
		if (offset && offset + length <= offset)
			return -EINVAL;
		sd.exempt_start = offset;
		sd.exempt_length = length;
		break;

	case PR_SYS_DISPATCH_INCLUSIVE_ON:
		if (offset + length <= offset)
			return -EINVAL;
		/* What lies outside of the region, around the end of memory */
		sd.exempt_start = offset + length;
		sd.exempt_length = -length;
		break;

	default:
		return -EINVAL;
	}

	if (!access_ok(sd.selector, sizeof(*sd.selector)))
		return -EFAULT;

	tsk->syscall_dispatch = sd;
	set_tsk_thread_flag(tsk, TIF_SYSCALL_USER_DISPATCH);
	return 0;
}
