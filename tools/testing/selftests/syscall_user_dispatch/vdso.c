// SPDX-License-Identifier: GPL-2.0
/*
 * What the kernel itself maps into the program, and the return from signal
 * handlers: rules V1 and V2, for 64-bit processes.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <sys/auxv.h>
#include <sys/time.h>
#include <time.h>

#include "sud.h"

#include "../kselftest_harness.h"

FIXTURE(vdso)
{
	int unused;
};

FIXTURE_SETUP(vdso)
{
	SUD_REQUIRE_SETUP();
	ASSERT_TRUE(sud_setup());
}

FIXTURE_TEARDOWN(vdso)
{
}

/* ---- V1: sigreturn ---- */

#ifndef SA_RESTORER
#define SA_RESTORER 0x04000000
#endif

/* The kernel's struct sigaction. */
struct ksigaction {
	void *handler;
	unsigned long flags;
	void *restorer;
	unsigned long mask;
};

static long raw_sigaction(int sig, struct ksigaction *new,
			  struct ksigaction *old)
{
	return syscall(SYS_rt_sigaction, sig, new, old, sizeof(new->mask));
}

/*
 * rt_sigreturn() as any C library has it: number into the register, system
 * call. Copied onto the foreign page, it is not exempt.
 */
extern const char restorer_template[] __attribute__((visibility("hidden")));
extern const char restorer_ip[] __attribute__((visibility("hidden")));
__asm__(".pushsection .text\n"
	"restorer_template:\n"
	"	mov	$15, %eax\n"
	"	syscall\n"
	"restorer_ip:\n"
	".popsection\n");

#define RESTORER	(SUD_FOREIGN + 0x800)
#define RESTORER_IP	(RESTORER + (restorer_ip - restorer_template))

static bool restorer_map(void)
{
	if (mprotect((void *)SUD_FOREIGN, 4096, PROT_READ | PROT_WRITE))
		return false;
	memcpy((void *)RESTORER, restorer_template,
	       restorer_ip - restorer_template);
	return !mprotect((void *)SUD_FOREIGN, 4096, PROT_READ | PROT_EXEC);
}

static volatile unsigned int usr1_count;

static void usr1_handler(int sig)
{
	usr1_count++;
	sud_selector = SUD_BLOCK;
}

/* The C library's restorer is native code, and thus exempt, as a rule. */
TEST_F(vdso, V1_exempt_sigreturn_runs)
{
	signal(SIGUSR1, usr1_handler);
	ASSERT_EQ(0, sud_arm_native(&sud_selector));
	raise(SIGUSR1);
	/* Back from the handler, under BLOCK. */
	EXPECT_EQ(0, sud_count);
	EXPECT_EQ(SUD_BLOCK, sud_selector);
	EXPECT_EQ(1, usr1_count);
	/* And from the one of SIGSYS. */
	EXPECT_EQ(1, sud_probe());
	EXPECT_EQ(1, sud_count);
}

TEST_F(vdso, V1_sigreturn_not_exempt_is_dispatched)
{
	struct ksigaction act = {
		.handler = usr1_handler,
		.flags = SA_RESTORER,
		.restorer = (void *)RESTORER,
	};

	ASSERT_TRUE(restorer_map());
	ASSERT_EQ(0, raw_sigaction(SIGUSR1, &act, NULL));
	sud_hook = sud_hook_rerun;
	ASSERT_EQ(0, sud_arm_native(&sud_selector));
	ASSERT_EQ(0, raise(SIGUSR1));
	EXPECT_EQ(SUD_ALLOW, sud_selector);
	EXPECT_EQ(1, usr1_count);
	ASSERT_EQ(1, sud_count);
	EXPECT_EQ(SYS_rt_sigreturn, sud_log[0].info.si_syscall);
	EXPECT_EQ((void *)RESTORER_IP, sud_log[0].info.si_call_addr);
	EXPECT_EQ(SUD_AUDIT_ARCH, sud_log[0].info.si_arch);

	/* At ALLOW it runs, wherever it is. */
	act.handler = sud_handler;
	act.flags |= SA_SIGINFO;
	ASSERT_EQ(0, raw_sigaction(SIGUSR1, &act, NULL));
	sud_reset();
	ASSERT_EQ(0, raise(SIGUSR1));
	ASSERT_EQ(1, sud_count);
	EXPECT_EQ(SIGUSR1, sud_log[0].info.si_signo);
}

/* Where the library's restorer makes its call; 0 if it looks unfamiliar. */
static unsigned long library_restorer_ip(void)
{
	struct ksigaction act;
	const uint8_t *p;
	int i;

	if (raw_sigaction(SIGSYS, NULL, &act) || !(act.flags & SA_RESTORER))
		return 0;
	p = act.restorer;
	for (i = 0; i < 16; i++) {
		if (p[i] == 0x0f && p[i + 1] == 0x05)
			return (unsigned long)p + i + 2;
	}
	return 0;
}

/* Nothing else is exempt but that one instruction. */
TEST_F(vdso, V1_restorer_alone_exempt)
{
	unsigned long ip = library_restorer_ip();
	long ret;

	ASSERT_NE(0, ip);
	ASSERT_EQ(0, sud_arm(SUD_EXCL, ip, 1, &sud_selector));
	sud_selector = SUD_BLOCK;
	ret = sud_foreign_call(SYS_getpid, 0, 0, 0, 0, 0, 0);
	sud_selector = SUD_ALLOW;
	ASSERT_EQ(0, sud_off());
	EXPECT_EQ(SYS_getpid, ret);
	EXPECT_EQ(1, sud_count);
}

static void hook_rerun_sigreturn(siginfo_t *info, ucontext_t *uc)
{
	if (info->si_syscall == SYS_rt_sigreturn)
		sud_hook_rerun(info, uc);
}

/* Nothing is exempt: the return from the handler is dispatched in turn. */
TEST_F(vdso, V1_nothing_exempt_nests)
{
	unsigned long ip = library_restorer_ip();
	long ret;

	ASSERT_NE(0, ip);
	ASSERT_EQ(0, sud_handle(SA_NODEFER));
	sud_hook = hook_rerun_sigreturn;
	ASSERT_EQ(0, sud_arm(SUD_EXCL, 0, 0, &sud_selector));
	sud_selector = SUD_BLOCK;
	ret = sud_foreign_call(SYS_getpid, 0, 0, 0, 0, 0, 0);
	sud_selector = SUD_ALLOW;
	ASSERT_EQ(0, sud_off());
	EXPECT_EQ(SYS_getpid, ret);
	ASSERT_EQ(2, sud_count);
	EXPECT_EQ(SYS_getpid, sud_log[0].info.si_syscall);
	EXPECT_EQ(SYS_rt_sigreturn, sud_log[1].info.si_syscall);
	EXPECT_EQ((void *)ip, sud_log[1].info.si_call_addr);
}

static int child_nothing_exempt(void *arg)
{
	if (sud_arm(SUD_EXCL, 0, 0, &sud_selector))
		return 2;
	sud_selector = SUD_BLOCK;
	sud_foreign_call(SYS_getpid, 0, 0, 0, 0, 0, 0);
	sud_selector = SUD_ALLOW;
	return 3;
}

TEST_F(vdso, V1_nothing_exempt_kills)
{
	int status = sud_run_child(child_nothing_exempt, NULL);

	EXPECT_TRUE(sud_killed(status, SIGSYS)) {
		TH_LOG("status %#x", status);
	}
}

/* ---- V2: the vsyscall page and the vDSO ---- */

#define VSYSCALL_GETTIMEOFDAY	0xffffffffff600000UL
#define VSYSCALL_TIME		0xffffffffff600400UL
#define VSYSCALL_GETCPU		0xffffffffff600800UL

/* Is there such a mapping, and where does it end? */
static unsigned long find_mapping(const char *name, unsigned long *start)
{
	unsigned long from, to, end = 0;
	char line[512];
	FILE *maps = fopen("/proc/self/maps", "re");

	if (!maps)
		return 0;
	while (fgets(line, sizeof(line), maps)) {
		if (strstr(line, name) &&
		    sscanf(line, "%lx-%lx", &from, &to) == 2) {
			*start = from;
			end = to;
		}
	}
	fclose(maps);
	return end;
}

static volatile long called;

/* With nothing exempt, and BLOCK around just this call. */
static int child_vsyscall(void *arg)
{
	unsigned long which = (unsigned long)arg;
	struct timeval tv = { };
	unsigned int cpu = -1U;
	time_t t = -1;

	sud_unblock = &sud_selector;
	if (sud_arm(SUD_EXCL, 0, 0, &sud_selector))
		return 2;
	sud_selector = SUD_BLOCK;
	switch (which) {
	case VSYSCALL_GETTIMEOFDAY:
		called = ((long (*)(void *, void *))which)(&tv, NULL);
		break;
	case VSYSCALL_TIME:
		called = ((long (*)(void *))which)(&t);
		break;
	default:
		called = ((long (*)(void *, void *, void *))which)(&cpu, NULL,
								    NULL);
		break;
	}
	sud_selector = SUD_ALLOW;
	if (sud_count)
		return 4;
	/* It is armed indeed. */
	sud_selector = SUD_BLOCK;
	if (sud_probe() != 1)
		return 8;
	sud_selector = SUD_ALLOW;
	if (sud_off())
		return 3;
	/* It did what it should. */
	if (which == VSYSCALL_GETTIMEOFDAY)
		return called == 0 && tv.tv_sec > 1000000000 ? 0 : 5;
	if (which == VSYSCALL_TIME)
		return called == t && t > 1000000000 ? 0 : 6;
	return called == 0 && cpu != -1U ? 0 : 7;
}

TEST_F(vdso, V2_vsyscall_is_not_dispatched)
{
	static const unsigned long calls[] = {
		VSYSCALL_GETTIMEOFDAY, VSYSCALL_TIME, VSYSCALL_GETCPU,
	};
	unsigned long start;
	unsigned int i;
	int status;

	for (i = 0; i < ARRAY_SIZE(calls); i++) {
		status = sud_run_child(child_vsyscall, (void *)calls[i]);
		if (find_mapping("[vsyscall]", &start)) {
			EXPECT_TRUE(sud_exited(status, 0)) {
				TH_LOG("call %u: status %#x", i, status);
			}
		} else {
			/* Without the page it is a wild jump, no more. */
			EXPECT_TRUE(sud_killed(status, SIGSEGV)) {
				TH_LOG("call %u: status %#x", i, status);
			}
		}
	}
}

static void hook_zero(siginfo_t *info, ucontext_t *uc)
{
	SUD_REG_RET(uc) = 0;
}

/*
 * No vDSO knows the processor time of a thread: it falls back to the system
 * call, from an address of its own.
 */
TEST_F(vdso, V2_fallback_is_dispatched)
{
	unsigned long start, end, addr;
	struct timespec ts = { -1, -1 };
	int ret;

	end = find_mapping("[vdso]", &start);
	ASSERT_LT(0, end);
	EXPECT_EQ(getauxval(AT_SYSINFO_EHDR), start);
	/* The first call resolves the symbol. */
	ASSERT_EQ(0, clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts));
	ts.tv_sec = -1;

	sud_hook = hook_zero;
	sud_unblock = &sud_selector;
	ASSERT_EQ(0, sud_arm(SUD_EXCL, 0, 0, &sud_selector));
	sud_selector = SUD_BLOCK;
	ret = clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	sud_selector = SUD_ALLOW;
	ASSERT_EQ(0, sud_off());

	ASSERT_EQ(1, sud_count);
	EXPECT_EQ(0, ret);
	EXPECT_EQ(-1, ts.tv_sec);
	EXPECT_EQ(SYS_clock_gettime, sud_log[0].info.si_syscall);
	EXPECT_EQ(SUD_AUDIT_ARCH, sud_log[0].info.si_arch);
	addr = (unsigned long)sud_log[0].info.si_call_addr;
	EXPECT_LE(start, addr);
	EXPECT_GT(end, addr);
}

TEST_F(vdso, V2_exempt_fallback_runs)
{
	struct timespec ts = { -1, -1 };
	unsigned long start, end;
	int ret;

	end = find_mapping("[vdso]", &start);
	ASSERT_LT(0, end);
	ASSERT_EQ(0, clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts));
	ts.tv_sec = -1;

	sud_unblock = &sud_selector;
	ASSERT_EQ(0, sud_arm(SUD_EXCL, start, end - start, &sud_selector));
	sud_selector = SUD_BLOCK;
	ret = clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	sud_selector = SUD_ALLOW;
	EXPECT_EQ(0, sud_count);
	EXPECT_EQ(0, ret);
	EXPECT_LE(0, ts.tv_sec);

	/* It is armed indeed. */
	sud_selector = SUD_BLOCK;
	ret = sud_probe();
	sud_selector = SUD_ALLOW;
	ASSERT_EQ(0, sud_off());
	EXPECT_EQ(1, ret);
}

TEST_HARNESS_MAIN
