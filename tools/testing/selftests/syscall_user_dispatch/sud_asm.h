/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The machine's part of the Syscall User Dispatch selftests; see sud.h.
 *
 * There are three ABIs of x86: 64-bit and x32, whose template uses the syscall
 * instruction, and 32-bit, whose template uses int $0x80. The 32-bit programs
 * also run on 32-bit kernels. entry.c has the other ways into the kernel.
 *
 * The templates are position independent and are copied, not called.
 */
#ifndef SUD_ASM_H
#define SUD_ASM_H

#include <linux/audit.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <ucontext.h>

/*
 * The contents of a register: the arguments and the result of a system call.
 * In x32 it is twice as long as a pointer; see SUD_PTR().
 */
#if defined(__x86_64__) && defined(__ILP32__)
typedef long long sud_word;
typedef unsigned long long sud_uword;
#else
typedef long sud_word;
typedef unsigned long sud_uword;
#endif

#ifdef __x86_64__
#define SUD_WORD_BITS	64
#else
#define SUD_WORD_BITS	32
#endif
#define SUD_UWORD_MAX	(~(sud_uword)0)

/* A pointer as an argument; by way of long the sign would be extended. */
#define SUD_PTR(p)	((sud_word)(uintptr_t)(p))

/* A call as the template's caller makes it: the ABI of a C function. */
typedef sud_word sud_call_fn(sud_word nr, sud_word a1, sud_word a2,
			     sud_word a3, sud_word a4, sud_word a5,
			     sud_word a6);

extern const char sud_template[] __attribute__((visibility("hidden")));
extern const char sud_template_ip[] __attribute__((visibility("hidden")));
extern const char sud_template_end[] __attribute__((visibility("hidden")));

/*
 * Only a return follows the system call, so that clone() with a stack of its
 * own "returns" to the address on top of the new stack.
 */
#if defined(__x86_64__)

asm(".pushsection .text\n"
	"sud_template:\n"
	"	mov	%rdi, %rax\n"
	"	mov	%rsi, %rdi\n"
	"	mov	%rdx, %rsi\n"
	"	mov	%rcx, %rdx\n"
	"	mov	%r8, %r10\n"
	"	mov	%r9, %r8\n"
	"	mov	8(%rsp), %r9\n"
	"	syscall\n"
	"sud_template_ip:\n"
	"	ret\n"
	"sud_template_end:\n"
	".popsection\n"
);

/* The registers of a ucontext_t, as lvalues. */
#define SUD_REG_IP(uc)		((uc)->uc_mcontext.gregs[REG_RIP])
#define SUD_REG_SP(uc)		((uc)->uc_mcontext.gregs[REG_RSP])
/* The number on entry, the result on return. */
#define SUD_REG_RET(uc)		((uc)->uc_mcontext.gregs[REG_RAX])

/* The registers of a struct user_regs_struct, and the number on entry. */
#define SUD_USER_IP(regs)	((regs)->rip)
#define SUD_USER_SP(regs)	((regs)->rsp)
#define SUD_USER_RET(regs)	((regs)->rax)
#define SUD_USER_NR(regs)	((regs)->orig_rax)

/* si_arch of the template's call. */
#define SUD_AUDIT_ARCH	AUDIT_ARCH_X86_64

/*
 * The C library's code returns from handlers. Dispatch has no exception for
 * it.
 */
#define SUD_SIGRETURN_DISPATCHED	true

/* mmap() with six arguments. */
#define SUD_NR_MMAP	SYS_mmap

/* The bit in the numbers of x32 calls, in programs of any ABI. */
#define SUD_X32_BIT	0x40000000

#ifdef __ILP32__
/* The suffix of the names of programs for this ABI. */
#define SUD_SUFFIX	"_x32"
/* A number as the template's call uses it; SYS_* have the bit already. */
#define SUD_NR(nr)	((nr) | SUD_X32_BIT)
/*
 * The return register at the first instruction of a handler, given the signal
 * and the register's earlier value.
 */
#define SUD_HANDLER_RET(sig, was)	(was)
#else
#define SUD_SUFFIX	"_64"
#define SUD_NR(nr)	(nr)
#define SUD_HANDLER_RET(sig, was)	0
#endif

#elif defined(__i386__)

asm(".pushsection .text\n"
	"sud_template:\n"
	"	push	%ebx\n"
	"	push	%esi\n"
	"	push	%edi\n"
	"	push	%ebp\n"
	"	mov	20(%esp), %eax\n"
	"	mov	24(%esp), %ebx\n"
	"	mov	28(%esp), %ecx\n"
	"	mov	32(%esp), %edx\n"
	"	mov	36(%esp), %esi\n"
	"	mov	40(%esp), %edi\n"
	"	mov	44(%esp), %ebp\n"
	"	call	1f\n"
	"	pop	%ebp\n"
	"	pop	%edi\n"
	"	pop	%esi\n"
	"	pop	%ebx\n"
	"	ret\n"
	"1:	int	$0x80\n"
	"sud_template_ip:\n"
	"	ret\n"
	"sud_template_end:\n"
	".popsection\n"
);

#define SUD_REG_IP(uc)		((uc)->uc_mcontext.gregs[REG_EIP])
#define SUD_REG_SP(uc)		((uc)->uc_mcontext.gregs[REG_ESP])
#define SUD_REG_RET(uc)		((uc)->uc_mcontext.gregs[REG_EAX])
/* For handlers that take their arguments in registers. */
#define SUD_HANDLER_RET(sig, was)	(sig)

#define SUD_USER_IP(regs)	((regs)->eip)
#define SUD_USER_SP(regs)	((regs)->esp)
#define SUD_USER_RET(regs)	((regs)->eax)
#define SUD_USER_NR(regs)	((regs)->orig_eax)

/* The vDSO's code returns: rule V1. */
#define SUD_SIGRETURN_DISPATCHED	false

#define SUD_AUDIT_ARCH	AUDIT_ARCH_I386
#define SUD_NR_MMAP	SYS_mmap2
#define SUD_SUFFIX	"_32"
#define SUD_NR(nr)	(nr)

#else
#error "The syscall user dispatch selftests do not know this machine"
#endif

/* Length of the system-call instruction. */
#define SUD_INSN_LEN	2

#define SUD_NR_CLOSE	SYS_close

/**
 * sud_user_arg - an argument of the system call
 * @regs:	the registers
 * @n:		1 to 6
 */
static inline sud_uword sud_user_arg(const struct user_regs_struct *regs,
				     unsigned int n)
{
#ifdef __x86_64__
	const sud_uword args[] = { regs->rdi, regs->rsi, regs->rdx,
				   regs->r10, regs->r8, regs->r9 };
#else
	const sud_uword args[] = { regs->ebx, regs->ecx, regs->edx,
				   regs->esi, regs->edi, regs->ebp };
#endif

	return args[n - 1];
}

/**
 * sud_kernel_is_64bit - is unsigned long 64 bits long in the kernel?
 *
 * uname() does not tell: a personality may make it say i686. The two kernels
 * have always used different selectors for 32-bit code.
 */
static inline bool sud_kernel_is_64bit(void)
{
#ifdef __x86_64__
	return true;
#else
	uint16_t cs;

	asm("mov %%cs, %0" : "=r" (cs));
	return cs == 0x23;
#endif
}

/**
 * sud_full_width - does a register hold an unsigned long of the kernel?
 *
 * Not if this is a 32-bit program on a 64-bit kernel. Its arguments arrive
 * zero-extended (rule A11), so that the sum of two never wraps, and that none
 * is the address of kernel memory.
 */
static inline bool sud_full_width(void)
{
	return SUD_WORD_BITS == 64 || !sud_kernel_is_64bit();
}

#endif /* SUD_ASM_H */
