/* SPDX-License-Identifier: MIT */
/*
 * An interposer's part of Syscall User Dispatch, for 64-bit x86. Include it in one C file of a shared
 * object, and link that with -Wl,-z,now. Define _GNU_SOURCE first.
 *
 * Every system call of an armed thread is dispatched, those of the C library too. Only the gate, a few
 * instructions of this file, is exempt. There is no selector. The handler of SIGSYS does not run the
 * call: it sends the thread to the gate. There the call runs on the program's own stack, with its own
 * signal mask. So it can block, be interrupted and be restarted, and a handler can leave it by longjmp().
 * A second dispatch, right after the call, reports its result and restores the registers.
 *
 * Left out: 32-bit programs; x32; direct dispatch; a program's own use of the feature (it gets EINVAL);
 * sigpending(), sigwait() and signalfd() for a SIGSYS that the program has blocked.
 */
#ifndef SUD_H
#define SUD_H

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <ucontext.h>

#if !defined(__x86_64__) || defined(__ILP32__)
#error "sud.h is written for 64-bit x86."
#endif

#define SUD_RECORDS	4096
#define SUD_ARCH_64	0xc000003eU
#define SUD_SIGSYS	(1UL << (SIGSYS - 1))

/* A call of the program. @user is for the hooks; the rest is as the program made the call. */
struct sud_call {
	long number, args[6];
	unsigned long ip;
	unsigned int arch;
	int tid;
	long user[2];
};

/* What enter() answers: run the call, run it without leave(), or give @result without running it. */
enum { SUD_RUN, SUD_SKIP };

/*
 * The hooks run in the handler, with all signals blocked, and may interrupt any code of the program. They
 * make system calls by sud_syscall() only, and use no function of the C library that makes one or locks.
 * enter() may change number and args. leave() gets what the kernel returned, -errno for an error.
 */
struct sud_hooks {
	int (*enter)(struct sud_call *call, long *result);
	void (*leave)(struct sud_call *call, long result);
};

struct sud_record {
	int tid, users;
	unsigned long ip, rbx;		/* at 8 and 16: the gate's CFI says so */
	unsigned long sp, mask, set[1];
	struct { unsigned long pointer, size; } pair;
	long regs[6];
	struct sud_call call;
};
_Static_assert(offsetof(struct sud_record, ip) == 8 && offsetof(struct sud_record, rbx) == 16, "the gate's CFI");

struct sud_action {
	uintptr_t handler;
	unsigned long flags;
	uintptr_t restorer;
	unsigned long mask;
};

__asm__(".pushsection .text.sud, \"ax\", @progbits\n"
	".balign 64\n"
	"sud_gate_start:\n"
	".type sud_syscall, @function\n"
	"sud_syscall:\n"
	"	.cfi_startproc\n"
	"	mov %rdi, %rax\n	mov %rsi, %rdi\n	mov %rdx, %rsi\n	mov %rcx, %rdx\n"
	"	mov %r8, %r10\n		mov %r9, %r8\n		mov 8(%rsp), %r9\n"
	"	syscall\n	ret\n"
	"	.cfi_endproc\n"
	"sud_restorer:\n"
	"	mov $15, %rax\n		syscall\n	ud2\n"
	"sud_gate_last:\n"			/* a call that does not return */
	"	syscall\n	ud2\n"
	"	.cfi_startproc\n	.cfi_signal_frame\n	.cfi_def_cfa rsp, 0\n"
	"	.cfi_escape 0x10, 0x10, 2, 0x73, 8\n	.cfi_escape 0x10, 3, 2, 0x73, 16\n"
	"	nop\n"
	"sud_gate_int80:\n"
	"	int $0x80\n	jmp sud_exit\n"
	"sud_gate_clone:\n"
	"	syscall\n	test %rax, %rax\n	jnz sud_exit\n"
	/* The child: not armed, and with CLONE_CLEAR_SIGHAND without a handler. All of its signals are blocked. */
	"	mov $13, %eax\n		mov $31, %edi\n		lea sud_kernel_action(%rip), %rsi\n"
	"	xor %edx, %edx\n	mov $8, %r10d\n		syscall\n"
	"	mov $157, %eax\n	mov $59, %edi\n		mov $1, %esi\n	lea sud_gate_start(%rip), %rdx\n"
	"	mov $sud_gate_end - sud_gate_start, %r10d\n	xor %r8d, %r8d\n	syscall\n"
	"	test %eax, %eax\n	jz sud_exit\n	ud2\n"	/* the sysctl forbids it now */
	"sud_gate_run:\n"
	"	syscall\n	nop\n"
	"sud_gate_end:\n"
	"sud_exit:\n"				/* not exempt: this is the second dispatch */
	"	syscall\n"
	"sud_exit_ip:\n"
	"	jmp sud_exit\n"			/* a kernel may lose a dispatch to a pending SIGSYS */
	"	.cfi_endproc\n"
	".popsection");

extern const char sud_gate_start[], sud_gate_end[], sud_gate_last[], sud_gate_int80[], sud_gate_clone[],
	sud_gate_run[], sud_exit_ip[], sud_restorer[];

/* Make a system call that is never dispatched. Returns what the kernel does: -errno for an error. */
extern long sud_syscall(long number, long a, long b, long c, long d, long e, long f);

static struct sud_action sud_kernel_action __attribute__((used));
static struct sud_action sud_program_action;
static unsigned char sud_masked[65];	/* the program's sa_mask of this signal has SIGSYS */
static struct sud_record sud_records[SUD_RECORDS];
static const struct sud_hooks *sud_hooks;

/* Copy from or to memory that the program named. Returns 0 or -EFAULT. */
static long sud_copy(void *mine, long theirs, size_t size, int out)
{
	struct iovec local = { mine, size }, remote = { (void *)theirs, size };
	long n = sud_syscall(out ? SYS_process_vm_writev : SYS_process_vm_readv, sud_syscall(SYS_getpid, 0, 0, 0, 0, 0, 0),
			     (long)&local, 1, (long)&remote, 1, 0);

	if (n == -ENOSYS || n == -EPERM) {	/* a sandbox denies it */
		__builtin_memcpy(out ? (void *)theirs : mine, out ? mine : (void *)theirs, size);
		return 0;
	}
	return n == (long)size ? 0 : -EFAULT;
}

/* The record of a call in progress. A call of this thread at the same stack pointer was abandoned by longjmp(). */
static struct sud_record *sud_record(int tid, unsigned long sp)
{
	unsigned long hash = ((unsigned long)tid * 0x9e3779b97f4a7c15UL ^ (sp >> 3) * 0xbf58476d1ce4e5b9UL) >> 40;
	int pass, i, none;

	for (i = 0; i < 16; i++) {
		struct sud_record *r = &sud_records[(hash + i) % SUD_RECORDS];

		if (__atomic_load_n(&r->tid, __ATOMIC_ACQUIRE) == tid && r->sp == sp)
			return r;
	}
	for (pass = 0; pass < 2; pass++)
		for (i = 0; i < SUD_RECORDS; i++) {
			struct sud_record *r = &sud_records[(hash + i) % SUD_RECORDS];

			none = __atomic_load_n(&r->tid, __ATOMIC_ACQUIRE);
			/* The second time, those of threads that have ended. */
			if (none && (!pass || sud_syscall(SYS_tkill, none, 0, 0, 0, 0, 0) != -ESRCH))
				continue;
			if (__atomic_compare_exchange_n(&r->tid, &none, tid, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
				r->sp = sp;
				return r;
			}
		}
	return NULL;
}

static void sud_free(struct sud_record *r)
{
	if (__atomic_sub_fetch(&r->users, 1, __ATOMIC_ACQ_REL) <= 0)
		__atomic_store_n(&r->tid, 0, __ATOMIC_RELEASE);
}

static long sud_sigaction(const long *a)
{
	struct sud_action new, old, *act = NULL;
	int masked;
	long ret = 0;

	if (a[3] != 8 || a[0] < 1 || a[0] > 64)
		return -EINVAL;
	if (a[1] && sud_copy(&new, a[1], sizeof(new), 0))
		return -EFAULT;
	masked = sud_masked[a[0]];
	if (a[0] == SIGSYS) {
		old = sud_program_action;
		if (a[1])
			sud_program_action = new;
	} else {
		if (a[1]) {
			act = &new;
			sud_masked[a[0]] = !!(new.mask & SUD_SIGSYS);
			new.mask &= ~SUD_SIGSYS;
		}
		ret = sud_syscall(SYS_rt_sigaction, a[0], (long)act, (long)&old, 8, 0, 0);
		if (masked)
			old.mask |= SUD_SIGSYS;
	}
	if (!ret && a[2])
		ret = sud_copy(&old, a[2], sizeof(old), 1);
	return ret;
}

static long sud_sigprocmask(const long *a, unsigned long *mask)
{
	unsigned long set, old = *mask;

	if (a[3] != 8)
		return -EINVAL;
	if (a[1]) {
		if (sud_copy(&set, a[1], 8, 0))
			return -EFAULT;
		set &= ~(SUD_SIGSYS | 1UL << (SIGKILL - 1) | 1UL << (SIGSTOP - 1));
		if (a[0] < SIG_BLOCK || a[0] > SIG_SETMASK)
			return -EINVAL;
		*mask = a[0] == SIG_BLOCK ? old | set : a[0] == SIG_UNBLOCK ? old & ~set : set;
	}
	return a[2] ? sud_copy(&old, a[2], 8, 1) : 0;
}

/* A mask that holds during the call must not have SIGSYS: the program's handlers make calls meanwhile. */
static void sud_filter(struct sud_record *r, long *mask)
{
	if (*mask && !sud_copy(r->set, *mask, 8, 0) && (r->set[0] & SUD_SIGSYS)) {
		r->set[0] &= ~SUD_SIGSYS;
		*mask = (long)r->set;
	}
}

/* A SIGSYS that is no dispatch is the program's: it goes on in the program's handler, on this frame. */
static void sud_foreign(siginfo_t *info, ucontext_t *uc)
{
	struct sud_action action = sud_program_action;
	unsigned long mask;

	if (action.handler == (uintptr_t)SIG_IGN && info->si_code != 1)
		return;
	if (action.handler <= 1) {
		struct sud_action none = { 0, 0x04000000, (uintptr_t)sud_restorer, 0 };

		sud_syscall(SYS_rt_sigaction, SIGSYS, (long)&none, 0, 8, 0, 0);
		sud_syscall(SYS_tgkill, sud_syscall(SYS_getpid, 0, 0, 0, 0, 0, 0),
			    sud_syscall(SYS_gettid, 0, 0, 0, 0, 0, 0), SIGSYS, 0, 0, 0);
		return;
	}
	if (action.flags & SA_RESETHAND)
		sud_program_action.handler = 0;
	__builtin_memcpy(&mask, &uc->uc_sigmask, 8);
	mask = (mask | action.mask) & ~SUD_SIGSYS;
	((uintptr_t *)uc)[-1] = action.restorer;
	sud_syscall(SYS_rt_sigprocmask, SIG_SETMASK, (long)&mask, 0, 8, 0, 0);
	__asm__ volatile("mov %0, %%rsp\n	xor %%eax, %%eax\n	jmp *%1"
			 : : "r" ((uintptr_t *)uc - 1), "r" (action.handler), "D" (SIGSYS), "S" (info), "d" (uc));
	__builtin_unreachable();
}

static void sud_handler(int sig, siginfo_t *info, void *context)
{
	static const int regs[6] = { REG_RDI, REG_RSI, REG_RDX, REG_R10, REG_R8, REG_R9 };
	ucontext_t *uc = context;
	greg_t *gregs = uc->uc_mcontext.gregs;
	struct sud_record *r;
	long result = 0, pointer;
	const char *gate = sud_gate_run;
	unsigned long mask;
	int i, tid, done;

	(void)sig;
	if (info->si_code != 2) {
		sud_foreign(info, uc);
		return;
	}
	if (gregs[REG_RIP] == (greg_t)sud_exit_ip) {
		r = (struct sud_record *)gregs[REG_RBX];
		for (i = 0; i < 6; i++)
			gregs[regs[i]] = r->regs[i];
		gregs[REG_RBX] = r->rbx;
		gregs[REG_RIP] = gregs[REG_RCX] = r->ip;
		if (r->mask & SUD_SIGSYS) {	/* of clone: the mask was changed */
			mask = r->mask & ~SUD_SIGSYS;
			__builtin_memcpy(&uc->uc_sigmask, &mask, 8);
		}
		if (!(r->mask & SUD_SIGSYS) || gregs[REG_RAX])
			if (sud_hooks->leave)
				sud_hooks->leave(&r->call, gregs[REG_RAX]);
		if (gregs[REG_RAX] < 0)
			r->users = 1;
		sud_free(r);
		return;
	}

	tid = sud_syscall(SYS_gettid, 0, 0, 0, 0, 0, 0);
	r = sud_record(tid, gregs[REG_RSP]);
	if (!r) {
		gregs[REG_RAX] = -EAGAIN;
		return;
	}
	r->users = 1;
	r->mask = 0;
	r->ip = gregs[REG_RIP];
	r->rbx = gregs[REG_RBX];
	r->call = (struct sud_call){ .number = gregs[REG_RAX], .ip = r->ip, .arch = info->si_arch, .tid = tid };
	for (i = 0; i < 6; i++)
		r->call.args[i] = r->regs[i] = gregs[regs[i]];
	done = sud_hooks->enter && sud_hooks->enter(&r->call, &result) == SUD_SKIP;
	if (info->si_arch != SUD_ARCH_64) {
		gate = sud_gate_int80;
	} else if (!done) {
		long *a = r->call.args, flags = 0;

		switch (r->call.number) {
		case SYS_rt_sigaction:
			result = sud_sigaction(a);
			done = 1;
			break;
		case SYS_rt_sigprocmask:
			result = sud_sigprocmask(a, (unsigned long *)&uc->uc_sigmask);
			done = 1;
			break;
		case SYS_prctl:
			if (a[0] == 59 || a[0] == 0x53554448) {
				result = -EINVAL;
				done = 1;
			}
			break;
		case SYS_rt_sigreturn:
			pointer = gregs[REG_RSP] + offsetof(ucontext_t, uc_sigmask);
			if (!sud_copy(&mask, pointer, 8, 0) && (mask & SUD_SIGSYS)) {
				mask &= ~SUD_SIGSYS;
				sud_copy(&mask, pointer, 8, 1);
			}
			/* fallthrough */
		case SYS_exit:
		case SYS_exit_group:
			gregs[REG_RIP] = (greg_t)sud_gate_last;
			sud_free(r);
			return;
		case SYS_clone3:
			if (sud_copy(&flags, a[0], 8, 0))
				break;
			/* fallthrough */
		case SYS_clone:
		case SYS_fork:
		case SYS_vfork:
			if (r->call.number == SYS_clone)
				flags = a[0];
			if ((flags & 0x100) || r->call.number == SYS_vfork)
				r->users = 2;
			gate = sud_gate_clone;
			__builtin_memcpy(&mask, &uc->uc_sigmask, 8);
			r->mask = mask | SUD_SIGSYS;
			mask = ~SUD_SIGSYS;
			__builtin_memcpy(&uc->uc_sigmask, &mask, 8);
			break;
		case SYS_rt_sigsuspend:
			sud_filter(r, &a[0]);
			break;
		case SYS_ppoll:
			sud_filter(r, &a[3]);
			break;
		case SYS_epoll_pwait:
		case 441:	/* epoll_pwait2 */
			sud_filter(r, &a[4]);
			break;
		case SYS_pselect6:
		case 333:	/* io_pgetevents */
			if (a[5] && !sud_copy(&r->pair, a[5], sizeof(r->pair), 0)) {
				sud_filter(r, (long *)&r->pair.pointer);
				a[5] = (long)&r->pair;
			}
			break;
		}
	}
	if (done) {
		gregs[REG_RAX] = result;
		if (sud_hooks->leave)
			sud_hooks->leave(&r->call, result);
		sud_free(r);
		return;
	}
	for (i = 0; i < 6; i++)
		gregs[regs[i]] = r->call.args[i];
	gregs[REG_RAX] = r->call.number;
	gregs[REG_RBX] = (greg_t)r;
	gregs[REG_RIP] = (greg_t)gate;
}

/*
 * Arm the calling thread, and every thread and process that it will create. Call it once, before the
 * program has a second thread. Returns 0; -EINVAL if the kernel lacks the feature; -EPERM if the
 * administrator forbids it.
 */
static inline long sud_arm(const struct sud_hooks *hooks)
{
	unsigned long mask = SUD_SIGSYS;
	long ret;

	sud_hooks = hooks;
	sud_kernel_action = (struct sud_action){ (uintptr_t)sud_handler, SA_SIGINFO | SA_ONSTACK | 0x04000000,
						 (uintptr_t)sud_restorer, ~0UL };
	ret = sud_syscall(SYS_rt_sigaction, SIGSYS, (long)&sud_kernel_action, (long)&sud_program_action, 8, 0, 0);
	if (ret)
		return ret;
	sud_syscall(SYS_rt_sigprocmask, SIG_UNBLOCK, (long)&mask, 0, 8, 0, 0);
	ret = sud_syscall(SYS_prctl, 59, 1, (long)sud_gate_start, sud_gate_end - sud_gate_start, 0, 0);
	if (ret)
		sud_syscall(SYS_rt_sigaction, SIGSYS, (long)&sud_program_action, 0, 8, 0, 0);
	return ret;
}

#endif
