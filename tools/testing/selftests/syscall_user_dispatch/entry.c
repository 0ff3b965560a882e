// SPDX-License-Identifier: GPL-2.0
/*
 * Syscall User Dispatch: the other ways into an x86 kernel. All other tests
 * use only the way of the templates in sud_asm.h. Rules C1, C2 and A11, and D,
 * R and F for each way:
 *
 * 64-bit and x32 programs: int $0x80, from 64-bit code and, after a far jump,
 * from 32-bit code. Also the syscall instruction with the numbers of the other
 * of the two ABIs.
 *
 * 32-bit programs: int $0x80, and the vDSO's way: sysenter, syscall or int
 * $0x80, depending on the processor.
 */
#define _GNU_SOURCE

#include "sud_asleep.h"
#include "sud_regs.h"
#include "sud_vdso.h"

#include "sud_harness.h"

/* The 32-bit ABI's numbers. */
#define IA32_RESTART_SYSCALL	0
#define IA32_CLOSE		6
#define IA32_GETPID		SUD_IA32_GETPID
#define IA32_POLL		168
#define IA32_PRCTL		172
#define IA32_RT_SIGRETURN	173
#define IA32_MMAP2		192

/* The 32-bit code segment of a 64-bit kernel. */
#define USER32_CS		0x23

/* Flags that the frame test sets. */
#define ARITHMETIC_FLAGS	0x8d5
#define FLAGS			(0x202 | ARITHMETIC_FLAGS)

enum way {
	/* the instruction stands in the template */
	WAY_DIRECT,
	/* the template jumps into the 32-bit code segment */
	WAY_FAR,
	/* the template calls the vDSO */
	WAY_VDSO,
};

/* A call as the kernel sees it. */
struct seen_at {
	/* after the instruction */
	unsigned long ip;
	/* the additional bytes that are on the stack at that point */
	unsigned int pushed;
	/* those of the flags set by the test that are kept */
	unsigned int flags;
};

FIXTURE(way)
{
	struct seen_at at;
};

FIXTURE_VARIANT(way)
{
	enum way way;
	const char *start, *end;
};

#if SUD_WORD_BITS == 64

SUD_REGS_SYMBOLS(int80);
SUD_REGS_TEMPLATE(int80, "	int	$0x80\n");

FIXTURE_VARIANT_ADD(way, int80_in_64bit_code)
{ WAY_DIRECT, int80_template, int80_end };
FIXTURE_VARIANT_ADD(way, int80_in_32bit_code)
{ WAY_FAR, sud_regs_jump_template, sud_regs_jump_end };

#else

SUD_REGS_SYMBOLS(vdso_call);
SUD_REGS_TEMPLATE(vdso_call, "	call	*" SUD_REGS_TARGET "\n");

FIXTURE_VARIANT_ADD(way, int80)
{ WAY_DIRECT, sud_regs_insn_template, sud_regs_insn_end };
FIXTURE_VARIANT_ADD(way, vdso)
{ WAY_VDSO, vdso_call_template, vdso_call_end };

#endif

FIXTURE_SETUP(way)
{
	struct sud_landing landing;

	SUD_REQUIRE_SETUP();
	if (!sud_has_int80())
		SUD_SKIP_SETUP("no 32-bit system calls in this kernel");
	ASSERT_TRUE(sud_setup());
	ASSERT_TRUE(sud_regs_map());
	ASSERT_TRUE(sud_foreign_add(SUD_REGS_CODE, variant->start,
				    variant->end));
	self->at.flags = FLAGS;
	switch (variant->way) {
	case WAY_DIRECT:
		self->at.ip = sud_regs_call_ip();
		break;
	case WAY_FAR:
		ASSERT_TRUE(sud_regs_map_far(USER32_CS, 0));
		self->at.ip = SUD_REGS_FAR_IP;
		break;
	case WAY_VDSO:
		if (!sud_landing(&landing))
			SUD_SKIP_SETUP("no vDSO in this kernel");
		sud_regs->target.offset = landing.entry;
		self->at.ip = landing.ip;
		self->at.pushed = 16;
		/*
		 * The vDSO does not save them, and 64-bit kernels change some.
		 */
		if (!strcmp(landing.by, "sysenter"))
			self->at.flags = FLAGS & ~ARITHMETIC_FLAGS;
		break;
	}
	sud_unblock = &sud_selector;
}

FIXTURE_TEARDOWN(way)
{
}

/* Load one argument. The register's bits above 32 stay as they are. */
static void load(unsigned int reg, uint32_t value)
{
	sud_regs->in[reg] = (sud_regs->in[reg] & ~(uint64_t)UINT32_MAX) | value;
}

static uint64_t call(uint32_t nr, uint32_t a1, uint32_t a2, uint32_t a3,
		     uint32_t a4, uint32_t a5, uint32_t a6)
{
	load(SUD_AX, nr);
	load(SUD_BX, a1);
	load(SUD_CX, a2);
	load(SUD_DX, a3);
	load(SUD_SI, a4);
	load(SUD_DI, a5);
	load(SUD_BP, a6);
	sud_regs_call();
	return sud_regs->out[SUD_AX];
}

/*
 * Nothing is exempt, but the selector is at BLOCK for this one call only: the
 * handler first sets it to ALLOW.
 */
static uint64_t blocked_call(uint32_t nr)
{
	uint64_t ret;

	sud_selector = SUD_BLOCK;
	ret = call(nr, 1, 2, 3, 4, 5, 6);
	sud_selector = SUD_ALLOW;
	return ret;
}

static long arm_nothing_exempt(void)
{
	return sud_arm(SUD_EXCL, 0, 0, &sud_selector);
}

static const uint32_t numbers[] = {
	IA32_GETPID, IA32_CLOSE, IA32_RESTART_SYSCALL, IA32_RT_SIGRETURN,
	/* no such call */
	9999, 0x4000000f, 0x7fffffff, 0x80000000, -4, -1,
};

static const uint32_t restart_codes[] = { -512, -513, -514, -516 };

TEST_F(way, C1_D1_siginfo)
{
	struct sud_record *r = &sud_log[0];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(numbers); i++) {
		sud_count = 0;
		memset(r, 0xff, sizeof(*r));
		ASSERT_EQ(0, arm_nothing_exempt());
		blocked_call(numbers[i]);
		ASSERT_EQ(0, sud_off());

		ASSERT_EQ(1, sud_count) {
			TH_LOG("number %#x", numbers[i]);
		}
		EXPECT_EQ(SIGSYS, r->info.si_signo);
		EXPECT_EQ(0, r->info.si_errno);
		EXPECT_EQ(SYS_USER_DISPATCH, r->info.si_code);
		EXPECT_EQ((void *)self->at.ip, r->info.si_call_addr);
		EXPECT_EQ((int)numbers[i], r->info.si_syscall);
		/* This does not depend on the process. */
		EXPECT_EQ(AUDIT_ARCH_I386, r->info.si_arch);
	}
}

/*
 * All registers are as the program had them. The number has 32 bits, and the
 * upper bits of rax are lost. int $0x80 does not touch rcx, r8 to r11 or the
 * rest. The vDSO's own code saves the registers that it uses.
 */
static void check_frame(struct __test_metadata *_metadata,
			const struct seen_at *at, uint32_t nr)
{
	ucontext_t *uc = &sud_log[0].uc;
	const char *differs;
	unsigned int reg;
	uint64_t want;

	sud_count = 0;
	load(SUD_AX, nr);
	sud_regs->flags_in = FLAGS;
	ASSERT_EQ(0, arm_nothing_exempt());
	sud_selector = SUD_BLOCK;
	sud_regs_call();
	sud_selector = SUD_ALLOW;
	ASSERT_EQ(0, sud_off());

	ASSERT_EQ(1, sud_count);
	EXPECT_EQ((int)nr, sud_log[0].info.si_syscall);
	EXPECT_EQ(at->ip, (sud_uword)SUD_REG_IP(uc));
	EXPECT_EQ(sud_regs->sp_in - at->pushed, (sud_uword)SUD_REG_SP(uc));
	EXPECT_EQ(sud_regs->sp_in, sud_regs->sp_out);
	EXPECT_EQ(at->flags, SUD_REGS_FLAGS(uc) & at->flags);
	EXPECT_EQ(at->flags, sud_regs->flags_out & at->flags);
	for (reg = 0; reg < SUD_NR_REGS; reg++) {
		want = reg == SUD_AX ? nr : sud_regs->in[reg];
		EXPECT_EQ(want, sud_regs_frame(uc, reg)) {
			TH_LOG("number %#x, in the frame, register %u", nr,
			       reg);
		}
		EXPECT_EQ(want, sud_regs->out[reg]) {
			TH_LOG("number %#x, after the return, register %u", nr,
			       reg);
		}
	}
	differs = sud_regs_differ(sud_regs->xout);
	EXPECT_EQ(NULL, differs) {
		TH_LOG("after the return: %s", differs);
	}
}

TEST_F(way, C1_D2_frame)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(numbers); i++)
		check_frame(_metadata, &self->at, numbers[i]);
}

/* With a handler that would make a restart code restart. */
TEST_F(way, C1_D7_restart_codes)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(restart_codes); i++) {
		ASSERT_EQ(0, sud_handle(0));
		check_frame(_metadata, &self->at, restart_codes[i]);
		ASSERT_EQ(0, sud_handle(SA_RESTART));
		check_frame(_metadata, &self->at, restart_codes[i]);
	}
}

/* Allowed, it is a 32-bit call, with all six arguments. */
TEST_F(way, C1_S2_allowed_runs)
{
	int32_t ret;

	ASSERT_EQ(0, arm_nothing_exempt());
	EXPECT_EQ(getpid(), call(IA32_GETPID, 0, 0, 0, 0, 0, 0));
	EXPECT_EQ(-EBADF, (int32_t)call(IA32_CLOSE, -1, 0, 0, 0, 0, 0));
	EXPECT_EQ(-ENOSYS, (int32_t)call(9999, 0, 0, 0, 0, 0, 0));
	EXPECT_EQ(-ENOSYS, (int32_t)call(-1, 0, 0, 0, 0, 0, 0));

	ret = call(IA32_MMAP2, 0x50000, 8192, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	ASSERT_EQ(0x50000, ret);
	*(volatile char *)(uintptr_t)(ret + 8191) = 1;
	EXPECT_EQ(0, sud_count);

	/* Without ALLOW, the call would not have run. */
	EXPECT_EQ(IA32_GETPID, blocked_call(IA32_GETPID));
	EXPECT_EQ(1, sud_count);
}

static volatile sud_word result;

static void hook_result(siginfo_t *info, ucontext_t *uc)
{
	SUD_REG_RET(uc) = result;
}

TEST_F(way, C1_D3_result)
{
	static const sud_word results[] = {
		0, 1, -1, -4, -38, -512, -513, -514, -516, INT32_MIN,
		(sud_word)0x123456789abcdef0,
	};
	unsigned int i;

	sud_hook = hook_result;
	ASSERT_EQ(0, arm_nothing_exempt());
	for (i = 0; i < ARRAY_SIZE(results); i++) {
		result = results[i];
		EXPECT_EQ((sud_uword)results[i], blocked_call(IA32_GETPID));
	}
	EXPECT_EQ(ARRAY_SIZE(results), sud_count);
}

/* sud_unblock has already set the selector to ALLOW. */
static void hook_step_back(siginfo_t *info, ucontext_t *uc)
{
	SUD_REG_IP(uc) -= SUD_INSN_LEN;
}

TEST_F(way, C1_D4_rerun)
{
	int32_t ret;
	int i;

	sud_hook = hook_step_back;
	ASSERT_EQ(0, arm_nothing_exempt());
	EXPECT_EQ(getpid(), blocked_call(IA32_GETPID));
	EXPECT_EQ(1, sud_count);
	EXPECT_EQ(-ENOSYS, (int32_t)blocked_call(9999));
	EXPECT_EQ(2, sud_count);

	sud_selector = SUD_BLOCK;
	ret = call(IA32_MMAP2, 0x50000, 8192, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	EXPECT_EQ(3, sud_count);
	ASSERT_EQ(0x50000, ret);
	*(volatile char *)(uintptr_t)(ret + 8191) = 1;
	for (i = SUD_BX; i < SUD_NR_REGS; i++)
		EXPECT_EQ(sud_regs->in[i], sud_regs->out[i]);
}

static void hook_step_back_blocked(siginfo_t *info, ucontext_t *uc)
{
	hook_step_back(info, uc);
	sud_selector = sud_count < 5 ? SUD_BLOCK : SUD_ALLOW;
}

/* Dispatched again and again. The return from the handler is exempt. */
TEST_F(way, C1_D4_rerun_under_block_is_dispatched)
{
	unsigned int i;

	SUD_REQUIRE_INCLUSIVE();
	sud_hook = hook_step_back_blocked;
	ASSERT_EQ(0, sud_arm(SUD_INCL, self->at.ip, 1, &sud_selector));
	EXPECT_EQ(getpid(), blocked_call(IA32_GETPID));
	EXPECT_EQ(5, sud_count);
	for (i = 0; i < 5; i++) {
		EXPECT_EQ(IA32_GETPID, sud_log[i].info.si_syscall);
		EXPECT_EQ(self->at.ip, (unsigned long)SUD_REG_IP(&sud_log[i].uc));
	}
}

static void check_region(struct __test_metadata *_metadata, sud_uword op,
			 sud_uword offset, sud_uword length, bool runs)
{
	uint64_t ret;

	sud_count = 0;
	ASSERT_EQ(0, sud_arm(op, offset, length, &sud_selector));
	ret = blocked_call(IA32_GETPID);
	ASSERT_EQ(0, sud_off());
	EXPECT_EQ(!runs, sud_count);
	EXPECT_EQ(runs ? getpid() : IA32_GETPID, ret) {
		TH_LOG("%s(%#jx, %ju)", op == SUD_EXCL ? "EXCL" : "INCL",
		       (uintmax_t)offset, (uintmax_t)length);
	}
}

TEST_F(way, C1_R1_R3_exclusive)
{
	unsigned long a = self->at.ip;

	check_region(_metadata, SUD_EXCL, a, 1, true);
	check_region(_metadata, SUD_EXCL, a - 2, 2, false);
	check_region(_metadata, SUD_EXCL, a - 1, 2, true);
	check_region(_metadata, SUD_EXCL, a + 1, 100, false);
	check_region(_metadata, SUD_EXCL, 0, a, false);
	check_region(_metadata, SUD_EXCL, 0, a + 1, true);
}

TEST_F(way, C1_R2_R3_inclusive)
{
	unsigned long a = self->at.ip;

	SUD_REQUIRE_INCLUSIVE();
	check_region(_metadata, SUD_INCL, a, 1, false);
	check_region(_metadata, SUD_INCL, a - 2, 2, true);
	check_region(_metadata, SUD_INCL, a - 2, 3, false);
}

/* Children that a bad selector ends. Only their wait status is checked. */
static int bad_byte(void *arg)
{
	if (arm_nothing_exempt())
		return 1;
	sud_selector = 2;
	call(IA32_GETPID, 0, 0, 0, 0, 0, 0);
	sud_selector = SUD_ALLOW;
	return 2;
}

static int bad_page(void *arg)
{
	size_t page = sysconf(_SC_PAGESIZE);
	void *p = mmap(NULL, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		       0);

	if (p == MAP_FAILED || sud_arm(SUD_EXCL, 0, 0, p))
		return 1;
	/* The last call for which the selector can be read. */
	munmap(p, page);
	call(IA32_GETPID, 0, 0, 0, 0, 0, 0);
	return 2;
}

TEST_F(way, C1_F1_F2_bad_selector)
{
	int status;

	status = sud_run_child(bad_byte, NULL);
	EXPECT_TRUE(sud_killed(status, SIGSYS)) {
		TH_LOG("wait status %#x", status);
	}
	status = sud_run_child(bad_page, NULL);
	EXPECT_TRUE(sud_killed(status, SIGSEGV)) {
		TH_LOG("wait status %#x", status);
	}
}

/* Shared with the child that is stopped in its call. */
struct stopped {
	volatile uint8_t selector;
	volatile unsigned int count;
	volatile int nr;
	volatile unsigned int arch;
	volatile unsigned long ip;
	volatile uint64_t ret;
};

static struct stopped *stopped;

static void hook_stopped(siginfo_t *info, ucontext_t *uc)
{
	stopped->count++;
	stopped->nr = info->si_syscall;
	stopped->arch = info->si_arch;
	stopped->ip = SUD_REG_IP(uc);
}

static void sleep_until_stopped(void)
{
	sud_die_with_parent();
	sud_hook = hook_stopped;
	sud_unblock = &stopped->selector;
	if (sud_arm(SUD_EXCL, 0, 0, &stopped->selector))
		_exit(2);
	/* It waits for two seconds, and for nothing else. */
	stopped->ret = call(IA32_POLL, 0, 0, 2000, 0, 0, 0);
	_exit(0);
}

/* Stopped and continued, the call goes on as restart_syscall(), which is 0. */
TEST_F(way, C1_D8_restart_is_dispatched)
{
	int status;
	pid_t pid;

	stopped = sud_share(sizeof(*stopped));
	ASSERT_NE(NULL, stopped);
	pid = fork();
	ASSERT_LE(0, pid);
	if (pid == 0)
		sleep_until_stopped();
	ASSERT_TRUE(sud_wait_asleep(pid, IA32_POLL));
	ASSERT_EQ(0, kill(pid, SIGSTOP));
	ASSERT_EQ(pid, waitpid(pid, &status, WUNTRACED));
	ASSERT_TRUE(WIFSTOPPED(status));
	stopped->selector = SUD_BLOCK;
	ASSERT_EQ(0, kill(pid, SIGCONT));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_TRUE(sud_exited(status, 0)) {
		TH_LOG("wait status %#x", status);
	}
	EXPECT_EQ(1, stopped->count);
	EXPECT_EQ(IA32_RESTART_SYSCALL, stopped->nr);
	EXPECT_EQ(AUDIT_ARCH_I386, stopped->arch);
	EXPECT_EQ(self->at.ip, stopped->ip);
	EXPECT_EQ(IA32_RESTART_SYSCALL, stopped->ret);
}

/* ---- A11: 32-bit arguments ---- */

/* The prctl as a 32-bit call, by each of the ways. */
static int32_t prctl32(uint32_t op, uint32_t offset, uint32_t length,
		       uint32_t selector)
{
	return call(IA32_PRCTL, PR_SET_SYSCALL_USER_DISPATCH, op, offset,
		    length, selector, 0);
}

/*
 * A selector at an address that 32-bit code can use. Its page holds nothing
 * that the template uses.
 */
static volatile uint8_t *low_selector(void)
{
	return &sud_regs->xframe[0];
}

/*
 * A 64-bit kernel ignores the upper halves of the registers and does not
 * extend the sign, so no sum wraps. A 32-bit kernel computes with 32 bits.
 */
TEST_F(way, A11_sums)
{
	int32_t want = sud_kernel_is_64bit() ? 0 : -EINVAL;
	static const struct {
		uint32_t offset, length;
	} ranges[] = {
		{ 0x80000000, 0x90000000 },
		{ 0x80000000, 0x80000000 },
		{ 0xffffffff, 1 },
		{ 1, 0xffffffff },
		{ 0xfff00000, 0x00200000 },
		{ 0xffffffff, 0xffffffff },
	};
	uint32_t selector = (uintptr_t)low_selector();
	unsigned int i;

	*low_selector() = SUD_ALLOW;
	for (i = 0; i < ARRAY_SIZE(ranges); i++) {
		EXPECT_EQ(want, prctl32(SUD_EXCL, ranges[i].offset,
					ranges[i].length, selector)) {
			TH_LOG("EXCL(%#x, %#x)", ranges[i].offset,
			       ranges[i].length);
		}
		EXPECT_EQ(0, prctl32(SUD_OFF, 0, 0, 0));
		/* An empty range is bad everywhere. */
		EXPECT_EQ(-EINVAL, prctl32(SUD_EXCL, ranges[i].offset, 0,
					   selector));
	}
}

TEST_F(way, A11_sums_inclusive)
{
	int32_t want = sud_kernel_is_64bit() ? 0 : -EINVAL;
	uint32_t selector = (uintptr_t)low_selector();

	SUD_REQUIRE_INCLUSIVE();
	*low_selector() = SUD_ALLOW;
	EXPECT_EQ(want, prctl32(SUD_INCL, 0x80000000, 0x90000000, selector));
	EXPECT_EQ(0, prctl32(SUD_OFF, 0, 0, 0));
	EXPECT_EQ(want, prctl32(SUD_INCL, 0xffffffff, 1, selector));
	EXPECT_EQ(0, prctl32(SUD_OFF, 0, 0, 0));
	EXPECT_EQ(-EINVAL, prctl32(SUD_INCL, 0, 0, selector));
	EXPECT_EQ(0, prctl32(SUD_OFF, 0, 0, 0));
}

TEST_F(way, A11_op)
{
	uint32_t selector = (uintptr_t)low_selector();

	EXPECT_EQ(-EINVAL, prctl32(0xffffffff, 0, 0, 0));
	EXPECT_EQ(-EINVAL, prctl32(0x80000001, 0, 0, selector));
	EXPECT_EQ(-EINVAL, prctl32(3, 0, 0, selector));
	EXPECT_EQ(-EINVAL, prctl32(SUD_OFF, 1, 0, 0));
	EXPECT_EQ(-EINVAL, prctl32(SUD_OFF, 0, 1, 0));
	EXPECT_EQ(-EINVAL, prctl32(SUD_OFF, 0, 0, selector));
	EXPECT_EQ(0, prctl32(SUD_OFF, 0, 0, 0));
}

/* Armed by this call, the thread is armed as usual. */
TEST_F(way, A11_armed)
{
	unsigned long a = sud_foreign_ip();

	sud_unblock = low_selector();
	*low_selector() = SUD_ALLOW;
	EXPECT_EQ(0, prctl32(SUD_EXCL, a + 1, 0x1000,
			     (uintptr_t)low_selector()));
	*low_selector() = SUD_BLOCK;
	EXPECT_EQ(1, sud_probe());
	*low_selector() = SUD_ALLOW;
	EXPECT_EQ(0, sud_probe());

	EXPECT_EQ(0, prctl32(SUD_EXCL, a, 0x1000, (uintptr_t)low_selector()));
	*low_selector() = SUD_BLOCK;
	EXPECT_EQ(0, sud_probe());
	*low_selector() = SUD_ALLOW;
	EXPECT_EQ(0, prctl32(SUD_OFF, 0, 0, 0));
}

/* ---- Ways that only one ABI has ---- */

#if SUD_WORD_BITS == 64

/* With the syscall instruction, the number decides, not the program. */
TEST(C1_D1_numbers_of_x32_and_64bit)
{
	const int other = SYS_getpid ^ SUD_X32_BIT;
	long native = syscall(other);

	SUD_REQUIRE();
	ASSERT_TRUE(sud_setup());
	ASSERT_EQ(0, sud_arm_native(&sud_selector));
	sud_selector = SUD_BLOCK;
	EXPECT_EQ(other, sud_foreign_call(other, 1, 2, 3, 4, 5, 6));
	ASSERT_EQ(1, sud_count);
	EXPECT_EQ(other, sud_log[0].info.si_syscall);
	EXPECT_EQ(AUDIT_ARCH_X86_64, sud_log[0].info.si_arch);
	EXPECT_EQ((void *)sud_foreign_ip(), sud_log[0].info.si_call_addr);

	/*
	 * At ALLOW it runs if the kernel has it. The handler may run it, too.
	 */
	sud_selector = SUD_ALLOW;
	EXPECT_EQ(native == -1 ? -ENOSYS : getpid(),
		  sud_foreign_call(other, 1, 2, 3, 4, 5, 6));
	EXPECT_EQ(1, sud_count);
	sud_hook = sud_hook_rerun;
	sud_selector = SUD_BLOCK;
	EXPECT_EQ(native == -1 ? -ENOSYS : getpid(),
		  sud_foreign_call(other, 1, 2, 3, 4, 5, 6));
	EXPECT_EQ(2, sud_count);
	/* A 64-bit number always runs. */
	if (!(other & SUD_X32_BIT))
		EXPECT_EQ(getpid(), native);
}

/* Native code may be above 4 GiB: the address is not cut to 32 bits. */
extern const char native_int80_ip[] __attribute__((visibility("hidden")));

static int __attribute__((noinline, noclone)) native_int80(int nr)
{
	int ret;

	__asm__ volatile("int $0x80\n"
			 "native_int80_ip:\n"
			 : "=a" (ret) : "a" (nr) : "memory");
	return ret;
}

TEST(C1_D1_R2_int80_at_any_address)
{
	sud_uword ip = SUD_PTR(native_int80_ip);
	int ret;

	SUD_REQUIRE_INCLUSIVE();
	if (!sud_has_int80())
		SKIP(return, "no 32-bit system calls in this kernel");
	ASSERT_TRUE(sud_setup());
	ASSERT_EQ(0, sud_arm(SUD_INCL, ip, 1, &sud_selector));
	sud_selector = SUD_BLOCK;
	ret = native_int80(IA32_GETPID);
	sud_selector = SUD_ALLOW;
	EXPECT_EQ(IA32_GETPID, ret);
	ASSERT_EQ(1, sud_count);
	EXPECT_EQ((void *)native_int80_ip, sud_log[0].info.si_call_addr);
	EXPECT_EQ(ip, SUD_REG_IP(&sud_log[0].uc));

	if (ip <= UINT32_MAX)
		return;
	ASSERT_EQ(0, sud_arm(SUD_INCL, (uint32_t)ip, 1, &sud_selector));
	sud_selector = SUD_BLOCK;
	ret = native_int80(IA32_GETPID);
	sud_selector = SUD_ALLOW;
	EXPECT_EQ(getpid(), ret);
	EXPECT_EQ(1, sud_count);
}

#else /* 32 bits */

/* The C library makes its calls through the vDSO, too. */
FIXTURE(landing)
{
	struct sud_vdso vdso;
	struct sud_landing landing;
};

FIXTURE_SETUP(landing)
{
	SUD_REQUIRE_SETUP();
	if (!sud_vdso_find(&self->vdso) || !sud_landing(&self->landing))
		SUD_SKIP_SETUP("no vDSO in this kernel");
	ASSERT_TRUE(sud_setup());
	ASSERT_TRUE(sud_regs_map());
	ASSERT_TRUE(sud_foreign_add(SUD_REGS_CODE, vdso_call_template,
				    vdso_call_end));
	sud_regs->target.offset = self->landing.entry;
}

FIXTURE_TEARDOWN(landing)
{
}

/* The log tells which instruction it is. */
TEST_F(landing, C2_seen_at_landing_pad)
{
	TH_LOG("the vDSO enters the kernel by %s", self->landing.by);
	EXPECT_LE(self->vdso.base, self->landing.ip);
	EXPECT_GT(self->vdso.base + self->vdso.size, self->landing.ip);

	sud_unblock = &sud_selector;
	ASSERT_EQ(0, arm_nothing_exempt());
	EXPECT_EQ(IA32_GETPID, blocked_call(IA32_GETPID));
	ASSERT_EQ(1, sud_count);
	EXPECT_EQ((void *)self->landing.ip, sud_log[0].info.si_call_addr);
	EXPECT_EQ(self->landing.ip,
		  (unsigned long)SUD_REG_IP(&sud_log[0].uc));
}

TEST_F(landing, C2_vdso_exempt)
{
	ASSERT_EQ(0, sud_arm(SUD_EXCL, self->vdso.base, self->vdso.size,
			     &sud_selector));
	EXPECT_EQ(getpid(), blocked_call(IA32_GETPID));
	EXPECT_EQ(0, sud_count);
	/* Other code is not exempt, at any address. */
	sud_selector = SUD_BLOCK;
	EXPECT_EQ(1, sud_probe());
	sud_selector = SUD_ALLOW;
	EXPECT_EQ(0, sud_probe());
}

TEST_F(landing, C2_only_vdso_dispatched)
{
	int probe;

	SUD_REQUIRE_INCLUSIVE();
	sud_unblock = &sud_selector;
	ASSERT_EQ(0, sud_arm(SUD_INCL, self->vdso.base, self->vdso.size,
			     &sud_selector));
	EXPECT_EQ(IA32_GETPID, blocked_call(IA32_GETPID));
	EXPECT_EQ(1, sud_count);
	sud_selector = SUD_BLOCK;
	probe = sud_probe();
	sud_selector = SUD_ALLOW;
	EXPECT_EQ(0, probe);
	EXPECT_EQ(1, sud_count);
	EXPECT_EQ(getpid(), call(IA32_GETPID, 0, 0, 0, 0, 0, 0));
	EXPECT_EQ(1, sud_count);
}

#endif

TEST_HARNESS_MAIN
