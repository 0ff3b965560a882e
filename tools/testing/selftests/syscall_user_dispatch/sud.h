/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Shared layer of the Syscall User Dispatch selftests.
 *
 * Two kinds of code take part. Foreign code lives on a page mapped low in the
 * address space, at SUD_FOREIGN: it is a copy of a template that loads the
 * registers and makes one system call. Everything from SUD_NATIVE up (the
 * test, the C library, the vDSO) is native and, once armed by
 * sud_arm_native(), exempt. An assertion may therefore print, and the signal
 * handler may return, whatever the selector says.
 *
 * A test that exempts less must take care: until it is off again, it must make
 * only system calls that are to be dispatched.
 *
 * Everything that depends on a machine's registers or instructions is in
 * sud_asm.h.
 */
#ifndef SUD_H
#define SUD_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <linux/prctl.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

/* If the headers lack the feature, the tests compile, and skip at run time. */
#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH	59
#endif
#ifndef PR_SYS_DISPATCH_OFF
#define PR_SYS_DISPATCH_OFF		0
#endif
#ifndef PR_SYS_DISPATCH_ON
#define PR_SYS_DISPATCH_ON		1
#endif
#ifndef PR_SYS_DISPATCH_EXCLUSIVE_ON
#define PR_SYS_DISPATCH_EXCLUSIVE_ON	1
#endif
#ifndef PR_SYS_DISPATCH_INCLUSIVE_ON
#define PR_SYS_DISPATCH_INCLUSIVE_ON	2
#endif
#ifndef SYSCALL_DISPATCH_FILTER_ALLOW
#define SYSCALL_DISPATCH_FILTER_ALLOW	0
#endif
#ifndef SYSCALL_DISPATCH_FILTER_BLOCK
#define SYSCALL_DISPATCH_FILTER_BLOCK	1
#endif
#ifndef SYS_USER_DISPATCH
#define SYS_USER_DISPATCH		2
#endif

/* The names that the tests use. */
#define SUD_OFF		PR_SYS_DISPATCH_OFF
#define SUD_EXCL	PR_SYS_DISPATCH_EXCLUSIVE_ON
#define SUD_INCL	PR_SYS_DISPATCH_INCLUSIVE_ON
#define SUD_ALLOW	SYSCALL_DISPATCH_FILTER_ALLOW
#define SUD_BLOCK	SYSCALL_DISPATCH_FILTER_BLOCK

/* The kernel's sigset_t; the library's is longer. */
#define SUD_SIGSET_SIZE	8

#define SUD_FOREIGN	0x20000UL
#define SUD_NATIVE	0x100000UL

/*
 * The range that exempts all native code: from SUD_NATIVE to the top, which is
 * 4 GiB for a 32-bit pointer on any kernel. The sum wraps on no kernel.
 */
#define SUD_NATIVE_OFFSET	SUD_NATIVE
#define SUD_NATIVE_LENGTH	(-SUD_NATIVE - 1)

#include "sud_asm.h"

/**
 * struct sud_record - one SIGSYS as the handler saw it
 * @info:	the siginfo
 * @uc:		the machine context; the floating point state it points to is
 *		gone when the handler has returned
 */
struct sud_record {
	siginfo_t info;
	ucontext_t uc;
};

#define SUD_LOG_SIZE 16

/* The default selector byte of the tests. */
static volatile uint8_t sud_selector __attribute__((unused));

/* Number of SIGSYS seen since sud_reset(); the first few are kept. */
static volatile unsigned int sud_count __attribute__((unused));
static struct sud_record sud_log[SUD_LOG_SIZE] __attribute__((unused));

/*
 * Actions of the handler besides recording. sud_reset() clears both.
 *
 * @sud_unblock: first set to ALLOW, for tests in which the return from the
 * handler is not exempt.
 *
 * @sud_hook: called last, may change the context. Without a hook the context
 * is unchanged, so that the call returns its own number.
 */
static volatile uint8_t *volatile sud_unblock __attribute__((unused));
static void (*volatile sud_hook)(siginfo_t *info, ucontext_t *uc)
	__attribute__((unused));

/* The SIGSYS handler: makes no system call of its own. */
static void __attribute__((unused))
sud_handler(int sig __attribute__((unused)), siginfo_t *info, void *context)
{
	void (*hook)(siginfo_t *info, ucontext_t *uc) = sud_hook;
	unsigned int n;

	if (sud_unblock)
		*sud_unblock = SUD_ALLOW;

	n = __atomic_fetch_add(&sud_count, 1, __ATOMIC_SEQ_CST);
	if (n < SUD_LOG_SIZE) {
		memcpy(&sud_log[n].info, info, sizeof(*info));
		/*
		 * The tail of ucontext_t is the C library's, not the kernel's.
		 */
		memcpy(&sud_log[n].uc, context,
		       offsetof(ucontext_t, uc_sigmask) + SUD_SIGSET_SIZE);
	}

	if (hook)
		hook(info, context);
}

/*
 * sud_hook_rerun - hook: run the dispatched call natively
 *
 * Sets the selector to ALLOW and steps back over the instruction. The
 * selector is still at ALLOW when the call has returned.
 */
static inline void sud_hook_rerun(siginfo_t *info __attribute__((unused)),
				  ucontext_t *uc)
{
	sud_selector = SUD_ALLOW;
	SUD_REG_IP(uc) -= SUD_INSN_LEN;
}

/*
 * sud_hook_last - hook: make the next dispatch fatal
 *
 * SIGSYS is blocked afterwards. The return from the handler kills if it is
 * dispatched. Otherwise the program's next dispatched call kills.
 */
static inline void sud_hook_last(siginfo_t *info __attribute__((unused)),
				 ucontext_t *uc)
{
	sigaddset(&uc->uc_sigmask, SIGSYS);
}

/**
 * sud_reset - clear the records and the hooks, and set the selector to ALLOW
 */
static inline void sud_reset(void)
{
	sud_selector = SUD_ALLOW;
	sud_count = 0;
	sud_unblock = NULL;
	sud_hook = NULL;
	memset(sud_log, 0, sizeof(sud_log));
}

/**
 * sud_handle - install sud_handler() for SIGSYS
 * @flags: sa_flags beside SA_SIGINFO
 *
 * Return: 0, or -1 with errno set.
 */
static inline int sud_handle(int flags)
{
	struct sigaction act = {
		.sa_sigaction = sud_handler,
		.sa_flags = SA_SIGINFO | flags,
	};

	return sigaction(SIGSYS, &act, NULL);
}

/**
 * sud_foreign_map_at - map a foreign page at a given address
 * @addr:	where: a free page below SUD_NATIVE
 *
 * Return: true if the page is there, with the template on it.
 */
static inline bool sud_foreign_map_at(unsigned long addr)
{
	size_t page = sysconf(_SC_PAGESIZE);
	void *p;

	p = mmap((void *)addr, page, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	if (p == MAP_FAILED)
		return false;
	if (p != (void *)addr) {
		munmap(p, page);
		return false;
	}
	memcpy(p, sud_template, sud_template_end - sud_template);
	return !mprotect(p, page, PROT_READ | PROT_EXEC);
}

/**
 * sud_foreign_add - put more code on a foreign page
 * @addr:	where, on one of those that are mapped
 * @start:	position independent code
 * @end:	its end
 *
 * Return: true if it is there.
 */
static inline bool sud_foreign_add(unsigned long addr, const char *start,
				   const char *end)
{
	size_t page = sysconf(_SC_PAGESIZE);
	void *p = (void *)(addr & -page);

	if (mprotect(p, page, PROT_READ | PROT_WRITE))
		return false;
	memcpy((void *)addr, start, end - start);
	return !mprotect(p, page, PROT_READ | PROT_EXEC);
}

/**
 * sud_foreign_map - map the foreign page
 *
 * Return: true if the page is there, with the template on it.
 */
static inline bool sud_foreign_map(void)
{
	return sud_foreign_map_at(SUD_FOREIGN);
}

/**
 * sud_foreign_ip - the instruction pointer after the foreign system call
 */
static inline unsigned long sud_foreign_ip(void)
{
	return SUD_FOREIGN + (sud_template_ip - sud_template);
}

/*
 * sud_foreign_call - make a system call from the foreign page
 * @nr:		its number
 * @a1:		first argument, and so on
 *
 * Return: the return register: the result or -errno if the call ran; its
 * number if it was dispatched and the handler did not change it.
 */
static inline sud_word sud_foreign_call(sud_word nr, sud_word a1, sud_word a2,
					sud_word a3, sud_word a4, sud_word a5,
					sud_word a6)
{
	return ((sud_call_fn *)SUD_FOREIGN)(nr, a1, a2, a3, a4, a5, a6);
}

/*
 * sud_blocked_call - make one system call from the foreign page, under BLOCK
 *
 * Return: the result of the call or of the handler. The selector is at ALLOW
 * again.
 */
static inline sud_word sud_blocked_call(sud_word nr)
{
	sud_word ret;

	sud_selector = SUD_BLOCK;
	ret = sud_foreign_call(nr, 1, 2, 3, 4, 5, 6);
	sud_selector = SUD_ALLOW;
	return ret;
}

/*
 * sud_prctl - the raw prctl(PR_SET_SYSCALL_USER_DISPATCH, ...)
 * @op:		and so on: the arguments as the kernel sees them
 *
 * Return: 0, or the negative error number.
 */
static inline long sud_prctl(sud_uword op, sud_uword offset, sud_uword length,
			     sud_uword selector)
{
	long ret;

	/*
	 * syscall() passes whole registers on, and some arguments arrive in
	 * those.
	 */
	errno = 0;
	ret = syscall(SYS_prctl, (sud_uword)PR_SET_SYSCALL_USER_DISPATCH, op,
		      offset, length, selector);
	return ret == -1 ? -errno : ret;
}

/*
 * sud_arm - sud_prctl() with a pointer for the selector
 *
 * Return: 0, or the negative error number.
 */
static inline long sud_arm(sud_uword op, sud_uword offset, sud_uword length,
			   const volatile void *selector)
{
	return sud_prctl(op, offset, length, (unsigned long)selector);
}

/*
 * sud_arm_native - arm with all native code exempt
 *
 * Return: 0, or the negative error number.
 */
static inline long sud_arm_native(const volatile void *selector)
{
	return sud_arm(SUD_EXCL, SUD_NATIVE_OFFSET, SUD_NATIVE_LENGTH,
		       selector);
}

/**
 * sud_off - disarm
 *
 * Return: 0, or the negative error number.
 */
static inline long sud_off(void)
{
	return sud_arm(SUD_OFF, 0, 0, NULL);
}

/**
 * sud_available - does this kernel have the feature?
 *
 * The calling thread is off afterwards.
 */
static inline bool sud_available(void)
{
	return sud_off() == 0;
}

/**
 * sud_has_inclusive - does this kernel know INCLUSIVE? (5.11 did not)
 *
 * The calling thread is off afterwards.
 */
static inline bool sud_has_inclusive(void)
{
	/* No edge of rule A5, and nothing that native code would notice. */
	return sud_arm(SUD_INCL, SUD_FOREIGN, 4096, NULL) == 0 &&
	       sud_off() == 0;
}

/* First statement of every test that needs the feature. */
#define SUD_REQUIRE() do {						\
	if (!sud_available())						\
		SKIP(return, "no syscall user dispatch in this kernel"); \
} while (0)

#define SUD_REQUIRE_INCLUSIVE() do {					\
	SUD_REQUIRE();							\
	if (!sud_has_inclusive())					\
		SKIP(return, "no PR_SYS_DISPATCH_INCLUSIVE_ON in this kernel"); \
} while (0)

/*
 * In FIXTURE_SETUP() a return would go on to the test itself. 255 is how the
 * harness's child says that it skipped.
 */
#define SUD_SKIP_SETUP(...) SKIP(_exit(255), __VA_ARGS__)

#define SUD_REQUIRE_SETUP() do {					\
	if (!sud_available())						\
		SUD_SKIP_SETUP("no syscall user dispatch in this kernel"); \
} while (0)

/**
 * sud_probe - is a foreign call dispatched now?
 *
 * Makes a foreign call that always fails in the same way: close(-1). Needs
 * sud_handle(), sud_foreign_map() and a hook that does not change the result.
 *
 * Return: 1 if it was dispatched, exactly once and at the right place; 0 if
 * it ran and no SIGSYS was seen; -1 for anything else.
 */
static inline int sud_probe(void)
{
	unsigned int before = sud_count, seen;
	sud_word ret;

	ret = sud_foreign_call(SUD_NR_CLOSE, -1, 0, 0, 0, 0, 0);
	seen = sud_count;
	seen -= before;

	if (ret == -EBADF && !seen)
		return 0;
	if (ret != SUD_NR_CLOSE || seen != 1)
		return -1;
	if (before < SUD_LOG_SIZE &&
	    (sud_log[before].info.si_code != SYS_USER_DISPATCH ||
	     sud_log[before].info.si_syscall != SUD_NR_CLOSE ||
	     sud_log[before].info.si_call_addr != (void *)sud_foreign_ip()))
		return -1;
	return 1;
}

/**
 * sud_slow - the factor for all time limits
 *
 * The environment variable SUD_SLOW sets it for slow debug kernels. Every time
 * limit is multiplied by it.
 */
static inline unsigned int sud_slow(void)
{
	const char *slow = getenv("SUD_SLOW");
	int times = slow ? atoi(slow) : 1;

	return times > 1 ? times : 1;
}

/**
 * sud_die_with_parent - be killed when the parent ends
 *
 * Return: 0, or -1 and errno.
 */
static inline int sud_die_with_parent(void)
{
	/* The arguments of prctl() are long, and it is variadic: cast them. */
	return prctl(PR_SET_PDEATHSIG, (unsigned long)SIGKILL, 0UL, 0UL, 0UL);
}

/**
 * sud_share - memory that is shared with the children that are forked later
 * @size:	in bytes
 *
 * Return: the memory, all zero, or NULL.
 */
static inline void *sud_share(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

/**
 * sud_run_child - run a function in a forked child
 * @fn:		its return value is the child's exit status
 * @arg:	its argument
 *
 * Return: the child's wait status, or -1.
 */
static inline int sud_run_child(int (*fn)(void *arg), void *arg)
{
	int status;
	pid_t pid;

	pid = fork();
	if (pid < 0)
		return -1;
	if (pid == 0)
		_exit(fn(arg));
	while (waitpid(pid, &status, 0) != pid) {
		if (errno != EINTR)
			return -1;
	}
	return status;
}

/* Tests on a wait status. */
static inline bool sud_exited(int status, int code)
{
	return status != -1 && WIFEXITED(status) && WEXITSTATUS(status) == code;
}

/* The number of getpid() for int $0x80, whatever the program is. */
#define SUD_IA32_GETPID 20

static inline int sud_try_int80(void *arg __attribute__((unused)))
{
	int ret;

	__asm__ volatile("int $0x80" : "=a" (ret) : "a" (SUD_IA32_GETPID)
			 : "memory");
	return ret == getpid() ? 0 : 1;
}

/**
 * sud_has_int80 - does int $0x80 make system calls in this kernel?
 */
static inline bool sud_has_int80(void)
{
	return sud_exited(sud_run_child(sud_try_int80, NULL), 0);
}

static inline bool sud_killed(int status, int sig)
{
	return status != -1 && WIFSIGNALED(status) && WTERMSIG(status) == sig;
}

/**
 * sud_setup - the start of most tests
 *
 * Map the foreign page, install the handler, reset the log.
 *
 * Return: true if all steps worked.
 */
static inline bool sud_setup(void)
{
	sud_reset();
	return sud_foreign_map() && sud_handle(0) == 0;
}

/* The exit status of the program probe: see there. */
#define SUD_PROBE_RAN		20
#define SUD_PROBE_SETUID	10

#endif /* SUD_H */
