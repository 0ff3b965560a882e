/* SPDX-License-Identifier: MIT */
/*
 * Syscall User Dispatch for a layer, or for an interposer. Define _GNU_SOURCE, and include this in one C file.
 *
 * A LAYER serves the calls of foreign code in its own process. 64-bit, i386 and x32; dynamic or static.
 *
 *	sud_layer(serve)	Once: find the C library's image, which is exempt, and install the handler.
 *	sud_thread()		In each thread that runs foreign code: arm it. fork() arms the child again.
 *	sud_foreign()		The thread enters foreign code: its calls are served from here on.
 *	SUD_GUARD		From here to the end of the block, calls are run. Then the selector and errno are as
 *				before. It nests. It is the first line of each signal handler of the layer.
 *
 * An INTERPOSER sees every call of a whole program, those of the C library too. Only a gate, a few instructions
 * of this file, is exempt. 64-bit only. Define SUD_INTERPOSE, include this in a shared object, and link that
 * with -Wl,-z,now.
 *
 *	sud_arm(hooks, direct)	Once, in the first thread: arm it, and every thread and process that it creates.
 *	sud_syscall(...)	Make a call that is not dispatched.
 *
 * Both use direct dispatch, without signals, where the kernel has it; 64-bit only. Elsewhere they use SIGSYS.
 *
 * Left out. Layer: siglongjmp() out of a SUD_GUARD (set the selector anew); children of a raw clone() or vfork()
 * (arm them by sud_thread()); foreign code that changes the segment base of thread-local memory. Interposer: 32-bit
 * programs and x32; a program's own use of the feature (it gets EINVAL); sigpending(), sigwait() and signalfd() for a
 * SIGSYS that the program has blocked; code whose stack has no room for a signal frame.
 */
#ifndef SUD_H
#define SUD_H

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <ucontext.h>

#define SUD_PRCTL		59
#define SUD_PRCTL_DIRECT	0x53554448	/* only kernels with direct dispatch have it */
#define SUD_DISPATCHED		2		/* the si_code of a dispatch */
#define SUD_ARCH_64		0xc000003eU	/* AUDIT_ARCH_X86_64 */

/* A dispatched call. @user is for the hooks of an interposer, the rest is as the program made the call. */
struct sud_call {
	long number, args[6];
	unsigned long ip;
	unsigned int arch;
	int tid;
	long user[2];
};

#if defined(__x86_64__) && !defined(__ILP32__)
/*
 * Where calls continue with direct dispatch: on the stack of the code that made the call, without a signal. Save the
 * registers in the order of greg_t[] of a signal frame, let @body serve the call, and go on at REG_RIP with the registers
 * that it leaves. The C code may change vector registers. Of these, XSAVE saves all up to AVX-512.
 */
#define SUD_DIRECT_ENTRY(body) __asm__( \
	".pushsection .text.sud, \"ax\", @progbits\n" \
	"sud_direct_entry:\n" \
	"	.cfi_startproc\n	.cfi_signal_frame\n	.cfi_def_cfa rsp, 0\n	.cfi_register rip, rcx\n" \
	"	mov %rsp, %r11\n	lea -128(%rsp), %rsp\n" \
	"	pushfq\n	push %rcx\n	push %r11\n	push %rcx\n	push %rax\n" \
	"	push %rdx\n	push %rbx\n	push %rbp\n	push %rsi\n	push %rdi\n" \
	"	push %r15\n	push %r14\n	push %r13\n	push %r12\n" \
	"	pushq 13*8(%rsp)\n	push %r10\n	push %r9\n	push %r8\n" \
	"	mov %rsp, %rbp\n" \
	/* rbp is greg_t[]: the CFA is its REG_RSP, and the other registers stand there too. */ \
	"	.cfi_escape 0x0f, 4, 0x76, 0xf8, 0, 0x06\n	.cfi_escape 0x10, 16, 3, 0x76, 0x80, 1\n" \
	"	.cfi_escape 0x10, 3, 3, 0x76, 0xd8, 0\n		.cfi_escape 0x10, 6, 3, 0x76, 0xd0, 0\n" \
	"	.cfi_escape 0x10, 12, 2, 0x76, 32\n		.cfi_escape 0x10, 13, 2, 0x76, 40\n" \
	"	.cfi_escape 0x10, 14, 2, 0x76, 48\n		.cfi_escape 0x10, 15, 2, 0x76, 56\n" \
	"	cld\n	sub $2752, %rsp\n	and $-64, %rsp\n	xor %edx, %edx\n" \
	"	mov %rdx, 512(%rsp)\n	mov %rdx, 520(%rsp)\n	mov %rdx, 528(%rsp)\n" \
	"	mov $0xe7, %eax\n	xsave64 (%rsp)\n" \
	"	mov %rbp, %rdi\n	call " #body "\n" \
	"	mov $0xe7, %eax\n	xor %edx, %edx\n	xrstor64 (%rsp)\n	mov %rbp, %rsp\n" \
	"	pop %r8\n	pop %r9\n	pop %r10\n	pop %r11\n" \
	"	pop %r12\n	pop %r13\n	pop %r14\n	pop %r15\n" \
	"	pop %rdi\n	pop %rsi\n" \
	"	pop %rbp\n	pop %rbx\n	pop %rdx\n	pop %rax\n" \
	"	mov 16(%rsp), %rcx\n	pushq 24(%rsp)\n	popfq\n	mov 8(%rsp), %rsp\n" \
	"	jmp *%rcx\n" \
	"	.cfi_endproc\n" \
	".popsection")
extern const char sud_direct_entry[];

/* The address for the prctl, or 0 if the processor has no XSAVE. */
static inline long sud_direct_address(void)
{
	unsigned int a = 1, b, c = 0, d;

	__asm__("cpuid" : "+a" (a), "=b" (b), "+c" (c), "=d" (d));
	return c & 1U << 27 ? (long)sud_direct_entry : 0;
}
#endif

#ifndef SUD_INTERPOSE

#include <link.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

/* The registers of a call: its number, which its result replaces, its address and its arguments. */
#ifdef __x86_64__
enum { SUD_NUMBER = REG_RAX, SUD_IP = REG_RIP };
static const int sud_args[6] = { REG_RDI, REG_RSI, REG_RDX, REG_R10, REG_R8, REG_R9 };
static const int sud_args_i386[6] = { REG_RBX, REG_RCX, REG_RDX, REG_RSI, REG_RDI, REG_RBP };
#else
enum { SUD_NUMBER = REG_EAX, SUD_IP = REG_EIP };
static const int sud_args_i386[6] = { REG_EBX, REG_ECX, REG_EDX, REG_ESI, REG_EDI, REG_EBP };
#endif

struct sud_range {
	unsigned long start, size;
};

static struct sud_range sud_exempt;
static long (*sud_serve)(struct sud_call *call);

/* The thread's selector: 0 runs a call, 1 dispatches it. */
static __thread volatile unsigned char sud_selector __attribute__((tls_model("initial-exec")));
static __thread unsigned char sud_armed, sud_is_direct __attribute__((tls_model("initial-exec")));

/* A guard section, which is also the prologue and the epilogue of a handler. */
struct sud_guard {
	unsigned char selector;
	int error;
};

/* Run the calls of this thread from here on. */
static inline struct sud_guard sud_guard_enter(void)
{
	struct sud_guard guard = { .selector = sud_selector };

	sud_selector = 0;
	guard.error = errno;
	return guard;
}

/* Go on as before sud_guard_enter(). No system call may follow it in a handler, other than the return. */
static inline void sud_guard_leave(const struct sud_guard *guard)
{
	errno = guard->error;
	sud_selector = guard->selector;
}

#define SUD_GUARD __attribute__((cleanup(sud_guard_leave))) struct sud_guard sud_guard = sud_guard_enter()

/* The thread enters foreign code. To leave it for good, set sud_selector to 0, or use SUD_GUARD. */
static inline void sud_foreign(void)
{
	sud_selector = 1;
}

static int sud_find(struct dl_phdr_info *image, size_t size, void *range)
{
	const char *name = strrchr(image->dlpi_name, '/');
	unsigned long start = -1UL, end = 0;
	int i, loader = 0;

	(void)size;
	for (i = 0; i < image->dlpi_phnum; i++) {
		const ElfW(Phdr) *segment = &image->dlpi_phdr[i];
		unsigned long from = image->dlpi_addr + segment->p_vaddr;

		loader |= segment->p_type == PT_INTERP;
		if (segment->p_type == PT_LOAD && from < start)
			start = from;
		if (segment->p_type == PT_LOAD && from + segment->p_memsz > end)
			end = from + segment->p_memsz;
	}
	if (image->dlpi_name[0] ? !name || strcmp(name, "/libc.so.6") : loader)
		return 0;
	*(struct sud_range *)range = (struct sud_range){ start, end - start };
	return 1;
}

static void sud_registers(greg_t *gregs, unsigned int arch)
{
	struct sud_call call = { .number = gregs[SUD_NUMBER], .ip = gregs[SUD_IP], .arch = arch };
	const int *args = sud_args_i386;
	int i;

#ifdef __x86_64__
	if (arch == SUD_ARCH_64)
		args = sud_args;
#endif
	for (i = 0; i < 6; i++)
		call.args[i] = gregs[args[i]];
	gregs[SUD_NUMBER] = sud_serve(&call);
}

static void sud_handler(int sig, siginfo_t *info, void *context)
{
	SUD_GUARD;

	(void)sig;
	if (info->si_code != SUD_DISPATCHED)	/* of kill(), or of a seccomp filter */
		abort();
	sud_registers(((ucontext_t *)context)->uc_mcontext.gregs, info->si_arch);
}

#if defined(__x86_64__) && !defined(__ILP32__)
__attribute__((used)) static void sud_direct(greg_t *gregs)
{
	SUD_GUARD;
	sud_registers(gregs, SUD_ARCH_64);
}
SUD_DIRECT_ENTRY(sud_direct);
#endif

/*
 * Arm the calling thread, with the selector as it is. Call it with the selector at 0. Returns 0, or -1 with errno:
 * EINVAL if the kernel lacks the feature, EPERM if the administrator forbids it. sud_is_direct then says whether the
 * thread uses direct dispatch.
 */
static inline int sud_thread(void)
{
	if (prctl(SUD_PRCTL, 1L, sud_exempt.start, sud_exempt.size, &sud_selector))
		return -1;
	sud_armed = 1;
#if defined(__x86_64__) && !defined(__ILP32__)
	sud_is_direct = sud_direct_address() && !prctl(SUD_PRCTL_DIRECT, sud_direct_address(), 0L, 0L, 0L);
#endif
	return 0;
}

static void sud_forked(void)
{
	if (sud_armed && sud_thread())
		abort();
}

/*
 * Make this process a layer. @serve gets each call of foreign code, in a SUD_GUARD, and returns the call's result. It
 * may use the C library, as foreign code holds none of its locks. Returns 0, or -1 with errno: ENOENT if there is no
 * libc.so.6 and the program is not static.
 */
static inline int sud_layer(long (*serve)(struct sud_call *call))
{
	struct sigaction action = { .sa_sigaction = sud_handler, .sa_flags = SA_SIGINFO | SA_ONSTACK };

	sud_serve = serve;
	sigfillset(&action.sa_mask);
	if (!dl_iterate_phdr(sud_find, &sud_exempt)) {
		errno = ENOENT;
		return -1;
	}
	errno = pthread_atfork(NULL, NULL, sud_forked);
	return errno ? -1 : sigaction(SIGSYS, &action, NULL);
}


#else	/* SUD_INTERPOSE */

#include <sys/uio.h>

#if !defined(__x86_64__) || defined(__ILP32__)
#error "An interposer is for 64-bit x86."
#endif

#define SUD_RECORDS	4096
#define SUD_SIGSYS	(1UL << (SIGSYS - 1))

/*
 * There is no selector. What gets a dispatched call does not run it: it sends the thread to the gate. There the call
 * runs on the program's own stack, with its own signal mask. So it can block, be interrupted and be restarted, and a
 * handler can leave it by longjmp(). A second dispatch, right after the call, reports its result and restores the
 * registers.
 */

/* What enter() answers: run the call, run it without leave(), or give @result without running it. */
enum { SUD_RUN, SUD_SKIP };

/*
 * The hooks run with all signals blocked, and may interrupt any code of the program. They make system calls by
 * sud_syscall() only, and use no function of the C library that makes one or locks.
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
	"	test %eax, %eax\n	jnz 1f\n"			/* the sysctl forbids it now */
	"	mov $157, %eax\n	mov $0x53554448, %edi\n	mov sud_direct_handler(%rip), %rsi\n"
	"	xor %edx, %edx\n	xor %r10d, %r10d\n	syscall\n"
	"	xor %eax, %eax\n	jmp sud_exit\n"
	"1:	ud2\n"
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
static long sud_direct_handler __attribute__((used));	/* 0: by SIGSYS */
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
static void sud_program_sigsys(siginfo_t *info, ucontext_t *uc)
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

/* Serve a dispatch: change the registers, and the signal mask that holds afterwards. */
static void sud_dispatch(greg_t *gregs, unsigned long *mask, unsigned int arch)
{
	static const int regs[6] = { REG_RDI, REG_RSI, REG_RDX, REG_R10, REG_R8, REG_R9 };
	struct sud_record *r;
	long result = 0, pointer;
	const char *gate = sud_gate_run;
	unsigned long frame;
	int i, tid, done;

	if (gregs[REG_RIP] == (greg_t)sud_exit_ip) {
		r = (struct sud_record *)gregs[REG_RBX];
		for (i = 0; i < 6; i++)
			gregs[regs[i]] = r->regs[i];
		gregs[REG_RBX] = r->rbx;
		gregs[REG_RIP] = gregs[REG_RCX] = r->ip;
		if (r->mask & SUD_SIGSYS)	/* of clone: the mask was changed */
			*mask = r->mask & ~SUD_SIGSYS;
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
	r->call = (struct sud_call){ .number = gregs[REG_RAX], .ip = r->ip, .arch = arch, .tid = tid };
	for (i = 0; i < 6; i++)
		r->call.args[i] = r->regs[i] = gregs[regs[i]];
	done = sud_hooks->enter && sud_hooks->enter(&r->call, &result) == SUD_SKIP;
	if (arch != SUD_ARCH_64) {
		gate = sud_gate_int80;
	} else if (!done) {
		long *a = r->call.args, flags = 0;

		switch (r->call.number) {
		case SYS_rt_sigaction:
			result = sud_sigaction(a);
			done = 1;
			break;
		case SYS_rt_sigprocmask:
			result = sud_sigprocmask(a, mask);
			done = 1;
			break;
		case SYS_prctl:
			if (a[0] == SUD_PRCTL || a[0] == SUD_PRCTL_DIRECT) {
				result = -EINVAL;
				done = 1;
			}
			break;
		case SYS_rt_sigreturn:
			pointer = gregs[REG_RSP] + offsetof(ucontext_t, uc_sigmask);
			if (!sud_copy(&frame, pointer, 8, 0) && (frame & SUD_SIGSYS)) {
				frame &= ~SUD_SIGSYS;
				sud_copy(&frame, pointer, 8, 1);
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
			if ((flags & 0x100) || r->call.number == SYS_vfork) {
				/* The child has it too, so the parent's next call must not find it. */
				r->users = 2;
				r->sp = 0;
			}
			gate = sud_gate_clone;
			r->mask = *mask | SUD_SIGSYS;
			*mask = ~SUD_SIGSYS;
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

static void sud_handler(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;
	unsigned long mask;

	(void)sig;
	if (info->si_code != SUD_DISPATCHED) {
		sud_program_sigsys(info, uc);
		return;
	}
	__builtin_memcpy(&mask, &uc->uc_sigmask, 8);
	sud_dispatch(uc->uc_mcontext.gregs, &mask, info->si_arch);
	__builtin_memcpy(&uc->uc_sigmask, &mask, 8);
}

/* With direct dispatch, nothing has blocked the signals. */
__attribute__((used)) static void sud_direct(greg_t *gregs)
{
	unsigned long mask, all = ~SUD_SIGSYS;

	sud_syscall(SYS_rt_sigprocmask, SIG_SETMASK, (long)&all, (long)&mask, 8, 0, 0);
	sud_dispatch(gregs, &mask, SUD_ARCH_64);
	sud_syscall(SYS_rt_sigprocmask, SIG_SETMASK, (long)&mask, 0, 8, 0, 0);
}
SUD_DIRECT_ENTRY(sud_direct);

/*
 * Arm the calling thread, and every thread and process that it will create. Call it once, before the program has a
 * second thread. If @direct, use direct dispatch where the kernel has it. Returns 0; -EINVAL if the kernel lacks the
 * feature; -EPERM if the administrator forbids it. sud_direct_handler then says whether direct dispatch is used.
 */
static inline long sud_arm(const struct sud_hooks *hooks, int direct)
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
	ret = sud_syscall(SYS_prctl, SUD_PRCTL, 1, (long)sud_gate_start, sud_gate_end - sud_gate_start, 0, 0);
	if (ret)
		sud_syscall(SYS_rt_sigaction, SIGSYS, (long)&sud_program_action, 0, 8, 0, 0);
	else if (direct)
		sud_direct_handler = sud_direct_address();
	if (sud_direct_handler && sud_syscall(SYS_prctl, SUD_PRCTL_DIRECT, sud_direct_handler, 0, 0, 0, 0))
		sud_direct_handler = 0;
	return ret;
}

#endif	/* SUD_INTERPOSE */
#endif
