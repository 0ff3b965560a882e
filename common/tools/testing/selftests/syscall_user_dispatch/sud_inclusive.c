// SPDX-License-Identifier: GPL-2.0
/*
 * A tracer gets the configuration of a tracee as the tracee set it, in
 * PR_SYS_DISPATCH_INCLUSIVE_ON mode too, and can set what it got.
 */

#define _GNU_SOURCE
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/prctl.h>
#include <linux/ptrace.h>

#include "../kselftest_harness.h"

#ifndef PR_SYS_DISPATCH_EXCLUSIVE_ON
# define PR_SYS_DISPATCH_EXCLUSIVE_ON	1
# define PR_SYS_DISPATCH_INCLUSIVE_ON	2
#endif

static char selector;

static long sys_ptrace(int request, pid_t pid, unsigned long addr, void *data)
{
	return syscall(__NR_ptrace, request, pid, addr, data);
}

FIXTURE(config)
{
	pid_t pid;
};

FIXTURE_VARIANT(config)
{
	unsigned long mode, offset, len;
};

FIXTURE_VARIANT_ADD(config, exclusive)
{
	.mode = PR_SYS_DISPATCH_EXCLUSIVE_ON,
	.offset = 0x1000,
	.len = 0x2345,
};

FIXTURE_VARIANT_ADD(config, inclusive)
{
	.mode = PR_SYS_DISPATCH_INCLUSIVE_ON,
	.offset = 0x1000,
	.len = 0x2345,
};

FIXTURE_VARIANT_ADD(config, inclusive_at_zero)
{
	.mode = PR_SYS_DISPATCH_INCLUSIVE_ON,
	.offset = 0,
	.len = 1,
};

FIXTURE_VARIANT_ADD(config, inclusive_to_the_end)
{
	.mode = PR_SYS_DISPATCH_INCLUSIVE_ON,
	.offset = -2L,
	.len = 1,
};

FIXTURE_SETUP(config)
{
	int status;

	self->pid = fork();
	ASSERT_LE(0, self->pid);
	if (self->pid == 0) {
		if (sys_ptrace(PTRACE_TRACEME, 0, 0, NULL) ||
		    prctl(PR_SET_SYSCALL_USER_DISPATCH, variant->mode,
			  variant->offset, variant->len, &selector))
			_exit(1);
		kill(getpid(), SIGSTOP);
		_exit(0);
	}
	ASSERT_EQ(self->pid, waitpid(self->pid, &status, 0));
	ASSERT_TRUE(WIFSTOPPED(status));
}

FIXTURE_TEARDOWN(config)
{
	kill(self->pid, SIGKILL);
}

static void check_config(struct __test_metadata *_metadata, pid_t pid,
			 const FIXTURE_VARIANT(config) *variant)
{
	struct ptrace_sud_config config;

	memset(&config, 0xff, sizeof(config));
	ASSERT_EQ(0, sys_ptrace(PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG, pid,
				sizeof(config), &config));
	EXPECT_EQ(variant->mode, config.mode);
	EXPECT_EQ(variant->offset, config.offset);
	EXPECT_EQ(variant->len, config.len);
	EXPECT_EQ((unsigned long)&selector, config.selector);

	/* Back as it came. */
	EXPECT_EQ(0, sys_ptrace(PTRACE_SET_SYSCALL_USER_DISPATCH_CONFIG, pid,
				sizeof(config), &config));
}

TEST_F(config, get_returns_what_was_set)
{
	check_config(_metadata, self->pid, variant);
	check_config(_metadata, self->pid, variant);
}

TEST_HARNESS_MAIN
