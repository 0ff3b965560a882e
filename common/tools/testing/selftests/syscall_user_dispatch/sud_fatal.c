// SPDX-License-Identifier: GPL-2.0
/*
 * A bad selector ends the process. A tracer that follows system calls sees the
 * end of the process next: not the exit of a call whose entry it did not see.
 * The registers are those of the call, as after any other fatal signal.
 */

#define _GNU_SOURCE
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/prctl.h>
#include <linux/ptrace.h>

#include "../kselftest_harness.h"

/* The call that meets the bad selector. It does not exist. */
#define MAGIC_SYSCALL	0xff00

static long sys_ptrace(int request, pid_t pid, unsigned long addr, void *data)
{
	return syscall(__NR_ptrace, request, pid, addr, data);
}

FIXTURE(bad_selector)
{
	pid_t tracee;
	char *selector;
};

FIXTURE_VARIANT(bad_selector)
{
	bool unmapped;
	int signal;
};

FIXTURE_VARIANT_ADD(bad_selector, unknown_value)
{
	.unmapped = false,
	.signal = SIGSYS,
};

FIXTURE_VARIANT_ADD(bad_selector, unmapped)
{
	.unmapped = true,
	.signal = SIGSEGV,
};

static void tracee(char *selector)
{
	if (sys_ptrace(PTRACE_TRACEME, 0, 0, NULL))
		_exit(1);
	kill(getpid(), SIGSTOP);
	if (prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, 0, 0,
		  selector))
		_exit(2);
	syscall(MAGIC_SYSCALL);
	_exit(3);
}

/* Return: the status of the tracee at its next stop, or -1. */
static int next_stop(pid_t pid)
{
	int status;

	if (sys_ptrace(PTRACE_SYSCALL, pid, 0, NULL) ||
	    waitpid(pid, &status, 0) != pid)
		return -1;
	return status;
}

FIXTURE_SETUP(bad_selector)
{
	size_t size = sysconf(_SC_PAGESIZE);
	int status;

	self->selector = mmap(NULL, size, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->selector);
	*self->selector = 2;
	if (variant->unmapped)
		ASSERT_EQ(0, munmap(self->selector, size));

	self->tracee = fork();
	ASSERT_LE(0, self->tracee);
	if (self->tracee == 0)
		tracee(self->selector);

	ASSERT_EQ(self->tracee, waitpid(self->tracee, &status, 0));
	ASSERT_TRUE(WIFSTOPPED(status));
	ASSERT_EQ(SIGSTOP, WSTOPSIG(status));
	ASSERT_EQ(0, sys_ptrace(PTRACE_SETOPTIONS, self->tracee, 0,
				(void *)(PTRACE_O_TRACESYSGOOD |
					 PTRACE_O_TRACEEXIT |
					 PTRACE_O_EXITKILL)));

	/* The entry and the exit of prctl(). */
	ASSERT_EQ(SIGTRAP | 0x80, WSTOPSIG(next_stop(self->tracee)));
	ASSERT_EQ(SIGTRAP | 0x80, WSTOPSIG(next_stop(self->tracee)));
}

FIXTURE_TEARDOWN(bad_selector)
{
	kill(self->tracee, SIGKILL);
}

TEST_F(bad_selector, no_exit_without_entry)
{
	int status;

	EXPECT_EQ(SIGTRAP | PTRACE_EVENT_EXIT << 8,
		  next_stop(self->tracee) >> 8) {
		TH_LOG("The exit of the call was reported");
	}
	ASSERT_EQ(0, sys_ptrace(PTRACE_CONT, self->tracee, 0, NULL));
	ASSERT_EQ(self->tracee, waitpid(self->tracee, &status, 0));
	if (WIFSTOPPED(status)) {
		ASSERT_EQ(0, sys_ptrace(PTRACE_CONT, self->tracee, 0, NULL));
		ASSERT_EQ(self->tracee, waitpid(self->tracee, &status, 0));
	}
	ASSERT_TRUE(WIFSIGNALED(status));
	EXPECT_EQ(variant->signal, WTERMSIG(status));
}

#if defined(__x86_64__) || defined(__i386__)
#ifdef __x86_64__
# define AX		offsetof(struct user, regs.rax)
# define ORIG_AX	offsetof(struct user, regs.orig_rax)
#else
# define AX		offsetof(struct user, regs.eax)
# define ORIG_AX	offsetof(struct user, regs.orig_eax)
#endif

static long peek_register(pid_t pid, unsigned long offset)
{
	long value = 0;

	if (sys_ptrace(PTRACE_PEEKUSR, pid, offset, &value))
		return -1;
	return value;
}

TEST_F(bad_selector, registers_are_rolled_back)
{
	int status;

	ASSERT_EQ(0, sys_ptrace(PTRACE_CONT, self->tracee, 0, NULL));
	ASSERT_EQ(self->tracee, waitpid(self->tracee, &status, 0));
	ASSERT_EQ(SIGTRAP | PTRACE_EVENT_EXIT << 8, status >> 8);
	EXPECT_EQ(MAGIC_SYSCALL, peek_register(self->tracee, ORIG_AX));
	EXPECT_EQ(MAGIC_SYSCALL, peek_register(self->tracee, AX));
}
#endif

TEST_HARNESS_MAIN
