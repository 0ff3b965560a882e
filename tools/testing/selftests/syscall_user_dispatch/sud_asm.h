/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The machine's part of the Syscall User Dispatch selftests; see sud.h.
 *
 * The templates are position independent and are copied, not called.
 */
#ifndef SUD_ASM_H
#define SUD_ASM_H

#include <linux/audit.h>
#include <sys/syscall.h>
#include <ucontext.h>

#if defined(__x86_64__) && !defined(__ILP32__)

/* A call as the template's caller makes it: the ABI of a C function. */
typedef long sud_call_fn(long nr, long a1, long a2, long a3, long a4, long a5,
			 long a6);

extern const char sud_template[] __attribute__((visibility("hidden")));
extern const char sud_template_ip[] __attribute__((visibility("hidden")));
extern const char sud_template_end[] __attribute__((visibility("hidden")));

/*
 * The system call is followed by nothing but a return, so that clone() with a
 * stack of its own "returns" to the address on top of the new stack.
 */
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

/* Length of the system-call instruction. */
#define SUD_INSN_LEN	2

/* The registers of a ucontext_t, as lvalues. */
#define SUD_REG_IP(uc)		((uc)->uc_mcontext.gregs[REG_RIP])
#define SUD_REG_SP(uc)		((uc)->uc_mcontext.gregs[REG_RSP])
/* The number on entry, the result on return. */
#define SUD_REG_RET(uc)		((uc)->uc_mcontext.gregs[REG_RAX])

/* si_arch of the template's call. */
#define SUD_AUDIT_ARCH	AUDIT_ARCH_X86_64

/* What the names of programs for this ABI end in. */
#define SUD_SUFFIX	"_64"

/* Numbers as the template's call uses them. */
#define SUD_NR_CLOSE	SYS_close

#else
#error "The syscall user dispatch selftests do not know this machine"
#endif

#endif /* SUD_ASM_H */
