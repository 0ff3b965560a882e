// SPDX-License-Identifier: GPL-2.0
/*
 * A system call number that looks like a restart code of the kernel is a number
 * like any other. When SIGSYS hands the call back, it "returns" its number, and
 * it is not made again.
 *
 * Syscall User Dispatch and SECCOMP_RET_TRAP both put the number where the
 * result would be.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/filter.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>

#include "../kselftest_harness.h"

static volatile char selector;
static volatile int handled;
static volatile int number;

static void handle_sigsys(int sig, siginfo_t *info, void *context)
{
	/* The call is made if it is restarted, and this is seen. */
	selector = SYSCALL_DISPATCH_FILTER_ALLOW;
	handled++;
	number = info->si_syscall;
}

FIXTURE(restart)
{
};

FIXTURE_VARIANT(restart)
{
	int nr;
	int flags;
};

FIXTURE_VARIANT_ADD(restart, ERESTARTSYS)
{
	.nr = -512,
	.flags = SA_SIGINFO,
};

FIXTURE_VARIANT_ADD(restart, ERESTARTSYS_with_SA_RESTART)
{
	.nr = -512,
	.flags = SA_SIGINFO | SA_RESTART,
};

FIXTURE_VARIANT_ADD(restart, ERESTARTNOINTR)
{
	.nr = -513,
	.flags = SA_SIGINFO,
};

FIXTURE_VARIANT_ADD(restart, ERESTARTNOHAND)
{
	.nr = -514,
	.flags = SA_SIGINFO,
};

FIXTURE_VARIANT_ADD(restart, ERESTART_RESTARTBLOCK)
{
	.nr = -516,
	.flags = SA_SIGINFO,
};

/* The control: no restart code. */
FIXTURE_VARIANT_ADD(restart, ENOIOCTLCMD)
{
	.nr = -515,
	.flags = SA_SIGINFO,
};

FIXTURE_SETUP(restart)
{
	struct sigaction act = {
		.sa_sigaction = handle_sigsys,
		.sa_flags = variant->flags,
	};

#if !defined(__x86_64__) && !defined(__i386__)
	SKIP(return, "Here the number is not in the register of the result");
#endif
	handled = 0;
	ASSERT_EQ(0, sigaction(SIGSYS, &act, NULL));
}

FIXTURE_TEARDOWN(restart)
{
}

/* syscall() returns such a number as -1, and puts the rest into errno. */
static void check_returns_number(struct __test_metadata *_metadata, int nr,
				 long ret, int err)
{
	EXPECT_EQ(1, handled);
	EXPECT_EQ(nr, number);
	EXPECT_EQ(-1, ret);
	EXPECT_EQ(-nr, err);
}

TEST_F(restart, dispatched)
{
	long ret;
	int err;

	ASSERT_EQ(0, prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON,
			   0, 0, &selector));
	selector = SYSCALL_DISPATCH_FILTER_BLOCK;
	ret = syscall(variant->nr);
	err = errno;
	selector = SYSCALL_DISPATCH_FILTER_ALLOW;
	check_returns_number(_metadata, variant->nr, ret, err);
}

TEST_F(restart, trapped_by_seccomp)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, variant->nr, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = {
		.len = ARRAY_SIZE(code),
		.filter = code,
	};
	long ret;

	ASSERT_EQ(0, prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	ASSERT_EQ(0, prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog));
	ret = syscall(variant->nr);
	check_returns_number(_metadata, variant->nr, ret, errno);
}

TEST_HARNESS_MAIN
