// SPDX-License-Identifier: GPL-2.0
/*
 * The kernel's own mappings in the program, and the return from signal
 * handlers: rules V1 and V2.
 */
#define _GNU_SOURCE
#include <time.h>
#include <unwind.h>

#include "sud_seccomp.h"
#include "sud_uffd.h"
#include "sud_vdso.h"

#include "sud_harness.h"

/* The results of children. */
struct shared {
	volatile int done;
	volatile int steps;
};

static struct shared *shared;

FIXTURE(vdso)
{
	struct sud_vdso vdso;
};

FIXTURE_SETUP(vdso)
{
	SUD_REQUIRE_SETUP();
	ASSERT_TRUE(sud_setup());
	if (!sud_vdso_find(&self->vdso))
		SUD_SKIP_SETUP("no vDSO in this kernel");
	shared = sud_share(sizeof(*shared));
	ASSERT_NE(NULL, shared);
}

FIXTURE_TEARDOWN(vdso)
{
}

/* ---- V1: a sigreturn that is not the vDSO's ---- */

#define RESTORER	(SUD_FOREIGN + 0x800)
#define RESTORER_IP	(RESTORER + (sud_restorer_end - sud_restorer))

static volatile unsigned int usr1_count;

static void usr1_handler(int sig)
{
	usr1_count++;
	sud_selector = SUD_BLOCK;
}

/* The restorer is native code, and is thus exempt by default. */
TEST_F(vdso, V1_exempt_sigreturn_runs)
{
	signal(SIGUSR1, usr1_handler);
	ASSERT_EQ(0, sud_arm_native(&sud_selector));
	raise(SIGUSR1);
	/* The handler has returned under BLOCK. */
	EXPECT_EQ(0, sud_count);
	EXPECT_EQ(SUD_BLOCK, sud_selector);
	EXPECT_EQ(1, usr1_count);
	/* The handler of SIGSYS has returned, too. */
	EXPECT_EQ(1, sud_probe());
	EXPECT_EQ(1, sud_count);
}

TEST_F(vdso, V1_sigreturn_not_exempt_is_dispatched)
{
	struct sud_ksigaction act = {
		.handler = usr1_handler,
		.flags = SA_SIGINFO | SA_RESTORER,
		.restorer = (void *)RESTORER,
	};

	ASSERT_TRUE(sud_foreign_add(RESTORER, sud_restorer, sud_restorer_end));
	ASSERT_EQ(0, sud_sigaction(SIGUSR1, &act, NULL));
	sud_hook = sud_hook_rerun;
	ASSERT_EQ(0, sud_arm_native(&sud_selector));
	ASSERT_EQ(0, raise(SIGUSR1));
	EXPECT_EQ(SUD_ALLOW, sud_selector);
	EXPECT_EQ(1, usr1_count);
	ASSERT_EQ(1, sud_count);
	EXPECT_EQ(SYS_rt_sigreturn, sud_log[0].info.si_syscall);
	EXPECT_EQ((void *)RESTORER_IP, sud_log[0].info.si_call_addr);
	EXPECT_EQ(SUD_AUDIT_ARCH, sud_log[0].info.si_arch);

	/* At ALLOW it runs at any address. */
	act.handler = sud_handler;
	ASSERT_EQ(0, sud_sigaction(SIGUSR1, &act, NULL));
	sud_reset();
	ASSERT_EQ(0, raise(SIGUSR1));
	ASSERT_EQ(1, sud_count);
	EXPECT_EQ(SIGUSR1, sud_log[0].info.si_signo);
}

/* The kernel's own symbols are not exported to programs. */
TEST_F(vdso, V1_landing_pads_are_not_exported)
{
	unsigned long value;
	unsigned int i;

	EXPECT_NE(0, sud_vdso_sym(&self->vdso, SUD_VDSO_CLOCK_GETTIME));
	for (i = 0; i < self->vdso.count; i++) {
		const char *name = sud_vdso_name(&self->vdso, i, &value);

		EXPECT_EQ(NULL, strstr(name, "landing_pad")) {
			TH_LOG("%s", name);
		}
	}
}

#ifdef __x86_64__

/* The address of the system call in the C library's restorer. */
static unsigned long library_restorer_ip(void)
{
	struct sud_ksigaction act;

	if (sud_sigaction(SIGSYS, NULL, &act) || !(act.flags & SA_RESTORER))
		return 0;
	return sud_after_insn((unsigned long)act.restorer, SUD_INSN_SYSCALL);
}

/* Only that one instruction is exempt. */
TEST_F(vdso, V1_restorer_alone_exempt)
{
	unsigned long ip = library_restorer_ip();
	sud_word ret;

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

/* Nothing is exempt: the return from the handler is dispatched, too. */
TEST_F(vdso, V1_nothing_exempt_nests)
{
	unsigned long ip = library_restorer_ip();
	sud_word ret;

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

/* The 32-bit getpid(), by a function of int $0x80 and a return. */
static int ia32_getpid_at(const uint8_t *func)
{
	int ret;

	asm volatile("lea	-128(%%rsp), %%rsp\n\t"
		     "call	*%1\n\t"
		     "lea	128(%%rsp), %%rsp"
		     : "=a" (ret)
		     : "r" ((sud_uword)(unsigned long)func),
		       "0" (SUD_IA32_GETPID)
		     : "r8", "r9", "r10", "r11", "memory");
	return ret;
}

/* Our own code in the vDSO's place, with the call at each offset in turn. */
static int child_all_over_the_vdso(void *arg)
{
	static const uint8_t insns[] = { 0xcd, 0x80, 0xc3 };
	const struct sud_vdso *vdso = arg;
	uint8_t *code = mmap((void *)vdso->base, vdso->size,
			     PROT_READ | PROT_WRITE | PROT_EXEC,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	size_t i;
	int ret;

	sud_unblock = &sud_selector;
	if (code != (void *)vdso->base ||
	    sud_arm(SUD_EXCL, 0, 0, &sud_selector))
		return 2;
	for (i = 0; i + sizeof(insns) <= vdso->size; i++) {
		memcpy(code + i, insns, sizeof(insns));
		sud_selector = SUD_BLOCK;
		ret = ia32_getpid_at(code + i);
		sud_selector = SUD_ALLOW;
		shared->steps = i;
		if (ret != SUD_IA32_GETPID || sud_count != i + 1)
			return 3;
	}
	return 0;
}

/*
 * The 32-bit vDSO has two exempt places. This program's vDSO has none, not
 * even for 32-bit calls from the same offsets.
 */
TEST_F(vdso, V1_only_the_32bit_vdso_has_exempt_places)
{
	int status;

	if (!sud_has_int80())
		SKIP(return, "no 32-bit system calls in this kernel");
	status = sud_run_child(child_all_over_the_vdso, &self->vdso);
	EXPECT_TRUE(sud_exited(status, 0)) {
		TH_LOG("status %#x at offset %#x", status, shared->steps);
	}
}

#else /* __x86_64__ */

/* ---- V1: the 32-bit vDSO's sigreturn ---- */

/*
 * Handlers without a restorer: the kernel makes them return into the vDSO.
 * Only the foreign page is exempt here, and makes all calls that must run. All
 * other calls are dispatched, the C library's in particular.
 */
FIXTURE(trampoline)
{
	struct sud_vdso vdso;
};

/*
 * @flags:	of the handlers, beside none
 * @name:	the function in the vDSO that the kernel makes them return to
 * @nr:		the system call in there
 */
FIXTURE_VARIANT(trampoline)
{
	unsigned long flags;
	const char *name;
	long nr;
};

FIXTURE_VARIANT_ADD(trampoline, sigreturn)
{
	.name = "__kernel_sigreturn",
	.nr = SYS_sigreturn,
};

FIXTURE_VARIANT_ADD(trampoline, rt_sigreturn)
{
	.flags = SA_SIGINFO,
	.name = "__kernel_rt_sigreturn",
	.nr = SYS_rt_sigreturn,
};

/* Written by the handlers. */
static volatile unsigned int handled[_NSIG];
static void *volatile returns_to;
static volatile uint8_t *volatile block_in_handler;

static void note_handler(int sig)
{
	handled[sig]++;
	returns_to = __builtin_return_address(0);
	if (block_in_handler)
		*block_in_handler = SUD_BLOCK;
}

static bool handle(int sig, unsigned long flags, unsigned long restorer,
		   void *handler)
{
	struct sud_ksigaction act = {
		.handler = handler,
		.flags = flags | (restorer ? SA_RESTORER : 0),
		.restorer = (void *)restorer,
	};

	handled[sig] = 0;
	return sud_sigaction(sig, &act, NULL) == 0;
}

FIXTURE_SETUP(trampoline)
{
	SUD_REQUIRE_SETUP();
	ASSERT_TRUE(sud_setup());
	if (!sud_vdso_find(&self->vdso))
		SUD_SKIP_SETUP("no vDSO in this kernel");
	shared = sud_share(sizeof(*shared));
	ASSERT_NE(NULL, shared);
	ASSERT_TRUE(handle(SIGUSR1, variant->flags, 0, note_handler));
	ASSERT_TRUE(handle(SIGSYS, variant->flags, 0, note_handler));
}

FIXTURE_TEARDOWN(trampoline)
{
}

/* Raise a signal by the foreign page. */
static long raise_usr1(void)
{
	long pid = sud_foreign_call(SYS_getpid, 0, 0, 0, 0, 0, 0);

	return sud_foreign_call(SYS_kill, pid, SIGUSR1, 0, 0, 0, 0);
}

static void foreign_exit(int status)
{
	sud_foreign_call(SYS_exit_group, status, 0, 0, 0, 0, 0);
}

static long foreign_arm(unsigned long selector)
{
	return sud_foreign_call(SYS_prctl, PR_SET_SYSCALL_USER_DISPATCH,
				SUD_EXCL, SUD_FOREIGN, 4096, selector, 0);
}

enum selector { SEL_BLOCK, SEL_NULL, SEL_2, SEL_255, SEL_UNMAPPED, SEL_NONE };

static const struct {
	const char *name;
	/* the signal with which the next call that is not exempt kills, or 0 */
	int deadly;
} selectors[] = {
	[SEL_BLOCK]	= { "BLOCK" },
	[SEL_NULL]	= { "NULL" },
	[SEL_2]		= { "2", SIGSYS },
	[SEL_255]	= { "255", SIGSYS },
	[SEL_UNMAPPED]	= { "unmapped", SIGSEGV },
	[SEL_NONE]	= { "PROT_NONE", SIGSEGV },
};

/* Prepare a selector. Return: its address, or -1. */
static unsigned long make_selector(enum selector which)
{
	volatile uint8_t *page;

	if (which == SEL_NULL)
		return 0;
	if (which == SEL_UNMAPPED)
		return SUD_NATIVE - 4096;
	page = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED)
		return -1;
	switch (which) {
	case SEL_2:
		*page = 2;
		break;
	case SEL_255:
		*page = 255;
		break;
	case SEL_NONE:
		if (mprotect((void *)page, 4096, PROT_NONE))
			return -1;
		break;
	default:
		*page = SUD_BLOCK;
		break;
	}
	return (unsigned long)page;
}

struct parts {
	unsigned long start[8];
	size_t size[8];
	unsigned int count;
	unsigned long from;
	unsigned long to;
};

/* The vDSO and its data pages, which are adjacent. */
static bool find_parts(struct parts *parts)
{
	static const char *const names[] = {
		"[vvar]", "[vvar_vclock]", "[vdso]",
	};
	unsigned int i, n = 0;
	size_t size;

	parts->from = -1UL;
	parts->to = 0;
	for (i = 0; i < ARRAY_SIZE(names); i++) {
		size = sud_mapping(names[i], &parts->start[n]);
		if (!size)
			continue;
		parts->size[n] = size;
		if (parts->start[n] < parts->from)
			parts->from = parts->start[n];
		if (parts->start[n] + size > parts->to)
			parts->to = parts->start[n] + size;
		n++;
	}
	parts->count = n;
	return n && parts->to - parts->from < 0x100000;
}

/*
 * Move the vDSO. From then on the C library can make no system calls, because
 * it makes them through the vDSO's old place.
 */
static bool move_vdso(struct sud_vdso *vdso)
{
	struct parts parts;
	unsigned long to;
	unsigned int i;
	long ret;

	if (!find_parts(&parts))
		return false;
	to = (unsigned long)mmap(NULL, parts.to - parts.from, PROT_NONE,
				 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (to == -1UL)
		return false;
	for (i = 0; i < parts.count; i++) {
		unsigned long dest = to + parts.start[i] - parts.from;

		ret = sud_foreign_call(SYS_mremap, parts.start[i],
				       parts.size[i], parts.size[i],
				       MREMAP_MAYMOVE | MREMAP_FIXED, dest, 0);
		if (ret != dest)
			foreign_exit(40 + i);
	}
	vdso->base += to - parts.from;
	return true;
}

/* Arguments of the children. */
struct child {
	struct sud_vdso *vdso;
	const char *name;
	long nr;
	enum selector which;
	bool moved;
};

/*
 * Return from a handler, with any selector. After that, another call in the
 * vDSO shows that the selector is in force.
 */
static int child_trampoline(void *arg)
{
	struct child *c = arg;
	unsigned long selector = make_selector(c->which);
	unsigned long vsyscall, trampoline;

	if (selector == -1UL)
		return 2;
	if (c->moved && !move_vdso(c->vdso))
		return 3;
	vsyscall = sud_vdso_sym(c->vdso, "__kernel_vsyscall");
	trampoline = sud_vdso_sym(c->vdso, c->name);
	if (!vsyscall || !trampoline)
		foreign_exit(4);
	if (foreign_arm(selector))
		foreign_exit(5);

	if (raise_usr1())
		foreign_exit(6);
	if (handled[SIGUSR1] != 1 || handled[SIGSYS])
		foreign_exit(7);
	if (returns_to != (void *)trampoline)
		foreign_exit(8);
	shared->done = 1;

	/*
	 * This call is dispatched, except for the return from its handler, or
	 * is deadly. No number makes a sigreturn of it.
	 */
	if (sud_kernel_vsyscall(vsyscall, SYS_getpid) != SYS_getpid)
		foreign_exit(9);
	if (handled[SIGSYS] != 1)
		foreign_exit(10);
	if (returns_to != (void *)trampoline)
		foreign_exit(11);
	if (sud_kernel_vsyscall(vsyscall, c->nr) != c->nr)
		foreign_exit(12);
	if (handled[SIGSYS] != 2)
		foreign_exit(13);
	foreign_exit(0);
	return 14;
}

static void returns_whatever(struct __test_metadata *_metadata,
			     struct child *c)
{
	unsigned int i;
	int status;

	for (i = 0; i < ARRAY_SIZE(selectors); i++) {
		c->which = i;
		shared->done = 0;
		status = sud_run_child(child_trampoline, c);
		EXPECT_EQ(1, shared->done);
		if (selectors[i].deadly) {
			EXPECT_TRUE(sud_killed(status, selectors[i].deadly)) {
				TH_LOG("selector %s: status %#x",
				       selectors[i].name, status);
			}
		} else {
			EXPECT_TRUE(sud_exited(status, 0)) {
				TH_LOG("selector %s: status %#x",
				       selectors[i].name, status);
			}
		}
	}
}

TEST_F(trampoline, V1_vdso_sigreturn_runs_whatever_the_selector)
{
	struct child c = {
		.vdso = &self->vdso,
		.name = variant->name,
		.nr = variant->nr,
	};

	returns_whatever(_metadata, &c);
}

TEST_F(trampoline, V1_moved_vdso_sigreturn_runs_whatever_the_selector)
{
	struct child c = {
		.vdso = &self->vdso,
		.name = variant->name,
		.nr = variant->nr,
		.moved = true,
	};

	returns_whatever(_metadata, &c);
}

/* Is that page resident? Exits if the kernel does not tell. */
static bool is_resident(unsigned long page)
{
	unsigned char core = 0xff;

	if (sud_foreign_call(SYS_mincore, page, 4096, (long)&core, 0, 0, 0))
		foreign_exit(20);
	return core & 1;
}

/* Return from a handler by the vDSO. Exits if it was another return. */
static void return_by_vdso(struct child *c)
{
	if (raise_usr1() || handled[SIGUSR1] != 1 || handled[SIGSYS])
		foreign_exit(21);
	if (returns_to != (void *)sud_vdso_sym(c->vdso, c->name))
		foreign_exit(22);
}

/* The page of zeros says ALLOW, and is present after the first read. */
static int child_untouched(void *arg)
{
	struct child *c = arg;
	unsigned long page, vsyscall;
	long pid = getpid();

	page = (unsigned long)mmap(NULL, 4096, PROT_READ,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (page == -1UL)
		return 2;
	if (c->moved && !move_vdso(c->vdso))
		return 3;
	vsyscall = sud_vdso_sym(c->vdso, "__kernel_vsyscall");
	if (!vsyscall || foreign_arm(page))
		foreign_exit(4);

	return_by_vdso(c);
	if (is_resident(page))
		foreign_exit(5);
	/* Proves that a read would be seen. */
	if (sud_kernel_vsyscall(vsyscall, SYS_getpid) != pid)
		foreign_exit(6);
	if (!is_resident(page))
		foreign_exit(7);
	foreign_exit(0);
	return 8;
}

TEST_F(trampoline, V1_selector_of_vdso_sigreturn_is_not_read)
{
	struct child c = { .vdso = &self->vdso, .name = variant->name };
	int status, i;

	for (i = 0; i < 2; i++) {
		c.moved = i;
		status = sud_run_child(child_untouched, &c);
		EXPECT_TRUE(sud_exited(status, 0)) {
			TH_LOG("status %#x, 0x500: the selector was read",
			       status);
		}
	}
}

/* Nothing fills the page: the first read of it ends the process. */
static void end_process(void *arg)
{
	_exit(shared->done ? 0 : 5);
}

static int child_watched(void *arg)
{
	struct sud_uffd u = { .meanwhile = end_process };
	struct child *c = arg;
	unsigned long vsyscall;

	vsyscall = sud_vdso_sym(c->vdso, "__kernel_vsyscall");
	if (sud_uffd_open(&u) || sud_uffd_start(&u))
		return 2;
	if (foreign_arm((unsigned long)u.page))
		return 4;
	return_by_vdso(c);
	shared->done = 1;
	/* The selector is read for this call. */
	sud_kernel_vsyscall(vsyscall, SYS_getpid);
	foreign_exit(6);
	return 7;
}

TEST_F(trampoline, V1_vdso_sigreturn_does_not_sleep)
{
	struct child c = { .vdso = &self->vdso, .name = variant->name };
	struct sud_uffd u = {};
	int status, err;

	err = sud_uffd_open(&u);
	if (err)
		SKIP(return, "userfaultfd: %s", strerror(-err));
	status = sud_run_child(child_watched, &c);
	EXPECT_TRUE(sud_exited(status, 0)) {
		TH_LOG("status %#x, 0x500: it slept in the read of the selector",
		       status);
	}
}

/* Nothing is exempt, and the handler switches to BLOCK. */
TEST_F(trampoline, V1_vdso_sigreturn_runs_with_nothing_exempt)
{
	unsigned int dispatched;
	uint8_t selector;
	long ret;

	ASSERT_EQ(0, sud_arm(SUD_EXCL, 0, 0, &sud_selector));
	block_in_handler = &sud_selector;
	ret = raise_usr1();
	block_in_handler = NULL;
	/* BLOCK is in force here. */
	dispatched = handled[SIGSYS];
	selector = sud_selector;
	sud_foreign_call(SYS_getpid, 0, 0, 0, 0, 0, 0);
	sud_selector = SUD_ALLOW;
	ASSERT_EQ(0, sud_off());
	EXPECT_EQ(0, ret);
	EXPECT_EQ(SUD_BLOCK, selector);
	EXPECT_EQ(1, handled[SIGUSR1]);
	EXPECT_EQ(0, dispatched);
	/* The handler of that dispatch has returned under BLOCK, too. */
	EXPECT_EQ(1, handled[SIGSYS]);
	EXPECT_EQ((void *)sud_vdso_sym(&self->vdso, variant->name), returns_to);
}

/* With the vDSO as the region of INCLUSIVE, it still runs. */
TEST_F(trampoline, V1_vdso_in_inclusive_region)
{
	unsigned long vsyscall = sud_vdso_sym(&self->vdso, "__kernel_vsyscall");
	long ret, called;
	unsigned int usr1, sys;
	void *to;

	SUD_REQUIRE_INCLUSIVE();
	ASSERT_NE(0, vsyscall);
	ASSERT_EQ(0, sud_arm(SUD_INCL, self->vdso.base, self->vdso.size,
			     NULL));
	ret = raise_usr1();
	usr1 = handled[SIGUSR1];
	sys = handled[SIGSYS];
	to = returns_to;
	called = sud_kernel_vsyscall(vsyscall, SYS_getpid);
	sud_foreign_call(SYS_prctl, PR_SET_SYSCALL_USER_DISPATCH, SUD_OFF, 0,
			 0, 0, 0);
	EXPECT_EQ(0, ret);
	EXPECT_EQ(1, usr1);
	EXPECT_EQ(0, sys);
	EXPECT_EQ((void *)sud_vdso_sym(&self->vdso, variant->name), to);
	EXPECT_EQ(SYS_getpid, called);
	EXPECT_EQ(1, handled[SIGSYS]);
}

/* SIGSYS has a handler, so only the filter can kill. */
static int child_filtered(void *arg)
{
	struct child *c = arg;
	unsigned long selector = make_selector(SEL_BLOCK);

	if (selector == -1UL ||
	    sud_seccomp_nr(c->nr, SECCOMP_RET_KILL_PROCESS, 0))
		return 2;
	if (foreign_arm(selector))
		foreign_exit(3);
	shared->done = 1;
	raise_usr1();
	foreign_exit(4);
	return 5;
}

/* It runs at any selector, and observers see it like any call that runs. */
TEST_F(trampoline, V1_O2_O3_filter_sees_vdso_sigreturn)
{
	struct child c = {
		.nr = variant->nr,
	};
	int status;

	SUD_REQUIRE_FILTERS();
	status = sud_run_child(child_filtered, &c);
	EXPECT_EQ(1, shared->done);
	EXPECT_TRUE(sud_killed(status, SIGSYS)) {
		TH_LOG("status %#x", status);
	}
}

static void hook_note_and_rerun(siginfo_t *info, ucontext_t *uc)
{
	handled[SIGSYS]++;
	sud_hook_rerun(info, uc);
}

/* Return from SIGUSR1's handler by a copy of the vDSO at a given address. */
static void returns_by_copy(struct __test_metadata *_metadata,
			    const struct sud_vdso *copy, unsigned long func,
			    unsigned long flags, long nr)
{
	unsigned long ip = sud_after_insn(func, SUD_INSN_INT80);

	ASSERT_NE(0, ip);
	ASSERT_TRUE(handle(SIGUSR1, flags, func, note_handler));
	ASSERT_TRUE(handle(SIGSYS, SA_SIGINFO, 0, sud_handler));
	sud_hook = hook_note_and_rerun;
	ASSERT_EQ(0, sud_arm(SUD_EXCL, SUD_FOREIGN, 4096, &sud_selector));
	sud_selector = SUD_BLOCK;
	raise_usr1();
	/* The hook has set the selector to ALLOW. */
	ASSERT_EQ(0, sud_off());
	EXPECT_EQ(1, handled[SIGUSR1]);
	EXPECT_EQ((void *)func, returns_to);
	ASSERT_EQ(1, handled[SIGSYS]);
	EXPECT_EQ(nr, sud_log[0].info.si_syscall);
	EXPECT_EQ((void *)ip, sud_log[0].info.si_call_addr);
	EXPECT_TRUE(sud_in_vdso(copy, sud_log[0].info.si_call_addr));
}

/* Only the address counts, not the code at it. */
TEST_F(trampoline, V1_look_alike_is_dispatched)
{
	struct sud_vdso copy = self->vdso;
	void *p;

	p = mmap(NULL, copy.size, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, p);
	memcpy(p, (void *)copy.base, copy.size);
	ASSERT_EQ(0, mprotect(p, copy.size, PROT_READ | PROT_EXEC));
	copy.base = (unsigned long)p;
	returns_by_copy(_metadata, &copy, sud_vdso_sym(&copy, variant->name),
			variant->flags, variant->nr);
}

/* The vDSO's old address is not exempt, either. */
static int child_old_place(void *arg)
{
	struct child *c = arg;
	unsigned long old = c->vdso->base, func;
	size_t size = c->vdso->size;
	struct sud_ksigaction act = { };
	long ret;

	if (!move_vdso(c->vdso))
		return 2;
	ret = sud_foreign_call(SYS_mmap2, old, size, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	if (ret != old)
		foreign_exit(3);
	memcpy((void *)old, (void *)c->vdso->base, size);
	if (sud_foreign_call(SYS_mprotect, old, size, PROT_READ | PROT_EXEC,
			     0, 0, 0))
		foreign_exit(4);

	func = sud_vdso_sym(c->vdso, c->name) - c->vdso->base + old;
	act.handler = note_handler;
	act.flags = SA_RESTORER | (c->nr == SYS_rt_sigreturn ? SA_SIGINFO : 0);
	act.restorer = (void *)func;
	if (sud_foreign_call(SYS_rt_sigaction, SIGUSR1, (long)&act, 0,
			     SUD_SIGSET_SIZE, 0, 0))
		foreign_exit(5);
	act.handler = sud_handler;
	act.flags = SA_SIGINFO;
	if (sud_foreign_call(SYS_rt_sigaction, SIGSYS, (long)&act, 0,
			     SUD_SIGSET_SIZE, 0, 0))
		foreign_exit(6);
	sud_hook = hook_note_and_rerun;
	if (foreign_arm((unsigned long)&sud_selector))
		foreign_exit(7);
	sud_selector = SUD_BLOCK;
	raise_usr1();
	if (handled[SIGUSR1] != 1 || returns_to != (void *)func)
		foreign_exit(8);
	if (handled[SIGSYS] != 1)
		foreign_exit(9);
	if (sud_log[0].info.si_call_addr !=
	    (void *)sud_after_insn(func, SUD_INSN_INT80))
		foreign_exit(10);
	foreign_exit(0);
	return 11;
}

TEST_F(trampoline, V1_old_place_of_moved_vdso_is_dispatched)
{
	struct child c = {
		.vdso = &self->vdso,
		.name = variant->name,
		.nr = variant->nr,
	};
	int status = sud_run_child(child_old_place, &c);

	EXPECT_TRUE(sud_exited(status, 0)) {
		TH_LOG("status %#x", status);
	}
}

/* ---- V1: needs of debuggers and exceptions ---- */

/* From libgcc: the unwind table entry that covers an address. */
struct dwarf_eh_bases {
	void *tbase;
	void *dbase;
	void *func;
};

const void *_Unwind_Find_FDE(void *pc, struct dwarf_eh_bases *bases);

/* On some kernels the hints start one byte early, for older unwinders. */
TEST_F(trampoline, V1_unwind_hints_cover_the_function)
{
	unsigned long func = sud_vdso_sym(&self->vdso, variant->name);
	unsigned long ip = sud_after_insn(func, SUD_INSN_INT80);
	struct dwarf_eh_bases bases;
	unsigned long pc;

	ASSERT_NE(0, func);
	ASSERT_NE(0, ip);
	for (pc = func; pc < ip; pc++) {
		bases.func = NULL;
		EXPECT_NE(NULL, _Unwind_Find_FDE((void *)pc, &bases));
		EXPECT_LE(func - 1, (unsigned long)bases.func);
		EXPECT_GE(func, (unsigned long)bases.func);
	}
}

static struct {
	void *ip[64];
	int count;
} walked;

static _Unwind_Reason_Code walk(struct _Unwind_Context *context, void *arg)
{
	if (walked.count < ARRAY_SIZE(walked.ip))
		walked.ip[walked.count++] = (void *)_Unwind_GetIP(context);
	return _URC_NO_REASON;
}

static void walk_handler(int sig)
{
	returns_to = __builtin_return_address(0);
	_Unwind_Backtrace(walk, NULL);
}

static void *volatile interrupted_from;

static __attribute__((noinline)) void interrupted(void)
{
	interrupted_from = __builtin_return_address(0);
	raise(SIGUSR1);
	/* No tail call. */
	asm volatile("");
}

/* From a handler through the vDSO to the interrupted function. */
TEST_F(trampoline, V1_unwinds_through_the_trampoline)
{
	unsigned long func = sud_vdso_sym(&self->vdso, variant->name);
	bool trampoline = false, caller = false;
	int i;

	ASSERT_TRUE(handle(SIGUSR1, variant->flags, 0, walk_handler));
	interrupted();
	EXPECT_EQ((void *)func, returns_to);
	for (i = 0; i < walked.count; i++) {
		if (walked.ip[i] == (void *)func)
			trampoline = true;
		/* Below it on the stack. */
		if (walked.ip[i] == interrupted_from)
			caller = trampoline;
	}
	EXPECT_TRUE(trampoline);
	EXPECT_TRUE(caller);
}

#endif /* __x86_64__ */

/* ---- V2: the vsyscall page ---- */

#ifdef __x86_64__

static const struct {
	sud_uword where;
	const char *name;
} vsyscalls[] = {
	{ SUD_VSYSCALL_GETTIMEOFDAY,	"gettimeofday" },
	{ SUD_VSYSCALL_TIME,		"time" },
	{ SUD_VSYSCALL_GETCPU,		"getcpu" },
};

struct vsyscall {
	sud_uword where;
	/* arm with this selector, or not at all */
	volatile uint8_t *selector;
	bool armed;
};

/* Is the result correct? The kernel's types are those of 64 bits. */
static bool good_vsyscall(sud_uword where, sud_word ret, const int64_t *time,
			  unsigned int cpu)
{
	switch (where) {
	case SUD_VSYSCALL_GETTIMEOFDAY:
		return ret == 0 && time[0] > 1000000000;
	case SUD_VSYSCALL_TIME:
		return ret == time[0] && ret > 1000000000;
	default:
		return ret == 0 && cpu != -1U;
	}
}

/* Nothing is exempt. */
static int child_vsyscall(void *arg)
{
	const struct vsyscall *v = arg;
	int64_t time[2] = { -1, -1 };
	unsigned int cpu = -1U;
	sud_word ret;

	sud_unblock = &sud_selector;
	if (v->armed && sud_arm(SUD_EXCL, 0, 0, v->selector))
		return 2;
	sud_selector = SUD_BLOCK;
	if (v->where == SUD_VSYSCALL_GETCPU)
		ret = sud_vsyscall(v->where, &cpu, NULL);
	else
		ret = sud_vsyscall(v->where, time, NULL);
	if (!sud_count && good_vsyscall(v->where, ret, time, cpu))
		shared->done = 1;
	/*
	 * The thread is armed: this call is dispatched. Without a selector
	 * that the handler can set to ALLOW, its return is dispatched, too.
	 */
	sud_foreign_call(SYS_getpid, 0, 0, 0, 0, 0, 0);
	shared->steps = sud_count;
	sud_selector = SUD_ALLOW;
	return 0;
}

static int vsyscall_status(struct vsyscall *v)
{
	memset(shared, 0, sizeof(*shared));
	return sud_run_child(child_vsyscall, v);
}

TEST_F(vdso, V2_vsyscall_is_not_dispatched)
{
	struct vsyscall v;
	unsigned int i;
	bool works;
	int status;

	for (i = 0; i < ARRAY_SIZE(vsyscalls); i++) {
		memset(&v, 0, sizeof(v));
		v.where = vsyscalls[i].where;

		/*
		 * Without the page, the call is only a jump to a bad address.
		 */
		status = vsyscall_status(&v);
		works = sud_exited(status, 0);
		EXPECT_TRUE(works || sud_killed(status, SIGSEGV)) {
			TH_LOG("%s, off: status %#x", vsyscalls[i].name,
			       status);
		}
		EXPECT_EQ(works, shared->done);
		EXPECT_EQ(0, shared->steps);
#ifndef __ILP32__
		/*
		 * An x32 process has the page, but no entry for it in its
		 * maps.
		 */
		unsigned long start;

		EXPECT_EQ(works, sud_mapping("[vsyscall]", &start) != 0);
#endif

		/* With dispatch on, the result is the same. */
		v.armed = true;
		v.selector = &sud_selector;
		status = vsyscall_status(&v);
		EXPECT_EQ(works, shared->done);
		EXPECT_EQ(works, shared->steps);
		EXPECT_TRUE(works ? sud_exited(status, 0) :
				    sud_killed(status, SIGSEGV)) {
			TH_LOG("%s: status %#x", vsyscalls[i].name, status);
		}

		v.selector = NULL;
		status = vsyscall_status(&v);
		EXPECT_EQ(works, shared->done);
		EXPECT_TRUE(works ? sud_killed(status, SIGSYS) :
				    sud_killed(status, SIGSEGV)) {
			TH_LOG("%s, NULL selector: status %#x",
			       vsyscalls[i].name, status);
		}
	}
}

#endif /* __x86_64__ */

/* ---- V2: the vDSO's fallback ---- */

/*
 * No vDSO knows the processor time of a thread. It falls back to the system
 * call, at an address in the vDSO.
 */
struct timespec64 {
	int64_t sec;
	int64_t nsec;
};

typedef int clock_gettime_fn(clockid_t clock, struct timespec64 *ts);

static void hook_zero(siginfo_t *info, ucontext_t *uc)
{
	SUD_REG_RET(uc) = 0;
}

TEST_F(vdso, V2_fallback_is_dispatched)
{
	clock_gettime_fn *fn;
	struct timespec64 ts = { -1, -1 };
	int ret;

	fn = (void *)sud_vdso_sym(&self->vdso, SUD_VDSO_CLOCK_GETTIME);
	ASSERT_NE(NULL, fn);
	sud_hook = hook_zero;
	sud_unblock = &sud_selector;
	ASSERT_EQ(0, sud_arm(SUD_EXCL, 0, 0, &sud_selector));
	sud_selector = SUD_BLOCK;
	ret = fn(CLOCK_THREAD_CPUTIME_ID, &ts);
	sud_selector = SUD_ALLOW;
	ASSERT_EQ(0, sud_off());

	ASSERT_EQ(1, sud_count);
	EXPECT_EQ(0, ret);
	EXPECT_EQ(-1, ts.sec);
	EXPECT_EQ(SUD_VDSO_CLOCK_GETTIME_NR, sud_log[0].info.si_syscall);
	EXPECT_EQ(SUD_AUDIT_ARCH, sud_log[0].info.si_arch);
	EXPECT_TRUE(sud_in_vdso(&self->vdso, sud_log[0].info.si_call_addr));
#ifdef __i386__
	/* After its int $0x80, whichever instruction made the call. */
	EXPECT_EQ(sud_after_insn(sud_vdso_sym(&self->vdso, "__kernel_vsyscall"),
				 SUD_INSN_INT80),
		  (unsigned long)sud_log[0].info.si_call_addr);
#endif
}

TEST_F(vdso, V2_exempt_fallback_runs)
{
	clock_gettime_fn *fn;
	struct timespec64 ts = { -1, -1 };
	int ret;

	fn = (void *)sud_vdso_sym(&self->vdso, SUD_VDSO_CLOCK_GETTIME);
	ASSERT_NE(NULL, fn);
	sud_unblock = &sud_selector;
	ASSERT_EQ(0, sud_arm(SUD_EXCL, self->vdso.base, self->vdso.size,
			     &sud_selector));
	sud_selector = SUD_BLOCK;
	ret = fn(CLOCK_THREAD_CPUTIME_ID, &ts);
	sud_selector = SUD_ALLOW;
	EXPECT_EQ(0, sud_count);
	EXPECT_EQ(0, ret);
	EXPECT_LE(0, ts.sec);

	/* The thread is armed. */
	sud_selector = SUD_BLOCK;
	ret = sud_probe();
	sud_selector = SUD_ALLOW;
	ASSERT_EQ(0, sud_off());
	EXPECT_EQ(1, ret);
}

/* An answer of the vDSO itself is no system call. */
TEST_F(vdso, V2_answer_without_a_call_is_not_dispatched)
{
	long (*fn)(void *t);
	unsigned int count;
	long ret;

	fn = (void *)sud_vdso_sym(&self->vdso, "__vdso_time");
	ASSERT_NE(NULL, fn);
	ASSERT_EQ(0, sud_arm(SUD_EXCL, 0, 0, &sud_selector));
	sud_selector = SUD_BLOCK;
	ret = fn(NULL);
	count = sud_count;
	/* The thread is armed. */
	sud_unblock = &sud_selector;
	sud_foreign_call(SYS_getpid, 0, 0, 0, 0, 0, 0);
	sud_selector = SUD_ALLOW;
	ASSERT_EQ(0, sud_off());
	EXPECT_LT(1000000000, ret);
	EXPECT_EQ(0, count);
	EXPECT_EQ(1, sud_count);
}

TEST_HARNESS_MAIN
