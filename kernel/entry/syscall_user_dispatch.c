// SPDX-License-Identifier: GPL-2.0
/*
 * Syscall User Dispatch: hand a thread's system calls back to user space
 *
 * Some programs run code that was made for another operating system in their
 * own address space. They have to catch the system calls of that code, while
 * their own calls run at full speed. Two things tell the calls apart: the
 * address that a call comes from, and a byte in the program's memory. The
 * program flips the byte when it enters and leaves the foreign code, which costs
 * no system call.
 *
 * The contract with user space:
 *
 *   prctl(PR_SET_SYSCALL_USER_DISPATCH, op, offset, length, selector)
 *
 * arms the calling thread or, with PR_SYS_DISPATCH_OFF, disarms it. It takes
 * effect at the thread's next system call. The instruction pointer of a call is
 * the address immediately after the system call instruction.
 *
 *  - With PR_SYS_DISPATCH_EXCLUSIVE_ON, calls whose instruction pointer lies in
 *    [offset, offset + length) are exempt. With PR_SYS_DISPATCH_INCLUSIVE_ON,
 *    calls from all other addresses are exempt. An exempt call is run, and the
 *    selector is not read.
 *
 *  - Any other call is run if the byte at @selector reads
 *    SYSCALL_DISPATCH_FILTER_ALLOW. It is dispatched if the byte reads
 *    SYSCALL_DISPATCH_FILTER_BLOCK, or if @selector is NULL. Any other byte
 *    ends the process with SIGSYS. A byte that cannot be read ends it with
 *    SIGSEGV. Neither signal can be caught.
 *
 *  - A dispatched call is not run, and no tracer, seccomp filter, tracepoint or
 *    audit rule sees it. The thread gets a SIGSYS with si_code
 *    SYS_USER_DISPATCH. Its handler finds the registers as they were at the
 *    system call instruction, except those that the instruction itself changes.
 *
 *  - A new thread or process starts with dispatch off. A successful execve()
 *    turns dispatch off.
 *
 * This is no security mechanism: the thread can flip its own byte.
 */

#include <linux/kernel.h>
#include <linux/prctl.h>
#include <linux/ptrace.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/string.h>
#include <linux/syscall_user_dispatch.h>
#include <linux/uaccess.h>

#include <asm/syscall.h>

#include "syscall_user_dispatch.h"

/* kernel.syscall_user_dispatch: 0 forbids arming. Armed threads stay armed. */
int sysctl_syscall_user_dispatch __read_mostly = 1;

/* End the process with a signal that it can neither catch nor block. */
static void __noreturn syscall_user_dispatch_die(struct pt_regs *regs, int sig)
{
	kernel_siginfo_t info;

	/* The core dump shows the registers as the program had them. */
	syscall_rollback(current, regs);

	clear_siginfo(&info);
	info.si_signo = sig;
	info.si_code = SI_KERNEL;
	do_fatal_signal(&info);
	unreachable();
}

/* Do not make the call: it returns its own number, and its exit is hidden. */
static void syscall_user_dispatch_skip(struct pt_regs *regs)
{
	syscall_rollback(current, regs);
	set_thread_flag(TIF_SYSCALL_HIDE_EXIT);
}

/* Not inlined, so that the caller needs no stack frame. */
static noinline void syscall_user_dispatch_raise(struct pt_regs *regs)
{
	kernel_siginfo_t info;

	clear_siginfo(&info);
	info.si_signo = SIGSYS;
	info.si_code = SYS_USER_DISPATCH;
	info.si_call_addr = (void __user *)instruction_pointer(regs);
	info.si_arch = syscall_get_arch(current);
	info.si_syscall = syscall_get_nr(current, regs);
	force_sig_info(&info);
}

/**
 * syscall_user_dispatch - Carry out a verdict other than ALLOW
 * @regs:	current's registers at the system call's entry
 * @verdict:	return value of syscall_user_dispatch_verdict()
 *
 * Does not return if the selector is bad.
 *
 * Return: -1. The caller neither runs the call nor reports it: it was
 * dispatched, or a fatal signal interrupted the read of the selector.
 */
long syscall_user_dispatch(struct pt_regs *regs, int verdict)
{
	switch (verdict) {
	case SYSCALL_DISPATCH_FILTER_BLOCK:
		syscall_user_dispatch_skip(regs);
		syscall_user_dispatch_raise(regs);
		return -1;

	case -EFAULT:
		/* The selector is not to blame if a fatal signal came. */
		if (!fatal_signal_pending(current))
			syscall_user_dispatch_die(regs, SIGSEGV);
		syscall_user_dispatch_skip(regs);
		return -1;

	default:
		syscall_user_dispatch_die(regs, SIGSYS);
	}
}

/**
 * clear_syscall_work_syscall_user_dispatch - Turn dispatch off
 * @tsk:	current, a child that does not run yet, or a stopped tracee
 *
 * Erases the old configuration.
 */
void clear_syscall_work_syscall_user_dispatch(struct task_struct *tsk)
{
	if (!test_tsk_thread_flag(tsk, TIF_SYSCALL_USER_DISPATCH))
		return;

	clear_tsk_thread_flag(tsk, TIF_SYSCALL_USER_DISPATCH);
	memset(&tsk->syscall_dispatch, 0, sizeof(tsk->syscall_dispatch));
}

/* Like set_syscall_user_dispatch(), for current or a stopped tracee. */
static int task_set_syscall_user_dispatch(struct task_struct *tsk,
					  unsigned long mode,
					  unsigned long offset,
					  unsigned long len,
					  char __user *selector)
{
	struct syscall_user_dispatch sd = {
		.selector	= selector,
		.mode		= mode,
	};

	switch (mode) {
	case PR_SYS_DISPATCH_OFF:
		if (offset || len || selector)
			return -EINVAL;
		clear_syscall_work_syscall_user_dispatch(tsk);
		return 0;

	case PR_SYS_DISPATCH_EXCLUSIVE_ON:
		/* At offset 0 every length is valid: (0, 0) exempts nothing. */
		if (offset && offset + len <= offset)
			return -EINVAL;
		sd.exempt_start = offset;
		sd.exempt_length = len;
		break;

	case PR_SYS_DISPATCH_INCLUSIVE_ON:
		if (offset + len <= offset)
			return -EINVAL;
		/* The complement, which wraps around at the end of memory */
		sd.exempt_start = offset + len;
		sd.exempt_length = -len;
		break;

	default:
		return -EINVAL;
	}

	if (!READ_ONCE(sysctl_syscall_user_dispatch))
		return -EPERM;

	if (!access_ok(selector, sizeof(*selector)))
		return -EFAULT;

	tsk->syscall_dispatch = sd;
	set_tsk_thread_flag(tsk, TIF_SYSCALL_USER_DISPATCH);
	return 0;
}

/**
 * set_syscall_user_dispatch - PR_SET_SYSCALL_USER_DISPATCH
 * @mode:	PR_SYS_DISPATCH_OFF, PR_SYS_DISPATCH_EXCLUSIVE_ON or
 *		PR_SYS_DISPATCH_INCLUSIVE_ON
 * @offset:	start of the region
 * @len:	length of the region in bytes
 * @selector:	address of the selector byte, or NULL
 *
 * Takes effect at current's next system call.
 *
 * Return: 0 on success. On error the former configuration stays in force:
 * -EINVAL for an unknown @mode, for a region that is empty or wraps around where
 * @mode does not allow that, or for arguments to PR_SYS_DISPATCH_OFF; -EPERM if
 * @mode arms the thread and the sysctl forbids that; -EFAULT if @selector is not
 * a user space address.
 */
int set_syscall_user_dispatch(unsigned long mode, unsigned long offset,
			      unsigned long len, char __user *selector)
{
	return task_set_syscall_user_dispatch(current, mode, offset, len,
					      selector);
}

/**
 * syscall_user_dispatch_get_config - PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG
 * @tsk:	the tracee, stopped
 * @size:	size of *@data in bytes, as the tracer knows it
 * @data:	receives the configuration as it was set, all zero if off
 *
 * Return: 0; -EINVAL if @size is wrong; -EFAULT if @data cannot be written.
 */
int syscall_user_dispatch_get_config(struct task_struct *tsk,
				     unsigned long size, void __user *data)
{
	const struct syscall_user_dispatch *sd = &tsk->syscall_dispatch;
	struct ptrace_sud_config config = {
		.mode		= sd->mode,
		.selector	= (unsigned long)sd->selector,
		.offset		= sd->exempt_start,
		.len		= sd->exempt_length,
	};

	/* See task_set_syscall_user_dispatch(). */
	if (sd->mode == PR_SYS_DISPATCH_INCLUSIVE_ON) {
		config.offset = sd->exempt_start + sd->exempt_length;
		config.len = -sd->exempt_length;
	}

	if (size != sizeof(config))
		return -EINVAL;
	if (copy_to_user(data, &config, sizeof(config)))
		return -EFAULT;
	return 0;
}

/**
 * syscall_user_dispatch_set_config - PTRACE_SET_SYSCALL_USER_DISPATCH_CONFIG
 * @tsk:	the tracee, stopped
 * @size:	size of *@data in bytes, as the tracer knows it
 * @data:	the configuration
 *
 * Return: 0; -EINVAL if @size is wrong, or for a value that is too large for
 * this kernel; -EFAULT if @data cannot be read; otherwise as
 * set_syscall_user_dispatch().
 */
int syscall_user_dispatch_set_config(struct task_struct *tsk,
				     unsigned long size, void __user *data)
{
	struct ptrace_sud_config config;

	if (size != sizeof(config))
		return -EINVAL;
	if (copy_from_user(&config, data, sizeof(config)))
		return -EFAULT;

	/* A 32-bit kernel must not truncate a value. */
	if ((unsigned long)config.mode != config.mode ||
	    (unsigned long)config.offset != config.offset ||
	    (unsigned long)config.len != config.len)
		return -EINVAL;
	/* An address that does not fit is no user space address either. */
	if ((unsigned long)config.selector != config.selector)
		config.selector = ULONG_MAX;

	return task_set_syscall_user_dispatch(tsk, config.mode, config.offset,
					      config.len,
					      u64_to_user_ptr(config.selector));
}
