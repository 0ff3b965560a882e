// SPDX-License-Identifier: GPL-2.0
/*
 * kernel.syscall_user_dispatch at 0 forbids to turn dispatch on. It changes
 * nothing for threads that use it already.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/prctl.h>

#include "../kselftest_harness.h"

#define SYSCTL		"/proc/sys/kernel/syscall_user_dispatch"

/* It does not exist. */
#define MAGIC_SYSCALL	0xff00

static volatile char selector;
static volatile int dispatched;

static void handle_sigsys(int sig, siginfo_t *info, void *context)
{
	selector = SYSCALL_DISPATCH_FILTER_ALLOW;
	dispatched++;
}

static bool set_sysctl(int fd, char value)
{
	return pwrite(fd, &value, 1, 0) == 1;
}

static int dispatch_on(void)
{
	if (prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, 0, 0,
		  &selector))
		return errno;
	return 0;
}

FIXTURE(sysctl)
{
	int fd;
};

FIXTURE_SETUP(sysctl)
{
	struct sigaction act = {
		.sa_sigaction = handle_sigsys,
		.sa_flags = SA_SIGINFO,
	};

	if (geteuid())
		SKIP(return, "Only root can set the sysctl");
	self->fd = open(SYSCTL, O_RDWR);
	ASSERT_LE(0, self->fd) {
		TH_LOG("There is no " SYSCTL);
	}
	ASSERT_EQ(0, sigaction(SIGSYS, &act, NULL));
}

FIXTURE_TEARDOWN(sysctl)
{
	set_sysctl(self->fd, '1');
}

TEST_F(sysctl, zero_forbids_to_turn_on)
{
	EXPECT_EQ(0, dispatch_on());
	ASSERT_TRUE(set_sysctl(self->fd, '0'));
	EXPECT_EQ(EPERM, dispatch_on());
	EXPECT_EQ(0, prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_OFF,
			   0, 0, 0));
	EXPECT_EQ(EPERM, dispatch_on());
	ASSERT_TRUE(set_sysctl(self->fd, '1'));
	EXPECT_EQ(0, dispatch_on());
}

TEST_F(sysctl, zero_leaves_armed_threads_alone)
{
	ASSERT_EQ(0, dispatch_on());
	ASSERT_TRUE(set_sysctl(self->fd, '0'));
	selector = SYSCALL_DISPATCH_FILTER_BLOCK;
	syscall(MAGIC_SYSCALL);
	selector = SYSCALL_DISPATCH_FILTER_ALLOW;
	EXPECT_EQ(1, dispatched);
}

TEST_F(sysctl, only_zero_and_one_are_valid)
{
	EXPECT_FALSE(set_sysctl(self->fd, '2'));
	EXPECT_EQ(EINVAL, errno);
}

TEST_HARNESS_MAIN
