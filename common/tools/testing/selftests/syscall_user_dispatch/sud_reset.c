// SPDX-License-Identifier: GPL-2.0
/*
 * fork() and execve() turn dispatch off. A tracer then finds the configuration
 * that PR_SYS_DISPATCH_OFF leaves: no region and no selector.
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

static long sys_ptrace(int request, pid_t pid, unsigned long addr, void *data)
{
	return syscall(__NR_ptrace, request, pid, addr, data);
}

/* Exempts all addresses but the last. */
static int arm(void)
{
	static char selector;

	return prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, 0, -1L,
		     &selector);
}

static void check_config_is_off(struct __test_metadata *_metadata, pid_t pid)
{
	struct ptrace_sud_config config;

	memset(&config, 0xff, sizeof(config));
	ASSERT_EQ(0, sys_ptrace(PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG, pid,
				sizeof(config), &config));
	EXPECT_EQ(PR_SYS_DISPATCH_OFF, config.mode);
	EXPECT_EQ(0, config.offset);
	EXPECT_EQ(0, config.len);
	EXPECT_EQ(0, config.selector);
}

TEST(fork_resets_configuration)
{
	int status;
	pid_t pid;

	ASSERT_EQ(0, arm());
	pid = fork();
	ASSERT_LE(0, pid);
	if (pid == 0) {
		sys_ptrace(PTRACE_TRACEME, 0, 0, NULL);
		kill(getpid(), SIGSTOP);
		_exit(0);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_TRUE(WIFSTOPPED(status));
	check_config_is_off(_metadata, pid);
	kill(pid, SIGKILL);
}

TEST(exec_resets_configuration)
{
	int status;
	pid_t pid;

	pid = fork();
	ASSERT_LE(0, pid);
	if (pid == 0) {
		/* exec stops a tracee. The program never runs. */
		if (sys_ptrace(PTRACE_TRACEME, 0, 0, NULL) || arm())
			_exit(1);
		execl("/proc/self/exe", "sud_reset", NULL);
		_exit(2);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_TRUE(WIFSTOPPED(status));
	ASSERT_EQ(SIGTRAP, WSTOPSIG(status));
	check_config_is_off(_metadata, pid);
	kill(pid, SIGKILL);
}

TEST_HARNESS_MAIN
