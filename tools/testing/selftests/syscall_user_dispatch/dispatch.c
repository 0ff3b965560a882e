// SPDX-License-Identifier: GPL-2.0
/* A dispatched call as the program sees it: rules D1 to D6 and D10 to D13. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <sys/ptrace.h>
#include <sys/time.h>

#include "sud_core.h"
#include "sud_regs.h"
#include "sud_uffd.h"

#include "sud_harness.h"

#define BIT_30 0x40000000

/* Shared with child processes and threads. */
#define SHARED_INTS	4

static volatile int *shared;

FIXTURE(dispatch)
{
	int unused;
};

FIXTURE_SETUP(dispatch)
{
	SUD_REQUIRE_SETUP();
	ASSERT_TRUE(sud_setup());
	shared = sud_share(SHARED_INTS * sizeof(*shared));
	ASSERT_NE(NULL, shared);
}

FIXTURE_TEARDOWN(dispatch)
{
}

/* ---- D1: the signal ---- */

static const sud_word numbers[] = {
	SYS_read, SYS_getpid, SYS_rt_sigreturn, SYS_restart_syscall,
	/* with and without x32's bit */
	SYS_rt_sigreturn ^ BIT_30, SYS_getpid ^ BIT_30,
	/* no such call */
	9999, 0x7fffffff,
	/* negative */
	-1, -2, -4, -38, -4096, INT32_MIN,
#if SUD_WORD_BITS == 64
	/* negative as an int, and yet positive in 64 bits */
	0x80000000, 0xffffffff, 0xfffffffc,
	/* a high half that the int does not show */
	0x1234567800000027, 0x123456789abcdef0,
	0x8000000000000027, 0xffffffff00000027, INT64_MIN,
#endif
};

TEST_F(dispatch, D1_siginfo)
{
	struct sud_record *r = &sud_log[0];
	unsigned int i, j;
	sud_word ret;

	for (i = 0; i < ARRAY_SIZE(numbers); i++) {
		sud_reset();
		/* No old content may show through. */
		memset(r, 0xff, sizeof(*r));
		ASSERT_EQ(0, sud_arm_native(&sud_selector));
		ret = sud_blocked_call(numbers[i]);
		ASSERT_EQ(0, sud_off());

		ASSERT_EQ(1, sud_count) {
			TH_LOG("number %#jx", (uintmax_t)numbers[i]);
		}
		EXPECT_EQ(numbers[i], ret);
		EXPECT_EQ(SIGSYS, r->info.si_signo);
		EXPECT_EQ(0, r->info.si_errno);
		EXPECT_EQ(2, r->info.si_code);
		EXPECT_EQ((void *)sud_foreign_ip(), r->info.si_call_addr);
		EXPECT_EQ((int)numbers[i], r->info.si_syscall) {
			TH_LOG("number %#jx", (uintmax_t)numbers[i]);
		}
		EXPECT_EQ(SUD_AUDIT_ARCH, r->info.si_arch);

		/* The rest holds no content of kernel memory. */
		j = (char *)&r->info.si_arch + sizeof(r->info.si_arch) -
		    (char *)&r->info;
		for (; j < sizeof(r->info); j++) {
			if (((unsigned char *)&r->info)[j])
				break;
		}
		EXPECT_EQ(sizeof(r->info), j);
	}
}

static __thread int handled_here;

static void hook_count_here(siginfo_t *info __attribute__((unused)),
			    ucontext_t *uc __attribute__((unused)))
{
	handled_here++;
}

struct bystander {
	pthread_t thread;
	volatile bool stop;
	volatile bool up;
	bool dispatches;
	int handled;
	int wrong;
};

/* SIGSYS is unblocked here, so a signal to the process could arrive here. */
static void *bystander_fn(void *arg)
{
	struct bystander *b = arg;
	int i;

	if (b->dispatches && sud_arm_native(&sud_selector))
		b->wrong++;
	b->up = true;
	if (b->dispatches) {
		for (i = 0; i < 100; i++) {
			if (sud_foreign_call(SYS_close, -1, 0, 0, 0, 0, 0) !=
			    SYS_close || handled_here != i + 1)
				b->wrong++;
		}
	}
	while (!b->stop)
		usleep(1000);
	b->handled = handled_here;
	return NULL;
}

TEST_F(dispatch, D1_thread_directed)
{
	struct bystander b[3] = { };
	unsigned int i;

	sud_hook = hook_count_here;
	for (i = 0; i < ARRAY_SIZE(b); i++) {
		ASSERT_EQ(0, pthread_create(&b[i].thread, NULL, bystander_fn,
					    &b[i]));
		while (!b[i].up)
			sched_yield();
	}
	ASSERT_EQ(0, sud_arm_native(&sud_selector));
	for (i = 0; i < 300; i++) {
		ASSERT_EQ(SYS_getpid, sud_blocked_call(SYS_getpid));
		ASSERT_EQ(i + 1, handled_here);
	}
	for (i = 0; i < ARRAY_SIZE(b); i++) {
		b[i].stop = true;
		ASSERT_EQ(0, pthread_join(b[i].thread, NULL));
		EXPECT_EQ(0, b[i].handled);
	}
	EXPECT_EQ(300, sud_count);
}

/* Several threads at the same time: each gets its own signals. */
TEST_F(dispatch, D1_each_thread_gets_its_own)
{
	struct bystander b[3] = { };
	unsigned int i;

	sud_hook = hook_count_here;
	sud_selector = SUD_BLOCK;
	for (i = 0; i < ARRAY_SIZE(b); i++) {
		b[i].dispatches = true;
		ASSERT_EQ(0, pthread_create(&b[i].thread, NULL, bystander_fn,
					    &b[i]));
	}
	for (i = 0; i < ARRAY_SIZE(b); i++) {
		b[i].stop = true;
		ASSERT_EQ(0, pthread_join(b[i].thread, NULL));
		EXPECT_EQ(100, b[i].handled);
		EXPECT_EQ(0, b[i].wrong);
	}
	EXPECT_EQ(0, handled_here);
	EXPECT_EQ(300, sud_count);
}

/* ---- D2: the frame ---- */

static void hook_copy_fpstate(siginfo_t *info __attribute__((unused)),
			      ucontext_t *uc)
{
	uint8_t *fp = sud_regs_fpstate(uc);
	/* struct _fpx_sw_bytes: magic1, extended_size, xfeatures, xstate_size */
	uint32_t *sw = (uint32_t *)(fp + 464);
	uint32_t size = 512;

	if (sw[0] == 0x46505853)
		size = sw[4];
	if (size > sizeof(sud_regs->xframe))
		size = sizeof(sud_regs->xframe);
	memcpy(sud_regs->xframe, fp, size);
}

static bool handle_ac(void)
{
	struct sigaction act = {
		.sa_sigaction = sud_regs_ac_handler,
		.sa_flags = SA_SIGINFO,
	};

	return sigaction(SIGSYS, &act, NULL) == 0;
}

/* Arithmetic flags, direction, alignment check. */
#define FLAGS_MASK	(0x8d5UL | 0x400UL | 0x40000UL)

static void check_regs(struct __test_metadata *_metadata)
{
	ucontext_t *uc = &sud_log[0].uc;
	uint64_t want, flags = sud_regs->flags_in;
	unsigned int i;

	ASSERT_EQ(1, sud_count);
	EXPECT_EQ(sud_regs_call_ip(), (sud_uword)SUD_REG_IP(uc));
	EXPECT_EQ(sud_regs->sp_in, (sud_uword)SUD_REG_SP(uc));
	EXPECT_EQ(sud_regs->sp_in, sud_regs->sp_out);
	EXPECT_EQ(flags, SUD_REGS_FLAGS(uc) & (FLAGS_MASK | 0x202));
	EXPECT_EQ(flags, sud_regs->flags_out & (FLAGS_MASK | 0x202));
	for (i = 0; i < SUD_NR_REGS; i++) {
		want = sud_regs_expected(i, uc);
		EXPECT_EQ(want, sud_regs_frame(uc, i)) {
			TH_LOG("in the handler's frame, register %u", i);
		}
		EXPECT_EQ(want, sud_regs->out[i]) {
			TH_LOG("after the return, register %u", i);
		}
	}
	for (i = 0; (int)i < SUD_REGS_RED_SLOTS; i++) {
		EXPECT_EQ(sud_regs->in[i % SUD_NR_REGS],
			  sud_regs->red_out[i]) {
			TH_LOG("red zone, slot %u", i);
		}
	}
}

static void dispatch_regs(struct __test_metadata *_metadata)
{
	ASSERT_EQ(0, sud_arm_native(&sud_selector));
	sud_selector = SUD_BLOCK;
	sud_regs_call();
	sud_selector = SUD_ALLOW;
	ASSERT_EQ(0, sud_off());
}

TEST_F(dispatch, D2_integer_registers)
{
	unsigned int i;

	ASSERT_TRUE(sud_regs_map());
	for (i = 0; i < ARRAY_SIZE(numbers); i++) {
		sud_reset();
		/* All 64 bits. */
		sud_regs->in[SUD_AX] = (sud_uword)numbers[i];
		dispatch_regs(_metadata);
		check_regs(_metadata);
	}
}

TEST_F(dispatch, D2_flags)
{
	static const uint64_t flags[] = {
		0, 0x1, 0x4, 0x10, 0x40, 0x80, 0x800, 0x8d5, 0x400,
		0x400 | 0x8d5, 0x40000, 0x40000 | 0x400 | 0x8d5,
	};
	unsigned int i;

	ASSERT_TRUE(sud_regs_map());
	ASSERT_TRUE(handle_ac());
	for (i = 0; i < ARRAY_SIZE(flags); i++) {
		sud_reset();
		sud_regs->flags_in = flags[i] | 0x202;
		dispatch_regs(_metadata);
		check_regs(_metadata);
	}
}

TEST_F(dispatch, D2_vector_registers)
{
	const char *differs;

	ASSERT_TRUE(sud_regs_map());
	ASSERT_EQ(SUD_X87 | SUD_SSE, sud_regs->xmask & (SUD_X87 | SUD_SSE));
	sud_hook = hook_copy_fpstate;
	dispatch_regs(_metadata);
	check_regs(_metadata);

	differs = sud_regs_differ(sud_regs->xframe);
	EXPECT_EQ(NULL, differs) {
		TH_LOG("in the handler's frame: %s", differs);
	}
	differs = sud_regs_differ(sud_regs->xout);
	EXPECT_EQ(NULL, differs) {
		TH_LOG("after the return: %s", differs);
	}
}

/* Proves that the vector test sees a changed register. */
static void hook_spoil_xmm(siginfo_t *info __attribute__((unused)),
			   ucontext_t *uc)
{
	sud_regs_fpstate(uc)[SUD_X_XMM + 3 * 16 + 4] ^= 1;
}

TEST_F(dispatch, D2_handler_may_change_vector_registers)
{
	ASSERT_TRUE(sud_regs_map());
	sud_hook = hook_spoil_xmm;
	dispatch_regs(_metadata);
	EXPECT_STREQ("xmm register", sud_regs_differ(sud_regs->xout) ?: "none");
}

/* ---- D3, D4: the return ---- */

static volatile sud_word result;

static void hook_result(siginfo_t *info __attribute__((unused)),
			ucontext_t *uc)
{
	SUD_REG_RET(uc) = result;
}

TEST_F(dispatch, D3_result_is_what_the_handler_left)
{
	static const sud_word results[] = {
		0, 1, -1, -38, -4, -4095, -512, -513, -514, -516, INT32_MIN,
#if SUD_WORD_BITS == 64
		0x123456789abcdef, INT64_MIN,
#endif
	};
	unsigned int i;

	sud_hook = hook_result;
	ASSERT_EQ(0, sud_arm_native(&sud_selector));
	for (i = 0; i < ARRAY_SIZE(results); i++) {
		result = results[i];
		EXPECT_EQ(results[i], sud_blocked_call(SYS_getpid));
	}
	EXPECT_EQ(ARRAY_SIZE(results), sud_count);
}

TEST_F(dispatch, D3_unchanged_is_the_number)
{
	unsigned int i;

	ASSERT_EQ(0, sud_arm_native(&sud_selector));
	for (i = 0; i < ARRAY_SIZE(numbers); i++)
		EXPECT_EQ(numbers[i], sud_blocked_call(numbers[i]));
	EXPECT_EQ(ARRAY_SIZE(numbers), sud_count);
}

TEST_F(dispatch, D4_rerun)
{
	long ret;

	sud_hook = sud_hook_rerun;
	ASSERT_EQ(0, sud_arm_native(&sud_selector));
	EXPECT_EQ(getpid(), sud_blocked_call(SYS_getpid));
	EXPECT_EQ(1, sud_count);
	EXPECT_EQ(-ENOSYS, sud_blocked_call(9999));
	EXPECT_EQ(2, sud_count);

	/* All six arguments reach the kernel. */
	sud_selector = SUD_BLOCK;
	ret = sud_foreign_call(SUD_NR_MMAP, 0x40000, 8192,
			       PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
			       -1, 0);
	EXPECT_EQ(3, sud_count);
	ASSERT_EQ(0x40000, ret);
	*(volatile char *)(ret + 8191) = 1;
	sud_selector = SUD_BLOCK;
	ret = sud_foreign_call(SUD_NR_MMAP, 0x50000, 4096, PROT_READ,
			       MAP_PRIVATE, -1, 0);
	EXPECT_EQ(4, sud_count);
	EXPECT_EQ(-EBADF, ret);
}

static void hook_step_back(siginfo_t *info __attribute__((unused)),
			   ucontext_t *uc)
{
	SUD_REG_IP(uc) -= SUD_INSN_LEN;
	if (sud_count == 5)
		sud_selector = SUD_ALLOW;
}

/*
 * Stepping back alone does not run the call: at BLOCK it is dispatched again.
 */
TEST_F(dispatch, D4_rerun_under_block_is_dispatched)
{
	unsigned int i;

	sud_hook = hook_step_back;
	ASSERT_EQ(0, sud_arm_native(&sud_selector));
	EXPECT_EQ(getpid(), sud_blocked_call(SYS_getpid));
	EXPECT_EQ(5, sud_count);
	for (i = 0; i < 5; i++) {
		EXPECT_EQ(SYS_getpid, sud_log[i].info.si_syscall);
		EXPECT_EQ(sud_foreign_ip(),
			  (unsigned long)SUD_REG_IP(&sud_log[i].uc));
	}
}

/* ---- D5: signal states that end the process ---- */

enum state { STATE_BLOCKED, STATE_IGNORED, STATE_DEFAULT };

static int child_in_state(void *arg)
{
	enum state state = (long)arg;
	sigset_t set;
	long ret;

	/* The child came to this line. */
	shared[0] = 1;
	if (state == STATE_IGNORED)
		signal(SIGSYS, SIG_IGN);
	if (state == STATE_DEFAULT)
		signal(SIGSYS, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, SIGSYS);
	if (state == STATE_BLOCKED && sigprocmask(SIG_BLOCK, &set, NULL))
		return 2;
	if (sud_arm_native(&sud_selector))
		return 3;
	ret = sud_blocked_call(SYS_getpid);
	shared[1] = 1;
	return ret == SYS_getpid ? 4 : 5;
}

static void hook_tell(siginfo_t *info __attribute__((unused)),
		      ucontext_t *uc __attribute__((unused)))
{
	shared[2] = 1;
}

FIXTURE(deadly)
{
	struct sud_core core;
};

FIXTURE_VARIANT(deadly)
{
	enum state state;
};

FIXTURE_VARIANT_ADD(deadly, blocked) { .state = STATE_BLOCKED };
FIXTURE_VARIANT_ADD(deadly, ignored) { .state = STATE_IGNORED };
FIXTURE_VARIANT_ADD(deadly, default) { .state = STATE_DEFAULT };

FIXTURE_SETUP(deadly)
{
	SUD_REQUIRE_SETUP();
	ASSERT_TRUE(sud_setup());
	sud_hook = hook_tell;
	shared = sud_share(SHARED_INTS * sizeof(*shared));
	ASSERT_NE(NULL, shared);
}

FIXTURE_TEARDOWN(deadly)
{
}

TEST_F(deadly, D5_dies_without_core)
{
	int status;

	ASSERT_EQ(0, sud_core_limit(false));
	status = sud_run_child(child_in_state, (void *)(long)variant->state);
	EXPECT_TRUE(sud_killed(status, SIGSYS)) {
		TH_LOG("status %#x", status);
	}
	EXPECT_FALSE(WCOREDUMP(status));
	EXPECT_EQ(1, shared[0]);
	EXPECT_EQ(0, shared[1]);
	EXPECT_EQ(0, shared[2]);
}

TEST_F(deadly, D5_dies_with_core)
{
	const char *core;
	int status, err;

	err = sud_core_begin(&self->core);
	if (err)
		SKIP(return, "core_pattern cannot be set: %s", strerror(-err));
	err = sud_core_limit(true);
	status = sud_run_child(child_in_state, (void *)(long)variant->state);
	core = sud_core_find(&self->core);
	sud_core_end(&self->core);
	ASSERT_EQ(0, err);
	EXPECT_TRUE(sud_killed(status, SIGSYS)) {
		TH_LOG("status %#x", status);
	}
	EXPECT_TRUE(WCOREDUMP(status));
	EXPECT_NE(NULL, core);
	EXPECT_EQ(0, shared[1]);
	EXPECT_EQ(0, shared[2]);
}

/* The child of this one is init of a new pid namespace. */
static int child_unshare(void *arg)
{
	int status;

	if (unshare(CLONE_NEWPID))
		return 77;
	status = sud_run_child(child_in_state, arg);
	return sud_killed(status, SIGSYS) ? 0 : 1;
}

TEST_F(deadly, D5_kills_init_of_pid_namespace)
{
	int status = sud_run_child(child_unshare, (void *)(long)variant->state);

	if (sud_exited(status, 77))
		SKIP(return, "no new pid namespace");
	EXPECT_TRUE(sud_exited(status, 0)) {
		TH_LOG("status %#x", status);
	}
	EXPECT_EQ(1, shared[0]);
	EXPECT_EQ(0, shared[1]);
	EXPECT_EQ(0, shared[2]);
}

/*
 * A traced init is an exception: the call is skipped, and returns its number.
 * The tracer sees the signal, and passes it on.
 */
static int child_traced_init(void *arg)
{
	int status, stops = 0;
	pid_t pid;

	if (unshare(CLONE_NEWPID))
		return 77;
	pid = fork();
	if (pid == 0) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL))
			_exit(90);
		_exit(child_in_state(arg));
	}
	for (;;) {
		if (waitpid(pid, &status, 0) != pid)
			return 78;
		if (!WIFSTOPPED(status))
			break;
		if (WSTOPSIG(status) == SIGSYS)
			stops++;
		if (ptrace(PTRACE_CONT, pid, NULL, (long)WSTOPSIG(status)))
			return 79;
	}
	if (!WIFEXITED(status))
		return 80;
	/* 4: the program went on, and the call returned its number */
	if (WEXITSTATUS(status) != 4)
		return WEXITSTATUS(status);
	return stops == 1 ? 0 : 81;
}

TEST_F(deadly, D5_traced_init_of_pid_namespace_survives)
{
	int status = sud_run_child(child_traced_init,
				   (void *)(long)variant->state);

	if (sud_exited(status, 77))
		SKIP(return, "no new pid namespace");
	EXPECT_TRUE(sud_exited(status, 0)) {
		TH_LOG("status %#x", status);
	}
	EXPECT_EQ(1, shared[1]);
	EXPECT_EQ(0, shared[2]);
}

/* ---- D6: dispatch in the handler ---- */

static volatile unsigned int depth, max_depth;
static volatile unsigned int wanted_depth;
static volatile long nested_ret;

/* Make another foreign call from the handler, up to the maximum depth. */
static void hook_nest(siginfo_t *info __attribute__((unused)),
		      ucontext_t *uc __attribute__((unused)))
{
	long ret;

	shared[3]++;
	depth++;
	if (depth > max_depth)
		max_depth = depth;
	if (depth < wanted_depth) {
		ret = sud_foreign_call(100 + depth, 0, 0, 0, 0, 0, 0);
		/* 100 + the depth of the call; otherwise the order is wrong */
		if (ret != (long)(100 + depth))
			nested_ret = ret;
	}
	depth--;
}

static int child_nest(void *arg)
{
	if (sud_handle((long)arg))
		return 2;
	wanted_depth = 3;
	sud_hook = hook_nest;
	if (sud_arm_native(&sud_selector))
		return 3;
	if (sud_blocked_call(SYS_getpid) != SYS_getpid)
		return 4;
	return 0;
}

TEST_F(dispatch, D6_masked_in_handler_kills)
{
	int status = sud_run_child(child_nest, (void *)0);

	EXPECT_TRUE(sud_killed(status, SIGSYS)) {
		TH_LOG("status %#x", status);
	}
	EXPECT_EQ(1, shared[3]);
}

TEST_F(dispatch, D6_nodefer_nests)
{
	unsigned int i;

	ASSERT_EQ(0, sud_handle(SA_NODEFER));
	wanted_depth = 3;
	sud_hook = hook_nest;
	ASSERT_EQ(0, sud_arm_native(&sud_selector));
	EXPECT_EQ(SYS_getpid, sud_blocked_call(SYS_getpid));
	ASSERT_EQ(0, sud_off());
	EXPECT_EQ(3, sud_count);
	EXPECT_EQ(3, max_depth);
	EXPECT_EQ(0, depth);
	EXPECT_EQ(0, nested_ret);
	EXPECT_EQ(SYS_getpid, sud_log[0].info.si_syscall);
	EXPECT_EQ(101, sud_log[1].info.si_syscall);
	EXPECT_EQ(102, sud_log[2].info.si_syscall);
	/* Each frame lies below the earlier one. */
	for (i = 0; i < 2; i++)
		EXPECT_GT(SUD_REG_SP(&sud_log[i].uc),
			  SUD_REG_SP(&sud_log[i + 1].uc));
}

static int child_resethand(void *arg __attribute__((unused)))
{
	if (sud_handle(SA_RESETHAND) || sud_arm_native(&sud_selector))
		return 2;
	sud_hook = hook_nest;
	wanted_depth = 1;
	if (sud_blocked_call(SYS_getpid) != SYS_getpid)
		return 3;
	shared[1] = 1;
	sud_blocked_call(SYS_getpid);
	return 4;
}

TEST_F(dispatch, D6_resethand_second_kills)
{
	int status = sud_run_child(child_resethand, NULL);

	EXPECT_TRUE(sud_killed(status, SIGSYS)) {
		TH_LOG("status %#x", status);
	}
	EXPECT_EQ(1, shared[1]);
	EXPECT_EQ(1, shared[3]);
}

/* The handler of the first dispatch makes the second one, unmasked. */
TEST_F(dispatch, D6_resethand_nodefer_second_kills)
{
	int status = sud_run_child(child_nest,
				   (void *)(long)(SA_RESETHAND | SA_NODEFER));

	EXPECT_TRUE(sud_killed(status, SIGSYS)) {
		TH_LOG("status %#x", status);
	}
	EXPECT_EQ(1, shared[3]);
}

/* ---- D10: no signal can be queued ---- */

static int child_sigpending(void *arg)
{
	struct rlimit rlim = { 0, 0 };
	union sigval value = { 0 };
	sigset_t set;
	int i;

	if (arg && setresuid(65534, 65534, 65534))
		return 77;
	if (setrlimit(RLIMIT_SIGPENDING, &rlim))
		return 2;
	/* The limit works: nothing can be queued. */
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	sigprocmask(SIG_BLOCK, &set, NULL);
	if (sigqueue(getpid(), SIGRTMIN, value) != -1 || errno != EAGAIN)
		return 3;
	if (sud_arm_native(&sud_selector))
		return 4;
	for (i = 0; i < 100; i++) {
		sud_count = 0;
		if (sud_blocked_call(300 + i) != 300 + i || sud_count != 1)
			return 5;
		if (sud_log[0].info.si_code != SYS_USER_DISPATCH)
			return 6;
		if (sud_log[0].info.si_syscall != 300 + i)
			return 7;
		if (sud_log[0].info.si_call_addr != (void *)sud_foreign_ip())
			return 8;
		if (sud_log[0].info.si_arch != SUD_AUDIT_ARCH)
			return 9;
	}
	return 0;
}

TEST_F(dispatch, D10_rlimit_sigpending_0)
{
	int status = sud_run_child(child_sigpending, NULL);

	EXPECT_TRUE(sud_exited(status, 0)) {
		TH_LOG("status %#x", status);
	}
}

TEST_F(dispatch, D10_rlimit_sigpending_0_unprivileged)
{
	int status = sud_run_child(child_sigpending, (void *)1);

	if (sud_exited(status, 77))
		SKIP(return, "cannot change the user id");
	EXPECT_TRUE(sud_exited(status, 0)) {
		TH_LOG("status %#x", status);
	}
}

/* ---- D11: stacks and long jumps ---- */

#define ALTSTACK_SIZE 65536

static sigjmp_buf jump;
static volatile unsigned long handler_sp;

static void hook_note_sp(siginfo_t *info __attribute__((unused)),
			 ucontext_t *uc __attribute__((unused)))
{
	handler_sp = (unsigned long)__builtin_frame_address(0);
}

static void hook_jump(siginfo_t *info, ucontext_t *uc)
{
	hook_note_sp(info, uc);
	siglongjmp(jump, 1);
}

static void *altstack(void)
{
	stack_t ss = { .ss_size = ALTSTACK_SIZE };

	ss.ss_sp = mmap(NULL, ss.ss_size, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (ss.ss_sp == MAP_FAILED || sigaltstack(&ss, NULL))
		return NULL;
	return ss.ss_sp;
}

static bool on_altstack(unsigned long sp, void *stack)
{
	return sp - (unsigned long)stack < ALTSTACK_SIZE;
}

TEST_F(dispatch, D11_altstack)
{
	void *stack = altstack();
	stack_t ss;

	ASSERT_NE(NULL, stack);
	sud_hook = hook_note_sp;
	ASSERT_EQ(0, sud_arm_native(&sud_selector));

	/* Without SA_ONSTACK the handler stays on the ordinary stack. */
	EXPECT_EQ(1, sud_blocked_call(1));
	EXPECT_FALSE(on_altstack(handler_sp, stack));

	ASSERT_EQ(0, sud_handle(SA_ONSTACK));
	EXPECT_EQ(2, sud_blocked_call(2));
	EXPECT_TRUE(on_altstack(handler_sp, stack));
	EXPECT_EQ(2, sud_count);
	EXPECT_EQ(stack, sud_log[1].uc.uc_stack.ss_sp);
	EXPECT_EQ(ALTSTACK_SIZE, sud_log[1].uc.uc_stack.ss_size);
	/* The frame holds the program's own stack pointer. */
	EXPECT_FALSE(on_altstack(SUD_REG_SP(&sud_log[1].uc), stack));

	/* The alternate stack is free again. */
	ASSERT_EQ(0, sigaltstack(NULL, &ss));
	EXPECT_EQ(0, ss.ss_flags);
	EXPECT_EQ(3, sud_blocked_call(3));
	EXPECT_EQ(3, sud_count);
}

/*
 * A system call with a bad stack pointer. If the call returns, the code
 * restores the stack pointer.
 */
#define BAD_SP_CODE	(SUD_FOREIGN + 0xc00)
#define BAD_SP_IP	(BAD_SP_CODE + (sud_bad_sp_ip - sud_bad_sp_template))
#define BAD_SP		0x8000UL

static bool bad_sp_map(void)
{
	return sud_foreign_add(BAD_SP_CODE, sud_bad_sp_template,
			       sud_bad_sp_end);
}

static long bad_sp_call(long nr, unsigned long sp)
{
	long ret;

	sud_selector = SUD_BLOCK;
	ret = ((sud_bad_sp_fn *)BAD_SP_CODE)(nr, sp);
	sud_selector = SUD_ALLOW;
	return ret;
}

/* With an alternate stack, the program's own stack does not matter. */
TEST_F(dispatch, D11_altstack_serves_with_bad_stack)
{
	void *stack = altstack();

	ASSERT_NE(NULL, stack);
	ASSERT_TRUE(bad_sp_map());
	ASSERT_EQ(0, sud_handle(SA_ONSTACK));
	sud_hook = hook_note_sp;
	ASSERT_EQ(0, sud_arm_native(&sud_selector));
	EXPECT_EQ(SYS_getpid, bad_sp_call(SYS_getpid, BAD_SP));
	ASSERT_EQ(1, sud_count);
	EXPECT_TRUE(on_altstack(handler_sp, stack));
	EXPECT_EQ(BAD_SP, (unsigned long)SUD_REG_SP(&sud_log[0].uc));
	EXPECT_EQ(BAD_SP_IP, (unsigned long)SUD_REG_IP(&sud_log[0].uc));
	EXPECT_EQ((void *)BAD_SP_IP, sud_log[0].info.si_call_addr);
}

enum bad_stack { BAD_NO_ALTSTACK, BAD_PROT_NONE, BAD_UNMAPPED };

static int child_bad_stack(void *arg)
{
	enum bad_stack kind = (long)arg;
	void *stack;

	sud_hook = hook_tell;
	if (!bad_sp_map() || sud_arm_native(&sud_selector))
		return 2;
	if (kind != BAD_NO_ALTSTACK) {
		stack = altstack();
		if (!stack || sud_handle(SA_ONSTACK))
			return 3;
		if (kind == BAD_PROT_NONE &&
		    mprotect(stack, ALTSTACK_SIZE, PROT_NONE))
			return 4;
		if (kind == BAD_UNMAPPED && munmap(stack, ALTSTACK_SIZE))
			return 5;
		sud_blocked_call(SYS_getpid);
	} else {
		bad_sp_call(SYS_getpid, BAD_SP);
	}
	return 6;
}

TEST_F(dispatch, D11_unusable_stack_is_sigsegv)
{
	int status;
	long kind;

	for (kind = BAD_NO_ALTSTACK; kind <= BAD_UNMAPPED; kind++) {
		status = sud_run_child(child_bad_stack, (void *)kind);
		EXPECT_TRUE(sud_killed(status, SIGSEGV)) {
			TH_LOG("kind %ld: status %#x", kind, status);
		}
	}
	EXPECT_EQ(0, shared[2]);
}

static int child_overflow(void *arg __attribute__((unused)))
{
	if (!altstack() || sud_handle(SA_ONSTACK | SA_NODEFER))
		return 2;
	wanted_depth = 100000;
	sud_hook = hook_nest;
	if (sud_arm_native(&sud_selector))
		return 3;
	sud_blocked_call(SYS_getpid);
	return 4;
}

/* Nested dispatches on the alternate stack until it is full. */
TEST_F(dispatch, D11_overflow_of_altstack_is_sigsegv)
{
	int status = sud_run_child(child_overflow, NULL);

	EXPECT_TRUE(sud_killed(status, SIGSEGV)) {
		TH_LOG("status %#x", status);
	}
	EXPECT_LT(2, shared[3]);
	EXPECT_GT(100, shared[3]);
}

static volatile int segv_code;

static void segv_handler(int sig __attribute__((unused)), siginfo_t *info,
			 void *context __attribute__((unused)))
{
	segv_code = info->si_code;
	siglongjmp(jump, 1);
}

/* That SIGSEGV is an ordinary one: a handler with a usable stack gets it. */
TEST_F(dispatch, D11_unusable_stack_sigsegv_handled)
{
	struct sigaction act = {
		.sa_sigaction = segv_handler,
		.sa_flags = SA_SIGINFO | SA_ONSTACK,
	};

	ASSERT_NE(NULL, altstack());
	ASSERT_TRUE(bad_sp_map());
	ASSERT_EQ(0, sigaction(SIGSEGV, &act, NULL));
	ASSERT_EQ(0, sud_arm_native(&sud_selector));
	if (!sigsetjmp(jump, 1))
		bad_sp_call(SYS_getpid, BAD_SP);
	sud_selector = SUD_ALLOW;
	EXPECT_EQ(SI_KERNEL, segv_code);
	EXPECT_EQ(0, sud_count);

	/* No state is left over. */
	EXPECT_EQ(SYS_getpid, sud_blocked_call(SYS_getpid));
	EXPECT_EQ(1, sud_count);
}

static void jump_out(struct __test_metadata *_metadata, unsigned int rounds)
{
	sigset_t before, after, pending;
	volatile unsigned int i;

	sud_hook = hook_jump;
	ASSERT_EQ(0, sigprocmask(SIG_BLOCK, NULL, &before));
	ASSERT_EQ(0, sud_arm_native(&sud_selector));
	for (i = 0; i < rounds; i++) {
		if (!sigsetjmp(jump, 1)) {
			sud_blocked_call(SYS_getpid);
			ASSERT_TRUE(false) {
				TH_LOG("round %u: the call returned", i);
			}
		}
		sud_selector = SUD_ALLOW;
	}
	EXPECT_EQ(rounds, sud_count);
	ASSERT_EQ(0, sigprocmask(SIG_BLOCK, NULL, &after));
	EXPECT_EQ(0, memcmp(&before, &after, SUD_SIGSET_SIZE));
	ASSERT_EQ(0, sigpending(&pending));
	EXPECT_EQ(0, sigismember(&pending, SIGSYS));

	/* Allowed calls run, and the next blocked one is dispatched once. */
	EXPECT_EQ(getpid(), sud_foreign_call(SYS_getpid, 0, 0, 0, 0, 0, 0));
	EXPECT_EQ(rounds, sud_count);
	sud_reset();
	EXPECT_EQ(SYS_getpid, sud_blocked_call(SYS_getpid));
	EXPECT_EQ(1, sud_count);
	EXPECT_EQ(sud_foreign_ip(),
		  (unsigned long)SUD_REG_IP(&sud_log[0].uc));
}

TEST_F(dispatch, D11_siglongjmp)
{
	jump_out(_metadata, 1000);
}

TEST_F(dispatch, D11_siglongjmp_from_altstack)
{
	void *stack = altstack();

	ASSERT_NE(NULL, stack);
	ASSERT_EQ(0, sud_handle(SA_ONSTACK));
	jump_out(_metadata, 1000);
	EXPECT_TRUE(on_altstack(handler_sp, stack));
}

/* ---- D12: together with asynchronous signals ---- */

static volatile unsigned int async_count[65];
static volatile unsigned long async_ip;
static volatile unsigned int async_nested_wrong;

static void async_handler(int sig, siginfo_t *info __attribute__((unused)),
			  void *context)
{
	/* The handler of the innermost frame runs first. */
	if (!async_ip)
		async_ip = SUD_REG_IP((ucontext_t *)context);
	async_count[sig]++;
}

static bool handle_async(int sig, int flags)
{
	struct sigaction act = {
		.sa_sigaction = async_handler,
		.sa_flags = SA_SIGINFO | flags,
	};

	return sigaction(sig, &act, NULL) == 0;
}

static pid_t target;

static void meanwhile_signals(void *arg __attribute__((unused)))
{
	union sigval value = { 0 };

	syscall(SYS_tgkill, getpid(), target, SIGUSR1);
	kill(getpid(), SIGUSR2);
	sigqueue(getpid(), SIGRTMIN, value);
	sigqueue(getpid(), SIGRTMIN, value);
	sigqueue(getpid(), SIGRTMIN, value);
}

/*
 * The thread sleeps in the read of the selector when the signals arrive. They
 * and SIGSYS are thus pending at the same exit to user space.
 */
TEST_F(dispatch, D12_both_pending)
{
	struct sud_uffd u = {
		.meanwhile = meanwhile_signals,
		.byte = SUD_BLOCK,
	};
	const char *trouble;
	unsigned int i;
	sigset_t set, old;
	int err;
	long ret;

	err = sud_uffd_open(&u);
	if (err)
		SKIP(return, "userfaultfd: %s", strerror(-err));
	target = syscall(SYS_gettid);
	ASSERT_TRUE(handle_async(SIGUSR1, SA_RESTART));
	ASSERT_TRUE(handle_async(SIGUSR2, 0));
	ASSERT_TRUE(handle_async(SIGRTMIN, SA_RESTART));

	for (i = 0; i < 20; i++) {
		sud_reset();
		memset((void *)async_count, 0, sizeof(async_count));
		async_ip = 0;

		/* The helper thread blocks all signals. */
		sigfillset(&set);
		ASSERT_EQ(0, pthread_sigmask(SIG_SETMASK, &set, &old));
		ASSERT_EQ(0, sud_uffd_start(&u));
		ASSERT_EQ(0, pthread_sigmask(SIG_SETMASK, &old, NULL));

		ASSERT_EQ(0, sud_arm_native(u.page));
		ret = sud_foreign_call(SYS_read, -1, 0, 0, 0, 0, 0);
		ASSERT_EQ(0, sud_off());
		trouble = sud_uffd_join(&u);
		ASSERT_EQ(NULL, trouble) {
			TH_LOG("%s", trouble);
		}

		EXPECT_EQ(SYS_read, ret);
		EXPECT_EQ(1, sud_count);
		EXPECT_EQ(1, async_count[SIGUSR1]);
		EXPECT_EQ(1, async_count[SIGUSR2]);
		EXPECT_EQ(3, async_count[SIGRTMIN]);
		/*
		 * SIGSYS goes first, so its frame shows the call. The other
		 * signals interrupt its handler.
		 */
		EXPECT_EQ(sud_foreign_ip(),
			  (unsigned long)SUD_REG_IP(&sud_log[0].uc));
		EXPECT_EQ(SYS_read, SUD_REG_RET(&sud_log[0].uc));
		EXPECT_NE(sud_foreign_ip(), async_ip);
	}
}

static void alarm_handler(int sig __attribute__((unused)))
{
	long ret;

	async_count[SIGALRM]++;
	/*
	 * A call by the timer's handler, at the present value of the selector.
	 */
	ret = sud_foreign_call(SYS_close, -1, 0, 0, 0, 0, 0);
	if (ret == SYS_close)
		async_count[SIGSYS]++;
	else if (ret != -EBADF)
		async_nested_wrong++;
}

/*
 * Many timer signals during thousands of dispatches. Each dispatched call is
 * counted once, whether the program or the timer's handler makes it.
 */
TEST_F(dispatch, D12_timer_storm)
{
	struct sigaction act = {
		.sa_handler = alarm_handler,
		.sa_flags = SA_RESTART,
	};
	struct itimerval timer = { { 0, 500 }, { 0, 500 } };
	struct itimerval off = { };
	unsigned int made = 0, wrong = 0;
	sigset_t set;

	/* The handler of SIGSYS is not interrupted: it cannot nest. */
	sigemptyset(&act.sa_mask);
	ASSERT_EQ(0, sigaction(SIGALRM, &act, NULL));
	act.sa_handler = NULL;
	act.sa_sigaction = sud_handler;
	act.sa_flags = SA_SIGINFO;
	sigaddset(&act.sa_mask, SIGALRM);
	ASSERT_EQ(0, sigaction(SIGSYS, &act, NULL));

	ASSERT_EQ(0, sud_arm_native(&sud_selector));
	ASSERT_EQ(0, setitimer(ITIMER_REAL, &timer, NULL));
	sud_selector = SUD_BLOCK;
	while (made < 3000 || (async_count[SIGALRM] < 200 && made < 1000000)) {
		if (sud_foreign_call(SYS_getpid, 0, 0, 0, 0, 0, 0) !=
		    SYS_getpid)
			wrong++;
		made++;
	}
	sud_selector = SUD_ALLOW;
	ASSERT_EQ(0, setitimer(ITIMER_REAL, &off, NULL));
	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	ASSERT_EQ(0, sigprocmask(SIG_BLOCK, &set, NULL));
	ASSERT_EQ(0, sud_off());

	EXPECT_EQ(0, wrong);
	EXPECT_EQ(0, async_nested_wrong);
	EXPECT_LE(200, async_count[SIGALRM]);
	EXPECT_EQ(made + async_count[SIGSYS], sud_count);
}

/* ---- D13: no call is an exception ---- */

static long exit_ret;

static void *thread_exit(void *arg)
{
	if (sud_arm_native(&sud_selector))
		return (void *)1;
	sud_selector = SUD_BLOCK;
	if (arg)
		sud_hook = sud_hook_rerun;
	exit_ret = sud_foreign_call(SYS_exit, 0, 0, 0, 0, 0, 0);
	sud_selector = SUD_ALLOW;
	return (void *)2;
}

TEST_F(dispatch, D13_exit)
{
	pthread_t thread;
	void *ret;

	ASSERT_EQ(0, pthread_create(&thread, NULL, thread_exit, NULL));
	ASSERT_EQ(0, pthread_join(thread, &ret));
	EXPECT_EQ((void *)2, ret);
	EXPECT_EQ(SYS_exit, exit_ret);
	EXPECT_EQ(1, sud_count);
	EXPECT_EQ(SYS_exit, sud_log[0].info.si_syscall);

	/* Run by stepping back, exit() ends the thread, not the process. */
	sud_reset();
	exit_ret = -2;
	ASSERT_EQ(0, pthread_create(&thread, NULL, thread_exit, (void *)1));
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(-2, exit_ret);
	EXPECT_EQ(1, sud_count);
}

static int child_exit_group(void *arg)
{
	long ret;

	if (sud_arm_native(&sud_selector))
		return 2;
	if (arg)
		sud_hook = sud_hook_rerun;
	sud_selector = SUD_BLOCK;
	ret = sud_foreign_call(SYS_exit_group, 42, 0, 0, 0, 0, 0);
	sud_selector = SUD_ALLOW;
	return ret == SYS_exit_group && sud_count == 1 ? 3 : 4;
}

TEST_F(dispatch, D13_exit_group)
{
	int status;

	status = sud_run_child(child_exit_group, NULL);
	EXPECT_TRUE(sud_exited(status, 3)) {
		TH_LOG("status %#x", status);
	}
	status = sud_run_child(child_exit_group, (void *)1);
	EXPECT_TRUE(sud_exited(status, 42)) {
		TH_LOG("status %#x", status);
	}
}

static long foreign_off(void)
{
	long ret;

	sud_selector = SUD_BLOCK;
	ret = sud_foreign_call(SYS_prctl, PR_SET_SYSCALL_USER_DISPATCH,
			       SUD_OFF, 0, 0, 0, 0);
	sud_selector = SUD_ALLOW;
	return ret;
}

TEST_F(dispatch, D13_prctl)
{
	ASSERT_EQ(0, sud_arm_native(&sud_selector));
	EXPECT_EQ(SYS_prctl, foreign_off());
	EXPECT_EQ(1, sud_count);
	/* The thread is still armed. */
	EXPECT_EQ(SYS_getpid, sud_blocked_call(SYS_getpid));
	EXPECT_EQ(2, sud_count);

	sud_hook = sud_hook_rerun;
	EXPECT_EQ(0, foreign_off());
	EXPECT_EQ(3, sud_count);
	EXPECT_EQ(getpid(), sud_blocked_call(SYS_getpid));
	EXPECT_EQ(3, sud_count);
}

TEST_HARNESS_MAIN
