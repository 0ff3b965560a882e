// SPDX-License-Identifier: GPL-2.0
/*
 * Syscall User Dispatch without a signal: rules X1 to X9 of
 * Documentation/admin-guide/syscall-user-dispatch-direct.rst.
 *
 * The handlers here are native code, and thus exempt, unless a test puts one
 * on the foreign page. They have no free register, so their data is at fixed
 * addresses.
 */
#include "sud_direct.h"

#include <linux/rseq.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdio.h>
#include <sys/time.h>

#include "sud_knob.h"
#include "sud_regs.h"
#include "sud_seccomp.h"
#include "sud_uffd.h"

#include "sud_harness.h"

/* The registers that a handler found. */
#define DATA_AT		0x50000
#define DATA(off)	SUD_REGS_STR(DATA_AT) "+" #off

struct seen {
	uint64_t visits;	/* 0x00 */
	uint64_t ax, cx, r11, sp;
	uint64_t result;	/* 0x28: of a call that the handler made */
};

#define seen ((volatile struct seen *)DATA_AT)

/* A second place for a handler. */
#define FOREIGN_HANDLER	(SUD_FOREIGN + 0xc00)
#define UNMAPPED	0x70000UL

/* The first address that is not user space. Five-level page tables have more. */
static uint64_t first_bad(void)
{
	FILE *cpus = fopen("/proc/cpuinfo", "re");
	unsigned int bits = 47;
	char word[64];

	while (cpus && fscanf(cpus, "%63s", word) == 1) {
		if (!strcmp(word, "la57"))
			bits = 56;
	}
	if (cpus)
		fclose(cpus);
	return (1ULL << bits) - 0x1000;
}

static long attach(const void *handler)
{
	return sud_set_handler((uintptr_t)handler, 0, 0, 0);
}

/*
 * Skip all tests if the kernel has no direct dispatch; args.c tests that case.
 * This asks for the minimum that every test needs.
 */
static void __attribute__((constructor)) skip_all(void)
{
	bool there = !sud_arm_native(&sud_selector) && !attach(skip_all);

	sud_off();
	if (there)
		return;
	printf("TAP version 13\n1..0 # SKIP no direct dispatch in this kernel\n");
	exit(4);
}

#if SUD_WORD_BITS == 64

extern const char look[], look_end[], look_vectors[], count_up[], own_call[],
	leave[], nest[], nest_end[] __attribute__((visibility("hidden")));

__asm__(".pushsection .text\n"
	/* Store the registers, and change nothing. */
	"look:\n"
	"	movq	$1, " DATA(0x00) "\n"
	"	mov	%rax, " DATA(0x08) "\n"
	"	mov	%rcx, " DATA(0x10) "\n"
	"	mov	%r11, " DATA(0x18) "\n"
	"	mov	%rsp, " DATA(0x20) "\n"
	"	jmp	*%rcx\n"
	"look_end:\n"
	/*
	 * Store the vector registers where other tests store those of a frame.
	 */
	"look_vectors:\n"
	"	movq	$1, " DATA(0x00) "\n"
	"	mov	%rax, " DATA(0x08) "\n"
	"	mov	%rdx, " DATA(0x10) "\n"
	"	mov	" SUD_REGS_AT(0x118) ", %eax\n"
	"	mov	$0, %edx\n"
	"	xsave64	" SUD_REGS_AT(0x3000) "\n"
	"	mov	" DATA(0x08) ", %rax\n"
	"	mov	" DATA(0x10) ", %rdx\n"
	"	jmp	*%rcx\n"
	/* Any thread may come here. */
	"count_up:\n"
	"	lock incq " DATA(0x00) "\n"
	"	jmp	*%rcx\n"
	/*
	 * Make a call, with the byte at ALLOW. The caller's call stays
	 * blocked.
	 */
	"own_call:\n"
	"	lea	-128(%rsp), %rsp\n"
	"	push	%rax\n"
	"	push	%rcx\n"
	"	push	%r11\n"
	"	mov	%r11, " DATA(0x18) "\n"
	"	movb	$0, sud_selector(%rip)\n"
	"	mov	$" SUD_REGS_STR(__NR_getppid) ", %eax\n"
	"	syscall\n"
	"	mov	%rax, " DATA(0x28) "\n"
	"	movb	$1, sud_selector(%rip)\n"
	"	lock incq " DATA(0x00) "\n"
	"	pop	%r11\n"
	"	pop	%rcx\n"
	"	pop	%rax\n"
	"	lea	128(%rsp), %rsp\n"
	"	jmp	*%rcx\n"
	/* Make the same call again, which comes here again, fifty times. */
	"nest:\n"
	"	incq	" DATA(0x00) "\n"
	"	cmpq	$50, " DATA(0x00) "\n"
	"	je	1f\n"
	"	lea	-128(%rsp), %rsp\n"
	"	push	%rcx\n"
	"	syscall\n"
	"	pop	%rcx\n"
	"	lea	128(%rsp), %rsp\n"
	"1:	mov	%rsp, " DATA(0x20) "\n"
	"	jmp	*%rcx\n"
	"nest_end:\n"
	/* Do not return to the caller. */
	"leave:\n"
	"	and	$-16, %rsp\n"
	"	call	leave_in_c\n"
	"	ud2\n"
	".popsection\n"
);

static sigjmp_buf left;

static void __attribute__((used)) leave_in_c(void)
{
	sud_selector = SUD_ALLOW;
	siglongjmp(left, 1);
}

/* Every test begins armed. */
FIXTURE(direct) {
	pid_t pid;
};

FIXTURE_SETUP(direct)
{
	ASSERT_TRUE(sud_setup());
	SUD_REQUIRE_SETUP();
	ASSERT_EQ((void *)DATA_AT,
		  mmap((void *)DATA_AT, 4096, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0));
	ASSERT_EQ(0, sud_arm_native(&sud_selector));
}

FIXTURE_TEARDOWN(direct)
{
	sud_put_down(self->pid);
	sud_selector = SUD_ALLOW;
	EXPECT_EQ(0, sud_off());
}

/* Is a handler attached? */
static bool is_attached(void)
{
	uint64_t before = seen->visits;
	sud_word ret = sud_blocked_call(SYS_getpid);

	return ret == SYS_getpid && seen->visits == before + 1;
}

TEST_F(direct, X1_arguments)
{
	uint64_t bad = first_bad();

	EXPECT_EQ(-EINVAL, sud_set_handler((uintptr_t)look, 1, 0, 0));
	EXPECT_EQ(-EINVAL, sud_set_handler((uintptr_t)look, 0, 1, 0));
	EXPECT_EQ(-EINVAL, sud_set_handler((uintptr_t)look, 0, 0, 1));
	EXPECT_EQ(-EINVAL, sud_set_handler(0, 1, 0, 0));
	EXPECT_EQ(-EINVAL, sud_set_handler(0, 0, 1, 0));
	EXPECT_EQ(-EINVAL, sud_set_handler(0, 0, 0, 1));
	EXPECT_EQ(-EINVAL, sud_set_handler(bad, 1ULL << 32, 0, 0));
	EXPECT_EQ(-EFAULT, sud_set_handler(bad, 0, 0, 0));
	EXPECT_EQ(-EFAULT, sud_set_handler(bad + 0x1000, 0, 0, 0));
	EXPECT_EQ(-EFAULT, sud_set_handler(0x8000000000000000, 0, 0, 0));
	EXPECT_EQ(-EFAULT, sud_set_handler(-1, 0, 0, 0));
	/* None of these calls has attached a handler. */
	EXPECT_EQ(SYS_getpid, sud_blocked_call(SYS_getpid));
	EXPECT_EQ(1, sud_count);
	EXPECT_EQ(0, sud_set_handler(bad - 1, 0, 0, 0));
	/* A failing call leaves the earlier handler attached. */
	EXPECT_EQ(0, attach(count_up));
	EXPECT_EQ(-EFAULT, sud_set_handler(-1, 0, 0, 0));
	EXPECT_TRUE(is_attached());
	EXPECT_EQ(1, sud_count);
}

TEST_F(direct, X1_not_armed)
{
	ASSERT_EQ(0, sud_off());
	EXPECT_EQ(-EINVAL, attach(look));
	/* This is checked before the address. */
	EXPECT_EQ(-EINVAL, sud_set_handler(-1, 0, 0, 0));
	EXPECT_EQ(0, sud_set_handler(0, 0, 0, 0));
	EXPECT_EQ(-EINVAL, sud_set_handler(0, 1, 0, 0));
}

/* At 0, the sysctl forbids attaching, and nothing else. */
TEST_F(direct, X1_sysctl)
{
	bool attached;
	int found = sud_knob_read();

	if (geteuid() || found < 0)
		SKIP(return, "no sysctl, or no right to write to it");
	ASSERT_EQ(0, attach(count_up));
	ASSERT_EQ(1, sud_knob_write("0"));
	attached = is_attached();
	EXPECT_EQ(-EPERM, attach(look));
	/* This is checked before the address, and after the flags. */
	EXPECT_EQ(-EPERM, sud_set_handler(-1, 0, 0, 0));
	EXPECT_EQ(-EINVAL, sud_set_handler(-1, 1, 0, 0));
	attached = attached && is_attached();
	EXPECT_EQ(0, sud_set_handler(0, 0, 0, 0));
	EXPECT_FALSE(is_attached());
	EXPECT_EQ(0, sud_off());
	EXPECT_EQ(-EINVAL, attach(look));
	ASSERT_EQ(1, sud_knob_write(found ? "1" : "0"));
	EXPECT_TRUE(attached);
}

TEST_F(direct, X2_detached_by_0)
{
	ASSERT_EQ(0, attach(count_up));
	EXPECT_TRUE(is_attached());
	EXPECT_EQ(0, sud_set_handler(0, 0, 0, 0));
	EXPECT_FALSE(is_attached());
	EXPECT_EQ(1, sud_count);
}

TEST_F(direct, X2_detached_by_arming_again)
{
	ASSERT_EQ(0, attach(count_up));
	ASSERT_EQ(0, sud_arm_native(&sud_selector));
	EXPECT_FALSE(is_attached());
	EXPECT_EQ(1, sud_count);
}

TEST_F(direct, X2_not_detached_by_failed_arming)
{
	ASSERT_EQ(0, attach(count_up));
	ASSERT_EQ(-EINVAL, sud_arm(SUD_EXCL, 1, 0, NULL));
	EXPECT_TRUE(is_attached());
	EXPECT_EQ(0, sud_count);
}

TEST_F(direct, X2_detached_by_off)
{
	ASSERT_EQ(0, attach(count_up));
	ASSERT_EQ(0, sud_off());
	ASSERT_EQ(0, sud_arm_native(&sud_selector));
	EXPECT_FALSE(is_attached());
	EXPECT_EQ(1, sud_count);
}

/* The child arms itself. It must not find the parent's handler. */
static int child_arms(void *arg)
{
	if (sud_arm_native(&sud_selector))
		return 2;
	return is_attached();
}

TEST_F(direct, X2_fork_child_has_no_handler)
{
	ASSERT_EQ(0, attach(count_up));
	EXPECT_TRUE(sud_exited(sud_run_child(child_arms, NULL), 0));
	EXPECT_TRUE(is_attached());
}

static void *thread_arms(void *arg)
{
	return (void *)(uintptr_t)child_arms(NULL);
}

TEST_F(direct, X2_clone_child_has_no_handler)
{
	pthread_t thread;
	void *ret = NULL;

	ASSERT_EQ(0, attach(count_up));
	ASSERT_EQ(0, pthread_create(&thread, NULL, thread_arms, NULL));
	ASSERT_EQ(0, pthread_join(thread, &ret));
	EXPECT_EQ(NULL, ret);
	EXPECT_TRUE(is_attached());
}

/* This program executes itself, and the new program arms itself. */
#define EXECUTED "SUD_DIRECT_EXECUTED"

static void __attribute__((constructor)) executed(void)
{
	if (!getenv(EXECUTED))
		return;
	if (!sud_setup() || sud_arm_native(&sud_selector))
		_exit(2);
	_exit(sud_blocked_call(SYS_getpid) != SYS_getpid || sud_count != 1);
}

static int executes(void *arg)
{
	char *argv[] = { "direct", NULL }, *envp[] = { EXECUTED "=1", NULL };

	if (sud_arm_native(&sud_selector) || attach(count_up))
		return 2;
	execve("/proc/self/exe", argv, envp);
	return 3;
}

TEST_F(direct, X2_execve_detaches)
{
	EXPECT_TRUE(sud_exited(sud_run_child(executes, NULL), 0));
}

TEST_F(direct, X3_integer_registers)
{
	unsigned int i;

	if (!sud_regs_map())
		SKIP(return, "no xsave");
	ASSERT_EQ(0, attach(look));
	sud_selector = SUD_BLOCK;
	sud_regs_call();
	sud_selector = SUD_ALLOW;
	EXPECT_EQ(0, sud_count);
	EXPECT_EQ(1, seen->visits);
	EXPECT_EQ(sud_regs->in[SUD_AX], seen->ax);
	EXPECT_EQ(sud_regs_call_ip(), seen->cx);
	EXPECT_EQ(sud_regs->flags_in, seen->r11);
	EXPECT_EQ(sud_regs->sp_in, seen->sp);
	for (i = 0; i < SUD_NR_REGS; i++) {
		if (i == SUD_CX || i == SUD_R11)
			continue;
		EXPECT_EQ(sud_regs->in[i], sud_regs->out[i]) {
			TH_LOG("register %u", i);
		}
	}
	EXPECT_EQ(sud_regs_call_ip(), sud_regs->out[SUD_CX]);
	EXPECT_EQ(sud_regs->flags_in, sud_regs->out[SUD_R11]);
	EXPECT_EQ(sud_regs->sp_in, sud_regs->sp_out);
}

TEST_F(direct, X3_flags)
{
	/* Carry, parity, adjust, zero, sign, direction, overflow, AC, ID. */
	static const uint64_t flags[] = {
		0x1, 0x4, 0x10, 0x40, 0x80, 0x400, 0x800, 0x40000, 0x200000,
		0x240cd5 | 0x800,
	};
	unsigned int i;

	if (!sud_regs_map())
		SKIP(return, "no xsave");
	ASSERT_EQ(0, attach(look));
	for (i = 0; i < ARRAY_SIZE(flags); i++) {
		sud_regs->flags_in = 0x202 | flags[i];
		sud_selector = SUD_BLOCK;
		sud_regs_call();
		sud_selector = SUD_ALLOW;
		EXPECT_EQ(sud_regs->flags_in, sud_regs->flags_out);
		EXPECT_EQ(sud_regs->flags_in, seen->r11);
	}
	EXPECT_EQ(0, sud_count);
}

/* x87, xmm, and the upper halves of ymm and zmm, if the processor has them. */
TEST_F(direct, X3_vector_registers)
{
	const char *at_handler, *after;
	unsigned int a, b, c, d;

	if (!sud_regs_map())
		SKIP(return, "no xsave");
	ASSERT_EQ(0, attach(look_vectors));
	sud_selector = SUD_BLOCK;
	sud_regs_call();
	sud_selector = SUD_ALLOW;
	at_handler = sud_regs_differ(sud_regs->xframe);
	EXPECT_EQ(NULL, at_handler) {
		TH_LOG("at the handler: %s", at_handler);
	}
	after = sud_regs_differ(sud_regs->xout);
	EXPECT_EQ(NULL, after) {
		TH_LOG("after the call: %s", after);
	}
	EXPECT_EQ(1, seen->visits);
	EXPECT_EQ(0, sud_count);
	/* If the processor has ymm registers, the test covered them. */
	ASSERT_EQ(1, __get_cpuid(1, &a, &b, &c, &d));
	EXPECT_EQ(c & bit_AVX ? SUD_AVX : 0, sud_regs->xmask & SUD_AVX);
}

TEST_F(direct, X3_red_zone)
{
	static const unsigned int order[SUD_REGS_RED_SLOTS] = {
		SUD_AX, SUD_BX, SUD_CX, SUD_DX, SUD_SI, SUD_DI, SUD_BP, SUD_R8,
		SUD_R9, SUD_R10, SUD_R11, SUD_R12, SUD_R13, SUD_R14, SUD_R15,
		SUD_AX,
	};
	unsigned int i;

	if (!sud_regs_map())
		SKIP(return, "no xsave");
	ASSERT_EQ(0, attach(look));
	sud_selector = SUD_BLOCK;
	sud_regs_call();
	sud_selector = SUD_ALLOW;
	for (i = 0; i < SUD_REGS_RED_SLOTS; i++)
		EXPECT_EQ(sud_regs->in[order[i]], sud_regs->red_out[i]);
	EXPECT_EQ(1, seen->visits);
}

/* Numbers that look like a restart, and numbers of more than 32 bits. */
TEST_F(direct, X3_numbers)
{
	static const sud_word numbers[] = {
		0, 1, -1, -4, -512, -513, -514, -516, -4095, INT32_MIN,
		INT32_MAX, SUD_X32_BIT, SUD_X32_BIT | 1, 0xffffffff,
		0x100000000, INT64_MIN, INT64_MAX, 9999, SYS_exit_group,
		SYS_restart_syscall, SYS_rt_sigreturn,
	};
	unsigned int i;

	ASSERT_EQ(0, attach(look));
	for (i = 0; i < ARRAY_SIZE(numbers); i++) {
		seen->visits = 0;
		EXPECT_EQ(numbers[i], sud_blocked_call(numbers[i]));
		EXPECT_EQ(1, seen->visits);
		EXPECT_EQ(numbers[i], seen->ax);
		EXPECT_EQ(sud_foreign_ip(), seen->cx);
	}
	EXPECT_EQ(0, sud_count);
}

TEST_F(direct, X3_selector_and_mask_stay)
{
	sigset_t mask, after;

	sigemptyset(&mask);
	sigaddset(&mask, SIGSYS);
	sigaddset(&mask, SIGUSR2);
	ASSERT_EQ(0, sigprocmask(SIG_SETMASK, &mask, NULL));
	ASSERT_EQ(0, attach(look));
	sud_selector = SUD_BLOCK;
	/* With SIGSYS blocked, a signal would end the process. */
	EXPECT_EQ(77, sud_foreign_call(77, 0, 0, 0, 0, 0, 0));
	EXPECT_EQ(SUD_BLOCK, sud_selector);
	sud_selector = SUD_ALLOW;
	ASSERT_EQ(0, sigprocmask(SIG_SETMASK, NULL, &after));
	EXPECT_EQ(1, sigismember(&after, SIGSYS));
	EXPECT_EQ(1, sigismember(&after, SIGUSR2));
	EXPECT_EQ(0, sigismember(&after, SIGUSR1));
}

TEST_F(direct, X3_handler_makes_calls)
{
	uint64_t i;

	ASSERT_EQ(0, attach(own_call));
	for (i = 1; i <= 100; i++) {
		ASSERT_EQ(SYS_exit_group, sud_blocked_call(SYS_exit_group));
		ASSERT_EQ(i, seen->visits);
		ASSERT_EQ(getppid(), seen->result);
	}
	EXPECT_EQ(0, sud_count);
}

TEST_F(direct, X3_handler_on_the_foreign_page)
{
	ASSERT_TRUE(sud_foreign_add(FOREIGN_HANDLER, look, look_end));
	ASSERT_EQ(0, attach((void *)FOREIGN_HANDLER));
	EXPECT_EQ(SYS_getpid, sud_blocked_call(SYS_getpid));
	EXPECT_EQ(1, seen->visits);
	EXPECT_EQ(0, sud_count);
}

TEST_F(direct, X3_handler_is_nested)
{
	ASSERT_TRUE(sud_foreign_add(FOREIGN_HANDLER, nest, nest_end));
	ASSERT_EQ(0, attach((void *)FOREIGN_HANDLER));
	EXPECT_EQ(SYS_exit_group, sud_blocked_call(SYS_exit_group));
	EXPECT_EQ(50, seen->visits);
	EXPECT_EQ(0, sud_count);
}

#define THREADS	4
#define CALLS	10000

static void *calls(void *arg)
{
	long i, wrong = 0;

	if (sud_arm_native(&sud_selector) || attach(count_up))
		return (void *)1;
	for (i = 0; i < CALLS; i++)
		wrong += sud_foreign_call(-i, 0, 0, 0, 0, 0, 0) != -i;
	return (void *)wrong;
}

TEST_F(direct, X3_threads)
{
	pthread_t threads[THREADS];
	void *wrong;
	int i;

	sud_selector = SUD_BLOCK;
	for (i = 0; i < THREADS; i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, calls, NULL));
	for (i = 0; i < THREADS; i++) {
		ASSERT_EQ(0, pthread_join(threads[i], &wrong));
		EXPECT_EQ(NULL, wrong);
	}
	sud_selector = SUD_ALLOW;
	EXPECT_EQ(THREADS * CALLS, seen->visits);
	EXPECT_EQ(0, sud_count);
}

TEST_F(direct, X3_handler_leaves)
{
	volatile int i;

	ASSERT_EQ(0, attach(leave));
	for (i = 0; i < 100; i++) {
		if (sigsetjmp(left, 0))
			continue;
		sud_selector = SUD_BLOCK;
		sud_foreign_call(SYS_getpid, 0, 0, 0, 0, 0, 0);
		ASSERT_TRUE(false);
	}
	EXPECT_EQ(100, i);
	EXPECT_EQ(0, sud_count);
}

/* Allowed and exempt calls run, with or without a handler. */
TEST_F(direct, X3_allowed_and_exempt)
{
	ASSERT_EQ(0, attach(count_up));
	EXPECT_EQ(getpid(), sud_foreign_call(SYS_getpid, 0, 0, 0, 0, 0, 0));
	sud_selector = SUD_BLOCK;
	EXPECT_EQ(getpid(), syscall(SYS_getpid));
	sud_selector = SUD_ALLOW;
	EXPECT_EQ(0, seen->visits);
	EXPECT_EQ(0, sud_count);
}

/* No register is free for the address. */
#ifndef __ILP32__
static sud_word int80(sud_word nr)
{
	return ((sud_word (*)(sud_word))(SUD_FOREIGN + 0x300))(nr);
}

extern const char int80_code[], int80_end[]
	__attribute__((visibility("hidden")));

__asm__(".pushsection .text\n"
	"int80_code:\n"
	"	mov	%rdi, %rax\n"
	"	int	$0x80\n"
	"	ret\n"
	"int80_end:\n"
	".popsection\n");

TEST_F(direct, X4_int80_is_a_signal)
{
	if (!sud_has_int80())
		SKIP(return, "no 32-bit system calls in this kernel");
	ASSERT_TRUE(sud_foreign_add(SUD_FOREIGN + 0x300, int80_code,
				    int80_end));
	ASSERT_EQ(0, attach(count_up));
	sud_selector = SUD_BLOCK;
	EXPECT_EQ(SUD_IA32_GETPID, int80(SUD_IA32_GETPID));
	sud_selector = SUD_ALLOW;
	EXPECT_EQ(0, seen->visits);
	ASSERT_EQ(1, sud_count);
	EXPECT_EQ(AUDIT_ARCH_I386, sud_log[0].info.si_arch);
	EXPECT_EQ(SYS_USER_DISPATCH, sud_log[0].info.si_code);
}
#endif

/* A signal arrives when the thread is at the handler's first instruction. */
static volatile unsigned int signals;
static volatile unsigned long signal_ip;
static volatile sud_word signal_nr;

static void on_signal(int sig, siginfo_t *info, void *context)
{
	signals++;
	signal_ip = SUD_REG_IP((ucontext_t *)context);
	signal_nr = SUD_REG_RET((ucontext_t *)context);
}

static bool handle(int sig, int flags)
{
	struct sigaction act = {
		.sa_sigaction = on_signal,
		.sa_flags = SA_SIGINFO | flags,
	};

	return !sigaction(sig, &act, NULL);
}

struct flooder {
	pthread_t victim;
	volatile bool stop;
};

static void *flood(void *arg)
{
	struct flooder *f = arg;

	while (!f->stop)
		pthread_kill(f->victim, SIGUSR1);
	return NULL;
}

static void send_signal(void *arg)
{
	pthread_t *victim = arg;

	pthread_kill(*victim, SIGUSR1);
}

/* The signal arrives while the selector is read, and is pending afterwards. */
TEST_F(direct, X5_signal_at_the_first_instruction)
{
	static const sud_word numbers[] = {
		SYS_getpid, -1, -512, -513, -514, -516, SYS_restart_syscall,
	};
	pthread_t me = pthread_self();
	struct sud_uffd u = {
		.meanwhile = send_signal,
		.arg = &me,
		.byte = SUD_BLOCK,
	};
	unsigned int i;
	sud_word ret;

	if (sud_uffd_open(&u))
		SKIP(return, "no userfaultfd");
	ASSERT_TRUE(handle(SIGUSR1, SA_RESTART));
	ASSERT_EQ(0, sud_arm_native(u.page));
	ASSERT_EQ(0, attach(count_up));
	for (i = 0; i < ARRAY_SIZE(numbers); i++) {
		signals = 0;
		ASSERT_EQ(0, sud_uffd_start(&u));
		ret = sud_foreign_call(numbers[i], 1, 2, 3, 4, 5, 6);
		*u.page = SUD_ALLOW;
		ASSERT_EQ(NULL, sud_uffd_join(&u));
		EXPECT_EQ(numbers[i], ret);
		EXPECT_EQ(i + 1, seen->visits);
		EXPECT_EQ(1, signals);
		EXPECT_EQ((uintptr_t)count_up, signal_ip);
		EXPECT_EQ(numbers[i], signal_nr);
	}
	EXPECT_EQ(0, sud_count);
}

TEST_F(direct, X5_flood_of_signals)
{
	static const sud_word numbers[] = { SYS_read, -512, -513, -514, -516 };
	struct itimerval period = { { 0, 300 }, { 0, 300 } };
	struct flooder f = { .victim = pthread_self() };
	pthread_t sibling;
	uint64_t i;

	ASSERT_TRUE(handle(SIGUSR1, SA_RESTART));
	ASSERT_TRUE(handle(SIGALRM, 0));
	ASSERT_EQ(0, pthread_create(&sibling, NULL, flood, &f));
	ASSERT_EQ(0, attach(count_up));
	ASSERT_EQ(0, setitimer(ITIMER_REAL, &period, NULL));
	for (i = 0; i < 20000; i++) {
		sud_word nr = numbers[i % ARRAY_SIZE(numbers)];

		ASSERT_EQ(nr, sud_blocked_call(nr));
		ASSERT_EQ(i + 1, seen->visits);
	}
	memset(&period, 0, sizeof(period));
	setitimer(ITIMER_REAL, &period, NULL);
	f.stop = true;
	pthread_join(sibling, NULL);
	EXPECT_LT(0, signals);
	EXPECT_EQ(0, sud_count);
}

/* ---- Tracers ---- */

static void makes_calls(void)
{
	if (sud_arm_native(&sud_selector) || attach(count_up))
		_exit(2);
	raise(SIGSTOP);
	sud_blocked_call(SYS_getpid);
	sud_blocked_call(-1);
	sud_blocked_call(SYS_exit_group);
	_exit(sud_count);
}

/* The only stop is that of exit_group(). */
TEST_F(direct, X6_invisible_to_a_tracer)
{
	struct ptrace_syscall_info info;
	unsigned int calls = 0;
	bool inside = false;
	int stop;

	self->pid = sud_fork_tracee(makes_calls, 0);
	ASSERT_LT(0, self->pid);
	ASSERT_EQ(SIGSTOP, sud_resume(PTRACE_CONT, self->pid, 0));
	for (;;) {
		stop = sud_resume(PTRACE_SYSCALL, self->pid, 0);
		if (stop != SUD_STOP_SYSCALL)
			break;
		ASSERT_LT(0, sud_ptrace(PTRACE_GET_SYSCALL_INFO, self->pid,
					sizeof(info), (unsigned long)&info));
		/* An exit follows an entry. */
		EXPECT_EQ(inside, info.op == PTRACE_SYSCALL_INFO_EXIT);
		inside = info.op == PTRACE_SYSCALL_INFO_ENTRY;
		if (inside) {
			calls++;
			EXPECT_EQ(SYS_exit_group, info.entry.nr);
		}
	}
	EXPECT_EQ(-1, stop);
	EXPECT_LE(1, calls);
	EXPECT_EQ(3, seen->visits);
	self->pid = 0;
}

static int kills_others(void *arg)
{
	if (sud_arm_native(&sud_selector) || attach(count_up) ||
	    sud_seccomp_nr(SYS_getuid, SECCOMP_RET_KILL_PROCESS, 0))
		return 2;
	if (sud_blocked_call(SYS_getuid) != SYS_getuid)
		return 3;
	/* This call runs, so the filter ends the process. */
	sud_foreign_call(SYS_getuid, 0, 0, 0, 0, 0, 0);
	return 4;
}

TEST_F(direct, X6_invisible_to_seccomp)
{
	SUD_REQUIRE_FILTERS();
	EXPECT_TRUE(sud_killed(sud_run_child(kills_others, NULL), SIGSYS));
	EXPECT_EQ(1, seen->visits);
}

static int bad_selector(void *arg)
{
	if (sud_arm_native(&sud_selector) || attach(count_up))
		return 2;
	sud_selector = 2;
	sud_foreign_call(SYS_getpid, 0, 0, 0, 0, 0, 0);
	return 3;
}

static int bad_selector_address(void *arg)
{
	if (sud_arm_native((void *)UNMAPPED) || attach(count_up))
		return 2;
	sud_foreign_call(SYS_getpid, 0, 0, 0, 0, 0, 0);
	return 3;
}

TEST_F(direct, X6_bad_selector_ends_the_process)
{
	EXPECT_TRUE(sud_killed(sud_run_child(bad_selector, NULL), SIGSYS));
	EXPECT_TRUE(sud_killed(sud_run_child(bad_selector_address, NULL),
			       SIGSEGV));
	EXPECT_EQ(0, seen->visits);
}

/*
 * Restartable sequences: nobody may make a call from inside of one. A kernel
 * with DEBUG_RSEQ kills who does, the others do not look.
 */
#define NEVER_ABORTED	(RSEQ_CS_FLAG_NO_RESTART_ON_PREEMPT | \
			 RSEQ_CS_FLAG_NO_RESTART_ON_SIGNAL | \
			 RSEQ_CS_FLAG_NO_RESTART_ON_MIGRATE)

/*
 * The area that the C library registers with the kernel, from version 2.35 on.
 */
extern const ptrdiff_t __rseq_offset __attribute__((weak));
extern const unsigned int __rseq_size __attribute__((weak));

/* Where one is aborted to; the library's signature goes before. */
__asm__(".pushsection .text\n"
	"	.long	0x53053053\n"
	"aborted:\n"
	"	ud2\n"
	".popsection\n");

extern const char aborted[] __attribute__((visibility("hidden")));

/* Which code is in a sequence, and whether the call has a handler. */
struct rseq_call {
	uintptr_t start;
	size_t length;
	bool handled;
};

static int calls_in_section(void *arg)
{
	static struct rseq_cs section = { .flags = NEVER_ABORTED };
	struct rseq_call *c = arg;
	volatile uint64_t *pointer;
	char *thread;
	sud_word ret;

	if (sud_arm_native(&sud_selector) || (c->handled && attach(count_up)))
		return 2;
	section.start_ip = c->start;
	section.post_commit_offset = c->length;
	section.abort_ip = (uintptr_t)aborted;
	__asm__("mov %%fs:0, %0" : "=r"(thread));
	pointer = (void *)(thread + __rseq_offset +
			   offsetof(struct rseq, rseq_cs));
	sud_selector = c->handled;
	*pointer = (uintptr_t)&section;
	ret = sud_foreign_call(SYS_getuid, 0, 0, 0, 0, 0, 0);
	*pointer = 0;
	sud_selector = SUD_ALLOW;
	if (c->handled)
		return ret == SYS_getuid && seen->visits ? 0 : 3;
	return ret == getuid() ? 0 : 4;
}

/* Only the call's address counts: the thread has left it when the call ends. */
TEST_F(direct, X6_restartable_sequences)
{
	uintptr_t call = sud_foreign_ip() - SUD_INSN_LEN;
	struct rseq_call run = { call, 16, false };
	struct rseq_call handled = { call, 16, true };
	struct rseq_call elsewhere = { (uintptr_t)look, 8, true };
	int killed;

	if (!&__rseq_size || !__rseq_size)
		SKIP(return, "the C library has no restartable sequences");
	killed = sud_run_child(calls_in_section, &run);
	ASSERT_TRUE(sud_exited(killed, 0) || sud_killed(killed, SIGSEGV));
	TH_LOG("calls in a sequence are %s here",
	       sud_exited(killed, 0) ? "let through" : "deadly");
	EXPECT_EQ(killed, sud_run_child(calls_in_section, &handled));
	EXPECT_TRUE(sud_exited(sud_run_child(calls_in_section, &elsewhere), 0));
}

/* The number that /proc shows for the call of a stopped thread. */
static long proc_syscall(pid_t pid)
{
	char path[64];
	long nr = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/syscall", pid);
	f = fopen(path, "r");
	if (!f)
		return 0;
	if (fscanf(f, "%ld", &nr) != 1)
		nr = 0;
	fclose(f);
	return nr;
}

/* A single step over the call stops at the handler's first instruction. */
static void check_step(struct __test_metadata *_metadata, pid_t pid,
		       long request)
{
	struct user_regs_struct regs = { };
	siginfo_t info;
	int i;

	for (i = 0; i < 1000; i++) {
		ASSERT_EQ(0, sud_ptrace(PTRACE_GETREGS, pid, 0,
					(unsigned long)&regs));
		if (regs.rip == sud_foreign_ip() - SUD_INSN_LEN)
			break;
		ASSERT_EQ(SIGTRAP, sud_resume(request, pid, 0));
	}
	ASSERT_GT(1000, i);
	ASSERT_EQ(SIGTRAP, sud_resume(request, pid, 0));
	ASSERT_EQ(0, sud_ptrace(PTRACE_GETREGS, pid, 0, (unsigned long)&regs));
	EXPECT_EQ((uintptr_t)count_up, regs.rip);
	EXPECT_EQ(sud_foreign_ip(), regs.rcx);
	EXPECT_EQ(SYS_getpid, regs.rax);
	EXPECT_EQ((unsigned long long)-1, regs.orig_rax);
	EXPECT_EQ(-1, proc_syscall(pid));
	EXPECT_EQ(0, sud_ptrace_siginfo(pid, &info));
	EXPECT_EQ(SIGTRAP, info.si_signo);
	/* lock incq, then the jump */
	ASSERT_EQ(SIGTRAP, sud_resume(request, pid, 0));
	ASSERT_EQ(SIGTRAP, sud_resume(request, pid, 0));
	ASSERT_EQ(0, sud_ptrace(PTRACE_GETREGS, pid, 0, (unsigned long)&regs));
	EXPECT_EQ(sud_foreign_ip(), regs.rip);
	EXPECT_EQ(1, seen->visits);
}

TEST_F(direct, X7_singlestep)
{
	self->pid = sud_fork_tracee(makes_calls, 0);
	ASSERT_LT(0, self->pid);
	ASSERT_EQ(SIGSTOP, sud_resume(PTRACE_CONT, self->pid, 0));
	check_step(_metadata, self->pid, PTRACE_SINGLESTEP);
	EXPECT_TRUE(sud_exited(sud_run_to_end(self->pid), 0));
	self->pid = 0;
}

static void makes_one_call(void)
{
	/* No call runs once calls are emulated. */
	if (sud_arm_native(&sud_selector) || attach(count_up))
		_exit(2);
	sud_selector = SUD_BLOCK;
	raise(SIGSTOP);
	for (;;)
		sud_foreign_call(SYS_getpid, 0, 0, 0, 0, 0, 0);
}

TEST_F(direct, X7_sysemu_singlestep)
{
	int i, stop = 0;

	self->pid = sud_fork_tracee(makes_one_call, 0);
	ASSERT_LT(0, self->pid);
	ASSERT_EQ(SIGSTOP, sud_resume(PTRACE_CONT, self->pid, 0));
	/* Pass the rest of raise(): its calls are stops. */
	for (i = 0; i < 1000 && stop != SIGTRAP; i++)
		stop = sud_resume(PTRACE_SYSEMU_SINGLESTEP, self->pid, 0);
	ASSERT_EQ(SIGTRAP, stop);
	for (i = 0; i < 1000; i++) {
		struct user_regs_struct regs;

		ASSERT_EQ(0, sud_ptrace(PTRACE_GETREGS, self->pid, 0,
					(unsigned long)&regs));
		if (regs.rip >= SUD_FOREIGN && regs.rip < SUD_FOREIGN + 4096)
			break;
		sud_resume(PTRACE_SYSEMU_SINGLESTEP, self->pid, 0);
	}
	check_step(_metadata, self->pid, PTRACE_SYSEMU_SINGLESTEP);
}

/* The addresses at which the program was trapped since the call. */
static volatile unsigned long trap_ip[4];
static volatile unsigned int traps;
static volatile bool called;

static void on_trap(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;

	if (called && traps < ARRAY_SIZE(trap_ip))
		trap_ip[traps++] = SUD_REG_IP(uc);
	if ((unsigned long)SUD_REG_IP(uc) == sud_regs_call_ip() - SUD_INSN_LEN)
		called = true;
	/* Turn the flag off after the return. */
	if ((unsigned long)SUD_REG_IP(uc) == sud_regs_call_ip())
		uc->uc_mcontext.gregs[REG_EFL] &= ~0x100;
}

/*
 * A program's own trap flag traps one instruction later than a tracer's step,
 * as after any call. (The first instructions of "look" are one move each.)
 */
TEST_F(direct, X7_own_trap_flag)
{
	struct sigaction act = {
		.sa_sigaction = on_trap,
		.sa_flags = SA_SIGINFO,
	};

	if (!sud_regs_map())
		SKIP(return, "no xsave");
	ASSERT_EQ(0, sigaction(SIGTRAP, &act, NULL));
	ASSERT_EQ(0, attach(look));
	sud_regs->flags_in |= 0x100;
	sud_selector = SUD_BLOCK;
	sud_regs_call();
	sud_selector = SUD_ALLOW;
	ASSERT_EQ(4, traps);
	EXPECT_LT((uintptr_t)look, trap_ip[0]);
	EXPECT_GT((uintptr_t)look_end, trap_ip[0]);
	EXPECT_LT(trap_ip[0], trap_ip[1]);
	EXPECT_EQ(1, seen->visits);
	EXPECT_EQ(0, sud_count);
}

static void disarms(void)
{
	if (sud_arm_native(&sud_selector) || attach(count_up) || sud_off())
		_exit(2);
	raise(SIGSTOP);
}

/* A tracer that arms the thread does not attach the old handler again. */
TEST_F(direct, X2_off_leaves_no_handler_to_a_tracer)
{
	self->pid = sud_fork_tracee(disarms, 0);
	ASSERT_LT(0, self->pid);
	ASSERT_EQ(SIGSTOP, sud_resume(PTRACE_CONT, self->pid, 0));
	SUD_EXPECT_CONFIG(self->pid, sud_config_off());
	SUD_EXPECT_HANDLER(self->pid, 0);
	EXPECT_EQ(0, sud_set(self->pid, sud_config_native(0)));
	SUD_EXPECT_HANDLER(self->pid, 0);
}

static void makes_calls_forever(void)
{
	for (;;) {
		raise(SIGSTOP);
		sud_blocked_call(SYS_getpid);
		sud_selector = SUD_ALLOW;
	}
}

/* The tracee's next call goes on at the handler, or raises SIGSYS. */
#define EXPECT_VISIT() do {						\
	uint64_t visits__ = seen->visits;				\
									\
	EXPECT_EQ(SIGSTOP, sud_resume(PTRACE_CONT, self->pid, 0));	\
	EXPECT_EQ(visits__ + 1, seen->visits);				\
} while (0)

#define EXPECT_SIGSYS() do {						\
	uint64_t visits__ = seen->visits;				\
									\
	EXPECT_EQ(SIGSYS, sud_resume(PTRACE_CONT, self->pid, 0));	\
	EXPECT_EQ(SIGSTOP, sud_resume(PTRACE_CONT, self->pid, SIGSYS));	\
	EXPECT_EQ(visits__, seen->visits);				\
} while (0)

TEST_F(direct, X8_P4_settings_of_a_tracer_are_in_force)
{
	struct ptrace_sud_config native, got;
	uint64_t handler = (uintptr_t)count_up;

	native = sud_config_native((uintptr_t)&sud_selector);
	self->pid = sud_fork_tracee(makes_calls_forever, 0);
	ASSERT_LT(0, self->pid);
	ASSERT_EQ(SIGSTOP, sud_resume(PTRACE_CONT, self->pid, 0));
	ASSERT_EQ(0, sud_set(self->pid, native));
	EXPECT_SIGSYS();
	ASSERT_EQ(0, sud_set_traced(self->pid, handler));
	EXPECT_VISIT();
	/*
	 * A tool that does not know of handlers writes back the configuration.
	 */
	ASSERT_EQ(0, sud_get(self->pid, &got));
	ASSERT_EQ(0, sud_set(self->pid, got));
	EXPECT_VISIT();
	ASSERT_EQ(0, sud_set_traced(self->pid, 0));
	EXPECT_SIGSYS();
	ASSERT_EQ(0, sud_set_traced(self->pid, handler));
	ASSERT_EQ(0, sud_set(self->pid, sud_config_off()));
	ASSERT_EQ(0, sud_set(self->pid, native));
	EXPECT_SIGSYS();
}

static void arms_again(void)
{
	if (sud_arm_native(&sud_selector) || attach(count_up))
		_exit(2);
	raise(SIGSTOP);
	if (sud_arm_native(&sud_selector))
		_exit(3);
	raise(SIGSTOP);
}

/* A tracer sees the tracee's own handler until the tracee arms itself. */
TEST_F(direct, X8_X2_tracer_sees_settings_of_the_tracee)
{
	self->pid = sud_fork_tracee(arms_again, 0);
	ASSERT_LT(0, self->pid);
	ASSERT_EQ(SIGSTOP, sud_resume(PTRACE_CONT, self->pid, 0));
	SUD_EXPECT_HANDLER(self->pid, (uintptr_t)count_up);
	ASSERT_EQ(SIGSTOP, sud_resume(PTRACE_CONT, self->pid, 0));
	SUD_EXPECT_HANDLER(self->pid, 0);
}

static int unmapped_handler(void *arg)
{
	if (sud_arm_native(&sud_selector) || attach((void *)UNMAPPED))
		return 2;
	sud_selector = SUD_BLOCK;
	sud_foreign_call(SYS_exit_group, 5, 0, 0, 0, 0, 0);
	return 3;
}

TEST_F(direct, X9_unmapped_handler_is_SIGSEGV)
{
	EXPECT_TRUE(sud_killed(sud_run_child(unmapped_handler, NULL), SIGSEGV));
}

#else /* 32 bits */

/* On a 64-bit kernel the prctl works, but 32-bit calls raise signals. */
TEST(X4_32_bit_calls_are_signals)
{
	ASSERT_TRUE(sud_setup());
	SUD_REQUIRE();
	ASSERT_EQ(0, sud_arm_native(&sud_selector));
	ASSERT_EQ(0, attach(sud_blocked_call));
	EXPECT_EQ(SYS_getpid, sud_blocked_call(SYS_getpid));
	EXPECT_EQ(1, sud_count);
	EXPECT_EQ(0, sud_off());
}

#endif

/*
 * ---- A tracer's requests for the handler ----
 *
 * The tracer may be a 32-bit program. The data is 64 bits wide for it as well,
 * and every address of a 64-bit kernel's user space is good.
 */

#define SET	PTRACE_SET_SYSCALL_USER_DISPATCH_HANDLER
#define GET	PTRACE_GET_SYSCALL_USER_DISPATCH_HANDLER
#define SIZE	sizeof(uint64_t)

/* An address of user space whose 32-bit halves differ */
#define HANDLER	0x123456789000ULL

static void nothing(void)
{
	pause();
}

/* A stopped tracee that is armed and has a handler */
FIXTURE(tracee) {
	pid_t pid;
	struct ptrace_sud_config armed;
};

FIXTURE_SETUP(tracee)
{
	self->pid = sud_fork_tracee(nothing, 0);
	ASSERT_LT(0, self->pid);
	self->armed = sud_config_native(SUD_FOREIGN);
	ASSERT_EQ(0, sud_set(self->pid, self->armed));
	ASSERT_EQ(0, sud_set_traced(self->pid, HANDLER));
}

FIXTURE_TEARDOWN(tracee)
{
	sud_put_down(self->pid);
}

#define EXPECT_AS_IT_WAS() do {						\
	SUD_EXPECT_CONFIG(self->pid, self->armed);			\
	SUD_EXPECT_HANDLER(self->pid, HANDLER);				\
} while (0)

TEST(X8_numbers)
{
	EXPECT_EQ(0x53554453, SET);
	EXPECT_EQ(0x53554447, GET);
}

TEST_F(tracee, X8_get_and_set)
{
	uint64_t last = first_bad() - 1;

	EXPECT_AS_IT_WAS();
	EXPECT_EQ(0, sud_set_traced(self->pid, last));
	SUD_EXPECT_HANDLER(self->pid, last);
	EXPECT_EQ(0, sud_set_traced(self->pid, 1));
	SUD_EXPECT_HANDLER(self->pid, 1);
	EXPECT_EQ(0, sud_set_traced(self->pid, 0));
	SUD_EXPECT_HANDLER(self->pid, 0);
	EXPECT_EQ(0, sud_set_traced(self->pid, 0));
	SUD_EXPECT_CONFIG(self->pid, self->armed);
}

TEST_F(tracee, X8_address)
{
	const uint64_t bad[] = {
		first_bad(), first_bad() + 0x1000, 0xffff800000000000,
		0x8000000000000000, -1ULL,
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_EQ(-EFAULT, sud_set_traced(self->pid, bad[i])) {
			TH_LOG("handler %#llx", (unsigned long long)bad[i]);
		}
	}
	EXPECT_AS_IT_WAS();
}

TEST_F(tracee, X8_not_armed)
{
	ASSERT_EQ(0, sud_set(self->pid, sud_config_off()));
	SUD_EXPECT_HANDLER(self->pid, 0);
	EXPECT_EQ(-EINVAL, sud_set_traced(self->pid, HANDLER));
	/* This is checked before the address. */
	EXPECT_EQ(-EINVAL, sud_set_traced(self->pid, -1));
	SUD_EXPECT_HANDLER(self->pid, 0);
	EXPECT_EQ(0, sud_set_traced(self->pid, 0));
	SUD_EXPECT_CONFIG(self->pid, sud_config_off());
}

/* If the data were read, it would detach the handler. */
TEST_F(tracee, X8_size_comes_first)
{
	const unsigned long sizes[] = {
		0, 1, 4, 7, 9, 16, 32, 40, 4096, -1UL, -8UL, 0x80000008UL,
#ifdef __LP64__
		0x100000008UL, 0x8000000000000008UL,
#endif
	};
	uint64_t zeros[8] = { }, data[8];
	unsigned int i;

	memset(data, 0xa5, sizeof(data));
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		EXPECT_EQ(-EINVAL, sud_ptrace(SET, self->pid, sizes[i],
					      (unsigned long)zeros));
		EXPECT_EQ(-EINVAL, sud_ptrace(GET, self->pid, sizes[i],
					      (unsigned long)data));
		EXPECT_EQ(-EINVAL, sud_ptrace(SET, self->pid, sizes[i], 0));
		EXPECT_EQ(-EINVAL, sud_ptrace(GET, self->pid, sizes[i], 0));
	}
	for (i = 0; i < ARRAY_SIZE(data); i++)
		EXPECT_EQ(0xa5a5a5a5a5a5a5a5, data[i]);
	EXPECT_AS_IT_WAS();
}

TEST_F(tracee, X8_pointer)
{
	size_t page = sysconf(_SC_PAGESIZE);
	unsigned long edge, end;
	uint64_t *last, before;
	unsigned int i;
	char *two;

	two = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_TRUE(two != MAP_FAILED);
	ASSERT_EQ(0, mprotect(two + page, page, PROT_NONE));
	edge = (unsigned long)two + page;
	for (i = 0; i < SIZE; i++) {
		EXPECT_EQ(-EFAULT, sud_ptrace(SET, self->pid, SIZE, edge - i));
		EXPECT_EQ(-EFAULT, sud_ptrace(GET, self->pid, SIZE, edge - i));
	}
	for (end = 0; end < 2 * SIZE; end++) {
		EXPECT_EQ(-EFAULT, sud_ptrace(SET, self->pid, SIZE, -end));
		EXPECT_EQ(-EFAULT, sud_ptrace(GET, self->pid, SIZE, -end));
	}
	EXPECT_AS_IT_WAS();

	/* The data needs no alignment, and only its eight bytes are written. */
	for (i = SIZE; i < 2 * SIZE; i++) {
		memset(two, 0xa5, page);
		EXPECT_EQ(0, sud_ptrace(GET, self->pid, SIZE, edge - i));
		memcpy(&before, (void *)(edge - i), SIZE);
		EXPECT_EQ(HANDLER, before);
		EXPECT_EQ((char)0xa5, two[page - i - 1]);
		EXPECT_TRUE(i == SIZE || two[page - i + SIZE] == (char)0xa5);
		before = HANDLER + i;
		memcpy((void *)(edge - i), &before, SIZE);
		EXPECT_EQ(0, sud_ptrace(SET, self->pid, SIZE, edge - i));
		SUD_EXPECT_HANDLER(self->pid, HANDLER + i);
		EXPECT_EQ(0, sud_set_traced(self->pid, HANDLER));
	}

	/* SET needs no right to write. */
	last = (uint64_t *)edge - 1;
	*last = 4096;
	ASSERT_EQ(0, mprotect(two, page, PROT_READ));
	EXPECT_EQ(-EFAULT, sud_ptrace(GET, self->pid, SIZE, edge - SIZE));
	EXPECT_EQ(4096, *last);
	EXPECT_EQ(0, sud_ptrace(SET, self->pid, SIZE, edge - SIZE));
	SUD_EXPECT_HANDLER(self->pid, 4096);
}

TEST_F(tracee, X8_no_tracee)
{
	uint64_t handler = 0;

	EXPECT_EQ(-ESRCH, sud_set_traced(getpid(), 0));
	EXPECT_EQ(-ESRCH, sud_get_traced(getpid(), &handler));
	/* A running tracee fails as well. */
	ASSERT_EQ(0, sud_ptrace(PTRACE_CONT, self->pid, 0, 0));
	EXPECT_EQ(-ESRCH, sud_set_traced(self->pid, 0));
	EXPECT_EQ(-ESRCH, sud_get_traced(self->pid, &handler));
	EXPECT_EQ(-ESRCH, sud_ptrace(SET, self->pid, 0, 0));
	ASSERT_EQ(0, kill(self->pid, SIGSTOP));
	ASSERT_EQ(SIGSTOP, sud_wait_stop(self->pid));
	EXPECT_AS_IT_WAS();
}

/* At 0, attaching and arming fail, and everything else works. */
TEST_F(tracee, X8_sysctl)
{
	struct ptrace_sud_config config = { };
	uint64_t kept = 0, detached = -1;
	int found = sud_knob_read();
	long ret[8];

	if (geteuid() || found < 0)
		SKIP(return, "no sysctl, or no right to write to it");
	ASSERT_EQ(1, sud_knob_write("0"));
	ret[0] = sud_set_traced(self->pid, 4096);
	/*
	 * This is checked before the address, and after the size and the data.
	 */
	ret[1] = sud_set_traced(self->pid, -1);
	ret[2] = sud_ptrace(SET, self->pid, SIZE - 1, 0);
	ret[3] = sud_ptrace(SET, self->pid, SIZE, 0);
	ret[4] = sud_set(self->pid, sud_config_foreign(0));
	sud_get_traced(self->pid, &kept);
	sud_get(self->pid, &config);
	ret[5] = sud_set_traced(self->pid, 0);
	sud_get_traced(self->pid, &detached);
	/* "Not armed" is checked first. */
	ret[6] = sud_set(self->pid, sud_config_off());
	ret[7] = sud_set_traced(self->pid, 4096);
	ASSERT_EQ(1, sud_knob_write(found ? "1" : "0"));
	EXPECT_EQ(-EPERM, ret[0]);
	EXPECT_EQ(-EPERM, ret[1]);
	EXPECT_EQ(-EINVAL, ret[2]);
	EXPECT_EQ(-EFAULT, ret[3]);
	EXPECT_EQ(-EPERM, ret[4]);
	EXPECT_EQ(HANDLER, kept);
	EXPECT_EQ(0, memcmp(&self->armed, &config, sizeof(config)));
	EXPECT_EQ(0, ret[5]);
	EXPECT_EQ(0, detached);
	EXPECT_EQ(0, ret[6]);
	EXPECT_EQ(-EINVAL, ret[7]);
}

/* ---- The effect of the configuration's requests on the handler ---- */

TEST_F(tracee, X8_P4_round_trip_keeps_the_handler)
{
	struct ptrace_sud_config got;

	ASSERT_EQ(0, sud_get(self->pid, &got));
	ASSERT_EQ(0, sud_set(self->pid, got));
	EXPECT_AS_IT_WAS();

	self->armed = sud_config_foreign(SUD_FOREIGN);
	ASSERT_EQ(0, sud_set(self->pid, self->armed));
	EXPECT_AS_IT_WAS();
	ASSERT_EQ(0, sud_get(self->pid, &got));
	ASSERT_EQ(0, sud_set(self->pid, got));
	EXPECT_AS_IT_WAS();
}

TEST_F(tracee, X8_P4_refused_configuration_changes_nothing)
{
	EXPECT_EQ(-EINVAL, sud_set(self->pid, sud_config(7, 0, 0, 0)));
	EXPECT_EQ(-EINVAL, sud_set(self->pid, sud_config(SUD_OFF, 1, 0, 0)));
	EXPECT_EQ(-EINVAL, sud_set(self->pid, sud_config(SUD_EXCL, 1, 0, 0)));
	EXPECT_EQ(-EFAULT, sud_set(self->pid, sud_config_native(-1ULL)));
	EXPECT_AS_IT_WAS();
}

TEST_F(tracee, X8_off_detaches)
{
	ASSERT_EQ(0, sud_set(self->pid, sud_config_off()));
	SUD_EXPECT_HANDLER(self->pid, 0);
	ASSERT_EQ(0, sud_set(self->pid, self->armed));
	SUD_EXPECT_HANDLER(self->pid, 0);
}

/* A fifth field is not part of this structure: newer kernels may extend it. */
TEST_F(tracee, X8_configuration_has_one_size)
{
	uint64_t fields[5] = { SUD_EXCL, 0, 0, 0, 4096 };

	EXPECT_EQ(-EINVAL, sud_ptrace(PTRACE_SET_SYSCALL_USER_DISPATCH_CONFIG,
				      self->pid, sizeof(fields),
				      (unsigned long)fields));
	EXPECT_EQ(-EINVAL, sud_ptrace(PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG,
				      self->pid, sizeof(fields),
				      (unsigned long)fields));
	EXPECT_AS_IT_WAS();
}

TEST_HARNESS_MAIN
