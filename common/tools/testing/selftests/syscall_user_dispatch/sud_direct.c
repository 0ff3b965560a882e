// SPDX-License-Identifier: GPL-2.0
/*
 * A thread with a handler gets its dispatched calls there, without a signal. The
 * registers are as the system call instruction left them, and the handler
 * returns by a jump.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/prctl.h>

#include "../kselftest_harness.h"

#ifndef PR_SET_SYSCALL_USER_DISPATCH_HANDLER
# define PR_SET_SYSCALL_USER_DISPATCH_HANDLER	0x53554448
#endif

/* It does not exist. */
#define MAGIC_SYSCALL	0xff00

#define RESULT		4711

char selector;
unsigned long handler_rcx, handler_rax, handler_rsp;
static volatile int signals;

static void handle_sigsys(int sig, siginfo_t *info, void *context)
{
	selector = SYSCALL_DISPATCH_FILTER_ALLOW;
	signals++;
}

FIXTURE(direct)
{
};

#ifdef __x86_64__
void handler(void);
asm(".pushsection .text\n"
    "handler:\n"
    "mov %rcx, handler_rcx(%rip)\n"
    "mov %rax, handler_rax(%rip)\n"
    "mov %rsp, handler_rsp(%rip)\n"
    "movb $0, selector(%rip)\n"
    "mov $4711, %eax\n"
    "jmp *%rcx\n"
    ".popsection\n");

FIXTURE_SETUP(direct)
{
	struct sigaction act = {
		.sa_sigaction = handle_sigsys,
		.sa_flags = SA_SIGINFO,
	};

	ASSERT_EQ(0, sigaction(SIGSYS, &act, NULL));
	ASSERT_EQ(0, prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON,
			   0, 0, &selector));
	ASSERT_EQ(0, prctl(PR_SET_SYSCALL_USER_DISPATCH_HANDLER, handler, 0, 0,
			   0)) {
		TH_LOG("CONFIG_SYSCALL_USER_DISPATCH_DIRECT is off: %m");
	}
}

FIXTURE_TEARDOWN(direct)
{
}

TEST_F(direct, call_continues_at_the_handler)
{
	unsigned long after, sp, rbx = 0x1234;
	long ret;

	selector = SYSCALL_DISPATCH_FILTER_BLOCK;
	asm volatile("lea 1f(%%rip), %[after]\n\t"
		     "mov %%rsp, %[sp]\n\t"
		     "syscall\n"
		     "1:"
		     : "=a" (ret), [after] "=&r" (after), [sp] "=&r" (sp),
		       "+b" (rbx)
		     : "0" (MAGIC_SYSCALL)
		     : "rcx", "r11", "memory");
	EXPECT_EQ(RESULT, ret);
	EXPECT_EQ(MAGIC_SYSCALL, handler_rax);
	EXPECT_EQ(after, handler_rcx);
	EXPECT_EQ(sp, handler_rsp);
	EXPECT_EQ(0x1234, rbx);
	EXPECT_EQ(0, signals);
}

TEST_F(direct, int80_raises_sigsys)
{
	long ret = MAGIC_SYSCALL;

	selector = SYSCALL_DISPATCH_FILTER_BLOCK;
	asm volatile("int $0x80" : "+a" (ret) : : "memory");
	selector = SYSCALL_DISPATCH_FILTER_ALLOW;
	EXPECT_EQ(MAGIC_SYSCALL, ret);
	EXPECT_EQ(1, signals);
}

TEST_F(direct, zero_restores_sigsys)
{
	ASSERT_EQ(0, prctl(PR_SET_SYSCALL_USER_DISPATCH_HANDLER, 0, 0, 0, 0));
	selector = SYSCALL_DISPATCH_FILTER_BLOCK;
	EXPECT_EQ(MAGIC_SYSCALL, syscall(MAGIC_SYSCALL));
	EXPECT_EQ(1, signals);
}

TEST_F(direct, kernel_address_is_refused)
{
	EXPECT_EQ(-1, prctl(PR_SET_SYSCALL_USER_DISPATCH_HANDLER, -4096L, 0, 0,
			    0));
	EXPECT_EQ(EFAULT, errno);
}
#else
FIXTURE_SETUP(direct)
{
	SKIP(return, "Only x86-64 has direct dispatch");
}

FIXTURE_TEARDOWN(direct)
{
}

TEST_F(direct, skipped)
{
}
#endif

TEST_HARNESS_MAIN
