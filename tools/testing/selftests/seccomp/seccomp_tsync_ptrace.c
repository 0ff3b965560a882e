// SPDX-License-Identifier: GPL-2.0
/*
 * While a thread is in a ptrace syscall-entry stop, another thread installs a
 * seccomp filter with SECCOMP_FILTER_FLAG_TSYNC. The filter applies to the
 * very system call at which the thread is stopped: the stop comes before
 * seccomp, and the filter is installed when the stop ends.
 *
 * The tracer is the test itself. The tracee has two threads. The leader is
 * traced and stops at the entry of getppid(). The other one is not traced and
 * installs the filter meanwhile.
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../kselftest_harness.h"

/*
 * The filter makes getppid() fail with this error, which nothing else returns.
 */
#define FILTER_ERRNO	ENOTNAM

/* The fields of struct ptrace_syscall_info that are used, from its UAPI. */
#define GET_SYSCALL_INFO	0x420e
#define INFO_ENTRY		1
#define INFO_EXIT		2

struct syscall_info {
	uint8_t op;
	uint8_t pad[3];
	uint32_t arch;
	uint64_t instruction_pointer;
	uint64_t stack_pointer;
	union {
		struct {
			uint64_t nr;
			uint64_t args[6];
		} entry;
		struct {
			int64_t rval;
			uint8_t is_error;
		} exit;
	};
};

/* Memory that the tracer shares with the two threads of the tracee. */
struct shared {
	int go[2];
	int done[2];
	uint32_t action;
	/* of the leader's getppid() */
	long ret;
	int err;
	/* of the installer's seccomp() */
	long installed;
	int install_err;
};

static long install_filter(uint32_t action, unsigned int flags)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_getppid, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, action),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = {
		.len = ARRAY_SIZE(code),
		.filter = code,
	};

	return syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, flags, &prog);
}

static void *installer(void *arg)
{
	struct shared *s = arg;
	char byte;

	if (read(s->go[0], &byte, 1) != 1)
		_exit(80);
	s->installed = install_filter(s->action, SECCOMP_FILTER_FLAG_TSYNC);
	s->install_err = errno;
	if (write(s->done[1], "", 1) != 1)
		_exit(81);
	/* The leader ends the process. */
	for (;;)
		pause();
	return NULL;
}

static void tracee(struct shared *s, bool filtered_before)
{
	pthread_t thread;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		_exit(82);
	if (filtered_before && install_filter(SECCOMP_RET_ALLOW, 0))
		_exit(83);
	if (pthread_create(&thread, NULL, installer, s))
		_exit(84);
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL))
		_exit(85);
	raise(SIGSTOP);

	errno = 0;
	s->ret = syscall(__NR_getppid);
	s->err = errno;
	_exit(0);
}

FIXTURE(tsync_ptrace)
{
	struct shared *s;
	pid_t pid;
};

FIXTURE_VARIANT(tsync_ptrace)
{
	/* A filter that allows everything was installed before the stop. */
	bool filtered_before;
	uint32_t action;
};

FIXTURE_VARIANT_ADD(tsync_ptrace, first_filter_errno)
{
	.filtered_before = false,
	.action = SECCOMP_RET_ERRNO | FILTER_ERRNO,
};

FIXTURE_VARIANT_ADD(tsync_ptrace, first_filter_kill)
{
	.filtered_before = false,
	.action = SECCOMP_RET_KILL_PROCESS,
};

FIXTURE_VARIANT_ADD(tsync_ptrace, second_filter_errno)
{
	.filtered_before = true,
	.action = SECCOMP_RET_ERRNO | FILTER_ERRNO,
};

FIXTURE_VARIANT_ADD(tsync_ptrace, second_filter_kill)
{
	.filtered_before = true,
	.action = SECCOMP_RET_KILL_PROCESS,
};

FIXTURE_SETUP(tsync_ptrace)
{
	long flags = PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL;
	struct syscall_info info;
	int status;

	self->s = mmap(NULL, sizeof(*self->s), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->s);
	self->s->action = variant->action;
	/* The value that is left if the system call does not run. */
	self->s->ret = -2;
	self->s->installed = -2;
	ASSERT_EQ(0, pipe(self->s->go));
	ASSERT_EQ(0, pipe(self->s->done));

	self->pid = fork();
	ASSERT_LE(0, self->pid);
	if (self->pid == 0)
		tracee(self->s, variant->filtered_before);

	ASSERT_EQ(self->pid, waitpid(self->pid, &status, 0));
	ASSERT_TRUE(WIFSTOPPED(status)) {
		TH_LOG("the tracee could not be set up: status %#x", status);
	}
	ASSERT_EQ(SIGSTOP, WSTOPSIG(status));
	ASSERT_EQ(0, ptrace(PTRACE_SETOPTIONS, self->pid, NULL, flags));

	/* Go on to the entry of getppid(). */
	do {
		ASSERT_EQ(0, ptrace(PTRACE_SYSCALL, self->pid, NULL, NULL));
		ASSERT_EQ(self->pid, waitpid(self->pid, &status, 0));
		ASSERT_TRUE(WIFSTOPPED(status));
		ASSERT_EQ(SIGTRAP | 0x80, WSTOPSIG(status));
		ASSERT_LT(0, ptrace(GET_SYSCALL_INFO, self->pid,
				    sizeof(info), &info));
	} while (info.op != INFO_ENTRY || info.entry.nr != __NR_getppid);
}

FIXTURE_TEARDOWN(tsync_ptrace)
{
}

/* The second thread installs the filter, and the first one stays stopped. */
static void install_from_sibling(struct __test_metadata *_metadata,
				 struct shared *s)
{
	char byte;

	ASSERT_EQ(1, write(s->go[1], "", 1));
	ASSERT_EQ(1, read(s->done[0], &byte, 1));
	ASSERT_EQ(0, s->installed) {
		TH_LOG("seccomp(TSYNC): %ld, errno %d", s->installed,
		       s->install_err);
	}
}

static void check_end(struct __test_metadata *_metadata, struct shared *s,
		      int status)
{
	if (s->action == SECCOMP_RET_KILL_PROCESS) {
		ASSERT_TRUE(WIFSIGNALED(status)) {
			TH_LOG("the call ran: %ld, errno %d", s->ret, s->err);
		}
		EXPECT_EQ(SIGSYS, WTERMSIG(status));
		EXPECT_EQ(-2, s->ret);
	} else {
		ASSERT_TRUE(WIFEXITED(status));
		ASSERT_EQ(0, WEXITSTATUS(status));
		EXPECT_EQ(-1, s->ret);
		EXPECT_EQ(FILTER_ERRNO, s->err);
	}
}

/* The tracer stops observing: only the new filter checks the call. */
TEST_F(tsync_ptrace, filter_applies_after_cont)
{
	int status;

	install_from_sibling(_metadata, self->s);
	ASSERT_EQ(0, ptrace(PTRACE_CONT, self->pid, NULL, NULL));
	ASSERT_EQ(self->pid, waitpid(self->pid, &status, 0));
	check_end(_metadata, self->s, status);
}

/* The tracer goes on to the exit stop, which shows the filter's result. */
TEST_F(tsync_ptrace, filter_applies_and_exit_is_reported)
{
	struct syscall_info info;
	int status;

	install_from_sibling(_metadata, self->s);
	ASSERT_EQ(0, ptrace(PTRACE_SYSCALL, self->pid, NULL, NULL));
	ASSERT_EQ(self->pid, waitpid(self->pid, &status, 0));
	if (WIFSTOPPED(status)) {
		ASSERT_EQ(SIGTRAP | 0x80, WSTOPSIG(status));
		ASSERT_LT(0, ptrace(GET_SYSCALL_INFO, self->pid,
				    sizeof(info), &info));
		EXPECT_EQ(INFO_EXIT, info.op);
		/* A kernel may show this stop before the kill, too. */
		if (variant->action != SECCOMP_RET_KILL_PROCESS) {
			EXPECT_EQ(1, info.exit.is_error);
			EXPECT_EQ(-FILTER_ERRNO, info.exit.rval);
		}
		ASSERT_EQ(0, ptrace(PTRACE_CONT, self->pid, NULL, NULL));
		ASSERT_EQ(self->pid, waitpid(self->pid, &status, 0));
	}
	check_end(_metadata, self->s, status);
}

/* The tracer detaches before the call goes on. */
TEST_F(tsync_ptrace, filter_applies_after_detach)
{
	int status;

	install_from_sibling(_metadata, self->s);
	ASSERT_EQ(0, ptrace(PTRACE_DETACH, self->pid, NULL, NULL));
	ASSERT_EQ(self->pid, waitpid(self->pid, &status, 0));
	check_end(_metadata, self->s, status);
}

TEST_HARNESS_MAIN
