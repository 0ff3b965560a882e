// SPDX-License-Identifier: GPL-2.0
/*
 * Dispatch and observers: the raw_syscalls tracepoints and audit, read as an
 * administrator reads them, and probes in the program itself. Rules O1, O2,
 * O7, F5 and V3. order.c has the tests that need only tracepoints.
 */
#define _GNU_SOURCE
#include "sud_ptrace.h"
#include "sud_audit.h"
#include "sud_core.h"
#include "sud_seccomp.h"
#include "sud_trace.h"
#include "sud_uffd.h"
#include "sud_uprobe.h"

#include <pthread.h>
#include <sched.h>

#include "sud_harness.h"

/*
 * Numbers that no kernel implements. Audit rules have no numbers above 2047.
 * The numbers thus lack the x32 bit, which x32 programs may leave out.
 */
#define NR_DISPATCHED	1001
#define NR_ALLOWED	1002
#define NR_CHANGED	1003
#define NR_CHANGED_2	1004
#define NR_MARK		1005
#define NR_FATAL	1006

/* Memory that the test, which observes, shares with its child. */
struct shared {
	volatile uint8_t selector;
	/* the child is ready, and its number */
	volatile int ready;
	volatile pid_t tid;
	/* the child may go on */
	volatile int go;
	volatile unsigned int handled;
	volatile unsigned int wrong;
};

static struct shared *shared;
static struct sud_trace trace;
static struct sud_audit audit;
static struct sud_script script;

/* The audit records of one process. */
static struct {
	pid_t pid;
	/* system calls, as exits */
	unsigned int n;
	struct sud_seen seen[4096];
	unsigned int wrong_arch;
	/* abnormal ends, and the signal of the last one */
	unsigned int abends;
	int abend_signal;
} audited;

static void setup(struct __test_metadata *_metadata)
{
	SUD_REQUIRE_SETUP();
	ASSERT_TRUE(sud_setup());
	shared = sud_share(sizeof(*shared));
	ASSERT_NE(NULL, shared);
	ASSERT_EQ(0, sud_core_limit(false));
}

/* From here to stop_watching(), the test changes state of the whole system. */
static void need(struct __test_metadata *_metadata, bool want_trace,
		 bool want_audit)
{
	const char *trouble = want_audit ? sud_audit_open(&audit) : NULL;
	int err;

	if (trouble)
		SKIP(_exit(255), "%s", trouble);
	err = want_trace ? sud_trace_open(&trace) : 0;
	if (err) {
		if (want_audit)
			sud_audit_close(&audit);
		SKIP(_exit(255), "no tracefs: %s", strerror(-err));
	}
}

static void record(int type, const char *text, void *arg)
{
	struct sud_seen *seen = &audited.seen[audited.n];

	if (sud_audit_field(text, " pid=", 10) != audited.pid)
		return;
	if (type == AUDIT_ANOM_ABEND) {
		audited.abends++;
		audited.abend_signal = sud_audit_field(text, " sig=", 10);
	}
	if (type != AUDIT_SYSCALL || audited.n == ARRAY_SIZE(audited.seen))
		return;
	if (sud_audit_field(text, " arch=", 16) != SUD_AUDIT_ARCH)
		audited.wrong_arch++;
	seen->what = SUD_SEEN_EXIT;
	seen->nr = sud_audit_field(text, " syscall=", 10);
	seen->ret = sud_audit_field(text, " exit=", 10);
	audited.n++;
}

static int watch(bool with_trace, bool with_audit, pid_t pid)
{
	int err;

	audited.pid = pid;
	err = with_trace ? sud_trace_start(&trace, shared->tid) : 0;
	if (!err && with_audit)
		err = sud_audit_rule(&audit, pid) ?:
		      sud_audit_enable(&audit, true);
	return err;
}

static int stop_watching(bool with_trace, bool with_audit)
{
	int err = 0;

	if (with_trace) {
		err = sud_trace_read(&trace);
		sud_trace_close(&trace);
	}
	if (with_audit) {
		err = err ?: sud_audit_read(&audit, record, NULL);
		sud_audit_close(&audit);
	}
	return err;
}

/* In the child: report that it is ready, and wait without a system call. */
static void wait_to_go(void)
{
	shared->ready = 1;
	while (!shared->go)
		__asm__ volatile("" ::: "memory");
}

/* Exit status of a child if the kernel lacks userfaultfd. */
#define NO_UFFD 77

/* The status of a child that ended before it was ready. */
static int early_status;

static bool wait_ready(pid_t pid)
{
	while (!shared->ready) {
		if (waitpid(pid, &early_status, WNOHANG))
			return false;
		sched_yield();
	}
	return true;
}

/* Observers must be switched off even if the child hangs. */
static void begin_child(void)
{
	sud_die_with_parent();
	alarm(20 * sud_slow());
	shared->tid = getpid();
}

/* A child that calls wait_to_go(). Return only when it waits there. */
static pid_t start_child(int (*fn)(void *arg), void *arg)
{
	pid_t pid = fork();

	if (pid == 0) {
		begin_child();
		_exit(fn(arg));
	}
	return pid > 0 && wait_ready(pid) ? pid : -1;
}

static int end_of(pid_t pid)
{
	int status;

	return waitpid(pid, &status, 0) == pid ? status : -1;
}

static void check_end(struct __test_metadata *_metadata, int status)
{
	EXPECT_TRUE(sud_exited(status, 0)) {
		TH_LOG("status %#x", status);
	}
	EXPECT_EQ(0, shared->wrong);
}

static sud_word call(long nr)
{
	return sud_foreign_call(nr, 0, 0, 0, 0, 0, 0);
}

/* Keep only entries with the test's own numbers. Return: how many. */
static unsigned int keep_own(struct sud_seen *seen, unsigned int n)
{
	unsigned int i, kept = 0;

	for (i = 0; i < n; i++) {
		if (seen[i].nr >= SUD_SCRIPT_FIRST &&
		    seen[i].nr <= SUD_SCRIPT_LAST)
			seen[kept++] = seen[i];
	}
	return kept;
}

static void check_seen(struct __test_metadata *_metadata, unsigned int i,
		       const struct sud_seen *want, const struct sud_seen *seen)
{
	ASSERT_EQ(want->what, seen->what) {
		TH_LOG("%u: %s of call %ld expected, %s of call %ld", i,
		       sud_seen_names[want->what], want->nr,
		       sud_seen_names[seen->what], seen->nr);
	}
	/* When rt_sigreturn() returns, its number is lost. */
	if (want->what != SUD_SEEN_EXIT || seen->nr != -1)
		ASSERT_EQ(want->nr, seen->nr);
	/* A 32-bit tracer may have cut off the upper half of a sign. */
	ASSERT_EQ((long)want->ret, (long)seen->ret);
}

static void check_list(struct __test_metadata *_metadata,
		       const struct sud_seen *want, unsigned int n_want,
		       const struct sud_seen *seen, unsigned int n_seen)
{
	unsigned int i;

	for (i = 0; i < n_want && i < n_seen; i++)
		check_seen(_metadata, i, &want[i], &seen[i]);
	ASSERT_EQ(n_want, n_seen);
}

/* Audit writes one record for each call, on its exit. */
static void check_audit(struct __test_metadata *_metadata,
			const struct sud_seen *want, unsigned int n_want)
{
	EXPECT_EQ(0, audited.wrong_arch);
	check_list(_metadata, want, n_want, audited.seen, audited.n);
}

/* ---- O1, O2: all kinds of calls, mixed ---- */

#define SEED 20201122

static int run_script(void *arg)
{
	if (sud_arm_native(&shared->selector))
		return 80;
	wait_to_go();
	return sud_script_run(SEED, &shared->selector, 0) ? 81 : 0;
}

static int watch_script(bool with_trace, bool with_audit, int *status)
{
	pid_t pid;
	int err;

	sud_script_expect(&script, SEED);
	pid = start_child(run_script, NULL);
	err = pid < 0 ? -1 : watch(with_trace, with_audit, pid);
	shared->go = 1;
	*status = pid < 0 ? -1 : end_of(pid);
	return stop_watching(with_trace, with_audit) ?: err;
}

/* Reduce the script to the part that this observer sees. */
static void reduce_script(bool (*sees)(const struct sud_seen *seen))
{
	unsigned int i, n = 0;

	for (i = 0; i < script.n; i++) {
		if (sees(&script.seen[i]))
			script.seen[n++] = script.seen[i];
	}
	script.n = n;
}

static bool trace_sees(const struct sud_seen *seen)
{
	return seen->what != SUD_SEEN_SIGSYS;
}

static bool audit_sees(const struct sud_seen *seen)
{
	/* The mask of a rule ends at that number. */
	return seen->what == SUD_SEEN_EXIT && seen->nr < 2048;
}

FIXTURE(observers)
{
	int status;
};

FIXTURE_SETUP(observers)
{
	setup(_metadata);
}

FIXTURE_TEARDOWN(observers)
{
}

/* The only system calls are the script's and exit(), which has no exit. */
TEST_F(observers, O1_O2_tracepoints_list_the_allowed_calls)
{
	need(_metadata, true, false);
	ASSERT_EQ(0, watch_script(true, false, &self->status));
	check_end(_metadata, self->status);
	reduce_script(trace_sees);
	sud_script_add(&script, SUD_SEEN_ENTRY, SYS_exit_group, 0);
	EXPECT_LT(2 * SUD_SCRIPT_STEPS, trace.n);
	check_list(_metadata, script.seen, script.n, trace.seen, trace.n);
}

TEST_F(observers, O1_O2_audit_lists_the_allowed_calls)
{
	need(_metadata, false, true);
	ASSERT_EQ(0, watch_script(false, true, &self->status));
	check_end(_metadata, self->status);
	/* The final exit is recorded, and has no result. */
	sud_script_add(&script, SUD_SEEN_EXIT, SYS_exit_group, LONG_MIN);
	reduce_script(audit_sees);
	check_audit(_metadata, script.seen, script.n);
}

TEST_F(observers, O1_O2_tracepoints_and_audit_agree)
{
	unsigned int i, k;

	need(_metadata, true, true);
	ASSERT_EQ(0, watch_script(true, true, &self->status));
	check_end(_metadata, self->status);
	trace.n = keep_own(trace.seen, trace.n);
	audited.n = keep_own(audited.seen, audited.n);
	ASSERT_LT(SUD_SCRIPT_STEPS / SUD_STEP_KINDS, audited.n);
	for (i = 0, k = 0; i < trace.n; i++) {
		if (trace.seen[i].what != SUD_SEEN_EXIT)
			continue;
		ASSERT_LT(k, audited.n);
		check_seen(_metadata, k, &audited.seen[k], &trace.seen[i]);
		k++;
	}
	EXPECT_EQ(audited.n, k);
}

/* ---- O2: switched on in the handler ---- */

static void hook_wait_then_call(siginfo_t *info, ucontext_t *uc)
{
	shared->handled++;
	wait_to_go();
	if (syscall(NR_ALLOWED) != -1)
		shared->wrong++;
}

static int wait_in_handler(void *arg)
{
	sud_hook = hook_wait_then_call;
	if (sud_arm_native(&shared->selector))
		return 80;
	shared->selector = SUD_BLOCK;
	return call(NR_DISPATCHED) == NR_DISPATCHED ? 0 : 81;
}

/*
 * Nothing was recorded when the call was dispatched. The next call after
 * auditing is switched on is recorded as usual.
 */
TEST_F(observers, O2_audit_enabled_in_handler_sees_next_call)
{
	static const struct sud_seen want[] = {
		{ SUD_SEEN_EXIT, NR_ALLOWED, -ENOSYS },
		{ SUD_SEEN_EXIT, SYS_rt_sigreturn, NR_DISPATCHED },
		{ SUD_SEEN_EXIT, SYS_exit_group, LONG_MIN },
	};
	/* x32: the last two are beyond a rule's mask. */
	unsigned int n_want = SUD_NR(0) ? 1 : ARRAY_SIZE(want);
	pid_t pid;
	int err;

	need(_metadata, false, true);
	/* The child is created while auditing is on, so it can be audited. */
	pid = fork();
	if (pid == 0) {
		begin_child();
		raise(SIGSTOP);
		_exit(wait_in_handler(NULL));
	}
	waitpid(pid, &self->status, WUNTRACED);
	err = sud_audit_enable(&audit, false);
	kill(pid, SIGCONT);
	if (!wait_ready(pid))
		err = -ECHILD;
	err = err ?: watch(false, true, pid);
	shared->go = 1;
	self->status = end_of(pid);
	err = stop_watching(false, true) ?: err;
	ASSERT_EQ(0, err);
	check_end(_metadata, self->status);
	EXPECT_EQ(1, shared->handled);
	check_audit(_metadata, want, n_want);
}

/* ---- O2, O7: switched on while the selector is read ---- */

static void hook_call(siginfo_t *info, ucontext_t *uc)
{
	shared->handled++;
	if (syscall(NR_MARK) != -1)
		shared->wrong++;
}

static void meanwhile_wait(void *arg)
{
	wait_to_go();
}

static int sleep_in_selector(void *arg)
{
	struct sud_uffd u = {
		.meanwhile = meanwhile_wait,
		.byte = *(uint8_t *)arg,
	};
	sud_word want = u.byte == SUD_BLOCK ? NR_DISPATCHED : -ENOSYS;

	sud_hook = hook_call;
	if (sud_uffd_open(&u))
		return NO_UFFD;
	if (sud_uffd_start(&u) || sud_arm_native(u.page) ||
	    call(NR_DISPATCHED) != want)
		return 81;
	if (syscall(NR_ALLOWED) != -1)
		return 82;
	return sud_uffd_join(&u) ? 83 : 0;
}

/* All observers are switched on while the kernel reads the byte. */
static void watch_sleeper(struct __test_metadata *_metadata, uint8_t byte,
			  const struct sud_seen *want, unsigned int n_want)
{
	struct sud_seen exits[8];
	unsigned int i, n = 0;
	int status, err;
	pid_t pid;

	need(_metadata, true, true);
	pid = start_child(sleep_in_selector, &byte);
	err = pid < 0 ? -1 : watch(true, true, pid);
	shared->go = 1;
	status = pid < 0 ? -1 : end_of(pid);
	err = stop_watching(true, true) ?: err;
	if (sud_exited(early_status, NO_UFFD))
		SKIP(_exit(255), "no userfaultfd");
	ASSERT_EQ(0, err);
	check_end(_metadata, status);
	trace.n = keep_own(trace.seen, trace.n);
	audited.n = keep_own(audited.seen, audited.n);
	check_list(_metadata, want, n_want, trace.seen, trace.n);
	for (i = 0; i < n_want; i++) {
		if (want[i].what == SUD_SEEN_EXIT)
			exits[n++] = want[i];
	}
	check_audit(_metadata, exits, n);
}

TEST_F(observers, O2_observers_enabled_during_dispatch_do_not_see_it)
{
	static const struct sud_seen want[] = {
		{ SUD_SEEN_ENTRY, NR_MARK, 0 },
		{ SUD_SEEN_EXIT, NR_MARK, -ENOSYS },
		{ SUD_SEEN_ENTRY, NR_ALLOWED, 0 },
		{ SUD_SEEN_EXIT, NR_ALLOWED, -ENOSYS },
	};

	watch_sleeper(_metadata, SUD_BLOCK, want, ARRAY_SIZE(want));
	EXPECT_EQ(1, shared->handled);
}

TEST_F(observers, O7_observers_enabled_during_selector_read_see_the_call)
{
	static const struct sud_seen want[] = {
		{ SUD_SEEN_ENTRY, NR_DISPATCHED, 0 },
		{ SUD_SEEN_EXIT, NR_DISPATCHED, -ENOSYS },
		{ SUD_SEEN_ENTRY, NR_ALLOWED, 0 },
		{ SUD_SEEN_EXIT, NR_ALLOWED, -ENOSYS },
	};

	watch_sleeper(_metadata, SUD_ALLOW, want, ARRAY_SIZE(want));
	EXPECT_EQ(0, shared->handled);
}

/* ---- O1: the order of the observers ---- */

static void hook_count(siginfo_t *info, ucontext_t *uc)
{
	shared->handled++;
}

static int changed_twice(void *arg)
{
	sud_hook = hook_count;
	if (sud_arm_native(&shared->selector) ||
	    sud_seccomp_nr(NR_CHANGED, SECCOMP_RET_TRACE, 0))
		return 80;
	wait_to_go();
	raise(SIGSTOP);
	if (call(NR_ALLOWED) != -ENOSYS)
		return 81;
	/* The same call, blocked: no observer can change it. */
	shared->selector = SUD_BLOCK;
	if (call(NR_ALLOWED) != NR_ALLOWED || call(NR_CHANGED) != NR_CHANGED)
		return 82;
	return 0;
}

static int set_number(pid_t pid, long nr)
{
	struct user_regs_struct regs;

	if (sud_ptrace(PTRACE_GETREGS, pid, 0, (unsigned long)&regs))
		return -1;
	SUD_USER_NR(&regs) = nr;
	return sud_ptrace(PTRACE_SETREGS, pid, 0, (unsigned long)&regs);
}

/* The stops of the calls above. The tracer has attached. */
static int change_twice(pid_t pid)
{
	struct ptrace_syscall_info info;
	int i, stop;

	if (sud_wait_stop(pid) != SIGSTOP)
		return -1;
	for (i = 0; i < 100; i++) {
		memset(&info, 0, sizeof(info));
		stop = sud_resume(PTRACE_SYSCALL, pid, 0);
		if (stop < 0 ||
		    sud_ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(info),
			       (unsigned long)&info) <= 0)
			return -2;
		if (stop == SUD_STOP_SYSCALL &&
		    info.op == PTRACE_SYSCALL_INFO_ENTRY &&
		    info.entry.nr == NR_ALLOWED)
			break;
	}
	if (set_number(pid, NR_CHANGED))
		return -3;
	/* Seccomp sees the number that the tracer set. */
	if (sud_resume(PTRACE_SYSCALL, pid, 0) !=
	    SUD_STOP_EVENT(PTRACE_EVENT_SECCOMP))
		return -4;
	if (set_number(pid, NR_CHANGED_2))
		return -5;
	if (sud_resume(PTRACE_SYSCALL, pid, 0) != SUD_STOP_SYSCALL)
		return -6;
	/* Two dispatches stop with SIGSYS, and nothing else stops. */
	if (sud_resume(PTRACE_CONT, pid, 0) != SIGSYS ||
	    sud_resume(PTRACE_CONT, pid, SIGSYS) != SIGSYS ||
	    sud_ptrace(PTRACE_CONT, pid, 0, SIGSYS))
		return -7;
	return 0;
}

/*
 * Each observer may change the number, and the next one sees the change: first
 * the tracer, then the filter, and after both the tracepoint and audit.
 */
TEST_F(observers, O1_tracer_then_seccomp_then_tracepoint_and_audit)
{
	static const struct sud_seen want[] = {
		{ SUD_SEEN_ENTRY, NR_CHANGED_2, 0 },
		{ SUD_SEEN_EXIT, NR_CHANGED_2, -ENOSYS },
	};
	int err, change = 1;
	pid_t pid;

	need(_metadata, true, true);
	pid = start_child(changed_twice, NULL);
	err = pid < 0 ? -1 : watch(true, true, pid);
	err = err ?: sud_ptrace(PTRACE_SEIZE, pid, 0,
				PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL |
				PTRACE_O_TRACESECCOMP);
	shared->go = 1;
	if (!err)
		change = change_twice(pid);
	if (change)
		kill(pid, SIGKILL);
	self->status = pid < 0 ? -1 : end_of(pid);
	err = stop_watching(true, true) ?: err;
	ASSERT_EQ(0, err);
	ASSERT_EQ(0, change);
	check_end(_metadata, self->status);
	EXPECT_EQ(2, shared->handled);
	trace.n = keep_own(trace.seen, trace.n);
	audited.n = keep_own(audited.seen, audited.n);
	check_list(_metadata, want, ARRAY_SIZE(want), trace.seen, trace.n);
	check_audit(_metadata, want + 1, 1);
}

/* ---- F5: observers see no call that meets a bad selector ---- */

FIXTURE(fatal)
{
	int status;
};

FIXTURE_VARIANT(fatal)
{
	int sig;
	bool other_thread;
};

FIXTURE_VARIANT_ADD(fatal, byte) { .sig = SIGSYS };
FIXTURE_VARIANT_ADD(fatal, unmapped) { .sig = SIGSEGV };

FIXTURE_VARIANT_ADD(fatal, byte_in_thread) {
	.sig = SIGSYS,
	.other_thread = true,
};

FIXTURE_VARIANT_ADD(fatal, unmapped_in_thread) {
	.sig = SIGSEGV,
	.other_thread = true,
};

FIXTURE_SETUP(fatal)
{
	setup(_metadata);
}

FIXTURE_TEARDOWN(fatal)
{
}

static const struct sud_seen last_call[] = {
	{ SUD_SEEN_ENTRY, NR_MARK, 0 },
	{ SUD_SEEN_EXIT, NR_MARK, -ENOSYS },
};

static int doomed(void *arg)
{
	volatile uint8_t *selector = &shared->selector;
	int sig = *(int *)arg;
	void *p;

	if (sig == SIGSEGV) {
		p = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS,
			 -1, 0);
		if (p == MAP_FAILED || munmap(p, 4096))
			return 79;
		selector = p;
	} else {
		*selector = 2;
	}
	if (sud_arm_native(selector))
		return 80;
	shared->tid = syscall(SYS_gettid);
	wait_to_go();
	syscall(NR_MARK);
	call(NR_FATAL);
	shared->wrong++;
	return 81;
}

static void *doomed_thread(void *arg)
{
	_exit(doomed(arg));
	return NULL;
}

static int doomed_in_thread(void *arg)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, doomed_thread, arg))
		return 79;
	for (;;)
		pause();
}

static void watch_doomed(struct __test_metadata *_metadata, int sig,
			 bool other_thread, bool with_trace, bool with_audit)
{
	int status, err;
	pid_t pid;

	need(_metadata, with_trace, with_audit);
	pid = start_child(other_thread ? doomed_in_thread : doomed, &sig);
	err = pid < 0 ? -1 : watch(with_trace, with_audit, pid);
	shared->go = 1;
	status = pid < 0 ? -1 : end_of(pid);
	err = stop_watching(with_trace, with_audit) ?: err;
	ASSERT_EQ(0, err);
	EXPECT_EQ(0, shared->wrong);
	EXPECT_TRUE(sud_killed(status, sig)) {
		TH_LOG("status %#x", status);
	}
}

TEST_F(fatal, F5_tracepoints_see_no_exit)
{
	watch_doomed(_metadata, variant->sig, variant->other_thread, true,
		     false);
	check_list(_metadata, last_call, ARRAY_SIZE(last_call), trace.seen,
		   trace.n);
}

/* The only record is that of the attempted core dump. */
TEST_F(fatal, F5_audit_sees_no_call)
{
	watch_doomed(_metadata, variant->sig, variant->other_thread, false,
		     true);
	audited.n = keep_own(audited.seen, audited.n);
	check_audit(_metadata, last_call + 1, 1);
	EXPECT_EQ(1, audited.abends);
	EXPECT_EQ(variant->sig, audited.abend_signal);
}

/* The exit event and the end: no stop for the call, and none for a signal. */
TEST_F(fatal, F5_tracer_sees_no_exit_stop)
{
	unsigned long message = 0;
	int sig = variant->sig, stop = 0, i;
	pid_t pid;

	pid = start_child(variant->other_thread ? doomed_in_thread : doomed,
			  &sig);
	ASSERT_LT(0, pid);
	ASSERT_EQ(0, sud_ptrace(PTRACE_SEIZE, shared->tid, 0,
				PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL |
				PTRACE_O_TRACEEXIT));
	ASSERT_EQ(0, sud_ptrace(PTRACE_INTERRUPT, shared->tid, 0, 0));
	ASSERT_EQ(SUD_STOP_GROUP(SIGTRAP), sud_wait_stop(shared->tid));
	shared->go = 1;
	/* The call before it has both stops. */
	for (i = 0; i < 2; i++)
		ASSERT_EQ(SUD_STOP_SYSCALL,
			  sud_resume(PTRACE_SYSCALL, shared->tid, 0));
	stop = sud_resume(PTRACE_SYSCALL, shared->tid, 0);
	ASSERT_EQ(SUD_STOP_EVENT(PTRACE_EVENT_EXIT), stop) {
		TH_LOG("stop %#x", stop);
	}
	ASSERT_EQ(0, sud_ptrace(PTRACE_GETEVENTMSG, shared->tid, 0,
				(unsigned long)&message));
	EXPECT_EQ(sig, message & 0x7f);
	ASSERT_EQ(0, sud_ptrace(PTRACE_SYSCALL, shared->tid, 0, 0));
	ASSERT_EQ(shared->tid, waitpid(shared->tid, &self->status, __WALL));
	EXPECT_TRUE(sud_killed(self->status, sig)) {
		TH_LOG("status %#x", self->status);
	}
	EXPECT_EQ(0, shared->wrong);
	if (shared->tid != pid)
		EXPECT_TRUE(sud_killed(end_of(pid), sig));
}

static void meanwhile_kill(void *arg)
{
	kill(getpid(), SIGKILL);
}

static int killed_in_read(void *arg)
{
	struct sud_uffd u = { .meanwhile = meanwhile_kill };

	if (sud_uffd_open(&u))
		return NO_UFFD;
	if (sud_uffd_start(&u) || sud_arm_native(u.page))
		return 80;
	wait_to_go();
	syscall(NR_MARK);
	call(NR_FATAL);
	shared->wrong++;
	return 81;
}

/*
 * A thread is killed while it sleeps in the read of its selector. The read
 * fails because of the kill, not because of the selector: no SIGSEGV is
 * recorded.
 */
TEST_F(observers, F5_killed_in_read_leaves_no_record)
{
	pid_t pid;
	int err;

	need(_metadata, true, true);
	pid = start_child(killed_in_read, NULL);
	err = pid < 0 ? -1 : watch(true, true, pid);
	shared->go = 1;
	self->status = pid < 0 ? -1 : end_of(pid);
	err = stop_watching(true, true) ?: err;
	if (sud_exited(early_status, NO_UFFD))
		SKIP(return, "no userfaultfd");
	ASSERT_EQ(0, err);
	EXPECT_TRUE(sud_killed(self->status, SIGKILL)) {
		TH_LOG("status %#x", self->status);
	}
	EXPECT_FALSE(WCOREDUMP(self->status));
	EXPECT_EQ(0, shared->wrong);
	EXPECT_EQ(0, audited.abends) {
		TH_LOG("an abnormal end by signal %d is on record",
		       audited.abend_signal);
	}
	trace.n = keep_own(trace.seen, trace.n);
	audited.n = keep_own(audited.seen, audited.n);
	check_list(_metadata, last_call, ARRAY_SIZE(last_call), trace.seen,
		   trace.n);
	check_audit(_metadata, last_call + 1, 1);
}

/* ---- V3: probes in user space ---- */

FIXTURE(uprobe)
{
	int fd;
};

FIXTURE_VARIANT(uprobe)
{
	bool ret;
};

FIXTURE_VARIANT_ADD(uprobe, entry) { .ret = false };
FIXTURE_VARIANT_ADD(uprobe, return) { .ret = true };

sud_word __attribute__((noinline, noclone)) probed(sud_word nr)
{
	/* Make a call from the foreign page, if there is one to make. */
	if (nr >= 0)
		nr = call(nr);
	__asm__ volatile("" : "+r" (nr));
	return nr + 1;
}

/* The same after a 10-byte nop, which 7.2 turns into a call of uprobe(). */
sud_word probed_nop(sud_word nr);
__asm__(".pushsection .text\n"
	".balign 16\n"
	".globl probed_nop\n"
	".type probed_nop, @function\n"
	"probed_nop:\n"
	".byte 0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0\n"
	"jmp probed\n"
	".size probed_nop, . - probed_nop\n"
	".popsection\n");

FIXTURE_SETUP(uprobe)
{
	setup(_metadata);
	self->fd = sud_uprobe((unsigned long)probed, variant->ret);
	if (self->fd == -ENOENT)
		SUD_SKIP_SETUP("no uprobe events in this kernel");
	if (self->fd == -EACCES || self->fd == -EPERM)
		SUD_SKIP_SETUP("needs root, for a uprobe");
	ASSERT_LE(0, self->fd) {
		TH_LOG("perf_event_open: %s", strerror(-self->fd));
	}
}

FIXTURE_TEARDOWN(uprobe)
{
	close(self->fd);
}

/*
 * Only the foreign page is exempt. If the kernel put a system call into the
 * function's path, it would be dispatched, or would read the selector's page.
 */
static void check_probed(struct __test_metadata *_metadata,
			 sud_word (*function)(sud_word nr), int fd)
{
	unsigned long page = sysconf(_SC_PAGESIZE);
	sud_word armed, ret, off;
	unsigned char core;
	void *selector;
	unsigned int i;

	selector = mmap(NULL, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS,
			-1, 0);
	ASSERT_NE(MAP_FAILED, selector);
	for (i = 0; i < 10; i++) {
		armed = sud_arm(SUD_EXCL, SUD_FOREIGN, page,
				i & 1 ? selector : NULL);
		ret = function(-42);
		off = sud_foreign_call(SYS_prctl, PR_SET_SYSCALL_USER_DISPATCH,
				       SUD_OFF, 0, 0, 0, 0);
		ASSERT_EQ(0, armed);
		ASSERT_EQ(0, off);
		EXPECT_EQ(-41, ret);
		EXPECT_EQ(0, sud_count);
		EXPECT_EQ(i + 1, sud_perf_count(fd));
	}
	ASSERT_EQ(0, mincore(selector, page, &core));
	EXPECT_EQ(0, core & 1);
}

TEST_F(uprobe, V3_probed_function_of_armed_thread_works)
{
	check_probed(_metadata, probed, self->fd);
}

/* Some kernels take no probe on this nop, in armed programs and others. */
TEST_F(uprobe, V3_probed_nop_of_armed_thread_works_or_is_refused)
{
	int fd = sud_uprobe((unsigned long)probed_nop, variant->ret);

	if (fd >= 0) {
		check_probed(_metadata, probed_nop, fd);
		close(fd);
		return;
	}
	EXPECT_EQ(-SUD_ENOTSUPP, fd);
	ASSERT_EQ(0, sud_arm_native(&shared->selector));
	EXPECT_EQ(-SUD_ENOTSUPP,
		  sud_uprobe((unsigned long)probed_nop, variant->ret));
}

/* The calls of uretprobe() and uprobe(), made by a program, are its own. */
TEST_F(uprobe, V3_numbers_of_probes_are_dispatched)
{
	sud_word nr;

	/* The kernel makes its trampoline at the first hit. */
	EXPECT_EQ(-41, probed(-42));
	shared->selector = SUD_BLOCK;
	ASSERT_EQ(0, sud_arm_native(&shared->selector));
	for (nr = 335; nr <= 336; nr++)
		EXPECT_EQ(nr, call(nr));
	EXPECT_EQ(2, sud_count);
}

#define PROBED_THREADS	4
#define PROBED_ROUNDS	100

/* The return is probed while the handler of SIGSYS runs. */
static void *probed_thread(void *arg)
{
	unsigned int i;

	if (sud_arm_native(&shared->selector))
		shared->wrong++;
	for (i = 0; i < PROBED_ROUNDS; i++) {
		if (probed(NR_DISPATCHED) != NR_DISPATCHED + 1)
			shared->wrong++;
	}
	return NULL;
}

TEST_F(uprobe, V3_calls_are_dispatched_inside_probed_function)
{
	pthread_t thread[PROBED_THREADS];
	unsigned int i, total = PROBED_THREADS * PROBED_ROUNDS;
	uint64_t hits;

	shared->selector = SUD_BLOCK;
	for (i = 0; i < PROBED_THREADS; i++)
		ASSERT_EQ(0, pthread_create(&thread[i], NULL, probed_thread,
					    NULL));
	for (i = 0; i < PROBED_THREADS; i++)
		ASSERT_EQ(0, pthread_join(thread[i], NULL));
	EXPECT_EQ(0, shared->wrong);
	EXPECT_EQ(total, sud_count);
	/* The sum of the threads' counts was seen to be one less or one more. */
	hits = sud_perf_count(self->fd);
	EXPECT_LT(total / 2, hits);
	EXPECT_GT(2 * total, hits);
}

#ifndef __x86_64__

/*
 * The kernel refuses to probe int $0x80, in armed programs and others. (It
 * does not refuse syscall, where the probe ends any program.)
 */
TEST_F(uprobe, V3_probe_of_the_instruction_is_refused)
{
	unsigned long insn = (unsigned long)sud_template_ip - SUD_INSN_LEN;

	EXPECT_EQ(-SUD_ENOTSUPP, sud_uprobe(insn, variant->ret));
	ASSERT_EQ(0, sud_arm_native(&shared->selector));
	EXPECT_EQ(-SUD_ENOTSUPP, sud_uprobe(insn, variant->ret));
}

#endif

TEST_HARNESS_MAIN
