// SPDX-License-Identifier: GPL-2.0
/*
 * The SIGSYS of SECCOMP_RET_TRAP arrives although another SIGSYS is pending
 * for the thread. It arrives first, with its own siginfo, and the other one
 * follows.
 *
 * The tracer is the test itself. The tracee stops at the entry of getppid(),
 * which its filter traps. The tracer then sends the other signal, which is
 * pending when the filter runs.
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../kselftest_harness.h"

/* The filter's signal has this as si_errno, the queued one that as si_value. */
#define FILTER_DATA	1234
#define VALUE		0x5d5d

#ifndef SYS_SECCOMP
#define SYS_SECCOMP	1
#endif

/* PTRACE_EVENTMSG_SYSCALL_ENTRY, of <linux/ptrace.h> */
#define EVENTMSG_ENTRY	1

/* Written by the tracee, and read by the tracer. */
struct shared {
	/* the number of times the handler ran, and its siginfo */
	unsigned int handled;
	siginfo_t info[4];
};

static struct shared *s;

static void handler(int sig, siginfo_t *info, void *context)
{
	if (s->handled < ARRAY_SIZE(s->info))
		s->info[s->handled] = *info;
	s->handled++;
}

static long install_filter(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_getppid, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP | FILTER_DATA),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = {
		.len = ARRAY_SIZE(code),
		.filter = code,
	};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -1;
	return syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog);
}

/* One place for all calls, because of si_call_addr. */
static void __attribute__((noinline)) trapped_call(void)
{
	syscall(__NR_getppid);
}

static void tracee(void)
{
	struct sigaction act = {
		.sa_sigaction = handler,
		.sa_flags = SA_SIGINFO,
	};

	if (sigaction(SIGSYS, &act, NULL) || install_filter())
		_exit(80);
	/* The filter's signal when it arrives alone. */
	trapped_call();
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL))
		_exit(81);
	/* Not raise(): getppid() must be the next call. */
	kill(getpid(), SIGSTOP);
	trapped_call();
	_exit(0);
}

/* ---- The ways to send the other signal ---- */

static int send_tgkill(pid_t pid)
{
	return syscall(__NR_tgkill, pid, pid, SIGSYS);
}

static int send_queued(pid_t pid)
{
	siginfo_t info = {
		.si_signo = SIGSYS,
		.si_code = SI_QUEUE,
	};

	info.si_pid = getpid();
	info.si_uid = getuid();
	info.si_value.sival_int = VALUE;
	return syscall(__NR_rt_tgsigqueueinfo, pid, pid, SIGSYS, &info);
}

/* With no room for its siginfo, the signal is a pending bit only. */
static int send_bare(pid_t pid)
{
	struct rlimit old, none;

	if (prlimit(pid, RLIMIT_SIGPENDING, NULL, &old))
		return -1;
	none = old;
	none.rlim_cur = 0;
	if (prlimit(pid, RLIMIT_SIGPENDING, &none, NULL) || send_tgkill(pid))
		return -1;
	return prlimit(pid, RLIMIT_SIGPENDING, &old, NULL);
}

/* Sent to the process, not to the thread. */
static int send_kill(pid_t pid)
{
	return kill(pid, SIGSYS);
}

FIXTURE(trap_pending)
{
	pid_t pid;
};

FIXTURE_VARIANT(trap_pending)
{
	int (*send)(pid_t pid);
	int code;
};

FIXTURE_VARIANT_ADD(trap_pending, tgkill)
{
	.send = send_tgkill,
	.code = SI_TKILL,
};

FIXTURE_VARIANT_ADD(trap_pending, tgsigqueue)
{
	.send = send_queued,
	.code = SI_QUEUE,
};

FIXTURE_VARIANT_ADD(trap_pending, without_siginfo)
{
	.send = send_bare,
	.code = SI_USER,
};

FIXTURE_VARIANT_ADD(trap_pending, kill)
{
	.send = send_kill,
	.code = SI_USER,
};

FIXTURE_SETUP(trap_pending)
{
	long flags = PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL;
	unsigned long message = 0;
	int status;

	s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, s);
	self->pid = fork();
	ASSERT_LE(0, self->pid);
	if (self->pid == 0)
		tracee();

	ASSERT_EQ(self->pid, waitpid(self->pid, &status, 0));
	ASSERT_TRUE(WIFSTOPPED(status)) {
		TH_LOG("the tracee could not be set up: status %#x", status);
	}
	ASSERT_EQ(SIGSTOP, WSTOPSIG(status));
	ASSERT_EQ(1, s->handled);
	EXPECT_EQ(SYS_SECCOMP, s->info[0].si_code);
	EXPECT_EQ(FILTER_DATA, s->info[0].si_errno);
	EXPECT_EQ(__NR_getppid, s->info[0].si_syscall);
	ASSERT_EQ(0, ptrace(PTRACE_SETOPTIONS, self->pid, NULL, flags));

	/* Go on to the entry of getppid(). */
	ASSERT_EQ(0, ptrace(PTRACE_SYSCALL, self->pid, NULL, NULL));
	ASSERT_EQ(self->pid, waitpid(self->pid, &status, 0));
	ASSERT_TRUE(WIFSTOPPED(status));
	ASSERT_EQ(SIGTRAP | 0x80, WSTOPSIG(status));
	ASSERT_EQ(0, ptrace(PTRACE_GETEVENTMSG, self->pid, NULL, &message));
	ASSERT_EQ(EVENTMSG_ENTRY, message);
	ASSERT_EQ(0, variant->send(self->pid));
}

FIXTURE_TEARDOWN(trap_pending)
{
}

/* The siginfo equals that of the signal when it arrives alone. */
static void check_trap(struct __test_metadata *_metadata, siginfo_t *info)
{
	EXPECT_EQ(0, memcmp(&s->info[0], info, sizeof(*info))) {
		TH_LOG("not the filter's siginfo: si_code %d",
		       info->si_code);
	}
}

static void check_other(struct __test_metadata *_metadata, siginfo_t *info,
			int code, bool bare)
{
	EXPECT_EQ(SIGSYS, info->si_signo);
	EXPECT_EQ(0, info->si_errno);
	EXPECT_EQ(code, info->si_code);
	EXPECT_EQ(bare ? 0 : getpid(), info->si_pid);
	EXPECT_EQ(bare ? 0 : getuid(), info->si_uid);
	if (code == SI_QUEUE)
		EXPECT_EQ(VALUE, info->si_value.sival_int);
}

TEST_F(trap_pending, both_arrive_trap_first)
{
	int status;

	ASSERT_EQ(0, ptrace(PTRACE_DETACH, self->pid, NULL, NULL));
	ASSERT_EQ(self->pid, waitpid(self->pid, &status, 0));
	EXPECT_TRUE(WIFEXITED(status) && !WEXITSTATUS(status)) {
		TH_LOG("status %#x", status);
	}
	ASSERT_EQ(3, s->handled);
	check_trap(_metadata, &s->info[1]);
	check_other(_metadata, &s->info[2], variant->code,
		    variant->send == send_bare);
}

TEST_F(trap_pending, tracer_sees_both_trap_first)
{
	siginfo_t info;
	int status, i;

	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, ptrace(PTRACE_CONT, self->pid, NULL,
				    (long)(i ? SIGSYS : 0)));
		ASSERT_EQ(self->pid, waitpid(self->pid, &status, 0));
		ASSERT_TRUE(WIFSTOPPED(status)) {
			TH_LOG("signal %d was not seen: status %#x", i, status);
		}
		ASSERT_EQ(SIGSYS, WSTOPSIG(status));
		ASSERT_EQ(0, ptrace(PTRACE_GETSIGINFO, self->pid, NULL, &info));
		if (i)
			check_other(_metadata, &info, variant->code,
				    variant->send == send_bare);
		else
			check_trap(_metadata, &info);
	}
	ASSERT_EQ(0, ptrace(PTRACE_CONT, self->pid, NULL, (long)SIGSYS));
	ASSERT_EQ(self->pid, waitpid(self->pid, &status, 0));
	EXPECT_TRUE(WIFEXITED(status) && !WEXITSTATUS(status)) {
		TH_LOG("status %#x", status);
	}
	EXPECT_EQ(3, s->handled);
}

TEST_HARNESS_MAIN
