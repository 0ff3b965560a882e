// SPDX-License-Identifier: GPL-2.0
/*
 * Dispatch and seccomp: a filter does not see dispatched calls, and acts on
 * all others as usual. Rules A10, O1, O3 and O6.
 */
#define _GNU_SOURCE
#include "sud_ptrace.h"
#include "sud_audit.h"
#include "sud_core.h"
#include "sud_seccomp.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <sys/ioctl.h>

#include "sud_harness.h"

/* The call on which the filters act: it is implemented and harmless. */
#define NR_FILTERED	SYS_getppid
/* No kernel implements this call. */
#define NR_OTHER	SUD_NR(20001)

/* A value that no call returns by chance. */
#define MAGIC		4711

#define FILTER_ERRNO	ENOTNAM
#define FILTER_DATA	77

/* The number of calls of each kind, which take turns. */
#define ROUNDS		50

/* Memory that the test shares with the process under test. */
struct shared {
	volatile uint8_t selector;
	/* SIGSYS by their si_code, if everything else is correct */
	volatile unsigned int dispatched;
	volatile unsigned int trapped;
	/* something was wrong */
	volatile unsigned int wrong;
	/* a call returned that must not return */
	volatile unsigned int returned;
	volatile unsigned int done;
};

static struct shared *shared;

/* The test's process. NR_FILTERED in its children returns its number. */
static pid_t parent;

static void setup(struct __test_metadata *_metadata)
{
	SUD_REQUIRE_SETUP();
	ASSERT_TRUE(sud_setup());
	shared = sud_share(sizeof(*shared));
	ASSERT_NE(NULL, shared);
	parent = getpid();
	ASSERT_EQ(0, sud_core_limit(false));
	/* A helper process must not outlive the test. */
	ASSERT_EQ(0, sud_die_with_parent());
}

FIXTURE(filters)
{
	pid_t pid;
};

FIXTURE_SETUP(filters)
{
	setup(_metadata);
}

FIXTURE_TEARDOWN(filters)
{
}

static sud_word call1(long nr, long arg)
{
	return sud_foreign_call(nr, arg, 0, 0, 0, 0, 0);
}

static sud_word call(long nr)
{
	return call1(nr, 0);
}

static sud_word blocked_call1(long nr, long arg)
{
	sud_word ret;

	shared->selector = SUD_BLOCK;
	ret = call1(nr, arg);
	shared->selector = SUD_ALLOW;
	return ret;
}

static sud_word blocked_call(long nr)
{
	return blocked_call1(nr, 0);
}

/*
 * One handler for both kinds of SIGSYS (O6). A trapped call returns MAGIC. A
 * dispatched call returns its number.
 */
static void hook_both(siginfo_t *info, ucontext_t *uc)
{
	bool right = info->si_syscall == NR_FILTERED &&
		     info->si_call_addr == (void *)sud_foreign_ip() &&
		     SUD_REG_IP(uc) == (greg_t)sud_foreign_ip() &&
		     SUD_REG_RET(uc) == NR_FILTERED &&
		     info->si_arch == SUD_AUDIT_ARCH;

	switch (right ? info->si_code : 0) {
	case SYS_USER_DISPATCH:
		if (info->si_errno == 0)
			shared->dispatched++;
		break;
	case SYS_SECCOMP:
		if (info->si_errno == FILTER_DATA)
			shared->trapped++;
		SUD_REG_RET(uc) = MAGIC;
		break;
	default:
		shared->wrong++;
	}
}

static bool arm(void)
{
	sud_hook = hook_both;
	return sud_arm_native(&shared->selector) == 0;
}

/* The wait status of a child. */
static int end_of(pid_t pid)
{
	int status;

	return waitpid(pid, &status, 0) == pid ? status : -1;
}

static int run_to_end(pid_t pid)
{
	return sud_ptrace(PTRACE_CONT, pid, 0, 0) ? -1 : end_of(pid);
}

static void check_end(struct __test_metadata *_metadata, int status)
{
	EXPECT_TRUE(sud_exited(status, 0)) {
		TH_LOG("status %#x", status);
	}
	EXPECT_EQ(0, shared->wrong);
}

/* ---- O3: each action, with a filter older and younger than the arming ---- */

enum outcome { RUNS, FAILS, IS_TRAPPED, IS_ENOSYS, KILLS };

FIXTURE(action)
{
	bool filter_first;
};

FIXTURE_VARIANT(action)
{
	uint32_t action;
	enum outcome outcome;
	unsigned int flags;
};

FIXTURE_VARIANT_ADD(action, allow) {
	.action = SECCOMP_RET_ALLOW,
	.outcome = RUNS,
};

FIXTURE_VARIANT_ADD(action, log) {
	.action = SECCOMP_RET_LOG,
	.outcome = RUNS,
};

FIXTURE_VARIANT_ADD(action, errno) {
	.action = SECCOMP_RET_ERRNO | FILTER_ERRNO,
	.outcome = FAILS,
};

FIXTURE_VARIANT_ADD(action, trap) {
	.action = SECCOMP_RET_TRAP | FILTER_DATA,
	.outcome = IS_TRAPPED,
};

/* Without a tracer */
FIXTURE_VARIANT_ADD(action, trace) {
	.action = SECCOMP_RET_TRACE | FILTER_DATA,
	.outcome = IS_ENOSYS,
};

FIXTURE_VARIANT_ADD(action, user_notif) {
	.action = SECCOMP_RET_USER_NOTIF,
	.outcome = IS_ENOSYS,
	.flags = SECCOMP_FILTER_FLAG_NEW_LISTENER,
};

FIXTURE_VARIANT_ADD(action, kill_thread) {
	.action = SECCOMP_RET_KILL_THREAD,
	.outcome = KILLS,
};

FIXTURE_VARIANT_ADD(action, kill_process) {
	.action = SECCOMP_RET_KILL_PROCESS,
	.outcome = KILLS,
};

FIXTURE_SETUP(action)
{
	setup(_metadata);
}

FIXTURE_TEARDOWN(action)
{
}

static const FIXTURE_VARIANT(action) *acting;

static bool install(void)
{
	int fd = sud_seccomp_nr(NR_FILTERED, acting->action, acting->flags);

	/* The listener is closed at once. */
	return fd == 0 || (fd > 0 && acting->flags && close(fd) == 0);
}

static bool as_expected(sud_word ret)
{
	switch (acting->outcome) {
	case RUNS:
		return ret == parent;
	case FAILS:
		return ret == -FILTER_ERRNO;
	case IS_TRAPPED:
		return ret == MAGIC;
	case IS_ENOSYS:
		return ret == -ENOSYS;
	case KILLS:
		break;
	}
	return false;
}

static int filtered(void *arg)
{
	bool filter_first = *(bool *)arg;
	int i;

	if (filter_first ? !install() || !arm() : !arm() || !install())
		return 2;
	for (i = 0; i < ROUNDS; i++) {
		if (blocked_call(NR_FILTERED) != NR_FILTERED)
			shared->wrong++;
		if (call(NR_OTHER) != -ENOSYS)
			shared->wrong++;
		if (acting->outcome != KILLS && !as_expected(call(NR_FILTERED)))
			shared->wrong++;
	}
	if (acting->outcome == KILLS) {
		call(NR_FILTERED);
		shared->returned++;
	}
	return 0;
}

TEST_F(action, O3_O6_on_both_sides_of_the_switch)
{
	int status, i;

	acting = variant;
	for (i = 0; i < 2; i++) {
		memset(shared, 0, sizeof(*shared));
		self->filter_first = i;
		status = sud_run_child(filtered, &self->filter_first);
		if (acting->outcome == KILLS) {
			EXPECT_TRUE(sud_killed(status, SIGSYS)) {
				TH_LOG("status %#x", status);
			}
		} else {
			EXPECT_TRUE(sud_exited(status, 0)) {
				TH_LOG("status %#x", status);
			}
		}
		EXPECT_EQ(0, shared->wrong);
		EXPECT_EQ(0, shared->returned);
		EXPECT_EQ(ROUNDS, shared->dispatched);
		EXPECT_EQ(acting->outcome == IS_TRAPPED ? ROUNDS : 0,
			  shared->trapped);
	}
}

/* ---- O3: other effects of the actions ---- */

static void *killed_thread(void *arg)
{
	if (!arm() ||
	    sud_seccomp_nr(NR_FILTERED, SECCOMP_RET_KILL_THREAD, 0) ||
	    blocked_call(NR_FILTERED) != NR_FILTERED)
		shared->wrong++;
	shared->done++;
	call(NR_FILTERED);
	shared->returned++;
	return NULL;
}

static int kill_one_thread(void *arg)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, killed_thread, NULL) ||
	    pthread_join(thread, NULL))
		return 2;
	/* This thread has neither the filter nor dispatch. */
	if (call(NR_FILTERED) != parent)
		shared->wrong++;
	return 0;
}

/* A dispatched call ends no thread, and a filtered call ends only its own. */
TEST_F(filters, O3_kill_thread_kills_one_thread)
{
	check_end(_metadata, sud_run_child(kill_one_thread, NULL));
	EXPECT_EQ(1, shared->done);
	EXPECT_EQ(1, shared->dispatched);
	EXPECT_EQ(0, shared->returned);
}

static void traced(void)
{
	int i;

	if (!arm() || sud_seccomp_nr(NR_FILTERED,
				     SECCOMP_RET_TRACE | FILTER_DATA, 0))
		_exit(2);
	for (i = 0; i < ROUNDS; i++) {
		if (blocked_call(NR_FILTERED) != NR_FILTERED)
			shared->wrong++;
		if (call(NR_FILTERED) != parent)
			shared->wrong++;
	}
	_exit(0);
}

/* A tracer that asks only for the filter's stops. */
TEST_F(filters, O3_trace_stops_for_allowed_calls_only)
{
	unsigned long message;
	int i;

	self->pid = sud_fork_tracee(traced, PTRACE_O_TRACESECCOMP);
	ASSERT_LT(0, self->pid);
	for (i = 0; i < ROUNDS; i++) {
		ASSERT_EQ(SIGSYS, sud_resume(PTRACE_CONT, self->pid, 0));
		ASSERT_EQ(SUD_STOP_EVENT(PTRACE_EVENT_SECCOMP),
			  sud_resume(PTRACE_CONT, self->pid, SIGSYS));
		message = 0;
		ASSERT_EQ(0, sud_ptrace(PTRACE_GETEVENTMSG, self->pid, 0,
					(unsigned long)&message));
		ASSERT_EQ(FILTER_DATA, message);
	}
	check_end(_metadata, run_to_end(self->pid));
	EXPECT_EQ(ROUNDS, shared->dispatched);
}

/* A tracer that asks for all stops: the filter's is between entry and exit. */
TEST_F(filters, O1_O3_trace_comes_after_the_entry_stop)
{
	static const int stops[] = {
		/* the return from the handler, the allowed call */
		SUD_STOP_SYSCALL, SUD_STOP_SYSCALL,
		SUD_STOP_SYSCALL, SUD_STOP_EVENT(PTRACE_EVENT_SECCOMP),
		SUD_STOP_SYSCALL, SIGSYS,
	};
	unsigned int i, k;
	int sig = 0;

	self->pid = sud_fork_tracee(traced, PTRACE_O_TRACESECCOMP);
	ASSERT_LT(0, self->pid);
	ASSERT_EQ(SIGSYS, sud_resume(PTRACE_CONT, self->pid, 0));
	for (i = 1; i < ROUNDS; i++) {
		sig = SIGSYS;
		for (k = 0; k < ARRAY_SIZE(stops); k++) {
			ASSERT_EQ(stops[k], sud_resume(PTRACE_SYSCALL,
						       self->pid, sig)) {
				TH_LOG("round %u, stop %u", i, k);
			}
			sig = 0;
		}
	}
	ASSERT_EQ(SUD_STOP_EVENT(PTRACE_EVENT_SECCOMP),
		  sud_resume(PTRACE_CONT, self->pid, SIGSYS));
	check_end(_metadata, run_to_end(self->pid));
	EXPECT_EQ(ROUNDS, shared->dispatched);
}

static void trace_changes(void)
{
	sud_word ret;

	if (!arm() || sud_seccomp_nr(NR_FILTERED,
				     SECCOMP_RET_TRACE | FILTER_DATA, 0))
		_exit(2);
	/* The selector is at BLOCK when this call returns. */
	ret = call(NR_FILTERED);
	if (ret != (shared->done ? MAGIC : -ENOSYS) ||
	    shared->selector != SUD_BLOCK || shared->dispatched)
		shared->wrong++;
	if (call(NR_FILTERED) != NR_FILTERED)
		shared->wrong++;
	_exit(0);
}

/* The call that the tracer substitutes is not dispatched. */
TEST_F(filters, O1_O3_not_dispatched_after_trace_stop)
{
	struct user_regs_struct regs;
	int i;

	for (i = 0; i < 2; i++) {
		memset(shared, 0, sizeof(*shared));
		self->pid = sud_fork_tracee(trace_changes,
					    PTRACE_O_TRACESECCOMP);
		ASSERT_LT(0, self->pid);
		ASSERT_EQ(SUD_STOP_EVENT(PTRACE_EVENT_SECCOMP),
			  sud_resume(PTRACE_CONT, self->pid, 0));
		shared->selector = SUD_BLOCK;
		shared->done = i;
		ASSERT_EQ(0, sud_ptrace(PTRACE_GETREGS, self->pid, 0,
					(unsigned long)&regs));
		/*
		 * The tracer skips the call with a result, or makes another
		 * call of it.
		 */
		SUD_USER_NR(&regs) = i ? -1 : NR_OTHER;
		if (i)
			SUD_USER_RET(&regs) = MAGIC;
		ASSERT_EQ(0, sud_ptrace(PTRACE_SETREGS, self->pid, 0,
					(unsigned long)&regs));
		ASSERT_EQ(SIGSYS, sud_resume(PTRACE_CONT, self->pid, 0));
		ASSERT_EQ(0, sud_ptrace(PTRACE_DETACH, self->pid, 0, SIGSYS));
		check_end(_metadata, end_of(self->pid));
		EXPECT_EQ(1, shared->dispatched);
	}
}

/* The notifications that a filter's listener received. */
static struct {
	volatile int fd;
	unsigned int n;
	const char *volatile trouble;
} listener;

static void *supervise(void *arg)
{
	struct seccomp_notif_resp resp;
	struct seccomp_notif notif;
	struct pollfd pollfd = { .events = POLLIN };

	while (!listener.fd)
		sched_yield();
	pollfd.fd = listener.fd;
	while (listener.n < 2 * ROUNDS) {
		memset(&notif, 0, sizeof(notif));
		memset(&resp, 0, sizeof(resp));
		if (poll(&pollfd, 1, 10000 * sud_slow()) != 1)
			listener.trouble = "no call came";
		else if (ioctl(listener.fd, SECCOMP_IOCTL_NOTIF_RECV, &notif))
			listener.trouble = "a call could not be received";
		else if (notif.data.nr != NR_FILTERED)
			listener.trouble = "a wrong call came";
		else if (notif.data.arch != SUD_AUDIT_ARCH)
			listener.trouble = "a call came by a wrong entry";
		else if (notif.data.args[0] != listener.n)
			listener.trouble = "one call too many, or too few";
		resp.id = notif.id;
		resp.val = MAGIC + notif.data.args[0];
		if (!listener.trouble &&
		    ioctl(listener.fd, SECCOMP_IOCTL_NOTIF_SEND, &resp))
			listener.trouble = "a call could not be answered";
		if (listener.trouble)
			break;
		listener.n++;
	}
	/* Calls that wait for an answer get an error. */
	close(listener.fd);
	return NULL;
}

/* The first argument numbers the calls that run. */
static int listened_to(void *arg)
{
	unsigned int i = 0;
	pthread_t thread;
	int fd;

	if (pthread_create(&thread, NULL, supervise, NULL) || !arm())
		return 2;
	fd = sud_seccomp_nr(NR_FILTERED, SECCOMP_RET_USER_NOTIF,
			    SECCOMP_FILTER_FLAG_NEW_LISTENER);
	if (fd <= 0)
		return 3;
	listener.fd = fd;
	while (i < 2 * ROUNDS && !shared->wrong) {
		if (blocked_call1(NR_FILTERED, 1000) != NR_FILTERED)
			shared->wrong++;
		if (call1(NR_FILTERED, i) != MAGIC + i)
			shared->wrong++;
		i++;
		/* A native call is not dispatched, and is filtered, too. */
		shared->selector = SUD_BLOCK;
		if (syscall(NR_FILTERED, i) != MAGIC + i)
			shared->wrong++;
		shared->selector = SUD_ALLOW;
		i++;
	}
	pthread_join(thread, NULL);
	if (listener.trouble) {
		fprintf(stderr, "# listener: %s\n", listener.trouble);
		return 4;
	}
	return 0;
}

TEST_F(filters, O3_listener_is_told_of_allowed_calls_only)
{
	check_end(_metadata, sud_run_child(listened_to, NULL));
	EXPECT_EQ(ROUNDS, shared->dispatched);
}

/* The records of RET_LOG. */
struct logged {
	pid_t pid;
	unsigned int n;
	unsigned int wrong;
};

static void count_logged(int type, const char *text, void *arg)
{
	struct logged *logged = arg;

	if (type != AUDIT_SECCOMP ||
	    sud_audit_field(text, " pid=", 10) != logged->pid)
		return;
	logged->n++;
	if (sud_audit_field(text, " syscall=", 10) != NR_FILTERED ||
	    sud_audit_field(text, " arch=", 16) != SUD_AUDIT_ARCH ||
	    sud_audit_field(text, " sig=", 10) != 0)
		logged->wrong++;
}

TEST_F(filters, O3_log_records_allowed_calls_only)
{
	struct logged logged = { };
	struct sud_audit audit;
	bool first = false;
	const char *trouble;
	int status, err;

	trouble = sud_audit_open(&audit);
	if (trouble)
		SKIP(return, "%s", trouble);
	acting = &_action_log_variant;
	logged.pid = fork();
	if (logged.pid == 0)
		_exit(filtered(&first));
	status = end_of(logged.pid);
	err = sud_audit_read(&audit, count_logged, &logged);
	sud_audit_close(&audit);
	ASSERT_EQ(0, err);
	check_end(_metadata, status);
	EXPECT_EQ(ROUNDS, shared->dispatched);
	EXPECT_EQ(ROUNDS, logged.n);
	EXPECT_EQ(0, logged.wrong);
}

/* ---- O3: strict mode ---- */

static sigjmp_buf out_of_handler;

/* Without a siginfo: strict mode allows 32-bit code only sigreturn(). */
static void on_sigsys(int sig)
{
	shared->dispatched++;
}

static void on_sigsys_jump(int sig)
{
	shared->dispatched++;
	siglongjmp(out_of_handler, 1);
}

static bool be_strict(void (*handler)(int sig))
{
	return arm() && signal(SIGSYS, handler) != SIG_ERR &&
	       !prctl(PR_SET_SECCOMP, (unsigned long)SECCOMP_MODE_STRICT, 0UL,
		      0UL, 0UL);
}

static int strict(void *arg)
{
	int i, null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	if (null < 0 || !be_strict(on_sigsys))
		return 2;
	for (i = 0; i < ROUNDS; i++) {
		/* If the filter saw this call, it would end the process. */
		if (blocked_call(NR_FILTERED) != NR_FILTERED)
			shared->wrong++;
		/* Both allow this call. */
		if (sud_foreign_call(SYS_write, null, (uintptr_t)&null, 1,
				     0, 0, 0) != 1)
			shared->wrong++;
	}
	if (arg) {
		call(NR_FILTERED);
		shared->returned++;
	}
	syscall(SYS_exit, 0);
	return 3;
}

/* Strict mode allows no call of x32, not even the return from a handler. */
#define SKIP_WHERE_STRICT_ALLOWS_NOTHING() do {				\
	if (SUD_NR(0))							\
		SKIP(return, "strict mode allows no call of this ABI");	\
} while (0)

TEST_F(filters, O3_strict_does_not_kill_for_dispatched_calls)
{
	SKIP_WHERE_STRICT_ALLOWS_NOTHING();
	check_end(_metadata, sud_run_child(strict, NULL));
	EXPECT_EQ(ROUNDS, shared->dispatched);
}

TEST_F(filters, O3_strict_kills_for_allowed_calls)
{
	int status;

	SKIP_WHERE_STRICT_ALLOWS_NOTHING();
	status = sud_run_child(strict, (void *)1);
	EXPECT_TRUE(sud_killed(status, SIGKILL)) {
		TH_LOG("status %#x", status);
	}
	EXPECT_EQ(0, shared->wrong);
	EXPECT_EQ(0, shared->returned);
	EXPECT_EQ(ROUNDS, shared->dispatched);
}

static int strict_jump(void *arg)
{
	if (!be_strict(on_sigsys_jump))
		return 2;
	if (!sigsetjmp(out_of_handler, 0)) {
		blocked_call(NR_FILTERED);
		shared->returned++;
	}
	shared->selector = SUD_ALLOW;
	shared->done++;
	call(NR_FILTERED);
	shared->returned++;
	return 3;
}

/* This works for all ABIs: the handler leaves by a jump, without a call. */
TEST_F(filters, O3_strict_lets_the_handler_run)
{
	int status = sud_run_child(strict_jump, NULL);

	EXPECT_TRUE(sud_killed(status, SIGKILL)) {
		TH_LOG("status %#x", status);
	}
	EXPECT_EQ(1, shared->dispatched);
	EXPECT_EQ(1, shared->done);
	EXPECT_EQ(0, shared->returned);
}

/* ---- O3: filters that check more than the number ---- */

/*
 * The filter checks the architecture and the call's address. Foreign and
 * native calls get errors of their own. Calls of any other architecture end
 * the process.
 */
static int filter_looks_around(void *arg)
{
	struct sock_filter code[] = {
		SUD_BPF_LOAD(arch),
		SUD_BPF_UNLESS(SUD_AUDIT_ARCH, 6),
		SUD_BPF_LOAD(nr),
		SUD_BPF_UNLESS(NR_FILTERED, 5),
		SUD_BPF_LOAD(instruction_pointer),
		SUD_BPF_UNLESS(sud_foreign_ip(), 1),
		SUD_BPF_RETURN(SECCOMP_RET_ERRNO | FILTER_ERRNO),
		SUD_BPF_RETURN(SECCOMP_RET_ERRNO | EUCLEAN),
		SUD_BPF_RETURN(SECCOMP_RET_KILL_PROCESS),
		SUD_BPF_RETURN(SECCOMP_RET_ALLOW),
	};
	int i;

	if (!arm() || sud_seccomp(code, ARRAY_SIZE(code), 0))
		return 2;
	for (i = 0; i < ROUNDS; i++) {
		if (blocked_call(NR_FILTERED) != NR_FILTERED)
			shared->wrong++;
		if (call(NR_FILTERED) != -FILTER_ERRNO)
			shared->wrong++;
		shared->selector = SUD_BLOCK;
		if (syscall(NR_FILTERED) != -1 || errno != EUCLEAN)
			shared->wrong++;
		shared->selector = SUD_ALLOW;
	}
	return 0;
}

TEST_F(filters, O3_filter_checks_arch_and_address)
{
	check_end(_metadata, sud_run_child(filter_looks_around, NULL));
	EXPECT_EQ(ROUNDS, shared->dispatched);
}

/* Any foreign call that reaches the filter ends the process. */
static int filter_kills_arch(void *arg)
{
	struct sock_filter code[] = {
		SUD_BPF_LOAD(instruction_pointer),
		SUD_BPF_UNLESS(sud_foreign_ip(), 3),
		SUD_BPF_LOAD(arch),
		SUD_BPF_UNLESS(SUD_AUDIT_ARCH, 1),
		SUD_BPF_RETURN(SECCOMP_RET_KILL_PROCESS),
		SUD_BPF_RETURN(SECCOMP_RET_ALLOW),
	};
	int i;

	if (!arm() || sud_seccomp(code, ARRAY_SIZE(code), 0))
		return 2;
	for (i = 0; i < ROUNDS; i++) {
		if (blocked_call(NR_FILTERED) != NR_FILTERED)
			shared->wrong++;
	}
	shared->done++;
	call(NR_FILTERED);
	shared->returned++;
	return 0;
}

TEST_F(filters, O3_filter_kills_by_architecture)
{
	int status = sud_run_child(filter_kills_arch, NULL);

	EXPECT_TRUE(sud_killed(status, SIGSYS)) {
		TH_LOG("status %#x", status);
	}
	EXPECT_EQ(1, shared->done);
	EXPECT_EQ(0, shared->wrong);
	EXPECT_EQ(0, shared->returned);
	EXPECT_EQ(ROUNDS, shared->dispatched);
}

/* ---- A10: a filter's veto ---- */

TEST_F(filters, A10_filter_may_veto_arming)
{
	ASSERT_EQ(0, sud_seccomp_veto(SECCOMP_RET_ERRNO | FILTER_ERRNO));
	EXPECT_EQ(-FILTER_ERRNO, sud_arm_native(&shared->selector));
	EXPECT_EQ(-FILTER_ERRNO, sud_off());
	shared->selector = SUD_BLOCK;
	EXPECT_EQ(0, sud_probe());
}

TEST_F(filters, A8_A10_filter_may_veto_changes_of_an_armed_thread)
{
	ASSERT_EQ(0, sud_arm_native(&shared->selector));
	ASSERT_EQ(0, sud_seccomp_veto(SECCOMP_RET_ERRNO | FILTER_ERRNO));
	EXPECT_EQ(-FILTER_ERRNO, sud_off());
	EXPECT_EQ(-FILTER_ERRNO, sud_arm(SUD_EXCL, 0, 0, NULL));
	EXPECT_EQ(0, sud_probe());
	shared->selector = SUD_BLOCK;
	EXPECT_EQ(1, sud_probe());
	/*
	 * The prctl itself is dispatched, and the filter does not see it
	 * (D13).
	 */
	EXPECT_EQ(SYS_prctl, sud_foreign_call(SYS_prctl,
					      PR_SET_SYSCALL_USER_DISPATCH,
					      SUD_OFF, 0, 0, 0, 0));
	EXPECT_EQ(1, sud_probe());
}

/* ---- L1: children inherit the filter, but not dispatch ---- */

static int inherit(void *arg)
{
	shared->selector = SUD_BLOCK;
	if (call(NR_FILTERED) != -FILTER_ERRNO || call(NR_OTHER) != -ENOSYS)
		shared->wrong++;
	shared->selector = SUD_ALLOW;
	return 0;
}

TEST_F(filters, L1_O3_filter_is_inherited_dispatch_is_not)
{
	ASSERT_TRUE(arm());
	ASSERT_EQ(0, sud_seccomp_nr(NR_FILTERED,
				    SECCOMP_RET_ERRNO | FILTER_ERRNO, 0));
	check_end(_metadata, sud_run_child(inherit, NULL));
	EXPECT_EQ(0, shared->dispatched);
	/* The parent has both. */
	EXPECT_EQ(NR_FILTERED, blocked_call(NR_FILTERED));
	EXPECT_EQ(-FILTER_ERRNO, call(NR_FILTERED));
	EXPECT_EQ(1, shared->dispatched);
}

/* ---- O6: both kinds of SIGSYS for the same call ---- */

/* The call is dispatched first. Run again, it is trapped. */
static void hook_rerun(siginfo_t *info, ucontext_t *uc)
{
	hook_both(info, uc);
	if (info->si_code == SYS_USER_DISPATCH) {
		shared->selector = SUD_ALLOW;
		SUD_REG_IP(uc) -= SUD_INSN_LEN;
	}
}

TEST_F(filters, O6_dispatched_then_trapped)
{
	unsigned int i;

	ASSERT_TRUE(arm());
	ASSERT_EQ(0, sud_seccomp_nr(NR_FILTERED,
				    SECCOMP_RET_TRAP | FILTER_DATA, 0));
	sud_hook = hook_rerun;
	for (i = 1; i <= 4 * ROUNDS; i++) {
		ASSERT_EQ(MAGIC, blocked_call(NR_FILTERED));
		ASSERT_EQ(i, shared->dispatched);
		ASSERT_EQ(i, shared->trapped);
	}
	EXPECT_EQ(0, shared->wrong);
	EXPECT_EQ(SYS_USER_DISPATCH, sud_log[0].info.si_code);
	EXPECT_EQ(SYS_SECCOMP, sud_log[1].info.si_code);
}

TEST_HARNESS_MAIN
