// SPDX-License-Identifier: GPL-2.0
/*
 * The fields of struct ptrace_sud_config have 64 bits on every kernel. A value
 * that the kernel cannot use is an error. It is not cut to 32 bits.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/prctl.h>
#include <linux/ptrace.h>

#include "../kselftest_harness.h"

/* Zero in the lower half. */
#define WIDE	(1ULL << 32)

static long sys_ptrace(int request, pid_t pid, unsigned long addr, void *data)
{
	return syscall(__NR_ptrace, request, pid, addr, data);
}

FIXTURE(wide)
{
	struct ptrace_sud_config config;
	pid_t pid;
};

FIXTURE_SETUP(wide)
{
	int status;

	memset(&self->config, 0, sizeof(self->config));
	self->config.mode = PR_SYS_DISPATCH_ON;
	self->config.offset = 0x1000;
	self->config.len = 0x1000;

	self->pid = fork();
	ASSERT_LE(0, self->pid);
	if (self->pid == 0) {
		sys_ptrace(PTRACE_TRACEME, 0, 0, NULL);
		kill(getpid(), SIGSTOP);
		_exit(0);
	}
	ASSERT_EQ(self->pid, waitpid(self->pid, &status, 0));
	ASSERT_TRUE(WIFSTOPPED(status));
}

FIXTURE_TEARDOWN(wide)
{
	kill(self->pid, SIGKILL);
}

static int set_config(pid_t pid, struct ptrace_sud_config *config)
{
	if (sys_ptrace(PTRACE_SET_SYSCALL_USER_DISPATCH_CONFIG, pid,
		       sizeof(*config), config))
		return errno;
	return 0;
}

/* Either the kernel keeps the value, or it says that it cannot. */
static void check_kept_or(struct __test_metadata *_metadata, int error,
			  pid_t pid, struct ptrace_sud_config *config)
{
	struct ptrace_sud_config got;
	int ret = set_config(pid, config);

	if (ret) {
		EXPECT_EQ(error, ret);
		return;
	}
	ASSERT_EQ(0, sys_ptrace(PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG, pid,
				sizeof(got), &got));
	EXPECT_EQ(0, memcmp(config, &got, sizeof(got))) {
		TH_LOG("The value was cut short");
	}
}

TEST_F(wide, mode)
{
	self->config.mode |= WIDE;
	EXPECT_EQ(EINVAL, set_config(self->pid, &self->config));
}

TEST_F(wide, offset)
{
	self->config.offset |= WIDE;
	check_kept_or(_metadata, EINVAL, self->pid, &self->config);
}

TEST_F(wide, len)
{
	self->config.len |= WIDE;
	check_kept_or(_metadata, EINVAL, self->pid, &self->config);
}

TEST_F(wide, selector)
{
	self->config.selector = 0x1000 | WIDE;
	check_kept_or(_metadata, EFAULT, self->pid, &self->config);
}

TEST_HARNESS_MAIN
