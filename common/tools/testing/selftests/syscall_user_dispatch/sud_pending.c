// SPDX-License-Identifier: GPL-2.0
/*
 * A SIGSYS that is pending does not swallow the SIGSYS of a dispatched call, or
 * of a call that a seccomp filter traps.
 *
 * The other SIGSYS comes from a second thread. For seccomp the test makes sure
 * that it is pending, as a tracer sends it while the call is at its entry. For
 * dispatch, which tracers cannot watch, signals and calls race.
 */

#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/filter.h>
#include <linux/prctl.h>
#include <linux/ptrace.h>
#include <linux/seccomp.h>

#include "../kselftest_harness.h"

#ifndef SYS_SECCOMP
# define SYS_SECCOMP		1
#endif
#ifndef SYS_USER_DISPATCH
# define SYS_USER_DISPATCH	2
#endif

/* It does not exist. */
#define MAGIC_SYSCALL	0xff00

#define FLOOD_CALLS	100000

/* How often the handler ran, by si_code. */
struct counts {
	volatile int dispatched, trapped, other;
	/* Was the first SIGSYS the one of the filter? */
	volatile bool trapped_first;
};

static struct counts *counts;
static volatile char selector;
static volatile bool stop;
static pid_t pid, tid;

static void handle_sigsys(int sig, siginfo_t *info, void *context)
{
	/* For sigreturn. */
	selector = SYSCALL_DISPATCH_FILTER_ALLOW;
	if (info->si_code == SYS_USER_DISPATCH) {
		counts->dispatched++;
	} else if (info->si_code == SYS_SECCOMP) {
		counts->trapped_first = !counts->other;
		counts->trapped++;
	} else {
		counts->other++;
	}
}

static int install_handler(void)
{
	struct sigaction act = {
		.sa_sigaction = handle_sigsys,
		.sa_flags = SA_SIGINFO,
	};

	counts = mmap(NULL, sizeof(*counts), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (counts == MAP_FAILED)
		return -1;
	return sigaction(SIGSYS, &act, NULL);
}

static void *flood(void *arg)
{
	while (!stop)
		syscall(__NR_tgkill, pid, tid, SIGSYS);
	return NULL;
}

/*
 * Either the call is made and fails, as a signal before it has set the selector
 * to ALLOW, or the handler is told of it. A call that is dispatched "returns"
 * its number or, on some architectures, its first argument.
 */
TEST(no_dispatch_is_lost_in_a_flood)
{
	pthread_t thread;
	int i, before, lost = 0;
	long ret;

	pid = getpid();
	tid = syscall(__NR_gettid);
	ASSERT_EQ(0, install_handler());
	ASSERT_EQ(0, pthread_create(&thread, NULL, flood, NULL));
	ASSERT_EQ(0, prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON,
			   0, 0, &selector));
	for (i = 0; i < FLOOD_CALLS; i++) {
		before = counts->dispatched;
		selector = SYSCALL_DISPATCH_FILTER_BLOCK;
		ret = syscall(MAGIC_SYSCALL, MAGIC_SYSCALL);
		selector = SYSCALL_DISPATCH_FILTER_ALLOW;
		if (ret == MAGIC_SYSCALL && counts->dispatched == before)
			lost++;
	}
	stop = true;
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_LT(0, counts->other);
	EXPECT_LT(0, counts->dispatched);
	EXPECT_EQ(0, lost);
}

static long sys_ptrace(int request, pid_t pid, unsigned long addr, void *data)
{
	return syscall(__NR_ptrace, request, pid, addr, data);
}

static int trap_magic_syscall(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, MAGIC_SYSCALL, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = {
		.len = ARRAY_SIZE(code),
		.filter = code,
	};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -1;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog);
}

TEST(no_trap_is_lost)
{
	pid_t child;
	int status;

	ASSERT_EQ(0, install_handler());
	child = fork();
	ASSERT_LE(0, child);
	if (child == 0) {
		if (sys_ptrace(PTRACE_TRACEME, 0, 0, NULL) ||
		    trap_magic_syscall())
			_exit(1);
		kill(getpid(), SIGSTOP);
		syscall(MAGIC_SYSCALL);
		_exit(0);
	}
	ASSERT_EQ(child, waitpid(child, &status, 0));
	ASSERT_TRUE(WIFSTOPPED(status));
	ASSERT_EQ(SIGSTOP, WSTOPSIG(status));
	ASSERT_EQ(0, sys_ptrace(PTRACE_SETOPTIONS, child, 0,
				(void *)(PTRACE_O_TRACESYSGOOD |
					 PTRACE_O_EXITKILL)));
	/* On to the entry of the call. The filter comes after this stop. */
	ASSERT_EQ(0, sys_ptrace(PTRACE_SYSCALL, child, 0, NULL));
	ASSERT_EQ(child, waitpid(child, &status, 0));
	ASSERT_TRUE(WIFSTOPPED(status));
	ASSERT_EQ(SIGTRAP | 0x80, WSTOPSIG(status));
	ASSERT_EQ(0, syscall(__NR_tgkill, child, child, SIGSYS));
	ASSERT_EQ(0, sys_ptrace(PTRACE_DETACH, child, 0, NULL));

	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_TRUE(WIFEXITED(status));
	EXPECT_EQ(0, WEXITSTATUS(status));
	EXPECT_EQ(1, counts->other);
	EXPECT_EQ(1, counts->trapped);
	EXPECT_TRUE(counts->trapped_first);
}

TEST_HARNESS_MAIN
