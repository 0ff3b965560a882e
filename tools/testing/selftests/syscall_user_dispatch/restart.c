// SPDX-License-Identifier: GPL-2.0
/*
 * Dispatch and the restart of system calls, which must not be confused: rules
 * D7 and D8.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <time.h>

#include "sud_asleep.h"
#include "sud_uffd.h"

#include "sud_harness.h"

/* ---- D7: numbers that look like restart codes ---- */

FIXTURE(number)
{
	int unused;
};

FIXTURE_VARIANT(number)
{
	sud_word nr;
};

FIXTURE_VARIANT_ADD(number, ERESTARTSYS) { .nr = -512 };
FIXTURE_VARIANT_ADD(number, ERESTARTNOINTR) { .nr = -513 };
FIXTURE_VARIANT_ADD(number, ERESTARTNOHAND) { .nr = -514 };
FIXTURE_VARIANT_ADD(number, ENOIOCTLCMD) { .nr = -515 };
FIXTURE_VARIANT_ADD(number, ERESTART_RESTARTBLOCK) { .nr = -516 };
FIXTURE_VARIANT_ADD(number, none) { .nr = -1 };
FIXTURE_VARIANT_ADD(number, EINTR) { .nr = -4 };
#if SUD_WORD_BITS == 64
/* The same in 32 bits only, and in an int with another upper half. */
FIXTURE_VARIANT_ADD(number, ERESTARTSYS_32) { .nr = 0xfffffe00 };
FIXTURE_VARIANT_ADD(number, ERESTART_RESTARTBLOCK_32) { .nr = 0xfffffdfc };
FIXTURE_VARIANT_ADD(number, none_32) { .nr = 0xffffffff };
FIXTURE_VARIANT_ADD(number, ERESTARTSYS_high) { .nr = 0x12345678fffffe00 };
#endif
/* A number without any similarity. */
FIXTURE_VARIANT_ADD(number, getpid) { .nr = SYS_getpid };

FIXTURE_SETUP(number)
{
	SUD_REQUIRE_SETUP();
	ASSERT_TRUE(sud_setup());
}

FIXTURE_TEARDOWN(number)
{
}

static void check_record(struct __test_metadata *_metadata, sud_word nr,
			 sud_word ret)
{
	ASSERT_EQ(1, sud_count);
	EXPECT_EQ(nr, ret);
	EXPECT_EQ(nr, SUD_REG_RET(&sud_log[0].uc));
	EXPECT_EQ(sud_foreign_ip(),
		  (unsigned long)SUD_REG_IP(&sud_log[0].uc));
	EXPECT_EQ(SYS_USER_DISPATCH, sud_log[0].info.si_code);
	EXPECT_EQ((int)nr, sud_log[0].info.si_syscall);
	EXPECT_EQ((void *)sud_foreign_ip(), sud_log[0].info.si_call_addr);
}

static void dispatch_number(struct __test_metadata *_metadata, sud_word nr,
			    int flags)
{
	unsigned int i;
	sud_word ret;

	ASSERT_EQ(0, sud_handle(flags));
	ASSERT_EQ(0, sud_arm_native(&sud_selector));
	for (i = 0; i < 3; i++) {
		sud_reset();
		sud_selector = SUD_BLOCK;
		ret = sud_foreign_call(nr, 0, 0, 0, 0, 0, 0);
		sud_selector = SUD_ALLOW;
		check_record(_metadata, nr, ret);
	}
}

TEST_F_TIMEOUT(number, D7_ip_and_result_exact, 10)
{
	dispatch_number(_metadata, variant->nr, 0);
}

TEST_F_TIMEOUT(number, D7_ip_and_result_exact_with_sa_restart, 10)
{
	dispatch_number(_metadata, variant->nr, SA_RESTART);
}

static volatile unsigned int usr1_count;
static ucontext_t usr1_uc;
static pid_t target;

static void usr1_handler(int sig, siginfo_t *info, void *context)
{
	memcpy(&usr1_uc, context, offsetof(ucontext_t, uc_sigmask));
	usr1_count++;
}

static bool handle_usr1(int flags)
{
	struct sigaction act = {
		.sa_sigaction = usr1_handler,
		.sa_flags = SA_SIGINFO | flags,
	};

	return sigaction(SIGUSR1, &act, NULL) == 0;
}

static void meanwhile_usr1(void *arg)
{
	syscall(SYS_tgkill, getpid(), target, SIGUSR1);
}

/*
 * SIGUSR1 is pending at the same exit to user space. It interrupts the handler
 * of SIGSYS at its first instruction, and sees the registers there.
 */
static void number_with_usr1(struct __test_metadata *_metadata, sud_word nr,
			     int sys_flags, int usr1_flags)
{
	struct sud_uffd u = {
		.meanwhile = meanwhile_usr1,
		.byte = SUD_BLOCK,
	};
	const char *trouble;
	sud_word ret;
	int err;

	err = sud_uffd_open(&u);
	if (err)
		SKIP(return, "userfaultfd: %s", strerror(-err));
	target = syscall(SYS_gettid);
	ASSERT_TRUE(handle_usr1(usr1_flags));
	ASSERT_EQ(0, sud_handle(sys_flags));
	ASSERT_EQ(0, sud_uffd_start(&u));
	ASSERT_EQ(0, sud_arm_native(u.page));
	ret = sud_foreign_call(nr, 0, 0, 0, 0, 0, 0);
	ASSERT_EQ(0, sud_off());
	trouble = sud_uffd_join(&u);
	ASSERT_EQ(NULL, trouble) {
		TH_LOG("%s", trouble);
	}

	check_record(_metadata, nr, ret);
	ASSERT_EQ(1, usr1_count);
	EXPECT_EQ((unsigned long)sud_handler,
		  (unsigned long)SUD_REG_IP(&usr1_uc));
	EXPECT_EQ(SUD_HANDLER_RET(SIGSYS, nr), SUD_REG_RET(&usr1_uc));
}

TEST_F_TIMEOUT(number, D7_ip_and_result_exact_with_other_signal, 10)
{
	number_with_usr1(_metadata, variant->nr, 0, 0);
}

TEST_F_TIMEOUT(number, D7_ip_and_result_exact_with_other_signal_sa_restart, 10)
{
	number_with_usr1(_metadata, variant->nr, SA_RESTART, SA_RESTART);
}

/*
 * The reverse: SIGUSR1 is masked in the handler of SIGSYS. It is delivered
 * when that handler returns, at the same instruction pointer and with the same
 * result.
 */
TEST_F_TIMEOUT(number, D7_ip_and_result_exact_in_signal_after_return, 10)
{
	struct sigaction act = {
		.sa_sigaction = sud_handler,
		.sa_flags = SA_SIGINFO | SA_RESTART,
	};
	struct sud_uffd u = {
		.meanwhile = meanwhile_usr1,
		.byte = SUD_BLOCK,
	};
	const char *trouble;
	sud_word ret;
	int err;

	err = sud_uffd_open(&u);
	if (err)
		SKIP(return, "userfaultfd: %s", strerror(-err));
	target = syscall(SYS_gettid);
	ASSERT_TRUE(handle_usr1(SA_RESTART));
	sigemptyset(&act.sa_mask);
	sigaddset(&act.sa_mask, SIGUSR1);
	ASSERT_EQ(0, sigaction(SIGSYS, &act, NULL));
	ASSERT_EQ(0, sud_uffd_start(&u));
	ASSERT_EQ(0, sud_arm_native(u.page));
	ret = sud_foreign_call(variant->nr, 0, 0, 0, 0, 0, 0);
	ASSERT_EQ(0, sud_off());
	trouble = sud_uffd_join(&u);
	ASSERT_EQ(NULL, trouble) {
		TH_LOG("%s", trouble);
	}

	check_record(_metadata, variant->nr, ret);
	ASSERT_EQ(1, usr1_count);
	EXPECT_EQ(sud_foreign_ip(), (unsigned long)SUD_REG_IP(&usr1_uc));
	EXPECT_EQ(variant->nr, SUD_REG_RET(&usr1_uc));
}

static int child_skipped(void *arg)
{
	sud_word nr = *(sud_word *)arg;
	sud_word ret;

	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL))
		return 2;
	if (sud_arm_native(&sud_selector))
		return 3;
	sud_selector = SUD_BLOCK;
	ret = sud_foreign_call(nr, 0, 0, 0, 0, 0, 0);
	sud_selector = SUD_ALLOW;
	if (sud_count)
		return 4;
	return ret == nr ? 0 : 5;
}

/* In the end no signal is delivered. That is no reason to restart, either. */
TEST_F_TIMEOUT(number, D7_ip_and_result_exact_when_tracer_drops_signal, 10)
{
	sud_word nr = variant->nr;
	int status, stops = 0;
	pid_t pid;

	pid = fork();
	ASSERT_LE(0, pid);
	if (pid == 0)
		_exit(child_skipped(&nr));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	while (WIFSTOPPED(status)) {
		ASSERT_EQ(SIGSYS, WSTOPSIG(status));
		/* A restart would loop here forever. */
		if (++stops > 5) {
			kill(pid, SIGKILL);
			break;
		}
		ASSERT_EQ(0, ptrace(PTRACE_CONT, pid, NULL, NULL));
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
	}
	EXPECT_EQ(1, stops);
	EXPECT_TRUE(sud_exited(status, 0)) {
		TH_LOG("status %#x", status);
	}
}

/* ---- D8: a restarted call is dispatched with its own number ---- */

FIXTURE(interrupted)
{
	int pipe[2];
};

FIXTURE_SETUP(interrupted)
{
	SUD_REQUIRE_SETUP();
	ASSERT_TRUE(sud_setup());
	ASSERT_EQ(0, pipe(self->pipe));
}

FIXTURE_TEARDOWN(interrupted)
{
}

static void usr1_blocks(int sig)
{
	usr1_count++;
	sud_selector = SUD_BLOCK;
}

static void *interrupter(void *arg)
{
	if (!sud_wait_asleep(target, SYS_read))
		return "the reader did not fall asleep";
	if (syscall(SYS_tgkill, getpid(), target, SIGUSR1))
		return "tgkill failed";
	return NULL;
}

static long interrupted_read(struct __test_metadata *_metadata, int fd,
			     char *buf, int flags)
{
	struct sigaction act = {
		.sa_handler = usr1_blocks,
		.sa_flags = flags,
	};
	pthread_t thread;
	void *trouble;
	long ret;

	target = syscall(SYS_gettid);
	ASSERT_EQ(0, sigaction(SIGUSR1, &act, NULL));
	ASSERT_EQ(0, pthread_create(&thread, NULL, interrupter, NULL));
	ASSERT_EQ(0, sud_arm_native(&sud_selector));
	ret = sud_foreign_call(SYS_read, fd, SUD_PTR(buf), 1, 0, 0, 0);
	sud_selector = SUD_ALLOW;
	ASSERT_EQ(0, sud_off());
	ASSERT_EQ(0, pthread_join(thread, &trouble));
	EXPECT_EQ(NULL, trouble) {
		TH_LOG("%s", (char *)trouble);
	}
	EXPECT_EQ(1, usr1_count);
	return ret;
}

/* The call first runs and sleeps. Its restart meets a selector at BLOCK. */
TEST_F(interrupted, D8_read_is_dispatched_as_read)
{
	char byte = 0;

	EXPECT_EQ(SYS_read, interrupted_read(_metadata, self->pipe[0], &byte,
					     SA_RESTART));
	ASSERT_EQ(1, sud_count);
	EXPECT_EQ(SYS_read, sud_log[0].info.si_syscall);
	EXPECT_EQ((void *)sud_foreign_ip(), sud_log[0].info.si_call_addr);
	EXPECT_EQ(SYS_read, SUD_REG_RET(&sud_log[0].uc));
	EXPECT_EQ(sud_foreign_ip(),
		  (unsigned long)SUD_REG_IP(&sud_log[0].uc));
}

static int feed_fd;

/* The arguments are still those of the read, so the handler can run it. */
static void hook_feed_and_rerun(siginfo_t *info, ucontext_t *uc)
{
	if (write(feed_fd, "x", 1) == 1)
		sud_hook_rerun(info, uc);
}

TEST_F(interrupted, D8_read_can_be_rerun)
{
	char byte = 0;

	feed_fd = self->pipe[1];
	sud_hook = hook_feed_and_rerun;
	EXPECT_EQ(1, interrupted_read(_metadata, self->pipe[0], &byte,
				      SA_RESTART));
	EXPECT_EQ(1, sud_count);
	EXPECT_EQ('x', byte);
}

/* Without SA_RESTART there is no restart, and no dispatch. */
TEST_F(interrupted, D8_no_restart_no_dispatch)
{
	char byte = 0;

	EXPECT_EQ(-EINTR, interrupted_read(_metadata, self->pipe[0], &byte, 0));
	EXPECT_EQ(0, sud_count);
}

/*
 * Without any handler: the parent stops the child, changes the selector, and
 * continues the child.
 */
struct stopped {
	volatile uint8_t selector;
	volatile bool rerun;
	volatile unsigned int count;
	volatile int nr;
	volatile int code;
	volatile long ax;
	volatile unsigned long ip;
	volatile long ret;
	struct timespec request;
	struct pollfd pollfd;
	int pipe[2];
	char byte;
};

static struct stopped *stopped;

static void hook_stopped(siginfo_t *info, ucontext_t *uc)
{
	stopped->selector = SUD_ALLOW;
	stopped->count++;
	stopped->nr = info->si_syscall;
	stopped->code = info->si_code;
	stopped->ax = SUD_REG_RET(uc);
	stopped->ip = SUD_REG_IP(uc);
	if (stopped->rerun)
		SUD_REG_IP(uc) -= SUD_INSN_LEN;
}

enum call { CALL_READ, CALL_PAUSE, CALL_NANOSLEEP, CALL_CLOCK_NANOSLEEP,
	    CALL_POLL, CALL_OTHER_NANOSLEEP };

#ifdef SUD_X32_BIT
/* The numbers of the other ABI, which a program may use, too. */
#define OTHER_NR(nr)	((nr) ^ SUD_X32_BIT)
#endif

static long make_call(enum call call)
{
	sud_word a = 0, b = 0, c = 0, d = 0, nr = -1;

	switch (call) {
	case CALL_READ:
		nr = SYS_read;
		a = stopped->pipe[0];
		b = SUD_PTR(&stopped->byte);
		c = 1;
		break;
	case CALL_PAUSE:
		nr = SYS_pause;
		break;
	case CALL_NANOSLEEP:
		nr = SYS_nanosleep;
		a = SUD_PTR(&stopped->request);
		break;
	case CALL_OTHER_NANOSLEEP:
#ifdef OTHER_NR
		nr = OTHER_NR(SYS_nanosleep);
#endif
		a = SUD_PTR(&stopped->request);
		break;
	case CALL_CLOCK_NANOSLEEP:
		nr = SYS_clock_nanosleep;
		a = CLOCK_MONOTONIC;
		c = SUD_PTR(&stopped->request);
		break;
	case CALL_POLL:
		nr = SYS_poll;
		a = SUD_PTR(&stopped->pollfd);
		b = 1;
		c = 2000 * sud_slow();
		break;
	}
	return sud_foreign_call(nr, a, b, c, d, 0, 0);
}

FIXTURE(stopped)
{
	pid_t pid;
};

FIXTURE_VARIANT(stopped)
{
	enum call call;
	/* the number in /proc while the call sleeps */
	long nr;
	/* the number that is dispatched */
	int restarted_nr;
};

FIXTURE_VARIANT_ADD(stopped, read)
{
	.call = CALL_READ, .nr = SYS_read, .restarted_nr = SYS_read,
};

FIXTURE_VARIANT_ADD(stopped, pause)
{
	.call = CALL_PAUSE, .nr = SYS_pause, .restarted_nr = SYS_pause,
};

FIXTURE_VARIANT_ADD(stopped, nanosleep)
{
	.call = CALL_NANOSLEEP, .nr = SYS_nanosleep,
	.restarted_nr = SYS_restart_syscall,
};

FIXTURE_VARIANT_ADD(stopped, clock_nanosleep)
{
	.call = CALL_CLOCK_NANOSLEEP, .nr = SYS_clock_nanosleep,
	.restarted_nr = SYS_restart_syscall,
};

FIXTURE_VARIANT_ADD(stopped, poll)
{
	.call = CALL_POLL, .nr = SYS_poll,
	.restarted_nr = SYS_restart_syscall,
};

#ifdef OTHER_NR
FIXTURE_VARIANT_ADD(stopped, other_nanosleep)
{
	.call = CALL_OTHER_NANOSLEEP, .nr = OTHER_NR(SYS_nanosleep),
	.restarted_nr = OTHER_NR(SYS_restart_syscall),
};
#endif

FIXTURE_SETUP(stopped)
{
	SUD_REQUIRE_SETUP();
#ifdef OTHER_NR
	if (variant->call == CALL_OTHER_NANOSLEEP &&
	    syscall(OTHER_NR(SYS_getpid)) != getpid())
		SUD_SKIP_SETUP("no x32 system calls in this kernel");
#endif
	ASSERT_TRUE(sud_setup());
	stopped = sud_share(sizeof(*stopped));
	ASSERT_NE(NULL, stopped);
	ASSERT_EQ(0, pipe(stopped->pipe));
	/* Long enough for the test to see the child asleep. */
	stopped->request.tv_sec = 2 * sud_slow();
	stopped->pollfd.fd = stopped->pipe[0];
	stopped->pollfd.events = POLLIN;
}

FIXTURE_TEARDOWN(stopped)
{
}

/* Fork, stop the child in its call, set the selector to @byte, and continue. */
static void stop_and_continue(struct __test_metadata *_metadata, pid_t *pid,
			      enum call call, long nr, uint8_t byte)
{
	int status;

	*pid = fork();
	ASSERT_LE(0, *pid);
	if (*pid == 0) {
		sud_die_with_parent();
		sud_hook = hook_stopped;
		if (sud_arm_native(&stopped->selector))
			_exit(2);
		stopped->ret = make_call(call);
		_exit(0);
	}
	ASSERT_TRUE(sud_wait_asleep(*pid, nr));
	ASSERT_EQ(0, kill(*pid, SIGSTOP));
	ASSERT_EQ(*pid, waitpid(*pid, &status, WUNTRACED));
	ASSERT_TRUE(WIFSTOPPED(status));
	stopped->selector = byte;
	ASSERT_EQ(0, kill(*pid, SIGCONT));
}

TEST_F(stopped, D8_restart_is_dispatched)
{
	int status;

	stop_and_continue(_metadata, &self->pid, variant->call, variant->nr,
			  SUD_BLOCK);
	ASSERT_EQ(self->pid, waitpid(self->pid, &status, 0));
	EXPECT_TRUE(sud_exited(status, 0)) {
		TH_LOG("status %#x", status);
	}
	EXPECT_EQ(1, stopped->count);
	EXPECT_EQ(SYS_USER_DISPATCH, stopped->code);
	EXPECT_EQ(variant->restarted_nr, stopped->nr);
	EXPECT_EQ(variant->restarted_nr, stopped->ax);
	EXPECT_EQ(sud_foreign_ip(), stopped->ip);
	EXPECT_EQ(variant->restarted_nr, stopped->ret);
}

/* Stepping back runs the call, with the result of its number. */
TEST_F(stopped, D8_dispatched_restart_can_be_rerun)
{
	int status;

	stopped->rerun = true;
	stop_and_continue(_metadata, &self->pid, variant->call, variant->nr,
			  SUD_BLOCK);
	if (variant->call == CALL_READ) {
		ASSERT_EQ(1, write(stopped->pipe[1], "x", 1));
	} else if (variant->call == CALL_PAUSE) {
		/*
		 * The call does not end by itself: check that it sleeps again.
		 */
		EXPECT_TRUE(sud_wait_asleep(self->pid, variant->nr));
		ASSERT_EQ(0, kill(self->pid, SIGKILL));
	}
	ASSERT_EQ(self->pid, waitpid(self->pid, &status, 0));
	EXPECT_EQ(1, stopped->count);
	EXPECT_EQ(variant->restarted_nr, stopped->nr);
	if (variant->call == CALL_PAUSE) {
		EXPECT_TRUE(sud_killed(status, SIGKILL));
		return;
	}
	EXPECT_TRUE(sud_exited(status, 0)) {
		TH_LOG("status %#x", status);
	}
	if (variant->call == CALL_READ) {
		EXPECT_EQ(1, stopped->ret);
		EXPECT_EQ('x', stopped->byte);
	} else {
		/*
		 * After the return from any handler, the kernel has no data
		 * for restart_syscall() to go on with.
		 */
		EXPECT_EQ(-EINTR, stopped->ret);
	}
}

/* If the selector allows, the restart runs without a dispatch. */
TEST_F(stopped, D8_allowed_restart_runs)
{
	int status;

	stop_and_continue(_metadata, &self->pid, variant->call, variant->nr,
			  SUD_ALLOW);
	if (variant->call == CALL_READ)
		ASSERT_EQ(1, write(stopped->pipe[1], "x", 1));
	if (variant->call == CALL_PAUSE) {
		EXPECT_TRUE(sud_wait_asleep(self->pid, variant->nr));
		ASSERT_EQ(0, kill(self->pid, SIGKILL));
	}
	ASSERT_EQ(self->pid, waitpid(self->pid, &status, 0));
	EXPECT_EQ(0, stopped->count);
	if (variant->call == CALL_PAUSE)
		return;
	EXPECT_TRUE(sud_exited(status, 0));
	EXPECT_EQ(variant->call == CALL_READ ? 1 : 0, stopped->ret);
}

TEST_HARNESS_MAIN
