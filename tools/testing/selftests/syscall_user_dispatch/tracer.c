// SPDX-License-Identifier: GPL-2.0
/*
 * Dispatch under a tracer: system-call stops, emulation, single-stepping, and
 * the ways to handle the SIGSYS. Rules O1, O2, O4 and O5. In order.c the
 * tracer attaches later.
 */
#define _GNU_SOURCE
#include "sud_ptrace.h"
#include "sud_script.h"

#include <pthread.h>

#include "sud_harness.h"

/* Numbers that no kernel implements, so that the test recognises its calls. */
#define NR_DISPATCHED	SUD_NR(20001)
#define NR_ALLOWED	SUD_NR(20002)
/* A native call that marks a place in the program. */
#define NR_MARK		SUD_NR(20003)

/* A value that no call returns by chance. */
#define MAGIC		4711

#define TRAP_FLAG	0x100

#define THREADS		4

/* The number of rounds in tests that repeat a step. */
#define ROUNDS		20

/* Memory that the tracee shares with the test. */
struct shared {
	volatile uint8_t selector[THREADS];
	/* calls that returned a wrong value */
	volatile unsigned int wrong;
	/* SIGSYS that reached the handler */
	volatile unsigned int handled;
	volatile unsigned int usr1;
	volatile int usr1_code;
	volatile long long ret;
	siginfo_t info;
	ucontext_t uc;
};

static struct shared *shared;

static void setup(struct __test_metadata *_metadata)
{
	SUD_REQUIRE_SETUP();
	ASSERT_TRUE(sud_setup());
	shared = sud_share(sizeof(*shared));
	ASSERT_NE(NULL, shared);
}

FIXTURE(tracer)
{
	pid_t pid;
};

FIXTURE_SETUP(tracer)
{
	setup(_metadata);
}

FIXTURE_TEARDOWN(tracer)
{
}

/* ---- the tracee ---- */

static void hook_shared(siginfo_t *info, ucontext_t *uc)
{
	shared->handled++;
	memcpy(&shared->info, info, sizeof(*info));
	memcpy(&shared->uc, uc, offsetof(ucontext_t, uc_sigmask));
}

static void arm(void)
{
	sud_hook = hook_shared;
	if (sud_arm_native(&shared->selector[0]))
		_exit(80);
}

/*
 * Not inlined, so that the same instructions follow a dispatched call and a
 * call that runs.
 */
static __attribute__((noinline)) sud_word call(long nr)
{
	return sud_foreign_call(nr, 0, 0, 0, 0, 0, 0);
}

static sud_word blocked_call(long nr)
{
	sud_word ret;

	shared->selector[0] = SUD_BLOCK;
	ret = call(nr);
	shared->selector[0] = SUD_ALLOW;
	return ret;
}

static void finish(void)
{
	_exit(shared->wrong ? 81 : 0);
}

/* ---- the tracer ---- */

static long get_regs(pid_t pid, struct user_regs_struct *regs)
{
	return sud_ptrace(PTRACE_GETREGS, pid, 0, (unsigned long)regs);
}

static long set_regs(pid_t pid, struct user_regs_struct *regs)
{
	return sud_ptrace(PTRACE_SETREGS, pid, 0, (unsigned long)regs);
}

static unsigned long get_ip(pid_t pid)
{
	struct user_regs_struct regs;

	return get_regs(pid, &regs) ? 0 : SUD_USER_IP(&regs);
}

/*
 * Describe a stop. A SIGSYS counts only if it is a dispatch, stops right after
 * the foreign instruction, and is not part of a call's entry or exit.
 */
static void look(pid_t pid, int stop, struct sud_seen *seen,
		 struct ptrace_syscall_info *info)
{
	siginfo_t siginfo;

	memset(seen, 0, sizeof(*seen));
	memset(info, 0, sizeof(*info));
	if (sud_ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(*info),
		       (unsigned long)info) <= 0 ||
	    info->arch != SUD_AUDIT_ARCH)
		return;
	if (stop == SUD_STOP_SYSCALL) {
		switch (info->op) {
		case PTRACE_SYSCALL_INFO_ENTRY:
			seen->what = SUD_SEEN_ENTRY;
			seen->nr = info->entry.nr;
			break;
		case PTRACE_SYSCALL_INFO_EXIT:
			seen->what = SUD_SEEN_EXIT;
			seen->ret = info->exit.rval;
			break;
		}
	} else if (stop == SIGSYS && info->op == PTRACE_SYSCALL_INFO_NONE &&
		   info->instruction_pointer == sud_foreign_ip() &&
		   !sud_ptrace_siginfo(pid, &siginfo) &&
		   siginfo.si_code == SYS_USER_DISPATCH &&
		   siginfo.si_arch == SUD_AUDIT_ARCH &&
		   siginfo.si_call_addr == (void *)sud_foreign_ip()) {
		seen->what = SUD_SEEN_SIGSYS;
		seen->nr = siginfo.si_syscall;
	}
}

/* Run the tracee until it enters or leaves a call of that number. */
static bool run_to(pid_t pid, int what, long nr)
{
	struct ptrace_syscall_info info;
	struct sud_seen seen = { };
	bool found = false;
	int stop, i;

	for (i = 0; i < 1000; i++) {
		stop = sud_resume(PTRACE_SYSCALL, pid, 0);
		if (stop < 0)
			return false;
		look(pid, stop, &seen, &info);
		if (seen.what == SUD_SEEN_ENTRY)
			found = seen.nr == nr;
		if (found && seen.what == what)
			return true;
	}
	return false;
}

/* Step until the next instruction is the foreign system call. */
static bool step_to_call(pid_t pid)
{
	int i;

	for (i = 0; i < 1000; i++) {
		if (get_ip(pid) == sud_foreign_ip() - SUD_INSN_LEN)
			return true;
		if (sud_resume(PTRACE_SINGLESTEP, pid, 0) != SIGTRAP)
			return false;
	}
	return false;
}

/* Run a stopped tracee to its end. The signal is passed on. */
static int run_to_end(pid_t pid, int sig)
{
	int status;

	if (sud_ptrace(PTRACE_CONT, pid, 0, sig) ||
	    waitpid(pid, &status, 0) != pid)
		return -1;
	return status;
}

static void check_end(struct __test_metadata *_metadata, int status)
{
	EXPECT_TRUE(sud_exited(status, 0)) {
		TH_LOG("status %#x", status);
	}
	EXPECT_EQ(0, shared->wrong);
}

static void check_script(struct __test_metadata *_metadata,
			 const struct sud_script *script, unsigned int i,
			 const struct sud_seen *seen)
{
	const struct sud_seen *want = &script->seen[i];

	ASSERT_LT(i, script->n);
	ASSERT_EQ(want->what, seen->what) {
		TH_LOG("stop %u: %s of call %ld expected, %s of call %ld", i,
		       sud_seen_names[want->what], want->nr,
		       sud_seen_names[seen->what], seen->nr);
	}
	/* An exit shows no number, and only an exit shows a result. */
	if (want->what != SUD_SEEN_EXIT)
		ASSERT_EQ(want->nr, seen->nr);
	ASSERT_EQ(want->ret, seen->ret);
}

/* ---- O1, O2: the stops of a program ---- */

/* A thread as the tracer tracks it. */
struct traced {
	pid_t tid;
	/* between an entry and its exit */
	bool inside;
	/* the script that it runs; -1 before that */
	int id;
	/* the number of the script's steps seen */
	unsigned int at;
};

static struct sud_script scripts[THREADS];

static void *run_script(void *arg)
{
	long id = (long)(uintptr_t)arg;

	if (sud_arm_native(&shared->selector[id]))
		_exit(80);
	if (sud_script_run(id + 1, &shared->selector[id], id))
		__atomic_fetch_add(&shared->wrong, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

static void one_script(void)
{
	run_script(NULL);
	finish();
}

static void threads_with_scripts(void)
{
	pthread_t thread[THREADS];
	uintptr_t id;

	/* The leader runs a script, too. */
	for (id = 1; id < THREADS; id++) {
		if (pthread_create(&thread[id], NULL, run_script, (void *)id))
			_exit(82);
	}
	run_script(NULL);
	for (id = 1; id < THREADS; id++)
		pthread_join(thread[id], NULL);
	finish();
}

/*
 * One stop of one thread. Entry and exit always alternate. While the thread
 * runs its script, each stop must be the script's next one.
 */
static int follow(struct __test_metadata *_metadata, struct traced *t, int stop)
{
	struct ptrace_syscall_info info;
	struct sud_seen seen;

	look(t->tid, stop, &seen, &info);
	switch (seen.what) {
	case SUD_SEEN_ENTRY:
		ASSERT_FALSE(t->inside);
		t->inside = true;
		if (seen.nr == SUD_SCRIPT_BEGIN) {
			ASSERT_EQ(-1, t->id);
			ASSERT_GT(THREADS, info.entry.args[0]);
			t->id = info.entry.args[0];
		}
		break;
	case SUD_SEEN_EXIT:
		ASSERT_TRUE(t->inside);
		t->inside = false;
		break;
	case SUD_SEEN_SIGSYS:
		ASSERT_FALSE(t->inside);
		ASSERT_LE(0, t->id);
		break;
	default:
		/* The creation of a thread, or its first stop. */
		ASSERT_TRUE(stop == SUD_STOP_EVENT(PTRACE_EVENT_CLONE) ||
			    stop == SIGSTOP) {
			TH_LOG("stop %#x", stop);
		}
		return 0;
	}
	if (t->id >= 0 && t->at < scripts[t->id].n)
		check_script(_metadata, &scripts[t->id], t->at++, &seen);
	return stop == SIGSYS ? SIGSYS : 0;
}

static void follow_all(struct __test_metadata *_metadata, pid_t leader,
		       unsigned int threads)
{
	struct traced traced[THREADS] = { };
	unsigned int i, n = 0;
	int status, sig;
	pid_t tid;

	for (i = 0; i < threads; i++)
		sud_script_expect(&scripts[i], i + 1);
	ASSERT_EQ(0, sud_ptrace(PTRACE_SYSCALL, leader, 0, 0));
	for (;;) {
		tid = waitpid(-1, &status, __WALL);
		ASSERT_LT(0, tid);
		if (!WIFSTOPPED(status)) {
			if (tid != leader)
				continue;
			break;
		}
		for (i = 0; i < n && traced[i].tid != tid; i++)
			;
		if (i == n) {
			ASSERT_GT(threads, n);
			traced[n++] = (struct traced){ .tid = tid, .id = -1 };
		}
		sig = follow(_metadata, &traced[i], status >> 8);
		ASSERT_EQ(0, sud_ptrace(PTRACE_SYSCALL, tid, 0, sig));
	}
	check_end(_metadata, status);
	ASSERT_EQ(threads, n);
	for (i = 0; i < n; i++) {
		ASSERT_LE(0, traced[i].id);
		EXPECT_EQ(scripts[traced[i].id].n, traced[i].at);
		/* exit() and exit_group() have no exit */
		EXPECT_TRUE(traced[i].inside);
	}
}

TEST_F(tracer, O1_O2_each_stop_is_the_expected_one)
{
	self->pid = sud_fork_tracee(one_script, 0);
	ASSERT_LT(0, self->pid);
	follow_all(_metadata, self->pid, 1);
}

TEST_F_TIMEOUT(tracer, O1_O2_each_stop_of_each_thread_is_the_expected_one, 120)
{
	self->pid = sud_fork_tracee(threads_with_scripts, PTRACE_O_TRACECLONE);
	ASSERT_LT(0, self->pid);
	follow_all(_metadata, self->pid, THREADS);
}

static void blocked_then_allowed(void)
{
	int i;

	arm();
	for (i = 0; i < ROUNDS; i++) {
		if (blocked_call(NR_DISPATCHED) != NR_DISPATCHED)
			shared->wrong++;
		if (call(NR_ALLOWED) != -ENOSYS)
			shared->wrong++;
	}
	finish();
}

/*
 * The tracer did not ask for system-call stops when the call was made. If it
 * asks from the SIGSYS stop on, the first stop is an entry.
 */
TEST_F(tracer, O2_stops_asked_for_at_the_sigsys_begin_with_an_entry)
{
	struct ptrace_syscall_info info;
	struct sud_seen seen;
	int i, stop;
	long next;

	self->pid = sud_fork_tracee(blocked_then_allowed, 0);
	ASSERT_LT(0, self->pid);
	for (i = 0; i < ROUNDS; i++) {
		ASSERT_EQ(SIGSYS, sud_resume(PTRACE_CONT, self->pid, 0));
		/* The signal is suppressed and delivered in turn. */
		next = i & 1 ? SYS_rt_sigreturn : NR_ALLOWED;
		stop = sud_resume(PTRACE_SYSCALL, self->pid,
				  i & 1 ? SIGSYS : 0);
		look(self->pid, stop, &seen, &info);
		ASSERT_EQ(SUD_SEEN_ENTRY, seen.what);
		ASSERT_EQ(next, seen.nr);
		stop = sud_resume(PTRACE_SYSCALL, self->pid, 0);
		look(self->pid, stop, &seen, &info);
		ASSERT_EQ(SUD_SEEN_EXIT, seen.what);
	}
	check_end(_metadata, run_to_end(self->pid, 0));
	EXPECT_EQ(ROUNDS / 2, shared->handled);
}

/* ---- O1: a tracer that changes the call ---- */

static void one_allowed_call(void)
{
	arm();
	shared->ret = call(SYS_getppid);
	/* The tracer has set the selector to BLOCK. */
	if (call(NR_DISPATCHED) != NR_DISPATCHED)
		shared->wrong++;
	finish();
}

FIXTURE(change)
{
	pid_t pid;
};

FIXTURE_VARIANT(change)
{
	long nr;
	long ret;
};

/* The result, or 0 for that of getpid(); getppid() would return our number. */
FIXTURE_VARIANT_ADD(change, to_getpid) { .nr = SYS_getpid };
FIXTURE_VARIANT_ADD(change, to_none) { .nr = -1, .ret = MAGIC };
FIXTURE_VARIANT_ADD(change, to_unknown) { .nr = NR_MARK, .ret = -ENOSYS };

FIXTURE_SETUP(change)
{
	setup(_metadata);
}

FIXTURE_TEARDOWN(change)
{
}

/*
 * The decision to run the call is made. It is not made again, although the
 * selector now says otherwise.
 */
TEST_F(change, O1_selector_not_read_again_after_entry_stop)
{
	struct user_regs_struct regs;
	struct ptrace_syscall_info info;
	struct sud_seen seen;
	long ret;

	self->pid = sud_fork_tracee(one_allowed_call, 0);
	ASSERT_LT(0, self->pid);
	ret = variant->ret ?: self->pid;
	ASSERT_TRUE(run_to(self->pid, SUD_SEEN_ENTRY, SYS_getppid));
	shared->selector[0] = SUD_BLOCK;
	ASSERT_EQ(0, get_regs(self->pid, &regs));
	EXPECT_EQ(SYS_getppid, SUD_USER_NR(&regs));
	EXPECT_EQ(sud_foreign_ip(), SUD_USER_IP(&regs));
	SUD_USER_NR(&regs) = variant->nr;
	/* The return value of a skipped or unknown call. */
	SUD_USER_RET(&regs) = variant->ret;
	ASSERT_EQ(0, set_regs(self->pid, &regs));
	look(self->pid, sud_resume(PTRACE_SYSCALL, self->pid, 0), &seen, &info);
	ASSERT_EQ(SUD_SEEN_EXIT, seen.what);
	EXPECT_EQ(ret, seen.ret);
	/* The thread is armed: the next call is dispatched. */
	look(self->pid, sud_resume(PTRACE_SYSCALL, self->pid, 0), &seen, &info);
	ASSERT_EQ(SUD_SEEN_SIGSYS, seen.what);
	EXPECT_EQ(NR_DISPATCHED, seen.nr);
	check_end(_metadata, run_to_end(self->pid, SIGSYS));
	EXPECT_EQ(ret, shared->ret);
	EXPECT_EQ(1, shared->handled);
}

/* ---- O4: emulation ---- */

static void emulated(void)
{
	int i;

	arm();
	for (i = 0; i < ROUNDS; i++) {
		if (call(NR_ALLOWED) != MAGIC)
			shared->wrong++;
		if (blocked_call(NR_DISPATCHED) != NR_DISPATCHED)
			shared->wrong++;
	}
	call(NR_MARK);
	finish();
}

/*
 * An emulator: every call that runs stops once and gets its result. A
 * dispatched call stops only by its SIGSYS. The emulation pauses for the
 * handler, because the program needs its return from the handler.
 */
TEST_F(tracer, O4_sysemu_stops_by_the_sigsys_only)
{
	struct ptrace_syscall_info info;
	struct user_regs_struct regs;
	struct sud_seen seen;
	int i, stop;

	self->pid = sud_fork_tracee(emulated, 0);
	ASSERT_LT(0, self->pid);
	ASSERT_TRUE(run_to(self->pid, SUD_SEEN_EXIT, SYS_prctl));
	for (i = 0; i < ROUNDS; i++) {
		stop = sud_resume(PTRACE_SYSEMU, self->pid, 0);
		look(self->pid, stop, &seen, &info);
		ASSERT_EQ(SUD_SEEN_ENTRY, seen.what);
		ASSERT_EQ(NR_ALLOWED, seen.nr);
		ASSERT_EQ(0, get_regs(self->pid, &regs));
		SUD_USER_RET(&regs) = MAGIC;
		ASSERT_EQ(0, set_regs(self->pid, &regs));

		/* The following call has no entry stop and no exit stop. */
		stop = sud_resume(PTRACE_SYSEMU, self->pid, 0);
		look(self->pid, stop, &seen, &info);
		ASSERT_EQ(SUD_SEEN_SIGSYS, seen.what);
		ASSERT_EQ(NR_DISPATCHED, seen.nr);

		stop = sud_resume(PTRACE_SYSCALL, self->pid, SIGSYS);
		look(self->pid, stop, &seen, &info);
		ASSERT_EQ(SUD_SEEN_ENTRY, seen.what);
		ASSERT_EQ(SYS_rt_sigreturn, seen.nr);
		stop = sud_resume(PTRACE_SYSCALL, self->pid, 0);
		look(self->pid, stop, &seen, &info);
		ASSERT_EQ(SUD_SEEN_EXIT, seen.what);
	}
	stop = sud_resume(PTRACE_SYSEMU, self->pid, 0);
	look(self->pid, stop, &seen, &info);
	ASSERT_EQ(SUD_SEEN_ENTRY, seen.what);
	ASSERT_EQ(NR_MARK, seen.nr);
	check_end(_metadata, run_to_end(self->pid, 0));
	EXPECT_EQ(ROUNDS, shared->handled);
}

/* ---- O4: single-stepping ---- */

/* Allowed and blocked in turn, at the same place. */
static void stepped(void)
{
	sud_word ret;
	int i;

	arm();
	for (i = 0; i < 4; i++) {
		syscall(NR_MARK);
		shared->selector[0] = i & 1 ? SUD_BLOCK : SUD_ALLOW;
		ret = call(NR_DISPATCHED);
		shared->selector[0] = SUD_ALLOW;
		if (i & 1 ? ret != NR_DISPATCHED : ret != -ENOSYS)
			shared->wrong++;
	}
	finish();
}

struct step {
	int stop;
	struct user_regs_struct regs;
};

#define STEPS 6

/* The stops from just before the foreign call on. No signal is delivered. */
static void record_steps(struct __test_metadata *_metadata, pid_t pid,
			 long request, struct step *step)
{
	int i;

	ASSERT_TRUE(run_to(pid, SUD_SEEN_EXIT, NR_MARK));
	ASSERT_TRUE(step_to_call(pid));
	ASSERT_EQ(0, get_regs(pid, &step[0].regs));
	for (i = 1; i < STEPS; i++) {
		step[i].stop = sud_resume(request, pid, 0);
		ASSERT_LT(0, step[i].stop);
		ASSERT_EQ(0, get_regs(pid, &step[i].regs));
	}
}

/*
 * Only the registers that the instruction itself changes have changed. The
 * saved flags include the trap flag, which does the stepping. The flags
 * themselves hide it.
 */
static void check_regs(struct __test_metadata *_metadata,
		       const struct user_regs_struct *before,
		       const struct user_regs_struct *after)
{
	struct user_regs_struct want = *before;

	EXPECT_EQ(NR_DISPATCHED, SUD_USER_RET(after));
	EXPECT_EQ(sud_foreign_ip(), SUD_USER_IP(after));
	EXPECT_EQ(0, after->eflags & TRAP_FLAG);
	SUD_USER_IP(&want) = sud_foreign_ip();
	SUD_USER_NR(&want) = SUD_USER_NR(after);
#ifdef __x86_64__
	want.rcx = sud_foreign_ip();
	EXPECT_EQ(want.eflags, after->r11 & ~TRAP_FLAG);
	want.r11 = after->r11;
#endif
	EXPECT_EQ(0, memcmp(&want, after, sizeof(want)));
}

/*
 * A single step over a dispatched call makes one stop, at the instruction
 * after it. Its signal is SIGSYS. No SIGTRAP comes before or after it for the
 * same step.
 */
TEST_F(tracer, O4_O5_singlestep_over_dispatched_call)
{
	struct step allowed[STEPS], blocked[STEPS];
	int i, round;

	self->pid = sud_fork_tracee(stepped, 0);
	ASSERT_LT(0, self->pid);
	for (round = 0; round < 2; round++) {
		record_steps(_metadata, self->pid, PTRACE_SINGLESTEP, allowed);
		record_steps(_metadata, self->pid, PTRACE_SINGLESTEP, blocked);
		EXPECT_EQ(SIGTRAP, allowed[1].stop);
		EXPECT_EQ(SIGSYS, blocked[1].stop);
		check_regs(_metadata, &blocked[0].regs, &blocked[1].regs);
		for (i = 1; i < STEPS; i++) {
			EXPECT_EQ(SUD_USER_IP(&allowed[i].regs),
				  SUD_USER_IP(&blocked[i].regs)) {
				TH_LOG("step %d", i);
			}
			if (i > 1)
				EXPECT_EQ(SIGTRAP, blocked[i].stop);
		}
		EXPECT_EQ(sud_foreign_ip(), SUD_USER_IP(&blocked[1].regs));
		EXPECT_NE(sud_foreign_ip(), SUD_USER_IP(&blocked[2].regs));
	}
	check_end(_metadata, run_to_end(self->pid, 0));
	EXPECT_EQ(0, shared->handled);
}

/* The same during emulation: a call that runs has one stop, at its entry. */
TEST_F(tracer, O4_sysemu_singlestep_over_dispatched_call)
{
	struct step allowed[STEPS], blocked[STEPS];
	int i, round;

	self->pid = sud_fork_tracee(stepped, 0);
	ASSERT_LT(0, self->pid);
	for (round = 0; round < 2; round++) {
		record_steps(_metadata, self->pid, PTRACE_SYSEMU_SINGLESTEP,
			     allowed);
		record_steps(_metadata, self->pid, PTRACE_SYSEMU_SINGLESTEP,
			     blocked);
		EXPECT_EQ(SUD_STOP_SYSCALL, allowed[1].stop);
		EXPECT_EQ(SIGSYS, blocked[1].stop);
		check_regs(_metadata, &blocked[0].regs, &blocked[1].regs);
		for (i = 1; i < STEPS; i++) {
			EXPECT_EQ(SUD_USER_IP(&allowed[i].regs),
				  SUD_USER_IP(&blocked[i].regs)) {
				TH_LOG("step %d", i);
			}
			if (i > 1)
				EXPECT_EQ(SIGTRAP, blocked[i].stop);
		}
	}
	check_end(_metadata, run_to_end(self->pid, 0));
	EXPECT_EQ(0, shared->handled);
}

/* Step into the handler, through it, and back. */
TEST_F(tracer, O4_singlestep_through_the_handler)
{
	struct user_regs_struct regs;
	int i, stop;

	self->pid = sud_fork_tracee(stepped, 0);
	ASSERT_LT(0, self->pid);
	ASSERT_TRUE(run_to(self->pid, SUD_SEEN_EXIT, NR_MARK));
	ASSERT_TRUE(run_to(self->pid, SUD_SEEN_EXIT, NR_MARK));
	ASSERT_TRUE(step_to_call(self->pid));
	ASSERT_EQ(SIGSYS, sud_resume(PTRACE_SINGLESTEP, self->pid, 0));
	/* The entry to the handler is a step of its own. */
	stop = sud_resume(PTRACE_SINGLESTEP, self->pid, SIGSYS);
	EXPECT_EQ(SIGTRAP, stop);
	EXPECT_EQ((unsigned long)sud_handler, get_ip(self->pid));
	for (i = 0; i < 10000; i++) {
		ASSERT_EQ(SIGTRAP, sud_resume(PTRACE_SINGLESTEP, self->pid, 0));
		if (get_ip(self->pid) == sud_foreign_ip())
			break;
	}
	ASSERT_EQ(0, get_regs(self->pid, &regs));
	EXPECT_EQ(sud_foreign_ip(), SUD_USER_IP(&regs));
	EXPECT_EQ(NR_DISPATCHED, SUD_USER_RET(&regs));
	EXPECT_EQ(1, shared->handled);
	EXPECT_EQ(SYS_USER_DISPATCH, shared->info.si_code);
	/* The flags do not show the program that it is stepped. */
	EXPECT_EQ(0, shared->uc.uc_mcontext.gregs[REG_EFL] & TRAP_FLAG);
	ASSERT_EQ(SIGTRAP, sud_resume(PTRACE_SINGLESTEP, self->pid, 0));
	EXPECT_NE(sud_foreign_ip(), get_ip(self->pid));
	ASSERT_EQ(SIGSYS, sud_resume(PTRACE_CONT, self->pid, 0));
	check_end(_metadata, run_to_end(self->pid, SIGSYS));
	EXPECT_EQ(2, shared->handled);
}

/* ---- O5: ways for a tracer to handle the signal ---- */

static int sigsys_state;

enum { HANDLED, BLOCKED, IGNORED, DEFAULT };

static void suppressed(void)
{
	sigset_t set;
	int i;

	sigemptyset(&set);
	sigaddset(&set, SIGSYS);
	for (i = 0; i < ROUNDS; i++) {
		if (sigsys_state == BLOCKED)
			sigprocmask(SIG_BLOCK, &set, NULL);
		if (sigsys_state == IGNORED)
			signal(SIGSYS, SIG_IGN);
		if (sigsys_state == DEFAULT)
			signal(SIGSYS, SIG_DFL);
		if (!i)
			arm();
		if (blocked_call(NR_DISPATCHED) != NR_DISPATCHED)
			shared->wrong++;
		if (call(NR_ALLOWED) != -ENOSYS)
			shared->wrong++;
	}
	finish();
}

FIXTURE(suppress)
{
	pid_t pid;
};

FIXTURE_VARIANT(suppress)
{
	long request;
	int state;
	/* the stop that this request makes in addition to signals */
	int other_stop;
};

FIXTURE_VARIANT_ADD(suppress, O5_cont) { .request = PTRACE_CONT };

FIXTURE_VARIANT_ADD(suppress, O5_syscall) {
	.request = PTRACE_SYSCALL,
	.other_stop = SUD_STOP_SYSCALL,
};

FIXTURE_VARIANT_ADD(suppress, O5_singlestep) {
	.request = PTRACE_SINGLESTEP,
	.other_stop = SIGTRAP,
};

FIXTURE_VARIANT_ADD(suppress, D5_O5_blocked) {
	.request = PTRACE_CONT,
	.state = BLOCKED,
};

FIXTURE_VARIANT_ADD(suppress, D5_O5_ignored) {
	.request = PTRACE_CONT,
	.state = IGNORED,
};

FIXTURE_VARIANT_ADD(suppress, D5_O5_default) {
	.request = PTRACE_CONT,
	.state = DEFAULT,
};

FIXTURE_SETUP(suppress)
{
	setup(_metadata);
}

FIXTURE_TEARDOWN(suppress)
{
}

/* The call is skipped, returns its number, and the program goes on. */
TEST_F(suppress, O5_call_is_skipped)
{
	int stop, status, sigsys = 0;

	sigsys_state = variant->state;
	self->pid = sud_fork_tracee(suppressed, 0);
	ASSERT_LT(0, self->pid);
	for (;;) {
		ASSERT_EQ(0, sud_ptrace(variant->request, self->pid, 0, 0));
		ASSERT_EQ(self->pid, waitpid(self->pid, &status, 0));
		if (!WIFSTOPPED(status))
			break;
		stop = status >> 8;
		if (stop == SIGSYS)
			sigsys++;
		else
			ASSERT_EQ(variant->other_stop, stop);
	}
	check_end(_metadata, status);
	EXPECT_EQ(ROUNDS, sigsys);
	EXPECT_EQ(0, shared->handled);
}

static void on_usr1(int sig, siginfo_t *info, void *context)
{
	shared->usr1++;
	shared->usr1_code = info->si_code;
	shared->ret = SUD_REG_RET((ucontext_t *)context);
}

static void twice_blocked(void)
{
	struct sigaction act = {
		.sa_sigaction = on_usr1,
		.sa_flags = SA_SIGINFO,
	};
	int i;

	if (sigaction(SIGUSR1, &act, NULL))
		_exit(82);
	arm();
	for (i = 0; i < 2; i++) {
		if (blocked_call(NR_DISPATCHED) != NR_DISPATCHED)
			shared->wrong++;
	}
	finish();
}

/* Another signal replaces it: only that one is seen. */
TEST_F(tracer, O5_replaced_by_another_signal)
{
	self->pid = sud_fork_tracee(twice_blocked, 0);
	ASSERT_LT(0, self->pid);
	ASSERT_EQ(SIGSYS, sud_resume(PTRACE_CONT, self->pid, 0));
	ASSERT_EQ(SIGSYS, sud_resume(PTRACE_CONT, self->pid, SIGUSR1));
	EXPECT_EQ(1, shared->usr1);
	EXPECT_EQ(SI_USER, shared->usr1_code);
	EXPECT_EQ(NR_DISPATCHED, shared->ret);
	EXPECT_EQ(0, shared->handled);
	check_end(_metadata, run_to_end(self->pid, SIGSYS));
	EXPECT_EQ(1, shared->usr1);
	EXPECT_EQ(1, shared->handled);
	EXPECT_EQ(NR_DISPATCHED, shared->info.si_syscall);
}

/* The handler gets the tracer's siginfo once. */
TEST_F(tracer, O5_siginfo_changed)
{
	siginfo_t info;

	self->pid = sud_fork_tracee(twice_blocked, 0);
	ASSERT_LT(0, self->pid);
	ASSERT_EQ(SIGSYS, sud_resume(PTRACE_CONT, self->pid, 0));
	ASSERT_EQ(0, sud_ptrace_siginfo(self->pid, &info));
	EXPECT_EQ(NR_DISPATCHED, info.si_syscall);
	info.si_syscall = MAGIC;
	info.si_errno = 5;
	info.si_call_addr = (void *)0x1234;
	ASSERT_EQ(0, sud_ptrace(PTRACE_SETSIGINFO, self->pid, 0,
				(unsigned long)&info));
	ASSERT_EQ(SIGSYS, sud_resume(PTRACE_CONT, self->pid, SIGSYS));
	EXPECT_EQ(1, shared->handled);
	EXPECT_EQ(SYS_USER_DISPATCH, shared->info.si_code);
	EXPECT_EQ(MAGIC, shared->info.si_syscall);
	EXPECT_EQ(5, shared->info.si_errno);
	EXPECT_EQ(0x1234, (uintptr_t)shared->info.si_call_addr);
	check_end(_metadata, run_to_end(self->pid, SIGSYS));
	EXPECT_EQ(2, shared->handled);
	EXPECT_EQ(NR_DISPATCHED, shared->info.si_syscall);
	EXPECT_EQ(0, shared->info.si_errno);
	EXPECT_EQ(sud_foreign_ip(), (uintptr_t)shared->info.si_call_addr);
}

static void tell_results(void)
{
	arm();
	shared->ret = blocked_call(NR_DISPATCHED);
	/* The tracer steps back over the instruction. */
	if (blocked_call(SYS_getppid) != getppid())
		shared->wrong++;
	if (blocked_call(NR_DISPATCHED) != NR_DISPATCHED)
		shared->wrong++;
	finish();
}

/* A tracer itself can do the work of a handler (D3, D4). */
TEST_F(tracer, O5_served_by_the_tracer)
{
	struct user_regs_struct regs;

	self->pid = sud_fork_tracee(tell_results, 0);
	ASSERT_LT(0, self->pid);
	ASSERT_EQ(SIGSYS, sud_resume(PTRACE_CONT, self->pid, 0));
	ASSERT_EQ(0, get_regs(self->pid, &regs));
	SUD_USER_RET(&regs) = MAGIC;
	ASSERT_EQ(0, set_regs(self->pid, &regs));
	ASSERT_EQ(SIGSYS, sud_resume(PTRACE_CONT, self->pid, 0));
	EXPECT_EQ(MAGIC, shared->ret);
	ASSERT_EQ(0, get_regs(self->pid, &regs));
	EXPECT_EQ(SYS_getppid, SUD_USER_RET(&regs));
	SUD_USER_IP(&regs) -= SUD_INSN_LEN;
	ASSERT_EQ(0, set_regs(self->pid, &regs));
	shared->selector[0] = SUD_ALLOW;
	ASSERT_EQ(SIGSYS, sud_resume(PTRACE_CONT, self->pid, 0));
	check_end(_metadata, run_to_end(self->pid, 0));
	EXPECT_EQ(0, shared->handled);
}

/* The tracer detaches at the stop, with or without the signal. */
TEST_F(tracer, O5_detached_at_the_sigsys)
{
	int sig, i, status;

	for (i = 0; i < 2; i++) {
		sig = i ? SIGSYS : 0;
		shared->handled = 0;
		self->pid = sud_fork_tracee(blocked_then_allowed, 0);
		ASSERT_LT(0, self->pid);
		ASSERT_EQ(SIGSYS, sud_resume(PTRACE_CONT, self->pid, 0));
		ASSERT_EQ(0, sud_ptrace(PTRACE_DETACH, self->pid, 0, sig));
		ASSERT_EQ(self->pid, waitpid(self->pid, &status, 0));
		check_end(_metadata, status);
		EXPECT_EQ(sig ? ROUNDS : ROUNDS - 1, shared->handled);
	}
}

TEST_HARNESS_MAIN
