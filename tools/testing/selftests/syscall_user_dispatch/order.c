// SPDX-License-Identifier: GPL-2.0
/*
 * Dispatch and the other users of system-call entry, one step at a time. Rules
 * O1, O2 and O7. The long mixes are in tracer.c, filters.c and observers.c.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>

#include "sud_ptrace.h"
#include "sud_seccomp.h"
#include "sud_trace.h"
#include "sud_uffd.h"

#include "sud_harness.h"

/* Numbers that no kernel implements, so that the test recognises its calls. */
#define NR_DISPATCHED	SUD_NR(20001)
#define NR_ALLOWED	SUD_NR(20002)

#define FILTER_ERRNO	ENOTNAM

/* Memory that the test, which traces, shares with its child. */
struct shared {
	volatile uint8_t selector;
	volatile int at_handler;
	volatile int go;
	volatile int handled;
	volatile int wrong;
	/* the number of calls that were made */
	volatile int dispatched;
	volatile int allowed;
};

static struct shared *shared;

FIXTURE(order)
{
	pid_t pid;
};

FIXTURE_SETUP(order)
{
	SUD_REQUIRE_SETUP();
	ASSERT_TRUE(sud_setup());
	shared = sud_share(sizeof(*shared));
	ASSERT_NE(NULL, shared);
}

FIXTURE_TEARDOWN(order)
{
}

static long call(long nr)
{
	return sud_foreign_call(nr, 0, 0, 0, 0, 0, 0);
}

static long blocked_call(long nr)
{
	long ret;

	shared->selector = SUD_BLOCK;
	ret = call(nr);
	shared->selector = SUD_ALLOW;
	return ret;
}

static void hook_shared_count(siginfo_t *info, ucontext_t *uc)
{
	shared->handled++;
}

/* ---- ptrace ---- */

/* The stops of a tracee. */
struct seen {
	int dispatched_stops;
	int sigsys;
	int entries;
	int exits;
	int allowed;
	int unpaired;
	int wrong_sigsys;
	int status;
};

#define ROUNDS 300

/* Dispatched foreign calls, running foreign calls and native calls, mixed. */
static void mixed_calls(void)
{
	unsigned int seed = 1;
	int i;

	sud_hook = hook_shared_count;
	if (sud_arm_native(&shared->selector))
		_exit(80);
	raise(SIGSTOP);
	for (i = 0; i < ROUNDS; i++) {
		seed = seed * 1103515245 + 12345;
		switch (i < 4 ? 0 : seed >> 16 & 3) {
		case 0:
		case 1:
			if (blocked_call(NR_DISPATCHED) != NR_DISPATCHED)
				shared->wrong++;
			shared->dispatched++;
			break;
		case 2:
			if (call(NR_ALLOWED) != -ENOSYS)
				shared->wrong++;
			shared->allowed++;
			break;
		case 3:
			if (getppid() <= 0)
				shared->wrong++;
			break;
		}
	}
	_exit(shared->wrong ? 81 : 0);
}

static void trace(struct __test_metadata *_metadata, pid_t pid,
		  struct seen *seen)
{
	struct ptrace_syscall_info info;
	siginfo_t siginfo;
	bool inside = false;
	int status, sig;
	uint64_t nr = 0;

	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_TRUE(WIFSTOPPED(status));
	ASSERT_EQ(0, ptrace(PTRACE_SETOPTIONS, pid, NULL,
			    (long)(PTRACE_O_TRACESYSGOOD |
				   PTRACE_O_EXITKILL)));
	sig = 0;
	for (;;) {
		ASSERT_EQ(0, ptrace(PTRACE_SYSCALL, pid, NULL, (long)sig));
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		if (!WIFSTOPPED(status))
			break;
		ASSERT_LT(0, ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(info),
				    &info));
		sig = 0;
		if (WSTOPSIG(status) != (SIGTRAP | 0x80)) {
			sig = WSTOPSIG(status);
			if (sig == SIGSTOP)
				sig = 0;
			if (sig != SIGSYS)
				continue;
			/* The signal is not part of any call's exit. */
			seen->sigsys++;
			if (inside || info.op != PTRACE_SYSCALL_INFO_NONE)
				seen->unpaired++;
			ASSERT_EQ(0, ptrace(PTRACE_GETSIGINFO, pid, NULL,
					    &siginfo));
			if (siginfo.si_code != SYS_USER_DISPATCH ||
			    siginfo.si_syscall != NR_DISPATCHED ||
			    info.instruction_pointer != sud_foreign_ip())
				seen->wrong_sigsys++;
			continue;
		}
		if (info.op == PTRACE_SYSCALL_INFO_ENTRY) {
			seen->entries++;
			if (inside)
				seen->unpaired++;
			inside = true;
			nr = info.entry.nr;
			if (nr == NR_DISPATCHED)
				seen->dispatched_stops++;
			if (nr == NR_ALLOWED)
				seen->allowed++;
		} else {
			seen->exits++;
			if (!inside || info.op != PTRACE_SYSCALL_INFO_EXIT)
				seen->unpaired++;
			inside = false;
			if (nr == NR_ALLOWED && info.exit.rval != -ENOSYS)
				seen->unpaired++;
		}
	}
	seen->status = status;
}

TEST_F(order, O1_O2_ptrace_syscall)
{
	struct seen seen = { };

	self->pid = fork();
	ASSERT_LE(0, self->pid);
	if (self->pid == 0) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL))
			_exit(82);
		mixed_calls();
	}
	trace(_metadata, self->pid, &seen);
	EXPECT_TRUE(sud_exited(seen.status, 0)) {
		TH_LOG("status %#x", seen.status);
	}
	EXPECT_EQ(0, seen.dispatched_stops);
	EXPECT_EQ(0, seen.unpaired);
	EXPECT_EQ(0, seen.wrong_sigsys);
	EXPECT_LT(50, shared->dispatched);
	EXPECT_EQ(shared->dispatched, seen.sigsys);
	EXPECT_EQ(shared->dispatched, shared->handled);
	EXPECT_LT(20, shared->allowed);
	EXPECT_EQ(shared->allowed, seen.allowed);
	/* exit_group() has no exit */
	EXPECT_EQ(seen.entries, seen.exits + 1);
}

/* Every call that runs is emulated. A dispatched call causes no stop. */
TEST_F(order, O1_ptrace_sysemu)
{
	struct ptrace_syscall_info info;
	int status, sig = 0, sigsys = 0, allowed = 0, dispatched = 0, stops = 0;

	self->pid = fork();
	ASSERT_LE(0, self->pid);
	if (self->pid == 0) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) ||
		    sud_arm_native(&shared->selector))
			_exit(82);
		raise(SIGSTOP);
		/* The return from the handler would be emulated, too. */
		blocked_call(NR_DISPATCHED);
		call(NR_ALLOWED);
		blocked_call(NR_DISPATCHED);
		for (;;)
			call(NR_ALLOWED);
	}
	ASSERT_EQ(self->pid, waitpid(self->pid, &status, 0));
	ASSERT_EQ(0, ptrace(PTRACE_SETOPTIONS, self->pid, NULL,
			    (long)(PTRACE_O_TRACESYSGOOD |
				   PTRACE_O_EXITKILL)));
	/*
	 * Suppress the signals: the calls are skipped, and the program goes
	 * on.
	 */
	while (allowed < 3 && stops++ < 100) {
		ASSERT_EQ(0, ptrace(PTRACE_SYSEMU, self->pid, NULL, (long)sig));
		ASSERT_EQ(self->pid, waitpid(self->pid, &status, 0));
		ASSERT_TRUE(WIFSTOPPED(status)) {
			TH_LOG("status %#x", status);
		}
		if (WSTOPSIG(status) == SIGSYS) {
			sigsys++;
			EXPECT_EQ(sigsys == 1 ? 0 : 1, allowed);
		}
		if (WSTOPSIG(status) != (SIGTRAP | 0x80))
			continue;
		ASSERT_LT(0, ptrace(PTRACE_GET_SYSCALL_INFO, self->pid,
				    sizeof(info), &info));
		if (info.entry.nr == NR_ALLOWED)
			allowed++;
		if (info.entry.nr == NR_DISPATCHED)
			dispatched++;
	}
	EXPECT_EQ(2, sigsys);
	EXPECT_EQ(3, allowed);
	EXPECT_EQ(0, dispatched);
	kill(self->pid, SIGKILL);
}

/*
 * In the handler, with no system call since the dispatch: spin until the
 * parent has set up its observer. Then make the next allowed call.
 */
static void hook_spin(siginfo_t *info, ucontext_t *uc)
{
	shared->at_handler = 1;
	while (!shared->go)
		__asm__ volatile("" ::: "memory");
	if (getppid() <= 0)
		shared->wrong++;
}

static void spin_in_handler(void)
{
	sud_die_with_parent();
	sud_hook = hook_spin;
	if (sud_arm_native(&shared->selector))
		_exit(80);
	if (blocked_call(NR_DISPATCHED) != NR_DISPATCHED)
		_exit(81);
	_exit(shared->wrong);
}

/* Wait until the child spins. Return: false if it ended instead. */
static bool wait_at_handler(pid_t pid)
{
	while (!shared->at_handler) {
		if (waitpid(pid, NULL, WNOHANG))
			return false;
		sched_yield();
	}
	return true;
}

/*
 * No tracer was attached when the call was dispatched. A tracer that attaches
 * while the handler runs sees both stops of the next call.
 */
TEST_F(order, O2_tracer_attached_in_handler_sees_both_stops)
{
	static const struct {
		int op;
		long nr;
	} want[] = {
		{ PTRACE_SYSCALL_INFO_ENTRY, SYS_getppid },
		{ PTRACE_SYSCALL_INFO_EXIT, 0 },
		{ PTRACE_SYSCALL_INFO_ENTRY, SYS_rt_sigreturn },
		{ PTRACE_SYSCALL_INFO_EXIT, 0 },
		{ PTRACE_SYSCALL_INFO_ENTRY, SYS_exit_group },
	};
	struct ptrace_syscall_info info;
	unsigned int i;
	int status;

	self->pid = fork();
	ASSERT_LE(0, self->pid);
	if (self->pid == 0)
		spin_in_handler();
	ASSERT_TRUE(wait_at_handler(self->pid));
	ASSERT_EQ(0, ptrace(PTRACE_SEIZE, self->pid, NULL,
			    (long)(PTRACE_O_TRACESYSGOOD |
				   PTRACE_O_EXITKILL)));
	ASSERT_EQ(0, ptrace(PTRACE_INTERRUPT, self->pid, NULL, NULL));
	ASSERT_EQ(self->pid, waitpid(self->pid, &status, 0));
	ASSERT_TRUE(WIFSTOPPED(status));
	shared->go = 1;
	for (i = 0; i < ARRAY_SIZE(want); i++) {
		ASSERT_EQ(0, ptrace(PTRACE_SYSCALL, self->pid, NULL, NULL));
		ASSERT_EQ(self->pid, waitpid(self->pid, &status, 0));
		ASSERT_TRUE(WIFSTOPPED(status));
		ASSERT_EQ(SIGTRAP | 0x80, WSTOPSIG(status));
		ASSERT_LT(0, ptrace(PTRACE_GET_SYSCALL_INFO, self->pid,
				    sizeof(info), &info));
		ASSERT_EQ(want[i].op, info.op) {
			TH_LOG("stop %u", i);
		}
		if (want[i].op == PTRACE_SYSCALL_INFO_ENTRY)
			EXPECT_EQ(want[i].nr, info.entry.nr);
	}
	ASSERT_EQ(0, ptrace(PTRACE_CONT, self->pid, NULL, NULL));
	ASSERT_EQ(self->pid, waitpid(self->pid, &status, 0));
	EXPECT_TRUE(sud_exited(status, 0)) {
		TH_LOG("status %#x", status);
	}
}

/* ---- seccomp ---- */

static int child_seccomp(void *arg)
{
	if (sud_arm_native(&shared->selector) ||
	    sud_seccomp_nr(NR_DISPATCHED, SECCOMP_RET_KILL_PROCESS, 0))
		return 2;
	sud_hook = hook_shared_count;
	if (blocked_call(NR_DISPATCHED) != NR_DISPATCHED)
		return 3;
	if (call(NR_ALLOWED) != -ENOSYS)
		return 4;
	if (arg) {
		call(NR_DISPATCHED);
		return 5;
	}
	return 0;
}

TEST_F(order, O1_seccomp_does_not_see_dispatched_calls)
{
	int status = sud_run_child(child_seccomp, NULL);

	EXPECT_TRUE(sud_exited(status, 0)) {
		TH_LOG("status %#x", status);
	}
	EXPECT_EQ(1, shared->handled);
}

TEST_F(order, O1_seccomp_acts_on_allowed_calls)
{
	int status = sud_run_child(child_seccomp, (void *)1);

	EXPECT_TRUE(sud_killed(status, SIGSYS)) {
		TH_LOG("status %#x", status);
	}
	EXPECT_EQ(1, shared->handled);
}

static int child_ptrace_seccomp(void *arg)
{
	if (sud_arm_native(&shared->selector) ||
	    sud_seccomp_nr(NR_ALLOWED, SECCOMP_RET_ERRNO | FILTER_ERRNO, 0))
		return 2;
	/* The thread is armed: the call is dispatched. */
	if (blocked_call(NR_ALLOWED) != NR_ALLOWED || sud_count != 1)
		return 4;
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL))
		return 5;
	raise(SIGSTOP);
	return call(NR_ALLOWED) == -FILTER_ERRNO ? 0 : 3;
}

/* An allowed call passes ptrace first, and then seccomp. */
TEST_F(order, O1_allowed_call_passes_ptrace_then_seccomp)
{
	struct ptrace_syscall_info info = { };
	int status;

	self->pid = fork();
	ASSERT_LE(0, self->pid);
	if (self->pid == 0)
		_exit(child_ptrace_seccomp(NULL));
	ASSERT_EQ(self->pid, waitpid(self->pid, &status, 0));
	ASSERT_TRUE(WIFSTOPPED(status));
	ASSERT_EQ(0, ptrace(PTRACE_SETOPTIONS, self->pid, NULL,
			    (long)(PTRACE_O_TRACESYSGOOD |
				   PTRACE_O_EXITKILL)));
	while (info.op != PTRACE_SYSCALL_INFO_ENTRY ||
	       info.entry.nr != NR_ALLOWED) {
		ASSERT_EQ(0, ptrace(PTRACE_SYSCALL, self->pid, NULL, NULL));
		ASSERT_EQ(self->pid, waitpid(self->pid, &status, 0));
		ASSERT_TRUE(WIFSTOPPED(status));
		ASSERT_LT(0, ptrace(PTRACE_GET_SYSCALL_INFO, self->pid,
				    sizeof(info), &info));
	}
	ASSERT_EQ(0, ptrace(PTRACE_SYSCALL, self->pid, NULL, NULL));
	ASSERT_EQ(self->pid, waitpid(self->pid, &status, 0));
	ASSERT_LT(0, ptrace(PTRACE_GET_SYSCALL_INFO, self->pid, sizeof(info),
			    &info));
	EXPECT_EQ(PTRACE_SYSCALL_INFO_EXIT, info.op);
	EXPECT_EQ(-FILTER_ERRNO, info.exit.rval);
	ASSERT_EQ(0, ptrace(PTRACE_CONT, self->pid, NULL, NULL));
	ASSERT_EQ(self->pid, waitpid(self->pid, &status, 0));
	EXPECT_TRUE(sud_exited(status, 0)) {
		TH_LOG("status %#x", status);
	}
}

/* ---- tracepoints ---- */

TEST_F(order, O2_tracepoint_enabled_in_handler_sees_both)
{
	static struct sud_trace trace;
	int status, err;

	err = sud_trace_open(&trace);
	if (err)
		SKIP(return, "no tracefs: %s", strerror(-err));
	self->pid = fork();
	if (self->pid == 0)
		spin_in_handler();
	err = !wait_at_handler(self->pid);
	err = err ?: sud_trace_start(&trace, self->pid);
	shared->go = 1;
	err = err ?: waitpid(self->pid, &status, 0) != self->pid;
	err = err ?: sud_trace_read(&trace);
	sud_trace_close(&trace);
	ASSERT_EQ(0, err);
	EXPECT_TRUE(sud_exited(status, 0)) {
		TH_LOG("status %#x", status);
	}
	/* getppid(), rt_sigreturn(), and exit_group(), which has no exit */
	ASSERT_EQ(5, trace.n);
	EXPECT_EQ(SUD_SEEN_ENTRY, trace.seen[0].what);
	EXPECT_EQ(SYS_getppid, trace.seen[0].nr);
	EXPECT_EQ(SUD_SEEN_EXIT, trace.seen[1].what);
	EXPECT_EQ(SYS_getppid, trace.seen[1].nr);
	EXPECT_EQ(SUD_SEEN_ENTRY, trace.seen[2].what);
	EXPECT_EQ(SUD_SEEN_EXIT, trace.seen[3].what);
	EXPECT_EQ(SUD_SEEN_ENTRY, trace.seen[4].what);
	EXPECT_EQ(SYS_exit_group, trace.seen[4].nr);
}

/* ---- O7: work requested while the read of the selector sleeps ---- */

static long installed = -2;

static void meanwhile_filter(void *arg)
{
	installed = sud_seccomp_nr(SYS_getppid,
				   SECCOMP_RET_ERRNO | FILTER_ERRNO,
				   SECCOMP_FILTER_FLAG_TSYNC);
}

static void sleep_in_selector(struct __test_metadata *_metadata,
			      struct sud_uffd *u, long nr, long *ret)
{
	const char *trouble;

	ASSERT_EQ(0, sud_uffd_start(u));
	ASSERT_EQ(0, sud_arm_native(u->page));
	*ret = call(nr);
	ASSERT_EQ(0, sud_off());
	trouble = sud_uffd_join(u);
	ASSERT_EQ(NULL, trouble) {
		TH_LOG("%s", trouble);
	}
}

TEST_F(order, O7_filter_installed_during_selector_read)
{
	struct sud_uffd u = {
		.meanwhile = meanwhile_filter,
		.byte = SUD_ALLOW,
	};
	long ret;
	int err;

	err = sud_uffd_open(&u);
	if (err)
		SKIP(return, "userfaultfd: %s", strerror(-err));
	ASSERT_EQ(0, prctl(PR_SET_NO_NEW_PRIVS, 1UL, 0UL, 0UL, 0UL));
	sleep_in_selector(_metadata, &u, SYS_getppid, &ret);
	ASSERT_EQ(0, installed);
	EXPECT_EQ(-FILTER_ERRNO, ret);
	EXPECT_EQ(0, sud_count);
}

/* If the byte becomes BLOCK, the call is dispatched without the filter. */
TEST_F(order, O7_filter_does_not_see_a_blocked_call)
{
	struct sud_uffd u = {
		.meanwhile = meanwhile_filter,
		.byte = SUD_BLOCK,
	};
	long ret;
	int err;

	err = sud_uffd_open(&u);
	if (err)
		SKIP(return, "userfaultfd: %s", strerror(-err));
	ASSERT_EQ(0, prctl(PR_SET_NO_NEW_PRIVS, 1UL, 0UL, 0UL, 0UL));
	sleep_in_selector(_metadata, &u, SYS_getppid, &ret);
	ASSERT_EQ(0, installed);
	EXPECT_EQ(SYS_getppid, ret);
	EXPECT_EQ(1, sud_count);
	EXPECT_EQ(-1, syscall(SYS_getppid));
	EXPECT_EQ(FILTER_ERRNO, errno);
}

TEST_HARNESS_MAIN
